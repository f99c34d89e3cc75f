"""Who is of the staff, and with which groups: who says it, of whom, what is refused, recorded and told."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection, connections
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts import roles
from accounts.models import OutgoingMail, SecurityEvent, Session, User
from accounts.tasks import sweep
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app.groups import GROUPS, keep_groups
from requests_app.tests.factories import analyst, manager, superuser
from requests_app.tests.pages import Page

pytestmark = pytest.mark.django_db

HUGE = str(10**30)


def in_group(*names, **fields):
    user = UserFactory(is_staff=True, **fields)
    user.groups.set(Group.objects.filter(name__in=names))
    return user


def administrator(**fields):
    return in_group("Administração", **fields)


def key(*names):
    return [Group.objects.get(name=name).pk for name in names]


def place(person, step="perfil"):
    return f"/admin/accounts/user/{person.pk}/{step}/"


def is_now(person):
    person = User.objects.get(pk=person.pk)
    return person.is_staff, sorted(group.name for group in person.groups.all())


def say(client, person, *names, is_staff=True, **more):
    """Post the page as it is shown, with these groups ticked."""
    seen = Page(client.get(place(person))).value("seen")
    ticked = {"is_staff": "on"} if is_staff else {}
    return client.post(place(person), {"seen": seen, "groups": key(*names), **ticked, **more})


@pytest.fixture
def chief(client):
    user = administrator(name="CHEFE DA EQUIPE")
    client.force_login(user)
    return user


@pytest.fixture
def person():
    return EmploymentFactory(user__name="MARIA LIMA", user__email="maria.lima@tjms.jus.br").user


# --- The groups ------------------------------------------------------------------------------------------------------
def test_every_permission_that_a_group_names_exists():
    known = {f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")}
    named = {
        f"{app}.{codename}"
        for group in GROUPS.values()
        for app, codenames in group.permissions.items()
        for codename in codenames
    }
    assert named <= known


def test_after_each_migration_the_groups_are_as_the_code_says_and_others_stay():
    analysis, other = Group.objects.get(name="Análise"), Group.objects.create(name="Outro")
    kept = set(analysis.permissions.all())
    odd = Permission.objects.get(codename="change_roles")
    analysis.permissions.set([odd])
    other.permissions.set([odd])
    Group.objects.get(name="Auditoria").delete()

    keep_groups(using="default")

    assert set(analysis.permissions.all()) == kept
    assert set(other.permissions.all()) == {odd}
    assert Group.objects.get(name="Auditoria").permissions.filter(codename="view_accessrequest").exists()


def test_the_auditor_may_only_look_and_export():
    may = {name.split(".")[1] for name in in_group("Auditoria").get_all_permissions()}
    assert {name for name in may if not name.startswith("view_")} == {"export"}


def test_the_administrator_of_groups_neither_sees_nor_decides_requests():
    may = administrator().get_all_permissions()
    assert {name for name in may if name.startswith("requests_app.")} == set()


def test_a_groups_page_says_what_it_may_and_who_is_in_it(client, chief):
    user = analyst(name="ANA LISTA")
    group = Group.objects.get(name="Análise")
    page = Page(client.get(f"/admin/auth/group/{group.pk}/change/"))
    for fact in ("Decide as solicitações", "decidir solicitações", "ver solicitações", "Ana Lista"):
        assert fact in page.text, fact
    assert page.one("a", href=place(user, "change"))
    assert not page.one("input", name="_save")


def test_three_people_in_the_groups_cost_as_many_queries_as_one(client, chief):
    def count():
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/auth/group/")
        return len(queries)

    analyst()
    count()
    with_one = count()
    analyst()
    analyst()
    assert count() == with_one


def test_nobody_makes_changes_or_deletes_a_group_at_the_desk(client):
    client.force_login(superuser())
    group = Group.objects.get(name="Análise")
    before = set(group.permissions.all())
    for step in ("add", f"{group.pk}/change", f"{group.pk}/delete"):
        forged = {"name": "Outro", "permissions": [], "post": "yes", "_save": "1"}
        assert client.post(f"/admin/auth/group/{step}/", forged).status_code == 403
    assert (set(group.permissions.all()), Group.objects.count()) == (before, len(GROUPS))


# --- Who says it -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("by", [administrator, superuser])
def test_who_may_say_it_makes_somebody_an_analyst(client, by, person):
    client.force_login(by())
    assert Page(client.get(place(person, "change"))).one("a", href=place(person))

    response = say(client, person, "Análise")

    assert (response.status_code, response.url) == (302, place(person, "change"))
    assert is_now(person) == (True, ["Análise"])
    assert "O perfil foi mudado" in Page(client.get(response.url)).text
    assert "Análise" in Page(client.get(place(person, "change"))).text


@pytest.mark.parametrize("by", [analyst, manager, lambda: in_group("Auditoria"), lambda: UserFactory(is_staff=True)])
def test_nobody_else_says_it_not_even_by_a_forged_post(client, by, person):
    client.force_login(by())
    assert not Page(client.get(place(person, "change"), follow=True)).one("a", href=place(person))
    assert client.get(place(person)).status_code == 403
    assert client.post(place(person), {"is_staff": "on", "groups": key("Análise")}).status_code == 403
    assert is_now(person) == (False, [])
    assert not SecurityEvent.objects.filter(kind="ROLES_CHANGED").exists()


@pytest.mark.parametrize("by", [administrator, superuser])
def test_nobody_says_it_of_themselves(client, by):
    user = by()
    before = is_now(user)
    client.force_login(user)
    assert client.post(place(user), {"is_staff": "on", "groups": key("Gestão")}).status_code == 403
    assert is_now(user) == before


def test_a_superusers_is_for_superusers(client, make_client, chief):
    person, other = superuser(), make_client()
    assert client.post(place(person), {}).status_code == 403
    assert is_now(person) == (True, [])
    other.force_login(superuser())
    assert say(other, person, is_staff=False).status_code == 302
    assert is_now(person) == (False, [])


@pytest.mark.parametrize("by", [administrator, superuser])
def test_the_form_of_the_person_says_it_of_nobody(client, by, person):
    """Fields of that name in a forged post of the general form."""
    client.force_login(by())
    client.post(place(person, "change"), {"name": "X", "is_staff": "on", "is_superuser": "on", "groups": key("Gestão")})
    assert is_now(person) == (False, [])


def test_the_administrator_of_groups_mends_nothing_else_of_a_person(client, chief, person):
    before = (person.name, person.phone, person.is_active)
    assert client.post(place(person, "change"), {"name": "X", "phone": "1"}).status_code == 403
    person.refresh_from_db()
    assert (person.name, person.phone, person.is_active) == before


# --- What is refused -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("names", "is_staff", "sentence"),
    [
        (("Administração", "Análise"), True, "“Administração” e “Análise” não ficam com a mesma pessoa"),
        (("Administração", "Análise", "Gestão"), True, "“Administração” e “Análise” não ficam com a mesma pessoa"),
        (("Auditoria", "Análise"), True, "“Auditoria” não fica com outro perfil"),
        (("Auditoria", "Gestão", "Administração"), True, "“Auditoria” não fica com outro perfil"),
        (("Análise",), False, "Quem tem perfil usa a administração."),
        ((), True, "Escolha ao menos um perfil"),
    ],
)
def test_what_nobody_may_be_is_refused_with_a_sentence_and_what_was_ticked_stays(
    client, chief, person, names, is_staff, sentence
):
    response = say(client, person, *names, is_staff=is_staff)
    page = Page(response)
    assert response.status_code == 409
    assert sentence in page.text
    ticked = {
        dict(box.attributes)["value"] for box in page.all("input", name="groups") if "checked" in dict(box.attributes)
    }
    assert ticked == {str(pk) for pk in key(*names)}
    assert is_now(person) == (False, [])
    assert not SecurityEvent.objects.filter(kind="ROLES_CHANGED").exists()


def test_an_administrator_of_the_system_gets_no_group_that_decides(client):
    person = superuser()
    client.force_login(superuser())
    assert "não fica com um administrador do sistema" in Page(say(client, person, "Análise")).text
    assert is_now(person) == (True, [])


@pytest.mark.parametrize("value", ["0", "-1", "abc", HUGE, "\0", "²", "1.0", "'; --"])
def test_a_group_that_is_none_is_refused_with_a_sentence(client, chief, person, value):
    response = client.post(place(person), {"is_staff": "on", "groups": [value]})
    assert response.status_code == 200
    assert "Um dos perfis não existe." in Page(response).text
    assert is_now(person) == (False, [])


def test_a_page_that_is_stale_overwrites_nothing(client, make_client, chief, person):
    stale = Page(client.get(place(person))).value("seen")
    other = make_client()
    other.force_login(administrator())
    say(other, person, "Auditoria")

    response = client.post(place(person), {"is_staff": "on", "groups": key("Gestão"), "seen": stale})

    page = Page(response)
    assert response.status_code == 409
    assert "mudou depois que você abriu a página" in page.text
    assert "Hoje: Auditoria" in page.text
    assert is_now(person) == (True, ["Auditoria"])


def test_saying_what_is_so_already_changes_nothing(client, chief, person):
    say(client, person, "Análise")
    response = say(client, person, "Análise")
    assert "O perfil já era este." in Page(client.get(response.url)).text
    assert SecurityEvent.objects.filter(kind="ROLES_CHANGED").count() == 1


@pytest.mark.parametrize("pk", ["987654321", HUGE])
def test_somebody_who_is_not_there_is_a_404(client, chief, pk):
    assert client.post(f"/admin/accounts/user/{pk}/perfil/").status_code == 404


# --- What follows ----------------------------------------------------------------------------------------------------
def test_asvs_16_3_who_becomes_staff_is_recorded_from_what_to_what(client, chief, person):
    say(client, person, "Análise")
    say(client, person, "Análise", "Gestão")
    say(client, person, is_staff=False)
    events = SecurityEvent.objects.filter(kind="ROLES_CHANGED").order_by("pk")
    assert [event.detail for event in events] == [
        "fora da equipe → Análise",
        "Análise → Análise, Gestão",
        "Análise, Gestão → fora da equipe",
    ]
    assert {(event.user, event.actor, event.address) for event in events} == {(person, chief, "127.0.0.1")}


def test_the_person_is_told_what_they_were_and_what_they_are(client, chief, person, smtp_sink):
    say(client, person, "Análise")
    sweep()
    [mail] = smtp_sink.to(person.email)
    assert mail.message["Subject"] == "Seu perfil na administração mudou"
    for fact in ("Antes: fora da equipe", "Agora: Análise", "Quem mudou: Chefe da Equipe", "duas etapas"):
        assert fact in mail.text(), fact
    say(client, person, is_staff=False)
    sweep()
    [_first, last] = smtp_sink.to(person.email)
    assert "Agora: fora da equipe" in last.text()
    assert "Você não usa mais a administração" in last.text()


def test_who_has_no_address_is_changed_all_the_same(client, chief):
    person = EmploymentFactory(user__email="").user
    say(client, person, "Gestão")
    assert is_now(person) == (True, ["Gestão"])
    assert not OutgoingMail.objects.exists()


def test_asvs_7_4_2_who_leaves_the_staff_is_signed_out_everywhere(client, make_client, chief):
    person, theirs, others = analyst(), make_client(), make_client()
    bystander = analyst()
    theirs.force_login(person)
    others.force_login(bystander)
    assert theirs.get("/admin/").status_code == 200

    say(client, person, is_staff=False)

    assert not Session.objects.filter(user=person).exists()
    assert theirs.get("/admin/").status_code == 302
    assert others.get("/admin/").status_code == 200


def test_who_gets_another_group_stays_signed_in_and_may_at_once_what_it_may(client, make_client, chief):
    person, theirs = analyst(), make_client()
    theirs.force_login(person)
    say(client, person, "Gestão")
    assert theirs.get("/admin/requests_app/externalsystem/").status_code == 200
    assert Session.objects.filter(user=person).exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_take_the_role_from_each_other_one_keeps_it():
    """Nobody is left who could give it back otherwise. Where rows are locked, one waits; elsewhere one is second."""
    one, two = administrator(), administrator()
    start, said = threading.Barrier(2), []

    def take_from(other, by):
        request = RequestFactory().post("/")
        request.user, request.session = by, None
        try:
            start.wait(10)
            roles.change(other.pk, is_staff=False, groups=[], by=User.objects.get(pk=by.pk), request=request)
        except roles.RefusedError as refusal:
            said.append(str(refusal))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=take_from, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert said == [roles.NOT_YOURS]
    assert sorted([is_now(one), is_now(two)]) == [(False, []), (True, ["Administração"])]
