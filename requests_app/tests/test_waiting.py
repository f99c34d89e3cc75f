"""What the page of a request says to who waits: who has it, the usual time, what happened when, and reminding."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from playwright.sync_api import expect

from accounts import outbox
from accounts.models import OutgoingMail, SecurityEvent
from accounts.tests.factories import PASSWORD, EmploymentFactory
from requests_app import waiting, workflow
from requests_app.models import AccessRequest, Holiday, Reminder, Status

from .factories import UserTypeFactory, analyst, grant_of, request_in, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 3, 2, 16, tzinfo=UTC)  # noon here
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_kept():
    cache.clear()
    yield
    cache.clear()


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def address(request, step=""):
    return f"/solicitacoes/{request.protocol}/{step}"


def page_of(client, request, person=None):
    client.force_login(person or request.requester)
    return Page(client.get(address(request)))


def clocks_on(page):
    """What each of the clocks says, by its name."""
    lines = [text_of(line) for one in page.all("ol", class_="clocks") for line in one.children]
    return dict(line.split(": ", 1) for line in lines)


def said(at):
    return timezone.localtime(at).strftime("%d/%m/%Y %H:%M")


def the_mails_go(at):
    """All that is owed goes out at this moment, whatever the database's clock says."""
    OutgoingMail.objects.update(next_at=at)
    outbox.send_due()
    OutgoingMail.objects.filter(status="SENT").update(sent_at=at)


# --- The four clocks --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("credential", ["PORTAL", "OWN"])
def test_the_clocks_of_a_request_that_waits_have_not_struck(client, credential):
    request = filed(user_type=UserTypeFactory(system__credential=credential))
    assert clocks_on(page_of(client, request)) == {
        "Decidido": "ainda não",
        "Cadastrado": "ainda não",
        "Credencial enviada": "ainda não",
        "Primeiro acesso": "ainda não" if credential == "PORTAL" else "o outro sistema não informa",
    }


def test_the_clocks_strike_as_things_happen(client, smtp_sink):
    with time_machine.travel(MONDAY, tick=False):
        request = filed()
    with time_machine.travel(MONDAY + DAY, tick=False):
        decided = timezone.now()
        workflow.move(request.pk, Status.APPROVED, by=analyst())
        request.refresh_from_db()
        before = clocks_on(page_of(client, request))
    with time_machine.travel(MONDAY + 2 * DAY, tick=False):
        sent = timezone.now()
        the_mails_go(sent)
        after = clocks_on(page_of(client, request))

    assert before == {
        "Decidido": said(decided),
        "Cadastrado": said(decided),
        "Credencial enviada": "ainda não",
        "Primeiro acesso": "ainda não",
    }
    assert after == {**before, "Credencial enviada": said(sent)}


def signs_in(client, person, at):
    with time_machine.travel(at, tick=False):
        client.logout()
        assert client.post("/entrar/", {"username": person.cpf, "password": PASSWORD}).status_code == 302


def test_the_first_access_is_the_first_sign_in_after_the_credential_and_nobody_elses(client, smtp_sink):
    with time_machine.travel(MONDAY, tick=False):
        bond = EmploymentFactory()  # with a password of their own, which stays
        request = filed(bond=bond)
    signs_in(client, bond.user, MONDAY + DAY / 24)
    with time_machine.travel(MONDAY + DAY, tick=False):
        workflow.move(request.pk, Status.APPROVED, by=analyst())
        the_mails_go(timezone.now())
    signs_in(client, request.requester, MONDAY + 2 * DAY)
    with time_machine.travel(MONDAY + 2 * DAY, tick=False):
        assert clocks_on(page_of(client, request))["Primeiro acesso"] == "ainda não"
    for days in (3, 4):
        signs_in(client, bond.user, MONDAY + days * DAY)
    with time_machine.travel(MONDAY + 5 * DAY, tick=False):
        assert clocks_on(page_of(client, request))["Primeiro acesso"] == said(MONDAY + 3 * DAY)
    assert SecurityEvent.objects.filter(kind="SIGNED_IN", user=bond.user).count() == 3


def test_a_credential_that_did_not_go_out_is_not_said_to_be_sent(client):
    request = filed()
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    OutgoingMail.objects.update(status="FAILED", error="550 5.1.1 no such user")
    assert clocks_on(page_of(client, request))["Credencial enviada"] == "ainda não"


def test_what_is_over_has_only_the_clocks_that_struck(client):
    refused, cancelled = filed(), filed()
    workflow.move(refused.pk, Status.REJECTED, by=analyst(), note="Sem finalidade.")
    workflow.move(cancelled.pk, Status.CANCELLED, by=cancelled.requester)
    refused.refresh_from_db()
    assert clocks_on(page_of(client, refused)) == {"Decidido": said(refused.decided_at)}
    assert clocks_on(page_of(client, cancelled)) == {}


def test_a_clock_has_its_time_for_machines_too(client):
    request = filed()
    workflow.move(request.pk, Status.REJECTED, by=analyst(), note="Sem finalidade.")
    [clocks] = page_of(client, request).all("ol", class_="clocks")
    assert dict(clocks.attributes)["aria-label"] == "Datas deste pedido"
    [time] = [element for element in walk(clocks) if element.name == "time"]
    at = timezone.localtime(AccessRequest.objects.get().decided_at)
    assert dict(time.attributes)["datetime"] == at.isoformat()


# --- Who has it -------------------------------------------------------------------------------------------------------
def everything_told(client, smtp_sink, request):
    """All that requester and beneficiary can read of a request."""
    outbox.send_due()
    places = (
        "/",
        "/solicitacoes/",
        address(request),
        "/conta/meus-dados/andamento/",
        "/conta/meus-dados/solicitacoes/",
    )
    told = [delivery.message.as_string() for delivery in smtp_sink.deliveries]
    for person in (request.requester, request.beneficiary):
        client.force_login(person)
        told += [response.content.decode() for response in map(client.get, places) if response.status_code == 200]
    return "\n".join(told)


def test_no_page_and_no_mail_names_who_analyses_unless_the_court_wants_so(client, smtp_sink, settings):
    request = filed()
    workflow.move(request.pk, Status.IN_REVIEW, by=analyst(name="ANA LISTA SIGILOSA"))
    told = everything_told(client, smtp_sink, request)
    assert "Sigilosa" not in told
    assert "Em análise com a Coordenadoria." in page_of(client, request).text

    settings.SHOW_HOLDER = True

    for person in (request.requester, request.beneficiary):
        assert "Em análise com Ana Lista Sigilosa." in page_of(client, request, person).text


def test_no_page_and_no_mail_names_who_decided_either(client, smtp_sink):
    request = filed()
    workflow.move(request.pk, Status.APPROVED, by=analyst(name="ANA LISTA SIGILOSA"))
    assert "Sigilosa" not in everything_told(client, smtp_sink, request)
    assert "Coordenadoria" in text_of(page_of(client, request).one("ol", class_="history"))


def test_a_request_in_the_queue_is_said_to_be_there_and_one_that_is_over_is_nowhere(client):
    request = filed()
    assert "O pedido está na fila da Coordenadoria." in page_of(client, request).text
    workflow.move(request.pk, Status.REJECTED, by=analyst(), note="Sem finalidade.")
    assert "O pedido está na fila" not in page_of(client, request).text


# --- The usual time ---------------------------------------------------------------------------------------------------
def decided(count, days, *, user_type, ago=30):
    """So many requests of this system that took so many days, decided so many days ago."""
    end = timezone.now() - ago * DAY
    copies, decider = [], analyst()
    for _ in range(count):
        one = unsaved_request(user_type=user_type)
        one.protocol = f"2001-{AccessRequest.objects.count() + len(copies):06}"
        one.status, one.decided_by, one.decided_at = Status.REJECTED, decider, end
        one.created_at = end - days * DAY
        copies.append(one)
    AccessRequest.objects.bulk_create(copies)


@pytest.fixture
def midweek():
    with time_machine.travel(MONDAY + 2 * DAY, tick=False):
        yield


def test_who_waits_reads_the_usual_time_of_that_system_from_real_figures(client, midweek):
    user_type, other = UserTypeFactory(system__name="SIEL"), UserTypeFactory(system__name="BNMP")
    decided(18, 1, user_type=user_type, ago=7)  # on Wednesdays: one business day
    decided(2, 7, user_type=user_type, ago=7)  # and a week: five
    decided(30, 14, user_type=other, ago=7)
    sentence = "9 em cada 10 pedidos de SIEL foram decididos em até 1 dia útil."
    request = filed(user_type=user_type)
    assert sentence in page_of(client, request).text
    workflow.move(request.pk, Status.REJECTED, by=analyst(), note="Sem finalidade.")
    assert "9 em cada 10" not in page_of(client, request).text


def test_what_most_took_is_not_what_nine_in_ten_took(client, midweek):
    user_type = UserTypeFactory(system__name="SIEL")
    decided(17, 1, user_type=user_type, ago=7)
    decided(3, 7, user_type=user_type, ago=7)
    assert "decididos em até 5 dias úteis." in page_of(client, filed(user_type=user_type)).text


@pytest.mark.parametrize(("recent", "old"), [(19, 0), (0, 40), (19, 1)])
def test_too_few_of_late_say_nothing(client, midweek, recent, old):
    user_type = UserTypeFactory()
    decided(recent, 1, user_type=user_type, ago=7)
    decided(old, 1, user_type=user_type, ago=181)
    decided(40, 1, user_type=UserTypeFactory(), ago=7)
    assert "9 em cada 10" not in page_of(client, filed(user_type=user_type)).text


def test_the_figures_are_counted_once_in_an_hour(client, midweek):
    request = filed()
    page_of(client, request)
    with CaptureQueriesContext(connection) as captured:
        client.get(address(request))
    assert not [query for query in captured if "filed_on" in query["sql"]]
    cache.delete(waiting.USUAL_KEY)
    with CaptureQueriesContext(connection) as captured:
        client.get(address(request))
    assert len([query for query in captured if "filed_on" in query["sql"]]) == 1


# --- Lembrar a Coordenadoria ------------------------------------------------------------------------------------------
@pytest.fixture
def clock():
    """A Monday; ``move_to`` goes on."""
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


def remind(client, request, person=None):
    client.force_login(person or request.requester)
    return Page(client.post(address(request, "lembrar/"), follow=True))


SENT = ["Lembrete enviado. A Coordenadoria vê que você espera a decisão."]
FROM_THURSDAY = "Você pode lembrar a Coordenadoria a partir de 05/03/2026."


def test_before_three_business_days_the_page_says_from_which_day_on(client, clock):
    request = filed()
    clock.move_to(MONDAY + 2 * DAY)
    page = page_of(client, request)
    assert FROM_THURSDAY.removesuffix(".") in page.text
    assert not page.one("form", action=address(request, "lembrar/"))
    assert remind(client, request).notices == [FROM_THURSDAY]
    assert not Reminder.objects.exists()


@pytest.mark.parametrize("who", ["requester", "beneficiary"])
@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_REVIEW])
def test_after_them_each_side_reminds_once_and_both_sides_and_the_desk_see_it(client, clock, who, status):
    request = filed()
    if status == Status.IN_REVIEW:
        workflow.move(request.pk, status, by=analyst())
    clock.move_to(MONDAY + 3 * DAY)
    person = getattr(request, who)
    assert page_of(client, request, person).one("form", action=address(request, "lembrar/"))

    page = remind(client, request, person)

    assert page.notices == SENT
    assert not page.one("form", action=address(request, "lembrar/"))
    assert "a partir de 10/03/2026" in page.text  # over a weekend
    refused = ["Você pode lembrar a Coordenadoria a partir de 10/03/2026."]
    for side in (request.requester, request.beneficiary):
        assert remind(client, request, side).notices == refused
        history = text_of(page_of(client, request, side).one("ol", class_="history"))
        assert f"Coordenadoria lembrada 05/03/2026 12:00 · {person.display_name}" in history
    [reminder] = Reminder.objects.all()
    assert (reminder.request, reminder.by, reminder.at) == (request, person, MONDAY + 3 * DAY)

    client.force_login(analyst())
    screen = Page(client.get(f"/admin/requests_app/accessrequest/{request.pk}/change/")).text
    assert "Coordenadoria lembrada" in screen
    for place in ("/admin/", "/admin/requests_app/accessrequest/"):
        assert "lembrada em 05/03/2026" in Page(client.get(place)).text


def test_a_reminder_may_come_again_three_business_days_after_the_last(client, clock):
    Holiday.objects.create(name="Feriado", starts_on=date(2026, 3, 9), ends_on=date(2026, 3, 9), scope="COURT")
    request = filed()
    clock.move_to(MONDAY + 3 * DAY)
    assert remind(client, request).notices == SENT
    clock.move_to(MONDAY + 8 * DAY)  # Tuesday after a free Monday
    assert remind(client, request).notices == ["Você pode lembrar a Coordenadoria a partir de 11/03/2026."]
    clock.move_to(MONDAY + 9 * DAY)
    assert remind(client, request).notices == SENT
    assert Reminder.objects.count() == 2
    client.force_login(analyst())
    queue = Page(client.get("/admin/requests_app/accessrequest/")).text
    assert "lembrada em 11/03/2026" in queue
    assert "lembrada em 05/03/2026" not in queue


def test_who_holds_the_request_gets_one_mail_for_a_reminder(client, smtp_sink, clock):
    request = filed(requester=EmploymentFactory(user__name="MARIA LIMA").user)
    holder = analyst(name="ANA LISTA")
    workflow.move(request.pk, Status.IN_REVIEW, by=holder)
    clock.move_to(MONDAY + 3 * DAY)
    remind(client, request)
    remind(client, request)

    the_mails_go(timezone.now())

    [mail] = smtp_sink.to(holder.email)
    assert mail.message["Subject"] == f"[Sistemas Externos] Lembrete do pedido {request.protocol}"
    text = " ".join(mail.text().split())
    assert "Maria Lima lembrou a Coordenadoria de um pedido que está em análise com você" in text
    assert f"/admin/requests_app/accessrequest/{request.pk}/change/" in text
    assert "O que fazer: decida o pedido." in text
    client.force_login(analyst())
    found = Page(client.get("/admin/accounts/outgoingmail/", {"q": request.protocol})).text
    assert "Lembrete de quem espera (a quem analisa)" in found


def test_nobody_is_mailed_where_nobody_holds_it(client, clock):
    request = filed()
    clock.move_to(MONDAY + 3 * DAY)
    assert remind(client, request).notices == SENT
    assert not OutgoingMail.objects.filter(kind="request_reminder").exists()


def test_a_mail_that_has_not_gone_out_is_dropped_once_the_request_left_that_persons_hands(client, smtp_sink, clock):
    request, holder = filed(), analyst()
    workflow.move(request.pk, Status.IN_REVIEW, by=holder)
    clock.move_to(MONDAY + 3 * DAY)
    remind(client, request)
    workflow.move(request.pk, Status.PENDING, by=holder)
    the_mails_go(timezone.now())
    assert OutgoingMail.objects.get(kind="request_reminder").status == "SUPERSEDED"
    assert not smtp_sink.to(holder.email)


@pytest.mark.parametrize("status", [Status.RETURNED, Status.APPROVED, Status.REJECTED, Status.CANCELLED])
def test_there_is_nothing_to_remind_of_where_the_coordenadoria_has_nothing_to_decide(client, clock, status):
    request = filed(user_type=UserTypeFactory(system__credential="OWN"))
    by = request.requester if status == Status.CANCELLED else analyst()
    workflow.move(request.pk, status, by=by, note="Falta a portaria.")
    clock.move_to(MONDAY + 10 * DAY)
    page = page_of(client, request)
    assert not page.one("form", action=address(request, "lembrar/"))
    assert "lembrar a Coordenadoria" not in page.text
    assert remind(client, request).notices == ["Esta solicitação não aguarda mais a Coordenadoria. Nada foi enviado."]
    assert not Reminder.objects.exists()


@pytest.mark.parametrize("who", ["colleague", "analyst"])
def test_fault_20_another_persons_request_cannot_be_reminded_of(client, clock, who):
    request = filed()
    clock.move_to(MONDAY + 3 * DAY)
    client.force_login({"colleague": lambda: EmploymentFactory().user, "analyst": analyst}[who]())
    for method in (client.get, client.post):
        assert method(address(request, "lembrar/")).status_code == 404
    assert not Reminder.objects.exists()


def test_anonymous_people_are_asked_who_they_are_and_opening_the_address_reminds_nobody(client, clock):
    request = filed()
    clock.move_to(MONDAY + 3 * DAY)
    response = client.post(address(request, "lembrar/"))
    assert (response.status_code, urlsplit(response.url).path) == (302, "/entrar/")
    client.force_login(request.requester)
    response = client.get(address(request, "lembrar/"))
    assert (response.status_code, response.url) == (302, address(request))
    assert not Reminder.objects.exists()


# --- How much is asked of the database --------------------------------------------------------------------------------
def test_a_request_with_300_reminders_and_the_queue_cost_as_many_queries_as_with_one_and_three(client):
    request = filed()
    decider = analyst()
    places = {address(request): request.requester, "/admin/": decider, "/admin/requests_app/accessrequest/": decider}

    def queries():
        found = []
        for place, person in places.items():
            client.force_login(person)
            client.get(place)
            with CaptureQueriesContext(connection) as captured:
                assert client.get(place).status_code == 200
            found.append(len(captured))
        return found

    counts = []
    for count in (1, 2, 297):
        Reminder.objects.bulk_create(Reminder(request=request, by=request.requester) for _ in range(count))
        counts.append(queries())
    assert Reminder.objects.count() == 300
    assert counts[0] == counts[1] == counts[2]


# --- By keyboard alone ------------------------------------------------------------------------------------------------
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


def tab_to(page, control):
    """On with the key that leads from one control to the next; fails where that never comes to this one."""
    for _ in range(60):
        if control.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not lead there")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_by_keys_alone_somebody_reminds_the_coordenadoria_and_gives_an_access_up(portal_server, page):
    bond = EmploymentFactory(user__name="MARIA LIMA")
    request = filed(requester=bond.user)
    AccessRequest.objects.update(created_at=timezone.now() - 30 * DAY)
    asked = request_in(Status.COMPLETED, bond=bond)
    user_type = UserTypeFactory(
        name="Consulta",
        system__name="BNMP 2.0",
        system__url="https://bnmp.cnj.jus.br/",
        system__instructions="Entre pelo menu Consulta.",
    )
    grant = grant_of(bond, user_type=user_type, request=asked)

    page.goto(f"/entrar/?next={address(request)}")
    page.get_by_label("Usuário").focus()
    page.keyboard.type(bond.user.cpf)
    tab_to(page, page.get_by_label("Senha:"))
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=request.protocol).wait_for()
    faults = {"request": faults_of(page)}
    tab_to(page, page.get_by_role("button", name="Lembrar a Coordenadoria"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Lembrete enviado.")).to_be_visible()
    expect(page.get_by_text("Coordenadoria lembrada")).to_be_visible()
    faults["reminded"] = faults_of(page)

    tab_to(page, page.locator("details.menu summary").first)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("link", name="Meus acessos"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/acessos/")
    faults["accesses"] = faults_of(page)
    tab_to(page, page.get_by_role("link", name="Não preciso mais"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/encerrar/")
    faults["end"] = faults_of(page)
    tab_to(page, page.get_by_role("button", name="Sim, não preciso mais"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Aviso enviado à Coordenadoria.")).to_be_visible()

    assert faults == {"request": [], "reminded": [], "accesses": [], "end": []}
    grant.refresh_from_db()
    assert grant.status == "TO_REVOKE"
    assert Reminder.objects.get().by == bond.user
