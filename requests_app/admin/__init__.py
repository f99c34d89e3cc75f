"""The approvers' desk, one module for each of its parts; Django finds here what they register."""

from . import accesses, catalogue, queue

__all__ = ["accesses", "catalogue", "queue"]
