"""Behind the gear."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views import View

from .. import passwords, provisional, security
from ..forms import PasswordChangeForm
from ..http import STALE, UserRequest
from ..models import SecurityEvent, User
from .door import LAPSED
from .rights import secret_posts


class Account(View):
    """One's bonds, and the way to everything that can be changed."""

    def get(self, request: UserRequest) -> HttpResponse:
        bonds = request.user.employments.select_related("unit").order_by("-started_on")
        return render(request, "accounts/account.html", {"bonds": bonds})


@secret_posts
class PasswordChange(View):
    """The gear's form; also where a provisional password leads, before anything else."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Whoever let a provisional password lapse while signed in is out: this page is all that it still opened."""
        assert isinstance(request.user, User)  # noqa: S101 - LoginRequiredMiddleware
        if not provisional.has_lapsed(request.user):
            return super().dispatch(request, *args, **kwargs)
        security.record(SecurityEvent.Kind.SIGNED_OUT, user=request.user, request=request, detail="provisória vencida")
        logout(request)
        messages.warning(request, LAPSED)
        return redirect(settings.LOGIN_URL)

    def get(self, request: UserRequest) -> HttpResponse:
        return self.page(request, PasswordChangeForm(request.user))

    def post(self, request: UserRequest) -> HttpResponse:
        form = PasswordChangeForm(request.user, request.POST)
        if not form.is_valid():
            return self.page(request, form)
        try:
            passwords.check_current(request.user, form.cleaned_data["old_password"], request=request)
            changed = self.change(request, form.cleaned_data["new_password1"])
        except passwords.NotCurrentError as refusal:
            form.add_error("old_password", str(refusal))
            return self.page(request, form, status=refusal.status)
        update_session_auth_hash(request, changed)
        messages.success(request, "Senha alterada com sucesso.")
        return redirect(settings.LOGIN_REDIRECT_URL)

    @staticmethod
    def change(request: UserRequest, password: str) -> User:
        """Somebody who changed it a moment ago, elsewhere, made the old one wrong."""
        hash_checked = request.user.password  # after the check, which renews a hash of outdated parameters
        changed = passwords.choose(
            request.user.pk,
            password,
            may=lambda locked: locked.password == hash_checked,
            kind=SecurityEvent.Kind.PASSWORD_CHANGED,
            request=request,
        )
        if changed is None:
            raise passwords.not_current(request.user, request)
        return changed

    @classmethod
    def page(cls, request: HttpRequest, form: PasswordChangeForm, status: int = 200) -> HttpResponse:
        return render(request, "accounts/password_change.html", {"form": form}, status=status)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        return redirect("password-change")
