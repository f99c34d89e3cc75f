"""The HR file: what is read, what is refused and why, what it changes in the directory."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from validate_docbr import CPF

from accounts import directory
from accounts.directory import Reason
from accounts.models import Employment, Unit, User

EXAMPLE = Path(__file__).parent / "data/servidores-exemplo.csv"
EXPECTED = json.loads(EXAMPLE.with_suffix(".esperado.json").read_text())
TODAY = date(2026, 3, 10)

HEADER = "MATRÍCULA NOME NOME_SOCIAL CPF E-MAIL TELEFONE CARGO QUADRO CÓD._LOTAÇÃO LOTAÇÃO COMARCA INÍCIO FIM".split()
HEADER = [label.replace("_", " ") for label in HEADER]
PERSON = {
    "MATRÍCULA": "012345",
    "NOME": "MARIA DE SOUZA",
    "NOME SOCIAL": "",
    "CPF": "529.982.247-25",
    "E-MAIL": "maria.souza@tjms.jus.br",
    "TELEFONE": "(67) 3314-0000",
    "CARGO": "Analista Judiciário",
    "QUADRO": "Quadro de pessoal",
    "CÓD. LOTAÇÃO": "0001-011",
    "LOTAÇÃO": "1ª Vara Criminal",
    "COMARCA": "Campo Grande",
    "INÍCIO": "08/02/2012",
    "FIM": "",
}


def cpf_of(number: int) -> str:
    """A valid CPF, always the same for a number."""
    return next(f"{number:09d}{ending:02d}" for ending in range(100) if CPF().validate(f"{number:09d}{ending:02d}"))


def person(number: int, **cells: str) -> dict[str, str]:
    """Cells of an invented person; keywords with ``_`` for a space."""
    return {
        **PERSON,
        "MATRÍCULA": f"{number:06d}",
        "NOME": f"PESSOA {'ABCDEFGHIJ'[number % 10]} {number}",
        "CPF": cpf_of(100_000_000 + number),
        "E-MAIL": f"pessoa.{number}@tjms.jus.br",
        **{name.replace("_", " "): cell for name, cell in cells.items()},
    }


def hr_file(*people: dict[str, str], header: list[str] = HEADER, separator: str = ";") -> str:
    """The text of a file. People without a cell of the header get an empty one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, delimiter=separator, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(people)
    return text.getvalue()


@dataclass
class Seen:
    """What was read, its lines in memory; files of tests are short."""

    encoding: str
    separator: str
    unknown_columns: list[str]
    repeated: int
    rows: list[directory.Row]
    refused: list[directory.Refused]


def seen(content: bytes, encoding: str | None = None) -> Seen:
    with directory.read(io.BytesIO(content), encoding=encoding) as reading:
        return Seen(
            reading.encoding,
            reading.separator,
            reading.unknown_columns,
            reading.repeated,
            list(reading.store.rows()),
            list(reading.store.refused()),
        )


def read(*people: dict[str, str], **options: Any) -> Seen:
    return seen(hr_file(*people, **options).encode())


def plan_of(*people: dict[str, str], **options: Any) -> directory.Plan:
    return directory.plan(directory.read(io.BytesIO(hr_file(*people).encode())), **options)


def reasons(found: Seen | directory.Plan) -> list[tuple[int, Reason]]:
    lines = found.refused if isinstance(found, Seen) else found.reading.store.refused()
    return [(refused.line, refused.reason) for refused in lines]


def import_people(*people: dict[str, str], accept_cpfs: Collection[str] = (), **options: Any) -> directory.Plan:
    """Read, plan and apply."""
    plan = plan_of(*people, accept_cpfs=accept_cpfs)
    directory.apply(plan, **options)
    return plan


def import_file(content: bytes) -> directory.Plan:
    plan = directory.plan(directory.read(io.BytesIO(content)))
    directory.apply(plan)
    return plan


def changes(plan: directory.Plan) -> dict[str, int]:
    """How many objects the plan writes, those it does not touch left out."""
    counts = {name: getattr(value, "count", value) for name, value in vars(plan).items()}
    written = ("new_", "changed_", "left_")
    return {name: count for name, count in counts.items() if name.startswith(written) and count}


@pytest.fixture(autouse=True)
def _fixed_day() -> Iterator[None]:
    with time_machine.travel(datetime(2026, 3, 10, 15, tzinfo=UTC), tick=False):
        yield


# --- The example file -----------------------------------------------------------------------------------------------
def test_the_example_file_is_read_as_its_expected_result_says() -> None:
    reading = seen(EXAMPLE.read_bytes())

    assert len({row.cpf for row in reading.rows}) == EXPECTED["people"]
    assert len(reading.rows) == EXPECTED["bonds"]
    assert [row.line for row in reading.rows if row.cpf_repaired] == EXPECTED["cpf_zeros_restored"]
    assert list(dict.fromkeys(refused.reason for refused in reading.refused)) == EXPECTED["refused"]
    assert [refused.line for refused in reading.refused] == [*range(129, 139), 140, 141]
    assert (reading.encoding, reading.separator, reading.unknown_columns) == ("cp1252", ";", [])


@pytest.mark.django_db
def test_the_example_file_fills_the_directory_as_its_expected_result_says() -> None:
    import_file(EXAMPLE.read_bytes())

    assert (User.objects.count(), Employment.objects.count()) == (EXPECTED["people"], EXPECTED["bonds"])
    found = {
        bond.matricula: {"cpf": bond.user.cpf, "cargo": bond.cargo, "lotacao": bond.unit.name}
        for bond in Employment.objects.select_related("user", "unit")
    }
    spots = EXPECTED["spot"]
    social = spots.pop("300001")
    assert {matricula: found[matricula] for matricula in spots} == spots
    marina = Employment.objects.get(matricula="300001").user
    assert (marina.cpf, marina.social_name) == (social["cpf"], social["nome social"])


# --- Encodings, separators, headers ---------------------------------------------------------------------------------
@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encoding_separator_and_line_ends_are_found(encoding: str, separator: str, line_end: str) -> None:
    text = io.StringIO(newline="")
    records = csv.reader(io.StringIO(EXAMPLE.read_bytes().decode("cp1252"), newline=""), delimiter=";")
    csv.writer(text, delimiter=separator, lineterminator=line_end).writerows(records)

    reading = seen(text.getvalue().encode(encoding))

    original = seen(EXAMPLE.read_bytes())
    assert (reading.rows, reading.refused) == (original.rows, original.refused)
    assert reading.separator == separator


def test_an_encoding_that_is_told_is_used() -> None:
    content = hr_file(PERSON | {"NOME": "CONCEIÇÃO"}).encode("cp850")

    assert seen(content, encoding="cp850").rows[0].name == "CONCEIÇÃO"


def test_columns_come_in_any_order_under_folded_headers() -> None:
    names = [label.lower().replace("í", "i\u0301").replace("-", " ") for label in reversed(HEADER)]
    values = [PERSON[label] for label in reversed(HEADER)]
    content = ";".join(["Observação", *names]) + "\n" + ";".join(["x", *values])

    reading = seen(content.encode())

    assert reading.rows == read(PERSON).rows
    assert reading.unknown_columns == ["Observação"]


def test_columns_that_are_not_mandatory_may_be_absent() -> None:
    header = [
        label for label in HEADER if label not in {"NOME SOCIAL", "E-MAIL", "TELEFONE", "QUADRO", "COMARCA", "FIM"}
    ]

    [row] = read(PERSON, header=header).rows

    assert (row.name, row.email, row.comarca, row.ended_on) == ("MARIA DE SOUZA", "", "", None)


def test_blank_lines_repeated_headers_and_identical_lines_are_passed_over() -> None:
    header, line = hr_file(PERSON).splitlines()
    content = "\n".join(["", header, line, "", ";" * 12, header.lower(), line, *[line] * 10_000, "", " ; ;"])

    reading = seen(content.encode())

    assert [row.line for row in reading.rows] == [3]
    assert (reading.repeated, reading.refused) == (10_001, [])


def test_a_line_break_within_quotes_is_one_cell_and_counts_as_lines() -> None:
    reading = read(person(1, LOTAÇÃO="1ª Vara\r\nCriminal"), person(2, CPF="1"))

    assert reading.rows[0].unit_name == "1ª Vara Criminal"
    assert reasons(reading) == [(4, Reason.CPF_MALFORMED)]


# --- Files that cannot be used --------------------------------------------------------------------------------------
GOOD = hr_file(PERSON)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "está vazio"),
        (b"\xef\xbb\xbf", "está vazio"),
        (b" \r\n\r\n", "está vazio"),
        (b";;;;\n;;;;\n", "está vazio"),
        (hr_file().encode(), "só tem o cabeçalho"),
        (GOOD.encode().replace(b"MARIA", b"MAR\0IA"), "bytes nulos"),
        (GOOD.encode("utf-16-le"), "bytes nulos"),
        (b"\xff\xfe", "está vazio"),
        (b"\xff\xfe" + "\n;;\n".encode("utf-16-le"), "está vazio"),
        (b"PK\x03\x04" + GOOD.encode(), "planilha do Excel"),
        (b"\xd0\xcf\x11\xe0" + GOOD.encode(), "planilha do Excel"),
        (b"\x1f\x8b" + GOOD.encode(), "arquivo compactado"),
        (GOOD.splitlines()[1].encode(), "Faltam colunas no cabeçalho do arquivo: MATRÍCULA, NOME"),
        (GOOD.replace("CPF", "DOCUMENTO").encode(), "Faltam colunas no cabeçalho do arquivo: CPF."),
        (b"NOME\nMARIA\n", "Faltam colunas no cabeçalho do arquivo: MATR"),
        (GOOD.replace("QUADRO", "Cpf").encode(), "colunas repetidas no cabeçalho do arquivo: CPF."),
        (GOOD.replace("MARIA", '"MARIA').encode(), "A partir da linha 2, há aspas"),
        (GOOD.replace("MARIA DE", '"MARIA" DE').encode(), "A partir da linha 2, há aspas"),
        (GOOD.replace("MARIA", "M" * 200_000).encode(), "A partir da linha 2"),
        (GOOD.replace("MARIA", "ÉÉÉÉ").encode() + b"\xff", "bytes que não são de UTF-8"),
        (b"\xef\xbb\xbf" + GOOD.encode() + b"\xff", "bytes que não são de UTF-8"),
        (GOOD.encode("cp1252") + b"\x81", "bytes que não são de cp1252"),
    ],
)
def test_fault_23_a_file_that_cannot_be_used_gets_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(directory.DirectoryFileError, match=sentence):
        seen(content)


@pytest.mark.parametrize("encoding", ["klingon", "hex", "ascii", "utf-8\0"])
def test_a_wrong_encoding_gets_a_sentence(encoding: str) -> None:
    with pytest.raises(directory.DirectoryFileError, match=r"codificação|bytes que não são"):
        seen(GOOD.encode(), encoding=encoding)


def test_fault_23_a_file_over_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.directory.text.LARGEST_FILE", 2 * 1024 * 1024)

    with pytest.raises(directory.DirectoryFileError, match=r"passa de 2 MB"):
        seen(GOOD.encode() + b"\n" * 2 * 1024 * 1024)


# --- Lines that are refused -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("CPF", "", Reason.CELL_MISSING),
        ("CPF", "52998224726", Reason.CPF_CHECK_DIGITS),
        ("CPF", "000.000.000-00", Reason.CPF_REPEATED),
        ("CPF", "1,23457E+10", Reason.CPF_SCIENTIFIC),
        ("CPF", "1.23457e10", Reason.CPF_SCIENTIFIC),
        ("CPF", "²²²²²²²²²²²", Reason.CPF_ODD_DIGITS),
        ("CPF", "５２９９８２２４７２５", Reason.CPF_ODD_DIGITS),
        ("CPF", "7866661708", Reason.CPF_MALFORMED),
        ("CPF", "7866661707.0", Reason.CPF_MALFORMED),
        ("CPF", "78.666.617-07", Reason.CPF_MALFORMED),
        ("CPF", "0529982247250", Reason.CPF_MALFORMED),
        ("CPF", "529982247-2X", Reason.CPF_MALFORMED),
        ("MATRÍCULA", "", Reason.MATRICULA_MISSING),
        ("MATRÍCULA", "12345678901", Reason.MATRICULA_MALFORMED),
        ("MATRÍCULA", "1E+10", Reason.MATRICULA_MALFORMED),
        ("MATRÍCULA", '="012345"', Reason.MATRICULA_MALFORMED),
        ("MATRÍCULA", "12\x1b[2J", Reason.MATRICULA_MALFORMED),
        ("NOME", " ", Reason.NAME_MISSING),
        ("NOME", "--", Reason.NAME_MISSING),
        ("NOME", "FULANA\r\nBCC: X@Y.Z", Reason.NAME_LINE_BREAK),
        ("NOME", "FULANA\u2028X", Reason.NAME_LINE_BREAK),
        ("NOME", "FULANA\u202eX", Reason.NAME_LINE_BREAK),
        ("NOME", "FULANA\u200bX", Reason.NAME_LINE_BREAK),
        ("NOME", "M" * 151, Reason.CELL_TOO_LONG),
        ("NOME SOCIAL", "FULANA\nBCC: X@Y.Z", Reason.NAME_LINE_BREAK),
        ("E-MAIL", "sem-arroba.tjms.jus.br", Reason.EMAIL),
        ("E-MAIL", "maria.souza@tjms.jus.br\nBcc: x@y.z", Reason.EMAIL),
        ("E-MAIL", "a@tjms.jus.br, b@tjms.jus.br", Reason.EMAIL),
        ("E-MAIL", "Maria <maria@tjms.jus.br>", Reason.EMAIL),
        ("E-MAIL", "cgr-7jecentral@tjms.jus.br", Reason.EMAIL),
        ("E-MAIL", "1varacivel@tjms.jus.br", Reason.EMAIL),
        ("E-MAIL", "Gabinete.Norte@tjms.jus.br", Reason.EMAIL),
        ("E-MAIL", f"{'m' * 60}@{'d' * 60}.{'d' * 60}.{'d' * 60}.{'d' * 60}.br", Reason.CELL_TOO_LONG),
        ("TELEFONE", "3" * 31, Reason.CELL_TOO_LONG),
        ("CARGO", "", Reason.CELL_MISSING),
        ("CARGO", "Analista\x07", Reason.CELL_CONTROL),
        ("CARGO", "A" * 81, Reason.CELL_TOO_LONG),
        ("CÓD. LOTAÇÃO", "", Reason.CELL_MISSING),
        ("LOTAÇÃO", "", Reason.CELL_MISSING),
        ("INÍCIO", "", Reason.CELL_MISSING),
        ("INÍCIO", "31/02/2020", Reason.DATE_UNKNOWN),
        ("INÍCIO", "29/02/2023", Reason.DATE_UNKNOWN),
        ("INÍCIO", "2020-01-31", Reason.DATE_UNKNOWN),
        ("INÍCIO", "1/2/2020", Reason.DATE_UNKNOWN),
        ("INÍCIO", "01/02/0020", Reason.DATE_UNKNOWN),
        ("INÍCIO", "01/02/20", Reason.DATE_UNKNOWN),
        ("INÍCIO", "43870", Reason.DATE_UNKNOWN),
        ("FIM", "31/04/2020", Reason.DATE_UNKNOWN),
        ("FIM", "07/02/2012", Reason.DATE_ORDER),
    ],
)
def test_a_line_with_a_wrong_cell_is_refused_and_its_neighbour_is_not(column: str, cell: str, reason: Reason) -> None:
    reading = read(PERSON | {column: cell}, person(7))

    assert reasons(reading) == [(2, reason)]
    assert [row.matricula for row in reading.rows] == ["000007"]
    assert "529" not in reading.refused[0].sentence


@pytest.mark.parametrize(
    ("column", "cell", "field", "value"),
    [
        ("CPF", "7866661707", "cpf", "07866661707"),
        ("CPF", " 529 982 247 25 ", "cpf", "52998224725"),
        ("MATRÍCULA", "0", "matricula", "0"),
        ("MATRÍCULA", "A-12/3.4", "matricula", "A-12/3.4"),
        ("MATRÍCULA", "0123456789", "matricula", "0123456789"),
        ("NOME", " JOSE\u0301  DA\u00a0SILVA ", "name", "JOSÉ DA SILVA"),
        ("NOME", "D'ÁVILA", "name", "D'ÁVILA"),
        ("NOME", "M" * 150, "name", "M" * 150),
        ("E-MAIL", "", "email", ""),
        ("E-MAIL", " Maria.Souza@TJMS.jus.br ", "email", "maria.souza@tjms.jus.br"),
        ("INÍCIO", "29/02/2024", "started_on", date(2024, 2, 29)),
        ("FIM", "08/02/2012", "ended_on", date(2012, 2, 8)),
    ],
)
def test_a_line_that_is_unusual_but_right_is_taken(column: str, cell: str, field: str, value: object) -> None:
    [row] = read(PERSON | {column: cell}).rows

    assert getattr(row, field) == value


def test_the_address_of_somebody_called_vara_is_a_persons() -> None:
    reading = read(
        person(1, NOME="JOSÉ VARA", **{"E-MAIL": "jose.vara@tjms.jus.br"}),
        person(2, NOME="ANA LIMA", **{"E-MAIL": "ana.vara@tjms.jus.br"}),
    )

    assert reasons(reading) == [(3, Reason.EMAIL)]


def test_a_line_with_more_cells_than_the_header_is_refused() -> None:
    shifted = hr_file(PERSON, person(7)).replace("MARIA DE SOUZA", "MARIA;DE SOUZA")
    longer = hr_file(PERSON, person(7)).replace("08/02/2012;", "08/02/2012;;x", 1)

    assert reasons(seen(shifted.encode())) == [(2, Reason.CELLS_TOO_MANY)]
    assert reasons(seen(longer.encode())) == [(2, Reason.CELLS_TOO_MANY)]


def test_a_separator_at_the_end_of_each_line_is_no_fault() -> None:
    header, line = hr_file(PERSON).splitlines()

    assert seen(f"{header}\n{line};\n".encode()).rows == read(PERSON).rows


def test_lines_that_contradict_each_other_are_all_refused() -> None:
    reading = read(
        person(1, MATRÍCULA="9"),
        person(2, MATRÍCULA="9"),
        person(3, MATRÍCULA="8"),
        person(3, MATRÍCULA="8", CARGO="Juiz Leigo"),
        person(4, MATRÍCULA="7"),
        person(4, MATRÍCULA="6", NOME="OUTRA"),
        person(5, **{"E-MAIL": "um@tjms.jus.br"}),
        person(6, **{"E-MAIL": "UM@tjms.jus.br"}),
        person(7),
    )

    assert reasons(reading) == [
        (2, Reason.MATRICULA_TWO_PEOPLE),
        (3, Reason.MATRICULA_TWO_PEOPLE),
        (4, Reason.MATRICULA_TWO_LINES),
        (5, Reason.MATRICULA_TWO_LINES),
        (6, Reason.CPF_TWO_NAMES),
        (7, Reason.CPF_TWO_NAMES),
        (8, Reason.EMAIL),
        (9, Reason.EMAIL),
    ]
    assert [row.line for row in reading.rows] == [10]


def test_two_bonds_of_one_person_may_share_the_address() -> None:
    reading = read(person(1), person(1, MATRÍCULA="9", CARGO="Juiz Leigo"))

    assert (len(reading.rows), reading.refused) == (2, [])


# --- The plan and its application -----------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_first_import_makes_people_bonds_and_units() -> None:
    plan = import_people(PERSON, PERSON | {"MATRÍCULA": "137674", "CARGO": "Juiz Leigo", "FIM": "31/12/2030"})

    assert changes(plan) == {"new_units": 1, "new_people": 1, "new_bonds": 2}
    user = User.objects.get()
    assert (user.cpf, user.name, user.email) == ("52998224725", "MARIA DE SOUZA", "maria.souza@tjms.jus.br")
    assert user.search_name == " maria de souza"
    assert (user.has_usable_password(), user.is_staff, user.is_superuser, user.is_active) == (False, False, False, True)
    unit = Unit.objects.get()
    assert (unit.code, unit.name, unit.comarca) == ("0001-011", "1ª Vara Criminal", "Campo Grande")
    assert list(user.employments.order_by("matricula").values_list("matricula", "cargo", "started_on", "ended_on")) == [
        ("012345", "Analista Judiciário", date(2012, 2, 8), None),
        ("137674", "Juiz Leigo", date(2012, 2, 8), date(2030, 12, 31)),
    ]


@pytest.mark.django_db
def test_planning_alone_writes_nothing() -> None:
    plan = plan_of(PERSON)

    assert changes(plan) == {"new_units": 1, "new_people": 1, "new_bonds": 1}
    assert not User.objects.exists()
    assert not Unit.objects.exists()


@pytest.mark.django_db
def test_a_second_import_of_the_same_file_changes_nothing() -> None:
    content = EXAMPLE.read_bytes()
    import_file(content)
    before = [list(model.objects.order_by("pk").values()) for model in (User, Unit, Employment)]

    plan = import_file(content)

    assert changes(plan) == {}
    assert (plan.unchanged_people, plan.unchanged_bonds) == (EXPECTED["people"], EXPECTED["bonds"])
    assert [list(model.objects.order_by("pk").values()) for model in (User, Unit, Employment)] == before


@pytest.mark.django_db
def test_what_the_file_says_anew_is_changed() -> None:
    import_people(person(1), person(2))

    plan = import_people(
        person(
            1,
            NOME="PESSOA NOVA",
            NOME_SOCIAL="OUTRO NOME",
            TELEFONE="(67) 99999-0000",
            CARGO="Chefe de Cartório",
            QUADRO="Quadro auxiliar",
            INÍCIO="09/02/2012",
            FIM="01/01/2031",
            **{"E-MAIL": "nova@tjms.jus.br", "CÓD. LOTAÇÃO": "0002-007", "LOTAÇÃO": "Vara de Execução Penal"},
        ),
        person(2),
    )

    assert changes(plan) == {"new_units": 1, "changed_people": 1, "changed_addresses": 1, "changed_bonds": 1}
    bond = Employment.objects.select_related("user", "unit").get(matricula="000001")
    user = bond.user
    assert (user.name, user.social_name, user.phone) == ("PESSOA NOVA", "OUTRO NOME", "(67) 99999-0000")
    assert (user.email, user.search_name) == ("nova@tjms.jus.br", " outro nome pessoa nova")
    assert (bond.cargo, bond.staff_kind, bond.unit.code) == ("Chefe de Cartório", "Quadro auxiliar", "0002-007")
    assert (bond.started_on, bond.ended_on) == (date(2012, 2, 9), date(2031, 1, 1))


@pytest.mark.django_db
def test_a_blank_cell_keeps_what_is_known_of_the_person() -> None:
    import_people(PERSON | {"NOME SOCIAL": "MARCOS"})
    blank = dict.fromkeys(["NOME SOCIAL", "E-MAIL", "TELEFONE", "QUADRO", "COMARCA"], "")

    plan = import_people(PERSON | blank)

    assert changes(plan) == {}
    user = User.objects.get()
    assert (user.social_name, user.email, user.phone) == ("MARCOS", "maria.souza@tjms.jus.br", "(67) 3314-0000")


@pytest.mark.django_db
def test_what_one_line_of_a_person_leaves_blank_the_other_gives() -> None:
    import_people(PERSON | {"E-MAIL": ""}, PERSON | {"MATRÍCULA": "9", "NOME SOCIAL": "MARCOS"})

    user = User.objects.get()
    assert (user.email, user.social_name) == ("maria.souza@tjms.jus.br", "MARCOS")


@pytest.mark.django_db
def test_decomposed_accents_make_no_change() -> None:
    import_people(PERSON | {"NOME": "JOSÉ CONCEIÇÃO"})

    assert changes(import_people(PERSON | {"NOME": unicodedata.normalize("NFD", "JOSÉ CONCEIÇÃO")})) == {}
    assert User.objects.get().name == "JOSÉ CONCEIÇÃO"


@pytest.mark.django_db
def test_passwords_and_rights_are_never_touched() -> None:
    import_people(PERSON)
    user = User.objects.get()
    user.set_password("uma frase que ninguém adivinha")
    user.is_staff, user.is_superuser, user.is_active, user.must_change_password = True, True, False, True
    user.save()

    import_people(PERSON | {"NOME": "MARIA DE SOUZA LIMA"})

    user.refresh_from_db()
    assert user.name == "MARIA DE SOUZA LIMA"
    assert user.check_password("uma frase que ninguém adivinha")
    assert (user.is_staff, user.is_superuser, user.is_active, user.must_change_password) == (True, True, False, True)


@pytest.mark.django_db
def test_the_most_frequent_spelling_of_a_unit_counts() -> None:
    drift = {"LOTAÇÃO": "1A VARA CRIMINAL"}

    import_people(person(1, **drift), person(2), person(3))

    assert Unit.objects.get().name == "1ª Vara Criminal"
    assert changes(import_people(person(1, **drift), person(2), person(3))) == {}
    assert changes(import_people(person(1, **drift), person(2, **drift), person(3))) == {"changed_units": 1}
    assert Unit.objects.get().name == "1A VARA CRIMINAL"


@pytest.mark.django_db
def test_a_bond_that_the_file_no_longer_names_ends_today() -> None:
    import_people(person(1), person(2), person(2, MATRÍCULA="9"), person(3, FIM="31/12/2030"))

    plan = import_people(person(1), person(2))

    assert changes(plan) == {"left_bonds": 2}
    assert dict(Employment.objects.values_list("matricula", "ended_on")) == {
        "000001": None,
        "000002": None,
        "9": TODAY,
        "000003": TODAY,
    }
    assert User.objects.count() == 3
    assert changes(import_people(person(1), person(2))) == {}


@pytest.mark.django_db
def test_a_bond_that_has_ended_or_not_begun_is_no_trouble_when_the_file_drops_it() -> None:
    import_people(person(1), person(2, FIM="31/12/2020"), person(3, INÍCIO="01/04/2026"))

    assert changes(import_people(person(1))) == {"left_bonds": 1}
    assert changes(import_people(person(1))) == {}
    assert Employment.objects.get(matricula="000002").ended_on == date(2020, 12, 31)
    assert Employment.objects.get(matricula="000003").ended_on == date(2026, 4, 1)


@pytest.mark.django_db
def test_somebody_who_comes_back_is_the_same_person() -> None:
    import_people(person(1), person(2))
    import_people(person(1))

    plan = import_people(person(1), person(2))

    assert changes(plan) == {"changed_bonds": 1}
    assert User.objects.count() == 2
    assert not Employment.objects.exclude(ended_on=None).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "spoilt",
    [
        {"INÍCIO": "31/02/2020"},
        {"MATRÍCULA": ""},
        {"CPF": "1,23457E+10"},
        {"MATRÍCULA": "", "CPF": "²"},
        {"MATRÍCULA": "000001"},
        {"E-MAIL": "pessoa.1@tjms.jus.br"},
    ],
    ids=str,
)
def test_a_refused_line_is_no_departure(spoilt: dict[str, str]) -> None:
    import_people(person(1), person(2), person(3))

    plan = import_people(person(1), person(2) | spoilt)

    assert plan.left_bonds == 1
    assert Employment.objects.get(matricula="000003").ended_on == TODAY
    assert 3 in dict(reasons(plan))


@pytest.mark.django_db
def test_a_plan_that_ends_too_many_bonds_is_refused_unless_allowed() -> None:
    everybody = [person(number) for number in range(200)]
    import_people(*everybody)

    with pytest.raises(directory.TooManyDeparturesError, match="encerraria 11 de 200 vínculos, e o limite é 10"):
        import_people(*everybody[11:])
    with pytest.raises(directory.TooManyDeparturesError):
        import_people(*everybody[11:], allow_departures=10)
    assert not Employment.objects.exclude(ended_on=None).exists()

    import_people(*everybody[11:], allow_departures=11)
    assert Employment.objects.filter(ended_on=TODAY).count() == 11


@pytest.mark.django_db
def test_a_few_may_leave_a_small_court() -> None:
    everybody = [person(number) for number in range(10)]
    import_people(*everybody)

    with pytest.raises(directory.TooManyDeparturesError, match="encerraria 6 de 10 vínculos, e o limite é 5"):
        import_people(*everybody[6:])
    assert changes(import_people(*everybody[5:])) == {"left_bonds": 5}


@pytest.mark.django_db
def test_bonds_that_the_file_itself_ends_count_as_departures() -> None:
    everybody = [person(number) for number in range(10)]
    import_people(*everybody)

    with pytest.raises(directory.TooManyDeparturesError, match="encerraria 10 de 10"):
        import_people(*[cells | {"FIM": "10/03/2026"} for cells in everybody])
    import_people(*[cells | {"FIM": "11/03/2026"} for cells in everybody])
    assert Employment.objects.filter(ended_on=date(2026, 3, 11)).count() == 10


@pytest.mark.django_db
def test_a_matricula_of_another_person_in_the_directory_is_refused() -> None:
    import_people(person(1), person(2))

    plan = import_people(person(1), person(5, MATRÍCULA="000002"))

    assert reasons(plan) == [(3, Reason.MATRICULA_TWO_PEOPLE)]
    assert changes(plan) == {}
    assert not User.objects.filter(cpf=person(5)["CPF"]).exists()


@pytest.mark.django_db
def test_an_address_of_another_person_in_the_directory_is_refused() -> None:
    import_people(person(1))
    User.objects.create_user(cpf=cpf_of(7), name="Fora do arquivo", email="Ocupado@tjms.jus.br")

    plan = import_people(
        person(1, **{"E-MAIL": "ocupado@tjms.jus.br"}),
        person(2, **{"E-MAIL": "ocupado2@tjms.jus.br"}),
    )

    assert reasons(plan) == [(2, Reason.EMAIL)]
    assert User.objects.get(cpf=person(1)["CPF"]).email == "pessoa.1@tjms.jus.br"
    assert changes(plan) == {"new_people": 1, "new_bonds": 1}


@pytest.mark.django_db
def test_nothing_is_applied_when_a_part_cannot_be() -> None:
    plan = plan_of(person(1), person(2))
    other = User.objects.create_user(cpf=cpf_of(7), name="Entrou no meio")
    unit = Unit.objects.create(code="9", name="Outra")
    Employment.objects.create(user=other, matricula="000002", cargo="Juiz", unit=unit, started_on=TODAY)

    with pytest.raises(directory.DirectoryChangedError, match="Importe o arquivo de novo"):
        directory.apply(plan)

    assert list(User.objects.values_list("name", flat=True)) == ["Entrou no meio"]
    assert list(Unit.objects.values_list("code", flat=True)) == ["9"]


@pytest.mark.django_db
@pytest.mark.parametrize("known", [False, True])
def test_a_plan_for_three_hundred_asks_the_database_no_more_often_than_for_three(known: bool) -> None:
    def queries(count: int) -> int:
        people = [person(number, **{"CÓD. LOTAÇÃO": f"{number:04d}"}) for number in range(count)]
        if known:
            import_people(*people)
        with CaptureQueriesContext(connection) as captured:
            plan_of(*people)
        return len(captured)

    assert queries(3) == queries(300)
