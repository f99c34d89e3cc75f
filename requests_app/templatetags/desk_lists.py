"""What the lists of the desk need beyond Django's own tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

register = template.Library()

#: What says of the box of one row what it is for, where no heading stands above it.
MARK = "Marcar"


@register.filter
def labelled(cells: Iterable[SafeString], headers: Iterable[dict[str, Any]]) -> SafeString:
    """The cells of one row as Django writes them, each with the heading of its column.

    Where the row is a card, no heading stands above a cell, and browsers no longer take it for part of a table.
    """
    return mark_safe("".join(_labelled(cell, header) for cell, header in zip(cells, headers, strict=True)))


def _labelled(cell: SafeString, header: dict[str, Any]) -> str:
    kind, rest = cell[:3], cell[3:]  # "<th" or "<td", and what follows
    role = 'scope="row" role="rowheader"' if kind == "<th" else 'role="cell"'
    words = MARK if "action-toggle" in header["text"] else capfirst(str(header["text"]))
    return f'{kind} {role} data-label="{escape(words)}"{rest}'
