"""What the worker does. The rows decide, so each may run twice, late or never."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

from celery import shared_task
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import close_old_connections
from django.utils import timezone

from . import outbox, resets, throttle
from .models import Heartbeat

log = logging.getLogger(__name__)

#: The name of the sweep's heartbeat.
SWEEP = "sweep"


def forget_what_is_over() -> None:
    """Sessions and counts of tries that say nothing any more."""
    throttle.forget_old()
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


#: What each sweep does before it sends; other apps add theirs in ``AppConfig.ready``.
CHORES: list[Callable[[], object]] = [resets.handle_all, forget_what_is_over]


def sweep() -> int:
    """Do the chores, then send all that is due; returns how many mails went out."""
    for chore in CHORES:
        try:
            chore()
        except Exception:  # one that fails must not keep the mail back
            log.exception("Chore %s failed", chore.__name__)
    return outbox.send_due()


def beat() -> None:
    """Note that the sweep is alive, for ``/health/status``."""
    Heartbeat.objects.bulk_create(
        [Heartbeat(name=SWEEP, at=outbox.database_time())],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["at"],
    )


def sweep_until(stopping: Event) -> None:
    """Sweep every ``OUTBOX_SWEEP_SECONDS`` until told to stop. One that fails is logged; the next tries again."""
    while True:
        close_old_connections()
        try:
            beat()
            sweep()
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
