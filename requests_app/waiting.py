"""What somebody is told who waits: how long it usually takes, and what happened when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db.models import Count
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.models import MailStatus, SecurityEvent, User

from .calendar import Calendar, begin_of, in_words
from .emails import ABOUT_ACCESS
from .models import WAITING, AccessRequest, ExternalSystem, RequestEvent, Status
from .notices import Step
from .numbers import rank

# --- How long it usually takes ----------------------------------------------------------------------------------------
#: What is counted: requests that were decided in so many days before today.
USUAL_DAYS = timedelta(days=180)
#: Fewer say nothing about the next one.
LEAST_DECIDED = 20
NINE_IN_TEN = 0.9
#: Figures of a day do not change within the hour; the next hour's are counted anew.
USUAL_KEPT_FOR = 60 * 60
USUAL_KEY = "usual-days-by-system"


def usual_days() -> dict[int, int]:
    """Within how many business days nine in ten requests were decided, by system (its key); from filing to decision.

    Counted once in an hour by each process, in one query that adds up the days in the database.
    """
    kept: dict[int, int] | None = cache.get(USUAL_KEY)
    if kept is None:
        kept = _count_usual_days()
        cache.set(USUAL_KEY, kept, USUAL_KEPT_FOR)
    return kept


def _count_usual_days() -> dict[int, int]:
    since = begin_of(timezone.localdate() - USUAL_DAYS)
    decided = AccessRequest.objects.filter(decided_at__gte=since).order_by()
    days = decided.annotate(filed_on=TruncDate("created_at"), decided_on=TruncDate("decided_at"))
    rows = days.values_list("user_type__system", "filed_on", "decided_on").annotate(count=Count("pk"))
    read = [*rows]
    calendar = Calendar.since(min((filed for _system, filed, *_ in read), default=timezone.localdate()))
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for system, filed_on, decided_on, count in read:
        counts[system][calendar.between(filed_on, decided_on)] += count
    enough = {system: these for system, these in counts.items() if these.total() >= LEAST_DECIDED}
    return {system: rank(these, NINE_IN_TEN) for system, these in enough.items()}


def usual_time(request: AccessRequest) -> str:
    """The sentence about its system while it waits; nothing where too few were decided of late."""
    days = usual_days().get(request.system.pk) if request.status in WAITING else None
    if days is None:
        return ""
    within = f"até {in_words(days)}" if days else in_words(days)
    return f"9 em cada 10 pedidos de {request.system.name} foram decididos em {within}."


# --- What happened when -----------------------------------------------------------------------------------------------
NOT_YET = "ainda não"
#: Where a request can still come to an access.
ON_THE_WAY = (Status.PENDING, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED, Status.COMPLETED)


@dataclass(frozen=True)
class Clock:
    """One of the moments that everybody asks about: when it was, or why there is no time for it."""

    label: str
    at: datetime | None
    otherwise: str = NOT_YET


def clocks_of(request: AccessRequest, steps: Iterable[Step]) -> list[Clock]:
    """The four moments of a request, as far as they can come or have come. ``steps``: its history, with its mails.

    One query at most, and only where there was a sign-in since the credential went out.
    """
    decided = Clock("Decidido", request.decided_at)
    if request.status not in ON_THE_WAY:
        return [decided] if request.decided_at else []
    read = [*steps]
    registered = next((step.event.at for step in read if _completes(step)), None)
    mails = [notice.mail for step in read for notice in step.notices if notice.mail.kind in ABOUT_ACCESS]
    sent = min((mail.sent_at for mail in mails if mail.status == MailStatus.SENT and mail.sent_at), default=None)
    return [decided, Clock("Cadastrado", registered), Clock("Credencial enviada", sent), _first_access(request, sent)]


def _completes(step: Step) -> bool:
    return isinstance(step.event, RequestEvent) and step.event.to_status == Status.COMPLETED


def _first_access(request: AccessRequest, sent: datetime | None) -> Clock:
    """The first sign-in since the credential went out; only that of the portal's own password is known here."""
    label = "Primeiro acesso"
    if request.system.credential != ExternalSystem.Credential.PORTAL:
        return Clock(label, None, "o outro sistema não informa")
    last = request.beneficiary.last_login
    if sent is None or last is None or last < sent:
        return Clock(label, None)
    return Clock(label, _first_sign_in(request.beneficiary, sent), "já houve, mas o registro do dia foi apagado")


def _first_sign_in(person: User, since: datetime) -> datetime | None:
    entries = SecurityEvent.objects.filter(user=person, kind=SecurityEvent.Kind.SIGNED_IN, at__gte=since)
    at: datetime | None = entries.order_by("at").values_list("at", flat=True).first()
    return at
