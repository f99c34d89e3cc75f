"""The application on somebody's telephone: it has the key, and shows codes."""

from __future__ import annotations

import base64
import secrets

from django_otp.oath import totp

from accounts import factors, secret_keys
from accounts.models import Authenticator, User


class Telephone:
    """Shows the codes of one key, typed in with or without spaces."""

    def __init__(self, key: str) -> None:
        self.key = key.replace(" ", "")

    def code(self, *, step: int = 0) -> str:
        """The code of now, or of so many steps of 30 s later."""
        return f"{totp(base64.b32decode(self.key), drift=step):06d}"

    def wrong(self) -> str:
        """Six digits that are no code of about now."""
        near = {self.code(step=step) for step in range(-3, 4)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", *near) if code not in near)


def with_telephone(user: User) -> Telephone:
    """Somebody whose second factor is on, and their telephone."""
    key = base64.b32encode(secrets.token_bytes(20)).decode()
    Authenticator.objects.create(user=user, encrypted_key=secret_keys.encrypt(key), name="")
    return Telephone(key)


def with_codes(user: User) -> list[str]:
    """The ten recovery codes of somebody."""
    codes = factors.new_recovery_codes()
    factors.replace_codes(user, factors.hashed(user, codes))
    return codes
