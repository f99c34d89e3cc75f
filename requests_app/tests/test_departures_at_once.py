"""A departure and a decision at the same moment: one of them comes first, and the other sees it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import housekeeping
from accounts.directory import effects
from accounts.models import Employment
from accounts.tests.factories import EmploymentFactory
from requests_app import workflow
from requests_app.models import AccessGrant, GrantStatus, Status
from requests_app.workflow import MoveRefusedError

from .factories import analyst, request_in
from .test_accesses import grant_in
from .test_concurrency import at_once

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("sqlite" in connection.vendor, reason="SQLite lets one writer in at a time"),
]


def leave(bond, *, told=lambda: None):
    """What an import does to this bond, in one transaction; ``told`` comes between the bond and what follows."""
    with transaction.atomic():
        Employment.objects.filter(pk=bond.pk).update(ended_on=timezone.localdate() - timedelta(days=1))
        told()
        effects.tell(effects.Moved(ended=[bond.pk]))


def test_an_approval_that_has_the_person_comes_first_and_its_access_is_flagged():
    request, decider = request_in(Status.PENDING), analyst()
    given, written = threading.Event(), threading.Event()

    def approve():
        with transaction.atomic():
            workflow.move(request.pk, Status.APPROVED, by=decider)
            given.set()
            assert written.wait(30)

    def depart():
        assert given.wait(30)
        leave(request.employment, told=written.set)

    at_once(approve, depart)

    request.refresh_from_db()
    assert request.status == Status.COMPLETED
    assert AccessGrant.objects.get().status == GrantStatus.TO_REVOKE
    assert not request.beneficiary.__class__.objects.get(pk=request.beneficiary_id).is_active


def test_an_approval_that_waits_for_a_departure_is_refused_and_neither_waits_for_ever():
    """It holds the request, which the import then leaves to the night, and waits for the person."""
    request, decider = request_in(Status.PENDING), analyst()
    locked, holds = threading.Event(), threading.Event()

    def before_the_person_is_locked(execute, sql, params, many, context):
        if 'FROM "accounts_user"' in sql and "FOR NO KEY UPDATE" in sql:
            holds.set()
        return execute(sql, params, many, context)

    def approve():
        assert locked.wait(30)
        with connection.execute_wrapper(before_the_person_is_locked), pytest.raises(MoveRefusedError) as refusal:
            workflow.move(request.pk, Status.APPROVED, by=decider)
        return str(refusal.value)

    def depart():
        def hold_the_person():
            effects.lock([request.beneficiary_id])
            locked.set()
            assert holds.wait(30)

        leave(request.employment, told=hold_the_person)

    said, _ = at_once(approve, depart)

    assert said == "Esta pessoa não tem mais este vínculo com o Tribunal."
    assert not AccessGrant.objects.exists()
    housekeeping.run()
    request.refresh_from_db()
    assert request.status == Status.CANCELLED


@pytest.mark.parametrize("attempt", range(3))
def test_departures_approvals_and_reissues_at_once_all_come_to_an_end(attempt):
    bonds = EmploymentFactory.create_batch(4)
    requests = [request_in(Status.PENDING, bond=bond) for bond in bonds]
    older = [grant_in(GrantStatus.ACTIVE, bond=bond) for bond in bonds]
    deciders = [analyst() for _ in bonds]

    def depart():
        yesterday = timezone.localdate() - timedelta(days=1)
        with transaction.atomic():
            Employment.objects.filter(pk__in=[bond.pk for bond in bonds]).update(ended_on=yesterday)
            effects.tell(effects.Moved(ended=[bond.pk for bond in bonds]))

    def decide(request, grant, decider):
        def run():
            for act in (
                lambda: workflow.reissue(grant.pk, by=decider, note="Perdeu o e-mail."),
                lambda: workflow.move(request.pk, Status.APPROVED, by=decider),
            ):
                try:
                    act()
                except MoveRefusedError:
                    continue

        return run

    at_once(depart, *(decide(*each) for each in zip(requests, older, deciders, strict=True)))
    housekeeping.run()

    assert set(AccessGrant.objects.values_list("status", flat=True)) == {GrantStatus.TO_REVOKE}
    for request in requests:
        request.refresh_from_db()
    assert {request.status for request in requests} <= {Status.COMPLETED, Status.CANCELLED}
