"""What became of the mails about a request, for its pages and for the staff's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from accounts import outbox
from accounts.desk import moment
from accounts.masking import masked_address
from accounts.models import MailStatus, OutgoingMail, User

from .corrections import Change, on_the_desk, told_to
from .emails import ABOUT_ACCESS, CREDENTIAL, GRANT_LABELS, GRANTED, LABELS, TYPED
from .holders import who_did
from .joint_mails import JOINT_RECEIVED
from .models import AccessGrant, AccessRequest, GrantEvent, Reminder, RequestEvent, Status
from .reminders import KIND as REMINDED

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
    def outcome(self) -> str:
        """For the staff, in a few words."""
        if self.mail.status == MailStatus.SUPERSEDED:
            return f"não enviado: {self.mail.error}"
        when = f" em {moment(self.mail.sent_at)}" if self.mail.status == MailStatus.SENT and self.mail.sent_at else ""
        return f"{self.mail.get_status_display().lower()}{when}"

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
        assert self.mail.sent_at is not None  # noqa: S101 - outgoing_mail_sent_has_a_time
        whose = f" a {self.name}" if self.name else ""
        where = f" para {self.address}" if self.address else ""
        return f"{called} enviado{whose} em {moment(self.mail.sent_at)}{where}."


@dataclass(frozen=True)
class Step:
    """One line of a history, with the mails that told of it."""

    event: RequestEvent | GrantEvent | Reminder
    notices: list[Notice]
    #: What a correction changed, as far as the reader may know it.
    changes: list[Change] = field(default_factory=list)
    #: Who did it, as the request's people read it.
    who: str = ""

    @property
    def what(self) -> str:
        return self.event.what


#: All mails about steps of an access. The pages of requests have those that say how to get in, and no others.
ALL_ABOUT_ACCESS = (*ABOUT_ACCESS, *GRANT_LABELS)


def about(events: Collection[int], grant_events: Collection[int], kinds: tuple[str, ...] = ALL_ABOUT_ACCESS) -> Q:
    """The mails about these steps: by their keys, for which the table has its index."""
    return Q(kind__in=[*LABELS], object_id__in=events) | Q(kind__in=kinds, object_id__in=grant_events)


def by_protocol(typed: str) -> Q | None:
    """The mails about one request, for the staff's search; None if this is no protocol."""
    if not PROTOCOL.fullmatch(typed):
        return None
    events = RequestEvent.objects.filter(request__protocol=typed).values_list("pk", flat=True)
    grant_events = GrantEvent.objects.filter(grant__request__protocol=typed).values_list("pk", flat=True)
    filings = AccessRequest.objects.filter(protocol=typed, joint__isnull=False).values_list("joint", flat=True)
    reminded = Reminder.objects.filter(request__protocol=typed).values_list("pk", flat=True)
    others = Q(kind=JOINT_RECEIVED, object_id__in=[*filings]) | Q(kind=REMINDED, object_id__in=[*reminded])
    return about([*events], [*grant_events]) | others


def steps_of(request: AccessRequest, *, reader: User | None = None) -> list[Step]:
    """The history of a request, reminders included; the mails about its access stand where it was completed.

    Four queries.

    ``reader``: who asked, or has the access by it; None for the staff.
    """
    events = list(request.events.with_people().select_related("actor"))
    grant_events = GrantEvent.objects.filter(grant__request=request).values_list("pk", flat=True)
    keys = [event.pk for event in events]
    completed = next((event.pk for event in events if event.to_status == Status.COMPLETED), None)
    # What went out before a correction went to the address of that time.
    corrections = [event.at for event in events if event.from_status and event.to_status == Status.PENDING]

    notices: dict[int | None, list[Notice]] = defaultdict(list)
    wanted = about(keys, [*grant_events], ABOUT_ACCESS)
    if request.joint_id:  # one mail told of the beginning of them all
        wanted |= Q(kind=JOINT_RECEIVED, object_id=request.joint_id)
    for mail in _told(wanted):
        if mail.kind in {*LABELS, JOINT_RECEIVED}:
            since = mail.sent_at is not None and all(mail.sent_at >= at for at in corrections)
            address = masked_address(request.requester_email) if since else ""
            step = min(keys, default=None) if mail.kind == JOINT_RECEIVED else mail.object_id
            notices[step].append(Notice(mail, "", address))
        else:
            notices[completed].append(Notice(mail, mail.recipient.display_name, ""))
    steps = [
        Step(
            event,
            notices[event.pk],
            on_the_desk(event) if reader is None else told_to(reader, event),
            who_did(event, request),
        )
        for event in events
    ]
    reminders = request.reminders.select_related("by")
    steps += [Step(reminder, [], who=who_did(reminder, request)) for reminder in reminders]
    return sorted(steps, key=lambda step: step.event.at)


def last_move(steps: list[Step]) -> RequestEvent | None:
    """The last step by which the request moved."""
    return next((step.event for step in reversed(steps) if isinstance(step.event, RequestEvent)), None)


def grant_steps_of(grant: AccessGrant) -> list[Step]:
    """The history of an access, with its mails and those that were withdrawn before they went out. Two queries."""
    events = list(grant.events.select_related("actor", "typed_credential"))
    notices = defaultdict(list)
    for mail in _told(about([], [event.pk for event in events]), with_unsent=True):
        notices[mail.object_id].append(Notice(mail, mail.recipient.display_name, ""))
    return [Step(event, notices[event.pk]) for event in events]


def _told(wanted: Q, *, with_unsent: bool = False) -> list[OutgoingMail]:
    """Of a mail that was replaced, the one in its place tells; ``with_unsent``, also that it never went out."""
    replaced = (
        Q(status=MailStatus.SUPERSEDED, sent_at__isnull=False) if with_unsent else Q(status=MailStatus.SUPERSEDED)
    )
    mails = OutgoingMail.objects.filter(wanted).exclude(replaced)
    return list(mails.select_related("recipient").order_by("pk"))
