"""The pages of Gestão for people whom no personnel file knows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from . import outsiders, security
from .http import UserRequest
from .models import Employment
from .outsider_forms import LastDayForm, OutsiderForm

if TYPE_CHECKING:
    from .people_admin import UserAdmin

NEW = "A pessoa foi cadastrada, com a matrícula {}. Para criar a senha, ela usa “Esqueci a senha”."
KNOWN = (
    "Já havia uma pessoa com este CPF. Ela ganhou o vínculo {}. "
    "O nome, o e-mail e o telefone dela continuam como estavam."
)
STILL_CLOSED = "A entrada desta pessoa continua fechada: quem fechou foi a equipe."


def urls(desk: UserAdmin) -> list[URLPattern]:
    own = desk.admin_site.admin_view
    return [
        path("de-fora/", own(partial(add_view, desk)), name="accounts_user_outsider"),
        path("vinculo/<int:bond>/", own(partial(bond_view, desk)), name="accounts_user_bond"),
    ]


def _refuse_unless_theirs(request: UserRequest, about: int | None = None) -> None:
    if not request.user.has_perm(outsiders.PERMISSION):
        security.refused("OUTSIDERS", by=request.user, about=about)
        raise PermissionDenied


def add_view(desk: UserAdmin, request: UserRequest) -> HttpResponse:
    """Somebody from outside, with their bond: the form, and its POST."""
    _refuse_unless_theirs(request)
    form = OutsiderForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            bond, is_new = outsiders.add(form.person, form.bond, by=request.user, request=request)
        except outsiders.RefusedError as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, (NEW if is_new else KNOWN).format(bond.matricula))
            if not bond.user.is_active and bond.user.left_at is None:
                messages.warning(request, STILL_CLOSED)
            return redirect("admin:accounts_user_change", bond.user_id)
    context = {**desk.admin_site.each_context(request), "title": "Pessoa de fora do cadastro de pessoal", "form": form}
    return TemplateResponse(request, "admin/accounts/user/outsider.html", {**context, "opts": desk.opts})


def bond_view(desk: UserAdmin, request: UserRequest, bond: int) -> HttpResponse:
    """Another last day of a bond from outside, or its end."""
    outside = Employment.objects.exclude(kind=Employment.Kind.DIRECTORY)
    found = get_object_or_404(outside.select_related("user", "unit", "sponsor"), pk=bond)
    _refuse_unless_theirs(request, found.user_id)
    form = LastDayForm(found, request.POST if request.method == "POST" else None)
    if form.is_valid():
        seen = {"seen": form.cleaned_data["seen"], "by": request.user, "request": request}
        reason, last = form.cleaned_data["reason"], form.cleaned_data["ended_on"]
        try:
            changed = (
                outsiders.change_end(bond, last, reason, **seen) if last else outsiders.end_now(bond, reason, **seen)
            )
        except outsiders.RefusedError as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"O último dia do vínculo agora é {changed.ended_on:%d/%m/%Y}.")
            return redirect("admin:accounts_user_change", found.user_id)
    return desk.page(request, found.user, "bond", form=form, bond=found)
