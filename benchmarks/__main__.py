"""`python -m benchmarks`, which is `make bench`: ratios, measured side by side in one run, as Markdown.

Servers run on 127.0.0.1 and on databases made for the run; both are gone at its end. SQLite always; PostgreSQL and
MariaDB where ASGIAUTH_TEST_POSTGRES_URL and ASGIAUTH_TEST_MYSQL_URL are set. Only ratios of one run mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.databases import SERVERS, create_database, drop_database, untested_servers

from . import django_import, hashing, load, permissions, statements, storm, throughput, timing
from .apps import CONNECTIONS, PASSWORD, make_auth
from .server import Server

USERS = [f"user{number}" for number in range(300)]


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and databases go, too
    with ExitStack() as stack:
        urls = {server: stack.enter_context(_database(server)) for server in SERVERS}
        print(_conditions())
        if "requests" in options.only:
            print(f"\n## Requests, {CONNECTIONS} connections\n")
            cookies = {server: asyncio.run(_sessions(url)) for server, url in urls.items()}
            print(throughput.report(urls, cookies, seconds=options.seconds, rounds=options.rounds), flush=True)
        if "storm" in options.only:
            print(f"\n## Login storm, {CONNECTIONS} clients, a probe every {storm.EVERY * 1000:.0f} ms\n")
            print(storm.report(urls, USERS, seconds=4 * options.seconds, rounds=2), flush=True)
        if "hashing" in options.only:
            print(f"\n## {hashing.AT_ONCE} logins at once, SQLite\n")
            print(hashing.report(urls["sqlite"], USERS, rounds=3), flush=True)
        if "timing" in options.only:
            print(f"\n## Failed logins, {options.pairs} pairs each (T01), SQLite\n")
            print(timing.report(urls["sqlite"], pairs=options.pairs), flush=True)
        if "statements" in options.only:
            print("\n## Statements and round trips\n")
            print(asyncio.run(statements.report(urls)), flush=True)
        if "permissions" in options.only:
            print("\n## Which objects may this user change? PostgreSQL\n")
            print(permissions.report() if "postgresql" in urls else "NOT MEASURED: it needs PostgreSQL.", flush=True)
        if "import" in options.only:
            print(f"\n## import-django, {django_import.USERS:,} users\n")
            print(django_import.report(list(urls)), flush=True)


def _options() -> argparse.Namespace:
    parts = ["requests", "storm", "hashing", "timing", "statements", "permissions", "import"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="length of a window; a storm lasts four (default: 1)"
    )
    parser.add_argument("--rounds", type=int, default=7, help="windows of each contestant (default: 7)")
    parser.add_argument(
        "--pairs",
        type=int,
        default=30,
        help="failed logins that are compared (default: 30, which shows gross faults; 2000 for T01)",
    )
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    return parser.parse_args()


@contextmanager
def _database(server: str) -> Iterator[str]:
    """The URL of a fresh database with users."""
    name = f"asgiauth_bench_{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="asgiauth-bench-") as directory:
        url = asyncio.run(create_database(server, name, Path(directory)))
        try:
            asyncio.run(_fill(url))
            yield url
        finally:
            asyncio.run(drop_database(server, name))


async def _fill(url: str) -> None:
    async with make_auth(url) as auth:
        await auth.create_tables()
        password = await auth.passwords.hash(PASSWORD)
        for name in USERS:
            await auth.users.create(name, email=f"{name}@site.example", password=password)


async def _sessions(url: str) -> Sequence[str]:
    """A cookie of a live session for each user."""
    cookies = []
    with Server("asgiauth", url) as server:
        for name in USERS:
            answer = await load.ask(server.port, load.post(f"/enter/{name}"))
            found = re.search(rb"(?i)set-cookie: (asgiauth=[^;]+)", answer)
            if found is None:
                raise RuntimeError(f"no session: {answer!r}")
            cookies.append(found.group(1).decode())
    return cookies


def _conditions() -> str:
    packages = ["starlette", "uvicorn", "httptools", "h11", "uvloop", "aiosqlite", "asyncpg", "asyncmy", "databases"]
    found = ", ".join(f"{name} {_version(name)}" for name in packages)
    lines = [
        "# asgiauth, measured",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} processors, {found}.",
        "Medians over windows; in brackets the lowest and the highest. Ratios are taken within one round.",
        *(f"NOT MEASURED: {variable} is not set." for variable in untested_servers()),
    ]
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


if __name__ == "__main__":
    main()
