"""A list of people from the paste to the protocols, with the keyboard alone, in a real browser; and without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from accounts.tests.factories import EmploymentFactory
from accounts.tests.test_second_factor_browser import faults_of, give_password
from requests_app.models import AccessRequest, JointFiling

from .factories import UserTypeFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SEVERAL = "/solicitacoes/varias/"


@pytest.fixture
def court(transactional_db):
    """Who asks, for what, and whom the list names: one by matrícula, two of one name, and nobody."""
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    UserTypeFactory(name="Operador", system__name="SIEL", system__asks_unit=True)
    bonds = [
        EmploymentFactory(user__name=name, matricula=matricula, cargo=cargo)
        for name, matricula, cargo in (
            ("RUI CÔRTES", "700001", "Juiz de Direito"),
            ("ANA LUZ", "700002", "Assessora Jurídica"),
            ("ANA LUZ", "700003", "Oficial de Justiça"),
        )
    ]
    return EmploymentFactory().user, user_type, bonds


def tab_to(page, target, most=60):
    """On and on with the tabulator, as far as this."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"the keyboard does not reach {target}")


def write(page, target, text):
    tab_to(page, target)
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def choose(page, target, first_letters):
    tab_to(page, target)
    page.keyboard.type(first_letters)


def test_the_whole_story_with_the_keyboard_alone(page, portal_server, court):
    requester, user_type, (rui, _ana, other_ana) = court
    give_password(page, requester, f"?next={SEVERAL}")
    page.wait_for_url(f"**{SEVERAL}")
    faults = {"list": faults_of(page)}
    write(page, page.get_by_label("*Telefone do solicitante"), "(67) 3314-1234")
    write(page, page.get_by_label("*Pessoas"), "700001\nAna Luz\n999999 Fulana de Tal\nRui Cortes")
    choose(page, page.get_by_label("*Tipo Usuário"), "Cons")
    expect(page.get_by_label("*Sistema solicitado")).to_have_value(str(user_type.system_id))
    expect(page.locator("#div_id_unit")).to_be_hidden()
    write(page, page.get_by_label("*Descrição solicitação"), "Plantão de dezembro.")
    tab_to(page, page.get_by_role("button", name="Conferir"))
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Conferir a lista").wait_for()
    expect(page.get_by_role("heading", name="Precisam da sua atenção (3)")).to_be_visible()
    faults["table"] = faults_of(page)
    nobody = page.get_by_role("group", name="Linha 2").get_by_label("Nenhuma destas")
    tab_to(page, nobody)
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Ana Luz — matrícula 700003")).to_be_checked()
    tab_to(page, page.get_by_role("button", name="Conferir de novo"))
    page.keyboard.press("Enter")

    send = page.get_by_role("button", name="Enviar 2 pedidos")
    expect(send).to_be_visible()
    assert not AccessRequest.objects.exists()
    tab_to(page, send)
    page.keyboard.press("Enter")

    page.get_by_text("2 pedidos enviados.").wait_for()
    expect(page.get_by_text("Linha 3, “999999 Fulana de Tal”")).to_be_visible()
    faults["sent"] = faults_of(page)
    filed = AccessRequest.objects.order_by("protocol")
    assert [request.employment for request in filed] == [rui, other_ana]
    tab_to(page, page.get_by_role("link", name=filed[0].protocol))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{filed[0].get_absolute_url()}")
    assert faults == {"list": [], "table": [], "sent": []}


def test_without_javascript_it_is_the_same(new_context, portal_server, court):
    requester, user_type, (rui, ana, _other_ana) = court
    page = new_context(java_script_enabled=False).new_page()
    give_password(page, requester, f"?next={SEVERAL}")
    page.get_by_label("*Pessoas").fill("Rui Côrtes\nAna Luz")
    page.get_by_label("*Tipo Usuário").select_option(str(user_type.pk))
    page.get_by_label("*Sistema solicitado").select_option(str(user_type.system_id))
    page.get_by_label("*Descrição solicitação").fill("Plantão de dezembro.")
    page.get_by_role("button", name="Conferir").click()
    page.get_by_label("Ana Luz — matrícula 700002").check()
    page.get_by_role("button", name="Conferir de novo").click()
    page.get_by_role("button", name="Corrigir a lista ou os dados").click()
    expect(page.get_by_label("*Pessoas")).to_have_value("Rui Côrtes\nAna Luz")
    page.get_by_role("button", name="Conferir").click()
    page.get_by_label("Ana Luz — matrícula 700002").check()
    page.get_by_role("button", name="Conferir de novo").click()
    page.get_by_role("button", name="Enviar 2 pedidos").click()

    page.get_by_text("2 pedidos enviados.").wait_for()
    assert {request.employment for request in JointFiling.objects.get().requests.all()} == {rui, ana}
