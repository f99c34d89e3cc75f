"""The desk of who says who decides: somebody's groups, and what each group may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from . import roles, security
from .desk import ReadOnlyAdmin
from .forms import OneValueField
from .http import UserRequest
from .models import User

if TYPE_CHECKING:
    from .people_admin import UserAdmin

#: So many of a group's people stand on its page.
MOST_SHOWN = 200
VERBS = {"view": "ver", "add": "incluir", "change": "mudar", "delete": "excluir"}


class RolesForm(forms.Form):
    """Whether somebody is of the staff, and with which groups."""

    is_staff = forms.BooleanField(label="Usa a administração", required=False)
    groups = forms.MultipleChoiceField(
        label="Perfis",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "invalid_choice": "Um dos perfis não existe. Abra a página de novo e escolha da lista.",
            "invalid_list": "Um dos perfis não existe. Abra a página de novo e escolha da lista.",
        },
    )
    #: What the person was when the page was opened.
    seen = OneValueField(required=False, widget=forms.HiddenInput)

    def __init__(self, person: User, posted: QueryDict | None = None) -> None:
        held = {str(group.pk) for group in person.groups.all()}
        initial = {"is_staff": person.is_staff, "groups": sorted(held), "seen": roles.of(person)}
        super().__init__(posted, initial=initial)
        self.by_key = {str(group.pk): group for group in Group.objects.order_by("name")}
        field = self.fields["groups"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101 - as it stands above
        field.choices = [(key, group.name) for key, group in self.by_key.items()]

    @property
    def options(self) -> list[tuple[str, str, str, bool]]:
        """For the page: key, name, what it is for, and whether it is ticked."""
        ticked = set(self["groups"].value() or ())
        return [
            (key, group.name, roles.PURPOSES.get(group.name, ""), key in ticked) for key, group in self.by_key.items()
        ]

    @property
    def chosen(self) -> list[Group]:
        return [self.by_key[key] for key in self.cleaned_data["groups"]]


def roles_view(desk: UserAdmin, request: UserRequest, pk: int) -> HttpResponse:
    """Somebody's groups: the form, and its POST."""
    person = get_object_or_404(User, pk=pk)
    if not roles.may_change(request.user, person):
        security.refused("CHANGE_ROLES", by=request.user, about=pk)
        raise PermissionDenied
    form = RolesForm(person, request.POST if request.method == "POST" else None)
    if form.is_valid():
        chosen = {name: form.cleaned_data[name] for name in ("is_staff", "seen")}
        try:
            changed = roles.change(pk, groups=form.chosen, **chosen, by=request.user, request=request)
        except roles.RefusedError as refusal:
            form.add_error(None, str(refusal))
        else:
            said = "O perfil foi mudado. A pessoa recebe um aviso por e-mail." if changed else "O perfil já era este."
            messages.success(request, said)
            return redirect("admin:accounts_user_change", pk)
    return _page(desk, request, person, form)


def _page(desk: UserAdmin, request: UserRequest, person: User, form: RolesForm) -> HttpResponse:
    context = {
        **desk.admin_site.each_context(request),
        "title": person.display_name,
        "opts": desk.opts,
        "person": person,
        "form": form,
        "now": roles.of(User.objects.get(pk=person.pk)),
    }
    status = 409 if form.non_field_errors() else 200
    return TemplateResponse(request, "admin/accounts/user/roles.html", context, status=status)


class StaffGroupAdmin(ReadOnlyAdmin):
    """What each group may do, and who is in it. The groups are part of the code."""

    list_display = ("name", "purpose", "people_count")
    search_fields = ("name",)
    ordering = ("name",)
    sortable_by = ()
    fields = ("name", "purpose", "permitted", "people")
    show_full_result_count = False
    actions: Any = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        groups: QuerySet[Group] = super().get_queryset(request)
        return groups.annotate(size=Count("user"))

    @admin.display(description="para quê")
    def purpose(self, group: Group) -> str:
        return roles.PURPOSES.get(group.name, "–")

    @admin.display(description="pessoas")
    def people_count(self, group: Any) -> int:
        size: int = group.size
        return size

    @admin.display(description="pode")
    def permitted(self, group: Group) -> SafeString | str:
        held = group.permissions.select_related("content_type").order_by("content_type__app_label", "codename")
        return format_html_join("", "{}<br>", [(in_words(permission),) for permission in held]) or "nada"

    @admin.display(description="pessoas")
    def people(self, group: Group) -> SafeString | str:
        people = User.objects.filter(groups=group).order_by("search_name")[: MOST_SHOWN + 1]
        rows = [(reverse("admin:accounts_user_change", args=[one.pk]), one.display_name) for one in people]
        more = [("", "…")] if len(rows) > MOST_SHOWN else []
        listed = format_html_join("", '<a href="{}">{}</a><br>', rows[:MOST_SHOWN])
        return listed + format_html_join("", "{}{}", more) if rows else "ninguém"


def in_words(permission: Permission) -> str:
    """Such as "ver solicitações"; what has a name of its own, "Pode decidir…", is called by it."""
    verb, _, _model = permission.codename.partition("_")
    model = permission.content_type.model_class()
    if model is None or verb not in VERBS or permission.codename != f"{verb}_{permission.content_type.model}":
        return permission.name.removeprefix("Pode ")
    return f"{VERBS[verb]} {model._meta.verbose_name_plural}"
