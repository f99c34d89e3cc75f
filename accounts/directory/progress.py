"""Who is told how far an import has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

#: Called once a batch, with how many are done so far.
Progress: TypeAlias = Callable[[int], None]


def nobody(_done: int) -> None:
    """Nobody asks how far it has come."""
