"""What became of each promise, by what the mail server took and the database holds, not by what the portal says."""

from __future__ import annotations

import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

from django.contrib.auth.hashers import check_password

from .crowd import Browser, Crowd
from .portal import Mail, Portal
from .smtp import UNKNOWN_MAILBOX

PROTOCOL = re.compile(r"\b20\d\d-\d{6}\b")
PASSWORD = re.compile(r"^Senha provisória:\n(\S+)$", re.MULTILINE)
LINK = re.compile(r"^https?://[^/\s]+(/redefinir-senha/\S+)$", re.MULTILINE)
REISSUED = re.compile(r"^Emitimos uma senha provisória nova para o seu acesso a (.+)$", re.MULTILINE)

#: (to whom, about what) -> Message-IDs.
Sent = defaultdict[tuple[str, tuple[str, str]], set[str]]


@dataclass
class Verdict:
    """Numbers for the table, and a sentence for each thing that is wrong."""

    mails: int = 0
    copies: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    dead_passwords: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Promise:
    """One request, and to whom its mails go."""

    pk: int
    protocol: str
    status: str
    requester: str
    beneficiary: str
    system: str


def judge(portal: Portal, crowd: Crowd) -> Verdict:
    """Call it when no mail is on its way any more."""
    mails = portal.mails()
    verdict = Verdict(mails=len({mail.message_id for mail in mails}))
    look_for_copies(mails, verdict)
    look_for_what_was_promised(portal, crowd, mails, verdict)
    compare_with_the_outbox(portal, crowd, mails, verdict)
    look_for_half_decisions(portal, crowd, verdict)
    try_the_passwords(portal, crowd, mails, verdict)
    return verdict


def look_for_copies(mails: list[Mail], verdict: Verdict) -> None:
    """What has the same Message-ID goes to the same person and carries the same password."""
    seen: dict[str, tuple[str, str, list[str]]] = {}
    for mail in mails:
        content = mail.to, str(mail.message["Subject"]), PASSWORD.findall(mail.text)
        if mail.message_id in seen:
            verdict.copies.append(f"{mail.message_id} to {mail.to}")
            if seen[mail.message_id] != content:
                verdict.wrong.append(f"two different mails are called {mail.message_id}")
        seen[mail.message_id] = content


def about(mail: Mail) -> tuple[str, str]:
    """What a mail tells of."""
    if in_subject := PROTOCOL.search(str(mail.message["Subject"])):
        return "status", in_subject[0]
    if LINK.search(mail.text):
        return "reset", ""
    if reissued := REISSUED.search(mail.text):
        return "reissue", reissued[1]
    [protocol] = PROTOCOL.findall(mail.text)
    return "credential" if PASSWORD.search(mail.text) else "access", protocol


def promises(portal: Portal) -> dict[int, Promise]:
    found = portal.database.rows(
        "SELECT request.id, protocol, status, requester_email, beneficiary.email, system.name"
        " FROM requests_app_accessrequest AS request"
        " JOIN accounts_user AS beneficiary ON beneficiary.id = beneficiary_id"
        " JOIN requests_app_usertype AS user_type ON user_type.id = user_type_id"
        " JOIN requests_app_externalsystem AS system ON system.id = system_id"
    )
    return {row[0]: Promise(*row) for row in found}


def look_for_what_was_promised(portal: Portal, crowd: Crowd, mails: list[Mail], verdict: Verdict) -> None:
    """Whatever somebody was told of, there is a mail about; and two only where it was done twice."""
    sent: Sent = defaultdict(set)
    for mail in mails:
        sent[mail.to, about(mail)].add(mail.message_id)
    known = promises(portal)
    overtaken = {known[pk].beneficiary for pk in crowd.reissued}

    def expect(to: str, *what: str, most: int = 1) -> None:
        found = len(sent[to, what])
        if not found:
            verdict.lost.append(f"{what} to {to}")
        elif found > most:
            verdict.wrong.append(f"{found} different mails: {what} to {to}")

    for pk in crowd.approved:
        expect(known[pk].requester, "status", known[pk].protocol)
        look_for_the_credential(
            known[pk], sent, verdict, overtaken=known[pk].beneficiary in overtaken, gone=portal.unknown
        )
    for pk in crowd.reissued:
        expect(known[pk].beneficiary, "reissue", known[pk].system, most=crowd.tries["reissue", pk])
    for cpf, email in portal.database.rows("SELECT cpf, email FROM accounts_user"):
        if cpf in crowd.forgotten:
            expect(email, "reset", "", most=crowd.tries["reset", cpf])
    open_the_links(portal, mails, verdict)


def look_for_the_credential(told: Promise, sent: Sent, verdict: Verdict, *, overtaken: bool, gone: str) -> None:
    """Login and password, or that the password mailed before opens this too; both only where it was overtaken."""
    credential = sent[told.beneficiary, ("credential", told.protocol)]
    access = sent[told.beneficiary, ("access", told.protocol)]
    if told.beneficiary == gone:
        verdict.wrong += [f"{told.beneficiary} got mail"] if credential | access else []
    elif not credential | access:
        verdict.lost.append(f"the credential of {told.protocol} to {told.beneficiary}")
    elif len(credential) > 1 or len(access) > 1 or (credential and access and not overtaken):
        verdict.wrong.append(f"{len(credential)} credentials, {len(access)} other mails for {told.protocol}")


def open_the_links(portal: Portal, mails: list[Mail], verdict: Verdict) -> None:
    """The newest link of each person leads to the form; opening spends nothing."""
    links = {mail.to: found[1] for mail in mails if (found := LINK.search(mail.text))}
    visitor = Browser(portal.address, "10.2.0.1")
    for to, link in links.items():
        answer = visitor.get(link)
        if (answer.status, answer.location) != (302, "/redefinir-senha/nova/"):
            verdict.lost.append(f"the link of {to} answers {answer.status}")


def compare_with_the_outbox(portal: Portal, crowd: Crowd, mails: list[Mail], verdict: Verdict) -> None:
    """Nothing counts as sent that was not; nothing failed but the mail to the mailbox that does not exist."""
    taken = {mail.uuid for mail in mails}
    known = promises(portal)
    overtaken = {known[pk].beneficiary for pk in crowd.reissued}
    rows = portal.database.rows(
        "SELECT mail.uuid, mail.status, mail.error, mail.kind, recipient.email FROM accounts_outgoingmail AS mail"
        " JOIN accounts_user AS recipient ON recipient.id = recipient_id"
    )
    owed = {UUID(str(number)) for number, *_rest in rows}
    verdict.wrong += [f"mail {number} was owed by no row" for number in taken - owed]
    for number, status, error, kind, to in rows:
        if status == "SENT" and UUID(str(number)) not in taken:
            verdict.lost.append(f"{kind} to {to}: counts as sent, and was not")
        elif status == "FAILED" and (to, error) != (portal.unknown, UNKNOWN_MAILBOX):
            verdict.lost.append(f"{kind} to {to} failed: {error}")
        elif status == "SUPERSEDED" and to not in overtaken:
            verdict.lost.append(f"{kind} to {to} was dropped: {error}")
    failed = [to for _number, status, _error, _kind, to in rows if status == "FAILED"]
    if failed != [portal.unknown] * bool(portal.unknown):
        verdict.wrong.append(f"failed: {failed}")


def look_for_half_decisions(portal: Portal, crowd: Crowd, verdict: Verdict) -> None:
    """Each request is as it was filed, or decided whole; and decided if somebody was told so."""
    moves = defaultdict(list)
    for pk, status in portal.database.rows("SELECT request_id, to_status FROM requests_app_requestevent ORDER BY id"):
        moves[pk].append(status)
    accesses = defaultdict(list)
    for pk, status in portal.database.rows("SELECT request_id, status FROM requests_app_accessgrant"):
        accesses[pk].append(status)
    untouched = "PENDING", ["PENDING"], []
    decided = "COMPLETED", ["PENDING", "APPROVED", "COMPLETED"], ["ACTIVE"]
    for pk, promise in promises(portal).items():
        found = promise.status, moves[pk], accesses[pk]
        if found != decided and (found != untouched or pk in crowd.approved):
            verdict.wrong.append(f"request {promise.protocol} is half done: {found}")


def try_the_passwords(portal: Portal, crowd: Crowd, mails: list[Mail], verdict: Verdict) -> None:
    """The last one that each person was mailed is theirs, to be changed at once. Everybody approved was mailed one."""
    mailed = {mail.to: found[1] for mail in mails if (found := PASSWORD.search(mail.text))}
    stored = {
        email: (encoded, must_change)
        for email, encoded, must_change in portal.database.rows(
            "SELECT email, password, must_change_password FROM accounts_user"
        )
    }
    known = promises(portal)
    people = sorted({known[pk].beneficiary for pk in crowd.approved} - {portal.unknown})

    def works(person: str) -> bool:
        encoded, must_change = stored[person]
        return person in mailed and bool(must_change) and check_password(mailed[person], encoded)

    with ThreadPoolExecutor(2) as threads:
        for person, good in zip(people, threads.map(works, people), strict=True):
            if not good:
                verdict.dead_passwords.append(person)
