"""What the worker does. The rows decide, so each may run twice, late or never."""

from __future__ import annotations

import logging
from threading import Event
from time import monotonic

from celery import shared_task
from django.conf import settings
from django.db import close_old_connections

from . import housekeeping, outbox, resets, uploaded_imports

log = logging.getLogger(__name__)

#: Seconds between two rounds of housekeeping by a worker. A net: ``manage.py housekeeping`` has a timer.
HOUSEKEEPING_SECONDS = 3600


def sweep() -> int:
    """Look up who asked for a link, then send all that is due; returns how many mails went out."""
    try:
        resets.handle_all()
    except Exception:  # must not keep the mail back
        log.exception("The requests for links could not be handled")
    return outbox.send_due()


def sweep_until(stopping: Event) -> None:
    """Sweep every ``OUTBOX_SWEEP_SECONDS`` until told to stop, and keep house at once and every hour.

    One that fails is logged; the next tries again.
    """
    keep_house_at = monotonic()
    while True:
        close_old_connections()
        try:
            sweep()
            uploaded_imports.ring_if_due()
            if monotonic() >= keep_house_at:
                keep_house_at = monotonic() + HOUSEKEEPING_SECONDS
                housekeeping.run()
        except Exception:
            log.exception("The sweep failed and goes on")
        finally:
            close_old_connections()
        if stopping.wait(settings.OUTBOX_SWEEP_SECONDS):
            return


@shared_task(name="accounts.tasks.send_pending_mail", ignore_result=True)
def send_pending_mail() -> None:
    """The bell's answer."""
    sweep()


@shared_task(name="accounts.tasks.work_on_imports", ignore_result=True)
def work_on_imports() -> None:
    """Personnel files that were sent through the browser: planned, or applied."""
    uploaded_imports.work()
