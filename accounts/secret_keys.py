"""What ``SECRETS_KEY`` is for: provisional passwords that are derived and never stored, and what must be stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class KeyGoneError(Exception):
    """The key that derived or encrypted this is no longer among ``SECRETS_KEY``."""


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


def _fernet() -> MultiFernet:
    """Encrypts with the newest key and decrypts with any."""
    derived = [hmac.digest(key.encode(), b"encryption", "sha256") for key in settings.SECRETS_KEYS]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])


def encrypt(text: str) -> str:
    """For a column: readable with the keys of the environment alone, and noticed if somebody changed it."""
    return _fernet().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """What was encrypted. Raises KeyGoneError if its key is not configured any more."""
    try:
        return _fernet().decrypt(token).decode()
    except InvalidToken:
        raise KeyGoneError from None
