"""`asgiauth import-django`: how many users a second, in how much memory, and what `kill -9` leaves.

A database in Django's shape with 100,000 users in 100 groups is copied into another one on the same server: once at a
stretch, and once killed when a fifth, two fifths and three fifths of the users are there, and run again.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import func, select

from asgiauth import Auth
from tests.databases import create_database, drop_database

from .apps import PASSWORD, make_auth

USERS, GROUPS = 100_000, 100
KILLED_AT = [USERS * fifths // 5 for fifths in (1, 2, 3)]
FILL = f"""
INSERT INTO auth_user (id, password, last_login, is_superuser, username, first_name, last_name, email, is_staff,
        is_active, date_joined)
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {USERS})
    SELECT n, '<hash>', NULL, false, 'user' || n, 'Ann', 'Example', 'user' || n || '@site.example', false, true,
        '2026-01-01 00:00:00' FROM n;
INSERT INTO auth_group (id, name)
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {GROUPS}) SELECT n, 'group' || n FROM n;
INSERT INTO auth_user_groups (user_id, group_id) SELECT id, 1 + id % {GROUPS} FROM auth_user;
"""
SITE = "from benchmarks.apps import make_auth\nauth = make_auth({url!r})\n"
COMMAND = """
import sys
from asgiauth.cli import main
try:
    main()
finally:  # what the system tells of a child begins with its parent's memory
    sys.stderr.write(open("/proc/self/status").read())
"""


@dataclass(frozen=True)
class Run:
    seconds: float
    mebibytes: float
    told: Mapping[str, Any]


def report(servers: list[str]) -> str:
    lines = [
        f"| from and to | {USERS:,} users | users/s | peak memory | killed three times, then to the end |",
        "|---|---|---|---|---|",
        *(_measured(server) for server in servers if server in ("sqlite", "postgresql")),
    ]
    return "\n".join(lines)


def _measured(server: str) -> str:
    with tempfile.TemporaryDirectory(prefix="asgiauth-bench-") as directory:
        path = Path(directory)
        with _database(server, path) as source, _database(server, path) as target, _database(server, path) as other:
            asyncio.run(_fill(source))
            whole = _imported(source, target, path)
            for number in KILLED_AT:
                _killed(source, other, path, number)
            rest = _imported(source, other, path)
            counts = [asyncio.run(_checked(url)) for url in (source, target, other)]
    if len({str(count) for count in counts}) != 1:
        raise RuntimeError(f"the counts differ: {counts}")
    left = rest.told["tables"]["auth_user"]
    return (
        f"| {server} | {whole.seconds:.1f} s | {USERS / whole.seconds:,.0f} | {whole.mebibytes:.0f} MiB | "
        f"{left['present']:,} were there, {left['added']:,} added; counts equal, passwords verify |"
    )


@contextmanager
def _database(server: str, directory: Path) -> Iterator[str]:
    name = f"asgiauth_bench_{secrets.token_hex(6)}"
    url = asyncio.run(create_database(server, name, directory))
    try:
        asyncio.run(_create_tables(url))
        yield url
    finally:
        asyncio.run(drop_database(server, name))


async def _create_tables(url: str) -> None:
    async with make_auth(url) as auth:
        await auth.create_tables()


async def _fill(url: str) -> None:
    async with make_auth(url) as auth:
        filled = FILL.replace("<hash>", await auth.passwords.hash(PASSWORD))
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            file.executescript(filled)
        file.close()
        return
    session = await asyncpg.connect(url)
    await session.execute(filled)
    await session.close()


def _start(source: str, target: str, directory: Path) -> subprocess.Popen[str]:
    (directory / "imported.py").write_text(SITE.format(url=target))
    paths = [str(directory), str(Path(__file__).parents[1])]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--app", "imported:auth", "import-django", "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ASGIAUTH_DJANGO_URL": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _imported(source: str, target: str, directory: Path) -> Run:
    began = time.perf_counter()
    told, status = _start(source, target, directory).communicate()
    seconds = time.perf_counter() - began
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    if peak is None or not told:
        raise RuntimeError(f"the import has failed: {status}")
    return Run(seconds, int(peak[1]) / 1024, json.loads(told))


def _killed(source: str, target: str, directory: Path, number: int) -> None:
    with _start(source, target, directory) as process:
        while asyncio.run(_users(target)) < number:
            time.sleep(0.05)
        process.kill()


async def _users(url: str) -> int:
    async with make_auth(url) as auth:
        return await _count(auth, "user")


async def _count(auth: Auth, table: str) -> int:
    found = select(func.count().label("rows")).select_from(getattr(auth.tables, table))
    return int((await auth._database.fetch(found))[0]["rows"])


async def _checked(url: str) -> dict[str, Any]:
    """How many rows there are; and the first and the last user log in."""
    async with make_auth(url) as auth:
        for number in (1, USERS):
            user = await auth.users.find(f"user{number}")
            if user is None or user.id != number or not await auth.users.check_password(user, PASSWORD):
                raise RuntimeError(f"user{number} cannot log in")
        return {table: await _count(auth, table) for table in ("user", "group", "user_groups", "permission")}
