"""The real application, whose processes end between a commit and its bell: once for each file in ``DRILL_KILLS``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from bnmp_portal.wsgi import application

# isort: split
# Only now: the line above makes Django ready.
from accounts import outbox

__all__ = ("application",)

kills = Path(os.environ["DRILL_KILLS"])
_ring = outbox.ring


def ring_or_die() -> None:
    for kill in kills.iterdir():
        try:
            kill.unlink()
        except FileNotFoundError:  # another process was quicker
            continue
        os.kill(os.getpid(), signal.SIGKILL)
    _ring()


outbox.ring = ring_or_die
