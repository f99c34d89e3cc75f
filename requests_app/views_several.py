"""Pedir para várias pessoas: the list, what was found, and what was sent."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from accounts import throttle
from accounts.http import STALE, UserRequest
from accounts.masking import mask_people
from accounts.models import Employment

from . import several, workflow
from .models import JointFiling
from .several import Line
from .several_forms import SeveralForm
from .views import is_own_form

#: Where the session keeps which lines of the last list were not sent.
NOT_SENT_KEY = "several_not_sent"
#: Said above the table.
CHANGED = "O que seria enviado mudou depois da última conferência. Nada foi enviado. Confira e envie."
NOBODY_READY = "Nenhuma linha está em ordem. Nada foi enviado."
NOT_SENT = "Nada foi enviado."
SENT_BEFORE = "Este formulário já tinha sido enviado."
SENT_OTHERWISE = (
    "Este formulário já tinha sido enviado, com outros dados. Confira e envie, se quiser pedir também isto."
)


class SeveralCreate(View):
    """A list of people and one form for all of them; then the table of what was found; then the sending."""

    def get(self, request: UserRequest) -> HttpResponse:
        return self.page(request, SeveralForm(user=request.user))

    def post(self, request: UserRequest) -> HttpResponse:
        if "corrigir" in request.POST:
            return self.page(request, unvalidated(request))
        form = SeveralForm(request.POST, user=request.user)
        if not form.is_valid():
            return self.page(request, form)
        if wait := throttle.take(throttle.SEARCH, f"person:{request.user.pk}", request, by=request.user):
            form.add_error(None, throttle.sentence(wait))
            return self.page(request, form)
        lines = form.look_up()
        return self.send(request, form, lines) if "enviar" in request.POST else self.table(request, form, lines)

    def send(self, request: UserRequest, form: SeveralForm, lines: list[Line]) -> HttpResponse:
        """File what was seen, and nothing else."""
        seen = form.cleaned_data["seen"]
        if joint := JointFiling.objects.filter(nonce=form.cleaned_data["nonce"], requester=request.user).first():
            return self.sent_before(request, form, joint)
        ready = [line for line in lines if line.is_ready]
        if not ready or seen != form.digest_of(lines):
            messages.warning(request, CHANGED if ready else NOBODY_READY)
            return self.table(request, form, lines)
        try:
            joint, is_new = workflow.file_all(
                [(line.bond, line.unit) for line in ready if line.bond],
                nonce=form.cleaned_data["nonce"],
                requester=request.user,
                user_type=form.cleaned_data["user_type"],
                description=form.cleaned_data["description"],
                email=form.cleaned_data["requester_email"],
                phone=form.cleaned_data["requester_phone"],
            )
        except workflow.MoveRefusedError as refusal:
            messages.error(request, f"{NOT_SENT} {which_line(refusal, ready)}{refusal}")
            return self.table(request, form, form.look_up())
        if not is_new:
            return self.sent_before(request, form, joint)
        return self.done(request, joint, lines)

    def sent_before(self, request: UserRequest, form: SeveralForm, joint: JointFiling) -> HttpResponse:
        """The same form once more: a double click leads to what it made; other words in it are another form."""
        if form.cleaned_data["seen"] == digest_of(joint):
            messages.info(request, SENT_BEFORE)
            return redirect("joint-detail", joint.pk)
        form.renew_nonce()
        messages.warning(request, SENT_OTHERWISE)
        return self.table(request, form, form.look_up())

    def done(self, request: UserRequest, joint: JointFiling, lines: list[Line]) -> HttpResponse:
        left_out = [line for line in lines if not line.is_ready]
        count = len(lines) - len(left_out)
        messages.success(request, f"{how_many(count)}. Você receberá um e-mail com os protocolos.")
        request.session[NOT_SENT_KEY] = {
            "joint": joint.pk,
            # People paste what they should not: nobody's CPF or address is kept with the session.
            "lines": [[line.number, mask_people(line.shown), line.problem] for line in left_out],
        }
        return redirect("joint-detail", joint.pk)

    def table(self, request: UserRequest, form: SeveralForm, lines: list[Line]) -> HttpResponse:
        """Each line with what was found, or why not. Nothing is sent."""
        ready = sum(line.is_ready for line in lines)
        context: dict[str, Any] = {
            "form": form,
            "lines": lines,
            "groups": [
                (True, [line for line in lines if not line.is_ready]),
                (False, [line for line in lines if line.is_ready]),
            ],
            "ready": ready,
            "others": len(lines) - ready,
            "to_choose": any(line.to_choose for line in lines),
            "user_type": form.cleaned_data["user_type"],
            "seen": form.digest_of(lines),
        }
        return render(request, "requests_app/several_check.html", context)

    @classmethod
    def page(cls, request: UserRequest, form: SeveralForm) -> HttpResponse:
        context = {"form": form, "own_bond": Employment.objects.main_of(request.user)}
        return render(request, "requests_app/several.html", context)

    @classmethod
    def show_again(cls, request: UserRequest) -> HttpResponse | None:
        """The form was open too long: the same text again, if it was this person's form."""
        if not is_own_form(request):
            return None
        messages.warning(request, STALE)
        return cls.page(request, unvalidated(request))


def unvalidated(request: UserRequest) -> SeveralForm:
    """The form with what was typed and no judgement on it."""
    typed = {name: request.POST[name] for name in SeveralForm.base_fields if name in request.POST}
    return SeveralForm(initial=typed, user=request.user)


def which_line(refusal: workflow.MoveRefusedError, lines: list[Line]) -> str:
    """Where in the list the one stands that was refused."""
    bond = getattr(refusal, "bond", None)
    return next((f"Linha {line.number}: " for line in lines if bond is not None and line.bond == bond), "")


def how_many(count: int) -> str:
    return "1 pedido enviado" if count == 1 else f"{count} pedidos enviados"


def digest_of(joint: JointFiling) -> str:
    """As the form's own, of what was filed."""
    filed = list(joint.requests.order_by("pk"))
    first = filed[0]
    people = [(request.employment_id, request.unit_id) for request in filed]
    return several.digest(people, first.user_type_id, first.description, first.requester_email, first.requester_phone)


class JointDetail(View):
    """What one form filed for several people, with where each request stands now; for who sent it."""

    def get(self, request: UserRequest, joint: int) -> HttpResponse:
        filing = get_object_or_404(JointFiling, pk=joint, requester=request.user)
        requests = filing.requests.order_by("pk").select_related("user_type__system", "beneficiary", "unit")
        kept = request.session.get(NOT_SENT_KEY, {})
        context = {
            "filing": filing,
            "requests": list(requests),
            "not_sent": kept.get("lines", []) if kept.get("joint") == filing.pk else [],
        }
        return render(request, "requests_app/several_sent.html", context)
