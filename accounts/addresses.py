"""A person's address is the way to their password: whoever changes it, the old one is told (DESIGN §7).

Open links die by themselves: the address is part of what they are signed over (``resets.LinkTokens``).
"""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from . import outbox, provisional, security
from .masking import kept_reason, masked_address
from .models import AddressChange, SecurityEvent, User

ADDRESS_CHANGED = "address_changed"


def _end_what_it_received(user: User) -> None:
    """A provisional password that was mailed to the address before opens nothing any more."""
    live = provisional.live_of(user)
    if live is not None and live.mailed_at is not None:
        provisional.end(user)
        user.set_unusable_password()
        user.save(update_fields=["password"])


@transaction.atomic
def correct(user: User, address: str, *, by: User, reason: str = "", request: HttpRequest | None = None) -> None:
    """Give somebody another address by hand; from then on the personnel file does not overwrite it.

    The reason stays inside: the old address is told that it was changed, and not why.
    """
    locked = User.objects.locked(user.pk)
    old = locked.email
    user.email, user.email_corrected_at = address, timezone.now()
    user.save(update_fields=["email", "email_corrected_at"])
    tell(user, old, by=by, reason=reason, request=request)


def tell(user: User, old: str, *, by: User | None, reason: str = "", request: HttpRequest | None = None) -> None:
    """Record a change that was made, and owe the old address word of it. ``by`` None: the personnel file.

    The caller holds the transaction.
    """
    reason = kept_reason(reason)
    before, after = (masked_address(address) or "sem e-mail" for address in (old, user.email))
    detail = f"{before} → {after}" + (f": {reason}" if reason else "")
    security.record(SecurityEvent.Kind.EMAIL_CHANGED, user=user, actor=by, request=request, detail=detail)
    if not (old or reason):
        return
    change = AddressChange.objects.create(user=user, old=old, reason=reason)  # the event may have cut the reason
    if old:
        _end_what_it_received(user)
        outbox.owe(ADDRESS_CHANGED, recipient=user.pk, about=change.pk)
