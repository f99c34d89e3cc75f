"""The page of the numbers: what is asked for in its address, the drawings, and the same figures as tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.http import UserRequest

from .. import charts, numbers
from ..models import ExternalSystem
from ..numbers import Numbers, Period

BETWEEN = "datas"
PERIODS = {"30": "Últimos 30 dias", "90": "Últimos 90 dias", "365": "Últimos 365 dias", BETWEEN: "Entre duas datas"}
DEFAULT_PERIOD = "30"
#: Days between two dates, at most: each week is a line of the table.
LONGEST = 731
DATE_FORMATS = ("%Y-%m-%d", "%d/%m/%Y")
INVALID_DATE = "Esta data não existe. Use dia, mês e ano, como 31/01/2026."


def _date_field(label: str) -> forms.DateField:
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "class": "vDateField"})
    return forms.DateField(
        label=label,
        required=False,
        widget=widget,
        input_formats=DATE_FORMATS,
        error_messages={"invalid": INVALID_DATE},
    )


class NumbersForm(forms.Form):
    """Which days, and which system. What is not in the address is as the page opens without any."""

    periodo = forms.ChoiceField(
        label="Período",
        choices=[*PERIODS.items()],
        required=False,
        error_messages={"invalid_choice": "Este período não existe. Escolha um da lista."},
    )
    de = _date_field("De")
    ate = _date_field("Até")
    sistema = forms.ModelChoiceField(
        ExternalSystem.objects.all(),
        label="Sistema",
        required=False,
        empty_label=numbers.ALL_SYSTEMS,
        error_messages={"invalid_choice": "Este sistema não existe. Escolha um da lista."},
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors or cleaned.get("periodo") != BETWEEN:
            return cleaned
        first, last = cleaned.get("de"), cleaned.get("ate")
        if first is None or last is None:
            raise ValidationError("Para ver entre duas datas, escolha as duas.")
        if last > timezone.localdate():
            self.add_error("ate", "Escolha uma data até hoje.")
        elif first > last:
            self.add_error("de", "A primeira data não pode ser depois da última.")
        elif (last - first).days >= LONGEST:
            self.add_error("de", "Escolha no máximo dois anos.")
        return cleaned

    @property
    def period(self) -> Period:
        if self.cleaned_data["periodo"] == BETWEEN:
            return Period(self.cleaned_data["de"], self.cleaned_data["ate"])
        today = timezone.localdate()
        days = int(self.cleaned_data["periodo"] or DEFAULT_PERIOD)
        return Period(today - timedelta(days=days - 1), today)


@require_safe
def page(request: UserRequest) -> HttpResponse:
    """The figures of what the address asks for; or what is wrong with it, and none."""
    if not request.user.has_perm("requests_app.view_accessrequest"):
        raise PermissionDenied
    form = NumbersForm({"periodo": DEFAULT_PERIOD, **request.GET.dict()})
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Números",
        "form": form,
        "parts": [],
        "period": None,
        "made_at": timezone.now(),
    }
    if form.is_valid():
        system = form.cleaned_data["sistema"]
        found = numbers.of(form.period, system)
        context |= {
            "period": form.period,
            "system": system.name if system else numbers.ALL_SYSTEMS,
            "parts": parts(found),
        }
    return TemplateResponse(request, "admin/requests_app/numbers/page.html", context)


Table = tuple[list[str], list[tuple[str, tuple[int, ...]]]]


def _part(heading: str, meaning: str, table: Table, chart: charts.Chart | None, nothing: str) -> dict[str, Any]:
    """One section of the page. ``chart`` None: there is nothing to draw, and ``nothing`` says so."""
    columns, lines = table
    return {
        "heading": heading,
        "meaning": meaning,
        "columns": columns,
        "lines": lines,
        "chart": chart,
        "nothing": nothing,
    }


def parts(found: Numbers) -> list[dict[str, Any]]:
    return [_ages(found), _weeks(found), *_steps(found), _reasons(found), _mails(found)]


def _ages(found: Numbers) -> dict[str, Any]:
    legend = ["Aguardando decisão", "Com quem pediu", "Aguardando registro"]
    lines = [(row.label, row.figures) for row in found.ages]
    title = "Solicitações abertas agora, por idade"
    said = _sentence([(row.label, row.total) for row in found.ages])
    chart = charts.rows("ages", title, said, lines, legend)
    return _part(
        title,
        "Todas as que ainda não terminaram, seja qual for o período. A idade é contada em dias úteis, do dia do pedido "
        "até hoje.",
        (["Idade", *legend, "Total"], [(row.label, (*row.figures, row.total)) for row in found.ages]),
        chart if any(row.total for row in found.ages) else None,
        "Nenhuma solicitação está aberta.",
    )


def _weeks(found: Numbers) -> dict[str, Any]:
    legend = ["Aprovadas", "Indeferidas", "Devolvidas"]
    total = sum(row.total for row in found.weeks)
    title = "Decisões por semana"
    said = f"{total} no período, em {len(found.weeks)} semanas."
    chart = charts.columns("weeks", title, said, [(row.label[:5], row.figures) for row in found.weeks], legend)
    return _part(
        title,
        "Cada aprovação, indeferimento ou devolução conta na semana em que foi feita. A semana começa na segunda. "
        "A primeira e a última podem estar incompletas.",
        (["Semana de", *legend, "Total"], [(row.label, (*row.figures, row.total)) for row in found.weeks]),
        chart if total else None,
        "Nada foi decidido neste período.",
    )


def _steps(found: Numbers) -> list[dict[str, Any]]:
    made = []
    for number, (step, spreads) in enumerate(found.steps):
        title = f"Tempo em dias úteis: {step.label.lower()}"
        lines = [(spread.system, spread.median, spread.p90) for spread in spreads]
        said = "; ".join(f"{name}: mediana {median}, nove em cada dez {p90}" for name, median, p90 in lines)
        legend = ["Mediana", "Até nove em cada dez"]
        made.append(
            _part(
                title,
                f"{step.meaning} Conta o que terminou no período. Zero é no mesmo dia. Mediana: metade levou até isso.",
                (
                    ["Sistema", "Quantas vezes", "Mediana", "Nove em cada dez"],
                    [(spread.system, (spread.count, spread.median, spread.p90)) for spread in spreads],
                ),
                charts.ranges(f"step-{number}", title, f"{said}.", lines, legend) if spreads else None,
                "Nada terminou nesta etapa, neste período.",
            )
        )
    return made


def _reasons(found: Numbers) -> dict[str, Any]:
    legend = ["Indeferidas", "Devolvidas"]
    lines = [(row.label, row.figures) for row in found.reasons]
    title = "Motivos de indeferimento e de devolução"
    said = _sentence([(row.label, row.total) for row in found.reasons])
    return _part(
        title,
        "O modelo de motivo usado em cada decisão do período. O que foi escrito sem modelo está em “Outro”.",
        (["Motivo", *legend, "Total"], [(row.label, (*row.figures, row.total)) for row in found.reasons]),
        charts.rows("reasons", title, said, lines, legend) if lines else None,
        "Nada foi indeferido nem devolvido neste período.",
    )


def _mails(found: Numbers) -> dict[str, Any]:
    lines = [(row.label, row.figures) for row in found.mails]
    title = "E-mails não entregues"
    said = _sentence([(row.label, row.total) for row in found.mails])
    return _part(
        title,
        "Mensagens criadas no período que falharam e ainda esperam por alguém. São de todos os sistemas.",
        (["Mensagem", "Não entregues"], lines),
        charts.rows("mails", title, said, lines) if lines else None,
        "Nenhuma mensagem deste período falhou.",
    )


def _sentence(figures: list[tuple[str, int]]) -> str:
    """For who hears the drawing: what each bar stands for."""
    return "; ".join(f"{label}: {figure}" for label, figure in figures) + "."
