"""How the Coordenadoria finds accesses: the panel of filters above their list, and the search."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts import cpf as cpf_rules
from accounts.desk import DeskList, words_of
from accounts.models import Employment, Unit

from .. import calendar
from ..models import LIVE_GRANT, AccessGrant, ExternalSystem, GrantStatus, UserType
from .filters import (
    HAS_A_DIGIT,
    LIKE_A_PROTOCOL,
    ChoiceField,
    DayField,
    Panel,
    bonds_numbered,
    keys_where_few,
    people_called,
    with_protocol,
)

#: What people have now, of whatever status.
LIVE = "live"


class AccessPanel(Panel):
    """The panel of the list of accesses."""

    EMPTY_PERIOD = "A primeira data do período é depois da última: nenhum acesso começou entre elas."

    status__exact = ChoiceField("Situação", "Todas")
    sistema = ChoiceField("Sistema", "Todos")
    tipo = ChoiceField("Tipo usuário", "Todos")
    comarca = ChoiceField("Comarca", "Todas")
    unidade = ChoiceField("Unidade", "Todas")
    de = DayField("Começou a partir de")
    ate = DayField("Começou até")

    def _choices(self) -> dict[str, list[Any]]:
        """What may be chosen; what somebody has to decide on comes first. Three queries."""
        first = GrantStatus.TO_REVOKE
        others = [(status.value, status.label) for status in GrantStatus if status != first]
        types = UserType.objects.select_related("system").order_by("system__name", "name")
        units = list(Unit.objects.order_by("comarca", "name").values_list("pk", "name", "comarca"))
        by_system = groupby(types, lambda user_type: user_type.system.name)
        by_comarca = groupby(units, lambda unit: unit[2] or "Sem comarca")
        return {
            "status__exact": [
                (first.value, first.label),
                (LIVE, "Em vigor: ativo, suspenso ou a revogar"),
                *others,
            ],
            "sistema": [(str(pk), name) for pk, name in ExternalSystem.objects.values_list("pk", "name")],
            "tipo": [(name, [(str(one.pk), one.name) for one in these]) for name, these in by_system],
            "comarca": [(name, name) for name in dict.fromkeys(comarca for *_, comarca in units) if name],
            "unidade": [(name, [(str(pk), unit) for pk, unit, _ in these]) for name, these in by_comarca],
        }

    def queryset(self, request: HttpRequest, accesses: QuerySet[AccessGrant]) -> QuerySet[AccessGrant]:
        """All that was chosen, together."""
        return accesses.filter(*(FILTERS[name](value) for name, value in self.cleaned_data.items() if value))


def _where_people_work(**unit: Any) -> Q:
    """Accesses that hold in such a unit, or whose people have a bond with one today. Two queries."""
    units = list(Unit.objects.filter(**unit).values_list("pk", flat=True))
    bonds = Employment.objects.current().filter(unit__in=units)
    return Q(unit__in=units) | Q(user__in=keys_where_few(bonds, "user"))


#: The field of the panel -> what it asks of the accesses.
FILTERS: dict[str, Callable[[Any], Q]] = {
    "status__exact": lambda status: Q(status__in=LIVE_GRANT if status == LIVE else (status,)),
    "pessoa": lambda key: Q(user=int(key)),
    "sistema": lambda key: Q(user_type__system=int(key)),
    "tipo": lambda key: Q(user_type=int(key)),
    "comarca": lambda name: _where_people_work(comarca=name),
    "unidade": lambda key: _where_people_work(pk=int(key)),
    "de": lambda day: Q(granted_at__gte=calendar.begin_of(day)),
    "ate": lambda day: Q(granted_at__lt=calendar.begin_of(day + timedelta(days=1))),
}


# --- The search ------------------------------------------------------------------------------------------------------
def find(accesses: QuerySet[AccessGrant], typed: str) -> tuple[QuerySet[AccessGrant], bool]:
    """The accesses of whom the words name, and whether more people fit a name or a matrícula than were looked at.

    Read as ``filters.find`` reads them: a whole CPF, a protocol, or words, each of which must fit. A matrícula may be
    any that the person has or had.
    """
    typed = typed.strip()
    if digits := cpf_rules.clean(typed):
        return accesses.filter(user__cpf=digits), False
    if LIKE_A_PROTOCOL.fullmatch(typed):
        return accesses.filter(with_protocol(typed, "request__protocol")), False
    words = words_of(typed)
    if typed and not words:  # no letter and no digit to look for
        return accesses.none(), False
    called = [word for word in words if not HAS_A_DIGIT.search(word)]
    looked_up = [bonds_numbered(word, "user") for word in words if HAS_A_DIGIT.search(word)]
    looked_up += [people_called(called)] if called else []
    for people, _has_more in looked_up:
        accesses = accesses.filter(user__in=people)
    return accesses, any(has_more for _people, has_more in looked_up)


class AccessList(DeskList):
    """The list with its panel."""

    panel: AccessPanel | None = None

    def get_filters(self, request: HttpRequest) -> Any:
        """Everything that may be chosen is on the panel; a lookup made by hand is refused, as on every list."""
        if self.panel is None:
            self.panel = AccessPanel(request.GET)
        if unknown := self.get_filters_params().keys() - self.panel.base_fields.keys():
            raise DisallowedModelAdminLookup(f"Filtering by {', '.join(sorted(unknown))} not allowed")
        return [self.panel], True, {}, False, bool(self.panel.in_use)
