"""The forgotten password, from the CPF that somebody typed to the link that works once (DESIGN §9).

The page never looks anybody up: it writes a row. The worker finds out who it is and owes the mail.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.http import base36_to_int, urlsafe_base64_decode, urlsafe_base64_encode

from . import correlation, outbox, security
from .models import OutgoingMail, PasswordResetRequest, SecurityEvent, User

SESSION_KEY = "password-reset"
LINK_LIFE = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
#: The kind of mail that brings a link (``emails``).
MAIL = "password_reset"
#: So many mails with a link to one person within an hour, whoever asks (OWASP Forgot Password).
MOST_AN_HOUR = 3


class NoLink(StrEnum):
    """Why somebody gets no link, as the security log tells the help desk."""

    UNKNOWN = "CPF desconhecido"
    INACTIVE = "Pessoa inativa"
    NO_ADDRESS = "Pessoa sem e-mail"
    TOO_MANY = "Limite de três por hora"


def ask(cpf: str, *, address: str | None) -> None:
    """Note that somebody typed this CPF, whoever it is. The caller rings, once that can delay no answer."""
    PasswordResetRequest.objects.create(cpf=cpf, address=address, request_id=correlation.current())


def handle_all() -> None:
    """Look up who asked, and owe each person who can have it their mail."""
    while _handle_one():
        pass


@transaction.atomic
def _handle_one() -> bool:
    asked = PasswordResetRequest.objects.select_for_update(skip_locked=True).order_by("pk").first()
    if asked is None:
        return False
    with correlation.of(asked.request_id):
        _handle(asked)
    return True


def _handle(asked: PasswordResetRequest) -> None:
    asked.delete()
    user = User.objects.select_for_update(of=("self",), no_key=True).filter(cpf=asked.cpf).first()
    if user is None:
        security.record(
            SecurityEvent.Kind.RESET_NOT_SENT, typed=asked.cpf, address=asked.address, detail=NoLink.UNKNOWN
        )
    else:
        owe_link(user, SecurityEvent.Kind.RESET_REQUESTED, typed=asked.cpf, address=asked.address)


def owe_link(user: User, kind: SecurityEvent.Kind, **event: Any) -> NoLink | None:
    """Owe somebody the mail with a link and record that as ``kind``; or record why not, and return it.

    The caller holds the transaction and the person's lock: many who ask at once are counted one after the other.
    """
    if (why := why_no_link(user)) is not None:
        security.record(SecurityEvent.Kind.RESET_NOT_SENT, user=user, detail=why, **event)
    else:
        recorded = security.record(kind, user=user, **event)
        outbox.owe(MAIL, recipient=user.pk, about=recorded.pk)
    return why


def why_no_link(user: User) -> NoLink | None:
    """Why this person gets no mail with a link just now; None where one may be owed."""
    if not user.is_active:
        return NoLink.INACTIVE
    if not user.email:
        return NoLink.NO_ADDRESS
    return NoLink.TOO_MANY if free_again_at(user) else None


def free_again_at(user: User) -> datetime | None:
    """When the next link may be owed, if not now: an hour after the third last."""
    hour = timedelta(hours=1)
    owed = OutgoingMail.objects.filter(recipient=user, kind=MAIL, created_at__gt=timezone.now() - hour)
    times = list(owed.order_by("-created_at").values_list("created_at", flat=True)[:MOST_AN_HOUR])
    return times[-1] + hour if len(times) == MOST_AN_HOUR else None


def closings(user: User) -> QuerySet[SecurityEvent]:
    """When this person's entry was closed, the last time first."""
    return user.security_events.filter(kind=SecurityEvent.Kind.ACCESS_CLOSED).order_by("-pk")


class LinkTokens(PasswordResetTokenGenerator):
    """Django's tokens: a keyed MAC over the person, password hash, last sign-in, address and time.

    So a link dies when it or its sibling is used, when the person signs in, and when the address or the CPF changes.
    And when the entry is closed: opened again, it brings no earlier link back.
    """

    key_salt = "accounts.resets.LinkTokens"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        closed = closings(user).values_list("pk", flat=True).first() or ""
        return f"{super()._make_hash_value(user, timestamp)}{closed}/{user.cpf}"

    def digest_at(self, user: User, timestamp: int) -> list[str]:
        """What ``digest`` gives for a valid token of that second, for each secret in use."""
        secrets = [self.secret, *self.secret_fallbacks]
        return [digest(self._make_token_with_timestamp(user, timestamp, secret)) for secret in secrets]

    def age(self, timestamp: int) -> timedelta:
        """Time since a token was made."""
        return timedelta(seconds=self._num_seconds(self._now()) - timestamp)

    def _now(self) -> datetime:
        return datetime.now()  # noqa: DTZ005 - Django's tokens count naive seconds


tokens = LinkTokens()


def digest(token: str) -> str:
    """SHA-256 of a token: what the session keeps in its place (64 hexadecimal digits)."""
    return hashlib.sha256(token.encode()).hexdigest()


def link_for(user: User) -> str:
    """The address to mail, made from ``PORTAL_URL`` and never from a request; it holds for ``LINK_LIFE``, once."""
    uid = urlsafe_base64_encode(str(user.pk).encode())
    return settings.PORTAL_URL + reverse("password-reset-link", args=[uid, tokens.make_token(user)])


def open_link(uid: str, token: str, session: SessionBase) -> bool:
    """Check a link that was opened; if it holds, leave what its form needs in the session. Spends nothing."""
    user = _person(uid)
    if user is None or not tokens.check_token(user, token):
        session.pop(SESSION_KEY, None)
        return False
    session[SESSION_KEY] = {"uid": uid, "made": base36_to_int(token.partition("-")[0]), "digest": digest(token)}
    return True


def _person(uid: str) -> User | None:
    try:
        pk = int(urlsafe_base64_decode(uid).decode("ascii"))
    except ValueError:  # UnicodeDecodeError included
        return None
    if not 0 < pk < 2**63:
        return None
    return User.objects.filter(pk=pk, is_active=True).first()


def person_of(session: SessionBase) -> User | None:
    """Whose open link this session holds, if it still holds good."""
    link = session.get(SESSION_KEY)
    user = _person(link["uid"]) if link else None
    return user if user is not None and still_holds(session, user) else None


def still_holds(session: SessionBase, user: User) -> bool:
    """Whether the link in the session is good for this person, as they are now."""
    link = session.get(SESSION_KEY)
    if not link or _person(link["uid"]) != user or tokens.age(link["made"]) > LINK_LIFE:
        return False
    return any(hmac.compare_digest(link["digest"], good) for good in tokens.digest_at(user, link["made"]))


def close_link(session: SessionBase) -> None:
    """Nothing of this session is needed any more: a new one begins at the next sign-in."""
    session.flush()
