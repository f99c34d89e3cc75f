"""The second factor: one-time codes of a telephone (TOTP), and ten recovery codes for who has lost it."""

from __future__ import annotations

import base64
import logging
import secrets
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django_otp.oath import TOTP, hotp

from . import outbox, secret_keys, security, suspicion, throttle
from .models import Authenticator, RecoveryCode, SecurityEvent, User

log = logging.getLogger(__name__)

#: The mail that follows each change, about a ``SecurityEvent``.
SECOND_FACTOR_CHANGED = "second_factor_changed"
DIGITS = 6
#: Letters and digits that nobody takes for another one: no 0 O, 1 I L, 2 Z, 5 S, 8 B.
ALPHABET = "ACDEFGHJKMNPQRTUVWXY34679"
GROUP, GROUPS = 4, 3
RECOVERY_CODES = 10
#: One sentence for a code that is wrong, late, or used: which of them is nobody's business.
REFUSED = "Este código não vale. Confira e digite de novo, ou espere o próximo código do aplicativo."


class CodeRefusedError(Exception):
    """The message is a sentence for the person; ``status`` is the page's, 429 for who has to wait."""

    def __init__(self, sentence: str, status: int = 200) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Proof:
    """A code that was right. ``codes_left`` is None unless it was a recovery code."""

    device: Authenticator
    codes_left: int | None = None

    @property
    def how(self) -> str:
        return "código" if self.codes_left is None else "código de recuperação"


def of(user: User) -> Authenticator | None:
    """What this person proves a sign-in with, beside the password; None where it is not on."""
    return Authenticator.objects.filter(user=user, confirmed=True).first()


def is_required_of(user: User) -> bool:
    """Whoever opens doors for others shows it (ASVS 5.0 6.3.3; Portaria CNJ 140/2024)."""
    return bool(settings.STAFF_MFA and user.is_staff)


def was_shown(request: HttpRequest) -> bool:
    """Whether this session has shown a factor that is still on (django-otp's middleware looks)."""
    return getattr(request.user, "otp_device", None) is not None


def clean(typed: str) -> str | None:
    """The six digits, or the twelve characters of a recovery code without its dashes; None for anything else."""
    code = "".join(char for char in typed if char not in " -").upper() if typed.isascii() else ""
    if len(code) == DIGITS and code.isdigit():
        return code
    return code if len(code) == GROUP * GROUPS and not set(code) - set(ALPHABET) else None


def prove(user: User, code: str, *, request: HttpRequest) -> Proof:
    """Take one code as ``clean`` gives it, of the telephone or of the list; each is good once (ASVS 5.0 6.5.1).

    Raises CodeRefusedError. Wrong ones are counted by the person and recorded (6.5.5 and 6.6.3).
    """
    counted_by = user.cpf
    tried = throttle.attempt(throttle.CODE, counted_by, request, about=user)
    if tried.wait:
        raise CodeRefusedError(throttle.sentence(tried.wait), status=429)
    device = of(user)
    proof = None
    if device is not None:
        proof = _by_telephone(device, code) if len(code) == DIGITS else _by_list(device, code, request)
    if proof is None:
        security.record(SecurityEvent.Kind.FACTOR_FAILED, user=user, request=request)
        if tried.number == throttle.CODE.free:  # the first that makes the next one wait
            suspicion.many_wrong_codes(user, request)
        raise CodeRefusedError(REFUSED)
    throttle.clear(throttle.CODE, counted_by)
    return proof


def _by_telephone(device: Authenticator, code: str) -> Proof | None:
    try:
        key = secret_keys.decrypt(device.encrypted_key)
    except secret_keys.KeyGoneError:
        log.error("The key of authenticator %s was encrypted with a key that SECRETS_KEY lacks", device.pk)  # noqa: TRY400 - the trace says no more
        return None
    step = step_of(key, code)
    return Proof(device) if step is not None and take_step(device, key, step) else None


def step_of(key: str, code: str) -> int | None:
    """The time step of 30 s whose code this is, now, one before or one after; None if none of them."""
    raw = base64.b32decode(key)
    now = TOTP(raw).t()
    steps = (step for step in (now - 1, now, now + 1) if constant_time_compare(f"{hotp(raw, step):0{DIGITS}}", code))
    return next(steps, None)


def take_step(device: Authenticator, key: str, step: int, **also: object) -> bool:
    """Spend the code of this step; False if it, or a later one, was spent already. The row's count decides.

    The key is stored anew each time, so that after a change of ``SECRETS_KEY`` it needs the new one alone.
    """
    unspent = Authenticator.objects.filter(pk=device.pk, confirmed=device.confirmed, last_step__lt=step)
    return unspent.update(last_step=step, encrypted_key=secret_keys.encrypt(key), **also) == 1


def _by_list(device: Authenticator, code: str, request: HttpRequest) -> Proof | None:
    user: User = device.user
    unused = RecoveryCode.objects.filter(user=user, used_at=None)
    row = unused.filter(selector=code[:GROUP]).first()
    if row is None:
        make_password(code[GROUP:])  # the same work as a comparison
        return None
    if not check_password(code[GROUP:], row.code_hash):
        return None
    with transaction.atomic():
        if not unused.filter(pk=row.pk).update(used_at=timezone.now()):
            return None
        left = unused.count()
        event = security.record(
            SecurityEvent.Kind.RECOVERY_CODE_USED, user=user, actor=user, request=request, detail=f"restam {left}"
        )
        tell(event)
    return Proof(device, codes_left=left)


def new_recovery_codes() -> list[str]:
    """Ten codes such as ``ACDE-F34K-7TRW``; eight of the twelve characters (37 bits) are secret (ASVS 5.0 6.5.4)."""
    selectors: set[str] = set()
    while len(selectors) < RECOVERY_CODES:
        selectors.add(_group())
    return [f"{selector}-{_group()}-{_group()}" for selector in sorted(selectors)]


def _group() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(GROUP))


def hashed(user: User, codes: list[str]) -> list[RecoveryCode]:
    """The rows of these codes, not yet stored. Slow: ten hashes (ASVS 5.0 6.5.2), outside any transaction."""
    plain = [code.replace("-", "") for code in codes]
    return [RecoveryCode(user=user, selector=code[:GROUP], code_hash=make_password(code[GROUP:])) for code in plain]


def replace_codes(user: User, rows: list[RecoveryCode]) -> None:
    """In the caller's transaction: these are good from now on, and none of the earlier ones."""
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(rows)


def forget(user: User) -> None:
    """In the caller's transaction: no telephone and no list of this person is good any more."""
    Authenticator.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()


def tell(event: SecurityEvent) -> None:
    """Owe the person the notice of a change (ASVS 5.0 6.3.7)."""
    if event.user is not None and event.user.email:
        outbox.owe(SECOND_FACTOR_CHANGED, recipient=event.user.pk, about=event.pk)
