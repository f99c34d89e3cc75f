"""``python -m accounts.tests.import_that_dies STATEMENT BATCH FILE``: an import that kills its own process.

Before this statement, or before the commit where it is 0; in batches of so many rows.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django


def main(statement: int, batch: int, file: str) -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from accounts.directory import comparing, conflicts, reading, store

    for module in (comparing, conflicts, reading, store):
        module.BATCH = batch
    told = 0

    def die(*_arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal told
        told += 1
        if told == statement:
            die()
        return execute(*arguments)

    connection.ensure_connection()
    if not statement:
        connection.commit = die  # type: ignore[method-assign]
    with connection.execute_wrapper(count):
        call_command("import_directory", file)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
