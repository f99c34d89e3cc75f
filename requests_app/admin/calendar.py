"""The court's holidays, edited by Gestão, and those of another year added at once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format

from accounts.desk import StaffAdmin
from accounts.http import UserRequest

from .. import calendar, catalogue
from ..models import Holiday
from .recorded import RecordedAdmin

if TYPE_CHECKING:
    HolidayModelForm = forms.ModelForm[Holiday]
else:  # Django's classes take no parameters at run time
    HolidayModelForm = forms.ModelForm

FIRST_YEAR, LAST_YEAR = 2020, 2100
#: More than the longest recess; what is longer is a slip of the pen.
LONGEST = timedelta(days=60)
NO_YEAR = f"Digite um ano de {FIRST_YEAR} a {LAST_YEAR}."


class HolidayForm(HolidayModelForm):
    class Meta:
        model = Holiday
        fields = ("starts_on", "ends_on", "name", "scope")

    def clean(self) -> dict[str, Any]:
        days = super().clean() or self.cleaned_data
        for name in ("starts_on", "ends_on"):
            day = days.get(name)
            if day and not FIRST_YEAR <= day.year <= LAST_YEAR:
                self.add_error(name, f"Digite uma data de {FIRST_YEAR} a {LAST_YEAR}.")
        first, last = days.get("starts_on"), days.get("ends_on")
        if first and last and last - first >= LONGEST:
            self.add_error("ends_on", f"Um feriado tem no máximo {LONGEST.days} dias. Confira o ano das duas datas.")
        return days


class YearForm(forms.Form):
    """The year whose holidays are to be added; called as it stands in the address."""

    ano = forms.IntegerField(
        label="Ano",
        min_value=FIRST_YEAR,
        max_value=LAST_YEAR,
        error_messages=dict.fromkeys(("required", "invalid", "min_value", "max_value"), NO_YEAR),
    )


class YearFilter(admin.SimpleListFilter):
    title = "ano"
    parameter_name = "ano"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(day.year), str(day.year)) for day in Holiday.objects.dates("starts_on", "year")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        known = {value for value, _label in self.lookup_choices}
        return queryset.filter(starts_on__year=int(self.value() or 0)) if self.value() in known else queryset


@admin.register(Holiday)
class HolidayAdmin(RecordedAdmin):
    """Free days are no history: one that was typed wrong is deleted, and the deletion is kept."""

    form = HolidayForm
    list_display = ("name", "first_day", "last_day", "scope")
    list_filter = (YearFilter, "scope")
    search_fields = ("name",)
    ordering = ("starts_on", "name")
    sortable_by = ()
    list_per_page = 50
    change_list_template = "admin/requests_app/holiday/change_list.html"

    @admin.display(description="início")
    def first_day(self, holiday: Holiday) -> str:
        return _in_words(holiday.starts_on)

    @admin.display(description="fim")
    def last_day(self, holiday: Holiday) -> str:
        return _in_words(holiday.ends_on) if holiday.ends_on != holiday.starts_on else "–"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return StaffAdmin.has_delete_permission(self, request, obj)

    def get_urls(self) -> list[URLPattern]:
        known = self.admin_site.admin_view(self.known_view)
        return [path("conhecidos/", known, name="requests_app_holiday_known"), *super().get_urls()]

    def known_view(self, request: UserRequest) -> HttpResponse:
        """What is known of a year and not in the list yet; by POST it is added."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "POST"])
        typed = request.POST if request.method == "POST" else {"ano": request.GET.get("ano") or _likely_year()}
        form = YearForm(typed)
        year: int | None = form.cleaned_data["ano"] if form.is_valid() else None
        if request.method == "POST" and year:
            added = self.add_known(year, request)
            messages.success(request, f"Feriados incluídos em {year}: {added}. Confira com a portaria do ano.")
            return redirect(reverse("admin:requests_app_holiday_changelist", query={"ano": year}))
        context = {
            **self.admin_site.each_context(request),
            "title": "Feriados conhecidos de um ano",
            "opts": self.opts,
            "form": form,
            "year": year,
            "missing": [(one, _in_words(one.starts_on)) for one in calendar.missing_from(year)] if year else [],
        }
        return TemplateResponse(request, "admin/requests_app/holiday/known.html", context)

    @transaction.atomic
    def add_known(self, year: int, request: UserRequest) -> int:
        """How many were added; what somebody added meanwhile stays as it is."""
        added = 0
        for known in calendar.missing_from(year):
            rest = {"ends_on": known.ends_on, "scope": known.scope}
            row, is_new = Holiday.objects.get_or_create(starts_on=known.starts_on, name=known.name, defaults=rest)
            if is_new:
                catalogue.record(row, before=None, by=request.user)
            added += is_new
        return added


def _likely_year() -> int:
    """The first that has no holidays, this one included."""
    this, listed = timezone.localdate().year, {day.year for day in Holiday.objects.dates("starts_on", "year")}
    return next((year for year in range(this, LAST_YEAR) if year not in listed), this)


def _in_words(day: date) -> str:
    """``segunda-feira, 16/02/2026``."""
    return date_format(day, "l, d/m/Y").lower()
