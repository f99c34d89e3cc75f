"""Passwords known from breaches: found in a file that is never read whole, and missed by nobody when it is gone."""

from __future__ import annotations

import hashlib
import logging
import unicodedata

import pytest
from django.core import checks
from django.core.management import call_command

from accounts import breaches
from accounts.forms import NewPasswordForm
from accounts.tests.factories import UserFactory

SENTENCE = "Esta senha apareceu em vazamentos de outros sites. Quem tenta adivinhar senhas já a conhece. Escolha outra."
KNOWN = [f"{number} capivaras na beira do rio" for number in range(2000)]


def digest_of(password):
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


def lines_of(passwords):
    return sorted(f"{digest_of(password)}:{number + 1}" for number, password in enumerate(passwords))


@pytest.fixture
def installed(tmp_path, settings):
    """Writes the file as it comes for download and names it in the settings."""

    def install(passwords, *, end="\r\n", last=""):
        path = tmp_path / "pwnedpasswords.txt"
        path.write_bytes((end.join(lines_of(passwords)) + last).encode())
        settings.BREACHED_PASSWORDS_FILE = str(path)
        return path

    return install


def complaints():
    """What the portal's own check says before the web server starts."""
    found = checks.run_checks(include_deployment_checks=True)
    return [message.msg for message in found if message.id == "portal.W007"]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("is_ended", [True, False])
def test_asvs_6_2_12_every_password_of_the_file_is_found_and_no_other(installed, end, is_ended):
    installed(KNOWN[::2], end=end, last=end if is_ended else "")

    assert all(breaches.is_breached(password) for password in KNOWN[::2])
    assert not any(breaches.is_breached(password) for password in KNOWN[1::2])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_file_is_searched_to_its_ends(installed, count):
    installed(KNOWN[:count])

    assert [breaches.is_breached(password) for password in KNOWN[:4]] == [place < count for place in range(4)]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_nist_3_1_1_2_a_phrase_is_found_in_whichever_form_it_was_typed(installed, form):
    composed = unicodedata.normalize("NFC", "três araras vazadas")
    installed([composed])

    assert breaches.is_breached(unicodedata.normalize(form, composed))


def test_digests_in_small_letters_are_the_same_digests(installed):
    path = installed(KNOWN[:50])
    path.write_bytes(path.read_bytes().lower())

    assert breaches.is_breached(KNOWN[7])


def test_asvs_6_2_12_a_breached_password_is_refused_with_the_reason(installed, db):
    installed(KNOWN)
    person = UserFactory()

    breached, good = (
        NewPasswordForm(person, {"new_password1": password, "new_password2": password})
        for password in (KNOWN[3], "jabuticaba no quintal do vizinho")
    )

    assert breached.errors == {"new_password1": [SENTENCE]}
    assert good.errors == {}


def test_the_search_reads_a_few_lines_of_a_long_file(installed, monkeypatch):
    installed(KNOWN)
    read = []
    line_at = breaches._line_at
    monkeypatch.setattr(breaches, "_line_at", lambda file, place: read.append(place) or line_at(file, place))

    breaches.is_breached("não está lá, de jeito nenhum")

    assert len(read) <= 18  # 2000 lines of some 46 bytes: halving bytes, 17


def test_without_a_file_nobody_is_asked(settings):
    settings.BREACHED_PASSWORDS_FILE = ""

    assert not breaches.is_breached(KNOWN[0])
    assert complaints() == []


def test_a_file_that_is_gone_costs_the_rule_and_no_page(installed, client, db, caplog):
    installed(KNOWN).unlink()
    client.force_login(UserFactory())
    fields = {"old_password": "jabuticaba no quintal azul", "new_password1": KNOWN[3], "new_password2": KNOWN[3]}

    with caplog.at_level(logging.ERROR, logger="accounts.breaches"):
        response = client.post("/conta/alterar-senha/", fields)

    assert response["Location"] == "/"
    assert "BREACHED_PASSWORDS_FILE is of no use: FileNotFoundError" in caplog.text
    assert KNOWN[3] not in caplog.text


@pytest.mark.parametrize("command", ["send_pending_mail", "housekeeping"])
def test_a_file_that_is_gone_stops_no_command(installed, db, command):
    """Mail goes out, and the last ways in stay open, from machines that have no such file."""
    installed(KNOWN).unlink()

    call_command(command, skip_checks=False, verbosity=0)

    assert len(complaints()) == 1


ODD = {
    "empty": b"",
    "something else": b"capivara\n" * 50,
    "without line ends": b"A" * 100_000,
    "NTLM": b"".join(b"%032X:7\r\n" % number for number in range(500)),
    "by prevalence": b"".join(f"{digest_of(str(number))}:{9999 - number}\r\n".encode() for number in (5, 1, 4, 2, 3)),
    "without counts": b"".join(b"%040X\r\n" % number for number in range(500)),
    "compressed": b"\x1f\x8b" + bytes(range(256)) * 50,
}


@pytest.mark.parametrize("what", ODD)
def test_a_file_that_is_something_else_is_found_at_the_start_and_hurts_nobody_later(installed, what):
    installed([]).write_bytes(ODD[what])

    assert len(complaints()) == 1
    assert not breaches.is_breached(KNOWN[0])


@pytest.mark.parametrize("path", ["/does/not/exist", "/", "with\0nul"])
def test_a_path_that_is_no_file_is_found_at_the_start_and_hurts_nobody_later(settings, path):
    settings.BREACHED_PASSWORDS_FILE = path

    (complaint,) = complaints()

    assert complaint == "BREACHED_PASSWORDS_FILE não serve. O arquivo não existe ou não pode ser lido."
    assert not breaches.is_breached(KNOWN[0])


def test_a_good_file_starts_without_a_word(installed):
    installed(KNOWN)

    assert complaints() == []
