"""What browsers upload: taken only where a page asks for it, streamed to disk, and told by its bytes what it is."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import struct
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest, HttpResponse

from accounts.uploaded_imports import LARGEST_UPLOAD

from .models import LARGEST_FILE, MOST_FILES, Attachment

log = logging.getLogger(__name__)

MULTIPART = "multipart/form-data"

MediaType = Attachment.MediaType

MOST_MEGABYTES = LARGEST_FILE // 1024**2
TOO_MANY = f"Um pedido leva no máximo {MOST_FILES} arquivos. Retire algum ou junte as páginas em um só PDF."
TOO_LARGE = f"O arquivo “{{0}}” tem mais de {MOST_MEGABYTES} MB. Reduza o arquivo ou divida em partes."
NO_ROOM = "O arquivo “{0}” não pôde ser guardado agora. Tente de novo mais tarde ou envie o pedido sem ele."
EMPTY = "O arquivo “{0}” está vazio. Confira o arquivo e escolha de novo."
WRONG_KIND = "O arquivo “{0}” não é PDF, JPEG nem PNG. Salve como PDF e escolha de novo."


@dataclass(frozen=True)
class Taking:
    """What a page takes: in which field, from whom, how many files, how large, and what it says of more."""

    field: str
    permission: str = ""
    most: int = MOST_FILES
    largest: int = LARGEST_FILE
    too_many: str = TOO_MANY
    too_large: str = TOO_LARGE
    no_room: str = NO_ROOM


#: By the name of the page's address.
TAKES = {
    "request-create": Taking("attachments"),
    "request-correct": Taking("attachments"),
    "requests_app_accessrequest_despacho": Taking("despacho", "requests_app.decide"),
    "accounts_directoryimport_add": Taking(
        "file",
        "accounts.import_directory",
        most=1,
        largest=LARGEST_UPLOAD,
        too_many="Envie um arquivo de cada vez.",
        too_large=f"O arquivo “{{0}}” tem mais de {LARGEST_UPLOAD // 1024**2} MB. Importe-o pelo comando.",
        no_room="O arquivo “{0}” não pôde ser guardado agora. Tente de novo mais tarde.",
    ),
}


def taking(request: HttpRequest) -> Taking | None:
    """Nothing where the page takes no file, or not from this person: no stranger writes to the disk."""
    match = request.resolver_match
    found = TAKES.get((match.url_name or "") if match else "")
    user = getattr(request, "user", None)
    if found is None or user is None or not user.is_authenticated:
        return None
    return found if not found.permission or user.has_perm(found.permission) else None


class IncomingFile(UploadedFile):
    """A file on its way in: on disk under a name of ours, and gone when it is closed unless it was moved.

    ``refusal`` is the sentence about what was wrong on the way; then nothing of it is kept.
    """

    def __init__(self, name: str, taking: Taking, refusal: str = "") -> None:
        self.taking = taking
        self.refusal = refusal
        self.digest = hashlib.sha256()
        #: As it was given, fit to be shown.
        self.shown_name = clean_name(name)
        super().__init__(None, self.shown_name, size=0)
        if not refusal:
            self._open()

    def _open(self) -> None:
        try:
            # Of mode 600, and closed with this.
            self.file = tempfile.NamedTemporaryFile(dir=settings.ATTACHMENTS_DIR, suffix=".upload")  # noqa: SIM115
        except OSError as error:
            self.refuse_for_the_disk(error)

    def refuse_for_the_disk(self, error: OSError) -> None:
        """It cannot be written: the folder is not there, or the disk is full."""
        log.error("An uploaded file cannot be written to ATTACHMENTS_DIR: %s", error.strerror)
        self.refuse(self.taking.no_room)

    def refuse(self, sentence: str) -> None:
        """Keep nothing of it."""
        self.refusal = sentence.format(self.shown_name)
        self.close()

    @property
    def on_disk(self) -> IO[bytes]:
        """The bytes, as long as it is not refused."""
        assert self.file is not None  # noqa: S101 - for the type checker
        return self.file

    def append(self, chunk: bytes) -> None:
        """The next bytes; once it is refused they are dropped."""
        if self.refusal:
            return
        self.size = (self.size or 0) + len(chunk)
        if self.size > self.taking.largest:
            self.refuse(self.taking.too_large)
            return
        self.digest.update(chunk)
        try:
            self.on_disk.write(chunk)
        except OSError as error:
            self.refuse_for_the_disk(error)

    def end(self) -> None:
        """There comes no more: what Python still holds back goes to the disk, and whether it has room is known."""
        if self.refusal:
            return
        try:
            self.on_disk.flush()
        except OSError as error:
            self.refuse_for_the_disk(error)

    def move_to(self, place: Path) -> None:
        """To stay there, on the disk itself and not only on its way to it. Raises OSError."""
        self.on_disk.flush()
        os.fsync(self.on_disk.fileno())
        place.parent.mkdir(mode=0o700, exist_ok=True)
        Path(self.on_disk.name).replace(place)
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        try:
            if self.file is not None:
                self.file.close()
        except OSError:  # moved to its place; or the disk is full, and it is gone all the same
            pass


class UploadHandler(FileUploadHandler):
    """Streams what a page takes to disk, no further than the limits; everything else is read and dropped.

    Too many files, or too large ones, still come to the form, without their bytes: it says what was wrong with them.
    """

    file: IncomingFile

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.taking = taking(self.request) if self.request else None
        self.taken = 0

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        super().new_file(field_name, file_name, *args, **kwargs)
        if self.taking is None or field_name != self.taking.field:
            raise SkipFile
        self.taken += 1
        refusal = self.taking.too_many if self.taken > self.taking.most else ""
        self.file = IncomingFile(file_name, self.taking, refusal)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.file.append(raw_data)

    def file_complete(self, file_size: int) -> IncomingFile:
        file = self.file
        del self.file  # Django closes what it finds here when a later file is skipped
        file.end()
        return file

    def upload_interrupted(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


class UploadMiddleware:
    """Leaves nothing on the disk of an upload that broke off or could not be read: Django tells no handler of that."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.content_type == MULTIPART:
            for handler in request.upload_handlers:
                handler.upload_interrupted()
        return response


# --- Names ----------------------------------------------------------------------------------------------------------
LONGEST_NAME = 150
SUFFIXES = {
    MediaType.PDF: (".pdf",),
    MediaType.JPEG: (".jpg", ".jpeg", ".jpe", ".jfif"),
    MediaType.PNG: (".png",),
}


def clean_name(given: str, media_type: Attachment.MediaType | None = None) -> str:
    """The name without folders and without what is not seen (controls, marks that turn the direction of writing).

    At most 150 characters. With ``media_type``, it ends as such a file's name does, whatever it said before.
    """
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", given))[-1]
    seen = (" " if char.isspace() else char for char in name if unicodedata.category(char)[0] != "C")
    name = " ".join("".join(seen).split()).strip(". ") or "arquivo"
    if media_type is None:
        return _cut(name, "")
    path = Path(name)
    if path.suffix.lower() in SUFFIXES[media_type]:
        return _cut(path.stem, path.suffix)
    return _cut(name, SUFFIXES[media_type][0])


def _cut(stem: str, suffix: str) -> str:
    return f"{stem[: LONGEST_NAME - len(suffix)]}{suffix}"


# --- What a file is --------------------------------------------------------------------------------------------------
#: More than a picture has; a file of ten megabytes of empty parts must not hold the page.
MOST_PARTS = 10_000
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
PDF = re.compile(rb"%PDF-[12]\.[0-9]")
PDF_END = re.compile(rb"startxref\s+([0-9]{1,10})\s+%%EOF")
ZIP_END = b"PK\5\6"
#: How far from the end of a file programs look for that of a ZIP: its 22 bytes, and the longest comment.
ZIP_TAIL = 22 + 65_535
#: Frame headers of JPEG: C4, C8 and CC mean something else.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
START_OF_SCAN = 0xDA


def media_type_of(file: IO[bytes], size: int) -> Attachment.MediaType | None:
    """What the bytes are; None for anything but a PDF, JPEG or PNG that is not a ZIP as well (ASVS 5.0 5.2.2).

    A PDF and a PNG are looked at from beginning to end, a JPEG up to the picture itself: phones write more behind it.
    Neither the name nor what the browser says about it is believed.
    """
    if _is_zip_too(file, size):
        return None
    for media_type, is_one in KINDS.items():
        file.seek(0)
        if is_one(file, size):
            return media_type
    return None


def _tail(file: IO[bytes], size: int, length: int) -> bytes:
    file.seek(max(size - length, 0))
    return file.read(length)


def _is_zip_too(file: IO[bytes], size: int) -> bool:
    """Programs look for a ZIP, and so for a spreadsheet or a Java program, from the end: it may begin as anything.

    Most of them do not mind what stands behind it.
    """
    return ZIP_END in _tail(file, size, ZIP_TAIL)


def _is_pdf(file: IO[bytes], size: int) -> bool:
    """It begins as one, not only somewhere, and has its table of contents at the end."""
    if not PDF.match(file.read(8)):
        return False
    found = PDF_END.search(_tail(file, size, 8192))
    return found is not None and int(found[1]) < size


def _is_png(file: IO[bytes], size: int) -> bool:
    """Its parts follow one another, from the header to the end."""
    if file.read(8) != PNG:
        return False
    at = len(PNG)
    for number in range(MOST_PARTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:  # noqa: PLR2004 - length and name
            return False
        length, name = struct.unpack(">I4s", head)
        at += length + 12
        if at > size or (number == 0) != (name == b"IHDR"):
            return False
        if name == b"IEND":
            return True
    return False


def _is_jpeg(file: IO[bytes], size: int) -> bool:
    """Its segments follow one another to the picture itself, and one of them says how large that is."""
    if file.read(3) != JPEG:
        return False
    at, has_frame = 2, False
    for _ in range(MOST_PARTS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:  # noqa: PLR2004 - marker and length
            return False
        if head[1] == 0xFF:  # noqa: PLR2004 - a filler
            at += 1
            continue
        if head[1] == START_OF_SCAN:
            return has_frame
        length = int.from_bytes(head[2:4], "big")
        has_frame = has_frame or head[1] in FRAMES
        at += 2 + length
        if length < 2 or at > size:  # noqa: PLR2004 - it counts itself
            return False
    return False


KINDS: dict[Attachment.MediaType, Callable[[IO[bytes], int], bool]] = {
    MediaType.PDF: _is_pdf,
    MediaType.JPEG: _is_jpeg,
    MediaType.PNG: _is_png,
}
