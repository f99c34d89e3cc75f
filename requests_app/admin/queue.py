"""What waits for the Coordenadoria, and how it finds any request."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from accounts import mail_admin
from accounts.desk import DeskAdmin, moment, words_of
from accounts.http import UserRequest

from .. import notices
from ..models import WAITING, AccessRequest, Status
from . import decision

mail_admin.SEARCHES.append(notices.by_protocol)

PART_OF_PROTOCOL = re.compile(r"[0-9]*-[0-9]*")


class QueueFilter(admin.SimpleListFilter):
    """The desk opens on what waits; the rest is one click away."""

    title = "situação"
    parameter_name = "situacao"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("todas", "Todas"), *Status.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in Status.values:
            return queryset.filter(status=self.value())
        return queryset if self.value() == "todas" else queryset.filter(status__in=WAITING)

    def choices(self, changelist: Any) -> Any:
        waiting, *others = super().choices(changelist)
        yield {**waiting, "display": "Aguardando decisão"}
        yield from others


@admin.register(AccessRequest)
class AccessRequestAdmin(DeskAdmin):
    """Nothing is edited here: a request only moves, by the buttons that the table allows."""

    list_display = (
        "protocol",
        "filed_at",
        "beneficiary_name",
        "user_type",
        "requester_name",
        "status",
        "holder_name",
    )
    list_filter = (QueueFilter, "user_type__system")
    list_select_related = ("user_type__system", "holder")
    search_fields = ("protocol",)
    search_help_text = "Protocolo, matrícula ou nome de quem terá o acesso"
    ordering = ("pk",)

    @admin.display(description="pedida em", ordering="pk")
    def filed_at(self, request: AccessRequest) -> str:
        return moment(request.created_at)

    @admin.display(description="em análise por")
    def holder_name(self, request: AccessRequest) -> str:
        return request.holder.display_name if request.holder else "–"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if PART_OF_PROTOCOL.fullmatch(term):
            return queryset.filter(protocol__contains=term), False
        for word in words_of(term):
            queryset = queryset.filter(
                Q(beneficiary__search_name__contains=f" {word}")
                | Q(beneficiary_matricula__startswith=word)
                | Q(protocol__endswith=word)
            )
        return queryset, False

    def get_urls(self) -> list[URLPattern]:
        decide = self.admin_site.admin_view(self.decide_view)
        return [path("<int:pk>/decidir/", decide, name="requests_app_accessrequest_decide"), *super().get_urls()]

    def decide_view(self, request: UserRequest, pk: int) -> HttpResponse:
        return decision.decide(request, pk) if request.method == "POST" else self.nothing_done(request, pk)

    def page(self, request: UserRequest, pk: int) -> HttpResponse:
        return decision.page(request, pk)
