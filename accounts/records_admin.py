"""The security log, for who may read it: what happened at the doors, to whom, by whom, from where."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from . import cpf as cpf_rules
from . import devices, security
from .desk import PeriodFilter, ReadOnlyAdmin, find_people, is_key, moment
from .mail_admin import MOST_PEOPLE
from .models import SecurityEvent, User

Kind = SecurityEvent.Kind

#: Somebody, or the portal, said no. What is not here worked.
REFUSALS = frozenset(
    {
        Kind.SIGN_IN_FAILED,
        Kind.THROTTLED,
        Kind.RESET_NOT_SENT,
        Kind.LINK_REFUSED,
        Kind.PASSWORD_REFUSED,
        Kind.FACTOR_FAILED,
        Kind.FACTOR_REMOVAL_ENDED,
        Kind.FACTOR_ASK_LAPSED,
        Kind.DIRECTORY_DROPPED,
    }
)


class HappenedFilter(PeriodFilter):
    column = "at"


class ResultFilter(admin.SimpleListFilter):
    title = "resultado"
    parameter_name = "resultado"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("feito", "Feito"), ("recusado", "Recusado")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "recusado":
            return queryset.filter(kind__in=REFUSALS)
        return queryset.exclude(kind__in=REFUSALS) if self.value() == "feito" else queryset


class PersonFilter(admin.SimpleListFilter):
    """Where the person's own page leads to: what happened to them, and what was tried at their CPF."""

    title = "pessoa"
    parameter_name = "pessoa"
    person: User | None = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        key = self.value()
        if key is None:
            return []
        self.person = User.objects.filter(pk=key).first() if is_key(key) else None
        return [(key, self.person.display_name if self.person else "Pessoa não encontrada")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(about(self.person)) if self.person else queryset.none()


def about(person: User) -> Q:
    """What happened to somebody, or was typed with their CPF before it was known who comes."""
    return Q(user=person) | Q(typed_digest__in=security.digests(person.cpf))


def search(typed: str) -> Q | None:
    """What a search finds; None where nothing was typed.

    An address; or else a name, a matrícula or a whole CPF, of whom something happened to or who did it. By a whole CPF
    also what was typed with it, which may be one that the portal knows nobody by.
    """
    try:
        return Q(address=str(ip_address(typed)))
    except ValueError:
        pass
    if not typed:
        return None
    people = set(find_people(User.objects.all(), typed).values_list("pk", flat=True)[:MOST_PEOPLE])
    about_them = Q(user__in=people) | Q(actor__in=people)
    digits = cpf_rules.clean(typed)
    return about_them | Q(typed_digest__in=security.digests(digits)) if digits else about_them


class SecurityEventAdmin(ReadOnlyAdmin):
    """Read only: the database itself refuses changes (``history``)."""

    list_display = ("happened", "kind", "person", "made_by", "address", "device_kind", "detail")
    list_filter = (ResultFilter, HappenedFilter, PersonFilter, "kind")
    list_select_related = ("user", "actor")
    list_per_page = 50
    search_fields = ("kind",)
    search_help_text = "Nome, matrícula ou CPF inteiro da pessoa, ou endereço IP"
    ordering = ("-pk",)
    sortable_by = ()
    actions: Any = None
    fields = ("happened", "kind", "person", "made_by", "address", "device_kind", "device", "detail")

    @admin.display(description="quando")
    def happened(self, event: SecurityEvent) -> str:
        return moment(event.at, with_seconds=True)

    @admin.display(description="pessoa")
    def person(self, event: SecurityEvent) -> SafeString | str:
        return _link(event.user)

    @admin.display(description="feito por")
    def made_by(self, event: SecurityEvent) -> SafeString | str:
        return _link(event.actor)

    @admin.display(description="aparelho")
    def device_kind(self, event: SecurityEvent) -> str:
        return devices.kind(event.device) if event.device else "–"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        wanted = search(search_term.strip())
        return (queryset if wanted is None else queryset.filter(wanted)), False


def _link(person: User | None) -> SafeString | str:
    if person is None:
        return "–"
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:accounts_user_change", args=[person.pk]), person.display_name
    )
