"""Minhas solicitações and Meus acessos: what I asked, what I have, and giving up what I no longer need."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from accounts.http import UserRequest
from accounts.models import Employment

from . import own_lists, reminders, workflow
from .access_forms import GiveUpForm
from .models import AccessGrant, AccessRequest, GrantStatus
from .own_lists import PAGE, Asked, OwnPaginator
from .views import visible_request


class RequestList(View):
    """Minhas solicitações: those I made and those that are for me."""

    def get(self, request: UserRequest) -> HttpResponse:
        systems = own_lists.systems()
        asked = Asked.of(request.GET, statuses=own_lists.STATUSES, systems=systems)
        mine = AccessRequest.objects.visible_to(request.user)
        found = own_lists.find_requests(mine, asked, request.user)
        related = found.select_related("user_type__system", "requester", "beneficiary", "unit")
        context = {
            "page": OwnPaginator(related, PAGE).get_page(request.GET.get("page")),
            "asked": asked,
            "statuses": own_lists.STATUSES.items(),
            "systems": systems.items(),
            "for_whom": own_lists.FOR_WHOM.items(),
        }
        return render(request, "requests_app/request_list.html", context)


class RequestRemind(View):
    """Lembrar a Coordenadoria."""

    def get(self, request: UserRequest, protocol: str) -> HttpResponse:
        """Where somebody lands who had to sign in again: on the request, with nothing sent."""
        return redirect(visible_request(request, protocol))

    def post(self, request: UserRequest, protocol: str) -> HttpResponse:
        access_request = visible_request(request, protocol)
        try:
            reminders.remind(access_request.pk, by=request.user)
        except workflow.MoveRefusedError as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, "Lembrete enviado. A Coordenadoria vê que você espera a decisão.")
        return redirect(access_request)


class AccessList(View):
    """Meus acessos: what I have, and what I had."""

    def get(self, request: UserRequest) -> HttpResponse:
        asked = Asked.of(request.GET, statuses=own_lists.GRANT_STATUSES, systems={})
        found = own_lists.find_accesses(own_lists.accesses_of(request.user), asked)
        context = {
            "page": OwnPaginator(found, PAGE).get_page(request.GET.get("page")),
            "asked": asked,
            "statuses": own_lists.GRANT_STATUSES.items(),
            "may_ask": Employment.objects.main_of(request.user) is not None,
        }
        return render(request, "requests_app/access_list.html", context)


class AccessEnd(View):
    """Não preciso mais: a page that asks whether it is meant, and its POST. The Coordenadoria ends the access."""

    def get(self, request: UserRequest, access: int) -> HttpResponse:
        return self.page(request, self.found(request, access), GiveUpForm())

    def post(self, request: UserRequest, access: int) -> HttpResponse:
        own = self.found(request, access)
        form = GiveUpForm(request.POST)
        if not form.is_valid():
            return self.page(request, own, form)
        try:
            workflow.give_up(own.pk, by=request.user, note=form.cleaned_data["note"])
        except workflow.MoveRefusedError as refusal:
            form.add_error(None, str(refusal))
            return self.page(request, self.found(request, access), form)
        messages.success(
            request,
            "Aviso enviado à Coordenadoria. Ela vai encerrar o acesso, e você recebe um e-mail.",
        )
        return redirect("access-list")

    def found(self, request: UserRequest, pk: int) -> AccessGrant:
        """Another person's access is a 404, as one that is not there."""
        return get_object_or_404(own_lists.accesses_of(request.user), pk=pk)

    def page(self, request: UserRequest, own: AccessGrant, form: GiveUpForm) -> HttpResponse:
        may = GrantStatus.TO_REVOKE in workflow.grant_moves_of(request.user, own)
        context = {"access": own, "form": form, "may_give_up": may}
        return render(request, "requests_app/access_end.html", context)
