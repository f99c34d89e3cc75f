"""The numbers of the desk: what waits and since when, what was decided, how long each step took, and why not.

Times are in business days (``calendar``), 0 for what ended on the day on which it began. Each figure is added up by the
database over the indexes of the history; how many queries that are does not depend on how much there is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from typing import Any

from django.db.models import Count, DateField, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import TruncDate, TruncWeek
from django.utils import timezone

from accounts import outbox
from accounts.models import MailStatus, OutgoingMail

from .calendar import AGES, Calendar, begin_of
from .models import WAITING, AccessRequest, ExternalSystem, RequestEvent, Status

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
FREE_TEXT = "Outro (texto livre)"
ALL_SYSTEMS = "Todos os sistemas"


@dataclass(frozen=True)
class Period:
    """From one day to another, both of them in it."""

    first: date
    last: date

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """From when on, and until before when, here."""
        return begin_of(self.first), begin_of(self.last + DAY)

    @property
    def mondays(self) -> list[date]:
        """Of each week that has a day in it."""
        monday = self.first - DAY * self.first.weekday()
        return [monday + WEEK * number for number in range((self.last - monday).days // 7 + 1)]


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is about, and a figure for each column."""

    label: str
    figures: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.figures)


@dataclass(frozen=True)
class Spread:
    """How long one step took: how many times it ended, and within how many business days half and nine in ten did."""

    system: str
    count: int
    median: int
    p90: int


@dataclass(frozen=True)
class Step:
    """A part of a request's way, from one line of its history to another."""

    label: str
    #: What is counted, from when to when; stands on the page.
    meaning: str
    ends: Q
    begins: Q


STEPS = (
    Step(
        "Aguardando decisão",
        "Do dia do pedido (ou da correção) até o dia em que a Coordenadoria aprovou, devolveu ou indeferiu.",
        ends=Q(to_status__in=(Status.APPROVED, Status.RETURNED, Status.REJECTED), from_status__in=WAITING),
        # Who takes one and lays it back is still deciding.
        begins=Q(to_status=Status.PENDING) & ~Q(from_status=Status.IN_REVIEW),
    ),
    Step(
        "Com quem pediu",
        "Do dia da devolução até o dia em que a pessoa corrigiu. O que expirou ou foi cancelado não entra.",
        ends=Q(to_status=Status.PENDING, from_status=Status.RETURNED),
        begins=Q(to_status=Status.RETURNED),
    ),
    Step(
        "Aguardando registro",
        "Do dia da aprovação até o dia em que o acesso foi registrado no outro sistema. O que o portal conclui sozinho "
        "não entra.",
        ends=Q(to_status=Status.COMPLETED, from_status=Status.APPROVED, actor__isnull=False),
        begins=Q(to_status=Status.APPROVED),
    ),
)
#: What is decided, in the order of the columns.
DECISIONS = (Status.APPROVED, Status.REJECTED, Status.RETURNED)
#: Where an open request can be, in the order of the columns.
PLACES = (WAITING, (Status.RETURNED,), (Status.APPROVED,))
#: Days that one step took, and how often: by the system's name.
Days = dict[str, Counter[int]]


@dataclass(frozen=True)
class Numbers:
    """All figures of one page."""

    ages: list[Row]
    weeks: list[Row]
    steps: list[tuple[Step, list[Spread]]]
    reasons: list[Row]
    mails: list[Row]


def of(period: Period, system: ExternalSystem | None = None) -> Numbers:
    """The figures of a period, of one system or of all. Mails, which belong to no system, are always of all."""
    open_days = _open_by_day(system)
    spells = [_spells(step, period, system) for step in STEPS]
    began = [day for day, _place, _count in open_days]
    began += [row["began_on"] for rows in spells for row in rows]
    calendar = Calendar.since(min(began, default=timezone.localdate()))
    return Numbers(
        ages=_by_age(open_days, calendar),
        weeks=_decided_per_week(period, system),
        steps=[(step, _spreads(_days(rows, calendar))) for step, rows in zip(STEPS, spells, strict=True)],
        reasons=_reasons(period, system),
        mails=_failed_mails(period),
    )


# --- What is open ----------------------------------------------------------------------------------------------------
def _open_by_day(system: ExternalSystem | None) -> list[tuple[date, int, int]]:
    """Day of filing, place (``PLACES``), and how many. A part for each place: each has an index of its own."""
    found = AccessRequest.objects.order_by()
    if system is not None:
        found = found.filter(user_type__system=system)
    parts = [
        found.filter(status__in=statuses).values_list(TruncDate("created_at"), "status").annotate(count=Count("pk"))
        for statuses in PLACES
    ]
    place_of = {status: place for place, statuses in enumerate(PLACES) for status in statuses}
    return [(day, place_of[Status(status)], count) for day, status, count in parts[0].union(*parts[1:], all=True)]


def _by_age(open_days: list[tuple[date, int, int]], calendar: Calendar) -> list[Row]:
    today = timezone.localdate()
    counts: Counter[tuple[str, int]] = Counter()
    for day, place, count in open_days:
        age = calendar.between(day, today)
        label = next(known.label for known in AGES.values() if known.most is None or age <= known.most)
        counts[label, place] += count
    return [
        Row(known.label, tuple(counts[known.label, place] for place in range(len(PLACES)))) for known in AGES.values()
    ]


# --- What happened in the period -------------------------------------------------------------------------------------
def _events(period: Period, system: ExternalSystem | None) -> QuerySet[RequestEvent]:
    since, until = period.moments
    events = RequestEvent.objects.filter(at__gte=since, at__lt=until).order_by()
    return events if system is None else events.filter(request__user_type__system=system)


def _decided_per_week(period: Period, system: ExternalSystem | None) -> list[Row]:
    """A line for each week, also for one in which nothing was decided."""
    decided = _events(period, system).filter(to_status__in=DECISIONS)
    rows = decided.values_list(TruncWeek("at", output_field=DateField()), "to_status").annotate(count=Count("pk"))
    counts = {(week, status): count for week, status, count in rows}
    return [
        Row(f"{monday:%d/%m/%Y}", tuple(counts.get((monday, status), 0) for status in DECISIONS))
        for monday in period.mondays
    ]


def _spells(step: Step, period: Period, system: ExternalSystem | None) -> list[dict[str, Any]]:
    """From which day to which day a step went that ended in the period, and how often, by system."""
    earlier = RequestEvent.objects.filter(step.begins, request=OuterRef("request"), pk__lt=OuterRef("pk")).order_by()
    began = earlier.values("request").annotate(last=Max("at")).values("last")
    ended = _events(period, system).filter(step.ends)
    days = ended.annotate(
        system=F("request__user_type__system__name"), began_on=TruncDate(Subquery(began)), ended_on=TruncDate("at")
    )
    rows = days.values("system", "began_on", "ended_on").annotate(count=Count("pk"))
    return [row for row in rows if row["began_on"]]


def _days(rows: Iterable[dict[str, Any]], calendar: Calendar) -> Days:
    days: Days = defaultdict(Counter)
    for row in rows:
        days[row["system"]][calendar.between(row["began_on"], row["ended_on"])] += row["count"]
    return days


def _spreads(days: Days) -> list[Spread]:
    """All systems first, then each; nothing where there is none."""
    everything: Counter[int] = sum(days.values(), Counter())
    named = [(ALL_SYSTEMS, everything), *sorted(days.items())] if len(days) > 1 else [*days.items()]
    return [Spread(name, counts.total(), rank(counts, 0.5), rank(counts, 0.9)) for name, counts in named]


def rank(counts: Counter[int], share: float) -> int:
    """The least number of days within which this share of all ended (nearest rank); there is at least one."""
    wanted, seen = ceil(share * counts.total()), 0
    for days in sorted(counts):
        seen += counts[days]
        if seen >= wanted:
            return days
    raise ValueError(counts)


def _reasons(period: Period, system: ExternalSystem | None) -> list[Row]:
    """The texts that refusals and returns leaned on, the most frequent first; one column for each of the two."""
    refused = (Status.REJECTED, Status.RETURNED)
    events = _events(period, system).filter(to_status__in=refused)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for title, status, count in events.values_list("reason__title", "to_status").annotate(count=Count("pk")):
        counts[title or FREE_TEXT][status] += count
    rows = [Row(title, tuple(by_status[status] for status in refused)) for title, by_status in counts.items()]
    return sorted(rows, key=lambda row: (-row.total, row.label))


def _failed_mails(period: Period) -> list[Row]:
    """Mails of the period that were not delivered and that nobody has settled, by what they are."""
    since, until = period.moments
    failed = OutgoingMail.objects.filter(status=MailStatus.FAILED, created_at__gte=since, created_at__lt=until)
    rows = failed.order_by().values_list("kind").annotate(count=Count("pk"))
    labelled = [Row(outbox.KINDS[kind].label if kind in outbox.KINDS else kind, (count,)) for kind, count in rows]
    return sorted(labelled, key=lambda row: (-row.total, row.label))
