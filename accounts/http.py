"""What stands between the web and the views: whom a request comes from, and what every page knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from . import correlation

if TYPE_CHECKING:
    from .models import User

NOT_SENT = "A sua sessão terminou. O que você enviou não foi gravado. Entre de novo e repita o envio."
KEPT = "A sua sessão terminou. O que você digitou ficou guardado como rascunho. Entre de novo para continuar."
STALE = "A página ficou aberta por muito tempo. Confira o que digitou e envie de novo."

REQUEST_ID = re.compile(r"[0-9a-f]{32}")

GetResponse = Callable[[HttpRequest], HttpResponse]


class UserRequest(HttpRequest):
    """A request whose user is signed in."""

    user: User


@lru_cache
def _parsed_networks(networks: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(ip_network(network) for network in networks)


def _parsed(address: str) -> IPv4Address | IPv6Address:
    """Without the interface of a link-local address; an IPv4 address seen by an IPv6 socket is an IPv4 address."""
    parsed = ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether the address is in one of the networks; what is no address is in none."""
    try:
        return any(_parsed(address) in network for network in _parsed_networks(tuple(networks)))
    except ValueError:
        return False


def _is_trusted(address: str) -> bool:
    return is_within(address, settings.TRUSTED_PROXIES)


def client_address(request: HttpRequest) -> str | None:
    """The address that a request comes from, None where it has none (a unix socket).

    ``X-Forwarded-For`` is read from the right and only as far as the proxies are ours: what a client adds on the left
    changes nothing (ASVS 5.0 4.1.3).
    """
    address = request.META.get("REMOTE_ADDR", "")
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    while hops and _is_trusted(address):
        address = hops.pop()
    try:
        return str(_parsed(address))
    except ValueError:
        return None


def device_of(request: HttpRequest) -> str:
    """What the browser calls itself, cut to what the column holds."""
    return "".join(char for char in request.META.get("HTTP_USER_AGENT", "") if char.isprintable())[:200]


def wanted(request: HttpRequest) -> str:
    """The page of ours that the person was on the way to (``next``); nothing where there is none."""
    asked = request.POST.get("next", request.GET.get("next", ""))
    is_ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # ``redirect`` would take any other word for the name of a view.
    return asked if is_ours and asked.startswith(("/", "http://", "https://")) else ""


def allow_captcha(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a page with the captcha load Google's parts, where Google's captcha is the one in use."""

    @wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> HttpResponse:
        response = view(*args, **kwargs)
        if settings.RECAPTCHA_PUBLIC_KEY and settings.RECAPTCHA_PRIVATE_KEY:
            google = f"https://{settings.RECAPTCHA_DOMAIN}"
            vars(response)["_csp_update"] = {
                "script-src": [google, "https://www.gstatic.com"],
                "frame-src": [google],
                "connect-src": [google],
            }
        return response

    return wrapped


class TrustedProxyMiddleware:
    """Believe ``X-Forwarded-Proto`` from our proxies and from nobody else."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forwarded = request.META.pop("HTTP_X_FORWARDED_PROTO", "")
        if forwarded and _is_trusted(request.META.get("REMOTE_ADDR", "")):
            request.META["wsgi.url_scheme"] = "https" if forwarded.strip().lower() == "https" else "http"
        return self.get_response(request)


#: What no page of the portal needs, and no script that slips into one shall have.
PERMISSIONS = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
#: On every answer; what Django and django-csp know how to send is in the settings.
ANSWER_HEADERS = {
    "Permissions-Policy": ", ".join(f"{name}=()" for name in PERMISSIONS),
    "Cross-Origin-Resource-Policy": "same-origin",
    # Django's own, where its middleware had no chance: a request that it refused.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class AnswerHeadersMiddleware:
    """Stands outside everything else, so that files, redirects and errors carry them too (ASVS 5.0 3.4)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in ANSWER_HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class RequestIdMiddleware:
    """Give each request a mark for the logs: the proxy's, where it is ours, else a new one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        known = _is_trusted(request.META.get("REMOTE_ADDR", "")) and REQUEST_ID.fullmatch(given)
        request_id = given if known else correlation.new()
        request.META["REQUEST_ID"] = request_id
        with correlation.of(request_id):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class SignInFirstMiddleware(LoginRequiredMiddleware):
    """Leads strangers to the door; whoever sent something is told there that it was not taken.

    A view that can keep it for the person whose form it was has ``keep_unsent``.
    """

    #: Posted by a page that is open, and not by the person.
    BY_ITSELF = frozenset({"session-use", "draft"})

    def handle_no_permission(self, request: HttpRequest, view_func: Callable[..., Any]) -> HttpResponseRedirect:
        name = request.resolver_match.url_name if request.resolver_match else ""
        if request.method == "POST" and name not in self.BY_ITSELF:
            keep = getattr(getattr(view_func, "view_class", None), "keep_unsent", None)
            messages.warning(request, KEPT if keep is not None and keep(request) else NOT_SENT)
        return super().handle_no_permission(request, view_func)


class PasswordChangeRequiredMiddleware:
    """Who came in with a provisional password chooses one before anything else."""

    ALLOWED = frozenset(
        {
            "password-change",
            "session-use",
            "logout",
            "guidance",
            "privacy",
            "health-live",
            "health-ready",
            "health-status",
            "metrics",
            # Whoever lost the provisional one on the way chooses by a link instead.
            "password-reset",
            "password-reset-sent",
            "password-reset-link",
            "password-reset-link-cut",
            "password-reset-new",
            "password-reset-done",
        }
    )

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated and request.user.must_change_password:
            try:
                name = resolve(request.path_info).url_name
            except Resolver404:
                name = None
            if name not in self.ALLOWED:
                return redirect("password-change")
        return self.get_response(request)


class NoStoreMiddleware:
    """Pages hold personal data: no cache keeps them, the browser's after signing out included (ASVS 5.0 14.3.2)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "Cache-Control" not in response:
            add_never_cache_headers(response)
        return response


def portal_context(request: HttpRequest) -> dict[str, Any]:
    """What the base template shows on every page."""
    from .models import HelpDesk

    return {"PORTAL_DEMO": settings.PORTAL_DEMO, "STAFF_MFA": settings.STAFF_MFA, "help_desk": HelpDesk.current}


@login_not_required
@sensitive_post_parameters()
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form was open too long, or its cookie is gone: show it again with what was typed, where the view can.

    A view that can has ``show_again``; it is asked only about a form that was made for the same person.
    """
    view_class = getattr(getattr(request.resolver_match, "func", None), "view_class", None)
    if show_again := getattr(view_class, "show_again", None):
        response: HttpResponse | None = show_again(request)
        if response is not None:
            return response
    can_be_opened = request.resolver_match and (view_class is None or hasattr(view_class, "get"))
    back = request.path if can_be_opened else reverse("home")
    return render(request, "403_csrf.html", {"back": back}, status=403)
