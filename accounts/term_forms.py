"""The forms of the term of responsibility: to accept a version, and to write the next one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from .forms import OneTextInput, OneValueField, OneValueInput
from .models import Term

#: Some ten pages: more nobody reads.
LONGEST = 30_000
#: What browsers post for a box that is ticked.
TICKED = "on"
UNTICKED = "Para continuar, marque a caixa “Li o termo e aceito”."


class OneHiddenInput(OneTextInput):
    input_type = "hidden"


class OneTextarea(OneValueInput, forms.Textarea):
    pass


class TermForm(forms.Form):
    """A tick, and the version that stood above it."""

    version = OneValueField(required=False, widget=OneHiddenInput)
    accept = OneValueField(label="Li o termo e aceito", widget=OneTextInput, error_messages={"required": UNTICKED})

    def __init__(self, term: Term, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.term = term

    def clean_accept(self) -> str:
        """What the box posts, and nothing that may mean no."""
        accepted: str = self.cleaned_data["accept"]
        if accepted != TICKED:
            raise ValidationError(UNTICKED, code="required")
        return accepted

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("version") != str(self.term.version):
            raise ValidationError("O termo mudou enquanto a página estava aberta. Leia a nova versão e aceite.")
        return cleaned


class TermTextForm(forms.Form):
    """The next version's text, and the version that it was written after."""

    after = OneValueField(required=False, widget=OneHiddenInput)
    text = OneValueField(
        label="Texto do termo",
        max_length=LONGEST,
        widget=OneTextarea(attrs={"rows": 30, "class": "vLargeTextField"}),
        help_text="Separe os parágrafos com uma linha em branco.",
        error_messages={"required": "Escreva o texto do termo."},
    )

    def clean_after(self) -> int:
        """What is no version comes after none that there is: publishing is refused then."""
        after: str = self.cleaned_data["after"]
        return int(after) if after.isascii() and after.isdigit() and len(after) <= 9 else -1  # noqa: PLR2004 - an int32

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        return "\n".join(text.splitlines())
