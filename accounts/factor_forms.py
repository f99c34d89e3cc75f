"""The forms of the second factor. Whether what they hold is right is the view's business."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from . import factors
from .forms import OneTextInput, OneValueField, PasswordField

ODD = "Digite os 6 números que o aplicativo mostra."
ODD_OR_RECOVERY = "Digite os 6 números do aplicativo, ou um código de recuperação, como ACDE-F34K-7TRW."


class CodeInput(OneTextInput):
    """What was typed is never written back into a page."""

    def format_value(self, value: Any) -> None:
        return None


class CodeField(OneValueField):
    """A code of the application; with ``recovery``, one of the list too."""

    def __init__(self, *, recovery: bool, **kwargs: Any) -> None:
        self.recovery = recovery
        # A list has letters: a keyboard of digits alone could not type them.
        keyboard = {"inputmode": "text", "autocapitalize": "characters"} if recovery else {"inputmode": "numeric"}
        attrs = {"autocomplete": "one-time-code", "spellcheck": "false", "maxlength": "40", **keyboard}
        super().__init__(widget=CodeInput(attrs=attrs), **kwargs)

    def to_python(self, value: Any) -> str:
        typed = super().to_python(value)
        if typed in self.empty_values:
            return typed
        code = factors.clean(typed)
        if code is None or (len(code) != factors.DIGITS and not self.recovery):
            raise ValidationError(ODD_OR_RECOVERY if self.recovery else ODD, code="invalid")
        return code


class CodeForm(forms.Form):
    code = CodeField(
        recovery=True,
        label="Código",
        help_text="Os 6 números que o aplicativo mostra agora, ou um código de recuperação.",
        error_messages={"required": "Digite o código."},
    )


class ProofForm(CodeForm):
    """Whoever changes the second factor shows the password, and a code where it is on already."""

    password = PasswordField(
        label="Senha atual", autocomplete="current-password", error_messages={"required": "Digite a sua senha atual."}
    )
    field_order = ("password", "code")

    def __init__(self, *args: Any, asks_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not asks_code:
            del self.fields["code"]


class FirstCodeForm(forms.Form):
    """The first code of a telephone that is being added."""

    code = CodeField(
        recovery=False,
        label="Código do aplicativo",
        help_text="Os 6 números que o aplicativo mostra agora.",
        error_messages={"required": "Digite o código que o aplicativo mostra."},
    )
