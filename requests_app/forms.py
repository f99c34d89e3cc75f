"""Nova Solicitação, with the source's fields in the source's order, and the decision's form."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import QuerySet

from accounts import throttle
from accounts.directory import is_of_a_unit
from accounts.models import Employment, HelpDesk, User
from accounts.search import search_bonds

from . import workflow
from .models import AccessRequest, ExternalSystem, Status, UserType

NONCE_SALT = "requests_app.forms.nonce"
PHONE = RegexValidator(
    r"^\+?[0-9()./ -]{8,25}( ?(r|ramal)\.? ?[0-9]{1,6})?$",
    "Telefone inválido. Use números, com DDD. Exemplo: (67) 3314-0000.",
)
NOBODY_FOUND = "Ninguém foi encontrado com esta matrícula ou este nome. Confira e busque de novo."
PICK_FROM_LIST = "Escolha a pessoa na lista."


def new_nonce(user: User) -> str:
    """The one-use mark of a form, signed for one person."""
    return signing.dumps([user.pk, uuid.uuid4().hex], salt=NONCE_SALT)


def read_nonce(text: str, user: User) -> uuid.UUID | None:
    """The mark, if it was made for this person."""
    try:
        owner, mark = signing.loads(text, salt=NONCE_SALT)
        return uuid.UUID(mark) if owner == user.pk else None
    except (signing.BadSignature, ValueError, TypeError):
        return None


if TYPE_CHECKING:
    UserTypeChoice = forms.ModelChoiceField[UserType]
else:  # Django's field takes no parameter at run time
    UserTypeChoice = forms.ModelChoiceField


class UserTypeSelect(forms.Select):
    """Each option says which system it is of, so that the page can show only those of the chosen one."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if instance := getattr(value, "instance", None):
            option["attrs"]["data-system"] = str(instance.system_id)
        return option


class UserTypeField(UserTypeChoice):
    """Grouped by system: without JavaScript the groups say what belongs together."""

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.name)

    def grouped(self) -> list[Any]:
        groups: dict[str, list[Any]] = {}
        for value, label in cast("Iterable[Any]", self.choices):
            instance = getattr(value, "instance", None)
            groups.setdefault(instance.system.name if instance else "", []).append((value, label))
        return [*groups.pop("", []), *groups.items()]


class TextField(forms.CharField):
    """Several lines. A browser counts a line break as one character, and posts two."""

    def to_python(self, value: Any) -> str:
        return (super().to_python(value) or "").replace("\r\n", "\n")


class AccessRequestForm(forms.Form):
    """What a servidor asks, for whom. Name and cargo of the requester are no fields: nothing posted moves them."""

    requester_email = forms.EmailField(
        label="Email do solicitante",
        required=False,  # it has no star in the source; the directory's is taken instead
        max_length=254,
        help_text="Informe seu e-mail pessoal do Tribunal. E-mail do cartório não é aceito.",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    requester_phone = forms.CharField(
        label="Telefone do solicitante",
        max_length=30,
        validators=[PHONE],
        help_text="Com DDD. Exemplo: (67) 3314-0000.",
        widget=forms.TextInput(attrs={"autocomplete": "tel", "inputmode": "tel"}),
    )
    beneficiary = forms.CharField(
        label="Efetuar cadastro para",
        required=False,
        max_length=20,
        help_text="Digite a matrícula ou pelo menos 3 letras do nome.",
    )
    #: What was typed to find the person: all there is without JavaScript.
    beneficiary_search = forms.CharField(required=False, max_length=200)
    user_type = UserTypeField(
        label="Tipo Usuário",
        queryset=UserType.objects.none(),
        widget=UserTypeSelect,
        empty_label="Escolha",
        help_text="Escolha o perfil que a pessoa vai usar. Peça só o necessário para o trabalho.",
    )
    system = forms.ModelChoiceField(
        label="Sistema solicitado", queryset=ExternalSystem.objects.none(), empty_label="Escolha"
    )
    description = TextField(
        label="Descrição solicitação",
        max_length=2000,
        help_text="Explique para que o acesso será usado e, se houver, informe o ato de designação.",
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    nonce = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.matches: list[Employment] = []
        systems = ExternalSystem.objects.filter(is_active=True)
        self._choose_from("system", systems)
        self._choose_from(
            "user_type",
            UserType.objects.filter(is_active=True, system__is_active=True).select_related("system"),
        )
        user_type = self.fields["user_type"]
        assert isinstance(user_type, UserTypeField)  # noqa: S101 - for the type checker
        user_type.widget.choices = user_type.grouped()
        self.initial.setdefault("nonce", new_nonce(user))
        self.initial.setdefault("requester_email", user.email)
        self.initial.setdefault("requester_phone", user.phone)

    def _choose_from(self, name: str, queryset: QuerySet[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for the type checker
        field.queryset = queryset

    @property
    def chosen(self) -> Employment | None:
        """The bond that stands in the form, so that the page can say who it is."""
        return self._bond(self["beneficiary"].value())

    def _bond(self, value: object) -> Employment | None:
        text = str(value or "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - what a bigint holds
            return None
        return Employment.objects.current().select_related("user", "unit").filter(pk=int(text)).first()

    def search(self) -> str:
        """Fill ``matches``, for browsers without JavaScript; returns what to say to the person, if anything."""
        if wait := throttle.take(throttle.SEARCH, f"person:{self.user.pk}"):
            return throttle.sentence(wait)
        self.matches = search_bonds(str(self["beneficiary_search"].value() or ""))
        return "" if self.matches else NOBODY_FOUND

    def clean_requester_email(self) -> str:
        email: str = self.cleaned_data["requester_email"] or self.user.email
        if not email:
            raise ValidationError("Informe o seu e-mail institucional: o cadastro não tem nenhum.")
        if is_of_a_unit(email, self.user.name) or email.lower() == HelpDesk.current().email.lower():
            raise ValidationError("Informe seu e-mail pessoal do Tribunal. E-mail do cartório não é aceito.")
        if email.rpartition("@")[2].lower() not in settings.INSTITUTIONAL_DOMAINS:
            domains = " ou ".join(f"@{domain}" for domain in settings.INSTITUTIONAL_DOMAINS)
            raise ValidationError(f"Use o e-mail institucional, que termina em {domains}.")
        return email

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "nonce" in self.errors:
            self.renew_nonce()
        self._clean_beneficiary(cleaned)
        user_type, system = cleaned.get("user_type"), cleaned.get("system")
        if user_type and system and user_type.system_id != system.pk:
            self.add_error("user_type", f"Este tipo de usuário não é de {system}. Escolha um da lista deste sistema.")
        return cleaned

    def _clean_beneficiary(self, cleaned: dict[str, Any]) -> None:
        if {"beneficiary", "beneficiary_search"} & self.errors.keys():
            return
        posted, typed = cleaned.get("beneficiary"), cleaned.get("beneficiary_search", "").strip()
        if posted:
            cleaned["bond"] = self._bond(posted)
            if cleaned["bond"] is None:
                self.add_error("beneficiary", "Esta pessoa não está ativa no cadastro. Escolha outra na lista.")
        elif not typed:
            self.add_error("beneficiary", "Informe para quem é o acesso: matrícula ou nome.")
        else:
            several = f"{PICK_FROM_LIST[:-1]}: há mais de uma com este nome."
            self.add_error("beneficiary", self.search() or (several if len(self.matches) > 1 else PICK_FROM_LIST))

    def clean_nonce(self) -> uuid.UUID:
        """The form's mark. A form without any was not made by our page, and is one of its own."""
        if not self.cleaned_data["nonce"]:
            return uuid.uuid4()
        mark = read_nonce(self.cleaned_data["nonce"], self.user)
        if mark is None:
            raise ValidationError("Este formulário foi alterado ou é de outra pessoa. Confira e envie de novo.")
        return mark

    def renew_nonce(self) -> None:
        """The page that comes back is another form: sent again, it is not taken for this one."""
        self.data = {**dict(self.data.items()), "nonce": new_nonce(self.user)}


def initial_from(request: AccessRequest) -> dict[str, Any]:
    """What the form shows when a returned request is corrected."""
    return {
        "requester_email": request.requester_email,
        "requester_phone": request.requester_phone,
        "beneficiary": request.employment_id,
        "beneficiary_search": request.beneficiary_name,
        "user_type": request.user_type_id,
        "system": request.user_type.system_id,
        "description": request.description,
    }


def printable(value: str) -> None:
    """What no keyboard types would reach the mail and confuse who copies it from there."""
    if not value.isprintable():
        raise ValidationError("Use uma linha só, sem caracteres invisíveis.")


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
        validators=[printable],
        widget=ReadableOnce(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )


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
    note = TextField(
        label="Motivo",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Obrigatório para devolver ou indeferir. Quem pediu vai ler este texto.",
    )
    renew_password = forms.BooleanField(label="Emitir nova senha provisória", required=False)
    login = first_login()
    password = first_password()
    sends_own = forms.BooleanField(label="O próprio sistema envia o login e a senha à pessoa", required=False)

    def __init__(self, *args: Any, asks_credential: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Whether the system is one that an analyst registers people in by hand.
        self.asks_credential = asks_credential

    @property
    def typed(self) -> workflow.Typed | None:
        """What the other system gave, once the form is valid."""
        if not self.asks_credential or self.cleaned_data["sends_own"]:
            return None
        return workflow.Typed(self.cleaned_data["login"], self.cleaned_data["password"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.asks_credential and cleaned.get("to") == Status.COMPLETED:
            typed = [name for name in ("login", "password") if cleaned.get(name)]
            if typed and cleaned.get("sends_own"):
                self.add_error("sends_own", "Digite a credencial ou marque que o sistema a envia: as duas coisas não.")
            elif len(typed) < 2 and not cleaned.get("sends_own"):  # noqa: PLR2004 - login and password
                for name in {"login", "password"} - {*typed} - self.errors.keys():
                    self.add_error(name, "Digite o que o outro sistema deu, ou marque que ele mesmo envia.")
        refuse_password_in_note(self)
        if cleaned.get("to") in workflow.NEEDS_REASON and not workflow.can_be_read(cleaned.get("note", "")):
            self.add_error("note", workflow.WRITE_A_REASON)
        return cleaned


class ReissueForm(forms.Form):
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
        cleaned = super().clean() or {}
        refuse_password_in_note(self)
        return cleaned

    @property
    def typed(self) -> workflow.Typed | None:
        if not self.asks_credential:
            return None
        return workflow.Typed(self.cleaned_data["login"], self.cleaned_data["password"])
