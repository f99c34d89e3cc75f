"""Mail that comes back: reads delivery-status messages (RFC 3464) and marks what was not delivered.

A bounce is written by strangers and proves nothing but that its writer knows the uuid of the mail it names. Only the
recipient and the servers on the way have seen that.
"""

from __future__ import annotations

import email
import email.policy
import logging
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime
from enum import Enum, auto
from typing import TypeAlias

from django.conf import settings

from . import outbox
from .models import MailStatus, OutgoingMail

log = logging.getLogger(__name__)

#: As much of a message as is read: the report stands before the mail that is returned with it.
MAX_BYTES = 256 * 1024
#: As much as is looked at: of one header or field, of the text for people, of the recipients of one mail.
MAX_FIELD = 2000
MAX_TEXT = 20_000
MAX_RECIPIENTS = 20
#: A bounce has three or four. Each more makes the parser slower, and some hundreds would take it minutes.
MAX_BOUNDARIES = 40
#: Delivery reports of a mail that was given up (RFC 3464, 2.3.3); the others are delayed, delivered, relayed, expanded.
FAILED = "failed"
UNEXPLAINED = "sem explicação do servidor"
#: What the clocks of a mail server and of the database may differ by.
CLOCKS = timedelta(minutes=1)

#: The parser takes the fields of such a part apart itself, and wrongly if they are encoded: it meets another name.
STATUS_TYPE = re.compile(rb"message/(?:global-)?delivery-status", re.IGNORECASE)
RENAMED_TYPE = "text/x-delivery-status"
BOUNDARY = re.compile(rb"boundary", re.IGNORECASE)
UUID = "([0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})"
FIELD = re.compile(r"([A-Za-z][A-Za-z-]{0,60})[ \t]*:(.*)")
BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
ADDRESS = re.compile(r"([^\s<>()\[\],;:\"'@])[^\s<>()\[\],;:\"'@]{0,120}@(?=[^\s<>()\[\],;:\"'@])")
#: qmail's own format (QSBMF), which is older than RFC 3464: the address, and after the reason a line with hyphens.
QMAIL = re.compile(r"Hi\. This is the .*?\n<([^>\n]+)>:[ \t]*\n.*?\n-", re.DOTALL)
#: Exim before 4.80; its header X-Failed-Recipients tells a failure from a warning.
OLD_EXIM = re.compile(r"This message was created automatically by mail delivery software\..*?\n-", re.DOTALL)

Parts: TypeAlias = "list[Message[str, str]]"
Fields: TypeAlias = "dict[str, str]"


@dataclass(frozen=True)
class Report:
    """What a message says about one recipient of one mail."""

    #: None where no mail is named in a way that we know.
    mail: uuid.UUID | None
    action: str
    #: Status code and the server's words, without the address, at most 300 characters.
    reason: str
    #: When the message was written, if it says so.
    at: datetime | None


class Outcome(Enum):
    """What became of one message."""

    #: Neither a delivery report about a mail of ours nor a failure.
    NOTHING = auto()
    #: A mail was given up, but none of ours.
    NOT_OURS = auto()
    #: A mail of ours waits, or arrived.
    NO_FAILURE = auto()
    #: A mail of ours was given up; we knew already, or it has been replaced or sent again since.
    KNOWN = auto()
    #: A mail of ours was given up that is being sent at this moment: to be read again later.
    TOO_EARLY = auto()
    #: A mail of ours was given up; it counted as sent and is marked as not delivered now.
    RETURNED = auto()


def apply(raw: bytes) -> Outcome:
    """Read one message and mark the mail that it gives up. Twice is the same as once."""
    reports = read(raw)
    failure = next((report for report in reports if report.action == FAILED), None)
    named = reports[0].mail if reports else None
    mail = OutgoingMail.objects.filter(uuid=named).first() if named else None
    if failure is None:
        return Outcome.NO_FAILURE if mail else Outcome.NOTHING
    if mail is None:
        return Outcome.NOT_OURS
    if mail.status == MailStatus.PENDING and mail.lease_until:
        return Outcome.TOO_EARLY  # a server may answer before the worker has written down that it took the mail
    if mail.retried_at and failure.at and failure.at < mail.retried_at - CLOCKS:
        return Outcome.KNOWN  # about the copy that went out before somebody pressed "Tentar de novo"
    return Outcome.RETURNED if outbox.came_back(mail.uuid, failure.reason) else Outcome.KNOWN


def read(raw: bytes) -> list[Report]:
    """The reports in one message, one for each recipient; none if it is something else. Never raises."""
    raw = raw[:MAX_BYTES]
    if len(BOUNDARY.findall(raw)) > MAX_BOUNDARIES:
        return []
    try:
        return _read(STATUS_TYPE.sub(RENAMED_TYPE.encode(), raw))
    except Exception as problem:  # noqa: BLE001 - the library's parser raises TypeError and more on what strangers send
        log.warning("A message could not be parsed: %s", type(problem).__name__)
        return []


def _read(raw: bytes) -> list[Report]:
    # The newer policy parses each header that is asked for, and raises on some that are broken.
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    parts = list(message.walk())
    where = next((place for place, part in enumerate(parts) if part.get_content_type() == RENAMED_TYPE), None)
    if where is not None:
        groups = list(_groups(_text(parts[where])))
        mail = _mail(parts[: where + 1], parts[where:], groups)
    elif message.get_content_type() == "multipart/report":
        # So broken that no such part was found in it: its fields stand somewhere in the text.
        groups = [group for group in _groups(_decoded(raw)) if "final-recipient" in group]
        mail = _mail(parts, parts, groups)
    else:
        return _old_reports(message)
    explained = next((_text(part) for part in parts if part.get_content_type() == "text/plain"), "")
    return [
        Report(mail, _first_word(group["action"]), _reason(group, explained[:MAX_TEXT]), _date(message))
        for group in [group for group in groups if "action" in group][:MAX_RECIPIENTS]
    ]


def _old_reports(message: Message[str, str]) -> list[Report]:
    """Bounces in plain words, of two programs that say clearly that they gave a mail up."""
    text = _text(message).lstrip()[:MAX_TEXT]
    if qmail := QMAIL.match(text):
        address = qmail[1]
    elif OLD_EXIM.match(text) and message.get("X-Failed-Recipients"):
        address = str(message["X-Failed-Recipients"]).partition(",")[0].strip()
    else:
        return []
    reason = _masked(_said_about(address, text) or UNEXPLAINED, [address])
    return [Report(_mail([message], [message], []), FAILED, reason, _date(message))]


# --- Which mail -----------------------------------------------------------------------------------------------------
def _mail(covers: Parts, returned: Parts, groups: list[Fields]) -> uuid.UUID | None:
    """The uuid, from the address written to, the returned mail, the mail answered or the envelope: the first found.

    ``covers`` are the messages and parts around the report, ``returned`` those that follow it.
    """
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    message_id = f"<{UUID}@{re.escape(domain)}>"
    places = (
        (_our_address(), _headers(covers, "Delivered-To", "X-Original-To", "Envelope-To", "To")),
        (rf"^message-id:\s*{message_id}", _returned_headers(returned)),
        (message_id, _headers(covers, "In-Reply-To", "References")),
        (UUID, (group.get("original-envelope-id", "") for group in groups)),
    )
    for pattern, texts in places:
        for text in texts:
            if found := re.search(pattern, text, re.IGNORECASE | re.MULTILINE):
                return uuid.UUID(found[1])
    return None


def _our_address() -> str:
    """The pattern of ``BOUNCE_ADDRESS``, or one that nothing fits where that has no ``*``."""
    before, star, after = settings.BOUNCE_ADDRESS.partition("*")
    return f"{re.escape(before)}{UUID}{re.escape(after)}" if star else "(?!)"


def _headers(parts: Parts, *names: str) -> Iterator[str]:
    for name in names:
        for part in parts:
            yield from (str(value)[:MAX_FIELD] for value in part.get_all(name, []))


def _returned_headers(parts: Parts) -> Iterator[str]:
    """The headers of the mail that came back: a message of its own, its headers alone, or the end of a plain text."""
    for part in parts:
        if part.get("Message-ID"):
            yield f"Message-ID: {part['Message-ID']}"[:MAX_FIELD]
        if not part.is_multipart():
            yield _text(part)


# --- What it says ---------------------------------------------------------------------------------------------------
def _groups(text: str) -> Iterator[Fields]:
    """The groups of fields (RFC 3464, 2.1): one about the mail, then one for each recipient. Names in lower case."""
    for paragraph in BLANK_LINES.split(text):
        group: Fields = {}
        name = ""
        for line in paragraph.split("\n"):
            if name and line[:1] in {" ", "\t"}:
                group[name] = f"{group[name]} {line.strip()}"[:MAX_FIELD]
            elif field := FIELD.fullmatch(line):
                name = field[1].lower()
                group[name] = field[2].strip()[:MAX_FIELD]
        yield group


def _reason(group: Fields, explained: str) -> str:
    names = ("final-recipient", "original-recipient", "x-actual-recipient")
    addresses = [group[name].rpartition(";")[2].strip(" <>") for name in names if name in group]
    words = re.sub(r"^[A-Za-z][\w-]{0,30}[ ]*;", "", group.get("diagnostic-code", "")).strip()
    if not words:
        words = next((said for address in addresses if (said := _said_about(address, explained))), UNEXPLAINED)
    return _masked(f"{_first_word(group.get('status', ''))} {words}", addresses)


def _said_about(address: str, text: str) -> str:
    """What the paragraph for people that names this address says after it."""
    for paragraph in BLANK_LINES.split(text):
        _before, found, after = paragraph.partition(address)
        if address and found:
            return after.strip(" \t\n<>:")[:MAX_FIELD]
    return ""


def _masked(text: str, addresses: list[str]) -> str:
    """On one line, without anybody's address or, which servers quote as well, the name of these mailboxes."""
    text = ADDRESS.sub(r"\1***@", " ".join(text[: 2 * MAX_FIELD].split()))
    for address in addresses:
        mailbox = address.rpartition("@")[0]
        if len(mailbox) > 1:
            text = re.sub(rf"(?<![\w.]){re.escape(mailbox)}(?![\w.])", f"{mailbox[0]}***", text, flags=re.IGNORECASE)
    return text[:300]


def _first_word(text: str) -> str:
    return next(iter(text.split()), "").lower()


def _date(message: Message[str, str]) -> datetime | None:
    try:
        date = parsedate_to_datetime(str(message["Date"]))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _text(part: Message[str, str]) -> str:
    """What a part holds, decoded; nothing if it holds parts."""
    try:
        content = part.get_payload(decode=True)
    except ValueError:  # an encoding that is not what it says
        content = b""
    return _decoded(content if isinstance(content, bytes) else b"")


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace").replace("\r\n", "\n")
