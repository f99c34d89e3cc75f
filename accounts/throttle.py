"""The one throttle: sign-in, reset and search (DESIGN §9). Rows, updated under a lock, keyed by digests.

It is asked before any hashing and counts before it answers, so that many guesses at once are no way round it. It is
the same for people who exist and people who do not: it never looks.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import F, Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .http import client_address
from .models import SecurityEvent, ThrottleCount, User
from .security import digest, digests, record

DEVICE_COOKIE = "__Host-known-device" if settings.HTTPS else "known-device"
DEVICE_DAYS = 180


@dataclass(frozen=True)
class Limit:
    """``free`` tries in a window; each one more waits twice as long as the last, up to ``longest``.

    ``renewed``: each try begins the window anew, so that patient guessing goes on being counted. Not for an address,
    where many people come and go all day.

    ``most``: tries in a row after which none is answered any more, however long somebody waits, until the right
    person clears the count: by a new password, or through the help desk.
    """

    scope: str
    free: int
    window: timedelta
    first_wait: timedelta
    longest: timedelta
    renewed: bool = True
    most: int | None = None
    #: What the staff read in the security log.
    label: str = field(kw_only=True)


#: Tries in a row are remembered this long; a device that is known, too.
REMEMBERED = timedelta(days=180)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
#: Strangers and known devices have a count each, and the gear has one: together no more than a hundred wrong passwords
#: in a row for one person (NIST SP 800-63B-4, 3.2.2).
SIGN_IN = Limit("sign-in", 5, REMEMBERED, MINUTE, HOUR, most=40, label="entrada")
OLD_PASSWORD = Limit("old-password", 5, REMEMBERED, MINUTE, HOUR, most=20, label="senha atual")
#: A classroom behind one address slips now and then; a guessing machine does not stop at a hundred.
SIGN_IN_ADDRESS = Limit(
    "sign-in-address", 100, 15 * MINUTE, MINUTE, 15 * MINUTE, renewed=False, label="entrada, de um endereço"
)
RESET = Limit("reset", 3, HOUR, HOUR, HOUR, label="pedidos de link")
RESET_ADDRESS = Limit(
    "reset-address", 60, HOUR, 5 * MINUTE, HOUR, renewed=False, label="pedidos de link, de um endereço"
)
#: Links of no worth that one address opened: mail scanners open old ones, a guessing machine does not stop.
LINK_ADDRESS = Limit(
    "link-address", 100, 15 * MINUTE, MINUTE, 15 * MINUTE, renewed=False, label="links sem valor, de um endereço"
)
#: Codes of the second factor, by CPF: three of a million are right at any moment.
CODE = Limit("code", 5, REMEMBERED, MINUTE, HOUR, most=50, label="código de verificação")
#: Links that one of the staff sends to people, by the key of that member.
LINKS_BY_STAFF = Limit("links-by-staff", 30, HOUR, HOUR, HOUR, renewed=False, label="links enviados pela equipe")
#: Whatever else one of the staff does for people, counted together: nobody attends to two a minute for an hour.
STAFF_ACTS = Limit("staff-acts", 120, HOUR, 10 * MINUTE, HOUR, renewed=False, label="atendimentos da equipe")
SEARCH = Limit("search", 120, MINUTE, timedelta(seconds=10), MINUTE, renewed=False, label="busca de pessoas")
#: Whole CPFs and files, for one person: each leaves a row in a table that nobody may empty.
OWN_DATA = Limit("own-data", 10, HOUR, 5 * MINUTE, HOUR, label="meus dados")


NO_MORE = (
    "Houve tentativas erradas demais, e não aceitamos outras. Se o problema é a senha, saia e use “Esqueci a senha”. "
    "Se não é, ligue para a Coordenadoria: o telefone está no fim desta página."
)


def owner_of(what: str) -> str:
    """Whose tries these are, without the device (``sign_in_key``)."""
    return what.partition(" ")[0]


def key_of(what: str) -> str:
    """What a row is found by (64 hexadecimal digits). Those of one owner begin alike, for ``unlock``."""
    return digest(owner_of(what))[:32] + digest(what)[32:]


@dataclass(frozen=True)
class Try:
    """One try, as it was counted.

    ``wait``: the seconds before it may be answered, 0 for at once. ``number``: which one in a row it was, 0 if it was
    not counted. ``holds_until``: when the wait ends that this very try began for those after it.
    """

    wait: int = 0
    number: int = 0
    holds_until: datetime | None = None


def take(limit: Limit, what: str, request: HttpRequest | None = None, *, by: User | None = None) -> int:
    """Count one try at ``what``; returns the seconds to wait before it may be answered, 0 for at once."""
    return attempt(limit, what, request, by=by).wait


def attempt(
    limit: Limit, what: str, request: HttpRequest | None = None, *, by: User | None = None, about: User | None = None
) -> Try:
    """Count one try at ``what``, for who needs to know more of it than the wait.

    A try that has to wait is not counted again: whoever waits is not punished for knocking. The security log hears of
    each wait once, when it begins: a flood must not fill a table that nobody may empty. It names who tries (``by``),
    or whose account it is tried at (``about``), where that is known; unless the former is, it keeps the digest of what
    was tried.
    """
    with transaction.atomic():
        # Made or locked, in one statement: between two, ``clear`` could take the row away.
        ThrottleCount.objects.bulk_create(
            [ThrottleCount(scope=limit.scope, key=key_of(what), window_ends_at=timezone.now() + limit.window)],
            update_conflicts=True,
            unique_fields=["scope", "key"],
            update_fields=["scope"],
        )
        row = ThrottleCount.objects.get(scope=limit.scope, key=key_of(what))
        now = timezone.now()
        if row.blocked_until is not None and row.blocked_until > now:
            return Try(wait=_seconds(row.blocked_until - now))
        if row.window_ends_at <= now:
            row.count = 0
        if row.count == 0 or limit.renewed:
            row.window_ends_at = now + limit.window
        row.count += 1
        row.blocked_until = _wait_ends(limit, row, now)
        row.save()
        if row.blocked_until is not None:
            typed = "" if by else owner_of(what)
            kind = SecurityEvent.Kind.THROTTLED
            record(kind, user=by or about, actor=by, typed=typed, request=request, detail=limit.label)
        return Try(number=row.count, holds_until=row.blocked_until)


def _wait_ends(limit: Limit, row: ThrottleCount, now: datetime) -> datetime | None:
    if limit.most is not None and row.count >= limit.most:
        return row.window_ends_at
    over = row.count - limit.free
    return now + min(limit.first_wait * 2 ** min(over, 20), limit.longest) if over >= 0 else None


def waiting(limit: Limit, what: str) -> int:
    """The seconds that a try would have to wait now, 0 for none; counts nothing."""
    now = timezone.now()
    row = ThrottleCount.objects.filter(scope=limit.scope, key=key_of(what), blocked_until__gt=now).first()
    return _seconds(row.blocked_until - now) if row and row.blocked_until else 0


def give_back(limit: Limit, what: str, right: Try) -> None:
    """This try was a right one: it does not count, and no wait holds that it began itself.

    For an address: its other tries stay counted, and a wait that one of them began goes on.
    """
    if right.number:
        rows = ThrottleCount.objects.filter(scope=limit.scope, key=key_of(what))
        rows.filter(blocked_until=right.holds_until).update(blocked_until=None)
        rows.filter(count__gt=0).update(count=F("count") - 1)


def _seconds(left: timedelta) -> int:
    return max(1, int(left.total_seconds() + 0.999))


def sentence(seconds: int) -> str:
    """How long to wait, as people say it; past a day, who else can help."""
    if seconds > timedelta(days=1).total_seconds():
        return NO_MORE
    minutes = -(-seconds // 60)
    return f"Muitas tentativas em pouco tempo. Aguarde {minutes} minuto{'s' if minutes > 1 else ''} e tente de novo."


def clear(limit: Limit, what: str) -> None:
    """The right password came, or a new one was set. Never called for an address: one success clears no crowd."""
    ThrottleCount.objects.filter(scope=limit.scope, key=key_of(what)).delete()


def _of_owner(owner: str, limits: Iterable[Limit]) -> QuerySet[ThrottleCount]:
    beginning = digest(owner)[:32]
    # As a range, which the index on both columns serves; "g" comes after the last hexadecimal digit.
    rows = ThrottleCount.objects.filter(key__gte=beginning, key__lt=beginning + "g")
    return rows.filter(scope__in=[limit.scope for limit in limits])


def blocked_until(limit: Limit, owner: str) -> datetime | None:
    """When the last wait of this owner's tries ends, on any device; None where none waits."""
    held = _of_owner(owner, [limit]).filter(blocked_until__gt=timezone.now())
    latest: datetime | None = held.aggregate(latest=Max("blocked_until"))["latest"]
    return latest


def forgive_passwords(cpf: str) -> None:
    """There is a new password: forget every try at the old one, those of known devices too."""
    _of_owner(cpf, (SIGN_IN, RESET, OLD_PASSWORD)).delete()


def unlock(cpf: str) -> None:
    """The help desk knows who it is: forget the tries at codes as well."""
    _of_owner(cpf, (SIGN_IN, RESET, OLD_PASSWORD, CODE)).delete()


def address_key(request: HttpRequest) -> str:
    """What tries from one place are counted by: an IPv4 address, or the /64 that one IPv6 customer has to himself."""
    address = client_address(request) or "-"
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


def sign_in_key(request: HttpRequest, cpf: str) -> str:
    """What the tries at one CPF are counted by.

    Devices that signed in as this person before have a count of their own, so that strangers do not lock them out; one
    for all of them, so that many devices are not many tries.
    """
    return f"{cpf} known" if known_device(request, cpf) else cpf


def known_device(request: HttpRequest, cpf: str, *, since: datetime | None = None) -> str:
    """The device's mark if it signed in as this person before, and not before ``since``; else nothing."""
    longest = timedelta(days=DEVICE_DAYS)
    max_age = min(longest, timezone.now() - since) if since else longest
    try:
        mark = signing.loads(request.COOKIES.get(DEVICE_COOKIE, ""), salt=DEVICE_COOKIE, max_age=max_age)
        owner, device = mark
    except (signing.BadSignature, TypeError, ValueError):
        return ""
    return str(device) if owner in digests(cpf) else ""


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
