"""`asgiauth.testing.check_rule`: do both halves of a rule say the same? (B10.2)"""

from __future__ import annotations

from typing import Any

import pytest

from asgiauth import Rule
from asgiauth.testing import check_rule

from .deciding import NOBODY, OWN, deciding, rule
from .granting import Post

AUTHORS = [1, 2, None]
POSTS = [Post(number, author) for number, author in enumerate(AUTHORS, start=1)]


async def slowly(user: Any, post: Post) -> bool:
    return bool(post.author_id != user.id)


@pytest.mark.parametrize(
    "fine",
    [
        OWN,
        rule(slowly, lambda user, t: t.c.author_id.is_distinct_from(user.id)),
        rule(lambda u, p: False, lambda u, t: None),
    ],
    ids=["own", "others'", "nothing"],
)
async def test_B10_2_a_rule_whose_halves_agree_passes(url: str, fine: Rule) -> None:
    async with deciding(url, authors=AUTHORS) as (auth, users):
        await check_rule(auth, fine, users=[*users, NOBODY], objects=iter(POSTS))


async def test_B10_2_a_rule_whose_halves_differ_is_told_by_user_and_object(url: str) -> None:
    """NULL is not unlike anything in SQL."""
    others = rule(slowly, lambda user, t: t.c.author_id != user.id)
    too_much = rule(lambda user, post: False, lambda user, t: t.c.id == 2)
    async with deciding(url, authors=AUTHORS) as (auth, users):
        message = "the rule for 'blog.change_post', ann, blog.post 3: check says True, and where does not select it"
        with pytest.raises(AssertionError, match=message):
            await check_rule(auth, others, users=users, objects=POSTS)
        with pytest.raises(AssertionError, match=r"blog\.post 2: check says False, and where selects it"):
            await check_rule(auth, too_much, users=users, objects=POSTS)
