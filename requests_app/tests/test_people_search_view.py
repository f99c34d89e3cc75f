"""The list that "Efetuar cadastro para" asks for while somebody types."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from accounts.cpf import formatted
from accounts.models import ThrottleCount
from accounts.tests.factories import EmploymentFactory, UnitFactory

pytestmark = pytest.mark.django_db

SEARCH = "/pessoas/busca/"


@pytest.fixture
def person(client):
    user = EmploymentFactory(user__name="QUEM PROCURA").user
    client.force_login(user)
    return user


@pytest.fixture
def joao():
    return EmploymentFactory(
        user__name="JOÃO D'ÁVILA DOS SANTOS",
        user__email="joao.davila@tjms.jus.br",
        matricula="081135",
        cargo="Oficial de Justiça",
        unit=UnitFactory(name="Vara Única", comarca="Bela Vista"),
    )


def test_the_answer_has_the_agreed_shape_and_nothing_more(client, person, joao):
    response = client.get(SEARCH, {"q": "joao"})

    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "results": [
            {
                "id": joao.pk,
                "matricula": "081135",
                "nome": "João D'Ávila dos Santos",
                "cargo": "Oficial de Justiça",
                "lotacao": "Vara Única – Bela Vista",
            }
        ]
    }


def test_each_bond_is_a_line_of_its_own(client, person, joao):
    second = EmploymentFactory(user=joao.user, matricula="081136", cargo="Juiz Leigo")
    results = client.get(SEARCH, {"q": "davila"}).json()["results"]
    assert [(line["id"], line["cargo"]) for line in results] == [
        (joao.pk, "Oficial de Justiça"),
        (second.pk, "Juiz Leigo"),
    ]


def test_the_social_name_is_the_one_shown(client, person):
    EmploymentFactory(user__name="CARLOS PAZ", user__social_name="CARLA PAZ")
    answer = client.get(SEARCH, {"q": "paz"})
    assert [line["nome"] for line in answer.json()["results"]] == ["Carla Paz"]
    assert "arlos" not in answer.content.decode().lower()


@pytest.mark.parametrize("query", ["joao", "JOÃO", "081135", "0811", "santos joao", "d'avila"])
def test_people_are_found_by_name_or_matricula(client, person, joao, query):
    EmploymentFactory(user__name="BRUNO DIAS", matricula="700001")
    assert [line["id"] for line in client.get(SEARCH, {"q": query}).json()["results"]] == [joao.pk]


@pytest.mark.parametrize(
    "query",
    [
        *("", "jo", "  ", "%", "%%%", "___", "jo_o", "j%o", "\\", "'", '"', '"joao', "joao*x", "0 OR 1=1", "\0\0\0"),
        *("joao OR maria", "NEAR(joao)", "search_name:joao -x", "<script>", "a" * 100_000, "\ud800x", "𝒿𝑜", "()"),
    ],
)
def test_fault_21_any_text_is_harmless(client, person, joao, query):
    EmploymentFactory(user__name="BRUNO DIAS")
    response = client.get(SEARCH, {"q": query.encode("utf-8", "surrogatepass")})
    assert response.status_code == 200
    found = [line["id"] for line in response.json()["results"]]
    assert found in ([], [joao.pk])
    if "joao" not in query:
        assert found == []


def test_neither_cpf_nor_address_is_told_or_found(client, person, joao):
    user = joao.user
    answer = client.get(SEARCH, {"q": "joao"}).content.decode()
    for secret in (user.cpf, formatted(user.cpf), user.masked_cpf, user.email, user.phone):
        assert secret not in answer
    for query in (user.cpf, formatted(user.cpf), user.cpf[:9], user.email, "davila@tjms", "tjms.jus.br"):
        assert client.get(SEARCH, {"q": query}).json() == {"results": []}


def test_who_has_left_is_not_found(client, person):
    today = timezone.localdate()
    EmploymentFactory(user__name="CARLA PAZ", ended_on=today - timedelta(days=1))
    EmploymentFactory(user__name="CARLA PONTES", user__is_active=False)
    EmploymentFactory(user__name="CARLA PIRES", started_on=today + timedelta(days=1))
    staying = EmploymentFactory(user__name="CARLA PRADO", ended_on=today)
    assert [line["id"] for line in client.get(SEARCH, {"q": "carla"}).json()["results"]] == [staying.pk]


def test_no_more_than_twenty_are_listed(client, person):
    for number in range(21):
        EmploymentFactory(user__name=f"CARLA PAZ {number}")
    assert len(client.get(SEARCH, {"q": "carla"}).json()["results"]) == 20


def test_a_name_with_markup_is_json_text(client, person):
    EmploymentFactory(user__name="CARLA <script>alert(1)</script>")
    response = client.get(SEARCH, {"q": "carla"})
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.json()["results"][0]["nome"].lower() == "carla <script>alert(1)</script>"


def test_who_is_not_signed_in_learns_nothing(client, joao):
    response = client.get(SEARCH, {"q": "joao"})
    assert response.status_code == 302
    assert urlsplit(response.url).path == "/entrar/"
    assert response.content == b""


def test_somebody_with_a_provisional_password_must_change_it_first(client, person, joao):
    person.must_change_password = True
    person.save()
    response = client.get(SEARCH, {"q": "joao"})
    assert (response.status_code, response.url) == (302, "/conta/alterar-senha/")


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_searching_is_asking_and_nothing_else(client, person, method):
    assert getattr(client, method)(SEARCH, {"q": "joao"}).status_code == 405


def test_who_reads_the_whole_directory_is_stopped_and_nobody_else_is(client, make_client, person, joao):
    answers = [client.get(SEARCH, {"q": "joao"}) for _ in range(121)]

    assert [answer.status_code for answer in answers] == [200] * 120 + [429]
    stopped = answers[-1]
    assert stopped.json()["results"] == []
    assert stopped.json()["error"].startswith("Muitas tentativas em pouco tempo. Aguarde")
    assert 0 < int(stopped.headers["Retry-After"]) <= 60

    other = make_client()
    other.force_login(joao.user)
    assert other.get(SEARCH, {"q": "joao"}).status_code == 200


def test_after_the_wait_the_search_answers_again(client, person, joao):
    for _ in range(121):
        client.get(SEARCH, {"q": "joao"})
    past = timezone.now() - timedelta(seconds=1)
    ThrottleCount.objects.update(blocked_until=past, window_ends_at=past)
    assert client.get(SEARCH, {"q": "joao"}).status_code == 200


def test_the_answer_is_kept_by_no_cache(client, person):
    assert "no-store" in client.get(SEARCH, {"q": "joao"}).headers["Cache-Control"]
