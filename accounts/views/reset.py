"""The forgotten password: the page that asks, the mailed link, the new password."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.generic import TemplateView

from .. import correlation, outbox, passwords, resets, security, throttle
from ..forms import ForgotPasswordForm, NewPasswordForm
from ..http import STALE, allow_captcha, client_address
from ..models import SecurityEvent, User
from .rights import public, secret_posts

OTHER_CLOSED = "A conta de outra pessoa, que estava aberta neste navegador, também foi fechada."


class AskedRedirect(HttpResponseRedirect):
    """Rings when the answer is out: nothing that depends on whose CPF it is begins before (ASVS 5.0 6.3.8)."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.asked_by = correlation.current()  # whose block is over by then

    def close(self) -> None:
        super().close()
        with correlation.of(self.asked_by):
            outbox.ring()


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
        return AskedRedirect(reverse("password-reset-sent"))

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
        response = self.answer(request, uid, token)
        response["Referrer-Policy"] = "no-referrer"
        return response

    def answer(self, request: HttpRequest, uid: str, token: str) -> HttpResponse:
        """While an address waits, no link is looked at, a good one neither: else guessing would go on."""
        place = throttle.address_key(request)
        if wait := throttle.waiting(throttle.LINK_ADDRESS, place):
            return too_many_links(request, wait)
        if resets.open_link(uid, token, request.session):
            return redirect("password-reset-new")
        if wait := throttle.take(throttle.LINK_ADDRESS, place, request):
            return too_many_links(request, wait)
        security.record(SecurityEvent.Kind.LINK_REFUSED, request=request)
        return dead_link(request)


def too_many_links(request: HttpRequest, wait: int) -> HttpResponse:
    """The page for an address that opened too many dead links (429); ``wait`` in seconds."""
    context = {"sentence": throttle.sentence(wait)}
    response = render(request, "accounts/password_reset_wait.html", context, status=429)
    response["Retry-After"] = str(wait)
    return response


def dead_link(request: HttpRequest) -> HttpResponse:
    """The page for a link that opens nothing, whatever the reason (410)."""
    return render(request, "accounts/password_reset_dead_link.html", status=410)


def somebody_else_is_in(request: HttpRequest, person: User) -> bool:
    """Whether another one than the link's person is signed in in this browser."""
    return request.user.is_authenticated and request.user != person


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
        beside = somebody_else_is_in(request, user)
        resets.close_link(request.session)
        if beside:
            messages.info(request, OTHER_CLOSED)
        return redirect("password-reset-done")

    @classmethod
    def page(cls, request: HttpRequest, form: NewPasswordForm) -> HttpResponse:
        """The page is of whoever got the link: nobody else's name and menus stand around it."""
        context = {
            "form": form,
            "person": form.user,
            "somebody_else_is_in": somebody_else_is_in(request, form.user),
            "user": AnonymousUser(),
        }
        return render(request, "accounts/password_reset_new.html", context)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        return redirect("password-reset-new")


@public
class PasswordResetDone(TemplateView):
    template_name = "accounts/password_reset_done.html"
    extra_context = {"seconds": 15}
