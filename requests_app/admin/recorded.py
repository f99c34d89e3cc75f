"""What every page of the catalogue's desk does: it keeps each change with before and after, and shows them."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.desk import KeptAdmin, is_key
from accounts.models import User

from .. import catalogue

CHANGED_MEANWHILE = (
    "{0} mudou este cadastro depois que você abriu a página. Nada foi gravado. "
    "O que você digitou continua aqui: confira o histórico e grave de novo."
)
ALTERED = "Esta página veio alterada. Confira os dados e grave de novo."
CHANGES_SHOWN = 50


class RecordedAdmin(KeptAdmin):
    """Rows whose every change is kept with before and after (``catalogue.record``), and is lost to no stale tab."""

    change_form_template = "admin/requests_app/recorded_form.html"

    # --- What is saved ------------------------------------------------------------------------------------------------
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, which refuses what is posted from a page that was opened before somebody else's change."""
        form_class: Any = super().get_form(request, obj, change, **kwargs)
        if not (change and request.method == "POST" and "seen" in request.POST):
            return form_class

        class FormOfAFreshPage(form_class):  # type: ignore[misc]  # made for this request
            def clean(self) -> Any:
                refuse_if_changed(obj, request.POST["seen"])
                return super().clean()

        return FormOfAFreshPage

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The form's page. Where somebody stored the same first, the form is asked again, and then finds theirs."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:
            return super().changeform_view(request, *args, **kwargs)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        row = kwargs.get("obj")
        newest = catalogue.changes_of(row).first() if row is not None else None
        seen = newest.pk if newest else 0
        return super().render_change_form(request, {**context, "seen": seen}, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = catalogue.values_of(self.model._default_manager.get(pk=obj.pk)) if change else None
        super().save_model(request, obj, form, change)
        catalogue.record(obj, before=before, by=cast("User", request.user))

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """What is edited on a row's page stands in the history of that row."""
        by, page = cast("User", request.user), form.instance
        formset.save(commit=False)
        for row in formset.deleted_objects:
            catalogue.record_removal(row, by=by, under=page)
            row.delete()
        for row in [*formset.new_objects, *(row for row, _fields in formset.changed_objects)]:
            stored = formset.model._default_manager.filter(pk=row.pk).first()
            before = catalogue.values_of(stored) if stored else None
            row.save()
            catalogue.record(row, before=before, by=by, under=page)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        catalogue.record_removal(obj, by=cast("User", request.user))
        super().delete_model(request, obj)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """All or none; exactly those that were recorded, with what stood in them when they were deleted."""
        rows = list(queryset.order_by("pk").select_for_update(of=("self",), no_key=True))
        for row in rows:
            catalogue.record_removal(row, by=cast("User", request.user))
        super().delete_queryset(request, queryset.filter(pk__in=[row.pk for row in rows]))

    # --- What was saved -----------------------------------------------------------------------------------------------
    def history_view(self, request: HttpRequest, object_id: str, extra_context: object = None) -> HttpResponse:
        """From what to what, by whom, when: Django's own history names only the fields."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        changes = Paginator(catalogue.changes_of(row), CHANGES_SHOWN).get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Histórico: {row}",
            "opts": self.opts,
            "original": row,
            "changes": changes,
        }
        return TemplateResponse(request, "admin/requests_app/recorded_history.html", context)


def refuse_if_changed(row: Model, seen: str) -> None:
    """Lock a row and see that nobody changed it after its change number ``seen``. Raises ValidationError."""
    if not is_key(seen):
        raise ValidationError(ALTERED)
    type(row)._default_manager.select_for_update(of=("self",), no_key=True).get(pk=row.pk)
    if later := catalogue.changes_of(row).filter(pk__gt=int(seen)).first():
        raise ValidationError(CHANGED_MEANWHILE.format(later.by.display_name))
