"""A social name that somebody takes after a request was filed stands wherever the request does (Res. CNJ 270/2018)."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import outbox
from accounts.tests.factories import EmploymentFactory
from requests_app import workflow
from requests_app.models import AccessRequest, Status

from .factories import UserTypeFactory, analyst, unsaved_request

pytestmark = pytest.mark.django_db

LIST = "/admin/requests_app/accessrequest/"
#: The civil names as they stood in the request, and what those people are called now.
CIVIL, NOW = ("Carlos Figueiró", "Pedro Luz"), ("Joana Figueiró", "Petra Luz")


@pytest.fixture
def decider(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


def filed_before(**fields):
    """A request whose two people have taken social names since."""
    bond = EmploymentFactory(user__name=CIVIL[0].upper(), matricula="081135")
    requester = EmploymentFactory(user__name=CIVIL[1].upper()).user
    request = workflow.file(unsaved_request(bond=bond, requester=requester, **fields))
    for person, name in zip((bond.user, requester), NOW, strict=True):
        person.social_name = name
        person.save()
    return AccessRequest.objects.get(pk=request.pk)


def says_who_they_are(response, *names):
    """Whether an answer has these names, and none of the civil ones."""
    streamed = b"".join(response.streaming_content) if response.streaming else response.content
    text = streamed.decode("utf-8-sig")
    assert response.status_code == 200
    assert not [name for name in CIVIL if name.casefold() in text.casefold()]
    return all(name in text for name in names)


def choose(client, *requests):
    return client.post(LIST, {"action": "reject_many", "_selected_action": [one.pk for one in requests], "index": 0})


def test_the_pages_of_the_desk_have_it(client, decider):
    request = filed_before()
    workflow.move(request.pk, Status.IN_REVIEW, by=decider)
    assert says_who_they_are(client.get("/admin/"), NOW[1])  # in "Comigo" stands who asks
    for page in ("", f"{request.pk}/change/", f"{request.pk}/imprimir/"):
        assert says_who_they_are(client.get(LIST + page), *NOW), page
    workflow.move(request.pk, Status.PENDING, by=decider)
    assert says_who_they_are(client.get("/admin/"), NOW[0])  # in the others, who will have it
    assert says_who_they_are(choose(client, request), *NOW)


def test_the_outcomes_of_a_batch_have_it(client, decider):
    request = filed_before()
    sent = {"to": "REJECTED", "chosen": f"{request.pk}:{request.events.last().pk}", "note": "motivo"}
    response = client.post(f"{LIST}lote/", sent, follow=True)
    request.refresh_from_db()
    assert request.status == Status.REJECTED
    assert says_who_they_are(response, NOW[0])


def test_the_exported_file_has_it(client):
    filed_before()
    exporter = analyst(is_superuser=True)
    client.force_login(exporter)
    assert says_who_they_are(client.post(f"{LIST}exportar/"), *NOW)


def test_the_pages_of_the_two_have_it(client, decider):
    request = filed_before()
    workflow.move(request.pk, Status.RETURNED, by=decider, note="motivo")
    for person in (request.requester, request.beneficiary):
        client.force_login(person)
        assert says_who_they_are(client.get(request.get_absolute_url()), *NOW)
        for page in ("/", "/solicitacoes/"):
            assert says_who_they_are(client.get(page), NOW[0]), page
    client.force_login(request.requester)
    assert says_who_they_are(client.get(f"{request.get_absolute_url()}corrigir/"), NOW[0])


@pytest.mark.parametrize("credential", ["PORTAL", "OWN", "OPERATOR"])
def test_the_mails_have_it(smtp_sink, decider, credential):
    request = filed_before(user_type=UserTypeFactory(system__credential=credential))
    workflow.move(request.pk, Status.APPROVED, by=decider)
    if credential != "PORTAL":
        typed = workflow.Typed("joana", "Capim dourado 88") if credential == "OPERATOR" else None
        workflow.move(request.pk, Status.COMPLETED, by=decider, typed=typed)
    outbox.send_due()
    texts = [mail.text(kind) for mail in smtp_sink.deliveries for kind in ("plain", "html")]
    assert len(texts) >= 6
    assert not [name for name in CIVIL for text in texts if name in text]
    assert [name for name in NOW if not any(name in text for text in texts)] == []


@pytest.mark.parametrize("page", ["/admin/", LIST, "batch", "/", "/solicitacoes/"])
def test_it_costs_no_query_for_each_request(client, decider, page):
    asker = EmploymentFactory().user

    def cost():
        requests = [*AccessRequest.objects.all()]
        client.force_login(asker if page in {"/", "/solicitacoes/"} else decider)
        with CaptureQueriesContext(connection) as queries:
            response = choose(client, *requests) if page == "batch" else client.get(page)
        assert all(request.protocol in response.content.decode() for request in requests)
        return len(queries)

    workflow.file(unsaved_request(requester=asker))
    first, one = cost(), cost()  # the first has what only a new session needs
    for _ in range(2):
        workflow.file(unsaved_request(requester=asker))
    assert (first >= one, cost()) == (True, one)
