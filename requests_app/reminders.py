"""Lembrar a Coordenadoria: who waits for a decision may say so, once in some business days."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts import outbox
from accounts.emails import compose, reachable
from accounts.models import OutgoingMail, User

from . import calendar
from .models import WAITING, AccessRequest, Reminder
from .workflow import MoveRefusedError

#: Business days between the filing (or the sending after a return) and a reminder, and between two of them.
EVERY = 3
#: The mail to whoever holds the request.
KIND = "request_reminder"
NOTHING_TO_REMIND = "Esta solicitação não aguarda mais a Coordenadoria. Nada foi enviado."
NOT_YOURS = "Só quem pediu ou quem terá o acesso pode lembrar a Coordenadoria."


def first_day(request: AccessRequest) -> date | None:
    """From which day on the Coordenadoria may be reminded; None where nothing waits for it. Three queries."""
    if request.status not in WAITING:
        return None
    # What an analyst does, such as letting a request go, puts nothing off.
    waits_again, reminded = request.events.coming_back().order_by("pk").last(), request.reminders.last()
    since = timezone.localdate(max([request.created_at, *(step.at for step in (waits_again, reminded) if step)]))
    return calendar.add_business_days(since, EVERY)


@dataclass(frozen=True)
class State:
    """What the page says about reminding: now, or from which day on."""

    first_day: date

    @property
    def is_open(self) -> bool:
        return timezone.localdate() >= self.first_day


def state_of(request: AccessRequest) -> State | None:
    """None where nothing waits for the Coordenadoria."""
    day = first_day(request)
    return State(day) if day else None


@transaction.atomic
def remind(pk: int, *, by: User) -> Reminder:
    """Keep one reminder in the history of a request, and owe the mail to who holds it.

    Of two at once the second is too early. Raises MoveRefusedError, with a sentence for the person.
    """
    request = AccessRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
    if not request.is_of(by):
        raise MoveRefusedError(NOT_YOURS)
    day = first_day(request)
    if day is None:
        raise MoveRefusedError(NOTHING_TO_REMIND)
    if timezone.localdate() < day:
        raise MoveRefusedError(f"Você pode lembrar a Coordenadoria a partir de {day:%d/%m/%Y}.")
    reminder = Reminder.objects.create(request=request, by=by)
    if request.holder_id is not None:
        outbox.owe(KIND, recipient=request.holder_id, about=reminder.pk)
    return reminder


# --- On the desk ------------------------------------------------------------------------------------------------------
def marks_of(requests: Iterable[AccessRequest]) -> dict[int, str]:
    """Of which of these the Coordenadoria was reminded while they wait, by their keys, and when last. One query."""
    waiting = [request.pk for request in requests if request.status in WAITING]
    rows = Reminder.objects.filter(request__in=waiting).order_by("pk").values_list("request", "at")
    return {pk: f"lembrada em {timezone.localdate(at):%d/%m/%Y}" for pk, at in rows}  # the last one tells


# --- The mail ---------------------------------------------------------------------------------------------------------
def to_holder(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Tell who holds the request that somebody waits for it. Raises SupersededError if they hold it no longer."""
    related = ("request__requester", "request__beneficiary", "request__user_type__system", "request__unit", "by")
    reminder = Reminder.objects.select_related(*related).get(pk=mail.object_id)
    request, person = reminder.request, reachable(mail)
    if request.holder_id != person.pk:
        raise outbox.SupersededError("A solicitação não está mais com esta pessoa.")
    context = {
        "person": person,
        "reminder": reminder,
        "request": request,
        "system": request.system,
        "link": settings.PORTAL_URL + reverse("admin:requests_app_accessrequest_change", args=[request.pk]),
    }
    return compose(KIND, to=person.email, context=context)


def subjects(keys: Collection[int]) -> dict[int, outbox.Subject]:
    """What these mails are about, for the staff."""
    found = Reminder.objects.filter(pk__in=keys).values_list("pk", "request__protocol", "request_id")
    return {
        pk: outbox.Subject(protocol, reverse("admin:requests_app_accessrequest_change", args=[request]))
        for pk, protocol, request in found
    }


def register() -> None:
    """Called once, by ``RequestsConfig.ready``."""
    outbox.register(KIND, outbox.Kind("Lembrete de quem espera (a quem analisa)", build=to_holder, subjects=subjects))
