"""The one throttle: how long guessing takes, by what it is counted, and whom it spares."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.core import signing
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import housekeeping, resets, throttle
from accounts.models import SecurityEvent, ThrottleCount
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory, cpf_of
from requests_app.tests.test_concurrency import at_once

NOBODY = cpf_of(9_000_000)
WRONG = "jabuticaba no quintal alheio"
START = "2026-03-02 12:00:00+00:00"
PLACE = "198.51.100.7"
#: Made here, so that a change of the real ones is no change of these tests.
LIMIT = throttle.Limit("test", 3, timedelta(minutes=30), timedelta(minutes=1), timedelta(minutes=10), label="teste")


@pytest.fixture
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


def sign_in(client, cpf, password=PASSWORD, **headers):
    return client.post("/entrar/", {"username": cpf, "password": password}, **headers)


def entered(client, cpf, **headers):
    return sign_in(client, cpf, **headers).status_code == 302


def entered_with(client, cpf, password):
    return sign_in(client, cpf, password).status_code == 302


def guess(make_client, cpf, times, **headers):
    for _ in range(times):
        sign_in(make_client(), cpf, WRONG, **headers)


def count(limit, what):
    row = ThrottleCount.objects.filter(scope=limit.scope, key=throttle.key_of(what)).first()
    return row.count if row else 0


# --- How the waits grow ---------------------------------------------------------------------------------------------
def test_the_first_tries_are_free_and_each_one_more_waits_twice_as_long(db, clock):
    assert [throttle.take(LIMIT, "one") for _ in range(3)] == [0, 0, 0]

    for minutes in (1, 2, 4, 8, 10, 10):
        assert throttle.take(LIMIT, "one") == minutes * 60
        clock.shift(timedelta(minutes=minutes, seconds=-1))
        assert throttle.take(LIMIT, "one") == 1
        clock.shift(timedelta(seconds=1))
        assert throttle.take(LIMIT, "one") == 0


def test_knocking_while_waiting_makes_the_wait_no_longer(db, clock):
    for _ in range(3):
        throttle.take(LIMIT, "one")
    for _ in range(50):
        throttle.take(LIMIT, "one")

    clock.shift(timedelta(minutes=1))

    assert throttle.take(LIMIT, "one") == 0


def test_after_a_quiet_window_the_free_tries_are_back(db, clock):
    for _ in range(2):
        throttle.take(LIMIT, "one")
    clock.shift(timedelta(minutes=30))

    assert [throttle.take(LIMIT, "one") for _ in range(3)] == [0, 0, 0]
    assert throttle.take(LIMIT, "one") > 0


def test_the_window_runs_from_the_last_try_so_that_slow_guessing_is_counted_too(db, clock):
    for _ in range(3):
        assert throttle.take(LIMIT, "one") == 0
        clock.shift(timedelta(minutes=29))

    # The third try waits its minute; that is over by now, and the fourth doubles the wait.
    assert throttle.take(LIMIT, "one") == 0
    assert throttle.take(LIMIT, "one") == 120


def test_a_wait_is_told_in_whole_seconds_and_never_as_none(db, clock):
    for _ in range(3):
        throttle.take(LIMIT, "one")
    clock.shift(timedelta(seconds=59, milliseconds=900))

    assert throttle.take(LIMIT, "one") == 1


def test_tries_at_one_thing_do_not_slow_another(db, clock):
    for _ in range(5):
        throttle.take(LIMIT, "one")

    assert throttle.take(LIMIT, "two") == 0
    assert throttle.take(throttle.SEARCH, "one") == 0


def test_many_years_of_guessing_overflow_nothing(db, clock):
    throttle.take(LIMIT, "one")
    ThrottleCount.objects.update(count=2_000_000_000)

    assert throttle.take(LIMIT, "one") == 0
    assert throttle.take(LIMIT, "one") == 600


def test_what_was_typed_does_not_stand_in_the_row(make_client, db):
    person = UserFactory()
    guess(make_client, person.cpf, 2, REMOTE_ADDR="198.51.100.77")

    rows = str(list(ThrottleCount.objects.values()))

    assert ThrottleCount.objects.count() == 2
    assert person.cpf not in rows
    assert "198.51.100.77" not in rows
    assert {len(row.key) for row in ThrottleCount.objects.all()} == {64}


def test_the_digest_is_keyed_so_that_nobody_without_the_key_can_try_all_cpfs(db, settings):
    mine = throttle.digest(NOBODY)
    settings.SECRETS_KEYS = ["another-key-of-the-tests-and-of-nothing-else-0123456789"]

    assert throttle.digest(NOBODY) != mine


def test_a_device_stays_known_while_the_key_that_knew_it_is_listed(make_client, db, settings):
    person, client = UserFactory(), make_client()
    old, new = settings.SECRETS_KEYS[0], "another-key-of-the-tests-and-of-nothing-else-0123456789"
    assert entered(client, person.cpf)
    client.post("/sair/")

    settings.SECRETS_KEYS = [new, old, new]
    guess(make_client, person.cpf, 5)

    assert not entered(make_client(), person.cpf)
    assert entered(client, person.cpf)


# --- At the door ----------------------------------------------------------------------------------------------------
def test_asvs_6_3_1_the_sixth_try_at_one_cpf_waits_though_the_password_is_right(make_client, db, clock):
    person = UserFactory()
    guess(make_client, person.cpf, 5)

    assert not entered(make_client(), person.cpf)
    clock.shift(timedelta(seconds=59))
    assert not entered(make_client(), person.cpf)
    clock.shift(timedelta(seconds=1))
    assert entered(make_client(), person.cpf)


def test_asvs_6_3_1_the_fifth_try_with_the_right_password_gets_in(make_client, db, clock):
    person = UserFactory()
    guess(make_client, person.cpf, 4)

    assert entered(make_client(), person.cpf)


def test_guesses_from_many_addresses_at_one_cpf_are_counted_together(make_client, db, clock):
    person = UserFactory()
    for host in range(1, 6):
        guess(make_client, person.cpf, 1, REMOTE_ADDR=f"198.51.100.{host}")

    assert not entered(make_client(), person.cpf, REMOTE_ADDR="203.0.113.1")


def test_punctuation_is_no_second_count(make_client, db, clock):
    person = UserFactory(cpf="52998224725")
    for written in ("52998224725", "529.982.247-25", " 529982247-25", "529.982.24725", "5 2 9 9 8 2 2 4 7 2 5"):
        sign_in(make_client(), written, WRONG)

    assert not entered(make_client(), person.cpf)


def test_asvs_6_3_1_guesses_at_many_cpfs_from_one_address_wait_too(make_client, db, clock, monkeypatch):
    monkeypatch.setattr(throttle, "SIGN_IN_ADDRESS", LIMIT)
    person = UserFactory()
    for number in range(3):
        guess(make_client, cpf_of(9_000_100 + number), 1, REMOTE_ADDR="198.51.100.7")

    assert not entered(make_client(), person.cpf, REMOTE_ADDR="198.51.100.7")
    assert entered(make_client(), person.cpf, REMOTE_ADDR="198.51.100.8")


def test_a_classroom_behind_one_address_is_not_locked_out_by_its_slips(make_client, db, clock):
    """Thirty people, more than seventy slips in five minutes, and everybody gets in."""
    people = UserFactory.create_batch(30)
    for place, person in enumerate(people):
        guess(make_client, person.cpf, place % 4 + 1, REMOTE_ADDR="198.51.100.7")
        clock.shift(timedelta(seconds=10))

    assert all(entered(make_client(), person.cpf, REMOTE_ADDR="198.51.100.7") for person in people)


def test_a_hundred_slips_behind_one_address_stop_nobody(db, clock):
    assert [throttle.take(throttle.SIGN_IN_ADDRESS, "198.51.100.7") for _ in range(100)] == [0] * 100
    assert throttle.take(throttle.SIGN_IN_ADDRESS, "198.51.100.7") == 60


def test_fault_14_a_success_clears_the_cpfs_count_and_not_the_addresss(make_client, db, clock):
    person = UserFactory()
    guess(make_client, person.cpf, 3, REMOTE_ADDR="198.51.100.7")

    assert entered(make_client(), person.cpf, REMOTE_ADDR="198.51.100.7")

    assert count(throttle.SIGN_IN, person.cpf) == 0
    assert count(throttle.SIGN_IN_ADDRESS, "198.51.100.7") == 3  # the right try is given back, the slips are not


@pytest.mark.parametrize(("slips", "right", "waits"), [(3, 0, True), (3, 5, True), (2, 5, False)])
def test_fault_14_a_success_at_the_edge_lifts_no_wait_that_the_slips_have_earned(
    make_client, db, clock, monkeypatch, slips, right, waits
):
    monkeypatch.setattr(throttle, "SIGN_IN_ADDRESS", LIMIT)
    people = UserFactory.create_batch(right)
    guess(make_client, cpf_of(9_000_600), slips - 1, REMOTE_ADDR=PLACE)
    assert all(entered(make_client(), person.cpf, REMOTE_ADDR=PLACE) for person in people)
    guess(make_client, cpf_of(9_000_601), 1, REMOTE_ADDR=PLACE)

    assert entered(make_client(), UserFactory().cpf, REMOTE_ADDR=PLACE) is not waits


def test_fault_14_a_right_try_that_began_first_lifts_no_wait_of_a_wrong_one_that_came_between(db, clock):
    for _ in range(LIMIT.free - 2):
        throttle.take(LIMIT, PLACE)
    right = throttle.attempt(LIMIT, PLACE)
    throttle.take(LIMIT, PLACE)  # a wrong one while the right password is still being hashed: it begins the wait

    throttle.give_back(LIMIT, PLACE, right)

    assert throttle.waiting(LIMIT, PLACE) == 60
    assert count(LIMIT, PLACE) == LIMIT.free - 1


def test_fault_14_a_right_try_lifts_the_wait_that_it_began_itself(db, clock):
    for _ in range(LIMIT.free - 1):
        throttle.take(LIMIT, PLACE)
    right = throttle.attempt(LIMIT, PLACE)
    assert throttle.waiting(LIMIT, PLACE) == 60

    throttle.give_back(LIMIT, PLACE, right)

    assert throttle.waiting(LIMIT, PLACE) == 0
    assert count(LIMIT, PLACE) == LIMIT.free - 1


def test_a_busy_courthouse_behind_one_address_is_not_locked_out(db, clock):
    """A right sign-in every half minute, all day."""
    for _ in range(300):
        right = throttle.attempt(throttle.SIGN_IN_ADDRESS, "198.51.100.7")
        assert right.wait == 0
        throttle.give_back(throttle.SIGN_IN_ADDRESS, "198.51.100.7", right)
        clock.shift(timedelta(seconds=30))


def test_a_reset_every_two_minutes_from_one_address_is_answered_all_day(db, clock):
    for _ in range(120):
        assert throttle.take(throttle.RESET_ADDRESS, "198.51.100.7") == 0
        clock.shift(timedelta(minutes=2))


def test_all_addresses_of_one_ipv6_network_are_counted_as_one(make_client, db, clock, monkeypatch):
    for number in range(3):
        guess(make_client, cpf_of(900 + number), 1, REMOTE_ADDR=f"2001:db8:1:2::{number}")
    assert count(throttle.SIGN_IN_ADDRESS, "2001:db8:1:2::/64") == 3


def test_a_flood_that_is_refused_fills_no_table(make_client, db, clock):
    person = UserFactory()
    guess(make_client, person.cpf, 30, REMOTE_ADDR="198.51.100.7")
    assert SecurityEvent.objects.filter(kind=SecurityEvent.Kind.THROTTLED).count() == 1


#: Signed in as whom, posting what so often -> what the staff read.
OWN_WAITS = {
    "pessoas/busca/": ("get", throttle.SEARCH, "busca de pessoas"),
    "solicitacoes/nova/ja-existe/": ("get", throttle.SEARCH, "busca de pessoas"),
    "conta/meus-dados/": ("post", throttle.OWN_DATA, "meus dados"),
}


@pytest.mark.parametrize("page", OWN_WAITS)
def test_the_wait_of_somebody_who_is_signed_in_is_recorded_with_who_and_from_where(client, db, page):
    method, limit, words = OWN_WAITS[page]
    person = EmploymentFactory().user
    client.force_login(person)
    for _ in range(limit.free):
        getattr(client, method)(f"/{page}", REMOTE_ADDR="198.51.100.7")
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.THROTTLED)
    assert (event.user, event.actor, event.typed_digest) == (person, person, "")
    assert (event.address, event.detail) == ("198.51.100.7", words)


def test_every_limit_has_words_that_the_staff_read_and_no_other_has():
    limits = [limit for limit in vars(throttle).values() if isinstance(limit, throttle.Limit)]
    assert len(limits) > 9
    assert len({limit.label for limit in limits}) == len({limit.scope for limit in limits}) == len(limits)
    assert not {limit.label for limit in limits} & {limit.scope for limit in limits}
    assert all(len(limit.scope) <= ThrottleCount._meta.get_field("scope").max_length for limit in limits)


def test_fault_7_the_throttle_is_the_same_for_a_cpf_that_is_nobodys(make_client, db, clock):
    person = UserFactory()
    for cpf in (person.cpf, NOBODY):
        guess(make_client, cpf, 6)

    told = SecurityEvent.objects.filter(kind=SecurityEvent.Kind.THROTTLED)
    assert set(told.values_list("typed_digest", flat=True)) == {throttle.digest(person.cpf), throttle.digest(NOBODY)}
    known, unknown = (ThrottleCount.objects.get(key=throttle.key_of(cpf)) for cpf in (person.cpf, NOBODY))
    assert (
        (known.count, known.blocked_until)
        == (unknown.count, unknown.blocked_until)
        == (
            5,
            timezone.now() + timedelta(minutes=1),
        )
    )


# --- No more than a hundred in a row --------------------------------------------------------------------------------
GUESSED = [throttle.SIGN_IN, throttle.OLD_PASSWORD, throttle.CODE]


def answered_in(clock, limit, what, days):
    """How many tries get an answer, where each comes as soon as it may; an hour's rest where it takes days."""
    answered, end = 0, timezone.now() + timedelta(days=days)
    while timezone.now() < end:
        wait = throttle.take(limit, what)
        answered += not wait
        clock.shift(timedelta(seconds=min(wait, 3600)))
    return answered


@pytest.mark.parametrize("limit", GUESSED, ids=lambda limit: limit.scope)
def test_asvs_6_3_1_after_the_free_tries_the_waits_grow_to_an_hour(db, clock, limit):
    waits = []
    for _ in range(14):
        throttle.take(limit, NOBODY)
        waits.append(throttle.waiting(limit, NOBODY))
        clock.shift(timedelta(seconds=waits[-1]))

    assert waits == [0, 0, 0, 0, *(60 * minutes for minutes in (1, 2, 4, 8, 16, 32, 60, 60, 60, 60))]


@pytest.mark.parametrize("limit", GUESSED, ids=lambda limit: limit.scope)
def test_nist_3_2_2_patient_guessing_gets_a_bounded_number_of_answers_and_then_none(db, clock, limit):
    assert answered_in(clock, limit, NOBODY, days=4) == limit.most <= 50
    assert answered_in(clock, limit, NOBODY, days=30) == 0


def test_nist_3_2_2_all_counts_of_one_persons_password_make_a_hundred_at_most(make_client, db, clock):
    person = UserFactory()
    own, other_own = make_client(), make_client()
    for client in (own, other_own):
        assert entered(client, person.cpf)
        client.post("/sair/")
    for client in (make_client(), own, other_own):
        for _ in range(110):
            sign_in(client, person.cpf, WRONG)
            clock.shift(timedelta(hours=1, minutes=1))

    refused = SecurityEvent.objects.filter(kind=SecurityEvent.Kind.SIGN_IN_FAILED).count()
    assert refused == 2 * throttle.SIGN_IN.most
    assert refused + throttle.OLD_PASSWORD.most <= 100


def test_nist_3_2_2_a_pause_of_weeks_between_tries_brings_no_free_ones_back(db, clock):
    for _ in range(5):
        throttle.take(throttle.SIGN_IN, NOBODY)
    clock.shift(timedelta(days=170))

    assert throttle.take(throttle.SIGN_IN, NOBODY) == 0
    assert throttle.waiting(throttle.SIGN_IN, NOBODY) == 120


@pytest.fixture
def worn_out(db, clock):
    """Somebody at whose CPF strangers have guessed as often as is answered."""
    person = UserFactory()
    answered_in(clock, throttle.SIGN_IN, person.cpf, days=3)
    return person


def test_owasp_human_route_who_was_guessed_at_too_often_reads_the_ways_out(make_client, worn_out, clock):
    clock.shift(timedelta(days=20))

    page = sign_in(make_client(), worn_out.cpf).content.decode()

    assert "Usuário ou senha incorretos, ou tentativas demais em pouco tempo." in page
    assert "Se não lembra a senha, use “Esqueci a senha”." in page
    assert 'href="/esqueci-a-senha/"' in page
    assert "(67) 3314-1465 / 3314-1327" in page


def test_a_new_password_is_a_way_out_for_who_was_guessed_at_too_often(make_client, worn_out):
    client = make_client()
    link = urlsplit(resets.link_for(worn_out)).path
    client.get(link)
    fields = {"new_password1": "três araras voando baixo", "new_password2": "três araras voando baixo"}
    assert client.post("/redefinir-senha/nova/", fields)["Location"] == "/senha-alterada/"

    assert entered_with(make_client(), worn_out.cpf, "três araras voando baixo")


def test_the_help_desk_is_a_way_out_for_who_was_guessed_at_too_often(make_client, worn_out):
    throttle.unlock(worn_out.cpf)

    assert entered(make_client(), worn_out.cpf)


def test_the_device_that_is_known_is_a_way_in_for_who_was_guessed_at_too_often(make_client, db, clock):
    person = UserFactory()
    own = make_client()
    assert entered(own, person.cpf)
    own.post("/sair/")
    answered_in(clock, throttle.SIGN_IN, person.cpf, days=3)

    assert not entered(make_client(), person.cpf)
    assert entered(own, person.cpf)


def test_who_guessed_at_the_gear_too_often_is_told_the_ways_out_and_not_a_number_of_minutes(client, db, clock):
    person = UserFactory()
    answered_in(clock, throttle.OLD_PASSWORD, person.cpf, days=3)
    client.force_login(person)
    fields = {"old_password": PASSWORD, "new_password1": "três araras voando", "new_password2": "três araras voando"}

    response = client.post("/conta/alterar-senha/", fields)

    page = response.content.decode()
    assert response.status_code == 429
    assert throttle.NO_MORE in page
    assert "Aguarde" not in page
    assert "(67) 3314-1465 / 3314-1327" in page


def test_fault_7_no_more_is_no_more_for_a_cpf_that_is_nobodys_too(make_client, worn_out, clock):
    answered_in(clock, throttle.SIGN_IN, NOBODY, days=3)

    known, unknown = (sign_in(make_client(), cpf) for cpf in (worn_out.cpf, NOBODY))

    assert known.status_code == unknown.status_code == 200
    assert known.context["form"].non_field_errors() == unknown.context["form"].non_field_errors()


def test_housekeeping_forgets_no_count_as_long_as_it_holds(worn_out, clock):
    clock.shift(timedelta(days=170))
    housekeeping.run()
    assert throttle.waiting(throttle.SIGN_IN, worn_out.cpf)

    clock.shift(timedelta(days=15))
    housekeeping.run()
    assert not ThrottleCount.objects.exists()


# --- A device that is known -----------------------------------------------------------------------------------------
def test_strangers_who_guess_do_not_lock_out_the_device_that_signed_in_before(make_client, db, clock):
    person = UserFactory()
    own, other = make_client(), make_client()
    assert entered(own, person.cpf)
    own.post("/sair/")
    guess(make_client, person.cpf, 20)

    assert not entered(other, person.cpf)
    assert entered(own, person.cpf)


def test_strangers_who_guess_from_the_same_address_do_not_lock_out_the_device_that_is_known(
    make_client, db, clock, monkeypatch
):
    monkeypatch.setattr(throttle, "SIGN_IN_ADDRESS", LIMIT)
    person = UserFactory()
    own = make_client()
    assert entered(own, person.cpf, REMOTE_ADDR=PLACE)
    own.post("/sair/")
    for number in range(LIMIT.free):
        guess(make_client, cpf_of(9_000_700 + number), 1, REMOTE_ADDR=PLACE)

    assert not entered(make_client(), person.cpf, REMOTE_ADDR=PLACE)
    assert not entered(own, UserFactory().cpf, REMOTE_ADDR=PLACE)  # known as one person is known as no other
    assert entered(own, person.cpf, REMOTE_ADDR=PLACE)


def test_tries_of_a_known_device_are_counted_by_its_own_count_and_not_by_its_address(make_client, db, clock):
    person = UserFactory()
    own = make_client()
    assert entered(own, person.cpf, REMOTE_ADDR=PLACE)
    own.post("/sair/")
    for _ in range(5):
        sign_in(own, person.cpf, WRONG, REMOTE_ADDR=PLACE)

    assert not entered(own, person.cpf, REMOTE_ADDR=PLACE)
    assert count(throttle.SIGN_IN_ADDRESS, PLACE) == 0


def test_all_devices_that_are_known_have_one_limit_together(make_client, db, clock):
    person = UserFactory()
    own, telephone = make_client(), make_client()
    for client in (own, telephone):
        assert entered(client, person.cpf)
        client.post("/sair/")
    for _ in range(5):
        sign_in(own, person.cpf, WRONG)

    assert not entered(telephone, person.cpf)


def test_a_known_device_has_a_limit_of_its_own(make_client, db, clock):
    person = UserFactory()
    own = make_client()
    assert entered(own, person.cpf)
    own.post("/sair/")
    for _ in range(5):
        sign_in(own, person.cpf, WRONG)

    assert not entered(own, person.cpf)
    assert entered(make_client(), person.cpf)  # and it locks nobody else out


def test_a_success_on_the_known_device_leaves_the_strangers_waiting(make_client, db, clock):
    person = UserFactory()
    own = make_client()
    entered(own, person.cpf)
    guess(make_client, person.cpf, 5)

    assert entered(own, person.cpf)

    assert not entered(make_client(), person.cpf)


@pytest.fixture
def locked(make_client, db, clock):
    person = UserFactory()
    guess(make_client, person.cpf, 5)
    return person


def test_a_device_of_another_person_opens_nothing(make_client, locked):
    client = make_client()
    assert entered(client, UserFactory().cpf)
    client.post("/sair/")

    assert throttle.DEVICE_COOKIE in client.cookies
    assert not entered(client, locked.cpf)


def marks(person):
    """Cookies that nobody of ours made, or made for something else."""
    good = [throttle.digest(person.cpf), "0123456789abcdef"]
    real = signing.dumps(good, salt=throttle.DEVICE_COOKIE)
    return {
        "signed with another key": signing.dumps(good, key="guessed", salt=throttle.DEVICE_COOKIE),
        "signed for something else": signing.dumps(good, salt="another"),
        "changed": ("B" if real[0] == "A" else "A") + real[1:],
        "unsigned": real.rpartition(":")[0],
        "of somebody else": signing.dumps([throttle.digest(NOBODY), "0123"], salt=throttle.DEVICE_COOKIE),
        "a number": signing.dumps(7, salt=throttle.DEVICE_COOKIE),
        "too many parts": signing.dumps([*good, 1], salt=throttle.DEVICE_COOKIE),
        "text": signing.dumps("x", salt=throttle.DEVICE_COOKIE),
        "garbage": "\x00:;é:x",
        "nothing": "",
        "1 kB of colons": ":" * 1000,
    }


@pytest.mark.parametrize("name", marks(UserFactory.build()))
def test_a_forged_device_opens_nothing_and_breaks_nothing(make_client, locked, name):
    client = make_client()

    # The header itself: Python's own cookies refuse what a browser may well send.
    response = sign_in(client, locked.cpf, HTTP_COOKIE=f"{throttle.DEVICE_COOKIE}={marks(locked)[name]}")

    assert response.status_code == 200
    assert "_auth_user_id" not in client.session
    # The plain count was asked: nothing was counted for a device.
    assert ThrottleCount.objects.filter(scope=throttle.SIGN_IN.scope).count() == 1


def test_a_devices_mark_is_good_for_half_a_year_and_no_longer(make_client, db, clock):
    person = UserFactory()
    own = make_client()
    entered(own, person.cpf)
    mark = own.cookies[throttle.DEVICE_COOKIE].value

    clock.shift(timedelta(days=179))
    own.cookies[throttle.DEVICE_COOKIE] = mark
    guess(make_client, person.cpf, 5)
    assert entered(own, person.cpf)

    clock.shift(timedelta(days=2))
    own.cookies[throttle.DEVICE_COOKIE] = mark
    guess(make_client, person.cpf, 5)
    assert not entered(own, person.cpf)


def test_the_devices_cookie_tells_no_cpf_and_is_out_of_reach_of_scripts(client, db):
    person = UserFactory()

    cookie = sign_in(client, person.cpf).cookies[throttle.DEVICE_COOKIE]

    owner, _device = signing.loads(cookie.value, salt=throttle.DEVICE_COOKIE)
    assert owner == throttle.digest(person.cpf)
    assert person.cpf not in cookie.value
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_a_wrong_password_makes_no_device_known(client, db):
    assert throttle.DEVICE_COOKIE not in sign_in(client, UserFactory().cpf, WRONG).cookies


# --- Whom a request comes from --------------------------------------------------------------------------------------
def test_fault_14_an_address_that_the_client_writes_itself_moves_nothing(make_client, db, clock, monkeypatch):
    monkeypatch.setattr(throttle, "SIGN_IN_ADDRESS", LIMIT)
    person = UserFactory()
    for number in range(3):
        guess(make_client, cpf_of(9_000_200 + number), 1, HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")

    assert not entered(make_client(), person.cpf, HTTP_X_FORWARDED_FOR="203.0.113.99")
    assert count(LIMIT, "127.0.0.1") == 3


def test_fault_14_behind_our_proxy_the_address_is_the_one_that_the_proxy_saw(
    make_client, db, clock, monkeypatch, settings
):
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    monkeypatch.setattr(throttle, "SIGN_IN_ADDRESS", LIMIT)
    person = UserFactory()
    for number in range(3):
        forwarded = f"203.0.113.{number}, 198.51.100.7"  # the left is what the client wrote
        guess(make_client, cpf_of(9_000_300 + number), 1, HTTP_X_FORWARDED_FOR=forwarded)

    assert not entered(make_client(), person.cpf, HTTP_X_FORWARDED_FOR="203.0.113.99, 198.51.100.7")
    assert entered(make_client(), person.cpf, HTTP_X_FORWARDED_FOR="198.51.100.7, 203.0.113.99")


# --- The other doors ------------------------------------------------------------------------------------------------
def ask_reset(client, cpf, **headers):
    return client.post("/esqueci-a-senha/", {"cpf": cpf, "captcha": solve()}, **headers)


@pytest.mark.parametrize("known", [True, False])
def test_fault_7_a_cpf_is_asked_for_three_times_an_hour_and_then_told_how_long_to_wait(make_client, db, clock, known):
    cpf = UserFactory().cpf if known else NOBODY
    assert [ask_reset(make_client(), cpf).status_code for _ in range(3)] == [302] * 3

    clock.shift(timedelta(minutes=10, seconds=30))
    response = ask_reset(make_client(), cpf)

    assert response.status_code == 429
    assert "Muitas tentativas em pouco tempo. Aguarde 50 minutos e tente de novo." in response.content.decode()
    assert f'value="{cpf}"' in response.content.decode()
    clock.shift(timedelta(minutes=50))
    assert ask_reset(make_client(), cpf).status_code == 302


def test_one_address_cannot_ask_for_everybody(make_client, db, clock, monkeypatch):
    monkeypatch.setattr(throttle, "RESET_ADDRESS", LIMIT)
    for number in range(3):
        ask_reset(make_client(), cpf_of(9_000_400 + number), REMOTE_ADDR="198.51.100.7")

    assert ask_reset(make_client(), NOBODY, REMOTE_ADDR="198.51.100.7").status_code == 429
    assert ask_reset(make_client(), NOBODY, REMOTE_ADDR="198.51.100.8").status_code == 302


def test_asvs_2_4_1_a_search_that_a_machine_makes_is_told_to_wait(client, db, clock):
    bond = EmploymentFactory()
    client.force_login(bond.user)
    answers = [client.get("/pessoas/busca/", {"q": bond.matricula}) for _ in range(121)]

    assert [answer.status_code for answer in answers] == [200] * 120 + [429]
    assert answers[0].json()["results"]
    assert answers[-1].json()["results"] == []
    assert "Aguarde" in answers[-1].json()["error"]
    assert answers[-1]["Retry-After"] == "10"


def test_one_persons_searching_does_not_slow_anothers(make_client, db, clock, monkeypatch):
    monkeypatch.setattr(throttle, "SEARCH", LIMIT)
    busy, other = make_client(), make_client()
    busy.force_login(UserFactory())
    other.force_login(UserFactory())
    for _ in range(4):
        busy.get("/pessoas/busca/?q=123")

    assert busy.get("/pessoas/busca/?q=123").status_code == 429
    assert other.get("/pessoas/busca/?q=123").status_code == 200


# --- Links -----------------------------------------------------------------------------------------------------------
NO_LINK = "/redefinir-senha/MQ/cabc12-0123456789abcdef0123456789abcdef/"


def test_owasp_guesses_limited_at_links_from_one_address(make_client, db, clock, monkeypatch):
    monkeypatch.setattr(throttle, "LINK_ADDRESS", LIMIT)
    person = UserFactory()
    good = urlsplit(resets.link_for(person)).path

    answers = [make_client().get(NO_LINK, REMOTE_ADDR=PLACE).status_code for _ in range(4)]
    held = make_client().get(good, REMOTE_ADDR=PLACE)

    assert answers == [410, 410, 410, 429]
    assert held.status_code == 429  # or the answers would go on telling right from wrong
    page = held.content.decode()
    assert "Aguarde 1 minuto" in page
    assert "(67) 3314-1465 / 3314-1327" in page
    assert held["Referrer-Policy"] == "no-referrer"
    assert make_client().get(good, REMOTE_ADDR="203.0.113.5").status_code == 302
    clock.shift(timedelta(minutes=1))
    assert make_client().get(good, REMOTE_ADDR=PLACE).status_code == 302


def test_owasp_guesses_limited_and_asvs_16_3_1_they_are_recorded_and_a_flood_fills_no_table(
    make_client, db, clock, monkeypatch
):
    monkeypatch.setattr(throttle, "LINK_ADDRESS", LIMIT)
    for _ in range(20):
        make_client().get(NO_LINK, REMOTE_ADDR=PLACE)

    kinds = SecurityEvent.objects.filter(address=PLACE).order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["LINK_REFUSED", "LINK_REFUSED", "THROTTLED", "LINK_REFUSED"]


def test_a_mail_scanner_that_opens_a_good_link_again_and_again_holds_nobody_up(make_client, db, clock):
    person = UserFactory()
    good = urlsplit(resets.link_for(person)).path

    assert {make_client().get(good, REMOTE_ADDR=PLACE).status_code for _ in range(150)} == {302}
    assert count(throttle.LINK_ADDRESS, PLACE) == 0


def test_a_mail_scanner_that_opens_fifty_old_links_holds_nobody_up(make_client, db, clock):
    good = urlsplit(resets.link_for(UserFactory())).path
    for _ in range(50):
        make_client().get(NO_LINK, REMOTE_ADDR=PLACE)

    assert make_client().get(good, REMOTE_ADDR=PLACE).status_code == 302


# --- The same work whoever it is -------------------------------------------------------------------------------------
REFUSED_PEOPLE = {
    "unknown": lambda: NOBODY,
    "wrong password": lambda: UserFactory().cpf,
    "inactive": lambda: UserFactory(is_active=False).cpf,
    "no password": lambda: UserFactory(password=make_password(None)).cpf,
    "no address": lambda: UserFactory(email="").cpf,
    "staff": lambda: UserFactory(is_staff=True).cpf,
}


def statements(client, cpf):
    """What one refused try asks of the database, without the values."""
    with CaptureQueriesContext(connection) as captured:
        sign_in(client, cpf, WRONG)
    return [re.sub(r"'[^']*'|\bs\d+_x\d+|\b\d+\b", "?", query["sql"]) for query in captured]


@pytest.mark.parametrize("why", REFUSED_PEOPLE)
def test_fault_6_a_refused_try_asks_the_same_of_the_database_whoever_it_is(make_client, db, why):
    usual = statements(make_client(), cpf_of(9_000_500))

    assert statements(make_client(), REFUSED_PEOPLE[why]()) == usual


@pytest.mark.parametrize("why", REFUSED_PEOPLE)
def test_fault_6_a_try_that_waits_asks_the_same_of_the_database_whoever_it_is(make_client, db, clock, why):
    cpf = REFUSED_PEOPLE[why]()
    for somebody in (cpf, cpf_of(9_000_500)):
        guess(make_client, somebody, 5)

    assert statements(make_client(), cpf) == statements(make_client(), cpf_of(9_000_500))


# --- At once --------------------------------------------------------------------------------------------------------
def test_fault_17_tries_at_once_are_counted_each(transactional_db):
    waits = at_once(*[lambda: throttle.take(LIMIT, "one")] * 8)

    assert sorted(wait > 0 for wait in waits) == [False] * 3 + [True] * 5
    assert count(LIMIT, "one") == 3


def test_guesses_at_once_get_no_more_answers_than_guesses_in_a_row(transactional_db, make_client):
    person = UserFactory()

    at_once(*[lambda: sign_in(make_client(), person.cpf, WRONG).status_code] * 8)

    kinds = SecurityEvent.Kind
    assert SecurityEvent.objects.filter(kind=kinds.SIGN_IN_FAILED).count() == 5
    assert SecurityEvent.objects.filter(kind=kinds.THROTTLED).count() == 1  # once, when the wait begins


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time: nothing can come between")
def test_a_count_that_is_cleared_in_the_middle_of_a_try_breaks_nothing(transactional_db):
    """Somebody signs in on one device while another try at the same CPF is being counted."""
    throttle.take(LIMIT, "one")

    def clear_unless_locked():
        with connection.cursor() as cursor, suppress(OperationalError):
            cursor.execute("SET lock_timeout = '100ms'")
            throttle.clear(LIMIT, "one")

    def between_all_statements(execute, sql, params, many, context):
        at_once(clear_unless_locked)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(between_all_statements):
        assert throttle.take(LIMIT, "one") == 0

    assert count(LIMIT, "one") == 1
