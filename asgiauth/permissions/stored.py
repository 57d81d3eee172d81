"""What is granted in the database: to users, to groups, everywhere or on single objects. One query each."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Label, Select, bindparam, delete, literal_column, null, select, union_all

from ..db import Database, Prepared, Unit
from ..db.tables import Tables
from ..users.holders import of_present_user
from ..users.identifiers import is_storable
from ..users.rows import exactly
from .declaration import APP_MAX, CODENAME_MAX, Permission, as_stored, split
from .resources import Ref, Resource

__all__ = ["Stored", "Through"]

_KEPT = 10_000


class Through(NamedTuple):
    """One grant: to the user, where `group` is None, or to a group of the user's; on one object or everywhere."""

    perm: str
    group: str | None
    on_object: bool


class Stored:
    """Reads grants. A set of names that was read under a version is kept for as long as lookups bring the same one, of
    the 10,000 users that were here last."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables
        self._user_type = tables.user.c.id.type
        self.keeps = True
        self._kept: dict[Any, tuple[tuple[int, int], frozenset[str]]] = {}
        self._direct = database.prepare(self._named(self._direct_ids()))
        self._from_groups = database.prepare(self._named(self._group_ids()))
        self._everywhere = database.prepare(self._named(union_all(self._direct_ids(), self._group_ids())))
        self._all = database.prepare(self._named(None))
        self._on_objects: dict[tuple[str, bool], Prepared] = {}

    async def everywhere(self, user: Any, version: tuple[int, int] | None = None) -> frozenset[str]:
        """What the user holds on every object: directly or through groups. With the version that came with the user's
        session, no query where the kept set has the same."""
        if not user.is_active:
            return frozenset()
        # what a unit of work has changed, or an old snapshot still shows, is no business of other requests
        if version is None or not self.keeps or self.in_unit:
            return await self._names(self._everywhere, user)
        kept = self._kept.pop(user.id, None)
        if kept is None or kept[0] != version:
            kept = (version, await self._names(self._everywhere, user))
        self._kept[user.id] = kept
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return kept[1]

    @property
    def in_unit(self) -> bool:
        """Whether what is read now may be what nobody has committed."""
        return self._database.has_unit

    async def direct(self, user: Any) -> frozenset[str]:
        return await self._names(self._direct, user) if user.is_active else frozenset()

    async def from_groups(self, user: Any) -> frozenset[str]:
        return await self._names(self._from_groups, user) if user.is_active else frozenset()

    async def all(self) -> frozenset[str]:
        """Every permission that there is."""
        rows = await self._database.fetch(self._all)
        return frozenset(f"{row['app_label']}.{row['codename']}" for row in rows)

    async def permissions(self) -> list[Permission]:
        """Every permission that there is, as it is stored."""
        permission, kind = self._tables.permission, self._tables.content_type
        rows = await self._database.fetch(
            select(kind.c.app_label, permission.c.codename, permission.c.name, kind.c.model).join_from(
                permission, kind, kind.c.id == permission.c.content_type_id
            )
        )
        found = [as_stored(f"{row['app_label']}.{row['codename']}", row["name"], row["model"]) for row in rows]
        return sorted(found, key=lambda permission: (permission.perm, permission.model))

    async def of_resource(self, resource: Resource) -> frozenset[str]:
        """Every permission that belongs to it."""
        rows = await self._database.fetch(self._named(self._of_resource(resource)))
        return frozenset(f"{row['app_label']}.{row['codename']}" for row in rows)

    async def models(self, perm: str) -> list[str]:
        """The models of the content types that have a permission of this name: none where it is unknown."""
        app, codename = split(perm)
        if not is_storable(perm) or len(app) > APP_MAX or len(codename) > CODENAME_MAX:
            return []
        permission, kind = self._tables.permission, self._tables.content_type
        rows = await self._database.fetch(
            select(kind.c.model, kind.c.app_label, permission.c.codename)
            .join_from(permission, kind, kind.c.id == permission.c.content_type_id)
            .where(kind.c.app_label == app, permission.c.codename == codename)
            .order_by(permission.c.id)
        )
        # MariaDB also hands out what its collation finds equal
        return [row["model"] for row in rows if (row["app_label"], row["codename"]) == (app, codename)]

    async def on_object(self, user: Any, resource: Resource, ref: Ref) -> frozenset[str]:
        """What the user holds on this object alone, directly or through groups."""
        if not user.is_active:
            return frozenset()
        kind = resource.name, self._database.shared_with_django
        prepared = self._on_objects.get(kind)
        if prepared is None:
            prepared = self._on_objects[kind] = self._database.prepare(self._on_objects_of(resource))
        return await self._names(prepared, user, object_key=ref.key)

    def _on_objects_of(self, resource: Resource) -> Select[Any]:
        users, groups = self._grants(resource)
        links = self._tables.user_groups
        key = bindparam("object_key", type_=users.c.object_key.type)
        theirs = self._of_resource(resource).subquery()
        direct = select(theirs.c.perm_id).where(
            users.c.permission_id == theirs.c.perm_id,
            users.c.user_id == self._user(),
            users.c.object_key == key,
            *self._present(users),
        )
        through = select(theirs.c.perm_id).where(
            groups.c.permission_id == theirs.c.perm_id,
            groups.c.group_id == links.c.group_id,
            links.c.user_id == self._user(),
            groups.c.object_key == key,
        )
        return self._named(union_all(direct, through))

    def keys(self, user: Any, perm: str, resource: Resource) -> list[Select[Any]]:
        """Selects the keys of the objects that the user holds the permission on."""
        users, groups = self._grants(resource)
        links = self._tables.user_groups
        permission = self._of_resource(resource, split(perm)[1])
        id_ = permission.scalar_subquery()
        return [
            select(users.c.object_key).where(
                users.c.user_id == user.id, users.c.permission_id == id_, *self._present(users)
            ),
            select(groups.c.object_key).where(
                groups.c.group_id.in_(select(links.c.group_id).where(links.c.user_id == user.id)),
                groups.c.permission_id == id_,
            ),
        ]

    async def through(self, user: Any, perm: str, resource: Resource | None, ref: Ref | None) -> list[Through]:
        """Every grant that gives the user this permission, for an explanation; those to the user come first."""
        if not user.is_active or not is_storable(perm):
            return []
        tables = self._tables
        held = [self._grants_of(tables.user_permissions, user), self._grants_to_groups(tables.group_permissions, user)]
        if resource is not None and ref is not None:
            users, groups = self._grants(resource)
            key = bindparam("key", ref.key, type_=users.c.object_key.type, unique=True)
            theirs = tables.content_type.c.model == split(resource.name)[1]
            held.append(self._grants_of(users, user).where(users.c.object_key == key, theirs, *self._present(users)))
            held.append(self._grants_to_groups(groups, user).where(groups.c.object_key == key, theirs))
        app, codename = split(perm)
        wanted = (tables.content_type.c.app_label == app, tables.permission.c.codename == codename)
        rows = await self._database.fetch(union_all(*(grants.where(*wanted) for grants in held)))
        found = [
            Through(perm, row["group"], on_object=bool(row["on_object"]))
            for row in rows
            if (row["app_label"], row["codename"]) == (app, codename)
        ]
        return sorted(found, key=lambda one: (one.group is not None, one.group or "", one.on_object))

    def _grants_of(self, grants: Any, user: Any) -> Select[Any]:
        return self._through(grants, null()).where(grants.c.user_id == user.id)

    def _grants_to_groups(self, grants: Any, user: Any) -> Select[Any]:
        group, members = self._tables.group, self._tables.user_groups
        return (
            self._through(grants, group.c.name)
            .join(members, members.c.group_id == grants.c.group_id)
            .join(group, group.c.id == members.c.group_id)
            .where(members.c.user_id == user.id)
        )

    def _through(self, grants: Any, group: Any) -> Select[Any]:
        permission, kind = self._tables.permission, self._tables.content_type
        on_object: Label[int] = literal_column("1" if "object_key" in grants.c else "0").label("on_object")
        return (
            select(kind.c.app_label, permission.c.codename, group.label("group"), on_object)
            .join_from(grants, permission, permission.c.id == grants.c.permission_id)
            .join(kind, kind.c.id == permission.c.content_type_id)
        )

    async def forget(self, resource: Resource, key: Any) -> int:
        """Deletes every grant on this object, and returns how many there were."""

        async def work(unit: Unit) -> int:
            # not one statement: MariaDB would look through all grants for it
            ids = [row["perm_id"] for row in await unit.rows(self._of_resource(resource))]
            counts = []
            for grants in self._grants(resource):
                on_it = grants.c.permission_id.in_(ids), grants.c.object_key == key
                counts.append(await unit.changed(delete(grants).where(*on_it)))
            return sum(counts)

        return await self._database.atomic(work)

    def _present(self, grants: Any) -> list[ColumnElement[bool]]:
        return [of_present_user(self._tables, grants)] if self._database.shared_with_django else []

    def _grants(self, resource: Resource) -> tuple[Any, Any]:
        tables = self._tables
        return getattr(tables, f"user_grant_{resource.kind}"), getattr(tables, f"group_grant_{resource.kind}")

    def _of_resource(self, resource: Resource, codename: str | None = None) -> Select[Any]:
        """The ids of the permissions that belong to a resource."""
        permission, kind = self._tables.permission, self._tables.content_type
        app, model = split(resource.name)
        dialect = self._database.dialect
        named = [] if codename is None else [exactly(permission.c.codename, codename, dialect)]
        return (
            select(permission.c.id.label("perm_id"))
            .join(kind, kind.c.id == permission.c.content_type_id)
            .where(exactly(kind.c.app_label, app, dialect), exactly(kind.c.model, model, dialect), *named)
        )

    def _named(self, ids: Any) -> Select[Any]:
        permission, kind = self._tables.permission, self._tables.content_type
        names = select(kind.c.app_label, permission.c.codename).join_from(
            permission, kind, kind.c.id == permission.c.content_type_id
        )
        return names if ids is None else names.where(permission.c.id.in_(ids))

    def _direct_ids(self) -> Select[Any]:
        links = self._tables.user_permissions
        return select(links.c.permission_id).where(links.c.user_id == self._user())

    def _group_ids(self) -> Select[Any]:
        links, members = self._tables.group_permissions, self._tables.user_groups
        return (
            select(links.c.permission_id)
            .join(members, members.c.group_id == links.c.group_id)
            .where(members.c.user_id == self._user())
        )

    def _user(self) -> Any:
        return bindparam("user_id", type_=self._user_type)

    async def _names(self, statement: Prepared, user: Any, **parameters: Any) -> frozenset[str]:
        rows = await self._database.fetch(statement, user_id=user.id, **parameters)
        # thousands of users hold the same names
        return frozenset(sys.intern(f"{row['app_label']}.{row['codename']}") for row in rows)
