"""Many at once, and the export, in a real browser and through real processes."""

from __future__ import annotations

import csv
import os
import signal
import time
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import OutgoingMail, SecurityEvent
from accounts.tests.factories import PASSWORD, EmploymentFactory
from bnmp_portal.tests import services
from conftest import start_portal_process
from requests_app import workflow
from requests_app.models import AccessRequest, BatchOutcome, RequestEvent, Status

from .factories import UserTypeFactory, analyst, request_in, unsaved_request

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/requests_app/accessrequest/"
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def enter(page, person, wanted):
    page.goto(f"/entrar/?next={wanted}")
    page.get_by_label("Usuário").fill(person.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.wait_for_url(f"**{wanted}")


def faults_of(page):
    """What axe finds against WCAG 2.2 AA, and what reaches past 360 pixels."""
    found = [fault["id"] for fault in Axe().run(page, options=WCAG).response["violations"]]
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 800})
    if page.evaluate("document.documentElement.scrollWidth") > 360:
        found.append("wider than the window")
    page.set_viewport_size(size)
    return found


@pytest.fixture
def refused_by_policy(page):
    """What the browser did not load or run because our own policy forbids it."""
    found = []
    page.on("console", lambda message: found.append(message.text) if "Content Security" in message.text else None)
    return found


def test_fifty_are_approved_at_once_and_three_are_refused_each_with_its_sentence(
    portal_server, worker_process, smtp_sink, page, refused_by_policy
):
    decider = analyst(name="ANA LISTA")
    user_type = UserTypeFactory(name="Consulta", system__name="SIEL", system__credential="OWN")
    fine = [workflow.file(unsaved_request(user_type=user_type)) for _ in range(47)]
    own = workflow.file(unsaved_request(user_type=user_type, requester=EmploymentFactory(user=decider).user))
    decided, left = (workflow.file(unsaved_request(user_type=user_type)) for _ in range(2))
    faults = {}

    enter(page, decider, LIST)
    page.locator("#action-toggle").check()
    page.get_by_label("Com as escolhidas:").select_option(label="Aprovar")
    page.get_by_role("button", name="Continuar").click()
    expect(page.get_by_role("heading", name="Aprovar 50 solicitações")).to_be_visible()
    expect(page.get_by_text("Uma destas solicitações é sua")).to_be_visible()
    faults["confirm"] = faults_of(page)
    workflow.move(decided.pk, Status.REJECTED, by=analyst(), note="Falta a designação.")
    left.employment.ended_on = timezone.localdate() - timedelta(days=1)
    left.employment.save()
    page.get_by_role("button", name="Aprovar 49 solicitações").click()
    page.wait_for_url("**/lote/*/")
    faults["batch"] = faults_of(page)

    assert page.locator(".desk-totals li").all_inner_texts() == [
        "Recusadas: 3",
        "Ainda não tratadas: 0",
        "Aprovadas: 47",
    ]
    refusals = page.get_by_role("region", name="Recusadas: 3").locator("tbody tr").all_inner_texts()
    for request, sentence in (
        (own, "Ninguém decide um pedido que fez ou que é para si."),
        (decided, "mudou depois que você abriu esta página"),
        (left, "Esta pessoa não tem mais este vínculo com o Tribunal."),
    ):
        [row] = [row for row in refusals if request.protocol in row]
        assert sentence in row
    assert set(AccessRequest.objects.filter(pk__in=[one.pk for one in fine]).values_list("status", flat=True)) == {
        Status.APPROVED
    }
    page.reload()
    assert RequestEvent.objects.filter(to_status=Status.APPROVED).count() == 47
    assert OutgoingMail.objects.filter(kind="request_approved").count() == 47
    page.get_by_role("link", name=left.protocol).click()
    page.wait_for_url(f"**{LIST}{left.pk}/change/**")
    smtp_sink.wait(50 + 1 + 47, seconds=120)  # received, rejected, approved
    for request in fine:
        [mail] = [
            one for one in smtp_sink.wait(2, to=request.requester_email) if "aprovado" in str(one.message["Subject"])
        ]
        assert request.protocol in str(mail.message["Subject"])
    assert {name: found for name, found in faults.items() if found} == {}
    assert refused_by_policy == []


@pytest.mark.browser_context_args(java_script_enabled=False)
def test_without_javascript_the_whole_list_is_rejected_with_one_reason(portal_server, page):
    decider = analyst()
    requests = [request_in(Status.PENDING, user_type=UserTypeFactory()) for _ in range(52)]

    enter(page, decider, LIST)
    page.locator("input.action-select").first.check()
    page.get_by_label("Todas desta lista").check()
    page.get_by_label("Com as escolhidas:").select_option(label="Indeferir")
    page.get_by_role("button", name="Continuar").click()
    page.get_by_role("button", name="Indeferir 52 solicitações").click()
    expect(page.get_by_text("Escreva o motivo: quem pediu precisa saber o que houve.")).to_be_visible()
    page.get_by_role("textbox", name="Motivo").fill("O sistema foi desligado.")
    page.get_by_role("button", name="Indeferir 52 solicitações").click()

    expect(page.locator(".desk-totals li").last).to_have_text("Indeferidas: 52")
    assert {request.events.get().note for request in requests} == {"O sistema foi desligado."}


def serve(log):
    bind = f"127.0.0.1:{urlsplit(settings.PORTAL_URL).port}"
    server = start_portal_process(log, "gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", bind)
    services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
    return server


def kill(server):
    """Master and worker at once. Neither lives when this returns: nobody holds the port any more."""
    os.killpg(server.process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while services.listens(urlsplit(settings.PORTAL_URL).port):
        assert time.monotonic() < deadline


@contextmanager
def held_back(request):
    """Whoever moves this request comes to no end with it: SQLite, which locks no rows, counts for ever instead."""
    if connection.vendor != "sqlite":
        with transaction.atomic():
            AccessRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
            yield
        return
    for_ever = "SELECT COUNT(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n)"
    of_this = f"requests_app_accessrequest WHEN OLD.id = {request.pk}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER held_back BEFORE UPDATE ON {of_this} BEGIN {for_ever}; END")
        try:
            yield
        finally:
            cursor.execute("DROP TRIGGER held_back")


def test_a_server_that_is_killed_in_the_middle_leaves_a_batch_that_goes_on(transactional_db, page, tmp_path):
    decider = analyst()
    user_type = UserTypeFactory(system__credential="OWN")
    requests = [workflow.file(unsaved_request(user_type=user_type)) for _ in range(50)]
    done, third = [request.pk for request in requests[:2]], requests[2]
    server = serve(tmp_path / "first.log")
    with held_back(third):
        try:
            enter(page, decider, LIST)
            page.locator("#action-toggle").check()
            page.get_by_label("Com as escolhidas:").select_option(label="Aprovar")
            page.get_by_role("button", name="Continuar").click()
            page.get_by_role("button", name="Aprovar 50 solicitações").click(no_wait_after=True)
            # The second is done, and so the server is at the third, where it stays.
            settled = BatchOutcome.objects.filter(refusal="")
            services.wait_for(lambda: settled.count() >= len(done), server.process, server.log)
            assert server.process.poll() is None
            kill(server)
        finally:
            server.stop()
    assert list(settled.order_by("request").values_list("request", flat=True)) == done
    approved = AccessRequest.objects.filter(status=Status.APPROVED)
    assert list(approved.order_by("pk").values_list("pk", flat=True)) == done
    events = RequestEvent.objects.filter(to_status=Status.APPROVED)
    assert list(events.order_by("request").values_list("request", flat=True)) == done

    server = serve(tmp_path / "second.log")
    try:
        page.goto(f"{LIST}lote/{BatchOutcome.objects.first().batch_id}/")
        expect(page.get_by_text("Ainda não tratadas: 48").first).to_be_visible()
        page.get_by_role("button", name="Continuar com as que faltam").click()
        expect(page.locator(".desk-totals li").last).to_have_text("Aprovadas: 50")
    finally:
        server.stop()
    assert events.count() == approved.count() == 50


def test_the_list_is_downloaded_and_opened_by_a_reader_of_csv(portal_server, page, tmp_path, refused_by_policy):
    user_type = UserTypeFactory(name="=Consulta", system__name="SIEL")
    wanted = [request_in(Status.PENDING, user_type=user_type) for _ in range(3)]
    request_in(Status.PENDING)
    exporter = analyst()
    exporter.user_permissions.add(Permission.objects.get(content_type__app_label="requests_app", codename="export"))

    enter(page, exporter, f"{LIST}?sistema={user_type.system_id}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Exportar esta lista (CSV)").click()
    target = tmp_path / "list.csv"
    download.value.save_as(target)

    assert download.value.suggested_filename == f"solicitacoes-{timezone.localdate():%Y-%m-%d}.csv"
    with target.open(encoding="utf-8-sig", newline="") as file:
        header, *rows, last = csv.reader(file, delimiter=";")
    assert [row[0] for row in rows] == [request.protocol for request in wanted]
    assert {row[header.index("Tipo de usuário")] for row in rows} == {"'=Consulta"}
    assert last[:2] == ["Fim do arquivo", "3 solicitações"]
    [event] = SecurityEvent.objects.filter(kind="EXPORTED")
    assert (event.actor, event.detail.startswith("Solicitações: 3.")) == (exporter, True)
    assert refused_by_policy == []
