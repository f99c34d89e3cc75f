"""Google's captcha in a real browser, with a stand-in for Google: its script, its check, and its bad days."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from accounts import tasks
from accounts.cpf import formatted
from accounts.models import PasswordResetRequest
from accounts.tests.factories import EmploymentFactory
from conftest import start_portal_process

from . import proxy, services

pytestmark = pytest.mark.browser

#: What the script of Google does, as far as a page can tell: a box, and a field that is filled in once it is ticked.
API = """
for (const place of document.querySelectorAll(".g-recaptcha")) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  const token = document.createElement("textarea");
  box.type = "checkbox";
  token.name = "g-recaptcha-response";
  token.hidden = true;
  box.addEventListener("change", () => { token.value = box.checked ? "token-of-" + place.dataset.sitekey : ""; });
  label.append(box, " Não sou um robô (de mentira)");
  place.append(label, token);
}
"""
BOX = "Não sou um robô (de mentira)"


class Google(ThreadingHTTPServer):
    """``answer``: the body of the next checks; None keeps them waiting. ``asked``: what was posted to it."""

    daemon_threads = True
    answer: bytes | None = b'{"success": true, "hostname": "127.0.0.1"}'
    has_script = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), GoogleHandler)
        self.asked: list[dict[str, list[str]]] = []
        self.end = threading.Event()

    def handle_error(self, request, client_address):
        """A browser or the portal went away in the middle: so it is with Google too."""


class GoogleHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        found = urlsplit(self.path).path == "/recaptcha/api.js" and self.server.has_script
        self.reply(200 if found else 404, API.encode() if found else b"", "text/javascript; charset=utf-8")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append(parse_qs(body, keep_blank_values=True))
        if self.server.answer is None:
            self.server.end.wait(30)
        else:
            self.reply(200, self.server.answer, "application/json")

    def reply(self, status, body, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args):
    return {**browser_context_args, "ignore_https_errors": True}  # the certificate was made for the occasion


@pytest.fixture
def google(tmp_path):
    proxy.make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")
    server = Google()
    # The handshake is each connection's own affair: a browser opens some that it never uses.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.end.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def portal(transactional_db, google, tmp_path):
    """The web server with Google's keys, and the stand-in where Google is."""
    port = urlsplit(settings.PORTAL_URL).port
    server = start_portal_process(
        tmp_path / "web.log",
        *("gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}"),
        RECAPTCHA_PUBLIC_KEY="public-key",
        RECAPTCHA_PRIVATE_KEY="private-key",
        RECAPTCHA_DOMAIN=f"127.0.0.1:{google.server_port}",
        SSL_CERT_FILE=str(tmp_path / "fullchain.pem"),
    )
    try:
        services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
        yield server
    finally:
        server.stop()


@pytest.fixture
def complaints(page: Page):
    """What the browser has against the page: refused by the policy, scripts that break."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


@pytest.fixture
def person(transactional_db):
    return EmploymentFactory().user


def ask(page, cpf, *, tick=True):
    page.goto("/esqueci-a-senha/")
    page.get_by_label("CPF").fill(cpf)
    if tick:
        page.get_by_label(BOX).check()
    page.get_by_role("button", name="ENVIAR").click()


def assert_refused(page, person, words):
    """A sentence beside the box, what was typed is kept, and nothing was asked for."""
    sentence = page.locator("#id_captcha_error")
    expect(sentence).to_be_visible()
    for word in words:
        expect(sentence).to_contain_text(word)
    expect(page.get_by_label("CPF")).to_have_value(formatted(person.cpf))
    assert not PasswordResetRequest.objects.exists()


def test_asvs_2_4_1_a_ticked_box_brings_the_mail(page: Page, portal, google, person, smtp_sink, complaints):
    ask(page, formatted(person.cpf))

    expect(page).to_have_url(f"{settings.PORTAL_URL}/esqueci-a-senha/enviado/")
    tasks.sweep()
    assert [mail.recipients for mail in smtp_sink.deliveries] == [[person.email]]
    (asked,) = google.asked
    assert (asked["secret"], asked["response"]) == (["private-key"], ["token-of-public-key"])
    assert asked["remoteip"] == [""]
    assert complaints == []


def test_a_box_that_google_refuses_is_told_beside_it_and_can_be_ticked_again(
    page: Page, portal, google, person, complaints
):
    google.answer = b'{"success": false, "error-codes": ["timeout-or-duplicate"]}'
    ask(page, formatted(person.cpf))
    assert_refused(page, person, ["não foi aceita", "Marque a caixa de novo"])

    google.answer = b'{"success": true}'
    page.get_by_label(BOX).check()
    page.get_by_role("button", name="ENVIAR").click()

    expect(page).to_have_url(f"{settings.PORTAL_URL}/esqueci-a-senha/enviado/")
    assert complaints == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="hung"),
        pytest.param(b"<!doctype html><title>Entre na rede</title>", id="captive portal"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"{}", id="nothing"),
    ],
)
def test_a_google_that_gives_no_answer_is_told_with_a_way_out(page: Page, portal, google, person, complaints, answer):
    google.answer = answer

    ask(page, formatted(person.cpf))

    assert_refused(page, person, ["Google", "ligue para a Coordenadoria"])
    assert complaints == []
    assert "Traceback" not in portal.output


def test_a_google_that_goes_away_is_told_with_a_way_out(page: Page, portal, google, person):
    page.goto("/esqueci-a-senha/")
    page.get_by_label("CPF").fill(formatted(person.cpf))
    page.get_by_label(BOX).check()
    google.shutdown()
    google.server_close()

    page.get_by_role("button", name="ENVIAR").click()

    assert_refused(page, person, ["Google", "ligue para a Coordenadoria"])
    assert "Traceback" not in portal.output


def test_where_the_network_blocks_google_the_page_says_what_to_do(page: Page, portal, google, person):
    google.has_script = False

    ask(page, formatted(person.cpf), tick=False)

    assert_refused(page, person, ["Se ela não aparece", "outra rede", "ligue para a Coordenadoria"])
    assert google.asked == []
