"""The server is there, and does not let us in: a line that names the cure, no secret, and 503 while a site is running."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from asgiauth.exceptions import ConfigurationError, NotReady
from asgiauth.testing import client, force_login

from ..conftest import make_auth
from ..databases import SERVERS, engine_url, run, server_url
from ..sites import site

REMOTE = [server for server in SERVERS if server != "sqlite"]
PASSWORD = "hunter2hunter2"


def as_user(server: str, name: str, password: str, database: str) -> str:
    parts = urlsplit(server_url(server, database))
    return parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}").geturl()


def named(url: str) -> str:
    return url


def engine(url: str) -> Any:
    return create_async_engine(engine_url(url), poolclass=NullPool)


@asynccontextmanager
async def account(server: str, database: str) -> AsyncIterator[str]:
    """One of our own, with PASSWORD."""
    name = f"asgiauth_{secrets.token_hex(6)}"
    if server == "postgresql":
        await run(server, f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    else:
        await run(server, f"CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'")
        await run(server, f"GRANT ALL ON *.* TO {name}@'%'")
    try:
        yield name
    finally:
        if server == "postgresql":
            await run(server, f"REASSIGN OWNED BY {name} TO CURRENT_USER", database)
        await run(server, f"DROP {'ROLE' if server == 'postgresql' else 'USER'} {name}")


async def lock(server: str, name: str) -> None:
    """From now on it may not log in."""
    if server == "postgresql":
        await run(server, f"ALTER ROLE {name} NOLOGIN")
    else:
        await run(server, f"ALTER USER {name}@'%' IDENTIFIED BY 'another one'")


@pytest.mark.parametrize("made", [named, engine])
@pytest.mark.parametrize("server", REMOTE)
async def test_an_account_that_the_server_does_not_know_is_named_as_the_fault(server: str, made: Any, url: str) -> None:
    database = urlsplit(url).path[1:]
    with pytest.raises(ConfigurationError, match="refuses the user name or the password") as refused:
        await make_auth(made(as_user(server, "nobody_at_all", PASSWORD, database))).__aenter__()
    assert PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("made", [named, engine])
@pytest.mark.parametrize("server", REMOTE)
async def test_a_database_that_is_not_there_is_named_as_the_fault(server: str, made: Any) -> None:
    """Not an outage, which would go away by waiting. Its name is not repeated: an `@` or a `/` in the password of a URL
    makes a part of the password into a name."""
    with pytest.raises(NotReady, match="no database of that name: create it"):
        await make_auth(made(server_url(server, "asgiauth_nowhere"))).__aenter__()


@pytest.mark.parametrize("server", REMOTE)
async def test_an_account_that_is_locked_while_the_site_runs_is_503_and_nobody_gets_in(server: str, url: str) -> None:
    database = urlsplit(url).path[1:]
    async with account(server, database) as name:
        auth = make_auth(engine(as_user(server, name, PASSWORD, database)))
        async with auth:
            await auth.create_tables()
            async with client(site(auth)) as browser:
                await force_login(browser, await auth.users.create("ann", password=None))
                assert (await browser.get("/who")).status_code == 200
                await lock(server, name)
                answer = await browser.get("/who")
                assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "unavailable")
                assert "refuses" not in answer.text
