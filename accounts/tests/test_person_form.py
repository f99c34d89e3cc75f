"""The form of the person's page: who may change what of whom, and that it is recorded."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry

from accounts.cpf import formatted
from accounts.models import SecurityEvent
from accounts.tests.factories import UserFactory
from requests_app.models import Status
from requests_app.tests.factories import analyst, manager, request_in, superuser

pytestmark = pytest.mark.django_db


def page_of(person, step="change"):
    return f"/admin/accounts/user/{person.pk}/{step}/"


def posted(person, **fields):
    managed = {f"employments-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    own = {"name": person.name, "social_name": person.social_name, "phone": person.phone, "is_active": "on"}
    return {**managed, **own, **fields}


def test_asvs_16_2_a_changed_name_or_telephone_is_recorded_with_before_and_after(client):
    person, by = UserFactory(name="MARIA DE SOUZA", phone="(67) 3314-0000"), manager()
    client.force_login(by)

    client.post(page_of(person), posted(person, name="MARIA DE SOUZA LIMA", phone="(67) 3314-9999"))

    person.refresh_from_db()
    assert (person.name, person.phone) == ("MARIA DE SOUZA LIMA", "(67) 3314-9999")
    events = SecurityEvent.objects.filter(kind="PERSON_CHANGED", user=person, actor=by, address="127.0.0.1")
    assert {event.detail for event in events} == {
        "Nome civil: MARIA DE SOUZA → MARIA DE SOUZA LIMA",
        "Telefone: (67) 3314-0000 → (67) 3314-9999",
    }


@pytest.mark.parametrize("of", [superuser, manager, analyst])
def test_what_the_staff_are_called_by_is_the_administrators_to_change(client, of):
    """The help desk calls back by the telephone that stands there."""
    person = of()
    before = (person.name, person.social_name, person.phone)
    client.force_login(manager())

    client.post(page_of(person), posted(person, name="OUTRA", social_name="OUTRA", phone="(67) 3314-9999"))

    person.refresh_from_db()
    assert (person.name, person.social_name, person.phone) == before
    assert not SecurityEvent.objects.filter(kind="PERSON_CHANGED").exists()


def test_the_history_names_who_changed_something_and_shows_no_cpf(client):
    person, by = UserFactory(name="MARIA DE SOUZA"), manager()
    client.force_login(by)
    client.post(page_of(person), posted(person, name="MARIA DE SOUZA LIMA"))
    assert LogEntry.objects.get().user == by

    page = client.get(page_of(person, "history")).content.decode()

    assert by.display_name in page
    for cpf in (by.cpf, formatted(by.cpf), person.cpf, formatted(person.cpf)):
        assert cpf not in page


def test_who_may_not_decide_is_not_told_that_there_is_nothing_to_decide(client):
    request = request_in(Status.PENDING)
    client.force_login(manager())

    page = client.get(f"/admin/requests_app/accessrequest/{request.pk}/change/").content.decode()

    assert "Quem decide é o grupo Análise." in page
    assert "Não há nada a decidir" not in page
