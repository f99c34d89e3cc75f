"""An import that is long, killed, or not alone."""

from __future__ import annotations

import gc
import io
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction

from accounts import directory
from accounts.directory import comparing, conflicts, planning, reading, store
from accounts.models import Employment, OutgoingMail, SecurityEvent, Unit, User
from accounts.tests.test_directory import hr_file, import_people, person
from accounts.tests.test_import_command import run
from bnmp_portal.tests import services
from conftest import process_environment

MODELS = (User, Unit, Employment, SecurityEvent, OutgoingMail)
KILLED_AT = 10


def save(tmp_path: Path, *people: dict[str, str]) -> Path:
    file = tmp_path / "servidores.csv"
    file.write_text(hr_file(*people))
    return file


def everything() -> list[list[dict[str, Any]]]:
    return [list(model._default_manager.order_by("pk").values()) for model in MODELS]


# --- Long files ------------------------------------------------------------------------------------------------------
@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    for module in (comparing, conflicts, reading, store):
        monkeypatch.setattr(module, "BATCH", 20)
    return 20


@pytest.mark.django_db
@pytest.mark.parametrize("known", [False, True], ids=["new", "changed"])
def test_no_more_people_and_bonds_are_in_memory_than_a_few_batches_have(
    tmp_path: Path, small_batches: int, known: bool
) -> None:
    """Counted as bonds are written or looked for, over an import of fifteen batches."""
    count = 15 * small_batches
    if known:
        import_people(*[person(number) for number in range(count)])
    people = [person(number, CARGO="Juiz Leigo", TELEFONE="(67) 3314-9999") for number in range(count)]
    file = save(tmp_path, *people)
    counted: list[int] = []

    def count_rows(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if '"accounts_employment"' in sql:
            kinds = [type(one) for one in gc.get_objects()]
            counted.append(sum(map(kinds.count, (directory.Row, User, Employment))))
        return execute(sql, *arguments)

    gc.collect()
    with connection.execute_wrapper(count_rows):
        assert run(file)[0] == 0

    assert Employment.objects.filter(cargo="Juiz Leigo").count() == count
    assert small_batches <= max(counted) < 8 * small_batches


@pytest.mark.django_db
def test_a_batch_costs_the_same_statements_wherever_in_the_file_it_stands(
    small_batches: int, django_assert_max_num_queries: Any
) -> None:
    def statements(batches: int) -> int:
        people = [person(number) for number in range(batches * small_batches)]
        with django_assert_max_num_queries(10_000) as captured:
            import_people(*people)
        return len(captured)

    counts = []
    for batches in (2, 4, 8):
        with transaction.atomic():
            counts.append(statements(batches))
            transaction.set_rollback(True)

    assert (counts[2] - counts[1]) == 2 * (counts[1] - counts[0])


def test_a_line_of_many_megabytes_is_not_read_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "uma-linha.csv"
    with file.open("w") as stream:
        stream.write(hr_file(person(1)))
        for _megabyte in range(30):
            stream.write("x" * 1024 * 1024)

    status, output = run(file)

    assert status == 1
    assert output.startswith("A linha 3 é longa demais.")


@pytest.mark.django_db
def test_how_far_an_import_has_come_is_told_once_a_batch(small_batches: int) -> None:
    content = io.BytesIO(hr_file(*[person(number) for number in range(50)]).encode())
    lines: list[int] = []
    planned: list[int] = []
    written: list[int] = []

    with directory.read(content, progress=lines.append) as reading:
        plan = directory.plan(reading, progress=planned.append)
        directory.apply(plan, progress=written.append)

    assert lines == planned == written == [20, 40, 50]


@pytest.mark.django_db
def test_whoever_is_told_how_far_an_import_has_come_may_stop_it(small_batches: int) -> None:
    with pytest.raises(RuntimeError):
        import_people(*[person(number) for number in range(50)], progress=fail)

    assert not User.objects.exists()
    assert not Unit.objects.exists()


# --- Two at once -----------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_two_imports_at_once_the_second_is_refused_and_can_be_run_again(tmp_path: Path) -> None:
    file = save(tmp_path, person(1), person(2))
    begun, over = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            planning._take_turn()
            begun.set()
            over.wait(60)
        connections.close_all()

    other = threading.Thread(target=first)
    other.start()
    try:
        assert begun.wait(60)
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 50")
        status, output = run(file)
    finally:
        over.set()
        other.join()
        connection.close()

    assert status == 1
    assert output.endswith(
        "Outra importação está em andamento. Espere que ela termine e importe de novo. Nada foi aplicado.\n"
    )
    assert not User.objects.exists()
    assert run(file)[0] == 0


# --- Killed ----------------------------------------------------------------------------------------------------------
def in_a_process_that_dies_at(statement: int, batch: int, file: Path) -> int:
    """Run the import in a process of its own, killed before this statement (0: before the commit).

    Returns its exit status, negative for a signal.
    """
    command = [sys.executable, "-m", "accounts.tests.import_that_dies", str(statement), str(batch), str(file)]
    done = subprocess.run(command, cwd=services.ROOT, env=process_environment(), capture_output=True, check=False)
    end_what_it_left_on_the_server()
    return done.returncode


def end_what_it_left_on_the_server() -> None:
    """PostgreSQL finds out by itself that a client was killed, but when is its own affair: here it is told."""
    if connection.vendor != "postgresql":
        return
    holders = (
        "SELECT pg_terminate_backend(pid, 20000) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database() AND (classid::bigint << 32) + objid::bigint = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(holders, [planning.IMPORT_LOCK])
        assert all(ended for (ended,) in cursor.fetchall())
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [planning.IMPORT_LOCK])
        assert cursor.fetchone() == (True,)


@pytest.mark.django_db(transaction=True)
def test_a_killed_import_leaves_the_directory_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_batches: int
) -> None:
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("A process of its own cannot see a database in memory.")
    import_people(*[person(number) for number in range(60)])
    moved = [person(number, CARGO="Juiz Leigo", **{"E-MAIL": f"outro.{number}@tjms.jus.br"}) for number in range(1, 60)]
    file = save(tmp_path, *moved, *[person(number) for number in range(60, 90)])
    before = everything()
    statements = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    with monkeypatch.context() as patch, connection.execute_wrapper(count):
        patch.setattr("accounts.directory.effects.tell", fail)
        with pytest.raises(RuntimeError):
            run(file)
    assert everything() == before

    # The last tenth has no place of its own: a process may need some statements fewer than this one did.
    for place in [*(statements * tenth // KILLED_AT for tenth in range(1, KILLED_AT)), 0]:
        assert in_a_process_that_dies_at(place, small_batches, file) == -signal.SIGKILL
        assert everything() == before

    assert run(file)[0] == 0
    assert Employment.objects.filter(cargo="Juiz Leigo").count() == 59
    assert Employment.objects.filter(ended_on=None).count() == 89


def fail(*_arguments: object) -> None:
    raise RuntimeError
