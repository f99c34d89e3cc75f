"""The list of refused and repaired lines, for whoever mends the file: a CSV that a spreadsheet opens."""

from __future__ import annotations

import csv
import heapq
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from accounts import cpf as cpf_rules
from accounts import spreadsheets

from .errors import ReportError
from .store import Store

HEADER = ("LINHA", "MATRÍCULA", "CPF", "SITUAÇÃO", "MOTIVO")
REFUSED, REPAIRED = "recusada", "corrigida"
ZEROS = "o CPF veio sem os zeros do início. Eles foram repostos."


class LineReport:
    """A file beside the one that is wanted, which takes its place when it is written whole.

    Readable by its owner alone. Raises ReportError, with a sentence, at once if it could not be written.
    """

    def __init__(self, path: Path, *, imported: Path) -> None:
        self.path = path
        try:
            if path.exists() and path.samefile(imported):
                raise ReportError("O relatório não pode ter o nome do arquivo que é importado.")
            if path.exists() and not path.is_file():
                raise ReportError(f"O relatório {path} não pode ser gravado: já existe, e não é um arquivo comum.")
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".relatorio-", suffix=".csv")
        except (OSError, ValueError) as error:
            raise self._cannot_be_written(error) from error
        self._draft = Path(name)
        self._stream = os.fdopen(handle, "w", encoding="utf-8-sig", newline="")

    def write(self, store: Store) -> None:
        """Every line that was refused or repaired, in the order of the file."""
        try:
            writer = csv.writer(self._stream, delimiter=";")
            writer.writerow(HEADER)
            for cells in heapq.merge(_refused(store), _repaired(store), key=lambda cells: cells[0]):
                writer.writerow([spreadsheets.harmless(spreadsheets.uncut(str(cell))) for cell in cells])
            self._stream.close()
            self._draft.replace(self.path)
        except OSError as error:
            raise self._cannot_be_written(error) from error

    def discard(self) -> None:
        """Leave nothing half-written behind; what was written whole stays."""
        with suppress(OSError):
            self._stream.close()
        self._draft.unlink(missing_ok=True)

    def _cannot_be_written(self, error: Exception) -> ReportError:
        reason = error.strerror if isinstance(error, OSError) else "o nome não serve para um arquivo"
        return ReportError(f"O relatório {str(self.path)!r} não pode ser gravado: {reason}.")


def _refused(store: Store) -> Iterator[tuple[int, str, str, str, str]]:
    for line in store.refused():
        yield line.line, line.shown_matricula, _masked(line.cpf), REFUSED, line.sentence


def _repaired(store: Store) -> Iterator[tuple[int, str, str, str, str]]:
    for row in store.repaired():
        yield row.line, row.matricula, _masked(row.cpf), REPAIRED, ZEROS


def _masked(cpf: str) -> str:
    return cpf_rules.masked(cpf) if cpf else ""
