"""What a correction changed: kept with its step, read on each page of the request, marked in the queue, exported."""

from __future__ import annotations

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import privacy
from accounts.models import Employment
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory
from accounts.tests.test_second_factor_browser import WCAG, give_password
from requests_app import workflow
from requests_app.corrections import LONG
from requests_app.models import AccessRequest, RequestEvent, Status

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, manager, unsaved_request
from .files import pdf
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

FIRST, LIST = "/admin/", "/admin/requests_app/accessrequest/"
BY_WHO_ASKED, SENT_AGAIN = "Corrigida por quem pediu", "Reenviada por quem pediu"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.ATTACHMENTS_DIR = str(tmp_path)


def returned(**fields):
    """A request that the Coordenadoria has sent back."""
    request = workflow.file(unsaved_request(**fields))
    return workflow.move(request.pk, Status.RETURNED, by=analyst(name="ANA LISTA"), note="Informe a portaria.")


def own_page(request):
    return f"/solicitacoes/{request.protocol}/"


def pages_of(request):
    """Where the history stands: who reads it there, and the address."""
    desk = f"{LIST}{request.pk}"
    return {
        "own": (request.requester, own_page(request)),
        "desk": (analyst(), f"{desk}/change/"),
        "paper": (manager(), f"{desk}/imprimir/"),
    }


def correct(client, request, *, by=None, files=(), **changes):
    """The form as it comes, sent with these changes; the request as it stands then."""
    client.force_login(by or request.requester)
    values = {
        "requester_email": request.requester_email,
        "requester_phone": request.requester_phone,
        "beneficiary": request.employment_id,
        "user_type": request.user_type_id,
        "system": request.user_type.system_id,
        "unit": request.unit_id or "",
        "description": request.description,
        "attachments": list(files),
        **changes,
    }
    response = client.post(f"{own_page(request)}corrigir/", values)
    assert (response.status_code, response.get("Location")) == (302, own_page(request))
    return AccessRequest.objects.get(pk=request.pk)


def read(client, reader, address):
    client.force_login(reader)
    return Page(client.get(address))


def changes_on(page):
    """What the page says was changed: label, before, after."""
    return [
        tuple(text_of(part) for part in walk(change) if part.name in {"dt", "dd"})
        for change in page.all("dl", class_="changes")
    ]


def exported(person):
    return json.loads("".join(privacy.export(person)))["andamentos"]


# --- What is kept ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("where", ["own", "desk", "paper"])
def test_each_page_says_what_stood_there_and_what_stands_there_now(client, where):
    system = ExternalSystemFactory(name="BNMP 2.0", asks_unit=True)
    unit = UnitFactory(name="1ª Vara Criminal", comarca="Dourados")
    bond = EmploymentFactory(
        user__name="CARLA PAZ", matricula="81001", cargo="Técnica", unit=UnitFactory(name="Cartório")
    )
    other = EmploymentFactory(
        user__name="BIA LIMA", matricula="81002", cargo="Juíza", unit=UnitFactory(name="Gabinete")
    )
    old, new = UserTypeFactory(name="Consulta"), UserTypeFactory(name="Gestor", system=system)
    request = returned(bond=bond, user_type=old, description="Para o balcão.", phone="(67) 3314-0000")

    request = correct(
        client,
        request,
        beneficiary=other.pk,
        user_type=new.pk,
        system=system.pk,
        unit=unit.pk,
        description="Portaria 12/2026.\nPara o plantão.",
        requester_phone="(67) 99999-0000",
    )

    page = read(client, *pages_of(request)[where])
    assert changes_on(page) == [
        (
            "Efetuar cadastro para",
            f"Antes: Carla Paz Matrícula 81001 · Técnica {bond.unit}",
            f"Agora: Bia Lima Matrícula 81002 · Juíza {other.unit}",
        ),
        ("Telefone do solicitante", "Antes: (67) 3314-0000", "Agora: (67) 99999-0000"),
        ("Sistema solicitado", f"Antes: {old.system.name}", "Agora: BNMP 2.0"),
        ("Tipo Usuário", "Antes: Consulta", "Agora: Gestor"),
        ("Unidade", "Antes: nada", "Agora: 1ª Vara Criminal – Dourados"),
        ("Descrição solicitação", "Antes: Para o balcão.", "Agora: Portaria 12/2026. Para o plantão."),
    ]
    assert page.text.count(BY_WHO_ASKED) == 1


@pytest.mark.parametrize("where", ["own", "desk", "paper"])
def test_a_request_that_comes_back_as_it_was_says_so_and_shows_no_change(client, where):
    request = correct(client, returned())
    page = read(client, *pages_of(request)[where])
    assert (SENT_AGAIN in page.text, "Corrigida" in page.text, changes_on(page)) == (True, False, [])


def test_each_correction_keeps_its_own(client):
    request = correct(client, returned(description="Primeira."), description="Segunda.")
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Ainda falta a portaria.")
    request = correct(client, request, description="Terceira.")
    assert changes_on(read(client, *pages_of(request)["desk"])) == [
        ("Descrição solicitação", "Antes: Primeira.", "Agora: Segunda."),
        ("Descrição solicitação", "Antes: Segunda.", "Agora: Terceira."),
    ]


def test_an_expired_request_that_is_reopened_keeps_it_too(client):
    request = returned(description="Primeira.")
    workflow.move(request.pk, Status.EXPIRED, by=None)
    request = correct(client, request, description="Segunda.")
    page = read(client, *pages_of(request)["desk"])
    assert changes_on(page) == [("Descrição solicitação", "Antes: Primeira.", "Agora: Segunda.")]
    assert BY_WHO_ASKED in page.text


def test_files_that_came_with_a_correction_are_named(client):
    request = returned()
    request = correct(client, request, files=[SimpleUploadedFile("ofício.pdf", pdf("1"))])
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a designação.")
    files = [SimpleUploadedFile(name, pdf(name)) for name in ("designação.pdf", "ata.pdf")]
    request = correct(client, request, files=files)
    assert changes_on(read(client, *pages_of(request)["desk"])) == [
        ("Anexos", "Antes: nada", "Agora: ofício.pdf"),
        ("Anexos", "Antes: ofício.pdf", "Agora: ofício.pdf designação.pdf ata.pdf"),
    ]


def test_what_the_directory_changed_of_the_person_meanwhile_is_told_with_the_correction(client):
    bond = EmploymentFactory(user__name="CARLA PAZ", matricula="81001", cargo="Técnica")
    request = returned(bond=bond)
    Employment.objects.filter(pk=bond.pk).update(cargo="Analista")
    request = correct(client, request)
    assert changes_on(read(client, *pages_of(request)["desk"])) == [
        (
            "Efetuar cadastro para",
            f"Antes: Carla Paz Matrícula 81001 · Técnica {bond.unit}",
            f"Agora: Carla Paz Matrícula 81001 · Analista {bond.unit}",
        )
    ]


def test_a_correction_that_is_refused_leaves_no_trace(client):
    mine = returned(description="Primeira.")
    other = workflow.file(unsaved_request())
    client.force_login(mine.requester)
    values = {
        "requester_email": mine.requester_email,
        "requester_phone": mine.requester_phone,
        "beneficiary": other.employment_id,
        "user_type": other.user_type_id,
        "system": other.system.pk,
        "description": "Segunda.",
    }

    page = Page(client.post(f"{own_page(mine)}corrigir/", values))

    assert other.protocol in page.summary
    mine.refresh_from_db()
    assert (mine.status, mine.description, mine.events.last().to_status) == ("RETURNED", "Primeira.", "RETURNED")


def test_a_step_that_is_written_without_the_column_changed_nothing(client):
    """As an older release writes it while a new one is put into use."""
    request = returned()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO requests_app_requestevent (request_id, from_status, to_status, actor_id, note, at)"
            " VALUES (%s, 'RETURNED', 'PENDING', %s, '', CURRENT_TIMESTAMP)",
            [request.pk, request.requester_id],
        )
    assert request.events.last().changes == []
    assert SENT_AGAIN in read(client, *pages_of(request)["desk"]).text


# --- Who reads it ----------------------------------------------------------------------------------------------------
def test_the_address_is_whole_for_who_asked_and_masked_for_the_staff(client):
    request = returned()
    old, new = request.requester_email, "nova.caixa@tjms.jus.br"
    request = correct(client, request, requester_email=new)
    found = {where: changes_on(read(client, *page)) for where, page in pages_of(request).items()}
    masked = [("Email do solicitante", f"Antes: {old[0]}***@tjms.jus.br", "Agora: n***@tjms.jus.br")]
    assert found == {
        "own": [("Email do solicitante", f"Antes: {old}", f"Agora: {new}")],
        "desk": masked,
        "paper": masked,
    }


def test_who_has_the_access_by_it_reads_that_it_was_corrected_and_not_what_stood_there(client):
    """What was asked before may have been about somebody else."""
    before, now = EmploymentFactory(user__name="CARLA PAZ"), EmploymentFactory(user__name="BIA LIMA")
    request = returned(bond=before, description="A Carla volta da licença.")
    request = correct(client, request, beneficiary=now.pk, description="A Bia chega.", requester_phone="(67) 3333-4444")

    page = read(client, now.user, own_page(request))

    assert BY_WHO_ASKED in page.text
    for secret in ("Carla", "3333-4444", "licença"):
        assert secret not in page.text
    assert exported(now.user)[0]["mudancas"] is None


def test_who_corrected_in_the_requesters_place_reads_what_they_changed(client):
    request = returned(description="Primeira.")
    Employment.objects.filter(user=request.requester).delete()
    request = correct(client, request, by=request.beneficiary, description="Segunda.")

    page = read(client, request.beneficiary, own_page(request))

    assert "Corrigida por quem terá o acesso" in page.text
    assert changes_on(page) == [("Descrição solicitação", "Antes: Primeira.", "Agora: Segunda.")]


def test_a_social_name_that_somebody_took_since_stands_there_too(client):
    """Res. CNJ 270/2018."""
    old, new = EmploymentFactory(user__name="CARLOS FIGUEIRÓ"), EmploymentFactory(user__name="PEDRO LUZ")
    request = correct(client, returned(bond=old), beneficiary=new.pk)
    for bond, name in ((old, "JOANA FIGUEIRÓ"), (new, "PETRA LUZ")):
        bond.user.social_name = name
        bond.user.save()
    for reader, address in pages_of(request).values():
        page = read(client, reader, address)
        assert "Carlos" not in page.text
        assert "Pedro" not in page.text
        [(_label, before, after)] = changes_on(page)
        assert before.startswith("Antes: Joana Figueiró Matrícula")
        assert after.startswith("Agora: Petra Luz Matrícula")
    told = exported(request.requester)[0]["mudancas"]
    assert [name for name in ("Joana Figueiró", "Petra Luz", "Carlos", "Pedro") if name in told] == [
        "Joana Figueiró",
        "Petra Luz",
    ]


# --- How it is read --------------------------------------------------------------------------------------------------
def test_a_long_text_is_folded_on_screens_and_whole_on_paper(client):
    short, long = "x" * LONG, "Uma frase. " * 20
    request = correct(client, returned(description=short), description=long)
    for where, folded in (("own", 1), ("desk", 1), ("paper", 0)):
        page = read(client, *pages_of(request)[where])
        [change] = page.all("dl", class_="changes")
        details = [part for part in walk(change) if part.name == "details"]
        assert len(details) == folded
        assert all(text_of(one).startswith("Agora: Uma frase.") for one in details)
        assert short in text_of(change)
        assert long.strip() in text_of(change)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("where", ["own", "desk"])
def test_it_is_read_and_unfolded_in_a_narrow_window(page, portal_server, client, where):
    before, after = "Uma frase. " * 60, "a" * 300 + "\nOutra frase."
    request = correct(client, returned(description=before.strip()), description=after, requester_phone="(67) 3333-4444")
    reader, address = pages_of(request)[where]
    page.set_viewport_size({"width": 360, "height": 800})
    give_password(page, reader, f"?next={address}")
    page.wait_for_url(f"**{address}")
    summary = page.locator(".changes summary").nth(1)

    summary.focus()
    page.keyboard.press("Enter")

    assert page.locator(".changes details").nth(1).inner_text().endswith("Outra frase.")
    assert Axe().run(page, options=WCAG).response["violations"] == []
    assert summary.bounding_box()["height"] >= 24
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = "[...document.querySelectorAll('.desk-scroll')]"
    assert page.evaluate(f"{boxes}.every(box => box.scrollWidth <= box.clientWidth)")


def test_what_people_wrote_stays_text(client):
    request = correct(client, returned(), description="<script>alert(1)</script>")
    for reader, address in pages_of(request).values():
        client.force_login(reader)
        content = client.get(address).content.decode()
        assert "<script>alert" not in content
        assert content.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def steps(request, number, **fields):
    """So many steps by which it came back, each with another person before and after."""
    people = [{"person": UserFactory().pk, "called": "Alguém", "bond": "Matrícula 1"} for _ in range(min(number, 10))]
    RequestEvent.objects.bulk_create(
        RequestEvent(
            request=request,
            from_status=Status.RETURNED,
            to_status=Status.PENDING,
            actor=request.requester,
            changes=[["Efetuar cadastro para", people[count % len(people)], people[-1]]],
        )
        for count in range(number)
    )


@pytest.mark.parametrize("where", ["own", "desk", "paper"])
def test_three_hundred_corrections_cost_as_many_queries_as_one(client, where):
    counts = []
    for number in (0, 1, 3, 300):
        request = workflow.file(unsaved_request())
        steps(request, number)
        reader, address = pages_of(request)[where]
        read(client, reader, address)  # what the first page of a session looks up
        with CaptureQueriesContext(connection) as captured:
            page = Page(client.get(address))
        assert len(changes_on(page)) == number
        counts.append(len(captured))
    assert len(set(counts)) == 1


# --- The queue -------------------------------------------------------------------------------------------------------
def marks_on(page):
    """What stands beside the age of each request, by protocol."""
    rows = [text_of(row) for row in page.all("tr")]
    found = [re.search(r"(\d{4}-\d{6}).*?menos de 1 dia útil( · \w+)?", row) for row in rows]
    return {row[1]: row[2] for row in found if row}


@pytest.mark.parametrize("address", [FIRST, LIST, f"{LIST}?situacao=todas"])
def test_the_queue_marks_what_came_back_beside_its_age(client, address):
    new = workflow.file(unsaved_request())
    same = correct(client, returned())
    changed = correct(client, returned(), description="Outra.")
    taken = correct(client, returned(), description="Outra.")
    decider = analyst()
    workflow.move(taken.pk, Status.IN_REVIEW, by=decider)
    sent_back = correct(client, returned(), description="Outra.")
    workflow.move(sent_back.pk, Status.RETURNED, by=decider, note="Ainda falta.")

    marks = marks_on(read(client, decider, address))

    if address == LIST:  # it opens on what waits
        marks[sent_back.protocol] = None
    assert marks == {
        new.protocol: None,
        same.protocol: " · reenviada",
        changed.protocol: " · corrigida",
        taken.protocol: " · corrigida",
        sent_back.protocol: None,
    }


@pytest.mark.parametrize("address", [FIRST, LIST])
def test_the_marks_of_three_hundred_cost_as_many_queries_as_one(client, address):
    client.force_login(analyst())
    counts, made = [], 0
    client.get(address)
    for number in (1, 3, 60):
        for _ in range(number - made):
            steps(workflow.file(unsaved_request()), 1)
        made = number
        with CaptureQueriesContext(connection) as captured:
            assert "corrigida" in client.get(address).content.decode()
        counts.append(len(captured))
    assert len(set(counts)) == 1


# --- The file of one's own -------------------------------------------------------------------------------------------
def test_the_file_has_what_was_changed_in_ones_own_requests(client):
    request = returned(description="Primeira.")
    old = request.requester_email
    correct(client, request, description="Segunda.", requester_email="nova.caixa@tjms.jus.br")
    others = correct(client, returned(description="alheia"), description="alheia também")

    found = exported(request.requester)

    assert [(row["mudancas"] or "").splitlines() for row in found] == [
        [
            f"Email do solicitante: antes “{old}”, agora “nova.caixa@tjms.jus.br”",
            "Descrição solicitação: antes “Primeira.”, agora “Segunda.”",
        ],
        [],
        [],
    ]
    assert "alheia" not in str(found)
    assert "alheia" in exported(others.requester)[0]["mudancas"]


def test_the_file_asks_as_often_for_three_hundred_corrections_as_for_one():
    counts = []
    for number in (1, 3, 300):
        request = workflow.file(unsaved_request())
        steps(request, number)
        with CaptureQueriesContext(connection) as captured:
            found = exported(request.requester)
        assert len([row for row in found if row["mudancas"]]) == number
        counts.append(len(captured))
    assert len(set(counts)) == 1
