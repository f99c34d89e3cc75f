"""The table of moves, tried whole: every pair of statuses, every role."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from datetime import date, timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts import housekeeping, outbox
from accounts.models import OutgoingMail
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app import workflow
from requests_app.models import AccessGrant, AccessRequest, ExternalSystem, GrantStatus, RequestEvent, Status
from requests_app.workflow import MoveRefusedError, Role, move

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, request_in, unsaved_request

pytestmark = pytest.mark.django_db

# Written by hand from DESIGN §6, not read from MOVES: a wrong entry there must fail here.
EXPECTED = {
    ("PENDING", "IN_REVIEW"): {"analyst"},
    ("IN_REVIEW", "PENDING"): {"analyst"},
    ("PENDING", "APPROVED"): {"analyst"},
    ("IN_REVIEW", "APPROVED"): {"analyst"},
    ("PENDING", "RETURNED"): {"analyst"},
    ("IN_REVIEW", "RETURNED"): {"analyst"},
    ("PENDING", "REJECTED"): {"analyst"},
    ("IN_REVIEW", "REJECTED"): {"analyst"},
    ("APPROVED", "REJECTED"): {"analyst"},
    ("APPROVED", "COMPLETED"): {"analyst", "clock"},
    ("PENDING", "CANCELLED"): {"requester", "beneficiary of one who left", "clock"},
    ("IN_REVIEW", "CANCELLED"): {"requester", "beneficiary of one who left", "clock"},
    ("RETURNED", "CANCELLED"): {"requester", "beneficiary of one who left", "clock"},
    ("APPROVED", "CANCELLED"): {"requester", "beneficiary of one who left", "clock"},
    ("RETURNED", "PENDING"): {"requester", "beneficiary of one who left"},
    ("RETURNED", "EXPIRED"): {"clock"},
    ("EXPIRED", "PENDING"): {"requester", "beneficiary of one who left"},
}
ACTORS = (
    "analyst",
    "requester",
    "beneficiary",
    "beneficiary of one who left",
    "clock",
    "colleague",
    "analyst who asked",
    "analyst who benefits",
    "inactive analyst",
)


def actor_for(name, request):
    if name == "clock":
        return None
    if name == "analyst":
        return analyst()
    if name == "colleague":
        return EmploymentFactory().user
    if name == "inactive analyst":
        return analyst(is_active=False)
    if name == "beneficiary of one who left":
        request.requester.employments.update(ended_on=timezone.localdate() - timedelta(days=1))
    if name in {"requester", "analyst who asked"}:
        return request.requester
    return request.beneficiary


def request_for(name, status):
    """A request of a system that an analyst registers by hand, so that "approved" stays approved."""
    user_type = UserTypeFactory(system__credential=ExternalSystem.Credential.OWN)
    people = {}
    if name == "analyst who asked":
        people["requester"] = EmploymentFactory(user=analyst()).user
    if name == "analyst who benefits":
        people["bond"] = EmploymentFactory(user=analyst())
    return request_in(status, user_type=user_type, **people)


@pytest.mark.parametrize("name", ACTORS)
@pytest.mark.parametrize(("came_from", "to"), [*itertools.product(Status, Status)])
def test_move_follows_the_table_and_nothing_else(came_from, to, name):
    request = request_for(name, came_from)
    actor = actor_for(name, request)
    # Whoever asked stays the requester, whatever else they may do.
    role = "requester" if name == "analyst who asked" else name
    allowed = role in EXPECTED.get((came_from.name, to.name), set())

    with nullcontext() if allowed else pytest.raises(MoveRefusedError):
        move(request.pk, to, by=actor, note="motivo")

    request.refresh_from_db()
    history = [(event.from_status, event.to_status, event.actor) for event in request.events.all()]
    assert (request.status, history) == ((to, [(came_from, to, actor)]) if allowed else (came_from, []))
    # Where the requester has left, whoever goes on with the request is told in their place.
    told = request.beneficiary if "left" in name else request.requester
    status_mails = OutgoingMail.objects.filter(kind__startswith="request_")
    assert list(status_mails.values_list("recipient", flat=True)) == [told.pk] * allowed


def test_every_role_is_tried():
    assert {role.value for role in Role} <= {name.partition(" ")[0] for name in ACTORS}


def test_approving_a_portal_system_completes_it_at_once_and_grants_it():
    request = request_in(Status.PENDING)
    decider = analyst()

    moved = move(request.pk, Status.APPROVED, by=decider)

    assert moved.status == Status.COMPLETED
    assert (moved.decided_by, moved.completed_by) == (decider, None)
    assert [(event.from_status, event.to_status, event.actor) for event in moved.events.all()] == [
        ("PENDING", "APPROVED", decider),
        ("APPROVED", "COMPLETED", None),
    ]
    grant = moved.grant
    assert (grant.user, grant.user_type, grant.status) == (request.beneficiary, request.user_type, GrantStatus.ACTIVE)
    assert [event.to_status for event in grant.events.all()] == [GrantStatus.ACTIVE]
    kinds = OutgoingMail.objects.order_by("kind").values_list("kind", "recipient")
    assert list(kinds) == [("credential", request.beneficiary_id), ("request_completed", request.requester_id)]


def test_registering_by_hand_records_who_did_it():
    request = request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential="OWN"))
    registrar = analyst()
    moved = move(request.pk, Status.COMPLETED, by=registrar)
    assert (moved.completed_by, moved.grant.status) == (registrar, GrantStatus.ACTIVE)


@pytest.mark.parametrize("to", [Status.RETURNED, Status.REJECTED])
@pytest.mark.parametrize("note", ["", "   \n "])
def test_returning_and_rejecting_need_a_reason(to, note):
    request = request_in(Status.PENDING)
    with pytest.raises(MoveRefusedError, match="Escreva o motivo"):
        move(request.pk, to, by=analyst(), note=note)
    assert not request.events.exists()


def test_taking_a_request_sets_the_holder_and_releasing_clears_it():
    request, holder, another = request_in(Status.PENDING), analyst(), analyst()
    assert move(request.pk, Status.IN_REVIEW, by=holder).holder == holder
    assert move(request.pk, Status.PENDING, by=another).holder is None
    assert move(request.pk, Status.IN_REVIEW, by=another).holder == another


def test_a_returned_request_gets_ten_business_days(settings):
    request = request_in(Status.PENDING)
    moved = move(request.pk, Status.RETURNED, by=analyst(), note="falta a portaria")
    assert moved.correct_by == workflow.add_business_days(timezone.localdate(), settings.RETURN_DAYS)


#: Eight in the evening in Campo Grande is the next day in Greenwich already.
@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("2026-12-10T23:59:00-04:00", Status.RETURNED),
        ("2026-12-11T00:01:00-04:00", Status.EXPIRED),
    ],
)
def test_a_returned_request_expires_when_its_last_day_is_over_here(now, status):
    with time_machine.travel("2026-11-24T10:00:00-04:00", tick=False):  # a Tuesday; 7 and 8 December are free
        request = request_in(Status.PENDING)
        assert move(request.pk, Status.RETURNED, by=analyst(), note="falta a portaria").correct_by == date(2026, 12, 10)

    with time_machine.travel(now, tick=False):
        housekeeping.run()

    request.refresh_from_db()
    assert request.status == status


def test_the_requester_hears_once_that_it_expired_and_what_to_do(smtp_sink):
    request = request_in(Status.RETURNED)
    AccessRequest.objects.update(correct_by=timezone.localdate() - timedelta(days=1))

    for _ in range(2):
        housekeeping.run()
        outbox.send_due()

    (event,) = request.events.all()
    assert (event.from_status, event.to_status, event.actor) == (Status.RETURNED, Status.EXPIRED, None)
    (told,) = smtp_sink.to(request.requester_email)
    assert told.message["Subject"] == f"[Sistemas Externos] Pedido {request.protocol} expirado"
    assert "Corrigir e reabrir" in told.text()


def test_one_that_cannot_be_expired_keeps_no_other_back_and_is_told_of(monkeypatch):
    requests = [request_in(Status.RETURNED) for _ in range(3)]
    AccessRequest.objects.update(correct_by=timezone.localdate() - timedelta(days=1))
    owe = outbox.owe

    def owe_unless_first(kind, *, recipient, about):
        if recipient == requests[0].requester_id:
            raise ZeroDivisionError
        owe(kind, recipient=recipient, about=about)

    monkeypatch.setattr(outbox, "owe", owe_unless_first)
    with pytest.raises(RuntimeError, match="1 requests could not be expired; 2 were"):
        workflow.expire_overdue()
    statuses = AccessRequest.objects.order_by("pk").values_list("status", flat=True)
    assert [*statuses] == [Status.RETURNED, Status.EXPIRED, Status.EXPIRED]


def test_only_returned_requests_expire():
    requests = [request_in(status) for status in Status]
    AccessRequest.objects.update(correct_by=timezone.localdate() - timedelta(days=1))

    housekeeping.run()

    before = {request.pk: request.status for request in requests}
    changed = [pk for pk, status in AccessRequest.objects.values_list("pk", "status") if status != before[pk]]
    assert [before[pk] for pk in changed] == [Status.RETURNED]


# --- What must still hold when it is decided -------------------------------------------------------------------------
def leave(request):
    request.beneficiary.employments.update(ended_on=timezone.localdate() - timedelta(days=1))


def deactivate(request):
    request.beneficiary.is_active = False
    request.beneficiary.save()


def lose_address(request):
    request.beneficiary.email = ""
    request.beneficiary.save()


def close_system(request):
    ExternalSystem.objects.update(is_active=False)


def close_user_type(request):
    request.user_type.is_active = False
    request.user_type.save()


def already_has_it(request):
    AccessGrant.objects.create(
        request=request_in(Status.COMPLETED, user_type=request.user_type, bond=request.employment),
        user=request.beneficiary,
        user_type=request.user_type,
    )


@pytest.mark.parametrize(
    ("meanwhile", "sentence"),
    [
        (leave, "não tem mais este vínculo"),
        (deactivate, "não tem mais este vínculo"),
        (lose_address, "não tem e-mail no cadastro"),
        (close_system, "não aceita pedidos no momento"),
        (close_user_type, "não aceita pedidos no momento"),
        (already_has_it, "já tem acesso"),
    ],
)
def test_what_changed_since_it_was_filed_stops_the_approval(meanwhile, sentence):
    request = request_in(Status.PENDING)
    meanwhile(request)
    with pytest.raises(MoveRefusedError, match=sentence):
        move(request.pk, Status.APPROVED, by=analyst())
    request.refresh_from_db()
    assert (request.status, request.decided_by) == (Status.PENDING, None)
    move(request.pk, Status.REJECTED, by=analyst(), note="não é mais possível")  # saying no is always possible


# --- Filing ----------------------------------------------------------------------------------------------------------
def test_filing_numbers_the_request_within_the_year_and_begins_its_history():
    year = timezone.localdate().year
    first, second = workflow.file(unsaved_request()), workflow.file(unsaved_request())
    assert (first.protocol, second.protocol) == (f"{year}-000001", f"{year}-000002")
    event = first.events.get()
    assert (event.from_status, event.to_status, event.actor) == ("", Status.PENDING, first.requester)
    assert OutgoingMail.objects.filter(kind="request_received", object_id=event.pk).count() == 1


def test_filing_keeps_names_cargos_and_units_as_they_stood():
    bond = EmploymentFactory(user__name="JOÃO DA SILVA", cargo="Oficial de Justiça")
    request = workflow.file(unsaved_request(bond=bond))
    bond.user.name, bond.cargo = "OUTRO NOME", "Outro cargo"
    bond.user.save()
    bond.save()
    request.refresh_from_db()
    assert (request.beneficiary_name, request.beneficiary_cargo) == ("João da Silva", "Oficial de Justiça")


def test_the_same_form_filed_again_is_the_same_request():
    request = unsaved_request()
    again = unsaved_request(
        form_nonce=request.form_nonce, requester=request.requester, bond=request.employment, user_type=request.user_type
    )
    filed = workflow.file(request)
    assert workflow.file(again) == filed
    assert (AccessRequest.objects.count(), RequestEvent.objects.count()) == (1, 1)


def test_a_second_open_request_for_the_same_names_the_first():
    filed = workflow.file(unsaved_request())
    with pytest.raises(MoveRefusedError, match=filed.protocol):
        workflow.file(unsaved_request(bond=filed.employment, user_type=filed.user_type))


def test_a_refused_filing_leaves_no_gap_in_the_numbers():
    filed = workflow.file(unsaved_request())
    with pytest.raises(MoveRefusedError):
        workflow.file(unsaved_request(bond=filed.employment, user_type=filed.user_type))
    assert workflow.file(unsaved_request()).protocol.endswith("-000002")


def test_who_has_left_the_court_files_nothing():
    requester = UserFactory()
    with pytest.raises(MoveRefusedError, match="vínculo ativo"):
        workflow.file(unsaved_request(requester=requester))


# --- Correcting ------------------------------------------------------------------------------------------------------
def test_correcting_stores_the_change_and_puts_it_back_into_the_queue():
    request = request_in(Status.RETURNED)
    request.description = "Agora com a portaria 12/2026."
    workflow.correct(request, by=request.requester)
    request.refresh_from_db()
    assert (request.status, request.description) == (Status.PENDING, "Agora com a portaria 12/2026.")


def test_who_has_left_the_court_corrects_nothing():
    request = request_in(Status.RETURNED)
    request.requester.employments.update(ended_on=timezone.localdate() - timedelta(days=1))
    with pytest.raises(MoveRefusedError, match="vínculo ativo"):
        workflow.correct(request, by=request.requester)
    request.refresh_from_db()
    assert request.status == Status.RETURNED


def test_correcting_what_is_not_returned_changes_nothing():
    request = request_in(Status.PENDING)
    request.description = "mudado depois"
    with pytest.raises(MoveRefusedError):
        workflow.correct(request, by=request.requester)
    request.refresh_from_db()
    assert request.description != "mudado depois"


def test_correcting_into_what_somebody_else_asked_meanwhile_is_refused():
    filed = workflow.file(unsaved_request())
    request = request_in(Status.RETURNED, bond=filed.employment)
    request.user_type = filed.user_type
    with pytest.raises(MoveRefusedError, match=filed.protocol):
        workflow.correct(request, by=request.requester)
    request.refresh_from_db()
    assert request.status == Status.RETURNED


def test_reopening_an_expired_request_that_was_asked_again_meanwhile_is_refused():
    expired = request_in(Status.EXPIRED)
    workflow.file(unsaved_request(bond=expired.employment, user_type=expired.user_type))
    with pytest.raises(MoveRefusedError, match="Já existe um pedido em andamento"):
        move(expired.pk, Status.PENDING, by=expired.requester)


def test_the_beneficiary_of_one_who_left_may_not_give_the_request_to_another():
    request = request_in(Status.RETURNED)
    request.requester.employments.update(ended_on=timezone.localdate() - timedelta(days=1))
    beneficiary, other = request.beneficiary, EmploymentFactory()
    for name, value in workflow.snapshot(other).items():
        setattr(request, name, value)
    with pytest.raises(MoveRefusedError, match="Só quem pediu"):
        workflow.correct(request, by=beneficiary)
    assert AccessRequest.objects.get().beneficiary == beneficiary


# --- Reissuing -------------------------------------------------------------------------------------------------------
def completed():
    request = request_in(Status.PENDING)
    return move(request.pk, Status.APPROVED, by=analyst()).grant


def test_reissuing_ends_the_password_before_it_and_owes_a_new_mail():
    grant = completed()
    old = grant.events.get().provisional_password
    workflow.reissue(grant.pk, by=analyst(), note="não chegou")
    old.refresh_from_db()
    new = grant.events.last().provisional_password
    assert (old.ended_at is not None, old.nonce) == (True, "")
    assert (new.ended_at, new.nonce != "") == (None, True)
    assert OutgoingMail.objects.filter(kind="credential").count() == 2


@pytest.mark.parametrize("who", ["requester", "beneficiary", "colleague"])
def test_who_may_not_decide_may_not_reissue(who):
    grant = completed()
    people = {"requester": grant.request.requester, "beneficiary": grant.user, "colleague": UserFactory(is_staff=True)}
    with pytest.raises(MoveRefusedError):
        workflow.reissue(grant.pk, by=people[who], note="não chegou")
    assert grant.events.count() == 1


def test_reissuing_needs_a_reason_and_a_system_with_the_portals_password():
    grant = completed()
    with pytest.raises(MoveRefusedError, match="motivo"):
        workflow.reissue(grant.pk, by=analyst(), note=" ")
    own = request_in(Status.APPROVED, user_type=UserTypeFactory(system=ExternalSystemFactory(credential="OWN")))
    other = move(own.pk, Status.COMPLETED, by=analyst()).grant
    with pytest.raises(MoveRefusedError, match="não é emitida pelo portal"):
        workflow.reissue(other.pk, by=analyst(), note="não chegou")
