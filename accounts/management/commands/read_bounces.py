"""``manage.py read_bounces [SOURCE …]``: mail that comes back, from a mailbox, a folder, a file or a mail server."""

from __future__ import annotations

import imaplib
import ssl
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts import bounces
from accounts.bounces import Outcome

#: Seconds that the mail server may take for each step.
PATIENCE = 10
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
#: The outcomes after which nobody needs to look at the message; the others stay for a person, or for the next time.
DONE = {Outcome.RETURNED, Outcome.KNOWN, Outcome.NO_FAILURE}
#: EX_TEMPFAIL of sysexits.h: a mail server keeps the message and hands it over again later.
TRY_LATER = 75

#: Takes one message, or why it could not be read; True if the source may note that it is done with.
Take: TypeAlias = Callable[[bytes | OSError], bool]


class SourceError(Exception):
    """A source that cannot be read; the message is a sentence for the administrator."""


class Command(BaseCommand):
    """Exit status: 0 all sources were read; 1 one could not be; 75 the message of ``-`` must be handed over again."""

    help = "Lê os avisos de devolução e marca as mensagens do portal que não foram entregues."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "sources",
            metavar="FONTE",
            nargs="*",
            help="arquivo com uma mensagem, arquivo mbox, pasta Maildir ou - (entrada padrão); "
            "sem nenhuma, a caixa de BOUNCE_MAILBOX",
        )

    def handle(self, *args: Any, sources: list[str], **options: Any) -> None:
        if not sources and not settings.BOUNCE_MAILBOX:
            raise CommandError("Indique o que ler, ou defina BOUNCE_MAILBOX. Veja .env.example.")
        outcomes: Counter[Outcome | None] = Counter()

        def take(message: bytes | OSError) -> bool:
            outcome = None if isinstance(message, OSError) else bounces.apply(message)
            outcomes[outcome] += 1
            return outcome in DONE

        problems = []
        for source in sources or [settings.BOUNCE_MAILBOX]:
            try:
                (_read if sources else _read_mailbox)(source, take)
            except SourceError as problem:
                problems.append(str(problem))
        if options["verbosity"]:
            self.stdout.write(_summary(outcomes))
        if problems:
            raise CommandError(" ".join(problems))
        if "-" in sources and outcomes[Outcome.TOO_EARLY]:
            raise CommandError("A mensagem ainda está saindo: entregue o aviso de novo.", returncode=TRY_LATER)


def _summary(outcomes: Counter[Outcome | None]) -> str:
    ours = outcomes[Outcome.RETURNED] + outcomes[Outcome.KNOWN] + outcomes[Outcome.TOO_EARLY]
    sentences = [
        f"Lidas: {outcomes.total() - outcomes[None]}.",
        f"Devoluções: {ours + outcomes[Outcome.NOT_OURS]}, de mensagens nossas: {ours},",
        f"marcadas agora como não entregues: {outcomes[Outcome.RETURNED]}.",
        f"Ignoradas: {outcomes[Outcome.NOTHING] + outcomes[Outcome.NO_FAILURE]}.",
    ]
    if outcomes[Outcome.TOO_EARLY]:
        sentences.append(f"A ler de novo, porque a mensagem ainda está saindo: {outcomes[Outcome.TOO_EARLY]}.")
    if outcomes[None]:
        sentences.append(f"Não puderam ser lidas: {outcomes[None]}.")
    return " ".join(sentences)


# --- Files ----------------------------------------------------------------------------------------------------------
def _read(source: str, take: Take) -> None:
    path = Path(source)
    try:
        if source == "-":
            _read_stream(sys.stdin.buffer, take)
        elif path.is_dir():
            _read_maildir(path, take)
        else:
            with path.open("rb") as file:
                _read_stream(file, take)
    except (OSError, ValueError) as problem:  # ValueError: a name with a NUL in it
        why = getattr(problem, "strerror", None) or type(problem).__name__
        raise SourceError(f"{source!r} não pôde ser lido: {why}.") from None


def _read_stream(file: BinaryIO, take: Take) -> None:
    """One message, or an mbox: that begins with a line ``From ``, and so does each message after an empty line."""
    message = bytearray()
    line = file.readline(bounces.MAX_BYTES)
    mbox = after_empty_line = line.startswith(b"From ")
    while line:
        if mbox and after_empty_line and line.startswith(b"From "):
            if message:
                take(bytes(message))
            message.clear()
        elif len(message) < bounces.MAX_BYTES:  # what is too long is read on, so that a mail server can end its writing
            message += line
        after_empty_line = line in {b"\n", b"\r\n"}
        line = file.readline(bounces.MAX_BYTES)
    if message:
        take(bytes(message))


def _read_maildir(folder: Path, take: Take) -> None:
    """What is new; what is done with moves on to ``cur``, marked as seen."""
    for path in sorted((folder / "new").iterdir()):
        try:
            with path.open("rb") as file:
                message: bytes | OSError = file.read(bounces.MAX_BYTES)
        except OSError as problem:
            message = problem
        if take(message):
            path.rename(folder / "cur" / f"{path.name.partition(':')[0]}:2,S")


# --- IMAP -----------------------------------------------------------------------------------------------------------
def _read_mailbox(address: str, take: Take) -> None:
    """What nobody has read yet; what is done with is marked as read. Nothing is moved or removed."""
    parts = urlsplit(address)
    try:
        server = _connect(parts)
        try:
            _sign_in(server, parts)
            _read_unseen(server, unquote(parts.path).strip("/") or "INBOX", take)
            server.logout()
        finally:
            with suppress(OSError):  # as a rule it is closed already
                server.shutdown()
    except (OSError, imaplib.IMAP4.error) as problem:
        raise SourceError(f"A caixa em {parts.hostname} não pôde ser lida ({type(problem).__name__}).") from None


def _connect(parts: SplitResult) -> imaplib.IMAP4:
    host = parts.hostname or ""
    if parts.scheme == "imaps":
        context = ssl.create_default_context()
        return imaplib.IMAP4_SSL(host, parts.port or 993, ssl_context=context, timeout=PATIENCE)
    return imaplib.IMAP4(host, parts.port or 143, timeout=PATIENCE)


def _sign_in(server: imaplib.IMAP4, parts: SplitResult) -> None:
    """The password leaves this machine over TLS or not at all."""
    if parts.scheme == "imap" and parts.hostname not in LOCAL_HOSTS:
        server.starttls(ssl.create_default_context())
    try:
        server.login(_quoted(unquote(parts.username or "")), unquote(parts.password or ""))
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error:
        raise SourceError(f"{parts.hostname} recusou o usuário ou a senha de BOUNCE_MAILBOX.") from None


def _read_unseen(server: imaplib.IMAP4, folder: str, take: Take) -> None:
    if server.select(_quoted(folder))[0] != "OK":
        raise SourceError(f"A caixa de BOUNCE_MAILBOX não tem a pasta {folder!r}.")
    _answer, found = server.uid("SEARCH", "UNSEEN")
    # The newest first: what is none of ours stays unread, and must not stand in the way of what is.
    for number in reversed((found[0] or b"").decode().split()):
        _answer, lines = server.uid("FETCH", number, f"(BODY.PEEK[]<0.{bounces.MAX_BYTES}>)")
        message = next((line[1] for line in lines if isinstance(line, tuple)), None)
        # Without a message: somebody removed it meanwhile.
        if message is not None and take(message):
            server.uid("STORE", number, "+FLAGS.SILENT", r"(\Seen)")


def _quoted(text: str) -> str:
    """A string as IMAP writes it (RFC 3501, 4.3)."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
