"""Who heads a unit, and what the people of that unit have access to."""

from __future__ import annotations

from accounts import names
from accounts.models import Employment, User

from .models import AccessGrant, Cargo
from .models.grants import AccessGrantQuerySet


def units_headed_by(person: User) -> frozenset[int]:
    """Keys of the units that the person heads today, by the cargo of a bond with each."""
    bonds = [
        (names.fold(cargo), unit)
        for cargo, unit in Employment.objects.current().filter(user=person).values_list("cargo", "unit_id")
    ]
    if not bonds:
        return frozenset()
    cargos = Cargo.objects.filter(heads_unit=True, folded_name__in={cargo for cargo, _unit in bonds})
    heading = set(cargos.values_list("folded_name", flat=True))
    return frozenset(unit for cargo, unit in bonds if cargo in heading)


def accesses_in(units: frozenset[int]) -> AccessGrantQuerySet:
    """What the people who have a bond with these units today have access to, in whatever unit it holds."""
    people = Employment.objects.current().filter(unit__in=units).values("user")
    return AccessGrant.objects.live().filter(user__in=people)


def is_head_over(person: User, grant: AccessGrant) -> bool:
    units = units_headed_by(person)
    return bool(units) and accesses_in(units).filter(pk=grant.pk).exists()
