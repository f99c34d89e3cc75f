"""CPF and password. Whoever is asked about, it costs one hash and tells nothing."""

from __future__ import annotations

import secrets
from base64 import b64encode
from typing import Any

from argon2 import DEFAULT_HASH_LENGTH
from argon2.low_level import ARGON2_VERSION
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import check_password, identify_hasher
from django.http import HttpRequest

from .hashers import PortalArgon2PasswordHasher
from .models import User

#: Of the lengths that everybody's have.
NOBODYS_SALT, NOBODYS_DIGEST = (
    b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (22, DEFAULT_HASH_LENGTH)
)


class CpfBackend(ModelBackend):
    """Unknown CPF, wrong password, no password, inactive person: None each time, after one hash (ASVS 5.0 6.3.8)."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        user = User.objects.filter(cpf=username).first()
        if user is None or not is_comparable(user.password):
            check_password(password, nobodys_hash())
            return None
        return user if user.check_password(password) and user.is_active else None


def is_comparable(encoded: str) -> bool:
    """Whether this is the hash of a password: not of somebody who has none, nor by a hasher that is gone."""
    try:
        identify_hasher(encoded)
    except ValueError:
        return False
    return True


def nobodys_hash() -> str:
    """A hash that costs what everybody's does and that no password fits.

    Comparing with it takes the same steps as comparing with a person's; making a hash would take others.
    """
    hasher = PortalArgon2PasswordHasher
    parameters = f"v={ARGON2_VERSION}$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"{hasher.algorithm}$argon2id${parameters}${NOBODYS_SALT}${NOBODYS_DIGEST}"
