"""What is typed about an access: why it moves, until when it holds, why it should end."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

from . import workflow
from .form_fields import TextField
from .models import AccessGrant, GrantStatus

ALTERED = "A página foi alterada. Abra-a de novo e repita."
NO_SUCH_DAY = "Data inválida. Escolha no calendário ou digite dia, mês e ano. Exemplo: 31/12/2026."


def reason_field(label: str, help_text: str, *, required: bool = True) -> TextField:
    return TextField(
        label=label,
        required=required,
        max_length=2000,
        help_text=help_text,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": workflow.WRITE_WHY},
    )


class SeenForm(forms.Form):
    """Knows what stood on the page that it comes from."""

    #: The last step of the history that stood there (its key).
    seen = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=models.BigIntegerField.MAX_BIGINT,
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), ALTERED),
    )

    def clean(self) -> dict[str, Any]:
        """A hidden field has no place of its own for its sentence."""
        cleaned = super().clean() or {}
        if self.errors.pop("seen", None):
            self.add_error(None, ALTERED)
        return cleaned

    def missed(self, last_step: int) -> bool:
        """Whether the history has gone on since the page was opened that this was sent from."""
        seen = self.cleaned_data.get("seen") if self.is_bound else None
        return seen is not None and seen < last_step


class GrantMoveForm(SeenForm):
    """What an analyst may do with one access."""

    MOVES = (GrantStatus.SUSPENDED, GrantStatus.ACTIVE, GrantStatus.REVOKED)

    to = forms.ChoiceField(choices=[(to.value, to.label) for to in MOVES], error_messages={"required": ALTERED})
    note = reason_field(
        "Motivo",
        "Obrigatório para suspender, revogar ou manter. Este texto segue no e-mail que avisa da decisão.",
        required=False,
    )

    def __init__(self, *args: Any, grant: AccessGrant, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "id_move_%s", **kwargs})  # three forms stand on one page
        self.grant = grant

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        to = cleaned.get("to")
        needs = to in workflow.GRANT_NEEDS_REASON or self.grant.status == GrantStatus.TO_REVOKE
        if to and needs and "note" in cleaned and not workflow.can_be_read(cleaned["note"]):
            self.add_error("note", workflow.WRITE_WHY)
        return cleaned


class DayInput(forms.DateInput):
    """The browser's calendar, which shows a day as people here write it and posts it as ISO 8601."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class GrantEndForm(SeenForm):
    """Until which day an access holds."""

    until = forms.DateField(
        label="Vale até",
        required=False,
        help_text="O último dia em que o acesso vale. Deixe vazio para um acesso sem data de fim.",
        widget=DayInput(),
        input_formats=["%Y-%m-%d", "%d/%m/%Y"],
        error_messages={"invalid": NO_SUCH_DAY},
    )
    why = reason_field("Motivo da mudança", "Este texto segue no e-mail que avisa a pessoa e fica no histórico.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "id_end_%s", **kwargs})

    def clean_until(self) -> date | None:
        until: date | None = self.cleaned_data["until"]
        if until is not None and not 1900 <= until.year <= 2200:  # noqa: PLR2004 - as the personnel file's days
            raise ValidationError(NO_SUCH_DAY)
        return until

    def clean_why(self) -> str:
        why: str = self.cleaned_data["why"]
        if not workflow.can_be_read(why):
            raise ValidationError(workflow.WRITE_WHY)
        return why


class EndAccessForm(forms.Form):
    """Why the head of a unit asks for the end of a colleague's access."""

    note = TextField(
        label="Motivo",
        max_length=2000,
        help_text="Quem decide é a Coordenadoria. A pessoa também pode ler este texto, na cópia dos dados dela.",
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages={"required": "Escreva por que o acesso deve terminar."},
    )

    def clean_note(self) -> str:
        note: str = self.cleaned_data["note"]
        if not workflow.can_be_read(note):
            raise ValidationError("Escreva por que o acesso deve terminar.")
        return note


class GiveUpForm(forms.Form):
    """What somebody may say who needs an access of their own no longer."""

    note = TextField(
        label="Motivo (opcional)",
        required=False,
        max_length=500,
        help_text="Exemplo: mudei de setor. A Coordenadoria lê este texto.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
