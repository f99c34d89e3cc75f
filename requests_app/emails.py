"""The mails that tell of a request, and the one that carries a credential."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from accounts import cpf, outbox, provisional, secret_keys
from accounts.emails import compose, masked, reachable
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword, User

from .models import (
    AccessGrant,
    AccessRequest,
    ExternalSystem,
    GrantEvent,
    GrantStatus,
    RequestEvent,
    Status,
    TypedCredential,
)

RECEIVED = "request_received"
#: Mail about an access that carries a provisional password, and mail that carries none.
CREDENTIAL = "credential"
GRANTED = "access_granted"
#: Mail with the login and first password that an analyst typed.
TYPED = "operator_credential"
ABOUT_ACCESS = (CREDENTIAL, TYPED, GRANTED)

#: What the requester hears when a request comes into a status.
KIND_FOR = {
    Status.PENDING: RECEIVED,
    Status.IN_REVIEW: "request_in_review",
    Status.RETURNED: "request_returned",
    Status.APPROVED: "request_approved",
    Status.COMPLETED: "request_completed",
    Status.REJECTED: "request_rejected",
    Status.CANCELLED: "request_cancelled",
    Status.EXPIRED: "request_expired",
}
LABELS = {
    RECEIVED: "Pedido recebido",
    "request_in_review": "Pedido em análise",
    "request_returned": "Pedido devolvido",
    "request_approved": "Pedido aprovado",
    "request_completed": "Acesso liberado (ao solicitante)",
    "request_rejected": "Pedido indeferido",
    "request_cancelled": "Pedido cancelado",
    "request_expired": "Pedido expirado",
}


def about_request(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Tell the requester of one move, at the address they gave for it."""
    event = RequestEvent.objects.select_related(
        "request__requester", "request__user_type__system", "request__unit", "actor"
    ).get(pk=mail.object_id)
    request = event.request
    context = {
        "request": request,
        "event": event,
        "person": request.requester,
        "system": request.system,
        "link": settings.PORTAL_URL + request.get_absolute_url(),
    }
    return compose(mail.kind, to=request.requester_email, context=context)


def _grant_event(mail: OutgoingMail) -> GrantEvent:
    event: GrantEvent = GrantEvent.objects.select_related(
        "grant__user", "grant__request", "grant__user_type__system"
    ).get(pk=mail.object_id)
    if event.grant.status != GrantStatus.ACTIVE:
        raise outbox.SupersededError("O acesso não está mais ativo.")
    return event


def _access_context(event: GrantEvent, person: User) -> dict[str, Any]:
    grant = event.grant
    return {
        "person": person,
        "grant": grant,
        "reissued": bool(event.from_status),
        "request": grant.request,
        "system": grant.user_type.system,
        "login": cpf.formatted(person.cpf),
        "opened_systems": opened_by_portal_password(person),
        "days": settings.PROVISIONAL_PASSWORD_DAYS,
    }


def opened_by_portal_password(person: User | None = None) -> list[str]:
    """Names of the systems that the portal's own password opens: for this person, or for whoever has the access."""
    portal = ExternalSystem.objects.filter(credential=ExternalSystem.Credential.PORTAL, is_active=True)
    if person is not None:
        active = AccessGrant.objects.filter(user=person, status=GrantStatus.ACTIVE)
        portal = portal.filter(user_types__in=active.values("user_type")).distinct()
    return list(portal.values_list("name", flat=True))


def credential(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Login and provisional password, to the beneficiary's own address. The password is derived here, in memory."""
    event, person = _grant_event(mail), reachable(mail)
    assert event.provisional_password_id is not None  # noqa: S101 - the kind is chosen by it
    password = provisional.reveal(event.provisional_password_id)
    return compose("credential", to=person.email, context=_access_context(event, person) | {"password": password})


def credential_sent(mail: OutgoingMail) -> None:
    event = GrantEvent.objects.get(pk=mail.object_id)
    assert event.provisional_password_id is not None  # noqa: S101
    provisional.lock(event.provisional_password_id)
    provisional.mailed(event.provisional_password_id, needed_by_another_mail=_needed_by_another(mail, event))


def credential_dropped(mail: OutgoingMail) -> None:
    """Nobody gets this copy: wipe the nonce. Who was overtaken by another password still hears of the new access."""
    event = GrantEvent.objects.select_related("grant__user").get(pk=mail.object_id)
    assert event.provisional_password_id is not None  # noqa: S101
    provisional.lock(event.provisional_password_id)
    if not _needed_by_another(mail, event):
        provisional.forget(event.provisional_password_id)
    is_new_access = not event.from_status
    if mail.status == MailStatus.SUPERSEDED and is_new_access and event.grant.status == GrantStatus.ACTIVE:
        outbox.owe(GRANTED, recipient=event.grant.user, about=event.pk)


def _needed_by_another(mail: OutgoingMail, event: GrantEvent) -> bool:
    others = GrantEvent.objects.filter(provisional_password=event.provisional_password_id).exclude(pk=event.pk)
    return OutgoingMail.objects.filter(
        kind=CREDENTIAL, status=MailStatus.PENDING, object_id__in=others.values("pk")
    ).exists()


def operator_credential(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Login and first password of another system, as an analyst typed them; decrypted here, in memory."""
    event, person = _grant_event(mail), reachable(mail)
    newer = TypedCredential.objects.filter(event__grant=event.grant_id, event__gt=event.pk)
    if newer.exists():
        raise outbox.SupersededError("Há uma credencial mais nova.")
    typed = event.typed_credential
    try:
        password = secret_keys.decrypt(typed.password)
    except secret_keys.KeyGoneError:
        raise outbox.UndeliverableError("A chave desta senha foi retirada: reemita a credencial.") from None
    context = _access_context(event, person) | {"typed": typed, "password": password}
    return compose(TYPED, to=person.email, context=context)


def erase_typed(mail: OutgoingMail) -> None:
    """Mailed, replaced or given up: the password is gone from here with that very transaction."""
    TypedCredential.objects.filter(event=mail.object_id).update(password="")


def access_granted(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The access is there and the password stays as it is: chosen, mailed before, or set by the other system."""
    event, person = _grant_event(mail), reachable(mail)
    live = ProvisionalPassword.objects.filter(user=person, ended_at=None).exclude(mailed_at=None).first()
    return compose("access_granted", to=person.email, context=_access_context(event, person) | {"provisional": live})


def was_delivered(password: ProvisionalPassword) -> bool:
    """Whether a mail with this password went out and did not come back."""
    carrying = GrantEvent.objects.filter(provisional_password=password)
    return OutgoingMail.objects.filter(
        kind=CREDENTIAL, status=MailStatus.SENT, object_id__in=carrying.values("pk")
    ).exists()


# --- What became of them ---------------------------------------------------------------------------------------------
PROTOCOL = re.compile(r"[0-9]{4}-[0-9]{6}")
#: A mail that has waited longer than this is late.
SOON = timedelta(hours=1)
#: What has no name of its own is simply "E-mail".
CALLED = {
    CREDENTIAL: "E-mail com login e senha provisória",
    TYPED: "E-mail com login e primeira senha",
    GRANTED: "E-mail sobre o acesso",
}


@dataclass(frozen=True)
class Notice:
    """What became of one mail."""

    mail: OutgoingMail
    #: Of the beneficiary, where the mail went to them as such.
    name: str
    #: Masked; empty where it is not the reader's to see, or has been corrected since.
    address: str

    @property
    def label(self) -> str:
        return outbox.KINDS[self.mail.kind].label

    @property
    def went_wrong(self) -> bool:
        return self.mail.status == MailStatus.FAILED

    @property
    def sentence(self) -> str:
        """For requester and beneficiary."""
        called = CALLED.get(self.mail.kind, "E-mail")
        if self.mail.status == MailStatus.FAILED:
            whose = f" a {self.name}" if self.name else ""
            return f"Houve um problema no envio do {called[0].lower()}{called[1:]}{whose}; a Coordenadoria foi avisada."
        if self.mail.status == MailStatus.PENDING:
            whose = f" para {self.name}" if self.name else ""
            late = timezone.now() - (self.mail.retried_at or self.mail.created_at) > SOON
            slowly = " O envio está demorando; o portal continua tentando." if late else ""
            return f"{called}{whose} na fila de envio.{slowly}"
        whose = f" a {self.name}" if self.name else ""
        where = f" para {self.address}" if self.address else ""
        return f"{called} enviado{whose} em {_moment(self.mail.sent_at)}{where}."


def _moment(at: datetime | None) -> str:
    return f"{timezone.localtime(at):%d/%m/%Y %H:%M}"


@dataclass(frozen=True)
class Step:
    """One line of a history, with the mails that told of it."""

    event: RequestEvent | GrantEvent
    notices: list[Notice]


def about(events: Collection[int], grant_events: Collection[int]) -> Q:
    """The mails about these steps: by their keys, for which the table has its index."""
    return Q(kind__in=[*LABELS], object_id__in=events) | Q(kind__in=ABOUT_ACCESS, object_id__in=grant_events)


def by_protocol(typed: str) -> Q | None:
    """The mails about one request, for the staff's search; None if this is no protocol."""
    if not PROTOCOL.fullmatch(typed):
        return None
    events = RequestEvent.objects.filter(request__protocol=typed).values_list("pk", flat=True)
    grant_events = GrantEvent.objects.filter(grant__request__protocol=typed).values_list("pk", flat=True)
    return about([*events], [*grant_events])


def steps_of(request: AccessRequest) -> list[Step]:
    """The history of a request; the mails about its access stand where it was completed. Three queries."""
    events = list(request.events.select_related("actor"))
    grant_events = GrantEvent.objects.filter(grant__request=request).values_list("pk", flat=True)
    keys = [event.pk for event in events]
    completed = next((event.pk for event in events if event.to_status == Status.COMPLETED), None)
    # What went out before a correction went to the address of that time.
    corrections = [event.at for event in events if event.from_status and event.to_status == Status.PENDING]

    notices: dict[int | None, list[Notice]] = defaultdict(list)
    for mail in _told(about(keys, [*grant_events])):
        if mail.kind in LABELS:
            since = mail.sent_at is not None and all(mail.sent_at >= at for at in corrections)
            address = masked(request.requester_email) if since else ""
            notices[mail.object_id].append(Notice(mail, "", address))
        else:
            notices[completed].append(Notice(mail, mail.recipient.display_name, ""))
    return [Step(event, notices[event.pk]) for event in events]


def grant_steps_of(grant: AccessGrant) -> list[Step]:
    """The history of an access, with its mails. Two queries."""
    events = list(grant.events.select_related("actor"))
    notices = defaultdict(list)
    for mail in _told(about([], [event.pk for event in events])):
        notices[mail.object_id].append(Notice(mail, mail.recipient.display_name, ""))
    return [Step(event, notices[event.pk]) for event in events]


def _told(wanted: Q) -> list[OutgoingMail]:
    """Of a mail that was replaced, the one in its place tells."""
    mails = OutgoingMail.objects.filter(wanted).exclude(status=MailStatus.SUPERSEDED)
    return list(mails.select_related("recipient").order_by("pk"))


def request_subjects(event_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What status mails are about."""
    found = RequestEvent.objects.filter(pk__in=event_ids).values_list(
        "pk", "request__protocol", "request_id", "request__requester_email"
    )
    return {pk: outbox.Subject(protocol, _desk(request), address) for pk, protocol, request, address in found}


def grant_subjects(event_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What mails about an access are about."""
    found = GrantEvent.objects.filter(pk__in=event_ids).values_list(
        "pk", "grant__request__protocol", "grant__request_id"
    )
    return {pk: outbox.Subject(protocol, _desk(request)) for pk, protocol, request in found}


def _desk(request_pk: int) -> str:
    return reverse("admin:requests_app_accessrequest_change", args=[request_pk])


def register(*, credential_again: Callable[[OutgoingMail, User], None]) -> None:
    """Called once, by ``RequestsConfig.ready``. To make a credential anew is the workflow's."""
    for name, label in LABELS.items():
        outbox.register(name, outbox.Kind(label, build=about_request, subjects=request_subjects))
    outbox.register(
        CREDENTIAL,
        outbox.Kind(
            "Login e senha provisória",
            build=credential,
            sent=credential_sent,
            dropped=credential_dropped,
            again=credential_again,
            subjects=grant_subjects,
        ),
    )
    outbox.register(
        TYPED,
        outbox.Kind(
            "Login e senha de outro sistema",
            build=operator_credential,
            sent=erase_typed,
            dropped=erase_typed,
            final="O portal já apagou a senha que esta mensagem levava. Digite-a de novo em “Reemitir credencial”, na "
            "página do acesso.",
            subjects=grant_subjects,
        ),
    )
    outbox.register(
        GRANTED, outbox.Kind("Acesso liberado (a quem vai usar)", build=access_granted, subjects=grant_subjects)
    )
