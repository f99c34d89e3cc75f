"""Who holds what, who gave it and since when: the list of accesses, and the list as a file."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.cpf import formatted, masked
from accounts.models import SecurityEvent
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory
from requests_app import workflow
from requests_app.admin import filters, list_file
from requests_app.models import AccessGrant, GrantStatus, Status

from .factories import UserTypeFactory, analyst, grant_of, superuser, unsaved_request
from .pages import Page, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/requests_app/accessgrant/"
EXPORT = f"{LIST}exportar/"
HUGE = "9" * 400


@pytest.fixture
def auditor(client):
    user = superuser()
    client.force_login(user)
    return user


def given(decider=None, **fields):
    """An access that a request gave."""
    request = workflow.file(unsaved_request(**fields))
    return workflow.move(request.pk, Status.APPROVED, by=decider or analyst()).grant


def since(grant, *date):
    """As if it had been given at that hour, told in UTC; four hours less here."""
    AccessGrant.objects.filter(pk=grant.pk).update(granted_at=datetime(*date, tzinfo=UTC))
    return grant


def cells(response, name):
    return [text_of(cell) for cell in Page(response).all("th", "td", class_=f"field-{name}")]


def people(client, **chosen):
    response = client.get(LIST, chosen)
    assert response.status_code == 200
    return cells(response, "user_name")


def rows_of(response):
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))


def exported(client, query=""):
    """The rows between the header and the last line, each by its headings."""
    header, *rows, last = rows_of(client.post(EXPORT + query))
    assert last[:2] == ["Fim do arquivo", "1 acesso" if len(rows) == 1 else f"{len(rows)} acessos"]
    return [dict(zip(header, row, strict=True)) for row in rows]


def recorded():
    return list(SecurityEvent.objects.filter(kind="EXPORTED").order_by("pk"))


# --- The list --------------------------------------------------------------------------------------------------------
def test_the_list_says_who_gave_each_access_by_the_name_they_go_by(client, auditor):
    given(analyst(name="NOME CIVIL", social_name="ANA LISTA"))
    grant_of(EmploymentFactory())
    response = client.get(LIST)
    assert cells(response, "given_by") == ["antes do portal", "Ana Lista"]
    assert "Nome Civil" not in Page(response).text


def test_who_registered_the_access_later_is_not_who_decided_on_it(client, auditor):
    user_type = UserTypeFactory(system__credential="OWN")
    request = workflow.file(unsaved_request(user_type=user_type))
    workflow.move(request.pk, Status.APPROVED, by=analyst(name="ANA LISTA"))
    workflow.move(request.pk, Status.COMPLETED, by=analyst(name="OUTRA PESSOA"))
    assert cells(client.get(LIST), "given_by") == ["Ana Lista"]


def test_the_matricula_is_that_of_the_bond_for_which_it_was_asked(client, auditor):
    asked_for = EmploymentFactory(matricula="71001", started_on=timezone.localdate() - timedelta(days=900))
    given(bond=asked_for)
    EmploymentFactory(user=asked_for.user, matricula="71002", started_on=timezone.localdate() - timedelta(days=1))
    grant_of(asked_for)
    assert cells(client.get(LIST), "matricula") == ["71002", "71001"]
    assert [row["Matrícula"] for row in exported(client)] == ["71001", "71002"]


@pytest.fixture
def three(auditor):
    """An access of the last hour of a day here, of the first of the next, and of a month later."""
    return [
        since(grant_of(EmploymentFactory(user__name=name)), *date)
        for name, date in {
            "MARIA PAZ": (2026, 3, 2, 3, 59),
            "JOÃO LIMA": (2026, 3, 2, 4, 0),
            "RUI SÁ": (2026, 4, 2, 12, 0),
        }.items()
    ]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"de": "2026-03-02"}, {"João Lima", "Rui Sá"}),
        ({"ate": "2026-03-01"}, {"Maria Paz"}),
        ({"de": "2026-03-02", "ate": "02/03/2026"}, {"João Lima"}),
        ({"de": "2026-05-01", "ate": "2026-03-01"}, set()),
        ({"de": "2026-02-30"}, {"Maria Paz", "João Lima", "Rui Sá"}),
        ({"de": "\0", "ate": HUGE}, {"Maria Paz", "João Lima", "Rui Sá"}),
    ],
)
def test_the_list_is_narrowed_to_what_began_in_a_period(client, three, chosen, found):
    assert set(people(client, **chosen)) == found


def test_a_period_that_ends_before_it_begins_and_a_day_that_is_none_are_told(client, three):
    assert "nenhum acesso começou entre elas" in Page(client.get(LIST, {"de": "2026-05-01", "ate": "2026-03-01"})).text
    page = Page(client.get(LIST, {"de": "2026-02-30"}))
    assert "Digite a data como dia/mês/ano" in text_of(page.one(id="filtro-de_error"))


def test_the_list_is_narrowed_to_one_person_who_stands_on_the_panel_only_then(client, three):
    person = three[0].user
    EmploymentFactory(user__name="MARIA PAZ")  # of the same name, with no access
    response = client.get(LIST, {"pessoa": person.pk})
    assert cells(response, "user_name") == ["Maria Paz"]
    panel = Page(response).one("form", class_="desk-panel-of-filters")
    assert "Pessoa Todas Maria Paz" in text_of(panel)
    assert "Pessoa Todas" not in Page(client.get(LIST)).text
    assert people(client, pessoa="") == ["Rui Sá", "João Lima", "Maria Paz"]


@pytest.mark.parametrize("key", ["0", "abc", "-1", HUGE, "9" * 19, "\0", "٣", "1 OR 1=1"])
def test_a_person_that_is_none_is_told_and_narrows_nothing(client, three, key):
    response = client.get(LIST, {"pessoa": key})
    assert len(cells(response, "user_name")) == 3
    assert "Esta opção não existe" in text_of(Page(response).one(id="filtro-pessoa_error"))


# --- The file --------------------------------------------------------------------------------------------------------
def test_the_file_has_a_row_for_each_access_and_no_whole_cpf_or_address(client, auditor):
    unit = UnitFactory(name="1ª Vara Cível", comarca="Dourados")
    bond = EmploymentFactory(user__name="MARIA CIVIL", user__social_name="MÁRIO SOCIAL", matricula="81135", unit=unit)
    decider = analyst(name="ANA LISTA")
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0", system__asks_unit=True)
    grant = given(decider, bond=bond, user_type=user_type, unit=unit)
    AccessGrant.objects.filter(pk=grant.pk).update(expires_on=timezone.localdate() + timedelta(days=9))
    grant.refresh_from_db()

    response = client.post(EXPORT)

    name = f"acessos-{timezone.localdate():%Y-%m-%d}.csv"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    [row] = exported(client)
    assert row == {
        "Pessoa": "Mário Social",
        "CPF": masked(bond.user.cpf),
        "Matrícula": "81135",
        "Sistema": "BNMP 2.0",
        "Tipo de usuário": "Consulta",
        "Unidade do acesso": "1ª Vara Cível – Dourados",
        "Situação": "Ativo",
        "Desde": f"{timezone.localtime(grant.granted_at):%d/%m/%Y %H:%M}",
        "Vale até": f"{grant.expires_on:%d/%m/%Y}",
        "Solicitação": grant.request.protocol,
        "Quem concedeu": "Ana Lista",
    }
    content = b"".join(response.streaming_content).decode()
    for person in (bond.user, decider):
        for secret in (person.cpf, formatted(person.cpf), person.email):
            assert secret not in content
    assert "Maria Civil" not in content


def test_an_access_older_than_the_portal_says_so_in_the_file(client, auditor):
    grant_of(EmploymentFactory(user__name="MARIA PAZ", matricula="71009"))
    [row] = exported(client)
    assert (row["Pessoa"], row["Matrícula"], row["Solicitação"], row["Quem concedeu"]) == (
        *("Maria Paz", "71009"),
        *("", "antes do portal"),
    )


def test_the_file_holds_what_the_list_holds_by_every_filter_and_its_search(client, three):
    siel = UserTypeFactory(system__name="SIEL")
    AccessGrant.objects.filter(pk=three[1].pk).update(user_type=siel, status=GrantStatus.REVOKED)
    for query, found in {
        "?status__exact=REVOKED": ["João Lima"],
        "?status__exact=live": ["Maria Paz", "Rui Sá"],
        f"?sistema={siel.system_id}": ["João Lima"],
        f"?pessoa={three[2].user_id}": ["Rui Sá"],
        "?de=2026-03-02&ate=2026-03-31": ["João Lima"],
        "?q=paz": ["Maria Paz"],
        "?q=ninguem": [],
        "?p=7": ["Maria Paz", "João Lima", "Rui Sá"],
    }.items():
        assert [row["Pessoa"] for row in exported(client, query)] == found, query


def test_the_button_of_the_list_exports_what_the_list_shows(client, three):
    page = Page(client.get(LIST, {"de": "2026-04-01"}))
    [action] = [
        action for form in page.all("form") if (action := dict(form.attributes).get("action", "")).startswith(EXPORT)
    ]
    assert [row["Pessoa"] for row in exported(client, action.removeprefix(EXPORT).replace("&amp;", "&"))] == ["Rui Sá"]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t"])
def test_fault_21_what_a_spreadsheet_would_take_for_a_formula_begins_with_an_apostrophe(client, auditor, sign):
    formula = f"{sign}cmd|' /C calc'!A0"
    grant_of(EmploymentFactory(), user_type=UserTypeFactory(name=formula, system__name=formula))
    [row] = exported(client)
    assert (row["Sistema"], row["Tipo de usuário"]) == (f"'{formula}", f"'{formula}")


def test_who_exported_how_many_and_by_which_filters_is_recorded_without_a_name(client, three):
    client.post(EXPORT)
    client.post(f"{EXPORT}?pessoa={three[0].user_id}&status__exact=ACTIVE&q=maria")
    client.post(f"{EXPORT}?de=2026-03-02")
    assert [event.detail for event in recorded()] == [
        "Acessos: 3.",
        "Acessos: 1. Pessoa: uma pessoa; Situação: Ativo; com busca",
        "Acessos: 2. Começou a partir de: 02/03/2026",
    ]
    assert {event.user for event in recorded()} == {None}


def test_a_list_that_leaves_out_what_was_looked_for_is_not_exported_as_if_it_were_whole(client, three, monkeypatch):
    grant_of(EmploymentFactory(user__name="MARIA LUZ"))
    monkeypatch.setattr(filters, "MOST_PEOPLE", 1)
    response = client.post(f"{EXPORT}?q=maria", follow=True)
    assert response.redirect_chain == [(f"{LIST}?q=maria", 302)]
    assert "Nada foi exportado: a lista não mostra tudo" in Page(response).text + str([*response.context["messages"]])
    assert recorded() == []


@pytest.mark.parametrize("query", ["user__password__startswith=a", "user__cpf__startswith=1", "id__in=1"])
def test_a_filter_made_by_hand_is_refused(client, three, query):
    assert client.post(f"{EXPORT}?{query}").status_code == 400
    assert recorded() == []


def seeing(*codenames):
    user = UserFactory(is_staff=True)
    of_app = Permission.objects.filter(content_type__app_label="requests_app", codename__in=codenames)
    user.user_permissions.set(of_app)
    return user


def test_who_sees_accesses_and_may_export_has_the_button_and_the_file(client):
    grant_of(EmploymentFactory())
    client.force_login(seeing("view_accessgrant", "export"))
    assert "Exportar esta lista" in client.get(LIST).content.decode()
    assert len(exported(client)) == 1


@pytest.mark.parametrize("codenames", [("view_accessgrant",), ("export",), ("export", "view_accessrequest"), ()])
def test_fault_19_who_may_not_export_has_neither_button_nor_file(client, codenames):
    grant_of(EmploymentFactory())
    client.force_login(seeing(*codenames))
    assert "Exportar esta lista" not in client.get(LIST).content.decode()
    assert client.post(EXPORT).status_code == 403
    assert recorded() == []


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_fault_19_nothing_is_exported_but_by_post(client, three, method):
    response = getattr(client, method)(f"{EXPORT}?de=2026-03-02")
    assert response.status_code == (302 if method in {"get", "head"} else 405)
    if method in {"get", "head"}:
        assert response.url == f"{LIST}?de=2026-03-02"
    assert recorded() == []


# --- As many queries -------------------------------------------------------------------------------------------------
def queries_of(ask):
    ask()
    with CaptureQueriesContext(connection) as captured:
        ask()
    return len(captured)


def test_300_accesses_that_requests_gave_cost_as_many_queries_as_one_and_three(client, auditor):
    def costs():
        return (
            queries_of(lambda: client.get(LIST, {"de": "2020-01-01", "pessoa": person.pk})),
            queries_of(lambda: client.get(LIST)),
            queries_of(lambda: exported(client)),
        )

    bond = EmploymentFactory()
    person = bond.user
    given(bond=bond)
    with_one = costs()
    for _ in range(2):
        given(bond=bond)
    with_three = costs()
    AccessGrant.objects.bulk_create(
        AccessGrant(user=person, user_type=user_type) for user_type in [UserTypeFactory() for _ in range(297)]
    )
    assert AccessGrant.objects.count() == 300
    assert (with_three, costs()) == (with_one, with_one)


def test_the_file_is_read_piece_by_piece(client, three, monkeypatch):
    monkeypatch.setattr(list_file, "CHUNK", 2)
    assert [row["Pessoa"] for row in exported(client)] == ["Maria Paz", "João Lima", "Rui Sá"]
