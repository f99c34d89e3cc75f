"""Does the time of an answer tell who exists? ``python -m benchmarks.timing`` (benchmarks/README.md).

The doors are asked about people of each kind and about CPFs of nobody, in random order, one request at a time. For
each pair of kinds: how well the time of one answer tells the two apart (AUC, 0.5: not at all), with its 95 % interval,
and whether the answers look the same. Exit status 1 if a pair is further than 0.05 from 0.5 or looks different.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import platform
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeAlias

if not __package__:  # called by its path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import auc, people
from benchmarks.people import Kind, Someone
from benchmarks.stage import HOST, SMTP_STATES, Stage, cpu_seconds
from benchmarks.visits import Shape, Stranger
from bnmp_portal.tests import services

TOLERANCE = 0.05
#: Requests of each kind that go before those that count.
WARM_UP = 20
#: Of the processors: when others use more than this, the machine is not ours.
BUSY = 0.1


@dataclass(frozen=True)
class Pair:
    """Two kinds that must not be told apart."""

    name: str
    one: Kind
    other: Kind


@dataclass(frozen=True)
class Door:
    """A page that takes a CPF, and what is posted to it."""

    name: str
    path: str
    form: Callable[[Someone], dict[str, str]]
    pairs: tuple[Pair, ...]


def reset_form(someone: Someone) -> dict[str, str]:
    """With the portal's own captcha, of real cost; whoever knows the key finds the answer at the first try."""
    from altcha import Payload, solve_challenge
    from altcha_django.challenge import build_challenge

    challenge = build_challenge(counter=0)
    solution = solve_challenge(challenge)
    if solution is None:
        raise RuntimeError("The captcha was not solved")
    return {"cpf": someone.cpf, "captcha": str(Payload(challenge, solution).to_base64())}


def sign_in_form(someone: Someone) -> dict[str, str]:
    return {"username": someone.cpf, "password": someone.kind.types}


DOORS = (
    Door(
        "reset",
        "/esqueci-a-senha/",
        reset_form,
        (
            Pair("unknown", people.KNOWN, people.UNKNOWN),
            Pair("inactive", people.KNOWN, people.INACTIVE),
            Pair("no-address", people.KNOWN, people.NO_ADDRESS),
            Pair("no-password", people.KNOWN, people.NO_PASSWORD),
            Pair("throttled", people.THROTTLED, people.THROTTLED_UNKNOWN),
        ),
    ),
    Door(
        "sign-in",
        "/entrar/",
        sign_in_form,
        (
            Pair("unknown", people.KNOWN, people.UNKNOWN),
            Pair("inactive", people.KNOWN, people.INACTIVE),
            Pair("inactive-right", people.KNOWN, people.INACTIVE_RIGHT),
            Pair("no-password", people.KNOWN, people.NO_PASSWORD),
            Pair("lapsed", people.KNOWN, people.LAPSED),
            Pair("throttled", people.THROTTLED, people.THROTTLED_UNKNOWN),
        ),
    ),
)


@dataclass
class Samples:
    """What one kind got at one door."""

    seconds: list[float] = field(default_factory=list)
    shapes: Counter[Shape] = field(default_factory=Counter)


@dataclass(frozen=True)
class Run:
    """One door with the mail server in one state: all kinds in one shuffled sequence."""

    door: Door
    smtp: str
    pairs: tuple[Pair, ...]

    @property
    def kinds(self) -> list[Kind]:
        return list(dict.fromkeys(kind for pair in self.pairs for kind in (pair.one, pair.other)))

    @property
    def name(self) -> str:
        return f"{self.door.name}, SMTP {self.smtp}"


@dataclass(frozen=True)
class Row:
    """What came of one pair."""

    run: Run
    pair: Pair
    one: Samples
    other: Samples
    auc: auc.Auc

    @property
    def looks_the_same(self) -> bool:
        return self.one.shapes.keys() == self.other.shapes.keys() and len(self.one.shapes) == 1

    @property
    def holds(self) -> bool:
        return self.looks_the_same and self.auc.is_within(TOLERANCE)

    def cells(self) -> list[str]:
        shapes = sorted({str(shape) for shape in (*self.one.shapes, *self.other.shapes)})
        return [
            self.run.door.name,
            self.run.smtp,
            f"{self.pair.one.name} / {self.pair.other.name}",
            f"{len(self.one.seconds)} / {len(self.other.seconds)}",
            f"{median(self.one.seconds) * 1000:.2f} / {median(self.other.seconds) * 1000:.2f}",
            f"{self.auc.estimate:.3f}",
            f"{self.auc.low:.3f} to {self.auc.high:.3f}",
            "yes" if self.auc.is_within(TOLERANCE) else "**no**",
            "yes" if self.auc.is_surely_within(TOLERANCE) else "no",
            "equal" if self.looks_the_same else f"**different**: {'; '.join(shapes)}",
        ]


#: Whom a run asks about: those of the warm-up, and those that count.
Parts: TypeAlias = dict[Run, tuple[list[Someone], list[Someone]]]

HEAD = (
    "door",
    "SMTP",
    "pair",
    "n",
    "median, ms",
    "AUC",
    "95 %",
    f"within {TOLERANCE}",
    "whole interval",
    "status, headers, cookies, size",
)


def planned(asked: argparse.Namespace) -> list[Run]:
    """The resets go first: with them mail waits, or goes out, while people sign in."""
    runs = []
    for smtp, door in itertools.product(asked.smtp, DOORS):
        pairs = tuple(pair for pair in door.pairs if {door.name, f"{door.name}/{pair.name}"} & set(asked.only))
        if pairs:
            runs.append(Run(door, smtp, pairs))
    return runs


def cast(runs: Sequence[Run], n: int, others: int, chance: random.Random) -> Parts:
    """Everybody, each in one place of one run, shuffled and stored.

    ``others``: people in the directory whom nobody asks about.
    """
    places = [(run, kind) for run in runs for kind in run.kinds for _ in range(WARM_UP + n)]
    cpfs = iter(people.draw(len(places) + others, chance))
    parts: Parts = {}
    for run in runs:
        of_kind = {kind: [Someone(next(cpfs), kind) for _ in range(WARM_UP + n)] for kind in run.kinds}
        warm_up = [someone for group in of_kind.values() for someone in group[:WARM_UP]]
        counted = [someone for group in of_kind.values() for someone in group[WARM_UP:]]
        chance.shuffle(warm_up)
        chance.shuffle(counted)
        parts[run] = warm_up, counted
    unasked = [Someone(cpf, people.KNOWN) for cpf in cpfs]
    everybody = [*unasked, *(someone for part in parts.values() for group in part for someone in group)]
    chance.shuffle(everybody)  # the order of the rows must say nothing either
    people.store(everybody)
    return parts


def measure(
    run: Run, warm_up: Sequence[Someone], counted: Sequence[Someone], stranger: Stranger
) -> tuple[dict[Kind, Samples], str]:
    """Every answer to those who count, and a sentence about the machine meanwhile."""
    samples: dict[Kind, Samples] = defaultdict(Samples)
    stranger.open_form(run.door.path)
    for someone in warm_up:
        stranger.post(run.door.path, run.door.form(someone))
    began, cpu_before = time.monotonic(), cpu_seconds()
    gc.collect()
    gc.disable()
    try:
        for number, someone in enumerate(counted, 1):
            answer = stranger.post(run.door.path, run.door.form(someone))
            samples[someone.kind].seconds.append(answer.seconds)
            samples[someone.kind].shapes[answer.shape] += 1
            if number % max(1, len(counted) // 10) == 0:
                say(f"  {run.name}: {number} of {len(counted)}")
    finally:
        gc.enable()
    took, cpu = time.monotonic() - began, cpu_seconds()
    others = max(0.0, (cpu[0] - cpu_before[0]) - (cpu[1] - cpu_before[1])) / took
    busy = ": **busy**" if others > BUSY * (os.cpu_count() or 1) else ""
    return samples, f"{run.name}: {took:.0f} s; others used {others:.2f} of {os.cpu_count()} processors{busy}."


def traces(door: Door) -> int:
    """Rows left by tries that came as far as the password, or past the captcha."""
    from accounts.models import SecurityEvent, SpentChallenge

    if door.name == "reset":
        return SpentChallenge.objects.count()
    return SecurityEvent.objects.filter(kind=SecurityEvent.Kind.SIGN_IN_FAILED).count()


def check_premises(run: Run, asked: Sequence[Someone], found: int) -> None:
    """What was measured is what is said: the throttle stopped those it should. Raises RuntimeError."""
    expected = sum(run.door.name == "reset" or not someone.kind.is_throttled for someone in asked)
    if found != expected:
        raise RuntimeError(f"{run.name}: {found} tries came as far as {expected} should have")


def perform(asked: argparse.Namespace, stage: Stage) -> tuple[list[Row], list[str]]:
    """Everything, from an empty database to one row for each pair and notes on how it went."""
    import django

    stage.prepare()
    django.setup()
    chance = random.Random(asked.seed)  # noqa: S311 - an order that can be repeated
    runs = planned(asked)
    say(f"{asked.others} people and {sum(len(run.kinds) for run in runs)} groups of {asked.n} are made…")
    parts = cast(runs, asked.n, asked.others, chance)
    stage.start_portal()
    stranger = Stranger(stage.address, HOST)
    rows, notes, smtp = [], [], ""
    for run in runs:
        if run.smtp != smtp:
            smtp = run.smtp
            stage.set_mail_server(smtp)
        warm_up, counted = parts[run]
        before = traces(run.door)
        samples, note = measure(run, warm_up, counted, stranger)
        say(note)
        notes.append(note)
        stage.check_alive()
        check_premises(run, [*warm_up, *counted], traces(run.door) - before)
        for pair in run.pairs:
            one, other = samples[pair.one], samples[pair.other]
            rows.append(Row(run, pair, one, other, auc.compare(one.seconds, other.seconds)))
            say(f"  {' | '.join(rows[-1].cells())}")
    stranger.close()
    notes.append(f"Sent again, because the web server had closed the connection: {stranger.sent['again']}.")
    return rows, notes


def report(asked: argparse.Namespace, rows: Sequence[Row], notes: Sequence[str]) -> str:
    """In Markdown."""
    failed = [row for row in rows if not row.holds]
    return "\n".join(
        [
            f"{time.strftime('%Y-%m-%d')}, {asked.database}, {os.cpu_count()} processors, Python "
            f"{platform.python_version()}; seed {asked.seed}. "
            + (f"**{len(failed)} of {len(rows)} pairs fail.**" if failed else f"All {len(rows)} pairs hold."),
            "",
            f"| {' | '.join(HEAD)} |",
            f"|{'---|' * len(HEAD)}",
            *(f"| {' | '.join(row.cells())} |" for row in rows),
            "",
            *(f"- {note}" for note in notes),
            "",
        ]
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a program for a terminal


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.timing", description=__doc__)
    doors = [door.name for door in DOORS]
    pairs = [f"{door.name}/{pair.name}" for door in DOORS for pair in door.pairs]
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--n", type=int, default=1000, help="tries of each kind (1000)")
    parser.add_argument("--others", type=int, default=20_000, help="people whom nobody asks about (20000)")
    parser.add_argument("--only", action="append", choices=doors + pairs, help="a door or a pair; may be given again")
    parser.add_argument("--smtp", action="append", choices=SMTP_STATES, help="only this state; may be given again")
    parser.add_argument("--port", type=int, help="where the portal listens (a free one)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--output", type=Path, help="a file that gets the table too")
    asked = parser.parse_args(given)
    asked.only = asked.only or doors
    asked.smtp = asked.smtp or list(SMTP_STATES)
    asked.port = asked.port or services.free_port()
    if asked.n < 2:  # noqa: PLR2004 - an interval needs two
        parser.error("--n: at least 2")
    if services.listens(asked.port):
        parser.error(f"somebody listens at port {asked.port} already")
    return asked


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    signal.signal(signal.SIGTERM, services.stop_like_ctrl_c)  # what was started is stopped, however this ends
    signal.signal(signal.SIGINT, services.stop_like_ctrl_c)
    stage = Stage(asked.database, asked.port)
    try:
        rows, notes = perform(asked, stage)
    finally:
        stage.end()
    text = report(asked, rows, notes)
    print(text)  # noqa: T201
    if asked.output:
        asked.output.write_text(text)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
