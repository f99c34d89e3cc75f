"""Many requests decided at once: chosen on the list, confirmed on one page, their outcomes read on another."""

from __future__ import annotations

import uuid
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import outbox, tasks
from accounts.models import OutgoingMail
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app import forms, workflow
from requests_app.models import (
    AccessGrant,
    AccessRequest,
    Batch,
    BatchOutcome,
    ReasonTemplate,
    RequestEvent,
    Status,
    UserType,
)
from requests_app.workflow import batches

from .factories import UserTypeFactory, analyst, manager, request_in, superuser, unsaved_request
from .pages import Page, text_of, walk
from .test_concurrency import at_once

pytestmark = pytest.mark.django_db

LIST = "/admin/requests_app/accessrequest/"
NEW = f"{LIST}lote/"
SCRIPT = "<script>alert(1)</script>"
HUGE = "9" * 400
ACTIONS = {"APPROVED": "approve_many", "RETURNED": "return_many", "REJECTED": "reject_many"}


@pytest.fixture
def decider(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


@pytest.fixture
def own_system():
    """Approved is all that its requests become by a batch."""
    return UserTypeFactory(name="Consulta", system__name="SIEL", system__credential="OWN")


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def choose(client, requests, to="APPROVED", filters="", **more):
    """Mark these on the list and say what to do with them."""
    marked = [getattr(request, "pk", request) for request in requests]
    posted = {"action": ACTIONS[to], "index": "0", "select_across": "0", "_selected_action": marked, **more}
    return client.post(LIST + filters, posted)


def form_on(response):
    """Where the page's form goes, and what it would post as it stands."""
    page = Page(response)
    [form] = [form for form in page.all("form") if "/lote/" in dict(form.attributes).get("action", "")]
    names = ("to", "chosen", "nonce")
    return dict(form.attributes)["action"], {name: page.value(name) for name in names}


def decide(client, requests, to="APPROVED", **typed):
    """Choose and confirm; the answer to the confirmation."""
    address, fields = form_on(choose(client, requests, to))
    return client.post(address, {**fields, **typed})


def said(response):
    """The admin's messages."""
    return " ".join(map(text_of, Page(response).all("ul", class_="messagelist")))


def outcomes(response):
    """What the page of a batch says of each request: its row, by the protocol."""
    rows = {}
    for row in Page(response).all("tr"):
        cells = [text_of(cell) for cell in walk(row) if cell.name in {"td", "th"}]
        rows[cells[0]] = cells[1:]
    rows.pop("Protocolo", None)
    return rows


def totals(response):
    [found] = Page(response).all("ul", class_="desk-totals")
    return [text_of(item) for item in walk(found) if item.name == "li"]


def statuses(requests):
    return [AccessRequest.objects.get(pk=request.pk).status for request in requests]


def leave(request):
    """The beneficiary's bond has ended."""
    request.employment.ended_on = timezone.localdate() - timedelta(days=1)
    request.employment.save()


# --- Choosing --------------------------------------------------------------------------------------------------------
def test_the_page_says_what_was_chosen_and_nothing_is_decided_yet(client, decider):
    chosen, other = [filed(), filed()], filed()
    response = choose(client, chosen, "REJECTED")
    page = Page(response)
    assert "Indeferir 2 solicitações" in page.text
    assert set(outcomes(response)) == {request.protocol for request in chosen}
    assert other.protocol not in page.text
    assert statuses(chosen) == [Status.PENDING] * 2
    assert not Batch.objects.exists()


def test_of_many_the_page_shows_fifty_and_says_how_many_more(client, decider, own_system):
    chosen = [request_in(Status.PENDING, user_type=own_system) for _ in range(53)]
    response = choose(client, chosen)
    assert list(outcomes(response)) == [request.protocol for request in chosen[:50]]
    assert "E mais 3, que não estão mostradas aqui" in Page(response).text
    address, fields = form_on(response)
    client.post(address, fields)
    assert statuses(chosen) == [Status.APPROVED] * 53


def test_the_whole_list_is_chosen_by_its_filter(client, decider, own_system):
    wanted = [request_in(Status.PENDING, user_type=own_system) for _ in range(3)]
    others = [request_in(Status.PENDING), request_in(Status.REJECTED, user_type=own_system)]
    filters = f"?sistema={own_system.system_id}"
    address, fields = form_on(choose(client, wanted[:1], filters=filters, select_across="1"))
    response = client.post(address, fields, follow=True)
    assert statuses(wanted) == [Status.APPROVED] * 3
    assert statuses(others) == [Status.PENDING, Status.REJECTED]
    assert Page(response).one("a", href=LIST + filters), "the way back leads to the list as it was"
    opened = {urlsplit(dict(link.attributes)["href"]) for link in Page(response).all("a") if "/change/" in str(link)}
    assert all(parse_qs(link.query) == {"_changelist_filters": [filters[1:]]} for link in opened)


def test_what_the_filter_let_go_of_meanwhile_is_not_passed_over_in_silence(client, make_client, decider):
    gone, waiting = filed(), filed()
    workflow.move(gone.pk, Status.REJECTED, by=analyst(), note="motivo")
    response = decide(client, [gone, waiting])
    rows = outcomes(client.get(response.url))
    assert "está “Indeferida” e não pode passar para “Aprovada”" in rows[gone.protocol][-1]
    assert statuses([gone, waiting]) == [Status.REJECTED, Status.COMPLETED]


def test_the_page_marks_what_will_be_refused_as_things_stand_and_says_how_many_can_be_decided(client, decider):
    fine, held, with_me = filed(), request_in(Status.IN_REVIEW), request_in(Status.IN_REVIEW)
    AccessRequest.objects.filter(pk=held.pk).update(holder=analyst(name="BRUNO COLEGA"))
    AccessRequest.objects.filter(pk=with_me.pk).update(holder=decider)
    mine = filed(requester=EmploymentFactory(user=decider).user)
    gone, approved = request_in(Status.REJECTED), request_in(Status.APPROVED)
    response = choose(client, [fine, held, with_me, mine, gone, approved], "APPROVED")
    rows = outcomes(response)
    assert list(rows) == [request.protocol for request in (mine, gone, approved, fine, held, with_me)]
    assert [row[-1] for row in rows.values()] == [
        "Será recusada. Ninguém decide um pedido que fez ou que é para si.",
        "Será recusada. Está “Indeferida” e não pode passar para “Aprovada”.",
        "Será recusada. Já está “Aprovada”.",
        "–",
        "Em análise com Bruno Colega.",
        "–",
    ]
    assert "3 das 6 escolhidas podem ser decididas. As outras 3 serão recusadas." in Page(response).text
    assert "Aprovar 3 solicitações" in [text_of(button) for button in Page(response).all("button")]
    address, fields = form_on(response)
    page = client.get(client.post(address, fields).url)
    assert totals(page) == ["Recusadas: 3", "Ainda não tratadas: 0", "Aprovadas: 3"]


def test_where_all_can_be_decided_nothing_is_said_of_refusals(client, decider):
    text = Page(choose(client, [filed(), filed()])).text
    assert "podem ser decididas" not in text
    assert "recusada" not in text


@pytest.mark.parametrize("to", ["APPROVED", "RETURNED", "REJECTED"])
def test_where_none_can_be_decided_no_button_is_offered(client, decider, to):
    refused = [filed(requester=EmploymentFactory(user=decider).user), request_in(Status.REJECTED)]
    response = choose(client, refused, to, "?situacao=todas")
    page = Page(response)
    assert "Nenhuma das escolhidas pode ser decidida. Veja na tabela o motivo de cada uma." in page.text
    assert len(outcomes(response)) == 2
    assert not [form for form in page.all("form") if "/lote/" in dict(form.attributes).get("action", "")]
    assert not page.controls("note")
    assert page.one("a", class_="button", href=f"{LIST}?situacao=todas")


@pytest.mark.parametrize("marked", [["abc"], ["1", "x"], [""], ["\0"], [HUGE], ["٣"], ["1,2"], ["-1"], ["1 "], ["0"]])
def test_lines_that_are_none_are_told(client, decider, marked):
    request = filed()
    response = choose(client, [*marked, "987654321"], "APPROVED")
    assert response.status_code == 302
    assert "Nenhuma solicitação foi escolhida." in said(client.get(response.url))
    assert statuses([request]) == [Status.PENDING]


def test_nothing_marked_is_told(client, decider):
    filed()
    response = client.post(LIST, {"action": "approve_many", "index": "0"})
    assert response.status_code == 302
    assert said(client.get(response.url))
    assert not Batch.objects.exists()


def many_in(user_type, number, status=Status.PENDING):
    """Stored requests of one system, as quickly as the database takes them, without histories."""
    template = unsaved_request(user_type=user_type)
    fields = {field.attname: getattr(template, field.attname) for field in AccessRequest._meta.fields}
    first = AccessRequest.objects.count()
    # A profile for each: of one profile a person has one open request.
    profiles = UserType.objects.bulk_create(
        UserType(system=user_type.system, name=f"Perfil {first} {place}") for place in range(number)
    )
    own = ({"id": None, "form_nonce": uuid.uuid4(), "user_type_id": profile.pk} for profile in profiles)
    return AccessRequest.objects.bulk_create(
        AccessRequest(**fields | values | {"protocol": f"1999-{first + place:06d}", "status": status})
        for place, values in enumerate(own)
    )


def test_more_than_a_thousand_are_refused_before_anything(client, decider, own_system):
    many_in(own_system, 1001)
    waiting = request_in(Status.PENDING, user_type=own_system)
    keys = AccessRequest.objects.values_list("pk", flat=True)

    for attempt in (
        lambda: choose(client, [waiting], filters="?situacao=todas", select_across="1"),
        lambda: choose(client, keys),
        lambda: client.post(NEW, {"to": "APPROVED", "chosen": ",".join(f"{pk}:0" for pk in keys)}),
    ):
        response = attempt()
        assert response.status_code == 302
        assert "Escolha até 1.000 solicitações de cada vez. Nada foi decidido" in said(client.get(response.url))
    assert statuses([waiting]) == [Status.PENDING]
    assert not Batch.objects.exists()


def test_a_hundred_thousand_are_refused_with_a_page_of_ours(client, decider):
    waiting = filed()
    for keys in (range(1, 2000), range(1, 100_001)):
        response = choose(client, [waiting.pk, *keys])
        assert response.status_code == 400
        assert "De uma lista, escolha até 1.000 linhas de cada vez." in Page(response).text
    assert statuses([waiting]) == [Status.PENDING]


@pytest.mark.parametrize("number", [3, 300])
def test_the_page_costs_as_many_queries_for_many_as_for_one(client, decider, own_system, number):
    [one] = many_in(own_system, 1)
    choose(client, [one])
    with CaptureQueriesContext(connection) as for_one:
        choose(client, [one])
    more = [*many_in(own_system, number), *many_in(own_system, number, Status.CANCELLED)]
    AccessRequest.objects.filter(pk__in=[request.pk for request in more[::2]]).update(requester=decider)
    with CaptureQueriesContext(connection) as for_many:
        choose(client, more)
    assert len(for_many) == len(for_one)


# --- Deciding --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("to", "heading", "kind"),
    [
        ("APPROVED", "Aprovadas", "request_approved"),
        ("RETURNED", "Devolvidas", "request_returned"),
        ("REJECTED", "Indeferidas", "request_rejected"),
    ],
)
def test_each_request_is_moved_by_itself_and_its_requester_told(client, decider, own_system, to, heading, kind):
    chosen = [
        filed(user_type=own_system),
        filed(user_type=own_system),
        filed(user_type=UserTypeFactory(system=own_system.system)),
    ]
    response = decide(client, chosen, to, note="Falta o ato de designação.")
    batch = Batch.objects.get()
    assert (response.status_code, response.url) == (302, f"{LIST}lote/{batch.pk}/")
    page = client.get(response.url)
    assert totals(page) == ["Recusadas: 0", "Ainda não tratadas: 0", f"{heading}: 3"]
    assert set(outcomes(page)) == {request.protocol for request in chosen}
    note = "" if to == "APPROVED" else "Falta o ato de designação."
    for request in chosen:
        event = request.events.last()
        assert (event.from_status, event.to_status, event.actor, event.note) == (Status.PENDING, to, decider, note)
        assert OutgoingMail.objects.filter(kind=kind, recipient=request.requester, object_id=event.pk).count() == 1
    assert statuses(chosen) == [to] * 3
    assert (batch.by, batch.to, batch.note) == (decider, to, note)


def test_an_approval_of_the_portals_own_account_gives_access_and_mails_a_password(client, decider, smtp_sink):
    chosen = [filed(), filed()]
    decide(client, chosen)
    assert statuses(chosen) == [Status.COMPLETED] * 2
    assert AccessGrant.objects.count() == 2
    tasks.sweep()
    for request in chosen:
        subjects = [str(delivery.message["Subject"]) for delivery in smtp_sink.to(request.beneficiary.email)]
        assert any("Acesso liberado" in subject for subject in subjects)


def test_a_request_of_a_system_registered_by_hand_is_only_approved_and_the_page_says_what_is_left(client, decider):
    by_hand = UserTypeFactory(system__credential="OPERATOR")
    request = filed(user_type=by_hand)
    assert "Elas ficam “Aprovadas” até alguém registrar o acesso." in Page(choose(client, [request])).text
    page = client.get(decide(client, [request]).url)
    assert statuses([request]) == [Status.APPROVED]
    assert not AccessGrant.objects.exists()
    assert "Aprovadas que esperam o registro do acesso no outro sistema: 1." in Page(page).text


def test_refusals_come_first_each_with_its_sentence_and_keep_no_other_back(client, make_client, decider):
    fine = [filed(), filed()]
    mine = filed(requester=EmploymentFactory(user=decider).user)
    for_me = filed(bond=decider.employments.get())
    decided, left, without_address = filed(), filed(), filed()
    response = choose(client, [*fine, mine, for_me, decided, left, without_address])
    assert "2 destas solicitações são suas" in Page(response).text
    workflow.move(decided.pk, Status.APPROVED, by=analyst())
    leave(left)
    without_address.beneficiary.email = ""
    without_address.beneficiary.save()
    address, fields = form_on(response)

    page = client.get(client.post(address, fields).url)

    assert totals(page) == ["Recusadas: 5", "Ainda não tratadas: 0", "Aprovadas: 2"]
    rows = outcomes(page)
    refused = [mine, for_me, decided, left, without_address]
    assert list(rows) == [request.protocol for request in [*refused, *fine]]
    for request, sentence in zip(
        refused,
        [
            *["Ninguém decide um pedido que fez ou que é para si."] * 2,
            f"A solicitação {decided.protocol} mudou depois que você abriu esta página.",
            "Esta pessoa não tem mais este vínculo com o Tribunal.",
            "Esta pessoa não tem e-mail no cadastro e não receberia a credencial.",
        ],
        strict=True,
    ):
        assert sentence in rows[request.protocol][-1]
        assert Page(page).one("a", href=f"{LIST}{request.pk}/change/")
    assert statuses(refused) == [Status.PENDING, Status.PENDING, Status.COMPLETED, Status.PENDING, Status.PENDING]
    assert rows[decided.protocol][2] == "Concluída", "beside the sentence stands how it is now"
    assert statuses(fine) == [Status.COMPLETED] * 2


def test_what_changed_after_the_page_was_shown_is_refused_and_not_overwritten(client, decider):
    taken, corrected, same = filed(), filed(), filed()
    workflow.move(corrected.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    workflow.correct(AccessRequest.objects.get(pk=corrected.pk), by=corrected.requester)
    address, fields = form_on(choose(client, [taken, corrected, same]))
    workflow.move(taken.pk, Status.IN_REVIEW, by=analyst())
    workflow.move(corrected.pk, Status.RETURNED, by=analyst(), note="Falta outra.")
    workflow.correct(AccessRequest.objects.get(pk=corrected.pk), by=corrected.requester)

    rows = outcomes(client.get(client.post(address, fields).url))

    for request in (taken, corrected):
        assert (
            f"A solicitação {request.protocol} mudou depois que você abriu esta página." in rows[request.protocol][-1]
        )
    assert statuses([taken, corrected, same]) == [Status.IN_REVIEW, Status.PENDING, Status.COMPLETED]


# --- The reason ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("to", ["RETURNED", "REJECTED"])
@pytest.mark.parametrize("note", ["", "  \r\n ", "\u200b\u2060"])
def test_a_reason_is_mandatory_to_return_or_reject(client, decider, to, note):
    chosen = [filed(), filed()]
    response = decide(client, chosen, to, note=note)
    assert response.status_code == 200
    assert Page(response).beside("note") == "Escreva o motivo: quem pediu precisa saber o que houve."
    assert set(outcomes(response)) == {request.protocol for request in chosen}
    assert not Batch.objects.exists()
    address, fields = form_on(response)
    client.post(address, {**fields, "note": "Agora com motivo."})
    assert statuses(chosen) == [to] * 2


@pytest.mark.parametrize(
    ("note", "sentence"), [("a" * 2001, "no máximo 2000 caracteres"), ("a\0b", "Caracteres nulos não são permitidos.")]
)
def test_a_reason_that_cannot_be_is_refused_beside_it_and_kept(client, decider, note, sentence):
    request = filed()
    page = Page(decide(client, [request], "REJECTED", note=note))
    assert sentence in page.beside("note")
    assert page.value("note").replace("\ufffd", "\0") == note
    assert statuses([request]) == [Status.PENDING]


@pytest.fixture
def reasons(own_system):
    make = ReasonTemplate.objects.create
    other = UserTypeFactory().system
    return {
        "general": make(decision="REJECTED", title="Sem designação", text="Falta a designação.", norm="Portaria 140"),
        "own": make(
            decision="REJECTED", title="Do SIEL", text="O SIEL é só para magistrados.", system=own_system.system
        ),
        "other": make(decision="REJECTED", title="De outro", text="Outro.", system=other),
        "return": make(decision="RETURNED", title="Devolver", text="Corrija."),
        "retired": make(decision="REJECTED", title="Antigo", text="Antigo.", is_active=False),
    }


def offered(response, reasons):
    [field] = Page(response).all("select", name="reason")
    values = {dict(option.attributes)["value"] for option in walk(field) if option.name == "option"}
    return {name for name, reason in reasons.items() if str(reason.pk) in values}


def test_the_templates_that_fit_all_that_were_chosen_are_offered(client, decider, own_system, reasons):
    of_one_system = [filed(user_type=own_system), filed(user_type=own_system)]
    assert offered(choose(client, of_one_system, "REJECTED"), reasons) == {"general", "own"}
    assert offered(choose(client, [*of_one_system, filed()], "REJECTED"), reasons) == {"general"}


def test_the_requester_reads_template_norm_and_note_and_the_history_knows_the_template(
    client, decider, own_system, reasons, smtp_sink
):
    request = filed(user_type=own_system)
    page = client.get(decide(client, [request], "REJECTED", reason=reasons["general"].pk, note="Peça de novo.").url)
    wording = "Falta a designação. (Portaria 140)\n\nPeça de novo."
    event = request.events.last()
    assert (event.note, event.reason) == (wording, reasons["general"])
    assert "Falta a designação. (Portaria 140)" in Page(page).text
    tasks.sweep()
    [mail] = [mail for mail in smtp_sink.to(request.requester_email) if "indeferido" in str(mail.message["Subject"])]
    assert "Falta a designação. (Portaria 140)" in mail.text()
    assert "Peça de novo." in mail.text()


@pytest.mark.parametrize("name", ["other", "return", "retired"])
def test_a_template_that_does_not_fit_is_refused_with_a_sentence_and_what_was_typed_is_kept(
    client, decider, own_system, reasons, name
):
    request = filed(user_type=own_system)
    response = decide(client, [request], "REJECTED", reason=reasons[name].pk, note="O que eu já tinha escrito.")
    page = Page(response)
    assert "Este modelo de motivo não serve para esta decisão ou para este sistema." in page.beside("reason")
    assert page.value("note") == "O que eu já tinha escrito."
    assert statuses([request]) == [Status.PENDING]


@pytest.mark.parametrize("reason", ["abc", HUGE, "-1", "\0", "٣", "1.5", SCRIPT])
def test_a_template_that_is_none_is_refused_with_a_sentence(client, decider, reasons, reason):
    request = filed()
    response = decide(client, [request], "REJECTED", reason=reason, note="motivo")
    assert "Este modelo de motivo não serve" in Page(response).beside("reason")
    assert SCRIPT not in response.content.decode()
    assert statuses([request]) == [Status.PENDING]


# --- Once ------------------------------------------------------------------------------------------------------------
def test_the_same_page_sent_again_decides_nothing_again_whatever_else_is_sent(client, decider, own_system):
    chosen, other = [filed(user_type=own_system) for _ in range(3)], filed()
    address, fields = form_on(choose(client, chosen))
    first = client.post(address, fields)
    history = RequestEvent.objects.count()
    again = client.post(address, fields)
    changed = client.post(address, {**fields, "to": "REJECTED", "note": "outro", "chosen": f"{other.pk}:999"})
    assert first.url == again.url == changed.url
    assert RequestEvent.objects.count() == history
    assert statuses([*chosen, other]) == [*[Status.APPROVED] * 3, Status.PENDING]
    assert Batch.objects.count() == 1
    assert client.get(first.url).status_code == client.get(first.url).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_fault_17_eight_identical_decisions_at_once_decide_each_request_once(make_client):
    client = make_client()
    client.force_login(analyst())
    chosen = [filed() for _ in range(6)]
    address, fields = form_on(choose(client, chosen))

    def window():
        other = make_client()
        other.cookies = client.cookies.copy()
        return other.post(address, fields)

    responses = at_once(*[window] * 8)

    batch = Batch.objects.get()
    assert {(answer.status_code, answer.url) for answer in responses} == {(302, f"{LIST}lote/{batch.pk}/")}
    assert statuses(chosen) == [Status.COMPLETED] * 6
    for request in chosen:
        assert [event.to_status for event in request.events.all()] == ["PENDING", "APPROVED", "COMPLETED"]
    assert OutgoingMail.objects.filter(kind="credential").count() == 6
    assert set(batch.outcomes.values_list("refusal", flat=True)) == {""}


def test_another_persons_page_decides_nothing_and_what_was_typed_is_kept(client, make_client, decider):
    request = filed()
    other = make_client()
    other.force_login(analyst())
    address, fields = form_on(choose(other, [request], "REJECTED"))
    for nonce in (fields["nonce"], "abc", f"{fields['nonce']}x", "é" * 50, "a" * 201, "\0"):
        response = client.post(address, {**fields, "nonce": nonce, "note": "O que eu já tinha escrito."})
        page = Page(response)
        assert "Esta página veio alterada ou é de outra pessoa." in text_of(page.one("ul", class_="errorlist"))
        assert page.value("note") == "O que eu já tinha escrito."
        assert forms.read_nonce(page.value("nonce"), decider), "the page that comes back can be sent"
    assert statuses([request]) == [Status.PENDING]


@pytest.mark.parametrize("to", ["", "abc", "CANCELLED", "COMPLETED", "approved", HUGE, "APPROVED\0", SCRIPT])
def test_a_decision_that_is_none_is_refused_with_a_sentence(client, decider, to):
    request = filed()
    response = client.post(NEW, {"to": to, "chosen": f"{request.pk}:999999", "note": "motivo"})
    assert response.status_code == 302
    assert "Esta página veio alterada" in said(client.get(response.url))
    assert statuses([request]) == [Status.PENDING]


@pytest.mark.parametrize(
    "chosen",
    [
        "",
        "abc",
        "1",
        "1:",
        ":1",
        "1:2,",
        ",",
        "1:2;3:4",
        "-1:0",
        "٣:1",
        "1:٣",
        f"{HUGE}:1",
        f"1:{HUGE}",
        "1:2\n",
        "\0",
        "0:0",
    ],
)
def test_a_selection_that_is_none_is_refused_with_a_sentence(client, decider, chosen):
    filed()
    response = client.post(NEW, {"to": "APPROVED", "chosen": chosen})
    assert (response.status_code, response.url) == (302, LIST)
    assert "escolh" in said(client.get(response.url)).lower()
    assert not Batch.objects.exists()


def test_a_step_of_the_history_that_nobody_saw_decides_nothing(client, decider):
    """Left out of a forged page, or set to nothing: then all that ever happened is news."""
    request = filed()
    response = client.post(NEW, {"to": "APPROVED", "chosen": f"{request.pk}:0"})
    assert "mudou depois que você abriu esta página" in outcomes(client.get(response.url))[request.protocol][-1]
    assert statuses([request]) == [Status.PENDING]


# --- Who may ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [manager, lambda: UserFactory(is_staff=True)])
@pytest.mark.parametrize("to", ["APPROVED", "RETURNED", "REJECTED"])
def test_fault_19_who_does_not_decide_is_offered_nothing_and_a_forged_page_decides_nothing(client, rank, to):
    request, user = filed(), rank()
    client.force_login(user)
    listed = client.get(LIST)
    assert not Page(listed).one("select", name="action") if listed.status_code == 200 else listed.status_code == 403
    choose(client, [request], to)
    forged = {"to": to, "chosen": f"{request.pk}:999999", "nonce": forms.new_nonce(user), "note": "motivo"}
    assert client.post(NEW, forged).status_code == 403
    assert statuses([request]) == [Status.PENDING]
    assert not Batch.objects.exists()


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
def test_fault_19_nothing_is_decided_but_by_post(client, decider, method):
    request = filed()
    batch = batches.begin(uuid.uuid4(), Status.APPROVED, batches.seen_of([request.pk]), by=decider, reason=None)
    for place in (f"{NEW}?to=APPROVED&chosen={request.pk}:999999", f"{NEW}{batch.pk}/continuar/"):
        assert getattr(client, method)(place).status_code == (302 if method in {"get", "head"} else 405)
    assert statuses([request]) == [Status.PENDING]


def test_who_comes_to_the_page_by_get_is_told_that_nothing_was_decided(client, decider):
    assert "Nada foi decidido." in said(client.get(NEW, follow=True))


@pytest.mark.parametrize("place", [NEW, f"{NEW}1/", f"{NEW}1/continuar/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_is_not_signed_in_goes_through_the_one_door(client, place, method):
    response = getattr(client, method)(place, follow=True)
    last, _status = response.redirect_chain[-1]
    assert (urlsplit(last).path, urlsplit(last).query) == ("/entrar/", f"next={place}")


def test_a_batch_is_read_by_who_sees_requests_and_by_nobody_else(client, make_client, decider):
    request = filed(description="Texto do pedido")
    address = decide(client, [request]).url
    assert client.get(address).status_code == 200
    decider.groups.clear()
    for user, status in (
        (decider, 403),
        (manager(), 200),
        (analyst(), 200),
        (superuser(), 200),
        (UserFactory(is_staff=True), 403),
        (request.requester, 403),
    ):
        other = make_client()
        other.force_login(user)
        response = other.get(address, follow=True)
        assert response.status_code == status
        assert (request.protocol in response.content.decode()) is (status == 200)


@pytest.mark.parametrize("pk", ["0", "987654321", HUGE, "-1", "abc", "%00", "²", "٣", "9223372036854775808"])
def test_a_batch_that_is_not_there_is_no_fault(client, decider, pk):
    filed()
    assert client.get(f"{NEW}{pk}/").status_code in {302, 404}
    assert client.post(f"{NEW}{pk}/continuar/").status_code in {302, 404, 405}


def test_the_page_of_a_batch_takes_no_post(client, decider):
    address = decide(client, [filed()]).url
    assert client.post(address, {"to": "REJECTED"}).status_code == 405


# --- Cut off in the middle -------------------------------------------------------------------------------------------
@pytest.fixture
def cut_off(monkeypatch, own_system):
    """A batch of five whose process ends after the second."""

    def make(client, *, after=2, before_posting=lambda: None):
        move, moved = workflow.moves.move, []

        def move_or_die(pk, *args, **fields):
            if len(moved) == after:
                raise SystemExit
            moved.append(pk)
            return move(pk, *args, **fields)

        chosen = [filed(user_type=own_system) for _ in range(5)]
        address, fields = form_on(choose(client, chosen))
        monkeypatch.setattr(workflow.moves, "move_within", move_or_die)
        before_posting()
        with pytest.raises(SystemExit):
            client.post(address, fields)
        monkeypatch.setattr(workflow.moves, "move_within", move)
        return chosen, address, fields, f"{LIST}lote/{Batch.objects.get().pk}/"

    return make


def test_what_was_done_before_a_crash_is_done_and_said_and_the_rest_goes_on(client, decider, cut_off):
    chosen, _address, _fields, page = cut_off(client)
    assert statuses(chosen) == [*[Status.APPROVED] * 2, *[Status.PENDING] * 3]
    response = client.get(page)
    assert totals(response) == ["Recusadas: 0", "Ainda não tratadas: 3", "Aprovadas: 2"]
    assert Page(response).one("form", action=f"{page}continuar/")

    response = client.post(f"{page}continuar/", follow=True)

    assert totals(response) == ["Recusadas: 0", "Ainda não tratadas: 0", "Aprovadas: 5"]
    assert "Resultado do lote" in [text_of(title)[:17] for title in Page(response).all("h1")]
    assert not Page(response).one("form", action=f"{page}continuar/")
    assert [request.events.count() for request in chosen] == [2] * 5


def test_the_page_sent_again_after_a_crash_goes_on_with_the_rest(client, decider, cut_off):
    chosen, address, fields, page = cut_off(client)
    assert client.post(address, fields).url == page
    assert statuses(chosen) == [Status.APPROVED] * 5
    assert [request.events.count() for request in chosen] == [2] * 5


def test_what_changed_since_the_crash_is_refused_by_who_goes_on(client, decider, cut_off):
    chosen, _address, _fields, page = cut_off(client)
    workflow.move(chosen[3].pk, Status.IN_REVIEW, by=analyst())
    response = client.post(f"{page}continuar/", follow=True)
    assert "mudou depois que você abriu esta página" in outcomes(response)[chosen[3].protocol][-1]
    assert statuses(chosen) == [*[Status.APPROVED] * 3, Status.IN_REVIEW, Status.APPROVED]


def test_what_changed_between_the_page_and_a_crash_is_refused_by_who_goes_on(client, decider, own_system):
    changed, other = filed(user_type=own_system), filed(user_type=own_system)
    seen = batches.seen_of([changed.pk, other.pk])
    workflow.move(changed.pk, Status.IN_REVIEW, by=analyst())
    batch = batches.begin(uuid.uuid4(), Status.APPROVED, seen, by=decider, reason=None)
    response = client.post(f"{NEW}{batch.pk}/continuar/", follow=True)
    assert "mudou depois que você abriu esta página" in outcomes(response)[changed.protocol][-1]
    assert statuses([changed, other]) == [Status.IN_REVIEW, Status.APPROVED]


def test_only_who_began_a_batch_goes_on_with_it_and_only_as_long_as_they_decide(client, make_client, decider, cut_off):
    chosen, _address, _fields, page = cut_off(client)
    other = make_client()
    other.force_login(analyst())
    assert not Page(other.get(page)).one("form", action=f"{page}continuar/")
    assert other.post(f"{page}continuar/").status_code == 403
    decider.groups.clear()
    assert client.post(f"{page}continuar/").status_code == 403
    assert statuses(chosen)[2:] == [Status.PENDING] * 3


def test_a_batch_stops_before_the_proxy_gives_up_and_says_what_is_left(client, decider, monkeypatch):
    request = filed()
    monkeypatch.setattr(batches, "SECONDS_AT_ONCE", -1)
    page = client.get(decide(client, [request]).url)
    assert totals(page)[1] == "Ainda não tratadas: 1"
    assert statuses([request]) == [Status.PENDING]


def test_a_fault_with_one_keeps_no_other_back_and_is_told(client, decider, own_system, monkeypatch):
    chosen = [filed(user_type=own_system) for _ in range(3)]
    give, broken = outbox.owe, chosen[1].requester_id

    def owe_or_break(kind, *, recipient, about):
        if recipient == broken:
            raise RuntimeError
        give(kind, recipient=recipient, about=about)

    monkeypatch.setattr(outbox, "owe", owe_or_break)
    page = client.get(decide(client, chosen).url)
    assert "O portal não conseguiu tratar esta solicitação." in outcomes(page)[chosen[1].protocol][-1]
    assert statuses(chosen) == [Status.APPROVED, Status.PENDING, Status.APPROVED]
    assert chosen[1].events.count() == 1


class Once:
    """Breaks the first move of one request as the database does, with or without the connection, and no other."""

    def __init__(self, monkeypatch, pk, error, *, breaks_connection=False):
        self.move, self.pk, self.error = workflow.moves.move_within, pk, error
        self.breaks_connection = breaks_connection
        monkeypatch.setattr(workflow.moves, "move_within", self)
        if breaks_connection:
            monkeypatch.setattr(connection, "is_usable", lambda: False)

    def __call__(self, pk, *args, **fields):
        if pk == self.pk and (error := self.error):
            self.error = None
            raise error
        return self.move(pk, *args, **fields)


@pytest.mark.parametrize("error", [OperationalError("deadlock detected"), OperationalError("database is locked")])
def test_what_the_database_refuses_for_the_moment_is_left_for_later_and_keeps_no_other_back(
    client, decider, own_system, monkeypatch, error
):
    chosen = [filed(user_type=own_system) for _ in range(3)]
    Once(monkeypatch, chosen[1].pk, error)

    response = client.get(decide(client, chosen).url)

    assert totals(response) == ["Recusadas: 0", "Ainda não tratadas: 1", "Aprovadas: 2"]
    assert statuses(chosen) == [Status.APPROVED, Status.PENDING, Status.APPROVED]
    assert chosen[1].events.count() == 1
    response = client.post(f"{NEW}{Batch.objects.get().pk}/continuar/", follow=True)
    assert totals(response) == ["Recusadas: 0", "Ainda não tratadas: 0", "Aprovadas: 3"]
    assert [request.events.count() for request in chosen] == [2] * 3


def test_a_database_that_is_away_ends_the_batch_and_is_not_asked_for_each_request(
    client, decider, own_system, monkeypatch
):
    chosen = [filed(user_type=own_system) for _ in range(3)]
    address, fields = form_on(choose(client, chosen))
    Once(monkeypatch, chosen[0].pk, OperationalError("server closed the connection"), breaks_connection=True)

    with pytest.raises(OperationalError):
        client.post(address, fields)

    assert statuses(chosen) == [Status.PENDING] * 3


# --- Cheap -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def rings(monkeypatch):
    """How often the broker was asked to wake a worker."""
    heard = []
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *args, **fields: heard.append(args))
    return heard


def test_a_batch_wakes_the_worker_once(client, decider, rings):
    chosen = [filed() for _ in range(3)]
    rings.clear()
    decide(client, chosen)
    assert len(rings) == 1


def test_a_batch_that_ends_by_a_crash_wakes_the_worker_for_what_was_done(client, decider, rings, cut_off):
    cut_off(client, before_posting=rings.clear)
    assert len(rings) == 1


@pytest.mark.slow
def test_a_thousand_are_decided_in_one_request(client, decider, own_system, monkeypatch):
    monkeypatch.setattr(batches, "SECONDS_AT_ONCE", 600)  # however busy the machine of the tests is
    chosen = many_in(own_system, 1000)
    response = client.get(decide(client, chosen, "REJECTED", note="O sistema saiu do ar.").url)
    assert totals(response) == ["Recusadas: 0", "Ainda não tratadas: 0", "Indeferidas: 1000"]
    assert AccessRequest.objects.filter(status=Status.REJECTED).count() == 1000
    assert OutgoingMail.objects.filter(kind="request_rejected").count() == 1000


@pytest.mark.parametrize(
    ("to", "credential", "statements"),
    [("REJECTED", "OWN", 7), ("RETURNED", "OWN", 8), ("APPROVED", "OPERATOR", 11), ("APPROVED", "PORTAL", 17)],
)
def test_a_request_of_a_batch_costs_few_statements(decider, to, credential, statements):
    """What a thousand at once take is this, a thousand times; for whom it is the first access at all."""

    def run(number):
        user_type = UserTypeFactory(system__credential=credential)
        chosen = [request_in(Status.PENDING, user_type=user_type).pk for _ in range(number)]
        seen = batches.seen_of(chosen)
        batch = batches.begin(uuid.uuid4(), Status(to), seen, by=decider, note="Falta a portaria.", reason=None)
        with CaptureQueriesContext(connection) as asked:
            batches.run(batch, seen)
        assert not batch.outcomes.exclude(refusal="").exists()
        return sum(query["sql"].startswith(("SELECT", "INSERT", "UPDATE")) for query in asked)

    run(1)  # and what the rights of the approver cost, which are asked for once
    assert run(4) - run(3) == statements


@pytest.mark.parametrize("number", [3, 300])
def test_the_page_of_a_batch_costs_as_many_queries_for_many_as_for_one(client, decider, own_system, number):
    def batch_of(requests):
        batch = Batch.objects.create(nonce=uuid.uuid4(), by=decider, to=Status.APPROVED)
        refusals = ("", "Recusada.", batches.NOT_YET)
        BatchOutcome.objects.bulk_create(
            BatchOutcome(batch=batch, request=request, refusal=refusals[place % 3])
            for place, request in enumerate(requests)
        )
        return f"{NEW}{batch.pk}/"

    one, many = batch_of(many_in(own_system, 1)), batch_of(many_in(own_system, number))
    client.get(one)
    with CaptureQueriesContext(connection) as for_one:
        client.get(one)
    with CaptureQueriesContext(connection) as for_many:
        client.get(many)
    assert len(for_many) == len(for_one)


def test_script_in_what_people_wrote_is_shown_as_text(client, decider):
    bond = EmploymentFactory(user__name=SCRIPT)
    user_type = UserTypeFactory(name=SCRIPT, system__name=SCRIPT)
    request = filed(bond=bond, user_type=user_type, requester=EmploymentFactory(user__name=SCRIPT).user)
    shown = choose(client, [request], "REJECTED")
    refused = decide(client, [request], "REJECTED", reason=SCRIPT, note=SCRIPT)
    done = client.get(decide(client, [request], "REJECTED", note=SCRIPT).url)
    for page in (shown, refused, done):
        assert SCRIPT not in page.content.decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.content.decode()
