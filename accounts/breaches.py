"""Passwords known from breaches (ASVS 5.0 6.2.12): one file of digests on this machine, and nobody is asked.

The file is the one that Have I Been Pwned gives for download, SHA-1 and ordered by hash: lines such as
``000000005AD76BD555C1D6D771DE417A4B87E4B4:10``. It has some 40 GB, so it is never read whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import unicodedata
from io import FileIO
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError

log = logging.getLogger(__name__)

LINE = re.compile(rb"([0-9A-Fa-f]{40}):[0-9]+\r?\n?")
#: Bytes; longer than any line.
LONGEST_LINE = 64


class OddFileError(ValueError):
    """The file is not what it should be; the message is a sentence for who installed it."""


class BreachedPasswordValidator:
    """Nothing that guessers have in their lists already."""

    def validate(self, password: str, user: Any = None) -> None:
        if is_breached(password):
            raise ValidationError(
                "Esta senha apareceu em vazamentos de outros sites. Quem tenta adivinhar senhas já a conhece. "
                "Escolha outra.",
                code="breached",
            )

    def get_help_text(self) -> str:
        return "Não repita a senha de outro site ou sistema."


def is_breached(password: str) -> bool:
    """Whether the file holds this password, in its NFC form; False where there is no file.

    A file that cannot be read costs the rule, not the person: it is logged.
    """
    if not settings.BREACHED_PASSWORDS_FILE:
        return False
    composed = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    wanted = hashlib.sha1(composed, usedforsecurity=False).hexdigest().upper().encode()
    try:
        with FileIO(settings.BREACHED_PASSWORDS_FILE) as file:
            return _holds(file, wanted)
    except (OSError, ValueError) as problem:
        log.error("BREACHED_PASSWORDS_FILE is of no use: %s", type(problem).__name__)  # noqa: TRY400 - the trace says no more
        return False


def _holds(file: FileIO, wanted: bytes) -> bool:
    """Each step halves what is left: some thirty reads for 40 GB."""
    low, high = 0, os.fstat(file.fileno()).st_size
    while low < high:
        start, line = _line_at(file, (low + high) // 2)
        digest = _digest_in(line)
        if digest == wanted:
            return True
        if digest < wanted:
            low = start + len(line)
        else:
            high = start
    return False


def _line_at(file: FileIO, place: int) -> tuple[int, bytes]:
    """The line that this byte belongs to, and where it begins."""
    begin = max(place - LONGEST_LINE, 0)
    file.seek(begin)
    piece = file.read(2 * LONGEST_LINE)
    start = piece.rfind(b"\n", 0, place - begin) + 1
    end = piece.find(b"\n", start) + 1 or len(piece)
    return begin + start, piece[start:end]


def _digest_in(line: bytes) -> bytes:
    if not (found := LINE.fullmatch(line)):
        raise OddFileError("Há linhas que não são de um arquivo SHA-1 do Have I Been Pwned.")
    return found[1].upper()


def check_file() -> None:
    """Look at the first, a middle and the last line. Raises OSError or OddFileError if the file is of no use."""
    with FileIO(settings.BREACHED_PASSWORDS_FILE) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise OddFileError("O arquivo está vazio.")
        first, middle, last = (_digest_in(_line_at(file, place)[1]) for place in (0, size // 2, size - 1))
    if not first <= middle <= last:
        raise OddFileError("O arquivo não está em ordem de hash.")
