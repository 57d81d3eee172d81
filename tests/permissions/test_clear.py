"""All that was granted to somebody, or on one object; and everything that there is."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from asgiauth import AnonymousUser, Auth, Group, Permission, Ref, User
from asgiauth.events import PermissionRevoked
from asgiauth.exceptions import NotFound

from .granting import PERMISSIONS, Post, all_grants, listen, store_permission, version

HERE, THERE = Ref("blog.post", 42), Ref("blog.post", 43)
EVERYWHERE = ("blog.add_post", "blog.moderate")
ON_OBJECTS = [
    ("blog.change_post", HERE),
    ("blog.view_post", HERE),
    ("blog.change_post", THERE),
    ("blog.view_comment", Ref("blog.comment", 42)),
    ("blog.view_document", Ref("blog.document", UUID(int=1))),
    ("blog.view_tag", Ref("blog.tag", "a")),
    ("blog.view_tag", Ref("blog.tag", "A")),
]


async def grant_all(auth: Auth, *subjects: User | Group) -> None:
    for subject in subjects:
        for perm in EVERYWHERE:
            await auth.permissions.grant(subject, perm)
        for perm, obj in ON_OBJECTS:
            await auth.permissions.grant(subject, perm, obj)


def facts(told: list[Any]) -> list[tuple[str, str]]:
    assert all(type(event) is PermissionRevoked for event in told)
    return sorted((event.perm, str(event.obj)) for event in told)


async def test_everything_is_taken_back_from_one_and_nothing_from_another(
    blog: Auth, ann: User, editors: Group
) -> None:
    bob, others = await blog.users.create("bob"), await blog.groups.create("others")
    subjects: list[User | Group] = [ann, editors]
    await grant_all(blog, bob, others)
    left = await all_grants(blog)
    for subject in subjects:
        await grant_all(blog, subject)
        told, before = listen(blog), await version(blog, ann)
        assert await blog.permissions.clear(subject) == len(EVERYWHERE) + len(ON_OBJECTS)
        expected = [(perm, "None") for perm in EVERYWHERE] + [(perm, str(obj)) for perm, obj in ON_OBJECTS]
        assert facts(told) == sorted(expected)
        assert {(event.subject, event.by) for event in told} == {(subject, None)}  # type: ignore[attr-defined]
        assert await all_grants(blog) == left
        after = await version(blog, ann)
        assert after != before
        assert await blog.permissions.clear(subject) == 0
        assert await version(blog, ann) == after
        assert len(told) == len(expected)
    assert await blog.groups.of(ann) == [editors]


async def test_on_one_object_it_is_taken_back_there_alone(blog: Auth, ann: User, editors: Group) -> None:
    subjects: list[User | Group] = [ann, editors]
    for subject in subjects:
        await grant_all(blog, subject)
        told, before = listen(blog), await version(blog, ann)
        assert await blog.permissions.clear(subject, Post(42)) == 2
        assert facts(told) == [("blog.change_post", "blog.post 42"), ("blog.view_post", "blog.post 42")]
        assert await blog.permissions.clear(subject, HERE) == await blog.permissions.clear(subject, Post(None)) == 0
        assert await blog.permissions.clear(subject, Ref("blog.tag", "a")) == 1
        assert await version(blog, ann) == before  # what is granted on objects is not kept
        assert await blog.permissions.clear(subject) == len(EVERYWHERE) + len(ON_OBJECTS) - 3


async def test_only_what_is_there_is_cleared(blog: Auth, ann: User, editors: Group) -> None:
    await blog.users.delete(ann)
    await blog.groups.delete(editors)
    for gone in (ann, editors):
        with pytest.raises(NotFound, match="does not exist"):
            await blog.permissions.clear(gone)
    nobody: list[Any] = [None, AnonymousUser(), "ann", Group(None, "editors")]
    for subject in nobody:
        with pytest.raises(TypeError, match="a stored User or Group"):
            await blog.permissions.clear(subject)
    for obj in (42, Ref("blog.engine", 42)):
        with pytest.raises(TypeError, match="belongs to no Resource"):
            await blog.permissions.clear(editors, obj)


async def test_fifty_at_once_take_each_grant_back_once(blog: Auth, ann: User, editors: Group) -> None:
    await grant_all(blog, ann, editors)
    told = listen(blog)
    subjects: list[User | Group] = [ann, editors]
    counts = await asyncio.gather(*(blog.permissions.clear(subjects[n % 2]) for n in range(50)))
    assert sorted(counts)[-2:] == [len(EVERYWHERE) + len(ON_OBJECTS)] * 2
    assert sum(counts) == len(told) == 2 * (len(EVERYWHERE) + len(ON_OBJECTS))
    assert list(await all_grants(blog)) == ["user_groups"]


async def test_a_grant_of_what_an_engine_without_foreign_keys_has_deleted_is_no_grant(sqlite_auth: Auth) -> None:
    ann = await sqlite_auth.users.create("ann")
    async with sqlite_auth._database.unit() as unit:
        await unit.text("PRAGMA defer_foreign_keys = ON")
        await unit.insert(sqlite_auth.tables.user_permissions, {"user_id": ann.id, "permission_id": 4711})
        told = listen(sqlite_auth)
        assert await sqlite_auth.permissions.clear(ann) == 0
    assert (await all_grants(sqlite_auth), told) == ({}, [])


# Who has what on one object


async def test_B10_2_who_was_granted_what_on_one_object_is_listed(blog: Auth, ann: User, editors: Group) -> None:
    root, bob = await blog.users.create_superuser("root"), await blog.users.create("bob", is_active=False)
    authors = await blog.groups.create("authors")
    await grant_all(blog, bob, editors)
    await blog.permissions.grant(ann, "blog.change_post", HERE)
    await blog.permissions.grant(ann, "blog.delete_post", THERE)
    await blog.permissions.grant(authors, "blog.delete_post", HERE)
    await blog.permissions.grant(root, "blog.change_post")
    for obj in (HERE, Post(42)):
        assert await blog.permissions.grants_on(obj) == [
            (ann, "blog.change_post"),
            (bob, "blog.change_post"),
            (bob, "blog.view_post"),
            (authors, "blog.delete_post"),
            (editors, "blog.change_post"),
            (editors, "blog.view_post"),
        ]
    lower, upper = Ref("blog.tag", "a"), Ref("blog.tag", "A")
    await blog.permissions.revoke(editors, "blog.view_tag", upper)
    assert await blog.permissions.grants_on(lower) == [(bob, "blog.view_tag"), (editors, "blog.view_tag")]
    assert await blog.permissions.grants_on(upper) == [(bob, "blog.view_tag")]
    assert await blog.permissions.grants_on(Ref("blog.comment", 43)) == []
    assert (
        await blog.permissions.grants_on(Post(None)) == await blog.permissions.grants_on(Ref("blog.post", 2**63)) == []
    )
    with pytest.raises(TypeError, match="belongs to no Resource"):
        await blog.permissions.grants_on(42)


# Everything that there is


async def test_all_permissions_are_listed_as_they_are_stored(blog: Auth) -> None:
    """Also those that another program has written, whatever they are called."""
    for model, codename in (("tag", "stamp"), ("engine", "stamp"), ("", " a.b ")):
        await store_permission(blog, model, codename)
    found = await blog.permissions.all()
    assert [(one.perm, one.model) for one in found] == sorted(
        [
            *((one.perm, one.model) for one in PERMISSIONS),
            *(("blog.stamp", model) for model in ("engine", "tag")),
            ("blog. a.b ", ""),
        ]
    )
    declared = {one.perm: one for one in PERMISSIONS}
    assert [one for one in found if one.perm in declared] == sorted(PERMISSIONS, key=lambda one: one.perm)
    moderate = next(one for one in found if one.perm == "blog.moderate")
    assert (moderate, moderate.name, moderate.resource) == (
        Permission("blog.moderate", "Can moderate"),
        "Can moderate",
        "",
    )
