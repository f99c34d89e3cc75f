"""Reading and accepting the term of responsibility."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from .. import terms
from ..http import STALE, UserRequest, wanted
from ..models import Term
from ..term_forms import TermForm
from .door import Login


class ReadTerm(View):
    """The newest version: to be accepted by who has not, to be read again by who has."""

    def get(self, request: UserRequest) -> HttpResponse:
        return self.page(request)

    def post(self, request: UserRequest) -> HttpResponse:
        term = Term.objects.first()
        if term is None:
            return self.page(request)
        form = TermForm(term, request.POST)
        if not form.is_valid():
            return self.page(request, form)
        terms.accept(request.user, term, request=request)
        messages.success(request, "Termo aceito. Obrigado.")
        return redirect(Login.target(request))

    @classmethod
    def page(cls, request: UserRequest, form: TermForm | None = None) -> HttpResponse:
        term = Term.objects.first()
        accepted = list(request.user.term_acceptances.select_related("term").order_by("-term__version"))
        is_accepted = term is not None and any(acceptance.term_id == term.pk for acceptance in accepted)
        context = {
            "term": term,
            "accepted": accepted,
            "form": None if term is None or is_accepted else form or TermForm(term),
            "next": wanted(request),
        }
        return render(request, "accounts/term.html", context)

    @classmethod
    def show_again(cls, request: HttpRequest) -> HttpResponse | None:
        """The page was open too long (``accounts.http.csrf_failure``)."""
        if not request.user.is_authenticated:
            return None
        messages.warning(request, STALE)
        return cls.page(cast("UserRequest", request))


class ReadTermVersion(View):
    """A version that this person accepted, as it was."""

    def get(self, request: UserRequest, version: int) -> HttpResponse:
        accepted = request.user.term_acceptances.select_related("term")
        acceptance = get_object_or_404(accepted, term__version=version)
        return render(request, "accounts/term_version.html", {"acceptance": acceptance})
