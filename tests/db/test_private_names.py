"""The private names of other packages that `asgiauth.db` builds on: a release that drops one fails here by name."""

from __future__ import annotations

import ast
import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncmy
import databases
import pytest
from sqlalchemy import Column, Integer, create_engine

import asgiauth.db

from ..databases import SERVERS, server_url

DATABASES = {"_backend", "_connection", "_global_connection", "_query_lock", "_transaction_stack"}
ASYNCMY = {"_result"}
SQLALCHEMY = {"_copy"}
AUTH = {"_database", "_feature_tables", "_look_for_django", "_shared_with_django"}
"""What migrations ask of the object that they are given."""
WATCHED = {"_commit_impl", "_rollback_impl", "_rollback_to_savepoint_impl", "_savepoint_impl"}
"""Of one SQLAlchemy connection: replaced, and so named in strings."""


def test_the_list_is_complete() -> None:
    """Every private attribute that the package reads of anything but `self` is listed here, and is in use."""
    found, watched = set(), set()
    for path in Path(asgiauth.db.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                found |= {node.attr} if ast.unparse(node.value) not in ("self", "cls") else set()
            if isinstance(node, ast.Constant) and re.fullmatch(r"_[a-z_]+_impl", str(node.value)):
                watched.add(node.value)
    assert found == DATABASES | ASYNCMY | SQLALCHEMY | AUTH
    assert watched == WATCHED


async def test_databases_has_them(sqlite_url: str) -> None:
    """The backend that makes connections, this task's connection, the global one, its transactions and its lock."""
    async with databases.Database(sqlite_url) as database:
        assert (database._global_connection, database._connection) == (None, None)
        backend = database._backend.connection()
        await backend.acquire()
        assert await backend.raw_connection.execute_fetchall("SELECT 1") == [(1,)]
        await backend.release()
        async with database.transaction():
            connection = database._connection
            assert connection is not None
            assert len(connection._transaction_stack) == 1
            assert callable(connection._transaction_stack[-1].commit)
            assert isinstance(connection._query_lock, asyncio.Lock)
        assert connection._transaction_stack == []
    async with databases.Database(sqlite_url, force_rollback=True) as database:
        assert database._global_connection is not None
        assert len(database._global_connection._transaction_stack) == 1


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "mysql"])
async def test_asyncmy_has_the_servers_message(server: str) -> None:
    """It holds the number of rows that an UPDATE matched, also those it did not change."""
    parts = urlsplit(server_url(server, "test"))
    options = {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": parts.username,
        "password": parts.password or "",
    }
    async with asyncmy.connect(db="test", **options) as connection:
        cursor: Any = connection.cursor()
        await cursor.execute("CREATE TEMPORARY TABLE matched (n INT)")
        await cursor.execute("INSERT INTO matched VALUES (1), (1)")
        await cursor.execute("UPDATE matched SET n = 1")
        assert cursor.rowcount == 0
        assert b"matched: 2" in cursor._result.message


def test_sqlalchemy_copies_columns() -> None:
    """`Column._copy` is the one way to use a column in a second table."""
    column = Column("n", Integer)
    assert column._copy() is not column
    assert column._copy().name == "n"


def test_sqlalchemy_goes_by_what_stands_on_the_connection_itself() -> None:
    """Each end of a transaction and of a savepoint, also where the instance has another one than the class."""
    engine, called = create_engine("sqlite://"), list[str]()
    with engine.connect() as connection:
        for name in WATCHED:
            setattr(connection, name, partial(_note, called, name, getattr(connection, name)))
        with connection.begin():
            connection.begin_nested().rollback()
        connection.begin().rollback()
    assert called == ["_savepoint_impl", "_rollback_to_savepoint_impl", "_commit_impl", "_rollback_impl"]
    engine.dispose()


def _note(called: list[str], name: str, original: Any, *arguments: Any) -> Any:
    called.append(name)
    return original(*arguments)
