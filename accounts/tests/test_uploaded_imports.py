"""The personnel file through the browser: sent, looked at, applied; by a worker, once, and all of it or nothing."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts import directory, housekeeping, outbox, tasks, uploaded_imports
from accounts.models import DirectoryImport, Employment, SecurityEvent, User
from accounts.tests.factories import DirectoryImportFactory, cpf_of
from accounts.tests.test_directory import hr_file, import_people, person
from requests_app import uploads
from requests_app.tests.factories import analyst, manager
from requests_app.tests.pages import Page
from requests_app.tests.test_concurrency import at_once

Kind, Status = SecurityEvent.Kind, DirectoryImport.Status

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/directoryimport/"
ADD = f"{LIST}add/"


@pytest.fixture
def gestao(client):
    user = manager()
    client.force_login(user)
    return user


def send(client, content, name="servidores.csv"):
    content = content if isinstance(content, bytes) else content.encode()
    return client.post(ADD, {"file": SimpleUploadedFile(name, content, "text/csv")}, follow=True)


def sent(client, *people):
    """The file of these people, sent and planned."""
    assert send(client, hr_file(*people)).status_code == 200
    uploaded_imports.work()
    return DirectoryImport.objects.latest("pk")


def press(client, one, button, **more):
    return Page(client.post(f"{LIST}{one.pk}/{button}/", {"seen": one.fingerprint, **more}, follow=True))


def page_of(client, one):
    return Page(client.get(f"{LIST}{one.pk}/change/"))


def now_of(one):
    one.refresh_from_db()
    return one


def on_disk():
    return sorted(path.suffix for path in uploaded_imports.folder().iterdir())


# --- From the file to the directory ----------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_file_is_sent_looked_at_and_applied(client, gestao):
    one = sent(client, person(1), person(2), person(3, CPF="1"))

    assert one.status == Status.PLANNED
    page = page_of(client, one)
    assert "Pessoas novas: 2; alteradas: 0; sem mudança: 0." in page.text
    assert "Linha 4, matrícula 000003" in page.text
    assert not User.objects.exclude(pk=gestao.pk).exists()

    press(client, one, "aplicar")
    assert now_of(one).status == Status.APPLYING
    uploaded_imports.work()

    assert now_of(one).status == Status.APPLIED
    assert (one.decided_by, one.failure) == (gestao, "")
    assert Employment.objects.count() == 2
    assert "O que mudou" in page_of(client, one).text
    assert on_disk() == [".csv"]  # the report
    kinds = [Kind.DIRECTORY_UPLOADED, Kind.DIRECTORY_APPLIED]
    events = SecurityEvent.objects.filter(kind__in=kinds).order_by("pk")
    assert [(event.kind, event.actor) for event in events] == [(kind, gestao) for kind in kinds]


@pytest.mark.django_db(transaction=True)
def test_a_worker_process_plans_and_applies_it(client, gestao, worker_process):
    def wait_for(one, status):
        deadline = time.monotonic() + 60
        while now_of(one).status != status:
            assert time.monotonic() < deadline, (one.status, one.failure)
            time.sleep(0.05)

    send(client, hr_file(person(1), person(2)))
    one = DirectoryImport.objects.get()
    wait_for(one, Status.PLANNED)
    press(client, one, "aplicar")
    wait_for(one, Status.APPLIED)

    assert Employment.objects.count() == 2


def test_the_report_lists_the_lines_and_its_download_is_recorded(client, gestao):
    one = sent(client, person(1), person(2, CPF="1"))

    response = client.get(f"{LIST}{one.pk}/relatorio/")

    text = b"".join(response.streaming_content).decode("utf-8-sig")
    assert text.startswith("LINHA;MATRÍCULA;CPF;SITUAÇÃO;MOTIVO\r\n3;'000002;")
    assert "attachment" in response["Content-Disposition"]
    assert SecurityEvent.objects.get(kind=Kind.EXPORTED).actor == gestao


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_discarded_is_gone_and_nothing_has_changed(client, gestao):
    one = sent(client, person(1))

    page = press(client, one, "descartar")

    assert "O arquivo foi descartado. Nada mudou no cadastro." in page.text
    assert now_of(one).status == Status.DISCARDED
    assert on_disk() == [".csv"]
    assert not Employment.objects.exists()
    assert SecurityEvent.objects.get(kind=Kind.DIRECTORY_DROPPED).actor == gestao
    page = press(client, one, "aplicar")
    assert uploaded_imports.SETTLED in page.text


# --- What has to be confirmed ----------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_new_cpf_is_taken_once_somebody_has_confirmed_it(client, gestao):
    import_people(person(1), person(2))
    one = sent(client, person(1, CPF=cpf_of(77)), person(2))
    assert one.plan["awaiting"] == ["000001"]

    assert uploaded_imports.NONE_CHOSEN in press(client, one, "refazer", accepted="999999").text
    press(client, one, "refazer", accepted="000001")
    uploaded_imports.work()

    assert "CPFs trocados, com confirmação: 1." in page_of(client, now_of(one)).text
    press(client, one, "aplicar")
    uploaded_imports.work()
    assert Employment.objects.get(matricula="000001").user.cpf == cpf_of(77)


@pytest.mark.django_db(transaction=True)
def test_many_departures_are_applied_only_if_somebody_says_that_they_are_meant(client, gestao):
    import_people(*[person(number) for number in range(10)])
    one = sent(client, person(1))

    page = press(client, one, "aplicar")
    assert uploaded_imports.NOT_CONFIRMED in page.text
    assert "O arquivo encerraria 9 de 10 vínculos." in page.text
    assert now_of(one).status == Status.PLANNED

    press(client, one, "aplicar", departures="1")
    uploaded_imports.work()
    assert now_of(one).status == Status.APPLIED
    assert Employment.objects.filter(ended_on=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_applied_is_what_was_seen(client, gestao):
    one = sent(client, person(1), person(2))
    press(client, one, "aplicar")
    import_people(person(1))

    uploaded_imports.work()

    assert now_of(one).status == Status.PLANNED
    page = page_of(client, one)
    assert uploaded_imports.PLAN_CHANGED in page.text
    assert "Pessoas novas: 1; alteradas: 0; sem mudança: 1." in page.text
    press(client, one, "aplicar")
    uploaded_imports.work()
    assert Employment.objects.count() == 2


def test_who_saw_an_earlier_plan_applies_nothing(client, gestao):
    one = sent(client, person(1))
    one.fingerprint = "f" * 64

    response = client.post(f"{LIST}{one.pk}/aplicar/", {"seen": one.fingerprint})

    assert response.status_code == 409
    assert uploaded_imports.SETTLED in Page(response).text
    assert now_of(one).status == Status.PLANNED


# --- Bad input -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "O arquivo está vazio."),
        (None, "Escolha o arquivo de pessoal."),
    ],
)
def test_no_file_and_an_empty_one_are_refused_beside_the_field(client, gestao, content, sentence):
    posted = {} if content is None else {"file": SimpleUploadedFile("a.csv", content)}

    page = Page(client.post(ADD, posted))

    assert sentence in page.text
    assert page.one(id="id_file_error")
    assert not DirectoryImport.objects.exists()


def test_a_file_that_is_too_large_is_not_kept(client, gestao, monkeypatch):
    small = uploads.TAKES["accounts_directoryimport_add"].__class__("file", uploaded_imports.PERMISSION, largest=10)
    monkeypatch.setitem(uploads.TAKES, "accounts_directoryimport_add", small)

    page = Page(send(client, b"x" * 11))

    assert "O arquivo “servidores.csv” tem mais de" in page.text
    assert not DirectoryImport.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "content", [b"\x00\x01\x02", b"MATRICULA;NOME\n1;A\n", b"\xff\xfe\x00", hr_file().encode(), b"x" * 3_000_000]
)
def test_a_file_that_is_none_of_personnel_is_said_to_be_unusable_and_erased(client, gestao, content):
    send(client, content)
    uploaded_imports.work()

    one = DirectoryImport.objects.get()
    assert one.status == Status.FAILED
    assert one.failure.endswith(".")
    assert one.failure in page_of(client, one).text
    assert on_disk() == []
    assert client.get(f"{LIST}{one.pk}/relatorio/").status_code == 404


def test_a_file_of_which_no_line_can_be_used_is_not_applied(client, gestao):
    one = sent(client, person(1, CPF="1"))

    assert "Nenhuma linha do arquivo pôde ser usada." in page_of(client, one).text
    assert uploaded_imports.NOTHING_USABLE in press(client, one, "aplicar").text
    assert now_of(one).status == Status.PLANNED


def test_nothing_of_a_file_from_who_may_not_send_one_is_kept(client, make_client):
    for user in (None, analyst(), User.objects.create_user(cpf=cpf_of(5), name="PESSOA")):
        own = make_client()
        if user:
            own.force_login(user)
        own.post(ADD, {"file": SimpleUploadedFile("a.csv", hr_file(person(1)).encode())})
    assert not DirectoryImport.objects.exists()
    assert not uploaded_imports.folder().exists() or on_disk() == []


# --- Workers that die, stop, or are several --------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_several_workers_apply_it_once(client, gestao):
    one = sent(client, person(1), person(2))
    press(client, one, "aplicar")

    at_once(*[uploaded_imports.work] * 4)

    assert now_of(one).status == Status.APPLIED
    assert SecurityEvent.objects.filter(kind=Kind.DIRECTORY_APPLIED).count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_that_a_dead_worker_had_in_hand_is_taken_up_after_a_while(client, gestao, monkeypatch):
    one = sent(client, person(1))
    press(client, one, "aplicar")
    rung = []
    monkeypatch.setattr(outbox, "ring", rung.append)

    DirectoryImport.objects.update(claimed_at=timezone.now(), attempts=1)
    uploaded_imports.work()
    uploaded_imports.ring_if_due()
    assert (now_of(one).status, rung) == (Status.APPLYING, [])

    DirectoryImport.objects.update(claimed_at=timezone.now() - uploaded_imports.LEASE)
    uploaded_imports.ring_if_due()
    assert rung == [uploaded_imports.TASK]
    tasks.work_on_imports()
    assert now_of(one).status == Status.APPLIED


@pytest.mark.django_db(transaction=True)
def test_one_that_shows_progress_is_left_to_its_worker(client, gestao):
    one = sent(client, person(1))
    press(client, one, "aplicar")
    DirectoryImport.objects.update(claimed_at=timezone.now() - 2 * uploaded_imports.LEASE)
    told = uploaded_imports.folder() / f"{one.key}.andamento"
    told.write_text("Gravando: 5 de 10 pessoas.")

    uploaded_imports.work()

    assert now_of(one).status == Status.APPLYING
    assert client.get(f"{LIST}{one.pk}/andamento/").json() == {
        "running": True,
        "status": "APPLYING",
        "told": "Gravando: 5 de 10 pessoas.",
    }
    long_ago = (timezone.now() - uploaded_imports.LEASE).timestamp()
    os.utime(told, (long_ago, long_ago))
    uploaded_imports.work()
    assert now_of(one).status == Status.APPLIED


@pytest.mark.django_db(transaction=True)
def test_one_that_fails_again_and_again_is_given_up_and_nothing_of_it_is_written(client, gestao, monkeypatch):
    one = sent(client, person(1))
    press(client, one, "aplicar")
    monkeypatch.setattr("accounts.directory.effects.tell", lambda *_: 1 / 0)

    for _attempt in range(uploaded_imports.MOST_ATTEMPTS):
        uploaded_imports.work()
        assert now_of(one).status == Status.APPLYING
        assert not Employment.objects.exists()
    uploaded_imports.work()

    assert (now_of(one).status, one.failure) == (Status.FAILED, uploaded_imports.BROKE_OFF)
    assert uploaded_imports.BROKE_OFF in page_of(client, one).text


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_told_to_stop_leaves_it_to_the_next(client, gestao, monkeypatch):
    one = sent(client, person(1))
    press(client, one, "aplicar")
    apply = directory.apply

    def stopped(plan, **options):
        outbox.stopping.set()
        return apply(plan, **options)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(directory, "apply", stopped)
            uploaded_imports.work()
    finally:
        outbox.stopping.clear()

    assert (now_of(one).status, one.claimed_at, one.attempts) == (Status.APPLYING, None, 0)
    assert not Employment.objects.exists()
    uploaded_imports.work()
    assert now_of(one).status == Status.APPLIED


@pytest.mark.django_db(transaction=True)
def test_while_another_import_is_applied_the_plan_waits(client, gestao, monkeypatch):
    one = sent(client, person(1))
    press(client, one, "aplicar")

    def busy(*_arguments, **_options):
        raise directory.DirectoryBusyError("Outra importação está em andamento.")

    monkeypatch.setattr(directory, "apply", busy)
    uploaded_imports.work()

    assert now_of(one).status == Status.PLANNED
    assert "Outra importação está em andamento. Nada foi aplicado." in page_of(client, one).text


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_gone_from_the_disk_is_said_to_be(client, gestao):
    one = sent(client, person(1))
    uploaded_imports.place_of(one).unlink()
    press(client, one, "aplicar")
    uploaded_imports.work()

    assert (now_of(one).status, one.failure) == (Status.FAILED, uploaded_imports.GONE)


# --- What time brings ------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_file_that_nobody_decides_about_is_discarded_after_a_day(client, gestao):
    old = DirectoryImportFactory(uploaded_at=timezone.now() - timedelta(days=1, minutes=1))
    young = DirectoryImportFactory(uploaded_at=timezone.now() - timedelta(hours=23))

    housekeeping.run()

    assert (now_of(old).status, now_of(young).status) == (Status.DISCARDED, Status.PLANNED)
    assert not uploaded_imports.place_of(old).exists()
    assert uploaded_imports.place_of(young).exists()
    assert uploaded_imports.LEFT_ALONE in page_of(client, old).text


def test_reports_stay_thirty_days_and_files_of_open_imports_as_long_as_those(db):
    is_open = DirectoryImportFactory()
    is_over = DirectoryImportFactory(status=Status.DISCARDED, ended_at=timezone.now())
    for days, left in ((29, {is_open, is_over}), (31, {is_open})):
        then = (timezone.now() - timedelta(days=days)).timestamp()
        for path in uploaded_imports.folder().iterdir():
            os.utime(path, (then, then))
        uploaded_imports.forget_files(dry_run=False)
        reports = {one for one in (is_open, is_over) if uploaded_imports.report_of(one).exists()}
        assert reports == left
    assert uploaded_imports.place_of(is_open).exists()


def test_neither_the_row_nor_the_page_holds_a_whole_cpf_or_address(client, gestao):
    import_people(person(1), person(2))
    people = hr_file(person(1, CPF=cpf_of(78)), person(2, **{"E-MAIL": "outra.pessoa@tjms.jus.br"}))
    send(client, people, name=f"{cpf_of(78)} outra.pessoa@tjms.jus.br.csv")
    uploaded_imports.work()
    one = DirectoryImport.objects.get()

    shown = page_of(client, one).text + str(one.plan) + SecurityEvent.objects.get(kind=Kind.DIRECTORY_UPLOADED).detail

    for secret in (person(1)["CPF"], cpf_of(78), person(2)["E-MAIL"], "outra.pessoa@tjms.jus.br"):
        assert secret not in shown
    assert Path(uploaded_imports.place_of(one)).stat().st_mode & 0o077 == 0
