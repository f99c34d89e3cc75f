"""The outbox: owed with the deed, claimed once, sent, retried, superseded or given up."""

from __future__ import annotations

import json
import logging
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

from accounts import correlation, outbox
from accounts.models import Heartbeat, MailStatus, OutgoingMail, SecurityEvent
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
        outbox.owe(KIND, recipient=(person or UserFactory()).pk, about=about or uuid.uuid4().int % 2**40)
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
        outbox.owe("no_such_message", recipient=UserFactory().pk, about=1)


@pytest.mark.django_db(transaction=True)
def test_a_mail_outside_a_transaction_is_refused(kind):
    person = UserFactory()
    with pytest.raises(transaction.TransactionManagementError):
        outbox.owe(KIND, recipient=person.pk, about=1)


@pytest.mark.django_db(transaction=True)
def test_the_mail_is_forgotten_with_the_deed(kind):
    person = UserFactory()

    class DeedFailedError(Exception):
        pass

    @transaction.atomic
    def deed():
        outbox.owe(KIND, recipient=person.pk, about=1)
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
            outbox.owe(KIND, recipient=person.pk, about=number)
    (message,) = wakes()
    assert message.headers["task"] == "accounts.tasks.send_pending_mail"
    arguments, named, _ = message.payload if isinstance(message.payload, list) else json.loads(message.body)
    assert (arguments, named) == ([], {})
    assert not any(person.email in repr(message.__dict__) for person in people)


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_is_not_felt(kind, monkeypatch, caplog):
    person = UserFactory()

    def refuse(*_arguments, **_named):
        raise OperationalError("Connection refused")

    monkeypatch.setattr(current_app.amqp.__class__, "send_task_message", property(lambda _self: refuse))
    with transaction.atomic():
        outbox.owe(KIND, recipient=person.pk, about=1)
    assert OutgoingMail.objects.filter(status=MailStatus.PENDING).count() == 1
    assert "The broker did not take the wake: OperationalError" in caplog.text


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


@pytest.mark.django_db
def test_mails_that_are_due_at_the_same_moment_are_claimed_in_the_order_in_which_they_were_owed(kind):
    mails = [owe() for _ in range(5)]
    due = timezone.now() - timedelta(minutes=1)
    for mail in reversed(mails):  # each is written anew, and so lies behind the one owed after it
        OutgoingMail.objects.filter(pk=mail.pk).update(next_at=due)
    claimed = [outbox.claim_one() for _ in mails]
    assert [mail and mail.pk for mail in claimed] == [mail.pk for mail in mails]


@pytest.mark.django_db(transaction=True)
def test_eight_workers_share_twenty_mails_and_none_is_claimed_twice(kind):
    person = UserFactory()
    with transaction.atomic():
        for number in range(20):
            outbox.owe(KIND, recipient=person.pk, about=number)
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
def test_a_refusal_by_policy_is_mostly_about_us_and_is_tried_again(kind, smtp_sink):
    """A relay that forgot us, or a block list: nothing that the recipient's mailbox did."""
    smtp_sink.refuse = "554 5.7.1 Relay access denied"
    mail = owe()
    outbox.send_due()
    mail.refresh_from_db()
    assert (mail.status, mail.attempts, mail.error) == (MailStatus.PENDING, 1, "554 5.7.1 Relay access denied")


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


@pytest.mark.django_db
def test_a_kind_of_another_release_waits_for_a_worker_of_that_release(kind, smtp_sink, monkeypatch):
    for _ in range(3):
        age(owe(), minutes=5)
    OutgoingMail.objects.update(kind="kind_of_tomorrow")
    owe()
    assert outbox.send_due() == 1
    waiting = OutgoingMail.objects.filter(kind="kind_of_tomorrow")
    assert set(waiting.values_list("status", "lease_token")) == {(MailStatus.PENDING, None)}


@pytest.mark.django_db
def test_a_mail_that_somebody_must_see_to_fails_where_they_look(kind, smtp_sink):
    def build(_mail):
        raise outbox.UndeliverableError("A pessoa não tem e-mail no cadastro.")

    object.__setattr__(kind, "build", build)
    mail = owe()
    outbox.send_due()
    mail.refresh_from_db()
    assert (mail.status, mail.error) == (MailStatus.FAILED, "A pessoa não tem e-mail no cadastro.")
    assert kind.follows == [("dropped", mail.pk)]


@pytest.mark.django_db
def test_what_the_server_says_to_a_sender_that_it_refuses_is_kept_for_the_operators(kind, smtp_sink, monkeypatch):
    async def refuse(sink, server, session, envelope, address, options):
        return "550 5.7.1 remetente sem permissao"

    monkeypatch.setattr(type(smtp_sink), "handle_MAIL", refuse, raising=False)
    mail = owe()
    assert outbox.send_due() == 0
    mail.refresh_from_db()
    assert (mail.status, mail.attempts) == (MailStatus.PENDING, 0)
    assert "550 5.7.1 remetente sem permissao" in mail.error


@pytest.mark.django_db
def test_in_a_long_round_each_mail_is_a_sign_of_life(kind, smtp_sink):
    beats = []
    object.__setattr__(kind, "sent", lambda _mail: beats.append(Heartbeat.objects.get(name=outbox.SWEEP).at))
    for _ in range(3):
        owe()
    assert outbox.send_due() == 3
    assert len(set(beats)) == 3


# --- Stopping --------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_process_that_is_told_to_end_begins_no_other_mail(kind, smtp_sink, monkeypatch):
    stopping = threading.Event()
    monkeypatch.setattr(outbox, "stopping", stopping)
    object.__setattr__(kind, "sent", lambda _mail: stopping.set())  # the signal comes while the first is on its way
    first, second = owe(), owe()
    age(first, minutes=1)
    assert outbox.send_due() == 1
    assert outbox.send_due() == 0
    second.refresh_from_db()
    assert (second.status, second.lease_token) == (MailStatus.PENDING, None)


# --- Trying again ----------------------------------------------------------------------------------------------------
def settled(mail, status, **fields):
    OutgoingMail.objects.filter(pk=mail.pk).update(status=status, **fields)
    mail.refresh_from_db()
    return mail


@pytest.mark.django_db
def test_a_mail_that_failed_goes_out_when_somebody_tries_again_and_it_is_known_who(kind, smtp_sink):
    by = UserFactory()
    mail = settled(owe(), MailStatus.FAILED, attempts=20, error="550 caixa cheia")
    assert not outbox.why_not_retry(mail)
    outbox.try_again(mail.pk, by=by)
    assert outbox.send_due() == 1
    mail.refresh_from_db()
    assert (mail.status, mail.attempts, mail.error) == (MailStatus.SENT, 1, "")
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.MAIL_RETRIED)
    assert (event.actor, event.user, event.detail) == (by, mail.recipient, "Teste")


@pytest.mark.django_db
def test_a_mail_that_waits_for_hours_can_be_tried_at_once(kind, smtp_sink):
    mail = owe()
    OutgoingMail.objects.update(next_at=timezone.now() + timedelta(hours=6), attempts=12)
    outbox.try_again(mail.pk, by=UserFactory())
    assert outbox.send_due() == 1
    mail.refresh_from_db()
    assert (mail.status, mail.attempts) == (MailStatus.SENT, 13)


@pytest.mark.django_db
def test_after_a_week_of_silence_trying_again_gives_the_server_another_week(kind, smtp_sink, settings):
    object.__setattr__(kind, "lives", None)
    settings.EMAIL_PORT = services.free_port()
    mail = owe()
    age(mail, days=8)
    settled(mail, MailStatus.FAILED)
    outbox.try_again(mail.pk, by=UserFactory())
    outbox.send_due()
    mail.refresh_from_db()
    assert (mail.status, mail.attempts) == (MailStatus.PENDING, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "state",
    [
        {"status": MailStatus.SENT, "sent_at": timezone.now()},
        {"status": MailStatus.SUPERSEDED},
        {"status": MailStatus.PENDING},  # due: the next sweep takes it anyway
        {"status": MailStatus.PENDING, "lease_until": timezone.now() + timedelta(days=1), "lease_token": uuid.uuid4()},
    ],
)
def test_what_was_sent_is_replaced_or_is_on_its_way_is_not_tried_again(kind, smtp_sink, state):
    mail = settled(owe(), **state)
    assert outbox.why_not_retry(mail)
    with pytest.raises(outbox.RetryRefusedError, match=mail.get_status_display()):
        outbox.try_again(mail.pk, by=UserFactory())
    assert OutgoingMail.objects.values().get() == OutgoingMail.objects.filter(pk=mail.pk, **state).values().get()
    assert not SecurityEvent.objects.exists()


@pytest.mark.django_db
def test_what_has_lapsed_meanwhile_is_refused_with_a_way_out(kind, smtp_sink):
    mail = owe()
    age(mail, minutes=61)
    settled(mail, MailStatus.FAILED, error="550 não")
    with pytest.raises(outbox.RetryRefusedError, match="precisa fazer outro pedido"):
        outbox.try_again(mail.pk, by=UserFactory())
    mail.refresh_from_db()
    assert (mail.status, mail.error) == (MailStatus.FAILED, "550 não")


@pytest.mark.django_db
def test_what_cannot_go_out_again_is_made_anew_or_stays_as_it_is(kind, smtp_sink):
    made = []

    def again(mail, by):
        if made:
            raise outbox.RetryRefusedError("Não pode.")
        made.append((mail.pk, by))

    object.__setattr__(kind, "again", again)
    by, first, second = UserFactory(), owe(), owe()
    for mail in (first, second):
        settled(mail, MailStatus.FAILED, error="550 não")
    outbox.try_again(first.pk, by=by)
    with pytest.raises(outbox.RetryRefusedError, match="Não pode"):
        outbox.try_again(second.pk, by=by)
    first.refresh_from_db()
    second.refresh_from_db()
    assert made == [(first.pk, by)]
    assert (first.status, first.error) == (MailStatus.SUPERSEDED, "550 não (refeita em outra mensagem)")
    assert (second.status, second.error) == (MailStatus.FAILED, "550 não")
    assert outbox.send_due() == 0


@pytest.mark.django_db
def test_a_problem_that_was_solved_otherwise_is_put_away_once_and_it_is_known_by_whom(kind, smtp_sink):
    by, mail = UserFactory(), settled(owe(), MailStatus.FAILED, error="550 não")
    assert outbox.dismiss(mail.pk, by=by)
    assert not outbox.dismiss(mail.pk, by=by)
    mail.refresh_from_db()
    assert (mail.status, mail.error) == (MailStatus.SUPERSEDED, "550 não (dada por resolvida)")
    event = SecurityEvent.objects.get()
    assert (event.kind, event.actor, event.user) == (SecurityEvent.Kind.MAIL_DISMISSED, by, mail.recipient)
    assert outbox.send_due() == 0


# --- Coming back -----------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_mail_that_comes_back_has_failed_and_keeps_the_time_at_which_it_left(kind, smtp_sink):
    mail = owe()
    outbox.send_due()
    assert outbox.came_back(mail.uuid, "5.1.1 caixa\r\n inexistente " + "x" * 400)
    mail.refresh_from_db()
    assert mail.status == MailStatus.FAILED
    assert mail.sent_at is not None
    assert mail.error.startswith("Devolvida: 5.1.1 caixa inexistente x")
    assert len(mail.error) == 300
    assert not outbox.came_back(mail.uuid, "de novo")
    assert not outbox.why_not_retry(mail)


@pytest.mark.django_db
def test_only_a_mail_that_counted_as_sent_can_come_back(kind, smtp_sink):
    mail = owe()
    assert not outbox.came_back(mail.uuid, "5.1.1")
    assert not outbox.came_back(uuid.uuid4(), "5.1.1")
    mail.refresh_from_db()
    assert mail.status == MailStatus.PENDING


# --- Whose it is -----------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_what_the_worker_logs_bears_the_mark_of_the_web_request_that_owed_the_mail(kind, smtp_sink, client):
    from accounts import resets
    from accounts.tests.captcha_solver import solve

    person = UserFactory()
    answer = client.post("/esqueci-a-senha/", {"cpf": person.cpf, "captcha": solve()})
    assert answer.status_code == 302
    marks = []
    monitor = logging.Handler()
    monitor.emit = lambda record: marks.append((record.getMessage().split(" ")[0], correlation.current()))
    logging.getLogger("accounts").addHandler(monitor)
    try:
        resets.handle_all()
        outbox.send_due()
    finally:
        logging.getLogger("accounts").removeHandler(monitor)
    assert marks == [("security", answer["X-Request-ID"]), ("Mail", answer["X-Request-ID"])]
    assert correlation.current() == ""


@pytest.mark.parametrize(
    ("address", "given", "taken"),
    [
        ("10.0.0.1", "0123456789abcdef" * 2, True),
        ("10.0.0.1", "0123456789ABCDEF" * 2, False),
        ("10.0.0.1", "x" * 5000, False),
        ("10.0.0.1", "0123456789abcdef" * 2 + "\n", False),
        ("192.0.2.7", "0123456789abcdef" * 2, False),
    ],
)
def test_the_mark_is_the_proxys_or_our_own_and_never_the_clients(client, settings, address, given, taken):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    answer = client.get("/health/live", REMOTE_ADDR=address, HTTP_X_REQUEST_ID=given)
    assert (answer["X-Request-ID"] == given) is taken
    assert len(answer["X-Request-ID"]) == 32


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
