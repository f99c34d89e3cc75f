"""Whatever breaks while people work, nothing that somebody was promised is lost (DESIGN §8). ``make faults``.

Real gunicorn, Celery workers, Redis, PostgreSQL (or SQLite, as ``make run`` has it) and mail server, each a process
that is killed, stopped or frozen with at least ``BUSY`` mails on their way. Eight analysts and people who forgot their
password go on until they are told that it is done; then every promise is looked for in what the mail server took.

Three waits of the product are not waited out. Once a fault is over, mail that waits for a later try is tried at once.
A mail in the hands of a worker that was killed is leased to it for four minutes: the lease is ended when no worker is
alive. Where the database went away under a living worker, its workers are told to stop, politely, before the same.

``FAULTS_APPROVALS`` and ``FAULTS_RESETS`` say how many; ``FAULTS_TABLE`` names a file that gets a line for each fault.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .drill.crowd import Crowd
from .drill.people import UNKNOWN
from .drill.portal import ON_SQLITE, WORKERS, Portal, World, until
from .drill.smtp import UNKNOWN_MAILBOX
from .drill.verdict import Verdict, judge

pytestmark = [pytest.mark.slow, pytest.mark.real_hashing]

APPROVALS = int(os.environ.get("FAULTS_APPROVALS", "60"))
RESETS = int(os.environ.get("FAULTS_RESETS", "20"))
#: Mails on their way when a fault strikes: with fewer it would prove nothing.
BUSY = 20
#: A fault strikes more than once where there is enough to do in between.
STRIKES = 1 + APPROVALS // 200
#: Answers that people must have got, or not got, before what was taken away comes back.
MEANWHILE = 10
#: Processes that are killed between commit and bell, at each strike.
WEB_KILLS = 2
#: `make faults` has the machine for itself.
ALONE = "FAULTS_TABLE" in os.environ
#: Seconds that nobody waits, whatever Redis does. Beside other tests, people wait for the processor too.
PATIENCE = 3 if ALONE else 30


def meanwhile(crowd: Crowd) -> None:
    """People go on while something is away."""
    enough = crowd.heard + MEANWHILE
    until(lambda: crowd.heard >= enough or crowd.over, "people do not go on")


# --- What is taken away, and how it comes back ----------------------------------------------------------------------
def kill_workers(portal: Portal, crowd: Crowd) -> None:
    portal.servers.end_some(*WORKERS)
    portal.end_leases_of_the_dead()
    portal.servers.again(*WORKERS)


def empty_redis(portal: Portal, crowd: Crowd) -> None:
    portal.servers.end_some("redis-server", how=signal.SIGTERM)
    meanwhile(crowd)
    portal.servers.again("redis-server")


def freeze_redis(portal: Portal, crowd: Crowd) -> None:
    portal.servers.send(signal.SIGSTOP, "redis-server")
    meanwhile(crowd)
    portal.servers.send(signal.SIGCONT, "redis-server")


def stop_smtp(portal: Portal, crowd: Crowd) -> None:
    portal.servers.end_some("smtp")
    until(portal.put_off, "nobody missed the mail server")
    portal.servers.again("smtp")


def spoil_smtp(portal: Portal, crowd: Crowd) -> None:
    (portal.folder / "moody").touch()


def restart_postgresql(portal: Portal, crowd: Crowd) -> None:
    """Not politely: what was not committed is gone, and every connection with it."""
    portal.world.servers.end_some("postgres", how=signal.SIGQUIT)
    meanwhile(crowd)
    portal.world.servers.again("postgres")
    until(portal.database.answers, "PostgreSQL did not come back")


def kill_web(portal: Portal, crowd: Crowd) -> None:
    for number in range(WEB_KILLS):
        (portal.kills / str(number)).touch()
    until(lambda: not any(portal.kills.iterdir()) or crowd.over, "no web process rang the bell")
    assert not any(portal.kills.iterdir()), "people were done before the web processes were killed"


def break_everything(portal: Portal, crowd: Crowd) -> None:
    """One after the other, and each comes back while others are still away. Redis last: the workers can do without."""
    portal.servers.end_some(*WORKERS, "smtp")
    spoil_smtp(portal, crowd)
    portal.servers.send(signal.SIGSTOP, "redis-server")
    kill_web(portal, crowd)
    restart_postgresql(portal, crowd)
    portal.end_leases_of_the_dead()
    taken = portal.mails_taken()
    portal.servers.again(*WORKERS, "smtp")
    until(lambda: portal.mails_taken() > taken, "workers that start without Redis send nothing")
    portal.servers.end_some("redis-server")
    portal.servers.again("redis-server")


@dataclass(frozen=True)
class Fault:
    name: str
    strike: Callable[[Portal, Crowd], None]
    #: How often, in one strike, something is cut between "the server took it" and "we know": at worst each process
    #: then sends the one mail in its hands again.
    cuts: int = 0
    #: A living worker can be left with a lease whose outcome it could not record.
    orphans: bool = False
    #: One mailbox does not exist.
    unknown: str = ""
    deadly: bool = False
    #: Nobody may feel it.
    is_unnoticed: bool = False


FAULTS = [
    Fault("worker killed while it sends", kill_workers, cuts=1),
    Fault("SMTP server killed", stop_smtp, cuts=1),
    Fault("web process killed between commit and bell", kill_web, deadly=True),
]
if not ON_SQLITE:
    FAULTS += [
        Fault("Redis restarted empty", empty_redis, is_unnoticed=True),
        Fault("Redis hung", freeze_redis, is_unnoticed=True),
        Fault("SMTP: 451 half the time, 550 for one", spoil_smtp, unknown=UNKNOWN),
        Fault("PostgreSQL restarted", restart_postgresql, cuts=1, orphans=True),
        Fault("all of these together", break_everything, cuts=3, orphans=True, unknown=UNKNOWN, deadly=True),
    ]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World.make(APPROVALS, RESETS)
    yield made
    made.servers.end()


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.strike.__name__)
def fault(request: pytest.FixtureRequest) -> Fault:
    return request.param


@pytest.fixture
def portal(world: World, fault: Fault) -> Iterator[Portal]:
    portal = Portal(world, fault.strike.__name__, unknown=fault.unknown, deadly=fault.deadly)
    try:
        portal.start()
        yield portal
    finally:
        portal.servers.end()


def strike(fault: Fault, portal: Portal, crowd: Crowd) -> list[int]:
    """As often as there is enough on its way; how many mails that was, each time."""
    in_flight: list[int] = []
    while len(in_flight) < STRIKES and is_busy(portal, crowd):
        if (now := portal.in_flight()) < BUSY:
            continue  # some left in between
        in_flight.append(now)
        fault.strike(portal, crowd)
    return in_flight


def is_busy(portal: Portal, crowd: Crowd) -> bool:
    """Waits until people are at work, the workers send, and enough is on its way. False if people are done before."""
    taken = portal.mails_taken()
    until(
        lambda: crowd.over or (portal.in_flight() >= BUSY and portal.mails_taken() > taken),
        "there is nothing to strike",
    )
    return not crowd.over


def test_nothing_is_lost(fault: Fault, portal: Portal) -> None:
    with Crowd(portal) as crowd:
        in_flight = strike(fault, portal, crowd)
        crowd.finish()
    assert in_flight, f"the fault never struck\n{portal.troubles()}"
    portal.deliver_the_rest(orphans=fault.orphans)
    verdict = judge(portal, crowd)
    most_copies = fault.cuts * len(in_flight) * len(WORKERS)
    note(fault, in_flight, crowd, verdict, most_copies)
    sys.stdout.write(portal.troubles())  # shown where the drill fails

    assert portal.gone() == []
    assert min(in_flight) >= BUSY
    assert (len(crowd.approved), len(crowd.forgotten)) == (APPROVALS, RESETS)
    assert verdict.lost == []
    assert verdict.dead_passwords == []
    assert verdict.wrong == []
    assert len(verdict.copies) <= most_copies, verdict.copies
    assert crowd.answers[500] == 0
    if fault.unknown:
        assert UNKNOWN_MAILBOX in what_an_analyst_sees_of_the_failure(portal, crowd)
    if fault.is_unnoticed:
        assert crowd.repeated == 0
        assert crowd.longest_wait_of_an_approver < PATIENCE
    if not ON_SQLITE:
        until(lambda: not portal.unheard_bells(), "the workers do not hear the bell any more")


def what_an_analyst_sees_of_the_failure(portal: Portal, crowd: Crowd) -> str:
    [(pk,)] = portal.database.rows("SELECT id FROM accounts_outgoingmail WHERE status = 'FAILED'")
    return crowd.analysts[0].get(f"/admin/accounts/outgoingmail/{pk}/change/").text


def note(fault: Fault, in_flight: list[int], crowd: Crowd, verdict: Verdict, most_copies: int) -> None:
    """A line of the table."""
    cells = [
        "SQLite" if ON_SQLITE else "PostgreSQL",
        fault.name,
        ", ".join(map(str, in_flight)),
        f"{len(crowd.approved)} + {len(crowd.forgotten)}",
        verdict.mails,
        len(verdict.lost),
        f"{len(verdict.copies)} (≤ {most_copies})",
        len(verdict.dead_passwords),
        f"{crowd.longest_wait_of_an_approver:.1f} s",
        crowd.repeated,
    ]
    line = f"| {' | '.join(map(str, cells))} |\n"
    sys.stdout.write(line)
    if path := os.environ.get("FAULTS_TABLE"):
        with Path(path).open("a") as table:
            table.write(line)
