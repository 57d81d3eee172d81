"""A1: the tables are Django's, byte for byte. Compared with files that a real Django has written, and with a real
Django's own migrations where one is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asgiauth import Auth

from ..conftest import make_auth
from ..db.test_schema import OWN, table_names
from .introspect import schema
from .make_golden import TABLES
from .test_hashes import DJANGO, django


def golden(server: str) -> Any:
    return json.loads((Path(__file__).parent / "golden" / f"schema-{server}.json").read_text())


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Column by column and index by index, each by its path."""
    parts = []
    for key in sorted(found.keys() | wanted.keys()):
        mine, theirs = found.get(key), wanted.get(key)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            parts += [f"{key}.{line}" for line in differences(mine, theirs)]
        elif mine != theirs:
            parts.append(f"{key}: {mine} instead of {theirs}")
    return parts


async def test_the_tables_of_django_are_as_its_migrations_leave_them(auth: Auth, url: str, server: str) -> None:
    """A1.1-A1.5, A1.9: columns, types, defaults, keys, indexes, foreign keys and all of their names."""
    found = await schema(url, TABLES)
    assert set(found) == set(TABLES)
    assert differences(found, golden(server)) == []


def test_a_difference_is_noticed() -> None:
    """The comparison compares."""
    wanted, found = golden("postgresql"), golden("postgresql")
    found["auth_user"]["columns"]["email"]["type"] = "text"
    del found["auth_group"]["indexes"]["auth_group_name_a6ea08ec_like"]
    assert [line.partition(":")[0] for line in differences(found, wanted)] == [
        "auth_group.indexes.auth_group_name_a6ea08ec_like",
        "auth_user.columns.email.type",
    ]


if DJANGO is not None:

    async def test_a_live_django_finds_its_own_database_untouched(url: str, server: str) -> None:
        """A1.9: on a database that Django migrated, asgiauth adds its own tables and changes none."""
        await django("django_migrate.py", url)
        before, names = await schema(url, TABLES), await table_names(url)
        assert differences(before, golden(server)) == []
        auth = make_auth(url)
        async with auth:
            await auth.create_tables()
            await auth.create_tables()
            assert differences(await schema(url, TABLES), before) == []
            assert await table_names(url) == sorted([*names, *OWN])
            ann = await auth.users.create("ann", email="ann@example.com")
            assert await auth.users.find("ANN@example.com") == ann
            await auth.users.delete(ann)
