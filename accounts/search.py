"""People found by matrícula or name, over the indexes of ``migrations/0002_people_search.py``.

PostgreSQL: trigrams over ``search_name``. SQLite: a full-text table that triggers keep in step with ``accounts_user``.
"""

from __future__ import annotations

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat
from django.db.models.lookups import Contains

from . import names
from .matriculas import spellings
from .models import Employment, User

LONGEST_QUERY = 100
LEAST_LETTERS = 3
#: People with one name that are compared; nobody reads more of them.
NAMESAKES = 20
DIGITS = frozenset("0123456789")
#: Sorts after every character that a matrícula can have.
LAST = "\uffff"

_FORGET = (
    "INSERT INTO accounts_user_search(accounts_user_search, rowid, search_name) "
    "VALUES ('delete', OLD.id, OLD.search_name);"
)
_LEARN = "INSERT INTO accounts_user_search(rowid, search_name) VALUES (NEW.id, NEW.search_name);"
_TRIGGERS = {
    "accounts_user_search_insert": f"AFTER INSERT ON accounts_user BEGIN {_LEARN} END",
    "accounts_user_search_update": f"AFTER UPDATE OF id, search_name ON accounts_user BEGIN {_FORGET} {_LEARN} END",
    "accounts_user_search_delete": f"AFTER DELETE ON accounts_user BEGIN {_FORGET} END",
}


def search_bonds(query: str, *, limit: int = 20) -> list[Employment]:
    """Current bonds, the first ``limit`` of all that fit; ``user`` and ``unit`` come with them.

    A query with a digit is the beginning of a matrícula, or a whole one without its zeros in front; those come by
    matrícula. Any other is beginnings of words of
    the social or the civil name, in any order, accents or not, at least three letters together; or a whole matrícula.
    Those come by the name of the person. Any text is harmless.
    """
    query = query[:LONGEST_QUERY].replace("\0", "").encode(errors="ignore").decode().strip()
    current = Employment.objects.current().select_related("user", "unit")
    if not DIGITS.isdisjoint(query):
        beginning = Q(matricula__gte=query, matricula__lt=query + LAST)
        return list(current.filter(beginning | Q(matricula__in=spellings(query))).order_by("matricula")[:limit])
    wanted = [Q(matricula=query)]
    fragments = list(dict.fromkeys(names.fold(query).split()))
    if sum(map(len, fragments)) >= LEAST_LETTERS:
        wanted.append(has_words(fragments))
    # One query for each, for an OR over two tables would use the index of neither.
    by_name = current.order_by("user__search_name", "matricula")
    found = {bond.pk: bond for condition in wanted for bond in by_name.filter(condition)[:limit]}
    return sorted(found.values(), key=lambda bond: (bond.user.search_name, bond.matricula))[:limit]


def has_words(fragments: list[str]) -> Q:
    """People with a word that begins so, for each fragment. Fragments are ASCII letters and digits."""
    if connection.vendor == "postgresql":
        words, has_long = Q(), any(len(fragment) >= LEAST_LETTERS for fragment in fragments)
        for fragment in fragments:
            if has_long and len(fragment) < LEAST_LETTERS:
                # Half of all people have a "de": its list in the index is longer than what the other words leave.
                words &= Q(Contains(Concat("user__search_name", Value("", TextField())), f" {fragment}"))
            else:
                words &= Q(user__search_name__contains=f" {fragment}")
        return words
    match = " ".join(f'"{fragment}"*' for fragment in fragments)
    people = "SELECT rowid FROM accounts_user_search WHERE accounts_user_search MATCH %s"
    return Q(user_id__in=RawSQL(people, [match]))  # noqa: S611 - a constant with one parameter


def namesakes_of(person: User) -> list[User]:
    """Others who are shown under the same name, capitals and accents aside, at most ``NAMESAKES``; bonds come along.

    By the name that is shown alone: the civil name of whoever has a social one leads nobody to them.
    """
    name = names.fold(person.display_name)
    if not name:
        return []
    # A civil name follows the social one.
    same = Q(search_name=f" {name}") | (Q(search_name__startswith=f" {name} ") & ~Q(social_name=""))
    found = User.objects.filter(same).exclude(pk=person.pk)
    if connection.vendor == "sqlite":  # where only the full-text table has an index
        people = "SELECT rowid FROM accounts_user_search WHERE accounts_user_search MATCH %s"
        found = found.filter(pk__in=RawSQL(people, [f'"{name}"']))  # noqa: S611 - a constant with one parameter
    found = found.order_by("pk").prefetch_related("employments__unit")
    return [one for one in found[:NAMESAKES] if names.fold(one.display_name) == name]


def ensure_search_triggers(connection: BaseDatabaseWrapper) -> None:
    """On SQLite, make the triggers that are missing and read all names anew if any was. For ``post_migrate``.

    Django rebuilds a SQLite table to alter it, and its triggers are gone then.
    """
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger')")
        present = {name for (name,) in cursor.fetchall()}
        missing = _TRIGGERS.keys() - present
        if "accounts_user_search" not in present or not missing:
            return
        for name in missing:
            cursor.execute(f"CREATE TRIGGER {name} {_TRIGGERS[name]}")
        cursor.execute("INSERT INTO accounts_user_search(accounts_user_search) VALUES ('rebuild')")
