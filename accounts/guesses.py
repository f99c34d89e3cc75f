"""How somebody who guesses reads a password: look-alikes, signs for letters, gaps, stretches of the keyboard."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from . import names

#: Letters of other alphabets that look like Latin ones, in the case in which they do.
OTHER_ALPHABETS = str.maketrans(
    "АВЕКМНОРСТУХІЈЅавекмнорстухіјѕгпԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβεηικνορτυχωɑɡ",
    "ABEKMHOPCTYXIJSabekmhopctyxijsrndhqwABEZHIKMNOPTYXabenikvoptuxwag",
)
#: What people write in place of letters.
SIGNS = {
    "a": "4@",
    "b": "68",
    "c": "(<[{¢",
    "e": "3€",
    "g": "69",
    "i": "1!|¡",
    "l": "1!|",
    "o": "0",
    "q": "9",
    "s": "5$",
    "t": "7+",
    "z": "2",
}
#: The letter that each of them stands for in most words.
LOOK_ALIKES = str.maketrans("0134567890@$!(", "oieasgtbgoasic")
#: A name shorter than this is in many words ("Lima" in "clima"): it counts as a word of its own.
SHORTEST_PART = 6
#: With fewer code points of one's own than this, a password is what everybody here could put together.
LEAST_OF_ONES_OWN = 8
#: Unicode's category of what joins and directs and is not seen.
INVISIBLE = "Cf"
SEPARATORS = re.compile(r"[\s.,;:_/\\-]")
#: The row of digits with the shift key held.
SHIFTED = str.maketrans("!@#$%&*()", "123457890")
#: Keys and letters in a row: four that follow one another say nothing, nor do they backwards.
ROWS = ("1234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjklc", "zxcvbnm")
#: Columns of the keyboard and of its digits, and the beginnings of its rows.
COLUMNS = (
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "8ik",
    "9ol",
    "147",
    "258",
    "369",
    "qwe",
    "asd",
    "zxc",
)
SHORTEST_STRETCH = 4


def seen(password: str) -> str:
    """Small letters without marks, Latin where they look like it; digits of every script as ours; the rest as typed."""
    decomposed = unicodedata.normalize("NFKD", names.APOSTROPHES.sub("", password))
    plain = "".join(
        str(unicodedata.decimal(char)) if char.isdecimal() else char
        for char in decomposed
        if not (unicodedata.combining(char) or unicodedata.category(char) == INVISIBLE)
    )
    return plain.translate(OTHER_ALPHABETS).casefold().translate(names.PLAIN_LETTERS)


def digits_in(text: str) -> str:
    """All its digits, whatever stands between them."""
    return re.sub(r"[^0-9]", "", seen(text))


def stands_in(word: str, text: str) -> bool:
    """Whether the word is somewhere in what is ``seen``, or is what several pieces make ("se nha", "s1e2n3h4a")."""
    return any(re.search(pattern, text) for pattern in (_disguised(word), *_spread(word)))


def is_a_word_of(word: str, text: str) -> bool:
    """Whether the word stands in what is ``seen`` between other things than letters."""
    return re.search(_alone(_disguised(word)), text) is not None


def is_made_of(words: Iterable[str], password: str) -> bool:
    """Whether words, stretches and repetitions leave fewer than ``LEAST_OF_ONES_OWN`` code points of anything else.

    Blanks and separators do not count. A password in which nothing of the kind stands is never made of it.
    """
    text = seen(password)
    taken = _all_of(frozenset(word for word in words if len(word) > 1))
    readings = (text, SEPARATORS.sub("", text), text.translate(SHIFTED))
    return any(_is_little(_without(taken, reading), reading) for reading in readings)


def _is_little(left: str, text: str) -> bool:
    return left != text and len(SEPARATORS.sub("", left)) < LEAST_OF_ONES_OWN


def _without(taken: re.Pattern[str], text: str) -> str:
    while (less := taken.sub(" ", text)) != text:
        text = less
    return text


def _alone(pattern: str) -> str:
    return rf"(?<![a-z]){pattern}(?![a-z])"


def _letter(char: str) -> str:
    return f"[{re.escape(char + SIGNS.get(char, ''))}]"


def _disguised(word: str) -> str:
    return "".join(map(_letter, word))


def _spread(word: str) -> tuple[str, str]:
    """With gaps: signs are letters, or signs are gaps. What fills a gap is no letter, so a search never goes back."""
    signs = "".join(SIGNS.values())
    digits = "".join(re.findall(r"[0-9]", word))
    return (
        _alone(rf"[^a-z0-9{re.escape(signs)}]*".join(map(_letter, word))),
        _alone(rf"[^a-z{digits}]*".join(map(re.escape, word))),
    )


@lru_cache(maxsize=1)
def _stretches() -> str:
    """Any character three times or more, and each piece of a row or a column, the longest first."""
    pieces = {
        row[start:end][::step]
        for row in ROWS
        for start, end in itertools.combinations(range(len(row) + 1), 2)
        if end - start >= SHORTEST_STRETCH
        for step in (1, -1)
    }
    pieces |= {column[::step] for column in COLUMNS for step in (1, -1)}
    pieces |= {column[1:][::step] for column in COLUMNS[:7] for step in (1, -1)}
    return "|".join([r"(.)\1{2,}", *sorted(pieces, key=lambda piece: (-len(piece), piece))])


@lru_cache(maxsize=64)
def _all_of(words: frozenset[str]) -> re.Pattern[str]:
    """Stretches, long words wherever they stand, and short ones where nothing but words is glued to them."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    long = [_disguised(word) for word in ordered if len(word) >= SHORTEST_PART]
    glued = [_alone(f"(?:{'|'.join(map(_disguised, ordered))})++")] if ordered else []
    return re.compile("|".join([_stretches(), *long, *glued]), re.DOTALL)
