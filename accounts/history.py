"""Tables that only grow: the database itself refuses UPDATE and DELETE, on PostgreSQL and on SQLite.

Django rebuilds SQLite tables when a migration alters them, and their triggers are gone then. So the triggers are made
in ``post_migrate`` and their presence is checked (``bnmp_portal.checks``, ``/health/ready``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

REFUSAL = "history rows are not changed or deleted"
ABORT = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"


@dataclass(frozen=True)
class Rule:
    """What a table refuses. ``kept_days``: rows older than this may be deleted; None means never."""

    model: type[Model]
    kept_days: int | None = None

    @property
    def table(self) -> str:
        return self.model._meta.db_table


RULES: dict[str, Rule] = {}


def append_only(model: type[Model], *, kept_days: int | None = None) -> None:
    """Called in ``AppConfig.ready``: rows of this model are written once."""
    RULES[model._meta.label] = Rule(model, kept_days)


def triggers_of(rule: Rule, vendor: str) -> Iterator[tuple[str, str]]:
    """(name, statement) of each trigger that the table needs."""
    table = rule.table
    if vendor == "postgresql":
        young = f" WHEN (OLD.at > now() - interval '{rule.kept_days} days')" if rule.kept_days else ""
        for verb, when in (("update", ""), ("delete", young)):
            name = f"{table}_no_{verb}"
            yield (
                name,
                f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW{when} EXECUTE FUNCTION {FUNCTION}()",
            )
        name = f"{table}_no_truncate"
        yield name, f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {FUNCTION}()"
    else:
        young = f" WHEN OLD.at > datetime('now', '-{rule.kept_days} days')" if rule.kept_days else ""
        for verb, when in (("update", ""), ("delete", young)):
            name = f"{table}_no_{verb}"
            yield name, f"CREATE TRIGGER {name} BEFORE {verb} ON {table}{when} {ABORT}"
        # INSERT OR REPLACE deletes without asking the trigger for DELETE.
        name = f"{table}_no_replace"
        taken = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"  # noqa: S608 - our own table's name
        yield name, f"CREATE TRIGGER {name} BEFORE INSERT ON {table} {taken} {ABORT}"


FUNCTION = "portal_refuse_change"
FUNCTION_SQL = f"""
CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$
"""


def create_triggers(connection: BaseDatabaseWrapper) -> None:
    """Make every trigger anew, so that a changed retention period takes effect."""
    tables = set(connection.introspection.table_names())
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:  # never a moment without
        drop_triggers(connection)
        if connection.vendor == "postgresql":
            cursor.execute(FUNCTION_SQL)
        for rule in RULES.values():
            if rule.table in tables:
                for _name, statement in triggers_of(rule, connection.vendor):
                    cursor.execute(statement)


def drop_triggers(connection: BaseDatabaseWrapper) -> None:
    """Take the guard off. Only migrations and the emptying of a test database have a reason to."""
    present = existing_triggers(connection)
    with connection.cursor() as cursor:
        for rule in RULES.values():
            for name, _statement in triggers_of(rule, connection.vendor):
                if name in present:
                    on_table = f" ON {rule.table}" if connection.vendor == "postgresql" else ""
                    cursor.execute(f"DROP TRIGGER {name}{on_table}")


def existing_triggers(connection: BaseDatabaseWrapper) -> set[str]:
    """Names of the triggers that stand and are switched on."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        return {row[0] for row in cursor.fetchall()}


def missing_triggers(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of the triggers that should stand and do not."""
    wanted = {name for rule in RULES.values() for name, _statement in triggers_of(rule, connection.vendor)}
    return sorted(wanted - existing_triggers(connection))


def register_own() -> None:
    from .models import SecurityEvent, Term, TermAcceptance

    append_only(SecurityEvent, kept_days=settings.SECURITY_EVENT_RETENTION_DAYS)
    append_only(Term)
    append_only(TermAcceptance)
