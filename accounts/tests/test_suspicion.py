"""Unusual sign-ins: which are told to the person, which are not, and what the mail says."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import resets, suspicion, tasks, throttle
from accounts.models import OutgoingMail, SecurityEvent
from accounts.tests.factories import PASSWORD, UserFactory, cpf_of
from accounts.tests.telephone import with_telephone

WRONG = "jabuticaba no quintal alheio"
CHOSEN = "capivaras na beira do rio"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0 Safari/537.36"
NEWER_CHROME = CHROME.replace("129", "131")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
COURT, ELSEWHERE = "198.51.100.7", "203.0.113.9"
START = "2026-03-02 16:05:00+00:00"


@pytest.fixture
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def person(db):
    return UserFactory()


def sign_in(client, person, *, device=CHROME, address=COURT, password=PASSWORD):
    fields = {"username": person.cpf, "password": password}
    return client.post("/entrar/", fields, HTTP_USER_AGENT=device, REMOTE_ADDR=address)


@pytest.fixture
def enter(make_client, clock):
    """Sign in from a browser that keeps no cookies, a minute after whatever was before."""

    def enter(person, *, client=None, **where):
        clock.shift(timedelta(minutes=1))
        return sign_in(client or make_client(), person, **where)

    return enter


def told():
    """What was recorded as unusual."""
    return list(SecurityEvent.objects.filter(kind="SUSPICIOUS_SIGN_IN").order_by("pk").values_list("detail", flat=True))


def test_asvs_6_3_5_a_new_kind_of_device_in_a_new_network_is_told(enter, person):
    enter(person)

    assert enter(person, device=FIREFOX, address=ELSEWHERE).status_code == 302

    assert told() == [suspicion.NEW_PLACE]
    event = SecurityEvent.objects.get(kind="SUSPICIOUS_SIGN_IN")
    assert (event.user, event.address, event.device) == (person, ELSEWHERE, FIREFOX)
    assert OutgoingMail.objects.filter(kind="suspicious_sign_in", recipient=person, object_id=event.pk).count() == 1


@pytest.mark.parametrize(
    ("device", "address"),
    [
        pytest.param(CHROME, COURT, id="the same"),
        pytest.param(NEWER_CHROME, COURT, id="an update of the browser"),
        pytest.param(CHROME, "198.51.233.1", id="another address of the network"),
    ],
)
def test_what_was_there_before_is_nothing_unusual(enter, person, device, address):
    enter(person)

    enter(person, device=device, address=address)

    assert told() == []


@pytest.mark.parametrize(
    ("first", "second", "unusual"),
    [
        ("2001:db8:1:1::5", "2001:db8:1:2::9", False),
        ("2001:db8:1:1::5", "2001:db8:2:1::5", True),
        (COURT, "2001:db8:1:1::5", True),
    ],
)
def test_networks_of_the_newer_addresses_are_those_of_one_customer(enter, person, first, second, unusual):
    enter(person, address=first)

    enter(person, address=second)

    assert bool(told()) == unusual


def test_the_pair_counts_so_what_was_there_apart_is_told_as_never_seen_together(enter, person):
    enter(person)
    enter(person, device=FIREFOX, address=ELSEWHERE)

    enter(person, address=ELSEWHERE)

    assert told() == [suspicion.NEW_PLACE] * 2
    assert suspicion.NEW_PLACE == "Você ainda não tinha entrado com este tipo de aparelho nesta rede de internet."


def test_the_first_sign_in_of_somebody_is_nothing_unusual(enter, person):
    enter(UserFactory(), device=FIREFOX, address=ELSEWHERE)

    enter(person)

    assert told() == []


def test_where_others_signed_in_is_no_excuse(enter, person):
    enter(UserFactory(), device=FIREFOX, address=ELSEWHERE)
    enter(person)

    enter(person, device=FIREFOX, address=ELSEWHERE)

    assert told() == [suspicion.NEW_PLACE]


def test_a_device_that_is_known_travels_with_its_owner(enter, person, make_client):
    own = make_client()
    enter(person, client=own)
    own.post("/sair/")

    enter(person, client=own, device=NEWER_CHROME, address=ELSEWHERE)

    assert told() == []


def new_password_by_the_gear(client, person):
    client.post("/conta/alterar-senha/", {"old_password": PASSWORD, "new_password1": CHOSEN, "new_password2": CHOSEN})
    client.post("/sair/")


def new_password_by_a_link(client, person):
    client.post("/sair/")
    person.refresh_from_db()  # a link is bound to the last sign-in
    client.get(resets.link_for(person))
    client.post("/redefinir-senha/nova/", {"new_password1": CHOSEN, "new_password2": CHOSEN})


@pytest.mark.parametrize("choose", [new_password_by_the_gear, new_password_by_a_link])
def test_asvs_6_3_5_a_device_known_by_an_earlier_password_is_no_excuse_any_more(
    enter, person, make_client, clock, choose
):
    own = make_client()
    enter(person, client=own)
    clock.shift(timedelta(minutes=1))
    choose(own, person)

    enter(person, client=own, device=FIREFOX, address=ELSEWHERE, password=CHOSEN)
    assert told() == [suspicion.NEW_PLACE]
    own.post("/sair/")
    enter(person, client=own, device=NEWER_CHROME, address="192.0.2.1", password=CHOSEN)

    assert told() == [suspicion.NEW_PLACE]  # this sign-in came with a mark made after the change


def test_asvs_6_3_5_a_new_password_by_a_link_makes_no_device_known(client, person):
    new_password_by_a_link(client, person)

    assert SecurityEvent.objects.filter(kind="PASSWORD_RESET").exists()
    assert throttle.DEVICE_COOKIE not in client.cookies


def test_a_device_known_by_an_earlier_password_is_still_not_locked_out_by_strangers(enter, person, make_client):
    own = make_client()
    enter(person, client=own)
    new_password_by_a_link(own, person)
    for _ in range(6):
        enter(person, address=ELSEWHERE, password=WRONG)

    assert enter(person, address=ELSEWHERE, password=CHOSEN).status_code == 200
    assert enter(person, client=own, password=CHOSEN).status_code == 302


def test_a_known_device_of_somebody_else_is_no_known_device(enter, person, make_client):
    anothers = make_client()
    enter(UserFactory(), client=anothers)
    anothers.post("/sair/")
    enter(person)

    enter(person, client=anothers, address=ELSEWHERE)

    assert told() == [suspicion.NEW_PLACE]


def test_a_second_time_the_place_is_known(enter, person):
    enter(person)
    enter(person, device=FIREFOX, address=ELSEWHERE)
    enter(person, device=FIREFOX, address=ELSEWHERE)

    assert len(told()) == 1


def test_a_sign_in_that_failed_makes_no_place_known_and_tells_nobody(enter, person):
    enter(person)
    enter(person, device=FIREFOX, address=ELSEWHERE, password=WRONG)
    assert told() == []

    enter(person, device=FIREFOX, address=ELSEWHERE)

    assert told() == [suspicion.NEW_PLACE]


@pytest.mark.parametrize(("tries", "unusual"), [(4, False), (5, True)])
def test_asvs_6_3_5_many_refused_tries_before_a_sign_in_are_told(enter, person, clock, tries, unusual):
    enter(person)
    for number in range(tries):
        enter(person, password=WRONG, address=f"203.0.113.{number}")
    clock.shift(timedelta(hours=1))

    enter(person)

    assert told() == [suspicion.AFTER_TRIES] * unusual


def test_refused_tries_are_told_once_and_not_at_each_sign_in_after(enter, person, clock, make_client):
    own = make_client()
    enter(person, client=own)
    for _ in range(5):
        enter(person, password=WRONG, address=ELSEWHERE)
    own.post("/sair/")
    enter(person, client=own)
    own.post("/sair/")

    enter(person, client=own)

    assert told() == [suspicion.AFTER_TRIES]


def test_refused_tries_from_before_a_change_of_keys_are_told_too(enter, person, settings):
    old, new = settings.SECRETS_KEYS[0], "a-new-key-of-the-tests-and-of-nothing-else-0123456789"
    enter(person)
    for number in range(5):
        enter(person, password=WRONG, address=f"203.0.113.{number}")

    settings.SECRETS_KEYS = [new, old, new]
    enter(person)

    assert told() == [suspicion.AFTER_TRIES]


def test_refused_tries_at_others_are_not_about_this_person(enter, person, make_client, clock):
    for _ in range(5):
        make_client().post("/entrar/", {"username": cpf_of(9_000_000), "password": WRONG}, REMOTE_ADDR=COURT)

    enter(person)

    assert told() == []


def test_slips_of_long_ago_are_no_news(enter, person, clock):
    for _ in range(5):
        enter(person, password=WRONG)
    clock.shift(timedelta(days=31))

    assert enter(person).status_code == 302

    assert told() == []


@pytest.fixture
def telephone(person):
    return with_telephone(person)


def give_wrong_codes(client, telephone, number):
    for _ in range(number):
        client.post("/entrar/codigo/", {"code": telephone.wrong()})


@pytest.mark.parametrize(("wrong", "unusual"), [(4, False), (5, True)])
def test_asvs_6_3_5_the_right_password_without_the_code_is_told(enter, person, telephone, make_client, wrong, unusual):
    thief = make_client(HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR=ELSEWHERE)
    enter(person, client=thief, device=FIREFOX, address=ELSEWHERE)

    give_wrong_codes(thief, telephone, wrong)

    assert told() == [suspicion.WITHOUT_CODE] * unusual
    if unusual:
        event = SecurityEvent.objects.get(kind="SUSPICIOUS_SIGN_IN")
        assert (event.user, event.actor, event.address, event.device) == (person, None, ELSEWHERE, FIREFOX)
        assert OutgoingMail.objects.get(kind="suspicious_sign_in").object_id == event.pk


def test_codes_that_go_on_being_wrong_are_told_once_and_a_success_begins_anew(
    enter, person, telephone, make_client, clock
):
    thief = make_client()
    for _ in range(4):
        enter(person, client=thief)
        give_wrong_codes(thief, telephone, 5)
        clock.shift(timedelta(hours=1))
    assert told() == [suspicion.WITHOUT_CODE]
    own = make_client()
    enter(person, client=own)
    assert own.post("/entrar/codigo/", {"code": telephone.code()}).status_code == 302

    enter(person, client=thief)
    give_wrong_codes(thief, telephone, 5)

    assert told() == [suspicion.WITHOUT_CODE] * 2


def test_asvs_6_3_5_the_mail_about_codes_does_not_say_that_somebody_is_in(
    make_client, person, telephone, smtp_sink, settings
):
    thief = make_client(HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR=ELSEWHERE)
    sign_in(thief, person, device=FIREFOX, address=ELSEWHERE)
    give_wrong_codes(thief, telephone, 5)

    tasks.sweep()

    (notice,) = smtp_sink.deliveries
    assert notice.message["Subject"] == "Tentativas de entrada na sua conta"
    for part in ("plain", "html"):
        text = " ".join(notice.text(part).split())
        for words in (suspicion.WITHOUT_CODE, "Firefox no Linux", ELSEWHERE, f"{settings.PORTAL_URL}/esqueci-a-senha/"):
            assert words in text
        assert "Alguém entrou" not in text
        assert person.cpf not in text


def test_somebody_without_an_address_is_recorded_and_not_mailed(enter, db):
    person = UserFactory(email="")
    enter(person)

    enter(person, device=FIREFOX, address=ELSEWHERE)

    assert told() == [suspicion.NEW_PLACE]
    assert not OutgoingMail.objects.filter(kind="suspicious_sign_in").exists()


def test_asvs_6_3_5_the_mail_says_what_was_unusual_and_what_to_do(make_client, person, smtp_sink, settings):
    sign_in(make_client(), person)
    sign_in(make_client(), person, device=FIREFOX, address=ELSEWHERE)
    at = timezone.localtime(SecurityEvent.objects.get(kind="SUSPICIOUS_SIGN_IN").at)

    tasks.sweep()

    (notice,) = smtp_sink.deliveries
    assert notice.recipients == [person.email]
    assert notice.message["Subject"] == "Entrada incomum na sua conta"
    for part in ("plain", "html"):
        text = " ".join(notice.text(part).split())
        for words in (
            suspicion.NEW_PLACE,
            f"{at:%d/%m/%Y %H:%M} (horário de MS)",
            "Firefox no Linux",
            ELSEWHERE,
            "Se não foi você:",
            f"{settings.PORTAL_URL}/esqueci-a-senha/",
            "Onde a minha conta está aberta",
            f"{settings.PORTAL_URL}/conta/sessoes/",
            "(67) 3314-1465",
            "Nunca pedimos sua senha",
        ):
            assert words in text
        assert person.cpf not in text
        assert PASSWORD not in text


def test_looking_back_costs_no_more_queries_for_somebody_with_a_long_history(enter, person, rf):
    def cost():
        request = rf.post("/entrar/", HTTP_USER_AGENT=CHROME, REMOTE_ADDR=COURT)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            suspicion.look(person, request)
        return len(captured)

    enter(person)
    one = cost()
    SecurityEvent.objects.bulk_create(
        SecurityEvent(
            kind="SIGNED_IN", user=person, address=f"198.51.{number % 200}.7", device=CHROME, at=timezone.now()
        )
        for number in range(2000)
    )

    assert cost() == one <= 3
    assert told() == []
