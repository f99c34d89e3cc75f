"""The only writers of a request's status and history: file, move, correct, and the clock."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts import outbox
from accounts.models import Employment, User

from .. import calendar, catalogue, corrections, emails, places
from ..models import (
    ALREADY_ASKED,
    NOT_YOUR_OWN,
    AccessGrant,
    AccessRequest,
    ExternalSystem,
    ProtocolCounter,
    ReasonTemplate,
    RequestEvent,
    Status,
    UserType,
)
from . import grants
from .grants import Typed
from .rules import (
    MOVES,
    NEEDS_REASON,
    ONLY_WITH_A_BOND,
    UNFIT_REASON,
    WRITE_A_REASON,
    MoveRefusedError,
    Role,
    can_be_read,
    has_left,
    roles_of,
    why_no_analyst,
)

log = logging.getLogger(__name__)

CHANGED_MEANWHILE = (
    "A solicitação {0} mudou depois que você abriu esta página. Nada foi gravado: confira o andamento e decida de novo."
)


@transaction.atomic
def file(request: AccessRequest) -> AccessRequest:
    """Number and store a new request, begin its history and owe the mail that acknowledges it.

    The same form (``form_nonce``) filed again gives back the request it made before. Raises MoveRefusedError if the
    person already has, or has asked for, the same.
    """
    same_form = AccessRequest.objects.filter(form_nonce=request.form_nonce, requester=request.requester)
    if made := same_form.first():
        return made
    if has_left(request.requester):
        raise MoveRefusedError(ONLY_WITH_A_BOND)
    try:
        store(request)
    except MoveRefusedError:
        if made := same_form.first():  # sent twice at once, and the other was quicker
            return made
        raise
    event = RequestEvent.objects.create(
        request=request, to_status=Status.PENDING, actor=request.requester, at=request.created_at
    )
    outbox.owe(emails.RECEIVED, recipient=request.requester_id, about=event.pk)
    return request


def store(request: AccessRequest) -> None:
    """Check, number and save a new request, in the caller's transaction. Raises MoveRefusedError."""
    refuse_if_impossible(request)
    try:
        with transaction.atomic():
            request.protocol = next_protocol()
            request.save(force_insert=True)
    except IntegrityError:  # somebody was quicker
        refuse_if_impossible(request)  # which says who
        raise MoveRefusedError(ALREADY_ASKED) from None


def next_protocol() -> str:
    """``2026-000123``, in order within the year; the row is locked until the caller's transaction ends."""
    return next_protocols(1)[0]


def next_protocols(count: int) -> list[str]:
    """So many in a row, for requests that are filed together."""
    year = timezone.localdate().year
    ProtocolCounter.objects.bulk_create([ProtocolCounter(year=year)], ignore_conflicts=True)
    ProtocolCounter.objects.filter(year=year).update(last=F("last") + count)
    last = ProtocolCounter.objects.get(year=year).last
    return [f"{year}-{number:06d}" for number in range(last - count + 1, last + 1)]


def move_within(
    pk: int,
    to: Status,
    *,
    by: User | None,
    note: str = "",
    reason: ReasonTemplate | None = None,
    seen: int | None = None,
    renew_password: bool = False,
    typed: Typed | None = None,
) -> AccessRequest:
    """Move one request in the caller's transaction, record it in the history and owe the mail that tells of it.

    ``by`` None is the clock. ``reason``: the text that ``note`` is added to. ``seen``: the last step of the history
    (its key) that ``by`` saw; refused if there is a later one. ``renew_password``: the approver wants a new provisional
    password even if the person has chosen one. ``typed``: what the analyst got for the person from a system that is
    registered by hand; None where that system sends its own. Raises MoveRefusedError, with a sentence for the person,
    if the table, the role, the four-eyes rule or the state of things forbids it; the transaction is over then.
    """
    # Without a join: PostgreSQL would not find a row whose keys changed while it waited.
    request = AccessRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    came_from = Status(request.status)
    _refuse_unless_allowed(request, came_from, to, by)
    if seen is not None and request.events.filter(pk__gt=seen).exists():
        raise MoveRefusedError(CHANGED_MEANWHILE.format(request.protocol))
    note = _with_reason(request, to, note.strip(), reason)
    if to in NEEDS_REASON and not can_be_read(note):
        raise MoveRefusedError(WRITE_A_REASON)
    if to in {Status.APPROVED, Status.COMPLETED}:
        _look_up(request)
        _refuse_if_unfit(request)
    if came_from == Status.EXPIRED:
        refuse_if_impossible(request)
    step = RequestEvent(request=request, from_status=came_from, to_status=to, actor=by, note=note, reason=reason)
    event = _record(request, step)
    if request.status == Status.COMPLETED:
        grants.give(request, by, renew_password=renew_password, typed=typed)
    outbox.owe(emails.KIND_FOR[Status(request.status)], recipient=_who_is_told(request), about=event.pk)
    return request


#: As ``move_within``, in a transaction of its own.
move = transaction.atomic(move_within)


def _who_is_told(request: AccessRequest) -> int:
    """The key of whoever goes on with the request: the requester, or the beneficiary where the requester has left."""
    if request.requester_id == request.beneficiary_id:
        return request.requester_id
    return request.beneficiary_id if has_left(request.requester_id) else request.requester_id


def _look_up(request: AccessRequest) -> None:
    """What a decision looks at, in two queries; the person is locked for what they may be given."""
    request.user_type = UserType.objects.select_related("system").get(pk=request.user_type_id)
    request.beneficiary = User.objects.locked(request.beneficiary_id)


def _refuse_unless_allowed(request: AccessRequest, came_from: Status, to: Status, by: User | None) -> None:
    allowed = MOVES.get((came_from, to))
    if came_from == to == Status.IN_REVIEW and request.holder is not None:
        raise MoveRefusedError(
            f"A solicitação {request.protocol} já está em análise com {request.holder.display_name}."
        )
    if allowed is None:
        raise MoveRefusedError(
            f"A solicitação {request.protocol} está “{came_from.label}” e não pode passar para “{to.label}”. "
            "Talvez outra pessoa já a tenha decidido: abra de novo para ver."
        )
    if not allowed.isdisjoint(roles_of(by, request)):
        return
    if by is not None and request.is_of(by) and Role.ANALYST in allowed:
        raise MoveRefusedError(NOT_YOUR_OWN)
    if by is not None and Role.ANALYST in allowed:
        raise MoveRefusedError(why_no_analyst(by))
    raise MoveRefusedError("Você não tem permissão para isso.")


def _with_reason(request: AccessRequest, to: Status, note: str, reason: ReasonTemplate | None) -> str:
    """What the requester reads: the text that was chosen, and what was written beside it."""
    if reason is None:
        return note
    if not (reason.is_active and reason.decision == to and reason.system_id in {None, request.user_type.system_id}):
        raise MoveRefusedError(UNFIT_REASON)
    return "\n\n".join(text for text in (reason.wording, note) if text)


def refuse_if_impossible(request: AccessRequest) -> None:
    """What must hold when a request comes among the open ones, or is changed there. Raises MoveRefusedError.

    A decision takes no place that the request had not taken before, so that only here one waits for another.
    """
    if request.system.most_per_unit is not None:
        request.user_type.system = places.lock(request.system)
    _refuse_if_unfit(request)
    same = AccessRequest.objects.open().filter(
        beneficiary=request.beneficiary_id, user_type=request.user_type_id, unit=request.unit_id
    )
    if other := same.exclude(pk=request.pk).first():
        raise MoveRefusedError(f"{ALREADY_ASKED.removesuffix('.')}: nº {other.protocol}.")


def _refuse_if_unfit(request: AccessRequest) -> None:
    if sentence := why_unfit(request):
        raise MoveRefusedError(sentence)


def why_unfit(request: AccessRequest) -> str:
    """Why a request can be neither filed nor approved as things stand, as a sentence; nothing where it can.

    No look for another open request for the same: of two that are open the database refuses the second.
    """
    beneficiary, user_type = request.beneficiary, request.user_type
    if not Employment.objects.current().filter(pk=request.employment_id, user=beneficiary).exists():
        return "Esta pessoa não tem mais este vínculo com o Tribunal."
    if not beneficiary.email:
        return "Esta pessoa não tem e-mail no cadastro e não receberia a credencial. Avise a Gestão de Pessoas."
    if sentence := catalogue.why_not(request):
        return sentence
    if AccessGrant.objects.live().filter(user=beneficiary, user_type=user_type, unit=request.unit_id).exists():
        return f"Esta pessoa já tem acesso a {user_type}."
    return ""


#: What a move may write in the row.
MOVED = ("status", "holder", "correct_by", "decided_by", "decided_at", "completed_by")


def _record(request: AccessRequest, step: RequestEvent, *, corrected: Collection[str] = ()) -> RequestEvent:
    """Write one move, the row and its history; gives back the last step of it. Raises MoveRefusedError.

    ``corrected``: what else of the row is written.
    """
    events, to, by = [step], Status(step.to_status), step.actor
    request.holder = by if to == Status.IN_REVIEW else None
    if to == Status.RETURNED:
        request.correct_by = calendar.add_business_days(timezone.localdate(), settings.RETURN_DAYS)
    if to in {Status.APPROVED, Status.REJECTED}:
        request.decided_by, request.decided_at = by, timezone.now()
    if to == Status.APPROVED and request.system.credential == ExternalSystem.Credential.PORTAL:
        # The portal's own account needs nobody's hand: the clock completes it at once.
        events.append(RequestEvent(request=request, from_status=to, to_status=Status.COMPLETED))
    elif to == Status.COMPLETED:
        request.completed_by = by
    request.status = events[-1].to_status
    try:
        request.save(update_fields=(*MOVED, *corrected))
    except IntegrityError:  # reopened, or changed, while another request for the same was filed
        raise MoveRefusedError(ALREADY_ASKED) from None
    return RequestEvent.objects.bulk_create(events)[-1]


@transaction.atomic
def correct(request: AccessRequest, *, by: User, note: str = "", added: Collection[str] = ()) -> AccessRequest:
    """Store what the requester corrected on a returned (or expired) request and put it back into the queue.

    What was changed stands in the step by which it comes back. ``added``: the names of files that come with it. Raises
    MoveRefusedError.
    """
    locked = AccessRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=request.pk)
    _refuse_unless_allowed(locked, Status(locked.status), Status.PENDING, by)
    if by.pk == locked.requester_id and has_left(by):
        raise MoveRefusedError(ONLY_WITH_A_BOND)
    if by.pk != locked.requester_id and request.beneficiary_id != locked.beneficiary_id:
        raise MoveRefusedError("Só quem pediu pode trocar a pessoa que terá o acesso.")
    step = RequestEvent(
        request=locked, from_status=locked.status, to_status=Status.PENDING, actor=by, note=note.strip()
    )
    step.changes = corrections.between(locked, request, added)
    for name in CORRECTABLE:
        setattr(locked, name, getattr(request, name))
    refuse_if_impossible(locked)
    event = _record(locked, step, corrected=CORRECTABLE)
    outbox.owe(emails.KIND_FOR[Status.PENDING], recipient=_who_is_told(locked), about=event.pk)
    return locked


#: What a correction may touch: who asked, and whom for how many, stays.
CORRECTABLE = (
    "requester_email",
    "requester_phone",
    "beneficiary",
    "employment",
    "beneficiary_name",
    "beneficiary_matricula",
    "beneficiary_cargo",
    "beneficiary_lotacao",
    "user_type",
    "unit",
    "description",
)


def expire_overdue(*, dry_run: bool = False) -> int:
    """The clock: returned requests whose date has passed expire. Returns how many did, or would."""
    overdue = AccessRequest.objects.filter(status=Status.RETURNED, correct_by__lt=timezone.localdate())
    if dry_run:
        return overdue.count()
    expired, failed = 0, 0
    for pk in overdue.values_list("pk", flat=True):
        try:
            expired += _expire(overdue, pk)
        except Exception:  # one must not keep all others back
            log.exception("Request %s could not be expired", pk)
            failed += 1
    if failed:
        raise RuntimeError(f"{failed} requests could not be expired; {expired} were")
    return expired


@transaction.atomic
def _expire(overdue: QuerySet[AccessRequest], pk: int) -> bool:
    """False if it was corrected a moment ago, or is in somebody's hands."""
    if not overdue.select_for_update(of=("self",), skip_locked=True, no_key=True).filter(pk=pk).first():
        return False
    move(pk, Status.EXPIRED, by=None)
    return True
