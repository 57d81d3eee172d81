"""What `check()` answers about objects (DESIGN 8, rows A5.5 and B10.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import exists, select

from asgiauth import Permission, Ref, Rule

from ..conftest import make_auth
from .deciding import NOBODY, OWN, PERM, Saying, deciding, posts_of, rule, statements
from .granting import Post, a_blog, store_permission


async def test_B10_1_a_permission_is_held_everywhere_on_an_object_or_by_a_rule(url: str) -> None:
    async with deciding(url, authors=[1, None, None], rules=[OWN]) as (auth, users):
        check, grant = auth.permissions.check, auth.permissions.grant
        group = await auth.groups.create("editors")
        await auth.groups.add(users.ann, "editors")
        await grant(users.ann, PERM, Ref("blog.post", 2))
        await grant(group, PERM, Ref("blog.post", 3))
        await grant(users.ann, "blog.view_post")
        await grant(group, "blog.delete_post")
        for key, allowed in {1: users.ann.id == 1, 2: True, 3: True, 4: False}.items():
            author = 1 if key == 1 else None
            assert await check(users.ann, PERM, Post(key, author)) is allowed
            assert await check(users.ann, PERM, Ref("blog.post", key)) is allowed
            assert await check(users.ann, "blog.view_post", Post(key))
            assert await check(users.ann, "blog.delete_post", Ref("blog.post", key))
            assert not await check(users.ann, "blog.add_post", Post(key))
        assert not await check(users.ann, PERM)
        assert not await check(users.gone, PERM, Ref("blog.post", 2))
        assert await check(users.boss, PERM, Ref("blog.post", 4))
        assert not await check(users.gone_boss, PERM, Post(4))


@pytest.mark.parametrize(
    ("model", "key", "other"),
    [("comment", 2**63 - 1, 2**63 - 2), ("document", uuid4(), uuid4()), ("tag", "Straße ", "strasse")],
    ids=["integer", "uuid", "text"],
)
async def test_B10_1_a_grant_is_about_one_object_alone(url: str, model: str, key: Any, other: Any) -> None:
    async with a_blog(url) as auth:
        ann = await auth.users.create("ann")
        perm = f"blog.change_{model}"
        await auth.permissions.grant(ann, perm, Ref(f"blog.{model}", key))
        assert await auth.permissions.check(ann, perm, Ref(f"blog.{model}", key))
        assert not await auth.permissions.check(ann, perm, Ref(f"blog.{model}", other))
        assert not await auth.permissions.check(ann, f"blog.view_{model}", Ref(f"blog.{model}", key))


async def test_B10_1_the_grant_on_post_42_never_answers_for_comment_42(sqlite_url: str) -> None:
    async with deciding(sqlite_url) as (auth, users):
        await auth.permissions.grant(users.ann, PERM, Ref("blog.post", 42))
        with pytest.raises(TypeError, match=r"about blog\.post, and Ref\(resource='blog\.comment', key=42\) is not"):
            await auth.permissions.check(users.ann, PERM, Ref("blog.comment", 42))
        assert not await auth.permissions.check(users.ann, "blog.change_comment", Ref("blog.comment", 42))
        assert await auth.permissions.of(users.ann, Ref("blog.comment", 42)) == frozenset()
        assert await auth.permissions.of(users.ann, Ref("blog.post", 42)) == {PERM}
        assert await auth.permissions.of(users.ann, Post(42)) == {PERM}


@dataclass
class Stranger:
    """It has an id, too."""

    id: int = 1

    def __repr__(self) -> str:
        raise AssertionError("what an object says of itself is nobody's business")


@pytest.mark.parametrize("obj", [Stranger(), "1", 1, Ref("blog.post", "1"), Ref("blog.post", True)], ids=list("abcde"))
async def test_B10_1_another_object_is_a_type_error_for_everybody(sqlite_url: str, obj: Any) -> None:
    """For superusers too, so that a developer sees it."""
    async with deciding(sqlite_url) as (auth, users):
        for user in (users.ann, users.boss, NOBODY):
            with pytest.raises(TypeError, match=r"blog\.post"):
                await auth.permissions.check(user, PERM, obj)


async def test_B10_1_an_object_that_is_not_there_is_nobodys(url: str) -> None:
    """One that is not stored yet, and keys that no column could hold, as they may come from a URL."""
    async with deciding(url, rules=[OWN], authors=[1]) as (auth, users):
        await auth.permissions.grant(users.ann, "blog.view_post")
        for obj in (Post(None), Ref("blog.post", 2**40), Ref("blog.post", 10**30), Ref("blog.post", -1)):
            assert not await auth.permissions.check(users.ann, PERM, obj)
            assert await auth.permissions.check(users.ann, "blog.view_post", obj)
            assert await auth.permissions.of(users.ann, obj) == {"blog.view_post"}
        for key in ("a\0", "\ud800", "a" * 256):
            assert not await auth.permissions.check(users.ann, "blog.change_tag", Ref("blog.tag", key))
        assert await auth.permissions.check(users.ann, PERM, Post(None, users.ann.id))


async def test_B10_2_rules_are_functions_async_or_not_and_one_that_says_yes_is_enough(url: str) -> None:
    async def slowly(user: Any, post: Post) -> bool:
        return post.id == 2

    rules = [
        OWN,
        rule(slowly, lambda user, t: t.c.id == 2),
        rule(lambda user, post: post.id == 3 or None, lambda user, t: t.c.id == 3),
        rule(lambda user, post: False, lambda user, t: None),
        rule(lambda user, post: False, lambda user, t: False),
        Rule("blog.view_post", check=lambda user, post: bool(post), where=lambda user, t: True),
    ]
    async with deciding(url, authors=[1, None, None, None], rules=rules) as (auth, users):
        for key, author in {1: 1, 2: None, 3: None, 4: None}.items():
            allowed = author == users.ann.id or key in (2, 3)
            for obj in (Post(key, author), Ref("blog.post", key)):
                assert await auth.permissions.check(users.ann, PERM, obj) is allowed
                assert await auth.permissions.check(users.ann, "blog.view_post", obj) is True
                assert not await auth.permissions.check(users.ann, "blog.delete_post", obj)
        assert not await auth.permissions.check(users.ann, "blog.view_post", Ref("blog.post", 5))
        assert not await auth.permissions.check(users.ann, "blog.view_post")
        assert await auth.permissions.of(users.ann, Post(2)) == {PERM, "blog.view_post"}


async def test_B10_2_a_bare_reference_asks_the_database(url: str) -> None:
    """There, other tables come in by `exists()`."""
    about_others = rule(
        lambda user, post: False,
        lambda user, t: exists(select(1).where(posts.c.author_id == t.c.author_id, posts.c.id != t.c.id)),
    )
    async with deciding(url, authors=[7, 7, 8, None, None], rules=[about_others]) as (auth, users):
        posts = posts_of(auth)
        found = [key for key in range(1, 7) if await auth.permissions.check(users.ann, PERM, Ref("blog.post", key))]
        assert found == [1, 2]


async def test_B10_2_rules_know_anonymous_and_inactive_users_when_they_say_so(sqlite_url: str) -> None:
    public = rule(lambda user, post: post.id == 2, lambda user, t: t.c.id == 2, anonymous=True)
    everything = rule(lambda user, post: True, lambda user, t: True)
    async with deciding(sqlite_url, rules=[public, everything], authors=[None, None]) as (auth, users):
        for user, own in {NOBODY: [2], users.gone: [2], users.gone_boss: [2], users.ann: [1, 2]}.items():
            for key in (1, 2):
                for obj in (Post(key), Ref("blog.post", key)):
                    assert await auth.permissions.check(user, PERM, obj) is (key in own)


async def test_B10_2_what_a_rule_raises_is_nobodys_permission(sqlite_url: str) -> None:
    def broken(user: Any, post: Post) -> bool:
        raise LookupError("no such author")

    async with deciding(sqlite_url, rules=[rule(broken, lambda user, t: None)]) as (auth, users):
        with pytest.raises(LookupError, match="no such author"):
            await auth.permissions.check(users.ann, PERM, Post(1))


async def test_a_permission_without_a_resource_is_about_no_object(sqlite_url: str) -> None:
    async with deciding(sqlite_url) as (auth, users):
        for obj in (Post(1), Ref("blog.post", 1)):
            with pytest.raises(TypeError, match=r"'blog.moderate' belongs to no Resource, so nothing is known of \w+"):
                await auth.permissions.check(users.ann, "blog.moderate", obj)
        for stranger in (Stranger(), Ref("blog.engine", 1)):
            with pytest.raises(TypeError, match=r"\w+ belongs to no Resource: list one"):
                await auth.permissions.of(users.ann, stranger)


async def test_A5_5_a_source_may_know_objects_that_belong_to_no_resource(sqlite_url: str) -> None:
    source, stranger = Saying(True), Stranger()
    async with deciding(sqlite_url, source) as (auth, users):
        assert await auth.permissions.check(users.ann, "blog.moderate", stranger)
        assert [(user, perm) for user, perm, _ in source.asked] == [(users.ann, "blog.moderate")]
        with pytest.raises(TypeError, match="belongs to no Resource"):
            await auth.permissions.check(users.ann, "blog.moderate", Ref("blog.post", 1))


async def test_A5_1_an_unknown_permission_is_nobodys_and_logged_once(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with deciding(url) as (auth, users):
        await store_permission(auth, "engine", "mend")
        for _ in range(2):
            for obj in (None, Post(1), Ref("blog.post", 1)):
                assert not await auth.permissions.check(users.ann, "blog.chnage_post", obj)
            for perm in (PERM, "blog.mend"):
                assert not await auth.permissions.check(users.ann, perm)
            for perm in ("blog.other", PERM, "blog.mend"):
                assert await auth.permissions.check(users.boss, perm)
    assert [record.getMessage() for record in caplog.records if record.name == "asgiauth"] == [
        f"the permission {perm!r} is neither declared nor stored: nobody but superusers has it"
        for perm in ("blog.chnage_post", "blog.other")
    ]


async def test_unknown_permissions_are_noted_up_to_a_limit(
    sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names may come from visitors."""
    monkeypatch.setattr("asgiauth.permissions.service._NOTED", 3)
    async with deciding(sqlite_url) as (auth, users):
        for number in range(10):
            assert not await auth.permissions.check(users.ann, f"blog.no{number}")
    assert len([record for record in caplog.records if "neither declared nor stored" in record.getMessage()]) == 3


async def test_a_permission_that_another_program_has_stored_belongs_to_its_content_type(url: str) -> None:
    """On a database that is shared with Django."""
    async with deciding(url) as (auth, users):
        for model in ("engine", "post"):
            await store_permission(auth, model, "feature_post")
        await auth.permissions.grant(users.ann, "blog.feature_post", Ref("blog.post", 1))
        assert await auth.permissions.check(users.ann, "blog.feature_post", Post(1))
        assert not await auth.permissions.check(users.ann, "blog.feature_post", Post(2))
        assert await auth.permissions.of(users.ann, Post(1)) == {"blog.feature_post"}
        assert "blog.feature_post" in await auth.permissions.of(users.boss, Post(2))
        assert "blog.view_tag" not in await auth.permissions.of(users.boss, Post(2))


async def test_without_resources_nothing_is_known_of_objects(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url, permissions=[Permission("blog.read")])
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
        assert not await auth.permissions.check(ann, "blog.unknown")
        with pytest.raises(TypeError, match="belongs to no Resource"):
            await auth.permissions.check(ann, "blog.read", Post(1))
        assert not await auth.permissions.check(ann, "blog.unknown", Post(1))


async def test_B10_1_one_object_costs_one_statement_and_everything_about_it_no_more(url: str) -> None:
    async with deciding(url) as (auth, users):
        async with statements(auth) as sent:
            assert not await auth.permissions.check(users.ann, PERM, Post(1))
        assert len(sent) == 2  # everywhere, and on the object
        await auth.permissions.grant(users.ann, PERM)
        async with statements(auth) as sent:
            assert await auth.permissions.check(users.ann, PERM, Post(1))
        assert len(sent) == 1
        async with statements(auth) as sent:
            await auth.permissions.of(users.ann, Post(1))
        assert len(sent) == 3  # and what there is
