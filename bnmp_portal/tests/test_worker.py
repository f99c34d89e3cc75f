"""The real worker, told to stop, killed, or slow: the mail in hand, and the ones behind it (DESIGN §8)."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.utils import timezone

from accounts import outbox
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword
from accounts.tests.factories import EmploymentFactory, UserFactory
from bnmp_portal.tests import services
from conftest import PortalProcess, SmtpSink, start_portal_process
from requests_app import workflow
from requests_app.models import Status
from requests_app.tests.factories import analyst, request_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real_hashing]
PROVISIONAL = re.compile(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b")


@pytest.fixture
def start_worker(transactional_db, smtp_sink, tmp_path) -> Iterator[Callable[[], PortalProcess]]:
    from bnmp_portal.celery import app

    app.control.purge()
    started: list[PortalProcess] = []

    def start() -> PortalProcess:
        arguments = "-A bnmp_portal worker --loglevel INFO --without-gossip --without-mingle --without-heartbeat"
        worker = start_portal_process(tmp_path / f"worker-{len(started)}.log", "celery", *arguments.split())
        started.append(worker)
        services.wait_for(lambda: " ready." in worker.output, worker.process, worker.log)
        return worker

    yield start
    smtp_sink.open.set()
    for worker in started:
        worker.stop()


def approve(people: int = 1) -> None:
    """Approvals whose credentials are owed."""
    for _ in range(people):
        bond = EmploymentFactory(user__password=make_password(None))
        workflow.move(request_in(Status.PENDING, bond=bond).pk, Status.APPROVED, by=analyst())


def only_credential() -> OutgoingMail:
    """Of what is owed, the one mail with a password; the others are taken away."""
    OutgoingMail.objects.exclude(kind="credential").delete()
    return OutgoingMail.objects.get()


def until(condition: Callable[[], object], worker: PortalProcess) -> None:
    services.wait_for(condition, worker.process, worker.log, 60)


def copies(sink: SmtpSink, mail: OutgoingMail) -> list[str]:
    """What each copy of one mail carried."""
    own = [delivery for delivery in sink.deliveries if delivery.message["Message-ID"] == outbox.message_id(mail)]
    return [code for delivery in own for code in PROVISIONAL.findall(delivery.text())[:1]]


def test_sigterm_finishes_the_mail_in_hand_and_begins_no_other(start_worker, smtp_sink):
    smtp_sink.open.clear()
    approve(3)
    worker = start_worker()
    until(lambda: smtp_sink.deliveries, worker)  # the server has it and keeps its answer back

    worker.process.send_signal(signal.SIGTERM)
    until(lambda: "shutdown" in worker.output.lower(), worker)
    smtp_sink.open.set()

    assert worker.process.wait(60) == 0
    [in_hand] = smtp_sink.deliveries
    sent = OutgoingMail.objects.get(status=MailStatus.SENT)
    assert in_hand.message["Message-ID"] == outbox.message_id(sent)
    waiting = OutgoingMail.objects.exclude(pk=sent.pk)
    assert set(waiting.values_list("status", "lease_token", "attempts")) == {(MailStatus.PENDING, None, 0)}

    until(lambda: not OutgoingMail.objects.filter(status=MailStatus.PENDING).exists(), start_worker())
    assert len(smtp_sink.deliveries) == OutgoingMail.objects.count() == 6


def test_a_worker_killed_before_it_could_record_leaves_one_identical_copy(start_worker, smtp_sink):
    smtp_sink.open.clear()
    approve()
    first = only_credential()
    worker = start_worker()
    until(lambda: smtp_sink.to(first.recipient.email), worker)
    worker.process.kill()
    worker.process.wait()
    smtp_sink.open.set()
    first.refresh_from_db()
    assert (first.status, first.lease_token is None) == (MailStatus.PENDING, False)

    OutgoingMail.objects.update(lease_until=timezone.now())  # four minutes later
    until(lambda: OutgoingMail.objects.filter(status=MailStatus.SENT).exists(), start_worker())

    carried = copies(smtp_sink, first)
    assert len(carried) == 2
    assert len(set(carried)) == 1
    first.recipient.refresh_from_db()
    assert first.recipient.check_password(carried[0])
    assert ProvisionalPassword.objects.get().nonce == ""


def test_a_lease_that_runs_out_during_a_slow_dialogue_makes_one_identical_copy_and_one_outcome(start_worker, smtp_sink):
    """Two workers: the first waits for the server's answer so long that the second takes the mail for abandoned."""
    smtp_sink.open.clear()
    approve()
    mail = only_credential()
    slow = start_worker()
    until(lambda: smtp_sink.to(mail.recipient.email), slow)
    OutgoingMail.objects.update(lease_until=timezone.now())
    quick = start_worker()
    until(lambda: len(smtp_sink.to(mail.recipient.email)) == 2, quick)
    smtp_sink.open.set()

    until(lambda: OutgoingMail.objects.filter(status=MailStatus.SENT).exists(), quick)
    until(lambda: "claimed by another worker" in slow.output, slow)

    carried = copies(smtp_sink, mail)
    assert len(carried) == 2
    assert len(set(carried)) == 1
    mail.refresh_from_db()
    assert (mail.status, mail.attempts) == (MailStatus.SENT, 1)
    mail.recipient.refresh_from_db()
    assert mail.recipient.check_password(carried[0])


def test_the_bell_and_the_sweep_of_one_worker_never_send_two_mails_at_once(start_worker, smtp_sink):
    worker = start_worker()
    smtp_sink.open.clear()
    for _ in range(4):
        approve()  # each rings; the sweep comes by every second
    until(lambda: smtp_sink.deliveries, worker)
    assert OutgoingMail.objects.exclude(lease_token=None).count() == 1
    smtp_sink.open.set()
    until(lambda: not OutgoingMail.objects.filter(status=MailStatus.PENDING).exists(), worker)
    assert len(smtp_sink.deliveries) == OutgoingMail.objects.count() == 8
    assert smtp_sink.most_at_once == 1


@pytest.mark.skipif("sqlite" in connection.vendor, reason="the embedded portal's broker is a folder")
def test_a_worker_without_its_broker_goes_on_sweeping(start_worker, smtp_sink, tmp_path):
    own = services.Services()
    try:
        address = own.redis()
        [(redis, _how)] = own.processes
        arguments = "-A bnmp_portal worker --loglevel INFO --without-gossip --without-mingle --without-heartbeat"
        worker = start_portal_process(tmp_path / "worker.log", "celery", *arguments.split(), CELERY_BROKER_URL=address)
        try:
            until(lambda: " ready." in worker.output, worker)
            redis.kill()
            redis.wait()
            until(lambda: "Connection to broker lost" in worker.output, worker)
            person = UserFactory()
            with transaction.atomic():
                outbox.owe("password_reset", recipient=person.pk, about=1)
            smtp_sink.wait(1, to=person.email)
            assert worker.process.poll() is None
        finally:
            worker.stop()
    finally:
        own.end()
