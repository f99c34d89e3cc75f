"""The one door: who gets in, what the others are told, and which pages stand outside it."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import urlencode

import argon2
import pytest
from django.contrib.auth.hashers import make_password
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from accounts import sessions
from accounts.cpf import formatted
from accounts.models import ProvisionalPassword, SecurityEvent, Session, ThrottleCount
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory, cpf_of

REFUSED = (
    "Usuário ou senha incorretos, ou tentativas demais em pouco tempo. Confira e tente de novo em alguns minutos. "
    "Se não lembra a senha, use “Esqueci a senha”."
)
LAPSED = "Sua senha provisória venceu. Use “Esqueci a senha” para criar uma nova."
STALE = "A página ficou aberta por muito tempo. Confira o que digitou e envie de novo."
INVALID_CPF = "CPF inválido. Confira os números e digite de novo."
TWICE = "Este campo veio mais de uma vez. Digite um valor só."
NOBODY = cpf_of(9_000_000)
WRONG = "jabuticaba no quintal alheio"


@pytest.fixture
def person(db):
    return EmploymentFactory().user


def sign_in(client, username, password=PASSWORD, **more):
    """Posted as browsers do; a list is a field that came several times."""
    fields = {"username": username, "password": password, **more}
    return client.post("/entrar/", urlencode(fields, doseq=True), content_type="application/x-www-form-urlencoded")


def is_signed_in(client):
    return client.get("/conta/").status_code == 200


def page_without(response, *typed):
    """The page, but for what differs by nature: the form's token and what was typed."""
    page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.content.decode())
    for text in typed:
        page = page.replace(text, "")
    return page


def provisional_of(person, *, lapses_at):
    """As if mailed: the person's password is the provisional one."""
    person.must_change_password = True
    person.save()
    now = timezone.now()
    return ProvisionalPassword.objects.create(
        user=person, key_version="test", set_at=now, mailed_at=now, lapses_at=lapses_at
    )


# --- Who gets in ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("write", [str, formatted, lambda cpf: f" {cpf} ", lambda cpf: f"{cpf[:9]}-{cpf[9:]}"])
def test_the_cpf_opens_the_door_with_and_without_punctuation(client, person, write):
    response = sign_in(client, write(person.cpf))

    assert response.status_code == 302
    assert response["Location"] == reverse("home")
    assert int(client.session["_auth_user_id"]) == person.pk


def test_the_home_page_after_sign_in_is_the_persons_own(client, person):
    sign_in(client, person.cpf)

    assert person.display_name in client.get("/").content.decode()


def test_asvs_7_2_4_signing_in_makes_a_new_session_and_forgets_the_old_one(client, person):
    session = client.session
    session["planted"] = "before"
    session.save()
    planted = session.session_key

    sign_in(client, person.cpf)

    assert client.session.session_key != planted
    assert not Session.objects.filter(session_key=sessions.digest(planted)).exists()


def test_asvs_7_2_4_signing_in_as_somebody_else_keeps_nothing_of_the_first_persons_session(client, person):
    client.force_login(UserFactory())
    session = client.session
    session["belongs"] = "to the first"
    session.save()

    sign_in(client, person.cpf)

    assert int(client.session["_auth_user_id"]) == person.pk
    assert "belongs" not in client.session


def test_asvs_7_2_4_signing_in_again_as_the_same_person_makes_a_new_session_too(client, person):
    sign_in(client, person.cpf)
    session = client.session
    session["belongs"] = "to the first time"
    session.save()
    first, mark = session.session_key, Session.objects.get().mark

    assert sign_in(client, person.cpf).status_code == 302

    assert client.session.session_key != first
    assert "belongs" not in client.session
    assert Session.objects.get().mark != mark
    assert is_signed_in(client)


def test_asvs_7_2_1_to_3_a_key_is_made_by_the_server_at_random_and_one_that_is_made_up_opens_nothing(
    make_client, person
):
    keys = set()
    for _ in range(20):
        client = make_client()
        assert sign_in(client, person.cpf).status_code == 302
        keys.add(client.session.session_key)
    invented = make_client()

    for key in (next(iter(keys))[:-1], next(iter(keys)).upper(), "0" * 32, str(person.pk), sessions.digest(min(keys))):
        invented.cookies["session"] = key
        assert not is_signed_in(invented)
    assert len(keys) == 20
    assert all(re.fullmatch(r"[0-9a-z]{32,}", key) for key in keys)  # 165 bits


def test_a_person_who_is_in_already_is_sent_on(client, person):
    client.force_login(person)

    assert client.get("/entrar/?next=/conta/")["Location"] == "/conta/"


# --- Where it leads -------------------------------------------------------------------------------------------------
OUR_PAGES = ["/conta/", "/solicitacoes/?status=PENDING&page=2", "/solicitacoes/nova/", "http://testserver/conta/"]
NOT_OUR_PAGES = [
    "//evil.example/",
    "///evil.example/",
    "https://evil.example/",
    "http:///evil.example/",
    "httpconta",
    "conta",  # a word that ``redirect`` would take for the name of a view
    "«não é»",
    "?x",
    "https:evil.example",
    "//testserver@evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    "\x08//evil.example/",
    " ",
    "",
]


@pytest.mark.parametrize("wanted", OUR_PAGES)
def test_who_was_stopped_on_the_way_to_a_page_gets_there_after_signing_in(client, person, wanted):
    page = client.get("/entrar/", {"next": wanted}).content.decode()
    assert f'<input type="hidden" name="next" value="{html.escape(wanted)}">' in page

    assert sign_in(client, person.cpf, next=wanted)["Location"] == wanted


@pytest.mark.parametrize("wanted", NOT_OUR_PAGES)
def test_an_address_that_is_not_ours_is_no_place_to_be_sent_to(client, person, wanted):
    assert sign_in(client, person.cpf, next=wanted)["Location"] == "/"
    assert client.get("/entrar/", {"next": wanted})["Location"] == "/"


def test_where_the_person_wanted_to_go_survives_a_mistake(client, person):
    page = sign_in(client, person.cpf, WRONG, next="/solicitacoes/nova/").content.decode()

    assert '<input type="hidden" name="next" value="/solicitacoes/nova/">' in page


def test_a_page_that_needs_a_person_names_itself_to_the_door(client, db):
    assert client.get("/solicitacoes/?page=2")["Location"] == "/entrar/?next=/solicitacoes/%3Fpage%3D2"


# --- One door -------------------------------------------------------------------------------------------------------
def test_asvs_6_3_4_the_administration_has_no_login_form_of_its_own(client, db):
    assert client.get("/admin/login/?next=/admin/accounts/user/")["Location"] == "/entrar/?next=/admin/accounts/user/"
    assert client.get("/admin/login/")["Location"] == "/entrar/?next=/admin/"
    assert client.get("/admin/", follow=True).redirect_chain[-1] == ("/entrar/?next=/admin/", 302)


def test_asvs_6_3_4_the_administrations_address_takes_no_password(client, db):
    staff = UserFactory(is_staff=True)

    response = client.post("/admin/login/", {"username": staff.cpf, "password": PASSWORD})

    assert response["Location"] == "/entrar/?next=/admin/"
    assert "_auth_user_id" not in client.session


def test_staff_who_come_from_the_administration_are_led_back_there(client, db):
    staff = UserFactory(is_staff=True)

    response = sign_in(client, staff.cpf, next="/admin/")

    assert response["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/login/?next=/admin/accounts/")["Location"] == "/admin/accounts/"


def test_somebody_without_a_right_to_the_administration_is_told_so_and_not_sent_round_in_circles(client, person):
    client.force_login(person)

    response = client.get("/admin/", follow=True)

    assert [address for address, _status in response.redirect_chain] == ["/admin/login/?next=/admin/"]
    assert response.status_code == 403


@pytest.mark.parametrize("wanted", NOT_OUR_PAGES)
def test_the_administrations_login_sends_nobody_elsewhere(client, db, wanted):
    assert client.get("/admin/login/", {"next": wanted})["Location"] == "/entrar/?next=/admin/"
    client.force_login(UserFactory(is_staff=True))
    assert client.get("/admin/login/", {"next": wanted})["Location"] == "/admin/"


def test_the_administrations_own_password_form_leads_to_the_gear(client, db):
    client.force_login(UserFactory(is_staff=True))

    assert client.get("/admin/password_change/")["Location"] == "/conta/alterar-senha/"


# --- Who does not ---------------------------------------------------------------------------------------------------
def with_a_lapsed_provisional_password():
    person = UserFactory()
    provisional_of(person, lapses_at=timezone.now() - timedelta(days=1))
    return person


#: Why a try must fail -> (the CPF, made in the test, and the password).
CASES = {
    "unknown": (lambda: NOBODY, WRONG),
    "wrong password": (lambda: UserFactory().cpf, WRONG),
    "inactive": (lambda: UserFactory(is_active=False).cpf, PASSWORD),
    "inactive, wrong password": (lambda: UserFactory(is_active=False).cpf, WRONG),
    "no password": (lambda: UserFactory(password=make_password(None)).cpf, WRONG),
    "empty hash": (lambda: UserFactory(password="").cpf, WRONG),
    "hash of a hasher that is gone": (lambda: UserFactory(password="pbkdf2_sha256$1$salt$c2FsdA==").cpf, WRONG),
    "lapsed provisional, wrong password": (lambda: with_a_lapsed_provisional_password().cpf, WRONG),
}


def somebody_who_cannot(why):
    make, password = CASES[why]
    return make(), password


@pytest.mark.parametrize("why", CASES)
def test_asvs_6_3_8_whatever_is_wrong_the_words_are_the_same(make_client, db, why):
    cpf, password = somebody_who_cannot(why)
    usual = sign_in(make_client(), NOBODY, WRONG)

    client = make_client()
    response = sign_in(client, cpf, password)

    assert response.context["form"].non_field_errors() == [REFUSED]
    assert response.status_code == usual.status_code == 200
    assert page_without(response, cpf) == page_without(usual, NOBODY)
    assert response.cookies.keys() == usual.cookies.keys()
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("known", [True, False])
def test_asvs_6_3_8_a_throttled_try_has_the_same_words_as_a_wrong_one(make_client, db, known):
    cpf = UserFactory().cpf if known else NOBODY
    first = sign_in(make_client(), cpf, WRONG)
    for _ in range(4):
        sign_in(make_client(), cpf, WRONG)

    client = make_client()
    response = sign_in(client, cpf)

    assert SecurityEvent.objects.filter(kind=SecurityEvent.Kind.THROTTLED).count() == 1
    assert page_without(response) == page_without(first)
    assert response.status_code == first.status_code
    assert "_auth_user_id" not in client.session


@pytest.fixture
def hashes(monkeypatch):
    """One entry for each hash that was computed."""
    done = []
    encode, verify = argon2.low_level.hash_secret, argon2.PasswordHasher.verify

    def counted_encode(*args, **kwargs):
        done.append("encode")
        return encode(*args, **kwargs)

    def counted_verify(self, *args, **kwargs):
        done.append("verify")
        return verify(self, *args, **kwargs)

    monkeypatch.setattr(argon2.low_level, "hash_secret", counted_encode)
    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted_verify)
    return done


@pytest.mark.parametrize("why", CASES)
def test_fault_6_every_refusal_costs_one_hash_whoever_it_is(client, db, hashes, why):
    cpf, password = somebody_who_cannot(why)
    hashes.clear()

    sign_in(client, cpf, password)

    assert len(hashes) == 1


def test_fault_6_the_right_password_costs_one_hash_too(client, person, hashes):
    hashes.clear()

    sign_in(client, person.cpf)

    assert len(hashes) == 1


@pytest.mark.parametrize("known", [True, False])
def test_fault_6_a_throttled_try_costs_no_hash_whether_or_not_the_person_exists(client, db, hashes, known):
    cpf = UserFactory().cpf if known else NOBODY
    for _ in range(5):
        sign_in(client, cpf, WRONG)
    hashes.clear()

    sign_in(client, cpf)

    assert hashes == []


@pytest.mark.real_hashing
def test_the_hash_has_the_parameters_that_owasp_asks_for(person):
    assert person.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_asvs_6_4_1_a_lapsed_provisional_password_is_told_to_who_knows_it(client, person):
    provisional_of(person, lapses_at=timezone.now() - timedelta(seconds=1))

    response = sign_in(client, person.cpf)

    assert response.context["form"].non_field_errors() == [LAPSED]
    assert LAPSED in response.content.decode()
    assert "_auth_user_id" not in client.session
    assert SecurityEvent.objects.filter(kind=SecurityEvent.Kind.SIGN_IN_FAILED, user=person).exists()


@pytest.mark.parametrize("lapses_in", [timedelta(minutes=1), None])
def test_a_provisional_password_that_is_still_good_leads_to_choosing_ones_own(client, person, lapses_in):
    live = provisional_of(person, lapses_at=timezone.now() + (lapses_in or timedelta(days=1)))
    if lapses_in is None:  # set, and the mail is still on its way
        ProvisionalPassword.objects.filter(pk=live.pk).update(mailed_at=None, lapses_at=None)

    response = sign_in(client, person.cpf)
    assert response.status_code == 302
    page = client.get(response["Location"])

    assert page["Location"] == "/conta/alterar-senha/"


# --- The way out ----------------------------------------------------------------------------------------------------
def test_asvs_7_4_1_signing_out_ends_the_session(make_client, person):
    client, copy = make_client(), make_client()
    sign_in(client, person.cpf)
    copy.cookies["session"] = client.cookies["session"].value
    assert is_signed_in(copy)

    response = client.post("/sair/")

    assert response["Location"] == "/entrar/"
    assert not is_signed_in(client)
    assert not is_signed_in(copy)
    assert Session.objects.count() <= 1  # what carries "Você saiu do portal."
    assert "Você saiu do portal." in client.get("/entrar/").content.decode()


def test_fault_19_a_link_to_the_way_out_signs_nobody_out(client, person):
    client.force_login(person)

    assert client.get("/sair/").url == "/"
    assert client.head("/sair/").url == "/"
    assert is_signed_in(client)


def test_signing_out_when_the_session_has_ended_already_leads_to_the_door_and_to_no_dead_end(client, person):
    """Not to ``/entrar/?next=/sair/``, from where signing in would lead to an address that takes no GET."""
    response = client.post("/sair/")

    assert response["Location"] == "/entrar/"
    assert not SecurityEvent.objects.exists()


def test_asvs_7_4_2_a_person_who_was_deactivated_is_out_at_the_next_click(client, person):
    sign_in(client, person.cpf)
    assert is_signed_in(client)

    person.is_active = False
    person.save()

    assert not is_signed_in(client)
    assert client.get("/pessoas/busca/?q=maria").status_code == 302


def test_an_expired_session_asks_to_sign_in_and_comes_back_to_the_form(client, person):
    sign_in(client, person.cpf)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    response = client.post("/solicitacoes/nova/", {"description": "meia hora de texto"})

    assert response["Location"] == "/entrar/?next=/solicitacoes/nova/"
    assert sign_in(client, person.cpf, next="/solicitacoes/nova/")["Location"] == "/solicitacoes/nova/"


# --- Bad input ------------------------------------------------------------------------------------------------------
VALID = cpf_of(1)
BAD_CPFS = {
    "nothing": ("", "Este campo é obrigatório."),
    "spaces": ("   ", "Este campo é obrigatório."),
    "letters": ("maria.silva", INVALID_CPF),
    "ten digits": (VALID[:10], INVALID_CPF),
    "twelve digits": (VALID + "0", INVALID_CPF),
    "wrong check digits": (VALID[:9] + f"{(int(VALID[9:]) + 1) % 100:02d}", INVALID_CPF),
    "one digit repeated": ("111.111.111-11", INVALID_CPF),
    "superscript": ("²" * 11, INVALID_CPF),
    "full-width": (VALID.translate({48 + digit: 0xFF10 + digit for digit in range(10)}), INVALID_CPF),
    "arabic-indic": (VALID.translate({48 + digit: 0x660 + digit for digit in range(10)}), INVALID_CPF),
    "1 MB": ("5" * 1_000_000, INVALID_CPF),
    "1 MB of dots before a good one": ("." * 1_000_000 + VALID, INVALID_CPF),
    "NUL": (VALID[:5] + "\0" + VALID[5:], INVALID_CPF),
    "NUL at the end": (VALID + "\0", INVALID_CPF),
    "script": ('"><script>alert(1)</script>', INVALID_CPF),
    "array": ([VALID, VALID], TWICE),
    "array with an empty one": (["", VALID], TWICE),
}


def assert_nothing_is_stored():
    assert not SecurityEvent.objects.exists()
    assert not ThrottleCount.objects.exists()
    assert not Session.objects.exists()


@pytest.mark.parametrize(("typed", "sentence"), BAD_CPFS.values(), ids=BAD_CPFS)
def test_fault_3_and_fault_4_a_cpf_that_is_none_gets_a_sentence_beside_the_field_and_stays_to_be_corrected(
    client, db, typed, sentence
):
    UserFactory(cpf=VALID)

    response = sign_in(client, typed, PASSWORD)

    page = response.content.decode()
    assert response.status_code == 200
    assert response.context["form"].errors == {"username": [sentence]}
    assert sentence in page
    kept = ", ".join(typed) if isinstance(typed, list) else typed.strip()
    assert not kept or f'value="{html.escape(kept)}"' in page
    assert PASSWORD not in page
    assert_nothing_is_stored()


def test_a_field_called_as_an_array_is_a_field_that_is_missing(client, db):
    response = client.post("/entrar/", {"username[]": VALID, "password[]": PASSWORD})

    assert set(response.context["form"].errors) == {"username", "password"}
    assert_nothing_is_stored()


def test_a_body_of_json_is_an_empty_form(client, db):
    response = client.post("/entrar/", {"username": [VALID], "password": {"$ne": ""}}, content_type="application/json")

    assert set(response.context["form"].errors) == {"username", "password"}
    assert_nothing_is_stored()


MARK = "nao-volta-para-a-pagina"
BAD_PASSWORDS = {
    "nothing": ("", "Este campo é obrigatório."),
    "NUL": (MARK + "\0", "Caracteres nulos não são permitidos."),
    "1 MB": (MARK + "a" * 1_000_000, "Use no máximo 128 caracteres."),
    "array": ([MARK, PASSWORD], TWICE),
}


@pytest.mark.parametrize(("typed", "sentence"), BAD_PASSWORDS.values(), ids=BAD_PASSWORDS)
def test_fault_11_a_password_that_cannot_be_one_gets_a_sentence_and_costs_nothing(client, person, typed, sentence):
    response = sign_in(client, formatted(person.cpf), typed)

    page = response.content.decode()
    assert response.status_code == 200
    assert response.context["form"].errors == {"password": [sentence]}
    assert sentence in page
    assert f'value="{formatted(person.cpf)}"' in page
    assert MARK not in page
    assert PASSWORD not in page
    assert_nothing_is_stored()


def test_a_wrong_password_never_comes_back_in_the_page(client, person):
    page = sign_in(client, person.cpf, MARK).content.decode()

    assert MARK not in page
    assert f'value="{person.cpf}"' in page


def test_a_password_is_taken_as_it_was_typed_with_its_spaces(make_client, db):
    person = UserFactory(password=make_password("  jabuticaba com espaços  "))

    assert sign_in(make_client(), person.cpf, "jabuticaba com espaços").status_code == 200
    assert sign_in(make_client(), person.cpf, "  jabuticaba com espaços  ").status_code == 302


# --- A certificate that nobody checked ------------------------------------------------------------------------------
CERTIFICATE_HEADERS = [
    *("SSL_CLIENT_CERT", "SSL_CLIENT_S_DN", "SSL_CLIENT_VERIFY", "SSL_CLIENT_ESCAPED_CERT", "CLIENT_CERT"),
    *(
        "X_SSL_CERT",
        "X_SSL_CLIENT_CERT",
        "X_CLIENT_CERT",
        "X_FORWARDED_CLIENT_CERT",
        "X_CLIENT_VERIFY",
        "X_ARR_CLIENTCERT",
    ),
    *("REMOTE_USER", "X_REMOTE_USER", "X_FORWARDED_USER", "X_AUTH_REQUEST_USER", "AUTHORIZATION", "X_USER", "X_CPF"),
]


@pytest.mark.parametrize("proxy", [True, False])
def test_fault_15_no_header_about_a_certificate_or_a_user_signs_anybody_in(client, person, settings, proxy):
    settings.TRUSTED_PROXIES = ["127.0.0.1"] if proxy else []
    forged = {f"HTTP_{name}": f"CN=SERVIDORA:{person.cpf}" for name in CERTIFICATE_HEADERS}
    forged["HTTP_SSL_CLIENT_VERIFY"] = forged["HTTP_X_CLIENT_VERIFY"] = "SUCCESS"

    for address in ("/entrar/certificado/", "/entrar/", "/conta/", "/admin/"):
        for ask in (client.get, client.post):
            assert person.cpf not in ask(address, **forged).content.decode()

    assert "_auth_user_id" not in client.session
    assert not is_signed_in(client)
    assert not SecurityEvent.objects.filter(kind=SecurityEvent.Kind.SIGNED_IN).exists()


# --- A form that was open too long ----------------------------------------------------------------------------------
@pytest.mark.parametrize("token", ["", "x" * 64, "short"])
def test_asvs_3_5_1_a_stale_form_is_shown_again_with_the_cpf_and_without_the_password(make_client, person, token):
    client = make_client(enforce_csrf_checks=True)
    client.get("/entrar/")

    response = sign_in(client, formatted(person.cpf), next="/conta/", csrfmiddlewaretoken=token)

    page = response.content.decode()
    assert response.status_code == 200
    assert STALE in page
    assert f'value="{formatted(person.cpf)}"' in page
    assert '<input type="hidden" name="next" value="/conta/">' in page
    assert PASSWORD not in page
    assert not is_signed_in(client)


def test_the_form_that_is_shown_again_works(make_client, person):
    client = make_client(enforce_csrf_checks=True)
    page = sign_in(client, person.cpf).content.decode()  # no cookie at all

    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]

    assert sign_in(client, person.cpf, csrfmiddlewaretoken=token)["Location"] == "/"


def test_a_stale_form_of_somebody_who_signed_in_elsewhere_leads_on(make_client, person):
    """Two tabs: after signing in by one, the other's token is old."""
    client = make_client(enforce_csrf_checks=True)
    client.force_login(person)

    assert sign_in(client, person.cpf, next="/conta/", csrfmiddlewaretoken="x" * 64)["Location"] == "/conta/"
    assert sign_in(client, person.cpf, next="//evil.example", csrfmiddlewaretoken="x" * 64)["Location"] == "/"


def test_a_stale_way_out_says_so_and_leads_to_a_page_that_can_be_opened(make_client, person):
    client = make_client(enforce_csrf_checks=True)
    client.force_login(person)

    response = client.post("/sair/")

    assert response.status_code == 403
    back = re.search(r'<a class="btn btn-primary" href="([^"]+)">Abrir a página de novo', response.content.decode())[1]
    assert client.get(back, follow=True).status_code == 200
    assert client.session["_auth_user_id"] == str(person.pk)


# --- What is kept of it ---------------------------------------------------------------------------------------------
def test_asvs_16_2_1_and_16_3_1_every_try_is_recorded_with_who_when_and_from_where(client, person):
    began = timezone.now()
    sign_in(client, NOBODY, WRONG)
    sign_in(client, person.cpf, WRONG)
    client.post(
        "/entrar/",
        {"username": person.cpf, "password": PASSWORD},
        REMOTE_ADDR="203.0.113.9",
        HTTP_USER_AGENT="Navegador \x1b[31m1.0" + "x" * 300,
    )
    client.post("/sair/")

    unknown, wrong, entered, left = SecurityEvent.objects.order_by("pk")
    kinds = SecurityEvent.Kind
    assert [event.kind for event in (unknown, wrong, entered, left)] == [
        kinds.SIGN_IN_FAILED,
        kinds.SIGN_IN_FAILED,
        kinds.SIGNED_IN,
        kinds.SIGNED_OUT,
    ]
    assert began <= unknown.at <= wrong.at <= entered.at <= left.at <= timezone.now()
    assert unknown.user is wrong.user is None
    assert len({unknown.typed_digest, wrong.typed_digest, ""}) == 3
    assert (entered.user, entered.actor, left.actor) == (person, person, person)
    assert entered.address == "203.0.113.9"
    assert entered.device == ("Navegador [31m1.0" + "x" * 300)[:200]


def test_asvs_16_2_5_neither_a_cpf_nor_a_password_stands_in_the_log_or_in_an_event(client, person, caplog):
    caplog.set_level("DEBUG")
    for cpf, password in ((NOBODY, WRONG), (person.cpf, WRONG), (person.cpf, PASSWORD)):
        sign_in(client, cpf, password)
    sign_in(client, VALID + "1", WRONG)

    # What the database's own debug log shows is never switched on in production: DEBUG is off.
    told = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("django.db"))
    told += str(list(SecurityEvent.objects.values())) + str(list(ThrottleCount.objects.values()))
    assert "security SIGNED_IN" in told
    for secret in (NOBODY, person.cpf, formatted(person.cpf), VALID, WRONG, PASSWORD):
        assert secret not in told


# --- Which pages stand outside --------------------------------------------------------------------------------------
#: Written by hand: every address of the portal but the administration's. What is not here fails the test.
PUBLIC = {
    "": "/",
    "orientacoes/": "/orientacoes/",
    "entrar/": "/entrar/",
    "entrar/certificado/": "/entrar/certificado/",
    "entrar/codigo/": None,  # without a right password before it, it leads back to the door
    "sair/": None,  # asks nobody to sign in in order to sign out
    "esqueci-a-senha/": "/esqueci-a-senha/",
    "esqueci-a-senha/enviado/": "/esqueci-a-senha/enviado/",
    "redefinir-senha/nova/": "/redefinir-senha/nova/",
    "redefinir-senha/<str:uid>/<str:token>/": "/redefinir-senha/MQ/abc-def/",
    "redefinir-senha/<str:uid>/<str:token>": "/redefinir-senha/MQ/abc-def",
    "senha-alterada/": "/senha-alterada/",
    "privacidade/": "/privacidade/",
    "captcha/challenge/": "/captcha/challenge/",
    "health/live": "/health/live",
    "health/ready": "/health/ready",
    "health/status": "/health/status",
    "metrics": "/metrics",
}
PRIVATE = {
    "conta/": "/conta/",
    "conta/alterar-senha/": "/conta/alterar-senha/",
    "conta/sessoes/": "/conta/sessoes/",
    "conta/sessoes/encerrar-outras/": "/conta/sessoes/encerrar-outras/",
    "conta/sessoes/uso/": "/conta/sessoes/uso/",
    "conta/sessoes/<uuid:mark>/encerrar/": "/conta/sessoes/6d1ab6ce-4b6e-4b5b-9a1e-0c6f2f7b0001/encerrar/",
    "conta/segundo-fator/": "/conta/segundo-fator/",
    "conta/segundo-fator/ligar/": "/conta/segundo-fator/ligar/",
    "conta/segundo-fator/celular/": "/conta/segundo-fator/celular/",
    "conta/segundo-fator/codigos/": "/conta/segundo-fator/codigos/",
    "conta/segundo-fator/desligar/": "/conta/segundo-fator/desligar/",
    "conta/meus-dados/": "/conta/meus-dados/",
    "conta/meus-dados/arquivo/": "/conta/meus-dados/arquivo/",
    "conta/meus-dados/<str:name>/": "/conta/meus-dados/vinculos/",
    "termo/": "/termo/",
    "termo/<int:version>/": "/termo/1/",
    "pessoas/busca/": "/pessoas/busca/",
    "solicitacoes/": "/solicitacoes/",
    "solicitacoes/nova/": "/solicitacoes/nova/",
    "solicitacoes/varias/": "/solicitacoes/varias/",
    "solicitacoes/varias/<int:joint>/": "/solicitacoes/varias/1/",
    "solicitacoes/nova/ja-existe/": "/solicitacoes/nova/ja-existe/",
    "rascunho/": "/rascunho/",
    "rascunho/descartar/": "/rascunho/descartar/",
    "solicitacoes/<str:protocol>/": "/solicitacoes/2026-000001/",
    "solicitacoes/<str:protocol>/corrigir/": "/solicitacoes/2026-000001/corrigir/",
    "solicitacoes/<str:protocol>/cancelar/": "/solicitacoes/2026-000001/cancelar/",
    "solicitacoes/<str:protocol>/lembrar/": "/solicitacoes/2026-000001/lembrar/",
    "solicitacoes/<str:protocol>/anexos/<int:pk>/": "/solicitacoes/2026-000001/anexos/1/",
    "acessos/": "/acessos/",
    "acessos/<int:access>/encerrar/": "/acessos/1/encerrar/",
    "unidade/acessos/": "/unidade/acessos/",
    "unidade/acessos/<int:grant>/encerrar/": "/unidade/acessos/1/encerrar/",
}


def routes(patterns, before=""):
    for entry in patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from routes(entry.url_patterns, route)


ROUTES = sorted(set(routes(get_resolver().url_patterns)))
OF_THE_ADMINISTRATION = [route for route in ROUTES if route.startswith("admin/")]


def test_every_address_is_known_to_be_public_or_private():
    known = {*PUBLIC, *PRIVATE, *OF_THE_ADMINISTRATION}

    assert set(ROUTES) == known
    assert len(OF_THE_ADMINISTRATION) > 20


@pytest.mark.parametrize("address", PRIVATE.values())
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_page_with_personal_data_asks_who_it_is(client, db, address, method):
    response = getattr(client, method)(address)

    assert response.status_code == 302
    assert response["Location"] == f"/entrar/?next={address}"


NOT_SENT = "A sua sessão terminou. O que você enviou não foi gravado. Entre de novo e repita o envio."


@pytest.mark.parametrize("address", ["/solicitacoes/nova/", "/conta/alterar-senha/", "/admin/accounts/user/1/link/"])
def test_what_is_posted_after_the_session_ended_is_said_to_be_lost(client, person, address):
    client.force_login(person)
    Session.objects.all().delete()

    door = client.post(address, {"description": "Texto longo"}, follow=True)

    assert door.redirect_chain[0][0].startswith("/entrar/?next=")
    assert NOT_SENT in door.content.decode()
    assert NOT_SENT not in client.get("/entrar/").content.decode()  # said once


@pytest.mark.parametrize(("method", "address"), [("get", "/solicitacoes/nova/"), ("post", "/conta/sessoes/uso/")])
def test_who_only_opened_a_page_has_lost_nothing(client, db, method, address):
    """A page that is open tells by itself that it is used."""
    door = getattr(client, method)(address, follow=True)

    assert NOT_SENT not in door.content.decode()


@pytest.mark.parametrize("address", [address for address in PUBLIC.values() if address])
def test_a_public_page_asks_nobody_to_sign_in(client, db, address):
    assert not client.get(address).headers.get("Location", "").startswith("/entrar/")


@pytest.mark.parametrize("route", OF_THE_ADMINISTRATION)
def test_nothing_of_the_administration_is_shown_to_a_stranger(client, db, route):
    address = "/" + re.sub(r"<\w+:\w+>|\(\?P<url>.*", "1", re.sub(r"\^\(\?P<app_label>.*", "accounts/", route))

    for response in (client.get(address), client.post(address)):
        assert response.status_code == 302
        leads_to = response["Location"]
        if leads_to.startswith("/admin/login/?next="):
            leads_to = client.get(leads_to)["Location"]
        assert leads_to.startswith("/entrar/?next=/admin/")


@pytest.mark.parametrize("address", ["/entrar/", "/", "/esqueci-a-senha/", "/redefinir-senha/nova/", "/nao-existe/"])
def test_asvs_14_3_2_no_cache_keeps_a_page_at_the_door(client, db, address):
    assert "no-store" in client.get(address)["Cache-Control"]


def test_asvs_14_3_2_no_cache_keeps_a_persons_page(client, person):
    client.force_login(person)

    for address in ("/", "/conta/", "/conta/alterar-senha/", "/solicitacoes/", "/pessoas/busca/?q=ana"):
        assert "no-store" in client.get(address)["Cache-Control"]
    assert "no-store" in sign_in(client, person.cpf, WRONG)["Cache-Control"]
