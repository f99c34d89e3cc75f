"""The security log: who, what, when, from where. No secret, no whole CPF (ASVS 5.0 16.2)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from .http import client_address, device_of
from .models import SecurityEvent, User

log = logging.getLogger(__name__)


def digest(typed: str) -> str:
    """A keyed digest (64 hexadecimal digits): tells whether two things typed were the same, never what they were.

    By the last of ``SECRETS_KEYS``, so that a new one in front resets no count.
    """
    return _digest_by(settings.SECRETS_KEYS[-1], typed)


def digests(typed: str) -> list[str]:
    """The digest by each of ``SECRETS_KEYS``, to find what was written down before a change of keys."""
    return [_digest_by(key, typed) for key in settings.SECRETS_KEYS]


def _digest_by(key: str, typed: str) -> str:
    return salted_hmac("accounts.security.digest", typed, secret=key, algorithm="sha256").hexdigest()


def record(
    kind: SecurityEvent.Kind,
    *,
    user: User | None = None,
    actor: User | None = None,
    typed: str = "",
    request: HttpRequest | None = None,
    address: str | None = None,
    detail: str = "",
) -> SecurityEvent:
    """Write one event, in the caller's transaction if there is one."""
    event = SecurityEvent.objects.create(
        kind=kind,
        user=user,
        actor=actor,
        typed_digest=digest(typed) if typed else "",
        address=client_address(request) if request else address,
        device=device_of(request) if request else "",
        detail=detail[:200],
    )
    log.info("security %s person=%s by=%s %s", kind, user and user.pk, actor and actor.pk, detail)
    return event


def record_for(kind: SecurityEvent.Kind, people: Collection[int], *, detail: str) -> None:
    """Write one event for each of these people (by their keys), done by nobody, in one statement."""
    record_each(kind, dict.fromkeys(people, detail))


def record_each(
    kind: SecurityEvent.Kind,
    details: Mapping[int, str],
    *,
    actor: User | None = None,
    request: HttpRequest | None = None,
) -> None:
    """Write one event for each of these people (key -> detail), in one statement."""
    address = client_address(request) if request else None
    device = device_of(request) if request else ""
    SecurityEvent.objects.bulk_create(
        SecurityEvent(kind=kind, user_id=key, actor=actor, address=address, device=device, detail=detail[:200])
        for key, detail in details.items()
    )
    for key, detail in details.items():
        log.info("security %s person=%s by=%s %s", kind, key, actor and actor.pk, detail)


def refused(what: str, *, by: User, about: int | None = None) -> None:
    """Say in the log that one of the staff tried what is not theirs to do, to the person with the key ``about``.

    No row: nothing happened to anybody, and a flood must not fill a table that nobody may empty.
    """
    log.warning("security REFUSED %s person=%s by=%s", what, about, by.pk)
