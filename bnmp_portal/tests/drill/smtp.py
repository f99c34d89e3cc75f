"""The drill's mail server, a process of its own: it can be killed between taking a mail and saying so.

``python -m bnmp_portal.tests.drill.smtp PORT FOLDER [UNKNOWN]`` writes each mail that it takes as a line of JSON to
``FOLDER/mails``, answers 550 for the mailbox UNKNOWN and, while there is a file ``FOLDER/moody``, 451 half the time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

UNKNOWN_MAILBOX = "550 5.1.1 Mailbox unavailable"
#: Seconds. A mail that was taken and is not yet answered for: what is cut here, there will be a copy of.
SLOWNESS = 0.04


class MailServer:
    def __init__(self, folder: Path, unknown: str) -> None:
        self.mails = os.open(folder / "mails", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.moody = folder / "moody"
        self.unknown = unknown
        self.asked = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == self.unknown:
            return UNKNOWN_MAILBOX
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.asked += 1
        if self.asked % 2 and self.moody.exists():
            return "451 4.3.2 Try again later"
        content = (envelope.original_content or b"").decode("utf-8", "surrogateescape")
        taken = {"to": list(envelope.rcpt_tos), "content": content}
        os.write(self.mails, json.dumps(taken).encode() + b"\n")  # one call: whole or not at all
        await asyncio.sleep(SLOWNESS)
        return "250 OK"


async def serve(port: int, folder: Path, unknown: str) -> None:
    mail_server = MailServer(folder, unknown)
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mail_server), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), *(sys.argv[3:] or [""])))
