"""Corrected CPFs that somebody confirmed: the person stays the same, and signs in with the right one from then on."""

from __future__ import annotations

from collections.abc import Iterable

from accounts import cpf as cpf_rules
from accounts import security, sessions
from accounts.models import SecurityEvent, User

from .errors import DirectoryChangedError
from .plans import Plan, Told
from .store import Store

CHANGED = "O cadastro mudou enquanto o arquivo era lido. Importe o arquivo de novo."


def note(store: Store, plan: Plan) -> None:
    """List them in the plan."""
    for batch in store.batches("SELECT MIN(line), matricula, cpf, old FROM corrected GROUP BY holder ORDER BY 1"):
        for line, matricula, cpf, old in batch:
            shown = f"{cpf_rules.masked(old)} → {cpf_rules.masked(cpf)}"
            plan.corrected_cpfs.add(Told(line, matricula, shown))
            plan.note("cpf", line)


def before(store: Store, cpfs: Iterable[str]) -> dict[str, str]:
    """Of these CPFs (at most a batch), those that are corrections, with the CPF before."""
    wanted = list(cpfs)
    marks = ",".join("?" * len(wanted))
    return dict(store.all(f"SELECT DISTINCT cpf, old FROM corrected WHERE cpf IN ({marks})", wanted))  # noqa: S608


def apply(store: Store) -> None:
    """Give each of these people their CPF, in the caller's transaction.

    Their sessions end, and links that were mailed open nothing any more. The password stays: who chose one goes on
    using it, with the right CPF. Raises DirectoryChangedError if somebody is no longer as the plan found them.
    """
    for batch in store.batches("SELECT DISTINCT holder, old, cpf FROM corrected ORDER BY holder"):
        for holder, old, cpf in batch:
            user = User.objects.locked(holder)
            if user.cpf != old or user.is_staff or user.is_superuser:
                raise DirectoryChangedError(CHANGED)
            user.cpf = cpf
            user.save(update_fields=["cpf"])
            sessions.end_all(user)
            detail = f"CPF, pelo arquivo de pessoal: {cpf_rules.masked(old)} → {cpf_rules.masked(cpf)}"
            security.record(SecurityEvent.Kind.PERSON_CHANGED, user=user, detail=detail)
