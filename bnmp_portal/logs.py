"""What must not stand in any log: the secret part of a reset link."""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote

RESET_LINK = re.compile(r"(/redefinir-senha/+)(?!nova/?(?:[\s\"'?#]|$))[^\s\"'?#]+", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def redacted(text: str) -> str:
    """The text without the secret part of a reset link, however it was escaped, on one line."""
    if "%" in text and RESET_LINK.search(unquote(text)):
        text = unquote(text)
    return CONTROL.sub("?", RESET_LINK.sub(r"\1…", text))


class Redact(logging.Filter):
    """Django names the address of each request that it refuses, and gunicorn that of each that failed."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True
