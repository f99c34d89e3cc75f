"""The logs: one object on one line, told apart by web request, and nobody's data in any."""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

import pytest
from django.conf import settings

from accounts import correlation
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import UserFactory, cpf_of
from bnmp_portal import logs
from bnmp_portal.tests import services
from conftest import start_portal_process

from .test_settings import line_at_stop, values

CPF = cpf_of(77)
FORMATTED = f"{CPF[:3]}.{CPF[3:6]}.{CPF[6:9]}-{CPF[9:]}"
LINK = "/redefinir-senha/MTI/cx3abc-0123456789abcdef/"
FIELDS = {"timestamp", "level", "logger", "message", "request_id", "process"}


@pytest.fixture(params=["json", "line"])
def kind(request):
    return request.param


@pytest.fixture
def written(kind):
    """What a logger of our own wrote, through the filters and the form of the settings."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter(kind))
    handler.addFilter(correlation.Mark())
    handler.addFilter(logs.Redact())
    logger = logging.getLogger("portal.test")
    logger.addHandler(handler)
    logger.propagate = False  # pytest-xdist cannot carry every character in its reports
    yield logger, stream.getvalue
    logger.propagate = True
    logger.removeHandler(handler)


# --- What stands in no line -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "stands"),
    [
        (f"Gone: {LINK}", "Gone: /redefinir-senha/…"),
        (f"/x/{FORMATTED.replace('.', '-')}", f"/x/{logs.cpf.masked(CPF)}"),
        ("2026-123-456 789-01", "2026-123-456 789-01"),
        (f"person {CPF} and {FORMATTED}", f"person {logs.cpf.masked(CPF)} and {logs.cpf.masked(CPF)}"),
        (f"cpf={CPF}&x=1", f"cpf={logs.cpf.masked(CPF)}&x=1"),
        ("111.222.333-44", "***.222.333-**"),  # looks like one; whether it can be one is no matter
        ("12345678901", "12345678901"),  # eleven digits that are none
        ("1" + CPF, "1" + CPF),
        ("to ana.souza+x@tjms.jus.br now", "to …@tjms.jus.br now"),
        ("?q=ana%40tjms.jus.br", "?q=…%40tjms.jus.br"),
        ("smtp://portal:palavra@smtp.tjms.jus.br:25", "smtp://portal:…@smtp.tjms.jus.br:25"),
        ("portal@vm1 ready.", "portal@vm1 ready."),
        ("one\ntwo\x1b[2J\r", "one?two?[2J?"),
    ],
)
def test_asvs_16_2_5_what_a_message_must_not_tell(said, stands):
    assert logs.redacted(said) == stands


def test_a_traceback_tells_no_more_than_a_message(written, kind):
    logger, output = written
    try:
        int(f"{LINK} of {FORMATTED}, {CPF} at ana.souza@tjms.jus.br")
    except ValueError:
        logger.exception("It failed for %s", CPF, stack_info=True)

    told = output()
    for secret in ("cx3abc", CPF, FORMATTED, "ana.souza"):
        assert secret not in told
    assert "Traceback (most recent call last)" in told
    assert "test_a_traceback_tells_no_more" in told
    if kind == "json":
        (line,) = told.splitlines()
        masked = logs.cpf.masked(CPF)
        assert json.loads(line)["exception"].endswith(f"'/redefinir-senha/… of {masked}, {masked} at …@tjms.jus.br'")
        assert "Stack (most recent call last)" in json.loads(line)["stack"]


def test_a_long_line_is_no_long_wait():
    """What somebody writes into an address is searched in time that grows with its length."""
    assert logs.redacted("a" * 200_000 + "@") == "a" * 200_000 + "@"


# --- What a line is -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["json"], indirect=True)
def test_a_line_is_one_object_whatever_was_said(written):
    logger, output = written
    with correlation.of("f" * 32):
        logger.warning("one\ntwo\u2028three %s", {"a": "ç"}, extra={"request": LINK, "data": {"args": CPF}})

    (line,) = output().splitlines()
    said = json.loads(line)
    assert set(said) == FIELDS
    assert (said["level"], said["logger"], said["request_id"]) == ("WARNING", "portal.test", "f" * 32)
    assert said["message"].startswith("one?two")
    assert said["message"].endswith("{'a': 'ç'}")
    assert datetime.fromisoformat(said["timestamp"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize("kind", ["line"], indirect=True)
def test_for_people_it_is_a_line_that_nobody_can_forge(written):
    logger, output = written
    logger.error("one\n2026-11-23 00:00:00 INFO portal.test a lie")

    (line,) = output().splitlines()
    assert " ERROR portal.test one?2026" in line


def test_lines_are_for_machines_but_in_the_demonstration():
    assert values("LOG_FORMAT") == ["json"]
    assert values("LOG_FORMAT", LOG_FORMAT="line") == ["line"]
    assert values("LOG_FORMAT", PORTAL_DEMO="1") == ["line"]
    assert values("LOG_FORMAT", PORTAL_DEMO="1", LOG_FORMAT="JSON") == ["json"]
    assert "LOG_FORMAT" in line_at_stop(LOG_FORMAT="xml")
    assert "MONITORING_ADDRESSES" in line_at_stop(MONITORING_ADDRESSES="prometheus")


# --- Which request it belongs to ------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/nao-existe/", "/redefinir-senha/MQ/abc-def/"])
def test_django_s_own_line_about_a_refusal_has_the_requests_mark(client, db, caplog, path):
    caplog.handler.addFilter(mark := correlation.Mark())
    try:
        response = client.get(path)
    finally:
        caplog.handler.removeFilter(mark)

    (record,) = [record for record in caplog.records if record.name == "django.request"]
    assert record.request_id == response["X-Request-ID"]


def test_nobody_forges_the_mark(client, db, caplog):
    response = client.get("/nao-existe/", HTTP_REQUEST_ID="e" * 32, HTTP_X_REQUEST_ID="e" * 32)

    assert response["X-Request-ID"] != "e" * 32


# --- The real processes ---------------------------------------------------------------------------------------------
CSRF = "a" * 32


def lines(process):
    """The process's log, each line read as the object that it must be."""
    return [json.loads(line) for line in process.output.splitlines()]


def ask_for_a_link(server, cpf):
    """Post the form of step 3; the request's mark."""
    web = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    form = {"csrfmiddlewaretoken": CSRF, "cpf": cpf, "captcha": solve()}
    headers = {"Cookie": f"csrf={CSRF}", "Content-Type": "application/x-www-form-urlencoded"}
    web.request("POST", f"/esqueci-a-senha/?cpf={cpf}", urlencode(form), headers)
    answer = web.getresponse()
    answer.read()
    web.close()
    assert answer.status == 302
    return answer.headers["X-Request-ID"]


@pytest.mark.django_db(transaction=True)
def test_one_mark_leads_from_the_form_to_the_mail_and_nobody_is_named(portal_server, worker_process, smtp_sink):
    person = UserFactory()

    request_id = ask_for_a_link(portal_server, person.cpf)
    (mail,) = smtp_sink.wait(1, to=person.email)
    services.wait_for(lambda: "SENT" in worker_process.output, worker_process.process, worker_process.log)
    link = re.search(r"/redefinir-senha/\S+", mail.text())[0]
    web = http.client.HTTPConnection(urlsplit(portal_server.url).netloc, timeout=30)
    web.request("GET", link)
    web.getresponse().read()
    web.close()
    portal_server.stop()
    worker_process.stop()

    told = {"web": lines(portal_server), "worker": lines(worker_process)}
    for process in told.values():
        assert all(set(line) >= FIELDS for line in process)
    (access,) = [
        line for line in told["web"] if line["request_id"] == request_id and line["logger"] == "gunicorn.access"
    ]
    assert (access["method"], access["path"], access["status"]) == ("POST", "/esqueci-a-senha/", 302)
    assert access["address"] == "127.0.0.1"
    assert access["milliseconds"] >= 0
    assert access["bytes"] >= 0
    of_the_mail = [line["message"] for line in told["worker"] if line["request_id"] == request_id]
    assert any(re.fullmatch(r"Mail [0-9a-f-]{36} \(password_reset\): SENT", message) for message in of_the_mail)
    assert any("security RESET_REQUESTED" in message for message in of_the_mail)
    # The start and the end of both are lines of the log too.
    assert any("Booting worker" in line["message"] for line in told["web"])
    assert any(line["path"] == "/redefinir-senha/…" for line in told["web"] if "path" in line)
    assert any(line["message"].endswith(" ready.") for line in told["worker"])
    uid, token = link.split("/")[2:4]
    for process in (portal_server, worker_process):
        for secret in (person.cpf, person.email, person.email.partition("@")[0], token, f"{uid}/"):
            assert secret not in process.output


@pytest.mark.django_db(transaction=True)
def test_celerys_own_lines_about_the_bells_answer_have_the_mark_too(portal_server, worker_process, smtp_sink):
    request_id = ask_for_a_link(portal_server, UserFactory().cpf)

    def said():
        marked = [line for line in lines(worker_process) if line["request_id"] == request_id]
        return any("succeeded" in line["message"] for line in marked)

    services.wait_for(said, worker_process.process, worker_process.log)


@pytest.mark.django_db(transaction=True)
def test_a_request_that_no_server_could_read_is_a_line_too(portal_server):
    with services.socket.create_connection(("127.0.0.1", urlsplit(settings.PORTAL_URL).port)) as raw:
        raw.sendall(b"GARBAGE\x00\r\n\r\n")
        raw.recv(1000)

    assert lines(portal_server)


@pytest.mark.django_db(transaction=True)
def test_for_people_the_server_writes_lines(transactional_db, tmp_path):
    port = services.free_port()
    arguments = ("-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}")
    server = start_portal_process(tmp_path / "web.log", "gunicorn", *arguments, LOG_FORMAT="line")
    try:
        services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
        web = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        web.request("GET", f"/nao-existe/{FORMATTED}?q={CPF}")
        request_id = web.getresponse().headers["X-Request-ID"]
        web.close()
    finally:
        server.stop()

    (line,) = [line for line in server.output.splitlines() if "gunicorn.access" in line]
    assert re.search(
        rf' INFO gunicorn.access 127.0.0.1 "GET /nao-existe/\*\*\*\.\d{{3}}\.\d{{3}}-\*\*" 404 \d+ \d+ms {request_id}$',
        line,
    )


def test_a_librarys_mistake_in_a_log_line_is_no_error_of_ours():
    record = logging.LogRecord("library", logging.WARNING, __file__, 1, "%s and %s of ana@tjms.jus.br", (1,), None)
    assert logs.Redact().filter(record)
    assert record.getMessage() == "%s and %s of …@tjms.jus.br"
