"""The approvers' desk: what waits, one request on a screen, and its decision."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts import mail_admin, support
from accounts.desk import DeskAdmin, KeptAdmin, moment, words_of
from accounts.http import UserRequest
from accounts.models import User

from . import notices, workflow
from .forms import DecisionForm, ReissueForm
from .models import (
    NOT_YOUR_OWN,
    WAITING,
    AccessGrant,
    AccessRequest,
    ExternalSystem,
    Status,
    SystemNotice,
    UserType,
)

if TYPE_CHECKING:
    UserTypeTable = admin.TabularInline[UserType, ExternalSystem]
    NoticeStack = admin.StackedInline[SystemNotice, ExternalSystem]
else:  # Django's admin classes take no parameters at run time
    UserTypeTable, NoticeStack = admin.TabularInline, admin.StackedInline

mail_admin.SEARCHES.append(notices.by_protocol)

PART_OF_PROTOCOL = re.compile(r"[0-9]*-[0-9]*")
#: What each button says, in the order in which they stand.
BUTTONS = (
    (Status.APPROVED, "Aprovar"),
    (Status.COMPLETED, "Registrar acesso"),
    (Status.RETURNED, "Devolver para correção"),
    (Status.REJECTED, "Indeferir"),
    (Status.IN_REVIEW, "Assumir"),
    (Status.PENDING, "Liberar"),
)
DONE = {
    Status.APPROVED: "Solicitação {0} aprovada.",
    Status.COMPLETED: "Solicitação {0} aprovada e acesso liberado. A pessoa recebe por e-mail como entrar.",
    Status.RETURNED: "Solicitação {0} devolvida para correção.",
    Status.REJECTED: "Solicitação {0} indeferida.",
    Status.IN_REVIEW: "Solicitação {0} em análise com você.",
    Status.PENDING: "Solicitação {0} de volta à fila.",
}


def is_own(user: User, request: AccessRequest) -> bool:
    """Whether somebody asks or benefits."""
    return user.pk in {request.requester_id, request.beneficiary_id}


def asks_credential(system: ExternalSystem) -> bool:
    """Whether an analyst registers people there by hand and types what it gave."""
    return system.credential == ExternalSystem.Credential.OPERATOR


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
        """Make one move. Table and four eyes are the workflow's; what is posted is only where to and why."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        if not request.user.has_perm("requests_app.decide"):
            raise PermissionDenied
        access_request = get_object_or_404(AccessRequest.objects.select_related("user_type__system"), pk=pk)
        form = DecisionForm(request.POST, asks_credential=asks_credential(access_request.system))
        if not form.is_valid():
            return self.page(request, pk, form)
        if is_own(request.user, access_request):
            form.add_error(None, NOT_YOUR_OWN)  # what is theirs to do, they do on their own page
            return self.page(request, pk, form)
        try:
            moved = workflow.move(
                pk,
                Status(form.cleaned_data["to"]),
                by=request.user,
                note=form.cleaned_data["note"],
                renew_password=form.cleaned_data["renew_password"],
                typed=form.typed,
            )
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, pk, form)
        messages.success(request, DONE[Status(moved.status)].format(moved.protocol))
        return redirect("admin:requests_app_accessrequest_change", pk)

    def page(self, request: UserRequest, pk: int, form: DecisionForm | None = None) -> HttpResponse:
        """Who asks what for whom, the history, and the buttons."""
        form = form or DecisionForm()
        related = ("user_type__system", "requester", "beneficiary", "holder", "unit", "decided_by")
        access_request = get_object_or_404(AccessRequest.objects.select_related(*related), pk=pk)
        own = is_own(request.user, access_request)
        buttons = [(to, label) for to, label in BUTTONS if not own and workflow.may(request.user, access_request, to)]
        context = {
            **self.admin_site.each_context(request),
            "title": f"Solicitação {access_request.protocol}",
            "opts": self.opts,
            "access_request": access_request,
            "steps": notices.steps_of(access_request),
            "other_requests": AccessRequest.objects.filter(beneficiary=access_request.beneficiary_id)
            .exclude(pk=pk)
            .select_related("user_type__system")[:10],
            "grants": access_request.beneficiary.grants.live().select_related("user_type__system", "unit"),
            "bonds": access_request.beneficiary.employments.select_related("unit"),
            "buttons": buttons,
            "needs_reason": workflow.NEEDS_REASON,
            "own": own,
            "form": form,
            "asks_credential": (Status.COMPLETED, "Registrar acesso") in buttons
            and asks_credential(access_request.system),
            # Whoever registers somebody by hand types the CPF there.
            "may_disclose": bool(buttons)
            and asks_credential(access_request.system)
            and support.may(request.user, support.Act.DISCLOSE, access_request.beneficiary),
            "offers_new_password": (Status.APPROVED, "Aprovar") in buttons
            and access_request.system.credential == ExternalSystem.Credential.PORTAL
            and access_request.beneficiary.has_chosen_password,
        }
        status = 409 if form.non_field_errors() else 200
        return TemplateResponse(request, "admin/requests_app/accessrequest/decide.html", context, status=status)


class UserTypeInline(UserTypeTable):
    model = UserType
    extra = 1
    can_delete = False


class NoticeInline(NoticeStack):
    model = SystemNotice
    extra = 0


@admin.register(ExternalSystem)
class ExternalSystemAdmin(KeptAdmin):
    list_display = ("name", "credential", "is_active", "successor")
    list_filter = ("is_active", "credential")
    search_fields = ("name",)
    inlines = (UserTypeInline, NoticeInline)
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}


@admin.register(AccessGrant)
class AccessGrantAdmin(DeskAdmin):
    list_display = ("user_name", "user_type", "unit", "status", "granted_at", "request")
    list_filter = ("status", "user_type__system")
    list_select_related = ("user", "user_type__system", "unit", "request")
    search_fields = ("request__protocol",)

    @admin.display(description="pessoa")
    def user_name(self, grant: AccessGrant) -> str:
        return grant.user.display_name

    def get_urls(self) -> list[URLPattern]:
        reissue = self.admin_site.admin_view(self.reissue_view)
        return [path("<int:pk>/reemitir/", reissue, name="requests_app_accessgrant_reissue"), *super().get_urls()]

    def reissue_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """Mail a new provisional password for this access."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        if not request.user.has_perm("requests_app.decide"):
            raise PermissionDenied
        grant = get_object_or_404(AccessGrant.objects.select_related("user_type__system"), pk=pk)
        form = ReissueForm(request.POST, asks_credential=asks_credential(grant.user_type.system))
        if form.is_valid():
            try:
                workflow.reissue(pk, by=request.user, note=form.cleaned_data["note"], typed=form.typed)
            except workflow.MoveRefusedError as refusal:
                form.add_error(None, str(refusal))
            else:
                before = "" if form.asks_credential else "; a anterior não vale mais"
                messages.success(request, f"Nova credencial emitida. Ela segue por e-mail{before}.")
                return redirect("admin:requests_app_accessgrant_change", pk)
        return self.page(request, pk, form)

    def page(self, request: UserRequest, pk: int, form: ReissueForm | None = None) -> HttpResponse:
        """The access, its history, and "Reemitir credencial" for who may."""
        form = form or ReissueForm()
        related = ("user", "user_type__system", "unit", "request")
        grant = get_object_or_404(AccessGrant.objects.select_related(*related), pk=pk)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Acesso de {grant.user.display_name} a {grant.user_type}",
            "opts": self.opts,
            "grant": grant,
            "steps": notices.grant_steps_of(grant),
            "asks_credential": asks_credential(grant.user_type.system),
            "may_reissue": workflow.may_reissue(request.user, grant),
            "request_url": reverse("admin:requests_app_accessrequest_change", args=[grant.request_id]),
            "form": form,
        }
        status = 409 if form.non_field_errors() else 200
        return TemplateResponse(request, "admin/requests_app/accessgrant/grant.html", context, status=status)
