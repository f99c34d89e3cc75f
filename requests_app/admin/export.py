"""What the list of requests shows, as a file."""

from __future__ import annotations

from typing import Any

from accounts import cpf, names

from ..models import AccessRequest, Status
from .bulk import counted
from .filters import find
from .list_file import ListFile, Row, at, person, unit


def called(row: Row, name: str) -> str:
    """As ``AccessRequest.requester_called``: as it was filed, unless somebody has a social name now."""
    as_filed: str = row[f"{name}_name"]
    social_name: str = row[f"{name}__social_name"]
    return names.display(social_name) if social_name else as_filed


class RequestFile(ListFile):
    title, name = "Solicitações", "solicitacoes"
    columns = (
        ("Protocolo", lambda row: row["protocol"]),
        ("Pedida em", lambda row: at(row, "created_at")),
        ("Situação", lambda row: Status(row["status"]).label),
        ("Sistema", lambda row: row["user_type__system__name"]),
        ("Tipo de usuário", lambda row: row["user_type__name"]),
        ("Unidade do acesso", unit),
        ("Para quem", lambda row: called(row, "beneficiary")),
        ("CPF", lambda row: cpf.masked(row["beneficiary__cpf"])),
        ("Matrícula", lambda row: row["beneficiary_matricula"]),
        ("Cargo", lambda row: row["beneficiary_cargo"]),
        ("Lotação", lambda row: row["beneficiary_lotacao"]),
        ("Quem pediu", lambda row: called(row, "requester")),
        ("Cargo de quem pediu", lambda row: row["requester_cargo"]),
        ("Lotação de quem pediu", lambda row: row["requester_lotacao"]),
        ("Em análise por", lambda row: person(row, "holder")),
        ("Corrigir até", lambda row: at(row, "correct_by")),
        ("Decidida em", lambda row: at(row, "decided_at")),
        ("Decidida por", lambda row: person(row, "decided_by")),
    )
    fields = (
        *("protocol", "created_at", "status", "user_type__system__name", "user_type__name"),
        *("unit__name", "unit__comarca", "beneficiary_name", "beneficiary__social_name", "beneficiary__cpf"),
        *("beneficiary_matricula", "beneficiary_cargo", "beneficiary_lotacao"),
        *("requester_name", "requester__social_name", "requester_cargo", "requester_lotacao"),
        *("holder__social_name", "holder__name", "correct_by", "decided_at"),
        *("decided_by__social_name", "decided_by__name"),
    )

    def leaves_out(self, typed: str) -> bool:
        return find(AccessRequest.objects.none(), typed)[1]

    def chosen(self, panel: Any) -> list[str]:
        return self.without_person(panel, "com", "pessoa")

    def counted(self, number: int) -> str:
        return counted(number)
