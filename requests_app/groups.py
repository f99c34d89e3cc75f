"""The staff's groups: what each may do. They are part of the code: after each ``migrate`` they are as they stand here.

Who says who decides (``accounts.change_roles``) never decides: nobody grants a decision to themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accounts import roles


@dataclass(frozen=True)
class StaffGroup:
    """What one group is for, in words for the staff, and its permissions by application."""

    purpose: str
    requests_app: tuple[str, ...]
    accounts: tuple[str, ...]
    auth: tuple[str, ...] = ()

    @property
    def permissions(self) -> dict[str, tuple[str, ...]]:
        return {"requests_app": self.requests_app, "accounts": self.accounts, "auth": self.auth}


def _may(verbs: str, *models: str) -> tuple[str, ...]:
    return tuple(f"{verb}_{model}" for model in models for verb in verbs.split())


#: What Gestão edits. Nothing that history points at is deleted; notices and free days are no history.
CATALOGUE = ("externalsystem", "usertype", "cargo", "reasontemplate")
DATED = ("systemnotice", "holiday")

GROUPS = {
    "Análise": StaffGroup(
        "Decide as solicitações, registra e acompanha os acessos e atende as pessoas.",
        # No export: whoever decides sees each request on the screen and needs no file with all of them.
        requests_app=("decide", *_may("view", "accessrequest", "accessgrant")),
        accounts=(
            *("support", "disclose", "retry"),
            *_may("view", "user", "employment", "unit", "outgoingmail"),
        ),
    ),
    "Gestão": StaffGroup(
        "Cuida do catálogo, dos modelos de motivo, dos feriados, dos contatos e do cadastro. Não decide.",
        requests_app=(
            "export",
            *_may("view", "accessrequest", "accessgrant", "cataloguechange"),
            *_may("view add change", *CATALOGUE),
            *_may("view add change delete", *DATED),
        ),
        accounts=(
            *("change_user", "support", "support_staff", "correct_email", "disclose"),
            *("remove_second_factor", "add_term", "retry"),
            *_may("add", "employment"),  # of people from outside the personnel file
            "import_directory",
            *_may("view", "user", "employment", "unit", "outgoingmail", "securityevent", "term", "termacceptance"),
            *_may("view", "directoryimport"),
            *_may("view add change", "helpdesk"),
        ),
    ),
    "Administração": StaffGroup(
        "Diz quem é da equipe e com que perfil, e vê os eventos de segurança. Não decide.",
        requests_app=(),
        accounts=("change_roles", *_may("view", "user", "employment", "unit", "securityevent")),
        auth=_may("view", "group"),
    ),
    "Auditoria": StaffGroup(
        "Lê tudo e exporta as listas de solicitações e de acessos. Não muda nada.",
        requests_app=(
            "export",
            # Who sees a request reads its history, notes, files and batches; who sees an access, its history.
            *_may("view", "accessrequest", "accessgrant", "cataloguechange", *CATALOGUE, *DATED),
        ),
        accounts=_may(
            "view",
            *("user", "employment", "unit", "helpdesk", "outgoingmail", "securityevent"),
            *("term", "termacceptance", "factorremoval", "directoryimport"),
        ),
        auth=_may("view", "group"),
    ),
}


def register_own() -> None:
    """Tell ``accounts``, which changes people's groups, what these are for and what nobody may do together."""
    roles.PURPOSES.update({name: group.purpose for name, group in GROUPS.items()})
    roles.DECIDES.add("requests_app.decide")
    roles.ALONE.add("Auditoria")


def keep_groups(*, using: str, **_kwargs: Any) -> None:
    """Make the groups, and give each what stands here and nothing else; other groups stay as they are.

    The permissions of all apps are there: this app is migrated after the others that are named.
    """
    from django.contrib.auth.models import Group, Permission

    for name, group in GROUPS.items():
        row, _is_new = Group.objects.using(using).get_or_create(name=name)
        known = Permission.objects.using(using)
        wanted = [
            permission
            for app, codenames in group.permissions.items()
            for permission in known.filter(content_type__app_label=app, codename__in=codenames)
        ]
        row.permissions.set(wanted)
