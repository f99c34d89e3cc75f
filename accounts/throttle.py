"""The one throttle: sign-in, reset and search (DESIGN §9). Rows, updated under a lock, keyed by digests.

It is asked before any hashing and counts before it answers, so that many guesses at once are no way round it. It is
the same for people who exist and people who do not: it never looks.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .http import client_address
from .models import SecurityEvent, ThrottleCount
from .security import digest, record

DEVICE_COOKIE = "known-device"
DEVICE_DAYS = 180


@dataclass(frozen=True)
class Limit:
    """``free`` tries in a window; each one more waits twice as long as the last, up to ``longest``.

    ``renewed``: each try begins the window anew, so that patient guessing goes on being counted. Not for an address,
    where many people come and go all day.
    """

    scope: str
    free: int
    window: timedelta
    first_wait: timedelta
    longest: timedelta
    renewed: bool = True


SIGN_IN = Limit("sign-in", 5, timedelta(hours=1), timedelta(minutes=1), timedelta(hours=1))
#: A classroom behind one address slips now and then; a guessing machine does not stop at a hundred.
SIGN_IN_ADDRESS = Limit(
    "sign-in-address", 100, timedelta(minutes=15), timedelta(minutes=1), timedelta(minutes=15), renewed=False
)
RESET = Limit("reset", 3, timedelta(hours=1), timedelta(hours=1), timedelta(hours=1))
RESET_ADDRESS = Limit("reset-address", 60, timedelta(hours=1), timedelta(minutes=5), timedelta(hours=1), renewed=False)
OLD_PASSWORD = Limit("old-password", 5, timedelta(hours=1), timedelta(minutes=1), timedelta(hours=1))
SEARCH = Limit("search", 120, timedelta(minutes=1), timedelta(seconds=10), timedelta(minutes=1), renewed=False)


def take(limit: Limit, what: str, request: HttpRequest | None = None) -> int:
    """Count one try at ``what``; returns the seconds to wait before it may be answered, 0 for at once.

    A try that has to wait is not counted again: whoever waits is not punished for knocking. The security log hears of
    each wait once, when it begins: a flood must not fill a table that nobody may empty.
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
        if row.count == 0 or limit.renewed:
            row.window_ends_at = now + limit.window
        row.count += 1
        over = row.count - limit.free
        row.blocked_until = now + min(limit.first_wait * 2 ** min(over, 20), limit.longest) if over >= 0 else None
        row.save()
        if row.blocked_until is not None:
            record(SecurityEvent.Kind.THROTTLED, typed=what, request=request, detail=limit.scope)
        return 0


def give_back(limit: Limit, what: str) -> None:
    """The try was a right one: it does not count. For an address, whose other tries stay counted."""
    mine = ThrottleCount.objects.filter(scope=limit.scope, key=digest(what), count__gt=0)
    mine.update(count=F("count") - 1, blocked_until=None)


def _seconds(left: timedelta) -> int:
    return max(1, int(left.total_seconds() + 0.999))


def sentence(seconds: int) -> str:
    """How long to wait, as people say it."""
    minutes = -(-seconds // 60)
    return f"Muitas tentativas em pouco tempo. Aguarde {minutes} minuto{'s' if minutes > 1 else ''} e tente de novo."


def clear(limit: Limit, what: str) -> None:
    """The right password came, or a new one was set. Never called for an address: one success clears no crowd."""
    ThrottleCount.objects.filter(scope=limit.scope, key=digest(what)).delete()


def address_key(request: HttpRequest) -> str:
    """What tries from one place are counted by: an IPv4 address, or the /64 that one IPv6 customer has to himself."""
    address = client_address(request) or "-"
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


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
