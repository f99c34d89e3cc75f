"""What the list of accesses shows, as a file."""

from __future__ import annotations

from typing import Any

from accounts import cpf

from ..models import AccessGrant, GrantStatus
from .access_filters import find
from .list_file import ListFile, at, person, unit

#: Who gave an access that is older than the portal, the portal does not know.
OLDER = "antes do portal"


class AccessFile(ListFile):
    title, name = "Acessos", "acessos"
    columns = (
        ("Pessoa", lambda row: person(row, "user")),
        ("CPF", lambda row: cpf.masked(row["user__cpf"])),
        ("Matrícula", lambda row: row["matricula_shown"] or ""),
        ("Sistema", lambda row: row["user_type__system__name"]),
        ("Tipo de usuário", lambda row: row["user_type__name"]),
        ("Unidade do acesso", unit),
        ("Situação", lambda row: GrantStatus(row["status"]).label),
        ("Desde", lambda row: at(row, "granted_at")),
        ("Vale até", lambda row: at(row, "expires_on")),
        ("Solicitação", lambda row: row["request__protocol"] or ""),
        ("Quem concedeu", lambda row: person(row, "request__decided_by") if row["request__protocol"] else OLDER),
    )
    fields = (
        *("user__social_name", "user__name", "user__cpf", "matricula_shown"),
        *("user_type__system__name", "user_type__name", "unit__name", "unit__comarca"),
        *("status", "granted_at", "expires_on", "request__protocol"),
        *("request__decided_by__social_name", "request__decided_by__name"),
    )

    def leaves_out(self, typed: str) -> bool:
        return find(AccessGrant.objects.none(), typed)[1]

    def chosen(self, panel: Any) -> list[str]:
        return self.without_person(panel, "pessoa")

    def counted(self, number: int) -> str:
        return "1 acesso" if number == 1 else f"{number} acessos"
