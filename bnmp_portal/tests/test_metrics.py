"""What Prometheus reads: each request once, whichever process served it, and the work as the database knows it."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts import outbox
from accounts.models import MailStatus, OutgoingMail, SecurityEvent
from accounts.tests.factories import PASSWORD, UserFactory, cpf_of
from bnmp_portal import metrics
from bnmp_portal.tests import services
from conftest import start_portal_process
from requests_app import workflow
from requests_app.models import Status
from requests_app.tests.factories import analyst, request_in

from .test_database_away import ask, server_without_database  # noqa: F401 - a fixture


def samples(page):
    """(name, labels) -> value; fails on what Prometheus could not read."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.fixture
def read(make_client):
    """What ``/metrics`` says now, and how one number of it is looked up; None where there is none."""

    def values():
        found = samples(make_client().get("/metrics").content.decode())
        return lambda name, **labels: found.get((f"portal_{name}", tuple(sorted(labels.items()))))

    return values


# --- Requests -------------------------------------------------------------------------------------------------------
def test_it_is_the_text_that_prometheus_reads(client, db):
    response = client.get("/metrics")

    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert samples(response.content.decode())["portal_database_up", ()] == 1


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("get", "/orientacoes/", {"method": "GET", "view": "guidance", "status": "200"}),
        ("get", "/conta/", {"method": "GET", "view": "account", "status": "302"}),
        ("post", "/entrar/", {"method": "POST", "view": "login", "status": "200"}),
        ("get", "/redefinir-senha/MQ/abc-def/", {"method": "GET", "view": "password-reset-link", "status": "410"}),
        ("get", "/nao-existe/52998224725", {"method": "GET", "view": "-", "status": "404"}),
        ("put", "/nao-existe", {"method": "other", "view": "-", "status": "404"}),
    ],
)
def test_a_request_is_counted_by_the_name_of_its_view(client, db, read, method, path, labels):
    timed = {name: value for name, value in labels.items() if name != "status"}
    before = read()

    getattr(client, method)(path)

    after = read()
    for name, by in (("http_requests_total", labels), ("http_request_duration_seconds_count", timed)):
        assert (after(name, **by) or 0) - (before(name, **by) or 0) == 1


def test_a_fault_is_counted_too(client, db, read, monkeypatch):
    from requests_app import views

    monkeypatch.setattr(views, "render", lambda *_arguments, **_named: 1 / 0)
    client.raise_request_exception = False
    labels = {"method": "GET", "view": "guidance", "status": "500"}
    before = read()("http_requests_total", **labels) or 0

    client.get("/orientacoes/")

    assert read()("http_requests_total", **labels) == before + 1


def test_what_strangers_choose_becomes_no_series(client, db):
    """Neither an address, nor a query, nor a method of their own."""
    for number in range(5):
        client.get(f"/nao-existe-{number}/?q=segredo-{number}")
        client.generic(f"METHOD{number}", "/entrar/")

    page = client.get("/metrics").content.decode()

    assert 'method="other"' in page
    assert not re.search(r"nao-existe|segredo|METHOD", page)


# --- The work -------------------------------------------------------------------------------------------------------
def test_the_outbox_by_state_and_age(db, read):
    def owe(number, **changes):
        return OutgoingMail.objects.create(kind="notice", recipient=UserFactory(), object_id=number, **changes)

    now = timezone.now()
    assert read()("outbox_oldest_due_seconds") == 0
    owe(1, next_at=now - timedelta(minutes=20), created_at=now - timedelta(minutes=20))
    owe(2)
    owe(3, attempts=1, next_at=now + timedelta(hours=1))
    owe(4, status=MailStatus.FAILED)
    owe(5, status=MailStatus.SENT, sent_at=now)
    owe(6, status=MailStatus.SENT, sent_at=now - timedelta(hours=2))

    said = read()

    assert [said("outbox_mails", state=state) for state in ("due", "waiting", "failed")] == [2, 1, 1]
    assert 1200 <= said("outbox_oldest_due_seconds") < 1300
    assert said("outbox_sent_last_hour") == 1


def test_the_sweep_and_its_absence(db, read):
    assert read()("sweep_age_seconds") is None
    outbox.beat()
    assert 0 <= read()("sweep_age_seconds") < 60


def test_what_analysts_decide_and_not_what_others_do(db, read):
    decider = analyst()
    for to, note in ((Status.REJECTED, "motivo"), (Status.RETURNED, "motivo"), (Status.IN_REVIEW, "")):
        workflow.move(request_in(Status.PENDING).pk, to, by=decider, note=note)
    before = read()
    cancelled = request_in(Status.PENDING)
    workflow.move(cancelled.pk, Status.CANCELLED, by=cancelled.requester)
    workflow.move(request_in(Status.PENDING).pk, Status.REJECTED, by=decider, note="motivo")
    after = read()

    def difference(status):
        return after("decisions_last_hour", status=status) - before("decisions_last_hour", status=status)

    assert {status: difference(status) for status in ("APPROVED", "COMPLETED", "REJECTED", "RETURNED")} == {
        "APPROVED": 0,
        "COMPLETED": 0,
        "REJECTED": 1,
        "RETURNED": 0,
    }
    assert before("decisions_last_hour", status="REJECTED") >= 1
    assert after("decisions_last_hour", status="CANCELLED") is None


def test_resets_and_refused_sign_ins(client, db, read):
    client.post("/entrar/", {"username": cpf_of(9_000_000), "password": "x" * 20})
    client.post("/entrar/", {"username": UserFactory().cpf, "password": PASSWORD})
    SecurityEvent.objects.create(kind="PASSWORD_RESET", at=timezone.now() - timedelta(minutes=50))
    SecurityEvent.objects.create(kind="PASSWORD_RESET", at=timezone.now() - timedelta(minutes=70))

    said = read()

    assert said("security_events_last_hour", kind="SIGN_IN_FAILED") == 1
    assert said("security_events_last_hour", kind="SIGNED_IN") == 1
    assert said("security_events_last_hour", kind="PASSWORD_RESET") == 1
    assert {said("security_events_last_hour", kind=kind) for kind in ("RESET_REQUESTED", "THROTTLED")} == {0}


#: The last row; those at the end of an index; those of a partial one.
BOUNDED = re.compile(
    r"""MAX\("\w+"."id"\) AS "last" FROM "\w+"$"""
    r"""|"id" > \d|"accounts_securityevent"."at" >= """
    r"""|"status" = '?(PENDING|FAILED)"""
)


def test_an_old_portal_asks_as_few_rows_as_a_new_one(db, read, monkeypatch):
    """What happened long ago is not counted again: the tables that grow are read by index, and only their end."""
    monkeypatch.setattr(metrics, "LOOK_BACK", 2)
    now = timezone.now()
    for number in range(5):
        OutgoingMail.objects.create(
            kind="notice", recipient=UserFactory(), object_id=number, status=MailStatus.SENT, sent_at=now
        )

    with CaptureQueriesContext(connection) as asked:
        said = read()

    assert said("outbox_sent_last_hour") == 2
    assert len(asked) < 12
    growing = "accounts_outgoingmail|accounts_securityevent|requests_app_requestevent"
    for query in (query["sql"] for query in asked):
        if re.search(growing, query):
            assert BOUNDED.search(query), query


def test_without_its_database_a_server_still_tells_what_it_served(server_without_database):  # noqa: F811
    url = server_without_database.url
    ask(url, "GET", "/health/ready")

    status, _headers, page = ask(url, "GET", "/metrics")

    found = samples(page)
    refused = (("method", "GET"), ("status", "503"), ("view", "health-ready"))
    assert (status, found["portal_database_up", ()]) == (200, 0)
    assert found["portal_http_requests_total", refused] == 1
    assert not [name for name, _labels in found if name.startswith(("portal_outbox", "portal_security"))]


# --- The processes of one server ------------------------------------------------------------------------------------
@pytest.fixture
def server(transactional_db, tmp_path):
    port = urlsplit(settings.PORTAL_URL).port
    arguments = ("-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}")
    process = start_portal_process(tmp_path / "web.log", "gunicorn", *arguments, WEB_CONCURRENCY="2")
    try:
        services.wait_for(lambda: process.output.count("Booting worker") == 2, process.process, process.log)
        yield process
    finally:
        process.stop()


def lived(url):
    """How many times ``/health/live`` was answered, as whoever is asked just now says."""
    status, _headers, page = ask(url, "GET", "/metrics")
    assert status == 200
    key = "portal_http_requests_total", (("method", "GET"), ("status", "200"), ("view", "health-live"))
    return samples(page).get(key)


def folders(server):
    """Where the server's processes count."""
    return list(Path(tempfile.gettempdir()).glob(f"portal-metrics-{server.process.pid}-*"))


def kill_the_youngest(server):
    """As the system does when memory runs out; another takes its place."""
    born = re.findall(r"Booting worker with pid: (\d+)", server.output)
    os.kill(int(born[-1]), signal.SIGKILL)
    services.wait_for(lambda: server.output.count("Booting worker") > len(born), server.process, server.log)


def test_every_process_tells_of_all_and_a_dead_ones_counts_live_on(server):
    for _ in range(20):
        ask(server.url, "GET", "/health/live")
    assert {lived(server.url) for _ in range(8)} == {20}

    for round_ in (1, 2, 3):
        kill_the_youngest(server)
        for _ in range(4):
            ask(server.url, "GET", "/health/live")
        assert {lived(server.url) for _ in range(8)} == {20 + 4 * round_}

    (folder,) = folders(server)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 2 * 2  # a counter and a histogram for each seat, however many sat there

    server.stop()
    assert folders(server) == []
