"""The story of one of the staff and her telephone, in a real browser and through real processes."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django_otp.oath import TOTP
from playwright.sync_api import expect

from accounts import secret_keys
from accounts.models import Authenticator
from accounts.tests.factories import PASSWORD
from accounts.tests.telephone import Telephone
from bnmp_portal.tests import services
from conftest import start_portal_process
from requests_app.tests.factories import analyst

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.fixture
def strict_portal(transactional_db, tmp_path):
    """The web server as production runs it: staff need the second factor."""
    bind = f"127.0.0.1:{urlsplit(settings.PORTAL_URL).port}"
    arguments = ("-c", "deploy/gunicorn.conf.py", "--bind", bind)
    server = start_portal_process(tmp_path / "web.log", "gunicorn", *arguments, STAFF_MFA="on")
    try:
        services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
        yield server
    finally:
        server.stop()


def faults_of(page):
    """What axe finds against WCAG 2.2 AA, and what reaches past 320 pixels."""
    found = [fault["id"] for fault in Axe().run(page, options=WCAG).response["violations"]]
    size = page.viewport_size
    page.set_viewport_size({"width": 320, "height": 800})
    if page.evaluate("document.documentElement.scrollWidth") > 320:
        found.append("wider than the window")
    page.set_viewport_size(size)
    return found


def give_password(page, person, wanted=""):
    page.goto(f"/entrar/{wanted}")
    page.get_by_label("Usuário").fill(person.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()


def forget_spent_codes(person, telephone):
    """As if the next half minute had come: the test does not wait for it."""
    step = TOTP(base64.b32decode(telephone.key)).t()
    Authenticator.objects.filter(user=person).update(last_step=step - 5)


def turn_it_on(page, person):
    """Led there on the way to the desk, and on to it afterwards."""
    give_password(page, person, "?next=/admin/")
    page.wait_for_url("**/conta/segundo-fator/?next=*")
    faults = {"settings": faults_of(page)}
    page.get_by_role("link", name="Ligar", exact=True).click()
    faults["proof"] = faults_of(page)
    page.get_by_role("textbox", name="Senha atual").fill(PASSWORD)
    page.get_by_role("button", name="Continuar").click()
    page.wait_for_url("**/conta/segundo-fator/celular/*")
    faults["new"] = faults_of(page)
    telephone = Telephone(re.sub(r"\s", "", page.locator(".typed-key").inner_text()))
    assert page.locator("img.qr-code").evaluate("picture => picture.complete && picture.naturalWidth > 0")
    stored = Authenticator.objects.get(user=person).encrypted_key
    assert secret_keys.decrypt(stored) == telephone.key
    page.get_by_role("textbox", name="Código do aplicativo").fill(telephone.code())
    page.get_by_role("button", name="Confirmar").click()
    codes = page.locator(".recovery-codes li").all_inner_texts()
    faults["codes"] = faults_of(page)
    assert len(codes) == 10
    assert page.get_by_role("button", name="Imprimir").is_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copiar").click()
    expect(page.get_by_text("Códigos copiados.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").split() == codes
    page.get_by_role("link", name="Já guardei. Continuar").click()
    assert urlsplit(page.url).path == "/admin/"
    return telephone, codes, faults


def test_asvs_6_3_3_staff_turn_it_on_use_it_lose_it_and_come_in_by_a_recovery_code(strict_portal, page):
    person = analyst()
    refused = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)

    telephone, codes, faults = turn_it_on(page, person)
    page.get_by_role("button", name="Sair").click()

    forget_spent_codes(person, telephone)
    give_password(page, person, "?next=/admin/")
    page.wait_for_url("**/entrar/codigo/")
    faults["code"] = faults_of(page)
    page.get_by_role("textbox", name="Código").fill(telephone.wrong())
    page.get_by_role("button", name="Continuar").click()
    faults["wrong code"] = faults_of(page)
    page.get_by_role("textbox", name="Código").fill(telephone.code())
    page.get_by_role("button", name="Continuar").click()
    assert urlsplit(page.url).path == "/admin/"
    page.get_by_role("button", name="Sair").click()

    give_password(page, person)
    page.get_by_role("textbox", name="Código").fill(codes[3].lower())
    page.get_by_role("button", name="Continuar").click()
    assert "Restam 9." in page.get_by_role("alert").filter(has_text="recuperação").inner_text()
    page.goto("/conta/segundo-fator/")
    faults["settings, on"] = faults_of(page)
    page.goto("/admin/")
    assert urlsplit(page.url).path == "/admin/"
    assert {name: found for name, found in faults.items() if found} == {}
    assert refused == []
    assert telephone.key not in strict_portal.output


@pytest.mark.browser_context_args(java_script_enabled=False)
def test_without_javascript_it_is_turned_on_as_well(strict_portal, page):
    person = analyst()
    give_password(page, person, "?next=/admin/")
    page.get_by_role("link", name="Ligar", exact=True).click()
    page.get_by_role("textbox", name="Senha atual").fill(PASSWORD)
    page.get_by_role("button", name="Continuar").click()
    telephone = Telephone(re.sub(r"\s", "", page.locator(".typed-key").inner_text()))
    page.get_by_role("textbox", name="Código do aplicativo").fill(telephone.code())
    page.get_by_role("button", name="Confirmar").click()
    assert not page.get_by_role("button", name="Imprimir").is_visible()  # it would do nothing
    page.get_by_role("link", name="Já guardei. Continuar").click()

    assert urlsplit(page.url).path == "/admin/"
