"""The page of one request for paper: what stands on it, who gets it, and how it comes out of a printer."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.cpf import formatted
from accounts.tests.factories import EmploymentFactory, UserFactory
from accounts.tests.test_second_factor_browser import WCAG, give_password
from requests_app import workflow
from requests_app.models import (
    AccessGrant,
    Attachment,
    GrantStatus,
    InternalNote,
    ReasonTemplate,
    RequestEvent,
    Status,
)

from . import paper
from .factories import UserTypeFactory, analyst, manager, request_in, unsaved_request
from .files import attached, pdf
from .pages import Page, text_of

DESK = "/admin/requests_app/accessrequest/"


def address(request):
    return f"{DESK}{request.pk}/imprimir/"


@pytest.fixture
def decided(db):
    """Returned, corrected, approved and completed; with a file, a despacho and a note of the staff."""
    bond = EmploymentFactory(user__name="JOÃO DA SILVA", matricula="71001")
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    request = workflow.file(unsaved_request(bond=bond, user_type=user_type, description="Consulta de mandados."))
    decider = analyst(name="ANA LISTA")
    workflow.move(request.pk, Status.RETURNED, by=decider, note="Falta o ato de designação.")
    attached(request, name="designação.pdf")
    workflow.move(request.pk, Status.PENDING, by=request.requester)
    attached(request, name="despacho.pdf", content=pdf("despacho"), kind=Attachment.Kind.DESPACHO, by=decider)
    InternalNote.objects.create(request=request, author=decider, text="Liguei para a unidade.")
    workflow.move(request.pk, Status.APPROVED, by=decider, note="Conforme a portaria.")
    request.refresh_from_db()
    return request


def test_the_page_says_all_that_the_record_holds(client, decided):
    reader = manager()
    client.force_login(reader)

    page = Page(client.get(address(decided)))

    for fact in (
        *("Tribunal de Justiça de Mato Grosso do Sul", "Corregedoria-Geral de Justiça", decided.protocol, "Concluída"),
        *("BNMP 2.0", "Consulta", "Consulta de mandados.", "João da Silva", "71001", decided.beneficiary_lotacao),
        *(decided.requester_name, decided.requester_cargo, decided.requester_phone, decided.masked_requester_email),
        *("Falta o ato de designação.", "Conforme a portaria.", "Ana Lista", "Devolvida para correção"),
        *("BNMP 2.0 – Consulta · Ativo", "designação.pdf", "despacho.pdf", f"por {reader.display_name}, no portal"),
        *(row.sha256 for row in decided.attachments.all()),
    ):
        assert fact in page.text
    assert text_of(page.one("h1")) == f"Solicitação de acesso nº {decided.protocol}"


def test_the_page_has_no_notes_of_the_staff_no_cpf_no_whole_address_and_nothing_to_press(client, decided):
    client.force_login(analyst())

    response = client.get(address(decided))

    content, page = response.content.decode(), Page(response)
    assert "Liguei para a unidade." not in content
    for person in (decided.beneficiary, decided.requester):
        for secret in (person.cpf, formatted(person.cpf), person.email):
            assert secret not in content
    assert page.all("button", "form", "script", "input") == []


def test_the_decisions_screen_leads_to_it(client, decided):
    client.force_login(analyst())
    links = Page(client.get(f"{DESK}{decided.pk}/change/")).all("a")
    assert address(decided) in {dict(link.attributes)["href"] for link in links}


def test_who_may_not_see_requests_is_refused_and_a_stranger_asked(client, decided):
    assert client.get(address(decided))["Location"].startswith("/entrar/")
    client.force_login(UserFactory(is_staff=True))
    assert client.get(address(decided)).status_code == 403
    client.force_login(decided.requester)
    assert client.get(address(decided), follow=True).status_code == 403


def test_what_is_not_there_is_not_found_and_nothing_is_posted(client, decided):
    client.force_login(analyst())
    assert client.get(f"{DESK}{decided.pk + 1}/imprimir/").status_code == 404
    assert client.get(f"{DESK}{'9' * 30}/imprimir/").status_code == 404
    assert client.post(address(decided)).status_code == 405


def test_what_somebody_typed_stays_text(client, db):
    request = request_in(Status.PENDING, description="<script>alert(1)</script>\n<b>x</b>")
    client.force_login(analyst())

    content = client.get(address(request)).content.decode()

    assert "<script>" not in content
    assert "&lt;b&gt;x&lt;/b&gt;" in content


def test_the_number_of_queries_is_the_same_with_1_3_and_300_steps_and_files(client, db):
    client.force_login(analyst())
    client.get(DESK)  # what the first page of a session looks up
    counts = []
    for number in (1, 3, 300):
        request = request_in(Status.PENDING)
        RequestEvent.objects.bulk_create(
            RequestEvent(request=request, to_status=Status.PENDING, actor=UserFactory()) for _ in range(min(number, 20))
        )
        RequestEvent.objects.bulk_create(
            RequestEvent(request=request, to_status=Status.PENDING, actor=request.requester) for _ in range(number)
        )
        for file in range(min(number, 5)):
            attached(request, content=pdf(str(file)), by=UserFactory())
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address(request)).status_code == 200
        counts.append(len(captured))
    assert len(set(counts)) == 1


# --- On paper -------------------------------------------------------------------------------------------------------
def longest(what, most=2000):
    """As long as it may be: lines, no sentence twice, and a word that is longer than a line."""
    sentences = (f"{what}, frase {number}: órgão, ação, 50% – “ok”." for number in range(most))
    return "\n".join([f"{what}, {'x' * 150}.", *sentences])[:most].strip()


#: What people write about one request, wherever the portal takes it.
WRITTEN = {
    "description": longest("Descrição"),
    "reason": longest("Modelo", 1500),
    "returned": longest("Devolução"),
    "approved": longest("Aprovação"),
    "suspended": longest("Suspensão"),
    "resumed": longest("Retomada"),
    **{f"step {number}": longest(f"Passo {number}") for number in range(5)},
}


@pytest.fixture
def long(db):
    """A request of which everything that is written is as long as it may be."""
    request = workflow.file(unsaved_request(description=WRITTEN["description"]))
    decider = analyst(name="ANA LISTA")
    reason = ReasonTemplate.objects.create(
        decision="RETURNED", title="Sem ato", text=WRITTEN["reason"], norm="Portaria 140"
    )
    workflow.move(request.pk, Status.RETURNED, by=decider, note=WRITTEN["returned"], reason=reason)
    workflow.move(request.pk, Status.PENDING, by=request.requester)
    for number in range(5):
        RequestEvent.objects.create(
            request=request, from_status="PENDING", to_status="RETURNED", actor=decider, note=WRITTEN[f"step {number}"]
        )
    workflow.move(request.pk, Status.APPROVED, by=decider, note=WRITTEN["approved"])
    grant = AccessGrant.objects.get(request=request)
    workflow.move_grant(grant.pk, GrantStatus.SUSPENDED, by=decider, note=WRITTEN["suspended"])
    workflow.move_grant(grant.pk, GrantStatus.ACTIVE, by=decider, note=WRITTEN["resumed"])
    request.refresh_from_db()
    return request


def who_and_why(events):
    """The last two columns of a history, row by row."""
    return [f"{event.actor.display_name if event.actor else 'Automático'} {event.note or '–'}" for event in events]


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_long_request_comes_out_on_numbered_a4_pages_with_nothing_cut(page, portal_server, long):
    give_password(page, analyst(), f"?next={address(long)}")
    page.wait_for_url(f"**{address(long)}")

    assert Axe().run(page, options=WCAG).response["violations"] == []
    page.emulate_media(media="print")
    assert not page.get_by_role("link").first.is_visible()
    page.set_viewport_size({"width": 658, "height": 900})  # 174 mm: what the margins leave
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    printed = page.pdf(prefer_css_page_size=True)

    assert b"/Title" in printed
    assert set(paper.sizes_of(printed)) in ({(595, 842)}, {(596, 842)})
    sheets = paper.pages_of(printed)
    assert len(sheets) > 3
    margins = [f"Página{number}de{len(sheets)}SistemasExternos–TJMS" for number in range(1, len(sheets) + 1)]
    assert [sheet[: len(margin)] for sheet, margin in zip(sheets, margins, strict=True)] == margins
    # A table that goes on says on each page again what stands in its columns.
    head = paper.squeezed("Quando O que houve Quem Motivo")
    shown = "".join(
        sheet.removeprefix(margin).removeprefix(head) for sheet, margin in zip(sheets, margins, strict=True)
    )
    assert [name for name, text in WRITTEN.items() if paper.squeezed(text) not in shown] == []
    rest = shown
    for row in (*who_and_why(long.events.all()), *who_and_why(long.grant.events.all())):
        before, found, rest = rest.partition(paper.squeezed(row))
        assert found, f"{row[:40]}… does not follow {before[:40]}…"
