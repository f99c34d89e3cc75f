"""The measurement of ``benchmarks/timing.py``: that it finds a leak, and that what it asks costs the same work."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
from argparse import Namespace
from collections import Counter

import argon2
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import RequestFactory

from accounts import outbox
from accounts.models import PasswordResetRequest
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import UserFactory
from benchmarks import auc, people, timing
from benchmarks.visits import Shape

from . import services

USUAL = Shape(200, (("content-type", 24),), 9000)
PAIRS = [(door, pair) for door in timing.DOORS for pair in door.pairs]


def row(one, other, *, shape=USUAL):
    """A pair with these times."""
    door, pair = PAIRS[0]
    samples = timing.Samples(one, Counter({USUAL: len(one)})), timing.Samples(other, Counter({shape: len(other)}))
    return timing.Row(timing.Run(door, "up", (pair,)), pair, *samples, auc.compare(one, other))


def times(mean, count=1000, seed=1):
    chance = random.Random(seed * mean)
    return [chance.gauss(mean, 2) for _ in range(count)]


# --- The numbers ----------------------------------------------------------------------------------------------------
def test_equal_values_share_the_mean_of_their_ranks():
    assert auc.midranks([30, 10, 20, 10]) == [4, 1.5, 3, 1.5]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [4, 5, 6], 1),
        ([4, 5, 6], [1, 2, 3], 0),
        ([1, 2, 3], [1, 2, 3], 0.5),
        ([7, 7, 7], [7, 7, 7], 0.5),
        ([1, 2, 3], [2, 3, 4], 7 / 9),  # of nine pairs six are larger and two are equal
        ([5, 1], [3, 3, 9], 4 / 6),
    ],
)
def test_the_auc_is_the_share_of_pairs_in_which_the_other_is_larger(one, other, expected):
    assert auc.compare(one, other).estimate == pytest.approx(expected)


def test_the_interval_is_that_of_delong():
    found = auc.compare([1, 3, 5], [2, 4, 6])

    # By hand: the shares of the other group that are smaller are 0, 1/3, 2/3 and 1/3, 2/3, 1; each varies by 1/9.
    error = (1 / 9 / 3 + 1 / 9 / 3) ** 0.5
    assert found.estimate == pytest.approx(2 / 3)
    assert found.low == pytest.approx(2 / 3 - 1.96 * error, abs=1e-4)
    assert found.high == 1  # cut: 2/3 + 0.53


def test_the_interval_covers_what_is_true_about_95_times_of_100():
    chance = random.Random(95)
    covered = 0
    for _ in range(400):
        one, other = ([chance.gauss(0, 1) for _ in range(60)] for _ in range(2))
        found = auc.compare(one, other)
        covered += found.low <= 0.5 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


# --- The verdict ----------------------------------------------------------------------------------------------------
def test_what_says_nothing_holds():
    found = row(times(30), times(30, seed=2))

    assert found.holds
    assert found.auc.low < 0.5 < found.auc.high


@pytest.mark.parametrize("other", [29, 31])
def test_a_leak_of_half_a_deviation_is_found_whichever_is_slower(other):
    found = row(times(30), times(other))

    assert not found.holds
    assert not found.auc.low <= 0.5 <= found.auc.high
    assert "**no**" in found.cells()


@pytest.mark.parametrize(
    "shape",
    [
        Shape(429, USUAL.headers, USUAL.length),
        Shape(200, (("content-type", 24), ("set-cookie session", 90)), USUAL.length),
        Shape(200, USUAL.headers, USUAL.length + 1),
    ],
    ids=["status", "cookie", "size"],
)
def test_an_answer_that_looks_different_fails_however_long_it_took(shape):
    found = row(times(30), times(30, seed=2), shape=shape)

    assert not found.holds
    assert "**different**" in found.cells()[-1]


@pytest.mark.parametrize(("other", "verdict"), [(30, "All 1 pairs hold."), (31, "**1 of 1 pairs fail.**")])
def test_the_report_says_first_whether_all_hold(other, verdict):
    asked = Namespace(database="sqlite", seed=1)

    text = timing.report(asked, [row(times(30), times(other, seed=2))], ["note"])

    assert verdict in text.splitlines()[0]
    assert "- note" in text.splitlines()


def test_a_port_that_is_taken_is_refused(capsys):
    with services.socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        timing.arguments(["--port", str(taken.getsockname()[1])])

    assert "listens" in capsys.readouterr().err


# --- What is measured -----------------------------------------------------------------------------------------------
@pytest.fixture
def work(monkeypatch):
    """What an answer costs: statements without their values, and hashes."""
    done = []
    encode, verify = argon2.low_level.hash_secret, argon2.PasswordHasher.verify

    def statement(execute, sql, params, many, context):
        done.append(re.sub(r"s\d+_x\d+", "savepoint", sql))
        return execute(sql, params, many, context)

    def counted(name, function):
        return lambda *args, **kwargs: (done.append(name), function(*args, **kwargs))[1]

    monkeypatch.setattr(argon2.low_level, "hash_secret", counted("HASH", encode))
    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted("COMPARE", verify))
    with connection.execute_wrapper(statement):
        yield done


@pytest.mark.parametrize(("door", "pair"), PAIRS, ids=[f"{door.name}, {pair.name}" for door, pair in PAIRS])
def test_fault_6_both_of_a_pair_cost_the_same_statements_and_the_same_hashes(make_client, db, work, door, pair):
    one, other = people.draw(2, random.Random(6))
    somebody = [people.Someone(one, pair.one), people.Someone(other, pair.other)]
    people.store(somebody)
    answers, costs = [], []
    for someone in somebody:
        client, form = make_client(), door.form(someone)
        client.get(door.path)
        work.clear()
        answers.append(client.post(door.path, form))
        costs.append(list(work))

    assert costs[0] == costs[1]
    assert costs[0].count("COMPARE") == (door.name == "sign-in" and not pair.one.is_throttled)
    assert "HASH" not in costs[0]
    status = {"sign-in": 200, "reset": 429 if pair.one.is_throttled else 302}[door.name]
    assert [answer.status_code for answer in answers] == [status, status]


def test_asvs_6_3_8_the_worker_hears_of_a_reset_only_when_the_answer_is_out(transactional_db, monkeypatch):
    """What it then does takes longer for some than for others, on the same processors."""
    heard = []
    monkeypatch.setattr(outbox, "ring", lambda: heard.append(PasswordResetRequest.objects.count()))
    form = {"cpf": UserFactory().cpf, "captcha": solve(), "csrfmiddlewaretoken": "a" * 32}
    request = RequestFactory().post("/esqueci-a-senha/", form, headers={"cookie": f"csrf={'a' * 32}"})
    statuses = []

    answer = WSGIHandler()(request.environ, lambda status, headers: statuses.append(status))
    body = b"".join(answer)

    assert (statuses, body, heard) == (["302 Found"], b"", [])
    answer.close()  # as the web server does when it has sent it all
    assert heard == [1]


@pytest.mark.slow
def test_the_measurement_runs_from_an_empty_machine_to_its_table(tmp_path):
    """So small that its numbers mean nothing; the statuses, headers and sizes do."""
    table = tmp_path / "table.md"
    command = [sys.executable, "-m", "benchmarks.timing", "--database", connection.vendor, "--n", "5"]
    command += ["--others", "50", "--smtp", "up", "--smtp", "down", "--output", str(table)]
    command += ["--only", "reset/throttled", "--only", "sign-in/throttled"]

    done = subprocess.run(command, cwd=services.ROOT, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode in {0, 1}, done.stderr
    lines = table.read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    expected = itertools.product(("up", "down"), ("reset", "sign-in"))
    assert [(cells[1], cells[0]) for cells in rows] == list(expected)
    assert {(cells[3], cells[-1]) for cells in rows} == {("5 / 5", "equal")}
    assert (done.returncode == 0) == ("**no**" not in table.read_text())
    assert table.read_text() in done.stdout
