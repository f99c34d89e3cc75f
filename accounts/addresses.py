"""A person's address is the way to their password: whoever changes it, the old one is told (DESIGN §7).

Open links die by themselves: the address is part of what they are signed over (``resets.LinkTokens``).
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from . import outbox, provisional, security
from .masking import kept_reason, masked_address
from .models import AddressChange, SecurityEvent, User

ADDRESS_CHANGED = "address_changed"


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
    tell_all([(user, old)], by=by, reason=reason, request=request)


def tell_all(
    changes: Sequence[tuple[User, str]],
    *,
    by: User | None = None,
    reason: str = "",
    request: HttpRequest | None = None,
) -> None:
    """``tell`` of many people (each with the address before), in as many statements as of one."""
    reason = kept_reason(reason)
    details = {user.pk: _in_words(old, user.email, reason) for user, old in changes}
    security.record_each(SecurityEvent.Kind.EMAIL_CHANGED, details, actor=by, request=request)
    # The event may have cut the reason.
    kept = [AddressChange(user=user, old=old, reason=reason) for user, old in changes if old or reason]
    told = [change for change in AddressChange.objects.bulk_create(kept) if change.old]
    if told:
        provisional.end_mailed([change.user for change in told])
        outbox.owe_all(ADDRESS_CHANGED, [(change.user_id, change.pk) for change in told])


def _in_words(old: str, new: str, reason: str) -> str:
    before, after = (masked_address(address) or "sem e-mail" for address in (old, new))
    return f"{before} → {after}" + (f": {reason}" if reason else "")
