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


def open_of(user: User) -> FactorRemoval | None:
    return open_ones().filter(user=user).first()


def has_lapsed(removal: FactorRemoval) -> bool:
    return removal.lapses_at <= timezone.now()


def may_remove(by: User, user: User) -> bool:
    """Whether they may ask for this person's, confirm and refuse; nobody does it for themselves."""
    return by.is_active and by.pk != user.pk and by.has_perm(PERMISSION)


@transaction.atomic
def ask(pk: int, reason: str, *, by: User, request: HttpRequest) -> FactorRemoval:
    """Note that somebody lost it, and tell them by mail: if it was not they who asked, there is time to call.

    Raises RefusedError, and User.DoesNotExist.
    """
    user = _lock(pk)
    _check(by, user)
    if factors.of(user) is None:
        raise RefusedError("Esta pessoa não usa a verificação em duas etapas.")
    if open_of(user):
        raise RefusedError("Já há um pedido aberto para esta pessoa.")
    _close_lapsed(user, by=by)
    now = timezone.now()
    removal = FactorRemoval.objects.create(user=user, reason=reason, asked_by=by, asked_at=now, lapses_at=now + LIFE)
    security.record(SecurityEvent.Kind.FACTOR_REMOVAL_ASKED, user=user, actor=by, request=request)
    if user.email:
        outbox.owe(REMOVAL_ASKED, recipient=user, about=removal.pk)
    return removal


def _close_lapsed(user: User, *, by: User) -> None:
    """One that nobody settled in time makes way for a new one; the new asking is what settles it."""
    lapsed = FactorRemoval.objects.filter(user=user, confirmed_at=None, refused_at=None)
    if lapsed.update(refused_by=by, refused_at=timezone.now()):
        security.record(SecurityEvent.Kind.FACTOR_REMOVAL_ENDED, user=user, actor=by, detail="venceu sem confirmação")


@transaction.atomic
def confirm(pk: int, *, by: User, request: HttpRequest) -> User:
    """Take it off, after another one of the staff than who asked has looked; returns whose it was.

    Raises RefusedError, and FactorRemoval.DoesNotExist.
    """
    removal = _open(pk)
    user = removal.user
    _check(by, user)
    if removal.asked_by_id == by.pk:
        raise RefusedError("Outra pessoa da Gestão precisa confirmar: quem pede não confirma.")
    device = factors.of(user)
    if device is None:
        raise RefusedError("Esta pessoa já não usa a verificação em duas etapas.")
    if device.created_at > removal.asked_at:
        raise RefusedError("Depois deste pedido a pessoa cadastrou outro celular. Recuse o pedido.")
    removal.confirmed_by, removal.confirmed_at = by, timezone.now()
    removal.save(update_fields=["confirmed_by", "confirmed_at"])
    take_off(user, by=by, request=request, detail=f"pedida por {removal.asked_by_id}")
    return user


@transaction.atomic
def refuse(pk: int, *, by: User, request: HttpRequest) -> User:
    """Close it; who asked may do so too. Raises RefusedError, and FactorRemoval.DoesNotExist."""
    removal = _open(pk)
    _check(by, removal.user)
    removal.refused_by, removal.refused_at = by, timezone.now()
    removal.save(update_fields=["refused_by", "refused_at"])
    security.record(SecurityEvent.Kind.FACTOR_REMOVAL_ENDED, user=removal.user, actor=by, request=request)
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


def _lock(pk: int) -> User:
    return User.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)


def _open(pk: int) -> FactorRemoval:
    """The removal and its person, locked. Always the person first, as ``ask`` does."""
    user = _lock(FactorRemoval.objects.only("user").get(pk=pk).user_id)
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
