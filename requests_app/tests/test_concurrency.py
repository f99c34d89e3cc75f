"""Several people, or several clicks, at the same moment: real threads, real connections, real commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts import housekeeping, passwords
from accounts.models import OutgoingMail, ProvisionalPassword, SecurityEvent, Session
from accounts.tests.factories import EmploymentFactory, UnitFactory
from requests_app import workflow
from requests_app.models import AccessGrant, AccessRequest, CatalogueChange, RequestEvent, Status

from .factories import UserTypeFactory, analyst, manager, request_in, unsaved_request
from .pages import Page, text_of

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "/solicitacoes/nova/"


def at_once(*steps: Callable[[], Any]) -> list[Any]:
    """Run the steps side by side, each with its own connection, begun together; their results in the same order."""
    start = threading.Barrier(len(steps), timeout=60)

    def run(step: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            start.wait()
            return step()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(steps)) as threads:
        running = [threads.submit(run, step) for step in steps]
    return [thread.result() for thread in running]


@pytest.fixture
def browser_of(make_client):
    """Another window of the same browser: the same cookies."""

    def clone(client):
        other = make_client()
        other.cookies = client.cookies.copy()
        return other

    return clone


@pytest.fixture
def signed_in(make_client):
    def enter(user):
        client = make_client()
        client.force_login(user)
        return client

    return enter


def answers(bond, user_type, **more):
    return {
        "requester_email": "lucia.goncalves@tjms.jus.br",
        "requester_phone": "(67) 3314-7851",
        "beneficiary": bond.pk,
        "user_type": user_type.pk,
        "system": user_type.system_id,
        "description": "Consulta de mandados no atendimento.",
        **more,
    }


def test_fault_17_eight_identical_posts_at_once_make_one_request_and_all_lead_to_it(signed_in, browser_of):
    client = signed_in(EmploymentFactory().user)
    posted = answers(EmploymentFactory(), UserTypeFactory(), nonce=Page(client.get(NEW)).value("nonce"))

    windows = [browser_of(client) for _ in range(8)]
    responses = at_once(*(lambda window=window: window.post(NEW, posted) for window in windows))

    request = AccessRequest.objects.get()
    assert [(answer.status_code, answer.get("Location")) for answer in responses] == [
        (302, f"/solicitacoes/{request.protocol}/")
    ] * 8
    assert RequestEvent.objects.count() == 1
    assert OutgoingMail.objects.values_list("kind", flat=True).get() == "request_received"
    assert Session.objects.count() == 1


def test_fault_17_eight_forms_for_the_same_at_once_make_one_request_and_seven_sentences(signed_in):
    bond, user_type = EmploymentFactory(), UserTypeFactory()
    clients = [signed_in(EmploymentFactory().user) for _ in range(8)]
    forms = [answers(bond, user_type, nonce=Page(client.get(NEW)).value("nonce")) for client in clients]

    responses = at_once(
        *(lambda client=client, form=form: client.post(NEW, form) for client, form in zip(clients, forms, strict=True))
    )

    request = AccessRequest.objects.get()
    made = [answer for answer in responses if answer.status_code == 302]
    told = [answer for answer in responses if answer.status_code == 200]
    assert [answer["Location"] for answer in made] == [f"/solicitacoes/{request.protocol}/"]
    assert len(told) == 7
    sentence = f"Já existe um pedido em andamento para esta pessoa e este sistema: nº {request.protocol}."
    for answer in told:
        assert sentence in Page(answer).summary
        assert Page(answer).value("description") == "Consulta de mandados no atendimento."
    assert (RequestEvent.objects.count(), OutgoingMail.objects.count()) == (1, 1)


def test_eight_people_at_once_get_eight_protocols_without_a_gap(signed_in):
    user_type = UserTypeFactory()
    clients = [signed_in(EmploymentFactory().user) for _ in range(8)]
    forms = [answers(EmploymentFactory(), user_type) for _ in clients]

    responses = at_once(
        *(lambda client=client, form=form: client.post(NEW, form) for client, form in zip(clients, forms, strict=True))
    )

    assert [answer.status_code for answer in responses] == [302] * 8
    numbers = sorted(int(protocol[-6:]) for protocol in AccessRequest.objects.values_list("protocol", flat=True))
    assert numbers == list(range(1, 9))
    assert len({answer["Location"] for answer in responses}) == 8
    assert OutgoingMail.objects.filter(kind="request_received").count() == 8


def decide(client, request, to, **more):
    return client.post(f"/admin/requests_app/accessrequest/{request.pk}/decidir/", {"to": to, **more})


def told(response):
    """The sentence that somebody got instead of a decision."""
    return text_of(Page(response).one("ul", class_="errorlist"))


def test_fault_17_four_approvals_at_once_make_one_decision_one_access_and_one_credential(signed_in):
    request = request_in(Status.PENDING)
    clients = [signed_in(analyst()) for _ in range(4)]

    responses = at_once(*(lambda client=client: decide(client, request, "APPROVED") for client in clients))

    assert sorted(answer.status_code for answer in responses) == [302, 409, 409, 409]
    for answer in responses:
        if answer.status_code == 409:
            assert "está “Concluída” e não pode passar para “Aprovada”" in told(answer)
    request.refresh_from_db()
    assert [(event.from_status, event.to_status) for event in request.events.all()] == [
        (Status.PENDING, Status.APPROVED),
        (Status.APPROVED, Status.COMPLETED),
    ]
    assert request.events.first().actor == request.decided_by
    assert AccessGrant.objects.get().events.count() == 1
    assert ProvisionalPassword.objects.count() == 1
    kinds = sorted(OutgoingMail.objects.values_list("kind", flat=True))
    assert kinds == ["credential", "request_completed"]


def test_of_four_different_decisions_at_once_one_holds(signed_in):
    request = request_in(Status.PENDING, user_type=UserTypeFactory(system__credential="OWN"))
    decisions = ["RETURNED", "REJECTED", "RETURNED", "REJECTED"]
    clients = [signed_in(analyst()) for _ in decisions]

    responses = at_once(
        *(
            lambda client=client, to=to: decide(client, request, to, note="motivo")
            for client, to in zip(clients, decisions, strict=True)
        )
    )

    assert sorted(answer.status_code for answer in responses) == [302, 409, 409, 409]
    [winner] = [to for to, answer in zip(decisions, responses, strict=True) if answer.status_code == 302]
    request.refresh_from_db()
    assert request.status == winner
    assert [event.to_status for event in request.events.all()] == [winner]
    assert OutgoingMail.objects.count() == 1


@pytest.mark.parametrize("attempt", range(3))
def test_approving_and_cancelling_at_once_exactly_one_holds_and_the_other_is_told(signed_in, attempt):
    request = request_in(Status.PENDING)
    decider, requester = signed_in(analyst()), signed_in(request.requester)

    approved, cancelled = at_once(
        lambda: decide(decider, request, "APPROVED"),
        lambda: requester.post(f"/solicitacoes/{request.protocol}/cancelar/", follow=True),
    )

    request.refresh_from_db()
    if approved.status_code == 302:
        assert request.status == Status.COMPLETED
        assert AccessGrant.objects.count() == 1
        assert "está “Concluída” e não pode passar para “Cancelada”" in Page(cancelled).notices[0]
    else:
        assert (approved.status_code, request.status) == (409, Status.CANCELLED)
        assert not AccessGrant.objects.exists()
        assert "está “Cancelada” e não pode passar para “Aprovada”" in told(approved)
        assert Page(cancelled).notices == ["Solicitação cancelada."]


def test_two_approvals_for_one_person_at_once_share_one_provisional_password(signed_in):
    bond = request_in(Status.CANCELLED).employment
    requests = [request_in(Status.PENDING, bond=bond) for _ in range(4)]
    clients = [signed_in(analyst()) for _ in requests]

    responses = at_once(
        *(
            lambda client=client, request=request: decide(client, request, "APPROVED")
            for client, request in zip(clients, requests, strict=True)
        )
    )

    assert [answer.status_code for answer in responses] == [302] * 4
    assert AccessGrant.objects.filter(user=bond.user).count() == 4
    assert ProvisionalPassword.objects.filter(user=bond.user).count() == 1
    assert OutgoingMail.objects.filter(kind="credential", recipient=bond.user).count() == 4


@pytest.mark.parametrize("attempt", range(6))
def test_approvals_of_two_people_who_asked_for_each_other_do_not_wait_for_each_other(signed_in, attempt):
    """Each locks its beneficiary and owes the other one, as requester, a mail: foreign keys are checked at the end."""
    one, other = EmploymentFactory(), EmploymentFactory()
    requests = [
        request_in(Status.PENDING, bond=one, requester=other.user),
        request_in(Status.PENDING, bond=other, requester=one.user),
    ]
    clients = [signed_in(analyst()) for _ in requests]

    responses = at_once(
        *(
            lambda client=client, request=request: decide(client, request, "APPROVED")
            for client, request in zip(clients, requests, strict=True)
        )
    )

    assert [answer.status_code for answer in responses] == [302, 302]
    assert AccessGrant.objects.count() == 2


def test_a_warning_of_lapsing_and_a_change_of_password_at_once_both_succeed(rf):
    user = EmploymentFactory(user__must_change_password=True).user
    now = timezone.now()
    live = ProvisionalPassword.objects.create(
        user=user, key_version="x", set_at=now, mailed_at=now - timedelta(days=6), lapses_at=now + timedelta(hours=20)
    )
    request = rf.get("/")

    def change():
        return passwords.choose(
            user.pk,
            "capivaras na beira do rio",
            may=lambda _locked: True,
            kind=SecurityEvent.Kind.PASSWORD_CHANGED,
            request=request,
        )

    at_once(change, lambda: housekeeping.warn_of_lapsing(dry_run=False))

    user.refresh_from_db()
    live.refresh_from_db()
    assert user.check_password("capivaras na beira do rio")
    assert live.ended_at is not None


def test_a_correction_sent_eight_times_at_once_is_made_once(signed_in, browser_of):
    request = workflow.file(unsaved_request())
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    client = signed_in(request.requester)
    posted = answers(request.employment, request.user_type, description="Portaria 12/2026.")

    windows = [browser_of(client) for _ in range(8)]
    address = f"/solicitacoes/{request.protocol}/corrigir/"
    responses = at_once(*(lambda window=window: window.post(address, posted) for window in windows))

    assert all(answer.status_code in {200, 302} for answer in responses)
    request.refresh_from_db()
    assert (request.status, request.description) == (Status.PENDING, "Portaria 12/2026.")
    assert [event.to_status for event in request.events.all()] == [Status.PENDING, Status.RETURNED, Status.PENDING]


@pytest.mark.skipif("sqlite" in connection.vendor, reason="SQLite lets one writer in at a time: there is no in between")
def test_the_same_form_is_the_same_request_even_between_two_looks_at_the_table(signed_in, browser_of):
    """The second post has looked for its own form, and looks for others for the same, after the first was stored."""
    client = signed_in(EmploymentFactory().user)
    posted = answers(EmploymentFactory(), UserTypeFactory(), nonce=Page(client.get(NEW)).value("nonce"))
    looked, stored = threading.Event(), threading.Event()

    def wait_after_the_first_look(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "form_nonce" in sql and sql.startswith("SELECT") and not looked.is_set():
            looked.set()
            assert stored.wait(30)
        return result

    def slow():
        with connection.execute_wrapper(wait_after_the_first_look):
            return browser_of(client).post(NEW, posted)

    def quick():
        assert looked.wait(30)
        try:
            return browser_of(client).post(NEW, posted)
        finally:
            stored.set()

    first, second = at_once(slow, quick)

    request = AccessRequest.objects.get()
    assert {answer.get("Location") for answer in (first, second)} == {f"/solicitacoes/{request.protocol}/"}


@pytest.mark.parametrize(
    ("model", "posted", "sentence"),
    [
        (
            "externalsystem",
            {"name": "SIEL", "who_may_ask": "ANYONE", "for_whom": "ANYONE", "credential": "OWN"},
            "Já existe um sistema com este nome: SIEL.",
        ),
        ("cargo", {"name": "Perito"}, "Este cargo já está na lista: Perito."),
        (
            "holiday",
            {"name": "Feriado novo", "scope": "COURT", "starts_on": "02/03/2026", "ends_on": "02/03/2026"},
            "Este feriado já está na lista.",
        ),
        (
            "reasontemplate",
            {"decision": "REJECTED", "title": "Sem finalidade", "text": "Diga para que serve."},
            "Já existe um modelo com este título.",
        ),
    ],
)
def test_what_two_people_add_to_the_catalogue_at_once_is_added_once_and_the_slower_one_is_told(
    signed_in, model, posted, sentence
):
    """Where several may write at a time, both looked for another of the same name before either was stored."""
    clients = [signed_in(manager()) for _ in range(2)]
    both_looked = threading.Barrier(2)
    address = f"/admin/requests_app/{model}/add/"
    counts = [f"{rows}-{name}_FORMS" for rows in ("user_types", "notices") for name in ("TOTAL", "INITIAL")]
    form = {**dict.fromkeys(counts, 0), **posted}
    table = f'"requests_app_{model}"'

    def add(client):
        waited = False

        def wait_before_storing(execute, sql, params, many, context):
            nonlocal waited
            if sql.startswith(f"INSERT INTO {table}") and not waited and connection.vendor != "sqlite":
                waited = True
                both_looked.wait(30)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(wait_before_storing):
            return client.post(address, form)

    responses = at_once(*(lambda client=client: add(client) for client in clients))

    assert sorted(response.status_code for response in responses) == [200, 302]
    [refused] = [response for response in responses if response.status_code == 200]
    assert sentence in Page(refused).text
    assert CatalogueChange.objects.filter(model=f"requests_app.{model}").count() == 1


@pytest.mark.parametrize("attempt", range(3))
def test_of_eight_who_ask_for_the_last_place_of_a_unit_at_once_one_gets_it(signed_in, attempt):
    """Each for somebody else: no constraint of the database would keep two of them apart."""
    unit, user_type = UnitFactory(), UserTypeFactory(system__most_per_unit=2)
    request_in(Status.PENDING, user_type=user_type, bond=EmploymentFactory(unit=unit))
    clients = [signed_in(EmploymentFactory().user) for _ in range(8)]
    forms = [answers(EmploymentFactory(unit=unit), user_type) for _ in clients]

    responses = at_once(
        *(lambda client=client, form=form: client.post(NEW, form) for client, form in zip(clients, forms, strict=True))
    )

    assert sorted(answer.status_code for answer in responses) == [200] * 7 + [302]
    for answer in responses:
        if answer.status_code == 200:
            assert "já são 2" in Page(answer).summary
    assert AccessRequest.objects.count() == 2


@pytest.mark.skipif("sqlite" in connection.vendor, reason="SQLite lets one writer in at a time: there is no in between")
def test_who_asks_for_the_last_place_waits_for_who_was_counted_before(signed_in):
    """The second counts only after the first, which has counted and stored nothing yet, is done."""
    unit, user_type = UnitFactory(), UserTypeFactory(system__most_per_unit=1)
    clients = [signed_in(EmploymentFactory().user) for _ in range(2)]
    forms = [answers(EmploymentFactory(unit=unit), user_type) for _ in clients]
    counted, waits = threading.Event(), threading.Event()

    def hold_before_storing(execute, sql, params, many, context):
        if sql.startswith('INSERT INTO "requests_app_accessrequest"') and not counted.is_set():
            counted.set()
            assert waits.wait(30)
        return execute(sql, params, many, context)

    def first():
        with connection.execute_wrapper(hold_before_storing):
            return clients[0].post(NEW, forms[0])

    def tell_before_the_lock(execute, sql, params, many, context):
        if "FOR NO KEY UPDATE" in sql and "externalsystem" in sql:
            waits.set()
        return execute(sql, params, many, context)

    def second():
        assert counted.wait(30)
        with connection.execute_wrapper(tell_before_the_lock):
            return clients[1].post(NEW, forms[1])

    responses = at_once(first, second)

    assert [answer.status_code for answer in responses] == [302, 200]
    assert "já são 1" in Page(responses[1]).summary


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_expired_requests_one_comes_back_to_the_last_place(signed_in, attempt):
    unit, user_type = UnitFactory(), UserTypeFactory(system__most_per_unit=1)
    expired = [request_in(Status.EXPIRED, user_type=user_type, bond=EmploymentFactory(unit=unit)) for _ in range(2)]

    def reopen(request):
        try:
            return workflow.move(request.pk, Status.PENDING, by=request.requester).status
        except workflow.MoveRefusedError as refusal:
            return str(refusal)

    outcomes = at_once(*(lambda request=request: reopen(request) for request in expired))

    assert Status.PENDING in outcomes
    [refusal] = [outcome for outcome in outcomes if outcome != Status.PENDING]
    assert "já são 1" in refusal


def test_a_rule_saved_and_requests_filed_at_once_wait_for_each_other_without_a_deadlock(signed_in):
    user_type = UserTypeFactory(system__most_per_unit=5)
    clients = [signed_in(EmploymentFactory().user) for _ in range(4)]
    forms = [answers(EmploymentFactory(), user_type) for _ in clients]
    keeper = signed_in(manager())
    system = user_type.system
    counts = {f"{rows}-{name}_FORMS": 0 for rows in ("user_types", "notices") for name in ("TOTAL", "INITIAL")}
    posted = {**counts, "name": f"{system} novo", "who_may_ask": "ANYONE", "for_whom": "ANYONE", "credential": "OWN"}

    saved, *filed = at_once(
        lambda: keeper.post(f"/admin/requests_app/externalsystem/{system.pk}/change/", {**posted, "is_active": "on"}),
        *(lambda client=client, form=form: client.post(NEW, form) for client, form in zip(clients, forms, strict=True)),
    )

    assert saved.status_code == 302
    assert [answer.status_code for answer in filed] == [302] * 4
