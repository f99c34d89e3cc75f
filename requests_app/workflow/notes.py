"""What the staff tell one another about a request. Whoever asks or benefits never sees it, staff or not."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User

from ..models import NOT_YOUR_OWN, AccessRequest, InternalNote
from .rules import MoveRefusedError, Role, can_be_read, roles_of, why_no_analyst

EMPTY_NOTE = "Escreva a nota."


def notes_for(by: User, request: AccessRequest) -> QuerySet[InternalNote]:
    """The notes of a request, the oldest first; none for whoever asks or benefits."""
    if request.is_of(by):
        return InternalNote.objects.none()
    return request.internal_notes.select_related("author")


def may_note(by: User, request: AccessRequest) -> bool:
    """Whether this person writes notes about this request; what the form asks before it is shown."""
    return Role.ANALYST in roles_of(by, request)


@transaction.atomic
def add_note(pk: int, text: str, *, by: User) -> InternalNote:
    """Keep a note for good. The same note twice in a row is one: a button was pressed twice.

    Raises MoveRefusedError, with a sentence for the person.
    """
    request = AccessRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    if not may_note(by, request):
        raise MoveRefusedError(NOT_YOUR_OWN if request.is_of(by) else why_no_analyst(by))
    text = text.strip()
    if not can_be_read(text):
        raise MoveRefusedError(EMPTY_NOTE)
    last = request.internal_notes.last()
    if last and (last.author_id, last.text) == (by.pk, text):
        return last
    return InternalNote.objects.create(request=request, author=by, text=text)
