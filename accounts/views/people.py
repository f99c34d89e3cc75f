"""The list that the request form asks while somebody types."""

from __future__ import annotations

from django.http import JsonResponse
from django.views import View

from .. import throttle
from ..http import UserRequest
from ..search import search_bonds


class PeopleSearch(View):
    """What the form's list asks while somebody types: never CPF, never e-mail."""

    def get(self, request: UserRequest) -> JsonResponse:
        if wait := throttle.take(throttle.SEARCH, f"person:{request.user.pk}", request, by=request.user):
            answer = JsonResponse({"results": [], "error": throttle.sentence(wait)}, status=429)
            answer["Retry-After"] = str(wait)
            return answer
        results = [
            {
                "id": bond.pk,
                "matricula": bond.matricula,
                "nome": bond.user.display_name,
                "cargo": bond.cargo,
                "lotacao": str(bond.unit),
            }
            for bond in search_bonds(request.GET.get("q", ""))
        ]
        return JsonResponse({"results": results})
