"""A draft, kept while somebody types and thrown away when they begin anew."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views import View

from accounts.http import UserRequest

from . import drafts, workflow
from .models import AccessRequest, Status
from .views import visible_request

ALREADY_SENT = "Este formulário já foi enviado ou é de outra pessoa."


def form_named(request: UserRequest) -> AccessRequest | None:
    """The request whose correction this is; None for a new request. Raises Http404."""
    protocol = request.POST.get("protocolo", "")
    return visible_request(request, protocol) if protocol else None


class DraftKeep(View):
    """Asked by the page itself (``draft.js``); the button without JavaScript posts to the form's own address."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("request-create")

    def post(self, request: UserRequest) -> HttpResponse:
        corrected = form_named(request)
        if corrected and not workflow.may(request.user, corrected, Status.PENDING):
            return JsonResponse({"error": ALREADY_SENT}, status=409)
        draft, too_long = drafts.keep(
            request.POST, by=request.user, form=corrected.protocol if corrected else drafts.NEW
        )
        if draft is None:
            return JsonResponse({"error": ALREADY_SENT}, status=409)
        return JsonResponse({"at": f"{timezone.localtime(draft.updated_at):%Hh%M}", "note": too_long})


class DraftDiscard(View):
    """*Começar de novo*: the draft goes, and the form is empty."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("request-create")

    def post(self, request: UserRequest) -> HttpResponse:
        corrected = form_named(request)
        drafts.discard(request.user, corrected.protocol if corrected else drafts.NEW)
        messages.success(request, "O rascunho foi apagado.")
        return redirect("request-correct", corrected.protocol) if corrected else redirect("request-create")
