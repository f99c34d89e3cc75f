"""Mine: asking, following, correcting, cancelling. And the pages that say how."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db.models import Prefetch, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import resolve
from django.utils import timezone
from django.views import View

from accounts.desk import is_key
from accounts.http import STALE, UserRequest
from accounts.models import Employment, User

from . import attachments, catalogue, drafts, known, notices, opening, reminders, waiting, workflow
from .forms import AccessRequestForm, read_nonce
from .holders import holder_of
from .models import AccessRequest, ExternalSystem, Status, SystemNotice
from .own_lists import NEWEST, PROTOCOL


@login_not_required
def home(request: HttpRequest) -> HttpResponse:
    """What the portal is; signed in: what is mine and what I can do."""
    if not request.user.is_authenticated:
        return render(request, "requests_app/welcome.html")
    mine = AccessRequest.objects.visible_to(request.user).select_related("user_type__system", "beneficiary", "unit")
    grants = request.user.grants.live().select_related("user_type__system", "unit")
    context = {"requests": mine.order_by(NEWEST)[:5], "grants": grants[:10], "may_ask": _own_bond(request) is not None}
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


def visible_request(request: UserRequest, protocol: str) -> AccessRequest:
    """One request of mine by its protocol. Another person's is a 404, as one that is not there."""
    if not PROTOCOL.fullmatch(protocol):
        raise Http404
    mine = AccessRequest.objects.visible_to(request.user)
    return get_object_or_404(
        mine.select_related("user_type__system", "requester", "beneficiary", "unit", "employment__user", "holder"),
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
            "latest": notices.last_move(steps),
            "clocks": waiting.clocks_of(access_request, steps),
            "held": holder_of(access_request),
            "usual": waiting.usual_time(access_request),
            "reminding": reminders.state_of(access_request),
            "may_cancel": workflow.may(request.user, access_request, Status.CANCELLED),
            "may_correct": workflow.may(request.user, access_request, Status.PENDING),
            "can_be_asked_again": opening.can_be_asked_again(access_request),
        }
        return render(request, "requests_app/request_detail.html", context)


class RequestCreate(View):
    """Nova Solicitação."""

    def get(self, request: UserRequest) -> HttpResponse:
        if "de" not in request.GET:
            return self.opened(request, opening.new(request.user))
        old = visible_request(request, request.GET["de"])
        if not opening.can_be_asked_again(old):
            messages.info(request, "Este pedido ainda vale. Só dá para pedir de novo o que terminou.")
            return redirect(old)
        return self.opened(request, opening.again(request.user, old))

    def post(self, request: UserRequest) -> HttpResponse:
        if step := at_a_step(request):
            return self.page(request, step)
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
            filed = drafts.file(asked)
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
    def opened(cls, request: HttpRequest, opened: opening.Opened) -> HttpResponse:
        return cls.page(request, opened.form, opened)

    @classmethod
    def page(cls, request: HttpRequest, form: AccessRequestForm, opened: opening.Opened | None = None) -> HttpResponse:
        context: dict[str, Any] = {
            "form": form,
            "opened": opened,
            "own_bond": _own_bond(request),
            "access_request": None,
            "known": known.in_form(form, None),
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

    @classmethod
    def keep_unsent(cls, request: HttpRequest) -> bool:
        """The session had ended: what was typed waits as a draft for the person whose form it was."""
        return drafts.keep_unsent(request.POST)


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


def kept_as_draft(request: UserRequest, corrected: AccessRequest | None = None) -> AccessRequestForm:
    """*Salvar rascunho*: without JavaScript the only way, with it as good as any."""
    form = on_the_way(request, corrected)
    draft, too_long = drafts.keep(request.POST, by=request.user, form=corrected.protocol if corrected else drafts.NEW)
    if draft is None:
        messages.error(request, "O rascunho não foi salvo: este formulário já foi enviado ou é de outra pessoa.")
    else:
        said = f"Rascunho salvo às {timezone.localtime(draft.updated_at):%Hh%M}. {too_long}"
        messages.success(request, said.strip())
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


#: The buttons that do not send the form.
STEPS = {"buscar": searched, "salvar": kept_as_draft, "retirar": without_file}


def at_a_step(request: UserRequest, corrected: AccessRequest | None = None) -> AccessRequestForm | None:
    """The form as it comes back from one of these buttons; None where it was sent."""
    return next((step(request, corrected) for button, step in STEPS.items() if button in request.POST), None)


class RequestCorrect(View):
    """A returned request, corrected and put back into the queue; an expired one, reopened."""

    def get(self, request: UserRequest, protocol: str) -> HttpResponse:
        access_request = visible_request(request, protocol)
        if not workflow.may(request.user, access_request, Status.PENDING):
            return self.refused(request, access_request)
        opened = opening.correction(request.user, access_request)
        return self.page(request, opened.form, access_request, opened)

    def post(self, request: UserRequest, protocol: str) -> HttpResponse:
        access_request = visible_request(request, protocol)
        if not workflow.may(request.user, access_request, Status.PENDING):
            return self.refused(request, access_request)
        if step := at_a_step(request, access_request):
            return self.page(request, step, access_request)
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
            drafts.correct(access_request, form.cleaned_data["nonce"], by=request.user)
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, form, visible_request(request, protocol))
        messages.success(request, "Solicitação corrigida. Ela voltou para a fila da Coordenadoria.")
        return redirect(access_request)

    def refused(self, request: HttpRequest, access_request: AccessRequest) -> HttpResponse:
        messages.error(request, "Esta solicitação não pode ser corrigida agora.")
        return redirect(access_request)

    @classmethod
    def page(
        cls,
        request: HttpRequest,
        form: AccessRequestForm,
        access_request: AccessRequest,
        opened: opening.Opened | None = None,
    ) -> HttpResponse:
        context: dict[str, Any] = {
            "form": form,
            "opened": opened,
            "own_bond": _own_bond(request),
            "access_request": access_request,
            "known": known.in_form(form, access_request),
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

    @classmethod
    def keep_unsent(cls, request: HttpRequest) -> bool:
        """As for a new request, where this is theirs to correct."""
        owner = drafts.owner_of(request.POST.get("nonce", ""))
        protocol = resolve(request.path_info).kwargs["protocol"]
        if owner is None or not PROTOCOL.fullmatch(protocol):
            return False
        mine = AccessRequest.objects.visible_to(owner).filter(protocol=protocol).first()
        is_theirs = mine is not None and workflow.may(owner, mine, Status.PENDING)
        return is_theirs and drafts.keep_unsent(request.POST, form=protocol)


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
