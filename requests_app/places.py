"""How many people of a unit have access to a system, or have asked for it: a place is taken from the asking on."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accounts.models import Employment, Unit, User

from .models import AccessGrant, AccessRequest, ExternalSystem


def counted_in(request: AccessRequest) -> Unit:
    """The unit whose places count: where the access holds; the lotação of the bond where no unit is asked for."""
    return request.unit or request.employment.unit


def why_none_left(request: AccessRequest) -> str:
    """That all places of the unit are taken by others, as a sentence; nothing where one is left or nobody counts.

    Of two who ask at the same moment both would find the last place: the caller holds ``lock``.
    """
    system = request.system
    if system.most_per_unit is None:
        return ""
    unit = counted_in(request)
    taken = len(people_in(unit, system) - {request.beneficiary_id})
    if taken < system.most_per_unit:
        return ""
    return (
        f"{limit_of(system)} Em {unit} já são {taken}, com os pedidos em andamento. "
        "Quem chefia a unidade pode pedir o fim de um acesso em “Acessos da minha unidade”."
    )


def limit_of(system: ExternalSystem) -> str:
    """The rule as a sentence; nothing where there is none."""
    most = system.most_per_unit
    return f"{system} aceita até {most} usuário{'s' if most > 1 else ''} por unidade." if most else ""


def lock(system: ExternalSystem) -> ExternalSystem:
    """The system as it stands now, held until the caller's transaction ends: places in it are given one by one."""
    return ExternalSystem.objects.select_for_update(of=("self",), no_key=True).get(pk=system.pk)


def people_in(unit: Unit, system: ExternalSystem) -> set[int]:
    """Keys of those with an access of any user type that is not ended, or with an open request, in this unit.

    What names no unit counts in the lotação of the bond by which it was asked; what is older than the portal, in that
    of every bond that its holder has today. One query for each, for an OR over several tables would use no index.
    """
    grants = AccessGrant.objects.live().filter(user_type__system=system)
    asked = AccessRequest.objects.open().filter(user_type__system=system)
    bonds = Employment.objects.current().filter(unit=unit)
    return {
        *_keys(grants.filter(unit=unit), "user"),
        *_keys(grants.filter(unit=None, request__employment__unit=unit), "user"),
        *_keys(grants.filter(unit=None, request=None, user__in=User.objects.filter(employments__in=bonds)), "user"),
        *_keys(asked.filter(unit=unit), "beneficiary"),
        *_keys(asked.filter(unit=None, employment__unit=unit), "beneficiary"),
    }


def _keys(rows: QuerySet[Any], person: str) -> set[int]:
    return set(rows.order_by().values_list(person, flat=True).distinct())
