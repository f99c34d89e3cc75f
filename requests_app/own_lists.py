"""What the lists of one's own requests and accesses are searched and filtered by. All of it stands in the address."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core.paginator import Page
from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.http import QueryDict

from accounts import names
from accounts.desk import CappedPaginator, is_key, words_of
from accounts.models import User

from .models import LIVE_GRANT, AccessGrant, AccessRequest, ExternalSystem, GrantEvent, GrantStatus, Status, UserType

PAGE = 20
PROTOCOL = re.compile(r"[0-9]{4}-[0-9]{6}")
#: More than any search needs.
MOST_TYPED = 100
#: What stands in the address for whom requests are.
FOR_ME, FOR_OTHERS = "mim", "outros"
FOR_WHOM = {FOR_ME: "Para mim", FOR_OTHERS: "Que pedi para outras pessoas"}
#: The newest first. A sum, which no index has in order: to look for one person's rows among all from the newest on,
#: PostgreSQL would read the whole table for somebody who asked long ago, or never. By a person's indexes it reads few.
NEWEST = (F("pk") + 0).desc()
#: Accesses that have not ended.
LIVE = "LIVE"
STATUSES = dict(Status.choices)
GRANT_STATUSES = {LIVE: "Em vigor", **dict(GrantStatus.choices)}


class OwnPaginator(CappedPaginator):
    """Whatever stands in the address for a page, there is one."""

    def get_page(self, number: object) -> Page:  # type: ignore[type-arg]  # Django's class takes no parameter at run time
        typed = str(number or "")
        return super().get_page(int(typed) if is_key(typed) else 1)


@dataclass(frozen=True)
class Asked:
    """What was typed and chosen above a list; what the list does not offer counts as not chosen."""

    query: str = ""
    status: str = ""
    system: str = ""
    whom: str = ""

    @classmethod
    def of(cls, address: QueryDict, *, statuses: dict[str, str], systems: dict[str, str]) -> Asked:
        def chosen(name: str, offered: dict[str, str]) -> str:
            value = str(address.get(name, ""))
            return value if value in offered else ""

        return cls(
            query=str(address.get("q", "")).strip()[:MOST_TYPED],
            status=chosen("status", statuses),
            system=chosen("system", systems),
            whom=chosen("for", FOR_WHOM),
        )

    @property
    def anything(self) -> bool:
        return any((self.query, self.status, self.system, self.whom))


def systems() -> dict[str, str]:
    """Those of the catalogue, of whatever age, by their keys: what was asked once stays in the lists. One query."""
    return {str(pk): name for pk, name in ExternalSystem.objects.values_list("pk", "name")}


def _user_types_called(words: list[str]) -> dict[str, list[int]]:
    """For each word, the user types in whose name, or whose system's, a word begins with it. One query."""
    rows = UserType.objects.order_by().values_list("pk", "system__name", "name")
    folded = [(pk, f" {names.fold(f'{system} {name}')}") for pk, system, name in rows]
    return {word: [pk for pk, name in folded if f" {word}" in name] for word in words}


def find_requests(mine: QuerySet[AccessRequest], asked: Asked, reader: User) -> QuerySet[AccessRequest]:
    """Each word must stand in the protocol, in the name or matrícula of whom it is for, or in the system's name."""
    if PROTOCOL.fullmatch(asked.query):
        mine = mine.filter(protocol=asked.query)
    elif asked.query:
        words = words_of(asked.query)
        called = _user_types_called(words)
        for word in words:
            mine = mine.filter(
                Q(beneficiary__search_name__contains=f" {word}")
                | Q(protocol__contains=word)
                | Q(beneficiary_matricula__startswith=word)
                | Q(beneficiary_matricula__startswith=word.upper())
                | Q(user_type__in=called[word])
            )
        mine = mine if words else mine.none()
    if asked.status:
        mine = mine.filter(status=asked.status)
    if asked.system:
        mine = mine.filter(user_type__system=int(asked.system))
    if asked.whom == FOR_ME:
        mine = mine.filter(beneficiary=reader)
    elif asked.whom == FOR_OTHERS:
        mine = mine.filter(requester=reader).exclude(beneficiary=reader)
    return mine.order_by(NEWEST)


def accesses_of(person: User) -> QuerySet[AccessGrant]:
    """Those that the person has or had, with who asked for an end, when, and when each came to where it is."""
    steps = GrantEvent.objects.filter(grant=OuterRef("pk"))
    into = steps.filter(to_status=OuterRef("status")).exclude(from_status=OuterRef("status")).order_by("-pk")
    related = ("user", "user_type__system", "unit", "request")
    return (
        AccessGrant.objects.filter(user=person)
        .select_related(*related)
        .annotate(
            moved_by=Subquery(into.values("actor")[:1]),
            moved_at=Subquery(into.values("at")[:1]),
            moved_from=Subquery(into.values("from_status")[:1]),
            is_over=Case(When(status__in=LIVE_GRANT, then=Value(0)), default=Value(1)),
        )
    )


def find_accesses(mine: QuerySet[AccessGrant], asked: Asked) -> QuerySet[AccessGrant]:
    """Those that have not ended first, by the system's name. Each word must stand in the system or the user type."""
    if asked.query:
        words = words_of(asked.query)
        called = _user_types_called(words)
        for word in words:
            mine = mine.filter(user_type__in=called[word])
        mine = mine if words else mine.none()
    if asked.status:
        mine = mine.filter(status__in=LIVE_GRANT if asked.status == LIVE else (asked.status,))
    return mine.order_by("is_over", "user_type__system__name", "-pk")
