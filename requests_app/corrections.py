"""What a correction changed in a request: written down with the step by which it comes back, and read again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from accounts import names
from accounts.masking import masked_address
from accounts.models import User

from .models import WAITING, AccessRequest, Attachment, RequestEvent

EMAIL = "Email do solicitante"
NOTHING = "nada"
#: A longer text is folded on screens.
LONG = 200


@dataclass(frozen=True)
class Change:
    """One thing that was changed, in words."""

    label: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.label}: antes “{self.was}”, agora “{self.now}”"

    @property
    def sides(self) -> list[tuple[str, str, bool]]:
        """When, what stood there, and whether it is long."""
        return [(when, text, len(text) > LONG) for when, text in (("Antes", self.was), ("Agora", self.now))]


# --- Writing ---------------------------------------------------------------------------------------------------------
def between(before: AccessRequest, after: AccessRequest, added: Collection[str] = ()) -> list[list[Any]]:
    """For ``RequestEvent.changes``: what differs between a request as it stands and as it will stand.

    ``added``: the names of files that come with the correction.
    """
    was, now = _values_of(before), _values_of(after)
    changes = [[label, was[label], value] for label, value in now.items() if was[label] != value]
    if added:
        kept = before.attachments.filter(kind=Attachment.Kind.REQUEST).values_list("name", flat=True)
        changes.append(["Anexos", "\n".join(kept), "\n".join([*kept, *added])])
    return changes


def _values_of(request: AccessRequest) -> dict[str, Any]:
    """What people read of a request on its page. The person comes first: ``RequestEvent`` looks for them there."""
    bond = f"Matrícula {request.beneficiary_matricula} · {request.beneficiary_cargo}\n{request.beneficiary_lotacao}"
    return {
        "Efetuar cadastro para": {
            "person": request.beneficiary_id,
            "called": request.beneficiary_called,
            "bond": bond,
        },
        EMAIL: request.requester_email,
        "Telefone do solicitante": request.requester_phone,
        "Sistema solicitado": request.system.name,
        "Tipo Usuário": request.user_type.name,
        "Unidade": str(request.unit or ""),
        "Descrição solicitação": request.description,
    }


# --- Reading ---------------------------------------------------------------------------------------------------------
def on_the_desk(event: RequestEvent) -> list[Change]:
    """What a step changed, as the staff reads it. ``event``: from ``objects.with_people()``, as for all that read."""
    return [
        replace(one, was=masked_address(one.was), now=masked_address(one.now)) if one.label == EMAIL else one
        for one in in_full(event)
    ]


def told_to(reader: User, event: RequestEvent) -> list[Change]:
    """The same for who asked, and for who made the correction.

    Not for who has the access by it: what stood there before may be about somebody else.
    """
    return in_full(event) if reader.pk in {event.request.requester_id, event.actor_id} else []


def in_full(event: RequestEvent) -> list[Change]:
    """What a step changed, for whom nothing of it is a secret."""
    social_names = vars(event)["was_social"], vars(event)["now_social"]
    return [
        Change(label, *(_text(side, name) for side, name in zip(sides, social_names, strict=True)))
        for label, *sides in event.changes
    ]


def _text(value: Any, social_name: str | None) -> str:
    """A person is called as on the request's page: a social name that they have taken since is theirs from then on."""
    if isinstance(value, str):
        return value or NOTHING
    called = names.display(social_name) if social_name else value["called"]
    return f"{called}\n{value['bond']}"


# --- The queue --------------------------------------------------------------------------------------------------------
def marks_of(requests: Iterable[AccessRequest]) -> dict[int, str]:
    """Which of these have come back and wait again, by their keys, and whether they were changed. One query."""
    waiting = [request.pk for request in requests if request.status in WAITING]
    steps = RequestEvent.objects.coming_back().filter(request__in=waiting).order_by("pk")
    first_changed = steps.values_list("request", "changes__0__0")
    return {pk: "corrigida" if label else "reenviada" for pk, label in first_changed}  # the last one tells


def marked(age: str, *marks: str | None) -> str:
    """A request's age, and beside it that it has come back, or that somebody waits for it."""
    return " · ".join([age, *filter(None, marks)])
