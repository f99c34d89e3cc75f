"""The security log as who may read it sees it: searched, filtered, cheap, and never changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import history, housekeeping, security
from accounts.cpf import formatted
from accounts.models import SecurityEvent
from accounts.records_admin import REFUSALS
from requests_app.tests.factories import analyst, manager, superuser
from requests_app.tests.pages import Page

from .factories import EmploymentFactory, UserFactory, cpf_of

pytestmark = pytest.mark.django_db

Kind = SecurityEvent.Kind
RECORDS = "/admin/accounts/securityevent/"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0"


def record(kind=Kind.SIGNED_IN, *, device="", at=None, **fields):
    typed = fields.pop("typed", "")
    return SecurityEvent.objects.create(
        kind=kind,
        device=device,
        at=at or timezone.now(),
        typed_digest=security.digest(typed) if typed else "",
        **fields,
    )


def found(client, **asked):
    response = client.get(RECORDS, asked)
    assert response.status_code == 200
    return {event.pk for event in response.context["cl"].result_list}


@pytest.fixture
def reader(client):
    user = manager()
    client.force_login(user)
    return user


# --- Who may ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("address", ["", "{}/change/", "?q=maria"])
def test_nobody_reads_the_records_without_the_permission(client, address):
    event = record(user=EmploymentFactory(user__name="MARIA DAS DORES").user, detail="segredo")
    asked = RECORDS + address.format(event.pk)
    assert client.get(asked)["Location"].startswith(("/entrar/", "/admin/login/"))
    for user, status in ((EmploymentFactory().user, 302), (analyst(), 403), (manager(), 200)):
        client.force_login(user)
        response = client.get(asked)
        assert response.status_code == status
        assert ("segredo" in response.content.decode()) == (status == 200)


@pytest.mark.parametrize("address", ["add/", "{}/change/", "{}/delete/", ""])
def test_asvs_16_4_2_nobody_changes_them(client, address):
    event = record(detail="como foi")
    client.force_login(superuser())
    before = list(SecurityEvent.objects.filter(pk=event.pk).values())
    forged = {"detail": "outra", "kind": "SIGNED_OUT", "post": "yes", "action": "delete_selected"}
    response = client.post(RECORDS + address.format(event.pk), {**forged, "_selected_action": event.pk, "index": 0})
    assert response.status_code in {200, 302, 403, 405}
    assert list(SecurityEvent.objects.filter(pk=event.pk).values()) == before


# --- What a row says -------------------------------------------------------------------------------------------------
def test_a_row_says_when_what_who_by_whom_from_where_and_how(client, reader):
    person, by = UserFactory(name="MARIA DAS DORES"), UserFactory(name="ANA LISTA")
    event = record(Kind.UNLOCKED, user=person, actor=by, address="198.51.100.7", device=EDGE, detail="por telefone")
    shown = Page(client.get(RECORDS, {"q": "maria"})).text
    for words in (
        f"{timezone.localtime(event.at):%d/%m/%Y %H:%M:%S}",
        *("Entrada desbloqueada", "Maria das Dores", "Ana Lista", "198.51.100.7", "Edge no Windows", "por telefone"),
    ):
        assert words in shown
    page = client.get(f"{RECORDS}{event.pk}/change/").content.decode()
    assert "Edge no Windows" in page
    for secret in (person.cpf, formatted(person.cpf), person.email):
        assert secret not in shown + page


# --- Search and filters ----------------------------------------------------------------------------------------------
def test_events_are_found_by_name_matricula_and_whole_cpf(client, reader):
    bond, other = EmploymentFactory(user__name="MARIA DAS DORES"), EmploymentFactory(user__name="JOSÉ DA SILVA")
    hers, tried = record(user=bond.user), record(Kind.SIGN_IN_FAILED, typed=bond.user.cpf)
    done = record(Kind.DISCLOSED, user=other.user, actor=bond.user)
    record(user=other.user)
    record(Kind.SIGN_IN_FAILED, typed=other.user.cpf)
    assert found(client, q="dores maria") == {hers.pk, done.pk}
    assert found(client, q=bond.matricula) == {hers.pk, done.pk}
    for typed in (bond.user.cpf, formatted(bond.user.cpf)):
        assert found(client, q=typed) == {hers.pk, tried.pk, done.pk}


def test_tries_at_a_cpf_that_the_portal_does_not_know_are_found_by_it(client, reader):
    nobody, other = cpf_of(900_001), cpf_of(900_002)
    tried = record(Kind.RESET_NOT_SENT, typed=nobody, detail="CPF desconhecido")
    record(Kind.RESET_NOT_SENT, typed=other, detail="CPF desconhecido")
    assert found(client, q=nobody) == {tried.pk}


@pytest.mark.parametrize("listed", [["new", "old"], ["old", "new", "old"], ["new", "old", "new"]])
def test_what_was_typed_before_a_change_of_keys_is_found_while_the_old_one_is_listed(client, reader, settings, listed):
    keys = {"old": settings.SECRETS_KEYS[0], "new": "a-new-key-of-the-tests-and-of-nothing-else-0123456789"}
    person, nobody = UserFactory(), cpf_of(900_001)
    before = {cpf: record(Kind.SIGN_IN_FAILED, typed=cpf) for cpf in (person.cpf, nobody)}
    record(Kind.SIGN_IN_FAILED, typed=cpf_of(900_002))

    settings.SECRETS_KEYS = [keys[name] for name in listed]
    after = {cpf: record(Kind.SIGN_IN_FAILED, typed=cpf) for cpf in (person.cpf, nobody)}

    assert found(client, q=nobody) == {before[nobody].pk, after[nobody].pk}
    assert found(client, pessoa=person.pk) == {before[person.cpf].pk, after[person.cpf].pk}
    settings.SECRETS_KEYS = [keys["new"]]
    assert before[nobody].pk not in found(client, q=nobody)


def test_events_are_found_by_address(client, reader):
    four, six = record(address="198.51.100.7"), record(address="2001:db8::7")
    record(address="198.51.100.70")
    assert found(client, q="198.51.100.7") == {four.pk}
    assert found(client, q="2001:0DB8:0::7") == {six.pk}


@pytest.mark.parametrize(
    "query", ["' OR 1=1 --", "m%ria", "m_ria", "x" * 5000, "²", "999.999.999.999", "198.51.100.7%", "arma"]
)
def test_fault_21_any_text_is_harmless_and_finds_nothing_that_it_does_not_name(client, reader, query):
    record(user=EmploymentFactory(user__name="MARIA", matricula="810").user, address="198.51.100.7")
    assert found(client, q=query) == set()


@pytest.mark.parametrize("query", ["%", "_", "'", "😀", "٣" * 11])
def test_fault_21_a_search_without_a_letter_or_a_digit_finds_nothing(client, reader, query):
    events = {record(user=UserFactory()).pk, record(Kind.SIGN_IN_FAILED).pk}
    assert found(client, q=query) == set()
    assert events <= found(client, q=" ")


def test_fault_21_a_search_that_no_database_takes_is_told(client, reader):
    assert "Caracteres nulos" in Page(client.get(RECORDS, {"q": "maria\0"})).text


def test_the_persons_page_leads_to_what_happened_to_them_and_was_tried_at_their_cpf(client, reader):
    person, other = EmploymentFactory().user, EmploymentFactory().user
    mine, tried = record(user=person), record(Kind.SIGN_IN_FAILED, typed=person.cpf)
    record(user=other, actor=person)
    page = Page(client.get(f"/admin/accounts/user/{person.pk}/change/"))
    assert page.one("a", href=f"{RECORDS}?pessoa={person.pk}")
    assert found(client, pessoa=person.pk) == {mine.pk, tried.pk}
    client.force_login(analyst())
    assert "Eventos desta pessoa" not in Page(client.get(f"/admin/accounts/user/{person.pk}/change/")).text


@pytest.mark.parametrize("made_by_hand", ["0", "999999999", "9" * 30, "x", "²", "", "1 OR 1=1"])
def test_a_person_who_is_not_there_has_no_events(client, reader, made_by_hand):
    record(user=UserFactory())
    assert found(client, pessoa=made_by_hand) == set()


def test_events_are_filtered_by_kind_result_and_period(client, reader):
    SecurityEvent.objects.filter(kind=Kind.SIGNED_IN).exists()
    worked, refused = record(Kind.PASSWORD_RESET), record(Kind.SIGN_IN_FAILED)
    old = record(Kind.PASSWORD_RESET, at=timezone.now() - timedelta(days=8))
    assert found(client, kind__exact="PASSWORD_RESET") == {worked.pk, old.pk}
    assert found(client, kind__exact="PASSWORD_RESET", periodo="7") == {worked.pk}
    assert refused.pk in found(client, resultado="recusado")
    assert worked.pk not in found(client, resultado="recusado")
    assert {worked.pk, old.pk} <= found(client, resultado="feito")
    assert refused.pk not in found(client, resultado="feito")


def test_every_kind_of_refusal_is_one_in_the_filter():
    """By name, so that a new kind is not forgotten."""
    named = {kind for kind in Kind if kind.value.endswith(("_FAILED", "_REFUSED", "_NOT_SENT", "_LAPSED"))}
    assert named <= REFUSALS


# --- A million rows --------------------------------------------------------------------------------------------------
def test_the_page_costs_the_same_for_one_row_and_for_sixty_and_counts_no_further_than_needed(client, reader):
    record(user=UserFactory(), actor=UserFactory())
    client.get(RECORDS)
    with CaptureQueriesContext(connection) as few:
        client.get(RECORDS)
    for _ in range(59):
        record(user=UserFactory(), actor=UserFactory())
    with CaptureQueriesContext(connection) as many:
        client.get(RECORDS)
    assert len(many) == len(few)
    about_events = [query["sql"] for query in many if "accounts_securityevent" in query["sql"]]
    assert about_events
    assert all("LIMIT" in sql for sql in about_events)
    assert not any("DISTINCT" in sql for sql in about_events)


# --- How long --------------------------------------------------------------------------------------------------------
def test_asvs_16_4_events_are_kept_for_six_months_at_least(settings, monkeypatch):
    least = 183  # that the settings take
    settings.SECURITY_EVENT_RETENTION_DAYS = least
    monkeypatch.setitem(history.RULES, SecurityEvent._meta.label, history.Rule(SecurityEvent, least))
    history.create_triggers(connection)
    young, old = (record(at=timezone.now() - timedelta(days=days)) for days in (182, 184))
    housekeeping.forget_events(dry_run=False)
    assert SecurityEvent.objects.filter(pk=young.pk).exists()
    assert not SecurityEvent.objects.filter(pk=old.pk).exists()
