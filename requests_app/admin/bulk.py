"""Many requests decided at once: choose on the list, confirm on one page, read the outcomes on another."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.desk import DeskAdmin, is_key
from accounts.http import UserRequest

from ..batch_forms import DECISIONS, NOTHING_CHOSEN, TOO_MANY, BatchForm, written
from ..models import MOST_AT_ONCE, AccessRequest, Batch, ExternalSystem, Status
from ..workflow import batches, rules
from .filters import KEPT, list_url

#: So many of those that were chosen stand on the page that asks for the decision.
MOST_SHOWN = 50
LIST = "admin:requests_app_accessrequest_changelist"
#: What became of those that were moved.
DONE = {Status.APPROVED: "Aprovadas", Status.RETURNED: "Devolvidas", Status.REJECTED: "Indeferidas"}


def urls(desk: DeskAdmin) -> list[URLPattern]:
    """The addresses beside the list."""
    view, name = desk.admin_site.admin_view, "requests_app_accessrequest_batch"
    return [
        path("lote/", view(new), name=f"{name}_new"),
        path("lote/<int:pk>/", view(batch_page), name=name),
        path("lote/<int:pk>/continuar/", view(go_on), name=f"{name}_go_on"),
    ]


# --- Chosen on the list ----------------------------------------------------------------------------------------------
@admin.action(description="Aprovar", permissions=["decide"])
def approve_many(_admin: Any, request: UserRequest, chosen: QuerySet[AccessRequest]) -> HttpResponse | None:
    return ask(request, Status.APPROVED, chosen)


@admin.action(description="Devolver para correção", permissions=["decide"])
def return_many(_admin: Any, request: UserRequest, chosen: QuerySet[AccessRequest]) -> HttpResponse | None:
    return ask(request, Status.RETURNED, chosen)


@admin.action(description="Indeferir", permissions=["decide"])
def reject_many(_admin: Any, request: UserRequest, chosen: QuerySet[AccessRequest]) -> HttpResponse | None:
    return ask(request, Status.REJECTED, chosen)


ACTIONS = (approve_many, return_many, reject_many)


def may_decide(request: HttpRequest) -> bool:
    """Whether the lists offer decisions at all; each request is asked about again when it is moved."""
    return rules.is_analyst(cast("UserRequest", request).user)


def why_not(request: HttpRequest) -> str:
    """Why these lines of a list cannot be chosen, before the database is asked for them; nothing where they can."""
    keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
    if len(keys) > MOST_AT_ONCE:
        return TOO_MANY
    return "" if all(map(is_key, keys)) else NOTHING_CHOSEN


def ask(request: UserRequest, to: Status, chosen: QuerySet[AccessRequest]) -> HttpResponse | None:
    """The page that says what was chosen and asks for the reason. None, with a sentence, where it is too much.

    Lines that were marked stand on it even if the list's filter has let go of them meanwhile: their outcome says so.
    """
    if request.POST.get("select_across") != "1":
        chosen = AccessRequest.objects.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
    keys = list(chosen.order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if refusal := TOO_MANY if len(keys) > MOST_AT_ONCE else "" if keys else NOTHING_CHOSEN:
        messages.error(request, refusal)
        return None
    # The steps are looked up before the requests: what changes in between is refused, not overlooked.
    values = {"to": to.value, "chosen": written(batches.seen_of(keys))}
    return confirm_page(request, BatchForm(initial=values, user=request.user), request.GET.urlencode())


def confirm_page(request: UserRequest, form: BatchForm, filters: str) -> HttpResponse:
    """``filters``: of the list, as they stand in its address."""
    to = Status(str(form["to"].value()))
    by_hand = ExternalSystem.Credential.OPERATOR
    refusals = {chosen.pk: batches.why_refused(chosen, to, request.user) for chosen in form.requests}
    # What will be refused comes first: of many, the page shows only some.
    lines = sorted(form.requests, key=lambda chosen: not refusals[chosen.pk])
    can_be_decided = sum(not refusal for refusal in refusals.values())
    context = {
        **admin.site.each_context(request),
        "title": f"{DECISIONS[to]} {counted(len(form.requests))}",
        "opts": AccessRequest._meta,
        "decision": DECISIONS[to],
        "form": form,
        "shown": [(chosen, refusals[chosen.pk], with_whom(chosen, request)) for chosen in lines[:MOST_SHOWN]],
        "more": len(lines[MOST_SHOWN:]),
        "chosen": len(lines),
        "refused": len(lines) - can_be_decided,
        "can_be_decided": can_be_decided,
        "button": f"{DECISIONS[to]} {counted(can_be_decided)}",
        "own": sum(chosen.is_of(request.user) for chosen in form.requests),
        "by_hand": to == Status.APPROVED and any(chosen.system.credential == by_hand for chosen in form.requests),
        "back": reverse(LIST, query=QueryDict(filters)),
        "kept": kept(filters),
        "post_to": place("batch_new", filters),
    }
    return TemplateResponse(request, "admin/requests_app/batch/confirm.html", context)


def with_whom(chosen: AccessRequest, request: UserRequest) -> str:
    """Whose hands it is in, if in a colleague's: that keeps nobody from deciding, but it is good to know."""
    return chosen.holder.display_name if chosen.holder and chosen.holder != request.user else ""


def kept(filters: str) -> str:
    """What the address of a page carries that knows the way back to the list as it was left."""
    return f"?{urlencode({KEPT: filters})}" if filters else ""


def place(name: str, filters: str, *args: int) -> str:
    return reverse(f"admin:requests_app_accessrequest_{name}", args=args) + kept(filters)


def counted(number: int) -> str:
    """``3 solicitações``, as people count them."""
    return "1 solicitação" if number == 1 else f"{number} solicitações"


# --- Decided ---------------------------------------------------------------------------------------------------------
def new(request: UserRequest) -> HttpResponse:
    """Decide what the page showed. The same page sent again, or eight times at once, decides nothing twice."""
    if request.method != "POST":
        return nothing_decided(request)
    if not may_decide(request):
        raise PermissionDenied
    form, filters = BatchForm(request.POST, user=request.user), request.GET.get(KEPT, "")
    if form.is_valid():
        sent = form.cleaned_data
        seen = sent["chosen"]
        batch = batches.begin(
            sent["nonce"], Status(sent["to"]), seen, by=request.user, note=sent["note"], reason=sent["reason"]
        )
        batches.run(batch, seen)
        return redirect(place("batch", filters, batch.pk))
    if form.requests:
        return confirm_page(request, form, filters)
    messages.error(request, form.hidden_errors[0])
    return redirect(list_url(request))


def go_on(request: UserRequest, pk: int) -> HttpResponse:
    """Decide what a batch has left; only who began it may."""
    page = place("batch", request.GET.get(KEPT, ""), pk)
    if request.method in {"GET", "HEAD"}:
        return redirect(page)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    batch = get_object_or_404(Batch.objects.select_related("by", "reason"), pk=pk)
    if batch.by_id != request.user.pk or not may_decide(request):
        raise PermissionDenied
    batches.run(batch)
    return redirect(page)


def nothing_decided(request: UserRequest) -> HttpResponse:
    """For who comes by GET, as after signing in again: back to the list."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["POST"])
    messages.warning(request, "Nada foi decidido. Escolha as solicitações na lista.")
    return redirect(list_url(request))


def batch_page(request: UserRequest, pk: int) -> HttpResponse:
    """What came of each request: the refusals first, then what is left, then what was done."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET"])
    if not request.user.has_perm("requests_app.view_accessrequest"):
        raise PermissionDenied
    batch = get_object_or_404(Batch.objects.select_related("by", "reason"), pk=pk)
    related = ("request__user_type__system", "request__beneficiary")
    outcomes = list(batch.outcomes.select_related(*related).order_by("request_id"))
    left = [outcome for outcome in outcomes if outcome.refusal == batches.NOT_YET]
    done = [outcome for outcome in outcomes if not outcome.refusal]
    refused = [outcome for outcome in outcomes if outcome.refusal not in {"", batches.NOT_YET}]
    to, filters = Status(batch.to), request.GET.get(KEPT, "")
    context = {
        **admin.site.each_context(request),
        "title": f"Resultado do lote {batch.pk}: {counted(len(outcomes))}",
        "opts": AccessRequest._meta,
        "batch": batch,
        "groups": [("Recusadas", refused), ("Ainda não tratadas", left), (DONE[to], done)],
        "left": len(left),
        "to_register": sum(outcome.request.status == Status.APPROVED for outcome in done),
        "may_go_on": bool(left) and batch.by_id == request.user.pk and may_decide(request),
        "back": list_url(request),
        "kept": kept(filters),
        "go_on": place("batch_go_on", filters, pk),
    }
    return TemplateResponse(request, "admin/requests_app/batch/batch.html", context)
