"""Handlers for ``python -m aiosmtpd``, the mail server of the measurements."""

from __future__ import annotations

import asyncio

from aiosmtpd.smtp import SMTP, Envelope, Session

#: Seconds that the slow one takes to answer.
SLOWNESS = 2


class Prompt:
    """Takes every mail and forgets it."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 OK"


class Slow:
    """Takes every mail, after a while."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(SLOWNESS)
        return "250 OK"
