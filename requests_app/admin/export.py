"""What the list of requests shows, as a file that a spreadsheet opens: CSV as Excel in Brazil reads it."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from accounts import cpf, names, security, throttle
from accounts.desk import DeskAdmin, moment
from accounts.http import UserRequest
from accounts.models import SecurityEvent
from accounts.spreadsheets import harmless

from ..models import AccessRequest, Status
from .bulk import counted
from .filters import FilterForm, find

log = logging.getLogger(__name__)

LIST = "admin:requests_app_accessrequest_changelist"
#: Excel takes the file for UTF-8 by this, and for a table by the semicolon (the comma is the decimal sign here).
BYTE_ORDER_MARK, SEPARATOR = "\ufeff", ";"
#: Rows that are in memory at a time.
CHUNK = 2000
NOT_WHOLE = "Nada foi exportado: a lista não mostra tudo o que esta busca acha."
#: The last line says that the file is whole: one that was cut off on its way has none.
WHOLE, BROKEN = "Fim do arquivo", "ARQUIVO INCOMPLETO: houve um erro. Exporte de novo."

Row = dict[str, Any]


def person(row: Row, name: str) -> str:
    """As everywhere: the social name, where there is one (Res. CNJ 270/2018)."""
    return names.display(row[f"{name}__social_name"] or row[f"{name}__name"] or "")


def called(row: Row, name: str) -> str:
    """As ``AccessRequest.requester_called``: as it was filed, unless somebody has a social name now."""
    as_filed: str = row[f"{name}_name"]
    social_name: str = row[f"{name}__social_name"]
    return names.display(social_name) if social_name else as_filed


def at(row: Row, name: str) -> str:
    moment_or_day: datetime | date | None = row[name]
    if moment_or_day is None:
        return ""
    return moment(moment_or_day) if isinstance(moment_or_day, datetime) else f"{moment_or_day:%d/%m/%Y}"


def unit(row: Row) -> str:
    return " – ".join(filter(None, (row["unit__name"], row["unit__comarca"])))


#: What stands above each column, and what in it.
COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("Protocolo", lambda row: row["protocol"]),
    ("Pedida em", lambda row: at(row, "created_at")),
    ("Situação", lambda row: Status(row["status"]).label),
    ("Sistema", lambda row: row["user_type__system__name"]),
    ("Tipo de usuário", lambda row: row["user_type__name"]),
    ("Unidade do acesso", unit),
    ("Para quem", lambda row: called(row, "beneficiary")),
    ("CPF", lambda row: cpf.masked(row["beneficiary__cpf"])),
    ("Matrícula", lambda row: row["beneficiary_matricula"]),
    ("Cargo", lambda row: row["beneficiary_cargo"]),
    ("Lotação", lambda row: row["beneficiary_lotacao"]),
    ("Quem pediu", lambda row: called(row, "requester")),
    ("Cargo de quem pediu", lambda row: row["requester_cargo"]),
    ("Lotação de quem pediu", lambda row: row["requester_lotacao"]),
    ("Em análise por", lambda row: person(row, "holder")),
    ("Corrigir até", lambda row: at(row, "correct_by")),
    ("Decidida em", lambda row: at(row, "decided_at")),
    ("Decidida por", lambda row: person(row, "decided_by")),
)
FIELDS = (
    *("pk", "protocol", "created_at", "status", "user_type__system__name", "user_type__name"),
    *("unit__name", "unit__comarca", "beneficiary_name", "beneficiary__social_name", "beneficiary__cpf"),
    *("beneficiary_matricula", "beneficiary_cargo", "beneficiary_lotacao"),
    *("requester_name", "requester__social_name", "requester_cargo", "requester_lotacao"),
    *("holder__social_name", "holder__name", "correct_by", "decided_at", "decided_by__social_name", "decided_by__name"),
)


def urls(desk: DeskAdmin) -> list[URLPattern]:
    """The address beside the list."""

    def view(request: UserRequest) -> HttpResponseBase:
        return export(desk, request)

    return [path("exportar/", desk.admin_site.admin_view(view), name="requests_app_accessrequest_export")]


def export(desk: DeskAdmin, request: UserRequest) -> HttpResponseBase:
    """The list that stands at the same address, from its first to its last row; recorded before anything goes out."""
    if request.method in {"GET", "HEAD"}:
        messages.warning(request, "Nada foi exportado. Use o botão da lista.")
        return redirect(reverse(LIST, query=request.GET))
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not (desk.has_view_permission(request) and request.user.has_perm("requests_app.export")):
        raise PermissionDenied
    if wait := throttle.take(throttle.STAFF_ACTS, str(request.user.pk), request, by=request.user):
        messages.error(request, throttle.sentence(wait))
        return redirect(reverse(LIST, query=request.GET))
    if find(AccessRequest.objects.none(), request.GET.get(SEARCH_VAR, ""))[1]:
        messages.error(request, NOT_WHOLE)
        return redirect(reverse(LIST, query=request.GET))  # which says what to do
    try:
        changelist = desk.get_changelist_instance(request)
    except IncorrectLookupParameters:
        messages.error(
            request, "Nada foi exportado: um dos filtros do endereço não existe. Escolha os filtros na lista."
        )
        return redirect(LIST)
    requests: QuerySet[AccessRequest] = changelist.queryset
    filters = in_words(vars(changelist)["panel"], searched=bool(changelist.query))
    detail = f"Solicitações: {requests.order_by().count()}. {filters}"
    security.record(SecurityEvent.Kind.EXPORTED, actor=request.user, request=request, detail=detail)
    name = f"solicitacoes-{timezone.localdate():%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines(requests), content_type="text/csv; charset=utf-8", headers=headers)


def in_words(panel: FilterForm, *, searched: bool) -> str:
    """The filters that were set, for the record. No names: neither of a holder, nor what was searched for."""
    chosen = panel.in_use
    if panel.cleaned_data.get("com", "").isdigit():  # the key of a person
        label = panel.fields["com"].label
        chosen = [f"{label}: uma pessoa" if words.startswith(f"{label}:") else words for words in chosen]
    return "; ".join([*chosen, *(["com busca"] if searched else [])])


def lines(requests: QuerySet[AccessRequest]) -> Iterator[str]:
    """The file, piece by piece. A fault on the way is written into it and cuts the download off."""
    count = 0
    yield BYTE_ORDER_MARK + written([[header for header, _cell in COLUMNS]])
    try:
        for rows in chunks(requests):
            yield written([cell(row) for _header, cell in COLUMNS] for row in rows)
            count += len(rows)
    except Exception:
        log.exception("An export broke off after %s requests", count)
        yield written([[BROKEN]])
        raise
    yield written([[WHOLE, counted(count)]])


def chunks(requests: QuerySet[AccessRequest]) -> Iterator[list[Row]]:
    """The rows by their keys, some at a time.

    Not ``iterator()``: its cursor would hold a copy of the whole list in the database for as long as the slowest
    download takes, and no connection pooler that lends by transaction has it.
    """
    requests, last = requests.order_by("pk"), 0
    while rows := list(requests.filter(pk__gt=last).values(*FIELDS)[:CHUNK]):
        yield rows
        last = rows[-1]["pk"]


def written(rows: Iterable[Iterable[str]]) -> str:
    """Lines of CSV. What a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=SEPARATOR, lineterminator="\r\n")
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()
