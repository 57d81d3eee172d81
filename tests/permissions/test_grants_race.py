"""Many grants and revocations at once end as if one had come after the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgiauth import Auth, Group, Ref, User
from asgiauth.exceptions import NotFound, UnknownPermission

from .granting import a_blog, all_grants, delete_permission, listen, make_blog, permission_id, rows, version

MANY = 50
HERE = Ref("blog.post", 42)
OBJECTS: list[Ref | None] = [None, HERE, Ref("blog.post", 43)]


@pytest.fixture
async def hosts(url: str) -> AsyncIterator[list[Auth]]:
    """Two processes' worth of connections to one database."""
    async with a_blog(url) as auth, make_blog(url) as other:
        yield [auth, other]


@pytest.mark.parametrize("obj", [None, HERE], ids=["everywhere", "on an object"])
@pytest.mark.parametrize("kind", ["user", "group"])
async def test_fifty_grants_at_once_are_one_row_and_one_event(hosts: list[Auth], kind: str, obj: object) -> None:
    auth = hosts[0]
    ann = await auth.users.create("ann")
    subject = ann if kind == "user" else await auth.groups.create("editors")
    told = [listen(host) for host in hosts]
    before = await version(auth, ann)
    await asyncio.gather(*(hosts[n % 2].permissions.grant(subject, "blog.change_post", obj) for n in range(MANY)))
    (found,) = (await all_grants(auth)).values()
    assert len(found) == 1
    assert len(told[0]) + len(told[1]) == 1
    assert (await version(auth, ann) == before) is (obj is not None)
    await asyncio.gather(*(hosts[n % 2].permissions.revoke(subject, "blog.change_post", obj) for n in range(MANY)))
    assert await all_grants(auth) == {}
    assert len(told[0]) + len(told[1]) == 2


async def test_200_concurrent_pairs_leave_what_the_rows_say(hosts: list[Auth]) -> None:
    """Users and groups, everywhere and on objects: nobody fails, and each ends with one of the two."""
    auth, drawn = hosts[0], random.Random(6)
    users = [await auth.users.create(f"u{n}") for n in range(5)]
    groups = [await auth.groups.create(f"g{n}") for n in range(5)]
    for user, group in zip(users, groups, strict=True):
        await auth.groups.add(user, group.name)
    perms = ["blog.add_post", "blog.change_post", "blog.view_post"]
    subjects: list[User | Group] = [*users, *groups]
    work = []
    for n in range(200):
        subject, perm, obj = drawn.choice(subjects), drawn.choice(perms), drawn.choice(OBJECTS)
        pair = [hosts[n % 2].permissions.grant(subject, perm, obj), hosts[1].permissions.revoke(subject, perm, obj)]
        drawn.shuffle(pair)
        work += pair
    drawn.shuffle(work)
    await asyncio.gather(*work)

    ids = {perm: await permission_id(auth, perm) for perm in perms}
    linked = {name: set(await rows(auth, name)) for name in ("user_permissions", "group_permissions")}
    on_objects = {name: set(await rows(auth, name)) for name in ("user_grant_integer", "group_grant_integer")}
    for user, group in zip(users, groups, strict=True):
        for perm in perms:
            everywhere = (user.id, ids[perm]) in linked["user_permissions"] or (group.id, ids[perm]) in linked[
                "group_permissions"
            ]
            for host in hosts:
                assert await host.permissions.check(user, perm) is everywhere
                for obj in (HERE, Ref("blog.post", 43)):
                    here = (user.id, ids[perm], obj.key) in on_objects["user_grant_integer"] or (
                        (group.id, ids[perm], obj.key) in on_objects["group_grant_integer"]
                    )
                    assert await host.permissions.check(user, perm, obj) is (everywhere or here)


async def test_pairs_of_one_permission_count_each_change_once(hosts: list[Auth]) -> None:
    """As many events as there were changes: a grant that finds its row tells nothing."""
    auth = hosts[0]
    ann = await auth.users.create("ann")
    told = [listen(host) for host in hosts]
    before = await version(auth, ann)
    work = [
        asked(ann, "blog.add_post")
        for n in range(MANY)
        for asked in (hosts[n % 2].permissions.grant, hosts[n % 2].permissions.revoke)
    ]
    await asyncio.gather(*work)
    changes = len(told[0]) + len(told[1])
    assert changes % 2 == len(await rows(auth, "user_permissions"))
    assert await version(auth, ann) != before


async def test_what_is_deleted_meanwhile_keeps_no_grant(hosts: list[Auth]) -> None:
    """Django's foreign keys are only checked at the COMMIT, so nothing else would say so in time."""
    auth = hosts[0]
    users = [await auth.users.create(f"u{n}") for n in range(10)]
    groups = [await auth.groups.create(f"g{n}") for n in range(10)]
    work: list[Any] = []
    for n, (user, group) in enumerate(zip(users, groups, strict=True)):
        for obj in OBJECTS:
            work += [hosts[n % 2].permissions.grant(subject, "blog.add_post", obj) for subject in (user, group)]
        work += [hosts[1 - n % 2].users.delete(user), hosts[1 - n % 2].groups.delete(group)]
    results = await asyncio.gather(*work, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), NotFound}
    assert await all_grants(auth) == {}


async def test_a_permission_deleted_meanwhile_is_unknown(hosts: list[Auth], monkeypatch: pytest.MonkeyPatch) -> None:
    """It was found before the unit of work, and in it is gone."""
    auth, other = hosts
    ann = await auth.users.create("ann")
    id_ = await permission_id(auth, "blog.add_post")
    found = auth.permissions._changes._stored

    async def found_and_deleted(perm: str) -> Any:
        stored = await found(perm)
        await delete_permission(other, id_)
        return stored

    monkeypatch.setattr(auth.permissions._changes, "_stored", found_and_deleted)
    with pytest.raises(UnknownPermission):
        await auth.permissions.grant(ann, "blog.add_post")
    assert await all_grants(auth) == {}
