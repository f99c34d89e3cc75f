"""What the staff decide about many requests at once."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import User

from . import workflow
from .decision_forms import ReasonField, reasons_for
from .form_fields import TextField
from .forms import new_nonce, read_nonce
from .models import MOST_AT_ONCE, AccessRequest, ReasonTemplate, Status

MOST = f"{MOST_AT_ONCE:,}".replace(",", ".")
TOO_MANY = (
    f"Escolha até {MOST} solicitações de cada vez. Nada foi decidido: use os filtros ou a busca para escolher menos."
)
NOTHING_CHOSEN = "Nenhuma solicitação foi escolhida. Marque as que quer decidir."
ALTERED = "Esta página veio alterada ou é de outra pessoa. Nada foi decidido: escolha de novo na lista."
DECISIONS = {Status.APPROVED: "Aprovar", Status.RETURNED: "Devolver", Status.REJECTED: "Indeferir"}
#: A request and the last step of its history that stood on the page, by their keys; no more digits than a bigint holds.
PAIRS = re.compile(r"[0-9]{1,18}:[0-9]{1,18}(,[0-9]{1,18}:[0-9]{1,18})*", re.ASCII)


def written(seen: Mapping[int, int]) -> str:
    """``12:345,13:0``: one field, however many requests."""
    return ",".join(f"{request}:{step}" for request, step in seen.items())


class ChosenField(forms.CharField):
    """What ``written`` wrote; ``clean`` gives the same as numbers. Refuses more than ``MOST_AT_ONCE``."""

    widget = forms.HiddenInput

    def clean(self, value: Any) -> dict[int, int]:
        text = str(value or "")
        if not text:
            raise ValidationError(NOTHING_CHOSEN)
        if text.count(",") >= MOST_AT_ONCE:
            raise ValidationError(TOO_MANY)
        if not PAIRS.fullmatch(text):
            raise ValidationError(ALTERED)
        pairs = (pair.split(":") for pair in text.split(","))
        return {int(request): int(step) for request, step in pairs}


class BatchForm(forms.Form):
    """One decision, with one reason, about the requests that stood on the page. Who and when is not posted."""

    to = forms.ChoiceField(
        choices=[(to.value, label) for to, label in DECISIONS.items()],
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(("required", "invalid_choice"), ALTERED),
    )
    chosen = ChosenField()
    nonce = forms.CharField(
        widget=forms.HiddenInput,
        required=False,
        max_length=200,
        error_messages=dict.fromkeys(("max_length", "null_characters_not_allowed"), ALTERED),
    )
    reason = ReasonField(help_text="Texto pronto, que serve para todas as escolhidas. Você pode completar abaixo.")
    note = TextField(
        label="Motivo",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Obrigatório sem modelo. O mesmo texto vai para quem fez cada pedido.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.initial.setdefault("nonce", new_nonce(user))
        #: The requests that stand on the page, the oldest first; none where the page was altered.
        self.requests: list[AccessRequest] = []
        self._look_up()

    def _look_up(self) -> None:
        """Find the requests, and the reasons that fit all of them."""
        try:
            chosen = ChosenField().clean(self["chosen"].value())
            to = forms.ChoiceField(choices=DECISIONS.items()).clean(self["to"].value())
        except ValidationError:  # said when the form is checked
            return
        related = AccessRequest.objects.select_related("user_type__system", "requester", "beneficiary", "holder")
        self.requests = list(related.filter(pk__in=chosen).order_by("pk"))
        systems = {request.system for request in self.requests}
        reason = self.fields["reason"]
        assert isinstance(reason, ReasonField)  # noqa: S101 - for the type checker
        reason.offer(reasons_for(systems.pop() if len(systems) == 1 else None, [to]))

    @property
    def templates(self) -> list[ReasonTemplate]:
        """The reasons that fit all of them."""
        reason = self.fields["reason"]
        return [*reason.templates.values()] if isinstance(reason, ReasonField) else []

    @property
    def asks_reason(self) -> bool:
        return self["to"].value() in workflow.NEEDS_REASON

    @property
    def hidden_errors(self) -> list[str]:
        """What is wrong with what no person fills in; nothing where the page came back as it was."""
        return [str(sentence) for name in ("to", "chosen", "nonce") for sentence in self.errors.get(name, [])]

    def clean_nonce(self) -> uuid.UUID:
        """The page's mark. A page without any was not made by us, and is one of its own."""
        text = self.cleaned_data["nonce"]
        mark = read_nonce(text, self.user) if text else uuid.uuid4()
        if mark is None:
            raise ValidationError(ALTERED)
        return mark

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not (self.requests or {"to", "chosen"} & self.errors.keys()):
            self.add_error("chosen", NOTHING_CHOSEN)
        if "nonce" in self.errors:  # the page that comes back is another one
            self.data = {**dict(self.data.items()), "nonce": new_nonce(self.user)}
        wrong = {"reason", "note"} & self.errors.keys()
        if not self.asks_reason:  # an approval carries none
            cleaned |= {"reason": None, "note": ""}
            for name in wrong:
                del self.errors[name]
        elif not (wrong or cleaned["reason"] or workflow.can_be_read(cleaned["note"])):
            self.add_error("note", workflow.WRITE_A_REASON)
        return cleaned
