"""The forms at the door and behind the gear."""

from __future__ import annotations

import unicodedata
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from . import cpf as cpf_rules
from .captcha import captcha_field
from .models import User

INVALID_CPF = "CPF inválido. Confira os números e digite de novo."
#: Longer than any password that can be set, short enough to cost nothing.
TYPED_PASSWORD_MAX = 1024


class OneValueInput(forms.Widget):
    """Sees when its field came more than once; Django would take the last (GitLab CVE-2023-7028)."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        values = data.getlist(name) if hasattr(data, "getlist") else []
        return values if len(values) > 1 else super().value_from_datadict(data, files, name)

    def format_value(self, value: Any) -> str | None:
        return ", ".join(value) if isinstance(value, list) else super().format_value(value)


class OneTextInput(OneValueInput, forms.TextInput):
    pass


class OnePasswordInput(OneValueInput, forms.PasswordInput):
    pass


class OneValueField(forms.CharField):
    def to_python(self, value: Any) -> str:
        if isinstance(value, list):
            raise ValidationError("Este campo veio mais de uma vez. Digite um valor só.", code="several")
        return super().to_python(value) or ""


class CpfField(OneValueField):
    """Eleven digits, typed with or without punctuation."""

    def __init__(self, **kwargs: Any) -> None:
        widget = OneTextInput(attrs={"inputmode": "numeric", "maxlength": "40"})
        super().__init__(widget=widget, **kwargs)

    def to_python(self, value: Any) -> str:
        typed = super().to_python(value)
        if typed in self.empty_values:
            return typed
        digits = cpf_rules.clean(typed)
        if digits is None:
            raise ValidationError(INVALID_CPF, code="invalid")
        return digits


class PasswordField(OneValueField):
    """A password as it was typed: not stripped, masked, and never written back into a page."""

    def __init__(self, *, autocomplete: str, **kwargs: Any) -> None:
        widget = OnePasswordInput(attrs={"autocomplete": autocomplete, "autocapitalize": "none", "data-password": ""})
        super().__init__(widget=widget, strip=False, max_length=TYPED_PASSWORD_MAX, **kwargs)
        self.error_messages["max_length"] = f"Use no máximo {settings.PASSWORD_MAX_LENGTH} caracteres."


class LoginForm(forms.Form):
    """Usuário and Senha, as on the source's picture. Whether they fit is the view's business."""

    username = CpfField(label="Usuário", help_text="Seu CPF, com ou sem pontos e traço.")
    password = PasswordField(label="Senha", autocomplete="current-password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs["autocomplete"] = "username"


class ForgotPasswordForm(forms.Form):
    """Step 3 of the source: the CPF and the captcha."""

    cpf = CpfField(
        label="CPF",
        help_text="Informar o número do CPF. Pontos e traço são opcionais.",
        error_messages={"required": "Digite o CPF requerido."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["cpf"].widget.attrs["autocomplete"] = "username"
        self.fields["captcha"] = captcha_field()


class NewPasswordForm(forms.Form):
    """Nova Senha and Repetir Senha."""

    new_password1 = PasswordField(
        label="Nova Senha",
        autocomplete="new-password",
        help_text="Por favor digite sua nova senha.",
        error_messages={"required": "Por favor digite sua nova senha."},
    )
    new_password2 = PasswordField(
        label="Repetir Senha",
        autocomplete="new-password",
        error_messages={"required": "Repita a nova senha."},
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.advice = password_validation.password_validators_help_texts()
        self.least_length, self.most_length = settings.PASSWORD_MIN_LENGTH, settings.PASSWORD_MAX_LENGTH

    def clean_new_password1(self) -> str:
        password: str = self.cleaned_data["new_password1"]
        password_validation.validate_password(password, self.user)
        return password

    def clean_new_password2(self) -> str:
        again: str = self.cleaned_data["new_password2"]
        # The first may be refused on its own; what was typed there still says whether the two are equal.
        if again != self.data.get(self.add_prefix("new_password1")):
            raise ValidationError("As duas senhas não são iguais.", code="mismatch")
        return again


class PasswordChangeForm(NewPasswordForm):
    """The gear: the current password first (ASVS 5.0 6.2.3). Whether it fits is the view's business."""

    old_password = PasswordField(label="Senha atual", autocomplete="current-password")
    field_order = ("old_password", "new_password1", "new_password2")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        new, old = cleaned.get("new_password1"), cleaned.get("old_password")
        if new and old and unicodedata.normalize("NFC", new) == unicodedata.normalize("NFC", old):
            self.add_error("new_password1", "A nova senha precisa ser diferente da atual.")
        return cleaned
