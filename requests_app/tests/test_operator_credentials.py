"""A system that an analyst registers people in by hand: typed once, kept encrypted, mailed once, erased (DESIGN §7)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import outbox
from accounts.models import MailStatus, OutgoingMail
from requests_app import workflow
from requests_app.models import AccessGrant, GrantStatus, Status, TypedCredential

from .factories import UserTypeFactory, analyst, request_in
from .pages import Page

pytestmark = pytest.mark.django_db
LOGIN, FIRST = "ceci.correa", "Capim-dourado 88"


def approved(**system):
    user_type = UserTypeFactory(
        system__name="SISBAJUD", system__credential="OPERATOR", **{f"system__{k}": v for k, v in system.items()}
    )
    return request_in(Status.APPROVED, user_type=user_type)


def screen(request):
    return f"/admin/requests_app/accessrequest/{request.pk}/change/"


def register(client, request, **posted):
    return client.post(f"/admin/requests_app/accessrequest/{request.pk}/decidir/", {"to": "COMPLETED", **posted})


@pytest.fixture
def desk(client):
    client.force_login(analyst())
    return client


def mail_of(grant):
    return OutgoingMail.objects.get(kind="operator_credential", object_id=grant.events.latest("pk").pk)


def everything_in_the_table():
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM requests_app_typedcredential")
        return repr(cursor.fetchall())


def test_what_the_analyst_typed_is_encrypted_mailed_once_to_the_person_and_erased(desk, smtp_sink):
    request = approved(url="https://sisbajud.example/", instructions="Use o Firefox.")
    response = register(desk, request, login=LOGIN, password=FIRST)
    assert response.status_code == 302
    grant = AccessGrant.objects.get(request=request)
    stored = everything_in_the_table()
    assert LOGIN in stored
    assert FIRST not in stored
    assert TypedCredential.objects.get().password

    outbox.send_due()
    (mail,) = smtp_sink.to(grant.user.email)
    for kind in ("plain", "html"):
        text = mail.text(kind)
        for part in (LOGIN, FIRST, "SISBAJUD", "Use o Firefox.", "https://sisbajud.example/", request.protocol):
            assert part in text
        assert "A senha deste portal não serve" in text
        assert "Nunca pedimos sua senha por e-mail ou telefone" in text
    assert FIRST not in mail.message["Subject"]
    assert not any(FIRST in delivery.text() for delivery in smtp_sink.deliveries if delivery is not mail)
    assert TypedCredential.objects.get().password == ""
    assert TypedCredential.objects.get().login == LOGIN
    assert mail_of(grant).status == MailStatus.SENT
    assert FIRST not in Page(desk.get(screen(request))).text


def test_the_persons_password_of_the_portal_is_left_alone(desk, smtp_sink):
    request = approved()
    before = request.beneficiary.password
    register(desk, request, login=LOGIN, password=FIRST)
    outbox.send_due()
    request.beneficiary.refresh_from_db()
    assert request.beneficiary.password == before


def test_a_copy_after_a_crash_carries_the_same(desk, smtp_sink):
    request = approved()
    register(desk, request, login=LOGIN, password=FIRST)
    smtp_sink.refuse = "451 depois"
    outbox.send_due()
    assert TypedCredential.objects.get().password  # it waits, and so does its secret
    smtp_sink.refuse = None
    OutgoingMail.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    outbox.send_due()
    (mail,) = smtp_sink.to(request.beneficiary.email)
    assert FIRST in mail.text()


def test_a_mail_that_is_given_up_takes_the_secret_with_it_and_says_what_to_do(desk, smtp_sink):
    request = approved()
    register(desk, request, login=LOGIN, password=FIRST)
    smtp_sink.refuse = "550 caixa inexistente"
    outbox.send_due()
    mail = mail_of(request.grant)
    assert (mail.status, TypedCredential.objects.get().password) == (MailStatus.FAILED, "")
    page = Page(desk.get(f"/admin/accounts/outgoingmail/{mail.pk}/change/"))
    assert "Digite-a de novo em “Reemitir credencial”" in page.text
    assert "Tentar de novo" not in page.text
    with pytest.raises(outbox.RetryRefusedError, match="Reemitir credencial"):
        outbox.try_again(mail.pk, by=analyst())

    smtp_sink.refuse = None
    address = f"/admin/requests_app/accessgrant/{request.grant.pk}/"
    assert "Login no outro sistema" in Page(desk.get(f"{address}change/")).text
    response = desk.post(f"{address}reemitir/", {"note": "Não chegou.", "login": LOGIN, "password": "Buriti 77 alto"})
    assert response.status_code == 302
    outbox.send_due()
    (delivery,) = smtp_sink.to(request.beneficiary.email)
    assert "Buriti 77 alto" in delivery.text()
    assert "registrou uma nova senha" in delivery.text()
    mail.refresh_from_db()
    assert mail.status == MailStatus.SUPERSEDED  # solved: it is no problem any more
    assert not TypedCredential.objects.exclude(password="").exists()


def test_a_mail_overtaken_by_a_newer_credential_or_a_revocation_never_goes_out(desk, smtp_sink):
    request = approved()
    register(desk, request, login=LOGIN, password=FIRST)
    first = mail_of(request.grant)
    workflow.reissue(request.grant.pk, by=analyst(), note="Erro.", typed=workflow.Typed(LOGIN, "Buriti 77 alto"))
    assert TypedCredential.objects.exclude(password="").count() == 1  # at once, not when the first mail's turn comes
    outbox.send_due()
    (delivery,) = smtp_sink.to(request.beneficiary.email)
    assert "Buriti 77 alto" in delivery.text()
    first.refresh_from_db()
    assert (first.status, first.error) == (MailStatus.SUPERSEDED, "Há uma credencial mais nova.")

    other = request_in(Status.APPROVED, user_type=request.user_type)
    register(desk, other, login=LOGIN, password=FIRST)
    AccessGrant.objects.filter(request=other).update(status=GrantStatus.REVOKED)
    outbox.send_due()
    assert smtp_sink.to(other.beneficiary.email) == []
    assert not TypedCredential.objects.exclude(password="").exists()


def test_a_key_rotated_meanwhile_still_reads_it_and_one_taken_away_sends_nothing(desk, smtp_sink, settings):
    first, second = approved(), request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential="OPERATOR"))
    register(desk, first, login=LOGIN, password=FIRST)
    new = "a-new-key-in-front-of-the-old-one-0123456789"
    settings.SECRETS_KEYS = [new, *settings.SECRETS_KEYS]
    outbox.send_due()
    assert FIRST in smtp_sink.to(first.beneficiary.email)[0].text()

    settings.SECRETS_KEYS = settings.SECRETS_KEYS[1:]
    register(desk, second, login=LOGIN, password=FIRST)
    settings.SECRETS_KEYS = [new]
    outbox.send_due()
    assert smtp_sink.to(second.beneficiary.email) == []
    assert mail_of(second.grant).status == MailStatus.FAILED
    assert "reemita a credencial" in mail_of(second.grant).error


def test_a_system_that_sends_its_own_is_registered_without_a_password(desk, smtp_sink):
    request = approved()
    assert register(desk, request, sends_own="on").status_code == 302
    outbox.send_due()
    (mail,) = smtp_sink.to(request.beneficiary.email)
    assert "SISBAJUD" in mail.text()
    assert not TypedCredential.objects.exists()


@pytest.mark.parametrize(
    ("posted", "field", "sentence"),
    [
        ({}, "login", "Digite o que o outro sistema deu"),
        ({"login": LOGIN}, "password", "Digite o que o outro sistema deu"),
        ({"password": FIRST}, "login", "Digite o que o outro sistema deu"),
        ({"login": LOGIN, "password": "uma\nduas"}, "password", "Use uma linha só"),
        ({"login": "a\r\nb", "password": FIRST}, "login", "Use uma linha só"),
        ({"login": LOGIN, "password": "x" * 10_000}, "password", "no máximo 200 caracteres"),
        ({"login": "x" * 10_000, "password": FIRST}, "login", "no máximo 150 caracteres"),
        ({"login": LOGIN, "password": "a\x00b"}, "password", "nulos não são permitidos"),
        ({"login": LOGIN, "password": FIRST, "sends_own": "on"}, "sends_own", "as duas coisas não"),
        ({"login": LOGIN, "sends_own": "on"}, "sends_own", "as duas coisas não"),
    ],
)
def test_what_cannot_be_mailed_gets_a_sentence_and_changes_nothing(desk, posted, field, sentence):
    request = approved()
    response = register(desk, request, note="anotado", **posted)
    assert response.status_code == 200
    page = Page(response)
    assert sentence in page.text
    assert page.value("note") == "anotado"
    if field == "password":
        assert page.value("login") == posted.get("login", "")
    assert FIRST not in response.content.decode()  # what was typed as a password does not come back
    request.refresh_from_db()
    assert (request.status, TypedCredential.objects.count()) == (Status.APPROVED, 0)


def test_a_password_in_the_reason_is_refused_because_the_history_keeps_it(desk):
    request = approved()
    response = register(desk, request, login=LOGIN, password=FIRST, note=f"A senha é {FIRST}.")
    assert "Não escreva a senha aqui" in Page(response).text
    grant_of = register(desk, request, sends_own="on")
    assert grant_of.status_code == 302
    response = desk.post(
        f"/admin/requests_app/accessgrant/{request.grant.pk}/reemitir/",
        {"note": f"Nova: {FIRST}", "login": LOGIN, "password": FIRST},
    )
    assert "Não escreva a senha aqui" in Page(response).text
    assert not TypedCredential.objects.exists()


def test_other_systems_are_not_asked_and_take_no_typed_password(desk):
    request = request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential="OWN"))
    assert "Login no outro sistema" not in Page(desk.get(screen(request))).text
    register(desk, request, login=LOGIN, password=FIRST)
    assert not TypedCredential.objects.exists()


def test_it_is_asked_where_access_is_registered_and_not_before(desk):
    pending = request_in(Status.PENDING, user_type=UserTypeFactory(system__credential="OPERATOR"))
    assert "Login no outro sistema" not in Page(desk.get(screen(pending))).text
    assert desk.post(f"/admin/requests_app/accessrequest/{pending.pk}/decidir/", {"to": "APPROVED"}).status_code == 302
    assert "Login no outro sistema" in Page(desk.get(screen(pending))).text


def test_a_reissue_without_what_the_other_system_gave_is_refused(desk):
    request = approved()
    register(desk, request, sends_own="on")
    address = f"/admin/requests_app/accessgrant/{request.grant.pk}/reemitir/"
    response = desk.post(address, {"note": "Não chegou."})
    assert response.status_code == 200
    assert "Este campo é obrigatório" in Page(response).text
    with pytest.raises(workflow.MoveRefusedError, match="Digite o login e a senha"):
        workflow.reissue(request.grant.pk, by=analyst(), note="Não chegou.")
    assert not TypedCredential.objects.exists()


def test_a_typed_password_does_not_show_in_a_traceback():
    assert FIRST not in repr(workflow.Typed(LOGIN, FIRST))
