"""From a Django database into this one: users, groups, permissions, and who is granted what. The former is only read.
`asgiauth import-django` is the command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Column, Select, Table, func, select

from .db import Database, Row, Unit
from .db.ids import largest_id, reserve_ids
from .db.many import Inserts, found_by
from .db.snapshot import columns_of, is_database_of
from .db.statement import computed
from .db.tables import Tables
from .exceptions import ConfigurationError, InvalidField
from .users.fields import check_value
from .users.newcomers import Newcomers, Twin
from .users.permission_version import PermissionVersions

__all__ = ["Count", "DjangoImport", "Imported", "Skipped"]

_Links = dict[Table, list[tuple[Any, Any]]]


@dataclass
class Count:
    """Rows of one table: `read` there, `added` here, `present` here already, `skipped`."""

    read: int = 0
    added: int = 0
    present: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Skipped:
    """A row that is not here now: its table, its natural key (row A2.18), before that of a user the id, and why."""

    table: str
    key: str
    reason: str


@dataclass
class Imported:
    """What became of the rows. `skipped` names those that were skipped for a reason of their own; a link that was
    skipped along with its user, group or permission is only counted. `twins`: users who share an e-mail address with
    another one, or whose name differs from another one's in case alone, and who log in by the exact user name."""

    tables: dict[str, Count] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    twins: list[Twin] = field(default_factory=list)

    def count(self, table: Table) -> Count:
        return self.tables.setdefault(table.name, Count())

    def skip(self, table: Table, key: str, reason: str) -> None:
        self.count(table).skipped += 1
        self.skipped.append(Skipped(table.name, key, reason))

    def add(self, other: Imported) -> None:
        for name, count in other.tables.items():
            mine = self.tables.setdefault(name, Count())
            for what, number in vars(count).items():
                setattr(mine, what, getattr(mine, what) + number)
        self.skipped += other.skipped
        self.twins += other.twins

    @property
    def is_complete(self) -> bool:
        return not any(count.skipped for count in self.tables.values())


class DjangoImport:
    """Copies what is missing, in the order of ids, `batch` rows a transaction.

    It remembers nothing: killed at any time and run again, it compares, and goes on where it stopped. Users keep their
    ids and hashes, and come with their groups and permissions at once; groups, permissions and content types are found
    by their natural keys (row A2.18). What is here already stays as it is. No events are published.
    """

    def __init__(
        self,
        source: Unit,
        database: Database,
        tables: Tables,
        newcomers: Newcomers,
        *,
        batch: int,
        dry_run: bool,
    ) -> None:
        self._source = source
        self._database = database
        self._tables = tables
        self._newcomers = newcomers
        self._batch = batch
        self._dry_run = dry_run
        self._inserts = Inserts(database)
        self._versions = PermissionVersions(tables)
        self._links: list[Table] = []
        self._columns: list[Column[Any]] = []
        self._filled_in: list[Column[Any]] = []
        self._ids: dict[str, dict[Any, Any]] = {}
        """By the name of the columns that refer to it: the id there -> the id here."""
        self._names: dict[Any, str] = {}
        """Of content types, by the id there."""
        self.outcome = Imported()

    async def check(self) -> int:
        """How many users there are to read. Raises `ConfigurationError` where it is no Django database, or has other
        columns than this `Auth`; and where it is this very database, which has nothing to import."""
        if await is_database_of(self._source, self._database):
            raise ConfigurationError(
                "that is the database of this Auth: it is shared with Django, and nothing needs to be imported"
            )
        tables = self._tables
        present = await self._columns_of(tables.user)
        self._columns = [column for column in tables.user.columns if column.name in present]
        self._filled_in = [column for column in tables.user.columns if column.name not in present]
        for column in self._filled_in:
            if not (column.nullable or column.default is not None or column.server_default is not None):
                raise ConfigurationError(
                    f"{tables.user.name} has no column {column.name!r} there, and this Auth cannot do without: give it "
                    "a default in UserModel(columns=...), or name it in UserModel(without=...)"
                )
        if "is_superuser" in present:  # a model without PermissionsMixin has neither groups nor permissions
            self._links = [tables.user_groups, tables.user_permissions]
        for table in (tables.content_type, tables.permission, tables.group, tables.group_permissions, *self._links):
            lacking = {column.name for column in table.columns} - await self._columns_of(table)
            if lacking:
                raise ConfigurationError(
                    f"{table.name} has no column {min(lacking)!r} there: run the migrate of a newer Django, or name "
                    "the tables of links in UserModel(...)"
                )
        for table in (tables.content_type, tables.permission, tables.group, tables.group_permissions, tables.user):
            self.outcome.count(table)
        (row,) = await self._source.rows(select(func.count().label("users")).select_from(tables.user))
        return int(row["users"])

    async def run(self) -> AsyncIterator[int]:
        """Copies it all, and tells after each batch of users how many they were. `check()` comes before."""
        tables = self._tables
        await self._match(tables.content_type, "content_type_id", ["app_label", "model"])
        await self._match(tables.permission, "permission_id", ["content_type_id", "codename"])
        await self._match(tables.group, "group_id", ["name"])
        async for rows in self._pages(tables.group.c.id):
            found = await self._linked([tables.group_permissions], rows)
            work = partial(self._link, Imported(), found, self._ids["group_id"])
            self.outcome.add(await self._database.atomic(work))
        if not self._dry_run:
            await reserve_ids(self._database, tables.user, await largest_id(self._source, tables.user))
        async for rows in self._pages(*self._columns):
            found = await self._linked(self._links, rows)
            self.outcome.add(await self._database.atomic(partial(self._settle, rows, found)))
            yield len(rows)

    async def _columns_of(self, table: Table) -> set[str]:
        present = await columns_of(self._source, table.name)
        if not present:
            raise ConfigurationError(
                f"that is no Django database with the users of this Auth: it has no table {table.name!r}. Mend the "
                "URL, run Django's migrate, or name the tables in UserModel(...)"
            )
        return present

    async def _pages(self, *columns: Column[Any]) -> AsyncIterator[list[Row]]:
        """The rows in the order of their ids, which are the first of the columns."""
        ordered, last = select(*columns).order_by(columns[0]).limit(self._batch), list[Any]()
        while rows := await self._read(ordered.where(*(columns[0] > id_ for id_ in last)), *last):
            last = [rows[-1]["id"]]
            yield rows

    async def _linked(self, tables: Sequence[Table], owners: Sequence[Row]) -> _Links:
        """The links of the owners, who follow upon each other in the order of their ids."""
        first, last = owners[0]["id"], owners[-1]["id"]
        found = {}
        for table in tables:
            owner, other = _ends(table)
            rows = await self._read(select(owner, other).where(owner >= first, owner <= last), first)
            found[table] = [(row[owner.key], row[other.key]) for row in rows]
        return found

    async def _read(self, statement: Select[Any], *last: Any) -> list[Row]:
        try:
            return await self._source.rows(statement)
        except (TypeError, ValueError):  # SQLite keeps anything in any column
            (table,) = statement.get_final_froms()
            after = "".join(f" after the id {id_}" for id_ in last)
            raise ConfigurationError(
                f"a row of {table}{after} holds there what is not of its column's type: mend it in Django"
            ) from None

    async def _match(self, table: Table, referred_to: str, natural: Sequence[str]) -> None:
        """Finds the rows by their natural keys, and adds those that are missing."""
        outcome = Imported()
        before = await self._present(table, natural)
        keys, names = dict[Any, tuple[Any, ...]](), dict[Any, str]()
        async for rows in self._pages(*table.columns):
            outcome.count(table).read += len(rows)
            missing = []
            for row in rows:
                id_ = row.pop("id")
                names[id_] = self._name(row, natural)
                if (reason := self._unfit(table, row)) is not None:
                    outcome.skip(table, names[id_], reason)
                    continue
                keys[id_] = tuple(row[column] for column in natural)
                if keys[id_] not in before:
                    missing.append(row)
            if missing and not self._dry_run:
                await self._database.atomic(partial(self._insert, table, missing))
        after = before if self._dry_run else await self._present(table, natural)
        for id_, key in keys.items():
            if key in before:
                outcome.count(table).present += 1
            elif self._dry_run or key in after:
                outcome.count(table).added += 1
            else:
                outcome.skip(table, names[id_], "another one is here that the database takes for equal")
        # in a dry run, a negative id stands for one that is not there yet
        self._ids[referred_to] = {
            id_: after.get(key, -id_) for id_, key in keys.items() if self._dry_run or key in after
        }
        self._names = self._names or names
        self.outcome.add(outcome)

    def _name(self, row: Row, natural: Sequence[str]) -> str:
        """The natural key in words; the names that are known by then are of content types."""
        return ".".join(str(self._names.get(row[column], row[column])) for column in natural)

    def _unfit(self, table: Table, row: Row) -> str | None:
        """Why a row of permissions, groups or content types cannot be here; refers to our content types after that."""
        if "content_type_id" in row:
            row["content_type_id"] = self._ids["content_type_id"].get(row["content_type_id"])
            if row["content_type_id"] is None:
                return "its content type is not here"
        return _unfit(table.columns, row)

    async def _present(self, table: Table, natural: Sequence[str]) -> dict[tuple[Any, ...], Any]:
        rows = await self._database.fetch(select(table))
        return {tuple(row[column] for column in natural): row["id"] for row in rows}

    async def _insert(self, table: Table, rows: Sequence[Row], unit: Unit) -> None:
        await self._inserts.add(unit, table, rows)

    async def _settle(self, users: Sequence[Row], links: _Links, unit: Unit) -> Imported:
        outcome, table = Imported(), self._tables.user
        outcome.count(table).read = len(users)
        keys = {user["id"]: f"{user['id']} {user[self._newcomers.name.key]}" for user in users}
        fit = []
        for user in users:
            if (reason := _unfit(self._columns, user)) is None:
                fit.append({**user, **_defaults(self._filled_in)})
            else:
                outcome.skip(table, keys[user["id"]], reason)
        settled = await self._newcomers.settle(unit, fit)
        for id_, reason in settled.refused.items():
            outcome.skip(table, keys[id_], reason)
        outcome.count(table).added = len(settled.added)
        outcome.count(table).present = len(settled.present)
        outcome.twins = settled.twins
        return await self._link(outcome, links, {id_: id_ for id_ in (*settled.added, *settled.present)}, unit)

    async def _link(self, outcome: Imported, links: _Links, owners: dict[Any, Any], unit: Unit) -> Imported:
        """Adds those of the links whose two ends are here."""
        for table, pairs in links.items():
            count, (owner, other) = outcome.count(table), _ends(table)
            others = self._ids[other.key]
            known = [(owners[one], others[two]) for one, two in pairs if one in owners and two in others]
            rows = await found_by(unit, [owner, other], owner, [one for one, _ in known])
            here = {(row[owner.key], row[other.key]) for row in rows}
            missing = [{owner.key: one, other.key: two} for one, two in known if (one, two) not in here]
            refused = []
            if missing and not self._dry_run:
                refused = await self._inserts.add(unit, table, missing)
                await self._versions.all_changed(unit)
            count.read += len(pairs)
            count.present += len(known) - len(missing)
            count.added += len(missing) - len(refused)
            count.skipped += len(pairs) - len(known) + len(refused)
        return outcome


def _ends(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column.key != "id"]


def _unfit(columns: Iterable[Column[Any]], row: Row) -> str | None:
    """Why a column cannot hold what the row has for it."""
    try:
        for column in columns:
            if column.key in row:
                check_value(column, row[column.key])
    except InvalidField as error:
        return str(error)
    return None


def _defaults(columns: Sequence[Column[Any]]) -> Row:
    """What a column of ours has that is not there; one that the server fills in is left to it."""
    return {
        column.key: None if column.default is None else computed(column.default)
        for column in columns
        if column.server_default is None or column.default is not None
    }
