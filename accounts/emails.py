"""The mails of this app, and how every mail is put together."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from . import outbox, resets
from .models import HelpDesk, OutgoingMail, SecurityEvent, User


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
    """The recipient as they are now. Raises SupersededError if nothing may be mailed to them any more."""
    user: User = mail.recipient
    if not user.is_active:
        raise outbox.SupersededError("A pessoa não está mais ativa.")
    if not user.email:
        raise outbox.SupersededError("A pessoa não tem e-mail.")
    return user


def password_reset(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The link, signed now: it never stands in a row."""
    user = reachable(mail)
    context = {
        "person": user,
        "link": resets.link_for(user),
        "first": not user.has_usable_password(),
        "minutes": settings.PASSWORD_RESET_TIMEOUT // 60,
    }
    return compose("password_reset", to=user.email, context=context)


def password_changed(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The notice after a change or a reset (ASVS 5.0 6.3.7)."""
    user = reachable(mail)
    event = SecurityEvent.objects.get(pk=mail.object_id)
    return compose("password_changed", to=user.email, context={"person": user, "event": event})


def register() -> None:
    """Called once, by ``AccountsConfig.ready``."""
    outbox.register("password_reset", outbox.Kind("Redefinição de senha", build=password_reset, lives=resets.LINK_LIFE))
    outbox.register("password_changed", outbox.Kind("Aviso de senha alterada", build=password_changed))
