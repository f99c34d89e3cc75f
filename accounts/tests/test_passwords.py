"""What a password must be and need not be, and how somebody who is signed in changes it."""

from __future__ import annotations

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier

import pytest
import time_machine
from django.contrib.auth.hashers import Argon2PasswordHasher, make_password
from django.db import connections
from django.utils import timezone

from accounts import passwords, tasks
from accounts.forms import NewPasswordForm, PasswordChangeForm
from accounts.models import OutgoingMail, ProvisionalPassword, SecurityEvent, User
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from requests_app.models import AccessRequest

NEW = "três araras voando baixo"
OTHER = "capivaras na beira do rio"
STALE = "A página ficou aberta por muito tempo. Confira o que digitou e envie de novo."
WRONG_CURRENT = "A senha atual não confere."


def composed(text):
    return unicodedata.normalize("NFC", text)


def decomposed(text):
    return unicodedata.normalize("NFD", text)


@pytest.fixture
def person(db):
    user = UserFactory(
        cpf="52998224725",
        name="GUILHERMINA D'ÁVILA SÁ TEIXEIRA",
        social_name="Valentim Teixeira",
        email="gui.teixeira2@tjms.jus.br",
    )
    EmploymentFactory(user=user, matricula="0012345")
    EmploymentFactory(user=user, matricula="778899", started_on=date(2001, 1, 1), ended_on=date(2005, 1, 1))
    return user


def reasons(person, password, again=None):
    """What the form says beside Nova Senha."""
    form = NewPasswordForm(person, {"new_password1": password, "new_password2": password if again is None else again})
    return form.errors.get("new_password1", [])


# --- What is refused, and why ---------------------------------------------------------------------------------------
COMMON = "Esta senha é muito comum. Escolha outra."
OF_THE_HOUSE = "A senha não pode conter “{}”: é fácil de adivinhar aqui."
REFUSED = [
    ("capivara azul 1", None),  # fifteen: the least that is enough
    ("capivara azul!", "A senha tem 14 caracteres. Use pelo menos 15."),
    ("C4p!v@ra", "A senha tem 8 caracteres. Use pelo menos 15."),
    ("qwertyuiop123", COMMON),
    ("1234567890qwertyuiop", COMMON),
    ("ManchesterUnited", COMMON),
    ("Manchester United", COMMON),
    ("  Manchester-United!  ", COMMON),
    ("123456789012345", COMMON),
    ("098765432109876", COMMON),
    ("abcdefghijklmnopq", COMMON),
    ("QWERTYUIOPASDFGH", COMMON),
    ("123 456 123 456 123", COMMON),
    ("abcabcabcabcabcabc", COMMON),
    ("aaaaaaaaaaaaaaaa", COMMON),
    ("ÁáÁáÁáÁáÁáÁáÁáÁá", COMMON),
    (" " * 20, COMMON),
    ("!" * 20, COMMON),
    ("-_-_-_-_-_-_-_-_", COMMON),
    ("😀" * 20, COMMON),
    ("meu acesso ao TJMS 7", OF_THE_HOUSE.format("tjms")),
    ("meu acesso ao T.J.M.S.", OF_THE_HOUSE.format("tjms")),
    ("o Tribunal das araras", OF_THE_HOUSE.format("tribunal")),
    ("que se faça a JUSTIÇA", OF_THE_HOUSE.format("justica")),
    ("araras na Corregedoria", OF_THE_HOUSE.format("corregedoria")),
    ("coordenadoria das araras", OF_THE_HOUSE.format("coordenadoria")),
    ("araras no BNMP 2.0", OF_THE_HOUSE.format("bnmp")),
    ("esta senha é de araras", OF_THE_HOUSE.format("senha")),
    ("sistemas externos e araras", OF_THE_HOUSE.format("sistemasexternos")),
    ("araras 529.982.247-25", "A senha não pode conter o seu CPF."),
    ("araras e 52998224725", "A senha não pode conter o seu CPF."),
    ("araras e 529982247", "A senha não pode conter o seu CPF."),
    ("araras e ５２９９８２２４７２５", "A senha não pode conter o seu CPF."),
    ("araras 0012345 azuis", "A senha não pode conter a sua matrícula."),
    ("araras 77-88-99 azuis", "A senha não pode conter a sua matrícula."),
    ("guilhermina voando", "A senha não pode conter o seu nome."),
    ("DÁVILA voando baixo", "A senha não pode conter o seu nome."),
    ("d'avila voando baixo", "A senha não pode conter o seu nome."),
    ("valentim voando baixo", "A senha não pode conter o seu nome."),
    ("gui-teixeira2 voando", "A senha não pode conter o seu nome."),
]


@pytest.mark.parametrize(("password", "reason"), REFUSED, ids=[password for password, _ in REFUSED])
def test_a_password_that_is_easy_to_guess_is_refused_with_the_reason(person, password, reason):
    found = reasons(person, password)

    assert (reason in found) if reason else found == []


def test_the_own_mailbox_is_refused_where_it_is_not_the_name(db):
    person = UserFactory(name="ANA SÁ", email="cgr.plantao77@tjms.jus.br")

    assert reasons(person, "cgr plantão77 azul") == ["A senha não pode conter o seu e-mail."]


ACCEPTED = {
    "a phrase": "jabuticaba no quintal azul",
    "asvs_6_2_5 small letters alone": "umafrasequalquermuitolonga",
    "asvs_6_2_5 digits alone": "739204618250397",
    "asvs_6_2_5 signs alone": "¡#$&/()=?*[]_:;>°",
    "japanese": "吾輩は猫である名前はまだ無い三毛猫",
    "cyrillic": "мороз и солнце день",
    "other scripts with a common piece": "吾輩は猫である名前は無い 123456",
    "signs with a short word": "¡#$&/()=?*[]_:;>° oi",
    "emoji": "🦜🐆🌵🦎🐊🦆🐢🦉🐍🐸🦇🐒🦥🐗🦔",
    "somebody else's name": "ernestina voando baixo",
    "somebody else's cpf": "araras 111.444.777-35",
    "a word of three letters from the own name": "o sabiá sabe assobiar",
    "asvs_6_2_9 64": "araras " * 9 + "x",
    "asvs_6_2_9 128": ("araras e tuiuiús " * 8)[:127] + "!",
    "spaces around": "  três araras voando  ",
}


@pytest.mark.parametrize("password", ACCEPTED.values(), ids=ACCEPTED)
def test_a_long_password_of_whatever_kind_is_good(person, password):
    assert reasons(person, password) == []


def test_asvs_6_2_1_the_length_is_a_setting(person, settings):
    settings.PASSWORD_MIN_LENGTH = 8

    assert reasons(person, "Xk3#v9q") == ["A senha tem 7 caracteres. Use pelo menos 8."]
    assert reasons(person, "Xk3#v9qT") == []


def test_asvs_6_2_8_a_password_past_the_limit_is_refused_and_not_cut(person):
    longest = ("araras e tuiuiús " * 8)[:127] + "!"

    assert reasons(person, longest) == []
    assert reasons(person, longest + "!") == ["Use no máximo 128 caracteres."]


def test_nist_3_1_1_2_characters_are_counted_as_code_points_of_the_composed_form(person):
    fourteen, longest = "áéíóúâêôãõçàüñ", ("áéíóúâêôãõç " * 11)[:127] + "!"
    assert (len(fourteen), len(decomposed(fourteen))) == (14, 28)
    assert len(decomposed(longest)) > 128

    assert reasons(person, decomposed(fourteen)) == ["A senha tem 14 caracteres. Use pelo menos 15."]
    assert reasons(person, decomposed(fourteen) + "!") == []
    assert reasons(person, decomposed(longest)) == []
    assert reasons(person, decomposed(longest) + "!") == ["Use no máximo 128 caracteres."]


def test_both_fields_must_be_the_same_even_where_the_first_is_refused(person):
    different = NewPasswordForm(person, {"new_password1": NEW, "new_password2": OTHER})
    both = NewPasswordForm(person, {"new_password1": "curta", "new_password2": "curto"})

    assert different.errors == {"new_password2": ["As duas senhas não são iguais."]}
    assert set(both.errors) == {"new_password1", "new_password2"}


def test_the_same_rules_hold_at_every_door():
    assert issubclass(PasswordChangeForm, NewPasswordForm)


# --- Behind the gear ------------------------------------------------------------------------------------------------
def change(client, old=PASSWORD, new=NEW, again=None, **more):
    fields = {"old_password": old, "new_password1": new, "new_password2": new if again is None else again, **more}
    return client.post("/conta/alterar-senha/", fields)


def enters(client, person, password):
    return client.post("/entrar/", {"username": person.cpf, "password": password}).status_code == 302


def has_password(person, password):
    return User.objects.get(pk=person.pk).check_password(password)


@pytest.fixture
def gear(client, person):
    """A client that is signed in as the person."""
    client.force_login(person)
    return client


def test_the_gear_leads_to_the_change(gear):
    assert re.search(r'<a class="[^"]*gear[^"]*" href="/conta/"', gear.get("/").content.decode())
    assert 'href="/conta/alterar-senha/"' in gear.get("/conta/").content.decode()


def test_asvs_6_2_2_a_person_changes_the_own_password(gear, make_client, person):
    response = change(gear)

    assert response["Location"] == "/"
    assert "Senha alterada com sucesso." in gear.get("/").content.decode()
    assert enters(make_client(), person, NEW)
    assert not enters(make_client(), person, PASSWORD)
    event = SecurityEvent.objects.get(kind=SecurityEvent.Kind.PASSWORD_CHANGED)
    assert (event.user, event.actor) == (person, person)


@pytest.mark.parametrize("old", ["jabuticaba no quintal alheio", PASSWORD.upper(), PASSWORD + " ", f" {PASSWORD}"])
def test_asvs_6_2_3_without_the_current_password_nothing_changes(gear, person, old):
    response = change(gear, old=old)

    page = response.content.decode()
    assert response.status_code == 200
    assert response.context["form"].errors == {"old_password": [WRONG_CURRENT]}
    assert WRONG_CURRENT in page
    assert old not in page
    assert NEW not in page
    assert has_password(person, PASSWORD)


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"old": ""}, "old_password", "Este campo é obrigatório."),
        ({"old": PASSWORD + "\0"}, "old_password", "Caracteres nulos não são permitidos."),
        ({"old": "a" * 1_000_000}, "old_password", "Use no máximo 128 caracteres."),
        ({"old": [PASSWORD, PASSWORD]}, "old_password", "Este campo veio mais de uma vez. Digite um valor só."),
        ({"new": ""}, "new_password1", "Por favor digite sua nova senha."),
        ({"new": "curta"}, "new_password1", "A senha tem 5 caracteres. Use pelo menos 15."),
        ({"new": "guilhermina voando"}, "new_password1", "A senha não pode conter o seu nome."),
        ({"new": NEW + "\0"}, "new_password1", "Caracteres nulos não são permitidos."),
        (
            {"new": [NEW, OTHER], "again": OTHER},
            "new_password1",
            "Este campo veio mais de uma vez. Digite um valor só.",
        ),
        ({"again": OTHER}, "new_password2", "As duas senhas não são iguais."),
        ({"again": ""}, "new_password2", "Repita a nova senha."),
        ({"new": PASSWORD}, "new_password1", "A nova senha precisa ser diferente da atual."),
    ],
)
def test_fault_11_bad_input_gets_a_sentence_and_changes_nothing(gear, person, fields, field, sentence):
    response = change(gear, **fields)

    page = response.content.decode()
    assert response.status_code == 200
    assert sentence in response.context["form"].errors[field]
    assert sentence in page
    assert PASSWORD not in page
    assert NEW not in page
    assert has_password(person, PASSWORD)
    assert not OutgoingMail.objects.exists()


def test_the_current_password_in_another_unicode_form_is_no_new_one(client, db):
    person = UserFactory(password=make_password(NEW))
    client.force_login(person)

    response = change(client, old=composed(NEW), new=decomposed(NEW))

    assert response.context["form"].errors["new_password1"] == ["A nova senha precisa ser diferente da atual."]


def test_asvs_6_3_1_the_current_password_cannot_be_guessed_at_an_open_computer(gear, make_client, person):
    others = make_client()
    others.force_login(UserFactory())
    for _ in range(5):
        assert change(gear, old=OTHER).status_code == 200

    response = change(gear)

    assert response.status_code == 429
    assert "Muitas tentativas em pouco tempo. Aguarde 1 minuto e tente de novo." in response.content.decode()
    assert has_password(person, PASSWORD)
    assert change(others)["Location"] == "/"
    with time_machine.travel(timedelta(seconds=61)):
        assert change(gear)["Location"] == "/"


def test_a_mistake_in_the_new_password_is_no_guess_at_the_current_one(gear):
    for _ in range(8):
        change(gear, new="curta")

    assert change(gear)["Location"] == "/"


def test_the_right_password_clears_the_count_of_the_wrong_ones(gear):
    for _ in range(4):
        change(gear, old=OTHER)
    assert change(gear)["Location"] == "/"
    for _ in range(4):
        change(gear, old=OTHER, new=PASSWORD)

    assert change(gear, old=NEW, new=PASSWORD)["Location"] == "/"


def test_asvs_7_4_3_a_change_ends_the_sessions_elsewhere_and_not_this_one(make_client, person):
    here, elsewhere, others = make_client(), make_client(), make_client()
    for client in (here, elsewhere):
        assert enters(client, person, PASSWORD)
    others.force_login(UserFactory())
    key = here.session.session_key

    change(here)

    assert here.get("/conta/").status_code == 200
    assert here.session.session_key != key
    assert elsewhere.get("/conta/").status_code == 302
    assert others.get("/conta/").status_code == 200


def test_asvs_6_3_7_a_notice_without_the_password_follows_a_change(gear, person, smtp_sink):
    change(gear)

    tasks.sweep()

    (notice,) = smtp_sink.deliveries
    assert notice.recipients == [person.email]
    assert notice.message["Subject"] == "Sua senha foi alterada"
    for part in ("plain", "html"):
        assert NEW not in notice.text(part)
        assert PASSWORD not in notice.text(part)


def test_asvs_3_5_1_a_stale_form_says_so_and_changes_nothing(make_client, person):
    client = make_client(enforce_csrf_checks=True)
    client.force_login(person)

    response = change(client)

    assert response["Location"] == "/conta/alterar-senha/"
    assert STALE in client.get("/conta/alterar-senha/").content.decode()
    assert has_password(person, PASSWORD)


def test_a_change_works_the_first_time_though_the_hash_is_renewed_in_passing(gear, person, monkeypatch):
    """The hasher's parameters were raised since the password was set: comparing it writes a new hash of it."""
    for hasher in (Argon2PasswordHasher, *Argon2PasswordHasher.__subclasses__()):
        monkeypatch.setattr(hasher, "time_cost", 3)

    assert change(gear)["Location"] == "/"
    assert has_password(person, NEW)


def test_of_two_changes_in_the_same_moment_one_is_told_that_the_password_is_another_now(
    transactional_db, make_client, monkeypatch
):
    person = UserFactory()
    clients = [make_client(), make_client()]
    for client in clients:
        assert enters(client, person, PASSWORD)
    both = Barrier(2)

    def hash_and_wait(password):
        hashed = make_password(password)
        both.wait(20)  # each has shown the current password by now
        return hashed

    monkeypatch.setattr(passwords, "make_password", hash_and_wait)

    def post(client, password):
        try:
            return change(client, new=password)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(post, clients, [NEW, OTHER]))

    won = [answer.status_code for answer in answers].index(302)
    assert answers[1 - won].status_code == 200
    assert answers[1 - won].context["form"].errors == {"old_password": [WRONG_CURRENT]}
    assert has_password(person, [NEW, OTHER][won])
    assert SecurityEvent.objects.filter(kind=SecurityEvent.Kind.PASSWORD_CHANGED).count() == 1


# --- As it was typed ------------------------------------------------------------------------------------------------
PHRASE = "a onça-pintada não é mansa"


@pytest.mark.parametrize("set_as", [composed, decomposed])
@pytest.mark.parametrize("typed_as", [composed, decomposed])
def test_nist_3_1_1_2_a_phrase_with_accents_opens_the_door_from_every_keyboard(
    gear, make_client, person, set_as, typed_as
):
    assert composed(PHRASE) != decomposed(PHRASE)
    assert change(gear, new=set_as(PHRASE))["Location"] == "/"

    assert enters(make_client(), person, typed_as(PHRASE))


def test_accents_are_part_of_the_password(gear, make_client, person):
    change(gear, new=PHRASE)

    assert not enters(make_client(), person, "a onca-pintada nao e mansa")


def test_a_look_alike_is_another_password(gear, make_client, person):
    """NFC, not NFKC: a full-width letter is no letter."""
    change(gear, new="onça ﬁna no capinzal")

    assert not enters(make_client(), person, "onça fina no capinzal")


def test_asvs_6_2_8_spaces_and_case_count(gear, make_client, person):
    assert change(gear, new="  três Araras voando  ")["Location"] == "/"

    for other in ("três Araras voando", "  três araras voando  ", " três Araras voando  "):
        assert not enters(make_client(), person, other)
    assert enters(make_client(), person, "  três Araras voando  ")


def test_asvs_6_2_8_the_last_of_128_characters_counts(gear, make_client, person):
    longest = ("araras e tuiuiús " * 8)[:127]
    assert change(gear, new=longest + "!")["Location"] == "/"

    assert not enters(make_client(), person, longest)
    assert not enters(make_client(), person, longest + "?")
    assert enters(make_client(), person, longest + "!")


def password_inputs(page):
    return re.findall(r"<input[^>]*name=\"(?:\w*password\w*)\"[^>]*>", page)


def test_asvs_6_2_6_passwords_are_masked_never_written_back_and_can_be_shown(gear, make_client):
    inputs = [
        *password_inputs(make_client().get("/entrar/").content.decode()),
        *password_inputs(gear.get("/conta/alterar-senha/").content.decode()),
        *password_inputs(change(gear, new="curta").content.decode()),
    ]

    assert len(inputs) == 7
    for tag in inputs:
        assert 'type="password"' in tag
        assert "data-password" in tag
        assert "value=" not in tag


def test_asvs_6_2_7_nothing_stands_in_the_way_of_a_password_manager(gear, make_client):
    (entering,) = password_inputs(make_client().get("/entrar/").content.decode())
    changing = password_inputs(gear.get("/conta/alterar-senha/").content.decode())

    assert 'autocomplete="current-password"' in entering
    assert [re.search(r'autocomplete="([\w-]+)"', tag)[1] for tag in changing] == [
        "current-password",
        "new-password",
        "new-password",
    ]
    for tag in (entering, *changing):
        assert int(re.search(r'maxlength="(\d+)"', tag)[1]) > 2 * 128  # a pasted phrase is never cut unseen
        assert "readonly" not in tag
        assert "onpaste" not in tag
    assert 'autocomplete="username"' in make_client().get("/entrar/").content.decode()


def test_the_page_says_what_a_good_password_is(gear):
    page = gear.get("/conta/alterar-senha/").content.decode()

    assert "Use pelo menos 15 caracteres. Uma frase curta é fácil de lembrar." in page


def test_asvs_6_2_10_an_old_password_need_not_be_changed(client, person):
    with time_machine.travel(timedelta(days=5 * 365)):
        assert enters(client, person, PASSWORD)
        assert client.get("/conta/").status_code == 200


# --- A provisional password -----------------------------------------------------------------------------------------
@pytest.fixture
def newcomer(db):
    """Signed in with a provisional password for the first time."""
    user = EmploymentFactory(user__must_change_password=True, user__is_staff=True).user
    now = timezone.now()
    ProvisionalPassword.objects.create(
        user=user, nonce="ab" * 16, key_version="test", set_at=now, mailed_at=now, lapses_at=now + timedelta(days=7)
    )
    return user


def test_who_lost_the_provisional_password_on_the_way_may_still_ask_for_a_link(client, newcomer):
    client.force_login(newcomer)
    assert client.get("/esqueci-a-senha/").status_code == 200
    assert client.get("/esqueci-a-senha/enviado/").status_code == 200


EVERYTHING_ELSE = [
    "/",
    "/conta/",
    "/solicitacoes/",
    "/solicitacoes/nova/",
    "/solicitacoes/2026-000001/",
    "/pessoas/busca/?q=ana",
    "/entrar/",
    "/entrar/?next=/solicitacoes/",
    "/admin/",
    "/admin/accounts/user/",
    "/nao-existe/",
]


@pytest.mark.parametrize("address", EVERYTHING_ELSE)
def test_asvs_6_4_1_a_provisional_password_leads_to_an_own_one_before_anything_else(client, newcomer, address):
    client.force_login(newcomer)

    assert client.get(address)["Location"] == "/conta/alterar-senha/"
    assert client.post(address)["Location"] == "/conta/alterar-senha/"


def test_asvs_6_4_1_nothing_is_done_by_who_has_not_chosen_a_password(client, newcomer):
    client.force_login(newcomer)

    client.post("/solicitacoes/nova/", {"description": "Consulta de mandados."})

    assert not AccessRequest.objects.exists()


def test_who_has_not_chosen_yet_can_read_the_guidance_and_leave(client, newcomer):
    client.force_login(newcomer)

    assert client.get("/orientacoes/").status_code == 200
    assert client.get("/conta/alterar-senha/").status_code == 200
    assert client.post("/sair/")["Location"] == "/entrar/"
    assert "_auth_user_id" not in client.session


def test_asvs_6_4_1_the_provisional_password_ends_with_the_choice(make_client, newcomer):
    client = make_client()
    assert enters(client, newcomer, PASSWORD)

    assert change(client)["Location"] == "/"

    newcomer.refresh_from_db()
    provisional = newcomer.provisional_passwords.get()
    assert not newcomer.must_change_password
    assert (provisional.ended_at is not None, provisional.nonce) == (True, "")
    assert client.get("/conta/").status_code == 200
    assert client.get("/admin/").status_code == 200
    assert not enters(make_client(), newcomer, PASSWORD)


def test_the_provisional_password_cannot_be_kept_as_the_own_one(client, newcomer):
    client.force_login(newcomer)

    response = change(client, new=PASSWORD)

    assert response.context["form"].errors["new_password1"] == ["A nova senha precisa ser diferente da atual."]
    newcomer.refresh_from_db()
    assert newcomer.must_change_password


def test_asvs_14_2_1_nobody_of_the_staff_can_see_or_choose_a_password(client, db):
    person = UserFactory()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    page = client.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()

    assert person.masked_cpf in page
    assert person.password not in page
    assert "argon2" not in page
    assert client.get(f"/admin/accounts/user/{person.pk}/password/").status_code in {302, 404}
    assert 'name="password"' not in page
