"""Commands about permissions, against each server: `syncpermissions` (row A18.4), `explain` (row B10.9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.schema import CreateTable

from asgiauth import Auth, Permission, Ref, Resource, crud

from ..conftest import make_auth
from .conftest import Project

SITE = """
from sqlalchemy import Column, Integer, MetaData, Table
from asgiauth import Permission, Resource, crud
from tests.conftest import make_auth
posts = Table("posts", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False))
auth = make_auth({url!r}, permissions={permissions}, resources=[Resource("blog.post", table=posts)])
"""
POSTS = '[*crud("blog", "post"), Permission("blog.visit")]'
RENAMED = '[*crud("blog", "post", renamed_from="article"), Permission("blog.visit")]'


def use(project: Project, url: str, permissions: str = POSTS) -> None:
    project.write(SITE.format(url=url, permissions=permissions))
    (project.directory / "pyproject.toml").write_text('[tool.asgiauth]\napp = "project_under_test:auth"\n')


def prepare(url: str) -> None:
    """Bob may change post 42."""

    async def make() -> None:
        posts = Table("posts", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False))
        permissions = [*crud("blog", "post"), Permission("blog.visit")]
        auth = make_auth(url, permissions=permissions, resources=[Resource("blog.post", table=posts)])
        async with auth:
            await auth.create_tables()
            bob = await auth.users.create("bob")
            await auth.permissions.grant(bob, "blog.change_post", Ref("blog.post", 42))
            async with auth._database.unit() as unit:
                await unit.text(str(CreateTable(posts)))
                await unit.execute(posts.insert().values([{"id": 42}, {"id": 43}]))

    asyncio.run(make())


def with_tables(url: str, *permissions: Permission) -> None:
    async def make() -> None:
        auth: Auth = make_auth(url, permissions=permissions)
        async with auth:
            await auth.create_tables()

    asyncio.run(make())


def test_A18_4_syncpermissions_says_what_it_adds(project: Project, url: str) -> None:
    """In Django's words; the second time there is nothing to add."""
    with_tables(url)
    use(project, url)
    done = project.process("syncpermissions")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Adding permission 'blog.add_post'",
        "Adding permission 'blog.change_post'",
        "Adding permission 'blog.delete_post'",
        "Adding permission 'blog.view_post'",
        "Adding permission 'blog.visit'",
        "5 permissions declared, 5 added.",
    ]
    again = project.run("syncpermissions")
    assert (again.exit_code, again.stdout) == (0, "5 permissions declared, 0 added.\n")
    assert json.loads(project.run("syncpermissions", "--json").stdout) == {"added": [], "renamed": {}}


def test_A4_4_syncpermissions_says_what_it_renames(project: Project, sqlite_url: str) -> None:
    with_tables(sqlite_url, *crud("blog", "article", actions=["add", "view"]))
    use(project, sqlite_url, RENAMED)
    assert project.run("syncpermissions").stdout.splitlines()[:3] == [
        "Renaming permission 'blog.add_article' to 'blog.add_post'",
        "Renaming permission 'blog.view_article' to 'blog.view_post'",
        "Adding permission 'blog.change_post'",
    ]


def test_A4_4_syncpermissions_as_json(project: Project, sqlite_url: str) -> None:
    with_tables(sqlite_url, *crud("blog", "article", actions="add"))
    use(project, sqlite_url, RENAMED)
    assert json.loads(project.run("syncpermissions", "--json").stdout) == {
        "added": ["blog.change_post", "blog.delete_post", "blog.view_post", "blog.visit"],
        "renamed": {"blog.add_article": "blog.add_post"},
    }


@pytest.mark.parametrize("command", [["syncpermissions"], ["db", "upgrade"]], ids=" ".join)
def test_A4_4_a_rename_that_clashes_ends_with_1(project: Project, sqlite_url: str, command: Sequence[str]) -> None:
    with_tables(sqlite_url, *crud("blog", "article", actions="add"), *crud("blog", "post", actions="add"))
    use(project, sqlite_url, RENAMED)
    refused = project.run(*command)
    assert refused.exit_code == 1
    assert "Error: 1 permission rename conflict(s) detected: blog.add_post (blog.add_article)." in refused.stderr


def test_A4_3_db_upgrade_declares_the_permissions_too(project: Project, url: str) -> None:
    use(project, url)
    lines = project.run("db", "upgrade").stdout.splitlines()
    assert lines[-6:] == [
        "permission blog.add_post",
        "permission blog.change_post",
        "permission blog.delete_post",
        "permission blog.view_post",
        "permission blog.visit",
        "The database is up to date.",
    ]
    assert project.run("db", "upgrade").stdout == "The database is up to date.\n"


def test_A18_4_db_check_names_what_is_declared_and_not_stored(project: Project, url: str) -> None:
    """And `explain` does."""
    with_tables(url, *crud("blog", "post"))
    use(project, url)
    project.run("db", "upgrade")
    use(project, url, '[*crud("blog", "post"), Permission("blog.visit"), Permission("blog.close")]')
    said = "permission blog.close is declared and not stored: run `asgiauth syncpermissions`"
    told = project.run("db", "check")
    assert (told.exit_code, told.stdout) == (1, f"{said}\n")
    assert json.loads(project.run("db", "check", "--json").stdout) == [said]
    assert project.run("syncpermissions").exit_code == 0
    assert project.run("db", "check").stdout == "The database is up to date.\n"


def test_without_tables_syncpermissions_says_so(project: Project, url: str) -> None:
    use(project, url)
    refused = project.run("syncpermissions")
    assert (refused.exit_code, "db upgrade" in refused.stderr) == (1, True)


def test_B10_9_explain_says_who_and_why(project: Project, url: str) -> None:
    """The exit code is the answer."""
    prepare(url)
    use(project, url)
    allowed = project.process("explain", "bob", "blog.change_post", "42")
    assert (allowed.returncode, allowed.stderr) == (0, "")
    assert allowed.stdout.splitlines() == [
        "bob: blog.change_post on blog.post 42: yes, by grants",
        "  grants  yes: granted to the user on blog.post 42",
        "  rules   - (decided before)",
    ]
    denied = project.run("explain", "bob", "blog.change_post", "43")
    assert (denied.exit_code, denied.stdout.splitlines()[0]) == (1, "bob: blog.change_post on blog.post 43: no")
    told = project.run("explain", "bob", "blog.change_post", "--json")
    assert (told.exit_code, json.loads(told.stdout)["allowed"]) == (1, False)
    yes = project.run("explain", "--json", "bob", "blog.change_post", "42")
    assert (yes.exit_code, json.loads(yes.stdout)["decided_by"]) == (0, "grants")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["who", "blog.visit"], "user 'who' does not exist; asgiauth users lists them"),
        (["bob", "blog.unheard"], "there is no permission 'blog.unheard'"),
        (["bob", "\udcff.x"], "there is no permission"),
        (["bob", "blog.change_post", "x"], "a key of blog.post is int, and 'x' is none"),
        (["bob", "blog.change_post", ""], "a key of blog.post is int, and '' is none"),
        (["bob", "blog.change_post", "1_0"], "a key of blog.post is int, and '1_0' is none"),
        (["bob", "blog.change_post", " 42 "], "a key of blog.post is int, and ' 42 ' is none"),
        (["bob", "blog.change_post", "9223372036854775808"], "no key of blog.post is that large"),
        (["bob", "blog.change_post", "44"], "there is no blog.post 44"),
        (["bob", "blog.change_post", "--", "-1"], "there is no blog.post -1"),
        (["bob", "blog.change_post", "\udcff"], "no database can hold that key"),
        (["bob", "blog.visit", "42"], "'blog.visit' belongs to no Resource"),
        (["bob"], "Missing argument 'PERM'"),
    ],
    ids=[
        "user",
        "permission",
        "surrogate",
        "key",
        "blank",
        "underscore",
        "spaces",
        "large",
        "gone",
        "negative",
        "surrogate key",
        "no resource",
        "nothing asked",
    ],
)
def test_explain_ends_with_2_where_it_was_asked_in_a_wrong_way(
    project: Project, sqlite_url: str, arguments: list[str], says: str
) -> None:
    prepare(sqlite_url)
    use(project, sqlite_url)
    refused = project.run("explain", *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert says in refused.stderr
