"""The second factor: one-time codes of a telephone (TOTP), and ten recovery codes for who has lost it."""

from __future__ import annotations

from .models import Authenticator, User


def of(user: User) -> Authenticator | None:
    """What this person proves a sign-in with, beside the password; None where it is not on."""
    return Authenticator.objects.filter(user=user, confirmed=True).first()
