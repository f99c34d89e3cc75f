"""The fields for files: of a request, several; of the staff, one official act."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from . import uploads
from .decision_forms import SCREEN
from .uploads import IncomingFile

#: For the file dialogue only; what a file is, its bytes say.
OFFERED = ".pdf,.jpg,.jpeg,.png,application/pdf,image/jpeg,image/png"
LIMITS = f"PDF, JPEG ou PNG. Cada arquivo pode ter até {uploads.MOST_MEGABYTES} MB."


class FilesInput(forms.FileInput):
    allow_multiple_selected = True

    def __init__(self, **attrs: Any) -> None:
        super().__init__(attrs={"accept": OFFERED, "multiple": True, **attrs})

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[IncomingFile]:
        found: list[IncomingFile] = files.getlist(name)
        return found


class FilesField(forms.FileField):
    """Any number of files; what is wrong with one of them, storing it says (``attachments.FileRefusedError``)."""

    widget = FilesInput

    def clean(self, data: list[IncomingFile], initial: Any = None) -> list[IncomingFile]:
        if self.required and not data:
            raise ValidationError("Escolha um arquivo.")
        return data


class CountField(forms.IntegerField):
    """A number that the page itself wrote: what is none counts nothing."""

    def clean(self, value: Any) -> int:
        text = str(value or "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 3 else 0  # noqa: PLR2004


class DespachoForm(forms.Form):
    """An official act about one request, from the staff."""

    use_required_attribute = False  # the other buttons of the form do without it
    despacho = FilesField(
        label="Despacho", widget=FilesInput(form=SCREEN), help_text=f"{LIMITS} Quem pediu não vê este arquivo."
    )
