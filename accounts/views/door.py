"""Sign-in and the way out."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View
from django.views.generic import TemplateView

from .. import factors, provisional, second_step, security, signing_in, throttle
from ..forms import LoginForm
from ..http import STALE, UserRequest, wanted
from ..models import SecurityEvent, User
from .rights import public, secret_posts

#: One sentence for whatever went wrong at the door: it must not tell who exists (ASVS 5.0 6.3.8).
NOT_SIGNED_IN = (
    "Usuário ou senha incorretos, ou tentativas demais em pouco tempo. Confira e tente de novo em alguns minutos. "
    "Se não lembra a senha, use “Esqueci a senha”."
)
LAPSED = "Sua senha provisória venceu. Use “Esqueci a senha” para criar uma nova."


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
        at_address = self.counted_at_address(request, cpf)
        user = None if at_address.wait else self.admitted(request, cpf, form.cleaned_data["password"])
        if user is None:
            form.add_error(None, NOT_SIGNED_IN)
            return self.page(request, form)
        if provisional.has_lapsed(user):
            security.record(SecurityEvent.Kind.SIGN_IN_FAILED, user=user, request=request, detail="provisória vencida")
            form.add_error(None, LAPSED)
            return self.page(request, form)
        throttle.clear(throttle.SIGN_IN, throttle.sign_in_key(request, cpf))
        throttle.give_back(throttle.SIGN_IN_ADDRESS, throttle.address_key(request), at_address)
        if factors.of(user):
            second_step.begin(request, user, self.target(request))
            return redirect("second-factor")
        return signing_in.enter(request, user, redirect(self.target(request)))

    @staticmethod
    def counted_at_address(request: HttpRequest, cpf: str) -> throttle.Try:
        """The try, as its address counts it; a known device's is not: who guesses beside it does not lock it out."""
        if throttle.known_device(request, cpf):
            return throttle.Try()
        return throttle.attempt(throttle.SIGN_IN_ADDRESS, throttle.address_key(request), request)

    @staticmethod
    def admitted(request: HttpRequest, cpf: str, password: str) -> User | None:
        """The person, if the throttle lets the try through and the password fits."""
        if throttle.take(throttle.SIGN_IN, throttle.sign_in_key(request, cpf), request):
            return None
        user = authenticate(request, username=cpf, password=password)
        if isinstance(user, User):
            return user
        security.record(SecurityEvent.Kind.SIGN_IN_FAILED, typed=cpf, request=request)
        return None

    @classmethod
    def target(cls, request: HttpRequest) -> str:
        """Where the person wanted to go, if that is a page of ours."""
        return wanted(request) or reverse(settings.LOGIN_REDIRECT_URL)

    @classmethod
    def page(cls, request: HttpRequest, form: LoginForm) -> HttpResponse:
        return render(request, "accounts/login.html", {"form": form, "next": wanted(request)})

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
