"""Who has a request in hands, as those read it whom it is about: the court says whether by name (``SHOW_HOLDER``)."""

from __future__ import annotations

from django.conf import settings

from .models import AccessRequest, Reminder, RequestEvent, Status

COORDENADORIA = "Coordenadoria"


def holder_of(request: AccessRequest) -> str:
    """A sentence; nothing where the Coordenadoria has nothing to decide."""
    if request.status == Status.PENDING:
        return "O pedido está na fila da Coordenadoria."
    if request.status != Status.IN_REVIEW or request.holder is None:
        return ""
    named = request.holder.display_name if settings.SHOW_HOLDER else f"a {COORDENADORIA}"
    return f"Em análise com {named}."


def who_did(event: RequestEvent | Reminder, request: AccessRequest) -> str:
    """Who made a step: whoever asks or benefits by name, the staff as ``holder_of`` says."""
    if event.actor is None or settings.SHOW_HOLDER or request.is_of(event.actor):
        return event.actor_name
    return COORDENADORIA
