"""The one way in: whatever proved who it is, the session begins here."""

from __future__ import annotations

import django_otp
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse

from . import security, sessions, suspicion, throttle
from .models import Authenticator, SecurityEvent, User


def enter(
    request: HttpRequest, user: User, response: HttpResponse, *, factor: Authenticator | None = None, how: str = "senha"
) -> HttpResponse:
    """Begin the person's session and lead on to ``response``. ``how`` is what the security log says of it."""
    suspicion.look(user, request)
    login(request, user)
    sessions.begin(request)
    if factor is not None:
        django_otp.login(request, factor)
    security.record(SecurityEvent.Kind.SIGNED_IN, user=user, actor=user, request=request, detail=how)
    throttle.remember_device(response, user.cpf)
    return response
