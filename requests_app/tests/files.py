"""Files as people send them, small and well made, and some that are not what they say."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib

from accounts.models import User
from requests_app.attachments import place_of
from requests_app.models import AccessRequest, Attachment


def pdf(mark: str = "") -> bytes:
    """One empty page; ``mark`` makes it another file."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    objects.append(b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>")
    body, places = b"%PDF-1.4\n%" + mark.encode() + b"\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj%s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + b"xref\n0 4\n0000000000 65535 f \n" + table + end


def png(mark: str = "") -> bytes:
    """One white dot."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = part(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    text = part(b"tEXt", b"Comment\0" + mark.encode("latin-1"))
    return b"\x89PNG\r\n\x1a\n" + head + text + part(b"IDAT", zlib.compress(b"\0\xff")) + part(b"IEND", b"")


def jpeg(mark: str = "") -> bytes:
    """The segments of a picture of one dot; the dot itself is noise."""

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

    return b"".join(
        (
            b"\xff\xd8",
            segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            segment(0xFE, mark.encode()),
            segment(0xDB, b"\0" + b"\1" * 64),
            segment(0xC0, b"\x08\0\1\0\1\1\1\x11\0"),
            segment(0xDA, b"\1\1\0\0\x3f\0"),
            b"\x54\xff\xd9",
        )
    )


def zipped(name: str = "[Content_Types].xml") -> bytes:
    """What a spreadsheet is."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, "<Types/>")
    return archive.getvalue()


def attached(
    request: AccessRequest,
    *,
    name: str = "designacao.pdf",
    content: bytes | None = None,
    kind: Attachment.Kind = Attachment.Kind.REQUEST,
    by: User | None = None,
) -> Attachment:
    """A file of a request, on the disk too."""
    content = content or pdf()
    attachment = Attachment.objects.create(
        request=request,
        kind=kind,
        name=name,
        media_type=Attachment.MediaType.PDF,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        uploaded_by=by or request.requester,
    )
    place = place_of(attachment.key)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    place.chmod(0o600)
    return attachment
