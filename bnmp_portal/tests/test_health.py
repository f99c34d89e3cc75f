"""What load balancers and monitors are told, and who is told it."""

from __future__ import annotations

import json
import re
import socket
import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import outbox
from accounts.models import Heartbeat, MailStatus, OutgoingMail
from accounts.tests.factories import UserFactory
from bnmp_portal import health
from bnmp_portal.celery import app
from bnmp_portal.tests import services

from .test_database_away import ask, server_without_database  # noqa: F401 - a fixture

PAGES = ("/health/status", "/metrics")
#: No address of ours: RFC 5737 keeps it for examples.
STRANGER = "203.0.113.5"


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """A busy machine is no broker that hangs."""
    monkeypatch.setattr(health, "BROKER_SECONDS", 30)


@pytest.fixture
def swept(db):
    outbox.beat()


def read(client, **headers):
    response = client.get("/health/status", **headers)
    return response.status_code, response.json()


def owe(number=1, **changes):
    return OutgoingMail.objects.create(kind="notice", recipient=UserFactory(), object_id=number, **changes)


def ago(**time):
    return timezone.now() - timedelta(**time)


# --- Load balancers -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_anybody_may_ask_whether_it_lives(client, db, path):
    response = client.get(path, REMOTE_ADDR=STRANGER, HTTP_X_FORWARDED_FOR=STRANGER)

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", *PAGES])
def test_a_probe_that_speaks_http_gets_its_answer_and_no_cache_keeps_it(client, swept, settings, path):
    settings.SECURE_SSL_REDIRECT = True

    response = client.get(path)

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert client.head(path).content == b""
    assert client.post(path).status_code == 405


# --- Who may read ---------------------------------------------------------------------------------------------------
MONITORS = ["127.0.0.1", "::1", "10.9.0.0/16"]
PASSED_ON = "HTTP_X_FORWARDED_FOR"
READERS = {
    "this machine": ([], "127.0.0.1", {}, True),
    "this machine by IPv6": ([], "::1", {}, True),
    "IPv4 on an IPv6 socket": ([], "::ffff:127.0.0.1", {}, True),
    "a network that was named": ([], "10.9.3.4", {}, True),
    "a monitor through our proxy": (["127.0.0.1"], "127.0.0.1", {PASSED_ON: "10.9.3.4"}, True),
    "a stranger": ([], STRANGER, {}, False),
    "a unix socket": ([], "", {}, False),
    "a stranger through our proxy": (["127.0.0.1"], "127.0.0.1", {PASSED_ON: STRANGER}, False),
    "a stranger who says to be a monitor": (["127.0.0.1"], "127.0.0.1", {PASSED_ON: f"127.0.0.1, {STRANGER}"}, False),
    "a stranger who says nothing readable": (["127.0.0.1"], "127.0.0.1", {PASSED_ON: "unknown"}, False),
    "through an nginx that nobody told us of": ([], "127.0.0.1", {PASSED_ON: STRANGER}, False),
    "the same, and the stranger helps": ([], "127.0.0.1", {PASSED_ON: "127.0.0.1"}, False),
    "the same with an empty list": ([], "127.0.0.1", {PASSED_ON: ""}, False),
    "a proxy that uses the standard's header": ([], "127.0.0.1", {"HTTP_FORWARDED": f"for={STRANGER}"}, False),
    "a proxy that uses nginx's own": ([], "127.0.0.1", {"HTTP_X_REAL_IP": STRANGER}, False),
    "our proxy, in a way we do not read": (["127.0.0.1"], "127.0.0.1", {"HTTP_X_REAL_IP": STRANGER}, False),
    "another machine that passes a monitor on": (["127.0.0.1"], STRANGER, {PASSED_ON: "10.9.3.4"}, False),
}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("proxies", "remote", "headers", "may"), READERS.values(), ids=READERS)
def test_asvs_4_1_3_only_monitors_read_it(client, swept, settings, path, proxies, remote, headers, may):
    settings.TRUSTED_PROXIES, settings.MONITORING_ADDRESSES = proxies, MONITORS

    assert client.get(path, REMOTE_ADDR=remote, **headers).status_code == (200 if may else 404)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["get", "post", "put", "options"])
def test_to_anybody_else_it_is_a_page_that_does_not_exist(make_client, swept, path, method):
    signed_in = make_client()
    signed_in.force_login(UserFactory(is_staff=True, is_superuser=True))

    for client in (make_client(enforce_csrf_checks=True), signed_in):
        refused = getattr(client, method)(path, REMOTE_ADDR=STRANGER)
        unknown = getattr(client, method)("/nao-existe", REMOTE_ADDR=STRANGER)

        assert (refused.status_code, unknown.status_code) == (404, 404)
        assert told(refused) == told(unknown)


def told(response):
    """Headers and page, but for what differs between any two answers."""
    headers = {name: value for name, value in response.headers.items() if name not in {"Expires", "X-Request-ID"}}
    return headers, re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.content.decode())


@pytest.mark.parametrize("path", PAGES)
def test_a_monitor_with_somebodys_provisional_password_is_not_sent_to_change_it(client, swept, path):
    client.force_login(UserFactory(must_change_password=True))

    assert client.get(path).status_code == 200


# --- What it says ---------------------------------------------------------------------------------------------------
def test_all_is_well(client, swept):
    status, said = read(client)

    sweep = said.pop("sweep_seconds")
    assert 0 <= sweep < 60
    assert (status, said) == (
        200,
        {
            "status": "ok",
            "problems": [],
            "database": "ok",
            "broker": "ok",
            "mails": {"due": 0, "waiting": 0, "failed": 0, "oldest_due_seconds": None},
        },
    )


def test_mails_are_counted_by_what_becomes_of_them(client, swept):
    for number in (1, 2):
        owe(number)
    owe(3, attempts=2, next_at=timezone.now() + timedelta(hours=6), created_at=ago(days=1))
    for number in (4, 5, 6):
        owe(number, status=MailStatus.FAILED)
    owe(7, status=MailStatus.SENT, sent_at=timezone.now())
    owe(8, status=MailStatus.SUPERSEDED)

    status, said = read(client)

    assert 0 <= said["mails"].pop("oldest_due_seconds") < 60
    assert said["mails"] == {"due": 2, "waiting": 1, "failed": 3}
    assert (status, said["problems"]) == (200, [])


@pytest.mark.parametrize(
    ("mail", "late"),
    [
        ({"next_at": {"minutes": 14}, "created_at": {"minutes": 14}}, False),
        ({"next_at": {"minutes": 16}, "created_at": {"minutes": 16}}, True),
        # Put off by its server for hours, and due again for a minute.
        ({"next_at": {"minutes": 1}, "created_at": {"hours": 9}, "attempts": 5}, False),
        ({"next_at": {"minutes": 16}, "created_at": {"hours": 9}, "attempts": 5}, True),
        ({"next_at": {"minutes": -200}, "created_at": {"hours": 9}, "attempts": 5}, False),
        # No server to be reached: the next try is always near.
        ({"next_at": {"minutes": -2}, "created_at": {"minutes": 16}}, True),
        ({"next_at": {"minutes": -2}, "created_at": {"minutes": 5}}, False),
        # Failed last week, and somebody pressed the button.
        ({"next_at": {"minutes": 1}, "created_at": {"days": 7}, "retried_at": {"minutes": 1}}, False),
        ({"next_at": {"minutes": 16}, "created_at": {"days": 7}, "retried_at": {"minutes": 16}}, True),
    ],
)
def test_a_mail_that_has_been_due_for_a_quarter_of_an_hour_is_a_problem(client, swept, mail, late):
    owe(**{name: ago(**value) if isinstance(value, dict) else value for name, value in mail.items()})

    status, said = read(client)

    assert (status, said["status"], said["problems"]) == ((503, "degraded", ["mail_late"]) if late else (200, "ok", []))


@pytest.mark.parametrize(("every", "age", "late"), [(10, 55, False), (10, 65, True), (60, 350, False), (60, 370, True)])
def test_a_sweep_that_stays_away_is_a_problem(client, db, settings, every, age, late):
    settings.OUTBOX_SWEEP_SECONDS = every
    Heartbeat.objects.create(name=outbox.SWEEP, at=ago(seconds=age))

    status, said = read(client)

    assert (status, said["problems"]) == ((503, ["sweep_late"]) if late else (200, []))


def test_so_is_one_that_never_was(client, db):
    response = client.get("/health/status")

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert (response.json()["problems"], response.json()["sweep_seconds"]) == (["sweep_late"], None)


def test_nobody_is_named(client, swept):
    person = owe(error="550 <pessoa@tjms.jus.br> unknown").recipient

    for path in PAGES:
        page = client.get(path).content.decode()
        assert "tjms.jus.br" not in page
        assert person.cpf not in page


# --- The broker -----------------------------------------------------------------------------------------------------
@pytest.fixture
def broker(monkeypatch):
    """Use another broker than the tests' own."""
    connect = app.connection_for_write

    def use(address, **options):
        monkeypatch.setattr(app, "connection_for_write", lambda: connect(address, transport_options=options))

    return use


@pytest.fixture
def silence():
    """The port of a server that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def knocks():
    return [thread for thread in threading.enumerate() if thread.name == "broker-knock"]


@pytest.mark.parametrize("scheme", ["redis", "sentinel", "amqp"])
def test_a_broker_that_refuses_is_named_and_is_no_reason_to_be_called_at_night(client, swept, broker, scheme):
    broker(f"{scheme}://127.0.0.1:{services.free_port()}/", master_name="portal", max_retries=0)

    status, said = read(client)

    assert (status, said["status"], said["broker"]) == (200, "ok", "unreachable")
    assert said["problems"] == ["broker_unreachable"]


def test_an_embedded_broker_is_its_folder(client, swept, broker, tmp_path):
    there = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path)}

    broker("filesystem://", **there)
    assert read(client)[1]["broker"] == "ok"

    broker("filesystem://", **dict.fromkeys(there, str(tmp_path / "missing")))
    assert read(client)[1]["broker"] == "unreachable"


@pytest.mark.parametrize("scheme", ["redis", "sentinel", "amqp"])
def test_the_answer_does_not_wait_for_a_broker_that_hangs(client, swept, broker, silence, monkeypatch, scheme):
    monkeypatch.setattr(health, "BROKER_SECONDS", 0.05)
    broker(f"{scheme}://127.0.0.1:{silence}/", master_name="portal", max_retries=0, socket_timeout=2)

    said = [read(client)[1] for _ in range(3)]

    assert [each["problems"] for each in said] == [["broker_unreachable"]] * 3
    (knock,) = knocks()  # still at the door: nobody waited for it, and three monitors sent one
    knock.join()


# --- The database ---------------------------------------------------------------------------------------------------
def test_without_its_database_it_says_so(server_without_database):  # noqa: F811
    status, headers, page = ask(server_without_database.url, "GET", "/health/status")

    said = json.loads(page)
    assert (status, headers["Retry-After"]) == (503, "5")
    assert (said["status"], said["database"], said["mails"], said["sweep_seconds"]) == (
        "degraded",
        "unreachable",
        None,
        None,
    )
    assert "database_unreachable" in said["problems"]
