"""What ``SECRETS_KEY`` is for: provisional passwords that are derived and never stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from django.conf import settings


class KeyGoneError(Exception):
    """The key that derived this password is no longer among ``SECRETS_KEY``."""


def version_of(key: str) -> str:
    """A short name for a key that tells nothing of it; it survives a rotation, as a place in a list would not."""
    return hashlib.sha256(b"version:" + key.encode()).hexdigest()[:12]


def newest_version() -> str:
    """The version of the key for new secrets."""
    return version_of(settings.SECRETS_KEYS[0])


def new_nonce() -> str:
    """32 hexadecimal digits: 128 random bits."""
    return secrets.token_hex(16)


def provisional_password(nonce: str, version: str) -> str:
    """Four groups of four letters and digits (80 bits), the same each time for the same nonce and key.

    Raises KeyGoneError if the key is not configured any more.
    """
    for key in settings.SECRETS_KEYS:
        if hmac.compare_digest(version_of(key), version):
            digest = hmac.digest(key.encode(), b"provisional:" + nonce.encode(), "sha256")
            code = base64.b32encode(digest[:10]).decode().lower()  # base 32 has no 0, 1 or 8 to mistake
            return "-".join(code[place : place + 4] for place in range(0, 16, 4))
    raise KeyGoneError(version)
