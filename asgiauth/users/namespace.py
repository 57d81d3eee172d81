"""The one namespace of login identifiers: rows that say which user answers to a canonical name.

A row counts only while the column that it was made from still says what it said then. Django, which knows nothing of
these rows, may change a user name: the row is then stale, is ignored, and is repaired when it is met.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import String, bindparam, delete, literal, select, union_all

from ..db import Database, Row, Unit
from ..db.tables import Tables
from ..exceptions import Conflict, UserExists
from .identifiers import EMAIL_MAX, USERNAME_MAX, canonical, is_storable, normalize_username

__all__ = ["Identifiers"]


class Identifiers:
    """Finds users by what they log in with, and keeps the rows in step with them."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._user = tables.user
        self._table = tables.identifier
        self._candidates = database.prepare(self._candidates_statement())

    async def find(self, identifier: str) -> Row | None:
        """The row of the user, in one query: by exact user name first, as Django does, or by any other spelling."""
        if len(identifier) > EMAIL_MAX or not is_storable(identifier):
            identifier = ""  # nobody's, and looked for all the same: the unknown cost what the known do
        exact = normalize_username(identifier) if len(identifier) <= USERNAME_MAX else ""
        form = canonical(identifier) or ""
        rows = await self._database.fetch(self._candidates, exact=exact, canonical=form)
        for row in rows:
            # MariaDB also hands out what its collation finds equal
            if not row["_field"] and row["username"] == exact != "":
                return row
        found = None
        for row in rows:
            if not row["_field"]:
                continue
            if not _agrees(row, row["_field"], row["_source"]):
                await self._repair(row)
            if canonical(row[row["_field"]]) == form:  # also when another spelling of it stands there now
                found = row
        return found

    async def write(self, unit: Unit, user_id: Any, user: Mapping[str, Any], *, claimed: Collection[str]) -> None:
        """Brings the user's rows in step. Raises `UserExists` when an identifier of a `claimed` field is somebody
        else's; another one, which Django let two users have, stays with whoever has it."""
        claims = {canonical(user[field]) for field in claimed}
        wanted = {(value, field, user[field]) for value, field in _identifiers(user).items()}
        columns = [self._table.c[name] for name in ("value", "field", "source")]
        rows = await unit.rows(select(*columns).where(self._table.c.user_id == user_id))
        present = {(row["value"], row["field"], row["source"]) for row in rows}
        # one by one and by key: MariaDB would lock the gaps around a range, and concurrent writers would meet there
        for value, _, _ in sorted(present - wanted):
            await unit.changed(delete(self._table).where(self._table.c.value == value))
        for value, field, _ in sorted(wanted - present):
            row = {"value": value, "user_id": user_id, "field": field, "source": user[field]}
            if await self._insert(unit, row):
                continue
            if await self._forget_stale(unit, value) and await self._insert(unit, row):
                continue
            if value in claims:
                raise UserExists(field)

    async def _insert(self, unit: Unit, row: Mapping[str, Any]) -> bool:
        try:
            async with self._database.unit():
                await unit.insert(self._table, row)
        except Conflict:
            return False
        return True

    async def _forget_stale(self, unit: Unit, value: str) -> bool:
        """Is the name free now? Read with a shared lock, and so as it is: MariaDB shows a transaction the past."""
        user, table = self._user, self._table
        rows = await unit.rows(
            select(user.c.username, user.c.email, table.c.field, table.c.source)
            .join_from(table, user, user.c.id == table.c.user_id)
            .where(table.c.value == value)
            .with_for_update(read=True)
        )
        for row in rows:
            if _agrees(row, row["field"], row["source"]):
                return False
            await unit.changed(delete(table).where(table.c.value == value, table.c.source == row["source"]))
        return True

    async def _repair(self, stale: Row) -> None:
        table = self._table
        of_user = (table.c.user_id == stale["id"], table.c.source == stale["_source"])

        async def work(unit: Unit) -> None:
            await unit.changed(delete(table).where(*of_user))
            for value, field in _identifiers(stale).items():
                # a conflict means that it is there already, or that another user has it, who keeps it
                row = {"value": value, "user_id": stale["id"], "field": field, "source": stale[field]}
                await self._insert(unit, row)

        await self._database.atomic(work)

    def _candidates_statement(self) -> Any:
        user, table = self._user, self._table
        nothing = literal("", table.c.field.type)
        by_name = select(user, nothing.label("_field"), nothing.label("_source")).where(
            user.c.username == bindparam("exact", type_=String())
        )
        by_identifier = (
            select(user, table.c.field.label("_field"), table.c.source.label("_source"))
            .join_from(table, user, user.c.id == table.c.user_id)
            .where(table.c.value == bindparam("canonical", type_=String()))
        )
        return union_all(by_name, by_identifier)


def _agrees(user: Mapping[str, Any], field: str, source: str) -> bool:
    return bool(user[field] == source)


def _identifiers(user: Mapping[str, Any]) -> dict[str, str]:
    """Canonical form -> the field that it comes from."""
    found = {}
    for field in ("email", "username"):
        value = canonical(user[field])
        if value is not None:
            found[value] = field
    return found
