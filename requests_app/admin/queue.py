"""What waits for the Coordenadoria, and how it finds any request."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern

from accounts import mail_admin, people_admin
from accounts.desk import DeskAdmin, DeskList, moment
from accounts.http import UserRequest
from accounts.models import User

from .. import calendar, corrections, notices, reminders
from ..models import OPEN, AccessRequest, AccessRequestQuerySet
from . import attachments, bulk, decision, export, filters
from .filters import ALL, FilterForm, find

mail_admin.SEARCHES.append(notices.by_protocol)
people_admin.LISTS.append(
    people_admin.PersonList(
        "Solicitações desta pessoa",
        "requests_app.view_accessrequest",
        "admin:requests_app_accessrequest_changelist",
        {"situacao": ALL},
    )
)

TOO_MANY_PEOPLE = (
    "Mais de {0} pessoas têm este nome ou este começo de matrícula. "
    "A lista só mostra pedidos de {0} delas. Digite mais do nome ou da matrícula."
)


class RequestList(DeskList):
    """The list with the panel of filters; it asks for the page as a whole how old its requests are."""

    panel: FilterForm | None = None

    def get_filters(self, request: HttpRequest) -> Any:
        """Everything that may be chosen is on the panel; a lookup made by hand is refused, as on every list."""
        if self.panel is None:
            self.panel = FilterForm(request.GET, cast("User", request.user), searching=bool(self.query.strip()))
        if unknown := self.get_filters_params().keys() - self.panel.base_fields.keys():
            raise DisallowedModelAdminLookup(f"Filtering by {', '.join(sorted(unknown))} not allowed")
        return [self.panel], True, {}, False, bool(self.panel.in_use)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        ordering = list(super().get_ordering(request, queryset))
        assert self.panel is not None  # noqa: S101 - the filters come first
        return ordering if ORDER_VAR in self.params or self.panel.oldest_first else ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        marks, reminded = corrections.marks_of(rows), reminders.marks_of(rows)
        for row, age in zip(rows, calendar.ages_of(row.created_at for row in rows), strict=True):
            words = corrections.marked(calendar.in_words(age), marks.get(row.pk), reminded.get(row.pk))
            vars(row)["age_in_words"] = words if row.status in OPEN else "–"
        self.result_list = rows

    @property
    def everywhere_url(self) -> str:
        """The same search in every status; nothing where nothing is looked for, or where it is looked for there."""
        assert self.panel is not None  # noqa: S101 - the filters come first
        looks_somewhere = self.query and self.panel.situation != ALL
        return self.get_query_string({"situacao": ALL}) if looks_somewhere else ""


@admin.register(AccessRequest)
class AccessRequestAdmin(DeskAdmin):
    """Nothing is edited here: a request only moves, by the buttons that the table allows."""

    list_display = (
        "protocol",
        "filed_at",
        "age",
        "for_whom",
        "what",
        "who_asks",
        "unit_shown",
        "status",
        "holder_name",
    )
    list_select_related = ("user_type__system", "requester", "beneficiary", "unit", "holder")
    list_per_page = 50
    search_fields = ("protocol",)
    search_help_text = "Protocolo, matrícula, CPF inteiro, ou nome de quem pede ou de quem terá o acesso"
    ordering = ("pk",)
    sortable_by = ("filed_at",)
    actions = bulk.ACTIONS

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RequestList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Fields of the panel that nobody filled in leave no trace in the address."""
        empty = {name for name in ("q", *FilterForm.base_fields) if request.GET.get(name) == ""}
        if request.method == "GET" and empty:
            kept = request.GET.copy()
            for name in empty:
                del kept[name]
            return redirect(f"{request.path}?{kept.urlencode()}")
        return super().changelist_view(request, extra_context)

    @admin.display(description="pedida em", ordering="pk")
    def filed_at(self, request: AccessRequest) -> str:
        return moment(request.created_at)

    @admin.display(description="idade")
    def age(self, request: AccessRequest) -> str:
        age: str = vars(request)["age_in_words"]
        return age

    @admin.display(description="para quem")
    def for_whom(self, request: AccessRequest) -> str:
        return request.beneficiary_called

    @admin.display(description="sistema e tipo")
    def what(self, request: AccessRequest) -> str:
        return str(request.user_type)

    @admin.display(description="quem pede")
    def who_asks(self, request: AccessRequest) -> str:
        return request.requester_called

    @admin.display(description="unidade")
    def unit_shown(self, request: AccessRequest) -> str:
        """Where the access holds; where the system does not ask for it, where the person works."""
        return str(request.unit) if request.unit else request.beneficiary_lotacao

    @admin.display(description="em análise com")
    def holder_name(self, request: AccessRequest) -> str:
        return request.holder.display_name if request.holder else "–"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, too_many = find(cast("AccessRequestQuerySet", queryset), search_term)
        if too_many:
            most = f"{filters.MOST_PEOPLE:,}".replace(",", ".")
            messages.warning(request, TOO_MANY_PEOPLE.format(most))
        return found, False

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """The name is the admin's: what ``permissions=["decide"]`` of an action asks."""
        return self.has_view_permission(request) and bulk.may_decide(request)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if refusal := bulk.why_not(request):
            messages.error(request, refusal)
            return None
        return super().response_action(request, queryset)

    def get_urls(self) -> list[URLPattern]:
        return [
            *bulk.urls(self),
            *export.RequestFile(self).urls(),
            *decision.urls(self),
            *attachments.urls(self),
            *super().get_urls(),
        ]

    def page(self, request: UserRequest, pk: int) -> HttpResponse:
        return decision.page(request, pk)
