"""From a person or a request to the accesses, and to who changed what: the ways that an auditor goes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import housekeeping, privacy
from accounts.models import MailStatus, OutgoingMail, SecurityEvent
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app import workflow
from requests_app.models import NOT_DELIVERED, GrantEvent, GrantStatus, Status
from requests_app.workflow import move_grant

from .factories import UserTypeFactory, analyst, grant_of, head_of, manager, superuser, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

PEOPLE = "/admin/accounts/user/"
REQUESTS = "/admin/requests_app/accessrequest/"
GRANTS = "/admin/requests_app/accessgrant/"
EVENTS = "/admin/accounts/securityevent/"


@pytest.fixture
def auditor(client):
    user = UserFactory(is_staff=True)
    user.groups.add(Group.objects.get(name="Auditoria"))
    client.force_login(user)
    return user


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def approved(**fields):
    return workflow.move(filed(**fields).pk, Status.APPROVED, by=analyst())


def seeing_requests_only():
    user = UserFactory(is_staff=True)
    user.user_permissions.add(*Group.objects.get(name="Auditoria").permissions.filter(codename="view_accessrequest"))
    user.user_permissions.add(*Group.objects.get(name="Auditoria").permissions.filter(codename="view_user"))
    return user


def links(page):
    """Where the page leads, by what the link says."""
    return {text_of(link): dict(link.attributes).get("href", "").replace("&amp;", "&") for link in page.all("a")}


def shown(client, address, column):
    response = client.get(address)
    assert response.status_code == 200
    return [text_of(cell) for cell in Page(response).all("th", class_=f"field-{column}")]


# --- From a request --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("to", [None, GrantStatus.REVOKED])
def test_a_concluded_request_leads_to_the_access_that_it_gave_whatever_became_of_it(client, auditor, to):
    request = approved()
    if to:
        move_grant(request.grant.pk, to, by=analyst(), note="Saiu.")
    page = Page(client.get(f"{REQUESTS}{request.pk}/change/"))
    assert links(page)["Ver o acesso e o andamento dele"] == f"{GRANTS}{request.grant.pk}/change/"
    assert ("Revogado · desde" in page.text) == bool(to)


def test_a_request_that_gave_nothing_leads_to_no_access(client, auditor):
    page = Page(client.get(f"{REQUESTS}{filed().pk}/change/"))
    assert "Acesso que esta solicitação deu" not in page.text


def test_each_access_that_somebody_has_leads_to_its_page(client, auditor):
    bond = EmploymentFactory()
    older = grant_of(bond, user_type=UserTypeFactory(name="Consulta", system__name="SEEU"))
    page = Page(client.get(f"{REQUESTS}{filed(bond=bond).pk}/change/"))
    assert links(page)["SEEU – Consulta"] == f"{GRANTS}{older.pk}/change/"


def test_who_sees_no_accesses_reads_of_them_and_is_led_to_none(client):
    request = approved()
    client.force_login(seeing_requests_only())
    page = Page(client.get(f"{REQUESTS}{request.pk}/change/"))
    assert f"{request.user_type} · Ativo" in page.text
    assert not [href for href in links(page).values() if href.startswith(GRANTS)]


# --- From a person ---------------------------------------------------------------------------------------------------
def test_the_persons_page_leads_to_all_their_accesses_and_to_all_their_requests(client, auditor):
    mine = EmploymentFactory(user__name="MARIA PAZ")
    given = approved(bond=mine)
    move_grant(given.grant.pk, GrantStatus.REVOKED, by=analyst(), note="Saiu.")
    asked = filed(requester=mine.user)
    for other in (EmploymentFactory(user__name="MARIA PAZ"), EmploymentFactory()):
        approved(bond=other)

    to = links(Page(client.get(f"{PEOPLE}{mine.user_id}/change/")))

    assert shown(client, to["Acessos desta pessoa"], "user_name") == ["Maria Paz"]
    assert set(shown(client, to["Solicitações desta pessoa"], "protocol")) == {given.protocol, asked.protocol}


def test_the_persons_page_leads_only_to_lists_that_one_may_see(client):
    client.force_login(seeing_requests_only())
    to = links(Page(client.get(f"{PEOPLE}{EmploymentFactory().user_id}/change/")))
    assert "Solicitações desta pessoa" in to
    assert "Acessos desta pessoa" not in to


@pytest.mark.parametrize("key", ["0", "abc", "9" * 19, "\0"])
def test_a_person_that_is_none_is_told_above_the_requests(client, auditor, key):
    request = filed()
    response = client.get(REQUESTS, {"situacao": "todas", "pessoa": key})
    page = Page(response)
    assert [text_of(cell) for cell in page.all("th", class_="field-protocol")] == [request.protocol]
    assert "Esta opção não existe" in text_of(page.one(id="filtro-pessoa_error"))


def test_an_export_of_one_persons_requests_is_recorded_without_their_name(client, auditor):
    person = EmploymentFactory(user__name="MARIA PAZ").user
    client.post(f"{REQUESTS}exportar/?situacao=todas&pessoa={person.pk}")
    [event] = SecurityEvent.objects.filter(kind="EXPORTED")
    assert event.detail == "Solicitações: 0. Pessoa: uma pessoa; Situação: Todas"


# --- What was changed of a person ------------------------------------------------------------------------------------
def history_of(client, person):
    return Page(client.get(f"{PEOPLE}{person.pk}/history/"))


@pytest.mark.parametrize("kind", ["PERSON_CHANGED", "EMAIL_CHANGED", "ROLES_CHANGED", "ACCESS_OPENED", "ACCESS_CLOSED"])
def test_the_history_of_somebody_who_was_changed_leads_on_to_the_events(client, auditor, kind):
    person, other = EmploymentFactory().user, EmploymentFactory().user
    SecurityEvent.objects.create(kind=kind, user=person, actor=auditor)
    page = history_of(client, person)
    assert "Nada foi mudado" not in page.text
    assert "Elas estão nos eventos de segurança." in page.text
    assert links(page)["Eventos desta pessoa"] == f"{EVENTS}?pessoa={person.pk}"
    assert "Nada foi mudado por aqui." in history_of(client, other).text


def test_what_is_no_change_of_the_person_is_none_in_their_history(client, auditor):
    person = EmploymentFactory().user
    SecurityEvent.objects.create(kind="SIGNED_IN", user=person)
    SecurityEvent.objects.create(kind="PERSON_CHANGED", actor=person, user=EmploymentFactory().user)
    assert "Nada foi mudado por aqui." in history_of(client, person).text


def test_a_change_by_the_form_stands_in_the_history_with_the_way_to_the_events(client):
    person = EmploymentFactory().user
    client.force_login(superuser())
    form = client.get(f"{PEOPLE}{person.pk}/change/").context["adminform"].form
    posted = {"name": person.name, "phone": "(67) 3314-4321", "is_active": "on", "social_name": ""}
    assert set(form.fields) <= set(posted)
    formset = {f"employments-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    assert client.post(f"{PEOPLE}{person.pk}/change/", posted | formset).status_code == 302
    page = history_of(client, person)
    assert page.one(id="change-history")
    assert links(page)["Eventos desta pessoa"] == f"{EVENTS}?pessoa={person.pk}"


def test_who_reads_no_events_is_told_who_does(client):
    person = EmploymentFactory().user
    SecurityEvent.objects.create(kind="EMAIL_CHANGED", user=person, actor=manager())
    client.force_login(analyst())
    page = history_of(client, person)
    assert "Nada foi mudado" not in page.text
    assert "Quem lê esses eventos: Gestão, Administração e Auditoria." in page.text
    assert "Eventos desta pessoa" not in links(page)


# --- What happened to an access --------------------------------------------------------------------------------------
def happened(client, grant):
    """The second column of the history, in its order."""
    table = Page(client.get(f"{GRANTS}{grant.pk}/change/")).one("table", class_="desk-history")
    return [text_of([cell for cell in walk(row) if cell.name == "td"][1]) for row in rows_of(table)]


def rows_of(table):
    return [row for row in walk(table) if row.name == "tr"][1:]


def press(client, grant, step, **fields):
    assert client.post(f"{GRANTS}{grant.pk}/{step}/", fields).status_code == 302


def test_the_history_of_an_access_says_what_happened_where_the_status_alone_would_not(client):
    request = approved()
    grant = request.grant
    head = head_of(grant.user.employments.get().unit)
    client.force_login(analyst())
    press(client, grant, "reemitir", note="Não chegou.")
    press(client, grant, "prazo", until="2099-01-01", why="Designação.")
    press(client, grant, "mover", to="SUSPENDED", note="Férias.")
    move_grant(grant.pk, GrantStatus.TO_REVOKE, by=head, note="Saiu.")
    press(client, grant, "prazo", until="", why="Fica.")
    press(client, grant, "mover", to="SUSPENDED", note="Fica suspenso.")
    press(client, grant, "mover", to="ACTIVE", note="Voltou.")
    move_grant(grant.pk, GrantStatus.TO_REVOKE, by=head, note="Saiu de novo.")
    press(client, grant, "mover", to="ACTIVE", note="Fica.")
    press(client, grant, "mover", to="REVOKED", note="Saiu mesmo.")

    expected = [
        *("Concedido", "Credencial reemitida", "Novo prazo", "Suspenso", "Fim pedido", "Novo prazo"),
        *("Mantido suspenso", "Retomado", "Fim pedido", "Mantido", "Revogado"),
    ]
    assert happened(client, grant) == expected
    print_view = Page(client.get(f"{REQUESTS}{request.pk}/imprimir/"))
    printed = text_of(print_view.one("section", aria_labelledby="access"))
    for word in expected:
        before, found, printed = printed.partition(word)
        assert found, f"{word} does not follow {before}"

    client.force_login(grant.user)
    mine = Page(client.get("/conta/meus-dados/andamentos-dos-acessos/")).text
    assert all(word in mine for word in expected)
    kept = json.loads("".join(privacy.export(grant.user)))["andamentos-dos-acessos"]
    assert [step["o_que_houve"] for step in reversed(kept)] == expected


def test_an_access_that_is_older_or_whose_day_is_over_says_so(client):
    grant = grant_of(EmploymentFactory(), expires_on=timezone.localdate() - timedelta(days=1))
    housekeeping.run()
    client.force_login(analyst())
    assert happened(client, grant) == ["Trazido de antes do portal", "Vencido"]


def test_a_credential_typed_by_hand_is_told_from_a_new_end(client):
    user_type = UserTypeFactory(system__credential="OPERATOR")
    request = approved(user_type=user_type)
    typed = workflow.Typed("maria.paz", "Capim-dourado 88")
    grant = workflow.move(request.pk, Status.COMPLETED, by=analyst(), typed=typed).grant
    client.force_login(analyst())
    press(client, grant, "reemitir", note="Vale até amanhã.", login="maria.paz", password="Capim-dourado 99")
    press(client, grant, "prazo", until="2099-01-01", why="Designação.")
    assert happened(client, grant) == ["Concedido", "Credencial reemitida", "Novo prazo"]


@pytest.mark.parametrize(
    ("chose_a_password", "again"), [(False, "Credencial reemitida"), (True, "E-mail enviado de novo")]
)
def test_a_mail_that_was_made_anew_is_no_second_grant(client, chose_a_password, again):
    request = approved()
    person = request.beneficiary
    [mail] = OutgoingMail.objects.filter(recipient=person)
    OutgoingMail.objects.filter(pk=mail.pk).update(status=MailStatus.FAILED)
    if chose_a_password:
        person.refresh_from_db()
        person.set_password("capim dourado do jalapão")
        person.must_change_password = False
        person.save()
    client.force_login(analyst())
    assert client.post(f"/admin/accounts/outgoingmail/{mail.pk}/tentar/").status_code == 302
    assert happened(client, request.grant) == ["Concedido", again]


def test_who_gives_the_words_of_the_portal_as_a_reason_changes_not_what_happened(client):
    grant = approved().grant
    client.force_login(analyst())
    press(client, grant, "mover", to="SUSPENDED", note=NOT_DELIVERED)
    press(client, grant, "mover", to="ACTIVE", note=NOT_DELIVERED)
    assert happened(client, grant) == ["Concedido", "Suspenso", "Retomado"]


def test_a_long_history_costs_as_many_queries_as_a_short_one(client):
    grant = approved().grant
    by = analyst()
    client.force_login(by)

    def costs():
        client.get(f"{GRANTS}{grant.pk}/change/")
        with CaptureQueriesContext(connection) as captured:
            happened(client, grant)
        return len(captured)

    with_one = costs()
    GrantEvent.objects.bulk_create(
        GrantEvent(grant=grant, from_status="ACTIVE", to_status="ACTIVE", actor=by, note="x") for _ in range(299)
    )
    assert costs() == with_one
