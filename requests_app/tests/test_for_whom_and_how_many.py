"""For whom a system is asked, and for how many of a unit: on the form, when it is filed, corrected and decided."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import EmploymentFactory, UnitFactory
from requests_app import workflow
from requests_app.models import AccessGrant, AccessRequest, BatchOutcome, Cargo, CatalogueChange, GrantStatus, Status
from requests_app.workflow import MoveRefusedError

from .factories import UserTypeFactory, analyst, grant_of, manager, request_in, unsaved_request
from .pages import Page, text_of
from .test_batches import decide as decide_together
from .test_catalogue import SYSTEMS, errors_on, page_of, save
from .test_who_may_ask import NEW, answers, signed_in, system, today

pytestmark = pytest.mark.django_db


# --- The catalogue ---------------------------------------------------------------------------------------------------
def test_gestao_says_for_whom_and_for_how_many_and_both_are_kept_in_the_history(client):
    siel = system(credential="OWN").system
    client.force_login(manager())

    save(client, page_of(siel), for_whom="OWN_UNIT", most_per_unit="3")

    siel.refresh_from_db()
    assert (siel.for_whom, siel.most_per_unit) == ("OWN_UNIT", 3)
    [change] = CatalogueChange.objects.all()
    assert change.changes == [
        ["para quem se pede", "Qualquer pessoa do cadastro", "Pessoas da unidade de quem pede"],
        ["usuários por unidade", "", "3"],
    ]
    page = Page(client.get(page_of(siel)))
    assert "Quem pode pedir" in page.text
    assert "Contam as pessoas com acesso e as com pedido em andamento." in page.text


@pytest.mark.parametrize("most", ["0", "-1", "1.5", "três", "٣x", "9" * 400, "40000000", "\0"])
def test_a_number_of_places_that_cannot_be_is_refused_with_a_sentence(client, most):
    siel = system().system
    client.force_login(manager())
    response = save(client, page_of(siel), most_per_unit=most)
    assert response.status_code == 200
    assert errors_on(response)
    siel.refresh_from_db()
    assert siel.most_per_unit is None


def test_a_rule_that_nobody_knows_is_refused(client):
    siel = system().system
    client.force_login(manager())
    assert errors_on(save(client, page_of(siel), for_whom="NOBODY"))
    siel.refresh_from_db()
    assert siel.for_whom == "ANYONE"


@pytest.mark.parametrize("changed", [{"for_whom": "SELF"}, {"most_per_unit": "1"}], ids=str)
def test_gestao_is_told_that_the_new_rule_holds_for_what_waits(client, changed):
    waiting = request_in(Status.PENDING, user_type=system())
    client.force_login(manager())
    page = Page(save(client, page_of(waiting.system), **changed))
    assert "A regra nova vale também para eles" in text_of(page.one("ul", class_="messagelist"))


def test_who_is_not_of_gestao_changes_no_rule(client):
    siel = system().system
    client.force_login(analyst())
    assert client.post(page_of(siel), {"name": "SIEL", "for_whom": "SELF"}).status_code == 403
    assert client.get(SYSTEMS).status_code == 403


# --- What is said before -------------------------------------------------------------------------------------------
#: What a system asks -> what the form says of it before anything is chosen, and what the guidance says.
SAID = {
    "self": (
        {"for_whom": "SELF"},
        "Cada pessoa pede acesso a SIEL só para si.",
        "Para quem se pede: só quem pede.",
    ),
    "own unit": (
        {"for_whom": "OWN_UNIT"},
        "O acesso a SIEL só pode ser pedido para pessoas da unidade de quem pede.",
        "Para quem se pede: pessoas da unidade de quem pede.",
    ),
    "one": ({"most_per_unit": 1}, "SIEL aceita até 1 usuário por unidade.", "Até 1 usuário por unidade."),
    "three": ({"most_per_unit": 3}, "SIEL aceita até 3 usuários por unidade.", "Até 3 usuários por unidade."),
    "unit": (
        {"asks_unit": True},
        "O pedido de acesso a SIEL diz em que unidade ele vale.",
        "O pedido diz em que unidade o acesso vale.",
    ),
}


@pytest.mark.parametrize("rule", SAID)
def test_each_rule_is_said_on_the_form_and_in_the_guidance_before_anybody_asks(client, rule):
    fields, on_form, in_guidance = SAID[rule]
    system(**fields)
    UserTypeFactory(system__name="BNMP 2.0")
    signed_in(client)
    notes = text_of(Page(client.get(NEW)).one(id="system-notes"))
    assert on_form in notes
    assert "BNMP 2.0" not in notes
    assert in_guidance in text_of(Page(client.get("/orientacoes/")).one(class_="systems"))


def test_all_rules_of_a_system_stand_in_one_line_and_who_may_not_ask_reads_only_that(client):
    user_type = system(who_may_ask="HEADS", for_whom="OWN_UNIT", most_per_unit=2, asks_unit=True, active_until=today(9))
    signed_in(client, "Juiz de Direito")
    notes = text_of(Page(client.get(NEW)).one(id="system-notes"))
    assert notes.count("SIEL") == 4
    assert "unidade de quem pede. SIEL aceita até 2 usuários por unidade. O pedido" in notes

    signed_in(client)
    notes = text_of(Page(client.get(NEW)).one(id="system-notes"))
    assert notes.endswith(f"Só magistrados e chefes de unidade podem pedir acesso a {user_type.system}.")


# --- For whom --------------------------------------------------------------------------------------------------------
@pytest.fixture
def vara():
    return UnitFactory(name="2ª Vara Criminal", comarca="Dourados")


def colleague_in(unit, **fields):
    return EmploymentFactory(unit=unit, user__name="BIA LIMA", **fields)


#: (rule, who it is for) -> accepted. Written by hand.
FOR_WHOM = {
    ("ANYONE", "stranger"): True,
    ("SELF", "self"): True,
    ("SELF", "colleague"): False,
    ("SELF", "stranger"): False,
    ("OWN_UNIT", "self"): True,
    ("OWN_UNIT", "colleague"): True,
    ("OWN_UNIT", "colleague by another bond"): True,
    ("OWN_UNIT", "stranger"): False,
    ("OWN_UNIT", "former colleague"): False,
    ("OWN_UNIT", "colleague to come"): False,
}


def somebody(who, asker, unit):
    """A bond of somebody who stands so to the asker."""
    if who == "self":
        return asker.employments.get()
    if who == "colleague":
        return colleague_in(unit)
    bond = EmploymentFactory(user__name="BIA LIMA")
    if who == "colleague by another bond":
        EmploymentFactory(user=bond.user, unit=unit)
    elif who == "former colleague":
        EmploymentFactory(user=bond.user, unit=unit, ended_on=today(-1))
    elif who == "colleague to come":
        EmploymentFactory(user=bond.user, unit=unit, started_on=today(1))
    return bond


@pytest.mark.parametrize(("rule", "who"), FOR_WHOM)
def test_a_request_is_taken_for_whom_the_rule_allows_and_refused_beside_the_person(client, vara, rule, who):
    user_type = system(for_whom=rule)
    asker = signed_in(client, unit=vara)
    bond = somebody(who, asker, vara)

    response = client.post(NEW, answers(user_type, bond, description="O que já tinha escrito."))

    assert AccessRequest.objects.count() == FOR_WHOM[rule, who]
    assert response.status_code == (302 if FOR_WHOM[rule, who] else 200)
    if not FOR_WHOM[rule, who]:
        page = Page(response)
        assert ("só para si" if rule == "SELF" else "Bia Lima não tem vínculo com uma unidade de") in page.beside(
            "beneficiary"
        )
        assert page.value("description") == "O que já tinha escrito."


def test_a_unit_that_the_asker_has_left_is_theirs_no_more(client, vara):
    user_type = system(for_whom="OWN_UNIT")
    asker = signed_in(client)
    former = EmploymentFactory(user=asker, unit=vara, ended_on=today(-1))
    colleague = colleague_in(vara)
    client.post(NEW, answers(user_type, colleague))
    assert not AccessRequest.objects.exists()
    former.ended_on = today()
    former.save()
    client.post(NEW, answers(user_type, colleague))
    assert AccessRequest.objects.count() == 1


@pytest.mark.parametrize(("rule", "sentence"), [("SELF", "só para si"), ("OWN_UNIT", "unidade de quem pede")])
def test_asvs_2_2_2_the_workflow_itself_knows_for_whom(rule, sentence):
    user_type = system(for_whom=rule)
    with pytest.raises(MoveRefusedError, match=sentence):
        workflow.file(unsaved_request(user_type=user_type))
    assert not AccessRequest.objects.exists()
    waiting = request_in(Status.PENDING, user_type=user_type)
    by = analyst()
    with pytest.raises(MoveRefusedError, match=sentence):
        workflow.move(waiting.pk, Status.APPROVED, by=by)
    expired = request_in(Status.EXPIRED, user_type=user_type)
    with pytest.raises(MoveRefusedError, match=sentence):
        workflow.move(expired.pk, Status.PENDING, by=expired.requester)
    workflow.move(waiting.pk, Status.REJECTED, by=by, note="Peça só para si.")


def returned(user_type, **fields):
    request = workflow.file(unsaved_request(user_type=user_type, **fields))
    return workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")


def test_a_correction_may_not_bring_in_somebody_else(client, vara):
    asker = EmploymentFactory(unit=vara)
    request = returned(system(for_whom="OWN_UNIT"), requester=asker.user, bond=colleague_in(vara))
    client.force_login(asker.user)
    address = f"/solicitacoes/{request.protocol}/corrigir/"

    page = Page(client.post(address, answers(request.user_type, EmploymentFactory(user__name="CAIO SÁ"))))

    assert "Caio Sá não tem vínculo com uma unidade de" in page.beside("beneficiary")
    request.refresh_from_db()
    assert (request.status, request.beneficiary_called) == (Status.RETURNED, "Bia Lima")
    client.post(address, answers(request.user_type, colleague_in(vara)))
    request.refresh_from_db()
    assert request.status == Status.PENDING


def test_a_batch_decides_what_is_allowed_and_says_why_the_rest_is_not(client, vara):
    user_type = system(for_whom="OWN_UNIT")
    asker = EmploymentFactory(unit=vara).user
    allowed, not_allowed = (
        request_in(Status.PENDING, user_type=user_type, requester=asker, bond=bond)
        for bond in (colleague_in(vara), EmploymentFactory(user__name="CAIO SÁ"))
    )
    client.force_login(analyst())
    decide_together(client, [allowed, not_allowed])
    for request in (allowed, not_allowed):
        request.refresh_from_db()
    assert (allowed.status, not_allowed.status) == (Status.COMPLETED, Status.PENDING)
    assert "Caio Sá não tem vínculo" in BatchOutcome.objects.get(request=not_allowed).refusal


# --- How many of a unit ----------------------------------------------------------------------------------------------
def test_places_are_taken_by_accesses_and_by_requests_and_the_refusal_says_what_to_do(client, vara):
    user_type = system(most_per_unit=2)
    other_type = UserTypeFactory(system=user_type.system)
    request_in(Status.RETURNED, user_type=user_type, bond=colleague_in(vara))
    grant_of(colleague_in(vara), user_type=other_type)
    signed_in(client)

    page = Page(client.post(NEW, answers(user_type, colleague_in(vara), description="O que já tinha escrito.")))

    assert (
        "SIEL aceita até 2 usuários por unidade. Em 2ª Vara Criminal – Dourados já são 2, com os pedidos em andamento. "
        "Quem chefia a unidade pode pedir o fim de um acesso em “Acessos da minha unidade”."
    ) in page.summary
    assert page.value("description") == "O que já tinha escrito."
    assert AccessRequest.objects.count() == 1
    assert client.post(NEW, answers(user_type)).status_code == 302  # of another unit


#: What takes no place in the unit.
NOTHING_TAKEN = {
    "a refused request": lambda kind, vara: request_in(Status.REJECTED, user_type=kind, bond=colleague_in(vara)),
    "an expired request": lambda kind, vara: request_in(Status.EXPIRED, user_type=kind, bond=colleague_in(vara)),
    "an ended access": lambda kind, vara: grant_of(colleague_in(vara), user_type=kind, status=GrantStatus.REVOKED),
    "another system": lambda _kind, vara: grant_of(colleague_in(vara)),
    "another unit": lambda kind, _vara: grant_of(EmploymentFactory(), user_type=kind),
    "a bond that ended, older than the portal": lambda kind, vara: grant_of(
        colleague_in(vara, ended_on=today(-1)), user_type=kind
    ),
    "an access for another unit": lambda kind, vara: grant_of(colleague_in(vara), user_type=kind, unit=UnitFactory()),
    "a request for another unit": lambda kind, vara: request_in(
        Status.PENDING, user_type=kind, bond=colleague_in(vara), unit=UnitFactory()
    ),
}
#: What takes one.
ONE_TAKEN = {
    "an access": lambda kind, vara: grant_of(colleague_in(vara), user_type=kind),
    "a suspended access": lambda kind, vara: grant_of(colleague_in(vara), user_type=kind, status=GrantStatus.SUSPENDED),
    "one that is to be revoked": lambda kind, vara: grant_of(
        colleague_in(vara), user_type=kind, status=GrantStatus.TO_REVOKE
    ),
    "an access by a request": lambda kind, vara: AccessGrant.objects.create(
        request=(done := request_in(Status.COMPLETED, user_type=kind, bond=colleague_in(vara))),
        user=done.beneficiary,
        user_type=kind,
    ),
    "an access in this unit of somebody elsewhere": lambda kind, vara: grant_of(
        EmploymentFactory(), user_type=kind, unit=vara
    ),
    "a request": lambda kind, vara: request_in(Status.PENDING, user_type=kind, bond=colleague_in(vara)),
    "an approved request": lambda kind, vara: request_in(Status.APPROVED, user_type=kind, bond=colleague_in(vara)),
    "a request for this unit": lambda kind, vara: request_in(
        Status.IN_REVIEW, user_type=kind, bond=EmploymentFactory(), unit=vara
    ),
}


@pytest.mark.parametrize("what", [*NOTHING_TAKEN, *ONE_TAKEN])
def test_what_takes_a_place_and_what_does_not(vara, what):
    user_type = system(most_per_unit=1)
    {**NOTHING_TAKEN, **ONE_TAKEN}[what](user_type, vara)
    asked = unsaved_request(user_type=user_type, bond=colleague_in(vara))
    if what in ONE_TAKEN:
        with pytest.raises(MoveRefusedError, match="já são 1"):
            workflow.file(asked)
    else:
        assert workflow.file(asked).protocol


def test_one_person_takes_one_place_with_any_number_of_user_types(vara):
    user_type = system(most_per_unit=2)
    bond = colleague_in(vara)
    for _ in range(2):
        grant_of(bond, user_type=UserTypeFactory(system=user_type.system))
    request_in(Status.PENDING, user_type=UserTypeFactory(system=user_type.system), bond=bond)
    workflow.file(unsaved_request(user_type=user_type, bond=bond))
    workflow.file(unsaved_request(user_type=user_type, bond=colleague_in(vara)))
    with pytest.raises(MoveRefusedError, match="já são 2"):
        workflow.file(unsaved_request(user_type=user_type, bond=colleague_in(vara)))


def test_where_the_unit_is_asked_for_its_places_count_and_not_those_of_the_lotacao(vara):
    user_type = system(most_per_unit=1, asks_unit=True)
    grant_of(EmploymentFactory(), user_type=user_type, unit=vara)
    with pytest.raises(MoveRefusedError, match="Em 2ª Vara Criminal – Dourados já são 1"):
        workflow.file(unsaved_request(user_type=user_type, unit=vara))
    workflow.file(unsaved_request(user_type=user_type, bond=colleague_in(vara), unit=UnitFactory()))


def test_with_a_limit_made_lower_nothing_is_approved_until_one_is_given_up(vara):
    user_type = system()
    waiting = [request_in(Status.PENDING, user_type=user_type, bond=colleague_in(vara)) for _ in range(2)]
    type(user_type.system).objects.update(most_per_unit=1)
    by = analyst()
    with pytest.raises(MoveRefusedError, match="aceita até 1 usuário por unidade"):
        workflow.move(waiting[0].pk, Status.APPROVED, by=by)
    workflow.move(waiting[1].pk, Status.REJECTED, by=by, note="A unidade já tem quem faça isso.")
    assert workflow.move(waiting[0].pk, Status.APPROVED, by=by).status == Status.COMPLETED


def test_the_last_place_is_approved_with_all_places_asked_for(vara):
    user_type = system(most_per_unit=2)
    for _ in range(2):
        request = workflow.file(unsaved_request(user_type=user_type, bond=colleague_in(vara)))
    assert workflow.move(request.pk, Status.APPROVED, by=analyst()).status == Status.COMPLETED


@pytest.mark.parametrize("rule", [{"for_whom": "SELF"}, {"for_whom": "OWN_UNIT"}, {"most_per_unit": 1}], ids=str)
def test_what_was_approved_before_the_rule_is_registered_all_the_same(vara, rule):
    user_type = system(credential="OWN")
    grant_of(colleague_in(vara), user_type=user_type)
    request = request_in(Status.APPROVED, user_type=user_type, bond=colleague_in(vara))
    type(user_type.system).objects.update(**rule)
    assert workflow.move(request.pk, Status.COMPLETED, by=analyst()).status == Status.COMPLETED


def test_what_expired_comes_back_only_to_a_place_that_is_free(client, vara):
    request = returned(system(most_per_unit=1), bond=colleague_in(vara))
    workflow.move(request.pk, Status.EXPIRED, by=None)
    other = workflow.file(unsaved_request(user_type=request.user_type, bond=colleague_in(vara)))
    client.force_login(request.requester)
    address = f"/solicitacoes/{request.protocol}/corrigir/"

    page = Page(client.post(address, answers(request.user_type, request.employment)))

    assert "já são 1" in page.summary
    request.refresh_from_db()
    assert request.status == Status.EXPIRED
    workflow.move(other.pk, Status.CANCELLED, by=other.requester)
    client.post(address, answers(request.user_type, request.employment))
    request.refresh_from_db()
    assert request.status == Status.PENDING


def test_a_correction_does_not_move_to_a_unit_that_is_full_and_keeps_its_own_place(client, vara):
    user_type = system(most_per_unit=1)
    workflow.file(unsaved_request(user_type=user_type, bond=colleague_in(vara)))
    request = returned(user_type, bond=EmploymentFactory(user__name="CAIO SÁ"))
    client.force_login(request.requester)
    address = f"/solicitacoes/{request.protocol}/corrigir/"

    page = Page(client.post(address, answers(user_type, colleague_in(vara))))

    assert "Em 2ª Vara Criminal – Dourados já são 1" in page.summary
    assert client.post(address, answers(user_type, request.employment)).status_code == 302


def test_a_batch_says_of_each_that_its_unit_is_full(client, vara):
    user_type = system()
    grant_of(colleague_in(vara), user_type=user_type)
    full, free = (
        request_in(Status.PENDING, user_type=user_type, bond=bond) for bond in (colleague_in(vara), EmploymentFactory())
    )
    type(user_type.system).objects.update(most_per_unit=1)
    client.force_login(analyst())
    decide_together(client, [full, free])
    for request in (full, free):
        request.refresh_from_db()
    assert (full.status, free.status) == (Status.PENDING, Status.COMPLETED)
    assert "Em 2ª Vara Criminal – Dourados já são 1" in BatchOutcome.objects.get(request=full).refusal


def test_the_page_of_a_request_says_before_the_decision_that_its_unit_is_full(client, vara):
    user_type = system()
    grant_of(colleague_in(vara), user_type=user_type)
    request = request_in(Status.PENDING, user_type=user_type, bond=colleague_in(vara))
    client.force_login(analyst())
    address = f"/admin/requests_app/accessrequest/{request.pk}/change/"
    assert "já são 1" not in Page(client.get(address)).text
    type(user_type.system).objects.update(most_per_unit=1)
    assert "já são 1" in Page(client.get(address)).text


def test_counting_costs_as_many_queries_with_300_people_as_with_one(vara):
    user_type = system(most_per_unit=30_000)

    def cost():
        asked = unsaved_request(user_type=user_type, bond=colleague_in(vara))
        with CaptureQueriesContext(connection) as captured:
            workflow.file(asked)
        return len(captured)

    cost()
    found = []
    for count in (1, 2, 297):
        people = [colleague_in(vara) for _ in range(count)]
        AccessGrant.objects.bulk_create([AccessGrant(user=bond.user, user_type=user_type) for bond in people])
        found.append(cost())
    assert len(set(found)) == 1


# --- The cargos of magistrates who are women -------------------------------------------------------------------------
def test_the_migration_adds_the_feminine_cargos_and_leaves_what_is_there():
    feminine = importlib.import_module("requests_app.migrations.0012_feminine_cargos")
    Cargo.objects.filter(folded_name__in=["desembargadora", "juiza substituta"]).delete()
    flags = {"is_magistrate": True, "heads_unit": False}
    Cargo.objects.update_or_create(folded_name="juiza de direito", defaults={"name": "JUIZA DE DIREITO", **flags})
    feminine.add_cargos(apps, SimpleNamespace(connection=connection))
    added = Cargo.objects.filter(folded_name__in=["desembargadora", "juiza de direito", "juiza substituta"])
    assert set(added.values_list("name", "is_magistrate", "heads_unit")) == {
        ("Desembargadora", True, True),
        ("JUIZA DE DIREITO", True, False),
        ("Juíza Substituta", True, True),
    }


@pytest.mark.parametrize(
    ("cargo", "may"), [("JUÍZA DE DIREITO", True), ("Desembargadora", True), ("Juíza Leiga", False)]
)
def test_a_magistrate_asks_whatever_the_form_of_her_cargo(client, cargo, may):
    importlib.import_module("requests_app.migrations.0012_feminine_cargos").add_cargos(
        apps, SimpleNamespace(connection=connection)
    )
    user_type = system(who_may_ask="MAGISTRATES")
    signed_in(client, cargo)
    client.post(NEW, answers(user_type))
    assert AccessRequest.objects.count() == may
