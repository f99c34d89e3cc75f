"""The texts for the reason of a decision, edited by Gestão. One out of use is retired: the history points at it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from .. import workflow
from ..form_fields import TextField
from ..models import Batch, ReasonTemplate, RequestEvent
from .recorded import RecordedAdmin

LONGEST_TEXT = 1500


class ReasonTemplateForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's class takes no parameter at run time
    text = TextField(
        label="Texto",
        max_length=LONGEST_TEXT,
        help_text="Quem pediu vai ler este texto.",
        widget=forms.Textarea(attrs={"class": "vLargeTextField", "rows": 10}),
    )

    def _get_validation_exclusions(self) -> set[str]:
        """A decision that cannot be changed is no field of the form; the title is unique within it all the same."""
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # unknown to the stubs
        return exclusions - {"decision"}

    def clean_text(self) -> str:
        """Something to read: characters without width are no reason."""
        text: str = self.cleaned_data["text"]
        if not workflow.can_be_read(text):
            raise ValidationError("Escreva o texto: quem pediu vai ler.")
        return text


@admin.register(ReasonTemplate)
class ReasonTemplateAdmin(RecordedAdmin):
    form = ReasonTemplateForm
    list_display = ("title", "decision", "system_name", "norm", "is_active")
    list_filter = ("is_active", "decision", "system")
    list_select_related = ("system",)
    search_fields = ("title", "text", "norm")
    search_help_text = "Título, texto ou norma"
    fields = ("decision", "title", "text", "norm", "system", "is_active")

    @admin.display(description="sistema", ordering="system__name")
    def system_name(self, template: ReasonTemplate) -> str:
        return template.system.name if template.system else "Todos"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """One that was used stays what it is for: the numbers count it under that decision."""
        if obj is None:
            return ()
        used = RequestEvent.objects.filter(reason=obj).exists() or Batch.objects.filter(reason=obj).exists()
        return ("decision",) if used else ()
