"""The forgotten password: a page that looks nobody up, a mail to the stored address, a link that works once."""

from __future__ import annotations

import base64
import html
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from urllib.parse import urlencode, urlsplit

import pytest
import time_machine
from django.conf import settings as project
from django.contrib.auth.hashers import make_password
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import passwords, sessions, tasks
from accounts.cpf import formatted
from accounts.models import (
    MailStatus,
    OutgoingMail,
    PasswordResetRequest,
    ProvisionalPassword,
    SecurityEvent,
    Session,
    User,
)
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory, cpf_of

NOBODY = cpf_of(9_000_000)
NEW = "três araras voando baixo"
OTHER = "capivaras na beira do rio"
DEAD = "Este link não vale mais"
STALE = "A página ficou aberta por muito tempo. Confira o que digitou e envie de novo."


@pytest.fixture
def person(db):
    return EmploymentFactory().user


def ask(client, cpf, *, headers=None, **more):
    """Posted as browsers do; a list is a field that came several times."""
    fields = urlencode({"cpf": cpf, "captcha": solve(), **more}, doseq=True)
    return client.post("/esqueci-a-senha/", fields, content_type="application/x-www-form-urlencoded", **(headers or {}))


def mails_of(sink, person):
    """What the worker sends to this person, once it has looked."""
    tasks.sweep()
    return sink.to(person.email)


def mailed_link(client, sink, person):
    """The path of the newest link that was mailed."""
    ask(client, person.cpf)
    text = mails_of(sink, person)[-1].text()
    return urlsplit(re.search(r"https?://\S+/redefinir-senha/\S+", text)[0]).path


@pytest.fixture
def link(make_client, smtp_sink, person):
    return mailed_link(make_client(), smtp_sink, person)


def opened(client, link):
    """A client in which the link was opened; its form is next."""
    response = client.get(link)
    assert response.status_code == 302, "the link does not hold"
    assert response["Location"] == "/redefinir-senha/nova/"
    return client


def choose(client, password=NEW, again=None):
    fields = {"new_password1": password, "new_password2": password if again is None else again}
    return client.post("/redefinir-senha/nova/", fields)


def enters(client, person, password):
    return client.post("/entrar/", {"username": person.cpf, "password": password}).status_code == 302


def has_password(person, password):
    return User.objects.get(pk=person.pk).check_password(password)


def told(response):
    """All that an answer tells, but the time of day and the mark that each request gets anew."""
    headers = {name: value for name, value in response.headers.items() if name not in {"Expires", "X-Request-ID"}}
    return response.status_code, headers, sorted(response.cookies), response.content


def later(**by):
    """Not by a date with a zone: that would change the local one, in which tokens are counted."""
    return time_machine.travel(timedelta(**by))


def is_dead(response):
    return response.status_code == 410 and DEAD in response.content.decode()


# --- The page -------------------------------------------------------------------------------------------------------
WHO = {
    "known": lambda: UserFactory().cpf,
    "unknown": lambda: NOBODY,
    "inactive": lambda: UserFactory(is_active=False).cpf,
    "without an address": lambda: UserFactory(email="").cpf,
    "without a password": lambda: UserFactory(password=make_password(None)).cpf,
}


@pytest.mark.parametrize("who", WHO)
def test_asvs_6_3_8_the_page_never_looks_anybody_up(make_client, db, who):
    cpf = WHO[who]()
    with CaptureQueriesContext(connection) as usual:
        unknown = ask(make_client(), NOBODY)

    client = make_client()
    with CaptureQueriesContext(connection) as queries:
        response = ask(client, formatted(cpf))

    statements = [query["sql"] for query in queries]
    assert any("accounts_passwordresetrequest" in sql for sql in statements)
    assert not [sql for sql in statements if '"accounts_user"' in sql]
    # As many as for the unknown, whose second try this may be.
    assert len(statements) == len(usual)
    assert (response.status_code, response["Location"]) == (302, "/esqueci-a-senha/enviado/")
    assert told(response) == told(unknown)
    assert not SecurityEvent.objects.exists()
    assert not OutgoingMail.objects.exists()


def test_what_was_typed_is_noted_and_nothing_else(client, person):
    ask(client, formatted(person.cpf), headers={"REMOTE_ADDR": "203.0.113.9"})

    asked = PasswordResetRequest.objects.get()

    assert (asked.cpf, asked.address) == (person.cpf, "203.0.113.9")


def test_the_next_page_is_the_same_for_everybody_and_says_whom_to_call(client, db):
    page = client.get("/esqueci-a-senha/enviado/").content.decode()

    assert "Se o CPF estiver cadastrado, enviaremos um link para o e-mail institucional." in page
    assert "cgjconvenios@tjms.jus.br" in page
    assert "(67) 3314-1465 / 3314-1327" in page


def test_the_way_here_is_on_the_login_page_and_the_way_back_here(client, db):
    assert '<a href="/esqueci-a-senha/">Esqueci a senha</a>' in client.get("/entrar/").content.decode()
    page = client.get("/esqueci-a-senha/").content.decode()
    assert re.search(r'<a [^>]*href="/entrar/"[^>]*>VOLTAR</a>', page)
    assert re.search(r"<button [^>]*>ENVIAR</button>", page)


VALID = cpf_of(1)
INVALID = "CPF inválido. Confira os números e digite de novo."
BAD_CPFS = {
    "nothing": ("", "Digite o CPF requerido."),
    "letters": ("maria.silva", INVALID),
    "ten digits": (VALID[:10], INVALID),
    "wrong check digits": (VALID[:9] + f"{(int(VALID[9:]) + 1) % 100:02d}", INVALID),
    "one digit repeated": ("111.111.111-11", INVALID),
    "superscript": ("²" * 11, INVALID),
    "full-width": (VALID.translate({48 + digit: 0xFF10 + digit for digit in range(10)}), INVALID),
    "1 MB": ("5" * 1_000_000, INVALID),
    "NUL": (VALID[:5] + "\0" + VALID[5:], INVALID),
    "Arabic-Indic": (VALID.translate({48 + digit: 0x660 + digit for digit in range(10)}), INVALID),
    "mathematical": (VALID.translate({48 + digit: 0x1D7CE + digit for digit in range(10)}), INVALID),
    "array": ([VALID, NOBODY], "Este campo veio mais de uma vez. Digite um valor só."),
}


@pytest.mark.parametrize(("typed", "sentence"), BAD_CPFS.values(), ids=BAD_CPFS)
def test_fault_3_and_fault_4_a_cpf_that_is_none_gets_a_sentence_and_stays_to_be_corrected(client, db, typed, sentence):
    UserFactory(cpf=VALID)

    response = ask(client, typed)

    page = response.content.decode()
    assert response.status_code == 200
    assert response.context["form"].errors == {"cpf": [sentence]}
    assert sentence in page
    kept = ", ".join(typed) if isinstance(typed, list) else typed
    assert not kept or f'value="{html.escape(kept)}"' in page
    assert not PasswordResetRequest.objects.exists()


@pytest.mark.parametrize("captcha", ["", "lixo", ["", ""]])
def test_asvs_2_4_1_without_the_captcha_nothing_is_noted(client, person, captcha):
    response = ask(client, formatted(person.cpf), captcha=captcha)

    assert response.status_code == 200
    assert set(response.context["form"].errors) == {"captcha"}
    assert f'value="{formatted(person.cpf)}"' in response.content.decode()
    assert not PasswordResetRequest.objects.exists()


def test_asvs_2_4_1_one_solved_captcha_asks_once(make_client, person):
    solved = solve()

    assert ask(make_client(), person.cpf, captcha=solved).status_code == 302
    assert ask(make_client(), NOBODY, captcha=solved).status_code == 200
    assert PasswordResetRequest.objects.count() == 1


@pytest.mark.parametrize("token", ["", "x" * 64])
def test_asvs_3_5_1_a_stale_form_is_shown_again_with_the_cpf(make_client, person, token):
    client = make_client(enforce_csrf_checks=True)
    client.get("/esqueci-a-senha/")

    response = ask(client, formatted(person.cpf), csrfmiddlewaretoken=token)

    page = response.content.decode()
    assert response.status_code == 200
    assert STALE in page
    assert f'value="{formatted(person.cpf)}"' in page
    assert not PasswordResetRequest.objects.exists()


# --- The mail -------------------------------------------------------------------------------------------------------
def test_the_mail_goes_to_the_stored_address_alone_with_a_link_in_both_parts(client, person, smtp_sink):
    UserFactory()
    ask(client, person.cpf)

    tasks.sweep()

    (delivery,) = smtp_sink.deliveries
    links = {
        re.search(r"https?://[^\s\"<]+/redefinir-senha/[^\s\"<]+", delivery.text(kind))[0] for kind in ("plain", "html")
    }
    assert delivery.recipients == [person.email]
    assert delivery.message["To"] == person.email
    assert delivery.message["Subject"] == "Redefinição de senha"
    assert len(links) == 1
    assert links.pop().startswith(f"{project.PORTAL_URL}/redefinir-senha/")
    assert not PasswordResetRequest.objects.exists()
    event = SecurityEvent.objects.get()
    assert (event.kind, event.user, event.address) == (SecurityEvent.Kind.RESET_REQUESTED, person, "127.0.0.1")


def test_who_never_had_a_password_is_welcomed_and_creates_the_first_one(make_client, smtp_sink, db):
    person = UserFactory(password=make_password(None))

    link = mailed_link(make_client(), smtp_sink, person)
    (mail,) = smtp_sink.deliveries
    response = choose(opened(make_client(), link))

    assert mail.message["Subject"] == "Primeiro acesso: crie a sua senha"
    assert "Primeiro acesso" in mail.text("html")
    assert "criar a sua primeira" in mail.text()
    assert response["Location"] == "/senha-alterada/"
    assert enters(make_client(), person, NEW)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"is_active": False}, "Pessoa inativa"),
        ({"email": ""}, "Pessoa sem e-mail"),
        (None, "CPF desconhecido"),
    ],
)
def test_who_cannot_have_the_mail_gets_none_and_the_staff_can_see_why(client, smtp_sink, db, fields, why):
    person = UserFactory(**fields) if fields is not None else None
    ask(client, person.cpf if person else NOBODY)

    tasks.sweep()

    event = SecurityEvent.objects.get()
    assert smtp_sink.deliveries == []
    assert not OutgoingMail.objects.exists()
    assert not PasswordResetRequest.objects.exists()
    assert (event.kind, event.user, event.detail) == (SecurityEvent.Kind.RESET_NOT_SENT, person, why)
    assert (person.cpf if person else NOBODY) not in str(SecurityEvent.objects.values())


FORGED_HEADERS = {
    "X-Forwarded-Host": {"HTTP_X_FORWARDED_HOST": "evil.example"},
    "Forwarded": {"HTTP_FORWARDED": "host=evil.example;proto=https"},
    "X-Forwarded-Proto": {"HTTP_X_FORWARDED_PROTO": "https"},
    "X-Forwarded-Server": {"HTTP_X_FORWARDED_SERVER": "evil.example"},
    "X-Forwarded-Port": {"HTTP_X_FORWARDED_PORT": "666"},
    "X-Original-URL": {"HTTP_X_ORIGINAL_URL": "//evil.example/"},
    "Host with a port": {"HTTP_HOST": "127.0.0.1:666"},
    "Host of a careless installation": {"HTTP_HOST": "evil.example"},
}


@pytest.mark.parametrize("headers", FORGED_HEADERS.values(), ids=FORGED_HEADERS)
def test_fault_1_no_header_changes_where_the_mailed_link_leads(client, person, smtp_sink, settings, headers):
    settings.PORTAL_URL = "https://sistemas.tjms.jus.br"
    if headers.get("HTTP_HOST") == "evil.example":
        settings.ALLOWED_HOSTS = ["*"]
    assert ask(client, person.cpf, headers=headers).status_code == 302

    (mail,) = mails_of(smtp_sink, person)

    for part in ("plain", "html"):
        assert set(re.findall(r"https?://([^/\s\"<]+)/redefinir-senha/", mail.text(part))) == {"sistemas.tjms.jus.br"}
        assert "evil.example" not in mail.text(part)


def test_fault_1_a_host_that_is_not_ours_is_refused(client, person):
    assert ask(client, person.cpf, headers={"HTTP_HOST": "evil.example"}).status_code == 400
    assert not PasswordResetRequest.objects.exists()


def test_fault_10_an_address_that_is_posted_along_gets_nothing(client, person, smtp_sink):
    ask(client, person.cpf, email="evil@evil.example", mail="evil@evil.example", to="evil@evil.example", user="1")

    tasks.sweep()

    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [[person.email]]


def test_fault_4_of_two_addresses_that_look_alike_the_mail_goes_to_the_one_stored_for_this_cpf(
    make_client, smtp_sink, db
):
    person = UserFactory(email="mike@tjms.jus.br")
    UserFactory(email="ｍike@tjms.jus.br")  # a wide m, which normalisation makes equal

    # The dotless i, too, which upper case makes equal: in PostgreSQL no second person may have it.
    for look_alike in ("ｍike@tjms.jus.br", "mıke@tjms.jus.br"):
        ask(make_client(), person.cpf, email=look_alike)
    tasks.sweep()

    assert {tuple(delivery.recipients) for delivery in smtp_sink.deliveries} == {("mike@tjms.jus.br",)}


def test_owasp_no_change_before_asking_for_a_link_changes_nothing_of_the_account(make_client, person, smtp_sink):
    inside = make_client()
    assert enters(inside, person, PASSWORD)
    before = User.objects.filter(pk=person.pk).values().get()

    for _ in range(3):
        link = mailed_link(make_client(), smtp_sink, person)
    opened(make_client(), link).get("/redefinir-senha/nova/")

    assert User.objects.filter(pk=person.pk).values().get() == before
    assert inside.get("/conta/").status_code == 200
    assert enters(make_client(), person, PASSWORD)


def test_an_address_corrected_before_the_mail_left_is_where_it_goes(client, person, smtp_sink):
    ask(client, person.cpf)
    User.objects.filter(pk=person.pk).update(email="nova@tjms.jus.br")

    tasks.sweep()

    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [["nova@tjms.jus.br"]]


def test_fault_5_a_mail_server_that_refuses_changes_nothing_for_who_asked_and_the_mail_comes_later(
    client, person, smtp_sink
):
    smtp_sink.refuse = "451 later"
    assert ask(client, person.cpf)["Location"] == "/esqueci-a-senha/enviado/"
    tasks.sweep()
    assert smtp_sink.deliveries == []

    smtp_sink.refuse = None
    OutgoingMail.objects.update(next_at=timezone.now() - timedelta(seconds=1))

    assert len(mails_of(smtp_sink, person)) == 1


def test_fault_21_an_address_that_would_write_headers_reaches_nobody_and_stops_no_other_mail(
    make_client, person, smtp_sink
):
    broken = UserFactory()
    User.objects.filter(pk=broken.pk).update(email="x@tjms.jus.br\nBcc: evil@evil.example")
    ask(make_client(), broken.cpf)
    ask(make_client(), person.cpf)

    tasks.sweep()

    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [[person.email]]
    assert OutgoingMail.objects.get(recipient=broken).status != MailStatus.SENT


def test_no_log_and_no_row_holds_the_link(client, person, smtp_sink, caplog):
    caplog.set_level("DEBUG")

    link = mailed_link(client, smtp_sink, person)

    token = link.split("/")[-2]
    assert not [record for record in caplog.records if token in record.getMessage()]
    assert token not in str(list(OutgoingMail.objects.values()) + list(SecurityEvent.objects.values()))


# --- The link -------------------------------------------------------------------------------------------------------
def test_fault_16_opening_the_link_spends_nothing(make_client, link, person):
    for _ in range(2):
        scanner = make_client()
        assert scanner.head(link).status_code == 302
        opened(scanner, link)
        assert scanner.get("/redefinir-senha/nova/").status_code == 200
    assert has_password(person, PASSWORD)

    assert choose(opened(make_client(), link))["Location"] == "/senha-alterada/"


def test_the_form_has_the_words_of_the_source(make_client, link):
    page = opened(make_client(), link).get("/redefinir-senha/nova/").content.decode()

    for words in ("Alterar Minha Senha", "Nova Senha", "Repetir Senha", "Por favor digite sua nova senha"):
        assert words in page


def test_asvs_14_2_1_the_token_leaves_the_address_and_stands_in_no_session(make_client, link):
    client = opened(make_client(), link)
    token = link.split("/")[-2]

    stored = Session.objects.get(session_key=sessions.digest(client.session.session_key))

    assert "digest" in str(stored.get_decoded())
    assert token not in str(stored.get_decoded())
    assert token.partition("-")[2] not in str(stored.get_decoded())
    assert token not in stored.session_data
    assert token not in client.get("/redefinir-senha/nova/").content.decode()


def test_fault_12_the_token_leaves_by_no_referer(make_client, link):
    """The form itself keeps the portal's policy: under no-referrer browsers post a null Origin. No token is there."""
    client = make_client()

    assert client.get(link)["Referrer-Policy"] == "no-referrer"
    assert client.get("/redefinir-senha/nova/")["Referrer-Policy"] == "same-origin"
    choose(client)
    assert client.get(link).status_code == 410
    assert client.get(link)["Referrer-Policy"] == "no-referrer"


def test_asvs_14_2_1_and_fault_12_a_link_without_its_last_slash_opens_and_stands_in_no_other_answer(make_client, link):
    """Some mail programs take the last slash for the end of the sentence."""
    client = make_client()

    response = client.get(link.removesuffix("/"))

    assert response.status_code == 302
    assert response["Location"] == "/redefinir-senha/nova/"
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]
    assert client.get("/redefinir-senha/nova/").status_code == 200
    assert is_dead(client.get("/redefinir-senha/MQ/abc-def"))


def test_asvs_14_3_2_no_cache_keeps_what_is_around_the_link(make_client, link):
    client = make_client()
    get = client.get
    answers = [get(link), get("/redefinir-senha/nova/"), choose(client, "curta"), choose(client), get(link)]

    assert [answer.status_code for answer in answers] == [302, 200, 200, 302, 410]
    assert all("no-store" in answer["Cache-Control"] for answer in answers)


def test_asvs_6_4_1_and_nist_4_2_1_2_the_link_holds_for_an_hour(make_client, link, person):
    waiting = opened(make_client(), link)

    with later(minutes=59):
        assert waiting.get("/redefinir-senha/nova/").status_code == 200
        opened(make_client(), link)
    with later(minutes=61):
        assert is_dead(make_client().get(link))
        assert is_dead(waiting.get("/redefinir-senha/nova/"))
        assert is_dead(choose(waiting))
    assert has_password(person, PASSWORD)


def use(make_client, person, link):
    assert choose(opened(make_client(), link), OTHER).status_code == 302


def enter(make_client, person, link):
    assert enters(make_client(), person, PASSWORD)


def change_at_the_gear(make_client, person, link):
    """After a sign-in that was there before the link, so that it is the change that counts."""
    client = make_client()
    client.force_login(person, backend=project.AUTHENTICATION_BACKENDS[0])
    User.objects.filter(pk=person.pk).update(last_login=person.last_login)
    fields = {"old_password": PASSWORD, "new_password1": OTHER, "new_password2": OTHER}
    assert client.post("/conta/alterar-senha/", fields).status_code == 302


def correct_the_address(make_client, person, link):
    User.objects.filter(pk=person.pk).update(email="outra@tjms.jus.br")


def leave(make_client, person, link):
    User.objects.filter(pk=person.pk).update(is_active=False)


@pytest.mark.parametrize("kill", [use, enter, change_at_the_gear, correct_the_address, leave])
def test_fault_8_the_link_dies_with(make_client, link, person, kill):
    waiting = opened(make_client(), link)

    kill(make_client, person, link)

    password = User.objects.get(pk=person.pk).password
    assert is_dead(make_client().get(link))
    assert is_dead(waiting.get("/redefinir-senha/nova/"))
    assert is_dead(choose(waiting))
    assert User.objects.get(pk=person.pk).password == password


def test_fault_8_of_two_links_the_one_that_was_not_used_dies_with_the_other(make_client, link, person, smtp_sink):
    with later(minutes=1):
        newer = mailed_link(make_client(), smtp_sink, person)
        assert newer != link
        waiting = opened(make_client(), newer)

        assert choose(opened(make_client(), link)).status_code == 302

        assert is_dead(make_client().get(newer))
        assert is_dead(choose(waiting, OTHER))
    assert has_password(person, NEW)


def test_fault_9_one_persons_token_opens_nothing_of_anothers(make_client, person, smtp_sink):
    other = UserFactory()
    own = mailed_link(make_client(), smtp_sink, person)
    others = mailed_link(make_client(), smtp_sink, other)
    (*_, uid, token, _), (*_, others_uid, others_token, _) = own.split("/"), others.split("/")
    client = opened(make_client(), own)

    assert is_dead(client.get(f"/redefinir-senha/{others_uid}/{token}/"))
    assert is_dead(choose(client))  # what was open before is closed
    assert is_dead(make_client().get(f"/redefinir-senha/{uid}/{others_token}/"))
    assert has_password(person, PASSWORD)
    assert has_password(other, PASSWORD)


def test_fault_9_the_person_cannot_be_chosen_by_what_is_posted(make_client, link, person):
    other = UserFactory()
    client = opened(make_client(), link)
    fields = {"new_password1": NEW, "new_password2": NEW, "uid": other.pk, "user": other.pk, "cpf": other.cpf}

    client.post("/redefinir-senha/nova/", fields)

    assert has_password(person, NEW)
    assert has_password(other, PASSWORD)


def coded(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


MANGLED = {
    "cut": lambda uid, token: (uid, token[:-1]),
    "longer": lambda uid, token: (uid, token + "0"),
    "one sign changed": lambda uid, token: (uid, token[:-1] + ("0" if token[-1] != "0" else "1")),
    "later": lambda uid, token: (uid, "zzzzzz-" + token.partition("-")[2]),
    "no dash": lambda uid, token: (uid, token.replace("-", "")),
    "two dashes": lambda uid, token: (uid, token + "-x"),
    "upper case": lambda uid, token: (uid, token.upper()),
    "a word": lambda uid, token: (uid, "nova"),
    "only a dash": lambda uid, token: (uid, "-"),
    "accents": lambda uid, token: (uid, "é" + token),
    "digits of another script": lambda uid, token: (uid, "٣-" + token.partition("-")[2]),
    "NUL": lambda uid, token: (uid, token + "%00"),
    "broken UTF-8": lambda uid, token: (uid, token + "%ff"),
    "100 kB": lambda uid, token: (uid, "a" * 100_000),
    "no uid": lambda uid, token: ("%20", token),
    "a uid that is no code": lambda uid, token: ("!!!", token),
    "a uid of NUL": lambda uid, token: ("%00", token),
    "a uid of a word": lambda uid, token: (coded("admin"), token),
    "a uid below zero": lambda uid, token: (coded("-1"), token),
    "a uid of zero": lambda uid, token: (coded("0"), token),
    "a uid past the column": lambda uid, token: (coded(str(2**63)), token),
    "a uid of 100,000 digits": lambda uid, token: (coded("9" * 100_000), token),
    "a uid of an injection": lambda uid, token: (coded("1 OR 1=1"), token),
}


@pytest.mark.parametrize("mangle", MANGLED.values(), ids=MANGLED)
def test_a_mangled_link_is_a_dead_one(client, link, person, mangle):
    _, _, uid, token, _ = link.split("/")

    response = client.get("/redefinir-senha/{}/{}/".format(*mangle(uid, token)))

    assert is_dead(response)
    assert "/esqueci-a-senha/" in response.content.decode()
    assert is_dead(client.get("/redefinir-senha/nova/"))
    assert has_password(person, PASSWORD)


def test_owasp_token_is_made_with_the_portals_key_for_one_person_and_state(make_client, smtp_sink, settings, db):
    person, other = UserFactory(), UserFactory()
    links = [mailed_link(make_client(), smtp_sink, who) for who in (person, other)]
    marks = [link.split("/")[-2].partition("-")[2] for link in links]

    assert len(set(marks)) == 2
    assert all(len(mark) >= 32 for mark in marks)  # hexadecimal digits: 128 bits
    settings.SECRET_KEY = "another-key-that-nobody-has-ever-used-0123456789"
    for link in links:
        assert is_dead(make_client().get(link))


def test_fault_2_nobody_gets_to_the_form_without_a_link(make_client, person):
    stranger, signed_in = make_client(), make_client()
    signed_in.force_login(person)

    for client in (stranger, signed_in):
        assert is_dead(client.get("/redefinir-senha/nova/"))
        assert is_dead(choose(client))
    assert has_password(person, PASSWORD)


def test_a_link_that_is_posted_to_changes_nothing(client, link, person):
    assert client.post(link, {"new_password1": NEW, "new_password2": NEW}).status_code == 405
    assert has_password(person, PASSWORD)


# --- The new password -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("password", "again", "field", "sentence"),
    [
        ("", "", "new_password1", "Por favor digite sua nova senha."),
        (NEW, OTHER, "new_password2", "As duas senhas não são iguais."),
        (NEW, "", "new_password2", "Repita a nova senha."),
        ("curta demais", None, "new_password1", "A senha tem 12 caracteres. Use pelo menos 15."),
        ("souza comprou banana", None, "new_password1", "A senha não pode conter o seu nome."),
        ("jabuticaba\0no quintal azul", None, "new_password1", "Caracteres nulos não são permitidos."),
        ("a" * 1_000_000, None, "new_password1", "Use no máximo 128 caracteres."),
        ([NEW, OTHER], OTHER, "new_password1", "Este campo veio mais de uma vez. Digite um valor só."),
        (OTHER, [NEW, OTHER], "new_password2", "Este campo veio mais de uma vez. Digite um valor só."),
    ],
)
def test_a_password_that_is_refused_gets_the_reason_and_spends_no_link(
    make_client, link, person, password, again, field, sentence
):
    client = opened(make_client(), link)

    response = choose(client, password, again)

    page = response.content.decode()
    assert response.status_code == 200
    assert sentence in response.context["form"].errors[field]
    assert sentence in page
    for typed in (NEW, OTHER, "curta demais", "souza comprou", "jabuticaba", "aaaaaaaa"):
        assert typed not in page
    assert has_password(person, PASSWORD)
    assert choose(client)["Location"] == "/senha-alterada/"


@pytest.mark.parametrize("again", ["", OTHER, NEW.upper(), NEW + " ", "tres araras voando baixo"])
def test_owasp_typed_twice_both_must_be_the_same(make_client, link, person, again):
    client = opened(make_client(), link)

    response = choose(client, NEW, again)

    assert set(response.context["form"].errors) == {"new_password2"}
    assert has_password(person, PASSWORD)


def test_owasp_human_route_every_page_of_the_way_says_whom_to_call(make_client, link, person):
    client = opened(make_client(), link)
    for _ in range(3):
        ask(make_client(), person.cpf)

    answers = {
        "the page that asks": client.get("/esqueci-a-senha/"),
        "refused": ask(client, "nada"),
        "too often": ask(client, person.cpf),
        "asked": client.get("/esqueci-a-senha/enviado/"),
        "the form": client.get("/redefinir-senha/nova/"),
        "a bad password": choose(client, "curta"),
        "a dead link": client.get("/redefinir-senha/MQ/abc-def/"),
        "done": client.get("/senha-alterada/"),
        "the door": client.get("/entrar/"),
        "not let in": client.post("/entrar/", {"username": person.cpf, "password": OTHER}),
    }

    assert answers["too often"].status_code == 429
    for where, answer in answers.items():
        page = answer.content.decode()
        assert "cgjconvenios@tjms.jus.br" in page, where
        assert "(67) 3314-1465" in page, where


def test_asvs_3_5_1_a_stale_form_of_the_new_password_is_shown_again_and_spends_no_link(make_client, link, person):
    client = opened(make_client(enforce_csrf_checks=True), link)

    response = choose(client)
    assert response["Location"] == "/redefinir-senha/nova/"
    page = client.get("/redefinir-senha/nova/").content.decode()

    assert STALE in page
    assert NEW not in page
    assert has_password(person, PASSWORD)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    fields = {"new_password1": NEW, "new_password2": NEW, "csrfmiddlewaretoken": token}
    assert client.post("/redefinir-senha/nova/", fields)["Location"] == "/senha-alterada/"


def test_fault_13_the_reset_signs_nobody_in(make_client, link, person):
    client = opened(make_client(), link)

    choose(client)

    assert "_auth_user_id" not in client.session
    assert client.get("/conta/").status_code == 302
    assert enters(client, person, NEW)


def test_the_reset_ends_the_session_of_whoever_sat_at_that_browser(make_client, link, person):
    client = make_client()
    client.force_login(UserFactory())
    opened(client, link)

    choose(client)

    assert "_auth_user_id" not in client.session


def test_the_page_says_whose_password_it_is_and_shows_nobody_else_as_signed_in(make_client, link, person):
    other = UserFactory(name="OUTRA PESSOA QUALQUER")
    client = make_client()
    client.force_login(other)
    opened(client, link)

    for response in (client.get("/redefinir-senha/nova/"), choose(client, "curta")):
        page = response.content.decode()
        assert f"<strong>{person.display_name}</strong>" in page
        assert other.display_name not in page
        assert "Neste navegador está aberta a conta de outra pessoa." in page
    done = client.get(choose(client)["Location"]).content.decode()

    assert "Por segurança, a sua conta foi fechada em todos os navegadores, também neste." in done
    assert "A conta de outra pessoa, que estava aberta neste navegador, também foi fechada." in done
    assert client.get("/conta/").status_code == 302


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_the_page_speaks_of_nobody_else_where_nobody_else_is(make_client, link, person, is_signed_in):
    client = make_client()
    if is_signed_in:
        before = person.last_login
        client.force_login(person)
        User.objects.filter(pk=person.pk).update(last_login=before)  # else the link is dead
    opened(client, link)

    page = client.get("/redefinir-senha/nova/").content.decode()
    done = client.get(choose(client)["Location"]).content.decode()

    assert f"<strong>{person.display_name}</strong>" in page
    assert "outra pessoa" not in page + done
    assert "também neste" in done


def test_asvs_7_4_3_the_reset_ends_the_sessions_elsewhere(make_client, person, smtp_sink):
    elsewhere, others = make_client(), make_client()
    assert enters(elsewhere, person, PASSWORD)
    others.force_login(UserFactory())
    link = mailed_link(make_client(), smtp_sink, person)

    choose(opened(make_client(), link))

    assert elsewhere.get("/conta/").status_code == 302
    assert others.get("/conta/").status_code == 200


def test_asvs_6_3_7_a_notice_without_the_password_follows(make_client, link, person, smtp_sink):
    smtp_sink.deliveries.clear()
    choose(opened(make_client(), link))

    (notice,) = mails_of(smtp_sink, person)

    assert notice.message["Subject"] == "Sua senha foi alterada"
    assert "redefinida pelo link" in notice.text()
    assert NEW not in notice.text() + notice.text("html")
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.PASSWORD_RESET)
    assert (event.user, event.actor) == (person, person)


def test_the_reset_clears_the_throttle_of_this_cpf(make_client, link, person, db):
    other = UserFactory()
    for cpf in (person.cpf, other.cpf):
        for _ in range(6):
            make_client().post("/entrar/", {"username": cpf, "password": OTHER})
    assert not enters(make_client(), person, PASSWORD)

    choose(opened(make_client(), link))

    assert enters(make_client(), person, NEW)
    assert not enters(make_client(), other, PASSWORD)


def test_the_reset_lets_the_person_ask_again(make_client, person, smtp_sink):
    link = mailed_link(make_client(), smtp_sink, person)
    ask(make_client(), person.cpf)
    ask(make_client(), person.cpf)
    assert ask(make_client(), person.cpf).status_code == 429

    choose(opened(make_client(), link))

    assert ask(make_client(), person.cpf).status_code == 302


def test_a_provisional_password_is_over_after_a_reset(make_client, person, smtp_sink):
    User.objects.filter(pk=person.pk).update(must_change_password=True)
    now = timezone.now()
    provisional = ProvisionalPassword.objects.create(
        user=person, nonce="ab" * 16, key_version="test", set_at=now, mailed_at=now, lapses_at=now
    )
    link = mailed_link(make_client(), smtp_sink, person)

    choose(opened(make_client(), link))

    provisional.refresh_from_db()
    client = make_client()
    assert provisional.ended_at is not None
    assert provisional.nonce == ""
    assert enters(client, person, NEW)
    assert client.get("/conta/").status_code == 200


def test_the_last_page_says_so_and_leads_back_to_the_door(make_client, link):
    client = opened(make_client(), link)

    page = client.get(choose(client)["Location"]).content.decode()

    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    assert "Senha alterada com sucesso" in words
    assert re.search(r"Em \d+ segundos você será redirecionado para a página de login\.", words)
    assert 'data-countdown-target="/entrar/"' in page
    assert re.search(r'<a [^>]*href="/entrar/"[^>]*>', page)
    for line in (
        "Conselho Nacional de Justiça",
        "SAF SUL Quadra 2, Lotes 5/6, Brasília - DF, CEP: 70070-600",
        "Localização no Google Maps",
        "www.cnj.jus.br",
    ):
        assert line in words


def test_somebody_without_an_address_any_more_still_gets_their_password(make_client, link, person):
    """The link is theirs and good; only the notice has nowhere to go."""
    client = opened(make_client(), link)

    def no_address(locked):
        locked.email = ""
        return True

    # What the view passes is asked of the locked person: here the address goes in that very moment.
    request = client.get("/redefinir-senha/nova/").wsgi_request
    passwords.choose(person.pk, NEW, may=no_address, kind=SecurityEvent.Kind.PASSWORD_RESET, request=request)

    assert has_password(person, NEW)
    assert not OutgoingMail.objects.filter(kind="password_changed").exists()


# --- At once --------------------------------------------------------------------------------------------------------
def test_fault_8_a_link_used_twice_in_the_same_moment_works_once(transactional_db, make_client, smtp_sink, monkeypatch):
    person = UserFactory()
    link = mailed_link(make_client(), smtp_sink, person)
    clients = [opened(make_client(), link) for _ in range(2)]
    both = Barrier(2)

    def hash_and_wait(password):
        hashed = make_password(password)
        both.wait(20)  # each has passed every check by now but the one under the lock
        return hashed

    monkeypatch.setattr(passwords, "make_password", hash_and_wait)

    def post(client, password):
        try:
            return choose(client, password)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(post, clients, [NEW, OTHER]))

    won = [answer.status_code for answer in answers].index(302)
    assert is_dead(answers[1 - won])
    assert has_password(person, [NEW, OTHER][won])
    assert SecurityEvent.objects.filter(kind=SecurityEvent.Kind.PASSWORD_RESET).count() == 1
    assert OutgoingMail.objects.filter(kind="password_changed").count() == 1


def test_two_workers_that_look_at_once_owe_one_mail(transactional_db, make_client, smtp_sink):
    person = UserFactory()
    ask(make_client(), person.cpf)

    def look():
        try:
            return tasks.sweep()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _place: look(), range(4)))

    assert len(smtp_sink.to(person.email)) == 1
    assert not PasswordResetRequest.objects.exists()
