"""The first page of the desk and the list of requests in a real browser: on a telephone, by keyboard, for axe."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from accounts.tests.factories import PASSWORD, EmploymentFactory
from requests_app.models import GrantStatus, Status

from .factories import UserTypeFactory, analyst, grant_of, request_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
FIRST, LIST = "/admin/", "/admin/requests_app/accessrequest/"
GRANTS = "/admin/requests_app/accessgrant/"


def sign_in(page, person):
    page.goto(f"/entrar/?next={FIRST}")
    page.get_by_label("Usuário").fill(person.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.wait_for_url(f"**{FIRST}")


def axe(page):
    faults = Axe().run(page, options=WCAG).response["violations"]
    return [(fault["id"], fault["nodes"][0]["html"]) for fault in faults]


def faults_of(page):
    """What axe finds against WCAG 2.2 AA, and what reaches past the window at 320 and 360 pixels."""
    found = axe(page)
    size = page.viewport_size
    for width in (320, 360):
        page.set_viewport_size({"width": width, "height": 800})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(("wider than the window", width))
    page.set_viewport_size(size)
    return found


@pytest.fixture
def work():
    """Something in every section."""
    decider = analyst(name="ANA LISTA")
    user_type = UserTypeFactory(name="Servidor - Alterar Unidade/Regime Prisional", system__name="BNMP 2.0")
    requests = {
        status: request_in(
            status, user_type=user_type, bond=EmploymentFactory(user__name=f"MARIA {status} DE SOUZA E SILVA")
        )
        for status in Status
    }
    mine = request_in(Status.IN_REVIEW)
    mine.holder = decider
    mine.save()
    grant_of(EmploymentFactory(), status=GrantStatus.TO_REVOKE)
    return decider, requests


def test_the_desk_reads_on_a_telephone_as_on_a_screen(page, portal_server, work):
    decider, requests = work
    sign_in(page, decider)
    faults = {FIRST: faults_of(page)}
    page.set_viewport_size({"width": 360, "height": 740})
    waiting = page.get_by_role("table").filter(has_text=requests[Status.PENDING].protocol)
    # Stacked, each cell says which it is, and for those who hear the page it is a table still.
    expect(waiting.get_by_role("columnheader", name="Com quem")).to_have_count(1)
    label = waiting.locator("td").nth(1).evaluate("cell => getComputedStyle(cell, '::before').content")
    assert "Idade" in label

    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(LIST)
    faults[LIST] = faults_of(page)
    page.goto(GRANTS)
    faults[GRANTS] = faults_of(page)
    assert faults == {FIRST: [], LIST: [], GRANTS: []}


@pytest.mark.parametrize(("address", "marks"), [(LIST, ["Marcar"]), (GRANTS, [])])
def test_on_a_telephone_each_row_of_a_list_is_a_card_that_is_read_without_scrolling_sideways(
    page, portal_server, work, address, marks
):
    sign_in(page, work[0])
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(address)
    results = page.locator(".results")
    assert results.evaluate("box => box.scrollWidth <= box.clientWidth")
    row = page.locator("#result_list tbody tr").first
    headings = [text.strip() for text in page.locator("#result_list thead .text").all_text_contents()]
    _what_is_listed, *columns = filter(None, headings)
    labels = row.locator("td").evaluate_all("cells => cells.map(cell => getComputedStyle(cell, '::before').content)")
    beside = [label.split('"')[1].removesuffix(": ") for label in labels]
    assert beside == [*marks, *columns]
    # For those who hear the page it is a table still.
    expect(page.get_by_role("table").get_by_role("columnheader")).to_have_count(row.locator("> *").count())
    expect(row.get_by_role("rowheader")).to_have_count(1)
    assert axe(page) == []


def test_on_a_telephone_lines_are_marked_one_by_one_or_all_together(page, portal_server, work):
    sign_in(page, work[0])
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(LIST)
    boxes = page.locator("input.action-select")
    for box in (page.locator("#action-toggle"), boxes.first):
        size = box.bounding_box()
        assert size["width"] >= 24
        assert size["height"] >= 24
    page.locator("#action-toggle").check()
    assert boxes.evaluate_all("boxes => boxes.every(box => box.checked)")
    boxes.first.uncheck()
    page.get_by_label("Com as escolhidas").select_option("Indeferir")
    page.get_by_role("button", name="Continuar").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Indeferir 2 solicitações")


def test_on_a_telephone_the_filters_are_folded_until_one_is_in_use(page, portal_server, work):
    sign_in(page, work[0])
    page.set_viewport_size({"width": 360, "height": 740})
    for address in (LIST, GRANTS):
        page.goto(address)
        system = page.get_by_label("Sistema", exact=True)
        expect(page.get_by_label("Procurar")).to_be_visible()
        expect(system).to_be_hidden()
        page.get_by_text("Filtros", exact=True).click()
        system.select_option("BNMP 2.0")
        page.get_by_role("button", name="Filtrar").click()
        page.wait_for_url("**sistema=**")
        expect(system).to_be_visible()
        page.goto(address)
        page.set_viewport_size({"width": 1280, "height": 800})
        expect(system).to_be_visible()
        page.set_viewport_size({"width": 360, "height": 740})


def test_the_links_of_the_head_are_large_enough_to_be_hit(page, portal_server, work):
    sign_in(page, work[0])
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 740})
        page.goto(LIST)
        heights = page.locator("#header a, #header button, .breadcrumbs a").evaluate_all(
            "links => links.map(link => link.getBoundingClientRect().height)"
        )
        assert len(heights) >= 5
        assert min(heights) >= 24


def test_somebody_finds_a_request_by_keyboard_and_comes_back_to_the_list(page, portal_server, work):
    decider, requests = work
    wanted = requests[Status.RETURNED]
    sign_in(page, decider)
    page.get_by_role("searchbox", name="Procurar solicitação").press_sequentially("maria returned")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LIST}?*")
    expect(page.get_by_label("Situação")).to_have_value("todas")

    page.get_by_label("Situação").select_option(label="Devolvida para correção")
    page.get_by_role("button", name="Filtrar").press("Enter")
    page.wait_for_url("**situacao=RETURNED*")
    asked = {"q": ["maria returned"], "situacao": ["RETURNED"]}
    assert parse_qs(urlsplit(page.url).query) == asked

    page.get_by_role("link", name=wanted.protocol).click()
    page.wait_for_url(f"**{LIST}{wanted.pk}/change/*")
    page.locator(".breadcrumbs").get_by_role("link", name="Solicitações").click()
    page.wait_for_url(f"**{LIST}?*")
    assert parse_qs(urlsplit(page.url).query) == asked
