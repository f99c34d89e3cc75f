"""A roll of people: many of them found at once by matrícula or name, in a few queries however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import IntegerField, Q, QuerySet, Value
from django.db.models.expressions import RawSQL

from .matriculas import spellings
from .models import Employment
from .search import LEAST_LETTERS, has_words

#: Of one name; whoever finds more has to look by matrícula.
MOST_ALIKE = 20
#: Each is two parts of one query; SQLite takes 500 parts.
NAMES_AT_ONCE = 50


@dataclass
class Alike:
    """Keys of the bonds that a name leads to, at most ``MOST_ALIKE`` and one more of each sort."""

    #: Of people who are called so and no more.
    exact: list[int] = field(default_factory=list)
    #: Of those in whose name each word begins some word.
    partly: list[int] = field(default_factory=list)


def bonds_numbered(matriculas: Collection[str]) -> dict[str, Employment]:
    """Bonds by their matrícula, those that are over too; ``user`` and ``unit`` come with them. One query."""
    wanted = {spelling for matricula in matriculas for spelling in spellings(matricula)}
    found = Employment.objects.filter(matricula__in=wanted).select_related("user", "unit")
    return {bond.matricula: bond for bond in found}


def can_be_looked_for(name: str) -> bool:
    """Whether a folded name has letters enough, as for the people search."""
    return len(name.replace(" ", "")) >= LEAST_LETTERS


def bonds_named(names: Collection[str], *, current: bool = True) -> dict[str, Alike]:
    """For folded names, whom each leads to. One query for each ``NAMES_AT_ONCE``.

    ``current``: bonds that hold today and no others, as the people search has them. Names that lead to nobody are not
    in the answer.
    """
    bonds = Employment.objects.current() if current else Employment.objects.all()
    found: defaultdict[str, Alike] = defaultdict(Alike)
    wanted = list(dict.fromkeys(names))
    for start in range(0, len(wanted), NAMES_AT_ONCE):
        some = wanted[start : start + NAMES_AT_ONCE]
        first, *others = _parts(bonds, some)
        for key, place in first.union(*others, all=True):
            alike = found[some[place // 2]]
            (alike.partly if place % 2 else alike.exact).append(key)
    return dict(found)


def _parts(bonds: QuerySet[Employment], names: list[str]) -> Iterator[QuerySet[Employment, tuple[int, int]]]:
    """For each name two questions, each with an end of its own: a name that thousands have hides no other."""
    for place, name in enumerate(names):
        for odd, condition in enumerate((_is_called(name), has_words(name.split()))):
            some = bonds.filter(condition).values("pk")[: MOST_ALIKE + 1]
            marked = Employment.objects.filter(pk__in=some).order_by()
            yield marked.annotate(place=Value(2 * place + odd, output_field=IntegerField())).values_list("pk", "place")


def _is_called(name: str) -> Q:
    """By the name that is shown, which stands first; a civil name follows a social one."""
    same = Q(user__search_name=f" {name}")
    same |= Q(user__search_name__startswith=f" {name} ") & ~Q(user__social_name="")
    if connection.vendor != "sqlite":
        return same
    # Where only the full-text table has an index.
    people = "SELECT rowid FROM accounts_user_search WHERE accounts_user_search MATCH %s"
    return same & Q(user_id__in=RawSQL(people, [f'"{name}"']))  # noqa: S611 - a constant with one parameter
