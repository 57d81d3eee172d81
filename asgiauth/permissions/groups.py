"""`auth.groups`: users who may do the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update

from ..db import Database, Row, Unit
from ..db.tables import Tables
from ..events import EventBus, GroupCreated, GroupDeleted, GroupMembersChanged, GroupRenamed
from ..exceptions import Conflict, GroupExists, InvalidField, NotFound, PermissionDenied
from ..users import Group, User, Users
from ..users.fields import check_value
from ..users.holders import are_in_group
from ..users.identifiers import is_storable
from ..users.permission_version import PermissionVersions
from ..users.rows import exactly, insert_once, locked
from .changes import as_of_now
from .declaration import Permission
from .question import Held
from .resources import Ref
from .service import Permissions

__all__ = ["Groups"]


class Groups:
    """Creates, renames and deletes groups, and says who is in them. Each method is one unit of work, or a part of the
    one that is open. What a group may do is changed by `auth.permissions.grant(group, ...)`."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        users: Users[Any],
        permissions: Permissions,
        events: EventBus,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._tables = tables
        self._users = users
        self._permissions = permissions
        self._events = events
        self._clock = clock
        self._versions = PermissionVersions(tables)

    async def create(self, name: str, permissions: Iterable[str | Permission] = ()) -> Group:
        """Raises `GroupExists`, `InvalidField`, and `UnknownPermission`: then there is no group either. MariaDB takes
        names for equal that differ in case, in accents or in spaces at the end."""
        self._check_name(name)
        if isinstance(permissions, (str, Permission)):
            raise TypeError("groups.create() takes a list of permissions: [...]")
        names = list(permissions)

        async def work(unit: Unit) -> Group:
            try:
                group = Group(await unit.insert(self._tables.group, {"name": name}), name)
            except Conflict as conflict:
                raise _taken(conflict) from None
            await self._events.publish(GroupCreated(at=self._clock(), group=group))
            for perm in names:
                await self._permissions.grant(group, perm)
            return group

        return await self._database.atomic(work)

    async def get(self, name: str) -> Group | None:
        """By the exact name."""
        if not isinstance(name, str) or not is_storable(name):
            return None
        table = self._tables.group
        found = select(table.c.id, table.c.name).where(exactly(table.c.name, name, self._database.dialect))
        groups = _groups(await self._database.fetch(found))
        return groups[0] if groups else None

    async def all(self) -> Sequence[Group]:
        """Every group, by name."""
        table = self._tables.group
        return _groups(await self._database.fetch(select(table.c.id, table.c.name)))

    async def rename(self, group: Group, name: str) -> Group:
        """The group with its new name. Raises `GroupExists`, `InvalidField`, and `NotFound` when the group is gone."""
        _check_group("rename", group)
        self._check_name(name)
        table = self._tables.group

        async def work(unit: Unit) -> Group:
            before = await self._locked(unit, group)
            renamed = Group(group.id, name)
            if before.name == name:
                return renamed
            try:
                await unit.changed(update(table).where(table.c.id == group.id).values(name=name))
            except Conflict as conflict:
                raise _taken(conflict) from None
            await self._versions.all_changed(unit)
            await self._events.publish(GroupRenamed(at=self._clock(), group=renamed, former_name=before.name))
            return renamed

        return await self._database.atomic(work)

    async def delete(self, group: Group) -> None:
        """Deletes the group with memberships and grants. Raises `NotFound` when the group is gone, and `Conflict` when
        a row of the application refers to it."""
        _check_group("delete", group)
        tables = self._tables

        async def work(unit: Unit) -> None:
            before = await self._locked(unit, group)
            # not left to ON DELETE CASCADE: Django's tables have none, and an engine on SQLite may not enforce it
            for table in (tables.user_groups, tables.group_permissions, *tables.group_grants()):
                await unit.changed(delete(table).where(table.c.group_id == group.id))
            await unit.changed(delete(tables.group).where(tables.group.c.id == group.id))
            await self._versions.all_changed(unit)
            await self._events.publish(GroupDeleted(at=self._clock(), group=before))

        await self._database.atomic(work)

    async def add(self, user: User, *names: str, by: User | None = None) -> None:
        """Puts the user into groups. Raises `NotFound` for an unknown group, and when the user is gone; and
        `PermissionDenied` where `by`, who does this, does not hold all that the groups are granted, everywhere and on
        each object. Nothing has changed then."""
        await self._change(user, names, by=by, member=True)

    async def remove(self, user: User, *names: str, by: User | None = None) -> None:
        """Takes the user out of groups. Raises the same as `add()`: whoever could not give a group cannot take it away
        either."""
        await self._change(user, names, by=by, member=False)

    async def of(self, user: User) -> Sequence[Group]:
        """The groups that the user is in, by name."""
        group, links = self._tables.group, self._tables.user_groups
        found = select(group.c.id, group.c.name).join(links, links.c.group_id == group.c.id)
        return _groups(await self._database.fetch(found.where(links.c.user_id == user.id)))

    async def members(self, name: str) -> Sequence[User]:
        """The users in a group, of the class that `Auth(user_model=...)` says, in the order of their ids. Raises
        `NotFound` for an unknown group: a slip of the pen is not an empty group."""
        await self._named("members", name)
        return await self._users._matching(are_in_group(self._tables, self._database.dialect, name))

    async def permissions(self, group: Group) -> frozenset[str]:
        """What the group is granted everywhere."""
        _check_group("permissions", group)
        kind, permission, links = self._tables.content_type, self._tables.permission, self._tables.group_permissions
        rows = await self._database.fetch(
            select(kind.c.app_label, permission.c.codename)
            .join_from(permission, kind, kind.c.id == permission.c.content_type_id)
            .join(links, links.c.permission_id == permission.c.id)
            .where(links.c.group_id == group.id)
        )
        return frozenset(f"{row['app_label']}.{row['codename']}" for row in rows)

    async def _change(self, user: User, names: Sequence[str], *, by: User | None, member: bool) -> None:
        if not isinstance(user, User) or user.id is None:
            raise TypeError(f"a member of a group is a stored User, not {type(user).__qualname__}")
        groups = [await self._named("add" if member else "remove", name) for name in dict.fromkeys(names)]
        links = self._tables.user_groups

        async def work(unit: Unit) -> None:
            if await locked(unit, self._tables.user, user.id) is None:
                raise NotFound("the user does not exist (any more)")
            for group in groups:
                if await locked(unit, self._tables.group, group.id, shared=True) is None:
                    raise NotFound(f"there is no group {group.name!r}")
            actor = None if by is None else await as_of_now(self._database, self._users, by)
            if actor is not None:
                await self._check_holds(actor, groups)
            changed = []
            for group in groups:
                row = {"user_id": user.id, "group_id": group.id}
                gone = delete(links).where(links.c.user_id == user.id, links.c.group_id == group.id)
                if await (insert_once(unit, links, row) if member else unit.changed(gone)):
                    changed.append(group)
            if changed:
                await self._versions.user_changed(unit, user.id)
                what = {"added" if member else "removed": tuple(changed)}
                await self._events.publish(GroupMembersChanged(at=self._clock(), user=user, by=actor, **what))

        groups.sort(key=lambda group: group.id)  # locked in one order
        await self._database.atomic(work)

    async def _check_holds(self, by: User, groups: Sequence[Group]) -> None:
        """Nobody grants what they do not hold. What is held everywhere is not asked for each object, unless a source of
        the application may say no there."""
        held = Held(by)
        if held.is_super:
            return
        for group in groups:
            lacks = [perm for perm in await self.permissions(group) if not await self._holds(held, perm)]
            lacks = lacks or [perm async for perm in self._objects_not_held(held, group)]
            if lacks:
                raise PermissionDenied(f"the group {group.name!r} may do what you may not: {lacks[0]!r}")

    async def _objects_not_held(self, held: Held, group: Group) -> AsyncIterator[str]:
        kind, permission = self._tables.content_type, self._tables.permission
        for grants in self._tables.group_grants():
            of_group = (grants.c.group_id == group.id, permission.c.content_type_id == kind.c.id)
            named = select(permission.c.id, kind.c.app_label, kind.c.model, permission.c.codename).where(
                *of_group, grants.c.permission_id == permission.c.id
            )
            for row in await self._database.fetch(named.distinct()):
                perm, resource = f"{row['app_label']}.{row['codename']}", f"{row['app_label']}.{row['model']}"
                if not self._permissions._has_deciders and await self._holds(held, perm):
                    continue
                keys = select(grants.c.object_key).where(
                    grants.c.group_id == group.id, grants.c.permission_id == row["id"]
                )
                for found in await self._database.fetch(keys):
                    if not await self._holds(held, perm, Ref(resource, found["object_key"])):
                        yield perm
                        return

    async def _holds(self, held: Held, perm: str, obj: Ref | None = None) -> bool:
        try:
            return await self._permissions.decide(held, perm, obj)
        except TypeError:  # a grant on what is no resource of this application (any more)
            return False

    async def _named(self, method: str, name: object) -> Group:
        if not isinstance(name, str):
            raise TypeError(f"groups.{method}() takes names of groups, such as group.name, not {type(name).__name__}")
        group = await self.get(name)
        if group is None:
            raise NotFound(f"there is no group {name!r}")
        return group

    async def _locked(self, unit: Unit, group: Group) -> Group:
        """As it is now, and stays until the unit is over."""
        row = await locked(unit, self._tables.group, group.id)
        if row is None:
            raise NotFound("the group does not exist (any more)")
        return Group(row["id"], row["name"])

    def _check_name(self, name: object) -> None:
        if isinstance(name, str) and not name.strip():
            raise InvalidField("name", "required")
        check_value(self._tables.group.c.name, name)


def _check_group(method: str, group: object) -> None:
    if not isinstance(group, Group):
        raise TypeError(
            f"groups.{method}() takes a Group, not {type(group).__name__}: await auth.groups.get(name), which is None "
            "for an unknown one"
        )


def _groups(rows: Sequence[Row]) -> list[Group]:
    """By name, in the same order on every server."""
    return sorted((Group(row["id"], row["name"]) for row in rows), key=lambda group: (group.name, group.id))


def _taken(conflict: Conflict) -> Exception:
    return GroupExists() if conflict.kind == "unique" else conflict
