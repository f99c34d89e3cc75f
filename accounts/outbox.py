"""The outbox: mail that is owed, claimed one at a time and sent. It knows no message (DESIGN §8).

The row is the promise; the broker only rings. Whatever dies, the next sweep finds what is due.
"""

from __future__ import annotations

import logging
import re
import smtplib
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr

from celery import current_app
from django.conf import settings
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from . import correlation, security
from .models import Heartbeat, MailStatus, OutgoingMail, SecurityEvent, User

log = logging.getLogger(__name__)

#: Twice the longest SMTP dialogue (``bnmp_portal.celery.STEPS``): a slow server must not be taken for a dead worker.
LEASE = timedelta(minutes=4)
#: Waits after the first, second… "not now" (4xx); then every six hours, about three days in all.
BACKOFF = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60, 120, 240, *[360] * 11))
#: Security or policy (RFC 3463, 3.8): mostly about us, such as a block list, and seldom for good.
POLICY = re.compile(r"\d{3} 5\.7\.\d")
#: A server that cannot be reached is tried again this soon, and for this long.
UNREACHABLE_RETRY = timedelta(minutes=3)
UNREACHABLE_FOR = timedelta(days=7)
#: How the error of a mail ends that somebody has seen to in another way.
DISMISSED = "(dada por resolvida)"
LAPSED = "O que esta mensagem levava já venceu. Quem a esperava precisa fazer outro pedido."

#: The name of the heartbeat.
SWEEP = "sweep"
#: Set when the process is told to end: the mail in hand is finished, and no other is begun.
stopping = threading.Event()
#: One mail at a time in each process: a process that is killed leaves at most one behind that the server has taken.
_sending = threading.Lock()
#: While many transactions follow one another: nobody is woken for each of them.
_wakes_later = ContextVar("wakes_later", default=False)


class SupersededError(Exception):
    """This mail must not go out any more; the sentence says why."""


class UndeliverableError(Exception):
    """This mail cannot go out as things are, and somebody must see to it; the sentence says why."""


class RetryRefusedError(Exception):
    """This mail cannot be tried again; the message is a sentence for the person who asked for it."""


@dataclass(frozen=True)
class Subject:
    """What a mail is about, for the staff: a name and the address of its page in the admin.

    ``address``: where its mails go, if not to the recipient's own e-mail.
    """

    text: str
    url: str
    address: str = ""


def _nothing(_mail: OutgoingMail) -> None:
    return None


def _no_subjects(_object_ids: Collection[int]) -> dict[int, Subject]:
    return {}


@dataclass(frozen=True)
class Kind:
    """How mails of one kind are made, and what follows.

    ``build`` runs outside any transaction and may raise SupersededError or UndeliverableError; secrets are made there,
    in memory.
    ``sent`` and ``dropped`` (superseded or given up) run in the transaction that records the outcome.
    ``lives``: an older mail is dropped instead of arriving dead.
    ``again`` makes anew what a mail that failed carried, where the mail itself cannot go out again; it may raise
    RetryRefusedError. ``final`` says why one that failed can be neither tried again nor made anew. ``subjects`` gives,
    for many object ids at once, what the staff see in their place.
    """

    label: str
    build: Callable[[OutgoingMail], EmailMultiAlternatives]
    sent: Callable[[OutgoingMail], None] = _nothing
    dropped: Callable[[OutgoingMail], None] = _nothing
    lives: timedelta | None = None
    again: Callable[[OutgoingMail, User], None] | None = None
    final: str = ""
    subjects: Callable[[Collection[int]], dict[int, Subject]] = _no_subjects


KINDS: dict[str, Kind] = {}


def register(name: str, kind: Kind) -> None:
    """Called by each app in ``AppConfig.ready``."""
    KINDS[name] = kind


def owe(kind: str, *, recipient: int, about: int) -> None:
    """Promise one mail to a person (by their key), in the transaction that makes it due.

    A second one about the same thing is the same mail. Raises KeyError for an unknown kind, and
    TransactionManagementError outside a transaction.
    """
    owe_all(kind, [(recipient, about)])


def owe_all(kind: str, mails: Iterable[tuple[int, int]]) -> None:
    """``owe`` of many at once: (recipient, about)."""
    if kind not in KINDS:
        raise KeyError(kind)
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("a mail is owed in the transaction that makes it due")
    cause = correlation.current()
    OutgoingMail.objects.bulk_create(
        [OutgoingMail(kind=kind, recipient_id=to, object_id=about, request_id=cause) for to, about in mails],
        ignore_conflicts=True,
    )
    ring_on_commit()


@contextmanager
def one_wake() -> Iterator[None]:
    """One wake for all transactions inside, in the end: a broker that hangs costs a second, not one for each."""
    token = _wakes_later.set(True)
    try:
        yield
    finally:  # what was owed before something went wrong is owed all the same
        _wakes_later.reset(token)
        ring()


def ring_on_commit() -> None:
    """One wake for each transaction, however many mails it owes."""
    if _wakes_later.get():
        return
    if all(entry[1] is not ring for entry in connection.run_on_commit):
        transaction.on_commit(ring, robust=True)


def ring(task: str = "accounts.tasks.send_pending_mail") -> None:
    """Wake a worker for this task. A broker that is away costs a second and a line in the log: the sweep comes."""
    try:
        current_app.send_task(task, retry=False, expires=60)
    except Exception as problem:  # noqa: BLE001 - each transport raises its own; the row is safe already
        log.warning("The broker did not take the wake: %s", type(problem).__name__)


def database_time() -> datetime:
    """The clock that leases are kept by: one for all workers."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def beat() -> None:
    """Note that the outbox is looked after, for ``/health/status``; in a long round, before each mail."""
    Heartbeat.objects.bulk_create(
        [Heartbeat(name=SWEEP, at=database_time())],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["at"],
    )


def claim_one() -> OutgoingMail | None:
    """Lease the mail that has waited longest, of several the one owed first; None when nothing is due.

    Committed before anything is sent.
    """
    while True:
        with transaction.atomic():
            now = database_time()
            # Of another release's kinds nothing is known here: they wait for a worker of that release.
            due = OutgoingMail.objects.filter(
                Q(lease_until=None) | Q(lease_until__lte=now),
                status=MailStatus.PENDING,
                kind__in=list(KINDS),
                next_at__lte=now,
            )
            mail = due.select_for_update(skip_locked=True, no_key=True).order_by("next_at", "pk").first()
            if mail is None:
                return None
            mail.lease_until, mail.lease_token = now + LEASE, uuid.uuid4()
            won = due.filter(pk=mail.pk).update(lease_until=mail.lease_until, lease_token=mail.lease_token)
        if won:
            return mail


def send_due() -> int:
    """Send all that is due over one connection; returns how many went out.

    Stops early when the server is away and when the process is told to end.
    """
    with _sending:
        server = django_mail.get_connection()
        sent = 0
        try:
            while not stopping.is_set():
                beat()
                if (mail := claim_one()) is None:
                    break
                with correlation.of(mail.request_id):
                    sent += deliver(mail, server)
        except ServerAwayError:
            pass
        finally:
            server.close()
    return sent


class ServerAwayError(Exception):
    """The mail server cannot be reached or does not want us: no fault of this mail."""


def deliver(mail: OutgoingMail, server: BaseEmailBackend) -> bool:
    """Make and send one claimed mail and record the outcome; True if the server took it.

    Raises ServerAwayError, with the mail put back, where trying the next one is no use.
    """
    kind = KINDS[mail.kind]
    try:
        message = _make(mail, kind)
    except SupersededError as why:
        settle(mail, MailStatus.SUPERSEDED, error=str(why))
        return False
    except UndeliverableError as why:
        settle(mail, MailStatus.FAILED, error=str(why))
        return False
    except Exception:
        log.exception("Mail %s (%s) could not be made", mail.uuid, mail.kind)
        retry_or_give_up(mail, "Erro interno ao montar a mensagem.")
        return False
    try:
        server.open()
        server.send_messages([message])
    except smtplib.SMTPRecipientsRefused as refused:
        code, answer = next(iter(refused.recipients.values()))
        _refused(mail, code, answer)
    except smtplib.SMTPDataError as refused:
        _refused(mail, refused.smtp_code, refused.smtp_error)
    except (smtplib.SMTPException, OSError) as problem:
        server.close()
        log.warning("The mail server is away: %s", type(problem).__name__)
        put_back(mail, f"Servidor de e-mail indisponível ({_words_of(problem)}).")
        raise ServerAwayError from problem
    except Exception:  # an address that no header can hold is found only when the message is written out
        log.exception("Mail %s (%s) could not be written out", mail.uuid, mail.kind)
        retry_or_give_up(mail, "Erro interno ao montar a mensagem.")
    else:
        return settle(mail, MailStatus.SENT)
    # What a refusal leaves in the dialogue must not meet the next mail.
    server.close()
    return False


def _make(mail: OutgoingMail, kind: Kind) -> EmailMultiAlternatives:
    if kind.lives and database_time() - mail.created_at > kind.lives:
        raise SupersededError("Venceu antes de sair.")
    message = kind.build(mail)
    # Who wrote it, and, on the envelope, where it goes if it cannot be delivered.
    message.extra_headers["From"] = settings.DEFAULT_FROM_EMAIL
    message.from_email = settings.BOUNCE_ADDRESS.replace("*", mail.uuid.hex)
    # The same for each copy, so that a mail program shows one.
    message.extra_headers["Message-ID"] = message_id(mail)
    message.extra_headers["Auto-Submitted"] = "auto-generated"
    return message


def message_id(mail: OutgoingMail) -> str:
    """``<uuid@domain of the sender>``."""
    return f"<{mail.uuid}@{parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition('@')[2]}>"


def _words_of(problem: Exception) -> str:
    """What the server answered, where it did: a sign-in or a sender that it refuses is for the operators to mend."""
    if isinstance(problem, smtplib.SMTPResponseException):
        return _answer(problem.smtp_code, problem.smtp_error)
    return type(problem).__name__


def _answer(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(text.split())}"[:250]


def _refused(mail: OutgoingMail, code: int, answer: bytes | str) -> None:
    sentence = _answer(code, answer)
    if code >= 500 and not POLICY.match(sentence):  # noqa: PLR2004 - RFC 5321, 4.2.1: 5yz is a permanent negative reply
        settle(mail, MailStatus.FAILED, error=sentence)
    else:
        retry_or_give_up(mail, sentence)


def _own(mail: OutgoingMail) -> Q:
    """Only the holder of the lease may record an outcome."""
    return Q(pk=mail.pk, lease_token=mail.lease_token, status=MailStatus.PENDING)


def settle(mail: OutgoingMail, status: MailStatus, *, error: str = "") -> bool:
    """Record the last outcome and what follows from it, in one transaction; False if the lease was lost meanwhile."""
    with transaction.atomic():
        held = OutgoingMail.objects.filter(_own(mail)).update(
            status=status,
            attempts=mail.attempts + (status != MailStatus.SUPERSEDED),
            sent_at=database_time() if status == MailStatus.SENT else None,
            lease_until=None,
            lease_token=None,
            error=error,
        )
        if not held:
            log.warning("Mail %s was claimed by another worker before its outcome was recorded", mail.uuid)
            return False
        mail.status = status
        kind = KINDS[mail.kind]
        (kind.sent if status == MailStatus.SENT else kind.dropped)(mail)
    log.info("Mail %s (%s): %s", mail.uuid, mail.kind, status)  # servers name the recipient in their answers
    return status == MailStatus.SENT


def retry_or_give_up(mail: OutgoingMail, error: str) -> None:
    """After a temporary refusal: wait longer each time, and give up after about three days."""
    if mail.attempts >= len(BACKOFF):
        settle(mail, MailStatus.FAILED, error=error)
        return
    OutgoingMail.objects.filter(_own(mail)).update(
        next_at=database_time() + BACKOFF[mail.attempts],
        attempts=mail.attempts + 1,
        lease_until=None,
        lease_token=None,
        error=error,
    )


def put_back(mail: OutgoingMail, error: str) -> None:
    """The server is away: no attempt is counted; given up only after a week."""
    now = database_time()
    if now - (mail.retried_at or mail.created_at) > UNREACHABLE_FOR:
        settle(mail, MailStatus.FAILED, error=error)
        return
    OutgoingMail.objects.filter(_own(mail)).update(
        next_at=now + UNREACHABLE_RETRY, lease_until=None, lease_token=None, error=error
    )


@transaction.atomic
def came_back(mail_uuid: uuid.UUID, reason: str) -> bool:
    """A delivery-status message says that a mail which the server took was not delivered after all (RFC 3464).

    True if it was a mail of ours that counted as sent; it is FAILED now, with the reason.
    """
    text = "".join(char if char.isprintable() else " " for char in reason)
    returned = OutgoingMail.objects.filter(uuid=mail_uuid, status=MailStatus.SENT).update(
        status=MailStatus.FAILED, error=f"Devolvida: {' '.join(text.split())}"[:300]
    )
    if returned:
        log.warning("Mail %s came back", mail_uuid)
    return bool(returned)


def why_not_retry(mail: OutgoingMail) -> str:
    """What the button asks before it is shown; nothing where the mail failed, or waits for a later try."""
    kind, now = KINDS[mail.kind], database_time()
    if mail.status == MailStatus.FAILED:
        has_lapsed = kind.again is None and kind.lives is not None and now - mail.created_at > kind.lives
        return kind.final or (LAPSED if has_lapsed else "")
    if mail.status == MailStatus.PENDING and mail.lease_until is None and mail.next_at > now:
        return ""
    return f"Esta mensagem está “{mail.get_status_display()}” e não precisa de outra tentativa."


@transaction.atomic
def try_again(pk: int, *, by: User, wake: bool = True) -> None:
    """Send a mail that failed once more, or at once one that waits ("Tentar de novo").

    What cannot go out again, because its password or its link is gone, is made anew (``Kind.again``). Who tries many
    rings (``wake``) once in the end. Raises RetryRefusedError, with a sentence for the person.
    """
    mail = OutgoingMail.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    if why_not := why_not_retry(mail):
        raise RetryRefusedError(why_not)
    kind, now = KINDS[mail.kind], database_time()
    changed: dict[str, object] = {"next_at": now}
    if mail.status == MailStatus.FAILED and kind.again:
        kind.again(mail, by)
        changed = {"status": MailStatus.SUPERSEDED, "error": f"{mail.error} (refeita em outra mensagem)"[-300:]}
    elif mail.status == MailStatus.FAILED:
        changed |= {"status": MailStatus.PENDING, "attempts": 0, "sent_at": None, "retried_at": now}
    OutgoingMail.objects.filter(pk=pk).update(**changed)
    security.record(SecurityEvent.Kind.MAIL_RETRIED, user=mail.recipient, actor=by, detail=kind.label)
    if wake:
        ring_on_commit()


def is_dismissed(mail: OutgoingMail) -> bool:
    """Whether somebody has seen to a mail that failed in another way."""
    return mail.status == MailStatus.SUPERSEDED and mail.error.endswith(DISMISSED)


@transaction.atomic
def dismiss(pk: int, *, by: User) -> bool:
    """Somebody has seen to a mail that failed in another way: it is no problem any more. False if it was none."""
    mail = OutgoingMail.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    if mail.status != MailStatus.FAILED:
        return False
    error = f"{mail.error} {DISMISSED}"[-300:]
    OutgoingMail.objects.filter(pk=pk).update(status=MailStatus.SUPERSEDED, error=error)
    security.record(SecurityEvent.Kind.MAIL_DISMISSED, user=mail.recipient, actor=by, detail=KINDS[mail.kind].label)
    return True
