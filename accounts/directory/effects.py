"""What follows where bonds end, change unit or hold again: who may sign in, and what other apps registered.

Bonds end by an import (``tell``) or because their last day has passed (``housekeeping``). Nothing is deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from .. import security, sessions
from ..models import Employment, SecurityEvent, User

BATCH = 500
CLOSED = "Entradas fechadas"


@dataclass(frozen=True)
class Moved:
    """What an import did to bonds that were there before it.

    ``ended``: keys of bonds that are over by it: the file no longer names them, or names a last day that has passed.
    ``transferred``: key of a bond that goes on -> key of the unit it had before.
    """

    ended: Iterable[int] = ()
    transferred: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Some of what an import did. ``left``: keys of the people of ``ended`` to whom no bond is left."""

    ended: Collection[int] = ()
    left: Collection[int] = ()
    transferred: Mapping[int, int] = field(default_factory=dict)


class Effect(Protocol):
    """Draws one consequence and returns how many there were; with ``dry_run`` it only counts them.

    The people of the batch are locked by the caller: before requests, and before accesses.
    """

    def __call__(self, batch: Batch, *, dry_run: bool) -> int: ...


def tell(moved: Moved) -> dict[str, int]:
    """Draw every consequence, in the caller's transaction; returns how many there were of each (label -> count).

    Called once, when the bonds are written.
    """
    done = Counter(dict.fromkeys(EFFECTS, 0))
    for batch in _batches(moved, dry_run=False):
        done.update({label: effect(batch, dry_run=False) for label, effect in EFFECTS.items()})
    return dict(done)


def let_all_in() -> int:
    """Let in whoever has a bond again, whatever brought it, in the caller's transaction; returns how many."""
    let = 0
    for keys in _some(list(came_back().order_by("pk").values_list("pk", flat=True))):
        lock(keys)
        let += let_in(came_back().filter(pk__in=keys))
    return let


def forecast(moved: Moved, *, staying: Collection[int] = frozenset()) -> dict[str, int]:
    """What ``tell`` would do about bonds that are still as they were. Writes nothing.

    ``staying``: keys of people to whom the import brings another bond.
    """
    would = Counter(dict.fromkeys(EFFECTS, 0))
    for batch in _batches(moved, dry_run=True, staying=staying):
        would.update({label: effect(batch, dry_run=True) for label, effect in EFFECTS.items()})
    return dict(would)


def _batches(moved: Moved, *, dry_run: bool, staying: Collection[int] = frozenset()) -> Iterator[Batch]:
    over = frozenset(moved.ended)
    for keys in _some(over):
        people = set(Employment.objects.filter(pk__in=keys).values_list("user_id", flat=True))
        if not dry_run:
            lock(people)
        going_on = Employment.objects.not_over().filter(user__in=people).values_list("pk", "user_id")
        kept = {user for bond, user in going_on if bond not in over}
        yield Batch(ended=keys, left=people - kept - set(staying))
    for keys in _some(moved.transferred):
        if not dry_run:
            lock(set(Employment.objects.filter(pk__in=keys).values_list("user_id", flat=True)))
        yield Batch(transferred={key: moved.transferred[key] for key in keys})


def _some(keys: Iterable[int]) -> Iterator[list[int]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def lock(people: Collection[int]) -> None:
    """Hold these people until the transaction ends: a decision about one of them looks at their bonds before or after.

    Always before requests and accesses are locked, and in one order.
    """
    held = User.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=people).order_by("pk")
    list(held.values_list("pk", flat=True))


# --- Who may sign in -------------------------------------------------------------------------------------------------
def gone() -> QuerySet[User]:
    """Whoever may sign in and had bonds, of which none is left.

    Never the staff, who work here by their rights and not by a bond, and never whoever had none.
    """
    bonds = Employment.objects.filter(user=OuterRef("pk"))
    people = User.objects.filter(is_active=True, is_staff=False, is_superuser=False)
    return people.filter(Exists(bonds), ~Exists(bonds.not_over()))


def came_back() -> QuerySet[User]:
    """Whoever was shut out because no bond was left, and has one now that goes on after that day.

    Who was shut out by hand stays outside.
    """
    goes_on = Q(ended_on=None) | Q(ended_on__gt=OuterRef("left_on"))
    bonds = Employment.objects.holding().filter(goes_on, user=OuterRef("pk"))
    left = User.objects.filter(is_active=False, left_at__isnull=False)
    return left.alias(left_on=TruncDate("left_at")).filter(Exists(bonds))


def close(people: Iterable[User]) -> int:
    """Shut these people out, in the caller's transaction and under their locks; returns how many.

    Their sessions end, and links that were mailed open nothing any more, not even when they come back.
    """
    keys = [person.pk for person in people]
    User.objects.filter(pk__in=keys).update(is_active=False, left_at=timezone.now())
    sessions.end_all_of(keys)
    security.record_for(SecurityEvent.Kind.ACCESS_CLOSED, keys, detail="sem vínculo com o Tribunal")
    return len(keys)


def let_in(people: Iterable[User]) -> int:
    """Let these people in again, in the caller's transaction and under their locks; returns how many."""
    keys = [person.pk for person in people]
    User.objects.filter(pk__in=keys).update(is_active=True, left_at=None)
    security.record_for(SecurityEvent.Kind.ACCESS_OPENED, keys, detail="voltou a ter vínculo com o Tribunal")
    return len(keys)


def _close_entries(batch: Batch, *, dry_run: bool) -> int:
    people = User.objects.filter(pk__in=batch.left, is_active=True, is_staff=False, is_superuser=False)
    return people.count() if dry_run else close(people.only("pk"))


#: What the report calls it -> what is done; other apps add theirs in ``AppConfig.ready``.
EFFECTS: dict[str, Effect] = {CLOSED: _close_entries}
