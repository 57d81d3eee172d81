"""`explain` for staff, as a page and as JSON: it reads, and tells nobody else anything (row B10.9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.schema import CreateTable
from starlette.routing import Mount

from asgiauth import Auth, Permission, Ref, Resource, User, crud
from asgiauth.exceptions import ConfigurationError
from asgiauth.http.actions import Action, Field
from asgiauth.http.marks import mark_of
from asgiauth.testing import Client, client, force_login

from ..conftest import make_auth
from .paging import BROWSER, LOGIN, Page, site, where

EXPLAIN, JSON = "/auth/explain", "/api/auth/explain"
CHANGE = "blog.change_post"
posts = Table("posts", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False))


@pytest.fixture
async def auth(url: str) -> AsyncIterator[Auth]:
    """Bob is an editor, who may add posts and change post 42; Ann is staff."""
    auth = make_auth(
        url,
        permissions=[*crud("blog", "post"), Permission("blog.visit")],
        resources=[Resource("blog.post", table=posts)],
    )
    async with auth:
        await auth.create_tables()
        await auth.users.create("ann", is_staff=True)
        bob, editors = await auth.users.create("bob", email="bob@site.example"), await auth.groups.create("editors")
        await auth.groups.add(bob, "editors")
        await auth.permissions.grant(editors, "blog.add_post")
        await auth.permissions.grant(bob, CHANGE, Ref("blog.post", 42))
        async with auth._database.unit() as unit:
            await unit.text(str(CreateTable(posts)))
            await unit.execute(posts.insert().values(id=42))
        yield auth


async def known(auth: Auth, name: str) -> User:
    user = await auth.users.get_by(username=name)
    assert user is not None
    return user


def app(auth: Auth) -> Any:
    return site(auth, Mount("/api/auth", routes=auth.json_routes))


@pytest.fixture
async def browser(auth: Auth) -> AsyncIterator[Client]:
    """Ann's."""
    async with client(app(auth), headers=BROWSER) as browser:
        await force_login(browser, await known(auth, "ann"))
        yield browser


async def test_B10_9_the_page_asks_and_answers_in_a_table(browser: Client) -> None:
    """With a form that is a GET: it can be linked to, and changes nothing."""
    page = Page(await browser.get(EXPLAIN))
    (form, *_) = page.all("form")
    assert (form["method"], form["action"]) == ("get", EXPLAIN)
    assert [one.get("name") for one in page.all("input")] == ["user", "perm", "obj", "csrf_token"]  # that of the logout
    assert page.texts("title") == page.texts("h1") == ["Explain a permission"]
    assert page.all("table") == []
    assert [name for name, one in page.inputs().items() if "autofocus" in one] == ["user"]
    answer = await browser.get(EXPLAIN, params={"user": "bob", "perm": CHANGE, "obj": "42"})
    page = Page(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert page.texts("h2") == ["bob: blog.change_post on blog.post 42: yes."]
    assert page.texts("th") == ["Source", "Answer", "Why", "grants", "rules"]
    assert page.texts("bdi") == ["granted to the user on blog.post 42"]
    assert page.texts("td") == ["Yes", "Nothing"]
    assert page.texts("span") == ["decided", "(decided before)"]
    typed = {name: one["value"] for name, one in page.inputs().items() if name != "csrf_token"}
    assert typed == {"user": "bob", "perm": CHANGE, "obj": "42"}
    assert [name for name, one in page.inputs().items() if "autofocus" in one] == []


async def test_B10_9_without_an_object_it_is_about_all_of_them(browser: Client) -> None:
    """As the form sends it: the field is blank. Whoever has an e-mail address is found by it, too."""
    page = Page(await browser.get(EXPLAIN, params={"user": "bob@site.example", "perm": "blog.add_post", "obj": ""}))
    assert page.texts("h2") == ["bob: blog.add_post: yes."]
    assert "through group editors" in page.texts("bdi")
    assert Page(await browser.get(EXPLAIN, params={"user": "bob", "perm": CHANGE})).texts("h2") == [
        "bob: blog.change_post: no."
    ]


async def test_B10_9_the_same_as_json(browser: Client) -> None:
    answer = await browser.get(JSON, params={"user": "bob", "perm": CHANGE, "obj": "42"})
    assert answer.status_code == 200
    assert answer.json() == {
        "user": "bob",
        "perm": CHANGE,
        "obj": "blog.post 42",
        "allowed": True,
        "decided_by": "grants",
        "answers": [
            {
                "source": "grants",
                "allowed": True,
                "reasons": ["granted to the user on blog.post 42"],
                "reached": True,
            },
            {"source": "rules", "allowed": None, "reasons": [], "reached": False},
        ],
    }
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-store", "Cookie")
    denied = (await browser.get(JSON, params={"user": "bob", "perm": "blog.visit"})).json()
    assert (denied["allowed"], denied["obj"], denied["decided_by"]) == (False, None, None)
    assert (await browser.head(JSON, params={"user": "bob", "perm": CHANGE})).status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "fields", "told"),
    [
        ({"user": "who", "perm": CHANGE}, 404, None, "There is no such user, or no such object."),
        ({"user": "\0", "perm": CHANGE}, 404, None, "There is no such user, or no such object."),
        ({"user": "bob", "perm": CHANGE, "obj": "43"}, 404, None, "There is no such user, or no such object."),
        ({"user": "bob"}, 422, {"perm": ["required"]}, "Fill this in."),
        ({"user": "", "perm": CHANGE}, 422, {"user": ["required"]}, "Fill this in."),
        (
            {"user": "bob", "perm": "blog.unheard"},
            422,
            {"perm": ["unknown_permission"]},
            "There is no such permission.",
        ),
        ({"user": "bob", "perm": "\0.x"}, 422, {"perm": ["unknown_permission"]}, "There is no such permission."),
        ({"user": "bob", "perm": CHANGE, "obj": "x"}, 422, {"obj": ["invalid"]}, "have no such key"),
        ({"user": "bob", "perm": CHANGE, "obj": "\0"}, 422, {"obj": ["invalid"]}, "have no such key"),
        ({"user": "bob", "perm": "blog.visit", "obj": "1"}, 422, {"obj": ["invalid"]}, "have no such key"),
        ({"user": "b" * 255, "perm": CHANGE}, 422, {"user": ["too_long"]}, "This is too long."),
    ],
    ids=["user", "NUL in user", "object", "no perm", "blank user", "perm", "NUL in perm", "key", "NUL", "none", "long"],
)
async def test_what_is_not_there_is_told_at_its_field(
    browser: Client, query: dict[str, str], status: int, fields: Any, told: str
) -> None:
    """The form keeps what was typed, and shows no answer."""
    answer = await browser.get(JSON, params=query)
    code = "not_found" if status == 404 else "invalid_fields"
    assert (answer.status_code, answer.json()["detail"]["code"]) == (status, code)
    assert answer.json()["detail"].get("fields") == fields
    page = await browser.get(EXPLAIN, params=query)
    assert page.status_code == status
    assert told in " ".join(Page(page).texts())
    assert Page(page).alert
    assert Page(page).all("table") == []
    assert Page(page).inputs()["perm"]["value"] == query.get("perm", "")
    assert len([one for one in Page(page).inputs().values() if "autofocus" in one]) == 1


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("user=bob&perm=blog.add_post&x=1", {"x": ["unknown_field"]}),
        ("user=bob&user=ann&perm=blog.add_post", {"user": ["invalid"]}),
        ("", {"user": ["required"], "perm": ["required"]}),
    ],
    ids=["unknown", "twice", "nothing"],
)
async def test_the_query_is_as_strict_as_a_body(browser: Client, query: str, fields: dict[str, list[str]]) -> None:
    answer = await browser.get(f"{JSON}?{query}")
    assert (answer.status_code, answer.json()["detail"]["fields"]) == (422, fields)


async def test_nobody_but_staff_learns_anything(auth: Auth) -> None:
    """Neither whether there is such a user: the answers are the same."""
    questions = [{"user": name, "perm": CHANGE} for name in ("bob", "who")] + [{}]
    async with client(app(auth), headers=BROWSER) as browser:
        for query in questions:
            answer = await browser.get(EXPLAIN, params=query)
            assert where(answer)[0] == 303
            assert where(answer)[1].startswith(f"{LOGIN}?next={EXPLAIN}")
            answer = await browser.get(JSON, params=query)
            assert (answer.status_code, answer.json()["detail"]["code"]) == (401, "not_authenticated")
        await force_login(browser, await known(auth, "bob"))
        pages, bodies = set(), set()
        for query in questions:
            answer = await browser.get(EXPLAIN, params=query)
            pages.add((answer.status_code, Page(answer).alert, tuple(Page(answer).texts("main"))))
            answer = await browser.get(JSON, params=query)
            bodies.add((answer.status_code, answer.text))
        assert pages == {(403, "You may not do this.", ())}
        ((status, body),) = bodies
        assert (status, '"permission_denied"' in body) == (403, True)


async def test_a_member_of_staff_who_is_dismissed_gets_no_further(auth: Auth, browser: Client) -> None:
    """At the next request."""
    await auth.users.update(await known(auth, "ann"), is_staff=False)
    query = {"user": "bob", "perm": CHANGE}
    for path in (EXPLAIN, JSON):
        assert (await browser.get(path, params=query)).status_code == 403


async def test_it_is_only_asked_with_get(browser: Client) -> None:
    answer = await browser.post(JSON, json={"user": "bob", "perm": CHANGE})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    page = await browser.post(EXPLAIN, data={"user": "bob", "perm": CHANGE})
    assert (page.status_code, page.headers["allow"]) == (405, "GET, HEAD")


async def test_T11_nothing_that_is_asked_becomes_an_element(auth: Auth, browser: Client) -> None:
    """Of the question, of a group's name."""
    empty = Page(await browser.get(EXPLAIN, params={"user": "who", "perm": CHANGE})).outline
    evil = '"><script>alert(1)</script>'
    assert Page(await browser.get(EXPLAIN, params={"user": evil, "perm": CHANGE})).outline == empty
    before = Page(await browser.get(EXPLAIN, params={"user": "bob", "perm": "blog.add_post"}))
    (editors,) = await auth.groups.all()
    await auth.groups.rename(editors, evil)
    after = Page(await browser.get(EXPLAIN, params={"user": "bob", "perm": "blog.add_post"}))
    assert after.outline == before.outline
    assert f"through group {evil}" in after.texts("bdi")


async def test_the_routes_say_who_may_ask(auth: Auth) -> None:
    for routes in (auth.json_routes, auth.html_routes()):
        (mark,) = [mark_of(route.endpoint) for route in routes if getattr(route, "path", "") == "/explain"]  # type: ignore[attr-defined]
        assert mark is not None
        assert str(mark.predicate) == "staff"


async def test_a_name_cannot_turn_around_what_stands_beside_it(auth: Auth, browser: Client) -> None:
    """Characters that change the direction of writing are shown as such."""
    group = await auth.groups.create("edi\u202etors")
    await auth.groups.add(await known(auth, "bob"), group.name)
    await auth.permissions.grant(group, "blog.visit")
    page = await browser.get(EXPLAIN, params={"user": "bob", "perm": "blog.visit"})
    assert ("\u202e" in page.text, "through group edi�tors" in page.text) == (False, True)


async def test_staff_alone_find_a_link_to_it(auth: Auth, browser: Client) -> None:
    def links(answer: Any) -> list[Any]:
        return [one["href"] for one in Page(answer).all("a")]

    assert EXPLAIN in links(await browser.get("/auth/sessions"))
    assert EXPLAIN not in links(await browser.get(EXPLAIN, params={"user": "bob", "perm": CHANGE}))
    await force_login(browser, await known(auth, "bob"))
    assert EXPLAIN not in links(await browser.get("/auth/sessions"))


async def _run(auth: Any, **fields: str) -> None:
    """Says nothing."""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "DELETE", "fields": {"a": Field()}}, "DELETE has no body, and so no fields"),
        ({"method": "GET", "fields": {"a": Field(secret=True)}}, "are texts, and no secrets"),
        ({"method": "GET", "fields": {"a": Field(bool)}}, "are texts, and no secrets"),
    ],
    ids=["DELETE", "secret", "bool"],
)
def test_an_address_holds_texts_alone(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Action(name="show", path="show", run=_run, **options)
