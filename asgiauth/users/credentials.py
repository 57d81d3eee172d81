"""The password of a user where it is stored, and what is remembered about it: which ones came before, since when it is
the present one, and whether it must become another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic

from sqlalchemy import bindparam, delete, select, update

from ..db import Database, Unit
from ..db.tables import Tables
from ..exceptions import Conflict, InvalidField, NotFound, PasswordRejected, Reason
from ..passwords import Hashed, Passwords, is_usable
from ..passwords.policy import unstorable
from ..passwords.service import unusable
from .fields import check_value
from .model import UserModel, UserT

__all__ = ["Credentials", "NewPassword"]

_MUST_CHANGE = "asgiauth_must_change"


@dataclass(frozen=True)
class NewPassword:
    """A password that was judged and hashed, to be stored. `plain` is for the validators that want to be told of it,
    and never shown; None for one that came as a hash."""

    encoded: Hashed
    plain: str | None = field(default=None, repr=False)


class Credentials(Generic[UserT]):
    """Judges and hashes outside of any unit of work; stores inside of one."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        model: UserModel[UserT],
        passwords: Passwords,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._user, self._state, self._history = tables.user, tables.user_state, tables.password_history
        self._model = model
        self._has_passwords = "password" in tables.user.c
        self._passwords = passwords
        self._clock = clock
        user, state = tables.user, tables.user_state
        self._with_state = database.prepare(
            select(user, state.c.must_change_password.label(_MUST_CHANGE))
            .select_from(user.outerjoin(state, state.c.user_id == user.c.id))
            .where(user.c.id == bindparam("id", type_=user.c.id.type))
        )

    @property
    def has_history(self) -> bool:
        return self._passwords.policy.history > 0

    async def prepare(
        self,
        password: str | Hashed | None,
        user: object,
        *,
        validate: bool,
        user_id: Any = None,
        present: str = "",
        last: int | None = None,
    ) -> NewPassword:
        """What is to be stored; None makes it unusable. Not for a unit of work: this takes a while.

        `user` is for the policy. The `last` passwords of `user_id`, of which `present` is the hash of the one that
        counts now, are refused; by default as many as the policy's `history` says. That costs up to so many hashes.
        Raises `InvalidField`, also where users have no password; unless `validate=False`, `PasswordRejected` with every
        reason.
        """
        self._database.check_writable()
        if password is None:
            return NewPassword(unusable())
        self._check_has_passwords()
        if not isinstance(password, str):
            raise InvalidField("password", "invalid_type", {"expected": "str"})
        if isinstance(password, Hashed):
            check_value(self._user.c.password, password)
            return NewPassword(password)
        if validate:
            last = self._passwords.policy.history if last is None else last
            await self._judge(password, user, user_id, present, last)
        encoded = await self._passwords.hash(password)
        check_value(self._user.c.password, encoded)
        return NewPassword(encoded, password)

    def stored(self, new: NewPassword) -> dict[str, str]:
        """By column."""
        return {"password": str(new.encoded)} if self._has_passwords else {}

    async def store(self, unit: Unit, user_id: Any, new: NewPassword, *, replacing: str | None) -> UserT:
        """The user with the new password. Raises `NotFound` when the user is gone, or the stored hash is not
        `replacing`, where that is given: with a history it has to be."""
        self._check_has_passwords()
        same = [self._user.c.id == user_id]
        if replacing is not None:
            same.append(self._user.c.password == replacing)
        if not await unit.changed(update(self._user).where(*same).values(password=str(new.encoded))):
            raise NotFound("the user does not exist (any more)")
        (row,) = await unit.rows(self._with_state, id=user_id)
        if self.has_history and replacing is not None and is_usable(replacing):
            await self._remember(unit, user_id, replacing)
        user = self._model.user(row)
        await self.note(unit, user, new, was_required=bool(row[_MUST_CHANGE]))
        return user

    async def note(self, unit: Unit, user: UserT, new: NewPassword, *, was_required: bool = False) -> None:
        """The password is this one now: what follows from it, in the unit of work that has stored it."""
        if self.has_history or self._passwords.policy.max_age is not None:
            await self._write_state(unit, user.id, must_change_password=False, password_changed_at=self._clock())
        elif was_required:
            await self._write_state(unit, user.id, must_change_password=False)
        if new.plain is not None:
            await self._passwords.password_changed(new.plain, user)

    async def require_change(self, unit: Unit, user_id: Any, *, required: bool, stored: str | None = None) -> None:
        """Raises `NotFound` when the user is gone, or the hash is not `stored`, where that is given."""
        self._check_has_passwords()
        if stored is None:
            found = await unit.row(self._with_state, id=user_id) is not None
        else:  # changes nothing, but nobody else can change the password until the flag is written
            same = (self._user.c.id == user_id, self._user.c.password == stored)
            found = bool(await unit.changed(update(self._user).where(*same).values(password=stored)))
        if not found:
            raise NotFound("the user does not exist (any more)")
        await self._write_state(unit, user_id, must_change_password=required)

    def _check_has_passwords(self) -> None:
        if not self._has_passwords:
            raise InvalidField("password", "unknown_field")

    async def _judge(self, password: str, user: object, user_id: Any, present: str, last: int) -> None:
        reasons: list[Reason] = []
        try:
            await self._passwords.validate(password, user)
        except PasswordRejected as error:
            reasons += error.reasons
        if unstorable(password) is None and await self._was_used(password, user_id, present, last):
            reasons.append(Reason("password_reused", {"last": last}))
        if reasons:
            raise PasswordRejected(reasons)

    async def _was_used(self, password: str, user_id: Any, present: str, last: int) -> bool:
        """One after the other, so that a history takes one place in the pool and not many."""
        hashes = [present] if is_usable(present) else []
        if last > len(hashes):
            newest = select(self._history.c.encoded).where(self._history.c.user_id == user_id)
            ordered = newest.order_by(self._history.c.id.desc()).limit(last - len(hashes))
            hashes += [row["encoded"] for row in await self._database.fetch(ordered)]
        for encoded in hashes[:last]:
            if await self._passwords.verify(password, encoded):
                return True
        return False

    async def _remember(self, unit: Unit, user_id: Any, encoded: str) -> None:
        """The row of the user is locked by the change: nobody else writes the history of the same user now."""
        table = self._history
        kept = select(table.c.id).where(table.c.user_id == user_id).order_by(table.c.id.desc())
        rows = await unit.rows(kept)
        await unit.insert(table, {"user_id": user_id, "encoded": encoded})
        # one by one and by key: MariaDB would lock the gaps around a range, and concurrent writers would meet there
        for row in rows[self._passwords.policy.history - 1 :]:
            await unit.changed(delete(table).where(table.c.id == row["id"]))

    async def _write_state(self, unit: Unit, user_id: Any, **values: Any) -> None:
        state = self._state
        stated = update(state).where(state.c.user_id == user_id).values(**values)
        if await unit.changed(stated):
            return
        try:
            async with self._database.unit():
                await unit.insert(state, {"user_id": user_id, "epoch": 0, **values})
        except Conflict:  # another one was first
            await unit.changed(stated)
