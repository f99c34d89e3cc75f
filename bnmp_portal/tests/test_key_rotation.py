"""A change of keys, with real processes started anew: what was signed, mailed or owed before holds afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.conf import settings as project
from django.contrib.auth.hashers import make_password

from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from conftest import PortalProcess, start_portal_process
from requests_app import workflow
from requests_app.models import AccessRequest, Status
from requests_app.tests.factories import UserTypeFactory, analyst, unsaved_request

from . import services
from .visitor import Visitor

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

OLD, OLD_SECRETS = os.environ["SECRET_KEY"], os.environ["SECRETS_KEY"]
NEW = "another-secret-key-of-the-tests-and-of-nothing-else-0123456789"
NEW_SECRETS = "another-secrets-key-of-the-tests-and-of-nothing-else-987654321"
CHANGED = {"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": OLD}
CHOSEN = "três araras voando baixo"

Start = Callable[..., PortalProcess]


@pytest.fixture
def web(tmp_path) -> Start:
    """The web server with these keys, as long as the block lasts; always at the same address."""

    @contextmanager
    def running(**keys: str) -> Iterator[None]:
        bind = f"127.0.0.1:{urlsplit(project.PORTAL_URL).port}"
        log = tmp_path / "web.log"
        log.write_text("")
        server = start_portal_process(log, "gunicorn", "-c", "deploy/gunicorn.conf.py", "--bind", bind, **keys)
        try:
            services.wait_for(lambda: "Booting worker" in server.output, server.process, server.log)
            yield
        finally:
            server.stop()

    return running


@pytest.fixture
def send_mail(tmp_path) -> Callable[..., None]:
    """What the worker would send, sent by a process with these keys."""

    def send(**keys: str) -> None:
        sender = start_portal_process(tmp_path / "mail.log", "manage", "send_pending_mail", **keys)
        assert sender.process.wait(60) == 0, sender.output

    return send


@pytest.fixture
def visitor() -> Visitor:
    return Visitor(project.PORTAL_URL)


def ask_for_link(cpf: str) -> None:
    forgetful = Visitor(project.PORTAL_URL)
    assert forgetful.send("/esqueci-a-senha/", cpf=cpf, captcha=solve()).status == 302


def link_in(smtp_sink, address: str) -> str:
    (delivery,) = smtp_sink.wait(1, to=address)
    return re.search(r"/redefinir-senha/\S+/", delivery.text())[0]


def signs_in(cpf: str, password: str) -> bool:
    return Visitor(project.PORTAL_URL).sign_in(cpf, password).status == 302


# --- SECRET_KEY -----------------------------------------------------------------------------------------------------
def test_sessions_and_forms_that_are_open_outlive_a_new_secret_key(web, visitor):
    bond, user_type = EmploymentFactory(), UserTypeFactory()
    with web():
        visitor.sign_in(bond.user.cpf, PASSWORD)
        page = visitor.open("/solicitacoes/nova/").page
        nonce, token = (
            re.search(f'name="{name}"[^>]* value="([^"]+)"', page)[1] for name in ("nonce", "csrfmiddlewaretoken")
        )
        captcha = solve()

    with web(**CHANGED):
        assert visitor.is_signed_in
        filed = visitor.ask(
            "/solicitacoes/nova/",
            {
                "csrfmiddlewaretoken": token,
                "nonce": nonce,
                "requester_email": bond.user.email,
                "requester_phone": bond.user.phone,
                "beneficiary": str(bond.pk),
                "system": str(user_type.system_id),
                "user_type": str(user_type.pk),
                "description": "Consulta de mandados no atendimento.",
            },
        )
        asked = Visitor(project.PORTAL_URL).send("/esqueci-a-senha/", cpf=bond.user.cpf, captcha=captcha)

    assert filed.leads_to == f"/solicitacoes/{AccessRequest.objects.get().protocol}/"
    assert asked.leads_to == "/esqueci-a-senha/enviado/"


def test_a_link_mailed_under_the_old_key_opens_under_the_new_one(web, send_mail, visitor, smtp_sink):
    person = UserFactory()
    with web():
        ask_for_link(person.cpf)
        send_mail()
    link = link_in(smtp_sink, person.email)

    with web(**CHANGED):
        assert visitor.open(link).leads_to == "/redefinir-senha/nova/"
        changed = visitor.send("/redefinir-senha/nova/", new_password1=CHOSEN, new_password2=CHOSEN)
        assert changed.leads_to == "/senha-alterada/"
        assert signs_in(person.cpf, CHOSEN)


def test_a_link_opened_before_the_change_is_spent_after_it(web, send_mail, visitor, smtp_sink):
    person = UserFactory()
    with web():
        ask_for_link(person.cpf)
        send_mail()
        visitor.open(link_in(smtp_sink, person.email))

    with web(**CHANGED):
        changed = visitor.send("/redefinir-senha/nova/", new_password1=CHOSEN, new_password2=CHOSEN)

    assert changed.leads_to == "/senha-alterada/"


def test_a_device_that_is_known_stays_known(web, visitor):
    person = UserFactory()
    with web():
        visitor.sign_in(person.cpf, PASSWORD)

    with web(**CHANGED):
        for _ in range(5):
            assert not signs_in(person.cpf, "um chute qualquer")
        assert not signs_in(person.cpf, PASSWORD)  # a stranger's guesses lock strangers out
        visitor.send("/sair/", form="/conta/")
        assert visitor.sign_in(person.cpf, PASSWORD).status == 302


def test_without_the_old_key_all_of_that_is_cut_off(web, send_mail, visitor, smtp_sink):
    """What to do when a key has leaked; and what the tests above would look like if the fallback did nothing."""
    person = UserFactory()
    with web():
        visitor.sign_in(person.cpf, PASSWORD)
        ask_for_link(person.cpf)
        send_mail()
        captcha = solve()

    with web(SECRET_KEY=NEW):
        assert not visitor.is_signed_in
        assert Visitor(project.PORTAL_URL).open(link_in(smtp_sink, person.email)).status == 410
        asked = Visitor(project.PORTAL_URL).send("/esqueci-a-senha/", cpf=person.cpf, captcha=captcha)
        assert "não foi aceita" in asked.page


def test_a_machine_that_has_the_new_key_as_a_fallback_takes_what_another_one_signs_with_it(
    web, send_mail, visitor, smtp_sink
):
    """The first of the three steps where several machines cannot change at the same moment."""
    person = UserFactory()
    with web(**CHANGED):
        visitor.sign_in(person.cpf, PASSWORD)
        ask_for_link(person.cpf)
        send_mail(**CHANGED)

    with web(SECRET_KEY=OLD, SECRET_KEY_FALLBACKS=NEW):
        assert visitor.is_signed_in
        assert Visitor(project.PORTAL_URL).open(link_in(smtp_sink, person.email)).status == 302


# --- SECRETS_KEY ----------------------------------------------------------------------------------------------------
#: What the manual has somebody with several machines put in, one after the other, before the old key goes.
FIRST, SECOND = f"{OLD_SECRETS},{NEW_SECRETS},{OLD_SECRETS}", f"{NEW_SECRETS},{OLD_SECRETS}"


@pytest.fixture
def owed_credential():
    return approved_person()


def approved_person():
    """Somebody whose provisional password is promised and not mailed yet."""
    bond = EmploymentFactory(user__password=make_password(None))
    request = workflow.file(unsaved_request(bond=bond))
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    assert OutgoingMail.objects.get(kind="credential").status == MailStatus.PENDING
    return bond.user


def password_in(smtp_sink, person) -> str:
    (delivery,) = smtp_sink.wait(1, to=person.email)
    return re.search(r"\b(?:[a-z2-7]{4}-){3}[a-z2-7]{4}\b", delivery.text())[0]


def test_a_credential_owed_under_the_old_key_goes_out_under_the_new_one_with_a_password_that_works(
    web, send_mail, smtp_sink, owed_credential
):
    both = {"SECRETS_KEY": SECOND}

    send_mail(**both)

    password = password_in(smtp_sink, owed_credential)
    with web(**both):
        assert signs_in(owed_credential.cpf, password)
    with web(SECRETS_KEY=NEW_SECRETS):  # the old key goes as soon as no such mail waits
        assert signs_in(owed_credential.cpf, password)


def test_a_credential_whose_key_was_taken_out_is_not_mailed_and_says_why(send_mail, smtp_sink, owed_credential):
    send_mail(SECRETS_KEY=NEW_SECRETS)

    mail = OutgoingMail.objects.get(kind="credential")
    assert (mail.status, mail.error) == (
        MailStatus.FAILED,
        "A chave desta senha foi retirada: reemita a credencial.",
    )
    assert ProvisionalPassword.objects.get().set_at is None


def test_what_a_machine_of_the_second_step_promised_one_of_the_first_mails(web, send_mail, smtp_sink, settings):
    settings.SECRETS_KEYS = SECOND.split(",")  # it decides the request with the new key
    person = approved_person()

    send_mail(SECRETS_KEY=FIRST)

    with web(SECRETS_KEY=SECOND):
        assert signs_in(person.cpf, password_in(smtp_sink, person))


@pytest.mark.parametrize("keys", [FIRST, SECOND], ids=["first step", "second step"])
def test_no_step_to_a_new_secrets_key_frees_somebody_who_is_locked_out(web, keys):
    person = UserFactory()
    with web():
        for _ in range(5):
            assert not signs_in(person.cpf, "um chute qualquer")

    with web(SECRETS_KEY=keys):
        assert not signs_in(person.cpf, PASSWORD)
        assert signs_in(UserFactory().cpf, PASSWORD)
