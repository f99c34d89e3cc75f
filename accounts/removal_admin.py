"""The desk for lost second factors: ask, confirm, refuse."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from . import factors, removals, security
from .desk import DeskAdmin, PeriodFilter, find_people, moment
from .forms import OneTextInput, OneValueField
from .http import UserRequest
from .models import FactorRemoval, User


class RemovalForm(forms.Form):
    reason = OneValueField(
        label="Motivo, e como você confirmou que é a própria pessoa",
        max_length=200,
        widget=OneTextInput(attrs={"class": "vTextField", "maxlength": "200"}),
        error_messages={"required": "Escreva o motivo.", "max_length": "Use no máximo 200 caracteres."},
    )


class AskedFilter(PeriodFilter):
    column = "asked_at"


class FactorRemovalAdmin(DeskAdmin):
    """Who may remove sees all of them, and so does the auditor; nobody else any."""

    list_display = ("person", "asked", "asked_by_name", "state")
    list_filter = (AskedFilter,)
    list_select_related = ("user", "asked_by", "confirmed_by", "refused_by")
    search_fields = ("pk",)
    search_help_text = "Nome, matrícula ou CPF inteiro da pessoa"
    ordering = ("-pk",)
    sortable_by = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(request.user.has_perm(name) for name in (removals.PERMISSION, "accounts.view_factorremoval"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @admin.display(description="pessoa")
    def person(self, removal: FactorRemoval) -> str:
        return removal.user.display_name

    @admin.display(description="pedida em")
    def asked(self, removal: FactorRemoval) -> str:
        return moment(removal.asked_at)

    @admin.display(description="pedida por")
    def asked_by_name(self, removal: FactorRemoval) -> str:
        return removal.asked_by.display_name

    @admin.display(description="situação")
    def state(self, removal: FactorRemoval) -> str:
        return state_of(removal)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(user__in=find_people(User.objects.all(), search_term).values("pk")), False

    def get_urls(self) -> list[URLPattern]:
        views = {
            "pedir": ("ask", self.ask_view),
            "confirmar": ("confirm", self.confirm_view),
            "recusar": ("refuse", self.refuse_view),
        }
        own = [
            path(f"<int:pk>/{word}/", self.admin_site.admin_view(view), name=f"accounts_factorremoval_{name}")
            for word, (name, view) in views.items()
        ]
        return [*own, *super().get_urls()]

    def ask_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """``pk`` is the person's. The form, and its POST."""
        self.require(request)
        person = get_object_or_404(User, pk=pk)
        if request.method != "POST":
            return self.ask_page(request, person, RemovalForm())
        form = RemovalForm(request.POST)
        if not form.is_valid():
            return self.ask_page(request, person, form)
        try:
            removal = removals.ask(pk, form.cleaned_data["reason"], by=request.user, request=request)
        except removals.RefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.ask_page(request, person, form, status=409)
        messages.success(request, "Pedido feito. Agora outra pessoa da Gestão precisa confirmar, em até 24 horas.")
        return redirect("admin:accounts_factorremoval_change", removal.pk)

    def confirm_view(self, request: UserRequest, pk: int) -> HttpResponse:
        return self.settle(request, pk, removals.confirm, "A verificação em duas etapas foi retirada.")

    def refuse_view(self, request: UserRequest, pk: int) -> HttpResponse:
        return self.settle(request, pk, removals.refuse, "O pedido foi recusado. Nada mudou para a pessoa.")

    def settle(self, request: UserRequest, pk: int, deed: Any, done: str) -> HttpResponse:
        """Confirm or refuse; who comes too late, or may not, is told why."""
        self.require(request)
        if request.method != "POST":
            return self.nothing_done(request, pk)
        get_object_or_404(FactorRemoval, pk=pk)
        try:
            deed(pk, by=request.user, request=request)
        except removals.RefusedError as refusal:
            return self.page(request, pk, str(refusal))
        messages.success(request, done)
        return redirect("admin:accounts_factorremoval_change", pk)

    def require(self, request: UserRequest) -> None:
        """Raises PermissionDenied for who may not take off anybody's second factor."""
        if not request.user.has_perm(removals.PERMISSION):
            security.refused(removals.PERMISSION, by=request.user)
            raise PermissionDenied

    def ask_page(self, request: UserRequest, person: User, form: RemovalForm, status: int = 200) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Retirar a verificação em duas etapas",
            "opts": self.opts,
            "person": person,
            "form": form,
            "factor": factors.of(person),
            "removal": removals.open_of(person),
            "may_remove": removals.may_remove(request.user, person),
            "is_own": request.user.pk == person.pk,
        }
        return TemplateResponse(request, "admin/accounts/factorremoval/ask.html", context, status=status)

    def page(self, request: UserRequest, pk: int, refusal: str = "") -> HttpResponse:
        """What was asked, by whom and why, and the buttons for who may press them."""
        removal = get_object_or_404(FactorRemoval.objects.select_related(*self.list_select_related), pk=pk)
        is_open = not (removal.confirmed_at or removal.refused_at or removals.has_lapsed(removal))
        may_end = is_open and removals.may_remove(request.user, removal.user)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Retirada: {removal.user.display_name}",
            "opts": self.opts,
            "removal": removal,
            "state": state_of(removal),
            "refusal": refusal,
            "may_refuse": may_end,
            "why_not_confirmed": removals.why_not_confirmed(removal, request.user) if may_end else "",
        }
        status = 409 if refusal else 200
        return TemplateResponse(request, "admin/accounts/factorremoval/removal.html", context, status=status)


def state_of(removal: FactorRemoval) -> str:
    """How it stands, with who ended it."""
    if removal.confirmed_by:
        return f"confirmada por {removal.confirmed_by.display_name}"
    if removal.refused_by:
        return f"encerrada por {removal.refused_by.display_name}, sem retirar"
    return "venceu sem confirmação" if removal.refused_at or removals.has_lapsed(removal) else "aguarda confirmação"
