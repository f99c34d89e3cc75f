"""Where the lines of a file wait: on disk, so that memory stays flat however long the file is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, fields
from datetime import date
from hashlib import blake2b
from itertools import groupby
from typing import Any

from .errors import DirectoryFileError
from .rows import Reason, Refused, Row

#: So many lines, people or bonds are in memory at once.
BATCH = 1000
NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
FULL = "Não há lugar no disco do servidor para conferir o arquivo. Avise a equipe de informática."
COLUMNS = tuple(column.name for column in fields(Row))
REPAIRED = COLUMNS.index("cpf_repaired")
#: What two lines that say the same have in common.
SAID = slice(COLUMNS.index("matricula"), None)
SCHEMA = f"""
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; PRAGMA cache_size = -32768;
    CREATE TABLE kept (line INTEGER PRIMARY KEY, {", ".join(COLUMNS[1:])}, said, first);
    CREATE TABLE refused (line INTEGER PRIMARY KEY, reason, sentence, matricula, cpf, name);
    CREATE TABLE doubted (cpf PRIMARY KEY);
    CREATE TABLE held (email, cpf);
    CREATE TABLE shared (email PRIMARY KEY);
    CREATE TABLE corrected (line INTEGER PRIMARY KEY, matricula, cpf, old, holder, accepted DEFAULT 0);
    CREATE INDEX corrected_cpf ON corrected (cpf, holder); CREATE INDEX corrected_holder ON corrected (holder, cpf);
    CREATE TABLE unit (code PRIMARY KEY, name, comarca, email);
"""
INDEXES = """
    CREATE INDEX kept_matricula ON kept (matricula, cpf);
    CREATE INDEX kept_cpf ON kept (cpf, folded_name);
    CREATE INDEX kept_email ON kept (email, cpf) WHERE email <> '';
    CREATE INDEX refused_matricula ON refused (matricula);
    CREATE INDEX refused_cpf ON refused (cpf);
    CREATE INDEX refused_name ON refused (name) WHERE cpf = '';
"""


class Store:
    """The lines of one file in a temporary SQLite database.

    Nobody else can open it, and it is gone when it is closed or the process ends, however that happens.
    """

    def __init__(self) -> None:
        with _told():
            self._connection = sqlite3.connect("", isolation_level=None)  # "": a temporary file without a name
            self._connection.executescript(SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Returns how many rows were changed."""
        with _told(), closing(self._connection.execute(sql, parameters)) as cursor:
            return cursor.rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement for each row; a transaction for all of them, which nobody could roll back."""
        with _told():
            self._connection.execute("BEGIN")
            self._connection.executemany(sql, rows)
            self._connection.execute("COMMIT")

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _told():
            return self._connection.execute(sql, parameters).fetchall()

    def batches(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[list[tuple[Any, ...]]]:
        """What is found, so many at a time. Nothing may be written meanwhile."""
        with _told(), closing(self._connection.execute(sql, parameters)) as cursor:
            while batch := cursor.fetchmany(BATCH):
                yield batch

    def count(self, table: str, condition: str = "1") -> int:
        return int(self.all(f"SELECT COUNT(*) FROM {table} WHERE {condition}")[0][0])  # noqa: S608 - ours alone

    def among(self, column: str, values: Iterable[str], *tables: str, condition: str = "1") -> set[str]:
        """Which of these values (at most a batch) the tables have."""
        wanted = list(values)
        marks = ",".join("?" * len(wanted))
        each = f"SELECT {column} FROM {{}} WHERE {condition} AND {column} IN ({marks})"  # noqa: S608 - ours alone
        sql = " UNION ".join(each.format(table) for table in tables)
        return {value for (value,) in self.all(sql, wanted * len(tables))} if wanted else set()

    # --- Lines -------------------------------------------------------------------------------------------------------
    def keep(self, rows: Iterable[Row]) -> None:
        marks = ",".join("?" * (len(COLUMNS) + 2))
        self.run_many(f"INSERT INTO kept VALUES ({marks})", map(_stored, rows))  # noqa: S608 - marks

    def add_refused(self, lines: Iterable[Refused]) -> None:
        self.run_many("INSERT INTO refused VALUES (?,?,?,?,?,?)", map(astuple, lines))

    def index(self) -> None:
        """Once the file is read."""
        with _told():
            self._connection.executescript(INDEXES)

    def refuse(self, wrong: Iterable[tuple[int, Reason, str]]) -> None:
        """Take out lines that were kept, each with its reason."""
        wrong = list(wrong)
        self.run_many(
            "INSERT OR IGNORE INTO refused SELECT line, ?, ?, matricula, cpf, folded_name FROM kept WHERE line = ?",
            [(reason, sentence, line) for line, reason, sentence in wrong],
        )
        self.run_many("DELETE FROM kept WHERE line = ?", [(line,) for line, _reason, _sentence in wrong])

    def refuse_where(self, condition: str, reason: Reason, sentence: str) -> None:
        """Take out what fulfils the condition, for this reason."""
        self.run(
            "INSERT INTO refused SELECT line, ?, ?, matricula, cpf, folded_name"  # noqa: S608 - conditions are ours
            f" FROM kept WHERE {condition}",
            (reason, sentence),
        )
        self.run("DELETE FROM kept WHERE line IN (SELECT line FROM refused)")

    def rows(self) -> Iterator[Row]:
        """What was kept, in the order of the file."""
        for batch in self.batches(f"SELECT {', '.join(COLUMNS)} FROM kept ORDER BY line"):  # noqa: S608 - our columns
            yield from map(_row, batch)

    def refused(self) -> Iterator[Refused]:
        """What was refused, in the order of the file."""
        for batch in self.batches("SELECT * FROM refused ORDER BY line"):
            for line, reason, *rest in batch:
                yield Refused(line, Reason(reason), *rest)

    def repaired(self) -> Iterator[Row]:
        sql = f"SELECT {', '.join(COLUMNS)} FROM kept WHERE cpf_repaired ORDER BY line"  # noqa: S608 - our columns
        for batch in self.batches(sql):
            yield from map(_row, batch)

    def gather_people(self) -> None:
        """Put the lines of each person together, in the order in which the file first names them.

        Not by CPF: keys are seen by others, and in that order they would tell CPFs.
        """
        several = "SELECT cpf FROM kept GROUP BY cpf HAVING COUNT(*) > 1"
        self.run(
            "UPDATE kept SET first = (SELECT MIN(line) FROM kept AS other WHERE other.cpf = kept.cpf)"  # noqa: S608
            f" WHERE cpf IN ({several})"
        )
        self.run("CREATE INDEX IF NOT EXISTS kept_first ON kept (first, line)")

    def people(self) -> Iterator[list[list[Row]]]:
        """The lines of each person, for as many people as a batch has; after ``gather_people``."""
        lines = (
            row
            for batch in self.batches(f"SELECT {', '.join(COLUMNS)} FROM kept ORDER BY first, line")  # noqa: S608
            for row in map(_row, batch)
        )
        batch: list[list[Row]] = []
        for _cpf, of_one in groupby(lines, key=lambda row: row.cpf):
            batch.append(list(of_one))
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


def _stored(row: Row) -> tuple[Any, ...]:
    values = [getattr(row, column) for column in COLUMNS]
    said = "\0".join(map(str, values[SAID]))
    values[-2] = values[-2].isoformat()
    values[-1] = values[-1] and values[-1].isoformat()
    return (*values, blake2b(said.encode(), digest_size=16).digest(), row.line)


def _row(values: tuple[Any, ...]) -> Row:
    cells = list(values)
    cells[-2] = date.fromisoformat(cells[-2])
    cells[-1] = cells[-1] and date.fromisoformat(cells[-1])
    cells[REPAIRED] = bool(cells[REPAIRED])
    return Row(*cells)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in NO_ROOM:  # without what SQLite adds in the higher bits
            raise DirectoryFileError(FULL) from error
        raise
