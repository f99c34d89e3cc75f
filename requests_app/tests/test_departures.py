"""Whoever leaves the court, moves or comes back: sign-in, accesses and requests, by an import and by the calendar."""

from __future__ import annotations

import io
from datetime import date, timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import housekeeping, outbox, resets
from accounts.directory import effects
from accounts.models import Employment, OutgoingMail, SecurityEvent, Session
from accounts.tests.factories import PASSWORD, EmploymentFactory, UnitFactory, UserFactory
from accounts.tests.test_directory import hr_file
from requests_app import workflow
from requests_app.models import AccessGrant, AccessRequest, GrantEvent, GrantStatus, RequestEvent, Status

from .factories import UserTypeFactory, analyst, grant_of, manager, request_in, unsaved_request
from .pages import Page
from .test_accesses import told

pytestmark = pytest.mark.django_db

ACTIVE, SUSPENDED, TO_REVOKE, REVOKED, _EXPIRED = GrantStatus
NO_BOND_LEFT = "A pessoa que teria o acesso não tem mais vínculo com o Tribunal."
CLOSED, OPENED = SecurityEvent.Kind.ACCESS_CLOSED, SecurityEvent.Kind.ACCESS_OPENED


def line(bond, **cells):
    """What the personnel file says of a bond as it stands."""
    return {
        "MATRÍCULA": bond.matricula,
        "NOME": bond.user.name,
        "CPF": bond.user.cpf,
        "E-MAIL": bond.user.email,
        "TELEFONE": bond.user.phone,
        "CARGO": bond.cargo,
        "QUADRO": bond.staff_kind,
        "CÓD. LOTAÇÃO": bond.unit.code,
        "LOTAÇÃO": bond.unit.name,
        "COMARCA": bond.unit.comarca,
        "INÍCIO": f"{bond.started_on:%d/%m/%Y}",
        "FIM": f"{bond.ended_on:%d/%m/%Y}" if bond.ended_on else "",
        **cells,
    }


@pytest.fixture
def import_file(tmp_path):
    """Import a file that says of everybody what stands in the directory, but without some, and with other lines."""

    def run(*options, without=(), lines=()):
        said = {row["MATRÍCULA"] for row in lines} | {bond.matricula for bond in without}
        known = Employment.objects.exclude(matricula__in=said).filter(kind="DIRECTORY").select_related("user", "unit")
        path = tmp_path / "pessoal.csv"
        path.write_text(hr_file(*[line(bond) for bond in known.order_by("pk")], *lines))
        out = io.StringIO()
        call_command("import_directory", str(path), *options, stdout=out)
        return out.getvalue()

    return run


@pytest.fixture
def others():
    """Somebody who stays: a file without anybody is refused."""
    return EmploymentFactory.create_batch(2)


def access(bond=None, **fields):
    """An access that a request gave for this bond."""
    request = request_in(Status.COMPLETED, bond=bond or EmploymentFactory(), user_type=fields.pop("user_type", None))
    grant = AccessGrant.objects.create(
        request=request, user=request.beneficiary, user_type=request.user_type, unit=fields.pop("unit", None), **fields
    )
    GrantEvent.objects.create(grant=grant, to_status=ACTIVE)
    return grant


def ended(days=1, **fields):
    """A bond whose last day was so many days ago."""
    return EmploymentFactory(ended_on=timezone.localdate() - timedelta(days=days), **fields)


def statuses(*grants):
    found = dict(AccessGrant.objects.values_list("pk", "status"))
    return [found[grant.pk] for grant in grants]


def last_note(grant):
    return grant.events.last().note


def events_of(person, *kinds):
    return list(person.security_events.filter(kind__in=kinds).order_by("pk").values_list("kind", flat=True))


# --- Accesses of a bond that ended ----------------------------------------------------------------------------------
def test_an_access_comes_to_be_revoked_when_its_bond_is_missing_from_the_file(import_file, others):
    grant, of_others = access(), access(others[0])
    bond = grant.request.employment

    import_file(without=[bond])

    assert statuses(grant, of_others) == [TO_REVOKE, ACTIVE]
    today = f"{timezone.localdate():%d/%m/%Y}"
    assert last_note(grant) == (
        f"O vínculo {bond.matricula} ({bond.cargo}, {bond.unit}) terminou em {today}. A pessoa não tem outro vínculo."
    )
    assert grant.events.last().actor is None


def test_a_last_day_that_the_file_names_counts_when_it_has_passed(import_file, others):
    today = timezone.localdate()
    over, last_day = access(), access()
    ends = [(over, today - timedelta(days=1)), (last_day, today)]

    import_file(lines=[line(grant.request.employment, FIM=f"{day:%d/%m/%Y}") for grant, day in ends])

    assert statuses(over, last_day) == [TO_REVOKE, ACTIVE]
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        housekeeping.run()
    assert statuses(over, last_day) == [TO_REVOKE, TO_REVOKE]


def test_who_has_another_bond_keeps_what_hangs_on_that_one_and_what_is_older_than_the_portal(import_file, others):
    gone, other = EmploymentFactory(), None
    other = EmploymentFactory(user=gone.user, cargo="Assessor Jurídico")
    of_the_ended, of_the_other, older = access(gone), access(other), grant_of(gone)

    import_file(without=[gone])

    assert statuses(of_the_ended, of_the_other, older) == [TO_REVOKE, ACTIVE, ACTIVE]
    assert f"A pessoa tem outro vínculo: {other.matricula} (Assessor Jurídico, {other.unit})." in last_note(
        of_the_ended
    )
    gone.user.refresh_from_db()
    assert gone.user.is_active


def test_an_access_older_than_the_portal_comes_to_be_revoked_when_no_bond_is_left(import_file, others):
    older = grant_of(EmploymentFactory(), status=SUSPENDED)

    import_file(without=[older.user.employments.get()])

    assert statuses(older) == [TO_REVOKE]
    older.refresh_from_db()
    assert workflow.kept_status(older) == SUSPENDED


def test_what_is_over_or_to_be_revoked_already_is_left_alone(import_file, others):
    bond = EmploymentFactory()
    grants = [access(bond, status=status) for status in (TO_REVOKE, REVOKED)]

    import_file(without=[bond])

    assert statuses(*grants) == [TO_REVOKE, REVOKED]
    assert [grant.events.count() for grant in grants] == [1, 1]


def test_the_night_finds_bonds_whose_last_day_has_passed_from_outside_the_directory_too(others):
    outside = {"kind": Employment.Kind.TEMPORARY, "sponsor": others[0].user}
    by_date, temporary, older = access(ended()), access(ended(**outside)), grant_of(ended(days=400))
    today = timezone.localdate()
    holding = [access(EmploymentFactory(ended_on=today)), access(EmploymentFactory(ended_on=today, **outside))]
    nobody_knows = AccessGrant.objects.create(user=UserFactory(), user_type=UserTypeFactory())

    done = housekeeping.run()

    assert statuses(by_date, temporary, older) == [TO_REVOKE] * 3
    assert statuses(*holding, nobody_knows) == [ACTIVE] * 3
    assert done["Acessos de vínculos encerrados, a revogar"] == 3


def test_what_the_coordenadoria_keeps_stays_kept_and_is_asked_for_again_only_when_another_end_comes(others):
    grant = access(ended(days=10))
    housekeeping.run()
    workflow.move_grant(grant.pk, ACTIVE, by=analyst(), note="Fica até a devolução dos processos.")

    assert housekeeping.run()["Acessos de vínculos encerrados, a revogar"] == 0
    assert statuses(grant) == [ACTIVE]

    tomorrow = timezone.localdate() + timedelta(days=1)
    Employment.objects.filter(pk=grant.request.employment_id).update(ended_on=tomorrow)
    with time_machine.travel(timezone.now() + timedelta(days=2), tick=False):
        housekeeping.run()
    assert statuses(grant) == [TO_REVOKE]


def test_a_kept_access_of_an_imported_end_is_not_asked_for_again_the_next_night(import_file, others):
    grants = [access(), grant_of(EmploymentFactory())]
    import_file(without=[grants[0].request.employment, grants[1].user.employments.get()])
    for grant in grants:
        workflow.move_grant(grant.pk, ACTIVE, by=analyst(), note="Fica.")

    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        housekeeping.run()

    assert statuses(*grants) == [ACTIVE, ACTIVE]


def test_the_desk_says_why_in_the_list_and_on_the_page(client, others):
    grant = access(ended())
    housekeeping.run()
    client.force_login(analyst())

    page = Page(client.get(f"/admin/requests_app/accessgrant/{grant.pk}/change/")).text
    listed = Page(client.get("/admin/requests_app/accessgrant/?status__exact=TO_REVOKE")).text

    assert "O portal pediu o fim deste acesso em" in page
    why = f"O vínculo {grant.request.beneficiary_matricula} "
    assert why in page
    assert why in listed


# --- Who may sign in ------------------------------------------------------------------------------------------------
def test_whoever_has_no_bond_left_is_signed_out_and_cannot_come_in(import_file, others, client, make_client):
    bond = EmploymentFactory()
    client.force_login(bond.user)
    staying = make_client()
    staying.force_login(others[0].user)

    import_file(without=[bond])

    bond.user.refresh_from_db()
    assert (bond.user.is_active, bond.user.left_at is not None) == (False, True)
    assert not Session.objects.filter(user=bond.user).exists()
    assert client.get("/solicitacoes/").status_code == 302
    assert client.post("/entrar/", {"username": bond.user.cpf, "password": PASSWORD}).status_code != 302
    assert staying.get("/solicitacoes/").status_code == 200
    assert events_of(bond.user, CLOSED) == [CLOSED]
    assert events_of(others[0].user, CLOSED) == []


def test_a_link_mailed_before_opens_nothing_even_when_the_person_is_back(import_file, others, client):
    bond = EmploymentFactory()
    address = resets.link_for(bond.user)
    stays = line(bond)

    import_file(without=[bond])
    assert "não vale mais" in Page(client.get(address, follow=True)).text
    import_file(lines=[stays])

    bond.user.refresh_from_db()
    assert bond.user.is_active
    assert "não vale mais" in Page(client.get(address, follow=True)).text


@pytest.mark.parametrize("rights", [{"is_staff": True}, {"is_superuser": True}])
def test_staff_whose_last_bond_ends_still_come_in(import_file, others, rights):
    bond = EmploymentFactory(**{f"user__{name}": value for name, value in rights.items()})
    by_date = ended(**{f"user__{name}": value for name, value in rights.items()})

    import_file(without=[bond])
    housekeeping.run()

    for person in (bond.user, by_date.user):
        person.refresh_from_db()
        assert (person.is_active, person.left_at) == (True, None)


def test_the_night_shuts_out_only_whoever_had_bonds_and_has_none_left(others):
    today = timezone.localdate()
    left = ended().user
    with_another = ended().user
    EmploymentFactory(user=with_another)
    begins_later = ended().user
    EmploymentFactory(user=begins_later, started_on=today + timedelta(days=5))
    last_day = EmploymentFactory(ended_on=today).user
    never_had_one = UserFactory()

    assert housekeeping.run()["Entradas de quem não tem mais vínculo, fechadas"] == 1

    everybody = (left, with_another, begins_later, last_day, never_had_one)
    for person in everybody:
        person.refresh_from_db()
    assert [person.is_active for person in everybody] == [False, True, True, True, True]
    assert housekeeping.run()["Entradas de quem não tem mais vínculo, fechadas"] == 0


def test_whoever_comes_back_is_the_old_person_and_what_is_to_be_revoked_stays_to_be_decided(
    import_file, others, client
):
    grant = access()
    bond = grant.request.employment
    stays = line(bond)
    import_file(without=[bond])

    import_file(lines=[stays])

    person = bond.user
    person.refresh_from_db()
    assert (person.is_active, person.left_at) == (True, None)
    assert events_of(person, CLOSED, OPENED) == [CLOSED, OPENED]
    assert statuses(grant) == [TO_REVOKE]
    assert client.post("/entrar/", {"username": person.cpf, "password": PASSWORD}).status_code == 302


def test_somebody_comes_back_with_another_bond_on_the_day_on_which_it_begins(import_file, others):
    bond = EmploymentFactory()
    begins = timezone.localdate() + timedelta(days=3)
    new = line(bond, MATRÍCULA="777001", INÍCIO=f"{begins:%d/%m/%Y}")
    import_file(without=[bond])
    Employment.objects.filter(pk=bond.pk).update(ended_on=timezone.localdate() - timedelta(days=1))
    import_file(lines=[new])
    bond.user.refresh_from_db()
    assert not bond.user.is_active

    with time_machine.travel(timezone.now() + timedelta(days=3), tick=False):
        assert housekeeping.run()["Entradas de quem voltou a ter vínculo, abertas"] == 1

    bond.user.refresh_from_db()
    assert (bond.user.is_active, bond.user.employments.count()) == (True, 2)


def test_who_was_shut_out_by_hand_is_let_in_by_no_import_and_by_no_night(import_file, others):
    by_hand = EmploymentFactory(user__is_active=False)
    left = line(by_hand)
    import_file(without=[by_hand])
    import_file(lines=[left])
    housekeeping.run()

    by_hand.user.refresh_from_db()
    assert (by_hand.user.is_active, by_hand.user.left_at) == (False, None)
    assert events_of(by_hand.user, CLOSED, OPENED) == []


def test_the_day_on_which_the_file_ended_a_bond_brings_nobody_back(import_file, others):
    bond = EmploymentFactory()
    import_file(without=[bond])

    assert housekeeping.run()["Entradas de quem voltou a ter vínculo, abertas"] == 0
    import_file()

    bond.user.refresh_from_db()
    assert not bond.user.is_active


def test_the_help_desk_reads_since_when_and_can_open_the_door_by_nothing(import_file, others, client):
    bond = EmploymentFactory()
    import_file(without=[bond])
    client.force_login(manager())
    address = f"/admin/accounts/user/{bond.user_id}/change/"

    page = Page(client.get(address))
    today = f"{timezone.localdate():%d/%m/%Y}"
    assert f"Sem vínculo desde {today}; volta a entrar quando o cadastro trouxer um vínculo." in page.text
    assert not page.controls("is_active")
    assert "Enviar link de redefinição" not in page.text

    told_why = Page(client.post(f"/admin/accounts/user/{bond.user_id}/link/", follow=True)).text
    assert "O link não foi enviado: a pessoa não tem mais vínculo." in told_why
    client.post(address, {"name": bond.user.name, "is_active": "on", "employments-TOTAL_FORMS": 0})
    bond.user.refresh_from_db()
    assert not bond.user.is_active
    assert not OutgoingMail.objects.filter(recipient=bond.user).exists()


# --- Requests -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED])
def test_open_requests_for_who_left_are_cancelled_and_the_requester_is_mailed(import_file, others, smtp_sink, status):
    gone = EmploymentFactory()
    request = request_in(status, bond=gone, requester=others[0].user)
    of_others = request_in(status, bond=others[1], requester=others[0].user)
    done = request_in(Status.REJECTED, bond=gone)

    import_file(without=[gone])

    for one in (request, of_others, done):
        one.refresh_from_db()
    assert [request.status, of_others.status, done.status] == [Status.CANCELLED, status, Status.REJECTED]
    step = request.events.get()
    assert (step.note, step.actor) == (NO_BOND_LEFT, None)
    [(subject, text)] = told(smtp_sink, request.requester_email)
    assert subject == f"[Sistemas Externos] Pedido {request.protocol} cancelado"
    assert NO_BOND_LEFT in text


def test_a_request_for_who_keeps_another_bond_stays(import_file, others):
    gone = EmploymentFactory()
    EmploymentFactory(user=gone.user)
    request = request_in(Status.PENDING, bond=gone)

    import_file(without=[gone])
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        housekeeping.run()

    request.refresh_from_db()
    assert request.status == Status.PENDING


def test_the_night_cancels_requests_for_whom_the_calendar_shut_out(others):
    request, stays = request_in(Status.PENDING, bond=ended()), request_in(Status.PENDING)

    assert housekeeping.run()["Solicitações para quem saiu, canceladas"] == 1

    for one in (request, stays):
        one.refresh_from_db()
    assert [request.status, stays.status] == [Status.CANCELLED, Status.PENDING]
    assert RequestEvent.objects.get(request=request).note == NO_BOND_LEFT


def test_the_beneficiary_goes_on_with_what_somebody_asked_for_them_who_left(import_file, others, smtp_sink, client):
    gone, bond = EmploymentFactory(), others[0]
    request = request_in(Status.PENDING, requester=gone.user, bond=bond)
    own = request_in(Status.PENDING, requester=bond.user, bond=bond)

    import_file(without=[gone])

    [(subject, text)] = told(smtp_sink, bond.user.email)
    assert subject == f"[Sistemas Externos] Pedido {request.protocol}: quem pediu saiu do Tribunal"
    assert f"/solicitacoes/{request.protocol}/" in text

    smtp_sink.deliveries.clear()
    for one in (request, own):
        workflow.move(one.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    assert {subject.split()[5] for subject, _ in told(smtp_sink, bond.user.email)} == {request.protocol, own.protocol}
    assert told(smtp_sink, gone.user.email) == []
    client.force_login(bond.user)
    client.post(f"/solicitacoes/{request.protocol}/cancelar/")
    request.refresh_from_db()
    assert request.status == Status.CANCELLED


def test_the_night_tells_the_beneficiary_once_when_the_requesters_last_day_has_passed(others):
    request = request_in(Status.PENDING, requester=ended().user, bond=others[0])
    request_in(Status.PENDING, bond=others[1])

    label = "Avisos a quem tem pedido feito por quem saiu"
    assert [housekeeping.run()[label], housekeeping.run()[label]] == [1, 0]

    mail = OutgoingMail.objects.get(kind="request_requester_left")
    assert (mail.recipient_id, mail.object_id) == (others[0].user_id, request.pk)


def test_the_mail_screen_names_the_request_of_such_a_mail(import_file, others, client):
    request = request_in(Status.PENDING, requester=EmploymentFactory().user, bond=others[0])
    import_file(without=[request.requester.employments.get()])
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    client.force_login(manager())

    page = client.get("/admin/accounts/outgoingmail/").content.decode()

    assert page.count(request.protocol) >= 2
    assert request.requester_email not in page


# --- Another unit ---------------------------------------------------------------------------------------------------
def test_a_transfer_asks_for_the_end_of_what_holds_in_the_unit_left_and_of_nothing_else(import_file, others):
    bond, new = EmploymentFactory(), UnitFactory(name="2ª Vara Cível")
    elsewhere = UnitFactory()
    here, without_unit, there = access(bond, unit=bond.unit), access(bond), access(bond, unit=elsewhere)
    of_another = access(EmploymentFactory(unit=bond.unit), unit=bond.unit)
    pending = request_in(Status.PENDING, bond=bond, unit=bond.unit)
    moved = line(bond, **{"CÓD. LOTAÇÃO": new.code, "LOTAÇÃO": new.name, "COMARCA": new.comarca})

    import_file(lines=[moved])

    assert statuses(here, without_unit, there, of_another) == [TO_REVOKE, ACTIVE, ACTIVE, ACTIVE]
    assert f"A lotação do vínculo {bond.matricula} mudou. Agora é {new}." in last_note(here)
    pending.refresh_from_db()
    assert pending.status == Status.PENDING
    bond.user.refresh_from_db()
    assert bond.user.is_active


def test_an_older_access_in_the_unit_left_stays_where_another_bond_is_there(import_file, others):
    unit, new = UnitFactory(), UnitFactory(name="2ª Vara Cível")
    leaves, stays = EmploymentFactory(unit=unit), EmploymentFactory(unit=unit)
    EmploymentFactory(user=stays.user, unit=unit)
    grants = [grant_of(bond, unit=unit) for bond in (leaves, stays)]
    to = {"CÓD. LOTAÇÃO": new.code, "LOTAÇÃO": new.name, "COMARCA": new.comarca}

    import_file(lines=[line(bond, **to) for bond in (leaves, stays)])

    assert statuses(*grants) == [TO_REVOKE, ACTIVE]


# --- The plan, the whole, the size ----------------------------------------------------------------------------------
def test_the_dry_run_says_what_would_follow_and_writes_nothing(import_file, others):
    grant = access()
    gone = grant.request.employment
    request_in(Status.PENDING, bond=gone)
    rehired = EmploymentFactory()
    again = line(rehired, MATRÍCULA="777002")

    printed = import_file("--dry-run", without=[gone, rehired], lines=[again])

    assert "Entradas fechadas: 1.\n" in printed
    assert "Acessos de vínculos encerrados, a revogar: 1.\n" in printed
    assert "Solicitações canceladas: 1.\n" in printed
    assert "unidade anterior" not in printed
    assert statuses(grant) == [ACTIVE]
    gone.user.refresh_from_db()
    assert gone.user.is_active
    assert not SecurityEvent.objects.exists()


def test_a_second_import_of_the_same_file_finds_nothing_to_do(import_file, others):
    grant = access()
    gone = grant.request.employment
    import_file(without=[gone])
    before = GrantEvent.objects.count(), SecurityEvent.objects.count(), OutgoingMail.objects.count()

    printed = import_file(without=[gone])

    assert "Entradas fechadas" not in printed
    assert (GrantEvent.objects.count(), SecurityEvent.objects.count(), OutgoingMail.objects.count()) == before


def test_what_goes_wrong_in_what_follows_leaves_the_whole_directory_as_it_was(import_file, others, monkeypatch):
    grant = access()
    gone = grant.request.employment

    def fail(batch, *, dry_run):
        if not dry_run:
            raise ZeroDivisionError
        return 0

    monkeypatch.setitem(effects.EFFECTS, "Solicitações canceladas", fail)
    with pytest.raises((ZeroDivisionError, CommandError)):
        import_file(without=[gone])

    gone.refresh_from_db()
    gone.user.refresh_from_db()
    assert (gone.ended_on, gone.user.is_active, statuses(grant)) == (None, True, [ACTIVE])


def test_people_without_accesses_cost_a_batch_and_not_each_of_them(others):
    def queries(count):
        day = timezone.localdate() - timedelta(days=1)
        bonds = [EmploymentFactory(ended_on=day, user__password="!").pk for _ in range(count)]
        with CaptureQueriesContext(connection) as captured:
            done = effects.tell(effects.Moved(ended=bonds))
        assert done[effects.CLOSED] == count
        return len(captured)

    one = queries(1)
    assert queries(3) == one
    # SQLite takes only so many values in one statement, and so writes the events in three.
    assert queries(300) <= one + 2


def test_many_who_leave_are_taken_in_batches_each_person_once(others, monkeypatch):
    monkeypatch.setattr(effects, "BATCH", 2)
    people = UserFactory.create_batch(5)
    day = date(2026, 1, 5)
    bonds = [EmploymentFactory(user=person, ended_on=day).pk for person in people for _ in range(2)]

    done = effects.tell(effects.Moved(ended=bonds))

    assert done[effects.CLOSED] == 5
    assert SecurityEvent.objects.filter(kind=CLOSED).count() == 5
    outbox.send_due()
    assert not AccessRequest.objects.exists()
    assert unsaved_request().requester.is_active
