"""What was typed and not sent: kept, found again, thrown away, and never anybody else's."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.conf import settings as project
from django.contrib.auth.hashers import make_password
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.http import KEPT, NOT_SENT
from accounts.models import AddressChange, Session
from accounts.tests.factories import PASSWORD, EmploymentFactory, UnitFactory
from requests_app import workflow
from requests_app.drafts import FIELDS
from requests_app.models import AccessGrant, AccessRequest, Draft, GrantStatus, RequestEvent, Status
from requests_app.opening import AS_LAST_TIME, PERSON_GONE, SEVERAL_BONDS, SYSTEM_GONE, TYPE_GONE, UNIT_GONE

from .factories import UserTypeFactory, analyst, request_in, unsaved_request
from .files import pdf
from .pages import Page
from .test_request_form import answers, form_of

pytestmark = pytest.mark.django_db

NEW, KEEP, DISCARD = "/solicitacoes/nova/", "/rascunho/", "/rascunho/descartar/"
TEXT = "Consulta de mandados no plantão."


@pytest.fixture
def requester(client):
    user = EmploymentFactory(cargo="Chefe de Cartório").user
    client.force_login(user)
    return user


def typed(client, *args, **changes):
    """What stands in a form that this person has opened."""
    return answers(*args, nonce=form_of(client), **{"description": TEXT, **changes})


def kept(client, posted):
    answer = client.post(KEEP, posted)
    assert answer.status_code == 200, answer.content
    return answer.json()


# --- Kept and found again --------------------------------------------------------------------------------------------
def test_what_was_typed_is_found_again_on_another_device(client, make_client, requester):
    bond, user_type = EmploymentFactory(), UserTypeFactory()
    with time_machine.travel(datetime(2026, 11, 23, 14, 5, tzinfo=ZoneInfo(project.TIME_ZONE)), tick=False):
        said = kept(
            client, typed(client, bond, user_type, beneficiary_search="maria", requester_phone="(67) 99999-0000")
        )

        other = make_client()
        other.force_login(requester)
        page = Page(other.get(NEW))

    assert said == {"at": "14h05", "note": ""}
    assert "Há um rascunho de 23/11 às 14h05." in page.text
    assert page.value("description") == TEXT
    assert page.value("requester_phone") == "(67) 99999-0000"
    assert (page.value("beneficiary"), page.value("user_type")) == (str(bond.pk), str(user_type.pk))
    assert page.value("system") == str(user_type.system_id)


def test_nobody_else_sees_it(client, make_client, requester):
    kept(client, typed(client))
    other = make_client()
    other.force_login(EmploymentFactory().user)

    page = Page(other.get(NEW))

    assert TEXT not in page.text
    assert page.value("description") == ""
    assert "rascunho de" not in page.text


def test_without_javascript_a_button_saves_it_and_the_page_stays_as_it_was(client, requester):
    posted = typed(client, attachments=SimpleUploadedFile("oficio.pdf", pdf()), salvar="1")

    page = Page(client.post(NEW, posted))

    assert re.fullmatch(r"Rascunho salvo às [0-9]{2}h[0-9]{2}\.", page.notices[0])
    assert page.value("description") == TEXT
    assert "oficio.pdf" in page.text
    assert Page(client.get(NEW)).value("description") == TEXT
    assert not AccessRequest.objects.exists()


def test_no_file_and_no_mark_of_the_form_is_in_it(client, requester):
    kept(client, typed(client, attachments=SimpleUploadedFile("oficio.pdf", b"segredo"), password="segredo"))

    draft = Draft.objects.get()
    assert set(draft.data) == set(FIELDS)
    assert "segredo" not in json.dumps(draft.data)


def test_it_is_one_row_however_often_it_is_kept(client, requester):
    posted = typed(client)
    for number in range(3):
        kept(client, posted | {"description": f"{TEXT} {number}"})

    assert Draft.objects.get().data["description"] == f"{TEXT} 2"


def test_what_is_too_long_is_kept_cut_and_said_so(client, requester):
    said = kept(client, typed(client, description="á" * 10_000, beneficiary_search="x" * 10_000, system="9" * 10_000))

    assert said["note"] == "O texto passa de 2000 letras. O rascunho guarda só o começo."
    data = Draft.objects.get().data
    assert (data["description"], len(data["beneficiary_search"]), len(data["system"])) == ("á" * 2000, 200, 20)
    assert Page(client.get(NEW)).value("description") == "á" * 2000


@pytest.mark.parametrize(
    "text", ["a\0b", "a\ud800b", "\U0001f600" * 10, "</textarea><script>alert(1)</script>", "\r\n\r\n"]
)
def test_any_text_is_kept_or_left_out_and_breaks_nothing(client, requester, text):
    posted = {name: text.encode(errors="replace").decode() for name in FIELDS} | {"nonce": form_of(client)}

    kept(client, posted)

    assert client.get(NEW).status_code == 200


def test_a_form_of_somebody_else_is_not_kept(client, make_client, requester):
    """Two people at one browser: a page that the first has left open."""
    posted = typed(client)
    client.force_login(EmploymentFactory().user)

    for nonce in (posted["nonce"], "", "nada"):
        assert client.post(KEEP, posted | {"nonce": nonce}).status_code == 409
    assert not Draft.objects.exists()


def test_a_page_that_comes_by_get_leads_to_the_form(client, requester):
    for address in (KEEP, DISCARD):
        assert client.get(address)["Location"] == NEW


# --- Gone ------------------------------------------------------------------------------------------------------------
def test_it_goes_with_the_sending_and_the_open_page_does_not_bring_it_back(client, requester):
    posted = typed(client)
    kept(client, posted)

    client.post(NEW, posted)

    assert AccessRequest.objects.get().description == TEXT
    assert not Draft.objects.exists()
    assert client.post(KEEP, posted).status_code == 409
    assert not Draft.objects.exists()


def test_a_sending_that_is_refused_leaves_it(client, requester):
    bond, user_type = EmploymentFactory(), UserTypeFactory()
    workflow.file(unsaved_request(bond=bond, user_type=user_type))
    posted = typed(client, bond, user_type)
    kept(client, posted)

    client.post(NEW, posted)

    assert AccessRequest.objects.count() == 1
    assert Draft.objects.get().user == requester


def test_beginning_anew_throws_away_ones_own_and_no_other(client, requester):
    other = EmploymentFactory().user
    Draft.objects.create(user=other, data={"description": "De outra pessoa"})
    kept(client, typed(client))
    assert Page(client.get(NEW)).one("form", action=DISCARD)

    page = Page(client.post(DISCARD, follow=True))

    assert page.value("description") == ""
    assert page.notices == ["O rascunho foi apagado."]
    assert [draft.user for draft in Draft.objects.all()] == [other]


# --- What is gone meanwhile ------------------------------------------------------------------------------------------
def test_a_person_who_left_is_not_offered(client, requester):
    bond = EmploymentFactory(user__name="MARIA QUE SAIU")
    kept(client, typed(client, bond, beneficiary_search="Maria que Saiu"))
    type(bond).objects.filter(pk=bond.pk).update(ended_on="2021-01-01")

    page = Page(client.get(NEW))

    assert PERSON_GONE in page.text
    assert page.value("beneficiary") in {None, ""}
    assert "Maria que Saiu" not in page.text
    assert page.value("beneficiary_search") == ""


def test_a_system_a_type_and_a_unit_that_are_gone_are_said(client, requester):
    user_type = UserTypeFactory(system__asks_unit=True)
    unit = UnitFactory()
    kept(client, typed(client, None, user_type, unit=unit.pk))
    type(unit).objects.filter(pk=unit.pk).update(ended_on="2021-01-01")
    type(user_type).objects.filter(pk=user_type.pk).update(is_active=False)

    page = Page(client.get(NEW))
    assert TYPE_GONE in page.text
    assert UNIT_GONE in page.text
    assert page.value("system") == str(user_type.system_id)

    type(user_type.system).objects.filter(pk=user_type.system_id).update(is_active=False)
    page = Page(client.get(NEW))
    assert SYSTEM_GONE in page.text
    assert page.value("system") == ""


@pytest.mark.parametrize(
    "data", [{"beneficiary": "x", "system": "9" * 30, "user_type": [], "unit": None}, {"antigo": 1}, {}]
)
def test_a_draft_of_another_release_opens(client, requester, data):
    UserTypeFactory(system__asks_unit=True)
    Draft.objects.create(user=requester, data=data)

    assert client.get(NEW).status_code == 200


# --- The session ended -----------------------------------------------------------------------------------------------
def end_sessions():
    Session.objects.all().delete()


def test_what_was_sent_after_the_session_ended_waits_for_the_person_whose_form_it_was(client, requester):
    posted = typed(client)
    end_sessions()

    door = client.post(NEW, posted, follow=True)

    assert KEPT in door.content.decode()
    client.post("/entrar/", {"username": requester.cpf, "password": PASSWORD, "next": NEW})
    assert Page(client.get(NEW)).value("description") == TEXT
    assert not AccessRequest.objects.exists()


def test_whoever_comes_in_instead_does_not_see_it(client, requester):
    posted = typed(client)
    end_sessions()
    client.post(NEW, posted)
    client.force_login(EmploymentFactory().user)

    assert TEXT not in client.get(NEW).content.decode()
    assert Draft.objects.get().user == requester


@pytest.mark.parametrize("nonce", ["", "nada", "WzEsICJ4Il0:1x:y", "\0"])
def test_without_the_mark_of_a_form_of_ours_nothing_is_kept(client, requester, nonce):
    posted = typed(client)
    end_sessions()

    door = client.post(NEW, posted | {"nonce": nonce}, follow=True)

    assert NOT_SENT in door.content.decode()
    assert not Draft.objects.exists()


def test_a_form_older_than_a_day_is_kept_for_nobody(client, requester):
    posted = typed(client)
    end_sessions()

    with time_machine.travel(timedelta(days=1, minutes=1)):
        door = client.post(NEW, posted, follow=True)

    assert NOT_SENT in door.content.decode()
    assert not Draft.objects.exists()


def test_who_may_not_sign_in_any_more_leaves_no_draft(client, requester):
    posted = typed(client)
    end_sessions()
    type(requester).objects.update(is_active=False)

    client.post(NEW, posted)

    assert not Draft.objects.exists()


def test_the_script_says_nothing_at_the_door_and_keeps_nothing_there(client, requester):
    posted = typed(client)
    end_sessions()

    door = client.post(KEEP, posted, follow=True)

    assert NOT_SENT not in door.content.decode()
    assert not Draft.objects.exists()


# --- A correction ----------------------------------------------------------------------------------------------------
@pytest.fixture
def returned(requester):
    request = workflow.file(unsaved_request(requester=requester))
    return workflow.move(request.pk, Status.RETURNED, by=analyst(), note="Falta o ato.")


def correction_of(client, request, **changes):
    page = Page(client.get(f"/solicitacoes/{request.protocol}/corrigir/"))
    posted = {name: page.value(name) or "" for name in (*FIELDS, "nonce") if name != "unit"}
    return posted | {"description": TEXT, "protocolo": request.protocol} | changes


def test_a_correction_has_a_draft_of_its_own_that_goes_with_it(client, requester, returned):
    address = f"/solicitacoes/{returned.protocol}/corrigir/"
    posted = correction_of(client, returned)
    kept(client, posted)

    assert Page(client.get(address)).value("description") == TEXT
    assert Page(client.get(NEW)).value("description") == ""

    client.post(address, posted)

    returned.refresh_from_db()
    assert (returned.status, returned.description) == (Status.PENDING, TEXT)
    assert not Draft.objects.exists()
    assert client.post(KEEP, posted).status_code == 409
    assert not Draft.objects.exists()


def test_beginning_a_correction_anew_shows_the_request_as_it_stands(client, requester, returned):
    kept(client, correction_of(client, returned))

    page = Page(client.post(DISCARD, {"protocolo": returned.protocol}, follow=True))

    assert page.value("description") == returned.description
    assert not Draft.objects.exists()


def test_a_correction_of_another_persons_request_is_not_found(client, requester):
    other = request_in(Status.RETURNED)

    for address in (KEEP, DISCARD):
        answer = client.post(address, {"protocolo": other.protocol, "nonce": form_of(client)})
        assert answer.status_code == 404
    assert not Draft.objects.exists()


def test_a_correction_sent_after_the_session_ended_is_kept_too(client, requester, returned):
    posted = correction_of(client, returned)
    end_sessions()

    door = client.post(f"/solicitacoes/{returned.protocol}/corrigir/", posted, follow=True)

    assert KEPT in door.content.decode()
    assert Draft.objects.get().form == returned.protocol


@pytest.mark.parametrize("protocol", ["2026-999999", "x", "%00"])
def test_a_correction_of_what_is_not_theirs_is_kept_for_nobody(client, requester, protocol):
    posted = typed(client)
    other = request_in(Status.RETURNED)
    end_sessions()

    for address in (protocol, other.protocol):
        client.post(f"/solicitacoes/{address}/corrigir/", posted)

    assert not Draft.objects.exists()


# --- Remembered from last time ---------------------------------------------------------------------------------------
def test_address_and_telephone_are_those_of_the_last_request(client, requester):
    request_in(Status.CANCELLED, requester=requester, email="antes@tjms.jus.br", phone="(67) 1111-1111")
    request_in(Status.CANCELLED, requester=requester, email="depois@tjms.jus.br", phone="(67) 2222-2222")
    request_in(Status.CANCELLED, bond=requester.employments.get(), email="outra@tjms.jus.br", phone="(67) 3333-3333")

    page = Page(client.get(NEW))

    assert (page.value("requester_email"), page.value("requester_phone")) == ("depois@tjms.jus.br", "(67) 2222-2222")
    assert page.text.count(AS_LAST_TIME) == 2


def test_who_never_asked_reads_nothing_of_a_last_time(client, requester):
    request_in(Status.CANCELLED, bond=requester.employments.get())

    page = Page(client.get(NEW))

    assert page.value("requester_email") == requester.email
    assert AS_LAST_TIME not in page.text


def test_an_address_that_was_changed_since_comes_from_the_directory(client, requester):
    request_in(Status.CANCELLED, requester=requester, email="antes@tjms.jus.br", phone="(67) 1111-1111")
    AddressChange.objects.create(user=requester, old="antes@tjms.jus.br")

    page = Page(client.get(NEW))

    assert (page.value("requester_email"), page.value("requester_phone")) == (requester.email, "(67) 1111-1111")
    assert page.text.count(AS_LAST_TIME) == 1


def test_the_form_costs_the_same_with_many_requests(client, requester):
    def queries():
        with CaptureQueriesContext(connection) as made:
            client.get(NEW)
        return len(made)

    user_type = UserTypeFactory()
    request_in(Status.CANCELLED, requester=requester, user_type=user_type)
    queries()
    with_one = queries()
    for _ in range(2):
        request_in(Status.CANCELLED, requester=requester, user_type=user_type)

    assert queries() == with_one


# --- Ask again -------------------------------------------------------------------------------------------------------
def ask_again(client, request):
    return client.get(NEW, {"de": request.protocol})


@pytest.mark.parametrize("status", [Status.REJECTED, Status.CANCELLED, Status.EXPIRED])
def test_what_is_over_is_asked_again_with_what_stood_in_it(client, requester, status):
    unit = UnitFactory()
    user_type = UserTypeFactory(system__asks_unit=True)
    old = request_in(status, requester=requester, user_type=user_type, unit=unit, description=TEXT)

    page = Page(ask_again(client, old))

    assert f"Preenchido com os dados do pedido {old.protocol}" in page.text
    assert (page.value("description"), page.value("beneficiary")) == (TEXT, str(old.employment_id))
    assert (page.value("user_type"), page.value("unit")) == (str(user_type.pk), str(unit.pk))
    assert not page.one(id="left-out")


def test_the_page_of_what_is_over_leads_there_and_the_new_request_is_another(client, requester):
    filed = workflow.file(unsaved_request(requester=requester))
    old = workflow.move(filed.pk, Status.REJECTED, by=analyst(), note="Sem finalidade.")
    link = f"{NEW}?de={old.protocol}"
    assert Page(client.get(old.get_absolute_url())).one("a", href=link)
    page = Page(client.get(link))

    client.post(NEW, {name: page.value(name) or "" for name in (*FIELDS, "nonce") if name != "unit"})

    new = AccessRequest.objects.exclude(pk=old.pk).get()
    assert (new.employment, new.user_type, new.description) == (old.employment, old.user_type, old.description)
    old.refresh_from_db()
    assert old.status == Status.REJECTED


@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED])
def test_what_goes_on_is_not_asked_again(client, requester, status):
    old = request_in(status, requester=requester)

    assert ask_again(client, old)["Location"] == old.get_absolute_url()
    RequestEvent.objects.create(request=old, to_status=status, note="Falta o ato.")
    assert "Pedir de novo" not in client.get(old.get_absolute_url()).content.decode()


@pytest.mark.parametrize("status", GrantStatus)
def test_what_was_completed_is_asked_again_once_the_access_has_ended(client, requester, status):
    bond = EmploymentFactory(user__password=make_password(None))
    old = request_in(Status.COMPLETED, requester=requester, bond=bond)
    AccessGrant.objects.create(request=old, user=bond.user, user_type=old.user_type, status=status)

    has_ended = status in {GrantStatus.REVOKED, GrantStatus.EXPIRED}
    assert (ask_again(client, old).status_code == 200) == has_ended
    assert ("Pedir de novo" in client.get(old.get_absolute_url()).content.decode()) == has_ended


@pytest.mark.parametrize("protocol", ["2026-999999", "x", "", "\0", "٢٠٢٦-000001"])
def test_nothing_to_ask_again_is_not_found(client, requester, protocol):
    assert client.get(NEW, {"de": protocol}).status_code == 404


def test_another_persons_request_is_not_found(client, requester):
    assert ask_again(client, request_in(Status.REJECTED)).status_code == 404


def test_who_moved_is_asked_for_in_the_new_bond(client, requester):
    old = request_in(Status.REJECTED, requester=requester)
    type(old.employment).objects.filter(pk=old.employment_id).update(ended_on="2021-01-01")
    bond = EmploymentFactory(user=old.beneficiary, matricula="7654321")

    page = Page(ask_again(client, old))

    assert page.value("beneficiary") == str(bond.pk)
    assert "O vínculo daquele pedido terminou. Confira a pessoa: agora vale a matrícula 7654321." in page.text


def test_of_a_person_who_left_or_has_two_new_bonds_somebody_has_to_choose(client, requester):
    left, twice = (request_in(Status.REJECTED, requester=requester) for _ in range(2))
    for old in (left, twice):
        type(old.employment).objects.filter(pk=old.employment_id).update(ended_on="2021-01-01")
    for _ in range(2):
        EmploymentFactory(user=twice.beneficiary)

    for old, sentence in ((left, PERSON_GONE), (twice, SEVERAL_BONDS)):
        page = Page(ask_again(client, old))
        assert [said in page.text for said in (PERSON_GONE, SEVERAL_BONDS)] == [
            said == sentence for said in (PERSON_GONE, SEVERAL_BONDS)
        ]
        assert page.value("beneficiary") in {None, ""}
        assert page.value("description") == old.description


def test_a_draft_that_waits_is_not_lost_unseen(client, requester):
    kept(client, typed(client, description="Outro texto, começado ontem."))
    old = request_in(Status.REJECTED, requester=requester, description=TEXT)

    page = Page(ask_again(client, old))

    assert page.value("description") == TEXT
    assert "Você também tem um rascunho de" in page.text
    assert page.one("a", href=NEW)
    assert Draft.objects.get().data["description"] == "Outro texto, começado ontem."
