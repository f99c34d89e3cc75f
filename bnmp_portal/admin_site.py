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
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator

from accounts import factors, mail_admin, removals
from accounts.http import wanted
from accounts.models import Term, User
from requests_app import calendar, worklist


class PortalAdminSite(admin.AdminSite):
    site_title = "Sistemas Externos"
    site_header = "Sistemas Externos – Coordenadoria"
    index_title = "Mesa de trabalho"
    enable_nav_sidebar = False  # the queue needs the width

    #: So many of what went wrong stand on the first page; the rest is one click away.
    MOST_SHOWN = 20

    def has_permission(self, request: HttpRequest) -> bool:
        """No page of the desk without the second factor (ASVS 5.0 6.3.3)."""
        return super().has_permission(request) and (not settings.STAFF_MFA or factors.was_shown(request))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The first page opens on the work: what waits for whom, the oldest first, and what went wrong."""
        user = cast("User", request.user)
        mails: list[mail_admin.Row] = []
        if request.user.has_perm("accounts.view_outgoingmail"):
            mails = mail_admin.rows(mail_admin.failed(self.MOST_SHOWN + 1))
        context = {
            "removals": list(removals.open_to(user)[: self.MOST_SHOWN]),
            "failed_mails": mails[: self.MOST_SHOWN],
            "more_failed": len(mails) > self.MOST_SHOWN,
            "sections": worklist.sections_for(user),
            "search_help": "Protocolo, matrícula, CPF inteiro, ou nome de quem pede ou de quem terá o acesso",
            "empty_years": self.empty_years(user),
            "term_missing": request.user.has_perm("accounts.add_term") and not Term.objects.exists(),
        }
        return super().index(request, {**context, **(extra_context or {})})

    def empty_years(self, user: User) -> list[int]:
        """Years without holidays, for who can add them: deadlines would count days on which nobody works."""
        return calendar.empty_years(timezone.localdate()) if user.has_perm("requests_app.add_holiday") else []

    def get_urls(self) -> list[Any]:
        from requests_app.admin import numbers  # registers its models with this site

        return [path("numeros/", self.admin_view(numbers.page), name="numbers"), *super().get_urls()]

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
