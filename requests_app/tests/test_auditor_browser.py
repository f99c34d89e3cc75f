"""An auditor at work, in a browser: from a person to their accesses, who gave them, and the file of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from playwright.sync_api import expect

from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app import workflow
from requests_app.models import Status

from .factories import UserTypeFactory, analyst, grant_of, unsaved_request
from .test_queue_browser import faults_of, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_auditor_goes_from_a_person_to_their_accesses_and_takes_the_file_along(page, portal_server):
    auditor = UserFactory(is_staff=True)
    auditor.groups.add(Group.objects.get(name="Auditoria"))
    bond = EmploymentFactory(user__name="MARIA DAS DORES DE SOUZA", matricula="71001")
    user_type = UserTypeFactory(name="Servidor - Alterar Unidade/Regime Prisional", system__name="BNMP 2.0")
    filed = workflow.file(unsaved_request(bond=bond, user_type=user_type))
    workflow.move(filed.pk, Status.APPROVED, by=analyst(name="ANA LISTA"))
    grant_of(bond)
    grant_of(EmploymentFactory(user__name="OUTRA PESSOA"))
    sign_in(page, auditor)

    page.goto(f"/admin/accounts/user/{bond.user_id}/change/")
    page.get_by_role("link", name="Acessos desta pessoa").click()
    expect(page.get_by_label("Pessoa", exact=True)).to_have_value(str(bond.user_id))
    expect(page.get_by_role("rowheader", name="Maria das Dores de Souza")).to_have_count(2)
    expect(page.get_by_role("cell", name="Ana Lista")).to_have_count(1)
    expect(page.get_by_role("cell", name="antes do portal", exact=True)).to_have_count(1)
    assert faults_of(page) == []

    with page.expect_download() as download:
        page.get_by_role("button", name="Exportar esta lista (CSV)").click()
    content = Path(download.value.path()).read_text("utf-8-sig")
    assert content.count("Maria das Dores de Souza") == 2
    assert "Outra Pessoa" not in content

    page.get_by_role("link", name="Maria das Dores de Souza").last.click()
    expect(page.get_by_role("cell", name="Concedido")).to_be_visible()
    page.get_by_role("link", name=filed.protocol).click()
    page.get_by_role("link", name="Ver o acesso e o andamento dele").click()
    expect(page.get_by_role("cell", name="Concedido")).to_be_visible()
    assert faults_of(page) == []
