"""One request on a screen, and its decision."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from accounts import support
from accounts.http import UserRequest
from accounts.models import User

from .. import notices, workflow
from ..forms import DecisionForm
from ..models import NOT_YOUR_OWN, AccessRequest, ExternalSystem, Status

#: What each button says, in the order in which they stand.
BUTTONS = (
    (Status.APPROVED, "Aprovar"),
    (Status.COMPLETED, "Registrar acesso"),
    (Status.RETURNED, "Devolver para correção"),
    (Status.REJECTED, "Indeferir"),
    (Status.IN_REVIEW, "Assumir"),
    (Status.PENDING, "Liberar"),
)
DONE = {
    Status.APPROVED: "Solicitação {0} aprovada.",
    Status.COMPLETED: "Solicitação {0} aprovada e acesso liberado. A pessoa recebe por e-mail como entrar.",
    Status.RETURNED: "Solicitação {0} devolvida para correção.",
    Status.REJECTED: "Solicitação {0} indeferida.",
    Status.IN_REVIEW: "Solicitação {0} em análise com você.",
    Status.PENDING: "Solicitação {0} de volta à fila.",
}


def is_own(user: User, request: AccessRequest) -> bool:
    """Whether somebody asks or benefits."""
    return user.pk in {request.requester_id, request.beneficiary_id}


def asks_credential(system: ExternalSystem) -> bool:
    """Whether an analyst registers people there by hand and types what it gave."""
    return system.credential == ExternalSystem.Credential.OPERATOR


def decide(request: UserRequest, pk: int) -> HttpResponse:
    """Make one move. Table and four eyes are the workflow's; what is posted is only where to and why."""
    if not request.user.has_perm("requests_app.decide"):
        raise PermissionDenied
    access_request = get_object_or_404(AccessRequest.objects.select_related("user_type__system"), pk=pk)
    form = DecisionForm(request.POST, asks_credential=asks_credential(access_request.system))
    if not form.is_valid():
        return page(request, pk, form)
    if is_own(request.user, access_request):
        form.add_error(None, NOT_YOUR_OWN)  # what is theirs to do, they do on their own page
        return page(request, pk, form)
    try:
        moved = workflow.move(
            pk,
            Status(form.cleaned_data["to"]),
            by=request.user,
            note=form.cleaned_data["note"],
            renew_password=form.cleaned_data["renew_password"],
            typed=form.typed,
        )
    except workflow.MoveRefusedError as refusal:
        form.add_error(None, str(refusal))
        return page(request, pk, form)
    messages.success(request, DONE[Status(moved.status)].format(moved.protocol))
    return redirect("admin:requests_app_accessrequest_change", pk)


def page(request: UserRequest, pk: int, form: DecisionForm | None = None) -> HttpResponse:
    """Who asks what for whom, the history, and the buttons."""
    form = form or DecisionForm()
    related = ("user_type__system", "requester", "beneficiary", "holder", "unit", "decided_by")
    access_request = get_object_or_404(AccessRequest.objects.select_related(*related), pk=pk)
    own = is_own(request.user, access_request)
    buttons = [(to, label) for to, label in BUTTONS if not own and workflow.may(request.user, access_request, to)]
    context = {
        **admin.site.each_context(request),
        "title": f"Solicitação {access_request.protocol}",
        "opts": AccessRequest._meta,
        "access_request": access_request,
        "steps": notices.steps_of(access_request),
        "other_requests": AccessRequest.objects.filter(beneficiary=access_request.beneficiary_id)
        .exclude(pk=pk)
        .select_related("user_type__system")[:10],
        "grants": access_request.beneficiary.grants.live().select_related("user_type__system", "unit"),
        "bonds": access_request.beneficiary.employments.select_related("unit"),
        "buttons": buttons,
        "needs_reason": workflow.NEEDS_REASON,
        "own": own,
        "form": form,
        "asks_credential": (Status.COMPLETED, "Registrar acesso") in buttons and asks_credential(access_request.system),
        # Whoever registers somebody by hand types the CPF there.
        "may_disclose": bool(buttons)
        and asks_credential(access_request.system)
        and support.may(request.user, support.Act.DISCLOSE, access_request.beneficiary),
        "offers_new_password": (Status.APPROVED, "Aprovar") in buttons
        and access_request.system.credential == ExternalSystem.Credential.PORTAL
        and access_request.beneficiary.has_chosen_password,
    }
    status = 409 if form.non_field_errors() else 200
    return TemplateResponse(request, "admin/requests_app/accessrequest/decide.html", context, status=status)
