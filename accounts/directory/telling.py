"""A plan in words, the same on the command line and in the browser. No whole CPF, no whole address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from accounts import cpf as cpf_rules

from .conflicts import AWAITS_CONFIRMATION
from .plans import SHOWN, Listing, Plan, Told
from .rows import Refused

SEPARATOR_NAMES = {";": "ponto e vírgula", ",": "vírgula", "\t": "tabulação", "|": "barra vertical"}
ENCODING_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}


@dataclass(frozen=True)
class Section:
    """A sentence, and the first of the lines that it counts."""

    title: str
    lines: list[str]
    more: int


def sentences(plan: Plan) -> Iterator[str]:
    """How the file was read, and how many of each would change. Before it is applied."""
    reading = plan.reading
    encoding = ENCODING_NAMES.get(reading.encoding, reading.encoding)
    yield f"Arquivo em {encoding}, separado por {SEPARATOR_NAMES[reading.separator]}."
    if reading.unknown_columns:
        columns = ", ".join(repr(column[:40]) for column in reading.unknown_columns)
        yield f"Colunas que não são usadas: {columns}."
    yield f"Unidades novas: {plan.new_units}; alteradas: {plan.changed_units}."
    yield (f"Pessoas novas: {plan.new_people}; alteradas: {plan.changed_people}; sem mudança: {plan.unchanged_people}.")
    yield (
        f"Vínculos novos: {plan.new_bonds}; alterados: {plan.changed_bonds}; "
        f"encerrados por não estarem no arquivo: {plan.left_bonds}; sem mudança: {plan.unchanged_bonds}."
    )
    for label, count in plan.consequences().items():
        if count:
            yield f"{label}: {count}."
    if reading.repeated:
        yield f"Linhas repetidas, lidas uma vez só: {reading.repeated}."


def sections(plan: Plan) -> Iterator[Section]:
    """What somebody has to know line by line."""
    store = plan.reading.store
    yield _section(
        f"CPFs corrigidos com os zeros que faltavam no início: {plan.repaired}.",
        plan.repaired,
        (f"Linha {row.line}: {cpf_rules.masked(row.cpf)}" for row in store.repaired()),
    )
    if plan.corrected_cpfs.count:
        yield _listed("CPFs trocados, com confirmação", plan.corrected_cpfs)
    yield _listed("E-mails alterados, com aviso ao endereço anterior", plan.changed_addresses)
    if plan.kept_addresses.count:
        yield _listed("E-mails corrigidos à mão, que o arquivo não altera", plan.kept_addresses)
    yield _section(f"Linhas recusadas: {plan.refused}.", plan.refused, map(_about_refused, store.refused()))


def awaiting(plan: Plan) -> list[str]:
    """The first matrículas whose new CPF somebody has to confirm, in the order of the file."""
    waiting = (line for line in plan.reading.store.refused() if line.sentence == AWAITS_CONFIRMATION)
    return [line.shown_matricula for line in islice(waiting, SHOWN) if line.shown_matricula]


def _listed(label: str, listing: Listing) -> Section:
    return _section(f"{label}: {listing.count}.", listing.count, map(_about, listing.first))


def _section(title: str, count: int, lines: Iterable[str]) -> Section:
    shown = list(islice(lines, SHOWN))
    return Section(title, shown, count - len(shown))


def _about(told: Told) -> str:
    return f"Linha {told.line}, matrícula {told.matricula}: {told.about or 'o arquivo traz outro e-mail.'}"


def _about_refused(line: Refused) -> str:
    whose = f", matrícula {line.shown_matricula}" if line.shown_matricula else ""
    return f"Linha {line.line}{whose}: {line.sentence}"
