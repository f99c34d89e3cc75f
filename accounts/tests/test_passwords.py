"""What a password must be and need not be, and how somebody who is signed in changes it."""

from __future__ import annotations

import html
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.hashers import Argon2PasswordHasher, make_password
from django.db import connections
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts import passwords, resets, tasks
from accounts.forms import NewPasswordForm
from accounts.models import OutgoingMail, ProvisionalPassword, SecurityEvent, User
from accounts.tests.factories import PASSWORD, EmploymentFactory, UserFactory
from requests_app.models import AccessRequest

NEW = "três araras voando baixo"
OTHER = "capivaras na beira do rio"
STALE = "A página ficou aberta por muito tempo. Confira o que digitou e envie de novo."
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
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
    ("Flamengo2024!!!", COMMON),
    ("!!! flamengo 2024", COMMON),
    ("flamengo flamengo", COMMON),
    ("C0rinthians 2012", COMMON),
    ("corinthianscorinthians", COMMON),
    ("P@ssw0rd!P@ssw0rd!", COMMON),
    ("Matrix 01/02/1999", COMMON),
    ("qwertyuiop[]1234", COMMON),
    ("Campo Grande 2026", COMMON),
    ("dragon 123456789012", COMMON),
    ("minhasenhanova1", OF_THE_HOUSE.format("senha")),
    ("troca de senha nova", OF_THE_HOUSE.format("senha")),
    ("S3NH4 das araras azuis", OF_THE_HOUSE.format("senha")),
    ("$enha das araras azuis", OF_THE_HOUSE.format("senha")),
    ("s e n h a das araras", OF_THE_HOUSE.format("senha")),
    ("s1e2n3h4a das araras", OF_THE_HOUSE.format("senha")),
    ("desenha a senha azul", OF_THE_HOUSE.format("senha")),
    ("tj-2026-ms e araras", OF_THE_HOUSE.format("TJMS")),
    ("c0rr3g3d0r14 das araras", OF_THE_HOUSE.format("corregedoria")),
    ("bnmp3.0 das araras", OF_THE_HOUSE.format("BNMP")),
    ("acesso ao SEEU amanhã", OF_THE_HOUSE.format("SEEU")),
    ("meusisbajud de araras", OF_THE_HOUSE.format("SISBAJUD")),
    ("infojud e renajud 12", OF_THE_HOUSE.format("INFOJUD")),
    ("meu acesso ao TJMS 7", OF_THE_HOUSE.format("TJMS")),
    ("meu acesso ao T.J.M.S.", OF_THE_HOUSE.format("TJMS")),
    ("o Tribunal das araras", OF_THE_HOUSE.format("tribunal")),
    ("que se faça a JUSTIÇA", OF_THE_HOUSE.format("justiça")),
    ("araras na Corregedoria", OF_THE_HOUSE.format("corregedoria")),
    ("coordenadoria das araras", OF_THE_HOUSE.format("coordenadoria")),
    ("araras no BNMP 2.0", OF_THE_HOUSE.format("BNMP")),
    ("esta senha é de araras", OF_THE_HOUSE.format("senha")),
    ("sistemas externos e araras", OF_THE_HOUSE.format("sistemas externos")),
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
def test_asvs_6_2_4_and_6_2_11_a_password_that_is_easy_to_guess_is_refused_with_the_reason(person, password, reason):
    found = reasons(person, password)

    assert (reason in found) if reason else found == []


GOOD_PHRASES = [
    "resenha de domingo cedo",
    "ele desenha araras azuis",
    "redesenhar o quintal azul",
    "que injustiça com o tuiuiú",
    "três e nhandu no campo",
    "se eu fosse um tuiuiú",
    "éramos felizes na roça",
    "o clima da prosa mansa",
    "comprei três pastéis na feira",
    "o ipê floriu em agosto",
    "tereré gelado às 16h",
    "quatro pneus e um sonho",
    "cada macaco no seu galho",
    "banana luz e lampião",
    "formosa é a tarde na serra",
    "arquivo 739204618250397",
    "xK 73920461825039",
]


@pytest.mark.parametrize("password", GOOD_PHRASES)
def test_a_good_phrase_is_not_refused_for_a_word_that_stands_in_another(db, password):
    person = UserFactory(name="ANA LUZ DE LIMA ROSA RAMOS", email="rosa@tjms.jus.br")
    EmploymentFactory(user=person, matricula="0018")

    assert reasons(person, password) == []


@pytest.mark.parametrize(
    "password",
    [
        "analuz e as capivaras",
        "Ana Luz e as capivaras",
        "a.n.a.l.u.z e capivaras",
        "mariadaluz nas alturas",
        "marialuz nas alturas",
        "Rosa2026 das capivaras",
        "r0s4 e mais capivaras",
        "a rosa e as capivaras",
    ],
)
def test_a_short_name_is_refused_as_a_word_and_two_of_them_as_one(db, password):
    person = UserFactory(name="MARIA DA LUZ ROSA", social_name="ANA LUZ", email="")

    assert reasons(person, password) == ["A senha não pode conter o seu nome."]


def test_a_matricula_counts_without_the_zeros_that_it_begins_with(person):
    assert reasons(person, "araras 12345 azuis") == ["A senha não pode conter a sua matrícula."]
    assert reasons(person, "araras 9912345 azuis") == []


@pytest.fixture
def clerk(db):
    """Somebody with all the data that the directory has of a person."""
    user = UserFactory(
        cpf="18159083009",
        name="LÚCIA DOS BENÍTEZ GONÇALVES",
        social_name="Jairo Gonçalves Ramos",
        email="plantao.civel@tjms.jus.br",
        phone="(67) 3314-7851 / 99999-1234",
    )
    EmploymentFactory(user=user, matricula="056839", cargo="Técnico de Nível Superior", unit__comarca="Campo Grande")
    elsewhere = {"unit__name": "Vara da Infância e Juventude", "unit__comarca": "Dois Irmãos do Buriti"}
    EmploymentFactory(user=user, matricula="778899", ended_on=date(2020, 1, 1), **elsewhere)
    return user


OWN = "A senha não pode conter {}."
OWN_BOND = "A senha não pode ser feita só da sua lotação ou do seu cargo."
MADE_OF_OWN_DATA = {
    "(67) 3314-7851 (67)": OWN.format("o seu telefone"),
    "673314785167331478": OWN.format("o seu telefone"),
    "6733147851-telefone": OWN.format("o seu telefone"),
    "+55 0xx67 33.14.78.51": OWN.format("o seu telefone"),
    "(67)९९९९१२३४ e araras": OWN.format("o seu telefone"),
    "araras azuis 99991234": OWN.format("o seu telefone"),
    "araras azuis 15874133": OWN.format("o seu telefone de trás para frente"),
    "90038095181 90038095181": OWN.format("o seu CPF de trás para frente"),
    "1815908300918159083009": OWN.format("o seu CPF"),
    "cpf 181 araras 590 azuis 830": OWN.format("o seu CPF"),
    "056839056839056839": OWN.format("a sua matrícula"),
    "araras azuis 938650": OWN.format("a sua matrícula de trás para frente"),
    "sevlaçnog zetineb aicul": OWN.format("o seu nome de trás para frente"),
    "sevlacnog e as araras": OWN.format("o seu nome de trás para frente"),
    "goncalvesgoncalves1": OWN.format("o seu nome"),
    "jаirо gоnçаlves": OWN.format("o seu nome"),
    "JΑΙRΟ e as araras azuis": OWN.format("o seu nome"),
    "g0nç4lv3$ e as araras": OWN.format("o seu nome"),
    "90n(41v35 e as araras": OWN.format("o seu nome"),
    "Lucia Lucia Lucia": OWN.format("o seu nome"),
    "somar somar somar": OWN.format("o seu nome"),
    "1varacriminalcampogrande": OWN_BOND,
    "1ª Vara Criminal de C. Grande": OWN_BOND,
    "v4r4cr1m1n4l c4mp0 2026": OWN_BOND,
    "v-a-r-a c-r-i-m-i-n-a-l": OWN_BOND,
    "primeira vara criminal": OWN_BOND,
    "1\u200bv\u200ba\u200br\u200ba\u200bcriminal": OWN_BOND,
    "tecnico de nivel superior": OWN_BOND,
    "TécnicoDeNívelSuperior!!!": OWN_BOND,
    "vara da infância buriti": OWN_BOND,
    "técnico 1234567 criminal": OWN_BOND,
}


@pytest.mark.parametrize("password", MADE_OF_OWN_DATA)
def test_asvs_6_2_11_what_is_made_of_ones_own_data_is_refused_for_that_and_not_as_common(clerk, password):
    assert reasons(clerk, password) == [MADE_OF_OWN_DATA[password]]


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("corregеdоriа das araras", "corregedoria"),
        ("СОRRЕGЕDОRIА das araras", "corregedoria"),
        ("tribυnαl das araras", "tribunal"),
        ("(0rr363d0r!4 das araras", "corregedoria"),
        ("c0rr39ed0r|a das araras", "corregedoria"),
        ("+r16una1 das araras", "tribunal"),
        ("8NMP das araras azuis", "BNMP"),
        ("7JM$ das araras azuis", "TJMS"),
        ("s.3.n.h.@ das araras", "senha"),
        ("ѕеnhа das araras azuis", "senha"),
        ("s\u00ade\u200dn\u200bha das araras", "senha"),
    ],
)
def test_asvs_6_2_11_a_word_of_the_court_is_known_in_other_letters_and_signs(clerk, password, word):
    assert reasons(clerk, password) == [OF_THE_HOUSE.format(word)]


def test_asvs_6_2_11_a_word_of_the_court_is_known_backwards(clerk):
    said = "A senha não pode conter “corregedoria” de trás para frente: é fácil de adivinhar aqui."

    assert reasons(clerk, "AIRODEGERROC das araras") == [said]


@pytest.mark.parametrize(
    "password",
    [
        "1qaz2wsx3edc4rfv5tgb",
        "!QAZ@WSX#EDC$RFV",
        "zaq12wsxcde34rfv",
        "qazwsxedcrfvtgbyhn",
        "qweasdzxcqweasdzxc",
        "asdfghjklçasdfghjklç",
        "asdf-ghjk-lkjh-gfds",
        "poiuytrewq lkjhgfdsa",
        "a b c d e f g h i j k",
        "147258369 147258369",
        "a              b",
        "a..............b",
        "a!!!!!!!!!!!!!!b",
        "aaaabbbbccccdddd",
        "arara 1234567890",
    ],
)
def test_asvs_6_2_4_keys_in_a_row_and_one_character_over_and_over_are_refused_as_common(clerk, password):
    assert reasons(clerk, password) == [COMMON]


@pytest.mark.parametrize(
    "password",
    [
        "vara de pescar no rio",
        "capivara no campo grande",
        "a varanda da casa amarela",
        "noite de todos os santos",
        "dois irmãos na varanda azul",
        "o nível do rio subiu ontem",
        "superior é o doce de leite",
        "criminoso de romance antigo",
        "vamos somar três e quatro",
        "jabuti onça tamanduá",
        "desses desertos três sedes",
        "três poetas na rua direita",
        "araras 33147852 azuis",
        "a tela e a teia da aranha",
        "ﾊﾟﾝﾀﾞが好きです、本当に好きです",
        "щука и ёж жили дружно",
        "mandacaru-florido-22",
    ],
)
def test_a_good_phrase_may_have_a_word_of_a_unit_or_look_like_ones_own(clerk, password):
    assert reasons(clerk, password) == []


def test_a_short_matricula_backwards_is_no_more_than_a_year(db):
    bond = EmploymentFactory(matricula="1202")

    assert reasons(bond.user, "araras azuis 2021") == []
    assert reasons(bond.user, "araras azuis 1202") == ["A senha não pode conter a sua matrícula."]


def test_a_telephone_is_only_looked_for_where_there_is_one(db):
    person = UserFactory(phone="ramal 1234")

    assert reasons(person, "araras azuis 1234 e tuiuiús") == []
    assert reasons(UserFactory(phone=""), "araras azuis 33147851") == []


def test_the_search_for_ones_own_data_ends_soon_for_whatever_is_typed(clerk):
    """No pattern goes back over what it has read: the longest that the field takes is looked through at once."""
    for piece in ("1", "vara", "s1", "aa ", "!", "campogrande", "gonc", "181590830"):
        assert reasons(clerk, (piece * 1024)[:1024])[0] == "Use no máximo 128 caracteres."


def test_the_advice_names_all_that_is_refused_and_how_long_a_password_may_be(gear):
    page = html.unescape(gear.get("/conta/alterar-senha/").content.decode())

    for sentence in (
        "Use de 15 a 128 caracteres. Uma frase curta é fácil de lembrar.",
        "Não use os seus dados: nome, CPF, matrícula, telefone, e-mail, lotação ou cargo.",
    ):
        assert f"<li>{sentence}</li>" in page


def test_asvs_6_2_4_the_offline_list_holds_far_more_than_a_hundred_thousand():
    listed = passwords.common_passwords().decode().split()

    assert len(listed) > 250_000
    assert len(listed) == len(set(listed))
    assert all(text == passwords.plain_form(text) for text in listed[::500])


def test_asvs_6_2_4_every_ten_thousandth_entry_is_refused_with_and_without_ornament(person, settings):
    settings.PASSWORD_MIN_LENGTH = 8
    listed = [text for text in passwords.common_passwords().decode().split() if len(text) >= 8 and text.isalpha()]

    for text in listed[::10_000]:
        for written in (text, text.title(), f"{text}2026!", f"  {text}!!"):
            assert COMMON in reasons(person, written), written


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
def test_asvs_6_2_5_and_6_2_9_a_long_password_of_whatever_kind_is_good(person, password):
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


def test_owasp_typed_twice_both_fields_must_be_the_same_even_where_the_first_is_refused(person):
    different = NewPasswordForm(person, {"new_password1": NEW, "new_password2": OTHER})
    both = NewPasswordForm(person, {"new_password1": "curta", "new_password2": "curto"})

    assert different.errors == {"new_password2": ["As duas senhas não são iguais."]}
    assert set(both.errors) == {"new_password1", "new_password2"}


BY_RULE = {
    "too short": ("capivara azul!", "A senha tem 14 caracteres. Use pelo menos 15."),
    "too long": ("capivara azul " * 10, "Use no máximo 128 caracteres."),
    "common": ("Manchester United", COMMON),
    "of the house": ("a coordenadoria às nove", OF_THE_HOUSE.format("coordenadoria")),
    "one's own": ("a guilhermina às nove", "A senha não pode conter o seu nome."),
    "the telephone": ("araras 67.3314.0000", "A senha não pode conter o seu telefone."),
    "the cargo": ("analista judiciário 1", "A senha não pode ser feita só da sua lotação ou do seu cargo."),
    "keys in a row": ("zaq12wsxcde34rfv", COMMON),
}


@pytest.mark.parametrize("rule", BY_RULE)
def test_owasp_same_policy_each_rule_holds_behind_the_gear_and_behind_the_link(client, make_client, person, rule):
    refused, sentence = BY_RULE[rule]
    client.force_login(person)
    by_link = make_client()
    by_link.get(resets.link_for(person))

    answers = [
        change(client, new=refused),
        by_link.post("/redefinir-senha/nova/", {"new_password1": refused, "new_password2": refused}),
    ]

    for answer in answers:
        assert answer.status_code == 200
        assert answer.context["form"].errors["new_password1"] == [sentence]
        assert sentence in html.unescape(answer.content.decode())
    assert has_password(person, PASSWORD)


# --- Behind the gear ------------------------------------------------------------------------------------------------
def change(client, old=PASSWORD, new=NEW, again=None, *, address="127.0.0.1", **more):
    fields = {"old_password": old, "new_password1": new, "new_password2": new if again is None else again, **more}
    return client.post("/conta/alterar-senha/", fields, REMOTE_ADDR=address)


def enters(client, person, password):
    return client.post("/entrar/", {"username": person.cpf, "password": password}).status_code == 302


def has_password(person, password):
    return User.objects.get(pk=person.pk).check_password(password)


@pytest.fixture
def gear(client, person):
    """A client that is signed in as the person."""
    client.force_login(person)
    return client


def test_asvs_16_3_1_a_wrong_current_password_is_recorded_with_who_and_from_where(gear, person):
    gear.post(
        "/conta/alterar-senha/",
        {"old_password": OTHER, "new_password1": NEW, "new_password2": NEW},
        REMOTE_ADDR="203.0.113.9",
        HTTP_USER_AGENT=FIREFOX,
    )

    (event,) = SecurityEvent.objects.all()
    assert (event.kind, event.user, event.address) == (SecurityEvent.Kind.PASSWORD_REFUSED, person, "203.0.113.9")
    assert event.device == FIREFOX
    assert OTHER not in str(vars(event))


def test_asvs_16_3_1_the_wait_that_wrong_current_passwords_earn_is_recorded_with_from_where(gear):
    for _ in range(6):
        change(gear, old=OTHER, address="203.0.113.9")

    kinds = SecurityEvent.objects.order_by("pk").values_list("kind", "address")
    refused = SecurityEvent.Kind.PASSWORD_REFUSED
    assert sorted(set(kinds)) == [(refused, "203.0.113.9"), (SecurityEvent.Kind.THROTTLED, "203.0.113.9")]
    assert [kind for kind, _address in kinds].count(refused) == 5


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
    gear.defaults["HTTP_USER_AGENT"] = FIREFOX
    change(gear, address="198.51.100.7")

    tasks.sweep()

    (notice,) = smtp_sink.deliveries
    assert notice.recipients == [person.email]
    assert notice.message["Subject"] == "Sua senha foi alterada"
    at = timezone.localtime(SecurityEvent.objects.get(kind=SecurityEvent.Kind.PASSWORD_CHANGED).at)
    for part in ("plain", "html"):
        text = " ".join(notice.text(part).split())
        for words in (
            f"{at:%d/%m/%Y %H:%M} (horário de MS)",
            "Aparelho: Firefox no Linux",
            "Endereço na internet: 198.51.100.7",
            "Se não foi você,",
            "(67) 3314-1465",
        ):
            assert words in text
        assert NEW not in text
        assert PASSWORD not in text


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

    assert "Use de 15 a 128 caracteres. Uma frase curta é fácil de lembrar." in page


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


def test_who_must_change_the_password_first_may_read_the_privacy_notice(client, newcomer):
    client.force_login(newcomer)
    assert "Aviso de privacidade" in client.get("/privacidade/").content.decode()


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


def test_nobody_of_the_staff_can_see_or_choose_a_password(client, db):
    person = UserFactory()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    page = client.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()

    assert person.masked_cpf in page
    assert person.password not in page
    assert "argon2" not in page
    assert client.get(f"/admin/accounts/user/{person.pk}/password/").status_code in {302, 404}
    assert 'name="password"' not in page


# --- In the browser -------------------------------------------------------------------------------------------------
@pytest.fixture
def change_page(portal_server, page: Page):
    """The gear's form in a real browser, signed in as somebody."""
    person = UserFactory()
    page.goto("/entrar/?next=/conta/alterar-senha/")
    page.get_by_label("Usuário").fill(person.cpf)
    page.get_by_label("Senha", exact=False).first.fill(PASSWORD)
    page.get_by_role("button", name="ENTRAR").click()
    page.wait_for_url("**/conta/alterar-senha/")
    return page


def faults_of(page):
    """What axe finds against WCAG 2.2 AA."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
    return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found.response["violations"]]


@pytest.mark.browser
def test_the_meter_tells_how_long_the_password_is_and_says_it_when_the_typing_pauses(change_page):
    first, second = change_page.locator("#id_new_password1"), change_page.locator("#id_new_password2")
    seen, said = change_page.locator("[data-password-seen]"), change_page.locator("[data-password-said]")
    bar = change_page.get_by_role("meter", name="Tamanho da senha nova")
    expect(seen).to_have_text("0 de 15 caracteres. Faltam 15.")
    expect(said).to_have_text("")

    first.press_sequentially("três araras 🦜")
    expect(seen).to_have_text("13 de 15 caracteres. Faltam 2.")
    expect(said).to_have_text("13 de 15 caracteres. Faltam 2.")
    assert bar.evaluate("meter => [meter.value, meter.max]") == [13, 15]

    first.press_sequentially(" azuis")
    expect(seen).to_have_text("19 caracteres: o tamanho basta. Só o tamanho foi conferido aqui.")
    second.fill("três araras")
    expect(seen).to_contain_text("As duas senhas ainda não são iguais.")
    second.fill("três araras 🦜 azuis")
    expect(said).to_contain_text("As duas senhas são iguais.")
    assert faults_of(change_page) == []


@pytest.mark.browser
def test_the_meter_says_when_a_password_is_longer_than_the_server_takes_and_nothing_is_cut_off(change_page):
    first = change_page.locator("#id_new_password1")
    seen, said = change_page.locator("[data-password-seen]"), change_page.locator("[data-password-said]")
    bar = change_page.get_by_role("meter", name="Tamanho da senha nova")
    longest = decomposed(("áéíóúâêôãõçü " * 10)[:128])

    first.fill(longest)
    expect(seen).to_have_text("128 caracteres: o tamanho basta. Só o tamanho foi conferido aqui.")
    assert bar.evaluate("meter => meter.optimum >= meter.low")

    first.fill(longest + "abcd")
    expect(seen).to_have_text("132 caracteres: o máximo é 128. Tire 4.")
    expect(said).to_have_text("132 caracteres: o máximo é 128. Tire 4.")
    expect(bar).to_have_attribute("aria-valuetext", "132 caracteres: o máximo é 128. Tire 4.")
    assert bar.evaluate("meter => meter.value > meter.high && meter.optimum < meter.low")
    assert first.input_value() == longest + "abcd"
    assert faults_of(change_page) == []

    first.fill(longest)
    expect(seen).to_have_text("128 caracteres: o tamanho basta. Só o tamanho foi conferido aqui.")
    assert bar.evaluate("meter => [meter.low, meter.high, meter.optimum]") == [15, 15, 15]


@pytest.mark.browser
def test_while_somebody_types_nothing_is_said_and_nothing_leaves_the_page(change_page):
    sent = []
    change_page.evaluate(
        """() => {
            window.said = [];
            const region = document.querySelector("[data-password-said]");
            new MutationObserver(() => window.said.push(region.textContent)).observe(region, {childList: true});
        }"""
    )
    change_page.on("request", lambda request: sent.append(request.post_data or request.url))

    change_page.locator("#id_new_password1").press_sequentially(NEW, delay=5)
    expect(change_page.locator("[data-password-said]")).to_have_text(
        "24 caracteres: o tamanho basta. Só o tamanho foi conferido aqui."
    )

    assert change_page.evaluate("window.said") == ["24 caracteres: o tamanho basta. Só o tamanho foi conferido aqui."]
    assert not [text for text in sent if "araras" in text]


@pytest.mark.browser
def test_asvs_6_2_6_a_password_is_shown_by_its_own_button_and_hidden_again_when_it_is_sent(change_page):
    first = change_page.locator("#id_new_password1")
    button = change_page.get_by_role("button", name="Mostrar senha (Nova Senha)")
    first.fill("curta")
    assert button.get_attribute("aria-controls") == "id_new_password1"
    assert button.get_attribute("aria-pressed") == "false"

    button.press("Enter")

    expect(first).to_have_attribute("type", "text")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(change_page.locator("#id_new_password2")).to_have_attribute("type", "password")
    change_page.evaluate(
        "document.querySelector('form[action]:has(#id_new_password1)').addEventListener('submit', "
        "event => { event.preventDefault(); window.sentAs = document.querySelector('#id_new_password1').type })"
    )
    change_page.get_by_role("button", name="Enviar").click()
    assert change_page.evaluate("window.sentAs") == "password"


@pytest.mark.browser
def test_asvs_6_2_7_a_password_can_be_pasted(change_page):
    first = change_page.locator("#id_new_password1")
    change_page.evaluate(
        """text => {
            const field = document.querySelector("#id_new_password1");
            field.focus();
            const pasted = new DataTransfer();
            pasted.setData("text/plain", text);
            const event = new ClipboardEvent("paste", {clipboardData: pasted, bubbles: true, cancelable: true});
            if (field.dispatchEvent(event)) document.execCommand("insertText", false, text);
        }""",
        NEW,
    )

    expect(first).to_have_value(NEW)
    expect(change_page.locator("[data-password-seen]")).to_have_text(
        "24 caracteres: o tamanho basta. Só o tamanho foi conferido aqui."
    )


@pytest.mark.browser
def test_at_320_pixels_nothing_of_the_form_is_cut_off(change_page):
    change_page.set_viewport_size({"width": 320, "height": 800})

    assert change_page.evaluate("document.documentElement.scrollWidth") <= 320
    assert faults_of(change_page) == []
