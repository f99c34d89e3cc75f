"""The approvers' desk, one module for each of its parts; Django finds here what they register."""

from . import accesses, calendar, catalogue, queue, reasons

__all__ = ["accesses", "calendar", "catalogue", "queue", "reasons"]
