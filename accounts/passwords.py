"""What a password must be, and the one place where a person's own choice takes effect."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from . import names, outbox, provisional, security, throttle
from .models import SecurityEvent, User

#: Words of the court that a guesser tries first (ASVS 5.0 6.2.11).
CONTEXT_WORDS = ("tjms", "tribunal", "justica", "corregedoria", "coordenadoria", "bnmp", "senha", "sistemasexternos")


def squeezed(password: str) -> str:
    """The password as the rules on words compare it: no case, no marks, no spaces or punctuation."""
    return names.fold(password).replace(" ", "")


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


class CommonPasswordValidator(password_validation.CommonPasswordValidator):
    """Django's list and plain runs, also of the password without case, marks, spaces and punctuation.

    Letters of every script count here: what is left of a Japanese phrase in ASCII says nothing of it.
    """

    def validate(self, password: str, user: Any = None) -> None:
        whole = unicodedata.normalize("NFKD", password).casefold()
        letters = "".join(char for char in whole if char.isalnum())
        is_common = not {password.lower().strip(), letters}.isdisjoint(self.passwords)
        if is_common or is_run(whole) or (len(letters) > len(whole) / 2 and is_run(letters)):
            raise ValidationError("Esta senha é muito comum. Escolha outra.", code="common")

    def get_help_text(self) -> str:
        return "Não use senhas comuns nem repetições, como 123456 ou abcabcabc."


class ContextWordsValidator:
    """Nothing with the words that everybody here would try."""

    def validate(self, password: str, user: User | None = None) -> None:
        plain = squeezed(password)
        for word in CONTEXT_WORDS:
            if word in plain:
                raise ValidationError(f"A senha não pode conter “{word}”: é fácil de adivinhar aqui.", code="context")

    def get_help_text(self) -> str:
        return "Não use palavras como senha, tribunal, corregedoria ou o nome do sistema."


class OwnDataValidator:
    """Nothing made of the person's own CPF, matrícula, name or e-mail."""

    SHORTEST_NAME = 4

    def validate(self, password: str, user: User | None = None) -> None:
        if user is None:
            return
        plain = squeezed(password)
        for what, parts in self._own(user).items():
            if any(part in plain for part in parts):
                raise ValidationError(f"A senha não pode conter {what}.", code="own_data")

    def _own(self, user: User) -> dict[str, set[str]]:
        words = names.fold(f"{user.name} {user.social_name}").split()
        mailbox = squeezed(user.email.partition("@")[0])
        matriculas = {squeezed(bond.matricula) for bond in user.employments.all()}
        return {
            "o seu CPF": {user.cpf, user.cpf[:9]},
            "a sua matrícula": {matricula for matricula in matriculas if len(matricula) >= self.SHORTEST_NAME},
            "o seu nome": {word for word in words if len(word) >= self.SHORTEST_NAME},
            "o seu e-mail": {mailbox} if len(mailbox) >= self.SHORTEST_NAME else set(),
        }

    def get_help_text(self) -> str:
        return "Não use o seu nome, CPF ou matrícula."


def choose(
    pk: int,
    password: str,
    *,
    may: Callable[[User], bool],
    kind: SecurityEvent.Kind,
    request: HttpRequest,
) -> User | None:
    """Make this the person's own password, if ``may`` still says so of the locked person; else None.

    Ends provisional passwords, every other session (their hash no longer fits) and every open link, owes the notice
    mail, and forgets the failed tries at this CPF.
    """
    encoded = make_password(password)  # slow: before the transaction
    with transaction.atomic():
        user = User.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
        if not may(user):
            return None
        user.password = encoded
        user.must_change_password = False
        user.save(update_fields=["password", "must_change_password"])
        provisional.end(user)
        event = security.record(kind, user=user, actor=user, request=request)
        if user.email:
            outbox.owe("password_changed", recipient=user, about=event.pk)
        throttle.clear(throttle.SIGN_IN, user.cpf)
        throttle.clear(throttle.RESET, user.cpf)
    return user
