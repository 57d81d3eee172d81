"""What is granted, and taken away: everywhere and on single objects, on each server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asgiauth import AnonymousUser, Auth, Group, Permission, Ref, User
from asgiauth.events import PermissionGranted, PermissionRevoked, after_commit
from asgiauth.exceptions import NotFound, PermissionDenied, UnknownPermission

from ..databases import engine_url
from .deciding import OWN, PERM, deciding
from .granting import (
    Post,
    a_blog,
    all_grants,
    delete_permission,
    listen,
    make_blog,
    permission_id,
    rows,
    store_permission,
    version,
)

HERE = Ref("blog.post", 42)
ONE, OTHER = UUID(int=1), UUID(int=2)


async def test_A5_4_a_grant_is_held_until_it_is_revoked(blog: Auth, ann: User, editors: Group) -> None:
    subjects: list[User | Group] = [ann, editors]
    for subject in subjects:
        await blog.permissions.grant(subject, "blog.add_post")
        assert await blog.permissions.check(ann, "blog.add_post")
        assert not await blog.permissions.check(ann, "blog.change_post")
        await blog.permissions.revoke(subject, "blog.add_post")
        assert not await blog.permissions.check(ann, "blog.add_post")


async def test_A1_the_rows_are_those_that_django_writes(blog: Auth, ann: User, editors: Group) -> None:
    await blog.permissions.grant(ann, "blog.add_post")
    await blog.permissions.grant(editors, "blog.moderate")
    assert blog.tables.user_permissions.name == "auth_user_user_permissions"
    assert await all_grants(blog) == {
        "user_groups": [(ann.id, editors.id)],
        "user_permissions": [(ann.id, await permission_id(blog, "blog.add_post"))],
        "group_permissions": [(editors.id, await permission_id(blog, "blog.moderate"))],
    }


async def test_what_is_revoked_from_the_user_may_still_come_through_a_group(
    blog: Auth, ann: User, editors: Group
) -> None:
    await blog.permissions.grant(ann, "blog.add_post")
    await blog.permissions.grant(editors, "blog.add_post")
    await blog.permissions.revoke(ann, "blog.add_post")
    assert await blog.permissions.check(ann, "blog.add_post")


KEYS: dict[str, tuple[str, list[Any]]] = {
    "integer": ("post", [42, 43, -42, 0, 2**63 - 1, -(2**63)]),
    "uuid": ("document", [ONE, OTHER]),
    "text": ("tag", ["a", "A", "a ", " a", "á", "", "42", "x" * 255, "👩‍🚒", "%", "a\\"]),
}


@pytest.mark.parametrize("kind", KEYS)
async def test_B10_2_a_grant_on_one_object_says_nothing_of_another(
    blog: Auth, ann: User, editors: Group, kind: str
) -> None:
    """MariaDB finds 'a', 'A', 'a ' and 'á' equal; here they are as many objects."""
    model, keys = KEYS[kind]
    perm = f"blog.change_{model}"
    objects = [Ref(f"blog.{model}", key) for key in keys]
    subjects: list[User | Group] = [ann, editors]
    for subject in subjects:
        for obj in objects:
            await blog.permissions.grant(subject, perm, obj)
            assert [other for other in objects if await blog.permissions.check(ann, perm, other)] == [obj]
            assert not await blog.permissions.check(ann, perm)
            assert not await blog.permissions.check(ann, f"blog.view_{model}", obj)
            await blog.permissions.revoke(subject, perm, obj)
            assert not await blog.permissions.check(ann, perm, obj)


async def test_all_keys_are_kept_side_by_side(blog: Auth, ann: User) -> None:
    for model, keys in KEYS.values():
        for key in keys:
            await blog.permissions.grant(ann, f"blog.view_{model}", Ref(f"blog.{model}", key))
    for kind, (model, keys) in KEYS.items():
        id_ = await permission_id(blog, f"blog.view_{model}")
        assert await rows(blog, f"user_grant_{kind}") == sorted((ann.id, id_, key) for key in keys)


async def test_B10_2_a_grant_on_post_42_never_answers_for_comment_42(blog: Auth, ann: User) -> None:
    comment = Ref("blog.comment", 42)
    await blog.permissions.grant(ann, "blog.change_post", HERE)
    assert await blog.permissions.check(ann, "blog.change_post", HERE)
    assert await blog.permissions.check(ann, "blog.change_post", Post(42))
    assert not await blog.permissions.check(ann, "blog.change_comment", comment)
    assert await blog.permissions.of(ann, comment) == frozenset()
    for asked in (blog.permissions.check, blog.permissions.grant, blog.permissions.revoke):
        with pytest.raises(TypeError, match=r"is about blog\.post"):
            await asked(ann, "blog.change_post", comment)


async def test_an_object_is_an_instance_a_ref_or_a_ref_of_a_row(blog: Auth, ann: User) -> None:
    resource = blog.permissions.resources["blog.post"]
    for obj in (Post(42), HERE, resource.ref({"id": 42})):
        await blog.permissions.grant(ann, "blog.change_post", obj)
        assert await rows(blog, "user_grant_integer") == [(ann.id, await permission_id(blog, "blog.change_post"), 42)]
        await blog.permissions.revoke(ann, "blog.change_post", obj)
        assert await rows(blog, "user_grant_integer") == []


STRANGE: dict[str, tuple[str, object]] = {
    "another class": ("blog.change_post", object()),
    "the key alone": ("blog.change_post", 42),
    "another kind of key": ("blog.change_post", Ref("blog.post", "42")),
    "a boolean": ("blog.change_post", Ref("blog.post", True)),
    "not stored yet": ("blog.change_post", Post(None)),
    "larger than any column": ("blog.change_post", Ref("blog.post", 2**63)),
    "longer than any column": ("blog.change_tag", Ref("blog.tag", "x" * 256)),
    "not storable": ("blog.change_tag", Ref("blog.tag", "a\0")),
    "not encodable": ("blog.change_tag", Ref("blog.tag", "\ud800")),
    "about no resource": ("blog.moderate", HERE),
    "false": ("blog.change_post", False),
}


async def test_what_is_no_stored_object_of_the_resource_is_refused(blog: Auth, ann: User) -> None:
    told = listen(blog)
    for perm, obj in STRANGE.values():
        for asked in (blog.permissions.grant, blog.permissions.revoke):
            with pytest.raises(TypeError):
                await asked(ann, perm, obj)
    assert (await all_grants(blog), told) == ({}, [])


UNKNOWN: list[Any] = ["blog.fly", "blog", "", ".", "blog.", "Blog.add_post", "blog.Add_post", "blog.add_post "]
UNKNOWN += ["blog.add_post\0", "blog.\ud800"]


async def test_an_unknown_permission_is_refused_and_the_cure_is_named(blog: Auth, ann: User, editors: Group) -> None:
    told, before = listen(blog), await version(blog, ann)
    subjects: list[User | Group] = [ann, editors]
    for perm in UNKNOWN:
        for subject in subjects:
            for asked in (blog.permissions.grant, blog.permissions.revoke):
                with pytest.raises(UnknownPermission, match="sync"):
                    await asked(subject, perm)
    with pytest.raises(UnknownPermission):
        await blog.permissions.grant(ann, "blog.fly", HERE)
    assert list(await all_grants(blog)) == ["user_groups"]
    assert (await version(blog, ann), told) == (before, [])


async def test_a_declared_permission_without_a_row_is_unknown_until_it_is_synced(url: str) -> None:
    declared = [Permission("blog.swim", "Can swim"), Permission("blog.dive", "Can dive", model="post")]
    async with a_blog(url) as blog:
        ann = await blog.users.create("ann")
        async with make_blog(url, permissions=declared) as later:
            await store_permission(blog, "comment", "dive")
            for asked in (later.permissions.grant, later.permissions.revoke):
                with pytest.raises(UnknownPermission, match="sync"):
                    await asked(ann, "blog.swim")
                with pytest.raises(UnknownPermission, match="sync"):
                    await asked(ann, "blog.dive", HERE)  # there is one of that name, about comments
            await later.permissions.sync()
            await later.permissions.grant(ann, "blog.swim")
            await later.permissions.grant(ann, "blog.dive", HERE)
            assert await later.permissions.check(ann, "blog.dive", HERE)


async def test_only_stored_users_and_groups_are_granted_anything(blog: Auth, ann: User) -> None:
    nobody: list[Any] = [AnonymousUser(), None, ann.id, "ann", ann.with_changes(id=None), Group(None, "editors")]
    for subject in nobody:
        for asked in (blog.permissions.grant, blog.permissions.revoke):
            with pytest.raises(TypeError, match="stored User or Group"):
                await asked(subject, "blog.add_post")
    assert await all_grants(blog) == {}


@pytest.mark.parametrize("obj", [None, HERE], ids=["everywhere", "on an object"])
async def test_who_is_gone_is_not_found(blog: Auth, ann: User, editors: Group, obj: object) -> None:
    await blog.users.delete(ann)
    await blog.groups.delete(editors)
    told = listen(blog)
    subjects: list[User | Group] = [ann, editors]
    for subject in subjects:
        for asked in (blog.permissions.grant, blog.permissions.revoke):
            with pytest.raises(NotFound, match=f"the {type(subject).__name__.lower()} does not exist"):
                await asked(subject, "blog.add_post", obj)
    assert (await all_grants(blog), told) == ({}, [])


async def test_a_deleted_user_is_gone_with_all_grants(blog: Auth, ann: User, editors: Group) -> None:
    await blog.permissions.grant(ann, "blog.add_post")
    for model, keys in KEYS.values():
        await blog.permissions.grant(ann, f"blog.view_{model}", Ref(f"blog.{model}", keys[0]))
    await blog.users.delete(ann)
    assert await all_grants(blog) == {}


# Several permissions of one name, as Django lets several models have


async def test_of_several_permissions_of_one_name_the_declared_ones_row_is_granted(url: str) -> None:
    declared = Permission("blog.stamp", model="post")
    async with a_blog(url) as blog:
        comment = await store_permission(blog, "comment", "stamp")
        async with make_blog(url, permissions=[declared]) as later:
            ann = await later.users.create("ann")
            await later.permissions.grant(ann, "blog.stamp")
            assert await rows(later, "user_permissions") == [(ann.id, comment)]  # the declared one is not stored yet
            await later.permissions.revoke(ann, "blog.stamp")
            await later.permissions.sync()
            await later.permissions.grant(ann, "blog.stamp")
            stamp = await permission_id(later, "blog.stamp", "post")
            assert await rows(later, "user_permissions") == [(ann.id, stamp)]


async def test_of_several_undeclared_ones_the_oldest_is_granted_and_all_are_revoked(blog: Auth, ann: User) -> None:
    ids = [await store_permission(blog, model, "stamp") for model in ("tag", "post", "comment")]
    await blog.permissions.grant(ann, "blog.stamp")
    assert await rows(blog, "user_permissions") == [(ann.id, ids[0])]
    async with blog._database.unit() as unit:
        await unit.insert(blog.tables.user_permissions, {"user_id": ann.id, "permission_id": ids[2]})
    told = listen(blog)
    await blog.permissions.revoke(ann, "blog.stamp")
    assert await rows(blog, "user_permissions") == []
    assert not await blog.permissions.check(ann, "blog.stamp")
    assert len(told) == 1


# What tells of a change: the version and the event


async def test_9_a_version_moves_with_a_change_and_only_then(blog: Auth, ann: User, editors: Group) -> None:
    """What is kept under it would else be stale, or read anew for nothing. What is granted on objects is not kept."""
    grant, revoke = blog.permissions.grant, blog.permissions.revoke
    steps: list[tuple[Callable[[], Awaitable[None]], bool]] = [
        (lambda: grant(ann, "blog.add_post"), True),
        (lambda: grant(ann, "blog.add_post"), False),
        (lambda: grant(editors, "blog.add_post"), True),
        (lambda: grant(editors, "blog.add_post"), False),
        (lambda: grant(ann, "blog.add_post", HERE), False),
        (lambda: grant(editors, "blog.add_post", HERE), False),
        (lambda: revoke(ann, "blog.add_post"), True),
        (lambda: revoke(ann, "blog.add_post"), False),
        (lambda: revoke(editors, "blog.add_post"), True),
        (lambda: revoke(editors, "blog.add_post"), False),
        (lambda: revoke(ann, "blog.add_post", HERE), False),
        (blog.permissions.changed, True),
    ]
    bob = await blog.users.create("bob")
    versions, others = [await version(blog, ann)], [await version(blog, bob)]
    for step, _ in steps:
        await step()
        versions.append(await version(blog, ann))
        others.append(await version(blog, bob))
    assert [after != before for before, after in pairwise(versions)] == [moved for _, moved in steps]
    assert len(set(versions)) == 1 + sum(moved for _, moved in steps)  # it never comes back
    assert [n for n, (before, after) in enumerate(pairwise(others)) if before != after] == [2, 8, 11]


async def test_who_is_told_learns_what_has_changed_and_by_whom(blog: Auth, ann: User, editors: Group) -> None:
    root, told = await blog.users.create_superuser("root"), listen(blog)
    subjects: list[User | Group] = [ann, editors]
    for subject in subjects:
        for _ in range(2):
            await blog.permissions.grant(subject, "blog.add_post")
            await blog.permissions.grant(subject, "blog.change_post", Post(42), by=root)
        for _ in range(2):
            await blog.permissions.revoke(subject, "blog.add_post", by=root)
            await blog.permissions.revoke(subject, "blog.change_post", HERE)
    facts = [
        (type(event), event.subject, event.perm, event.obj, event.by)
        for event in told
        if isinstance(event, (PermissionGranted, PermissionRevoked))
    ]
    assert facts == [
        fact
        for subject in subjects
        for fact in (
            (PermissionGranted, subject, "blog.add_post", None, None),
            (PermissionGranted, subject, "blog.change_post", HERE, root),
            (PermissionRevoked, subject, "blog.add_post", None, root),
            (PermissionRevoked, subject, "blog.change_post", HERE, None),
        )
    ]
    assert len(told) == len(facts)


async def test_a_listener_that_fails_takes_the_grant_back(blog: Auth, ann: User) -> None:
    async def forbid(event: PermissionGranted) -> None:
        raise PermissionDenied("not today")

    blog.events.on(PermissionGranted, forbid)
    before = await version(blog, ann)
    for obj in (None, HERE):
        with pytest.raises(PermissionDenied):
            await blog.permissions.grant(ann, "blog.add_post", obj)
    assert (await all_grants(blog), await version(blog, ann)) == ({}, before)


async def test_an_outer_unit_takes_grant_and_version_back(blog: Auth, ann: User, editors: Group) -> None:
    await blog.permissions.grant(ann, "blog.view_post")
    before, grants, durable = await version(blog, ann), await all_grants(blog), list[object]()

    async def note(event: PermissionGranted) -> None:
        durable.append(event)

    blog.events.on(PermissionGranted, after_commit(note))
    with pytest.raises(ZeroDivisionError):
        async with blog._database.unit():
            await blog.permissions.grant(ann, "blog.add_post")
            await blog.permissions.grant(editors, "blog.add_post")
            await blog.permissions.grant(ann, "blog.change_post", HERE)
            await blog.permissions.revoke(ann, "blog.view_post")
            assert await blog.permissions.check(ann, "blog.add_post")
            raise ZeroDivisionError
    assert (await version(blog, ann), await all_grants(blog), durable) == (before, grants, [])
    assert await blog.permissions.of(ann) == {"blog.view_post"}


async def test_a_transaction_of_the_application_takes_them_back_or_keeps_them(
    blog: Auth, url: str, ann: User, editors: Group
) -> None:
    engine = create_async_engine(engine_url(url))
    before = await version(blog, ann)
    for keeps in (False, True):
        async with AsyncSession(engine) as session:
            async with blog.joined(session):
                await blog.permissions.grant(ann, "blog.add_post")
                await blog.permissions.grant(editors, "blog.change_post")
                await blog.permissions.grant(editors, "blog.change_post", HERE)
            await (session.commit() if keeps else session.rollback())
        assert await blog.permissions.of(ann) == ({"blog.add_post", "blog.change_post"} if keeps else set())
        assert (await version(blog, ann) != before) is keeps
        assert len(await all_grants(blog)) == (4 if keeps else 1)
    await engine.dispose()


async def test_a_permission_deleted_by_hand_is_gone_and_unknown(blog: Auth, ann: User, editors: Group) -> None:
    subjects: list[User | Group] = [ann, editors]
    for subject in subjects:
        await blog.permissions.grant(subject, "blog.add_post")
        await blog.permissions.grant(subject, "blog.add_post", HERE)
    before = await version(blog, ann)
    await delete_permission(blog, await permission_id(blog, "blog.add_post"))
    assert await version(blog, ann) != before
    assert list(await all_grants(blog)) == ["user_groups"]
    assert not await blog.permissions.check(ann, "blog.add_post", HERE)
    for obj in (None, HERE):
        with pytest.raises(UnknownPermission):
            await blog.permissions.grant(ann, "blog.add_post", obj)


async def test_a_permission_renamed_by_hand_is_another_one(blog: Auth, ann: User) -> None:
    await blog.permissions.grant(ann, "blog.moderate")
    permission = blog.tables.permission
    async with blog._database.unit() as unit:
        renamed = update(permission).where(permission.c.codename == "moderate").values(codename="supervise")
        await unit.changed(renamed)
        await blog.permissions.changed()
    assert await blog.permissions.of(ann) == {"blog.supervise"}
    with pytest.raises(UnknownPermission):
        await blog.permissions.grant(ann, "blog.moderate")


# Nobody grants what they do not hold


async def test_whoever_does_not_hold_it_can_neither_grant_nor_revoke_it(blog: Auth, ann: User, editors: Group) -> None:
    boss = await blog.users.create("boss")
    await blog.permissions.grant(editors, "blog.change_post")
    await blog.permissions.grant(boss, "blog.view_post")
    grants, before, told = await all_grants(blog), await version(blog, ann), listen(blog)
    subjects: list[User | Group] = [ann, editors, boss]
    for subject in subjects:
        for asked in (blog.permissions.grant, blog.permissions.revoke):
            for obj in (None, HERE):
                with pytest.raises(PermissionDenied, match="not yours"):
                    await asked(subject, "blog.change_post", obj, by=boss)
    assert (await all_grants(blog), await version(blog, ann), told) == (grants, before, [])


async def test_who_holds_it_on_one_object_hands_it_on_there_alone(blog: Auth, ann: User) -> None:
    boss = await blog.users.create("boss")
    await blog.permissions.grant(boss, "blog.change_post", HERE)
    for obj in (None, Ref("blog.post", 43)):
        with pytest.raises(PermissionDenied):
            await blog.permissions.grant(ann, "blog.change_post", obj, by=boss)
    await blog.permissions.grant(ann, "blog.change_post", HERE, by=boss)
    assert await blog.permissions.check(ann, "blog.change_post", HERE)
    await blog.permissions.grant(boss, "blog.change_post")
    await blog.permissions.grant(ann, "blog.change_post", by=boss)
    assert await blog.permissions.check(ann, "blog.change_post")


async def test_whoever_acts_is_as_the_database_has_them_now(blog: Auth, ann: User) -> None:
    """A request may be older than the loss of a right: a superuser who was deactivated has nothing."""
    boss, gone = await blog.users.create_superuser("boss"), await blog.users.create_superuser("gone")
    await blog.permissions.grant(ann, "blog.add_post", by=boss)
    await blog.users.update(boss, is_active=False)
    await blog.users.delete(gone)
    acting: list[Any] = [boss, gone, AnonymousUser()]
    for by in acting:
        with pytest.raises(PermissionDenied):
            await blog.permissions.revoke(ann, "blog.add_post", by=by)
    assert await blog.permissions.check(ann, "blog.add_post")


async def test_6_changes_are_counted_alike_over_an_engine(url: str) -> None:
    """SQLAlchemy asks MariaDB to count the rows that were found, not those that changed."""
    engine = create_async_engine(engine_url(url))
    async with a_blog(engine) as blog:
        ann, told = await blog.users.create("ann"), listen(blog)
        for asked in (blog.permissions.grant, blog.permissions.revoke):
            for obj in (None, HERE):
                for _ in range(2):
                    await asked(ann, "blog.change_post", obj)
        kinds = [type(event) for event in told]
        assert kinds == [PermissionGranted, PermissionGranted, PermissionRevoked, PermissionRevoked]
    await engine.dispose()


async def test_B10_4_by_a_rule_one_hands_on_what_the_stored_row_says_is_ones_own(url: str) -> None:
    """An object in Python may say anything, such as what a form has sent."""
    async with deciding(url, rules=[OWN], authors=[1]) as (auth, users):
        ann, bob = users.ann, await auth.users.create("bob")
        assert ann.id == 1
        forged = Post(1, author_id=bob.id)
        assert await auth.permissions.check(bob, PERM, forged)
        await auth.permissions.grant(users.gone, PERM, Ref("blog.post", 1))
        before, told = await all_grants(auth), listen(auth)
        for obj in (forged, Ref("blog.post", 1)):
            for asked, subject in ((auth.permissions.grant, bob), (auth.permissions.revoke, users.gone)):
                with pytest.raises(PermissionDenied, match="not yours"):
                    await asked(subject, PERM, obj, by=bob)
        assert (await all_grants(auth), told) == (before, [])
        for obj in (Post(1, author_id=bob.id), Ref("blog.post", 1)):
            await auth.permissions.grant(bob, PERM, obj, by=ann)
            await auth.permissions.revoke(bob, PERM, obj, by=ann)
        assert len(told) == 4
