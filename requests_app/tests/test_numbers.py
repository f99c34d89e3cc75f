"""The page of the numbers: figures worked out by hand, what its address may say, who sees it, and how it prints."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import date, datetime, time, timedelta

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import MailStatus, OutgoingMail
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from requests_app import charts, numbers
from requests_app.models import AccessRequest, Holiday, ReasonTemplate, RequestEvent, Status

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, manager, superuser
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

NUMBERS = "/admin/numeros/"
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
HUGE = str(10**30)
#: A Wednesday; the Monday of that week is free.
TODAY = date(2026, 3, 18)


@pytest.fixture
def wednesday():
    """Noon here, of a day with a free Monday in its week, and no other holidays."""
    Holiday.objects.all().delete()
    monday = date(2026, 3, 16)
    Holiday.objects.create(name="Feriado", starts_on=monday, ends_on=monday, scope="COURT")
    with time_machine.travel(at(TODAY), tick=False):
        yield


def at(day, hour=12):
    return timezone.make_aware(datetime.combine(day, time(hour)))


def march(day, hour=12):
    return at(date(2026, 3, day), hour)


class Maker:
    """Requests with a history at given moments, without what ``workflow`` does besides."""

    def __init__(self):
        self.requester, self.bond, self.decider = EmploymentFactory().user, EmploymentFactory(), analyst()
        self.bnmp = UserTypeFactory(system__name="BNMP")
        self.siel = UserTypeFactory(system__name="SIEL")

    def request(self, user_type, *steps, count=1):
        """``steps``: (status, when), or (status, when, by the clock or with this reason)."""
        status, filed = steps[-1][0], steps[0][1]
        decided = {"decided_by": self.decider, "decided_at": filed}
        held = {"holder": self.decider} if status == Status.IN_REVIEW else {}
        returned = {"correct_by": TODAY} if status == Status.RETURNED else {}
        given = decided if status in {Status.APPROVED, Status.COMPLETED, Status.REJECTED} else {}
        rows = [
            AccessRequest(
                protocol=uuid.uuid4().hex[:11],
                form_nonce=uuid.uuid4(),
                requester=self.requester,
                beneficiary=self.bond.user if count == 1 and status not in OPEN else UserFactory(),
                employment=self.bond,
                user_type=user_type,
                status=status,
                created_at=filed,
                **given,
                **held,
                **returned,
            )
            for _ in range(count)
        ]
        made = AccessRequest.objects.bulk_create(rows)
        before = ""
        for to, when, *more in steps:
            reason = next((one for one in more if isinstance(one, ReasonTemplate)), None)
            actor = None if "clock" in more else self.decider
            RequestEvent.objects.bulk_create(
                RequestEvent(request=row, from_status=before, to_status=to, at=when, actor=actor, reason=reason)
                for row in made
            )
            before = to
        return made


OPEN = {Status.PENDING, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED}
P, V, R, A, C, X = (
    *(Status.PENDING, Status.IN_REVIEW, Status.RETURNED),
    *(Status.APPROVED, Status.COMPLETED, Status.REJECTED),
)


@pytest.fixture
def make(wednesday):
    return Maker()


@pytest.fixture
def reader(client):
    user = analyst()
    client.force_login(user)
    return user


def table(page, heading):
    """The lines below this heading, as people read them."""
    [section] = [one for one in page.all("section") if heading in text_of(next(e for e in walk(one) if e.name == "h2"))]
    rows = [
        [text_of(cell) for cell in walk(row) if cell.name in {"th", "td"}] for row in walk(section) if row.name == "tr"
    ]
    return rows[1:] or text_of(section)


def shown(client, **asked):
    return Page(client.get(NUMBERS, asked))


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_open_requests_are_counted_by_their_age_in_business_days_and_by_who_has_them(client, reader, make):
    make.request(make.bnmp, (P, march(18)))  # today: 0
    make.request(make.bnmp, (P, march(13, 23)))  # Friday, at night here and Saturday in UTC; Monday was free: 2
    make.request(make.siel, (P, march(12)), (V, march(13)))  # 3
    make.request(make.siel, (P, march(4)), (R, march(5)))  # 9: 5 6, 9 to 13, 17 18
    make.request(make.bnmp, (P, march(3)), (A, march(5)))  # 10
    make.request(make.bnmp, (P, march(2)), (A, march(5)))  # 11
    make.request(make.bnmp, (P, march(2)), (X, march(5)))  # is open no more

    assert table(shown(client), "Solicitações abertas agora") == [
        ["Até 2 dias úteis", "2", "0", "0", "2"],
        ["3 a 5 dias úteis", "1", "0", "0", "1"],
        ["6 a 10 dias úteis", "0", "1", "1", "2"],
        ["Mais de 10 dias úteis", "0", "0", "1", "1"],
    ]
    assert table(shown(client, sistema=make.siel.system_id), "Solicitações abertas agora")[1:3] == [
        ["3 a 5 dias úteis", "1", "0", "0", "1"],
        ["6 a 10 dias úteis", "0", "1", "0", "1"],
    ]


def test_decisions_are_counted_in_their_week_also_in_one_without_any(client, reader, make):
    make.request(make.bnmp, (P, march(2)), (A, march(8, 23)), (C, march(8, 23), "clock"))  # Sunday night
    make.request(make.bnmp, (P, march(2)), (X, march(3)))
    make.request(make.siel, (P, march(2)), (R, march(17)), (P, march(17)), (A, march(18)))
    make.request(make.siel, (P, at(date(2026, 1, 5))), (X, at(date(2026, 1, 6))))  # before the period

    lines = table(shown(client, periodo="datas", de="2026-03-01", ate="2026-03-18"), "Decisões por semana")

    assert lines == [
        ["23/02/2026", "0", "0", "0", "0"],
        ["02/03/2026", "1", "1", "0", "2"],
        ["09/03/2026", "0", "0", "0", "0"],
        ["16/03/2026", "1", "0", "1", "2"],
    ]


def test_the_first_and_the_last_day_are_in_the_period_and_no_moment_beside(client, reader, make):
    for moment in (march(1, 23), march(2, 0), march(3, 23), march(4, 0)):
        make.request(make.bnmp, (P, march(1)), (X, moment))
    lines = table(shown(client, periodo="datas", de="02/03/2026", ate="03/03/2026"), "Decisões por semana")
    assert lines == [["02/03/2026", "0", "2", "0", "2"]]


def test_median_and_nine_in_ten_of_the_time_until_the_decision_by_system(client, reader, make):
    for day in (2, 3, 4, 5, 6, 9, 10, 11, 12):  # decided on the 12th: after 8 7 6 5 4 3 2 1 0
        make.request(make.bnmp, (P, march(day)), (A, march(12)), (C, march(12), "clock"))
    make.request(make.bnmp, (P, at(date(2026, 2, 2))), (X, march(12)))  # 28
    make.request(make.siel, (P, march(13)), (V, march(13)), (P, march(17)), (V, march(17)), (X, march(18)))  # 2

    assert table(shown(client), "aguardando decisão") == [
        ["Todos os sistemas", "11", "4", "8"],
        ["BNMP", "10", "4", "8"],
        ["SIEL", "1", "2", "2"],
    ]


def test_each_return_is_a_time_of_its_own_with_the_desk_and_with_the_requester(client, reader, make):
    make.request(
        make.siel,
        *((P, march(2)), (R, march(3)), (P, march(10)), (R, march(11)), (P, march(13)), (A, march(17)), (C, march(18))),
    )
    page = shown(client)
    assert table(page, "aguardando decisão") == [["SIEL", "3", "1", "1"]]  # 1, 1 and, over the free Monday, 1
    assert table(page, "com quem pediu") == [["SIEL", "2", "2", "5"]]
    assert table(page, "aguardando registro") == [["SIEL", "1", "1", "1"]]


def test_what_the_portal_completes_by_itself_waits_for_no_registration(client, reader, make):
    make.request(make.bnmp, (P, march(2)), (A, march(3)), (C, march(3), "clock"))
    assert "Nada terminou nesta etapa" in table(shown(client), "aguardando registro")


def test_reasons_are_counted_by_their_text_and_what_has_none_is_another(client, reader, make):
    papers = ReasonTemplate.objects.create(decision="REJECTED", title="Falta o ato de designação", text="Junte o ato.")
    again = ReasonTemplate.objects.create(decision="RETURNED", title="Descrição incompleta", text="Descreva.")
    for _ in range(2):
        make.request(make.bnmp, (P, march(2)), (X, march(3), papers))
    make.request(make.bnmp, (P, march(2)), (X, march(3)))
    make.request(make.siel, (P, march(2)), (R, march(3), again))
    make.request(make.siel, (P, march(2)), (R, march(3)))
    assert table(shown(client), "Motivos") == [
        ["Falta o ato de designação", "2", "0", "2"],
        ["Outro (texto livre)", "1", "1", "2"],
        ["Descrição incompleta", "0", "1", "1"],
    ]
    assert [line[0] for line in table(shown(client, sistema=make.bnmp.system_id), "Motivos")] == [
        "Falta o ato de designação",
        "Outro (texto livre)",
    ]


def test_mails_that_failed_in_the_period_are_counted_by_what_they_are(client, reader, wednesday):
    person = UserFactory()
    wanted = {"request_received": [march(2), march(3)], "password_reset": [march(3), at(date(2025, 1, 1))]}
    for kind, moments in wanted.items():
        for number, moment in enumerate(moments):
            OutgoingMail.objects.create(
                kind=kind, recipient=person, object_id=number, status=MailStatus.FAILED, created_at=moment
            )
    OutgoingMail.objects.create(kind="request_received", recipient=person, object_id=9, created_at=march(3))
    assert table(shown(client), "E-mails não entregues") == [["Pedido recebido", "2"], ["Redefinição de senha", "1"]]


@pytest.mark.parametrize(
    ("days", "share", "expected"),
    [
        ([7], 0.5, 7),
        ([7], 0.9, 7),
        ([1, 2], 0.5, 1),
        ([1, 2], 0.9, 2),
        ([1, 2, 9], 0.5, 2),
        ([0] * 9 + [50], 0.9, 0),
        ([0] * 8 + [50, 60], 0.9, 50),
    ],
)
def test_the_rank_is_the_least_number_of_days_within_which_that_share_ended(days, share, expected):
    assert numbers.rank(Counter(days), share) == expected


@pytest.mark.parametrize("heading", ["Solicitações abertas", "Decisões", "aguardando", "Motivos", "E-mails"])
def test_a_period_in_which_nothing_happened_says_so(client, reader, wednesday, heading):
    page = shown(client, periodo="90")
    assert page.all("svg", role="img") == []
    sentences = [text_of(section) for section in page.all("section") if heading in text_of(section)]
    assert sentences
    assert all("Nenhuma" in sentence or "Nada" in sentence for sentence in sentences)


# --- The drawings ----------------------------------------------------------------------------------------------------
def test_each_drawing_has_a_title_and_says_in_words_what_the_table_below_shows(client, reader, make):
    make.request(make.bnmp, (P, march(2)), (R, march(3)), (P, march(10)), (A, march(11)), (C, march(12)))
    make.request(make.bnmp, (P, march(2)))
    page = shown(client)
    drawings = page.all("svg", role="img")
    assert len(drawings) == 6
    for drawing in drawings:
        title, said = (text_of(next(e for e in walk(drawing) if e.name == name)) for name in ("title", "desc"))
        assert title
        assert any(char.isdigit() for char in said)
    keys = [dict(element.attributes).get("id") for element in page.elements]
    named = [key for key in keys if key]
    assert len(named) == len(set(named))


def test_bars_are_as_long_as_their_figures_say():
    drawn = charts.rows("x", "t", "d", [("a", (10, 10)), ("b", (5, 0)), ("c", (0, 0))])
    room = charts.WIDTH - charts.LABELS - charts.FIGURES
    assert [(rect.width, rect.series) for rect in drawn.rects] == [(room // 2, 0), (room // 2, 1), (room // 4, 0)]
    assert [text.text for text in drawn.texts] == ["a", "20", "b", "5", "c", "0"]


def test_a_year_of_weeks_fits_into_the_drawing():
    drawn = charts.columns("x", "t", "d", [(f"{week}", (week, 1, 0)) for week in range(105)], ["a", "b", "c"])
    assert all(rect.x >= 0 and rect.x + rect.width <= drawn.width for rect in drawn.rects)
    assert all(rect.y >= 0 and rect.y + rect.height <= charts.COLUMNS + 20 for rect in drawn.rects)
    assert len([text for text in drawn.texts if text.anchor == "middle"]) <= charts.MOST_LABELS + 1


# --- What the address may say ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"periodo": "7"}, "Este período não existe."),
        ({"periodo": "\0"}, "Este período não existe."),
        ({"periodo": HUGE}, "Este período não existe."),
        ({"sistema": HUGE}, "Este sistema não existe."),
        ({"sistema": "0"}, "Este sistema não existe."),
        ({"sistema": "²"}, "Este sistema não existe."),
        ({"sistema": "a\0b"}, "Caracteres nulos não são permitidos."),
        ({"periodo": "datas"}, "escolha as duas"),
        ({"periodo": "datas", "de": "2026-01-01"}, "escolha as duas"),
        ({"periodo": "datas", "de": "2026-02-30", "ate": "2026-03-01"}, "Esta data não existe."),
        ({"periodo": "datas", "de": "x" * 5000, "ate": "\0"}, "Esta data não existe."),
        ({"periodo": "datas", "de": "2026-03-02", "ate": "2026-03-01"}, "não pode ser depois da última"),
        ({"periodo": "datas", "de": "2026-03-02", "ate": "9999-12-31"}, "Escolha uma data até hoje."),
        ({"periodo": "datas", "de": "0001-01-01", "ate": "2026-03-01"}, "Escolha no máximo dois anos."),
        ({"periodo": "datas", "de": "0001-01-01", "ate": "0001-01-02"}, None),
    ],
)
def test_nonsense_in_the_address_is_told_and_shows_no_figures(client, reader, wednesday, asked, sentence):
    response = client.get(NUMBERS, asked)
    page = Page(response)
    assert response.status_code == 200
    if sentence is not None:
        assert sentence in " ".join(text_of(one) for one in page.all(role="alert"))
        assert page.all("section") == []


def test_what_was_asked_stays_in_the_form(client, reader, make):
    page = shown(client, periodo="datas", de="2026-03-01", ate="2026-03-02", sistema=make.siel.system_id)
    kept = [page.value(name) for name in ("periodo", "de", "ate", "sistema")]
    assert kept == ["datas", "2026-03-01", "2026-03-02", str(make.siel.system_id)]
    assert text_of(page.one(class_="numbers-scope")).startswith("SIEL , de 01/03/2026 a 02/03/2026.")


def test_fault_19_nothing_is_changed_by_a_post(client, reader, make):
    before = RequestEvent.objects.count()
    assert client.post(NUMBERS, {"periodo": "30"}).status_code == 405
    assert RequestEvent.objects.count() == before


# --- Who may ---------------------------------------------------------------------------------------------------------
def auditor():
    user = UserFactory(is_staff=True)
    user.groups.set(Group.objects.filter(name="Auditoria"))
    return user


def chief():
    user = UserFactory(is_staff=True)
    user.groups.set(Group.objects.filter(name="Administração"))
    return user


@pytest.mark.parametrize("who", [analyst, manager, auditor, superuser])
def test_who_may_see_requests_sees_their_numbers_and_finds_them(client, who):
    client.force_login(who())
    assert client.get(NUMBERS).status_code == 200
    assert Page(client.get("/admin/")).one("a", href=NUMBERS)


@pytest.mark.parametrize("who", [chief, lambda: UserFactory(is_staff=True)])
def test_other_staff_see_neither_the_numbers_nor_the_way_to_them(client, who):
    client.force_login(who())
    assert client.get(NUMBERS).status_code == 403
    assert not Page(client.get("/admin/")).one("a", href=NUMBERS)


def test_who_is_no_staff_or_nobody_does_not_get_in(client):
    assert client.get(NUMBERS).url == f"/entrar/?next={NUMBERS}"
    client.force_login(EmploymentFactory().user)
    assert client.get(NUMBERS, follow=True).status_code == 403


# --- Speed -----------------------------------------------------------------------------------------------------------
def test_three_hundred_requests_cost_as_many_queries_as_one(client, reader, make):
    def count():
        with CaptureQueriesContext(connection) as queries:
            client.get(NUMBERS, {"periodo": "365"})
        return len(queries)

    story = ((P, march(2)), (R, march(3)), (P, march(10)), (A, march(11)), (C, march(12)))
    count()
    make.request(make.bnmp, *story)
    with_one = count()
    for _ in range(2):
        make.request(UserTypeFactory(system=ExternalSystemFactory()), *story)
    assert count() == with_one
    make.request(make.siel, *story, count=297)
    assert count() == with_one
    assert with_one <= 20


# --- In a browser ----------------------------------------------------------------------------------------------------
@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_numbers_are_shown_and_print_on_a4(portal_server, page):
    user, make = analyst(), Maker()
    now = timezone.now()
    for days in (2, 5, 9):
        make.request(make.bnmp, (P, now - timedelta(days=days + 3)), (A, now - timedelta(days=days)), (C, now))
    make.request(make.siel, (P, now - timedelta(days=4)))
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto("/entrar/?next=/admin/")
    page.get_by_label("Usuário").fill(user.cpf)
    page.get_by_label("Senha:").fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()

    page.get_by_role("link", name="Números").click()
    page.get_by_label("Sistema", exact=True).select_option("BNMP")
    page.get_by_label("Período", exact=True).select_option("Últimos 90 dias")
    page.get_by_role("button", name="Mostrar").click()

    assert "sistema=" in page.url
    assert "periodo=90" in page.url
    drawing = page.get_by_role("img", name="Decisões por semana")
    assert drawing.is_visible()
    assert drawing.locator("rect").last.bounding_box()["height"] > 0
    assert page.get_by_role("row", name="BNMP").first.is_visible()
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        found = Axe().run(page, options=WCAG)
        assert found.response["violations"] == [], found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert wrong == []

    page.emulate_media(media="print")
    for hidden in (page.get_by_label("Período", exact=True), page.locator(".breadcrumbs"), page.locator("#header")):
        assert not hidden.is_visible()
    assert drawing.is_visible()
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert printed.startswith(b"%PDF-")
    assert b"/MediaBox [0 0 594.9" in printed or b"/MediaBox [0 0 595" in printed
