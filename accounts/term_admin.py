"""The term of responsibility at the desk: its versions, the next one, and who accepted which."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from . import terms
from .desk import PeriodFilter, ReadOnlyAdmin, find_people, moment
from .mail_admin import MOST_PEOPLE
from .models import Term, TermAcceptance, User
from .term_forms import TermTextForm


class TermAdmin(ReadOnlyAdmin):
    """Versions are added and read, never changed or deleted."""

    list_display = ("version", "published_at", "published_by_name", "accepted_count")
    list_display_links = ("version",)
    list_select_related = ("published_by",)
    sortable_by = ()
    fields = ("version", "published_at", "published_by_name", "accepted_count", "text")
    change_list_template = "admin/accounts/term/list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Term]:
        versions: QuerySet[Term] = super().get_queryset(request)
        return versions.annotate(accepted=Count("acceptances"))

    @admin.display(description="publicada em")
    def published_at(self, term: Term) -> str:
        return moment(term.at)

    @admin.display(description="publicada por")
    def published_by_name(self, term: Term) -> str:
        return term.published_by.display_name if term.published_by else "–"

    @admin.display(description="pessoas que aceitaram")
    def accepted_count(self, term: Any) -> int:
        count: int = term.accepted
        return count

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.add_term")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Write, look at it as people will, publish: each step is a POST of its own and works without scripts."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            newest = Term.objects.first()
            return self._page(request, TermTextForm(initial={"text": terms.draft(), "after": _number(newest)}))
        form = TermTextForm(request.POST)
        if not form.is_valid() or "publish" not in request.POST:
            return self._page(request, form, is_preview=form.is_valid() and "preview" in request.POST)
        try:
            term = terms.publish(
                form.cleaned_data["text"],
                after=form.cleaned_data["after"],
                by=cast("User", request.user),
                request=request,
            )
        except terms.PublishRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self._page(request, form, status=409)
        messages.success(request, f"Termo publicado: {term}. Cada pessoa aceita na próxima vez que usar o portal.")
        return redirect("admin:accounts_term_changelist")

    def _page(
        self, request: HttpRequest, form: TermTextForm, *, is_preview: bool = False, status: int = 200
    ) -> HttpResponse:
        newest = Term.objects.first()
        context = {
            **self.admin_site.each_context(request),
            "title": "Publicar nova versão do termo",
            "opts": self.opts,
            "form": form,
            "newest": newest,
            "next_version": _number(newest) + 1,
            "preview": form.cleaned_data["text"] if is_preview else "",
            "after": form["after"].value(),
        }
        return TemplateResponse(request, "admin/accounts/term/publish.html", context, status=status)


def _number(term: Term | None) -> int:
    return term.version if term else 0


class VersionFilter(admin.SimpleListFilter):
    title = "versão"
    parameter_name = "versao"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(term.version), str(term)) for term in Term.objects.only("version")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value()
        known = wanted in {value for value, _label in self.lookup_choices}
        return queryset.filter(term__version=wanted) if known else queryset


class AcceptedFilter(PeriodFilter):
    column = "at"


class TermAcceptanceAdmin(ReadOnlyAdmin):
    """Who accepted which version, when and from where."""

    list_display = ("accepted_at", "person", "version", "address")
    list_filter = (VersionFilter, AcceptedFilter)
    list_select_related = ("user", "term")
    fields = ("accepted_at", "person", "version", "address", "device")
    search_fields = ("user",)
    search_help_text = "Nome (com ou sem acento), matrícula ou CPF inteiro"
    ordering = ("-pk",)
    sortable_by = ()

    @admin.display(description="aceito em")
    def accepted_at(self, acceptance: TermAcceptance) -> str:
        return moment(acceptance.at)

    @admin.display(description="pessoa")
    def person(self, acceptance: TermAcceptance) -> str:
        return acceptance.user.display_name

    @admin.display(description="termo")
    def version(self, acceptance: TermAcceptance) -> str:
        return str(acceptance.term)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        people = set(find_people(User.objects.all(), term).values_list("pk", flat=True)[:MOST_PEOPLE])
        return queryset.filter(user__in=people), False
