"""Which web request a line in a log belongs to, in the web server and, for what it owed, in the worker."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """The mark of the request that is served, or whose mail is sent, just now (32 hexadecimal digits), or nothing."""
    return _current.get()


def new() -> str:
    """A mark that no other request has (32 hexadecimal digits)."""
    return uuid.uuid4().hex


@contextmanager
def of(request_id: str) -> Iterator[None]:
    """What is logged in this block belongs to that request."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)


class Mark(logging.Filter):
    """Puts the mark on each line.

    Django's line about an answer of 400 or more is written when the request's block is over, and brings the request.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        record.request_id = current() or getattr(request, "META", {}).get("REQUEST_ID", "")
        return True
