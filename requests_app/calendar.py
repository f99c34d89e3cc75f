"""The court's calendar: which days it works, and what is known beforehand of the days on which it does not.

Ages of requests and the time that somebody has to correct one are counted in business days.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.utils import timezone

from .models import Holiday

DAY = timedelta(days=1)
WEEKDAYS = 5
NOVEMBER = 11


class Calendar:
    """The days on which the court works: Mondays to Fridays but for the free ones that it was made with."""

    def __init__(self, free: Iterable[tuple[date, date]] = ()) -> None:
        """``free``: the first and the last day of each time without work; they may overlap."""
        days = {first + DAY * more for first, last in free for more in range((last - first).days + 1)}
        self._free = sorted(day for day in days if day.weekday() < WEEKDAYS)
        self._free_days = frozenset(self._free)

    @classmethod
    def since(cls, first: date) -> Calendar:
        """As it stands in the holidays, from that day on. One query."""
        rows = Holiday.objects.filter(ends_on__gte=first).values_list("starts_on", "ends_on")
        return cls((max(starts_on, first), ends_on) for starts_on, ends_on in rows)

    def works_on(self, day: date) -> bool:
        return day.weekday() < WEEKDAYS and day not in self._free_days

    def after(self, start: date, days: int) -> date:
        """The day that is so many business days after ``start``."""
        day = start
        while days > 0:
            day += DAY
            days -= self.works_on(day)
        return day

    def between(self, start: date, end: date) -> int:
        """How many business days came after ``start``, up to ``end`` and with it; none if that is no later day."""
        if end <= start:
            return 0
        free = bisect_right(self._free, end) - bisect_right(self._free, start)
        return _weekdays_until(end) - _weekdays_until(start) - free

    def earliest(self, days: int, today: date) -> date:
        """The first day from which ``between`` counts no more than so many business days until today."""
        day, counted = today, 0
        while counted + self.works_on(day) <= days:
            counted += self.works_on(day)
            day -= DAY
        return day


def _weekdays_until(day: date) -> int:
    """Mondays to Fridays since the first day that Python knows, which is a Monday."""
    weeks, rest = divmod(day.toordinal(), 7)
    return weeks * WEEKDAYS + min(rest, WEEKDAYS)


def add_business_days(start: date, days: int) -> date:
    """``days`` business days later: Saturdays, Sundays and the holidays of the court do not count. One query."""
    return Calendar.since(start).after(start, days)


# --- Ages ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Age:
    """Requests that are so many business days old; without an end where ``most`` is None."""

    label: str
    least: int
    most: int | None

    def filed(self, today: date) -> tuple[datetime | None, datetime]:
        """From when on, and until before when, requests of this age were filed. One query."""
        calendar = Calendar.since(today - timedelta(days=120))
        newest = calendar.earliest(self.least - 1, today) if self.least else today + DAY
        return (None if self.most is None else begin_of(calendar.earliest(self.most, today))), begin_of(newest)


#: By what stands in the address of a list.
AGES = {
    "ate-2": Age("Até 2 dias úteis", 0, 2),
    "3-a-5": Age("3 a 5 dias úteis", 3, 5),
    "6-a-10": Age("6 a 10 dias úteis", 6, 10),
    "mais-de-10": Age("Mais de 10 dias úteis", 11, None),
}


def begin_of(day: date) -> datetime:
    """The first moment of a day, here."""
    return timezone.make_aware(datetime.combine(day, time.min))


def ages_of(moments: Iterable[datetime]) -> list[int]:
    """How many business days have passed since each. One query, however many there are."""
    days = [timezone.localdate(at) for at in moments]
    today = timezone.localdate()
    calendar = Calendar.since(min(days, default=today))
    return [calendar.between(day, today) for day in days]


def in_words(age: int) -> str:
    """``3 dias úteis``."""
    if age == 0:
        return "menos de 1 dia útil"
    return f"{age} {'dia útil' if age == 1 else 'dias úteis'}"


# --- The days that are known beforehand -------------------------------------------------------------------------------
#: As the law has them, year after year. (month, day, name, scope)
FIXED = (
    (1, 1, "Confraternização Universal", Holiday.Scope.NATIONAL),
    (4, 21, "Tiradentes", Holiday.Scope.NATIONAL),
    (5, 1, "Dia do Trabalho", Holiday.Scope.NATIONAL),
    (6, 13, "Santo Antônio, padroeiro de Campo Grande", Holiday.Scope.COURT),
    (8, 11, "Instituição dos Cursos Jurídicos", Holiday.Scope.COURT),
    (8, 26, "Aniversário de Campo Grande", Holiday.Scope.COURT),
    (9, 7, "Independência do Brasil", Holiday.Scope.NATIONAL),
    (10, 11, "Criação do Estado de Mato Grosso do Sul", Holiday.Scope.STATE),
    (10, 12, "Nossa Senhora Aparecida", Holiday.Scope.NATIONAL),
    (10, 28, "Dia do Servidor Público", Holiday.Scope.COURT),
    (11, 2, "Finados", Holiday.Scope.NATIONAL),
    (11, 15, "Proclamação da República", Holiday.Scope.NATIONAL),
    (11, 20, "Dia da Consciência Negra", Holiday.Scope.NATIONAL),
    (12, 8, "Dia da Justiça", Holiday.Scope.COURT),
    (12, 25, "Natal", Holiday.Scope.NATIONAL),
)
#: Days after Easter Sunday. The court works neither at Carnival nor on Corpus Christi, which are no national holidays.
MOVABLE = (
    (-48, "Segunda-feira de Carnaval", Holiday.Scope.COURT),
    (-47, "Terça-feira de Carnaval", Holiday.Scope.COURT),
    (-46, "Quarta-feira de Cinzas", Holiday.Scope.COURT),
    (-3, "Quinta-feira Santa", Holiday.Scope.COURT),
    (-2, "Sexta-feira Santa", Holiday.Scope.NATIONAL),
    (60, "Corpus Christi", Holiday.Scope.COURT),
)
JANUARY_RECESS, DECEMBER_RECESS = "Recesso forense de janeiro", "Recesso forense de dezembro"


def known_holidays(year: int) -> list[Holiday]:
    """Unsaved, in their order: what is free each year; the court's yearly portaria moves some and adds others.

    The recess from 20 December to 6 January: Resolução CNJ 244/2016 and Lei estadual 3.056/2005.
    """
    easter = easter_of(year)
    single = [(date(year, month, day), name, scope) for month, day, name, scope in FIXED]
    single += [(easter + DAY * days, name, scope) for days, name, scope in MOVABLE]
    found = [Holiday(starts_on=day, ends_on=day, name=name, scope=scope) for day, name, scope in single]
    for first, last, name in (
        (date(year, 1, 1), date(year, 1, 6), JANUARY_RECESS),
        (date(year, 12, 20), date(year, 12, 31), DECEMBER_RECESS),
    ):
        found.append(Holiday(starts_on=first, ends_on=last, name=name, scope=Holiday.Scope.COURT))
    return sorted(found, key=lambda holiday: (holiday.starts_on, holiday.name))


def easter_of(year: int) -> date:
    """Easter Sunday in the Gregorian calendar, by the rule that Meeus, Jones and Butcher published."""
    golden = year % 19
    century, years = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    moon = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - moon + 15) % 30
    leaps, years_rest = divmod(years, 4)
    weekday = (32 + 2 * century_rest + 2 * leaps - epact - years_rest) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def missing_from(year: int) -> list[Holiday]:
    """Of what is known of a year, that which is not in the list by its name: one that was moved is there."""
    listed = set(Holiday.objects.filter(starts_on__year=year).values_list("name", flat=True))
    return [holiday for holiday in known_holidays(year) if holiday.name not in listed]


def empty_years(today: date) -> list[int]:
    """This year, and from November on the next, where the list has no free day for them. One query."""
    years = [today.year, *([today.year + 1] if today.month >= NOVEMBER else [])]
    listed = set(Holiday.objects.filter(starts_on__year__in=years).values_list("starts_on__year", flat=True))
    return [year for year in years if year not in listed]
