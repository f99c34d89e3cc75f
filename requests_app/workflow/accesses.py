"""What becomes of an access once it is given: its own table of moves, and the only writer of them (DESIGN §6)."""

from __future__ import annotations

import logging
from datetime import date
from enum import Enum

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import outbox
from accounts.models import MailStatus, OutgoingMail, User

from .. import emails, heads
from ..models import LIVE_GRANT, AccessGrant, GrantEvent, GrantStatus, TypedCredential
from . import grants
from .rules import MoveRefusedError, can_be_read, is_analyst, why_no_analyst

log = logging.getLogger(__name__)


class GrantRole(Enum):
    """In which quality somebody acts on one access."""

    ANALYST = "analyst"
    #: Of a unit that the person has a bond with today.
    HEAD = "head"
    #: Has the access, and may give it up; nothing else.
    HOLDER = "holder"
    CLOCK = "clock"


ANALYST = frozenset({GrantRole.ANALYST})
#: They ask; the Coordenadoria revokes or keeps.
ASKS = frozenset({GrantRole.HEAD, GrantRole.HOLDER, GrantRole.CLOCK})
HOLDER = frozenset({GrantRole.HOLDER})
CLOCK = frozenset({GrantRole.CLOCK})

#: What becomes of accesses: (from, to) -> who may do it. Any other move is refused.
GRANT_MOVES: dict[tuple[GrantStatus, GrantStatus], frozenset[GrantRole]] = {
    (GrantStatus.ACTIVE, GrantStatus.SUSPENDED): ANALYST,
    (GrantStatus.SUSPENDED, GrantStatus.ACTIVE): ANALYST,
    (GrantStatus.ACTIVE, GrantStatus.REVOKED): ANALYST,
    (GrantStatus.SUSPENDED, GrantStatus.REVOKED): ANALYST,
    (GrantStatus.TO_REVOKE, GrantStatus.REVOKED): ANALYST,
    (GrantStatus.ACTIVE, GrantStatus.TO_REVOKE): ASKS,
    (GrantStatus.SUSPENDED, GrantStatus.TO_REVOKE): ASKS,
    # Kept: it goes back to what it was, and to nothing else.
    (GrantStatus.TO_REVOKE, GrantStatus.ACTIVE): ANALYST,
    (GrantStatus.TO_REVOKE, GrantStatus.SUSPENDED): ANALYST,
    (GrantStatus.ACTIVE, GrantStatus.EXPIRED): CLOCK,
    (GrantStatus.SUSPENDED, GrantStatus.EXPIRED): CLOCK,
    (GrantStatus.TO_REVOKE, GrantStatus.EXPIRED): CLOCK,
}
#: A reason must come with these; and with keeping what was to be revoked.
GRANT_NEEDS_REASON = frozenset({GrantStatus.SUSPENDED, GrantStatus.TO_REVOKE, GrantStatus.REVOKED})
#: What an access may go back to whose end is refused.
KEPT = frozenset({GrantStatus.ACTIVE, GrantStatus.SUSPENDED})
#: Nobody gets in by these: what is on its way to the person must not arrive.
CLOSED = frozenset({GrantStatus.SUSPENDED, GrantStatus.REVOKED, GrantStatus.EXPIRED})

NOT_YOUR_OWN_ACCESS = "Ninguém decide sobre um acesso que tem, que pediu ou cujo fim pediu."
WRITE_WHY = "Escreva o motivo: ele fica no histórico do acesso."
#: Stands in the place of a reason where somebody gives their own access up and says no more.
NOT_NEEDED = "A pessoa informou que não precisa mais deste acesso."


@transaction.atomic
def move_grant(pk: int, to: GrantStatus, *, by: User | None, note: str = "", seen: int | None = None) -> AccessGrant:
    """Move one access, record it in its history and owe the mails that tell of it.

    ``by`` None is the clock. ``seen``: the last step of the history (its key) that ``by`` saw; refused if there is a
    later one. The portal's own password stays, for it is the person's. Raises MoveRefusedError, with a sentence for
    the person, if the table, the role, the four-eyes rule or a missing reason forbids it.
    """
    grant = AccessGrant.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    came_from = GrantStatus(grant.status)
    _refuse_unless_allowed(grant, to, by)
    grants.refuse_if_moved(grant, seen)
    note = note.strip()
    if (to in GRANT_NEEDS_REASON or came_from == GrantStatus.TO_REVOKE) and by is not None and not can_be_read(note):
        raise MoveRefusedError(WRITE_WHY)
    asked = end_asked(grant)
    event = GrantEvent.objects.create(grant=grant, from_status=came_from, to_status=to, actor=by, note=note)
    grant.status = to
    grant.save(update_fields=["status"])
    if to in CLOSED:
        _withdraw_credentials(grant)
    _tell(grant, came_from, event, asked)
    return grant


def give_up(pk: int, *, by: User, note: str = "") -> AccessGrant:
    """Whoever has an access needs it no longer: the Coordenadoria is asked to end it. The reason may be left out.

    Raises MoveRefusedError, with a sentence for the person.
    """
    return move_grant(pk, GrantStatus.TO_REVOKE, by=by, note=note if can_be_read(note) else NOT_NEEDED)


def _refuse_unless_allowed(grant: AccessGrant, to: GrantStatus, by: User | None) -> None:
    allowed = _who_may(grant, to)
    if not allowed:
        raise MoveRefusedError(
            f"O acesso está “{grant.get_status_display()}” e não pode passar para “{to.label}”. "
            "Talvez outra pessoa já o tenha mudado: abra de novo para ver."
        )
    if not allowed.isdisjoint(grant_roles_of(by, grant)):
        return
    if by is not None and (by.pk == grant.user_id or (GrantRole.ANALYST in allowed and is_involved(by, grant))):
        raise MoveRefusedError(NOT_YOUR_OWN_ACCESS)
    if by is not None and GrantRole.ANALYST in allowed:
        raise MoveRefusedError(why_no_analyst(by))
    raise MoveRefusedError("Só quem chefia a unidade da pessoa pode pedir o fim deste acesso.")


def _who_may(grant: AccessGrant, to: GrantStatus) -> frozenset[GrantRole]:
    """Who may move this access there; nobody where the table has no such move, or it was something else before."""
    if grant.status == GrantStatus.TO_REVOKE and to in KEPT and to != kept_status(grant):
        return frozenset()
    return GRANT_MOVES.get((GrantStatus(grant.status), to), frozenset())


def grant_roles_of(by: User | None, grant: AccessGrant) -> frozenset[GrantRole]:
    """In which qualities a person (None: the clock) acts on this access.

    With an access of their own somebody does nothing but give it up. Whoever asked for it, or for its end, does not
    decide on it (four eyes).
    """
    if by is None:
        return CLOCK
    if by.pk == grant.user_id:
        return HOLDER if by.is_active else frozenset()
    roles = set()
    if is_analyst(by) and not is_involved(by, grant):
        roles.add(GrantRole.ANALYST)
    if by.is_active and heads.is_head_over(by, grant):
        roles.add(GrantRole.HEAD)
    return frozenset(roles)


def is_involved(by: User, grant: AccessGrant) -> bool:
    """Whether somebody has the access, asked for it, or asked for its end."""
    if grants.is_own(by, grant):
        return True
    asked = end_asked(grant)
    return asked is not None and asked.actor_id == by.pk


def end_asked(grant: AccessGrant) -> GrantEvent | None:
    """The step by which the end of this access was asked for; None where it is not to be revoked."""
    if grant.status != GrantStatus.TO_REVOKE:
        return None
    asked: QuerySet[GrantEvent] = grant.events.filter(to_status=GrantStatus.TO_REVOKE)
    return asked.exclude(from_status=GrantStatus.TO_REVOKE).select_related("actor").last()


def kept_status(grant: AccessGrant) -> GrantStatus:
    """What an access that is to be revoked goes back to if it is kept: what it was."""
    asked = end_asked(grant)
    return GrantStatus(asked.from_status) if asked and asked.from_status else GrantStatus.ACTIVE


def grant_moves_of(by: User, grant: AccessGrant) -> list[GrantStatus]:
    """Where this person may move the access now; what buttons ask before they are shown."""
    roles = grant_roles_of(by, grant)
    return [to for to in GrantStatus if not _who_may(grant, to).isdisjoint(roles)]


def _withdraw_credentials(grant: AccessGrant) -> None:
    """No mail may bring a login or a password any more. One that is being sent just now is left: it is out."""
    about = GrantEvent.objects.filter(grant=grant).values("pk")
    waiting = OutgoingMail.objects.filter(
        kind__in=emails.ABOUT_ACCESS, object_id__in=about, status=MailStatus.PENDING, lease_until=None
    )
    for mail in waiting.select_for_update(of=("self",), skip_locked=True, no_key=True):
        mail.status, mail.error = MailStatus.SUPERSEDED, "O acesso não está mais ativo."
        mail.save(update_fields=["status", "error"])
        outbox.KINDS[mail.kind].dropped(mail)
    TypedCredential.objects.filter(event__grant=grant).update(password="")


def _tell(grant: AccessGrant, came_from: GrantStatus, event: GrantEvent, asked: GrantEvent | None) -> None:
    """The person hears what changed for them; who asked for the end, what came of that."""
    to = GrantStatus(event.to_status)
    kept = came_from == GrantStatus.TO_REVOKE and to in KEPT
    if to in emails.GRANT_KIND_FOR and not kept:
        outbox.owe(emails.GRANT_KIND_FOR[to], recipient=grant.user_id, about=event.pk)
    # Who gave up what they had is told once that it has ended.
    if asked is not None and asked.actor_id is not None and (kept or asked.actor_id != grant.user_id):
        outbox.owe(emails.ANSWERED, recipient=asked.actor_id, about=event.pk)


@transaction.atomic
def set_end(pk: int, until: date | None, *, by: User, note: str, seen: int | None = None) -> AccessGrant:
    """Say until which day, that one included, an access holds (None: it has no end), and why; told in its history.

    The person is mailed, if they have an address. Raises MoveRefusedError, with a sentence for who decides.
    """
    grant = AccessGrant.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    if refusal := why_not_decide(by, grant):
        raise MoveRefusedError(refusal)
    grants.refuse_if_moved(grant, seen)
    if until is not None and until < timezone.localdate():
        raise MoveRefusedError("A data já passou. Escolha hoje ou outro dia; para encerrar agora, use “Revogar”.")
    if until == grant.expires_on:
        already = "vale até esse dia" if until else "não tem data de fim"
        raise MoveRefusedError(f"O acesso já {already}. Nada foi gravado.")
    if not can_be_read(note):
        raise MoveRefusedError(WRITE_WHY)
    grant.expires_on = until
    grant.save(update_fields=["expires_on"])
    term = f"Vale até {until:%d/%m/%Y}." if until else "Sem data de fim."
    event = GrantEvent.objects.create(
        grant=grant, from_status=grant.status, to_status=grant.status, actor=by, note=f"{term} {note.strip()}"
    )
    if grant.user.email:
        outbox.owe(emails.END_SET, recipient=grant.user_id, about=event.pk)
    return grant


def why_not_decide(by: User, grant: AccessGrant) -> str:
    """What the page asks before it shows a form; nothing where ``by`` may decide on this access or set its end."""
    if grant.status not in LIVE_GRANT:
        return "Este acesso já terminou."
    if not is_analyst(by):
        return why_no_analyst(by)
    return NOT_YOUR_OWN_ACCESS if is_involved(by, grant) else ""


def expire_ended(*, dry_run: bool = False) -> int:
    """The clock: accesses whose last day has passed expire. Returns how many did, or would."""
    ended = AccessGrant.objects.live().filter(expires_on__lt=timezone.localdate())
    if dry_run:
        return ended.count()
    expired, failed = 0, 0
    for pk in ended.values_list("pk", flat=True):
        try:
            expired += _expire(ended, pk)
        except Exception:  # one must not keep all others back
            log.exception("Access %s could not be expired", pk)
            failed += 1
    if failed:
        raise RuntimeError(f"{failed} accesses could not be expired; {expired} were")
    return expired


@transaction.atomic
def _expire(ended: QuerySet[AccessGrant], pk: int) -> bool:
    """False if it was given more time a moment ago, or is in somebody's hands."""
    if not ended.select_for_update(of=("self",), skip_locked=True, no_key=True).filter(pk=pk).first():
        return False
    move_grant(pk, GrantStatus.EXPIRED, by=None)
    return True
