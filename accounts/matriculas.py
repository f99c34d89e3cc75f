"""A matrícula as people write it: spreadsheets take the zeros in front away, and letters come small."""

from __future__ import annotations

LONGEST = 10


def spellings(matricula: str) -> list[str]:
    """As it was typed, in capitals, and with the zeros in front that it may have lost. It has no check digits.

    Whoever finds somebody by a spelling that was not typed asks, and does not take it for said.
    """
    found = [matricula, matricula.upper()]
    if matricula.isascii() and matricula.isdigit():
        found += [matricula.zfill(length) for length in range(len(matricula) + 1, LONGEST + 1)]
    return list(dict.fromkeys(found))
