"""Several people at once: the lines that somebody pasted, and whom each of them leads to."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from accounts import matriculas, names, roll
from accounts.models import Employment, Unit, User

from . import catalogue, places
from .models import ALREADY_ASKED, AccessGrant, AccessRequest, ExternalSystem, UserType

#: A posse or a plantão has fewer. All are filed in one transaction, and whoever asks meanwhile waits for their numbers.
MOST_PEOPLE = 200
#: What no name and no row of a spreadsheet with one is longer than.
LONGEST_LINE = 200
#: Of what is shown again of a line.
SHOWN = 80

SEPARATORS = re.compile(r"[\t;|,]")
HAS_A_DIGIT = re.compile(r"[0-9]")
NOT_DIGIT = re.compile(r"[^0-9]")
DIGITS_OF_CPF = 11
#: A row of a spreadsheet may have other numbers beside the matrícula.
MOST_NUMBERS = 3

TOO_LONG = "Esta linha é longa demais. Escreva só a matrícula ou o nome."
NO_NAME = "Não há matrícula nem nome nesta linha. Escreva um dos dois."
NO_CPF = "Use a matrícula ou o nome, e não o CPF."
NOBODY = "Ninguém foi encontrado. Confira a matrícula ou escreva o nome completo."
TOO_MANY = f"Mais de {roll.MOST_ALIKE} vínculos têm este nome. Escreva a matrícula."
ALIKE = "Há mais de uma opção para este nome. Marque a certa."
OTHER_NAME = "A matrícula é de uma pessoa com outro nome. Marque, se for esta."
OTHER_MATRICULA = "A matrícula escrita não foi encontrada. Marque, se for esta pessoa."
BOND_IS_OVER = "O vínculo desta matrícula não vale hoje. A pessoa tem outro: marque, se servir."
LEFT = "Esta pessoa não tem vínculo ativo com o Tribunal. Retire a linha."
TWICE = "A mesma pessoa já está na linha {0}."
UNIT_IS_OVER = "A unidade {0} não existe mais. Escolha uma unidade para todos, ou retire a linha."
NO_PLACE = "{0} Não há vaga para esta pessoa em {1}."
NO_ADDRESS = "Esta pessoa não tem e-mail no cadastro e não receberia a credencial. Avise a Gestão de Pessoas."


@dataclass
class Line:
    """One line of the list, and what came of it."""

    #: As the person counts them, from 1.
    number: int
    text: str
    matriculas: list[str] = field(default_factory=list)
    #: Folded.
    name: str = ""
    bond: Employment | None = None
    #: Where the access would hold; None where the system does not ask for it.
    unit: Unit | None = None
    #: Among whom the person has to choose, or may confirm the only one.
    options: list[Employment] = field(default_factory=list)
    #: Why no request comes of it as it stands, as a sentence.
    problem: str = ""
    #: The request that is there already, where whoever asks may see it.
    asked: AccessRequest | None = None

    @property
    def shown(self) -> str:
        return self.text if len(self.text) <= SHOWN else f"{self.text[:SHOWN]}…"

    @property
    def field_name(self) -> str:
        """Of the radio buttons."""
        return f"linha-{self.number}"

    @property
    def is_ready(self) -> bool:
        return self.bond is not None and not self.problem

    @property
    def to_choose(self) -> bool:
        return bool(self.options) and self.bond is None


# --- Reading ---------------------------------------------------------------------------------------------------------
def rows_of(text: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    rows = ((number, row.strip()) for number, row in enumerate(text.splitlines(), start=1))
    return [(number, row) for number, row in rows if row]


def read(text: str) -> list[Line]:
    """One for each line that says something: matrícula, name, or both, in any order, as from a spreadsheet."""
    return [_read(number, row) for number, row in rows_of(text)]


def _read(number: int, row: str) -> Line:
    line = Line(number, row.replace("\t", " · "))
    if len(row) > LONGEST_LINE:
        line.problem = TOO_LONG
        return line
    cells = [cell.split() for cell in SEPARATORS.split(row)]
    words = [word.strip(".:()\"'") for cell in cells for word in cell]
    numbers = [word for word in words if HAS_A_DIGIT.search(word)]
    line.matriculas = [word for word in numbers if len(word) <= matriculas.LONGEST][:MOST_NUMBERS]
    called = (names.fold(" ".join(word for word in cell if not HAS_A_DIGIT.search(word))) for cell in cells)
    line.name = next((name for name in called if roll.can_be_looked_for(name)), "")
    if not (line.matriculas or line.name):
        is_cpf = any(len(NOT_DIGIT.sub("", word)) == DIGITS_OF_CPF for word in numbers)
        line.problem = NO_CPF if is_cpf else NO_NAME
    return line


# --- Finding ---------------------------------------------------------------------------------------------------------
def find(lines: Iterable[Line], chosen: Mapping[int, int]) -> None:
    """Say of each line whom it leads to, or why to nobody. The number of queries goes by names in fifties.

    ``chosen``: the number of a line -> the key of the bond that was chosen for it; what was not offered is left aside.
    """
    lines = [line for line in lines if not line.problem]
    numbered = roll.bonds_numbered({matricula for line in lines for matricula in line.matriculas})
    by_number = {line.number: _numbered(line, numbered) for line in lines}
    of_person = _current_bonds_of({bond.user_id for bond in by_number.values() if bond})
    to_name = [line for line in lines if line.name and by_number[line.number] is None]
    named = _named({line.name for line in to_name})
    for line in lines:
        if bond := by_number[line.number]:
            _settle_numbered(line, bond, of_person.get(bond.user_id, []))
        elif line in to_name:
            _settle_named(line, *named.get(line.name, ([], [])))
        else:
            line.problem = NOBODY
    _tell_who_left([line for line in to_name if line.problem == NOBODY])
    for line in lines:
        _choose(line, chosen.get(line.number))


def _numbered(line: Line, bonds: Mapping[str, Employment]) -> Employment | None:
    """As it is written first; then with zeros in front, of which a spreadsheet keeps none."""
    exact = (bonds.get(spelling) for matricula in line.matriculas for spelling in (matricula, matricula.upper()))
    padded = (bonds.get(spelling) for matricula in line.matriculas for spelling in matriculas.spellings(matricula))
    return next((bond for bond in (*exact, *padded) if bond), None)


def _current_bonds_of(people: Collection[int]) -> dict[int, list[Employment]]:
    found: dict[int, list[Employment]] = {}
    bonds = Employment.objects.current().filter(user__in=people).select_related("user", "unit")
    for bond in bonds.order_by("started_on", "pk"):
        found.setdefault(bond.user_id, []).append(bond)
    return found


def _named(wanted: Collection[str]) -> dict[str, tuple[list[Employment], list[Employment]]]:
    """Name -> bonds of those called exactly so, and of those whose names have its words."""
    found = roll.bonds_named(wanted)
    keys = {key for alike in found.values() for key in (*alike.exact, *alike.partly)}
    bonds = Employment.objects.filter(pk__in=keys).select_related("user", "unit")
    ordered = list(bonds.order_by("user__search_name", "matricula"))

    def among(keys: Collection[int]) -> list[Employment]:
        these = set(keys)
        return [bond for bond in ordered if bond.pk in these]

    return {name: (among(alike.exact), among(alike.partly)) for name, alike in found.items()}


def _settle_numbered(line: Line, bond: Employment, current: list[Employment]) -> None:
    agrees = all(f" {word}" in bond.user.search_name for word in line.name.split())
    holds = bond in current
    if not current:
        line.problem = LEFT
    elif holds and agrees:
        line.bond = bond
    elif holds:
        line.options, line.problem = [bond], OTHER_NAME
    else:
        line.options, line.problem = current[: roll.MOST_ALIKE], BOND_IS_OVER


def _settle_named(line: Line, exact: list[Employment], partly: list[Employment]) -> None:
    found = exact or partly
    if not found:
        line.problem = NOBODY
    elif len(found) > roll.MOST_ALIKE:
        line.problem = TOO_MANY
    elif len(found) > 1:
        line.options, line.problem = found, ALIKE
    elif line.matriculas:
        line.options, line.problem = found, OTHER_MATRICULA
    else:
        line.bond = found[0]


def _tell_who_left(lines: list[Line]) -> None:
    """Of names that lead to nobody who is here, those that led to somebody once."""
    left = roll.bonds_named({line.name for line in lines}, current=False) if lines else {}
    for line in lines:
        if line.name in left:
            line.problem = LEFT


def _choose(line: Line, key: int | None) -> None:
    chosen = next((bond for bond in line.options if bond.pk == key), None)
    if chosen:
        line.bond, line.problem = chosen, ""


# --- Judging ---------------------------------------------------------------------------------------------------------
def judge(lines: Iterable[Line], *, requester: User, user_type: UserType, unit: Unit | None, each_unit: bool) -> None:
    """Say of each line with a person whether a request may come of it. A fixed number of queries.

    ``unit``: where all of the accesses would hold. ``each_unit``: each holds where the person works. The workflow asks
    all of it again when the requests are filed.
    """
    found = [line for line in lines if line.bond]
    for line in found:
        line.unit = line.bond.unit if each_unit and line.bond else unit
    _tell_doubles(found)
    _tell_what_is_there(_still_ready(found), requester, user_type)
    _tell_rules(_still_ready(found), requester, user_type.system)


def _still_ready(lines: Iterable[Line]) -> list[tuple[Line, Employment]]:
    return [(line, line.bond) for line in lines if line.bond and not line.problem]


def _tell_what_is_there(ready: list[tuple[Line, Employment]], requester: User, user_type: UserType) -> None:
    people = {bond.user_id for _line, bond in ready}
    grants = AccessGrant.objects.live().filter(user__in=people, user_type=user_type)
    has = set(grants.values_list("user", "unit"))
    open_ones = AccessRequest.objects.open().filter(beneficiary__in=people, user_type=user_type)
    asked = {(request.beneficiary_id, request.unit_id): request for request in open_ones}
    for line, bond in ready:
        place = bond.user_id, line.unit.pk if line.unit else None
        if not bond.user.email:
            line.problem = NO_ADDRESS
        elif line.unit and catalogue.has_ended(line.unit):
            line.problem = UNIT_IS_OVER.format(line.unit)
        elif place in has:
            line.problem = f"Esta pessoa já tem acesso a {user_type}."
        elif other := asked.get(place):
            line.problem = f"{ALREADY_ASKED.removesuffix('.')}: nº {other.protocol}."
            line.asked = other if other.is_of(requester) else None


def _tell_rules(ready: list[tuple[Line, Employment]], requester: User, system: ExternalSystem) -> None:
    """For whom the system may be asked, and how many of a unit; as ``catalogue.why_not`` says of one request."""
    allowed = _allowed(ready, requester, system)
    units = {(line.unit or bond.unit).pk for line, bond in ready} if system.most_per_unit else set()
    taken = people_in_each(units, system)
    for line, bond in ready:
        unit = line.unit or bond.unit
        if allowed is not None and bond.user_id not in allowed:
            line.problem = catalogue.for_whom(system)
        elif system.most_per_unit and len(taken[unit.pk] - {bond.user_id}) >= system.most_per_unit:
            line.problem = NO_PLACE.format(places.limit_of(system), unit)
        else:
            taken[unit.pk].add(bond.user_id)


def _allowed(ready: list[tuple[Line, Employment]], requester: User, system: ExternalSystem) -> set[int] | None:
    """Keys of those of them for whom the requester may ask; None where that is anybody."""
    if system.for_whom == ExternalSystem.ForWhom.ANYONE:
        return None
    if system.for_whom == ExternalSystem.ForWhom.SELF:
        return {requester.pk}
    current = Employment.objects.current()
    units = [*current.filter(user=requester).values_list("unit", flat=True)]
    people = {bond.user_id for _line, bond in ready}
    return {requester.pk, *current.filter(user__in=people, unit__in=units).values_list("user", flat=True)}


def people_in_each(units: Collection[int], system: ExternalSystem) -> defaultdict[int, set[int]]:
    """``places.people_in`` for many units at once: key of a unit -> keys of people. Five queries, or none."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    if not units:
        return found
    grants = AccessGrant.objects.live().filter(user_type__system=system)
    asked = AccessRequest.objects.open().filter(user_type__system=system)
    # What names no unit and no request counts wherever its holder works today.
    holders = grants.filter(unit=None, request=None).values("user")
    for pairs in (
        grants.filter(unit__in=units).values_list("unit", "user"),
        grants.filter(unit=None, request__employment__unit__in=units).values_list("request__employment__unit", "user"),
        Employment.objects.current().filter(unit__in=units, user__in=holders).values_list("unit", "user"),
        asked.filter(unit__in=units).values_list("unit", "beneficiary"),
        asked.filter(unit=None, employment__unit__in=units).values_list("employment__unit", "beneficiary"),
    ):
        for unit, person in pairs:
            found[unit].add(person)
    return found


def _tell_doubles(lines: Iterable[Line]) -> None:
    first: dict[tuple[int, int | None], int] = {}
    for line in lines:
        assert line.bond is not None  # noqa: S101 - for the type checker
        number = first.setdefault((line.bond.user_id, line.unit.pk if line.unit else None), line.number)
        if number != line.number:
            line.problem = TWICE.format(number)


# --- What was seen ---------------------------------------------------------------------------------------------------
def digest(people: Iterable[tuple[int, int | None]], user_type: int, description: str, email: str, phone: str) -> str:
    """What somebody saw before they sent it, so that nothing else is sent: 64 hexadecimal digits.

    ``people``: keys of bonds and of units.
    """
    told = repr((sorted(people, key=repr), user_type, description, email, phone))
    return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()
