"""The help desk: what it sees of somebody, what it may do for them, and what nobody may do by a forged post."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from playwright.sync_api import expect

from accounts import resets, support, throttle
from accounts.cpf import formatted
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword, SecurityEvent, Session, User
from accounts.tasks import sweep
from requests_app.models import Status
from requests_app.tests.factories import UserTypeFactory, analyst, manager, request_in, superuser
from requests_app.tests.pages import Page
from requests_app.tests.test_concurrency import at_once

from .captcha_solver import solve
from .factories import PASSWORD, EmploymentFactory, UserFactory

pytestmark = pytest.mark.django_db

Kind = SecurityEvent.Kind
PEOPLE = "/admin/accounts/user/"
#: What the address of each act is called -> what it takes, and where it would show.
ACTS = ("link", "desbloquear", "sessoes", "email", "mostrar")
BUTTONS = {
    "link": "Enviar link de redefinição",
    "desbloquear": "Desbloquear",
    "sessoes": "Encerrar sessões",
    "email": "Corrigir e-mail",
    "mostrar": "Mostrar CPF e e-mail",
}
CORRECTION = {"email": "novo@tjms.jus.br", "reason": "Ligou do ramal."}


def place(person, act="change"):
    return f"{PEOPLE}{person.pk}/{act}/"


def press(client, person, act, **posted):
    return client.post(place(person, act), CORRECTION | posted, follow=True)


def said(response):
    return [str(message) for message in response.context["messages"]]


def kinds():
    return [*SecurityEvent.objects.order_by("pk").values_list("kind", flat=True)]


def plain_staff():
    """Reads people and has no permission to do anything for them."""
    user = UserFactory(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_user"))
    return user


def try_to_sign_in(client, person, password="errada errada errada"):
    return client.post("/entrar/", {"username": person.cpf, "password": password})


def lock_out(client, person):
    for _ in range(throttle.SIGN_IN.free):
        try_to_sign_in(client, person)


def traces(person):
    """Everything that an act could change."""
    person.refresh_from_db()
    return (
        person.email,
        person.is_active,
        OutgoingMail.objects.count(),
        Session.objects.filter(user=person).count(),
        throttle.blocked_until(throttle.SIGN_IN, person.cpf),
        SecurityEvent.objects.filter(user=person, actor__isnull=False).exclude(actor=person).count(),
    )


@pytest.fixture
def person():
    return EmploymentFactory(user__name="MARIA DO CARMO LIMA", user__email="maria.lima@tjms.jus.br").user


@pytest.fixture
def on_duty(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


# --- What the page shows ---------------------------------------------------------------------------------------------
def test_the_person_is_found_by_name_and_her_page_shows_masked_where_mail_would_go(client, on_duty, person):
    for query in ("maria lima", person.employments.get().matricula, person.cpf, formatted(person.cpf)):
        listed = client.get(PEOPLE, {"q": query})
        assert Page(listed).one("a", href=f"{place(person)}?_changelist_filters=q%3D{query.replace(' ', '%2B')}")
    response = client.get(place(person))
    page = response.content.decode()
    assert person.masked_cpf in page
    assert "m***@tjms.jus.br" in page
    for secret in (person.email, person.cpf, formatted(person.cpf), person.password):
        assert secret not in page


def test_the_page_shows_the_last_sign_in_and_how_many_sessions_are_open(client, make_client, on_duty, person):
    browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"
    theirs = make_client()
    theirs.post("/entrar/", {"username": person.cpf, "password": PASSWORD}, headers={"User-Agent": browser})
    shown = client.get(place(person)).context["situation"]
    assert (shown.open_sessions, shown.last_device) == (1, "Chrome no Windows")
    assert "Chrome no Windows" in client.get(place(person)).content.decode()
    assert shown.obstacles == []


@pytest.mark.parametrize("query", ["%", "_", "'", "…", "٣" * 11])
def test_fault_21_a_search_without_a_letter_or_a_digit_finds_nobody(client, on_duty, person, query):
    page = client.get(PEOPLE, {"q": query}).content.decode()

    assert place(person) not in page
    assert "0 resultado" in page
    assert place(person) in client.get(PEOPLE, {"q": " "}).content.decode()


@pytest.mark.parametrize(
    ("fields", "obstacle"),
    [
        (
            {"is_active": False},
            "A entrada desta pessoa está fechada. Nenhum link é enviado. Gestão pode abrir a entrada.",
        ),
        (
            {"email": ""},
            "A pessoa não tem e-mail no cadastro. Nenhum link é enviado. Gestão pode corrigir o e-mail.",
        ),
    ],
)
def test_where_no_link_is_sent_the_page_promises_none(client, on_duty, person, fields, obstacle):
    User.objects.filter(pk=person.pk).update(password=make_password(None))
    assert BUTTONS["link"] in Page(client.get(place(person))).text

    User.objects.filter(pk=person.pk).update(**fields)

    shown = client.get(place(person))
    assert shown.context["situation"].obstacles == [obstacle, "A pessoa ainda não tem senha."]
    assert BUTTONS["link"] not in Page(shown).text
    for promise in ("O link segue para", "para onde segue o link"):
        assert promise not in Page(shown).text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"is_active": False}, "A entrada desta pessoa está fechada."),
        ({"email": ""}, "A pessoa não tem e-mail no cadastro."),
        ({"password": make_password(None)}, "A pessoa ainda não tem senha."),
    ],
)
def test_the_page_says_why_somebody_does_not_come_in(client, on_duty, person, fields, sentence):
    assert sentence not in client.get(place(person)).content.decode()
    User.objects.filter(pk=person.pk).update(**fields)
    assert sentence in client.get(place(person)).content.decode()


def test_the_page_says_that_a_provisional_password_has_lapsed(client, on_duty, person):
    User.objects.filter(pk=person.pk).update(must_change_password=True)
    long_ago = timezone.now() - timedelta(days=8)
    ProvisionalPassword.objects.create(
        user=person, nonce="", key_version="x", set_at=long_ago, mailed_at=long_ago, lapses_at=timezone.now()
    )
    assert "A senha provisória venceu." in client.get(place(person)).content.decode()


def test_the_page_says_that_too_many_tries_block_the_person(client, make_client, on_duty, person):
    lock_out(make_client(), person)
    until = timezone.localtime(throttle.blocked_until(throttle.SIGN_IN, person.cpf))
    assert f"só depois de {until:%d/%m/%Y %H:%M}" in client.get(place(person)).content.decode()


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (throttle.CODE, "Houve códigos errados demais. Novo código só depois de {0}."),
        (throttle.OLD_PASSWORD, "A senha atual foi digitada errada vezes demais. Nova tentativa só depois de {0}."),
    ],
)
def test_the_page_says_which_other_tries_were_too_many(client, on_duty, person, limit, sentence):
    somebody = EmploymentFactory().user
    for _ in range(limit.free):
        throttle.take(limit, somebody.cpf)
    until = timezone.localtime(throttle.blocked_until(limit, somebody.cpf))

    said_of = {who: client.get(place(who)).content.decode() for who in (somebody, person)}

    expected = sentence.format(f"{until:%d/%m/%Y %H:%M}")
    assert [expected in said_of[who] for who in (somebody, person)] == [True, False]


def test_the_page_shows_the_last_ten_mails_with_the_servers_answer_masked(client, on_duty, person):
    stranger = EmploymentFactory().user
    for recipient, count in ((person, 12), (stranger, 1)):
        OutgoingMail.objects.bulk_create(
            OutgoingMail(kind="password_changed", recipient=recipient, object_id=recipient.pk * 100 + number)
            for number in range(count)
        )
    OutgoingMail.objects.filter(recipient=person).update(
        status=MailStatus.FAILED, error=f"550 <{person.email}> CPF {person.cpf}: caixa inexistente"
    )
    response = client.get(place(person))
    page = response.content.decode()
    assert [row.mail.recipient for row in response.context["mails"]] == [person] * 10
    assert "caixa inexistente" in page
    assert person.email not in page
    assert person.cpf not in page


def test_who_may_not_see_mails_sees_none_on_the_page(client, person):
    OutgoingMail.objects.create(kind="password_changed", recipient=person, object_id=1, error="550 caixa cheia")
    client.force_login(plain_staff())
    page = client.get(place(person)).content.decode()
    assert "Atendimento" in page
    assert "caixa cheia" not in page


@pytest.mark.parametrize(
    ("fields", "why"), [({"is_active": False}, "pessoa inativa"), ({"email": ""}, "pessoa sem e-mail")]
)
def test_the_page_says_why_the_last_reset_sent_nothing(client, on_duty, person, fields, why):
    User.objects.filter(pk=person.pk).update(**fields)
    client.post("/esqueci-a-senha/", {"cpf": person.cpf, "captcha": solve()})
    sweep()
    assert not OutgoingMail.objects.exists()
    assert why in Page(client.get(place(person))).text


@pytest.mark.parametrize("count", [1, 20])
def test_the_list_of_people_asks_no_more_for_more_people(client, on_duty, count):
    EmploymentFactory.create_batch(2)
    client.get(PEOPLE)
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(PEOPLE)
    EmploymentFactory.create_batch(count)
    with CaptureQueriesContext(connection) as many:
        response = client.get(PEOPLE)
    assert len(many) == len(few)
    assert not re.search(r"pessoa\.\d+@", response.content.decode())


# --- Who may ---------------------------------------------------------------------------------------------------------
#: Written by hand: (who asks, about whom) -> the acts that they may do, and no other.
SUPPORT = {"link", "desbloquear", "sessoes"}
ALL = {*ACTS}
ALLOWED = {
    ("plain_staff", "person"): set(),
    ("analyst", "person"): SUPPORT | {"mostrar"},
    ("analyst", "analyst"): {"mostrar"},
    ("analyst", "superuser"): set(),
    ("manager", "person"): ALL,
    ("manager", "analyst"): SUPPORT | {"mostrar"},
    ("manager", "superuser"): set(),
    ("superuser", "person"): ALL,
    ("superuser", "analyst"): ALL,
    ("superuser", "superuser"): ALL,
}
MAKE = {
    "plain_staff": plain_staff,
    "analyst": analyst,
    "manager": manager,
    "superuser": superuser,
    "person": lambda: EmploymentFactory().user,
}


@pytest.mark.parametrize(("who", "whom"), ALLOWED)
def test_fault_19_each_button_is_there_for_who_may_and_a_forged_post_is_refused(client, make_client, who, whom):
    by, person = MAKE[who](), MAKE[whom]()
    client.force_login(by)
    make_client().force_login(person)
    shown = client.get(place(person))
    buttons = {act for act, label in BUTTONS.items() if label in Page(shown).text}
    assert buttons == ALLOWED[who, whom]
    for act in {*ACTS} - ALLOWED[who, whom]:
        before = traces(person)
        assert press(client, person, act).status_code == 403
        assert traces(person) == before
    for act in sorted(ALLOWED[who, whom]):
        before = traces(person)
        assert press(client, person, act).status_code == 200
        assert traces(person) != before


@pytest.mark.parametrize("make", [analyst, manager, superuser])
@pytest.mark.parametrize("act", ACTS)
def test_nobody_attends_to_themselves(client, make, act):
    by = make()
    client.force_login(by)
    before = traces(by)
    assert press(client, by, act).status_code == 403
    assert traces(by) == before
    page = Page(client.get(place(by))).text
    assert not any(label in page for label in BUTTONS.values())
    assert "Esta é a sua conta." in page


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("visitor", ["anonymous", "servidora"])
def test_nobody_else_reaches_an_act_or_the_page(client, person, act, visitor):
    if visitor == "servidora":
        client.force_login(EmploymentFactory().user)
    before = traces(person)
    for response in (client.post(place(person, act), CORRECTION), client.get(place(person, act))):
        assert response.status_code == 302
        assert response["Location"].startswith(("/entrar/", "/admin/login/"))
    assert client.get(place(person)).status_code == 302
    assert traces(person) == before


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
def test_fault_19_nothing_is_done_but_by_post(client, person, act, method):
    client.force_login(superuser())
    before = traces(person)
    response = getattr(client, method)(place(person, act), CORRECTION if method == "get" else {})
    assert response.status_code in {200, 302, 405}
    assert traces(person) == before
    assert person.email not in response.content.decode()


@pytest.mark.parametrize("act", ACTS)
def test_somebody_who_is_not_there_is_a_404(client, act):
    client.force_login(superuser())
    for pk in (987654321, 10**30):
        assert client.post(f"{PEOPLE}{pk}/{act}/", CORRECTION).status_code == 404


def test_who_becomes_staff_meanwhile_is_not_attended_to_any_more(client, on_duty, person, monkeypatch, caplog):
    """The check that counts is made of the locked row."""
    lock = support._locked

    def promote_and_lock(pk, act, by):
        User.objects.filter(pk=pk).update(is_staff=True)
        return lock(pk, act, by)

    monkeypatch.setattr(support, "_locked", promote_and_lock)
    response = press(client, person, "link")
    assert said(response) == [support.NOT_YOURS]
    assert f"security REFUSED SEND_LINK person={person.pk} by={on_duty.pk}" in caplog.text
    assert not OutgoingMail.objects.exists()


# --- Enviar link -----------------------------------------------------------------------------------------------------
def test_asvs_6_4_6_the_person_gets_the_same_mail_and_the_staff_see_no_link(client, make_client, on_duty, smtp_sink):
    person = EmploymentFactory(user__email="maria@tjms.jus.br").user
    response = press(client, person, "link")
    assert said(response) == ["O link segue por e-mail em instantes."]
    visitor = make_client()
    visitor.post("/esqueci-a-senha/", {"cpf": person.cpf, "captcha": solve()})
    sweep()
    by_staff, by_herself = (
        re.sub(r"/redefinir-senha/\S+", "LINK", delivery.text()) for delivery in smtp_sink.to("maria@tjms.jus.br")
    )
    assert by_staff == by_herself
    link = re.search(r"/redefinir-senha/\S+", smtp_sink.deliveries[0].text())[0]
    pages = response.content.decode() + client.get(place(person)).content.decode()
    assert "redefinir-senha" not in pages
    assert make_client().get(link)["Location"] == "/redefinir-senha/nova/"
    event = SecurityEvent.objects.get(kind=Kind.LINK_SENT_BY_STAFF)
    assert (event.user, event.actor, event.address) == (person, on_duty, "127.0.0.1")


def test_asvs_6_4_6_no_posted_address_or_password_moves_the_link(client, on_duty, person, smtp_sink):
    before = person.password
    press(client, person, "link", email="meu@tjms.jus.br", recipient=on_duty.pk, password="x", cpf=on_duty.cpf)
    sweep()
    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [["maria.lima@tjms.jus.br"]]
    person.refresh_from_db()
    assert (person.password, person.email) == (before, "maria.lima@tjms.jus.br")


@pytest.mark.parametrize(
    ("fields", "sentence", "why"),
    [
        ({"is_active": False}, "a entrada desta pessoa está fechada", "Pessoa inativa"),
        ({"email": ""}, "a pessoa não tem e-mail no cadastro", "Pessoa sem e-mail"),
    ],
)
def test_a_link_that_cannot_be_sent_is_told_and_recorded(client, on_duty, person, fields, sentence, why):
    User.objects.filter(pk=person.pk).update(**fields)
    [told] = said(press(client, person, "link"))
    assert sentence in told
    assert "Gestão pode" in told  # what to do now
    assert not OutgoingMail.objects.exists()
    event = SecurityEvent.objects.get(kind=Kind.RESET_NOT_SENT)
    assert (event.user, event.actor, event.detail) == (person, on_duty, why)


@pytest.mark.parametrize("askers", [("page", "page", "page"), ("staff", "page", "staff"), ("staff",) * 3])
def test_owasp_limit_per_account_at_most_three_links_an_hour_whoever_asks(client, make_client, on_duty, person, askers):
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for asker in askers:
            resets.ask(person.cpf, address=None) if asker == "page" else press(client, person, "link")
            resets.handle_all()
            clock.shift(60)
        assert OutgoingMail.objects.count() == 3
        free = timezone.localtime(timezone.now() + timedelta(minutes=57))

        visitor = make_client()
        answer = visitor.post("/esqueci-a-senha/", {"cpf": person.cpf, "captcha": solve()})
        resets.handle_all()
        [told] = said(press(client, person, "link"))

        assert answer["Location"] == "/esqueci-a-senha/enviado/"  # the person's page is the same for all
        assert f"O próximo pode sair depois das {free:%H:%M}." in told
        assert OutgoingMail.objects.count() == 3
        refused = SecurityEvent.objects.filter(kind=Kind.RESET_NOT_SENT)
        assert {event.detail for event in refused} == {"Limite de três por hora"}
        assert {event.actor for event in refused} == {None, on_duty}
        assert "limite de três por hora" in Page(client.get(place(person))).text

        clock.shift(57 * 60)
        client.force_login(on_duty)  # the session has ended by then
        press(client, person, "link")
        assert OutgoingMail.objects.count() == 4


def test_another_persons_links_are_counted_apart(client, on_duty, person):
    for _ in range(4):
        press(client, person, "link")
    press(client, EmploymentFactory().user, "link")
    assert OutgoingMail.objects.count() == 4


def test_the_links_of_one_member_of_the_staff_are_limited(client, on_duty, monkeypatch):
    for _ in range(throttle.LINKS_BY_STAFF.free - 1):
        throttle.take(throttle.LINKS_BY_STAFF, str(on_duty.pk))
    first, second = EmploymentFactory().user, EmploymentFactory().user
    assert said(press(client, first, "link")) == ["O link segue por e-mail em instantes."]
    [told] = said(press(client, second, "link"))
    assert "Aguarde 60 minutos" in told
    event = SecurityEvent.objects.get(kind=Kind.THROTTLED, actor=on_duty)
    assert (event.detail, event.typed_digest) == ("links enviados pela equipe", "")
    assert [mail.recipient for mail in OutgoingMail.objects.all()] == [first]
    client.force_login(analyst())
    press(client, second, "link")
    assert OutgoingMail.objects.count() == 2


@pytest.mark.parametrize("act", ["desbloquear", "sessoes", "mostrar"])
def test_asvs_2_4_1_what_one_member_of_the_staff_does_is_limited(client, make_client, on_duty, person, act):
    make_client().force_login(person)
    for _ in range(throttle.STAFF_ACTS.free - 1):
        throttle.take(throttle.STAFF_ACTS, str(on_duty.pk))
    before = traces(person)
    assert press(client, person, act).status_code == 200
    assert traces(person) != before
    event = SecurityEvent.objects.get(kind=Kind.THROTTLED)
    assert (event.actor, event.detail, event.typed_digest) == (on_duty, "atendimentos da equipe", "")

    other = EmploymentFactory(user__email="outra@tjms.jus.br").user
    make_client().force_login(other)
    before = traces(other)
    refused = press(client, other, act)
    assert said(refused) == ["Muitas tentativas em pouco tempo. Aguarde 10 minutos e tente de novo."]
    assert traces(other) == before
    assert other.email not in refused.content.decode()

    client.force_login(analyst())  # who is counted apart
    assert press(client, other, act).status_code == 200
    assert traces(other) != before


@pytest.mark.parametrize("act", ACTS)
def test_asvs_16_3_what_is_refused_to_one_of_the_staff_is_in_the_log(client, caplog, act):
    by, person = plain_staff(), EmploymentFactory().user
    client.force_login(by)
    assert press(client, person, act).status_code == 403
    [told] = [record for record in caplog.records if "REFUSED" in record.getMessage()]
    assert (told.name, told.levelname) == ("accounts.security", "WARNING")
    assert told.getMessage().endswith(f"person={person.pk} by={by.pk}")
    assert person.cpf not in told.getMessage()


@pytest.mark.django_db(transaction=True)
def test_eight_links_at_once_owe_three_mails(make_client):
    person, people = EmploymentFactory().user, [analyst() for _ in range(8)]
    clients = [make_client() for _ in people]
    for client, by in zip(clients, people, strict=True):
        client.force_login(by)

    answers = at_once(*(lambda client=client: client.post(place(person, "link")) for client in clients))

    assert [answer.status_code for answer in answers] == [302] * 8
    assert OutgoingMail.objects.count() == 3
    assert SecurityEvent.objects.filter(kind=Kind.LINK_SENT_BY_STAFF).count() == 3
    assert SecurityEvent.objects.filter(kind=Kind.RESET_NOT_SENT, detail="Limite de três por hora").count() == 5


# --- Desbloquear -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("device", ["strange", "known"])
def test_who_is_unlocked_comes_in_at_once(client, make_client, on_duty, person, device):
    theirs = make_client()
    if device == "known":
        try_to_sign_in(theirs, person, PASSWORD)
        theirs.post("/sair/")
    lock_out(theirs, person)
    try_to_sign_in(theirs, person, PASSWORD)
    assert "_auth_user_id" not in theirs.session

    assert said(press(client, person, "desbloquear")) == ["A pessoa foi desbloqueada e já pode tentar de novo."]

    try_to_sign_in(theirs, person, PASSWORD)
    assert theirs.session["_auth_user_id"] == str(person.pk)
    event = SecurityEvent.objects.get(kind=Kind.UNLOCKED)
    assert (event.user, event.actor) == (person, on_duty)


def test_who_asked_for_too_many_links_may_ask_again_once_unlocked(client, make_client, on_duty, person):
    def ask():
        visitor = make_client()
        return visitor.post("/esqueci-a-senha/", {"cpf": person.cpf, "captcha": solve()}).status_code

    assert [ask() for _ in range(throttle.RESET.free + 1)] == [302] * throttle.RESET.free + [429]
    press(client, person, "desbloquear")
    assert ask() == 302


def test_to_unlock_one_leaves_others_and_addresses_counted(client, make_client, on_duty, person):
    other = EmploymentFactory().user
    for each in (person, other):
        lock_out(make_client(), each)
    counted = throttle.ThrottleCount.objects.get(scope=throttle.SIGN_IN_ADDRESS.scope).count
    press(client, person, "desbloquear")
    assert throttle.blocked_until(throttle.SIGN_IN, other.cpf) is not None
    assert throttle.ThrottleCount.objects.get(scope=throttle.SIGN_IN_ADDRESS.scope).count == counted


# --- Encerrar sessões ------------------------------------------------------------------------------------------------
def test_the_staff_end_a_persons_sessions_and_nobody_elses(client, make_client, on_duty, person):
    browsers, stranger = [make_client(), make_client()], make_client()
    for browser in browsers:
        browser.force_login(person)
    stranger.force_login(EmploymentFactory().user)

    asked = client.get(place(person, "sessoes"))
    assert "A pessoa tem 2 sessões abertas." in Page(asked).text
    assert Session.objects.filter(user=person).count() == 2
    press(client, person, "sessoes")

    assert [browser.get("/conta/").status_code for browser in browsers] == [302, 302]
    assert stranger.get("/conta/").status_code == 200
    assert {(event.user, event.actor) for event in SecurityEvent.objects.filter(kind=Kind.SESSION_ENDED)} == {
        (person, on_duty)
    }


# --- Mostrar ---------------------------------------------------------------------------------------------------------
def test_whole_cpf_and_address_stand_in_the_answer_to_the_post_alone_and_it_is_recorded(client, on_duty, person):
    response = press(client, person, "mostrar")
    assert formatted(person.cpf) in response.content.decode()
    assert person.email in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    event = SecurityEvent.objects.get(kind=Kind.DISCLOSED)
    assert (event.user, event.actor, event.detail) == (person, on_duty, "CPF e e-mail")
    for address in (place(person), place(person, "mostrar"), PEOPLE):
        page = client.get(address, follow=True).content.decode()
        assert formatted(person.cpf) not in page
        assert person.email not in page


@pytest.mark.parametrize("back", ["https://exemplo.com/", "//exemplo.com", "javascript:alert(1)", "home", "/admin/"])
def test_the_way_back_leads_to_a_page_of_ours(client, on_duty, person, back):
    response = press(client, person, "mostrar", next=back)
    expected = back if back == "/admin/" else place(person)
    assert Page(response).one("a", href=expected)
    assert "exemplo.com" not in response.content.decode()
    assert "javascript:" not in response.content.decode()


# --- The person's form -----------------------------------------------------------------------------------------------
def save(client, person, **posted):
    """The form as the page shows it, with this typed over; None unticks."""
    page = client.get(place(person))
    form = page.context["adminform"].form
    filled = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    for formset in page.context["inline_admin_formsets"]:
        management = formset.formset.management_form
        filled |= {management.add_prefix(name): value for name, value in management.initial.items()}
        for row in formset.formset.forms:
            filled |= {row.add_prefix(name): row[name].value() or "" for name in row.fields}
    kept = {name: value for name, value in (filled | posted).items() if value is not None}
    return client.post(place(person), kept)


def test_asvs_7_4_2_who_may_not_come_in_any_more_is_out_at_once(client, make_client, person):
    by, theirs = manager(), make_client()
    client.force_login(by)
    theirs.force_login(person)
    assert theirs.get("/conta/").status_code == 200

    assert save(client, person, is_active=None).status_code == 302

    assert not Session.objects.filter(user=person).exists()
    assert theirs.get("/conta/").status_code == 302
    event = SecurityEvent.objects.get(kind=Kind.ACCESS_CLOSED)
    assert (event.user, event.actor) == (person, by)
    save(client, person, is_active="on")
    assert SecurityEvent.objects.get(kind=Kind.ACCESS_OPENED).actor == by


def close_and_open(client, person):
    """The entry, by the form."""
    client.force_login(manager())
    for ticked in (None, "on"):
        assert save(client, person, is_active=ticked).status_code == 302
    person.refresh_from_db()
    assert person.is_active


def test_fault_8_a_link_from_before_the_entry_was_closed_stays_dead_when_it_is_opened_again(
    client, make_client, person
):
    link = urlsplit(resets.link_for(person)).path
    theirs = make_client()
    assert theirs.get(link).status_code == 302

    close_and_open(client, person)

    assert make_client().get(link).status_code == 410
    assert theirs.get("/redefinir-senha/nova/").status_code == 410
    new = {"new_password1": "três araras voando baixo", "new_password2": "três araras voando baixo"}
    assert theirs.post("/redefinir-senha/nova/", new).status_code == 410
    assert make_client().get(urlsplit(resets.link_for(person)).path).status_code == 302


def test_fault_8_a_mail_with_a_link_from_before_the_entry_was_closed_is_never_sent(client, person, smtp_sink):
    with transaction.atomic():
        resets.owe_link(person, Kind.RESET_REQUESTED)

    close_and_open(client, person)
    sweep()

    assert not smtp_sink.to(person.email)
    assert OutgoingMail.objects.get(kind=resets.MAIL).status == MailStatus.SUPERSEDED


# --- The whole story -------------------------------------------------------------------------------------------------
@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_who_is_locked_out_calls_and_gets_in_again(portal_server, worker_process, smtp_sink, browser, page):
    maria = EmploymentFactory(user__name="MARIA DO CARMO LIMA", user__email="maria.lima@tjms.jus.br").user
    EmploymentFactory(user__name="MARIA APARECIDA SOUZA")
    on_duty = analyst(name="ANA LISTA")
    returned = OutgoingMail.objects.create(kind="password_reset", recipient=maria, object_id=0)
    OutgoingMail.objects.filter(pk=returned.pk).update(
        status=MailStatus.FAILED, error="552 <maria.lima@tjms.jus.br>: caixa cheia"
    )

    def sign_in(window, person, password):
        window.goto("/entrar/")
        window.get_by_label("Usuário:").fill(person.cpf)
        window.get_by_label("Senha:", exact=True).fill(password)
        window.get_by_role("button", name="ENTRAR").click()

    for _ in range(throttle.SIGN_IN.free):
        sign_in(page, maria, "não lembro a senha toda")
    sign_in(page, maria, PASSWORD)
    expect(page.get_by_text("Usuário ou senha incorretos")).to_be_visible()

    desk = browser.new_context(base_url=portal_server.url, locale="pt-BR", viewport={"width": 360, "height": 800})
    window = desk.new_page()
    sign_in(window, on_duty, PASSWORD)
    window.goto(PEOPLE)
    window.locator("#searchbar").fill("maria lima")
    window.get_by_role("button", name="Pesquisar").click()
    window.get_by_role("link", name="Maria do Carmo Lima").click()
    support = window.get_by_role("region", name="Atendimento")
    expect(support).to_contain_text("m***@tjms.jus.br")
    expect(support).to_contain_text("Houve tentativas de entrada demais.")
    expect(support).to_contain_text("caixa cheia")
    expect(window.locator("body")).not_to_contain_text("maria.lima@")
    assert window.evaluate("document.documentElement.scrollWidth") <= 360  # nothing is cut off
    window.get_by_role("button", name="Desbloquear").click()
    expect(window.get_by_text("A pessoa foi desbloqueada")).to_be_visible()
    expect(window.get_by_role("region", name="Atendimento")).not_to_contain_text("Houve tentativas de entrada demais.")
    window.get_by_role("button", name="Enviar link de redefinição").click()
    expect(window.get_by_text("O link segue por e-mail em instantes.")).to_be_visible()
    desk.close()

    [mail] = smtp_sink.wait(1, to="maria.lima@tjms.jus.br")
    page.goto(re.search(r"/redefinir-senha/\S+", mail.text())[0])
    for label in ("Nova Senha", "Repetir Senha"):
        page.get_by_label(label).fill("bem-te-vi canta no quintal")
    page.get_by_role("button", name="Enviar", exact=True).click()
    expect(page.get_by_text("Senha alterada com sucesso")).to_be_visible()
    sign_in(page, maria, "bem-te-vi canta no quintal")
    expect(page.get_by_role("button", name="Sair")).to_be_attached()


# --- Where the analyst registers somebody by hand --------------------------------------------------------------------
@pytest.mark.parametrize("credential", ["OPERATOR", "PORTAL", "OWN"])
def test_a_request_shows_the_address_masked_and_leads_to_the_whole_one_only_where_it_is_typed(
    client, on_duty, credential
):
    request = request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential=credential))
    person, screen = request.beneficiary, f"/admin/requests_app/accessrequest/{request.pk}/change/"
    shown = client.get(screen)
    assert person.masked_email in shown.content.decode()
    assert person.email not in shown.content.decode()
    act = screen.replace("change", "mostrar")
    typed_elsewhere = credential != "PORTAL"
    assert bool(Page(shown).one("button", formaction=act)) == typed_elsewhere
    if typed_elsewhere:
        disclosed = client.post(act)
        assert formatted(person.cpf) in disclosed.content.decode()
        assert person.email in disclosed.content.decode()
        assert SecurityEvent.objects.get(kind=Kind.DISCLOSED).actor == on_duty
