"""`auth.users`: everything that reads or changes who exists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, Generic

from sqlalchemy import ColumnElement, Integer, bindparam, or_, select, update

from ..db import Database, Unit
from ..db.tables import Tables
from ..events import EventBus, PasswordChanged, UserCreated, UserDeleted, UserUpdated
from ..exceptions import Conflict, InvalidField, NotFound, Unavailable, UserExists
from ..passwords import Hashed, Passwords
from .columns import defaults, has_flag, needed
from .credentials import Credentials, NewPassword
from .deletion import delete_rows
from .fields import check_value, key_value
from .holders import Located, are_granted, are_in_group, checked_name
from .identifiers import is_storable
from .live_sessions import LiveSessions
from .model import UserModel, UserT
from .names import Names
from .namespace import Identifiers
from .rows import exactly, locked, taken
from .user import User

__all__ = ["Page", "Users"]

PAGE_LIMIT = 1000
_CHANGES = 10
"""How often a change of a password looks again, when another one was faster."""


@dataclass(frozen=True)
class Page(Generic[UserT]):
    """Some users in the order of their ids. `next` is the `after` of the following page, None on the last one."""

    items: Sequence[UserT]
    next: Any


class Users(Generic[UserT]):
    """Creates, finds, changes and deletes users. Each method is one unit of work, or a part of the one that is open."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        model: UserModel[UserT],
        passwords: Passwords,
        *,
        sessions: LiveSessions,
        events: EventBus,
        locate: Callable[[str, object], Awaitable[Located | None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._tables = tables
        self._model = model
        self._passwords = passwords
        self._clock = clock
        self._sessions = sessions
        self._events = events
        self._locate = locate
        user = tables.user
        self._by_id = database.prepare(select(user).where(user.c.id == bindparam("id", type_=user.c.id.type)))
        self._names = Names(model, user)
        self._identifiers = Identifiers(database, tables, self._names)
        self._credentials = Credentials(database, tables, model, passwords, clock=clock)

    async def create(
        self,
        username: str | None = None,
        *,
        email: str | None = None,
        password: str | Hashed | None = None,
        validate: bool = True,
        **fields: Any,
    ) -> UserT:
        """Creates a user; without `username` the e-mail address is the user name, without `password` none will do.

        Raises `UserExists` when a login identifier is taken, in whatever spelling; `InvalidField`; and
        `PasswordRejected` unless `validate=False`.
        """
        given = {**fields, **self._names.new(username, email)}
        values = {**defaults(self._tables.user, self._clock()), **self._names.stored(given)}
        self._check_fields(values, complete=True)
        new = await self._credentials.prepare(password, SimpleNamespace(**given), validate=validate)
        values |= self._credentials.stored(new)

        async def work(unit: Unit) -> UserT:
            try:
                id_ = await self._insert(unit, values)
                await self._identifiers.write(unit, id_, values, claimed=self._names.identifiers)
            except UserExists as error:
                raise UserExists("email" if username is None and error.field == "username" else error.field) from None
            user = await self._read(unit, id_)
            await self._credentials.note(unit, user, new)
            await self._events.publish(UserCreated(at=self._clock(), user=user))
            return user

        return await self._database.atomic(work)

    async def create_superuser(
        self,
        username: str | None = None,
        *,
        email: str | None = None,
        password: str | Hashed | None = None,
        validate: bool = True,
        **fields: Any,
    ) -> UserT:
        """`create` with those of `is_staff` and `is_superuser` that the model has, which may only be given as True
        (Django row A2.2)."""
        for flag in ("is_staff", "is_superuser"):
            if flag in self._tables.user.c and fields.setdefault(flag, True) is not True:
                raise InvalidField(flag, "must_be_true")
        return await self.create(username, email=email, password=password, validate=validate, **fields)

    async def get(self, id: Any) -> UserT | None:  # noqa: A002  the field's name
        """By primary key. An id that cannot exist is None, never an error."""
        key = key_value(self._tables.user.c.id, id)
        row = None if key is None else await self._database.fetch_one(self._by_id, id=key)
        # MariaDB also hands out the text that its collation finds equal
        return None if row is None or row["id"] != key else self._model.user(row)

    async def get_by(self, **one_field: Any) -> UserT | None:
        """By the exact value of one field; None unless exactly one user has it."""
        if len(one_field) != 1:
            raise TypeError("get_by() takes exactly one field, such as get_by(email=...)")
        ((name, value),) = one_field.items()
        column = self._tables.user.c.get(self._model.column_of(name))
        if column is None or name == "password":
            raise TypeError(f"get_by() got {name!r}, which is not a field of a user")
        value = self._names.sought(column, value)
        try:
            check_value(column, value)
        except InvalidField:
            return None
        is_it = exactly(column, value, self._database.dialect) if isinstance(value, str) else column == value
        rows = await self._database.fetch(select(self._tables.user).where(is_it).limit(2))
        return self._model.user(rows[0]) if len(rows) == 1 else None

    async def find(self, identifier: str) -> UserT | None:
        """By whatever a user may log in with: the exact user name first, as Django does, then any spelling of the user
        name or the e-mail address."""
        row = await self._identifiers.find(identifier) if isinstance(identifier, str) else None
        return None if row is None else self._model.user(row)

    async def page(
        self,
        *,
        search: str | None = None,
        active: bool | None = None,
        group: str | None = None,
        after: Any = None,
        limit: int = 50,
    ) -> Page[UserT]:
        """Users in the order of their ids, from behind `after`. `search` is a part of the user name, the e-mail
        address or a name, in any case; `group` the name of a group."""
        if not 1 <= limit <= PAGE_LIMIT:
            raise InvalidField("limit", "out_of_range", {"min": 1, "max": PAGE_LIMIT})
        if not is_storable(f"{search}{group}"):
            return Page([], None)
        user = self._tables.user
        conditions: list[ColumnElement[bool]] = []
        if search:
            conditions.append(or_(*(text.icontains(search, autoescape=True) for text in self._names.searched())))
        if active is not None:
            conditions.append(has_flag(user, "is_active", active))
        if group is not None:
            conditions.append(are_in_group(self._tables, self._database.dialect, group))
        if after is not None:
            key = key_value(user.c.id, after)
            if key is None:
                raise InvalidField("after", "invalid")
            conditions.append(user.c.id > key)
        rows = await self._database.fetch(select(user).where(*conditions).order_by(user.c.id).limit(limit + 1))
        items = [self._model.user(row) for row in rows[:limit]]
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def with_perm(
        self, perm: str, *, active: bool | None = True, superusers: bool = True, obj: object | None = None
    ) -> Sequence[UserT]:
        """Users to whom the permission is granted, directly or through a group, everywhere or on `obj`; with `active`
        None inactive ones too (Django row A2.5). Who has it by a rule or by a source of the application is not among
        them: ask `auth.permissions.holders()`. Raises `ValueError` for what is no name of a permission."""
        name, user = checked_name(perm), self._tables.user
        located = None if obj is None else await self._locate(name, obj)
        shared = self._database.shared_with_django
        found = are_granted(self._tables, self._database.dialect, name, located, shared=shared)
        if superusers:
            found = or_(found, has_flag(user, "is_superuser"))
        return await self._matching(*[found] if active is None else [found, has_flag(user, "is_active", active)])

    async def update(self, user: User, **changes: Any) -> UserT:
        """Changes fields and returns the user as it then is. Only what changes is validated. `is_active=False` also
        ends the user's sessions, for good; another e-mail address ends them except the one of the request that does
        this (D-13).

        Raises `InvalidField`, `UserExists`, and `NotFound` when the user is gone; `TypeError` for `password`, which
        `set_password` changes.
        """
        if "password" in changes:
            raise TypeError("update() does not change passwords: use auth.users.set_password(user, ...)")
        changes |= self._names.checked(changes)
        self._check_fields(self._names.stored(changes), complete=False)

        async def work(unit: Unit) -> UserT:
            before, updated = await self._update(unit, user.id, changes)
            await self._events.publish(UserUpdated(at=self._clock(), user=updated, changed=tuple(changes)))
            if changes.get("is_active") is False:
                await self._sessions.end_all(unit, user.id)
            elif before is not None and before.email != updated.email:
                await self._sessions.bump_epoch(updated)  # D-13
            return updated

        return await self._database.atomic(work)

    async def delete(self, user: User) -> None:
        """Deletes the user with sessions, memberships and grants. Raises `NotFound` when the user is gone, and
        `Conflict` when a row of the application refers to it."""
        tables = self._tables

        async def work(unit: Unit) -> None:
            before = await locked(unit, tables.user, user.id)
            if before is None:
                raise NotFound("the user does not exist (any more)")
            await self._sessions.end_all(unit, user.id)
            await delete_rows(unit, tables, user.id)
            await self._events.publish(UserDeleted(at=self._clock(), user=self._model.user(before)))

        await self._database.atomic(work)

    async def set_password(
        self, user: User, password: str | Hashed | None, *, validate: bool = True, replacing: str | None = None
    ) -> UserT:
        """Sets the password; None makes it unusable. The user's sessions end, except the one of the request that does
        this, which goes on under a fresh id (Django's `update_session_auth_hash`, row A7.9). Whatever was asked by
        `require_password_change` is done by it, with the same password too: the application decides, not the user.

        Raises `PasswordRejected` unless `validate=False`, and `NotFound` when the user is gone, or the stored hash is
        not `replacing`, where that is given; `Unavailable` when other requests change it all the time.
        """
        for _ in range(_CHANGES):
            present = await self._present(user, replacing)
            new = await self._new_password(user, password, validate=validate, present=present or "")
            try:
                return await self._database.atomic(partial(self._set_password, user, new, present))
            except NotFound:
                if present is None or replacing is not None:
                    raise
        raise Unavailable("the password is being changed by other requests: try again")

    async def _new_password(
        self,
        user: User,
        password: str | Hashed | None,
        *,
        validate: bool = True,
        present: str = "",
        last: int | None = None,
    ) -> NewPassword:
        """Judged and hashed, for `_store_password`; see `Credentials.prepare`."""
        return await self._credentials.prepare(
            password, user, validate=validate, user_id=user.id, present=present, last=last
        )

    async def _store_password(self, unit: Unit, user: User, new: NewPassword, *, replacing: str | None) -> UserT:
        """A part of `set_password` for who ends the sessions, in a unit of work. Raises `NotFound` as that does."""
        updated = await self._credentials.store(unit, user.id, new, replacing=replacing)
        await self._events.publish(PasswordChanged(at=self._clock(), user=updated))
        return updated

    async def require_password_change(self, user: User, *, required: bool = True, stored: str | None = None) -> None:
        """Whoever logs in with the user's password is asked for another one first; `required=False` takes that back.
        Live sessions go on: `auth.sessions.revoke_all(user)` ends them. Raises `NotFound` when the user is gone, or
        the hash is not `stored`, where that is given."""
        flag = partial(self._credentials.require_change, user_id=user.id, required=required, stored=stored)
        await self._database.atomic(flag)

    async def check_password(self, user: User, password: str) -> bool:
        """Whether this is the user's password now: the stored hash is read afresh. A weaker hash is upgraded."""
        return await self.verified(await self.get(user.id), password) is not None

    async def verified(self, user: UserT | None, password: str) -> UserT | None:
        """The user if the password is right, else None, after the same work for every reason (D-20).

        For backends that have just read the user: no query, unless a weaker hash is upgraded.
        """
        while True:
            right, stronger = await self._passwords.verify_and_upgrade(password, user.password if user else "")
            if not right or user is None:
                return None
            if stronger is None or self._database.read_only:
                return user
            if (upgraded := await self._store_upgrade(user, stronger)) is not None:
                return upgraded
            user = await self.get(user.id)  # its hash has changed meanwhile: is the password still right?

    async def _store_upgrade(self, user: UserT, stronger: Hashed) -> UserT | None:
        table = self._tables.user

        async def work(unit: Unit) -> UserT | None:
            same = (table.c.id == user.id, table.c.password == user.password)
            if not await unit.changed(update(table).where(*same).values(password=str(stronger))):
                return None
            await self._sessions.restamp(unit, user.id, user.password, stronger)
            return await self._read(unit, user.id)

        return await self._database.atomic(work)

    async def _present(self, user: User, replacing: str | None) -> str | None:
        """The stored hash that a change replaces: with a history nobody may change it between question and answer."""
        if replacing is not None or not self._credentials.has_history:
            return replacing
        now = await self.get(user.id)
        if now is None:
            raise NotFound("the user does not exist (any more)")
        return now.password

    async def _set_password(self, user: User, new: NewPassword, replacing: str | None, unit: Unit) -> UserT:
        updated = await self._store_password(unit, user, new, replacing=replacing)
        await self._sessions.outdate(unit, user.id)
        return updated

    async def _insert(self, unit: Unit, values: Mapping[str, Any]) -> Any:
        try:
            return await unit.insert(self._tables.user, values)
        except Conflict as conflict:
            raise self._taken(conflict) from None

    def _taken(self, conflict: Conflict) -> Exception:
        found = taken(self._tables.user, conflict)
        return UserExists(self._names.attribute(found.field)) if isinstance(found, UserExists) else found

    async def _update(self, unit: Unit, id_: Any, changes: Mapping[str, Any]) -> tuple[UserT | None, UserT]:
        """The user before, where a name changes, and after."""
        table = self._tables.user
        renamed = [name for name in ("username", "email") if name in changes]
        before = await self._read(unit, id_) if renamed else None
        if changes:
            try:
                stored = self._names.stored(changes)
                changed = await unit.changed(update(table).where(table.c.id == id_).values(stored))
            except Conflict as conflict:
                raise self._taken(conflict) from None
            if not changed:
                raise NotFound("the user does not exist (any more)")
        user = await self._read(unit, id_)
        if before is not None:
            if "username" in changes or self._names.is_pair(before.username, before.email):
                self._names.check_pair(user.username, user.email)
            names = self._names.stored({"username": user.username, "email": user.email})
            await self._identifiers.write(unit, id_, names, claimed=renamed)
        return before, user

    async def _matching(self, *conditions: ColumnElement[bool]) -> list[UserT]:
        """In the order of their ids."""
        user = self._tables.user
        rows = await self._database.fetch(select(user).where(*conditions).order_by(user.c.id))
        return [self._model.user(row) for row in rows]

    async def _read(self, unit: Unit, id_: Any) -> UserT:
        row = await unit.row(self._by_id, id=id_)
        if row is None:
            raise NotFound("the user does not exist (any more)")
        return self._model.user(row)

    def _check_fields(self, values: Mapping[str, Any], *, complete: bool) -> None:
        columns = self._tables.user.c
        for name, value in values.items():
            is_given = name != "id" or (complete and not isinstance(columns.id.type, Integer))
            if name == "password" or name not in columns or not is_given:
                raise InvalidField(name, "unknown_field")
            check_value(columns[name], value)
            if name == "id" and value == "":
                raise InvalidField(name, "required")
        if complete:
            for column in needed(self._tables.user):
                if column.name not in values:
                    raise InvalidField(column.name, "required")
