"""A draft in a real browser: kept while somebody types, found on another device, gone with the sending."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from accounts.models import Session
from accounts.tests.factories import EmploymentFactory
from accounts.tests.test_second_factor_browser import WCAG, faults_of, give_password
from requests_app.models import AccessRequest, Draft

from .factories import UserTypeFactory, manager

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NEW = "/solicitacoes/nova/"
TEXT = "Consulta de mandados no plantão."
SAVED = re.compile(r"Rascunho salvo às \d\dh\d\d\.")


def opened(page, person, address=NEW):
    give_password(page, person, f"?next={address}")
    page.wait_for_url(f"**{address}")


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_what_is_typed_is_kept_by_itself_found_elsewhere_and_gone_once_sent(page, portal_server, new_context):
    requester, user_type = EmploymentFactory().user, UserTypeFactory()
    EmploymentFactory(matricula="7123456")
    opened(page, requester)
    page.get_by_label("*Descrição solicitação").fill(TEXT)
    page.get_by_role("combobox", name="*Efetuar cadastro para").fill("7123456")
    page.get_by_role("option").first.click()
    page.get_by_text(SAVED).wait_for()

    other = new_context(viewport={"width": 360, "height": 800}).new_page()
    opened(other, requester)
    other.get_by_text(re.compile(r"Há um rascunho de \d\d/\d\d às \d\dh\d\d\.")).wait_for()
    assert other.get_by_label("*Descrição solicitação").input_value() == TEXT
    other.get_by_text("Pessoa escolhida:").wait_for()
    assert faults_of(other) == []
    assert fits(other)
    other.get_by_label("*Sistema solicitado").select_option(str(user_type.system_id))
    other.get_by_label("*Tipo Usuário").select_option(str(user_type.pk))
    other.get_by_role("button", name="Enviar", exact=True).click()
    other.get_by_text("Pedido enviado.").wait_for()

    assert AccessRequest.objects.get().description == TEXT
    assert not Draft.objects.exists()


def test_what_is_typed_is_kept_when_the_page_is_left_and_thrown_away_by_a_button(page, portal_server):
    opened(page, EmploymentFactory().user)
    page.get_by_label("*Descrição solicitação").fill(TEXT)
    with page.expect_response("**/rascunho/"):
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    page.get_by_text(SAVED).wait_for()
    page.reload()
    page.get_by_role("button", name="Começar de novo").click()

    page.get_by_text("O rascunho foi apagado.").wait_for()
    assert page.get_by_label("*Descrição solicitação").input_value() == ""
    assert not Draft.objects.exists()


def test_once_the_session_is_over_the_script_is_quiet_and_a_sending_is_kept(page, portal_server):
    requester = EmploymentFactory().user
    opened(page, requester)
    Session.objects.all().delete()
    with page.expect_response("**/rascunho/"):
        page.get_by_label("*Descrição solicitação").fill(TEXT)
    assert page.get_by_text(SAVED).count() == 0
    page.get_by_role("button", name="Enviar", exact=True).click()

    page.get_by_text("O que você digitou ficou guardado como rascunho.").wait_for()
    assert Draft.objects.get().data["description"] == TEXT


def test_the_page_for_somebody_from_outside_is_for_everybody(page, portal_server, settings):
    for number in (1, 2):
        EmploymentFactory(user__name="ANA LIMA", cargo=f"Analista {number}")
    opened(page, manager(), "/admin/accounts/user/de-fora/")
    page.set_viewport_size({"width": 360, "height": 800})
    page.get_by_label("Quem responde pela pessoa").fill("ana lima")
    page.get_by_role("button", name="Cadastrar").click()
    page.get_by_text("Escolha uma das pessoas abaixo.").wait_for()

    assert page.get_by_role("radio").count() == 2
    assert Axe().run(page, options=WCAG).response["violations"] == []
    assert fits(page)
