"""One screen to decide: what it tells of a request and of the person, reasons from texts, notes, and the next one."""

from __future__ import annotations

import uuid
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import outbox
from accounts.cpf import formatted
from accounts.models import SecurityEvent
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory
from requests_app import workflow
from requests_app.models import (
    AccessGrant,
    AccessRequest,
    InternalNote,
    ReasonTemplate,
    Status,
    TypedCredential,
    UserType,
)

from .factories import UserTypeFactory, analyst, manager, request_in, superuser, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

QUEUE = "/admin/requests_app/accessrequest/"
TEMPLATES = "/admin/requests_app/reasontemplate/"
UNFIT = "Este modelo de motivo não serve para esta decisão ou para este sistema. Escolha outro."
NOT_YOUR_OWN = "Ninguém decide um pedido que fez ou que é para si."


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def screen(request, step="change"):
    return f"{QUEUE}{request.pk}/{step}/"


def decide(client, request, to, **fields):
    return client.post(screen(request, "decidir"), {"to": to, **fields})


def said(response):
    """What the desk says about the step just made."""
    return [text_of(line) for line in walk(Page(response).one("ul", class_="messagelist")) if line.name == "li"]


def refusal(response):
    return text_of(Page(response).one("ul", class_="errorlist"))


def template(**fields):
    values = {
        "decision": "REJECTED",
        "title": "Perfil só para magistrados",
        "text": "Este perfil é só para magistrados.",
    }
    return ReasonTemplate.objects.create(**{**values, **fields})


def offered(page):
    """The texts that can be chosen, by their groups."""
    groups = page.all("optgroup")
    return {dict(group.attributes)["label"]: [text_of(option) for option in group.children] for group in groups}


@pytest.fixture
def decider(client):
    user = analyst(name="ANA LISTA")
    client.force_login(user)
    return user


@pytest.fixture(autouse=True)
def _no_texts_yet(db):
    """Each test says which there are."""
    ReasonTemplate.objects.all().delete()


# --- The sheet of the person -----------------------------------------------------------------------------------------
def test_beside_the_request_stand_bonds_accesses_and_other_requests_with_what_came_of_them(client, decider):
    bond = EmploymentFactory(matricula="081135", cargo="Oficial de Justiça", unit=UnitFactory(name="2ª Vara Cível"))
    yesterday = timezone.localdate() - timedelta(days=1)
    EmploymentFactory(user=bond.user, matricula="010203", cargo="Estagiário", ended_on=yesterday)
    given = filed(bond=bond, user_type=UserTypeFactory(name="Servidor", system__name="SEEU"))
    workflow.move(given.pk, Status.APPROVED, by=decider)
    rejected = filed(bond=bond, user_type=UserTypeFactory(name="Magistrado", system__name="INFOJUD"))
    workflow.move(rejected.pk, Status.REJECTED, by=decider, note="É só para magistrados.")
    returned = filed(bond=bond)
    workflow.move(returned.pk, Status.RETURNED, by=decider, note="Falta a portaria.")
    request = filed(bond=bond)

    sheet = text_of(Page(client.get(screen(request))).one("section", class_="desk-sheet"))

    current, ended = sheet.index("081135 · Oficial de Justiça · 2ª Vara Cível"), sheet.index("010203 · Estagiário")
    assert current < sheet.index("Vínculos encerrados") < ended
    for fact in (
        "SEEU – Servidor · Ativo",
        f"{rejected.protocol} · INFOJUD – Magistrado · Indeferida Motivo: É só para magistrados.",
        "Devolvida para correção Motivo: Falta a portaria.",
        f"{given.protocol} · SEEU – Servidor · Concluída",
    ):
        assert fact in sheet, fact
    assert sheet.index(returned.protocol) < sheet.index(rejected.protocol)  # what goes on stands first


def test_people_of_the_same_name_are_warned_of_and_told_apart(client, decider):
    bond = EmploymentFactory(user__name="JOSÉ DA CONCEIÇÃO")
    EmploymentFactory(
        user__name="JOSE DA CONCEICAO",
        matricula="777",
        cargo="Juiz Leigo",
        unit__name="Vara Única",
        unit__comarca="Bonito",
    )
    UserFactory(name="José da Conceição")
    EmploymentFactory(user__name="MARIA PAZ", user__social_name="José da Conceição", matricula="888")
    for name, social in (
        ("JOSÉ DA CONCEIÇÃO NETO", ""),
        ("JOSÉ CONCEIÇÃO", ""),
        ("JOSÉ DA CONCEIÇÃO", "Josefa"),  # known by another name: nobody learns of this one
        ("NETO", "José da Conceição da"),
    ):
        EmploymentFactory(user__name=name, user__social_name=social, matricula=f"9{len(name)}{len(social)}")

    page = Page(client.get(screen(filed(bond=bond))))

    warned = [text_of(line) for line in walk(page.one("div", class_="desk-warning")) if line.name == "li"]
    assert warned == [
        "Jose da Conceicao · matrícula 777 · Juiz Leigo · Vara Única – Bonito",
        "José da Conceição · sem vínculo",
        f"José da Conceição · matrícula 888 · Analista Judiciário · {UnitFactory.build().name} – Campo Grande",
    ]


def test_where_nobody_has_the_same_name_nobody_is_warned(client, decider):
    for name in ("ANA LIMA", "???"):
        EmploymentFactory(user__name="ANA LIMA BRAGA", matricula=name[:3])
        page = Page(client.get(screen(filed(bond=EmploymentFactory(user__name=name)))))
        assert page.one("section", class_="desk-sheet")
        assert not page.one("div", class_="desk-warning")


def test_the_last_ten_other_requests_stand_there_and_the_rest_is_one_click_away(client, decider):
    bond = EmploymentFactory()
    others = [request_in(Status.REJECTED, bond=bond) for _ in range(12)]
    going_on = request_in(Status.RETURNED, bond=bond)
    request = request_in(Status.PENDING, bond=bond)

    page = Page(client.get(screen(request)))
    shown = [other.protocol for other in others if page.one("a", href=screen(other))]
    assert shown == [other.protocol for other in others[-9:]]
    assert page.one("a", href=screen(going_on))

    [rest] = [link for link in page.all("a") if text_of(link) == "Ver todos os pedidos para esta pessoa"]
    page = Page(client.get(dict(rest.attributes)["href"]))
    assert all(page.one("a", href=screen(other)) for other in others)
    assert "Ver todos os pedidos" not in page.text


def test_the_screen_costs_as_many_queries_with_three_hundred_other_requests_as_with_one(client, decider):
    bond, namesake = EmploymentFactory(user__name="ANA LIMA"), EmploymentFactory(user__name="ANA LIMA")
    template()
    request = filed(bond=bond)
    user_type = UserTypeFactory()
    decided = {"decided_by": decider, "decided_at": timezone.now(), "status": Status.REJECTED}
    costs = {}
    for number in (1, 3, 300):
        stored = AccessRequest.objects.filter(status=Status.REJECTED).count()
        made = []
        for place in range(stored, number):
            one = unsaved_request(bond=bond, user_type=user_type, requester=namesake.user)
            one.protocol = f"1999-{place:06d}"
            for name, value in decided.items():
                setattr(one, name, value)
            made.append(one)
        AccessRequest.objects.bulk_create(made)
        workflow.add_note(request.pk, f"nota {number}", by=decider)
        client.get(screen(request))
        with CaptureQueriesContext(connection) as queries:
            assert client.get(screen(request)).status_code == 200
        costs[number] = len(queries)
    assert len(set(costs.values())) == 1, costs


def stored_like(request, number, **values):
    """So many more, as quickly as the database takes them, without histories: each for a user type of its own."""
    like = {field.attname: getattr(request, field.attname) for field in AccessRequest._meta.fields}
    first = AccessRequest.objects.count()
    user_types = UserType.objects.bulk_create(
        UserType(system=request.system, name=f"Outro {place}") for place in range(first, first + number)
    )
    own = ({"id": None, "form_nonce": uuid.uuid4(), "user_type_id": one.pk} for one in user_types)
    AccessRequest.objects.bulk_create(
        AccessRequest(**like | one | {"protocol": f"1999-{place:06d}"} | values) for place, one in enumerate(own, first)
    )


@pytest.mark.parametrize("left", ["", "?_changelist_filters=q%3Dmaria%26comarca%3DDourados"])
@pytest.mark.parametrize(
    ("to", "credential"), [("REJECTED", "OWN"), ("RETURNED", "OWN"), ("APPROVED", "OPERATOR"), ("APPROVED", "PORTAL")]
)
@pytest.mark.parametrize("grows", ["queue", "earlier"])
def test_a_decision_costs_as_many_queries_with_300_in_the_queue_or_of_the_person_as_with_one(
    client, decider, grows, to, credential, left
):
    user_type = UserTypeFactory(system__credential=credential)
    unit = UnitFactory(comarca="Dourados")
    waiting = unsaved_request(user_type=user_type, bond=EmploymentFactory(user__name="MARIA", unit=unit))
    rejected = {"status": Status.REJECTED, "decided_by_id": decider.pk, "decided_at": timezone.now()}
    costs = []
    for number in (1, 1, 3, 300):  # the first looks up what a session needs once
        bond = EmploymentFactory(user__name="MARIA", unit=unit)
        if grows == "queue":
            stored_like(waiting, number - 1 - AccessRequest.objects.waiting().count())
        else:
            stored_like(unsaved_request(user_type=user_type, bond=bond), number, **rejected)
        request = filed(user_type=user_type, bond=bond)
        in_queue, earlier = AccessRequest.objects.waiting(), AccessRequest.objects.filter(beneficiary=bond.user)
        assert (in_queue.count(), earlier.count()) == ((number, 1) if grows == "queue" else (1, number + 1))

        with CaptureQueriesContext(connection) as queries:
            response = client.post(
                screen(request, "decidir") + left, {"to": to, "note": "Falta a portaria.", "opens_next": "on"}
            )

        following = in_queue.order_by("pk").first()
        assert response.url.partition("?")[0] == (screen(following) if following else QUEUE)
        costs.append(len(queries))
    assert len(set(costs[1:])) == 1, costs


# --- Reasons ---------------------------------------------------------------------------------------------------------
def test_only_texts_in_use_that_fit_the_system_and_what_can_be_decided_are_offered(client, decider):
    request = filed()
    template(title="Para todos", norm="Lei nº 13.709/2018, art. 6º")
    template(title="Deste sistema", system=request.system, decision="RETURNED")
    template(title="De outro sistema", system=UserTypeFactory().system)
    template(title="Fora de uso", is_active=False)

    page = Page(client.get(screen(request)))

    assert offered(page) == {"Indeferir": ["Para todos"], "Devolver para correção": ["Deste sistema"]}
    assert "Este perfil é só para magistrados. (Lei nº 13.709/2018, art. 6º)" in page.text
    approved = request_in(Status.APPROVED, user_type=UserTypeFactory(system=request.system))
    assert offered(Page(client.get(screen(approved)))) == {"Indeferir": ["Para todos"]}
    assert not Page(client.get(screen(request_in(Status.COMPLETED)))).controls("reason")


def test_the_requester_gets_the_text_its_norm_and_what_was_written_beside_it(client, decider, smtp_sink):
    request = filed()
    chosen = template(norm="Res. CNJ 401/2021, art. 3º")

    response = decide(client, request, "REJECTED", reason=chosen.pk, note="Peça o perfil Servidor.")

    assert response.status_code == 302
    event = request.events.last()
    wanted = "Este perfil é só para magistrados. (Res. CNJ 401/2021, art. 3º)\n\nPeça o perfil Servidor."
    assert (event.to_status, event.note, event.reason, event.actor) == (Status.REJECTED, wanted, chosen, decider)
    outbox.send_due()
    mail = smtp_sink.to(request.requester_email)[-1]
    assert "indeferido" in mail.message["Subject"]
    for part in wanted.split("\n\n"):
        assert part in mail.text()
    client.force_login(request.requester)
    assert "Peça o perfil Servidor." in Page(client.get(request.get_absolute_url())).text


def test_a_text_is_reason_enough_and_stays_as_it_was_when_it_is_changed_later(client, decider):
    request, chosen = filed(), template(decision="RETURNED", text="Informe a portaria.")
    assert decide(client, request, "RETURNED", reason=chosen.pk).status_code == 302
    ReasonTemplate.objects.update(text="Outro texto.")
    assert request.events.last().note == "Informe a portaria."
    request.refresh_from_db()
    assert request.return_reason == "Informe a portaria."


@pytest.mark.parametrize("to", ["REJECTED", "APPROVED", "IN_REVIEW"])
@pytest.mark.parametrize("which", ["of another system", "of another decision", "retired"])
def test_a_text_that_does_not_fit_is_refused_with_a_sentence_and_nothing_changes(client, decider, which, to):
    request = filed()
    unfit = {
        "of another system": {"system": UserTypeFactory().system},
        "of another decision": {"decision": "RETURNED"},
        "retired": {"is_active": False},
    }[which]
    response = decide(client, request, to, reason=template(**unfit).pk, note="O que eu já tinha escrito.")
    page = Page(response)
    assert page.beside("reason") == UNFIT
    assert page.value("note") == "O que eu já tinha escrito."
    request.refresh_from_db()
    assert (request.status, request.events.count()) == (Status.PENDING, 1)


@pytest.mark.parametrize(
    "reason", ["0", "-1", "abc", "²", "٣", "9" * 400, "1\0", "' OR 1=1", "[]", "\udc80", "x" * 9999]
)
def test_a_text_that_nobody_offers_is_refused_with_a_sentence(client, decider, reason):
    request = filed()
    response = client.generic(
        "POST",
        screen(request, "decidir"),
        b"to=REJECTED&note=motivo&reason=" + reason.encode("utf-8", "surrogatepass"),
        "application/x-www-form-urlencoded",
    )
    assert Page(response).beside("reason") == UNFIT
    request.refresh_from_db()
    assert request.status == Status.PENDING


def test_the_workflow_itself_refuses_a_text_that_does_not_fit(decider):
    request = filed()
    for unfit in (template(decision="RETURNED"), template(is_active=False), template(system=UserTypeFactory().system)):
        with pytest.raises(workflow.MoveRefusedError, match="não serve para esta decisão"):
            workflow.move(request.pk, Status.REJECTED, by=decider, note="motivo", reason=unfit)
    assert request.events.count() == 1


# --- The texts themselves --------------------------------------------------------------------------------------------
def as_posted(**fields):
    values = {"decision": "REJECTED", "title": "Sem finalidade", "text": "Diga para que serve.", "is_active": "on"}
    return {**values, **fields}


def test_gestao_writes_a_text_and_retires_it_and_nobody_deletes_it(client):
    client.force_login(manager())
    assert client.post(f"{TEMPLATES}add/", as_posted(norm="LGPD, art. 6º")).status_code == 302
    made = ReasonTemplate.objects.get()
    assert made.wording == "Diga para que serve. (LGPD, art. 6º)"
    retired = as_posted()
    del retired["is_active"]
    assert client.post(f"{TEMPLATES}{made.pk}/change/", retired).status_code == 302
    made.refresh_from_db()
    assert not made.is_active
    assert client.post(f"{TEMPLATES}{made.pk}/delete/", {"post": "yes"}).status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": [made.pk], "post": "yes"}
    client.post(TEMPLATES, deletion)
    assert ReasonTemplate.objects.count() == 1
    assert "Sem finalidade" in Page(client.get(TEMPLATES)).text


@pytest.mark.parametrize("who", [analyst, lambda: EmploymentFactory().user, None])
def test_nobody_else_writes_texts(client, who):
    made = template()
    if who:
        client.force_login(who())
    for address in (f"{TEMPLATES}add/", f"{TEMPLATES}{made.pk}/change/"):
        assert client.post(address, as_posted(text="Outro texto.")).status_code in {302, 403}
    assert list(ReasonTemplate.objects.values_list("text", flat=True)) == ["Este perfil é só para magistrados."]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": "\u200b\u2060"}, "Escreva o texto: quem pediu vai ler."),
        ({"text": "a\0b"}, "Caracteres nulos não são permitidos."),
        ({"text": "a" * 1501}, "no máximo 1500 caracteres"),
        ({"title": "Perfil só para magistrados"}, "Já existe um modelo com este título."),
        ({"decision": "APPROVED"}, "Esta opção não está disponível"),
    ],
)
def test_a_text_that_cannot_be_gets_a_sentence_and_is_not_kept(client, fields, sentence):
    template()
    client.force_login(manager())
    response = client.post(f"{TEMPLATES}add/", as_posted(**fields))
    assert response.status_code == 200
    assert sentence in text_of(Page(response).one("form", id="reasontemplate_form"))
    assert ReasonTemplate.objects.count() == 1


def test_a_text_that_was_used_keeps_the_decision_that_it_is_counted_under(client, decider):
    used, unused = template(), template(title="Outro")
    workflow.move(filed().pk, Status.REJECTED, by=decider, reason=used)
    client.force_login(manager())
    for one in (used, unused):
        client.post(f"{TEMPLATES}{one.pk}/change/", as_posted(decision="RETURNED", title=one.title))
        one.refresh_from_db()
    assert (used.decision, unused.decision) == ("REJECTED", "RETURNED")
    assert used.text == "Diga para que serve."


@pytest.mark.parametrize("of_one_system", [True, False])
def test_a_text_that_was_used_does_not_take_the_title_of_another(client, decider, of_one_system):
    request = filed()
    system = request.system if of_one_system else None
    used, other = template(system=system), template(title="Outro", system=system)
    workflow.move(request.pk, Status.REJECTED, by=decider, reason=used)
    client.force_login(manager())
    posted = as_posted(title=other.title, system=system.pk if system else "")
    response = client.post(f"{TEMPLATES}{used.pk}/change/", posted)
    assert response.status_code == 200
    assert "Já existe um modelo com este título" in text_of(Page(response).one("form", id="reasontemplate_form"))
    used.refresh_from_db()
    assert used.title == "Perfil só para magistrados"


def test_a_text_keeps_its_lines_as_they_were_typed(client):
    client.force_login(manager())
    full = "Diga:\r\n" + "a" * (1500 - len("Diga:\n"))
    assert client.post(f"{TEMPLATES}add/", as_posted(text=full)).status_code == 302
    assert ReasonTemplate.objects.get().text == full.replace("\r\n", "\n")


# --- Notes -----------------------------------------------------------------------------------------------------------
NOTE = "Liguei para a chefia: só responde na segunda."


def annotate(client, request, text=NOTE):
    return client.post(screen(request, "anotar"), {"text": text})


def test_the_staff_read_each_others_notes_in_their_order(client, decider):
    request = filed()
    workflow.add_note(request.pk, "Primeira.", by=analyst(name="BIA LISTA"))
    response = annotate(client, request)
    assert (response.status_code, response.url) == (302, screen(request))
    client.force_login(manager())
    page = Page(client.get(screen(request)))
    notes = text_of(page.one("ol", class_="desk-notes"))
    assert notes.index("Bia Lista Primeira.") < notes.index(f"Ana Lista {NOTE}")
    assert not page.one("button", formaction=screen(request, "anotar"))  # reads, and writes none


@pytest.mark.parametrize("who", ["manager", "colleague", "requester", "nobody"])
def test_who_does_not_decide_writes_no_note(client, who):
    request = filed()
    users = {"manager": manager, "colleague": lambda: EmploymentFactory().user, "requester": lambda: request.requester}
    if who in users:
        client.force_login(users[who]())
    assert annotate(client, request).status_code in {302, 403}
    assert not InternalNote.objects.exists()


@pytest.mark.parametrize("quality", ["requester", "beneficiary"])
@pytest.mark.parametrize("is_staff", [True, False])
def test_who_asks_or_benefits_never_reads_a_note_not_even_as_staff(client, smtp_sink, quality, is_staff):
    request = filed(bond=EmploymentFactory())
    decider, person = analyst(), getattr(request, quality)
    workflow.add_note(request.pk, NOTE, by=decider)
    workflow.move(request.pk, Status.RETURNED, by=decider, note="Falta a portaria.")
    workflow.add_note(request.pk, NOTE + " E de novo.", by=decider)
    if is_staff:
        person.is_staff = True
        person.save()
        person.groups.add(Group.objects.get(name="Análise"))
    client.force_login(person)

    addresses = ["/", "/solicitacoes/", request.get_absolute_url(), "/conta/meus-dados/"]
    addresses += [f"{request.get_absolute_url()}corrigir/"] if quality == "requester" else []
    addresses += [QUEUE, screen(request), "/admin/"] if is_staff else []
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        assert "Liguei" not in response.content.decode(), address
    exported = b"".join(client.post("/conta/meus-dados/arquivo/", {"password": "jabuticaba no quintal azul"}))
    assert request.protocol.encode() in exported
    assert b"Liguei" not in exported
    outbox.send_due()
    assert smtp_sink.deliveries
    assert not any("Liguei" in mail.text(kind) for mail in smtp_sink.deliveries for kind in ("plain", "html"))

    if is_staff:
        assert NOT_YOUR_OWN in said(client.post(screen(request, "anotar"), {"text": "x y"}, follow=True))
        assert InternalNote.objects.count() == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Escreva a nota."),
        (" \r\n\u200b", "Escreva a nota."),
        ("a\0b", "Caracteres nulos não são permitidos."),
        ("é" * 2001, "no máximo 2000 caracteres"),
    ],
)
def test_a_note_that_cannot_be_gets_a_sentence_beside_it(client, decider, text, sentence):
    request = filed()
    response = annotate(client, request, text)
    assert response.status_code == 200
    assert sentence in Page(response).beside("text")
    assert not InternalNote.objects.exists()


def test_a_note_sent_twice_in_a_row_is_one(client, decider):
    request = filed()
    for text in (NOTE, NOTE, "Outra.", NOTE):
        annotate(client, request, text)
    assert list(InternalNote.objects.values_list("text", flat=True)) == [NOTE, "Outra.", NOTE]


def test_a_note_is_neither_changed_nor_taken_back(decider):
    made = workflow.add_note(filed().pk, NOTE, by=decider)
    for change in (lambda: InternalNote.objects.update(text="x"), made.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert InternalNote.objects.get().text == NOTE


# --- Decide and open the next ----------------------------------------------------------------------------------------
ON = {"opens_next": "on"}


def test_deciding_opens_the_next_that_is_mine_to_decide_and_says_what_was_done(client, decider):
    first = filed()
    filed(requester=EmploymentFactory(user=decider).user)  # one's own
    filed(bond=decider.employments.get())
    request_in(Status.IN_REVIEW)  # somebody else's
    request_in(Status.RETURNED)
    mine = filed()
    workflow.move(mine.pk, Status.IN_REVIEW, by=decider)
    last = filed()

    response = decide(client, first, "REJECTED", note="Falta a portaria.", **ON)
    assert response.url == screen(mine)
    assert said(client.get(response.url)) == [f"Solicitação {first.protocol} indeferida."]
    assert decide(client, mine, "RETURNED", note="Falta a portaria.", **ON).url == screen(last)

    response = decide(client, last, "APPROVED", **ON)
    assert response.url == QUEUE
    done = f"Solicitação {last.protocol} aprovada e acesso liberado. A pessoa recebe por e-mail como entrar."
    assert said(client.get(response.url))[-2:] == [done, "Nenhuma outra solicitação aguarda a sua decisão."]


def test_what_was_left_behind_comes_again_at_the_end_of_the_queue(client, decider):
    left, second, third = filed(), filed(), filed()
    assert decide(client, second, "REJECTED", note="motivo", **ON).url == screen(third)
    assert decide(client, third, "REJECTED", note="motivo", **ON).url == screen(left)


def test_who_takes_a_request_on_stays_with_it_and_who_lets_go_moves_on(client, decider):
    first, second = filed(), filed()
    assert decide(client, first, "IN_REVIEW", **ON).url == screen(first)
    assert decide(client, first, "PENDING", **ON).url == screen(second)


def test_from_registering_the_way_leads_to_the_next_to_register_first(client, decider):
    by_hand = UserTypeFactory(system__credential="OPERATOR")
    first, other = request_in(Status.APPROVED, user_type=by_hand), request_in(Status.APPROVED)
    waiting = filed()
    assert decide(client, first, "COMPLETED", sends_own="on", **ON).url == screen(other)
    assert decide(client, other, "COMPLETED", **ON).url == screen(waiting)


@pytest.mark.parametrize(
    "filters", ["sistema={0.user_type.system_id}", "q={0.beneficiary.name}", "situacao=PENDING&tipo={0.user_type_id}"]
)
def test_the_next_is_looked_for_in_the_list_as_it_was_left(client, decider, filters):
    user_type, bond = UserTypeFactory(), EmploymentFactory(user__name="JUREMA DO PANTANAL")
    unit_types = [user_type, user_type] if "q=" not in filters else [UserTypeFactory(), UserTypeFactory()]
    first = filed(user_type=unit_types[0], bond=bond)
    others = [filed(), filed()]
    second = filed(user_type=unit_types[1], **({"bond": bond} if "q=" in filters else {}))
    back = urlencode({"_changelist_filters": filters.format(first)})

    onward = client.post(f"{screen(first, 'decidir')}?{back}", {"to": "REJECTED", "note": "motivo", **ON})
    assert onward.url == f"{screen(second)}?{back}"
    end = client.post(f"{screen(second, 'decidir')}?{back}", {"to": "REJECTED", "note": "motivo", **ON})
    assert urlsplit(end.url).path == QUEUE
    assert parse_qs(urlsplit(end.url).query) == parse_qs(filters.format(first))
    assert said(client.get(end.url))[-1] == "Nenhuma outra solicitação desta lista aguarda a sua decisão."
    assert {AccessRequest.objects.get(pk=request.pk).status for request in others} == {Status.PENDING}


@pytest.mark.parametrize("filters", ["sistema=x&de=ontem&q=%00", "q=" + "9" * 400, "com=" + "9" * 400, "situacao=nada"])
def test_a_way_back_that_makes_no_sense_finds_the_next_or_says_that_there_is_none(client, decider, filters):
    request, _other = filed(), filed()
    back = urlencode({"_changelist_filters": filters})
    response = client.post(f"{screen(request, 'decidir')}?{back}", {"to": "REJECTED", "note": "motivo", **ON})
    assert response.status_code == 302
    assert client.get(response.url, follow=True).status_code == 200


def test_the_desk_remembers_who_goes_on_to_the_next(client, decider):
    def ticked(request):
        [box] = Page(client.get(screen(request))).controls("opens_next")
        return "checked" in dict(box.attributes)

    first, second, third = filed(), filed(), filed()
    assert not ticked(first)
    decide(client, first, "REJECTED", note="motivo", **ON)
    assert ticked(second)
    assert decide(client, second, "REJECTED", note="motivo").url == screen(second)
    assert not ticked(third)


def test_a_refused_decision_opens_nothing(client, decider):
    request = filed()
    filed()
    response = decide(client, request, "REJECTED", **ON)
    assert response.status_code == 200
    assert "checked" in dict(Page(response).controls("opens_next")[0].attributes)


# --- What stands in the way ------------------------------------------------------------------------------------------
def test_what_is_wrong_is_said_above_the_page_with_a_way_to_the_field(client, decider):
    request = filed(user_type=UserTypeFactory(system__credential="OPERATOR"))
    response = decide(client, request, "REJECTED")
    summary = Page(response).one("div", role="alert")
    assert "data-error-summary" in dict(summary.attributes)
    [link] = [element for element in walk(summary) if element.name == "a"]
    assert text_of(link).startswith("Motivo: Escreva o motivo")
    assert Page(response).one("textarea", id=dict(link.attributes)["href"].removeprefix("#"))

    workflow.move(request.pk, Status.APPROVED, by=decider)
    said_of = text_of(Page(decide(client, request, "COMPLETED", sends_own="")).one("ul", class_="errorlist"))
    assert "Login no outro sistema: Digite" in said_of
    assert "Primeira senha no outro sistema: Digite" in said_of
    assert "Nova nota: Escreva a nota." in refusal(annotate(client, request, ""))
    assert not Page(client.get(screen(request))).one("ul", class_="errorlist")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (Status.PENDING, "Esta solicitação não pode ser aprovada como está. SIEL – Consulta não aceita pedidos"),
        (Status.APPROVED, "O acesso não pode ser registrado como está. SIEL – Consulta não aceita pedidos"),
    ],
)
def test_what_forbids_an_approval_is_said_before_anything_is_typed(client, decider, status, sentence):
    user_type = UserTypeFactory(name="Consulta", system__name="SIEL", system__credential="OPERATOR")
    request = request_in(status, user_type=user_type)
    assert "como está" not in Page(client.get(screen(request))).text
    user_type.is_active = False
    user_type.save()
    assert sentence in Page(client.get(screen(request))).text


def test_who_has_taken_a_request_on_is_named_beside_the_buttons_and_to_who_is_too_late(client, decider):
    request, mine = filed(), filed()
    workflow.move(mine.pk, Status.IN_REVIEW, by=decider)
    workflow.move(request.pk, Status.IN_REVIEW, by=analyst(name="BIA LISTA"))
    assert "Bia Lista assumiu esta solicitação." in Page(client.get(screen(request))).text
    assert "assumiu esta solicitação" not in Page(client.get(screen(mine))).text
    assert f"{request.protocol} já está em análise com Bia Lista." in refusal(decide(client, request, "IN_REVIEW"))


# --- What was typed, and another button pressed ----------------------------------------------------------------------
HALF = {"note": "Falta o ato de", "login": "maria.souza", "password": "Capim dourado 88", "renew_password": "on"}


def shown(page):
    """What stands in the fields of the page, where there is something."""
    return {name: page.value(name) for name in ("reason", "note", "text", "login", "password") if page.value(name)}


@pytest.mark.parametrize("button", ["anotar", "despacho", "mostrar"])
def test_a_reason_that_is_half_written_comes_back_with_the_page(client, decider, button):
    reason = template()
    sent = {**HALF, "reason": reason.pk, **({"text": "Liguei."} if button == "anotar" else {})}
    request, other = filed(), filed()
    response = client.post(screen(request, button), sent, follow=True)

    wanted = {"reason": str(reason.pk), "note": HALF["note"]}
    assert shown(Page(response)) == wanted
    assert shown(Page(client.get(screen(request)))) == wanted  # another day, or after another page
    assert shown(Page(client.get(screen(other)))) == {}
    kept = str(dict(client.session))
    assert HALF["login"] not in kept
    assert HALF["password"] not in kept

    decide(client, request, "REJECTED", note="Falta o ato de designação.")
    request.refresh_from_db()
    assert request.status == Status.REJECTED
    assert shown(Page(client.get(screen(request)))) == {}


def test_to_look_at_the_cpf_loses_no_reason(client, decider):
    request = request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential="OPERATOR"))
    response = client.post(screen(request, "mostrar"), HALF | {"sends_own": "on"})
    page = Page(response)
    assert formatted(request.beneficiary.cpf) in page.text
    assert page.value("note") == HALF["note"]
    assert page.value("login") == HALF["login"]
    assert not page.value("password")
    assert "checked" in dict(page.controls("sends_own")[0].attributes)


def test_a_note_that_is_half_written_waits_until_it_is_kept(client, decider):
    request = filed()
    decide(client, request, "IN_REVIEW", text="Liguei, e")
    assert Page(client.get(screen(request))).value("text").strip() == "Liguei, e"
    refused = decide(client, request, "REJECTED", text="Liguei, e ninguém")
    assert Page(refused).value("text").strip() == "Liguei, e ninguém"
    annotate(client, request, "Liguei, e ninguém atendeu.")
    assert not Page(client.get(screen(request))).value("text").strip()


def test_of_five_requests_what_is_half_written_is_kept_and_no_more_than_the_field_takes(client, decider):
    requests = [filed() for _ in range(7)]
    for request in requests:
        client.post(screen(request, "anotar"), {"text": "Nota.", "note": f"{request.pk}\0" + "é" * 5_000})
    found = [bool(Page(client.get(screen(request))).value("note").strip()) for request in requests]
    assert found == [False] * 2 + [True] * 5
    assert len(str(dict(client.session))) < 5 * 2_100 + 1_000


# --- Somebody else meanwhile -----------------------------------------------------------------------------------------
def seen_on(page):
    return page.value("seen")


def test_what_somebody_did_meanwhile_is_shown_and_not_overwritten(client, decider):
    request = filed()
    seen = seen_on(Page(client.get(screen(request))))
    workflow.move(request.pk, Status.IN_REVIEW, by=analyst(name="BIA LISTA"), note="Vou ligar para a chefia.")

    response = decide(client, request, "REJECTED", note="O que eu já tinha escrito.", seen=seen, **ON)

    assert response.status_code == 409
    page = Page(response)
    assert f"A solicitação {request.protocol} mudou depois que você abriu esta página." in refusal(response)
    assert "Vou ligar para a chefia." in text_of(page.one("table", class_="desk-history"))
    assert page.value("note") == "O que eu já tinha escrito."
    request.refresh_from_db()
    assert (request.status, request.events.count()) == (Status.IN_REVIEW, 2)

    response = decide(client, request, "REJECTED", note=page.value("note"), seen=seen_on(page))
    assert response.status_code == 302


def test_a_page_that_comes_back_for_another_mistake_tells_of_it_as_well(client, decider):
    request = filed()
    seen = seen_on(Page(client.get(screen(request))))
    workflow.move(request.pk, Status.IN_REVIEW, by=analyst())
    response = decide(client, request, "REJECTED", note="", seen=seen)
    assert "mudou depois que você abriu esta página" in refusal(response)
    assert Page(response).beside("note").startswith("Escreva o motivo")


def test_a_note_of_a_colleague_does_not_stop_a_decision(client, decider):
    request = filed()
    seen = seen_on(Page(client.get(screen(request))))
    workflow.add_note(request.pk, NOTE, by=analyst())
    assert decide(client, request, "REJECTED", note="motivo", seen=seen).status_code == 302


def test_what_was_typed_is_not_lost_where_there_is_nothing_left_to_decide(client, decider):
    request = filed()
    seen = seen_on(Page(client.get(screen(request))))
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    response = decide(client, request, "REJECTED", note="O que eu já tinha escrito.", seen=seen)
    assert response.status_code == 409
    assert "Talvez outra pessoa já a tenha decidido" in refusal(response)
    page = Page(response)
    assert (page.value("note"), page.all("button", name="to")) == ("O que eu já tinha escrito.", [])
    request.refresh_from_db()
    assert request.status == Status.COMPLETED


@pytest.mark.parametrize("seen", ["abc", "-1", "1.5", "1e9", "½", "9" * 30, "9" * 5000, "1\0", "' OR 1=1", "[]"])
def test_a_forged_mark_of_what_was_seen_is_refused_with_a_sentence(client, decider, seen):
    request = filed()
    response = decide(client, request, "REJECTED", note="motivo", seen=seen)
    assert refusal(response) == "Esta página veio alterada. Confira o andamento e decida de novo."
    assert Page(response).value("note") == "motivo"
    request.refresh_from_db()
    assert request.status == Status.PENDING


# --- The civil name --------------------------------------------------------------------------------------------------
CIVIL = "JOÃO CARLOS FIGUEIRÓ"
BY_HAND = {"system__credential": "OPERATOR"}


def of_somebody_with_a_social_name(**fields):
    bond = EmploymentFactory(user__name=CIVIL, user__social_name="Joana Figueiró")
    return filed(bond=bond, user_type=UserTypeFactory(**BY_HAND), **fields)


def test_the_civil_name_is_shown_once_to_who_registers_and_the_look_is_recorded(client, decider):
    request = of_somebody_with_a_social_name()
    workflow.move(request.pk, Status.APPROVED, by=decider)
    before = client.get(screen(request)).content.decode()
    assert CIVIL not in before
    assert not SecurityEvent.objects.filter(kind="DISCLOSED").exists()

    response = client.post(screen(request, "mostrar"))

    page = text_of(Page(response).one("section", class_="desk-sheet"))
    for fact in (CIVIL, "Joana Figueiró", formatted(request.beneficiary.cpf), request.beneficiary.email):
        assert fact in page
    event = SecurityEvent.objects.get(kind="DISCLOSED")
    assert (event.user, event.actor) == (request.beneficiary, decider)
    assert event.detail == f"CPF, e-mail e nome civil; solicitação {request.protocol}"
    after = client.get(screen(request)).content.decode()
    assert (CIVIL in after, formatted(request.beneficiary.cpf) in after) == (False, False)


def test_who_registers_in_a_system_that_mails_its_own_credential_types_the_civil_name_as_well(client, decider):
    bond = EmploymentFactory(user__name=CIVIL, user__social_name="Joana Figueiró")
    request = filed(bond=bond, user_type=UserTypeFactory(system__credential="OWN"))
    workflow.move(request.pk, Status.APPROVED, by=decider)
    assert Page(client.get(screen(request))).one("button", formaction=screen(request, "mostrar"))

    sheet = text_of(Page(client.post(screen(request, "mostrar"))).one("section", class_="desk-sheet"))

    assert (CIVIL in sheet, formatted(bond.user.cpf) in sheet) == (True, True)
    assert SecurityEvent.objects.get(kind="DISCLOSED").actor == decider


@pytest.mark.parametrize("state", ["other system", "pending", "decided", "own", "nobody's"])
def test_the_civil_name_is_not_shown_where_nobody_is_to_be_registered(client, decider, state):
    if state == "other system":
        request = filed(bond=EmploymentFactory(user__name=CIVIL, user__social_name="Joana Figueiró"))
    elif state == "own":
        request = of_somebody_with_a_social_name(requester=EmploymentFactory(user=decider).user)
    else:
        request = of_somebody_with_a_social_name()
    if state == "decided":
        workflow.move(request.pk, Status.REJECTED, by=decider, note="motivo")
    if state == "nobody's":
        client.force_login(manager())
    assert not Page(client.get(screen(request))).one("button", formaction=screen(request, "mostrar"))

    response = client.post(screen(request, "mostrar"), follow=True)

    assert response.status_code == (403 if state == "nobody's" else 200)
    assert CIVIL not in response.content.decode()
    assert not SecurityEvent.objects.filter(kind="DISCLOSED").exists()


@pytest.mark.parametrize("method", ["get", "head"])
def test_fault_19_nothing_is_disclosed_or_noted_but_by_post(client, decider, method):
    request = of_somebody_with_a_social_name()
    for step in ("mostrar", "anotar"):
        response = getattr(client, method)(f"{screen(request, step)}?text=x")
        assert (response.status_code, response.url) == (302, screen(request))
    assert not SecurityEvent.objects.filter(kind="DISCLOSED").exists()
    assert not InternalNote.objects.exists()


def test_the_civil_name_stands_nowhere_else(client, smtp_sink):
    """Staff and public pages, searches, mails and the records, for whoever has a social name."""
    decider = analyst()
    request = of_somebody_with_a_social_name(requester=EmploymentFactory(user__name="QUEM PEDE").user)
    person = request.beneficiary
    workflow.move(request.pk, Status.IN_REVIEW, by=decider, note="motivo")
    workflow.move(request.pk, Status.APPROVED, by=decider)
    workflow.move(request.pk, Status.COMPLETED, by=decider, typed=workflow.Typed("joana", "Capim dourado 88"))
    client.force_login(decider)
    client.post(screen(request, "mostrar"))
    client.post(f"/admin/accounts/user/{person.pk}/mostrar/")
    grant = AccessGrant.objects.get()
    desk = [
        "",
        "requests_app/accessrequest/?situacao=todas&q=joana",
        "requests_app/accessgrant/",
        "accounts/user/?q=joao",
    ]
    desk += [f"requests_app/accessrequest/{request.pk}/change/", f"requests_app/accessgrant/{grant.pk}/change/"]
    desk += [f"accounts/user/{person.pk}/change/", "accounts/outgoingmail/", f"accounts/user/{person.pk}/history/"]
    for user, staff_pages in ((decider, desk), (manager(), desk), (superuser(), [*desk, "accounts/securityevent/"])):
        client.force_login(user)
        for page in staff_pages:
            response = client.get(f"/admin/{page}", follow=True)
            assert response.status_code == 200, page
            if page not in {"", "accounts/outgoingmail/"} and not page.endswith("/history/"):
                assert "Joana" in response.content.decode(), page
            assert "Carlos" not in response.content.decode().title(), page
    disclosed = client.post(f"/admin/accounts/user/{person.pk}/mostrar/").content.decode()
    assert formatted(person.cpf) in disclosed
    assert "Carlos" not in disclosed.title()
    for user in (request.requester, person):
        client.force_login(user)
        for page in ("/", "/solicitacoes/", request.get_absolute_url(), "/pessoas/busca/?q=joao+carlos"):
            assert "Carlos" not in client.get(page).content.decode().title(), page
    outbox.send_due()
    assert len(smtp_sink.deliveries) >= 3
    assert not any("Carlos" in mail.text(kind).title() for mail in smtp_sink.deliveries for kind in ("plain", "html"))


def test_a_social_name_taken_after_the_request_was_filed_is_the_one_on_the_screen(client, decider):
    bond, requester = EmploymentFactory(user__name=CIVIL), EmploymentFactory(user__name="PEDRO LUZ").user
    request = filed(bond=bond, requester=requester)
    for user, name in ((bond.user, "Joana Figueiró"), (requester, "Petra Luz")):
        user.social_name = name
        user.save()
    page = text_of(Page(client.get(screen(request))).one("div", class_="desk-decide"))
    for name, now in (("João Carlos", False), ("Joana", True), ("Pedro", False), ("Petra Luz", True)):
        assert (name in page) is now, name


def test_a_manager_gives_a_social_name_and_the_civil_one_leaves_the_form_and_the_records(client):
    person, by = UserFactory(name="PEDRO LUZ"), manager()
    client.force_login(by)
    place = f"/admin/accounts/user/{person.pk}/change/"
    formset = {f"employments-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    posted = {"name": "PEDRO DA LUZ", "social_name": "Petra Luz", "phone": "", "is_active": "on"}
    assert client.post(place, {**posted, **formset}).status_code == 302
    person.refresh_from_db()
    assert (person.name, person.display_name) == ("PEDRO DA LUZ", "Petra Luz")
    details = SecurityEvent.objects.filter(kind="PERSON_CHANGED").values_list("detail", flat=True)
    assert "Nome civil: alterado" in details
    assert not any("PEDRO" in detail for detail in details)
    page = Page(client.get(place))
    assert (page.controls("name"), "PEDRO" in page.text.upper()) == ([], False)
    client.post(place, {**posted, "name": "OUTRO", **formset})
    person.refresh_from_db()
    assert person.name == "PEDRO DA LUZ"


# --- Registering by hand ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("typed", [" Capim dourado 88", "Capim dourado 88 "])
def test_a_first_password_with_a_space_at_an_end_is_not_changed_in_silence(client, decider, typed):
    request = filed(user_type=UserTypeFactory(**BY_HAND))
    workflow.move(request.pk, Status.APPROVED, by=decider)
    response = decide(client, request, "COMPLETED", login="joana", password=typed)
    assert "A senha tem espaço no começo ou no fim: confira." in Page(response).text
    assert not AccessGrant.objects.exists()


def test_who_registers_an_access_is_told_that_and_not_that_it_was_approved(client, decider):
    request = filed(user_type=UserTypeFactory(**BY_HAND))
    workflow.move(request.pk, Status.APPROVED, by=decider)
    response = decide(client, request, "COMPLETED", login="joana", password="Capim dourado 88")
    done = f"Acesso da solicitação {request.protocol} registrado. A pessoa recebe um e-mail."
    assert said(client.get(response.url)) == [done]


def test_a_stale_page_registers_nobody_twice_and_gives_no_password_back(client, decider):
    request = request_in(Status.APPROVED, user_type=UserTypeFactory(**BY_HAND))
    seen = seen_on(Page(client.get(screen(request))))
    typed = {"login": "joana", "password": "Capim dourado 88"}
    decide(client, request, "COMPLETED", seen=seen, **typed)
    response = decide(client, request, "COMPLETED", seen=seen, login="outra", password="Buriti alto 77")
    assert response.status_code == 409
    assert "Buriti alto 77" not in response.content.decode()
    assert [(one.login, bool(one.password)) for one in TypedCredential.objects.all()] == [("joana", True)]


# --- What the desk says ----------------------------------------------------------------------------------------------
def test_what_is_said_when_a_person_or_a_unit_was_stored_is_portuguese(client):
    client.force_login(superuser())
    person, unit = UserFactory(), UnitFactory()
    formset = {f"employments-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    posted = {"name": "OUTRO NOME", "social_name": "", "phone": "", "is_active": "on", **formset}
    response = client.post(f"/admin/accounts/user/{person.pk}/change/", posted, follow=True)
    assert said(response) == ["O cadastro da pessoa foi alterado."]
    posted = {"code": unit.code, "name": "Vara Única", "comarca": "Bonito"}
    response = client.post(f"/admin/accounts/unit/{unit.pk}/change/", posted, follow=True)
    assert said(response) == ["A unidade foi gravada."]
