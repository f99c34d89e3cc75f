"""The first page of the desk, which opens on the work, and the list in which any request is found."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import time_machine
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import desk
from accounts.cpf import formatted
from accounts.models import Unit, User
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory, cpf_of
from requests_app import worklist
from requests_app.admin import filters
from requests_app.admin.queue import AccessRequestAdmin
from requests_app.models import AccessGrant, AccessRequest, GrantEvent, GrantStatus, Holiday, Status

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, grant_of, manager, request_in, superuser
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

FIRST = "/admin/"
LIST = "/admin/requests_app/accessrequest/"
GRANTS = "/admin/requests_app/accessgrant/"
HUGE = str(10**30)
#: A Thursday at noon, and no holiday near it.
NOON = "2026-09-24T12:00:00-04:00"
NONSENSE = ["abc", "\0", HUGE, "-1", "²", "' OR 1=1 --", "1,2", "%", "x" * 5000, "9" * 5000, "\ud800"]


@pytest.fixture
def decider(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


@pytest.fixture
def noon():
    """The clock stands still, so that ages are what the test says."""
    with time_machine.travel(NOON, tick=False):
        yield timezone.now()


def auditor():
    user = UserFactory(is_staff=True)
    user.groups.add(Group.objects.get(name="Auditoria"))
    return user


def held_by(holder, **fields):
    request = request_in(Status.IN_REVIEW, **fields)
    request.holder = holder
    request.save()
    return request


def filed_on(day, status=Status.PENDING, **fields):
    """At ten in the morning of this day."""
    request = request_in(status, **fields)
    request.created_at = timezone.make_aware(datetime.combine(day, time(10)))
    request.save()
    return request


def to_revoke(at=None, **fields):
    """An access whose end a head of unit asked for."""
    grant = grant_of(EmploymentFactory(**fields), status=GrantStatus.TO_REVOKE)
    GrantEvent.objects.create(grant=grant, to_status=GrantStatus.TO_REVOKE, note="Saiu.", at=at or timezone.now())
    return grant


def sections(page):
    """What stands in each section of the first page: (first cell, last cell) of its rows, by the section's key."""
    found = {}
    for section in page.all("section"):
        key = dict(section.attributes).get("aria-labelledby")
        rows = [row for row in walk(section) if row.name == "tr"][1:]
        cells = [[text_of(cell) for cell in walk(row) if cell.name == "td"] for row in rows]
        if cells:
            found[key] = [(row[0], row[-1]) for row in cells]
    return found


def shown(response):
    """The protocols on a page of the list."""
    return [text_of(cell) for cell in Page(response).all("th", class_="field-protocol")]


def column(response, name):
    return [text_of(cell) for cell in Page(response).all("td", class_=f"field-{name}")]


def typed_in(name, value):
    """The address with this value, in bytes that need not be text."""
    return f"{LIST}?{name}={quote(value.encode('utf-8', 'surrogatepass'))}"


def query_of(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# --- The first page --------------------------------------------------------------------------------------------------
def test_the_first_page_opens_on_the_work_with_who_holds_what(client, decider, noon):
    colleague = analyst(name="BRUNO COLEGA")
    pending, taken = request_in(Status.PENDING), held_by(colleague)
    mine = held_by(decider)
    returned = request_in(Status.RETURNED)
    approved = request_in(Status.APPROVED)
    for status in (Status.COMPLETED, Status.REJECTED, Status.CANCELLED, Status.EXPIRED):
        request_in(status)
    grant_of(EmploymentFactory())
    grant = to_revoke(user__name="SAIU DA SILVA")

    assert sections(Page(client.get(FIRST))) == {
        "aguardando": [(pending.protocol, "ninguém"), (taken.protocol, "Bruno Colega")],
        "comigo": [(mine.protocol, mine.requester_name)],
        "devolvidas": [(returned.protocol, "24/09/2026")],
        "registrar": [(approved.protocol, approved.decided_by.display_name)],
        "revogar": [("Saiu da Silva", str(grant.unit or "–"))],
    }


def test_what_is_oldest_comes_first_and_what_lapses_first(client, decider, noon):
    older, newer = request_in(Status.PENDING), request_in(Status.PENDING)
    later, sooner = request_in(Status.RETURNED), request_in(Status.RETURNED)
    AccessRequest.objects.filter(pk=later.pk).update(correct_by=date(2026, 10, 9))
    AccessRequest.objects.filter(pk=sooner.pk).update(correct_by=date(2026, 9, 25))
    second, first = to_revoke(at=noon), to_revoke(at=noon - timedelta(days=3))
    found = sections(Page(client.get(FIRST)))
    assert [name for name, _ in found["aguardando"]] == [older.protocol, newer.protocol]
    assert found["devolvidas"] == [(sooner.protocol, "25/09/2026"), (later.protocol, "09/10/2026")]
    assert [name for name, _ in found["revogar"]] == [first.user.display_name, second.user.display_name]


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (date(2026, 9, 24), "menos de 1 dia útil"),
        (date(2026, 9, 23), "1 dia útil"),
        (date(2026, 9, 19), "4 dias úteis"),  # a Saturday
        (date(2026, 9, 4), "13 dias úteis"),  # 7 September is free
    ],
)
def test_ages_are_told_in_business_days(client, decider, noon, day, words):
    Holiday.objects.all().delete()
    Holiday.objects.create(starts_on=date(2026, 9, 7), ends_on=date(2026, 9, 7), name="Independência", scope="NATIONAL")
    filed_on(day)
    filed_on(day, Status.COMPLETED)
    cells = [text_of(cell) for cell in Page(client.get(FIRST)).all("td", data_label="Idade")]
    assert cells == [words]
    assert column(client.get(LIST, {"situacao": "todas"}), "age") == ["–", words]


def test_every_section_links_to_all_that_it_stands_for_and_every_row_to_its_page(client, decider):
    requests = [request_in(status) for status in Status] + [held_by(decider)]
    grants = [to_revoke(), grant_of(EmploymentFactory())]
    page = Page(client.get(FIRST))
    for row in [link for cell in page.all("td", class_="field-protocol") for link in walk(cell) if link.name == "a"]:
        assert client.get(dict(row.attributes)["href"]).status_code == 200
    of_status = {status: [one.protocol for one in requests if one.status == status] for status in Status}
    assert shown(client.get(LIST, {"situacao": "aguardando"})) == of_status["PENDING"] + of_status["IN_REVIEW"]
    assert shown(client.get(LIST, {"com": "comigo"})) == [requests[-1].protocol]
    for status in (Status.RETURNED, Status.APPROVED):
        assert page.one("a", href=f"{LIST}?situacao={status}")
        assert shown(client.get(LIST, {"situacao": status})) == of_status[status]
    url = f"{GRANTS}?status__exact=TO_REVOKE"
    assert page.one("a", href=url)
    listed = client.get(url).content.decode()
    assert [grant.user.display_name in listed for grant in grants] == [True, False]


def test_a_section_shows_twenty_and_counts_no_further_than_a_hundred(client, decider):
    many(121)
    with CaptureQueriesContext(connection) as queries:
        page = Page(client.get(FIRST))
    assert len(sections(page)["aguardando"]) == worklist.MOST_SHOWN == 20
    assert text_of(page.one("h2", id="aguardando")) == "Aguardando decisão (mais de 100)"
    assert "Há mais: ver todas" in page.text
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "accessrequest" in query["sql"]]
    assert counts
    assert all("LIMIT 101" in sql for sql in counts)


def test_a_desk_on_which_nothing_waits_says_so(client, decider):
    page = Page(client.get(FIRST))
    assert "Aguardando decisão: nada" in page.text
    assert sections(page) == {}


def test_nobody_sees_a_section_that_is_not_theirs_to_see(client):
    request, grant = request_in(Status.PENDING), to_revoke(user__name="SAIU DA SILVA")
    member = UserFactory(is_staff=True)
    seen = {}
    for name, user in {"manager": manager(), "auditor": auditor(), "none": member}.items():
        client.force_login(user)
        page = Page(client.get(FIRST))
        seen[name] = set(sections(page)), request.protocol in page.text, "Saiu da Silva" in page.text
        assert "Comigo" not in page.text  # nobody but analysts holds anything
    readers = ({"aguardando", "revogar"}, True, True)
    assert seen == {"manager": readers, "auditor": readers, "none": (set(), False, False)}
    assert grant.status == GrantStatus.TO_REVOKE


def test_a_held_request_of_somebody_who_decides_no_more_is_not_lost(client, decider):
    """Whoever looks without deciding has no section of their own for it."""
    request = held_by(decider)
    decider.groups.set([Group.objects.get(name="Gestão")])
    assert sections(Page(client.get(FIRST))) == {"aguardando": [(request.protocol, "Ana Lista")]}


def test_the_first_page_searches_everywhere(client, decider):
    page = Page(client.get(FIRST))
    form = next(form for form in page.all("form", role="search"))
    assert dict(form.attributes)["action"] == LIST
    done = request_in(Status.COMPLETED)
    assert shown(client.get(LIST, {"q": done.protocol})) == [done.protocol]


# --- As many queries for three hundred as for one --------------------------------------------------------------------
def many(count):
    """So many more requests, a third of them in somebody's hands, with as many accesses to be revoked."""
    user_type, bond, holder = UserTypeFactory(), EmploymentFactory(), analyst()
    start = User.objects.count() + 50_000
    people = User.objects.bulk_create(
        [
            User(cpf=cpf_of(start + number), name=f"PESSOA {number}", search_name=f" pessoa {number}", password="x")
            for number in range(count)
        ]
    )
    requests = [
        AccessRequest(
            protocol=f"2025-{start + number:06d}",
            form_nonce=uuid.uuid4(),
            requester=bond.user,
            requester_name="Quem Pede",
            beneficiary=person,
            employment=bond,
            beneficiary_name=person.display_name,
            user_type=user_type,
            status=Status.PENDING if number % 3 else Status.IN_REVIEW,
            holder=None if number % 3 else holder,
        )
        for number, person in enumerate(people)
    ]
    AccessRequest.objects.bulk_create(requests)
    AccessGrant.objects.bulk_create(
        [AccessGrant(user=person, user_type=user_type, status=GrantStatus.TO_REVOKE) for person in people]
    )


@pytest.mark.parametrize(
    "address",
    [
        FIRST,
        LIST,
        f"{LIST}?q=pessoa&situacao=todas",
        f"{LIST}?q=2025-&com=outra&idade=ate-2&de=2020-01-01&ate=2100-01-01",
    ],
)
def test_three_hundred_cost_as_many_queries_as_one(client, decider, address):
    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return len(queries)

    many(1)
    client.get(address)
    with_one = cost()
    many(2)
    with_three = cost()
    many(300)
    assert (with_three, cost()) == (with_one, with_one)


# --- The list: filters -----------------------------------------------------------------------------------------------
def test_a_row_tells_age_unit_and_holder(client, decider, noon):
    unit = UnitFactory(name="2ª Vara Criminal", comarca="Dourados")
    taken = held_by(decider, bond=EmploymentFactory(unit=unit))
    response = client.get(LIST)
    assert shown(response) == [taken.protocol]
    assert column(response, "age") == ["menos de 1 dia útil"]
    assert column(response, "unit_shown") == ["2ª Vara Criminal – Dourados"]
    assert column(response, "holder_name") == ["Ana Lista"]

    AccessRequest.objects.update(unit=UnitFactory(name="Vara Única", comarca="Bela Vista"))
    assert column(client.get(LIST), "unit_shown") == ["Vara Única – Bela Vista"]


def keys(response, requests):
    by_protocol = {request.protocol: name for name, request in requests.items()}
    return {by_protocol.get(protocol, "unnamed") for protocol in shown(response)}


@pytest.fixture
def several(decider, noon):
    siel, seeu = ExternalSystemFactory(name="SIEL"), ExternalSystemFactory(name="SEEU")
    servant, judge = UserTypeFactory(system=siel, name="Servidor"), UserTypeFactory(system=siel, name="Magistrado")
    execution = UserTypeFactory(system=seeu, name="Servidor")
    dourados = UnitFactory(name="1ª Vara Cível", comarca="Dourados")
    bela_vista = UnitFactory(name="Vara Única", comarca="Bela Vista")
    colleague = analyst(name="BRUNO COLEGA")

    def made(day, status, user_type, unit, holder=None):
        request = filed_on(day, status, user_type=user_type, bond=EmploymentFactory(unit=unit))
        if holder:
            request.holder = holder
            request.save()
        return request

    requests = {
        "new": made(date(2026, 9, 24), Status.PENDING, servant, dourados),
        "mine": made(date(2026, 9, 21), Status.IN_REVIEW, judge, bela_vista, decider),  # 3 business days
        "taken": made(date(2026, 9, 14), Status.IN_REVIEW, execution, dourados, colleague),  # 8
        "old": made(date(2026, 8, 3), Status.PENDING, execution, bela_vista),
        "done": made(date(2026, 9, 23), Status.COMPLETED, servant, bela_vista),
    }
    # The access is for Dourados, the person works elsewhere.
    AccessRequest.objects.filter(pk=requests["old"].pk).update(unit=dourados)
    return requests


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, {"new", "mine", "taken", "old"}),
        ({"situacao": "aguardando"}, {"new", "mine", "taken", "old"}),
        ({"situacao": "todas"}, {"new", "mine", "taken", "old", "done"}),
        ({"situacao": "COMPLETED"}, {"done"}),
        ({"sistema": "SIEL"}, {"new", "mine"}),
        ({"sistema": "SIEL", "situacao": "todas"}, {"new", "mine", "done"}),
        ({"tipo": "SEEU – Servidor"}, {"taken", "old"}),
        ({"comarca": "Dourados"}, {"new", "taken", "old"}),
        ({"comarca": "Bela Vista"}, {"mine", "old"}),
        ({"unidade": "1ª Vara Cível"}, {"new", "taken", "old"}),
        ({"idade": "ate-2"}, {"new"}),
        ({"idade": "ate-2", "situacao": "todas"}, {"new"}),  # what is over has no age
        ({"idade": "3-a-5"}, {"mine"}),
        ({"idade": "6-a-10"}, {"taken"}),
        ({"idade": "mais-de-10"}, {"old"}),
        ({"com": "comigo"}, {"mine"}),
        ({"com": "ninguem"}, {"new", "old"}),
        ({"com": "outra"}, {"taken"}),
        ({"com": "Bruno Colega"}, {"taken"}),
        ({"de": "2026-09-21"}, {"new", "mine"}),
        ({"ate": "2026-09-14"}, {"taken", "old"}),
        ({"de": "14/09/2026", "ate": "21/09/2026"}, {"mine", "taken"}),
        ({"sistema": "SEEU", "com": "ninguem", "comarca": "Bela Vista", "idade": "mais-de-10"}, {"old"}),
        ({"sistema": "SIEL", "com": "outra"}, set()),
    ],
)
def test_filters_find_what_fits_them_together(client, several, chosen, found):
    page = Page(client.get(LIST))
    by_label = {
        name: choose(page, name, value) if name in {"sistema", "tipo", "unidade", "com"} else value
        for name, value in chosen.items()
    }
    response = client.get(LIST, by_label)
    assert keys(response, several) == found
    for name, value in by_label.items():
        if name not in {"de", "ate"}:
            assert Page(response).value(name) == value


def test_a_comarca_where_many_work_is_found_as_one_where_few_do(client, several, monkeypatch):
    for most in (1000, 0):
        monkeypatch.setattr(filters, "MOST_PEOPLE", most)
        assert keys(client.get(LIST, {"comarca": "Dourados"}), several) == {"new", "taken", "old"}


def choose(page, name, label):
    """The value that the panel posts for what people read there; its group before it, if it has one."""
    group, _, wanted = label.rpartition(" – ")
    [control] = page.controls(name)
    within = [one for one in walk(control) if one.name == "optgroup" and dict(one.attributes)["label"] == group]
    options = [one for one in walk(within[0] if within else control) if one.name == "option"]
    values = {text_of(option): dict(option.attributes)["value"] for option in options}
    return values.get(wanted, label)


def test_a_shared_address_shows_the_same_to_a_colleague(client, several, make_client):
    address = f"{LIST}?sistema={several['new'].system.pk}&idade=ate-2"
    colleague = make_client()
    colleague.force_login(manager())
    assert shown(client.get(address)) == shown(colleague.get(address)) == [several["new"].protocol]


def test_fields_left_empty_leave_no_trace_in_the_address(client, several):
    sent = dict.fromkeys(filters.FilterForm.base_fields, "") | {"q": "", "situacao": "todas", "idade": "3-a-5"}
    response = client.get(LIST, sent, follow=True)
    [(url, _)] = response.redirect_chain
    assert query_of(url) == {"situacao": "todas", "idade": "3-a-5"}
    assert keys(response, several) == {"mine"}


def test_the_filters_survive_opening_a_request_and_coming_back(client, several):
    asked = {"situacao": "todas", "idade": "3-a-5", "q": "servidora"}
    page = Page(client.get(LIST, asked))
    [cell] = page.all("th", class_="field-protocol")
    [link] = [one for one in walk(cell) if one.name == "a"]
    opened = client.get(dict(link.attributes)["href"])
    assert opened.status_code == 200
    assert query_of(filters.list_url(opened.wsgi_request)) == asked
    assert query_of(filters.keeping(opened.wsgi_request, "/x/"))["_changelist_filters"]


def test_the_way_back_of_who_came_without_filters_is_the_plain_list(rf):
    request = rf.get("/admin/x/")
    assert (filters.list_url(request), filters.keeping(request, "/x/")) == (LIST, "/x/")


@pytest.mark.parametrize(
    "typed", ["//evil.example", "javascript:alert(1)", "a=\r\nX: y", "\0", "é=ã&=&&", "next=//e.x"]
)
def test_a_way_back_made_by_hand_leads_nowhere_else(rf, typed):
    back = filters.list_url(rf.get("/admin/x/", {"_changelist_filters": typed}))
    assert back.startswith(LIST)
    assert not {"\r", "\n", "\0", '"'} & set(back)


@pytest.mark.parametrize("name", filters.FilterForm.base_fields)
@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_in_a_filter_is_left_aside_with_a_sentence(client, several, name, value):
    response = client.get(typed_in(name, value))
    assert response.status_code == 200
    assert keys(response, several) == {"new", "mine", "taken", "old"}
    told = text_of(Page(response).one(id=f"filtro-{name}_error"))
    assert "O filtro foi deixado de lado." in told


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1999-12-31", "2026-02-30", "31/12/9999", "2101-01-01"])
@pytest.mark.parametrize("name", ["de", "ate"])
def test_a_day_that_no_calendar_needs_is_left_aside(client, several, name, day):
    response = client.get(LIST, {name: day})
    assert "Digite a data como dia/mês/ano" in text_of(Page(response).one(id=f"filtro-{name}_error"))
    assert keys(response, several) == {"new", "mine", "taken", "old"}


def test_a_period_that_ends_before_it_begins_is_told(client, several):
    response = client.get(LIST, {"de": "2026-09-24", "ate": "2026-09-01"})
    assert "A primeira data do período é depois da última" in Page(response).text
    assert shown(response) == []


def test_two_values_for_one_filter_are_no_fault(client, several):
    response = client.get(f"{LIST}?situacao=COMPLETED&situacao=PENDING&idade=ate-2&idade=zz")
    assert response.status_code == 200
    assert keys(response, several) == {"new", "old"}


@pytest.mark.parametrize("lookup", ["beneficiary__password__startswith=a", "protocol__regex=(", "zz=1", "id__in=1"])
def test_a_lookup_made_by_hand_is_refused(client, several, lookup):
    assert client.get(f"{LIST}?{lookup}").status_code == 400


@pytest.mark.parametrize("extra", ["o=99.-99", "o=x", "e=1", "all=1", "_popup=1"])
def test_odd_pages_and_orders_are_no_fault(client, several, extra):
    assert client.get(f"{LIST}?{extra}", follow=True).status_code == 200


@pytest.mark.parametrize(
    ("number", "page"),
    [
        *[("2", 2), ("3", 3), ("4", 3), ("9999", 3), (HUGE, 3), ("0", 1), ("-1", 1), (f"-{HUGE}", 1)],
        *[("", 1), ("abc", 1), ("1.5", 1), ("9" * 5000, 1), ("\0", 1), ("²", 1), ("٣", 3)],
    ],
)
def test_a_page_that_is_not_there_is_the_nearest_one_and_the_filters_stay(client, decider, monkeypatch, number, page):
    monkeypatch.setattr(AccessRequestAdmin, "list_per_page", 1)
    user_type = UserTypeFactory()
    wanted = [request_in(Status.PENDING, user_type=user_type) for _ in range(3)]
    request_in(Status.PENDING)
    response = client.get(LIST, {"p": number, "sistema": user_type.system_id})
    assert shown(response) == [wanted[page - 1].protocol]
    assert [text_of(here) for here in Page(response).all("span", class_="this-page")] == [str(page)]
    assert Page(response).value("sistema") == str(user_type.system_id)


@pytest.mark.parametrize("registered", admin.site._registry.values(), ids=str)
def test_every_list_of_the_administration_shows_its_last_page_for_one_beyond_its_end(client, monkeypatch, registered):
    client.force_login(superuser())
    monkeypatch.setattr(type(registered), "list_per_page", 1)
    monkeypatch.setattr(desk.CappedPaginator, "most", 2)
    many(3)
    address = f"/admin/{registered.opts.app_label}/{registered.opts.model_name}/"
    for number in ("-7", "7", HUGE):
        assert client.get(address, {"p": number}).status_code == 200


def test_what_waits_is_read_from_its_beginning_and_what_is_over_from_its_end(client, decider):
    waiting = [request_in(Status.PENDING).protocol for _ in range(2)]
    done = [request_in(Status.COMPLETED).protocol for _ in range(2)]
    assert shown(client.get(LIST)) == waiting
    assert shown(client.get(LIST, {"situacao": "COMPLETED"})) == done[::-1]
    assert shown(client.get(LIST, {"situacao": "todas"})) == (waiting + done)[::-1]
    assert shown(client.get(LIST, {"situacao": "todas", "o": "2"})) == waiting + done


# --- The list: search ------------------------------------------------------------------------------------------------
@pytest.fixture
def known(decider):
    """Requests of people with names, matrículas and CPFs."""
    asker = EmploymentFactory(user__name="CÂNDIDA QUE PEDE").user
    joao = EmploymentFactory(user__name="JOÃO D'ÁVILA", user__cpf=cpf_of(1), matricula="081135")
    maria = EmploymentFactory(user__name="MARIA PAZ", user__social_name="MÁRIO PAZ", matricula="A7712")
    return {
        "joao": request_in(Status.COMPLETED, bond=joao, requester=asker),
        "maria": request_in(Status.PENDING, bond=maria, requester=asker),
        "other": request_in(Status.PENDING),
    }


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("joao", {"joao"}),
        ("JOÃO", {"joao"}),
        ("d'avila joão", {"joao"}),
        ("mario", {"maria"}),
        ("maria paz", {"maria"}),
        ("candida", {"joao", "maria"}),
        ("081135", {"joao"}),
        ("0811", {"joao"}),
        ("a7712", {"maria"}),
        ("A7712", {"maria"}),
        ("joao 0811", {"joao"}),
        ("joao A7712", set()),
        (cpf_of(1), {"joao"}),
        (formatted(cpf_of(1)), {"joao"}),
        (f" {formatted(cpf_of(1))} ", {"joao"}),
        (cpf_of(1)[:10], set()),
        ("***.000.000-**", set()),
        ("joao%", {"joao"}),
        ("j_ao", set()),
        ("'; DROP TABLE accounts_user; --", set()),
    ],
)
def test_a_search_finds_in_every_status_who_asks_and_for_whom(client, known, typed, found):
    response = client.get(LIST, {"q": typed})
    assert keys(response, known) == found


def test_a_search_finds_a_protocol_by_any_of_its_parts(client, known):
    protocol = known["joao"].protocol
    year, number = protocol.split("-")
    for typed in (protocol, number, number.lstrip("0"), f"-{number}", protocol[2:]):
        assert shown(client.get(LIST, {"q": typed})) == [protocol]
    assert keys(client.get(LIST, {"q": f"{year}-"}), known) == {"joao", "maria", "other"}


def test_a_cpf_finds_and_is_shown_nowhere_but_where_it_was_typed(client, known):
    cpf = cpf_of(1)
    page = Page(client.get(LIST, {"q": cpf}))
    assert page.value("q") == cpf
    assert cpf not in page.text
    assert formatted(cpf) not in page.text
    everything = client.get(LIST, {"situacao": "todas"}).content.decode()
    assert cpf not in everything
    assert formatted(cpf) not in everything


def test_a_search_in_one_status_offers_the_others(client, known):
    response = client.get(LIST, {"q": "joao", "situacao": "aguardando"})
    assert shown(response) == []
    [link] = [one for one in Page(response).all("a") if text_of(one) == "Procurar também nas outras situações"]
    found = client.get(f"{LIST}{dict(link.attributes)['href']}")
    assert shown(found) == [known["joao"].protocol]
    assert "Procurar também" not in Page(found).text


def test_a_name_that_too_many_have_is_told(client, decider, monkeypatch):
    monkeypatch.setattr(filters, "MOST_PEOPLE", 1)
    for _ in range(2):
        request_in(Status.PENDING, bond=EmploymentFactory(user__name="MARIA DA SILVA"))
    response = client.get(LIST, {"q": "maria silva"})
    assert len(shown(response)) == 1
    assert "Digite mais do nome ou da matrícula." in Page(response).text
    monkeypatch.setattr(filters, "MOST_PEOPLE", 2)
    response = client.get(LIST, {"q": "maria silva"})
    assert len(shown(response)) == 2
    assert "Digite mais do nome ou da matrícula." not in Page(response).text


def test_a_matricula_that_too_many_begin_with_is_told(client, decider, monkeypatch):
    for number in range(2):
        request_in(Status.PENDING, bond=EmploymentFactory(matricula=f"0811{number}"))
    for most, is_told in ((1, True), (2, False)):
        monkeypatch.setattr(filters, "MOST_PEOPLE", most)
        response = client.get(LIST, {"q": "0811"})
        assert len(shown(response)) == most
        assert ("Digite mais do nome ou da matrícula." in Page(response).text) is is_told
        assert ("Mais de 1 " in Page(response).text) is is_told


@pytest.mark.parametrize("place", [LIST, GRANTS])
@pytest.mark.parametrize("cut", [slice(None), slice(4, None), slice(2, None), slice(0, 8), slice(0, 5)])
def test_no_part_of_a_protocol_has_every_protocol_read(client, known, place, cut):
    request = known["joao"]
    AccessGrant.objects.create(user=request.beneficiary, user_type=request.user_type, request=request)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(place, {"q": request.protocol[cut]})
    assert request.protocol in response.content.decode()
    asked = [query["sql"] for query in queries if "protocol" in query["sql"]]
    assert asked
    assert not [sql for sql in asked if "LIKE '%" in sql]


@pytest.mark.parametrize("place", [LIST, GRANTS])
@pytest.mark.parametrize(
    "typed", ["-", "26-", "-0000001", "12026-000001", "1999-000001", "99-000001", "-" + "1" * 5000]
)
def test_what_is_no_part_of_any_protocol_finds_nothing(client, known, place, typed):
    request = known["joao"]
    AccessGrant.objects.create(user=request.beneficiary, user_type=request.user_type, request=request)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(place, {"q": typed})
    assert response.status_code == 200
    assert not [one.protocol for one in known.values() if one.protocol in Page(response).text]
    assert not [query for query in queries if "LIKE '%" in query["sql"]]


@pytest.mark.parametrize(
    "typed", ["x" * 5000, "9" * 5000, "%", "\ud800", "a b " * 500, "²" * 11, "１２３", "{{ 7*7 }}", "-"]
)
def test_any_text_may_be_looked_for(client, known, typed):
    assert client.get(typed_in("q", typed)).status_code == 200


# --- Counted no further than people read -----------------------------------------------------------------------------
def test_no_list_of_the_desk_counts_a_whole_table(client, monkeypatch):
    monkeypatch.setattr(desk.CappedPaginator, "most", 2)
    client.force_login(manager())
    many(5)
    for name, plural in {"accessrequest": "solicitações", "accessgrant": "acessos"}.items():
        with CaptureQueriesContext(connection) as queries:
            page = Page(client.get(f"/admin/requests_app/{name}/"))
        assert f"mais de 2 {plural}" in page.text
        assert "A lista mostra as primeiras 2. Use os filtros ou a busca." in page.text
        counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and name in query["sql"]]
        assert counts
        assert all("LIMIT 3" in sql for sql in counts)


def test_no_list_that_is_cut_off_offers_to_choose_all_of_it(client, decider, monkeypatch):
    monkeypatch.setattr(desk.CappedPaginator, "most", 2)
    monkeypatch.setattr(AccessRequestAdmin, "list_per_page", 1)
    for number, is_offered in ((2, True), (1, False)):
        for _ in range(number):
            request_in(Status.PENDING)
        text = Page(client.get(LIST)).text
        assert ("Escolher todas as 2 desta lista" in text) is is_offered
        assert ("Todas desta lista, e não só as marcadas" in text) is is_offered


def test_a_list_that_is_whole_says_how_many_it_has(client, decider, monkeypatch):
    monkeypatch.setattr(desk.CappedPaginator, "most", 2)
    for _ in range(2):
        request_in(Status.PENDING)
    page = Page(client.get(LIST))
    assert "2 solicitações." in page.text
    assert "mais de" not in page.text


def test_every_list_of_the_administration_has_the_capped_paginator():
    counting = [
        model._meta.label
        for model, registered in admin.site._registry.items()
        if not issubclass(registered.paginator, desk.CappedPaginator) or registered.show_full_result_count
    ]
    assert counting == []


# --- Who may look ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("who", "status"), [(analyst, 200), (manager, 200), (auditor, 200)])
def test_who_sees_requests_finds_them(client, who, status):
    request = request_in(Status.PENDING)
    client.force_login(who())
    response = client.get(LIST)
    assert (response.status_code, shown(response)) == (status, [request.protocol])


def test_who_sees_none_gets_no_list(client):
    request_in(Status.PENDING)
    client.force_login(UserFactory(is_staff=True))
    assert client.get(LIST).status_code == 403
    client.force_login(EmploymentFactory().user)
    assert client.get(FIRST).status_code in {302, 403}
    client.logout()
    for place in (FIRST, LIST):
        assert client.get(place, follow=True).redirect_chain[-1][0].startswith("/entrar/")


def test_the_panel_offers_units_by_comarca_and_only_who_holds_something(client, decider):
    unit = UnitFactory(name="Vara Única", comarca="Bela Vista")
    Unit.objects.create(code="x", name="Sem lugar")
    colleague, idle = analyst(name="BRUNO COLEGA"), analyst(name="IVO OCIOSO")
    held_by(colleague)
    page = Page(client.get(LIST))
    [units] = page.controls("unidade")
    groups = {
        dict(group.attributes)["label"]: [text_of(option) for option in walk(group) if option.name == "option"]
        for group in walk(units)
        if group.name == "optgroup"
    }
    assert groups["Bela Vista"] == [unit.name]
    assert groups["Sem comarca"] == ["Sem lugar"]
    holders = text_of(page.controls("com")[0])
    assert "Bruno Colega" in holders
    assert idle.display_name not in holders
