"""The Coordenadoria's desk: the queue, one request on a screen, the decision, and what nobody may do there."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.cpf import formatted
from accounts.models import (
    FactorRemoval,
    HelpDesk,
    OutgoingMail,
    ProvisionalPassword,
    SecurityEvent,
    Term,
    TermAcceptance,
)
from accounts.tests.factories import PASSWORD, DirectoryImportFactory, EmploymentFactory, UserFactory
from requests_app import catalogue, workflow
from requests_app.models import (
    AccessGrant,
    AccessRequest,
    Cargo,
    GrantEvent,
    GrantStatus,
    Holiday,
    ReasonTemplate,
    RequestEvent,
    Status,
    SystemNotice,
)

from .factories import (
    ExternalSystemFactory,
    UserTypeFactory,
    analyst,
    manager,
    request_in,
    superuser,
    unsaved_request,
)
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

QUEUE = "/admin/requests_app/accessrequest/"
GRANTS = "/admin/requests_app/accessgrant/"
SCRIPT = "<script>alert(1)</script>"
HUGE = str(10**30)
NOT_YOUR_OWN = "Ninguém decide um pedido que fez ou que é para si."


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def screen(request):
    return f"{QUEUE}{request.pk}/change/"


def decide(client, request, to, **fields):
    return client.post(f"{QUEUE}{request.pk}/decidir/", {"to": to, **fields})


def buttons(page):
    """What the page lets an analyst do with the request."""
    return {dict(button.attributes)["value"] for button in page.all("button", name="to")}


def shown(response):
    """The protocols on a page of the queue."""
    page = Page(response)
    return [text_of(cell) for cell in page.all("th", class_="field-protocol")]


@pytest.fixture
def decider(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


# --- The queue -------------------------------------------------------------------------------------------------------
def test_the_queue_opens_on_what_waits_the_oldest_first(client, decider):
    waiting = [request_in(Status.PENDING), request_in(Status.IN_REVIEW)]
    for status in set(Status) - {Status.PENDING, Status.IN_REVIEW}:
        request_in(status)
    assert shown(client.get(QUEUE)) == [request.protocol for request in waiting]


@pytest.mark.parametrize("status", Status)
def test_any_status_is_one_click_away(client, decider, status):
    requests = {other: request_in(other) for other in Status}
    assert shown(client.get(QUEUE, {"situacao": status})) == [requests[status].protocol]
    assert len(shown(client.get(QUEUE, {"situacao": "todas"}))) == len(Status)


@pytest.mark.parametrize("value", ["abc", "", "\0", HUGE, "' OR 1=1"])
def test_a_status_that_is_none_shows_what_waits(client, decider, value):
    waiting = request_in(Status.PENDING)
    request_in(Status.COMPLETED)
    assert shown(client.get(QUEUE, {"situacao": value}, follow=True)) == [waiting.protocol]


def test_a_row_says_who_asks_what_for_whom_and_who_holds_it(client, decider):
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    bond = EmploymentFactory(user__name="JOÃO DA SILVA")
    requester = EmploymentFactory(user__name="QUEM PEDE").user
    request = filed(requester=requester, bond=bond, user_type=user_type)
    workflow.move(request.pk, Status.IN_REVIEW, by=decider)
    [row] = [text_of(row) for row in Page(client.get(QUEUE)).all("tr") if request.protocol in text_of(row)]
    for fact in ("João da Silva", "BNMP 2.0 – Consulta", "Quem Pede", "Em análise", "Ana Lista"):
        assert fact in row


@pytest.fixture
def three(decider):
    people = {"joao": "JOÃO D'ÁVILA", "maria": "MARIA-CLARA PAZ", "jose": "JOSÉ CONCEIÇÃO"}
    return {
        key: filed(bond=EmploymentFactory(user__name=name, matricula=f"7100{place}"))
        for place, (key, name) in enumerate(people.items())
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("joão", {"joao"}),
        ("JOAO", {"joao"}),
        ("d'avila", {"joao"}),
        ("conceicao josé", {"jose"}),
        ("maria-clara", {"maria"}),
        ("Paz", {"maria"}),
        ("71002", {"jose"}),
        ("jo", {"joao", "jose"}),
        ("j%o", set()),
        ("jo_o", set()),
        ("20__-0000%", set()),
        ("'", set()),
        ("%", set()),
        ("_", set()),
        ('"joao', {"joao"}),
        ("' OR '1'='1", set()),
        ("ninguém", set()),
        (SCRIPT, set()),
        (HUGE, set()),
    ],
)
def test_the_queue_is_searched_by_name_or_matricula(client, three, query, found):
    response = client.get(QUEUE, {"q": query})
    assert set(shown(response)) == {three[key].protocol for key in found}
    assert SCRIPT not in response.content.decode()


def test_the_queue_is_searched_by_protocol_whole_or_in_part(client, three):
    request = three["maria"]
    for query in (request.protocol, f" {request.protocol} ", request.protocol[-6:]):
        assert shown(client.get(QUEUE, {"q": query})) == [request.protocol]
    assert len(shown(client.get(QUEUE, {"q": request.protocol[:5]}))) == 3


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("a" * 3000, set()),
        ("m%ria", set()),
        ("' OR 1=1 --", set()),
        ("maria²", set()),
        ("joão;", {"joao"}),
    ],
)
def test_fault_21_any_other_text_is_harmless_and_finds_nothing_that_it_does_not_name(client, three, query, found):
    assert set(shown(client.get(QUEUE, {"q": query}))) == {three[key].protocol for key in found}


def test_fault_21_a_search_that_no_database_takes_is_told(client, three):
    assert "Caracteres nulos" in Page(client.get(QUEUE, {"q": "joão\0"})).text


def test_three_rows_of_the_queue_cost_as_many_queries_as_one(client, decider):
    request_in(Status.IN_REVIEW)
    client.get(QUEUE)
    with CaptureQueriesContext(connection) as with_one:
        client.get(QUEUE)
    request_in(Status.IN_REVIEW)
    request_in(Status.IN_REVIEW)
    with CaptureQueriesContext(connection) as with_three:
        client.get(QUEUE)
    assert len(with_three) == len(with_one)


# --- One request -----------------------------------------------------------------------------------------------------
def test_opening_one_shows_who_asks_what_for_whom_and_its_history(client, decider):
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    bond = EmploymentFactory(user__name="JOÃO DA SILVA", matricula="081135", cargo="Oficial de Justiça")
    requester = EmploymentFactory(user__name="QUEM PEDE", cargo="Chefe de Cartório").user
    request = filed(requester=requester, bond=bond, user_type=user_type, description="Atendimento\nno balcão.")
    earlier = request_in(Status.REJECTED, bond=bond)
    given = filed(bond=bond, user_type=UserTypeFactory(name="Servidor", system__name="SEEU"))
    workflow.move(given.pk, Status.APPROVED, by=analyst())
    workflow.move(request.pk, Status.IN_REVIEW, by=decider, note="Conferir a portaria.")

    page = Page(client.get(screen(request)))

    text = text_of(page.one(id="content-main"))
    for fact in (
        *("Em análise com Ana Lista", "BNMP 2.0", "Consulta", "Atendimento no balcão."),
        *("Quem Pede", "Chefe de Cartório", requester.masked_email, requester.phone),
        *("João da Silva", "081135", "Oficial de Justiça", str(bond.unit), bond.user.masked_email),
        *("SEEU – Servidor · Ativo", earlier.protocol, "Conferir a portaria."),
    ):
        assert fact in text, fact
    assert requester.email not in text
    assert page.one("a", href=screen(earlier))
    [history] = page.all("table", class_="desk-history")
    rows = [text_of(row) for row in walk(history) if row.name == "tr"]
    assert [
        ("Quem Pede" in rows[1], "Pedido enviado" in rows[1]),
        ("Ana Lista" in rows[2], "Em análise" in rows[2]),
    ] == [
        (True, True),
        (True, True),
    ]
    assert bond.user.cpf not in page.text
    assert formatted(bond.user.cpf) not in page.text


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.PENDING, {"APPROVED", "RETURNED", "REJECTED", "IN_REVIEW"}),
        (Status.IN_REVIEW, {"APPROVED", "RETURNED", "REJECTED", "PENDING"}),
        (Status.RETURNED, set()),
        (Status.APPROVED, {"COMPLETED", "REJECTED"}),
        (Status.COMPLETED, set()),
        (Status.REJECTED, set()),
        (Status.CANCELLED, set()),
        (Status.EXPIRED, set()),
    ],
)
def test_the_screen_offers_what_the_table_allows(client, decider, status, expected):
    page = Page(client.get(screen(request_in(status))))
    assert buttons(page) == expected
    assert ("Não há nada a decidir nesta solicitação." in page.text) is (not expected)


def test_no_whole_address_stands_on_the_page_of_who_asks_for_themselves(client, decider):
    bond = EmploymentFactory(user__email="quem.pede@tjms.jus.br")
    request = filed(requester=bond.user, bond=bond)
    page = client.get(screen(request)).content.decode()
    assert page.count("q***@tjms.jus.br") == 2
    assert "quem.pede@" not in page


def test_script_in_what_people_wrote_is_shown_as_text(client, decider):
    bond = EmploymentFactory(user__name=SCRIPT, cargo=SCRIPT, unit__name=SCRIPT)
    requester = EmploymentFactory(user__name=SCRIPT, cargo=SCRIPT).user
    user_type = UserTypeFactory(name=SCRIPT, system__name=SCRIPT)
    request = filed(requester=requester, bond=bond, user_type=user_type, description=SCRIPT, phone=SCRIPT)
    workflow.move(request.pk, Status.IN_REVIEW, by=decider, note=SCRIPT)
    refused = decide(client, request, Status.REJECTED, note="").content.decode()
    for page in (client.get(QUEUE).content.decode(), client.get(screen(request)).content.decode(), refused):
        assert SCRIPT not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    workflow.move(request.pk, Status.APPROVED, by=decider)
    grant = AccessGrant.objects.get()
    client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": SCRIPT})
    for place in (GRANTS, f"{GRANTS}{grant.pk}/change/", "/admin/accounts/outgoingmail/"):
        page = client.get(place).content.decode()
        assert SCRIPT not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("pk", ["0", "987654321", HUGE, "-1", "abc", "1'", "%00", "²", "٣", "9223372036854775808"])
def test_a_request_that_is_not_there_is_no_fault(client, decider, pk):
    request_in(Status.PENDING)
    opened = client.get(f"{QUEUE}{pk}/change/")
    assert opened.status_code in {302, 404}
    decided = client.post(f"{QUEUE}{pk}/decidir/", {"to": "APPROVED"})
    assert decided.status_code in {302, 404, 405}
    assert not RequestEvent.objects.exists()


# --- Deciding --------------------------------------------------------------------------------------------------------
def test_approving_grants_and_says_so(client, decider):
    request = filed()
    response = decide(client, request, "APPROVED")
    assert (response.status_code, response.url) == (302, screen(request))
    page = Page(client.get(response.url))
    said = f"Solicitação {request.protocol} aprovada e acesso liberado. A pessoa recebe por e-mail como entrar."
    assert said in [text_of(element) for element in page.all("li", class_="success")]
    request.refresh_from_db()
    assert (request.status, request.decided_by) == (Status.COMPLETED, decider)
    assert AccessGrant.objects.get().user == request.beneficiary
    mails = set(OutgoingMail.objects.values_list("kind", "recipient"))
    assert {("credential", request.beneficiary_id), ("request_completed", request.requester_id)} <= mails


@pytest.mark.parametrize(
    ("came_from", "to", "said"),
    [
        (Status.PENDING, Status.IN_REVIEW, "Solicitação {} em análise com você."),
        (Status.IN_REVIEW, Status.PENDING, "Solicitação {} de volta à fila."),
        (Status.PENDING, Status.RETURNED, "Solicitação {} devolvida para correção."),
        (Status.IN_REVIEW, Status.REJECTED, "Solicitação {} indeferida."),
        (Status.IN_REVIEW, Status.APPROVED, "Solicitação {} aprovada."),
        (Status.APPROVED, Status.COMPLETED, "Acesso da solicitação {} registrado. A pessoa recebe um e-mail."),
        (Status.APPROVED, Status.REJECTED, "Solicitação {} indeferida."),
    ],
)
def test_each_button_makes_its_move(client, decider, came_from, to, said):
    request = request_in(came_from, user_type=UserTypeFactory(system__credential="OWN"))
    response = decide(client, request, to, note="Falta a portaria.")
    assert (response.status_code, response.url) == (302, screen(request))
    messages = [text_of(element) for element in Page(client.get(response.url)).all("li", class_="success")]
    assert messages == [said.format(request.protocol)]
    request.refresh_from_db()
    assert request.status == to
    event = request.events.get()
    assert (event.from_status, event.to_status, event.actor, event.note) == (
        came_from,
        to,
        decider,
        "Falta a portaria.",
    )


@pytest.mark.parametrize("to", ["RETURNED", "REJECTED"])
@pytest.mark.parametrize("note", ["", "  \r\n "])
def test_a_reason_is_mandatory_to_return_or_reject(client, decider, to, note):
    request = filed()
    response = decide(client, request, to, note=note)
    page = Page(response)
    assert page.beside("note") == "Escreva o motivo: quem pediu precisa saber o que houve."
    assert buttons(page) == {"APPROVED", "RETURNED", "REJECTED", "IN_REVIEW"}
    request.refresh_from_db()
    assert request.status == Status.PENDING


@pytest.mark.parametrize(
    ("note", "sentence"), [("a" * 2001, "no máximo 2000 caracteres"), ("a\0b", "Caracteres nulos não são permitidos.")]
)
def test_a_reason_that_cannot_be_is_refused_beside_it_and_kept(client, decider, note, sentence):
    request = filed()
    response = decide(client, request, "REJECTED", note=note)
    page = Page(response)
    assert sentence in text_of(page.one(class_="errornote"))
    assert page.value("note").replace("\ufffd", "\0") == note
    request.refresh_from_db()
    assert request.status == Status.PENDING


@pytest.mark.parametrize("first", ["APPROVED", "REJECTED", "RETURNED"])
@pytest.mark.parametrize("second", ["APPROVED", "REJECTED", "RETURNED"])
def test_a_request_is_decided_once_and_the_second_is_told(client, make_client, decider, first, second):
    request, other = filed(), make_client()
    other.force_login(analyst())
    decide(other, request, first, note="primeira")
    history = request.events.count()

    response = decide(client, request, second, note="O que eu já tinha escrito.")

    assert response.status_code == 409
    page = Page(response)
    assert "Talvez outra pessoa já a tenha decidido" in text_of(page.one("ul", class_="errorlist"))
    assert request.events.count() == history
    assert AccessGrant.objects.count() == (first == "APPROVED")


def test_what_was_typed_is_kept_where_the_decision_was_refused(client, decider):
    request = filed()
    OutgoingMail.objects.all().delete()
    AccessRequest.objects.filter(pk=request.pk).update(status=Status.APPROVED, **decision_of(analyst()))
    response = decide(client, request, "RETURNED", note="O que eu já tinha escrito.")
    assert response.status_code == 409
    assert Page(response).value("note") == "O que eu já tinha escrito."


def decision_of(user):
    return {"decided_by": user, "decided_at": timezone.now()}


@pytest.mark.parametrize("to", ["APPROVED", "REJECTED", "RETURNED", "IN_REVIEW"])
def test_nothing_is_decided_on_a_cancelled_request(client, decider, to):
    request = filed()
    workflow.move(request.pk, Status.CANCELLED, by=request.requester)
    response = decide(client, request, to, note="motivo")
    assert response.status_code == 409
    sentence = f"A solicitação {request.protocol} está “Cancelada” e não pode passar para"
    assert sentence in text_of(Page(response).one("ul", class_="errorlist"))
    request.refresh_from_db()
    assert (request.status, request.decided_by) == (Status.CANCELLED, None)


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
@pytest.mark.parametrize("step", ["decidir/?to=APPROVED", "decidir/"])
def test_fault_19_nothing_is_decided_but_by_post(client, decider, method, step):
    request = filed()
    response = getattr(client, method)(f"{QUEUE}{request.pk}/{step}")
    if method in {"get", "head"}:  # as after signing in again: back to the request
        assert (response.status_code, response.url) == (302, screen(request))
    else:
        assert response.status_code == 405
    request.refresh_from_db()
    assert request.status == Status.PENDING


def test_the_screen_itself_takes_no_post(client, decider):
    request = filed()
    assert client.post(screen(request), {"to": "APPROVED", "status": "APPROVED", "_save": "1"}).status_code == 405
    request.refresh_from_db()
    assert request.status == Status.PENDING


@pytest.mark.parametrize("to", ["", "abc", "CANCELLED", "EXPIRED", "approved", HUGE, "APPROVED\0", SCRIPT])
def test_a_step_that_nobody_offers_is_refused_with_a_sentence(client, decider, to):
    request = filed()
    response = decide(client, request, to, note="O que eu já tinha escrito.")
    page = Page(response)
    assert response.status_code in {200, 409}
    assert text_of(page.one("ul", class_="errorlist"))
    assert page.value("note") == "O que eu já tinha escrito."
    assert SCRIPT not in response.content.decode()
    request.refresh_from_db()
    assert request.status == Status.PENDING


def test_fault_18_and_asvs_2_2_2_what_is_forged_into_a_decision_changes_nothing(client, decider):
    request, other = filed(), analyst()
    before = AccessRequest.objects.values(
        "protocol", "requester", "beneficiary", "employment", "user_type", "description"
    )
    expected = before.get()
    forged = {
        "status": "APPROVED",
        "decided_by": other.pk,
        "decided_at": "1999-01-01",
        "completed_by": other.pk,
        "holder": other.pk,
        "by": other.pk,
        "actor": other.pk,
        "requester": other.pk,
        "beneficiary": other.pk,
        "employment": EmploymentFactory().pk,
        "user_type": UserTypeFactory().pk,
        "protocol": "1999-000001",
        "description": "outra",
        "pk": filed().pk,
    }
    decide(client, request, "REJECTED", note="motivo", **forged)
    request.refresh_from_db()
    assert before.get(pk=request.pk) == expected
    assert (request.status, request.decided_by, request.holder, request.completed_by) == (
        *(Status.REJECTED, decider),
        *(None, None),
    )
    assert request.decided_at.year > 1999
    assert request.events.last().actor == decider


# --- Who may ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("to", ["APPROVED", "RETURNED", "REJECTED", "IN_REVIEW"])
def test_fault_19_staff_without_the_permission_see_and_decide_nothing(client, to):
    request = filed()
    client.force_login(manager())
    assert buttons(Page(client.get(screen(request)))) == set()
    assert decide(client, request, to, note="motivo").status_code == 403
    request.refresh_from_db()
    assert (request.status, request.decided_by) == (Status.PENDING, None)


def test_staff_in_no_group_do_not_even_see(client):
    request = filed()
    client.force_login(UserFactory(is_staff=True))
    for place in (QUEUE, screen(request)):
        response = client.get(place)
        assert response.status_code == 403
        assert request.protocol not in response.content.decode()
    assert decide(client, request, "APPROVED").status_code == 403


@pytest.mark.parametrize("who", ["requester", "beneficiary", "colleague", "analyst who is staff no more"])
def test_who_is_no_staff_never_gets_in(client, who):
    request = filed()
    former = analyst()
    former.is_staff = False
    former.save()
    people = {"requester": request.requester, "beneficiary": request.beneficiary, "colleague": EmploymentFactory().user}
    client.force_login(people.get(who, former))
    for response in (
        client.get(QUEUE, follow=True),
        client.get(screen(request), follow=True),
        client.post(f"{QUEUE}{request.pk}/decidir/", {"to": "APPROVED"}, follow=True),
        client.post(f"{GRANTS}1/reemitir/", {"note": "x"}, follow=True),
    ):
        assert response.status_code == 403
        assert request.description not in response.content.decode()
    request.refresh_from_db()
    assert request.status == Status.PENDING


@pytest.mark.parametrize("place", ["/admin/", QUEUE, f"{QUEUE}1/change/", f"{QUEUE}1/decidir/", f"{GRANTS}1/reemitir/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_is_not_signed_in_goes_through_the_one_door(client, place, method):
    response = getattr(client, method)(place, follow=True)
    last, _status = response.redirect_chain[-1]
    assert (urlsplit(last).path, urlsplit(last).query) == ("/entrar/", f"next={place}")
    assert response.status_code == 200


def own_request(status, decider, quality):
    """A request of the analyst's own: made by them, or for them."""
    if quality == "requester":
        return request_in(status, requester=EmploymentFactory(user=decider).user)
    return request_in(status, bond=EmploymentFactory(user=decider))


@pytest.mark.parametrize("quality", ["requester", "beneficiary"])
@pytest.mark.parametrize("status", Status)
def test_ones_own_request_has_no_buttons(client, decider, quality, status):
    request = own_request(status, decider, quality)
    page = Page(client.get(screen(request)))
    assert buttons(page) == set()
    assert NOT_YOUR_OWN in page.text


def test_ones_own_request_has_no_buttons_where_the_requester_has_left(client, decider):
    request = own_request(Status.RETURNED, decider, "beneficiary")
    request.requester.employments.update(ended_on=timezone.localdate() - timedelta(days=1))
    assert buttons(Page(client.get(screen(request)))) == set()


@pytest.mark.parametrize("quality", ["requester", "beneficiary"])
@pytest.mark.parametrize("rank", ["analyst", "superuser"])
@pytest.mark.parametrize(
    ("came_from", "to"),
    [
        *((Status.PENDING, to) for to in ("APPROVED", "RETURNED", "REJECTED", "IN_REVIEW")),
        *((Status.IN_REVIEW, to) for to in ("APPROVED", "RETURNED", "REJECTED", "PENDING")),
        *((Status.APPROVED, to) for to in ("COMPLETED", "REJECTED")),
    ],
)
def test_asvs_2_2_2_nobody_decides_their_own_request_not_even_by_a_forged_post(client, quality, rank, came_from, to):
    decider = analyst() if rank == "analyst" else superuser()
    client.force_login(decider)
    request = own_request(came_from, decider, quality)
    response = decide(client, request, to, note="motivo")
    assert response.status_code == 409
    assert NOT_YOUR_OWN in text_of(Page(response).one("ul", class_="errorlist"))
    request.refresh_from_db()
    assert request.status == came_from
    assert not AccessGrant.objects.exists()
    assert not request.events.exists()


def test_the_requesters_own_moves_are_not_made_at_the_desk(client, decider):
    request = own_request(Status.RETURNED, decider, "requester")
    response = decide(client, request, "PENDING")
    assert response.status_code == 409
    assert NOT_YOUR_OWN in text_of(Page(response).one("ul", class_="errorlist"))
    request.refresh_from_db()
    assert request.status == Status.RETURNED


# --- The provisional password ----------------------------------------------------------------------------------------
def test_a_new_password_is_offered_only_where_the_person_chose_one(client, decider):
    chosen = request_in(Status.PENDING, bond=EmploymentFactory())
    never = request_in(Status.PENDING, bond=EmploymentFactory(user__password=make_password(None)))
    provisional = request_in(Status.PENDING, bond=EmploymentFactory(user__must_change_password=True))
    other_system = request_in(
        Status.PENDING, bond=EmploymentFactory(), user_type=UserTypeFactory(system__credential="OPERATOR")
    )
    decided = request_in(Status.APPROVED, bond=EmploymentFactory())
    staff = request_in(Status.PENDING, bond=EmploymentFactory(user__is_staff=True))
    offered = {
        name: bool(Page(client.get(screen(request))).controls("renew_password"))
        for name, request in {
            "chosen": chosen,
            "never": never,
            "provisional": provisional,
            "other system": other_system,
            "decided": decided,
            "staff": staff,
        }.items()
    }
    assert [name for name, is_offered in offered.items() if is_offered] == ["chosen"]


OF_THE_STAFF = "Esta pessoa é da equipe do portal e já tem senha própria."


@pytest.mark.parametrize("quality", ["is_staff", "is_superuser"])
def test_a_decision_replaces_no_password_that_somebody_of_the_staff_chose(client, decider, quality):
    bond = EmploymentFactory(**{f"user__{quality}": True})
    request = filed(bond=bond)
    response = decide(client, request, "APPROVED", renew_password="on")
    assert response.status_code == 409
    assert OF_THE_STAFF in text_of(Page(response).one("ul", class_="errorlist"))

    decide(client, request, "APPROVED")
    grant = AccessGrant.objects.get(user=bond.user)
    address = f"{GRANTS}{grant.pk}/reemitir/"
    assert not Page(client.get(f"{GRANTS}{grant.pk}/change/")).one("form", action=address)
    response = client.post(address, {"note": "Não chegou."})
    assert response.status_code == 409
    assert OF_THE_STAFF in text_of(Page(response).one("ul", class_="errorlist"))
    bond.user.refresh_from_db()
    assert bond.user.check_password(PASSWORD)


def test_somebody_of_the_staff_who_chose_no_password_yet_gets_another_provisional_one(client, decider):
    request = filed(bond=EmploymentFactory(user__is_staff=True, user__password=make_password(None)))
    grant = workflow.move(request.pk, Status.APPROVED, by=decider).grant
    assert client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": "Não chegou."}).status_code == 302


@pytest.mark.parametrize(("ticked", "kind"), [({}, "access_granted"), ({"renew_password": "on"}, "credential")])
def test_a_chosen_password_is_replaced_only_where_it_is_ticked(client, decider, ticked, kind):
    request = filed(bond=EmploymentFactory())
    decide(client, request, "APPROVED", **ticked)
    mails = OutgoingMail.objects.filter(recipient=request.beneficiary).values_list("kind", flat=True)
    assert list(mails) == [kind]
    assert ProvisionalPassword.objects.filter(user=request.beneficiary).count() == (kind == "credential")


# --- Accesses --------------------------------------------------------------------------------------------------------
@pytest.fixture
def grant(decider):
    request = filed()
    return workflow.move(request.pk, Status.APPROVED, by=decider).grant


def test_reissuing_mails_a_new_password_and_says_so(client, grant):
    page = Page(client.get(f"{GRANTS}{grant.pk}/change/"))
    assert page.one("form", action=f"{GRANTS}{grant.pk}/reemitir/")

    response = client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": "Não chegou.", "user": 1, "status": "REVOKED"})

    assert (response.status_code, response.url) == (302, f"{GRANTS}{grant.pk}/change/")
    page = Page(client.get(response.url))
    assert "Nova credencial emitida. Ela segue por e-mail; a anterior não vale mais." in page.text
    assert "Não chegou." in page.text
    assert OutgoingMail.objects.filter(kind="credential", recipient=grant.user).count() == 2
    grant.refresh_from_db()
    assert grant.status == GrantStatus.ACTIVE


@pytest.mark.parametrize("note", ["", "  ", "a" * 2001, "a\0b"])
def test_reissuing_needs_a_reason(client, grant, note):
    response = client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": note})
    assert response.status_code == 200
    assert text_of(Page(response).one(class_="errornote"))
    assert grant.events.count() == 1


@pytest.mark.parametrize("who", ["manager", "requester", "beneficiary"])
def test_who_may_not_decide_may_not_reissue(client, grant, who):
    user = {"manager": manager, "requester": lambda: grant.request.requester, "beneficiary": lambda: grant.user}[who]()
    if who != "manager":
        user.is_staff = True
        user.save()
        user.groups.add(Group.objects.get(name="Análise"))
    client.force_login(user)
    page = Page(client.get(f"{GRANTS}{grant.pk}/change/"))
    assert not page.one("form", action=f"{GRANTS}{grant.pk}/reemitir/")
    response = client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": "não chegou"})
    assert response.status_code == (403 if who == "manager" else 409)
    if who != "manager":
        assert NOT_YOUR_OWN in text_of(Page(response).one("ul", class_="errorlist"))
    assert grant.events.count() == 1


def test_an_access_that_is_active_no_more_has_nothing_to_reissue(client, grant):
    AccessGrant.objects.update(status=GrantStatus.REVOKED)
    page = Page(client.get(f"{GRANTS}{grant.pk}/change/"))
    assert not page.one("form", action=f"{GRANTS}{grant.pk}/reemitir/")
    response = client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": "não chegou"})
    assert "Só um acesso ativo tem credencial para reemitir." in text_of(Page(response).one("ul", class_="errorlist"))
    assert grant.events.count() == 1


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_fault_19_nothing_is_reissued_but_by_post(client, grant, method):
    assert getattr(client, method)(f"{GRANTS}{grant.pk}/reemitir/").status_code == (302 if method == "get" else 405)
    assert client.post(f"{GRANTS}{grant.pk}/change/", {"note": "x"}).status_code == 405
    assert grant.events.count() == 1


@pytest.mark.parametrize("pk", ["0", "987654321", HUGE, "abc", "-1", "%00"])
def test_an_access_that_is_not_there_is_no_fault(client, grant, pk):
    assert client.get(f"{GRANTS}{pk}/change/").status_code in {302, 404}
    assert client.post(f"{GRANTS}{pk}/reemitir/", {"note": "não chegou"}).status_code in {302, 404, 405}
    assert grant.events.count() == 1


# --- The whole administration ----------------------------------------------------------------------------------------
@pytest.fixture
def everything(decider):
    """At least one row of every registered model. Gives the CPFs of all who are in it."""
    request = filed()
    workflow.move(request.pk, Status.IN_REVIEW, by=decider, note="motivo")
    grant = workflow.move(request.pk, Status.APPROVED, by=decider).grant
    HelpDesk().save()
    FactorRemoval.objects.create(
        user=request.beneficiary, reason="celular perdido", asked_by=decider, lapses_at=timezone.now()
    )
    DirectoryImportFactory()
    SystemNotice.objects.create(system=grant.user_type.system, text="Novidade.")
    catalogue.record(grant.user_type.system, before=None, by=decider)
    Cargo.objects.get_or_create(folded_name="juiz de direito", defaults={"name": "Juiz de Direito"})
    Holiday.objects.create(starts_on="2031-04-11", ends_on="2031-04-11", name="Sexta-feira Santa", scope="NATIONAL")
    ReasonTemplate.objects.create(decision="REJECTED", title="Sem finalidade", text="Diga para que serve o acesso.")
    SecurityEvent.objects.create(kind=SecurityEvent.Kind.SIGNED_IN, user=request.requester, actor=request.requester)
    return [request.requester.cpf, request.beneficiary.cpf, decider.cpf]


def of(model, step=""):
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{step}"


REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
IDS = [model._meta.label for model in REGISTERED]


@pytest.mark.parametrize("model", REGISTERED, ids=IDS)
def test_every_page_of_the_administration_opens_and_no_list_shows_a_whole_cpf(client, everything, model):
    administrator = superuser()
    TermAcceptance.objects.create(user=administrator, term=Term.objects.create(version=1, text="Prometo."))
    client.force_login(administrator)
    row = model.objects.first()
    assert row is not None, "the fixture makes no row of this model"

    listed = client.get(of(model))
    assert listed.status_code == 200
    opened = client.get(of(model, f"{row.pk}/change/"))
    assert opened.status_code == 200
    searched = client.get(of(model), {"q": "%'\"_á"})
    assert searched.status_code == 200
    assert client.get(of(model, f"{row.pk}/history/"), follow=True).status_code == 200
    for page in (listed.content.decode(), searched.content.decode()):
        for cpf in everything:
            assert cpf not in page
            assert formatted(cpf) not in page


@pytest.mark.parametrize("model", REGISTERED, ids=IDS)
@pytest.mark.parametrize("pk", ["0", "abc", HUGE, "-1", "%00"])
def test_a_row_that_is_not_there_is_no_fault(client, everything, model, pk):
    client.force_login(superuser())
    for step in ("change/", "history/", "delete/"):
        assert client.get(of(model, f"{pk}/{step}")).status_code in {302, 403, 404}


def test_the_first_page_of_the_administration_opens(client, everything):
    for user in (superuser(), manager(), analyst()):
        client.force_login(user)
        assert client.get("/admin/").status_code == 200


#: What only the portal itself writes.
WRITTEN_BY_THE_PORTAL = ("AccessRequest", "RequestEvent", "AccessGrant", "GrantEvent", "OutgoingMail", "SecurityEvent")


@pytest.mark.parametrize("name", [*WRITTEN_BY_THE_PORTAL, "User", "ProvisionalPassword", "PasswordResetRequest"])
def test_nobody_adds_or_deletes_what_the_portal_writes(client, everything, name):
    model = next(model for model in apps.get_models() if model.__name__ == name)
    client.force_login(superuser())
    rows = model.objects.count()
    pk = model.objects.values_list("pk", flat=True).first() or 1
    deletion = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
    for response in (
        client.get(of(model, "add/")),
        client.post(of(model, "add/"), {"_save": "1"}),
        client.get(of(model, f"{pk}/delete/")),
        client.post(of(model, f"{pk}/delete/"), {"post": "yes"}),
    ):
        assert response.status_code in {302, 403, 404, 405}
    client.post(of(model), deletion)
    assert model.objects.count() == rows
    if model in admin.site._registry:
        page = Page(client.get(of(model)))
        assert not page.one("a", href=of(model, "add/"))
        assert not page.one("option", value="delete_selected")


@pytest.mark.parametrize("model", [AccessRequest, AccessGrant, OutgoingMail, SecurityEvent])
def test_nobody_edits_what_the_portal_writes(client, everything, model):
    client.force_login(superuser())
    before = list(model.objects.values())
    pk = model.objects.values_list("pk", flat=True).first()
    forged = {"status": "REJECTED", "recipient": 1, "kind": "x", "detail": "x", "_save": "1"}
    assert client.post(of(model, f"{pk}/change/"), forged).status_code in {403, 405}
    assert client.post(of(model), {"form-TOTAL_FORMS": "1", "form-0-id": pk, "_save": "1"}).status_code in {
        200,
        302,
        403,
    }
    assert list(model.objects.values()) == before


@pytest.mark.parametrize("model", [RequestEvent, GrantEvent])
def test_history_has_no_page_of_its_own_to_be_edited_on(model):
    assert model not in admin.site._registry
    inlines = [inline.model for registered in admin.site._registry.values() for inline in registered.inlines]
    assert model not in inlines


def test_an_analyst_neither_edits_people_nor_makes_anybody_staff(client, decider):
    person = EmploymentFactory().user
    place = f"/admin/accounts/user/{person.pk}/change/"
    assert client.post(place, {"name": "x", "email": "x@y.z", "is_staff": "on", "_save": "1"}).status_code == 403
    person.refresh_from_db()
    assert (person.is_staff, person.name != "x") == (False, True)


def test_a_manager_mends_a_persons_record_and_makes_nobody_staff(client):
    person, user = EmploymentFactory().user, manager()
    client.force_login(user)
    place = f"/admin/accounts/user/{person.pk}/change/"
    page = Page(client.get(place))
    posted = {
        "name": "NOME CERTO",
        "email": "nova@tjms.jus.br",  # has a page of its own, where a reason is asked for
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [Group.objects.get(name="Análise").pk],
        "cpf": "00000000000",
        "password": "x",
        "employments-TOTAL_FORMS": page.value("employments-TOTAL_FORMS") or "0",
        "employments-INITIAL_FORMS": page.value("employments-INITIAL_FORMS") or "0",
        "_save": "1",
    }
    before = (person.cpf, person.password, person.email)
    client.post(place, posted)
    person.refresh_from_db()
    assert person.name == "NOME CERTO"
    assert (person.is_staff, person.is_superuser, person.groups.count()) == (False, False, 0)
    assert (person.cpf, person.password, person.email) == before


def test_a_manager_keeps_the_catalogue_and_deletes_no_system(client):
    client.force_login(manager())
    system = ExternalSystemFactory()
    assert client.get(of(type(system), f"{system.pk}/change/")).status_code == 200
    assert client.post(of(type(system), f"{system.pk}/delete/"), {"post": "yes"}).status_code == 403


# --- What filters and addresses must not tell or change --------------------------------------------------------------
@pytest.mark.parametrize("rank", [analyst, manager, superuser])
@pytest.mark.parametrize(
    "address",
    [
        "accounts/user/?password__startswith=argon2",
        "accounts/user/?cpf__startswith=1",
        "accounts/user/?cpf__regex=(",
        "accounts/user/?cpf__range=a",
        "accounts/user/?last_login__year=99999999",
        "accounts/user/?is_active__regex=(",
        "requests_app/accessrequest/?created_at__year=99999999",
        "requests_app/accessrequest/?protocol__regex=(",
        "requests_app/accessrequest/?requester__password__startswith=a",
        "requests_app/accessgrant/?id__range=1",
        "accounts/outgoingmail/?error__regex=(",
        "accounts/outgoingmail/?status__exact=SENT",
        "accounts/outgoingmail/?recipient__cpf__startswith=1",
        "accounts/unit/?name__regex=(",
    ],
)
def test_a_filter_made_by_hand_is_refused(client, rank, address):
    client.force_login(rank())
    assert client.get(f"/admin/{address}").status_code == 400


def test_a_date_made_by_hand_is_refused_before_it_reaches_the_database(client):
    client.force_login(superuser())
    response = client.get("/admin/accounts/securityevent/?at__gte=0001-01-01+00%3A00%3A00%2B14%3A00")
    assert response.status_code == 400


@pytest.mark.parametrize(
    "address",
    [
        "accounts/user/?is_active__exact=1",
        "accounts/outgoingmail/?situacao=atencao&mensagem=credential&periodo=7",
        "accounts/securityevent/?periodo=7",
        "requests_app/accessrequest/?situacao=todas&idade=ate-2&com=comigo&de=2026-01-31",
        "requests_app/accessgrant/?status__exact=ACTIVE",
        "accounts/unit/?comarca=Campo+Grande",
    ],
)
def test_the_filters_that_the_pages_offer_work(client, address):
    client.force_login(superuser())
    assert client.get(f"/admin/{address}").status_code == 200


@pytest.mark.parametrize("target", [analyst, superuser])
def test_an_address_is_no_way_into_a_staff_account(client, target):
    """Who may correct addresses would get the reset link of somebody who decides."""
    client.force_login(manager())
    person = target()
    person.email = "decide@tjms.jus.br"
    person.save()
    forged = {"name": person.name, "email": "meu@tjms.jus.br", "reason": "Ligou."}
    formset = {"employments-TOTAL_FORMS": 0, "employments-INITIAL_FORMS": 0}
    client.post(f"/admin/accounts/user/{person.pk}/change/", forged | formset)
    client.post(f"/admin/accounts/user/{person.pk}/email/", forged)
    person.refresh_from_db()
    # An unticked "pode entrar" is what such a form posts: it closes nobody's door either.
    assert (person.email, person.is_active) == ("decide@tjms.jus.br", True)


def test_a_reason_that_cannot_be_seen_is_none(client, decider):
    request = filed()
    response = client.post(f"{QUEUE}{request.pk}/decidir/", {"to": "RETURNED", "note": "\u200b\u2060 \n"})
    assert "Escreva o motivo" in response.content.decode()
    request.refresh_from_db()
    assert request.status == Status.PENDING
