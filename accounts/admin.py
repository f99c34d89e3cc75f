"""What the staff see of this app; each larger desk has a module of its own."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from .desk import KeptAdmin
from .imports_admin import DirectoryImportAdmin
from .mail_admin import OutgoingMailAdmin
from .models import (
    DirectoryImport,
    FactorRemoval,
    HelpDesk,
    OutgoingMail,
    SecurityEvent,
    Term,
    TermAcceptance,
    Unit,
    User,
)
from .people_admin import UserAdmin
from .records_admin import SecurityEventAdmin
from .removal_admin import FactorRemovalAdmin
from .roles_admin import StaffGroupAdmin
from .term_admin import TermAcceptanceAdmin, TermAdmin

admin.site.register(User, UserAdmin)
admin.site.register(SecurityEvent, SecurityEventAdmin)
admin.site.register(Term, TermAdmin)
admin.site.register(TermAcceptance, TermAcceptanceAdmin)
admin.site.register(OutgoingMail, OutgoingMailAdmin)
admin.site.register(DirectoryImport, DirectoryImportAdmin)
admin.site.register(FactorRemoval, FactorRemovalAdmin)
admin.site.unregister(Group)
admin.site.register(Group, StaffGroupAdmin)


@admin.register(Unit)
class UnitAdmin(KeptAdmin):
    stored = "A unidade foi gravada."
    list_display = ("code", "name", "comarca", "ended_on")
    list_filter = ("comarca",)
    search_fields = ("code", "name", "comarca")


@admin.register(HelpDesk)
class HelpDeskAdmin(KeptAdmin):
    list_display = ("name", "email", "phones", "hours")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not HelpDesk.objects.exists()
