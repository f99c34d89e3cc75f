"""Between the right password and the code: nobody is signed in yet (ASVS 5.0 2.3.1)."""

from __future__ import annotations

import hmac
from datetime import timedelta

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils import timezone

from . import security
from .models import SecurityEvent, User

SESSION_KEY = "second-step"
LIFE = timedelta(minutes=5)


def begin(request: HttpRequest, user: User, target: str) -> None:
    """The password was right: a session with a new key, of nobody, that waits for this person's code.

    Recorded: where no code follows, the password may be in the wrong hands.
    """
    security.record(SecurityEvent.Kind.PASSWORD_ACCEPTED, user=user, request=request)
    request.session.flush()
    request.session[SESSION_KEY] = {
        "person": user.pk,
        "password": user.get_session_auth_hash(),  # a keyed digest of the stored hash
        "at": timezone.now().timestamp(),
        "target": target,
    }


def has_begun(session: SessionBase) -> bool:
    """Whether the right password came in this session and no code yet; ``person_of`` says whether it still counts."""
    return SESSION_KEY in session


def person_of(session: SessionBase) -> User | None:
    """Whose code is waited for: the same password, still active, within ``LIFE``."""
    step = session.get(SESSION_KEY)
    if not step or timezone.now().timestamp() - step["at"] > LIFE.total_seconds():
        return None
    user = User.objects.filter(pk=step["person"], is_active=True).first()
    if user is None or not hmac.compare_digest(step["password"], user.get_session_auth_hash()):
        return None
    return user


def end(session: SessionBase) -> str:
    """Where the person wanted to go."""
    return str(session.pop(SESSION_KEY)["target"])
