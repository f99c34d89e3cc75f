"""What the mails about an access say when its last day changes, and when its credential did not arrive."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.utils import timezone

from accounts import outbox
from accounts.models import MailStatus, OutgoingMail
from accounts.tests.factories import PASSWORD, EmploymentFactory
from requests_app import workflow
from requests_app.models import GrantStatus, Status
from requests_app.workflow import Typed, move_grant

from .factories import UserTypeFactory, analyst, request_in, unsaved_request
from .pages import Page, text_of
from .test_accesses import GRANTS, grant_in, told

pytestmark = pytest.mark.django_db

ACTIVE, SUSPENDED, TO_REVOKE, REVOKED, EXPIRED = GrantStatus


@pytest.fixture
def desk(client):
    client.force_login(analyst())
    return client


def set_end(desk, grant, until, why="Designação temporária."):
    typed = f"{until:%Y-%m-%d}" if until else ""
    response = desk.post(f"{GRANTS}{grant.pk}/prazo/", {"until": typed, "why": why})
    assert response.status_code == 302
    return Page(desk.get(response.url)).text


def history(desk, grant):
    """What the access's page says of the mails, one text for each step."""
    page = Page(desk.get(f"{GRANTS}{grant.pk}/change/"))
    return [text_of(cell) for cell in page.all("td", data_label="E-mails")]


def days(count):
    return timezone.localdate() + timedelta(days=count)


# --- Until when -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("first", [None, days(10)])
@pytest.mark.parametrize("until", [days(0), days(60)])
def test_the_person_is_told_until_when_the_access_holds_why_and_whom_to_ask(desk, smtp_sink, first, until):
    grant = grant_in(ACTIVE, expires_on=first, user_type=UserTypeFactory(system__name="SEEU", name="Consulta"))

    assert "Este texto segue no e-mail que avisa a pessoa" in page_of(desk, grant)

    said = set_end(desk, grant, until)

    assert f"O acesso vale até {until:%d/%m/%Y}. A pessoa recebe um e-mail com o motivo." in said
    [(subject, text)] = told(smtp_sink, grant.user.email)
    assert subject == f"[Sistemas Externos] Novo prazo do acesso, {until:%d/%m/%Y}: SEEU"
    changed = timezone.localtime(grant.events.last().at)
    for part in (
        f"mudou o prazo do seu acesso a SEEU em {changed:%d/%m/%Y %H:%M}",
        f"vale até {until:%d/%m/%Y}, incluindo esse dia",
        "Motivo: Designação temporária. Sistema: SEEU",
        "Tipo de usuário: Consulta",
        "responda a este e-mail ou ligue para a Coordenadoria",
    ):
        assert part in text
    assert history(desk, grant)[-1].startswith("Novo prazo de um acesso : enviado em")


def test_the_person_is_told_that_an_access_has_no_end_any_more(desk, smtp_sink):
    grant = grant_in(ACTIVE, expires_on=days(10), user_type=UserTypeFactory(system__name="SEEU"))

    set_end(desk, grant, None)

    [(subject, text)] = told(smtp_sink, grant.user.email)
    assert subject == "[Sistemas Externos] Acesso sem data de fim: SEEU"
    assert "O acesso não tem mais data de fim." in text
    assert "Motivo: Designação temporária. Sistema:" in text


def test_of_two_changes_before_the_mail_leaves_the_last_is_told(desk, smtp_sink):
    grant = grant_in(ACTIVE)
    set_end(desk, grant, days(10), "Um mês.")
    set_end(desk, grant, days(60), "Dois meses.")

    [(subject, text)] = told(smtp_sink, grant.user.email)

    assert f"Novo prazo do acesso, {days(60):%d/%m/%Y}" in subject
    assert "Motivo: Dois meses." in text
    assert history(desk, grant)[1:] == [
        "Novo prazo de um acesso : não enviado: O prazo mudou outra vez antes do envio.",
        f"Novo prazo de um acesso : enviado em {timezone.localtime():%d/%m/%Y %H:%M}",
    ]


def test_of_an_access_that_is_over_no_end_is_told(desk, smtp_sink):
    grant = grant_in(ACTIVE)
    set_end(desk, grant, days(10))
    move_grant(grant.pk, REVOKED, by=analyst(), note="saiu")

    [(subject, _text)] = told(smtp_sink, grant.user.email)

    assert subject.startswith("[Sistemas Externos] Acesso revogado")


def test_an_end_for_somebody_without_address_owes_no_mail_and_says_so(desk):
    grant = grant_in(ACTIVE, bond=EmploymentFactory(user__email=""))

    said = set_end(desk, grant, days(10))

    assert "A pessoa não tem e-mail no cadastro: avise por outro meio." in said
    assert not OutgoingMail.objects.exists()


def test_a_refused_end_owes_no_mail(desk):
    grant = grant_in(ACTIVE)
    desk.post(f"{GRANTS}{grant.pk}/prazo/", {"until": f"{days(-1):%Y-%m-%d}", "why": "motivo"})
    desk.post(f"{GRANTS}{grant.pk}/prazo/", {"until": f"{days(5):%Y-%m-%d}", "why": ""})
    assert not OutgoingMail.objects.exists()


# --- A credential that did not arrive -------------------------------------------------------------------------------
LOST = "A última credencial não chegou à pessoa."
AS_BEFORE = "com o mesmo login e a mesma senha"
FOLLOWS = "espere outro e-mail, com o login e a senha"
LABELS = {"OPERATOR": "Login e senha de outro sistema", "PORTAL": "Login e senha provisória"}


def given(credential, **bond):
    """An access that a decision just gave; the mail with its credential waits."""
    fields = {"user_type": UserTypeFactory(system__name="SISBAJUD", system__credential=credential)}
    if credential == "PORTAL":
        fields["bond"] = EmploymentFactory(**{"user__password": make_password(None), **bond})
        return workflow.move(request_in(Status.PENDING, **fields).pk, Status.APPROVED, by=analyst()).grant
    typed = Typed("ceci.correa", "Capim-dourado 88")
    request = request_in(Status.APPROVED, **fields)
    return workflow.move(request.pk, Status.COMPLETED, by=analyst(), typed=typed).grant


def reissue(desk, grant):
    typed = {"login": "ceci.correa", "password": "Capim-dourado 99"}
    more = typed if grant.user_type.system.credential == "OPERATOR" else {}
    response = desk.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": "a anterior não chegou", **more})
    assert response.status_code == 302


def page_of(desk, grant):
    return Page(desk.get(f"{GRANTS}{grant.pk}/change/")).text


@pytest.mark.parametrize("credential", LABELS)
def test_a_credential_withdrawn_before_it_went_out_is_told_in_the_history_with_the_reason(desk, credential):
    grant = given(credential)
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="engano")

    assert f"{LABELS[credential]} : não enviado: O acesso não está mais ativo." in history(desk, grant)[0]
    assert f"{LOST} Quando o acesso for retomado, use “Reemitir credencial” para enviar outra." in page_of(desk, grant)


@pytest.mark.parametrize("credential", LABELS)
def test_of_a_resumed_access_without_credential_the_desk_and_the_person_read_what_follows(desk, smtp_sink, credential):
    grant = given(credential)
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="engano")
    move_grant(grant.pk, ACTIVE, by=analyst(), note="")
    assert f"{LOST} Use “Reemitir credencial” para enviar outra." in page_of(desk, grant)

    reissue(desk, grant)

    assert LOST not in page_of(desk, grant)
    mails = told(smtp_sink, grant.user.email)
    texts = {subject.partition("] ")[2].partition(":")[0]: text for subject, text in mails}
    assert AS_BEFORE not in texts["Acesso liberado de novo"]
    assert FOLLOWS in texts["Acesso liberado de novo"]
    assert "responda a este e-mail ou ligue" in texts["Acesso liberado de novo"].lower()
    carried = {"OPERATOR": "Capim-dourado 99", "PORTAL": "Senha provisória:"}[credential]
    assert len([text for _subject, text in mails if carried in text]) == 1
    assert LOST not in page_of(desk, grant)


@pytest.mark.parametrize("credential", LABELS)
def test_a_credential_reissued_and_withdrawn_is_lost_though_the_first_one_arrived(desk, smtp_sink, credential):
    grant = given(credential)
    outbox.send_due()
    assert LOST not in page_of(desk, grant)
    reissue(desk, grant)
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="engano")
    move_grant(grant.pk, ACTIVE, by=analyst(), note="")

    assert LOST in page_of(desk, grant)
    assert "não enviado: O acesso não está mais ativo." in history(desk, grant)[1]
    subject, text = told(smtp_sink, grant.user.email)[-1]
    assert subject == "[Sistemas Externos] Acesso liberado de novo: SISBAJUD"
    assert (FOLLOWS in text, AS_BEFORE in text) == (True, False)


@pytest.mark.parametrize("credential", LABELS)
def test_who_got_the_credential_enters_as_before(desk, smtp_sink, credential):
    grant = given(credential)
    outbox.send_due()
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="férias")
    move_grant(grant.pk, ACTIVE, by=analyst(), note="")

    _subject, text = told(smtp_sink, grant.user.email)[-1]

    assert (FOLLOWS in text, AS_BEFORE in text) == (False, True)
    assert LOST not in page_of(desk, grant)
    assert not any("não enviado" in mails for mails in history(desk, grant))


def test_who_has_chosen_a_password_meanwhile_enters_with_it(desk, smtp_sink):
    grant = given("PORTAL")
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="engano")
    grant.user.password, grant.user.must_change_password = make_password(PASSWORD), False
    grant.user.save()
    move_grant(grant.pk, ACTIVE, by=analyst(), note="")

    _subject, text = told(smtp_sink, grant.user.email)[-1]

    assert AS_BEFORE in text
    assert LOST not in page_of(desk, grant)


def test_a_credential_that_was_refused_is_lost_until_somebody_has_seen_to_it(desk, smtp_sink):
    grant = given("OPERATOR")
    smtp_sink.refuse = "550 caixa inexistente"
    outbox.send_due()
    smtp_sink.refuse = None
    assert LOST in page_of(desk, grant)

    outbox.dismiss(OutgoingMail.objects.get(kind="operator_credential", status=MailStatus.FAILED).pk, by=analyst())

    assert LOST not in page_of(desk, grant)


# --- In which order they leave --------------------------------------------------------------------------------------
def test_the_mails_about_one_request_leave_in_the_order_in_which_they_were_owed(smtp_sink):
    bond = EmploymentFactory(user__password=make_password(None))
    request = workflow.file(unsaved_request(bond=bond, requester=bond.user))
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    owed = [*OutgoingMail.objects.order_by("pk").values_list("pk", flat=True)]
    due = timezone.now() - timedelta(minutes=1)
    for pk in reversed(owed):  # each is written anew, and so lies behind the one owed after it
        OutgoingMail.objects.filter(pk=pk).update(next_at=due)

    outbox.send_due()

    uuids = dict(OutgoingMail.objects.values_list("uuid", "pk"))
    ids = [delivery.message["Message-ID"].strip("<> ").partition("@")[0] for delivery in smtp_sink.deliveries]
    assert len(owed) > 2
    assert [uuids[uuid.UUID(one)] for one in ids] == owed
