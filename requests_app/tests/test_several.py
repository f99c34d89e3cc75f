"""Pedir para várias pessoas: the list, the table of what was found, the sending, and what comes after it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import tasks, throttle
from accounts.models import Employment, OutgoingMail, User
from accounts.tests.factories import EmploymentFactory, UnitFactory, UserFactory
from requests_app import places, several
from requests_app.models import AccessRequest, JointFiling, RequestEvent, Status
from requests_app.several_forms import LONGEST_LIST

from .factories import UserTypeFactory, analyst, grant_of, request_in, superuser
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

SEVERAL = "/solicitacoes/varias/"


@pytest.fixture
def requester(client):
    user = EmploymentFactory(user__name="LÚCIA GONÇALVES").user
    client.force_login(user)
    return user


@pytest.fixture
def user_type():
    return UserTypeFactory(name="Consulta", system__name="BNMP 2.0")


def answers(user_type, people, /, **changes):
    """What a browser posts for the first page, filled in well, but for the changes."""
    people = people if isinstance(people, str) else "\n".join(people)
    return {
        "requester_email": "lucia.goncalves@tjms.jus.br",
        "requester_phone": "(67) 3314-7851",
        "people": people,
        "user_type": user_type.pk,
        "system": user_type.system_id,
        "description": "Plantão de dezembro.",
        "conferir": "1",
        **changes,
    }


def posted_by(page, button, /, **changes):
    """What a browser posts when somebody presses a button of the table."""
    form = next(element for element in page.all("form") if ("action", SEVERAL) in element.attributes)
    fields = {}
    for control in walk(form):
        attributes = dict(control.attributes)
        if control.name == "input" and attributes.get("name"):
            if attributes["type"] == "radio" and "checked" not in attributes:
                continue
            fields[attributes["name"]] = attributes.get("value") or ""
    return {**fields, button: "1", **changes}


def check(client, user_type, people, /, **changes):
    """The table, as somebody sees it first."""
    return Page(client.post(SEVERAL, answers(user_type, people, **changes)))


def send(client, page, /, **changes):
    return client.post(SEVERAL, posted_by(page, "enviar", **changes))


def rows(page):
    """The number of the line -> what the table says of it: found, and result."""
    found = {}
    for row in page.all("tr"):
        head, *cells = [one for one in row.children if getattr(one, "name", "") in {"th", "td"}]
        if ("scope", "row") in head.attributes:
            found[int(text_of(head))] = tuple(text_of(cell) for cell in cells[1:])
    return found


def named(name, **fields):
    return EmploymentFactory(user__name=name, user__password=make_password(None), **fields)


# --- The table -------------------------------------------------------------------------------------------------------
def test_each_line_is_found_by_matricula_by_name_or_by_both_and_nothing_is_sent(client, requester, user_type):
    named("ANA BEATRIZ LUZ", matricula="100001", cargo="Juíza Substituta")
    named("JOÃO DA SILVA", matricula="012345")
    named("MARIA D'ÁVILA", matricula="EXT77")
    named("PEDRO NUNES", matricula="100004")
    named("RUI CÔRTES", matricula="100005")

    page = check(
        client,
        user_type,
        ["100001", "", "joao silva", "ext77;Maria D'Avila;1ª Vara", "Pedro Nunes\t100004", "rui 100005"],
    )

    assert {number: result for number, (_found, result) in rows(page).items()} == dict.fromkeys(
        (1, 3, 4, 5, 6), "Em ordem"
    )
    assert rows(page)[1][0] == "Ana Beatriz Luz — matrícula 100001 — Juíza Substituta — 1ª Vara Criminal – Campo Grande"
    assert [rows(page)[number][0].partition(" —")[0] for number in (3, 4, 5, 6)] == [
        *("João da Silva", "Maria D'Ávila", "Pedro Nunes", "Rui Côrtes")
    ]
    assert page.one("button", name="enviar") is not None
    assert "Enviar 5 pedidos" in page.text
    assert not AccessRequest.objects.exists()
    assert not OutgoingMail.objects.exists()


def test_zeros_that_a_spreadsheet_took_away_are_found_again_unless_another_has_the_number(client, requester, user_type):
    named("ANA LUZ", matricula="0004711")
    named("RUI LUZ", matricula="0000815")
    named("EVA LUZ", matricula="815")

    found = rows(check(client, user_type, ["4711", "815"]))

    assert found[1][0].startswith("Ana Luz — matrícula 0004711 —")
    assert found[2][0].startswith("Eva Luz — matrícula 815 —")


def why(client, user_type, line, **changes):
    return rows(check(client, user_type, [line], **changes))[1][1]


def test_a_line_that_leads_to_nobody_says_what_to_do(client, requester, user_type):
    assert why(client, user_type, "999999") == several.NOBODY
    assert why(client, user_type, "Fulana de Tal") == several.NOBODY
    assert why(client, user_type, "ab") == several.NO_NAME
    assert why(client, user_type, "529.982.247-25") == several.NO_CPF
    assert why(client, user_type, "52998224725") == several.NO_CPF
    assert why(client, user_type, "x" * 300) == several.TOO_LONG


@pytest.mark.parametrize("line", ["%", "_", "' OR 1=1 --", "\\", '"', "ana* OR maria", "%%%%", "²³", "１２３"])
def test_any_line_is_harmless(client, requester, user_type, line):
    named("ANA LUZ", matricula="100001")

    found, result = rows(check(client, user_type, [line]))[1]

    assert (found, result in {several.NOBODY, several.NO_NAME}) == ("Ninguém", True)


def test_whoever_has_left_is_told_by_matricula_and_by_name(client, requester, user_type):
    yesterday = timezone.localdate() - timedelta(days=1)
    named("ANA LUZ", matricula="100001", ended_on=yesterday)
    named("RUI LUZ", matricula="100002", user__is_active=False)
    page = check(client, user_type, ["100001", "Ana Luz", "100002"])

    assert {result for _found, result in rows(page).values()} == {several.LEFT}
    assert "matrícula 100001" not in page.text  # what the people search would not show either
    assert page.one("button", name="enviar") is None


def test_whoever_has_another_bond_today_can_be_chosen_by_that(client, requester, user_type):
    old = named("ANA LUZ", matricula="100001", ended_on=timezone.localdate() - timedelta(days=1))
    new = EmploymentFactory(user=old.user, matricula="100002")

    page = check(client, user_type, ["100001"])

    assert rows(page)[1][1] == several.BOND_IS_OVER
    page = Page(client.post(SEVERAL, posted_by(page, "conferir", **{"linha-1": new.pk})))
    assert rows(page)[1][1] == "Em ordem"


def test_homonyms_are_told_apart_and_one_is_chosen(client, requester, user_type):
    wanted = named("ANA LUZ", matricula="100001", cargo="Juíza Substituta", unit=UnitFactory(name="2ª Vara"))
    named("ANA LUZ", matricula="100002", cargo="Assessora")
    named("ANA LUZ PRADO", matricula="100003")  # called otherwise: not among them

    page = check(client, user_type, ["Ana Luz"])

    assert rows(page)[1] == (
        (
            "Linha 1, Ana Luz: escolha a pessoa Ana Luz — matrícula 100001 — Juíza Substituta — 2ª Vara – Campo Grande "
            "Ana Luz — matrícula 100002 — Assessora — 1ª Vara Criminal – Campo Grande Nenhuma destas"
        ),
        several.ALIKE,
    )
    assert page.value("linha-1") == ""
    assert page.one("button", name="enviar") is None

    page = Page(client.post(SEVERAL, posted_by(page, "conferir", **{"linha-1": wanted.pk})))
    assert (rows(page)[1][1], page.value("linha-1")) == ("Em ordem", str(wanted.pk))
    send(client, page)
    assert AccessRequest.objects.get().employment == wanted


def test_nobody_is_chosen_who_was_not_offered(client, requester, user_type):
    named("ANA LUZ"), named("ANA LUZ")
    stranger = named("RUI LUZ")
    page = check(client, user_type, ["Ana Luz"])

    page = Page(client.post(SEVERAL, posted_by(page, "conferir", **{"linha-1": stranger.pk})))

    assert rows(page)[1][1] == several.ALIKE


def test_more_homonyms_than_anybody_reads_ask_for_the_matricula(client, requester, user_type):
    for _ in range(21):
        named("ANA LUZ")
    one = Employment.objects.filter(user__name="ANA LUZ").first()

    page = check(client, user_type, ["Ana Luz", f"{one.matricula} Ana Luz"])

    assert rows(page)[1] == ("Ninguém", several.TOO_MANY)
    assert rows(page)[2][1] == "Em ordem"
    one.ended_on = timezone.localdate() - timedelta(days=1)
    one.save()
    page = check(client, user_type, ["Ana Luz"])
    assert len(page.all("input", type="radio")) == 21  # twenty and nobody


def test_a_matricula_with_another_name_and_a_name_with_another_matricula_must_be_confirmed(
    client, requester, user_type
):
    ana = named("ANA LUZ", matricula="100001")
    rui = named("RUI PRADO", matricula="100002")

    page = check(client, user_type, ["100001 Rui Prado", "999999 Rui Prado"])

    assert [result for _found, result in rows(page).values()] == [several.OTHER_NAME, several.OTHER_MATRICULA]
    page = Page(client.post(SEVERAL, posted_by(page, "conferir", **{"linha-1": ana.pk, "linha-2": rui.pk})))
    assert [result for _found, result in rows(page).values()] == ["Em ordem", "Em ordem"]


def test_somebody_twice_in_the_list_is_taken_once(client, requester, user_type):
    named("ANA LUZ", matricula="100001")

    page = check(client, user_type, ["100001", "Ana Luz", "100001 Ana Luz"])

    assert {number: result for number, (_found, result) in rows(page).items()} == {
        1: "Em ordem",
        2: several.TWICE.format(1),
        3: several.TWICE.format(1),
    }
    send(client, page)
    assert AccessRequest.objects.count() == 1


def test_whoever_cannot_have_it_is_told_with_why(client, requester, user_type):
    grant_of(named("ANA LUZ", matricula="100001"), user_type=user_type)
    foreign = request_in(Status.PENDING, bond=named("RUI LUZ", matricula="100002"), user_type=user_type)
    own = request_in(
        Status.RETURNED, bond=named("EVA LUZ", matricula="100003"), user_type=user_type, requester=requester
    )
    named("IDA LUZ", matricula="100004", user__email="")
    named("LIA LUZ", matricula="100005")
    request_in(Status.REJECTED, bond=Employment.objects.get(matricula="100005"), user_type=user_type)

    page = check(client, user_type, ["100001", "100002", "100003", "100004", "100005"])

    assert {number: result for number, (_found, result) in rows(page).items()} == {
        1: "Esta pessoa já tem acesso a BNMP 2.0 – Consulta.",
        2: f"Já existe um pedido em andamento para esta pessoa e este sistema: nº {foreign.protocol}.",
        3: f"Já existe um pedido em andamento para esta pessoa e este sistema: nº {own.protocol}. "
        f"Ver o pedido {own.protocol}",
        4: several.NO_ADDRESS,
        5: "Em ordem",
    }
    assert page.one("a", href=own.get_absolute_url()) is not None
    assert page.one("a", href=foreign.get_absolute_url()) is None


def test_neither_cpf_nor_address_of_anybody_is_told(client, requester, user_type):
    bonds = [named("ANA LUZ"), named("ANA LUZ"), named("RUI PRADO")]

    page = client.post(SEVERAL, answers(user_type, ["Ana Luz", "Rui Prado"])).content.decode()

    for bond in bonds:
        assert bond.matricula in page
        assert bond.user.cpf not in page
        assert bond.user.email not in page
        assert bond.user.masked_cpf not in page


def test_the_social_name_is_shown_to_whoever_knows_the_civil_one(client, requester, user_type):
    named("JOSÉ PRADO", user__social_name="JOSEFA PRADO", matricula="100001")

    for line in ("100001", "José Prado", "Josefa Prado"):
        page = check(client, user_type, [line])
        assert rows(page)[1][0].startswith("Josefa Prado — matrícula 100001")
        assert rows(page)[1][1] == "Em ordem"


# --- The rules of the system -----------------------------------------------------------------------------------------
def test_a_system_that_each_asks_for_alone_leaves_only_oneself(client, requester, user_type):
    user_type.system.for_whom = "SELF"
    user_type.system.save()
    named("ANA LUZ", matricula="100001")
    own = requester.employments.get()

    page = check(client, user_type, ["100001", own.matricula])

    assert rows(page)[1][1] == "Cada pessoa pede acesso a BNMP 2.0 só para si."
    assert rows(page)[2][1] == "Em ordem"


def test_a_system_for_the_own_unit_leaves_the_people_of_it(client, requester, user_type):
    user_type.system.for_whom = "OWN_UNIT"
    user_type.system.save()
    named("ANA LUZ", matricula="100001", unit=requester.employments.get().unit)
    named("RUI LUZ", matricula="100002")

    found = rows(check(client, user_type, ["100001", "100002"]))

    assert found[1][1] == "Em ordem"
    assert found[2][1] == "O acesso a BNMP 2.0 só pode ser pedido para pessoas da unidade de quem pede."


def test_places_of_a_unit_are_given_from_the_top_of_the_list(client, requester, user_type):
    user_type.system.most_per_unit = 2
    user_type.system.save()
    unit = UnitFactory(name="Vara Única", comarca="Bonito")
    bonds = [named(f"ANA {letter} LUZ", unit=unit) for letter in "ABCD"]
    grant_of(bonds[3], user_type=UserTypeFactory(system=user_type.system))
    elsewhere = named("RUI LUZ")

    page = check(client, user_type, [bond.matricula for bond in (*bonds, elsewhere)])

    full = f"{places.limit_of(user_type.system)} Não há vaga para esta pessoa em Vara Única – Bonito."
    assert [result for _found, result in sorted_rows(page)] == ["Em ordem", full, full, "Em ordem", "Em ordem"]
    send(client, page)
    assert {*AccessRequest.objects.values_list("employment", flat=True)} == {bonds[0].pk, bonds[3].pk, elsewhere.pk}


def sorted_rows(page):
    return [row for _number, row in sorted(rows(page).items())]


def test_places_are_counted_as_the_filing_counts_them(user_type):
    user_type.system.asks_unit = True
    units = [UnitFactory() for _ in range(3)]
    other = UserTypeFactory(system=user_type.system)
    for unit in units:
        grant_of(EmploymentFactory(unit=unit), user_type=other)
        grant_of(EmploymentFactory(), user_type=user_type, unit=unit)
        grant_of(EmploymentFactory(unit=unit), user_type=UserTypeFactory())
        request_in(Status.PENDING, user_type=user_type, unit=unit)
        request_in(Status.PENDING, user_type=user_type, bond=EmploymentFactory(unit=unit))
        filed = request_in(Status.COMPLETED, user_type=other, bond=EmploymentFactory(unit=unit))
        grant_of(filed.employment, user_type=other, request=filed)

    counted = several.people_in_each({unit.pk for unit in units}, user_type.system)

    assert {unit.pk: counted[unit.pk] for unit in units} == {
        unit.pk: places.people_in(unit, user_type.system) for unit in units
    }
    assert {len(people) for people in counted.values()} == {5}


def test_each_unit_of_each_person_or_one_for_all(client, requester):
    user_type = UserTypeFactory(system__asks_unit=True)
    ana, rui = named("ANA LUZ"), named("RUI LUZ")
    one = UnitFactory(name="Plantão")
    people = [ana.matricula, rui.matricula]

    page = Page(client.post(SEVERAL, answers(user_type, people)))
    assert page.beside("unit") == "Erro: Escolha a unidade em que o acesso vale."

    page = check(client, user_type, people, unit="cada")
    assert "A lotação de cada pessoa" in page.text
    send(client, page)
    assert {*AccessRequest.objects.values_list("employment", "unit")} == {(ana.pk, ana.unit_id), (rui.pk, rui.unit_id)}

    send(client, check(client, user_type, people, unit=one.pk))
    assert AccessRequest.objects.filter(unit=one).count() == 2


def test_whoever_works_in_a_unit_that_has_ended_is_told_so_before_anything_is_sent(client, requester):
    user_type = UserTypeFactory(system__asks_unit=True)
    over = UnitFactory(name="Vara Extinta", ended_on=timezone.localdate() - timedelta(days=1))
    people = [named("ANA LUZ", unit=over).matricula, named("RUI LUZ").matricula]

    page = check(client, user_type, people, unit="cada")

    assert [result for _found, result in rows(page).values()] == [several.UNIT_IS_OVER.format(over), "Em ordem"]
    send(client, page)
    assert AccessRequest.objects.count() == 1


def test_a_cpf_that_somebody_pastes_is_not_kept_with_the_lines_that_were_not_sent(client, requester, user_type):
    page = check(client, user_type, ["529.982.247-25", named("ANA LUZ").matricula])

    send(client, page)

    kept = str(dict(client.session))
    assert "***.982.247-**" in kept
    assert "529.982.247-25" not in kept


def test_a_system_that_asks_for_no_unit_stores_none_whatever_is_posted(client, requester, user_type):
    UserTypeFactory(system__asks_unit=True)
    ana = named("ANA LUZ")

    send(client, check(client, user_type, [ana.matricula], unit="cada"))

    assert AccessRequest.objects.get().unit is None


# --- The sending -----------------------------------------------------------------------------------------------------
def test_what_is_in_order_is_sent_with_one_protocol_each_and_the_rest_is_told(client, requester, user_type, smtp_sink):
    bonds = [named(f"ANA {letter} LUZ") for letter in "ABC"]
    page = check(client, user_type, [bonds[2].matricula, "999999", bonds[0].matricula, bonds[1].matricula])

    response = client.post(SEVERAL, posted_by(page, "enviar"), follow=True)

    joint = JointFiling.objects.get()
    requests = list(AccessRequest.objects.order_by("protocol"))
    assert response.redirect_chain == [(f"{SEVERAL}{joint.pk}/", 302)]
    assert [request.employment for request in requests] == [bonds[2], bonds[0], bonds[1]]
    assert [int(request.protocol[-6:]) for request in requests] == [1, 2, 3]
    for request in requests:
        assert (request.joint, request.requester, request.status) == (joint, requester, Status.PENDING)
        assert (request.user_type, request.description) == (user_type, "Plantão de dezembro.")
        assert request.beneficiary_name == request.beneficiary.display_name
        assert request.events.get().actor == requester
    page = Page(response)
    assert page.notices == ["3 pedidos enviados. Você receberá um e-mail com os protocolos."]
    assert f"Linha 2, “999999”: {several.NOBODY}" in page.text
    for request in requests:
        assert page.one("a", href=request.get_absolute_url()) is not None

    tasks.sweep()
    assert [list(delivery.recipients) for delivery in smtp_sink.deliveries] == [["lucia.goncalves@tjms.jus.br"]]
    told = smtp_sink.deliveries[0]
    assert told.message["Subject"] == f"[Sistemas Externos] 3 pedidos recebidos, a partir de {requests[0].protocol}"
    for text in (told.text(), told.text("html")):
        for request in requests:
            assert request.protocol in text
            assert f"{request.beneficiary_name}, matrícula {request.beneficiary_matricula}" in " ".join(text.split())
        assert f"{SEVERAL}{joint.pk}/" in text


def test_a_double_click_leads_to_what_the_first_one_made(client, requester, user_type):
    posted = posted_by(check(client, user_type, [named("ANA LUZ").matricula]), "enviar")

    first, second = client.post(SEVERAL, posted), client.post(SEVERAL, posted)

    assert first["Location"] == second["Location"] == f"{SEVERAL}{JointFiling.objects.get().pk}/"
    assert AccessRequest.objects.count() == RequestEvent.objects.count() == OutgoingMail.objects.count() == 1


def test_gone_back_and_sent_with_other_people_it_is_another_form(client, requester, user_type):
    page = check(client, user_type, [named("ANA LUZ").matricula])
    send(client, page)

    again = check(client, user_type, [named("RUI LUZ").matricula], nonce=page.value("nonce"))
    told = Page(send(client, again))

    assert AccessRequest.objects.count() == 1
    assert told.notices == [
        "Este formulário já tinha sido enviado, com outros dados. Confira e envie, se quiser pedir também isto."
    ]
    send(client, told)
    assert (AccessRequest.objects.count(), JointFiling.objects.count()) == (2, 2)


def test_nothing_is_sent_that_was_not_seen(client, requester, user_type):
    ana, rui = named("ANA LUZ"), named("RUI LUZ")
    page = check(client, user_type, [ana.matricula, rui.matricula])
    grant_of(rui, user_type=user_type)

    for changes in ({}, {"description": "Outra coisa."}, {"seen": ""}, {"people": ana.matricula}):
        told = Page(send(client, page, **changes))
        assert told.notices == [
            "O que seria enviado mudou depois da última conferência. Nada foi enviado. Confira e envie."
        ]
        assert rows(told)[1][1] == "Em ordem"
    assert not AccessRequest.objects.exists()


def test_with_no_line_in_order_nothing_is_sent(client, requester, user_type):
    page = check(client, user_type, ["999999"])

    told = Page(client.post(SEVERAL, posted_by(page, "enviar")))

    assert told.notices == ["Nenhuma linha está em ordem. Nada foi enviado."]
    assert not JointFiling.objects.exists()


def test_somebody_quicker_refuses_the_whole_and_says_the_line(client, requester, user_type, monkeypatch):
    """What the table could not know yet is found by the workflow."""
    ana, rui = named("ANA LUZ"), named("RUI LUZ")
    page = check(client, user_type, [ana.matricula, rui.matricula])
    seen = page.value("seen")
    judged = several.judge

    def judge_before_the_other_files(lines, **asked):
        judged(lines, **asked)
        if not AccessRequest.objects.exists():
            request_in(Status.PENDING, bond=rui, user_type=user_type)

    monkeypatch.setattr(several, "judge", judge_before_the_other_files)
    told = Page(send(client, page))

    other = AccessRequest.objects.get()
    sentence = f"Já existe um pedido em andamento para esta pessoa e este sistema: nº {other.protocol}."
    assert told.notices == [f"Nada foi enviado. Linha 2: Rui Luz, matrícula {rui.matricula}: {sentence}"]
    assert [result for _found, result in sorted_rows(told)] == ["Em ordem", sentence]
    assert (JointFiling.objects.count(), OutgoingMail.objects.count()) == (0, 0)
    assert told.value("seen") != seen
    send(client, told)
    assert AccessRequest.objects.filter(joint__isnull=False).get().employment == ana


def test_whoever_has_no_bond_asks_for_nobody(client, user_type):
    user = UserFactory()
    client.force_login(user)
    page = check(client, user_type, [named("ANA LUZ").matricula])

    told = Page(send(client, page))

    assert told.notices == ["Nada foi enviado. Só quem tem vínculo ativo com o Tribunal pode pedir acessos."]
    assert not JointFiling.objects.exists()


# --- What was typed --------------------------------------------------------------------------------------------------
def typed_is_there(page, posted):
    for name in ("requester_email", "requester_phone", "people", "description"):
        assert " ".join(page.value(name).split()) == " ".join(posted[name].split())
    for name in ("user_type", "system"):
        assert page.value(name) == str(posted[name])


def test_what_was_typed_stays_at_every_step(client, requester, user_type):
    posted = answers(user_type, ["999999", "Ana Luz"])
    named("ANA LUZ")
    wrong = {**posted, "requester_phone": "nenhum"}

    typed_is_there(Page(client.post(SEVERAL, wrong)), wrong)
    table = Page(client.post(SEVERAL, posted))
    assert posted_by(table, "corrigir")["people"].split() == ["999999", "Ana", "Luz"]
    typed_is_there(Page(client.post(SEVERAL, posted_by(table, "corrigir"))), posted)
    table = Page(client.post(SEVERAL, posted_by(table, "conferir")))
    typed_is_there(Page(client.post(SEVERAL, posted_by(table, "corrigir"))), posted)


def test_a_page_that_was_open_too_long_comes_back_with_what_was_typed(make_client, user_type):
    user = EmploymentFactory().user
    client = make_client(enforce_csrf_checks=True)
    client.force_login(user)
    nonce = Page(client.get(SEVERAL)).value("nonce")
    posted = answers(user_type, ["Ana Luz"], nonce=nonce)

    typed_is_there(Page(client.post(SEVERAL, posted)), posted)
    assert client.post(SEVERAL, {**posted, "nonce": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ("", "Escreva uma matrícula ou um nome em cada linha."),
        (" \n\t\n", "Escreva uma matrícula ou um nome em cada linha."),
        ("\n".join(f"{n}" for n in range(201)), "A lista tem 201 linhas. Envie até 200 pessoas de cada vez."),
        (
            "\n".join(f"{n} Fulana de Tal" for n in range(5000)),
            "A lista tem 5.000 linhas. Envie até 200 pessoas de cada vez.",
        ),
    ],
)
def test_too_few_and_too_many_lines_get_a_sentence_and_stay(client, requester, user_type, people, sentence):
    posted = answers(user_type, people)

    page = Page(client.post(SEVERAL, posted))

    assert page.beside("people") == f"Erro: {sentence}"
    typed_is_there(page, posted)


def test_a_megabyte_is_cut_at_the_end_of_a_line_and_says_so(client, requester, user_type):
    people = "\n".join(f"{n:06d} Fulana" for n in range(80_000))
    assert len(people) > 2**20

    page = Page(client.post(SEVERAL, answers(user_type, people)))

    kept = page.value("people").split()
    assert kept[-2:] == [f"{len(kept) // 2 - 1:06d}", "Fulana"]
    assert sum(map(len, kept)) < LONGEST_LIST
    lines = f"{len(kept) // 2:,}".replace(",", ".")
    assert page.beside("people") == (
        f"Erro: A lista era grande demais. Só o começo dela ficou no formulário, até a linha {lines}."
    )
    assert page.value("description") == "Plantão de dezembro."


def test_two_hundred_people_are_asked_for_in_one_go(client, requester, user_type):
    bonds = many(200)
    page = check(client, user_type, [bond.matricula for bond in bonds])
    assert "Enviar 200 pedidos" in page.text

    response = send(client, page)

    assert response["Location"] == f"{SEVERAL}{JointFiling.objects.get().pk}/"
    filed = AccessRequest.objects.order_by("protocol").values_list("employment", flat=True)
    assert list(filed) == [bond.pk for bond in bonds]
    assert OutgoingMail.objects.count() == 1


def test_whoever_looks_too_often_waits_and_loses_nothing(client, requester, user_type):
    posted = answers(user_type, ["Ana Luz"])
    for _ in range(throttle.SEARCH.free):
        throttle.take(throttle.SEARCH, f"person:{requester.pk}")

    page = Page(client.post(SEVERAL, posted))

    assert "Muitas tentativas em pouco tempo." in page.summary
    typed_is_there(page, posted)


# --- How much is asked of the database -------------------------------------------------------------------------------
def many(count, name="PESSOA NÚMERO {} DE SOUZA"):
    """People with bonds, made at once; their names have no digits."""
    unit = UnitFactory()
    words = [name.format("".join("abcdefghij"[int(digit)] for digit in f"{n:03d}")) for n in range(count)]
    users = [UserFactory.build(name=word, password="!") for word in words]
    for user in users:
        user.search_name = user.folded_names()
    User.objects.bulk_create(users)
    bonds = [EmploymentFactory.build(user=user, unit=unit) for user in users]
    return Employment.objects.bulk_create(bonds)


def queries(client, user_type, people, **changes):
    with CaptureQueriesContext(connection) as asked:
        page = check(client, user_type, people, **changes)
    assert len(rows(page)) == len(people)
    return len(asked)


@pytest.mark.parametrize("rules", [{}, {"for_whom": "OWN_UNIT"}, {"most_per_unit": 3}])
def test_the_table_asks_as_much_for_two_hundred_lines_as_for_one(client, requester, user_type, rules):
    for name, value in rules.items():
        setattr(user_type.system, name, value)
    user_type.system.save()
    people = [bond.matricula for bond in many(200)]
    check(client, user_type, people[:1])  # the row that counts the searches is made once

    assert (
        queries(client, user_type, people[:1])
        == queries(client, user_type, people[:3])
        == queries(client, user_type, people)
    )


def test_names_are_asked_for_in_fifties(client, requester, user_type):
    people = [bond.user.name for bond in many(200)]
    check(client, user_type, people[:1])

    one = queries(client, user_type, people[:1])

    assert queries(client, user_type, people[:3]) == queries(client, user_type, people[:50]) == one
    assert queries(client, user_type, people) == one + 3


def test_the_page_of_what_was_sent_asks_the_same_for_one_three_and_two_hundred(client, requester, user_type):
    bonds, asked = many(204), []
    for some in (bonds[:1], bonds[1:4], bonds[4:]):
        sent = send(client, check(client, user_type, [bond.matricula for bond in some]))
        client.get(sent["Location"])
        with CaptureQueriesContext(connection) as queried:
            page = Page(client.get(sent["Location"]))
        assert len(rows_of_table(page)) == len(some)
        asked.append(len(queried))

    assert len(set(asked)) == 1


def rows_of_table(page):
    return [row for row in page.all("tr") if page.one("a") and re.search(r"[0-9]{4}-[0-9]{6}", text_of(row))]


# --- Afterwards ------------------------------------------------------------------------------------------------------
@pytest.fixture
def joint(client, requester, user_type):
    send(client, check(client, user_type, [named(f"ANA {letter} LUZ").matricula for letter in "ABC"]))
    return JointFiling.objects.get()


def test_the_page_of_what_was_sent_tells_where_each_request_stands(client, joint):
    request = joint.requests.order_by("pk").first()
    AccessRequest.objects.filter(pk=request.pk).update(status=Status.CANCELLED)

    page = Page(client.get(f"{SEVERAL}{joint.pk}/"))

    assert [text_of(row).endswith("Cancelada") for row in rows_of_table(page)] == [True, False, False]
    assert "3 pedidos" in page.text


def test_the_page_of_what_was_sent_is_for_who_sent_it(client, make_client, joint):
    beneficiary = joint.requests.first().beneficiary
    for stranger in (beneficiary, analyst()):
        other = make_client()
        other.force_login(stranger)
        assert other.get(f"{SEVERAL}{joint.pk}/").status_code == 404
    assert client.get(f"{SEVERAL}{joint.pk}/").status_code == 200
    assert client.get(f"{SEVERAL}{10**30}/").status_code == 404
    client.logout()
    assert client.get(f"{SEVERAL}{joint.pk}/")["Location"].startswith("/entrar/")


def test_lists_and_pages_lead_there(client, make_client, joint):
    address = f"{SEVERAL}{joint.pk}/"
    request = joint.requests.first()
    alone = request_in(Status.PENDING, requester=joint.requester)

    for page in ("/solicitacoes/", "/solicitacoes/nova/"):
        assert Page(client.get(page)).one("a", href=SEVERAL) is not None
    assert Page(client.get(request.get_absolute_url())).one("a", href=address) is not None
    assert Page(client.get(alone.get_absolute_url())).one("a", href=address) is None
    beneficiary = make_client()
    beneficiary.force_login(request.beneficiary)
    assert Page(beneficiary.get(request.get_absolute_url())).one("a", href=address) is None


def test_the_history_tells_what_became_of_the_one_mail(client, joint, smtp_sink):
    tasks.sweep()

    for request in joint.requests.all():
        assert "E-mail enviado em" in Page(client.get(request.get_absolute_url())).text


# --- The desk --------------------------------------------------------------------------------------------------------
QUEUE = "/admin/requests_app/accessrequest/"


@pytest.fixture
def desk(make_client):
    client = make_client()
    client.force_login(analyst())
    return client


def test_a_request_on_the_desk_leads_to_those_that_were_asked_with_it(desk, joint):
    alone = request_in(Status.PENDING)
    request = joint.requests.first()

    page = Page(desk.get(f"{QUEUE}{request.pk}/change/"))

    assert "Pedida em conjunto com outras 2" in page.text
    assert page.one("a", href=f"{QUEUE}?conjunto={joint.pk}") is not None
    assert "Pedida em conjunto" not in Page(desk.get(f"{QUEUE}{alone.pk}/change/")).text


def test_the_queue_shows_those_of_one_form_and_no_others(desk, joint):
    alone = request_in(Status.PENDING)
    AccessRequest.objects.filter(pk=joint.requests.order_by("pk")[0].pk).update(status=Status.CANCELLED)

    waiting, everything = (Page(desk.get(f"{QUEUE}?conjunto={joint.pk}{more}")) for more in ("", "&situacao=todas"))

    first, *others = joint.requests.order_by("pk")
    assert [one.protocol in waiting.text for one in (first, *others, alone)] == [False, True, True, False]
    assert [one.protocol in everything.text for one in (first, *others, alone)] == [True, True, True, False]
    assert waiting.one("select", name="conjunto") is not None
    assert Page(desk.get(QUEUE)).one("select", name="conjunto") is None


@pytest.mark.parametrize("nonsense", ["0", "-1", "x", "9" * 30, "%00", "1&conjunto=2"])
def test_nonsense_in_the_address_of_the_queue_is_left_aside(desk, joint, nonsense):
    response = desk.get(f"{QUEUE}?conjunto={nonsense}")

    assert response.status_code == 200
    assert joint.requests.first().protocol in Page(response).text


def test_those_of_one_form_are_decided_together(desk, joint):
    chosen = list(joint.requests.values_list("pk", flat=True))
    listed = f"{QUEUE}?conjunto={joint.pk}"
    confirming = desk.post(listed, {"action": "reject_many", "index": "0", "_selected_action": chosen})
    page = Page(confirming)
    [form] = [form for form in page.all("form") if "/lote/" in dict(form.attributes).get("action", "")]
    fields = {name: page.value(name) for name in ("to", "chosen", "nonce")}

    desk.post(dict(form.attributes)["action"], {**fields, "note": "Falta a portaria de designação."})

    assert {*joint.requests.values_list("status", flat=True)} == {Status.REJECTED}


def test_the_staff_find_the_mail_by_any_of_its_protocols(make_client, joint):
    staff = make_client()
    staff.force_login(superuser())

    def found(protocol):
        page = Page(staff.get("/admin/accounts/outgoingmail/", {"q": protocol}))
        return [text_of(row) for row in page.all("tr") if "Pedidos para várias pessoas recebidos" in text_of(row)]

    assert [len(found(request.protocol)) for request in joint.requests.all()] == [1, 1, 1]
    assert found("2026-999999") == []
