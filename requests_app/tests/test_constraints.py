"""What the database itself refuses: every constraint of both apps, broken once past all our code."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from accounts.models import (
    Authenticator,
    FactorRemoval,
    HelpDesk,
    MailStatus,
    OutgoingMail,
    ProvisionalPassword,
    RecoveryCode,
    SecurityEvent,
    Session,
    SpentChallenge,
    Term,
    TermAcceptance,
    ThrottleCount,
)
from accounts.tests.factories import DirectoryImportFactory, EmploymentFactory, UnitFactory, UserFactory
from requests_app.models import (
    DECIDED,
    OPEN,
    AccessGrant,
    AccessRequest,
    Attachment,
    Batch,
    BatchOutcome,
    Draft,
    GrantEvent,
    GrantStatus,
    Holiday,
    ReasonTemplate,
    RequestEvent,
    Status,
    SystemNotice,
)

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, request_in

pytestmark = pytest.mark.django_db


def refused(name=""):
    """The database says no, and for this reason. (SQLite does not tell which of its unique indexes it was.)"""
    named = f"{name}|UNIQUE constraint failed" if connection.vendor == "sqlite" else name
    return pytest.raises(IntegrityError, match=named)


def change(row, **fields):
    """Past model, form and workflow: one UPDATE."""
    with transaction.atomic():
        type(row)._base_manager.filter(pk=row.pk).update(**fields)


def copy(row, **fields):
    """Past model, form and workflow: one INSERT of the same row again, but for these fields."""
    own = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if not field.primary_key}
    with transaction.atomic():
        return type(row)._base_manager.bulk_create([type(row)(**{**own, **fields})])[0]


def now():
    return timezone.now()


def decided():
    return {"decided_by": analyst(), "decided_at": now()}


def grant_of(request, **fields):
    return AccessGrant.objects.create(
        **{"request": request, "user": request.beneficiary, "user_type": request.user_type, **fields}
    )


def mail(**fields):
    return OutgoingMail.objects.create(kind="password_reset", recipient=UserFactory(), object_id=1, **fields)


def provisional(**fields):
    return ProvisionalPassword.objects.create(user=UserFactory(), nonce="x", key_version="1", **fields)


def removal(**fields):
    people = {"user": UserFactory(), "asked_by": analyst()}
    return FactorRemoval.objects.create(**people, reason="celular perdido", lapses_at=now(), **fields)


def break_removal_of_the_asker():
    asked = removal()
    change(asked, confirmed_by=asked.asked_by, confirmed_at=now())


def break_removal_both_ways():
    change(removal(), confirmed_by=analyst(), confirmed_at=now(), refused_by=analyst(), refused_at=now())


def holiday(**fields):
    today = timezone.localdate()
    return Holiday.objects.create(starts_on=today, ends_on=today, name="Natal", scope="NATIONAL", **fields)


def template(**fields):
    return ReasonTemplate.objects.create(decision="REJECTED", title="Falta ato", text="Falta o ato.", **fields)


def batch(**fields):
    return Batch.objects.create(nonce=uuid.uuid4(), by=analyst(), to=Status.REJECTED, note="motivo", **fields)


def attachment(**fields):
    own = {"request": request_in(Status.PENDING), "uploaded_by": UserFactory(), "media_type": "application/pdf"}
    return Attachment.objects.create(**{**own, "name": "oficio.pdf", "size": 1, "sha256": "0" * 64, **fields})


def event(**fields):
    return RequestEvent(request=request_in(Status.PENDING), **fields)


# --- Every constraint that has a name --------------------------------------------------------------------------------
def two_requests(**fields):
    """A request, and the same again with everything that must differ in it."""
    first = request_in(Status.PENDING, **fields)
    return first, {"protocol": "2001-000001", "form_nonce": uuid.uuid4()}


def break_one_open():
    first, other = two_requests()
    copy(first, **other)


def break_one_open_in_a_unit():
    first, other = two_requests()
    unit = UnitFactory()
    change(first, unit=unit)
    copy(first, **other, unit_id=unit.pk)


def break_one_live_grant():
    first = grant_of(request_in(Status.COMPLETED))
    copy(first, request_id=request_in(Status.COMPLETED).pk)


def break_one_live_grant_in_a_unit():
    first = grant_of(request_in(Status.COMPLETED), unit=UnitFactory())
    copy(first, request_id=request_in(Status.COMPLETED).pk)


def break_one_type_of_a_name():
    copy(UserTypeFactory())


def break_successor():
    system = ExternalSystemFactory()
    change(system, successor=system)


def break_dates(row, **dates):
    today = timezone.localdate()
    change(row, **{name: today + timedelta(days=days) for name, days in dates.items()})


def break_self_decided():
    request = request_in(Status.REJECTED)
    change(request, decided_by=request.requester)


def break_self_completed():
    request = request_in(Status.COMPLETED)
    change(request, completed_by=request.beneficiary)


BREAKS = {
    # accounts
    "user_cpf_is_eleven_digits": lambda: change(UserFactory(), cpf="5299822472x"),
    "user_has_a_name": lambda: change(UserFactory(), name=""),
    "user_address_is_their_own": lambda: change(UserFactory(), email=UserFactory(email="a@tjms.jus.br").email.upper()),
    "unit_ends_after_it_starts": lambda: break_dates(UnitFactory(), started_on=0, ended_on=-1),
    "employment_ends_after_it_starts": lambda: break_dates(EmploymentFactory(), started_on=0, ended_on=-1),
    "employment_has_a_matricula": lambda: change(EmploymentFactory(), matricula=""),
    "employment_known_kind": lambda: change(
        EmploymentFactory(), kind="LENT", ended_on=timezone.localdate(), sponsor=UserFactory()
    ),
    "employment_from_outside_has_end_and_sponsor": lambda: change(EmploymentFactory(), kind="TEMPORARY"),
    "provisional_password_one_live_per_person": lambda: copy(provisional()),
    "provisional_password_lapses_once_mailed": lambda: change(provisional(), mailed_at=now()),
    "outgoing_mail_owed_once": lambda: copy(mail(), uuid=uuid.uuid4()),
    "outgoing_mail_known_status": lambda: change(mail(), status="LOST"),
    "outgoing_mail_sent_has_a_time": lambda: change(mail(), status=MailStatus.SENT),
    "throttle_count_one_per_key": lambda: copy(
        ThrottleCount.objects.create(scope="search", key="x", window_ends_at=now())
    ),
    "security_event_known_kind": lambda: SecurityEvent.objects.bulk_create([SecurityEvent(kind="LOST")]),
    "directory_import_known_status": lambda: change(DirectoryImportFactory(), status="LOST"),
    "directory_import_ended_has_a_time": lambda: change(DirectoryImportFactory(), ended_at=now()),
    "directory_import_failed_says_why": lambda: change(DirectoryImportFactory(), status="FAILED", ended_at=now()),
    "directory_import_applied_by_somebody": lambda: change(DirectoryImportFactory(), status="APPLYING"),
    "session_signed_in_has_a_time": lambda: change(
        Session.objects.create(session_key="x", expire_date=now()), signed_in_at=now()
    ),
    "authenticator_one_per_person": lambda: copy(Authenticator.objects.create(user=UserFactory(), encrypted_key="x")),
    "recovery_code_one_per_selector": lambda: copy(RecoveryCode.objects.create(user=UserFactory(), selector="abcd")),
    "factor_removal_confirmed_by_and_at_together": lambda: change(removal(), confirmed_at=now()),
    "factor_removal_refused_by_has_a_time": lambda: change(removal(), refused_by=analyst()),
    "factor_removal_ends_one_way": break_removal_both_ways,
    "factor_removal_takes_two_others": break_removal_of_the_asker,
    "factor_removal_has_a_reason": lambda: change(removal(), reason=""),
    "factor_removal_one_open_per_person": lambda: copy(removal()),
    "term_has_a_text": lambda: Term.objects.bulk_create([Term(version=1)]),
    "term_versions_count_from_one": lambda: Term.objects.bulk_create([Term(version=0, text="x")]),
    "term_acceptance_once_per_person": lambda: copy(
        TermAcceptance.objects.create(user=UserFactory(), term=Term.objects.create(version=1, text="x"))
    ),
    "help_desk_only_one": lambda: HelpDesk.objects.bulk_create([HelpDesk(pk=2)]),
    # requests_app
    "external_system_known_credential": lambda: change(ExternalSystemFactory(), credential="CAS"),
    "external_system_not_its_own_successor": break_successor,
    "user_type_once_per_system": break_one_type_of_a_name,
    "access_request_known_status": lambda: change(request_in(Status.PENDING), status="LOST"),
    "access_request_decided_by_and_at_together": lambda: change(request_in(Status.PENDING), decided_at=now()),
    "access_request_decided_states_have_a_decision": lambda: change(request_in(Status.PENDING), status=Status.APPROVED),
    "access_request_not_self_decided": break_self_decided,
    "access_request_not_self_completed": break_self_completed,
    "access_request_held_only_in_review": lambda: change(request_in(Status.PENDING), holder=analyst()),
    "access_request_returned_has_a_date": lambda: change(request_in(Status.PENDING), status=Status.RETURNED),
    "access_request_one_open_per_user_type": break_one_open,
    "access_request_one_open_per_user_type_and_unit": break_one_open_in_a_unit,
    "request_event_known_statuses": lambda: RequestEvent.objects.bulk_create([event(to_status="LOST")]),
    "system_notice_known_kind": lambda: SystemNotice.objects.create(
        system=ExternalSystemFactory(), kind="LOST", text="aviso"
    ),
    "grant_event_known_statuses": lambda: GrantEvent.objects.bulk_create(
        [GrantEvent(grant=grant_of(request_in(Status.COMPLETED)), to_status="LOST")]
    ),
    "access_request_registered_only_when_completed": lambda: change(
        request_in(Status.APPROVED), completed_by=analyst()
    ),
    "access_grant_known_status": lambda: change(grant_of(request_in(Status.COMPLETED)), status="LOST"),
    "access_grant_one_live_per_user_type": break_one_live_grant,
    "access_grant_one_live_per_user_type_and_unit": break_one_live_grant_in_a_unit,
    "external_system_known_askers": lambda: change(ExternalSystemFactory(), who_may_ask="NOBODY"),
    "external_system_known_for_whom": lambda: change(ExternalSystemFactory(), for_whom="NOBODY"),
    "external_system_somebody_per_unit": lambda: change(ExternalSystemFactory(), most_per_unit=0),
    "external_system_ends_after_it_starts": lambda: break_dates(
        ExternalSystemFactory(), active_from=0, active_until=-1
    ),
    "reason_template_known_decision": lambda: change(template(), decision="APPROVED"),
    "reason_template_once_for_all_systems": lambda: copy(template()),
    "reason_template_once_per_system": lambda: copy(template(system=ExternalSystemFactory())),
    "holiday_known_scope": lambda: change(holiday(), scope="CITY"),
    "holiday_ends_after_it_starts": lambda: break_dates(holiday(), starts_on=0, ends_on=-1),
    "holiday_once": lambda: copy(holiday()),
    "batch_known_decision": lambda: change(batch(), to=Status.COMPLETED),
    "batch_outcome_once": lambda: copy(BatchOutcome.objects.create(batch=batch(), request=request_in(Status.PENDING))),
    "attachment_known_kind": lambda: change(attachment(), kind="OTHER"),
    "attachment_known_media_type": lambda: change(attachment(), media_type="text/html"),
    "attachment_has_a_size": lambda: change(attachment(), size=0),
    "attachment_belongs_somewhere": lambda: change(attachment(), request=None),
    "draft_one_per_form": lambda: copy(Draft.objects.create(user=UserFactory())),
    "attachment_despacho_of_a_request": lambda: change(
        attachment(kind="DESPACHO"), request=None, form_nonce=uuid.uuid4()
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_database_refuses_what_breaks(name):
    with refused(name):
        BREAKS[name]()


def test_every_constraint_is_broken_once():
    named = {
        constraint.name
        for app in ("accounts", "requests_app")
        for model in apps.get_app_config(app).get_models()
        for constraint in model._meta.constraints
    }
    assert named == set(BREAKS)


# --- Pairs: both, neither, only one ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("who", "when", "stands"), [(False, False, True), (True, True, True), (True, False, False), (False, True, False)]
)
def test_who_decided_and_when_stand_together(who, when, stands):
    request, fields = request_in(Status.PENDING), decided()
    with nullcontext() if stands else refused("access_request_decided_by_and_at_together"):
        change(
            request, decided_by=fields["decided_by"] if who else None, decided_at=fields["decided_at"] if when else None
        )


@pytest.mark.parametrize(
    ("mailed", "lapses", "stands"),
    [(False, False, True), (True, True, True), (True, False, False), (False, True, False)],
)
def test_a_provisional_password_lapses_if_and_only_if_it_was_mailed(mailed, lapses, stands):
    row = provisional()
    with nullcontext() if stands else refused("provisional_password_lapses_once_mailed"):
        change(row, mailed_at=now() if mailed else None, lapses_at=now() if lapses else None)


@pytest.mark.parametrize("status", MailStatus)
@pytest.mark.parametrize("sent_at", [True, False])
def test_a_mail_has_a_time_of_sending_if_it_was_sent_and_none_while_it_waits(status, sent_at):
    """One that came back, or was replaced after that, keeps it."""
    row = mail()
    allowed = {MailStatus.SENT: {True}, MailStatus.PENDING: {False}}.get(status, {True, False})
    with nullcontext() if sent_at in allowed else refused("outgoing_mail_sent_has_a_time"):
        change(row, status=status, sent_at=now() if sent_at else None)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("held", [True, False])
def test_a_request_has_a_holder_if_and_only_if_it_is_in_review(status, held):
    request = request_in(status)
    with nullcontext() if held == (status == Status.IN_REVIEW) else refused("access_request_held_only_in_review"):
        change(request, holder=analyst() if held else None)


@pytest.mark.parametrize("status", Status)
def test_a_decided_request_keeps_its_decision(status):
    request = request_in(status)
    with refused("access_request_decided_states_have_a_decision") if status in DECIDED else nullcontext():
        change(request, decided_by=None, decided_at=None)


@pytest.mark.parametrize("status", Status)
def test_a_returned_request_keeps_its_date(status):
    request = request_in(status)
    with refused("access_request_returned_has_a_date") if status == Status.RETURNED else nullcontext():
        change(request, correct_by=None)


@pytest.mark.parametrize("who", ["requester", "beneficiary"])
@pytest.mark.parametrize("what", ["decided", "completed"])
def test_nobody_decides_or_completes_their_own(who, what):
    request = request_in(Status.COMPLETED)
    with refused(f"access_request_not_self_{what}"):
        change(request, **{f"{what}_by": getattr(request, who)})


@pytest.mark.parametrize(
    "cpf", ["", "1234567890", "529.982.247", "５２９９８２２４７２５", "5299822472\n", "5299822472²"]
)
def test_a_cpf_is_eleven_plain_digits(cpf):
    with refused("user_cpf_is_eleven_digits"):
        change(UserFactory(), cpf=cpf)


def test_an_end_on_the_first_day_stands():
    today = timezone.localdate()
    change(EmploymentFactory(), started_on=today, ended_on=today)
    change(UnitFactory(), started_on=today, ended_on=today)
    change(UnitFactory(), started_on=None, ended_on=today)


# --- Only one --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("first", Status)
@pytest.mark.parametrize("second", [Status.PENDING, Status.CANCELLED])
def test_of_the_same_only_one_is_open(first, second):
    request = request_in(first)
    held_twice = first in OPEN and second in OPEN
    with refused("access_request_one_open_per_user_type") if held_twice else nullcontext():
        copy(
            request,
            protocol="2001-000001",
            form_nonce=uuid.uuid4(),
            status=second,
            holder_id=None,
            decided_by_id=None,
            decided_at=None,
        )


@pytest.mark.parametrize("second", ["another person", "another user type", "another unit", "no unit"])
def test_what_is_not_the_same_may_be_open_too(second):
    request, other = two_requests()
    change(request, unit=UnitFactory())
    request.refresh_from_db()
    bond = EmploymentFactory()
    differs = {
        "another person": {"beneficiary_id": bond.user_id, "employment_id": bond.pk},
        "another user type": {"user_type_id": UserTypeFactory(system=request.system).pk},
        "another unit": {"unit_id": UnitFactory().pk},
        "no unit": {"unit_id": None},
    }[second]
    copy(request, **other, **differs)
    assert AccessRequest.objects.open().count() == 2


def test_two_requests_without_a_unit_count_as_one():
    """NULLs are all different to a unique index: without a constraint of its own, "no unit" would never be the same."""
    request, other = two_requests()
    assert request.unit is None
    with refused("access_request_one_open_per_user_type"):
        copy(request, **other)


def test_two_accesses_without_a_unit_count_as_one():
    grant = grant_of(request_in(Status.COMPLETED))
    with refused("access_grant_one_live_per_user_type"):
        copy(grant, request_id=request_in(Status.COMPLETED).pk)


@pytest.mark.parametrize("ended", [GrantStatus.REVOKED, GrantStatus.EXPIRED])
def test_after_an_access_ended_there_may_be_a_new_one(ended):
    grant = grant_of(request_in(Status.COMPLETED), status=ended)
    copy(grant, request_id=request_in(Status.COMPLETED).pk, status=GrantStatus.ACTIVE)


def test_after_a_provisional_password_ended_there_may_be_a_new_one():
    copy(provisional(ended_at=now()), ended_at=None)


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (UserFactory, {}),
        (EmploymentFactory, {}),
        (UnitFactory, {}),
        (ExternalSystemFactory, {}),
        (lambda: request_in(Status.CANCELLED), {"form_nonce": uuid.UUID(int=1)}),
        (lambda: request_in(Status.CANCELLED), {"protocol": "2001-000001"}),
        (lambda: grant_of(request_in(Status.COMPLETED)), {"status": GrantStatus.REVOKED}),
        (mail, {"object_id": 2}),
        (lambda: SpentChallenge.objects.create(digest="x", lapses_at=now()), {}),
    ],
    ids=[
        "cpf",
        "matrícula",
        "unit's code",
        "system's name",
        "protocol",
        "form",
        "grant's request",
        "mail",
        "challenge",
    ],
)
def test_what_names_one_thing_names_only_one(make, fields):
    row = make()
    with refused("unique"):
        copy(row, **fields)


# --- What others point at stays --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    ["requester", "beneficiary", "employment", "user_type", "protocol", "form_nonce", "description", "status"],
)
def test_a_request_is_never_without(name):
    request = request_in(Status.PENDING)
    with pytest.raises(IntegrityError):
        change(request, **{name: None})


@pytest.mark.parametrize("name", ["user", "user_type"])
def test_an_access_is_never_without(name):
    grant = grant_of(request_in(Status.COMPLETED))
    with pytest.raises(IntegrityError):
        change(grant, **{name: None})


def web_of_rows():
    """One row of everything, each pointing at the others."""
    request = request_in(Status.COMPLETED, bond=EmploymentFactory())
    change(request, unit=UnitFactory(), completed_by=analyst())
    request.refresh_from_db()
    grant = grant_of(request, unit=UnitFactory())
    password = ProvisionalPassword.objects.create(user=UserFactory(), nonce="x", key_version="1")
    history = RequestEvent.objects.create(request=request, to_status=Status.PENDING, actor=UserFactory())
    grant_history = GrantEvent.objects.create(
        grant=grant, to_status=GrantStatus.ACTIVE, actor=UserFactory(), provisional_password=password
    )
    return {
        "request.requester": request.requester,
        "request.beneficiary": request.beneficiary,
        "request.employment": request.employment,
        "request.user_type": request.user_type,
        "request.unit": request.unit,
        "request.decided_by": request.decided_by,
        "request.completed_by": request.completed_by,
        "request.holder": request_in(Status.IN_REVIEW).holder,
        "employment.user": EmploymentFactory().user,
        "employment.unit": EmploymentFactory().unit,
        "user_type.system": request.system,
        "system.successor": ExternalSystemFactory(successor=ExternalSystemFactory()).successor,
        "grant.request": request,
        "grant.user": grant.user,
        "grant.unit": grant.unit,
        "event.request": request,
        "event.actor": history.actor,
        "grant_event.grant": grant,
        "grant_event.actor": grant_history.actor,
        "grant_event.provisional_password": password,
        "password.user": password.user,
        "mail.recipient": mail().recipient,
    }


POINTERS = """
    request.requester request.beneficiary request.employment request.user_type request.unit request.decided_by
    request.completed_by request.holder employment.user employment.unit user_type.system system.successor
    grant.request grant.user grant.unit event.request event.actor grant_event.grant grant_event.actor
    grant_event.provisional_password password.user mail.recipient
""".split()


@pytest.mark.parametrize("pointer", POINTERS)
def test_what_something_points_at_is_not_deleted(pointer):
    row = web_of_rows()[pointer]
    with pytest.raises(ProtectedError):
        row.delete()


@pytest.mark.parametrize("pointer", POINTERS)
def test_not_even_past_the_model(pointer):
    row = web_of_rows()[pointer]

    def delete():
        type(row)._base_manager.filter(pk=row.pk)._raw_delete(using="default")
        connection.check_constraints()

    with pytest.raises(IntegrityError), transaction.atomic():
        delete()


def test_no_relation_of_ours_deletes_silently():
    """PROTECT everywhere, but for what has no meaning without its owner."""
    silent = {
        f"{model.__name__}.{field.name}"
        for app in ("accounts", "requests_app")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.concrete_fields
        if field.remote_field and field.remote_field.on_delete is not models.PROTECT
    }
    assert silent == {"SystemNotice.system"}
