"""What a password must be, and the one place where a person's own choice takes effect."""

from __future__ import annotations

import gzip
import itertools
import re
import string
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from . import names, outbox, provisional, security, sessions, throttle
from .models import SecurityEvent, User

#: The kind of mail that tells of a new password (``emails``).
MAIL = "password_changed"
#: Words of the court that a guesser tries first (ASVS 5.0 6.2.11), as they are compared and as they are told.
CONTEXT_WORDS = {
    "tjms": "TJMS",
    "tribunal": "tribunal",
    "justica": "justiça",
    "corregedoria": "corregedoria",
    "coordenadoria": "coordenadoria",
    "bnmp": "BNMP",
    "senha": "senha",
    "sistemasexternos": "sistemas externos",
    "sisbajud": "SISBAJUD",
    "infojud": "INFOJUD",
    "renajud": "RENAJUD",
}
#: Short enough to stand in other words ("se eu"): refused only as a word of its own.
CONTEXT_NAMES = {"seeu": "SEEU"}
#: Ordinary words that begin like this say nothing of the court, though one of its words is in them.
ORDINARY = re.compile(r"\b(?:re)?desenha|\bresenha|\binjustica")
#: What people write in place of letters.
LOOK_ALIKES = str.maketrans("013457@$", "oieastas")


@lru_cache(maxsize=1)
def common_passwords() -> bytes:
    """The list in ``data/``, one plain form a line: 2 MB, once for each process, and a millisecond to search."""
    return gzip.decompress((Path(__file__).parent / "data" / "common-passwords.txt.gz").read_bytes())


def plain_form(text: str) -> str:
    """What the list of common passwords is compared by: letters and digits of any script, no case, no marks."""
    return "".join(char for char in unicodedata.normalize("NFKD", text).casefold() if char.isalnum())


def squeezed(text: str) -> str:
    """Letters and digits in ASCII, with nothing between them: how one's own numbers are looked for."""
    return names.fold(text).replace(" ", "")


def readings(password: str) -> tuple[str, str]:
    """The password in words as somebody reads it: digits as the letters they look like, and digits as gaps."""
    plain = names.fold(password)
    return names.fold(password.translate(LOOK_ALIKES)), " ".join(re.sub(r"[0-9]", " ", plain).split())


def stands_in(word: str, reading: str) -> bool:
    """Whether the word is in one of the words read, or is what several of them make ("se nha", "t j m s")."""
    if word in reading.replace(" ", ""):
        spread = r" ?".join(map(re.escape, word))
        return word in reading or re.search(rf"\b{spread}\b", reading) is not None
    return False


class LengthValidator:
    """Between ``PASSWORD_MIN_LENGTH`` and ``PASSWORD_MAX_LENGTH`` code points of the NFC form (NIST SP 800-63B-4)."""

    def validate(self, password: str, user: User | None = None) -> None:
        length = len(unicodedata.normalize("NFC", password))
        if length < settings.PASSWORD_MIN_LENGTH:
            raise ValidationError(
                f"A senha tem {length} caracteres. Use pelo menos {settings.PASSWORD_MIN_LENGTH}.", code="too_short"
            )
        if length > settings.PASSWORD_MAX_LENGTH:
            raise ValidationError(f"Use no máximo {settings.PASSWORD_MAX_LENGTH} caracteres.", code="too_long")

    def get_help_text(self) -> str:
        return f"Use pelo menos {settings.PASSWORD_MIN_LENGTH} caracteres. Uma frase curta é fácil de lembrar."


#: What fingers and alphabets give for nothing; also backwards, and round again from the start.
SEQUENCES = ("1234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "qwertyuiopasdfghjklzxcvbnm")
MOST_REPEATED = 8


def is_run(text: str) -> bool:
    """Whether this is one short piece over and over, or a stretch of a sequence."""
    sizes = range(1, min(MOST_REPEATED, len(text) // 2) + 1)
    if any(text == (text[:size] * len(text))[: len(text)] for size in sizes):
        return True
    return any(text in row[::step] * (len(text) // len(row) + 2) for row in SEQUENCES for step in (1, -1))


class CommonPasswordValidator:
    """The offline list and plain runs (ASVS 5.0 6.2.4), with whatever ornament: case, marks, signs, a few digits.

    Letters of every script count here: what is left of a Japanese phrase in ASCII says nothing of it.
    """

    ORNAMENT = string.digits + string.punctuation + string.whitespace
    #: A date has eight digits; more of them are a secret of their own, if they are no run.
    MOST_DIGITS_ADDED = 8

    def validate(self, password: str, user: Any = None) -> None:
        whole = unicodedata.normalize("NFKD", password).casefold()
        letters = plain_form(password)
        is_plain_run = is_run(whole) or (len(letters) > len(whole) / 2 and is_run(letters))
        if is_plain_run or any(map(self._is_listed, {letters, *self._without_ornament(whole)})):
            raise ValidationError("Esta senha é muito comum. Escolha outra.", code="common")

    def _without_ornament(self, whole: str) -> Iterator[str]:
        core = whole.strip(self.ORNAMENT)
        digits = "".join(char for char in whole.replace(core, "", 1) if char.isdigit())
        if core and (len(digits) <= self.MOST_DIGITS_ADDED or is_run(digits)):
            yield plain_form(core)
            yield plain_form(core.translate(LOOK_ALIKES))

    def _is_listed(self, text: str) -> bool:
        piece = text[: (text + text).find(text, 1)]  # where it is one piece over and over; else all of it
        return any(f"\n{form}\n".encode() in common_passwords() for form in {text, piece})

    def get_help_text(self) -> str:
        return "Não use senhas comuns nem repetições, como 123456 ou abcabcabc."


class ContextWordsValidator:
    """Nothing with the words that everybody here would try."""

    def validate(self, password: str, user: User | None = None) -> None:
        for reading in readings(password):
            unusual = ORDINARY.sub(" ", reading)
            for word, shown in CONTEXT_WORDS.items():
                if stands_in(word, unusual):
                    raise self._refusal(shown)
            for name, shown in CONTEXT_NAMES.items():
                if name in reading.split():
                    raise self._refusal(shown)

    def _refusal(self, shown: str) -> ValidationError:
        return ValidationError(f"A senha não pode conter “{shown}”: é fácil de adivinhar aqui.", code="context")

    def get_help_text(self) -> str:
        return "Não use palavras como senha, tribunal, corregedoria ou o nome do sistema."


class OwnDataValidator:
    """Nothing made of the person's own CPF, matrícula, name or e-mail."""

    #: A number shorter than this is in many others.
    SHORTEST_NUMBER = 4
    #: A name of four or five letters is in many words ("Lima" in "clima"): it counts as a word of its own.
    SHORTEST_WORD, SHORTEST_PART = 4, 6

    def validate(self, password: str, user: User | None = None) -> None:
        if user is None:
            return
        if user.cpf[:9] in squeezed(password):
            raise ValidationError("A senha não pode conter o seu CPF.", code="own_data")
        if any(self._has_matricula(bond.matricula, password) for bond in user.employments.all()):
            raise ValidationError("A senha não pode conter a sua matrícula.", code="own_data")
        for what, word in self._words(user):
            if any(self._uses(word, reading) for reading in (*readings(password), names.fold(password))):
                raise ValidationError(f"A senha não pode conter {what}.", code="own_data")

    def _has_matricula(self, matricula: str, password: str) -> bool:
        """Whole, with whatever between its digits, or as a number of its own without the zeros that it begins with."""
        number = squeezed(matricula)
        if len(number.lstrip("0")) < self.SHORTEST_NUMBER:
            return False
        return number in squeezed(password) or number.lstrip("0") in re.findall(r"[0-9]+", names.fold(password))

    def _words(self, user: User) -> Iterator[tuple[str, str]]:
        """Each name, and each two that follow one another, written as one with and without what stands between."""
        for name in (user.name, user.social_name):
            words = names.fold(name).split()
            places = [place for place, word in enumerate(words) if word not in names.PARTICLES]
            yield from (("o seu nome", words[place]) for place in places)
            for one, next_one in itertools.pairwise(places):
                yield "o seu nome", words[one] + words[next_one]
                yield "o seu nome", "".join(words[one : next_one + 1])
        yield "o seu e-mail", squeezed(user.email.partition("@")[0])

    def _uses(self, word: str, reading: str) -> bool:
        if len(word) >= self.SHORTEST_PART:
            return stands_in(word, reading)
        return len(word) >= self.SHORTEST_WORD and word in reading.split()

    def get_help_text(self) -> str:
        return "Não use o seu nome, CPF ou matrícula."


class NotCurrentError(Exception):
    """The message is a sentence for the person; ``status`` is the page's, 429 for who has to wait."""

    def __init__(self, sentence: str = "A senha atual não confere.", status: int = 200) -> None:
        super().__init__(sentence)
        self.status = status


def check_current(user: User, typed: str, *, request: HttpRequest) -> None:
    """Whoever is signed in shows the password again (ASVS 5.0 6.2.3). Raises NotCurrentError."""
    if wait := throttle.take(throttle.OLD_PASSWORD, user.cpf, request, by=user):
        raise NotCurrentError(throttle.sentence(wait), status=429)
    if not user.check_password(typed):
        raise not_current(user, request)
    throttle.clear(throttle.OLD_PASSWORD, user.cpf)


def not_current(user: User, request: HttpRequest) -> NotCurrentError:
    """What to raise for a current password that is wrong; it is recorded (ASVS 5.0 16.3.1)."""
    security.record(SecurityEvent.Kind.PASSWORD_REFUSED, user=user, request=request)
    return NotCurrentError()


def choose(
    pk: int,
    password: str,
    *,
    may: Callable[[User], bool],
    kind: SecurityEvent.Kind,
    request: HttpRequest,
) -> User | None:
    """Make this the person's own password, if ``may`` still says so of the locked person; else None.

    Ends provisional passwords, every other session and every open link, owes the notice
    mail, and forgets the failed tries at this CPF.
    """
    encoded = make_password(password)  # slow: before the transaction
    with transaction.atomic():
        user = User.objects.locked(pk)
        if not may(user):
            return None
        user.password = encoded
        user.must_change_password = False
        user.save(update_fields=["password", "must_change_password"])
        provisional.end(user)
        sessions.end_all(user, but=getattr(request, "session", None))
        event = security.record(kind, user=user, actor=user, request=request)
        if user.email:
            outbox.owe(MAIL, recipient=user, about=event.pk)
        throttle.forgive_passwords(user.cpf)
    return user
