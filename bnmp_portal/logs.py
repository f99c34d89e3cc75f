"""What a line of the logs looks like, and what stands in none: a link's secret, a whole CPF, an e-mail address."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from urllib.parse import unquote

from accounts import cpf

RESET_LINK = re.compile(r"(/redefinir-senha/+)(?!nova/?(?:[\s\"'?#]|$))[^\s\"'?#]+", re.IGNORECASE)
CPF = re.compile(r"(?<![0-9])[0-9]{3}[. -]?[0-9]{3}[. -]?[0-9]{3}[. -]?[0-9]{2}(?![0-9])")
FORMATTED = re.compile(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}")
#: The part before the @, which may be written as in an address of the web.
MAILBOX = re.compile(r"[^\s@<>()\[\]{}\"',;:/=]{1,64}(@|%40)(?=[\w-]+\.)")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

LINE = "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s"


def _masked(found: re.Match[str]) -> str:
    """Unless it is written as one, only a number with the right check digits is a CPF."""
    digits = re.sub("[^0-9]", "", found[0])
    return cpf.masked(digits) if FORMATTED.fullmatch(found[0]) or cpf.is_valid(digits) else found[0]


def redacted(text: str) -> str:
    """The text without links' secrets (however they were escaped), CPFs and e-mail addresses, on one line."""
    if "%" in text and RESET_LINK.search(unquote(text)):
        text = unquote(text)
    text = CPF.sub(_masked, RESET_LINK.sub(r"\1…", text))
    return CONTROL.sub("?", MAILBOX.sub(r"…\1", text))


class Redact(logging.Filter):
    """Django names the address of each request that it refuses, and a traceback whatever made it fail."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's mistake in a log line must not become an error of ours
            message = str(record.msg)
        record.msg, record.args = redacted(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        for name in ("exc_text", "stack_info"):
            lines = (getattr(record, name) or "").splitlines()
            setattr(record, name, "\n".join(map(redacted, lines)) or None)
        return True


class JsonLine(logging.Formatter):
    """One object on one line. Nothing but what is named here: libraries hang whole requests on a record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", ""),
            "process": record.process,
            **getattr(record, "access", {}),
        }
        if record.exc_info or record.exc_text:
            line["exception"] = record.exc_text or self.formatException(record.exc_info or (None, None, None))
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line)  # in ASCII: some readers break a line at U+2028 too


def formatter(kind: str) -> logging.Formatter:
    """As ``LOG_FORMAT`` says: ``json`` or ``line``."""
    return JsonLine() if kind == "json" else logging.Formatter(LINE, defaults={"request_id": ""})
