"""The demonstration: its sample data, its post-box, and that neither exists without PORTAL_DEMO."""

from __future__ import annotations

import importlib
import os

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.urls import clear_url_caches

from accounts import cpf
from accounts.models import OutgoingMail, User
from accounts.tests.factories import UserFactory
from bnmp_portal import urls
from bnmp_portal.management.commands.load_sample_data import DEMO_ACCOUNTS
from requests_app.models import AccessGrant, AccessRequest, ExternalSystem, Status
from requests_app.tests.pages import Page
from requests_app.workflow import MOVES

pytestmark = pytest.mark.django_db


# --- Without PORTAL_DEMO ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("address", ["/demo/", "/demo/emails/", "/demo/emails/1/", "/demo/emails/1/html"])
def test_production_has_no_post_box(client, settings, address, signed_in):
    assert settings.PORTAL_DEMO is False
    if signed_in:
        client.force_login(UserFactory(is_staff=True, is_superuser=True))
    response = client.get(address)
    assert response.status_code == 404


def test_production_does_not_say_that_it_is_a_demonstration(client):
    page = client.get("/").content.decode()
    assert "Demonstração" not in page
    assert "/demo/" not in page


def test_production_refuses_the_sample_data():
    with pytest.raises(CommandError, match="só com PORTAL_DEMO=1"):
        call_command("load_sample_data")
    assert not User.objects.exists()
    assert not ExternalSystem.objects.exists()


# --- Sample data -----------------------------------------------------------------------------------------------------
def load_sample_data():
    with override_settings(PORTAL_DEMO=True):
        call_command("load_sample_data", verbosity=0)


@pytest.fixture
def sample(db):
    load_sample_data()


def test_some_120_invented_people_have_a_bond_and_a_valid_cpf(sample):
    people = User.objects.all()
    assert 110 <= people.count() <= 130
    assert all(cpf.is_valid(person.cpf) for person in people)
    assert not people.filter(employments=None).exists()
    assert all(person.email.endswith("@tjms.jus.br") for person in people if person.email)


def test_nobody_has_a_password_but_those_who_are_shown(sample):
    able = {cpf.formatted(person.cpf) for person in User.objects.all() if person.has_usable_password()}
    assert able == {account for account, _password, _who in DEMO_ACCOUNTS}
    assert not User.objects.filter(is_superuser=True).exists()


def test_nine_systems_have_their_user_types(sample):
    systems = ExternalSystem.objects.all()
    assert systems.count() == 9
    assert all(system.user_types.filter(is_active=True).exists() for system in systems)
    assert systems.filter(name="BNMP 2.0", notices__isnull=False).exists()
    assert {system.credential for system in systems} == set(ExternalSystem.Credential.values)


def test_every_status_is_there_and_each_request_came_to_its_own_by_moves_of_the_table(sample):
    requests = AccessRequest.objects.prefetch_related("events__actor")
    assert {request.status for request in requests} == set(Status.values)
    for request in requests:
        filing, *moves = request.events.all()
        assert (filing.from_status, filing.to_status, filing.actor) == ("", Status.PENDING, request.requester)
        stands = filing.to_status
        for event in moves:
            assert event.from_status == stands
            assert (Status(event.from_status), Status(event.to_status)) in MOVES
            stands = event.to_status
        assert stands == request.status
        assert request.decided_by_id not in {request.requester_id, request.beneficiary_id}


def test_what_is_completed_has_its_access_and_nothing_else_has(sample):
    completed = set(AccessRequest.objects.filter(status=Status.COMPLETED).values_list("pk", flat=True))
    assert completed
    assert set(AccessGrant.objects.exclude(request=None).values_list("request", flat=True)) == completed


def test_the_mails_of_all_that_are_owed(sample):
    kinds = set(OutgoingMail.objects.values_list("kind", flat=True))
    assert {"request_received", "request_returned", "request_rejected", "credential"} <= kinds


@pytest.mark.parametrize("account", DEMO_ACCOUNTS, ids=["servidora", "analyst", "manager", "administrator", "auditor"])
def test_those_who_are_shown_can_sign_in(sample, client, account):
    login, password, who = account
    response = client.post("/entrar/", {"username": login, "password": password}, follow=True)
    assert response.redirect_chain == [("/", 302)]
    desk = client.get("/admin/", follow=True)
    assert desk.status_code == (200 if "/admin/" in who else 403)


def test_only_the_analyst_may_decide(sample):
    may = [
        User.objects.get(cpf=cpf.clean(login)).has_perm("requests_app.decide")
        for login, _password, _who in DEMO_ACCOUNTS
    ]
    assert may == [False, True, False, False, False]


def test_the_servidora_finds_requests_of_hers_on_the_first_page(sample, client):
    login, password, _who = DEMO_ACCOUNTS[0]
    client.post("/entrar/", {"username": login, "password": password})
    assert len(Page(client.get("/")).all("th", scope="row")) == 5


def test_loading_twice_is_refused_and_changes_nothing(sample):
    before = (User.objects.count(), AccessRequest.objects.count(), OutgoingMail.objects.count())
    with pytest.raises(CommandError, match="O banco já tem pessoas"):
        load_sample_data()
    assert (User.objects.count(), AccessRequest.objects.count(), OutgoingMail.objects.count()) == before


def test_a_database_that_has_a_single_person_is_left_alone():
    UserFactory()
    with pytest.raises(CommandError, match="O banco já tem pessoas"):
        load_sample_data()
    assert (User.objects.count(), ExternalSystem.objects.count()) == (1, 0)


# --- The post-box ----------------------------------------------------------------------------------------------------
@pytest.fixture
def post_box(settings, tmp_path):
    """The addresses of the demonstration, and mails that go into files."""
    settings.PORTAL_DEMO = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    importlib.reload(urls)
    clear_url_caches()
    yield
    settings.PORTAL_DEMO = False
    importlib.reload(urls)
    clear_url_caches()


def send(subject, text="Olá, João.", html="<p>Olá, <b>João</b>.</p>"):
    message = EmailMultiAlternatives(subject, text, to=["joao@tjms.jus.br"])
    message.attach_alternative(html, "text/html")
    message.send()


def test_an_empty_post_box_opens(post_box, client):
    assert client.get("/demo/emails/").status_code == 200


def test_mails_are_shown_to_anybody_the_newest_first(post_box, client):
    send("Ação antiga")
    send("Ação nova")
    page = Page(client.get("/demo/emails/"))
    assert "joao@tjms.jus.br" in page.text
    assert "Ação antiga" in page.text
    links = [dict(link.attributes)["href"] for link in page.all("a")]
    of_mails = [link for link in links if link.startswith("/demo/emails/") and link != "/demo/emails/"]
    assert of_mails == ["/demo/emails/2/", "/demo/emails/1/"]


def test_mails_of_one_second_are_listed_as_they_were_sent(post_box, client, tmp_path):
    date = "Date: Mon, 23 Nov 2026 10:00:00 -0000\n"
    # Of each connection a file; neither the names nor the numbers of the messages tell the order.
    connections = {"20261123-100000-9.log": "fa", "20261123-100000-1.log": "dcb", "20261123-100000-5.log": "e"}
    for second, (name, letters) in enumerate(connections.items()):
        mails = (f"Subject: Carta {letter}\nMessage-ID: <{letter}@x>\n{date}\nOlá\n" for letter in letters)
        (tmp_path / name).write_text("".join(f"{mail}{'-' * 79}\n" for mail in mails))
        os.utime(tmp_path / name, (second, second))

    text = Page(client.get("/demo/emails/")).text

    order = sorted("abcdef", key=lambda letter: text.index(f"Carta {letter}"))
    assert "".join(order) == "ebcdaf"  # the newest first


def test_one_mail_shows_its_text_and_its_html_in_a_frame_without_rights(post_box, client):
    send("Acesso liberado: BNMP 2.0", text="Senha: abc\nhttp://127.0.0.1/entrar/", html="<p>Senha: <b>abc</b></p>")

    page = Page(client.get("/demo/emails/1/"))
    assert "Acesso liberado: BNMP 2.0" in page.text
    assert "Senha: abc" in page.text
    frame = page.one("iframe")
    assert dict(frame.attributes)["src"] == "/demo/emails/1/html"

    html = client.get("/demo/emails/1/html")
    assert "<b>abc</b>" in html.content.decode()
    policy = html.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert html.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_markup_in_a_subject_is_shown_as_text(post_box, client):
    send("<script>alert(1)</script>", text="<script>alert(2)</script>")
    for address in ("/demo/emails/", "/demo/emails/1/"):
        page = client.get(address).content.decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page


@pytest.mark.parametrize("index", ["0", "2", str(10**30)])
@pytest.mark.parametrize("step", ["", "html"])
def test_a_mail_that_is_not_there_is_a_404(post_box, client, index, step):
    send("Único")
    assert client.get(f"/demo/emails/{index}/{step}").status_code == 404


def test_every_page_says_that_it_is_a_demonstration(post_box, client):
    for address in ("/", "/entrar/", "/orientacoes/", "/esqueci-a-senha/"):
        page = Page(client.get(address))
        assert page.one("div", class_="demo-strip"), address
        assert page.one("a", href="/demo/emails/"), address
