"""Nova Solicitação: what it shows, what it stores, and what it answers to everything else."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from accounts.models import OutgoingMail, Session
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from requests_app import workflow
from requests_app.models import AccessRequest, RequestEvent, Status

from .factories import ExternalSystemFactory, UserTypeFactory, analyst, request_in, unsaved_request
from .pages import Page, text_of, walk

pytestmark = pytest.mark.django_db

NEW = "/solicitacoes/nova/"
SCRIPT = "<script>alert(1)</script>"
LONG = "a" * 100_000
HUGE = str(10**30)


@pytest.fixture
def requester(client):
    user = EmploymentFactory(cargo="Chefe de Cartório").user
    client.force_login(user)
    return user


def answers(bond=None, user_type=None, /, **changes):
    """What a browser posts for a form that was filled in well, but for the changes."""
    user_type = user_type or UserTypeFactory()
    values = {
        "requester_email": "lucia.goncalves@tjms.jus.br",
        "requester_phone": "(67) 3314-7851",
        "beneficiary": (bond or EmploymentFactory()).pk,
        "user_type": user_type.pk,
        "system": user_type.system_id,
        "description": "Consulta de mandados no atendimento.",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def form_of(client):
    """The hidden mark of a form that this person has just opened."""
    return Page(client.get(NEW)).value("nonce")


def one_line(text):
    return " ".join(text.replace("\0", "").replace("\ufffd", "").split())


def typed_is_still_there(page, posted):
    for name in ("requester_email", "requester_phone", "description"):
        assert one_line(page.value(name)) == one_line(posted[name])


# --- The source's page -----------------------------------------------------------------------------------------------
def test_the_form_has_the_sources_fields_in_the_sources_order(client, requester):
    page = Page(client.get(NEW))

    names = [text_of(element) for element in page.elements if ("class", "form-label") in element.attributes]
    assert names == [
        "Nome do solicitante:",
        "Cargo do solicitante:",
        "Email do solicitante:",
        "*Telefone do solicitante: (Preferencialmente telefone da instituição)",
        "*Efetuar cadastro para: (matrícula ou nome)",
        "*Tipo Usuário:",
        "*Sistema solicitado:",
        "*Descrição solicitação:",
        "Anexos: (opcional: ofício, ato de designação)",
    ]
    assert "SOLICITAÇÃO SISTEMAS EXTERNOS Nova Solicitação" in page.text
    assert "[*Campos obrigatórios]" in page.text


def test_every_label_belongs_to_its_field(client, requester):
    page = Page(client.get(NEW))
    for name in ("requester_email", "requester_phone", "beneficiary", "user_type", "system", "description"):
        assert page.label(name), name
        assert page.one("input", "select", "textarea", id=f"id_{name}"), name


def test_name_and_cargo_are_filled_in_and_are_no_fields(client, requester):
    page = Page(client.get(NEW))
    assert text_of(page.one(aria_labelledby="requester-name")) == requester.display_name
    assert text_of(page.one(aria_labelledby="requester-cargo")) == "Chefe de Cartório"
    posted = {dict(control.attributes).get("name") for control in page.all("input", "select", "textarea", "button")}
    assert posted - {None} == {
        *("csrfmiddlewaretoken", "nonce", "requester_email", "requester_phone", "beneficiary_search", "buscar"),
        *("user_type", "system", "description", "attachments", "salvar"),
    }


def test_email_and_telephone_come_from_the_directory(client, requester):
    page = Page(client.get(NEW))
    assert (page.value("requester_email"), page.value("requester_phone")) == (requester.email, requester.phone)


def test_only_what_accepts_requests_is_offered_each_type_under_its_system(client, requester):
    open_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")
    UserTypeFactory(name="Extinto", system=open_type.system, is_active=False)
    UserTypeFactory(name="Servidor", system__name="SEEU antigo", system__is_active=False)

    page = Page(client.get(NEW))

    systems, types = page.one("select", name="system"), page.one("select", name="user_type")
    assert text_of(systems) == "Escolha BNMP 2.0"
    assert text_of(types) == "Escolha Consulta"
    assert page.one("optgroup", label="BNMP 2.0")
    assert page.one("option", value=str(open_type.pk), data_system=str(open_type.system_id))


@pytest.mark.parametrize("method", ["get", "post"])
def test_somebody_who_is_not_signed_in_is_sent_to_the_door(client, method):
    response = getattr(client, method)(NEW, answers())
    assert response.status_code == 302
    assert urlsplit(response.url).path == "/entrar/"
    assert not AccessRequest.objects.exists()


# --- Asking ----------------------------------------------------------------------------------------------------------
def test_a_form_filled_in_well_ends_at_the_request_and_its_protocol(client, requester):
    bond = EmploymentFactory(user__name="JOÃO DA SILVA", matricula="012345", cargo="Oficial de Justiça")
    user_type = UserTypeFactory(name="Consulta", system__name="BNMP 2.0")

    response = client.post(NEW, answers(bond, user_type), follow=True)

    request = AccessRequest.objects.get()
    assert response.redirect_chain == [(f"/solicitacoes/{request.protocol}/", 302)]
    page = Page(response)
    said = f"Pedido enviado. Protocolo {request.protocol}. Você receberá um e-mail a cada mudança."
    assert page.notices == [said]
    assert f"Solicitação {request.protocol}" in text_of(page.one("h1"))
    assert (request.requester, request.requester_name, request.requester_cargo) == (
        requester,
        requester.display_name,
        "Chefe de Cartório",
    )
    assert (request.requester_email, request.requester_phone) == ("lucia.goncalves@tjms.jus.br", "(67) 3314-7851")
    assert (request.beneficiary, request.employment, request.beneficiary_name) == (bond.user, bond, "João da Silva")
    assert (request.beneficiary_matricula, request.beneficiary_cargo) == ("012345", "Oficial de Justiça")
    assert (request.user_type, request.status) == (user_type, Status.PENDING)
    assert request.description == "Consulta de mandados no atendimento."
    assert list(OutgoingMail.objects.values_list("kind", "recipient")) == [("request_received", requester.pk)]


def test_one_may_ask_for_oneself(client, requester):
    client.post(NEW, answers(requester.employments.get()))
    assert AccessRequest.objects.get().beneficiary == requester


def test_of_a_person_with_two_bonds_the_chosen_one_is_kept(client, requester):
    first = EmploymentFactory(cargo="Juiz Leigo")
    second = EmploymentFactory(user=first.user, cargo="Conciliador")
    client.post(NEW, answers(second))
    assert AccessRequest.objects.get().beneficiary_cargo == "Conciliador"


def test_fault_18_and_asvs_2_2_2_what_is_forged_into_the_form_changes_nothing(client, requester):
    stranger, bond = EmploymentFactory(cargo="Desembargador").user, EmploymentFactory()
    forged = {
        "requester": stranger.pk,
        "requester_name": "Outra Pessoa",
        "requester_cargo": "Desembargador",
        "requester_lotacao": "Presidência",
        "beneficiary_name": "Outra Pessoa",
        "employment": stranger.employments.get().pk,
        "status": "COMPLETED",
        "holder": stranger.pk,
        "decided_by": stranger.pk,
        "decided_at": "2026-01-01 00:00",
        "completed_by": stranger.pk,
        "protocol": "1999-000001",
        "form_nonce": "0" * 32,
        "created_at": "1999-01-01 00:00",
    }

    client.post(NEW, answers(bond, **forged))

    request = AccessRequest.objects.get()
    assert (request.requester, request.requester_cargo, request.employment) == (requester, "Chefe de Cartório", bond)
    assert (request.requester_name, request.beneficiary_name) == (requester.display_name, bond.user.display_name)
    assert request.requester_lotacao == str(requester.employments.get().unit)
    assert (request.status, request.holder, request.decided_by, request.completed_by) == (
        Status.PENDING,
        None,
        None,
        None,
    )
    assert request.decided_at is None
    assert request.protocol != "1999-000001"
    assert request.form_nonce.hex != "0" * 32
    assert request.created_at.year > 1999


def test_fault_3_of_two_values_for_one_field_both_checks_and_storage_see_the_same(client, requester):
    former = EmploymentFactory(ended_on=timezone.localdate() - timedelta(days=1))
    bond, user_type = EmploymentFactory(), UserTypeFactory()
    client.post(NEW, answers(None, user_type, beneficiary=[former.pk, bond.pk]))
    assert AccessRequest.objects.get().employment == bond
    client.post(NEW, answers(None, user_type, beneficiary=[bond.pk, former.pk]))
    assert AccessRequest.objects.count() == 1


@pytest.mark.parametrize(
    "phone",
    ["(67) 3314-0000", "67 99999-0000", "+55 67 3314.0000", "3314-1465 ramal 27", "3314-1465 / 3314-1327"],
)
def test_telephones_as_people_write_them_are_taken(client, requester, phone):
    client.post(NEW, answers(requester_phone=phone))
    assert AccessRequest.objects.get().requester_phone == phone


def test_the_institutions_domain_is_known_in_capitals_too(client, requester):
    client.post(NEW, answers(requester_email="LUCIA@TJMS.JUS.BR"))
    assert AccessRequest.objects.get().requester_email.lower() == "lucia@tjms.jus.br"


# --- Sent twice ------------------------------------------------------------------------------------------------------
def test_a_double_click_ends_twice_at_the_same_protocol(client, requester):
    posted = answers(nonce=form_of(client))

    first, second = client.post(NEW, posted), client.post(NEW, posted, follow=True)

    request = AccessRequest.objects.get()
    assert first.url == second.redirect_chain[0][0] == f"/solicitacoes/{request.protocol}/"
    assert f"Este formulário já tinha sido enviado. Protocolo {request.protocol}." in Page(second).notices
    assert (RequestEvent.objects.count(), OutgoingMail.objects.count()) == (1, 1)


def test_a_new_form_makes_a_new_request(client, requester):
    client.post(NEW, answers(nonce=form_of(client)))
    client.post(NEW, answers(nonce=form_of(client)))
    assert AccessRequest.objects.count() == 2


def test_a_form_made_for_another_person_never_leads_to_their_request(client, make_client, requester):
    other_client = make_client()
    other_client.force_login(EmploymentFactory().user)
    nonce = form_of(other_client)
    other_client.post(NEW, answers(nonce=nonce))
    theirs = AccessRequest.objects.get()

    page = Page(client.post(NEW, answers(nonce=nonce)))

    assert "foi alterado ou é de outra pessoa" in page.summary
    assert AccessRequest.objects.get() == theirs
    assert client.post(NEW, answers(nonce=page.value("nonce"))).status_code == 302


@pytest.mark.parametrize("nonce", ["abc", "a:b:c", "0" * 32, "\0", "é" * 200, "é" * 201])
def test_a_form_with_a_mark_that_is_not_ours_stores_nothing_and_can_be_sent_again(client, requester, nonce):
    posted = answers(nonce=nonce)
    page = Page(client.post(NEW, posted))
    assert page.summary.startswith("Há 1 campo")
    assert not AccessRequest.objects.exists()
    client.post(NEW, {**posted, "nonce": page.value("nonce")})
    assert AccessRequest.objects.count() == 1


def test_a_form_without_any_mark_is_one_of_its_own(client, requester):
    client.post(NEW, answers(nonce=""))
    assert AccessRequest.objects.get().requester == requester


def test_going_back_and_asking_for_something_else_loses_nothing(client, requester):
    posted = answers(nonce=form_of(client))
    client.post(NEW, posted)
    first, changed = AccessRequest.objects.get(), {**posted, "description": "Agora para outra coisa."}

    page = Page(client.post(NEW, changed))

    assert f"já tinha sido enviado: protocolo {first.protocol}" in page.summary
    assert page.value("description") == "Agora para outra coisa."
    assert page.value("nonce") != posted["nonce"]
    assert AccessRequest.objects.get() == first


@pytest.mark.parametrize("mailbox", ["1varacivel", "cgr-7jecentral", "cgjconvenios"])
def test_the_mailbox_of_a_unit_is_refused(client, requester, mailbox):
    page = Page(client.post(NEW, answers(requester_email=f"{mailbox}@tjms.jus.br")))
    assert "E-mail do cartório não é aceito" in page.beside("requester_email")
    assert not AccessRequest.objects.exists()


# --- Refusals --------------------------------------------------------------------------------------------------------
CHOOSE_ANOTHER = "Esta pessoa não está ativa no cadastro. Escolha outra na lista."
NOBODY = "Ninguém foi encontrado com esta matrícula ou este nome. Confira e busque de novo."


def yesterday():
    return timezone.localdate() - timedelta(days=1)


def of_an_inactive_person():
    return EmploymentFactory(user__is_active=False).pk


def of_a_bond_that_ended():
    return EmploymentFactory(ended_on=yesterday()).pk


def of_a_bond_that_has_not_begun():
    return EmploymentFactory(started_on=timezone.localdate() + timedelta(days=1)).pk


@pytest.mark.parametrize(
    ("beneficiary", "sentence"),
    [
        (lambda: 987654321, CHOOSE_ANOTHER),
        (of_an_inactive_person, CHOOSE_ANOTHER),
        (of_a_bond_that_ended, CHOOSE_ANOTHER),
        (of_a_bond_that_has_not_begun, CHOOSE_ANOTHER),
        (lambda: "", "Informe para quem é o acesso: matrícula ou nome."),
        (lambda: "   ", "Informe para quem é o acesso: matrícula ou nome."),
        (lambda: None, "Informe para quem é o acesso: matrícula ou nome."),
        (lambda: "João", CHOOSE_ANOTHER),
        (lambda: HUGE, "no máximo 20 caracteres"),
        (lambda: "9" * 19, CHOOSE_ANOTHER),
        (lambda: "9223372036854775808", CHOOSE_ANOTHER),
        (lambda: "-1", CHOOSE_ANOTHER),
        (lambda: "0", CHOOSE_ANOTHER),
        (lambda: "1.0", CHOOSE_ANOTHER),
        (lambda: "１", CHOOSE_ANOTHER),  # full width
        (lambda: "²", CHOOSE_ANOTHER),
        (lambda: "1\0", "Caracteres nulos não são permitidos."),
        (lambda: "1 OR 1=1", CHOOSE_ANOTHER),
        (lambda: ["[1, 2]"], CHOOSE_ANOTHER),
        (lambda: LONG, "no máximo 20 caracteres"),
    ],
)
def test_a_beneficiary_that_cannot_be_is_refused_beside_the_field(client, requester, beneficiary, sentence):
    posted = answers(beneficiary=beneficiary(), description="O que já tinha escrito.")

    response = client.post(NEW, posted)

    page = Page(response)
    assert response.status_code == 200
    assert sentence in page.beside("beneficiary")
    assert "Há 1 campo para corrigir. Nada foi perdido." in page.summary
    typed_is_still_there(page, posted)
    assert (page.value("user_type"), page.value("system")) == (str(posted["user_type"]), str(posted["system"]))
    assert not AccessRequest.objects.exists()
    assert not OutgoingMail.objects.exists()


def test_a_beneficiary_posted_as_an_array_is_nobody(client, requester):
    posted = answers(beneficiary=None)
    response = client.post(NEW, {**posted, "beneficiary[]": EmploymentFactory().pk})
    assert "Informe para quem é o acesso" in Page(response).beside("beneficiary")
    assert not AccessRequest.objects.exists()


def test_a_name_that_several_have_brings_the_list(client, requester):
    bonds = [EmploymentFactory(user__name=name) for name in ("ANA LIMA", "ANA LÚCIA PRADO")]
    EmploymentFactory(user__name="BRUNO DIAS")

    response = client.post(NEW, answers(beneficiary=None, beneficiary_search="ana"))

    page = Page(response)
    assert "Escolha a pessoa na lista: há mais de uma com este nome." in page.beside("beneficiary")
    assert [dict(radio.attributes)["value"] for radio in page.all("input", type="radio")] == [str(b.pk) for b in bonds]
    assert page.value("beneficiary_search") == "ana"
    assert not AccessRequest.objects.exists()


def test_a_name_that_one_person_has_is_still_to_be_confirmed(client, requester):
    EmploymentFactory(user__name="ANA LIMA")
    page = Page(client.post(NEW, answers(beneficiary=None, beneficiary_search="ana lima")))
    assert "Escolha a pessoa na lista." in page.beside("beneficiary")
    assert len(page.all("input", type="radio")) == 1
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize(
    "typed",
    ["Fulano de Tal", "%%%", "___", "' OR 1=1 --", '"', SCRIPT, "Ana\r\nBcc: alguem@exemplo.com", "52998224725", "zz"],
)
def test_a_name_that_nobody_has_is_told_and_kept(client, requester, typed):
    EmploymentFactory(user__name="BRUNO DIAS")

    response = client.post(NEW, answers(beneficiary=None, beneficiary_search=typed))

    page = Page(response)
    assert NOBODY in page.beside("beneficiary")
    assert one_line(page.value("beneficiary_search")) == one_line(typed)
    assert SCRIPT not in response.content.decode()
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize(
    ("typed", "sentence"), [(LONG, "no máximo 200 caracteres"), ("Ana\0", "Caracteres nulos não são permitidos.")]
)
def test_a_name_that_cannot_be_one_gets_its_own_sentence_and_no_other(client, requester, typed, sentence):
    page = Page(client.post(NEW, answers(beneficiary=None, beneficiary_search=typed)))
    assert sentence in page.beside("beneficiary")
    assert "Informe para quem é o acesso" not in page.beside("beneficiary")
    assert not AccessRequest.objects.exists()


NOT_OFFERED = "Esta opção não está disponível."


def other_systems():
    return {"user_type": UserTypeFactory().pk, "system": ExternalSystemFactory(name="RENAJUD").pk}


def closed_type():
    user_type = UserTypeFactory(is_active=False)
    return {"user_type": user_type.pk, "system": user_type.system_id}


def closed_system():
    user_type = UserTypeFactory(system__is_active=False)
    return {"user_type": user_type.pk, "system": user_type.system_id}


@pytest.mark.parametrize(
    ("field", "changes", "sentence"),
    [
        ("user_type", other_systems, "Este tipo de usuário não é de RENAJUD. Escolha um da lista deste sistema."),
        ("user_type", closed_type, NOT_OFFERED),
        ("user_type", closed_system, NOT_OFFERED),
        ("system", closed_system, NOT_OFFERED),
        ("user_type", lambda: {"user_type": 987654321}, NOT_OFFERED),
        ("user_type", lambda: {"user_type": HUGE}, NOT_OFFERED),
        ("user_type", lambda: {"user_type": "-1"}, NOT_OFFERED),
        ("user_type", lambda: {"user_type": "Consulta"}, NOT_OFFERED),
        ("user_type", lambda: {"user_type": "1\0"}, "Caracteres nulos não são permitidos."),
        ("user_type", lambda: {"user_type": ""}, "Este campo é obrigatório."),
        ("user_type", lambda: {"user_type": None}, "Este campo é obrigatório."),
        ("system", lambda: {"system": 987654321}, NOT_OFFERED),
        ("system", lambda: {"system": HUGE}, NOT_OFFERED),
        ("system", lambda: {"system": "1\0"}, "Caracteres nulos não são permitidos."),
        ("system", lambda: {"system": SCRIPT}, NOT_OFFERED),
        ("system", lambda: {"system": None}, "Este campo é obrigatório."),
        ("requester_email", lambda: {"requester_email": "lucia"}, "Informe um endereço de email válido."),
        ("requester_email", lambda: {"requester_email": "l@tjms.jus.br\r\nBcc: x@y.z"}, "Informe um endereço de email"),
        ("requester_email", lambda: {"requester_email": "l@tjms.jus.br\0"}, "Caracteres nulos não são permitidos."),
        ("requester_email", lambda: {"requester_email": SCRIPT}, "Informe um endereço de email válido."),
        ("requester_email", lambda: {"requester_email": LONG}, "Informe um endereço de email válido."),
        ("requester_email", lambda: {"requester_email": "lucia@gmail.com"}, "que termina em @tjms.jus.br."),
        ("requester_email", lambda: {"requester_email": "lucia@faketjms.jus.br"}, "que termina em @tjms.jus.br."),
        ("requester_email", lambda: {"requester_email": "l@tjms.jus.br.exemplo.com"}, "que termina em @tjms.jus.br."),
        ("requester_email", lambda: {"requester_email": '"@tjms.jus.br"@exemplo.com'}, "que termina em @tjms.jus.br."),
        (
            "requester_email",
            lambda: {"requester_email": "l@tjms.jus.br, m@exemplo.com"},
            "Informe um endereço de email",
        ),
        ("requester_phone", lambda: {"requester_phone": ""}, "Este campo é obrigatório."),
        ("requester_phone", lambda: {"requester_phone": "ligue depois"}, "Telefone inválido."),
        ("requester_phone", lambda: {"requester_phone": "1234"}, "Telefone inválido."),
        ("requester_phone", lambda: {"requester_phone": SCRIPT}, "Telefone inválido."),
        ("requester_phone", lambda: {"requester_phone": "(67) 3314\r\n0000"}, "Telefone inválido."),
        ("requester_phone", lambda: {"requester_phone": "６７３３１４００００"}, "Telefone inválido."),
        ("requester_phone", lambda: {"requester_phone": "3314-0000\0"}, "Caracteres nulos não são permitidos."),
        ("requester_phone", lambda: {"requester_phone": "1" * 100_000}, "no máximo 30 caracteres"),
        ("description", lambda: {"description": ""}, "Este campo é obrigatório."),
        ("description", lambda: {"description": " \r\n\t "}, "Este campo é obrigatório."),
        ("description", lambda: {"description": LONG}, "no máximo 2000 caracteres"),
        ("description", lambda: {"description": "x" * 2001}, "no máximo 2000 caracteres"),
        ("description", lambda: {"description": "a\0b"}, "Caracteres nulos não são permitidos."),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field_and_nothing_typed_is_lost(
    client, requester, field, changes, sentence
):
    posted = answers(**changes())

    response = client.post(NEW, posted)

    page = Page(response)
    assert response.status_code == 200
    assert sentence in page.beside(field)
    assert page.summary.startswith("Há ")
    typed_is_still_there(page, {"requester_phone": "", "requester_email": "", "description": "", **posted})
    assert page.one("input", type="radio", value=str(posted["beneficiary"]), checked=None)
    assert SCRIPT not in response.content.decode()
    assert not AccessRequest.objects.exists()
    assert not OutgoingMail.objects.exists()


def test_without_an_email_the_directorys_is_taken(client, requester):
    client.post(NEW, answers(requester_email=""))
    assert AccessRequest.objects.get().requester_email == requester.email


def test_without_an_email_anywhere_one_is_asked_for(client, requester):
    requester.email = ""
    requester.save()
    page = Page(client.post(NEW, answers(requester_email="")))
    assert "Informe o seu e-mail institucional" in page.beside("requester_email")
    assert not AccessRequest.objects.exists()


def test_everything_wrong_at_once_is_told_at_once_each_line_leading_to_its_field(client, requester):
    page = Page(client.post(NEW, {"requester_email": "lucia", "requester_phone": ""}))
    assert "Há 6 campos para corrigir. Nada foi perdido." in page.summary
    targets = [dict(link.attributes)["href"] for link in walk(page.one(class_="error-summary")) if link.name == "a"]
    names = ["requester_email", "requester_phone", "beneficiary", "user_type", "system", "description"]
    assert sorted(targets) == sorted(f"#id_{name}" for name in names)
    assert text_of(page.one("title")).startswith("Erro:")


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_a_description_as_long_as_the_field_lets_it_be_is_taken(client, requester, line_break):
    """A browser counts a line break as one character and posts two."""
    lines = ["x" * 99] * 20
    client.post(NEW, answers(description=line_break.join(lines) + "y"))
    assert AccessRequest.objects.get().description.split() == [*lines[:-1], lines[-1] + "y"]


def test_a_second_open_request_for_the_same_is_refused_with_the_protocol_of_the_first(client, requester):
    filed = workflow.file(unsaved_request())
    posted = answers(filed.employment, filed.user_type)

    response = client.post(NEW, posted)

    page = Page(response)
    sentence = f"Já existe um pedido em andamento para esta pessoa e este sistema: nº {filed.protocol}."
    assert response.status_code == 200
    assert sentence in page.summary
    typed_is_still_there(page, posted)
    assert AccessRequest.objects.get() == filed


@pytest.mark.parametrize("status", [Status.REJECTED, Status.CANCELLED, Status.EXPIRED])
def test_what_was_refused_or_withdrawn_may_be_asked_again(client, requester, status):
    before = request_in(status)
    client.post(NEW, answers(before.employment, before.user_type))
    assert AccessRequest.objects.open().count() == 1


def test_who_already_has_the_access_is_not_asked_for_again(client, requester):
    request = request_in(Status.PENDING)
    workflow.move(request.pk, Status.APPROVED, by=analyst())
    page = Page(client.post(NEW, answers(request.employment, request.user_type)))
    assert f"Esta pessoa já tem acesso a {request.user_type}." in page.summary
    assert AccessRequest.objects.count() == 1


def test_a_person_without_an_address_cannot_be_asked_for(client, requester):
    page = Page(client.post(NEW, answers(EmploymentFactory(user__email=""))))
    assert "Esta pessoa não tem e-mail no cadastro e não receberia a credencial." in page.summary
    assert not AccessRequest.objects.exists()


def test_who_has_no_bond_asks_for_nothing_and_is_told_why(client):
    client.force_login(UserFactory())
    posted = answers()
    assert "sem vínculo ativo" in Page(client.get(NEW)).text
    page = Page(client.post(NEW, posted))
    assert "Só quem tem vínculo ativo com o Tribunal pode pedir acessos." in page.summary
    typed_is_still_there(page, posted)
    assert not AccessRequest.objects.exists()


def test_script_in_a_name_or_in_the_text_is_shown_as_text(client, requester):
    bond = EmploymentFactory(user__name=SCRIPT, cargo=SCRIPT, unit__name=SCRIPT)
    user_type = UserTypeFactory(name=SCRIPT, system__name=SCRIPT)
    posted = answers(bond, user_type, description=SCRIPT, requester_phone="x")

    page = client.post(NEW, posted).content.decode()

    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5  # name, cargo, unit, both lists, text
    assert SCRIPT not in page


# --- Without JavaScript ----------------------------------------------------------------------------------------------
def test_the_search_step_lists_people_keeps_what_was_typed_and_the_choice_is_taken(client, requester):
    bond = EmploymentFactory(user__name="JOÃO AÇÃO DA CÂMARA", matricula="081135", cargo="Oficial de Justiça")
    EmploymentFactory(user__name="BRUNO DIAS")
    typed = answers(beneficiary=None, beneficiary_search="joao acao", nonce=form_of(client))

    page = Page(client.post(NEW, {**typed, "buscar": "1"}))

    assert page.summary == ""
    typed_is_still_there(page, typed)
    assert (page.value("user_type"), page.value("system")) == (str(typed["user_type"]), str(typed["system"]))
    assert page.value("beneficiary_search") == "joao acao"
    assert page.value("nonce") == typed["nonce"]
    [radio] = page.all("input", type="radio", name="beneficiary")
    described = text_of(page.one("label", for_=dict(radio.attributes)["id"]))
    assert described == f"João Ação da Câmara — matrícula 081135 — Oficial de Justiça — {bond.unit}"
    assert not AccessRequest.objects.exists()

    client.post(NEW, {**typed, "beneficiary": dict(radio.attributes)["value"]})

    assert AccessRequest.objects.get().employment == bond


def test_searching_again_forgets_who_was_chosen_before(client, requester):
    before, wanted = EmploymentFactory(user__name="BRUNO DIAS"), EmploymentFactory(user__name="CARLA PAZ")
    page = Page(client.post(NEW, answers(before, beneficiary_search="carla", buscar="1")))
    [radio] = page.all("input", type="radio", name="beneficiary")
    assert dict(radio.attributes)["value"] == str(wanted.pk)
    assert ("checked", None) not in radio.attributes


@pytest.mark.parametrize("typed", ["ninguém assim", "ab", "", "%", "'", "\0", LONG, "(67)"])
def test_a_search_that_finds_nobody_says_so(client, requester, typed):
    posted = answers(beneficiary=None, beneficiary_search=typed, buscar="1")
    response = client.post(NEW, posted)
    page = Page(response)
    assert response.status_code == 200
    assert NOBODY in page.notices
    typed_is_still_there(page, posted)
    assert not page.all("input", type="radio")


def test_searching_never_lists_who_has_left(client, requester):
    EmploymentFactory(user__name="CARLA PAZ", ended_on=yesterday())
    EmploymentFactory(user__name="CARLA PONTES", user__is_active=False)
    page = Page(client.post(NEW, answers(beneficiary=None, beneficiary_search="carla", buscar="1")))
    assert not page.all("input", type="radio")


# --- A form that was open too long -----------------------------------------------------------------------------------
STALE = "A página ficou aberta por muito tempo. Confira o que digitou e envie de novo."


@pytest.fixture
def strict_client(make_client):
    """A client whose forms need their token, as a browser's do."""
    return make_client(enforce_csrf_checks=True)


def test_a_stale_token_shows_the_form_again_and_it_can_be_sent_then(strict_client):
    strict_client.force_login(EmploymentFactory().user)
    bond = EmploymentFactory(user__name="CARLA PAZ")
    posted = answers(bond, nonce=form_of(strict_client), csrfmiddlewaretoken="a" * 64)

    response = strict_client.post(NEW, posted)

    page = Page(response)
    assert page.notices == [STALE]
    typed_is_still_there(page, posted)
    assert page.one("input", type="radio", value=str(bond.pk), checked=None)
    assert (page.value("user_type"), page.value("system")) == (str(posted["user_type"]), str(posted["system"]))
    assert page.value("nonce") == posted["nonce"]
    assert not AccessRequest.objects.exists()

    strict_client.post(NEW, {**posted, "csrfmiddlewaretoken": page.value("csrfmiddlewaretoken")})

    assert AccessRequest.objects.get().employment == bond


@pytest.mark.parametrize("whose", ["another person's", "none", "mangled"])
def test_a_stale_form_of_nobody_here_is_refused_without_what_was_typed(strict_client, make_client, whose):
    other = make_client()
    other.force_login(EmploymentFactory().user)
    nonce = {"another person's": form_of(other), "none": None, "mangled": form_of(other)[::-1]}[whose]
    strict_client.force_login(EmploymentFactory().user)

    response = strict_client.post(NEW, answers(description="Só para quem escreveu.", nonce=nonce))

    assert response.status_code == 403
    page = Page(response)
    assert "A página ficou aberta por muito tempo" in page.text
    assert page.one("a", href=NEW)
    assert "Só para quem escreveu." not in response.content.decode()
    assert not AccessRequest.objects.exists()


def test_a_stale_correction_is_shown_again_with_what_was_typed(strict_client):
    request = request_in(Status.PENDING)
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    strict_client.force_login(request.requester)
    address = f"/solicitacoes/{request.protocol}/corrigir/"
    nonce = Page(strict_client.get(address)).value("nonce")
    posted = answers(request.employment, request.user_type, nonce=nonce, description="Portaria 12/2026.")

    page = Page(strict_client.post(address, posted))

    assert page.notices == [STALE]
    typed_is_still_there(page, posted)
    request.refresh_from_db()
    assert request.status == Status.RETURNED

    strict_client.post(address, {**posted, "csrfmiddlewaretoken": page.value("csrfmiddlewaretoken")})
    request.refresh_from_db()
    assert (request.status, request.description) == (Status.PENDING, "Portaria 12/2026.")


def test_fault_20_a_stale_correction_of_another_persons_request_shows_nothing_of_it(strict_client):
    request = request_in(Status.PENDING, description="Nada que um estranho deva ler.")
    workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta a portaria.")
    strict_client.force_login(EmploymentFactory().user)
    posted = answers(nonce=form_of(strict_client))
    response = strict_client.post(f"/solicitacoes/{request.protocol}/corrigir/", posted)
    assert response.status_code in {403, 404}
    assert "Nada que um estranho" not in response.content.decode()
    assert request.beneficiary_name not in response.content.decode()


def test_a_session_that_ended_leads_through_the_door_back_to_the_form(client, requester):
    posted = answers(nonce=form_of(client))
    Session.objects.all().delete()

    refused = client.post(NEW, posted)

    door = urlsplit(refused.url)
    assert (refused.status_code, door.path, parse_qs(door.query)) == (302, "/entrar/", {"next": [NEW]})
    assert not AccessRequest.objects.exists()
    login = Page(client.get(refused.url))
    entered = client.post(
        "/entrar/", {"username": requester.cpf, "password": PASSWORD, "next": login.value("next")}, follow=True
    )
    assert entered.redirect_chain == [(NEW, 302)]
    assert text_of(Page(entered).one("h1")) == "Nova Solicitação"


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_not_for_this_page(client, requester, method):
    assert getattr(client, method)(NEW).status_code == 405


def test_no_cpf_stands_on_the_form(client, requester):
    bond = EmploymentFactory(user__name="CARLA PAZ")
    page = client.post(NEW, answers(beneficiary=None, beneficiary_search="carla", buscar="1")).content.decode()
    assert "Carla Paz" in page
    for cpf in (bond.user.cpf, requester.cpf):
        assert cpf not in re.sub(r"[.\-]", "", page)
    assert bond.user.email not in page
