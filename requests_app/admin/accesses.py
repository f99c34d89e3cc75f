"""The accesses that people have: who holds what, and what becomes of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from accounts import people_admin
from accounts.desk import DeskAdmin
from accounts.http import UserRequest
from accounts.models import Employment

from .. import emails, notices, workflow
from ..access_forms import GrantEndForm, GrantMoveForm, SeenForm
from ..decision_forms import ReissueForm
from ..models import AccessGrant, GrantEvent, GrantStatus
from . import filters
from .access_export import OLDER, AccessFile
from .access_filters import AccessList, find
from .decision import asks_credential

people_admin.LISTS.append(
    people_admin.PersonList(
        "Acessos desta pessoa", "requests_app.view_accessgrant", "admin:requests_app_accessgrant_changelist"
    )
)

TOO_MANY_PEOPLE = (
    "Mais de {0} pessoas têm este nome ou este começo de matrícula. "
    "A lista só mostra acessos de {0} delas. Digite mais do nome ou da matrícula."
)
#: What each button says, by where the access stands and where it would go; in the order in which they stand.
BUTTONS = {
    (GrantStatus.TO_REVOKE, GrantStatus.REVOKED): "Revogar",
    (GrantStatus.TO_REVOKE, GrantStatus.ACTIVE): "Manter o acesso",
    (GrantStatus.TO_REVOKE, GrantStatus.SUSPENDED): "Manter suspenso",
    (GrantStatus.SUSPENDED, GrantStatus.ACTIVE): "Retomar",
    (GrantStatus.ACTIVE, GrantStatus.SUSPENDED): "Suspender",
    (GrantStatus.ACTIVE, GrantStatus.REVOKED): "Revogar",
    (GrantStatus.SUSPENDED, GrantStatus.REVOKED): "Revogar",
}
DONE = {
    GrantStatus.SUSPENDED: "Acesso suspenso. A pessoa recebe um e-mail com o motivo.",
    GrantStatus.ACTIVE: "Acesso retomado. A pessoa recebe um e-mail.",
    GrantStatus.REVOKED: "Acesso revogado. A pessoa recebe um e-mail com o motivo.",
}
#: With these, it is the Coordenadoria's turn if a credential did not arrive.
HELD = frozenset({GrantStatus.ACTIVE, GrantStatus.SUSPENDED})
NOT_TOLD = "A pessoa não tem e-mail no cadastro: avise por outro meio."
KEPT = "Acesso mantido. Quem pediu o fim recebe um e-mail com o motivo."


def _asks_for_ends(request: HttpRequest) -> bool:
    return request.GET.get("status__exact") == GrantStatus.TO_REVOKE


@admin.register(AccessGrant)
class AccessGrantAdmin(DeskAdmin):
    """Nothing is edited here: an access only moves, by the buttons that its table allows."""

    list_display = ("user_name", "matricula", "user_type", "where", "status", "since", "until", "given_by", "asked_in")
    list_display_links = ("user_name",)
    list_select_related = ("user", "user_type__system", "unit", "request__decided_by")
    search_fields = ("request__protocol",)
    search_help_text = "Nome (com ou sem acento), matrícula, CPF inteiro ou protocolo"
    sortable_by = ()

    @admin.display(description="pessoa")
    def user_name(self, grant: AccessGrant) -> str:
        return grant.user.display_name

    @admin.display(description="matrícula")
    def matricula(self, grant: AccessGrant) -> str:
        return vars(grant)["matricula_shown"] or "–"

    @admin.display(description="unidade")
    def where(self, grant: AccessGrant) -> str:
        return str(grant.unit) if grant.unit else "–"

    @admin.display(description="desde")
    def since(self, grant: AccessGrant) -> str:
        return f"{timezone.localtime(grant.granted_at):%d/%m/%Y}"

    @admin.display(description="vale até")
    def until(self, grant: AccessGrant) -> str:
        return f"{grant.expires_on:%d/%m/%Y}" if grant.expires_on else "–"

    @admin.display(description="quem concedeu")
    def given_by(self, grant: AccessGrant) -> str:
        if grant.request is None:
            return OLDER
        return grant.request.decided_by.display_name if grant.request.decided_by else "–"

    @admin.display(description="solicitação")
    def asked_in(self, grant: AccessGrant) -> str:
        return grant.request.protocol if grant.request else "anterior ao portal"

    @admin.display(description="por que encerrar")
    def why_end(self, grant: AccessGrant) -> str:
        return vars(grant)["end_asked_because"] or "–"

    def get_list_display(self, request: HttpRequest) -> Any:
        """Among what somebody has to decide on, why."""
        return (*self.list_display, "why_end") if _asks_for_ends(request) else self.list_display

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return AccessList

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessGrant]:
        """With the matrícula that the request was for; an access that is older shows the person's newest."""
        newest = Employment.objects.filter(user=OuterRef("user")).order_by("-started_on", "-pk").values("matricula")
        accesses: QuerySet[AccessGrant] = super().get_queryset(request)
        if _asks_for_ends(request):
            asked = GrantEvent.objects.filter(grant=OuterRef("pk"), to_status=GrantStatus.TO_REVOKE)
            first = asked.exclude(from_status=GrantStatus.TO_REVOKE).order_by("-pk")
            accesses = accesses.annotate(end_asked_because=Subquery(first.values("note")[:1]))
        return accesses.annotate(matricula_shown=Coalesce("request__beneficiary_matricula", Subquery(newest[:1])))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, too_many = find(queryset, search_term)
        if too_many:
            most = f"{filters.MOST_PEOPLE:,}".replace(",", ".")
            messages.warning(request, TOO_MANY_PEOPLE.format(most))
        return found, False

    def get_urls(self) -> list[URLPattern]:
        views = {
            "mover": ("move", self.move_view),
            "prazo": ("end", self.end_view),
            "reemitir": ("reissue", self.reissue_view),
        }
        own = [
            path(f"<int:pk>/{word}/", self.admin_site.admin_view(view), name=f"requests_app_accessgrant_{name}")
            for word, (name, view) in views.items()
        ]
        return [*own, *AccessFile(self).urls(), *super().get_urls()]

    def move_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """Suspend, resume, revoke or keep. Table and four eyes are the workflow's."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        grant = self.grant_to_change(request, pk)
        form = GrantMoveForm(request.POST, grant=grant)
        if not form.is_valid():
            return self.page(request, pk, move_form=form)
        to, note, seen = (form.cleaned_data[name] for name in ("to", "note", "seen"))
        try:
            workflow.move_grant(grant.pk, GrantStatus(to), by=request.user, note=note, seen=seen)
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, pk, move_form=form)
        was_kept = grant.status == GrantStatus.TO_REVOKE and to != GrantStatus.REVOKED
        messages.success(request, KEPT if was_kept else DONE[GrantStatus(to)])
        return self.back_to(request, pk)

    def end_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """Until which day the access holds."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        grant = self.grant_to_change(request, pk)
        form = GrantEndForm(request.POST)
        if not form.is_valid():
            return self.page(request, pk, end_form=form)
        until, why, seen = (form.cleaned_data[name] for name in ("until", "why", "seen"))
        try:
            changed = workflow.set_end(grant.pk, until, by=request.user, note=why, seen=seen)
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, pk, end_form=form)
        term = f"O acesso vale até {until:%d/%m/%Y}." if until else "O acesso não tem mais data de fim."
        told = "A pessoa recebe um e-mail com o motivo." if changed.user.email else NOT_TOLD
        messages.success(request, f"{term} {told}")
        return self.back_to(request, pk)

    def reissue_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """Mail a new provisional password for this access."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        grant = self.grant_to_change(request, pk)
        form = ReissueForm(request.POST, asks_credential=asks_credential(grant.user_type.system))
        if form.is_valid():
            try:
                note, seen = form.cleaned_data["note"], form.cleaned_data["seen"]
                workflow.reissue(pk, by=request.user, note=note, typed=form.typed, seen=seen)
            except workflow.MoveRefusedError as refusal:
                form.add_error(None, str(refusal))
            else:
                before = "" if form.asks_credential else "; a anterior não vale mais"
                messages.success(request, f"Nova credencial emitida. Ela segue por e-mail{before}.")
                return self.back_to(request, pk)
        return self.page(request, pk, form=form)

    def back_to(self, request: UserRequest, pk: int) -> HttpResponse:
        """The access's page, which knows the list as it was left."""
        url = reverse("admin:requests_app_accessgrant_change", args=[pk])
        return redirect(
            add_preserved_filters({"opts": self.opts, "preserved_filters": self.get_preserved_filters(request)}, url)
        )

    def grant_to_change(self, request: UserRequest, pk: int) -> AccessGrant:
        """Raises PermissionDenied for who decides nothing, whatever they may see."""
        if not request.user.has_perm("requests_app.decide"):
            raise PermissionDenied
        return get_object_or_404(AccessGrant.objects.select_related("user_type__system"), pk=pk)

    def page(self, request: UserRequest, pk: int, **posted: SeenForm) -> HttpResponse:
        """The access, its history, and what may be done with it; with ``posted``, the form that was refused."""
        # Before the access itself: what comes between the two is noticed when a form is sent.
        last_step = GrantEvent.objects.filter(grant=pk).order_by("-pk").values_list("pk", flat=True).first() or 0
        related = ("user", "user_type__system", "unit", "request")
        grant = get_object_or_404(AccessGrant.objects.select_related(*related), pk=pk)
        for form in posted.values():
            if form.missed(last_step) and not form.non_field_errors():
                form.add_error(None, workflow.MOVED_MEANWHILE)
        page_forms = {
            "form": ReissueForm(),
            "move_form": GrantMoveForm(grant=grant),
            "end_form": GrantEndForm(initial={"until": grant.expires_on}),
            **posted,
        }
        moves = workflow.grant_moves_of(request.user, grant)
        context = {
            **self.admin_site.each_context(request),
            **page_forms,
            "title": f"Acesso de {grant.user.display_name} a {grant.user_type}",
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
            "grant": grant,
            "system": grant.user_type.system,
            "last_step": str(last_step),
            "steps": notices.grant_steps_of(grant),
            "bonds": grant.user.employments.select_related("unit").order_by("-started_on", "-pk"),
            "asked": workflow.end_asked(grant),
            "kept": workflow.kept_status(grant),
            "buttons": [(to, label) for (here, to), label in BUTTONS.items() if here == grant.status and to in moves],
            "why_not": workflow.why_not_decide(request.user, grant),
            "asks_credential": asks_credential(grant.user_type.system),
            "may_reissue": workflow.may_reissue(request.user, grant),
            "credential_is_lost": grant.status in HELD and emails.credential_is_lost(grant),
            "errors": [error for one in page_forms.values() for error in one.non_field_errors()],
        }
        status = 409 if context["errors"] else 200
        return TemplateResponse(request, "admin/requests_app/accessgrant/grant.html", context, status=status)
