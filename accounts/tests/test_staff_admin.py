"""What holds on every page of the desk, whatever it is about."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import reverse

from requests_app.tests.factories import manager, superuser
from requests_app.tests.pages import Page

from .factories import EmploymentFactory, UnitFactory

pytestmark = pytest.mark.django_db

#: All that is registered, by the name that its addresses have.
DESKS = {f"{model._meta.app_label}_{model._meta.model_name}": model for model in admin.site._registry}


def test_the_groups_are_registered_too():
    assert {"auth_group", "accounts_user", "accounts_securityevent"} <= set(DESKS)


@pytest.mark.parametrize("page", ["change", "delete"])
@pytest.mark.parametrize("name", sorted(DESKS))
def test_a_column_without_a_name_asks_for_nothing_else(client, name, page):
    """``_to_field`` says by which column a row is looked for; Django itself stumbles over an empty one."""
    client.force_login(superuser())
    address = reverse(f"admin:{name}_{page}", args=[1])

    plain, odd = client.get(address), client.get(address, {"_to_field": ""})
    posted = client.post(address, {"_to_field": ""})

    assert odd.status_code == plain.status_code
    assert odd.headers.get("Location") == plain.headers.get("Location")
    assert posted.status_code == client.post(address).status_code


def test_a_row_that_is_there_is_shown_as_ever(client):
    client.force_login(superuser())
    address = reverse("admin:accounts_unit_change", args=[UnitFactory(name="Vara Única de Bonito").pk])

    shown = client.get(address, {"_to_field": ""})

    assert "Vara Única de Bonito" in shown.content.decode()
    assert Page(shown).text == Page(client.get(address)).text


KEYS_MADE_BY_HAND = ["abc", "", "-1", str(10**30), "1 OR 1", "²", "\0"]


@pytest.mark.parametrize("key", KEYS_MADE_BY_HAND)
def test_a_line_of_a_list_that_is_no_key_is_refused(client, key):
    client.force_login(manager())
    chosen = {"action": "delete_selected", "_selected_action": [key], "index": 0}

    assert client.post(reverse("admin:requests_app_holiday_changelist"), chosen).status_code == 400


@pytest.mark.parametrize("key", [*KEYS_MADE_BY_HAND, str(10**18 - 1)])
def test_a_unit_that_is_no_key_is_refused_beside_its_field(client, key):
    bond = EmploymentFactory()
    client.force_login(superuser())
    address = reverse("admin:accounts_user_change", args=[bond.user.pk])
    inline = {"employments-TOTAL_FORMS": 1, "employments-INITIAL_FORMS": 1, "employments-0-id": bond.pk}

    response = client.post(address, {"name": bond.user.name, **inline, "employments-0-unit": key})

    assert response.status_code == 200
    assert "unit" in response.context["inline_admin_formsets"][0].formset.errors[0]
    bond.refresh_from_db()
    assert bond.unit_id
