"""The CPF: eleven digits, kept as text."""

from __future__ import annotations

from operator import mul

DIGITS = frozenset("0123456789")
SEPARATORS = str.maketrans("", "", ".- \t\u00a0")


def is_valid(cpf: str) -> bool:
    """Whether these are eleven ASCII digits with both check digits right (mod 11) and not all the same.

    ``str.isdigit`` would take superscript and full-width digits, so the ten characters are named.
    """
    if len(cpf) != 11 or not DIGITS.issuperset(cpf) or len(set(cpf)) == 1:  # noqa: PLR2004 - a CPF has eleven digits
        return False
    digits = [*map(int, cpf)]
    # Weights 10 to 2 for the first check digit, 11 to 2 for the second.
    return all(sum(map(mul, digits, range(at + 1, 1, -1))) * 10 % 11 % 10 == digits[at] for at in (9, 10))


def clean(typed: object) -> str | None:
    """The eleven digits of what somebody typed, with or without punctuation; None if it is not a valid CPF."""
    if not isinstance(typed, str) or len(typed) > 40:  # noqa: PLR2004 - longer is no slip of the finger
        return None
    digits = typed.translate(SEPARATORS)
    return digits if is_valid(digits) else None


def masked(cpf: str) -> str:
    """``***.456.789-**``: enough to recognise one's own, too little to use (LGPD; DOMAIN §5)."""
    return f"***.{cpf[3:6]}.{cpf[6:9]}-**"


def formatted(cpf: str) -> str:
    """``123.456.789-09``, as people read it."""
    return f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"
