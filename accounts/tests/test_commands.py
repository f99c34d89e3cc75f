"""The commands of the administrator: the first one of them, and mail without a broker."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from django.conf import settings as project
from django.contrib.auth.hashers import make_password
from django.core.management import CommandError, call_command

from accounts.cpf import formatted
from accounts.models import MailStatus, OutgoingMail, SecurityEvent, User
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, UserFactory, cpf_of
from bnmp_portal.tests import services
from conftest import process_environment, start_portal_process

CPF = cpf_of(9_000_000)
NEW = "três araras voando baixo"


def run(*arguments):
    """What the command says."""
    told = io.StringIO()
    call_command(*arguments, stdout=told)
    return told.getvalue()


# --- create_administrator -------------------------------------------------------------------------------------------
def test_on_an_empty_portal_the_first_administrator_is_made_and_comes_in_by_the_link_alone(client, db):
    told = run("create_administrator", formatted(CPF), "--name", "MARIA DA SILVA", "--email", "maria@tjms.jus.br")

    user = User.objects.get()
    assert (user.cpf, user.name, user.email) == (CPF, "MARIA DA SILVA", "maria@tjms.jus.br")
    assert user.is_active
    assert user.is_staff
    assert user.is_superuser
    assert not user.has_usable_password()
    assert "Maria da Silva" in told
    link = re.search(rf"{re.escape(project.PORTAL_URL)}(/redefinir-senha/\S+)", told)[1]
    client.get(link)
    client.post("/redefinir-senha/nova/", {"new_password1": NEW, "new_password2": NEW})
    assert client.post("/entrar/", {"username": CPF, "password": NEW, "next": "/admin/"})["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_asvs_6_3_2_there_is_no_account_before_somebody_makes_one(db):
    assert not User.objects.exists()


def test_somebody_in_the_directory_keeps_what_they_have(db):
    person = UserFactory(is_active=False)

    run("create_administrator", person.cpf, "--name", "OUTRO NOME", "--email", "outro@tjms.jus.br")

    after = User.objects.get()
    assert (after.is_active, after.is_staff, after.is_superuser) == (True, True, True)
    assert (after.name, after.email) == (person.name, person.email)
    assert after.check_password(PASSWORD)


def test_what_the_command_did_is_recorded_and_tells_no_whole_cpf(db, caplog):
    caplog.set_level("INFO")
    person = UserFactory()

    told = run("create_administrator", person.cpf)

    event = SecurityEvent.objects.get()
    assert (event.kind, event.user, event.actor) == (SecurityEvent.Kind.ADMINISTRATOR_MADE, person, None)
    assert person.masked_cpf in told
    assert person.cpf not in told + caplog.text
    assert formatted(person.cpf) not in told
    token = urlsplit(told.split()[-1]).path.split("/")[-2]
    assert token not in caplog.text


def test_the_command_can_be_run_again(db):
    person = UserFactory(password=make_password(None))

    first, second = (run("create_administrator", person.cpf) for _ in range(2))

    assert "/redefinir-senha/" in first
    assert "/redefinir-senha/" in second
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["111.111.111-11"], "CPF inválido."),
        (["²²²²²²²²²²²"], "CPF inválido."),
        ([CPF[:10]], "CPF inválido."),
        ([CPF], "informe também --name e --email"),
        ([CPF, "--name", "MARIA"], "informe também --name e --email"),
        ([CPF, "--name", "  ", "--email", "maria@tjms.jus.br"], "informe também --name e --email"),
        ([CPF, "--name", "MARIA", "--email", "maria"], "endereço de email válido"),
        ([CPF, "--name", "MARIA", "--email", "maria@tjms.jus.br\nBcc: x@evil.example"], "endereço de email válido"),
        ([CPF, "--name", "M" * 151, "--email", "maria@tjms.jus.br"], "no máximo 150 caracteres"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_and_makes_nobody(db, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        run("create_administrator", *arguments)

    assert not User.objects.exists()
    assert not SecurityEvent.objects.exists()


# --- send_pending_mail ----------------------------------------------------------------------------------------------
@pytest.fixture
def asked(transactional_db, make_client):
    """Somebody who asked for a link, while the broker's bell went unheard."""
    person = UserFactory()
    make_client().post("/esqueci-a-senha/", {"cpf": person.cpf, "captcha": solve()})
    return person


def without_broker():
    return {"CELERY_BROKER_URL": f"redis://127.0.0.1:{services.free_port()}/0"}


def test_mail_goes_out_without_broker_and_worker(asked, smtp_sink):
    done = subprocess.run(
        [sys.executable, "manage.py", "send_pending_mail"],
        cwd=services.ROOT,
        env=process_environment() | without_broker(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "1 mensagem(ns) enviada(s).\n"), done.stderr
    (delivery,) = smtp_sink.wait(1)
    assert delivery.recipients == [asked.email]
    assert OutgoingMail.objects.get().status == MailStatus.SENT
    assert asked.email not in done.stderr
    assert "redefinir-senha" not in done.stderr


def test_the_command_can_stay_and_ends_when_it_is_told_to(transactional_db, smtp_sink, tmp_path, make_client):
    process = start_portal_process(tmp_path / "sweep.log", "manage", "send_pending_mail", "--loop", **without_broker())
    try:
        for person in (UserFactory(), UserFactory()):  # the second one after it has slept
            make_client().post("/esqueci-a-senha/", {"cpf": person.cpf, "captcha": solve()})
            assert smtp_sink.wait(1, to=person.email)
    finally:
        process.stop()

    assert process.process.returncode == 0
    assert "Traceback" not in process.output


def test_where_nothing_is_due_nothing_is_sent(db, smtp_sink):
    assert run("send_pending_mail") == "0 mensagem(ns) enviada(s).\n"
    assert smtp_sink.deliveries == []


def test_a_mail_server_that_is_away_is_no_error_of_the_command(asked, smtp_sink, settings):
    settings.EMAIL_PORT = services.free_port()

    assert run("send_pending_mail") == "0 mensagem(ns) enviada(s).\n"

    mail = OutgoingMail.objects.get()
    assert (mail.status, mail.attempts) == (MailStatus.PENDING, 0)
