"""Has it, asked for it, or was refused it lately: said as soon as person and user type are chosen, to who may know."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect

from accounts import throttle
from accounts.models import ThrottleCount
from accounts.tests.factories import EmploymentFactory, UnitFactory
from requests_app import workflow
from requests_app.models import AccessGrant, AccessRequest, GrantStatus, Status

from .factories import UserTypeFactory, analyst, grant_of, request_in, unsaved_request
from .pages import Page, text_of
from .test_who_may_ask import NEW, WCAG, answers, sign_in, signed_in, system, today

pytestmark = pytest.mark.django_db

KNOWN = "/solicitacoes/nova/ja-existe/"
NOTHING = {"text": "", "link": "", "address": ""}
REASON = "Falta a portaria de designação."


@pytest.fixture
def asker(client):
    return signed_in(client)


@pytest.fixture
def bia():
    return EmploymentFactory(user__name="BIA LIMA")


def ask(client, bond, user_type, **more):
    response = client.get(KNOWN, {"beneficiary": bond.pk, "user_type": user_type.pk, **more})
    assert response.status_code == 200
    return response.json()


def beside(client, bond, user_type, **more):
    """What the form says that comes back, here for want of a telephone."""
    page = Page(client.post(NEW, answers(user_type, bond, requester_phone="", **more)))
    region = page.one(id="known")
    assert ("aria-live", "polite") in region.attributes
    links = (
        [dict(link.attributes)["href"] for link in page.all("a") if link in region.children[0].children]
        if (region.children)
        else []
    )
    return text_of(region), links


def rejected(days=0, **fields):
    request = request_in(Status.REJECTED, **fields)
    request.decided_at = timezone.now() - timedelta(days=days)
    request.save()
    request.events.create(from_status=Status.PENDING, to_status=Status.REJECTED, note=REASON)
    return request


def given(status=GrantStatus.ACTIVE, **fields):
    request = request_in(Status.COMPLETED, **fields)
    return AccessGrant.objects.create(
        request=request, user=request.beneficiary, user_type=request.user_type, unit=request.unit, status=status
    )


def day(moment):
    return f"{timezone.localtime(moment):%d/%m/%Y}"


# --- What is said ----------------------------------------------------------------------------------------------------
def test_nothing_is_said_of_who_has_and_asked_nothing(client, asker, bia):
    user_type = system()
    request_in(Status.PENDING, bond=bia)
    grant_of(bia)
    grant_of(EmploymentFactory(), user_type=user_type)
    assert ask(client, bia, user_type) == NOTHING
    assert beside(client, bia, user_type) == ("", [])


def test_ones_own_access_is_said_with_its_day_and_the_way_to_it(client, asker):
    bond, user_type = asker.employments.get(), system()
    grant = grant_of(bond, user_type=user_type, granted_at=timezone.now() - timedelta(days=400))
    sentence = f"Você já tem acesso a {user_type} desde {day(grant.granted_at)}."
    assert ask(client, bond, user_type) == {"text": sentence, "link": "Ver meus acessos", "address": "/acessos/"}
    assert beside(client, bond, user_type) == (f"{sentence} Ver meus acessos", ["/acessos/"])


def test_an_access_that_one_asked_for_is_said_with_its_day_and_its_request(client, asker, bia):
    grant = given(requester=asker, bond=bia, user_type=system())
    said = ask(client, bia, grant.user_type)
    assert said["text"] == f"Esta pessoa já tem acesso a {grant.user_type} desde {day(grant.granted_at)}."
    assert said["address"] == grant.request.get_absolute_url()


def test_of_an_access_that_others_asked_for_neither_day_nor_request_is_told(client, asker, bia):
    grant = given(bond=bia, user_type=system())
    sentence = f"Esta pessoa já tem acesso a {grant.user_type}."
    assert ask(client, bia, grant.user_type) == {**NOTHING, "text": sentence}
    assert beside(client, bia, grant.user_type) == (sentence, [])


@pytest.mark.parametrize("status", [GrantStatus.REVOKED, GrantStatus.EXPIRED])
def test_an_access_that_has_ended_is_none(client, asker, bia, status):
    grant = given(status, requester=asker, bond=bia, user_type=system())
    assert ask(client, bia, grant.user_type) == NOTHING


@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED])
def test_an_open_request_is_said_and_leads_to_it_who_may_see_it(client, asker, bia, status):
    mine = request_in(status, requester=asker, bond=bia, user_type=system(credential="OWN"))
    theirs = request_in(status, bond=bia)
    sentence = "Já existe um pedido em andamento para esta pessoa e este sistema: nº {}."

    said = ask(client, bia, mine.user_type)
    assert said["text"] == sentence.format(mine.protocol)
    assert said["address"] == mine.get_absolute_url()
    assert ask(client, bia, theirs.user_type) == {**NOTHING, "text": sentence.format(theirs.protocol)}


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.EXPIRED])
def test_what_was_given_up_is_not_spoken_of(client, asker, bia, status):
    request = request_in(status, requester=asker, bond=bia, user_type=system())
    assert ask(client, bia, request.user_type) == NOTHING


@pytest.mark.parametrize(("days", "said"), [(0, True), (89, True), (91, False)])
def test_a_refusal_is_said_for_ninety_days(client, asker, bia, days, said):
    request = rejected(days, requester=asker, bond=bia, user_type=system())
    text = f"Um pedido igual foi indeferido em {day(request.decided_at)}. Leia o motivo antes."
    answer = ask(client, bia, request.user_type)
    assert answer["text"] == (text if said else "")
    assert answer["address"] == (request.get_absolute_url() if said else "")


def test_the_last_refusal_is_the_one_that_counts(client, asker, bia):
    user_type = system()
    last = rejected(3, requester=asker, bond=bia, user_type=user_type)
    rejected(30, requester=asker, bond=bia, user_type=user_type)
    assert ask(client, bia, user_type)["address"] == last.get_absolute_url()


def test_who_was_refused_is_told_even_where_a_colleague_had_asked(client, asker):
    request = rejected(bond=asker.employments.get(), user_type=system())
    assert ask(client, request.employment, request.user_type)["address"] == request.get_absolute_url()


def test_it_stops_nobody_whom_the_workflow_lets_pass(client, asker, bia):
    request = rejected(requester=asker, bond=bia, user_type=system())
    assert client.post(NEW, answers(request.user_type, bia)).status_code == 302


# --- What is told to nobody else -------------------------------------------------------------------------------------
def test_a_refusal_is_told_to_nobody_who_may_not_see_that_request(client, asker, bia):
    request = rejected(bond=bia, user_type=system())
    assert ask(client, bia, request.user_type) == NOTHING
    assert beside(client, bia, request.user_type) == ("", [])


def test_no_answer_has_the_reason_of_a_refusal(client, asker, bia):
    request = rejected(requester=asker, bond=bia, user_type=system())
    assert REASON not in client.get(KNOWN, {"beneficiary": bia.pk, "user_type": request.user_type.pk}).content.decode()


@pytest.mark.parametrize(
    "closed", [{"who_may_ask": "MAGISTRATES"}, {"is_active": False}, {"active_until": today(-1)}], ids=str
)
def test_of_a_system_that_one_may_not_ask_for_nothing_is_told(client, asker, bia, closed):
    user_type = system(**closed)
    grant_of(bia, user_type=user_type)
    request_in(Status.PENDING, bond=bia, user_type=user_type)
    assert ask(client, bia, user_type) == NOTHING


def test_of_whom_one_may_not_ask_for_only_the_rule_is_told(client, asker, bia):
    user_type = system(for_whom="OWN_UNIT")
    grant_of(bia, user_type=user_type)
    said = ask(client, bia, user_type)
    assert said["text"].startswith("O acesso a SIEL só pode ser pedido para pessoas da unidade de quem pede.")
    assert "já tem" not in said["text"]


def test_who_has_no_bond_and_who_asks_of_somebody_without_one_learn_nothing(client, asker, bia):
    user_type = system()
    grant_of(bia, user_type=user_type)
    bond = asker.employments.get()
    bond.ended_on = today(-1)
    bond.save()
    assert ask(client, bia, user_type) == NOTHING

    signed_in(client)
    bia.ended_on = today(-1)
    bia.save()
    assert ask(client, bia, user_type) == NOTHING


def test_who_is_not_signed_in_is_asked_to(client, bia):
    user_type = system()
    grant_of(bia, user_type=user_type)
    response = client.get(KNOWN, {"beneficiary": bia.pk, "user_type": user_type.pk})
    assert response.status_code == 302
    assert response["Location"].startswith("/entrar/")


def test_asking_again_and_again_is_throttled_as_the_search_of_people_is(client, asker, bia):
    user_type = system()
    grant_of(bia, user_type=user_type)
    ask(client, bia, user_type)
    ThrottleCount.objects.filter(scope=throttle.SEARCH.scope).update(
        count=throttle.SEARCH.free, blocked_until=timezone.now() + timedelta(seconds=50)
    )
    response = client.get(KNOWN, {"beneficiary": bia.pk, "user_type": user_type.pk})
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert "já tem" not in response.content.decode()


@pytest.mark.parametrize("value", ["", "0", "-1", "²", "1\0", "9" * 5000, str(2**63), "x", "<script>"])
@pytest.mark.parametrize("name", ["beneficiary", "user_type", "unit", "corrige"])
def test_fault_21_nonsense_is_answered_with_nothing(client, asker, bia, name, value):
    user_type = system(asks_unit=True)
    unit = UnitFactory()
    grant_of(bia, user_type=user_type, unit=unit)
    response = client.get(KNOWN, {"beneficiary": bia.pk, "user_type": user_type.pk, "unit": unit.pk, name: value})
    assert response.status_code == 200
    assert (response.json() == NOTHING) == (name != "corrige")


# --- The unit, and a correction --------------------------------------------------------------------------------------
def test_where_the_unit_is_asked_for_what_stands_in_another_one_is_not_meant(client, asker, bia):
    user_type, unit = system(asks_unit=True), UnitFactory()
    grant_of(bia, user_type=user_type, unit=unit)
    assert ask(client, bia, user_type) == NOTHING
    assert ask(client, bia, user_type, unit=UnitFactory().pk) == NOTHING
    assert "já tem acesso" in ask(client, bia, user_type, unit=unit.pk)["text"]
    assert "já tem acesso" in beside(client, bia, user_type, unit=unit.pk)[0]


def test_a_unit_that_the_system_does_not_ask_for_changes_nothing(client, asker, bia):
    user_type = system()
    grant_of(bia, user_type=user_type)
    assert "já tem acesso" in ask(client, bia, user_type, unit=UnitFactory().pk)["text"]


def test_a_request_that_is_corrected_is_not_told_of_itself(client, asker, bia):
    filed = workflow.file(unsaved_request(requester=asker, bond=bia, user_type=system()))
    request = workflow.move(filed.pk, Status.RETURNED, by=analyst(), note=REASON)
    page = Page(client.get(f"/solicitacoes/{request.protocol}/corrigir/"))
    assert text_of(page.one(id="known")) == ""
    assert ("data-corrects", request.protocol) in page.one(id="known").attributes
    assert ask(client, bia, request.user_type, corrige=request.protocol) == NOTHING
    assert request.protocol in ask(client, bia, request.user_type)["text"]


def test_the_protocol_of_another_persons_request_opens_nothing(client, asker, bia):
    """Neither that it is there, nor what its requester may ask for."""
    magistrate = EmploymentFactory(cargo="Juiz de Direito").user
    user_type = system(who_may_ask="MAGISTRATES")
    grant_of(bia, user_type=user_type)
    theirs = request_in(Status.RETURNED, requester=magistrate, user_type=user_type)
    for_me = request_in(Status.RETURNED, requester=magistrate, user_type=user_type, bond=asker.employments.get())
    for request in (theirs, for_me):
        assert ask(client, bia, user_type, corrige=request.protocol) == NOTHING


# --- In a browser ----------------------------------------------------------------------------------------------------
@pytest.fixture
def court(transactional_db):
    """A servidora who asks, and a colleague with one access, one request and one refusal."""
    asker = EmploymentFactory().user
    colleague = EmploymentFactory(user__name="CECÍLIA CORRÊA")
    grant_of(colleague, user_type=UserTypeFactory(name="Consulta", system__name="BNMP 2.0"))
    pending = UserTypeFactory(name="Servidor", system__name="SISBAJUD")
    request_in(Status.PENDING, requester=asker, bond=colleague, user_type=pending)
    UserTypeFactory(name="Magistrado", system=pending.system)
    return asker


@pytest.mark.browser
def test_it_is_said_as_soon_as_all_is_chosen_and_taken_back_when_it_fits_no_more(portal_server, page, court):
    faults = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    sign_in(page, court)
    page.goto(NEW)
    known = page.locator("#known")
    expect(known).to_have_attribute("aria-live", "polite")
    expect(known).to_be_empty()
    page.locator("#id_beneficiary").press_sequentially("correa")
    page.get_by_role("option").first.click()
    page.get_by_label("*Tipo Usuário").select_option(label="Consulta")
    expect(known).to_have_text("Esta pessoa já tem acesso a BNMP 2.0 – Consulta.")
    assert known.get_by_role("link").count() == 0
    assert Axe().run(page, options=WCAG).response["violations"] == []

    page.get_by_label("*Sistema solicitado").select_option(label="SISBAJUD")
    expect(known).to_be_empty()
    page.get_by_label("*Tipo Usuário").select_option(label="Servidor")
    expect(known).to_contain_text("Já existe um pedido em andamento")
    protocol = AccessRequest.objects.get().protocol
    expect(known.get_by_role("link", name=f"Ver o pedido {protocol}")).to_have_attribute(
        "href", f"/solicitacoes/{protocol}/"
    )
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert Axe().run(page, options=WCAG).response["violations"] == []

    page.get_by_label("*Tipo Usuário").select_option(label="Magistrado")
    expect(known).to_be_empty()
    page.get_by_label("*Tipo Usuário").select_option(label="Servidor")
    expect(known).to_contain_text("Já existe um pedido em andamento")
    page.locator("#id_beneficiary").press_sequentially("x")
    expect(known).to_be_empty()
    assert faults == []


@pytest.mark.browser
@pytest.mark.browser_context_args(java_script_enabled=False)
def test_without_javascript_it_is_said_with_the_form_that_comes_back(portal_server, page, court):
    sign_in(page, court)
    page.goto(NEW)
    page.get_by_label("*Tipo Usuário").select_option(label="Consulta")
    page.get_by_label("*Sistema solicitado").select_option(label="BNMP 2.0")
    page.locator("#id_beneficiary").fill("correa")
    page.get_by_role("button", name="Buscar pessoa").click()
    page.get_by_label("Cecília Corrêa").check()
    page.get_by_role("button", name="Enviar", exact=True).click()
    expect(page.locator("#known")).to_have_text("Esta pessoa já tem acesso a BNMP 2.0 – Consulta.")
