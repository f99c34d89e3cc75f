"""What was written stays written, on either database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import history, security
from accounts.models import SecurityEvent, Term, TermAcceptance
from requests_app import workflow
from requests_app.models import CatalogueChange, GrantEvent, InternalNote, Reminder, RequestEvent, Status
from requests_app.tests.factories import analyst, request_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows():
    """One row in each table that only grows."""
    request = request_in(Status.PENDING)
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    security.record(SecurityEvent.Kind.SIGNED_IN, user=request.requester)
    TermAcceptance.objects.create(user=request.requester, term=Term.objects.create(version=1, text="Prometo."))
    InternalNote.objects.create(request=request, author=request.decided_by or analyst(), text="nota")
    CatalogueChange.objects.create(model="x", object_id=1, name="BNMP", changes=[], by=request.requester)
    Reminder.objects.create(request=request, by=request.requester)


MODELS = [RequestEvent, GrantEvent, SecurityEvent, TermAcceptance, Term, InternalNote, CatalogueChange, Reminder]


def test_asvs_16_4_2_every_table_of_events_is_guarded():
    assert {rule.model for rule in history.RULES.values()} == set(MODELS)


def refused(act):
    with pytest.raises(IntegrityError, match=history.REFUSAL), transaction.atomic():
        act()


@pytest.mark.parametrize("model", MODELS)
def test_asvs_16_4_2_an_update_is_refused(model, rows):
    refused(lambda: model.objects.update(at=timezone.now()))


@pytest.mark.parametrize("model", MODELS)
def test_asvs_16_4_2_a_single_row_cannot_be_saved_again(model, rows):
    row = model.objects.first()
    row.at = timezone.now()
    refused(row.save)


@pytest.mark.parametrize("model", MODELS)
def test_asvs_16_4_2_a_delete_is_refused(model, rows):
    count = model.objects.count()
    for act in (model.objects.all().delete, model.objects.first().delete):
        # A term that was accepted is kept from it before the database is asked.
        with pytest.raises(IntegrityError, match=f"{history.REFUSAL}|protected foreign keys"), transaction.atomic():
            act()
    assert model.objects.count() == count


STATEMENTS = {
    "postgresql": (
        "DELETE FROM {table}",
        "TRUNCATE {table} CASCADE",
        "INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET at = now()",
    ),
    "sqlite": ("DELETE FROM {table}", "INSERT OR REPLACE INTO {table} SELECT * FROM {table}"),
}


@pytest.mark.parametrize("model", MODELS)
def test_asvs_16_4_2_plain_sql_is_refused_too(model, rows):
    connection.check_constraints()  # deferred ones would stop a TRUNCATE before our trigger does
    for statement in STATEMENTS[connection.vendor]:
        with pytest.raises(IntegrityError, match=history.REFUSAL), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement.format(table=model._meta.db_table))


def test_asvs_16_4_security_events_may_be_deleted_once_they_are_old_and_not_before(settings):
    days = settings.SECURITY_EVENT_RETENTION_DAYS
    old = security.record(SecurityEvent.Kind.SIGNED_IN)
    young = security.record(SecurityEvent.Kind.SIGNED_OUT)
    history.drop_triggers(connection)
    SecurityEvent.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=days + 1))
    SecurityEvent.objects.filter(pk=young.pk).update(at=timezone.now() - timedelta(days=days - 1))
    history.create_triggers(connection)

    SecurityEvent.objects.filter(pk=old.pk).delete()
    refused(SecurityEvent.objects.filter(pk=young.pk).delete)
    assert SecurityEvent.objects.get() == young


def test_a_missing_trigger_is_noticed_and_comes_back():
    assert history.missing_triggers(connection) == []
    history.drop_triggers(connection)
    assert "requests_app_requestevent_no_update" in history.missing_triggers(connection)
    assert [message.id for message in run_checks(databases=["default"])].count("portal.W005") == 1
    history.create_triggers(connection)
    assert history.missing_triggers(connection) == []
    assert "portal.W005" not in [message.id for message in run_checks(databases=["default"])]
