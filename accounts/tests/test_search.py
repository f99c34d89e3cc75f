"""People search: what is found, in which order, and that any text is harmless. The same on every database."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import Employment, Unit, User
from accounts.search import ensure_search_triggers, search_bonds

pytestmark = pytest.mark.django_db

#: matrícula -> (civil name, social name)
PEOPLE = {
    "012345": ("MARIA DE SOUZA", ""),
    "012399": ("JOSÉ DA CONCEIÇÃO", ""),
    "112345": ("JOSÉ ANTÔNIO D'ÁVILA", ""),
    "200001": ("JOSÉ DE LEÃO", "MARINA LEÃO"),
    "200002": ("ANA MARIA XIMENES", ""),
    "A10": ("BEATRIZ YULE", ""),
    "ABC": ("CAIO YULE", ""),
    "a20": ("DAVI YULE", ""),
}


def add(
    matricula: str, name: str, social_name: str = "", *, is_active: bool = True, ended_on: date | None = None
) -> User:
    unit, _made = Unit.objects.get_or_create(code="0001-011", defaults={"name": "1ª Vara Criminal"})
    user = User.objects.create_user(
        cpf=f"{User.objects.count():011d}", name=name, social_name=social_name, is_active=is_active
    )
    Employment.objects.create(
        user=user, matricula=matricula, cargo="Juiz", unit=unit, started_on=date(2020, 1, 1), ended_on=ended_on
    )
    return user


@pytest.fixture
def people() -> None:
    for matricula, (name, social_name) in PEOPLE.items():
        add(matricula, name, social_name)


def found(query: str, **options: int) -> list[str]:
    return [bond.matricula for bond in search_bonds(query, **options)]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # by matrícula: its beginning
        ("012345", ["012345"]),
        ("0123", ["012345", "012399"]),
        (" 0123 ", ["012345", "012399"]),
        ("12345", ["012345"]),
        ("0", ["012345", "012399"]),
        ("A1", ["A10"]),
        ("a2", ["a20"]),
        ("0123456", []),
        # a matrícula of letters alone: whole
        ("ABC", ["ABC"]),
        ("AB", []),
        # by name: beginnings of words, in any order, accents and case or not
        ("maria", ["200002", "012345"]),
        ("MARIA", ["200002", "012345"]),
        ("mári", ["200002", "012345", "200001"]),
        ("sou mar", ["012345"]),
        ("mar sou", ["012345"]),
        ("maria maria", ["200002", "012345"]),
        ("conceicao", ["012399"]),
        ("conceic\u0327a\u0303o jose", ["012399"]),
        ("davila", ["112345"]),
        ("D'Ávila", ["112345"]),
        ("d’ávila jo", ["112345"]),
        ("j c d", ["012399"]),
        ("yule", ["A10", "ABC", "a20"]),
        ("aria", []),
        ("ouza", []),
        ("maria zzz", []),
        # social and civil name
        ("marina", ["200001"]),
        ("jose leao", ["200001"]),
        ("jos", ["112345", "012399", "200001"]),
        # fewer than three letters
        ("", []),
        ("   ", []),
        ("jo", []),
        ("j o", []),
        ("de", []),
    ],
)
def test_a_query_finds_these_bonds_in_this_order(query: str, expected: list[str]) -> None:
    assert found(query) == expected


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # wildcards of LIKE
        ("%%%", []),
        ("___", []),
        ("%0%", []),
        ("_12345", []),
        ("0%", []),
        ("012_", []),
        ("mar%souza", ["012345"]),
        ("mar_x", ["200002"]),
        # quotes and backslashes
        ("\\\\\\", []),
        ("'''", []),
        ('"""', []),
        ("' OR 1=1 --", []),
        ('souza"', ["012345"]),
        # what means something to full-text search
        ("maria OR jose", []),
        ("maria AND zzz", []),
        ("NOT maria", []),
        ("mar* NEAR(sou)", []),
        ("search_name:maria", []),
        ("^maria", ["200002", "012345"]),
        ("-maria", ["200002", "012345"]),
        ("{maria} + (sou", ["012345"]),
        # what a database cannot store
        ("\0", []),
        ("mar\0ia", ["200002", "012345"]),
        ("01\0", ["012345", "012399"]),
        ("01\ud800", ["012345", "012399"]),
        ("\ud800\udfff", []),
        ("\uffff1\uffff", []),
        # other scripts
        ("²²²", []),
        ("日本語", []),
        ("<script>alert(1)</script>", []),
        # length
        ("a" * 10_000, []),
        ("1" * 10_000, []),
        ("a b " * 2_500, []),
        ("%" * 10_000, []),
        ("é" * 10_000, []),
        ("maria" + " " * 95 + "zzz", ["200002", "012345"]),
    ],
    ids=lambda value: ascii(value)[:25],
)
def test_fault_21_any_text_is_harmless(query: str, expected: list[str]) -> None:
    assert found(query) == expected


def test_only_current_bonds_of_people_who_may_sign_in_are_found() -> None:
    today = timezone.localdate()
    user = add("500001", "MARIA ATUAL")
    for matricula, start, end in (
        ("500002", today - timedelta(days=9), today - timedelta(days=1)),
        ("500003", today + timedelta(days=1), None),
        ("500004", today, today),
    ):
        bond = Employment(user=user, matricula=matricula, cargo="Juiz", started_on=start, ended_on=end)
        bond.unit = Unit.objects.get()
        bond.save()
    add("500005", "MARIA INATIVA", is_active=False)

    assert found("maria") == ["500001", "500004"]
    assert found("5000") == ["500001", "500004"]


def test_at_most_the_limit_is_returned_the_first_by_name_or_by_matricula() -> None:
    for number in range(30):
        add(f"6{number:05d}", f"PESSOA {29 - number:02d}")

    assert found("pessoa") == [f"6{number:05d}" for number in range(29, 9, -1)]
    assert found("pessoa", limit=3) == ["600029", "600028", "600027"]
    assert found("6") == [f"6{number:05d}" for number in range(20)]
    assert found("6", limit=3) == ["600000", "600001", "600002"]


def test_homonyms_come_by_matricula() -> None:
    for matricula in ("700002", "700001", "700003"):
        add(matricula, "MARIA DE SOUZA")

    assert found("maria") == ["700001", "700002", "700003"]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("query", ["yule", "A1"])
def test_person_and_unit_come_without_further_queries(
    query: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(3):
        shown = [(bond.user.display_name, str(bond.unit), bond.cargo) for bond in search_bonds(query)]

    assert shown[0] == ("Beatriz Yule", "1ª Vara Criminal", "Juiz")


def test_a_changed_name_is_found_and_the_old_one_is_not() -> None:
    user = add("800001", "MARIA DE SOUZA")
    user.name = "BEATRIZ YULE"
    user.save(update_fields=["name"])

    assert (found("souza"), found("yule")) == ([], ["800001"])


def test_names_that_change_in_bulk_are_found() -> None:
    user = add("800001", "MARIA DE SOUZA")
    user.name = "BEATRIZ YULE"
    user.search_name = user.folded_names()
    User.objects.bulk_update([user], ["name", "search_name"])

    assert (found("souza"), found("yule")) == ([], ["800001"])


def test_who_was_deleted_leaves_nothing_behind_in_the_index() -> None:
    user = add("800001", "MARIA DE SOUZA")
    Employment.objects.all().delete()
    user.delete()
    again = User.objects.create_user(cpf="0" * 11, name="BEATRIZ YULE", pk=user.pk)
    Employment.objects.create(
        user=again, matricula="800001", cargo="Juiz", unit=Unit.objects.get(), started_on=date(2020, 1, 1)
    )

    assert (found("souza"), found("yule")) == ([], ["800001"])


# --- What the database holds ----------------------------------------------------------------------------------------
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite's own index")
def test_triggers_that_a_rebuilt_table_lost_are_made_again_with_the_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER accounts_user_search_insert")
    add("900001", "MARIA DE SOUZA")
    assert found("maria") == []

    ensure_search_triggers(connection)

    assert found("maria") == ["900001"]
    add("900002", "MARIA XIMENES")
    assert found("maria") == ["900001", "900002"]
    with connection.cursor() as cursor:  # raises if table and index disagree
        cursor.execute("INSERT INTO accounts_user_search(accounts_user_search, rank) VALUES ('integrity-check', 1)")


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite's own index")
def test_nothing_is_made_where_the_index_is_not_migrated_yet() -> None:
    with connection.cursor() as cursor:
        for verb in ("insert", "update", "delete"):
            cursor.execute(f"DROP TRIGGER accounts_user_search_{verb}")
        cursor.execute("DROP TABLE accounts_user_search")

    ensure_search_triggers(connection)

    add("900001", "MARIA DE SOUZA")  # would fail if a trigger wrote to a table that is not there


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL's own indexes")
@pytest.mark.parametrize(
    ("bonds", "index"),
    [
        (User.objects.filter(search_name__contains=" mar"), "accounts_user_search_name_words"),
        (
            Employment.objects.filter(matricula__gte="0123", matricula__lt="0123\uffff"),
            "accounts_employment_matricula_key",
        ),
    ],
    ids=["name", "matricula"],
)
def test_each_kind_of_query_can_use_its_index(bonds: QuerySet[Any], index: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

    assert f" on {index} " in bonds.explain().replace("using", "on")


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one collation")
def test_both_columns_compare_by_bytes_whatever_the_databases_language() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE collation_name = 'C' AND table_name LIKE 'accounts\\_%' ORDER BY 1"
        )
        assert cursor.fetchall() == [("accounts_employment", "matricula"), ("accounts_user", "search_name")]


# --- Very many people -----------------------------------------------------------------------------------------------
MANY = 20_000
#: What one in twenty is called, as one in twenty here is called Maria; the second name hardly any other has.
COMMON = "marinalva"
OTHERS = ("osvaldo", "benedita", "celso", "dirce", "eunice")


def add_many() -> None:
    """By the database itself: ``MANY`` people with a bond each; the one who comes first by name came last."""
    unit = Unit.objects.create(code="0001-012", name="2ª Vara Criminal")
    people = (
        User(
            cpf=f"{number:011d}",
            name="x",
            search_name=f" {OTHERS[number % 5] if number % 20 else COMMON} de {word(number)} souza",
        )
        for number in range(MANY)
    )
    made = User.objects.bulk_create(people, batch_size=2000)
    Employment.objects.bulk_create(
        (
            Employment(user=user, matricula=f"7{place:06d}", cargo="Juiz", unit=unit, started_on=date(2020, 1, 1))
            for place, user in enumerate(made)
        ),
        batch_size=2000,
    )
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # as autovacuum does
            cursor.execute("SELECT gin_clean_pending_list('accounts_user_search_name_words')")
        cursor.execute("ANALYZE accounts_user")
        cursor.execute("ANALYZE accounts_employment")


def word(number: int) -> str:
    """Six letters, others for each number, in the opposite order of the numbers."""
    letters = ""
    for _ in range(6):
        number, letter = divmod(number * 7 + 3, 26)
        letters += "abcdefghijklmnopqrstuvwxyz"[25 - letter]
    return letters


def plan_of(query: str) -> str:
    """What the database does for the names of a query."""
    with CaptureQueriesContext(connection) as made:
        search_bonds(query)
    (by_name,) = (one["sql"] for one in made if "ORDER BY" in one["sql"] and "LIKE" in one["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {by_name}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_of_more_people_than_are_shown_the_first_by_name_are_shown() -> None:
    add_many()
    names = sorted(User.objects.filter(search_name__contains=COMMON).values_list("search_name", flat=True))

    shown = [bond.user.search_name for bond in search_bonds(COMMON)]

    assert shown == names[:20]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL's own indexes")
def test_among_very_many_each_fragment_is_looked_up_in_the_index() -> None:
    add_many()

    for query in (word(4711), COMMON, f"{COMMON} de", f"de so {word(4711)}", f"{COMMON} {word(4711)}"):
        plan = plan_of(query)
        assert "accounts_user_search_name_words" in plan, (query, plan)
        assert "Seq Scan on accounts_user" not in plan, (query, plan)
        (looked_up,) = (line for line in plan.splitlines() if "Index Cond" in line and "search_name" in line)
        assert "% de%" not in looked_up
        assert "% so%" not in looked_up


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL's own indexes")
def test_among_very_many_the_beginning_of_a_matricula_is_read_from_its_index() -> None:
    add_many()
    with CaptureQueriesContext(connection) as made:
        assert found("7") == [f"7{number:06d}" for number in range(20)]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {made[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "Index Scan using accounts_employment_matricula_key" in plan
    assert "Sort" not in plan
