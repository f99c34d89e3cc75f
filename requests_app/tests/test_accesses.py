"""Accesses: their table of moves tried whole, what each move tells to whom, and the pages on which they move."""

from __future__ import annotations

import itertools
import json
from contextlib import nullcontext
from datetime import date, timedelta

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.templatetags.static import static
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import housekeeping, outbox, privacy
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory
from requests_app import workflow
from requests_app.admin import filters
from requests_app.models import AccessGrant, GrantEvent, GrantStatus, Status, TypedCredential
from requests_app.workflow import GrantRole, MoveRefusedError, Typed, move_grant

from .factories import (
    ExternalSystemFactory,
    UserTypeFactory,
    analyst,
    grant_of,
    head_of,
    manager,
    request_in,
    superuser,
    unsaved_request,
)
from .pages import Page, text_of, walk
from .test_concurrency import at_once

pytestmark = pytest.mark.django_db

GRANTS = "/admin/requests_app/accessgrant/"
HUGE = str(10**30)
ACTIVE, SUSPENDED, TO_REVOKE, REVOKED, EXPIRED = GrantStatus
LIVE = (ACTIVE, SUSPENDED, TO_REVOKE)
NOT_YOUR_OWN = "Ninguém decide sobre um acesso que tem, que pediu ou cujo fim pediu."
WRITE_WHY = "Escreva o motivo: ele fica no histórico do acesso."

# Written by hand from DESIGN §6 and the issue, not read from GRANT_MOVES: a wrong entry there must fail here.
EXPECTED = {
    ("ACTIVE", "SUSPENDED"): {"analyst"},
    ("SUSPENDED", "ACTIVE"): {"analyst"},
    ("ACTIVE", "REVOKED"): {"analyst"},
    ("SUSPENDED", "REVOKED"): {"analyst"},
    ("TO_REVOKE", "REVOKED"): {"analyst"},
    ("ACTIVE", "TO_REVOKE"): {"head", "clock", "holder"},
    ("SUSPENDED", "TO_REVOKE"): {"head", "clock", "holder"},
    ("TO_REVOKE", "ACTIVE"): {"analyst"},
    ("TO_REVOKE", "SUSPENDED"): {"analyst"},
    ("ACTIVE", "EXPIRED"): {"clock"},
    ("SUSPENDED", "EXPIRED"): {"clock"},
    ("TO_REVOKE", "EXPIRED"): {"clock"},
}
ACTORS = (
    "analyst",
    "head",
    "holder",
    "clock",
    "colleague",
    "head of another unit",
    "head who has left",
    "analyst who has it",
    "head who has it",
    "analyst who asked for it",
    "head who decides and asked for its end",
    "inactive analyst",
    "manager",
    "administrator",
)


def become_head(user, unit):
    EmploymentFactory(user=user, unit=unit, cargo=head_of(UnitFactory()).employments.get().cargo)
    return user


def actor_for(name, grant):
    unit = grant.user.employments.get().unit
    made = {
        "analyst": analyst,
        "head": lambda: head_of(unit),
        "holder": lambda: grant.user,
        "clock": lambda: None,
        "colleague": lambda: EmploymentFactory(unit=unit).user,
        "head of another unit": lambda: head_of(UnitFactory()),
        "head who has left": lambda: head_of(unit, ended_on=timezone.localdate() - timedelta(days=1)),
        "analyst who has it": lambda: grant.user,
        "head who has it": lambda: become_head(grant.user, unit),
        "analyst who asked for it": lambda: grant.request.requester,
        "head who decides and asked for its end": lambda: become_head(analyst(), unit),
        "inactive analyst": lambda: analyst(is_active=False),
        "manager": manager,
        "administrator": superuser,
    }
    return made[name]()


def grant_in(status, *, was=ACTIVE, by=None, **fields):
    """An access in this status; if it is to be revoked, with the step that asked for its end."""
    bond = fields.pop("bond", None) or EmploymentFactory()
    grant = grant_of(bond, status=status, **fields)
    if status == TO_REVOKE:
        GrantEvent.objects.create(grant=grant, from_status=was, to_status=TO_REVOKE, actor=by, note="Mudou de setor.")
    return grant


def steps_of(grant):
    return [(event.from_status, event.to_status, event.actor) for event in grant.events.all()]


@pytest.mark.parametrize("name", ACTORS)
@pytest.mark.parametrize(("came_from", "to"), [*itertools.product(GrantStatus, GrantStatus)])
def test_an_access_moves_by_the_table_and_in_no_other_way(came_from, to, name):
    person = EmploymentFactory(user=analyst() if name == "analyst who has it" else UserFactory())
    fields = {"bond": person}
    if name == "analyst who asked for it":
        user_type = UserTypeFactory()
        asked = request_in(Status.COMPLETED, requester=EmploymentFactory(user=analyst()).user, bond=person)
        fields |= {"user_type": asked.user_type or user_type, "request": asked}
    grant = grant_in(came_from if came_from != TO_REVOKE else ACTIVE, **fields)
    actor = actor_for(name, grant)
    if came_from == TO_REVOKE:
        asker = actor if name.endswith("its end") else head_of(UnitFactory())
        AccessGrant.objects.filter(pk=grant.pk).update(status=TO_REVOKE)
        was = to if to in {ACTIVE, SUSPENDED} else ACTIVE
        GrantEvent.objects.create(grant=grant, from_status=was, to_status=TO_REVOKE, actor=asker)
    before = steps_of(grant)
    # Whoever has the access gives it up, whatever else they are.
    roles = {"holder" if name.endswith("who has it") else name}
    if name.endswith("its end"):
        roles = set() if came_from == TO_REVOKE else {"analyst", "head"}
    allowed = not roles.isdisjoint(EXPECTED.get((came_from.name, to.name), set()))

    with nullcontext() if allowed else pytest.raises(MoveRefusedError):
        move_grant(grant.pk, to, by=actor, note="motivo")

    grant.refresh_from_db()
    expected = (to, [*before, (came_from, to, actor)]) if allowed else (came_from, before)
    assert (grant.status, steps_of(grant)) == expected
    if not allowed:
        assert not OutgoingMail.objects.exists()


def test_every_role_is_tried():
    assert {role.value for role in GrantRole} <= set(ACTORS)


@pytest.mark.parametrize(("was", "other"), [(ACTIVE, SUSPENDED), (SUSPENDED, ACTIVE)])
def test_what_is_kept_goes_back_to_what_it_was_and_to_nothing_else(was, other):
    grant = grant_in(TO_REVOKE, was=was)
    with pytest.raises(MoveRefusedError, match="não pode passar para"):
        move_grant(grant.pk, other, by=analyst(), note="fica")
    assert move_grant(grant.pk, was, by=analyst(), note="fica").status == was


@pytest.mark.parametrize(
    ("came_from", "to"),
    [(ACTIVE, SUSPENDED), (ACTIVE, REVOKED), (SUSPENDED, REVOKED), (TO_REVOKE, REVOKED), (TO_REVOKE, ACTIVE)],
)
@pytest.mark.parametrize("note", ["", "  \n ", "\u200b\u2060"])
def test_what_takes_or_keeps_an_access_needs_a_reason_that_can_be_read(came_from, to, note):
    grant = grant_in(came_from)
    before = steps_of(grant)
    with pytest.raises(MoveRefusedError, match="Escreva o motivo"):
        move_grant(grant.pk, to, by=analyst(), note=note)
    assert steps_of(grant) == before


def test_asking_for_the_end_needs_a_reason():
    grant = grant_in(ACTIVE)
    with pytest.raises(MoveRefusedError, match="Escreva o motivo"):
        move_grant(grant.pk, TO_REVOKE, by=head_of(grant.user.employments.get().unit), note=" ")


def test_resuming_needs_no_reason():
    grant = grant_in(SUSPENDED)
    assert move_grant(grant.pk, ACTIVE, by=analyst()).status == ACTIVE


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("analyst who has it", NOT_YOUR_OWN),
        ("head who decides and asked for its end", NOT_YOUR_OWN),
        ("manager", "Você não tem permissão para isso."),
        ("administrator", "Quem define os perfis da equipe não decide"),
    ],
)
def test_whoever_may_not_decide_reads_why(name, sentence):
    grant = grant_in(ACTIVE, bond=EmploymentFactory(user=analyst()))
    actor = actor_for(name, grant)
    if name.endswith("its end"):
        move_grant(grant.pk, TO_REVOKE, by=actor, note="saiu")
    with pytest.raises(MoveRefusedError) as refusal:
        move_grant(grant.pk, REVOKED, by=actor, note="saiu")
    assert str(refusal.value).startswith(sentence)


def test_the_loser_of_a_race_reads_what_the_winner_did():
    grant = grant_in(ACTIVE)
    move_grant(grant.pk, REVOKED, by=analyst(), note="saiu")
    with pytest.raises(MoveRefusedError) as refusal:
        move_grant(grant.pk, SUSPENDED, by=analyst(), note="férias")
    assert str(refusal.value) == (
        "O acesso está “Revogado” e não pode passar para “Suspenso”. "
        "Talvez outra pessoa já o tenha mudado: abra de novo para ver."
    )


def test_an_old_page_changes_nothing():
    grant = grant_in(ACTIVE)
    seen = grant.events.get().pk
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="férias")
    move_grant(grant.pk, ACTIVE, by=analyst())
    with pytest.raises(MoveRefusedError, match="mudou depois que você abriu esta página"):
        move_grant(grant.pk, REVOKED, by=analyst(), note="saiu", seen=seen)
    grant.refresh_from_db()
    assert grant.status == ACTIVE


# --- What each move tells -------------------------------------------------------------------------------------------
def told(smtp_sink, address):
    """The mails to one address: (subject, text) of each, after every mail that is owed has gone out."""
    outbox.send_due()
    for delivery in smtp_sink.to(address):
        assert "Nunca pedimos sua senha" in delivery.text()
        assert "{" not in delivery.text() + delivery.text("html").partition("<body")[2]
    return [(delivery.message["Subject"], " ".join(delivery.text().split())) for delivery in smtp_sink.to(address)]


MAILS = {
    SUSPENDED: (
        "[Sistemas Externos] Acesso suspenso: SEEU",
        ["suspendeu o seu acesso a SEEU", "Motivo: Férias longas.", "não use este sistema", "responda a este e-mail"],
    ),
    REVOKED: (
        "[Sistemas Externos] Acesso revogado: SEEU",
        ["revogou o seu acesso a SEEU", "Motivo: Férias longas.", "faça um pedido novo", "/solicitacoes/nova/"],
    ),
}


@pytest.mark.parametrize("credential", ["PORTAL", "OPERATOR", "OWN"])
@pytest.mark.parametrize("to", MAILS)
def test_the_person_is_told_what_happened_why_and_what_to_do(smtp_sink, to, credential):
    system = ExternalSystemFactory(name="SEEU", credential=credential)
    grant = grant_in(
        ACTIVE, user_type=UserTypeFactory(system=system, name="Consulta"), unit=UnitFactory(name="Vara Única")
    )
    move_grant(grant.pk, to, by=analyst(), note="Férias longas.")

    [(subject, text)] = told(smtp_sink, grant.user.email)
    wanted, parts = MAILS[to]
    assert subject == wanted
    for part in (*parts, "Tipo de usuário: Consulta", "Unidade: Vara Única", "Dúvidas?"):
        assert part in text
    assert ("A senha que você usa neste portal continua a mesma." in text) == (credential == "PORTAL")


@pytest.mark.parametrize("note", ["Voltou das férias.", ""])
@pytest.mark.parametrize("credential", ["PORTAL", "OWN"])
def test_who_gets_an_access_back_is_told_how_to_get_in(smtp_sink, credential, note):
    grant = grant_in(SUSPENDED, user_type=UserTypeFactory(system__name="SEEU", system__credential=credential))
    move_grant(grant.pk, ACTIVE, by=analyst(), note=note)
    [(subject, text)] = told(smtp_sink, grant.user.email)
    assert subject == "[Sistemas Externos] Acesso liberado de novo: SEEU"
    assert "com o mesmo login e a mesma senha" in text
    assert ("/entrar/" in text) == (credential == "PORTAL")
    assert ("Motivo:" in text) == bool(note)


@pytest.mark.parametrize(
    ("to", "subject", "part"),
    [
        (REVOKED, "Acesso revogado: SEEU", "A Coordenadoria revogou o acesso"),
        (ACTIVE, "Acesso mantido: SEEU", "A Coordenadoria decidiu manter o acesso"),
    ],
)
def test_who_asked_for_the_end_is_told_the_decision_and_the_person_only_what_changes(smtp_sink, to, subject, part):
    grant = grant_in(
        ACTIVE,
        bond=EmploymentFactory(user__name="JOÃO DA SILVA"),
        user_type=UserTypeFactory(system__name="SEEU"),
    )
    head = head_of(grant.user.employments.get().unit)
    move_grant(grant.pk, TO_REVOKE, by=head, note="Mudou de setor.")
    assert told(smtp_sink, grant.user.email) == []

    move_grant(grant.pk, to, by=analyst(), note="Conferido com a unidade.")

    [(found, text)] = told(smtp_sink, head.email)
    assert found == f"[Sistemas Externos] {subject}"
    for wanted in (part, "fim do acesso de João da Silva a SEEU", "Motivo: Conferido com a unidade."):
        assert wanted in text
    to_the_person = told(smtp_sink, grant.user.email)
    assert len(to_the_person) == (to == REVOKED)
    assert not any(head.display_name in text for _subject, text in to_the_person)


def test_who_has_no_address_is_no_obstacle_and_the_desk_sees_the_mail(client):
    grant = grant_in(ACTIVE, bond=EmploymentFactory(user__email=""))
    move_grant(grant.pk, REVOKED, by=analyst(), note="saiu")
    outbox.send_due()
    mail = OutgoingMail.objects.get()
    assert (mail.kind, mail.status) == ("access_revoked", MailStatus.FAILED)
    client.force_login(analyst())
    page = Page(client.get(f"/admin/accounts/outgoingmail/{mail.pk}/change/"))
    assert page.one("a", href=f"{GRANTS}{grant.pk}/change/")


# --- Credentials ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("to", [SUSPENDED, REVOKED])
def test_a_credential_that_waits_does_not_go_out_any_more_and_its_password_is_erased(smtp_sink, to):
    request = request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential="OPERATOR"))
    typed = Typed("ceci.correa", "Capim-dourado 88")
    grant = workflow.move(request.pk, Status.COMPLETED, by=analyst(), typed=typed).grant
    assert TypedCredential.objects.get().password

    move_grant(grant.pk, to, by=analyst(), note="engano")

    assert TypedCredential.objects.get().password == ""
    mail = OutgoingMail.objects.get(kind="operator_credential")
    assert (mail.status, mail.error) == (MailStatus.SUPERSEDED, "O acesso não está mais ativo.")
    outbox.send_due()
    assert not any("Capim-dourado" in delivery.text() for delivery in smtp_sink.deliveries)


def test_a_provisional_password_that_nobody_got_is_over_with_its_access(smtp_sink):
    request = workflow.file(unsaved_request())
    grant = workflow.move(request.pk, Status.APPROVED, by=analyst()).grant
    assert ProvisionalPassword.objects.get().nonce

    move_grant(grant.pk, REVOKED, by=analyst(), note="engano")

    live = ProvisionalPassword.objects.get()
    assert (live.nonce, live.ended_at is None) == ("", False)
    subjects = [subject for subject, _text in told(smtp_sink, grant.user.email)]
    assert subjects == [f"[Sistemas Externos] Acesso revogado: {grant.user_type.system}"]


def test_a_provisional_password_that_another_access_needs_goes_out_with_that_one(smtp_sink):
    bond = EmploymentFactory(user__password=make_password(None))
    first, second = (
        workflow.move(workflow.file(unsaved_request(bond=bond)).pk, Status.APPROVED, by=analyst()).grant
        for _ in range(2)
    )
    move_grant(first.pk, REVOKED, by=analyst(), note="engano")
    outbox.send_due()
    with_password = [mail for mail in smtp_sink.to(bond.user.email) if "Senha provisória:" in mail.text()]
    assert [mail.message["Subject"] for mail in with_password] == [
        f"[Sistemas Externos] Acesso liberado: {second.user_type.system}"
    ]


def test_the_password_of_the_portal_is_the_persons_and_stays():
    grant = grant_in(ACTIVE)
    before = grant.user.password
    move_grant(grant.pk, REVOKED, by=analyst(), note="saiu")
    grant.user.refresh_from_db()
    assert (grant.user.password, grant.user.has_chosen_password) == (before, True)


def test_an_access_whose_end_was_asked_for_still_brings_its_credential(smtp_sink):
    grant = workflow.move(workflow.file(unsaved_request()).pk, Status.APPROVED, by=analyst()).grant
    move_grant(grant.pk, TO_REVOKE, by=head_of(grant.user.employments.get().unit), note="talvez")
    [(subject, text)] = told(smtp_sink, grant.user.email)
    assert subject.startswith("[Sistemas Externos] Acesso liberado")
    assert "Senha provisória:" in text


# --- Until when -----------------------------------------------------------------------------------------------------
def end(client, grant, until, why="Designação temporária.", **more):
    return client.post(f"{GRANTS}{grant.pk}/prazo/", {"until": until, "why": why, **more})


@pytest.fixture
def decider(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


@pytest.mark.parametrize("typed", ["2027-03-01", "01/03/2027"])
@time_machine.travel("2026-11-23T10:00:00-04:00", tick=False)
def test_an_analyst_says_until_when_an_access_holds_and_why(client, decider, typed):
    grant = grant_in(ACTIVE)
    response = end(client, grant, typed)
    assert (response.status_code, response.url) == (302, f"{GRANTS}{grant.pk}/change/")
    page = Page(client.get(response.url))
    assert "O acesso vale até 01/03/2027." in page.text
    assert page.value("until") == "2027-03-01"
    grant.refresh_from_db()
    assert grant.expires_on == date(2027, 3, 1)
    last = grant.events.last()
    assert (last.from_status, last.to_status, last.actor, last.note) == (
        ACTIVE,
        ACTIVE,
        decider,
        "Vale até 01/03/2027. Designação temporária.",
    )
    end(client, grant, "")
    grant.refresh_from_db()
    assert (grant.expires_on, grant.events.last().note) == (None, "Sem data de fim. Designação temporária.")


@pytest.mark.parametrize(
    ("until", "why", "sentence"),
    [
        ("2020-01-01", "motivo", "A data já passou."),
        ("2026-02-30", "motivo", "Data inválida."),
        ("amanhã", "motivo", "Data inválida."),
        ("0001-01-01", "motivo", "Data inválida."),
        ("9999-12-31", "motivo", "Data inválida."),
        ("٢٠٢٧-٠٣-٠١x", "motivo", "Data inválida."),
        ("", "motivo", "O acesso já não tem data de fim."),
        ("2099-01-01", "", WRITE_WHY),
        ("2099-01-01", "\u200b", WRITE_WHY),
        ("2099-01-01", "a" * 2001, "2000"),
    ],
)
def test_a_day_that_cannot_be_is_told_and_what_was_typed_stays(client, decider, until, why, sentence):
    grant = grant_in(ACTIVE)
    response = end(client, grant, until, why)
    assert response.status_code in {200, 409}
    page = Page(response)
    assert sentence in page.text
    assert page.value("why") == why.replace("\u200b", "\u200b").strip()
    assert AccessGrant.objects.get().expires_on is None
    assert grant.events.count() == 1


@pytest.mark.parametrize(
    ("now", "status"),
    [("2026-12-08T23:59:00-04:00", ACTIVE), ("2026-12-09T00:01:00-04:00", EXPIRED)],
)
def test_an_access_expires_when_its_last_day_is_over_here(now, status):
    grant = grant_in(ACTIVE, expires_on=date(2026, 12, 8))
    with time_machine.travel(now, tick=False):
        housekeeping.run()
    grant.refresh_from_db()
    assert grant.status == status


def test_only_live_accesses_expire_and_the_person_hears_of_it_once(smtp_sink):
    yesterday = timezone.localdate() - timedelta(days=1)
    grants = {status: grant_in(status, expires_on=yesterday) for status in GrantStatus}
    without_end = grant_in(ACTIVE)
    assert workflow.expire_ended(dry_run=True) == 3

    for _ in range(2):
        housekeeping.run()

    statuses = dict(AccessGrant.objects.values_list("pk", "status"))
    assert {status: statuses[grant.pk] for status, grant in grants.items()} == {
        **dict.fromkeys(LIVE, EXPIRED),
        REVOKED: REVOKED,
        EXPIRED: EXPIRED,
    }
    assert statuses[without_end.pk] == ACTIVE
    assert steps_of(grants[SUSPENDED])[-1] == (SUSPENDED, EXPIRED, None)
    [(subject, text)] = told(smtp_sink, grants[ACTIVE].user.email)
    assert subject == f"[Sistemas Externos] Acesso vencido: {grants[ACTIVE].user_type.system}"
    assert f"O prazo dele terminou em {yesterday:%d/%m/%Y}." in text
    assert "faça um pedido novo" in text


def test_one_that_cannot_be_expired_keeps_no_other_back_and_is_told_of(monkeypatch):
    grants = [grant_in(ACTIVE, expires_on=date(2020, 1, 1)) for _ in range(3)]
    owe = outbox.owe

    def owe_unless_first(kind, *, recipient, about):
        if recipient == grants[0].user_id:
            raise ZeroDivisionError
        owe(kind, recipient=recipient, about=about)

    monkeypatch.setattr(outbox, "owe", owe_unless_first)
    with pytest.raises(RuntimeError, match="1 accesses could not be expired; 2 were"):
        workflow.expire_ended()
    assert [*AccessGrant.objects.order_by("pk").values_list("status", flat=True)] == [ACTIVE, EXPIRED, EXPIRED]


# --- The page of one access -----------------------------------------------------------------------------------------
def screen(grant):
    return f"{GRANTS}{grant.pk}/change/"


def post(client, grant, to, **fields):
    return client.post(f"{GRANTS}{grant.pk}/mover/", {"to": to, **fields})


def buttons(page):
    return {dict(button.attributes)["value"]: text_of(button) for button in page.all("button", name="to")}


@pytest.mark.parametrize(
    ("status", "was", "expected"),
    [
        (ACTIVE, ACTIVE, {"SUSPENDED": "Suspender", "REVOKED": "Revogar"}),
        (SUSPENDED, ACTIVE, {"ACTIVE": "Retomar", "REVOKED": "Revogar"}),
        (TO_REVOKE, ACTIVE, {"REVOKED": "Revogar", "ACTIVE": "Manter o acesso"}),
        (TO_REVOKE, SUSPENDED, {"REVOKED": "Revogar", "SUSPENDED": "Manter suspenso"}),
        (REVOKED, ACTIVE, {}),
        (EXPIRED, ACTIVE, {}),
    ],
)
def test_the_page_offers_what_the_table_allows(client, decider, status, was, expected):
    page = Page(client.get(screen(grant_in(status, was=was))))
    assert buttons(page) == expected
    if not expected:
        assert "Este acesso já terminou." in page.text
    assert bool(page.controls("until")) == bool(expected)


def test_the_page_says_who_has_what_since_when_and_who_asked_for_the_end(client, decider):
    bond = EmploymentFactory(user__name="JOÃO DA SILVA", matricula="081135", cargo="Oficial de Justiça")
    head = head_of(bond.unit, user__name="HELENA CHEFE")
    grant = grant_in(
        TO_REVOKE,
        by=head,
        bond=bond,
        user_type=UserTypeFactory(name="Consulta", system__name="BNMP 2.0"),
        expires_on=date(2099, 1, 2),
    )
    page = Page(client.get(screen(grant)))
    for fact in (
        *("Acesso de João da Silva a BNMP 2.0 – Consulta", "A revogar", "081135", "Oficial de Justiça"),
        *("até 02/01/2099", "Acesso anterior ao portal", "Helena Chefe pediu o fim deste acesso", "Mudou de setor."),
        "A senha do portal não muda: ela é da conta da pessoa.",
    ):
        assert fact in page.text + text_of(page.one("h1")), fact
    assert bond.user.cpf not in page.text


@pytest.mark.parametrize(
    ("status", "to", "said"),
    [
        (ACTIVE, "SUSPENDED", "Acesso suspenso."),
        (ACTIVE, "REVOKED", "Acesso revogado."),
        (SUSPENDED, "ACTIVE", "Acesso retomado."),
        (TO_REVOKE, "ACTIVE", "Acesso mantido. Quem pediu o fim recebe um e-mail"),
        (TO_REVOKE, "REVOKED", "Acesso revogado."),
    ],
)
def test_a_button_moves_the_access_and_says_so(client, decider, status, to, said):
    grant = grant_in(status)
    response = post(client, grant, to, note="Motivo claro.", seen=grant.events.last().pk, user=1, status="REVOKED")
    assert (response.status_code, response.url) == (302, screen(grant))
    page = Page(client.get(response.url))
    assert said in page.text
    assert "Motivo claro." in page.text
    grant.refresh_from_db()
    assert grant.status == to
    assert steps_of(grant)[-1] == (status, to, decider)


@pytest.mark.parametrize(
    ("fields", "status_code", "sentence"),
    [
        ({"to": "SUSPENDED", "note": ""}, 200, WRITE_WHY),
        ({"to": "REVOKED", "note": "a" * 2001}, 200, "2000"),
        ({"to": "REVOKED", "note": "a\0b"}, 200, "Caracteres nulos"),
        ({"to": "ACTIVE", "note": "motivo"}, 409, "está “Ativo” e não pode passar para “Ativo”"),
        ({"to": "EXPIRED", "note": "motivo"}, 200, "Esta opção não está disponível"),
        ({"to": "TO_REVOKE", "note": "motivo"}, 200, "Esta opção não está disponível"),
        ({"to": "", "note": "motivo"}, 200, "A página foi alterada."),
        ({"note": "motivo"}, 200, "A página foi alterada."),
        ({"to": "REVOKED", "note": "motivo", "seen": "abc"}, 409, "A página foi alterada."),
        ({"to": "REVOKED", "note": "motivo", "seen": HUGE}, 409, "A página foi alterada."),
        ({"to": "REVOKED", "note": "motivo", "seen": "0"}, 409, "mudou depois que você abriu esta página"),
    ],
)
def test_what_cannot_be_done_is_told_and_what_was_typed_stays(client, decider, fields, status_code, sentence):
    grant = grant_in(ACTIVE)
    response = client.post(f"{GRANTS}{grant.pk}/mover/", fields)
    assert response.status_code == status_code
    page = Page(response)
    assert sentence in page.text
    if "\0" not in fields["note"]:
        assert page.value("note") == fields["note"]
    grant.refresh_from_db()
    assert (grant.status, grant.events.count()) == (ACTIVE, 1)


def forms_of(response):
    """What each form of the page would post, by the last part of its address."""
    return {
        dict(form.attributes)["action"].rstrip("/").rpartition("/")[2]: {
            dict(field.attributes)["name"]: dict(field.attributes).get("value", "")
            for field in walk(form)
            if field.name == "input" and "name" in dict(field.attributes)
        }
        for form in Page(response).all("form", class_="desk-decision")
    }


def test_the_second_post_of_a_reissue_mails_nothing_more(client, decider):
    grant = grant_in(ACTIVE)
    response = client.get(screen(grant))
    assert Page(response).one("script", src=static("js/forms.js")), "the page lets a form be sent twice"
    typed = {**forms_of(response)["reemitir"], "note": "Não chegou."}

    assert client.post(f"{GRANTS}{grant.pk}/reemitir/", typed).status_code == 302
    again = client.post(f"{GRANTS}{grant.pk}/reemitir/", typed)

    assert again.status_code == 409
    assert "O acesso mudou depois que você abriu esta página." in Page(again).text
    assert (grant.events.count(), OutgoingMail.objects.count()) == (2, 1)
    retyped = {**forms_of(again)["reemitir"], "note": "Não chegou mesmo."}
    assert client.post(f"{GRANTS}{grant.pk}/reemitir/", retyped).status_code == 302


def test_a_reissue_of_a_page_that_came_altered_is_refused_with_a_sentence(client, decider):
    grant = grant_in(ACTIVE)
    response = client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": "Não chegou.", "seen": HUGE})
    assert response.status_code == 409
    assert "A página foi alterada." in Page(response).text
    assert grant.events.count() == 1


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        ("mover", {"to": "REVOKED", "note": "Saiu."}),
        ("prazo", {"until": "2099-01-01", "why": "Designação."}),
        ("reemitir", {"note": "Não chegou."}),
    ],
)
def test_the_page_that_refuses_what_was_overtaken_can_be_sent_again(client, decider, step, fields):
    grant = grant_in(ACTIVE)
    typed = {**forms_of(client.get(screen(grant)))[step], **fields}
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="férias")
    move_grant(grant.pk, ACTIVE, by=analyst())

    refused = client.post(f"{GRANTS}{grant.pk}/{step}/", typed)

    assert refused.status_code == 409
    assert "mudou depois que você abriu esta página" in Page(refused).text
    again = client.post(f"{GRANTS}{grant.pk}/{step}/", {**forms_of(refused)[step], **fields})
    assert (again.status_code, again.headers.get("Location")) == (302, screen(grant))


def test_who_left_the_reason_out_of_an_old_page_is_told_that_the_access_moved_meanwhile(client, decider):
    grant = grant_in(ACTIVE)
    typed = {**forms_of(client.get(screen(grant)))["mover"], "to": "REVOKED", "note": ""}
    move_grant(grant.pk, SUSPENDED, by=analyst(), note="férias")
    page = Page(client.post(f"{GRANTS}{grant.pk}/mover/", typed))
    assert "mudou depois que você abriu esta página" in page.text
    assert WRITE_WHY in page.text


@pytest.mark.parametrize("who", ["manager", "colleague", "anonymous"])
@pytest.mark.parametrize("step", ["mover", "prazo"])
def test_only_who_decides_changes_an_access(client, who, step):
    grant = grant_in(ACTIVE)
    if who != "anonymous":
        client.force_login({"manager": manager, "colleague": lambda: EmploymentFactory().user}[who]())
    response = client.post(
        f"{GRANTS}{grant.pk}/{step}/", {"to": "REVOKED", "note": "x1", "until": "2099-01-01", "why": "x1"}
    )
    assert response.status_code in {302, 403}
    if response.status_code == 302:
        assert response.url.startswith(("/entrar/", "/admin/login/"))
    grant.refresh_from_db()
    assert (grant.status, grant.expires_on, grant.events.count()) == (ACTIVE, None, 1)


def test_who_only_reads_sees_the_page_without_buttons(client):
    client.force_login(manager())
    page = Page(client.get(screen(grant_in(ACTIVE))))
    assert buttons(page) == {}
    assert not page.controls("until")
    assert "Você não tem permissão para isso." in page.text


@pytest.mark.parametrize("step", ["mover", "prazo", "reemitir"])
@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_fault_19_an_access_is_changed_by_post_alone(client, decider, step, method):
    grant = grant_in(ACTIVE)
    response = getattr(client, method)(f"{GRANTS}{grant.pk}/{step}/")
    assert response.status_code == (302 if method == "get" else 405)
    assert grant.events.count() == 1


@pytest.mark.parametrize("pk", ["0", "987654321", HUGE])
@pytest.mark.parametrize("step", ["mover", "prazo"])
def test_an_access_that_is_not_there_is_no_fault(client, decider, pk, step):
    response = client.post(f"{GRANTS}{pk}/{step}/", {"to": "REVOKED", "note": "x1", "until": "2099-01-01", "why": "x1"})
    assert response.status_code == 404


def test_who_has_the_access_or_asked_for_it_reads_why_there_is_no_button(client):
    own = grant_in(ACTIVE, bond=EmploymentFactory(user=analyst()))
    client.force_login(own.user)
    page = Page(client.get(screen(own)))
    assert NOT_YOUR_OWN in page.text
    response = post(client, own, "REVOKED", note="motivo")
    assert response.status_code == 409
    assert NOT_YOUR_OWN in Page(response).text


# --- The list -------------------------------------------------------------------------------------------------------
def listed(response):
    return [text_of(cell) for cell in Page(response).all("th", class_="field-user_name")]


@pytest.fixture
def three(decider):
    dourados = UnitFactory(code="0002-100", name="1ª Vara Cível", comarca="Dourados")
    bonds = {
        "João D'Ávila": EmploymentFactory(user__name="JOÃO D'ÁVILA", matricula="71001", unit=dourados),
        "Maria Paz": EmploymentFactory(user__name="MARIA PAZ", matricula="71002"),
        "José Conceição": EmploymentFactory(user__name="JOSÉ CONCEIÇÃO", matricula="81003"),
    }
    seeu = UserTypeFactory(system__name="SEEU", name="Servidor")
    bnmp = UserTypeFactory(system__name="BNMP", name="Consulta")
    return {
        "João D'Ávila": grant_in(ACTIVE, bond=bonds["João D'Ávila"], user_type=seeu),
        "Maria Paz": grant_in(TO_REVOKE, bond=bonds["Maria Paz"], user_type=bnmp, unit=dourados),
        "José Conceição": grant_in(REVOKED, bond=bonds["José Conceição"], user_type=bnmp),
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("joao", {"João D'Ávila"}),
        ("d'avila joão", {"João D'Ávila"}),
        ("conceicao", {"José Conceição"}),
        ("7100", {"João D'Ávila", "Maria Paz"}),
        ("81003", {"José Conceição"}),
        ("jo", {"João D'Ávila", "José Conceição"}),
        ("ninguém", set()),
        ("m%ria", set()),
        ("' OR 1=1 --", set()),
        (HUGE, set()),
    ],
)
def test_fault_21_accesses_are_found_by_name_or_matricula_and_signs_find_nothing_else(client, three, query, found):
    assert set(listed(client.get(GRANTS, {"q": query}))) == found


def test_accesses_are_found_by_cpf_and_protocol(client, three):
    grant = three["Maria Paz"]
    assert listed(client.get(GRANTS, {"q": grant.user.cpf})) == ["Maria Paz"]
    given = workflow.move(workflow.file(unsaved_request()).pk, Status.APPROVED, by=analyst())
    assert listed(client.get(GRANTS, {"q": given.protocol})) == [given.grant.user.display_name]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"status__exact": "TO_REVOKE"}, {"Maria Paz"}),
        ({"status__exact": "live"}, {"João D'Ávila", "Maria Paz"}),
        ({"status__exact": "REVOKED"}, {"José Conceição"}),
        ({"status__exact": "abc"}, {"João D'Ávila", "Maria Paz", "José Conceição"}),
        ({"comarca": "Dourados"}, {"João D'Ávila", "Maria Paz"}),
        ({"comarca": "Dourados", "status__exact": "ACTIVE"}, {"João D'Ávila"}),
        ({"comarca": "Atlântida"}, {"João D'Ávila", "Maria Paz", "José Conceição"}),
        ({"comarca": "a\0"}, {"João D'Ávila", "Maria Paz", "José Conceição"}),
        ({"unidade": HUGE}, {"João D'Ávila", "Maria Paz", "José Conceição"}),
        ({"tipo": "٣"}, {"João D'Ávila", "Maria Paz", "José Conceição"}),
    ],
)
def test_the_list_is_narrowed_and_nonsense_narrows_nothing(client, three, chosen, found):
    response = client.get(GRANTS, chosen)
    assert response.status_code == 200
    assert set(listed(response)) == found


@pytest.mark.parametrize("name", ["status__exact", "sistema", "tipo", "comarca", "unidade"])
def test_a_filter_that_is_none_is_told_beside_its_field(client, three, name):
    page = Page(client.get(GRANTS, {name: "x' OR 1=1"}))
    assert "Esta opção não existe" in text_of(page.one(id=f"filtro-{name}_error"))


def test_the_list_is_narrowed_by_system_user_type_and_unit(client, three):
    bnmp = three["Maria Paz"].user_type
    system = {"sistema": bnmp.system_id}
    assert set(listed(client.get(GRANTS, system))) == {"Maria Paz", "José Conceição"}
    other = UserTypeFactory(system=bnmp.system)
    assert set(listed(client.get(GRANTS, {**system, "tipo": bnmp.pk}))) == {"Maria Paz", "José Conceição"}
    assert listed(client.get(GRANTS, {**system, "tipo": other.pk})) == []
    unit = three["Maria Paz"].unit_id
    assert set(listed(client.get(GRANTS, {"unidade": unit}))) == {"João D'Ávila", "Maria Paz"}


def test_a_comarca_where_many_work_is_found_as_one_where_few_do(client, three, monkeypatch):
    for most in (1000, 0):
        monkeypatch.setattr(filters, "MOST_PEOPLE", most)
        assert set(listed(client.get(GRANTS, {"comarca": "Dourados"}))) == {"João D'Ávila", "Maria Paz"}


def test_a_bond_that_is_over_and_people_who_cannot_sign_in_put_no_access_into_a_unit(client, three):
    unit = three["Maria Paz"].unit
    former = EmploymentFactory(unit=unit, started_on=date(2020, 1, 1), ended_on=date(2021, 1, 1))
    for bond in (former, EmploymentFactory(unit=unit, user__is_active=False)):
        grant_in(ACTIVE, bond=bond)
    assert set(listed(client.get(GRANTS, {"unidade": unit.pk}))) == {"João D'Ávila", "Maria Paz"}


@pytest.mark.parametrize(("typed", "least"), [("maria silva", 1), ("7100", 1), ("maria 7100", 0)])
def test_a_name_or_a_matricula_that_too_many_have_is_told(client, decider, monkeypatch, typed, least):
    for number in range(2):
        grant_in(ACTIVE, bond=EmploymentFactory(user__name="MARIA DA SILVA", matricula=f"7100{number}"))
    for most, is_told in ((1, True), (2, False)):
        monkeypatch.setattr(filters, "MOST_PEOPLE", most)
        response = client.get(GRANTS, {"q": typed})
        assert least <= len(listed(response)) <= most
        assert ("A lista só mostra acessos de 1 delas. Digite mais do nome" in Page(response).text) is is_told
    assert len(listed(response)) == 2


def test_somebody_with_several_matriculas_is_found_once_by_any_of_them(client, three):
    grant = three["João D'Ávila"]
    EmploymentFactory(user=grant.user, matricula="71009", ended_on=date(2021, 1, 1), started_on=date(2020, 1, 1))
    assert listed(client.get(GRANTS, {"q": "71009"})) == ["João D'Ávila"]
    assert listed(client.get(GRANTS, {"q": "71001 71009 joao"})) == ["João D'Ávila"]
    assert listed(client.get(GRANTS, {"q": "7100 joao"})) == ["João D'Ávila"]
    assert listed(client.get(GRANTS, {"q": "71002 joao"})) == []


def plans_of(captured):
    """How PostgreSQL answers each of these, where it reads no whole table that it need not."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plans = {}
        for query in captured:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plans[query["sql"]] = "\n".join(line for (line,) in cursor.fetchall())
        return plans


@pytest.mark.skipif("postgresql" not in connection.vendor, reason="it is PostgreSQL that is asked for its plan")
def test_the_accesses_of_a_unit_are_counted_by_the_index_of_units_and_that_of_people(client, three):
    with CaptureQueriesContext(connection) as captured:
        client.get(GRANTS, {"unidade": three["Maria Paz"].unit_id})
    [plan] = plans_of([one for one in captured if one["sql"].startswith("SELECT COUNT")]).values()
    assert "BitmapOr" in plan
    for column in ("unit_id", "user_id"):
        assert f"Bitmap Index Scan on requests_app_accessgrant_{column}" in plan


@pytest.mark.skipif("postgresql" not in connection.vendor, reason="it is PostgreSQL that is asked for its plan")
@pytest.mark.parametrize(
    ("typed", "index"), [("joao", "accounts_user_search_name_words"), ("7100", "accounts_employment_matricula")]
)
def test_a_name_and_a_matricula_are_each_looked_up_by_their_index(client, three, typed, index):
    with CaptureQueriesContext(connection) as captured:
        client.get(GRANTS, {"q": typed})
    asked = [one for one in captured if " LIKE " in one["sql"] or '"matricula" >=' in one["sql"]]
    [plan] = plans_of(asked).values()
    assert index in plan
    assert "Index Cond" in plan


def test_the_way_back_leads_to_the_list_as_it_was_left(client, three):
    kept = "_changelist_filters=status__exact%3DTO_REVOKE%26comarca%3DDourados"
    page = Page(client.get(f"{screen(three['Maria Paz'])}?{kept}"))
    assert page.one("a", href=f"{GRANTS}?status__exact=TO_REVOKE&comarca=Dourados")
    [target] = [form for form in page.all("form") if "/mover/" in dict(form.attributes)["action"]]
    response = client.post(dict(target.attributes)["action"], {"to": "REVOKED", "note": "Mudou de setor."})
    assert Page(client.get(response.url)).one("a", href=f"{GRANTS}?status__exact=TO_REVOKE&comarca=Dourados")


def queries_of(client, address):
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def many(count, **bond):
    user_types = [UserTypeFactory() for _ in range(3)]
    bonds = [EmploymentFactory(user__name="MARIA", matricula=f"71-{count}-{one}", **bond) for one in range(20)]
    AccessGrant.objects.bulk_create(
        AccessGrant(user=bond.user, user_type=user_type, unit=unit)
        for bond, user_type, unit in itertools.islice(
            itertools.product(bonds, user_types, [UnitFactory() for _ in range(-(-count // 60))]), count
        )
    )


@pytest.mark.parametrize(
    "query", ["", "?comarca=Dourados", "?comarca=Dourados&unidade={unit}", "?q=maria", "?q=71", "?q=maria+71"]
)
def test_300_accesses_cost_as_many_queries_as_one_and_three(client, decider, query):
    unit = UnitFactory(comarca="Dourados")
    first = EmploymentFactory(unit=unit, user__name="MARIA", matricula="7101")
    grant_in(ACTIVE, bond=first, user_type=UserTypeFactory())
    address = GRANTS + query.format(unit=unit.pk)
    with_one = queries_of(client, address)
    many(2, unit=unit)
    with_three = queries_of(client, address)
    many(297, unit=unit)
    assert AccessGrant.objects.count() == 300
    assert (with_three, queries_of(client, address)) == (with_one, with_one)


def test_a_long_history_costs_as_many_queries_as_a_short_one(client, decider):
    grant = grant_in(ACTIVE)
    with_one = queries_of(client, screen(grant))
    GrantEvent.objects.bulk_create(
        GrantEvent(grant=grant, from_status=ACTIVE, to_status=ACTIVE, actor=decider, note="x") for _ in range(299)
    )
    assert queries_of(client, screen(grant)) == with_one


# --- Older than the portal ------------------------------------------------------------------------------------------
def test_an_access_older_than_the_portal_has_a_page_a_credential_and_its_place_in_the_persons_data(
    client, decider, smtp_sink
):
    bond = EmploymentFactory()
    grant = grant_in(ACTIVE, bond=bond, user_type=UserTypeFactory(system__name="SEEU", name="Consulta"))
    assert "Acesso anterior ao portal" in Page(client.get(screen(grant))).text
    assert client.post(f"{GRANTS}{grant.pk}/reemitir/", {"note": "Não chegou."}).status_code == 302
    [(_subject, text)] = told(smtp_sink, bond.user.email)
    assert "Senha provisória:" in text
    assert "SEEU (Consulta)" in text
    mail = OutgoingMail.objects.get()
    listed_mails = client.get("/admin/accounts/outgoingmail/")
    assert Page(listed_mails).one("a", href=screen(grant))
    assert client.get(f"/admin/accounts/outgoingmail/{mail.pk}/change/").status_code == 200

    kept = json.loads("".join(privacy.export(bond.user)))
    [access] = kept["acessos"]
    assert (access["protocolo"], access["sistema"]) == (None, "SEEU")
    assert {step["sistema"] for step in kept["andamentos-dos-acessos"]} == {"SEEU"}


def test_the_person_sees_an_access_older_than_the_portal_on_their_own_pages(client):
    grant = grant_in(ACTIVE, user_type=UserTypeFactory(system__name="SEEU"), expires_on=date(2099, 1, 2))
    client.force_login(grant.user)
    for address in ("/", "/conta/meus-dados/acessos/", "/conta/meus-dados/andamentos-dos-acessos/"):
        assert "SEEU" in Page(client.get(address)).text
    assert "até 02/01/2099" in Page(client.get("/")).text


def test_the_pages_of_the_request_do_not_tell_what_the_head_of_the_unit_was_answered(client):
    request = workflow.move(workflow.file(unsaved_request()).pk, Status.APPROVED, by=analyst())
    head = head_of(request.grant.user.employments.get().unit, user__name="HELENA CHEFE")
    move_grant(request.grant.pk, TO_REVOKE, by=head, note="SIGILO da chefia.")
    move_grant(request.grant.pk, REVOKED, by=analyst(), note="Conferido.")
    for person in (request.requester, request.beneficiary):
        client.force_login(person)
        text = Page(client.get(f"/solicitacoes/{request.protocol}/")).text
        assert "Helena" not in text
        assert "SIGILO" not in text


# --- At the same moment ---------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_fault_17_of_four_who_revoke_at_once_one_does_and_three_read_why_not():
    grant = grant_in(ACTIVE)
    deciders = [analyst() for _ in range(4)]

    def revoke(decider):
        try:
            return move_grant(grant.pk, REVOKED, by=decider, note="saiu").status
        except MoveRefusedError as refusal:
            return str(refusal)

    outcomes = at_once(*(lambda decider=decider: revoke(decider) for decider in deciders))

    assert sorted(outcome == REVOKED for outcome in outcomes) == [False, False, False, True]
    assert all("não pode passar para" in outcome for outcome in outcomes if outcome != REVOKED)
    assert grant.events.count() == 2
    assert OutgoingMail.objects.count() == 1
