"""Deciding in a real browser: by mouse, by keys, with texts for the reason, and registering by hand."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from accounts import outbox
from accounts.cpf import formatted
from accounts.models import SecurityEvent
from accounts.tests.factories import PASSWORD, EmploymentFactory
from requests_app import workflow
from requests_app.models import ReasonTemplate, Status, TypedCredential

from .factories import UserTypeFactory, analyst, request_in, unsaved_request

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
QUEUE = "/admin/requests_app/accessrequest/"
FIRST = "Capim dourado 88"


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def screen(request):
    return f"{QUEUE}{request.pk}/change/"


def sign_in(page, person):
    page.context.clear_cookies()
    page.goto("/entrar/")
    page.get_by_label("Usuário").fill(person.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.wait_for_url("/")


@pytest.fixture
def decider(portal_server, page):
    ReasonTemplate.objects.all().delete()  # each test says which there are
    person = analyst(name="ANA LISTA")
    sign_in(page, person)
    return person


def faults_of(page):
    """What axe finds against WCAG 2.2 AA, and what reaches past 360 pixels."""
    found = [fault["id"] for fault in Axe().run(page, options=WCAG).response["violations"]]
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 800})
    if page.evaluate("document.documentElement.scrollWidth") > 360:
        found.append("wider than the window")
    page.set_viewport_size(size)
    return found


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def next_box(page):
    return page.get_by_label("Decidir e abrir a próxima")


def test_from_the_queue_each_decision_opens_the_next_until_none_is_left(decider, page):
    first, second = filed(), filed()
    page.goto(QUEUE)
    page.get_by_role("link", name=first.protocol).click()
    next_box(page).check()
    button(page, "Aprovar").click()
    page.wait_for_url(f"**{screen(second)}")
    expect(page.get_by_text(f"Solicitação {first.protocol} aprovada e acesso liberado.")).to_be_visible()

    # By keys alone: a key leads to the button, and Enter presses it.
    expect(next_box(page)).to_be_checked()
    page.keyboard.press("t")
    page.keyboard.type("aprova, indefere")  # inside a field the keys write
    expect(page.get_by_label("Motivo", exact=True)).to_have_value("aprova, indefere")
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    expect(button(page, "Indeferir")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nenhuma outra solicitação aguarda a sua decisão.")).to_be_visible()
    assert page.url.endswith(QUEUE)
    for request, status in ((first, Status.COMPLETED), (second, Status.REJECTED)):
        request.refresh_from_db()
        assert (request.status, request.decided_by) == (status, decider)


def test_the_keys_are_listed_on_the_page_and_can_be_switched_off_for_good(decider, page):
    page.goto(screen(filed()))
    page.keyboard.press("?")
    keys = page.locator("[data-keys]")
    expect(keys.get_by_text("Devolver para correção")).to_be_visible()
    page.get_by_label("Usar as teclas neste navegador").uncheck()
    page.reload()
    page.keyboard.press("a")
    assert page.evaluate("document.activeElement === document.body")
    page.locator("[data-keys] summary").click()
    page.get_by_label("Usar as teclas neste navegador").check()
    page.reload()
    page.keyboard.press("a")
    expect(button(page, "Aprovar")).to_be_focused()


def test_a_note_is_kept_beside_a_reason_that_is_half_written(decider, page):
    request = filed()
    page.goto(screen(request))
    page.get_by_label("Motivo", exact=True).fill("Falta o ato de")
    page.get_by_label("Nova nota").fill("Liguei para a chefia.")
    button(page, "Guardar nota").click()
    expect(page.get_by_text("Nota guardada.")).to_be_visible()
    expect(page.get_by_label("Motivo", exact=True)).to_have_value("Falta o ato de")
    expect(page.get_by_label("Nova nota")).to_have_value("")
    button(page, "Indeferir").click()
    expect(page.get_by_text(f"Solicitação {request.protocol} indeferida.")).to_be_visible()
    assert request.events.last().note == "Falta o ato de"
    assert request.internal_notes.get().text == "Liguei para a chefia."


def test_enter_in_a_field_decides_nothing(decider, page):
    request = filed(user_type=UserTypeFactory(system__credential="OPERATOR"))
    page.goto(screen(request))
    page.keyboard.press("p")
    expect(next_box(page)).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_label("Motivo", exact=True).focus()
    assert page.url.endswith(screen(request))
    assert request.events.count() == 1

    workflow.move(request.pk, Status.APPROVED, by=decider)
    page.reload()
    page.get_by_label("O próprio sistema envia").check()
    page.get_by_label("Login no outro sistema").press("Enter")
    page.get_by_label("Motivo", exact=True).focus()
    request.refresh_from_db()
    assert request.status == Status.APPROVED


def test_rejecting_with_a_text_shows_it_first_and_mails_it(decider, page, smtp_sink):
    request = filed()
    chosen = ReasonTemplate.objects.create(
        decision="REJECTED",
        title="Só para magistrados",
        text="Este perfil é só para magistrados.",
        norm="LGPD, art. 6º",
    )
    page.goto(screen(request))
    preview = page.locator("[data-reason-preview]")
    expect(preview).to_be_hidden()
    page.get_by_label("Modelo de motivo").select_option("Só para magistrados")
    expect(preview).to_have_text("Quem pediu vai ler: Este perfil é só para magistrados. (LGPD, art. 6º)")
    page.get_by_label("Modelo de motivo").select_option("Nenhum")
    expect(preview).to_be_hidden()
    page.get_by_label("Modelo de motivo").select_option("Só para magistrados")
    page.get_by_label("Motivo", exact=True).fill("Peça o perfil Servidor.")
    button(page, "Indeferir").click()
    expect(page.get_by_text(f"Solicitação {request.protocol} indeferida.")).to_be_visible()

    assert request.events.last().reason == chosen
    outbox.send_due()
    mail = smtp_sink.to(request.requester_email)[-1].text()
    assert "Este perfil é só para magistrados. (LGPD, art. 6º)" in mail
    assert "Peça o perfil Servidor." in mail


def test_the_preview_of_a_text_keeps_its_lines(decider, page):
    text = "Informe, nesta ordem:\n1. a portaria;\n2. a unidade."
    ReasonTemplate.objects.create(decision="RETURNED", title="Faltam dados", text=text)
    page.goto(screen(filed()))
    page.get_by_label("Modelo de motivo").select_option("Faltam dados")
    preview = page.locator("[data-reason-preview]")
    expect(preview).to_be_visible()
    assert preview.inner_text() == f"Quem pediu vai ler: {text}"


def test_what_is_returned_is_corrected_by_who_asked_and_comes_back_to_the_queue(decider, page):
    requester = EmploymentFactory(user__name="QUEM PEDE").user
    request = filed(requester=requester)
    page.goto(screen(request))
    page.get_by_label("Motivo", exact=True).fill("Falta a portaria.")
    button(page, "Devolver para correção").click()
    expect(page.get_by_text(f"Solicitação {request.protocol} devolvida para correção.")).to_be_visible()
    page.goto(QUEUE)
    expect(page.get_by_role("link", name=request.protocol)).to_have_count(0)

    sign_in(page, requester)
    page.goto(request.get_absolute_url())
    expect(page.get_by_text("Falta a portaria.").first).to_be_visible()
    page.get_by_role("link", name="Corrigir").click()
    page.get_by_label("Descrição solicitação").fill("Portaria 12/2026, para o balcão.")
    button(page, "Enviar correção").click()
    page.wait_for_url(f"**{request.get_absolute_url()}")

    sign_in(page, decider)
    page.goto(QUEUE)
    page.get_by_role("link", name=request.protocol).click()
    expect(page.get_by_text("Portaria 12/2026, para o balcão.", exact=True)).to_be_visible()
    expect(page.get_by_text("Agora: Portaria 12/2026, para o balcão.")).to_be_visible()
    expect(button(page, "Aprovar")).to_be_visible()


def test_registering_by_hand_shows_the_civil_name_takes_the_credential_and_forgets_it(decider, page, smtp_sink):
    bond = EmploymentFactory(user__name="JOÃO CARLOS LUZ", user__social_name="Joana Luz")
    request = request_in(
        Status.APPROVED, bond=bond, user_type=UserTypeFactory(system__name="SISBAJUD", system__credential="OPERATOR")
    )
    page.goto(screen(request))
    assert "JOÃO CARLOS" not in page.content()
    button(page, "Mostrar CPF, e-mail e nome civil").click()
    for fact in ("JOÃO CARLOS LUZ", formatted(bond.user.cpf), bond.user.email):
        expect(page.locator(".desk-sheet").get_by_text(fact)).to_be_visible()
    assert SecurityEvent.objects.get(kind="DISCLOSED").actor == decider

    page.get_by_label("Login no outro sistema").fill("joana.luz")
    page.get_by_label("Primeira senha no outro sistema").fill(FIRST)
    page.get_by_label("O próprio sistema envia").check()
    button(page, "Registrar acesso").click()
    expect(page.get_by_role("alert").filter(has_text="as duas coisas não.").first).to_be_focused()
    expect(page.get_by_label("Login no outro sistema")).to_have_value("joana.luz")
    expect(page.get_by_label("Primeira senha no outro sistema")).to_have_value("")
    page.get_by_label("O próprio sistema envia").uncheck()
    page.get_by_label("Primeira senha no outro sistema").fill(FIRST)
    button(page, "Registrar acesso").click()
    expect(page.get_by_text("registrado. A pessoa recebe um e-mail.")).to_be_visible()
    assert FIRST not in page.content()

    outbox.send_due()
    [mail] = [mail for mail in smtp_sink.to(bond.user.email) if FIRST in mail.text()]
    assert "SISBAJUD" in mail.message["Subject"]
    assert "Carlos" not in mail.text().title()
    assert TypedCredential.objects.get().password == ""


def test_two_analysts_on_one_request_the_slower_one_is_shown_what_happened(decider, page):
    request = filed()
    page.goto(screen(request))
    page.get_by_label("Motivo", exact=True).fill("O que eu já tinha escrito.")
    workflow.move(request.pk, Status.IN_REVIEW, by=analyst(name="BIA LISTA"), note="Vou ligar para a chefia.")
    button(page, "Indeferir").click()
    expect(page.get_by_role("alert").filter(has_text="mudou depois que você abriu esta página")).to_be_focused()
    expect(page.get_by_text("Vou ligar para a chefia.")).to_be_visible()
    expect(page.get_by_label("Motivo", exact=True)).to_have_value("O que eu já tinha escrito.")
    request.refresh_from_db()
    assert request.status == Status.IN_REVIEW


def test_the_screen_is_good_for_everybody_and_for_a_telephone(decider, page):
    refused = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    bond, _same_name = (EmploymentFactory(user__name="ANA LIMA") for _ in range(2))
    ReasonTemplate.objects.create(decision="REJECTED", title="Um título comprido " * 4, text="Diga. " * 100)
    earlier = filed(bond=bond)
    workflow.move(earlier.pk, Status.REJECTED, by=decider, note="sem-espaço" * 100)
    by_hand = UserTypeFactory(system__credential="OPERATOR")
    long = filed(bond=bond, user_type=by_hand, description="x" * 2000)
    for status in (Status.IN_REVIEW, Status.PENDING) * 6:
        workflow.move(long.pk, status, by=decider, note="palavra" * 280)
    workflow.add_note(long.pk, "y" * 2000, by=decider)
    workflow.move(long.pk, Status.APPROVED, by=decider)

    page.goto(screen(long))
    assert faults_of(page) == []
    page.keyboard.press("?")
    page.get_by_label("Modelo de motivo").select_option(index=1)
    assert faults_of(page) == []
    button(page, "Mostrar CPF, e-mail e nome civil").click()
    page.get_by_label("Modelo de motivo").select_option(index=0)  # what was chosen came back with the page
    button(page, "Indeferir").click()
    button(page, "Registrar acesso").click()
    assert faults_of(page) == []
    page.goto(screen(earlier))
    assert faults_of(page) == []
    assert refused == []


@pytest.mark.browser_context_args(java_script_enabled=False)
def test_without_javascript_the_texts_can_be_read_and_chosen_all_the_same(decider, page):
    request = filed()
    ReasonTemplate.objects.create(decision="RETURNED", title="Falta a portaria", text="Informe o número da portaria.")
    page.goto(screen(request))
    expect(page.locator("[data-keys]")).to_be_hidden()
    page.get_by_text("Textos dos modelos").click()
    expect(page.get_by_text("Informe o número da portaria.")).to_be_visible()
    page.get_by_label("Modelo de motivo").select_option("Falta a portaria")
    next_box(page).check()
    button(page, "Devolver para correção").click()
    page.wait_for_url(f"**{QUEUE}")
    assert request.events.last().note == "Informe o número da portaria."
