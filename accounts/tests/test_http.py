"""What stands between the web and the views: whom a request comes from, and what every answer carries."""

from __future__ import annotations

import http.client
import re
from urllib.parse import urlsplit

import pytest
from django.test import RequestFactory

from accounts.http import client_address, device_of
from accounts.models import SecurityEvent
from accounts.tests.factories import EmploymentFactory, UserFactory, cpf_of
from bnmp_portal.tests import services
from conftest import start_portal_process

NOBODY = cpf_of(9_000_000)


# --- Whom a request comes from --------------------------------------------------------------------------------------
PROXIES = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"]
ADDRESSES = {
    "nobody is trusted": ([], "203.0.113.5", "198.51.100.7", "203.0.113.5"),
    "nobody is trusted, not even this machine": ([], "127.0.0.1", "198.51.100.7", "127.0.0.1"),
    "no header": (PROXIES, "127.0.0.1", "", "127.0.0.1"),
    "one proxy": (PROXIES, "127.0.0.1", "198.51.100.7", "198.51.100.7"),
    "what the client wrote is on the left": (PROXIES, "127.0.0.1", "6.6.6.6, 7.7.7.7, 198.51.100.7", "198.51.100.7"),
    "the client says it is our proxy": (PROXIES, "127.0.0.1", "6.6.6.6, 10.0.0.9, 198.51.100.7", "198.51.100.7"),
    "two proxies": (PROXIES, "127.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
    "two proxies by IPv6": (PROXIES, "2001:db8:1::1", "2001:db8:2::7, 2001:db8:1::2", "2001:db8:2::7"),
    "somebody who is no proxy": (PROXIES, "203.0.113.5", "198.51.100.7", "203.0.113.5"),
    "only proxies": (PROXIES, "127.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "spaces and commas": (PROXIES, "127.0.0.1", " , 198.51.100.7 ,, ", "198.51.100.7"),
    "written long": (PROXIES, "127.0.0.1", "2001:DB8:0:0::7", "2001:db8::7"),
    "IPv4 on an IPv6 socket": (PROXIES, "::ffff:127.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
    "of this link, with its interface": (PROXIES, "fe80::1%eth0", "", "fe80::1"),
    "no address at all": (PROXIES, "127.0.0.1", "unknown", None),
    "a script": (PROXIES, "127.0.0.1", "<script>", None),
    "a unix socket": (PROXIES, "", "198.51.100.7", None),
}


@pytest.mark.parametrize(("proxies", "remote", "forwarded", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_asvs_4_1_3_the_address_is_the_last_that_a_proxy_of_ours_vouches_for(
    settings, proxies, remote, forwarded, expected
):
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR=forwarded)

    assert client_address(request) == expected


@pytest.mark.parametrize("name", ["HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_CLIENT_IP", "HTTP_TRUE_CLIENT_IP"])
def test_asvs_4_1_3_no_other_header_is_believed(settings, name):
    settings.TRUSTED_PROXIES = PROXIES

    assert client_address(RequestFactory().get("/", **{name: "for=6.6.6.6"})) == "127.0.0.1"


@pytest.mark.parametrize("remote", ["fe80::1%eth0", "", "::ffff:198.51.100.7", "2001:db8::1"])
def test_an_address_of_any_kind_can_be_recorded(client, db, remote):
    response = client.post("/entrar/", {"username": NOBODY, "password": "x" * 20}, REMOTE_ADDR=remote)

    assert response.status_code == 200
    assert SecurityEvent.objects.count() == 1


def test_a_browsers_name_is_kept_on_one_line_and_within_the_column():
    request = RequestFactory().get("/", HTTP_USER_AGENT="Naveg\r\nador\x00\u202e 1.0" + "x" * 500)

    assert device_of(request) == ("Navegador 1.0" + "x" * 500)[:200]


@pytest.fixture
def https_only(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.TRUSTED_PROXIES = ["127.0.0.1"]


@pytest.mark.parametrize(
    ("remote", "forwarded", "status"),
    [
        ("127.0.0.1", "https", 200),
        ("127.0.0.1", " HTTPS ", 200),
        ("127.0.0.1", "http", 301),
        ("127.0.0.1", "https://evil", 301),
        ("127.0.0.1", None, 301),
        ("203.0.113.5", "https", 301),
        ("", "https", 301),
    ],
)
def test_asvs_4_1_3_only_our_proxy_may_say_that_it_was_https(client, db, https_only, remote, forwarded, status):
    headers = {"HTTP_X_FORWARDED_PROTO": forwarded} if forwarded else {}

    response = client.get("/entrar/", REMOTE_ADDR=remote, **headers)

    assert response.status_code == status
    if status == 301:
        assert response["Location"] == "https://testserver/entrar/"


def test_a_proxy_that_says_http_of_an_encrypted_hop_is_believed_too(client, db, https_only):
    response = client.get("/entrar/", secure=True, HTTP_X_FORWARDED_PROTO="http")

    assert response.status_code == 301


def test_a_load_balancer_that_speaks_http_gets_its_answer(client, db, https_only):
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200


# --- The host -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "testserver@evil.example", "", "a b", "[::1"]
)
@pytest.mark.parametrize("address", ["/", "/entrar/", "/esqueci-a-senha/", "/admin/", "/nao-existe/"])
def test_fault_1_a_host_that_is_not_ours_is_refused(client, db, host, address):
    response = client.get(address, HTTP_HOST=host)

    assert response.status_code == 400
    assert "evil" not in response.content.decode()


@pytest.mark.parametrize("name", ["HTTP_X_FORWARDED_HOST", "HTTP_X_HOST", "HTTP_X_FORWARDED_SERVER", "HTTP_FORWARDED"])
def test_fault_1_no_header_changes_an_address_of_ours(client, db, settings, name):
    settings.TRUSTED_PROXIES = ["127.0.0.1"]

    for address in ("/entrar/", "/conta/", "/entrar/?next=https://evil.example/", "/admin/", "/esqueci-a-senha/"):
        response = client.get(address, **{name: "evil.example"})
        page = response.content.decode().replace("https://evil.example/", "")  # the hidden field of next, escaped
        assert "evil" not in page
        assert "evil" not in response.headers.get("Location", "")


# --- What every answer carries --------------------------------------------------------------------------------------
PUBLIC = [
    "/",
    "/orientacoes/",
    "/entrar/",
    "/entrar/certificado/",
    "/esqueci-a-senha/",
    "/esqueci-a-senha/enviado/",
    "/redefinir-senha/nova/",  # 410
    "/redefinir-senha/MQ/abc-def/",  # 410
    "/senha-alterada/",
    "/conta/",  # 302
    "/sair/",  # 405
    "/nao-existe/",  # 404
]
PRIVATE = ["/", "/conta/", "/conta/alterar-senha/", "/solicitacoes/", "/solicitacoes/nova/", "/admin/"]  # the last: 302


def policy_of(response):
    return {
        name: set(sources)
        for name, *sources in (part.split() for part in response["Content-Security-Policy"].split(";") if part.strip())
    }


def assert_is_guarded(response):
    policy = policy_of(response)
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == {"'none'"}
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == {"'self'"}
    assert "object-src" not in policy  # so that the default holds
    assert "unsafe" not in response["Content-Security-Policy"]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] in {"same-origin", "no-referrer"}
    assert response["Cross-Origin-Opener-Policy"] == response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]


@pytest.mark.parametrize("address", PUBLIC)
def test_asvs_3_4_3_to_6_every_public_page_is_guarded(client, db, address):
    assert_is_guarded(client.get(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_asvs_3_4_3_to_6_every_page_of_a_person_is_guarded(client, db, address):
    client.force_login(EmploymentFactory().user)

    assert_is_guarded(client.get(address))


def test_asvs_3_4_3_to_6_an_answer_to_a_mistake_is_guarded_too(make_client, db):
    person = UserFactory()
    client = make_client(enforce_csrf_checks=True)
    client.force_login(person)

    assert_is_guarded(client.post("/entrar/", {}))
    assert_is_guarded(client.post("/sair/"))
    assert_is_guarded(client.get("/admin/", follow=True))
    assert_is_guarded(make_client().post("/entrar/", {"username": "x", "password": "y"}))
    refused = make_client().get("/", HTTP_HOST="evil.example")
    assert policy_of(refused)["frame-ancestors"] == policy_of(refused)["default-src"] == {"'none'"}


def test_asvs_3_4_3_an_error_of_ours_is_guarded_and_tells_nothing(client, db, monkeypatch):
    def broken(*args):
        raise RuntimeError("segredo-do-servidor")

    client.raise_request_exception = False
    monkeypatch.setattr("accounts.throttle.take", broken)

    response = client.post("/entrar/", {"username": NOBODY, "password": "a-senha-que-digitei"})

    page = response.content.decode()
    assert response.status_code == 500
    assert_is_guarded(response)
    assert 'lang="pt-br"' in page.lower()
    for secret in ("segredo-do-servidor", "a-senha-que-digitei", "Traceback"):
        assert secret not in page


@pytest.mark.parametrize("where", ["get", "post", "stale post"])
def test_asvs_3_4_3_googles_parts_may_load_on_the_page_with_the_captcha_and_nowhere_else(
    make_client, db, settings, where
):
    settings.RECAPTCHA_PUBLIC_KEY, settings.RECAPTCHA_PRIVATE_KEY = "public", "private"
    client = make_client(enforce_csrf_checks=where == "stale post")

    response = client.get("/esqueci-a-senha/") if where == "get" else client.post("/esqueci-a-senha/", {"cpf": NOBODY})

    policy = policy_of(response)
    assert response.status_code == 200
    assert policy["script-src"] == {"'self'", "https://www.google.com", "https://www.gstatic.com"}
    assert policy["frame-src"] == {"https://www.google.com"}
    assert "unsafe" not in response["Content-Security-Policy"]
    assert policy_of(client.get("/entrar/"))["script-src"] == {"'self'"}


def test_asvs_3_4_3_the_administration_runs_no_inline_script(client, db):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    for address in ("/admin/", "/admin/accounts/user/", "/admin/accounts/securityevent/"):
        policy = policy_of(client.get(address))
        assert policy["script-src"] == {"'self'"}
        assert policy["default-src"] == {"'none'"}
        assert policy["frame-ancestors"] == {"'none'"}


def test_every_answer_of_the_people_search_is_json_and_is_not_sniffed(client, db):
    client.force_login(UserFactory())

    response = client.get("/pessoas/busca/?q=<script>")

    assert response["Content-Type"] == "application/json"
    assert response["X-Content-Type-Options"] == "nosniff"


# --- Cookies --------------------------------------------------------------------------------------------------------
def test_asvs_3_3_2_and_3_3_4_cookies_are_out_of_reach_of_scripts_and_of_other_sites(client, db):
    person = UserFactory()
    client.get("/entrar/")
    client.post("/entrar/", {"username": person.cpf, "password": "jabuticaba no quintal azul"})

    assert set(client.cookies) == {"csrf", "session", "known-device"}
    for cookie in client.cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == "/"
        assert not cookie["domain"]
        assert person.cpf not in cookie.value


def test_asvs_3_3_1_to_4_and_3_4_1_behind_https_the_cookies_are_the_hosts_own_and_the_browser_stays_there(
    transactional_db, tmp_path
):
    person = UserFactory()
    port = services.free_port()
    server = start_portal_process(
        tmp_path / "web.log",
        *("gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}"),
        PORTAL_URL="https://sistemas.tjms.jus.br",
        ALLOWED_HOSTS="sistemas.tjms.jus.br",
        TRUSTED_PROXIES="127.0.0.1",
    )

    def ask(method, *, body=None, **more):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {
            "Host": "sistemas.tjms.jus.br",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "198.51.100.7",
            "Referer": "https://sistemas.tjms.jus.br/entrar/",
            "Content-Type": "application/x-www-form-urlencoded",
            **more,
        }
        connection.request(method, "/entrar/", body, headers)
        response = connection.getresponse()
        page = response.read().decode()
        connection.close()
        return response, page

    def cookies_of(response):
        return dict(line.split("=", 1) for line in response.headers.get_all("Set-Cookie") or [])

    try:
        services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
        shown, page = ask("GET")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
        csrf = cookies_of(shown)["__Host-csrf"]
        body = f"username={person.cpf}&password=jabuticaba+no+quintal+azul&csrfmiddlewaretoken={token}"
        entered, _ = ask("POST", body=body, Cookie=f"__Host-csrf={csrf.split(';')[0]}")
        plain, _ = ask("GET", **{"X-Forwarded-Proto": "http"})
    finally:
        server.stop()

    assert (shown.status, entered.status, plain.status) == (200, 302, 301)
    assert plain.headers["Location"] == "https://sistemas.tjms.jus.br/entrar/"
    assert urlsplit(entered.headers["Location"]).netloc == ""
    cookies = {"__Host-csrf": csrf, **cookies_of(entered)}
    assert set(cookies) == {"__Host-csrf", "__Host-session", "__Host-known-device"}
    for attributes in cookies.values():
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= {
            part.strip().lower() for part in attributes.split(";")
        }
        assert "domain" not in attributes.lower()
    assert shown.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert SecurityEvent.objects.get(kind=SecurityEvent.Kind.SIGNED_IN).address == "198.51.100.7"
