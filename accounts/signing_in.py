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
    """Begin the person's session and lead on to ``response``. ``how`` is what the security log says of it.

    The session is a new one even where the same person is signed in already (ASVS 5.0 7.2.4).
    """
    request.session.flush()
    suspicion.look(user, request)
    login(request, user)
    sessions.begin(request)
    if factor is not None:
        django_otp.login(request, factor)
    security.record(SecurityEvent.Kind.SIGNED_IN, user=user, actor=user, request=request, detail=how)
    throttle.remember_device(response, user.cpf)
    return response


def step_up(request: HttpRequest, user: User, factor: Authenticator, *, how: str) -> None:
    """Who is signed in has shown the second factor too: the session goes on, under a new key.

    Raises SessionInterrupted if the session was ended meanwhile.
    """
    request.session.cycle_key()
    suspicion.look(user, request)
    django_otp.login(request, factor)
    security.record(SecurityEvent.Kind.SIGNED_IN, user=user, actor=user, request=request, detail=how)
