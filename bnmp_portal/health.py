"""Whether the portal lives, can serve and does its work: for load balancers, monitors and ``make run``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.db.models import Case, Count, F, Min, Q, When
from django.db.models.functions import Coalesce, Least
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from accounts import history, outbox
from accounts.http import client_address, is_within
from accounts.models import Heartbeat, MailStatus, OutgoingMail

logger = logging.getLogger(__name__)

#: A mail that is due and has not left by then is late: ninety sweeps have passed it by.
LATE = timedelta(minutes=15)
#: What the broker has to answer in.
BROKER_SECONDS = 1.0

View = Callable[[HttpRequest], HttpResponse]


@login_not_required
@require_safe
@never_cache
def health_live(_request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@login_not_required
@require_safe
@never_cache
def health_ready(_request: HttpRequest) -> JsonResponse:
    """200 if the database answers, takes writes and guards its history, else 503.

    The broker is no condition: mail waits in the outbox without it.
    """
    try:
        missing, writable = history.missing_triggers(connection), is_writable()
    except Error:
        logger.exception("The database does not answer.")
        return JsonResponse({"status": "unavailable"}, status=503, headers={"Retry-After": "5"})
    if not writable:
        logger.error("The database takes no writes.")
        return JsonResponse({"status": "read-only"}, status=503, headers={"Retry-After": "5"})
    if missing:
        logger.error("History is not guarded, run migrate: %s", ", ".join(missing))
        return JsonResponse({"status": "history is not guarded"}, status=503, headers={"Retry-After": "5"})
    return JsonResponse({"status": "ok"})


def is_writable() -> bool:
    """A PostgreSQL that follows another, or was told so, answers and takes no writes."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        return bool(cursor.fetchone()[0] == "off")


def comes_from_a_monitor(request: HttpRequest) -> bool:
    """Whether it was sent from ``MONITORING_ADDRESSES``.

    One that some proxy passed on counts only if the proxy is ours and names whom it speaks for: behind an nginx that
    nobody told us of, all the world has this machine's address.
    """
    if is_within(request.META.get("REMOTE_ADDR", ""), settings.TRUSTED_PROXIES):
        ways = {"HTTP_FORWARDED", "HTTP_X_REAL_IP"} if not request.META.get("HTTP_X_FORWARDED_FOR") else set()
    else:
        ways = {"HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR"}
    return ways.isdisjoint(request.META) and is_within(client_address(request) or "", settings.MONITORING_ADDRESSES)


def for_monitors(view: View) -> View:
    """A page that monitors read and that for anybody else is not there."""

    @login_not_required
    @csrf_exempt  # a stranger's POST finds nothing either
    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        if not comes_from_a_monitor(request):
            raise Http404
        return never_cache(require_safe(view))(request)

    return wrapped


@dataclass(frozen=True)
class Mails:
    """What the outbox owes: how many, and for how long the oldest has been due (seconds)."""

    due: int
    waiting: int
    failed: int
    oldest_due_seconds: float | None


def seconds_since(then: datetime | None, now: datetime) -> float | None:
    return None if then is None else round(max((now - then).total_seconds(), 0), 1)


def read_mails() -> Mails:
    """As the database has it; only rows that wait or failed are looked at.

    A mail is due from when it was owed, or, once its server has put it off, from the time of its next try. A server
    that cannot be reached puts nothing off: that is ours to see.
    """
    now = outbox.database_time()
    is_due, untried = Q(next_at__lte=now), Q(attempts=0)
    since = Case(When(untried, then=Least("next_at", Coalesce("retried_at", "created_at"))), default=F("next_at"))
    found = OutgoingMail.objects.filter(status=MailStatus.PENDING).aggregate(
        due=Count("pk", filter=is_due), waiting=Count("pk", filter=~is_due), oldest=Min(since, filter=is_due | untried)
    )
    failed = OutgoingMail.objects.filter(status=MailStatus.FAILED).count()
    return Mails(found["due"], found["waiting"], failed, seconds_since(found["oldest"], now))


def read_sweep() -> float | None:
    """Seconds since a worker last began a sweep of the outbox; None if none ever did."""
    last = Heartbeat.objects.filter(name=outbox.SWEEP).first()
    return seconds_since(last.at if last else None, outbox.database_time())


class Knock(threading.Thread):
    """One look at whether the broker answers. In a thread: no setting bounds every transport and every fault."""

    def __init__(self) -> None:
        super().__init__(name="broker-knock", daemon=True)
        self.answered = False
        self.broker = current_app.connection_for_write()
        self.broker.get_transport_cls()  # loads its library, once: that is not the broker's time

    def run(self) -> None:
        try:
            with self.broker as broker:
                channel: Any = broker.default_channel  # connects, trying each node once
                with suppress(*broker.channel_errors):  # "nothing waits there" is an answer too
                    channel.queue_declare(settings.CELERY_TASK_DEFAULT_QUEUE, passive=True)
            self.answered = True
        except Exception as problem:  # noqa: BLE001 - each transport raises its own
            logger.warning("The broker does not answer: %s", type(problem).__name__)


_knocks: list[Knock] = []
_one_at_a_time = threading.Lock()


def broker_answers() -> bool:
    """Whether it can be reached; known in a second, whatever it does. Who asks meanwhile shares the answer."""
    with _one_at_a_time:
        _knocks[:] = [knock for knock in _knocks if knock.is_alive()]
        if not _knocks:
            _knocks.append(Knock())
            _knocks[0].start()
        knock = _knocks[0]
    knock.join(BROKER_SECONDS)
    return knock.answered


def is_sweep_late(seconds: float | None) -> bool:
    return seconds is None or seconds > max(60, 6 * settings.OUTBOX_SWEEP_SECONDS)


@for_monitors
def health_status(_request: HttpRequest) -> JsonResponse:
    """What an operator asks first. 200 while the portal does its work, else 503; ``problems`` names what is wrong.

    A broker that is away is named but is no reason for 503: it rings, and the sweep sends without it.
    """
    mails, sweep, problems = None, None, []
    try:
        mails, sweep = read_mails(), read_sweep()
    except Error:
        logger.exception("The database does not answer.")
        problems.append("database_unreachable")
    else:
        if is_sweep_late(sweep):
            problems.append("sweep_late")
        if (mails.oldest_due_seconds or 0) > LATE.total_seconds():
            problems.append("mail_late")
    degraded = bool(problems)
    broker = broker_answers()
    if not broker:
        problems.append("broker_unreachable")
    return JsonResponse(
        {
            "status": "degraded" if degraded else "ok",
            "problems": problems,
            "database": "ok" if mails else "unreachable",
            "broker": "ok" if broker else "unreachable",
            "mails": mails and asdict(mails),
            "sweep_seconds": sweep,
        },
        status=503 if degraded else 200,
        headers={"Retry-After": "5"} if degraded else {},
    )
