"""Real servers, one fresh database a test: SQLite always, PostgreSQL and MariaDB where their URL is set."""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings
from starlette.types import ASGIApp

from asgiauth import Auth, PasswordPolicy
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher
from asgiauth.testing import client as client

from .databases import SERVERS, create_database, drop_database, untested_servers
from .parity.django_interpreter import find as find_django

SECRET_KEYS = ["4WQmwRPCzYl0S9EXAyMTtY4wNqzM5dM7nYk1HtSg2cU"]
FAST = PasswordPolicy(
    hashers=[Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1), PBKDF2Hasher(iterations=1)],
    min_length=8,
    validators=(),
    failure_deadline=0,
    hash_patience=60,  # many logins at once, on a machine that has other things to do
)
BASE_URL = "https://site.example"

settings.register_profile(
    "tests",
    derandomize=True,  # the same examples each time: what fails has a change to blame
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

MakeAuth = Callable[..., Auth]


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(name: str, obj: object) -> None:
    """Every async test runs under anyio's plugin, also where that is too old for `anyio_mode`."""
    if name.startswith("test_") and inspect.iscoroutinefunction(obj):
        pytest.mark.anyio(obj)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_blocking_of_the_event_loop() -> Iterator[None]:
    with blockbuster_ctx("asgiauth") as blockbuster:
        for function in blockbuster.functions.values():
            # a new connection looks for ~/.pgpass and certificates
            function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
            # what measures coverage waits for a lock that another thread may hold
            function.can_block_in("coverage/collector.py", "lock_data")
        yield


@pytest.fixture(autouse=True)
def _busy_is_no_outage() -> Iterator[None]:
    """Fifty at once, on a machine that has other things to do, may have to wait for longer than a site would let them
    (D-23). Tests of that deadline itself put another fixture of this name in its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asgiauth.db.unit.STATEMENT_TIMEOUT", 60.0)
        patch.setattr("asgiauth.db.sources._PATIENCE", 60_000)
        yield


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """`sqlite`, `postgresql` or `mysql`."""
    name: str = request.param
    return name


@pytest.fixture
def url(server: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database on that server."""
    name = f"asgiauth_{secrets.token_hex(6)}"
    url = asyncio.run(create_database(server, name, tmp_path))
    yield url
    asyncio.run(drop_database(server, name))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """For what cannot depend on the server."""
    return f"sqlite:///{tmp_path / 'test.db'}"


def make_auth(database: Any, **options: Any) -> Auth:
    settings: dict[str, Any] = {"secret_keys": SECRET_KEYS, "base_url": BASE_URL, "passwords": FAST, **options}
    settings["passwords"] = replace(settings["passwords"], for_tests=True, hash_patience=60)
    return Auth(database, **settings)


@pytest.fixture
async def auth(url: str) -> AsyncIterator[Auth]:
    """Connected, with its tables, on each server."""
    auth = make_auth(url)
    async with auth:
        await auth.create_tables()
        yield auth


@pytest.fixture
async def sqlite_auth(sqlite_url: str) -> AsyncIterator[Auth]:
    """The same, on SQLite alone."""
    auth = make_auth(sqlite_url)
    async with auth:
        await auth.create_tables()
        yield auth


def program(app: ASGIApp, **options: Any) -> httpx2.AsyncClient:
    """What is no browser, or an old one: it keeps cookies, and says nothing of where a request comes from."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL, **options)


def pytest_sessionstart(session: pytest.Session) -> None:
    if os.environ.get("CI") and untested_servers():
        pytest.exit(f"CI must test every server; not set: {', '.join(untested_servers())}", returncode=1)
    if os.environ.get("CI") and find_django() is None:
        pytest.exit("CI must test against a live Django: tests/parity/django_interpreter.py says why not", returncode=1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for variable in untested_servers():
        terminalreporter.write_line(f"NOT TESTED on this server, because {variable} is not set", yellow=True)
    if find_django() is None:
        terminalreporter.write_line(
            "NOT TESTED against a live Django 6.1 (no Python >= 3.12 found): files written by it stand in", yellow=True
        )
