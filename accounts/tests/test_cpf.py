"""The CPF: eleven ASCII digits with both check digits right, however it was typed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from validate_docbr import CPF

from accounts import cpf

ORACLE = CPF()
nine_digits = st.text("0123456789", min_size=9, max_size=9)


@settings(deadline=None)
@given(nine_digits)
def test_the_check_digits_are_those_of_an_independent_library(first_nine: str) -> None:
    all_endings = [f"{first_nine}{ending:02d}" for ending in range(100)]

    assert [cpf.is_valid(digits) for digits in all_endings] == [ORACLE.validate(digits) for digits in all_endings]


@pytest.mark.parametrize(
    "typed",
    [
        "52998224725",
        "529.982.247-25",
        "529982247-25",
        " 529.982.247-25 ",
        "529 982 247 25",
        "\t52998224725",
        "529.982.247-25\u00a0",
    ],
)
def test_punctuation_and_spaces_are_optional(typed: str) -> None:
    assert cpf.clean(typed) == "52998224725"


@pytest.mark.parametrize("digit", "0123456789")
def test_eleven_times_the_same_digit_is_no_cpf(digit: str) -> None:
    assert cpf.clean(digit * 11) is None


@pytest.mark.parametrize(
    "typed",
    [
        None,
        52998224725,
        ["52998224725"],
        {"cpf": "52998224725"},
        b"52998224725",
        "",
        "5299822472",
        "529982247255",
        "52998224726",
        "5299822472a",
        "maria",
        "²" * 11,
        "５２９９８２２４７２５",
        "٥٢٩٩٨٢٢٤٧٢٥",
        "52998224725\0",
        "52998224725\n",
        "5,29982E+10",
        "5" * 1_000_000,
        " " * 1_000_000 + "52998224725",
        "12345678909, 52998224725",
    ],
    ids=lambda typed: repr(typed)[:25],
)
def test_anything_else_is_no_cpf(typed: object) -> None:
    assert cpf.clean(typed) is None


def test_leading_zeros_are_never_made_up() -> None:
    assert cpf.clean("07866661707") == "07866661707"
    assert cpf.clean("7866661707") is None


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_a_valid_cpf_or_nothing(typed: str) -> None:
    digits = cpf.clean(typed)

    assert digits is None or ORACLE.validate(digits)


def test_a_masked_cpf_shows_the_six_digits_in_the_middle_only() -> None:
    assert cpf.masked("52998224725") == "***.982.247-**"


def test_a_formatted_cpf_reads_as_people_write_it() -> None:
    assert cpf.formatted("52998224725") == "529.982.247-25"
