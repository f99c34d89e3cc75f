"""The mail screen of the desk, "Tentar de novo", and what a request's own pages say of its mails."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import desk, mail_admin, outbox
from accounts.cpf import formatted
from accounts.masking import mask_people
from accounts.models import MailStatus, OutgoingMail, SecurityEvent
from accounts.tests.factories import EmploymentFactory, UserFactory
from bnmp_portal.admin_site import PortalAdminSite
from requests_app import emails, workflow
from requests_app.models import Status

from .factories import UserTypeFactory, analyst, manager, request_in, superuser, unsaved_request
from .pages import Page, text_of, walk
from .test_concurrency import at_once

pytestmark = pytest.mark.django_db

SCREEN = "/admin/accounts/outgoingmail/"
REFUSED = "550 5.1.1 <{}>: caixa inexistente"


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def reader():
    """Sees the mails, and may not try them again."""
    user = UserFactory(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_outgoingmail"))
    return user


def mail_of(request):
    """The mail that acknowledges it."""
    return OutgoingMail.objects.get(kind=emails.RECEIVED, object_id=request.events.first().pk)


def fail(mail, answer="550 caixa inexistente"):
    OutgoingMail.objects.filter(pk=mail.pk).update(status=MailStatus.FAILED, attempts=1, error=answer)
    return mail


def wait(mail, answer="451 volte mais tarde"):
    """Refused for now."""
    later = timezone.now() + timedelta(hours=2)
    OutgoingMail.objects.filter(pk=mail.pk).update(next_at=later, attempts=3, error=answer)
    return mail


def send(mail):
    OutgoingMail.objects.filter(pk=mail.pk).update(status=MailStatus.SENT, sent_at=timezone.now(), attempts=1)
    return mail


def reset_mail(person):
    event = SecurityEvent.objects.create(kind=SecurityEvent.Kind.RESET_REQUESTED, user=person)
    with transaction.atomic():
        outbox.owe("password_reset", recipient=person.pk, about=event.pk)
    return OutgoingMail.objects.get(kind="password_reset", object_id=event.pk)


def page_of(mail):
    return f"{SCREEN}{mail.pk}/change/"


def press(client, mail):
    return client.post(f"{SCREEN}{mail.pk}/tentar/")


def press_for(client, *mails, address=SCREEN):
    chosen = {"action": "try_selected_again", "_selected_action": [mail.pk for mail in mails], "index": 0}
    return client.post(address, chosen, follow=True)


def listed(response):
    """The rows of the list, by what each cell is called."""
    body = [element for element in walk(Page(response).one("table", id="result_list")) if element.name == "tr"][1:]
    return [{class_of(cell): text_of(cell) for cell in row.children if hasattr(cell, "name")} for row in body]


def class_of(cell):
    return dict(cell.attributes)["class"].removeprefix("field-")


def said(response, level):
    return [text_of(element) for element in Page(response).all("li", class_=level)]


def button_on(response):
    return any(text_of(button) == "Tentar de novo" for button in Page(response).all("button"))


@pytest.fixture
def decider(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


# --- The list --------------------------------------------------------------------------------------------------------
def test_a_row_says_what_to_whom_about_what_and_how_it_stands(client, decider):
    requester = EmploymentFactory(user__name="QUEM PEDE", user__email="quem.pede@tjms.jus.br").user
    request = filed(requester=requester, email="gabinete@tjms.jus.br")
    wait(mail_of(request), f"451 <gabinete@tjms.jus.br> CPF {requester.cpf} volte mais tarde")

    response = client.get(SCREEN)

    [row] = listed(response)
    next_at = timezone.localtime(mail_of(request).next_at)
    assert row["message"] == "Pedido recebido"
    assert row["recipient_shown"] == "Quem Pede g***@tjms.jus.br"  # the address given for it, not the person's own
    assert row["about"] == request.protocol
    assert Page(response).one("a", href=f"/admin/requests_app/accessrequest/{request.pk}/change/")
    assert (row["status"], row["attempts"]) == ("Na fila", "3")
    assert row["next_try"] == f"{next_at:%d/%m/%Y %H:%M}"
    assert "volte mais tarde" in row["answer"]


def test_neither_list_nor_page_shows_a_whole_address_or_cpf(client, decider):
    request = filed(email="gabinete@tjms.jus.br")
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    for mail in OutgoingMail.objects.all():
        people = f"{mail.recipient.email} gabinete@tjms.jus.br {mail.recipient.cpf} {formatted(mail.recipient.cpf)}"
        fail(mail, f"550 5.1.1 {people}"[:300])
    assert OutgoingMail.objects.count() == 3
    for place in (SCREEN, "/admin/", *map(page_of, OutgoingMail.objects.all())):
        page = client.get(place).content.decode()
        assert "5.1.1" in page
        for person in (request.requester, request.beneficiary):
            for secret in (person.email, "gabinete@tjms.jus.br", person.cpf, formatted(person.cpf)):
                assert secret not in page


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("550 <ana.silva@tjms.jus.br>: User unknown", "550 <a***@tjms.jus.br>: User unknown"),
        ("rfc822;ana.silva@tjms.jus.br", "rfc822;a***@tjms.jus.br"),
        ('550 "ana silva"@tjms.jus.br recusado', '550 "***@tjms.jus.br recusado'),
        ("veja https://exemplo.br/?to=ana%40tjms.jus.br", "veja https://exemplo.br/?t***@tjms.jus.br"),
        ("josé.conceição@tjms.jus.br", "j***@tjms.jus.br"),
        ("a=b+c@x.br, d@y.br", "a***@x.br, d***@y.br"),
        ("CPF 123.456.789-09 e 12345678909", "CPF ***.456.789-** e ***.456.789-**"),
        ("queue id 4F1A2B3C4D, 123456789012", "queue id 4F1A2B3C4D, 123456789012"),
        ("Servidor de e-mail indisponível (TimeoutError).", "Servidor de e-mail indisponível (TimeoutError)."),
        ("@ @@ %40", "@ @@ %40"),
        ("", ""),
    ],
)
def test_what_a_server_answers_is_shown_without_people(answer, shown):
    assert mask_people(answer) == shown


def test_only_what_waits_has_a_next_try(client, decider):
    fail(mail_of(filed()))
    send(mail_of(filed()))
    assert [row["next_try"] for row in listed(client.get(SCREEN))] == ["–", "–"]


def test_the_filter_for_attention_has_what_failed_and_what_waits_after_a_refusal(client, decider):
    failed, refused = fail(mail_of(filed())), wait(mail_of(filed()))
    send(mail_of(filed()))
    untried = mail_of(filed())
    shown = [row["about"] for row in listed(client.get(SCREEN, {"situacao": "atencao"}))]
    assert shown == [protocol_of(refused), protocol_of(failed)]
    assert protocol_of(untried) not in shown


def protocol_of(mail):
    return emails.RequestEvent.objects.get(pk=mail.object_id).request.protocol


def test_state_message_and_period_are_filters(client, decider):
    failed, sent = fail(mail_of(filed())), send(mail_of(filed()))
    reset = reset_mail(UserFactory())
    OutgoingMail.objects.filter(pk=sent.pk).update(created_at=timezone.now() - timedelta(days=8))

    def keys(**filters):
        return {row["about"] for row in listed(client.get(SCREEN, filters))}

    assert keys(situacao="SENT") == {protocol_of(sent)}
    assert keys(mensagem="password_reset") == {"–"}
    assert keys(periodo="7") == {"–", protocol_of(failed)}
    assert keys(periodo="30", situacao="SENT") == {protocol_of(sent)}
    assert reset.status == MailStatus.PENDING


@pytest.mark.parametrize("value", ["abc", "", "\0", str(10**30), "-1", "' OR 1=1", "²"])
@pytest.mark.parametrize("name", ["situacao", "mensagem", "periodo"])
def test_a_filter_that_is_none_filters_nothing(client, decider, name, value):
    mail_of(filed())
    assert len(listed(client.get(SCREEN, {name: value}))) == 1


@pytest.mark.parametrize(
    "query", ["{protocol}", " {protocol} ", "joana", "JOANA DÁRC", "71003", "{cpf}", "{formatted}"]
)
def test_the_mails_of_one_request_or_person_are_found(client, decider, query):
    bond = EmploymentFactory(user__name="JOANA D'ARC", matricula="71003", user__password=make_password(None))
    request = filed(requester=bond.user)
    filed()
    workflow.move(filed().pk, Status.APPROVED, by=analyst())
    facts = {"protocol": request.protocol, "cpf": bond.user.cpf, "formatted": formatted(bond.user.cpf)}
    assert [row["about"] for row in listed(client.get(SCREEN, {"q": query.format(**facts)}))] == [request.protocol]


def test_a_protocol_finds_the_mail_of_the_credential_too(client, decider):
    request = filed()
    workflow.move(request.pk, Status.APPROVED, by=decider)
    found = listed(client.get(SCREEN, {"q": request.protocol}))
    assert {row["message"] for row in found} == {
        "Pedido recebido",
        "Acesso liberado (ao solicitante)",
        "Login e senha provisória",
    }


@pytest.mark.parametrize("query", ["2001-999999", "ninguém", "' OR '1'='1", "a" * 3000, "²²²"])
def test_any_other_search_finds_nothing(client, decider, query):
    mail_of(filed())
    response = client.get(SCREEN, {"q": query})
    assert response.status_code == 200
    assert not Page(response).one("table", id="result_list")


@pytest.mark.parametrize("query", ["%", "_", "'", "٣" * 11])
def test_fault_21_a_search_without_a_letter_or_a_digit_finds_nothing(client, decider, query):
    mail_of(filed())

    response = client.get(SCREEN, {"q": query})

    assert not Page(response).one("table", id="result_list")
    assert "0 resultado" in Page(response).text


@pytest.mark.parametrize("query", ["", " ", "\0"])
def test_a_search_for_nothing_lists_everything(client, decider, query):
    mail_of(filed())
    assert len(listed(client.get(SCREEN, {"q": query}))) == 1


def test_three_rows_cost_as_many_queries_as_one(client, decider):
    def cost():
        client.get(SCREEN)
        with CaptureQueriesContext(connection) as queries:
            client.get(SCREEN)
        return len(queries)

    workflow.move(filed().pk, Status.APPROVED, by=analyst())
    with_one = cost()
    for _ in range(2):
        workflow.move(filed().pk, Status.APPROVED, by=analyst())
    assert cost() == with_one


def test_the_list_counts_no_further_than_people_turn_pages(client, decider, monkeypatch):
    monkeypatch.setattr(desk.CappedPaginator, "most", 2)
    for _ in range(3):
        filed()
    with CaptureQueriesContext(connection) as queries:
        page = Page(client.get(SCREEN))
    assert "mais de 2 mensagens A lista mostra as primeiras 2. Use os filtros ou a busca." in page.text
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "outgoingmail" in query["sql"]]
    assert counts
    assert all("LIMIT 3" in sql for sql in counts)


# --- Who may ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("rank", "may"), [(analyst, True), (manager, True), (superuser, True), (reader, False)])
def test_the_button_is_there_for_who_may_press_it(client, rank, may):
    mail = fail(mail_of(filed()))
    client.force_login(rank())
    assert button_on(client.get(page_of(mail))) is may
    assert bool(Page(client.get(SCREEN)).one("option", value="try_selected_again")) is may
    assert press(client, mail).status_code == (302 if may else 403)
    mail.refresh_from_db()
    assert mail.status == (MailStatus.PENDING if may else MailStatus.FAILED)


def test_who_may_not_try_again_cannot_do_it_for_many(client):
    mail = fail(mail_of(filed()))
    client.force_login(reader())
    assert press_for(client, mail).status_code in {200, 403}
    mail.refresh_from_db()
    assert mail.status == MailStatus.FAILED


@pytest.mark.parametrize("who", ["staff in no group", "recipient", "analyst who is staff no more"])
def test_others_see_and_do_nothing(client, who):
    mail = fail(mail_of(filed()), "550 5.1.1 resposta do servidor")
    former = analyst()
    former.is_staff = False
    former.save()
    people = {"staff in no group": UserFactory(is_staff=True), "recipient": mail.recipient}
    client.force_login(people.get(who, former))
    for response in (client.get(SCREEN), client.get(page_of(mail)), press(client, mail)):
        assert response.status_code in {302, 403}
        assert "5.1.1" not in response.content.decode()
    assert press_for(client, mail).status_code == 403
    mail.refresh_from_db()
    assert mail.status == MailStatus.FAILED


@pytest.mark.parametrize("step", ["", "{}/change/", "{}/tentar/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_is_not_signed_in_goes_through_the_one_door(client, step, method):
    mail = fail(mail_of(filed()))
    place = SCREEN + step.format(mail.pk)
    response = getattr(client, method)(place, follow=True)
    last, _status = response.redirect_chain[-1]
    assert (urlsplit(last).path, urlsplit(last).query) == ("/entrar/", f"next={place}")
    mail.refresh_from_db()
    assert mail.status == MailStatus.FAILED


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_fault_19_nothing_is_tried_but_by_post(client, decider, method):
    mail = fail(mail_of(filed()))
    assert getattr(client, method)(f"{SCREEN}{mail.pk}/tentar/").status_code in {302, 405}
    assert client.post(page_of(mail)).status_code == 405
    mail.refresh_from_db()
    assert mail.status == MailStatus.FAILED


@pytest.mark.parametrize("pk", ["0", "987654321", str(10**30), "abc", "-1", "%00", "²"])
def test_a_mail_that_is_not_there_is_no_fault(client, decider, pk):
    assert client.get(f"{SCREEN}{pk}/change/").status_code in {302, 404}
    assert client.post(f"{SCREEN}{pk}/tentar/").status_code in {302, 404, 405}


# --- One mail, tried again -------------------------------------------------------------------------------------------
def test_a_status_mail_that_failed_goes_out(client, decider, smtp_sink):
    request = filed()
    smtp_sink.refuse = REFUSED.format(request.requester_email)
    outbox.send_due()
    smtp_sink.refuse = None
    mail = mail_of(request)
    assert mail.status == MailStatus.FAILED

    response = press(client, mail)

    assert (response.status_code, response.url) == (302, page_of(mail))
    assert said(client.get(response.url), "success") == ["Tentativa pedida: o e-mail está na fila e sai em instantes."]
    outbox.send_due()
    assert len(smtp_sink.to(request.requester_email)) == 1
    mail.refresh_from_db()
    assert (mail.status, mail.attempts) == (MailStatus.SENT, 1)
    noted = SecurityEvent.objects.get(kind=SecurityEvent.Kind.MAIL_RETRIED)
    assert (noted.actor, noted.user, noted.detail) == (decider, request.requester, "Pedido recebido")


def test_a_credential_that_failed_is_made_anew(client, decider, smtp_sink):
    request = filed()
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    smtp_sink.refuse = "550 caixa inexistente"
    outbox.send_due()
    smtp_sink.refuse = None
    mail = OutgoingMail.objects.get(kind=emails.CREDENTIAL)
    assert "A senha que esta mensagem levava foi apagada." in Page(client.get(page_of(mail))).text

    assert press(client, mail).status_code == 302

    mail.refresh_from_db()
    assert mail.status == MailStatus.SUPERSEDED
    outbox.send_due()
    [delivery] = smtp_sink.to(request.beneficiary.email)
    assert "Senha provisória" in delivery.text()


def test_a_reset_mail_past_its_life_is_refused_and_it_is_said_why(client, decider):
    mail = fail(reset_mail(UserFactory()))
    OutgoingMail.objects.filter(pk=mail.pk).update(created_at=timezone.now() - timedelta(hours=2))
    response = press(client, mail)
    assert response.status_code == 409
    assert "já venceu" in text_of(Page(response).one("ul", class_="errorlist"))
    mail.refresh_from_db()
    assert mail.status == MailStatus.FAILED


def test_what_waits_for_a_later_try_is_tried_at_once(client, decider, smtp_sink):
    mail = wait(mail_of(filed()))
    assert outbox.send_due() == 0
    assert button_on(client.get(page_of(mail)))
    press(client, mail)
    assert outbox.send_due() == 1


def test_what_was_sent_has_no_button_and_is_not_sent_again(client, decider, smtp_sink):
    mail = mail_of(filed())
    outbox.send_due()
    assert not button_on(client.get(page_of(mail)))
    response = press(client, mail)
    assert response.status_code == 409
    assert "está “Enviado” e não precisa de outra tentativa" in text_of(Page(response).one("ul", class_="errorlist"))
    assert outbox.send_due() == 0


@pytest.mark.parametrize("quality", ["requester", "beneficiary"])
def test_nobody_tries_the_credential_of_their_own_request(client, decider, quality):
    bond = EmploymentFactory(user=decider)
    own = {"requester": {"requester": decider}, "beneficiary": {"bond": bond}}[quality]
    request = filed(user_type=UserTypeFactory(), **own)
    decider.set_unusable_password()
    decider.save()
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    decider.refresh_from_db()
    client.force_login(decider)  # the approval replaced what they had
    mail = fail(OutgoingMail.objects.get(kind=emails.CREDENTIAL))
    response = press(client, mail)
    assert response.status_code == 409
    assert "Ninguém decide um pedido" in text_of(Page(response).one("ul", class_="errorlist"))


def test_a_mail_of_a_kind_that_is_no_more_is_shown_and_not_tried(client, decider):
    mail = fail(mail_of(filed()))
    OutgoingMail.objects.filter(pk=mail.pk).update(kind="of_an_older_release")
    assert [row["message"] for row in listed(client.get(SCREEN))] == ["of_an_older_release"]
    assert not button_on(client.get(page_of(mail)))
    response = press(client, mail)
    assert response.status_code == 409
    assert "não envia mais mensagens deste tipo" in Page(response).text


@pytest.mark.django_db(transaction=True)
def test_of_two_presses_at_once_one_is_told_that_it_came_too_late(make_client):
    mail = fail(mail_of(filed()))
    clients = [make_client(), make_client()]
    for client in clients:
        client.force_login(analyst())
    answers = at_once(*(lambda client=client: press(client, mail) for client in clients))
    assert sorted(answer.status_code for answer in answers) == [302, 409]
    [late] = [answer for answer in answers if answer.status_code == 409]
    assert "Esta mensagem está “Na fila”" in text_of(Page(late).one("ul", class_="errorlist"))
    assert SecurityEvent.objects.filter(kind=SecurityEvent.Kind.MAIL_RETRIED).count() == 1


def test_the_way_back_leads_to_the_list_as_it_was_filtered(client, decider):
    mail = fail(mail_of(filed()))
    listed_at = Page(client.get(SCREEN, {"situacao": "atencao", "periodo": "7"}))
    [link] = [
        href for a in listed_at.all("a") if (href := dict(a.attributes).get("href", "")).startswith(page_of(mail))
    ]
    page = Page(client.get(link))
    assert page.one("a", href=f"{SCREEN}?situacao=atencao&periodo=7")
    [form] = [form for form in page.all("form") if "tentar" in dict(form.attributes).get("action", "")]
    response = client.post(dict(form.attributes)["action"], follow=True)
    assert Page(response).one("a", href=f"{SCREEN}?situacao=atencao&periodo=7")


# --- Many at once ----------------------------------------------------------------------------------------------------
def test_many_are_tried_each_by_itself_and_a_refusal_keeps_none_back(client, decider):
    failed = [fail(mail_of(filed())) for _ in range(3)]
    sent, dead = send(mail_of(filed())), fail(reset_mail(UserFactory()))
    OutgoingMail.objects.filter(pk=dead.pk).update(created_at=timezone.now() - timedelta(hours=2))
    address = f"{SCREEN}?periodo=7"

    response = press_for(client, *failed, sent, dead, address=address)

    assert response.redirect_chain == [(address, 302)]
    assert said(response, "success") == ["De volta à fila de envio: 3."]
    assert sorted(said(response, "warning")) == [
        "Sem nova tentativa: 1. Esta mensagem está “Enviado” e não precisa de outra tentativa.",
        "Sem nova tentativa: 1. O que esta mensagem levava já venceu. Quem a esperava precisa fazer outro pedido.",
    ]
    states = OutgoingMail.objects.values_list("pk", "status")
    assert {pk for pk, status in states if status == MailStatus.PENDING} == {mail.pk for mail in failed}


def test_all_of_a_filter_are_tried_across_its_pages(client, decider):
    mails = [fail(mail_of(filed())) for _ in range(3)]
    chosen = {"action": "try_selected_again", "_selected_action": [mails[0].pk], "index": 0, "select_across": 1}
    response = client.post(f"{SCREEN}?situacao=atencao", chosen, follow=True)
    assert said(response, "success") == ["De volta à fila de envio: 3."]
    assert not OutgoingMail.objects.filter(status=MailStatus.FAILED).exists()


@pytest.mark.parametrize(("limit", "tried"), [(("MOST_AT_ONCE", 2), 2), (("SECONDS_AT_ONCE", -1), 0)])
def test_too_many_for_one_press_are_left_for_the_next_and_it_is_said(client, decider, monkeypatch, limit, tried):
    monkeypatch.setattr(mail_admin, *limit)
    mails = [fail(mail_of(filed())) for _ in range(3)]
    response = press_for(client, *mails)
    assert said(response, "info") == ["Nem todas foram tentadas ainda. Selecione as outras e use “Tentar de novo”."]
    waiting = OutgoingMail.objects.filter(status=MailStatus.PENDING).order_by("pk")
    assert list(waiting) == mails[:tried]


@pytest.mark.parametrize("key", ["abc", "", "-1", str(10**30), "1 OR 1", "²", "\0"])
def test_a_choice_made_by_hand_is_refused(client, decider, key):
    chosen = {"action": "try_selected_again", "_selected_action": [key], "index": 0}
    assert client.post(SCREEN, chosen).status_code == 400


@pytest.mark.parametrize("posted", [{"index": "x"}, {"index": "9"}, {"action": "delete_selected"}, {"action": "abc"}])
def test_an_action_made_by_hand_does_nothing(client, decider, posted):
    mail = fail(mail_of(filed()))
    chosen = {"action": "try_selected_again", "_selected_action": [mail.pk], "index": 0, **posted}
    assert client.post(SCREEN, chosen).status_code in {200, 302}
    assert OutgoingMail.objects.filter(pk=mail.pk).exists()


# --- The first page of the desk --------------------------------------------------------------------------------------
def test_the_first_page_says_what_was_not_delivered(client, decider):
    request = filed()
    assert "Mensagens com problema" not in Page(client.get("/admin/")).text
    mail = fail(mail_of(request), "550 caixa inexistente")
    page = Page(client.get("/admin/"))
    section = page.one("section", aria_labelledby="failed")
    for fact in ("Mensagens com problema: 1", "Pedido recebido", request.protocol, "550 caixa inexistente"):
        assert fact in text_of(section)
    assert page.one("a", href=page_of(mail))
    assert page.one("a", href=f"{SCREEN}?situacao=atencao")


def test_beyond_what_is_counted_there_are_more(client, decider, monkeypatch):
    monkeypatch.setattr(PortalAdminSite, "MOST_SHOWN", 2)
    for _ in range(3):
        fail(mail_of(filed()))
    assert "Mensagens com problema: mais de 2" in Page(client.get("/admin/")).text


def test_who_may_not_see_mails_sees_none_on_the_first_page(client):
    fail(mail_of(filed()), "550 caixa inexistente")
    client.force_login(UserFactory(is_staff=True))
    page = client.get("/admin/").content.decode()
    assert "Mensagens com problema" not in page
    assert "550" not in page


def test_three_failed_mails_cost_the_first_page_as_many_queries_as_one(client, decider):
    def cost():
        client.get("/admin/")
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/")
        return len(queries)

    fail(mail_of(filed()))
    with_one = cost()
    for _ in range(2):
        fail(mail_of(filed()))
    assert cost() == with_one


# --- The request's own pages -----------------------------------------------------------------------------------------
def mail_lines(response):
    return [
        text_of(element)
        for element in Page(response).all("p")
        if "history-mail" in dict(element.attributes).get("class", "").split()
    ]


def seen_by(client, person, request):
    client.force_login(person)
    return client.get(f"/solicitacoes/{request.protocol}/")


def stamp(mail):
    mail.refresh_from_db()
    return f"{timezone.localtime(mail.sent_at):%d/%m/%Y %H:%M}"


def test_the_requester_sees_when_the_mail_was_sent_and_where_to(client):
    request = filed(email="gabinete@tjms.jus.br")
    mail = send(mail_of(request))
    for person in (request.requester, request.beneficiary):
        lines = mail_lines(seen_by(client, person, request))
        assert lines == [f"E-mail enviado em {stamp(mail)} para g***@tjms.jus.br."]


def test_the_requester_sees_that_a_mail_waits_or_is_late(client):
    request = filed()
    assert mail_lines(seen_by(client, request.requester, request)) == ["E-mail na fila de envio."]
    OutgoingMail.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert mail_lines(seen_by(client, request.requester, request)) == [
        "E-mail na fila de envio. O envio está demorando; o portal continua tentando."
    ]


def test_the_requester_sees_that_there_was_a_problem_and_not_the_servers_words(client):
    request = filed()
    fail(mail_of(request), "550 5.1.1 recusado")
    response = seen_by(client, request.requester, request)
    assert mail_lines(response) == ["Houve um problema no envio do e-mail; a Coordenadoria foi avisada."]
    assert "5.1.1" not in response.content.decode()


def test_the_requester_sees_whether_the_credential_went_out_and_never_where_to(client):
    bond = EmploymentFactory(user__name="JOÃO DA SILVA", user__password=make_password(None))
    request = filed(bond=bond)
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    mail = OutgoingMail.objects.get(kind=emails.CREDENTIAL)
    waiting = "E-mail com login e senha provisória para João da Silva na fila de envio."
    assert waiting in mail_lines(seen_by(client, request.requester, request))
    send(mail)
    response = seen_by(client, request.requester, request)
    expected = f"E-mail com login e senha provisória enviado a João da Silva em {stamp(mail)}."
    assert expected in mail_lines(response)
    assert bond.user.email not in response.content.decode()
    fail(mail)
    problem = "Houve um problema no envio do e-mail com login e senha provisória a João da Silva"
    assert f"{problem}; a Coordenadoria foi avisada." in mail_lines(seen_by(client, request.requester, request))


def test_a_mail_about_an_access_without_a_password_is_called_so(client):
    request = filed(bond=EmploymentFactory(user__name="JOÃO DA SILVA"))
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    assert "E-mail sobre o acesso para João da Silva na fila de envio." in mail_lines(
        seen_by(client, request.requester, request)
    )


def test_of_a_mail_that_was_made_anew_only_the_new_one_is_told(client):
    request = filed()
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    outbox.try_again(fail(OutgoingMail.objects.get(kind=emails.CREDENTIAL)).pk, by=analyst())
    lines = mail_lines(seen_by(client, request.requester, request))
    assert [line for line in lines if "senha" in line] == [
        f"E-mail com login e senha provisória para {request.beneficiary_name} na fila de envio."
    ]


def test_a_mail_from_before_a_correction_does_not_name_the_address_of_after(client):
    request = filed(email="antes@tjms.jus.br")
    send(mail_of(request))
    request = workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    request.requester_email = "depois@tjms.jus.br"
    workflow.correct(request, by=request.requester)
    last = OutgoingMail.objects.latest("pk")
    send(last)
    first, _returned, corrected = mail_lines(seen_by(client, request.requester, request))
    assert (first, corrected) == (
        f"E-mail enviado em {stamp(mail_of(request))}.",
        f"E-mail enviado em {stamp(last)} para d***@tjms.jus.br.",
    )


def test_the_mails_of_another_request_are_not_told(client):
    request, other = filed(), filed()
    workflow.move(other.pk, Status.APPROVED, by=analyst())
    assert len(mail_lines(seen_by(client, request.requester, request))) == 1


def lengthen(request):
    """Two more steps in its history, each with its mail."""
    decider = analyst()
    workflow.move(request.pk, Status.IN_REVIEW, by=decider)
    workflow.move(request.pk, Status.PENDING, by=decider)


def test_a_long_history_costs_as_many_queries_as_a_short_one(client, make_client):
    request, desk = filed(), make_client()
    client.force_login(request.requester)
    desk.force_login(analyst())

    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert len(mail_lines(client.get(f"/solicitacoes/{request.protocol}/"))) == request.events.count()
            desk.get(f"/admin/requests_app/accessrequest/{request.pk}/change/")
        return len(queries)

    cost()
    with_one = cost()
    lengthen(request)
    assert request.events.count() == 3
    assert cost() == with_one


def test_the_desk_sees_the_mails_beside_the_steps_and_the_way_to_each(client, decider):
    request = filed()
    grant = workflow.move(request.pk, Status.APPROVED, by=analyst()).grant
    sent, failed = send(mail_of(request)), fail(OutgoingMail.objects.get(kind=emails.CREDENTIAL))
    page = Page(client.get(f"/admin/requests_app/accessrequest/{request.pk}/change/"))
    history = text_of(page.one("table", class_="desk-history"))
    assert f"Pedido recebido : enviado em {stamp(sent)}" in history
    assert "Login e senha provisória : não entregue" in history
    assert page.one("a", href=page_of(sent))
    assert page.one("a", href=page_of(failed))
    page = Page(client.get(f"/admin/requests_app/accessgrant/{grant.pk}/change/"))
    assert "Login e senha provisória : não entregue" in text_of(page.one("table", class_="desk-history"))
    assert page.one("a", href=page_of(failed))
    assert not page.one("a", href=page_of(sent))


# --- The permission --------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_groups_that_were_there_before_may_try_again_after_the_upgrade():
    call_command("migrate", "requests_app", "0001_initial", verbosity=0)
    Permission.objects.filter(codename="retry").delete()
    Group.objects.create(name="Outro grupo")
    call_command("migrate", "requests_app", verbosity=0)
    allowed = Group.objects.filter(permissions__codename="retry", permissions__content_type__app_label="accounts")
    assert set(allowed.values_list("name", flat=True)) == {"Análise", "Gestão"}


# --- Put away -------------------------------------------------------------------------------------------------------
def failed_mail():
    request = request_in(Status.PENDING)
    workflow.move(request.pk, Status.REJECTED, by=analyst(), note="motivo")
    OutgoingMail.objects.update(status=MailStatus.FAILED, error="550 caixa inexistente")
    return OutgoingMail.objects.get()


def test_a_problem_that_was_solved_otherwise_can_be_put_away(client):
    mail = failed_mail()
    client.force_login(analyst())
    page = f"/admin/accounts/outgoingmail/{mail.pk}/"
    assert "Dar por resolvido" in client.get(f"{page}change/").content.decode()
    assert "Mensagens com problema" in client.get("/admin/").content.decode()
    assert client.post(f"{page}resolver/").status_code == 302
    mail.refresh_from_db()
    assert mail.status == MailStatus.SUPERSEDED
    assert "Mensagens com problema" not in client.get("/admin/").content.decode()
    again = client.post(f"{page}resolver/")
    assert (again.status_code, "não está mais entre os problemas" in again.content.decode()) == (409, True)
    assert client.get(f"{page}resolver/").status_code == 302


def test_many_can_be_put_away_at_once_and_only_those_that_failed(client):
    failed = failed_mail()
    client.force_login(analyst())
    waiting = OutgoingMail.objects.create(
        kind=failed.kind, recipient=failed.recipient, object_id=failed.object_id + 1000
    )
    posted = {"action": "dismiss_selected", "_selected_action": [failed.pk, waiting.pk]}
    page = client.post("/admin/accounts/outgoingmail/", posted, follow=True).content.decode()
    assert "Problemas dados por resolvidos: 1." in page
    assert [*OutgoingMail.objects.order_by("pk").values_list("status", flat=True)] == [
        MailStatus.SUPERSEDED,
        MailStatus.PENDING,
    ]


def test_who_may_not_try_again_puts_nothing_away(client):
    mail = failed_mail()
    watcher = UserFactory(is_staff=True)
    watcher.user_permissions.add(Permission.objects.get(codename="view_outgoingmail"))
    client.force_login(watcher)
    assert client.post(f"/admin/accounts/outgoingmail/{mail.pk}/resolver/").status_code == 403
    assert "Dar por resolvido" not in client.get(f"/admin/accounts/outgoingmail/{mail.pk}/change/").content.decode()
    mail.refresh_from_db()
    assert mail.status == MailStatus.FAILED


def test_what_has_lapsed_has_no_button_but_says_so(client):
    person = UserFactory()
    mail = OutgoingMail.objects.create(kind="password_reset", recipient=person, object_id=1, status=MailStatus.FAILED)
    OutgoingMail.objects.update(created_at=timezone.now() - timedelta(hours=2))
    client.force_login(analyst())
    page = client.get(f"/admin/accounts/outgoingmail/{mail.pk}/change/").content.decode()
    assert "já venceu" in page
    assert "Tentar de novo" not in page
    assert "Dar por resolvido" in page


@pytest.mark.parametrize("where", ["accounts/outgoingmail", "accounts/user", "requests_app/accessrequest"])
def test_a_search_for_a_thousand_words_is_no_more_work_than_for_a_name(client, where):
    user = UserFactory(is_staff=True, is_superuser=True)
    client.force_login(user)
    words = " ".join(f"a{number}" for number in range(1000))
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/admin/{where}/", {"q": words}).status_code == 200
    assert max(query["sql"].count("LIKE") for query in queries) <= 40
