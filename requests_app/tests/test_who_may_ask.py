"""Who may ask for which system, when, and for which unit: on the form, when it is filed, when it is decided."""

from __future__ import annotations

import importlib
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from playwright.sync_api import expect

from accounts import tasks
from accounts.models import Unit
from accounts.tests.factories import PASSWORD, EmploymentFactory, UnitFactory
from requests_app import workflow
from requests_app.models import AccessRequest, Cargo, Status
from requests_app.workflow import MoveRefusedError

from .factories import UserTypeFactory, analyst, request_in, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

NEW = "/solicitacoes/nova/"
SCRIPT = "<script>alert(1)</script>"
HUGE = str(10**30)
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}

seeds = importlib.import_module("requests_app.migrations.0008_cargos")


@pytest.fixture(autouse=True)
def cargos(db):
    """As the migration makes them: a test that empties the tables takes them along."""
    seeds.add_cargos(apps, SimpleNamespace(connection=connection))


def today(days=0):
    return timezone.localdate() + timedelta(days=days)


def system(**fields):
    return UserTypeFactory(system__name="SIEL", **{f"system__{name}": value for name, value in fields.items()})


def answers(user_type, bond=None, /, **changes):
    values = {
        "requester_email": "lucia.goncalves@tjms.jus.br",
        "requester_phone": "(67) 3314-7851",
        "beneficiary": (bond or EmploymentFactory()).pk,
        "user_type": user_type.pk,
        "system": user_type.system_id,
        "description": "Consulta de mandados no atendimento.",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def signed_in(client, cargo="Analista Judiciário", **fields):
    bond = EmploymentFactory(cargo=cargo, **fields)
    client.force_login(bond.user)
    return bond.user


def offered(page, name):
    """What a list lets one choose."""
    return [text_of(option) for option in walk(page.one("select", name=name)) if option.name == "option"][1:]


# --- The cargos ------------------------------------------------------------------------------------------------------
def test_the_migration_names_the_magistrates_and_the_heads_and_leaves_what_is_there():
    Cargo.objects.exclude(name="Juiz Substituto").delete()
    Cargo.objects.update(heads_unit=False)
    seeds.add_cargos(apps, SimpleNamespace(connection=connection))
    assert set(Cargo.objects.values_list("name", "folded_name", "is_magistrate", "heads_unit")) == {
        ("Desembargador", "desembargador", True, True),
        ("Juiz de Direito", "juiz de direito", True, True),
        ("Juiz Substituto", "juiz substituto", True, False),
        ("Chefe de Cartório", "chefe de cartorio", False, True),
    }


#: (who may ask, cargo) -> may. Written by hand.
TABLE = {
    ("ANYONE", "Analista Judiciário"): True,
    ("ANYONE", "Chefe de Cartório"): True,
    ("ANYONE", "Juiz de Direito"): True,
    ("MAGISTRATES", "Analista Judiciário"): False,
    ("MAGISTRATES", "Chefe de Cartório"): False,
    ("MAGISTRATES", "JUÍZ DE DIREITO"): True,
    ("MAGISTRATES", "Juiz Substituto"): True,
    ("MAGISTRATES", "Desembargador"): True,
    ("MAGISTRATES", "Juiz Leigo"): False,
    ("MAGISTRATES", "Assessor de Juiz de Direito"): False,
    ("MAGISTRATES", ""): False,
    ("HEADS", "Analista Judiciário"): False,
    ("HEADS", "chefe de cartorio"): True,
    ("HEADS", "Juiz de Direito"): True,
    ("HEADS", "Juiz Leigo"): False,
}


@pytest.mark.parametrize(("rule", "cargo"), TABLE)
def test_the_form_offers_a_system_to_those_who_may_ask_and_takes_it_from_no_others(client, rule, cargo):
    may = TABLE[rule, cargo]
    user_type = system(who_may_ask=rule)
    signed_in(client, cargo)

    page = Page(client.get(NEW))
    response = client.post(NEW, answers(user_type))

    assert offered(page, "system") == (["SIEL"] if may else [])
    assert offered(page, "user_type") == ([user_type.name] if may else [])
    assert ("podem pedir acesso a SIEL" in page.text) == (not may)
    assert AccessRequest.objects.count() == may
    assert response.status_code == (302 if may else 200)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("MAGISTRATES", "Só magistrados podem pedir acesso a SIEL."),
        ("HEADS", "Só magistrados e chefes de unidade podem pedir acesso a SIEL."),
    ],
)
def test_who_may_not_ask_is_told_before_filling_in_and_again_if_it_is_sent_all_the_same(client, rule, sentence):
    user_type, open_to_all = system(who_may_ask=rule), UserTypeFactory(system__name="BNMP 2.0")
    signed_in(client)
    posted = answers(user_type, description="O que já tinha escrito.")

    before = Page(client.get(NEW))
    after = Page(client.post(NEW, posted))

    assert sentence in text_of(before.one(id="system-notes"))
    assert offered(before, "system") == [open_to_all.system.name]
    assert after.beside("system") == f"Erro: {sentence} O cargo de quem pede não está entre eles."
    assert after.value("description") == "O que já tinha escrito."
    assert not AccessRequest.objects.exists()


def test_where_everybody_may_ask_nothing_is_said(client):
    system()
    signed_in(client)
    assert Page(client.get(NEW)).one(id="system-notes") is None


def test_one_bond_of_two_is_enough_and_one_that_ended_is_none(client):
    user_type = system(who_may_ask="MAGISTRATES")
    user = signed_in(client)
    former = EmploymentFactory(user=user, cargo="Juiz de Direito", ended_on=today(-1))
    client.post(NEW, answers(user_type))
    assert not AccessRequest.objects.exists()

    former.ended_on = today()
    former.save()
    client.post(NEW, answers(user_type))
    assert AccessRequest.objects.count() == 1


def test_a_cargo_that_the_staff_add_counts_at_once(client):
    user_type = system(who_may_ask="HEADS")
    signed_in(client, "Diretor de Secretaria")
    client.post(NEW, answers(user_type))
    assert not AccessRequest.objects.exists()
    Cargo.objects.create(name="DIRETOR DE SECRETARIA", heads_unit=True)
    client.post(NEW, answers(user_type))
    assert AccessRequest.objects.count() == 1


def test_asvs_2_2_2_the_workflow_itself_files_nothing_for_who_may_not_ask():
    request = unsaved_request(user_type=system(who_may_ask="MAGISTRATES"))
    with pytest.raises(MoveRefusedError, match="Só magistrados podem pedir acesso a SIEL"):
        workflow.file(request)
    assert not AccessRequest.objects.exists()


def test_who_lost_the_cargo_meanwhile_is_not_granted_what_was_asked():
    bond = EmploymentFactory(cargo="Juiz Substituto", user__name="IARA PRADO")
    request = request_in(Status.PENDING, requester=bond.user, user_type=system(who_may_ask="MAGISTRATES"))
    bond.cargo = "Analista Judiciário"
    bond.save()

    with pytest.raises(MoveRefusedError, match="O cargo de Iara Prado não está entre eles"):
        workflow.move(request.pk, Status.APPROVED, by=analyst())

    request.refresh_from_db()
    assert request.status == Status.PENDING
    workflow.move(request.pk, Status.REJECTED, by=analyst(), note="Não pode mais pedir.")


@pytest.mark.parametrize(
    "rule", [{"who_may_ask": "MAGISTRATES"}, {"asks_unit": True}, {"active_until": date(2026, 1, 1)}], ids=str
)
def test_what_was_approved_before_a_rule_changed_is_registered_all_the_same(rule):
    request = request_in(Status.APPROVED, user_type=system(credential="OWN"))
    type(request.system).objects.update(**rule)
    assert workflow.move(request.pk, Status.COMPLETED, by=analyst()).status == Status.COMPLETED


def test_a_rule_made_stricter_holds_for_what_waits():
    request = request_in(Status.PENDING, user_type=system())
    request.system.who_may_ask = "HEADS"
    request.system.save()
    with pytest.raises(MoveRefusedError, match="Só magistrados e chefes de unidade"):
        workflow.move(request.pk, Status.APPROVED, by=analyst())


def test_a_correction_is_judged_by_who_asked(client):
    magistrate = EmploymentFactory(cargo="Juiz de Direito")
    user_type = system(who_may_ask="MAGISTRATES")
    request = workflow.file(unsaved_request(requester=magistrate.user, user_type=user_type))
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    address = f"/solicitacoes/{request.protocol}/corrigir/"
    client.force_login(magistrate.user)
    page = Page(client.get(address))
    assert (offered(page, "system"), page.value("system")) == (["SIEL"], str(user_type.system_id))

    magistrate.cargo = "Assessor Jurídico"
    magistrate.save()
    page = Page(client.post(address, answers(user_type, request.employment)))

    assert "Só magistrados podem pedir acesso a SIEL." in page.beside("system")
    request.refresh_from_db()
    assert request.status == Status.RETURNED


# --- From when to when -----------------------------------------------------------------------------------------------
#: (first day, last day) in days from today -> accepted, and what the form and the guidance say.
DATES = {
    (None, None): (True, ""),
    (0, None): (True, ""),
    (-9, 9): (True, "SIEL aceita pedidos até"),
    (None, 0): (True, "SIEL aceita pedidos até"),
    (1, None): (False, "SIEL aceita pedidos a partir de"),
    (None, -1): (False, ""),
    (-9, -1): (False, ""),
}


def dated(first, last, **fields):
    days = {"active_from": first, "active_until": last}
    return system(**{name: None if day is None else today(day) for name, day in days.items()}, **fields)


@pytest.mark.parametrize(("first", "last"), DATES)
def test_a_system_is_offered_and_accepted_within_its_dates(client, first, last):
    accepted, said = DATES[first, last]
    user_type = dated(first, last)
    signed_in(client)

    page = Page(client.get(NEW))
    refusal = Page(client.post(NEW, answers(user_type)))

    assert offered(page, "system") == (["SIEL"] if accepted else [])
    assert said in text_of(page.one(id="system-notes"))
    assert AccessRequest.objects.count() == accepted
    if not accepted:
        assert "Esta opção não está disponível." in refusal.beside("system")


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [(1, None, "SIEL aceita pedidos a partir de"), (None, -1, "SIEL aceitou pedidos até")],
)
def test_outside_its_dates_the_workflow_files_and_approves_nothing(first, last, sentence):
    user_type = dated(first, last)
    with pytest.raises(MoveRefusedError, match=sentence):
        workflow.file(unsaved_request(user_type=user_type))
    waiting = request_in(Status.PENDING, user_type=user_type)
    with pytest.raises(MoveRefusedError, match=sentence):
        workflow.move(waiting.pk, Status.APPROVED, by=analyst())


@pytest.mark.parametrize(("first", "last"), DATES)
def test_the_guidance_shows_what_is_open_or_announced_and_says_until_when(client, first, last):
    accepted, said = DATES[first, last]
    dated(first, last)
    shown = text_of(Page(client.get("/orientacoes/")).one(class_="systems"))
    assert ("SIEL" in shown) == (accepted or bool(said))
    assert said.removeprefix("SIEL a") in shown


def test_the_guidance_says_who_may_ask_and_that_the_unit_is_asked_for(client):
    system(who_may_ask="HEADS", asks_unit=True)
    shown = text_of(Page(client.get("/orientacoes/")).one(class_="systems"))
    assert "Quem pode pedir: magistrados e chefes de unidade." in shown
    assert "O pedido diz em que unidade o acesso vale." in shown


def test_a_notice_is_read_from_its_day_on(client):
    user_type = system()
    user_type.system.notices.create(text="O endereço mudou.", published_on=today())
    user_type.system.notices.create(text="O endereço vai mudar de novo.", published_on=today(1))
    shown = text_of(Page(client.get("/orientacoes/")).one(class_="systems"))
    assert "O endereço mudou." in shown
    assert "de novo" not in shown


# --- The unit --------------------------------------------------------------------------------------------------------
@pytest.fixture
def with_units():
    """A system that asks for the unit."""
    return system(asks_unit=True)


def groups(page):
    """The list of units as it stands there: group by group."""
    return {
        dict(group.attributes)["label"]: [text_of(option) for option in walk(group) if option.name == "option"]
        for group in walk(page.one("select", name="unit"))
        if group.name == "optgroup"
    }


def test_no_unit_is_asked_for_where_no_system_wants_it(client):
    system()
    signed_in(client)
    assert not Page(client.get(NEW)).controls("unit")


def test_a_system_that_this_person_may_not_ask_for_brings_no_field(client):
    system(asks_unit=True, who_may_ask="MAGISTRATES")
    signed_in(client)
    assert not Page(client.get(NEW)).controls("unit")


def test_the_units_stand_by_comarca_and_in_the_order_in_which_people_count(client, with_units):
    Unit.objects.all().delete()
    signed_in(client, unit=UnitFactory(name="Vara Única", comarca="Bela Vista"))
    for name in ("10ª Vara Cível", "2ª Vara Cível", "Central de Mandados"):
        UnitFactory(name=name, comarca="Campo Grande")
    UnitFactory(name="Juizado Especial", comarca="Água Clara")
    UnitFactory(name="Corregedoria", comarca="")
    UnitFactory(name="Vara Extinta", comarca="Campo Grande", ended_on=today(-1))
    UnitFactory(name="Vara Futura", comarca="Campo Grande", started_on=today(1))

    page = Page(client.get(NEW))

    assert list(groups(page).items()) == [
        ("Água Clara", ["Juizado Especial"]),
        ("Bela Vista", ["Vara Única"]),
        ("Campo Grande", ["2ª Vara Cível", "10ª Vara Cível", "Central de Mandados"]),
        ("Outras unidades", ["Corregedoria"]),
    ]
    assert page.label("unit") == "*Unidade em que o acesso vale: (só para: SIEL)"


def test_the_units_of_the_person_chosen_come_first(client, with_units):
    signed_in(client)
    bond = EmploymentFactory(unit__name="2ª Vara Criminal", unit__comarca="Dourados")
    EmploymentFactory(user=bond.user, unit__name="Vara Única", unit__comarca="Bela Vista")
    EmploymentFactory(user=bond.user, unit__name="Antiga", unit__comarca="Miranda", ended_on=today(-1))

    page = Page(client.post(NEW, answers(with_units, bond, description="")))

    [first, *_others] = groups(page).items()
    assert first == ("Lotação da pessoa", ["Vara Única – Bela Vista", "2ª Vara Criminal – Dourados"])


def test_the_unit_is_stored_and_stands_wherever_the_request_does(client, with_units, smtp_sink):
    requester = signed_in(client)
    unit = UnitFactory(name="3ª Vara Criminal", comarca="Corumbá")

    client.post(NEW, answers(with_units, unit=unit.pk))

    request = AccessRequest.objects.get()
    assert request.unit == unit
    for place in (request.get_absolute_url(), "/solicitacoes/", "/"):
        assert "3ª Vara Criminal – Corumbá" in Page(client.get(place)).text
    tasks.sweep()
    [mail] = smtp_sink.to(request.requester_email)
    assert "Unidade: 3ª Vara Criminal – Corumbá" in mail.text()
    assert "3ª Vara Criminal – Corumbá" in mail.text("html")
    client.force_login(analyst())
    assert (
        "3ª Vara Criminal – Corumbá" in Page(client.get(f"/admin/requests_app/accessrequest/{request.pk}/change/")).text
    )
    grant = workflow.move(request.pk, Status.APPROVED, by=analyst()).grant
    assert grant.unit == unit
    client.force_login(requester)


def test_a_mail_about_a_request_without_a_unit_does_not_speak_of_one(smtp_sink):
    workflow.file(unsaved_request(user_type=system()))
    tasks.sweep()
    [mail] = smtp_sink.deliveries
    assert "Unidade" not in mail.text() + mail.text("html")


@pytest.mark.parametrize(
    ("unit", "sentence"),
    [
        (lambda: None, "Escolha a unidade em que o acesso vale."),
        (lambda: "", "Escolha a unidade em que o acesso vale."),
        (lambda: "   ", "Esta unidade não está na lista. Escolha outra."),
        (lambda: UnitFactory(ended_on=today(-1)).pk, "Esta unidade não está na lista."),
        (lambda: UnitFactory(started_on=today(1)).pk, "Esta unidade não está na lista."),
        (lambda: 987654321, "Esta unidade não está na lista."),
        (lambda: 2**63, "Esta unidade não está na lista."),
        (lambda: HUGE, "Esta unidade não está na lista."),
        (lambda: "9" * 5000, "Esta unidade não está na lista."),
        (lambda: "a" * 1_000_000, "Esta unidade não está na lista."),
        (lambda: "-1", "Esta unidade não está na lista."),
        (lambda: "0", "Esta unidade não está na lista."),
        (lambda: "1.5", "Esta unidade não está na lista."),
        (lambda: "²", "Esta unidade não está na lista."),
        (lambda: "3ª Vara", "Esta unidade não está na lista."),
        (lambda: "1 OR 1=1", "Esta unidade não está na lista."),
        (lambda: SCRIPT, "Esta unidade não está na lista."),
        (lambda: "1\0", "Caracteres nulos não são permitidos."),
    ],
)
def test_a_unit_that_cannot_be_is_refused_beside_its_field_and_nothing_typed_is_lost(
    client, with_units, unit, sentence
):
    signed_in(client)
    posted = answers(with_units, unit=unit(), description="O que já tinha escrito.")

    response = client.post(NEW, posted)

    page = Page(response)
    assert response.status_code == 200
    assert sentence in page.beside("unit")
    assert page.one("a", href="#id_unit")
    assert (page.value("system"), page.value("description")) == (str(posted["system"]), "O que já tinha escrito.")
    assert SCRIPT not in response.content.decode()
    assert not AccessRequest.objects.exists()


def test_fault_3_of_two_units_the_one_that_is_checked_is_stored(client, with_units):
    signed_in(client)
    ended, unit = UnitFactory(ended_on=today(-1)), UnitFactory()
    client.post(NEW, answers(with_units, unit=[ended.pk, unit.pk]))
    assert AccessRequest.objects.get().unit == unit
    client.post(NEW, answers(with_units, unit=[unit.pk, ended.pk]))
    assert AccessRequest.objects.count() == 1


@pytest.mark.parametrize("unit", [lambda: UnitFactory().pk, lambda: "nada", lambda: HUGE, lambda: "1\0"])
def test_a_unit_that_nobody_asked_for_is_not_read(client, with_units, unit):
    signed_in(client)
    client.post(NEW, answers(UserTypeFactory(), unit=unit()))
    assert AccessRequest.objects.get().unit is None


def test_what_was_chosen_stands_there_again(client, with_units):
    signed_in(client)
    unit = UnitFactory()
    page = Page(client.post(NEW, answers(with_units, unit=unit.pk, requester_phone="")))
    assert page.value("unit") == str(unit.pk)
    page = Page(client.post(NEW, answers(with_units, unit=unit.pk, buscar="1")))
    assert page.value("unit") == str(unit.pk)


def test_names_with_signs_in_them_are_shown_as_text(client):
    signed_in(client, unit__name=SCRIPT, unit__comarca=SCRIPT)
    UserTypeFactory(system__name=SCRIPT, system__asks_unit=True)
    UserTypeFactory(system__name=f"2 {SCRIPT}", system__who_may_ask="HEADS")
    page = client.get(NEW).content.decode()
    assert SCRIPT not in page
    assert "&amp;lt;" not in page
    assert "(só para: &lt;script&gt;" in page


def test_one_may_ask_for_each_of_ones_units_and_for_none_twice(client, with_units):
    signed_in(client)
    bond, one, other = EmploymentFactory(), UnitFactory(), UnitFactory()
    for unit in (one, other):
        assert client.post(NEW, answers(with_units, bond, unit=unit.pk)).status_code == 302
    page = Page(client.post(NEW, answers(with_units, bond, unit=one.pk)))
    assert "Já existe um pedido em andamento" in page.summary
    first = AccessRequest.objects.get(unit=one)
    workflow.move(first.pk, Status.APPROVED, by=analyst())
    page = Page(client.post(NEW, answers(with_units, bond, unit=one.pk)))
    assert "Esta pessoa já tem acesso a SIEL" in page.summary
    assert AccessRequest.objects.count() == 2


def test_the_same_form_with_another_unit_is_not_taken_for_the_one_sent_before(client, with_units):
    signed_in(client)
    posted = answers(with_units, unit=UnitFactory().pk, nonce=Page(client.get(NEW)).value("nonce"))
    client.post(NEW, posted)
    page = Page(client.post(NEW, {**posted, "unit": UnitFactory().pk}))
    assert "já tinha sido enviado" in page.summary
    assert AccessRequest.objects.count() == 1


@pytest.fixture
def returned(with_units):
    request = workflow.file(unsaved_request(user_type=with_units, unit=UnitFactory(name="Vara Única")))
    return workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")


def test_a_correction_holds_the_unit_and_may_change_it(client, returned):
    client.force_login(returned.requester)
    address = f"/solicitacoes/{returned.protocol}/corrigir/"
    assert Page(client.get(address)).value("unit") == str(returned.unit_id)
    another = UnitFactory()
    client.post(address, answers(returned.user_type, returned.employment, unit=another.pk))
    returned.refresh_from_db()
    assert (returned.status, returned.unit) == (Status.PENDING, another)


def test_a_correction_to_a_system_that_asks_for_none_leaves_none(client, returned):
    client.force_login(returned.requester)
    other = UserTypeFactory()
    posted = answers(other, returned.employment, unit=returned.unit_id)
    client.post(f"/solicitacoes/{returned.protocol}/corrigir/", posted)
    returned.refresh_from_db()
    assert (returned.status, returned.user_type, returned.unit) == (Status.PENDING, other, None)


@pytest.mark.parametrize("to", [Status.APPROVED, Status.COMPLETED])
def test_nobody_is_granted_anything_in_a_unit_that_has_ended(to):
    unit = UnitFactory(name="Vara Única", comarca="Miranda", ended_on=today())
    status = {Status.APPROVED: Status.PENDING, Status.COMPLETED: Status.APPROVED}[to]
    request = request_in(status, user_type=system(asks_unit=True, credential="OWN"), unit=unit)
    unit.ended_on = today(-1)
    unit.save()
    with pytest.raises(MoveRefusedError, match="A unidade Vara Única – Miranda não existe mais"):
        workflow.move(request.pk, to, by=analyst())
    unit.ended_on = today()
    unit.save()
    workflow.move(request.pk, to, by=analyst())


def test_what_was_approved_for_a_unit_that_has_ended_since_is_to_be_refused():
    unit = UnitFactory(ended_on=today(-1))
    request = request_in(Status.APPROVED, user_type=system(asks_unit=True, credential="OWN"), unit=unit)
    by = analyst()
    with pytest.raises(MoveRefusedError, match=r"Indefira este pedido; quem pediu pode fazer outro\.$"):
        workflow.move(request.pk, Status.COMPLETED, by=by)
    workflow.move(request.pk, Status.REJECTED, by=by, note="A unidade não existe mais.")


def test_the_workflow_files_nothing_in_a_unit_that_has_ended(with_units):
    unit = UnitFactory(ended_on=today(-1))
    with pytest.raises(MoveRefusedError, match="não existe mais"):
        workflow.file(unsaved_request(user_type=with_units, unit=unit))


def test_what_was_asked_before_the_unit_was_goes_back_for_it():
    waiting = request_in(Status.PENDING, user_type=system(credential="OWN"))
    waiting.system.asks_unit = True
    waiting.system.save()
    with pytest.raises(MoveRefusedError, match="Falta a unidade em que o acesso vale"):
        workflow.move(waiting.pk, Status.APPROVED, by=analyst())
    workflow.move(waiting.pk, Status.RETURNED, by=analyst(), note="Diga em que unidade.")


def test_the_form_costs_as_many_queries_with_300_units_as_with_one(client, with_units):
    signed_in(client)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert client.get(NEW).status_code == 200
        return len(captured)

    queries()  # the session's own
    cost = {Unit.objects.count(): queries()}
    for count in (2, 297):
        Unit.objects.bulk_create(
            [Unit(code=f"{count}-{number}", name=f"{number}ª Vara", comarca="Dourados") for number in range(count)]
        )
        cost[Unit.objects.count()] = queries()
    assert len(cost) == 3
    assert len(set(cost.values())) == 1


def test_the_form_costs_as_many_queries_with_300_systems_as_with_one(client):
    signed_in(client)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert client.get(NEW).status_code == 200
        return len(captured)

    queries()
    cost = []
    for count in (1, 2, 297):
        for _ in range(count):
            UserTypeFactory(system__who_may_ask="HEADS" if count == 2 else "ANYONE")
        cost.append(queries())
    assert len(set(cost)) == 1


# --- In a browser ----------------------------------------------------------------------------------------------------
def sign_in(page, person):
    page.goto("/entrar/")
    page.get_by_label("Usuário").fill(person.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.wait_for_url("**/")


def faults_of(page):
    """What axe finds against WCAG 2.2 AA, and what reaches past 320 pixels."""
    found = [fault["id"] for fault in Axe().run(page, options=WCAG).response["violations"]]
    size = page.viewport_size
    page.set_viewport_size({"width": 320, "height": 800})
    if page.evaluate("document.documentElement.scrollWidth") > 320:
        found.append("wider than the window")
    page.set_viewport_size(size)
    return found


@pytest.fixture
def court(transactional_db):
    """A servidora who asks, a colleague, and three systems."""
    UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    UserTypeFactory(name="Servidor", system__name="SISBAJUD", system__asks_unit=True)
    UserTypeFactory(name="Magistrado", system__name="SIEL", system__who_may_ask="MAGISTRATES")
    EmploymentFactory(user__name="CECÍLIA CORRÊA", unit__name="2ª Vara Criminal", unit__comarca="Dourados")
    UnitFactory(name="Vara Única", comarca="Água Clara")
    return EmploymentFactory().user


@pytest.mark.browser
def test_the_unit_is_asked_for_by_the_system_that_wants_it_with_the_persons_own_first(portal_server, page, court):
    refused = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    sign_in(page, court)
    page.goto(NEW)
    unit = page.get_by_label("*Unidade em que o acesso vale")
    expect(page.get_by_text("Só magistrados podem pedir acesso a SIEL.")).to_be_visible()
    expect(unit).to_be_hidden()
    page.locator("#id_beneficiary").press_sequentially("correa")
    page.get_by_role("option").first.click()
    page.get_by_label("*Sistema solicitado").select_option(label="BNMP 2.0")
    expect(unit).to_be_hidden()
    page.get_by_label("*Tipo Usuário").select_option("")
    page.get_by_label("*Sistema solicitado").select_option("")
    page.get_by_label("*Tipo Usuário").select_option(label="Servidor")  # a type chosen first chooses its system
    expect(unit).to_be_visible()
    assert unit.locator("optgroup").first.get_attribute("label") == "Lotação da pessoa"
    assert faults_of(page) == []
    page.get_by_label("*Descrição solicitação").fill("Apoio ao gabinete.")
    page.get_by_role("button", name="Enviar", exact=True).click()

    expect(page.locator(".error-summary").get_by_text("Escolha a unidade em que o acesso vale.")).to_be_visible()
    assert faults_of(page) == []
    page.get_by_label("*Unidade em que o acesso vale").select_option(label="2ª Vara Criminal – Dourados")
    page.get_by_role("button", name="Enviar", exact=True).click()

    expect(page.get_by_text("Pedido enviado. Protocolo")).to_be_visible()
    expect(page.get_by_text("2ª Vara Criminal – Dourados").first).to_be_visible()
    assert str(AccessRequest.objects.get().unit) == "2ª Vara Criminal – Dourados"
    assert refused == []


@pytest.mark.browser
@pytest.mark.browser_context_args(java_script_enabled=False)
def test_without_javascript_the_unit_is_chosen_as_well(portal_server, page, court):
    sign_in(page, court)
    page.goto(NEW)
    page.locator("#id_beneficiary").fill("correa")
    page.get_by_label("*Sistema solicitado").select_option(label="SISBAJUD")
    page.get_by_label("*Unidade em que o acesso vale").select_option(label="Vara Única")
    page.get_by_role("button", name="Buscar pessoa").click()
    page.get_by_label("Cecília Corrêa").check()
    page.get_by_label("*Tipo Usuário").select_option(label="Servidor")
    page.get_by_label("*Descrição solicitação").fill("Apoio ao gabinete.")
    page.get_by_role("button", name="Enviar", exact=True).click()

    expect(page.get_by_text("Pedido enviado. Protocolo")).to_be_visible()
    assert str(AccessRequest.objects.get().unit) == "Vara Única – Água Clara"
