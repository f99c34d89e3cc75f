"""What Gestão keeps of the catalogue, the systems and the cargos that may more than others; and who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import names
from accounts.desk import DeskAdmin, PeriodFilter, count_up_to, moment, words_of
from accounts.http import UserRequest

from ..catalogue_forms import CargoForm, ExternalSystemForm, NoticeForm, UserTypeForm
from ..models import (
    AccessGrant,
    AccessRequest,
    Cargo,
    CatalogueChange,
    ExternalSystem,
    Holiday,
    ReasonTemplate,
    Status,
    SystemNotice,
    UserType,
)
from .recorded import RecordedAdmin

if TYPE_CHECKING:
    UserTypeTable = admin.TabularInline[UserType, ExternalSystem]
    NoticeStack = admin.StackedInline[SystemNotice, ExternalSystem]
else:  # Django's admin classes take no parameters at run time
    UserTypeTable, NoticeStack = admin.TabularInline, admin.StackedInline


class UserTypeInline(UserTypeTable):
    """None is deleted: it is retired, for requests and accesses point at it."""

    model = UserType
    form = UserTypeForm
    extra = 1
    can_delete = False


class NoticeInline(NoticeStack):
    model = SystemNotice
    form = NoticeForm
    extra = 0


@admin.register(ExternalSystem)
class ExternalSystemAdmin(RecordedAdmin):
    form = ExternalSystemForm
    list_display = ("name", "accepts_today", "who_may_ask", "asks_unit", "credential", "successor")
    list_filter = ("is_active", "who_may_ask")
    list_select_related = ("successor",)
    search_fields = ("name",)
    search_help_text = "Nome do sistema"
    inlines = (UserTypeInline, NoticeInline)
    fieldsets = (
        (None, {"fields": ("name", "purpose", "url", "successor")}),
        (
            "Quem pode pedir",
            {"fields": ("who_may_ask", "for_whom", "most_per_unit", "asks_unit")},
        ),
        ("Quando", {"fields": ("is_active", "active_from", "active_until")}),
        ("Como a pessoa entra", {"fields": ("credential", "instructions")}),
    )

    @admin.display(description="aceita pedidos hoje", boolean=True)
    def accepts_today(self, system: ExternalSystem) -> bool:
        return system.accepts_requests

    def save_model(self, request: HttpRequest, obj: ExternalSystem, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change:
            for sentence in consequences(obj, form.changed_data):
                messages.warning(request, sentence)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for row, fields in formset.changed_objects:
            is_retired = isinstance(row, UserType) and "is_active" in fields and not row.is_active
            if is_retired and (count := _counted(AccessRequest.objects.open().filter(user_type=row))):
                messages.warning(request, STILL_OPEN.format(row, count))


#: No figure on a page is counted further than this.
MOST_COUNTED = 1000
STILL_OPEN = "Pedidos em andamento para {0}: {1}. A regra nova vale também para eles, na hora da decisão."
WITHOUT_UNIT = "Pedidos em andamento sem unidade para {0}: {1}. Devolva cada um, para que quem pediu a informe."
STILL_HELD = "Acessos a {0} que já existem: {1}. A credencial deles não muda: o modo novo vale para os próximos."


def consequences(system: ExternalSystem, changed: list[str]) -> list[str]:
    """What a change of a system means for what was asked and given before, as sentences."""
    asked = AccessRequest.objects.open().filter(user_type__system=system)
    found: list[tuple[str, QuerySet[Any]]] = []
    undecided = asked.exclude(status=Status.APPROVED)
    if "is_active" in changed:
        found.append((STILL_OPEN, asked))
    elif {"who_may_ask", "for_whom", "most_per_unit", "active_from", "active_until"} & {*changed}:
        found.append((STILL_OPEN, undecided))
    if "asks_unit" in changed and system.asks_unit:
        found.append((WITHOUT_UNIT, undecided.filter(unit=None)))
    if "credential" in changed:
        found.append((STILL_HELD, AccessGrant.objects.live().filter(user_type__system=system)))
    counted = [(sentence, _counted(rows)) for sentence, rows in found]
    return [sentence.format(system, count) for sentence, count in counted if count]


def _counted(rows: QuerySet[Any]) -> str:
    """How many there are, in words that stay true of very many; nothing if there are none."""
    count, has_more = count_up_to(rows, MOST_COUNTED)
    return f"mais de {count}" if has_more else str(count or "")


@admin.register(Cargo)
class CargoAdmin(RecordedAdmin):
    form = CargoForm
    list_display = ("name", "is_magistrate", "heads_unit")


# --- Who changed what ------------------------------------------------------------------------------------------------
class ChangedFilter(PeriodFilter):
    column = "at"


class SortFilter(admin.SimpleListFilter):
    """By what sort of thing it was: those that have pages of their own."""

    RECORDED = (ExternalSystem, Cargo, ReasonTemplate, Holiday)

    title = "o quê"
    parameter_name = "tipo"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(row._meta.label_lower, str(row._meta.verbose_name_plural).capitalize()) for row in self.RECORDED]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        known = {value for value, _label in self.lookup_choices}
        return queryset.filter(model=self.value()) if self.value() in known else queryset


@admin.register(CatalogueChange)
class CatalogueChangeAdmin(DeskAdmin):
    """Every change of the catalogue, for Gestão and Auditoria; the database itself refuses to alter it."""

    list_display = ("happened", "name", "labels", "made_by")
    list_display_links = ("name",)
    list_filter = (SortFilter, ChangedFilter)
    list_select_related = ("by",)
    list_per_page = 50
    search_fields = ("name",)
    search_help_text = "Nome do sistema, do modelo de motivo, do cargo ou do feriado, com ou sem acento"
    ordering = ("-pk",)
    sortable_by = ()

    @admin.display(description="quando")
    def happened(self, change: CatalogueChange) -> str:
        return moment(change.at)

    @admin.display(description="quem")
    def made_by(self, change: CatalogueChange) -> str:
        return change.by.display_name

    @admin.display(description="campos")
    def labels(self, change: CatalogueChange) -> str:
        return ", ".join(label for label, _before, _after in change.changes)

    def page(self, request: UserRequest, pk: int) -> HttpResponse:
        """One change, and the way to what was changed."""
        change = get_object_or_404(CatalogueChange.objects.select_related("by"), pk=pk)
        model = apps.get_model(change.model)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Mudança no catálogo: {change.name}",
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
            "change": change,
            "sort": model._meta.verbose_name,
            "row": model._default_manager.filter(pk=change.object_id).first(),
            "row_url": reverse(f"admin:{change.model.replace('.', '_')}_change", args=[change.object_id]),
        }
        return TemplateResponse(request, "admin/requests_app/cataloguechange/change.html", context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the names of what was changed, of which there are few, folded as all our searches are."""
        words = words_of(search_term)
        if not words:
            return (queryset.none() if search_term.strip() else queryset), False
        called = CatalogueChange.objects.order_by().values_list("name", flat=True).distinct()
        return queryset.filter(name__in=[name for name in called if _has_words(name, words)]), False


def _has_words(name: str, words: list[str]) -> bool:
    folded = f" {names.fold(name)}"
    return all(f" {word}" in folded for word in words)
