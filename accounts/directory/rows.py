"""One line of the HR file: checked, or refused with a reason. Rules of DOMAIN §2 and §3."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import NoReturn

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from accounts import cpf as cpf_rules
from accounts import names
from accounts.models import Employment, Unit, User


class Reason(StrEnum):
    """Why a line was refused."""

    CPF_CHECK_DIGITS = "check digits"
    CPF_REPEATED = "repeated sequence"
    CPF_SCIENTIFIC = "scientific notation"
    CPF_ODD_DIGITS = "superscript digits"
    CPF_MALFORMED = "not eleven digits"
    CPF_TWO_NAMES = "one CPF, two names"
    NAME_MISSING = "no name"
    NAME_LINE_BREAK = "line break in the name"
    MATRICULA_MISSING = "no matricula"
    MATRICULA_MALFORMED = "malformed matricula"
    MATRICULA_TWO_PEOPLE = "one matrícula, two people"
    MATRICULA_TWO_LINES = "one matrícula, two different lines"
    MATRICULA_FROM_OUTSIDE = "matrícula of somebody from outside the personnel file"
    CPF_CHANGED = "one matrícula, another CPF"
    DATE_UNKNOWN = "date that does not exist"
    DATE_ORDER = "end before start"
    EMAIL = "e-mail of a unit or malformed"
    CELL_MISSING = "empty cell"
    CELL_TOO_LONG = "text too long"
    CELL_CONTROL = "control character"
    CELLS_TOO_MANY = "too many cells"


@dataclass(slots=True)
class Row:
    """One bond as the file gives it. Equal rows say the same, wherever they stand."""

    line: int = field(compare=False)
    #: Leading zeros that a spreadsheet had dropped were put back.
    cpf_repaired: bool = field(compare=False)
    #: The name as names are compared.
    folded_name: str = field(compare=False)
    matricula: str
    cpf: str
    name: str
    social_name: str
    email: str
    phone: str
    cargo: str
    staff_kind: str
    unit_code: str
    unit_name: str
    comarca: str
    unit_email: str
    started_on: date
    ended_on: date | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was left out, with what could be read of whom it is about: it must not count as a departure."""

    line: int
    reason: Reason
    sentence: str
    matricula: str = ""
    cpf: str = field(default="", repr=False)
    name: str = field(default="", repr=False)

    @property
    def shown_matricula(self) -> str:
        """The matrícula, or nothing: the cell may hold a CPF or an escape sequence for the terminal."""
        return self.matricula if MATRICULA.fullmatch(self.matricula) else ""


class RefusedError(Exception):
    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


#: Field of the row -> column as people know it.
LABELS = {
    "matricula": "MATRÍCULA",
    "name": "NOME",
    "social_name": "NOME SOCIAL",
    "cpf": "CPF",
    "email": "E-MAIL",
    "phone": "TELEFONE",
    "cargo": "CARGO",
    "staff_kind": "QUADRO",
    "unit_code": "CÓD. LOTAÇÃO",
    "unit_name": "LOTAÇÃO",
    "comarca": "COMARCA",
    "unit_email": "E-MAIL DA LOTAÇÃO",
    "started_on": "INÍCIO",
    "ended_on": "FIM",
}
LONGEST = {
    "name": User._meta.get_field("name").max_length,
    "social_name": User._meta.get_field("social_name").max_length,
    "email": User._meta.get_field("email").max_length,
    "phone": User._meta.get_field("phone").max_length,
    "cargo": Employment._meta.get_field("cargo").max_length,
    "staff_kind": Employment._meta.get_field("staff_kind").max_length,
    "unit_code": Unit._meta.get_field("code").max_length,
    "unit_name": Unit._meta.get_field("name").max_length,
    "comarca": Unit._meta.get_field("comarca").max_length,
    "unit_email": Unit._meta.get_field("email").max_length,
}
#: Letters, digits and the marks that occur in them; never what a spreadsheet makes of a long number (1E+10).
MATRICULA = re.compile(r"(?![0-9.]+[eE])[0-9A-Za-z][0-9A-Za-z./-]{0,9}")
PUNCTUATED_CPF = re.compile(r"[0-9]{3}[. ]?[0-9]{3}[. ]?[0-9]{3}[- ]?[0-9]{2}")
SCIENTIFIC = re.compile(r"[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+")
DATE = re.compile(r"[0-9]{2}/[0-9]{2}/[0-9]{4}")
YEARS = range(1900, 2201)
#: ``cgr-7jecentral@``, ``1varacivel@``, ``gabinete.norte@``: read by many, so no credential may go there (DOMAIN §1).
UNIT_CODE = re.compile(r"[a-z]{3}-[0-9]")
UNIT_WORD = re.compile(
    r"a?(vara|juizado|cartorio|gabinete|secretaria|coordenadoria|corregedoria|diretoria|departamento|protocolo"
    r"|distribuicao|plantao|contadoria|comarca|setor|atendimento|contato)(civel|criminal|unica)?"
)


def check(line: int, cells: Mapping[str, str]) -> Row | Refused:
    """The row of this line, or the first reason why it cannot be used. ``cells`` has one text for each label."""
    try:
        return _checked(line, cells)
    except RefusedError as refusal:
        return refuse(line, cells, refusal.reason, str(refusal))


def refuse(line: int, cells: Mapping[str, str], reason: Reason, sentence: str) -> Refused:
    try:
        cpf, _repaired = read_cpf(cells["cpf"].strip())
    except RefusedError:
        cpf = ""
    return Refused(line, reason, sentence, cells["matricula"].strip(), cpf, names.fold(cells["name"]))


def _checked(line: int, cells: Mapping[str, str]) -> Row:
    matricula = _matricula(cells["matricula"].strip())
    name = _name(cells, "name")
    folded_name = names.fold(name)
    if not folded_name:
        _refuse(Reason.NAME_MISSING, "falta o nome.")
    social_name = _name(cells, "social_name")
    cpf, cpf_repaired = read_cpf(cells["cpf"].strip())
    started_on = read_day(_cell(cells, "started_on", mandatory=True), "INÍCIO")
    ended_on = read_day(text, "FIM") if (text := _cell(cells, "ended_on")) else None
    if ended_on and ended_on < started_on:
        _refuse(Reason.DATE_ORDER, "a data de FIM é anterior à data de INÍCIO.")
    return Row(
        line=line,
        cpf_repaired=cpf_repaired,
        folded_name=folded_name,
        matricula=matricula,
        cpf=cpf,
        name=name,
        social_name=social_name,
        email=_email(_cell(cells, "email").lower(), name),
        phone=_cell(cells, "phone"),
        cargo=_cell(cells, "cargo", mandatory=True),
        staff_kind=_cell(cells, "staff_kind"),
        unit_code=_cell(cells, "unit_code", mandatory=True),
        unit_name=_cell(cells, "unit_name", mandatory=True),
        comarca=_cell(cells, "comarca"),
        unit_email=_unit_email(_cell(cells, "unit_email").lower()),
        started_on=started_on,
        ended_on=ended_on,
    )


def _refuse(reason: Reason, sentence: str) -> NoReturn:
    raise RefusedError(reason, sentence)


def _cell(cells: Mapping[str, str], column: str, *, mandatory: bool = False) -> str:
    """The text with composed accents and single spaces; a line break inside the cell is a space."""
    return _text(column, cells[column], mandatory)


@lru_cache(maxsize=10_000)  # units, cargos and dates come again and again
def _text(column: str, cell: str, mandatory: bool) -> str:
    text = " ".join(unicodedata.normalize("NFC", cell).split())
    if mandatory and not text:
        _refuse(Reason.CELL_MISSING, f"a coluna {LABELS[column]} está vazia.")
    if _has_invisible(text):
        _refuse(Reason.CELL_CONTROL, f"a coluna {LABELS[column]} tem caracteres invisíveis.")
    longest = LONGEST.get(column)
    if longest and len(text) > longest:
        _refuse(Reason.CELL_TOO_LONG, f"a coluna {LABELS[column]} passa de {longest} caracteres.")
    return text


def _name(cells: Mapping[str, str], column: str) -> str:
    """A name stands in greetings and mail headers: unlike elsewhere, a line break in it is no slip."""
    if _has_invisible(cells[column].strip()):
        _refuse(Reason.NAME_LINE_BREAK, f"a coluna {LABELS[column]} tem quebra de linha ou caracteres invisíveis.")
    return _cell(cells, column)


def _has_invisible(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} for char in text)


def _matricula(text: str) -> str:
    if not text:
        _refuse(Reason.MATRICULA_MISSING, "falta a matrícula.")
    if not MATRICULA.fullmatch(text):
        _refuse(Reason.MATRICULA_MALFORMED, "a matrícula deve ter de 1 a 10 letras ou números.")
    return text


def read_cpf(text: str) -> tuple[str, bool]:
    """The eleven digits, and whether lost leading zeros were put back. Raises RefusedError."""
    if not text:
        _refuse(Reason.CELL_MISSING, "a coluna CPF está vazia.")
    if SCIENTIFIC.fullmatch(text):
        _refuse(Reason.CPF_SCIENTIFIC, "a planilha arredondou o CPF. Formate a coluna como texto.")
    if not text.isascii() and any(char.isdigit() and not char.isascii() for char in text):
        _refuse(Reason.CPF_ODD_DIGITS, "o CPF tem algarismos que não são comuns, como ² ou １.")
    if text.isascii() and text.isdigit() and len(text) < 11:  # noqa: PLR2004 - a CPF has eleven digits
        if cpf_rules.is_valid(text.zfill(11)):
            return text.zfill(11), True
        _refuse(Reason.CPF_MALFORMED, "o CPF tem menos de 11 números.")
    if not PUNCTUATED_CPF.fullmatch(text):
        _refuse(Reason.CPF_MALFORMED, "o CPF deve ter 11 números.")
    digits = re.sub("[^0-9]", "", text)
    if len(set(digits)) == 1:
        _refuse(Reason.CPF_REPEATED, "o CPF repete o mesmo número.")
    if not cpf_rules.is_valid(digits):
        _refuse(Reason.CPF_CHECK_DIGITS, "o CPF está errado: os dois últimos números não conferem.")
    return digits, False


@lru_cache(maxsize=10_000)
def read_day(text: str, label: str) -> date:
    """Raises RefusedError, with a sentence that names the column."""
    try:
        found = datetime.strptime(text, "%d/%m/%Y").date()  # noqa: DTZ007 - a day, not a moment
    except ValueError:
        found = None
    if found is None or found.year not in YEARS or not DATE.fullmatch(text):
        _refuse(Reason.DATE_UNKNOWN, f"a data de {label} não existe ou não está como dd/mm/aaaa.")
    return found


def looks_like_a_unit(address: str, name: str) -> bool:
    """Whether this looks like the mailbox of a unit, and not like that of the person of this name."""
    local = address.lower().rpartition("@")[0]
    if UNIT_CODE.match(local):
        return True
    words = [word for word in re.findall("[a-z]+", local) if UNIT_WORD.fullmatch(word)]
    return bool(words) and not set(words) <= set(names.fold(name).split())  # somebody may be called Vara


@lru_cache(maxsize=10_000)
def _unit_email(address: str) -> str:
    if address:
        _check_email(address, "o e-mail da lotação está escrito errado.")
    return address


def _check_email(address: str, sentence: str) -> None:
    try:
        validate_email(address)
    except ValidationError:
        _refuse(Reason.EMAIL, sentence)


def _email(address: str, name: str) -> str:
    if not address:
        return ""
    _check_email(address, "o e-mail está escrito errado.")
    if looks_like_a_unit(address, name):
        _refuse(Reason.EMAIL, "o e-mail parece ser de uma unidade. Informe o e-mail da própria pessoa.")
    return address
