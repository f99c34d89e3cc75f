"""The portal as production runs it, on servers of its own, each of which can be killed and started again as it was."""

from __future__ import annotations

import email
import email.policy
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg2
import redis

from bnmp_portal.tests import services

ON_SQLITE = os.environ.get("PORTAL_TEST_DATABASE") == "sqlite"
#: On SQLite as ``make run`` starts them.
WORKERS = ["worker-1"] if ON_SQLITE else ["worker-1", "worker-2"]
QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"] if ON_SQLITE else []
#: A moment that has passed, as both databases read it.
PAST = "2000-01-01 00:00:00"
#: Seconds for the mails that are left when people are done.
PATIENCE = 300
#: Seconds without any change after which nobody can be at work on a mail any more.
STILL = 3

Row = tuple[Any, ...]


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Wait for it. Fails if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Database:
    """Read past the portal: what the drill knows of its rows is no opinion of the portal's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.path = Path(urlsplit(url).path) if url.startswith("sqlite") else None

    def connect(self) -> Any:
        return sqlite3.connect(self.path, timeout=20) if self.path else psycopg2.connect(self.url)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """What the statement gives, nothing if it only changes; committed."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql.replace("%s", "?") if self.path else sql, values)
            found = cursor.fetchall() if cursor.description else []
            connection.commit()
        return found

    def number(self, sql: str) -> int:
        return int(self.rows(sql)[0][0])

    def answers(self) -> bool:
        try:
            return bool(self.rows("SELECT 1"))
        except psycopg2.OperationalError:
            return False


class Servers(services.Services):
    """Those of the tests, but each can be killed, and started again as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.recipes: dict[str, tuple[list[str], dict[str, Any]]] = {}
        self.running: dict[str, services.Popen] = {}

    def start(self, command: list[str], *, name: str = "", **options: Any) -> services.Popen:
        name = name or Path(command[0]).name
        self.recipes[name] = command, options
        self.running[name] = super().start(command, name=name, **options)
        return self.running[name]

    def again(self, *names: str) -> None:
        for name in names:
            command, options = self.recipes[name]
            self.start(command, name=name, **options)

    def send(self, how: signal.Signals, *names: str) -> None:
        for name in names:
            self.running[name].send_signal(how)

    def end_some(self, *names: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End these, all at once; they are gone when this returns."""
        self.send(how, *names)
        for name in names:
            self.running[name].wait(60)

    def log(self, name: str) -> str:
        return self.log_of(name).read_text(errors="replace")

    def end(self) -> None:
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        try:
            for process in self.running.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
            super().end()
        finally:
            signal.signal(signal.SIGINT, on_ctrl_c)


def environment(**own: str) -> dict[str, str]:
    """That of the tests, without what measures and runs them."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_", "PYTEST_"))
    }
    return {**inherited, "PYTHONUNBUFFERED": "1", **own}


@dataclass(frozen=True)
class World:
    """A database server, and in it a database with everybody who takes part, to be copied for each fault."""

    servers: Servers
    url: str
    approvals: int
    resets: int

    @classmethod
    def make(cls, approvals: int, resets: int) -> World:
        """The caller ends its servers."""
        servers = Servers()
        try:
            if ON_SQLITE:
                url = f"sqlite:///{servers.folder}/everybody.sqlite3"
            else:
                url = servers.postgresql()
                server = urlsplit(url)._replace(path="/postgres").geturl()
                with closing(psycopg2.connect(server)) as connection, closing(connection.cursor()) as cursor:
                    connection.autocommit = True
                    # The tests' server may forget the last commits when it is killed; this one must not.
                    cursor.execute("ALTER ROLE portal SET synchronous_commit = on")
                    cursor.execute("CREATE DATABASE portal")
            for command in (
                ["manage.py", "migrate", "--verbosity=0"],
                ["-m", "bnmp_portal.tests.drill.people", str(approvals), str(resets)],
            ):
                subprocess.run(
                    [sys.executable, *command], cwd=services.ROOT, env=environment(DATABASE_URL=url), check=True
                )
        except BaseException:
            servers.end()
            raise
        return cls(servers, url, approvals, resets)

    def copy(self, name: str) -> Database:
        if ON_SQLITE:
            path = self.servers.folder / f"{name}.sqlite3"
            shutil.copy(urlsplit(self.url).path, path)
            return Database(f"sqlite:///{path}")
        server = urlsplit(self.url)._replace(path="/postgres").geturl()
        with closing(psycopg2.connect(server)) as connection, closing(connection.cursor()) as cursor:
            connection.autocommit = True
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE portal')
        return Database(urlsplit(self.url)._replace(path=f"/{name}").geturl())


@dataclass(frozen=True)
class Mail:
    """One mail as the mail server took it."""

    to: str
    message: EmailMessage

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])

    @property
    def uuid(self) -> UUID:
        """Of the row that owed it."""
        return UUID(self.message_id[1:].partition("@")[0])

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")


class Portal:
    """Web server, workers, broker and mail server, all in one folder that goes when they end."""

    def __init__(self, world: World, name: str, *, unknown: str = "", deadly: bool = False) -> None:
        """``unknown``: a mailbox that does not exist. ``deadly``: web processes can be killed after a commit."""
        self.world = world
        self.servers = Servers()
        self.database = world.copy(name)
        self.unknown = unknown
        self.folder = self.servers.folder / "drill"
        self.kills = self.folder / "kills"
        self.kills.mkdir(parents=True)
        self.address = f"127.0.0.1:{services.free_port()}"
        self.deadly = deadly

    def start(self) -> None:
        mail_port = services.free_port()
        self.broker = "filesystem://" if ON_SQLITE else self.servers.redis()
        own = environment(
            DATABASE_URL=self.database.url,
            CELERY_BROKER_URL=self.broker,
            BROKER_DIR=str(self.broker_folder()),
            EMAIL_URL=f"smtp://127.0.0.1:{mail_port}",
            PORTAL_URL=f"http://{self.address}",
            TRUSTED_PROXIES="127.0.0.1",
            WEB_CONCURRENCY="2",
            OUTBOX_SWEEP_SECONDS="1",
            DRILL_KILLS=str(self.kills),
        )
        application = ["bnmp_portal.tests.drill.wsgi:application"] if self.deadly else []
        commands = {
            "smtp": ["bnmp_portal.tests.drill.smtp", str(mail_port), str(self.folder), self.unknown],
            "web": ["gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", self.address, *application],
        }
        for name in WORKERS:
            worker = f"celery -A bnmp_portal worker --loglevel INFO --hostname {name}@%h".split()
            commands[name] = [*worker, *QUIET]
        for name, command in commands.items():
            self.servers.start([sys.executable, "-m", *command], name=name, cwd=services.ROOT, env=own)
        web_port = int(self.address.partition(":")[2])
        self.wait_for("smtp", lambda: services.listens(mail_port))
        self.wait_for("web", lambda: services.listens(web_port))
        self.wait_for_workers(1)

    def wait_for_workers(self, start: int) -> None:
        """``start``: the how manieth time they were started."""
        for name in WORKERS:
            self.wait_for(name, lambda name=name: self.servers.log(name).count(" ready.") >= start)

    def wait_for(self, name: str, condition: Callable[[], bool]) -> None:
        services.wait_for(condition, self.servers.running[name], self.servers.log_of(name), 60)

    def broker_folder(self) -> Path:
        folder = self.folder / "broker"
        for name in ("queue", "control"):
            (folder / name).mkdir(parents=True)
        return folder

    def mails(self) -> list[Mail]:
        """All that the mail server took, in that order."""
        lines = [json.loads(line) for line in (self.folder / "mails").read_text().splitlines()]
        contents = [line["content"].encode("utf-8", "surrogateescape") for line in lines]
        return [
            Mail(line["to"][0], email.message_from_bytes(content, policy=email.policy.default))
            for line, content in zip(lines, contents, strict=True)
        ]

    def mails_taken(self) -> int:
        """Bytes, which is enough to see that there are more."""
        return (self.folder / "mails").stat().st_size

    # --- What is on its way ------------------------------------------------------------------------------------------
    def in_flight(self) -> int:
        return self.database.number("SELECT count(*) FROM accounts_outgoingmail WHERE status = 'PENDING'")

    def put_off(self) -> int:
        """Mails that wait for a later try."""
        waiting = "SELECT count(*) FROM accounts_outgoingmail WHERE status = 'PENDING' AND error <> ''"
        return self.database.number(waiting)

    def gone(self) -> list[str]:
        """Processes that ended by themselves."""
        return [name for name, process in self.servers.running.items() if process.poll() is not None]

    def troubles(self) -> str:
        """What the workers warned of."""
        lines = [line for name in WORKERS for line in self.servers.log(name).splitlines()]
        return "\n".join(line for line in lines if "WARNING" in line or "ERROR" in line)

    def unheard_bells(self) -> int:
        with closing(redis.from_url(self.broker)) as broker:
            return int(broker.llen("portal"))

    def deliver_the_rest(self, *, orphans: bool) -> None:
        """Until nothing is on its way any more. ``orphans``: a living worker may have lost sight of its mail."""
        deadline = time.monotonic() + PATIENCE
        before: list[Row] = []
        still_since = time.monotonic()
        while left := self.left():
            assert time.monotonic() < deadline, f"still on their way after {PATIENCE} s: {left}\n{self.troubles()}"
            self.hurry()
            if left != before:
                before, still_since = left, time.monotonic()
            if orphans and time.monotonic() - still_since > STILL and all(lease is not None for _number, lease in left):
                self.renew_workers()
                still_since = time.monotonic()
            time.sleep(0.2)

    def renew_workers(self) -> None:
        """Tell them to stop: they finish what they hold, so what is still leased then is in nobody's hands."""
        starts = self.servers.log(WORKERS[0]).count(" ready.")
        self.servers.end_some(*WORKERS, how=signal.SIGTERM)
        self.end_leases_of_the_dead()
        self.servers.again(*WORKERS)
        self.wait_for_workers(starts + 1)

    def left(self) -> list[Row]:
        """Mails and their leases, and what people typed that nobody has looked at."""
        return [
            *self.database.rows("SELECT uuid, lease_token FROM accounts_outgoingmail WHERE status = 'PENDING'"),
            *self.database.rows("SELECT id, NULL FROM accounts_passwordresetrequest"),
        ]

    # --- Waits of the product that the drill does not wait out -------------------------------------------------------
    def hurry(self) -> None:
        """Mail that waits for a later try, after a refusal or an absence, is tried at once; nobody holds it."""
        self.database.rows(
            "UPDATE accounts_outgoingmail SET next_at = %s"
            " WHERE status = 'PENDING' AND lease_token IS NULL AND error <> ''",
            [PAST],
        )

    def end_leases_of_the_dead(self) -> None:
        """What workers held that are certainly gone. Only while none is alive: a living one may hold any other."""
        assert all(self.servers.running[name].poll() is not None for name in WORKERS)
        self.database.rows(
            "UPDATE accounts_outgoingmail SET lease_until = %s WHERE status = 'PENDING' AND lease_token IS NOT NULL",
            [PAST],
        )
