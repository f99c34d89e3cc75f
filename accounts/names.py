"""How names are compared and how they are shown."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

PARTICLES = frozenset({"da", "das", "de", "do", "dos", "e"})
ROMAN = re.compile(r"(?:i{2,3}|iv|vi{0,3}|ix|x{1,3})")
NOT_WORD = re.compile(r"[^0-9a-z]+")
APOSTROPHES = re.compile("['’‘ʼ′`´＇]")
#: Letters that Unicode does not take apart; without these they would break a word in two.
PLAIN_LETTERS = str.maketrans(
    {"đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "þ": "th"}
)


#: Longer ones are no words of names, and are not kept.
LONGEST_WORD = 40


def fold(text: str) -> str:
    """Lower case, no marks, words of ASCII letters and digits with one space between: what searches compare."""
    folded = (_fold_known(word) if len(word) <= LONGEST_WORD else _fold(word) for word in text.split())
    return " ".join(filter(None, folded))


def _fold(word: str) -> str:
    """May be several words: ``Silva-Souza``."""
    # Apostrophes go first: the decomposition of an acute accent that stands alone holds a space.
    decomposed = unicodedata.normalize("NFKD", APOSTROPHES.sub("", word)).casefold()
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return NOT_WORD.sub(" ", plain.translate(PLAIN_LETTERS)).strip()


#: A few thousand words make nearly all names of a court.
_fold_known = lru_cache(maxsize=10_000)(_fold)


def display(name: str) -> str:
    """A name as a person writes it: ``MARIA D'ÁVILA DOS SANTOS II`` becomes ``Maria D'Ávila dos Santos II``."""
    words = unicodedata.normalize("NFC", name).split()
    return " ".join(_display_word(word.lower(), first=place == 0) for place, word in enumerate(words))


def _display_word(word: str, *, first: bool) -> str:
    if word in PARTICLES and not first:
        return word
    if ROMAN.fullmatch(word) and not first:
        return word.upper()
    return re.sub(r"(^|[-.('’´`])(\w)", lambda match: match[1] + match[2].upper(), word)
