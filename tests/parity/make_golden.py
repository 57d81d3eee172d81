"""Writes tests/parity/golden: what real Django makes, for asgiauth to be compared with.

Run `python -m tests.parity.make_golden` at the repository root, after `django_interpreter.py`, with
ASGIAUTH_TEST_POSTGRES_URL and ASGIAUTH_TEST_MYSQL_URL naming servers on which a database may be made and dropped.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import asyncmy
import asyncpg

from . import django_interpreter
from .introspect import schema

TABLES = (
    "auth_user",
    "auth_group",
    "auth_permission",
    "auth_user_groups",
    "auth_user_user_permissions",
    "auth_group_permissions",
    "django_content_type",
)
SERVERS = {"postgresql": "ASGIAUTH_TEST_POSTGRES_URL", "mysql": "ASGIAUTH_TEST_MYSQL_URL"}

_HERE = Path(__file__).resolve().parent


async def _execute(server: SplitResult, statement: str) -> None:
    if server.scheme == "postgresql":
        postgres = await asyncpg.connect(server.geturl())
        try:
            await postgres.execute(statement)
        finally:
            await postgres.close()
        return
    connection = asyncmy.connect(
        host=server.hostname or "127.0.0.1",
        port=server.port or 3306,
        user=unquote(server.username or "root"),
        password=unquote(server.password or ""),
    )
    async with connection as mysql, mysql.cursor() as cursor:
        await cursor.execute(statement)


@asynccontextmanager
async def _fresh_database(server: SplitResult) -> AsyncIterator[str]:
    name = f"asgiauth_golden_{secrets.token_hex(8)}"
    force = " WITH (FORCE)" if server.scheme == "postgresql" else ""
    options = " TEMPLATE template0" if server.scheme == "postgresql" else " CHARACTER SET utf8mb4"
    await _execute(server, f"CREATE DATABASE {name}{options}")
    try:
        yield server._replace(path=f"/{name}").geturl()
    finally:
        await _execute(server, f"DROP DATABASE {name}{force}")


async def _django(python: str, script: str, *arguments: str) -> str:
    command = [python, str(_HERE / script), *arguments]
    done = await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


async def _golden(python: str, url: str) -> dict[str, Any]:
    await _django(python, "django_migrate.py", url)
    found = await schema(url, TABLES)
    missing = set(TABLES) - set(found)
    if missing:
        raise SystemExit(f"Django made no {', '.join(sorted(missing))} at {url}")
    return found


def _write(name: str, content: Any) -> None:
    path = _HERE / "golden" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="ascii")
    print(path)


async def main() -> None:
    python = django_interpreter.find()
    if python is None:
        raise SystemExit("no .venv-django: run tests/parity/django_interpreter.py first")
    missing = [variable for variable in SERVERS.values() if not os.environ.get(variable)]
    if missing:
        raise SystemExit(f"not set: {', '.join(missing)}")

    _write("hashes.json", json.loads(await _django(python, "django_hashes.py")))
    _write("validators.json", json.loads(await _django(python, "django_validators.py")))
    _write("django-tests.json", json.loads(await _django(python, "django_tests.py")))
    with tempfile.TemporaryDirectory() as directory:
        _write("schema-sqlite.json", await _golden(python, f"sqlite:///{directory}/golden.db"))
    for server, variable in SERVERS.items():
        async with _fresh_database(urlsplit(os.environ[variable])) as url:
            _write(f"schema-{server}.json", await _golden(python, url))


if __name__ == "__main__":
    asyncio.run(main())
