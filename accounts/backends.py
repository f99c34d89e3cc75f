"""CPF and password. Whoever is asked about, it costs one hash and tells nothing."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from .models import User


class CpfBackend(ModelBackend):
    """Unknown CPF, wrong password, no password, inactive person: None each time, after one hash (ASVS 5.0 6.3.8)."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        user = User.objects.filter(cpf=username).first()
        if user is None or not user.has_usable_password():
            make_password(password)  # the same work as a comparison
            return None
        return user if user.check_password(password) and user.is_active else None
