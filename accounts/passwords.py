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

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from . import guesses, names, outbox, provisional, security, sessions, throttle
from .models import Employment, SecurityEvent, User

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
#: How a word is looked for: the step of a slice, and how a refusal tells of it.
DIRECTIONS = ((1, ""), (-1, " de trás para frente"))
#: Short enough to stand in other words ("se eu"): refused only as a word of its own.
CONTEXT_NAMES = {"seeu": "SEEU"}
#: Ordinary words that begin like this say nothing of the court, though one of its words is in them.
ORDINARY = re.compile(r"\b(?:re)?desenha|\bresenha|\binjustica")


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
        least, most = settings.PASSWORD_MIN_LENGTH, settings.PASSWORD_MAX_LENGTH
        return f"Use de {least} a {most} caracteres. Uma frase curta é fácil de lembrar."


MOST_REPEATED = 8


def is_repeated(text: str) -> bool:
    """Whether this is one short piece over and over."""
    sizes = range(1, min(MOST_REPEATED, len(text) // 2) + 1)
    return any(text == (text[:size] * len(text))[: len(text)] for size in sizes)


class CommonPasswordValidator:
    """The offline list, repetitions and keys in a row (ASVS 5.0 6.2.4), with whatever ornament: case, marks, digits.

    Letters of every script count here: what is left of a Japanese phrase in ASCII says nothing of it.
    """

    ORNAMENT = string.digits + string.punctuation + string.whitespace
    #: A date has eight digits; more of them are a secret of their own, if they are no run.
    MOST_DIGITS_ADDED = 8

    def validate(self, password: str, user: User | None = None) -> None:
        if user is not None and own_data_in(password, user):
            return  # told already: what is common to all is not what is wrong with it
        whole = unicodedata.normalize("NFKD", password).casefold()
        letters = plain_form(password)
        repeated = is_repeated(whole) or (len(letters) > len(whole) / 2 and is_repeated(letters))
        listed = any(map(self._is_listed, {letters, *self._without_ornament(whole)}))
        if repeated or listed or guesses.is_made_of((), password):
            raise ValidationError("Esta senha é muito comum. Escolha outra.", code="common")

    def _without_ornament(self, whole: str) -> Iterator[str]:
        core = whole.strip(self.ORNAMENT)
        digits = "".join(char for char in whole.replace(core, "", 1) if char.isdigit())
        if core and (len(digits) <= self.MOST_DIGITS_ADDED or guesses.is_made_of((), digits)):
            yield plain_form(core)
            yield plain_form(core.translate(guesses.LOOK_ALIKES))

    def _is_listed(self, text: str) -> bool:
        piece = text[: (text + text).find(text, 1)]  # where it is one piece over and over; else all of it
        return any(f"\n{form}\n".encode() in common_passwords() for form in {text, piece})

    def get_help_text(self) -> str:
        return "Não use senhas comuns, repetições nem teclas em sequência, como abcabcabc ou 1qaz2wsx."


class ContextWordsValidator:
    """Nothing with the words that everybody here would try."""

    def validate(self, password: str, user: User | None = None) -> None:
        text = guesses.seen(password)
        unusual = ORDINARY.sub(" ", text)
        for word, shown in CONTEXT_WORDS.items():
            for step, backwards in DIRECTIONS:
                if guesses.stands_in(word[::step], unusual):
                    raise self._refusal(f"“{shown}”{backwards}")
        for name, shown in CONTEXT_NAMES.items():
            if guesses.is_a_word_of(name, text):
                raise self._refusal(f"“{shown}”")

    def _refusal(self, found: str) -> ValidationError:
        return ValidationError(f"A senha não pode conter {found}: é fácil de adivinhar aqui.", code="context")

    def get_help_text(self) -> str:
        return "Não use palavras como senha, tribunal, corregedoria ou o nome do sistema."


#: A number shorter than this is in many others; four digits backwards are a year to most.
SHORTEST_NUMBER, SHORTEST_BACKWARDS = 4, 5
#: The digits at a telephone's end that are looked for.
TELEPHONE = 8
SHORTEST_WORD = 4
#: How the number of a vara is written out.
ORDINALS = {"1a": "primeira", "2a": "segunda", "3a": "terceira", "4a": "quarta", "5a": "quinta", "6a": "sexta"}
#: What may stand between the digits of one telephone; anything else begins another.
BETWEEN_TELEPHONES = re.compile(r"[^0-9()+ .\-]")


def own_data_in(password: str, user: User) -> str:
    """What tells the person from others and stands in the password, as a refusal goes on; else nothing."""
    bonds = list(user.employments.all())
    for step, backwards in DIRECTIONS:
        if found := _identity_in(password, user, bonds, step):
            return found + backwards
    return "o seu nome" if _is_only(_name_both_ways(user), password) else ""


def is_only_of_the_bonds(password: str, user: User) -> bool:
    """Whether it is the person's units and cargos, and little else: in a phrase their words are as good as others."""
    bonds = user.employments.select_related("unit")
    return _is_only(_name_both_ways(user).union(*map(_words_of, bonds)), password)


def _identity_in(password: str, user: User, bonds: list[Employment], step: int) -> str:
    """One of these is enough, whatever else stands there. ``step`` -1 is backwards."""
    text, digits = guesses.seen(password), guesses.digits_in(password)
    if user.cpf[:9][::step] in digits:
        return "o seu CPF"
    if any(_has_matricula(bond.matricula, password, step) for bond in bonds):
        return "a sua matrícula"
    if any(number[::step] in digits for number in _telephones(user)):
        return "o seu telefone"
    return next((what for what, word in _own_words(user) if _uses(word[::step], text, backwards=step < 0)), "")


def _is_only(words: set[str], password: str) -> bool:
    """A password that is nothing even without these words has nothing to do with them."""
    return guesses.is_made_of(words, password) and not guesses.is_made_of((), password)


def _name_both_ways(user: User) -> set[str]:
    return {word[::step] for word in names.fold(f"{user.name} {user.social_name}").split() for step in (1, -1)}


def _has_matricula(matricula: str, password: str, step: int) -> bool:
    """Whole, with whatever between its digits, or as a number of its own without the zeros that it begins with."""
    number, short = squeezed(matricula), squeezed(matricula).lstrip("0")
    if len(short) < (SHORTEST_NUMBER if step > 0 else SHORTEST_BACKWARDS):
        return False
    return number[::step] in squeezed(password) or short[::step] in re.findall(r"[0-9]+", guesses.seen(password))


def _telephones(user: User) -> Iterator[str]:
    """The end of each number: what stays the same with and without the codes of country, operator and area."""
    for piece in BETWEEN_TELEPHONES.split(user.phone):
        if len(digits := guesses.digits_in(piece)) >= TELEPHONE:
            yield digits[-TELEPHONE:]


def _own_words(user: User) -> Iterator[tuple[str, str]]:
    """Each name, and each two that follow one another, written as one with and without what stands between."""
    for name in (user.name, user.social_name):
        words = names.fold(name).split()
        places = [place for place, word in enumerate(words) if word not in names.PARTICLES]
        yield from (("o seu nome", words[place]) for place in places)
        for one, next_one in itertools.pairwise(places):
            yield "o seu nome", words[one] + words[next_one]
            yield "o seu nome", "".join(words[one : next_one + 1])
    yield "o seu e-mail", squeezed(user.email.partition("@")[0])


def _uses(word: str, text: str, *, backwards: bool) -> bool:
    """A short name is looked for as a word of its own; backwards it may be another word ("Ramos": "somar")."""
    if len(word) >= guesses.SHORTEST_PART:
        return guesses.stands_in(word, text)
    return not backwards and len(word) >= SHORTEST_WORD and guesses.is_a_word_of(word, text)


def _words_of(bond: Employment) -> list[str]:
    unit = bond.unit
    words = names.fold(f"{unit.name} {unit.comarca} {unit.code} {bond.cargo} {bond.staff_kind}").split()
    return [*words, *(ORDINALS[word] for word in words if word in ORDINALS)]


class OwnDataValidator:
    """Nothing made of the person's own CPF, matrícula, telephone, name, e-mail, unit or cargo."""

    def validate(self, password: str, user: User | None = None) -> None:
        if user is None:
            return
        if found := own_data_in(password, user):
            raise ValidationError(f"A senha não pode conter {found}.", code="own_data")
        if is_only_of_the_bonds(password, user):
            raise ValidationError("A senha não pode ser feita só da sua lotação ou do seu cargo.", code="own_data")

    def get_help_text(self) -> str:
        return "Não use os seus dados: nome, CPF, matrícula, telefone, e-mail, lotação ou cargo."


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
            outbox.owe(MAIL, recipient=user.pk, about=event.pk)
        throttle.forgive_passwords(user.cpf)
    return user
