"""What waits for the Coordenadoria, in the sections of its first page: the oldest first, with age and holder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse

from accounts.desk import count_up_to, moment
from accounts.models import User

from . import calendar, corrections, reminders
from .models import AccessGrant, AccessRequest, GrantEvent, GrantStatus, Status
from .workflow import is_analyst

#: So many stand in a section; the rest is one click away.
MOST_SHOWN = 20
#: No section counts further.
MOST_COUNTED = 100

REQUESTS = "admin:requests_app_accessrequest"
GRANTS = "admin:requests_app_accessgrant"


@dataclass(frozen=True)
class Row:
    """One line of a section: the cell that leads on, and the others, each under its heading."""

    url: str
    name: str
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """One sort of thing that waits."""

    #: Its place on the page.
    key: str
    title: str
    #: All of it, with filters and search.
    url: str
    #: Above the first cell of each row.
    heading: str
    rows: list[Row]
    #: ``12``, or ``mais de 100``.
    count: str
    #: There are more than stand here.
    is_cut: bool


@dataclass(frozen=True)
class _Source:
    """Where a section's rows come from."""

    key: str
    title: str
    url: str
    heading: str
    found: QuerySet[Any]
    #: From when on the age counts.
    since: Callable[[Any], datetime]
    #: The row, with its age in words.
    row: Callable[[Any, str], Row]


def sections_for(user: User) -> list[Section]:
    """What this member of the staff may see. Two queries for a section and three for all, however much waits."""
    sources: list[_Source] = []
    if user.has_perm("requests_app.view_accessrequest"):
        decides = is_analyst(user)
        sources += [_waiting(user, decides), *([_mine(user)] if decides else []), _returned(), _to_register()]
    if user.has_perm("requests_app.view_accessgrant"):
        sources.append(_to_revoke())
    read = [(source, list(source.found[:MOST_SHOWN])) for source in sources]
    shown = [one for _source, some in read for one in some]
    requests = [one for one in shown if isinstance(one, AccessRequest)]
    marks, reminded = corrections.marks_of(requests), reminders.marks_of(requests)
    ages = calendar.ages_of(source.since(one) for source, some in read for one in some)
    words = iter(
        corrections.marked(calendar.in_words(age), *_marks(one, marks, reminded))
        for one, age in zip(shown, ages, strict=True)
    )
    return [_section(source, [source.row(one, next(words)) for one in some]) for source, some in read]


def _marks(one: Any, *kinds: dict[int, str]) -> list[str | None]:
    """What stands beside the age of a request; beside an access, nothing."""
    return [marks.get(one.pk) for marks in kinds] if isinstance(one, AccessRequest) else []


def _section(source: _Source, rows: list[Row]) -> Section:
    count, has_more = count_up_to(source.found, MOST_COUNTED)
    return Section(
        key=source.key,
        title=source.title,
        url=source.url,
        heading=source.heading,
        rows=rows,
        count=f"mais de {count}" if has_more else str(count),
        is_cut=count > len(rows),
    )


# --- Requests --------------------------------------------------------------------------------------------------------
def _of_requests(
    key: str, title: str, asked: dict[str, str], found: QuerySet[Any], own: tuple[str, Callable[[Any], str]]
) -> _Source:
    """``asked``: the filters under which the list shows all of them. ``own``: the column that others have not."""
    heading, says = own

    def row(request: AccessRequest, age: str) -> Row:
        cells = [
            ("Idade", age),
            ("Pedida em", moment(request.created_at)),
            ("Para quem", request.beneficiary_called),
            ("Sistema e tipo de usuário", str(request.user_type)),
            (heading, says(request)),
        ]
        return Row(reverse(f"{REQUESTS}_change", args=[request.pk]), request.protocol, cells)

    url = reverse(f"{REQUESTS}_changelist", query=asked)
    related = found.select_related("user_type__system", "requester", "beneficiary", "holder", "decided_by")
    return _Source(key, title, url, "Protocolo", related, lambda request: request.created_at, row)


def _waiting(user: User, decides: bool) -> _Source:
    """Those in somebody's own hands stand in a section of their own."""
    found = AccessRequest.objects.waiting().order_by("pk")
    found = found.exclude(holder=user) if decides else found
    holder = ("Com quem", lambda request: request.holder.display_name if request.holder else "ninguém")
    return _of_requests("aguardando", "Aguardando decisão", {"situacao": "aguardando"}, found, holder)


def _mine(user: User) -> _Source:
    found = AccessRequest.objects.filter(status=Status.IN_REVIEW, holder=user).order_by("pk")
    requester = ("Quem pede", lambda request: request.requester_called)
    return _of_requests("comigo", "Comigo", {"com": "comigo"}, found, requester)


def _returned() -> _Source:
    """What lapses first comes first."""
    found = AccessRequest.objects.filter(status=Status.RETURNED).order_by("correct_by", "pk")
    until = ("Corrigir até", lambda request: f"{request.correct_by:%d/%m/%Y}")
    return _of_requests("devolvidas", "Devolvidas", {"situacao": Status.RETURNED}, found, until)


def _to_register() -> _Source:
    found = AccessRequest.objects.filter(status=Status.APPROVED).order_by("pk")
    approver = ("Aprovada por", lambda request: request.decided_by.display_name)
    return _of_requests("registrar", "Aprovadas, aguardando registro", {"situacao": Status.APPROVED}, found, approver)


# --- Accesses --------------------------------------------------------------------------------------------------------
def _to_revoke() -> _Source:
    """Accesses whose end somebody asked for; their age counts from then."""
    asked = GrantEvent.objects.filter(grant=OuterRef("pk"), to_status=GrantStatus.TO_REVOKE).order_by("-pk")
    found = AccessGrant.objects.filter(status=GrantStatus.TO_REVOKE).select_related("user", "user_type__system", "unit")
    found = found.annotate(asked_at=Subquery(asked.values("at")[:1])).order_by("asked_at", "pk")

    def since(grant: Any) -> datetime:
        at: datetime = grant.asked_at or grant.granted_at
        return at

    def row(grant: AccessGrant, age: str) -> Row:
        cells = [
            ("Idade do pedido", age),
            ("Pedido em", moment(since(grant))),
            ("Sistema e tipo de usuário", str(grant.user_type)),
            ("Unidade", str(grant.unit or "–")),
        ]
        return Row(reverse(f"{GRANTS}_change", args=[grant.pk]), grant.user.display_name, cells)

    url = reverse(f"{GRANTS}_changelist", query={"status__exact": GrantStatus.TO_REVOKE})
    return _Source("revogar", "Acessos a revogar", url, "Pessoa", found, since, row)
