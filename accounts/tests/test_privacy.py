"""What the portal knows of a person: complete, their own alone, and without anything that opens a door."""

from __future__ import annotations

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from playwright.sync_api import expect

from accounts import cpf, privacy, terms, throttle
from accounts.models import (
    AddressChange,
    Authenticator,
    FactorRemoval,
    HelpDesk,
    ProvisionalPassword,
    RecoveryCode,
    SecurityEvent,
    Term,
    User,
)
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from requests_app import workflow
from requests_app.models import Draft, GrantEvent, Reminder, Status, TypedCredential
from requests_app.tests.factories import UserTypeFactory, analyst, grant_of, unsaved_request
from requests_app.tests.files import attached
from requests_app.tests.pages import Page

KINDS = SecurityEvent.Kind
PAGE, FILE = "/conta/meus-dados/", "/conta/meus-dados/arquivo/"


@pytest.fixture
def person(client, db):
    user = EmploymentFactory(user__name="ANA BEATRIZ LUZ").user
    client.force_login(user)
    return user


def fill(user, mark):
    """A row of everything about this person; ``mark`` stands in each that can hold a word."""
    now = timezone.now()
    other, staff = EmploymentFactory(user__name=f"RUI {mark}").user, analyst(name=f"JUIZ {mark}")
    AddressChange.objects.create(user=user, old=f"{mark}@tjms.jus.br", reason=f"motivo {mark}")
    SecurityEvent.objects.create(kind=KINDS.EMAIL_CHANGED, user=user, actor=staff, detail=mark, address="198.51.100.77")
    ProvisionalPassword.objects.create(user=user, key_version="v", nonce=f"nonce{mark}", ended_at=now)
    Authenticator.objects.create(user=user, name=mark, encrypted_key=f"key{mark}")
    RecoveryCode.objects.create(user=user, selector="ABCD", code_hash=f"hash{mark}")
    FactorRemoval.objects.create(user=user, reason=f"celular {mark}", asked_by=staff, lapses_at=now)
    term = terms.publish(f"Termo {mark}.", after=Term.objects.count(), by=staff)
    terms.accept(user, term)
    asked = workflow.file(
        unsaved_request(
            requester=other,
            bond=user.employments.get(),
            user_type=UserTypeFactory(name=f"Perfil {mark}"),
            description=f"Descrição {mark}",
        )
    )
    workflow.move(asked.pk, Status.APPROVED, by=staff)
    event = GrantEvent.objects.get(grant__request=asked)
    TypedCredential.objects.create(event=event, login=f"login{mark}", password=f"senha{mark}")
    attached(asked, name=f"arquivo {mark}.pdf", by=user)
    Reminder.objects.create(request=asked, by=user)
    Draft.objects.create(user=user, data={"description": f"Rascunho {mark}"})
    ended = grant_of(EmploymentFactory(user__name="Colega da Unidade"))
    for came_from, to in (("ACTIVE", "TO_REVOKE"), ("TO_REVOKE", "TO_REVOKE"), ("TO_REVOKE", "REVOKED")):
        GrantEvent.objects.create(
            grant=ended, from_status=came_from, to_status=to, actor=user, note=f"{came_from} {to} {mark}"
        )


def exported(user):
    return json.loads("".join(privacy.export(user)))


# --- Nothing is forgotten -------------------------------------------------------------------------------------------
def fields_that_point_at_a_person():
    return {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if field.concrete and not field.many_to_many and field.related_model is User
    }


def test_every_field_that_points_at_a_person_is_exported_or_left_out_for_a_reason():
    """A new model fails here until it has a section, or stands in ``LEFT_OUT`` with why."""
    covered = set().union(*(section.covers for section in privacy.SECTIONS.values()))

    assert not covered & set(privacy.LEFT_OUT)
    assert covered | set(privacy.LEFT_OUT) == fields_that_point_at_a_person()
    assert all(len(reason) > 20 for reason in privacy.LEFT_OUT.values())


def test_every_column_of_the_person_is_in_the_registration_or_named_here():
    """The others: a number of ours, what opens the door, what is made of the name, and what the file says in words."""
    not_shown = {"id", "password", "search_name", "is_superuser", "must_change_password"}
    shown = {
        "name": "nome_civil",
        "social_name": "nome_social",
        "cpf": "cpf",
        "email": "email",
        "email_corrected_at": "email_corrigido_em",
        "phone": "telefone",
        "date_joined": "cadastro_em",
        "last_login": "ultima_entrada",
        "is_active": "pode_entrar",
        "left_at": "sem_vinculo_desde",
        "is_staff": "usa_a_administracao",
    }

    assert {field.name for field in User._meta.concrete_fields} == shown.keys() | not_shown
    assert {*shown.values(), "tem_senha", "grupos"} == privacy.REGISTRATION_LABELS.keys()


def test_each_section_says_something_of_somebody_of_whom_everything_is_kept(client, person):
    fill(person, "marca")
    client.get(PAGE)

    found = exported(person)

    assert [name for name in privacy.SECTIONS if not found[name]] == []
    assert found["cadastro"]["cpf"] == cpf.formatted(person.cpf)
    assert found["solicitacoes"][0]["descricao"] == "Descrição marca"
    assert found["andamentos-dos-acessos"][0]["login"] == "loginmarca"
    assert found["mudancas-de-email"][0]["motivo"] == "motivo marca"
    assert found["termos-aceitos"][0]["versao"] == 1


def test_the_page_shows_each_section_with_the_words_of_people(client, person):
    fill(person, "marca")
    client.post("/termo/", {"version": "1", "accept": "on"})

    text = Page(client.get(PAGE)).text

    for section in privacy.SECTIONS.values():
        assert section.title in text
    for words in (
        "Ana Beatriz Luz".upper(),
        "loginmarca",
        "motivo marca",
        "Perfil marca",
        "E-mail alterado",
        "a equipe",
    ):
        assert words in text


# --- Nobody else's, and nothing secret ------------------------------------------------------------------------------
SECRETS = ("noncemarca", "keymarca", "hashmarca", "senhamarca")


def test_nothing_that_opens_a_door_is_shown_or_exported(client, person):
    fill(person, "marca")
    key = client.session.session_key

    everything = "".join(privacy.export(person)) + client.get(PAGE).content.decode()
    for name in privacy.SECTIONS:
        everything += client.get(f"{PAGE}{name}/").content.decode()

    assert "loginmarca" in everything  # the search finds what is there
    for secret in (*SECRETS, person.password, key, "argon2", "typed_digest"):
        assert secret not in everything
    for session in person.sessions.all():
        assert session.session_key not in everything
        assert str(session.mark) not in everything


def test_nothing_of_another_person_is_shown_or_exported(client, person):
    fill(EmploymentFactory(user__name="OUTRA PESSOA").user, "alheia")
    SecurityEvent.objects.create(kind=KINDS.DISCLOSED, user=UserFactory(), actor=person, detail="alheia")

    everything = "".join(privacy.export(person)) + client.get(PAGE).content.decode()
    for name in privacy.SECTIONS:
        everything += client.get(f"{PAGE}{name}/").content.decode()

    assert "alheia" not in everything.lower()
    assert "Outra Pessoa" not in everything


def test_who_asked_for_the_end_of_an_access_has_that_among_their_data_and_no_act_of_the_staff(client, person):
    fill(person, "marca")
    [asked] = exported(person)["fins-de-acesso-que-pedi"]
    assert (asked["pessoa"], asked["motivo"]) == ("Colega da Unidade", "ACTIVE TO_REVOKE marca")
    assert "Fins de acesso que pedi" in Page(client.get(PAGE)).text


def test_what_the_staff_did_shows_no_name_and_no_address_of_theirs(client, person):
    fill(person, "marca")

    [event] = [row for row in exported(person)["eventos-de-seguranca"] if row["evento"] == "E-mail alterado"]

    assert (event["por"], event["endereco"], event["detalhe"]) == ("a equipe", None, "marca")


def test_the_requesters_own_address_is_not_the_beneficiarys_to_export(client, person):
    fill(person, "marca")
    asked = workflow.file(unsaved_request(requester=person))

    theirs, mine = sorted(exported(person)["solicitacoes"], key=lambda row: row["solicitante"] == "Ana Beatriz Luz")

    assert (theirs["meu_email"], theirs["meu_telefone"]) == (None, None)
    assert (mine["protocolo"], mine["meu_email"]) == (asked.protocol, person.email)


@pytest.mark.parametrize("address", [PAGE, FILE, f"{PAGE}vinculos/"])
def test_an_anonymous_reader_is_asked_to_sign_in(client, db, address):
    assert client.get(address)["Location"] == client.post(address)["Location"] == f"/entrar/?next={address}"


@pytest.mark.parametrize("name", ["nada", "cadastro", "0", "%00", "..", "x" * 5000])
def test_a_section_that_is_not_there_is_a_404(client, person, name):
    assert client.get(f"{PAGE}{name}/").status_code == 404


# --- Showing the CPF, and the file ----------------------------------------------------------------------------------
def test_the_cpf_is_masked_until_it_is_asked_for_and_that_is_recorded(client, person):
    whole = cpf.formatted(person.cpf)
    before = client.get(PAGE, {"mostrar": "1"}).content.decode()
    assert whole not in before
    assert person.cpf not in before
    assert person.masked_cpf in before
    assert not SecurityEvent.objects.filter(kind=KINDS.DISCLOSED).exists()

    shown = client.post(PAGE)

    assert whole in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    event = SecurityEvent.objects.get(kind=KINDS.DISCLOSED)
    assert (event.user, event.actor, event.detail) == (person, person, "CPF, à própria pessoa")
    assert whole not in client.get(PAGE).content.decode()


def test_the_file_is_json_that_people_can_read_too_and_that_is_recorded(client, person):
    fill(person, "marca")

    response = client.post(FILE)

    text = b"".join(response.streaming_content).decode()
    assert response["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="meus-dados-\d{4}-\d\d-\d\d\.json"', response["Content-Disposition"])
    assert "no-store" in response["Cache-Control"]
    found = json.loads(text)
    assert "Descrição marca" in text
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-04:00", found["termos-aceitos"][0]["aceito_em"])
    assert found["vinculos"][0]["inicio"] == "2015-02-02"
    event = SecurityEvent.objects.get(kind=KINDS.EXPORTED)
    assert (event.user, event.actor) == (person, person)


def test_fault_19_an_opened_address_exports_nothing(client, person):
    assert client.get(FILE)["Location"] == PAGE
    assert not SecurityEvent.objects.filter(kind=KINDS.EXPORTED).exists()


@pytest.mark.parametrize("address", [PAGE, FILE])
def test_who_asks_over_and_over_has_to_wait_and_is_told_how_long(client, person, address):
    answers = [client.post(address).status_code for _ in range(12)]

    assert answers == [200] * 10 + [429] * 2
    refused = client.post(address)
    assert "Muitas tentativas em pouco tempo. Aguarde" in Page(refused).text
    assert cpf.formatted(person.cpf) not in refused.content.decode()
    assert SecurityEvent.objects.filter(kind__in=(KINDS.DISCLOSED, KINDS.EXPORTED)).count() == 10


def test_asvs_3_5_1_neither_is_done_without_the_forms_token(make_client, person):
    client = make_client(enforce_csrf_checks=True)
    client.force_login(person)

    assert client.post(PAGE).status_code == client.post(FILE).status_code == 403
    assert not SecurityEvent.objects.filter(kind__in=(KINDS.DISCLOSED, KINDS.EXPORTED)).exists()


# --- Much of it -----------------------------------------------------------------------------------------------------
def make_events(user, count):
    now = timezone.now()
    SecurityEvent.objects.bulk_create(
        SecurityEvent(kind=KINDS.SIGNED_IN, user=user, actor=user, detail=f"entrada {number}", at=now)
        for number in range(count)
    )


def test_three_thousand_events_are_exported_whole_and_read_from_the_database_in_pieces(client, person):
    make_events(person, 3000)

    pieces = list(privacy.export(person))

    found = json.loads("".join(pieces))["eventos-de-seguranca"]
    assert [row["detalhe"] for row in found] == [f"entrada {number}" for number in reversed(range(3000))]
    assert max(map(len, pieces)) < 2000  # no piece grows with what there is
    with CaptureQueriesContext(connection) as captured:
        for _piece in privacy.export(person):
            pass
    assert len(captured) <= len(privacy.SECTIONS) + 3


def test_a_long_list_is_cut_on_the_page_and_whole_behind_a_link(client, person):
    make_events(person, 130)

    page = Page(client.get(PAGE))
    assert "entrada 129" in page.text
    assert "entrada 124" not in page.text
    assert page.one("a", href=f"{PAGE}eventos-de-seguranca/")
    assert not page.one("a", href=f"{PAGE}vinculos/")

    shown = []
    for number in (1, 2, 3):
        text = Page(client.get(f"{PAGE}eventos-de-seguranca/", {"page": number})).text
        assert f"130 registros, página {number} de 3" in text
        shown += re.findall(r"entrada (\d+)", text)
    assert shown == [str(number) for number in reversed(range(130))]


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 40, "\0", "²"])
def test_a_page_number_that_is_none_shows_a_page(client, person, page):
    make_events(person, 60)

    assert client.get(f"{PAGE}eventos-de-seguranca/", {"page": page}).status_code == 200


def test_the_page_says_what_is_not_on_it(client, person):
    text = Page(client.get(PAGE)).text
    assert "tudo o que o portal guarda" not in text
    for words in ("contagens de tentativas", "registros técnicos do servidor", "o que você fez como equipe"):
        assert words in text


def test_an_empty_section_says_so(client, person):
    assert "Desligada." in Page(client.get(f"{PAGE}segundo-fator/")).text


def test_more_rows_cost_no_more_queries(client, person):
    fill(person, "um")
    client.get(PAGE)
    with CaptureQueriesContext(connection) as with_one:
        client.get(PAGE)
    make_events(person, 30)
    for _ in range(3):
        workflow.file(unsaved_request(requester=person))
    with CaptureQueriesContext(connection) as with_many:
        client.get(PAGE)

    assert len(with_many) == len(with_one)


# --- The notice -----------------------------------------------------------------------------------------------------
def notice(client):
    return Page(client.get("/privacidade/")).text


def test_the_notice_says_how_long_things_are_really_kept(client, db, settings):
    settings.MAIL_RETENTION_DAYS, settings.SECURITY_EVENT_RETENTION_DAYS = 41, 207
    settings.SESSION_IDLE_MINUTES, settings.SESSION_COOKIE_AGE = 17, 5 * 3600
    settings.DRAFT_DAYS = 23

    text = notice(client)

    for words in (
        *("41 dias depois do envio", "207 dias", "17 minutos sem uso", "5 horas depois da entrada"),
        "23 dias depois da última mudança",
        *("Até 180 dias depois da última tentativa", "Registros técnicos do servidor", "Motivos e retiradas"),
    ):
        assert words in text
    assert "art. 7º, III, e no art. 23" in text


def test_every_page_leads_to_the_notice(client, person):
    for address in ("/esqueci-a-senha/", "/", "/conta/", "/nao-existe/"):
        assert Page(client.get(address)).one("a", href="/privacidade/")


def test_the_notice_names_the_encarregado_or_the_help_desk_until_there_is_one(client, db):
    assert "procure a Coordenadoria de Gerência de Sistemas Externos" in notice(client)
    assert "object at 0x" not in notice(client)

    HelpDesk.objects.create(privacy_contact="Encarregada de Dados, dados@tjms.jus.br")

    assert "Encarregada de Dados, dados@tjms.jus.br" in notice(client)
    assert "procure a Coordenadoria" not in notice(client)


def test_google_is_named_only_where_its_captcha_is_in_use(client, db, settings):
    assert "Google" not in notice(client)

    settings.RECAPTCHA_PUBLIC_KEY = settings.RECAPTCHA_PRIVATE_KEY = "x"

    assert "é do Google (reCAPTCHA)" in notice(client)


def test_the_notice_names_every_cookie_that_the_portal_sets(client, db):
    user = UserFactory()
    client.get("/entrar/")
    client.post("/entrar/", {"username": user.cpf, "password": PASSWORD})
    client.get("/conta/")

    text = notice(client)

    assert len(client.cookies) == 3
    for name in client.cookies:
        assert name in text
    assert f"{throttle.DEVICE_DAYS} dias depois da última entrada" in text


# --- In a browser ---------------------------------------------------------------------------------------------------
@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 360])
def test_the_pages_have_no_fault_of_accessibility_and_the_file_comes(portal_server, page, width, tmp_path):
    user = EmploymentFactory().user
    workflow.file(unsaved_request(requester=user))
    make_events(user, 8)
    page.set_viewport_size({"width": width, "height": 800})

    def look():
        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.goto("/privacidade/")
    look()
    page.goto(f"/entrar/?next={PAGE}")
    page.get_by_label("Usuário:").fill(user.cpf)
    page.get_by_label("Senha:", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    expect(page.get_by_role("heading", name="O que o portal sabe de mim", level=1)).to_be_visible()
    look()
    page.get_by_role("button", name="Mostrar o CPF inteiro").click()
    expect(page.get_by_text(cpf.formatted(user.cpf))).to_be_visible()
    page.get_by_role("link", name="Ver tudo em “Eventos de segurança”").click()
    look()
    page.goto(PAGE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Baixar meus dados").click()
    download.value.save_as(tmp_path / "dados.json")
    assert json.loads((tmp_path / "dados.json").read_text())["cadastro"]["cpf"] == cpf.formatted(user.cpf)
