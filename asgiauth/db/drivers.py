"""What differs between aiosqlite, asyncpg and asyncmy: how a statement is run, and what an error means."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Dialect

from ..exceptions import ConfigurationError, Conflict, ConflictKind, NotReady, Unavailable
from .statement import Arguments

__all__ = ["Done", "Driver", "Fetched", "LostConnection", "SerializationFailure", "driver_for"]

Fetched = Sequence[Sequence[Any]]


class Done(NamedTuple):
    """What a statement without rows did: how many rows it matched, and the key it generated."""

    matched: int
    key: Any


class LostConnection(Unavailable):
    """The connection broke, or could not be made; whatever ran on it was rolled back."""


class SerializationFailure(Unavailable):
    """The server sacrificed this transaction to another one. Running the whole unit again is right."""


class Driver(Protocol):
    dialect: Dialect
    begin: str
    begin_reading: str
    """Of a transaction that only reads; the server sees to it, where it can."""
    survives_cancellation: bool
    """A statement cut off in the middle leaves the connection usable."""

    async def fetch(self, raw: Any, sql: str, arguments: Arguments) -> Fetched: ...
    async def execute(self, raw: Any, sql: str, arguments: Arguments | None) -> Done:
        """`arguments` is None for plain SQL text, in which a percent sign is only a percent sign."""

    def discard(self, raw: Any) -> None:
        """Close a connection that is of no use any more, without waiting."""

    def translate(self, error: Exception) -> BaseException:
        """The error in our own words, without values; the error itself where it is a programming mistake."""


def driver_for(dialect_name: str, *, read_only: bool = False) -> Driver:
    """The driver of `sqlite`, `postgresql` or `mysql`. `read_only`: its transactions only read."""
    drivers: dict[str, type[Aiosqlite | Asyncpg | Asyncmy]] = {
        "sqlite": Aiosqlite,
        "postgresql": Asyncpg,
        "mysql": Asyncmy,
    }
    driver = drivers[dialect_name]()
    if read_only:
        driver.begin = driver.begin_reading
    return driver


_NO_TABLE = (
    "a table is missing in the database: run `asgiauth db upgrade`, or `await auth.create_tables()` while connected"
)
_NO_COLUMN = "`asgiauth db check` tells where the tables are not as this Auth says"
_NO_DATABASE = "the server has no database of that name: create it, or mend the database URL"
_REFUSED = "the database refuses the user name or the password: look at the database URL, and at the rights"
"""No name is repeated: an @ or a / in the password of a URL makes a part of it into another name."""
_UNREACHABLE = "the database cannot be reached"
_MAY_NOT_WRITE = (
    "the database may only be read here: give Auth(read_only=True) where that is meant, or else let it be written"
)
_NOT_GRANTED = (
    "the database does not let this role do that: grant it SELECT, INSERT, UPDATE and DELETE on asgiauth's tables (and "
    "CREATE for whoever makes them), or SELECT alone and give Auth(read_only=True)"
)
_UNREADABLE_DIRECTORY = (
    "SQLite cannot answer: it reads a file in WAL mode only where it may write beside it. A file that nobody writes to "
    "can be opened with ?immutable=1"
)


def _not_ready(cure: str, said: str) -> NotReady:
    """A column that is missing, or compared with another type, is `said`: that names columns and types, no value."""
    return NotReady(f"{said.partition(chr(10))[0]}: {cure}" if cure is _NO_COLUMN else cure)


class Aiosqlite:
    begin = "BEGIN IMMEDIATE"
    """A deferred transaction that turns into a writer later fails at once when another one writes."""
    begin_reading = "BEGIN"
    survives_cancellation = True

    def __init__(self) -> None:
        from sqlalchemy.dialects.sqlite.aiosqlite import dialect

        self.dialect: Dialect = dialect()

    async def fetch(self, raw: Any, sql: str, arguments: Arguments) -> Fetched:
        rows: Fetched = await raw.execute_fetchall(sql, arguments)
        return rows

    async def execute(self, raw: Any, sql: str, arguments: Arguments | None) -> Done:
        cursor = await raw.execute(sql, arguments or ())
        try:
            return Done(cursor.rowcount, cursor.lastrowid)
        finally:
            await cursor.close()

    def discard(self, raw: Any) -> None:
        """Its thread closes it, after what it is doing."""

    def translate(self, error: Exception) -> BaseException:
        if isinstance(error, sqlite3.IntegrityError):
            kind = _SQLITE_KINDS.get(error.sqlite_errorname, "other")
            return Conflict(kind, str(error).partition(": ")[2])
        if isinstance(error, sqlite3.Error):
            if str(error).startswith("no such table"):
                return NotReady(_NO_TABLE)
            if str(error).startswith("no such column"):
                return _not_ready(_NO_COLUMN, str(error))
            if getattr(error, "sqlite_errorname", "") == "SQLITE_READONLY_DIRECTORY":
                return Unavailable(_UNREADABLE_DIRECTORY)
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _SQLITE_UNAVAILABLE:
                return Unavailable(f"SQLite cannot answer: {_SQLITE_UNAVAILABLE[code]}")
        if isinstance(error, OverflowError):
            return ValueError("an integer is too large for SQLite")
        if isinstance(error, ValueError) and str(error) in ("Connection closed", "no active connection"):
            return LostConnection(_UNREACHABLE)
        return error


_SQLITE_KINDS: Mapping[str, ConflictKind] = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign_key",
    "SQLITE_CONSTRAINT_NOTNULL": "not_null",
    "SQLITE_CONSTRAINT_CHECK": "check",
}
_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "it is locked",
    sqlite3.SQLITE_LOCKED: "it is locked",
    sqlite3.SQLITE_READONLY: _MAY_NOT_WRITE,
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no database",
}


class Asyncpg:
    begin = "BEGIN"
    begin_reading = "BEGIN READ ONLY"
    survives_cancellation = True

    def __init__(self) -> None:
        from sqlalchemy.dialects.postgresql.asyncpg import dialect

        self.dialect: Dialect = dialect()  # type: ignore[no-untyped-call]

    async def fetch(self, raw: Any, sql: str, arguments: Arguments) -> Fetched:
        rows: Fetched = await raw.fetch(sql, *arguments)
        return rows

    async def execute(self, raw: Any, sql: str, arguments: Arguments | None) -> Done:
        if " RETURNING " in sql:
            rows = await raw.fetch(sql, *(arguments or ()))
            return Done(len(rows), rows[0][0] if rows else None)
        status = await raw.execute(sql, *(arguments or ()))
        count = status.rpartition(" ")[2]
        return Done(int(count) if count.isdecimal() else 0, None)

    def discard(self, raw: Any) -> None:
        raw.terminate()

    def translate(self, error: Exception) -> BaseException:
        state = getattr(error, "sqlstate", None) or ""
        if state.startswith("23"):
            constraint = getattr(error, "constraint_name", None) or getattr(error, "column_name", None) or ""
            return Conflict(_SQLSTATE_KINDS.get(state, "other"), constraint)
        if state in ("40001", "40P01"):
            return SerializationFailure("the transaction met another one; try again")
        if state in _SQLSTATE_NOT_READY:
            return _not_ready(_SQLSTATE_NOT_READY[state], str(error))
        if state in _SQLSTATE_NO_WRITES:
            return Unavailable(_SQLSTATE_NO_WRITES[state])
        if state == "57014":  # the server, or somebody on it, has stopped the statement
            return Unavailable("PostgreSQL has stopped the statement")
        if state[:2] in ("08", "57") or isinstance(error, (OSError, TimeoutError)):
            return LostConnection(f"{_UNREACHABLE}: {error}" if isinstance(error, OSError) else _UNREACHABLE)
        if state[:2] in ("25", "53", "55", "58"):
            return Unavailable("PostgreSQL cannot answer: " + type(error).__name__)
        name = type(error).__name__
        if name == "DataError" or state.startswith("22"):
            return ValueError(f"PostgreSQL refuses a value for its column's type: {name}")
        if name in _POSTGRESQL_LOST or (name == "InterfaceError" and _CLOSED.search(str(error))):
            return LostConnection(_UNREACHABLE)
        return error


_SQLSTATE_KINDS: Mapping[str, ConflictKind] = {
    "23505": "unique",
    "23503": "foreign_key",
    "23502": "not_null",
    "23514": "check",
}
_SQLSTATE_NOT_READY: Mapping[str, str] = {
    "42P01": _NO_TABLE,
    "42703": _NO_COLUMN,
    "42883": _NO_COLUMN,
    "3D000": _NO_DATABASE,
    "28000": _REFUSED,
    "28P01": _REFUSED,
}
_SQLSTATE_NO_WRITES: Mapping[str, str] = {"25006": _MAY_NOT_WRITE, "42501": _NOT_GRANTED}
_POSTGRESQL_LOST = ("InternalClientError", "InvalidCachedStatementError")
"""The connection is of no use any more: the second after a migration, whose old plans it keeps."""
_CLOSED = re.compile(r"clos(ed|ing)|released|not running")


class Asyncmy:
    begin = "BEGIN"
    begin_reading = "START TRANSACTION READ ONLY"
    survives_cancellation = False

    def __init__(self) -> None:
        from asyncmy.cursors import Cursor
        from sqlalchemy.dialects.mysql.asyncmy import dialect

        class QuietCursor(Cursor):
            async def _show_warnings(self, *connection: object) -> None:
                """asyncmy would ask the server for its warnings, and log them with the values they quote."""

        self._cursor = QuietCursor
        self.dialect: Dialect = dialect()

    async def fetch(self, raw: Any, sql: str, arguments: Arguments) -> Fetched:
        _check_quoting(raw)
        async with raw.cursor(self._cursor) as cursor:
            await cursor.execute(sql, tuple(arguments))
            rows: Fetched = await cursor.fetchall()
            return rows

    async def execute(self, raw: Any, sql: str, arguments: Arguments | None) -> Done:
        _check_quoting(raw)
        async with raw.cursor(self._cursor) as cursor:
            await cursor.execute(sql, None if arguments is None else tuple(arguments))
            # "Rows matched: 1  Changed: 0  Warnings: 0", in the server's language, behind a byte for its length
            message = (cursor._result.message or b"")[1:] if sql.startswith("UPDATE") else b""
            matched = _MYSQL_MATCHED.search(message)
            return Done(int(matched.group(1)) if matched else cursor.rowcount, cursor.lastrowid)

    def discard(self, raw: Any) -> None:
        raw.close()

    def translate(self, error: Exception) -> BaseException:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else None
        if code == 0 and "ancelled" in str(error) and (task := asyncio.current_task()) and task.cancelling():
            return asyncio.CancelledError()  # asyncmy hides it in an InterfaceError; a later user gets the same one
        if code in _MYSQL_KINDS:
            return Conflict(_MYSQL_KINDS[code], _mysql_constraint(code, str(error.args[1])))
        if code in (1213, 1205, 1020):
            return SerializationFailure("the transaction met another one; try again")
        if code in _MYSQL_NOT_READY:
            return _not_ready(_MYSQL_NOT_READY[code], str(error.args[1]))
        if code in _MYSQL_NO_WRITES:
            return Unavailable(_MYSQL_NO_WRITES[code])
        if code in _MYSQL_UNAVAILABLE:
            return Unavailable(f"MariaDB/MySQL cannot answer: error {code}")
        if code in _MYSQL_VALUES:
            return ValueError(f"MariaDB/MySQL refuses a value for its column's type: error {code}")
        if code in _MYSQL_LOST or isinstance(error, (OSError, EOFError, TimeoutError)):
            return LostConnection(f"{_UNREACHABLE}: {error}" if isinstance(error, OSError) else _UNREACHABLE)
        if code is not None and code not in _MYSQL_HARMLESS:
            return RuntimeError(f"MariaDB/MySQL refuses the statement: error {code} (its message may quote values)")
        return error


def _check_quoting(raw: Any) -> None:
    if raw.server_status & _NO_BACKSLASH_ESCAPES:
        raise ConfigurationError("MariaDB/MySQL runs with NO_BACKSLASH_ESCAPES: take it out of sql_mode")


_NO_BACKSLASH_ESCAPES = 512
"""SERVER_STATUS_NO_BACKSLASH_ESCAPES. asyncmy puts values into the statement itself, escaped with backslashes: in this
mode a value could leave its quotes."""
_DUPLICATE = 1062
_MYSQL_KINDS: Mapping[int | None, ConflictKind] = {
    _DUPLICATE: "unique",
    1451: "foreign_key",
    1452: "foreign_key",
    1048: "not_null",
    1364: "not_null",
    3819: "check",
    4025: "check",
}
_MYSQL_CONSTRAINT = re.compile("CONSTRAINT `([^`]*)`")
_MYSQL_FIRST = re.compile("['`]([^'`]*)['`]")
_MYSQL_LAST = re.compile("['`]([^'`]*)['`][^'`]*$")


def _mysql_constraint(code: int | None, message: str) -> str:
    """From a message in the server's language: a duplicate's quotes the value first, and the name of the key last."""
    if code == _DUPLICATE:
        found = _MYSQL_LAST.search(message)
    else:
        found = _MYSQL_CONSTRAINT.search(message) or _MYSQL_FIRST.search(message)
    return found.group(1) if found else ""


_MYSQL_MATCHED = re.compile(rb"(\d+)\D+\d+\D+\d+")
"""An UPDATE's row count is of the rows that *changed* unless the connection was opened with FOUND_ROWS."""
_MYSQL_VALUES = {1264, 1265, 1292, 1366, 1406}
_MYSQL_LOST = {0, 1040, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2003, 2006, 2013, 2014, 2055}
_MYSQL_NOT_READY: Mapping[int | None, str] = {
    1146: _NO_TABLE,
    1054: _NO_COLUMN,
    4078: _NO_COLUMN,
    1049: _NO_DATABASE,
    **dict.fromkeys((1044, 1045, 1130, 1698, 1862, 4151), _REFUSED),
}
"""Refused: user, password, host or database; a password that has expired; an account that is locked (MariaDB)."""
_MYSQL_NO_WRITES: Mapping[int | None, str] = {
    **dict.fromkeys((1290, 1792, 1836), _MAY_NOT_WRITE),
    **dict.fromkeys((1142, 1143), _NOT_GRANTED),
}
"""A transaction or a server that only reads; what is not granted on a table or a column."""
_MYSQL_HARMLESS = {1046, 1050}
"""Errors whose message names tables and columns, and no value."""
_MYSQL_UNAVAILABLE = {1021, 1030, 1114, 1203, 1226, 3024, 1317, 1969}
