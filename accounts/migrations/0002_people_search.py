"""Indexes of the people search. Written by hand: the models do not know them, for each database has its own.

On PostgreSQL, a later AlterField of ``search_name`` or ``matricula`` drops the collation: set it again there.
On SQLite, the triggers that keep the full-text table are made in ``post_migrate`` (``accounts.search``).
"""

from django.db import migrations

FORWARDS = {
    "postgresql": (
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",  # stays when this is reversed: others may use it
        'ALTER TABLE accounts_user ALTER COLUMN search_name TYPE text COLLATE "C"',
        'ALTER TABLE accounts_employment ALTER COLUMN matricula TYPE varchar(10) COLLATE "C"',
        "CREATE INDEX accounts_user_search_name_words ON accounts_user USING gin (search_name gin_trgm_ops)",
    ),
    "sqlite": (
        """
        CREATE VIRTUAL TABLE accounts_user_search USING fts5(
            search_name, content='accounts_user', content_rowid='id', tokenize='unicode61', prefix='1 2 3'
        )
        """,
    ),
}
BACKWARDS = {
    "postgresql": (
        "DROP INDEX accounts_user_search_name_words",
        'ALTER TABLE accounts_employment ALTER COLUMN matricula TYPE varchar(10) COLLATE "default"',
        'ALTER TABLE accounts_user ALTER COLUMN search_name TYPE text COLLATE "default"',
    ),
    "sqlite": (
        "DROP TRIGGER IF EXISTS accounts_user_search_insert",
        "DROP TRIGGER IF EXISTS accounts_user_search_update",
        "DROP TRIGGER IF EXISTS accounts_user_search_delete",
        "DROP TABLE accounts_user_search",
    ),
}


def make_indexes(apps, schema_editor):
    for statement in FORWARDS[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def drop_indexes(apps, schema_editor):
    for statement in BACKWARDS[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(make_indexes, drop_indexes)]
