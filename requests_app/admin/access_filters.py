"""How the Coordenadoria finds accesses: the panel of filters above their list."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from django import forms
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict

from accounts.models import Employment, Unit

from ..models import LIVE_GRANT, AccessGrant, ExternalSystem, GrantStatus, UserType
from .filters import ChoiceField

#: What people have now, of whatever status.
LIVE = "live"


class AccessPanel(forms.Form):
    """Its fields are called as they stand in the address; what makes no sense there is left aside, and told.

    It takes the place of the admin's own filters (``ChangeList.filter_specs``).
    """

    status__exact = ChoiceField("Situação", "Todas")
    sistema = ChoiceField("Sistema", "Todos")
    tipo = ChoiceField("Tipo usuário", "Todos")
    comarca = ChoiceField("Comarca", "Todas")
    unidade = ChoiceField("Unidade", "Todas")

    def __init__(self, address: QueryDict) -> None:
        super().__init__(address, auto_id="filtro-%s", label_suffix="", use_required_attribute=False)
        for name, choices in self._choices().items():
            self.fields[name].offer(*choices)  # type: ignore[attr-defined]  # each of these is a ChoiceField
        self.full_clean()

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

    @property
    def in_use(self) -> list[str]:
        """The fields that narrow the list."""
        return [name for name, value in self.cleaned_data.items() if value]

    # --- What ``ChangeList`` asks of a filter -------------------------------------------------------------------------
    def expected_parameters(self) -> list[str]:
        return [*self.fields]

    def queryset(self, request: HttpRequest, accesses: QuerySet[AccessGrant]) -> QuerySet[AccessGrant]:
        """All that was chosen, together."""
        return accesses.filter(*(FILTERS[name](self.cleaned_data[name]) for name in self.in_use))


def _where_people_work(**unit: Any) -> Q:
    """Accesses that hold in such a unit, or whose people have a bond with one today."""
    units = Unit.objects.filter(**unit)
    return Q(unit__in=units) | Q(user__in=Employment.objects.current().filter(unit__in=units).values("user"))


#: The field of the panel -> what it asks of the accesses.
FILTERS: dict[str, Callable[[Any], Q]] = {
    "status__exact": lambda status: Q(status__in=LIVE_GRANT if status == LIVE else (status,)),
    "sistema": lambda key: Q(user_type__system=int(key)),
    "tipo": lambda key: Q(user_type=int(key)),
    "comarca": lambda name: _where_people_work(comarca=name),
    "unidade": lambda key: _where_people_work(pk=int(key)),
}


class AccessList(ChangeList):
    """The list with its panel."""

    panel: AccessPanel | None = None

    def get_filters(self, request: HttpRequest) -> Any:
        """Everything that may be chosen is on the panel; a lookup made by hand is refused, as on every list."""
        if self.panel is None:
            self.panel = AccessPanel(request.GET)
        if unknown := self.get_filters_params().keys() - self.panel.fields.keys():
            raise DisallowedModelAdminLookup(f"Filtering by {', '.join(sorted(unknown))} not allowed")
        return [self.panel], True, {}, False, bool(self.panel.in_use)
