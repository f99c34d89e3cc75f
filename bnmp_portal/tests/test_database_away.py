"""The database is away: a polite page, nothing half done, nothing typed lost, and everything goes on by itself."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest
from django import forms
from django.conf import settings
from django.db import OperationalError, connection
from django.urls import get_resolver

from accounts.factor_forms import CodeField
from accounts.forms import PasswordField
from accounts.models import OutgoingMail
from accounts.tests.factories import UserFactory
from bnmp_portal import errors
from bnmp_portal.tests import services
from conftest import PortalProcess, process_environment, start_portal_process

CSRF = "a" * 32
SESSION = "session=" + "b" * 32
OURS = ("accounts", "requests_app", "bnmp_portal")


def ask(url: str, method: str, path: str, form: dict[str, str] | None = None, cookies: str = ""):
    """One request over a connection of its own: (status, headers, page)."""
    web = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    body = urlencode({"csrfmiddlewaretoken": CSRF, **form}) if form is not None else None
    headers = {"Cookie": f"csrf={CSRF}; {cookies}", "Content-Type": "application/x-www-form-urlencoded"}
    try:
        web.request(method, path, body, headers)
        answer = web.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        web.close()


@pytest.fixture(scope="module")
def server_without_database(tmp_path_factory) -> Iterator[PortalProcess]:
    """The real web server, whose database is not there: nobody listens, or the folder is missing."""
    folder = tmp_path_factory.mktemp("away")
    port = urlsplit(settings.PORTAL_URL).port
    away = f"postgres://portal@127.0.0.1:{services.free_port()}/portal"
    if connection.vendor == "sqlite":
        away = f"sqlite:///{folder}/missing/portal.sqlite3"
    arguments = ("-c", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}")
    server = start_portal_process(folder / "web.log", "gunicorn", *arguments, DATABASE_URL=away)
    try:
        services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    "path", ["/", "/entrar/", "/esqueci-a-senha/", "/orientacoes/", "/redefinir-senha/MQ/abc-123/"]
)
def test_a_page_without_its_database_is_a_polite_503_that_says_when_to_come_back(server_without_database, path):
    status, headers, page = ask(server_without_database.url, "GET", path, cookies=SESSION)
    assert (status, headers["Retry-After"], headers["Cache-Control"]) == (503, "15", "no-store")
    assert "O portal não está disponível agora" in page
    assert "Aguarde um minuto" in page
    assert "(67) 3314-1465" in page
    assert headers["X-Request-ID"] in page  # what to say on the telephone
    assert "abc-123" not in page
    assert "<style" not in page
    assert "<script" not in page


def test_what_was_typed_can_be_sent_again_with_one_click(server_without_database):
    form = {"description": 'Consulta de "mandados" <urgente>', "nonce": "n1", "requester_phone": "(67) 3314-7851"}
    status, headers, page = ask(server_without_database.url, "POST", "/solicitacoes/nova/", form, SESSION)
    assert (status, headers["Retry-After"]) == (503, "15")
    assert "Nada do que você digitou foi perdido" in page
    assert 'name="description" value="Consulta de &quot;mandados&quot; &lt;urgente&gt;"' in page
    assert 'name="nonce" value="n1"' in page
    assert f'name="csrfmiddlewaretoken" value="{CSRF}"' in page
    assert '<form method="post">' in page  # to the address that it came from


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/entrar/", {"username": "52998224725", "password": "mandacaru-florido-22"}),
        ("/redefinir-senha/nova/", {"new_password1": "uma frase longa e minha", "new_password2": "outra"}),
        ("/esqueci-a-senha/", {"cpf": "52998224725", "captcha": "resolvido"}),
        ("/entrar/codigo/", {"code": "ACDE-F34K-7TRW"}),
        ("/conta/segundo-fator/celular/", {"code": "123456"}),
    ],
)
def test_a_password_or_a_code_is_never_written_into_the_page(server_without_database, path, form):
    status, _headers, page = ask(server_without_database.url, "POST", path, form, SESSION)
    assert status == 503
    assert "Volte à página anterior" in page
    for value in form.values():
        assert value not in page


def forms_below(base: type[forms.BaseForm]) -> Iterator[type[forms.BaseForm]]:
    for form in base.__subclasses__():
        yield form
        yield from forms_below(form)


def test_the_name_of_every_secret_field_is_known_here():
    get_resolver().url_patterns  # noqa: B018 - loads every form
    secret = (PasswordField, CodeField)
    ours = [form for form in forms_below(forms.BaseForm) if form.__module__.split(".")[0] in OURS]
    names = {
        name
        for form in ours
        for name, field in form.base_fields.items()
        if isinstance(field, secret) or isinstance(field.widget, forms.PasswordInput)
    }

    assert {"password", "code", "new_password1"} <= names
    assert names <= errors.SECRET_FIELDS


def test_the_process_lives_and_says_that_it_cannot_serve(server_without_database):
    assert ask(server_without_database.url, "GET", "/health/live")[0] == 200
    assert ask(server_without_database.url, "GET", "/health/ready")[0] == 503


def test_a_fault_of_our_own_is_a_500_with_a_code_and_no_promise(client, monkeypatch):
    from requests_app import views

    def broken(*_arguments, **_named):
        raise ZeroDivisionError

    monkeypatch.setattr(views, "render", broken)
    client.raise_request_exception = False
    response = client.get("/orientacoes/")
    assert response.status_code == 500
    page = response.content.decode()
    assert response["X-Request-ID"] in page
    assert "O erro foi registrado" in page
    assert "Enviar de novo" not in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("sqlite" in connection.vendor, reason="SQLite has no server that could end a connection")
def test_web_and_worker_go_on_after_the_database_dropped_every_connection(portal_server, worker_process, smtp_sink):
    from accounts import resets

    ask(portal_server.url, "GET", "/entrar/")
    for round_ in range(1, 4):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        answers = [ask(portal_server.url, "GET", "/entrar/")[0] for _ in range(4)]
        assert set(answers) <= {200, 503}
        assert answers[-1] == 200
        person = UserFactory()
        resets.ask(person.cpf, address="127.0.0.1")
        smtp_sink.wait(1, to=person.email)
        assert OutgoingMail.objects.count() == round_
    assert worker_process.process.poll() is None


@pytest.mark.django_db
def test_other_faults_of_the_database_than_its_absence_are_not_called_so(client, monkeypatch):
    """A constraint that is broken is our mistake: "tente de novo" would be a lie."""
    from django.db import IntegrityError

    from requests_app import views

    client.raise_request_exception = False
    for fault, status in ((IntegrityError, 500), (OperationalError, 503)):

        def broken(*_arguments, fault=fault, **_named):
            raise fault

        monkeypatch.setattr(views, "render", broken)
        assert client.get("/orientacoes/").status_code == status


@pytest.mark.django_db
def test_a_decision_whose_session_could_not_be_stored_is_not_called_a_mistake_of_the_analyst(client):
    """The database goes away after the decision and before the note that thanks for it (found by ``make faults``)."""
    from requests_app.models import Status
    from requests_app.tests.factories import analyst, request_in

    request = request_in(Status.PENDING)
    client.force_login(analyst())

    def away(execute, sql, params, many, context):
        if sql.startswith('UPDATE "accounts_session"'):
            raise OperationalError
        return execute(sql, params, many, context)

    with connection.execute_wrapper(away):
        response = client.post(f"/admin/requests_app/accessrequest/{request.pk}/decidir/", {"to": "APPROVED"})

    request.refresh_from_db()
    assert (request.status, response.status_code) == (Status.COMPLETED, 503)
    assert "Se o envio já tiver sido gravado, ele não será feito duas vezes." in response.content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("sqlite" in connection.vendor, reason="SQLite has no second server to change to")
def test_a_database_that_takes_no_writes_is_as_good_as_away(client):
    client.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION default_transaction_read_only = on")
        try:
            ready = client.get("/health/ready")
            answer = client.post("/entrar/", {"username": "52998224725", "password": "mandacaru-florido-22"})
        finally:
            cursor.execute("SET SESSION default_transaction_read_only = off")
    assert (ready.status_code, ready.json()) == (503, {"status": "read-only"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "15")
    assert "mandacaru" not in answer.content.decode()


def test_a_command_without_its_database_says_so_in_one_line():
    away = {**process_environment(), "DATABASE_URL": f"postgres://portal@127.0.0.1:{services.free_port()}/portal"}
    done = subprocess.run(
        [sys.executable, "manage.py", "send_pending_mail"],
        cwd=services.ROOT,
        env=away,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    *logged, said = done.stderr.splitlines()
    assert said.startswith("O banco de dados não respondeu:")
    assert all(json.loads(line)["level"] == "ERROR" for line in logged)
