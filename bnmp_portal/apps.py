from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalConfig(AppConfig):
    name = "bnmp_portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        from . import checks  # noqa: F401 - registers them


class PortalAdminConfig(AdminConfig):
    default = False
    default_site = "bnmp_portal.admin_site.PortalAdminSite"
