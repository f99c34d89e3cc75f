"""The plan of an import and its application: whole or not at all."""

from __future__ import annotations

from collections.abc import Collection

from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from . import conflicts, effects
from .comparing import Comparison
from .corrections import CHANGED
from .errors import DirectoryBusyError, DirectoryChangedError, TooManyDeparturesError
from .plans import Plan
from .progress import Progress, nobody
from .reading import Reading
from .store import Store

#: Any number: imports take turns by it.
IMPORT_LOCK = 5_240_123
BUSY = "Outra importação está em andamento. Espere que ela termine e importe de novo."


def plan(reading: Reading, *, accept_cpfs: Collection[str] = (), progress: Progress = nobody) -> Plan:
    """Compare the file with the directory. Writes nothing there.

    ``accept_cpfs``: matrículas whose holder shall get the CPF that the file gives, in place of the one they have.
    Raises DirectoryFileError if the file does not have one of them.
    ``progress`` is called after each batch, with the number of people done so far.
    """
    conflicts.refuse(reading.store, accepted_cpfs=accept_cpfs)
    _spell_units(reading.store)
    reading.store.gather_people()
    return _compared(reading, writing=False, progress=progress)


def check_departures(plan: Plan, *, allowed: int = 0) -> None:
    """Raises TooManyDeparturesError if the plan ends more bonds than usual and than ``allowed``."""
    if plan.ending > max(plan.usual_departures, allowed):
        raise TooManyDeparturesError(
            f"O arquivo encerraria {plan.ending} de {plan.open_bonds} vínculos, e o limite é {plan.usual_departures}. "
            f"Confira se o arquivo está completo. Se estiver, use --allow-departures {plan.ending}."
        )


def apply(plan: Plan, *, allow_departures: int = 0, progress: Progress = nobody) -> None:
    """Write the plan, all of it or nothing. New people get no password; nobody's password or rights are touched.

    Raises TooManyDeparturesError; DirectoryBusyError while another import is being applied; DirectoryChangedError if
    what is to be done is no longer what the plan says. ``progress`` is called after each batch, in the transaction,
    with the number of people written so far; what it raises undoes everything.
    """
    check_departures(plan, allowed=allow_departures)
    try:
        with transaction.atomic():
            _take_turn()
            if _compared(plan.reading, writing=True, progress=progress) != plan:
                raise DirectoryChangedError(CHANGED)
            effects.tell(plan.moved)
            effects.let_all_in()
    except IntegrityError as error:
        raise DirectoryChangedError(CHANGED) from error
    except OperationalError as error:
        if connection.vendor == "sqlite" and "locked" in str(error):
            raise DirectoryBusyError(BUSY) from error
        raise


def _take_turn() -> None:
    """On SQLite, the transaction itself is the lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [IMPORT_LOCK])
            if cursor.fetchone() != (True,):
                raise DirectoryBusyError(BUSY)


def _compared(reading: Reading, *, writing: bool, progress: Progress) -> Plan:
    store = reading.store
    made = Plan(
        reading,
        lines=store.count("kept"),
        refused=store.count("refused"),
        repaired=store.count("kept", "cpf_repaired"),
    )
    Comparison(store, made, writing, timezone.localdate(), progress).walk()
    return made


def _spell_units(store: Store) -> None:
    """Every unit of the file. Where its lines spell it differently, the most frequent spelling counts."""

    def most_frequent(columns: str, condition: str) -> str:
        place = "ROW_NUMBER() OVER (PARTITION BY unit_code ORDER BY COUNT(*) DESC, MIN(line))"
        counted = f"SELECT unit_code, {columns}, {place} AS place FROM kept WHERE {condition} GROUP BY 1, {columns}"  # noqa: S608
        return f"SELECT unit_code, {columns} FROM ({counted}) WHERE place = 1"  # noqa: S608 - our columns

    named = most_frequent("unit_name, comarca", "1")
    mailed = most_frequent("unit_email", "unit_email <> ''")
    store.run("DELETE FROM unit")
    store.run(
        "INSERT INTO unit SELECT unit_code, unit_name, comarca, IFNULL(unit_email, '')"  # noqa: S608 - our columns
        f" FROM ({named}) LEFT JOIN ({mailed}) USING (unit_code)"
    )
