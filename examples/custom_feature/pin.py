"""A PIN after the password: a feature whose step stands in every way in."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, bindparam, delete, select, update

from asgiauth import Contribution, Core, LoggedIn, RequestAuth, StepRequired, User
from asgiauth.db import Row, Unit, UTCDateTime
from asgiauth.events import UserDeleted
from asgiauth.exceptions import Conflict, InvalidField, LoginRefused, PasswordRejected, Reason, TooManyAttempts
from asgiauth.http.actions import Action, Field, Page
from asgiauth.login import LoginAttempt

_PIN = re.compile("[0-9]{6,12}")
_TRIES = 10
_SPAN = timedelta(hours=1)
"""So many wrong PINs of a user in that time, over all logins: a login alone allows five, and then starts anew (D-16).
Who knows the password can keep the user out by it, and that is better than to let a million PINs be tried."""
_USER = {"type": "object", "properties": {"user": {"type": "object"}}, "required": ["user"]}


class Pin:
    """Whoever has set a PIN types it at every login, after whatever came first; the others log in as before. It may
    open something to them besides: `Pin(unlocks=["account.export_data"])`.

    `pin = Pin(); auth = Auth(..., features=[pin]); await pin.set(user, "240689")`. With a user table of your own:
    `Pin(user_table="member")`.
    """

    name = "pin"
    requirement = "second_factor"
    path = "login/pin"

    _core: Core
    _table: Table

    def __init__(self, *, unlocks: Collection[str] = (), user_table: str = "auth_user") -> None:
        self._unlocks = frozenset(unlocks)
        self._user_table = user_table

    def tables(self, metadata: MetaData) -> None:
        self._table = Table(
            "pin",
            metadata,
            Column("user_id", ForeignKey(f"{self._user_table}.id", ondelete="CASCADE"), primary_key=True),
            Column("encoded", String(128), nullable=False),
            Column("tries", Integer, nullable=False),
            Column("since", UTCDateTime, nullable=False),
        )

    def install(self, core: Core) -> Contribution:
        self._core = core
        user_id = self._table.c.user_id
        self._by_user = core.db.prepare(select(self._table).where(user_id == bindparam("id", type_=user_id.type)))
        return Contribution(
            login_steps=[self],
            permission_sources=[self],
            password_validators=[self],
            listeners=[(UserDeleted, self._on_deleted)],
            actions=[
                Action(
                    name="login_pin",
                    path="login/pin",
                    run=self._prove,
                    fields={"pin": Field(secret=True, autocomplete="one-time-code")},
                    public=True,
                    summary="Finish a login with the PIN",
                    shows=_USER,
                    page=Page(path=self.path, name="login_pin", title="One more step: your PIN"),
                ),
                Action(
                    name="pin",
                    path="pin",
                    method="PUT",
                    run=self._set,
                    fields={"password": Field(secret=True), "pin": Field(secret=True)},
                    summary="Set one's own PIN",
                ),
            ],
        )

    async def set(self, user: User, pin: str) -> None:
        """Sets or replaces the PIN. Every session of the user ends, except the one of the request that does this, and
        every login that is under way: they were opened without it.

        Raises `InvalidField` unless it has 6 to 12 digits, and when it is the password.
        """
        if not _PIN.fullmatch(pin):
            raise InvalidField("pin", "invalid")
        if await self._core.passwords.verify(pin, user.password):
            raise InvalidField("pin", "same_as_password")
        encoded = await self._core.passwords.hash(pin)  # takes a while: never in a unit of work
        values = {"encoded": str(encoded), "tries": 0, "since": self._core.clock()}

        async def work(unit: Unit) -> None:
            if not await unit.changed(update(self._table).where(self._is(user)).values(**values)):
                await unit.insert(self._table, {"user_id": user.id, **values})
            await self._core.sessions.bump_epoch(user)

        try:
            await self._core.db.atomic(work)
        except Conflict:  # another request has inserted it meanwhile, and now there is a row to update
            await self._core.db.atomic(work)

    async def remove(self, user: User) -> None:
        """For somebody who has forgotten it, and has proved to you in another way who they are."""
        await self._core.db.within(lambda unit: unit.changed(delete(self._table).where(self._is(user))))

    async def applies_to(self, user: User, attempt: LoginAttempt) -> bool:
        """The login step: however the user came here, by a password or by another feature."""
        return await self._find(user) is not None

    async def granted(self, user: Any) -> Collection[str]:
        """The permission source: asked once in a request, about whoever makes it, so about the anonymous user too."""
        if not self._unlocks or not user.is_active or await self._find(user) is None:
            return ()
        return self._unlocks

    async def validate(self, password: str, user: object) -> None:
        """The password validator: whoever learns the one should not know the other."""
        if isinstance(user, User) and _PIN.fullmatch(password):
            row = await self._find(user)
            if row is not None and await self._core.passwords.verify(password, row["encoded"]):
                raise PasswordRejected([Reason("password_is_pin")])

    async def _set(self, auth: RequestAuth[Any], *, password: str, pin: str) -> None:
        """Asks for the password too: an open browser that somebody finds must not be enough."""
        if not await self._core.users.check_password(auth.user, password):
            raise InvalidField("password", "incorrect")
        await self.set(auth.user, pin)

    async def _prove(self, auth: RequestAuth[Any], *, pin: str) -> LoggedIn[Any] | StepRequired:
        pending = await auth.try_step()
        row = await self._find(pending.user)
        if row is None:
            raise LoginRefused("this user has no PIN any more: log in again")
        await self._take_a_try(pending.user)
        if not await self._core.passwords.verify(pin, row["encoded"]):
            raise InvalidField("pin", "incorrect")
        right = (self._is(pending.user), self._table.c.encoded == row["encoded"])
        if not await self._core.db.atomic(lambda unit: unit.changed(update(self._table).where(*right).values(tries=0))):
            raise InvalidField("pin", "incorrect")  # it was replaced while it was verified
        return await auth.pass_step(self.name)

    async def _take_a_try(self, user: User) -> None:
        """Counts before anything is verified, by conditional statements: a crowd of requests gets no more than one."""
        table, now = self._table, self._core.clock()
        is_over = update(table).where(self._is(user), table.c.since <= now - _SPAN).values(tries=0, since=now)
        take = update(table).where(self._is(user), table.c.tries < _TRIES).values(tries=table.c.tries + 1)

        async def work(unit: Unit) -> int:
            await unit.changed(is_over)
            return await unit.changed(take)

        if not await self._core.db.atomic(work):
            raise TooManyAttempts(retry_after=int(_SPAN.total_seconds()))

    async def _on_deleted(self, event: UserDeleted) -> None:
        """Within the deletion, for databases that do not cascade: an SQLAlchemy engine on SQLite, unless told to."""
        await self.remove(event.user)

    async def _find(self, user: User) -> Row | None:
        return await self._core.db.fetch_one(self._by_user, id=user.id)

    def _is(self, user: User) -> Any:
        return self._table.c.user_id == user.id
