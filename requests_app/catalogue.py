"""The catalogue: what a change of it was, and who may ask for what stands in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date

from django.db import models
from django.utils import timezone

from accounts import names
from accounts.models import Employment, Unit, User

from . import places
from .models import AccessRequest, Cargo, CatalogueChange, ExternalSystem, Status

WhoMayAsk, ForWhom = ExternalSystem.WhoMayAsk, ExternalSystem.ForWhom
#: Who may ask where not everybody may, as the sentences of the portal call them.
ASKERS = {
    WhoMayAsk.MAGISTRATES.value: "magistrados",
    WhoMayAsk.HEADS.value: "magistrados e chefes de unidade",
}


# --- Who may ask -----------------------------------------------------------------------------------------------------
def rules_met_by(person: User) -> frozenset[str]:
    """The rules of who may ask that somebody meets, by the cargos of the bonds that hold today. Two queries."""
    held = Employment.objects.current().filter(user=person).values_list("cargo", flat=True)
    cargos = list(Cargo.objects.filter(folded_name__in={names.fold(cargo) for cargo in held}))
    met = {WhoMayAsk.ANYONE.value}
    if any(cargo.is_magistrate for cargo in cargos):
        met |= {WhoMayAsk.MAGISTRATES.value, WhoMayAsk.HEADS.value}
    if any(cargo.heads_unit for cargo in cargos):
        met.add(WhoMayAsk.HEADS.value)
    return frozenset(met)


def may_ask(person: User, system: ExternalSystem) -> bool:
    """Whether somebody's cargo lets them ask for this system. No query where everybody may."""
    return system.who_may_ask == WhoMayAsk.ANYONE or system.who_may_ask in rules_met_by(person)


def who_may_ask(system: ExternalSystem) -> str:
    """The rule as a sentence; nothing where everybody may."""
    askers = ASKERS.get(system.who_may_ask)
    return f"Só {askers} podem pedir acesso a {system}." if askers else ""


# --- For whom --------------------------------------------------------------------------------------------------------
def for_whom(system: ExternalSystem) -> str:
    """The rule as a sentence; nothing where people ask for anybody."""
    if system.for_whom == ForWhom.SELF:
        return f"Cada pessoa pede acesso a {system} só para si."
    if system.for_whom == ForWhom.OWN_UNIT:
        return f"O acesso a {system} só pode ser pedido para pessoas da unidade de quem pede."
    return ""


def why_not_for(asker: User, beneficiary: User, system: ExternalSystem) -> str:
    """Why somebody may not ask for a system for this person, as a sentence. No query where the rule tells it alone."""
    if system.for_whom == ForWhom.ANYONE or asker == beneficiary:
        return ""
    if system.for_whom == ForWhom.SELF:
        return f"{for_whom(system)} Peça a {beneficiary.display_name} que faça o pedido."
    if _share_a_unit(asker, beneficiary):
        return ""
    return f"{for_whom(system)} {beneficiary.display_name} não tem vínculo com uma unidade de {asker.display_name}."


def _share_a_unit(one: User, other: User) -> bool:
    """Whether two people have a bond today with the same unit."""
    current = Employment.objects.current()
    units = current.filter(user=one).values_list("unit", flat=True)
    return current.filter(user=other, unit__in=[*units]).exists()


# --- What may be asked -----------------------------------------------------------------------------------------------
def why_closed(system: ExternalSystem) -> str:
    """Why a system may not be asked for today, as a sentence; nothing where it may."""
    today = timezone.localdate()
    if not system.is_active:
        return f"{system} não aceita pedidos no momento."
    if system.active_from and system.active_from > today:
        return f"{system} aceita pedidos a partir de {system.active_from:%d/%m/%Y}."
    if system.active_until and system.active_until < today:
        return f"{system} aceitou pedidos até {system.active_until:%d/%m/%Y}."
    return ""


def notes_on(systems: Iterable[ExternalSystem], met: Collection[str]) -> list[str]:
    """What somebody who meets these rules should know of each system before choosing one, as sentences."""
    notes = []
    for system in systems:
        if system.accepts_requests and system.who_may_ask not in met:
            notes.append(who_may_ask(system))
        elif system.accepts_requests:
            notes.append(" ".join(rules_of(system)))
        elif is_announced(system):
            notes.append(why_closed(system))
    return [note for note in notes if note]


def rules_of(system: ExternalSystem) -> list[str]:
    """What somebody who may ask for a system should know of it before they do, as sentences."""
    rules = [for_whom(system), places.limit_of(system)]
    if system.asks_unit:
        rules.append(f"O pedido de acesso a {system} diz em que unidade ele vale.")
    if system.active_until:
        rules.append(f"{system} aceita pedidos até {system.active_until:%d/%m/%Y}.")
    return [rule for rule in rules if rule]


def is_announced(system: ExternalSystem) -> bool:
    """Whether a system cannot be asked for yet, and will be."""
    return system.is_active and system.active_from is not None and system.active_from > timezone.localdate()


def has_ended(unit: Unit) -> bool:
    """Whether a unit of the court is there no more."""
    return unit.ended_on is not None and unit.ended_on < timezone.localdate()


def why_not(request: AccessRequest) -> str:
    """What the catalogue has today against a request, as a sentence; nothing if it has nothing.

    For a request that is filed and, as the catalogue changes, again when it is decided. What was approved before a rule
    changed is registered all the same, or what stands in the other system could not be told here; but not where the
    system or its user type is retired, or the unit has ended.
    """
    system, unit = request.system, request.unit
    if not (request.user_type.is_active and system.is_active):
        return f"{request.user_type} não aceita pedidos no momento."
    if unit is not None and has_ended(unit):
        return f"A unidade {unit} não existe mais: terminou em {unit.ended_on:%d/%m/%Y}. {_what_now(request)}"
    if request.status == Status.APPROVED:
        return ""
    return why_closed(system) or _why_not_so(request)


def _what_now(request: AccessRequest) -> str:
    """What is left to do about a unit that has ended: what was approved cannot be corrected any more."""
    if request.status == Status.APPROVED:
        return "Indefira este pedido; quem pediu pode fazer outro."
    return "É preciso escolher outra."


def _why_not_so(request: AccessRequest) -> str:
    """What the rules of its system have against a request."""
    system = request.system
    # Who asks is not even looked up where everybody may.
    if system.who_may_ask != WhoMayAsk.ANYONE and not may_ask(request.requester, system):
        return f"{who_may_ask(system)} O cargo de {request.requester.display_name} não está entre eles."
    # The requester is looked up only where it matters who they are.
    if system.for_whom != ForWhom.ANYONE and (sentence := why_not_for(request.requester, request.beneficiary, system)):
        return sentence
    if system.asks_unit and request.unit is None:
        return "Falta a unidade em que o acesso vale. Devolva o pedido, para que quem pediu a informe."
    return places.why_none_left(request)


# --- What was changed ------------------------------------------------------------------------------------------------
#: What stands in the fields of a row, in words, by the fields' labels.
Values = dict[str, str]


def values_of(row: models.Model) -> Values:
    """What people edit of a row, as they read it on the screen."""
    fields = [field for field in row._meta.concrete_fields if field.editable and not field.primary_key]
    return {str(field.verbose_name): _in_words(row, field.name) for field in fields}


def _in_words(row: models.Model, name: str) -> str:
    if display := getattr(row, f"get_{name}_display", None):
        return str(display())
    value = getattr(row, name)
    if isinstance(value, bool):
        return "sim" if value else "não"
    if isinstance(value, date):
        return f"{value:%d/%m/%Y}"
    return "" if value is None else str(value)


def record(row: models.Model, *, before: Values | None, by: User, under: models.Model | None = None) -> None:
    """Keep what somebody changed in a row that is saved; nothing if it is as before. For the saving transaction.

    ``before``: its ``values_of`` as they were, None for a new row. ``under``: the row on whose page it is edited, and
    in whose history this will stand; its own where there is none.
    """
    after = values_of(row)
    was: dict[str, str | None] = dict.fromkeys(after) if before is None else {**before}
    _keep(row, [[label, was[label], now] for label, now in after.items() if (was[label] or "") != now], by, under)


def record_removal(row: models.Model, *, by: User, under: models.Model | None = None) -> None:
    """Keep what stood in a row, before it is deleted."""
    _keep(row, [[label, was, None] for label, was in values_of(row).items() if was], by, under)


def _keep(row: models.Model, changes: list[list[str | None]], by: User, under: models.Model | None) -> None:
    if not changes:
        return
    page = under or row
    called = str(row) if under is None else f"{under}: {row._meta.verbose_name} {str(row).removeprefix(f'{under} – ')}"
    CatalogueChange.objects.create(
        model=page._meta.label_lower, object_id=page.pk, name=called[:200], changes=changes, by=by
    )


def changes_of(row: models.Model) -> models.QuerySet[CatalogueChange]:
    """The history of a row and of what is edited on its page, the newest first."""
    found = CatalogueChange.objects.filter(model=row._meta.label_lower, object_id=row.pk)
    return found.select_related("by").order_by("-pk")
