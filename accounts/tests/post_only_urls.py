"""An address that only takes POST, beside the portal's own."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import path
from django.views import View

from bnmp_portal.urls import handler400, handler404, handler500, urlpatterns

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]


class PostOnly(View):
    def post(self, request):
        return HttpResponse("changed")


urlpatterns = [*urlpatterns, path("so-post/", PostOnly.as_view())]
