"""Bars drawn on the server, as SVG: their places, in the units of the drawing (``viewBox``), for a template to write.

Each series has a pattern of its own, so that a print in black and white tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 640
#: Beside the bars of ``rows``: their labels to the left, and the figure to the right.
LABELS, FIGURES = 235, 60
LINE, BAR = 26, 16
#: The height of the columns, and what stands under them.
COLUMNS, UNDER = 180, 40
#: Labels under the columns, at most: more would overlap.
MOST_LABELS = 9
LONGEST_LABEL = 30


@dataclass(frozen=True)
class Rect:
    """``series``: 0, 1 or 2, the number of its pattern."""

    x: int
    y: int
    width: int
    height: int
    series: int


@dataclass(frozen=True)
class Text:
    """``anchor``: which part of the text stands at ``x``."""

    x: int
    y: int
    text: str
    anchor: str = "start"


@dataclass(frozen=True)
class Chart:
    """What to draw. ``key`` is its own on the page; ``legend`` the name of each series, empty for a single one."""

    key: str
    title: str
    description: str
    height: int
    rects: list[Rect]
    texts: list[Text]
    legend: list[str]
    width: int = WIDTH


def rows(
    key: str, title: str, description: str, lines: Sequence[tuple[str, Sequence[int]]], legend: Sequence[str] = ()
) -> Chart:
    """A bar to the right for each line, made of its figures one after another."""
    most = max([sum(figures) for _label, figures in lines], default=0) or 1
    room = WIDTH - LABELS - FIGURES
    rects, texts = [], []
    for number, (label, figures) in enumerate(lines):
        top, x = number * LINE, LABELS
        texts.append(Text(LABELS - 8, top + 17, _short(label), "end"))
        for series, figure in enumerate(figures):
            width = _scaled(figure, most, room)
            if width:
                rects.append(Rect(x, top + 4, width, BAR, series))
            x += width
        texts.append(Text(x + 6, top + 17, str(sum(figures))))
    return Chart(key, title, description, max(len(lines) * LINE, LINE), rects, texts, list(legend))


def ranges(
    key: str, title: str, description: str, lines: Sequence[tuple[str, int, int]], legend: Sequence[str]
) -> Chart:
    """For each line the part up to the lesser figure, then on to the greater one; both stand beside it."""
    most = max([greater for _label, _lesser, greater in lines], default=0) or 1
    room = WIDTH - LABELS - FIGURES
    rects, texts = [], []
    for number, (label, lesser, greater) in enumerate(lines):
        top = number * LINE
        to_lesser, to_greater = _scaled(lesser, most, room), _scaled(greater, most, room)
        texts.append(Text(LABELS - 8, top + 17, _short(label), "end"))
        texts.append(Text(LABELS + to_greater + 6, top + 17, f"{lesser} / {greater}"))
        parts = ((LABELS, to_lesser, 0), (LABELS + to_lesser, to_greater - to_lesser, 1))
        rects += [Rect(x, top + 4, width, BAR, series) for x, width, series in parts if width]
    return Chart(key, title, description, max(len(lines) * LINE, LINE), rects, texts, list(legend))


def columns(
    key: str, title: str, description: str, lines: Sequence[tuple[str, Sequence[int]]], legend: Sequence[str]
) -> Chart:
    """A column upwards for each line, made of its figures one upon another; some of the labels stand below."""
    most = max([sum(figures) for _label, figures in lines], default=0) or 1
    step = WIDTH // max(len(lines), 1)
    width = min(max(step * 3 // 4, 1), 48)
    every = -(-len(lines) // MOST_LABELS)
    rects, texts = [], []
    for number, (label, figures) in enumerate(lines):
        x, y = number * step + (step - width) // 2, COLUMNS + 20
        for series, figure in enumerate(figures):
            height = _scaled(figure, most, COLUMNS)
            y -= height
            if height:
                rects.append(Rect(x, y, width, height, series))
        if number % every == 0:
            texts.append(Text(x + width // 2, COLUMNS + 40, label, "middle"))
        if sum(figures) and step > LINE:
            texts.append(Text(x + width // 2, y - 5, str(sum(figures)), "middle"))
    return Chart(key, title, description, COLUMNS + 20 + UNDER, rects, texts, list(legend))


def _scaled(figure: int, most: int, room: int) -> int:
    """So many units of the drawing; at least one for what is not nothing."""
    return max(figure * room // most, 1) if figure else 0


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1].rstrip()}…"
