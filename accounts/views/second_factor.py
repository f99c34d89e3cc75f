"""The code at sign-in, and the pages that turn it on, move it, and turn it off."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View

from .. import enrolments, factors, passwords, second_step, signing_in
from ..factor_forms import CodeForm, FirstCodeForm, ProofForm
from ..http import STALE, UserRequest, wanted
from ..models import RecoveryCode, User
from .rights import public, secret_posts

TOO_LATE = "O tempo para digitar o código acabou. Entre de novo."
BEGIN_ANEW = "O tempo desta etapa acabou. Comece de novo."
ALREADY_ON = (
    "A verificação em duas etapas já está ligada. Não viu os códigos de recuperação? Crie códigos novos nesta página."
)
#: So few left: time for a new list.
FEW = 3


def on_the_way(name: str, target: str) -> str:
    """The address of this page, which leads on to ``target``."""
    return reverse(name, query={"next": target} if target else None)


def warn_of_few(request: HttpRequest, proof: factors.Proof) -> None:
    """Say how many recovery codes are left, if it was one of them that opened."""
    if proof.codes_left is None:
        return
    left = f"Restam {proof.codes_left}." if proof.codes_left != 1 else "Resta 1."
    advice = " Crie uma lista nova em “Minha conta”." if proof.codes_left <= FEW else ""
    messages.warning(request, f"Você usou um código de recuperação. {left}{advice}")


@public
@secret_posts
class SecondFactor(View):
    """The step after the right password; also for who is in already without it, and needs it for the desk."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if self.person(request) is None:
            return self.nobody_waits(request)
        return self.page(request, CodeForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        user = self.person(request)
        if user is None:
            return self.nobody_waits(request)
        form = CodeForm(request.POST)
        if not form.is_valid():
            return self.page(request, form)
        try:
            proof = factors.prove(user, form.cleaned_data["code"], request=request)
        except factors.CodeRefusedError as refusal:
            form.add_error("code", str(refusal))
            return self.page(request, form, status=refusal.status)
        response = self.let_in(request, user, proof)
        warn_of_few(request, proof)
        return response

    @staticmethod
    def person(request: HttpRequest) -> User | None:
        """Whose code is waited for."""
        if not isinstance(request.user, User):
            return second_step.person_of(request.session)
        return None if factors.was_shown(request) or factors.of(request.user) is None else request.user

    @staticmethod
    def let_in(request: HttpRequest, user: User, proof: factors.Proof) -> HttpResponse:
        if not request.user.is_authenticated:
            target = second_step.end(request.session)
            return signing_in.enter(request, user, redirect(target), factor=proof.device, how=f"senha e {proof.how}")
        signing_in.step_up(request, user, proof.device, how=f"{proof.how}, depois da senha")
        return redirect(wanted(request) or settings.LOGIN_REDIRECT_URL)

    @staticmethod
    def nobody_waits(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(wanted(request) or settings.LOGIN_REDIRECT_URL)
        if not second_step.has_begun(request.session):
            return redirect(settings.LOGIN_URL)
        target = second_step.end(request.session)
        messages.warning(request, TOO_LATE)
        return redirect_to_login(target)

    @classmethod
    def page(cls, request: HttpRequest, form: CodeForm, status: int = 200) -> HttpResponse:
        return render(request, "accounts/second_factor.html", {"form": form, "next": wanted(request)}, status=status)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        """The form was open too long (``accounts.http.csrf_failure``)."""
        if cls.person(request) is None:
            return cls.nobody_waits(request)
        messages.warning(request, STALE)
        return cls.page(request, CodeForm())


class SecondFactorSettings(View):
    """How it stands with one's own, and what may be done."""

    def get(self, request: UserRequest) -> HttpResponse:
        context = {
            "device": factors.of(request.user),
            "codes_left": RecoveryCode.objects.filter(user=request.user, used_at=None).count(),
            "required": factors.is_required_of(request.user),
            "next": wanted(request),
        }
        return render(request, "accounts/second_factor_settings.html", context)


@secret_posts
class ProofView(View):
    """Asks for the password, and for a code where the factor is on, before ``proved`` does what was asked for."""

    #: What is about to be done, for ``second_factor_proof.html``.
    deed = ""

    def get(self, request: UserRequest) -> HttpResponse:
        return self.page(request, ProofForm(asks_code=self.asks_code(request)))

    def post(self, request: UserRequest) -> HttpResponse:
        form = ProofForm(request.POST, asks_code=self.asks_code(request))
        if not form.is_valid():
            return self.page(request, form)
        try:
            passwords.check_current(request.user, form.cleaned_data["password"], request=request)
            if "code" in form.fields:
                warn_of_few(request, factors.prove(request.user, form.cleaned_data["code"], request=request))
            return self.proved(request)
        except passwords.NotCurrentError as refusal:
            form.add_error("password", str(refusal))
            return self.page(request, form, status=refusal.status)
        except factors.CodeRefusedError as refusal:
            form.add_error("code", str(refusal))
            return self.page(request, form, status=refusal.status)
        except enrolments.RefusedError as refusal:
            messages.error(request, str(refusal))
            return redirect("second-factor-settings")

    def proved(self, request: UserRequest) -> HttpResponse:
        raise NotImplementedError

    @staticmethod
    def asks_code(request: UserRequest) -> bool:
        return factors.of(request.user) is not None

    @classmethod
    def page(cls, request: HttpRequest, form: ProofForm, status: int = 200) -> HttpResponse:
        context = {"form": form, "deed": cls.deed, "asks_code": "code" in form.fields, "next": wanted(request)}
        return render(request, "accounts/second_factor_proof.html", context, status=status)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        return redirect(on_the_way(str(request.resolver_match and request.resolver_match.url_name), wanted(request)))


class SecondFactorStart(ProofView):
    """Turn it on, or move it to another telephone."""

    deed = "start"

    def proved(self, request: UserRequest) -> HttpResponse:
        enrolments.start(request.user, request.session)
        return redirect(on_the_way("second-factor-new", wanted(request)))


class SecondFactorCodes(ProofView):
    """Ten new recovery codes."""

    deed = "codes"

    def proved(self, request: UserRequest) -> HttpResponse:
        return codes_page(request, enrolments.renew_codes(request.user, request=request))


class SecondFactorOff(ProofView):
    """Turn it off, where that is one's own choice."""

    deed = "off"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Nobody gives a password or a code, which may be one of ten, for what is refused anyway."""
        try:
            enrolments.check_may_turn_off(cast("User", request.user))
        except enrolments.RefusedError as refusal:
            messages.error(request, str(refusal))
            return redirect("second-factor-settings")
        return super().dispatch(request, *args, **kwargs)

    def proved(self, request: UserRequest) -> HttpResponse:
        enrolments.turn_off(request.user, request=request)
        messages.success(request, "Verificação em duas etapas desligada.")
        return redirect("second-factor-settings")


@secret_posts
class SecondFactorNew(View):
    """The key for the telephone, as a picture and to be typed, and the form for its first code."""

    def get(self, request: UserRequest) -> HttpResponse:
        return self.page(request, FirstCodeForm())

    def post(self, request: UserRequest) -> HttpResponse:
        device = enrolments.pending(request.user, request.session)
        form = FirstCodeForm(request.POST)
        if device is None or not form.is_valid():
            return self.page(request, form)
        codes = enrolments.confirm(device, form.cleaned_data["code"], request=request)
        if codes is None:
            form.add_error("code", "Este código não vale. Confira a hora do celular e digite o próximo código.")
            return self.page(request, form)
        signing_in.step_up(request, request.user, device, how="código do celular novo")
        return codes_page(request, codes)

    @classmethod
    def page(cls, request: HttpRequest, form: FirstCodeForm) -> HttpResponse:
        device = enrolments.pending(request.user, request.session) if isinstance(request.user, User) else None
        if device is None:
            is_done = isinstance(request.user, User) and enrolments.is_done(request.user, request.session)
            messages.warning(request, ALREADY_ON if is_done else BEGIN_ANEW)
            return redirect(on_the_way("second-factor-settings", wanted(request)))
        address, key = enrolments.address_of(device), enrolments.key_of(device)
        context: dict[str, Any] = {
            "form": form,
            "address": address,
            "picture": enrolments.qr_code(address),
            "key_groups": [key[place : place + 4] for place in range(0, len(key), 4)],
            "next": wanted(request),
        }
        return render(request, "accounts/second_factor_new.html", context)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        return cls.page(request, FirstCodeForm())


def codes_page(request: HttpRequest, codes: list[str]) -> HttpResponse:
    """The answer to the post that made them: they stand nowhere from which a second page could show them."""
    context = {"codes": codes, "next": wanted(request)}
    return render(request, "accounts/second_factor_codes.html", context)
