"""The accesses that are older than the portal: read their file, plan what it adds, apply it whole or not at all."""

from __future__ import annotations

import difflib
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from itertools import islice
from typing import TypeVar

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import names
from accounts.directory import DirectoryChangedError, DirectoryFileError
from accounts.directory.rows import MATRICULA, RefusedError, read_cpf, read_day
from accounts.directory.text import EMPTY, decode, records, separator_of
from accounts.masking import mask_people
from accounts.matriculas import spellings
from accounts.models import Employment, Unit, User

from .calendar import begin_of
from .models import LIVE_GRANT, AccessGrant, ExternalSystem, GrantEvent, GrantStatus, UserType

#: Field of the line -> column as people know it.
LABELS = {
    "matricula": "MATRÍCULA",
    "cpf": "CPF",
    "system": "SISTEMA",
    "user_type": "TIPO DE USUÁRIO",
    "unit_code": "UNIDADE",
    "since": "DESDE",
    "until": "ATÉ",
}
MANDATORY = ("system", "user_type")
#: Other headers for the same column, folded.
ALIASES = {
    "sistema externo": "system",
    "sistema solicitado": "system",
    "tipo usuario": "user_type",
    "perfil": "user_type",
    "cod unidade": "unit_code",
    "codigo da unidade": "unit_code",
    "codigo unidade": "unit_code",
    "inicio": "since",
    "data inicio": "since",
    "data de inicio": "since",
    "fim": "until",
    "data fim": "until",
    "data de fim": "until",
    "vale ate": "until",
}
COLUMNS = {names.fold(label): column for column, label in LABELS.items()} | ALIASES
BATCH = 500
#: Any number: imports take turns by it.
IMPORT_LOCK = 5_240_124
CHANGED = "Os acessos mudaram enquanto o arquivo era lido. Importe o arquivo de novo."

Key = tuple[int, int, int | None]
Row = TypeVar("Row", ExternalSystem, UserType)
Value = TypeVar("Value")


class Outcome(StrEnum):
    """What becomes of a line."""

    NEW = "novo"
    PRESENT = "já estava no portal"
    REFUSED = "recusado"


@dataclass(frozen=True, slots=True)
class Line:
    """One access as the file gives it, each cell with composed accents and single spaces."""

    number: int
    matricula: str
    cpf: str = field(repr=False)
    system: str
    user_type: str
    unit_code: str
    since: str
    until: str
    #: Cells with something in them that have no column.
    too_many: bool = False


@dataclass
class Reading:
    """What the file says."""

    encoding: str
    separator: str
    #: Headers that nobody here knows, as written.
    unknown_columns: list[str]
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What is planned for one line, and why where it is refused."""

    line: Line
    outcome: Outcome
    sentence: str = ""


@dataclass
class Plan:
    """What applying the file would do. Made for one application: the objects in it are then saved."""

    told: list[Told] = field(default_factory=list)
    new: list[AccessGrant] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        return sum(told.outcome == outcome for told in self.told)

    @property
    def refused(self) -> list[Told]:
        return [told for told in self.told if told.outcome == Outcome.REFUSED]


# --- Read -----------------------------------------------------------------------------------------------------------
def read(content: bytes, *, encoding: str | None = None) -> Reading:
    """Every line of the file. Without ``encoding``: UTF-8, with or without BOM, else Windows-1252.

    Raises DirectoryFileError, with a sentence for the person who sent the file, if it cannot be used as a whole.
    """
    text, encoding = decode(content, encoding)
    separator = separator_of(text, COLUMNS)
    found = records(text, separator)
    _number, header = next(found, (0, []))
    if not header:
        raise DirectoryFileError(EMPTY)
    folded = [names.fold(cell) for cell in header]
    places = _places(folded)
    unknown = [cell.strip() for cell in header if names.fold(cell) not in {"", *COLUMNS}]
    reading = Reading(encoding, separator, unknown)
    for number, cells in found:
        if [names.fold(cell) for cell in cells] == folded:
            continue
        values = {column: _cell(cells[place]) if place < len(cells) else "" for column, place in places.items()}
        reading.lines.append(Line(number, **values, too_many=any(map(str.strip, cells[len(header) :]))))
    if not reading.lines:
        raise DirectoryFileError("O arquivo só tem o cabeçalho. Não há nenhum acesso nele.")
    return reading


def _places(folded: list[str]) -> dict[str, int]:
    """Column -> place in the line, past its end where the file does not have the column."""
    columns = [COLUMNS.get(cell) for cell in folded]
    missing = [LABELS[column] for column in MANDATORY if column not in columns]
    if not {"matricula", "cpf"} & {*columns}:
        missing.insert(0, "MATRÍCULA (ou CPF)")
    if missing:
        raise DirectoryFileError(
            f"Faltam colunas no cabeçalho do arquivo: {', '.join(missing)}. A primeira linha deve dar os nomes delas."
        )
    if twice := sorted({LABELS[column] for column in columns if column and columns.count(column) > 1}):
        raise DirectoryFileError(f"Há colunas repetidas no cabeçalho do arquivo: {', '.join(twice)}.")
    return {column: columns.index(column) if column in columns else sys.maxsize for column in LABELS}


def _cell(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


# --- Plan -----------------------------------------------------------------------------------------------------------
def plan(reading: Reading) -> Plan:
    """Compare the file with the portal. Writes nothing."""
    known, made = _Known(reading.lines), Plan()
    before: dict[Key, int] = {}
    checked: list[tuple[Line, AccessGrant]] = []
    for line in reading.lines:
        try:
            grant = _checked(line, known)
            _refuse_if_repeated(grant, before)
        except _RefusedLineError as refusal:
            made.told.append(Told(line, Outcome.REFUSED, str(refusal)))
        else:
            before[_key(grant)] = line.number
            checked.append((line, grant))
    statuses = _statuses({grant.user_id for _line, grant in checked})
    for line, grant in checked:
        made.told.append(_told(line, grant, statuses.get(_key(grant), set()), made.new))
    made.told.sort(key=lambda told: told.line.number)
    return made


def _told(line: Line, grant: AccessGrant, statuses: set[str], new: list[AccessGrant]) -> Told:
    """What ended here does not come back by a file that is imported once more."""
    if not statuses.isdisjoint(LIVE_GRANT):
        return Told(line, Outcome.PRESENT)
    if statuses:
        return Told(
            line, Outcome.REFUSED, "este acesso já terminou no portal. Para tê-lo de novo, é preciso um pedido."
        )
    new.append(grant)
    return Told(line, Outcome.NEW)


def _refuse_if_repeated(grant: AccessGrant, before: dict[Key, int]) -> None:
    if first := before.get(_key(grant)):
        raise _RefusedLineError(f"repete o acesso da linha {first}.")


def _key(grant: AccessGrant) -> Key:
    return grant.user_id, grant.user_type_id, grant.unit_id


def _statuses(people: Iterable[int]) -> dict[Key, set[str]]:
    """In which statuses these people's accesses are, by whose they are, to what and where."""
    found: dict[Key, set[str]] = {}
    for batch in _batches(people):
        rows = AccessGrant.objects.filter(user__in=batch).values_list("user_id", "user_type_id", "unit_id", "status")
        for user, user_type, unit, status in rows:
            found.setdefault((user, user_type, unit), set()).add(status)
    return found


class _Known:
    """What the portal knows of the people, systems and units that the file names."""

    def __init__(self, lines: list[Line]) -> None:
        bonds = Employment.objects.select_related("user")
        matriculas = {line.matricula for line in lines if MATRICULA.fullmatch(line.matricula)}
        self.people_by_matricula: dict[str, User] = {
            bond.matricula: bond.user for batch in _batches(matriculas) for bond in bonds.filter(matricula__in=batch)
        }
        unknown = matriculas - self.people_by_matricula.keys()
        #: Matrículas that unknown ones in the file would be, spelt otherwise.
        self.with_zeros: set[str] = {
            matricula
            for batch in _batches({other for matricula in unknown for other in spellings(matricula)})
            for matricula in Employment.objects.filter(matricula__in=batch).values_list("matricula", flat=True)
        }
        cpfs = {cpf for line in lines if (cpf := _cpf_or_nothing(line.cpf))}
        self.people_by_cpf = {user.cpf: user for batch in _batches(cpfs) for user in User.objects.filter(cpf__in=batch)}
        people = {user.pk for user in (*self.people_by_matricula.values(), *self.people_by_cpf.values())}
        self.with_a_bond = {
            user
            for batch in _batches(people)
            for user in Employment.objects.current().filter(user__in=batch).values_list("user_id", flat=True)
        }
        self.systems = {names.fold(system.name): system for system in ExternalSystem.objects.all()}
        self.user_types: dict[int, dict[str, UserType]] = {}
        for user_type in UserType.objects.all():
            self.user_types.setdefault(user_type.system_id, {})[names.fold(user_type.name)] = user_type
        codes = {line.unit_code for line in lines if line.unit_code}
        self.units = {unit.code: unit for batch in _batches(codes) for unit in Unit.objects.filter(code__in=batch)}


class _RefusedLineError(Exception):
    """The message says why, as the end of a sentence that begins with the line."""


def _checked(line: Line, known: _Known) -> AccessGrant:
    """The access of this line, unsaved. Raises _RefusedLineError."""
    if line.too_many:
        raise _RefusedLineError("há mais células do que colunas no cabeçalho.")
    person = _person(line, known)
    if person.pk not in known.with_a_bond:
        raise _RefusedLineError(
            "a pessoa não tem vínculo ativo com o Tribunal. Retire o acesso dela no próprio sistema."
        )
    system = _named(line.system, known.systems, "o sistema", "no catálogo")
    user_types = known.user_types.get(system.pk, {})
    user_type = _named(line.user_type, user_types, "o tipo de usuário", f"entre os de {system.name}")
    since, until = _days(line)
    return AccessGrant(
        user=person,
        user_type=user_type,
        unit=_unit(line, system, known),
        granted_at=begin_of(since) if since else timezone.now(),
        expires_on=until,
    )


def _person(line: Line, known: _Known) -> User:
    """By matrícula, by CPF, or by both where they agree."""
    if not (line.matricula or line.cpf):
        raise _RefusedLineError("falta a matrícula ou o CPF.")
    by_cpf = _person_by_cpf(line.cpf, known) if line.cpf else None
    if not line.matricula:
        assert by_cpf is not None  # noqa: S101 - one of the two is there
        return by_cpf
    if not MATRICULA.fullmatch(line.matricula):
        raise _RefusedLineError("a matrícula deve ter de 1 a 10 letras ou números.")
    person = known.people_by_matricula.get(line.matricula)
    if person is None:
        near = [other for other in spellings(line.matricula) if other in known.with_zeros]
        perhaps = f" Seria {near[0]}?" if len(near) == 1 else ""
        raise _RefusedLineError(f"a matrícula não está no cadastro de pessoal.{perhaps}")
    if by_cpf is not None and by_cpf.pk != person.pk:
        raise _RefusedLineError("a matrícula e o CPF são de pessoas diferentes.")
    return person


def _person_by_cpf(text: str, known: _Known) -> User:
    try:
        cpf, _repaired = read_cpf(text)
    except RefusedError as refusal:
        raise _RefusedLineError(str(refusal)) from None
    if cpf not in known.people_by_cpf:
        raise _RefusedLineError("o CPF não está no cadastro de pessoal.")
    return known.people_by_cpf[cpf]


def _cpf_or_nothing(text: str) -> str:
    try:
        return read_cpf(text)[0]
    except RefusedError:
        return ""


def _named(text: str, rows: dict[str, Row], what: str, where: str) -> Row:
    """The row of this name, accents and case aside; else the nearest name is told."""
    if not text:
        raise _RefusedLineError(f"falta {what}.")
    folded = names.fold(text)
    if folded not in rows:
        near = difflib.get_close_matches(folded[:80], rows, n=1)
        perhaps = f" Seria “{rows[near[0]].name}”?" if near else ""
        raise _RefusedLineError(f"{what} “{shown(text)}” não está {where}.{perhaps}")
    return rows[folded]


def shown(text: str, most: int = 60) -> str:
    """A cell as it may stand on a terminal and in a log: no whole CPF, nothing that is no character, not too long."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return mask_people(printable)[:most]


def _unit(line: Line, system: ExternalSystem, known: _Known) -> Unit | None:
    if not system.asks_unit:
        if line.unit_code:
            raise _RefusedLineError(f"{system.name} não pede a unidade. Deixe a coluna UNIDADE vazia.")
        return None
    if not line.unit_code:
        raise _RefusedLineError(f"{system.name} pede a unidade. Informe o código dela na coluna UNIDADE.")
    if line.unit_code not in known.units:
        raise _RefusedLineError(f"a unidade “{shown(line.unit_code)}” não está no cadastro. Informe o código dela.")
    return known.units[line.unit_code]


def _days(line: Line) -> tuple[date | None, date | None]:
    """Since when and until when; nothing where the file does not say."""
    try:
        since = read_day(line.since, "DESDE") if line.since else None
        until = read_day(line.until, "ATÉ") if line.until else None
    except RefusedError as refusal:
        raise _RefusedLineError(str(refusal)) from None
    today = timezone.localdate()
    if since and since > today:
        raise _RefusedLineError("a data de DESDE ainda não chegou.")
    if since and until and until < since:
        raise _RefusedLineError("a data de ATÉ é anterior à data de DESDE.")
    if until and until < today:
        raise _RefusedLineError("o acesso já venceu. Retire-o no próprio sistema.")
    return since, until


def _batches(values: Iterable[Value]) -> Iterator[list[Value]]:
    remaining = iter(values)
    while batch := list(islice(remaining, BATCH)):
        yield batch


# --- Apply ----------------------------------------------------------------------------------------------------------
def apply(plan: Plan, *, source: str) -> None:
    """Write the plan, all of it or nothing; ``source`` is the file's name, for the history. Nobody is mailed.

    Raises DirectoryChangedError if somebody got one of these accesses meanwhile.
    """
    note = f"Acesso anterior ao portal (planilha {shown(source)})"
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":  # on SQLite, the transaction itself is the lock
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IMPORT_LOCK])
            AccessGrant.objects.bulk_create(plan.new, batch_size=BATCH)
            GrantEvent.objects.bulk_create(
                [GrantEvent(grant=grant, to_status=GrantStatus.ACTIVE, note=note) for grant in plan.new],
                batch_size=BATCH,
            )
    except IntegrityError as error:
        raise DirectoryChangedError(CHANGED) from error
