"""From the approval to the person who is in: one mail, one password, and nothing of it left behind (DESIGN §7, §8)."""

from __future__ import annotations

import random
import re
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.utils import timezone

from accounts import outbox, passwords, provisional, secret_keys
from accounts.models import MailStatus, OutgoingMail, ProvisionalPassword, SecurityEvent, User
from accounts.tests.factories import PASSWORD, EmploymentFactory
from bnmp_portal.tests import services
from requests_app import workflow
from requests_app.models import AccessGrant, GrantStatus, Status

from .factories import UserTypeFactory, analyst, request_in

pytestmark = pytest.mark.django_db
PROVISIONAL = re.compile(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b")


def approve(bond=None, **options):
    """An approved request of a system that the portal's password opens; returns its grant."""
    request = request_in(Status.PENDING, bond=bond or EmploymentFactory(user__password=make_password(None)))
    return workflow.move(request.pk, Status.APPROVED, by=analyst(), **options).grant


def credential_mail(grant):
    return OutgoingMail.objects.get(kind="credential", object_id=grant.events.latest("pk").pk)


def passwords_in(sink, grant):
    """The provisional password of each mail to the person that carries one."""
    found = [PROVISIONAL.findall(delivery.text()) for delivery in sink.to(grant.user.email)]
    return [codes[0] for codes in found if codes]


def subjects(sink, grant):
    return [delivery.message["Subject"] for delivery in sink.to(grant.user.email)]


def signs_in(user, password):
    return authenticate(None, username=user.cpf, password=password) == user


def choose(user, password="uma frase longa e minha", rf=None):
    """What the reset and the gear do in the end."""
    from django.test import RequestFactory

    return passwords.choose(
        user.pk,
        password,
        may=lambda _locked: True,
        kind=SecurityEvent.Kind.PASSWORD_RESET,
        request=RequestFactory().get("/"),
    )


def as_if_the_worker_died_before_recording(mail, nonce):
    """The server has the mail; the row does not know yet."""
    OutgoingMail.objects.filter(pk=mail.pk).update(
        status=MailStatus.PENDING, sent_at=None, lease_until=timezone.now() - timedelta(seconds=1)
    )
    ProvisionalPassword.objects.filter(ended_at=None).update(nonce=nonce, mailed_at=None, lapses_at=None)


def test_the_mailed_login_and_password_sign_in_and_must_be_changed(smtp_sink):
    grant = approve()
    outbox.send_due()
    (mail,) = smtp_sink.to(grant.user.email)
    (password,) = passwords_in(smtp_sink, grant)
    cpf = grant.user.cpf
    assert f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}" in mail.text()
    assert password in mail.text("html")
    assert password not in mail.message["Subject"]
    grant.user.refresh_from_db()
    assert signs_in(grant.user, password)
    assert grant.user.must_change_password


def test_the_credential_goes_to_the_persons_own_address_and_nobody_elses(smtp_sink):
    grant = approve()
    outbox.send_due()
    others = [delivery for delivery in smtp_sink.deliveries if grant.user.email not in delivery.recipients]
    assert [delivery.recipients for delivery in others] == [[grant.request.requester_email]]
    assert not PROVISIONAL.search(others[0].message.as_string())


def test_it_lapses_seven_days_after_the_server_took_the_mail_not_after_the_decision(smtp_sink, settings):
    grant = approve()
    ProvisionalPassword.objects.update(created_at=timezone.now() - timedelta(days=6))
    assert ProvisionalPassword.objects.get().lapses_at is None
    outbox.send_due()
    live = ProvisionalPassword.objects.get()
    week = timedelta(days=settings.PROVISIONAL_PASSWORD_DAYS)
    assert week - timedelta(minutes=1) < live.lapses_at - timezone.now() <= week
    assert not live.has_lapsed
    assert grant.user.provisional_passwords.get() == live


def test_a_credential_that_leaves_on_day_four_works_and_has_its_full_seven_days(smtp_sink, settings):
    """Nobody could reach the server for days, another approval came in between, and the key was rotated."""
    grant = approve()
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, services.free_port()
    for days in range(1, 5):
        outbox.send_due()
        assert credential_mail(grant).status == MailStatus.PENDING
        OutgoingMail.objects.update(created_at=timezone.now() - timedelta(days=days), next_at=timezone.now())
    approve(grant.request.employment)
    settings.SECRETS_KEYS = ["a-new-key-in-front-of-the-old-one-0123456789", *settings.SECRETS_KEYS]
    settings.EMAIL_PORT = port
    outbox.send_due()
    (password,) = set(passwords_in(smtp_sink, grant))
    assert len(passwords_in(smtp_sink, grant)) == 2
    assert signs_in(grant.user, password)
    assert credential_mail(grant).attempts == 1
    assert ProvisionalPassword.objects.get().lapses_at > timezone.now() + timedelta(days=6, hours=23)


def test_the_nonce_is_gone_once_the_mail_is_sent(smtp_sink):
    approve()
    assert ProvisionalPassword.objects.get().nonce != ""
    outbox.send_due()
    assert ProvisionalPassword.objects.get().nonce == ""


def test_two_approvals_before_the_mail_carry_one_password(smtp_sink):
    bond = EmploymentFactory(user__password=make_password(None))
    grant, _other = approve(bond), approve(bond)
    outbox.send_due()
    first, second = passwords_in(smtp_sink, grant)
    assert first == second
    assert signs_in(bond.user, first)
    assert ProvisionalPassword.objects.get().nonce == ""


def test_a_second_approval_after_the_mail_kills_no_password_and_points_to_the_first(smtp_sink):
    bond = EmploymentFactory(user__password=make_password(None))
    grant = approve(bond)
    outbox.send_due()
    (password,) = passwords_in(smtp_sink, grant)
    approve(bond)
    outbox.send_due()
    assert passwords_in(smtp_sink, grant) == [password]
    assert len(smtp_sink.to(bond.user.email)) == 2
    assert "A senha é a provisória que enviamos" in smtp_sink.to(bond.user.email)[1].text()
    assert signs_in(bond.user, password)


def test_an_approval_after_the_password_lapsed_brings_a_new_one(smtp_sink):
    bond = EmploymentFactory(user__password=make_password(None))
    grant = approve(bond)
    outbox.send_due()
    ProvisionalPassword.objects.update(lapses_at=timezone.now() - timedelta(minutes=1))
    approve(bond)
    outbox.send_due()
    old, new = passwords_in(smtp_sink, grant)
    assert (signs_in(bond.user, old), signs_in(bond.user, new)) == (False, True)


def test_an_approval_never_replaces_a_password_that_somebody_chose(smtp_sink):
    bond = EmploymentFactory()
    grant = approve(bond)
    outbox.send_due()
    assert passwords_in(smtp_sink, grant) == []
    assert len(smtp_sink.to(bond.user.email)) == 1
    assert signs_in(bond.user, PASSWORD)
    assert not ProvisionalPassword.objects.exists()


def test_the_approver_may_ask_for_a_new_one(smtp_sink):
    bond = EmploymentFactory()
    grant = approve(bond, renew_password=True)
    outbox.send_due()
    (password,) = passwords_in(smtp_sink, grant)
    assert (signs_in(bond.user, PASSWORD), signs_in(bond.user, password)) == (False, True)


def test_a_copy_after_a_crash_is_the_same_mail(smtp_sink):
    grant = approve()
    mail, nonce = credential_mail(grant), ProvisionalPassword.objects.get().nonce
    outbox.send_due()
    as_if_the_worker_died_before_recording(mail, nonce)
    outbox.send_due()
    first, copy = smtp_sink.to(grant.user.email)
    assert first.message["Message-ID"] == copy.message["Message-ID"]
    assert len(set(passwords_in(smtp_sink, grant))) == 1
    grant.user.refresh_from_db()
    assert signs_in(grant.user, passwords_in(smtp_sink, grant)[0])


def test_no_copy_goes_out_after_the_person_signed_in_and_changed_it(smtp_sink):
    grant = approve()
    mail, nonce = credential_mail(grant), ProvisionalPassword.objects.get().nonce
    outbox.send_due()
    as_if_the_worker_died_before_recording(mail, nonce)
    choose(grant.user)
    outbox.send_due()
    mail.refresh_from_db()
    assert mail.status == MailStatus.SUPERSEDED
    assert len(passwords_in(smtp_sink, grant)) == 1
    assert signs_in(grant.user, "uma frase longa e minha")


def test_who_chose_a_password_before_the_mail_left_still_hears_of_the_access(smtp_sink):
    grant = approve()
    choose(grant.user)
    outbox.send_due()
    assert passwords_in(smtp_sink, grant) == []
    assert credential_mail(grant).status == MailStatus.SUPERSEDED
    assert any("Acesso liberado" in subject for subject in subjects(smtp_sink, grant))
    assert signs_in(grant.user, "uma frase longa e minha")


def test_a_mail_overtaken_by_a_reissue_never_goes_out(smtp_sink):
    grant = approve()
    overtaken = credential_mail(grant)
    workflow.reissue(grant.pk, by=analyst(), note="pedido por telefone")
    outbox.send_due()
    overtaken.refresh_from_db()
    assert overtaken.status == MailStatus.SUPERSEDED
    (password,) = passwords_in(smtp_sink, grant)
    assert signs_in(grant.user, password)


def test_a_reissue_after_the_mail_makes_the_first_password_useless(smtp_sink):
    grant = approve()
    outbox.send_due()
    workflow.reissue(grant.pk, by=analyst(), note="não chegou")
    outbox.send_due()
    old, new = passwords_in(smtp_sink, grant)
    assert (signs_in(grant.user, old), signs_in(grant.user, new)) == (False, True)


def test_a_mail_overtaken_by_a_revocation_never_goes_out(smtp_sink):
    grant = approve()
    AccessGrant.objects.update(status=GrantStatus.REVOKED)
    outbox.send_due()
    assert credential_mail(grant).status == MailStatus.SUPERSEDED
    assert smtp_sink.to(grant.user.email) == []
    assert ProvisionalPassword.objects.get().nonce == ""


def test_a_mail_to_somebody_who_was_deactivated_meanwhile_never_goes_out(smtp_sink):
    grant = approve()
    grant.user.is_active = False
    grant.user.save()
    outbox.send_due()
    assert smtp_sink.to(grant.user.email) == []


def test_a_key_rotated_before_the_copy_gives_the_same_password(smtp_sink, settings):
    grant = approve()
    mail, nonce = credential_mail(grant), ProvisionalPassword.objects.get().nonce
    outbox.send_due()
    as_if_the_worker_died_before_recording(mail, nonce)
    settings.SECRETS_KEYS = ["k" * 40, *settings.SECRETS_KEYS]
    outbox.send_due()
    first, copy = passwords_in(smtp_sink, grant)
    assert first == copy


def test_a_key_that_was_taken_away_sends_no_wrong_password(smtp_sink, settings):
    grant = approve()
    settings.SECRETS_KEYS = ["k" * 40]
    outbox.send_due()
    mail = credential_mail(grant)
    assert (mail.status, "reemita" in mail.error) == (MailStatus.FAILED, True)
    assert passwords_in(smtp_sink, grant) == []
    outbox.try_again(mail.pk, by=analyst())  # made anew with the key that there is
    outbox.send_due()
    (password,) = passwords_in(smtp_sink, grant)
    assert signs_in(grant.user, password)


def test_a_credential_whose_person_lost_the_address_fails_where_the_staff_look(smtp_sink):
    grant = approve()
    User.objects.filter(pk=grant.user_id).update(email="")
    outbox.send_due()
    mail = credential_mail(grant)
    assert (mail.status, mail.error) == (MailStatus.FAILED, "A pessoa não tem e-mail no cadastro.")
    with pytest.raises(outbox.RetryRefusedError, match="não tem e-mail"):
        outbox.try_again(mail.pk, by=analyst())
    User.objects.filter(pk=grant.user_id).update(email="ceci@tjms.jus.br")
    outbox.try_again(mail.pk, by=analyst())
    outbox.send_due()
    grant.user.refresh_from_db()
    (password,) = passwords_in(smtp_sink, grant)
    assert signs_in(grant.user, password)


def test_who_loses_a_credential_to_a_reissue_of_another_access_still_hears_of_both(smtp_sink):
    bond = EmploymentFactory(user__password=make_password(None))
    first, second = approve(bond), approve(bond)
    workflow.reissue(second.pk, by=analyst(), note="engano")
    outbox.send_due()
    (password,) = passwords_in(smtp_sink, first)
    told = " ".join(subjects(smtp_sink, first))
    assert first.user_type.system.name in told
    assert second.user_type.system.name in told
    assert signs_in(bond.user, password)


def test_what_is_replaced_opens_nothing_from_that_moment(smtp_sink):
    grant = approve()
    outbox.send_due()
    (old,) = passwords_in(smtp_sink, grant)
    assert signs_in(grant.user, old)
    workflow.reissue(grant.pk, by=analyst(), note="foi vista por outra pessoa")
    assert not signs_in(grant.user, old)


def test_a_lapsed_password_does_not_come_back_with_the_next_approval(smtp_sink, client):
    bond = EmploymentFactory(user__password=make_password(None))
    grant = approve(bond)
    outbox.send_due()
    (old,) = passwords_in(smtp_sink, grant)
    ProvisionalPassword.objects.update(lapses_at=timezone.now() - timedelta(minutes=1))
    approve(bond)
    client.post("/entrar/", {"username": bond.user.cpf, "password": old})
    assert "_auth_user_id" not in client.session


def test_a_reissue_that_never_left_does_not_make_the_next_approval_replace_a_chosen_password(smtp_sink):
    bond = EmploymentFactory()
    grant = approve(bond)
    workflow.reissue(grant.pk, by=analyst(), note="pedido por engano")
    choose(bond.user)
    outbox.send_due()
    bond.user.refresh_from_db()
    approve(bond)
    outbox.send_due()
    assert passwords_in(smtp_sink, grant) == []
    assert signs_in(bond.user, "uma frase longa e minha")


def test_the_mail_names_what_this_password_opens_for_this_person(smtp_sink):
    grant, other = approve(), UserTypeFactory().system
    outbox.send_due()
    (mail,) = smtp_sink.to(grant.user.email)
    assert grant.user_type.system.name in mail.text()
    assert other.name not in mail.text()


def test_a_refused_recipient_wipes_the_nonce_and_the_next_approval_brings_a_new_password(smtp_sink):
    bond = EmploymentFactory(user__password=make_password(None))
    smtp_sink.refuse = "550 caixa inexistente"
    grant = approve(bond)
    outbox.send_due()
    assert credential_mail(grant).status == MailStatus.FAILED
    assert ProvisionalPassword.objects.get().nonce == ""
    smtp_sink.refuse = None
    approve(bond)
    outbox.send_due()
    (password,) = passwords_in(smtp_sink, grant)
    assert signs_in(bond.user, password)


# --- A credential that was not delivered, tried again ---------------------------------------------------------------
NOT_DELIVERED = "O e-mail anterior não foi entregue."


def fails(sink, *bonds):
    """One approval for each bond, whose mail the server refuses for good."""
    sink.refuse = "550 caixa inexistente"
    grants = [approve(bond) for bond in bonds]
    outbox.send_due()
    sink.refuse = None
    return grants


def never_had_one():
    return EmploymentFactory(user__password=make_password(None))


def try_again(mail, by=None):
    outbox.try_again(mail.pk, by=by or analyst())


def test_a_failed_credential_is_made_anew_and_says_what_the_first_would_have_said(smtp_sink):
    (grant,) = fails(smtp_sink, never_had_one())
    failed, presser = credential_mail(grant), analyst()
    try_again(failed, by=presser)
    failed.refresh_from_db()
    assert (failed.status, "550 caixa inexistente" in failed.error) == (MailStatus.SUPERSEDED, True)
    event = grant.events.latest("pk")
    assert (event.actor, event.note, event.to_status) == (presser, NOT_DELIVERED, GrantStatus.ACTIVE)
    outbox.send_due()
    (password,) = passwords_in(smtp_sink, grant)
    assert signs_in(grant.user, password)
    assert "foi liberado" in smtp_sink.to(grant.user.email)[0].text()
    assert not ProvisionalPassword.objects.exclude(nonce="").exists()


@pytest.mark.parametrize("sent_between", [True, False])
def test_two_failed_credentials_of_one_person_tried_again_leave_one_password(smtp_sink, sent_between):
    bond = never_had_one()
    first, second = fails(smtp_sink, bond, bond)
    mails = [credential_mail(first), credential_mail(second)]
    for mail in mails:
        try_again(mail)
        if sent_between:
            outbox.send_due()
    outbox.send_due()
    assert len(smtp_sink.to(bond.user.email)) == 2
    assert len(set(passwords_in(smtp_sink, first))) == 1
    assert signs_in(bond.user, passwords_in(smtp_sink, first)[-1])
    assert ProvisionalPassword.objects.filter(ended_at=None).count() == 1
    told = " ".join(subjects(smtp_sink, first))
    assert first.user_type.system.name in told
    assert second.user_type.system.name in told


def test_a_password_that_reached_the_person_in_another_mail_stays_when_one_is_tried_again(smtp_sink):
    bond = never_had_one()
    first, second = approve(bond), approve(bond)
    outbox.send_due()
    (password,) = set(passwords_in(smtp_sink, first))
    returned = credential_mail(second)
    outbox.came_back(returned.uuid, "550 devolvida")
    try_again(returned)
    outbox.send_due()
    assert signs_in(bond.user, password)
    last = smtp_sink.to(bond.user.email)[-1]
    assert second.user_type.system.name in last.message["Subject"]
    assert "A senha é a provisória que enviamos" in last.text()


def test_a_credential_that_came_back_is_made_anew_and_what_came_back_opens_nothing(smtp_sink):
    grant = approve(never_had_one())
    outbox.send_due()
    (returned,) = passwords_in(smtp_sink, grant)
    mail = credential_mail(grant)
    outbox.came_back(mail.uuid, "550 devolvida")
    try_again(mail)
    assert not signs_in(grant.user, returned)
    outbox.send_due()
    assert signs_in(grant.user, passwords_in(smtp_sink, grant)[-1])


def test_a_password_that_waits_to_be_mailed_is_shared(smtp_sink):
    bond = never_had_one()
    (first,) = fails(smtp_sink, bond)
    second = approve(bond)  # brings a new one, which waits
    try_again(credential_mail(first))
    outbox.send_due()
    assert len(passwords_in(smtp_sink, first)) == 2
    (password,) = set(passwords_in(smtp_sink, second))
    assert signs_in(bond.user, password)


@pytest.mark.parametrize("is_staff", [False, True])
def test_a_password_that_the_person_chose_meanwhile_is_never_replaced(smtp_sink, is_staff):
    (grant,) = fails(smtp_sink, never_had_one())
    mail = credential_mail(grant)
    choose(grant.user)
    User.objects.filter(pk=grant.user_id).update(is_staff=is_staff)
    smtp_sink.deliveries.clear()
    try_again(mail)
    outbox.send_due()
    assert passwords_in(smtp_sink, grant) == []
    assert any("Acesso liberado" in subject for subject in subjects(smtp_sink, grant))
    assert signs_in(grant.user, "uma frase longa e minha")
    assert grant.events.latest("pk").note == NOT_DELIVERED


@pytest.mark.parametrize("who", ["requester", "beneficiary", "nobody of the Coordenadoria"])
def test_four_eyes_hold_for_who_tries_a_credential_again(smtp_sink, who):
    (grant,) = fails(smtp_sink, never_had_one())
    mail, people = credential_mail(grant), {"requester": grant.request.requester, "beneficiary": grant.user}
    person = people.get(who)
    if person:
        person.groups.add(*analyst().groups.all())
    with pytest.raises(outbox.RetryRefusedError, match=r"Ninguém decide|Você não tem permissão"):
        try_again(mail, by=person or EmploymentFactory().user)
    mail.refresh_from_db()
    assert (mail.status, grant.events.count()) == (MailStatus.FAILED, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda grant: AccessGrant.objects.update(status=GrantStatus.REVOKED), "Só um acesso ativo"),
        (lambda grant: type(grant.user).objects.filter(pk=grant.user_id).update(is_active=False), "está inativa"),
        (lambda grant: type(grant.user).objects.filter(pk=grant.user_id).update(email=""), "não tem e-mail"),
    ],
)
def test_what_cannot_be_reissued_cannot_be_tried_again(smtp_sink, change, sentence):
    (grant,) = fails(smtp_sink, never_had_one())
    change(grant)
    with pytest.raises(outbox.RetryRefusedError, match=sentence):
        try_again(credential_mail(grant))
    assert grant.events.count() == 1


def test_the_other_systems_mail_says_that_it_sends_its_own_password(smtp_sink):
    request = request_in(Status.APPROVED, user_type=UserTypeFactory(system__credential="OWN"))
    grant = workflow.move(request.pk, Status.COMPLETED, by=analyst()).grant
    outbox.send_due()
    (mail,) = smtp_sink.to(grant.user.email)
    assert not PROVISIONAL.search(mail.text())
    assert not ProvisionalPassword.objects.exists()


def test_asvs_6_4_1_the_derived_password_is_eighty_random_bits_of_an_alphabet_without_lookalikes():
    """Of the system's own randomness: whoever knows the state of Python's generator knows nothing."""
    version = secret_keys.newest_version()
    nonces = set()
    for _ in range(200):
        random.seed(641)
        nonces.add(secret_keys.new_nonce())
    made = {secret_keys.provisional_password(nonce, version) for nonce in nonces}
    assert len(made) == len(nonces) == 200
    assert all(len(bytes.fromhex(nonce)) * 8 >= 80 for nonce in nonces)
    assert all(PROVISIONAL.fullmatch(password) for password in made)
    for place in (place for place in range(19) if place % 5 != 4):  # 16 letters of 32: five bits each
        assert len({password[place] for password in made}) > 16


def test_the_same_nonce_and_key_give_the_same_password_and_another_key_another(settings):
    nonce, version = secret_keys.new_nonce(), secret_keys.newest_version()
    password = secret_keys.provisional_password(nonce, version)
    assert secret_keys.provisional_password(nonce, version) == password
    settings.SECRETS_KEYS = ["k" * 40]
    assert secret_keys.provisional_password(nonce, secret_keys.newest_version()) != password
    with pytest.raises(secret_keys.KeyGoneError):
        secret_keys.provisional_password(nonce, version)


def test_one_live_provisional_password_for_each_person():
    bond = EmploymentFactory(user__password=make_password(None))
    approve(bond)
    with pytest.raises(Exception, match=r"provisional_password_one_live_per_person|UNIQUE"):
        ProvisionalPassword.objects.create(user=bond.user, key_version="x")


def test_ending_it_leaves_nothing_to_derive():
    grant = approve()
    provisional.end(grant.user)
    live = ProvisionalPassword.objects.get()
    assert (live.nonce, live.ended_at is not None) == ("", True)
