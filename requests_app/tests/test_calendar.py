"""Business days: what the court's calendar leaves out, who keeps it, and what is told where it is empty."""

from __future__ import annotations

import importlib
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import pytest
import time_machine
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from accounts.tests.factories import UserFactory
from requests_app import calendar, workflow
from requests_app.admin import recorded
from requests_app.calendar import Calendar
from requests_app.models import CatalogueChange, Holiday, Status

from .factories import analyst, manager, request_in
from .pages import Page, text_of

HOLIDAYS = "/admin/requests_app/holiday/"
KNOWN = f"{HOLIDAYS}conhecidos/"
#: What the TJMS published for 2026: Portaria 983/2025, its bridging days and Campo Grande's own day.
FREE_WEEKDAYS_OF_2026 = """
    01-01 01-02 01-05 01-06  02-16 02-17 02-18  04-02 04-03  04-20 04-21  05-01  06-04 06-05  08-10 08-11  08-26
    09-07  10-12  10-30  11-02  11-20  12-07 12-08  12-21 12-22 12-23 12-24 12-25 12-28 12-29 12-30 12-31
""".split()


def holiday(first, last=None, name="Feriado", scope=Holiday.Scope.COURT):
    return Holiday.objects.create(starts_on=first, ends_on=last or first, name=name, scope=scope)


@pytest.fixture
def empty(db):
    Holiday.objects.all().delete()


MIGRATION = importlib.import_module("requests_app.migrations.0006_holidays")


def list_them():
    """As ``migrate`` does."""
    MIGRATION.list_holidays(apps, SimpleNamespace(connection=connection))


@pytest.fixture
def published(empty):
    """The calendar that comes with the portal."""
    list_them()


@pytest.fixture
def keeper(client, empty):
    user = manager()
    client.force_login(user)
    return user


def auditor():
    user = UserFactory(is_staff=True)
    user.groups.add(Group.objects.get(name="Auditoria"))
    return user


# --- Counting --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        (date(2026, 11, 23), 1, date(2026, 11, 24)),  # Monday
        (date(2026, 11, 27), 1, date(2026, 11, 30)),  # Friday
        (date(2026, 11, 28), 1, date(2026, 11, 30)),  # Saturday
        (date(2026, 11, 23), 10, date(2026, 12, 7)),
        (date(2026, 11, 28), 0, date(2026, 11, 28)),
    ],
)
def test_business_days_leave_out_the_weekend(empty, start, days, end):
    assert workflow.add_business_days(start, days) == end


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        (date(2026, 12, 4), 1, date(2026, 12, 9)),  # a Friday; Monday and Tuesday are free
        (date(2026, 12, 18), 1, date(2027, 1, 7)),  # over the recess, which two rows make up
        (date(2026, 2, 13), 1, date(2026, 2, 19)),  # over Carnival
    ],
)
def test_business_days_leave_out_the_holidays_of_the_court(published, start, days, end):
    assert workflow.add_business_days(start, days) == end


def test_a_returned_request_gets_its_days_without_the_holidays(published):
    with time_machine.travel("2026-12-17T10:00:00-04:00", tick=False):
        request = request_in(Status.PENDING)
        moved = workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    assert moved.correct_by == date(2027, 1, 19)  # 18 December, then 7, 8 and 11 to 15, 18 and 19 January


def test_an_edited_holiday_counts_from_then_on(empty):
    friday, monday, tuesday = date(2026, 11, 27), date(2026, 11, 30), date(2026, 12, 1)
    assert workflow.add_business_days(friday, 1) == monday
    row = holiday(monday)
    assert workflow.add_business_days(friday, 1) == tuesday
    row.delete()
    assert workflow.add_business_days(friday, 1) == monday


def test_holidays_that_overlap_count_once(empty):
    holiday(date(2026, 12, 20), date(2026, 12, 31), "Recesso")
    holiday(date(2026, 12, 25), name="Natal")
    holiday(date(2026, 12, 28), date(2027, 1, 6), "Outro recesso")
    found = Calendar.since(date(2026, 12, 18))
    assert found.between(date(2026, 12, 18), date(2027, 1, 8)) == 2
    assert found.after(date(2026, 12, 18), 1) == date(2027, 1, 7)


def test_a_holiday_that_began_before_the_day_asked_for_still_counts(empty):
    holiday(date(2026, 12, 20), date(2027, 1, 6))
    assert workflow.add_business_days(date(2026, 12, 30), 1) == date(2027, 1, 7)


days = st.dates(date(2026, 1, 1), date(2028, 12, 31))
spans = st.lists(st.tuples(days, st.integers(0, 20)), max_size=8)


@of_hypothesis(max_examples=150, deadline=None, derandomize=True, database=None)
@given(free=spans, start=days, more=st.integers(0, 400))
def test_counting_agrees_with_going_from_day_to_day(free, start, more):
    found = Calendar((first, first + timedelta(days=length)) for first, length in free)
    end = start + timedelta(days=more)
    free_days = {first + timedelta(days=day) for first, length in free for day in range(length + 1)}
    walked = [start + timedelta(days=day) for day in range(1, more + 1)]
    expected = sum(day.weekday() < 5 and day not in free_days for day in walked)
    assert found.between(start, end) == expected
    if expected and found.works_on(end):
        assert found.after(start, expected) == end


@of_hypothesis(max_examples=150, deadline=None, derandomize=True, database=None)
@given(free=spans, today=days, age=st.integers(0, 12))
def test_the_earliest_day_of_an_age_is_the_first_that_is_not_older(free, today, age):
    found = Calendar((first, first + timedelta(days=length)) for first, length in free)
    earliest = found.earliest(age, today)
    assert found.between(earliest, today) <= age < found.between(earliest - timedelta(days=1), today)


def test_nothing_has_an_age_before_it_is_there():
    assert Calendar().between(date(2026, 11, 23), date(2026, 11, 20)) == 0


@pytest.mark.parametrize(
    ("age", "words"), [(0, "menos de 1 dia útil"), (1, "1 dia útil"), (2, "2 dias úteis"), (40, "40 dias úteis")]
)
def test_an_age_is_told_in_words(age, words):
    assert calendar.in_words(age) == words


def test_the_ages_of_a_list_cost_one_query(db):
    now = timezone.now()
    for moments in ([now], [now - timedelta(days=days) for days in range(300)]):
        with CaptureQueriesContext(connection) as queries:
            ages = calendar.ages_of(moments)
        assert len(queries) == 1
        assert len(ages) == len(moments)


def test_an_age_turns_at_midnight_here_and_not_in_greenwich(empty):
    filed = datetime.fromisoformat("2026-11-23T23:30:00-04:00")
    for now, age in (("2026-11-23T23:59:00-04:00", 0), ("2026-11-24T00:01:00-04:00", 1)):
        with time_machine.travel(now, tick=False):
            assert calendar.ages_of([filed]) == [age]


# --- What is known beforehand ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("year", "easter"),
    [
        *((2019, date(2019, 4, 21)), (2024, date(2024, 3, 31)), (2026, date(2026, 4, 5)), (2027, date(2027, 3, 28))),
        *((2028, date(2028, 4, 16)), (2038, date(2038, 4, 25)), (2049, date(2049, 4, 18)), (2076, date(2076, 4, 19))),
    ],
)
def test_easter_is_where_the_almanacs_have_it(year, easter):
    assert calendar.easter_of(year) == easter


def listed(year):
    rows = Holiday.objects.filter(starts_on__year=year).values_list("starts_on", "ends_on", "name", "scope")
    return set(rows)


def test_the_first_years_come_with_the_portal(empty):
    list_them()
    for year in (2027, 2028):
        known = {(one.starts_on, one.ends_on, one.name, one.scope) for one in calendar.known_holidays(year)}
        assert listed(year) == known
    found = Calendar.since(date(2026, 1, 1))
    year = [date(2026, 1, 1) + timedelta(days=day) for day in range(365)]
    free = [f"{day:%m-%d}" for day in year if day.weekday() < 5 and not found.works_on(day)]
    assert free == FREE_WEEKDAYS_OF_2026


def test_what_the_list_has_already_stays_as_it_is(empty):
    kept = holiday(date(2026, 12, 25), date(2026, 12, 26), "Natal")
    for _ in range(2):
        list_them()
    kept.refresh_from_db()
    assert kept.ends_on == date(2026, 12, 26)
    assert Holiday.objects.count() == len(MIGRATION.HOLIDAYS)


# --- The list of holidays --------------------------------------------------------------------------------------------
def test_gestao_adds_a_holiday_and_it_counts(client, keeper):
    posted = {"starts_on": "30/11/2026", "ends_on": "01/12/2026", "name": "Luto oficial", "scope": "COURT"}
    page = Page(client.post(f"{HOLIDAYS}add/", posted, follow=True))
    assert "Luto oficial" in page.text
    assert workflow.add_business_days(date(2026, 11, 27), 1) == date(2026, 12, 2)
    [change] = CatalogueChange.objects.filter(model="requests_app.holiday")
    assert (change.by, change.changes[0]) == (keeper, ["início", None, "30/11/2026"])


def test_a_holiday_that_was_typed_wrong_is_deleted_and_the_deletion_kept(client, keeper):
    row = holiday(date(2026, 11, 30))
    client.post(f"{HOLIDAYS}{row.pk}/delete/", {"post": "yes"})
    assert not Holiday.objects.exists()
    change = CatalogueChange.objects.filter(model="requests_app.holiday").first()
    assert change.changes[0] == ["início", "30/11/2026", None]


def delete_many(client, *rows):
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in rows], "index": "0"}
    return client.post(HOLIDAYS, chosen | {"post": "yes"})


def test_several_holidays_are_deleted_at_once_and_each_deletion_is_kept(client, keeper):
    rows = [holiday(date(2026, 11, day), name=f"Luto {day}") for day in (25, 26, 30)]
    assert delete_many(client, *rows[:2]).status_code == 302
    assert Holiday.objects.get() == rows[2]
    changes = CatalogueChange.objects.filter(model="requests_app.holiday", by=keeper)
    assert {change.object_id for change in changes} == {row.pk for row in rows[:2]}


def test_of_several_holidays_all_are_deleted_or_none(client, keeper, monkeypatch):
    rows = [holiday(date(2026, 11, day), name=f"Luto {day}") for day in (25, 26)]
    kept = recorded.catalogue.record_removal

    def fail_at_the_second(row, **options):
        if CatalogueChange.objects.exists():
            raise DatabaseError
        kept(row, **options)

    monkeypatch.setattr(recorded.catalogue, "record_removal", fail_at_the_second)
    with pytest.raises(DatabaseError):
        delete_many(client, *rows)
    assert (Holiday.objects.count(), CatalogueChange.objects.exists()) == (2, False)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"ends_on": "29/11/2026"}, "O fim não pode ser antes do início."),
        ({"ends_on": "30/11/2062"}, "no máximo 60 dias"),
        ({"starts_on": "30/11/0026", "ends_on": "30/11/0026"}, "Digite uma data de 2020 a 2100."),
        ({"starts_on": "31/02/2026"}, "data válida"),
        ({"starts_on": "x" * 5000}, "data válida"),
        ({"name": "a\0b"}, "Caracteres nulos"),
        ({"scope": "EUROPE"}, "Esta opção não está disponível"),
        ({"name": "Natal", "starts_on": "25/12/2026", "ends_on": "25/12/2026"}, "Este feriado já está na lista."),
    ],
)
def test_a_holiday_that_makes_no_sense_is_told_in_a_sentence(client, keeper, wrong, sentence):
    holiday(date(2026, 12, 25), name="Natal")
    right = {"starts_on": "30/11/2026", "ends_on": "30/11/2026", "name": "Luto", "scope": "COURT"}
    page = Page(client.post(f"{HOLIDAYS}add/", right | wrong))
    assert sentence in page.text
    assert Holiday.objects.count() == 1


def test_the_holidays_of_another_year_are_added_with_one_button(client, keeper):
    holiday(date(2029, 10, 30), name="Dia do Servidor Público")  # moved by the year's portaria
    page = Page(client.get(KNOWN, {"ano": "2029"}))
    assert "Corpus Christi: quinta-feira, 31/05/2029" in page.text
    assert "Dia do Servidor" not in page.text
    assert Holiday.objects.count() == 1

    for added in (len(calendar.known_holidays(2029)) - 1, 0):
        page = Page(client.post(KNOWN, {"ano": "2029"}, follow=True))
        assert f"Feriados incluídos em 2029: {added}." in page.text

    days = {row.starts_on for row in Holiday.objects.filter(starts_on__year=2029)}
    assert {date(2029, 2, 12), date(2029, 3, 30), date(2029, 10, 30)} < days
    assert date(2029, 10, 28) not in days
    kept = CatalogueChange.objects.filter(model="requests_app.holiday", by=keeper)
    assert kept.count() == Holiday.objects.count() - 1


def test_the_page_opens_on_the_first_year_without_holidays(client, keeper):
    with time_machine.travel("2026-11-23T12:00:00-04:00", tick=False):
        client.force_login(keeper)
        for year in (2026, 2027, 2029):
            holiday(date(year, 5, 1))
        assert Page(client.get(KNOWN)).value("ano") == "2028"


@pytest.mark.parametrize("year", ["", "abc", "\0", "-1", "1999", "2101", "9" * 5000, "2029.5", "²"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_year_that_is_none_adds_nothing_and_is_told(client, keeper, year, method):
    response = getattr(client, method)(KNOWN, {"ano": year})
    assert response.status_code == 200
    if year or method == "post":
        assert "Digite um ano de 2020 a 2100." in text_of(Page(response).one(id="id_ano_error"))
    assert not Holiday.objects.exists()


@pytest.mark.parametrize("who", [analyst, auditor])
def test_who_keeps_no_calendar_changes_nothing_in_it(client, empty, who):
    client.force_login(who())
    row = holiday(date(2026, 11, 30))
    posted = {"starts_on": "01/12/2026", "ends_on": "01/12/2026", "name": "Folga", "scope": "COURT", "post": "yes"}
    assert client.get(KNOWN).status_code == 403
    for place in (KNOWN, f"{HOLIDAYS}add/", f"{HOLIDAYS}{row.pk}/change/", f"{HOLIDAYS}{row.pk}/delete/"):
        assert client.post(place, posted | {"ano": "2029"}).status_code == 403
    assert [(one.name, one.starts_on) for one in Holiday.objects.all()] == [("Feriado", date(2026, 11, 30))]
    assert client.get(HOLIDAYS).status_code == (200 if who is auditor else 403)


def test_who_is_not_signed_in_is_sent_to_the_door(client, empty):
    for place in (HOLIDAYS, KNOWN):
        assert client.get(place, follow=True).redirect_chain[-1][0].startswith("/entrar/")


# --- An empty calendar -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("now", "listed", "missing"),
    [
        ("2028-10-31T12:00:00-04:00", [2028], []),
        ("2028-11-01T12:00:00-04:00", [2028], [2029]),
        ("2028-11-01T12:00:00-04:00", [2028, 2029], []),
        ("2029-03-01T12:00:00-04:00", [2028], [2029]),
        ("2029-12-01T12:00:00-04:00", [2028], [2029, 2030]),
    ],
)
def test_gestao_is_warned_of_a_year_without_holidays(client, empty, now, listed, missing):
    for year in listed:
        holiday(date(year, 5, 1))
    with time_machine.travel(now, tick=False):
        client.force_login(manager())
        page = Page(client.get("/admin/"))
        warning = f"O calendário de {' e de '.join(map(str, missing))} não tem nenhum feriado."
        assert (warning in page.text) == bool(missing)
        link = page.one("a", href=f"{KNOWN}?ano={missing[0] if missing else ''}")
        assert bool(link) == bool(missing)
        client.force_login(analyst())
        assert "não tem nenhum feriado" not in Page(client.get("/admin/")).text
