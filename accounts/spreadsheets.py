"""What a cell may hold in a file that a spreadsheet opens."""

from __future__ import annotations

#: What makes a spreadsheet take a cell for a formula (OWASP CSV Injection), the wide forms of those signs included.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def harmless(cell: str) -> str:
    """With an apostrophe in front of what would be taken for a formula (DOMAIN §3)."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell
