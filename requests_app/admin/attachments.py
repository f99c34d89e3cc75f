"""The files of a request on the desk: read by who may see it, and a despacho added by who decides."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path

from accounts.desk import DeskAdmin
from accounts.http import UserRequest

from .. import attachments
from ..attachment_forms import DespachoForm
from ..models import AccessRequest
from . import decision, half_written, printing


def urls(desk: DeskAdmin) -> list[URLPattern]:
    """The addresses of files, of adding one, and of the page to print."""

    def despacho(request: UserRequest, pk: int) -> HttpResponse:
        return add(request, pk) if request.method == "POST" else desk.nothing_done(request, pk)

    views: dict[str, tuple[str, Callable[..., HttpResponse]]] = {
        "anexos/<int:number>": ("attachment", read),
        "despacho": ("despacho", despacho),
        "imprimir": ("print", printing.page),
    }
    return [
        path(f"<int:pk>/{route}/", desk.admin_site.admin_view(view), name=f"requests_app_accessrequest_{name}")
        for route, (name, view) in views.items()
    ]


def read(request: UserRequest, pk: int, number: int) -> HttpResponse:
    """One file, as a download; that it was opened is recorded."""
    if not request.user.has_perm("requests_app.view_accessrequest"):
        raise PermissionDenied
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    access_request = get_object_or_404(AccessRequest, pk=pk)
    attachment = get_object_or_404(attachments.on_the_desk(access_request, request.user), pk=number)
    if answer := attachments.answer(attachment, request, to=request.user):
        return answer
    messages.error(request, attachments.MISSING)
    return redirect("admin:requests_app_accessrequest_change", pk)


def add(request: UserRequest, pk: int) -> HttpResponse:
    """Keep a despacho. Errors are told on the request's page: a browser would forget the file in any case."""
    access_request = decision.to_act_on(request, pk)
    form = DespachoForm(request.POST, request.FILES)
    if refusal := attachments.why_no_despacho(request.user, access_request):
        messages.error(request, refusal)
    elif not form.is_valid():
        messages.error(request, " ".join(map(str, form.errors["despacho"])))
    else:
        _keep(request, access_request, form)
    half_written.keep(request, pk)
    return decision.to_screen(request, pk)


def _keep(request: UserRequest, access_request: AccessRequest, form: DespachoForm) -> None:
    try:
        kept = attachments.keep_despachos(form.cleaned_data["despacho"], access_request, by=request.user)
    except attachments.FileRefusedError as refusal:
        messages.error(request, str(refusal))
        return
    for despacho in kept:
        if despacho.is_double:
            named = f" com o nome “{despacho.other_name}”" if despacho.other_name else ""
            messages.warning(request, f"O arquivo “{despacho.name}” já está aqui{named}. Ele não foi guardado de novo.")
        else:
            messages.success(request, f"Despacho “{despacho.name}” guardado na solicitação {access_request.protocol}.")
