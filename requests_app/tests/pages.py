"""Reads a page as people do: its labels in order, what stands in the fields, and the sentences beside them."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpResponse
from django.test.html import Element, parse_html

FIELDS = ("input", "select", "textarea")


def walk(element: Element) -> Iterator[Element]:
    yield element
    for child in element.children:
        if isinstance(child, Element):
            yield from walk(child)


def text_of(element: Element | None) -> str:
    """All text inside, with one space where there was any; nothing for an element that is not there."""
    if element is None:
        return ""
    pieces = (text_of(child) if isinstance(child, Element) else child for child in element.children)
    return " ".join(" ".join(pieces).split())


class Page:
    """One answer of the portal."""

    def __init__(self, response: HttpResponse) -> None:
        root = parse_html(response.content.decode())
        self.elements = list(walk(root)) if isinstance(root, Element) else []

    def all(self, *names: str, **wanted: str) -> list[Element]:
        """Elements of these kinds (any, without names) that have these attributes."""
        attributes = [(name.rstrip("_").replace("_", "-"), value) for name, value in wanted.items()]
        return [
            element
            for element in self.elements
            if (not names or element.name in names) and all(pair in element.attributes for pair in attributes)
        ]

    def one(self, *names: str, **wanted: str) -> Element | None:
        return next(iter(self.all(*names, **wanted)), None)

    @property
    def text(self) -> str:
        """What the page says between its menu and its footer; all of it where it has no such part."""
        return text_of(self.one("main") or self.one("body"))

    def controls(self, name: str) -> list[Element]:
        return self.all(*FIELDS, name=name)

    def value(self, name: str) -> str | None:
        """What a field would post: of the radios the chosen one, of a list the chosen line."""
        for control in self.controls(name):
            attributes = dict(control.attributes)
            if control.name == "textarea":
                return text_of(control)
            if control.name == "select":
                chosen = [option for option in walk(control) if ("selected", None) in option.attributes]
                return dict(chosen[0].attributes)["value"] if chosen else ""
            if attributes["type"] != "radio":
                return attributes.get("value", "")
            if "checked" in attributes:
                return attributes["value"]
        return None

    def label(self, name: str) -> str:
        return text_of(self.one("label", for_=f"id_{name}"))

    def beside(self, name: str) -> str:
        """The sentence that says what is wrong with a field, if the field points at it as screen readers need."""
        complaint = f"id_{name}_error"
        for control in self.all(*FIELDS, id=f"id_{name}"):
            attributes = dict(control.attributes)
            if (
                complaint in (attributes.get("aria-describedby") or "").split()
                and attributes.get("aria-invalid") == "true"
            ):
                return text_of(self.one(id=complaint))
        return ""

    @property
    def summary(self) -> str:
        """The list of all that is wrong, above the form."""
        return text_of(self.one(class_="error-summary"))

    @property
    def notices(self) -> list[str]:
        """What the portal says about the step just made."""
        said = [element for role in ("status", "alert") for element in self.all("div", role=role)]
        return [text_of(element) for element in said if "data-session-end" not in dict(element.attributes)]
