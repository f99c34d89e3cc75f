"""Acessos da minha unidade: who has what there, and asking for the end of a colleague's access."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import OuterRef, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from accounts.desk import words_of
from accounts.http import UserRequest
from accounts.models import Employment

from . import heads, workflow
from .access_forms import EndAccessForm
from .models import AccessGrant, GrantStatus
from .models.grants import AccessGrantQuerySet

PAGE = 20


def accesses_for(request: UserRequest) -> AccessGrantQuerySet:
    """What the head of a unit sees, each with the matrícula of the person's bond there. Raises PermissionDenied."""
    units = heads.units_headed_by(request.user)
    if not units:
        raise PermissionDenied
    bonds = Employment.objects.current().filter(unit__in=units, user=OuterRef("user")).order_by("-started_on", "-pk")
    found = heads.accesses_in(units).annotate(matricula=Subquery(bonds.values("matricula")[:1]))
    return found.select_related("user", "user_type__system", "unit")


class UnitAccessList(View):
    """Of the people who have a bond today with a unit that I head."""

    def get(self, request: UserRequest) -> HttpResponse:
        found = accesses_for(request).order_by("user__search_name", "user", "user_type__system__name", "pk")
        query = request.GET.get("q", "").strip()[:100]
        words = words_of(query)
        for word in words:
            found = found.filter(user__search_name__contains=f" {word}")
        if query and not words:  # no letter and no digit to look for
            found = found.none()
        page = Paginator(found, PAGE).get_page(request.GET.get("page"))
        return render(request, "requests_app/unit_accesses.html", {"page": page, "query": query})


class UnitAccessEnd(View):
    """The form that asks for the end of one access, and its POST. The Coordenadoria decides."""

    def get(self, request: UserRequest, grant: int) -> HttpResponse:
        access = self.found(request, grant)
        if access.user_id == request.user.pk:  # what is one's own is given up, not asked the end of
            return redirect("access-end", access.pk)
        return self.page(request, access, EndAccessForm())

    def post(self, request: UserRequest, grant: int) -> HttpResponse:
        access = self.found(request, grant)
        if access.user_id == request.user.pk:
            return redirect("access-end", access.pk)
        form = EndAccessForm(request.POST)
        if not form.is_valid():
            return self.page(request, access, form)
        try:
            workflow.move_grant(access.pk, GrantStatus.TO_REVOKE, by=request.user, note=form.cleaned_data["note"])
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, access, form)
        messages.success(request, "Pedido enviado à Coordenadoria. Você recebe um e-mail com a decisão.")
        return redirect("unit-accesses")

    def found(self, request: UserRequest, pk: int) -> AccessGrant:
        """Another unit's access is a 404, as one that is not there."""
        return get_object_or_404(accesses_for(request), pk=pk)

    def page(self, request: UserRequest, access: AccessGrant, form: EndAccessForm) -> HttpResponse:
        context = {
            "access": access,
            "form": form,
            "may_ask": GrantStatus.TO_REVOKE in workflow.grant_moves_of(request.user, access),
        }
        return render(request, "requests_app/unit_access_end.html", context)
