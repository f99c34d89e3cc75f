"""Following, correcting and cancelling one's requests; the first page and the guidance."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import HelpDesk, OutgoingMail
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app import workflow
from requests_app.models import AccessRequest, Status, SystemNotice

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

LIST = "/solicitacoes/"
SCRIPT = "<script>alert(1)</script>"
HUGE = str(10**30)


@pytest.fixture
def person(client):
    user = EmploymentFactory().user
    client.force_login(user)
    return user


def bond_of(name, **fields):
    return EmploymentFactory(user__name=name, **fields)


def address(request, step=""):
    return f"/solicitacoes/{request.protocol}/{step}"


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def returned(note="Informe o número da portaria.", **fields):
    request = filed(**fields)
    return workflow.move(request.pk, Status.RETURNED, by=analyst(), note=note)


def brought_to(status, requester):
    """A request that came into this status as requests do."""
    request = filed(requester=requester, user_type=UserTypeFactory(system__credential="OWN"))
    steps = {Status.PENDING: [], Status.COMPLETED: [Status.APPROVED, status], Status.EXPIRED: [Status.RETURNED, status]}
    for to in steps.get(status, [status]):
        by = {Status.CANCELLED: requester, Status.EXPIRED: None}.get(to, analyst())
        request = workflow.move(request.pk, to, by=by, note="Falta a portaria.")
    return request


def leaves(person):
    person.employments.update(ended_on=timezone.localdate() - timedelta(days=1))


def protocols_on(response):
    return [text_of(cell) for cell in Page(response).all("th", scope="row")]


# --- The list --------------------------------------------------------------------------------------------------------
def test_the_list_has_what_i_made_and_what_is_for_me_and_nothing_of_others(client, person):
    made, for_me = filed(requester=person), filed(bond=person.employments.get())
    theirs = filed(bond=bond_of("SIGILO ABSOLUTO"))

    response = client.get(LIST)

    assert protocols_on(response) == [for_me.protocol, made.protocol]  # the newest first
    assert theirs.protocol not in response.content.decode()
    assert "Sigilo" not in response.content.decode()


def test_each_row_says_for_whom_what_when_and_how_it_stands(client, person):
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    request = returned(requester=person, bond=bond_of("JOÃO DA SILVA"), user_type=user_type)
    page = Page(client.get(LIST))
    [row] = [element for element in page.all("tr") if request.protocol in text_of(element)]
    filed_on = timezone.localtime(request.created_at).strftime("%d/%m/%Y")
    expected = f"{request.protocol} João da Silva BNMP 2.0 – Consulta {filed_on} Devolvida para correção"
    assert text_of(row) == expected
    assert page.one("a", href=address(request))


def test_who_has_no_requests_is_told_how_to_make_one(client, person):
    filed()
    page = Page(client.get(LIST))
    assert "Você ainda não fez nenhuma solicitação, e ninguém fez uma para você." in page.text
    assert page.one("a", href="/solicitacoes/nova/")


@pytest.fixture
def four(person):
    """Four requests of mine, by the name of whom they are for."""
    people = {"joao": "JOÃO DA SILVA", "ana": "ANA D'ÁVILA", "maria": "MARIA-CLARA PAZ", "jose": "JOSÉ CONCEIÇÃO"}
    bonds = {key: bond_of(name, matricula=f"7100{place}") for place, (key, name) in enumerate(people.items())}
    filed(bond=bond_of("JOÃO ALHEIO", matricula="71999"))  # somebody else's: never found
    return {key: filed(requester=person, bond=bond) for key, bond in bonds.items()}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("João", {"joao"}),
        ("joao", {"joao"}),
        ("SILVA joão", {"joao"}),
        ("jo", {"joao", "jose"}),
        ("conceicao", {"jose"}),
        ("d'avila", {"ana"}),
        ("D´Ávila", {"ana"}),
        ("maria-clara", {"maria"}),
        ("71002", {"maria"}),
        ("7100", {"joao", "ana", "maria", "jose"}),
        ("Joa%", {"joao"}),
        ("J%o", set()),
        ("jo_o", set()),
        ("jo\\o", set()),
        ("ao", set()),  # the middle of a word
        ("alheio", set()),
        ("71999", set()),
        ("' OR '1'='1", set()),
        ('joao"', {"joao"}),
        (SCRIPT, set()),
        ("\0joao", {"joao"}),
        ("ninguém", set()),
        ("   ", {"joao", "ana", "maria", "jose"}),
    ],
)
def test_fault_21_the_list_is_searched_by_name_or_matricula_and_signs_find_nothing_else(client, four, query, found):
    response = client.get(LIST, {"q": query})
    assert set(protocols_on(response)) == {four[key].protocol for key in found}
    assert SCRIPT not in response.content.decode()
    if not found:
        assert "Nenhuma solicitação foi encontrada com este filtro." in Page(response).text


def test_the_list_is_searched_by_protocol_whole_or_in_part(client, four):
    request = four["maria"]
    for query in (request.protocol, f"  {request.protocol} ", request.protocol[-6:]):
        assert protocols_on(client.get(LIST, {"q": query})) == [request.protocol]
    assert len(protocols_on(client.get(LIST, {"q": request.protocol[:6]}))) == 4


def test_fault_20_another_persons_protocol_is_not_found(client, person):
    assert protocols_on(client.get(LIST, {"q": filed().protocol})) == []


def test_the_search_shows_what_was_typed(client, person):
    page = Page(client.get(LIST, {"q": '"><b>joão', "status": "RETURNED"}))
    assert (page.value("q"), page.value("status")) == ('"><b>joão', "RETURNED")


def test_the_list_is_filtered_by_status(client, person):
    pending, sent_back = filed(requester=person), returned(requester=person)
    assert protocols_on(client.get(LIST, {"status": "RETURNED"})) == [sent_back.protocol]
    assert protocols_on(client.get(LIST, {"status": "PENDING"})) == [pending.protocol]
    assert protocols_on(client.get(LIST, {"status": "COMPLETED"})) == []


@pytest.mark.parametrize("status", ["", "abc", "pending", "\0", HUGE, "PENDING' --"])
def test_a_status_that_is_none_filters_nothing(client, person, status):
    request = filed(requester=person)
    assert protocols_on(client.get(LIST, {"status": status})) == [request.protocol]


@pytest.mark.parametrize(
    ("page", "shown"),
    [("", 20), ("1", 20), ("2", 2), ("abc", 20), ("-1", 20), ("0", 20), ("1000000000", 2), (HUGE, 20)],
)
def test_any_page_number_shows_a_page(client, person, page, shown):
    user_type = UserTypeFactory()
    for _ in range(22):
        filed(requester=person, user_type=user_type)
    assert len(protocols_on(client.get(LIST, {"page": page}))) == shown


def test_turning_the_page_keeps_the_filter(client, person):
    user_type = UserTypeFactory()
    for _ in range(21):
        filed(requester=person, user_type=user_type)
    onward = Page(client.get(LIST, {"q": "servidora", "status": "PENDING"})).one("a", rel="next")
    assert dict(onward.attributes)["href"] == "?q=servidora&status=PENDING&page=2"


def test_three_rows_cost_as_many_queries_as_one(client, person):
    filed(requester=person)
    client.get(LIST)
    with CaptureQueriesContext(connection) as with_one:
        client.get(LIST)
    filed(requester=person)
    filed(requester=person)
    with CaptureQueriesContext(connection) as with_three:
        response = client.get(LIST)
    assert len(protocols_on(response)) == 3
    assert len(with_three) == len(with_one)


# --- One request -----------------------------------------------------------------------------------------------------
def test_requester_and_beneficiary_see_the_request_and_its_history(client):
    request = returned("Informe o número da portaria.", description="Atendimento no balcão.")
    for person in (request.requester, request.beneficiary):
        client.force_login(person)
        page = Page(client.get(address(request)))
        for fact in (
            request.requester_name,
            request.beneficiary_name,
            f"Matrícula {request.beneficiary_matricula}",
            request.user_type.name,
            request.system.name,
            "Atendimento no balcão.",
            "Devolvida para correção",
            f"Falta um ajuste seu: Informe o número da portaria. Corrija até {request.correct_by:%d/%m/%Y}.",
        ):
            assert fact in page.text
        [history] = page.all("ol", class_="history")
        assert [text_of(element) for element in walk(history) if element.name == "strong"] == [
            "Pedido enviado",
            "Devolvida para correção",
        ]


def test_the_requesters_address_and_telephone_are_not_the_beneficiarys_to_read(client):
    request = returned()
    assert request.requester != request.beneficiary
    for person, sees in ((request.requester, True), (request.beneficiary, False)):
        client.force_login(person)
        page = client.get(address(request)).content.decode()
        assert [request.requester_email in page, request.requester_phone in page] == [sees, sees]


@pytest.mark.parametrize("step", ["", "corrigir/", "cancelar/"])
@pytest.mark.parametrize("who", ["colleague", "analyst", "superuser"])
def test_fault_20_another_persons_request_is_not_there(client, step, who):
    request = returned(description="Nada que um estranho deva ler.")
    people = {
        "colleague": lambda: EmploymentFactory().user,
        "analyst": analyst,  # the desk is theirs, these pages are not
        "superuser": lambda: UserFactory(is_staff=True, is_superuser=True),
    }
    client.force_login(people[who]())

    gone = address(request, step).replace(request.protocol, "2001-999999")
    for method in ("get", "post"):
        answers = [getattr(client, method)(place) for place in (address(request, step), gone)]
        # As if it did not exist: the same status and, but for the protocol, the same page.
        assert answers[0].status_code == answers[1].status_code
        assert answers[0].status_code == (405 if (step, method) == ("", "post") else 404)
        for response in answers:
            assert "Nada que um estranho" not in response.content.decode()
            assert request.beneficiary_name not in response.content.decode()
    request.refresh_from_db()
    assert request.status == Status.RETURNED


@pytest.mark.parametrize("step", ["", "corrigir/", "cancelar/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_is_not_signed_in_is_sent_to_the_door_and_brought_back(client, step, method):
    request = returned()
    response = getattr(client, method)(address(request, step))
    assert response.status_code == 302
    assert urlsplit(response.url).path == "/entrar/"
    assert urlsplit(response.url).query == f"next={address(request, step)}"
    request.refresh_from_db()
    assert request.status == Status.RETURNED


@pytest.mark.parametrize(
    "protocol",
    [
        "1",
        "abc",
        "2026",
        "2026-1",
        "2026-0000001",
        "2026-00000a",
        "٢٠٢٦-٠٠٠٠٠١",
        "%00",
        HUGE,
        "2026-000001%0A",
        "..",
        "'",
    ],
)
@pytest.mark.parametrize("step", ["", "corrigir/"])
def test_what_is_no_protocol_is_not_there(client, person, protocol, step):
    filed(requester=person)
    assert client.get(f"/solicitacoes/{protocol}/{step}").status_code == 404


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (Status.PENDING, "Aguarda início da análise."),
        (Status.IN_REVIEW, "A Coordenadoria está conferindo os dados."),
        (Status.RETURNED, "Falta um ajuste seu: Falta a portaria. Corrija até"),
        (Status.APPROVED, "Pedido aceito. O acesso ainda será criado no sistema externo."),
        (Status.COMPLETED, "Acesso liberado."),
        (Status.REJECTED, "Pedido negado. Motivo: Falta a portaria."),
        (Status.CANCELLED, "Cancelada por"),
        (Status.EXPIRED, "O prazo para corrigir terminou em"),
    ],
)
def test_the_page_says_in_a_sentence_how_the_request_stands(client, person, status, sentence):
    request = brought_to(status, person)
    assert sentence in Page(client.get(address(request))).text


def test_what_people_wrote_is_shown_as_text(client):
    user_type = UserTypeFactory(name=SCRIPT, system__name=SCRIPT)
    bond = EmploymentFactory(user__name=SCRIPT, cargo=SCRIPT, unit__name=SCRIPT)
    requester = EmploymentFactory(user__name=SCRIPT, cargo=SCRIPT).user
    request = returned(SCRIPT, requester=requester, bond=bond, user_type=user_type, description=SCRIPT, phone=SCRIPT)
    client.force_login(requester)
    for place in ("/", LIST, address(request), address(request, "corrigir/")):
        page = client.get(place).content.decode()
        assert SCRIPT not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_no_cpf_and_no_address_of_the_beneficiary_stands_on_these_pages(client):
    request = returned()
    client.force_login(request.requester)
    for place in ("/", LIST, address(request), address(request, "corrigir/")):
        page = client.get(place).content.decode()
        assert request.beneficiary.cpf not in page
        assert request.beneficiary.email not in page
        assert request.requester.cpf not in page


# --- Cancelling ------------------------------------------------------------------------------------------------------
OPEN = (Status.PENDING, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED)
OVER = (Status.COMPLETED, Status.REJECTED, Status.CANCELLED, Status.EXPIRED)


@pytest.mark.parametrize("status", OPEN)
def test_the_requester_cancels_what_is_open(client, person, status):
    request = brought_to(status, person)
    assert Page(client.get(address(request))).one("form", action=address(request, "cancelar/"))

    response = client.post(address(request, "cancelar/"), follow=True)

    assert response.redirect_chain == [(address(request), 302)]
    page = Page(response)
    assert page.notices == ["Solicitação cancelada."]
    assert f"Cancelada por {person.display_name} em {timezone.localdate():%d/%m/%Y}." in page.text
    request.refresh_from_db()
    assert (request.status, request.holder) == (Status.CANCELLED, None)
    assert OutgoingMail.objects.filter(kind="request_cancelled", recipient=person).count() == 1


@pytest.mark.parametrize("status", OVER)
def test_what_is_over_cannot_be_cancelled_and_it_is_said(client, person, status):
    request = brought_to(status, person)
    history = request.events.count()
    assert not Page(client.get(address(request))).one("form", action=address(request, "cancelar/"))

    response = client.post(address(request, "cancelar/"), follow=True)

    sentence = f"A solicitação {request.protocol} está “{status.label}” e não pode passar para “Cancelada”."
    assert sentence in Page(response).notices[0]
    request.refresh_from_db()
    assert (request.status, request.events.count()) == (status, history)


def test_fault_19_nothing_is_cancelled_by_opening_an_address(client, person):
    request = filed(requester=person)
    response = client.get(address(request, "cancelar/"))
    assert (response.status_code, response.url) == (302, address(request))
    request.refresh_from_db()
    assert request.status == Status.PENDING


def test_the_beneficiary_cancels_only_where_the_requester_has_left(client):
    request = filed()
    client.force_login(request.beneficiary)
    assert not Page(client.get(address(request))).one("form", action=address(request, "cancelar/"))
    refused = client.post(address(request, "cancelar/"), follow=True)
    assert Page(refused).notices == ["Você não tem permissão para isso."]
    request.refresh_from_db()
    assert request.status == Status.PENDING

    leaves(request.requester)

    assert Page(client.get(address(request))).one("form", action=address(request, "cancelar/"))
    client.post(address(request, "cancelar/"))
    request.refresh_from_db()
    assert request.status == Status.CANCELLED


# --- Correcting ------------------------------------------------------------------------------------------------------
def corrections(request, **changes):
    """What a browser posts for the form of a returned request, but for the changes."""
    values = {
        "requester_email": request.requester_email,
        "requester_phone": request.requester_phone,
        "beneficiary": request.employment_id,
        "user_type": request.user_type_id,
        "system": request.user_type.system_id,
        "description": request.description,
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def test_the_form_of_a_returned_request_says_why_and_until_when_and_holds_what_was_asked(client):
    request = returned("Informe o número\nda portaria.", description="Atendimento no balcão.", phone="(67) 3314-7851")
    client.force_login(request.requester)
    assert Page(client.get(address(request))).one("a", href=address(request, "corrigir/"))

    page = Page(client.get(address(request, "corrigir/")))

    assert "O que falta: Informe o número da portaria." in page.text
    assert f"Corrija até {request.correct_by:%d/%m/%Y}." in page.text
    assert text_of(page.one("h1")) == f"Corrigir solicitação {request.protocol}"
    assert page.value("requester_email") == request.requester_email
    assert page.value("requester_phone") == "(67) 3314-7851"
    assert page.value("beneficiary") == str(request.employment_id)
    assert (page.value("user_type"), page.value("system")) == (str(request.user_type_id), str(request.system.pk))
    assert page.value("description") == "Atendimento no balcão."


def test_a_correction_is_stored_and_goes_back_into_the_queue(client):
    request, other, user_type = returned(), bond_of("CARLA PAZ", cargo="Juíza Leiga"), UserTypeFactory()
    client.force_login(request.requester)
    changes = {
        "beneficiary": other.pk,
        "user_type": user_type.pk,
        "system": user_type.system_id,
        "description": "Portaria 12/2026.",
        "requester_phone": "(67) 99999-0000",
        "requester_email": "nova.caixa@tjms.jus.br",
    }

    response = client.post(address(request, "corrigir/"), corrections(request, **changes), follow=True)

    assert response.redirect_chain == [(address(request), 302)]
    assert Page(response).notices == ["Solicitação corrigida. Ela voltou para a fila da Coordenadoria."]
    request.refresh_from_db()
    assert (request.status, request.description) == (Status.PENDING, "Portaria 12/2026.")
    assert (request.beneficiary, request.employment, request.user_type) == (other.user, other, user_type)
    assert (request.beneficiary_name, request.beneficiary_cargo) == ("Carla Paz", "Juíza Leiga")
    assert (request.requester_phone, request.requester_email) == ("(67) 99999-0000", "nova.caixa@tjms.jus.br")
    last = request.events.last()
    assert (last.from_status, last.to_status, last.actor) == (Status.RETURNED, Status.PENDING, request.requester)


def test_fault_18_and_asvs_2_2_2_what_is_forged_into_a_correction_changes_nothing(client):
    request, stranger = returned(), EmploymentFactory().user
    before = AccessRequest.objects.values(
        *("protocol", "form_nonce", "requester", "requester_name", "requester_cargo", "requester_lotacao", "created_at")
    ).get()
    client.force_login(request.requester)
    forged = {
        "protocol": "1999-000001",
        "form_nonce": "0" * 32,
        "requester": stranger.pk,
        "requester_name": "Outra Pessoa",
        "requester_cargo": "Desembargador",
        "requester_lotacao": "Presidência",
        "created_at": "1999-01-01",
        "status": "COMPLETED",
        "decided_by": stranger.pk,
        "completed_by": stranger.pk,
    }
    client.post(address(request, "corrigir/"), corrections(request, **forged))
    assert AccessRequest.objects.values(*before).get() == before
    request.refresh_from_db()
    assert (request.status, request.decided_by, request.completed_by) == (Status.PENDING, None, None)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("description", "", "Este campo é obrigatório."),
        ("description", "a" * 100_000, "no máximo 2000 caracteres"),
        ("requester_email", "alguem@gmail.com", "que termina em @tjms.jus.br."),
        ("requester_phone", "x", "Telefone inválido."),
        ("beneficiary", HUGE, "no máximo 20 caracteres"),
        ("beneficiary", "", "Informe para quem é o acesso"),
        ("user_type", "0", "Esta opção não está disponível."),
    ],
)
def test_a_correction_that_cannot_be_is_refused_beside_its_field(client, field, value, sentence):
    request = returned(description="O que estava escrito.")
    client.force_login(request.requester)
    response = client.post(address(request, "corrigir/"), corrections(request, **{field: value}))
    page = Page(response)
    assert response.status_code == 200
    assert sentence in page.beside(field)
    assert "O que falta:" in page.text
    request.refresh_from_db()
    assert (request.status, request.description) == (Status.RETURNED, "O que estava escrito.")


def test_a_correction_into_what_somebody_else_asked_is_refused_with_its_protocol_and_kept(client):
    request, other = returned(), filed()
    client.force_login(request.requester)
    changes = corrections(
        request,
        beneficiary=other.employment_id,
        user_type=other.user_type_id,
        system=other.user_type.system_id,
        description="Portaria 12/2026.",
    )
    response = client.post(address(request, "corrigir/"), changes)
    page = Page(response)
    assert other.protocol in page.summary
    assert page.value("description") == "Portaria 12/2026."
    assert text_of(page.one("h1")) == f"Corrigir solicitação {request.protocol}"
    request.refresh_from_db()
    assert (request.status, request.beneficiary_id != other.beneficiary_id) == (Status.RETURNED, True)


def test_the_search_step_serves_corrections_too(client):
    request, wanted = returned(), bond_of("CARLA PAZ")
    client.force_login(request.requester)
    typed = corrections(request, beneficiary_search="carla", description="Portaria 12/2026.", buscar="1")
    page = Page(client.post(address(request, "corrigir/"), typed))
    assert [dict(radio.attributes)["value"] for radio in page.all("input", type="radio")] == [str(wanted.pk)]
    assert page.value("description") == "Portaria 12/2026."
    assert "O que falta:" in page.text
    request.refresh_from_db()
    assert request.status == Status.RETURNED


def test_an_expired_request_is_reopened_by_correcting_it(client):
    request = returned()
    AccessRequest.objects.update(correct_by=date(2026, 1, 2))
    workflow.expire_overdue()
    client.force_login(request.requester)
    page = Page(client.get(address(request)))
    assert "O prazo para corrigir terminou em 02/01/2026." in page.text
    assert text_of(page.one("a", href=address(request, "corrigir/"))) == "Corrigir e reabrir"
    assert "O prazo para corrigir terminou em 02/01/2026." in Page(client.get(address(request, "corrigir/"))).text

    client.post(address(request, "corrigir/"), corrections(request, description="Portaria 12/2026."))

    request.refresh_from_db()
    assert (request.status, request.description) == (Status.PENDING, "Portaria 12/2026.")
    history = [event.to_status for event in request.events.all()]
    assert history == [Status.PENDING, Status.RETURNED, Status.EXPIRED, Status.PENDING]


def test_reopening_what_was_asked_again_meanwhile_is_refused_with_the_protocol(client):
    request = returned()
    workflow.move(request.pk, Status.EXPIRED, by=None)
    other = filed(bond=request.employment, user_type=request.user_type)
    client.force_login(request.requester)
    page = Page(client.post(address(request, "corrigir/"), corrections(request)))
    assert f"nº {other.protocol}" in page.summary
    request.refresh_from_db()
    assert request.status == Status.EXPIRED


NOT_NOW = "Esta solicitação não pode ser corrigida agora."


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("status", sorted({*OPEN, *OVER} - {Status.RETURNED, Status.EXPIRED}))
def test_what_was_not_returned_cannot_be_corrected_and_it_is_said(client, person, status, method):
    request = brought_to(status, person)
    assert not Page(client.get(address(request))).one("a", href=address(request, "corrigir/"))

    changes = corrections(request, description="mudado depois")
    response = getattr(client, method)(address(request, "corrigir/"), changes, follow=True)

    assert response.redirect_chain == [(address(request), 302)]
    assert Page(response).notices == [NOT_NOW]
    request.refresh_from_db()
    assert (request.status, request.description != "mudado depois") == (status, True)


def test_a_correction_sent_twice_is_made_once(client):
    request = returned()
    client.force_login(request.requester)
    for _ in range(2):
        response = client.post(address(request, "corrigir/"), corrections(request), follow=True)
    assert response.redirect_chain == [(address(request), 302)]
    assert request.events.filter(to_status=Status.PENDING, from_status=Status.RETURNED).count() == 1


def test_the_beneficiary_corrects_only_where_the_requester_has_left_and_only_for_themself(client):
    request, other = returned(), EmploymentFactory()
    client.force_login(request.beneficiary)
    assert Page(client.get(address(request, "corrigir/"), follow=True)).notices == [NOT_NOW]

    leaves(request.requester)

    page = Page(client.post(address(request, "corrigir/"), corrections(request, beneficiary=other.pk)))
    assert "Só quem pediu pode trocar a pessoa que terá o acesso." in page.summary
    client.post(address(request, "corrigir/"), corrections(request, description="Portaria 12/2026."))
    request.refresh_from_db()
    assert (request.status, request.description) == (Status.PENDING, "Portaria 12/2026.")


# --- The first page --------------------------------------------------------------------------------------------------
def test_the_first_page_says_what_the_portal_is_and_leads_to_the_door(client):
    page = Page(client.get("/"))
    assert "BNMP 2.0" in page.text
    for place in ("/entrar/", "/esqueci-a-senha/", "/orientacoes/"):
        assert page.one("a", href=place), place
    assert not page.one("a", href="/solicitacoes/nova/")


def test_the_first_page_of_who_is_in_shows_my_requests_my_accesses_and_the_way_to_a_new_one(client, person):
    mine, theirs = filed(requester=person), filed(bond=bond_of("SIGILO ABSOLUTO"))
    bnmp = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    given = filed(bond=person.employments.get(), user_type=bnmp)
    workflow.move(given.pk, Status.APPROVED, by=analyst())
    seeu = UserTypeFactory(name="Magistrado", system__name="SEEU")
    workflow.move(filed(user_type=seeu).pk, Status.APPROVED, by=analyst())  # somebody else's access

    response = client.get("/")

    page = Page(response)
    assert page.one("a", href="/solicitacoes/nova/")
    assert page.one("a", href=address(mine))
    assert "BNMP 2.0 Consulta" in page.text
    for foreign in (theirs.protocol, "Sigilo", "SEEU"):
        assert foreign not in response.content.decode()


def test_the_first_page_shows_the_five_newest(client, person):
    requests = [filed(requester=person) for _ in range(6)]
    assert protocols_on(client.get("/")) == [request.protocol for request in requests[:0:-1]]


def test_who_has_no_bond_is_told_and_not_sent_to_the_form(client):
    client.force_login(UserFactory())
    page = Page(client.get("/"))
    assert "Só quem tem vínculo ativo com o Tribunal pode pedir acessos." in page.text
    assert "/solicitacoes/nova/" not in [
        dict(a.attributes).get("href") for a in page.all("a") if "btn" in str(a.attributes)
    ]


def test_three_requests_on_the_first_page_cost_as_many_queries_as_one(client, person):
    def give():
        workflow.move(filed(bond=person.employments.get()).pk, Status.APPROVED, by=analyst())

    give()
    client.get("/")
    with CaptureQueriesContext(connection) as with_one:
        client.get("/")
    give()
    give()
    with CaptureQueriesContext(connection) as with_three:
        client.get("/")
    assert len(with_three) == len(with_one)


# --- The guidance ----------------------------------------------------------------------------------------------------
SOURCE = """
Acesso ao BNMP 2.0
1. Solicitação de acesso pela Intranet
2. Redefinição de senha
visa ao controle estatístico em tempo real da população carcerária, incluindo presos provisórios, definitivos, foragidos
O link para acessar o BNMP 2.0 é https://sso.cnj.jus.br/cas/login
O cadastro de partes e peças será realizado exclusivamente por meio do SAJ-PG.
apenas os mandados de prisão e alvarás de soltura expedidos no sistema SEEU estão integrados com o BNMP 2.0
Ofício-Circular nº 126.768.075.0001/2018
*Telefone do solicitante: (Preferencialmente telefone da instituição)
*Efetuar cadastro para: (matrícula ou nome)
[*Campos obrigatórios]
o usuário receberá um e-mail contendo o login e a senha de acesso ao sistema
clicando sobre a figura da engrenagem no canto superior direito da tela
É de suma importância que o usuário guarde a senha de acesso ao BNMP 2.0.
poderá redefini-la seguindo os passos abaixo
Esqueci a senha , localizado no canto inferior esquerdo da tela
informar o número do CPF (sem traços ou pontos), clicar em Não sou um robô e Enviar
será enviado um e-mail para o endereço eletrônico do usuário (xxxx@tjms.jus.br)
Alterar Minha Senha
será direcionado a uma tela informando que a senha foi alterada com sucesso
Caso o usuário não receba o e-mail para redefinição de senha, deverá entrar em contato com a
Eventuais dúvidas também poderão ser dirimidas por meio dos contatos informados acima.
Coordenadoria de Gerência de Sistemas Externos
cgjconvenios@tjms.jus.br
(67) 3314-1465 / 3314-1327
das 12h às 18h
"""


def squeezed(text):
    return "".join(text.split())


@pytest.mark.parametrize("line", SOURCE.strip().splitlines())
def test_the_guidance_says_what_the_source_says(client, line):
    assert squeezed(line) in squeezed(Page(client.get("/orientacoes/")).text)


def test_the_guidance_has_its_notices_with_their_dates(client):
    page = Page(client.get("/orientacoes/"))
    notices = [
        text_of(element) for element in page.elements if "notice" in dict(element.attributes).get("class", "").split()
    ]
    assert [notice.split()[0] for notice in notices] == ["INFORMAÇÃO", "ATENÇÃO!", "ATENÇÃO!"]
    assert [("NOVIDADE EM 14.7.2020" in notice) for notice in notices] == [True, True, False]


def test_the_index_leads_to_the_parts_of_the_page(client):
    page = Page(client.get("/orientacoes/"))
    targets = [href for a in page.all("a") if (href := dict(a.attributes)["href"]).startswith("#")]
    assert {"#solicitacao", "#redefinicao"} <= set(targets)
    for target in targets:
        assert page.one(id=target[1:]), target


def test_the_guidance_leads_to_the_system_and_to_both_procedures(client):
    page = Page(client.get("/orientacoes/"))
    for place in ("https://sso.cnj.jus.br/cas/login", "/solicitacoes/nova/", "/entrar/", "/esqueci-a-senha/"):
        assert page.one("a", href=place), place


def test_the_guidance_shows_the_catalogue_with_its_dated_notices(client):
    system = ExternalSystemFactory(name="BNMP 2.0", purpose="Consulta de mandados.", url="https://bnmp.exemplo/entrar")
    ExternalSystemFactory(name="Sistema fechado", is_active=False)
    SystemNotice.objects.create(system=system, kind="ATTENTION", text="Guarde a senha.", published_on=date(2020, 7, 14))
    page = Page(client.get("/orientacoes/"))
    assert "BNMP 2.0 Consulta de mandados. Endereço: https://bnmp.exemplo/entrar" in page.text
    assert "ATENÇÃO! 14/07/2020 Guarde a senha." in page.text
    assert "Sistema fechado" not in page.text


@pytest.mark.parametrize("ended", [{"is_active": False}, {"active_until": date(2020, 7, 14)}])
def test_the_guidance_says_what_has_taken_the_place_of_a_system(client, ended):
    ExternalSystemFactory(name="Sistema antigo", successor=ExternalSystemFactory(name="Sistema novo"), **ended)
    ExternalSystemFactory(name="Sistema fechado", **ended)
    text = Page(client.get("/orientacoes/")).text
    assert "Sistema antigo Não aceita mais pedidos. Substituído por: Sistema novo." in text
    assert "Sistema fechado" not in text


def test_the_guidance_with_no_system_left_says_so_and_what_has_taken_its_place(client):
    gone = {"is_active": False}
    ExternalSystemFactory(name="Sistema antigo", successor=ExternalSystemFactory(name="Sistema novo", **gone), **gone)
    text = Page(client.get("/orientacoes/")).text
    assert "Nenhum sistema aceita pedidos no momento." in text
    assert "Substituído por: Sistema novo." in text


def test_contacts_changed_by_the_staff_change_on_the_page(client):
    HelpDesk(name="Nova Coordenadoria", email="nova@tjms.jus.br", phones="(67) 3314-9999", hours="das 8h às 12h").save()
    text = Page(client.get("/orientacoes/")).text
    assert "Nova Coordenadoria E-mail nova@tjms.jus.br Telefone (67) 3314-9999 , das 8h às 12h" in text
    assert "3314-1465" not in text


def test_three_systems_cost_the_guidance_as_many_queries_as_one(client):
    def offer():
        system = ExternalSystemFactory(successor=ExternalSystemFactory())
        SystemNotice.objects.create(system=system, text="Novidade.")

    offer()
    with CaptureQueriesContext(connection) as with_one:
        client.get("/orientacoes/")
    offer()
    offer()
    with CaptureQueriesContext(connection) as with_three:
        client.get("/orientacoes/")
    assert len(with_three) == len(with_one)
