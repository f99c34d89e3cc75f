"""Reads what a browser printed: the text of each page of a PDF as Chromium makes it (its fonts tell their letters)."""

from __future__ import annotations

import re
import unicodedata
import zlib

_OBJECT = re.compile(rb"(?<!\d)(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_PAGE = re.compile(rb"/Type /Page\b(?!s).*?/Contents (\d+) 0 R", re.DOTALL)
_PAGES_FONT = re.compile(rb"/(F\d+) (\d+) 0 R")
_LETTERS = re.compile(rb"/ToUnicode (\d+) 0 R")
#: A font is chosen, or glyphs of it are drawn.
_DRAWN = re.compile(rb"/(F\d+) \S+ Tf|<([0-9A-F]+)> Tj")
_ONE = re.compile(rb"<([0-9A-F]{4})> <([0-9A-F]+)>")
_RANGE = re.compile(rb"<([0-9A-F]{4})> <([0-9A-F]{4})> <([0-9A-F]{4})>")


def sizes_of(paper: bytes) -> list[tuple[int, ...]]:
    """Width and height of each page, in points."""
    boxes = re.findall(rb"/MediaBox\s*\[([-0-9. ]+)\]", paper)
    return [tuple(round(float(side)) for side in box.split()[2:]) for box in boxes]


def pages_of(paper: bytes) -> list[str]:
    """The letters of each page in the order in which they are drawn, without any space: lines break where they will.

    Raises KeyError for a glyph that no font of the page knows.
    """
    objects = {int(found[1]): found[2] for found in _OBJECT.finditer(paper)}
    return [_page(objects, found) for found in map(_PAGE.search, objects.values()) if found]


def squeezed(text: str) -> str:
    """As ``pages_of`` gives it: without spaces, and each ligature as its letters."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _page(objects: dict[int, bytes], page: re.Match[bytes]) -> str:
    fonts = {name: _letters_of(objects, objects[int(key)]) for name, key in _PAGES_FONT.findall(page[0])}
    letters: dict[str, str] = {}
    pieces = []
    for font, glyphs in _DRAWN.findall(_stream(objects[int(page[1])])):
        letters = fonts[font] if font else letters
        text = glyphs.decode()
        pieces += [letters[text[start : start + 4]] for start in range(0, len(text), 4)]
    return squeezed("".join(pieces))


def _letters_of(objects: dict[int, bytes], font: bytes) -> dict[str, str]:
    """Glyph (four digits, as the page has them) to what it stands for; a ligature for several letters."""
    found = _LETTERS.search(font)
    if not found:
        return {}
    table = _stream(objects[int(found[1])])
    ranges = _RANGE.findall(table)
    letters = {
        glyph.decode(): bytes.fromhex(text.decode()).decode("utf-16-be")
        for glyph, text in _ONE.findall(_RANGE.sub(b"", table))
    }
    for first, last, letter in ranges:
        for step in range(int(last, 16) - int(first, 16) + 1):
            letters[f"{int(first, 16) + step:04X}"] = chr(int(letter, 16) + step)
    return letters


def _stream(stored: bytes) -> bytes:
    return zlib.decompress(stored.partition(b"stream\n")[2].rpartition(b"\nendstream")[0])
