"""Sign-ins that the person should hear of (ASVS 5.0 6.3.5)."""

from __future__ import annotations

from django.http import HttpRequest

from .models import User


def look(user: User, request: HttpRequest) -> None:
    """Right before a sign-in is recorded: compare it with the earlier ones."""
