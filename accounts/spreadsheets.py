"""What a cell may hold in a file that a spreadsheet opens."""

from __future__ import annotations

import re

#: What makes a spreadsheet take a cell for a formula (OWASP CSV Injection), the wide forms of those signs included.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def harmless(cell: str) -> str:
    """With an apostrophe in front of what would be taken for a formula (DOMAIN §3)."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


#: A number of which a spreadsheet would drop the zeros in front or what follows the fifteenth digit, or write out.
CUT_DOWN = re.compile(r"0[0-9]+|[0-9]{16,}|[0-9]+[eE][0-9]+", re.ASCII)


def uncut(cell: str) -> str:
    """With an apostrophe in front of digits that are a name, such as the matrícula 081135, and not a quantity.

    An apostrophe, as in ``harmless``: whoever reads the file with a program takes off one sign, the same everywhere.
    The form ``="081135"``, which Excel shows without any sign, would be a formula to all others.
    """
    return f"'{cell}" if CUT_DOWN.fullmatch(cell) else cell
