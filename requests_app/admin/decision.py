"""One request on a screen, and its decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts import cpf as cpf_rules
from accounts import provisional, support
from accounts.desk import DeskAdmin
from accounts.http import UserRequest
from accounts.models import User

from .. import attachments, notices, workflow
from ..attachment_forms import DespachoForm
from ..decision_forms import DecisionForm, NoteForm
from ..models import NOT_YOUR_OWN, AccessRequest, AccessRequestQuerySet, ExternalSystem, RequestEvent, Status
from . import half_written, sheet
from .filters import as_it_was_left, keeping, list_url

Buttons = list[tuple[Status, str, str]]
#: What each button says, in the order in which they stand, and the key that leads to it.
BUTTONS = (
    (Status.APPROVED, "Aprovar", "a"),
    (Status.COMPLETED, "Registrar acesso", "r"),
    (Status.RETURNED, "Devolver para correção", "d"),
    (Status.REJECTED, "Indeferir", "i"),
    (Status.IN_REVIEW, "Assumir", "s"),
    (Status.PENDING, "Liberar", "l"),
)
DONE = {
    Status.APPROVED: "Solicitação {0} aprovada.",
    Status.COMPLETED: "Solicitação {0} aprovada e acesso liberado. A pessoa recebe por e-mail como entrar.",
    Status.RETURNED: "Solicitação {0} devolvida para correção.",
    Status.REJECTED: "Solicitação {0} indeferida.",
    Status.IN_REVIEW: "Solicitação {0} em análise com você.",
    Status.PENDING: "Solicitação {0} de volta à fila.",
}
REGISTERED = "Acesso da solicitação {0} registrado. A pessoa recebe um e-mail."
NONE_LEFT = "Nenhuma outra solicitação aguarda a sua decisão."
NONE_LEFT_HERE = "Nenhuma outra solicitação desta lista aguarda a sua decisão."
NOTHING_TO_REGISTER = "Nada foi mostrado: esta solicitação não espera registro em outro sistema."
#: Where the session keeps whether somebody goes from each decision to the next request.
OPENS_NEXT = "desk_opens_next"


def asks_credential(system: ExternalSystem) -> bool:
    """Whether an analyst registers people there by hand and types what it gave."""
    return system.credential == ExternalSystem.Credential.OPERATOR


# --- What is done here -----------------------------------------------------------------------------------------------
def urls(desk: DeskAdmin) -> list[URLPattern]:
    """The addresses of what is done on this screen, by POST alone."""

    def view(act: Callable[[UserRequest, int], HttpResponse]) -> Callable[..., HttpResponse]:
        def by_post(request: UserRequest, pk: int) -> HttpResponse:
            return act(request, pk) if request.method == "POST" else desk.nothing_done(request, pk)

        return desk.admin_site.admin_view(by_post)

    acts = {"decidir": ("decide", decide), "anotar": ("note", note), "mostrar": ("disclose", disclose)}
    return [
        path(f"<int:pk>/{word}/", view(act), name=f"requests_app_accessrequest_{name}")
        for word, (name, act) in acts.items()
    ]


def to_act_on(request: UserRequest, pk: int) -> AccessRequest:
    """The request that somebody who decides wants to do something about. Raises PermissionDenied and Http404."""
    if not request.user.has_perm("requests_app.decide"):
        raise PermissionDenied
    return get_object_or_404(AccessRequest.objects.select_related("user_type__system"), pk=pk)


def to_screen(request: UserRequest, pk: int) -> HttpResponse:
    """On to a request's own page, which leads back to the list as it was left."""
    return redirect(keeping(request, reverse("admin:requests_app_accessrequest_change", args=[pk])))


def decide(request: UserRequest, pk: int) -> HttpResponse:
    """Make one move. Table and four eyes are the workflow's; what is posted is only where to and why."""
    access_request = to_act_on(request, pk)
    form = DecisionForm(request.POST, access_request=access_request)
    if form.is_valid():
        try:
            moved = _move(request.user, access_request, form)
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
        else:
            done = REGISTERED if form.cleaned_data["to"] == Status.COMPLETED else DONE[Status(moved.status)]
            messages.success(request, done.format(moved.protocol))
            half_written.keep(request, pk, done=half_written.DECISION)
            return _onward(request, access_request, moved, opens_next=form.cleaned_data["opens_next"])
    return page(request, pk, form)


def _move(by: User, access_request: AccessRequest, form: DecisionForm) -> AccessRequest:
    if access_request.is_of(by):  # what is theirs to do, they do on their own page
        raise workflow.MoveRefusedError(NOT_YOUR_OWN)
    return workflow.move(
        access_request.pk,
        Status(form.cleaned_data["to"]),
        by=by,
        note=form.cleaned_data["note"],
        reason=form.cleaned_data["reason"],
        seen=form.cleaned_data["seen"],
        renew_password=form.cleaned_data["renew_password"],
        typed=form.typed,
    )


def _onward(request: UserRequest, before: AccessRequest, moved: AccessRequest, *, opens_next: bool) -> HttpResponse:
    """Where somebody goes after a decision: who has taken a request on stays with it."""
    if request.session.get(OPENS_NEXT, False) != opens_next:
        request.session[OPENS_NEXT] = opens_next
    if not opens_next or moved.status == Status.IN_REVIEW:
        return to_screen(request, moved.pk)
    among, is_part = as_it_was_left(request)
    following = next_for(request.user, moved, among, registering=before.status == Status.APPROVED)
    if following is not None:
        return to_screen(request, following.pk)
    messages.info(request, NONE_LEFT_HERE if is_part else NONE_LEFT)
    return redirect(list_url(request))


def next_for(
    by: User, after: AccessRequest, among: AccessRequestQuerySet, *, registering: bool = False
) -> AccessRequest | None:
    """The request that comes after this one, the oldest first, and again from the oldest when the queue is at its end.

    One's own and those that others hold are left out. ``among``: those that somebody is working through.
    ``registering``: accesses to register come before decisions.
    """
    of_others = among.exclude(Q(requester=by) | Q(beneficiary=by)).exclude(pk=after.pk).order_by("pk")
    queues = [of_others.filter(status=Status.APPROVED)] if registering else []
    queues.append(of_others.waiting().filter(Q(status=Status.PENDING) | Q(holder=by)))
    for queue in queues:
        if found := queue.filter(pk__gt=after.pk).first() or queue.first():
            return found
    return None


def note(request: UserRequest, pk: int) -> HttpResponse:
    """Keep what one of the staff tells the others."""
    to_act_on(request, pk)
    form = NoteForm(request.POST)
    if not form.is_valid():
        return page(request, pk, note_form=form)
    try:
        workflow.add_note(pk, form.cleaned_data["text"], by=request.user)
    except workflow.MoveRefusedError as refusal:
        messages.error(request, str(refusal))
        half_written.keep(request, pk)
    else:
        messages.success(request, "Nota guardada. Só a equipe lê.")
        half_written.keep(request, pk, done=half_written.NOTE)
    return to_screen(request, pk)


def disclose(request: UserRequest, pk: int) -> HttpResponse:
    """What the other system asks for: it stands in the answer to this POST and nowhere else, and the look is recorded.

    The one place of the portal with somebody's civil name (Res. CNJ 270/2018).
    """
    access_request = to_act_on(request, pk)
    if not request.user.has_perm("accounts.disclose"):
        raise PermissionDenied
    half_written.keep(request, pk)
    if not _registers_by_hand(access_request, _buttons(request.user, access_request)):
        messages.error(request, NOTHING_TO_REGISTER)
        return to_screen(request, pk)
    try:
        person = support.disclose(
            access_request.beneficiary_id, by=request.user, request=request, civil_name_for=access_request.protocol
        )
    except support.RefusedError as refusal:
        messages.error(request, str(refusal))
        return to_screen(request, pk)
    return page(request, pk, disclosed=person)


# --- What is seen here -----------------------------------------------------------------------------------------------
def page(
    request: UserRequest,
    pk: int,
    form: DecisionForm | None = None,
    *,
    note_form: NoteForm | None = None,
    disclosed: User | None = None,
) -> HttpResponse:
    """Who asks what for whom, what is known of that person, the buttons, the notes and the history."""
    # Before the request itself: what comes between the two is noticed when the page is sent back.
    last_step = RequestEvent.objects.filter(request=pk).order_by("-pk").values_list("pk", flat=True).first() or 0
    related = ("user_type__system", "requester", "beneficiary", "holder", "unit", "decided_by")
    access_request = get_object_or_404(AccessRequest.objects.select_related(*related), pk=pk)
    typed = half_written.of(request, pk)
    if form is None:
        initial = {"opens_next": request.session.get(OPENS_NEXT, False), **typed}
        form = DecisionForm(access_request=access_request, initial=initial)
    elif form.missed(last_step) and not form.non_field_errors():
        form.add_error(None, workflow.CHANGED_MEANWHILE.format(access_request.protocol))
    buttons = _buttons(request.user, access_request)
    form.show_reasons_for({to for to, _label, _key in buttons})
    context = {
        **admin.site.each_context(request),
        "title": f"Solicitação {access_request.protocol}",
        "opts": AccessRequest._meta,
        "list_url": list_url(request),
        "urls": _urls(request, pk),
        "access_request": access_request,
        "steps": notices.steps_of(access_request),
        "attachments": attachments.on_the_desk(access_request, request.user),
        "despacho_form": DespachoForm(),
        "may_join_despacho": not attachments.why_no_despacho(request.user, access_request),
        "joint": _asked_together(access_request),
        "sheet": sheet.of(access_request, all_requests="pedidos" in request.GET),
        "own": access_request.is_of(request.user),
        "form": form,
        "last_step": str(last_step),
        "notes": workflow.notes_for(request.user, access_request),
        "note_form": note_form or NoteForm(initial=typed),
        "may_note": workflow.may_note(request.user, access_request),
        "disclosed": disclosed,
        "disclosed_cpf": cpf_rules.formatted(disclosed.cpf) if disclosed else "",
        **_offers(request.user, access_request, buttons),
    }
    status = 409 if form.non_field_errors() else 200
    return TemplateResponse(request, "admin/requests_app/accessrequest/decide.html", context, status=status)


def _asked_together(access_request: AccessRequest) -> dict[str, Any]:
    """How many others the same form asked for, and the list of them all; nothing where it was asked alone."""
    if access_request.joint_id is None:
        return {}
    others = AccessRequest.objects.filter(joint=access_request.joint_id).exclude(pk=access_request.pk).count()
    url = reverse("admin:requests_app_accessrequest_changelist", query={"conjunto": access_request.joint_id})
    return {"others": others, "url": url} if others else {}


def _urls(request: UserRequest, pk: int) -> dict[str, str]:
    """Where this page leads, by name; each knows the way back to the list."""
    found = {
        name: keeping(request, reverse(f"admin:requests_app_accessrequest_{name}", args=[pk]))
        for name in ("change", "decide", "note", "disclose", "despacho", "print")
    }
    joint = "&" if "?" in found["change"] else "?"
    return {**found, "all_requests": f"{found['change']}{joint}pedidos=todos#other-requests"}


def _offers(by: User, request: AccessRequest, buttons: Buttons) -> dict[str, Any]:
    """What this person may do with this request now, beside the buttons."""
    offered = {to for to, _label, _key in buttons}
    return {
        "buttons": buttons,
        "unfit": workflow.why_unfit(request) if offered & {Status.APPROVED, Status.COMPLETED} else "",
        "held_by": request.holder.display_name if request.holder and request.holder != by else "",
        "asks_credential": Status.COMPLETED in offered and asks_credential(request.system),
        # Whoever registers somebody by hand types the CPF there.
        "may_disclose": _registers_by_hand(request, buttons)
        and support.may(by, support.Act.DISCLOSE, request.beneficiary),
        "offers_new_password": Status.APPROVED in offered
        and request.system.credential == ExternalSystem.Credential.PORTAL
        and request.beneficiary.has_chosen_password
        and provisional.may_replace(request.beneficiary),
    }


def _buttons(by: User, request: AccessRequest) -> Buttons:
    if request.is_of(by):
        return []
    return [button for button in BUTTONS if workflow.may(by, request, button[0])]


def _registers_by_hand(request: AccessRequest, buttons: Buttons) -> bool:
    """Whether this person is to be registered in another system now, by whoever sees these buttons."""
    offered = {to for to, _label, _key in buttons}
    return Status.COMPLETED in offered and request.system.credential != ExternalSystem.Credential.PORTAL
