"""Sessions: rows that know whose they are, found by a digest of the key that the browser has.

They end after ``SESSION_IDLE_MINUTES`` without use, and ``SESSION_HOURS`` after the sign-in at the latest (ASVS 5.0
7.3.1 and 7.3.2). Whoever reads the table cannot become somebody by it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY as PERSON_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import Error, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .http import client_address, device_of
from .models import Session, User

log = logging.getLogger(__name__)

SIGNED_IN_AT = "signed_in_at"
#: A click is noted no more often than this.
NOTED_EVERY = timedelta(minutes=1)


def idle_limit() -> timedelta:
    return timedelta(minutes=settings.SESSION_IDLE_MINUTES)


def longest() -> timedelta:
    return timedelta(seconds=settings.SESSION_COOKIE_AGE)


def digest(key: str) -> str:
    """SHA-256 of a session's key (64 hexadecimal digits); the key has 165 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


def alive() -> QuerySet[Session]:
    """Those that still open something."""
    now = timezone.now()
    return Session.objects.filter(Q(user=None) | Q(seen_at__gt=now - idle_limit()), expire_date__gt=now)


def over() -> QuerySet[Session]:
    """Those that open nothing any more."""
    now = timezone.now()
    return Session.objects.filter(Q(user__isnull=False, seen_at__lte=now - idle_limit()) | Q(expire_date__lte=now))


def of(user: User) -> QuerySet[Session]:
    """Where this person is signed in, what was used last first."""
    return alive().filter(user=user).order_by("-seen_at")


class SessionStore(DatabaseStore):
    """Django's, with our row; ``settings.SESSION_ENGINE`` names this module."""

    row: Session | None = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    @classmethod
    def clear_expired(cls) -> None:
        over().delete()

    def _get_session_from_db(self) -> Session | None:
        self.row = alive().filter(session_key=digest(self.session_key or "")).first()
        if self.row is None:
            self._session_key = None
        return self.row

    def exists(self, session_key: str) -> bool:
        return Session.objects.filter(session_key=digest(session_key)).exists()

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            Session.objects.filter(session_key=digest(key)).delete()

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """The row as it shall be stored: a new one for a new key, else the one that was read."""
        key = digest(self._get_or_create_session_key())  # type: ignore[attr-defined]  # not in the stubs
        if self.row is None or self.row.session_key != key:
            self.row = Session(session_key=key)
        row = self.row
        row.user_id = int(data[PERSON_KEY]) if PERSON_KEY in data else None
        if row.user_id is None:
            row.signed_in_at = None
            row.expire_date = self.get_expiry_date()
        else:
            data.setdefault(SIGNED_IN_AT, timezone.now().isoformat())
            row.signed_in_at = datetime.fromisoformat(data[SIGNED_IN_AT])
            row.expire_date = row.signed_in_at + longest()
        row.session_data = self.encode(data)
        return row

    def note_use(self, request: HttpRequest) -> None:
        """The person did something: the time without use begins anew."""
        row, now = self.row, timezone.now()
        if row is None:
            return
        address, device = client_address(request), device_of(request)
        if (address, device) == (row.address, row.device) and now - row.seen_at < NOTED_EVERY:
            return
        row.seen_at, row.address, row.device = now, address, device
        try:
            with transaction.atomic():
                Session.objects.filter(pk=row.pk).update(seen_at=now, address=address, device=device)
        except Error:  # a database that takes no writes still shows pages
            log.warning("The use of a session could not be noted.", exc_info=True)


class SessionUseMiddleware:
    """Whoever uses the portal stays signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            cast("SessionStore", request.session).note_use(request)
        return self.get_response(request)


def begin(session: SessionBase) -> None:
    """Right after ``login``: the hours count from now."""
    session[SIGNED_IN_AT] = timezone.now().isoformat()


def end_all(user: User, *, but: SessionBase | None = None) -> int:
    """Sign this person out everywhere, here excepted; returns how many sessions that were."""
    ended = of(user)
    if but is not None and but.session_key:
        ended = ended.exclude(session_key=digest(but.session_key))
    return ended.delete()[0]
