"""The person's page: what the help desk sees of somebody, and does for them. No password is seen or chosen here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from . import cpf as cpf_rules
from . import (
    factors,
    mail_admin,
    outsiders,
    outsiders_admin,
    removals,
    roles,
    roles_admin,
    security,
    sessions,
    situation,
    support,
)
from .desk import KeptAdmin, KeySelect, find_people, is_key
from .http import UserRequest, wanted
from .models import Employment, OutgoingMail, SecurityEvent, User
from .support import Act
from .support_forms import CorrectEmailForm

if TYPE_CHECKING:
    EmploymentTable = admin.TabularInline[Employment, User]
else:  # Django's classes take no parameters at run time
    EmploymentTable = admin.TabularInline


@dataclass(frozen=True)
class PersonList:
    """A list that shows what there is of one person, if their key stands in its address (``pessoa``)."""

    label: str
    #: What somebody needs to see the list.
    permission: str
    view: str
    #: What else the address has to say, for the list to leave nothing out.
    query: dict[str, str] = field(default_factory=dict)

    def link(self, person: User) -> tuple[str, str]:
        return self.label, reverse(self.view, query={"pessoa": person.pk, **self.query})


#: Other apps name their lists here; the person's page leads to them.
LISTS: list[PersonList] = []
#: Of somebody: what was changed by their page or by pages beside it. ``Histórico`` knows only what the forms changed.
CHANGES = frozenset(
    {
        SecurityEvent.Kind.PERSON_CHANGED,
        SecurityEvent.Kind.EMAIL_CHANGED,
        SecurityEvent.Kind.ROLES_CHANGED,
        SecurityEvent.Kind.ACCESS_OPENED,
        SecurityEvent.Kind.ACCESS_CLOSED,
    }
)
#: So many of a person's mails stand on their page; the rest is in the mail screen.
MAILS_SHOWN = 10


class EmploymentInline(EmploymentTable):
    model = Employment
    fk_name = "user"
    extra = 0
    can_delete = False
    #: What comes from outside the personnel file is changed by pages of its own (``outsiders_admin``).
    fields = ("matricula", "cargo", "staff_kind", "unit", "started_on", "ended_on")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Employment]:
        return super().get_queryset(request).filter(kind=Employment.Kind.DIRECTORY)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Gestão adds bonds from outside, and none that the personnel file would bring."""
        return bool(getattr(request.user, "is_superuser", False)) and super().has_add_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "unit":
            kwargs["widget"] = KeySelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class UserAdmin(KeptAdmin):
    """The directory. ``is_superuser`` is set by ``create_administrator`` alone, the address by its own page."""

    stored = "O cadastro da pessoa foi alterado."
    list_display = ("display_name", "masked_cpf", "masked_email", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff")
    search_fields = ("search_name",)
    search_help_text = "Nome (com ou sem acento), matrícula ou CPF inteiro"
    ordering = ("search_name",)
    fields = (
        "name",
        "social_name",
        "phone",
        "is_active",
        "is_staff",
        "groups",
        "must_change_password",
    )
    readonly_fields = ("is_staff", "groups", "must_change_password")
    #: What people are known by on the telephone.
    CALLED_BY = ("name", "social_name", "phone")
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

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who has a social name is known by that one: the civil name stands nowhere (Res. CNJ 270/2018).

        It comes from the personnel file, and is shown where somebody is registered in a system that knows no other.
        """
        hidden = {"name"} if obj is not None and obj.social_name else set()
        return [name for name in self.fields if name not in hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What stands here of a staff member is the administrator's to change; the groups have a page of their own.

        The help desk calls people back by the telephone that stands here.
        """
        own = obj is not None and obj.pk == request.user.pk
        # Whoever left comes in again with a bond, and not by a hand that the next night would overrule.
        by_bond = ("is_active",) if obj is not None and not obj.is_active and obj.left_at else ()
        if request.user.is_superuser and not own:
            return (*self.readonly_fields, *by_bond)
        guarded = obj is not None and (own or obj.is_staff or obj.is_superuser)
        return (*self.readonly_fields, *(("is_active", *self.CALLED_BY) if guarded else by_bond))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return find_people(queryset, search_term), bool(search_term)

    # --- What is saved ------------------------------------------------------------------------------------------------
    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Only what was typed: meanwhile a worker may have set the person's password."""
        columns = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=columns & set(form.changed_data))
        by = cast("User", request.user)
        for name in self.CALLED_BY:
            if name in form.changed_data:
                detail = f"{form.fields[name].label}: {form.initial.get(name) or '–'} → {getattr(obj, name) or '–'}"
                if name == "name" and obj.social_name:
                    detail = "Nome civil: alterado"
                kind = SecurityEvent.Kind.PERSON_CHANGED
                security.record(kind, user=obj, actor=by, request=request, detail=detail)
        if "is_active" not in form.changed_data:
            return
        kind = SecurityEvent.Kind.ACCESS_OPENED if obj.is_active else SecurityEvent.Kind.ACCESS_CLOSED
        security.record(kind, user=obj, actor=by, request=request)
        if not obj.is_active:
            sessions.end_all(obj, by=by, request=request)

    # --- What the help desk sees --------------------------------------------------------------------------------------
    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        person: User = kwargs["obj"]
        return super().render_change_form(request, {**context, **self.panel(request, person)}, *args, **kwargs)

    def panel(self, request: HttpRequest, person: User) -> dict[str, Any]:
        """Everything of "Atendimento"; a button for each thing that this member of the staff may do."""
        by = cast("User", request.user)
        mails = OutgoingMail.objects.none()
        if by.has_perm("accounts.view_outgoingmail"):
            mails = OutgoingMail.objects.filter(recipient=person).select_related("recipient").order_by("-pk")
        return {
            "title": person.display_name,
            "subtitle": None,
            "person": person,
            "situation": situation.of(person),
            "outside_bonds": outsiders.of(person),
            "can_have_link": situation.can_have_link(person),
            "may": {act.name: support.may(by, act, person) for act in Act},
            "is_own": by.pk == person.pk,
            "mails": mail_admin.rows(mails[:MAILS_SHOWN]),
            "factor": factors.of(person),
            "removal": removals.open_of(person),
            "may_remove": removals.may_remove(by, person),
            "may_change_roles": roles.may_change(by, person),
            "lists": [one.link(person) for one in LISTS if by.has_perm(one.permission)],
        }

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What the admin keeps of changes, and the way to what the security events keep."""
        was_changed = is_key(object_id) and SecurityEvent.objects.filter(user=int(object_id), kind__in=CHANGES).exists()
        own = {"was_changed": was_changed, "person_key": object_id}
        return super().history_view(request, object_id, {**own, **(extra_context or {})})

    # --- What it does -------------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        views = {
            "link": ("link", self.link_view),
            "desbloquear": ("unlock", self.unlock_view),
            "sessoes": ("sessions", self.sessions_view),
            "email": ("email", self.email_view),
            "mostrar": ("disclose", self.disclose_view),
            "perfil": ("roles", self.roles_view),
        }
        own = [
            path(f"<int:pk>/{word}/", self.admin_site.admin_view(view), name=f"accounts_user_{name}")
            for word, (name, view) in views.items()
        ]
        return [*outsiders_admin.urls(self), *own, *super().get_urls()]

    def link_view(self, request: UserRequest, pk: int) -> HttpResponse:
        return self.done(request, pk, Act.SEND_LINK, support.send_link, "O link segue por e-mail em instantes.")

    def unlock_view(self, request: UserRequest, pk: int) -> HttpResponse:
        said = "A pessoa foi desbloqueada e já pode tentar de novo."
        return self.done(request, pk, Act.UNLOCK, support.unlock, said)

    def sessions_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """What cannot be undone is asked for twice."""
        person = self.person_for(request, pk, Act.END_SESSIONS)
        if request.method != "POST":
            return self.page(request, person, "end_sessions", open_sessions=sessions.of(person).count())
        return self.done(request, pk, Act.END_SESSIONS, support.end_sessions, "As sessões da pessoa foram encerradas.")

    def email_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """The new address and the reason for it."""
        person = self.person_for(request, pk, Act.CORRECT_EMAIL)
        form = CorrectEmailForm(person, request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                support.correct_email(
                    pk, form.cleaned_data["email"], form.cleaned_data["reason"], by=request.user, request=request
                )
            except support.RefusedError as refusal:
                form.add_error("email", str(refusal))
            else:
                messages.success(request, "O e-mail foi corrigido. O endereço anterior recebe um aviso.")
                return redirect("admin:accounts_user_change", pk)
        return self.page(request, person, "correct_email", form=form)

    def disclose_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """The whole CPF and address stand in the answer to this POST and nowhere else."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        self.person_for(request, pk, Act.DISCLOSE)
        try:
            person = support.disclose(pk, by=request.user, request=request)
        except support.RefusedError as refusal:
            messages.error(request, str(refusal))
            return redirect("admin:accounts_user_change", pk)
        back = wanted(request) or reverse("admin:accounts_user_change", args=[pk])
        return self.page(request, person, "disclosed", cpf=cpf_rules.formatted(person.cpf), back=back)

    def roles_view(self, request: UserRequest, pk: int) -> HttpResponse:
        return roles_admin.roles_view(self, request, pk)

    def person_for(self, request: UserRequest, pk: int, act: Act) -> User:
        """Whom this is about. Raises PermissionDenied if it is not for this member of the staff to do."""
        person = get_object_or_404(User, pk=pk)
        if not self.has_view_permission(request, person) or not support.may(request.user, act, person):
            security.refused(act.name, by=request.user, about=pk)
            raise PermissionDenied
        return person

    def done(self, request: UserRequest, pk: int, act: Act, do: Callable[..., object], said: str) -> HttpResponse:
        """Do it, if this is a POST and for this member of the staff to do; say so, or why not; back to the page."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        self.person_for(request, pk, act)
        try:
            do(pk, by=request.user, request=request)
        except support.RefusedError as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, said)
        return redirect("admin:accounts_user_change", pk)

    def page(self, request: UserRequest, person: User, name: str, **more: Any) -> HttpResponse:
        """One of the small pages beside the person's own."""
        context = {**self.admin_site.each_context(request), "title": person.display_name, "opts": self.opts}
        return TemplateResponse(request, f"admin/accounts/user/{name}.html", {**context, "person": person, **more})
