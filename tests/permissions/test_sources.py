"""Who is asked, in which order, and whose answer counts (rows A5 and A6)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from asgiauth import Contribution, Permission
from asgiauth.exceptions import ConfigurationError, PermissionDenied

from ..conftest import make_auth
from .deciding import NOBODY, PERM, Backend, Choosing, Granting, Saying, checked, deciding, selected
from .granting import Post

POST = Post(1, 1)


async def test_A5_1_the_first_who_says_yes_or_no_decides(sqlite_url: str) -> None:
    """No is final, as Django's `PermissionDenied`; who has no answer leaves it to the next."""
    for answers, allowed in {
        (None, True): True,
        (None, False, True): False,
        (True, False): True,
        (False, True): False,
        (None, None): False,
        (PermissionDenied(), True): False,
        (None, PermissionDenied(), True): False,
        (True, PermissionDenied()): True,
    }.items():
        sources = [Saying(answer, f"source{number}") for number, answer in enumerate(answers)]
        auth = make_auth(sqlite_url, backends=sources, permissions=[Permission("blog.read")])
        async with auth:
            await auth.create_tables()
            ann = await auth.users.get_by(username="ann") or await auth.users.create("ann")
            assert await auth.permissions.check(ann, "blog.read") is allowed, answers


async def test_A5_1_nobody_is_asked_after_the_one_who_decides_and_nobody_about_a_superuser(sqlite_url: str) -> None:
    first, second = Saying(True), Saying(True, "second")
    async with deciding(sqlite_url, first, second) as (auth, users):
        check = auth.permissions.check
        assert await check(users.ann, PERM, POST)
        assert first.asked == [(users.ann, PERM, POST)]
        assert await check(users.boss, PERM, POST)
        assert await check(users.boss, "blog.no_such_thing")
        assert (len(first.asked), second.asked) == (1, [])


@pytest.mark.parametrize("answer", [RuntimeError("down"), TypeError("a bug")], ids=["RuntimeError", "TypeError"])
async def test_A6_2_what_a_source_raises_is_nobodys_permission(sqlite_url: str, answer: Exception) -> None:
    async with deciding(sqlite_url, Saying(answer), Saying(True, "other")) as (auth, users):
        with pytest.raises(type(answer), match=str(answer)):
            await auth.permissions.check(users.ann, PERM, POST)


@pytest.mark.parametrize("answer", ["no", 1, 0, "", object], ids=["text", "one", "zero", "blank", "class"])
async def test_A5_1_another_answer_than_yes_no_and_none_is_an_error(sqlite_url: str, answer: Any) -> None:
    """ "no" would else be a yes."""
    async with deciding(sqlite_url, Saying(answer), Saying(True, "other")) as (auth, users):
        for obj in (None, POST):
            with pytest.raises(TypeError, match=r"allows\(\) of the permission source 'saying' answers True, False or"):
                await auth.permissions.check(users.ann, PERM, obj)


@pytest.mark.parametrize("names", [PERM, None, 7], ids=["text", "none", "number"])
async def test_A5_4_what_is_granted_is_a_collection_of_names(sqlite_url: str, names: Any) -> None:
    class Granted(Backend):
        name = "strange"

        async def granted(self, user: Any) -> Collection[str]:
            answer: Collection[str] = names
            return answer

    async with deciding(sqlite_url, Granted()) as (auth, users):
        for asked in (auth.permissions.check(users.ann, PERM), auth.permissions.of(users.ann)):
            with pytest.raises(TypeError, match=r"granted\(\) of the permission source 'strange' answers a collection"):
                await asked


async def test_A5_1_a_source_need_not_be_async(sqlite_url: str) -> None:
    class Plain(Backend):
        def granted(self, user: Any) -> Collection[str]:
            return ["shop.buy"]

        def allows(self, user: Any, perm: str, obj: Any) -> bool | None:
            return None if obj is None else obj.id == 1 if isinstance(obj, Post) else obj.key == 1

        def where(self, user: Any, perm: str, t: Any) -> Any:
            return t.c.id == 1

        def excludes(self, user: Any, perm: str, t: Any) -> Any:
            return t.c.id != 1

    async with deciding(sqlite_url, before=[Plain()], authors=[1, 2]) as (auth, users):
        await auth.permissions.grant(users.ann, PERM)
        assert await auth.permissions.check(users.ann, "shop.buy")
        assert await selected(auth, users.ann) == await checked(auth, users.ann) == [1]


async def test_A5_4_what_all_sources_grant_is_added_up(sqlite_url: str) -> None:
    one, other = Granting(PERM, "blog.moderate"), Granting("blog.moderate", "shop.buy", name="other")
    async with deciding(sqlite_url, other, before=[one]) as (auth, users):
        await auth.permissions.grant(users.ann, "blog.view_tag")
        of, check = auth.permissions.of, auth.permissions.check
        assert await of(users.ann) == {PERM, "blog.moderate", "blog.view_tag", "shop.buy"}
        assert await check(users.ann, "shop.buy")
        assert not await check(users.ann, "shop.sell")
        assert await auth.permissions.direct(users.ann) == {"blog.view_tag"}
        assert await auth.permissions.from_groups(users.ann) == frozenset()


async def test_A5_4_what_is_denied_to_a_user_is_none_of_the_users_permissions(sqlite_url: str) -> None:
    class Denying(Backend):
        async def allows(self, user: Any, perm: str, obj: object) -> bool | None:
            return {"blog.moderate": False, "blog.view_tag": True}.get(perm)

    async with deciding(sqlite_url, Granting("blog.moderate", "shop.buy"), before=[Denying()]) as (auth, users):
        assert await auth.permissions.of(users.ann) == {"blog.view_tag", "shop.buy"}
        assert not await auth.permissions.check(users.ann, "blog.moderate")
        everything = await auth.permissions.of(users.boss)
        assert everything == auth.permissions.declared.keys()


@pytest.mark.parametrize("app", ["blog", "shop", "blo", ""])
async def test_A5_3_a_module_is_one_in_which_something_is_allowed(sqlite_url: str, app: str) -> None:
    async with deciding(sqlite_url, Granting("shop.buy")) as (auth, users):
        await auth.permissions.grant(users.ann, "blog.view_tag")
        has_module = auth.permissions.has_module
        assert await has_module(users.ann, app) is (app in ("blog", "shop"))
        assert await has_module(users.boss, app)
        assert await has_module(users.gone, app) is (app == "shop")
        assert await has_module(users.gone_boss, app) is (app == "shop")


async def test_A5_6_anonymous_and_inactive_users_have_what_a_source_gives_them(sqlite_url: str) -> None:
    class ForVisitors(Backend):
        async def granted(self, user: Any) -> Collection[str]:
            return ["blog.view_tag"] if user.is_anonymous else ["blog.moderate"] if not user.is_active else []

        async def allows(self, user: Any, perm: str, obj: object) -> bool | None:
            return obj == POST or None

    async with deciding(sqlite_url, ForVisitors()) as (auth, users):
        for user in (users.gone, users.gone_boss):
            await auth.permissions.grant(user, "blog.add_post")
            assert await auth.permissions.of(user) == {"blog.moderate"}
        assert await auth.permissions.of(NOBODY) == {"blog.view_tag"}
        for visitor in (NOBODY, users.gone, users.gone_boss):
            assert await auth.permissions.check(visitor, PERM, POST)
            assert not await auth.permissions.check(visitor, PERM, Post(2))
            assert await auth.permissions.direct(visitor) == frozenset()
            assert await auth.permissions.from_groups(visitor) == frozenset()


async def test_A6_15_a_backend_may_be_for_credentials_for_permissions_or_for_both(sqlite_url: str) -> None:
    class PermissionsOnly:
        name = "permissions only"

        async def authenticate(self, connection: object) -> None:
            return None

        async def granted(self, user: Any) -> Collection[str]:
            return ["shop.buy"]

    async with deciding(sqlite_url, Backend(), PermissionsOnly(), Saying(None)) as (auth, users):
        assert await auth.permissions.of(users.ann) == {"shop.buy"}
        names = [source.name for source in auth.permissions._sources]
        assert names == ["grants", "rules", "permissions only", "saying"]


async def test_A6_1_sources_are_asked_in_the_order_of_the_backends_and_then_those_of_features(sqlite_url: str) -> None:
    class Unnamed:
        async def allows(self, user: Any, perm: str, obj: object) -> bool | None:
            return None

    class Feature:
        name = "feature"

        def tables(self, metadata: object) -> None: ...

        def install(self, core: object) -> Contribution:
            return Contribution(permission_sources=[Unnamed()], backends=[Saying(None)])

    options: Any = {"before": [Granting()], "features": [Feature()]}
    async with deciding(sqlite_url, Choosing(), **options) as (auth, _):
        names = [source.name for source in auth.permissions._sources]
        assert names == ["granting", "grants", "rules", "choosing", "saying", Unnamed.__qualname__]


async def test_without_a_password_backend_the_database_is_asked_last(sqlite_url: str) -> None:
    class Refusing(Saying):
        proves_password = False

    auth = make_auth(sqlite_url, backends=[Saying(None), Refusing(False, "refusing")])
    assert [source.name for source in auth.permissions._sources] == ["saying", "refusing", "grants", "rules"]


class NoMethods:
    name = "idle"


class ExcludesAlone:
    name = "quarter"

    def excludes(self, user: Any, perm: str, t: Any) -> Any:
        return None


class WhereAlone:
    name = "half"

    async def granted(self, user: Any) -> Collection[str]:
        return []

    async def where(self, user: Any, perm: str, t: Any) -> Any:
        return None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (NoMethods(), r"'idle' has no allows\(user, perm, obj\), and no granted\(user\) either"),
        (WhereAlone(), r"'half' has no allows\(user, perm, obj\), and where\(\) says the same in SQL: write both"),
        (ExcludesAlone(), r"'quarter' has no allows\(user, perm, obj\), and excludes\(\) says the same in SQL"),
    ],
    ids=["no method", "where alone", "excludes alone"],
)
def test_a_source_that_could_not_answer_is_refused(sqlite_url: str, source: Any, message: str) -> None:
    class Feature:
        name = "feature"

        def tables(self, metadata: object) -> None: ...

        def install(self, core: object) -> Contribution:
            return Contribution(permission_sources=[source])

    with pytest.raises(ConfigurationError, match=message):
        make_auth(sqlite_url, features=[Feature()])


@pytest.mark.parametrize("backend", [WhereAlone(), ExcludesAlone()], ids=["where alone", "excludes alone"])
def test_a_backend_that_could_not_answer_is_refused(sqlite_url: str, backend: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"has no allows\(user, perm, obj\)"):
        make_auth(sqlite_url, backends=[backend])


async def test_a_source_is_asked_once_for_what_it_grants(sqlite_url: str) -> None:
    """In one question, and in one request (DESIGN 9)."""

    class Counting(Backend):
        asked = 0

        async def granted(self, user: Any) -> Collection[str]:
            self.asked += 1
            return ["shop.buy"]

    source = Counting()
    async with deciding(sqlite_url, source, Saying(None)) as (auth, users):
        await auth.permissions.of(users.ann)
        assert source.asked == 1
