"""People whom no personnel file knows: added with a last day and somebody who answers for them, prolonged, ended."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Employment, HelpDesk, SecurityEvent, User
from accounts.outsider_forms import find_units
from accounts.tasks import sweep
from requests_app.models import AccessGrant, GrantStatus
from requests_app.tests.factories import analyst, grant_of, manager, request_in, superuser
from requests_app.tests.pages import Page
from requests_app.tests.test_concurrency import at_once

from .factories import EmploymentFactory, UnitFactory, UserFactory, cpf_of

pytestmark = pytest.mark.django_db

ADD = "/admin/accounts/user/de-fora/"
PEOPLE = "/admin/accounts/user/"
CPF = cpf_of(8_000_001)


def day(days=0):
    return timezone.localdate() + timedelta(days=days)


@pytest.fixture
def gestao(client):
    user = manager()
    client.force_login(user)
    return user


@pytest.fixture
def sponsor(db):
    return EmploymentFactory(matricula="012345", user__name="MARIA DE SOUZA", cargo="Juiz de Direito").user


def typed(**changes):
    unit = changes.pop("unit_of", None) or UnitFactory(code="0001-900", name="9ª Vara Cível")
    return {
        "cpf": CPF,
        "name": "JOÃO TEMPORÁRIO DA SILVA",
        "email": "joao.silva@tjms.jus.br",
        "phone": "(67) 3314-0000",
        "kind": "TEMPORARY",
        "cargo": "Assistente",
        "unit_search": unit.code,
        "started_on": f"{day()}",
        "ended_on": f"{day(90)}",
        "sponsor_search": "012345",
    } | changes


def place(bond):
    return f"{PEOPLE}vinculo/{bond.pk}/"


def outside_bond(sponsor, **fields):
    values = {"kind": "TEMPORARY", "sponsor": sponsor, "ended_on": day(90), "cargo": "Assistente"}
    return EmploymentFactory(**(values | fields))


def change(client, bond, **posted):
    return client.post(place(bond), {"reason": "Portaria 12/2026.", "seen": f"{bond.ended_on}"} | posted, follow=True)


# --- Adding ----------------------------------------------------------------------------------------------------------
def test_gestao_adds_somebody_who_can_then_be_found_and_gets_a_link(client, gestao, sponsor, smtp_sink):
    page = Page(client.post(ADD, typed(social_name="Joana da Silva"), follow=True))

    person = User.objects.get(cpf=CPF)
    bond = person.employments.get()
    assert (bond.matricula, bond.kind, bond.cargo, bond.sponsor) == ("EXT0000001", "TEMPORARY", "Assistente", sponsor)
    assert (bond.unit.code, bond.started_on, bond.ended_on) == ("0001-900", day(), day(90))
    assert (person.email, person.phone, person.display_name) == (
        "joao.silva@tjms.jus.br",
        "(67) 3314-0000",
        "Joana da Silva",
    )
    assert person.is_active
    assert not person.has_usable_password()
    assert "A pessoa foi cadastrada, com a matrícula EXT0000001." in page.text
    assert f"Temporário até {day(90):%d/%m/%Y}; responde: Maria de Souza" in page.text
    event = SecurityEvent.objects.get(kind="PERSON_CHANGED")
    assert (event.user, event.actor) == (person, gestao)
    assert "EXT0000001" in event.detail
    assert "responde: Maria de Souza" in event.detail
    assert CPF not in event.detail

    client.post(f"{PEOPLE}{person.pk}/link/")
    sweep()
    assert len(smtp_sink.to("joao.silva@tjms.jus.br")) == 1


def test_each_gets_a_matricula_of_its_own_whatever_the_personnel_file_has(client, gestao, sponsor):
    for matricula in ("EXT0000041", "EXTRA1", "EXT9", "EXT0-5", "EXT00000A"):
        EmploymentFactory(matricula=matricula)

    for number in range(2):
        unit = UnitFactory()
        client.post(ADD, typed(unit_of=unit, cpf=cpf_of(8_000_010 + number), email=f"ana.{number}@tjms.jus.br"))

    made = Employment.objects.filter(kind="TEMPORARY").order_by("pk").values_list("matricula", flat=True)
    assert list(made) == ["EXT0000042", "EXT0000043"]


def test_a_cpf_that_is_there_gets_a_bond_and_keeps_its_name_and_address(client, gestao, sponsor):
    known = UserFactory(cpf=CPF, name="JOÃO DA SILVA", email="joao@tjms.jus.br", phone="(67) 1111-1111")

    page = Page(client.post(ADD, typed(name="OUTRO NOME"), follow=True))

    known.refresh_from_db()
    assert (known.name, known.email, known.phone) == ("JOÃO DA SILVA", "joao@tjms.jus.br", "(67) 1111-1111")
    assert known.employments.get().matricula == "EXT0000001"
    assert "Já havia uma pessoa com este CPF. Ela ganhou o vínculo EXT0000001." in page.text


def test_who_had_left_comes_in_again_and_who_was_shut_out_by_hand_does_not(client, gestao, sponsor):
    yesterday = timezone.now() - timedelta(days=1)
    left = UserFactory(cpf=CPF, is_active=False, left_at=yesterday)
    shut_out = UserFactory(cpf=cpf_of(8_000_002), is_active=False)
    unit = UnitFactory(code="0001-901")

    client.post(ADD, typed(unit_of=unit))
    page = Page(client.post(ADD, typed(unit_of=unit, cpf=shut_out.cpf, email="outro@tjms.jus.br"), follow=True))

    left.refresh_from_db()
    shut_out.refresh_from_db()
    assert (left.is_active, left.left_at) == (True, None)
    assert not shut_out.is_active
    assert "A entrada desta pessoa continua fechada: quem fechou foi a equipe." in page.text


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("cpf", {"cpf": "111.111.111-11"}),
        ("cpf", {"cpf": ""}),
        ("name", {"name": "'’'"}),
        ("name", {"name": "a\u200b\nb"}),
        ("email", {"email": "joao@gmail.com"}),
        ("email", {"email": "cartorio@tjms.jus.br", "name": "CARTÓRIO"}),
        ("phone", {"phone": "não tem"}),
        ("kind", {"kind": "DIRECTORY"}),
        ("kind", {"kind": ""}),
        ("cargo", {"cargo": "x" * 81}),
        ("unit_search", {"unit_search": "não existe"}),
        ("unit_search", {"unit_search": "%"}),
        ("started_on", {"started_on": "2026-02-30"}),
        ("ended_on", {"ended_on": ""}),
        ("ended_on", {"ended_on": "9999-12-31"}),
        ("ended_on", {"ended_on": "2001-01-01"}),
        ("sponsor_search", {"sponsor_search": "999999"}),
        ("sponsor_search", {"sponsor_search": "de"}),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_stored(client, gestao, sponsor, field, changes):
    HelpDesk(email="cartorio@tjms.jus.br").save()

    page = Page(client.post(ADD, typed(**changes)))

    assert page.one(id=f"id_{field}_error"), page.text
    assert page.value("cargo") == changes.get("cargo", "Assistente")
    assert not User.objects.filter(cpf=CPF).exists()
    assert not Employment.objects.filter(kind="TEMPORARY").exists()


def test_the_address_of_another_person_is_refused(client, gestao, sponsor):
    UserFactory(email="Joao.Silva@tjms.jus.br")

    page = Page(client.post(ADD, typed()))

    assert "Outra pessoa do cadastro já usa este e-mail." in page.text
    assert not User.objects.filter(cpf=CPF).exists()


def test_the_mailbox_of_a_unit_is_refused(client, gestao, sponsor):
    UnitFactory(email="plantao@tjms.jus.br")

    page = Page(client.post(ADD, typed(email="Plantao@tjms.jus.br")))

    assert "Este é o e-mail de uma unidade." in page.text
    assert not User.objects.filter(cpf=CPF).exists()


def test_two_years_at_most_from_today_and_the_last_day_counts(client, gestao, sponsor):
    unit = UnitFactory(code="0001-902")
    refused = Page(client.post(ADD, typed(unit_of=unit, ended_on=f"{day(732)}")))
    assert "no máximo dois anos" in refused.text

    client.post(ADD, typed(unit_of=unit, started_on=f"{day(1):%d/%m/%Y}", ended_on=f"{day(731):%d/%m/%Y}"))

    assert Employment.objects.get(kind="TEMPORARY").ended_on == day(731)


def test_a_sponsor_is_somebody_with_a_bond_of_today_and_never_the_person(client, gestao):
    unit = UnitFactory(code="0001-903")
    EmploymentFactory(matricula="111", ended_on=day(-1))
    EmploymentFactory(matricula="222", user__is_active=False)
    EmploymentFactory(matricula="333", user__cpf=CPF)
    vouched_for = {"kind": "PROSECUTION", "ended_on": day(30), "sponsor": EmploymentFactory().user}
    EmploymentFactory(matricula="444", **vouched_for)

    for matricula in ("111", "222", "333", "444"):
        page = Page(client.post(ADD, typed(unit_of=unit, sponsor_search=matricula)))
        assert page.one(id="id_sponsor_search_error"), matricula
    assert not Employment.objects.filter(kind="TEMPORARY").exists()


def test_of_homonyms_and_of_several_units_one_is_chosen_from_a_list(client, gestao):
    units = [UnitFactory(code=f"7-{number}", name=f"{number}ª Vara", comarca="Água Clara") for number in (1, 2)]
    bonds = [EmploymentFactory(user__name="ANA LIMA", cargo=cargo) for cargo in ("Juíza", "Analista")]
    posted = typed(unit_of=units[0], unit_search="agua clara", sponsor_search="ana lima")

    page = Page(client.post(ADD, posted))

    assert "Escolha uma das unidades abaixo." in page.text
    assert "Ana Lima — matrícula" in page.text
    assert {"Juíza", "Analista"} <= {word.strip() for word in page.text.split("—")}
    assert not Employment.objects.filter(kind="TEMPORARY").exists()

    client.post(ADD, posted | {"unit": units[1].pk, "sponsor": bonds[1].pk})

    made = Employment.objects.get(kind="TEMPORARY")
    assert (made.unit, made.sponsor) == (units[1], bonds[1].user)


@pytest.mark.parametrize("key", ["x", "9" * 30, "-1"])
def test_a_key_that_was_not_offered_chooses_nothing(client, gestao, sponsor, key):
    stranger = EmploymentFactory()
    for sent in ({"sponsor": key}, {"sponsor": stranger.pk}, {"unit": key if key != "x" else stranger.unit_id}):
        client.post(ADD, typed(unit_of=UnitFactory(), **sent))

    assert not Employment.objects.filter(sponsor=stranger.user).exists()
    assert not Employment.objects.filter(kind="TEMPORARY", unit=stranger.unit).exists()


def test_nobody_adds_a_bond_of_their_own(client, gestao, sponsor):
    page = Page(client.post(ADD, typed(cpf=gestao.cpf, email="eu.mesmo@tjms.jus.br")))

    assert "Ninguém cadastra nem muda o próprio vínculo." in page.text
    assert not gestao.employments.exists()


@pytest.mark.parametrize("who", [analyst, lambda: EmploymentFactory().user], ids=["análise", "a person"])
def test_nobody_but_gestao_adds_or_changes(client, sponsor, who):
    bond = outside_bond(sponsor)
    client.force_login(who())

    for address in (ADD, place(bond)):
        assert client.get(address).status_code in {302, 403}
        assert client.post(address, typed(unit_of=bond.unit, reason="x")).status_code in {302, 403}
    assert not User.objects.filter(cpf=CPF).exists()


@pytest.mark.django_db(transaction=True)
def test_two_who_send_at_once_make_one_person_and_two_numbers(transactional_db, make_client):
    EmploymentFactory(matricula="012345")
    unit = UnitFactory(code="0001-904")
    clients = [make_client() for _ in range(2)]
    for client in clients:
        client.force_login(manager())
    same = [lambda client=client: client.post(ADD, typed(unit_of=unit)).status_code for client in clients]

    assert at_once(*same) == [302, 302]

    assert User.objects.filter(cpf=CPF).count() == 1
    numbers = Employment.objects.filter(kind="TEMPORARY").order_by("matricula").values_list("matricula", flat=True)
    assert list(numbers) == ["EXT0000001", "EXT0000002"]


@pytest.mark.django_db(transaction=True)
def test_two_who_are_given_one_address_at_once_one_of_them_gets_it(transactional_db, make_client):
    EmploymentFactory(matricula="012345")
    unit = UnitFactory(code="0001-905")
    corrected = EmploymentFactory(user__email="velho@tjms.jus.br").user
    clients = [make_client() for _ in range(2)]
    for client in clients:
        client.force_login(manager())
    correction = {"email": "JOAO.SILVA@tjms.jus.br", "reason": "Ligou do ramal do cadastro."}

    statuses = at_once(
        lambda: clients[0].post(ADD, typed(unit_of=unit)).status_code,
        lambda: clients[1].post(f"{PEOPLE}{corrected.pk}/email/", correction).status_code,
    )

    assert sorted(statuses) == [200, 302]
    assert User.objects.filter(email__iexact="joao.silva@tjms.jus.br").count() == 1


def test_units_are_found_by_code_else_by_words_without_accents(db):
    one = UnitFactory(code="0002-001", name="1ª Vara de Família", comarca="Dourados")
    UnitFactory(code="0002-002", name="Extinta de Família", comarca="Dourados", ended_on=day(-1))

    assert find_units("0002-001") == find_units("familia dou") == find_units("DOURADOS") == [one]
    assert find_units("amilia") == find_units("'") == find_units("_") == []


# --- Prolonging and ending -------------------------------------------------------------------------------------------
def test_a_bond_is_prolonged_and_the_reason_is_recorded(client, gestao, sponsor):
    bond = outside_bond(sponsor, matricula="EXT0000007")

    page = Page(change(client, bond, ended_on=f"{day(200)}"))

    was = bond.ended_on
    bond.refresh_from_db()
    assert bond.ended_on == day(200)
    assert f"O último dia do vínculo agora é {day(200):%d/%m/%Y}." in page.text
    event = SecurityEvent.objects.get(kind="PERSON_CHANGED")
    assert event.actor == gestao
    assert event.detail == (f"Vínculo EXT0000007: último dia {was:%d/%m/%Y} → {day(200):%d/%m/%Y}. Portaria 12/2026.")


def test_a_bond_that_is_ended_shuts_the_person_out_at_once(client, make_client, gestao, sponsor):
    bond = outside_bond(sponsor)
    theirs = make_client()
    theirs.force_login(bond.user)

    page = Page(change(client, bond, encerrar="1"))

    bond.refresh_from_db()
    bond.user.refresh_from_db()
    assert bond.ended_on == day(-1)
    assert (bond.user.is_active, bond.user.left_at is not None) == (False, True)
    assert theirs.get("/conta/").status_code == 302
    assert f"O último dia do vínculo agora é {day(-1):%d/%m/%Y}." in page.text


def test_who_has_another_bond_goes_on_coming_in(client, gestao, sponsor):
    bond = outside_bond(sponsor)
    EmploymentFactory(user=bond.user)

    change(client, bond, encerrar="1")

    bond.user.refresh_from_db()
    assert bond.user.is_active


@pytest.mark.parametrize("begins", [0, 10])
def test_a_bond_that_begins_only_now_or_later_can_be_taken_back_and_never_holds(client, gestao, sponsor, begins):
    bond = outside_bond(sponsor, started_on=day(begins))

    change(client, bond, encerrar="1")

    bond.refresh_from_db()
    bond.user.refresh_from_db()
    assert (bond.started_on, bond.ended_on, bond.user.is_active) == (day(-1), day(-1), False)
    assert f"Começaria em {day(begins):%d/%m/%Y}." in SecurityEvent.objects.get(kind="PERSON_CHANGED").detail


def test_who_is_prolonged_after_the_end_comes_in_again(client, gestao, sponsor):
    bond = outside_bond(sponsor)
    change(client, bond, encerrar="1")
    bond.refresh_from_db()

    with time_machine.travel(timedelta(days=2)):
        client.force_login(gestao)
        change(client, bond, ended_on=f"{day(30)}")

    bond.user.refresh_from_db()
    assert (bond.user.is_active, bond.user.left_at) == (True, None)


def test_what_is_over_is_not_ended_again(client, gestao, sponsor):
    bond = outside_bond(sponsor, ended_on=day(-30))

    page = Page(change(client, bond, encerrar="1"))

    bond.refresh_from_db()
    assert bond.ended_on == day(-30)
    assert "Este vínculo já terminou." in page.text


@pytest.mark.parametrize(
    "posted",
    [
        {"ended_on": ""},
        {"ended_on": "9999-01-01"},
        {"ended_on": "x"},
        {"ended_on": "TOMORROW", "reason": ""},
        {"ended_on": "TOMORROW", "reason": "…"},
        {"encerrar": "1", "reason": " "},
        {"ended_on": "TOMORROW", "seen": "2020-01-01"},
        {"ended_on": "TOMORROW", "seen": ""},
        {"ended_on": "TOMORROW", "seen": "\0"},
    ],
    ids=ascii,
)
def test_without_a_day_a_reason_or_having_seen_what_stands_nothing_changes(client, gestao, sponsor, posted):
    bond = outside_bond(sponsor)

    answer = change(client, bond, **{name: value.replace("TOMORROW", f"{day(1)}") for name, value in posted.items()})

    assert answer.status_code == 200
    assert not answer.redirect_chain
    before = bond.ended_on
    bond.refresh_from_db()
    assert bond.ended_on == before


def test_a_bond_of_the_personnel_file_has_no_such_page(client, gestao):
    bond = EmploymentFactory()

    assert client.get(place(bond)).status_code == 404
    assert change(client, bond, encerrar="1").status_code == 404
    bond.refresh_from_db()
    assert bond.ended_on is None


def test_nobody_prolongs_their_own(client, gestao, sponsor):
    bond = outside_bond(sponsor, user=gestao)

    page = Page(change(client, bond, ended_on=f"{day(200)}"))

    assert "Ninguém cadastra nem muda o próprio vínculo." in page.text
    bond.refresh_from_db()
    assert bond.ended_on == day(90)


# --- Who reads of it -------------------------------------------------------------------------------------------------
def test_the_decision_sheet_and_the_persons_page_name_who_answers(client, sponsor):
    bond = outside_bond(sponsor)
    request = request_in("PENDING", bond=bond)
    words = f"Temporário até {day(90):%d/%m/%Y}; responde: Maria de Souza"
    client.force_login(analyst())

    sheet = Page(client.get(f"/admin/requests_app/accessrequest/{request.pk}/change/"))
    page = Page(client.get(f"{PEOPLE}{bond.user.pk}/change/"))

    assert words in sheet.text
    assert words in page.text
    assert "Prolongar ou encerrar" not in page.text


def test_the_sponsor_sees_nothing_new(client, sponsor):
    bond = outside_bond(sponsor)
    client.force_login(sponsor)

    for address in ("/", "/solicitacoes/", "/conta/"):
        assert bond.user.display_name not in client.get(address).content.decode()
    assert client.get(f"{PEOPLE}{bond.user.pk}/change/").status_code in {302, 403}


def test_the_page_costs_the_same_with_many_bonds(client, gestao, sponsor):
    bond = outside_bond(sponsor)

    def queries():
        with CaptureQueriesContext(connection) as made:
            client.get(f"{PEOPLE}{bond.user.pk}/change/")
        return len(made)

    queries()
    with_one = queries()
    for _ in range(3):
        outside_bond(EmploymentFactory().user, user=bond.user)

    assert queries() == with_one


def test_the_table_of_bonds_leaves_them_to_their_own_page(client, sponsor):
    """Where the administrator edits what the personnel file brought, a bond from outside would lose its end."""
    bond = outside_bond(sponsor, matricula="EXT0000009")
    EmploymentFactory(user=bond.user, matricula="777777")
    client.force_login(superuser())

    values = {
        dict(control.attributes).get("value")
        for control in Page(client.get(f"{PEOPLE}{bond.user.pk}/change/")).all("input")
    }

    assert "777777" in values
    assert "EXT0000009" not in values


def test_an_access_of_who_is_ended_is_to_be_revoked(client, gestao, sponsor):
    bond = outside_bond(sponsor)
    grant = grant_of(bond)

    change(client, bond, encerrar="1")

    assert AccessGrant.objects.get(pk=grant.pk).status == GrantStatus.TO_REVOKE
