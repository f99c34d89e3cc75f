from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Pessoas e entrada"

    def ready(self) -> None:
        from . import emails, history, privacy

        history.register_own()
        emails.register()
        privacy.register_own()
        # Once for all apps: the signal comes when the last of them is migrated.
        post_migrate.connect(make_triggers, sender=self)


def make_triggers(*, using: str, **_kwargs: Any) -> None:
    """Django rebuilds a SQLite table to alter it and its triggers are gone then; here they come back."""
    from . import history, search

    history.create_triggers(connections[using])
    search.ensure_search_triggers(connections[using])
