"""Groups: users who may do the same (Django row A4.8)."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Column, Date, ForeignKey, Integer, MetaData, Table, insert, update

from asgiauth import AnonymousUser, Auth, Group, Ref, User, UserModel
from asgiauth.db.schema import create_tables
from asgiauth.events import (
    GroupCreated,
    GroupDeleted,
    GroupMembersChanged,
    GroupRenamed,
    PermissionGranted,
    after_commit,
)
from asgiauth.exceptions import Conflict, GroupExists, InvalidField, NotFound, PermissionDenied, UnknownPermission

from ..conftest import make_auth
from .granting import a_blog, all_grants, delete_permission, listen, make_blog, permission_id, rows, version

NAMELESS: dict[str, list[Any]] = {
    "required": ["", " ", "\t\n"],
    "too_long": ["x" * 151],
    "invalid_characters": ["a\0b", "a\ud800"],
    "invalid_type": [7, b"editors"],
}


async def test_A4_8_whoever_is_in_a_group_may_do_what_the_group_may(blog: Auth, ann: User) -> None:
    group = await blog.groups.create("editors", ["blog.add_post", "blog.change_post", "blog.add_post"])
    assert not await blog.permissions.of(ann)
    await blog.groups.add(ann, "editors")
    assert await blog.permissions.of(ann) == {"blog.add_post", "blog.change_post"}
    assert await blog.permissions.of(ann) == await blog.groups.permissions(group)
    await blog.groups.remove(ann, "editors")
    assert not await blog.permissions.of(ann)


async def test_A4_7_a_group_is_shown_by_its_name(blog: Auth) -> None:
    assert str(await blog.groups.create("editors")) == "editors"


async def test_a_group_is_found_by_its_exact_name_alone(blog: Auth) -> None:
    """MariaDB would find 'Editors' too, asked for 'editors'."""
    group = await blog.groups.create("editors")
    assert await blog.groups.get("editors") == group
    unlike: list[Any] = ["Editors", "editors ", "éditors", "", "editors\0", "a\ud800", 7, None]
    assert [await blog.groups.get(name) for name in unlike] == [None] * len(unlike)


async def test_groups_are_listed_by_name(blog: Auth, ann: User) -> None:
    for name in ("writers", "Zoo", "editors", "ärzte"):
        await blog.groups.create(name)
    assert [group.name for group in await blog.groups.all()] == ["Zoo", "editors", "writers", "ärzte"]
    await blog.groups.add(ann, "writers", "editors", "writers")
    assert [group.name for group in await blog.groups.of(ann)] == ["editors", "writers"]
    assert await blog.groups.of(await blog.users.create("bob")) == []


@pytest.mark.parametrize("code", NAMELESS)
async def test_a_name_that_cannot_be_stored_is_refused(blog: Auth, code: str) -> None:
    group = await blog.groups.create("editors")
    told = listen(blog)
    for name in NAMELESS[code]:
        for asked in (blog.groups.create(name), blog.groups.rename(group, name)):
            with pytest.raises(InvalidField) as error:
                await asked
            assert (error.value.field, error.value.code) == ("name", code)
    assert await blog.groups.all() == [group]
    assert told == []


async def test_a_name_of_150_characters_is_stored(blog: Auth) -> None:
    name = "ü" * 150
    await blog.groups.create(name)
    assert await blog.groups.get(name) is not None


async def test_a_group_with_an_unknown_permission_is_not_created(blog: Auth) -> None:
    told = listen(blog)
    with pytest.raises(UnknownPermission, match="syncpermissions"):
        await blog.groups.create("editors", ["blog.add_post", "blog.fly"])
    assert await blog.groups.all() == []
    assert await all_grants(blog) == {}
    assert [type(event) for event in told] == [GroupCreated, PermissionGranted]  # taken back with all the rest


async def test_a_name_is_given_once(blog: Auth) -> None:
    editors, writers = await blog.groups.create("editors"), await blog.groups.create("writers")
    with pytest.raises(GroupExists):
        await blog.groups.create("editors", ["blog.add_post"])
    with pytest.raises(GroupExists):
        await blog.groups.rename(writers, "editors")
    assert await blog.groups.all() == [editors, writers]


async def test_one_of_fifty_creations_of_a_name_wins(blog: Auth) -> None:
    asked = [blog.groups.create("editors", ["blog.add_post"]) for _ in range(50)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert Counter(type(result).__name__ for result in results) == {"Group": 1, "GroupExists": 49}
    assert len(await blog.groups.all()) == len(await rows(blog, "group_permissions")) == 1


async def test_a_rename_takes_effect_at_once_and_keeps_everything(blog: Auth, ann: User) -> None:
    group = await blog.groups.create("editors", ["blog.add_post"])
    await blog.groups.add(ann, "editors")
    before, told = await version(blog, ann), listen(blog)
    renamed = await blog.groups.rename(group, "writers")
    assert renamed == Group(group.id, "writers")
    assert await blog.groups.of(ann) == [renamed]
    assert await blog.groups.get("editors") is None
    assert await blog.permissions.of(ann) == {"blog.add_post"}
    assert await version(blog, ann) != before
    (event,) = told
    assert isinstance(event, GroupRenamed)
    assert (event.group, event.former_name) == (renamed, "editors")
    with pytest.raises(NotFound):
        await blog.groups.add(ann, "editors")


async def test_a_rename_to_the_same_name_changes_nothing(blog: Auth, ann: User) -> None:
    group = await blog.groups.create("editors")
    before, told = await version(blog, ann), listen(blog)
    assert await blog.groups.rename(Group(group.id, "as it was once"), "editors") == group
    assert (await version(blog, ann), told) == (before, [])


async def test_a_deleted_group_is_gone_with_memberships_and_grants(blog: Auth, ann: User) -> None:
    group = await blog.groups.create("editors", ["blog.add_post"])
    await blog.groups.add(ann, "editors")
    for ref in (Ref("blog.post", 1), Ref("blog.tag", "new")):
        await blog.permissions.grant(group, f"blog.view_{ref.resource[5:]}", ref)
    before, told = await version(blog, ann), listen(blog)
    await blog.groups.delete(group)
    assert await all_grants(blog) == {}
    assert await blog.groups.all() == await blog.groups.of(ann) == []
    assert not await blog.permissions.of(ann)
    assert not await blog.permissions.check(ann, "blog.view_post", Ref("blog.post", 1))
    assert await version(blog, ann) != before
    (event,) = told
    assert isinstance(event, GroupDeleted)
    assert event.group == group


async def test_what_is_gone_is_not_found_and_nothing_changes(blog: Auth, ann: User) -> None:
    await blog.groups.create("writers")
    gone, nobody = await blog.groups.create("editors"), await blog.users.create("bob")
    await blog.groups.delete(gone)
    await blog.users.delete(nobody)
    before, told = await version(blog, ann), listen(blog)
    for asked in (
        blog.groups.delete(gone),
        blog.groups.rename(gone, "others"),
        blog.groups.add(ann, "writers", "editors"),
        blog.groups.add(nobody, "writers"),
        blog.groups.remove(ann, "writers", "Writers"),
        blog.groups.remove(nobody, "writers"),
        blog.groups.members("editors"),
    ):
        with pytest.raises(NotFound):
            await asked
    assert await all_grants(blog) == {}
    assert (await version(blog, ann), told) == (before, [])
    assert await blog.groups.permissions(gone) == frozenset()


async def test_only_a_stored_user_can_be_a_member(blog: Auth, ann: User) -> None:
    await blog.groups.create("editors")
    for nobody in (AnonymousUser(), ann.with_changes(id=None), ann.id, "ann"):
        with pytest.raises(TypeError, match="a stored User"):
            await blog.groups.add(nobody, "editors")  # type: ignore[arg-type]


async def test_a_membership_is_there_or_not_however_often_it_is_asked_for(blog: Auth, ann: User) -> None:
    editors, writers = await blog.groups.create("editors"), await blog.groups.create("writers")
    versions, told = [await version(blog, ann)], listen(blog)
    for change, names in (
        (blog.groups.add, ["writers"]),
        (blog.groups.add, ["writers"]),
        (blog.groups.add, ["writers", "editors"]),
        (blog.groups.add, []),
        (blog.groups.remove, ["writers", "editors"]),
        (blog.groups.remove, ["editors"]),
    ):
        await change(ann, *names)
        versions.append(await version(blog, ann))
    assert await rows(blog, "user_groups") == []
    moved = [after != before for before, after in pairwise(versions)]
    assert moved == [True, False, True, False, True, False]
    assert [(event.user, event.added, event.removed) for event in told if isinstance(event, GroupMembersChanged)] == [
        (ann, (writers,), ()),
        (ann, (editors,), ()),
        (ann, (), (editors, writers)),
    ]
    assert len(told) == 3


async def test_fifty_at_once_make_one_membership(blog: Auth, ann: User) -> None:
    for name in ("editors", "writers"):
        await blog.groups.create(name)
    told = listen(blog)
    orders = [("editors", "writers"), ("writers", "editors")]
    await asyncio.gather(*(blog.groups.add(ann, *orders[n % 2]) for n in range(50)))
    assert len(await rows(blog, "user_groups")) == 2
    assert len(told) == 1


async def test_a_user_who_is_deleted_meanwhile_leaves_no_membership(blog: Auth) -> None:
    """Django's foreign keys are only checked at the COMMIT, so nothing else would say so in time."""
    users = [await blog.users.create(f"u{n}") for n in range(10)]
    groups = [await blog.groups.create(f"g{n}", ["blog.add_post"]) for n in range(10)]
    asked = [
        work
        for user, group in zip(users, groups, strict=True)
        for work in (
            blog.groups.add(user, *(one.name for one in groups)),
            blog.users.delete(user),
            blog.groups.delete(group),
        )
    ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), NotFound}
    assert await all_grants(blog) == {}


async def test_a_group_that_is_deleted_meanwhile_is_not_found(
    blog: Auth, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was found before the unit of work, and in it is gone."""
    await blog.groups.create("editors")
    found = blog.groups._named

    async def found_and_deleted(method: str, name: str) -> Group:
        group = await found(method, name)
        await blog.groups.delete(group)
        return group

    monkeypatch.setattr(blog.groups, "_named", found_and_deleted)
    with pytest.raises(NotFound, match="no group 'editors'"):
        await blog.groups.add(ann, "editors")
    assert await all_grants(blog) == {}


async def test_members_are_users_of_the_applications_class_by_id(url: str) -> None:
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Member(User):
        birthday: date | None = None

    auth = make_auth(url, user_model=UserModel(Member, columns=[Column("birthday", Date)]))
    async with auth:
        await auth.create_tables()
        users = [await auth.users.create(f"u{n}", birthday=date(2000, 1, n + 1)) for n in range(3)]
        await auth.groups.create("editors")
        for user in reversed(users):
            await auth.groups.add(user, "editors")
        members = await auth.groups.members("editors")
        assert members == users
        birthdays = [member.birthday for member in members if isinstance(member, Member)]
        assert birthdays == [date(2000, 1, n + 1) for n in range(3)]
        assert (await auth.users.page(group="editors")).items == users
        with pytest.raises(NotFound, match="no group"):
            await auth.groups.members("Editors")
        assert (await auth.users.page(group="Editors")).items == []


async def test_the_rows_are_those_that_django_writes(blog: Auth, ann: User) -> None:
    group = await blog.groups.create("editors", ["blog.add_post"])
    await blog.groups.add(ann, "editors")
    assert blog.tables.user_groups.name == "auth_user_groups"
    assert blog.tables.group_permissions.name == "auth_group_permissions"
    assert await rows(blog, "group") == [("editors",)]
    assert await rows(blog, "user_groups") == [(ann.id, group.id)]
    assert await rows(blog, "group_permissions") == [(group.id, await permission_id(blog, "blog.add_post"))]


async def test_an_outer_unit_takes_everything_back(blog: Auth, ann: User) -> None:
    editors = await blog.groups.create("editors")
    before = await version(blog, ann)
    told: list[str] = []

    async def durable(event: GroupMembersChanged) -> None:
        told.append(event.user.username)

    blog.events.on(GroupMembersChanged, after_commit(durable))
    with pytest.raises(ZeroDivisionError):
        async with blog._database.unit():
            await blog.groups.create("writers", ["blog.add_post"])
            await blog.groups.add(ann, "editors", "writers")
            await blog.groups.rename(editors, "readers")
            raise ZeroDivisionError
    assert await blog.groups.all() == [editors]
    assert await all_grants(blog) == {}
    assert (await version(blog, ann), told) == (before, [])


async def test_a_row_of_the_application_keeps_its_group(url: str) -> None:
    metadata = MetaData()
    async with a_blog(url, metadata=metadata) as auth:
        team = Table("team", metadata, Column("group_id", Integer, ForeignKey("auth_group.id"), primary_key=True))
        await create_tables(auth._database, metadata, [team])
        group, ann = await auth.groups.create("editors", ["blog.add_post"]), await auth.users.create("ann")
        await auth.groups.add(ann, "editors")
        async with auth._database.unit() as unit:
            await unit.execute(insert(team).values(group_id=group.id))
        with pytest.raises(Conflict) as error:
            await auth.groups.delete(group)
        assert error.value.kind == "foreign_key"
        assert await auth.permissions.of(ann) == {"blog.add_post"}


async def test_what_the_database_refuses_for_another_reason_is_no_taken_name(sqlite_auth: Auth) -> None:
    """A trigger of the application, say."""
    group = await sqlite_auth.groups.create("editors")
    async with sqlite_auth._database.unit() as unit:
        for event in ("INSERT", "UPDATE"):
            await unit.text(
                f"CREATE TRIGGER no_{event} BEFORE {event} ON auth_group BEGIN SELECT RAISE(ABORT, 'no more'); END"
            )
    for asked in (sqlite_auth.groups.create("writers"), sqlite_auth.groups.rename(group, "writers")):
        with pytest.raises(Conflict) as error:
            await asked
        assert error.value.kind == "other"


# Nobody grants what they do not hold


async def test_whoever_lacks_what_a_group_may_cannot_put_anybody_into_it(blog: Auth, ann: User) -> None:
    await blog.groups.create("editors", ["blog.add_post", "blog.change_post"])
    boss = await blog.users.create("boss")
    await blog.permissions.grant(boss, "blog.add_post")
    before = await version(blog, ann)
    with pytest.raises(PermissionDenied, match="change_post"):
        await blog.groups.add(ann, "editors", by=boss)
    assert (await blog.groups.of(ann), await version(blog, ann)) == ([], before)
    await blog.permissions.grant(boss, "blog.change_post")
    await blog.groups.add(ann, "editors", by=boss)
    assert await blog.permissions.of(ann) == {"blog.add_post", "blog.change_post"}


async def test_everything_that_a_group_may_do_with_objects_must_be_held_too(blog: Auth, ann: User) -> None:
    group, boss = await blog.groups.create("editors"), await blog.users.create("boss")
    here, there = Ref("blog.post", 1), Ref("blog.tag", "new")
    await blog.permissions.grant(group, "blog.change_post", here)
    await blog.permissions.grant(group, "blog.change_tag", there)
    await blog.permissions.grant(boss, "blog.change_post", here)
    with pytest.raises(PermissionDenied, match="change_tag"):
        await blog.groups.add(ann, "editors", by=boss)
    await blog.permissions.grant(boss, "blog.change_tag")  # everywhere is more than on one
    await blog.groups.add(ann, "editors", by=boss)
    assert await blog.permissions.check(ann, "blog.change_tag", there)


async def test_a_source_that_says_no_to_an_object_is_heard(url: str) -> None:
    class Never:
        name = "never"

        async def allows(self, user: Any, perm: str, obj: object | None) -> bool | None:
            return False if obj == Ref("blog.post", 2) else None

    async with a_blog(url, backends=[Never()]) as blog:
        group = await blog.groups.create("editors")
        ann, boss = await blog.users.create("ann"), await blog.users.create("boss")
        await blog.permissions.grant(boss, "blog.change_post")
        await blog.permissions.grant(group, "blog.change_post", Ref("blog.post", 1))
        await blog.groups.add(ann, "editors", by=boss)
        await blog.groups.remove(ann, "editors")
        await blog.permissions.grant(group, "blog.change_post", Ref("blog.post", 2))
        with pytest.raises(PermissionDenied):
            await blog.groups.add(ann, "editors", by=boss)
        assert await blog.groups.of(ann) == []


async def test_a_grant_on_what_is_no_resource_any_more_is_held_by_nobody_but_superusers(url: str) -> None:
    async with a_blog(url) as blog:
        group, boss = await blog.groups.create("editors"), await blog.users.create("boss")
        ann, root = await blog.users.create("ann"), await blog.users.create_superuser("root")
        await blog.permissions.grant(group, "blog.change_post", Ref("blog.post", 1))
        await blog.permissions.grant(boss, "blog.change_post", Ref("blog.post", 1))
        async with make_blog(url, resources=[]) as later:
            with pytest.raises(PermissionDenied):
                await later.groups.add(ann, "editors", by=boss)
            await later.groups.add(ann, "editors", by=root)
            assert await later.groups.of(ann) == [group]


async def test_whoever_acts_is_as_the_database_has_them_now(blog: Auth, ann: User) -> None:
    """A request may be older than the loss of a right: a superuser who was deactivated has nothing."""
    await blog.groups.create("editors", ["blog.add_post"])
    boss, gone = await blog.users.create_superuser("boss"), await blog.users.create_superuser("gone")
    await blog.users.update(boss, is_active=False)
    await blog.users.delete(gone)
    for by in (boss, gone, AnonymousUser()):
        with pytest.raises(PermissionDenied):
            await blog.groups.add(ann, "editors", by=by)  # type: ignore[arg-type]
    assert await blog.groups.of(ann) == []


async def test_whoever_lacks_what_a_group_may_cannot_take_anybody_out_of_it(blog: Auth, ann: User) -> None:
    editors = await blog.groups.create("editors", ["blog.add_post"])
    boss, root = await blog.users.create("boss"), await blog.users.create_superuser("root")
    await blog.groups.add(ann, "editors")
    before, told = await version(blog, ann), listen(blog)
    with pytest.raises(PermissionDenied, match="add_post"):
        await blog.groups.remove(ann, "editors", by=boss)
    assert (await blog.groups.of(ann), await version(blog, ann), told) == ([editors], before, [])
    await blog.permissions.grant(boss, "blog.add_post")
    told.clear()
    await blog.groups.remove(ann, "editors", by=boss)
    await blog.groups.add(ann, "editors", by=root)
    await blog.groups.remove(ann, "editors")
    assert [event.by for event in told if isinstance(event, GroupMembersChanged)] == [boss, root, None]
    assert await blog.groups.of(ann) == []


async def test_a_permission_that_is_deleted_by_hand_is_gone_for_everybody(blog: Auth, ann: User) -> None:
    group = await blog.groups.create("editors", ["blog.add_post", "blog.view_post"])
    await blog.groups.add(ann, "editors")
    before = await version(blog, ann)
    await delete_permission(blog, await permission_id(blog, "blog.add_post"))
    assert await blog.groups.permissions(group) == {"blog.view_post"}
    assert not await blog.permissions.check(ann, "blog.add_post")
    assert await version(blog, ann) != before
    with pytest.raises(UnknownPermission):
        await blog.groups.create("writers", ["blog.add_post"])


async def test_groups_that_django_made_are_groups(blog: Auth, ann: User) -> None:
    async with blog._database.unit() as unit:
        id_ = await unit.insert(blog.tables.group, {"name": "django"})
        await unit.insert(blog.tables.user_groups, {"user_id": ann.id, "group_id": id_})
        row = {"group_id": id_, "permission_id": await permission_id(blog, "blog.moderate")}
        await unit.insert(blog.tables.group_permissions, row)
        await unit.changed(update(blog.tables.group).where(blog.tables.group.c.id == id_).values(name="renamed"))
    assert await blog.groups.of(ann) == [Group(id_, "renamed")]
    assert await blog.permissions.of(ann) == {"blog.moderate"}
