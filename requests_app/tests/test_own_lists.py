"""Minhas solicitações and Meus acessos: what is found there, by whom, and giving up what one needs no longer."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import outbox
from accounts.models import OutgoingMail
from accounts.tests.factories import EmploymentFactory, UnitFactory
from requests_app import workflow
from requests_app.models import AccessGrant, AccessRequest, GrantEvent, GrantStatus, Status
from requests_app.workflow import MoveRefusedError

from .factories import UserTypeFactory, analyst, grant_of, head_of, request_in, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

LIST = "/solicitacoes/"
ACCESSES = "/acessos/"
NO_LONGER = "A pessoa informou que não precisa mais deste acesso."


@pytest.fixture
def bond(client):
    bond = EmploymentFactory(user__name="MARIA LIMA")
    client.force_login(bond.user)
    return bond


@pytest.fixture
def person(bond):
    return bond.user


def filed(**fields):
    return workflow.file(unsaved_request(**fields))


def protocols_on(response):
    return [text_of(cell) for cell in Page(response).all("th", scope="row")]


def systems_on(response):
    [names] = [page.all("ul", class_="accesses") for page in [Page(response)]] or [[]]
    return [text_of(element) for one in names for element in walk(one) if element.name == "h2"]


def place(grant):
    return f"{ACCESSES}{grant.pk}/encerrar/"


def queries(client, address):
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


# --- Minhas solicitações ---------------------------------------------------------------------------------------------
@pytest.fixture
def three(person, bond):
    """One that I made for myself, one for somebody else, one that somebody made for me; and strangers' of the same."""
    bnmp, siel = UserTypeFactory(system__name="BNMP 2.0"), UserTypeFactory(system__name="SIEL Eleições")
    filed(user_type=bnmp)
    filed(user_type=siel)
    return {
        "own": filed(requester=person, bond=bond, user_type=bnmp),
        "for another": filed(requester=person, user_type=siel),
        "for me": filed(bond=bond, user_type=siel),
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"for": "mim"}, {"own", "for me"}),
        ({"for": "outros"}, {"for another"}),
        ({"for": "todos"}, {"own", "for another", "for me"}),
        ({"q": "bnmp"}, {"own"}),
        ({"q": "eleicoes siel"}, {"for another", "for me"}),
        ({"q": "siel", "for": "mim"}, {"for me"}),
        ({"q": "siel", "for": "mim", "status": "COMPLETED"}, set()),
        ({"q": "%%%"}, set()),
    ],
)
def test_the_list_is_filtered_by_whom_it_is_for_and_searched_by_system(client, three, asked, found):
    assert set(protocols_on(client.get(LIST, asked))) == {three[key].protocol for key in found}


@pytest.mark.parametrize("typed", ["EXT0000001", "ext00", "EXT"])
def test_the_list_is_searched_by_a_matricula_with_letters(client, person, typed):
    wanted = filed(requester=person, bond=EmploymentFactory(matricula="EXT0000001"))
    filed(requester=person)

    assert protocols_on(client.get(LIST, {"q": typed})) == [wanted.protocol]


def test_the_list_is_filtered_by_system_and_by_no_system_that_is_not_there(client, three):
    siel = three["for me"].system.pk
    expected = {three["for me"].protocol, three["for another"].protocol}
    assert set(protocols_on(client.get(LIST, {"system": siel}))) == expected
    for odd in ("0", "x", "9" * 30, "\0"):
        assert len(protocols_on(client.get(LIST, {"system": odd}))) == 3


def test_all_that_was_chosen_stays_on_the_page_and_in_the_address_of_the_next(client, person):
    user_type = UserTypeFactory()
    for _ in range(21):
        filed(requester=person, user_type=user_type)
    asked = {"q": "servidora", "status": "PENDING", "system": str(user_type.system_id), "for": "outros"}
    page = Page(client.get(LIST, asked))
    assert {name: page.value(name) for name in asked} == asked
    onward = dict(page.one("a", rel="next").attributes)["href"]
    assert parse_qs(urlsplit(onward).query) == {**{name: [value] for name, value in asked.items()}, "page": ["2"]}


def test_the_list_says_what_to_do_where_nothing_was_found(client, person):
    filed(requester=person)
    page = Page(client.get(LIST, {"for": "mim"}))
    assert "Confira o que digitou, escolha outra situação ou veja a lista toda." in page.text
    assert page.one("a", href=LIST)


def test_300_requests_are_listed_with_as_many_queries_as_one_and_three(client, person):
    first = filed(requester=person)

    def more(count):
        year = AccessRequest.objects.count()
        copies = []
        for number in range(count):
            copy = unsaved_request(requester=person, bond=first.employment, user_type=first.user_type)
            copy.protocol, copy.status = f"2001-{year + number:06}", Status.CANCELLED
            copies.append(copy)
        AccessRequest.objects.bulk_create(copies)

    counts = [queries(client, LIST + "?q=maria&for=outros")]
    more(2)
    counts.append(queries(client, LIST + "?q=maria&for=outros"))
    more(297)
    counts.append(queries(client, LIST + "?q=maria&for=outros"))
    assert AccessRequest.objects.count() == 300
    assert len(set(counts)) == 1


def test_no_more_rows_are_counted_than_pages_are_turned(client, person, monkeypatch):
    monkeypatch.setattr("accounts.desk.CappedPaginator.most", 2)
    for _ in range(3):
        filed(requester=person)
    assert "Mais de 2 solicitações." in Page(client.get(LIST)).text


# --- Meus acessos ----------------------------------------------------------------------------------------------------
def test_the_list_has_all_that_i_have_and_had_and_nothing_of_others(client, bond):
    for name, status in (("Sistema D", "REVOKED"), ("Sistema C", "EXPIRED"), ("Sistema B", "ACTIVE")):
        grant_of(bond, user_type=UserTypeFactory(system__name=name), status=status)
    grant_of(bond, user_type=UserTypeFactory(system__name="Sistema E"), status="SUSPENDED")
    grant_of(EmploymentFactory(), user_type=UserTypeFactory(system__name="Sistema alheio"))

    response = client.get(ACCESSES)

    assert systems_on(response) == ["Sistema B", "Sistema E", "Sistema C", "Sistema D"]  # what has not ended first
    assert "alheio" not in response.content.decode()


def test_an_access_says_all_that_its_holder_needs_to_know(client, bond):
    user_type = UserTypeFactory(
        name="Consulta",
        system__name="BNMP 2.0",
        system__url="https://bnmp.cnj.jus.br/",
        system__instructions="Entre pelo menu Consulta.",
    )
    unit = UnitFactory(name="3ª Vara Criminal")
    request = request_in(Status.COMPLETED, bond=bond, user_type=user_type, unit=unit)
    grant = grant_of(bond, user_type=user_type, unit=unit, request=request, expires_on=date(2099, 1, 2))

    page = Page(client.get(ACCESSES))

    since = timezone.localtime(grant.granted_at).strftime("%d/%m/%Y")
    for fact in (
        "BNMP 2.0",
        "Consulta",
        "3ª Vara Criminal",
        f"desde {since} , até 02/01/2099",
        "Ativo. Você pode usar o sistema.",
        "use o seu CPF e a senha deste portal.",
        "Entre pelo menu Consulta.",
        f"Solicitação {request.protocol}",
    ):
        assert fact in page.text
    assert page.one("a", href="https://bnmp.cnj.jus.br/")
    assert page.one("a", href=f"/solicitacoes/{request.protocol}/")
    assert page.one("a", href=place(grant))
    assert "Pedir de novo" not in page.text
    assert bond.user.cpf not in client.get(ACCESSES).content.decode()


@pytest.mark.parametrize(
    ("credential", "sentence"),
    [
        ("PORTAL", "use o seu CPF e a senha deste portal."),
        ("OPERATOR", "use o login e a senha que recebeu por e-mail."),
        ("OWN", "o próprio sistema envia a senha."),
    ],
)
def test_an_access_says_how_one_gets_in(client, bond, credential, sentence):
    grant_of(bond, user_type=UserTypeFactory(system__credential=credential))
    assert f"Como entrar: {sentence}" in Page(client.get(ACCESSES)).text


@pytest.mark.parametrize("status", ["REVOKED", "EXPIRED"])
def test_what_has_ended_can_be_asked_again_where_there_was_a_request(client, bond, status):
    request = request_in(Status.COMPLETED, bond=bond)
    grant = grant_of(bond, user_type=request.user_type, request=request, status=status)
    older = grant_of(bond, status=status)

    page = Page(client.get(ACCESSES))

    again = [dict(link.attributes)["href"] for link in page.all("a") if "Pedir de novo" in text_of(link)]
    assert again == [f"/solicitacoes/nova/?de={request.protocol}"]
    assert "Como entrar" not in page.text
    for over in (grant, older):
        assert not page.one("a", href=place(over))


def test_who_has_no_bond_any_more_is_not_offered_to_ask_again(client, bond):
    request = request_in(Status.COMPLETED, bond=bond)
    grant_of(bond, user_type=request.user_type, request=request, status="REVOKED")
    bond.user.employments.update(ended_on=timezone.localdate() - timedelta(days=1))
    assert "Pedir de novo" not in Page(client.get(ACCESSES)).text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"q": "bnmp"}, ["BNMP 2.0"]),
        ({"q": "magistrado"}, ["SIEL Eleições"]),
        ({"q": "eleicoes magistr"}, ["SIEL Eleições"]),
        ({"q": "e%"}, ["SIEL Eleições"]),
        ({"q": "alheio"}, []),
        ({"q": "%"}, []),
        ({"status": "LIVE"}, ["BNMP 2.0"]),
        ({"status": "REVOKED"}, ["SIEL Eleições"]),
        ({"status": "x\0"}, ["BNMP 2.0", "SIEL Eleições"]),
    ],
)
def test_accesses_are_searched_by_system_and_user_type_and_filtered_by_status(client, bond, asked, found):
    grant_of(bond, user_type=UserTypeFactory(name="Consulta", system__name="BNMP 2.0"))
    grant_of(bond, user_type=UserTypeFactory(name="Magistrado", system__name="SIEL Eleições"), status="REVOKED")
    grant_of(EmploymentFactory(), user_type=UserTypeFactory(system__name="Sistema alheio"))
    response = client.get(ACCESSES, asked)
    assert systems_on(response) == found
    if not found:
        assert "Nenhum acesso foi encontrado com este filtro." in Page(response).text


def test_who_has_no_access_is_told_how_to_ask_for_one(client, bond):
    grant_of(EmploymentFactory())
    page = Page(client.get(ACCESSES))
    assert "Você não tem nenhum acesso liberado por este portal." in page.text
    assert page.one("a", href="/solicitacoes/nova/")


def test_the_menu_and_the_first_page_lead_to_my_accesses(client, bond):
    links = Page(client.get("/")).all("a", href=ACCESSES)
    assert len(links) >= 2
    assert Page(client.get(ACCESSES)).one("a", href=ACCESSES, aria_current="page")


def test_300_accesses_are_listed_with_as_many_queries_as_one_and_three(client, bond):
    grant_of(bond)

    def more(count):
        for grant in AccessGrant.objects.bulk_create(
            AccessGrant(user=bond.user, user_type=UserTypeFactory()) for _ in range(count)
        ):
            GrantEvent.objects.create(grant=grant, to_status="ACTIVE")

    counts = [queries(client, ACCESSES + "?q=perfil")]
    more(2)
    counts.append(queries(client, ACCESSES + "?q=perfil"))
    more(297)
    counts.append(queries(client, ACCESSES + "?q=perfil"))
    assert AccessGrant.objects.count() == 300
    assert len(set(counts)) == 1
    assert "300 acessos, página 1 de 15." in Page(client.get(ACCESSES)).text


def test_anonymous_people_are_asked_who_they_are(client):
    grant = grant_of(EmploymentFactory())
    for response in (client.get(ACCESSES), client.get(place(grant)), client.post(place(grant))):
        assert (response.status_code, urlsplit(response.url).path) == (302, "/entrar/")
    grant.refresh_from_db()
    assert grant.status == GrantStatus.ACTIVE


# --- Não preciso mais ------------------------------------------------------------------------------------------------
def test_the_page_asks_whether_it_is_meant_and_opening_it_changes_nothing(client, bond):
    grant = grant_of(bond, user_type=UserTypeFactory(name="Consulta", system__name="BNMP 2.0"))
    page = Page(client.get(place(grant)))
    for fact in ("BNMP 2.0", "Consulta", "A Coordenadoria vai encerrar este acesso"):
        assert fact in page.text
    grant.refresh_from_db()
    assert grant.status == GrantStatus.ACTIVE


@pytest.mark.parametrize("status", [GrantStatus.ACTIVE, GrantStatus.SUSPENDED])
@pytest.mark.parametrize(
    ("note", "kept"), [("Mudei de setor.", "Mudei de setor."), ("", NO_LONGER), ("\u200b", NO_LONGER)]
)
def test_the_holder_gives_up_and_the_coordenadoria_sees_who_and_why_and_revokes(
    client, smtp_sink, bond, status, note, kept
):
    grant = grant_of(bond, status=status)

    response = client.post(place(grant), {"note": note, "to": "REVOKED"}, follow=True)

    assert response.redirect_chain == [(ACCESSES, 302)]
    page = Page(response)
    assert page.notices == ["Aviso enviado à Coordenadoria. Ela vai encerrar o acesso, e você recebe um e-mail."]
    assert f"Você avisou em {timezone.localdate():%d/%m/%Y} que não precisa mais dele." in page.text
    stays = "suspenso" if status == GrantStatus.SUSPENDED else "em vigor"
    assert f"Ele continua {stays} até a Coordenadoria decidir." in page.text
    grant.refresh_from_db()
    last = grant.events.last()
    assert (grant.status, last.from_status, last.actor, last.note) == ("TO_REVOKE", status, bond.user, kept)
    assert not OutgoingMail.objects.exists()

    client.force_login(analyst())
    desk = Page(client.get("/admin/requests_app/accessgrant/", {"status__exact": "TO_REVOKE"}))
    assert [text_of(cell) for cell in desk.all("th", class_="field-user_name")] == ["Maria Lima"]
    change = f"/admin/requests_app/accessgrant/{grant.pk}/change/"
    assert "Maria Lima pediu o fim deste acesso" in Page(client.get(change)).text
    assert kept in Page(client.get(change)).text
    client.post(change.replace("change", "mover"), {"to": "REVOKED", "note": "Conforme o seu aviso."})

    outbox.send_due()
    [mail] = smtp_sink.to(bond.user.email)  # one, though it is both holder and who asked
    assert "revogou o seu acesso" in mail.text()
    client.force_login(bond.user)
    assert f"Terminou em {timezone.localdate():%d/%m/%Y}." in Page(client.get(ACCESSES)).text


def test_who_gave_up_hears_where_the_access_is_kept(client, smtp_sink, bond):
    grant = grant_of(bond, user_type=UserTypeFactory(system__name="BNMP 2.0"))
    client.post(place(grant))
    workflow.move_grant(grant.pk, GrantStatus.ACTIVE, by=analyst(), note="Combinado por telefone.")
    outbox.send_due()
    [mail] = smtp_sink.to(bond.user.email)
    assert "Você avisou que não precisa mais do seu acesso" in " ".join(mail.text().split())
    assert "do acesso de" not in " ".join(mail.text().split())
    assert "Combinado por telefone." in mail.text()


@pytest.mark.parametrize("status", [GrantStatus.TO_REVOKE, GrantStatus.REVOKED, GrantStatus.EXPIRED])
def test_what_is_ending_or_over_cannot_be_given_up_and_it_is_said(client, bond, status):
    grant = grant_of(bond, status=status)
    assert not Page(client.get(place(grant))).controls("note")

    response = client.post(place(grant), {"note": "De novo."})

    assert f"O acesso está “{status.label}” e não pode passar para “A revogar”." in Page(response).text
    grant.refresh_from_db()
    assert (grant.status, grant.events.count()) == (status, 1)


def test_another_asked_for_the_end_and_the_holder_is_not_told_that_it_was_them(client, bond):
    grant = grant_of(bond)
    workflow.move_grant(grant.pk, GrantStatus.TO_REVOKE, by=head_of(bond.unit), note="Mudou de setor.")
    text = Page(client.get(ACCESSES)).text
    assert "O fim deste acesso foi pedido." in text
    assert "Você avisou" not in text


@pytest.mark.parametrize("who", ["colleague", "head", "analyst"])
def test_fault_20_nobody_gives_up_an_access_of_somebody_else(client, who):
    bond = EmploymentFactory(user__name="JOÃO SIGILO")
    grant = grant_of(bond)
    people = {"colleague": lambda: EmploymentFactory().user, "head": lambda: head_of(bond.unit), "analyst": analyst}
    client.force_login(people[who]())
    gone = place(AccessGrant(pk=10**15))
    for address in (place(grant), gone):
        for response in (client.get(address), client.post(address, {"note": "Não precisa."})):
            assert response.status_code == 404
            assert "Sigilo" not in response.content.decode()
    grant.refresh_from_db()
    assert (grant.status, grant.events.count()) == (GrantStatus.ACTIVE, 1)


@pytest.mark.parametrize("to", [GrantStatus.SUSPENDED, GrantStatus.REVOKED, GrantStatus.EXPIRED])
def test_the_holder_who_decides_elsewhere_makes_no_other_move(to):
    bond = EmploymentFactory(user=analyst())
    grant = grant_of(bond)
    with pytest.raises(MoveRefusedError, match="Ninguém decide sobre um acesso que tem"):
        workflow.move_grant(grant.pk, to, by=bond.user, note="motivo")
    assert grant.events.count() == 1


@pytest.mark.parametrize("note", ["a\0b", "a" * 501])
def test_a_reason_that_cannot_be_stored_is_asked_for_again(client, bond, note):
    grant = grant_of(bond)
    response = client.post(place(grant), {"note": note})
    assert Page(response).beside("note")
    assert grant.events.count() == 1
