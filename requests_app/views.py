"""Mine: asking, following, correcting, cancelling. And the pages that say how."""

from __future__ import annotations

import re
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.db.models import Prefetch, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import resolve
from django.utils import timezone
from django.views import View

from accounts import names
from accounts.desk import is_key
from accounts.http import STALE, UserRequest
from accounts.models import Employment, User

from . import attachments, catalogue, notices, workflow
from .forms import AccessRequestForm, initial_from, read_nonce
from .models import AccessRequest, ExternalSystem, Status, SystemNotice

PAGE = 20
PROTOCOL = re.compile(r"[0-9]{4}-[0-9]{6}")


@login_not_required
def home(request: HttpRequest) -> HttpResponse:
    """What the portal is; signed in: what is mine and what I can do."""
    if not request.user.is_authenticated:
        return render(request, "requests_app/welcome.html")
    mine = AccessRequest.objects.visible_to(request.user).select_related("user_type__system", "beneficiary", "unit")
    grants = request.user.grants.live().select_related("user_type__system", "unit")
    context = {"requests": mine[:5], "grants": grants, "may_ask": _own_bond(request) is not None}
    return render(request, "requests_app/home.html", context)


@login_not_required
def guidance(request: HttpRequest) -> HttpResponse:
    """The source's page: index, the two procedures, dated notices, whom to call."""
    published = SystemNotice.objects.filter(published_on__lte=timezone.localdate())
    of_use = ExternalSystem.objects.filter(Q(is_active=True) | Q(successor__isnull=False)).select_related("successor")
    systems, replaced = [], []
    for system in of_use.prefetch_related(Prefetch("notices", published)):
        if system.accepts_requests or catalogue.is_announced(system):
            systems.append(system)
        elif system.successor:
            replaced.append(system)
    return render(request, "requests_app/guidance.html", {"systems": systems, "replaced": replaced})


def _own_bond(request: HttpRequest) -> Employment | None:
    return Employment.objects.main_of(cast("User", request.user))


class RequestList(View):
    """Minhas solicitações: those I made and those that are for me."""

    def get(self, request: UserRequest) -> HttpResponse:
        found = AccessRequest.objects.visible_to(request.user).select_related(
            "user_type__system", "beneficiary", "unit"
        )
        query, status = request.GET.get("q", "").strip()[:100], request.GET.get("status", "")
        if PROTOCOL.fullmatch(query):
            found = found.filter(protocol=query)
        else:
            for word in dict.fromkeys(names.fold(query).split()):
                found = found.filter(
                    Q(beneficiary__search_name__contains=f" {word}")
                    | Q(protocol__contains=word)
                    | Q(beneficiary_matricula__startswith=word)
                )
        if status in Status.values:
            found = found.filter(status=status)
        page = Paginator(found, PAGE).get_page(request.GET.get("page"))
        context = {"page": page, "query": query, "status": status, "statuses": Status.choices}
        return render(request, "requests_app/request_list.html", context)


def visible_request(request: UserRequest, protocol: str) -> AccessRequest:
    """One request of mine by its protocol. Another person's is a 404, as one that is not there."""
    if not PROTOCOL.fullmatch(protocol):
        raise Http404
    mine = AccessRequest.objects.visible_to(request.user)
    return get_object_or_404(
        mine.select_related("user_type__system", "requester", "beneficiary", "unit", "employment__user"),
        protocol=protocol,
    )


class RequestDetail(View):
    """One request with its history."""

    def get(self, request: UserRequest, protocol: str) -> HttpResponse:
        access_request = visible_request(request, protocol)
        steps = notices.steps_of(access_request, reader=request.user)
        context = {
            "access_request": access_request,
            "is_mine": access_request.requester_id == request.user.pk,
            "attachments": attachments.of_the_requester(access_request),
            "steps": steps,
            "latest": steps[-1].event if steps else None,
            "may_cancel": workflow.may(request.user, access_request, Status.CANCELLED),
            "may_correct": workflow.may(request.user, access_request, Status.PENDING),
        }
        return render(request, "requests_app/request_detail.html", context)


class RequestCreate(View):
    """Nova Solicitação."""

    def get(self, request: UserRequest) -> HttpResponse:
        return self.page(request, AccessRequestForm(user=request.user))

    def post(self, request: UserRequest) -> HttpResponse:
        if "buscar" in request.POST:
            return self.page(request, searched(request))
        if "retirar" in request.POST:
            return self.page(request, without_file(request))
        form = AccessRequestForm(request.POST, request.FILES, user=request.user)
        form.receive_files()
        tell_doubles(request, form)
        if not form.is_valid():
            return self.page(request, form)
        asked = workflow.new_request(
            form_nonce=form.cleaned_data["nonce"],
            requester=request.user,
            bond=form.cleaned_data["bond"],
            user_type=form.cleaned_data["user_type"],
            unit=form.cleaned_data["unit"],
            description=form.cleaned_data["description"],
            email=form.cleaned_data["requester_email"],
            phone=form.cleaned_data["requester_phone"],
        )
        try:
            filed = attachments.file(asked)
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, form)
        # Sent, gone back, filled in otherwise and sent again.
        if form.kept_files or not workflow.asks_the_same(filed, asked):
            form.begin_anew()
            sentence = "Para fazer outro pedido, confira os dados e envie de novo."
            form.add_error(None, f"Este formulário já tinha sido enviado: protocolo {filed.protocol}. {sentence}")
            return self.page(request, form)
        if filed is asked:
            messages.success(
                request, f"Pedido enviado. Protocolo {filed.protocol}. Você receberá um e-mail a cada mudança."
            )
        else:
            messages.info(request, f"Este formulário já tinha sido enviado. Protocolo {filed.protocol}.")
        return redirect(filed)

    @classmethod
    def page(cls, request: HttpRequest, form: AccessRequestForm) -> HttpResponse:
        context: dict[str, Any] = {
            "form": form,
            "own_bond": _own_bond(request),
            "access_request": None,
            "attachments": [],
        }
        return render(request, "requests_app/request_form.html", context)

    @classmethod
    def show_again(cls, request: UserRequest) -> HttpResponse | None:
        """The form was open too long: the same text again, if it was this person's form."""
        if not is_own_form(request):
            return None
        messages.warning(request, STALE)
        return cls.page(request, unvalidated(request))


def is_own_form(request: HttpRequest) -> bool:
    """Whether what was posted comes from a form that was made for this person."""
    return request.user.is_authenticated and read_nonce(request.POST.get("nonce", ""), request.user) is not None


def unvalidated(request: UserRequest, corrected: AccessRequest | None = None) -> AccessRequestForm:
    """The form with what was typed and no judgement on it."""
    typed = {name: request.POST[name] for name in AccessRequestForm.base_fields if name in request.POST}
    return AccessRequestForm(initial=typed, user=request.user, asker=corrected.requester if corrected else None)


def on_the_way(request: UserRequest, corrected: AccessRequest | None) -> AccessRequestForm:
    """The same, at a step before the form is sent; the files that were chosen are kept."""
    form = unvalidated(request, corrected)
    for refusal in form.keep_files(request.FILES.getlist("attachments"), corrected):
        messages.error(request, refusal)
    tell_doubles(request, form)
    return form


def tell_doubles(request: HttpRequest, form: AccessRequestForm) -> None:
    """Which of the files that were chosen are not there a second time."""
    for sentence in form.doubles:
        messages.warning(request, sentence)


def searched(request: UserRequest, corrected: AccessRequest | None = None) -> AccessRequestForm:
    """The search step without JavaScript: what was typed stays, and there is a list to choose from."""
    form = on_the_way(request, corrected)
    form.initial.pop("beneficiary", None)
    if sentence := form.search():
        messages.warning(request, sentence)
    return form


def without_file(request: UserRequest, corrected: AccessRequest | None = None) -> AccessRequestForm:
    """One of the files that were sent with the form is taken out again; what was typed stays."""
    form = on_the_way(request, corrected)
    key = request.POST["retirar"]
    name = attachments.take_out(int(key), form.mark, by=request.user) if form.mark and is_key(key) else ""
    if name:
        messages.success(request, f"O arquivo “{name}” foi retirado.")
    else:
        messages.warning(request, "Este arquivo já não estava no formulário.")
    return form


class RequestCorrect(View):
    """A returned request, corrected and put back into the queue; an expired one, reopened."""

    def get(self, request: UserRequest, protocol: str) -> HttpResponse:
        access_request = visible_request(request, protocol)
        if not workflow.may(request.user, access_request, Status.PENDING):
            return self.refused(request, access_request)
        asker = access_request.requester
        form = AccessRequestForm(user=request.user, asker=asker, initial=initial_from(access_request))
        return self.page(request, form, access_request)

    def post(self, request: UserRequest, protocol: str) -> HttpResponse:
        access_request = visible_request(request, protocol)
        if not workflow.may(request.user, access_request, Status.PENDING):
            return self.refused(request, access_request)
        if "buscar" in request.POST:
            return self.page(request, searched(request, access_request), access_request)
        if "retirar" in request.POST:
            return self.page(request, without_file(request, access_request), access_request)
        form = AccessRequestForm(request.POST, request.FILES, user=request.user, asker=access_request.requester)
        form.receive_files(access_request)
        tell_doubles(request, form)
        if not form.is_valid():
            return self.page(request, form, access_request)
        corrected = {
            **workflow.snapshot(form.cleaned_data["bond"]),
            "requester_email": form.cleaned_data["requester_email"],
            "requester_phone": form.cleaned_data["requester_phone"],
            "user_type": form.cleaned_data["user_type"],
            "unit": form.cleaned_data["unit"],
            "description": form.cleaned_data["description"],
        }
        for name, value in corrected.items():
            setattr(access_request, name, value)
        try:
            attachments.correct(access_request, form.cleaned_data["nonce"], by=request.user)
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, form, visible_request(request, protocol))
        messages.success(request, "Solicitação corrigida. Ela voltou para a fila da Coordenadoria.")
        return redirect(access_request)

    def refused(self, request: HttpRequest, access_request: AccessRequest) -> HttpResponse:
        messages.error(request, "Esta solicitação não pode ser corrigida agora.")
        return redirect(access_request)

    @classmethod
    def page(cls, request: HttpRequest, form: AccessRequestForm, access_request: AccessRequest) -> HttpResponse:
        context: dict[str, Any] = {
            "form": form,
            "own_bond": _own_bond(request),
            "access_request": access_request,
            "attachments": attachments.of_the_requester(access_request),
        }
        return render(request, "requests_app/request_form.html", context)

    @classmethod
    def show_again(cls, request: UserRequest) -> HttpResponse | None:
        """As for a new request."""
        if not is_own_form(request):
            return None
        access_request = visible_request(request, resolve(request.path_info).kwargs["protocol"])
        messages.warning(request, STALE)
        return cls.page(request, unvalidated(request, access_request), access_request)


class RequestCancel(View):
    def get(self, request: UserRequest, protocol: str) -> HttpResponse:
        """Where somebody lands who had to sign in again: on the request, with nothing changed."""
        return redirect(visible_request(request, protocol))

    def post(self, request: UserRequest, protocol: str) -> HttpResponse:
        access_request = visible_request(request, protocol)
        try:
            workflow.move(access_request.pk, Status.CANCELLED, by=request.user)
        except workflow.MoveRefusedError as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, "Solicitação cancelada.")
        return redirect(access_request)
