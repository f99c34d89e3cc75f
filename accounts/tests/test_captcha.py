"""The captcha: accepted once, and a sentence for everything else, whether Google or ALTCHA asks."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import IncompleteRead, RemoteDisconnected
from pathlib import Path
from threading import Barrier
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs
from urllib.request import OpenerDirector

import pytest
import time_machine
from altcha_django.results import ErrorCode
from crispy_forms.utils import render_crispy_form
from django import forms
from django.conf import settings as project
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import connection
from django.template import engines
from django.urls import reverse
from django.utils import timezone

from accounts.captcha import GOOGLE_TOKEN_LIMIT, PAYLOAD_LIMIT, ChallengeField, GoogleField, captcha_field
from accounts.models import SpentChallenge
from accounts.tests.captcha_solver import solve
from conftest import process_environment

LABEL = "Não sou um robô"
WAY_OUT = "ligue para a Coordenadoria"
USED = f"Esta verificação já foi usada. Marque a caixa “{LABEL}” de novo."
LAPSED = f"O tempo da verificação acabou. Marque a caixa “{LABEL}” de novo."


class Form(forms.Form):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["captcha"] = captcha_field()


@pytest.fixture(autouse=True)
def no_keys(settings):
    settings.RECAPTCHA_PUBLIC_KEY = settings.RECAPTCHA_PRIVATE_KEY = ""


@pytest.fixture
def keys(settings):
    settings.RECAPTCHA_PUBLIC_KEY = "public-key"
    settings.RECAPTCHA_PRIVATE_KEY = "private-key"
    settings.RECAPTCHA_DOMAIN = "www.google.com"


@pytest.fixture
def google(keys, monkeypatch):
    """Google as the network shows it: ``google(answer)`` gives a body or raises; returns what was posted to it."""

    def stand_in(answer):
        posted = []

        def fake_open(self, request, data=None, timeout=None):
            posted.append((request.full_url, parse_qs(request.data.decode(), keep_blank_values=True), timeout))
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, io.IOBase) else io.BytesIO(answer)

        monkeypatch.setattr(OpenerDirector, "open", fake_open)
        return posted

    return stand_in


def post_token(token="token"):
    return Form({"g-recaptcha-response": token})


def only_error(form):
    [[message]] = form.errors.values()
    return message


class CutShort(io.BytesIO):
    def read(self, *args):
        raise IncompleteRead(b"{")


# --- Which of the two ---------------------------------------------------------------------------------------------


def test_without_keys_the_portal_asks_by_itself():
    assert isinstance(captcha_field(), ChallengeField)


def test_with_both_keys_google_asks(keys):
    assert isinstance(captcha_field(), GoogleField)


@pytest.mark.parametrize("missing", ["RECAPTCHA_PUBLIC_KEY", "RECAPTCHA_PRIVATE_KEY"])
def test_with_one_key_google_is_not_asked_as_its_test_keys_let_everybody_pass(keys, settings, missing):
    setattr(settings, missing, "")

    assert isinstance(captcha_field(), ChallengeField)


@pytest.mark.parametrize("with_keys", [True, False])
def test_both_are_labelled_the_same(with_keys, request):
    if with_keys:
        request.getfixturevalue("keys")

    assert Form()["captcha"].label == LABEL


# --- Google -------------------------------------------------------------------------------------------------------


def test_google_says_yes(google):
    [] = posted = google(b'{"success": true, "hostname": "sistemas.tjms.jus.br"}')

    assert post_token().is_valid()

    [(url, fields, timeout)] = posted
    assert url == "https://www.google.com/recaptcha/api/siteverify"
    assert (fields["secret"], fields["response"]) == (["private-key"], ["token"])
    assert timeout == project.RECAPTCHA_VERIFY_REQUEST_TIMEOUT <= 3


def test_google_is_told_no_address_even_if_a_request_with_one_is_on_the_stack(google, rf):
    posted = google(b'{"success": true}')
    request = rf.post("/", headers={"x-forwarded-for": "203.0.113.9"})  # the package looks for this very name

    assert post_token().is_valid()

    assert request
    assert posted[0][1]["remoteip"] == [""]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(URLError(ConnectionRefusedError(111, "refused")), id="refused"),
        pytest.param(URLError(socket.gaierror(-2, "Name or service not known")), id="dns"),
        pytest.param(URLError(TimeoutError("timed out")), id="timeout connecting"),
        pytest.param(TimeoutError("timed out"), id="timeout reading"),
        pytest.param(ConnectionResetError(104, "reset"), id="reset"),
        pytest.param(RemoteDisconnected("closed"), id="closed"),
        pytest.param(HTTPError("https://www.google.com", 503, "Unavailable", None, None), id="503"),
        pytest.param(CutShort(), id="cut short"),
        pytest.param(b"<!doctype html><title>Entre na rede</title>", id="captive portal"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe\xff", id="not text"),
        pytest.param(b"{}", id="no success"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'["success"]', id="list of words"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"success"', id="word"),
        pytest.param(b"1", id="number"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b'{"success": false, "error-codes": 7}', id="codes are no list"),
        pytest.param(b'{"success": false, "error-codes": ["invalid-input-secret"]}', id="our key is wrong"),
    ],
)
def test_google_cannot_be_asked_and_the_form_says_what_to_do(google, answer):
    google(answer)

    message = only_error(post_token())

    assert "Google" in message
    assert WAY_OUT in message


def test_nobody_listens_where_google_should_be(keys, settings):
    with socket.create_server(("127.0.0.1", 0)) as free:
        settings.RECAPTCHA_DOMAIN = f"127.0.0.1:{free.getsockname()[1]}"

    assert WAY_OUT in only_error(post_token())


def test_google_takes_the_call_and_never_speaks(keys, settings):
    settings.RECAPTCHA_VERIFY_REQUEST_TIMEOUT = 0.1
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings.RECAPTCHA_DOMAIN = f"127.0.0.1:{mute.getsockname()[1]}"

        assert WAY_OUT in only_error(post_token())


@pytest.mark.parametrize(
    "answer",
    [
        b'{"success": false}',
        b'{"success": false, "error-codes": ["timeout-or-duplicate"]}',
        b'{"success": "false"}',
        b'{"success": "true"}',
        b'{"success": 1}',
        b'{"success": null}',
        b'{"success": [true]}',
    ],
)
def test_anything_but_a_plain_yes_from_google_is_a_no(google, answer):
    google(answer)

    assert only_error(post_token()) == f"A verificação “{LABEL}” não foi aceita. Marque a caixa de novo."


@pytest.mark.parametrize("token", ["a\0b", "x" * (GOOGLE_TOKEN_LIMIT + 1), "x" * 1_000_000])
def test_a_token_that_cannot_be_one_is_refused_without_asking_google(google, token):
    posted = google(b'{"success": true}')

    assert not post_token(token).is_valid()
    assert posted == []


@pytest.mark.parametrize("token", ["\ud800", ["a", "b"], {"a": "b"}, 7])
def test_a_strange_token_is_no_exception(google, token):
    google(b'{"success": false}')

    assert not post_token(token).is_valid()


@pytest.mark.parametrize("token", ["", "   ", None])
def test_a_box_left_empty_says_what_to_do_if_it_never_appeared(google, token):
    posted = google(b'{"success": true}')

    message = only_error(post_token(token))

    assert message.startswith(f"Marque a caixa “{LABEL}”.")
    assert WAY_OUT in message
    assert posted == []


def test_a_secret_is_never_written_to_the_log(google, caplog):
    google(URLError(ConnectionRefusedError(111, "refused")))
    post_token("the-token").is_valid()
    google(b'{"success": false, "error-codes": ["invalid-input-secret"]}')
    post_token("the-token").is_valid()

    assert len(caplog.records) == 2
    assert "private-key" not in caplog.text
    assert "the-token" not in caplog.text


def test_google_widget_speaks_portuguese_and_calls_no_function_that_is_not_there(keys):
    html = str(Form()["captcha"])

    assert 'src="https://www.google.com/recaptcha/api.js?hl=pt-BR"' in html
    assert 'data-sitekey="public-key"' in html
    assert "data-callback" not in html


# --- On the page --------------------------------------------------------------------------------------------------


def with_crispy_tag(form):
    return render_crispy_form(form)


def with_crispy_filter(form):
    return engines["django"].from_string("{% load crispy_forms_filters %}{{ form|crispy }}").render({"form": form})


@pytest.mark.parametrize("with_keys", [True, False])
@pytest.mark.parametrize("render", [with_crispy_tag, with_crispy_filter])
def test_the_error_is_shown_beside_the_widget(render, with_keys, request):
    """Bootstrap shows ``invalid-feedback`` only after a sibling that ``is-invalid``."""
    if with_keys:
        request.getfixturevalue("keys")
    form = Form({})

    html = render(form)

    assert only_error(form) in html
    assert re.search(
        r'class="[^"]*\bis-invalid\b.*<div id="id_captcha_error" class="invalid-feedback">', html, re.DOTALL
    )
    assert "form-control" not in html
    assert "aria-invalid" not in html
    assert '<fieldset aria-describedby="id_captcha_error">' in html


@pytest.mark.parametrize("with_keys", [True, False])
def test_the_page_has_no_inline_script_or_style(with_keys, request):
    if with_keys:
        request.getfixturevalue("keys")
    form = Form({})

    html = f"{form.media}{with_crispy_filter(form)}"

    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert scripts
    assert all(" src=" in attributes and not body.strip() for attributes, body in scripts)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)


@pytest.mark.parametrize("with_keys", [True, False])
def test_without_javascript_the_page_says_so_and_whom_to_call(with_keys, request):
    if with_keys:
        request.getfixturevalue("keys")

    [sentence] = re.findall(r"<noscript>(.*?)</noscript>", str(Form()["captcha"]), re.DOTALL)

    assert "JavaScript" in sentence
    assert WAY_OUT in sentence


def test_the_page_names_every_file_of_altcha_as_the_storage_does(settings):
    html = f"{Form().media}{Form()['captcha']}"

    named = re.findall(r'(?:src|href|worker)="/static/([^"]+)"', html)
    plain = [re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", name) for name in named]
    assert plain == [
        "vendor/altcha-3.2.2/altcha.css",
        "css/captcha.css",
        "vendor/altcha-3.2.2/pt-br.js",  # makes $altcha, which the next one fills and the last one reads
        "js/captcha.js",
        "vendor/altcha-3.2.2/altcha.min.js",
        "vendor/altcha-3.2.2/pbkdf2.js",
    ]
    assert all(finders.find(name) for name in plain)


def test_every_source_map_that_a_vendored_file_names_is_there():
    """The storage that hashes names refuses to collect a file whose map is missing."""
    vendored = [path for path in Path(finders.find("vendor")).rglob("*") if path.suffix in {".js", ".css"}]

    named = [
        path.parent / name
        for path in vendored
        for name in re.findall(r"sourceMappingURL=([\w.-]+)", path.read_text()[-200:])
    ]

    assert named
    assert [path for path in named if not path.is_file()] == []


# --- ALTCHA -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_asvs_2_4_1_a_solved_challenge_is_accepted_once():
    payload = solve()

    assert Form({"captcha": payload}).is_valid()
    assert only_error(Form({"captcha": payload})) == f"Esta verificação já foi usada. Marque a caixa “{LABEL}” de novo."


@pytest.mark.django_db
def test_a_solution_told_in_other_words_is_still_the_same_challenge():
    payload = solve()
    same = json.loads(base64.b64decode(payload))
    same["solution"]["time"] = 12.5
    assert Form({"captcha": payload}).is_valid()

    assert not Form({"captcha": encoded(same)}).is_valid()


@pytest.mark.django_db
def test_what_is_kept_of_a_used_challenge_is_a_digest_until_after_it_lapses():
    expires_at = int(time.time()) + 600
    payload = solve(expires_at=expires_at)

    assert Form({"captcha": payload}).is_valid()

    spent = SpentChallenge.objects.get()
    nonce = json.loads(base64.b64decode(payload))["challenge"]["parameters"]["nonce"]
    assert spent.digest == hashlib.sha256(nonce.encode()).hexdigest()
    assert spent.lapses_at > datetime.fromtimestamp(expires_at, UTC)


@pytest.mark.django_db(transaction=True)
def test_a_challenge_posted_eight_times_at_once_is_accepted_once():
    payload = solve()
    all_ready = Barrier(8, timeout=10)

    def post(_):
        try:
            all_ready.wait()
            return Form({"captcha": payload}).is_valid()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(post, range(8))) == [False] * 7 + [True]


def encoded(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.b64encode(raw).decode()


def changed(payload, **parameters):
    told = json.loads(base64.b64decode(payload))
    told["challenge"]["parameters"].update(parameters)
    return encoded(told)


@pytest.mark.django_db
def test_a_lapsed_challenge_is_refused():
    message = only_error(Form({"captcha": solve(expires_at=int(time.time()) - 1)}))

    assert message == f"O tempo da verificação acabou. Marque a caixa “{LABEL}” de novo."
    assert not SpentChallenge.objects.exists()


FORGED = {
    "later": lambda: changed(solve(expires_at=int(time.time()) - 1), expiresAt=int(time.time()) + 600),
    "no end": lambda: changed(solve(), expiresAt=None),
    "other nonce": lambda: changed(solve(), nonce="00" * 16),
    "other key": lambda: solve(hmac_secret="somebody else's"),
    "wrong solution": lambda: unsolved("00" * 32),
    "padded": lambda: encoded({**json.loads(base64.b64decode(solve())), "padding": "A" * PAYLOAD_LIMIT}),
    "no key at all": lambda: unsolved(None),
    "test mode": lambda: encoded({"challenge": None, "solution": None, "test": True}),
    "server signature": lambda: encoded({"verificationData": "verified=true", "signature": "", "verified": True}),
    "version 1": lambda: encoded(
        dict.fromkeys(("algorithm", "challenge", "number", "salt", "signature"), "SHA-256"),
    ),
}


def unsolved(key):
    told = json.loads(base64.b64decode(solve()))
    told["solution"]["derivedKey"] = key
    return encoded(told)


@pytest.mark.django_db
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_solution_is_refused_and_uses_nothing_up(forge):
    message = only_error(Form({"captcha": forge()}))

    assert message == f"A verificação “{LABEL}” não foi aceita. Marque a caixa de novo."
    assert not SpentChallenge.objects.exists()


@pytest.mark.django_db
def test_a_challenge_that_never_ends_is_refused_though_ours_as_it_could_not_be_kept_for_ever(settings):
    told = json.loads(base64.b64decode(solve(expires_at=0)))
    assert not told["challenge"]["parameters"]["expiresAt"]

    assert not Form({"captcha": encoded(told)}).is_valid()


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(value, id=name)
        for name, value in {
            "word": "lixo",
            "NUL": "\0",
            "NUL in base64": encoded(b"\0"),
            "surrogate": "\ud800",
            "accent": "é",
            "1 MB": "A" * 1_000_000,
            "1 MB of JSON": encoded({"challenge": "A" * 1_000_000}),
            "nested": encoded(b"[" * (PAYLOAD_LIMIT // 2)),
            "nested in parameters": encoded(
                b'{"challenge":{"parameters":' + b"[" * 1200 + b"]" * 1200 + b'},"solution":{}}',
            ),
            "long number": encoded(b"1" * 2900),
            "infinity": encoded(b'{"challenge": {"parameters": {"expiresAt": Infinity}}}'),
            "not text": encoded(b"\xff\xfe\xff\xff"),
            "null": encoded(None),
            "list": encoded([]),
            "empty object": encoded({}),
            "challenge is a list": encoded({"challenge": [], "solution": []}),
            "parameters are a word": encoded({"challenge": {"parameters": "x"}, "solution": {}}),
            "a list": ["a", "b"],
            "a mapping": {"a": "b"},
            "a number": 7,
            "bytes": b"\xff",
            "true": True,
        }.items()
    ],
)
def test_garbage_is_refused_without_an_exception(garbage):
    assert only_error(Form({"captcha": garbage})) == f"A verificação “{LABEL}” não foi aceita. Marque a caixa de novo."


@pytest.mark.parametrize("nothing", [{}, {"captcha": ""}, {"captcha": []}])
def test_an_unmarked_box_says_what_to_do(nothing):
    message = only_error(Form(nothing))

    assert message.startswith(f"Marque a caixa “{LABEL}”.")
    assert WAY_OUT in message


def test_test_mode_of_the_package_opens_no_door(settings):
    settings.ALTCHA_TEST_MODE = True

    assert not Form({"captcha": encoded({"challenge": None, "solution": None, "test": True})}).is_valid()


def test_without_a_key_of_its_own_the_portal_says_that_the_captcha_is_out_of_order(settings):
    payload = solve()
    settings.ALTCHA_HMAC_SECRET = ""

    assert WAY_OUT in only_error(Form({"captcha": payload}))


def test_every_refusal_of_the_package_has_a_sentence_of_ours():
    ours = vars(ChallengeField)["default_error_messages"]

    assert set(ours) == {code.value for code in ErrorCode}


@pytest.mark.django_db
def test_a_challenge_is_given_to_anybody_new_each_time_and_never_cached(client):
    first, second = (client.get(reverse("altcha_django:challenge")) for _ in range(2))

    assert first.status_code == second.status_code == 200
    assert "no-store" in first.headers["Cache-Control"]
    assert first.json()["parameters"]["nonce"] != second.json()["parameters"]["nonce"]


# --- Ten thousand later -------------------------------------------------------------------------------------------


def spent_in_bulk(count, *, lapses_at):
    """Rows as ``spend`` writes them, without the price of solving."""
    digests = [hashlib.sha256(f"{lapses_at}:{number}".encode()).hexdigest() for number in range(count)]
    SpentChallenge.objects.bulk_create(
        (SpentChallenge(digest=digest, lapses_at=lapses_at) for digest in digests), batch_size=500
    )


@pytest.mark.django_db
def test_asvs_2_4_1_ten_thousand_solutions_later_a_replay_is_still_refused():
    now = timezone.now()
    first = [solve() for _ in range(20)]
    assert all(Form({"captcha": payload}).is_valid() for payload in first)
    spent_in_bulk(5_000, lapses_at=now + timedelta(minutes=15))
    spent_in_bulk(3_000, lapses_at=now - timedelta(seconds=1))  # done with: housekeeping may take these
    call_command("housekeeping", verbosity=0)
    middle = [solve() for _ in range(20)]
    assert all(Form({"captcha": payload}).is_valid() for payload in middle)
    spent_in_bulk(2_000, lapses_at=now + timedelta(minutes=16))
    call_command("housekeeping", verbosity=0)
    last = [solve() for _ in range(20)]
    assert all(Form({"captcha": payload}).is_valid() for payload in last)

    for payload in (*first, *middle, *last):
        assert only_error(Form({"captcha": payload})) == USED
    assert SpentChallenge.objects.filter(lapses_at__lt=now).count() == 0
    assert SpentChallenge.objects.count() == 5_000 + 2_000 + 60


@pytest.mark.django_db
def test_asvs_2_4_1_housekeeping_forgets_a_challenge_only_when_it_could_not_be_used_any_more():
    payload = solve(expires_at=int(time.time()) + 600)
    assert Form({"captcha": payload}).is_valid()

    for minutes, message in ((9, USED), (11, LAPSED), (16, LAPSED)):
        with time_machine.travel(timedelta(minutes=minutes)):
            call_command("housekeeping", verbosity=0)
            assert only_error(Form({"captcha": payload})) == message

    assert not SpentChallenge.objects.exists()


ASK_AGAIN = """
import django; django.setup()
from django import forms
from accounts.captcha import captcha_field
import sys
form = type("Form", (forms.Form,), {"captcha": captcha_field()})({"captcha": sys.argv[1]})
print(form.is_valid(), form.errors.as_text())
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_asvs_2_4_1_a_process_that_was_started_anew_refuses_a_replay_too():
    payload, unused = solve(), solve()
    assert Form({"captcha": payload}).is_valid()

    def says(captcha):
        command = [sys.executable, "-c", ASK_AGAIN, captcha]
        environment = {**process_environment(), "DJANGO_SETTINGS_MODULE": "bnmp_portal.settings"}
        return subprocess.run(
            command, cwd=project.BASE_DIR, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert says(payload).startswith("False")
    assert "já foi usada" in says(payload)
    assert says(unused).startswith("True")
