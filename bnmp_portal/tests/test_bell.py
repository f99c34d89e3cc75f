"""The broker refuses, or takes the connection and says nothing: nobody who waits for a page feels it (DESIGN §8)."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import OutgoingMail, PasswordResetRequest
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import EmploymentFactory, UserFactory
from bnmp_portal.tests import services
from conftest import PortalProcess, process_environment, start_portal_process
from requests_app.models import AccessRequest, Status
from requests_app.tests.factories import UserTypeFactory, analyst, request_in

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("sqlite" in connection.vendor, reason="the embedded portal's broker is a folder"),
]
CSRF = "a" * 32
#: Seconds within which an answer must come, whatever the broker does: the promise, and here the socket's time-out.
PATIENCE = 3


@pytest.fixture(scope="module", params=["refuses", "hangs"])
def silent_broker(request) -> Iterator[str]:
    """The address of a Redis that is not there, or of one that was stopped in the middle of its work."""
    if request.param == "refuses":
        yield f"redis://127.0.0.1:{services.free_port()}/0"
        return
    own = services.Services()
    try:
        address = own.redis()
        [(process, _how)] = own.processes
        os.killpg(process.pid, signal.SIGSTOP)
        yield address
        os.killpg(process.pid, signal.SIGCONT)
    finally:
        own.end()


@pytest.fixture
def server(silent_broker, transactional_db, tmp_path) -> Iterator[PortalProcess]:
    port = urlsplit(settings.PORTAL_URL).port
    arguments = ("-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}")
    environment = {"CELERY_BROKER_URL": silent_broker}
    process = start_portal_process(tmp_path / "web.log", "gunicorn", *arguments, **environment)
    try:
        services.wait_for(lambda: "Booting worker" in process.output, process.process, process.log)
        yield process
    finally:
        process.stop()


@pytest.fixture
def post(server, make_client):
    """Post a form as somebody; the answer has ``PATIENCE`` seconds."""

    def send(user, path, **form):
        client = make_client()
        if user:
            client.force_login(user)
        session = f"; session={client.cookies['session'].value}" if user else ""
        web = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE)
        headers = {"Cookie": f"csrf={CSRF}{session}", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            web.request("POST", path, urlencode({"csrfmiddlewaretoken": CSRF, **form}), headers)
            answer = web.getresponse()
            return answer.status, answer.headers.get("Location"), answer.read().decode()
        finally:
            web.close()

    return send


def sweep(broker: str) -> str:
    """``manage.py send_pending_mail``, as the timer runs it while the broker is away."""
    return subprocess.run(
        [sys.executable, "manage.py", "send_pending_mail"],
        cwd=services.ROOT,
        env={**process_environment(), "CELERY_BROKER_URL": broker},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_form_decision_and_reset_answer_as_ever_and_the_timer_sends(post, silent_broker, server, smtp_sink):
    post(None, "/entrar/", username="52998224725", password="x")  # the first request loads what all others use
    bond, user_type, waiting, forgetful = (
        EmploymentFactory(),
        UserTypeFactory(),
        request_in(Status.PENDING),
        UserFactory(),
    )

    form = post(
        EmploymentFactory().user,
        "/solicitacoes/nova/",
        requester_email="lucia.goncalves@tjms.jus.br",
        requester_phone="(67) 3314-7851",
        beneficiary=bond.pk,
        user_type=user_type.pk,
        system=user_type.system_id,
        description="Consulta de mandados no atendimento.",
    )
    decision = post(analyst(), f"/admin/requests_app/accessrequest/{waiting.pk}/decidir/", to="APPROVED")
    reset = post(None, "/esqueci-a-senha/", cpf=forgetful.cpf, captcha=solve())

    filed = AccessRequest.objects.latest("pk")
    assert form[:2] == (302, f"/solicitacoes/{filed.protocol}/")
    assert decision[:2] == (302, f"/admin/requests_app/accessrequest/{waiting.pk}/change/")
    assert reset[:2] == (302, "/esqueci-a-senha/enviado/")
    waiting.refresh_from_db()
    assert waiting.status == Status.COMPLETED
    assert PasswordResetRequest.objects.count() == 1
    assert "did not take the wake" in server.output  # who runs the portal is told

    assert sweep(silent_broker) == "4 mensagem(ns) enviada(s).\n"
    addresses = {filed.requester_email, waiting.requester_email, waiting.beneficiary.email, forgetful.email}
    assert {recipient for delivery in smtp_sink.deliveries for recipient in delivery.recipients} == addresses
    assert set(OutgoingMail.objects.values_list("status", flat=True)) == {"SENT"}
