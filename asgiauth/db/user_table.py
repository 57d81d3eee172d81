"""The users' own table: Django's, or as much of it as the application's model has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Column, MetaData, String, Table, Uuid
from sqlalchemy.types import TypeEngine

from .django_shape import OPTIONS, id_column, like_index
from .types import DjangoBoolean, DjangoInteger, UTCDateTime

__all__ = ["UserTable", "build_user"]


@dataclass(frozen=True)
class UserTable:
    """How `UserModel` wants it. `without`: columns of Django's that it lacks; `columns`: those that it has beside;
    `link_column` is the one that refers to it in the tables of links."""

    name: str = "auth_user"
    id_type: TypeEngine[Any] = field(default_factory=DjangoInteger)
    columns: tuple[Column[Any], ...] = ()
    without: tuple[str, ...] = ()
    username_field: str = "username"
    groups_table: str = "auth_user_groups"
    permissions_table: str = "auth_user_user_permissions"
    link_column: str = "user_id"


def build_user(metadata: MetaData, name: str, model: UserTable) -> Table:
    table = Table(
        name,
        metadata,
        id_column(model.id_type, uuid4 if isinstance(model.id_type, Uuid) else None),
        *(column for column in django_columns(model.username_field) if column.name not in model.without),
        *(column._copy() for column in model.columns),
        **OPTIONS,
    )
    for column in {"id", model.username_field}:
        if isinstance(table.c[column].type, String) and (table.c[column].unique or column == "id"):
            like_index(table, column)
    return table


def django_columns(username_field: str = "username") -> list[Column[Any]]:
    """Those of Django's user, without the id."""
    return [
        Column("password", String(128), nullable=False),
        Column("last_login", UTCDateTime),
        Column("is_superuser", DjangoBoolean, nullable=False),
        Column("username", String(150), nullable=False, unique=True),
        Column("first_name", String(150), nullable=False),
        Column("last_name", String(150), nullable=False),
        Column("email", String(254), nullable=False, unique=(username_field == "email") or None),
        Column("is_staff", DjangoBoolean, nullable=False),
        Column("is_active", DjangoBoolean, nullable=False),
        Column("date_joined", UTCDateTime, nullable=False),
    ]
