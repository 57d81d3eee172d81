"""`where()`: what `check()` says, as SQL (DESIGN 8, row B10.4). The property itself: test_where_property.py."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exists, false, select, true

from asgiauth import Ref
from asgiauth.exceptions import ConfigurationError, NotExpressible

from .deciding import (
    NOBODY,
    OWN,
    PERM,
    Backend,
    Choosing,
    Excluding,
    Granting,
    Saying,
    checked,
    deciding,
    posts_of,
    rule,
    selected,
    statements,
)

FIVE = [1, None, 1, None, None]


async def test_B10_4_it_is_true_for_superusers_and_false_for_whom_nobody_grants_anything(sqlite_url: str) -> None:
    async with deciding(sqlite_url, rules=[OWN]) as (auth, users):
        where, posts = auth.permissions.where, posts_of(auth)
        assert (await where(users.boss, PERM, posts)).compare(true())
        await auth.permissions.grant(users.gone, PERM, Ref("blog.post", 1))
        await auth.permissions.grant(users.gone_boss, PERM)
        for user in (NOBODY, users.gone, users.gone_boss):
            assert (await where(user, PERM, posts)).compare(false())
        await auth.permissions.grant(users.ann, PERM)
        assert (await where(users.ann, PERM, posts)).compare(true())


async def test_B10_4_one_statement_asks_for_what_is_held_everywhere_whatever_the_number_of_grants(url: str) -> None:
    async with deciding(url, rules=[OWN], authors=FIVE) as (auth, users):
        counts = []
        for key in range(4):
            async with statements(auth) as sent:
                found = await selected(auth, users.ann)
            counts.append(len(sent))
            assert found == await checked(auth, users.ann)
            await auth.permissions.grant(users.ann, PERM, Ref("blog.post", key + 1))
        assert counts == [2] * 4
        async with statements(auth) as sent:
            assert await selected(auth, users.boss) == [1, 2, 3, 4, 5]
        assert len(sent) == 1


async def test_B10_4_a_grant_of_another_kind_of_object_selects_nothing(sqlite_url: str) -> None:
    async with deciding(sqlite_url, authors=FIVE) as (auth, users):
        await auth.permissions.grant(users.ann, "blog.change_comment", Ref("blog.comment", 1))
        await auth.permissions.grant(users.ann, "blog.view_post", Ref("blog.post", 2))
        assert await selected(auth, users.ann) == []
        assert await selected(auth, users.ann, "blog.view_post") == [2]


async def test_B10_4_a_permission_without_a_resource_selects_no_rows(sqlite_url: str) -> None:
    async with deciding(sqlite_url) as (auth, users):
        for user in (users.ann, users.boss):
            with pytest.raises(TypeError, match=r"'blog\.moderate' belongs to no Resource"):
                await auth.permissions.where(user, "blog.moderate", posts_of(auth))


async def test_B10_4_only_the_table_of_the_resource_will_do(sqlite_url: str) -> None:
    """For superusers too, so that a developer sees it."""
    async with deciding(sqlite_url) as (auth, users):
        for user in (users.ann, users.boss):
            with pytest.raises(TypeError, match=r"about blog\.post, and .* is neither its table nor an alias of it"):
                await auth.permissions.where(user, PERM, auth.permissions.resources["blog.comment"])


@pytest.mark.parametrize(
    "sources",
    [
        {"after": [Granting(PERM), Excluding(no=[1, 2])]},
        {"before": [Excluding(no=[1, 2], everywhere=True)]},
        {"before": [Excluding(no=[1], yes=[2])], "after": [Granting(PERM)]},
        {"before": [Excluding(yes=[1, 2], no=[3])], "after": [Excluding(no=[1, 4], everywhere=True)]},
        {"before": [Excluding(no=[1])], "after": [Excluding(yes=[1, 2])]},
        {"before": [Excluding()], "after": [Choosing(yes=[4])]},
        {"after": [Choosing(yes=[4], no=[1])]},
    ],
    ids=["later no", "own no", "no and everywhere", "yes first", "no first", "no no", "no excludes needed"],
)
async def test_B10_4_a_final_no_holds_in_sql_too(url: str, sources: dict[str, Any]) -> None:
    """For those who are asked later, and for what a source grants everywhere itself."""
    for number, source in enumerate(named := [*sources.get("before", ()), *sources.get("after", ())]):
        source.name = f"source{number}"
    async with deciding(url, *sources.get("after", ()), before=sources.get("before", ()), authors=FIVE) as (
        auth,
        users,
    ):
        await auth.permissions.grant(users.ann, PERM, Ref("blog.post", 1))
        await auth.permissions.grant(users.ann, PERM, Ref("blog.post", 3))
        for user in (users.ann, users.gone, users.boss, NOBODY):
            assert await selected(auth, user) == await checked(auth, user), named


async def test_B10_4_a_source_that_decides_in_python_alone_is_not_expressible(sqlite_url: str) -> None:
    async with deciding(sqlite_url, Saying(None)) as (auth, users):
        for user in (users.ann, NOBODY):
            with pytest.raises(NotExpressible, match=r"'saying' decides on objects in Python alone: give it a method"):
                await auth.permissions.where(user, PERM, posts_of(auth))
        assert (await auth.permissions.where(users.boss, PERM, posts_of(auth))).compare(true())
        await auth.permissions.grant(users.ann, PERM)  # now nobody asks that source
        assert (await auth.permissions.where(users.ann, PERM, posts_of(auth))).compare(true())


async def test_B10_4_only_the_last_source_may_leave_its_final_no_out(sqlite_url: str) -> None:
    """From the start: what is asked behind it could say yes where it says no."""
    async with deciding(sqlite_url, before=[Choosing(no=[1])], authors=FIVE) as (auth, users):
        await auth.permissions.grant(users.ann, PERM, Ref("blog.post", 2))
        with pytest.raises(NotExpressible, match=r"'choosing' may say a final no, .* excludes\(user, perm, t\)"):
            await auth.permissions.where(users.ann, PERM, posts_of(auth))
        assert await checked(auth, users.ann) == [2]


async def test_B10_4_for_the_last_source_no_is_as_good_as_none(sqlite_url: str) -> None:
    async with deciding(sqlite_url, Choosing(no=[1], yes=[2]), authors=FIVE) as (auth, users):
        assert await checked(auth, users.ann) == await selected(auth, users.ann) == [2]


async def test_B10_4_a_source_may_have_nothing_to_say(sqlite_url: str) -> None:
    class Silent(Backend):
        async def allows(self, user: Any, perm: str, obj: object) -> bool | None:
            return None

        async def where(self, user: Any, perm: str, t: Any) -> None:
            return None

    async with deciding(sqlite_url, Silent(), authors=FIVE) as (auth, users):
        assert await selected(auth, users.ann) == []
        assert (await auth.permissions.where(NOBODY, PERM, posts_of(auth))).compare(false())


class Elsewhere(Backend):
    async def allows(self, user: Any, perm: str, obj: object) -> bool | None:
        return None

    async def where(self, user: Any, perm: str, t: Any) -> Any:
        return Table("author", MetaData(), Column("id", Integer, primary_key=True)).c.id == 1


async def test_B10_4_a_source_that_speaks_of_another_table_is_refused(sqlite_url: str) -> None:
    """Its condition would hold for all rows as soon as it held for one."""
    async with deciding(sqlite_url, Elsewhere()) as (auth, users):
        with pytest.raises(ConfigurationError, match=r"where\(\) of the permission source 'backend' is about author"):
            await auth.permissions.where(users.ann, PERM, posts_of(auth))


async def test_B10_4_a_rule_that_speaks_of_the_table_instead_of_t_is_refused(sqlite_url: str) -> None:
    table: list[Any] = []
    wrong = rule(lambda user, post: True, lambda user, t: table[0].c.author_id == user.id)
    async with deciding(sqlite_url, rules=[wrong]) as (auth, users):
        table.append(posts_of(auth))
        message = r"the rule for 'blog.change_post' is about blog_post: write it over the t that it is given"
        with pytest.raises(ConfigurationError, match=message):
            await auth.permissions.where(users.ann, PERM, posts_of(auth))
        with pytest.raises(ConfigurationError, match=message):
            await auth.permissions.check(users.ann, PERM, Ref("blog.post", 1))


async def test_B10_4_it_is_a_condition_like_any_other(url: str) -> None:
    """Negated, beside others, on two aliases at once, in a subquery, in an UPDATE."""
    async with deciding(url, rules=[OWN], authors=[1, None, 1, None, 1]) as (auth, users):
        ann = users.ann
        assert ann.id == 1
        where, posts = auth.permissions.where, posts_of(auth)
        await auth.permissions.grant(ann, PERM, Ref("blog.post", 2))
        fetch = auth._database.fetch
        one, other = posts.alias("one"), posts.alias("other")
        pairs = await fetch(
            select(one.c.id, other.c.id.label("other_id"))
            .join(other, other.c.id == one.c.id + 1)
            .where(await where(ann, PERM, one), ~await where(ann, PERM, other))
        )
        assert sorted((row["id"], row["other_id"]) for row in pairs) == [(3, 4)]
        outer = select(one.c.id).where(
            exists(select(other.c.id).where(other.c.id > one.c.id, await where(ann, PERM, other))),
            await where(ann, PERM, one),
        )
        assert sorted(row["id"] for row in await fetch(outer)) == [1, 2, 3]
        page = select(posts.c.id).where(await where(ann, PERM, posts)).order_by(posts.c.id.desc()).limit(2)
        assert [row["id"] for row in await fetch(page)] == [5, 3]
        async with auth._database.unit() as unit:
            changed = posts.update().where(await where(ann, PERM, posts), posts.c.author_id.is_(None))
            assert await unit.changed(changed.values(author_id=1)) == 1
        assert await selected(auth, ann) == [1, 2, 3, 5]


async def test_B10_4_rows_of_an_outer_join_that_are_not_there_are_not_selected(sqlite_url: str) -> None:
    async with deciding(sqlite_url, rules=[OWN], authors=[1, None]) as (auth, users):
        posts = posts_of(auth)
        other = posts.alias()
        joined = select(posts.c.id, other.c.id.label("other")).outerjoin(other, other.c.id == posts.c.id + 1)
        found = await auth._database.fetch(joined.where(await auth.permissions.where(users.ann, PERM, other)))
        assert found == []
        assert users.ann.id == 1
