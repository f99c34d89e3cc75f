"""Fields of several forms: text as people type it, and the lists of systems, their user types and units."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.forms.models import ModelChoiceIteratorValue
from django.utils import timezone

from accounts import names
from accounts.models import Unit

from .models import ExternalSystem, UserType

#: The options of a select: (value, label), or (label of the group, options).
Choices = list[Any]
NOTHING_CHOSEN = ("", "Escolha")


def printable(value: str) -> None:
    """What no keyboard types would reach the mail and confuse who copies it from there."""
    if not value.isprintable():
        raise ValidationError("Use uma linha só, sem caracteres invisíveis.")


class TextField(forms.CharField):
    """Several lines. A browser counts a line break as one character, and posts two."""

    def to_python(self, value: Any) -> str:
        return (super().to_python(value) or "").replace("\r\n", "\n")


class SystemSelect(forms.Select):
    """Each option says whether its system asks for a unit, so that the page can show that field only then."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if (system := getattr(value, "instance", None)) and system.asks_unit:
            option["attrs"]["data-asks-unit"] = True
        return option


def system_choices(systems: Iterable[ExternalSystem]) -> Choices:
    return [NOTHING_CHOSEN, *((ModelChoiceIteratorValue(system.pk, system), system.name) for system in systems)]


class UserTypeSelect(forms.Select):
    """Each option says which system it is of, so that the page can show only those of the chosen one."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if user_type := getattr(value, "instance", None):
            option["attrs"]["data-system"] = str(user_type.system_id)
        return option


def user_type_choices(user_types: Iterable[UserType]) -> Choices:
    """Grouped by system: without JavaScript the groups say what belongs together."""
    groups: dict[str, Choices] = {}
    for user_type in user_types:
        option = (ModelChoiceIteratorValue(user_type.pk, user_type), user_type.name)
        groups.setdefault(user_type.system.name, []).append(option)
    return [NOTHING_CHOSEN, *groups.items()]


def current_units() -> QuerySet[Unit]:
    """The units that the court has today."""
    today = timezone.localdate()
    begun, goes_on = Q(started_on=None) | Q(started_on__lte=today), Q(ended_on=None) | Q(ended_on__gte=today)
    return Unit.objects.filter(begun, goes_on)


def unit_choices(own: Collection[int]) -> Choices:
    """Grouped by comarca, in the order in which people look for them; ``own``, the person's, before all as well."""
    units = sorted(current_units(), key=_place)
    groups: dict[str, Choices] = {}
    for unit in units:
        groups.setdefault(unit.comarca or "Outras unidades", []).append((unit.pk, unit.name))
    first = [(unit.pk, str(unit)) for unit in units if unit.pk in own]
    return [NOTHING_CHOSEN, *([("Lotação da pessoa", first)] if first else []), *groups.items()]


def _place(unit: Unit) -> tuple[bool, str, list[str | int]]:
    """The 2ª Vara before the 10ª, Água Clara before Bela Vista."""
    parts = re.split(r"([0-9]+)", names.fold(unit.name))
    return not unit.comarca, names.fold(unit.comarca), [int(part) if part.isdigit() else part for part in parts]
