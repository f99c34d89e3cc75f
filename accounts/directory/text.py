"""A CSV file as text: encoding and separator are found by reading it in pieces, and it is never held as a whole."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from typing import BinaryIO, TextIO

from accounts import names

from .errors import DirectoryFileError

#: What may be read into memory as a whole (``decode``).
MAX_BYTES = 200 * 1024 * 1024
#: What may be read as a stream.
LARGEST_FILE = 2 * 1024 * 1024 * 1024
CHUNK = 1024 * 1024
LONGEST_LINE = 1024 * 1024
#: The header stands within so many characters.
BEGINNING = 20_000
SEPARATORS = (";", ",", "\t", "|")
#: What a spreadsheet calls "Texto Unicode".
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ZIP = b"PK\x03\x04"
SPREADSHEETS = (ZIP, b"PK\x05\x06", b"\xd0\xcf\x11\xe0", b"\x1f\x8b")
EMPTY = "O arquivo está vazio."
AS_CSV = "Na planilha, use Salvar como e escolha CSV UTF-8."


def decode(content: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of a small CSV file and the name of its encoding. Raises DirectoryFileError."""
    with io.BytesIO(content) as stream:
        text, found = open_text(stream, encoding, most=MAX_BYTES)
        try:
            return text.read(), found
        except ValueError:
            raise _not_of(found) from None


def open_text(stream: BinaryIO, encoding: str | None, *, most: int | None = None) -> tuple[io.TextIOWrapper, str]:
    """The stream as text, without a byte order mark, and the name of its encoding; the stream can be wound back.

    Without ``encoding``: UTF-16 by its mark, UTF-8, else Windows-1252. Raises DirectoryFileError, with a sentence for
    the person who sent the file. Bytes that are not of the encoding raise ValueError where they are read.
    """
    name = _lookup(encoding) if encoding else _marked_encoding(stream)
    _check_bytes(stream, most or LARGEST_FILE, nulls=name.startswith(("utf-16", "utf-32")))
    name = name or _find_encoding(stream)
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig" if name == "utf-8" else name, newline="")
    return text, name


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    stream.seek(0)
    while chunk := stream.read(CHUNK):
        yield chunk


def _marked_encoding(stream: BinaryIO) -> str:
    """``utf-16`` where the file begins with its mark, else nothing."""
    stream.seek(0)
    return "utf-16" if stream.read(2) in UTF_16_MARKS else ""


def _check_bytes(stream: BinaryIO, most: int, *, nulls: bool) -> None:
    """Refuse what no encoding makes a CSV of; ``nulls``: whether bytes of zero belong to the encoding."""
    if stream.seek(0, io.SEEK_END) > most:
        raise DirectoryFileError(f"O arquivo passa de {most // 1024 // 1024} MB. Confira se é o arquivo certo.")
    blank = True
    for place, chunk in enumerate(_chunks(stream)):
        if place == 0 and chunk.startswith(SPREADSHEETS):
            raise DirectoryFileError(
                f"O arquivo é uma planilha do Excel ou um arquivo compactado, e não um CSV. {AS_CSV}"
            )
        if not nulls and b"\0" in chunk:
            raise DirectoryFileError(f"O arquivo não é um texto que se possa ler: tem bytes nulos. {AS_CSV}")
        blank = blank and not chunk.strip()
    if blank:
        raise DirectoryFileError(EMPTY)


def _lookup(encoding: str) -> str:
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise DirectoryFileError(f"A codificação {encoding!r} não existe. Use utf-8 ou windows-1252.") from None


def _find_encoding(stream: BinaryIO) -> str:
    strict = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(stream):
            strict.decode(chunk)
        strict.decode(b"", final=True)
    except ValueError:
        if _is_damaged_utf8(stream):
            raise _not_of("UTF-8") from None
        return "cp1252"
    return "utf-8"


def _is_damaged_utf8(stream: BinaryIO) -> bool:
    """Whether more of it is UTF-8 than is not. Read as Windows-1252, it would turn every ``É`` into ``Ã‰``."""
    tolerant = codecs.getincrementaldecoder("utf-8")("replace")
    others = wrong = 0
    for chunk in _chunks(stream):
        text = tolerant.decode(chunk)
        others += len(text) - len(text.encode("ascii", "ignore"))
        wrong += text.count("\ufffd")
    text = tolerant.decode(b"", final=True)
    return (wrong + text.count("\ufffd")) * 2 < others + len(text)


def _not_of(encoding: str) -> DirectoryFileError:
    return DirectoryFileError(f"O arquivo tem bytes que não são de {encoding}. {AS_CSV}")


def beginning(text: TextIO) -> str:
    """The first characters, for ``separator_of``; the text is wound back."""
    try:
        return text.read(BEGINNING)
    except UnicodeError as error:
        raise _unreadable(error) from None
    finally:
        text.seek(0)


def separator_of(text: str, columns: Mapping[str, str]) -> str:
    """The one with which most columns of the header are known; ``columns`` has them folded.

    ``text``: the file or its beginning.
    """

    def known(separator: str) -> int:
        # Not the checked reader: a quote that is never closed is reported later, with its line.
        for cells in csv.reader(io.StringIO(text[:BEGINNING], newline=""), delimiter=separator):
            if any(cell.strip() for cell in cells):
                return sum(names.fold(cell) in columns for cell in cells)
        return 0

    return max(SEPARATORS, key=known)


def records(text: str | TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each record that is not blank. Raises DirectoryFileError."""
    source = io.StringIO(text, newline="") if isinstance(text, str) else text
    reader = csv.reader(_lines(source), delimiter=separator, strict=True)
    first = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield first, cells
            first = reader.line_num + 1
    except _LineTooLongError:
        raise DirectoryFileError(f"A linha {first} é longa demais. Confira se é o arquivo certo.") from None
    except csv.Error:
        raise DirectoryFileError(
            f"A partir da linha {first}, há aspas que não abrem ou não fecham. Corrija o arquivo."
        ) from None
    except UnicodeError as error:
        raise _unreadable(error) from None


def _unreadable(error: UnicodeError) -> DirectoryFileError:
    encoding = error.encoding if isinstance(error, UnicodeDecodeError) else "UTF-8"
    return _not_of("cp1252" if encoding == "charmap" else encoding)


class _LineTooLongError(Exception):
    pass


def _lines(source: TextIO) -> Iterator[str]:
    """One line after the other; never more of a line than a record may have."""
    while line := source.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(("\r", "\n")):
            raise _LineTooLongError
        yield line
