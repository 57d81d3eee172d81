"""The one namespace of login identifiers: rows that say which user answers to a canonical name.

A row counts only while the column that it was made from still says what it said then. Django, which knows nothing of
these rows, may change a user name: the row is then stale, is ignored, and is repaired when it is met. Users that Django
has made have none: they are found by their exact user name, and by an e-mail address that no other active user has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    String,
    bindparam,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    union_all,
)

from ..db import Database, Row, Unit
from ..db.tables import Tables
from ..exceptions import Conflict, UserExists
from .columns import has_flag
from .identifiers import EMAIL_MAX, canonical, is_storable
from .names import Names, as_text

__all__ = ["Identifiers"]

_NAME, _ADDRESS = "=", "@"
"""How a candidate was found, in the place of the field of an identifier's row."""


class Identifiers:
    """Finds users by what they log in with, and keeps the rows in step with them."""

    def __init__(self, database: Database, tables: Tables, names: Names) -> None:
        self._database = database
        self._user = tables.user
        self._names = names
        self._table = tables.identifier
        self._candidates = database.prepare(union_all(*self._candidates_of()))
        address = self._names.address
        self._with_addresses = (
            None if address is None else database.prepare(union_all(*self._candidates_of(), self._by_address(address)))
        )

    async def find(self, identifier: str) -> Row | None:
        """The row of the user, in one query: by exact user name first, as Django does, or by any other spelling; on a
        database that Django uses too, at last by an e-mail address that one active user alone has."""
        if len(identifier) > EMAIL_MAX or not is_storable(identifier):
            identifier = ""  # nobody's, and looked for all the same: the unknown cost what the known do
        exact = self._names.exact(identifier)
        form = canonical(identifier) or ""
        if self._database.shared_with_django and self._with_addresses is not None:
            typed = {"address": form if "@" in form else "", "typed": identifier.lower()}
            rows = await self._database.fetch(self._with_addresses, exact=exact, canonical=form, **typed)
        else:
            rows = await self._database.fetch(self._candidates, exact=exact, canonical=form)
        # MariaDB also hands out what its collation finds equal
        named = [row for row in rows if row["_field"] == _NAME and row[self._names.username.name] == exact]
        if named:  # a column of the application's own may hold a name twice: that is nobody's then
            return named[0] if len(named) == 1 else None
        found = None
        for row in rows:
            if row["_field"] in (_NAME, _ADDRESS):
                continue
            texts = self._names.of(row)
            if not _agrees(texts, row["_field"], row["_source"]) and not self._database.read_only:
                await self._repair(row)
            if canonical(texts.get(row["_field"], "")) == form:  # also when another spelling of it stands there now
                found = row
        if found is None:
            owners = [row for row in rows if row["_field"] == _ADDRESS]
            # the lower() of a server makes ASCII of the sign for kelvin: that is another address (V-025)
            if len(owners) == 1 and form in map(canonical, self._names.of(owners[0]).values()):
                found = owners[0]
        return found

    def of(self, row: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """What a row of the user table may be found by: canonical form -> field and source of the row here."""
        texts = self._names.of(row)
        return {value: (field, texts[field]) for value, field in self._names.claims(row).items()}

    async def write(self, unit: Unit, user_id: Any, row: Mapping[str, Any], *, claimed: Collection[str]) -> None:
        """Brings the rows of a user, whose row has these names, in step. Raises `UserExists` when an identifier of a
        `claimed` field is somebody else's; another one, which Django let two users have, stays with whoever has it. On
        a database that Django uses too, it is also somebody else's who has no row for it, because Django made the user
        or the change."""
        texts = self._names.of(row)
        claims = {canonical(texts[field]): field for field in sorted(claimed) if field in texts}
        if self._database.shared_with_django:
            await self._refuse_twin(unit, user_id, claims, texts)
        wanted = {(value, *of_value) for value, of_value in self.of(row).items()}
        columns = [self._table.c[name] for name in ("value", "field", "source")]
        rows = await unit.rows(select(*columns).where(self._table.c.user_id == user_id))
        present = {(one["value"], one["field"], one["source"]) for one in rows}
        # one by one and by key: MariaDB would lock the gaps around a range, and concurrent writers would meet there
        for value, _, _ in sorted(present - wanted):
            await unit.changed(delete(self._table).where(self._table.c.value == value))
        for value, field, source in sorted(wanted - present):
            new = {"value": value, "user_id": user_id, "field": field, "source": source}
            if await self._insert(unit, new):
                continue
            if await self._forget_stale(unit, value) and await self._insert(unit, new):
                continue
            if value in claims:
                raise UserExists(self._names.called(field))

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
            select(*self._names.columns(), table.c.field.label("_field"), table.c.source.label("_source"))
            .join_from(table, user, user.c.id == table.c.user_id)
            .where(table.c.value == value)
            .with_for_update(read=True)
        )
        for row in rows:
            if _agrees(self._names.of(row), row["_field"], row["_source"]):
                return False
            await unit.changed(delete(table).where(table.c.value == value, table.c.source == row["_source"]))
        if not rows:  # Django has deleted the user; only now, because a row that is to stay must not be locked for this
            owner = select(user.c.id).where(user.c.id == table.c.user_id)
            await unit.changed(delete(table).where(table.c.value == value, ~owner.exists()))
        return True

    async def _refuse_twin(
        self, unit: Unit, user_id: Any, claims: Mapping[str | None, str], texts: Mapping[str, str]
    ) -> None:
        """Every row is looked at: Django's table has no index for this."""
        spellings = {spelling for spelling in (*claims, *map(str.lower, texts.values())) if spelling}
        columns = self._names.columns()
        like_it = or_(*(func.lower(as_text(column)).in_(spellings) for column in columns))
        for row in await unit.rows(select(*columns).where(self._user.c.id != user_id, like_it)):
            for form in map(canonical, self._names.of(row).values()):
                if form is not None and form in claims:
                    raise UserExists(self._names.called(claims[form]))

    async def _repair(self, stale: Row) -> None:
        table = self._table
        of_user = (table.c.user_id == stale["id"], table.c.source == stale["_source"])

        async def work(unit: Unit) -> None:
            await unit.changed(delete(table).where(*of_user))
            for value, (field, source) in self.of(stale).items():
                # a conflict means that it is there already, or that another user has it, who keeps it
                row = {"value": value, "user_id": stale["id"], "field": field, "source": source}
                await self._insert(unit, row)

        await self._database.atomic(work)

    def _candidates_of(self) -> Sequence[Any]:
        user, table = self._user, self._table
        name = self._names.username
        by_name = select(user, *self._found_by(_NAME)).where(name == bindparam("exact", type_=name.type))
        by_identifier = (
            select(user, table.c.field.label("_field"), table.c.source.label("_source"))
            .join_from(table, user, user.c.id == table.c.user_id)
            .where(table.c.value == bindparam("canonical", type_=String()))
        )
        return by_name, by_identifier

    def _by_address(self, address: Column[Any]) -> Any:
        """Two of those whose address it is: then it is nobody's. As it was typed, too: Django does not make a domain in
        other letters comparable."""
        user, is_exact = self._user, self._database.dialect != "mysql"

        def exactly(text: ColumnElement[str]) -> ColumnElement[Any]:
            return text if is_exact else cast(text, LargeBinary)

        form, typed = (bindparam(name, type_=String()) for name in ("address", "typed"))
        is_it = exactly(func.lower(address)).in_([exactly(form), exactly(typed)])
        two = select(user).where(has_flag(user, "is_active"), form != "", is_it).limit(2).subquery()
        return select(*two.c, *self._found_by(_ADDRESS))

    def _found_by(self, how: str) -> Sequence[Any]:
        """What stands beside the row of a user in an identifier's."""
        field, source = self._table.c.field, self._table.c.source
        return literal(how, field.type).label("_field"), literal("", source.type).label("_source")


def _agrees(texts: Mapping[str, str], field: str, source: str) -> bool:
    return texts.get(field) == source
