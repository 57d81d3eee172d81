"""The tables: Django's own, as its migrations leave them, and those that hold what Django has no place for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from hashlib import md5
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from ..exceptions import ConfigurationError
from .django_shape import OPTIONS, id_column, like_index, link, refers, unique
from .naming import MAX_LENGTHS
from .types import BinaryKey, DjangoBoolean, DjangoInteger, ExactString, UTCDateTime
from .user_table import UserTable, build_user

__all__ = ["OF_DJANGO", "Tables", "build_tables"]


@dataclass(frozen=True)
class Tables:
    """`auth.tables`: SQLAlchemy Core tables, for joins and foreign keys of the application.

    `user`, `group`, `permission`, `user_groups`, `user_permissions`, `group_permissions` and `content_type` have
    Django's names and shape. The others are asgiauth's own; `user_grant_...` and `group_grant_...` hold the permissions
    on single objects, by the type of the object's key.
    """

    content_type: Table
    permission: Table
    group: Table
    user: Table
    group_permissions: Table
    user_groups: Table
    user_permissions: Table
    identifier: Table
    session: Table
    pending_login: Table
    user_state: Table
    password_history: Table
    limit: Table
    version: Table
    user_version: Table
    user_grant_integer: Table
    user_grant_uuid: Table
    user_grant_text: Table
    group_grant_integer: Table
    group_grant_uuid: Table
    group_grant_text: Table

    def all(self) -> list[Table]:
        """Every table, each after those that it refers to."""
        return [getattr(self, field.name) for field in fields(self)]

    def user_grants(self) -> list[Table]:
        """What single objects users may do what with, by the type of key."""
        return [self.user_grant_integer, self.user_grant_uuid, self.user_grant_text]

    def group_grants(self) -> list[Table]:
        return [self.group_grant_integer, self.group_grant_uuid, self.group_grant_text]


def build_tables(metadata: MetaData, *, realm: str, users: UserTable) -> Tables:
    """Adds the tables to `metadata`."""
    own = f"asgiauth_{realm}_" if realm else "asgiauth_"
    make = partial(_once, metadata)
    content_type = make("django_content_type", _content_type)
    permission = make("auth_permission", _permission, content_type)
    group = make("auth_group", _group)
    user = make(users.name, build_user, users)
    of_user, of_group, of_permission = (
        (users.link_column, "user_id", user),
        ("group_id", "group_id", group),
        ("permission_id", "permission_id", permission),
    )
    return Tables(
        content_type=content_type,
        permission=permission,
        group=group,
        user=user,
        group_permissions=make("auth_group_permissions", link, of_group, of_permission),
        user_groups=make(users.groups_table, link, of_user, of_group),
        user_permissions=make(users.permissions_table, link, of_user, of_permission),
        identifier=make(own + "identifier", _identifier, user),
        session=make(own + "session", _session, user),
        pending_login=make(own + "pending_login", _pending_login, user),
        user_state=make(own + "user_state", _user_state, user),
        password_history=make(own + "password_history", _password_history, user),
        limit=make(own + "limit", _limit),
        # of all realms: they share groups and permissions, and may share the users
        version=make("asgiauth_data_version", _version),
        user_version=make(_short(f"asgiauth_data_version_{users.name}"), _user_version, user),
        **{
            f"{subject}_grant_{kind}": make(f"{own}{subject}_grant_{kind}", _grant, (subject, owner), permission, type_)
            for subject, owner in (("user", user), ("group", group))
            for kind, type_ in GRANT_KEYS.items()
        },
    )


GRANT_KEYS: Mapping[str, TypeEngine[Any]] = {"integer": BigInteger(), "uuid": Uuid(), "text": ExactString(255)}
"""An object's key is kept in its own type, so that the application's column is compared as it is and its index used."""


def _short(name: str) -> str:
    """What is called after a table of the application, within the limit of every server."""
    limit = MAX_LENGTHS["postgresql"]
    digest = md5(name.encode(), usedforsecurity=False).hexdigest()
    return name if len(name) <= limit else f"{name[: limit - 9]}_{digest[:8]}"


def _once(metadata: MetaData, name: str, build: Callable[..., Table], *arguments: Any) -> Table:
    """Two `Auth` may share the application's metadata, and then Django's tables."""
    present = metadata.tables.get(name)
    if present is None:
        table = build(metadata, name, *arguments)
        table.info[_MADE_HERE] = repr(arguments)
        table.info[OF_DJANGO] = build in (_content_type, _permission, _group, build_user, link)
        return table
    if present.info.get(_MADE_HERE) != repr(arguments):
        raise ConfigurationError(
            f"metadata already has another table {name!r}: leave it to Auth, or give UserModel(table=...) another name"
        )
    return present


_MADE_HERE = "asgiauth"
OF_DJANGO = "asgiauth_of_django"
"""In `Table.info`: the table is one that Django has, too."""


def _content_type(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        id_column(),
        Column("app_label", String(100), nullable=False),
        Column("model", String(100), nullable=False),
        **OPTIONS,
    )
    unique(table, "app_label", "model")
    return table


def _permission(metadata: MetaData, name: str, content_type: Table) -> Table:
    table = Table(
        name,
        metadata,
        id_column(),
        Column("name", String(255), nullable=False),
        Column("content_type_id", DjangoInteger, nullable=False),
        Column("codename", String(100), nullable=False),
        **OPTIONS,
    )
    unique(table, "content_type_id", "codename")
    refers(table, "content_type_id", content_type)
    return table


def _group(metadata: MetaData, name: str) -> Table:
    table = Table(name, metadata, id_column(), Column("name", String(150), nullable=False, unique=True), **OPTIONS)
    like_index(table, "name")
    return table


def _user_id(user: Table, *, key: bool = False, nullable: bool = False) -> Column[Any]:
    return Column("user_id", user.c.id.type, primary_key=key, nullable=nullable, autoincrement=False)


def _belongs_to(table: Table, user: Table) -> Table:
    table.append_constraint(ForeignKeyConstraint(["user_id"], [user.c.id], ondelete="CASCADE"))
    if not table.c.user_id.primary_key:
        Index(f"{table.name}_user", table.c.user_id)
    return table


def _identifier(metadata: MetaData, name: str, user: Table) -> Table:
    """What a user may log in by, in canonical form (D-09). `source` is the user's column as it was when the row was
    written: the row counts only while the column still says so."""
    return _belongs_to(
        Table(
            name,
            metadata,
            Column("value", ExactString(254), primary_key=True),
            _user_id(user),
            Column("field", ExactString(30), nullable=False),
            Column("source", ExactString(254), nullable=False),
        ),
        user,
    )


def _session(metadata: MetaData, name: str, user: Table) -> Table:
    """Who is logged in, and what a visitor's session holds. `key` is the SHA-256 of the token: the token itself is
    nowhere but in the browser (D-10). Without a user it is an anonymous visitor's."""
    table = Table(
        name,
        metadata,
        Column("key", BinaryKey(32), primary_key=True),
        _user_id(user, nullable=True),
        Column("backend", ExactString(100), nullable=False),
        Column("methods", Text, nullable=False),
        Column("stamp", BinaryKey(32), nullable=True),
        Column("remember", DjangoBoolean, nullable=False),
        Column("created", UTCDateTime, nullable=False),
        Column("authenticated_at", UTCDateTime, nullable=True),
        Column("last_seen", UTCDateTime, nullable=False),
        Column("expires_at", UTCDateTime, nullable=False),
        Column("device", String(200), nullable=False),
        Column("address", String(45), nullable=False),
        Column("data", _LONG_TEXT, nullable=False),
    )
    Index(f"{name}_expires", table.c.expires_at)
    return _belongs_to(table, user)


_LONG_TEXT = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
"""MariaDB's TEXT ends at 64 KiB."""


def _pending_login(metadata: MetaData, name: str, user: Table) -> Table:
    """A login that waits for its next step. `key` is the SHA-256 of a token of the same kind as a session's."""
    table = Table(
        name,
        metadata,
        Column("key", BinaryKey(32), primary_key=True),
        _user_id(user),
        Column("backend", ExactString(100), nullable=False),
        Column("methods", Text, nullable=False),
        Column("passed", Text, nullable=False),
        Column("stamp", BinaryKey(32), nullable=False),
        Column("remember", DjangoBoolean, nullable=False),
        Column("tries", DjangoInteger, nullable=False),
        Column("expires_at", UTCDateTime, nullable=False),
    )
    Index(f"{name}_expires", table.c.expires_at)
    return _belongs_to(table, user)


def _user_state(metadata: MetaData, name: str, user: Table) -> Table:
    """What Django's user table has no place for. A raised `epoch` ends every session of the user (D-13).
    `password_changed_at` is NULL where nobody has noted it; with `must_change_password` a login asks for another."""
    return _belongs_to(
        Table(
            name,
            metadata,
            _user_id(user, key=True),
            Column("epoch", DjangoInteger, nullable=False, default=0),
            Column("must_change_password", DjangoBoolean, nullable=False, default=False),
            Column("password_changed_at", UTCDateTime, nullable=True),
        ),
        user,
    )


def _password_history(metadata: MetaData, name: str, user: Table) -> Table:
    """The hashes of passwords that a user had before, the newest with the highest id."""
    id_ = id_column(BigInteger())
    encoded = Column("encoded", String(128), nullable=False)
    return _belongs_to(Table(name, metadata, id_, _user_id(user), encoded, **OPTIONS), user)


def _limit(metadata: MetaData, name: str) -> Table:
    """How often something was tried. `key` is a MAC: nobody's name or address. `empty_at` is in microseconds since
    1970 UTC, a number that one statement can add to on every server: before it, part of the limit is in use."""
    table = Table(
        name,
        metadata,
        Column("key", BinaryKey(32), primary_key=True),
        Column("empty_at", BigInteger, nullable=False),
    )
    Index(f"{name}_empty", table.c.empty_at)
    return table


def _version(metadata: MetaData, name: str) -> Table:
    """Numbers that say whether what was read before still holds: `permissions` for groups and what they may do."""
    return Table(
        name,
        metadata,
        Column("name", ExactString(30), primary_key=True),
        Column("value", BigInteger, nullable=False),
    )


def _user_version(metadata: MetaData, name: str, user: Table) -> Table:
    """Another `value` says that what the user may do has changed."""
    return _belongs_to(
        Table(name, metadata, _user_id(user, key=True), Column("value", BigInteger, nullable=False)), user
    )


def _grant(
    metadata: MetaData, name: str, subject: tuple[str, Table], permission: Table, key_type: TypeEngine[Any]
) -> Table:
    """A user or a group may do something with one object. The primary key answers what somebody may do, the index who
    may do something. `granted_at` tells a user from another one who has the same id later."""
    column, owner = f"{subject[0]}_id", subject[1]
    table = Table(
        name,
        metadata,
        Column(column, owner.c.id.type, primary_key=True, autoincrement=False),
        Column("permission_id", permission.c.id.type, primary_key=True, autoincrement=False),
        Column("object_key", key_type, primary_key=True, autoincrement=False),
        *([Column("granted_at", UTCDateTime)] if subject[0] == "user" else []),
        ForeignKeyConstraint([column], [owner.c.id], ondelete="CASCADE"),
        ForeignKeyConstraint(["permission_id"], [permission.c.id], ondelete="CASCADE"),
    )
    Index(f"{name}_object", table.c.permission_id, table.c.object_key)
    return table
