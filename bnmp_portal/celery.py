"""The Celery application, and the sweep of the outbox that every worker runs beside its tasks."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bnmp_portal.settings")

app = Celery("bnmp_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

logger = logging.getLogger(__name__)

#: Of an SMTP dialogue, each with a time-out of its own: connect, EHLO, MAIL, RCPT, DATA, the final dot.
STEPS = 6


class Sweep(threading.Thread):
    """Looks for mail that is due, whether or not the broker told of it: a lost message is a delay, never a loss."""

    def __init__(self) -> None:
        super().__init__(name="outbox-sweep", daemon=True)
        self.stopping = threading.Event()

    def run(self) -> None:
        # Imported here: this module is loaded before Django's applications are.
        from django.db import connections

        from accounts import tasks

        tasks.sweep_until(self.stopping)
        connections.close_all()


_sweeps: list[Sweep] = []


@worker_ready.connect
def start_sweep(**_kwargs: Any) -> None:
    sweep = Sweep()
    _sweeps.append(sweep)
    sweep.start()


@worker_shutting_down.connect
def stop_sweep(**_kwargs: Any) -> None:
    """SIGTERM came: the mail in hand is finished, in whichever thread, and no other is begun."""
    from accounts import outbox

    outbox.stopping.set()
    for sweep in _sweeps:
        sweep.stopping.set()


@worker_shutdown.connect
def join_sweep(**_kwargs: Any) -> None:
    """A mail on its way is given the time that each step of its dialogue may take; its lease tells the next worker."""
    from django.conf import settings

    stop_sweep()
    while _sweeps:
        _sweeps.pop().join(settings.EMAIL_TIMEOUT * STEPS)
