"""What is granted, and what is taken away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Table, delete, select

from ..db import Database, Row, Unit
from ..db.tables import Tables
from ..events import EventBus, PermissionGranted, PermissionRevoked
from ..exceptions import NotFound, PermissionDenied, UnknownPermission
from ..users import Group, User, Users
from ..users.holders import Located
from ..users.identifiers import is_storable
from ..users.permission_version import PermissionVersions
from ..users.rows import exactly, insert_once, locked
from .declaration import Permission, name_of, split
from .resources import Ref

if TYPE_CHECKING:
    from .service import Permissions

__all__ = ["Changes", "as_of_now"]


class Changes:
    """Grants and revokes: each is one unit of work, with the version and the event that tell of it where something has
    changed. Whatever is written is asked of the database by key, so that many at once end as if one by one."""

    def __init__(
        self,
        permissions: Permissions,
        database: Database,
        tables: Tables,
        users: Users[Any],
        events: EventBus,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._permissions = permissions
        self._database = database
        self._tables = tables
        self._users = users
        self._events = events
        self._clock = clock
        self._versions = PermissionVersions(tables)

    async def change(
        self, subject: User | Group, perm: str | Permission, obj: object | None, *, by: User | None, granted: bool
    ) -> None:
        """`Permissions.grant`, or `revoke`: the permission is granted then, or not."""
        _check_subject(subject)
        perm = name_of(perm)
        stored = await self._stored(perm)
        located = None if obj is None else await self._permissions.locate(perm, obj)
        if obj is not None and located is None:
            raise TypeError(
                f"{perm!r} cannot be granted on this {type(obj).__qualname__}: it has no key that is stored"
            )
        ids = self._chosen(perm, stored, located, one=granted)
        ref = None if located is None else Ref(located.resource, located.key)
        grants, key = self._place(subject, located)

        async def work(unit: Unit) -> None:
            owner = await self._lock(unit, subject)
            actor = None if by is None else await as_of_now(self._database, self._users, by)
            # by its key: the object in hand may say otherwise than the row, and rules believe it
            if actor is not None and not await self._permissions.check(actor, perm, ref):
                raise PermissionDenied(f"{perm!r} is not yours to grant or to revoke: you do not hold it yourself")
            rows = [{**key, "permission_id": id_} for id_ in ids]
            if granted and not all([await locked(unit, self._tables.permission, id_, shared=True) for id_ in ids]):
                raise UnknownPermission(perm)
            change: Callable[..., Awaitable[bool]] = insert_once if granted else _delete
            if granted and "granted_at" in grants.c:
                change = partial(self._insert_dated, joined=owner.get("date_joined"))
            if not any([await change(unit, grants, row) for row in rows]):
                return
            if located is None:
                await self._bump(unit, subject)
            kind = PermissionGranted if granted else PermissionRevoked
            await self._events.publish(kind(at=self._clock(), subject=subject, perm=perm, obj=ref, by=actor))

        await self._database.atomic(work)

    async def clear(self, subject: User | Group, located: Located | None) -> int:
        """Takes back all that the subject was granted: on one object or, without one, everywhere and on each."""
        _check_subject(subject)

        async def work(unit: Unit) -> int:
            await self._lock(unit, subject)
            found: list[Row] = []
            for grants, mine in await self._places(unit, subject, located):
                rows = await unit.rows(select(grants).where(*mine).with_for_update())
                if rows:
                    await unit.changed(delete(grants).where(*mine))
                found += rows
            events = await self._revoked(unit, subject, found) if found else []
            if any(event.obj is None for event in events):
                await self._bump(unit, subject)
            for event in events:
                await self._events.publish(event)
            return len(events)

        return await self._database.atomic(work)

    async def _places(
        self, unit: Unit, subject: User | Group, located: Located | None
    ) -> list[tuple[Table, list[ColumnElement[bool]]]]:
        """Each table that may hold what is meant, and which rows of it."""
        tables = self._tables
        if isinstance(subject, User):
            owner, everywhere, on_objects = "user_id", tables.user_permissions, tables.user_grants()
        else:
            owner, everywhere, on_objects = "group_id", tables.group_permissions, tables.group_grants()
        if located is None:
            return [(grants, [grants.c[owner] == subject.id]) for grants in (everywhere, *on_objects)]
        permission, kind = tables.permission, tables.content_type
        app, model = split(located.resource)
        named = (exactly(kind.c.app_label, app, unit.dialect), exactly(kind.c.model, model, unit.dialect))
        rows = await unit.rows(
            select(permission.c.id).join(kind, kind.c.id == permission.c.content_type_id).where(*named)
        )
        grants, key = self._place(subject, located)
        mine = [grants.c[name] == value for name, value in key.items()]
        return [(grants, [*mine, grants.c.permission_id.in_([row["id"] for row in rows])])]

    async def _revoked(self, unit: Unit, subject: User | Group, found: Sequence[Row]) -> list[PermissionRevoked]:
        """What tells of these rows."""
        permission, kind = self._tables.permission, self._tables.content_type
        rows = await unit.rows(
            select(permission.c.id, permission.c.codename, kind.c.app_label, kind.c.model)
            .join(kind, kind.c.id == permission.c.content_type_id)
            .where(permission.c.id.in_({row["permission_id"] for row in found}))
            .with_for_update(read=True, key_share=True)
        )
        names = {row["id"]: row for row in rows}

        def event(name: Row, row: Row) -> PermissionRevoked:
            key = row.get("object_key")
            ref = None if key is None else Ref(f"{name['app_label']}.{name['model']}", key)
            perm = f"{name['app_label']}.{name['codename']}"
            return PermissionRevoked(at=self._clock(), subject=subject, perm=perm, obj=ref, by=None)

        # an engine on SQLite may have grants of what was deleted: nobody holds those
        return [event(names[row["permission_id"]], row) for row in found if row["permission_id"] in names]

    async def _lock(self, unit: Unit, subject: User | Group) -> Row:
        owners = self._tables.user if isinstance(subject, User) else self._tables.group
        row = await locked(unit, owners, subject.id)
        if row is None:
            raise NotFound(f"the {type(subject).__name__.lower()} does not exist (any more)")
        return row

    async def _insert_dated(
        self, unit: Unit, grants: Table, row: Mapping[str, Any], *, joined: datetime | None
    ) -> bool:
        """For a user, on one object. What is dated before the user has joined was granted to another one, who had the
        same id and whom Django has deleted."""
        now = self._clock()
        if joined is not None:
            now = max(now, joined)  # which a machine with another clock may have written
            is_it = [grants.c[name] == value for name, value in row.items()]
            await unit.changed(delete(grants).where(*is_it, grants.c.granted_at < joined))
        return await insert_once(unit, grants, {**row, "granted_at": now})

    async def _stored(self, perm: str) -> list[tuple[Any, str]]:
        """The ids of the permissions of this name, each with its model. Raises `UnknownPermission` without one.

        Not in the unit of work: see `locked`."""
        if not is_storable(perm):
            raise UnknownPermission(perm)
        permission, kind, dialect = self._tables.permission, self._tables.content_type, self._database.dialect
        app, codename = split(perm)
        rows = await self._database.fetch(
            select(permission.c.id, kind.c.model)
            .join_from(permission, kind, kind.c.id == permission.c.content_type_id)
            .where(exactly(kind.c.app_label, app, dialect), exactly(permission.c.codename, codename, dialect))
            .order_by(permission.c.id)
        )
        if not rows:
            raise UnknownPermission(perm)
        return [(row["id"], row["model"]) for row in rows]

    def _chosen(self, perm: str, stored: list[tuple[Any, str]], located: Located | None, *, one: bool) -> list[Any]:
        """Django lets several content types have a permission of one name. On an object it is that of the resource's;
        to grant, that of the declared one, or else the oldest; to revoke, all of them."""
        if located is not None:
            ids = [id_ for id_, model in stored if model == split(located.resource)[1]]
            if not ids:
                raise UnknownPermission(perm)
            return ids
        if not one:
            return [id_ for id_, _ in stored]
        declared = self._permissions.declared.get(perm)
        return [id_ for id_, model in stored if declared is not None and model == declared.model][:1] or [stored[0][0]]

    def _place(self, subject: User | Group, located: Located | None) -> tuple[Table, dict[str, Any]]:
        """The table of the grants, and what is in each row of it beside the permission."""
        tables, is_user = self._tables, isinstance(subject, User)
        owner = "user_id" if is_user else "group_id"
        if located is None:
            return tables.user_permissions if is_user else tables.group_permissions, {owner: subject.id}
        of_users, of_groups = located.tables(tables)
        return of_users if is_user else of_groups, {owner: subject.id, "object_key": located.key}

    async def _bump(self, unit: Unit, subject: User | Group) -> None:
        if isinstance(subject, User):
            await self._versions.user_changed(unit, subject.id)
        else:
            await self._versions.all_changed(unit)


def _check_subject(subject: object) -> None:
    if not isinstance(subject, (User, Group)) or subject.id is None:
        raise TypeError(f"a permission is granted to a stored User or Group, not to {type(subject).__qualname__}")


async def as_of_now(database: Database, users: Users[Any], by: User) -> User:
    """Who acts, read afresh: a request may be older than the loss of a right. Raises `PermissionDenied` for a user who
    is gone, and `RuntimeError` where it cannot be told: a transaction of the application may see the past."""
    if database.is_joined:
        raise RuntimeError("by= inside auth.joined() would be decided by what your transaction has seen: commit first")
    now: User | None = await users.get(by.id) if by.is_authenticated else by
    if now is None:
        raise PermissionDenied("whoever grants or revokes does not exist (any more)")
    return now


async def _delete(unit: Unit, grants: Table, row: Mapping[str, Any]) -> bool:
    return bool(await unit.changed(delete(grants).where(*(grants.c[name] == value for name, value in row.items()))))
