"""The portal: settings, addresses, the processes and how they start."""

from .celery import app as celery_app

__all__ = ("celery_app",)
