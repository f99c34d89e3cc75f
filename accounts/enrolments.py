"""One's own second factor: turned on, moved to another telephone, turned off; new recovery codes.

Who calls has let the person prove who they are. Each change ends the other sessions and is told by mail; none is made
by a session that was ended meanwhile (SessionInterrupted).
"""

from __future__ import annotations

import base64
import io
import secrets
from datetime import timedelta
from urllib.parse import quote, urlencode

import qrcode
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from qrcode.image.svg import SvgPathFillImage

from . import factors, secret_keys, security, sessions
from .models import Authenticator, SecurityEvent, User

ISSUER = "Sistemas Externos TJMS"
SESSION_KEY = "second-factor-enrolment"
#: From the password to the first code of the new telephone.
LIFE = timedelta(minutes=15)
#: RFC 4226, R6 recommends 160 bits.
KEY_BYTES = 20


class RefusedError(Exception):
    """The message is a sentence for the person."""


def locked(user: User) -> User:
    """The person as they are now; nobody else changes their factor until the caller's transaction ends."""
    return User.objects.locked(user.pk)


def start(user: User, session: SessionBase) -> None:
    """Make a key for a telephone; it opens nothing before ``confirm``. An earlier unconfirmed one is forgotten."""
    key = base64.b32encode(secrets.token_bytes(KEY_BYTES)).decode()
    with transaction.atomic():
        person = locked(user)
        Authenticator.objects.filter(user=person, confirmed=False).delete()
        device = Authenticator.objects.create(
            user=person, confirmed=False, encrypted_key=secret_keys.encrypt(key), name=""
        )
    session[SESSION_KEY] = {"device": device.pk, "at": timezone.now().timestamp()}


def pending(user: User, session: SessionBase) -> Authenticator | None:
    """The telephone that this session is adding, if its time is not over."""
    begun = session.get(SESSION_KEY)
    if not begun or timezone.now().timestamp() - begun["at"] > LIFE.total_seconds():
        return None
    return Authenticator.objects.filter(pk=begun["device"], user=user, confirmed=False).first()


def is_done(user: User, session: SessionBase) -> bool:
    """Whether what this session began is on by now, by another click; or nothing was begun, and it is on anyway."""
    begun, on = session.get(SESSION_KEY), factors.of(user)
    return on is not None and (begun is None or begun["device"] == on.pk)


def key_of(device: Authenticator) -> str:
    """Base 32, as applications ask for it."""
    return secret_keys.decrypt(device.encrypted_key)


def address_of(device: Authenticator) -> str:
    """What the QR code says: an ``otpauth:`` address (Key Uri Format). It holds the key."""
    user: User = device.user
    label = quote(f"{ISSUER}:{user.display_name}")
    asked = {"secret": key_of(device), "issuer": ISSUER, "algorithm": "SHA1", "digits": factors.DIGITS, "period": 30}
    return f"otpauth://totp/{label}?{urlencode(asked, quote_via=quote)}"


def qr_code(text: str) -> str:
    """A ``data:`` address of the picture: no request of its own, nothing to cache, and a strict CSP takes it."""
    drawn = io.BytesIO()
    qrcode.make(text, image_factory=SvgPathFillImage, box_size=10, border=4).save(drawn)
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"


def confirm(device: Authenticator, code: str, *, request: HttpRequest) -> list[str] | None:
    """Turn it on with its first code, in place of an earlier one; the ten recovery codes, or None if the code is wrong.

    Nobody can read the codes again: only their hashes are kept.
    """
    key = key_of(device)
    step = factors.step_of(key, code)
    if step is None:
        return None
    codes = factors.new_recovery_codes()
    rows = factors.hashed(device.user, codes)
    with transaction.atomic():
        user = locked(device.user)
        replaced = Authenticator.objects.filter(user=user, confirmed=True).delete()[0]
        if not factors.take_step(device, key, step, confirmed=True, created_at=timezone.now()):
            transaction.set_rollback(True)
            return None
        factors.replace_codes(user, rows)
        _end_others(user, SecurityEvent.Kind.FACTOR_ON, request, "outro celular" if replaced else "")
    request.session.pop(SESSION_KEY, None)
    return codes


def renew_codes(user: User, *, request: HttpRequest) -> list[str]:
    """Ten new recovery codes in place of the earlier ones. Raises RefusedError if the factor is off by now."""
    codes = factors.new_recovery_codes()
    rows = factors.hashed(user, codes)
    with transaction.atomic():
        person = locked(user)
        if factors.of(person) is None:
            raise RefusedError("A verificação em duas etapas já está desligada.")
        factors.replace_codes(person, rows)
        _end_others(person, SecurityEvent.Kind.RECOVERY_CODES_MADE, request)
    return codes


def check_may_turn_off(user: User) -> None:
    """Raises RefusedError for staff while it is required of them, and for who has none."""
    if factors.is_required_of(user):
        raise RefusedError("Quem usa a administração não pode desligar a verificação em duas etapas.")
    if factors.of(user) is None:
        raise RefusedError("A verificação em duas etapas já está desligada.")


@transaction.atomic
def turn_off(user: User, *, request: HttpRequest) -> None:
    """Raises RefusedError, as ``check_may_turn_off``, whatever the page offered."""
    person = locked(user)
    check_may_turn_off(person)
    factors.forget(person)
    _end_others(person, SecurityEvent.Kind.FACTOR_OFF, request)


def _end_others(user: User, kind: SecurityEvent.Kind, request: HttpRequest, detail: str = "") -> None:
    sessions.hold(request.session)
    sessions.end_all(user, but=request.session)
    factors.tell(security.record(kind, user=user, actor=user, request=request, detail=detail))
