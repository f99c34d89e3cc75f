"""What the worker does. The rows decide, so each may run twice, late or never."""

from __future__ import annotations

from celery import shared_task

from . import outbox, resets


def sweep() -> int:
    """Look up who asked for a reset, then send all that is due; returns how many mails went out."""
    resets.handle_all()
    return outbox.send_due()


@shared_task(name="accounts.tasks.send_pending_mail", ignore_result=True)
def send_pending_mail() -> None:
    """The bell's answer."""
    sweep()
