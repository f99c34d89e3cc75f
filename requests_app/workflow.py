"""The workflow: the one table of moves, and the only writers of status, history and grants (DESIGN §6)."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import Enum

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts import outbox, provisional, secret_keys
from accounts.models import Employment, OutgoingMail, ProvisionalPassword, User

from . import emails
from .models import (
    ALREADY_ASKED,
    NOT_YOUR_OWN,
    AccessGrant,
    AccessRequest,
    ExternalSystem,
    GrantEvent,
    GrantStatus,
    ProtocolCounter,
    RequestEvent,
    Status,
    TypedCredential,
    UserType,
)

log = logging.getLogger(__name__)


class Role(Enum):
    """In which quality somebody acts on one request."""

    ANALYST = "analyst"
    REQUESTER = "requester"
    #: Acts in the requester's place where the requester has left the court.
    BENEFICIARY = "beneficiary"
    CLOCK = "clock"


ANALYST = frozenset({Role.ANALYST})
THEIR_OWN = frozenset({Role.REQUESTER, Role.BENEFICIARY})
CLOCK = frozenset({Role.CLOCK})

#: The whole workflow: (from, to) -> who may do it. Any other move is refused.
MOVES: dict[tuple[Status, Status], frozenset[Role]] = {
    (Status.PENDING, Status.IN_REVIEW): ANALYST,
    (Status.IN_REVIEW, Status.PENDING): ANALYST,
    (Status.PENDING, Status.APPROVED): ANALYST,
    (Status.IN_REVIEW, Status.APPROVED): ANALYST,
    (Status.PENDING, Status.RETURNED): ANALYST,
    (Status.IN_REVIEW, Status.RETURNED): ANALYST,
    (Status.PENDING, Status.REJECTED): ANALYST,
    (Status.IN_REVIEW, Status.REJECTED): ANALYST,
    (Status.APPROVED, Status.REJECTED): ANALYST,
    (Status.APPROVED, Status.COMPLETED): ANALYST | CLOCK,
    (Status.PENDING, Status.CANCELLED): THEIR_OWN | CLOCK,
    (Status.IN_REVIEW, Status.CANCELLED): THEIR_OWN | CLOCK,
    (Status.RETURNED, Status.CANCELLED): THEIR_OWN | CLOCK,
    (Status.APPROVED, Status.CANCELLED): THEIR_OWN | CLOCK,
    (Status.RETURNED, Status.PENDING): THEIR_OWN,
    (Status.RETURNED, Status.EXPIRED): CLOCK,
    (Status.EXPIRED, Status.PENDING): THEIR_OWN,
}
#: A reason must come with these.
NEEDS_REASON = frozenset({Status.RETURNED, Status.REJECTED})


WRITE_A_REASON = "Escreva o motivo: quem pediu precisa saber o que houve."
ONLY_WITH_A_BOND = "Só quem tem vínculo ativo com o Tribunal pode pedir acessos."


class MoveRefusedError(Exception):
    """The move cannot be made; the message is a sentence for the person who tried."""


def roles_of(by: User | None, request: AccessRequest) -> frozenset[Role]:
    """In which qualities a person (None: the clock) acts on this request.

    Whoever asks or benefits is never its analyst, whatever they may do elsewhere (four eyes).
    """
    if by is None:
        return CLOCK
    if by.pk == request.requester_id:
        return frozenset({Role.REQUESTER})
    if by.pk == request.beneficiary_id:
        return frozenset({Role.BENEFICIARY}) if has_left(request.requester) else frozenset()
    return ANALYST if by.is_active and by.has_perm("requests_app.decide") else frozenset()


def asks_the_same(one: AccessRequest, other: AccessRequest) -> bool:
    """Whether two requests were filled in alike."""
    fields = ("employment_id", "user_type_id", "unit_id", "description", "requester_email", "requester_phone")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def has_left(person: User) -> bool:
    """Whether somebody has no bond with the court any more."""
    return not Employment.objects.current().filter(user=person).exists()


def can_be_read(text: str) -> bool:
    """Whether there is anything to see: characters without width are no reason."""
    return any(char.isalnum() for char in text)


def may(by: User, request: AccessRequest, to: Status) -> bool:
    """Whether the table lets this person make this move now; what buttons ask before they are shown."""
    allowed = MOVES.get((Status(request.status), to), frozenset())
    return not allowed.isdisjoint(roles_of(by, request))


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
        _store(request)
    except MoveRefusedError:
        if made := same_form.first():  # sent twice at once, and the other was quicker
            return made
        raise
    event = RequestEvent.objects.create(request=request, to_status=Status.PENDING, actor=request.requester)
    outbox.owe(emails.RECEIVED, recipient=request.requester, about=event.pk)
    return request


def _store(request: AccessRequest) -> None:
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
    year = timezone.localdate().year
    ProtocolCounter.objects.bulk_create([ProtocolCounter(year=year)], ignore_conflicts=True)
    ProtocolCounter.objects.filter(year=year).update(last=F("last") + 1)
    return f"{year}-{ProtocolCounter.objects.get(year=year).last:06d}"


@dataclass(frozen=True)
class Typed:
    """Login and first password of an account that an analyst made by hand in the other system."""

    login: str
    password: str = field(repr=False)


@transaction.atomic
def move(
    pk: int, to: Status, *, by: User | None, note: str = "", renew_password: bool = False, typed: Typed | None = None
) -> AccessRequest:
    """Move one request, record it in the history and owe the mail that tells of it.

    ``by`` None is the clock. ``renew_password``: the approver wants a new provisional password even if the person has
    chosen one. ``typed``: what the analyst got for the person from a system that is registered by hand; None where
    that system sends its own. Raises MoveRefusedError, with a sentence for the person, if the table, the role, the
    four-eyes rule or the state of things forbids it.
    """
    request = AccessRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    came_from = Status(request.status)
    _refuse_unless_allowed(request, came_from, to, by)
    note = note.strip()
    if to in NEEDS_REASON and not can_be_read(note):
        raise MoveRefusedError(WRITE_A_REASON)
    if to in {Status.APPROVED, Status.COMPLETED} or came_from == Status.EXPIRED:
        refuse_if_impossible(request)
    try:
        with transaction.atomic():
            event = _record(request, to, by, note)
    except IntegrityError:  # reopened while another request for the same was filed
        raise MoveRefusedError(ALREADY_ASKED) from None
    if to == Status.APPROVED and request.system.credential == ExternalSystem.Credential.PORTAL:
        # The portal's own account needs nobody's hand: the clock completes it at once.
        event = _record(request, Status.COMPLETED, None, "")
    if request.status == Status.COMPLETED:
        _grant(request, by, renew_password=renew_password, typed=typed)
    outbox.owe(emails.KIND_FOR[Status(request.status)], recipient=request.requester, about=event.pk)
    return request


def _refuse_unless_allowed(request: AccessRequest, came_from: Status, to: Status, by: User | None) -> None:
    allowed = MOVES.get((came_from, to))
    if allowed is None:
        raise MoveRefusedError(
            f"A solicitação {request.protocol} está “{came_from.label}” e não pode passar para “{to.label}”. "
            "Talvez outra pessoa já a tenha decidido: abra de novo para ver."
        )
    if not allowed.isdisjoint(roles_of(by, request)):
        return
    if by is not None and by.pk in {request.requester_id, request.beneficiary_id} and Role.ANALYST in allowed:
        raise MoveRefusedError(NOT_YOUR_OWN)
    raise MoveRefusedError("Você não tem permissão para isso.")


def refuse_if_impossible(request: AccessRequest) -> None:
    """What must hold when a request is filed and again when it is decided. Raises MoveRefusedError."""
    beneficiary, user_type = request.beneficiary, request.user_type
    if not Employment.objects.current().filter(pk=request.employment_id, user=beneficiary).exists():
        raise MoveRefusedError("Esta pessoa não tem mais este vínculo com o Tribunal.")
    if not beneficiary.email:
        raise MoveRefusedError(
            "Esta pessoa não tem e-mail no cadastro e não receberia a credencial. Avise a Gestão de Pessoas."
        )
    if not (user_type.is_active and user_type.system.is_active):
        raise MoveRefusedError(f"{user_type} não aceita pedidos no momento.")
    same = AccessRequest.objects.open().filter(beneficiary=beneficiary, user_type=user_type, unit=request.unit)
    if other := same.exclude(pk=request.pk).first():
        raise MoveRefusedError(f"{ALREADY_ASKED.removesuffix('.')}: nº {other.protocol}.")
    if AccessGrant.objects.live().filter(user=beneficiary, user_type=user_type, unit=request.unit).exists():
        raise MoveRefusedError(f"Esta pessoa já tem acesso a {user_type}.")


def _record(request: AccessRequest, to: Status, by: User | None, note: str) -> RequestEvent:
    """Write one move: the row and its line of history."""
    came_from = request.status
    request.status = to
    request.holder = by if to == Status.IN_REVIEW else None
    if to == Status.RETURNED:
        request.correct_by = add_business_days(timezone.localdate(), settings.RETURN_DAYS)
    if to in {Status.APPROVED, Status.REJECTED}:
        request.decided_by, request.decided_at = by, timezone.now()
    if to == Status.COMPLETED:
        request.completed_by = by
    request.save(update_fields=["status", "holder", "correct_by", "decided_by", "decided_at", "completed_by"])
    return RequestEvent.objects.create(request=request, from_status=came_from, to_status=to, actor=by, note=note)


def _grant(request: AccessRequest, by: User | None, *, renew_password: bool, typed: Typed | None) -> None:
    """Give what was asked, and owe the beneficiary the mail that says how to get in."""
    beneficiary = User.objects.select_for_update(of=("self",), no_key=True).get(pk=request.beneficiary_id)
    grant = AccessGrant.objects.create(
        request=request, user=beneficiary, user_type=request.user_type, unit=request.unit
    )
    password = None
    if request.system.credential == ExternalSystem.Credential.PORTAL:
        password = provisional.issue(beneficiary, by=by, renew=renew_password)
    if typed is not None and request.system.credential == ExternalSystem.Credential.OPERATOR:
        _owe_typed(grant, by, "", "", typed)
    else:
        _owe_credential(grant, by, "", "", password)


def _owe_credential(
    grant: AccessGrant, by: User | None, came_from: str, note: str, password: ProvisionalPassword | None
) -> None:
    event = GrantEvent.objects.create(
        grant=grant,
        from_status=came_from,
        to_status=GrantStatus.ACTIVE,
        actor=by,
        note=note,
        provisional_password=password,
    )
    outbox.owe(emails.CREDENTIAL if password else emails.GRANTED, recipient=grant.user, about=event.pk)


def _owe_typed(grant: AccessGrant, by: User | None, came_from: str, note: str, typed: Typed) -> None:
    TypedCredential.objects.filter(event__grant=grant).update(password="")  # replaced: no mail may carry it any more
    event = GrantEvent.objects.create(
        grant=grant, from_status=came_from, to_status=GrantStatus.ACTIVE, actor=by, note=note
    )
    TypedCredential.objects.create(event=event, login=typed.login, password=secret_keys.encrypt(typed.password))
    outbox.owe(emails.TYPED, recipient=grant.user, about=event.pk)


@transaction.atomic
def reissue(pk: int, *, by: User, note: str, typed: Typed | None = None) -> AccessGrant:
    """Mail a new provisional password for an active access ("Reemitir credencial"); the one before is dead at once.

    For a system that is registered by hand, ``typed`` is what the analyst got there. Raises MoveRefusedError, with a
    sentence for the person.
    """
    grant = AccessGrant.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    user = User.objects.select_for_update(of=("self",), no_key=True).get(pk=grant.user_id)
    if refusal := _why_not_reissue(by, grant):
        raise MoveRefusedError(refusal)
    if not can_be_read(note):
        raise MoveRefusedError("Escreva o motivo da reemissão.")
    if grant.user_type.system.credential == ExternalSystem.Credential.PORTAL:
        _owe_credential(grant, by, grant.status, note.strip(), provisional.issue(user, by=by, renew=True))
    elif typed is None:
        raise MoveRefusedError("Digite o login e a senha que o outro sistema deu.")
    else:
        _owe_typed(grant, by, grant.status, note.strip(), typed)
    return grant


def send_again(mail: OutgoingMail, by: User) -> None:
    """Make anew what a credential mail that failed carried (``outbox.Kind.again``), in the caller's transaction.

    A password that was delivered, or that the person chose meanwhile, stays: then the new mail carries none. The new
    mail says what the one before would have said, so its event repeats where that came from. Raises RetryRefusedError.
    """
    before = GrantEvent.objects.get(pk=mail.object_id)
    grant = AccessGrant.objects.select_for_update(of=("self",), no_key=True).get(pk=before.grant_id)
    user = User.objects.select_for_update(of=("self",), no_key=True).get(pk=grant.user_id)
    if refusal := _why_not_reissue(by, grant):
        raise outbox.RetryRefusedError(refusal)
    password = None if user.has_chosen_password else provisional.issue(user, by=by, renew=_nobody_has_it(user))
    _owe_credential(grant, by, before.from_status, "O e-mail anterior não foi entregue.", password)


def _nobody_has_it(user: User) -> bool:
    """Whether the person's provisional password was neither delivered nor is about to be. The caller locks them."""
    live = provisional.live_of(user)
    return live is None or not (live.nonce or emails.was_delivered(live))


def may_reissue(by: User, grant: AccessGrant) -> bool:
    """What the button asks before it is shown."""
    return not _why_not_reissue(by, grant)


def _why_not_reissue(by: User, grant: AccessGrant) -> str:
    if not (by.is_active and by.has_perm("requests_app.decide")):
        return "Você não tem permissão para isso."
    if by.pk in {grant.user_id, grant.request.requester_id}:
        return NOT_YOUR_OWN
    if grant.status != GrantStatus.ACTIVE:
        return "Só um acesso ativo tem credencial para reemitir."
    if grant.user_type.system.credential == ExternalSystem.Credential.OWN:
        return "A senha deste sistema não é emitida pelo portal."
    if not (grant.user.is_active and grant.user.email):
        return "Esta pessoa está inativa ou não tem e-mail no cadastro."
    return ""


def correct(request: AccessRequest, *, by: User, note: str = "") -> AccessRequest:
    """Store what the requester corrected on a returned (or expired) request and put it back into the queue.

    Raises MoveRefusedError.
    """
    with transaction.atomic():
        locked = AccessRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=request.pk)
        _refuse_unless_allowed(locked, Status(locked.status), Status.PENDING, by)
        if by.pk == locked.requester_id and has_left(by):
            raise MoveRefusedError(ONLY_WITH_A_BOND)
        if by.pk != locked.requester_id and request.beneficiary_id != locked.beneficiary_id:
            raise MoveRefusedError("Só quem pediu pode trocar a pessoa que terá o acesso.")
        request.status = locked.status
        refuse_if_impossible(request)
        try:
            with transaction.atomic():
                request.save(update_fields=CORRECTABLE)
                return move(request.pk, Status.PENDING, by=by, note=note)
        except IntegrityError:
            raise MoveRefusedError(ALREADY_ASKED) from None


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


def add_business_days(start: date, days: int) -> date:
    """``days`` business days later: Saturdays and Sundays do not count."""
    day = start
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5  # noqa: PLR2004 - Monday is 0, Saturday 5
    return day


def new_request(
    *,
    form_nonce: uuid.UUID,
    requester: User,
    bond: Employment,
    user_type: UserType,
    description: str,
    email: str,
    phone: str,
) -> AccessRequest:
    """An unsaved request, with names, cargos and units as they stand now."""
    own = Employment.objects.main_of(requester)
    return AccessRequest(
        form_nonce=form_nonce,
        requester=requester,
        requester_name=requester.display_name,
        requester_cargo=own.cargo if own else "",
        requester_lotacao=str(own.unit) if own else "",
        requester_email=email,
        requester_phone=phone,
        user_type=user_type,
        description=description,
        **snapshot(bond),
    )


def snapshot(bond: Employment) -> dict[str, object]:
    """What a request keeps of the beneficiary's bond."""
    return {
        "beneficiary": bond.user,
        "employment": bond,
        "beneficiary_name": bond.user.display_name,
        "beneficiary_matricula": bond.matricula,
        "beneficiary_cargo": bond.cargo,
        "beneficiary_lotacao": str(bond.unit),
    }
