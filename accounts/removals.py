"""A lost second factor, taken off by two of the staff: one asks, another confirms (four eyes)."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from . import factors, masking, outbox, security, sessions
from .models import FactorRemoval, SecurityEvent, User

#: The mail at the asking, about the ``FactorRemoval``.
REMOVAL_ASKED = "second_factor_removal_asked"
PERMISSION = "accounts.remove_second_factor"
LIFE = timedelta(hours=24)


class RefusedError(Exception):
    """The message is a sentence for the person who wanted it."""


def open_ones() -> QuerySet[FactorRemoval]:
    """Those that can be confirmed, the oldest first."""
    unsettled = FactorRemoval.objects.filter(confirmed_at=None, refused_at=None, lapses_at__gt=timezone.now())
    return unsettled.select_related("user", "asked_by").order_by("pk")


def open_to(by: User) -> QuerySet[FactorRemoval]:
    """The open ones that ``by`` may settle (``may_remove``)."""
    if not by.has_perm(PERMISSION):
        return FactorRemoval.objects.none()
    others = open_ones().exclude(user=by.pk)
    return others if by.is_superuser else others.exclude(user__is_superuser=True)


def open_of(user: User) -> FactorRemoval | None:
    """The one that waits for this person, if one does."""
    return open_ones().filter(user=user).first()


def lapsed() -> QuerySet[FactorRemoval]:
    """Those that nobody settled in time and nobody has closed yet."""
    return FactorRemoval.objects.filter(confirmed_at=None, refused_at=None, lapses_at__lte=timezone.now())


def has_lapsed(removal: FactorRemoval) -> bool:
    """Whether its time is over; one that was settled before is not looked at."""
    return removal.lapses_at <= timezone.now()


def may_remove(by: User, user: User) -> bool:
    """Whether they may ask for this person's, confirm and refuse; nobody does it for themselves.

    A superuser's is for superusers, as the rest of the account is (``support.may``), or for the operator's command.
    """
    if not by.is_active or by.pk == user.pk or (user.is_superuser and not by.is_superuser):
        return False
    return by.has_perm(PERMISSION)


@transaction.atomic
def ask(pk: int, reason: str, *, by: User, request: HttpRequest) -> FactorRemoval:
    """Note that somebody lost it, and tell them by mail at once: who did not ask for it can call.

    Nothing keeps the second of the staff from confirming before the mail is read; that is told too.

    Raises RefusedError, and User.DoesNotExist.
    """
    user = User.objects.locked(pk)
    _check(by, user)
    if factors.of(user) is None:
        raise RefusedError("Esta pessoa não usa a verificação em duas etapas.")
    if open_of(user):
        raise RefusedError("Já há um pedido aberto para esta pessoa.")
    for earlier in lapsed().filter(user=user).select_for_update(of=("self",), no_key=True):
        close_lapsed(earlier)
    now = timezone.now()
    removal = FactorRemoval.objects.create(
        user=user, reason=masking.kept_reason(reason), asked_by=by, asked_at=now, lapses_at=now + LIFE
    )
    security.record(SecurityEvent.Kind.FACTOR_REMOVAL_ASKED, user=user, actor=by, request=request)
    if user.email:
        outbox.owe(REMOVAL_ASKED, recipient=user.pk, about=removal.pk)
    return removal


def close_lapsed(removal: FactorRemoval) -> None:
    """It ended when its time did, by nobody; the person is told. The caller holds its lock."""
    removal.refused_at = removal.lapses_at
    removal.save(update_fields=["refused_at"])
    factors.tell(security.record(SecurityEvent.Kind.FACTOR_ASK_LAPSED, user=removal.user))


def why_not_confirmed(removal: FactorRemoval, by: User) -> str:
    """Why somebody who may settle this open one cannot confirm it, as a sentence; nothing where they can."""
    if removal.asked_by_id == by.pk:
        return "Outra pessoa da Gestão precisa confirmar: quem pede não confirma."
    if not may_remove(removal.asked_by, removal.user):
        return "Quem pediu não pode mais pedir esta retirada. Recuse o pedido e faça outro."
    device = factors.of(removal.user)
    if device is None:
        return "Esta pessoa já não usa a verificação em duas etapas."
    if device.created_at > removal.asked_at:
        return "Depois deste pedido a pessoa cadastrou outro celular. Recuse o pedido."
    return ""


@transaction.atomic
def confirm(pk: int, *, by: User, request: HttpRequest) -> User:
    """Take it off, after another one of the staff than who asked has looked; returns whose it was.

    Raises RefusedError, and FactorRemoval.DoesNotExist.
    """
    removal = _open(pk)
    user = removal.user
    _check(by, user)
    if why := why_not_confirmed(removal, by):
        raise RefusedError(why)
    removal.confirmed_by, removal.confirmed_at = by, timezone.now()
    removal.save(update_fields=["confirmed_by", "confirmed_at"])
    take_off(user, by=by, request=request)
    return user


@transaction.atomic
def refuse(pk: int, *, by: User, request: HttpRequest) -> User:
    """Close it and tell the person; who asked may do so too. Raises RefusedError, and FactorRemoval.DoesNotExist."""
    removal = _open(pk)
    _check(by, removal.user)
    removal.refused_by, removal.refused_at = by, timezone.now()
    removal.save(update_fields=["refused_by", "refused_at"])
    factors.tell(security.record(SecurityEvent.Kind.FACTOR_REMOVAL_ENDED, user=removal.user, actor=by, request=request))
    return removal.user


def take_off(user: User, *, by: User | None, request: HttpRequest | None = None, detail: str = "") -> None:
    """In the caller's transaction: telephone and recovery codes are forgotten, sessions end, the person is told.

    ``by`` None is the operator at the command line.
    """
    factors.forget(user)
    sessions.end_all(user)
    factors.tell(
        security.record(
            SecurityEvent.Kind.FACTOR_REMOVED,
            user=user,
            actor=by,
            request=request,
            detail=masking.mask_people(detail),
        )
    )


def _open(pk: int) -> FactorRemoval:
    """The removal and its person, locked. Always the person first, as ``ask`` does."""
    user = User.objects.locked(FactorRemoval.objects.only("user").get(pk=pk).user_id)
    removal = FactorRemoval.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    removal.user = user
    if removal.confirmed_at or removal.refused_at:
        raise RefusedError("Este pedido já foi encerrado.")
    if has_lapsed(removal):
        raise RefusedError("Este pedido venceu. Se ainda for preciso, faça outro.")
    return removal


def _check(by: User, user: User) -> None:
    if not may_remove(by, user):
        raise RefusedError("Você não pode retirar a verificação em duas etapas desta pessoa.")
