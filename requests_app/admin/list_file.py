"""A list of the desk as a file that a spreadsheet opens: CSV as Excel in Brazil reads it."""

from __future__ import annotations

import csv
import io
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from accounts import names, security, throttle
from accounts.desk import DeskAdmin, moment
from accounts.http import UserRequest
from accounts.models import SecurityEvent
from accounts.spreadsheets import harmless, uncut

log = logging.getLogger(__name__)

#: Excel takes the file for UTF-8 by this, and for a table by the semicolon (the comma is the decimal sign here).
BYTE_ORDER_MARK, SEPARATOR = "\ufeff", ";"
#: Rows that are in memory at a time.
CHUNK = 2000
NOT_WHOLE = "Nada foi exportado: a lista não mostra tudo o que esta busca acha."
NO_SUCH_FILTER = "Nada foi exportado: um dos filtros do endereço não existe. Escolha os filtros na lista."
#: The last line says that the file is whole: one that was cut off on its way has none.
WHOLE, BROKEN = "Fim do arquivo", "ARQUIVO INCOMPLETO: houve um erro. Exporte de novo."

Row = dict[str, Any]
#: What stands above each column, and what in it.
Columns = tuple[tuple[str, Callable[[Row], str]], ...]


# --- What stands in a cell -------------------------------------------------------------------------------------------
def person(row: Row, name: str) -> str:
    """As everywhere: the social name, where there is one (Res. CNJ 270/2018)."""
    return names.display(row[f"{name}__social_name"] or row[f"{name}__name"] or "")


def at(row: Row, name: str) -> str:
    moment_or_day: datetime | date | None = row[name]
    if moment_or_day is None:
        return ""
    return moment(moment_or_day) if isinstance(moment_or_day, datetime) else f"{moment_or_day:%d/%m/%Y}"


def unit(row: Row) -> str:
    return " – ".join(filter(None, (row["unit__name"], row["unit__comarca"])))


# --- The file --------------------------------------------------------------------------------------------------------
class ListFile(ABC):
    """The list of one desk as a file, and the address beside the list that gives it."""

    #: What is listed, and what the file is called.
    title: ClassVar[str]
    name: ClassVar[str]
    columns: ClassVar[Columns]
    #: What the columns read.
    fields: ClassVar[tuple[str, ...]]

    def __init__(self, desk: DeskAdmin) -> None:
        self.desk = desk
        self.model_name = desk.opts.model_name
        self.list = f"admin:requests_app_{self.model_name}_changelist"

    @abstractmethod
    def leaves_out(self, typed: str) -> bool:
        """Whether the list shows only a part of what is searched for."""

    @abstractmethod
    def chosen(self, panel: Any) -> list[str]:
        """The filters that were set, in words. No names: neither of a holder, nor of whom the list is about."""

    @abstractmethod
    def counted(self, number: int) -> str:
        """How many rows, as people count them."""

    def without_person(self, panel: Any, *fields: str) -> list[str]:
        """What was chosen, in words; of somebody whose key stands in one of these fields, not who it is."""
        words: list[str] = panel.in_use
        for name in fields:
            if panel.cleaned_data.get(name, "").isdigit():
                label = panel.fields[name].label
                words = [f"{label}: uma pessoa" if one.startswith(f"{label}:") else one for one in words]
        return words

    def urls(self) -> list[URLPattern]:
        def view(request: UserRequest) -> HttpResponseBase:
            return self.export(request)

        name = f"requests_app_{self.model_name}_export"
        return [path("exportar/", self.desk.admin_site.admin_view(view), name=name)]

    def export(self, request: UserRequest) -> HttpResponseBase:
        """The list that stands at the same address, first row to last; recorded before anything goes out."""
        the_list = reverse(self.list, query=request.GET)
        if request.method in {"GET", "HEAD"}:
            messages.warning(request, "Nada foi exportado. Use o botão da lista.")
            return redirect(the_list)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.desk.has_view_permission(request) and request.user.has_perm("requests_app.export")):
            raise PermissionDenied
        if wait := throttle.take(throttle.STAFF_ACTS, str(request.user.pk), request, by=request.user):
            messages.error(request, throttle.sentence(wait))
            return redirect(the_list)
        if self.leaves_out(request.GET.get(SEARCH_VAR, "")):
            messages.error(request, NOT_WHOLE)
            return redirect(the_list)  # which says what to do
        try:
            changelist = self.desk.get_changelist_instance(request)
        except IncorrectLookupParameters:
            messages.error(request, NO_SUCH_FILTER)
            return redirect(self.list)
        rows: QuerySet[Any] = changelist.queryset
        filters = [*self.chosen(vars(changelist)["panel"]), *(["com busca"] if changelist.query else [])]
        detail = f"{self.title}: {rows.order_by().count()}. {'; '.join(filters)}".strip()
        security.record(SecurityEvent.Kind.EXPORTED, actor=request.user, request=request, detail=detail)
        name = f"{self.name}-{timezone.localdate():%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(self.lines(rows), content_type="text/csv; charset=utf-8", headers=headers)

    def lines(self, rows: QuerySet[Any]) -> Iterator[str]:
        """The file, piece by piece. A fault on the way is written into it and cuts the download off."""
        count = 0
        yield BYTE_ORDER_MARK + written([[header for header, _cell in self.columns]])
        try:
            for chunk in self.chunks(rows):
                yield written([cell(row) for _header, cell in self.columns] for row in chunk)
                count += len(chunk)
        except Exception:
            log.exception("An export broke off after %s rows", count)
            yield written([[BROKEN]])
            raise
        yield written([[WHOLE, self.counted(count), *[""] * (len(self.columns) - 2)]])

    def chunks(self, rows: QuerySet[Any]) -> Iterator[list[Row]]:
        """The rows by their keys, some at a time.

        Not ``iterator()``: its cursor would hold a copy of the whole list in the database for as long as the slowest
        download takes, and no connection pooler that lends by transaction has it.
        """
        rows, last = rows.order_by("pk"), 0
        while chunk := list(rows.filter(pk__gt=last).values("pk", *self.fields)[:CHUNK]):
            yield chunk
            last = chunk[-1]["pk"]


def written(rows: Iterable[Iterable[str]]) -> str:
    """Lines of CSV. An apostrophe stands before what a spreadsheet would take for a formula or would cut down."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=SEPARATOR, lineterminator="\r\n")
    writer.writerows([uncut(harmless(cell)) for cell in row] for row in rows)
    return text.getvalue()
