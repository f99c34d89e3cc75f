"""Who is of the staff, and with which groups: said of others by who may say it, recorded, and told to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from . import outbox, security, sessions
from .http import UserRequest
from .models import SecurityEvent, User

PERMISSION = "accounts.change_roles"
#: The mail that follows each change, about a ``SecurityEvent``.
ROLES_CHANGED = "roles_changed"

#: What each group is for, in a sentence; each app adds its own.
PURPOSES: dict[str, str] = {}
#: Permissions that nobody holds who says who holds them (four eyes); each app adds its own.
DECIDES: set[str] = set()
#: Groups that go with no other: who audits the others does nothing that is audited. Each app adds its own.
ALONE: set[str] = set()

NOT_YOURS = "Nada foi mudado: o perfil desta pessoa não é seu para mudar."
CHANGED_MEANWHILE = (
    "O perfil desta pessoa mudou depois que você abriu a página. "
    "Nada foi mudado agora: confira o perfil e tente de novo."
)
NEEDS_STAFF = "Quem tem perfil usa a administração. Marque “Usa a administração” ou desmarque os perfis."
NEEDS_A_GROUP = "Escolha ao menos um perfil, ou desmarque “Usa a administração”."
NOT_BOTH = "“{0}” e “{1}” não ficam com a mesma pessoa: quem define os perfis não decide."
NOT_AN_ADMINISTRATOR = "“{0}” não fica com um administrador do sistema: quem define os perfis não decide."


ONLY_ALONE = "“{0}” não fica com outro perfil: quem confere o trabalho da equipe não o faz."


class RefusedError(Exception):
    """It was not done; the message is a sentence for the member of the staff."""


def may_change(by: User, person: User) -> bool:
    """Whether ``by`` may say what this person is; nobody says it of themselves.

    A superuser's account is for superusers, as the rest of it is (``support.may``).
    """
    if not by.is_active or by.pk == person.pk or (person.is_superuser and not by.is_superuser):
        return False
    return by.has_perm(PERMISSION)


def of(person: User) -> str:
    """What somebody is, in words: "Análise, Gestão", "equipe, sem perfil" or "fora da equipe"."""
    return described(person.is_staff, person.groups.all())


def described(is_staff: bool, groups: Iterable[Group]) -> str:
    names = ", ".join(sorted(group.name for group in groups))
    if not is_staff:
        return f"fora da equipe ({names})" if names else "fora da equipe"
    return names or "equipe, sem perfil"


def why_not(person: User, *, is_staff: bool, groups: Collection[Group]) -> str:
    """Why nobody may be this, as a sentence; nothing if the person may."""
    if groups and not is_staff:
        return NEEDS_STAFF
    if is_staff and not groups and not person.is_superuser:
        return NEEDS_A_GROUP
    alone = sorted(group.name for group in groups if group.name in ALONE)
    if alone and len(groups) > 1:
        return ONLY_ALONE.format(alone[0])
    deciders, choosers = _groups_with(DECIDES, groups), _groups_with({PERMISSION}, groups)
    if deciders and person.is_superuser:
        return NOT_AN_ADMINISTRATOR.format(deciders[0])
    return NOT_BOTH.format(choosers[0], deciders[0]) if deciders and choosers else ""


def _groups_with(permissions: set[str], groups: Collection[Group]) -> list[str]:
    """The names of those of these groups that have one of these permissions."""
    found = Permission.objects.filter(group__in=groups).values_list(
        "content_type__app_label", "codename", "group__name"
    )
    return sorted({name for app, codename, name in found if f"{app}.{codename}" in permissions})


@transaction.atomic
def change(
    pk: int, *, is_staff: bool, groups: Collection[Group], seen: str | None = None, by: User, request: UserRequest
) -> bool:
    """Say what somebody is from now on, record it and owe them the mail that tells of it; False if they are that.

    Whoever leaves the staff is signed out everywhere. ``seen``: what the person was (``of``) when ``by`` looked.
    Raises RefusedError, and User.DoesNotExist.
    """
    # Both, in one order: of two who take the role from each other one comes second, and has none to take it with.
    both = User.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=(pk, by.pk)).order_by("pk")
    rows = {row.pk: row for row in both}
    if pk not in rows:
        raise User.DoesNotExist
    person = rows[pk]
    if not may_change(rows[by.pk], person):
        security.refused("CHANGE_ROLES", by=by, about=pk)
        raise RefusedError(NOT_YOURS)
    before, after = of(person), described(is_staff, groups)
    if seen is not None and seen != before:
        raise RefusedError(CHANGED_MEANWHILE)
    if before == after:
        return False
    if refusal := why_not(person, is_staff=is_staff, groups=groups):
        raise RefusedError(refusal)
    leaves = person.is_staff and not is_staff
    person.is_staff = is_staff
    person.save(update_fields=["is_staff"])
    person.groups.set(groups)
    _tell(person, f"{before} → {after}", by=by, request=request)
    if leaves:
        sessions.end_all(person, by=by, request=request)
    return True


def _tell(person: User, detail: str, *, by: User, request: UserRequest) -> None:
    kind = SecurityEvent.Kind.ROLES_CHANGED
    event = security.record(kind, user=person, actor=by, request=request, detail=detail)
    if person.email:
        outbox.owe(ROLES_CHANGED, recipient=person.pk, about=event.pk)
