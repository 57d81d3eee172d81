"""Many start on one fresh SQLite file, as the workers of a server do: each turns on write-ahead logging, for which SQLite
does not wait by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import databases
import pytest

from asgiauth.db import Database
from asgiauth.exceptions import Unavailable

from ..contracts.conftest import connected

STATEMENTS: list[str] = []


class Traced(sqlite3.Connection):
    """Tells which statements it gets."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.set_trace_callback(STATEMENTS.append)


@contextmanager
def written_by_another(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def mode_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


async def test_a_file_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    STATEMENTS.clear()
    database = Database(databases.Database(f"sqlite:///{path}", factory=Traced))
    with written_by_another(path):
        connecting = asyncio.create_task(database.connect())
        async with asyncio.timeout(30):  # before it is Unavailable
            while STATEMENTS.count("PRAGMA journal_mode=WAL") < 2:
                await asyncio.sleep(0.001)
        assert not connecting.done()
    await connecting
    await database.disconnect()
    assert await asyncio.to_thread(mode_of, path) == "wal"


async def test_a_file_that_cannot_have_a_journal_is_an_outage_at_once(tmp_path: Path) -> None:
    """Nothing that waiting would cure."""
    path = tmp_path / "app.db"
    (tmp_path / "app.db-journal").mkdir()
    STATEMENTS.clear()
    with pytest.raises(Unavailable):
        async with connected(databases.Database(f"sqlite:///{path}", factory=Traced)):
            raise AssertionError
    assert STATEMENTS.count("PRAGMA journal_mode=WAL") == 1


async def test_twenty_connections_at_once_start_on_one_fresh_file(tmp_path: Path) -> None:
    async def start(path: Path) -> None:
        async with connected(f"sqlite:///{path}"):
            pass

    for number in range(5):
        path = tmp_path / f"{number}.db"
        await asyncio.gather(*(start(path) for _ in range(20)))
        assert await asyncio.to_thread(mode_of, path) == "wal"


PROCESS = """
import asyncio, sys
from asgiauth.db import Database, unit

unit.STATEMENT_TIMEOUT = 60  # as tests/conftest.py has it

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(20):
        database = Database(f"sqlite:///{sys.argv[1]}/{number}.db")
        await database.connect()
        await database.disconnect()

asyncio.run(main())
"""


def test_three_processes_at_once_start_on_fresh_files(tmp_path: Path) -> None:
    """Twenty of them, one after the other: none of the processes is refused."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=200)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert {mode_of(tmp_path / f"{number}.db") for number in range(20)} == {"wal"}
