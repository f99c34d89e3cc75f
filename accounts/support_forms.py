"""What the staff type when they attend to somebody."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from .directory import is_of_a_unit
from .forms import OneTextInput, OneValueField, OneValueInput
from .models import User


class OneEmailInput(OneValueInput, forms.EmailInput):
    pass


class CorrectEmailForm(forms.Form):
    """The new address, and why: links and passwords will go there."""

    email = OneValueField(
        label="Novo e-mail",
        max_length=254,
        validators=[validate_email],
        widget=OneEmailInput(attrs={"autocomplete": "off"}),
        help_text="O e-mail institucional da própria pessoa.",
        error_messages={"required": "Digite o novo e-mail."},
    )
    reason = OneValueField(
        label="Motivo",
        max_length=200,
        widget=OneTextInput,
        help_text="Como você soube e como conferiu quem pediu. Fica no registro. Não escreva CPF nem senha.",
        error_messages={"required": "Escreva o motivo."},
    )

    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_email(self) -> str:
        """Nowhere outside the court, and no mailbox that several people open."""
        mailbox, _at, domain = self.cleaned_data["email"].rpartition("@")
        address = f"{mailbox}@{domain.lower()}"
        if domain.lower() not in settings.INSTITUTIONAL_DOMAINS:
            domains = " ou ".join(f"@{domain}" for domain in settings.INSTITUTIONAL_DOMAINS)
            raise ValidationError(f"Use o e-mail institucional, que termina em {domains}.")
        if is_of_a_unit(address, self.person):
            raise ValidationError("Este é o e-mail de uma unidade. Use o e-mail da própria pessoa.")
        return address

    def clean_reason(self) -> str:
        """In one line, with something to read in it: characters without width are no reason."""
        reason = " ".join(self.cleaned_data["reason"].split())
        if not any(char.isalnum() for char in reason):
            raise ValidationError("Escreva o motivo.")
        return reason
