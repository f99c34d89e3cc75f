"""The systems that people may ask for, edited by Gestão."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db import models

from accounts.desk import KeptAdmin

from ..models import ExternalSystem, SystemNotice, UserType

if TYPE_CHECKING:
    UserTypeTable = admin.TabularInline[UserType, ExternalSystem]
    NoticeStack = admin.StackedInline[SystemNotice, ExternalSystem]
else:  # Django's admin classes take no parameters at run time
    UserTypeTable, NoticeStack = admin.TabularInline, admin.StackedInline


class UserTypeInline(UserTypeTable):
    model = UserType
    extra = 1
    can_delete = False


class NoticeInline(NoticeStack):
    model = SystemNotice
    extra = 0


@admin.register(ExternalSystem)
class ExternalSystemAdmin(KeptAdmin):
    list_display = ("name", "credential", "is_active", "successor")
    list_filter = ("is_active", "credential")
    search_fields = ("name",)
    inlines = (UserTypeInline, NoticeInline)
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
