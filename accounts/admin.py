"""People, units and the security log, for the staff. No password is seen, chosen or set here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from . import addresses
from .desk import KeptAdmin, PeriodFilter, ReadOnlyAdmin, find_people
from .mail_admin import OutgoingMailAdmin
from .models import Employment, HelpDesk, OutgoingMail, SecurityEvent, Unit, User

if TYPE_CHECKING:
    EmploymentTable = admin.TabularInline[Employment, User]
    AnyForm = forms.ModelForm[User]
else:  # Django's classes take no parameters at run time
    EmploymentTable = admin.TabularInline
    AnyForm = forms.ModelForm

admin.site.register(OutgoingMail, OutgoingMailAdmin)


class EmploymentInline(EmploymentTable):
    model = Employment
    extra = 0
    can_delete = False
    autocomplete_fields = ("unit",)


class PersonForm(AnyForm):
    """What Gestão may change of a person."""

    def clean_email(self) -> str:
        """Links and passwords go there: nowhere outside, by hand."""
        address: str = self.cleaned_data["email"]
        domain = address.rpartition("@")[2].lower()
        if address and "email" in self.changed_data and domain not in settings.INSTITUTIONAL_DOMAINS:
            raise ValidationError(f"Use um e-mail institucional: {', '.join(settings.INSTITUTIONAL_DOMAINS)}.")
        return address


@admin.register(User)
class UserAdmin(KeptAdmin):
    """The directory. ``is_superuser`` is set by ``create_administrator`` alone."""

    form = PersonForm
    list_display = ("display_name", "masked_cpf", "masked_email", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff")
    search_fields = ("search_name",)
    search_help_text = "Nome (com ou sem acento), matrícula ou CPF inteiro"
    ordering = ("search_name",)
    fields = (
        "masked_cpf",
        "name",
        "social_name",
        "email",
        "phone",
        "is_active",
        "is_staff",
        "groups",
        "must_change_password",
        "last_login",
    )
    readonly_fields = ("masked_cpf", "must_change_password", "last_login")
    filter_horizontal = ("groups",)
    inlines = (EmploymentInline,)

    @admin.display(description="nome", ordering="search_name")
    def display_name(self, user: User) -> str:
        return user.display_name

    @admin.display(description="CPF")
    def masked_cpf(self, user: User) -> str:
        return user.masked_cpf

    @admin.display(description="e-mail")
    def masked_email(self, user: User) -> str:
        return user.masked_email

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """An address goes its own way: the old one is told, and the personnel file does not bring it back."""
        # Only what was typed: meanwhile a worker may have set the person's password.
        columns = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=columns & set(form.changed_data) - {"email"})
        if "email" in form.changed_data:
            addresses.correct(obj, obj.email, by=cast("User", request.user))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people come from the personnel file (import_directory)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who is staff is the administrator's to decide, and so is where a staff member's links go.

        An address is the way to a password: who may correct addresses must not become an analyst by it.
        """
        own = obj is not None and obj.pk == request.user.pk
        if request.user.is_superuser and not own:
            return self.readonly_fields
        guarded = obj is not None and (own or obj.is_staff or obj.is_superuser)
        return (*self.readonly_fields, "is_staff", "groups", *(("email", "is_active") if guarded else ()))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return find_people(queryset, search_term), bool(search_term)


@admin.register(Unit)
class UnitAdmin(KeptAdmin):
    list_display = ("code", "name", "comarca", "ended_on")
    list_filter = ("comarca",)
    search_fields = ("code", "name", "comarca")


@admin.register(HelpDesk)
class HelpDeskAdmin(KeptAdmin):
    list_display = ("name", "email", "phones", "hours")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not HelpDesk.objects.exists()


class HappenedFilter(PeriodFilter):
    column = "at"


@admin.register(SecurityEvent)
class SecurityEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "person", "address", "detail")
    list_filter = ("kind", HappenedFilter)
    list_select_related = ("user", "actor")
    fields = ("at", "kind", "person", "made_by", "address", "device", "detail")
    show_full_result_count = False

    @admin.display(description="pessoa")
    def person(self, event: SecurityEvent) -> str:
        return event.user.display_name if event.user else "–"

    @admin.display(description="feito por")
    def made_by(self, event: SecurityEvent) -> str:
        return event.actor.display_name if event.actor else "–"
