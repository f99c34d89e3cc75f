"""A pytest plugin: starts what the tests need and sets the environment before Django's settings are read.

Without further ado: PostgreSQL and Redis of our own on free ports, in a temporary folder. With
``PORTAL_TEST_DATABASE=sqlite`` neither is needed. A given ``DATABASE_URL`` or ``CELERY_BROKER_URL`` is used as it is.
Under pytest-xdist the controlling process starts everything, and each worker gets a Redis database, a mail port and
a web port of its own.

``python -m bnmp_portal.tests.services`` prints the Debian packages that are missing.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SETTINGS = (
    "SECRET_KEY SECRET_KEY_FALLBACKS SECRETS_KEY ALLOWED_HOSTS PORTAL_URL DATABASE_URL CELERY_BROKER_URL BROKER_DIR "
    "EMAIL_URL DEFAULT_FROM_EMAIL INSTITUTIONAL_DOMAINS RECAPTCHA_PUBLIC_KEY RECAPTCHA_PRIVATE_KEY RECAPTCHA_DOMAIN "
    "TRUSTED_PROXIES STAFF_MFA PASSWORD_MIN_LENGTH DEBUG PORTAL_DEMO STATIC_ROOT LOG_LEVEL OUTBOX_SWEEP_SECONDS "
    "RETURN_DAYS SECURITY_EVENT_RETENTION_DAYS WEB_CONCURRENCY WEB_THREADS PORTAL_BIND BOUNCE_ADDRESS BOUNCE_MAILBOX "
    "MONITORING_ADDRESSES LOG_FORMAT MAIL_RETENTION_DAYS CELERY_BROKER_MASTER_NAME BREACHED_PASSWORDS_FILE "
    "SESSION_IDLE_MINUTES SESSION_HOURS DRAFT_DAYS ATTACHMENTS_DIR"
).split()

Popen: TypeAlias = "subprocess.Popen[bytes]"


def free_port() -> int:
    """A port nobody listens on, below the range that the system hands to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def mortal(command: list[str], how: str = "TERM") -> list[str]:
    """The command, ended by the system when the process that started it ends, even by SIGKILL. Linux only."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", how, *command] if setpriv else command


def wait_for(condition: Callable[[], Any], process: Popen, log: Path, seconds: float = 30) -> None:
    """Until the condition holds. Fails, with the end of the log, if the process dies or the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            end = log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{process.args!r} did not become ready (exit code {process.poll()}):\n{end}")
        time.sleep(0.02)


def stop(process: Popen, how: int = signal.SIGTERM, seconds: float = 20) -> None:
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def postgresql_folder() -> Path | None:
    """Where ``initdb`` and ``postgres`` are: Debian's newest version, or the search path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parent.parent.name))
    if debian:
        return debian[-1].parent
    found = shutil.which("postgres")
    return Path(found).parent if found else None


def missing_packages() -> list[str]:
    """Debian's names of what the whole suite needs and this machine has not."""
    return [
        package
        for package, found in (
            ("postgresql", postgresql_folder()),
            ("redis-server", shutil.which("redis-server")),
            ("nginx-light", NGINX),
            ("chromium", CHROMIUM),
        )
        if not found
    ]


class Services:
    """Everything that was started, and the folder it lives in."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="portal-tests-"))
        self.folder.chmod(0o711)  # PostgreSQL's own user must reach its folder
        self.processes: list[tuple[Popen, signal.Signals]] = []

    def start(
        self, command: list[str], *, name: str = "", end_with: signal.Signals = signal.SIGTERM, **options: Any
    ) -> Popen:
        with self.log_of(name or command[0]).open("ab") as log:
            process = subprocess.Popen(
                mortal(command, end_with.name.removeprefix("SIG")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops them in order
                **options,
            )
        self.processes.append((process, end_with))
        return process

    def log_of(self, program: str | Path) -> Path:
        return self.folder / f"{Path(program).name}.log"

    def postgresql(self) -> str:
        """The address of a new, empty cluster that forgets everything when it stops."""
        programs = postgresql_folder()
        if programs is None:
            raise pytest.UsageError("PostgreSQL is missing. Run `make test`, or set PORTAL_TEST_DATABASE=sqlite.")
        home = self.folder / "postgresql"
        home.mkdir(mode=0o700)
        options: dict[str, Any] = {"cwd": home}
        if os.geteuid() == 0:  # it refuses to run as root
            account = pwd.getpwnam("postgres")
            os.chown(home, account.pw_uid, account.pw_gid)
            options.update(user=account.pw_uid, group=account.pw_gid, extra_groups=[])
        initialised = subprocess.run(
            f"{programs}/initdb --username=portal --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync data".split(),
            check=False,
            capture_output=True,
            text=True,
            **options,
        )
        if initialised.returncode:
            raise RuntimeError(f"initdb failed:\n{initialised.stdout}{initialised.stderr}")
        port = free_port()
        tuned = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
        }
        arguments = [argument for name, value in tuned.items() for argument in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(home / "data"), *arguments]
        process = self.start(command, end_with=signal.SIGINT, **options)  # SIGINT: fast shutdown
        state = home / "data/postmaster.pid"
        wait_for(lambda: state.exists() and "ready" in state.read_text(), process, self.log_of(command[0]))
        return f"postgres://portal@127.0.0.1:{port}/portal"

    def redis(self) -> str:
        program = shutil.which("redis-server")
        if program is None:
            raise pytest.UsageError("Redis is missing. Run `make test`, or set PORTAL_TEST_DATABASE=sqlite.")
        port = free_port()
        settings = f"--port {port} --bind 127.0.0.1 --databases 64 --appendonly no --dir {self.folder} --save".split()
        process = self.start([program, *settings, ""])
        wait_for(lambda: listens(port), process, self.log_of(program))
        return f"redis://127.0.0.1:{port}/0"

    def collect_static_files(self) -> Popen:
        """Once for all processes: a page that names a file that is not there must fail in the tests too."""
        unused = {"DATABASE_URL": "sqlite://:memory:", "CELERY_BROKER_URL": "filesystem://"}
        unused |= {"EMAIL_URL": "smtp://127.0.0.1", "PORTAL_URL": "http://127.0.0.1"}
        command = [sys.executable, str(ROOT / "manage.py"), "collectstatic", "--no-input", "--verbosity=0"]
        return self.start(command, cwd=ROOT, env={**os.environ, **unused})

    def end(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it behind
        for process, end_with in reversed(self.processes):
            stop(process, end_with)
        self.processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def set_environment(services: Services) -> None:
    """What all processes of the run share. Nothing of the person's own configuration leaks in."""
    given = {name: os.environ[name] for name in ("DATABASE_URL", "CELERY_BROKER_URL") if os.environ.get(name)}
    for name in SETTINGS:
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
    if os.environ.get("PORTAL_TEST_DATABASE") == "sqlite":
        given = {"DATABASE_URL": f"sqlite:///{services.folder}/portal.sqlite3", "CELERY_BROKER_URL": "filesystem://"}
    os.environ.update(
        PORTAL_TEST_FOLDER=str(services.folder),
        DJANGO_ALLOW_ASYNC_UNSAFE="true",  # Playwright keeps an event loop in the thread of the tests
        SECRET_KEY="secret-key-of-the-tests-and-of-nothing-else-0123456789",
        SECRETS_KEY="secrets-key-of-the-tests-and-of-nothing-else-9876543210",
        ALLOWED_HOSTS="127.0.0.1,localhost",
        STAFF_MFA="off",  # most tests are about something else; those of the second factor turn it on
        DEFAULT_FROM_EMAIL="Sistemas Externos <nao-responda@tjms.jus.br>",
        STATIC_ROOT=str(services.folder / "static"),
    )
    static_files = services.collect_static_files()
    os.environ["DATABASE_URL"] = given.get("DATABASE_URL") or services.postgresql()
    os.environ["CELERY_BROKER_URL"] = given.get("CELERY_BROKER_URL") or services.redis()
    set_own_environment(0)
    if static_files.wait():
        raise RuntimeError(f"collectstatic failed:\n{services.log_of(sys.executable).read_text()}")


def set_own_environment(number: int) -> None:
    """What each process of the run has for itself: a message or a mail must reach the test that waits for it."""
    broker = urlsplit(os.environ["CELERY_BROKER_URL"])
    if broker.scheme.startswith("redis"):
        os.environ["CELERY_BROKER_URL"] = broker._replace(path=f"/{number}").geturl()
    else:
        folder = Path(os.environ["PORTAL_TEST_FOLDER"], f"broker-{number}")
        for name in ("queue", "control"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ["BROKER_DIR"] = str(folder)
    attachments = Path(os.environ["PORTAL_TEST_FOLDER"], f"attachments-{number}")
    attachments.mkdir(exist_ok=True)
    os.environ["ATTACHMENTS_DIR"] = str(attachments)
    os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{free_port()}"
    os.environ["PORTAL_URL"] = f"http://127.0.0.1:{free_port()}"


def stop_like_ctrl_c(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Around pytest-django's own, which reads the settings."""
    asked = early_config.known_args_namespace
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        set_own_environment(int(worker.removeprefix("gw")) + 1)
    elif not (asked.help or asked.version):
        services = Services()
        early_config.add_cleanup(services.end)
        signal.signal(signal.SIGTERM, stop_like_ctrl_c)
        try:
            set_environment(services)
        except BaseException:
            services.end()
            raise
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    if settings.configured:
        if config.getoption("cov_source", None):
            for template_engine in settings.TEMPLATES:
                template_engine["OPTIONS"]["debug"] = True  # the coverage of templates needs it
        database = settings.DATABASES["default"]
        if database["ENGINE"].endswith("sqlite3"):
            # A file: a database in memory has neither WAL nor waiting for locks.
            database.setdefault("TEST", {})["NAME"] = str(Path(os.environ["PORTAL_TEST_FOLDER"], "test.sqlite3"))


if __name__ == "__main__":
    print(*missing_packages())  # noqa: T201 - for the Makefile
