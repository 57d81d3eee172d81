"""An object that is deleted leaves no grants behind, which the next one of its key would inherit."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from asgiauth import Ref, User

from .granting import Post, a_blog

KEYS: dict[str, tuple[Any, Any]] = {
    "post": (42, 43),
    "document": (UUID(int=42), UUID(int=43)),
    "tag": ("news", "News"),
}


@pytest.mark.parametrize("model", KEYS)
async def test_B10_2_what_was_granted_on_a_deleted_object_is_gone_and_nothing_else(url: str, model: str) -> None:
    """To users and groups, whatever the permission; not on another object, nor on another thing of the same key."""
    async with a_blog(url) as auth:
        ann, editors = await auth.users.create("ann"), await auth.groups.create("editors")
        gone, stays = (Ref(f"blog.{model}", key) for key in KEYS[model])
        change, delete = f"blog.change_{model}", f"blog.delete_{model}"
        for subject in (ann, editors):
            for obj in (gone, stays):
                await auth.permissions.grant(subject, change, obj)
        await auth.permissions.grant(ann, delete, gone)
        await auth.permissions.grant(ann, "blog.change_comment", Ref("blog.comment", 42))
        assert await auth.permissions.forget(gone) == 3
        assert await auth.permissions.forget(gone) == 0
        assert await auth.permissions.of(ann, gone) == frozenset()
        assert await auth.permissions.of(ann, stays) == {change}
        assert await auth.permissions.check(ann, "blog.change_comment", Ref("blog.comment", 42))
        await auth.groups.add(bob := await auth.users.create("bob"), "editors")
        assert [await auth.permissions.check(bob, change, obj) for obj in (gone, stays)] == [False, True]


async def test_it_is_taken_back_with_the_unit_of_work_and_knows_instances(sqlite_url: str) -> None:
    async with a_blog(sqlite_url) as auth:
        ann: User = await auth.users.create("ann")
        await auth.permissions.grant(ann, "blog.change_post", Post(1))
        with pytest.raises(RuntimeError, match="not deleted after all"):
            async with auth._database.unit():
                assert await auth.permissions.forget(Post(1)) == 1
                raise RuntimeError("not deleted after all")
        assert await auth.permissions.check(ann, "blog.change_post", Post(1))
        assert await auth.permissions.forget(Post(None)) == 0
        for nothing in (Ref("shop.order", 1), object()):
            with pytest.raises(TypeError, match="belongs to no Resource"):
                await auth.permissions.forget(nothing)
