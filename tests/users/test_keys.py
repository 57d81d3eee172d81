"""A21.4: keys of every kind, wherever a key goes."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, String, Table, Uuid
from sqlalchemy.types import TypeEngine
from starlette.applications import Starlette
from starlette.routing import Mount

from asgiauth import Auth, Permission, Ref, Resource, User, UserModel
from asgiauth.exceptions import InvalidField, UserExists

from ..conftest import client, make_auth
from .helpers import PASSWORD

STRANGE = ["a/b?c=d&e#f %2F;x", "\U0001f511 ключ", "..", "0", "A" * 40]
"""Django's CharField takes all of them."""


@dataclass(frozen=True)
class Kind:
    type: TypeEngine[Any]
    keys: tuple[Any, ...]
    """Given to `create`; None where one is generated."""
    nobodys: tuple[Any, ...]

    def given(self, number: int) -> dict[str, Any]:
        return {"id": self.keys[number]} if self.keys else {}


KINDS = {
    "uuid": Kind(Uuid(), (), (1, "", "1" * 31, "g" * 32, "\uff11" * 32, str(uuid.UUID(int=0)), None, b"1" * 16)),
    "big": Kind(BigInteger(), (), (2**63, "2" * 30, "", "x", True, uuid.UUID(int=1))),
    "text": Kind(String(40), tuple(STRANGE), (1, "", "a", "A" * 41, "a\0", "\ud800", "A" * 39, "a" * 40, None)),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def auth_of(url: str, kind: Kind, **options: Any) -> Auth:
    model = UserModel(table="shop_member", id_type=kind.type, link_column="member_id")
    return make_auth(url, user_model=model, **options)


async def test_A21_4_a_key_is_found_and_no_other(url: str, kind: Kind) -> None:
    """By itself, and as a path or a form spells it; what cannot be a key is nobody's."""
    async with auth_of(url, kind) as auth:
        await auth.create_tables()
        users = [await auth.users.create(f"u{n}", **kind.given(n)) for n in range(5)]
        for user in users:
            assert await auth.users.get(user.id) == await auth.users.get(user.identity) == user
            assert user.as_dict()["id"] == (user.id if isinstance(user.id, (int, str)) else str(user.id))
        for nobody in kind.nobodys:
            assert await auth.users.get(nobody) is None, nobody
        found: list[User] = []
        after: Any = None
        while True:
            page = await auth.users.page(after=after, limit=2)
            found += page.items
            if page.next is None:
                break
            after = str(page.next)
        assert sorted(found, key=lambda user: user.username) == users
        if isinstance(kind.type, Uuid):
            assert [type(user.id).__mro__[-2] for user in users] == [uuid.UUID] * 5
            assert await auth.users.get(users[0].id.hex.upper()) == users[0]
        with pytest.raises(InvalidField):
            await auth.users.page(after="x" * 50)


async def test_A21_4_a_key_serves_everything_that_hangs_on_a_user(url: str, kind: Kind) -> None:
    """Names, groups, grants, grants on objects, passwords with a history, sessions, and the end of it all."""
    table = Table("post", MetaData(), Column("id", Uuid, primary_key=True))
    posts, post = Resource("blog.post", table=table, key=table.c.id), Ref("blog.post", uuid.uuid4())
    async with auth_of(
        url, kind, permissions=[Permission("blog.change_post", "Can", model="post")], resources=[posts]
    ) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD, email="ann@example.com", **kind.given(0))
        bob = await auth.users.create_superuser("bob", **kind.given(1))
        assert await auth.users.find("ANN@example.com") == ann
        await auth.groups.create("writers", ["blog.change_post"])
        await auth.groups.add(ann, "writers")
        assert await auth.groups.members("writers") == [ann]
        await auth.permissions.grant(ann, "blog.change_post")
        assert await auth.permissions.direct(ann) == {"blog.change_post"}
        await auth.permissions.grant(ann, "blog.change_post", post)
        assert set(await auth.permissions.holders("blog.change_post", post)) == {ann, bob}
        assert await auth.permissions.check(ann, "blog.change_post", post)
        assert await auth.users.with_perm("blog.change_post", superusers=False) == [ann]
        ann = await auth.users.update(ann, first_name="Ann")
        ann = await auth.users.set_password(ann, PASSWORD + "!")
        await auth.users.require_password_change(ann)
        assert await auth.users.check_password(ann, PASSWORD + "!")
        await auth.users.delete(ann)
        assert await auth.users.get(ann.id) is None
        assert await auth.users.find("ann") is None


async def test_A21_4_whoever_logs_in_over_http_has_that_key(url: str, kind: Kind) -> None:
    """UUIDUserTests: login, the session, and its end by another password."""
    async with auth_of(url, kind) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD, **kind.given(0))
        app = Starlette(routes=[Mount("/auth", routes=auth.json_routes)], middleware=auth.middleware)
        async with client(app) as browser:
            answer = await browser.post("/auth/login", json={"username": "ann", "password": PASSWORD})
            assert answer.json()["user"]["id"] == ann.as_dict()["id"]
            session = (await browser.get("/auth/session")).json()
            assert session["user"]["username"] == "ann"
            assert len(await auth.sessions.list(ann)) == 1
            await auth.users.set_password(ann, PASSWORD + "!")
            assert (await browser.get("/auth/session")).json()["user"] is None


async def test_A21_4_a_key_of_text_is_given_and_is_nobody_elses(url: str) -> None:
    async with auth_of(url, KINDS["text"]) as auth:
        await auth.create_tables()
        await auth.users.create("ann", id="k1")
        made = await asyncio.gather(*(auth.users.create(f"u{n}", id="k2") for n in range(10)), return_exceptions=True)
        assert sum(isinstance(one, User) for one in made) == 1
        assert {one.field for one in made if isinstance(one, UserExists)} == {"id"}
        for fields, code in (({}, "required"), ({"id": ""}, "required"), ({"id": 1}, "invalid_type")):
            with pytest.raises(InvalidField) as refused:
                await auth.users.create("bob", **fields)
            assert (refused.value.field, refused.value.code) == ("id", code)


async def test_A21_4_a_uuid_may_be_given_and_a_number_may_not(sqlite_url: str) -> None:
    """Who imports users brings their keys along; numbers are the server's to give."""
    key = uuid.uuid4()
    async with auth_of(sqlite_url, KINDS["uuid"]) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", id=key)
        assert ann.id == key
        with pytest.raises(InvalidField, match="unknown_field"):
            await auth.users.update(ann, id=uuid.uuid4())
    async with make_auth(sqlite_url, realm="other") as auth:
        with pytest.raises(InvalidField, match="unknown_field"):
            await auth.users.create("ann", id=7)
