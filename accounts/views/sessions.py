"""Where one is signed in, and how to end that elsewhere (ASVS 5.0 7.5.2)."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from .. import devices, sessions
from ..http import STALE, UserRequest


class SessionList(View):
    """One's own, this one marked."""

    def get(self, request: UserRequest) -> HttpResponse:
        rows = [
            {"session": row, "browser": devices.kind(row.device), "is_this": sessions.is_of(row, request.session)}
            for row in sessions.of(request.user)
        ]
        limits = {"idle_minutes": settings.SESSION_IDLE_MINUTES, "hours": settings.SESSION_COOKIE_AGE // 3600}
        return render(request, "accounts/sessions.html", {"rows": rows, **limits})


class SessionPost(View):
    """An address for the buttons of the list: opened, or posted from an old page, it leads back there."""

    def get(self, request: UserRequest, **_kwargs: UUID) -> HttpResponse:
        return redirect("sessions")

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse:
        messages.warning(request, STALE)
        return redirect("sessions")


class SessionEnd(SessionPost):
    """One of one's own, by the mark in the list."""

    def post(self, request: UserRequest, mark: UUID) -> HttpResponse:
        row = get_object_or_404(sessions.of(request.user), mark=mark)
        if sessions.is_of(row, request.session):
            messages.info(request, "Esta é a sessão que você está usando. Para encerrá-la, use o botão “Sair”.")
        else:
            sessions.end(row, by=request.user, request=request)
            messages.success(request, "Sessão encerrada.")
        return redirect("sessions")


class SessionEndOthers(SessionPost):
    """All of one's own, but the one that asks."""

    def post(self, request: UserRequest) -> HttpResponse:
        ended = sessions.end_all(request.user, but=request.session, by=request.user, request=request)
        if ended:
            messages.success(request, "1 sessão encerrada." if ended == 1 else f"{ended} sessões encerradas.")
        else:
            messages.info(request, "Não há outra sessão aberta.")
        return redirect("sessions")


class SessionUse(View):
    """Told by pages on which somebody types; ``SessionUseMiddleware`` has noted it by now."""

    http_method_names = ("post",)

    def post(self, request: UserRequest) -> HttpResponse:
        return HttpResponse(status=204)
