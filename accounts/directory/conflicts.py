"""Lines that the directory contradicts: they are taken out before anything is planned."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from accounts import names
from accounts.models import Employment, HelpDesk, Unit, User

from .errors import DirectoryFileError
from .rows import Reason
from .store import BATCH, Store

Wrong = tuple[int, Reason, str]

ANOTHERS = "a matrícula já é de outra pessoa do cadastro."
OF_THE_STAFF = "o CPF desta matrícula mudou, mas a pessoa é da equipe. Retire o perfil dela e importe de novo."
OLD_CPF_TOO = "o CPF desta matrícula mudou, mas o arquivo ainda traz o CPF anterior em outra linha."
AWAITS_CONFIRMATION = "o CPF desta matrícula mudou. Se o novo estiver certo, confirme-o e importe de novo."
NOT_CONFIRMED = "é o CPF novo de uma pessoa do cadastro, e a mudança ainda não foi confirmada."


def refuse(store: Store, *, accepted_cpfs: Collection[str] = ()) -> None:
    """Take out what contradicts the directory; note the corrected CPFs that are accepted by their matrícula.

    Raises DirectoryFileError if the file does not have such a matrícula.
    """
    _check_confirmed(store, accepted_cpfs)
    store.run("DELETE FROM corrected")
    for lines in _pages(store, "matricula, cpf, folded_name FROM kept"):
        store.refuse(_wrong_matriculas(store, lines))
    if store.count("corrected"):
        _settle_corrections(store, accepted_cpfs)
    _refuse_shared_mailboxes(store)
    _refuse_others_addresses(store)
    _forget_corrections("cpf NOT IN (SELECT cpf FROM kept)", store)
    # A refused line with the new CPF is about somebody who has the old one until the plan is written.
    store.run("INSERT OR IGNORE INTO doubted SELECT old FROM corrected WHERE cpf IN (SELECT cpf FROM refused)")


def _check_confirmed(store: Store, accepted_cpfs: Collection[str]) -> None:
    """Whoever confirms for a matrícula that is not there has probably mistyped it."""
    named = store.among("matricula", accepted_cpfs, "kept", "refused")
    if unknown := [matricula for matricula in accepted_cpfs if matricula not in named]:
        raise DirectoryFileError(f"O arquivo não tem a matrícula {unknown[0]!r}, de --accept-cpf.")


def _forget_corrections(condition: str, store: Store) -> None:
    """Of lines that were refused; whoever they are about has not left."""
    store.run(f"INSERT OR IGNORE INTO doubted SELECT old FROM corrected WHERE {condition}")  # noqa: S608 - ours alone
    store.run(f"DELETE FROM corrected WHERE {condition}")  # noqa: S608 - ours alone


def _pages(store: Store, what: str) -> Iterator[list[tuple[Any, ...]]]:
    """(line, …) of each line, so many at a time; the lines may be taken out meanwhile."""
    last = 0
    while page := store.all(f"SELECT line, {what} WHERE line > ? ORDER BY line LIMIT {BATCH}", [last]):
        yield page
        last = page[-1][0]


def _wrong_matriculas(store: Store, lines: list[tuple[Any, ...]]) -> list[Wrong]:
    """Those that somebody else has. One whose holder has this name but another CPF may be a correction."""
    found = Employment.objects.filter(matricula__in=[matricula for _line, matricula, *_more in lines])
    columns = ("matricula", "kind", "user_id", "user__cpf", "user__name")
    holders: dict[str, list[Any]] = {matricula: holder for matricula, *holder in found.values_list(*columns)}
    wrong: list[Wrong] = []
    corrected = []
    for line, matricula, cpf, folded_name in lines:
        if matricula not in holders:
            continue
        kind, holder, old, name = holders[matricula]
        if kind != Employment.Kind.DIRECTORY:
            label = Employment.Kind(kind).label
            sentence = f"a matrícula é de um vínculo de fora do cadastro de pessoal ({label})."
            wrong.append((line, Reason.MATRICULA_FROM_OUTSIDE, sentence))
        elif old != cpf and names.fold(name) != folded_name:
            wrong.append((line, Reason.MATRICULA_TWO_PEOPLE, ANOTHERS))
        elif old != cpf:
            corrected.append((line, matricula, cpf, old, holder))
    store.run_many("INSERT INTO corrected (line, matricula, cpf, old, holder) VALUES (?,?,?,?,?)", corrected)
    return wrong


def _settle_corrections(store: Store, accepted_cpfs: Collection[str]) -> None:
    """A corrected CPF makes no second person: it is accepted for the one who is there, or refused.

    Never for the staff: a slip in the personnel file must not rename the login of whoever decides.
    """
    for page in _pages(store, "cpf FROM corrected"):
        taken = set(User.objects.filter(cpf__in=[cpf for _line, cpf in page]).values_list("cpf", flat=True))
        store.refuse((line, Reason.MATRICULA_TWO_PEOPLE, ANOTHERS) for line, cpf in page if cpf in taken)
    _forget_corrections("line NOT IN (SELECT line FROM kept)", store)
    _note_accepted(store, accepted_cpfs)
    for page in _pages(store, "matricula, cpf, old, holder, accepted FROM corrected"):
        store.refuse(_refused_corrections(store, page))
    # Whoever is not taken for the same person must not come in as another one.
    unsettled = "SELECT cpf FROM corrected WHERE line NOT IN (SELECT line FROM kept)"
    store.refuse_where(f"cpf IN ({unsettled})", Reason.CPF_CHANGED, NOT_CONFIRMED)
    _forget_corrections("line NOT IN (SELECT line FROM kept)", store)


def _note_accepted(store: Store, accepted_cpfs: Collection[str]) -> None:
    """Who confirms it for one bond of a person confirms it for all that the file gives the same CPF."""
    for matricula in accepted_cpfs:
        store.run(
            "UPDATE corrected SET accepted = 1"
            " WHERE (cpf, holder) IN (SELECT cpf, holder FROM corrected WHERE matricula = ?)",
            [matricula],
        )


def _refused_corrections(store: Store, page: list[tuple[Any, ...]]) -> Iterator[Wrong]:
    holders = User.objects.filter(pk__in=[holder for *_more, holder, _accepted in page])
    staff = {pk for pk, *is_staff in holders.values_list("pk", "is_staff", "is_superuser") if any(is_staff)}
    both = store.among("cpf", {old for _line, _matricula, _cpf, old, *_more in page}, "kept", "refused")
    marks = ",".join("?" * len(page))
    claimed = {
        cpf
        for (cpf,) in store.all(
            f"SELECT cpf FROM corrected WHERE cpf IN ({marks}) GROUP BY cpf HAVING MIN(holder) <> MAX(holder)",  # noqa: S608
            [cpf for _line, _matricula, cpf, *_more in page],
        )
    }
    several = {
        holder
        for (holder,) in store.all(
            f"SELECT holder FROM corrected WHERE holder IN ({marks}) GROUP BY holder HAVING MIN(cpf) <> MAX(cpf)",  # noqa: S608
            [holder for *_more, holder, _accepted in page],
        )
    }
    for line, _matricula, cpf, old, holder, accepted in page:
        if cpf in claimed:
            yield line, Reason.CPF_CHANGED, "o mesmo CPF novo aparece para pessoas diferentes do cadastro."
        elif holder in several:
            yield line, Reason.CPF_CHANGED, "o arquivo traz CPFs novos diferentes para a mesma pessoa."
        elif old in both:
            yield line, Reason.CPF_CHANGED, OLD_CPF_TOO
        elif holder in staff:
            yield line, Reason.CPF_CHANGED, OF_THE_STAFF
        elif not accepted:
            yield line, Reason.CPF_CHANGED, AWAITS_CONFIRMATION


def _refuse_shared_mailboxes(store: Store) -> None:
    """Addresses of units, as the directory and the file have them, and of the Coordenadoria."""
    known = Unit.objects.exclude(email="").values_list("email", flat=True).iterator(chunk_size=BATCH)
    store.run("DELETE FROM shared")
    store.run_many("INSERT OR IGNORE INTO shared VALUES (?)", ((email.lower(),) for email in known))
    store.run("INSERT OR IGNORE INTO shared SELECT unit_email FROM kept WHERE unit_email <> ''")
    store.run("INSERT OR IGNORE INTO shared VALUES (?)", [HelpDesk.current().email.lower()])
    store.refuse_where(
        "email IN (SELECT email FROM shared)",
        Reason.EMAIL,
        "o e-mail é de uma unidade. Informe o e-mail da própria pessoa.",
    )


def _refuse_others_addresses(store: Store) -> None:
    """Addresses that another person of the directory has."""
    people = User.objects.exclude(email="").values_list("email", "cpf").iterator(chunk_size=10 * BATCH)
    store.run("DELETE FROM held")
    store.run_many("INSERT INTO held VALUES (?, ?)", ((email.lower(), cpf) for email, cpf in people))
    elsewhere = (
        "SELECT kept.line FROM held JOIN kept ON kept.email = held.email AND kept.email <> ''"
        " WHERE held.cpf <> kept.cpf AND NOT EXISTS"
        " (SELECT 1 FROM corrected WHERE corrected.cpf = kept.cpf AND corrected.old = held.cpf)"
    )
    store.refuse_where(
        f"line IN ({elsewhere})",
        Reason.EMAIL,
        "o e-mail já é de outra pessoa do cadastro.",
    )
    store.run("DELETE FROM held")
