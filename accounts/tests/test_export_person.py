"""``export_person``: the same file for who asks by another way than the portal's own page."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from accounts import privacy
from accounts.cpf import formatted
from accounts.models import SecurityEvent
from accounts.tests.factories import EmploymentFactory, UserFactory, cpf_of
from bnmp_portal.tests import services
from conftest import process_environment


@pytest.fixture
def person(db):
    return EmploymentFactory(user__name="JOÃO D'ÁVILA").user


def run(*arguments):
    """What the command writes to the screen."""
    told = io.StringIO()
    call_command("export_person", *arguments, stdout=told, stderr=io.StringIO())
    return told.getvalue()


def without_time(text):
    found = json.loads(text)
    del found["gerado_em"], found["eventos-de-seguranca"]
    return found


@pytest.mark.parametrize("write", [str, formatted])
def test_it_writes_what_the_persons_own_file_has_and_is_recorded(person, write):
    told = run(write(person.cpf))

    assert without_time(told) == without_time("".join(privacy.export(person)))
    assert "JOÃO D'ÁVILA" in told  # UTF-8, and no escapes
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.EXPORTED)
    assert (event.user, event.actor, event.detail) == (person, None, "linha de comando, na tela: iniciada")


def test_a_file_is_for_its_owner_alone(person, tmp_path):
    path = tmp_path / "pessoa.json"

    assert run(person.cpf, "--output", str(path)) == ""

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text(encoding="utf-8"))["cadastro"]["cpf"] == formatted(person.cpf)
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.EXPORTED)
    assert (event.user, event.actor, event.detail) == (person, None, "linha de comando, em arquivo")


def test_a_file_that_is_there_is_not_touched(person, tmp_path):
    path = tmp_path / "pessoa.json"
    path.write_text("de outra pessoa")

    with pytest.raises(CommandError, match="já existe"):
        run(person.cpf, "--output", str(path))

    assert path.read_text() == "de outra pessoa"
    assert not SecurityEvent.objects.exists()


def test_a_folder_that_is_not_there_is_said_in_a_sentence(person, tmp_path):
    with pytest.raises(CommandError, match="não pôde ser criado"):
        run(person.cpf, "--output", str(tmp_path / "nada" / "pessoa.json"))


def test_no_half_of_a_file_is_left_behind(person, tmp_path, monkeypatch):
    def fails_half_way(user):
        yield "{"
        raise OSError("the database is gone")

    monkeypatch.setattr(privacy, "export", fails_half_way)

    with pytest.raises(OSError, match="the database is gone"):
        run(person.cpf, "--output", str(tmp_path / "pessoa.json"))

    assert list(tmp_path.iterdir()) == []
    assert not SecurityEvent.objects.exists()  # nothing was exported


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (cpf_of(8_000_000), "Nenhuma pessoa com este CPF está no portal."),
        ("123", "CPF inválido."),
        ("²" * 11, "CPF inválido."),
    ],
)
def test_who_is_not_there_is_said_in_a_sentence_and_nobody_else_is_exported(db, typed, sentence):
    UserFactory()

    with pytest.raises(CommandError, match=sentence):
        run(typed)

    assert not SecurityEvent.objects.exists()


@pytest.mark.slow
def test_the_exit_status_of_an_unknown_cpf_is_one_and_the_screen_has_no_traceback(transactional_db):
    done = subprocess.run(
        [sys.executable, "manage.py", "export_person", cpf_of(8_000_000)],
        cwd=services.ROOT,
        env=process_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Nenhuma pessoa com este CPF está no portal." in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
