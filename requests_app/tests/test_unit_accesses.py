"""Acessos da minha unidade: whom the head of a unit sees there, and asking for the end of a colleague's access."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import outbox
from accounts.models import OutgoingMail
from accounts.tests.factories import PASSWORD, EmploymentFactory, UnitFactory
from requests_app import emails, heads, workflow
from requests_app.models import AccessGrant, Cargo, GrantStatus

from .factories import UserTypeFactory, analyst, grant_of, head_of
from .pages import Page, text_of

pytestmark = pytest.mark.django_db

LIST = "/unidade/acessos/"
YESTERDAY = timezone.localdate() - timedelta(days=1)


def place(grant):
    return f"{LIST}{grant.pk}/encerrar/"


def names_on(response):
    return [text_of(cell) for cell in Page(response).all("th", scope="row")]


@pytest.fixture
def unit(db):
    return UnitFactory(code="0001-777", name="3ª Vara Criminal")


@pytest.fixture
def head(client, unit):
    user = head_of(unit, user__name="HELENA CHEFE")
    client.force_login(user)
    return user


@pytest.fixture
def grant(unit):
    bond = EmploymentFactory(user__name="JOÃO DA SILVA", matricula="081135", unit=unit)
    return grant_of(bond, user_type=UserTypeFactory(name="Consulta", system__name="BNMP 2.0"))


def make_cargo(name, **fields):
    return Cargo.objects.update_or_create(name=name, defaults=fields)[0]


# --- Who heads what -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cargo", ["Chefe de Cartório", "CHEFE DE CARTORIO", "chefe  de cartório"])
def test_a_cargo_heads_its_unit_however_it_is_spelled(unit, cargo):
    make_cargo("Chefe de Cartório", heads_unit=True)
    bond = EmploymentFactory(unit=unit, cargo=cargo)
    assert heads.units_headed_by(bond.user) == {unit.pk}


def test_only_a_bond_that_holds_today_with_such_a_cargo_heads_a_unit(unit):
    make_cargo("Chefe de Cartório", heads_unit=True)
    make_cargo("Chefe de Nada", heads_unit=False)
    for fields in (
        {"cargo": "Analista Judiciário"},
        {"cargo": "Chefe de Nada"},
        {"cargo": "Chefe de Cartório", "ended_on": YESTERDAY},
        {"cargo": "Chefe de Cartório", "started_on": timezone.localdate() + timedelta(days=1)},
        {"cargo": "Chefe de Cartório", "user__is_active": False},
    ):
        assert heads.units_headed_by(EmploymentFactory(unit=unit, **fields).user) == set()


def test_who_has_two_bonds_heads_only_the_unit_where_the_cargo_does(unit):
    make_cargo("Chefe de Cartório", heads_unit=True)
    other = UnitFactory()
    bond = EmploymentFactory(unit=unit, cargo="Chefe de Cartório")
    EmploymentFactory(user=bond.user, unit=other, cargo="Analista Judiciário")
    assert heads.units_headed_by(bond.user) == {unit.pk}


# --- The list -------------------------------------------------------------------------------------------------------
def test_the_head_sees_the_accesses_of_the_people_of_the_unit_and_no_others(client, head, unit, grant):
    another = grant_of(EmploymentFactory(user__name="ANA PAZ", unit=unit))
    grant_of(EmploymentFactory(user__name="SIGILO ALHEIO"))
    grant_of(EmploymentFactory(user__name="SIGILO QUE SAIU", unit=unit, ended_on=YESTERDAY))
    for status in (GrantStatus.REVOKED, GrantStatus.EXPIRED):
        grant_of(EmploymentFactory(user__name="SIGILO ENCERRADO", unit=unit), status=status)

    response = client.get(LIST)

    assert names_on(response) == ["Ana Paz", "João da Silva"]
    assert "Sigilo" not in response.content.decode()
    assert Page(response).one("a", href=place(another))
    assert "2 acessos." in Page(response).text


def test_a_row_says_who_has_what_since_when_until_when(client, head, grant):
    AccessGrant.objects.update(expires_on=date(2099, 1, 2))
    [row] = [text_of(row) for row in Page(client.get(LIST)).all("tr") if "João" in text_of(row)]
    since = timezone.localtime(grant.granted_at).strftime("%d/%m/%Y")
    for fact in ("081135", "BNMP 2.0 – Consulta", f"desde {since} até 02/01/2099", "Ativo", "Pedir o fim"):
        assert fact in row
    assert grant.user.cpf not in client.get(LIST).content.decode()


def test_the_list_is_searched_by_name(client, head, unit, grant):
    grant_of(EmploymentFactory(user__name="ANA PAZ", unit=unit))
    assert names_on(client.get(LIST, {"q": "joao"})) == ["João da Silva"]
    assert "Nenhum acesso foi encontrado com este nome." in Page(client.get(LIST, {"q": "j%o"})).text


@pytest.mark.parametrize("query", ["?q=%00", "?q=%ED%A0%80", "?page=abc", "?page=" + "9" * 400, "?q=" + "a%20" * 900])
def test_any_query_string_is_answered(client, head, grant, query):
    assert client.get(LIST + query).status_code == 200


def test_a_unit_without_accesses_says_so(client, head):
    assert "Ninguém da sua unidade tem acesso a sistemas externos no momento." in Page(client.get(LIST)).text


def test_300_accesses_cost_as_many_queries_as_one_and_three(client, head, unit, grant):
    def queries():
        client.get(LIST)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(LIST).status_code == 200
        return len(captured)

    def add(count):
        people = [EmploymentFactory(unit=unit).user for _ in range(min(count, 20))]
        types = [UserTypeFactory() for _ in range(-(-count // len(people)))]
        pairs = [(user, user_type) for user_type in types for user in people][:count]
        AccessGrant.objects.bulk_create(AccessGrant(user=user, user_type=user_type) for user, user_type in pairs)

    with_one = queries()
    add(2)
    with_three = queries()
    add(297)
    assert AccessGrant.objects.count() == 300
    assert (with_three, queries()) == (with_one, with_one)


# --- Who may not ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("who", ["colleague", "analyst", "former head"])
def test_who_heads_no_unit_has_no_such_page_and_no_link_to_it(client, unit, grant, who):
    person = {
        "colleague": lambda: EmploymentFactory(unit=unit).user,
        "analyst": lambda: EmploymentFactory(unit=unit, user=analyst()).user,
        "former head": lambda: head_of(unit, ended_on=YESTERDAY),
    }[who]()
    client.force_login(person)
    for address in (LIST, place(grant)):
        response = client.get(address)
        assert response.status_code == 403
        assert "João" not in response.content.decode()
    assert client.post(place(grant), {"note": "Mudou de setor."}).status_code == 403
    assert not Page(client.get("/")).one("a", href=LIST)
    assert grant.events.count() == 1


def test_the_menu_of_a_head_leads_there(client, head):
    assert Page(client.get("/")).one("a", href=LIST)


def test_anonymous_people_are_asked_who_they_are(client, grant):
    for response in (client.get(LIST), client.get(place(grant)), client.post(place(grant), {"note": "x1"})):
        assert response.status_code == 302
        assert response.url.startswith("/entrar/")


@pytest.mark.parametrize("whose", ["another unit's", "of one who left", "that has ended", "that is not there"])
def test_fault_20_an_access_that_is_not_the_units_is_as_one_that_is_not_there(client, head, unit, grant, whose):
    made = {
        "another unit's": lambda: grant_of(EmploymentFactory()),
        "of one who left": lambda: grant_of(EmploymentFactory(unit=unit, ended_on=YESTERDAY)),
        "that has ended": lambda: grant_of(EmploymentFactory(unit=unit), status=GrantStatus.REVOKED),
        "that is not there": lambda: AccessGrant(pk=10**15),
    }
    other = made[whose]()
    assert client.get(place(other)).status_code == 404
    assert client.post(place(other), {"note": "Mudou de setor."}).status_code == 404
    assert not AccessGrant.objects.filter(status=GrantStatus.TO_REVOKE).exists()


def test_a_head_gives_up_an_access_of_their_own_where_everybody_does(client, head, unit):
    own = grant_of(head.employments.get())
    page = Page(client.get(LIST))
    assert "É o seu acesso. Veja em Meus acessos" in page.text
    assert not page.one("a", href=place(own))

    for response in (client.get(place(own)), client.post(place(own), {"note": "Mudou de setor."})):
        assert (response.status_code, response.url) == (302, f"/acessos/{own.pk}/encerrar/")
    own.refresh_from_db()
    assert own.status == GrantStatus.ACTIVE


# --- Asking ---------------------------------------------------------------------------------------------------------
def test_the_head_asks_and_the_coordenadoria_sees_who_asked_and_why(client, head, grant):
    page = Page(client.get(place(grant)))
    for fact in (
        "João da Silva, matrícula 081135",
        "BNMP 2.0",
        "Consulta",
        "continua em vigor até a Coordenadoria decidir",
    ):
        assert fact in page.text

    response = client.post(place(grant), {"note": "Mudou de setor.", "to": "REVOKED", "user": head.pk})

    assert (response.status_code, response.url) == (302, LIST)
    page = Page(client.get(LIST))
    assert "Pedido enviado à Coordenadoria." in " ".join(page.notices)
    assert "Fim pedido" in page.text
    assert not page.one("a", href=place(grant))
    grant.refresh_from_db()
    assert grant.status == GrantStatus.TO_REVOKE
    last = grant.events.last()
    assert (last.from_status, last.actor, last.note) == (GrantStatus.ACTIVE, head, "Mudou de setor.")
    assert not OutgoingMail.objects.exists()

    client.force_login(analyst())
    desk = Page(client.get("/admin/requests_app/accessgrant/", {"status__exact": "TO_REVOKE"}))
    assert [text_of(cell) for cell in desk.all("th", class_="field-user_name")] == ["João da Silva"]
    text = Page(client.get(f"/admin/requests_app/accessgrant/{grant.pk}/change/")).text
    assert "Helena Chefe pediu o fim deste acesso" in text
    assert "Mudou de setor." in text


@pytest.mark.parametrize("note", ["", "  ", "\u200b\u2060", "a\0b", "a" * 2001])
def test_a_reason_that_cannot_be_read_is_asked_for_again(client, head, grant, note):
    response = client.post(place(grant), {"note": note})
    assert response.status_code == 200
    assert Page(response).beside("note")
    grant.refresh_from_db()
    assert (grant.status, grant.events.count()) == (GrantStatus.ACTIVE, 1)


def test_who_asks_twice_is_told_that_it_was_asked(client, head, grant):
    client.post(place(grant), {"note": "Mudou de setor."})
    response = client.post(place(grant), {"note": "Mudou de setor."})
    assert "O acesso está “A revogar”" in Page(response).text
    assert "O fim deste acesso já foi pedido." in Page(client.get(place(grant))).text
    assert grant.events.count() == 2


def test_a_suspended_access_may_be_asked_the_end_of_too(client, head, unit):
    suspended = grant_of(EmploymentFactory(unit=unit), status=GrantStatus.SUSPENDED)
    client.post(place(suspended), {"note": "Mudou de setor."})
    suspended.refresh_from_db()
    assert suspended.status == GrantStatus.TO_REVOKE


def test_a_suspended_access_stays_shut_while_its_end_is_asked_for_and_every_page_says_so(client, head, unit):
    bond = EmploymentFactory(unit=unit)
    suspended, active = grant_of(bond, status=GrantStatus.SUSPENDED), grant_of(bond)
    assert "O acesso continua suspenso até a Coordenadoria decidir." in Page(client.get(place(suspended))).text
    for grant in (suspended, active):
        client.post(place(grant), {"note": "Mudou de setor."})

    assert emails.opened_by_portal_password(bond.user) == [active.user_type.system.name]
    client.force_login(analyst())
    said = {
        grant: Page(client.get(f"/admin/requests_app/accessgrant/{grant.pk}/change/")).text
        for grant in (suspended, active)
    }
    assert "Ele continua suspenso até alguém decidir." in said[suspended]
    assert "Ele continua em vigor" not in said[suspended]
    assert "Ele continua em vigor até alguém decidir." in said[active]


def test_an_access_opens_again_once_it_was_resumed_whatever_was_asked_before(unit):
    grant = grant_of(EmploymentFactory(unit=unit), status=GrantStatus.SUSPENDED)
    chief, decider = head_of(unit), analyst()
    workflow.move_grant(grant.pk, GrantStatus.TO_REVOKE, by=chief, note="Mudou de setor.")
    assert not AccessGrant.objects.opening().exists()
    workflow.move_grant(grant.pk, GrantStatus.SUSPENDED, by=decider, note="Ainda não.")
    workflow.move_grant(grant.pk, GrantStatus.ACTIVE, by=decider)
    assert AccessGrant.objects.opening().get() == grant
    workflow.move_grant(grant.pk, GrantStatus.TO_REVOKE, by=chief, note="Mudou de setor.")
    assert AccessGrant.objects.opening().get() == grant


# --- The story, in a browser ----------------------------------------------------------------------------------------
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def faults_of(page):
    """What axe finds against WCAG 2.2 AA, and what reaches past 360 pixels."""
    found = [fault["id"] for fault in Axe().run(page, options=WCAG).response["violations"]]
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 800})
    if page.evaluate("document.documentElement.scrollWidth") > 360:
        found.append("wider than the window")
    page.set_viewport_size(size)
    return found


def enter(page, user, target):
    page.goto(f"/entrar/?next={target}")
    page.get_by_label("Usuário").fill(user.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.wait_for_url(f"**{target}")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_head_asks_an_analyst_revokes_and_both_people_are_told(portal_server, smtp_sink, page, browser):
    unit = UnitFactory(name="3ª Vara Criminal")
    head, decider = head_of(unit, user__name="HELENA CHEFE"), analyst()
    grant = grant_of(EmploymentFactory(user__name="JOÃO DA SILVA", unit=unit))

    enter(page, head, "/")
    page.get_by_text("Sistemas", exact=True).click()
    page.get_by_role("link", name="Acessos da minha unidade").click()
    faults = {"list": faults_of(page)}
    page.get_by_role("link", name="Pedir o fim").click()
    faults["end"] = faults_of(page)
    page.get_by_label("Motivo").fill("Mudou de setor.")
    page.get_by_role("button", name="Pedir o fim do acesso").click()
    page.wait_for_url(f"**{LIST}")
    assert "Pedido enviado à Coordenadoria." in page.get_by_role("status").first.inner_text()

    page.get_by_role("button", name="Sair").click()
    enter(page, decider, f"/admin/requests_app/accessgrant/{grant.pk}/change/")
    faults["access"] = faults_of(page)
    page.get_by_label("Motivo", exact=True).fill("Confirmado com a unidade.")
    page.get_by_role("button", name="Revogar").click()
    page.get_by_text("Acesso revogado. A pessoa recebe um e-mail com o motivo.").wait_for()

    assert faults == {"list": [], "end": [], "access": []}
    outbox.send_due()
    assert "revogou o seu acesso" in smtp_sink.to(grant.user.email)[0].text()
    assert "Confirmado com a unidade." in smtp_sink.to(head.email)[0].text()
