"""The mails of this app, and how every mail is put together."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from . import addresses, cpf, devices, factors, outbox, passwords, provisional, removals, resets, roles, suspicion
from .models import (
    AddressChange,
    FactorRemoval,
    HelpDesk,
    OutgoingMail,
    ProvisionalPassword,
    RecoveryCode,
    SecurityEvent,
    User,
)

PROVISIONAL_LAPSING = "provisional_lapsing"
#: A notice that comes later frightens more than it helps; security events are kept much longer than this.
NOTICE_LIFE = timedelta(days=30)


def compose(name: str, *, to: str, context: dict[str, Any]) -> EmailMultiAlternatives:
    """One mail, text and HTML, from ``templates/emails/<name>/``.

    The subject is folded to one line: a name with a line break in it must not write headers.
    """
    help_desk = HelpDesk.current()
    everything = {"portal_url": settings.PORTAL_URL, "help_desk": help_desk, **context}
    subject = " ".join(render_to_string(f"emails/{name}/subject.txt", everything).split())
    message = EmailMultiAlternatives(
        subject, render_to_string(f"emails/{name}/body.txt", everything), to=[to], reply_to=[help_desk.email]
    )
    message.attach_alternative(
        render_to_string(f"emails/{name}/body.html", everything | {"subject": subject}), "text/html"
    )
    return message


def reachable(mail: OutgoingMail) -> User:
    """The recipient as they are now. Raises SupersededError if nothing may be mailed to them any more.

    Raises UndeliverableError if they have no address: somebody must see to it.
    """
    user: User = mail.recipient
    if not user.is_active:
        raise outbox.SupersededError("A pessoa não está mais ativa.")
    if not user.email:
        raise outbox.UndeliverableError("A pessoa não tem e-mail no cadastro.")
    return user


def password_reset(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The link, signed now: it never stands in a row."""
    user = reachable(mail)
    if resets.closings(user).filter(pk__gt=mail.object_id).exists():
        raise outbox.SupersededError("A entrada da pessoa foi fechada depois do pedido.")
    context = {
        "person": user,
        "link": resets.link_for(user),
        "first": not user.has_usable_password(),
        "minutes": settings.PASSWORD_RESET_TIMEOUT // 60,
    }
    return compose(resets.MAIL, to=user.email, context=context)


def password_changed(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The notice after a change or a reset (ASVS 5.0 6.3.7)."""
    user = reachable(mail)
    event = SecurityEvent.objects.get(pk=mail.object_id)
    context = {"person": user, "event": event, "device": devices.kind(event.device)}
    return compose(passwords.MAIL, to=user.email, context=context)


def suspicious_sign_in(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The notice of a sign-in unlike the earlier ones (ASVS 5.0 6.3.5)."""
    user = reachable(mail)
    event = SecurityEvent.objects.get(pk=mail.object_id)
    context = {"person": user, "event": event, "device": devices.kind(event.device)}
    return compose(suspicion.SUSPICIOUS_SIGN_IN, to=user.email, context=context)


def provisional_lapsing(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The warning to who has not chosen a password yet. The provisional one stands in an earlier mail, not here."""
    user = reachable(mail)
    live = ProvisionalPassword.objects.get(pk=mail.object_id)
    if live.ended_at is not None:
        raise outbox.SupersededError("A pessoa já tem outra senha.")
    if live.has_lapsed:
        raise outbox.SupersededError("Venceu antes de sair.")
    context = {"person": user, "login": cpf.formatted(user.cpf), "provisional": live}
    return compose(PROVISIONAL_LAPSING, to=user.email, context=context)


def address_changed(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The notice to the address that was, in case somebody else had it changed; to who may not sign in, too."""
    change = AddressChange.objects.select_related("user").get(pk=mail.object_id)
    if change.user.email == change.old:
        raise outbox.SupersededError("O endereço voltou a ser este.")
    return compose(addresses.ADDRESS_CHANGED, to=change.old, context={"person": change.user, "change": change})


def second_factor_changed(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The notice after each change of the second factor (ASVS 5.0 6.3.7)."""
    user = reachable(mail)
    event = SecurityEvent.objects.get(pk=mail.object_id)
    context = {
        "person": user,
        "event": event,
        "device": devices.kind(event.device),
        "codes_left": RecoveryCode.objects.filter(user=user, used_at=None).count(),
    }
    return compose(factors.SECOND_FACTOR_CHANGED, to=user.email, context=context)


def second_factor_removal_asked(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The notice at the asking, so that who did not ask can call."""
    user = reachable(mail)
    removal = FactorRemoval.objects.get(pk=mail.object_id)
    return compose(removals.REMOVAL_ASKED, to=user.email, context={"person": user, "removal": removal})


def roles_changed(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The notice to who joins the staff, leaves it or gets other groups: what they were and what they are."""
    user = reachable(mail)
    event = SecurityEvent.objects.select_related("actor").get(pk=mail.object_id)
    before, _arrow, after = event.detail.partition(" → ")
    context = {"person": user, "event": event, "before": before, "after": after, "is_staff": user.is_staff}
    return compose(roles.ROLES_CHANGED, to=user.email, context=context)


def changed_addresses(object_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What the staff see: whose address it was, and which."""
    return {
        change.pk: outbox.Subject(
            str(change.user), reverse("admin:accounts_user_change", args=[change.user_id]), change.old
        )
        for change in AddressChange.objects.filter(pk__in=object_ids).select_related("user")
    }


def register() -> None:
    """Called once, by ``AccountsConfig.ready``."""
    outbox.register(
        addresses.ADDRESS_CHANGED,
        outbox.Kind(
            "Aviso de e-mail alterado",
            build=address_changed,
            lives=NOTICE_LIFE,
            subjects=changed_addresses,
        ),
    )
    outbox.register(
        factors.SECOND_FACTOR_CHANGED,
        outbox.Kind("Aviso da verificação em duas etapas", build=second_factor_changed, lives=NOTICE_LIFE),
    )
    outbox.register(
        removals.REMOVAL_ASKED,
        outbox.Kind("Aviso de retirada pedida", build=second_factor_removal_asked, lives=removals.LIFE),
    )
    outbox.register(roles.ROLES_CHANGED, outbox.Kind("Aviso de perfil mudado", build=roles_changed, lives=NOTICE_LIFE))
    outbox.register(resets.MAIL, outbox.Kind("Redefinição de senha", build=password_reset, lives=resets.LINK_LIFE))
    outbox.register(passwords.MAIL, outbox.Kind("Aviso de senha alterada", build=password_changed, lives=NOTICE_LIFE))
    outbox.register(
        suspicion.SUSPICIOUS_SIGN_IN,
        outbox.Kind("Aviso de entrada incomum", build=suspicious_sign_in, lives=NOTICE_LIFE),
    )
    outbox.register(
        PROVISIONAL_LAPSING,
        outbox.Kind("Senha provisória perto de vencer", build=provisional_lapsing, lives=provisional.WARNING),
    )
