"""The mails that tell of a request, the ones that carry a credential, and those that tell what becomes of an access."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import OuterRef, Subquery
from django.urls import reverse

from accounts import cpf, outbox, provisional, secret_keys
from accounts.emails import compose, reachable
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword, User

from .models import (
    LIVE_GRANT,
    OPEN,
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
#: What the beneficiary hears when whoever asked for them has left the court.
REQUESTER_LEFT = "request_requester_left"
#: Mail about an access that carries a provisional password, and mail that carries none.
CREDENTIAL = "credential"
GRANTED = "access_granted"
#: Mail with the login and first password that an analyst typed.
TYPED = "operator_credential"
ABOUT_ACCESS = (CREDENTIAL, TYPED, GRANTED)
#: What the head of a unit hears who asked for the end of a colleague's access.
ANSWERED = "access_end_answered"
#: What the person hears when an access gets another last day, or none.
END_SET = "access_end_set"
#: What the person hears when an access comes into a status.
GRANT_KIND_FOR = {
    GrantStatus.SUSPENDED: "access_suspended",
    GrantStatus.ACTIVE: "access_resumed",
    GrantStatus.REVOKED: "access_revoked",
    GrantStatus.EXPIRED: "access_expired",
}
GRANT_LABELS = {
    "access_suspended": "Acesso suspenso",
    "access_resumed": "Acesso retomado",
    "access_revoked": "Acesso revogado",
    "access_expired": "Acesso vencido",
    END_SET: "Novo prazo de um acesso",
    ANSWERED: "Resposta ao pedido de encerrar um acesso (à chefia)",
}

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
    """Tell the requester of one move, at the address they gave for it; who has left, the beneficiary at their own."""
    event = RequestEvent.objects.select_related(
        "request__requester", "request__beneficiary", "request__user_type__system", "request__unit", "actor"
    ).get(pk=mail.object_id)
    request = event.request
    asked = mail.recipient_id == request.requester_id
    person = request.requester if asked else reachable(mail)
    address = request.requester_email if asked else person.email
    return compose(mail.kind, to=address, context=_request_context(request, person) | {"event": event})


def _request_context(request: AccessRequest, person: User) -> dict[str, Any]:
    return {
        "request": request,
        "person": person,
        "system": request.system,
        "link": settings.PORTAL_URL + request.get_absolute_url(),
    }


def requester_left(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Tell who would have the access that they go on with the request. Raises SupersededError if it is settled."""
    related = ("requester", "beneficiary", "user_type__system", "unit")
    request = AccessRequest.objects.select_related(*related).get(pk=mail.object_id)
    person = reachable(mail)
    if request.status not in OPEN or request.beneficiary_id != person.pk:
        raise outbox.SupersededError("O pedido já terminou ou é para outra pessoa.")
    return compose(REQUESTER_LEFT, to=person.email, context=_request_context(request, person))


def _any_grant_event(mail: OutgoingMail) -> GrantEvent:
    related = ("grant__user", "grant__request__requester", "grant__user_type__system", "grant__unit")
    event: GrantEvent = GrantEvent.objects.select_related(*related).get(pk=mail.object_id)
    return event


def _grant_event(mail: OutgoingMail) -> GrantEvent:
    """The step that a credential belongs to. Raises SupersededError if the access opens nothing any more."""
    event = _any_grant_event(mail)
    if not _still_opens(event):
        raise outbox.SupersededError("O acesso não está mais ativo.")
    return event


def _still_opens(event: GrantEvent) -> bool:
    return AccessGrant.objects.opening().filter(pk=event.grant_id).exists()


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
        holding = AccessGrant.objects.opening().filter(user=person)
        portal = portal.filter(user_types__in=holding.values("user_type")).distinct()
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
    if mail.status == MailStatus.SUPERSEDED and is_new_access and _still_opens(event):
        outbox.owe(GRANTED, recipient=event.grant.user_id, about=event.pk)


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


def credential_is_lost(grant: AccessGrant, *, before: int | None = None) -> bool:
    """Whether the last login and password of an access reached nobody: withdrawn before they went out, or refused.

    ``before`` (a step of its history): as of that step, whatever credential followed it.
    """
    steps = [*GrantEvent.objects.filter(grant=grant).values_list("pk", flat=True)]  # by keys, as the index has them
    carrying = OutgoingMail.objects.filter(kind__in=(CREDENTIAL, TYPED), object_id__in=steps).order_by("object_id")
    carried = [*carrying]
    earlier = [mail for mail in carried if before is None or mail.object_id < before]
    last = earlier[-1] if earlier else None
    if last is None or last.status not in {MailStatus.SUPERSEDED, MailStatus.FAILED} or outbox.is_dismissed(last):
        return False
    if last.kind == TYPED or len(carried) > len(earlier):
        return True
    live = ProvisionalPassword.objects.filter(user=grant.user_id, ended_at=None).first()
    return not grant.user.has_chosen_password and reaches_nobody(live)


def access_moved(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Tell the person, or who asked for it (``ANSWERED``), what became of an access, why, and what to do now."""
    event, person = _any_grant_event(mail), reachable(mail)
    grant = event.grant
    context = {
        "person": person,
        "event": event,
        "grant": grant,
        "holder": grant.user,
        "system": grant.user_type.system,
        "still_opens": opened_by_portal_password(grant.user),
        "credential_is_lost": credential_is_lost(grant, before=event.pk),
    }
    return compose(mail.kind, to=person.email, context=context)


def end_set(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Tell the person until when an access holds now. Of several changes the last is told; of what is over, none."""
    event, person = _any_grant_event(mail), reachable(mail)
    if event.grant.status not in LIVE_GRANT:
        raise outbox.SupersededError("O acesso já terminou.")
    later = GrantEvent.objects.filter(grant=event.grant_id, pk__gt=event.pk)
    if OutgoingMail.objects.filter(kind=END_SET, object_id__in=later.values("pk")).exists():
        raise outbox.SupersededError("O prazo mudou outra vez antes do envio.")
    # The step says the term and then the reason; the mail says the term in its own words.
    because = {"note": event.note.partition(". ")[2]}
    context = {
        "person": person,
        "event": event,
        "because": because,
        "grant": event.grant,
        "system": event.grant.user_type.system,
    }
    return compose(END_SET, to=person.email, context=context)


def was_delivered(password: ProvisionalPassword) -> bool:
    """Whether a mail with this password went out and did not come back."""
    carrying = GrantEvent.objects.filter(provisional_password=password)
    return OutgoingMail.objects.filter(
        kind=CREDENTIAL, status=MailStatus.SENT, object_id__in=carrying.values("pk")
    ).exists()


def reaches_nobody(live: ProvisionalPassword | None) -> bool:
    """Whether this provisional password of somebody was neither delivered nor is about to be."""
    return live is None or not (live.nonce or was_delivered(live))


def request_subjects(event_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What status mails are about."""
    told = OutgoingMail.objects.filter(kind__in=LABELS, object_id=OuterRef("pk")).values("recipient")
    about = ("pk", "request__protocol", "request_id", "request__requester_email", "request__requester")
    found = RequestEvent.objects.filter(pk__in=event_ids).values_list(*about, Subquery(told[:1]))
    return {
        pk: outbox.Subject(protocol, _desk(request), address if recipient == requester else "")
        for pk, protocol, request, address, requester, recipient in found
    }


def left_subjects(request_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What the mails to beneficiaries are about whose requester has left."""
    found = AccessRequest.objects.filter(pk__in=request_ids).values_list("pk", "protocol")
    return {pk: outbox.Subject(protocol, _desk(pk)) for pk, protocol in found}


def grant_subjects(event_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What mails about an access are about: the request that gave it, where there is one."""
    found = GrantEvent.objects.filter(pk__in=event_ids).values_list(
        "pk", "grant__request__protocol", "grant__request_id", "grant_id"
    )
    return {
        pk: outbox.Subject(protocol, _desk(request)) if request else outbox.Subject(f"Acesso {grant}", _access(grant))
        for pk, protocol, request, grant in found
    }


def access_subjects(event_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What mails about a move of an access are about."""
    found = GrantEvent.objects.filter(pk__in=event_ids).values_list("pk", "grant_id")
    return {pk: outbox.Subject(f"Acesso {grant}", _access(grant)) for pk, grant in found}


def _desk(request_pk: int) -> str:
    return reverse("admin:requests_app_accessrequest_change", args=[request_pk])


def _access(grant_pk: int) -> str:
    return reverse("admin:requests_app_accessgrant_change", args=[grant_pk])


def register(*, credential_again: Callable[[OutgoingMail, User], None]) -> None:
    """Called once, by ``RequestsConfig.ready``. To make a credential anew is the workflow's."""
    for name, label in LABELS.items():
        outbox.register(name, outbox.Kind(label, build=about_request, subjects=request_subjects))
    left = outbox.Kind("Quem pediu saiu do Tribunal", build=requester_left, subjects=left_subjects)
    outbox.register(REQUESTER_LEFT, left)
    for name, label in GRANT_LABELS.items():
        build = end_set if name == END_SET else access_moved
        outbox.register(name, outbox.Kind(label, build=build, subjects=access_subjects))
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
