"""The files of my requests."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views import View

from accounts.http import UserRequest

from . import attachments
from .models import Attachment
from .views import visible_request


class AttachmentDownload(View):
    """One file of a request that I made or that is for me."""

    http_method_names = ("get",)

    def get(self, request: UserRequest, protocol: str, pk: int) -> HttpResponse:
        access_request = visible_request(request, protocol)
        of_request = Attachment.objects.filter(request=access_request, kind=Attachment.Kind.REQUEST)
        attachment = get_object_or_404(of_request.select_related("request", "uploaded_by"), pk=pk)
        if answer := attachments.answer(attachment, request, to=request.user):
            return answer
        messages.error(request, attachments.MISSING)
        return redirect(access_request)
