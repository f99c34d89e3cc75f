"""The one table of moves, who may make them, and the refusal (DESIGN §6)."""

from __future__ import annotations

from enum import Enum

from accounts.models import Employment, User

from ..models import AccessRequest, Status


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
UNFIT_REASON = "Este modelo de motivo não serve para esta decisão ou para este sistema. Escolha outro."
SAYS_WHO_DECIDES = "Quem define os perfis da equipe não decide solicitações nem acessos."
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
    return ANALYST if is_analyst(by) else frozenset()


def is_analyst(by: User) -> bool:
    """Whether somebody decides at all. Who says who decides never does: nobody grants themselves a decision."""
    return by.is_active and by.has_perm("requests_app.decide") and not by.has_perm("accounts.change_roles")


def why_no_analyst(by: User) -> str:
    """What somebody reads who is none."""
    return SAYS_WHO_DECIDES if by.has_perm("accounts.change_roles") else "Você não tem permissão para isso."


def has_left(person: User | int) -> bool:
    """Whether somebody (the person or their key) has no bond with the court any more."""
    return not Employment.objects.current().filter(user=person).exists()


def can_be_read(text: str) -> bool:
    """Whether there is anything to see: characters without width are no reason."""
    return any(char.isalnum() for char in text)


def may(by: User, request: AccessRequest, to: Status) -> bool:
    """Whether the table lets this person make this move now; what buttons ask before they are shown."""
    allowed = MOVES.get((Status(request.status), to), frozenset())
    return not allowed.isdisjoint(roles_of(by, request))
