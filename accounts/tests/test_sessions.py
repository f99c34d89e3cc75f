"""How long somebody stays signed in, where, and what ends it."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import devices, passwords, resets, sessions
from accounts.models import SecurityEvent, Session
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from requests_app.tests.factories import analyst
from requests_app.tests.test_concurrency import at_once

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1"
CHOSEN = "capivaras na beira do rio"
CHANGED = {"old_password": PASSWORD, "new_password1": CHOSEN, "new_password2": CHOSEN}
LIST = "/conta/sessoes/"
OTHERS = "/conta/sessoes/encerrar-outras/"
USE = "/conta/sessoes/uso/"
HALF_AN_HOUR = timedelta(minutes=30)
MOMENT = timedelta(seconds=1)


@pytest.fixture
def person(db):
    return EmploymentFactory().user


@pytest.fixture
def sign_in(db, make_client):
    """A browser in which somebody has signed in."""

    def sign_in(person, user_agent=WINDOWS, address="10.1.1.1", **options):
        client = make_client(headers={"user-agent": user_agent}, REMOTE_ADDR=address, **options)
        client.force_login(person)
        client.get("/orientacoes/")  # from where is known with the first click
        return client

    return sign_in


def is_signed_in(client):
    return client.get("/conta/").status_code == 200


def mark_of(client):
    return Session.objects.get(session_key=sessions.digest(client.session.session_key)).mark


def end_address(mark):
    return reverse("session-end", args=[mark])


def events():
    rows = SecurityEvent.objects.filter(kind=SecurityEvent.Kind.SESSION_ENDED).order_by("pk")
    return [(event.user, event.actor, event.address, event.detail) for event in rows]


# --- The page -------------------------------------------------------------------------------------------------------
def test_asvs_7_5_2_one_sees_ones_own_sessions_and_which_is_this_one(sign_in, person):
    with time_machine.travel("2026-11-23T12:00:00Z", tick=False):
        here = sign_in(person)
        sign_in(person, IPHONE, "203.0.113.7")
        sign_in(UserFactory(), IPHONE, "198.51.100.99")

        page = here.get(LIST).content.decode()

    assert page.count("Esta sessão") == 1
    assert page.count(">Chrome no Windows</th>") == page.count(">10.1.1.1</td>") == 1
    assert page.count(">Safari no iPhone</th>") == page.count(">203.0.113.7</td>") == 1
    assert "23/11/2026 08:00" in page
    assert "198.51.100.99" not in page


def test_the_page_says_after_how_long_a_session_ends(sign_in, person, settings):
    settings.SESSION_IDLE_MINUTES, settings.SESSION_COOKIE_AGE = 7, 3600

    assert "depois de 7 minutos sem uso. Com uso, dura no máximo" in sign_in(person).get(LIST).content.decode()


def test_what_is_over_is_not_listed(sign_in, person):
    with time_machine.travel(timezone.now() - HALF_AN_HOUR):
        sign_in(person, IPHONE)

    assert "iPhone" not in sign_in(person).get(LIST).content.decode()


def test_the_account_page_leads_there(sign_in, person):
    assert f'href="{LIST}"' in sign_in(person).get("/conta/").content.decode()


def test_asvs_7_5_2_one_session_is_ended_and_the_others_stay(sign_in, person):
    here, lost, kept = sign_in(person), sign_in(person, IPHONE), sign_in(person)

    answer = here.post(end_address(mark_of(lost)), follow=True)

    assert answer.redirect_chain == [(LIST, 302)]
    assert "Sessão encerrada." in answer.content.decode()
    assert not is_signed_in(lost)
    assert is_signed_in(here)
    assert is_signed_in(kept)
    assert events() == [(person, person, "10.1.1.1", "uma sessão")]


def test_asvs_7_5_2_all_others_are_ended_and_nobody_elses(sign_in, person):
    here, lost, old, stranger = sign_in(person), sign_in(person, IPHONE), sign_in(person), sign_in(UserFactory())

    answer = here.post(OTHERS, follow=True)

    assert "2 sessões encerradas." in answer.content.decode()
    assert [is_signed_in(client) for client in (here, lost, old, stranger)] == [True, False, False, True]
    assert events() == [(person, person, "10.1.1.1", "outras sessões: 2")]


def test_who_has_no_other_session_is_told_so(sign_in, person):
    answer = sign_in(person).post(OTHERS, follow=True)

    assert "Não há outra sessão aberta." in answer.content.decode()


def test_asvs_7_5_2_another_persons_session_is_not_found_and_stays(sign_in, person):
    stranger = sign_in(UserFactory())

    answer = sign_in(person).post(end_address(mark_of(stranger)))

    assert answer.status_code == 404
    assert is_signed_in(stranger)
    assert events() == []


def test_a_session_that_is_over_is_not_found(sign_in, person):
    here, gone = sign_in(person), sign_in(person)
    mark = mark_of(gone)
    gone.post("/sair/")

    assert here.post(end_address(mark)).status_code == 404
    assert here.post(end_address(uuid.uuid4())).status_code == 404
    assert events() == []


@pytest.mark.parametrize("mark", ["1", "x" * 5000, "%00", "6d1ab6ce4b6e4b5b9a1e0c6f2f7b0001", "١"])
def test_what_is_no_mark_is_not_found(sign_in, person, mark):
    assert sign_in(person).post(f"/conta/sessoes/{mark}/encerrar/").status_code == 404


def test_the_session_in_use_is_ended_by_the_button_for_it(sign_in, person):
    here = sign_in(person)

    answer = here.post(end_address(mark_of(here)), follow=True)

    assert "use o botão “Sair”" in answer.content.decode()
    assert is_signed_in(here)


def test_fault_19_an_address_that_is_opened_ends_nothing(sign_in, person):
    here, other = sign_in(person), sign_in(person)

    for address in (OTHERS, end_address(mark_of(other))):
        assert here.get(address)["Location"] == LIST

    assert is_signed_in(other)


def test_asvs_3_5_1_a_foreign_page_ends_nothing(sign_in, person):
    here, other = sign_in(person, enforce_csrf_checks=True), sign_in(person)

    for address in (OTHERS, end_address(mark_of(other))):
        answer = here.post(address, follow=True)
        assert answer.redirect_chain == [(LIST, 302)]
        assert "A página ficou aberta por muito tempo." in answer.content.decode()

    assert is_signed_in(other)


# --- It ends by time ------------------------------------------------------------------------------------------------
def test_asvs_7_3_1_a_session_ends_after_half_an_hour_without_use(sign_in, person):
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        used, left_alone = sign_in(person), sign_in(person)
    with time_machine.travel(start + HALF_AN_HOUR - MOMENT, tick=False):
        assert is_signed_in(used)
    with time_machine.travel(start + HALF_AN_HOUR, tick=False):
        assert is_signed_in(used)
        assert not is_signed_in(left_alone)


def test_asvs_7_3_1_the_minutes_are_those_of_the_settings(sign_in, person, settings):
    settings.SESSION_IDLE_MINUTES = 5
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        client = sign_in(person)
    with time_machine.travel(start + timedelta(minutes=5), tick=False):
        assert not is_signed_in(client)


def test_asvs_7_3_2_a_session_ends_after_twelve_hours_however_much_it_is_used(sign_in, person):
    start = timezone.now()
    for minutes in range(0, 720, 20):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=False):
            if not minutes:
                client = sign_in(person)
            assert is_signed_in(client)
    with time_machine.travel(start + timedelta(hours=12) - MOMENT, tick=False):
        client.post(OTHERS)  # which stores something in the session
        assert is_signed_in(client)
    with time_machine.travel(start + timedelta(hours=12), tick=False):
        assert not is_signed_in(client)


def test_asvs_7_3_2_signing_in_anew_begins_the_hours_anew(client, person):
    start = timezone.now()
    for hours in (0, 11.9):
        with time_machine.travel(start + timedelta(hours=hours), tick=False):
            client.post("/entrar/", {"username": person.cpf, "password": PASSWORD})
    with time_machine.travel(start + timedelta(hours=12.1), tick=False):
        assert is_signed_in(client)


def test_asvs_7_3_1_the_form_of_a_mailed_link_does_not_end_by_idling(client, person):
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        client.get(resets.link_for(person))
    with time_machine.travel(start + timedelta(minutes=59), tick=False):
        done = client.post("/redefinir-senha/nova/", {"new_password1": CHOSEN, "new_password2": CHOSEN})

    assert done["Location"] == "/senha-alterada/"


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.get("/pessoas/busca/?q=mar"),
        lambda client: client.post(USE),
        lambda client: client.get("/nao-existe/"),
        lambda client: client.post("/solicitacoes/nova/", {"description": "incompleta"}),
    ],
    ids=["the list that asks while somebody types", "typing", "a mistake", "a form"],
)
def test_whatever_a_person_does_keeps_the_session(sign_in, person, use):
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        client = sign_in(person)
    with time_machine.travel(start + timedelta(minutes=20), tick=False):
        use(client)
    with time_machine.travel(start + timedelta(minutes=49), tick=False):
        assert is_signed_in(client)


def test_a_form_posted_after_the_end_leads_to_the_door_and_back_to_the_form(sign_in, person):
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        client = sign_in(person)
    with time_machine.travel(start + HALF_AN_HOUR, tick=False):
        answer = client.post("/solicitacoes/nova/", {"description": "meia hora de texto"})

    assert answer["Location"] == "/entrar/?next=/solicitacoes/nova/"


def test_typing_is_told_by_post_alone_and_answered_with_nothing(sign_in, person):
    client = sign_in(person)
    answer = client.post(USE)

    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(USE).status_code == 405
    assert sign_in(person, enforce_csrf_checks=True).post(USE).status_code == 403


def test_who_must_choose_a_password_may_take_the_time_for_it(sign_in):
    assert sign_in(UserFactory(must_change_password=True)).post(USE).status_code == 204


# --- It ends by a deed ----------------------------------------------------------------------------------------------
def test_asvs_7_4_3_a_new_password_ends_the_other_sessions_and_gives_this_one_a_new_key(sign_in, person):
    here, other, stranger = sign_in(person), sign_in(person, IPHONE), sign_in(UserFactory())
    key = here.session.session_key

    answer = here.post("/conta/alterar-senha/", CHANGED)

    assert answer["Location"] == "/"
    assert here.session.session_key != key
    assert [is_signed_in(client) for client in (here, other, stranger)] == [True, False, True]
    assert not Session.objects.filter(session_key=sessions.digest(key)).exists()
    assert sessions.of(person).count() == 1


def test_the_new_key_is_known_to_be_of_the_same_browser(sign_in, person):
    here = sign_in(person, IPHONE, "203.0.113.7")
    here.post("/conta/alterar-senha/", CHANGED)

    row = sessions.of(person).get()
    assert (devices.kind(row.device), row.address) == ("Safari no iPhone", "203.0.113.7")


def test_a_password_that_was_not_changed_ends_nothing(sign_in, person):
    here, other = sign_in(person), sign_in(person)

    here.post("/conta/alterar-senha/", CHANGED | {"old_password": "outra coisa qualquer"})

    assert is_signed_in(other)


def test_asvs_7_4_3_a_reset_ends_every_session(client, sign_in, person):
    other, stranger = sign_in(person), sign_in(UserFactory())
    client.get(resets.link_for(person))

    client.post("/redefinir-senha/nova/", {"new_password1": CHOSEN, "new_password2": CHOSEN})

    assert sessions.of(person).count() == 0
    assert [is_signed_in(browser) for browser in (other, stranger)] == [False, True]


def test_a_reset_in_a_browser_that_is_signed_in_ends_that_session_too(sign_in, person):
    here = sign_in(person)
    here.get(resets.link_for(person))

    answer = here.post("/redefinir-senha/nova/", {"new_password1": CHOSEN, "new_password2": CHOSEN})

    assert answer["Location"] == "/senha-alterada/"
    assert not is_signed_in(here)


def test_a_password_that_was_set_past_the_portal_ends_the_sessions_too(sign_in, person):
    """Django's own check of the hash, for whoever types into the database or restores it."""
    client = sign_in(person)
    type(person).objects.filter(pk=person.pk).update(password=make_password(CHOSEN))

    assert not is_signed_in(client)


def test_asvs_7_4_2_a_session_of_a_closed_account_does_not_come_back_with_the_account(sign_in, person):
    client = sign_in(person)
    person.is_active = False
    person.save()
    sessions.end_all(person, by=analyst())
    person.is_active = True
    person.save()

    assert not is_signed_in(client)


def test_who_ends_somebody_elses_sessions_is_recorded(sign_in, person):
    client, stranger, by = sign_in(person), sign_in(UserFactory()), analyst()

    assert sessions.end_all(person, by=by, request=RequestFactory().get("/", REMOTE_ADDR="10.9.9.9")) == 1

    assert [is_signed_in(browser) for browser in (client, stranger)] == [False, True]
    assert events() == [(person, by, "10.9.9.9", "todas as sessões: 1")]


def test_to_end_what_is_not_there_is_recorded_as_that(person):
    assert sessions.end_all(person, by=person) == 0
    assert events() == [(person, person, None, "todas as sessões: 0")]


def test_asvs_7_4_1_a_session_that_was_ended_does_not_come_back_by_a_new_password(sign_in, person, monkeypatch):
    here = sign_in(person)
    hashed = passwords.make_password

    def end_meanwhile(*arguments):
        sessions.end_all(person, by=person)
        return hashed(*arguments)

    monkeypatch.setattr(passwords, "make_password", end_meanwhile)
    answer = here.post("/conta/alterar-senha/", CHANGED)

    assert answer.status_code == 400
    assert "A sua sessão terminou" in answer.content.decode()
    assert not is_signed_in(here)
    assert not Session.objects.exists()


def test_a_new_key_keeps_what_is_known_of_the_session_and_the_old_one_opens_nothing(sign_in, person):
    store = sessions.SessionStore(sign_in(person, IPHONE, "203.0.113.7").session.session_key)
    before, old = Session.objects.values().get(), store.session_key
    store["typed"] = "x"
    store.cycle_key()
    store.save()

    after = Session.objects.values().get()
    changed = {"session_key", "session_data"}
    assert {name for name in after if after[name] != before[name]} == changed
    assert sessions.SessionStore(store.session_key)["typed"] == "x"
    assert not sessions.SessionStore(old).items()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time: nothing can come between")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ends", ["all", "one"])
def test_asvs_7_4_1_a_session_that_takes_a_new_key_while_it_is_ended_does_not_escape(ends):
    person = EmploymentFactory().user
    client = Client()
    client.force_login(person)
    store = sessions.SessionStore(client.session.session_key)
    row = sessions.of(person).get()
    with ThreadPoolExecutor(1) as elsewhere:
        with transaction.atomic():
            store.cycle_key()
            ending = elsewhere.submit(end_elsewhere, ends, row)
            wait_for_a_lock()
        ending.result(30)

    assert not Session.objects.exists()
    with pytest.raises(UpdateError):
        store.save()


def end_elsewhere(ends, row):
    try:
        if ends == "all":
            sessions.end_all(row.user)
        else:
            sessions.end(row, by=row.user, request=RequestFactory().post("/"))
    finally:
        connection.close()


def wait_for_a_lock():
    """Until another connection waits for what this transaction holds."""
    with connection.cursor() as cursor:
        for _ in range(3000):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    pytest.fail("nobody waited")


# --- What stands in the table ---------------------------------------------------------------------------------------
def test_asvs_7_2_3_nothing_in_the_table_opens_a_session(sign_in, person):
    client = sign_in(person)
    key = client.session.session_key
    (row,) = Session.objects.values()

    for value in row.values():
        thief = Client()
        thief.cookies["session"] = str(value)
        assert not is_signed_in(thief)
        assert key not in str(value)
    assert is_signed_in(client)


def test_asvs_7_2_3_a_key_comes_from_no_generator_that_can_be_seeded(db, seeded):
    keys = set()
    for _ in range(2):
        seeded()
        store = sessions.SessionStore()
        store.create()
        keys.add(store.session_key)
        store.delete()  # a key that is taken would not be given again

    assert len(keys) == 2


def test_a_sign_in_knows_at_once_from_where_it_is(client, person):
    client.post(
        "/entrar/",
        {"username": person.cpf, "password": PASSWORD},
        headers={"user-agent": IPHONE},
        REMOTE_ADDR="203.0.113.7",
    )

    row = sessions.of(person).get()
    assert (devices.kind(row.device), row.address) == ("Safari no iPhone", "203.0.113.7")


def test_storing_a_session_leaves_the_use_that_was_noted_beside_it(sign_in, person):
    key = sign_in(person).session.session_key
    slow, quick = sessions.SessionStore(key), sessions.SessionStore(key)
    slow["typed"], quick["seen"] = "long ago", True  # both are read now
    later = timezone.now() + timedelta(minutes=10)
    with time_machine.travel(later, tick=False):
        quick.note_use(RequestFactory().get("/", REMOTE_ADDR="10.2.2.2"))
    slow.save()

    row = Session.objects.get(session_key=sessions.digest(key))
    assert (row.seen_at, row.address) == (later, "10.2.2.2")
    assert sessions.SessionStore(key)["typed"] == "long ago"


def test_an_ended_session_is_not_brought_back_by_storing_it(sign_in, person):
    store = sessions.SessionStore(sign_in(person).session.session_key)
    store["typed"] = "x"
    sessions.end_all(person)

    with pytest.raises(UpdateError):
        store.save()
    assert not Session.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_session_that_ends_while_the_portal_answers_is_told_to_the_person(sign_in, person, monkeypatch, method):
    client = sign_in(person)
    client.post(OTHERS)  # leaves a message that the next page shows and forgets
    kind, end_all = devices.kind, sessions.end_all

    def sign_out_elsewhere(*args, ask, **options):
        Session.objects.all().delete()
        return ask(*args, **options)

    monkeypatch.setattr(devices, "kind", lambda *args: sign_out_elsewhere(*args, ask=kind))
    monkeypatch.setattr(sessions, "end_all", lambda *args, **options: sign_out_elsewhere(*args, ask=end_all, **options))
    answer = client.get(LIST) if method == "get" else client.post(OTHERS)

    page = answer.content.decode()
    assert answer.status_code == 400
    assert "A sua sessão terminou" in page
    assert 'href="/entrar/"' in page
    assert ("O que você enviou pode ter sido gravado." in page) == (method == "post")
    assert ("Nada se perdeu." in page) == (method == "get")
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db(transaction=True)
def test_many_requests_of_one_session_at_once_are_all_answered():
    person = EmploymentFactory().user
    client = Client()
    client.force_login(person)
    key = client.cookies["session"].value
    Session.objects.update(seen_at=timezone.now() - timedelta(minutes=10))

    def ask():
        tab = Client()
        tab.cookies["session"] = key
        return [tab.get("/conta/").status_code, tab.post(OTHERS).status_code, tab.get(LIST).status_code]

    assert at_once(*[ask] * 4) == [[200, 302, 200]] * 4
    assert Session.objects.filter(user=person).count() == 1
    assert is_signed_in(client)


# --- What it costs --------------------------------------------------------------------------------------------------
def queries_of(client, address):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in queries]


def test_a_page_costs_one_look_at_the_session_and_at_most_one_note_a_minute(sign_in, person):
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        client = sign_in(person)
        client.get("/conta/")
    with time_machine.travel(start + timedelta(seconds=59), tick=False):
        usual = queries_of(client, "/conta/")
    with time_machine.travel(start + timedelta(seconds=61), tick=False):
        noted = queries_of(client, "/conta/")
        again = queries_of(client, "/conta/")

    of_sessions = [sql for sql in usual if "accounts_session" in sql]
    assert len(of_sessions) == 1
    assert of_sessions[0].startswith("SELECT")
    assert not any(sql.startswith(("UPDATE", "INSERT", "DELETE")) for sql in usual + again)
    assert [sql.split()[:2] for sql in noted if sql.startswith(("UPDATE", "INSERT", "DELETE"))] == [
        ["UPDATE", '"accounts_session"']
    ]
    assert len(again) == len(usual)


@pytest.mark.parametrize("address", ["/health/live", "/"])
def test_a_stranger_costs_no_session(client, db, address):
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(address)

    assert not any("accounts_session" in query["sql"] for query in queries)
    assert "session" not in answer.cookies
    assert not Session.objects.exists()


def test_nothing_about_a_persons_session_stands_in_a_strangers_page(client, sign_in, person):
    assert "data-session-end" in sign_in(person).get("/orientacoes/").content.decode()
    assert "data-session-end" not in client.get("/orientacoes/").content.decode()


def test_a_page_knows_how_long_the_session_still_lasts(sign_in, person):
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        client = sign_in(person)
    with time_machine.travel(start + timedelta(seconds=50), tick=False):
        page = client.get("/conta/").content.decode()

    assert ('data-idle="1800"' in page, 'data-unused="1750"' in page, 'data-left="43150"' in page) == (True,) * 3


def test_the_desk_warns_too(sign_in):
    assert "data-session-end" in sign_in(analyst()).get("/admin/").content.decode()
