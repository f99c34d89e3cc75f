"""Nova Solicitação, with the source's fields in the source's order."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import QuerySet

from accounts import throttle
from accounts.desk import is_key
from accounts.directory import is_of_a_unit, is_of_somebody_else
from accounts.models import Employment, Unit, User
from accounts.search import search_bonds

from . import attachments, catalogue
from .attachment_forms import LIMITS, CountField, FilesField
from .attachments import Kept
from .form_fields import (
    Choices,
    SystemSelect,
    TextField,
    UserTypeSelect,
    current_units,
    system_choices,
    unit_choices,
    user_type_choices,
)
from .models import LARGEST_FILE, MOST_FILES, AccessRequest, Attachment, ExternalSystem, UserType

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
    user_type = forms.ModelChoiceField(
        label="Tipo Usuário",
        queryset=UserType.objects.none(),
        widget=UserTypeSelect,
        empty_label="Escolha",
        help_text="Escolha o perfil que a pessoa vai usar. Peça só o necessário para o trabalho.",
    )
    system = forms.ModelChoiceField(
        label="Sistema solicitado",
        queryset=ExternalSystem.objects.none(),
        widget=SystemSelect,
        empty_label="Escolha",
    )
    #: Is there where one of the offered systems asks for it; read where the chosen one does.
    unit = forms.ModelChoiceField(
        label="Unidade em que o acesso vale",
        queryset=Unit.objects.none(),
        required=False,
        error_messages={"invalid_choice": "Esta unidade não está na lista. Escolha outra."},
    )
    description = TextField(
        label="Descrição solicitação",
        max_length=2000,
        help_text="Explique para que o acesso será usado e, se houver, informe o ato de designação.",
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    attachments = FilesField(label="Anexos", required=False, help_text=f"{LIMITS} No máximo, {MOST_FILES} arquivos.")
    #: How many files the page said were kept already: none of them may be missed unseen.
    uploaded = CountField(required=False, widget=forms.HiddenInput)
    nonce = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)

    def __init__(self, *args: Any, user: User, asker: User | None = None, **kwargs: Any) -> None:
        """``asker``: by whose cargo systems are offered, where that is not ``user`` (who corrects in their place)."""
        super().__init__(*args, **kwargs)
        self.user = user
        self.asker = asker or user
        self.matches: list[Employment] = []
        #: A sentence for each file whose bytes were here before; the page that follows tells them.
        self.doubles: list[str] = []
        self._offer_systems(self.asker)
        self.initial.setdefault("nonce", new_nonce(user))
        self.initial.setdefault("requester_email", user.email)
        self.initial.setdefault("requester_phone", user.phone)

    def _offer_systems(self, asker: User) -> None:
        """What accepts requests and ``asker`` may ask for; what else is to be known stands in ``notes``."""
        systems = list(ExternalSystem.objects.filter(is_active=True))
        met = catalogue.rules_met_by(asker)
        accepting = [system for system in systems if system.accepts_requests]
        self.offered = [system for system in accepting if system.who_may_ask in met]
        self.notes = catalogue.notes_on(systems, met)
        self._choose_from("system", ExternalSystem.objects.accepting(), system_choices(self.offered))
        user_types = UserType.objects.filter(is_active=True, system__in=accepting).select_related("system")
        theirs = [user_type for user_type in user_types if user_type.system in self.offered]
        self._choose_from("user_type", user_types, user_type_choices(theirs))
        if self.asking_units:
            self._choose_from("unit", current_units(), self._unit_choices)
        else:
            del self.fields["unit"]

    def _choose_from(self, name: str, queryset: QuerySet[Any], choices: Choices | Callable[[], Choices]) -> None:
        """``queryset``: what is known, so that each refusal has its own sentence; ``choices``: what is offered."""
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for the type checker
        field.queryset = queryset
        field.widget.choices = choices

    @property
    def asking_units(self) -> list[str]:
        """The names of the offered systems that ask for a unit."""
        return [system.name for system in self.offered if system.asks_unit]

    def _unit_choices(self) -> Choices:
        bond = self.chosen
        held = Employment.objects.current().filter(user=bond.user_id) if bond else Employment.objects.none()
        return unit_choices({*held.values_list("unit_id", flat=True)})

    @property
    def chosen(self) -> Employment | None:
        """The bond that stands in the form, so that the page can say who it is."""
        return self._bond(self["beneficiary"].value())

    def _bond(self, value: object) -> Employment | None:
        text = str(value or "")
        if not is_key(text):
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
        # Who corrects in the requester's place leaves the requester's address where it is.
        is_anothers = all(is_of_somebody_else(email, one) for one in (self.user, self.asker))
        if is_of_a_unit(email, self.user) or is_anothers:
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
        self._clean_unit(cleaned, system)
        bond = cleaned.get("bond")
        if bond and system and (refusal := catalogue.why_not_for(self.asker, bond.user, system)):
            self.add_error("beneficiary", refusal)
        return cleaned

    def clean_system(self) -> ExternalSystem:
        system: ExternalSystem = self.cleaned_data["system"]
        if system not in self.offered:
            raise ValidationError(f"{catalogue.who_may_ask(system)} O cargo de quem pede não está entre eles.")
        return system

    def _clean_unit(self, cleaned: dict[str, Any], system: ExternalSystem | None) -> None:
        if system is None or not system.asks_unit:  # whatever was posted, nobody asked for it
            self.errors.pop("unit", None)
            cleaned["unit"] = None
        elif "unit" not in self.errors and cleaned.get("unit") is None:
            self.add_error("unit", "Escolha a unidade em que o acesso vale.")

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
            self.renew_nonce()
        mark = self.mark
        if mark is None:
            raise ValidationError("Este formulário foi alterado ou é de outra pessoa. Confira e envie de novo.")
        return mark

    #: For the page, which tells before anything is sent.
    largest_file, most_files = LARGEST_FILE, MOST_FILES

    @property
    def mark(self) -> uuid.UUID | None:
        """Of the form as the page shows it, under which its files are kept; None if it is not this person's."""
        return read_nonce(str(self["nonce"].value() or "").strip(), self.user)

    @property
    def kept_files(self) -> list[Attachment]:
        """What came with this form before, and is not filed yet."""
        return list(attachments.kept_with(self.mark, self.user).filter(request=None)) if self.mark else []

    def keep_files(self, chosen: Iterable[Any], corrected: AccessRequest | None = None) -> list[str]:
        """Store files whatever else is wrong with the form, so that nobody sends them twice.

        Returns a sentence for each that was refused. ``corrected``: the request that the form corrects.
        """
        refusals: dict[str, None] = {}
        for upload in chosen:
            if self.mark is None:
                return ["Este formulário é de outra pessoa. Escolha os arquivos de novo."]
            try:
                kept = attachments.keep(upload, mark=self.mark, by=self.user, request=corrected)
            except attachments.FileRefusedError as refusal:
                refusals[str(refusal)] = None
            else:
                self._note_double(kept)
        return list(refusals)

    def _note_double(self, kept: Kept) -> None:
        """Bytes that were here before; not where a form that is filed already comes a second time as it was."""
        same_form = kept.attachment.request_id is not None and kept.attachment.form_nonce == self.mark
        if kept.is_double and (kept.other_name or not same_form):
            before = f"é igual a “{kept.other_name}”" if kept.other_name else "já tinha sido enviado"
            self.doubles.append(f"“{kept.name}” {before} e foi guardado uma vez só.")

    def receive_files(self, corrected: AccessRequest | None = None) -> None:
        """Store what was sent with the form, and say beside the field what could not be."""
        is_own = "nonce" not in self.errors  # or the page that comes back is another form
        for refusal in self.keep_files(self.cleaned_data.get("attachments", []), corrected):
            self.add_error("attachments", refusal)
        announced = self.cleaned_data.get("uploaded", 0)
        if is_own and self.mark and attachments.kept_with(self.mark, self.user).count() < announced:
            self.add_error("attachments", attachments.GONE)

    def begin_anew(self) -> None:
        """The form was filed before: what is typed now, and the files that are new, are another form."""
        old = self.mark
        self.renew_nonce()
        if old and self.mark:
            attachments.hand_over(old, self.mark, by=self.user)

    def renew_nonce(self) -> None:
        """The page that comes back is another form: sent again, it is not taken for this one."""
        self.data = {**dict(self.data.items()), "nonce": new_nonce(self.user)}


def initial_from(request: AccessRequest) -> dict[str, Any]:
    """What the form shows when a returned request is corrected."""
    return {
        "requester_email": request.requester_email,
        "requester_phone": request.requester_phone,
        "beneficiary": request.employment_id,
        "beneficiary_search": request.beneficiary_called,
        "user_type": request.user_type_id,
        "system": request.user_type.system_id,
        "unit": request.unit_id,
        "description": request.description,
    }
