"""The personnel file through the browser: sent, planned by a worker, looked at, applied by a worker.

The row decides what is done, the file on the disk is what is read, and each step may be begun twice: a plan is the same
however often it is made, and what applies a file takes its row out of the state in the same transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format

from . import directory, outbox, security
from .masking import mask_people
from .models import DirectoryImport, SecurityEvent, User

log = logging.getLogger(__name__)

Status = DirectoryImport.Status

PERMISSION = "accounts.import_directory"
TASK = "accounts.tasks.work_on_imports"
#: In ``ATTACHMENTS_DIR``: for the web server to write, and for the worker to read.
FOLDER = "pessoal"
#: Bytes that the browser may send; the command reads more.
LARGEST_UPLOAD = 200 * 1024 * 1024
#: A worker that has shown no progress for so long is gone; another one takes it up.
LEASE = timedelta(minutes=10)
MOST_ATTEMPTS = 3
#: A file that nobody decides about is erased; of one that was used, its report stays longer.
FILE_LIFE = timedelta(days=1)
REPORT_LIFE = timedelta(days=30)

NO_ROOM = "O arquivo não pôde ser guardado agora. Tente de novo mais tarde."
SETTLED = "Este arquivo já foi decidido, ou o plano mudou depois que você abriu a página. Confira abaixo."
NOTHING_USABLE = "Nenhuma linha do arquivo pôde ser usada. Corrija o arquivo e envie de novo."
NOT_CONFIRMED = "Marque que o arquivo está completo e que os vínculos devem ser encerrados."
NONE_CHOSEN = "Marque as matrículas cujo CPF novo está certo."
PLAN_CHANGED = "O cadastro mudou depois que o plano foi feito. Nada foi aplicado. Confira o plano novo abaixo."
GONE = "O arquivo não está mais no servidor. Envie de novo."
BROKE_OFF = "O portal não conseguiu concluir, e nada foi aplicado. Avise quem cuida do servidor e envie de novo."
LEFT_ALONE = "Ninguém decidiu em um dia. Nada foi aplicado."


class RefusedError(Exception):
    """Nothing was done; the message is a sentence for the member of the staff."""


class StoppedError(Exception):
    """The worker is told to stop; another one begins again."""


class Incoming(Protocol):
    """A file on its way in, as the upload handler gives it."""

    shown_name: str
    size: int | None
    refusal: str

    def move_to(self, place: Path) -> None: ...


# --- By the staff ----------------------------------------------------------------------------------------------------
def receive(file: Incoming, *, by: User, request: HttpRequest) -> DirectoryImport:
    """Keep the file and have it planned. Raises RefusedError."""
    made = DirectoryImport(file_name=mask_people(file.shown_name)[:150], size=file.size or 0, uploaded_by=by)
    try:
        try:
            file.move_to(place_of(made))
        except OSError as error:
            log.error("An uploaded personnel file cannot be written: %s", error.strerror)  # noqa: TRY400 - of no code
            raise RefusedError(NO_ROOM) from error
        with transaction.atomic():
            made.save()
            detail = f"Arquivo {made.pk}: {made.file_name}"
            security.record(SecurityEvent.Kind.DIRECTORY_UPLOADED, actor=by, request=request, detail=detail)
            _ring_on_commit()
    finally:
        if made._state.adding:
            place_of(made).unlink(missing_ok=True)
    return made


@transaction.atomic
def plan_again(pk: int, accepted: Collection[str], *, seen: str) -> None:
    """Plan with these new CPFs confirmed (matrículas), beside those that were before. Raises RefusedError."""
    one = _planned(pk, seen)
    chosen = [matricula for matricula in one.plan["awaiting"] if matricula in accepted]
    if not chosen:
        raise RefusedError(NONE_CHOSEN)
    one.accepted_cpfs = [*one.accepted_cpfs, *chosen]
    _hand_over(one, Status.PLANNING)


@transaction.atomic
def have_applied(pk: int, *, seen: str, departures_confirmed: bool, by: User) -> None:
    """Have the plan applied that ``by`` saw. Raises RefusedError."""
    one = _planned(pk, seen)
    if not one.plan["lines"]:
        raise RefusedError(NOTHING_USABLE)
    if one.plan["too_many"]:
        if not departures_confirmed:
            raise RefusedError(NOT_CONFIRMED)
        one.allowed_departures = one.plan["ending"]
    one.decided_by = by
    _hand_over(one, Status.APPLYING)


@transaction.atomic
def discard(pk: int, *, seen: str, by: User, request: HttpRequest) -> None:
    """Have it not applied, and erase the file. Raises RefusedError."""
    one = _planned(pk, seen)
    one.decided_by = by
    _end(one, Status.DISCARDED)
    security.record(
        SecurityEvent.Kind.DIRECTORY_DROPPED, actor=by, request=request, detail=f"Arquivo {one.pk}: {one.file_name}"
    )


def _planned(pk: int, seen: str) -> DirectoryImport:
    """The row, locked, if its plan is the one with this fingerprint and nobody has decided yet."""
    one = DirectoryImport.objects.select_for_update().get(pk=pk)
    if one.status != Status.PLANNED or one.fingerprint != seen:
        raise RefusedError(SETTLED)
    return one


def _hand_over(one: DirectoryImport, status: DirectoryImport.Status) -> None:
    one.status, one.failure, one.claimed_at, one.attempts = status, "", None, 0
    one.save()
    _ring_on_commit()


def _end(one: DirectoryImport, status: DirectoryImport.Status, failure: str = "") -> None:
    """In the caller's transaction: the file goes when that is committed."""
    one.status, one.failure, one.ended_at = status, failure, timezone.now()
    one.save()
    transaction.on_commit(partial(_erase, one), robust=True)


def _ring_on_commit() -> None:
    transaction.on_commit(partial(outbox.ring, TASK), robust=True)


# --- By the worker ---------------------------------------------------------------------------------------------------
def work() -> None:
    """Plan and apply whatever waits for it and no other worker has in hand."""
    for one in _due():
        if outbox.stopping.is_set():
            return
        claimed = _unclaimed().filter(pk=one.pk, attempts=one.attempts)
        if claimed.update(claimed_at=timezone.now(), attempts=F("attempts") + 1):
            one.attempts += 1
            _work_on(one)


def ring_if_due() -> None:
    """Wake a worker for what the broker's message was lost of, or a worker that died had in hand."""
    if _due():
        outbox.ring(TASK)


def _due() -> list[DirectoryImport]:
    return [one for one in _unclaimed().order_by("pk") if not _shows_progress(one)]


def _unclaimed() -> QuerySet[DirectoryImport]:
    lapsed = Q(claimed_at=None) | Q(claimed_at__lt=timezone.now() - LEASE)
    return DirectoryImport.objects.filter(lapsed, status__in=(Status.PLANNING, Status.APPLYING))


def _shows_progress(one: DirectoryImport) -> bool:
    try:
        changed = _progress_file(one).stat().st_mtime
    except OSError:
        return False
    return one.claimed_at is not None and changed > (timezone.now() - LEASE).timestamp()


def _work_on(one: DirectoryImport) -> None:
    try:
        if one.attempts > MOST_ATTEMPTS:
            _fail(one, BROKE_OFF)
        elif not place_of(one).is_file():
            _fail(one, GONE)
        else:
            _plan_or_apply(one)
    except directory.DirectoryFileError as error:
        _fail(one, str(error))
    except directory.DirectoryError as error:
        _back_to_the_plan(one, f"{error} Nada foi aplicado.")
    except StoppedError:
        _release(one, attempts=one.attempts - 1)
    except Exception:
        log.exception("A personnel file could not be worked on: %s", one.pk)
        _release(one, attempts=one.attempts)
    finally:
        _progress_file(one).unlink(missing_ok=True)


def _plan_or_apply(one: DirectoryImport) -> None:
    with (
        place_of(one).open("rb") as stream,
        directory.read(stream, progress=_told(one, "Lendo o arquivo: {} linhas.")) as reading,
    ):
        told = _told(one, "Comparando com o cadastro: {} pessoas.")
        plan = directory.plan(reading, accept_cpfs=one.accepted_cpfs, progress=told)
        if one.status == Status.PLANNING:
            _show(one, plan)
        elif plan.fingerprint != one.fingerprint:
            _show(one, plan, failure=PLAN_CHANGED)
        else:
            _apply(one, plan)


def _apply(one: DirectoryImport, plan: directory.Plan) -> None:
    with transaction.atomic():
        locked = DirectoryImport.objects.select_for_update().get(pk=one.pk)
        if locked.status != Status.APPLYING:  # another worker was quicker
            return
        total = plan.new_people + plan.changed_people + plan.unchanged_people
        told = _told(one, f"Gravando: {{}} de {total} pessoas.")
        directory.apply(plan, allow_departures=locked.allowed_departures, progress=told)
        _end(locked, Status.APPLIED)
        detail = f"Arquivo {one.pk}: {one.file_name}. Linhas usadas: {plan.lines}; recusadas: {plan.refused}."
        security.record(SecurityEvent.Kind.DIRECTORY_APPLIED, actor=locked.decided_by, detail=detail)


def _show(one: DirectoryImport, plan: directory.Plan, failure: str = "") -> None:
    """Keep the plan for somebody to decide, and the report of its lines beside the file."""
    report = directory.LineReport(report_of(one), imported=place_of(one))
    try:
        report.write(plan.reading.store)
    finally:
        report.discard()
    shown = {
        "status": Status.PLANNED,
        "plan": in_words(plan),
        "fingerprint": plan.fingerprint,
        "failure": failure,
        "decided_by": None,
    }
    DirectoryImport.objects.filter(pk=one.pk, status=one.status).update(**shown)


def in_words(plan: directory.Plan) -> dict[str, Any]:
    """What the page shows, and what its buttons depend on. No whole CPF, no whole address."""
    return {
        "sentences": list(directory.sentences(plan)),
        "sections": [asdict(section) for section in directory.sections(plan)],
        "awaiting": directory.awaiting(plan),
        "lines": plan.lines,
        "ending": plan.ending,
        "open_bonds": plan.open_bonds,
        "usual": plan.usual_departures,
        "too_many": plan.ending > plan.usual_departures,
    }


@transaction.atomic
def _fail(one: DirectoryImport, why: str) -> None:
    locked = DirectoryImport.objects.select_for_update().get(pk=one.pk)
    if locked.status == one.status:
        _end(locked, Status.FAILED, why)


def _back_to_the_plan(one: DirectoryImport, why: str) -> None:
    found = DirectoryImport.objects.filter(pk=one.pk, status=one.status)
    if one.fingerprint:
        found.update(status=Status.PLANNED, failure=why, decided_by=None)
    else:
        _fail(one, why)


def _release(one: DirectoryImport, *, attempts: int) -> None:
    """For the next worker, which the next sweep wakes."""
    DirectoryImport.objects.filter(pk=one.pk).update(claimed_at=None, attempts=attempts)


def _told(one: DirectoryImport, sentence: str) -> Callable[[int], None]:
    """Says on the disk how far it is: what the transaction in hand wrote, nobody else could read."""

    def tell(done: int) -> None:
        if outbox.stopping.is_set():
            raise StoppedError
        told = sentence.format(number_format(done, force_grouping=True))
        _progress_file(one).write_text(told, encoding="utf-8")

    return tell


def progress_of(one: DirectoryImport) -> str:
    """How far the worker is, in a sentence."""
    try:
        told = _progress_file(one).read_text(encoding="utf-8")
    except (OSError, ValueError):  # not begun, ended, or just being written
        told = ""
    return told or ("Na fila." if one.claimed_at is None else "Em andamento.")


# --- On the disk -----------------------------------------------------------------------------------------------------
def folder() -> Path:
    return settings.ATTACHMENTS_DIR / FOLDER


def place_of(one: DirectoryImport) -> Path:
    return folder() / f"{one.key}.upload"


def report_of(one: DirectoryImport) -> Path:
    return folder() / f"{one.key}.csv"


def _progress_file(one: DirectoryImport) -> Path:
    return folder() / f"{one.key}.andamento"


def _erase(one: DirectoryImport) -> None:
    place_of(one).unlink(missing_ok=True)


def discard_old(*, dry_run: bool) -> int:
    """Those that nobody decided about in a day."""
    old = DirectoryImport.objects.filter(status=Status.PLANNED, uploaded_at__lt=timezone.now() - FILE_LIFE)
    if dry_run:
        return old.count()
    done = 0
    for pk in old.values_list("pk", flat=True):
        with transaction.atomic():
            one = old.select_for_update().filter(pk=pk).first()
            if one:
                _end(one, Status.DISCARDED, LEFT_ALONE)
                detail = f"Arquivo {one.pk}: {one.file_name}. {LEFT_ALONE}"
                security.record(SecurityEvent.Kind.DIRECTORY_DROPPED, detail=detail)
                done += 1
    return done


def forget_files(*, dry_run: bool) -> int:
    """Files of imports that are over, or of none: after a day; reports after thirty days."""
    if not folder().is_dir():
        return 0
    wanted = {
        str(key)
        for key in DirectoryImport.objects.exclude(
            status__in=(Status.APPLIED, Status.FAILED, Status.DISCARDED)
        ).values_list("key", flat=True)
    }
    done = 0
    for path in folder().iterdir():
        life = REPORT_LIFE if path.suffix == ".csv" else FILE_LIFE
        try:
            is_old = path.stat().st_mtime < (timezone.now() - life).timestamp()
        except FileNotFoundError:
            continue
        if is_old and path.name.partition(".")[0] not in wanted:
            try:
                if not dry_run:
                    path.unlink()
            except FileNotFoundError:  # another process does the same
                continue
            done += 1
    return done
