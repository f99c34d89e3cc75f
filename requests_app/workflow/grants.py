"""What a request that is completed gives: the access, and the mail that says how to get in (DESIGN §7)."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import transaction

from accounts import outbox, provisional, secret_keys
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword, User

from .. import emails
from ..models import (
    NOT_DELIVERED,
    NOT_YOUR_OWN,
    AccessGrant,
    AccessRequest,
    ExternalSystem,
    GrantEvent,
    GrantStatus,
    TypedCredential,
)
from .rules import MoveRefusedError, can_be_read, is_analyst, why_no_analyst

MOVED_MEANWHILE = (
    "O acesso mudou depois que você abriu esta página. Nada foi gravado: confira o andamento e tente de novo."
)


OF_THE_STAFF = (
    "Esta pessoa é da equipe do portal e já tem senha própria. "
    "Se ela esqueceu a senha, use “Esqueci a senha” ou peça à Gestão que envie o link."
)


@dataclass(frozen=True)
class Typed:
    """Login and first password of an account that an analyst made by hand in the other system."""

    login: str
    password: str = field(repr=False)


def give(request: AccessRequest, by: User | None, *, renew_password: bool, typed: Typed | None) -> None:
    """Give what was asked, and owe the beneficiary, whom the caller locks, the mail that says how to get in.

    Raises MoveRefusedError where ``renew_password`` would replace what is not for a decision to replace.
    """
    if renew_password and not provisional.may_replace(request.beneficiary):
        raise MoveRefusedError(OF_THE_STAFF)
    grant = AccessGrant.objects.create(
        request=request, user=request.beneficiary, user_type=request.user_type, unit_id=request.unit_id
    )
    password = None
    if request.system.credential == ExternalSystem.Credential.PORTAL:
        password = provisional.issue(request.beneficiary, by=by, renew=renew_password)
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
    outbox.owe(emails.CREDENTIAL if password else emails.GRANTED, recipient=grant.user_id, about=event.pk)


def _owe_typed(grant: AccessGrant, by: User | None, came_from: str, note: str, typed: Typed) -> None:
    TypedCredential.objects.filter(event__grant=grant).update(password="")  # replaced: no mail may carry it any more
    event = GrantEvent.objects.create(
        grant=grant, from_status=came_from, to_status=GrantStatus.ACTIVE, actor=by, note=note
    )
    TypedCredential.objects.create(event=event, login=typed.login, password=secret_keys.encrypt(typed.password))
    outbox.owe(emails.TYPED, recipient=grant.user_id, about=event.pk)


def _replace_what_failed(grant: AccessGrant) -> None:
    """A new credential is on its way: the mails before, which did not arrive, ask for nobody's attention any more."""
    about = GrantEvent.objects.filter(grant=grant).values("pk")
    failed = OutgoingMail.objects.filter(kind__in=emails.ABOUT_ACCESS, object_id__in=about, status=MailStatus.FAILED)
    failed.update(status=MailStatus.SUPERSEDED)


def _locked(pk: int) -> tuple[AccessGrant, User]:
    """An access and whose it is, held until the transaction ends: the person first, as everywhere."""
    user = User.objects.locked(AccessGrant.objects.values_list("user_id", flat=True).get(pk=pk))
    return AccessGrant.objects.select_for_update(of=("self",), no_key=True).get(pk=pk), user


@transaction.atomic
def reissue(pk: int, *, by: User, note: str, typed: Typed | None = None, seen: int | None = None) -> AccessGrant:
    """Mail a new provisional password for an active access ("Reemitir credencial"); the one before is dead at once.

    For a system that is registered by hand, ``typed`` is what the analyst got there. ``seen``: as in ``move_grant``.
    Raises MoveRefusedError, with a sentence for the person.
    """
    grant, user = _locked(pk)
    if refusal := _why_not_reissue(by, grant) or _why_not_replace(grant):
        raise MoveRefusedError(refusal)
    refuse_if_moved(grant, seen)
    if not can_be_read(note):
        raise MoveRefusedError("Escreva o motivo da reemissão.")
    _replace_what_failed(grant)
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
    grant, user = _locked(before.grant_id)
    if refusal := _why_not_reissue(by, grant):
        raise outbox.RetryRefusedError(refusal)
    password = None if user.has_chosen_password else provisional.issue(user, by=by, renew=_nobody_has_it(user))
    _owe_credential(grant, by, before.from_status, NOT_DELIVERED, password)


def _nobody_has_it(user: User) -> bool:
    """Whether the person's provisional password was neither delivered nor is about to be. The caller locks them."""
    return emails.reaches_nobody(provisional.live_of(user))


def refuse_if_moved(grant: AccessGrant, seen: int | None) -> None:
    """Raise MoveRefusedError if the history of this locked access has a step later than ``seen``."""
    if seen is not None and grant.events.filter(pk__gt=seen).exists():
        raise MoveRefusedError(MOVED_MEANWHILE)


def is_own(by: User, grant: AccessGrant) -> bool:
    """Whether somebody has the access or asked for it; one that is older than the portal has no request."""
    return by.pk == grant.user_id or (grant.request is not None and by.pk == grant.request.requester_id)


def may_reissue(by: User, grant: AccessGrant) -> bool:
    """What the button asks before it is shown."""
    return not (_why_not_reissue(by, grant) or _why_not_replace(grant))


def _why_not_reissue(by: User, grant: AccessGrant) -> str:
    if not is_analyst(by):
        return why_no_analyst(by)
    if is_own(by, grant):
        return NOT_YOUR_OWN
    if grant.status != GrantStatus.ACTIVE:
        return "Só um acesso ativo tem credencial para reemitir."
    if not (grant.user.is_active and grant.user.email):
        return "Esta pessoa está inativa ou não tem e-mail no cadastro."
    if grant.user_type.system.credential == ExternalSystem.Credential.OWN:
        return "A senha deste sistema não é emitida pelo portal."
    return ""


def _why_not_replace(grant: AccessGrant) -> str:
    """Whose password here stays as it is; nothing where the system has a password of its own."""
    is_ours = grant.user_type.system.credential == ExternalSystem.Credential.PORTAL
    return OF_THE_STAFF if is_ours and not provisional.may_replace(grant.user) else ""
