"""What holds on every page of the staff's desk, and how it finds people."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils import timezone

from . import cpf as cpf_rules
from . import names
from .http import UserRequest
from .matriculas import spellings
from .models import User

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
    AnyPaginator = Paginator[Any]
else:  # Django's classes take no parameters at run time
    AnyAdmin, AnyPaginator = admin.ModelAdmin, Paginator


#: What stands in the field of what to do with the lines of a list, until something was chosen.
CHOOSE_WHAT_TO_DO = (("", "Escolha o que fazer"),)
#: More than a name has; each costs the database a comparison with every person.
MOST_WORDS = 8


def words_of(typed: str) -> list[str]:
    """The words to search for, folded, each once, and no more of them than a name has."""
    return list(dict.fromkeys(names.fold(typed[:200]).split()))[:MOST_WORDS]


def find_people(people: QuerySet[User], typed: str) -> QuerySet[User]:
    """Those whose name, matrícula or whole CPF was typed. By a matrícula somebody may be found twice.

    Everybody where nothing was typed; nobody where what was typed has no letter and no digit to look for.
    """
    if digits := cpf_rules.clean(typed):
        return people.filter(cpf=digits)
    words = words_of(typed)
    if typed.strip() and not words:
        return people.none()
    for word in words:
        numbered = Q(employments__matricula__startswith=word.upper()) | Q(employments__matricula__in=spellings(word))
        people = people.filter(Q(search_name__contains=f" {word}") | numbered)
    return people


def moment(at: datetime, *, with_seconds: bool = False) -> str:
    """As people here write it, in the court's own time."""
    return f"{timezone.localtime(at):{'%d/%m/%Y %H:%M:%S' if with_seconds else '%d/%m/%Y %H:%M'}}"


def is_key(text: str) -> bool:
    """Whether this can be the key of a row: ASCII digits, and no more than a bigint holds."""
    return text.isascii() and text.isdigit() and len(text) < 19  # noqa: PLR2004 - 2**63 has nineteen


def count_up_to(rows: QuerySet[Any], most: int) -> tuple[int, bool]:
    """How many there are, ``most`` at most, and whether there are more. The database counts no further than that."""
    counted = rows.order_by()[: most + 1].count()
    return min(counted, most), counted > most


class KeySelect(AutocompleteSelect):
    """Chosen by typing. What comes back and is no key is shown as nothing chosen; Django asks the database for it."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        return super().optgroups(name, [one for one in value if is_key(str(one))], attrs)


class CappedPaginator(AnyPaginator):
    """Counts no further than people turn pages: to count a million rows takes longer than to show a hundred."""

    most = 10_000

    @cached_property
    def counted(self) -> tuple[int, bool]:
        rows: Any = self.object_list
        return count_up_to(rows, self.most)

    @cached_property
    def count(self) -> int:
        return self.counted[0]

    @property
    def most_in_words(self) -> str:
        """``10.000``, as people here write it."""
        return f"{self.most:,}".replace(",", ".")

    @property
    def has_more(self) -> bool:
        """Whether there are rows that no page shows."""
        return self.counted[1]

    def validate_number(self, number: Any) -> int:
        """The nearest page that there is: a list gets shorter while somebody turns its pages."""
        return max(1, min(int(number), self.num_pages))


class DeskList(ChangeList):
    """One list of the desk. A page that it has not is no reason to lose the filters."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.page_num = self.paginator.validate_number(self.page_num)


class StaffAdmin(AnyAdmin):
    """What holds on every page of the desk."""

    # No list counts a whole table: neither the rows that it shows, nor those of each filter.
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    LOOKUPS = frozenset({"", "exact", "id__exact", "isnull", "gte", "lt"})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeskList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """By its key where the address names no column: Django stumbles over an empty ``_to_field``."""
        return super().get_object(request, object_id, from_field or None)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """The filters that the page offers, and none made by hand.

        Letter by letter those would read a CPF or a password's hash, and odd ones end in a fault of the database.
        """
        offered = [name for name in self.list_filter if isinstance(name, str)]
        own = [getattr(made, "parameter_name", None) for made in self.list_filter]
        return lookup in own or any(
            lookup.removeprefix(name).removeprefix("__") in self.LOOKUPS for name in offered if lookup.startswith(name)
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Under the name of what is listed: nothing is "selected to modify"."""
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = CHOOSE_WHAT_TO_DO
    ) -> list[tuple[str, str]]:
        """Begins with what to do here, and not with a row of dashes."""
        return super().get_action_choices(request, [*default_choices])

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Keys that no page offers are refused here: they would end in a fault of the database."""
        if not all(map(is_key, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            raise BadRequest
        return super().response_action(request, queryset)

    def nothing_done(self, request: HttpRequest, pk: int) -> HttpResponse:
        """For who comes by GET, as after signing in again: back to the page, and nothing has changed."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["POST"])
        messages.warning(request, "Nada foi mudado. Use os botões desta página.")
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", pk)


class PeriodFilter(admin.SimpleListFilter):
    """By steps, so that no date made by hand reaches the database."""

    column: str
    title = "período"
    parameter_name = "periodo"
    DAYS = {"1": "Últimas 24 horas", "7": "Últimos 7 dias", "30": "Últimos 30 dias", "365": "Último ano"}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*self.DAYS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in self.DAYS:
            return queryset
        since = timezone.now() - timedelta(days=int(self.value() or 0))
        return queryset.filter(**{f"{self.column}__gte": since})


class ReadOnlyAdmin(StaffAdmin):
    """Rows that the portal writes and people read."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: object = None) -> HttpResponse:
        """Nothing is changed here, so the admin's own history would be empty."""
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class KeptAdmin(StaffAdmin):
    """Rows that are edited and never deleted: history points at them."""

    #: What is said when a row was stored, where Django's sentence ("O pessoa … foi alterado") is no Portuguese.
    stored = ""

    def message_user(
        self, request: HttpRequest, message: Any, level: Any = messages.INFO, *args: Any, **kw: Any
    ) -> None:
        own = self.stored if level == messages.SUCCESS else ""
        super().message_user(request, own or message, level, *args, **kw)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DeskAdmin(ReadOnlyAdmin):
    """One row on one page of ours, with what may be done about it."""

    actions: Any = None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET"])
        if not is_key(object_id):
            raise Http404
        return self.page(cast("UserRequest", request), int(object_id))

    @abstractmethod
    def page(self, request: UserRequest, pk: int) -> HttpResponse:
        """Each desk's own."""
