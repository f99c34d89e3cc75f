"""The broker is a doorbell: whichever it is, one that is away or hung holds nobody up, and after it the bell rings."""

from __future__ import annotations

import runpy
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.db import connection
from kombu import pools

from accounts.models import PasswordResetRequest
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import UserFactory
from conftest import start_portal_process

from . import proxy, services
from .visitor import Visitor

#: Seconds that nobody who waits for a page may lose to a broker. Measured: 1.2 at worst, for a hung master.
TOO_LONG = 3


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Connections are taken by the system, and nobody reads."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


@pytest.fixture
def ring(monkeypatch):
    """Ring once with the settings that a broker's address makes; the seconds that it took, and what came of it."""

    def once(url: str) -> tuple[float, str]:
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        monkeypatch.setenv("CELERY_BROKER_MASTER_NAME", "portal")
        pools.reset()  # they know a connection by its address alone, and not by its certificate
        app = Celery(set_as_current=False)
        app.config_from_object(runpy.run_path(str(services.ROOT / "bnmp_portal/settings.py")), namespace="CELERY")
        began = time.monotonic()
        try:
            app.send_task("accounts.tasks.send_pending_mail", retry=False)
        except Exception as problem:  # noqa: BLE001 - each transport raises its own, as for accounts.outbox.ring
            outcome = type(problem).__name__
        else:
            outcome = "rung"
        seconds = time.monotonic() - began
        app.close()
        return seconds, outcome

    return once


BROKERS = {
    "redis": "redis://127.0.0.1:{port}/0",
    "redis-tls": "rediss://127.0.0.1:{port}/0",
    "sentinel": "sentinel://127.0.0.1:{port};sentinel://127.0.0.1:{port}/0;sentinel://127.0.0.1:{port}/0",
    "rabbitmq": "amqp://portal:secret@127.0.0.1:{port}//",
}


@pytest.mark.parametrize("broker", BROKERS)
def test_a_broker_that_refuses_costs_next_to_nothing(ring, broker):
    seconds, outcome = ring(BROKERS[broker].format(port=services.free_port()))

    assert outcome == "OperationalError"
    assert seconds < TOO_LONG


@pytest.mark.parametrize("broker", BROKERS)
def test_a_broker_that_hangs_costs_about_a_second(ring, silent_port, broker):
    seconds, outcome = ring(BROKERS[broker].format(port=silent_port))

    assert outcome == "OperationalError"
    assert seconds < TOO_LONG


@pytest.mark.skipif("sqlite" in connection.vendor, reason="without PostgreSQL there is no Redis in the tests")
def test_a_redis_whose_certificate_nobody_vouches_for_is_not_rung(ring, tmp_path):
    proxy.make_certificate(tmp_path)
    port = services.free_port()
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    arguments = f"--port 0 --tls-port {port} --bind 127.0.0.1 --tls-auth-clients no --dir {tmp_path} --tls-ca-cert-file"
    server = subprocess.Popen(
        services.mortal(
            ["redis-server", *arguments.split(), certificate, "--tls-cert-file", certificate, "--tls-key-file", key]
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        services.wait_for(lambda: services.listens(port), server, certificate)
        assert ring(f"rediss://127.0.0.1:{port}/0")[1] == "OperationalError"
        assert ring(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}")[1] == "rung"
    finally:
        services.stop(server)


# --- Redis Sentinel, for real ---------------------------------------------------------------------------------------
class Watched:
    """A master, a replica, and a sentinel that makes the one of the other."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "redis.log"
        self.processes: list[services.Popen] = []
        self.ports = [services.free_port() for _ in range(3)]
        master, replica, sentinel = self.ports
        self.master = self.start("--port", str(master), "--bind", "127.0.0.1", "--save", "")
        self.start(
            *("--port", str(replica), "--bind", "127.0.0.1", "--save", "", "--replicaof", "127.0.0.1", str(master))
        )
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"port {sentinel}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor portal 127.0.0.1 {master} 1\n"
            "sentinel down-after-milliseconds portal 1000\nsentinel failover-timeout portal 5000\n"
        )
        self.sentinel = self.start(str(configuration), "--sentinel")
        # The first address is one where nobody listens: the next is asked.
        self.url = f"sentinel://127.0.0.1:{services.free_port()}/0;sentinel://127.0.0.1:{sentinel}/0"

    def start(self, *arguments: str) -> services.Popen:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                services.mortal(["redis-server", *arguments]),
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def wait_until_all_know_each_other(self) -> None:
        self.wait_for(lambda: all(services.listens(port) for port in self.ports))
        self.wait_for(lambda: self.asked("sentinel_master", "portal")["num-slaves"] == 1)

    def wait_for(self, condition) -> None:
        services.wait_for(condition, self.sentinel, self.log)

    def asked(self, question: str, *arguments: str):
        with redis.Redis(port=self.ports[2], decode_responses=True) as sentinel:
            return getattr(sentinel, question)(*arguments)

    def fail_over(self) -> None:
        """Kill the master, and wait until the replica is one."""
        self.master.kill()
        self.wait_for(lambda: self.asked("sentinel_get_master_addr_by_name", "portal")[1] == self.ports[1])


@pytest.fixture
def watched(tmp_path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    try:
        watched.wait_until_all_know_each_other()
        yield watched
    finally:
        for process in watched.processes:
            services.stop(process)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("sqlite" in connection.vendor, reason="without PostgreSQL there is no Redis in the tests")
def test_after_a_failover_of_sentinel_the_next_bell_is_heard_and_nobody_waits_meanwhile(watched, smtp_sink, tmp_path):
    # The sweep is as good as off: only the bell can bring a mail in time.
    environment = {
        "CELERY_BROKER_URL": watched.url,
        "CELERY_BROKER_MASTER_NAME": "portal",
        "OUTBOX_SWEEP_SECONDS": "600",
        "PORTAL_BIND": f"127.0.0.1:{services.free_port()}",
    }
    worker = start_portal_process(
        tmp_path / "worker.log", *"celery -A bnmp_portal worker --loglevel INFO".split(), **environment
    )
    web = start_portal_process(tmp_path / "web.log", "gunicorn", "-c", "deploy/gunicorn.conf.py", **environment)
    visitor = Visitor(f"http://{environment['PORTAL_BIND']}")

    def ask_for_link(person) -> float:
        """Seconds until the answer."""
        token, captcha = visitor.token("/esqueci-a-senha/"), solve()
        began = time.monotonic()
        answer = visitor.ask("/esqueci-a-senha/", {"csrfmiddlewaretoken": token, "cpf": person.cpf, "captcha": captcha})
        assert answer.status == 302
        return time.monotonic() - began

    try:
        services.wait_for(lambda: " ready." in worker.output, worker.process, worker.log, seconds=60)
        services.wait_for(lambda: "Booting worker" in web.output, web.process, web.log, seconds=60)
        before, meanwhile, after = UserFactory(), UserFactory(), UserFactory()
        ask_for_link(before)
        smtp_sink.wait(1, to=before.email)

        watched.master.kill()
        assert ask_for_link(meanwhile) < TOO_LONG
        watched.fail_over()
        services.wait_for(lambda: worker.output.count("Connected to sentinel") == 2, worker.process, worker.log)
        assert ask_for_link(after) < TOO_LONG

        smtp_sink.wait(1, to=after.email)
        smtp_sink.wait(1, to=meanwhile.email)  # its bell may be lost; the next one tells of it too
        assert not PasswordResetRequest.objects.exists()
    finally:
        web.stop()
        worker.stop()
