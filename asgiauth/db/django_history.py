"""What Django remembers of the migrations that it has run."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Connection, Identity, Insert, MetaData, String, Table, func, inspect, select

from .types import DjangoInteger, UTCDateTime

__all__ = ["MIGRATIONS", "history_table", "remember"]

MIGRATIONS = "django_migrations"
"""A database that has this table is one that Django uses."""
_KNOWN: dict[str, Sequence[str]] = {
    "contenttypes": ["0001_initial", "0002_remove_content_type_name"],
    "auth": [
        "0001_initial",
        "0002_alter_permission_name_max_length",
        "0003_alter_user_email_max_length",
        "0004_alter_user_username_opts",
        "0005_alter_user_last_login_null",
        "0006_require_contenttypes_0002",
        "0007_alter_validators_add_error_messages",
        "0008_alter_user_username_max_length",
        "0009_alter_user_last_name_max_length",
        "0010_alter_group_name_max_length",
        "0011_update_proxy_permissions",
        "0012_alter_user_first_name_max_length",
    ],
}
"""Of `django.contrib.contenttypes` and `django.contrib.auth` in Django 6.1."""
_OF_SESSIONS: dict[str, Sequence[str]] = {"sessions": ["0001_initial"]}
"""Where a `DjangoSessionStore` has made the table."""


def history_table() -> Table:
    """As Django's `MigrationRecorder` makes it."""
    return Table(
        MIGRATIONS,
        MetaData(),
        Column("id", BigInteger().with_variant(DjangoInteger(), "sqlite"), Identity(always=False), primary_key=True),
        Column("app", String(255), nullable=False),
        Column("name", String(255), nullable=False),
        Column("applied", UTCDateTime, nullable=False),
        sqlite_autoincrement=True,
    )


def remember(connection: Connection) -> list[str]:
    """Writes down the migrations whose outcome asgiauth's tables are, and returns them as `auth.0001_initial`.

    Of an application that Django has begun to migrate itself nothing is written: the rest is Django's to run.
    """
    history = history_table()
    known = set(connection.scalars(select(history.c.app)))
    now = func.utc_timestamp(6) if connection.dialect.name == "mysql" else func.now()
    migrations = {**_KNOWN, **(_OF_SESSIONS if inspect(connection).has_table("django_session") else {})}
    due = [(app, name) for app, names in migrations.items() if app not in known for name in names]
    _insert(connection, [history.insert().values(app=app, name=name, applied=now) for app, name in due])
    return [f"{app}.{name}" for app, name in due]


def _insert(connection: Connection, statements: Sequence[Insert]) -> None:
    for statement in statements:
        connection.execute(statement)
