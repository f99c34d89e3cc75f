"""The term of responsibility: published in versions, accepted once each by everybody who comes in."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import reverse

from . import security
from .http import client_address, device_of
from .models import SecurityEvent, Term, TermAcceptance, User

#: In the session: the version that this person is known to have accepted.
ACCEPTED = "accepted_term"
FIRST = "Antes de continuar, leia e aceite o termo de responsabilidade."
NOT_DONE = "Nada foi enviado nem mudado. Leia e aceite o termo e, depois, envie de novo."


class PublishRefusedError(Exception):
    """This text cannot become the next version; the message is a sentence for the person who publishes it."""


def draft() -> str:
    """What the next version starts from: the newest one, or the text that ships with the portal."""
    newest = Term.objects.first()
    return newest.text if newest else render_to_string("accounts/term_draft.txt").strip()


def publish(text: str, *, after: int, by: User | None, request: HttpRequest | None = None) -> Term:
    """Make this the version that follows ``after`` (0: the first); from now on everybody is asked to accept it.

    Raises PublishRefusedError if somebody else published meanwhile, or if nothing would change.
    """
    newest = Term.objects.first()
    if newest is not None and newest.text == text:
        raise PublishRefusedError(f"Este texto é igual ao da {newest}. Mude o texto antes de publicar.")
    if (newest.version if newest else 0) == after:
        try:
            with transaction.atomic():
                term = Term.objects.create(version=after + 1, text=text, published_by=by)
                security.record(SecurityEvent.Kind.TERM_PUBLISHED, actor=by, request=request, detail=str(term))
        except IntegrityError:
            pass  # at the same moment
        else:
            return term
    raise PublishRefusedError("Outra versão foi publicada enquanto você escrevia. Compare as duas antes de publicar.")


def accept(user: User, term: Term, *, request: HttpRequest | None = None) -> bool:
    """Keep that this person accepted this version; False if they had before. However often it is called: one row."""
    where = {"address": client_address(request), "device": device_of(request)} if request else {}
    with transaction.atomic():
        _acceptance, is_new = TermAcceptance.objects.get_or_create(user=user, term=term, defaults=where)
        if is_new:
            security.record(SecurityEvent.Kind.TERM_ACCEPTED, user=user, actor=user, request=request, detail=str(term))
    return is_new


def is_owed(user: User, session: SessionBase) -> bool:
    """Whether this person has a version to accept. One look at an index, and a second one once for each session."""
    newest = Term.objects.values_list("version", flat=True).first()
    if newest is None or session.get(ACCEPTED) == newest:
        return False
    if not TermAcceptance.objects.filter(user=user, term__version=newest).exists():
        return True
    session[ACCEPTED] = newest
    return False


class TermMiddleware:
    """Who has not accepted the newest version reads it before anything else. What strangers may see stays open."""

    #: The password, the sessions and one's own data are everybody's, whatever they accept.
    OPEN = frozenset(
        {
            "term",
            "term-version",
            "password-change",
            "sessions",
            "session-end",
            "session-end-others",
            "session-use",
            "my-data",
            "my-data-section",
            "my-data-file",
        }
    )
    #: Open to strangers, and one's own once signed in.
    CLOSED = frozenset({"home"})
    #: Asked by scripts, to which a page is no answer.
    ANSWERED_IN_JSON = frozenset({"people-search"})

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        name = request.resolver_match.view_name if request.resolver_match else ""
        is_public = not getattr(view, "login_required", True) and name not in self.CLOSED
        if is_public or name in self.OPEN or not isinstance(request.user, User):
            return None
        if not is_owed(request.user, request.session):
            return None
        if name in self.ANSWERED_IN_JSON:
            return JsonResponse({"results": [], "error": FIRST}, status=HTTPStatus.FORBIDDEN)
        if request.method in {"GET", "HEAD"}:
            return _lead(request.get_full_path())
        messages.warning(request, NOT_DONE)
        view_class = getattr(view, "view_class", None)
        can_be_opened = view_class is None or hasattr(view_class, "get")
        return _lead(request.path if can_be_opened else reverse("home"))


def _lead(wanted: str) -> HttpResponse:
    """To the term; ``wanted`` is where the person goes on to from there."""
    return redirect_to_login(wanted, reverse("term"))
