"""The story of a file: chosen, kept through an error, filed, read on the desk; in a real browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from accounts.models import SecurityEvent
from accounts.tests.factories import EmploymentFactory
from accounts.tests.test_second_factor_browser import WCAG, faults_of, give_password
from requests_app.models import LARGEST_FILE, AccessRequest, Attachment, Status

from .factories import UserTypeFactory, analyst, request_in
from .files import attached, jpeg, pdf, png

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NEW = "/solicitacoes/nova/"


def chosen(name, content):
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


@pytest.fixture
def requester(transactional_db):
    return EmploymentFactory().user


def fill_in(page, user_type, colleague):
    page.get_by_label("*Telefone do solicitante").fill("nenhum")
    page.get_by_role("combobox", name="*Efetuar cadastro para").fill(colleague.matricula)
    page.get_by_role("option").first.click()
    page.get_by_label("*Sistema solicitado").select_option(str(user_type.system_id))
    page.get_by_label("*Tipo Usuário").select_option(str(user_type.pk))
    page.get_by_label("*Descrição solicitação").fill("Consulta de mandados.")


def test_files_are_kept_through_an_error_filed_and_read_on_the_desk(page, portal_server, requester, new_context):
    user_type, colleague = UserTypeFactory(), EmploymentFactory(matricula="7123456")
    give_password(page, requester, f"?next={NEW}")
    page.wait_for_url(f"**{NEW}")
    fill_in(page, user_type, colleague)
    page.get_by_label("Anexos:").set_input_files(
        [chosen("ofício.pdf", pdf()), chosen("foto.jpg", jpeg()), chosen("programa.pdf", b"MZ")]
    )
    page.get_by_role("button", name="Enviar", exact=True).click()

    page.get_by_text("Há 2 campos para corrigir.").wait_for()
    assert faults_of(page) == []
    page.get_by_role("link", name="Anexos: O arquivo “programa.pdf” não é PDF").click()
    assert page.get_by_label("Anexos:").evaluate("field => field === document.activeElement")
    page.get_by_role("button", name="Retirar foto.jpg").click()
    page.get_by_text("O arquivo “foto.jpg” foi retirado.").wait_for()
    page.get_by_label("*Telefone do solicitante").fill("(67) 3314-0000")
    page.get_by_label("Anexos:").set_input_files([chosen("print.png", png())])
    page.get_by_role("button", name="Enviar", exact=True).click()

    page.get_by_text("Pedido enviado.").wait_for()
    request = AccessRequest.objects.get()
    assert [row.name for row in request.attachments.all()] == ["ofício.pdf", "print.png"]
    assert faults_of(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="ofício.pdf").click()
    assert download.value.suggested_filename == "ofício.pdf"
    assert download.value.path().read_bytes() == pdf()

    desk, decider = new_context().new_page(), analyst()
    screen = f"/admin/requests_app/accessrequest/{request.pk}/change/"
    give_password(desk, decider, f"?next={screen}")
    desk.wait_for_url(f"**{screen}")
    desk.get_by_text("Juntar despacho").click()
    desk.get_by_label("Despacho", exact=True).set_input_files([chosen("despacho.pdf", pdf("despacho"))])
    assert Axe().run(desk, options=WCAG).response["violations"] == []
    desk.get_by_role("button", name="Guardar despacho").click()
    desk.get_by_text("Despacho “despacho.pdf” guardado").wait_for()
    with desk.expect_download() as download:
        desk.get_by_role("link", name="print.png").click()
    assert download.value.path().read_bytes() == png()
    readers = SecurityEvent.objects.filter(kind="ATTACHMENT_READ").order_by("pk").values_list("actor", flat=True)
    assert list(readers) == [requester.pk, decider.pk]


def test_too_large_and_too_many_are_told_before_anything_is_sent(page, portal_server, requester, tmp_path):
    give_password(page, requester, f"?next={NEW}")
    page.wait_for_url(f"**{NEW}")
    field = page.get_by_label("Anexos:")
    large = tmp_path / "grande.pdf"
    with large.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)

    field.set_input_files(large)
    page.get_by_role("alert").get_by_text("O arquivo “grande.pdf” tem mais de 10 MB.").wait_for()
    assert (field.get_attribute("aria-invalid"), field.input_value()) == ("true", "")
    assert faults_of(page) == []

    field.set_input_files([chosen(f"{n}.pdf", pdf(str(n))) for n in range(6)])
    page.get_by_role("alert").get_by_text("Um pedido leva no máximo 5 arquivos.").wait_for()

    field.set_input_files([chosen("bom.pdf", pdf())])
    assert (field.get_attribute("aria-invalid"), page.locator("#id_attachments_told").inner_text()) == (None, "")


def test_without_javascript_a_file_is_filed_as_well(new_context, portal_server, requester):
    page = new_context(java_script_enabled=False).new_page()
    user_type, colleague = UserTypeFactory(), EmploymentFactory(matricula="7123456")
    give_password(page, requester, f"?next={NEW}")
    page.get_by_label("*Telefone do solicitante").fill("(67) 3314-0000")
    page.get_by_label("*Efetuar cadastro para").fill("7123456")
    page.get_by_label("Anexos:").set_input_files([chosen("ofício.pdf", pdf())])
    page.get_by_role("button", name="Buscar pessoa").click()
    page.get_by_role("radio").check()
    page.get_by_label("*Sistema solicitado").select_option(str(user_type.system_id))
    page.get_by_label("*Tipo Usuário").select_option(str(user_type.pk))
    page.get_by_label("*Descrição solicitação").fill("Consulta de mandados.")
    page.get_by_role("button", name="Enviar", exact=True).click()

    page.get_by_text("Pedido enviado.").wait_for()
    assert Attachment.objects.get().request == AccessRequest.objects.get(employment=colleague)


def test_the_page_of_a_request_with_files_fits_a_telephone(page, portal_server):
    request = request_in(Status.PENDING)
    attached(request, name="x" * 140 + ".pdf")
    give_password(page, request.requester, f"?next=/solicitacoes/{request.protocol}/")
    page.get_by_role("heading", name="Anexos").wait_for()
    assert faults_of(page) == []
