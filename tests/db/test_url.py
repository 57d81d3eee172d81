"""Database URLs: every part is honoured or refused, before anything connects."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import databases
import pytest
from databases.backends.sqlite import SQLiteBackend
from sqlalchemy import dialects, func, literal_column, select
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth.db import Database
from asgiauth.db.url import database_from_url
from asgiauth.exceptions import ConfigurationError, Unavailable

from ..contracts.conftest import connected
from ..databases import SERVERS, server_url

ROOT = str(Path(__file__).parents[2])

REFUSED = {
    # another driver would be replaced by databases' own without a word
    "postgresql+psycopg://h/d": "postgresql:// (asyncpg)",
    "postgresql+psycopg2://h/d": "postgresql:// (asyncpg)",
    "postgresql+aiopg://h/d": "postgresql:// (asyncpg)",
    "mysql+aiomysql://h/d": "mysql:// (asyncmy)",
    "mysql+pymysql://h/d": "mysql:// (asyncmy)",
    "sqlite+pysqlite:///app.db": "sqlite://",
    "oracle://h/d": "sqlite://",
    "app.db": "sqlite://",
    "": "sqlite://",
    "postgresql:/h/d": "sqlite://",
    # keys that would be dropped without a word
    "postgresql://h/d?ssl=true": "min_size",
    "postgresql://h/d?sslmod=require": "sslmode",
    "postgresql://h/d?host=/tmp": "host",
    "mysql://h/d?application_name=x": "application_name",
    "sqlite:///app.db?min_size=1": "timeout",
    "sqlite:///app.db?mode=memory&cache=shared&uri=true": "cache",
    "sqlite:///app.db?sslmode=require": "sslmode",
    "postgresql://h/d?max_size=1&max_size=2": "twice",
    "postgresql://h/d?sslmode=require&sslmode=disable": "twice",
    # values that could not work
    "postgresql://h/d?max_size=": "max_size",
    "postgresql://h/d?max_size=ten": "max_size",
    "postgresql://h/d?max_size=0": "max_size",
    "mysql://h/d?min_size=-1": "min_size",
    "postgresql://h/d?min_size=5&max_size=2": "min_size",
    "postgresql://h/d?min_size=11": "min_size",
    "mysql://h/d?min_size=5&max_size=2": "min_size",
    "mysql://h/d?pool_recycle=soon": "pool_recycle",
    "mysql://h/d?charset=klingon": "charset",
    "sqlite:///app.db?timeout=long": "timeout",
    "sqlite:///app.db?timeout=nan": "timeout",
    "sqlite:///app.db?timeout=inf": "timeout",
    "sqlite:///app.db?timeout=-1": "timeout",
    "postgresql://h:port/d": "port",
    "postgresql://h:99999/d": "port",
    "mysql://h:port/d": "port",
    # TLS modes that fall back to clear text, or that do not exist
    "postgresql://h/d?sslmode=prefer": "verify-full",
    "postgresql://h/d?sslmode=allow": "verify-full",
    "postgresql://h/d?sslmode=": "verify-full",
    "mysql://h/d?sslmode=REQUIRED": "verify-full",
    "postgresql://h/d?sslrootcert=/x": "sslmode",
    "postgresql://h/d?sslmode=verify-full&sslrootcert=/nowhere.pem": "nowhere.pem",
    # SQLite databases that each connection would have to itself
    "sqlite://": "in-memory",
    "sqlite:///": "in-memory",
    "sqlite:///:memory:": "in-memory",
    "sqlite://:memory:": "sqlite:///",
    "sqlite:///%3Amemory%3A": "in-memory",
    # a part of the URL that would not be looked at
    "sqlite://app.db": "sqlite:///",
    "sqlite://data/app.db": "sqlite:///",
    "sqlite:///app#1.db": "%23",
    "postgresql://h/d#x": "%23",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_could_not_be_honoured_is_refused(url: str) -> None:
    """With a ConfigurationError when the object is built, that says what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert REFUSED[url] in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgres:user:sesame@h/d", "postgresql+x://u:sesame@h/d", "mysql://u:sesame@h:x/d", "sesame"]
)
def test_a_refusal_does_not_repeat_the_password(url: str) -> None:
    """Errors are logged, and a URL holds a password."""
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("sqlite:///app.db", "sqlite"),
        ("sqlite:////var/lib/app.db", "sqlite"),
        ("sqlite+aiosqlite:///app.db?timeout=2.5", "sqlite"),
        ("postgres://u:p%40ss@h:5432/d", "postgresql"),
        ("postgresql+asyncpg://h/d", "postgresql"),
        ("mysql://u@h/d", "mysql"),
        ("mysql+asyncmy://u@h/d", "mysql"),
        ("mariadb://u@h/d", "mysql"),
        ("mariadb+asyncmy://u@h/d", "mysql"),
    ],
)
def test_known_schemes_say_what_server_it_is(url: str, dialect: str) -> None:
    """Without connecting."""
    assert Database(url).dialect == dialect


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("postgresql://h/d?min_size=2&max_size=3", {"min_size": 2, "max_size": 3}),
        ("postgresql://h/d?application_name=my+app", {"server_settings": {"application_name": "my app"}}),
        ("postgresql://h/d?sslmode=disable", {"ssl": False}),
        ("mysql://h/d?unix_socket=/run/x.sock&pool_recycle=60", {"unix_socket": "/run/x.sock", "pool_recycle": 60}),
        ("mysql://h/d?charset=utf8mb4&min_size=1", {"charset": "utf8mb4", "min_size": 1}),
        ("sqlite:///app.db?timeout=2.5", {"timeout": 2.5}),
    ],
)
def test_known_keys_reach_the_driver(url: str, options: dict[str, Any]) -> None:
    """As keyword arguments, and out of the URL; a connection attempt is given five seconds (D-23)."""
    database = database_from_url(url)
    assert database.options.items() >= options.items()
    assert database.url.options == {}
    assert "sqlite" in url or 5 in (database.options.get("timeout"), database.options.get("connect_timeout"))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    ("mode", "hostname", "verify"),
    [
        ("require", False, ssl.CERT_NONE),
        ("verify-ca", False, ssl.CERT_REQUIRED),
        ("verify-full", True, ssl.CERT_REQUIRED),
    ],
)
def test_sslmode_becomes_real_tls(scheme: str, mode: str, hostname: bool, verify: ssl.VerifyMode) -> None:
    """As libpq means the word: encrypted, verified up to the root, or up to the name of the host."""
    context = database_from_url(f"{scheme}://h/d?sslmode={mode}").options["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.check_hostname, context.verify_mode) == (hostname, verify)


@pytest.mark.parametrize("server", [server for server in SERVERS if server != "sqlite"])
@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_tls_never_falls_back_to_clear_text(server: str, mode: str) -> None:
    """The servers of the tests speak clear text only: connecting with TLS fails."""
    with pytest.raises(Unavailable):
        async with connected(server_url(server, "test") + f"?sslmode={mode}"):
            raise AssertionError


@pytest.mark.parametrize("server", SERVERS)
async def test_the_urls_of_the_tests_connect(server: str, tmp_path: Path) -> None:
    """With sslmode=disable said aloud, and with the pool as asked for."""
    url = (
        f"sqlite:///{tmp_path}/a.db"
        if server == "sqlite"
        else server_url(server, "test") + "?sslmode=disable&max_size=2"
    )
    async with connected(url) as database:
        assert await database.fetch(select(literal_column("1").label("one"))) == [{"one": 1}]


async def test_a_name_with_odd_characters_is_the_file(tmp_path: Path) -> None:
    """A percent-encoded path is decoded, and nothing else of that name appears."""
    async with connected(f"sqlite:///{tmp_path}/a%20b%23%3Fc.db") as database:
        await database.fetch(select(func.count().label("n")))
    assert [path.name for path in await asyncio.to_thread(lambda: list(tmp_path.glob("*.db")))] == ["a b#?c.db"]


@pytest.mark.parametrize(
    "given", [None, 1, b"sqlite:///x", Path("app.db"), databases.DatabaseURL("sqlite:///x"), object()]
)
def test_other_objects_are_refused(given: object) -> None:
    """What is wanted is named."""
    with pytest.raises(ConfigurationError, match=r"a database URL, .* or an SQLAlchemy AsyncEngine"):
        Database(given)


class OtherDialect(SQLiteDialect_aiosqlite):
    """SQLAlchemy's side of a driver that asgiauth does not know."""

    driver = "other"


class OtherBackend(SQLiteBackend):
    """The same of `databases`, which itself knows aiopg and aiomysql."""


class OtherDatabase(databases.Database):
    def _get_backend(self) -> str:
        return f"{__name__}:OtherBackend"


def test_other_drivers_are_refused() -> None:
    """The raw connection would be another one than asgiauth speaks to."""
    dialects.registry.register("sqlite.other", __name__, "OtherDialect")
    with pytest.raises(ConfigurationError, match=r"sqlite\+aiosqlite"):
        Database(create_async_engine("sqlite+other:///app.db"))
    with pytest.raises(ConfigurationError, match="not supported"):
        Database(OtherDatabase("sqlite:///app.db"))


@pytest.mark.parametrize(
    ("package", "scheme", "extra"),
    [("aiosqlite", "sqlite", "sqlite"), ("asyncpg", "postgresql", "postgresql"), ("asyncmy", "mysql", "mysql")],
)
async def test_a_missing_driver_is_named_with_its_cure(package: str, scheme: str, extra: str) -> None:
    """The error holds the line to type."""
    code = (
        f"import sys; sys.modules[{package!r}] = None; from asgiauth.db import Database; Database('{scheme}:///d.db')"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": ROOT}
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    last = stderr.decode().strip().splitlines()[-1]
    assert last == (
        f'asgiauth.exceptions.MissingDependency: {package} is not installed. Run: pip install "asgiauth[{extra}]"'
    )
