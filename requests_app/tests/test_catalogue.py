"""The catalogue in the administration: who edits what, what is refused, and that every change is kept."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from playwright.sync_api import expect

from accounts.tests.factories import PASSWORD, EmploymentFactory, UnitFactory, UserFactory
from requests_app import workflow
from requests_app.models import (
    AccessRequest,
    Cargo,
    CatalogueChange,
    ExternalSystem,
    Holiday,
    ReasonTemplate,
    Status,
    SystemNotice,
    UserType,
)

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, manager, request_in, unsaved_request
from .pages import FIELDS, Page, text_of, walk

pytestmark = pytest.mark.django_db

SYSTEMS = "/admin/requests_app/externalsystem/"
CARGOS = "/admin/requests_app/cargo/"
CHANGES = "/admin/requests_app/cataloguechange/"
SCRIPT = "<script>alert(1)</script>"
HUGE = str(10**30)
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def today(days=0):
    return timezone.localdate() + timedelta(days=days)


@pytest.fixture
def keeper(client):
    """Somebody of Gestão, at the desk."""
    user = manager()
    user.name = "LUÍS GESTOR"
    user.save()
    client.force_login(user)
    return user


@pytest.fixture
def system():
    """A system with two user types and a notice."""
    made = ExternalSystemFactory(name="SIEL", purpose="Cadastro eleitoral.", credential="OWN")
    UserTypeFactory(system=made, name="Servidor")
    UserTypeFactory(system=made, name="Magistrado")
    SystemNotice.objects.create(system=made, text="Mudou o endereço.", published_on=date(2026, 3, 10))
    return made


def page_of(row, step="change/"):
    return f"/admin/requests_app/{row._meta.model_name}/{row.pk}/{step}"


def form_of(page):
    """What a browser would post of the page's own form, untouched."""
    posted = {}
    for form in page.all("form", method="post"):
        if not str(dict(form.attributes).get("id", "")).endswith("_form"):
            continue
        for control in walk(form):
            attributes = dict(control.attributes)
            name = attributes.get("name", "")
            if control.name not in FIELDS or "__prefix__" in name or not name:
                continue
            if attributes.get("type") in {"submit", "button"}:
                continue
            if attributes.get("type") == "checkbox":
                if "checked" in attributes:
                    posted[name] = "on"
            else:
                posted[name] = page.value(name) or ""
    return posted


def save(client, address, **changes):
    """Open a page of the administration, change some of it and send it."""
    posted = {**form_of(Page(client.get(address))), "_continue": "1", **changes}
    return client.post(address, {name: value for name, value in posted.items() if value is not None}, follow=True)


def errors_on(response):
    found = [element for element in Page(response).all("ul", "p") if "error" in str(element.attributes)]
    return " ".join(map(text_of, found))


def said(response):
    """The messages above the page; around a link in one the reader of pages sees spaces that nobody else does."""
    items = [item for item in walk(Page(response).one("ul", class_="messagelist")) if item.name == "li"]
    return [text_of(item).replace("“ ", "“").replace(" ”", "”") for item in items]


def history(row):
    """What was kept of a row, the oldest first."""
    rows = CatalogueChange.objects.filter(model=row._meta.label_lower, object_id=row.pk).order_by("pk")
    return [(change.name, change.changes) for change in rows]


# --- Who may ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("group", "sees", "changes"),
    [("Gestão", True, True), ("Auditoria", True, False), ("Análise", False, False), (None, False, False)],
)
def test_gestao_edits_the_catalogue_auditoria_reads_it_and_nobody_else_does(client, system, group, sees, changes):
    user = UserFactory(is_staff=True)
    if group:
        user.groups.add(Group.objects.get(name=group))
    client.force_login(manager())
    posted = form_of(Page(client.get(page_of(system))))
    client.force_login(user)

    for address in (SYSTEMS, page_of(system), page_of(system, "history/"), CARGOS, CHANGES):
        assert client.get(address).status_code == (200 if sees else 403), address
    response = client.post(page_of(system), {**posted, "name": "OUTRO"})
    assert response.status_code == (302 if changes else 403)
    system.refresh_from_db()
    assert system.name == ("OUTRO" if changes else "SIEL")
    assert CatalogueChange.objects.count() == changes
    assert client.get(f"{SYSTEMS}add/").status_code == (200 if changes else 403)
    assert client.get(f"{CARGOS}add/").status_code == (200 if changes else 403)


@pytest.mark.parametrize("address", [SYSTEMS, f"{SYSTEMS}add/", CARGOS, CHANGES])
def test_who_is_not_signed_in_is_sent_to_the_door(client, address):
    response = client.get(address, follow=True)
    assert response.redirect_chain[-1][0].startswith("/entrar/")


@pytest.mark.parametrize("model", ["externalsystem", "cargo", "cataloguechange"])
def test_nothing_of_the_catalogue_is_deleted(client, keeper, system, model):
    save(client, page_of(system), purpose="Outro.")
    row = {"externalsystem": system, "cargo": Cargo.objects.create(name="Perito"), "cataloguechange": None}[model]
    row = row or CatalogueChange.objects.get()
    assert client.post(page_of(row, "delete/"), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(f"/admin/requests_app/{model}/", action)
    assert type(row).objects.filter(pk=row.pk).exists()
    assert not Page(client.get(page_of(row))).one("a", href=page_of(row, "delete/"))


# --- What is saved and kept ------------------------------------------------------------------------------------------
def test_a_new_system_is_said_and_kept_with_what_stands_in_it(client, keeper):
    response = save(
        client,
        f"{SYSTEMS}add/",
        name="SNIPER",
        credential="OWN",
        who_may_ask="MAGISTRATES",
        asks_unit="on",
        **{"url": "https://sniper.cnj.jus.br", "active_until": "31/12/2027", "user_types-0-name": "Consulta"},
    )

    made = ExternalSystem.objects.get()
    assert (made.who_may_ask, made.asks_unit, made.active_until) == ("MAGISTRATES", True, date(2027, 12, 31))
    assert made.user_types.get().name == "Consulta"
    assert said(response) == [
        "O sistema externo “SNIPER” foi adicionado com sucesso. Você pode editá-lo novamente abaixo."
    ]
    (own, changes), (of_type, type_changes) = history(made)
    assert (own, of_type) == ("SNIPER", "SNIPER: tipo de usuário Consulta")
    assert changes == [
        ["sistema", None, "SNIPER"],
        ["endereço", None, "https://sniper.cnj.jus.br"],
        ["como nasce a credencial", None, "O outro sistema envia a própria senha"],
        ["quem pode pedir", None, "Magistrados"],
        ["pede a unidade", None, "sim"],
        ["para quem se pede", None, "Qualquer pessoa do cadastro"],
        ["aceita pedidos", None, "sim"],
        ["aceita pedidos até", None, "31/12/2027"],
    ]
    assert ["tipo de usuário", None, "Consulta"] in type_changes
    assert {change.by for change in CatalogueChange.objects.all()} == {keeper}


def test_a_change_is_kept_with_before_and_after_and_shown_on_the_history(client, keeper, system):
    response = save(client, page_of(system), purpose="", who_may_ask="HEADS", active_from="01/02/2027", is_active=None)

    assert said(response)[0].startswith("O sistema externo “SIEL” foi alterado com sucesso.")
    assert history(system) == [
        (
            "SIEL",
            [
                ["para que serve", "Cadastro eleitoral.", ""],
                ["quem pode pedir", "Quem tem vínculo ativo", "Magistrados e chefes de unidade"],
                ["aceita pedidos", "sim", "não"],
                ["aceita pedidos desde", "", "01/02/2027"],
            ],
        )
    ]
    shown = Page(client.get(page_of(system, "history/"))).text
    assert "Luís Gestor" in shown
    assert "Para que serve: de Cadastro eleitoral. para vazio" in shown
    assert "Quem pode pedir: de Quem tem vínculo ativo para Magistrados e chefes de unidade" in shown


def test_what_is_saved_as_it_was_is_no_change(client, keeper, system):
    save(client, page_of(system))
    assert not CatalogueChange.objects.exists()
    assert "Nenhuma mudança registrada." in Page(client.get(page_of(system, "history/"))).text


def test_texts_keep_their_lines_as_they_were_typed(client, keeper, system):
    typed = {"instructions": "Entre.\r\nTroque a senha.", "notices-0-text": "Mudou.\r\nVeja."}
    save(client, page_of(system), **typed)
    system.refresh_from_db()
    assert (system.instructions, system.notices.get().text) == ("Entre.\nTroque a senha.", "Mudou.\nVeja.")


def test_what_is_refused_leaves_nothing_behind(client, keeper, system):
    response = save(client, page_of(system), purpose="Outro.", **{"user_types-0-name": ""})
    assert "Este campo é obrigatório." in errors_on(response)
    assert not CatalogueChange.objects.exists()
    system.refresh_from_db()
    assert system.purpose == "Cadastro eleitoral."


def test_user_types_and_notices_stand_in_the_history_of_their_system(client, keeper, system):
    renamed, retired = system.user_types.order_by("name")  # Magistrado, Servidor
    notice = system.notices.get()
    save(
        client,
        page_of(system),
        **{"user_types-0-name": "Magistrado titular", "user_types-1-is_active": None, "user_types-2-name": "Consulta"},
        **{"notices-0-text": "Mudou de novo.", "notices-0-kind": "ATTENTION"},
    )

    kept = dict(history(system))
    assert kept["SIEL: tipo de usuário Magistrado titular"] == [["tipo de usuário", "Magistrado", "Magistrado titular"]]
    assert kept["SIEL: tipo de usuário Servidor"] == [["aceita pedidos", "sim", "não"]]
    assert ["tipo de usuário", None, "Consulta"] in kept["SIEL: tipo de usuário Consulta"]
    assert kept["SIEL: aviso ATENÇÃO! 10/03/2026"] == [
        ["tipo", "INFORMAÇÃO", "ATENÇÃO!"],
        ["texto", "Mudou o endereço.", "Mudou de novo."],
    ]
    assert len(kept) == 4
    renamed.refresh_from_db()
    retired.refresh_from_db()
    assert (renamed.name, retired.is_active) == ("Magistrado titular", False)

    save(client, page_of(system), **{"notices-0-DELETE": "on"})

    assert not SystemNotice.objects.filter(pk=notice.pk).exists()
    name, changes = history(system)[-1]
    assert name == "SIEL: aviso ATENÇÃO! 10/03/2026"
    assert ["texto", "Mudou de novo.", None] in changes
    assert "(retirado)" in Page(client.get(page_of(system, "history/"))).text


def test_a_user_type_is_retired_and_never_deleted(client, keeper, system):
    save(client, page_of(system), **{"user_types-0-DELETE": "on", "user_types-0-is_active": None})
    assert UserType.objects.filter(system=system).count() == 2
    assert UserType.objects.filter(system=system, is_active=True).count() == 1


def test_templates_cargos_and_holidays_are_kept_the_same_way(client, keeper):
    save(
        client,
        "/admin/requests_app/reasontemplate/add/",
        decision="REJECTED",
        title="Sem designação",
        text="Falta o ato.",
        is_active="on",
    )
    template = ReasonTemplate.objects.get(title="Sem designação")
    save(client, page_of(template), text="Falta o ato de designação.")
    save(client, f"{CARGOS}add/", name="Diretor de Secretaria", heads_unit="on")
    cargo = Cargo.objects.get(name="Diretor de Secretaria")
    save(client, page_of(cargo), heads_unit=None)
    save(
        client,
        "/admin/requests_app/holiday/add/",
        starts_on="13/06/2029",
        ends_on="13/06/2029",
        name="Santo Antônio",
        scope="COURT",
    )
    holiday = Holiday.objects.get(name="Santo Antônio")
    client.post(page_of(holiday, "delete/"), {"post": "yes"})

    assert history(template)[1][1] == [["texto", "Falta o ato.", "Falta o ato de designação."]]
    assert history(cargo)[0][1] == [
        ["cargo", None, "Diretor de Secretaria"],
        ["é magistrado", None, "não"],
        ["chefia a unidade", None, "sim"],
    ]
    assert history(cargo)[1][1] == [["chefia a unidade", "sim", "não"]]
    added, deleted = history(holiday)
    assert ["início", None, "13/06/2029"] in added[1]
    assert ["início", "13/06/2029", None] in deleted[1]
    assert not Holiday.objects.filter(pk=holiday.pk).exists()
    for row in (template, cargo):
        assert "Luís Gestor" in Page(client.get(page_of(row, "history/"))).text


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.update(name="x"),
        lambda rows: rows.delete(),
        lambda rows: rows.first().delete(),
    ],
)
def test_the_database_refuses_to_alter_what_was_kept(client, keeper, system, change):
    save(client, page_of(system), purpose="Outro.")
    with pytest.raises(DatabaseError), transaction.atomic():
        change(CatalogueChange.objects.all())
    assert len(history(system)) == 1


# --- A page that was open meanwhile ----------------------------------------------------------------------------------
def test_a_stale_page_overwrites_nothing_is_told_by_whom_and_keeps_what_was_typed(client, make_client, keeper, system):
    stale = {**form_of(Page(client.get(page_of(system)))), "purpose": "O meu texto."}
    other_client, other = make_client(), manager()
    other.name = "RITA PAZ"
    other.save()
    other_client.force_login(other)
    save(other_client, page_of(system), url="https://novo.exemplo.jus.br")

    response = client.post(page_of(system), stale)

    page = Page(response)
    assert response.status_code == 200
    assert "Rita Paz mudou este cadastro depois que você abriu a página. Nada foi gravado." in errors_on(response)
    assert page.value("purpose") == "O meu texto."
    system.refresh_from_db()
    assert (system.purpose, system.url) == ("Cadastro eleitoral.", "https://novo.exemplo.jus.br")
    assert len(history(system)) == 1

    client.post(page_of(system), form_of(page))  # seen now, and sent all the same
    system.refresh_from_db()
    assert (system.purpose, system.url) == ("O meu texto.", "")


def test_a_notice_added_meanwhile_makes_a_page_stale_too(client, keeper, system):
    stale = {**form_of(Page(client.get(page_of(system)))), "purpose": "O meu texto."}
    save(
        client,
        page_of(system),
        **{"notices-TOTAL_FORMS": "2", "notices-1-kind": "ATTENTION"},
        **{"notices-1-text": "Parado hoje.", "notices-1-published_on": "10/11/2026"},
    )
    assert "mudou este cadastro" in errors_on(client.post(page_of(system), stale))


@pytest.mark.parametrize("seen", ["", "abc", "-1", "²", "１", HUGE, "9" * 5000, "1.0", "null"])
def test_a_mark_that_is_no_number_gets_a_sentence_and_nothing_changes(client, keeper, system, seen):
    response = save(client, page_of(system), seen=seen, purpose="Outro.")
    assert "Esta página veio alterada. Confira os dados e grave de novo." in errors_on(response)
    assert not CatalogueChange.objects.exists()


# --- What is refused -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Este campo é obrigatório."),
        ({"name": "bnmp  2.0"}, "Já existe um sistema com este nome: BNMP 2.0."),
        ({"name": "x" * 81}, "no máximo 80 caracteres"),
        ({"name": "a" * 1_000_000}, "no máximo 80 caracteres"),
        ({"name": "SIEL\r\nBcc: alguem@exemplo.com"}, "Use uma linha só, sem caracteres invisíveis."),
        ({"name": "SIEL\u202egnp"}, "Use uma linha só, sem caracteres invisíveis."),
        ({"name": "a\0b"}, "Caracteres nulos não são permitidos."),
        ({"url": "javascript:alert(1)"}, "Informe uma URL válida."),
        ({"url": "siel"}, "Informe uma URL válida."),
        ({"instructions": "x" * 4001}, "no máximo 4000 caracteres"),
        ({"who_may_ask": "NOBODY"}, "Esta opção não está disponível"),
        ({"credential": "NONE"}, "Esta opção não está disponível"),
        ({"credential": ""}, "Este campo é obrigatório."),
        ({"active_from": "31/02/2026"}, "Informe uma data válida."),
        ({"active_from": "²/1/2026"}, "Informe uma data válida."),
        ({"active_from": "02/01/2027", "active_until": "01/01/2027"}, "O último dia não pode ser antes do primeiro."),
        ({"successor": HUGE}, "Esta opção não está disponível."),
        ({"successor": "a\0"}, "Caracteres nulos não são permitidos."),
        ({"user_types-0-name": "Servidor", "user_types-1-name": "Servidor"}, "duplicad"),
        ({"user_types-0-name": "a\r\nb"}, "Use uma linha só, sem caracteres invisíveis."),
        ({"user_types-0-id": HUGE}, "Por favor corrija o erro abaixo."),
        ({"user_types-TOTAL_FORMS": "²"}, "ManagementForm"),
        ({"notices-0-text": "x" * 4001}, "no máximo 4000 caracteres"),
        ({"notices-0-published_on": "ontem"}, "Informe uma data válida."),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_nothing_changes(client, keeper, system, changes, sentence):
    ExternalSystemFactory(name="BNMP 2.0")
    before = list(ExternalSystem.objects.values()), list(UserType.objects.values()), list(SystemNotice.objects.values())
    response = save(client, page_of(system), **{"purpose": "O que já tinha escrito.", **changes})
    assert response.status_code == 200
    assert sentence in errors_on(response)
    assert Page(response).value("purpose") == "O que já tinha escrito."
    after = list(ExternalSystem.objects.values()), list(UserType.objects.values()), list(SystemNotice.objects.values())
    assert after == before
    assert not CatalogueChange.objects.exists()


def test_a_system_replaces_neither_itself_nor_what_replaces_it(client, keeper, system):
    second = ExternalSystemFactory(name="SIEL 2", successor=system)
    third = ExternalSystemFactory(name="SIEL 3", successor=second)
    for successor in (system, second, third):
        response = save(client, page_of(system), successor=successor.pk)
        assert "Um sistema não pode substituir a si mesmo, nem por meio de outro." in errors_on(response)
    save(client, page_of(third), successor=system.pk)
    third.refresh_from_db()
    assert third.successor == system


def test_the_user_type_of_another_system_is_not_moved_here(client, keeper, system):
    other = UserTypeFactory(name="Alheio")
    save(client, page_of(system), **{"user_types-0-id": other.pk, "user_types-0-name": "Tomado"})
    other.refresh_from_db()
    assert (other.name, other.system == system) == ("Alheio", False)
    assert not CatalogueChange.objects.exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "Este campo é obrigatório."),
        ("JUIZ  DE DIREITO", "Este cargo já está na lista: Juiz de Direito."),
        ("...", "Escreva o cargo com letras."),
        ("æ" * 80, "Este cargo é longo demais."),
        ("a" * 81, "no máximo 80 caracteres"),
        ("Juiz\nLeigo", "Use uma linha só, sem caracteres invisíveis."),
        ("Juiz\0", "Caracteres nulos não são permitidos."),
    ],
)
def test_a_cargo_that_cannot_be_is_refused_with_a_sentence(client, keeper, name, sentence):
    Cargo.objects.get_or_create(folded_name="juiz de direito", defaults={"name": "Juiz de Direito"})
    count = Cargo.objects.count()
    response = save(client, f"{CARGOS}add/", name=name)
    assert response.status_code == 200
    assert sentence in errors_on(response)
    assert Cargo.objects.count() == count


# --- What a change means for what was asked and given before ---------------------------------------------------------
def test_how_a_credential_comes_to_be_stays_while_approved_requests_wait_to_be_registered(client, keeper, system):
    request = request_in(Status.APPROVED, user_type=system.user_types.first())
    request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential="OPERATOR"))

    response = save(client, page_of(system), credential="PORTAL")

    one_or_more = "pedido aprovado à espera de registro em SIEL. Registre ou indefira cada um antes de mudar isto."
    assert f"Há 1 {one_or_more}" in errors_on(response)
    another = request_in(Status.APPROVED, user_type=system.user_types.first())
    response = save(client, page_of(system), credential="PORTAL")
    assert f"Há 2 {one_or_more.replace('pedido aprovado', 'pedidos aprovados')}" in errors_on(response)
    workflow.move(another.pk, Status.REJECTED, by=analyst(), note="motivo")
    system.refresh_from_db()
    assert system.credential == "OWN"

    workflow.move(request.pk, Status.COMPLETED, by=analyst())
    response = save(client, page_of(system), credential="PORTAL")

    system.refresh_from_db()
    assert system.credential == "PORTAL"
    assert any(
        "Acessos a SIEL que já existem: 1. A credencial deles não muda" in sentence for sentence in said(response)
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"who_may_ask": "MAGISTRATES"}, "Pedidos em andamento para SIEL: 2. A regra nova vale também para eles"),
        ({"is_active": None}, "Pedidos em andamento para SIEL: 2."),
        ({"active_until": "01/01/2026"}, "Pedidos em andamento para SIEL: 2."),
        ({"asks_unit": "on"}, "Pedidos em andamento sem unidade para SIEL: 1. Devolva cada um"),
        ({"user_types-0-is_active": None}, "Pedidos em andamento para SIEL – Magistrado: 2."),
    ],
)
def test_whoever_changes_a_rule_hears_of_the_requests_that_it_meets(client, keeper, system, changes, sentence):
    user_type = system.user_types.get(name="Magistrado")
    request_in(Status.PENDING, user_type=user_type)
    request_in(Status.RETURNED, user_type=user_type, unit=UnitFactory())
    request_in(Status.CANCELLED, user_type=user_type)
    request_in(Status.PENDING)
    response = save(client, page_of(system), **changes)
    assert any(sentence in message for message in said(response))
    assert any(sentence in message for message in said(response)[:-1]) or len(said(response)) == 2


def test_a_change_that_meets_nothing_says_nothing_more(client, keeper, system):
    request_in(Status.PENDING)
    response = save(client, page_of(system), who_may_ask="HEADS", asks_unit="on", credential="PORTAL")
    assert len(said(response)) == 1


def test_a_system_in_use_is_retired_and_its_requests_and_accesses_stay(client, keeper, system):
    given = workflow.file(unsaved_request(user_type=system.user_types.first()))
    workflow.move(given.pk, Status.APPROVED, by=analyst())
    workflow.move(given.pk, Status.COMPLETED, by=analyst())
    save(client, page_of(system), is_active=None)
    system.refresh_from_db()
    assert not system.accepts_requests
    assert AccessRequest.objects.get().grant.status == "ACTIVE"
    client.force_login(EmploymentFactory().user)
    assert "SIEL" not in Page(client.get("/solicitacoes/nova/")).text


# --- The list of changes ---------------------------------------------------------------------------------------------
@pytest.fixture
def changes(client, keeper, system):
    save(client, page_of(system), purpose="Outro.", **{"notices-0-text": "Novo texto."})
    save(client, f"{CARGOS}add/", name="Perito em Informática")
    auditor = UserFactory(is_staff=True)
    auditor.groups.add(Group.objects.get(name="Auditoria"))
    client.force_login(auditor)


def listed(response):
    page = Page(response)
    return [text_of(cell) for cell in page.all("th", class_="field-name")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["Perito em Informática", "SIEL: aviso INFORMAÇÃO 10/03/2026", "SIEL"]),
        ({"q": "siel"}, ["SIEL: aviso INFORMAÇÃO 10/03/2026", "SIEL"]),
        ({"q": "informatica PERITO"}, ["Perito em Informática"]),
        ({"q": "informacao"}, ["SIEL: aviso INFORMAÇÃO 10/03/2026"]),
        ({"q": "ninguém"}, []),
        ({"q": "%"}, []),
        ({"tipo": "requests_app.cargo"}, ["Perito em Informática"]),
        ({"tipo": "requests_app.externalsystem", "q": "aviso"}, ["SIEL: aviso INFORMAÇÃO 10/03/2026"]),
        ({"tipo": "accounts.user"}, ["Perito em Informática", "SIEL: aviso INFORMAÇÃO 10/03/2026", "SIEL"]),
        ({"tipo": "\0", "periodo": HUGE}, ["Perito em Informática", "SIEL: aviso INFORMAÇÃO 10/03/2026", "SIEL"]),
        ({"periodo": "7"}, ["Perito em Informática", "SIEL: aviso INFORMAÇÃO 10/03/2026", "SIEL"]),
    ],
)
def test_changes_are_listed_and_found_by_what_was_changed(client, changes, query, found):
    assert listed(client.get(CHANGES, query)) == found


def test_one_change_is_shown_with_before_and_after_and_cannot_be_edited(client, changes, keeper):
    change = CatalogueChange.objects.get(name="SIEL")
    shown = Page(client.get(page_of(change))).text
    assert "Para que serve: de Cadastro eleitoral. para Outro." in shown
    assert "Luís Gestor" in shown
    assert "Sistema externo SIEL" in shown
    for user in (None, keeper):
        if user:
            client.force_login(user)
        assert client.post(page_of(change), {"name": "Outro"}).status_code == 405
        assert client.get(f"{CHANGES}add/").status_code == 403
    change.refresh_from_db()
    assert change.name == "SIEL"


def test_a_change_of_what_was_deleted_says_so(client, keeper):
    holiday = Holiday.objects.create(starts_on=today(), ends_on=today(), name="Erro", scope="COURT")
    client.post(page_of(holiday, "delete/"), {"post": "yes"})
    assert "foi apagado" in Page(client.get(page_of(CatalogueChange.objects.get()))).text


def test_what_people_wrote_is_shown_as_text(client, keeper, system):
    save(client, page_of(system), purpose=SCRIPT, name=f"SIEL {SCRIPT}")
    for address in (page_of(system, "history/"), CHANGES, page_of(CatalogueChange.objects.get())):
        page = client.get(address).content.decode()
        assert SCRIPT not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_lists_and_history_cost_as_many_queries_with_300_rows_as_with_one(client, keeper, system):
    def queries(address):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        return len(captured)

    places = (CHANGES, f"{CHANGES}?q=siel", page_of(system, "history/"), SYSTEMS, CARGOS)
    cost = {place: [] for place in places}
    queries(CHANGES)  # the session's own
    for count in (1, 2, 297):
        by = UserFactory.create_batch(min(count, 5))
        CatalogueChange.objects.bulk_create(
            CatalogueChange(
                model="requests_app.externalsystem",
                object_id=system.pk,
                name=f"SIEL {number}",
                changes=[["endereço", "", "https://siel.jus.br"]],
                by=by[number % len(by)],
            )
            for number in range(count)
        )
        last = ExternalSystem.objects.latest("pk")
        ExternalSystem.objects.bulk_create(
            ExternalSystem(name=f"Sistema {count}-{number}", credential="OWN", successor=last)
            for number in range(count)
        )
        Cargo.objects.bulk_create(
            Cargo(name=f"Cargo {count}-{number}", folded_name=f"cargo {count} {number}") for number in range(count)
        )
        for place in places:
            cost[place].append(queries(place))
    assert {place: len(set(found)) for place, found in cost.items()} == dict.fromkeys(places, 1)


@pytest.mark.parametrize("page", ["2", "0", "-1", "abc", "²", HUGE])
def test_any_page_of_a_history_is_a_page(client, keeper, system, page):
    CatalogueChange.objects.bulk_create(
        CatalogueChange(
            model="requests_app.externalsystem", object_id=system.pk, name=f"n{number}", changes=[], by=keeper
        )
        for number in range(60)
    )
    response = client.get(page_of(system, "history/"), {"p": page})
    assert response.status_code == 200
    assert len(Page(response).all("td", class_="desk-when")) in {10, 50}


# --- In a browser ----------------------------------------------------------------------------------------------------
@pytest.mark.browser
def test_gestao_changes_a_system_and_an_auditor_reads_what_was_changed(portal_server, page, transactional_db):
    refused = []
    page.on("pageerror", lambda error: refused.append(str(error)))
    keeper = manager()
    system = ExternalSystemFactory(name="SIEL", purpose="Cadastro eleitoral.")
    UserTypeFactory(system=system, name="Servidor")
    page.goto("/entrar/?next=/admin/requests_app/externalsystem/")
    page.get_by_label("Usuário").fill(keeper.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.get_by_role("link", name="SIEL").click()
    faults = {"form": faults_of(page)}
    page.get_by_label("Quem pode pedir:").select_option(label="Magistrados")
    page.get_by_label("Pede a unidade").check()
    page.get_by_role("button", name="Salvar e continuar editando").click()
    expect(page.get_by_text("O sistema externo “SIEL” foi alterado com sucesso.")).to_be_visible()
    page.get_by_role("link", name="Histórico").click()
    expect(page.get_by_text("Quem tem vínculo ativo")).to_be_visible()
    faults["history"] = faults_of(page)
    page.goto(CHANGES)
    faults["changes"] = faults_of(page)
    page.get_by_role("link", name="SIEL").click()
    expect(page.get_by_role("insertion").filter(has_text="Magistrados")).to_be_visible()
    faults["change"] = faults_of(page)
    assert {place: found for place, found in faults.items() if found} == {}
    assert refused == []


def faults_of(page):
    """What axe finds against WCAG 2.2 AA in what is ours, and what reaches past 360 pixels."""
    found = [fault["id"] for fault in Axe().run(page, options=WCAG).response["violations"]]
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 800})
    if page.evaluate("document.documentElement.scrollWidth") > 360:
        found.append("wider than the window")
    page.set_viewport_size(size)
    return found
