"""What every answer carries, whoever gives it: the portal, its static files, nginx in front of it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib.staticfiles.storage import staticfiles_storage
from django.db import OperationalError

from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, UserFactory, cpf_of
from requests_app.tests.factories import superuser

from . import proxy, services

NOBODY = cpf_of(9_000_000)
YEAR = "max-age=31536000; includeSubDomains; preload"


@pytest.fixture(autouse=True)
def as_behind_https(settings):
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True


def directives(policy):
    return {name: set(sources) for name, *sources in (part.split() for part in policy.split(";") if part.strip())}


def assert_is_guarded(response, *, by_https=None):
    """``response``: Django's, or that of nginx as http.client gives it; of that one somebody must say how it came."""
    headers = response.headers
    policy = directives(headers["Content-Security-Policy"])
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == {"'none'"}
    assert "unsafe" not in headers["Content-Security-Policy"]
    # Without https no browser believes the promise of https, and Django does not make it there.
    by_https = response.wsgi_request.is_secure() if by_https is None else by_https
    assert headers.get("Strict-Transport-Security") == (YEAR if by_https else None)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] in {"same-origin", "no-referrer"}
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    denied = set(headers["Permissions-Policy"].split(", "))
    assert {f"{name}=()" for name in ("camera", "geolocation", "microphone", "payment", "usb")} <= denied


# --- The portal -----------------------------------------------------------------------------------------------------
def get(address, **more):
    return lambda client: client.get(address, secure=True, **more)


def post(address, fields=None, **more):
    return lambda client: client.post(address, fields or {}, secure=True, **more)


def of_staff(address):
    def ask(client):
        client.force_login(superuser())
        return client.get(address, secure=True)

    return ask


def of_a_person(address):
    def ask(client):
        client.force_login(UserFactory())
        return client.get(address, secure=True)

    return ask


def own_data(client):
    client.force_login(UserFactory())
    response = client.post("/conta/meus-dados/arquivo/", secure=True)
    assert response.streaming
    return response


def static_file(**more):
    def ask(client):
        response = client.get(staticfiles_storage.url("css/portal.css"), secure=True, **more)
        response.close()
        return response

    return ask


def static_file_unchanged(client):
    file = static_file()(client)
    assert file.status_code == 200
    return static_file(HTTP_IF_MODIFIED_SINCE=file["Last-Modified"])(client)


def too_often(client):
    for _ in range(3):
        post("/esqueci-a-senha/", {"cpf": NOBODY, "captcha": solve()})(client)
    return post("/esqueci-a-senha/", {"cpf": NOBODY, "captcha": solve()})(client)


ANSWERS = {
    "a public page": (get("/entrar/"), 200),
    "a person's page": (of_a_person("/conta/"), 200),
    "the administration": (of_staff("/admin/"), 200),
    "a list of the administration": (of_staff("/admin/accounts/user/"), 200),
    "JSON": (of_a_person("/pessoas/busca/?q=ana"), 200),
    "a download that streams": (own_data, 200),
    "the captcha's challenge": (get("/captcha/challenge/"), 200),
    "health": (get("/health/live"), 200),
    "readiness": (get("/health/ready"), 200),
    "metrics for a stranger": (get("/metrics", REMOTE_ADDR="203.0.113.9"), 404),
    "a way to the door": (get("/conta/"), 302),
    "a way to https": (lambda client: client.get("/entrar/"), 301),
    "a way to the slash": (get("/entrar"), 301),
    "a host that is not ours": (get("/", HTTP_HOST="evil.example"), 400),
    "without https, a host that is not ours": (lambda client: client.get("/", HTTP_HOST="evil.example"), 400),
    "no page": (get("/nao-existe/"), 404),
    "another method": (post("/redefinir-senha/MQ/abc-def/"), 405),
    "a dead link": (get("/redefinir-senha/nova/"), 410),
    "too often": (too_often, 429),
    "a form of a stranger": (post("/sair/"), 302),
    "a static file": (static_file(), 200),
    "a static file that did not change": (static_file_unchanged, 304),
    "no static file": (get("/static/nao-existe.css"), 404),
}


@pytest.mark.parametrize(("ask", "status"), ANSWERS.values(), ids=ANSWERS)
def test_asvs_3_4_1_and_3_4_3_to_6_every_kind_of_answer_is_guarded(client, db, settings, ask, status):
    settings.SECURE_SSL_REDIRECT = True

    response = ask(client)

    assert response.status_code == status
    assert_is_guarded(response)


@pytest.mark.parametrize("name", [name for name in ANSWERS if "static file" not in name])
def test_asvs_14_3_2_no_cache_keeps_any_answer_but_a_static_file(client, db, settings, name):
    ask, _status = ANSWERS[name]
    settings.SECURE_SSL_REDIRECT = True

    assert "no-store" in ask(client)["Cache-Control"]


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("POST", "/redefinir-senha/MQ/abc-def/", "GET"),
        ("DELETE", "/entrar/", "GET, POST"),
        ("GET", "/conta/sessoes/uso/", "POST"),
        ("POST", "/conta/sessoes/", "GET"),
        ("POST", "/health/live", "GET"),
        ("POST", "/admin/requests_app/accessgrant/1/change/", "GET"),
    ],
)
def test_a_way_of_asking_that_an_address_does_not_take_gets_a_page_that_says_so(client, db, method, address, allowed):
    client.force_login(superuser())

    response = client.generic(method, address)

    assert response.status_code == 405
    assert set(allowed.split(", ")) <= set(response["Allow"].split(", "))
    assert "<h1>Este endereço não recebe este envio</h1>" in response.content.decode()
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert response["Content-Length"] == str(len(response.content))
    assert "no-store" in response["Cache-Control"]


def test_a_program_that_takes_no_pages_gets_none(client, db):
    response = client.post("/health/live", headers={"Accept": "application/json"})

    assert (response.status_code, response.content) == (405, b"")


@pytest.mark.parametrize(("problem", "status"), [(RuntimeError, 500), ("away", 503)])
def test_asvs_3_4_3_to_6_an_error_is_guarded_too(client, db, monkeypatch, problem, status):
    def broken(*args, **kwargs):
        raise OperationalError("the server is gone") if problem == "away" else problem("broken")

    client.raise_request_exception = False
    monkeypatch.setattr("accounts.throttle.take", broken)

    response = post("/entrar/", {"username": NOBODY, "password": "x" * 20})(client)

    assert response.status_code == status
    assert_is_guarded(response)


def everything():
    """All rows of all tables."""
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in apps.get_models()}


@pytest.mark.parametrize("method", ["options", "trace", "put", "patch", "delete", "head", "propfind", "x" * 40])
@pytest.mark.parametrize("address", ["/", "/entrar/", "/esqueci-a-senha/", "/redefinir-senha/nova/", "/admin/"])
def test_a_method_that_no_page_has_changes_nothing_and_tells_nothing(client, db, method, address):
    person = UserFactory()  # and what is sent would sign in, or ask for a link, if it were posted
    sent = {"username": person.cpf, "password": PASSWORD, "cpf": person.cpf, "captcha": solve(), "x": "segredo"}
    form = {"content_type": "application/x-www-form-urlencoded", "HTTP_COOKIE": "session=segredo-no-cookie"}
    before = everything()

    response = client.generic(method.upper(), address, urlencode(sent), secure=True, **form)

    assert everything() == before
    assert response.status_code in {200, 302, 403, 405, 410}
    assert "segredo" not in response.content.decode()
    assert_is_guarded(response)


# --- nginx ----------------------------------------------------------------------------------------------------------
class Portal(BaseHTTPRequestHandler):
    """Stands in for the portal: an answer with its mark and one header of each name."""

    def do_GET(self):
        self.send_response(200)
        for name in ("X-Content-Type-Options", "Cache-Control", "Retry-After", "Content-Security-Policy"):
            self.send_header(name, "of-the-portal")
        self.send_header("X-Request-ID", "0" * 32)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def nginx(tmp_path):
    """The site as it ships before a portal; returns ``ask(method, path, body, by_https)`` and a way to take it away."""
    if not services.NGINX:
        pytest.skip("nginx is missing; `make test` installs it")
    portal = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    threading.Thread(target=portal.serve_forever, daemon=True).start()
    plain, port = services.free_port(), services.free_port()
    proxy.make_certificate(tmp_path)
    site = proxy.site(tmp_path, http=plain, https=port, web_servers=(portal.server_port,))
    process = proxy.start(proxy.configuration(tmp_path, site))
    trust = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))

    def ask(method, path, body=None, *, by_https=True):
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trust)
            if by_https
            else http.client.HTTPConnection("127.0.0.1", plain, timeout=20)
        )
        connection.request(method, path, body)
        response = connection.getresponse()
        response.body = response.read().decode()
        connection.close()
        return response

    def take_away():
        portal.shutdown()
        portal.server_close()

    ask.take_away = take_away
    try:
        yield ask
    finally:
        services.stop(process)
        portal.server_close()


def test_asvs_3_4_1_and_3_4_3_to_6_what_nginx_answers_by_itself_is_guarded_too(nginx):
    refused = nginx("GET", "/admin/")
    too_big = nginx("POST", "/entrar/", b"x" * 3_000_000)
    traced = nginx("TRACE", "/")
    nginx.take_away()
    away = nginx("GET", "/entrar/")

    assert [answer.status for answer in (refused, too_big, traced, away)] == [403, 413, 405, 503]
    for answer in (refused, too_big, traced, away):
        assert_is_guarded(answer, by_https=True)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "nginx/" not in answer.headers["Server"]
    assert away.headers["Retry-After"] == "30"
    assert "Retry-After" not in refused.headers


def test_asvs_3_4_3_to_6_the_way_from_http_to_https_is_guarded_too(nginx):
    led_on = nginx("GET", "/entrar/?next=/conta/", by_https=False)
    refused = nginx("GET", "/" + "x" * 40_000, by_https=False)

    assert (led_on.status, led_on.headers["Location"]) == (301, "https://sistemas.tjms.jus.br/entrar/?next=/conta/")
    assert refused.status == 414
    for answer in (led_on, refused):
        assert_is_guarded(answer, by_https=False)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "nginx"
        assert "nginx/" not in answer.body


def test_nginx_adds_nothing_to_what_the_portal_answers(nginx):
    answer = nginx("GET", "/entrar/")

    for name in ("X-Content-Type-Options", "Cache-Control", "Retry-After", "Content-Security-Policy"):
        assert answer.headers.get_all(name) == ["of-the-portal"]
    assert "Permissions-Policy" not in answer.headers


@pytest.mark.parametrize("name", ["portal_away.html", "portal_too_large.html"])
def test_asvs_3_4_3_the_page_of_an_absent_portal_may_wear_its_own_style_and_no_other(name):
    page = (services.ROOT / "deploy" / name).read_text()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in (services.ROOT / "deploy/nginx.conf").read_text()
