"""What ``deploy/`` ships is what the portal is: commands that exist, settings that are read, times that fit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from django.conf import settings as project
from django.core.management import get_commands
from django.db import migrations

from accounts import outbox
from bnmp_portal.celery import STEPS
from conftest import process_environment

from . import proxy, services

DEPLOY = services.ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "portal"}
#: What a real installation fills in where .env.example leaves a gap.
SECRETS = {
    "secret_key": "a-key-that-signs-sessions-links-and-forms-0123456789",
    "secrets_key": "a-key-that-derives-provisional-passwords-0123456789",
    "database_url": "postgres://portal:secret@postgres:5432/portal",
    "email_url": "smtp+tls://portal:secret@smtp.tjms.jus.br:587",
}


def example() -> dict[str, str]:
    """.env.example as a shell reads it."""
    lines = (services.ROOT / ".env.example").read_text().splitlines()
    return dict(shlex.split(line)[0].split("=", 1) for line in lines if re.match("[A-Z_]+=", line))


def assert_exists(program: str, *arguments: str) -> None:
    """A command line of ours names a program, and for it something that is there."""
    name = Path(program).name
    if name == "python":
        assert arguments[0] == "manage.py"
        assert arguments[1] in get_commands()
    elif name == "gunicorn":
        assert arguments[0] == "-c"
        assert (services.ROOT / arguments[1]).is_file()
    else:
        assert (name, *arguments[:3]) == ("celery", "-A", "bnmp_portal", "worker")
        assert (Path(sys.executable).parent / name).is_file()


# --- systemd --------------------------------------------------------------------------------------------------------
def lines(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_every_unit_runs_something_that_is_there(unit):
    for command in lines(unit, "ExecStart(?:Pre)?"):
        program, *arguments = shlex.split(command)
        assert program.startswith("/srv/portal/var/venv/bin/")
        assert_exists(program, *arguments)


def test_every_timer_wakes_a_service_and_everything_that_is_shipped_is_installed_by_the_manual():
    manual = (DEPLOY / "README.md").read_text()
    (copied,) = re.findall(r"^cp (.+) /etc/systemd/system/$", manual, re.MULTILINE)
    installed = {path for pattern in copied.split() for path in services.ROOT.glob(pattern)}

    for timer in DEPLOY.glob("*.timer"):
        assert timer.with_suffix(".service") in UNITS
        assert re.search(rf"systemctl enable[^`\n]* {timer.name}\b", manual), f"{timer.name} is never enabled"
    assert installed == {*UNITS, *DEPLOY.glob("*.timer")}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_has_nothing_against_the_units(tmp_path):
    """With programs and files where this machine has them."""
    for unit in (*UNITS, *DEPLOY.glob("*.timer")):
        text = unit.read_text().replace("/srv/portal/var/venv/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(text.replace("User=portal", "User=root"))

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.iterdir()], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_service_is_given_the_time_to_end_what_it_has_in_hand():
    seconds = {unit.stem: int(lines(unit, "TimeoutStopSec")[0]) for unit in UNITS if lines(unit, "TimeoutStopSec")}
    graceful = int(re.search(r"^graceful_timeout = (\d+)$", (DEPLOY / "gunicorn.conf.py").read_text(), re.MULTILINE)[1])

    assert seconds["portal-web"] > graceful
    assert seconds["portal-worker"] > project.EMAIL_TIMEOUT * STEPS
    # Nobody takes a slow server for a dead worker.
    assert outbox.LEASE.total_seconds() >= 2 * project.EMAIL_TIMEOUT * STEPS
    assert COMPOSE["services"]["worker"]["stop_grace_period"] == f"{seconds['portal-worker']}s"
    assert COMPOSE["services"]["web"]["stop_grace_period"] == f"{seconds['portal-web']}s"


# --- Settings -------------------------------------------------------------------------------------------------------
def test_every_variable_of_the_example_is_read_and_the_web_servers_are_named():
    """The other way round, from what settings.py reads to the example, is asked in test_settings."""
    read = set(re.findall(r'\w+\("([A-Z_]+)"', (services.ROOT / "bnmp_portal/settings.py").read_text()))
    web = set(re.findall(r'environ\.get\("([A-Z_]+)"', (DEPLOY / "gunicorn.conf.py").read_text()))
    named = set(re.findall(r"^#?([A-Z_]+)=", (services.ROOT / ".env.example").read_text(), re.MULTILINE))

    assert named == (read & named) | web
    assert web


# --- nginx ----------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(not services.NGINX, reason="nginx is missing; `make test` installs it")
def test_nginx_takes_the_site_as_it_ships(tmp_path):
    proxy.make_certificate(tmp_path)
    site = proxy.site(tmp_path, http=services.free_port(), https=services.free_port(), web_servers=(8000,))

    assert proxy.complaints(proxy.configuration(tmp_path, site)) == ""


# --- Containers -----------------------------------------------------------------------------------------------------
def test_every_container_of_ours_runs_something_that_is_there():
    (started,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    assert set(OURS) == {"migrate", "web", "worker", "sweep"}
    for service in OURS.values():
        assert_exists(*service.get("command", yaml.safe_load(started)))


@pytest.mark.parametrize("name", OURS)
def test_with_what_a_container_is_given_the_portal_starts(name, tmp_path):
    service = OURS[name]
    for secret in service["secrets"]:
        assert COMPOSE["secrets"][secret] == {"file": f"secrets/{secret}"}
        (tmp_path / secret).write_text(f"{SECRETS[secret]}\n")
    given = {key: value.replace("/run/secrets", str(tmp_path)) for key, value in service["environment"].items()}
    assert f"attachments:{given['ATTACHMENTS_DIR']}" in service["volumes"]
    given["ATTACHMENTS_DIR"] = str(tmp_path)

    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=services.ROOT,
        env={"PATH": os.environ["PATH"], **example(), **given},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    gateway = COMPOSE["networks"]["default"]["ipam"]["config"][0]["gateway"]
    assert given["TRUSTED_PROXIES"] == gateway
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_health_check_of_the_container_tells_a_portal_that_serves(portal_server):
    command = OURS["web"]["healthcheck"]["test"]
    assert command[:2] == ["CMD", "python"]
    here = [argument.replace("http://127.0.0.1:8000", portal_server.url) for argument in command[2:]]
    nowhere = [argument.replace("8000", str(services.free_port())) for argument in command[2:]]

    def says(arguments) -> int:
        asked = [sys.executable, *arguments]
        return subprocess.run(asked, env=process_environment(), stderr=subprocess.DEVNULL, check=False).returncode

    assert says(here) == 0
    assert says(nowhere) != 0


def test_the_image_is_of_the_python_that_the_portal_is_written_for_and_holds_no_secret():
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    (python,) = re.findall(r"^FROM python:([0-9.]+)-slim-bookworm$", dockerfile, re.MULTILINE)
    required = tomllib.loads((services.ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    left_out = (services.ROOT / ".dockerignore").read_text().splitlines()

    assert required == f">={python}"
    assert {".*", "var", "deploy/secrets", "deploy/portal.env"} <= set(left_out)
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001"]
    assert "ARG" not in dockerfile


# --- Upgrade --------------------------------------------------------------------------------------------------------
#: They take away what the release before still reads or writes.
BREAKING = (migrations.RemoveField, migrations.RenameField, migrations.RenameModel, migrations.DeleteModel)


def test_a_migration_may_run_while_the_release_before_still_serves(db):
    """What the manual promises: only additions, and each with a value that the database fills in by itself."""
    from django.db.migrations.loader import MigrationLoader

    later = [
        (name, migration.operations)
        for (app, name), migration in MigrationLoader(None).disk_migrations.items()
        if app in {"accounts", "requests_app"} and not name.startswith("0001")
    ]

    assert later
    for name, operations in later:
        new = {operation.name_lower for operation in operations if isinstance(operation, migrations.CreateModel)}
        for operation in operations:
            assert not isinstance(operation, BREAKING), name
            if isinstance(operation, migrations.AddField) and operation.model_name_lower not in new:
                filled = operation.field.null or operation.field.has_db_default() or operation.field.many_to_many
                assert filled, f"{name}: {operation.name} has no default in the database"
