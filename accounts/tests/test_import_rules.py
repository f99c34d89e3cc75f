"""What an import may not do: to people from outside the file, to a person's CPF, with the mailbox of a unit."""

from __future__ import annotations

import csv
import os
import stat
from datetime import date
from pathlib import Path

import pytest

from accounts import directory, resets
from accounts.directory import Reason
from accounts.models import Employment, SecurityEvent, Session, Unit, User
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory
from accounts.tests.test_directory import EXAMPLE, EXPECTED, HEADER, hr_file, import_people, person, plan_of, reasons
from accounts.tests.test_import_command import run
from requests_app.tests.factories import manager
from requests_app.tests.pages import Page
from requests_app.tests.test_request_form import NEW, answers

pytestmark = pytest.mark.django_db
RIGHT_CPF = person(90)["CPF"]


def save(tmp_path: Path, *people: dict[str, str], header: list[str] = HEADER) -> Path:
    file = tmp_path / "servidores.csv"
    file.write_text(hr_file(*people, header=header))
    return file


def corrected(number: int, **cells: str) -> dict[str, str]:
    """The same person, under the CPF that was wrong before."""
    return person(number, CPF=RIGHT_CPF, **cells)


# --- People from outside the file ------------------------------------------------------------------------------------
@pytest.fixture
def outsider() -> Employment:
    return EmploymentFactory(
        matricula="MP-01",
        kind=Employment.Kind.PROSECUTION,
        sponsor=UserFactory(email=""),
        ended_on=date(2099, 12, 31),
        user__cpf=person(50)["CPF"],
        user__name=person(50)["NOME"],
        user__email="",
    )


def test_an_import_does_not_end_bonds_of_people_from_outside_the_file(outsider: Employment) -> None:
    import_people(person(1), person(2))

    plan = import_people(person(1))

    assert (plan.open_bonds, plan.left_bonds) == (2, 1)
    outsider.refresh_from_db()
    assert outsider.ended_on == date(2099, 12, 31)


def test_a_line_with_the_matricula_of_somebody_from_outside_is_refused(outsider: Employment, tmp_path: Path) -> None:
    line = person(50, MATRÍCULA="MP-01", CARGO="Juiz Leigo", FIM="31/12/2030")

    status, output = run(save(tmp_path, line, person(1)))

    assert status == 3
    assert (
        "Linha 2, matrícula MP-01: a matrícula é de um vínculo de fora do cadastro de pessoal (Ministério Público)."
        in output
    )
    outsider.refresh_from_db()
    assert (outsider.cargo, outsider.kind, outsider.ended_on) == (
        "Analista Judiciário",
        Employment.Kind.PROSECUTION,
        date(2099, 12, 31),
    )


def test_somebody_from_outside_who_is_appointed_is_the_same_person(outsider: Employment) -> None:
    import_people(person(50))

    assert User.objects.filter(cpf=person(50)["CPF"]).count() == 1
    assert sorted(outsider.user.employments.values_list("matricula", "kind")) == [
        ("000050", "DIRECTORY"),
        ("MP-01", "PROSECUTION"),
    ]


# --- A corrected CPF -------------------------------------------------------------------------------------------------
def test_a_corrected_cpf_makes_no_second_person_until_it_is_confirmed(tmp_path: Path) -> None:
    import_people(person(1), person(2))
    file = save(tmp_path, corrected(1, NOME=person(1)["NOME"].lower()), person(2))

    status, output = run(file)

    assert status == 3
    assert (
        "Linha 2, matrícula 000001: o CPF desta matrícula mudou. Se o novo estiver certo, confirme-o e importe de novo."
        in output
    )
    assert "CPFs trocados" not in output
    assert set(User.objects.values_list("cpf", flat=True)) == {person(1)["CPF"], person(2)["CPF"]}
    assert not Employment.objects.exclude(ended_on=None).exists()


def test_a_confirmed_cpf_is_given_to_the_same_person(tmp_path: Path, client) -> None:
    import_people(person(1), person(2))
    user = User.objects.get(cpf=person(1)["CPF"])
    user.set_password("uma frase que ninguém adivinha")
    user.save()
    client.force_login(user)
    link = resets.link_for(user).split("/", 3)[3]
    file = save(tmp_path, corrected(1), person(2))

    planned = run(file, "--accept-cpf", "000001", "--dry-run")
    assert User.objects.get(pk=user.pk).cpf == person(1)["CPF"]
    status, output = run(file, "--accept-cpf", "000001")

    assert (status, planned[0]) == (0, 0)
    for told in (output, planned[1]):
        assert "CPFs trocados, com confirmação: 1.\n  Linha 2, matrícula 000001: ***." in told
        assert RIGHT_CPF not in told
    assert User.objects.count() == 2
    again = User.objects.get(cpf=RIGHT_CPF)
    assert (again.pk, again.email) == (user.pk, "pessoa.1@tjms.jus.br")
    assert again.check_password("uma frase que ninguém adivinha")
    assert not Session.objects.filter(user=user).exists()
    assert client.get(f"/{link}").status_code == 410
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.PERSON_CHANGED)
    assert event.user == user
    assert event.detail.startswith("CPF, pelo arquivo de pessoal: ***.")
    assert RIGHT_CPF not in event.detail

    status, output = run(file, "--accept-cpf", "000001")
    assert (status, "Pessoas novas: 0; alteradas: 0; sem mudança: 2." in output) == (0, True)


def test_a_bond_that_is_new_comes_under_the_corrected_cpf_with_it_or_not_at_all() -> None:
    import_people(person(1))
    both = corrected(1), corrected(1, MATRÍCULA="9", CARGO="Juiz Leigo")

    assert reasons(import_people(*both, person(2))) == [(2, Reason.CPF_CHANGED), (3, Reason.CPF_CHANGED)]
    assert not User.objects.filter(cpf=RIGHT_CPF).exists()

    import_people(*both, person(2), accept_cpfs=["000001"])
    assert sorted(User.objects.get(cpf=RIGHT_CPF).employments.values_list("matricula", flat=True)) == ["000001", "9"]


def test_whose_correction_waits_has_not_left() -> None:
    import_people(person(1), person(1, MATRÍCULA="9"), person(2), person(3))

    plan = import_people(corrected(1), person(2))

    assert plan.left_bonds == 1
    assert set(Employment.objects.filter(ended_on=None).values_list("matricula", flat=True)) == {
        "000001",
        "9",
        "000002",
    }


def test_a_refused_line_with_the_corrected_cpf_keeps_the_bonds_of_its_person() -> None:
    """They have the old CPF in the plan and the new one when it is written."""
    import_people(person(1), person(1, MATRÍCULA="9"), person(2))
    wrong = corrected(1, MATRÍCULA="7", INÍCIO="31/02/2020")

    plan = import_people(corrected(1), wrong, person(2), accept_cpfs=["000001"])

    assert (reasons(plan), plan.left_bonds) == ([(3, Reason.DATE_UNKNOWN)], 0)
    assert User.objects.filter(cpf=RIGHT_CPF, employments__matricula="9", employments__ended_on=None).exists()


def test_a_confirmation_for_a_matricula_that_the_file_does_not_have_applies_nothing(tmp_path: Path) -> None:
    import_people(person(1), person(2))
    file = save(tmp_path, corrected(1), person(2), person(3))

    status, output = run(file, "--accept-cpf", "000001", "--accept-cpf", "00001")

    assert (status, output) == (1, "O arquivo não tem a matrícula '00001', de --accept-cpf. Nada foi aplicado.\n")
    assert set(User.objects.values_list("cpf", flat=True)) == {person(1)["CPF"], person(2)["CPF"]}


def test_a_cpf_of_somebody_else_is_not_given_away(tmp_path: Path) -> None:
    import_people(person(1), person(2))
    file = save(tmp_path, person(1, CPF=person(2)["CPF"]))
    somebody = UserFactory(cpf=RIGHT_CPF, email="")

    assert reasons(plan_of(corrected(1), person(2), accept_cpfs=["000001"])) == [(2, Reason.MATRICULA_TWO_PEOPLE)]
    status, output = run(file, "--accept-cpf", "000001")

    assert (status, "a matrícula já é de outra pessoa do cadastro" in output) == (1, True)
    assert not somebody.employments.exists()
    assert Employment.objects.get(matricula="000001").user.cpf == person(1)["CPF"]


def test_another_name_under_the_matricula_is_another_person() -> None:
    import_people(person(1), person(2))

    plan = import_people(corrected(1, NOME="OUTRA PESSOA"), person(2), accept_cpfs=["000001"])

    assert reasons(plan) == [(2, Reason.MATRICULA_TWO_PEOPLE)]
    assert not User.objects.filter(cpf=RIGHT_CPF).exists()


def test_one_cpf_is_not_given_to_two_people_of_one_name() -> None:
    import_people(person(1), person(2, NOME=person(1)["NOME"]), person(3))

    plan = import_people(
        corrected(1),
        corrected(2, NOME=person(1)["NOME"], **{"E-MAIL": "pessoa.1@tjms.jus.br"}),
        person(3),
        accept_cpfs=["000001"],
    )

    assert reasons(plan) == [(2, Reason.CPF_CHANGED), (3, Reason.CPF_CHANGED)]
    assert not User.objects.filter(cpf=RIGHT_CPF).exists()


def test_a_file_with_both_cpfs_of_a_person_changes_neither() -> None:
    import_people(person(1), person(1, MATRÍCULA="9"), person(3))

    plan = import_people(corrected(1, **{"E-MAIL": ""}), person(1, MATRÍCULA="9"), person(3), accept_cpfs=["000001"])

    assert reasons(plan) == [(2, Reason.CPF_CHANGED)]
    assert set(User.objects.values_list("cpf", flat=True)) == {person(1)["CPF"], person(3)["CPF"]}


@pytest.mark.parametrize("right", ["is_staff", "is_superuser"])
def test_the_cpf_of_the_staff_is_not_changed_by_a_file(tmp_path: Path, right: str) -> None:
    import_people(person(1), person(2))
    User.objects.filter(cpf=person(1)["CPF"]).update(**{right: True})

    status, output = run(save(tmp_path, corrected(1), person(2)), "--accept-cpf", "000001")

    assert status == 3
    assert "o CPF desta matrícula mudou, mas a pessoa é da equipe." in output
    assert not User.objects.filter(cpf=RIGHT_CPF).exists()


# --- Mailboxes of units ----------------------------------------------------------------------------------------------
WITH_UNIT_EMAIL = [*HEADER, "E-MAIL DA LOTAÇÃO"]
SHARED = "bairro.alto@tjms.jus.br"


def test_the_mailbox_of_a_unit_is_filled_in_by_its_column_and_kept_where_the_cell_is_blank(tmp_path: Path) -> None:
    assert run(save(tmp_path, person(1, **{"E-MAIL DA LOTAÇÃO": SHARED.upper()}), header=WITH_UNIT_EMAIL))[0] == 0
    assert Unit.objects.get().email == SHARED

    status, output = run(save(tmp_path, person(1, **{"E-MAIL DA LOTAÇÃO": ""}), header=WITH_UNIT_EMAIL))
    assert (status, "Unidades novas: 0; alteradas: 0." in output) == (0, True)
    assert Unit.objects.get().email == SHARED

    run(save(tmp_path, person(1, **{"E-MAIL DA LOTAÇÃO": "outro@tjms.jus.br"}), header=WITH_UNIT_EMAIL))
    assert Unit.objects.get().email == "outro@tjms.jus.br"


def test_the_mailbox_of_a_unit_that_the_file_names_is_nobodys(tmp_path: Path) -> None:
    first = person(1, **{"E-MAIL DA LOTAÇÃO": SHARED})
    second = person(2, **{"E-MAIL": SHARED.upper(), "CÓD. LOTAÇÃO": "0002-001"})

    status, output = run(save(tmp_path, first, second, header=WITH_UNIT_EMAIL))

    assert status == 3
    assert "Linha 3, matrícula 000002: o e-mail é de uma unidade. Informe o e-mail da própria pessoa." in output
    assert not User.objects.filter(email=SHARED).exists()


def test_the_mailbox_of_a_unit_that_is_in_the_directory_is_nobodys(tmp_path: Path) -> None:
    UnitFactory(email=SHARED.title())

    plan = import_people(person(1, **{"E-MAIL": SHARED}), person(2))

    assert reasons(plan) == [(2, Reason.EMAIL)]


def test_a_mailbox_of_a_unit_that_is_no_address_is_refused(tmp_path: Path) -> None:
    status, output = run(save(tmp_path, person(1, **{"E-MAIL DA LOTAÇÃO": "vara"}), person(2), header=WITH_UNIT_EMAIL))

    assert (status, "Linha 2, matrícula 000001: o e-mail da lotação está escrito errado." in output) == (3, True)


def test_the_mailbox_of_a_unit_is_not_given_to_a_person_by_hand(client) -> None:
    UnitFactory(email=SHARED)
    user = EmploymentFactory(user__email="ana@tjms.jus.br").user
    client.force_login(manager())

    page = client.post(f"/admin/accounts/user/{user.pk}/email/", {"email": SHARED.upper(), "reason": "Ligou."})

    assert "Este é o e-mail de uma unidade. Use o e-mail da própria pessoa." in page.content.decode()
    user.refresh_from_db()
    assert user.email == "ana@tjms.jus.br"


@pytest.mark.parametrize("whose", ["of a unit", "of somebody else"])
def test_who_asks_gives_their_own_address(client, whose: str) -> None:
    if whose == "of a unit":
        UnitFactory(email=SHARED.title())
    else:
        UserFactory(email=SHARED.title())
    client.force_login(EmploymentFactory(cargo="Chefe de Cartório").user)

    page = Page(client.post(NEW, answers(requester_email=SHARED)))

    assert "Informe seu e-mail pessoal do Tribunal" in page.beside("requester_email")


# --- The list of refused and repaired lines --------------------------------------------------------------------------
def rows_of(report: Path) -> list[list[str]]:
    content = report.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(content.decode("utf-8-sig").splitlines(), delimiter=";"))


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_the_report_lists_every_refused_and_every_repaired_line(tmp_path: Path, dry_run: list[str]) -> None:
    report = tmp_path / "relatorio.csv"
    report.write_text("de ontem")
    report.chmod(0o644)

    assert run(EXAMPLE, "--report", str(report), *dry_run)[0] == 3

    header, *lines = rows_of(report)
    assert header == ["LINHA", "MATRÍCULA", "CPF", "SITUAÇÃO", "MOTIVO"]
    assert [line[0] for line in lines if line[3] == "recusada"] == [*map(str, range(129, 139)), "140", "141"]
    repaired = [line for line in lines if line[3] == "corrigida"]
    assert [line[0] for line in repaired] == [*map(str, EXPECTED["cpf_zeros_restored"])]
    assert (repaired[0][0], repaired[0][2]) == ("11", "***.666.617-**")
    assert "zeros" in repaired[0][4]
    refused = next(line for line in lines if line[0] == "129")
    assert refused[1] == "200127"
    assert refused[4] == "o CPF está errado: os dois últimos números não conferem."
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert not any(len(cell) == 11 and cell.isdigit() for line in lines for cell in line)
    assert [path.name for path in tmp_path.iterdir()] == ["relatorio.csv"]


def test_no_cell_of_the_report_is_a_formula_or_loses_its_zeros(tmp_path: Path) -> None:
    report = tmp_path / "relatorio.csv"
    file = save(tmp_path, person(1, CPF="1"), person(2, MATRÍCULA="=1+1"), person(3))

    run(file, "--report", str(report))

    assert [line[1] for line in rows_of(report)[1:]] == ["'000001", ""]


def test_the_report_never_takes_the_place_of_the_imported_file(tmp_path: Path) -> None:
    file = save(tmp_path, person(1, CPF="1"), person(2))
    before = file.read_bytes()
    link, hard_link = tmp_path / "atalho.csv", tmp_path / "outro-nome.csv"
    link.symlink_to(file)
    os.link(file, hard_link)

    for report in (file, link, hard_link):
        status, output = run(file, "--report", str(report))
        assert (status, "não pode ter o nome do arquivo que é importado" in output) == (1, True)

    assert file.read_bytes() == before
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["nao/existe.csv", ".", "a" * 300])
def test_a_report_that_cannot_be_written_is_said_before_anything_is_applied(tmp_path: Path, name: str) -> None:
    status, output = run(save(tmp_path, person(1)), "--report", str(tmp_path / name))

    assert status == 1
    assert output.startswith("O relatório ")
    assert output.endswith("Nada foi aplicado.\n")
    assert not User.objects.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["servidores.csv"]


def test_the_screen_shows_the_first_refused_lines_and_how_many_more_there_are(tmp_path: Path) -> None:
    wrong = [person(number, CPF="1") for number in range(directory.SHOWN + 7)]
    report = tmp_path / "relatorio.csv"

    status, output = run(save(tmp_path, *wrong, person(900)), "--report", str(report))

    assert status == 3
    assert output.count("o CPF tem menos de 11 números") == directory.SHOWN
    assert "  … e mais 7.\n" in output
    assert len(rows_of(report)) == 1 + directory.SHOWN + 7
