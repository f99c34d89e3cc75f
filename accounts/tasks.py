"""What the worker does. The rows decide, so each may run twice, late or never."""

from __future__ import annotations

import logging
from collections.abc import Callable

from celery import shared_task
from django.contrib.sessions.models import Session
from django.utils import timezone

from . import outbox, resets, throttle

log = logging.getLogger(__name__)


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


@shared_task(name="accounts.tasks.send_pending_mail", ignore_result=True)
def send_pending_mail() -> None:
    """The bell's answer."""
    sweep()
