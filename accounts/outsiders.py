"""People whom no personnel file knows: temporary staff, Ministério Público, Defensoria, others. Gestão keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from . import security
from .directory import effects, is_of_somebody_else
from .masking import kept_reason
from .models import Employment, SecurityEvent, Unit, User
from .support import IS_TAKEN

PERMISSION = "accounts.add_employment"
#: No bond from outside is given for longer at a time; it can be prolonged.
LONGEST = timedelta(days=731)
#: Their matrículas are made here: ``EXT0000001``.
PREFIX = "EXT"
NUMERALS = 7
NOT_YOUR_OWN = "Ninguém cadastra nem muda o próprio vínculo. Peça a outra pessoa da Gestão."
NOT_FOR_THEMSELVES = "Ninguém responde por si. Escolha outra pessoa."
CHANGED_MEANWHILE = "Este vínculo mudou depois que você abriu a página. Confira e repita."
ALREADY_OVER = "Este vínculo já terminou. Para que valha de novo, informe outro último dia."
BUSY = "Outro cadastro estava sendo gravado. Nada foi gravado aqui: envie de novo."


class RefusedError(Exception):
    """Nothing was done; the message is a sentence for the member of the staff."""


@dataclass(frozen=True)
class Person:
    """Somebody as Gestão typed them; a person who is there already keeps what the portal knows."""

    cpf: str
    name: str
    social_name: str
    email: str
    phone: str


@dataclass(frozen=True)
class Bond:
    kind: Employment.Kind
    cargo: str
    unit: Unit
    started_on: date
    ended_on: date
    sponsor: User


def last_day_allowed() -> date:
    return timezone.localdate() + LONGEST


def add(person: Person, bond: Bond, *, by: User, request: HttpRequest) -> tuple[Employment, bool]:
    """Add the bond, and the person where none has this CPF; returns the bond and whether the person is new.

    Raises RefusedError.
    """
    for _attempt in range(5):  # two at once take the same number, or add the same person
        try:
            return _add(person, bond, by=by, request=request)
        except IntegrityError:
            continue
    raise RefusedError(BUSY)


@transaction.atomic
def _add(person: Person, bond: Bond, *, by: User, request: HttpRequest) -> tuple[Employment, bool]:
    known = User.objects.filter(cpf=person.cpf).first()
    if known is None and is_of_somebody_else(person.email, User(cpf=person.cpf)):
        raise RefusedError(IS_TAKEN)
    user = User.objects.locked(known.pk) if known else User.objects.create_user(**vars(person))
    if user.pk == by.pk:
        raise RefusedError(NOT_YOUR_OWN)
    if user.pk == bond.sponsor.pk:
        raise RefusedError(NOT_FOR_THEMSELVES)
    made = Employment.objects.create(user=user, matricula=_next_matricula(), **vars(bond))
    if effects.let_in(effects.came_back().filter(pk=user.pk)):
        user.refresh_from_db(fields=["is_active", "left_at"])
    detail = f"Vínculo {made.matricula}: {_in_words(made)}"
    security.record(SecurityEvent.Kind.PERSON_CHANGED, user=user, actor=by, request=request, detail=detail)
    return made, known is None


def _next_matricula() -> str:
    ours = Employment.objects.filter(matricula__gte=f"{PREFIX}0", matricula__lt=f"{PREFIX}:")  # ":" follows "9"
    last = ours.filter(matricula__regex=f"^{PREFIX}[0-9]{{{NUMERALS}}}$").order_by("-matricula").first()
    number = int(last.matricula.removeprefix(PREFIX)) + 1 if last else 1
    return f"{PREFIX}{number:0{NUMERALS}d}"


@transaction.atomic
def change_end(
    pk: int, last_day: date, reason: str, *, seen: date | None, by: User, request: HttpRequest
) -> Employment:
    """Give a bond from outside another last day; what follows where it is over by then follows at once.

    ``seen``: the last day that ``by`` saw. Raises RefusedError; Employment.DoesNotExist for one of the personnel file.
    """
    user = User.objects.locked(Employment.objects.values_list("user", flat=True).get(pk=pk))
    bond = Employment.objects.exclude(kind=Employment.Kind.DIRECTORY).get(pk=pk)
    if user.pk == by.pk:
        raise RefusedError(NOT_YOUR_OWN)
    if seen != bond.ended_on:
        raise RefusedError(CHANGED_MEANWHILE)
    was, today = bond.ended_on, timezone.localdate()
    if was is not None and max(was, last_day) < today:
        raise RefusedError(ALREADY_OVER)
    first = bond.started_on
    bond.started_on, bond.ended_on = min(first, last_day), last_day
    bond.save(update_fields=["started_on", "ended_on"])
    over = [bond.pk] if bond.ended_on < today else []
    effects.tell(effects.Moved(ended=over))
    effects.let_in(effects.came_back().filter(pk=user.pk))
    never_held = f" Começaria em {first:%d/%m/%Y}." if last_day < first else ""
    days = f"último dia {was:%d/%m/%Y} → {last_day:%d/%m/%Y}.{never_held}"
    detail = f"Vínculo {bond.matricula}: {days} {kept_reason(reason)}"
    security.record(SecurityEvent.Kind.PERSON_CHANGED, user=user, actor=by, request=request, detail=detail)
    return bond


def end_now(pk: int, reason: str, *, seen: date | None, by: User, request: HttpRequest) -> Employment:
    """End a bond from outside: yesterday was its last day, also of one that begins only now. Raises RefusedError."""
    yesterday = timezone.localdate() - timedelta(days=1)
    return change_end(pk, yesterday, reason, seen=seen, by=by, request=request)


def of(person: User) -> list[Employment]:
    """The bonds of this person that no personnel file knows, the newest first."""
    bonds = person.employments.exclude(kind=Employment.Kind.DIRECTORY)
    return list(bonds.select_related("unit", "sponsor").order_by("-ended_on", "-pk"))


def _in_words(bond: Employment) -> str:
    return f"desde {bond.started_on:%d/%m/%Y}. {bond.from_outside}"
