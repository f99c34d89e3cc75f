"""What time brings: what is due goes, what is not stays, and a provisional password lapses with a warning."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import time_machine
from django.apps import apps
from django.conf import settings as project
from django.contrib.auth.hashers import make_password
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from django.utils import timezone

from accounts import housekeeping, outbox, passwords, provisional, tasks
from accounts.cpf import formatted
from accounts.models import (
    AddressChange,
    Authenticator,
    FactorRemoval,
    MailStatus,
    OutgoingMail,
    PasswordResetRequest,
    ProvisionalPassword,
    SecurityEvent,
    Session,
    SpentChallenge,
    ThrottleCount,
)
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, DirectoryImportFactory, EmploymentFactory, UserFactory
from bnmp_portal.tests import services
from conftest import process_environment
from requests_app import workflow
from requests_app.models import AccessRequest, Attachment, Draft, RequestEvent, Status
from requests_app.tests.factories import UserTypeFactory, analyst, grant_of, request_in
from requests_app.tests.test_concurrency import at_once

LAPSED = "Sua senha provisória venceu. Use “Esqueci a senha” para criar uma nova."
CHOSEN = "capivaras na beira do rio"
WARNINGS = "Avisos de senha provisória perto de vencer"
MASKED = "Endereços anteriores, já avisados, mascarados"
LAPSED_REMOVALS = "Retiradas de segundo fator vencidas, encerradas"
EXPIRED = "Solicitações devolvidas cujo prazo passou, expiradas"


def command(*arguments):
    """What ``manage.py housekeeping`` says, as (what, how many), and whatever else it says."""
    told = io.StringIO()
    call_command("housekeeping", *arguments, stdout=told)
    pairs = [line.rpartition(": ") for line in told.getvalue().splitlines()]
    return {label: int(count) for label, _, count in pairs if count.isdigit()}


def all_rows():
    """Everything that stands in the database."""
    models = apps.get_models(include_auto_created=True)
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in models}


# --- One row of each sort, at a moment ------------------------------------------------------------------------------
def session(moment):
    return Session.objects.create(session_key=f"{Session.objects.count():032}", expire_date=moment)


def session_left_alone(moment):
    """Used for the last time at that moment."""
    return Session.objects.create(
        session_key=f"{Session.objects.count():032}",
        user=UserFactory(),
        signed_in_at=moment,
        seen_at=moment,
        expire_date=moment + timedelta(hours=12),
    )


def count_of_tries(moment):
    key = f"{ThrottleCount.objects.count():064}"
    return ThrottleCount.objects.create(scope="test", key=key, count=9, window_ends_at=moment)


def spent_challenge(moment):
    return SpentChallenge.objects.create(digest=f"{SpentChallenge.objects.count():064}", lapses_at=moment)


def reset_request(moment):
    return PasswordResetRequest.objects.create(cpf="00000000191", created_at=moment)


def mail(status, **moments):
    number = OutgoingMail.objects.count()
    return OutgoingMail.objects.create(
        kind="password_changed", recipient=UserFactory(), object_id=number, status=status, **moments
    )


def sent_mail(moment):
    return mail(MailStatus.SENT, created_at=moment - timedelta(days=3), sent_at=moment)


def superseded_mail(moment):
    return mail(MailStatus.SUPERSEDED, created_at=moment)


def failed_mail(moment):
    return mail(MailStatus.FAILED, created_at=moment)


def mail_that_failed_again(moment):
    return mail(MailStatus.FAILED, created_at=moment - timedelta(days=9), retried_at=moment)


def mail_that_came_back(moment):
    return mail(MailStatus.FAILED, created_at=moment - timedelta(days=3), sent_at=moment)


def security_event(moment):
    return SecurityEvent.objects.create(kind=SecurityEvent.Kind.SIGNED_IN, at=moment)


def warned_of(moment):
    """Somebody whose provisional password was mailed and lapses at that moment."""
    person = UserFactory(must_change_password=True)
    mailed = moment - timedelta(days=7)
    return ProvisionalPassword.objects.create(
        user=person, key_version="test", set_at=mailed, mailed_at=mailed, lapses_at=moment
    )


def address_change(moment):
    """Whose notice to the old address was never delivered."""
    return AddressChange.objects.create(user=UserFactory(), old="ana.antiga@tjms.jus.br", at=moment)


def unconfirmed_telephone(moment):
    return Authenticator.objects.create(user=UserFactory(), confirmed=False, encrypted_key="x", created_at=moment)


def asked_removal(moment):
    """That can be confirmed until that moment."""
    person = UserFactory()
    Authenticator.objects.create(user=person, encrypted_key="x")
    return FactorRemoval.objects.create(user=person, reason="perdeu", asked_by=UserFactory(), lapses_at=moment)


def returned_request(moment):
    request = request_in(Status.RETURNED)
    AccessRequest.objects.filter(pk=request.pk).update(correct_by=timezone.localdate(moment))
    return request


def file_of_a_form_that_was_not_sent(moment):
    mark = uuid.uuid4()
    return Attachment.objects.create(
        form_nonce=mark,
        name="oficio.pdf",
        media_type="application/pdf",
        size=1,
        sha256=64 * "0",
        uploaded_by=UserFactory(),
        at=moment,
    )


def draft(moment):
    return Draft.objects.create(user=UserFactory(), updated_at=moment)


def file_without_a_row(moment):
    path = project.ATTACHMENTS_DIR / f"{uuid.uuid4()}.upload"
    path.touch()
    os.utime(path, (moment.timestamp(), moment.timestamp()))
    return path


def personnel_file(moment):
    """That waits for a decision since then."""
    return DirectoryImportFactory(uploaded_at=moment)


def file_of_an_import_that_is_over(moment):
    path = project.ATTACHMENTS_DIR / "pessoal" / f"{uuid.uuid4()}.upload"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.utime(path, (moment.timestamp(), moment.timestamp()))


def bonds_with_this_last_day(day):
    """Of somebody who may sign in; of one who was shut out, with another bond since; and with an access or a request.

    The staff are shut out by none: what each chore does is counted apart.
    """
    EmploymentFactory(ended_on=day)
    back = UserFactory(is_active=False, left_at=timezone.now() - timedelta(days=40))
    EmploymentFactory(user=back, started_on=day, ended_on=day)
    staff = [EmploymentFactory(user__is_staff=True, ended_on=day) for _ in range(3)]
    grant_of(staff[0])
    request_in(Status.PENDING, bond=staff[1])
    request_in(Status.PENDING, requester=staff[2].user)


SETTLED = "Mensagens antigas, apagadas"
#: How to make a row -> the chore that deletes it, and how long after the row's moment.
DELETED = {
    session: ("Sessões encerradas, apagadas", timedelta()),
    session_left_alone: ("Sessões encerradas, apagadas", timedelta(minutes=30)),
    count_of_tries: ("Contagens de tentativas antigas, apagadas", timedelta(days=1)),
    spent_challenge: ("Desafios “Não sou um robô” vencidos, apagados", timedelta()),
    unconfirmed_telephone: ("Celulares não confirmados, apagados", timedelta(minutes=15)),
    reset_request: ("Pedidos de redefinição não atendidos em um dia, apagados", timedelta(days=1)),
    sent_mail: (SETTLED, timedelta(days=366)),
    superseded_mail: (SETTLED, timedelta(days=366)),
    failed_mail: (SETTLED, timedelta(days=732)),
    mail_that_failed_again: (SETTLED, timedelta(days=732)),
    mail_that_came_back: (SETTLED, timedelta(days=732)),
    security_event: ("Eventos de segurança antigos, apagados", timedelta(days=366)),
    draft: ("Rascunhos antigos, apagados", timedelta(days=30)),
    file_of_a_form_that_was_not_sent: ("Anexos de formulários não enviados, apagados", timedelta(days=1)),
}
STRAYS = "Arquivos de anexo sem registro, apagados"
ENDED = "Acessos cujo último dia passou, vencidos"
SHUT_OUT = "Entradas de quem não tem mais vínculo, fechadas"
LET_IN = "Entradas de quem voltou a ter vínculo, abertas"
TO_REVOKE = "Acessos de vínculos encerrados, a revogar"
STOPPED = "Solicitações para quem saiu, canceladas"
HANDED_ON = "Avisos a quem tem pedido feito por quem saiu"
UNDECIDED = "Arquivos de pessoal sem decisão, descartados"
USED_FILES = "Arquivos de pessoal concluídos, apagados do disco"
#: What is done with what is due, where it is not deleted.
CHANGED = (
    WARNINGS,
    MASKED,
    LAPSED_REMOVALS,
    EXPIRED,
    STRAYS,
    ENDED,
    SHUT_OUT,
    LET_IN,
    TO_REVOKE,
    STOPPED,
    HANDED_ON,
    UNDECIDED,
    USED_FILES,
)
LABELS = {*(label for label, _ in DELETED.values()), *CHANGED}


def some_of_each(number=1):
    """So many rows that are due for each chore, and as many that are not; returns how many each chore has to do."""
    now = timezone.now()
    due = dict.fromkeys(LABELS, 0)
    for _ in range(number):
        for make, (label, after) in DELETED.items():
            make(now - after - timedelta(minutes=5))
            make(now - after + timedelta(minutes=5))
            due[label] += 1
        warned_of(now + timedelta(hours=23))
        warned_of(now + timedelta(hours=25))
        address_change(now - timedelta(days=30, minutes=5))
        address_change(now - timedelta(days=30) + timedelta(minutes=5))
        asked_removal(now - timedelta(minutes=5))
        asked_removal(now + timedelta(minutes=5))
        returned_request(now - timedelta(days=1))
        returned_request(now + timedelta(days=1))
        file_without_a_row(now - timedelta(days=1, minutes=5))
        file_without_a_row(now - timedelta(days=1) + timedelta(minutes=5))
        for late in (timedelta(minutes=5), timedelta(minutes=-5)):
            personnel_file(now - timedelta(days=1) - late)
            file_of_an_import_that_is_over(now - timedelta(days=1) - late)
        for days in (-1, 0):
            grant_of(EmploymentFactory(), expires_on=timezone.localdate() + timedelta(days=days))
            bonds_with_this_last_day(timezone.localdate() + timedelta(days=days))
    return due | dict.fromkeys(CHANGED, number)


# --- What is due goes, what is not stays ----------------------------------------------------------------------------
@pytest.mark.parametrize("make", DELETED, ids=lambda make: make.__name__)
def test_what_is_over_is_deleted_and_what_is_not_yet_stays(db, make):
    label, after = DELETED[make]
    over = make(timezone.now() - after - timedelta(minutes=2))
    not_yet = make(timezone.now() - after + timedelta(minutes=2))

    assert command()[label] == 1

    assert not type(over)._base_manager.filter(pk=over.pk).exists()
    not_yet.refresh_from_db()


def test_an_old_address_is_masked_when_its_notice_can_be_tried_no_more(db):
    old = address_change(timezone.now() - timedelta(days=30, minutes=2))
    young = address_change(timezone.now() - timedelta(days=30) + timedelta(minutes=2))

    assert command()[MASKED] == 1

    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.old, young.old) == ("a***@tjms.jus.br", "ana.antiga@tjms.jus.br")


def test_a_mail_that_waits_is_kept_however_old_it_is(db):
    waits = mail(MailStatus.PENDING, created_at=timezone.now() - timedelta(days=5000))

    command()

    waits.refresh_from_db()


def test_the_days_are_those_of_the_settings(db, settings):
    settings.MAIL_RETENTION_DAYS = 30
    for days in (29, 31):
        sent_mail(timezone.now() - timedelta(days=days))
        failed_mail(timezone.now() - timedelta(days=2 * days))

    assert command()[SETTLED] == 2
    assert OutgoingMail.objects.count() == 2


def test_every_chore_has_its_line_and_its_number(db):
    assert command() == some_of_each(number=0)
    due = some_of_each(number=2)
    assert command() == due


def test_a_dry_run_counts_and_changes_nothing_in_any_table(db):
    due = some_of_each()
    before = all_rows()

    assert command("--dry-run") == due

    assert all_rows() == before
    assert command() == due


def test_a_second_run_finds_nothing_and_changes_nothing(db):
    some_of_each()
    command()
    before = all_rows()

    assert set(command().values()) == {0}
    assert all_rows() == before


def test_more_than_one_batch_is_done_in_one_run(db, monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    due = some_of_each(number=5)

    assert command() == due
    assert set(command().values()) == {0}


@pytest.mark.django_db(transaction=True)
def test_four_runs_at_once_do_everything_once_and_none_fails(monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH", 3)
    due = some_of_each(number=8)
    kept = {label: len(rows) for label, rows in all_rows().items()}

    results = at_once(*[housekeeping.run] * 4)

    assert not any(None in result.values() for result in results)
    once = LABELS - {WARNINGS, HANDED_ON}
    assert {label: sum(result[label] for result in results) for label in once} == {label: due[label] for label in once}
    assert OutgoingMail.objects.filter(kind="provisional_lapsing").count() == 8
    assert RequestEvent.objects.filter(to_status=Status.EXPIRED).count() == 8
    assert OutgoingMail.objects.filter(kind="request_expired").count() == 8
    assert OutgoingMail.objects.filter(kind="second_factor_changed").count() == 8
    assert Session.objects.count() == kept["accounts.Session"] - 16
    assert OutgoingMail.objects.filter(kind="request_requester_left").count() == 8
    Kind = SecurityEvent.Kind  # noqa: N806 - a class
    written = (Kind.FACTOR_ASK_LAPSED, Kind.ACCESS_CLOSED, Kind.ACCESS_OPENED, Kind.DIRECTORY_DROPPED)
    assert [SecurityEvent.objects.filter(kind=kind).count() for kind in written] == [8, 8, 8, 8]
    assert SecurityEvent.objects.exclude(kind__in=written).count() == kept["accounts.SecurityEvent"] - 8
    assert set(housekeeping.run().values()) == {0}


# --- One that fails -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("label", sorted(LABELS))
def test_a_chore_that_fails_is_told_and_logged_and_stops_no_other(db, label, monkeypatch, caplog):
    due = some_of_each()

    def fail(*, dry_run):
        raise ZeroDivisionError

    monkeypatch.setitem(housekeeping.CHORES, label, fail)
    told = io.StringIO()
    with pytest.raises(CommandError, match="Uma tarefa falhou"):
        call_command("housekeeping", stdout=told)

    assert f"{label}: falhou\n" in told.getvalue()
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert command() == dict.fromkeys(LABELS, 0) | {label: due[label]}


def run_process(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "manage.py", "housekeeping", *arguments],
        cwd=services.ROOT,
        env=process_environment() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_timer_is_told_by_the_exit_status(transactional_db):
    security_event(timezone.now() - timedelta(days=200))
    session(timezone.now() - timedelta(minutes=1))
    person = warned_of(timezone.now() + timedelta(hours=1)).user

    # Fewer days than the database's guard has been told of: it refuses.
    failed = run_process(SECURITY_EVENT_RETENTION_DAYS="183")
    done = run_process()

    assert (failed.returncode, done.returncode) == (1, 0)
    assert "Eventos de segurança antigos, apagados: falhou" in failed.stdout
    assert "Sessões encerradas, apagadas: 1" in failed.stdout
    assert f"{WARNINGS}: 1" in failed.stdout
    assert SecurityEvent.objects.exists()
    for secret in (person.cpf, person.email):
        assert secret not in failed.stdout + failed.stderr


# --- The worker -----------------------------------------------------------------------------------------------------
def test_a_worker_keeps_house_when_it_starts_and_then_once_an_hour(transactional_db, monkeypatch):
    now, ended_sessions = [1000.0], []

    class Stopping:
        """Instead of the worker's event: each wait ends at the next of these seconds."""

        moments = iter([10, 3599, 3600, 3610, 7200])

        def wait(self, seconds):
            ended_sessions.append(Session.objects.count())
            session(timezone.now() - timedelta(minutes=1))
            moment = next(self.moments, None)
            now[0] = 1000 + (moment or 0)
            return moment is None

    monkeypatch.setattr(tasks, "monotonic", lambda: now[0])
    tasks.sweep_until(Stopping())

    assert ended_sessions == [0, 1, 2, 0, 1, 0]


@pytest.fixture
def ended_session(transactional_db):
    return session(timezone.now() - timedelta(minutes=1))


def test_a_real_worker_does_it_too(ended_session, worker_process):
    deadline = time.monotonic() + 20
    while Session.objects.exists():
        assert time.monotonic() < deadline, worker_process.output
        time.sleep(0.05)


# --- The warning ----------------------------------------------------------------------------------------------------
@pytest.fixture
def lapsing(db, smtp_sink):
    """Somebody who got a provisional password by mail and has not changed it."""
    bond = EmploymentFactory(user__password=make_password(None))
    user_type = UserTypeFactory(system__name="BNMP 2.0")
    request = request_in(Status.PENDING, bond=bond, user_type=user_type)
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    outbox.send_due()
    smtp_sink.deliveries.clear()
    return ProvisionalPassword.objects.select_related("user").get()


def choose(user):
    """What the reset and the gear do in the end."""
    kind = SecurityEvent.Kind.PASSWORD_RESET
    assert passwords.choose(user.pk, CHOSEN, may=lambda _: True, kind=kind, request=RequestFactory().get("/"))


def warnings():
    return OutgoingMail.objects.filter(kind="provisional_lapsing")


def test_who_has_not_chosen_a_password_is_warned_once_a_day_before_it_lapses(lapsing, smtp_sink):
    for before, mails in ((timedelta(days=1, seconds=30), 0), (timedelta(days=1), 1), (timedelta(hours=1), 1)):
        with time_machine.travel(lapsing.lapses_at - before):
            command()
            outbox.send_due()
            assert len(smtp_sink.deliveries) == mails

    assert smtp_sink.deliveries[0].recipients == [lapsing.user.email]
    assert warnings().get().status == MailStatus.SENT


def test_the_warning_says_what_lapses_when_and_what_to_do(lapsing, smtp_sink):
    ProvisionalPassword.objects.update(mailed_at="2026-11-23T14:30:00Z", lapses_at="2026-12-01T02:30:00Z")
    with time_machine.travel("2026-11-30T12:00:00Z"):
        command()
        outbox.send_due()

    (delivery,) = smtp_sink.deliveries
    assert delivery.message["Subject"] == "Sua senha provisória vence em 30/11/2026"
    html = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", delivery.text("html"))).replace(" ,", ",")
    for words in (re.sub(r"\s+", " ", delivery.text()), html):
        assert f"Olá, {lapsing.user.display_name}." in words
        assert "vence em 30/11/2026, às 22:30 (horário de MS)" in words
        assert formatted(lapsing.user.cpf) in words
        assert "no e-mail que enviamos em 23/11/2026" in words
        assert "Escolha uma senha só sua." in words
        assert "Esqueci a senha" in words
        assert "Esta senha abre o portal e este sistema:" in words
        assert "BNMP 2.0" in words
        assert "fale com a Coordenadoria" in words
        assert "Nunca pedimos sua senha por e-mail ou telefone." in words
        assert "/entrar/" in delivery.text("html")


def reissue(live):
    workflow.reissue(live.user.grants.get().pk, by=analyst(), note="perdeu o e-mail")


def deactivate(live):
    live.user.is_active = False
    live.user.save()


def lose_address(live):
    live.user.email = ""
    live.user.save()


def let_it_lapse(live):
    ProvisionalPassword.objects.update(lapses_at=timezone.now())


OVERTAKEN = {
    "chose a password": (lambda live: choose(live.user), "A pessoa já tem outra senha."),
    "got another": (reissue, "A pessoa já tem outra senha."),
    "is inactive": (deactivate, "A pessoa não está mais ativa."),
    "lost the address": (lose_address, "A pessoa não tem e-mail no cadastro."),
    "let it lapse": (let_it_lapse, "Venceu antes de sair."),
}


@pytest.mark.parametrize("what", OVERTAKEN)
def test_nobody_is_warned_of_a_password_that_is_none_any_more(lapsing, what):
    ProvisionalPassword.objects.update(lapses_at=timezone.now() + timedelta(hours=12))
    OVERTAKEN[what][0](lapsing)

    assert command()[WARNINGS] == 0
    assert not warnings().exists()


@pytest.mark.parametrize("what", OVERTAKEN)
def test_a_warning_that_could_not_go_out_in_time_dies(lapsing, smtp_sink, what):
    ProvisionalPassword.objects.update(lapses_at=timezone.now() + timedelta(hours=12))
    command()
    overtake, why = OVERTAKEN[what]
    overtake(lapsing)

    outbox.send_due()

    # Without an address, somebody must see to it.
    status = MailStatus.FAILED if what == "lost the address" else MailStatus.SUPERSEDED
    assert (warnings().get().status, warnings().get().error) == (status, why)
    assert not any("vence em" in delivery.message["Subject"] for delivery in smtp_sink.deliveries)


def test_while_another_mail_waits_to_bring_the_password_there_is_nothing_to_warn_of(lapsing):
    ProvisionalPassword.objects.update(lapses_at=timezone.now() + timedelta(hours=12), nonce="f" * 32)
    assert command()[WARNINGS] == 0

    provisional.mailed(lapsing.pk, needed_by_another_mail=False)  # which begins its days anew
    assert command()[WARNINGS] == 0

    with time_machine.travel(timezone.now() + timedelta(days=6, minutes=1)):
        assert command()[WARNINGS] == 1


def test_a_warning_that_failed_can_be_tried_again_only_while_there_is_time(lapsing, smtp_sink):
    ProvisionalPassword.objects.update(lapses_at=timezone.now() + timedelta(hours=12))
    command()
    smtp_sink.refuse = "550 caixa cheia"
    outbox.send_due()
    smtp_sink.refuse = None

    outbox.try_again(warnings().get().pk, by=analyst())
    outbox.send_due()
    assert warnings().get().status == MailStatus.SENT

    warnings().update(status=MailStatus.FAILED, created_at=timezone.now() - timedelta(days=1, minutes=1))
    with pytest.raises(outbox.RetryRefusedError, match="já venceu"):
        outbox.try_again(warnings().get().pk, by=analyst())


def test_a_deleted_warning_is_not_owed_again(lapsing, smtp_sink):
    with time_machine.travel(lapsing.lapses_at - timedelta(hours=1)):
        command()
        outbox.send_due()
    with time_machine.travel(lapsing.lapses_at + timedelta(days=400)):
        for _ in range(2):
            assert housekeeping.run()[WARNINGS] == 0
            assert not warnings().exists()


def test_every_kind_of_mail_has_its_texts_and_no_texts_lie_about():
    folders = [path for path in Path(services.ROOT, "templates/emails").iterdir() if path.is_dir()]

    assert {folder.name for folder in folders} == set(outbox.KINDS)
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {"subject.txt", "body.txt", "body.html"}


# --- The day it lapses ----------------------------------------------------------------------------------------------
@pytest.fixture
def inside(client, db):
    """Somebody who signed in with a provisional password; it lapses in twenty minutes."""
    live = warned_of(timezone.now() + timedelta(minutes=20))
    assert client.post("/entrar/", {"username": live.user.cpf, "password": PASSWORD}).status_code == 302
    return live


GEAR = "/conta/alterar-senha/"
TYPED = {"old_password": PASSWORD, "new_password1": CHOSEN, "new_password2": CHOSEN}


@pytest.mark.parametrize("method", ["get", "post"])
def test_asvs_6_4_1_who_is_still_in_when_it_lapses_is_led_to_the_door_and_told_why(client, inside, method):
    with time_machine.travel(inside.lapses_at + timedelta(seconds=1)):
        answer = getattr(client, method)(GEAR, TYPED, follow=True)

        assert answer.redirect_chain == [("/entrar/", 302)]
        assert LAPSED in answer.content.decode()
        assert "_auth_user_id" not in client.session
        assert client.get("/solicitacoes/")["Location"] == "/entrar/?next=/solicitacoes/"
    inside.user.refresh_from_db()
    assert inside.user.check_password(PASSWORD)
    assert inside.user.must_change_password
    event = SecurityEvent.objects.latest("pk")
    assert (event.kind, event.user, event.detail) == ("SIGNED_OUT", inside.user, "provisória vencida")


def test_asvs_6_4_1_every_page_leads_there(client, inside):
    with time_machine.travel(inside.lapses_at + timedelta(seconds=1)):
        answer = client.get("/solicitacoes/nova/", follow=True)

    assert answer.redirect_chain == [(GEAR, 302), ("/entrar/", 302)]


def test_until_it_lapses_it_can_be_changed(client, inside):
    with time_machine.travel(inside.lapses_at - timedelta(minutes=1)):
        assert client.post(GEAR, TYPED)["Location"] == "/"

    inside.user.refresh_from_db()
    assert inside.user.has_chosen_password


def test_who_chose_a_password_stays_in_when_the_provisional_ones_time_comes(client, inside):
    client.post(GEAR, TYPED)

    with time_machine.travel(inside.lapses_at + timedelta(seconds=1)):
        assert client.get(GEAR).status_code == 200
        assert client.get("/").status_code == 200


def test_whose_password_lapsed_makes_a_new_one_by_the_link(make_client, lapsing, smtp_sink):
    let_it_lapse(lapsing)
    client = make_client()
    client.post("/esqueci-a-senha/", {"cpf": lapsing.user.cpf, "captcha": solve()})
    tasks.sweep()
    (delivery,) = smtp_sink.to(lapsing.user.email)
    link = urlsplit(re.search(r"https?://\S+/redefinir-senha/\S+", delivery.text())[0]).path

    client.get(link)
    done = client.post("/redefinir-senha/nova/", {"new_password1": CHOSEN, "new_password2": CHOSEN})

    assert done["Location"] == "/senha-alterada/"
    signed_in = make_client()
    assert signed_in.post("/entrar/", {"username": lapsing.user.cpf, "password": CHOSEN})["Location"] == "/"
    assert signed_in.get("/").status_code == 200
