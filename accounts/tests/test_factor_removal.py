"""A lost second factor: two of Gestão take it off, and whoever it belongs to hears of it in time."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from urllib.parse import unquote, urlencode

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import factors, housekeeping, outbox, removals
from accounts.cpf import formatted
from accounts.models import Authenticator, FactorRemoval, OutgoingMail, RecoveryCode, SecurityEvent, User
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory, cpf_of
from accounts.tests.telephone import with_codes, with_telephone
from requests_app.tests.factories import analyst, manager, superuser
from requests_app.tests.pages import Page, text_of
from requests_app.tests.test_concurrency import at_once

LIST = "/admin/accounts/factorremoval/"
REASON = "Celular roubado; conferi por telefone com a chefia da unidade."
Kind = SecurityEvent.Kind


@pytest.fixture
def lost(db):
    """One of the staff who has lost telephone and list."""
    person = analyst()
    with_telephone(person)
    with_codes(person)
    return person


@pytest.fixture
def asker(db):
    return manager()


@pytest.fixture
def removal(lost, asker, rf):
    return removals.ask(lost.pk, REASON, by=asker, request=rf.get("/"))


def signed_in(client, user):
    client.force_login(user)
    return client


def ask(client, person, reason=REASON):
    return client.post(f"{LIST}{person.pk}/pedir/", {"reason": reason})


def confirm(client, removal):
    return client.post(f"{LIST}{removal.pk}/confirmar/")


def refuse(client, removal):
    return client.post(f"{LIST}{removal.pk}/recusar/")


def refusal_on(response):
    return text_of(Page(response).one("ul", class_="errorlist"))


def is_off(person):
    return factors.of(person) is None and not RecoveryCode.objects.filter(user=person).exists()


def mails(person):
    owed = OutgoingMail.objects.filter(recipient=person).order_by("pk")
    return [outbox.KINDS[mail.kind].build(mail) for mail in owed]


# --- Asking ---------------------------------------------------------------------------------------------------------
def test_gestao_asks_with_a_reason_and_the_person_hears_of_it(client, lost, asker):
    signed_in(client, asker)
    assert client.get(f"{LIST}{lost.pk}/pedir/").status_code == 200

    answer = ask(client, lost)

    removal = FactorRemoval.objects.get()
    assert answer["Location"] == f"{LIST}{removal.pk}/change/"
    assert (removal.user, removal.asked_by, removal.reason) == (lost, asker, REASON)
    assert removal.lapses_at - removal.asked_at == timedelta(hours=24)
    assert not is_off(lost)
    event = SecurityEvent.objects.get(user=lost, kind=Kind.FACTOR_REMOVAL_ASKED)
    assert event.actor == asker
    [mail] = mails(lost)
    assert "Se não foi você, ligue logo para a Coordenadoria" in mail.body
    assert REASON not in mail.body


@pytest.mark.parametrize("somebody", [analyst, UserFactory, lambda: UserFactory(is_staff=True)])
def test_fault_19_nobody_without_the_permission_sees_or_does_anything(client, removal, lost, somebody):
    signed_in(client, somebody())
    other = analyst()
    with_telephone(other)

    for address in (LIST, f"{LIST}{removal.pk}/change/", f"{LIST}{other.pk}/pedir/"):
        answer = client.get(address, follow=True)
        assert answer.status_code == 403
        assert REASON not in answer.content.decode()
    for answer in (ask(client, other), confirm(client, removal), refuse(client, removal)):
        assert answer.status_code in {302, 403}

    removal.refresh_from_db()
    assert (removal.confirmed_at, removal.refused_at) == (None, None)
    assert FactorRemoval.objects.count() == 1


def test_nobody_asks_for_themselves(client, asker):
    with_telephone(asker)
    signed_in(client, asker)

    page = client.get(f"{LIST}{asker.pk}/pedir/")
    answer = ask(client, asker)

    assert "Ninguém pede a retirada para si." in page.content.decode()
    assert answer.status_code == 409
    assert not FactorRemoval.objects.exists()


def test_nothing_is_asked_for_who_has_no_second_factor(client, asker):
    person = UserFactory()
    signed_in(client, asker)

    answer = ask(client, person)

    assert refusal_on(answer) == "Esta pessoa não usa a verificação em duas etapas."
    assert not FactorRemoval.objects.exists()


def test_one_request_at_a_time(client, removal, lost):
    signed_in(client, manager())

    answer = ask(client, lost, "De novo.")

    assert refusal_on(answer) == "Já há um pedido aberto para esta pessoa."
    assert FactorRemoval.objects.count() == 1


def test_one_that_has_lapsed_makes_way_for_a_new_one(client, removal, lost):
    again = manager()
    with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=1)):
        ask(signed_in(client, again), lost, "De novo.")

    removal.refresh_from_db()
    assert removal.refused_at == removal.lapses_at
    assert removal.refused_by is None
    assert FactorRemoval.objects.get(refused_at=None).reason == "De novo."
    assert SecurityEvent.objects.get(kind=Kind.FACTOR_ASK_LAPSED).actor is None


def test_one_that_lapses_is_closed_by_nobody_recorded_and_told(client, removal, lost, smtp_sink):
    with time_machine.travel(removal.lapses_at - timedelta(seconds=1)):
        housekeeping.run()
    removal.refresh_from_db()
    assert removal.refused_at is None

    with time_machine.travel(removal.lapses_at + timedelta(seconds=1)):
        housekeeping.run()
        housekeeping.run()
        page = text_of(Page(signed_in(client, manager()).get(f"{LIST}{removal.pk}/change/")).one("main"))

    removal.refresh_from_db()
    assert (removal.refused_by, removal.refused_at) == (None, removal.lapses_at)
    event = SecurityEvent.objects.get(kind=Kind.FACTOR_ASK_LAPSED)
    assert (event.user, event.actor) == (lost, None)
    assert not SecurityEvent.objects.filter(kind=Kind.FACTOR_REMOVAL_ENDED).exists()
    assert "Venceu sem confirmação" in page
    assert "recusad" not in page.lower()
    assert not is_off(lost)
    [_asked, told] = mails(lost)
    assert told.subject == "Verificação em duas etapas mantida"
    assert "venceu sem confirmação" in told.body


def test_in_ones_own_data_a_lapsed_one_is_not_called_refused(client, removal, lost):
    with time_machine.travel(removal.lapses_at + timedelta(seconds=1)):
        housekeeping.run()
        shown = Page(signed_in(client, lost).get("/conta/meus-dados/")).text

    assert f"{REASON} vencida" in shown
    assert "fator recusada" not in shown
    assert "Retirada de segundo fator vencida" in shown


@pytest.mark.django_db(transaction=True)
def test_fault_17_one_that_lapses_while_another_is_asked_is_told_once(make_client, removal, lost):
    window = signed_in(make_client(), superuser())
    FactorRemoval.objects.update(lapses_at=timezone.now())

    answer, _done = at_once(lambda: ask(window, lost), housekeeping.run)

    assert answer.status_code == 302
    assert SecurityEvent.objects.filter(kind=Kind.FACTOR_ASK_LAPSED).count() == 1
    assert FactorRemoval.objects.filter(refused_at=None).count() == 1


def test_a_reason_is_kept_without_cpf_and_addresses_and_fits_its_column(client, lost, asker):
    signed_in(client, asker)

    ask(client, lost, f"CPF {lost.cpf}, de maria@tjms.jus.br: ".ljust(189, "x") + lost.cpf)

    kept = FactorRemoval.objects.get().reason
    assert kept.startswith(f"CPF {lost.masked_cpf}, de m***@tjms.jus.br: x")
    assert lost.cpf not in kept
    assert len(kept) == 200


BAD = [
    ("", "Escreva o motivo."),
    ("   ", "Escreva o motivo."),
    ("x" * 201, "Use no máximo 200 caracteres."),
    ("x" * 1_000_000, "Use no máximo 200 caracteres."),
    ("a\x00b", "Caracteres nulos não são permitidos."),
    (["a", "b"], "Este campo veio mais de uma vez. Digite um valor só."),
]


@pytest.mark.parametrize(("reason", "sentence"), BAD)
def test_fault_3_and_11_an_odd_reason_gets_a_sentence(client, lost, asker, reason, sentence):
    signed_in(client, asker)

    body = urlencode({"reason": reason}, doseq=True)
    answer = client.post(f"{LIST}{lost.pk}/pedir/", body, content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 200
    assert [text_of(error) for error in Page(answer).all("span", class_="errornote")] == [sentence]
    assert not FactorRemoval.objects.exists()


def test_a_reason_is_text_and_nothing_else(client, lost, asker):
    signed_in(client, asker)

    ask(client, lost, "<script>alert(1)</script>")

    page = client.get(f"{LIST}{FactorRemoval.objects.get().pk}/change/").content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("pk", ["999999999", "99999999999999999999", "0"])
def test_a_person_or_request_that_is_not_there_is_not_found(client, asker, pk):
    signed_in(client, asker)

    for address in (f"{LIST}{pk}/pedir/", f"{LIST}{pk}/confirmar/", f"{LIST}{pk}/recusar/"):
        assert client.post(address, {"reason": "x"}).status_code == 404


# --- Superusers -----------------------------------------------------------------------------------------------------
@pytest.fixture
def lost_by_superuser(db):
    person = superuser()
    with_telephone(person)
    return person


def test_four_eyes_of_gestao_do_not_reach_a_superuser(client, make_client, lost_by_superuser, asker):
    page = signed_in(client, asker).get(f"{LIST}{lost_by_superuser.pk}/pedir/")
    answer = ask(client, lost_by_superuser)

    assert page.content.decode().count("Só outro administrador do portal pede a retirada") == 1
    assert Page(page).one("textarea", name="reason") is Page(page).one("input", name="reason") is None
    assert answer.status_code == 409
    assert not FactorRemoval.objects.exists()

    ask(signed_in(make_client(), superuser()), lost_by_superuser)
    removal = FactorRemoval.objects.get()
    for deed in (confirm, refuse):
        assert deed(client, removal).status_code == 409
    assert f"{LIST}{removal.pk}/change/" not in client.get("/admin/").content.decode()
    assert not is_off(lost_by_superuser)


def test_four_eyes_of_two_superusers_do(client, make_client, lost_by_superuser):
    ask(signed_in(client, superuser()), lost_by_superuser)
    removal = FactorRemoval.objects.get()
    other = signed_in(make_client(), superuser())
    assert f"{LIST}{removal.pk}/change/" in other.get("/admin/").content.decode()

    confirm(other, removal)

    assert is_off(lost_by_superuser)


# --- Confirming -----------------------------------------------------------------------------------------------------
def test_four_eyes_another_of_gestao_confirms_and_it_is_off_recorded_and_told(client, make_client, removal, lost):
    theirs = signed_in(make_client(), lost)
    other = manager()

    answer = confirm(signed_in(client, other), removal)

    assert answer["Location"] == f"{LIST}{removal.pk}/change/"
    assert is_off(lost)
    removal.refresh_from_db()
    assert (removal.confirmed_by, removal.refused_by) == (other, None)
    assert theirs.get("/conta/").status_code == 302
    event = SecurityEvent.objects.get(user=lost, kind=Kind.FACTOR_REMOVED)
    assert event.actor == other
    assert [mail.subject for mail in mails(lost)] == [
        "Pediram para retirar a verificação em duas etapas da sua conta",
        "Verificação em duas etapas retirada",
    ]
    assert "Confirmada por" in client.get(answer["Location"]).content.decode()


def test_four_eyes_who_asked_does_not_confirm(client, removal, lost, asker):
    page = signed_in(client, asker).get(f"{LIST}{removal.pk}/change/")
    assert "/confirmar/" not in page.content.decode()

    answer = confirm(client, removal)

    assert answer.status_code == 409
    assert refusal_on(answer) == "Outra pessoa da Gestão precisa confirmar: quem pede não confirma."
    assert not is_off(lost)


def test_four_eyes_who_it_is_for_does_not_confirm_or_refuse(client, asker, rf):
    member = manager()
    with_telephone(member)
    removal = removals.ask(member.pk, REASON, by=asker, request=rf.get("/"))
    signed_in(client, member)

    for answer in (confirm(client, removal), refuse(client, removal)):
        assert answer.status_code == 409
    assert not is_off(member)
    removal.refresh_from_db()
    assert removal.refused_at is None


@pytest.mark.parametrize("change", ["deactivated", "no longer of Gestão", "no longer staff of any group"])
def test_four_eyes_what_was_asked_by_who_may_not_ask_any_more_is_not_confirmed(client, removal, lost, asker, change):
    if change == "deactivated":
        User.objects.filter(pk=asker.pk).update(is_active=False)
    else:
        asker.groups.clear()

    page = signed_in(client, manager()).get(f"{LIST}{removal.pk}/change/").content.decode()
    assert "Confirmar a retirada" not in page
    assert "Quem pediu não pode mais pedir esta retirada. Recuse o pedido e faça outro." in page
    assert "Recusar" in page

    answer = confirm(client, removal)

    assert answer.status_code == 409
    assert refusal_on(answer) == "Quem pediu não pode mais pedir esta retirada. Recuse o pedido e faça outro."
    assert not is_off(lost)
    assert refuse(client, removal).status_code == 302


def test_four_eyes_hold_for_the_administrator_too(client, lost):
    one = superuser()
    signed_in(client, one)
    ask(client, lost)

    assert confirm(client, FactorRemoval.objects.get()).status_code == 409
    assert not is_off(lost)


def test_it_cannot_be_confirmed_after_a_day(client, removal, lost):
    other = manager()
    with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=1)):
        signed_in(client, other)
        page = client.get(f"{LIST}{removal.pk}/change/").content.decode()
        answer = confirm(client, removal)

    assert "Venceu sem confirmação" in page
    assert "/confirmar/" not in page
    assert refusal_on(answer) == "Este pedido venceu. Se ainda for preciso, faça outro."
    assert not is_off(lost)


def test_it_does_not_take_off_a_telephone_that_was_added_after_the_asking(client, removal, lost):
    factors.forget(lost)
    with_telephone(lost)

    answer = confirm(signed_in(client, manager()), removal)

    assert "cadastrou outro celular" in refusal_on(answer)
    assert factors.of(lost) is not None


def test_refused_is_refused(client, make_client, removal, lost):
    other = manager()
    refuse(signed_in(client, other), removal)

    answer = confirm(signed_in(make_client(), superuser()), removal)

    assert refusal_on(answer) == "Este pedido já foi encerrado."
    assert not is_off(lost)
    removal.refresh_from_db()
    assert (removal.refused_by, removal.confirmed_by) == (other, None)
    assert SecurityEvent.objects.get(kind=Kind.FACTOR_REMOVAL_ENDED).actor == other


def test_whoever_it_is_for_hears_that_it_was_refused(client, removal, lost):
    [asked] = mails(lost)
    assert "recebe outro e-mail quando terminar" in " ".join(asked.body.split())

    refuse(signed_in(client, manager()), removal)

    [_asked, told] = mails(lost)
    assert told.subject == "Verificação em duas etapas mantida"
    assert "foi recusado" in told.body
    assert "Se não foi você, ligue logo para a Coordenadoria" in " ".join(told.body.split())


def test_the_mails_say_device_and_address_of_the_person_and_nothing_of_the_staffs(client, removal, lost):
    staffs = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    signed_in(client, manager())
    client.post(f"{LIST}{removal.pk}/confirmar/", headers={"User-Agent": staffs})
    own = SecurityEvent.objects.create(
        kind=Kind.FACTOR_ON,
        user=lost,
        actor=lost,
        address="203.0.113.9",
        device="Mozilla/5.0 (Windows NT 10.0) Chrome/130",
    )
    factors.tell(own)

    [_asked, removed, turned_on] = mails(lost)
    for form in (removed.body, removed.alternatives[0].content):
        assert [word for word in ("Firefox", "Aparelho", "Endereço na internet", "Navegador") if word in form] == []
    for form in (turned_on.body, turned_on.alternatives[0].content):
        assert "Aparelho: Chrome no Windows" in form
        assert "Endereço na internet: 203.0.113.9" in form


def test_who_asked_may_take_it_back(client, removal, asker):
    refuse(signed_in(client, asker), removal)

    removal.refresh_from_db()
    assert removal.refused_by == asker


@pytest.mark.django_db(transaction=True)
def test_fault_17_of_two_who_settle_at_once_one_does(make_client, removal, lost):
    one, two = signed_in(make_client(), manager()), signed_in(make_client(), superuser())

    answers = at_once(lambda: confirm(one, removal), lambda: refuse(two, removal))

    assert sorted(answer.status_code for answer in answers) == [302, 409]
    removal.refresh_from_db()
    assert is_off(lost) is (removal.confirmed_at is not None)


@pytest.mark.django_db(transaction=True)
def test_fault_17_of_two_who_ask_at_once_one_does(make_client, lost):
    one, two = signed_in(make_client(), manager()), signed_in(make_client(), superuser())

    answers = at_once(lambda: ask(one, lost), lambda: ask(two, lost))

    assert sorted(answer.status_code for answer in answers) == [302, 409]
    assert OutgoingMail.objects.filter(recipient=lost).count() == 1


@pytest.mark.parametrize("word", ["confirmar", "recusar"])
def test_fault_19_an_opened_address_settles_nothing(client, removal, lost, word):
    signed_in(client, manager())

    answer = client.get(f"{LIST}{removal.pk}/{word}/", follow=True)

    assert "Nada foi mudado. Use os botões desta página." in answer.content.decode()
    assert not is_off(lost)


def test_a_stranger_is_led_to_the_door(client, removal, lost):
    for answer in (ask(client, lost), confirm(client, removal), client.get(LIST)):
        assert answer["Location"].startswith("/entrar/?next=/admin/accounts/factorremoval/")
    assert not is_off(lost)


def test_afterwards_the_password_is_asked_and_the_second_factor_to_be_turned_on(client, make_client, settings, removal):
    lost = removal.user
    confirm(signed_in(make_client(), manager()), removal)
    settings.STAFF_MFA = True

    client.post("/entrar/", {"username": lost.cpf, "password": PASSWORD})

    leads_to = client.get("/admin/", follow=True).redirect_chain[-1][0]
    assert unquote(leads_to) == "/conta/segundo-fator/?next=/admin/"


# --- What the database holds ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed_at": True},
        {"confirmed_by": "asker", "confirmed_at": True},
        {"confirmed_by": "lost", "confirmed_at": True},
        {"refused_by": "asker"},
        {"asked_by": "lost"},
        {"reason": ""},
    ],
)
def test_four_eyes_are_in_the_database_too(removal, lost, asker, fields):
    values = {"asker": asker, "lost": lost, True: timezone.now()}

    with pytest.raises(IntegrityError), transaction.atomic():
        FactorRemoval.objects.filter(pk=removal.pk).update(
            **{name: values.get(value, value) for name, value in fields.items()}
        )


# --- The desk -------------------------------------------------------------------------------------------------------
def test_what_waits_stands_on_the_first_page_for_who_may_confirm(client, make_client, removal, lost):
    address = f"{LIST}{removal.pk}/change/"

    assert address in signed_in(client, manager()).get("/admin/").content.decode()
    assert address not in signed_in(make_client(), analyst()).get("/admin/").content.decode()
    assert address not in signed_in(make_client(), lost).get("/admin/").content.decode()


def test_the_list_is_found_by_name_and_shows_how_each_stands(client, removal, lost):
    signed_in(client, manager())

    page = client.get(LIST, {"q": lost.name}).content.decode()
    assert lost.display_name in page
    assert "aguarda confirmação" in page
    assert lost.display_name not in client.get(LIST, {"q": "ninguém chamado assim"}).content.decode()


def test_the_list_costs_as_many_queries_with_three_rows_as_with_one(
    client, removal, asker, rf, django_assert_max_num_queries
):
    signed_in(client, manager())
    client.get(LIST)
    with CaptureQueriesContext(connection) as one:
        client.get(LIST)
    for _ in range(2):
        person = EmploymentFactory().user
        with_telephone(person)
        removals.ask(person.pk, REASON, by=asker, request=rf.get("/"))

    with django_assert_max_num_queries(len(one)):
        client.get(LIST)


# --- The operator's command -----------------------------------------------------------------------------------------
def test_the_operator_takes_it_off_recorded_and_told(client, lost):
    theirs = signed_in(client, lost)
    said = StringIO()

    call_command(
        "remove_second_factor", formatted(lost.cpf), reason=f"Gestão ausente; CPF {lost.cpf}, ofício 12", stdout=said
    )

    assert is_off(lost)
    assert theirs.get("/conta/").status_code == 302
    event = SecurityEvent.objects.get(user=lost, kind=Kind.FACTOR_REMOVED)
    assert event.actor is None
    assert "linha de comando: Gestão ausente" in event.detail
    assert lost.cpf not in event.detail
    assert lost.cpf not in said.getvalue()
    [mail] = mails(lost)
    assert mail.subject == "Verificação em duas etapas retirada"


@pytest.mark.parametrize(
    ("cpf", "reason", "sentence"),
    [
        ("123", "x", "CPF inválido. Confira os números e digite de novo."),
        (cpf_of(9_000_001), "x", "Não há pessoa com este CPF no cadastro."),
        (cpf_of(9_000_002), "x", "Esta pessoa não usa a verificação em duas etapas."),
        (cpf_of(9_000_002), "  ", "Escreva o motivo em --reason."),
    ],
)
def test_the_operator_is_told_what_is_wrong(lost, cpf, reason, sentence):
    UserFactory(cpf=cpf_of(9_000_002))

    with pytest.raises(CommandError, match=sentence):
        call_command("remove_second_factor", cpf, reason=reason)

    assert Authenticator.objects.filter(user=lost).exists()
