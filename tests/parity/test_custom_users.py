"""A0, A21: every user model of Django's tests as a `UserModel`, on the tables that a real Django makes for it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import MetaData

from asgiauth import Auth, Permission
from asgiauth.db.schema import create_tables

from ..conftest import make_auth
from ..databases import create_database, drop_database
from .custom_users import EXPRESSED, MODELS, OWN_CONSTRAINTS, SCRIPT, emails
from .introspect import schema
from .test_hashes import DJANGO, django
from .test_schema import differences

PASSWORD = "correct horse battery"


@pytest.fixture
def other_url(server: str, tmp_path: Path) -> Iterator[str]:
    """A second database on the same server."""
    name = f"asgiauth_{secrets.token_hex(6)}"
    yield asyncio.run(create_database(server, name, tmp_path))
    asyncio.run(drop_database(server, name))


def auth_of(url: str, name: str, **options: Any) -> Auth[Any]:
    metadata = MetaData()
    emails(metadata)
    return make_auth(url, metadata=metadata, user_model=EXPRESSED[name](), **options)


if DJANGO is not None:

    async def test_A21_1_to_A21_4_the_tables_of_every_custom_user_are_as_django_makes_them(
        url: str, other_url: str, tmp_path: Path
    ) -> None:
        """Columns, keys, and of what is Django's all constraints, indexes and names; users first, then both tables of
        links where the model has them. Constraints of an application's own columns are the application's."""
        await django(SCRIPT, stdin={"url": other_url, "directory": str(tmp_path), "models": MODELS, "create": True})
        compared = 0
        for name in EXPRESSED:
            auth = auth_of(url, name)
            user, groups, permissions = (
                getattr(auth.tables, one) for one in ("user", "user_groups", "user_permissions")
            )
            wanted = [user.name, groups.name, permissions.name]
            others = [auth.tables.content_type, auth.tables.permission, auth.tables.group]
            async with auth:
                made = [auth.metadata.tables["auth_tests_email"], *others, user, groups, permissions]
                await create_tables(auth._database, auth.metadata, made)
            mine, theirs = await schema(url, wanted), await schema(other_url, wanted)
            assert user.name in theirs
            if name in OWN_CONSTRAINTS:
                mine, theirs = (
                    {user.name: {part: found[user.name][part] for part in ("columns", "primary_key")}}
                    for found in (mine, theirs)
                )
            assert differences({table: mine[table] for table in theirs}, theirs) == [], name
            compared += len(theirs)
        assert compared == len(EXPRESSED) + 2 * 4

    LIVE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "UUIDUser": ({"username": "ann", "email": "ann@example.com"}, {"username": "bob"}),
        "CustomPermissionsUser": (
            {"email": "ann@example.com", "date_of_birth": "2001-02-03"},
            {"username": "bob@example.com"},
        ),
    }

    @pytest.mark.parametrize("name", LIVE)
    async def test_A21_3_A21_4_a_custom_user_is_the_same_on_both_sides(url: str, tmp_path: Path, name: str) -> None:
        """UUIDUserTests and CustomPermissionsUserModelBackendTest: passwords and permissions, from Django to asgiauth
        and back, in tables that Django made."""
        job = {"url": url, "directory": str(tmp_path), "models": MODELS, "user": name}
        given, new = LIVE[name]
        (key,) = await django(SCRIPT, stdin={**job, "create": True, "steps": [["create", PASSWORD, given]]})
        auth = auth_of(url, name, permissions=[Permission("blog.add_post", "Can add", model="post")])
        async with auth:
            await auth.create_tables()
            ann: Any = await auth.users.get(key)
            assert isinstance(ann.id, UUID if name == "UUIDUser" else int)
            assert await auth.users.find("ann@example.com") == ann
            assert await auth.users.check_password(ann, PASSWORD)
            fields = {"date_of_birth": ann.date_of_birth} if name != "UUIDUser" else {}
            bob = await auth.users.create(**new, password=PASSWORD, **fields)
            await auth.permissions.grant(bob, "blog.add_post")
            await auth.groups.create("writers", ["blog.add_post"])
            await auth.groups.add(ann, "writers")
            assert set(await auth.permissions.holders("blog.add_post")) == {ann, bob}
        named = "username" if name == "UUIDUser" else "email"
        steps: list[Any] = [
            ["authenticate", {"username": getattr(user, named), "password": PASSWORD}] for user in (ann, bob)
        ]
        steps += [["authenticate", {"username": getattr(bob, named), "password": "wrong"}]]
        steps += [["has_perm", str(user.id), perm] for user in (ann, bob) for perm in ("blog.add_post", "blog.other")]
        answers = await django(SCRIPT, stdin={**job, "steps": steps})
        assert answers == [str(ann.id), str(bob.id), None, True, False, True, False]

    @pytest.mark.parametrize(
        ("name", "given", "identifier"),
        [
            ("CustomUserWithoutIsActiveField", {"username": "ann", "email": "ann@example.com"}, "ann"),
            ("IntegerUsernameUser", {"username": 7}, "7"),
            ("CustomEmailField", {"username": "ann", "email_address": None}, "ann"),
            ("StringKeyUser", {"id": "a/b c", "username": "ann"}, "ann"),
            ("CustomUserNonUniqueUsername", {"username": "ann"}, "ann"),
        ],
    )
    async def test_A21_6_who_django_made_logs_in_whatever_the_model_lacks(
        sqlite_url: str, tmp_path: Path, name: str, given: dict[str, Any], identifier: str
    ) -> None:
        """test_authenticate_user_without_is_active_field, and others: by the exact name, with Django's hash."""
        job = {"url": sqlite_url, "directory": str(tmp_path), "models": MODELS, "user": name}
        (key,) = await django(SCRIPT, stdin={**job, "create": True, "steps": [["create", PASSWORD, given]]})
        async with auth_of(sqlite_url, name) as auth:
            await auth.create_tables()
            user: Any = await auth.users.find(identifier)
            assert (user.identity, user.is_active) == (key, True)
            assert await auth.users.verified(user, PASSWORD) is not None
            changed = await auth.users.set_password(user, PASSWORD + "!")
        steps = [["authenticate", {"username": identifier, "password": PASSWORD + "!"}]]
        assert await django(SCRIPT, stdin={**job, "steps": steps}) == [changed.identity]
