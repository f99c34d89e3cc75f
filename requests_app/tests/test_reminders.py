"""From which day on somebody may remind the Coordenadoria of a request that was corrected or let go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from requests_app import workflow
from requests_app.models import Reminder, Status

from .factories import analyst, unsaved_request
from .pages import Page
from .test_corrections import correct

pytestmark = pytest.mark.django_db

MONDAY, DAY = datetime(2026, 3, 2, 15, tzinfo=UTC), timedelta(days=1)


@pytest.fixture
def clock():
    with time_machine.travel(MONDAY, tick=False) as moving:
        yield moving


def remind(client, request):
    client.force_login(request.requester)
    return Page(client.post(f"/solicitacoes/{request.protocol}/lembrar/", follow=True)).notices[-1]


def test_after_a_correction_the_three_business_days_begin_anew(client, clock):
    request = workflow.file(unsaved_request())
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Informe a portaria.")
    clock.move_to(MONDAY + 7 * DAY)
    correct(client, request, description="Portaria 12/2026.")

    assert remind(client, request) == "Você pode lembrar a Coordenadoria a partir de 12/03/2026."
    assert not Reminder.objects.exists()

    clock.move_to(MONDAY + 10 * DAY)
    remind(client, request)
    assert Reminder.objects.count() == 1


def test_a_correction_counts_after_an_earlier_reminder_too(client, clock):
    request = workflow.file(unsaved_request())
    clock.move_to(MONDAY + 3 * DAY)
    remind(client, request)
    assert Reminder.objects.count() == 1
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Informe a portaria.")
    clock.move_to(MONDAY + 14 * DAY)
    correct(client, request, description="Portaria 12/2026.")

    assert remind(client, request) == "Você pode lembrar a Coordenadoria a partir de 19/03/2026."
    assert Reminder.objects.count() == 1


def test_an_analyst_who_lets_a_request_go_does_not_put_the_reminder_off(client, clock):
    request, holder = workflow.file(unsaved_request()), analyst()
    workflow.move(request.pk, Status.IN_REVIEW, by=holder)
    clock.move_to(MONDAY + 3 * DAY)
    workflow.move(request.pk, Status.PENDING, by=holder)

    remind(client, request)

    assert Reminder.objects.count() == 1
