"""Hashes of old schemes, hashed once more where they are stored (row A15.16): nobody has to log in for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, func, or_, select, update

from ..db import Database, Unit
from ..db.tables import Tables
from ..passwords import Hashed, Passwords
from ..passwords.hashers.wrapped import OldScheme, old_scheme
from .live_sessions import LiveSessions

__all__ = ["OldHashes", "Refused", "Wrapped"]


@dataclass(frozen=True)
class Refused:
    """A hash that cannot be wrapped: whose it is, why, and, for a remembered password, the `history_id` of its row."""

    user_id: Any
    reason: str
    history_id: Any = None


@dataclass
class Wrapped:
    """What became of stored hashes. `changed`: another one was stored meanwhile, by a login or with a new password.
    `refused`: those that cannot be wrapped, each of a user's remembered passwords for itself."""

    done: Counter[OldScheme] = field(default_factory=Counter)
    changed: int = 0
    refused: list[Refused] = field(default_factory=list)

    def add(self, other: Wrapped) -> None:
        self.done.update(other.done)
        self.changed += other.changed
        self.refused += other.refused

    @property
    def total(self) -> int:
        return self.done.total() + self.changed + len(self.refused)


@dataclass(frozen=True)
class _Old:
    id: Any
    user_id: Any
    encoded: str = field(repr=False)
    scheme: OldScheme


class OldHashes:
    """Those of `schemes` among the users' passwords and, where there is one, in their history.

    Each is replaced by a statement of its own, if it still is the one that was read, together with the stamps of the
    user's sessions. So it may be stopped at any time and run again, beside logins and beside another one of its kind.
    """

    def __init__(
        self,
        database: Database,
        tables: Tables,
        passwords: Passwords,
        sessions: LiveSessions,
        *,
        schemes: Collection[OldScheme],
        batch: int,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._sessions = sessions
        self._schemes = schemes
        self._batch = batch
        user, history = tables.user, tables.password_history
        self._user = user
        self._places: Mapping[Table, tuple[Column[Any], Column[Any]]] = {
            **({user: (user.c.id, user.c.password)} if "password" in user.c else {}),
            history: (history.c.user_id, history.c.encoded),
        }

    async def count(self) -> Counter[OldScheme]:
        """How many there are of each scheme."""
        found: Counter[OldScheme] = Counter()
        for table in self._places:
            async for batch in self._batches(table):
                found.update(old.scheme for old in batch)
        return found

    async def wrap(self) -> AsyncIterator[Wrapped]:
        """Wraps them all, in the order of their keys, and tells of each batch when it is stored."""
        for table in self._places:
            async for batch in self._batches(table):
                yield await self._wrap(table, batch)

    async def _batches(self, table: Table) -> AsyncIterator[list[_Old]]:
        owner, column = self._places[table]
        chosen = select(table.c.id, owner.label("user_id"), column.label("encoded")).where(self._maybe_old(column))
        ordered = chosen.order_by(table.c.id).limit(self._batch)
        after: list[ColumnElement[bool]] = []
        while rows := await self._database.fetch(ordered.where(*after)):
            after = [table.c.id > rows[-1]["id"]]
            schemes = [old_scheme(row["encoded"]) for row in rows]
            pairs = zip(rows, schemes, strict=True)
            yield [
                _Old(**row, scheme=scheme) for row, scheme in pairs if scheme is not None and scheme in self._schemes
            ]

    async def _wrap(self, table: Table, batch: list[_Old]) -> Wrapped:
        outcome, slots = Wrapped(), self._passwords.slots
        for start in range(0, len(batch), slots):  # no more at once than are hashed at once: none waits in the queue
            some = batch[start : start + slots]
            for old, made in zip(some, await asyncio.gather(*map(self._made, some)), strict=True):
                if isinstance(made, ValueError):
                    history_id = None if table is self._user else old.id
                    outcome.refused.append(Refused(old.user_id, str(made), history_id))
                elif await self._replace(table, old, made):
                    outcome.done[old.scheme] += 1
                else:
                    outcome.changed += 1
        return outcome

    async def _made(self, old: _Old) -> Hashed | ValueError:
        try:
            return await self._passwords.wrap(old.encoded)
        except ValueError as error:
            return error

    async def _replace(self, table: Table, old: _Old, made: str) -> bool:
        _, column = self._places[table]
        same = (table.c.id == old.id, column == old.encoded)
        statement = update(table).where(*same).values({column: str(made)})

        async def work(unit: Unit) -> bool:
            if not await unit.changed(statement):
                return False
            if column.name == "password":
                await self._sessions.restamp(unit, old.user_id, old.encoded, made)
            return True

        return await self._database.atomic(work)

    def _maybe_old(self, column: Column[Any]) -> ColumnElement[bool]:
        """What the database can tell; the rest is looked at here."""
        begins = {scheme.removeprefix("unsalted_") for scheme in self._schemes}
        bare = [func.length(column) == 32] if "unsalted_md5" in self._schemes else []
        return or_(*(column.like(f"{name}$%") for name in sorted(begins)), *bare)
