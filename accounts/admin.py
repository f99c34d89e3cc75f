"""People, units and the security log, for the staff. No password is seen, chosen or set here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from . import cpf as cpf_rules
from . import names, outbox
from .models import Employment, HelpDesk, OutgoingMail, SecurityEvent, Unit, User

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
    EmploymentTable = admin.TabularInline[Employment, User]
else:  # Django's admin classes take no parameters at run time
    AnyAdmin = admin.ModelAdmin
    EmploymentTable = admin.TabularInline


class StaffAdmin(AnyAdmin):
    """What holds on every page of the desk."""

    LOOKUPS = frozenset({"", "exact", "id__exact", "isnull", "gte", "lt"})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """The filters that the page offers, and none made by hand.

        Letter by letter those would read a CPF or a password's hash, and odd ones end in a fault of the database.
        """
        offered = [name for name in self.list_filter if isinstance(name, str)]
        own = [getattr(made, "parameter_name", None) for made in self.list_filter]
        return lookup in own or any(
            lookup.removeprefix(name).removeprefix("__") in self.LOOKUPS for name in offered if lookup.startswith(name)
        )


class ReadOnlyAdmin(StaffAdmin):
    """Rows that the portal writes and people read."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: object = None) -> HttpResponse:
        """Nothing is changed here, so the admin's own history would be empty."""
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class KeptAdmin(StaffAdmin):
    """Rows that are edited and never deleted: history points at them."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class EmploymentInline(EmploymentTable):
    model = Employment
    extra = 0
    can_delete = False
    autocomplete_fields = ("unit",)


@admin.register(User)
class UserAdmin(KeptAdmin):
    """The directory. ``is_superuser`` is set by ``create_administrator`` alone."""

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
        if digits := cpf_rules.clean(search_term):
            return queryset.filter(cpf=digits), False
        for word in names.fold(search_term).split():
            queryset = queryset.filter(Q(search_name__contains=f" {word}") | Q(employments__matricula__startswith=word))
        return queryset, bool(search_term)


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


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "message", "recipient_name", "status", "attempts", "next_at", "sent_at", "error")
    list_filter = ("status", "kind")
    list_select_related = ("recipient",)
    ordering = ("-pk",)
    fields = (*list_display, "uuid")
    show_full_result_count = False

    @admin.display(description="mensagem", ordering="kind")
    def message(self, mail: OutgoingMail) -> str:
        return outbox.KINDS[mail.kind].label if mail.kind in outbox.KINDS else mail.kind

    @admin.display(description="destinatário")
    def recipient_name(self, mail: OutgoingMail) -> str:
        return mail.recipient.display_name


@admin.register(SecurityEvent)
class SecurityEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "person", "address", "detail")
    list_filter = ("kind", "at")
    list_select_related = ("user", "actor")
    fields = ("at", "kind", "person", "made_by", "address", "device", "detail")
    show_full_result_count = False

    @admin.display(description="pessoa")
    def person(self, event: SecurityEvent) -> str:
        return event.user.display_name if event.user else "–"

    @admin.display(description="feito por")
    def made_by(self, event: SecurityEvent) -> str:
        return event.actor.display_name if event.actor else "–"
