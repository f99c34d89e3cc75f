"""What Gestão types of people whom no personnel file knows. What is looked up works without JavaScript."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import Q
from django.utils import timezone

from . import names, outsiders, support
from .desk import is_key
from .directory import is_of_somebody_else
from .forms import CpfField, OneTextInput, OneValueField
from .models import Employment, Unit, User
from .search import search_bonds
from .support_forms import CorrectEmailForm

KINDS = [choice for choice in Employment.Kind.choices if choice[0] != Employment.Kind.DIRECTORY]
PHONE = RegexValidator(r"^[0-9()+./ a-z-]{8,30}$", "Telefone inválido. Use números, com DDD. Exemplo: (67) 3314-0000.")
#: So many of what was looked for can be chosen from.
MOST_FOUND = 20
DAY_FORMATS = ["%Y-%m-%d", "%d/%m/%Y"]
INVISIBLE = "Use uma linha só, sem caracteres invisíveis."


class LineField(OneValueField):
    """One line of text that people can read."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=OneTextInput(attrs={"autocomplete": "off"}), **kwargs)

    def to_python(self, value: Any) -> str:
        text = super().to_python(value)
        if not text.isprintable():
            raise ValidationError(INVISIBLE)
        return " ".join(text.split())


class DayField(forms.DateField):
    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
        wrong = {"invalid": "Esta data não existe. Use dia/mês/ano."}
        super().__init__(widget=widget, input_formats=DAY_FORMATS, error_messages=wrong, **kwargs)


class LastDayForm(forms.Form):
    """Another last day of a bond, and why."""

    ended_on = DayField(label="Último dia", required=False)
    reason = LineField(
        label="Motivo",
        max_length=150,
        help_text="Fica no registro. Não escreva CPF nem senha.",
        error_messages={"required": "Escreva o motivo."},
    )
    #: The last day when the page was opened.
    seen = forms.DateField(required=False, widget=forms.HiddenInput, input_formats=DAY_FORMATS)

    def __init__(self, bond: Employment, posted: Any = None) -> None:
        super().__init__(posted, initial={"ended_on": bond.ended_on, "seen": bond.ended_on and str(bond.ended_on)})
        self.bond = bond
        self.ends_now = posted is not None and "encerrar" in posted

    def clean_ended_on(self) -> date | None:
        last: date | None = self.cleaned_data["ended_on"]
        if self.ends_now:
            return None
        if last is None:
            raise ValidationError("Informe o último dia.")
        if last < max(self.bond.started_on, timezone.localdate()):
            raise ValidationError("O último dia já passou. Para terminar agora, use “Encerrar agora”.")
        return check_last_day(last)

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if not any(char.isalnum() for char in reason):
            raise ValidationError("Escreva o motivo.")
        return reason


def check_last_day(last: date) -> date:
    if last > outsiders.last_day_allowed():
        raise ValidationError("O vínculo vale no máximo dois anos, contados de hoje. Depois, pode ser prolongado.")
    return last


class OutsiderForm(forms.Form):
    """A person and their bond. Unit and sponsor are looked up by what is typed, and chosen from what is found."""

    cpf = CpfField(label="CPF", help_text="Se a pessoa já estiver no cadastro, ela só ganha o vínculo novo.")
    name = LineField(label="Nome civil", max_length=150)
    social_name = LineField(label="Nome social (se houver)", max_length=150, required=False)
    email = CorrectEmailForm.base_fields["email"]
    phone = LineField(label="Telefone", max_length=30, validators=[PHONE], help_text="Exemplo: (67) 3314-0000.")
    kind = forms.ChoiceField(label="Tipo de vínculo", choices=[("", "Escolha"), *KINDS])
    cargo = LineField(label="Cargo ou função", max_length=80)
    unit_search = LineField(
        label="Unidade onde atua", max_length=100, help_text="Código ou parte do nome da unidade ou da comarca."
    )
    unit = OneValueField(required=False, max_length=20)
    started_on = DayField(label="Primeiro dia")
    ended_on = DayField(label="Último dia", help_text="No máximo dois anos a partir de hoje.")
    sponsor_search = LineField(
        label="Quem responde pela pessoa",
        max_length=100,
        help_text="Matrícula ou pelo menos 3 letras do nome de alguém com vínculo ativo.",
    )
    sponsor = OneValueField(required=False, max_length=20)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail"
        self.fields["email"].error_messages["required"] = "Digite o e-mail."
        #: (key, in words) of what was found, where somebody has to choose.
        self.units: list[tuple[int, str]] = []
        self.sponsors: list[tuple[int, str]] = []

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not names.fold(name):
            raise ValidationError("Escreva o nome.")
        return name

    def clean_email(self) -> str:
        """The rules of "Corrigir e-mail", for the person that is typed here."""
        cpf = self.cleaned_data.get("cpf", "")
        person = User.objects.filter(cpf=cpf).first() or User(cpf=cpf, name=self.cleaned_data.get("name", ""))
        alone = CorrectEmailForm(person)
        alone.cleaned_data = {"email": self.cleaned_data["email"]}
        address = alone.clean_email()
        if is_of_somebody_else(address, person):
            raise ValidationError(support.IS_TAKEN)
        return address

    def clean_ended_on(self) -> date:
        last: date = self.cleaned_data["ended_on"]
        if last < timezone.localdate():
            raise ValidationError("O último dia já passou.")
        return check_last_day(last)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        first, last = cleaned.get("started_on"), cleaned.get("ended_on")
        if first and last and last < first:
            self.add_error("ended_on", "O último dia não pode ser antes do primeiro.")
        self._clean_unit(cleaned)
        self._clean_sponsor(cleaned)
        return cleaned

    def _clean_unit(self, cleaned: dict[str, Any]) -> None:
        if "unit_search" in self.errors:
            return
        found = {unit.pk: unit for unit in find_units(cleaned["unit_search"])}
        cleaned["unit"] = _chosen(found, cleaned.get("unit"))
        if cleaned["unit"] is None:
            self.units = [(pk, f"{unit.code} – {unit}") for pk, unit in found.items()]
            several = "Escolha uma das unidades abaixo."
            self.add_error("unit_search", several if found else "Nenhuma unidade foi encontrada. Digite de novo.")

    def _clean_sponsor(self, cleaned: dict[str, Any]) -> None:
        if "sponsor_search" in self.errors:
            return
        bonds = search_bonds(cleaned["sponsor_search"], limit=MOST_FOUND)
        # Nobody from outside vouches for another.
        found = {bond.pk: bond for bond in bonds if bond.kind == Employment.Kind.DIRECTORY}
        bond = _chosen(found, cleaned.get("sponsor"))
        if bond is None and len({one.user_id for one in found.values()}) == 1:
            bond = next(iter(found.values()))
        cleaned["sponsor"] = bond and bond.user
        if bond is None:
            self.sponsors = [(pk, _in_words(one)) for pk, one in found.items()]
            several = "Escolha uma das pessoas abaixo."
            self.add_error("sponsor_search", several if found else "Ninguém com vínculo ativo foi encontrado.")
        elif bond.user.cpf == cleaned.get("cpf"):
            self.add_error("sponsor_search", outsiders.NOT_FOR_THEMSELVES)

    @property
    def person(self) -> outsiders.Person:
        return outsiders.Person(**{name: self.cleaned_data[name] for name in outsiders.Person.__dataclass_fields__})

    @property
    def bond(self) -> outsiders.Bond:
        return outsiders.Bond(**{name: self.cleaned_data[name] for name in outsiders.Bond.__dataclass_fields__})


def _in_words(bond: Employment) -> str:
    return f"{bond.user.display_name} — matrícula {bond.matricula} — {bond.cargo} — {bond.unit}"


def _chosen(found: dict[int, Any], posted: object) -> Any:
    """What was ticked of what was found, or the only one that was found."""
    key = int(str(posted)) if is_key(str(posted or "")) else None
    return found.get(key) if key is not None else next(iter(found.values())) if len(found) == 1 else None


def find_units(typed: str) -> list[Unit]:
    """Units of today by code, else by beginnings of words of name and comarca, accents or not."""
    today = timezone.localdate()
    current = Unit.objects.filter(Q(ended_on=None) | Q(ended_on__gte=today)).order_by("comarca", "name", "pk")
    if exact := list(current.filter(code__iexact=typed)[:1]):
        return exact
    words = names.fold(typed).split()
    if not words:
        return []
    found = []
    for unit in current.iterator():
        text = f" {names.fold(f'{unit.code} {unit.comarca} {unit.name}')}"
        if all(f" {word}" in text for word in words):
            found.append(unit)
        if len(found) == MOST_FOUND:
            break
    return found
