"""Fixtures for all tests: a client that looks at what it gets, and the portal's real processes.

The servers they need are started by ``bnmp_portal.tests.services``.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection, connections
from django.http import HttpResponse
from django.template import base as template_base
from django.template import context as template_context
from django.test import Client, TestCase, TransactionTestCase
from whitenoise.base import WhiteNoise

from accounts import history
from bnmp_portal.tests import services

# --- Database -------------------------------------------------------------------------------------------------------
_flush = TransactionTestCase._fixture_teardown
_migrations = "requests_app.migrations."
#: The functions by which migrations fill tables.
SEEDS = (
    import_module(_migrations + "0006_holidays").list_holidays,
    import_module(_migrations + "0007_reason_templates").add_starters,
    import_module(_migrations + "0008_cargos").add_cargos,
)


def _flush_history_too(self: TransactionTestCase) -> None:
    """The one door: emptying a test database. ``flush`` then emits post_migrate, which makes the triggers again.

    What migrations put there is put there again, so that no test depends on which ran before it.
    """
    for alias in self._databases_names(include_mirrors=False):
        history.drop_triggers(connections[alias])
    _flush(self)
    for seed in SEEDS:
        seed(apps, SimpleNamespace(connection=connection))


TransactionTestCase._fixture_teardown = _flush_history_too  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Ends what a thread or a killed process left open, so that the test database can be dropped."""
    yield
    if connection.vendor == "postgresql":
        connection.close()  # the one at hand may have been ended by a test that takes the server away
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def _quick_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id still, but cheap. Real hashes where real processes run, and under the mark ``real_hashing``."""
    if not any(request.node.get_closest_marker(name) for name in ("browser", "real_hashing")):
        for hasher in (Argon2PasswordHasher, *Argon2PasswordHasher.__subclasses__()):
            for name, value in (("memory_cost", 8), ("time_cost", 1), ("parallelism", 1)):
                monkeypatch.setattr(hasher, name, value)


@pytest.fixture
def seeded() -> Iterator[Callable[[], None]]:
    """Set Python's plain generator to where it was before: what comes out alike came from it, and can be foretold."""
    before = random.getstate()
    yield lambda: random.seed(7)
    random.setstate(before)


# --- Pages ----------------------------------------------------------------------------------------------------------
FORBIDDEN_IN_PAGES = {
    "an inline script": re.compile(r"<script(?![^>]*\b(?:src=|type=\"application/json\"))", re.IGNORECASE),
    "an inline style": re.compile(r"<style\b|<[^>]+\sstyle\s*=", re.IGNORECASE),
    "an inline event handler": re.compile(r"<[a-z][^>]*\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    "an unrendered template tag": re.compile(r"\{\{|\{%"),
}


class PortalClient(Client):
    """Runs the callbacks of ``transaction.on_commit`` and fails on a page that its own security policy would break."""

    def request(self, **request: Any) -> HttpResponse:
        with TestCase.captureOnCommitCallbacks(execute=True):
            response = super().request(**request)
        is_page = response.get("Content-Type", "").startswith("text/html") and not response.streaming
        if is_page and not request["PATH_INFO"].startswith("/admin/"):
            page = response.content.decode()
            for what, pattern in FORBIDDEN_IN_PAGES.items():
                if found := pattern.search(page):
                    excerpt = page[max(found.start() - 100, 0) : found.end() + 200]
                    pytest.fail(f"{request['PATH_INFO']} has {what}: …{excerpt}…", pytrace=False)
        return response


@pytest.fixture
def client() -> PortalClient:
    return PortalClient()


@pytest.fixture
def make_client() -> Callable[..., PortalClient]:
    """For tests with several people at once."""
    return PortalClient


_scan = WhiteNoise.update_files_dictionary
_scanned: dict[tuple[str, str], dict[str, Any]] = {}


def _scan_once(self: WhiteNoise, root: str, prefix: str) -> None:
    """Each client loads the middleware, and WhiteNoise would read all static files anew: half of the tests' time."""
    if (root, prefix) not in _scanned:
        _scan(self, root, prefix)
        _scanned[root, prefix] = dict(self.files)
    self.files.update(_scanned[root, prefix])


WhiteNoise.update_files_dictionary = _scan_once

_resolve_lookup = template_base.Variable._resolve_lookup
OWN_TEMPLATES = str(services.ROOT / "templates")
#: They stand in for templates of packages, which lean on undefined variables.
OVERRIDES = tuple(f"{OWN_TEMPLATES}/{folder}/" for folder in ("admin", "django", "django_recaptcha", "altcha_django"))


def _resolve_lookup_or_fail(self: template_base.Variable, context: template_context.Context) -> Any:
    """In our own templates, a variable that is not there is a mistake, in ``{% if %}`` as well."""
    try:
        return _resolve_lookup(self, context)
    except template_base.VariableDoesNotExist:
        rendered = context.render_context.template if isinstance(context, template_context.Context) else None
        origin = str(rendered.origin.name) if rendered else ""
        if origin.startswith(OWN_TEMPLATES) and not origin.startswith(OVERRIDES):
            pytest.fail(f"{self.var!r} is not defined (while rendering {context.template.name})")
        raise


@pytest.fixture(autouse=True)
def _undefined_template_variables_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_base.Variable, "_resolve_lookup", _resolve_lookup_or_fail)


# --- Files ----------------------------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def _no_files_left() -> Iterator[None]:
    """The rows of attachments end with a test, and so do their files."""
    yield
    for path in Path(os.environ["ATTACHMENTS_DIR"]).iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# --- Mail -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Delivery:
    """One mail as the server took it."""

    sender: str
    recipients: list[str]
    message: EmailMessage

    def text(self, kind: str = "plain") -> str:
        """The body, decoded: ``plain`` or ``html``."""
        part = self.message.get_body((kind,))
        assert part is not None, f"the mail has no {kind} part"
        return str(part.get_content())


@dataclass
class SmtpSink:
    """A real SMTP server. ``refuse`` is a reply such as ``"451 later"`` that every mail gets; None takes them.

    While ``open`` is not set, it has taken the mail and keeps the answer to itself.
    """

    port: int
    deliveries: list[Delivery] = field(default_factory=list)
    refuse: str | None = None
    open: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most_at_once: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuse:
            return self.refuse
        message = email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
        self.deliveries.append(Delivery(envelope.mail_from or "", list(envelope.rcpt_tos), message))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.to_thread(self.open.wait, 60)
        finally:  # also when the sender is gone
            self.at_once -= 1
        return "250 OK"

    @property
    def messages(self) -> list[EmailMessage]:
        return [delivery.message for delivery in self.deliveries]

    def to(self, address: str) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if address in delivery.recipients]

    def wait(self, count: int, *, to: str | None = None, seconds: float = 30) -> list[Delivery]:
        """The mails (to one address), as soon as there are ``count``; fails if they do not come."""
        deadline = time.monotonic() + seconds
        while len(found := self.to(to) if to else self.deliveries) < count:
            if time.monotonic() > deadline:
                subjects = [message["Subject"] for message in self.messages]
                pytest.fail(f"{len(found)} mails instead of {count} after {seconds} s: {subjects}")
            time.sleep(0.02)
        return list(found)


@pytest.fixture(scope="session")
def _smtp_server() -> Iterator[SmtpSink]:
    sink = SmtpSink(urlsplit(os.environ["EMAIL_URL"]).port or 0)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, a dozen lines a mail
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port)
    controller.start()
    yield sink
    controller.stop()


@pytest.fixture
def smtp_sink(_smtp_server: SmtpSink, settings: Any) -> SmtpSink:
    """Every mail that the test itself or the portal's processes send goes here, over a real connection."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"  # pytest-django collects them in memory
    _smtp_server.deliveries.clear()
    _smtp_server.refuse = None
    _smtp_server.open.set()
    _smtp_server.most_at_once = 0
    return _smtp_server


# --- The portal's own processes -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class PortalProcess:
    """A process of the portal, as production runs it, on the database of this test."""

    process: services.Popen
    log: Path
    url: str

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        services.stop(self.process)


def process_environment() -> dict[str, str]:
    """The environment of this test's processes: that of the tests, with the test's own database."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database['NAME']}").geturl()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_", "PYTEST_"))},
        "DATABASE_URL": url,
        "OUTBOX_SWEEP_SECONDS": "1",
        "WEB_CONCURRENCY": "1",
        "PYTHONUNBUFFERED": "1",
    }


def start_portal_process(log: Path, *module_and_arguments: str, **environment: str) -> PortalProcess:
    """Run ``python -m …`` on the test's database. The caller stops it."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            services.mortal([sys.executable, "-m", *module_and_arguments]),
            cwd=services.ROOT,
            env={**process_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return PortalProcess(process, log, django_settings.PORTAL_URL)


@pytest.fixture
def worker_process(transactional_db: None, smtp_sink: SmtpSink, tmp_path: Path) -> Iterator[PortalProcess]:
    """A real Celery worker with its sweep, taking what this test puts into the broker."""
    from bnmp_portal.celery import app

    app.control.purge()  # what earlier tests rang
    arguments = "-A bnmp_portal worker --loglevel INFO --without-gossip --without-mingle --without-heartbeat".split()
    worker = start_portal_process(tmp_path / "worker.log", "celery", *arguments)
    try:
        services.wait_for(lambda: " ready." in worker.output, worker.process, worker.log)
        yield worker
    finally:
        worker.stop()


@pytest.fixture
def portal_server(transactional_db: None, tmp_path: Path) -> Iterator[PortalProcess]:
    """The real web server, at ``settings.PORTAL_URL``."""
    port = urlsplit(django_settings.PORTAL_URL).port or 0
    arguments = ("-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}")
    server = start_portal_process(tmp_path / "web.log", "gunicorn", *arguments)
    try:
        services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
        yield server
    finally:
        server.stop()


# --- Browser (pytest-playwright reads these) ------------------------------------------------------------------------
@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    quiet = ["quic", "background-networking", "component-update", "sync"]
    arguments = ["--no-first-run", *(f"--disable-{what}" for what in quiet)]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    return {**browser_type_launch_args, "executable_path": services.CHROMIUM, "args": arguments}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "base_url": django_settings.PORTAL_URL,
        "locale": "pt-BR",
        "timezone_id": django_settings.TIME_ZONE,
    }
