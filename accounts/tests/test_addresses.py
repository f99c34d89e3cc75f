"""A changed address: open links die, the old one is told, and the personnel file does not bring it back (DESIGN §7)."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import addresses, directory, outbox, provisional, resets
from accounts.admin import UserAdmin
from accounts.directory import effects
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword, SecurityEvent, User
from requests_app.tests.factories import manager

from .factories import EmploymentFactory, UserFactory
from .test_directory import import_people, person, plan_of

pytestmark = pytest.mark.django_db
HEADER = "Matrícula;Nome;CPF;E-mail;Cargo;Cód. Lotação;Lotação;Comarca;Início"


def link_of(person):
    return resets.link_for(person).split("/", 3)[3]


def correct_in_the_admin(client, person, address, reason="Ligou do ramal do cadastro."):
    return client.post(f"/admin/accounts/user/{person.pk}/email/", {"email": address, "reason": reason})


def save_in_the_admin(client, person, **more):
    page = client.get(reverse("admin:accounts_user_change", args=[person.pk]))
    form = page.context["adminform"].form
    posted = {name: form[name].value() for name in form.fields if form[name].value() not in {None, False}}
    for formset in page.context["inline_admin_formsets"]:
        management = formset.formset.management_form
        posted |= {management.add_prefix(name): value for name, value in management.initial.items()}
        for row in formset.forms:
            posted |= {row.add_prefix(name): row[name].value() or "" for name in row.fields}
    return client.post(page.request["PATH_INFO"], posted | more)


def test_who_corrects_an_address_in_the_admin_kills_its_links_and_tells_it(client, smtp_sink):
    person, by = EmploymentFactory(user__email="velho@tjms.jus.br").user, manager()
    link = link_of(person)
    client.force_login(by)
    response = correct_in_the_admin(client, person, "novo@tjms.jus.br")
    assert response.status_code == 302
    person.refresh_from_db()
    assert person.email == "novo@tjms.jus.br"
    assert person.email_corrected_at is not None
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.EMAIL_CHANGED)
    assert (event.user, event.actor, event.address) == (person, by, "127.0.0.1")
    assert event.detail == "v***@tjms.jus.br → n***@tjms.jus.br: Ligou do ramal do cadastro."
    assert person.address_changes.get().reason == "Ligou do ramal do cadastro."

    assert client.get(f"/{link}").status_code == 410
    outbox.send_due()
    (mail,) = smtp_sink.deliveries
    assert mail.recipients == ["velho@tjms.jus.br"]
    assert mail.message["Subject"] == "Seu e-mail no portal foi alterado"
    for kind in ("plain", "html"):
        assert "n***@tjms.jus.br" in mail.text(kind)
        assert "novo@" not in mail.text(kind)
        assert "Ligou" not in mail.text(kind)  # the reason stays inside
        assert "Nunca pedimos sua senha por e-mail ou telefone" in mail.text(kind)


def test_the_persons_form_has_no_address_to_save_and_tells_nobody(client):
    person = EmploymentFactory(user__email="ana@tjms.jus.br").user
    client.force_login(manager())
    assert "ana@tjms.jus.br" not in client.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()
    assert save_in_the_admin(client, person, phone="(67) 3314-0001").status_code == 302
    person.refresh_from_db()
    assert person.phone == "(67) 3314-0001"
    assert person.email_corrected_at is None
    assert not OutgoingMail.objects.exists()


def test_a_first_address_has_no_old_one_to_tell():
    person = UserFactory(email="")
    addresses.correct(person, "novo@tjms.jus.br", by=manager())
    assert not OutgoingMail.objects.exists()
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.EMAIL_CHANGED)
    assert event.detail == "sem e-mail → n***@tjms.jus.br"


@pytest.mark.parametrize("old", ["", "velho@tjms.jus.br"])
def test_the_whole_reason_is_kept_whatever_the_event_has_room_for(old):
    person = UserFactory(email=old)
    reason = "Ligou do ramal. " * 12 + "Fim."
    addresses.correct(person, "novo@tjms.jus.br", by=manager(), reason=reason)
    change = person.address_changes.get()
    assert (change.old, change.reason) == (old, reason)
    assert OutgoingMail.objects.count() == bool(old)


def test_the_old_address_is_told_even_if_the_person_may_not_sign_in_meanwhile(smtp_sink):
    """Else two clicks would hide that somebody else receives the links."""
    person = UserFactory(email="velho@tjms.jus.br")
    addresses.correct(person, "novo@tjms.jus.br", by=manager())
    User.objects.filter(pk=person.pk).update(is_active=False)
    outbox.send_due()
    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [["velho@tjms.jus.br"]]


def test_an_address_outside_the_court_is_not_taken_by_hand(client):
    person = EmploymentFactory(user__email="ana@tjms.jus.br").user
    client.force_login(manager())
    response = correct_in_the_admin(client, person, "ana@gmail.com")
    assert response.status_code == 200
    page = response.content.decode()
    assert "Use o e-mail institucional, que termina em @tjms.jus.br." in page
    assert 'value="ana@gmail.com"' in page  # what was typed stays
    assert "Ligou do ramal do cadastro." in page
    person.refresh_from_db()
    assert person.email == "ana@tjms.jus.br"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("outra@tjms.jus.br", "Outra pessoa do cadastro já usa este e-mail."),
        ("OUTRA@tjms.jus.br", "Outra pessoa do cadastro já usa este e-mail."),
        ("ana@tjms.jus.br", "Este já é o e-mail da pessoa."),
        ("1varacivel@tjms.jus.br", "Este é o e-mail de uma unidade."),
        ("cgjconvenios@tjms.jus.br", "Este é o e-mail de uma unidade."),
        ("ana@tjms.jus.br.exemplo.com", "Use o e-mail institucional"),
        ('"@tjms.jus.br"@exemplo.com', "Use o e-mail institucional"),
        ("ana@tjms.jus.br\r\nBcc: x@tjms.jus.br", "Informe um endereço de email válido."),
        ("аna@tjms.jus.br", "Informe um endereço de email válido."),  # the first letter is Cyrillic
        ("nova@tjms.jus.br\0", "Caracteres nulos não são permitidos."),
        ("a" * 1_000_000 + "@tjms.jus.br", "254 caracteres"),
        ("", "Digite o novo e-mail."),
        (["nova@tjms.jus.br", "minha@tjms.jus.br"], "Este campo veio mais de uma vez."),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_a_sentence(client, address, sentence):
    person = EmploymentFactory(user__email="ana@tjms.jus.br").user
    EmploymentFactory(user__email="outra@tjms.jus.br")
    client.force_login(manager())
    response = correct_in_the_admin(client, person, address)
    assert response.status_code == 200
    assert sentence in response.content.decode()
    person.refresh_from_db()
    assert (person.email, person.email_corrected_at) == ("ana@tjms.jus.br", None)
    assert not SecurityEvent.objects.filter(kind=SecurityEvent.Kind.EMAIL_CHANGED).exists()


@pytest.mark.parametrize("reason", ["", "   ", "\u200b\u2060", "...", "x" * 201, "\0", ["um", "dois"]])
def test_an_address_is_not_corrected_without_a_reason_that_can_be_read(client, reason):
    person = EmploymentFactory(user__email="velho@tjms.jus.br").user
    client.force_login(manager())
    assert correct_in_the_admin(client, person, "novo@tjms.jus.br", reason).status_code == 200
    person.refresh_from_db()
    assert person.email == "velho@tjms.jus.br"


def test_asvs_16_2_a_cpf_in_the_reason_does_not_reach_the_log(client, caplog):
    person = EmploymentFactory(user__email="velho@tjms.jus.br").user
    client.force_login(manager())
    with caplog.at_level("INFO"):
        correct_in_the_admin(client, person, "novo@tjms.jus.br", f"Disse o CPF {person.cpf}.")
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.EMAIL_CHANGED)
    assert "Disse o CPF ***" in event.detail
    assert person.cpf not in event.detail + caplog.text


def test_a_reason_is_kept_without_cpf_and_addresses_and_fits_its_column(client):
    person = EmploymentFactory(user__email="velho@tjms.jus.br").user
    client.force_login(manager())
    reason = f"CPF {person.cpf}, de maria@tjms.jus.br: ".ljust(189, "x") + person.cpf
    assert correct_in_the_admin(client, person, "novo@tjms.jus.br", reason).status_code == 302
    kept = person.address_changes.get().reason
    assert kept.startswith(f"CPF {person.masked_cpf}, de m***@tjms.jus.br: x")
    assert person.cpf not in kept
    assert len(kept) == 200


def test_an_address_that_came_back_before_the_mail_left_is_not_alarmed(smtp_sink):
    person, by = UserFactory(email="velho@tjms.jus.br"), manager()
    addresses.correct(person, "errado@tjms.jus.br", by=by)
    addresses.correct(person, "velho@tjms.jus.br", by=by)
    outbox.send_due()
    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [["errado@tjms.jus.br"]]
    statuses = OutgoingMail.objects.order_by("pk").values_list("status", flat=True)
    assert [*statuses] == [MailStatus.SUPERSEDED, MailStatus.SENT]


def test_a_notice_that_failed_keeps_the_address_for_another_try(smtp_sink):
    person = UserFactory(email="velho@tjms.jus.br")
    addresses.correct(person, "novo@tjms.jus.br", by=manager())
    smtp_sink.refuse = "550 caixa inexistente"
    outbox.send_due()
    smtp_sink.refuse = None
    outbox.try_again(OutgoingMail.objects.get().pk, by=manager())
    assert outbox.send_due() == 1
    assert smtp_sink.deliveries[0].recipients == ["velho@tjms.jus.br"]


def test_a_notice_that_came_back_is_tried_again_at_the_whole_address(smtp_sink):
    person = UserFactory(email="velho@tjms.jus.br")
    addresses.correct(person, "novo@tjms.jus.br", by=manager())
    outbox.send_due()
    mail = OutgoingMail.objects.get()
    assert outbox.came_back(mail.uuid, "5.2.2 caixa cheia")
    outbox.try_again(mail.pk, by=manager())
    outbox.send_due()
    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [["velho@tjms.jus.br"]] * 2


def test_a_provisional_password_that_the_old_address_received_opens_nothing_any_more(smtp_sink):
    person = UserFactory(email="alheio@tjms.jus.br", password=make_password(None))
    with transaction.atomic():
        live = provisional.issue(person, by=manager())
    password = provisional.reveal(live.pk)
    provisional.mailed(live.pk, needed_by_another_mail=False)
    person.refresh_from_db()
    assert person.check_password(password)

    addresses.correct(person, "certo@tjms.jus.br", by=manager())

    person.refresh_from_db()
    live.refresh_from_db()
    assert not person.has_usable_password()
    assert live.ended_at is not None


def test_one_that_is_not_mailed_yet_goes_to_the_new_address(smtp_sink):
    person = UserFactory(email="alheio@tjms.jus.br", password=make_password(None))
    with transaction.atomic():
        live = provisional.issue(person, by=manager())
    addresses.correct(person, "certo@tjms.jus.br", by=manager())
    live.refresh_from_db()
    assert live.ended_at is None


def test_who_saves_a_persons_page_takes_back_nothing_that_happened_meanwhile(client, monkeypatch):
    """The page was loaded, a worker mailed a provisional password, the page is saved."""
    person = EmploymentFactory(user__email="ana@tjms.jus.br", user__password=make_password(None)).user
    client.force_login(manager())
    by = manager()
    load = UserAdmin.get_object

    def load_and_let_a_worker_in(self, request, object_id, from_field=None):
        found = load(self, request, object_id, from_field)
        if request.method == "POST":
            with transaction.atomic():
                live = provisional.issue(User.objects.get(pk=person.pk), by=by)
            mailed.append(provisional.reveal(live.pk))
        return found

    mailed = []
    monkeypatch.setattr(UserAdmin, "get_object", load_and_let_a_worker_in)
    assert save_in_the_admin(client, person, phone="(67) 3314-0002").status_code == 302
    person.refresh_from_db()
    assert person.check_password(mailed[0])
    assert (person.must_change_password, person.phone) == (True, "(67) 3314-0002")


# --- The personnel file ----------------------------------------------------------------------------------------------
def import_file(tmp_path, bond, email, **options):
    person = bond.user
    unit = bond.unit
    row = (
        f"{bond.matricula};{person.name};{person.cpf};{email};{bond.cargo};{unit.code};{unit.name};{unit.comarca};"
        f"{bond.started_on:%d/%m/%Y}"
    )
    file = tmp_path / "servidores.csv"
    file.write_text(f"{HEADER}\n{row}\n")
    report = io.StringIO()
    call_command("import_directory", str(file), stdout=report, **options)
    return report.getvalue()


def test_an_import_that_changes_an_address_kills_its_links_and_tells_it(tmp_path, client, smtp_sink):
    bond = EmploymentFactory(user__email="velho@tjms.jus.br")
    link = link_of(bond.user)
    report = import_file(tmp_path, bond, "novo@tjms.jus.br")
    assert "E-mails alterados, com aviso ao endereço anterior: 1." in report
    assert User.objects.get(pk=bond.user_id).email == "novo@tjms.jus.br"
    assert client.get(f"/{link}").status_code == 410
    outbox.send_due()
    assert [delivery.recipients for delivery in smtp_sink.deliveries] == [["velho@tjms.jus.br"]]
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.EMAIL_CHANGED)
    assert (event.user, event.actor) == (bond.user, None)

    assert "anterior: 0." in import_file(tmp_path, bond, "novo@tjms.jus.br")
    assert OutgoingMail.objects.count() == 1


def test_a_dry_run_tells_nobody(tmp_path):
    bond = EmploymentFactory(user__email="velho@tjms.jus.br")
    assert "anterior: 1." in import_file(tmp_path, bond, "novo@tjms.jus.br", dry_run=True)
    assert not OutgoingMail.objects.exists()


def test_an_import_never_overwrites_an_address_corrected_by_hand_and_reports_the_difference(tmp_path):
    bond = EmploymentFactory(user__email="velho@tjms.jus.br")
    addresses.correct(bond.user, "certo@tjms.jus.br", by=manager())
    before = OutgoingMail.objects.count()
    report = import_file(tmp_path, bond, "velho@tjms.jus.br")
    assert "E-mails corrigidos à mão, que o arquivo não altera: 1." in report
    assert f"Linha 2, matrícula {bond.matricula}: o arquivo traz outro e-mail." in report
    assert "velho@" not in report
    assert User.objects.get(pk=bond.user_id).email == "certo@tjms.jus.br"
    assert OutgoingMail.objects.count() == before


def test_a_file_that_agrees_with_the_correction_has_nothing_to_report(tmp_path):
    bond = EmploymentFactory(user__email="velho@tjms.jus.br")
    addresses.correct(bond.user, "certo@tjms.jus.br", by=manager())
    assert "corrigidos à mão" not in import_file(tmp_path, bond, "certo@tjms.jus.br")


def test_an_address_corrected_while_the_file_was_read_is_not_overwritten(tmp_path):
    bond = EmploymentFactory(user__email="velho@tjms.jus.br", user__phone="(67) 3314-1111")
    apply = directory.apply

    def correct_and_apply(plan, **options):
        addresses.correct(User.objects.get(pk=bond.user_id), "certo@tjms.jus.br", by=manager())
        apply(plan, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "apply", correct_and_apply)
        with pytest.raises(CommandError, match="O cadastro mudou enquanto o arquivo era lido"):
            import_file(tmp_path, bond, "rh@tjms.jus.br")
    assert User.objects.get(pk=bond.user_id).email == "certo@tjms.jus.br"


def test_a_file_that_cannot_be_applied_tells_nobody(tmp_path, monkeypatch):
    def refuse(*_arguments, **_named):
        raise IntegrityError

    monkeypatch.setattr(effects, "tell", refuse)
    bond = EmploymentFactory(user__email="velho@tjms.jus.br")
    with pytest.raises(CommandError):
        import_file(tmp_path, bond, "novo@tjms.jus.br")
    assert User.objects.get(pk=bond.user_id).email == "velho@tjms.jus.br"
    assert not OutgoingMail.objects.exists()


def test_many_changed_addresses_cost_the_statements_of_one():
    def statements(count):
        import_people(*[person(number) for number in range(30)])
        people = [User.objects.get(cpf=person(number)["CPF"]) for number in range(count)]
        for user in people:
            with transaction.atomic():
                live = provisional.issue(user, by=None)
            provisional.reveal(live.pk)
            provisional.mailed(live.pk, needed_by_another_mail=False)
        changed = [person(number) | {"E-MAIL": f"novo.{number}@tjms.jus.br"} for number in range(count)]
        plan = plan_of(*changed, *[person(number) for number in range(count, 30)])
        with CaptureQueriesContext(connection) as made:
            directory.apply(plan)
        assert not any(User.objects.get(pk=user.pk).has_usable_password() for user in people)
        assert not ProvisionalPassword.objects.filter(user__in=people, ended_at=None).exists()
        told = OutgoingMail.objects.filter(kind="address_changed").values_list("recipient", flat=True)
        assert sorted(told) == sorted(user.pk for user in people)
        return len(made)

    counts = set()
    for count in (1, 3, 30):
        with transaction.atomic():
            counts.add(statements(count))
            transaction.set_rollback(True)

    assert len(counts) == 1
