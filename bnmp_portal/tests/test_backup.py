"""Backup, restore and upgrade, by the commands of the administrator's manual, while mail is owed."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection

from accounts.models import Heartbeat, MailStatus, OutgoingMail
from accounts.tests.factories import EmploymentFactory
from bnmp_portal.management.commands.load_sample_data import make_catalogue
from conftest import PortalProcess, process_environment, start_portal_process
from requests_app import workflow
from requests_app.attachments import place_of
from requests_app.models import AccessRequest, RequestEvent, Status, UserType
from requests_app.tests.factories import analyst, unsaved_request
from requests_app.tests.files import attached, pdf

from . import services
from .visitor import Visitor

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MANUAL = (services.ROOT / "deploy/README.md").read_text()
PREAMBLE = "cd /srv/portal; set -a; . /etc/portal.env; set +a\n"
PASSWORD = re.compile(r"\b(?:[a-z2-7]{4}-){3}[a-z2-7]{4}\b")


def run_as_the_manual_says(what: str, *, database: str, backup: Path) -> None:
    """Run the commands that stand under ``<!-- try: … -->``; only where they run is ours."""
    (commands,) = re.findall(rf"<!-- try: {what} on {connection.vendor} -->\n```\n(.*?)```", MANUAL, re.DOTALL)
    assert commands.startswith(PREAMBLE)
    commands = commands.removeprefix(PREAMBLE).replace("var/venv/bin/python", sys.executable)
    programs = services.postgresql_folder()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=services.ROOT,
        env=process_environment()
        | {"DATABASE_URL": database, "BACKUP": str(backup), "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"


def execute(database: str, statement: str) -> list[tuple[object, ...]]:
    """One statement on whichever database, past Django."""
    if database.startswith("sqlite"):
        other = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
        cursor = other.execute(statement)
    else:
        other = psycopg2.connect(database)
        other.autocommit = True
        cursor = other.cursor()
        cursor.execute(statement)
    try:
        return cursor.fetchall() if cursor.description else []
    finally:
        other.close()


@pytest.fixture
def empty_database(transactional_db, tmp_path):
    """Where the backup is restored. On PostgreSQL it belongs to a role that is no superuser, as in the manual."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored.sqlite3'}"
        return
    server = os.environ["DATABASE_URL"]
    admin = urlsplit(server)._replace(path="/postgres").geturl()
    execute(admin, "CREATE ROLE restorer LOGIN NOSUPERUSER")
    execute(admin, "CREATE DATABASE restored OWNER restorer")
    yield urlsplit(server)._replace(path="/restored", netloc=f"restorer@127.0.0.1:{urlsplit(server).port}").geturl()
    execute(admin, "DROP DATABASE restored WITH (FORCE)")
    execute(admin, "DROP ROLE restorer")


@pytest.fixture
def approved():
    """Somebody whose login and provisional password are owed, and all that led to it."""
    make_catalogue()
    bond = EmploymentFactory(user__password=make_password(None))
    user_type = UserType.objects.filter(system__name="BNMP 2.0").first()
    request = workflow.file(unsaved_request(bond=bond, user_type=user_type))
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    return bond.user


def send_due(database: str, log: Path) -> None:
    sender = start_portal_process(log, "manage", "send_pending_mail", DATABASE_URL=database)
    assert sender.process.wait(60) == 0, sender.output


def signs_in(database: str, log: Path, cpf: str, password: str) -> bool:
    port = services.free_port()
    server = start_portal_process(
        log, "gunicorn", "-c", "deploy/gunicorn.conf.py", DATABASE_URL=database, PORTAL_BIND=f"127.0.0.1:{port}"
    )
    try:
        services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
        answer = Visitor(f"http://127.0.0.1:{port}").sign_in(cpf, password)
        return answer.status == 302
    finally:
        server.stop()


def test_a_backup_brings_back_people_history_and_what_is_owed(approved, empty_database, smtp_sink, tmp_path):
    here, backup = process_environment()["DATABASE_URL"], tmp_path / "portal.backup"
    file = place_of(attached(AccessRequest.objects.get()).key)
    run_as_the_manual_says("backup", database=here, backup=backup)
    file.unlink()
    # What went out after the backup was made goes out again after the restore.
    send_due(here, tmp_path / "first.log")
    (first,) = smtp_sink.wait(1, to=approved.email)
    sent = len(smtp_sink.deliveries)

    run_as_the_manual_says("restore", database=empty_database, backup=backup)

    assert file.read_bytes() == pdf()
    assert file.stat().st_mode & 0o777 == 0o600
    events = RequestEvent.objects.count()
    assert execute(empty_database, "SELECT count(*) FROM requests_app_requestevent") == [(events,)]
    with pytest.raises((psycopg2.Error, sqlite3.Error), match="history rows are not changed"):
        execute(empty_database, "UPDATE requests_app_requestevent SET note = 'x'")
    for _ in range(2):
        send_due(empty_database, tmp_path / "second.log")
    _, again = smtp_sink.wait(2, to=approved.email)
    assert len(smtp_sink.deliveries) == 2 * sent  # each mail once more, and no more than once
    assert again.message["Message-ID"] == first.message["Message-ID"]
    password = PASSWORD.search(again.text())[0]
    assert password == PASSWORD.search(first.text())[0]
    assert signs_in(empty_database, tmp_path / "web.log", approved.cpf, password)


def test_an_incomplete_restore_is_found_by_the_manuals_check(approved, empty_database, tmp_path):
    """A test of the test above: the commands fail where something is missing."""
    here, backup = process_environment()["DATABASE_URL"], tmp_path / "portal.backup"
    run_as_the_manual_says("backup", database=here, backup=backup)
    if connection.vendor == "sqlite":
        execute(f"sqlite:///{backup}", "DROP TRIGGER requests_app_requestevent_no_update")
    else:
        backup.write_bytes(backup.read_bytes()[:-2000])

    with pytest.raises(AssertionError, match=r"portal\.W005|pg_restore: error"):
        run_as_the_manual_says("restore", database=empty_database, backup=backup)


# --- Upgrade --------------------------------------------------------------------------------------------------------
class SlowServer:
    """The tests' mail server, which keeps a mail in hand until it is let go."""

    def __init__(self, smtp_sink, monkeypatch) -> None:
        self.began, self.let_go = threading.Event(), threading.Event()
        take = smtp_sink.handle_DATA

        async def take_slowly(*arguments):
            self.began.set()
            while not self.let_go.is_set():
                await asyncio.sleep(0.02)
            return await take(*arguments)

        monkeypatch.setattr(smtp_sink, "handle_DATA", take_slowly)


def start_worker(log: Path) -> PortalProcess:
    arguments = "-A bnmp_portal worker --loglevel INFO --without-gossip --without-mingle --without-heartbeat"
    return start_portal_process(log, "celery", *arguments.split())


def test_an_upgrade_in_the_order_of_the_manual_loses_no_mail(approved, smtp_sink, monkeypatch, tmp_path):
    (order,) = re.findall(r"## Upgrade\n.*?```\n(.*?)```", MANUAL, re.DOTALL)
    steps = [
        r"systemctl stop 'portal-\*'",
        "git pull",
        "manage.py migrate",
        "systemctl start portal-web portal-worker",
    ]
    places = [re.search(step, order).start() for step in steps]
    assert places == sorted(places)
    server, owed = SlowServer(smtp_sink, monkeypatch), OutgoingMail.objects.count()
    assert owed > 1

    worker = start_worker(tmp_path / "before.log")
    try:
        services.wait_for(server.began.is_set, worker.process, worker.log)
        worker.process.terminate()
        services.wait_for(lambda: "Shutdown:" in worker.output, worker.process, worker.log)
        server.let_go.set()
        assert worker.process.wait(60) == 0
    finally:
        worker.stop()
    assert [mail.status for mail in OutgoingMail.objects.exclude(status=MailStatus.PENDING)] == [MailStatus.SENT]
    assert not OutgoingMail.objects.exclude(lease_until=None).exists()

    migrated = start_portal_process(tmp_path / "migrate.log", "manage", "migrate")
    assert migrated.process.wait(60) == 0, migrated.output
    Heartbeat.objects.all().delete()
    worker = start_worker(tmp_path / "after.log")
    try:
        smtp_sink.wait(owed)
        services.wait_for(
            lambda: not OutgoingMail.objects.exclude(status=MailStatus.SENT).exists(), worker.process, worker.log
        )
    finally:
        worker.stop()
    marks = [message["Message-ID"] for message in smtp_sink.messages]
    assert len(marks) == len(set(marks)) == owed
