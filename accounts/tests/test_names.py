"""Names: how they are compared and how they are shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts import names


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("JOSÉ DA CONCEIÇÃO", "jose da conceicao"),
        ("  Maria   José  ", "maria jose"),
        ("D'Ávila", "davila"),
        ("D’ÁVILA", "davila"),
        ("D´Avila", "davila"),
        ("Sant'Ana-Lima", "santana lima"),
        ("Müller Ñandú", "muller nandu"),
        ("Groß", "gross"),
        ("Łukasz Đorđe Søren", "lukasz dorde soren"),
        ("1ª Vara", "1a vara"),
        ("ＭＡＲＩＡ", "maria"),
        ("𝐌𝐚𝐫𝐢𝐚", "maria"),
        ("São\u00a0Paulo", "sao paulo"),
        ("%_\\\"'*", ""),
        ("", ""),
    ],
)
def test_folding_leaves_plain_words(written: str, folded: str) -> None:
    assert names.fold(written) == folded


@settings(deadline=None)
@given(st.text())
def test_folded_text_is_ascii_words_with_single_spaces_and_stays_so(text: str) -> None:
    folded = names.fold(text)

    assert all(word.isascii() and word.isalnum() for word in folded.split(" ") if folded)
    assert names.fold(folded) == folded


@settings(deadline=None)
@given(st.text())
def test_composed_and_decomposed_accents_are_one_name(text: str) -> None:
    nfc, nfd = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)

    assert names.fold(nfc) == names.fold(nfd)
    assert names.display(nfc) == names.display(nfd)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("MARIA DE SOUZA", "Maria de Souza"),
        ("JOÃO DA SILVA E SOUZA DOS SANTOS DAS NEVES DO Ó", "João da Silva e Souza dos Santos das Neves do Ó"),
        ("maria de souza", "Maria de Souza"),
        ("DA SILVA JOÃO", "Da Silva João"),
        ("ÍRIS D'ÁVILA", "Íris D'Ávila"),
        ("ÍRIS D’ÁVILA", "Íris D’Ávila"),
        ("ANA SANT'ANA LIMA-BARRETO", "Ana Sant'Ana Lima-Barreto"),
        ("J.R. TAVARES JR.", "J.R. Tavares Jr."),
        ("JOSÉ PAIXÃO II", "José Paixão II"),
        ("JOSÉ PAIXÃO III", "José Paixão III"),
        ("JOSÉ PAIXÃO IV", "José Paixão IV"),
        ("IVI VITÓRIA XIMENES", "Ivi Vitória Ximenes"),
        ("IV AVELAR", "Iv Avelar"),
        ("JOSE\u0301 CONCEIC\u0327A\u0303O", "José Conceição"),
        ("  MARIA \t JOSÉ ", "Maria José"),
        ("", ""),
    ],
)
def test_a_name_is_shown_as_a_person_writes_it(written: str, shown: str) -> None:
    assert names.display(written) == shown


def test_what_is_shown_is_shown_the_same_again() -> None:
    shown = names.display("ÍRIS DE SANT'ANA D'ÁVILA II")

    assert names.display(shown) == shown
