"""What the staff type about a request or an access."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet

from . import workflow
from .access_forms import SeenForm
from .form_fields import TextField, printable
from .models import AccessRequest, ExternalSystem, ReasonTemplate, Status

ALTERED = "Esta página veio alterada. Confira o andamento e decida de novo."


def untrimmed(value: str) -> None:
    """A space at an end comes along when a password is copied, or belongs to it: only who typed it knows."""
    if value != value.strip():
        raise ValidationError("A senha tem espaço no começo ou no fim: confira.")


def refuse_password_in_note(form: forms.Form) -> None:
    """The note stays in the history for good, and people read it."""
    password = form.cleaned_data.get("password")
    if password and password in form.cleaned_data.get("note", ""):
        form.add_error("note", "Não escreva a senha aqui: este texto fica no histórico.")


class ReadableOnce(forms.PasswordInput):
    """Can be checked while it is typed, and does not come back with a page that refuses something."""

    input_type = "text"


def first_login() -> forms.CharField:
    return forms.CharField(
        label="Login no outro sistema",
        required=False,
        max_length=150,
        validators=[printable],
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )


def first_password() -> forms.CharField:
    return forms.CharField(
        label="Primeira senha no outro sistema",
        required=False,
        max_length=200,
        strip=False,
        validators=[printable, untrimmed],
        widget=ReadableOnce(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )


class ReasonField(forms.ChoiceField):
    """The texts for a reason, grouped by the decision that each is for; ``clean`` gives the one chosen, or None."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs = {"label": "Modelo de motivo", "required": False, **kwargs}
        super().__init__(error_messages={"invalid_choice": workflow.UNFIT_REASON}, **kwargs)
        self.widget.attrs["data-reasons"] = ""
        self.templates: dict[str, ReasonTemplate] = {}

    def offer(self, templates: Iterable[ReasonTemplate]) -> None:
        """Let these be chosen, and no others."""
        self.templates = {str(template.pk): template for template in templates}
        groups: dict[str, list[tuple[str, str]]] = {}
        for key, template in self.templates.items():
            groups.setdefault(template.get_decision_display(), []).append((key, template.title))
        self.choices = [("", "Nenhum"), *groups.items()]

    def clean(self, value: Any) -> ReasonTemplate | None:
        return self.templates.get(str(super().clean(value)))


def reasons_for(system: ExternalSystem | None, decisions: Collection[str]) -> QuerySet[ReasonTemplate]:
    """The texts in use that fit these decisions and this system; without a system, those that fit every one."""
    of_system = Q(system=None) | Q(system=system) if system else Q(system=None)
    return ReasonTemplate.objects.filter(of_system, is_active=True, decision__in=decisions)


class DecisionForm(forms.Form):
    """What an analyst may do with one request. Who, when and for whom is not posted."""

    to = forms.ChoiceField(
        choices=[
            (status.value, status.label)
            for status in (
                Status.IN_REVIEW,
                Status.PENDING,
                Status.APPROVED,
                Status.RETURNED,
                Status.REJECTED,
                Status.COMPLETED,
            )
        ]
    )
    #: The last step of the history that stood on the page (its key).
    seen = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=models.BigIntegerField.MAX_BIGINT,
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), ALTERED),
    )
    reason = ReasonField(help_text="Texto pronto para devolver ou indeferir. Você pode completar abaixo.")
    note = TextField(
        label="Motivo",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Obrigatório para devolver ou indeferir sem modelo. Quem pediu vai ler este texto.",
    )
    renew_password = forms.BooleanField(label="Emitir nova senha provisória", required=False)
    login = first_login()
    password = first_password()
    sends_own = forms.BooleanField(label="O próprio sistema envia o login e a senha à pessoa", required=False)
    opens_next = forms.BooleanField(label="Decidir e abrir a próxima", required=False)

    def __init__(self, *args: Any, access_request: AccessRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Whether the system is one that an analyst registers people in by hand.
        self.asks_credential = access_request.system.credential == ExternalSystem.Credential.OPERATOR
        self.templates = list(reasons_for(access_request.system, ReasonTemplate.Decision.values))
        self.show_reasons_for(ReasonTemplate.Decision.values)

    def show_reasons_for(self, decisions: Collection[str]) -> None:
        """Let only the texts for these decisions be chosen."""
        self.templates = [template for template in self.templates if template.decision in decisions]
        reason = self.fields["reason"]
        assert isinstance(reason, ReasonField)  # noqa: S101 - for the type checker
        reason.offer(self.templates)

    def missed(self, last_step: int) -> bool:
        """Whether the history has gone on since the page was opened that this was sent from."""
        seen = self.cleaned_data.get("seen") if self.is_bound else None
        return seen is not None and seen < last_step

    @property
    def typed(self) -> workflow.Typed | None:
        """What the other system gave, once the form is valid."""
        if not self.asks_credential or self.cleaned_data["sends_own"]:
            return None
        return workflow.Typed(self.cleaned_data["login"], self.cleaned_data["password"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.asks_credential and cleaned.get("to") == Status.COMPLETED:
            self._clean_credential(cleaned)
        refuse_password_in_note(self)
        reason, to = cleaned.get("reason"), cleaned.get("to")
        if reason and to and reason.decision != to:
            self.add_error("reason", workflow.UNFIT_REASON)
        elif to in workflow.NEEDS_REASON and not reason and "reason" not in self.errors:
            self._clean_note(cleaned)
        return cleaned

    def _clean_note(self, cleaned: dict[str, Any]) -> None:
        if "note" not in self.errors and not workflow.can_be_read(cleaned["note"]):
            self.add_error("note", workflow.WRITE_A_REASON)

    def _clean_credential(self, cleaned: dict[str, Any]) -> None:
        typed = [name for name in ("login", "password") if cleaned.get(name)]
        if typed and cleaned.get("sends_own"):
            self.add_error("sends_own", "Digite a credencial ou marque que o sistema a envia: as duas coisas não.")
        elif len(typed) < 2 and not cleaned.get("sends_own"):  # noqa: PLR2004 - login and password
            for name in {"login", "password"} - {*typed} - self.errors.keys():
                self.add_error(name, "Digite o que o outro sistema deu, ou marque que ele mesmo envia.")


#: The one form of a request's screen. What has a button of its own stands outside it, and is posted with it all the
#: same: nothing that was typed on the page is lost.
SCREEN = "decision-form"


class NoteForm(forms.Form):
    """What the staff tell one another about a request."""

    use_required_attribute = False  # the other buttons of the form do without it
    text = TextField(
        label="Nova nota",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "form": SCREEN}),
        help_text="Só a equipe lê. Não pode ser mudada nem apagada depois. Não escreva senhas.",
        error_messages={"required": workflow.EMPTY_NOTE},
    )

    def clean_text(self) -> str:
        """Something to read: characters without width are no note."""
        text: str = self.cleaned_data["text"]
        if not workflow.can_be_read(text):
            raise ValidationError(workflow.EMPTY_NOTE)
        return text


class ReissueForm(SeenForm):
    """Why a credential is mailed again."""

    note = TextField(
        label="Motivo da reemissão",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="A pessoa pode ler este texto, na cópia dos dados dela.",
    )
    login = first_login()
    password = first_password()

    def __init__(self, *args: Any, asks_credential: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asks_credential = asks_credential
        for name in ("login", "password"):
            self.fields[name].required = asks_credential

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        refuse_password_in_note(self)
        return cleaned

    @property
    def typed(self) -> workflow.Typed | None:
        if not self.asks_credential:
            return None
        return workflow.Typed(self.cleaned_data["login"], self.cleaned_data["password"])
