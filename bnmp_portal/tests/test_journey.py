"""The whole story through real processes, and then a search for every secret of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection
from playwright.sync_api import Page

from accounts import terms
from accounts.models import Session
from accounts.tests.factories import PASSWORD, EmploymentFactory
from bnmp_portal.management.commands.load_sample_data import DEMO_ACCOUNTS, make_catalogue
from requests_app.tests.factories import analyst

from . import services
from .story import Person, Story

pytestmark = pytest.mark.browser


def everything_in_the_database() -> str:
    """Every row of every table as text, with the sessions decoded."""
    rows = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            rows += [repr(row) for row in cursor.fetchall()]
    rows += [repr(session.get_decoded()) for session in Session.objects.all()]
    return "\n".join(rows)


def everything_in_redis() -> str:
    client = redis.from_url(settings.CELERY_BROKER_URL)
    found = []
    for key in client.scan_iter():
        kind = client.type(key)
        readers = {b"string": client.get, b"hash": client.hgetall, b"set": client.smembers}
        readers |= {b"list": lambda name: client.lrange(name, 0, -1)}
        readers |= {b"zset": lambda name: client.zrange(name, 0, -1, withscores=True)}
        found.append(repr((key, readers[kind](key))))
    return "\n".join(found)


def test_the_whole_story_and_no_secret_of_it_left_anywhere(
    portal_server, worker_process, smtp_sink, page: Page, transactional_db
):
    make_catalogue()
    servidor, beneficiary = (
        EmploymentFactory(),
        EmploymentFactory(user__name="CECÍLIA ESPÍNDOLA CORRÊA", user__password=make_password(None)),
    )
    EmploymentFactory(user__name="CECÍLIA ARAÚJO", user__password=make_password(None))
    decider = analyst()
    term = terms.publish(terms.draft(), after=0, by=None)
    for user in (servidor.user, decider):  # the beneficiary meets it at the first sign-in
        terms.accept(user, term)

    def read_mail(address: str, subject: str) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for delivery in reversed(smtp_sink.to(address)):
                if subject in str(delivery.message["Subject"]):
                    assert {part.get_content_type() for part in delivery.message.iter_parts()} == {
                        "text/plain",
                        "text/html",
                    }
                    return delivery.text()
            time.sleep(0.05)
        pytest.fail(f"no mail to {address} about {subject!r}: {[str(m['Subject']) for m in smtp_sink.messages]}")

    story = Story(
        page,
        portal_server.url,
        servidor=Person(servidor.user.cpf, PASSWORD, servidor.user.email),
        analyst=Person(decider.cpf, PASSWORD, decider.email),
        beneficiary=Person(beneficiary.user.cpf, "", beneficiary.user.email, name="correa ceci"),
        read_mail=read_mail,
    )
    problems: list[str] = []
    page.on(
        "console",
        lambda message: (
            problems.append(f"{message.location['url']}: {message.text}") if message.type == "error" else None
        ),
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    story.tell()

    # The dead link answers 410, as it should.
    assert [problem for problem in problems if "410 (Gone)" not in problem] == []
    places = {
        "the database": everything_in_the_database(),
        "Redis": everything_in_redis(),
        "the web server's log": portal_server.output,
        "the worker's log": worker_process.output,
    }
    assert beneficiary.user.cpf in places["the database"]  # the search finds what is there
    assert "redefinir-senha" in places["the web server's log"]
    assert len(story.secrets) == 5
    for place, text in places.items():
        for secret in story.secrets:
            assert secret not in text, f"a secret of the story stands in {place}"
    for log in ("the web server's log", "the worker's log"):
        assert not re.search(r"\b\d{11}\b|\d{3}\.\d{3}\.\d{3}-\d{2}", places[log]), f"a CPF stands in {log}"


# --- The same through `make run` -------------------------------------------------------------------------------------
def fresh_copy(folder: Path) -> Path:
    """What a clone of this tree would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=services.ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (services.ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(services.ROOT / name, target)
    return folder


def run_environment() -> dict[str, str]:
    """A person's shell: nothing of the tests' own settings."""
    keep = ("PATH", "HOME", "LANG", "TERM", "PIP_", "UV_", "HTTP", "http", "NO_PROXY", "no_proxy", "SSL_", "REQUESTS_")
    return {name: value for name, value in os.environ.items() if name.startswith(keep)}


@pytest.mark.slow
def test_the_same_story_through_make_run_of_a_fresh_clone(tmp_path, page: Page):
    home, port = fresh_copy(tmp_path / "portal"), services.free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "run.log"
    with log.open("wb") as output:
        run = subprocess.Popen(
            ["make", "run", f"PORT={port}"],
            cwd=home,
            env=run_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        services.wait_for(lambda: url in log.read_text() and DEMO_ACCOUNTS[0][0] in log.read_text(), run, log, 240)
        (servidor_cpf, password, _), (analyst_cpf, _, _) = DEMO_ACCOUNTS[:2]
        mailbox = page.context.new_page()

        def read_mail(address: str, subject: str) -> str:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                mailbox.goto(f"{url}/demo/emails/")
                found = mailbox.get_by_role("row").filter(has_text=address).filter(has_text=subject)
                if found.count():
                    found.first.get_by_role("link").click()
                    return mailbox.locator("pre").inner_text()
                time.sleep(0.2)
            pytest.fail(f"no mail to {address} about {subject!r}")

        story = Story(
            page,
            url,
            servidor=Person(servidor_cpf, password, "lucia.goncalves0@tjms.jus.br"),
            analyst=Person(analyst_cpf, password, "lucia.paixao3@tjms.jus.br"),
            beneficiary=Person("93066683680", "", "cecilia.correa40@tjms.jus.br", name="correa ceci"),
            read_mail=read_mail,
        )
        story.tell()
        written = [
            file.read_bytes()
            for file in (home / "var").rglob("*")
            if file.is_file()
            and not file.is_relative_to(home / "var/venv")
            and not file.is_relative_to(home / "var/mail")
        ]
        assert any(b"cecilia.correa40@tjms.jus.br" in content for content in written)  # the database is among them
        for secret in story.secrets:
            assert not any(secret.encode() in content for content in (*written, log.read_bytes()))
    finally:
        os.killpg(run.pid, 2)  # Ctrl-C reaches the whole group
        run.wait(30)
    assert not services.listens(port)
