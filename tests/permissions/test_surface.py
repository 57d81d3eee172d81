"""What is given by mistake is named, and its cure: a wrong kind of thing, a slip of the pen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from asgiauth import Auth, Group, Permission, Ref, Resource, Rule, User, crud
from asgiauth.exceptions import ConfigurationError, UnknownPermission

from ..conftest import make_auth
from .deciding import PERM, posts_of, statements
from .granting import Post, store_permission

HERE = Ref("blog.post", 42)


@pytest.fixture
async def editors(blog: Auth) -> Group:
    return await blog.groups.create("editors")


def table(name: str = "blog_post") -> Table:
    return Table(name, MetaData(), Column("id", Integer, primary_key=True))


# names of permissions


@pytest.mark.parametrize("typo", ["blog.chnage_post", "blog", "", "blog.Change_post", "blog.a\0", "blog.\ud800"])
async def test_an_unknown_permission_has_no_rows_and_no_holders(blog: Auth, ann: User, typo: str) -> None:
    root = await blog.users.create_superuser("root")
    for user in (ann, root):
        with pytest.raises(UnknownPermission, match="syncpermissions"):
            await blog.permissions.where(user, typo, posts_of(blog))
        assert await blog.permissions.check(user, typo) is (user == root)
    with pytest.raises(UnknownPermission, match="syncpermissions"):
        await blog.permissions.holders(typo)


async def test_a_known_permission_that_is_about_no_object_is_not_called_unknown(blog: Auth, ann: User) -> None:
    await store_permission(blog, "engine", "mend")
    for perm in ("blog.moderate", "blog.mend"):
        with pytest.raises(TypeError, match="belongs to no Resource"):
            await blog.permissions.where(ann, perm, posts_of(blog))
    assert await blog.permissions.holders("blog.mend") == []


async def test_a_name_that_is_stored_but_not_declared_is_looked_up_once(
    blog: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await blog.users.create_superuser("root")
    for codename in ("mend", "drive"):
        await store_permission(blog, "engine", codename)

    async def cost(perm: str) -> int:
        async with statements(blog) as sent:
            assert await blog.permissions.check(root, perm)
        return len(sent)

    assert [await cost(PERM), await cost("blog.mend"), await cost("blog.mend")] == [0, 1, 0]
    assert [await cost("blog.typo"), await cost("blog.typo")] == [1, 0]
    monkeypatch.setattr("asgiauth.permissions.service._NOTED", 2)  # names may come from visitors
    assert [await cost("blog.drive"), await cost("blog.other"), await cost("blog.other")] == [1, 1, 0]
    monkeypatch.setattr("asgiauth.permissions.service._NOTED", 1)
    assert blog.permissions._seen == {"blog.mend", "blog.drive"}
    await store_permission(blog, "engine", "stop")
    assert await blog.permissions.holders("blog.stop") == [root]
    assert blog.permissions._seen == {"blog.mend", "blog.drive"}


async def test_A4_6_a_declared_permission_stands_for_its_name(blog: Auth, ann: User, editors: Group) -> None:
    perm = Permission(PERM, model="post")
    subjects: list[User | Group] = [ann, editors]
    for subject in subjects:
        for obj in (None, HERE):
            await blog.permissions.grant(subject, perm, obj)
    assert await blog.permissions.holders(perm) == [ann]
    assert await blog.permissions.check(ann, perm)
    assert (await blog.permissions.explain(ann, perm, HERE)).perm == PERM
    assert str(await blog.permissions.where(ann, perm, posts_of(blog))) == "true"
    for subject in subjects:
        for obj in (None, HERE):
            await blog.permissions.revoke(subject, perm, obj)
    assert not await blog.permissions.check(ann, perm, HERE)
    writers = await blog.groups.create("writers", [perm])
    assert await blog.groups.permissions(writers) == {PERM}


@pytest.mark.parametrize(
    "thing", [None, 7, b"blog.add_post", ["blog.add_post"]], ids=["none", "number", "bytes", "list"]
)
async def test_what_is_no_name_of_a_permission_is_refused(blog: Auth, ann: User, thing: Any) -> None:
    permissions = blog.permissions
    for asked in (
        permissions.grant(ann, thing),
        permissions.revoke(ann, thing),
        permissions.check(ann, thing),
        permissions.explain(ann, thing),
        permissions.where(ann, thing, posts_of(blog)),
        permissions.holders(thing),
    ):
        with pytest.raises(TypeError, match=r"a permission is its name, 'app\.codename', or a Permission, not "):
            await asked


# users and groups


@pytest.mark.parametrize("nobody", [None, 7, "ann"], ids=["none", "id", "name"])
async def test_what_is_no_user_is_refused(blog: Auth, nobody: Any) -> None:
    permissions = blog.permissions
    for asked in (
        permissions.check(nobody, PERM),
        permissions.check(nobody, PERM, HERE),
        permissions.explain(nobody, PERM),
        permissions.of(nobody),
        permissions.of(nobody, HERE),
        permissions.direct(nobody),
        permissions.from_groups(nobody),
        permissions.has_module(nobody, "blog"),
        permissions.where(nobody, PERM, posts_of(blog)),
    ):
        with pytest.raises(TypeError, match=r"a user is a User or AnonymousUser\(\), not (NoneType|int|str)"):
            await asked


async def test_a_group_is_named_where_a_name_is_asked_for_and_given_where_a_group_is(
    blog: Auth, ann: User, editors: Group
) -> None:
    groups: Any = blog.groups
    named: list[tuple[str, Callable[..., Awaitable[Any]]]] = [
        ("add", lambda name: groups.add(ann, name)),
        ("remove", lambda name: groups.remove(ann, name)),
        ("members", groups.members),
    ]
    given: list[tuple[str, Callable[..., Awaitable[Any]]]] = [
        ("delete", groups.delete),
        ("rename", lambda group: groups.rename(group, "others")),
        ("permissions", groups.permissions),
    ]
    for method, ask in named:
        strangers: list[Any] = [editors, None, 7]
        for strange in strangers:
            with pytest.raises(TypeError, match=rf"groups\.{method}\(\) takes names of groups, such as group\.name"):
                await ask(strange)
    for method, ask in given:
        for other in ("editors", None, 7):
            with pytest.raises(TypeError, match=rf"groups\.{method}\(\) takes a Group, not "):
                await ask(other)
    assert await groups.all() == [editors]


@pytest.mark.parametrize("perms", [PERM, Permission(PERM)], ids=["text", "permission"])
async def test_a_group_is_created_with_a_list(blog: Auth, perms: Any) -> None:
    with pytest.raises(TypeError, match=r"groups\.create\(\) takes a list of permissions"):
        await blog.groups.create("writers", perms)
    assert await blog.groups.all() == []


# Auth(...)

OWN = Rule(PERM, check=lambda user, post: True, where=lambda user, t: True)

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a permission": ({"permissions": Permission(PERM)}, r"permissions=.*: give a list, permissions=\[Permission\("),
    "a name": ({"permissions": PERM}, r"permissions='blog\.change_post': give a list"),
    "names": ({"permissions": [PERM]}, r"permissions=\['blog\.change_post'\]: give Permission\("),
    "a list too many": ({"permissions": [crud("blog", "post")]}, r"has a list in it: give .*\*crud\("),
    "a resource": ({"resources": Resource("blog.post", table=table())}, r"give a list, resources=\[Resource\("),
    "a rule": ({"rules": OWN}, r"give a list, rules=\[Rule\("),
}


@pytest.mark.parametrize("case", WRONG)
def test_A19_4_what_is_no_list_of_such_things_is_refused(sqlite_url: str, case: str) -> None:
    options, message = WRONG[case]
    with pytest.raises(ConfigurationError, match=message):
        make_auth(sqlite_url, **options)


def test_A19_4_two_resources_of_one_type_are_refused(sqlite_url: str) -> None:
    both = [Resource(f"blog.{name}", table=table(name), type=Post) for name in ("post", "page")]
    with pytest.raises(ConfigurationError, match=r"'blog\.post' and 'blog\.page' have one type, Post: leave it out"):
        make_auth(sqlite_url, resources=both)


@pytest.mark.parametrize(
    ("permissions", "warned"),
    [([], False), (crud("blog", "post"), False), (crud("shop", "post"), True), ([Permission("blog.post")], True)],
    ids=["none declared", "declared", "of another application", "without a model"],
)
def test_a_resource_that_no_declared_permission_belongs_to_is_logged(
    sqlite_url: str, caplog: pytest.LogCaptureFixture, permissions: list[Permission], warned: bool
) -> None:
    """No error: on a database that is shared with Django, what is stored need not be declared."""
    make_auth(sqlite_url, permissions=permissions, resources=[Resource("blog.Post", table=table())])
    said = "no declared permission belongs to the resource 'blog.post': say model=... where one is"
    assert [record.getMessage() for record in caplog.records if record.name == "asgiauth"] == [said] * warned
