"""A site with things of each kind of key, and what its tables say of who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid, delete, select

from asgiauth import Auth, Permission, Resource, User, crud
from asgiauth.db.schema import create_tables
from asgiauth.events import Event
from asgiauth.users.permission_version import PermissionVersions

from ..conftest import make_auth


@dataclass
class Post:
    id: int | None = None
    author_id: int | None = None


KINDS: dict[str, Any] = {"post": Integer(), "comment": Integer(), "document": Uuid(), "tag": String(255)}
PERMISSIONS = [
    *(permission for model in KINDS for permission in crud("blog", model)),
    Permission("blog.moderate", "Can moderate"),
]


def things() -> dict[str, Table]:
    columns: dict[str, list[Any]] = {"post": [Column("author_id", Integer)]}
    return {
        model: Table(f"blog_{model}", MetaData(), Column("id", kind, primary_key=True), *columns.get(model, []))
        for model, kind in KINDS.items()
    }


def make_blog(url: Any, **options: Any) -> Auth:
    resources = [
        Resource(f"blog.{model}", table=table, type=Post if model == "post" else None)
        for model, table in things().items()
    ]
    return make_auth(url, **{"permissions": PERMISSIONS, "resources": resources, **options})


@asynccontextmanager
async def a_blog(url: Any, **options: Any) -> AsyncIterator[Auth]:
    """Connected, with its tables and permissions."""
    auth = make_blog(url, **options)
    async with auth:
        await auth.create_tables()
        await auth.permissions.sync()
        tables = [resource.table for resource in auth.permissions.resources.values()]
        await create_tables(auth._database, tables[0].metadata, tables[:1])
        yield auth


async def rows(auth: Auth, table: str) -> list[tuple[Any, ...]]:
    """Every row of a table, without an id of its own, and without the time."""
    found = await auth._database.fetch(select(getattr(auth.tables, table)))
    return sorted(tuple(value for name, value in row.items() if name not in ("id", "granted_at")) for row in found)


GRANTS = [
    "user_groups",
    "user_permissions",
    "group_permissions",
    *(f"{subject}_grant_{kind}" for subject in ("user", "group") for kind in ("integer", "uuid", "text")),
]


async def all_grants(auth: Auth) -> dict[str, list[tuple[Any, ...]]]:
    return {table: found for table in GRANTS if (found := await rows(auth, table))}


async def version(auth: Auth, user: User) -> tuple[int, int]:
    """What a lookup of a session of this user would bring along."""
    versions, table = PermissionVersions(auth.tables), auth.tables.user
    (row,) = await auth._database.fetch(select(*versions.columns).select_from(table).where(table.c.id == user.id))
    return versions.of(row)


async def permission_id(auth: Auth, perm: str, model: str | None = None) -> int:
    """The id of a row of `auth_permission`."""
    app, _, codename = perm.partition(".")
    permission, kind = auth.tables.permission, auth.tables.content_type
    found = (
        select(permission.c.id, kind.c.model)
        .join_from(permission, kind, kind.c.id == permission.c.content_type_id)
        .where(kind.c.app_label == app, permission.c.codename == codename)
    )
    (id_,) = [row["id"] for row in await auth._database.fetch(found) if model in (None, row["model"])]
    return int(id_)


async def store_permission(auth: Auth, model: str, codename: str) -> int:
    """A row as Django would write it."""
    kind, permission = auth.tables.content_type, auth.tables.permission
    async with auth._database.unit() as unit:
        found = await unit.row(select(kind.c.id).where(kind.c.app_label == "blog", kind.c.model == model))
        kind_id = found["id"] if found else await unit.insert(kind, {"app_label": "blog", "model": model})
        id_ = await unit.insert(permission, {"name": codename, "content_type_id": kind_id, "codename": codename})
    return int(id_)


async def delete_permission(auth: Auth, id_: int) -> None:
    """As an application does it by hand, in one unit of work with `changed()`."""
    tables = auth.tables
    async with auth._database.unit() as unit:
        for table in (tables.user_permissions, tables.group_permissions, *tables.user_grants(), *tables.group_grants()):
            await unit.changed(delete(table).where(table.c.permission_id == id_))
        await unit.changed(delete(tables.permission).where(tables.permission.c.id == id_))
        await auth.permissions.changed()


def listen(auth: Auth) -> list[Event]:
    """What is told from now on, but for users that are created."""
    told: list[Event] = []

    async def note(event: Event) -> None:
        if type(event).__name__ != "UserCreated":
            told.append(event)

    auth.events.on(Event, note)
    return told
