"""``manage.py import_directory``: what it prints, what it leaves, its exit status."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from accounts import directory
from accounts.models import Employment, User
from accounts.tests.test_directory import EXAMPLE, PERSON, hr_file, person

pytestmark = pytest.mark.django_db


def run(file: Path, *options: str) -> tuple[int, str]:
    """Exit status and everything that a terminal would show."""
    out = StringIO()
    try:
        call_command("import_directory", str(file), *options, stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}\n"
    return 0, out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "servidores.csv"
    path.write_text(hr_file(*[person(number) for number in range(10)]))
    return path


def test_a_file_without_faults_is_applied(file: Path) -> None:
    status, output = run(file)

    assert status == 0
    assert output == (
        "Arquivo em UTF-8, separado por ponto e vírgula.\n"
        "Unidades novas: 1; alteradas: 0.\n"
        "Pessoas novas: 10; alteradas: 0; sem mudança: 0.\n"
        "Vínculos novos: 10; alterados: 0; encerrados por não estarem no arquivo: 0; sem mudança: 0.\n"
        "CPFs corrigidos com os zeros que faltavam no início: 0.\n"
        "E-mails alterados, com aviso ao endereço anterior: 0.\n"
        "Linhas recusadas: 0.\n"
        "Importação aplicada.\n"
    )
    assert User.objects.count() == 10


def test_refused_lines_are_told_with_their_reason_and_the_rest_is_applied() -> None:
    status, output = run(EXAMPLE)

    assert status == 3
    assert "  Linha 129, matrícula 200127: o CPF está errado: os dois últimos números não conferem.\n" in output
    assert "  Linha 134: falta a matrícula.\n" in output
    assert "  Linha 11: ***.666.617-**\n" in output
    assert "Linhas recusadas: 12." in output
    assert Employment.objects.count() == 128


def test_no_whole_cpf_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "trocadas.csv"
    file.write_text(
        hr_file(PERSON | {"MATRÍCULA": "52998224725", "CPF": "012345"}, person(1, CPF="52998224726"), person(2))
    )

    for output in (run(file)[1], run(EXAMPLE)[1]):
        assert "Linhas recusadas: " in output
        assert not re.search(r"[0-9]{11}|[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", output)


def test_fault_23_of_a_file_of_gigabytes_no_more_is_read_than_may_be_used(tmp_path: Path) -> None:
    file = tmp_path / "grande.csv"
    with file.open("wb") as stream:
        stream.truncate(directory.LARGEST_FILE)  # a hole: it takes no room on the disk
    holes = run(file)
    with file.open("ab") as stream:
        stream.truncate(directory.LARGEST_FILE + 1)

    tracemalloc.start()
    try:
        too_large = run(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert holes[0] == 1
    assert holes[1].startswith("O arquivo não é um texto que se possa ler: tem bytes nulos.")
    assert too_large == (1, "O arquivo passa de 2048 MB. Confira se é o arquivo certo. Nada foi aplicado.\n")
    assert peak < 50 * 1024 * 1024


def test_a_dry_run_prints_the_same_plan_and_writes_nothing() -> None:
    dry_status, dry_output = run(EXAMPLE, "--dry-run")

    assert not User.objects.exists()
    assert "Simulação: nada foi aplicado." in dry_output
    status, output = run(EXAMPLE)
    assert (dry_status, dry_output.replace("Simulação: nada foi aplicado.", "Importação aplicada.")) == (status, output)


def test_a_second_run_says_that_nothing_changed(file: Path) -> None:
    run(file)

    status, output = run(file)

    assert status == 0
    assert "Pessoas novas: 0; alteradas: 0; sem mudança: 10." in output
    assert "Vínculos novos: 0; alterados: 0; encerrados por não estarem no arquivo: 0; sem mudança: 10." in output


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_too_many_departures_are_refused_until_allowed(file: Path, dry_run: list[str]) -> None:
    run(file)
    file.write_text(hr_file(*[person(number) for number in range(4)]))

    status, output = run(file, *dry_run)

    assert status == 1
    assert output.endswith(
        "O arquivo encerraria 6 de 10 vínculos, e o limite é 5. Confira se o arquivo está completo. "
        "Se estiver, use --allow-departures 6. Nada foi aplicado.\n"
    )
    assert not Employment.objects.exclude(ended_on=None).exists()
    assert run(file, "--allow-departures", "6")[0] == 0
    assert Employment.objects.exclude(ended_on=None).count() == 6


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "O arquivo está vazio."),
        (b"PK\x03\x04", "O arquivo é uma planilha do Excel"),
        (b"NOME;CPF\nMARIA;1\n", "Faltam colunas no cabeçalho do arquivo: MATRÍCULA, CARGO, CÓD. LOTAÇÃO"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_one_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "ruim.csv"
    file.write_bytes(content)

    status, output = run(file)

    assert status == 1
    assert output.startswith(sentence)
    assert output.endswith("Nada foi aplicado.\n")
    assert output.count("\n") == 1


@pytest.mark.parametrize("name", ["nao-existe.csv", "."])
def test_a_file_that_is_not_there_leaves_one_line(tmp_path: Path, name: str) -> None:
    status, output = run(tmp_path / name)

    assert status == 1
    assert "não pôde ser lido" in output
    assert output.count("\n") == 1


def test_a_file_in_which_every_line_is_refused_applies_nothing(file: Path) -> None:
    run(file)
    file.write_text(hr_file(person(1, CPF="1")))

    status, output = run(file)

    assert status == 1
    assert "  Linha 2, matrícula 000001: o CPF tem menos de 11 números." in output
    assert output.endswith("Nenhuma linha do arquivo pôde ser usada. Nada foi aplicado.\n")
    assert not Employment.objects.exclude(ended_on=None).exists()


def test_an_encoding_can_be_told(file: Path) -> None:
    file.write_bytes(hr_file(PERSON | {"NOME": "CONCEIÇÃO"}).encode("cp850"))

    assert run(file, "--encoding", "cp850")[0] == 0
    assert User.objects.get().name == "CONCEIÇÃO"
    assert run(file, "--encoding", "klingon")[1].startswith("A codificação 'klingon' não existe.")


def test_a_unicode_text_of_a_spreadsheet_is_read_by_itself(file: Path) -> None:
    file.write_bytes(hr_file(PERSON | {"NOME": "CONCEIÇÃO"}, separator="\t").encode("utf-16"))

    status, output = run(file)

    assert (status, output.splitlines()[0]) == (0, "Arquivo em UTF-16, separado por tabulação.")
    assert User.objects.get().name == "CONCEIÇÃO"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_is_read_when_told(file: Path, encoding: str) -> None:
    file.write_bytes(hr_file(PERSON | {"NOME": "CONCEIÇÃO"}).encode(encoding))

    assert "bytes nulos" in run(file)[1]
    assert run(file, "--encoding", encoding)[0] == 0
    assert User.objects.get().name == "CONCEIÇÃO"


def test_utf_16_that_is_cut_off_is_refused_with_a_sentence(file: Path) -> None:
    file.write_bytes(hr_file(PERSON).encode("utf-16")[:-1])

    status, output = run(file)

    assert (status, output.count("\n")) == (1, 1)
    assert output.startswith("O arquivo tem bytes que não são de utf-16")


def test_a_null_character_inside_a_cell_refuses_its_line(file: Path) -> None:
    file.write_bytes(hr_file(person(1, CARGO="Juiz\0Leigo"), person(2)).encode("utf-16"))

    status, output = run(file)

    assert (status, User.objects.get().cpf) == (3, person(2)["CPF"])
    assert "Linha 2, matrícula 000001: a coluna CARGO tem caracteres invisíveis." in output


@pytest.mark.parametrize(("told", "separator"), [("tab", "\t"), ("|", "|"), (";", ";")])
def test_a_separator_can_be_told(file: Path, told: str, separator: str) -> None:
    """The header is made of other separators, so that it would be found wrong."""
    header = [*PERSON, ",".join(["SIGLA"] + ["NOME"] * 30)]
    file.write_text(hr_file(person(1), header=header, separator=separator).replace('"', ""))

    assert run(file)[0] == 1
    assert run(file, "--separator", told)[0] == 0
    assert User.objects.get().cpf == person(1)["CPF"]


def test_a_separator_that_nobody_uses_is_refused(file: Path) -> None:
    status, output = run(file, "--separator", "x")

    assert (status, "--separator" in output) == (1, True)
    assert not User.objects.exists()


@pytest.mark.parametrize("known", [False, True], ids=["while planning", "while writing"])
def test_a_database_that_gives_up_leaves_one_sentence(file: Path, known: bool) -> None:
    def give_up(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if 'INSERT INTO "accounts_user"' in sql if known else '"accounts_employment"' in sql:
            raise OperationalError("canceling statement due to statement timeout\nDETAIL: ...")
        return execute(sql, *arguments)

    with connection.execute_wrapper(give_up):
        status, output = run(file)

    assert status == 1
    assert output.splitlines()[-1].startswith("O banco de dados não respondeu ou interrompeu a importação.")
    assert "statement" not in output
    assert not User.objects.exists()


def test_columns_that_nobody_knows_are_listed(file: Path) -> None:
    file.write_text(hr_file(PERSON, header=["SIGLA", *PERSON, "\x1b[2JX"]))

    status, output = run(file)

    assert status == 0
    assert r"Colunas que não são usadas: 'SIGLA', '\x1b[2JX'." in output


def test_verbosity_0_leaves_only_the_exit_status(file: Path) -> None:
    assert run(file, "--verbosity", "0") == (0, "")
    assert User.objects.count() == 10
