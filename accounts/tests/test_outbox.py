"""The outbox: owed with the deed, claimed once, sent, retried, superseded or given up."""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import timedelta

import pytest
from celery import current_app
from django.core.mail import EmailMultiAlternatives
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts import outbox
from accounts.models import MailStatus, OutgoingMail
from bnmp_portal.tests import services

from .factories import UserFactory

KIND = "test_message"


@pytest.fixture
def kind(monkeypatch):
    """A kind of our own; what follows from an outcome is noted in ``follows``."""
    follows = []

    def build(mail):
        return EmailMultiAlternatives("Assunto", "Corpo", to=[mail.recipient.email])

    made = outbox.Kind(
        "Teste",
        build=build,
        sent=lambda mail: follows.append(("sent", mail.pk)),
        dropped=lambda mail: follows.append(("dropped", mail.pk)),
        lives=timedelta(hours=1),
    )
    monkeypatch.setitem(outbox.KINDS, KIND, made)
    made.__dict__["follows"] = follows
    return made


def owe(person=None, about=None):
    with transaction.atomic():
        outbox.owe(KIND, recipient=person or UserFactory(), about=about or uuid.uuid4().int % 2**40)
    return OutgoingMail.objects.latest("pk")


def age(mail, **by):
    """As if it had been owed, and due, earlier."""
    then = timezone.now() - timedelta(**by)
    OutgoingMail.objects.filter(pk=mail.pk).update(created_at=then, next_at=then)


# --- Owing -----------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_second_mail_about_the_same_thing_is_the_same_mail(kind):
    person = UserFactory()
    owe(person, about=7)
    owe(person, about=7)
    assert OutgoingMail.objects.count() == 1


@pytest.mark.django_db
def test_the_database_holds_that_too(kind):
    mail = owe(about=7)
    with pytest.raises(IntegrityError), transaction.atomic():
        OutgoingMail.objects.create(kind=KIND, recipient=mail.recipient, object_id=7)


@pytest.mark.django_db
def test_an_unknown_kind_is_refused():
    with pytest.raises(KeyError):
        outbox.owe("no_such_message", recipient=UserFactory(), about=1)


@pytest.mark.django_db(transaction=True)
def test_a_mail_outside_a_transaction_is_refused(kind):
    person = UserFactory()
    with pytest.raises(transaction.TransactionManagementError):
        outbox.owe(KIND, recipient=person, about=1)


@pytest.mark.django_db(transaction=True)
def test_the_mail_is_forgotten_with_the_deed(kind):
    person = UserFactory()

    class DeedFailedError(Exception):
        pass

    @transaction.atomic
    def deed():
        outbox.owe(KIND, recipient=person, about=1)
        raise DeedFailedError

    with pytest.raises(DeedFailedError):
        deed()
    assert not OutgoingMail.objects.exists()


def wakes():
    """The messages that lie in the broker, taken out."""
    with current_app.connection_for_read() as broker, broker.SimpleQueue("portal") as queue:
        found = []
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                return found
            message.ack()
            found.append(message)


@pytest.mark.django_db(transaction=True)
def test_one_wake_for_each_transaction_and_nothing_in_it(kind):
    people = [UserFactory(), UserFactory()]
    current_app.control.purge()
    with transaction.atomic():
        for number, person in enumerate(people):
            outbox.owe(KIND, recipient=person, about=number)
    (message,) = wakes()
    assert message.headers["task"] == "accounts.tasks.send_pending_mail"
    arguments, named, _ = message.payload if isinstance(message.payload, list) else json.loads(message.body)
    assert (arguments, named) == ([], {})
    assert not any(person.email in repr(message.__dict__) for person in people)


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_is_not_felt(kind, monkeypatch):
    person = UserFactory()

    def refuse(*_arguments, **_named):
        raise OperationalError("Connection refused")

    monkeypatch.setattr(current_app.amqp.__class__, "send_task_message", property(lambda _self: refuse))
    with transaction.atomic():
        outbox.owe(KIND, recipient=person, about=1)
    assert OutgoingMail.objects.filter(status=MailStatus.PENDING).count() == 1


# --- Claiming --------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_claimed_mail_is_nobody_elses_until_its_lease_runs_out(kind):
    mail = owe()
    first = outbox.claim_one()
    assert first.pk == mail.pk
    assert outbox.claim_one() is None
    OutgoingMail.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    second = outbox.claim_one()
    assert (second.pk, second.lease_token != first.lease_token) == (mail.pk, True)


@pytest.mark.django_db
def test_what_has_waited_longest_is_claimed_first_and_what_is_not_due_not_at_all(kind):
    young, old, later = owe(), owe(), owe()
    age(old, minutes=5)
    OutgoingMail.objects.filter(pk=later.pk).update(next_at=timezone.now() + timedelta(minutes=5))
    claimed = [outbox.claim_one(), outbox.claim_one(), outbox.claim_one()]
    assert [mail and mail.pk for mail in claimed] == [old.pk, young.pk, None]


@pytest.mark.django_db(transaction=True)
def test_eight_workers_share_twenty_mails_and_none_is_claimed_twice(kind):
    person = UserFactory()
    with transaction.atomic():
        for number in range(20):
            outbox.owe(KIND, recipient=person, about=number)
    claimed, barrier = [], threading.Barrier(8)

    def work():
        barrier.wait()
        try:
            while mail := outbox.claim_one():
                claimed.append(mail.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(OutgoingMail.objects.values_list("pk", flat=True))


# --- Sending ---------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_mail_goes_out_once_with_its_own_message_id(kind, smtp_sink):
    mail = owe()
    assert outbox.send_due() == 1
    assert outbox.send_due() == 0
    (delivery,) = smtp_sink.deliveries
    assert delivery.recipients == [mail.recipient.email]
    assert delivery.message["Message-ID"] == f"<{mail.uuid}@tjms.jus.br>"
    mail.refresh_from_db()
    assert (mail.status, mail.attempts, mail.error, mail.lease_token) == (MailStatus.SENT, 1, "", None)
    assert mail.sent_at is not None
    assert kind.follows == [("sent", mail.pk)]


@pytest.mark.django_db
def test_a_mail_that_may_not_go_out_any_more_is_superseded(kind, smtp_sink, monkeypatch):
    def build(_mail):
        raise outbox.SupersededError("A pessoa já trocou a senha.")

    object.__setattr__(kind, "build", build)
    mail = owe()
    outbox.send_due()
    mail.refresh_from_db()
    assert (mail.status, mail.error) == (MailStatus.SUPERSEDED, "A pessoa já trocou a senha.")
    assert (smtp_sink.deliveries, kind.follows) == ([], [("dropped", mail.pk)])


@pytest.mark.django_db
def test_a_mail_older_than_what_it_carries_dies_instead_of_arriving_dead(kind, smtp_sink):
    dead, alive = owe(), owe()
    age(dead, minutes=61)
    age(alive, minutes=59)
    outbox.send_due()
    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [[alive.recipient.email]]
    dead.refresh_from_db()
    assert dead.status == MailStatus.SUPERSEDED


@pytest.mark.django_db
def test_not_now_waits_longer_each_time_and_gives_up_after_about_three_days(kind, smtp_sink):
    object.__setattr__(kind, "lives", None)
    smtp_sink.refuse = "451 volte mais tarde"
    mail = owe()
    waits = []
    while mail.status == MailStatus.PENDING:
        outbox.send_due()
        mail.refresh_from_db()
        if mail.status == MailStatus.PENDING:
            waits.append(mail.next_at - timezone.now())
            age(mail)
    minutes = [round(wait.total_seconds() / 60) for wait in waits]
    assert minutes[:5] == [1, 2, 5, 15, 30]
    assert minutes == sorted(minutes)
    assert max(minutes) == 6 * 60
    assert timedelta(days=2, hours=12) < sum(waits, timedelta()) < timedelta(days=3, hours=12)
    assert mail.error == "451 volte mais tarde"
    assert (mail.status, kind.follows) == (MailStatus.FAILED, [("dropped", mail.pk)])


@pytest.mark.django_db
def test_a_recipient_refused_for_good_fails_at_once_with_the_servers_words(kind, smtp_sink):
    smtp_sink.refuse = "550 caixa inexistente"
    mail = owe()
    outbox.send_due()
    mail.refresh_from_db()
    assert (mail.status, mail.error, mail.attempts) == (MailStatus.FAILED, "550 caixa inexistente", 1)


@pytest.mark.django_db
def test_a_refusal_of_one_mail_does_not_stop_the_next(kind, smtp_sink):
    refused, welcome = owe(), owe()
    age(refused, minutes=1)
    take, smtp_sink.refuse = smtp_sink.handle_DATA, "550 não"

    async def refuse_the_first(*arguments):
        answer = await take(*arguments)
        smtp_sink.refuse = None
        return answer

    smtp_sink.handle_DATA = refuse_the_first
    try:
        assert outbox.send_due() == 1
    finally:
        del smtp_sink.handle_DATA
    refused.refresh_from_db()
    welcome.refresh_from_db()
    assert (refused.status, welcome.status) == (MailStatus.FAILED, MailStatus.SENT)


@pytest.mark.django_db
def test_a_server_that_is_away_costs_no_attempt_and_is_tried_again_for_days(kind, smtp_sink, settings):
    object.__setattr__(kind, "lives", None)
    settings.EMAIL_PORT = services.free_port()
    first, second = owe(), owe()
    age(first, days=4)
    assert outbox.send_due() == 0
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.attempts) == (MailStatus.PENDING, 0)
    assert timezone.now() < first.next_at < timezone.now() + timedelta(minutes=5)
    assert "indisponível" in first.error
    assert second.lease_token is None  # the first told enough: the others were left alone

    age(first, days=8)
    outbox.send_due()
    first.refresh_from_db()
    assert first.status == MailStatus.FAILED


@pytest.mark.django_db
def test_a_lease_that_ran_out_during_a_slow_dialogue_records_nothing(kind, smtp_sink):
    mail = owe()
    slow = outbox.claim_one()
    OutgoingMail.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    quick = outbox.claim_one()
    assert outbox.settle(slow, MailStatus.FAILED, error="tarde demais") is False
    assert outbox.settle(quick, MailStatus.SENT) is True
    mail.refresh_from_db()
    assert (mail.status, mail.error, kind.follows) == (MailStatus.SENT, "", [("sent", mail.pk)])


@pytest.mark.django_db
def test_a_mail_that_cannot_be_made_is_retried_and_does_not_stop_the_others(kind, smtp_sink):
    broken, fine = owe(), owe()
    age(broken, minutes=1)
    build = kind.build

    def build_or_break(mail):
        if mail.pk == broken.pk:
            raise ZeroDivisionError
        return build(mail)

    object.__setattr__(kind, "build", build_or_break)
    assert outbox.send_due() == 1
    broken.refresh_from_db()
    fine.refresh_from_db()
    assert (broken.status, broken.attempts, fine.status) == (MailStatus.PENDING, 1, MailStatus.SENT)
    assert "Erro interno" in broken.error


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_sends_what_was_owed(worker_process, smtp_sink):
    from accounts import resets

    person = UserFactory()
    resets.ask(person.cpf, address="127.0.0.1")
    (delivery,) = smtp_sink.wait(1)
    assert delivery.recipients == [person.email]
    deadline = time.monotonic() + 10
    while OutgoingMail.objects.get().status != MailStatus.SENT and time.monotonic() < deadline:
        time.sleep(0.05)  # the worker records it right after the server's answer
    assert OutgoingMail.objects.get().status == MailStatus.SENT
