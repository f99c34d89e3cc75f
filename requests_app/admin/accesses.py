"""The accesses that people have."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.desk import DeskAdmin
from accounts.http import UserRequest

from .. import notices, workflow
from ..forms import ReissueForm
from ..models import AccessGrant
from .decision import asks_credential


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
