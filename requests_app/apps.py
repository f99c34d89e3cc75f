"""The app of requests: what it gives the others when it starts, and what the staff's groups may do."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RequestsConfig(AppConfig):
    name = "requests_app"
    verbose_name = "Solicitações"

    def ready(self) -> None:
        from accounts import history, housekeeping

        from . import emails, models, privacy, workflow

        history.append_only(models.RequestEvent)
        history.append_only(models.GrantEvent)
        history.append_only(models.InternalNote)
        history.append_only(models.CatalogueChange)
        emails.register(credential_again=workflow.send_again)
        privacy.register_own()
        housekeeping.CHORES["Solicitações devolvidas cujo prazo passou, expiradas"] = workflow.expire_overdue
        post_migrate.connect(make_groups, sender=self)


#: Who may do what. Made when a group is missing; what the staff change in the admin afterwards stays.
GROUPS = {
    "Análise": {
        "requests_app": ("decide", "view_accessrequest", "view_accessgrant"),
        "accounts": (
            "view_user",
            "support",
            "disclose",
            "view_employment",
            "view_unit",
            "view_outgoingmail",
            "retry",
        ),
    },
    "Gestão": {
        "requests_app": (
            "view_accessrequest",
            "view_accessgrant",
            *(f"{verb}_{model}" for verb in ("view", "add", "change") for model in ("externalsystem", "usertype")),
            *(f"{verb}_systemnotice" for verb in ("view", "add", "change", "delete")),
        ),
        "accounts": (
            "view_user",
            "change_user",
            "support",
            "support_staff",
            "correct_email",
            "disclose",
            "remove_second_factor",
            "view_term",
            "add_term",
            "view_termacceptance",
            "view_employment",
            "view_unit",
            "view_outgoingmail",
            "retry",
            "view_securityevent",
            *(f"{verb}_helpdesk" for verb in ("view", "add", "change")),
        ),
    },
}


def make_groups(*, using: str, **_kwargs: Any) -> None:
    """The staff's groups. Permissions of all apps are there: this app is migrated after ``accounts``."""
    from django.contrib.auth.models import Group, Permission

    for name, permissions in GROUPS.items():
        group, is_new = Group.objects.using(using).get_or_create(name=name)
        if is_new:
            for app, codenames in permissions.items():
                wanted = Permission.objects.using(using).filter(content_type__app_label=app, codename__in=codenames)
                group.permissions.add(*wanted)
