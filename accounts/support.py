"""What the staff do for somebody who cannot get in. No password is seen, chosen or set (ASVS 5.0 6.4.6)."""

from __future__ import annotations

from enum import Enum, auto

from django.db import IntegrityError, transaction
from django.utils import timezone

from . import addresses, resets, security, sessions, throttle
from .directory import is_of_somebody_else
from .http import UserRequest
from .models import SecurityEvent, User
from .resets import NoLink


class Act(Enum):
    """What may be done for a person."""

    SEND_LINK = auto()
    UNLOCK = auto()
    END_SESSIONS = auto()
    CORRECT_EMAIL = auto()
    DISCLOSE = auto()


PERMISSIONS = {
    Act.SEND_LINK: "accounts.support",
    Act.UNLOCK: "accounts.support",
    Act.END_SESSIONS: "accounts.support",
    Act.CORRECT_EMAIL: "accounts.correct_email",
    Act.DISCLOSE: "accounts.disclose",
}

NOT_YOURS = "Nada foi feito: a conta desta pessoa não é sua para atender."
#: What the member of the staff reads where no link was sent, and what there is to do.
NO_LINK = {
    NoLink.INACTIVE: "O link não foi enviado: a entrada desta pessoa está fechada. Gestão pode abrir a entrada.",
    NoLink.NO_ADDRESS: "O link não foi enviado: a pessoa não tem e-mail no cadastro. Gestão pode corrigir o e-mail.",
    NoLink.TOO_MANY: (
        "O link não foi enviado: a pessoa já teve três na última hora. O próximo pode sair depois das {0}. "
        "Se uma das mensagens falhou, abra a mensagem e use “Tentar de novo”."
    ),
}
NO_LINK_AFTER_LEAVING = (
    "O link não foi enviado: a pessoa não tem mais vínculo. Ela volta a entrar quando o cadastro trouxer um vínculo."
)
IS_THE_SAME = "Este já é o e-mail da pessoa."
IS_TAKEN = "Outra pessoa do cadastro já usa este e-mail. Confira e digite de novo."


class RefusedError(Exception):
    """It was not done; the message is a sentence for the member of the staff."""


def may(by: User, act: Act, person: User) -> bool:
    """Whether this member of the staff may do this for this person; what buttons ask before they are shown.

    Nobody attends to themselves. A superuser's account is for superusers. Other staff are for who may support staff;
    their address, which is the way to a password, again for superusers alone. To read gives no power over an account.
    """
    if by.pk == person.pk or not by.has_perm(PERMISSIONS[act]):
        return False
    if by.is_superuser or not (person.is_staff or person.is_superuser):
        return True
    if person.is_superuser or act is Act.CORRECT_EMAIL:
        return False
    return act is Act.DISCLOSE or by.has_perm("accounts.support_staff")


def _locked(pk: int, act: Act, by: User) -> User:
    """The person, held until the transaction ends. Raises RefusedError if this is not for ``by`` to do."""
    person = User.objects.locked(pk)
    if not may(by, act, person):
        security.refused(act.name, by=by, about=pk)
        raise RefusedError(NOT_YOURS)
    return person


def _count(limit: throttle.Limit, by: User, request: UserRequest) -> None:
    """One more by this member of the staff, before any transaction: what is refused counts too.

    Raises RefusedError if there were too many.
    """
    if wait := throttle.take(limit, str(by.pk), request, by=by):
        raise RefusedError(throttle.sentence(wait))


def send_link(pk: int, *, by: User, request: UserRequest) -> None:
    """Owe the person the mail that "Esqueci a senha" brings; nobody here sees its link.

    Raises RefusedError where none is owed: the person cannot have one, or ``by`` has sent too many.
    """
    _count(throttle.LINKS_BY_STAFF, by, request)
    with transaction.atomic():
        person = _locked(pk, Act.SEND_LINK, by)
        why = resets.owe_link(person, SecurityEvent.Kind.LINK_SENT_BY_STAFF, actor=by, request=request)
        free_again_at = resets.free_again_at(person)
    if why is not None:  # out of the transaction, for the log shall keep it
        if why is NoLink.INACTIVE and person.left_at:
            raise RefusedError(NO_LINK_AFTER_LEAVING)
        hour = f"{timezone.localtime(free_again_at):%H:%M}" if free_again_at else ""
        raise RefusedError(NO_LINK[why].format(hour))


def unlock(pk: int, *, by: User, request: UserRequest) -> None:
    """Forget the tries at this person's CPF: whoever has the right password comes in at once.

    Raises RefusedError, as the acts below do, if this is not for ``by`` to do, or was done too often.
    """
    _count(throttle.STAFF_ACTS, by, request)
    with transaction.atomic():
        person = _locked(pk, Act.UNLOCK, by)
        throttle.unlock(person.cpf)
        security.record(SecurityEvent.Kind.UNLOCKED, user=person, actor=by, request=request)


def end_sessions(pk: int, *, by: User, request: UserRequest) -> int:
    """Sign the person out everywhere; returns how many sessions that were."""
    _count(throttle.STAFF_ACTS, by, request)
    with transaction.atomic():
        person = _locked(pk, Act.END_SESSIONS, by)
        return sessions.end_all(person, by=by, request=request)


def correct_email(pk: int, address: str, reason: str, *, by: User, request: UserRequest) -> None:
    """Send the person's mail elsewhere from now on; open links die and the old address is told (``addresses``).

    Raises RefusedError, also where somebody else was given the address a moment ago.
    """
    try:
        _correct_email(pk, address, reason, by=by, request=request)
    except IntegrityError as error:
        raise RefusedError(IS_TAKEN) from error


@transaction.atomic
def _correct_email(pk: int, address: str, reason: str, *, by: User, request: UserRequest) -> None:
    person = _locked(pk, Act.CORRECT_EMAIL, by)
    if address.lower() == person.email.lower():
        raise RefusedError(IS_THE_SAME)
    if is_of_somebody_else(address, person):
        raise RefusedError(IS_TAKEN)
    addresses.correct(person, address, by=by, reason=reason, request=request)


def disclose(pk: int, *, by: User, request: UserRequest, civil_name_for: str = "") -> User:
    """The person whose whole CPF and address are shown, once, to ``by``; never without its being recorded.

    ``civil_name_for``: the protocol of the request for which the civil name is shown as well, to register the person in
    a system that knows no other; nowhere else is it shown (Res. CNJ 270/2018).
    """
    what = f"CPF, e-mail e nome civil; solicitação {civil_name_for}" if civil_name_for else "CPF e e-mail"
    _count(throttle.STAFF_ACTS, by, request)
    with transaction.atomic():
        person = _locked(pk, Act.DISCLOSE, by)
        security.record(SecurityEvent.Kind.DISCLOSED, user=person, actor=by, request=request, detail=what)
        return person
