"""The Celery application, and the sweep of the outbox that every worker runs beside its tasks."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import (
    before_task_publish,
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_shutdown,
    worker_shutting_down,
)

from accounts import correlation

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bnmp_portal.settings")

app = Celery("bnmp_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

logger = logging.getLogger(__name__)

#: Of an SMTP dialogue, each with a time-out of its own: connect, banner, EHLO, STARTTLS, EHLO again, AUTH (two),
#: MAIL, RCPT, DATA, the final dot.
STEPS = 11


@celeryd_init.connect
@setup_logging.connect
def log_as_settings_say(**_kwargs: Any) -> None:
    """Django's LOGGING stands. The banner and the farewell, which Celery writes past it to stdout, are no log lines."""
    logging.captureWarnings(True)
    sys.__stdout__ = Path(os.devnull).open("w")  # type: ignore[misc]  # noqa: SIM115 - for as long as the worker lives


@before_task_publish.connect
def send_request_id(headers: dict[str, Any], **_kwargs: Any) -> None:
    headers["request_id"] = correlation.current()


#: The one task in hand: a worker has one thread for them (``CELERY_WORKER_POOL``).
_task = ExitStack()


@task_prerun.connect
def begin_task(task: Any, **_kwargs: Any) -> None:
    """Celery's lines about the task belong to the web request that rang."""
    _task.enter_context(correlation.of(task.request.get("request_id") or ""))


@task_postrun.connect
def end_task(**_kwargs: Any) -> None:
    _task.close()


class Sweep(threading.Thread):
    """Looks for mail that is due, whether or not the broker told of it: a lost message is a delay, never a loss."""

    def __init__(self) -> None:
        super().__init__(name="outbox-sweep", daemon=True)

    def run(self) -> None:
        # Imported here: this module is loaded before Django's applications are.
        from django.db import connections

        from accounts import outbox, tasks

        tasks.sweep_until(outbox.stopping)
        connections.close_all()


_sweeps: list[Sweep] = []


@celeryd_after_setup.connect
def start_sweep(**_kwargs: Any) -> None:
    """Not first when the worker is ready, which it never is while the broker is away."""
    sweep = Sweep()
    _sweeps.append(sweep)
    sweep.start()


@worker_shutting_down.connect
def stop_sweep(**_kwargs: Any) -> None:
    """SIGTERM came: the mail in hand is finished, in whichever thread, and no other is begun."""
    from accounts import outbox

    if not outbox.stopping.is_set():
        # In a thread: a signal may come in the middle of another line.
        threading.Thread(
            target=logger.info, args=("Shutdown: the mail in hand is finished, no other is begun",)
        ).start()
    outbox.stopping.set()


@worker_shutdown.connect
def join_sweep(**_kwargs: Any) -> None:
    """A mail on its way is given the time that each step of its dialogue may take; its lease tells the next worker."""
    from django.conf import settings

    stop_sweep()
    while _sweeps:
        _sweeps.pop().join(settings.EMAIL_TIMEOUT * STEPS)
