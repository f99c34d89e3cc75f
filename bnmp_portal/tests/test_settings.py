"""The settings: what is missing or unreadable stops the start with one line; what is unsafe is found by a check."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core import checks
from django_recaptcha.constants import TEST_PRIVATE_KEY, TEST_PUBLIC_KEY

from bnmp_portal.tests.services import ROOT

REQUIRED = {
    "SECRET_KEY": "a-key-that-signs-sessions-links-and-forms-0123456789",
    "SECRETS_KEY": "a-key-that-derives-provisional-passwords-0123456789",
    "ALLOWED_HOSTS": "sistemas.tjms.jus.br",
    "PORTAL_URL": "https://sistemas.tjms.jus.br",
    "DATABASE_URL": "postgres://portal:secret@127.0.0.1:5432/portal",
    "CELERY_BROKER_URL": "redis://127.0.0.1:6379/0",
    "EMAIL_URL": "smtp+tls://portal:secret@smtp.tjms.jus.br:587",
    "DEFAULT_FROM_EMAIL": "Sistemas Externos <nao-responda@tjms.jus.br>",
}
#: Reads the file alone, without the package's Celery: three times as fast.
READ = "import json, runpy, sys; s = runpy.run_path('bnmp_portal/settings.py')"
#: Prints the settings that are asked for, as JSON.
SHOW = f"{READ}; print(json.dumps([s[name] for name in sys.argv[1:]], default=str))"


def start(*arguments, folder=ROOT, **environment):
    """Python with these variables and no others."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def with_changes(**changes):
    """The required variables; None takes one away."""
    return {name: value for name, value in (REQUIRED | changes).items() if value is not None}


def values(*names, **changes):
    """The settings of these names."""
    shown = start("-c", SHOW, *names, **with_changes(**changes))
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def line_at_stop(*arguments, folder=ROOT, **changes):
    """The one line that the operator sees."""
    stopped = start(*(arguments or ("-c", READ)), folder=folder, **with_changes(**changes))
    assert stopped.returncode != 0
    assert stopped.stdout == ""
    (line,) = stopped.stderr.splitlines()
    assert re.fullmatch(r"O portal não pode iniciar: .+\. Veja \.env\.example\.", line)
    return line


# --- What stops the start -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_value_stops_the_start_and_is_named(name):
    assert line_at_stop(**{name: None}) == f"O portal não pode iniciar: defina {name}. Veja .env.example."


def test_an_empty_or_blank_value_is_a_missing_one():
    assert "defina SECRET_KEY." in line_at_stop(SECRET_KEY="")
    assert "defina PORTAL_URL." in line_at_stop(PORTAL_URL="  ")
    assert "ALLOWED_HOSTS" in line_at_stop(ALLOWED_HOSTS=" , ")


UNREADABLE = [
    ("DEBUG", "maybe"),
    ("DEBUG", "2"),
    ("PORTAL_DEMO", "talvez"),
    ("PASSWORD_MIN_LENGTH", "7"),
    ("PASSWORD_MIN_LENGTH", "65"),
    ("PASSWORD_MIN_LENGTH", "quinze"),
    ("PASSWORD_MIN_LENGTH", "15.5"),
    ("PASSWORD_MIN_LENGTH", "-15"),
    ("PASSWORD_MIN_LENGTH", "１５"),
    ("PASSWORD_MIN_LENGTH", "9" * 5000),
    ("OUTBOX_SWEEP_SECONDS", "0"),
    ("RETURN_DAYS", "0"),
    ("SHOW_HOLDER", "talvez"),
    ("DRAFT_DAYS", "0"),
    ("SECURITY_EVENT_RETENTION_DAYS", "182"),
    ("MAIL_RETENTION_DAYS", "29"),
    ("PORTAL_URL", "sistemas.tjms.jus.br"),
    ("PORTAL_URL", "ftp://sistemas.tjms.jus.br"),
    ("PORTAL_URL", "https://"),
    ("PORTAL_URL", "https://[sistemas"),
    ("PORTAL_URL", "https://sistemas.tjms.jus.br:port"),
    ("PORTAL_URL", "https://sistemas.tjms.jus.br/?x=1"),
    ("DATABASE_URL", "portal"),
    ("DATABASE_URL", "mongo://127.0.0.1/portal"),
    ("DATABASE_URL", "postgres://portal@127.0.0.1:port/portal"),
    ("CELERY_BROKER_URL", "127.0.0.1"),
    ("CELERY_BROKER_URL", "redis"),
    ("CELERY_BROKER_URL", "memory://"),
    ("CELERY_BROKER_URL", "redis://127.0.0.1:port/0"),
    ("CELERY_BROKER_URL", "amqp://127.0.0.1;"),
    ("CELERY_BROKER_URL", "sentinel://127.0.0.1:26379;redis://127.0.0.1:6379"),
    ("EMAIL_URL", "smtp.tjms.jus.br"),
    ("EMAIL_URL", "imap://smtp.tjms.jus.br"),
    ("EMAIL_URL", "smtp://smtp.tjms.jus.br:port"),
    ("DEFAULT_FROM_EMAIL", "Sistemas Externos"),
    ("BOUNCE_MAILBOX", "devolucoes@tjms.jus.br"),
    ("BOUNCE_MAILBOX", "pop3://devolucoes:senha@imap.tjms.jus.br"),
    ("BOUNCE_MAILBOX", "imaps://imap.tjms.jus.br/INBOX"),
    ("BOUNCE_MAILBOX", "imaps://devolucoes:pass#word@imap.tjms.jus.br"),
    ("BOUNCE_MAILBOX", "imaps://devolucoes:pass%0Aword@imap.tjms.jus.br"),
    ("TRUSTED_PROXIES", "nginx"),
    ("TRUSTED_PROXIES", "127.0.0.1,10.0.0.1/8"),
    ("LOG_LEVEL", "LOUD"),
    ("SECRET_KEY", "short"),
    ("SECRETS_KEY", "short"),
    ("SECRETS_KEY", f"{REQUIRED['SECRETS_KEY']},short"),
    ("SECRETS_KEY", REQUIRED["SECRET_KEY"]),
    ("RECAPTCHA_PUBLIC_KEY", "only-one-of-the-two"),
    ("RECAPTCHA_PRIVATE_KEY", "only-one-of-the-two"),
]


@pytest.mark.parametrize(("name", "value"), UNREADABLE, ids=[f"{name}={value[:40]}" for name, value in UNREADABLE])
def test_an_unreadable_value_stops_the_start_and_is_named(name, value):
    assert name in line_at_stop(**{name: value})


def test_sentinels_without_the_name_of_their_master_stop_the_start():
    assert "CELERY_BROKER_MASTER_NAME" in line_at_stop(CELERY_BROKER_URL="sentinel://127.0.0.1:26379")


def test_the_line_does_not_tell_the_secret_it_is_about():
    short, database = "short-secret", "postgres://portal:secret-word@127.0.0.1:port/portal"

    assert short not in line_at_stop(SECRET_KEY=short)
    assert "secret-word" not in line_at_stop(DATABASE_URL=database)
    assert "secret-word" not in line_at_stop(DATABASE_URL="postgre://portal:secret-word@127.0.0.1/portal")
    assert "secret-word" not in line_at_stop(CELERY_BROKER_URL="amqps://portal:secret-word@127.0.0.1")
    assert "secret-word" not in line_at_stop(CELERY_BROKER_URL="redis://:secret-word@127.0.0.1:port")
    assert "secret-word" not in line_at_stop(EMAIL_URL="smtp://portal:secret-word@smtp.tjms.jus.br:port")
    assert "secret-word" not in line_at_stop(BOUNCE_MAILBOX="imaps://portal:secret-word@imap.tjms.jus.br:port")


@pytest.mark.parametrize(
    "arguments",
    [
        ("manage.py", "check"),
        ("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", "127.0.0.1:0"),
        ("-m", "celery", "-A", "bnmp_portal", "worker"),
    ],
    ids=["manage.py", "gunicorn", "celery"],
)
def test_every_process_says_it_and_none_shows_a_traceback(arguments):
    stopped = start(*arguments, **with_changes(SECRET_KEY=None))

    assert stopped.returncode != 0
    assert "O portal não pode iniciar: defina SECRET_KEY. Veja .env.example." in stopped.stderr
    assert "Traceback" not in stopped.stderr


# --- What is read ---------------------------------------------------------------------------------------------------
def test_what_is_not_said_is_safe():
    names = "DEBUG PORTAL_DEMO PASSWORD_MIN_LENGTH TRUSTED_PROXIES USE_X_FORWARDED_HOST SECRET_KEY_FALLBACKS".split()

    assert values(*names) == [False, False, 15, [], False, []]


@pytest.mark.parametrize(
    ("written", "meant"), [("on", True), ("TRUE", True), (" sim ", True), ("0", False), ("Não", False)]
)
def test_on_and_off_are_read_as_people_write_them(written, meant):
    assert values("DEBUG", DEBUG=written) == [meant]


def test_lists_and_numbers_are_read():
    assert values(
        *("ALLOWED_HOSTS", "TRUSTED_PROXIES", "PASSWORD_MIN_LENGTH", "INSTITUTIONAL_DOMAINS", "SECRETS_KEYS"),
        ALLOWED_HOSTS="a.jus.br, b.jus.br,",
        TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8,2001:db8::/32",
        PASSWORD_MIN_LENGTH="64",
        INSTITUTIONAL_DOMAINS="TJMS.jus.br",
        SECRETS_KEY=f"{'n' * 32}, {'o' * 32}",
    ) == [
        ["a.jus.br", "b.jus.br"],
        ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"],
        64,
        ["tjms.jus.br"],
        ["n" * 32, "o" * 32],
    ]


def test_a_slash_at_the_end_of_the_portals_address_makes_no_double_one():
    assert values("PORTAL_URL", PORTAL_URL="https://sistemas.tjms.jus.br/") == ["https://sistemas.tjms.jus.br"]


def test_a_key_is_taken_as_it_stands():
    """django-environ takes a value that begins with a dollar for the name of another variable."""
    key = "$HOME" + "x" * 40

    assert values("SECRET_KEY", "SECRETS_KEYS", SECRET_KEY=key, SECRETS_KEY=f"$PATH{'y' * 40}", HOME="h" * 40) == [
        key,
        [f"$PATH{'y' * 40}"],
    ]


@pytest.mark.parametrize("name", REQUIRED)
def test_each_value_may_come_from_a_file(tmp_path, name):
    file = tmp_path / "secret"
    file.write_text(f"{REQUIRED[name]}\n")

    from_file = values("SECRET_KEY", "PORTAL_URL", **{name: None, f"{name}_FILE": str(file)})

    assert from_file == [REQUIRED["SECRET_KEY"], REQUIRED["PORTAL_URL"]]


def test_optional_values_may_come_from_a_file_too(tmp_path):
    file = tmp_path / "length"
    file.write_text("20\n")

    assert values("PASSWORD_MIN_LENGTH", PASSWORD_MIN_LENGTH_FILE=str(file)) == [20]


def test_a_file_that_cannot_be_read_stops_the_start_and_is_named(tmp_path):
    empty, foreign = tmp_path / "empty", tmp_path / "foreign"
    empty.write_text("\n")
    foreign.write_bytes(b"\xff\xfe" * 30)

    for path in (tmp_path / "nowhere", tmp_path, foreign):
        assert "SECRET_KEY_FILE" in line_at_stop(SECRET_KEY=None, SECRET_KEY_FILE=str(path))
    assert "defina SECRET_KEY." in line_at_stop(SECRET_KEY=None, SECRET_KEY_FILE=str(empty))


def test_the_example_file_names_every_variable_that_is_read():
    """A setting that no administrator can find is not one."""
    source = (ROOT / "bnmp_portal/settings.py").read_text()
    read = set(re.findall(r'(?:text|words|boolean|number|networks)\("([A-Z_]+)"', source)) - {
        "PORTAL_DEMO",
        "BROKER_DIR",
    }
    example = (ROOT / ".env.example").read_text()

    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))

    assert read <= named
    assert set(REQUIRED) == set(re.findall(r"^([A-Z_]+)=", example.split("# --- With a default")[0], re.MULTILINE))


# --- The demonstration ----------------------------------------------------------------------------------------------
@pytest.fixture
def copy(tmp_path):
    """The source without its var/, so that a demonstration that runs here is not disturbed."""
    folder = tmp_path / "portal"
    folder.mkdir()
    shutil.copy(ROOT / "manage.py", folder)
    for name in ("accounts", "bnmp_portal", "requests_app"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    return folder


DEMO_VALUES = "SECRET_KEY SECRETS_KEYS DATABASES CELERY_BROKER_URL EMAIL_FILE_PATH DEBUG PORTAL_URL".split()


def test_the_demonstration_needs_one_variable_and_keeps_its_keys(copy):
    first = start("-c", SHOW, *DEMO_VALUES, folder=copy, PORTAL_DEMO="1")
    assert first.returncode == 0, first.stderr
    key, keys, databases, broker, mail, debug, address = json.loads(first.stdout)

    assert len(key) >= 50
    assert key not in keys
    assert databases["default"]["NAME"] == str(copy / "var/portal.sqlite3")
    assert broker == "filesystem://"
    assert f"/{mail.lstrip('/')}" == str(copy / "var/mail")
    assert debug is False
    assert address == "http://127.0.0.1:8000"
    assert start("-c", SHOW, *DEMO_VALUES, folder=copy, PORTAL_DEMO="1").stdout == first.stdout
    assert {file.stat().st_mode & 0o777 for file in (copy / "var/keys").iterdir()} == {0o600}


def test_the_demonstration_gives_way_to_what_is_said(copy, tmp_path):
    file = tmp_path / "key"
    file.write_text("f" * 40)

    shown = start(
        *("-c", SHOW, *DEMO_VALUES),
        folder=copy,
        PORTAL_DEMO="1",
        SECRET_KEY_FILE=str(file),
        PORTAL_URL="http://127.0.0.1:9000",
        DATABASE_URL="sqlite:////srv/other.sqlite3",
    )

    key, _, databases, _, _, _, address = json.loads(shown.stdout)
    assert (key, databases["default"]["NAME"], address) == ("f" * 40, "/srv/other.sqlite3", "http://127.0.0.1:9000")


def test_without_the_demonstration_no_key_is_made_and_nothing_is_written(copy):
    assert "defina SECRET_KEY." in line_at_stop(folder=copy, SECRET_KEY=None)
    assert start("-c", READ, folder=copy, **REQUIRED).returncode == 0
    assert not (copy / "var").exists()


DEMO_ADDRESSES = "import django; django.setup(); from django.urls import reverse; print(reverse('demo-emails'))"


def test_the_demonstrations_pages_exist_in_the_demonstration_alone(copy):
    demo = start("-c", DEMO_ADDRESSES, folder=copy, PORTAL_DEMO="1", DJANGO_SETTINGS_MODULE="bnmp_portal.settings")
    real = start("-c", DEMO_ADDRESSES, folder=copy, DJANGO_SETTINGS_MODULE="bnmp_portal.settings", **REQUIRED)

    assert demo.stdout == "/demo/emails/\n"
    assert "NoReverseMatch" in real.stderr


# --- What a check finds ---------------------------------------------------------------------------------------------
def found():
    """The ids of our own messages, of ``check --deploy``."""
    messages = checks.run_checks(include_deployment_checks=True)
    return {message.id for message in messages if str(message.id).startswith("portal.")}


@pytest.fixture
def production(settings):
    settings.HTTPS = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.PORTAL_DEMO = False
    settings.STAFF_MFA = True
    settings.RECAPTCHA_PUBLIC_KEY = settings.RECAPTCHA_PRIVATE_KEY = ""
    return settings


def test_a_proper_installation_is_told_nothing(production):
    assert found() == set()


def test_the_example_of_a_production_installation_passes_every_check(tmp_path):
    """But for DATABASE_URL, which would need the database's driver and server, and for the folder of attachments."""
    installed = {**REQUIRED, "ATTACHMENTS_DIR": str(tmp_path)}
    passed = start("manage.py", "check", "--deploy", "--fail-level", "WARNING", **installed)

    assert passed.returncode == 0, passed.stderr


def test_a_breach_file_that_is_gone_keeps_the_web_server_from_starting_and_nothing_else():
    """As portal-web.service asks before it starts, and as every other command does."""
    gone = with_changes(BREACHED_PASSWORDS_FILE="/does/not/exist")

    refused = start("manage.py", "check", "--deploy", "--fail-level", "WARNING", **gone)
    other = start("manage.py", "check", **gone)

    assert refused.returncode != 0
    assert "portal.W007" in refused.stderr
    assert other.returncode == 0, other.stderr


@pytest.mark.parametrize(
    ("public", "private"),
    [(TEST_PUBLIC_KEY, TEST_PRIVATE_KEY), (TEST_PUBLIC_KEY, "a-real-one"), ("a-real-one", TEST_PRIVATE_KEY)],
)
def test_googles_test_keys_are_refused_everywhere(public, private):
    refused = start("manage.py", "check", **with_changes(RECAPTCHA_PUBLIC_KEY=public, RECAPTCHA_PRIVATE_KEY=private))

    assert refused.returncode != 0
    assert "portal.E001" in refused.stderr


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("HTTPS", False, "portal.E002"),
        ("EMAIL_BACKEND", "django.core.mail.backends.filebased.EmailBackend", "portal.W003"),
        ("PORTAL_DEMO", True, "portal.E004"),
        ("STAFF_MFA", False, "portal.W006"),
        ("BREACHED_PASSWORDS_FILE", "/does/not/exist", "portal.W007"),
        ("ATTACHMENTS_DIR", ROOT / "static", "portal.E008"),
        ("ATTACHMENTS_DIR", Path("/does/not/exist"), "portal.W009"),
    ],
)
def test_what_must_not_be_in_production_is_found(production, name, value, code):
    setattr(production, name, value)

    assert found() == {code}
