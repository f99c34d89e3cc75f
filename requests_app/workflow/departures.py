"""What becomes of accesses and requests of people who leave the court, or a unit of it.

An import tells of it (``accounts.directory.effects``); what its day brings, or what was in somebody's hands just then,
is found by the nightly chores below, which look at how things stand. Accesses stay open until somebody decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accounts import outbox
from accounts.directory import effects
from accounts.models import Employment, OutgoingMail

from .. import emails
from ..models import AccessGrant, AccessRequest, GrantEvent, GrantStatus, Status
from . import accesses, moves
from .rules import MoveRefusedError

log = logging.getLogger(__name__)

HELD = (GrantStatus.ACTIVE, GrantStatus.SUSPENDED)
NO_BOND_LEFT = "A pessoa que teria o acesso não tem mais vínculo com o Tribunal."


def held() -> QuerySet[AccessGrant]:
    """Accesses that nobody has asked the end of."""
    return AccessGrant.objects.filter(status__in=HELD)


# --- Accesses ---------------------------------------------------------------------------------------------------------
def flag_ended(batch: effects.Batch, *, dry_run: bool) -> int:
    """Those that hang on a bond that is over; those that hang on none, where no bond is left to the person."""
    of_bonds = held().filter(request__employment__in=batch.ended)
    of_people = held().filter(request=None, user__in=batch.left)
    if dry_run:
        return of_bonds.count() + of_people.count()
    return _flag_over([*_with_people(of_bonds), *_with_people(of_people)], over=batch.ended)


def flag_transferred(batch: effects.Batch, *, dry_run: bool) -> int:
    """Those of a bond that hold in the unit that it was in; those of no bond, where nothing else binds the person."""
    if not batch.transferred:
        return 0
    bonds = Employment.objects.filter(pk__in=batch.transferred).select_related("unit").in_bulk()
    of_bonds = _with_people(held().filter(request__employment__in=bonds, unit__in=set(batch.transferred.values())))
    leaving = {
        grant.pk: bonds[grant.request.employment_id]
        for grant in of_bonds
        if grant.request and grant.unit_id == batch.transferred[grant.request.employment_id]
    }
    leaving |= _older_in_units_left(bonds, batch.transferred)
    if dry_run:
        return len(leaving)
    return sum(_flag(key, _moved_on(bond)) for key, bond in leaving.items())


def _older_in_units_left(bonds: Mapping[int, Employment], before: Mapping[int, int]) -> dict[int, Employment]:
    """Accesses without a request -> the bond that left their unit, unless another of the person's is there."""
    left = {(bond.user_id, before[key]): bond for key, bond in bonds.items()}
    people = {bond.user_id for bond in bonds.values()}
    others = Employment.objects.holding().filter(user__in=people).exclude(pk__in=before)
    staying = set(others.values_list("user_id", "unit_id"))
    older = held().filter(request=None, user__in=people, unit__in=set(before.values()))
    places = ((key, (user, unit)) for key, user, unit in older.values_list("pk", "user_id", "unit_id"))
    return {key: left[place] for key, place in places if place in left and place not in staying}


def _with_people(accesses: QuerySet[AccessGrant]) -> list[AccessGrant]:
    return list(accesses.select_related("request__employment__unit").order_by("pk"))


def _flag_over(grants: Collection[AccessGrant], *, over: Collection[int] = ()) -> int:
    """Ask for the end of these, and say which bond ended when, and which other there is. Two queries, and the moves."""
    if not grants:
        return 0
    bonds = Employment.objects.filter(user__in={grant.user_id for grant in grants}).select_related("unit")
    last = {bond.user_id: bond for bond in bonds.filter(ended_on__isnull=False).order_by("ended_on", "pk")}
    others = {bond.user_id: bond for bond in bonds.holding().exclude(pk__in=over).order_by("-started_on", "-pk")}
    done = 0
    for grant in grants:
        bond = grant.request.employment if grant.request else last[grant.user_id]
        done += _flag(grant.pk, f"{_ended(bond)} {_other(others.get(grant.user_id))}")
    return done


def _ended(bond: Employment) -> str:
    return f"O vínculo {bond.matricula} ({bond.cargo}, {bond.unit}) terminou em {bond.ended_on:%d/%m/%Y}."


def _other(bond: Employment | None) -> str:
    if bond is None:
        return "A pessoa não tem outro vínculo."
    return f"A pessoa tem outro vínculo: {bond.matricula} ({bond.cargo}, {bond.unit})."


def _moved_on(bond: Employment) -> str:
    return f"A lotação do vínculo {bond.matricula} mudou. Agora é {bond.unit}. O acesso vale na unidade anterior."


def _flag(pk: int, note: str) -> bool:
    """False where somebody was quicker: it is over, or its end is asked for."""
    try:
        accesses.move_grant(pk, GrantStatus.TO_REVOKE, by=None, note=note)
    except MoveRefusedError:
        return False
    return True


def unnoticed() -> tuple[QuerySet[AccessGrant], QuerySet[AccessGrant]]:
    """Accesses whose bond is over, or of whose people no bond is left, and whose end was not asked for since.

    What the Coordenadoria kept after that stays kept.
    """
    since = GrantEvent.objects.filter(grant=OuterRef("pk"), to_status=GrantStatus.TO_REVOKE, actor=None)
    was_asked = Exists(since.filter(at__date__gte=OuterRef("last_day")))
    of_bonds = held().filter(request__employment__ended_on__lt=timezone.localdate())
    bonds = Employment.objects.filter(user=OuterRef("user"))
    last_day = Subquery(bonds.order_by(F("ended_on").desc(nulls_first=True)).values("ended_on")[:1])
    of_people = held().filter(~Exists(bonds.not_over()), Exists(bonds), request=None).alias(last_day=last_day)
    return of_bonds.alias(last_day=F("request__employment__ended_on")).exclude(was_asked), of_people.exclude(was_asked)


def flag_unnoticed(*, dry_run: bool = False) -> int:
    """The clock: accesses of bonds that are over come among those to revoke. Returns how many did, or would."""
    return sum(_each(due, _flag_one, dry_run=dry_run) for due in unnoticed())


def _flag_one(due: QuerySet[AccessGrant], pk: int) -> bool:
    person = due.filter(pk=pk).values_list("user_id", flat=True).first()
    if person is None:
        return False
    effects.lock([person])
    return bool(_flag_over(_with_people(due.filter(pk=pk))))


# --- Requests ---------------------------------------------------------------------------------------------------------
def stop_requests(batch: effects.Batch, *, dry_run: bool) -> int:
    """Cancel those for people to whom no bond is left; what somebody has in hand is left to the night."""
    due = AccessRequest.objects.open().filter(beneficiary__in=batch.left)
    if dry_run:
        return due.count()
    free = due.order_by("pk").select_for_update(of=("self",), skip_locked=True, no_key=True)
    return sum(_stop(key) for key in [*free.values_list("pk", flat=True)])


def _stop(pk: int) -> bool:
    moves.move(pk, Status.CANCELLED, by=None, note=NO_BOND_LEFT)
    return True


def of_nobody() -> QuerySet[AccessRequest]:
    """Open requests for people who had bonds, of which none is left."""
    over = Q(employment__ended_on__lt=timezone.localdate())
    return AccessRequest.objects.open().filter(over).exclude(Exists(_not_over(OuterRef("beneficiary"))))


def _not_over(person: OuterRef) -> QuerySet[Employment]:
    return Employment.objects.not_over().filter(user=person)


def stop_unnoticed(*, dry_run: bool = False) -> int:
    """The clock: open requests for people who left are cancelled. Returns how many were, or would be."""
    return _each(of_nobody(), _stop_one, dry_run=dry_run)


def _stop_one(due: QuerySet[AccessRequest], pk: int) -> bool:
    """False if it is in somebody's hands."""
    if not due.select_for_update(of=("self",), skip_locked=True, no_key=True).filter(pk=pk).first():
        return False
    return _stop(pk)


# --- Requests that somebody made for others ---------------------------------------------------------------------------
def tell_beneficiaries(batch: effects.Batch, *, dry_run: bool) -> int:
    """Whoever asked for them has left: from now on they correct or cancel the request themselves."""
    due = _made_for_others().filter(requester__in=batch.left).exclude(beneficiary__in=batch.left)
    return due.count() if dry_run else sum(_tell(request) for request in due)


def _made_for_others() -> QuerySet[AccessRequest]:
    return AccessRequest.objects.open().exclude(requester=F("beneficiary"))


def _tell(request: AccessRequest) -> bool:
    outbox.owe(emails.REQUESTER_LEFT, recipient=request.beneficiary_id, about=request.pk)
    return True


def untold() -> QuerySet[AccessRequest]:
    """Open requests whose requester has left and whose beneficiary, who has not, does not know it."""
    told = OutgoingMail.objects.filter(kind=emails.REQUESTER_LEFT, object_id=OuterRef("pk"))
    due = _made_for_others().filter(Exists(_not_over(OuterRef("beneficiary"))), beneficiary__is_active=True)
    return due.exclude(Exists(_not_over(OuterRef("requester")))).exclude(Exists(told))


def tell_untold(*, dry_run: bool = False) -> int:
    """The clock: who would have an access is told that who asked for it has left. Returns how many were, or would."""
    return _each(untold(), _tell_one, dry_run=dry_run)


def _tell_one(due: QuerySet[AccessRequest], pk: int) -> bool:
    request = due.select_for_update(of=("self",), skip_locked=True, no_key=True).filter(pk=pk).first()
    return request is not None and _tell(request)


# --- All three --------------------------------------------------------------------------------------------------------
def _each(due: QuerySet, do: Callable, *, dry_run: bool) -> int:  # type: ignore[type-arg]
    """Do this with each in a transaction of its own; returns how many it was done with. One keeps no other back."""
    if dry_run:
        return due.count()
    done, failed = 0, 0
    for pk in list(due.values_list("pk", flat=True)):
        try:
            with transaction.atomic():
                done += do(due, pk)
        except Exception:
            log.exception("%s %s could not be seen to after a departure", due.model._meta.label, pk)
            failed += 1
    if failed:
        raise RuntimeError(f"{failed} could not be seen to after a departure; {done} were")
    return done
