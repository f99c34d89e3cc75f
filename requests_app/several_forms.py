"""Pedir para várias pessoas: the form of one request, with a list in the place of the person."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.desk import is_key
from accounts.models import Employment, Unit

from . import several
from .form_fields import Choices, TextField, unit_choices
from .forms import AccessRequestForm
from .several import MOST_PEOPLE

#: Characters of a list that the page gives back. Longer, it is no list of people any more.
LONGEST_LIST = 300_000
CHOICE = re.compile(r"linha-([0-9]{1,6})")
#: In the place of a unit: where each person works.
EACH = "cada"
EACH_LABEL = "A lotação de cada pessoa"
EMPTY = "Escreva uma matrícula ou um nome em cada linha."
TOO_MANY = "A lista tem {0} linhas. Envie até {1} pessoas de cada vez."
CUT = "A lista era grande demais. Só o começo dela ficou no formulário, até a linha {0}."


def in_thousands(number: int) -> str:
    return f"{number:,}".replace(",", ".")


class EachUnitField(forms.ModelChoiceField):  # type: ignore[type-arg]  # Django's class takes no parameter at run time
    """One unit for all, or the one of each."""

    def to_python(self, value: Any) -> Unit | str | None:
        return EACH if value == EACH else super().to_python(value)

    def validate(self, value: Any) -> None:
        if value != EACH:
            super().validate(value)


class SeveralForm(AccessRequestForm):
    """What is asked, for whom. Files come with requests for one person."""

    people = TextField(
        label="Pessoas",
        help_text=f"Uma pessoa por linha: matrícula, nome, ou os dois. Até {MOST_PEOPLE} pessoas.",
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false", "autocomplete": "off"}),
        error_messages={"required": EMPTY},
    )
    unit = EachUnitField(
        label="Unidade em que o acesso vale",
        queryset=Unit.objects.none(),
        required=False,
        error_messages={"invalid_choice": "Esta unidade não está na lista. Escolha outra."},
    )
    #: What the page showed that the person sends (``several.digest``).
    seen = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    # A list takes the place of the first two, and files are of one request.
    beneficiary = None  # type: ignore[assignment]
    beneficiary_search = None  # type: ignore[assignment]
    attachments = None  # type: ignore[assignment]
    uploaded = None  # type: ignore[assignment]

    field_order = ("requester_email", "requester_phone", "people")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cut_after = 0
        typed = self.data.get("people", "") if self.is_bound else ""
        if len(typed) > LONGEST_LIST:
            kept = typed[:LONGEST_LIST].rpartition("\n")[0] or typed[:LONGEST_LIST]
            self.cut_after = kept.count("\n") + 1
            self.data = {**dict(self.data.items()), "people": kept}

    @property
    def chosen(self) -> Employment | None:
        """Nobody alone."""
        return None

    def _unit_choices(self) -> Choices:
        nothing, *groups = unit_choices(())
        return [nothing, (EACH, EACH_LABEL), *groups]

    def _clean_beneficiary(self, cleaned: dict[str, Any]) -> None:
        """There is none: the lines are looked up when all else is in order."""

    def clean_people(self) -> str:
        text: str = self.cleaned_data["people"]
        if self.cut_after:
            raise ValidationError(CUT.format(in_thousands(self.cut_after)))
        lines = len(several.rows_of(text))
        if not lines:
            raise ValidationError(EMPTY)
        if lines > MOST_PEOPLE:
            raise ValidationError(TOO_MANY.format(in_thousands(lines), MOST_PEOPLE))
        return text

    @property
    def picked(self) -> dict[int, int]:
        """The number of a line -> the key of the bond that was chosen for it."""
        picked = {}
        for name, value in self.data.items():
            if (found := CHOICE.fullmatch(name)) and is_key(str(value)):
                picked[int(found[1])] = int(str(value))
        return picked

    def look_up(self) -> list[several.Line]:
        """The lines of a form that is valid, each with what came of it."""
        lines = several.read(self.cleaned_data["people"])
        several.find(lines, self.picked)
        unit = self.cleaned_data["unit"]
        several.judge(
            lines,
            requester=self.user,
            user_type=self.cleaned_data["user_type"],
            unit=None if unit == EACH else unit,
            each_unit=unit == EACH,
        )
        return lines

    def digest_of(self, lines: list[several.Line]) -> str:
        """What would be sent of these lines, with all that is asked."""
        people = [(line.bond.pk, line.unit.pk if line.unit else None) for line in lines if line.bond and line.is_ready]
        cleaned = self.cleaned_data
        return several.digest(
            people,
            cleaned["user_type"].pk,
            cleaned["description"],
            cleaned["requester_email"],
            cleaned["requester_phone"],
        )

    @property
    def carried(self) -> list[forms.BoundField]:
        """What the table takes on to the sending."""
        return [self[name] for name in self.fields if name not in {"nonce", "seen"}]

    @property
    def unit_in_words(self) -> str:
        unit = self.cleaned_data["unit"]
        return EACH_LABEL if unit == EACH else str(unit or "")
