"""The Coordenadoria's desk: Django's admin, entered through the portal's one door."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator

from accounts import factors, mail_admin, removals
from accounts.http import wanted
from accounts.models import Term, User
from requests_app.models import AccessRequest


class PortalAdminSite(admin.AdminSite):
    site_title = "Sistemas Externos"
    site_header = "Sistemas Externos – Coordenadoria"
    index_title = "Mesa de trabalho"
    enable_nav_sidebar = False  # the queue needs the width

    #: So many of those that wait stand on the first page; the rest is one click away.
    MOST_SHOWN = 20

    def has_permission(self, request: HttpRequest) -> bool:
        """No page of the desk without the second factor (ASVS 5.0 6.3.3)."""
        return super().has_permission(request) and (not settings.STAFF_MFA or factors.was_shown(request))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The first page shows the mails that were not delivered and what waits, the oldest first."""
        mails: list[mail_admin.Row] = []
        if request.user.has_perm("accounts.view_outgoingmail"):
            mails = mail_admin.rows(mail_admin.failed(self.MOST_SHOWN + 1))
        waiting: list[AccessRequest] = []
        if request.user.has_perm("requests_app.view_accessrequest"):
            queue = AccessRequest.objects.waiting().select_related("user_type__system", "holder").order_by("pk")
            waiting = list(queue[: self.MOST_SHOWN + 1])
        context = {
            "removals": list(removals.open_to(cast("User", request.user))[: self.MOST_SHOWN]),
            "failed_mails": mails[: self.MOST_SHOWN],
            "more_failed": len(mails) > self.MOST_SHOWN,
            "waiting": waiting[: self.MOST_SHOWN],
            "more_wait": len(waiting) > self.MOST_SHOWN,
            "term_missing": request.user.has_perm("accounts.add_term") and not Term.objects.exists(),
        }
        return super().index(request, {**context, **(extra_context or {})})

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """Send to the one door; somebody who is in already but is no staff gets the 403 page, not a loop."""
        target = wanted(request) or reverse("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(target)
        if self.has_permission(request):
            return redirect(target)
        if not super().has_permission(request):
            raise PermissionDenied
        # Staff, and all that lacks is the second factor: to be turned on, or to be shown.
        next_step = "second-factor" if factors.of(request.user) else "second-factor-settings"
        return redirect(reverse(next_step, query={"next": target}))

    def logout(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:  # type: ignore[override]  # Django's own returns a redirect too
        return redirect("home")

    def password_change(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:  # type: ignore[override]  # Django's own returns a redirect too
        return redirect("password-change")

    def password_change_done(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:  # type: ignore[override]  # Django's own returns a redirect too
        return redirect("account")
