"""``make run``: the whole portal on this machine, with sample data, until Ctrl-C."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import io
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections, transaction

START_SECONDS = 60
STOP_SECONDS = 20


class Ended(Exception):  # noqa: N818 - not an error: somebody pressed Ctrl-C
    """The portal was told to stop."""


class Command(BaseCommand):
    help = "Inicia o portal de demonstração: servidor web, worker e dados de exemplo. Chamado por `make run`."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", default="8000", help="porta em 127.0.0.1")

    def handle(self, *args: Any, port: str, **options: Any) -> None:
        if not settings.PORTAL_DEMO:
            raise SystemExit("Este comando serve apenas para a demonstração: use make run.")
        logging.disable(logging.WARNING)  # this console is for a person; the processes have their logs
        number = free_port(port)
        settings.PORTAL_URL = os.environ["PORTAL_URL"] = f"http://127.0.0.1:{number}"
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, on_signal)
        # Held, shared, as long as the portal runs; `make clean` wants it alone.
        with (settings.VAR_DIR / "running.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            try:
                self.prepare()
                self.serve(number)
            except Ended:
                self.stdout.write("\nPortal encerrado.")

    def prepare(self) -> None:
        """Tables, static files and sample data: only what is not there yet."""
        call_command("migrate", interactive=False, verbosity=0)
        collect_static_files()
        if not get_user_model().objects.exists():
            self.stdout.write("Criando os dados de exemplo…")
            with transaction.atomic():  # all or nothing: Ctrl-C may come in between
                call_command("load_sample_data", verbosity=0, stdout=io.StringIO())
            self.stdout.flush()
            os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - anew, without the memory that it took
        connections.close_all()

    def serve(self, port: int) -> None:
        commands = {
            "web": ["gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}"],
            "worker": [
                *("celery", "-A", "bnmp_portal", "worker", "--loglevel", "INFO", "--hostname", f"portal-{port}@%h"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
        }
        with running(commands) as processes:
            deadline = time.monotonic() + START_SECONDS
            while not is_ready(port):
                check(processes)
                if time.monotonic() > deadline:
                    raise SystemExit(f"O portal não respondeu em {START_SECONDS} segundos. Veja {log_of('web')}.")
                time.sleep(0.1)
            self.welcome()
            while True:
                check(processes)
                time.sleep(0.5)

    def welcome(self) -> None:
        from .load_sample_data import DEMO_ACCOUNTS

        width = max(len(password) for _cpf, password, _who in DEMO_ACCOUNTS)
        accounts = [f"    {cpf}   {password:<{width}}   {who}" for cpf, password, who in DEMO_ACCOUNTS]
        lines = [
            "",
            f"  O portal está em {settings.PORTAL_URL}",
            "",
            "  Entre com o CPF e a senha de uma destas pessoas, todas inventadas:",
            "",
            *accounts,
            "",
            f"  E-mails enviados: {settings.PORTAL_URL}/demo/emails/",
            f"  Registros: {log_of('web').parent}",
            "",
            "  Ctrl-C encerra.",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def on_signal(_number: int, _frame: object) -> NoReturn:
    raise Ended


def free_port(port: str) -> int:
    """The port as a number. Ends the command, in one sentence, if it cannot be had."""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise SystemExit(f"A porta deve ser um número de 1 a 65535, e não {port!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: old connections do not count
        try:
            probe.bind(("127.0.0.1", int(port)))
        except PermissionError:
            raise SystemExit(f"A porta {port} exige privilégios. Escolha outra: make run PORT=9000") from None
        except OSError:
            other = 9000 if int(port) != 9000 else 9001  # noqa: PLR2004
            raise SystemExit(f"A porta {port} já está em uso. Escolha outra: make run PORT={other}") from None
    return int(port)


def collect_static_files() -> None:
    """Collect and compress them, some seconds' work, if any is new or changed."""
    seen = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            state = Path(storage.path(path)).stat()
            seen.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    fingerprint = Path(settings.STATIC_ROOT) / ".collected"
    if not (fingerprint.exists() and fingerprint.read_text() == seen.hexdigest()):
        call_command("collectstatic", interactive=False, verbosity=0)
        fingerprint.write_text(seen.hexdigest())


def log_of(name: str) -> Path:
    return Path(settings.VAR_DIR) / "log" / f"{name}.log"


@contextmanager
def running(commands: dict[str, list[str]]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The processes, each with its own log, until the block ends: then they end too."""
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}
    # Where there is setpriv (Linux), the system ends them even if this process is killed.
    setpriv = shutil.which("setpriv")
    prefix = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            with log_of(name).open("ab") as log:
                processes[name] = subprocess.Popen(  # noqa: S603 - our own commands
                    [*prefix, sys.executable, "-m", *command],
                    cwd=settings.BASE_DIR,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C comes to this process alone, which ends them in order
                )
        yield processes
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def check(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """End the command if one of them is gone: half a portal would only confuse."""
    for name, process in processes.items():
        if (code := process.poll()) is not None:
            raise SystemExit(
                f"O processo {name} parou sozinho (código {code}); o portal foi encerrado. Veja {log_of(name)}."
            )


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
