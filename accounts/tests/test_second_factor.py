"""The second factor: codes at the door, turning it on and off, and no page of the desk without it."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from urllib.parse import unquote, urlencode

import pytest
import time_machine
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import enrolments, factors, outbox, resets, second_step, sessions
from accounts.models import Authenticator, FactorRemoval, MailStatus, OutgoingMail, RecoveryCode, SecurityEvent, Session
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from accounts.tests.telephone import Telephone, with_codes, with_telephone
from accounts.tests.test_sign_in import OF_THE_ADMINISTRATION
from requests_app.tests.factories import analyst, manager, superuser
from requests_app.tests.pages import Page, text_of
from requests_app.tests.test_concurrency import at_once

CODE = "/entrar/codigo/"
SETTINGS = "/conta/segundo-fator/"
START, NEW, CODES, OFF = (f"{SETTINGS}{page}/" for page in ("ligar", "celular", "codigos", "desligar"))
WRONG = "jabuticaba no quintal alheio"
NEW_PASSWORD = "três araras voando baixo"
REFUSED = "Este código não vale. Confira e digite de novo, ou espere o próximo código do aplicativo."
TOO_LATE = "O tempo para digitar o código acabou. Entre de novo."
BEGIN_ANEW = "O tempo desta etapa acabou. Comece de novo."
ALREADY_ON = (
    "A verificação em duas etapas já está ligada. Não viu os códigos de recuperação? Crie códigos novos nesta página."
)
TWICE = "Este campo veio mais de uma vez. Digite um valor só."
ODD = "Digite os 6 números do aplicativo, ou um código de recuperação, como ACDE-F34K-7TRW."
Kind = SecurityEvent.Kind


@pytest.fixture
def person(db):
    return EmploymentFactory().user


@pytest.fixture
def telephone(person):
    return with_telephone(person)


@pytest.fixture
def staff_mfa(settings, db):
    settings.STAFF_MFA = True


def give_password(client, user, password=PASSWORD, **more):
    return client.post("/entrar/", {"username": user.cpf, "password": password, **more})


def give_code(client, code, **more):
    return client.post(CODE, {"code": code, **more})


def sign_in(client, user, telephone, step=0):
    give_password(client, user)
    give_code(client, telephone.code(step=step))
    assert is_signed_in(client)
    return client


def is_signed_in(client):
    return client.get("/conta/").status_code == 200


def kinds(user):
    return list(SecurityEvent.objects.filter(user=user).order_by("pk").values_list("kind", flat=True))


def mails(user):
    """Subjects of what this person is owed, as they would be sent."""
    owed = OutgoingMail.objects.filter(recipient=user, kind__startswith="second_factor").order_by("pk")
    return [outbox.KINDS[mail.kind].build(mail) for mail in owed]


def key_on(response):
    return "".join(text_of(group) for group in Page(response).all("p", class_="typed-key"))


def codes_on(response):
    return re.findall(r"<li>([A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4})</li>", response.content.decode())


def turn_on(client, **more):
    """Through the pages; the new telephone and the answer with the codes."""
    page = client.post(START, {"password": PASSWORD, **more}, follow=True)
    telephone = Telephone(key_on(page))
    return telephone, client.post(NEW, {"code": telephone.code()})


# --- Codes ----------------------------------------------------------------------------------------------------------
#: RFC 6238, appendix B, the last six of eight digits.
RFC_6238 = [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")]


@pytest.mark.parametrize(("moment", "code"), RFC_6238)
def test_codes_are_those_of_rfc_6238(moment, code):
    key = base64.b32encode(b"12345678901234567890").decode()

    with time_machine.travel(moment, tick=False):
        assert factors.step_of(key, code) == moment // 30


@pytest.mark.parametrize(("step", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_asvs_6_5_5_a_code_lives_as_long_as_one_step_and_its_neighbours(client, person, telephone, step, is_taken):
    with time_machine.travel(timezone.now(), tick=False):
        give_password(client, person)
        give_code(client, telephone.code(step=step))

        assert is_signed_in(client) is is_taken


def test_fault_22_and_asvs_6_5_1_a_code_is_good_once_wherever_it_is_used(client, make_client, person, telephone):
    code = telephone.code()
    give_password(client, person)
    give_code(client, code)
    other = make_client()
    give_password(other, person)

    answer = give_code(other, code)

    assert Page(answer).beside("code") == REFUSED
    assert not is_signed_in(other)


def test_fault_22_an_older_code_is_refused_once_a_later_one_was_taken(client, make_client, person, telephone):
    sign_in(client, person, telephone, step=1)
    other = make_client()
    give_password(other, person)

    give_code(other, telephone.code())

    assert not is_signed_in(other)


@pytest.mark.django_db(transaction=True)
def test_fault_22_of_two_windows_that_post_one_code_at_once_one_gets_in(make_client, person, telephone):
    windows = [make_client(), make_client()]
    for window in windows:
        give_password(window, person)
    code = telephone.code()

    at_once(*(lambda window=window: give_code(window, code) for window in windows))

    assert sorted(is_signed_in(window) for window in windows) == [False, True]


@pytest.mark.django_db(transaction=True)
def test_fault_22_of_two_windows_that_post_one_recovery_code_at_once_one_gets_in(make_client, person, telephone):
    [code, *_] = with_codes(person)
    windows = [make_client(), make_client()]
    for window in windows:
        give_password(window, person)

    at_once(*(lambda window=window: give_code(window, code) for window in windows))

    assert sorted(is_signed_in(window) for window in windows) == [False, True]
    assert RecoveryCode.objects.filter(user=person, used_at=None).count() == 9


def test_fault_22_a_recovery_code_is_good_once_and_its_nine_siblings_still_are(client, make_client, person, telephone):
    first, second, *_ = with_codes(person)
    signed = []
    for code in (first, first, second):
        window = make_client()
        give_password(window, person)
        give_code(window, code)
        signed.append(is_signed_in(window))

    assert signed == [True, False, True]


def test_asvs_6_5_3_and_6_5_4_recovery_codes_differ_and_have_no_characters_to_mistake():
    lists = [factors.new_recovery_codes() for _ in range(50)]

    every = [code for codes in lists for code in codes]
    assert {len(codes) for codes in lists} == {10}
    assert len(set(every)) == 500
    assert all(len({code[:4] for code in codes}) == 10 for codes in lists)
    assert set("".join(every)) - {"-"} == set(factors.ALPHABET)
    assert set(factors.ALPHABET).isdisjoint("01258OILZSB")
    assert len(factors.ALPHABET) ** 8 > 2**20


def test_asvs_6_5_3_recovery_codes_and_keys_come_from_no_generator_that_can_be_seeded(client, person, seeded):
    client.force_login(person)
    lists, keys = [], []
    for _ in range(2):
        seeded()
        lists.append(factors.new_recovery_codes())
        seeded()
        keys.append(key_on(client.post(START, {"password": PASSWORD}, follow=True)))

    assert set(lists[0]).isdisjoint(lists[1])
    assert keys[0] != keys[1]


def test_asvs_6_5_2_recovery_codes_are_kept_as_hashes_of_their_own(person):
    codes = with_codes(person)

    rows = list(RecoveryCode.objects.filter(user=person))
    assert all(row.code_hash.startswith("argon2$argon2id$") for row in rows)
    assert len({row.code_hash for row in rows}) == 10
    assert not any(code[5:9] in row.code_hash or code[10:] in row.code_hash for code in codes for row in rows)


@pytest.mark.parametrize("write", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
def test_a_recovery_code_may_be_typed_as_people_do(client, person, telephone, write):
    [code, *_] = with_codes(person)
    give_password(client, person)

    give_code(client, write(code))

    assert is_signed_in(client)


def test_a_code_may_be_typed_with_a_space_as_applications_show_it(client, person, telephone):
    give_password(client, person)
    code = telephone.code()

    give_code(client, f"{code[:3]} {code[3:]}")

    assert is_signed_in(client)


def test_another_persons_codes_open_nothing(client, person, telephone):
    stranger = UserFactory()
    theirs, [code, *_] = with_telephone(stranger), with_codes(stranger)
    give_password(client, person)

    give_code(client, theirs.code())
    give_code(client, code)

    assert not is_signed_in(client)
    assert RecoveryCode.objects.filter(user=stranger, used_at=None).count() == 10


BAD = [
    ("", "Digite o código."),
    ("12345", ODD),
    ("1234567", ODD),
    ("abcdef", ODD),
    ("１２３４５６", ODD),
    ("١٢٣٤٥٦", ODD),
    ("²²²²²²", ODD),
    ("123\x00456", ODD),
    ("\ud800123456", ODD),
    ("ACDE-F34K-7TR0", ODD),
    ("<script>alert(1)</script>", ODD),
    ("' OR 1=1 --", ODD),
    ("9" * 1_000_000, ODD),
    (["123456", "654321"], TWICE),
]


@pytest.mark.parametrize(("typed", "sentence"), BAD)
def test_fault_11_odd_codes_get_a_sentence_and_are_not_shown_again(client, person, telephone, typed, sentence):
    give_password(client, person)

    body = urlencode({"code": typed}, doseq=True, errors="surrogatepass")
    answer = client.post(CODE, body, content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 200
    assert Page(answer).beside("code") == sentence
    assert Page(answer).value("code") == ""
    assert not is_signed_in(client)


# --- Sign-in --------------------------------------------------------------------------------------------------------
def test_asvs_6_3_3_the_password_alone_signs_nobody_in_who_has_a_second_factor(client, person, telephone):
    answer = give_password(client, person, next="/solicitacoes/")

    assert answer["Location"] == CODE
    assert not is_signed_in(client)
    assert Kind.SIGNED_IN not in kinds(person)
    assert Session.objects.filter(user=person).count() == 0


def test_asvs_16_3_1_the_right_password_that_waits_for_a_code_is_recorded(client, person, telephone):
    client.post(
        "/entrar/",
        {"username": person.cpf, "password": PASSWORD},
        REMOTE_ADDR="203.0.113.9",
        HTTP_USER_AGENT="Mozilla/5.0 Firefox/131.0",
    )

    (event,) = SecurityEvent.objects.filter(user=person)
    assert (event.kind, event.actor, event.address) == (Kind.PASSWORD_ACCEPTED, None, "203.0.113.9")
    assert event.device == "Mozilla/5.0 Firefox/131.0"
    assert event.typed_digest == ""


def test_the_code_signs_in_and_leads_to_where_the_person_wanted_to_go(client, person, telephone):
    give_password(client, person, next="/solicitacoes/?page=2")

    assert give_code(client, telephone.code())["Location"] == "/solicitacoes/?page=2"
    event = SecurityEvent.objects.get(user=person, kind=Kind.SIGNED_IN)
    assert event.detail == "senha e código"


def test_asvs_7_2_4_each_step_has_a_session_of_its_own(client, person, telephone):
    client.get("/entrar/")
    give_password(client, person)
    pending = client.session.session_key
    give_code(client, telephone.code())

    assert client.session.session_key != pending
    assert not Session.objects.filter(session_key=sessions.digest(pending)).exists()
    assert second_step.SESSION_KEY not in client.session


def test_the_page_of_the_code_shows_no_password_and_asks_for_none(client, person, telephone):
    give_password(client, person)
    page = client.get(CODE)

    assert Page(page).controls("password") == []
    assert PASSWORD not in page.content.decode()
    attributes = dict(Page(page).one("input", name="code").attributes)
    assert (attributes["autocomplete"], attributes["inputmode"]) == ("one-time-code", "text")
    assert "no-store" in page["Cache-Control"]


def test_asvs_2_3_1_and_fault_2_the_step_of_the_code_cannot_be_reached_without_the_password(client, person, telephone):
    assert client.get(CODE)["Location"] == "/entrar/"
    assert give_code(client, telephone.code())["Location"] == "/entrar/"
    give_password(client, person, WRONG)
    assert give_code(client, telephone.code())["Location"] == "/entrar/"

    assert not is_signed_in(client)
    assert Authenticator.objects.get(user=person).last_step == -1


@pytest.mark.parametrize("address", ["/conta/", "/solicitacoes/", SETTINGS, START, OFF, "/conta/alterar-senha/"])
def test_asvs_2_3_1_who_has_only_given_the_password_is_a_stranger_everywhere_else(client, person, telephone, address):
    give_password(client, person)

    assert client.get(address)["Location"] == f"/entrar/?next={address}"
    assert client.post(address)["Location"] == f"/entrar/?next={address}"


def test_the_code_comes_too_late_after_five_minutes(client, person, telephone):
    give_password(client, person, next="/solicitacoes/")

    with time_machine.travel(timezone.now() + timedelta(minutes=5, seconds=1)):
        answer = client.post(CODE, {"code": telephone.code()}, follow=True)

    assert answer.redirect_chain == [("/entrar/?next=/solicitacoes/", 302)]
    assert TOO_LATE in Page(answer).notices
    assert not is_signed_in(client)


def change_password(person):
    person.set_password(NEW_PASSWORD)
    person.save()


def deactivate(person):
    person.is_active = False
    person.save()


def take_factor_off(person):
    factors.forget(person)


@pytest.mark.parametrize("happens", [change_password, deactivate])
def test_what_was_begun_with_the_password_ends_with_it(client, person, telephone, happens):
    give_password(client, person)
    happens(person)

    answer = client.post(CODE, {"code": telephone.code()}, follow=True)

    assert TOO_LATE in Page(answer).notices
    assert not is_signed_in(client)


def test_a_factor_that_was_taken_off_meanwhile_lets_nobody_in_by_its_code(client, person, telephone):
    give_password(client, person)
    take_factor_off(person)

    give_code(client, telephone.code())

    assert not is_signed_in(client)


def test_signing_out_or_starting_anew_forgets_the_pending_step(client, person, telephone):
    give_password(client, person)
    client.post("/sair/")
    assert client.get(CODE)["Location"] == "/entrar/"

    give_password(client, person)
    other = EmploymentFactory().user
    give_password(client, other)
    assert int(client.session["_auth_user_id"]) == other.pk
    give_code(client, telephone.code())
    assert int(client.session["_auth_user_id"]) == other.pk


def test_asvs_16_3_1_a_wrong_code_is_recorded_with_whose_it_was_and_without_the_code(client, person, telephone):
    give_password(client, person)
    wrong = telephone.wrong()

    answer = give_code(client, wrong)

    assert Page(answer).beside("code") == REFUSED
    event = SecurityEvent.objects.get(kind=Kind.FACTOR_FAILED)
    assert event.user == person
    assert wrong not in str(vars(event))


def test_asvs_6_5_4_and_6_6_3_after_five_wrong_codes_even_the_right_one_has_to_wait(client, person, telephone):
    with time_machine.travel(timezone.now(), tick=False) as now:
        give_password(client, person)
        for _ in range(5):
            give_code(client, telephone.wrong())
        answer = give_code(client, telephone.code())
        assert answer.status_code == 429
        assert Page(answer).beside("code").startswith("Muitas tentativas em pouco tempo. Aguarde")
        assert not is_signed_in(client)

        now.shift(timedelta(minutes=2))
        give_code(client, telephone.code())
        assert is_signed_in(client)


def test_asvs_16_3_1_the_wait_for_codes_is_recorded_with_whose_they_were(client, person, telephone):
    give_password(client, person)
    for _ in range(5):
        give_code(client, telephone.wrong())

    event = SecurityEvent.objects.get(kind=Kind.THROTTLED)
    assert (event.user, event.actor) == (person, None)
    assert {row.user for row in SecurityEvent.objects.filter(kind=Kind.FACTOR_FAILED)} == {person}


def test_asvs_6_6_3_another_session_does_not_get_around_the_wait(client, make_client, person, telephone):
    give_password(client, person)
    for _ in range(5):
        give_code(client, telephone.wrong())
    other = make_client(REMOTE_ADDR="198.51.100.7")
    give_password(other, person)

    assert give_code(other, telephone.code()).status_code == 429
    assert not is_signed_in(other)


def test_a_stale_page_shows_the_form_again_and_keeps_the_step(person, telephone):
    client = Client(enforce_csrf_checks=True)
    request = RequestFactory().post("/entrar/")
    request.session = client.session
    second_step.begin(request, person, "/solicitacoes/")
    request.session.save()
    client.cookies["session"] = request.session.session_key

    answer = give_code(client, telephone.code())
    token = Page(answer).value("csrfmiddlewaretoken")

    assert any("A página ficou aberta por muito tempo" in notice for notice in Page(answer).notices)
    assert give_code(client, telephone.code(), csrfmiddlewaretoken=token)["Location"] == "/solicitacoes/"


def test_a_recovery_code_is_recorded_told_by_mail_and_the_rest_is_counted(client, person, telephone):
    [code, *_] = with_codes(person)
    give_password(client, person)

    answer = client.post(CODE, {"code": code}, follow=True)

    assert "Você usou um código de recuperação. Restam 9." in Page(answer).notices
    assert kinds(person)[-2:] == [Kind.RECOVERY_CODE_USED, Kind.SIGNED_IN]
    assert SecurityEvent.objects.get(user=person, kind=Kind.SIGNED_IN).detail == "senha e código de recuperação"
    [mail] = mails(person)
    assert mail.subject == "Um código de recuperação foi usado"
    assert "Códigos sem uso: 9." in mail.body
    assert code not in mail.body


def test_fault_13_and_asvs_6_4_3_a_reset_does_not_pass_the_second_factor_by(client, person, telephone):
    client.get(resets.link_for(person), follow=True)
    client.post("/redefinir-senha/nova/", {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})
    assert not is_signed_in(client)

    assert give_password(client, person, NEW_PASSWORD)["Location"] == CODE
    assert not is_signed_in(client)
    give_code(client, telephone.code())
    assert is_signed_in(client)


def test_asvs_6_3_4_who_must_change_a_provisional_password_shows_the_code_first(client, person, telephone):
    person.must_change_password = True
    person.save()

    assert give_password(client, person)["Location"] == CODE
    assert client.get("/conta/alterar-senha/")["Location"].startswith("/entrar/")
    give_code(client, telephone.code())
    assert client.get("/")["Location"] == "/conta/alterar-senha/"


def test_a_session_keeps_its_second_factor_when_the_password_is_changed(client, staff_mfa):
    person = analyst()
    sign_in(client, person, with_telephone(person))

    posted = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    client.post("/conta/alterar-senha/", posted)

    assert client.get("/admin/").status_code == 200


# --- Turning it on --------------------------------------------------------------------------------------------------
def test_anybody_may_turn_it_on_and_then_signs_in_with_it(client, person):
    client.force_login(person)

    _telephone, answer = turn_on(client)

    codes = codes_on(answer)
    assert len(codes) == 10
    client.post("/sair/")
    assert give_password(client, person)["Location"] == CODE
    give_code(client, codes[0])
    assert is_signed_in(client)
    assert kinds(person)[:1] == [Kind.FACTOR_ON]
    [on, _used] = mails(person)
    assert on.subject == "Verificação em duas etapas ligada"
    assert "Se não foi você, ligue logo para a Coordenadoria" in on.body


def test_the_page_of_the_key_names_portal_and_person_and_says_the_same_key_twice(client, person):
    client.force_login(person)

    page = client.post(START, {"password": PASSWORD}, follow=True)

    key = key_on(page).replace(" ", "")
    assert re.fullmatch("[A-Z2-7]{32}", key)
    address = next(
        value for link in Page(page).all("a") for name, value in link.attributes if value and "otpauth" in value
    )
    assert address.startswith("otpauth://totp/Sistemas%20Externos%20TJMS%3A")
    assert f"secret={key}&" in address.replace("&amp;", "&")
    assert "no-store" in page["Cache-Control"]


def test_the_key_is_another_one_each_time(client, person):
    client.force_login(person)

    keys = {key_on(client.post(START, {"password": PASSWORD}, follow=True)) for _ in range(3)}

    assert len(keys) == 3
    assert Authenticator.objects.filter(user=person).count() == 1


def test_an_opened_page_makes_no_key(client, person):
    client.force_login(person)

    for address in (SETTINGS, START, NEW, CODES, OFF):
        client.get(address)

    assert not Authenticator.objects.exists()
    assert not RecoveryCode.objects.exists()


def test_a_wrong_password_shows_no_key(client, person):
    client.force_login(person)

    answer = client.post(START, {"password": WRONG})

    assert Page(answer).beside("password") == "A senha atual não confere."
    assert not Authenticator.objects.exists()
    assert BEGIN_ANEW in Page(client.get(NEW, follow=True)).notices


def test_asvs_16_3_1_a_wrong_current_password_is_recorded_here(client, person):
    client.force_login(person)

    client.post(START, {"password": WRONG}, REMOTE_ADDR="203.0.113.9")

    (event,) = SecurityEvent.objects.filter(user=person)
    assert (event.kind, event.address, event.typed_digest) == (Kind.PASSWORD_REFUSED, "203.0.113.9", "")
    assert WRONG not in str(vars(event))


def test_guessing_the_password_here_has_to_wait_as_elsewhere(client, person):
    client.force_login(person)
    for _ in range(5):
        client.post(START, {"password": WRONG})

    assert client.post(START, {"password": PASSWORD}).status_code == 429


def test_a_wrong_first_code_turns_nothing_on_and_keeps_the_key(client, person):
    client.force_login(person)
    page = client.post(START, {"password": PASSWORD}, follow=True)
    telephone = Telephone(key_on(page))

    answer = client.post(NEW, {"code": telephone.wrong()})

    assert Page(answer).beside("code").startswith("Este código não vale.")
    assert key_on(answer) == key_on(page)
    assert factors.of(person) is None
    assert not RecoveryCode.objects.exists()


def test_an_unconfirmed_key_asks_for_no_code_at_the_door(client, make_client, person):
    client.force_login(person)
    client.post(START, {"password": PASSWORD})

    other = make_client()
    give_password(other, person)

    assert is_signed_in(other)


def test_the_code_that_turned_it_on_does_not_sign_in_as_well(client, person):
    client.force_login(person)
    telephone, _answer = turn_on(client)
    client.post("/sair/")
    give_password(client, person)

    give_code(client, telephone.code())

    assert not is_signed_in(client)


def test_the_key_of_one_session_is_not_shown_or_confirmed_in_another(client, make_client, person):
    client.force_login(person)
    telephone = Telephone(key_on(client.post(START, {"password": PASSWORD}, follow=True)))
    own, strangers = make_client(), make_client()
    own.force_login(person)
    strangers.force_login(UserFactory())

    for window in (own, strangers):
        answer = window.post(NEW, {"code": telephone.code()}, follow=True)
        assert telephone.key not in answer.content.decode().replace(" ", "")
    assert factors.of(person) is None


def test_the_key_waits_fifteen_minutes_for_its_first_code(client, person):
    client.force_login(person)
    telephone = Telephone(key_on(client.post(START, {"password": PASSWORD}, follow=True)))

    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        answer = client.post(NEW, {"code": telephone.code()}, follow=True)

    assert BEGIN_ANEW in Page(answer).notices
    assert factors.of(person) is None


def test_the_recovery_codes_are_shown_once(client, person):
    client.force_login(person)
    telephone, answer = turn_on(client)
    codes = codes_on(answer)

    again = client.post(NEW, {"code": telephone.code()}, follow=True)
    pages = [again, *(client.get(address, follow=True) for address in (SETTINGS, NEW, CODES, "/conta/"))]

    assert "no-store" in answer["Cache-Control"]
    assert not any(code in page.content.decode() for code in codes for page in pages)


@pytest.mark.parametrize("comes", ["meanwhile", "afterwards"])
def test_a_second_click_on_confirm_is_told_that_it_is_on_and_where_codes_are_made(client, person, monkeypatch, comes):
    """Without JavaScript the browser shows the second answer, and the codes were in the first."""
    client.force_login(person)
    telephone = Telephone(key_on(client.post(START, {"password": PASSWORD}, follow=True)))
    confirm = enrolments.confirm

    def confirm_after_the_first_click(device, code, **more):
        spent = factors.step_of(telephone.key, code)
        Authenticator.objects.filter(pk=device.pk).update(confirmed=True, last_step=spent)
        return confirm(device, code, **more)

    if comes == "meanwhile":
        monkeypatch.setattr(enrolments, "confirm", confirm_after_the_first_click)
    else:
        assert len(codes_on(client.post(NEW, {"code": telephone.code()}))) == 10
    answer = client.post(NEW, {"code": telephone.code()}, follow=True)

    assert Page(answer).notices == [ALREADY_ON]
    assert Page(answer).one("a", href=CODES)


@pytest.mark.django_db(transaction=True)
def test_two_clicks_on_confirm_turn_it_on_once_and_the_codes_that_were_shown_are_good(client, make_client, person):
    client.force_login(person)
    telephone = Telephone(key_on(client.post(START, {"password": PASSWORD}, follow=True)))
    second = make_client()
    second.cookies = client.cookies.copy()
    code = telephone.code()

    answers = at_once(*(lambda window=window: window.post(NEW, {"code": code}) for window in (client, second)))

    shown = [codes_on(answer) for answer in answers if codes_on(answer)]
    assert [len(codes) for codes in shown] == [10]
    assert {row.selector for row in RecoveryCode.objects.filter(user=person)} == {code[:4] for code in shown[0]}
    assert Authenticator.objects.filter(user=person, confirmed=True).count() == 1


@pytest.mark.parametrize("address", [START, CODES, OFF])
def test_fault_3_and_11_odd_passwords_and_codes_get_a_sentence(client, person, telephone, address):
    sign_in(client, person, telephone)

    for password, code in ((["a", "b"], "1"), ("\x00", "\x00"), ("x" * 1_000_000, "9" * 1_000_000), ("\ud800", "²")):
        body = urlencode({"password": password, "code": code}, doseq=True, errors="surrogatepass")
        answer = client.post(address, body, content_type="application/x-www-form-urlencoded")
        assert answer.status_code == 200
        assert Page(answer).beside("code") != ""
    assert factors.of(person) is not None


# --- Changing it ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("address", [START, CODES, OFF])
def test_no_change_without_the_password_and_a_code(client, person, telephone, address):
    codes = with_codes(person)
    sign_in(client, person, telephone)
    before = list(Authenticator.objects.values("pk")), set(RecoveryCode.objects.values_list("pk", flat=True))

    client.post(address, {"password": PASSWORD})
    client.post(address, {"password": PASSWORD, "code": telephone.wrong()})
    client.post(address, {"password": WRONG, "code": codes[0]})
    client.post(NEW, {"code": telephone.code(step=1)})

    assert (list(Authenticator.objects.values("pk")), set(RecoveryCode.objects.values_list("pk", flat=True))) == before
    assert RecoveryCode.objects.filter(used_at=None).count() == 10


def test_a_new_telephone_takes_the_place_of_the_old_one(client, make_client, person, telephone):
    old_codes = with_codes(person)
    sign_in(client, person, telephone)

    _new, answer = turn_on(client, code=old_codes[0])

    assert Authenticator.objects.filter(user=person).count() == 1
    assert is_signed_in(client)
    other = make_client()
    give_password(other, person)
    for code in (telephone.code(step=1), old_codes[1]):
        give_code(other, code)
        assert not is_signed_in(other)
    give_code(other, codes_on(answer)[0])
    assert is_signed_in(other)
    event = SecurityEvent.objects.get(user=person, kind=Kind.FACTOR_ON)
    assert event.detail == "outro celular"
    assert any("passada para outro celular" in mail.body for mail in mails(person))


def test_the_old_telephone_is_good_until_the_new_one_is_confirmed(client, make_client, person, telephone):
    codes = with_codes(person)
    sign_in(client, person, telephone)
    client.post(START, {"password": PASSWORD, "code": codes[0]})

    sign_in(make_client(), person, telephone, step=1)


def test_new_recovery_codes_take_the_place_of_the_old_ones(client, make_client, person, telephone):
    old = with_codes(person)
    sign_in(client, person, telephone)

    new = codes_on(client.post(CODES, {"password": PASSWORD, "code": telephone.code(step=1)}))

    assert len(new) == 10
    signed = []
    for code in (old[0], new[0]):
        window = make_client()
        give_password(window, person)
        give_code(window, code)
        signed.append(is_signed_in(window))
    assert signed == [False, True]
    assert mails(person)[0].subject == "Novos códigos de recuperação"


def test_who_is_not_staff_may_turn_it_off(client, make_client, person, telephone, staff_mfa):
    with_codes(person)
    sign_in(client, person, telephone)

    client.post(OFF, {"password": PASSWORD, "code": telephone.code(step=1)})

    assert factors.of(person) is None
    assert not RecoveryCode.objects.filter(user=person).exists()
    other = make_client()
    give_password(other, person)
    assert is_signed_in(other)
    assert kinds(person)[:3] == [Kind.PASSWORD_ACCEPTED, Kind.SIGNED_IN, Kind.FACTOR_OFF]
    assert mails(person)[0].subject == "Verificação em duas etapas desligada"


def test_staff_cannot_turn_it_off_while_it_is_required_even_by_hand(client, staff_mfa):
    person = analyst()
    telephone = with_telephone(person)
    sign_in(client, person, telephone)
    page = client.get(SETTINGS)
    assert OFF not in page.content.decode()
    assert START in page.content.decode()

    answer = client.post(OFF, {"password": PASSWORD, "code": telephone.code(step=1)}, follow=True)

    assert "Quem usa a administração não pode desligar a verificação em duas etapas." in Page(answer).notices
    assert factors.of(person) is not None


def test_staff_who_try_to_turn_it_off_spend_no_code_before_they_are_told(client, staff_mfa):
    person = analyst()
    telephone = with_telephone(person)
    [code, *_] = with_codes(person)
    sign_in(client, person, telephone)

    for answer in (client.post(OFF, {"password": PASSWORD, "code": code}, follow=True), client.get(OFF, follow=True)):
        assert "Quem usa a administração não pode desligar a verificação em duas etapas." in Page(answer).notices
    assert not RecoveryCode.objects.filter(user=person).exclude(used_at=None).exists()


def test_asvs_7_4_3_each_change_ends_the_other_sessions(client, make_client, person):
    client.force_login(person)
    others = []

    def another():
        window = make_client()
        window.force_login(person)
        others.append(window)
        return window

    first = another()
    telephone, answer = turn_on(client)
    codes = codes_on(answer)
    assert not is_signed_in(first)
    for address in (START, CODES, OFF):
        window = another()
        assert is_signed_in(window)
        answer = client.post(address, {"password": PASSWORD, "code": codes.pop()}, follow=True)
        if address == START:
            telephone = Telephone(key_on(answer))
            answer = client.post(NEW, {"code": telephone.code()})
        codes = codes_on(answer) or codes
        assert not is_signed_in(window)
        assert is_signed_in(client)


@pytest.fixture
def ended_after(monkeypatch):
    """The owner signs this browser out elsewhere, right after the portal has done this."""

    def end_after(module, name):
        real = getattr(module, name)

        def then_end(*arguments, **named):
            result = real(*arguments, **named)
            Session.objects.all().delete()
            return result

        monkeypatch.setattr(module, name, then_end)

    return end_after


def test_asvs_7_4_1_a_session_that_was_ended_adds_no_telephone(client, person, ended_after):
    client.force_login(person)
    telephone = Telephone(key_on(client.post(START, {"password": PASSWORD}, follow=True)))
    ended_after(factors, "hashed")

    answer = client.post(NEW, {"code": telephone.code()})

    assert answer.status_code == 400
    assert "A sua sessão terminou" in answer.content.decode()
    assert factors.of(person) is None
    assert not RecoveryCode.objects.filter(user=person).exists()
    assert not mails(person)
    assert not is_signed_in(client)


@pytest.mark.parametrize("address", [CODES, OFF])
def test_asvs_7_4_1_a_session_that_was_ended_changes_nothing(client, person, telephone, ended_after, address):
    codes = with_codes(person)
    sign_in(client, person, telephone)
    ended_after(factors, "prove")

    answer = client.post(address, {"password": PASSWORD, "code": telephone.code(step=1)})

    assert answer.status_code == 400
    assert factors.of(person) is not None
    assert {row.selector for row in RecoveryCode.objects.filter(user=person)} == {code[:4] for code in codes}
    assert not is_signed_in(client)


def test_asvs_7_4_1_a_session_that_was_ended_does_not_come_back_by_a_code(client, person, ended_after):
    client.force_login(person)
    telephone = with_telephone(person)
    ended_after(factors, "prove")

    answer = give_code(client, telephone.code())

    assert answer.status_code == 400
    assert not is_signed_in(client)
    assert not Session.objects.exists()


@pytest.mark.parametrize("address", [SETTINGS, START, NEW, CODES, OFF])
def test_a_stranger_is_asked_who_it_is(client, db, address):
    assert client.get(address)["Location"] == f"/entrar/?next={address}"


def test_nobody_sees_how_it_stands_with_another(client, person, telephone):
    stranger = UserFactory()
    client.force_login(stranger)

    assert "Ligada" not in Page(client.get(SETTINGS)).text


# --- The desk -------------------------------------------------------------------------------------------------------
def address_of(route):
    return "/" + re.sub(r"<\w+:\w+>|\(\?P<url>.*", "1", re.sub(r"\^\(\?P<app_label>.*", "accounts/", route))


@pytest.fixture
def things(db):
    """Rows that the posts of ``test_…every_address…`` could change, each with the key 1."""
    person = EmploymentFactory(user__id=1, pk=1).user
    with_telephone(person)
    mail = OutgoingMail.objects.create(
        pk=1, kind="password_changed", recipient=person, object_id=1, status=MailStatus.FAILED
    )
    removal = FactorRemoval.objects.create(
        pk=1, user=person, reason="x", asked_by=manager(), lapses_at=timezone.now() + timedelta(hours=1)
    )
    return person, mail, removal


def state_of(things):
    return [repr({**vars(type(thing).objects.get(pk=thing.pk)), "_state": None}) for thing in things]


@pytest.mark.parametrize("route", OF_THE_ADMINISTRATION)
def test_asvs_6_3_3_every_address_of_the_desk_leads_staff_to_the_second_factor(client, things, staff_mfa, route):
    client.force_login(superuser())
    before = state_of(things), FactorRemoval.objects.count(), OutgoingMail.objects.count()
    address = address_of(route)

    for answer in (client.get(address), client.post(address, {"reason": "x", "action": "retry"})):
        assert answer.status_code == 302
        leads_to = answer["Location"]
        if leads_to.startswith("/admin/login/"):
            leads_to = client.get(leads_to)["Location"]
        elif route == "admin/logout/":
            assert leads_to == "/admin/"
            continue
        assert leads_to.startswith(f"{SETTINGS}?next=")
    assert (state_of(things), FactorRemoval.objects.count(), OutgoingMail.objects.count()) == before


def test_asvs_6_3_3_the_walk_through_the_desk_finds_pages_that_are_there(client, things):
    client.force_login(superuser())

    assert client.get(address_of("admin/")).status_code == 200
    for route in ("admin/accounts/factorremoval/<int:pk>/pedir/", "admin/accounts/user/<path:object_id>/change/"):
        assert route in OF_THE_ADMINISTRATION
        assert client.get(address_of(route)).status_code == 200


def test_staff_who_turn_it_on_get_on_to_the_page_they_wanted(client, staff_mfa):
    person = analyst()
    client.force_login(person)

    page = client.get("/admin/accounts/user/?q=ana", follow=True)
    assert unquote(page.redirect_chain[-1][0]) == f"{SETTINGS}?next=/admin/accounts/user/?q=ana"
    wanted = {"next": "/admin/accounts/user/?q=ana"}
    page = client.post(START, {"password": PASSWORD, **wanted}, follow=True)
    answer = client.post(NEW, {"code": Telephone(key_on(page)).code(), **wanted})

    assert Page(answer).all("a", href="/admin/accounts/user/?q=ana")
    assert client.get("/admin/accounts/user/?q=ana").status_code == 200


@pytest.mark.parametrize("address", ["//evil.example/", "https://evil.example/", "javascript:alert(1)"])
def test_an_address_that_is_not_ours_is_no_place_to_be_sent_to_afterwards(client, person, address):
    client.force_login(person)
    page = client.post(START, {"password": PASSWORD, "next": address}, follow=True)
    answer = client.post(NEW, {"code": Telephone(key_on(page)).code(), "next": address})

    assert len(codes_on(answer)) == 10
    assert "evil" not in answer.content.decode()
    assert "alert" not in answer.content.decode()


def test_staff_whose_session_has_not_shown_the_factor_are_asked_for_the_code(client, staff_mfa):
    person = analyst()
    client.force_login(person)
    telephone = with_telephone(person)

    page = client.get("/admin/", follow=True)
    assert unquote(page.redirect_chain[-1][0]) == f"{CODE}?next=/admin/"
    key = client.session.session_key
    assert give_code(client, telephone.wrong(), next="/admin/").status_code == 200
    assert client.get("/admin/").status_code == 302
    answer = give_code(client, telephone.code(), next="/admin/")

    assert answer["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
    assert client.session.session_key != key
    assert SecurityEvent.objects.get(kind=Kind.SIGNED_IN).detail == "código, depois da senha"


def test_asvs_6_3_5_a_code_from_a_place_unlike_the_earlier_ones_is_told_too(client, make_client, db):
    person = analyst()
    give_password(make_client(), person)
    client.force_login(person)
    telephone = with_telephone(person)

    client.post(CODE, {"code": telephone.code()}, REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="Firefox/131.0")

    event = SecurityEvent.objects.get(kind=Kind.SUSPICIOUS_SIGN_IN)
    assert (event.user, event.address) == (person, "203.0.113.9")


def test_asvs_7_2_4_the_first_code_of_a_telephone_gives_the_session_a_new_key(client, person):
    client.force_login(person)
    page = client.post(START, {"password": PASSWORD}, follow=True)
    key = client.session.session_key

    client.post(NEW, {"code": Telephone(key_on(page)).code()})

    assert client.session.session_key != key
    assert not Session.objects.filter(session_key=sessions.digest(key)).exists()
    assert is_signed_in(client)


def test_the_code_at_the_door_opens_the_desk(client, staff_mfa):
    person = analyst()

    sign_in(client, person, with_telephone(person))

    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("replaced", [False, True])
def test_a_session_is_not_verified_any_more_when_its_factor_was_removed_or_replaced(client, staff_mfa, replaced):
    person = analyst()
    sign_in(client, person, with_telephone(person))
    factors.forget(person)
    if replaced:
        with_telephone(person)

    leads_to = unquote(client.get("/admin/", follow=True).redirect_chain[-1][0])

    assert leads_to == (f"{CODE}?next=/admin/" if replaced else f"{SETTINGS}?next=/admin/")


def test_who_is_no_staff_is_not_let_to_the_desk_by_a_second_factor(client, person, telephone, staff_mfa):
    sign_in(client, person, telephone)

    assert client.get("/admin/", follow=True).status_code == 403


def test_without_staff_mfa_the_desk_opens_and_the_factor_still_works_for_who_has_it(client, make_client, db):
    without, with_it = analyst(), analyst()
    telephone = with_telephone(with_it)
    give_password(client, without)
    assert client.get("/admin/").status_code == 200

    other = make_client()
    assert give_password(other, with_it)["Location"] == CODE
    give_code(other, telephone.code())
    assert other.get("/admin/").status_code == 200


# --- Keys and secrets -----------------------------------------------------------------------------------------------
OLD_KEY, NEW_KEY = "an old key of the tests, long enough 0123456789", "a new key of the tests, long enough 0123456789"


def test_a_change_of_secrets_key_goes_unnoticed_and_a_used_key_needs_the_new_one_alone(client, person, settings):
    settings.SECRETS_KEYS = [OLD_KEY]
    telephone = with_telephone(person)
    settings.SECRETS_KEYS = [NEW_KEY, OLD_KEY]
    sign_in(client, person, telephone)
    client.post("/sair/")

    settings.SECRETS_KEYS = [NEW_KEY]
    sign_in(client, person, telephone, step=1)


def test_a_key_that_is_gone_refuses_codes_but_takes_a_recovery_code(client, person, settings, caplog):
    settings.SECRETS_KEYS = [OLD_KEY]
    telephone, [code, *_] = with_telephone(person), with_codes(person)
    settings.SECRETS_KEYS = [NEW_KEY]
    give_password(client, person)

    assert Page(give_code(client, telephone.code())).beside("code") == REFUSED
    assert "was encrypted with a key that SECRETS_KEY lacks" in caplog.text
    give_code(client, code)
    assert is_signed_in(client)


def rows_of_the_database():
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            found += [repr(row) for row in cursor.fetchall()]
    return "\n".join([*found, *(repr(session.get_decoded()) for session in Session.objects.all())])


def test_asvs_16_2_5_no_key_and_no_code_stands_in_the_database_or_the_log(client, person, caplog):
    caplog.set_level("DEBUG")
    client.force_login(person)
    telephone, answer = turn_on(client)
    codes = codes_on(answer)
    client.post("/sair/")
    give_password(client, person)
    give_code(client, telephone.wrong())
    give_code(client, codes[0])

    told = rows_of_the_database() + "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("django.db")
    )
    assert "RECOVERY_CODE_USED" in told
    raw = base64.b32decode(telephone.key)
    for secret in (telephone.key, raw.hex(), base64.b64encode(raw).decode()[:-1], repr(raw)):
        assert secret not in told
    for code in codes:
        assert code not in told
        assert code.replace("-", "") not in told
        assert code[5:] not in told


def test_the_database_keeps_one_factor_a_person(person, telephone):
    with pytest.raises(IntegrityError), transaction.atomic():
        with_telephone(person)


def test_nobody_without_an_address_is_owed_a_mail(client, db):
    person = EmploymentFactory(user__email="").user
    client.force_login(person)

    turn_on(client)

    assert factors.of(person) is not None
    assert not OutgoingMail.objects.exists()


def test_the_notice_arrives_in_both_forms(client, person, smtp_sink):
    client.force_login(person)
    client.defaults["HTTP_USER_AGENT"] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0 Safari/537.36"
    turn_on(client)

    call_command("send_pending_mail")

    [delivery] = smtp_sink.to(person.email)
    for form in ("plain", "html"):
        assert "foi ligada" in delivery.text(form)
        assert "Chrome no Windows" in delivery.text(form)
