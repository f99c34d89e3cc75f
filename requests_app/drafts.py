"""What somebody has typed in a form and not sent: kept while they type, gone in the transaction that sends it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils import timezone

from accounts import housekeeping
from accounts.models import User

from . import attachments
from .forms import NONCE_SALT, AccessRequestForm, read_nonce
from .models import AccessRequest, Draft

#: ``Draft.form`` of a new request.
NEW = ""
#: What is kept. No file, which has a place of its own, and not the mark of the form, which is good for one sending.
FIELDS = (
    *("requester_email", "requester_phone", "beneficiary", "beneficiary_search"),
    *("user_type", "system", "unit", "description"),
)
#: Of what posts the key of a row.
LONGEST_KEY = 20
#: A form that was opened before is nobody's to keep without signing in.
FORM_LIFE = timedelta(days=1)
TOO_LONG = "O texto passa de {} letras. O rascunho guarda só o começo."
#: What no database keeps in JSON: a NUL, and halves of characters.
UNKEEPABLE = re.compile("[\0\ud800-\udfff]")


def limit_of(name: str) -> int:
    """How many characters of a field are kept: as many as the form takes."""
    return getattr(AccessRequestForm.base_fields[name], "max_length", None) or LONGEST_KEY


def typed_in(posted: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """What is kept of a posted form, and a sentence where that is less than was typed."""
    kept, said = {}, ""
    for name in FIELDS:
        text = UNKEEPABLE.sub("", str(posted.get(name) or "")).replace("\r\n", "\n")
        kept[name] = text[: limit_of(name)]
        if name == "description" and len(text) > limit_of(name):
            said = TOO_LONG.format(limit_of(name))
    return kept, said


def of(user: User, form: str) -> Draft | None:
    return Draft.objects.filter(user=user, form=form).first()


@transaction.atomic
def keep(posted: Mapping[str, Any], *, by: User, form: str = NEW) -> tuple[Draft | None, str]:
    """Keep what stands in a posted form in the place of what was kept of it before, and say what was too long.

    None where nothing is kept: the form is not ``by``'s, or was sent meanwhile.
    """
    User.objects.locked(by.pk)  # beside a sending of the same form, and two windows
    mark = read_nonce(str(posted.get("nonce", "")), by)
    if mark is None or AccessRequest.objects.filter(form_nonce=mark).exists():
        return None, ""
    typed, said = typed_in(posted)
    draft, _is_new = Draft.objects.update_or_create(
        user=by, form=form, defaults={"data": typed, "updated_at": timezone.now()}
    )
    return draft, said


def keep_unsent(posted: Mapping[str, Any], *, form: str = NEW) -> bool:
    """Keep what was sent when the session had ended, for the person whose form it was; whether it was kept."""
    owner = owner_of(str(posted.get("nonce", "")))
    return owner is not None and keep(posted, by=owner, form=form)[0] is not None


def discard(user: User, form: str) -> None:
    Draft.objects.filter(user=user, form=form).delete()


def owner_of(nonce: str) -> User | None:
    """Whose form this is, where nobody is signed in: the page with its mark was made for them, and not long ago."""
    try:
        key, _mark = signing.loads(nonce, salt=NONCE_SALT, max_age=FORM_LIFE)
        return User.objects.filter(pk=key, is_active=True).first()
    except (signing.BadSignature, ValueError, TypeError):
        return None


# --- Sending --------------------------------------------------------------------------------------------------------
@transaction.atomic
def file(asked: AccessRequest) -> AccessRequest:
    """File a request (``attachments.file``), and its draft is gone. Raises MoveRefusedError."""
    User.objects.locked(asked.requester_id)
    filed = attachments.file(asked)
    if filed is asked:
        discard(asked.requester, NEW)
    return filed


@transaction.atomic
def correct(request: AccessRequest, mark: uuid.UUID, *, by: User) -> None:
    """Correct a request (``attachments.correct``), and what was typed of it is gone. Raises MoveRefusedError."""
    attachments.correct(request, mark, by=by)
    Draft.objects.filter(form=request.protocol, user__in=(request.requester_id, request.beneficiary_id)).delete()


# --- Clearing away --------------------------------------------------------------------------------------------------
def forget_old(*, dry_run: bool) -> int:
    """Drafts that nobody has touched for ``DRAFT_DAYS``."""
    old = Draft.objects.filter(updated_at__lt=timezone.now() - timedelta(days=settings.DRAFT_DAYS))
    return housekeeping.delete(old.order_by("updated_at"), dry_run=dry_run)
