"""What an HR file would change in the directory, and the change itself: whole or not at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from typing import Any, TypeVar

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts import addresses, names
from accounts.models import Employment, EmploymentQuerySet, Unit, User

from .errors import DirectoryChangedError, TooManyDeparturesError
from .reading import Reading
from .rows import Reason, Refused, Row

#: A plan that ends more than this share of the bonds, and more than a few, is probably made from half a file.
USUAL_SHARE = 0.05
A_FEW = 5
BATCH = 500
#: Any number: imports take turns by it.
IMPORT_LOCK = 5_240_123
CHANGED = "O cadastro mudou enquanto o arquivo era lido. Importe o arquivo de novo."
Key = TypeVar("Key")
PERSON_FIELDS = ("name", "social_name", "email", "phone")
BOND_FIELDS = ("cargo", "staff_kind", "unit", "started_on", "ended_on")
#: What stays as it is where the file says nothing.
KEPT_IF_BLANK = {"social_name", "email", "phone", "staff_kind", "comarca"}


@dataclass
class Plan:
    """What applying the file would do. Made for one application: the objects in it are then saved."""

    new_units: list[Unit] = field(default_factory=list)
    changed_units: list[Unit] = field(default_factory=list)
    new_people: list[User] = field(default_factory=list)
    changed_people: list[User] = field(default_factory=list)
    unchanged_people: int = 0
    new_bonds: list[Employment] = field(default_factory=list)
    changed_bonds: list[Employment] = field(default_factory=list)
    unchanged_bonds: int = 0
    #: Open bonds that the file no longer names; they end today.
    left_bonds: list[Employment] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    #: People whose address changes, with the one before; it is told.
    changed_addresses: list[tuple[User, str]] = field(default_factory=list)
    #: Rows whose address differs from one that was corrected by hand; that one stays.
    kept_addresses: list[Row] = field(default_factory=list)
    #: Rows taken although their CPF had lost its leading zeros.
    repaired: list[Row] = field(default_factory=list)
    #: Open bonds before, and how many of them end by this plan, named in the file or not.
    open_bonds: int = 0
    ending: int = 0

    @property
    def usual_departures(self) -> int:
        """How many bonds may end without anybody saying that it is meant."""
        return max(A_FEW, int(self.open_bonds * USUAL_SHARE))


def plan(reading: Reading) -> Plan:
    """Compare the file with the directory. Writes nothing."""
    today = timezone.localdate()
    made = Plan(open_bonds=_open_bonds(today).count())
    rows, refused = _without_conflicts(reading.rows)
    made.refused = sorted([*reading.refused, *refused], key=lambda line: line.line)
    made.repaired = [row for row in rows if row.cpf_repaired]
    units = _plan_units(rows, made)
    people = _plan_people(rows, made)
    _plan_bonds(rows, units, people, today, made)
    _plan_departures(rows, today, made)
    return made


def check_departures(plan: Plan, *, allowed: int = 0) -> None:
    """Raises TooManyDeparturesError if the plan ends more bonds than usual and than ``allowed``."""
    if plan.ending > max(plan.usual_departures, allowed):
        raise TooManyDeparturesError(
            f"O arquivo encerraria {plan.ending} de {plan.open_bonds} vínculos, e o limite é {plan.usual_departures}. "
            f"Confira se o arquivo está completo. Se estiver, use --allow-departures {plan.ending}."
        )


def apply(plan: Plan, *, allow_departures: int = 0) -> None:
    """Write the plan, all of it or nothing. New people get no password; nobody's password or rights are touched.

    Raises TooManyDeparturesError, or DirectoryChangedError if the directory is no longer what the plan was made from.
    """
    check_departures(plan, allowed=allow_departures)
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":  # on SQLite, the transaction itself is the lock
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IMPORT_LOCK])
            _write(plan)
    except IntegrityError as error:
        raise DirectoryChangedError(CHANGED) from error


def _refuse_if_corrected_meanwhile(people: list[User]) -> None:
    planned = {person.pk: person.email_corrected_at for person in people}
    for batch in _batches(planned):
        for person in User.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=batch):
            if person.email_corrected_at != planned[person.pk]:
                raise DirectoryChangedError(CHANGED)


def _write(plan: Plan) -> None:
    _refuse_if_corrected_meanwhile(plan.changed_people)
    for person in (*plan.new_people, *plan.changed_people):
        person.search_name = person.folded_names()
    for person in plan.new_people:
        person.password = make_password(None)
    Unit.objects.bulk_create(plan.new_units, batch_size=BATCH)
    Unit.objects.bulk_update(plan.changed_units, ("name", "comarca"), batch_size=BATCH)
    User.objects.bulk_create(plan.new_people, batch_size=BATCH)
    User.objects.bulk_update(plan.changed_people, (*PERSON_FIELDS, "search_name"), batch_size=BATCH)
    Employment.objects.bulk_create(plan.new_bonds, batch_size=BATCH)
    Employment.objects.bulk_update(plan.changed_bonds, BOND_FIELDS, batch_size=BATCH)
    Employment.objects.bulk_update(plan.left_bonds, ("ended_on",), batch_size=BATCH)
    for person, old in plan.changed_addresses:
        addresses.tell(person, old, by=None)


def _open_bonds(today: date) -> EmploymentQuerySet:
    """Bonds that an absence from the file would end. One that has not begun can end no earlier than it begins."""
    return Employment.objects.filter(Q(ended_on=None) | (Q(ended_on__gt=today) & Q(ended_on__gt=F("started_on"))))


def _without_conflicts(rows: list[Row]) -> tuple[list[Row], list[Refused]]:
    """The rows that agree with what other people in the directory have, and those that do not."""
    holder_of_matricula = dict(
        pair
        for batch in _batches(row.matricula for row in rows)
        for pair in Employment.objects.filter(matricula__in=batch).values_list("matricula", "user__cpf")
    )
    wanted = {row.email: row.cpf for row in rows if row.email}
    taken = {
        email.lower()
        for cpf, email in User.objects.exclude(email="").values_list("cpf", "email").iterator()
        if wanted.get(email.lower(), cpf) != cpf
    }
    kept, refused = [], []
    for row in rows:
        if holder_of_matricula.get(row.matricula, row.cpf) != row.cpf:
            reason, sentence = (
                Reason.MATRICULA_TWO_PEOPLE,
                "a matrícula já é de outra pessoa do cadastro.",
            )
        elif row.email in taken:
            reason, sentence = Reason.EMAIL, "o e-mail já é de outra pessoa do cadastro."
        else:
            kept.append(row)
            continue
        refused.append(Refused(row.line, reason, sentence, row.matricula, row.cpf, names.fold(row.name)))
    return kept, refused


def _plan_units(rows: list[Row], made: Plan) -> dict[str, Unit]:
    """Every unit of the file by its code. Where its lines spell it differently, the most frequent spelling counts."""
    spellings: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in rows:
        spellings[row.unit_code][row.unit_name, row.comarca] += 1
    units = {unit.code: unit for batch in _batches(spellings) for unit in Unit.objects.filter(code__in=batch)}
    for code, counted in spellings.items():
        (name, comarca), _count = counted.most_common(1)[0]
        if code not in units:
            units[code] = Unit(code=code, name=name, comarca=comarca)
            made.new_units.append(units[code])
        elif _set(units[code], {"name": name, "comarca": comarca}):
            made.changed_units.append(units[code])
    return units


def _plan_people(rows: list[Row], made: Plan) -> dict[str, User]:
    """Every person of the file by CPF. What one of their lines leaves blank, another may give."""
    said: dict[str, Row] = {}
    for row in rows:
        first = said.setdefault(row.cpf, row)
        said[row.cpf] = replace(
            first,
            social_name=first.social_name or row.social_name,
            email=first.email or row.email,
            phone=first.phone or row.phone,
        )
    people = {user.cpf: user for batch in _batches(said) for user in User.objects.filter(cpf__in=batch)}
    for cpf, row in said.items():
        values = {name: getattr(row, name) for name in PERSON_FIELDS}
        if cpf not in people:
            people[cpf] = User(cpf=cpf, **values)
            made.new_people.append(people[cpf])
            continue
        person, old = people[cpf], people[cpf].email
        if person.email_corrected_at is not None and row.email not in {"", old}:
            made.kept_addresses.append(row)
            values["email"] = ""
        if not _set(person, values):
            made.unchanged_people += 1
            continue
        made.changed_people.append(person)
        if person.email != old:
            made.changed_addresses.append((person, old))
    return people


def _plan_bonds(rows: list[Row], units: dict[str, Unit], people: dict[str, User], today: date, made: Plan) -> None:
    bonds = {
        bond.matricula: bond
        for batch in _batches(row.matricula for row in rows)
        for bond in Employment.objects.filter(matricula__in=batch).select_related("unit")
    }
    for row in rows:
        values = {name: getattr(row, name) for name in BOND_FIELDS if name != "unit"} | {"unit": units[row.unit_code]}
        bond = bonds.get(row.matricula)
        if bond is None:
            made.new_bonds.append(Employment(matricula=row.matricula, user=people[row.cpf], **values))
            continue
        was_open = bond.ended_on is None or bond.ended_on > today
        if _set(bond, values):
            made.changed_bonds.append(bond)
            made.ending += was_open and row.ended_on is not None and row.ended_on <= today
        else:
            made.unchanged_bonds += 1


def _plan_departures(rows: list[Row], today: date, made: Plan) -> None:
    """End what the file no longer names. Whoever a refused line may be about has not left."""
    named = {row.matricula for row in rows} | {line.matricula for line in made.refused}
    doubtful = {line.cpf for line in made.refused if line.cpf}
    doubtful_names = {line.name for line in made.refused if line.name and not line.cpf}
    for bond in _open_bonds(today).select_related("user").iterator(chunk_size=BATCH):
        if bond.matricula in named or bond.user.cpf in doubtful:
            continue
        if doubtful_names and names.fold(bond.user.name) in doubtful_names:
            continue
        bond.ended_on = max(today, bond.started_on)
        made.left_bonds.append(bond)
    made.ending += len(made.left_bonds)


def _set(instance: models.Model, values: dict[str, Any]) -> bool:
    """Give the instance these values; whether that changed anything."""
    changed = {
        name: value
        for name, value in values.items()
        if getattr(instance, name) != value and (value or name not in KEPT_IF_BLANK)
    }
    for name, value in changed.items():
        setattr(instance, name, value)
    return bool(changed)


def _batches(values: Iterable[Key]) -> Iterator[list[Key]]:
    remaining = iter(values)
    while batch := list(islice(remaining, BATCH)):
        yield batch
