"""What the pages and the mails need beyond Django's own tags."""

from __future__ import annotations

from typing import Any

from django import template
from django.forms import BaseForm
from django.template.context import RequestContext
from django.utils.safestring import SafeString, mark_safe

from accounts.models import User
from requests_app import heads
from requests_app.emails import opened_by_portal_password

register = template.Library()


@register.simple_tag
def portal_systems(person: User | None = None) -> list[str]:
    """Names of the systems that the portal's own password opens, for this person or for whoever has the access."""
    return opened_by_portal_password(person)


@register.simple_tag
def heads_a_unit(person: User) -> bool:
    """Whether the menu has "Acessos da minha unidade"."""
    return bool(heads.units_headed_by(person))


@register.simple_tag(takes_context=True)
def current_if(context: RequestContext, *names: str) -> SafeString:
    """The attribute that marks a link of the menu as the page one is on."""
    match = getattr(context.get("request"), "resolver_match", None)
    return mark_safe('aria-current="page"' if match is not None and match.url_name in names else "")


@register.inclusion_tag("_error_summary.html")
def error_summary(form: BaseForm, kept: str = "", **anchors: str) -> dict[str, Any]:
    """What is wrong with a form, in the order of the page, each line a link to its field.

    ``kept`` is the sentence about what was typed. ``anchors`` gives the id of a field's element where it is not the
    field's own.
    """
    order = ["__all__", *form.fields]
    faults = [
        {
            "label": form[name].label if name in form.fields else "",
            "anchor": anchors.get(name) or _anchor(form, name),
            "message": message,
        }
        for name in sorted(form.errors, key=order.index)
        for message in form.errors[name]
    ]
    fields = len(form.errors.keys() - {"__all__"})
    return {"faults": faults, "fields": fields, "kept": kept}


def _anchor(form: BaseForm, name: str) -> str:
    if name not in form.fields or form[name].is_hidden:
        return ""
    return form[name].id_for_label or f"div_{form[name].auto_id}"


@register.filter
def as_sentence(text: str) -> str:
    """A reason that somebody typed, ended by one full stop, unless it ends in another such mark."""
    text = text.strip()
    text = text if text.endswith("...") else text.rstrip(". \t\r\n")
    return text if text.endswith(("?", "!", "…", "...")) else f"{text}."
