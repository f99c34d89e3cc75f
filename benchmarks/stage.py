"""The portal's real processes in their production configuration, on a database and a mail server of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from bnmp_portal.tests import services

HOST = "portal.example"
SMTP_STATES = ("up", "slow", "down")
HANDLERS = {"up": "benchmarks.smtp.Prompt", "slow": "benchmarks.smtp.Slow"}
TICKS = os.sysconf("SC_CLK_TCK")


class Stage(services.Services):
    """Everything lands in one folder, and is gone after ``end``. ``database``: ``sqlite`` or ``postgresql``."""

    def __init__(self, database: str, port: int) -> None:
        super().__init__()
        self.database = database
        self.address = f"127.0.0.1:{port}"
        self.mail_port = services.free_port()
        self.mail_server: services.Popen | None = None
        self.portal: list[services.Popen] = []

    def prepare(self) -> None:
        """Set this process's environment, which the others inherit, and make an empty database."""
        for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
            os.environ.pop(name, None)  # never somebody's own
        if self.database == "sqlite":
            os.environ["PORTAL_TEST_DATABASE"] = "sqlite"
        else:
            os.environ.pop("PORTAL_TEST_DATABASE", None)
        services.set_environment(self)
        del os.environ["STAFF_MFA"]  # as in production
        os.environ.update(
            DJANGO_SETTINGS_MODULE="bnmp_portal.settings",
            PORTAL_URL=f"https://{HOST}",
            ALLOWED_HOSTS=HOST,
            TRUSTED_PROXIES="127.0.0.1",
            EMAIL_URL=f"smtp://127.0.0.1:{self.mail_port}",
        )
        if self.database == "postgresql":
            self.create_database()
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=services.ROOT, check=True)

    def create_database(self) -> None:
        programs = services.postgresql_folder()
        assert programs is not None  # noqa: S101 - the server runs
        server = urlsplit(os.environ["DATABASE_URL"])._replace(scheme="postgresql", path="/postgres").geturl()
        subprocess.run([programs / "createdb", f"--maintenance-db={server}", "portal"], check=True)  # noqa: S603 - our own

    def start_portal(self) -> None:
        """Web server and worker, as the units in ``deploy/`` start them."""
        port = int(self.address.partition(":")[2])
        web = self.start_module("web", "gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", self.address)
        services.wait_for(lambda: services.listens(port), web, self.log_of("web"), 60)
        worker = self.start_module("worker", *"celery -A bnmp_portal worker --loglevel INFO".split())
        services.wait_for(lambda: " ready." in self.log_of("worker").read_text(), worker, self.log_of("worker"), 60)
        self.portal = [web, worker]

    def set_mail_server(self, state: str) -> None:
        """``up``, ``slow`` (two seconds before it answers) or ``down`` (nobody listens)."""
        if self.mail_server is not None:
            services.stop(self.mail_server)
            self.mail_server = None
        if state == "down":
            return
        arguments = ["aiosmtpd", "-n", "-l", f"127.0.0.1:{self.mail_port}", "-c", HANDLERS[state]]
        self.mail_server = self.start_module(f"smtp-{state}", *arguments)
        log = self.log_of(f"smtp-{state}")
        services.wait_for(lambda: services.listens(self.mail_port), self.mail_server, log)

    def start_module(self, name: str, *module_and_arguments: str) -> services.Popen:
        return self.start([sys.executable, "-m", *module_and_arguments], name=name, cwd=services.ROOT)

    def check_alive(self) -> None:
        """Raises RuntimeError where a process of the portal ended by itself."""
        for process in self.portal:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}")


def cpu_seconds() -> tuple[float, float]:
    """CPU time that the whole machine has used so far, and how much of it this process and its descendants did."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    parents, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[pid], used[pid] = int(rest[1]), sum(int(field) for field in rest[11:15])
    ours = [pid for pid in parents if _descends(pid, os.getpid(), parents)]
    return (sum(fields) - idle) / TICKS, sum(used[pid] for pid in ours) / TICKS


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor
