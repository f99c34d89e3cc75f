"""The one throttle: sign-in, reset and search (DESIGN §9). Rows, updated under a lock, keyed by digests.

It is asked before any hashing and counts before it answers, so that many guesses at once are no way round it. It is
the same for people who exist and people who do not: it never looks.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .http import client_address
from .models import ThrottleCount
from .security import digest

DEVICE_COOKIE = "known-device"
DEVICE_DAYS = 180


@dataclass(frozen=True)
class Limit:
    """``free`` tries in a window; each one more waits twice as long as the last, up to ``longest``."""

    scope: str
    free: int
    window: timedelta
    first_wait: timedelta
    longest: timedelta


SIGN_IN = Limit("sign-in", 5, timedelta(hours=1), timedelta(minutes=1), timedelta(hours=1))
#: A classroom behind one address slips now and then; a guessing machine does not stop at a hundred.
SIGN_IN_ADDRESS = Limit("sign-in-address", 100, timedelta(minutes=15), timedelta(minutes=1), timedelta(minutes=15))
RESET = Limit("reset", 3, timedelta(hours=1), timedelta(hours=1), timedelta(hours=1))
RESET_ADDRESS = Limit("reset-address", 60, timedelta(hours=1), timedelta(minutes=5), timedelta(hours=1))
OLD_PASSWORD = Limit("old-password", 5, timedelta(hours=1), timedelta(minutes=1), timedelta(hours=1))
SEARCH = Limit("search", 120, timedelta(minutes=1), timedelta(seconds=10), timedelta(minutes=1))


def take(limit: Limit, what: str) -> int:
    """Count one try at ``what``; returns the seconds to wait before it may be answered, 0 for at once.

    A try that has to wait is not counted again: whoever waits is not punished for knocking.
    """
    with transaction.atomic():
        # Made or locked, in one statement: between two, ``clear`` could take the row away.
        ThrottleCount.objects.bulk_create(
            [ThrottleCount(scope=limit.scope, key=digest(what), window_ends_at=timezone.now() + limit.window)],
            update_conflicts=True,
            unique_fields=["scope", "key"],
            update_fields=["scope"],
        )
        row = ThrottleCount.objects.get(scope=limit.scope, key=digest(what))
        now = timezone.now()
        if row.blocked_until is not None and row.blocked_until > now:
            return _seconds(row.blocked_until - now)
        if row.window_ends_at <= now:
            row.count = 0
        row.count += 1
        row.window_ends_at = now + limit.window
        over = row.count - limit.free
        row.blocked_until = now + min(limit.first_wait * 2 ** min(over, 20), limit.longest) if over >= 0 else None
        row.save()
        return 0


def _seconds(left: timedelta) -> int:
    return max(1, int(left.total_seconds() + 0.999))


def clear(limit: Limit, what: str) -> None:
    """The right password came, or a new one was set. Never called for an address: one success clears no crowd."""
    ThrottleCount.objects.filter(scope=limit.scope, key=digest(what)).delete()


def forget_old() -> None:
    """Rows whose window ended a day ago say nothing any more."""
    ThrottleCount.objects.filter(window_ends_at__lt=timezone.now() - timedelta(days=1)).delete()


def address_key(request: HttpRequest) -> str:
    return client_address(request) or "-"


def sign_in_key(request: HttpRequest, cpf: str) -> str:
    """What the tries at one CPF are counted by: a device that signed in as this person before has its own count."""
    device = known_device(request, cpf)
    return f"{cpf}:{device}" if device else cpf


def known_device(request: HttpRequest, cpf: str) -> str:
    """The device's mark if it signed in as this person before, else nothing."""
    try:
        mark = signing.loads(request.COOKIES.get(DEVICE_COOKIE, ""), salt=DEVICE_COOKIE, max_age=DEVICE_DAYS * 86400)
        owner, device = mark
    except (signing.BadSignature, TypeError, ValueError):
        return ""
    return str(device) if owner == digest(cpf) else ""


def remember_device(response: HttpResponse, cpf: str) -> None:
    """After the right password: strangers who guess at this CPF no longer lock this device out."""
    response.set_cookie(
        DEVICE_COOKIE,
        signing.dumps([digest(cpf), secrets.token_hex(8)], salt=DEVICE_COOKIE),
        max_age=DEVICE_DAYS * 86400,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
