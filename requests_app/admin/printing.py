"""One request on paper: what was asked, what was decided and why, and which files belong to it."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone

from accounts.http import UserRequest

from .. import attachments, corrections, notices
from ..models import AccessGrant, AccessRequest


def page(request: UserRequest, pk: int) -> HttpResponse:
    """A page for A4. Notes of the staff are left out: the paper may go to others."""
    if not request.user.has_perm("requests_app.view_accessrequest"):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET"])
    related = ("user_type__system", "requester", "beneficiary", "unit", "decided_by", "completed_by")
    access_request = get_object_or_404(AccessRequest.objects.select_related(*related), pk=pk)
    grant = AccessGrant.objects.filter(request=access_request).select_related("user_type__system", "unit").first()
    events = access_request.events.with_people().select_related("actor")
    context = {
        "access_request": access_request,
        "steps": [(event, corrections.on_the_desk(event)) for event in events],
        "grant": grant,
        "grant_steps": notices.grant_steps_of(grant) if grant else [],
        "files": attachments.on_the_desk(access_request, request.user),
        "printed_at": timezone.now(),
        "printed_by": request.user,
    }
    return TemplateResponse(request, "admin/requests_app/accessrequest/print.html", context)
