"""Users who bring their ids and hashes along: many rows in one statement, with the identifiers that they log in by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from ..db import Database, Row, Unit
from ..db.many import Inserts, found_by
from ..db.tables import Tables
from ..exceptions import Conflict, UserExists
from .names import Names
from .namespace import Identifiers
from .rows import taken

__all__ = ["Newcomers", "Settled", "Twin"]


@dataclass(frozen=True)
class Twin:
    """A user whose `field`, in canonical form, lets another user log in and not this one."""

    user_id: Any
    field: str


@dataclass
class Settled:
    """What became of users: the ids of those that were `added` or `present`; for those `refused`, why."""

    added: list[Any] = field(default_factory=list)
    present: list[Any] = field(default_factory=list)
    refused: dict[Any, str] = field(default_factory=dict)
    twins: list[Twin] = field(default_factory=list)


class Newcomers:
    """Adds users under the ids that they have. With `dry_run` it only says what would become of them."""

    def __init__(
        self, database: Database, tables: Tables, identifiers: Identifiers, names: Names, *, dry_run: bool
    ) -> None:
        self._inserts = Inserts(database)
        self._user, self._identifier = tables.user, tables.identifier
        self._identifiers = identifiers
        self._names = names
        self.name = names.username
        self._dry_run = dry_run
        self._claimed: set[int] = set()

    async def settle(self, unit: Unit, users: Sequence[Row]) -> Settled:
        """Whoever is there under the same id and name is left as is; whose id or name is somebody else's is refused:
        nobody becomes another one."""
        settled = Settled()
        missing = await self._missing(unit, users, settled)
        if not self._dry_run:
            for user, error in await self._inserts.add(unit, self._user, missing):
                settled.refused[user["id"]] = _reason(self._user, error)
        added = [user for user in missing if user["id"] not in settled.refused]
        settled.added = [user["id"] for user in added]
        settled.twins = await self._identify(unit, added)
        return settled

    async def _missing(self, unit: Unit, users: Sequence[Row], settled: Settled) -> list[Row]:
        key, name = self._user.c.id, self.name
        by_id = await found_by(unit, [key, name], key, [user["id"] for user in users])
        by_name = await found_by(unit, [key, name], name, [user[name.key] for user in users])
        names = {row["id"]: row[name.key] for row in by_id}
        ids = {row[name.key]: row["id"] for row in by_name}  # asked for again by Python, which finds no two names equal
        missing = []
        for user in users:
            if names.get(user["id"]) == user[name.key]:
                settled.present.append(user["id"])
            elif user["id"] in names:
                settled.refused[user["id"]] = f"its id is {names[user['id']]!r} here"
            elif user[name.key] in ids:
                settled.refused[user["id"]] = f"its name has the id {ids[user[name.key]]} here"
            else:
                missing.append(user)
        return missing

    async def _identify(self, unit: Unit, users: Sequence[Row]) -> list[Twin]:
        """Whoever comes first has an identifier; the others are left with their exact names."""
        claims = [(value, field_, user) for user in users for value, field_ in self._names.claims(user).items()]
        column = self._identifier.c.value
        held = {row["value"] for row in await found_by(unit, [column], column, [value for value, _, _ in claims])}
        free: dict[str, Row] = {}
        contested = []
        for value, field_, user in claims:
            if value in held or value in free or self._is_claimed(value):
                contested.append((value, field_, user))
            else:
                source = self._names.of(user)[field_]
                free[value] = {"value": value, "user_id": user["id"], "field": field_, "source": source}
        if self._dry_run:
            return [Twin(user["id"], field_) for _, field_, user in contested]
        for lost, _ in await self._inserts.add(unit, self._identifier, list(free.values())):
            contested += [claim for claim in claims if claim[0] == lost["value"]]
        for _, _, user in contested:  # it may be held by a row that is out of date
            await self._identifiers.write(unit, user["id"], user, claimed=())
        columns = [column, self._identifier.c.user_id]
        rows = await found_by(unit, columns, column, [value for value, _, _ in contested])
        holders = {row["value"]: row["user_id"] for row in rows}
        return [Twin(user["id"], field_) for value, field_, user in contested if holders.get(value) != user["id"]]

    def _is_claimed(self, value: str) -> bool:
        """In a dry run: would the row be there by now?"""
        known = hash(value) in self._claimed
        if self._dry_run:
            self._claimed.add(hash(value))
        return known


def _reason(table: Table, error: Conflict | ValueError) -> str:
    if isinstance(error, ValueError):
        return str(error)
    found = taken(table, error)
    return f"its {found.field} is another user's here" if isinstance(found, UserExists) else str(error)
