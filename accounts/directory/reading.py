"""The HR file as HR systems write it: bytes in, checked rows out. Nothing here asks the database."""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from accounts import names

from .errors import DirectoryFileError
from .rows import LABELS, Reason, Refused, Row, check, refuse

MAX_BYTES = 200 * 1024 * 1024
SEPARATORS = (";", ",", "\t")
MANDATORY = ("matricula", "name", "cpf", "cargo", "unit_code", "unit_name", "started_on")
#: Other headers for the same column, folded.
ALIASES = {
    "nome civil": "name",
    "nome completo": "name",
    "email": "email",
    "codigo lotacao": "unit_code",
    "codigo da lotacao": "unit_code",
    "data inicio": "started_on",
    "data de inicio": "started_on",
    "data fim": "ended_on",
    "data de fim": "ended_on",
}
COLUMNS = {names.fold(label): column for column, label in LABELS.items()} | ALIASES
SPREADSHEETS = (b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0", b"\x1f\x8b")
EMPTY = "O arquivo está vazio."
AS_CSV = "Na planilha, use Salvar como e escolha CSV UTF-8."


@dataclass
class Reading:
    """What the file says."""

    encoding: str
    separator: str
    #: Headers that nobody here knows, as written.
    unknown_columns: list[str]
    rows: list[Row] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    #: Lines that say word for word what an earlier one said.
    repeated: list[int] = field(default_factory=list)


def read(content: bytes, *, encoding: str | None = None) -> Reading:
    """Every line of the file, checked. Without ``encoding``: UTF-8, with or without BOM, else Windows-1252.

    Lines are numbered as a text editor does, the header being line 1. Raises DirectoryFileError, with a sentence for
    the person who sent the file, if it cannot be used as a whole.
    """
    text, encoding = decode(content, encoding)
    separator = separator_of(text, COLUMNS)
    lines = records(text, separator)
    _line, header = next(lines, (0, []))
    if not header:
        raise DirectoryFileError(EMPTY)
    folded = [names.fold(cell) for cell in header]
    places = _places(folded)
    unknown = [cell.strip() for cell in header if names.fold(cell) not in {"", *COLUMNS}]
    reading = Reading(encoding, separator, unknown)
    checked: list[Row] = []
    for line, cells in lines:
        if [names.fold(cell) for cell in cells] == folded:
            continue
        by_column = {column: cells[place] if place < len(cells) else "" for column, place in places.items()}
        outcome = check(line, by_column)
        # A blank cell too many may be a separator at the end of each line; or all cells after an odd one are shifted.
        if len(cells) > len(header) and (isinstance(outcome, Refused) or any(map(str.strip, cells[len(header) :]))):
            sentence = f"há {len(cells)} células, mas o cabeçalho tem {len(header)} colunas."
            outcome = refuse(line, by_column, Reason.CELLS_TOO_MANY, sentence)
        if isinstance(outcome, Row):
            checked.append(outcome)
        else:
            reading.refused.append(outcome)
    _compare(checked, reading)
    reading.refused.sort(key=lambda refused: refused.line)
    if not reading.rows and not reading.refused:
        raise DirectoryFileError("O arquivo só tem o cabeçalho. Não há nenhuma pessoa nele.")
    return reading


def decode(content: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of a CSV file and the name of its encoding. Raises DirectoryFileError."""
    if len(content) > MAX_BYTES:
        raise DirectoryFileError(f"O arquivo passa de {MAX_BYTES // 1024 // 1024} MB. Confira se é o arquivo certo.")
    if not content.strip():
        raise DirectoryFileError(EMPTY)
    if content.startswith(SPREADSHEETS):
        raise DirectoryFileError(f"O arquivo é uma planilha do Excel ou um arquivo compactado, e não um CSV. {AS_CSV}")
    if b"\0" in content:
        raise DirectoryFileError(f"O arquivo não é um texto que se possa ler: tem bytes nulos. {AS_CSV}")
    try:
        text = content.decode(encoding or "utf-8")
    except LookupError:
        raise DirectoryFileError(f"A codificação {encoding!r} não existe. Use utf-8 ou windows-1252.") from None
    except ValueError:
        if encoding or _is_damaged_utf8(content):
            raise DirectoryFileError(f"O arquivo tem bytes que não são de {encoding or 'UTF-8'}. {AS_CSV}") from None
        return decode(content, "cp1252")
    return text.removeprefix("\ufeff"), codecs.lookup(encoding or "utf-8").name


def _is_damaged_utf8(content: bytes) -> bool:
    """Whether more of it is UTF-8 than is not. Read as Windows-1252, it would turn every ``É`` into ``Ã‰``."""
    others = [char for char in content.decode("utf-8", "replace") if not char.isascii()]
    return others.count("\ufffd") * 2 < len(others)


def separator_of(text: str, columns: Mapping[str, str]) -> str:
    """The one with which most columns of the header are known; ``columns`` has them folded."""

    def known(separator: str) -> int:
        # Not the checked reader: a quote that is never closed is reported later, with its line.
        for cells in csv.reader(io.StringIO(text[:20_000], newline=""), delimiter=separator):
            if any(cell.strip() for cell in cells):
                return sum(names.fold(cell) in columns for cell in cells)
        return 0

    return max(SEPARATORS, key=known)


def records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each record that is not blank. Raises DirectoryFileError."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    first = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield first, cells
            first = reader.line_num + 1
    except csv.Error:
        raise DirectoryFileError(
            f"A partir da linha {first}, há aspas que não abrem ou não fecham. Corrija o arquivo."
        ) from None


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


def _compare(checked: list[Row], reading: Reading) -> None:
    """Keep the rows that no other line contradicts."""
    seen: set[Row] = set()
    once: list[Row] = []
    for row in checked:
        if row in seen:
            reading.repeated.append(row.line)
        else:
            seen.add(row)
            once.append(row)
    rules: tuple[tuple[Callable[[Row], str], Callable[[Row], Hashable], Reason, str], ...] = (
        (
            lambda row: row.matricula,
            lambda row: row.cpf,
            Reason.MATRICULA_TWO_PEOPLE,
            "a mesma matrícula aparece com CPFs diferentes.",
        ),
        (
            lambda row: row.matricula,
            lambda row: row,
            Reason.MATRICULA_TWO_LINES,
            "a mesma matrícula aparece em linhas que não dizem o mesmo.",
        ),
        (
            lambda row: row.cpf,
            lambda row: names.fold(row.name),
            Reason.CPF_TWO_NAMES,
            "o mesmo CPF aparece com nomes diferentes.",
        ),
        (
            lambda row: row.email,
            lambda row: row.cpf,
            Reason.EMAIL,
            "o mesmo e-mail aparece para pessoas diferentes. Informe o e-mail da própria pessoa.",
        ),
    )
    contradicted: dict[int, tuple[Reason, str]] = {}
    for shared, told_apart, reason, sentence in rules:
        said: dict[str, set[Hashable]] = defaultdict(set)
        for row in once:
            said[shared(row)].add(told_apart(row))
        for row in once:
            if shared(row) and len(said[shared(row)]) > 1:
                contradicted.setdefault(row.line, (reason, sentence))
    for row in once:
        if row.line in contradicted:
            reason, sentence = contradicted[row.line]
            reading.refused.append(Refused(row.line, reason, sentence, row.matricula, row.cpf, names.fold(row.name)))
        else:
            reading.rows.append(row)
