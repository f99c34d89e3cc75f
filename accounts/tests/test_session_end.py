"""The warning before a session ends, in a real browser (WCAG 2.2.1). Its clock is moved; nobody waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, expect

from accounts.models import Session
from accounts.tests.factories import PASSWORD, EmploymentFactory
from requests_app.tests.factories import analyst, manager

pytestmark = pytest.mark.browser

SOON = "Sem uso, a sua sessão termina em menos de 2 minutos."
LAST = "chegou ao tempo máximo"
OVER = "A sua sessão terminou."
STAYS = "Pronto: você continua no portal."
BACK = "Você entrou de novo."
STALE = "A página ficou aberta por muito tempo."


@pytest.fixture
def person(transactional_db):
    return EmploymentFactory().user


@pytest.fixture(autouse=True)
def clean_console(page: Page):
    """No error and nothing that the security policy refused."""
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield
    assert problems == []


def sign_in(page: Page, person, leads_to="/solicitacoes/nova/"):
    page.goto(f"/entrar/?next={leads_to}")
    page.get_by_label("Usuário:").fill(person.cpf)
    page.get_by_label("Senha:", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.wait_for_url(f"**{leads_to}")


def time_passes(page: Page, clock: str, **unused):
    """In the browser; and, for the server, as if the session had not been used for so long."""
    page.clock.fast_forward(clock)
    Session.objects.filter(user__isnull=False).update(seen_at=timezone.now() - timedelta(**unused))


def note_of_use(page: Page):
    return page.expect_response(lambda answer: answer.url.endswith("/conta/sessoes/uso/"))


def says(page: Page, text: str):
    expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


def says_nothing(page: Page):
    expect(page.locator("[data-session-end-state]:visible")).to_have_count(0)


def was_just_used():
    return Session.objects.get(user__isnull=False).seen_at > timezone.now() - timedelta(minutes=1)


def test_two_minutes_before_the_end_the_page_warns_and_one_click_is_enough_to_stay(portal_server, page, person):
    page.clock.install()
    sign_in(page, person)
    time_passes(page, "27:00", minutes=27)
    says_nothing(page)
    time_passes(page, "01:30", minutes=28, seconds=30)
    says(page, SOON)

    with note_of_use(page) as answer:
        page.get_by_role("button", name="Continuar no portal").click()

    assert answer.value.status == 204
    says(page, STAYS)
    assert was_just_used()
    time_passes(page, "27:30", minutes=27, seconds=30)
    says_nothing(page)
    time_passes(page, "01:00", minutes=28, seconds=30)
    says(page, SOON)


def test_by_keyboard_the_button_gives_the_focus_back_to_where_it_was(portal_server, page, person):
    page.clock.install()
    sign_in(page, person)
    page.get_by_label("Descrição solicitação").focus()
    time_passes(page, "28:30", minutes=28, seconds=30)
    says(page, SOON)
    page.evaluate("document.querySelector('.session-end button').focus()")

    with note_of_use(page):
        page.keyboard.press("Enter")

    says(page, STAYS)
    expect(page.get_by_label("Descrição solicitação")).to_be_focused()


def test_typing_is_use_and_is_told_no_more_than_every_few_minutes(portal_server, page, person):
    page.clock.install()
    sign_in(page, person)
    told = []
    page.on("request", lambda request: told.append(request.url) if request.url.endswith("/uso/") else None)
    description = page.get_by_label("Descrição solicitação")
    for _ in range(4):
        time_passes(page, "10:00", minutes=10)
        with note_of_use(page):
            description.press_sequentially("texto ")
        assert was_just_used()
        description.press_sequentially("e mais texto ")

    says_nothing(page)
    assert len(told) == 4


def test_after_the_end_what_was_typed_is_kept_and_sent_after_a_sign_in_in_another_tab(
    portal_server, page: Page, context: BrowserContext, person
):
    page.clock.install()
    sign_in(page, person)
    page.get_by_label("Descrição solicitação").fill("Meia hora de texto.")
    time_passes(page, "31:00", minutes=31)
    says(page, OVER)

    with context.expect_page() as opened:
        page.get_by_role("link", name="Entrar de novo (abre outra aba)").click()
    other = opened.value
    sign_in(other, person)
    says(page, BACK)
    page.get_by_role("button", name="Enviar").click()

    expect(page.get_by_role("heading", name="Corrija").or_(page.locator("[data-error-summary]")).first).to_be_visible()
    assert STALE not in page.content()  # the form was taken and judged; it lacks its other fields
    expect(page.get_by_label("Descrição solicitação")).to_have_value("Meia hora de texto.")


def test_after_the_end_the_desk_says_when_a_form_can_be_sent_and_then_it_can(
    portal_server, page: Page, context: BrowserContext, transactional_db
):
    by, person = manager(), EmploymentFactory().user
    page.clock.install()
    sign_in(page, by, leads_to="/admin/")
    page.goto(f"/admin/accounts/user/{person.pk}/email/")
    page.get_by_label("Novo e-mail").fill("novo.endereco@tjms.jus.br")
    page.get_by_label("Motivo").fill("Ligou do ramal.")
    time_passes(page, "31:00", minutes=31)
    says(page, OVER)
    says(page, "Só envie daqui quando esta página avisar que você entrou.")

    with context.expect_page() as opened:
        page.get_by_role("link", name="Entrar de novo (abre outra aba)").click()
    sign_in(opened.value, by)
    says(page, BACK)
    page.get_by_role("button", name="Corrigir e-mail").click()

    expect(page.get_by_text("O e-mail foi corrigido.")).to_be_visible()


def test_another_persons_sign_in_ends_the_page_and_lends_it_nothing(
    portal_server, page: Page, context: BrowserContext, person
):
    sign_in(page, person)
    token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
    context.clear_cookies()
    sign_in(context.new_page(), EmploymentFactory().user)

    says(page, OVER)
    assert page.locator("input[name=csrfmiddlewaretoken]").first.input_value() == token


def test_use_in_one_tab_is_use_in_the_other(portal_server, page: Page, context: BrowserContext, person):
    page.clock.install()
    sign_in(page, person)
    time_passes(page, "28:30", minutes=28, seconds=30)
    says(page, SOON)

    context.new_page().goto("/conta/")

    says_nothing(page)


def test_a_session_that_was_ended_elsewhere_is_told_with_the_next_key(portal_server, page, person):
    page.clock.install()
    sign_in(page, person)
    page.clock.fast_forward("10:00")
    Session.objects.filter(user=person).delete()

    page.get_by_label("Descrição solicitação").press_sequentially("t")

    says(page, OVER)


def test_before_the_longest_time_ends_the_page_says_that_use_does_not_help(portal_server, page, person):
    page.clock.install()
    sign_in(page, person)
    Session.objects.filter(user=person).update(expire_date=timezone.now() + timedelta(minutes=10))
    page.reload()
    time_passes(page, "08:30", minutes=8)

    says(page, LAST)
    expect(page.get_by_role("button", name="Continuar no portal")).to_be_hidden()
    time_passes(page, "01:40", minutes=9)
    says(page, OVER)


def test_the_desk_warns_too(portal_server, page, transactional_db):
    page.clock.install()
    sign_in(page, analyst(), leads_to="/admin/")
    time_passes(page, "28:30", minutes=28, seconds=30)
    says(page, SOON)

    with note_of_use(page):
        page.get_by_role("button", name="Continuar no portal").click()

    says(page, STAYS)
