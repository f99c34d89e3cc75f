"""Files of requests: what is taken and what is not, where it lies, who gets it back, and when it goes."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
import tracemalloc
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import SecurityEvent
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app import attachments, uploads, workflow
from requests_app.models import LARGEST_FILE, AccessRequest, Attachment, Status

from .factories import UserTypeFactory, analyst, manager, request_in, superuser, unsaved_request
from .files import attached, jpeg, pdf, png, zipped
from .pages import Page, text_of, walk
from .test_concurrency import at_once

pytestmark = pytest.mark.django_db

NEW = "/solicitacoes/nova/"
DESK = "/admin/requests_app/accessrequest/"
WRONG_KIND = "não é PDF, JPEG nem PNG"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """A folder of each test's own, so that what is left over is seen."""
    settings.ATTACHMENTS_DIR = tmp_path / "attachments"
    settings.ATTACHMENTS_DIR.mkdir()
    return settings.ATTACHMENTS_DIR


@pytest.fixture
def requester(client, db):
    user = EmploymentFactory(cargo="Chefe de Cartório").user
    client.force_login(user)
    return user


def on_disk(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def upload(name, content):
    return SimpleUploadedFile(name, content, content_type="application/pdf")


def answers(client, *files, **changes):
    """What a browser posts for a form that was filled in well, with these files."""
    page = Page(client.get(NEW))
    user_type = changes.pop("user_type", None) or UserTypeFactory()
    values = {
        "nonce": page.value("nonce"),
        "requester_email": "lucia.goncalves@tjms.jus.br",
        "requester_phone": "(67) 3314-7851",
        "beneficiary": EmploymentFactory().pk,
        "user_type": user_type.pk,
        "system": user_type.system_id,
        "description": "Consulta de mandados no atendimento.",
        "attachments": list(files),
        **changes,
    }
    return {name: value for name, value in values.items() if value not in (None, [])}


def anew(response, *files, **changes):
    """The form that came back, sent again as it stands there."""
    page = Page(response)
    names = ("nonce", "requester_email", "requester_phone", "beneficiary", "user_type", "system", "description")
    values = {name: page.value(name) for name in (*names, "uploaded")}
    return {name: value for name, value in {**values, "attachments": list(files), **changes}.items() if value}


def kept(response):
    """The files that the page says it has already."""
    return [text_of(line) for line in walk(Page(response).one(aria_labelledby="kept-files")) if line.name == "li"]


def button_of(response, name):
    """What the button beside this file posts."""
    for button in Page(response).all("button", name="retirar"):
        if name in text_of(button):
            return dict(button.attributes)["value"]
    return None


# --- A request with files -------------------------------------------------------------------------------------------
def test_the_form_offers_a_field_for_files(client, requester):
    page = Page(client.get(NEW))

    field = dict(page.one("input", name="attachments").attributes)
    assert field["type"] == "file"
    assert "multiple" in field
    assert page.label("attachments").startswith("Anexos:")
    assert "PDF, JPEG ou PNG. Cada arquivo pode ter até 10 MB. No máximo, 5 arquivos." in page.text
    assert dict(page.one("form", class_="request-form").attributes)["enctype"] == "multipart/form-data"


def test_a_request_without_files_is_filed_as_ever(client, requester, folder):
    assert client.post(NEW, answers(client)).status_code == 302
    assert Attachment.objects.count() == 0
    assert on_disk(folder) == []


def test_files_are_filed_with_their_request(client, requester, folder):
    contents = {"ofício.pdf": pdf(), "foto.jpg": jpeg(), "print.png": png()}

    response = client.post(NEW, answers(client, *(upload(name, content) for name, content in contents.items())))

    request = AccessRequest.objects.get()
    assert response["Location"] == f"/solicitacoes/{request.protocol}/"
    rows = {row.name: row for row in request.attachments.all()}
    assert rows.keys() == contents.keys()
    for name, content in contents.items():
        assert attachments.place_of(rows[name].key).read_bytes() == content
        assert rows[name].sha256 == hashlib.sha256(content).hexdigest()
        assert (rows[name].size, rows[name].uploaded_by, rows[name].kind) == (len(content), requester, "REQUEST")
    assert [row.media_type for row in rows.values()] == ["application/pdf", "image/jpeg", "image/png"]
    shown = Page(client.get(response["Location"]))
    assert all(name in shown.text for name in contents)


def test_asvs_5_3_1_a_file_lies_under_a_key_of_ours_and_only_the_portal_reads_it(client, requester, folder):
    client.post(NEW, answers(client, upload("../../evil.html", pdf())))

    (file,) = on_disk(folder)
    assert file.name == str(Attachment.objects.get().key)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("given", "kept_as"),
    [
        ("designação.pdf", "designação.pdf"),
        ("DESIGNAÇÃO.PDF", "DESIGNAÇÃO.PDF"),
        ("sem extensão", "sem extensão.pdf"),
        ("pagina.html", "pagina.html.pdf"),
        ("C:\\Users\\maria\\oficio.pdf", "oficio.pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        ("a\u202efdp.exe", "afdp.exe.pdf"),
        ("a\u200b\x07b.pdf", "ab.pdf"),
        ("dois  \t espaços.pdf", "dois espaços.pdf"),
        (" .pdf", "pdf.pdf"),
        ("...", "arquivo.pdf"),
        ("", "arquivo.pdf"),
        ("\ud800", "arquivo.pdf"),
        ("x" * 5000 + ".pdf", "x" * 146 + ".pdf"),
        ("x." + "y" * 5000, "x." + "y" * 144 + ".pdf"),
        ("e\u0301.pdf", "é.pdf"),
    ],
)
def test_a_name_keeps_what_people_see_of_it_and_ends_as_what_the_file_is(given, kept_as):
    assert uploads.clean_name(given, Attachment.MediaType.PDF) == kept_as


# --- What is not taken ----------------------------------------------------------------------------------------------
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
ODD = {
    "planilha.pdf": zipped("xl/workbook.xml"),
    "arquivo.png": zipped(),
    "pagina.png": b"<html><script>alert(1)</script></html>",
    "figura.png": SVG,
    "figura.pdf": SVG,
    "programa.pdf": b"MZ" + b"\0" * 500,
    "nulos.pdf": b"\0" * 5000,
    "antes.pdf": b"<html>" + pdf(),
    "so-o-comeco.pdf": b"%PDF-1.7\n" + b"x" * 500,
    "fim-fora-do-arquivo.pdf": b"%PDF-1.7\n" + b"x" * 100 + b"\nstartxref\n99999\n%%EOF\n",
    "zip-e-pdf.pdf": pdf() + zipped(),
    "zip-e-um-byte.pdf": pdf() + zipped() + b"\n",
    "zip-e-muito-mais.jpg": jpeg() + zipped() + b"x" * 5000,
    "zip-e-png.png": png() + zipped(),
    "zip-e-jpeg.jpg": jpeg() + zipped("run.class"),
    "cortado.png": png()[:-12],
    "so-a-marca.png": b"\x89PNG\r\n\x1a\n",
    "html-por-dentro.png": b"\x89PNG\r\n\x1a\n<html>" + png()[8:],
    "so-a-marca.jpg": b"\xff\xd8\xff",
    "sem-quadro.jpg": b"\xff\xd8\xff\xe0\0\4ab\xff\xda\0\2",
    "html-por-dentro.jpg": b"\xff\xd8\xff\xe0\0\4ab<html>",
    "partes-vazias.png": b"\x89PNG\r\n\x1a\n" + png()[8:33] + (b"\0\0\0\0aaaa\0\0\0\0" * 20_000),
}


@pytest.mark.parametrize(("name", "content"), ODD.items(), ids=ODD)
def test_fault_23_what_is_no_pdf_jpeg_or_png_is_refused_whatever_it_is_called(client, requester, folder, name, content):
    response = client.post(NEW, answers(client, upload(name, content)))

    page = Page(response)
    assert f"“{name}” {WRONG_KIND}" in page.beside("attachments")
    assert f"Anexos: O arquivo “{name}” {WRONG_KIND}" in page.summary
    assert page.value("description") == "Consulta de mandados no atendimento."
    assert AccessRequest.objects.count() == 0
    assert (Attachment.objects.count(), on_disk(folder)) == (0, [])


@pytest.mark.parametrize("make", [pdf, jpeg, png])
def test_asvs_5_2_2_what_a_file_is_its_bytes_say(make):
    content = make()

    found = uploads.media_type_of(io.BytesIO(content), len(content))

    assert found == {"pdf": "application/pdf", "jpeg": "image/jpeg", "png": "image/png"}[make.__name__]


def test_what_phones_write_behind_a_picture_does_no_harm():
    content = jpeg() + b"trailer of a phone" * 100

    assert uploads.media_type_of(io.BytesIO(content), len(content)) == "image/jpeg"


def test_fault_23_an_empty_file_is_told(client, requester, folder):
    page = Page(client.post(NEW, answers(client, upload("vazio.pdf", b""))))

    assert page.beside("attachments") == "Erro: O arquivo “vazio.pdf” está vazio. Confira o arquivo e escolha de novo."
    assert on_disk(folder) == []


def test_asvs_5_2_1_a_file_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(client, requester, folder):
    end = pdf()
    full = b"%PDF-1.4\n" + b"x" * (LARGEST_FILE - 9 - len(end)) + end
    assert len(full) == LARGEST_FILE

    over = client.post(NEW, answers(client, upload("grande.pdf", full + b"\n")))
    taken = client.post(NEW, answers(client, upload("cheio.pdf", full)))

    assert "“grande.pdf” tem mais de 10 MB" in Page(over).beside("attachments")
    assert taken.status_code == 302
    assert [file.stat().st_size for file in on_disk(folder)] == [LARGEST_FILE]


class Generated(io.RawIOBase):
    """A body that is made while it is read: nobody holds 200 MB."""

    def __init__(self, before, size, after):
        self.parts, self.left, self.after = before, size, after

    def read(self, size=-1):
        if self.parts:
            chunk, self.parts = self.parts[:size], self.parts[size:]
        elif self.left:
            chunk = b"x" * min(size, self.left)
            self.left -= len(chunk)
        else:
            chunk, self.after = self.after[:size], self.after[size:]
        return chunk


def test_fault_23_of_200_megabytes_neither_memory_nor_disk_keep_more_than_the_limit(
    client, requester, folder, monkeypatch
):
    written = []
    monkeypatch.setattr(
        uploads.IncomingFile,
        "append",
        lambda self, chunk, append=uploads.IncomingFile.append: (
            append(self, chunk) or written.append(sum(file.stat().st_size for file in on_disk(folder)))
        ),
    )
    body = encode_multipart(BOUNDARY, answers(client, upload("enorme.pdf", b"%PDF-1.4\n@@here@@")))
    before, after = body.split(b"@@here@@")
    size = 200 * 1024**2

    tracemalloc.start()
    response = client.generic(
        "POST",
        NEW,
        b"",
        **{
            "CONTENT_TYPE": MULTIPART_CONTENT,
            "wsgi.input": Generated(before, size, after),
            "CONTENT_LENGTH": str(len(before) + size + len(after)),
        },
    )
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    page = Page(response)
    assert "“enorme.pdf” tem mais de 10 MB" in page.beside("attachments")
    assert page.value("description") == "Consulta de mandados no atendimento."  # it came after the file, or before
    assert peak < 20 * 1024**2
    assert max(written) <= LARGEST_FILE
    assert on_disk(folder) == []


def test_asvs_5_2_1_five_files_are_taken_and_of_six_the_sixth_is_not(client, requester, folder):
    six = [upload(f"{number}.pdf", pdf(str(number))) for number in range(6)]

    response = client.post(NEW, answers(client, *six))

    assert Page(response).beside("attachments").startswith("Erro: Um pedido leva no máximo 5 arquivos.")
    assert len(kept(response)) == len(on_disk(folder)) == 5
    assert client.post(NEW, anew(response)).status_code == 302
    assert AccessRequest.objects.get().attachments.count() == 5


#: A body whose file has begun, of this name.
BEGUN = b'--B\r\nContent-Disposition: form-data; name="attachments"; filename="%s"\r\n'
OF_B = "multipart/form-data; boundary=B"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", MULTIPART_CONTENT),
        (b"garbage", MULTIPART_CONTENT),
        (b"--" + BOUNDARY.encode(), MULTIPART_CONTENT),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary="),
        (b"x", "multipart/form-data; boundary=\xff"),
        (BEGUN % b"a.pdf" + b"Content-Transfer-Encoding: base64\r\n\r\n%PDF-@@@\r\n--B--\r\n", OF_B),
        (BEGUN % b"a.pdf" + b"\r\n%PDF-1.4", OF_B),
        (BEGUN % b"\0" + b"\r\n%PDF-1.4\r\n--B--\r\n", OF_B),
    ],
)
def test_fault_23_a_broken_body_is_answered_and_leaves_nothing(client, requester, folder, body, content_type):
    response = client.generic("POST", NEW, body, content_type)

    assert response.status_code in {200, 400}
    assert (AccessRequest.objects.count(), Attachment.objects.count(), on_disk(folder)) == (0, 0, [])


def test_more_files_than_any_form_has_are_refused_as_a_whole(client, requester, folder):
    many = [upload(f"{number}.pdf", pdf()) for number in range(101)]

    assert client.post(NEW, answers(client, *many)).status_code == 400
    assert on_disk(folder) == []


@pytest.mark.parametrize("address", ["/entrar/", "/solicitacoes/nova/", "/esqueci-a-senha/"])
def test_a_stranger_writes_nothing_to_the_disk(client, db, folder, address, monkeypatch):
    opened = []
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda *a, **k: opened.append(a))

    client.post(address, {"attachments": upload("a.pdf", pdf()), "username": "1", "password": "x"})

    assert opened == []


@pytest.mark.parametrize("field", ["description", "nonce", "other"])
def test_a_file_in_the_place_of_a_text_is_dropped(client, requester, folder, field):
    response = client.post(NEW, {**answers(client), field: upload("a.pdf", pdf())})

    assert response.status_code in {200, 302}
    assert on_disk(folder) == []


def test_a_page_that_takes_no_files_drops_them(client, requester, folder):
    request = request_in(Status.PENDING, requester=requester)

    response = client.post(f"/solicitacoes/{request.protocol}/cancelar/", {"attachments": upload("a.pdf", pdf())})

    assert response.status_code == 302
    assert on_disk(folder) == []


def test_a_disk_that_cannot_be_written_gets_a_sentence_and_a_line_in_the_log(client, requester, folder, caplog):
    folder.rmdir()

    page = Page(client.post(NEW, answers(client, upload("a.pdf", pdf()))))

    assert "“a.pdf” não pôde ser guardado agora" in page.beside("attachments")
    assert "ATTACHMENTS_DIR" in caplog.text
    assert AccessRequest.objects.count() == 0


def test_a_disk_that_fills_up_gets_the_same_sentence(client, requester, folder, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    page = Page(client.post(NEW, answers(client, upload("a.pdf", pdf()))))

    assert "“a.pdf” não pôde ser guardado agora" in page.beside("attachments")
    assert (Attachment.objects.count(), on_disk(folder)) == (0, [])


@pytest.mark.parametrize("content", [pdf(), pdf("x" * 300_000)], ids=["in the buffer", "on its way"])
def test_fault_23_a_disk_that_is_full_already_gets_the_same_sentence(client, requester, folder, monkeypatch, content):
    request = request_in(Status.PENDING)
    sent = answers(client, upload("a.pdf", content))
    # Closed by the upload itself.
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda **_: Path("/dev/full").open("w+b"))  # noqa: SIM115

    page = Page(client.post(NEW, sent))
    client.force_login(analyst())
    told = said(attach(client, request, upload("a.pdf", content)))

    assert "“a.pdf” não pôde ser guardado agora" in page.beside("attachments")
    assert page.value("description") == "Consulta de mandados no atendimento."
    assert "“a.pdf” não pôde ser guardado agora" in told[0]
    assert Attachment.objects.count() == 0


# --- What was sent stays --------------------------------------------------------------------------------------------
def test_a_file_stays_when_another_field_is_wrong(client, requester, folder):
    wrong = client.post(NEW, answers(client, upload("oficio.pdf", pdf()), requester_phone="nenhum"))
    assert [line.split(" (")[0] for line in kept(wrong)] == ["oficio.pdf"]

    response = client.post(NEW, anew(wrong, requester_phone="(67) 3314-7851"))

    assert response.status_code == 302
    assert [row.name for row in AccessRequest.objects.get().attachments.all()] == ["oficio.pdf"]


def test_a_good_file_stays_when_the_one_beside_it_is_bad(client, requester, folder):
    response = client.post(NEW, answers(client, upload("bom.pdf", pdf()), upload("mau.pdf", b"MZ")))

    assert [line.split(" (")[0] for line in kept(response)] == ["bom.pdf"]
    assert "“mau.pdf”" in Page(response).beside("attachments")


def test_a_file_stays_at_the_search_without_javascript(client, requester):
    response = client.post(NEW, {**answers(client, upload("oficio.pdf", pdf())), "buscar": "1"})

    assert [line.split(" (")[0] for line in kept(response)] == ["oficio.pdf"]


def test_a_file_can_be_taken_out_again_and_what_was_typed_stays(client, requester, folder):
    files = upload("um.pdf", pdf("1")), upload("dois.pdf", pdf("2"))
    wrong = client.post(NEW, answers(client, *files, requester_phone="nenhum"))

    response = client.post(NEW, anew(wrong, retirar=button_of(wrong, "um.pdf")))

    assert [line.split(" (")[0] for line in kept(response)] == ["dois.pdf"]
    assert "O arquivo “um.pdf” foi retirado." in Page(response).notices
    assert Page(response).value("description") == "Consulta de mandados no atendimento."
    assert len(on_disk(folder)) == 1


@pytest.mark.parametrize("key", ["", "abc", "0", "9" * 40, "²", "-1", "\0", "1 OR 1=1"])
def test_taking_out_what_is_not_there_is_told(client, requester, key):
    response = client.post(NEW, {**answers(client, upload("um.pdf", pdf())), "retirar": key})

    assert "Este arquivo já não estava no formulário." in Page(response).notices
    assert len(kept(response)) == 1


def test_what_is_filed_is_not_taken_out(client, requester, folder):
    posted = answers(client, upload("um.pdf", pdf()))
    client.post(NEW, posted)
    filed = Attachment.objects.get()

    client.post(NEW, {**posted, "retirar": filed.pk})

    assert Attachment.objects.filter(pk=filed.pk).exists()
    assert len(on_disk(folder)) == 1


def test_somebody_elses_form_takes_and_gives_nothing(client, requester, make_client, folder):
    wrong = client.post(NEW, answers(client, upload("meu.pdf", pdf()), requester_phone="nenhum"))
    mine = Attachment.objects.get()
    other = make_client()
    other.force_login(EmploymentFactory().user)
    stolen = {**answers(other), "nonce": Page(wrong).value("nonce"), "uploaded": "1"}

    taken_out = other.post(NEW, {**stolen, "retirar": mine.pk})
    sent = other.post(NEW, stolen)
    own = other.post(NEW, {**answers(other), "retirar": mine.pk})

    for response in (taken_out, sent, own):
        assert response.status_code == 200
        assert "meu.pdf" not in response.content.decode()
    assert Attachment.objects.get() == mine
    assert AccessRequest.objects.count() == 0


def test_the_same_form_twice_is_one_request_with_one_set_of_files(client, requester, folder):
    posted = answers(client)
    for _ in range(2):
        response = client.post(
            NEW, {**posted, "attachments": [upload("um.pdf", pdf("1")), upload("dois.pdf", pdf("2"))]}
        )
        assert response.status_code == 302

    assert AccessRequest.objects.get().attachments.count() == 2
    assert len(on_disk(folder)) == 2


def notices_after(client, response):
    return Page(client.get(response["Location"])).notices if response.status_code == 302 else Page(response).notices


def test_of_two_equal_files_it_is_told_which_one_was_left_out(client, requester, folder):
    response = client.post(NEW, answers(client, upload("a.pdf", pdf()), upload("b.pdf", pdf())))

    assert "“b.pdf” é igual a “a.pdf” e foi guardado uma vez só." in notices_after(client, response)
    assert [row.name for row in AccessRequest.objects.get().attachments.all()] == ["a.pdf"]
    assert len(on_disk(folder)) == 1


@pytest.mark.parametrize("step", [{"buscar": "1"}, {"requester_phone": "nenhum"}])
def test_a_file_that_came_with_the_form_before_is_told_when_it_comes_again(client, requester, step):
    wrong = client.post(NEW, answers(client, upload("a.pdf", pdf()), **step))

    again = client.post(NEW, anew(wrong, upload("a.pdf", pdf()), requester_phone="nenhum"))

    assert "“a.pdf” já tinha sido enviado e foi guardado uma vez só." in notices_after(client, again)
    assert [line.split(" (")[0] for line in kept(again)] == ["a.pdf"]


def test_different_files_and_a_form_sent_twice_are_not_called_equal(client, requester):
    posted = answers(client)
    for _ in range(2):
        files = [upload("um.pdf", pdf("1")), upload("dois.pdf", pdf("2"))]
        response = client.post(NEW, {**posted, "attachments": files})
        assert not any("uma vez só" in notice for notice in notices_after(client, response))


def test_gone_back_and_sent_again_with_another_file_is_a_new_form_that_has_it(client, requester, folder):
    posted = answers(client)
    client.post(NEW, {**posted, "attachments": upload("um.pdf", pdf("1"))})
    first = AccessRequest.objects.get()

    response = client.post(NEW, {**posted, "attachments": upload("dois.pdf", pdf("2"))})

    assert f"Este formulário já tinha sido enviado: protocolo {first.protocol}." in Page(response).summary
    assert [line.split(" (")[0] for line in kept(response)] == ["dois.pdf"]
    assert [row.name for row in first.attachments.all()] == ["um.pdf"]
    again = client.post(NEW, anew(response, beneficiary=EmploymentFactory().pk))
    assert again.status_code == 302
    assert [row.name for row in AccessRequest.objects.exclude(pk=first.pk).get().attachments.all()] == ["dois.pdf"]


def test_a_file_that_lapsed_while_the_form_was_open_is_not_missed_unseen(client, requester, folder):
    wrong = client.post(NEW, answers(client, upload("um.pdf", pdf()), requester_phone="nenhum"))
    Attachment.objects.all().delete()

    page = Page(client.post(NEW, anew(wrong, requester_phone="(67) 3314-7851")))

    assert "não está mais aqui" in page.beside("attachments")
    assert AccessRequest.objects.count() == 0


@pytest.mark.parametrize("count", ["abc", "-1", "9" * 400, "²", "\0", "1e9"])
def test_nonsense_for_the_number_of_files_counts_none(client, requester, count):
    assert client.post(NEW, answers(client, uploaded=count)).status_code == 302


def test_nobody_fills_the_disk_with_forms(client, requester, folder):
    for form in range(4):
        files = [upload(f"{number}.pdf", pdf(f"{form}-{number}")) for number in range(5)]
        client.post(NEW, answers(client, *files, requester_phone="nenhum"))

    response = client.post(NEW, answers(client, upload("mais.pdf", pdf("mais"))))

    assert "Há 20 arquivos seus em formulários que não foram enviados." in Page(response).beside("attachments")
    assert len(on_disk(folder)) == 20


@pytest.mark.django_db(transaction=True)
def test_fault_17_eight_posts_at_once_with_files_make_one_request_and_one_set(client, make_client, folder):
    client.force_login(EmploymentFactory().user)
    posted = answers(client)
    bodies = [
        encode_multipart(BOUNDARY, {**posted, "attachments": [upload("um.pdf", pdf("1")), upload("dois.png", png())]})
        for _ in range(8)
    ]
    windows = [make_client() for _ in range(8)]
    for window in windows:
        window.cookies = client.cookies.copy()

    responses = at_once(
        *(
            lambda window=window, body=body: window.generic("POST", NEW, body, MULTIPART_CONTENT)
            for window, body in zip(windows, bodies, strict=True)
        )
    )

    request = AccessRequest.objects.get()
    assert {(answer.status_code, answer.get("Location")) for answer in responses} == {
        (302, f"/solicitacoes/{request.protocol}/")
    }
    assert sorted(row.name for row in request.attachments.all()) == ["dois.png", "um.pdf"]
    assert Attachment.objects.count() == len(on_disk(folder)) == 2


# --- Correcting -----------------------------------------------------------------------------------------------------
@pytest.fixture
def returned(requester):
    """A request with three files that has to be corrected."""
    request = workflow.file(unsaved_request(requester=requester))
    for number in range(3):
        attached(request, name=f"antigo{number}.pdf", content=pdf(f"antigo{number}"))
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta o ato de designação.")
    return request


def correct(client, request, *files):
    address = f"/solicitacoes/{request.protocol}/corrigir/"
    return client.post(address, anew(client.get(address), *files))


def test_a_correction_shows_what_is_there_and_adds_to_it(client, returned):
    page = Page(client.get(f"/solicitacoes/{returned.protocol}/corrigir/"))
    assert [f"antigo{number}.pdf" in page.text for number in range(3)] == [True] * 3

    assert correct(client, returned, upload("novo.pdf", pdf("novo"))).status_code == 302

    returned.refresh_from_db()
    assert returned.status == Status.PENDING
    assert [row.name for row in returned.attachments.all()] == [*(f"antigo{n}.pdf" for n in range(3)), "novo.pdf"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("novo.pdf", "“novo.pdf” é igual a “antigo1.pdf” e foi guardado uma vez só."),
        ("antigo1.pdf", "“antigo1.pdf” já tinha sido enviado e foi guardado uma vez só."),
    ],
)
def test_a_correction_says_that_a_file_was_there_already(client, returned, name, sentence):
    response = correct(client, returned, upload(name, pdf("antigo1")))

    assert sentence in notices_after(client, response)
    assert returned.attachments.count() == 3


def test_there_are_five_in_all(client, returned):
    response = correct(client, returned, *(upload(f"{n}.pdf", pdf(f"novo{n}")) for n in range(3)))

    assert "Um pedido leva no máximo 5 arquivos." in Page(response).beside("attachments")
    assert len(kept(response)) == 2
    returned.refresh_from_db()
    assert returned.status == Status.RETURNED


def test_two_windows_together_do_not_get_past_five(client, returned):
    address = f"/solicitacoes/{returned.protocol}/corrigir/"
    first, second = client.get(address), client.get(address)
    for number, window in enumerate((first, second)):
        files = [upload(f"{number}{n}.pdf", pdf(f"{number}{n}")) for n in range(2)]
        answer = client.post(address, {**anew(window, *files), "requester_phone": "nenhum"})
        assert len(kept(answer)) == 2
    sent = client.post(address, {**anew(first), "uploaded": "2"})
    assert sent.status_code == 302
    workflow.move(returned.pk, Status.RETURNED, by=analyst(), note="Ainda falta.")

    response = client.post(address, {**anew(second), "uploaded": "2"})

    assert "Um pedido leva no máximo 5 arquivos." in Page(response).summary
    assert returned.attachments.count() == 5


# --- Who gets them --------------------------------------------------------------------------------------------------
@pytest.fixture
def filed(db):
    request = request_in(Status.PENDING)
    return attached(request, name="ofício “nº 1”.pdf", content=pdf("secret"))


def mine(attachment):
    return f"/solicitacoes/{attachment.request.protocol}/anexos/{attachment.pk}/"


def on_desk(attachment):
    return f"{DESK}{attachment.request_id}/anexos/{attachment.pk}/"


@pytest.mark.parametrize("who", ["requester", "beneficiary"])
def test_asvs_5_4_1_who_asked_and_who_benefits_get_the_file_as_a_download(client, filed, who):
    reader = getattr(filed.request, who)
    client.force_login(reader)

    response = client.get(mine(filed))

    assert response.content == pdf("secret")
    assert response["Content-Type"] == "application/pdf"
    disposition = response["Content-Disposition"]
    assert disposition.startswith("attachment; filename*=utf-8''")
    assert unquote(disposition.split("''")[1]) == "ofício “nº 1”.pdf"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cache-Control"] == "private, no-store"
    event = SecurityEvent.objects.get(kind="ATTACHMENT_READ")
    assert (event.user, event.actor) == (filed.uploaded_by, reader)
    assert event.detail == f"{filed.request.protocol}, anexo {filed.pk}"


@pytest.mark.parametrize("make", [analyst, manager])
def test_staff_who_may_see_requests_get_the_file_on_the_desk(client, filed, make):
    reader = make()
    client.force_login(reader)
    screen = client.get(f"{DESK}{filed.request_id}/change/").content.decode()
    assert on_desk(filed) in screen
    assert "ofício “nº 1”.pdf" in screen

    response = client.get(on_desk(filed))

    assert response.content == pdf("secret")
    assert SecurityEvent.objects.get(kind="ATTACHMENT_READ").actor == reader


def test_another_person_gets_nothing_and_learns_nothing(client, filed):
    client.force_login(EmploymentFactory().user)

    there, nowhere = client.get(mine(filed)), client.get("/solicitacoes/2026-999999/anexos/1/")

    assert (there.status_code, nowhere.status_code) == (404, 404)
    assert client.get(on_desk(filed)).status_code == 302  # the desk's door, and behind it a refusal
    assert not SecurityEvent.objects.filter(kind="ATTACHMENT_READ").exists()


def test_staff_on_the_persons_address_are_strangers(client, filed):
    client.force_login(analyst())
    assert client.get(mine(filed)).status_code == 404


def test_staff_without_the_permission_are_refused(client, filed):
    client.force_login(UserFactory(is_staff=True))
    assert client.get(on_desk(filed)).status_code == 403


def test_a_stranger_is_asked_who_it_is(client, filed):
    assert client.get(mine(filed))["Location"].startswith("/entrar/")
    assert client.get(on_desk(filed))["Location"].startswith("/entrar/")


def test_a_file_is_given_under_its_own_request_only(client, filed):
    other = request_in(Status.PENDING, requester=filed.request.requester)
    client.force_login(filed.request.requester)
    assert client.get(f"/solicitacoes/{other.protocol}/anexos/{filed.pk}/").status_code == 404
    client.force_login(analyst())
    assert client.get(f"{DESK}{other.pk}/anexos/{filed.pk}/").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_a_file_is_read_and_nothing_else(client, filed, method):
    client.force_login(filed.request.requester)
    assert getattr(client, method)(mine(filed)).status_code == 405
    client.force_login(analyst())
    assert getattr(client, method)(on_desk(filed)).status_code == 405


def test_a_file_that_is_gone_from_the_disk_gets_a_sentence_and_a_line_in_the_log(client, filed, caplog):
    attachments.place_of(filed.key).unlink()

    for reader, address in ((filed.request.requester, mine(filed)), (analyst(), on_desk(filed))):
        client.force_login(reader)
        caplog.clear()
        response = client.get(address, follow=True)
        assert "O arquivo não está no servidor." in response.content.decode()
        assert f"Attachment {filed.pk} cannot be read" in caplog.text
        assert filed.name not in caplog.text
    assert not SecurityEvent.objects.filter(kind="ATTACHMENT_READ").exists()


def test_what_is_not_filed_has_no_address(client, requester, folder):
    client.post(NEW, answers(client, upload("um.pdf", pdf()), requester_phone="nenhum"))
    pending = Attachment.objects.get()
    request = request_in(Status.PENDING, requester=requester)

    assert client.get(f"/solicitacoes/{request.protocol}/anexos/{pending.pk}/").status_code == 404


def test_the_log_names_no_file(client, requester, folder, caplog):
    with caplog.at_level(logging.DEBUG, logger="accounts"):
        client.post(NEW, answers(client, upload("laudo-da-maria.pdf", pdf())))
        client.get(mine(Attachment.objects.get()))

    assert "ATTACHMENT_READ" in caplog.text
    assert "laudo-da-maria" not in caplog.text


@pytest.mark.parametrize("on_the_desk", [False, True])
def test_the_number_of_queries_does_not_grow_with_the_files(client, on_the_desk, folder):
    request = request_in(Status.PENDING)
    client.force_login(analyst() if on_the_desk else request.requester)
    address = f"{DESK}{request.pk}/change/" if on_the_desk else f"/solicitacoes/{request.protocol}/"
    counts = []
    for number in range(5):
        attached(request, content=pdf(str(number)), by=UserFactory())
        with CaptureQueriesContext(
            connection,
        ) as captured:
            client.get(address)
        counts.append(len(captured))
    assert len(set(counts[1:])) == 1


# --- Despachos ------------------------------------------------------------------------------------------------------
def attach(client, request, *files):
    return client.post(f"{DESK}{request.pk}/despacho/", {"despacho": list(files)}, follow=True)


def said(response):
    return [text_of(line) for line in walk(Page(response).one("ul", class_="messagelist")) if line.name == "li"]


def test_who_decides_joins_a_despacho_that_the_staff_read_and_the_requester_does_not(client, folder):
    request, author = request_in(Status.PENDING), analyst()
    client.force_login(author)

    response = attach(client, request, upload("despacho 12.pdf", pdf()))

    assert said(response) == [f"Despacho “despacho 12.pdf” guardado na solicitação {request.protocol}."]
    despacho = Attachment.objects.get()
    assert (despacho.kind, despacho.request, despacho.uploaded_by) == ("DESPACHO", request, author)
    client.force_login(manager())
    assert client.get(on_desk(despacho)).content == pdf()
    client.force_login(request.requester)
    assert "despacho 12.pdf" not in client.get(f"/solicitacoes/{request.protocol}/").content.decode()
    assert client.get(mine(despacho)).status_code == 404


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"MZ", WRONG_KIND), (b"", "está vazio"), (b"%PDF-1.4" + b"x" * LARGEST_FILE, "tem mais de 10 MB")],
)
def test_fault_23_a_despacho_has_the_same_limits(client, folder, content, sentence):
    request = request_in(Status.PENDING)
    client.force_login(analyst())

    (told,) = said(attach(client, request, upload("despacho.pdf", content)))

    assert sentence in told
    assert (Attachment.objects.count(), on_disk(folder)) == (0, [])


def test_no_file_at_all_is_told(client, folder):
    client.force_login(analyst())
    assert said(attach(client, request_in(Status.PENDING))) == ["Escolha um arquivo."]


def test_there_are_five_despachos_beside_the_requesters_five_files(client, folder):
    request = request_in(Status.PENDING)
    for number in range(5):
        attached(request, content=pdf(str(number)))
    client.force_login(analyst())

    attach(client, request, *(upload(f"{n}.pdf", pdf(f"despacho{n}")) for n in range(5)))
    told = said(attach(client, request, upload("6.pdf", pdf("despacho6"))))

    full = "Esta solicitação já tem 5 despachos, que é o máximo. Nada foi guardado."
    assert told == [f"{full} Escreva o que falta em uma nota interna."]
    assert request.attachments.filter(kind="DESPACHO").count() == 5


@pytest.mark.parametrize(("there", "sent", "here"), [(4, 2, "4"), (3, 5, "3"), (0, 6, "nenhum")])
def test_more_despachos_than_still_fit_are_refused_before_any_is_kept(client, folder, there, sent, here):
    request = request_in(Status.PENDING)
    for number in range(there):
        attached(request, content=pdf(str(number)), kind=Attachment.Kind.DESPACHO)
    client.force_login(analyst())

    (told,) = said(attach(client, request, *(upload(f"{n}.pdf", pdf(f"novo{n}")) for n in range(sent))))

    assert told == (
        f"Uma solicitação leva no máximo 5 despachos. Aqui há {here}, e você escolheu {sent}. Nada foi guardado. "
        "Escolha menos arquivos ou junte as páginas em um só PDF."
    )
    assert Attachment.objects.count() == len(on_disk(folder)) == there


def test_one_bad_file_among_despachos_keeps_all_of_them_out(client, folder):
    request = request_in(Status.PENDING)
    client.force_login(analyst())

    told = said(attach(client, request, upload("bom.pdf", pdf()), upload("mau.pdf", b"MZ"), upload("vazio.pdf", b"")))

    (sentence,) = told
    assert "“mau.pdf”" in sentence
    assert "“vazio.pdf”" in sentence
    assert sentence.endswith("Nenhum dos arquivos foi guardado.")
    assert (Attachment.objects.count(), on_disk(folder)) == (0, [])


def test_a_despacho_that_is_there_already_is_told_by_its_name_and_not_as_kept(client, folder):
    request = request_in(Status.PENDING)
    client.force_login(analyst())
    attach(client, request, upload("despacho.pdf", pdf()))

    told = said(attach(client, request, upload("copia.pdf", pdf()), upload("outro.pdf", pdf("outro"))))

    assert told == [
        "O arquivo “copia.pdf” já está aqui com o nome “despacho.pdf”. Ele não foi guardado de novo.",
        f"Despacho “outro.pdf” guardado na solicitação {request.protocol}.",
    ]
    told = said(attach(client, request, upload("despacho.pdf", pdf())))
    assert told == ["O arquivo “despacho.pdf” já está aqui. Ele não foi guardado de novo."]
    assert [row.name for row in Attachment.objects.all()] == ["despacho.pdf", "outro.pdf"]
    assert len(on_disk(folder)) == 2


def test_of_two_equal_despachos_at_once_the_first_is_kept(client, folder):
    request = request_in(Status.PENDING)
    client.force_login(analyst())

    told = said(attach(client, request, upload("a.pdf", pdf()), upload("b.pdf", pdf())))

    assert told == [
        f"Despacho “a.pdf” guardado na solicitação {request.protocol}.",
        "O arquivo “b.pdf” já está aqui com o nome “a.pdf”. Ele não foi guardado de novo.",
    ]
    assert Attachment.objects.get().name == "a.pdf"
    assert len(on_disk(folder)) == 1


def test_a_despacho_needs_the_permission_to_decide_and_is_not_even_read_without(client, folder, monkeypatch):
    request = request_in(Status.PENDING)
    client.force_login(manager())
    opened = []
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda *a, **k: opened.append(a))

    assert client.post(f"{DESK}{request.pk}/despacho/", {"despacho": upload("a.pdf", pdf())}).status_code == 403
    assert "Juntar despacho" not in client.get(f"{DESK}{request.pk}/change/").content.decode()
    assert opened == []


@pytest.mark.parametrize("role", ["requester", "beneficiary"])
def test_nobody_joins_or_reads_a_despacho_about_what_is_theirs(client, folder, role):
    own = analyst()
    bond = EmploymentFactory(user=own)
    request = request_in(Status.PENDING, **({"requester": own} if role == "requester" else {"bond": bond}))
    secret = attached(request, kind=Attachment.Kind.DESPACHO, by=analyst(), name="sobre-mim.pdf")
    client.force_login(own)

    assert said(attach(client, request, upload("meu.pdf", pdf("meu")))) == [
        "Ninguém junta despacho a um pedido que fez ou que é para si."
    ]
    for address in (f"{DESK}{request.pk}/change/", f"{DESK}{request.pk}/imprimir/"):
        assert "sobre-mim.pdf" not in client.get(address).content.decode()
    assert client.get(on_desk(secret)).status_code == 404
    assert Attachment.objects.get() == secret


def who_says_who_decides_too():
    """In both groups, as no page makes anybody."""
    user = analyst()
    user.user_permissions.add(Permission.objects.get(content_type__app_label="accounts", codename="change_roles"))
    return user


@pytest.mark.parametrize("make", [superuser, who_says_who_decides_too])
def test_four_eyes_who_says_who_decides_joins_no_despacho(client, folder, make):
    request = request_in(Status.PENDING)
    client.force_login(make())
    assert "Juntar despacho" not in client.get(f"{DESK}{request.pk}/change/").content.decode()

    told = said(attach(client, request, upload("um.pdf", pdf("1")), upload("dois.pdf", pdf("2"))))

    assert told == ["Quem define os perfis da equipe não decide solicitações nem acessos."]
    assert (Attachment.objects.count(), on_disk(folder)) == (0, [])


@pytest.mark.parametrize("who", [manager, superuser, "requester", "beneficiary"])
def test_a_despacho_is_refused_where_it_is_kept_and_not_only_by_its_page(folder, who):
    own = analyst()
    bond = EmploymentFactory(user=own)
    theirs = {"requester": {"requester": own}, "beneficiary": {"bond": bond}}
    request = request_in(Status.PENDING, **theirs.get(who, {}))
    incoming = uploads.IncomingFile("a.pdf", uploads.TAKES["requests_app_accessrequest_despacho"])
    incoming.append(pdf())

    with pytest.raises(attachments.FileRefusedError):
        attachments.keep_despachos([incoming], request, by=who() if callable(who) else own)

    incoming.close()
    assert (Attachment.objects.count(), on_disk(folder)) == (0, [])


def test_a_get_changes_nothing(client, folder):
    request = request_in(Status.PENDING)
    client.force_login(analyst())

    response = client.get(f"{DESK}{request.pk}/despacho/", follow=True)

    assert said(response) == ["Nada foi mudado. Use os botões desta página."]


# --- What time clears away ------------------------------------------------------------------------------------------
def test_what_was_never_filed_goes_after_a_day_with_its_file(
    client, requester, folder, django_capture_on_commit_callbacks
):
    client.post(NEW, answers(client, upload("filed.pdf", pdf("filed"))))
    client.post(NEW, answers(client, upload("abandoned.pdf", pdf("abandoned")), requester_phone="nenhum"))
    later = timezone.now() + timedelta(hours=25)

    def clear(**options):
        with django_capture_on_commit_callbacks(execute=True):
            return attachments.forget_kept(**options)

    assert clear(dry_run=False) == 0
    with time_machine.travel(later):
        assert clear(dry_run=True) == 1
        assert len(on_disk(folder)) == 2
        assert clear(dry_run=False) == 1

    assert [row.name for row in Attachment.objects.all()] == ["filed.pdf"]
    assert [file.name for file in on_disk(folder)] == [str(Attachment.objects.get().key)]


def test_a_file_without_a_row_goes_after_a_day_and_no_other(filed, folder):
    day_old = (timezone.now() - timedelta(hours=25)).timestamp()
    strays = [folder / "abc.upload", folder / "aa" / "6d1ab6ce-4b6e-4b5b-9a1e-0c6f2f7b0001", folder / "fresh.upload"]
    for stray in strays:
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")
    for old in (*strays[:2], attachments.place_of(filed.key)):
        os.utime(old, (day_old, day_old))

    assert attachments.forget_strays(dry_run=True) == 2
    assert attachments.forget_strays(dry_run=False) == 2

    assert set(on_disk(folder)) == {strays[2], attachments.place_of(filed.key)}


def test_the_folder_of_another_database_is_left_alone(db, folder):
    day_old = (timezone.now() - timedelta(days=2)).timestamp()
    for number in range(101):
        stray = folder / f"{number}.upload"
        stray.touch()
        os.utime(stray, (day_old, day_old))

    with pytest.raises(RuntimeError, match="none deleted"):
        attachments.forget_strays(dry_run=False)

    assert len(on_disk(folder)) == 101


def test_a_folder_that_is_not_there_is_nothing_to_clear(db, folder):
    folder.rmdir()
    assert attachments.forget_strays(dry_run=False) == 0
