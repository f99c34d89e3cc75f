"""How the Coordenadoria finds requests: the panel of filters above the list, the search, and the way back to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils import timezone

from accounts import cpf as cpf_rules
from accounts.desk import is_key, moment, words_of
from accounts.http import UserRequest
from accounts.models import Employment, Unit, User
from accounts.search import LAST

from .. import calendar
from ..models import (
    OPEN,
    WAITING,
    AccessRequest,
    AccessRequestQuerySet,
    ExternalSystem,
    JointFiling,
    ProtocolCounter,
    Status,
    UserType,
)

#: The first value of "situação" that is none: what the list opens on, and all there is.
WAITS, ALL = "aguardando", "todas"
MINE, NOBODY, OTHERS = "comigo", "ninguem", "outra"
#: What is not on the list of a field.
NO_SUCH_CHOICE = "Esta opção não existe, ou não existe mais. O filtro foi deixado de lado."
NO_DATE = "Digite a data como dia/mês/ano, por exemplo 09/02/2026. O filtro foi deixado de lado."
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 12, 31)
#: What more people fit, such as a name, has to be looked for with more of it.
MOST_PEOPLE = 1000

BEGINNING_OF_PROTOCOL = re.compile(r"[0-9]{4}-[0-9]*")
END_OF_PROTOCOL = re.compile(r"([0-9]{0,4})-([0-9]{1,6})")
LIKE_A_PROTOCOL = re.compile(r"[0-9]*-[0-9]*")
NUMBER_OF_PROTOCOL = re.compile(r"[0-9]{1,6}")
HAS_A_DIGIT = re.compile(r"[0-9]")


class ChoiceField(forms.ChoiceField):
    """One of a list, or none of it. Longer than any of them is nonsense, and is not told again in full."""

    def __init__(self, label: str, unset: str, **options: Any) -> None:
        self.unset = unset
        super().__init__(label=label, required=False, error_messages={"invalid_choice": NO_SUCH_CHOICE}, **options)

    def offer(self, *choices: Any) -> None:
        """``choices``: pairs of value and words, or of a group and its list of pairs."""
        self.choices = [*([("", self.unset)] if self.unset else []), *choices]
        groups = (words if isinstance(words, list) else [(value, words)] for value, words in choices)
        self.words = {value: str(words) for group in groups for value, words in group}


class DayField(forms.DateField):
    """A day as browsers send it or as people type it."""

    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})

    def __init__(self, label: str) -> None:
        super().__init__(
            label=label,
            required=False,
            input_formats=["%Y-%m-%d", "%d/%m/%Y"],
            error_messages={"invalid": NO_DATE},
            validators=[MinValueValidator(FIRST_DAY, NO_DATE), MaxValueValidator(LAST_DAY, NO_DATE)],
        )


class Panel(forms.Form):
    """Its fields are called as they stand in the address; what makes no sense there is left aside, and told.

    It takes the place of the admin's own filters (``ChangeList.filter_specs``).
    """

    EMPTY_PERIOD: str
    #: Fields that only an address sets, and that do not stand there otherwise.
    FROM_ADDRESS: tuple[str, ...] = ("pessoa",)
    #: Where the person's own page leads to. Nobody chooses among all people here: it stands there only if it is set.
    pessoa = ChoiceField("Pessoa", "Todas")

    def __init__(self, address: QueryDict) -> None:
        super().__init__(address, auto_id="filtro-%s", label_suffix="", use_required_attribute=False)
        for name, choices in {**self._choices(), "pessoa": _person_with(address.get("pessoa", ""))}.items():
            self.fields[name].offer(*choices)  # type: ignore[attr-defined]  # each of these is a ChoiceField
        for name in self.FROM_ADDRESS:
            if not address.get(name):
                del self.fields[name]
        self.full_clean()

    def _choices(self) -> dict[str, list[Any]]:
        """What may be chosen, for each field that is a list."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        chosen = self.cleaned_data
        if chosen.get("de") and chosen.get("ate") and chosen["de"] > chosen["ate"]:
            self.add_error(None, self.EMPTY_PERIOD)
        return chosen

    @property
    def in_use(self) -> list[str]:
        """What was chosen, in words, such as ``Sistema: SIEL``."""
        return [
            f"{self.fields[name].label}: {self._word_for(name)}" for name in self.fields if self.cleaned_data.get(name)
        ]

    def _word_for(self, name: str) -> str:
        value = self.cleaned_data[name]
        if isinstance(value, date):
            return f"{value:%d/%m/%Y}"
        field = self.fields[name]
        return field.words[value] if isinstance(field, ChoiceField) else ""

    @property
    def has_something_to_say(self) -> bool:
        """Whether somebody chose something, or chose wrongly; else it may be folded where there is little room."""
        return bool(self.errors or self.in_use)

    # --- What ``ChangeList`` asks of a filter -------------------------------------------------------------------------
    def expected_parameters(self) -> list[str]:
        return [*self.fields]


def _person_with(key: str) -> list[tuple[str, str]]:
    """Whom the address names by their key, to be offered as the one choice."""
    person = User.objects.filter(pk=key).first() if is_key(key) else None
    return [(key, person.display_name)] if person else []


def _filing_with(key: str) -> list[tuple[str, str]]:
    """The same of what one form filed for several people."""
    filing = JointFiling.objects.filter(pk=key).first() if is_key(key) else None
    return [(key, f"em {moment(filing.at)}")] if filing else []


class FilterForm(Panel):
    """The panel of the list of requests."""

    EMPTY_PERIOD = "A primeira data do período é depois da última: nenhuma solicitação está entre elas."
    FROM_ADDRESS = ("pessoa", "conjunto")

    situacao = ChoiceField("Situação", "")
    sistema = ChoiceField("Sistema", "Todos")
    tipo = ChoiceField("Tipo usuário", "Todos")
    # The list has the units as they were when each request was filed; these go by today's.
    comarca = ChoiceField("Comarca da lotação hoje ou do acesso", "Todas")
    unidade = ChoiceField("Lotação hoje ou unidade do acesso", "Todas")
    idade = ChoiceField("Em andamento há", "Qualquer tempo")
    com = ChoiceField("Em análise com", "Tanto faz")
    de = DayField("Pedida desde")
    ate = DayField("Pedida até")
    #: Where the page of a request that was asked with others leads to.
    conjunto = ChoiceField("Pedida em conjunto", "Todas")

    def __init__(self, address: QueryDict, user: User, *, searching: bool) -> None:
        """``searching``: something is looked for. Then it is looked for everywhere, unless the address says where."""
        address = address.copy()
        self.opens_on = ALL if searching else WAITS
        if not address.get("situacao"):
            address["situacao"] = self.opens_on
        self.user, self.filing = user, address.get("conjunto", "")
        super().__init__(address)

    def _choices(self) -> dict[str, list[Any]]:
        """What may be chosen. Four queries."""
        types = UserType.objects.select_related("system").order_by("system__name", "name")
        units = list(Unit.objects.order_by("comarca", "name").values_list("pk", "name", "comarca"))
        by_system = groupby(types, lambda user_type: user_type.system.name)
        by_comarca = groupby(units, lambda unit: unit[2] or "Sem comarca")
        return {
            "situacao": [(WAITS, "Aguardando decisão"), (ALL, "Todas"), *Status.choices],
            "sistema": [(str(pk), name) for pk, name in ExternalSystem.objects.values_list("pk", "name")],
            "tipo": [(name, [(str(one.pk), one.name) for one in these]) for name, these in by_system],
            "comarca": [(name, name) for name in dict.fromkeys(comarca for *_, comarca in units) if name],
            "unidade": [(name, [(str(pk), unit) for pk, unit, _ in these]) for name, these in by_comarca],
            "idade": [(key, age.label) for key, age in calendar.AGES.items()],
            "com": [
                *((MINE, "Comigo"), (NOBODY, "Ninguém"), (OTHERS, "Outra pessoa")),
                *((str(holder.pk), holder.display_name) for holder in self._holders()),
            ],
            "conjunto": _filing_with(self.filing),
        }

    def _holders(self) -> QuerySet[User]:
        held = AccessRequest.objects.filter(status=Status.IN_REVIEW).values("holder")
        return User.objects.filter(pk__in=held).exclude(pk=self.user.pk).order_by("search_name")

    @property
    def situation(self) -> str:
        """What the list shows, also where the address says nothing of use."""
        return self.cleaned_data.get("situacao") or WAITS

    @property
    def oldest_first(self) -> bool:
        """As a queue is read; what is over is read from its end."""
        return self.situation in {WAITS, *OPEN}

    @property
    def has_something_to_say(self) -> bool:
        """What the list opens on is no choice."""
        chosen = {name for name, value in self.cleaned_data.items() if value} - {"situacao"}
        return bool(self.errors or chosen or self.situation != self.opens_on)

    def queryset(self, request: HttpRequest, requests: AccessRequestQuerySet) -> AccessRequestQuerySet:
        """All that was chosen, together."""
        chosen = {name: value for name, value in self.cleaned_data.items() if value}
        wanted = [self._of_situation()]
        wanted += [FILTERS[name](value) for name, value in chosen.items() if name in FILTERS]
        if "com" in chosen:
            wanted.append(self._held_by(chosen["com"]))
        return requests.filter(*wanted)

    def _of_situation(self) -> Q:
        if self.situation == WAITS:
            return Q(status__in=WAITING)
        return Q() if self.situation == ALL else Q(status=self.situation)

    def _held_by(self, whom: str) -> Q:
        if whom == NOBODY:
            return Q(holder=None)
        if whom == OTHERS:
            return Q(holder__isnull=False) & ~Q(holder=self.user)
        return Q(holder=self.user.pk if whom == MINE else int(whom))


def keys_where_few(bonds: QuerySet[Employment], column: str = "pk") -> list[int] | QuerySet[Any]:
    """For ``…__in``: the keys themselves, which the indexes go by; of many the question, for a list is soon full.

    One query. In an OR, PostgreSQL asks no index for what a subquery finds.
    """
    found = list(bonds.values_list(column, flat=True)[: MOST_PEOPLE + 1])
    return bonds.values(column) if len(found) > MOST_PEOPLE else found


def _in_units(units: QuerySet[Unit]) -> Q:
    """The units that the access is for, and those where the person works who will have it. Two queries."""
    where = Q(employment__in=keys_where_few(Employment.objects.filter(unit__in=units)))
    return where | Q(unit__in=list(units.values_list("pk", flat=True)))


#: Each part has a partial index; of all in one list PostgreSQL would use none.
GOES_ON = Q(status__in=WAITING) | Q(status=Status.RETURNED) | Q(status=Status.APPROVED)


def _of_age(key: str) -> Q:
    since, until = calendar.AGES[key].filed(timezone.localdate())
    return GOES_ON & Q(created_at__lt=until) & (Q(created_at__gte=since) if since else Q())


#: The field of the panel -> what it asks of the requests.
FILTERS: dict[str, Callable[[Any], Q]] = {
    "sistema": lambda key: Q(user_type__system=int(key)),
    "tipo": lambda key: Q(user_type=int(key)),
    "comarca": lambda name: _in_units(Unit.objects.filter(comarca=name)),
    "unidade": lambda key: _in_units(Unit.objects.filter(pk=int(key))),
    "idade": _of_age,
    "pessoa": lambda key: _about([int(key)]),
    "conjunto": lambda key: Q(joint=int(key)),
    "de": lambda day: Q(created_at__gte=calendar.begin_of(day)),
    "ate": lambda day: Q(created_at__lt=calendar.begin_of(day + timedelta(days=1))),
}


# --- The search ------------------------------------------------------------------------------------------------------
def find(requests: AccessRequestQuerySet, typed: str) -> tuple[AccessRequestQuerySet, bool]:
    """The requests that the words name, and whether more people fit a name or a matrícula than were looked at.

    A whole CPF, with or without punctuation; a protocol, its beginning or its end; or words, each of which must fit:
    with a digit it is the beginning of a matrícula or the number of a protocol, without one it begins a word in the
    name of who asks or of who will have the access. People and bonds are looked for first, by queries of their own: an
    OR over several tables would use the index of none.
    """
    typed = typed.strip()
    if digits := cpf_rules.clean(typed):
        return requests.filter(_about(User.objects.filter(cpf=digits).values_list("pk", flat=True))), False
    if LIKE_A_PROTOCOL.fullmatch(typed):
        return requests.filter(with_protocol(typed)), False
    words = words_of(typed)
    if typed and not words:  # no letter and no digit to look for
        return requests.none(), False
    too_many = False
    for word in (word for word in words if HAS_A_DIGIT.search(word)):
        wanted, has_more = _numbered(word)
        requests, too_many = requests.filter(wanted), too_many or has_more
    if not (called := [word for word in words if not HAS_A_DIGIT.search(word)]):
        return requests, too_many
    found, has_more = people_called(called)
    return requests.filter(_about(found)), too_many or has_more


def with_protocol(typed: str, column: str = "protocol") -> Q:
    """What is ``LIKE_A_PROTOCOL`` asks of the column with the protocol, by its index: to look inside reads them all."""
    if BEGINNING_OF_PROTOCOL.fullmatch(typed):
        return Q(**{f"{column}__startswith": typed})
    return Q(**{f"{column}__in": _protocols_that_end_in(typed)})


def _protocols_that_end_in(typed: str) -> list[str]:
    """One of each year, for such as ``26-000012``, ``26-12`` or ``-12``; none for what is no end of a protocol."""
    if not (end := END_OF_PROTOCOL.fullmatch(typed)):
        return []
    years = ProtocolCounter.objects.values_list("year", flat=True)
    return [f"{year}-{int(end[2]):06d}" for year in years if str(year).endswith(end[1])]


def _about(people: Any) -> Q:
    keys = list(people)
    return Q(beneficiary__in=keys) | Q(requester__in=keys)


def people_called(words: list[str]) -> tuple[list[int], bool]:
    """Keys of people in whose name a word begins with each of these, and whether there are more of them."""
    people = User.objects.all()
    for word in words:
        people = people.filter(search_name__contains=f" {word}")
    return _at_most(people.values_list("pk", flat=True))


def bonds_numbered(word: str, column: str = "pk") -> tuple[list[int], bool]:
    """Keys of the bonds, or their ``column``, whose matrícula begins so, and whether there are more of them."""
    begun = Q()
    for spelling in {word, word.upper()}:
        begun |= Q(matricula__gte=spelling, matricula__lt=spelling + LAST)
    bonds = Employment.objects.filter(begun).order_by("matricula", "pk")
    return _at_most(bonds.values_list(column, flat=True))


def _at_most(keys: QuerySet[Any, int]) -> tuple[list[int], bool]:
    found = list(keys[: MOST_PEOPLE + 1])
    return found[:MOST_PEOPLE], len(found) > MOST_PEOPLE


def _numbered(word: str) -> tuple[Q, bool]:
    """By the beginning of a matrícula or the number of a protocol, and whether more people have such a matrícula."""
    found, has_more = bonds_numbered(word)
    wanted = Q(employment__in=found)
    if NUMBER_OF_PROTOCOL.fullmatch(word):
        wanted |= Q(protocol__in=_protocols_that_end_in(f"-{word}"))
    return wanted, has_more


# --- The way back ----------------------------------------------------------------------------------------------------
KEPT = "_changelist_filters"


def list_url(request: HttpRequest) -> str:
    """The list as somebody left it to open what they are on now: "Voltar à lista"."""
    url = reverse("admin:requests_app_accessrequest_changelist")
    query = QueryDict(request.GET.get(KEPT, "")).urlencode()
    return f"{url}?{query}" if query else url


def as_it_was_left(request: UserRequest) -> tuple[AccessRequestQuerySet, bool]:
    """The requests that somebody is working through, and whether the list showed only a part of what there is.

    Without a status that was chosen, in every status: what is decided next is not looked for by that.
    """
    left = QueryDict(request.GET.get(KEPT, ""))
    found, _too_many = find(AccessRequest.objects.all(), left.get("q", ""))
    panel = FilterForm(left, request.user, searching=True)
    is_part = any(left.get(name, "").strip() for name in ("q", *panel.fields))
    return panel.queryset(request, found), is_part


def keeping(request: HttpRequest, url: str) -> str:
    """An address of a request's pages (without a query) that knows the way back to the list as it was left."""
    if not (left := request.GET.get(KEPT)):
        return url
    query = QueryDict(mutable=True)
    query[KEPT] = left
    return f"{url}?{query.urlencode()}"
