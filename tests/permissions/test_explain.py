"""`explain()` says what `check()` says, and why (row B10.9)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table

from asgiauth import AnonymousUser, Auth, Contribution, Permission, Ref, Resource, Rule, crud
from asgiauth.backends import PasswordBackend
from asgiauth.db.schema import create_tables
from asgiauth.exceptions import PermissionDenied
from asgiauth.permissions.explanation import Explanation
from asgiauth.permissions.question import Answer

from ..conftest import make_auth

posts = Table("posts", MetaData(), Column("id", Integer, primary_key=True), Column("author", Integer))
PERMISSIONS = [*crud("blog", "post"), Permission("blog.visit", "Can visit"), Permission("blog.close", model="post")]
CHANGE, VIEW, ADD, DELETE, VISIT, CLOSE = (
    f"blog.{name}" for name in ("change_post", "view_post", "add_post", "delete_post", "visit", "close")
)


@dataclass
class Post:
    id: int | None
    author: int | None = None


def wrote(user: Any, post: Post) -> bool:
    return bool(post.author == user.id)


class First:
    """Before the tables: refuses to close post 2 to everybody, lets even strangers visit."""

    name = "first"

    async def authenticate(self, connection: object, *, token: str) -> None:
        return None

    async def granted(self, user: Any) -> set[str]:
        return {VISIT}

    async def allows(self, user: Any, perm: str, obj: Any) -> bool | None:
        key = getattr(obj, "id", getattr(obj, "key", None))
        if perm == CLOSE and key == 2:
            raise PermissionDenied
        return True if perm == CLOSE and key == 3 else None


class Last:
    """Behind everything, of a feature; it cannot tell about superusers."""

    async def allows(self, user: Any, perm: str, obj: Any) -> bool | None:
        if (user.is_active and user.is_superuser) or perm == "blog.broken":
            raise ZeroDivisionError
        return perm != DELETE


class Feature:
    name = "feature"

    def tables(self, metadata: MetaData) -> None:
        """Has none."""

    def install(self, core: Any) -> Contribution:
        return Contribution(permission_sources=[Last()])


class Site(NamedTuple):
    auth: Auth
    users: Mapping[str, Any]

    async def explain(self, name: str, perm: str, obj: object | None = None) -> Explanation:
        return await self.auth.permissions.explain(self.users[name], perm, obj)


@pytest.fixture
async def site(url: str) -> AsyncIterator[Site]:
    """Ann has grants of her own, Bob is an editor, Cat has nothing, Gone is inactive, Root a superuser."""
    auth = make_auth(
        url,
        permissions=PERMISSIONS,
        resources=[Resource("blog.post", table=posts, type=Post)],
        rules=[
            Rule(CHANGE, wrote, lambda user, t: t.c.author == user.id),
            Rule(VIEW, lambda user, post: post.id == 1, lambda user, t: t.c.id == 1, anonymous=True),
        ],
    )
    async with auth:
        await auth.create_tables()
        await create_tables(auth._database, posts.metadata, [posts])
        names = ("ann", "bob", "cat", "gone", "root", "dead")
        users: dict[str, Any] = {name: await auth.users.create(name) for name in names}
        editors, writers = [await auth.groups.create(name) for name in ("editors", "writers")]
        for name in ("bob", "gone", "root"):
            await auth.groups.add(users[name], "editors", "writers")
        for subject in (users["ann"], editors, users["gone"]):
            await auth.permissions.grant(subject, ADD)
            await auth.permissions.grant(subject, CHANGE, Ref("blog.post", 2))
        await auth.permissions.grant(writers, ADD)
        await auth.permissions.grant(users["bob"], CHANGE, Ref("blog.post", 2))
        await auth.permissions.grant(users["ann"], CLOSE)
        for name, flags in (("gone", {"is_active": False}), ("root", {"is_superuser": True})):
            users[name] = await auth.users.update(users[name], **flags)
        users["dead"] = await auth.users.update(users["dead"], is_superuser=True, is_active=False)
        async with auth._database.unit() as unit:
            for id_, author in ((1, None), (2, None), (3, users["cat"].id)):
                await unit.insert(posts, {"id": id_, "author": author})
        yield Site(auth, {**users, "nobody": AnonymousUser()})


def open_to_sources(auth: Auth) -> None:
    """Two sources more, before and behind the tables."""
    auth.permissions.ask([First(), PasswordBackend()], [Last()])


@pytest.mark.parametrize("sources", [False, True], ids=["tables and rules", "two sources more"])
async def test_B10_9_explain_says_what_check_says(site: Site, sources: bool) -> None:
    """For every user, permission and object, asked as an instance and by key; the answers lead to it by the rule of
    the first that says yes or no."""
    if sources:
        open_to_sources(site.auth)
    authors = {1: None, 2: None, 3: site.users["cat"].id}
    objects: list[Any] = [None, Post(None), *(Post(id_, authors[id_]) for id_ in authors)]
    objects += [Ref("blog.post", id_) for id_ in authors]
    yes = 0
    for user in site.users.values():
        for perm in (CHANGE, VIEW, ADD, DELETE, VISIT, CLOSE, "blog.unheard_of"):
            for obj in objects if perm not in (VISIT, "blog.unheard_of") else [None]:
                explanation = await site.auth.permissions.explain(user, perm, obj)
                assert explanation.allowed is await site.auth.permissions.check(user, perm, obj), str(explanation)
                assert (explanation.user, explanation.perm, explanation.obj) == (user, perm, obj)
                _check_consistent(explanation)
                yes += explanation.allowed
    assert yes > 50


def _check_consistent(explanation: Explanation) -> None:
    decided = [one for one in explanation.answers if one.reached and one.allowed is not None]
    assert len(decided) == (1 if explanation.decided_by else 0)
    assert explanation.allowed is any(one.allowed for one in decided)
    assert [one.source for one in decided] == ([explanation.decided_by] if decided else [])
    assert all(one.reasons for one in decided)
    places = [one.reached for one in explanation.answers if one.source != "permission"]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize(
    ("name", "perm", "obj", "expected"),
    [
        ("ann", ADD, None, [("grants", True, ["granted to the user"]), ("rules", None, [])]),
        ("bob", ADD, None, [("grants", True, ["through group editors", "through group writers"]), ("rules", None, [])]),
        ("ann", CHANGE, 2, [("grants", True, ["granted to the user on blog.post 2"]), ("rules", None, [])]),
        (
            "bob",
            CHANGE,
            2,
            [
                ("grants", True, ["granted to the user on blog.post 2", "through group editors on blog.post 2"]),
                ("rules", None, []),
            ],
        ),
        ("cat", CHANGE, 3, [("grants", None, []), ("rules", True, ["rule blog.change_post (wrote)"])]),
        ("cat", VIEW, 1, [("grants", None, []), ("rules", True, ["rule blog.view_post"])]),
        ("cat", DELETE, 1, [("grants", None, []), ("rules", None, [])]),
        (
            "root",
            CHANGE,
            2,
            [
                ("superuser", True, ["may do everything"]),
                ("grants", True, ["through group editors on blog.post 2"]),
                ("rules", None, []),
            ],
        ),
        ("gone", ADD, None, [("inactive", None, ["holds no grants"]), ("grants", None, []), ("rules", None, [])]),
        (
            "nobody",
            VIEW,
            1,
            [
                ("anonymous", None, ["holds no grants"]),
                ("grants", None, []),
                ("rules", True, ["rule blog.view_post"]),
            ],
        ),
        (
            "cat",
            "blog.unheard_of",
            None,
            [("grants", None, []), ("rules", None, []), ("permission", None, ["not declared and not stored"])],
        ),
    ],
    ids=lambda value: value.rpartition(".")[2] if isinstance(value, str) else None,
)
async def test_B10_9_reasons_name_the_grant_the_group_or_the_rule(
    site: Site, name: str, perm: str, obj: int | None, expected: list[tuple[str, bool | None, list[str]]]
) -> None:
    found = await site.explain(name, perm, None if obj is None else Ref("blog.post", obj))
    assert [(one.source, one.allowed, list(one.reasons)) for one in found.answers] == expected


async def test_B10_9_sources_of_the_application_are_told_by_name(site: Site) -> None:
    """Those behind the one that decides are asked too, and marked; what one of them raises then does not matter."""
    open_to_sources(site.auth)

    async def answers(name: str, perm: str, obj: object | None = None) -> list[Answer]:
        return list((await site.explain(name, perm, obj)).answers)

    assert await answers("ann", CLOSE, Ref("blog.post", 2)) == [
        Answer("first", allowed=False, reasons=("says no, and that is final",)),
        Answer("grants", allowed=True, reasons=("granted to the user",), reached=False),
        Answer("rules", None, reached=False),
        Answer("Last", allowed=True, reasons=("says yes",), reached=False),
    ]
    assert await answers("nobody", VISIT) == [
        Answer("anonymous", None, ("holds no grants",)),
        Answer("first", allowed=True, reasons=("grants it everywhere",)),
        Answer("grants", None, reached=False),
        Answer("rules", None, reached=False),
        Answer("Last", allowed=True, reasons=("says yes",), reached=False),
    ]
    assert (await answers("root", ADD))[-1] == Answer("Last", None, ("fails: ZeroDivisionError",), reached=False)
    assert (await answers("cat", DELETE))[-1] == Answer("Last", allowed=False, reasons=("says no, and that is final",))
    with pytest.raises(ZeroDivisionError):
        await answers("cat", "blog.broken")


async def test_a_source_of_a_feature_is_asked_last(sqlite_url: str) -> None:
    async with make_auth(sqlite_url, permissions=PERMISSIONS, features=[Feature()]) as auth:
        await auth.create_tables()
        explanation = await auth.permissions.explain(await auth.users.create("ann"), ADD)
        assert [one.source for one in explanation.answers] == ["grants", "rules", "Last"]
        assert explanation.decided_by == "Last"


async def test_B10_9_what_is_declared_and_not_stored_is_told_with_its_cure(sqlite_url: str) -> None:
    async with make_auth(sqlite_url) as before:
        await before.create_tables()
        ann = await before.users.create("ann")
    async with make_auth(sqlite_url, permissions=PERMISSIONS) as auth:
        last = (await auth.permissions.explain(ann, ADD)).answers[-1]
        assert last == Answer("permission", None, ("declared, but not stored: run asgiauth syncpermissions",))


async def test_a_key_that_no_column_could_hold_is_told_as_it_is(site: Site) -> None:
    found = await site.auth.permissions.explain(site.users["ann"], CHANGE, Ref("blog.post", 2**63))
    assert found.about == f"blog.post {2**63}"


@pytest.mark.parametrize("obj", [Ref("blog.comment", 1), 3, "post"], ids=["another resource", "number", "text"])
async def test_explain_refuses_an_object_as_check_does(site: Site, obj: object) -> None:
    for ask in (site.auth.permissions.explain, site.auth.permissions.check):
        with pytest.raises(TypeError):
            await ask(site.users["ann"], CHANGE, obj)


async def test_B10_9_it_reads_well_in_a_terminal(site: Site) -> None:
    open_to_sources(site.auth)
    assert str(await site.explain("ann", CLOSE, Post(2))) == (
        "ann: blog.close on blog.post 2: no, by first\n"
        "  first   no: says no, and that is final\n"
        "  grants  yes: granted to the user (decided before)\n"
        "  rules   - (decided before)\n"
        "  Last    yes: says yes (decided before)"
    )
    assert str(await site.explain("nobody", DELETE)).splitlines()[0] == "anonymous: blog.delete_post: no, by Last"
    unsaved = await site.explain("ann", CHANGE, Post(None))
    assert str(unsaved).startswith("ann: blog.change_post on a Post without a key: yes, by Last\n")


async def test_names_cannot_forge_the_text_of_a_terminal(sqlite_url: str) -> None:
    async with make_auth(sqlite_url, permissions=PERMISSIONS) as auth:
        await auth.create_tables()
        ann, group = await auth.users.create("ann"), await auth.groups.create("editors")
        async with auth._database.unit() as unit:  # as Django would let it in
            table = auth.tables.group
            await unit.changed(table.update().where(table.c.id == group.id).values(name="x\n  rules  yes\x1b[2J"))
        await auth.groups.add(ann, "x\n  rules  yes\x1b[2J")
        await auth.permissions.grant(group, ADD)
        text = str(await auth.permissions.explain(ann, ADD))
        assert text.splitlines() == [
            "ann: blog.add_post: yes, by grants",
            "  grants  yes: through group x�  rules  yes�[2J",
            "  rules   - (decided before)",
        ]


async def test_an_explanation_is_a_value_that_json_can_hold(site: Site) -> None:
    found = await site.explain("cat", CHANGE, Post(3, site.users["cat"].id))
    assert json.loads(json.dumps(found.as_dict())) == {
        "user": "cat",
        "perm": CHANGE,
        "obj": "blog.post 3",
        "allowed": True,
        "decided_by": "rules",
        "answers": [
            {"source": "grants", "allowed": None, "reasons": [], "reached": True},
            {"source": "rules", "allowed": True, "reasons": ["rule blog.change_post (wrote)"], "reached": True},
        ],
    }
    with pytest.raises(FrozenInstanceError):
        found.allowed = False  # type: ignore[misc]
    denied = (await site.explain("cat", VISIT)).as_dict()
    assert (denied["obj"], denied["decided_by"], denied["allowed"]) == (None, None, False)


class Called:
    def __call__(self, user: Any, post: Post) -> bool:
        return True


async def test_a_rule_without_a_name_is_told_by_its_permission(sqlite_url: str) -> None:
    """An object that is called has none."""
    resource = Resource("blog.post", table=posts, type=Post)
    async with make_auth(
        sqlite_url, permissions=PERMISSIONS, resources=[resource], rules=[Rule(CHANGE, Called(), lambda user, t: True)]
    ) as auth:
        await auth.create_tables()
        found = await auth.permissions.explain(await auth.users.create("ann"), CHANGE, Post(1))
        assert found.answers[-1].reasons == ("rule blog.change_post",)


async def test_keys_of_text_are_compared_exactly(url: str) -> None:
    """Neither key nor name may match as MariaDB would match them."""
    pages = Table("pages", MetaData(), Column("slug", String(50), primary_key=True))
    declared = [Permission("blog.edit", model="page"), Permission("blog.Read", model="page")]
    async with make_auth(url, permissions=declared, resources=[Resource("blog.page", table=pages)]) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
        await auth.permissions.grant(ann, "blog.edit", Ref("blog.page", "About"))
        await auth.permissions.grant(ann, "blog.Read")
        for perm, obj, expected in (
            ("blog.edit", Ref("blog.page", "About"), True),
            ("blog.edit", Ref("blog.page", "about"), False),
            ("blog.Read", None, True),
            ("blog.read", None, False),
        ):
            explanation = await auth.permissions.explain(ann, perm, obj)
            assert explanation.allowed is await auth.permissions.check(ann, perm, obj) is expected
