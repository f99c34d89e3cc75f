"""SECURITY.md says what the tests hold: its table is made from them, and no line is without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnmp_portal import standards
from bnmp_portal.standards import LINES, UnknownCodeError, codes_of


@pytest.fixture(scope="module")
def found():
    return list(standards.tests())


def test_the_document_is_what_the_tests_make_of_it():
    document = standards.DOCUMENT.read_text()

    assert document == standards.written(document), "SECURITY.md is behind: run `make standards`"


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_every_line_has_a_test_or_a_sentence_and_not_both(line, found):
    assert bool(standards.holders(line, found)) != bool(line.instead)


def test_what_the_tests_of_a_line_do_not_hold_is_said_beside_them(found):
    line = replace(LINES["fault_21"], besides="Nothing is said of that.")

    row = standards.table([line], found).splitlines()[-1]

    assert "`test_fault_21_" in row
    assert row.endswith("<br>Nothing is said of that. |")


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_every_test_of_a_line_is_named_by_its_code(line, found, capsys):
    """Also those that carry several codes, or hold a line that leans on theirs: ``grep`` would not find them."""
    expected = [f"{test.path}::{test.name}" for test in standards.holders(line, found)]

    for code in (line.code, line.name):
        standards.main([code])
        assert capsys.readouterr().out.splitlines() == expected


def test_a_code_that_no_line_has_is_told():
    with pytest.raises(SystemExit, match=r"^6\.2\.99: no line"):
        standards.main(["6.2.99"])


def test_a_line_leans_on_lines_that_are_there():
    assert {code for line in LINES.values() for code in line.held_by} <= LINES.keys()


def test_no_code_is_listed_twice():
    assert len(LINES) == sum(len(lines) for lines in standards.CATALOGUE.values())


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("test_asvs_6_2_1_the_length_is_a_setting", ("asvs_6_2_1",)),
        ("test_asvs_6_2_10_an_old_password_need_not_be_changed", ("asvs_6_2_10",)),
        ("test_asvs_3_3_1_and_3_4_1_behind_https", ("asvs_3_3_1", "asvs_3_4_1")),
        ("test_asvs_3_4_1_and_3_4_3_to_5_every_page", ("asvs_3_4_1", "asvs_3_4_3", "asvs_3_4_4", "asvs_3_4_5")),
        ("test_asvs_16_2_5_no_cpf_in_the_log", ("asvs_16_2",)),
        ("test_asvs_16_2_no_cpf_in_the_log", ("asvs_16_2",)),
        ("test_fault_2_nobody_gets_there", ("fault_2",)),
        ("test_fault_23_a_header_without_rows", ("fault_23",)),
        ("test_fault_13_and_asvs_6_4_3_the_code_is_still_asked", ("fault_13", "asvs_6_4_3")),
        ("test_fault_17_four_at_once_and_8_more", ("fault_17",)),
        ("test_nist_3_1_1_2_a_phrase", ("nist_3_1_1_2",)),
        ("test_owasp_same_message_for_all", ("owasp_same_message",)),
        ("test_a_fault_1_in_the_middle", ()),
        ("test_asvs_without_a_number", UnknownCodeError),
        ("test_asvs_6_2_99_is_none", UnknownCodeError),
        ("test_asvs_7_9_1_is_none", UnknownCodeError),
        ("test_asvs_3_4_1_to_3_has_a_gap", UnknownCodeError),
        ("test_fault_24_is_none", UnknownCodeError),
        ("test_nist_9_9_is_none", UnknownCodeError),
        ("test_owasp_is_a_list_of_words", UnknownCodeError),
        ("test_asvs_6_2_1_and_6_2_99_is_none", UnknownCodeError),
    ],
)
def test_the_codes_of_a_name(name, codes):
    if codes is UnknownCodeError:
        with pytest.raises(UnknownCodeError, match=name):
            codes_of(name)
    else:
        assert codes_of(name) == codes


def test_a_table_names_three_tests_and_counts_the_rest():
    line = LINES["fault_1"]
    many = [standards.Test("a/tests/test_a.py", f"test_fault_1_{letter}", ("fault_1",)) for letter in "abcde"]

    row = standards.table([line], many).splitlines()[-1]

    assert [f"test_fault_1_{letter}`" in row for letter in "abcde"] == [True] * 3 + [False] * 2
    assert "and 2 more" in row


def test_a_document_without_marks_is_not_written_over():
    with pytest.raises(ValueError, match="marks"):
        standards.written("# Security")
