"""What the request form asks when person and user type have been chosen."""

from __future__ import annotations

from dataclasses import asdict

from django.http import JsonResponse
from django.views import View

from accounts import throttle
from accounts.http import UserRequest

from . import known


class RequestKnown(View):
    """A sentence and a way to read on; empty where there is nothing to say. Counted with the search of people."""

    def get(self, request: UserRequest) -> JsonResponse:
        if wait := throttle.take(throttle.SEARCH, f"person:{request.user.pk}", request, by=request.user):
            answer = JsonResponse({"error": throttle.sentence(wait)}, status=429)
            answer["Retry-After"] = str(wait)
            return answer
        corrected = known.corrected_by(request.user, request.GET.get("corrige", ""))
        chosen = {name: request.GET.get(name, "") for name in ("beneficiary", "user_type", "unit")}
        found = known.about(request.user, corrected, **chosen)
        return JsonResponse(asdict(found or known.Known("")))
