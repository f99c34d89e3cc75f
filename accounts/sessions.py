"""Sessions: rows that know whose they are, found by a digest of the key that the browser has.

They end after ``SESSION_IDLE_MINUTES`` without use, and ``SESSION_HOURS`` after the sign-in at the latest (ASVS 5.0
7.3.1 and 7.3.2). Whoever reads the table cannot become somebody by it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY as PERSON_KEY
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import DatabaseError, Error, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from . import security
from .http import client_address, device_of
from .models import SecurityEvent, Session, User

log = logging.getLogger(__name__)

SIGNED_IN_AT = "signed_in_at"
#: A click is noted no more often than this.
NOTED_EVERY = timedelta(minutes=1)
#: What belongs to the data; the rest of a row is ``note_use``'s.
STORED = ("session_data", "user", "signed_in_at", "expire_date")
#: For the log; what the person reads is ``bnmp_portal.errors``' page.
ENDED = "The session was ended while its request was answered."


def idle_limit() -> timedelta:
    """How long a session may go unused (ASVS 5.0 7.3.1)."""
    return timedelta(minutes=settings.SESSION_IDLE_MINUTES)


def longest() -> timedelta:
    """How long one may last however much it is used (ASVS 5.0 7.3.2)."""
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

    def save(self, must_create: bool = False) -> None:
        """As Django's, but what a request beside this one has noted of the use stays.

        Raises UpdateError if the session was ended meanwhile: nothing brings it back.
        """
        if must_create or self.session_key is None:
            super().save(must_create)
            return
        row = self.create_model_instance(self._get_session())  # type: ignore[attr-defined]  # not in the stubs
        try:
            with transaction.atomic():
                row.save(force_update=True, update_fields=STORED)
        except DatabaseError:
            raise UpdateError  # noqa: B904 - Django's; ``bnmp_portal.errors`` looks at what came before it

    def cycle_key(self) -> None:
        """Go on under a new key, in the same row: whoever ends the session at this moment finds it by what stays.

        Raises SessionInterrupted if it was ended meanwhile: nothing brings it back.
        """
        self._get_session()  # type: ignore[attr-defined]  # not in the stubs; reads the row
        if self.row is None or self.session_key is None:
            super().cycle_key()
            return
        new = self._get_new_session_key()  # type: ignore[attr-defined]  # not in the stubs
        if not Session.objects.filter(session_key=self.row.session_key).update(session_key=digest(new)):
            raise SessionInterrupted(ENDED)
        self.row.session_key = digest(new)
        self._session_key = new
        self.modified = True

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """The row as it shall be stored: a new one for a new key, else the one that was read."""
        key = digest(self._get_or_create_session_key())  # type: ignore[attr-defined]  # not in the stubs
        if self.row is None:
            self.row = Session(session_key=key)
        elif self.row.session_key != key:  # the same browser begins a new session
            self.row = Session(session_key=key, address=self.row.address, device=self.row.device)
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

    @property
    def idle_seconds(self) -> int:
        """How long it may be left alone."""
        return int(idle_limit().total_seconds())

    @property
    def unused_seconds(self) -> int:
        """How much of that is left."""
        return self._seconds_until(self.row.seen_at + idle_limit()) if self.row else 0

    @property
    def seconds_left(self) -> int:
        """Until it ends however much it is used."""
        return self._seconds_until(self.row.expire_date) if self.row else 0

    def _seconds_until(self, moment: datetime) -> int:
        return max(0, int((moment - timezone.now()).total_seconds()))

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


def begin(request: HttpRequest) -> None:
    """Right after ``login``: the hours count from now, and the list of sessions knows from where."""
    request.session[SIGNED_IN_AT] = timezone.now().isoformat()
    cast("SessionStore", request.session).note_use(request)


def is_of(row: Session, session: SessionBase) -> bool:
    """Whether this is the row of the session that asks."""
    return row.session_key == digest(session.session_key or "")


def hold(session: SessionBase) -> None:
    """In the caller's transaction: whoever ends this session waits until it is over.

    Raises SessionInterrupted if that has happened already: what was asked is not done.
    """
    row = Session.objects.filter(session_key=digest(session.session_key or ""))
    if row.select_for_update(of=("self",), no_key=True).first() is None:
        raise SessionInterrupted(ENDED)


@transaction.atomic
def end(row: Session, *, by: User, request: HttpRequest) -> None:
    """Sign this one browser out."""
    Session.objects.filter(mark=row.mark).delete()  # its key may be another by now
    security.record(SecurityEvent.Kind.SESSION_ENDED, user=row.user, actor=by, request=request, detail="uma sessão")


@transaction.atomic
def end_all(
    user: User, *, but: SessionBase | None = None, by: User | None = None, request: HttpRequest | None = None
) -> int:
    """Sign this person out everywhere, but in the session ``but``; returns how many sessions that were.

    ``by`` is who wanted just that: it is recorded, even where there was none to end. Whatever ends sessions on its
    way, as a new password does, leaves it out and records what it is.
    """
    open_ones = of(user)
    if but is not None and but.session_key:
        open_ones = open_ones.exclude(session_key=digest(but.session_key))
    ended = open_ones.delete()[0]
    if by is not None:
        which = "outras sessões" if but is not None else "todas as sessões"
        security.record(
            SecurityEvent.Kind.SESSION_ENDED, user=user, actor=by, request=request, detail=f"{which}: {ended}"
        )
    return ended


def end_all_of(people: Collection[int]) -> int:
    """Sign these people (by their keys) out everywhere, in one statement; returns how many sessions that were.

    Recorded by whoever wants it, as what it is.
    """
    return alive().filter(user__in=people).delete()[0]
