"""Every address. The contracts of DESIGN §4 live in the apps' own lists."""

from __future__ import annotations

from altcha_django.views import ChallengeView
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path

from . import demo, health, metrics

handler400 = "bnmp_portal.errors.bad_request"
handler404 = "bnmp_portal.errors.not_found"
handler500 = "bnmp_portal.errors.server_error"

urlpatterns = [
    path("", include("requests_app.urls")),
    path("", include("accounts.urls")),
    path(
        "captcha/",
        include(([path("challenge/", login_not_required(ChallengeView.as_view()), name="challenge")], "altcha_django")),
    ),
    path("admin/", admin.site.urls),
    path("health/live", health.health_live, name="health-live"),
    path("health/ready", health.health_ready, name="health-ready"),
    path("health/status", health.health_status, name="health-status"),
    path("metrics", metrics.metrics, name="metrics"),
]
if settings.PORTAL_DEMO:
    urlpatterns += [
        path("demo/emails/", demo.EmailList.as_view(), name="demo-emails"),
        path("demo/emails/<int:index>/", demo.EmailDetail.as_view(), name="demo-email"),
        path("demo/emails/<int:index>/html", demo.EmailHtml.as_view(), name="demo-email-html"),
    ]
