"""Mail that comes back: real reports, forged ones, garbage; from a file, an mbox, a Maildir, a pipe and a mailbox."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import socketserver
import sys
import threading
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from hypothesis import example, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from accounts import bounces, outbox, security
from accounts.management.commands import read_bounces
from accounts.models import MailStatus, OutgoingMail, SecurityEvent

from .factories import UserFactory

SAMPLES = Path(__file__).parent / "bounces"
NOT_THERE = (
    "550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 double-checking the "
    "recipient's email address for typos or 550 5.1.1 unnecessary spaces: <{}***@recusa.example.com>"
)
NOT_THERE_ON_ONE_LINE = (
    "550-5.1.1 The email account that you tried to reach does not exist. Please try double-checking the "
    "recipient's email address for typos or unnecessary spaces: <{}***@recusa.example.com"
)
GREYLISTED = (
    "451 4.7.1 <c***@demora.example.com>: Recipient address rejected: Greylisting in effect, please come back later"
)
FULL = "552 5.2.2 Caixa postal cheia (mailbox full)"
NO_RECIPIENT = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient a***@tjms.jus.br not found by SMTP address lookup"

#: File -> the mail, the action and the reason that stand in it, read by a person.
EXPECTED = {
    "postfix-unknown-user": ("35fbf25b-bd0d-4bcc-a78b-06aabf8141a0", "failed", '5.1.1 unknown user: "a***"'),
    "postfix-unknown-user-plain-address": (
        "c271b0b9-7b77-49c9-9ce3-6a7e4ac00e81",
        "failed",
        '5.1.1 unknown user: "a***"',
    ),
    "postfix-refused": ("a4e9f233-9eeb-477c-b439-b78d01267bf6", "failed", f"5.1.1 {NOT_THERE.format('b')}"),
    "postfix-two-recipients": ("760808ab-463f-4198-897d-b807fe3862a4", "failed", f"5.2.2 {FULL}"),
    "postfix-delayed": ("002c7f6c-857f-4dde-9b35-3a0131f8a6a3", "delayed", f"4.7.1 {GREYLISTED}"),
    "postfix-expired": ("a3a72ec4-0c6f-4d6d-9015-4fa32faadb01", "failed", f"4.7.1 {GREYLISTED}"),
    "postfix-headers-only": ("6f0d3c1e-8a44-4c5e-9b7e-1f2a3b4c5d6e", "failed", f"5.1.1 {NOT_THERE.format('b')}"),
    "postfix-relayed": ("5f0d3c1e-8a44-4c5e-9b7e-1f2a3b4c5d6e", "relayed", "2.0.0 250 OK"),
    "postfix-utf8-address": ("1164b423-59de-486c-9c00-a41bed6d6caf", "failed", f"5.1.1 {NOT_THERE.format('c')}"),
    "exim-unknown-user": ("019eea33-21fd-44e0-bc44-6ae711f0cad4", "failed", "5.0.0 Unknown user"),
    "exim-refused": ("e955d304-1480-4336-bcea-c03a624783e9", "failed", f"5.0.0 {NOT_THERE.format('b')}"),
    "exim-refused-plain-address": (
        "faea5c61-06a8-46e0-bfe9-cfc8d53a8446",
        "failed",
        f"5.0.0 {NOT_THERE.format('b')}",
    ),
    "exim-delayed": (
        "fcb0ccd0-0563-41d7-a3e7-1ca48cb9beab",
        "delayed",
        f"4.0.0 {GREYLISTED}",
    ),
    "exim-two-recipients": ("936b8c76-d76d-4e3f-afe1-2e8cadc3a82b", "failed", f"5.0.0 {NOT_THERE.format('b')}"),
    "sendmail-refused": ("1d1d46d3-d241-4756-aa47-ce048736fba1", "failed", f"5.1.1 {NOT_THERE.partition(' 550-')[0]}"),
    "sendmail-refused-plain-address": (
        "4c6491b6-17e2-4ba5-b03d-2e3c88a1463e",
        "failed",
        f"5.1.1 {NOT_THERE.partition(' 550-')[0]}",
    ),
    "sendmail-two-recipients": ("f3fcbf45-4cc2-485d-b1de-a5abde927d1e", "failed", f"5.2.2 {FULL}"),
    "sendmail-delayed": ("765b08bb-ece6-4bc1-9d5c-855cf48e2f1e", "delayed", f"4.3.0 {GREYLISTED}"),
    "opensmtpd-refused": (
        "657671a2-e8ce-483d-a3cb-390fcb3a2f4d",
        "failed",
        f"5.0.0 {NOT_THERE_ON_ONE_LINE.format('b')}",
    ),
    "opensmtpd-two-recipients": (
        "8fcda841-78ea-472d-8369-0d77a94ff8e3",
        "failed",
        f"5.0.0 {FULL} b***@recusa.example.com: {NOT_THERE_ON_ONE_LINE.format('b')}",
    ),
    "opensmtpd-delayed": ("418f9bfc-378b-4384-b4a0-a8a8f3766c40", "delayed", f"4.0.0 {GREYLISTED}"),
    "opensmtpd-expired": ("418f9bfc-378b-4384-b4a0-a8a8f3766c40", "delayed", "4.4.7 Envelope expired"),
    "exchange-portuguese": ("a1000000-0000-4000-8000-000000000001", "failed", f"5.1.10 {NO_RECIPIENT}"),
    "exchange-2003-without-the-mail": (
        "a2000000-0000-4000-8000-000000000002",
        "failed",
        "5.2.2 sem explicação do servidor",
    ),
    "gmail-refused": (
        "a3000000-0000-4000-8000-000000000003",
        "failed",
        (
            "5.1.1 550-5.1.1 The email account that you tried to reach does not exist. "
            "550 5.1.1 <c***@example.com>: user unknown"
        ),
    ),
    "qmail-unknown-user": (
        "a4000000-0000-4000-8000-000000000004",
        "failed",
        "Sorry, no mailbox here by that name. (#5.1.1)",
    ),
    "exim-before-4.80": (
        "a5000000-0000-4000-8000-000000000005",
        "failed",
        (
            "SMTP error from remote mail server after RCPT TO:<d***@example.com>: "
            "host mail.example.com [192.0.2.26]: 550 5.1.1 unknown or illegal alias"
        ),
    ),
    "exim-before-4.80-warning": None,
    "fields-in-base64": ("a6000000-0000-4000-8000-000000000006", "failed", "5.1.1 550 Usuário inexistente: a***"),
    "wrong-boundary": ("a7000000-0000-4000-8000-000000000007", "failed", "5.7.1 554 5.7.1 Message rejected"),
    "forwarded-by-a-gateway": ("a8000000-0000-4000-8000-000000000008", "failed", f"5.1.10 {NO_RECIPIENT}"),
    "vacation": None,
    "read-receipt": None,
}
REFUSED = "postfix-refused"
WHOLE_ADDRESS = re.compile(r"[\w.]{2,}@")


@pytest.fixture(autouse=True)
def bounce_address(settings):
    settings.BOUNCE_ADDRESS = "devolucoes+*@tjms.jus.br"
    settings.DEFAULT_FROM_EMAIL = "Sistemas Externos <nao-responda@tjms.jus.br>"


def sample(name):
    return (SAMPLES / f"{name}.eml").read_bytes()


def mail_of(name, status=MailStatus.SENT, **fields):
    """The row of the mail that came back in that sample."""
    return mail_with(EXPECTED[name][0], status=status, **fields)


def mail_with(uuid, **fields):
    if fields.setdefault("status", MailStatus.SENT) == MailStatus.SENT:
        fields["sent_at"] = timezone.now()
    recipient = UserFactory()
    return OutgoingMail.objects.create(
        uuid=uuid, kind="password_changed", recipient=recipient, object_id=recipient.pk, **fields
    )


def state_of(mail):
    mail.refresh_from_db()
    return mail.status, mail.error


def returned(name):
    """What the row of that sample's mail says afterwards."""
    return MailStatus.FAILED, f"Devolvida: {EXPECTED[name][2]}"[:300]


# --- Reading --------------------------------------------------------------------------------------------------------
def test_every_sample_is_expected_and_every_expected_one_is_there():
    assert {path.stem for path in SAMPLES.glob("*.eml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_sample_names_its_mail_its_action_and_the_reason(name, line_end):
    reports = bounces.read(sample(name).replace(b"\r\n", b"\n").replace(b"\n", line_end))

    if EXPECTED[name] is None:
        assert reports == []
    else:
        uuid, action, reason = EXPECTED[name]
        assert {report.mail for report in reports} == {UUID(uuid)}
        assert (reports[0].action, reports[0].reason) == (action, reason)


@pytest.mark.parametrize("name", ["postfix-two-recipients", "sendmail-two-recipients", "opensmtpd-two-recipients"])
def test_each_recipient_has_a_report(name):
    assert [report.action for report in bounces.read(sample(name))] == ["failed", "failed"]


def status(fields, *, to="devolucoes@tjms.jus.br", headers="", returned=""):
    """A report with these fields about one recipient."""
    return (
        f"To: {to}\n{headers}MIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=limite\n\n"
        f"--limite\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\n{fields}\n\n"
        f"--limite\nContent-Type: text/rfc822-headers\n\n{returned}\n\n--limite--\n"
    ).encode()


MAIL = UUID("c0000000-0000-4000-8000-00000000000c")
OTHER = UUID("d0000000-0000-4000-8000-00000000000d")
ADDRESSED, RETURNED = f"devolucoes+{MAIL.hex}@tjms.jus.br", f"Message-ID: <{MAIL}@tjms.jus.br>"
ANSWERED, ENVELOPE = f"In-Reply-To: <{MAIL}@tjms.jus.br>\n", f"Original-Envelope-Id: {MAIL.hex}\nAction: failed"


@pytest.mark.parametrize(
    "raw",
    [
        status("Action: failed", to=ADDRESSED),
        status("Action: failed", to=f'"{ADDRESSED}" <{ADDRESSED.upper()}>'),
        status("Action: failed", headers=f"X-Original-To: {ADDRESSED}\n"),
        status("Action: failed", returned=RETURNED),
        status("Action: failed", returned=RETURNED.replace(" ", "\n\t").upper()),
        status("Action: failed", headers=ANSWERED),
        status("Action: failed", headers=f"References: <x@y.z>\n <{MAIL}@tjms.jus.br>\n"),
        status(ENVELOPE),
        # The surer one counts.
        status("Action: failed", to=ADDRESSED, returned=RETURNED.replace(str(MAIL), str(OTHER))),
        status("Action: failed", returned=RETURNED, headers=ANSWERED.replace(str(MAIL), str(OTHER))),
        status(ENVELOPE.replace(MAIL.hex, OTHER.hex), headers=ANSWERED),
    ],
)
def test_the_mail_is_found_by_the_surest_of_four_signs(raw):
    (report,) = bounces.read(raw)
    assert (report.mail, report.action) == (MAIL, "failed")


@pytest.mark.parametrize(
    "raw",
    [
        status("Action: failed"),
        status("Action: failed", headers=ANSWERED.replace("@tjms", "@outro")),
        status("Action: failed", to=ADDRESSED.replace("devolucoes", "outra")),
        status("Action: failed", headers=f"Subject: {MAIL}\n"),
    ],
)
def test_a_report_about_somebody_elses_mail_names_none(raw):
    (report,) = bounces.read(raw)
    assert report.mail is None


def test_without_a_mark_in_the_bounce_address_the_other_signs_do(settings):
    settings.BOUNCE_ADDRESS = "devolucoes@tjms.jus.br"
    (report,) = bounces.read(status("Action: failed", returned=RETURNED))
    assert report.mail == MAIL


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("Action: failed\nStatus: 5.1.1", "5.1.1 sem explicação do servidor"),
        ("Action: FAILED\nStatus: 5.1.1 (no user)\nDiagnostic-Code: smtp; 550 no", "5.1.1 550 no"),
        ("action:failed\nDIAGNOSTIC-CODE:smtp;550\n\tfolded\n and folded", "550 folded and folded"),
        ("Action: failed\nDiagnostic-Code: x; ana@a.br, <bia.sá@b.br> 'c@c'", "a***@a.br, <b***@b.br> 'c***@c'"),
        (
            "Final-Recipient: rfc822; ana.sa@a.br\nAction: failed\nDiagnostic-Code: x; no ANA.SA, cn=ana.sa",
            "no a***, cn=a***",
        ),
        ("Action: failed\nDiagnostic-Code: x; \x1b[31mred\x00 \u202etext", None),
        (f"Action: failed\nDiagnostic-Code: x; {'long ' * 2000}", None),
    ],
)
def test_a_reason_is_code_and_words_without_an_address(fields, reason):
    (report,) = bounces.read(status(fields))
    assert len(report.reason) <= 300
    assert reason in {None, report.reason}


# --- Garbage --------------------------------------------------------------------------------------------------------
PIECES = [
    b"\n",
    b"\r\n\r\n",
    b" ",
    b";",
    b"\x00",
    b"\xff\xfe",
    b"--limite\n",
    b"--limite--\n",
    b"Content-Type: multipart/report; boundary=limite\n",
    b"Content-Type: multipart/report; a*0*=x; a*=y\n",
    b"Content-Type: message/delivery-status\n",
    b"Content-Type: message/rfc822\n\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n#\n",
    b"Final-Recipient: rfc822; ana.souza@tjms.jus.br\n",
    b"Action: failed\n",
    b"Status: 5.1.1\n",
    b"Diagnostic-Code: smtp; 550 <ana.souza@tjms.jus.br>\n",
    b"Date: Mon, 99 Nov 99999999999 02:41:10 +9999\n",
    b"Message-ID: <c0000000-0000-4000-8000-00000000000c@tjms.jus.br>\n",
    b"To: devolucoes+c000000000004000800000000000000c@tjms.jus.br\n",
    b"Hi. This is the \n<ana.souza@tjms.jus.br>:\n",
]


@of_hypothesis(deadline=None)  # a machine that is busy with something else finds no fault
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=40).map(b"".join))
@example(b'Content-Type: multipart/report; a*0*="x"; a*="y"\n\nAction: failed\n')  # the library's parser: TypeError
@example(b"Content-Type: message/rfc822\n\n" * 3000)  # RecursionError
@example(b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(400)) + b"\n" * 90000)
def test_any_bytes_are_read_and_no_address_comes_out(raw):
    for report in bounces.read(raw):
        assert report.mail in {None, MAIL}
        assert len(report.reason) <= 300
        assert not WHOLE_ADDRESS.search(report.reason.replace("***@", ""))


@of_hypothesis(deadline=None)  # a machine that is busy with something else finds no fault
@given(st.sampled_from(sorted(EXPECTED)), st.data())
def test_a_report_that_was_cut_or_damaged_on_the_way_never_names_another_mail(name, data):
    raw = bytearray(sample(name)[: data.draw(st.integers(0, 4000))])
    for place in data.draw(st.lists(st.integers(0, max(len(raw) - 1, 0)), max_size=5)):
        raw[place : place + 1] = b"\n"
    expected = EXPECTED[name] and UUID(EXPECTED[name][0])
    assert {report.mail for report in bounces.read(bytes(raw))} <= {None, expected}


# --- Marking --------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected and expected[1] == "failed"])
def test_a_mail_that_was_given_up_is_marked_with_the_reason_once(name):
    mail = mail_of(name)

    assert bounces.apply(sample(name)) == bounces.Outcome.RETURNED
    assert state_of(mail) == returned(name)
    assert bounces.apply(sample(name)) == bounces.Outcome.KNOWN
    assert state_of(mail) == returned(name)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["postfix-delayed", "postfix-relayed", "exim-delayed", "sendmail-delayed", "opensmtpd-delayed"]
)
def test_a_mail_that_waits_or_arrived_stays_sent(name):
    mail = mail_of(name)
    assert bounces.apply(sample(name)) == bounces.Outcome.NO_FAILURE
    assert state_of(mail) == (MailStatus.SENT, "")


@pytest.mark.django_db
@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", "", "not-failed"])
def test_only_failed_fails(action):
    mail = mail_of(REFUSED)
    raw = sample(REFUSED).replace(b"Action: failed", f"Action: {action}".encode())
    assert bounces.apply(raw) == bounces.Outcome.NO_FAILURE
    assert state_of(mail) == (MailStatus.SENT, "")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["vacation", "read-receipt"])
def test_an_automatic_answer_fails_nothing(name):
    mail = mail_with("a9000000-0000-4000-8000-000000000009")
    assert bounces.apply(sample(name)) == bounces.Outcome.NOTHING
    assert state_of(mail) == (MailStatus.SENT, "")


@pytest.mark.django_db
def test_a_report_about_an_unknown_mail_touches_no_other():
    mail = mail_of("postfix-unknown-user")
    assert bounces.apply(sample(REFUSED)) == bounces.Outcome.NOT_OURS
    assert state_of(mail) == (MailStatus.SENT, "")


@pytest.mark.django_db
@pytest.mark.parametrize("was", [MailStatus.PENDING, MailStatus.SUPERSEDED, MailStatus.FAILED])
def test_a_mail_that_does_not_count_as_sent_is_left_alone(was):
    mail = mail_of(REFUSED, was, error="como estava")
    assert bounces.apply(sample(REFUSED)) == bounces.Outcome.KNOWN
    assert state_of(mail) == (was, "como estava")


@pytest.mark.django_db
def test_a_mail_in_the_hands_of_a_worker_is_looked_at_again_later():
    """The server's report may be faster than the worker that writes down that the server took the mail."""
    mail = mail_of(REFUSED, MailStatus.PENDING, lease_until=timezone.now() + timedelta(minutes=1))
    assert bounces.apply(sample(REFUSED)) == bounces.Outcome.TOO_EARLY

    OutgoingMail.objects.update(status=MailStatus.SENT, sent_at=timezone.now(), lease_until=None)
    assert bounces.apply(sample(REFUSED)) == bounces.Outcome.RETURNED
    assert state_of(mail) == returned(REFUSED)


@pytest.mark.django_db
def test_a_mail_comes_back_is_tried_again_and_an_old_report_does_not_undo_that(smtp_sink):
    person, analyst = UserFactory(), UserFactory(is_staff=True)
    with transaction.atomic():
        event = security.record(SecurityEvent.Kind.PASSWORD_CHANGED, user=person)
        outbox.owe("password_changed", recipient=person.pk, about=event.pk)
    outbox.send_due()
    mail = OutgoingMail.objects.get()
    (delivery,) = smtp_sink.deliveries

    def report(at):
        return status(
            f"Final-Recipient: rfc822; {person.email}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 no",
            to=delivery.sender,
            headers=f"Date: {format_datetime(at)}\n",
        )

    old = report(timezone.now() - timedelta(hours=1))
    assert bounces.apply(old) == bounces.Outcome.RETURNED
    assert state_of(mail) == (MailStatus.FAILED, "Devolvida: 5.1.1 550 no")

    with transaction.atomic():
        outbox.try_again(mail.pk, by=analyst)
    assert outbox.send_due() == 1
    assert bounces.apply(old) == bounces.Outcome.KNOWN
    assert state_of(mail)[0] == MailStatus.SENT
    assert bounces.apply(report(timezone.now())) == bounces.Outcome.RETURNED
    assert state_of(mail)[0] == MailStatus.FAILED


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "sender"),
    [("devolucoes+*@tjms.jus.br", "devolucoes+{}@tjms.jus.br"), ("devolucoes@tjms.jus.br", "devolucoes@tjms.jus.br")],
)
def test_a_mail_says_who_reads_answers_and_where_it_comes_back_to(smtp_sink, settings, address, sender):
    settings.BOUNCE_ADDRESS = address
    person = UserFactory()
    with transaction.atomic():
        event = security.record(SecurityEvent.Kind.PASSWORD_CHANGED, user=person)
        outbox.owe("password_changed", recipient=person.pk, about=event.pk)
    outbox.send_due()

    mail = OutgoingMail.objects.get()
    (delivery,) = smtp_sink.deliveries
    assert delivery.sender == sender.format(mail.uuid.hex)
    assert delivery.message["From"] == "Sistemas Externos <nao-responda@tjms.jus.br>"
    assert delivery.message["Reply-To"] == "cgjconvenios@tjms.jus.br"
    assert delivery.message["Return-Path"] is None  # the last server writes it
    assert delivery.message["Auto-Submitted"] == "auto-generated"


# --- The command ----------------------------------------------------------------------------------------------------
def run(*sources):
    """Exit status and everything that a terminal would show."""
    out = io.StringIO()
    try:
        call_command("read_bounces", *map(str, sources), stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}\n"
    return 0, out.getvalue()


def summary(read, failures, ours, now, ignored):
    return (
        f"Lidas: {read}. Devoluções: {failures}, de mensagens nossas: {ours}, "
        f"marcadas agora como não entregues: {now}. Ignoradas: {ignored}."
    )


#: One of ours that failed, one of others that failed, one of ours that waits, and one that is no report.
LETTERS = (REFUSED, "exim-refused", "postfix-delayed", "vacation")


@pytest.fixture
def mails(db):
    return mail_of(REFUSED), mail_of("postfix-delayed")


def states(mails):
    return [state_of(mail) for mail in mails]


AFTER = [returned(REFUSED), (MailStatus.SENT, "")]


def test_files_are_read_and_left_as_they_are(mails):
    files = [SAMPLES / f"{name}.eml" for name in LETTERS]

    assert run(*files) == (0, f"{summary(4, 2, 1, 1, 2)}\n")
    assert run(*files) == (0, f"{summary(4, 2, 1, 0, 2)}\n")
    assert states(mails) == AFTER


def test_an_mbox_is_read_message_by_message(mails, tmp_path):
    mbox = tmp_path / "mbox"
    mbox.write_bytes(b"".join(b"From MAILER-DAEMON Mon Nov 23\n" + sample(name) + b"\n" for name in LETTERS))
    before = mbox.read_bytes()

    assert run(mbox) == (0, f"{summary(4, 2, 1, 1, 2)}\n")
    assert run(mbox) == (0, f"{summary(4, 2, 1, 0, 2)}\n")
    assert (states(mails), mbox.read_bytes()) == (AFTER, before)


def test_a_line_that_begins_with_from_does_not_cut_a_single_message(mails, tmp_path):
    file = tmp_path / "one.eml"
    file.write_bytes(sample(REFUSED).replace(b"This is the mail system", b"\nFrom here on"))
    assert run(file) == (0, f"{summary(1, 1, 1, 1, 0)}\n")


@pytest.fixture
def maildir(tmp_path):
    for name in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / name).mkdir(parents=True)
    for number, name in enumerate(LETTERS):
        (tmp_path / "Maildir/new" / f"{number}.{name}").write_bytes(sample(name))
    return tmp_path / "Maildir"


def test_a_maildir_keeps_as_new_what_a_person_should_see(mails, maildir):
    assert run(maildir) == (0, f"{summary(4, 2, 1, 1, 2)}\n")
    assert sorted(path.name for path in (maildir / "new").iterdir()) == ["1.exim-refused", "3.vacation"]
    assert sorted(path.name for path in (maildir / "cur").iterdir()) == [f"0.{REFUSED}:2,S", "2.postfix-delayed:2,S"]

    assert run(maildir) == (0, f"{summary(2, 1, 0, 0, 1)}\n")
    assert states(mails) == AFTER


def test_a_message_that_cannot_be_read_does_not_stop_the_others(mails, maildir):
    (maildir / "new/00.gone").symlink_to(maildir / "nowhere")
    assert run(maildir) == (0, f"{summary(4, 2, 1, 1, 2)} Não puderam ser lidas: 1.\n")
    assert states(mails) == AFTER


def test_a_source_that_cannot_be_read_is_told_and_does_not_stop_the_others(mails, tmp_path):
    returncode, output = run(tmp_path / "nowhere", tmp_path, SAMPLES / f"{REFUSED}.eml")

    first, second = output.splitlines()
    assert (returncode, first) == (1, summary(1, 1, 1, 1, 0))
    assert second.count("não pôde ser lido") == 2
    assert states(mails) == AFTER


def pipe(monkeypatch, raw):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    return run("-")


def test_a_mail_server_may_hand_a_message_over(mails, monkeypatch):
    assert pipe(monkeypatch, sample(REFUSED)) == (0, f"{summary(1, 1, 1, 1, 0)}\n")
    assert pipe(monkeypatch, b"From MAILER-DAEMON Mon Nov 23\n" + sample(REFUSED)) == (0, f"{summary(1, 1, 1, 0, 0)}\n")
    assert pipe(monkeypatch, b"") == (0, f"{summary(0, 0, 0, 0, 0)}\n")
    assert states(mails) == AFTER


@pytest.mark.django_db
def test_a_mail_server_is_asked_to_keep_what_comes_too_early(monkeypatch):
    mail_of(REFUSED, MailStatus.PENDING, lease_until=timezone.now() + timedelta(minutes=1))
    returncode, output = pipe(monkeypatch, sample(REFUSED))
    assert returncode == 75
    assert "A ler de novo, porque a mensagem ainda está saindo: 1." in output


def test_of_a_huge_message_only_the_beginning_is_kept(mails, tmp_path, monkeypatch):
    seen = []
    apply = bounces.apply
    monkeypatch.setattr(bounces, "apply", lambda raw: seen.append(len(raw)) or apply(raw))
    file = tmp_path / "huge.eml"
    file.write_bytes(sample(REFUSED) + (b"x" * 1000 + b"\n") * 20_000)

    assert run(file) == (0, f"{summary(1, 1, 1, 1, 0)}\n")
    assert seen[0] < 3 * bounces.MAX_BYTES


@pytest.mark.django_db
def test_without_source_and_mailbox_it_says_what_to_do(settings):
    settings.BOUNCE_MAILBOX = ""
    assert run() == (1, "Indique o que ler, ou defina BOUNCE_MAILBOX. Veja .env.example.\n")


# --- The mailbox ----------------------------------------------------------------------------------------------------
class ImapHandler(socketserver.StreamRequestHandler):
    """As much of IMAP4rev1 as a reader needs, on the messages of ``self.server``."""

    def handle(self):
        with contextlib.suppress(OSError):
            self.talk()

    def talk(self):
        self.say("* OK ready")
        for line in self.rfile:
            tag, _, command = line.decode().strip().partition(" ")
            self.server.commands.append(command)
            verb = command.split()[0] if command else ""
            if verb == "UID":
                verb = f"UID {command.split()[1]}"
            answer = self.ANSWERS.get(verb, lambda _self, _command: "BAD what")(self, command)
            self.say(f"{tag} {answer} .")
            if verb == "LOGOUT":
                return

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())

    def capability(self, _command):
        self.say("* CAPABILITY IMAP4rev1")
        return "OK"

    def login(self, command):
        return "OK" if command == r'LOGIN "TJMS\\devolucoes" "se\"nha"' else "NO [AUTHENTICATIONFAILED] no"

    def select(self, command):
        if command != 'SELECT "Caixa de Entrada"':
            return "NO no such mailbox"
        self.say(f"* {len(self.server.messages)} EXISTS")
        return "OK [READ-WRITE]"

    def search(self, command):
        assert command == "UID SEARCH UNSEEN"
        self.say("* SEARCH " + " ".join(str(uid) for uid in self.server.messages if uid not in self.server.seen))
        return "OK"

    def fetch(self, command):
        uid, most = map(int, re.fullmatch(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", command).groups())
        if uid in self.server.gone:
            return "OK"
        content = self.server.messages[uid][:most]
        self.wfile.write(b"* 1 FETCH (UID %d BODY[]<0> {%d}\r\n%b)\r\n" % (uid, len(content), content))
        return "OK"

    def store(self, command):
        if self.server.breaks:
            self.connection.shutdown(socket.SHUT_RDWR)
            return "OK"
        uid = int(re.fullmatch(r"UID STORE (\d+) \+FLAGS\.SILENT \(\\Seen\)", command)[1])
        self.server.seen.append(uid)
        return "OK"

    def logout(self, _command):
        self.say("* BYE")
        return "OK"

    ANSWERS = {
        "CAPABILITY": capability,
        "LOGIN": login,
        "SELECT": select,
        "UID SEARCH": search,
        "UID FETCH": fetch,
        "UID STORE": store,
        "LOGOUT": logout,
    }


@pytest.fixture
def imap(settings):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), ImapHandler) as server:
        server.messages = {
            10 + number: sample(name) for number, name in enumerate(reversed(LETTERS))
        }  # read from the newest
        server.seen, server.gone, server.commands, server.breaks = [], [], [], False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        settings.BOUNCE_MAILBOX = imap_address(server)
        yield server
        server.shutdown()


def imap_address(server, user="TJMS%5Cdevolucoes", password="se%22nha", folder="Caixa%20de%20Entrada"):
    return f"imap://{user}:{password}@127.0.0.1:{server.server_address[1]}/{folder}"


def test_of_a_mailbox_what_is_done_with_is_marked_as_read(mails, imap):
    imap.gone.append(99)
    imap.messages[99] = b"removed by somebody meanwhile"

    assert run() == (0, f"{summary(4, 2, 1, 1, 2)}\n")
    assert imap.seen == [13, 11]
    assert states(mails) == AFTER

    assert run() == (0, f"{summary(2, 1, 0, 0, 1)}\n")
    assert imap.seen == [13, 11]


def test_what_was_marked_before_the_connection_broke_is_not_lost(mails, imap):
    imap.breaks = True
    returncode, output = run()
    assert (returncode, states(mails)) == (1, AFTER)
    assert output.startswith(summary(1, 1, 1, 1, 0))

    imap.breaks = False
    assert run() == (0, f"{summary(4, 2, 1, 0, 2)}\n")
    assert (imap.seen, states(mails)) == ([13, 11], AFTER)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"password": "outra-senha"}, "127.0.0.1 recusou o usuário ou a senha de BOUNCE_MAILBOX."),
        ({"folder": "Outra"}, "A caixa de BOUNCE_MAILBOX não tem a pasta 'Outra'."),
        ({"folder": ""}, "A caixa de BOUNCE_MAILBOX não tem a pasta 'INBOX'."),
    ],
)
def test_what_the_mailbox_refuses_is_one_sentence_without_the_password(imap, settings, wrong, sentence):
    settings.BOUNCE_MAILBOX = imap_address(imap, **wrong)
    returncode, output = run()
    assert (returncode, output.splitlines()) == (1, [summary(0, 0, 0, 0, 0), sentence])


@pytest.mark.django_db
def test_a_mail_server_that_is_away_is_one_sentence(imap, settings):
    imap.shutdown()
    imap.server_close()
    returncode, output = run()
    assert (returncode, output.splitlines()[1]) == (
        1,
        "A caixa em 127.0.0.1 não pôde ser lida (ConnectionRefusedError).",
    )


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["imap", "imaps"])
def test_the_password_does_not_leave_without_tls(imap, settings, monkeypatch, scheme):
    monkeypatch.setattr(read_bounces, "LOCAL_HOSTS", set())  # as if the server were another machine
    settings.BOUNCE_MAILBOX = imap_address(imap).replace("imap", scheme, 1)
    assert run()[0] == 1
    assert not any("LOGIN" in command for command in imap.commands)
