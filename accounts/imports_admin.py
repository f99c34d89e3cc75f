"""The desk for the personnel file: send it, see the plan, apply it or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from . import security, uploaded_imports
from .desk import DeskAdmin, PeriodFilter, moment
from .http import UserRequest
from .models import DirectoryImport, SecurityEvent, User
from .uploaded_imports import LARGEST_UPLOAD, PERMISSION, Incoming, RefusedError, Status

MOST_MEGABYTES = LARGEST_UPLOAD // 1024**2
RUNNING = frozenset({Status.PLANNING, Status.APPLYING})


class FileField(forms.FileField):
    """One file; the upload handler has said what was wrong with it on the way."""

    widget = forms.FileInput(attrs={"accept": ".csv,.txt,text/csv,text/plain"})

    def clean(self, data: Incoming | None, initial: Any = None) -> Incoming:
        if data is None:
            raise ValidationError("Escolha o arquivo de pessoal.")
        if data.refusal:
            raise ValidationError(data.refusal)
        if not data.size:
            raise ValidationError("O arquivo está vazio. Confira o arquivo e escolha de novo.")
        return data


class UploadForm(forms.Form):
    file = FileField(
        label="Arquivo de pessoal",
        help_text=f"CSV do sistema de pessoal, com até {MOST_MEGABYTES} MB. Nada muda antes de você ver o plano.",
    )


class SentFilter(PeriodFilter):
    column = "uploaded_at"


class DirectoryImportAdmin(DeskAdmin):
    """Who imports, and the auditor, see all of them."""

    list_display = ("sent", "file_name", "sent_by", "state", "ended")
    list_display_links = ("sent", "file_name")
    list_filter = ("status", SentFilter)
    list_select_related = ("uploaded_by",)
    ordering = ("-pk",)
    sortable_by = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(request.user.has_perm(name) for name in (PERMISSION, "accounts.view_directoryimport"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    @admin.display(description="enviado em")
    def sent(self, one: DirectoryImport) -> str:
        return moment(one.uploaded_at)

    @admin.display(description="enviado por")
    def sent_by(self, one: DirectoryImport) -> str:
        return one.uploaded_by.display_name

    @admin.display(description="situação")
    def state(self, one: DirectoryImport) -> str:
        return one.get_status_display()

    @admin.display(description="concluído em")
    def ended(self, one: DirectoryImport) -> str:
        return moment(one.ended_at) if one.ended_at else "–"

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, tuple[str, Callable[..., HttpResponseBase]]] = {
            "andamento": ("progress", self.progress_view),
            "relatorio": ("report", self.report_view),
            "refazer": ("plan_again", self.plan_again_view),
            "aplicar": ("apply", self.apply_view),
            "descartar": ("discard", self.discard_view),
        }
        own = [
            path(f"<int:pk>/{word}/", self.admin_site.admin_view(view), name=f"accounts_directoryimport_{name}")
            for word, (name, view) in views.items()
        ]
        return [*own, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form, and its POST."""
        by = self._require(request)
        form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
        if form.is_valid():
            try:
                made = uploaded_imports.receive(form.cleaned_data["file"], by=by, request=request)
            except RefusedError as refusal:
                form.add_error("file", str(refusal))
            else:
                return redirect("admin:accounts_directoryimport_change", made.pk)
        context = {**self.admin_site.each_context(request), "title": "Enviar arquivo de pessoal", "opts": self.opts}
        return TemplateResponse(request, "admin/accounts/directoryimport/upload.html", {**context, "form": form})

    def plan_again_view(self, request: UserRequest, pk: int) -> HttpResponse:
        accepted = request.POST.getlist("accepted")
        return self._settle(
            request,
            pk,
            lambda seen: uploaded_imports.plan_again(pk, accepted, seen=seen),
            "O plano está sendo refeito.",
        )

    def apply_view(self, request: UserRequest, pk: int) -> HttpResponse:
        def have_applied(seen: str) -> None:
            confirmed = bool(request.POST.get("departures"))
            uploaded_imports.have_applied(pk, seen=seen, departures_confirmed=confirmed, by=request.user)

        return self._settle(request, pk, have_applied, "O arquivo está sendo aplicado.")

    def discard_view(self, request: UserRequest, pk: int) -> HttpResponse:
        def discard(seen: str) -> None:
            uploaded_imports.discard(pk, seen=seen, by=request.user, request=request)

        return self._settle(request, pk, discard, "O arquivo foi descartado. Nada mudou no cadastro.")

    def _settle(self, request: UserRequest, pk: int, deed: Callable[[str], None], done: str) -> HttpResponse:
        """Do what a button says about the plan that was on the page; who comes too late is told so."""
        self._require(request)
        get_object_or_404(DirectoryImport, pk=pk)
        if request.method != "POST":
            return redirect("admin:accounts_directoryimport_change", pk)
        try:
            deed(request.POST.get("seen", ""))
        except RefusedError as refusal:
            return self.page(request, pk, str(refusal))
        messages.success(request, done)
        return redirect("admin:accounts_directoryimport_change", pk)

    def progress_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """Asked by the page that is open, every few seconds."""
        one = self._seen(request, pk)
        return JsonResponse(
            {"running": one.status in RUNNING, "status": one.status, "told": uploaded_imports.progress_of(one)}
        )

    def report_view(self, request: UserRequest, pk: int) -> StreamingHttpResponse:
        """The refused and repaired lines, for whoever mends the file."""
        one = self._seen(request, pk)
        report = uploaded_imports.report_of(one)
        if request.method != "GET" or not report.is_file():
            raise Http404
        detail = f"Relatório do arquivo de pessoal {one.pk}"
        security.record(SecurityEvent.Kind.EXPORTED, actor=request.user, request=request, detail=detail)
        headers = {"Content-Disposition": f'attachment; filename="relatorio-{one.pk}.csv"'}
        return StreamingHttpResponse(_chunks(report), content_type="text/csv; charset=utf-8", headers=headers)

    def page(self, request: UserRequest, pk: int, refusal: str = "") -> HttpResponse:
        """What the file is, how far it is or what it would change, and the buttons for who may press them."""
        one = get_object_or_404(DirectoryImport.objects.select_related("uploaded_by", "decided_by"), pk=pk)
        is_running = one.status in RUNNING
        context = {
            **self.admin_site.each_context(request),
            "title": f"Arquivo de pessoal: {one.file_name}",
            "opts": self.opts,
            "one": one,
            "refusal": refusal,
            "is_running": is_running,
            "progress": uploaded_imports.progress_of(one) if is_running else "",
            "may_settle": one.status == Status.PLANNED and request.user.has_perm(PERMISSION),
            "has_report": one.plan != {} and uploaded_imports.report_of(one).is_file(),
        }
        status = 409 if refusal else 200
        return TemplateResponse(request, "admin/accounts/directoryimport/import.html", context, status=status)

    def _seen(self, request: UserRequest, pk: int) -> DirectoryImport:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(DirectoryImport, pk=pk)

    def _require(self, request: HttpRequest) -> User:
        """Whoever asks, if they may import. Raises PermissionDenied."""
        user = cast("UserRequest", request).user
        if not user.has_perm(PERMISSION):
            security.refused(PERMISSION, by=user)
            raise PermissionDenied
        return user


def _chunks(path: Path) -> Iterator[bytes]:
    """Opened once somebody reads."""
    with path.open("rb") as file:
        while chunk := file.read(65_536):
            yield chunk
