"""The term of responsibility: who is led to it, what accepting keeps, and how a version is published."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.hashers import make_password
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from playwright.sync_api import expect

from accounts import outbox, resets, terms
from accounts.models import Employment, SecurityEvent, Term, TermAcceptance, User
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from accounts.tests.test_sign_in import NOT_OUR_PAGES, PRIVATE, PUBLIC, sign_in
from requests_app.models import AccessRequest
from requests_app.tests.factories import UserTypeFactory, analyst, manager, superuser
from requests_app.tests.pages import Page
from requests_app.tests.test_concurrency import at_once

KINDS = SecurityEvent.Kind
TEXT = "Prometo guardar sigilo.\n\nE avisar se perder a senha."
NEW = "três araras voando baixo"


def published(text=TEXT, by=None):
    return terms.publish(text, after=Term.objects.count(), by=by)


@pytest.fixture
def term(db):
    return published()


@pytest.fixture
def person(client, db):
    """Signed in, and has accepted nothing."""
    user = EmploymentFactory().user
    client.force_login(user)
    return user


def accept(client, term, **more):
    return client.post("/termo/", {"version": term.version, "accept": "on", **more})


# --- Who is led there -----------------------------------------------------------------------------------------------
def test_without_a_term_nobody_is_asked(client, person):
    assert client.get("/").status_code == 200
    assert client.get("/solicitacoes/").status_code == 200
    assert "Não há termo publicado" in Page(client.get("/termo/")).text


def test_who_has_not_accepted_reads_the_term_first_and_goes_on_to_where_they_wanted(client, person, term):
    led = client.get("/solicitacoes/?status=PENDING&page=2")
    assert led["Location"] == "/termo/?next=/solicitacoes/%3Fstatus%3DPENDING%26page%3D2"
    page = Page(client.get(led["Location"]))
    assert "Versão 1" in page.text
    assert "Prometo guardar sigilo." in page.text
    wanted = page.one("input", type="hidden", name="next")

    response = accept(client, term, next=dict(wanted.attributes)["value"])

    assert response["Location"] == "/solicitacoes/?status=PENDING&page=2"
    assert client.get(response["Location"]).status_code == 200


@pytest.mark.parametrize("wanted", NOT_OUR_PAGES)
def test_the_term_leads_to_no_address_that_is_not_ours(client, person, term, wanted):
    assert accept(client, term, next=wanted)["Location"] == "/"
    for page in (client.get("/termo/", {"next": wanted}), client.post("/termo/", {"next": wanted})):
        assert page.context["next"] == ""


def test_the_whole_first_access_by_the_reset_flow_and_the_term(client, make_client, smtp_sink, term, db):
    """Somebody of the directory who never had a password, until they use the portal."""
    newcomer = EmploymentFactory(user__password=make_password(None)).user
    assert "primeiro acesso" in Page(client.get("/entrar/")).text
    client.post("/esqueci-a-senha/", {"cpf": newcomer.cpf, "captcha": solve()})
    resets.handle_all()
    outbox.send_due()
    [mail] = smtp_sink.to(newcomer.email)
    assert mail.message["Subject"] == "Primeiro acesso: crie a sua senha"
    for kind in ("plain", "html"):
        assert "termo de responsabilidade" in " ".join(mail.text(kind).split())
    link = re.search(r"https?://[^/]+(/redefinir-senha/\S+)", mail.text())[1]
    client.get(link)
    client.post("/redefinir-senha/nova/", {"new_password1": NEW, "new_password2": NEW})

    entered = sign_in(client, newcomer.cpf, NEW)
    led = client.get(entered["Location"])
    assert led["Location"] == "/termo/?next=/"
    assert accept(client, term, next="/")["Location"] == "/"

    assert newcomer.display_name in client.get("/").content.decode()
    again = make_client()
    sign_in(again, newcomer.cpf, NEW)
    assert again.get("/").status_code == 200  # accepted once


#: Written by hand. Every other page of a person waits for the term.
OPEN = {
    "conta/alterar-senha/",
    "conta/sessoes/",
    "conta/sessoes/encerrar-outras/",
    "conta/sessoes/uso/",
    "conta/sessoes/<uuid:mark>/encerrar/",
    "conta/meus-dados/",
    "conta/meus-dados/arquivo/",
    "conta/meus-dados/<str:name>/",
    "termo/",
    "termo/<int:version>/",
}


@pytest.mark.parametrize("route", sorted({*PRIVATE} - OPEN))
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_other_page_of_a_person_waits_for_the_term(client, person, term, route, method):
    response = getattr(client, method)(PRIVATE[route])

    if route == "pessoas/busca/":
        assert response.status_code == 403
        assert response.json() == {
            "results": [],
            "error": "Antes de continuar, leia e aceite o termo de responsabilidade.",
        }
    else:
        assert response["Location"].startswith("/termo/?next=/")


@pytest.mark.parametrize("route", sorted(OPEN - {"termo/<int:version>/", "conta/sessoes/<uuid:mark>/encerrar/"}))
def test_what_is_ones_own_stays_open(client, person, term, route):
    response = client.get(PRIVATE[route])

    assert not response.headers.get("Location", "").startswith("/termo/")


@pytest.mark.parametrize("address", sorted(address for address in PUBLIC.values() if address and address != "/"))
def test_what_strangers_may_see_stays_open(client, person, term, address):
    assert not client.get(address).headers.get("Location", "").startswith("/termo/")


def test_the_way_out_stays_open(client, person, term):
    assert client.post("/sair/")["Location"] == "/entrar/"
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("address", ["/admin/", "/admin/accounts/user/", "/admin/accounts/term/add/"])
def test_the_staff_accept_like_everybody(client, db, address):
    published()
    client.force_login(manager())

    assert client.get(address)["Location"].startswith(f"/termo/?next={address}")


def test_asvs_2_3_1_a_form_posted_before_accepting_changes_nothing_and_the_person_is_told(client, person, term):
    user_type = UserTypeFactory()
    fields = {"beneficiary": Employment.objects.get().pk, "user_type": user_type.pk, "description": "x"}

    response = client.post("/solicitacoes/nova/", fields)

    assert response["Location"] == "/termo/?next=/solicitacoes/nova/"
    told = Page(client.get(response["Location"])).notices
    assert "Nada foi enviado nem mudado. Leia e aceite o termo e, depois, envie de novo." in told
    assert not AccessRequest.objects.exists()


def test_a_post_to_an_address_that_cannot_be_opened_goes_on_to_the_first_page(client, person, term, settings):
    settings.ROOT_URLCONF = "accounts.tests.post_only_urls"

    assert client.post("/so-post/")["Location"] == "/termo/?next=/"


def test_who_must_choose_a_password_does_that_first_and_then_reads_the_term(client, person, term):
    User.objects.filter(pk=person.pk).update(must_change_password=True)

    assert client.get("/")["Location"] == "/conta/alterar-senha/"
    assert client.get("/conta/alterar-senha/").status_code == 200


def test_an_anonymous_reader_is_asked_to_sign_in(client, term):
    assert client.get("/termo/")["Location"] == "/entrar/?next=/termo/"
    assert client.get("/termo/1/")["Location"] == "/entrar/?next=/termo/1/"
    assert client.get("/").status_code == 200


# --- What accepting keeps -------------------------------------------------------------------------------------------
def test_asvs_16_3_1_who_accepted_what_when_and_from_where_is_kept_and_recorded(client, person, term):
    client.post("/termo/", {"version": "1", "accept": "on"}, REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="Navegador 1.0")

    acceptance = TermAcceptance.objects.get()
    assert (acceptance.user, acceptance.term) == (person, term)
    assert (acceptance.address, acceptance.device) == ("203.0.113.9", "Navegador 1.0")
    event = SecurityEvent.objects.get(kind=KINDS.TERM_ACCEPTED)
    assert (event.user, event.actor, event.detail, event.address) == (person, person, "versão 1", "203.0.113.9")


def test_accepting_again_keeps_the_first_row(client, person, term):
    accept(client, term)
    accept(client, term)

    assert TermAcceptance.objects.count() == 1
    assert SecurityEvent.objects.filter(kind=KINDS.TERM_ACCEPTED).count() == 1


@pytest.mark.django_db(transaction=True)
def test_accepting_eight_times_at_once_makes_one_row(make_client):
    user, term = UserFactory(), published()

    def click():
        client = make_client()
        client.force_login(user)
        return accept(client, term).status_code

    assert at_once(*[click] * 8) == [302] * 8
    assert TermAcceptance.objects.count() == 1
    assert SecurityEvent.objects.filter(kind=KINDS.TERM_ACCEPTED).count() == 1


@pytest.mark.parametrize("table", [Term, TermAcceptance])
def test_neither_a_version_nor_an_acceptance_is_changed_or_deleted(person, term, table):
    terms.accept(person, term)

    for change in (
        lambda: table.objects.update(at="2020-01-01T00:00Z"),
        lambda: table.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(DatabaseError, match="history rows are not changed"), transaction.atomic():
            change()


def test_a_new_version_is_asked_for_at_the_next_click_and_says_what_was_accepted_before(client, person, term):
    accept(client, term)
    assert client.get("/").status_code == 200

    newer = published("Outro texto.")

    assert client.get("/")["Location"] == "/termo/?next=/"
    page = Page(client.get("/termo/"))
    assert "Você aceitou a versão 1 em" in page.text
    assert "leia e aceite a versão 2" in page.text
    assert "Outro texto." in page.text
    accept(client, newer)
    assert client.get("/").status_code == 200
    assert list(person.term_acceptances.order_by("pk").values_list("term__version", flat=True)) == [1, 2]


def test_what_was_accepted_can_be_read_again_and_nothing_that_was_not(client, make_client, person, term):
    accept(client, term)
    newer = published("Segredo da segunda.")

    assert "Prometo guardar sigilo." in Page(client.get("/termo/1/")).text
    for version in ("2", "0", "99", "9" * 30):
        response = client.get(f"/termo/{version}/")
        assert response.status_code == 404
        assert "Segredo da segunda." not in response.content.decode()
    accept(client, newer)
    page = Page(client.get("/termo/"))
    assert [dict(link.attributes)["href"] for link in page.all("a") if "/termo/" in dict(link.attributes)["href"]][
        -2:
    ] == [
        "/termo/2/",
        "/termo/1/",
    ]
    stranger = make_client()
    stranger.force_login(UserFactory())
    assert stranger.get("/termo/1/").status_code == 404


def test_the_version_that_was_accepted_elsewhere_counts_here(client, make_client, person, term):
    other = make_client()
    other.force_login(person)
    accept(other, term)

    assert client.get("/").status_code == 200


def test_one_persons_acceptance_opens_nothing_to_another(client, person, term):
    terms.accept(UserFactory(), term)

    assert client.get("/")["Location"] == "/termo/?next=/"


def test_a_click_costs_one_look_at_an_index_and_no_more(client, person):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/solicitacoes/").status_code == 200
        return [query["sql"] for query in captured]

    term = published()
    accept(client, term)
    client.get("/solicitacoes/")
    asked = [sql for sql in queries() if "accounts_term" in sql]
    assert len(asked) == 1
    assert "accounts_termacceptance" not in asked[0]


# --- Bad input ------------------------------------------------------------------------------------------------------
UNTICKED = "Para continuar, marque a caixa “Li o termo e aceito”."
CHANGED = "O termo mudou enquanto a página estava aberta. Leia a nova versão e aceite."
BAD = {
    "no tick": ({"version": "1"}, UNTICKED),
    "nothing at all": ({}, UNTICKED),
    "a tick that says no": ({"version": "1", "accept": "0"}, UNTICKED),
    "a tick that no box posts": ({"version": "1", "accept": "true"}, UNTICKED),
    "two ticks": ({"version": "1", "accept": ["on", "on"]}, "mais de uma vez"),
    "an older version": ({"version": "0", "accept": "on"}, CHANGED),
    "no version": ({"accept": "on"}, CHANGED),
    "unicode digits": ({"version": "١", "accept": "on"}, CHANGED),
    "two versions": ({"version": ["1", "1"], "accept": "on"}, "mais de uma vez"),
    "NUL": ({"version": "1\0", "accept": "on"}, "Caracteres nulos não são permitidos."),
    "1 MB": ({"version": "1" * 1_000_000, "accept": "on"}, CHANGED),
    "a surrogate": ({"version": "\udcff", "accept": "on"}, CHANGED),
}


@pytest.mark.parametrize(("posted", "sentence"), BAD.values(), ids=BAD)
def test_what_is_no_acceptance_gets_a_sentence_and_keeps_nothing(client, person, term, posted, sentence):
    encoded = {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in posted.items()
    }

    response = client.post("/termo/", {**encoded, "next": "/solicitacoes/"})

    page = Page(response)
    assert response.status_code == 200
    assert sentence in page.summary or any(
        sentence in str(errors) for errors in response.context["form"].errors.values()
    )
    assert dict(page.one("input", name="next").attributes)["value"] == "/solicitacoes/"
    assert not TermAcceptance.objects.exists()


def test_asvs_3_5_1_a_page_that_was_open_too_long_is_shown_again(make_client, db, term):
    client = make_client(enforce_csrf_checks=True)
    client.force_login(UserFactory())

    response = accept(client, term, next="/solicitacoes/")

    page = Page(response)
    assert "A página ficou aberta por muito tempo" in page.text
    assert page.one("input", name="next", value="/solicitacoes/")
    assert not TermAcceptance.objects.exists()


def test_the_text_is_shown_as_it_is_and_never_as_markup(client, person, db):
    published("<script>alert(1)</script> & <b>negrito</b>")

    page = client.get("/termo/").content.decode()

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;" in page


# --- Publishing -----------------------------------------------------------------------------------------------------
ADD, LIST = "/admin/accounts/term/add/", "/admin/accounts/term/"


@pytest.fixture
def publisher(client, db):
    user = manager()
    client.force_login(user)
    return user


def publish(client, text=TEXT, after=0, step="publish"):
    return client.post(ADD, {"text": text, "after": after, step: "1"})


def test_the_first_version_starts_from_the_draft_that_ships_with_the_portal(client, publisher):
    response = client.get(ADD)

    assert response.context["form"]["text"].value() == terms.draft()
    assert terms.draft().startswith("O Tribunal de Justiça")
    assert "pessoal e intransferível" in response.content.decode()


def test_the_next_version_starts_from_the_newest(client, publisher, term):
    terms.accept(publisher, term)

    assert client.get(ADD).context["form"]["text"].value() == TEXT


def test_a_version_is_looked_at_before_it_is_published(client, publisher):
    preview = publish(client, step="preview")

    assert preview.status_code == 200
    assert "Como as pessoas vão ler a versão 1" in preview.content.decode()
    assert "<p>Prometo guardar sigilo.</p>" in preview.content.decode()
    assert not Term.objects.exists()
    assert 'id="id_text"' in publish(client, step="edit").content.decode()
    assert not Term.objects.exists()

    assert publish(client)["Location"] == LIST

    term = Term.objects.get()
    assert (term.version, term.text, term.published_by) == (1, TEXT, publisher)
    event = SecurityEvent.objects.get(kind=KINDS.TERM_PUBLISHED)
    assert (event.actor, event.detail) == (publisher, "versão 1")
    assert client.get(LIST)["Location"] == f"/termo/?next={LIST}"  # whoever publishes accepts, too


def test_lines_end_the_same_way_whatever_the_browser_sends(client, publisher):
    publish(client, TEXT.replace("\n", "\r\n") + "\r\n")

    assert Term.objects.get().text == TEXT


@pytest.mark.parametrize(
    ("text", "after", "sentence"),
    [
        (TEXT, 1, "Este texto é igual ao da versão 1. Mude o texto antes de publicar."),
        ("Outro.", 0, "Outra versão foi publicada enquanto você escrevia. Compare as duas antes de publicar."),
        ("Outro.", 7, "Outra versão foi publicada enquanto você escrevia. Compare as duas antes de publicar."),
        ("Outro.", "x", "Outra versão foi publicada enquanto você escrevia. Compare as duas antes de publicar."),
    ],
)
def test_nothing_is_published_twice_or_over_somebody_elses_version(client, publisher, term, text, after, sentence):
    terms.accept(publisher, term)

    response = publish(client, text, after)

    assert response.status_code == 409
    assert sentence in response.content.decode()
    assert text in response.content.decode()
    assert Term.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_publish_at_once_make_one_version_and_the_other_is_told():
    publishers = [manager(), manager()]

    def step(number):
        def run():
            try:
                return terms.publish(f"Texto {number}.", after=0, by=publishers[number]).version
            except terms.PublishRefusedError:
                return "refused"

        return run

    assert sorted(map(str, at_once(step(0), step(1)))) == ["1", "refused"]
    assert Term.objects.count() == SecurityEvent.objects.filter(kind=KINDS.TERM_PUBLISHED).count() == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Escreva o texto do termo."),
        ("  \n ", "Escreva o texto do termo."),
        ("Com\0nulo", "Caracteres nulos não são permitidos."),
        ("a" * 1_000_000, "30000 caracteres"),
        (["um", "dois"], "mais de uma vez"),
    ],
    ids=["nothing", "spaces", "NUL", "1 MB", "several"],
)
def test_a_text_that_cannot_be_one_gets_a_sentence(client, publisher, text, sentence):
    response = publish(client, text)

    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert not Term.objects.exists()


@pytest.mark.parametrize("who", [analyst, lambda: UserFactory(is_staff=True)])
def test_fault_19_who_may_not_publish_cannot(client, db, who):
    client.force_login(who())

    assert client.get(ADD).status_code == publish(client).status_code == 403
    assert not Term.objects.exists()


def test_opening_an_address_publishes_nothing(client, publisher):
    client.get(ADD, {"text": TEXT, "after": 0, "publish": "1"})

    assert not Term.objects.exists()


@pytest.mark.parametrize("who", [manager, superuser])
def test_versions_are_listed_and_neither_changed_nor_deleted_by_anybody(client, db, who):
    user, term = who(), published(by=manager())
    for reader in (user, UserFactory(), UserFactory()):
        terms.accept(reader, term)
    client.force_login(user)

    page = client.get(LIST).content.decode()
    assert re.search(r'field-accepted_count">3<', page)
    assert "Prometo guardar sigilo." in client.get(f"{LIST}{term.pk}/change/").content.decode()
    assert client.post(f"{LIST}{term.pk}/change/", {"text": "outro"}).status_code == 403
    assert client.post(f"{LIST}{term.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Term.objects.get().text == TEXT


def test_ten_versions_cost_the_list_as_many_queries_as_one(client, publisher):
    terms.accept(publisher, published())
    client.get(LIST)
    with CaptureQueriesContext(connection) as with_one:
        assert client.get(LIST).status_code == 200
    for number in range(9):
        newest = published(f"Texto {number}.", by=manager())
    terms.accept(publisher, newest)
    client.get(LIST)
    with CaptureQueriesContext(connection) as with_ten:
        assert client.get(LIST).status_code == 200

    assert len(with_ten) == len(with_one)


MISSING = "Nenhum termo está publicado"


def test_gestao_is_told_on_the_first_page_while_no_term_is_published(client, publisher):
    page = Page(client.get("/admin/"))
    assert MISSING in page.text
    assert page.one("a", href=ADD)

    terms.accept(publisher, published())

    assert MISSING not in Page(client.get("/admin/")).text


def test_who_cannot_publish_is_not_told(client, db):
    client.force_login(analyst())

    assert MISSING not in Page(client.get("/admin/")).text


# --- Who accepted ---------------------------------------------------------------------------------------------------
ACCEPTANCES = "/admin/accounts/termacceptance/"


def test_acceptances_are_found_by_person_and_version(client, publisher):
    ana, rui = UserFactory(name="ANA BEATRIZ LUZ"), UserFactory(name="RUI CASTRO")
    first = published()
    for reader in (ana, rui, publisher):
        terms.accept(reader, first)
    second = published("Outro texto.")
    for reader in (rui, publisher):
        terms.accept(reader, second)

    def people(**query):
        found = re.findall(r'field-person">([^<]+)<', client.get(ACCEPTANCES, query).content.decode())
        return sorted(set(found) - {publisher.display_name})

    assert people() == ["Ana Beatriz Luz", "Rui Castro"]
    assert people(q="beatriz") == people(q=ana.cpf) == ["Ana Beatriz Luz"]
    assert people(versao="2") == ["Rui Castro"]
    assert people(q="ninguém") == []
    for odd in ({"q": "\0%_'"}, {"versao": "9" * 40}, {"versao": "\0"}, {"periodo": "x"}):
        assert client.get(ACCEPTANCES, odd).status_code == 200
    page = client.get(ACCEPTANCES).content.decode()
    assert ana.cpf not in page


def test_who_may_not_read_acceptances_does_not(client, db):
    term = published()
    decider = analyst()
    terms.accept(decider, term)
    client.force_login(decider)

    assert client.get(ACCEPTANCES).status_code == 403
    assert client.get(LIST).status_code == 403


def test_the_list_of_acceptances_costs_no_query_for_each_row(client, publisher):
    term = published()
    terms.accept(publisher, term)
    client.get(ACCEPTANCES)
    with CaptureQueriesContext(connection) as with_one:
        assert client.get(ACCEPTANCES).status_code == 200
    for reader in UserFactory.create_batch(20):
        terms.accept(reader, term)
    with CaptureQueriesContext(connection) as with_many:
        assert client.get(ACCEPTANCES).status_code == 200

    assert len(with_many) == len(with_one)


# --- In a browser ---------------------------------------------------------------------------------------------------
@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 360])
def test_the_term_is_accepted_by_keyboard_and_without_a_fault_of_accessibility(portal_server, page, width):
    user = EmploymentFactory().user
    published(terms.draft())
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/entrar/?next=/solicitacoes/")
    page.get_by_label("Usuário:").fill(user.cpf)
    page.get_by_label("Senha:", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    expect(page.get_by_role("heading", name="Termo de responsabilidade", level=1)).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.get_by_role("button", name="Aceitar e continuar").press("Enter")
    expect(page.locator(".error-summary")).to_be_focused()
    assert Axe().run(page).response["violations"] == []
    page.get_by_label("Li o termo e aceito").press("Space")
    page.get_by_role("button", name="Aceitar e continuar").press("Enter")

    expect(page.get_by_role("heading", name="Minhas solicitações", level=1)).to_be_visible()
    expect(page.get_by_text("Termo aceito.")).to_be_visible()
