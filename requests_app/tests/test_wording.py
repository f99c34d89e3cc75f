"""What Django would say in odd Portuguese, the portal says in its own words (``bnmp_portal/locale``)."""

from __future__ import annotations

from datetime import date

import pytest

from accounts.tests.factories import EmploymentFactory
from requests_app import workflow
from requests_app.models import AccessRequest, Holiday, ReasonTemplate, Status

from .factories import UserTypeFactory, analyst, grant_of, manager, request_in
from .pages import Page, text_of

pytestmark = pytest.mark.django_db

HOLIDAYS = "/admin/requests_app/holiday/"
REASONS = "/admin/requests_app/reasontemplate/"


@pytest.fixture
def keeper(client):
    """Somebody of Gestão, and two holidays on their list."""
    Holiday.objects.all().delete()
    client.force_login(manager())
    return [Holiday.objects.create(starts_on=day, ends_on=day, name="Luto", scope="COURT") for day in DAYS]


DAYS = [date(2026, 11, 25), date(2026, 11, 26)]


def told(response):
    return text_of(Page(response).one("ul", class_="messagelist"))


def posted(rows, action="delete_selected"):
    return {"action": action, "_selected_action": [row.pk for row in rows], "index": "0"}


def test_a_list_asks_what_to_do_and_counts_what_is_marked(client, keeper):
    page = Page(client.get(HOLIDAYS))
    assert text_of(page.one("option", value="")) == "Escolha o que fazer"
    assert text_of(page.one("option", value="delete_selected")) == "Remover feriados"
    assert text_of(page.one("span", class_="action-counter")) == "Marcadas: 0 de 2"
    assert "Marcadas: %(sel)s de %(cnt)s" in client.get("/admin/jsi18n/").content.decode()


def test_nothing_marked_and_nothing_chosen_are_told(client, keeper):
    assert (
        told(client.post(HOLIDAYS, posted([]), follow=True)) == "Nada foi mudado. Marque na lista ao menos uma linha."
    )
    sentence = "Nada foi mudado. Escolha o que fazer com as linhas marcadas."
    assert told(client.post(HOLIDAYS, posted(keeper, ""), follow=True)) == sentence
    assert Holiday.objects.count() == 2


@pytest.mark.parametrize(("number", "what"), [(1, "1 feriado"), (2, "2 feriados")])
def test_a_removal_is_asked_about_and_told(client, keeper, number, what):
    chosen = posted(keeper[:number])
    asked = Page(client.post(HOLIDAYS, chosen)).text
    assert f"Confirme a remoção ({what.split()[1]}). Tudo o que está abaixo será removido:" in asked
    assert "selecionado" not in asked
    assert told(client.post(HOLIDAYS, chosen | {"post": "yes"}, follow=True)) == f"Remoção feita: {what}."


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("norm", "x" * 10_000, "Escreva no máximo 200 caracteres. Aqui há 10000."),
        ("decision", "NOTHING", "Esta opção não está disponível. Escolha uma da lista."),
        ("system", "987654321", "Esta opção não está disponível. Escolha uma da lista."),
    ],
)
def test_what_a_field_does_not_take_is_told_in_plain_words(client, keeper, field, value, sentence):
    typed = {"decision": "REJECTED", "title": "Sem portaria", "text": "Falta.", "norm": "", "system": "", field: value}
    response = client.post(f"{REASONS}add/", typed)
    errors = text_of(Page(response).one("ul", id=f"id_{field}_error"))
    assert errors.startswith(sentence)
    assert not ReasonTemplate.objects.filter(title="Sem portaria").exists()


@pytest.mark.parametrize(("status", "is_reissue"), [(Status.APPROVED, False), (Status.COMPLETED, True)])
def test_who_reissues_a_credential_is_not_told_to_register_the_person_again(client, status, is_reissue):
    client.force_login(analyst())
    user_type = UserTypeFactory(system__credential="OPERATOR")
    if is_reissue:
        grant = grant_of(EmploymentFactory(), user_type=user_type)
        address = f"/admin/requests_app/accessgrant/{grant.pk}/change/"
    else:
        address = f"/admin/requests_app/accessrequest/{request_in(status, user_type=user_type).pk}/change/"
    text = Page(client.get(address)).text
    assert ("Peça ao outro sistema uma senha nova e digite aqui." in text) is is_reissue
    assert ("Cadastre a pessoa no outro sistema e digite aqui o que ele deu." in text) is not is_reissue


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        *[(f"Falta a portaria{end}", "Falta a portaria.") for end in ("", ".", ". ", "..", ". .", " .\r\n")],
        ("Falta a portaria?", "Falta a portaria?"),
        ("Falta a portaria!", "Falta a portaria!"),
        ("Falta a portaria…", "Falta a portaria…"),
        ("Falta a portaria...", "Falta a portaria..."),
    ],
)
@pytest.mark.parametrize(
    ("to", "words"), [(Status.REJECTED, "Motivo: {} "), (Status.RETURNED, "Falta um ajuste seu: {} Corrija até")]
)
def test_a_reason_ends_in_one_full_stop(client, to, words, note, sentence):
    request = request_in(Status.PENDING)
    workflow.move(request.pk, to, by=analyst(), note=note)
    client.force_login(request.requester)
    address = AccessRequest.objects.get(pk=request.pk).get_absolute_url()
    assert words.format(sentence) in Page(client.get(address)).text
