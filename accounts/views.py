"""Sign-in, the forgotten password, and the gear."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import TemplateView

from . import passwords, provisional, resets, security, throttle
from .forms import ForgotPasswordForm, LoginForm, NewPasswordForm, PasswordChangeForm
from .http import STALE, UserRequest, allow_captcha, client_address
from .models import SecurityEvent, User
from .search import search_bonds

#: One sentence for whatever went wrong at the door: it must not tell who exists (ASVS 5.0 6.3.8).
NOT_SIGNED_IN = (
    "Usuário ou senha incorretos, ou tentativas demais em pouco tempo. Confira e tente de novo em alguns minutos. "
    "Se não lembra a senha, use “Esqueci a senha”."
)
LAPSED = "Sua senha provisória venceu. Use “Esqueci a senha” para criar uma nova."

public = method_decorator(login_not_required, name="dispatch")
secret_posts = method_decorator(sensitive_post_parameters(), name="dispatch")


@public
@secret_posts
class Login(View):
    """The one door."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(self.target(request))
        return self.page(request, LoginForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = LoginForm(request.POST)
        if not form.is_valid():
            return self.page(request, form)
        cpf: str = form.cleaned_data["username"]
        user = self.admitted(request, cpf, form.cleaned_data["password"])
        if user is None:
            form.add_error(None, NOT_SIGNED_IN)
            return self.page(request, form)
        if provisional.has_lapsed(user):
            security.record(SecurityEvent.Kind.SIGN_IN_FAILED, user=user, request=request, detail="provisória vencida")
            form.add_error(None, LAPSED)
            return self.page(request, form)
        login(request, user)
        throttle.clear(throttle.SIGN_IN, throttle.sign_in_key(request, cpf))
        throttle.give_back(throttle.SIGN_IN_ADDRESS, throttle.address_key(request))
        security.record(SecurityEvent.Kind.SIGNED_IN, user=user, actor=user, request=request)
        response = redirect(self.target(request))
        throttle.remember_device(response, cpf)
        return response

    def admitted(self, request: HttpRequest, cpf: str, password: str) -> User | None:
        """The person, if the throttle lets the try through and the password fits."""
        if throttle.take(throttle.SIGN_IN_ADDRESS, throttle.address_key(request), request) or throttle.take(
            throttle.SIGN_IN, throttle.sign_in_key(request, cpf), request
        ):
            return None
        user = authenticate(request, username=cpf, password=password)
        if isinstance(user, User):
            return user
        security.record(SecurityEvent.Kind.SIGN_IN_FAILED, typed=cpf, request=request)
        return None

    @classmethod
    def target(cls, request: HttpRequest) -> str:
        """Where the person wanted to go, if that is a page of ours."""
        wanted = request.POST.get("next", request.GET.get("next", ""))
        if url_has_allowed_host_and_scheme(
            wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        ):
            return wanted
        return reverse(settings.LOGIN_REDIRECT_URL)

    @classmethod
    def page(cls, request: HttpRequest, form: LoginForm) -> HttpResponse:
        wanted = request.POST.get("next", request.GET.get("next", ""))
        return render(request, "accounts/login.html", {"form": form, "next": wanted})

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        """The form was open too long (``accounts.http.csrf_failure``)."""
        if request.user.is_authenticated:
            return redirect(cls.target(request))
        messages.warning(request, STALE)
        return cls.page(request, LoginForm(initial={"username": request.POST.get("username", "")[:40]}))


@public  # whose session has ended already must not be sent through the door to an address that takes no GET
class Logout(View):
    def get(self, request: UserRequest) -> HttpResponse:
        """An address that is opened ends nothing: there is a button for it."""
        return redirect(settings.LOGIN_REDIRECT_URL)

    def post(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            security.record(SecurityEvent.Kind.SIGNED_OUT, user=request.user, actor=request.user, request=request)
        logout(request)
        messages.success(request, "Você saiu do portal.")
        return redirect(settings.LOGOUT_REDIRECT_URL)


@public
class Certificate(TemplateView):
    template_name = "accounts/certificate.html"


@public
class ForgotPassword(View):
    """Never looks anybody up: captcha, digits, throttle by what was typed, one row, the same answer."""

    @method_decorator(allow_captcha)
    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page(request, ForgotPasswordForm())

    @method_decorator(allow_captcha)
    def post(self, request: HttpRequest) -> HttpResponse:
        form = ForgotPasswordForm(request.POST)
        if not form.is_valid():
            return self.page(request, form)
        cpf: str = form.cleaned_data["cpf"]
        wait = throttle.take(throttle.RESET_ADDRESS, throttle.address_key(request), request) or throttle.take(
            throttle.RESET, cpf, request
        )
        if wait:
            form.add_error(None, throttle.sentence(wait))
            return self.page(request, form, status=429)
        resets.ask(cpf, address=client_address(request))
        return redirect("password-reset-sent")

    @classmethod
    def page(cls, request: HttpRequest, form: ForgotPasswordForm, status: int = 200) -> HttpResponse:
        return TemplateResponse(request, "accounts/forgot_password.html", {"form": form}, status=status)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        form = ForgotPasswordForm(initial={"cpf": request.POST.get("cpf", "")[:40]})
        return allow_captcha(cls.page)(request, form)


@public
class ForgotPasswordSent(TemplateView):
    template_name = "accounts/forgot_password_sent.html"


@public
class PasswordResetLink(View):
    """The mailed address. Opening it, as mail scanners do, spends nothing; its token leaves by no Referer.

    The form's own page keeps the portal's policy: under ``no-referrer`` browsers post ``Origin: null``, which the
    CSRF check must refuse, and no token stands in that page's address.
    """

    def get(self, request: HttpRequest, uid: str, token: str) -> HttpResponse:
        holds = resets.open_link(uid, token, request.session)
        response = redirect("password-reset-new") if holds else dead_link(request)
        response["Referrer-Policy"] = "no-referrer"
        return response


def dead_link(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/password_reset_dead_link.html", status=410)


@public
@secret_posts
class PasswordResetNew(View):
    """Nova Senha, Repetir Senha. Only this POST spends the link."""

    def get(self, request: HttpRequest) -> HttpResponse:
        user = resets.person_of(request.session)
        if user is None:
            return dead_link(request)
        return self.page(request, NewPasswordForm(user))

    def post(self, request: HttpRequest) -> HttpResponse:
        user = resets.person_of(request.session)
        if user is None:
            return dead_link(request)
        form = NewPasswordForm(user, request.POST)
        if not form.is_valid():
            return self.page(request, form)
        done = passwords.choose(
            user.pk,
            form.cleaned_data["new_password1"],
            may=lambda locked: resets.still_holds(request.session, locked),
            kind=SecurityEvent.Kind.PASSWORD_RESET,
            request=request,
        )
        if done is None:
            return dead_link(request)
        resets.close_link(request.session)
        response = redirect("password-reset-done")
        throttle.remember_device(response, user.cpf)
        return response

    @classmethod
    def page(cls, request: HttpRequest, form: NewPasswordForm) -> HttpResponse:
        return render(request, "accounts/password_reset_new.html", {"form": form})

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        return redirect("password-reset-new")


@public
class PasswordResetDone(TemplateView):
    template_name = "accounts/password_reset_done.html"
    extra_context = {"seconds": 15}


class Account(View):
    """Behind the gear."""

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
        if wait := throttle.take(throttle.OLD_PASSWORD, request.user.cpf):
            form.add_error("old_password", throttle.sentence(wait))
            return self.page(request, form, status=429)
        fits = request.user.check_password(form.cleaned_data["old_password"])
        hash_checked = request.user.password  # after the check, which renews a hash of outdated parameters
        changed = fits and passwords.choose(
            request.user.pk,
            form.cleaned_data["new_password1"],
            # Somebody who changed it a moment ago, elsewhere, made the old one wrong.
            may=lambda locked: locked.password == hash_checked,
            kind=SecurityEvent.Kind.PASSWORD_CHANGED,
            request=request,
        )
        if not changed:
            form.add_error("old_password", "A senha atual não confere.")
            return self.page(request, form)
        throttle.clear(throttle.OLD_PASSWORD, request.user.cpf)
        update_session_auth_hash(request, changed)
        messages.success(request, "Senha alterada com sucesso.")
        return redirect(settings.LOGIN_REDIRECT_URL)

    @classmethod
    def page(cls, request: HttpRequest, form: PasswordChangeForm, status: int = 200) -> HttpResponse:
        return render(request, "accounts/password_change.html", {"form": form}, status=status)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        return redirect("password-change")


class PeopleSearch(View):
    """What the form's list asks while somebody types: never CPF, never e-mail."""

    def get(self, request: UserRequest) -> JsonResponse:
        if wait := throttle.take(throttle.SEARCH, f"person:{request.user.pk}"):
            answer = JsonResponse({"results": [], "error": throttle.sentence(wait)}, status=429)
            answer["Retry-After"] = str(wait)
            return answer
        results = [
            {
                "id": bond.pk,
                "matricula": bond.matricula,
                "nome": bond.user.display_name,
                "cargo": bond.cargo,
                "lotacao": str(bond.unit),
            }
            for bond in search_bonds(request.GET.get("q", ""))
        ]
        return JsonResponse({"results": results})
