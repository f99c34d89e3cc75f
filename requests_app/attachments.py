"""Files of requests: stored under a key of ours outside the web root, given back with permission, and cleared away."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header

from accounts import housekeeping, security, uploaded_imports
from accounts.models import SecurityEvent, User

from . import uploads, workflow
from .models import MOST_FILES, AccessRequest, Attachment
from .uploads import IncomingFile

log = logging.getLogger(__name__)

#: What was uploaded with a form that nobody has filed by then is over.
PENDING_LIFE = timedelta(days=1)
#: Files of one person in forms that are not filed: nobody fills the disk with forms.
MOST_PENDING = 4 * MOST_FILES
TOO_MANY_PENDING = (
    f"Há {MOST_PENDING} arquivos seus em formulários que não foram enviados. Termine um deles ou volte amanhã."
)
MISSING = (
    "O arquivo não está no servidor. Avise o suporte técnico e, se precisar, peça o arquivo de novo a quem o enviou."
)

NOT_TO_YOUR_OWN = "Ninguém junta despacho a um pedido que fez ou que é para si."
GONE = "Um arquivo que você tinha enviado não está mais aqui: o formulário ficou aberto tempo demais. Escolha de novo."


class FileRefusedError(Exception):
    """The file is not taken; the message is a sentence for the person who sent it."""


@dataclass(frozen=True)
class Kept:
    """One file that was sent, and the attachment that has its bytes."""

    attachment: Attachment
    #: As the file is called that was sent.
    name: str
    #: The bytes were there before, and nothing was stored.
    is_double: bool = False

    @property
    def other_name(self) -> str:
        """What the bytes are called here; empty where they are called so by the person too."""
        return self.attachment.name if self.attachment.name != self.name else ""


def place_of(key: uuid.UUID) -> Path:
    """Where the bytes lie. Nothing that somebody typed is in it."""
    return Path(settings.ATTACHMENTS_DIR) / key.hex[:2] / str(key)


# --- Storing --------------------------------------------------------------------------------------------------------
def kept_with(mark: uuid.UUID, by: User) -> QuerySet[Attachment]:
    """What this person sent with the form of this mark, filed or not."""
    return Attachment.objects.filter(form_nonce=mark, uploaded_by=by)


def keep(upload: IncomingFile, *, mark: uuid.UUID, by: User, request: AccessRequest | None = None) -> Kept:
    """Store a file that was sent with a form, before the form is filed, so that nobody sends it twice.

    ``request``: the one that the form corrects. The same bytes sent again with the same form are the same attachment.
    Raises FileRefusedError.
    """
    made = _examined(upload, by)
    made.form_nonce = mark
    with _on_disk(upload, made), transaction.atomic():
        User.objects.locked(by.pk)  # the same form sent eight times at once
        of_request = Q(request=request) if request else Q()
        with_it = Attachment.objects.filter(
            Q(form_nonce=mark, uploaded_by=by) | of_request, kind=Attachment.Kind.REQUEST
        )
        if same := with_it.filter(sha256=made.sha256).first():
            return Kept(same, made.name, is_double=True)
        if with_it.count() >= MOST_FILES:
            raise FileRefusedError(uploads.TOO_MANY)
        if Attachment.objects.filter(uploaded_by=by, request=None).count() >= MOST_PENDING:
            raise FileRefusedError(TOO_MANY_PENDING)
        made.save(force_insert=True)
    return Kept(made, made.name)


def why_no_despacho(by: User, request: AccessRequest) -> str:
    """Why somebody joins none to this request; empty where they may: who decides about it, and nobody else."""
    if request.is_of(by):
        return NOT_TO_YOUR_OWN
    return "" if workflow.is_analyst(by) else workflow.why_no_analyst(by)


def keep_despachos(sent: Sequence[IncomingFile], request: AccessRequest, *, by: User) -> list[Kept]:
    """Store official acts of the staff about a request: all that were sent or none, for none is taken away again.

    The same bytes are stored once. Raises FileRefusedError.
    """
    despachos = Attachment.objects.filter(request=request, kind=Attachment.Kind.DESPACHO)
    if len(sent) > MOST_FILES:
        raise FileRefusedError(_no_room_for(len(sent), despachos.count()))
    examined = _all_examined(sent, by)
    with ExitStack() as stored:
        for upload, made in zip(sent, examined, strict=True):
            made.request, made.kind = request, Attachment.Kind.DESPACHO
            stored.enter_context(_on_disk(upload, made))
        stored.enter_context(transaction.atomic())
        locked = AccessRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=request.pk)
        if refusal := why_no_despacho(by, locked):
            raise FileRefusedError(refusal)
        known = {despacho.sha256: despacho for despacho in despachos}
        new = {made.sha256: made for made in reversed(examined) if made.sha256 not in known}
        if len(known) + len(new) > MOST_FILES:
            raise FileRefusedError(_no_room_for(len(new), len(known)))
        by_content = known | new
        kept = [Kept(by_content[made.sha256], made.name, by_content[made.sha256] is not made) for made in examined]
        for attachment in (one.attachment for one in kept if not one.is_double):
            attachment.save(force_insert=True)
    return kept


def _all_examined(sent: Sequence[IncomingFile], by: User) -> list[Attachment]:
    """What the rows will say. Raises FileRefusedError with what is wrong with each file."""
    examined, refusals = [], []
    for upload in sent:
        try:
            examined.append(_examined(upload, by))
        except FileRefusedError as refusal:
            refusals.append(str(refusal))
    if refusals:
        none_stored = ["Nenhum dos arquivos foi guardado."] if len(sent) > 1 else []
        raise FileRefusedError(" ".join([*dict.fromkeys(refusals), *none_stored]))
    return examined


def _no_room_for(new: int, there: int) -> str:
    if there >= MOST_FILES:
        return (
            f"Esta solicitação já tem {MOST_FILES} despachos, que é o máximo. Nada foi guardado. "
            "Escreva o que falta em uma nota interna."
        )
    return (
        f"Uma solicitação leva no máximo {MOST_FILES} despachos. Aqui há {there or 'nenhum'}, e você escolheu {new}. "
        "Nada foi guardado. Escolha menos arquivos ou junte as páginas em um só PDF."
    )


def _examined(upload: IncomingFile, by: User) -> Attachment:
    """What the row will say of the file. Raises FileRefusedError."""
    if upload.refusal:
        raise FileRefusedError(upload.refusal)
    if not upload.size:
        raise FileRefusedError(uploads.EMPTY.format(upload.shown_name))
    media_type = uploads.media_type_of(upload.on_disk, upload.size)
    if media_type is None:
        raise FileRefusedError(uploads.WRONG_KIND.format(upload.shown_name))
    return Attachment(
        name=uploads.clean_name(upload.shown_name, media_type),
        media_type=media_type,
        size=upload.size,
        sha256=upload.digest.hexdigest(),
        uploaded_by=by,
    )


@contextmanager
def _on_disk(upload: IncomingFile, made: Attachment) -> Iterator[None]:
    """The file is in its place before there is a row of it, and gone again if there comes none."""
    place = place_of(made.key)
    try:
        try:
            upload.move_to(place)
        except OSError as error:
            upload.refuse_for_the_disk(error)
            raise FileRefusedError(upload.refusal) from None
        yield
    finally:
        if made._state.adding:
            place.unlink(missing_ok=True)


@transaction.atomic
def file(asked: AccessRequest) -> AccessRequest:
    """File a request (``workflow.file``) with what was uploaded with its form. Raises MoveRefusedError."""
    filed = workflow.file(asked)
    if filed is asked:
        take_in(filed, asked.form_nonce, by=asked.requester)
    return filed


@transaction.atomic
def correct(request: AccessRequest, mark: uuid.UUID, *, by: User) -> None:
    """Correct a request (``workflow.correct``) and add what was uploaded with the form. Raises MoveRefusedError."""
    added = [attachment.name for attachment in _pending(mark, by)]
    workflow.correct(request, by=by, added=added)
    take_in(request, mark, by=by)


def take_in(request: AccessRequest, mark: uuid.UUID, *, by: User) -> None:
    """Give a request what was uploaded with its form, in the transaction that files or corrects it.

    Raises MoveRefusedError if there would be too many, as when two windows correct the same request.
    """
    keys = [attachment.pk for attachment in _pending(mark, by)]
    if request.attachments.filter(kind=Attachment.Kind.REQUEST).count() + len(keys) > MOST_FILES:
        raise workflow.MoveRefusedError(uploads.TOO_MANY)
    Attachment.objects.filter(pk__in=keys).update(request=request)


def _pending(mark: uuid.UUID, by: User) -> QuerySet[Attachment]:
    """What waits with a form, locked: housekeeping leaves it alone."""
    return kept_with(mark, by).filter(request=None).select_for_update(of=("self",), no_key=True)


def hand_over(old: uuid.UUID, new: uuid.UUID, *, by: User) -> None:
    """What waits under one form's mark waits under another's: the form was filed, and comes back as a new one."""
    kept_with(old, by).filter(request=None).update(form_nonce=new)


def take_out(pk: int, mark: uuid.UUID, *, by: User) -> str:
    """Delete a file that was uploaded with a form and is not filed; returns its name, empty if there is none such."""
    with transaction.atomic():
        User.objects.locked(by.pk)
        attachment = kept_with(mark, by).filter(request=None, pk=pk).first()
        if attachment is None:
            return ""
        Attachment.objects.filter(pk=attachment.pk).delete()
    place_of(attachment.key).unlink(missing_ok=True)
    return attachment.name


# --- Giving back ----------------------------------------------------------------------------------------------------
def of_the_requester(request: AccessRequest) -> list[Attachment]:
    """What requester and beneficiary see. A despacho is not for them: it may name others, and what they have to know
    stands in the reason of the decision."""
    return list(request.attachments.filter(kind=Attachment.Kind.REQUEST))


def on_the_desk(request: AccessRequest, reader: User) -> QuerySet[Attachment]:
    """What one of the staff sees: everything, but for despachos about what they asked or get themselves."""
    kept = request.attachments.select_related("uploaded_by", "request")
    return kept.filter(kind=Attachment.Kind.REQUEST) if request.is_of(reader) else kept


def answer(attachment: Attachment, request: HttpRequest, *, to: User) -> HttpResponse | None:
    """The file as a download, recorded; None, and a line in the log, if it is not on the disk.

    It is small enough to be held whole (``LARGEST_FILE``). Whatever is in it, the browser neither guesses what it is
    nor runs it (ASVS 5.0 5.4.1, 3.2.1).
    """
    assert attachment.request is not None  # noqa: S101 - only what is filed has an address
    try:
        content = place_of(attachment.key).read_bytes()
    except OSError:
        log.exception("Attachment %s cannot be read", attachment.pk)
        return None
    security.record(
        SecurityEvent.Kind.ATTACHMENT_READ,
        user=attachment.uploaded_by,
        actor=to,
        request=request,
        detail=f"{attachment.request.protocol}, anexo {attachment.pk}",
    )
    headers = {
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=attachment.name),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return HttpResponse(content, content_type=attachment.media_type, headers=headers)


# --- Clearing away --------------------------------------------------------------------------------------------------
def forget_kept(*, dry_run: bool) -> int:
    """Files of forms that were not filed within a day: the rows, and then the bytes."""

    def forget(batch: list[Attachment]) -> None:
        Attachment.objects.filter(pk__in=[attachment.pk for attachment in batch], request=None).delete()
        for attachment in batch:
            transaction.on_commit(partial(place_of(attachment.key).unlink, missing_ok=True), robust=True)

    old = Attachment.objects.filter(request=None, at__lt=timezone.now() - PENDING_LIFE)
    return housekeeping.in_batches(old.order_by("pk"), forget, dry_run=dry_run)


#: So many files that no row knows are more than interrupted uploads leave behind.
MOST_STRAYS = 100


def forget_strays(*, dry_run: bool) -> int:
    """Files on the disk without a row, older than a day: of uploads that were cut off, or whose row went first.

    Raises RuntimeError, and deletes none, where most files are strangers: then the folder belongs to another database.
    """
    before = (timezone.now() - PENDING_LIFE).timestamp()
    files = [
        path for path in Path(settings.ATTACHMENTS_DIR).rglob("*") if path.is_file() and not _is_another_apps(path)
    ]
    strays = _without_rows([path for path in files if _changed_at(path) < before])
    if len(strays) > max(MOST_STRAYS, len(files) // 2):
        raise RuntimeError(f"{len(strays)} of {len(files)} files in ATTACHMENTS_DIR are of no attachment: none deleted")
    return len(strays) if dry_run else sum(_delete(path) for path in strays)


def _is_another_apps(path: Path) -> bool:
    return path.is_relative_to(uploaded_imports.folder())


def _delete(path: Path) -> bool:
    """False if it is gone already: another process does the same."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # an upload that has come to its place meanwhile
        return math.inf


def _without_rows(files: list[Path]) -> list[Path]:
    strays = []
    for start in range(0, len(files), housekeeping.BATCH):
        batch = {path: _key_in(path.name) for path in files[start : start + housekeeping.BATCH]}
        known = set(Attachment.objects.filter(key__in=filter(None, batch.values())).values_list("key", flat=True))
        strays += [path for path, key in batch.items() if key not in known]
    return strays


def _key_in(name: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(name)
    except ValueError:  # the temporary name of an upload
        return None
