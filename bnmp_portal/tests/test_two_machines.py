"""Two web servers and two workers behind the nginx site that ships, on one PostgreSQL and one Redis.

"Killed" is SIGKILL to all of a server's processes, as when a machine loses its power.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.db import connection

from accounts import security
from accounts.models import Heartbeat, MailStatus, OutgoingMail, SecurityEvent, User
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, UserFactory
from conftest import PortalProcess, start_portal_process

from . import proxy, services
from .visitor import Answer, Visitor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("sqlite" in connection.vendor, reason="two machines share PostgreSQL and Redis"),
    pytest.mark.skipif(not services.NGINX, reason="nginx is missing; `make test` installs it"),
]


@dataclass
class Machine:
    """A web server or a worker, and how to start it again."""

    arguments: tuple[str, ...]
    ready: str
    log: Path
    environment: dict[str, str]
    running: PortalProcess = field(init=False)

    def begin(self) -> None:
        self.log.write_text("")
        self.running = start_portal_process(self.log, *self.arguments, **self.environment)

    def start(self) -> None:
        self.begin()
        self.wait()

    def wait(self) -> None:
        services.wait_for(lambda: self.ready in self.running.output, self.running.process, self.log, seconds=60)

    def signal(self, number: int) -> None:
        """To all of its processes at once."""
        os.killpg(self.running.process.pid, number)

    def kill(self) -> None:
        """Once is enough."""
        if self.running.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.running.process.wait()


@contextmanager
def running(machines: list[Machine]) -> Iterator[list[Machine]]:
    """All of them, started side by side; none is left behind."""
    begun: list[Machine] = []
    try:
        for machine in machines:
            machine.begin()
            begun.append(machine)
        for machine in begun:
            machine.wait()
        yield machines
    finally:
        for machine in begun:
            machine.kill()


@dataclass
class Court:
    """The web servers, and the doors to them: nginx as people use it, and one to each web server alone."""

    web: list[Machine]
    ports: list[int]
    url: str
    alone: list[str]
    folder: Path

    def visitor(self, which: int | None = None) -> Visitor:
        url = self.url if which is None else self.alone[which]
        return Visitor(url, trust=str(self.folder / "fullchain.pem"), headers={"Referer": f"{self.url}/"})

    def at(self, which: int, visitor: Visitor) -> Visitor:
        """The same browser, at one web server."""
        other = self.visitor(which)
        other.cookies = visitor.cookies
        return other


@pytest.fixture
def court(transactional_db, tmp_path) -> Iterator[Court]:
    """Two web servers behind nginx."""
    http, https, *alone = (services.free_port() for _ in range(4))
    ports = [services.free_port() for _ in range(2)]
    url = f"https://127.0.0.1:{https}"
    web = [
        Machine(
            ("gunicorn", "-c", "deploy/gunicorn.conf.py"),
            "Booting worker",
            tmp_path / f"web-{port}.log",
            {"PORTAL_URL": url, "TRUSTED_PROXIES": "127.0.0.1", "PORTAL_BIND": f"127.0.0.1:{port}"},
        )
        for port in ports
    ]
    proxy.make_certificate(tmp_path)
    path = proxy.configuration(
        tmp_path,
        proxy.site(tmp_path, http=http, https=https, web_servers=tuple(ports)),
        *(proxy.one_alone(tmp_path, https=door, web_server=port) for door, port in zip(alone, ports, strict=True)),
    )
    assert proxy.complaints(path) == ""
    nginx = proxy.start(path)
    try:
        with running(web):
            yield Court(web, ports, url, [f"https://127.0.0.1:{door}" for door in alone], tmp_path)
    finally:
        services.stop(nginx)


@pytest.fixture
def workers(transactional_db, smtp_sink, tmp_path) -> Iterator[list[Machine]]:
    """Two workers, each with its sweep."""
    from bnmp_portal.celery import app

    app.control.purge()  # what earlier tests rang
    arguments = "celery -A bnmp_portal worker --loglevel INFO --without-gossip --without-mingle --without-heartbeat"
    with running(
        [
            Machine((*arguments.split(), "-n", f"{name}@court"), " ready.", tmp_path / f"worker-{name}.log", {})
            for name in ("one", "two")
        ]
    ) as machines:
        yield machines


def ask_for_link(visitor: Visitor, cpf: str) -> Answer:
    return visitor.send("/esqueci-a-senha/", cpf=cpf, captcha=solve())


# --- What both share ------------------------------------------------------------------------------------------------
def test_two_web_servers_are_one_portal(court):
    """Session, throttle, captcha and sign-out, each begun at one web server and felt at the other."""
    person, captcha = UserFactory(), solve()
    here = court.visitor(0)
    there = court.at(1, here)

    here.sign_in(person.cpf, PASSWORD)
    assert there.is_signed_in
    assert there.send("/sair/", form="/conta/").status == 302
    assert not here.is_signed_in

    guesser, other_guesser = court.visitor(0), court.visitor(1)
    for visitor in (guesser, other_guesser, guesser, other_guesser, guesser):
        assert visitor.sign_in(person.cpf, "um chute qualquer").status == 200
    assert court.visitor(1).sign_in(person.cpf, PASSWORD).status == 200
    assert court.visitor(0).sign_in(person.cpf, PASSWORD).status == 200
    assert here.sign_in(person.cpf, PASSWORD).status == 302  # the person's own device is another count

    used = court.visitor(0).send("/esqueci-a-senha/", cpf=person.cpf, captcha=captcha)
    again = court.visitor(1).send("/esqueci-a-senha/", cpf=person.cpf, captcha=captcha)
    assert used.status == 302
    assert "já foi usada" in again.page


# --- Web servers that go --------------------------------------------------------------------------------------------
def has_unread_bytes(port: int) -> bool:
    """Whether somebody's request waits at a port whose server does not read (``/proc/net/tcp``)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(f":{port:04X}") and state == "01" and int(queues.partition(":")[2], 16):
            return True
    return False


def two_at_once_while_one_dies(court: Court, which: int, step: Callable[[Visitor], Answer]) -> list[Answer]:
    """Two steps at once, of which nginx gives one to each web server; one of these dies with it in hand."""
    machine, visitors = court.web[which], [court.visitor(), court.visitor()]
    machine.signal(signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(step, visitor) for visitor in visitors]
        services.wait_for(lambda: has_unread_bytes(court.ports[which]), machine.running.process, machine.log)
        machine.kill()
        return [each.result() for each in running]


def test_either_web_server_may_be_killed_and_nobody_notices(court):
    person = UserFactory()
    visitor = court.visitor()
    visitor.sign_in(person.cpf, PASSWORD)

    for machine in court.web:
        machine.kill()
        assert [visitor.open("/conta/").status for _ in range(6)] == [200] * 6
        # What is posted goes to the other one as well: nothing of it was sent to the one that is gone.
        assert [visitor.send("/sair/", form="/conta/").status, visitor.sign_in(person.cpf, PASSWORD).status] == [
            302
        ] * 2
        machine.start()
        # nginx leaves it alone for two seconds after a failure, and finds it again by itself.
        services.wait_for(
            lambda machine=machine: visitor.is_signed_in and "/conta/" in machine.running.output,
            machine.running.process,
            machine.log,
        )


def test_a_page_that_was_being_made_is_asked_for_again_at_the_other(court):
    answers = two_at_once_while_one_dies(court, 0, lambda visitor: visitor.open("/entrar/"))

    assert [answer.status for answer in answers] == [200, 200]


def test_what_was_posted_is_never_sent_a_second_time(court):
    """The web server had it in hand: only the person can know whether to send it again."""
    answers = two_at_once_while_one_dies(court, 1, lambda visitor: visitor.ask("/entrar/", {"username": "1"}))

    away, refused = sorted(answers, key=lambda answer: answer.status, reverse=True)
    assert refused.status == 200  # for want of a token, the form again
    assert away.status == 503
    assert "O portal não está respondendo agora" in away.page


def test_when_both_are_gone_a_page_says_so_and_the_next_try_finds_them_back(court):
    for machine in court.web:
        machine.kill()

    away = court.visitor().open("/solicitacoes/nova/")
    assert (away.status, away.headers["retry-after"], away.headers["cache-control"]) == (503, "30", "no-store")
    assert "envie outra vez" in away.page
    assert "<script" not in away.page
    assert court.visitor().open("/portal_away.html").status == 404  # the page itself is no address of the portal

    court.web[0].start()
    services.wait_for(
        lambda: court.visitor().open("/entrar/").status == 200, court.web[0].running.process, court.web[0].log
    )


# --- Workers that go ------------------------------------------------------------------------------------------------
def notice_about(person: User) -> int:
    """The event that a notice tells of."""
    return security.record(SecurityEvent.Kind.PASSWORD_CHANGED, user=person).pk


def test_either_worker_may_be_killed_and_mail_and_sweep_go_on(court, workers, smtp_sink):
    for machine in workers:
        machine.kill()
        rung, unheard = UserFactory(), UserFactory()
        beat = Heartbeat.objects.get(name="sweep").at

        assert ask_for_link(court.visitor(), rung.cpf).status == 302
        OutgoingMail.objects.create(kind="password_changed", recipient=unheard, object_id=notice_about(unheard))

        smtp_sink.wait(1, to=rung.email)
        smtp_sink.wait(1, to=unheard.email)
        other = workers[1 - workers.index(machine)]
        services.wait_for(
            lambda beat=beat: (
                Heartbeat.objects.get(name="sweep").at > beat
                and set(OutgoingMail.objects.values_list("status", flat=True)) == {MailStatus.SENT}
            ),
            other.running.process,
            other.log,
        )
        machine.start()

    assert len(smtp_sink.deliveries) == 4


# --- What nginx keeps to itself -------------------------------------------------------------------------------------
def test_the_site_hides_what_is_not_for_the_world_and_marks_each_request(court):
    visitor = court.visitor()

    answer = visitor.open("/entrar/?next=/conta/")

    mark = answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", mark)
    for path in ("/metrics", "/health/status", "//metrics", "/health/%73tatus", "/admin/"):
        assert visitor.open(path).status == 403
    assert visitor.open("/health/live").status == 200
    visitor.open("/redefinir-senha/MQ/abc-secret-token/")
    log = (court.folder / "portal.log").read_text()
    assert '"GET /entrar/" 200' in log
    assert log.splitlines()[0].endswith(f" {mark}")
    assert "next=" not in log
    for name in ("portal.log", "portal-error.log", "error.log"):
        assert "secret-token" not in (court.folder / name).read_text()
