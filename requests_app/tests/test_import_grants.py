"""``manage.py import_grants``: what the file adds, what is refused and why, what a second run leaves as it is."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import zipfile
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.cpf import formatted
from accounts.models import OutgoingMail
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory, cpf_of
from requests_app import grants_file, workflow
from requests_app.grants_file import Outcome
from requests_app.models import AccessGrant, GrantEvent, GrantStatus

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, grant_of

pytestmark = pytest.mark.django_db

HEADER = "MATRÍCULA;SISTEMA;TIPO DE USUÁRIO;UNIDADE;DESDE;ATÉ"


def run(file: Path, *options: str) -> tuple[int, str]:
    """Exit status and everything that a terminal would show."""
    out = io.StringIO()
    try:
        call_command("import_grants", str(file), *options, stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}\n"
    return 0, out.getvalue()


@pytest.fixture
def catalogue(db):
    """BNMP 2.0, which asks for no unit, and SEEU, which does."""
    bnmp = ExternalSystemFactory(name="BNMP 2.0")
    seeu = ExternalSystemFactory(name="SEEU", asks_unit=True)
    UnitFactory(code="0002-100")
    return {
        "consulta": UserTypeFactory(system=bnmp, name="Consulta"),
        "servidor": UserTypeFactory(system=seeu, name="Servidor"),
    }


@pytest.fixture
def file_of(tmp_path):
    def write(*lines: str, header: str = HEADER, name: str = "acessos.csv") -> Path:
        path = tmp_path / name
        path.write_text("\r\n".join((header, *lines, "")))
        return path

    return write


def bond(matricula: str = "012345", **fields):
    return EmploymentFactory(matricula=matricula, **fields)


# --- What is applied ------------------------------------------------------------------------------------------------
def test_accesses_from_before_the_portal_are_there_with_their_history_and_nobody_is_mailed(catalogue, file_of):
    person = bond().user
    file = file_of("012345;BNMP 2.0;Consulta;;05/03/2019;", "012345;seeu;SERVIDOR;0002-100;;31/12/2099")

    status, output = run(file)

    assert status == 0
    assert output == (
        "Arquivo em UTF-8, separado por ponto e vírgula.\n"
        "Acessos novos: 2; já no portal: 0.\n"
        "Linhas recusadas: 0.\n"
        "Importação aplicada.\n"
    )

    without_unit, with_unit = AccessGrant.objects.order_by("pk")
    assert (without_unit.user, without_unit.user_type, without_unit.unit) == (person, catalogue["consulta"], None)
    assert timezone.localtime(without_unit.granted_at).date() == date(2019, 3, 5)
    assert without_unit.expires_on is None
    assert (with_unit.unit.code, with_unit.expires_on) == ("0002-100", date(2099, 12, 31))
    for grant in (without_unit, with_unit):
        assert (grant.status, grant.request) == (GrantStatus.ACTIVE, None)
        event = grant.events.get()
        assert (event.from_status, event.to_status, event.actor) == ("", GrantStatus.ACTIVE, None)
        assert event.note == "Acesso anterior ao portal (planilha acessos.csv)"
    assert not OutgoingMail.objects.exists()


@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_any_separator_any_order_of_columns_and_the_usual_encodings_are_read(catalogue, tmp_path, separator, encoding):
    bond()
    UserTypeFactory(system=catalogue["consulta"].system, name="Padrão")
    rows = [["Tipo Usuário", "Observação", "matrícula", "Sistema Externo"], ["Padrão", "", "012345", "BNMP 2.0"]]
    file = tmp_path / "acessos.csv"
    file.write_bytes("\n".join(separator.join(row) for row in rows).encode(encoding))

    status, output = run(file)

    assert status == 0
    assert "Colunas que não são usadas: 'Observação'." in output
    assert AccessGrant.objects.get().user_type.name == "Padrão"


def test_an_encoding_can_be_told(catalogue, tmp_path):
    bond()
    UserTypeFactory(system=catalogue["consulta"].system, name="Padrão")
    file = tmp_path / "acessos.csv"
    file.write_bytes("MATRÍCULA;SISTEMA;PERFIL\n012345;BNMP 2.0;Padrão\n".encode("cp850"))
    assert run(file, "--encoding", "cp850")[0] == 0
    assert run(file, "--encoding", "klingon")[1].startswith("A codificação 'klingon' não existe.")


@pytest.mark.parametrize("shape", ["plain", "formatted", "without zeros"])
def test_a_person_may_be_named_by_cpf(catalogue, file_of, shape):
    cpf = "01234567890"
    person = bond(user__cpf=cpf).user
    typed = {"plain": cpf, "formatted": formatted(cpf), "without zeros": cpf.lstrip("0")}[shape]
    assert run(file_of(f"{typed};BNMP 2.0;Consulta", header="CPF;SISTEMA;PERFIL"))[0] == 0
    assert AccessGrant.objects.get().user == person


def test_a_second_run_changes_nothing(catalogue, file_of):
    bond()
    file = file_of("012345;BNMP 2.0;Consulta;;05/03/2019;")
    run(file)
    before = list(AccessGrant.objects.values()), list(GrantEvent.objects.values())

    status, output = run(file)

    assert status == 0
    assert output == (
        "Arquivo em UTF-8, separado por ponto e vírgula.\n"
        "Acessos novos: 0; já no portal: 1.\n"
        "Linhas recusadas: 0.\n"
        "Importação aplicada.\n"
    )

    assert (list(AccessGrant.objects.values()), list(GrantEvent.objects.values())) == before


def test_what_was_revoked_meanwhile_does_not_come_back(catalogue, file_of):
    bond()
    file = file_of("012345;BNMP 2.0;Consulta;;;")
    run(file)
    workflow.move_grant(AccessGrant.objects.get().pk, GrantStatus.REVOKED, by=analyst(), note="saiu")

    status, output = run(file)

    assert status == 1
    assert "  Linha 2: este acesso já terminou no portal. Para tê-lo de novo, é preciso um pedido.\n" in output
    assert AccessGrant.objects.get().status == GrantStatus.REVOKED


@pytest.mark.parametrize("status", [GrantStatus.ACTIVE, GrantStatus.SUSPENDED, GrantStatus.TO_REVOKE])
def test_an_access_that_the_portal_gave_stays_as_it_is(catalogue, file_of, status):
    held = grant_of(bond(), user_type=catalogue["consulta"], status=status)
    assert "Acessos novos: 0; já no portal: 1." in run(file_of("012345;BNMP 2.0;Consulta;;;"))[1]
    held.refresh_from_db()
    assert (AccessGrant.objects.get(), held.status) == (held, status)


def test_a_dry_run_prints_the_same_plan_and_writes_nothing(catalogue, file_of):
    bond()
    file = file_of("012345;BNMP 2.0;Consulta;;;", "999;BNMP 2.0;Consulta;;;")
    dry = run(file, "--dry-run")
    assert not AccessGrant.objects.exists()
    assert "Simulação: nada foi aplicado." in dry[1]
    status, output = run(file)
    assert (dry[0], dry[1].replace("Simulação: nada foi aplicado.", "Importação aplicada.")) == (status, output)


def test_verbosity_0_leaves_only_the_exit_status(catalogue, file_of):
    bond()
    assert run(file_of("012345;BNMP 2.0;Consulta;;;"), "--verbosity", "0") == (0, "")


# --- What is refused ------------------------------------------------------------------------------------------------
TOMORROW = f"{timezone.localdate() + timedelta(days=1):%d/%m/%Y}"
YESTERDAY = f"{timezone.localdate() - timedelta(days=1):%d/%m/%Y}"
REFUSED = {
    "999999;BNMP 2.0;Consulta;;;": "a matrícula não está no cadastro de pessoal.",
    "12345;BNMP 2.0;Consulta;;;": "a matrícula não está no cadastro de pessoal. Seria 012345?",
    "1,23457E+10;BNMP 2.0;Consulta;;;": "a matrícula deve ter de 1 a 10 letras ou números.",
    "52998224725;BNMP 2.0;Consulta;;;": "a matrícula deve ter de 1 a 10 letras ou números.",
    ";BNMP 2.0;Consulta;;;": "falta a matrícula ou o CPF.",
    "777777;BNMP 2.0;Consulta;;;": (
        "a pessoa não tem vínculo ativo com o Tribunal. Retire o acesso dela no próprio sistema."
    ),
    "012345;;Consulta;;;": "falta o sistema.",
    "012345;BNPM 2.0;Consulta;;;": "o sistema “BNPM 2.0” não está no catálogo. Seria “BNMP 2.0”?",
    "012345;Xyz;Consulta;;;": "o sistema “Xyz” não está no catálogo.",
    "012345;BNMP 2.0;;;;": "falta o tipo de usuário.",
    "012345;BNMP 2.0;Consultas;;;": ("o tipo de usuário “Consultas” não está entre os de BNMP 2.0. Seria “Consulta”?"),
    "012345;BNMP 2.0;Servidor;;;": "o tipo de usuário “Servidor” não está entre os de BNMP 2.0.",
    "012345;BNMP 2.0;Consulta;0002-100;;": "BNMP 2.0 não pede a unidade. Deixe a coluna UNIDADE vazia.",
    "012345;SEEU;Servidor;;;": "SEEU pede a unidade. Informe o código dela na coluna UNIDADE.",
    "012345;SEEU;Servidor;9999;;": "a unidade “9999” não está no cadastro. Informe o código dela.",
    "012345;BNMP 2.0;Consulta;;30/02/2020;": "a data de DESDE não existe ou não está como dd/mm/aaaa.",
    "012345;BNMP 2.0;Consulta;;2020-02-03;": "a data de DESDE não existe ou não está como dd/mm/aaaa.",
    f"012345;BNMP 2.0;Consulta;;{TOMORROW};": "a data de DESDE ainda não chegou.",
    "012345;BNMP 2.0;Consulta;;;٣١/12/2099": "a data de ATÉ não existe ou não está como dd/mm/aaaa.",
    f"012345;BNMP 2.0;Consulta;;;{YESTERDAY}": "o acesso já venceu. Retire-o no próprio sistema.",
    "012345;BNMP 2.0;Consulta;;05/03/2019;04/03/2019": "a data de ATÉ é anterior à data de DESDE.",
    "012345;BNMP 2.0;Consulta;;;;x": "há mais células do que colunas no cabeçalho.",
    "012345;\x1b[2J529.982.247-25;Consulta;;;": "o sistema “ [2J***.982.247-**” não está no catálogo.",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_cannot_be_used_is_refused_with_its_reason_and_the_rest_is_applied(catalogue, file_of, line):
    bond()
    bond("777777", ended_on=date(2020, 1, 1))
    bond("000001")

    status, output = run(file_of("000001;BNMP 2.0;Consulta;;;", line))

    assert status == 3
    assert f"  Linha 3: {REFUSED[line]}\n" in output
    assert "Importação aplicada.\n" in output
    assert output.endswith("Linhas recusadas: 1. Corrija-as e importe de novo.\n")
    assert AccessGrant.objects.get().user.employments.get().matricula == "000001"


def test_the_second_of_two_lines_for_the_same_access_is_refused(catalogue, file_of):
    bond()
    status, output = run(file_of("012345;BNMP 2.0;Consulta;;;", "012345;bnmp 2.0;CONSULTA;;01/01/2020;"))
    assert (status, AccessGrant.objects.count()) == (3, 1)
    assert "  Linha 3: repete o acesso da linha 2.\n" in output


def test_a_cpf_of_nobody_or_of_somebody_else_is_refused_and_not_printed(catalogue, file_of):
    bond()
    other = bond("054321").user
    nobody = cpf_of(8_000_000)
    status, output = run(
        file_of(
            f"012345;{other.cpf};BNMP 2.0;Consulta",
            f";{nobody};BNMP 2.0;Consulta",
            ";11111111111;BNMP 2.0;Consulta",
            ";²²²²²²²²²²²;BNMP 2.0;Consulta",
            header="MATRÍCULA;CPF;SISTEMA;PERFIL",
        )
    )
    assert status == 1
    for sentence in (
        "  Linha 2: a matrícula e o CPF são de pessoas diferentes.\n",
        "  Linha 3: o CPF não está no cadastro de pessoal.\n",
        "  Linha 4: o CPF repete o mesmo número.\n",
        "  Linha 5: o CPF tem algarismos que não são comuns, como ² ou １.\n",
    ):
        assert sentence in output
    assert not re.search(r"[0-9]{11}|[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", output)


def test_somebody_who_may_not_sign_in_has_no_bond(catalogue, file_of):
    bond(user=UserFactory(is_active=False))
    assert run(file_of("012345;BNMP 2.0;Consulta;;;"))[0] == 1


def test_a_file_in_which_every_line_is_refused_applies_nothing(catalogue, file_of):
    status, output = run(file_of("999999;BNMP 2.0;Consulta;;;"))
    assert status == 1
    assert output.endswith("Nenhuma linha do arquivo pôde ser usada. Nada foi aplicado.\n")


# --- The report -----------------------------------------------------------------------------------------------------
def test_the_report_says_what_becomes_of_each_line(catalogue, file_of, tmp_path):
    bond()
    grant_of(bond("054321"), user_type=catalogue["consulta"])
    report = tmp_path / "resultado.csv"
    file = file_of("012345;BNMP 2.0;Consulta;;;", "054321;BNMP 2.0;Consulta;;;", "012345;=1+1;Consulta;;;")

    assert run(file, "--report", str(report))[0] == 3

    content = report.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert report.stat().st_mode & 0o077 == 0
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";")
    assert header == ["linha", "matrícula", "sistema", "tipo de usuário", "resultado", "motivo"]
    assert rows == [
        ["2", "012345", "BNMP 2.0", "Consulta", "novo", ""],
        ["3", "054321", "BNMP 2.0", "Consulta", "já estava no portal", ""],
        ["4", "012345", "'=1+1", "Consulta", "recusado", "o sistema “=1+1” não está no catálogo."],
    ]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "＝"])
def test_fault_21_no_cell_of_the_report_is_a_formula(catalogue, file_of, tmp_path, sign):
    bond()
    report = tmp_path / "resultado.csv"

    run(file_of(f"012345;{sign}1+1;Consulta;;;"), "--report", str(report))

    _header, row = csv.reader(io.StringIO(report.read_text("utf-8-sig"), newline=""), delimiter=";")
    assert row[2] == f"'{sign}1+1"


def test_a_report_to_where_nothing_is_kept_leaves_that_place_as_it_is(catalogue, file_of):
    bond()
    nothing = Path(os.devnull)
    before = nothing.stat().st_mode
    try:
        assert run(file_of("012345;BNMP 2.0;Consulta;;;"), "--report", os.devnull)[0] == 0
        assert nothing.stat().st_mode == before
    finally:
        if nothing.stat().st_mode != before:
            nothing.chmod(stat.S_IMODE(before))


@pytest.mark.parametrize("report", [".", "nao-existe/resultado.csv"])
def test_a_report_that_cannot_be_written_stops_before_anything(catalogue, file_of, tmp_path, report):
    bond()
    status, output = run(file_of("012345;BNMP 2.0;Consulta;;;"), "--report", str(tmp_path / report))
    assert status == 1
    assert output.startswith("O resultado não pôde ser gravado")
    assert not AccessGrant.objects.exists()


def test_the_report_is_not_written_over_the_file_that_is_read(catalogue, file_of):
    bond()
    file = file_of("012345;BNMP 2.0;Consulta;;;")
    before = file.read_bytes()
    assert run(file, "--report", str(file))[0] == 1
    assert file.read_bytes() == before


# --- Files that cannot be used --------------------------------------------------------------------------------------
def xlsx() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "O arquivo está vazio."),
        (b"\xef\xbb\xbf\r\n\r\n", "O arquivo está vazio."),
        (xlsx(), "O arquivo é uma planilha do Excel ou um arquivo compactado"),
        (b"MATR\0ICULA;SISTEMA;PERFIL\n", "O arquivo não é um texto que se possa ler: tem bytes nulos."),
        (HEADER.encode(), "O arquivo só tem o cabeçalho. Não há nenhum acesso nele."),
        (f"{HEADER}\n{HEADER}\n".encode(), "O arquivo só tem o cabeçalho."),
        (b"NOME;CARGO\nx;y\n", "Faltam colunas no cabeçalho do arquivo: MATRÍCULA (ou CPF), SISTEMA, TIPO DE USUÁRIO."),
        (b"CPF;SISTEMA;SISTEMA;PERFIL\nx;y;z;w\n", "Há colunas repetidas no cabeçalho do arquivo: SISTEMA."),
        (f'{HEADER}\n"x;y\n'.encode(), "A partir da linha 2, há aspas que não abrem ou não fecham."),
    ],
)
def test_fault_23_a_file_that_cannot_be_used_leaves_one_sentence(db, tmp_path, content, sentence):
    file = tmp_path / "acessos.csv"
    file.write_bytes(content)
    status, output = run(file)
    assert status == 1
    assert output.startswith(sentence)
    assert output.endswith("Nada foi aplicado.\n")
    assert output.count("\n") == 1


def test_fault_23_of_a_file_of_a_gigabyte_no_more_is_read_than_may_be_used(db, tmp_path):
    file = tmp_path / "grande.csv"
    with file.open("wb") as stream:
        stream.truncate(1024**3)  # a hole: it takes no room on the disk
    assert run(file) == (1, "O arquivo passa de 200 MB. Confira se é o arquivo certo. Nada foi aplicado.\n")


@pytest.mark.parametrize("name", ["nao-existe.csv", "."])
def test_a_file_that_is_not_there_leaves_one_line(db, tmp_path, name):
    status, output = run(tmp_path / name)
    assert (status, output.count("\n")) == (1, 1)
    assert "não pôde ser lido" in output


# --- Between the plan and its application ---------------------------------------------------------------------------
def test_all_or_nothing_where_somebody_got_one_of_them_meanwhile(catalogue):
    person, other = bond(), bond("054321")
    lines = b"MATRICULA;SISTEMA;PERFIL\n054321;BNMP 2.0;Consulta\n012345;BNMP 2.0;Consulta\n"
    plan = grants_file.plan(grants_file.read(lines))
    assert plan.count(Outcome.NEW) == 2
    grant_of(person, user_type=catalogue["consulta"])

    with pytest.raises(grants_file.DirectoryChangedError, match="Importe o arquivo de novo"):
        grants_file.apply(plan, source="acessos.csv")

    assert not other.user.grants.exists()
    assert AccessGrant.objects.count() == 1


def test_300_lines_cost_a_few_batches_and_no_query_each(catalogue):
    def queries(numbers):
        for number in numbers:
            bond(f"{number:06d}")
        lines = "".join(f"{number:06d};BNMP 2.0;Consulta\n" for number in numbers)
        with CaptureQueriesContext(connection) as captured:
            plan = grants_file.plan(grants_file.read(f"MATRICULA;SISTEMA;PERFIL\n{lines}".encode()))
            grants_file.apply(plan, source="acessos.csv")
        return len(captured)

    with_three = queries(range(3))
    assert queries(range(3, 303)) < with_three + 10  # SQLite stores fewer rows at once
    assert AccessGrant.objects.count() == 303


def test_300_lines_that_lost_their_zeros_cost_a_few_batches_and_no_query_each(catalogue):
    def told(numbers):
        for number in numbers:
            bond(f"{number:06d}")
        lines = "".join(f"{number};BNMP 2.0;Consulta\n" for number in numbers)
        with CaptureQueriesContext(connection) as captured:
            plan = grants_file.plan(grants_file.read(f"MATRICULA;SISTEMA;PERFIL\n{lines}".encode()))
        return len(captured), [told.sentence for told in plan.refused]

    with_three, _sentences = told(range(1, 4))
    with_300, sentences = told(range(4, 304))
    assert with_300 < with_three + 10
    known = "a matrícula não está no cadastro de pessoal."
    assert sentences == [f"{known} Seria {number:06d}?" for number in range(4, 304)]


def test_a_matricula_that_could_be_two_with_zeros_is_not_guessed(catalogue, file_of):
    for matricula in ("0012345", "012345"):
        bond(matricula)
    _status, output = run(file_of("12345;BNMP 2.0;Consulta;;;"))
    assert "a matrícula não está no cadastro de pessoal.\n" in output


def test_a_report_that_was_there_before_becomes_its_owners_alone(catalogue, file_of, tmp_path):
    bond()
    report = tmp_path / "resultado.csv"
    report.touch(0o644)
    report.chmod(0o644)
    status, _output = run(file_of("012345;BNMP 2.0;Consulta;;;"), "--report", str(report))
    assert (status, stat.S_IMODE(report.stat().st_mode)) == (0, 0o600)


def test_the_name_of_the_file_in_the_history_is_harmless(catalogue, file_of):
    bond()
    run(file_of("012345;BNMP 2.0;Consulta;;;", name="529.982.247-25 \u202eacessos.csv"))
    assert GrantEvent.objects.get().note == "Acesso anterior ao portal (planilha ***.982.247-**  acessos.csv)"
