"""The HR file as HR systems write it: a stream in, checked lines in a store out. Nothing here asks the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import BinaryIO, Self

from accounts import names

from .errors import DirectoryFileError
from .progress import Progress, nobody
from .rows import LABELS, Reason, Refused, Row, check, refuse
from .store import BATCH, Store
from .text import EMPTY, beginning, open_text, records, separator_of

MANDATORY = ("matricula", "name", "cpf", "cargo", "unit_code", "unit_name", "started_on")
#: Other headers for the same column, folded.
ALIASES = {
    "nome civil": "name",
    "nome completo": "name",
    "email": "email",
    "codigo lotacao": "unit_code",
    "codigo da lotacao": "unit_code",
    "email da lotacao": "unit_email",
    "e mail lotacao": "unit_email",
    "email lotacao": "unit_email",
    "data inicio": "started_on",
    "data de inicio": "started_on",
    "data fim": "ended_on",
    "data de fim": "ended_on",
}
COLUMNS = {names.fold(label): column for column, label in LABELS.items()} | ALIASES
#: Lines that contradict each other are refused, all of them: lines with one of these in common -> what must not differ.
CONTRADICTIONS = (
    ("matricula", "cpf", Reason.MATRICULA_TWO_PEOPLE, "a mesma matrícula aparece com CPFs diferentes."),
    (
        "matricula",
        "said",
        Reason.MATRICULA_TWO_LINES,
        "a mesma matrícula aparece em linhas que não dizem o mesmo.",
    ),
    ("cpf", "folded_name", Reason.CPF_TWO_NAMES, "o mesmo CPF aparece com nomes diferentes."),
    (
        "email",
        "cpf",
        Reason.EMAIL,
        "o mesmo e-mail aparece para pessoas diferentes. Informe o e-mail da própria pessoa.",
    ),
)


@dataclass
class Reading:
    """What the file says. The lines are in ``store``, which is to be closed: use it as a context."""

    encoding: str
    separator: str
    #: Headers that nobody here knows, as written.
    unknown_columns: list[str]
    store: Store = field(repr=False, compare=False)
    #: How many lines say word for word what an earlier one said.
    repeated: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()


def read(
    stream: BinaryIO, *, encoding: str | None = None, separator: str | None = None, progress: Progress = nobody
) -> Reading:
    """Every line of the file, checked.

    Without ``encoding``: UTF-16 with its mark, UTF-8 with or without one, else Windows-1252. Without ``separator``: the
    one with which most columns are known.

    Lines are numbered as a text editor does, the header being line 1. ``progress`` is called after each batch, with the
    number of lines read so far. Raises DirectoryFileError, with a sentence for the person who sent the file, if it
    cannot be used as a whole.
    """
    text, encoding = open_text(stream, encoding)
    with _closed_on_error(Store()) as store:
        reading = Reading(encoding, separator or separator_of(beginning(text), COLUMNS), [], store)
        _read(records(text, reading.separator), reading, progress)
    text.detach()  # the stream is the caller's
    return reading


def _read(lines: Iterator[tuple[int, list[str]]], reading: Reading, progress: Progress) -> None:
    _line, header = next(lines, (0, []))
    if not header:
        raise DirectoryFileError(EMPTY)
    places = _places([names.fold(cell) for cell in header])
    reading.unknown_columns = [cell.strip() for cell in header if names.fold(cell) not in {"", *COLUMNS}]
    outcomes = _outcomes(lines, header, places)
    done = 0
    while batch := list(islice(outcomes, BATCH)):
        reading.store.keep(outcome for outcome in batch if isinstance(outcome, Row))
        reading.store.add_refused(outcome for outcome in batch if isinstance(outcome, Refused))
        done += len(batch)
        progress(done)
    reading.store.index()
    if not reading.store.count("kept") and not reading.store.count("refused"):
        raise DirectoryFileError("O arquivo só tem o cabeçalho. Não há nenhuma pessoa nele.")
    _compare(reading)


def _outcomes(
    lines: Iterator[tuple[int, list[str]]], header: list[str], places: dict[str, int]
) -> Iterator[Row | Refused]:
    folded = [names.fold(cell) for cell in header]
    for line, cells in lines:
        # A header that comes again, as where two files were joined.
        if names.fold(cells[0]) == folded[0] and [names.fold(cell) for cell in cells] == folded:
            continue
        by_column = {column: cells[place] if place < len(cells) else "" for column, place in places.items()}
        outcome = check(line, by_column)
        # A blank cell too many may be a separator at the end of each line; or all cells after an odd one are shifted.
        if len(cells) > len(header) and (isinstance(outcome, Refused) or any(map(str.strip, cells[len(header) :]))):
            sentence = f"há {len(cells)} células, mas o cabeçalho tem {len(header)} colunas."
            outcome = refuse(line, by_column, Reason.CELLS_TOO_MANY, sentence)
        yield outcome


def _places(folded: list[str]) -> dict[str, int]:
    """Column -> place in the line, past its end where the file does not have the column."""
    columns = [COLUMNS.get(cell) for cell in folded]
    if missing := [LABELS[column] for column in MANDATORY if column not in columns]:
        raise DirectoryFileError(
            f"Faltam colunas no cabeçalho do arquivo: {', '.join(missing)}. A primeira linha deve dar os nomes delas."
        )
    if twice := sorted({LABELS[column] for column in columns if column and columns.count(column) > 1}):
        raise DirectoryFileError(f"Há colunas repetidas no cabeçalho do arquivo: {', '.join(twice)}.")
    return {column: columns.index(column) if column in columns else sys.maxsize for column in LABELS}


def _compare(reading: Reading) -> None:
    """Keep one of the lines that say the same, and those that no other line contradicts."""
    store = reading.store
    # Every statement is put together from names that stand in this module.
    several = "SELECT matricula FROM kept GROUP BY matricula HAVING COUNT(*) > 1"
    numbered = (
        "SELECT line, ROW_NUMBER() OVER (PARTITION BY matricula, said ORDER BY line) AS place"  # noqa: S608
        f" FROM kept WHERE matricula IN ({several})"
    )
    reading.repeated = store.run(f"DELETE FROM kept WHERE line IN (SELECT line FROM ({numbered}) WHERE place > 1)")  # noqa: S608
    # All rules are looked at before any line is taken out; the first that fits is told.
    store.run("CREATE TABLE wrong (line INTEGER PRIMARY KEY, reason, sentence)")
    for shared, told_apart, reason, sentence in CONTRADICTIONS:
        differing = (
            f"SELECT {shared} FROM kept WHERE {shared} <> '' GROUP BY {shared}"  # noqa: S608
            f" HAVING MIN({told_apart}) <> MAX({told_apart})"
        )
        store.run(
            f"INSERT OR IGNORE INTO wrong SELECT line, ?, ? FROM kept WHERE {shared} IN ({differing})",  # noqa: S608
            (reason, sentence),
        )
    store.run(
        "INSERT INTO refused SELECT line, reason, sentence, matricula, cpf, folded_name"
        " FROM kept JOIN wrong USING (line)"
    )
    store.run("DELETE FROM kept WHERE line IN (SELECT line FROM wrong)")


@contextmanager
def _closed_on_error(store: Store) -> Iterator[Store]:
    try:
        yield store
    except BaseException:
        store.close()
        raise
