"""The list of requests as a file: what stands in it, who may have it, and what is written down about it."""

from __future__ import annotations

import csv
import io
from urllib.parse import quote_plus, urlsplit

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import throttle
from accounts.cpf import formatted, masked
from accounts.models import SecurityEvent
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app import workflow
from requests_app.admin import export, filters, list_file
from requests_app.models import AccessRequest, Status

from .factories import UserTypeFactory, analyst, request_in, superuser, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

LIST = "/admin/requests_app/accessrequest/"
EXPORT = f"{LIST}exportar/"
HUGE = "9" * 400


@pytest.fixture
def exporter(client):
    user = superuser()
    client.force_login(user)
    return user


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def body(response):
    return b"".join(response.streaming_content)


def rows_of(text):
    """As a reader of CSV takes them."""
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))


def exported(client, query=""):
    """The rows between the header and the last line, by protocol, each by its headings."""
    response = client.post(EXPORT + query)
    assert response.status_code == 200
    header, *rows, last = rows_of(body(response).decode("utf-8-sig"))
    assert last[:2] == ["Fim do arquivo", "1 solicitação" if len(rows) == 1 else f"{len(rows)} solicitações"]
    assert len(last) == len(header)
    assert not any(last[2:])
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def recorded():
    return list(SecurityEvent.objects.filter(kind="EXPORTED").order_by("pk"))


# --- The file --------------------------------------------------------------------------------------------------------
def test_it_is_a_download_that_excel_in_portuguese_opens(client, exporter):
    request = filed(bond=EmploymentFactory(user__name="JOÃO D'ÁVILA"))
    response = client.post(EXPORT)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    name = f"solicitacoes-{timezone.localdate():%Y-%m-%d}.csv"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert response.streaming
    content = body(response)
    assert content.startswith(b"\xef\xbb\xbfProtocolo;Pedida em;")
    assert content.count(b"\r\n") == content.count(b"\n") == 3
    assert f"{request.protocol};" in content.decode()
    assert "João D'Ávila" in content.decode()


def test_each_request_stands_there_as_the_list_shows_it_and_no_whole_cpf_or_address(client, exporter):
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    bond = EmploymentFactory(user__name="MARIA CIVIL", user__social_name="MÁRIO SOCIAL", matricula="081135")
    requester = EmploymentFactory(user__name="QUEM PEDE", cargo="Chefe de Cartório").user
    holder = analyst(name="NOME CIVIL", social_name="ANA LISTA")
    request = filed(requester=requester, bond=bond, user_type=user_type)
    workflow.move(request.pk, Status.IN_REVIEW, by=holder)

    row = exported(client)[request.protocol]

    assert row == {
        "Protocolo": request.protocol,
        "Pedida em": f"{timezone.localtime(request.created_at):%d/%m/%Y %H:%M}",
        "Situação": "Em análise",
        "Sistema": "BNMP 2.0",
        "Tipo de usuário": "Consulta",
        "Unidade do acesso": "",
        "Para quem": "Mário Social",
        "CPF": masked(bond.user.cpf),
        "Matrícula": "'081135",
        "Cargo": "Analista Judiciário",
        "Lotação": str(bond.unit),
        "Quem pediu": "Quem Pede",
        "Cargo de quem pediu": "Chefe de Cartório",
        "Lotação de quem pediu": request.requester_lotacao,
        "Em análise por": "Ana Lista",
        "Corrigir até": "",
        "Decidida em": "",
        "Decidida por": "",
    }
    content = body(client.post(EXPORT)).decode()
    for person in (bond.user, requester, holder):
        for secret in (person.cpf, formatted(person.cpf), person.email):
            assert secret not in content
    assert "Maria Civil" not in content
    assert "Nome Civil" not in content


def test_a_decision_stands_there_with_its_day_and_who_took_it(client, exporter):
    returned, rejected = filed(), filed()
    decider = analyst(name="ANA LISTA")
    workflow.move(returned.pk, Status.RETURNED, by=decider, note="motivo")
    workflow.move(rejected.pk, Status.REJECTED, by=decider, note="motivo")
    rows = exported(client, "?situacao=todas")
    returned.refresh_from_db()
    rejected.refresh_from_db()
    assert rows[returned.protocol]["Corrigir até"] == f"{returned.correct_by:%d/%m/%Y}"
    assert rows[rejected.protocol]["Decidida em"] == f"{timezone.localtime(rejected.decided_at):%d/%m/%Y %H:%M}"
    assert rows[rejected.protocol]["Decidida por"] == "Ana Lista"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_fault_21_what_a_spreadsheet_would_take_for_a_formula_begins_with_an_apostrophe(client, exporter, sign):
    formula = f"{sign}cmd|' /C calc'!A0"
    user_type = UserTypeFactory(name=formula, system__name=formula)
    bond = EmploymentFactory(cargo=formula, matricula="=1+1")
    request = filed(bond=bond, user_type=user_type)
    AccessRequest.objects.update(beneficiary_name=formula, requester_name=formula, requester_lotacao=formula)
    row = exported(client)[request.protocol]
    for heading in ("Sistema", "Tipo de usuário", "Para quem", "Cargo", "Quem pediu", "Lotação de quem pediu"):
        assert row[heading] == f"'{formula}", heading
    assert row["Matrícula"] == "'=1+1"


@pytest.mark.parametrize("text", ['a"b', "a;b", "a\r\nb", "a\nb", '";=1+1;"', "a,b", "'a", "a=b", " a ", "É 😀"])
def test_fault_21_separators_quotes_and_line_breaks_stay_inside_their_cell(client, exporter, text):
    request = filed()
    AccessRequest.objects.update(beneficiary_name=text, beneficiary_cargo=f"fim{text}")
    row = exported(client)[request.protocol]
    assert (row["Para quem"], row["Cargo"]) == (text, f"fim{text}")


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        *[("081135", "'081135"), ("0", "0"), ("00", "'00"), ("81135", "81135"), ("081135-1", "081135-1")],
        *[("1" * 15, "1" * 15), ("1" * 16, f"'{'1' * 16}"), ("0x12", "0x12"), ("", ""), ("12E5", "'12E5")],
    ],
)
def test_a_number_that_a_spreadsheet_would_cut_down_begins_with_an_apostrophe(client, exporter, number, cell):
    request = filed()
    AccessRequest.objects.update(beneficiary_matricula=number[:10], beneficiary_cargo=number)
    row = exported(client)[request.protocol]
    assert row["Cargo"] == cell
    assert len(number) > 10 or row["Matrícula"] == cell


def test_no_cell_of_any_row_begins_as_a_formula(client, exporter):
    for _ in range(3):
        filed()
    cells = [value for row in exported(client).values() for value in row.values()]
    assert cells
    assert not [value for value in cells if value.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_an_empty_list_is_a_header_and_the_last_line(client, exporter):
    assert exported(client) == {}


def test_many_rows_come_whole_and_in_order_piece_by_piece(client, exporter, monkeypatch):
    monkeypatch.setattr(list_file, "CHUNK", 2)
    requests = [request_in(Status.PENDING) for _ in range(5)]
    response = client.post(EXPORT)
    pieces, asked = [], []
    with CaptureQueriesContext(connection) as queries:
        for piece in response.streaming_content:
            pieces.append(rows_of(piece.decode("utf-8-sig")))
            asked.append(len(queries))
    [header], *chunks, [last] = pieces
    assert [[row[0] for row in chunk] for chunk in chunks] == [
        [request.protocol for request in requests[start : start + 2]] for start in (0, 2, 4)
    ]
    assert last[:2] == ["Fim do arquivo", "5 solicitações"]
    assert header[0] == "Protocolo"
    assert asked == [0, 1, 2, 3, 4]  # none is read before the piece before it was taken; the last looks for more


def test_three_rows_cost_as_many_queries_as_one(client, exporter):
    request_in(Status.IN_REVIEW)
    exported(client)
    with CaptureQueriesContext(connection) as with_one:
        exported(client)
    for _ in range(2):
        request_in(Status.IN_REVIEW)
    with CaptureQueriesContext(connection) as with_three:
        exported(client)
    assert len(with_three) == len(with_one)


def test_a_file_that_breaks_off_says_so_and_has_no_last_line(client, exporter, monkeypatch, caplog):
    monkeypatch.setattr(list_file, "CHUNK", 2)
    for _ in range(3):
        request_in(Status.PENDING)
    took = []

    def cell_or_fault(row):
        took.append(row)
        if len(took) > 2:
            raise RuntimeError
        return row["protocol"]

    monkeypatch.setattr(export.RequestFile, "columns", (("Protocolo", cell_or_fault),))
    pieces = []
    with pytest.raises(RuntimeError):
        pieces.extend(client.post(EXPORT).streaming_content)
    rows = rows_of(b"".join(pieces).decode("utf-8-sig"))
    assert rows[-1] == ["ARQUIVO INCOMPLETO: houve um erro. Exporte de novo."]
    assert not any("Fim do arquivo" in cell for row in rows for cell in row)
    assert "An export broke off after 2 rows" in caplog.text


# --- The same list ---------------------------------------------------------------------------------------------------
def test_it_holds_what_the_list_holds_with_its_filters_and_its_search(client, exporter):
    siel = UserTypeFactory(system__name="SIEL")
    waiting = filed(user_type=siel, bond=EmploymentFactory(user__name="JOSÉ CONCEIÇÃO"))
    other, rejected = filed(), request_in(Status.REJECTED, user_type=siel)
    assert set(exported(client)) == {waiting.protocol, other.protocol}
    assert set(exported(client, "?situacao=todas")) == {waiting.protocol, other.protocol, rejected.protocol}
    assert set(exported(client, f"?sistema={siel.system_id}")) == {waiting.protocol}
    assert set(exported(client, "?situacao=REJECTED")) == {rejected.protocol}
    assert set(exported(client, "?q=conceicao")) == {waiting.protocol}
    assert set(exported(client, "?q=ninguem")) == set()
    assert set(exported(client, "?p=7")) == {waiting.protocol, other.protocol}


def test_the_button_of_the_list_exports_what_the_list_shows(client, exporter):
    siel = UserTypeFactory(system__name="SIEL")
    wanted, _other = filed(user_type=siel), filed()
    page = Page(client.get(f"{LIST}?sistema={siel.system_id}&p=1"))
    [form] = [form for form in page.all("form") if dict(form.attributes).get("action", "").startswith(EXPORT)]
    address = dict(form.attributes)["action"]
    assert set(exported(client, f"?{urlsplit(address).query}")) == {wanted.protocol}
    assert "Exportar esta lista (CSV)" in text_of(form)


@pytest.mark.parametrize(
    "query",
    [
        "situacao=abc",
        f"sistema={HUGE}",
        "sistema=%00",
        "de=2026-02-30",
        "p=abc",
        f"p={HUGE}",
        "q=%00",
        "q=%25%27%22_",
        "com=0",
        "o=9.-9.x",
        "e=1",
        "all=",
    ],
)
def test_nonsense_in_the_address_exports_or_says_why_not(client, exporter, query):
    request = filed()
    response = client.post(f"{EXPORT}?{query}")
    assert response.status_code in {200, 302, 400}
    if response.status_code == 200:
        assert rows_of(body(response).decode("utf-8-sig"))[-1][0] == "Fim do arquivo"
    request.refresh_from_db()
    assert request.status == Status.PENDING


@pytest.mark.parametrize(("typed", "more"), [("maria silva", "joana"), ("maria", "joana"), ("77", "8")])
def test_a_list_that_leaves_out_what_was_looked_for_is_not_exported_as_if_it_were_whole(
    client, exporter, monkeypatch, typed, more
):
    monkeypatch.setattr(filters, "MOST_PEOPLE", 1)
    for number in range(2):
        filed(bond=EmploymentFactory(user__name="MARIA DA SILVA", matricula=f"77{number}"))
    other = filed(bond=EmploymentFactory(user__name="JOANA", matricula="8"))

    response = client.post(f"{EXPORT}?q={typed}&situacao=todas", follow=True)

    assert response.redirect_chain == [(f"{LIST}?q={quote_plus(typed)}&situacao=todas", 302)]
    messages = [text_of(line) for line in walk(Page(response).one("ul", class_="messagelist")) if line.name == "li"]
    assert messages[0] == "Nada foi exportado: a lista não mostra tudo o que esta busca acha."
    assert "Digite mais do nome" in messages[1]
    assert len(messages) == 2
    assert recorded() == []
    assert exported(client, f"?q={more}").keys() == {other.protocol}


@pytest.mark.parametrize("query", ["requester__password__startswith=a", "beneficiary__cpf__startswith=1", "id__in=1"])
def test_a_filter_made_by_hand_is_refused(client, exporter, query):
    filed()
    assert client.post(f"{EXPORT}?{query}").status_code == 400
    assert recorded() == []


# --- Who may, and what is written down -------------------------------------------------------------------------------
def may_export(user):
    user.user_permissions.add(Permission.objects.get(content_type__app_label="requests_app", codename="export"))
    return user


def seeing(user):
    permission = Permission.objects.get(content_type__app_label="requests_app", codename="view_accessrequest")
    user.user_permissions.add(permission)
    return user


def test_who_sees_requests_and_may_export_has_the_button_and_the_file(client):
    request = filed()
    client.force_login(may_export(seeing(UserFactory(is_staff=True))))
    assert "Exportar esta lista" in client.get(LIST).content.decode()
    assert set(exported(client)) == {request.protocol}


@pytest.mark.parametrize("rank", ["sees", "may export", "staff", "nobody"])
def test_fault_19_who_may_not_export_has_neither_button_nor_file(client, rank):
    request = filed()
    user = UserFactory(is_staff=rank != "nobody")
    if rank == "sees":
        seeing(user)
        client.force_login(user)
        assert "Exportar esta lista" not in client.get(LIST).content.decode()
    elif rank == "may export":
        may_export(user)
    client.force_login(user)
    response = client.post(EXPORT, follow=True)
    assert response.status_code == 403
    assert request.protocol not in response.content.decode()
    assert recorded() == []


def test_who_is_not_signed_in_goes_through_the_one_door(client):
    for response in (client.post(EXPORT, follow=True), client.get(EXPORT, follow=True)):
        assert urlsplit(response.redirect_chain[-1][0]).path == "/entrar/"


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
def test_fault_19_nothing_is_exported_but_by_post(client, exporter, method):
    filed()
    response = getattr(client, method)(f"{EXPORT}?situacao=todas")
    if method in {"get", "head"}:
        assert (response.status_code, response.url) == (302, f"{LIST}?situacao=todas")
    else:
        assert response.status_code == 405
    assert recorded() == []


def test_who_exported_how_many_and_by_which_filters_is_recorded_without_a_name(client, exporter):
    siel = UserTypeFactory(system__name="SIEL")
    filed(user_type=siel, bond=EmploymentFactory(user__name="JOSÉ CONCEIÇÃO"))
    holder = analyst(name="ANA LISTA")
    workflow.move(filed().pk, Status.IN_REVIEW, by=holder)
    client.post(EXPORT)
    client.post(f"{EXPORT}?sistema={siel.system_id}&q=conceicao&situacao=todas")
    client.post(f"{EXPORT}?com={holder.pk}")
    client.post(f"{EXPORT}?com=comigo")

    plain, searched, of_somebody, mine = recorded()

    assert {(event.actor, event.user) for event in recorded()} == {(exporter, None)}
    assert plain.detail == "Solicitações: 2. Situação: Aguardando decisão"
    assert searched.detail == "Solicitações: 1. Situação: Todas; Sistema: SIEL; com busca"
    assert of_somebody.detail == "Solicitações: 1. Situação: Aguardando decisão; Em análise com: uma pessoa"
    assert mine.detail == "Solicitações: 0. Situação: Aguardando decisão; Em análise com: Comigo"


def test_it_is_recorded_before_anything_goes_out(client, exporter):
    filed()
    response = client.post(EXPORT)
    [event] = recorded()
    assert event.address == "127.0.0.1"
    response.close()


def test_who_exports_too_often_waits(client, exporter, monkeypatch):
    filed()
    for _ in range(throttle.STAFF_ACTS.free):
        throttle.take(throttle.STAFF_ACTS, str(exporter.pk))
    response = client.post(EXPORT)
    assert (response.status_code, response.url) == (302, LIST)
    assert "Muitas tentativas em pouco tempo. Aguarde" in client.get(LIST).content.decode()
    assert recorded() == []
