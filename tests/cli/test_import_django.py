"""`asgiauth import-django`: from each server and into each server, killed in the middle, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import pytest
from sqlalchemy import Column, String, Table, Uuid, func, select

from asgiauth import Auth, UserModel
from asgiauth.db import Unit
from asgiauth.db.many import found_by

from ..conftest import make_auth
from ..databases import create_database, drop_database
from ..sites import connected
from .conftest import Project

T = TypeVar("T")

SITE = """
from sqlalchemy import Column, String
from asgiauth import UserModel
from tests.conftest import make_auth
auth = make_auth({url!r}{more})
"""
KILLED = """
import os, signal
from asgiauth.django_import import DjangoImport
settle = DjangoImport._settle
async def settle_some(self, users, links, unit):
    outcome = await settle(self, users, links, unit)
    if users[0]["id"] == 8:
        os.kill(os.getpid(), signal.SIGKILL)  # what this batch has written is not committed
    return outcome
DjangoImport._settle = settle_some
"""
COUNTS = {
    "django_content_type": 1,
    "auth_permission": 2,
    "auth_group": 2,
    "auth_group_permissions": 2,
    "auth_user": 7,
    "auth_user_groups": 7,
    "auth_user_user_permissions": 1,
}


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def user(id_: Any, name: str, **more: Any) -> dict[str, Any]:
    row = {"id": id_, "username": name, "password": f"md5$salt${id_}", "email": f"{name}@Site.Example"}
    row |= {"first_name": "Zoë", "last_name": "", "is_active": True, "is_staff": False, "is_superuser": False}
    joined = datetime.fromisoformat("2020-02-29T12:00:00.000001+00:00")
    return {**row, "last_login": None, "date_joined": joined, **more}


async def insert(auth: Auth[Any], table: Table, *rows: dict[str, Any]) -> None:
    async def work(unit: Unit) -> None:
        for row in rows:
            await unit.insert(table, row)

    await auth._database.atomic(work)


async def fill(url: str, *users: dict[str, Any], groups: bool = True, **options: Any) -> None:
    """A database in Django's shape, with ids that nothing here would have made."""
    async with connected(url, **options) as auth:
        tables = auth.tables
        await insert(auth, tables.user, *users)
        if not groups:
            return
        await insert(auth, tables.content_type, {"id": 17, "app_label": "blog", "model": "post"})
        codes = {21: "add_post", 22: "publish_post"}
        rows = [{"id": id_, "name": code, "content_type_id": 17, "codename": code} for id_, code in codes.items()]
        await insert(auth, tables.permission, *rows)
        await insert(auth, tables.group, {"id": 31, "name": "editors"}, {"id": 32, "name": "readers"})
        await insert(auth, tables.group_permissions, *({"group_id": 31, "permission_id": id_} for id_ in codes))
        await insert(auth, tables.user_groups, *({"user_id": one["id"], "group_id": 31} for one in users))
        await insert(auth, tables.user_permissions, {"user_id": users[0]["id"], "permission_id": 22})


def seven() -> list[dict[str, Any]]:
    return [user(1, "Ann", is_superuser=True), *(user(number, f"user{number}") for number in (2, 3, 5, 8, 13, 900))]


def use(project: Project, url: str, more: str = "", code: str = "") -> None:
    project.write(code + SITE.format(url=url, more=more))
    (project.directory / "pyproject.toml").write_text('[tool.asgiauth]\napp = "project_under_test:auth"\n')


async def numbers(auth: Auth[Any]) -> dict[str, int]:
    named = {table.name: table for table in auth.tables.all()}
    return {
        name: (await auth._database.fetch(select(func.count().label("n")).select_from(named[name])))[0]["n"]
        for name in COUNTS
    }


def told(project: Project, source: str, *options: str) -> tuple[int, dict[str, Any]]:
    said = project.run("import-django", "--json", *options, source)
    assert said.exit_code in (0, 1), said.output
    return said.exit_code, json.loads(said.stdout)


def of(told: dict[str, Any], what: str) -> dict[str, int]:
    return {name: count[what] for name, count in told["tables"].items()}


@pytest.fixture
def target(tmp_path: Path) -> str:
    """An empty database with the tables, on SQLite."""

    async def create(url: str) -> str:
        async with connected(url):
            return url

    return run(create(f"sqlite:///{tmp_path / 'target.db'}"))


def test_A2_18_from_each_server_everything_is_copied(project: Project, url: str, target: str) -> None:
    """With ids, hashes, and what every user may do; the e-mail address lets in as before."""
    run(fill(url, *seven()))
    use(project, target)
    said = project.run("import-django", "--batch", "2", url)
    assert (said.exit_code, said.stderr) == (0, "")
    assert f"{'auth_user':26}         7         7         0         0\n" in said.stdout

    async def look(at: str) -> list[Any]:
        async with make_auth(at) as auth:
            rows = (await auth.users.page()).items
            found = [(one.id, one.as_dict(), one.password, one.date_joined, one.last_login) for one in rows]
            may = [await auth.permissions.of(one) for one in rows]
            return [found, may, await numbers(auth)]

    there, here = run(look(url)), run(look(target))
    assert here == there
    assert here[2] == COUNTS

    async def log_in() -> list[Any]:
        async with make_auth(target) as auth:
            found = [await auth.users.find(name) for name in ("Ann", "ann", "ANN@site.example", "user900@site.example")]
            return [one and one.id for one in found]

    assert run(log_in()) == [1, 1, 1, 900]


def test_A2_18_into_each_server_everything_is_copied_and_new_ids_are_larger(
    project: Project, url: str, tmp_path: Path
) -> None:
    """What is here already, under ids of its own, is found by its natural key."""
    source = f"sqlite:///{tmp_path / 'source.db'}"
    run(fill(source, *seven()))

    async def before() -> None:
        async with connected(url) as auth:
            await insert(auth, auth.tables.content_type, {"app_label": "blog", "model": "post"})
            await insert(auth, auth.tables.group, {"name": "readers"})

    run(before())
    use(project, url)
    code, first = told(project, source, "--batch", "3")
    assert (code, of(first, "read")) == (0, COUNTS)
    assert of(first, "added") == {**COUNTS, "django_content_type": 0, "auth_group": 1}
    code, again = told(project, source)
    assert (code, of(again, "present"), set(of(again, "added").values())) == (0, COUNTS, {0})

    async def look() -> list[Any]:
        async with make_auth(url) as auth:
            ann, last = await auth.users.get(1), await auth.users.get(900)
            assert ann is not None
            assert last is not None
            new = await auth.users.create("new")
            return [await numbers(auth), ann.password, await auth.permissions.of(last), new.id > 900]

    everything = frozenset({"blog.add_post", "blog.publish_post"})
    assert run(look()) == [{**COUNTS, "auth_user": 8}, "md5$salt$1", everything, True]


def test_killed_it_goes_on_where_it_stopped(project: Project, url: str, target: str) -> None:
    """By SIGKILL, in the middle of a batch; two batches were committed. Nobody is there without groups."""
    run(fill(url, *seven()))
    use(project, target, code=KILLED)
    killed = project.process("import-django", "--batch", "2", url, PYTHONDONTWRITEBYTECODE="1")
    assert killed.returncode == -signal.SIGKILL

    async def look() -> dict[str, int]:
        async with make_auth(target) as auth:
            return await numbers(auth)

    half = run(look())
    assert (half["auth_user"], half["auth_user_groups"]) == (4, 4)
    use(project, target)
    code, said = told(project, url, "--batch", "2")
    assert (code, said["tables"]["auth_user"]) == (0, {"read": 7, "added": 3, "present": 4, "skipped": 0})
    assert run(look()) == COUNTS


def test_a_dry_run_says_the_same_and_writes_nothing(project: Project, url: str, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'source.db'}"
    twins = [user(20, "eve", email="USER2@site.example"), user(21, "fay", email="user8@SITE.example")]
    run(fill(source, *seven(), *twins, user(22, "x", password="p" * 128)))

    async def look() -> dict[str, int]:
        async with connected(url) as auth:
            return await numbers(auth)

    assert set(run(look()).values()) == {0}
    use(project, url)
    code, planned = told(project, source, "--dry-run", "--batch", "2")
    assert set(run(look()).values()) == {0}
    done_code, done = told(project, source, "--batch", "2")
    assert (code, planned) == (done_code, {**done, "dry_run": True})
    assert done["twins"] == [{"user": "20", "field": "email"}, {"user": "21", "field": "email"}]
    said = project.run("import-django", "--dry-run", source)
    assert said.stdout.endswith("Nothing was written.\n")


def test_D09_twins_log_in_by_their_exact_names(project: Project, sqlite_url: str, target: str) -> None:
    """Also a twin of somebody who is here already; a row of somebody who is called otherwise by now is no hindrance."""
    there = [user(2, "Bob", email="ann@site.example"), user(3, "ann", email=""), user(4, "old", email="")]
    run(fill(sqlite_url, *there, groups=False))

    async def before() -> None:
        async with make_auth(target) as auth:
            await auth.users.create("ann2", email="ann@site.example")
            stale = {"value": "old", "user_id": 77, "field": "username", "source": "old"}
            await insert(auth, auth.tables.user, user(77, "renamed", email=""))
            await insert(auth, auth.tables.identifier, stale)

    run(before())
    use(project, target)
    said = project.run("import-django", sqlite_url)
    assert "1 twin: " in said.stdout
    assert "2 (email)" in said.stdout

    async def find() -> list[Any]:
        async with make_auth(target) as auth:
            found = [await auth.users.find(name) for name in ("ann@site.example", "Bob", "ann", "OLD")]
            return [one and one.username for one in found]

    assert run(find()) == ["ann2", "Bob", "ann", "old"]


def test_nobody_becomes_another_one(project: Project, sqlite_url: str, target: str) -> None:
    """An id or a name that is somebody else's here, what does not fit, and what hangs on it: skipped, and told."""
    run(fill(sqlite_url, *seven(), user(30, "n" * 151), user(31, "nul\0"), user(32, "late", is_staff=True)))

    async def before() -> None:
        async with make_auth(target) as auth:
            await insert(auth, auth.tables.user, user(2, "else"), user(100, "user3"), user(32, "late", email=""))

    run(before())
    use(project, target)
    said = project.run("import-django", sqlite_url)
    assert said.exit_code == 1
    assert said.stderr.splitlines() == [
        f"auth_user 30 {'n' * 151}: skipped, username: too_long, max_length=150.",
        "auth_user 31 nul�: skipped, username: invalid_characters.",
        "auth_user 2 user2: skipped, its id is 'else' here.",
        "auth_user 3 user3: skipped, its name has the id 100 here.",
    ]
    code, again = told(project, sqlite_url)
    assert (code, again["tables"]["auth_user"]) == (1, {"read": 10, "added": 0, "present": 6, "skipped": 4})
    assert again["tables"]["auth_user_groups"] == {"read": 10, "added": 0, "present": 6, "skipped": 4}
    assert [one["table"] for one in again["skipped"]] == ["auth_user"] * 4

    async def late() -> Any:
        async with make_auth(target) as auth:
            return await auth.users.get(32)

    assert run(late()).is_staff is False


def test_what_the_database_takes_for_equal_is_skipped_and_told(
    project: Project, url: str, tmp_path: Path, server: str
) -> None:
    """MariaDB's collation does; and a column of one's own that is unique."""
    source = f"sqlite:///{tmp_path / 'source.db'}"
    run(fill(source, user(1, "Jose"), user(2, "jose", email="x@site.example"), user(3, "zed")))

    async def more() -> None:
        async with make_auth(source) as auth:
            await insert(auth, auth.tables.group, {"name": "EDITORS"})

    run(more())

    async def create() -> None:
        async with connected(url):
            pass

    run(create())
    use(project, url)
    code, said = told(project, source)
    if server == "mysql":
        assert (code, said["skipped"]) == (
            1,
            [
                {
                    "table": "auth_group",
                    "key": "EDITORS",
                    "reason": "another one is here that the database takes for equal",
                },
                {"table": "auth_user", "key": "2 jose", "reason": "its username is another user's here"},
            ],
        )
    else:
        assert (code, said["twins"]) == (0, [{"user": "2", "field": "username"}])


def test_more_than_ten_skipped_are_counted(project: Project, sqlite_url: str, target: str) -> None:
    twins = [user(number, f"twin{number}", email="twin@site.example") for number in range(50, 62)]
    run(fill(sqlite_url, *(user(number, "n" * 151 + str(number)) for number in range(1, 13)), *twins, groups=False))
    use(project, target)
    said = project.run("import-django", sqlite_url)
    assert len(said.stderr.splitlines()) == 11
    assert said.stderr.endswith("12 skipped in all: --json names them.\n")
    assert "11 twins: " in said.stdout
    assert "60 (email), ...." in said.stdout


def test_a_group_or_permission_that_does_not_fit_is_skipped_with_what_hangs_on_it(
    project: Project, sqlite_url: str, target: str
) -> None:
    run(fill(sqlite_url, *seven()))
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as raw:
        raw.execute("UPDATE django_content_type SET app_label = ?", ("a" * 101,))
        raw.execute("UPDATE auth_group SET name = ? WHERE id = 31", ("g" * 151,))
    raw.close()
    use(project, target)
    code, said = told(project, sqlite_url)
    assert (code, of(said, "skipped")) == (
        1,
        {**COUNTS, "auth_group": 1, "auth_user": 0},
    )
    reasons = [one["reason"] for one in said["skipped"]]
    assert reasons == [
        "app_label: too_long, max_length=100",
        "its content type is not here",
        "its content type is not here",
        "name: too_long, max_length=150",
    ]


def test_A21_own_columns_are_copied_or_filled_in(
    project: Project, sqlite_url: str, target: str, tmp_path: Path
) -> None:
    """Those of both sides; what only we have gets its default, what only Django has stays there."""
    own = [Column("phone", String(20), nullable=False), Column("theirs", String(20))]
    model = UserModel(columns=own)
    run(fill(sqlite_url, user(1, "ann", phone="123", theirs="x"), groups=False, user_model=model))
    columns = (
        'Column("phone", String(20), nullable=False), Column("plan", String(9), nullable=False, default="free"), '
        'Column("note", String(9)), Column("kind", String(9), nullable=False, server_default="user")'
    )
    here = f"sqlite:///{tmp_path / 'own.db'}"
    use(project, here, f", user_model=UserModel(columns=[{columns}])")
    assert project.run("db", "upgrade").exit_code == 0
    code, said = told(project, sqlite_url)
    assert (code, said["tables"]["auth_user"]["added"]) == (0, 1)
    with sqlite3.connect(here.removeprefix("sqlite:///")) as raw:
        assert raw.execute("SELECT phone, plan, note, kind FROM auth_user").fetchall() == [
            ("123", "free", None, "user")
        ]
    raw.close()
    use(project, target, ', user_model=UserModel(columns=[Column("rank", String(9), nullable=False)])')
    lacking = project.run("import-django", sqlite_url)
    assert (lacking.exit_code, "has no column 'rank' there" in lacking.stderr) == (1, True)


def test_this_very_database_is_refused_by_any_of_its_addresses(project: Project, url: str) -> None:
    """There is nothing to import: it is shared."""
    run(fill(url, *seven()))
    use(project, url)
    for address in (url, url.replace("127.0.0.1", "localhost"), url.replace("sqlite:///", "sqlite:////.")):
        said = project.run("import-django", address)
        assert (said.exit_code, said.stdout) == (1, "")
        assert "nothing needs to be imported" in said.stderr


def test_another_database_of_the_same_server_is_not_refused(project: Project, url: str, server: str) -> None:
    run(fill(url, *seven()))
    here = run(create_database(server, f"{Path(url).stem}_other", project.directory))
    try:

        async def create() -> None:
            async with connected(here):
                pass

        run(create())
        use(project, here)
        assert of(told(project, url)[1], "added") == COUNTS
    finally:
        run(drop_database(server, f"{Path(url).stem}_other"))


@pytest.mark.parametrize(
    ("source", "exit_code", "said"),
    [
        ("postgresql://ann:s3cret@127.0.0.1:1/db", 1, "cannot be reached"),
        ("mysql://ann:s3cret@127.0.0.1:1/db", 1, "cannot be reached"),
        ("oracle://ann:s3cret@127.0.0.1/db", 1, "unsupported database URL scheme 'oracle'"),
        ("postgresql://ann:s3cret@127.0.0.1/db?sslmode=maybe", 1, "sslmode='maybe'"),
        ("sqlite:///missing.db", 1, "cannot be opened"),
    ],
)
def test_what_cannot_be_read_is_told_without_the_password(
    project: Project, target: str, source: str, exit_code: int, said: str
) -> None:
    use(project, target)
    for options in ((), ("--traceback",)):
        told = project.run(*options, "import-django", source)
        assert (told.exit_code, said in told.stderr, told.stdout) == (exit_code, True, "")
        assert "s3cret" not in told.output
    assert not (project.directory / "missing.db").exists()


def test_what_is_no_django_database_is_told(project: Project, sqlite_url: str, target: str) -> None:
    """No tables, tables of long ago, a value that no column of its type could hold."""
    file = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as raw:
        raw.execute("CREATE TABLE other (id integer)")
    raw.close()
    use(project, target)
    assert "it has no table 'auth_user'" in project.run("import-django", sqlite_url).stderr
    run(fill(sqlite_url, *seven()))
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE auth_user SET date_joined = 'long ago' WHERE id = 5")
    raw.close()
    said = project.run("import-django", "--batch", "3", sqlite_url)
    assert (said.exit_code, "after the id 3 holds there" in said.stderr, "long ago" in said.output) == (1, True, False)
    with sqlite3.connect(file) as raw:
        raw.execute("ALTER TABLE auth_group RENAME COLUMN name TO title")
    raw.close()
    assert "auth_group has no column 'name' there" in project.run("import-django", sqlite_url).stderr


def test_a_model_without_permissions_brings_users_alone(project: Project, sqlite_url: str, tmp_path: Path) -> None:
    """As AbstractBaseUser does: there are no tables of links then."""
    run(fill(sqlite_url, *seven()))
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as raw:
        for statement in (
            "DROP TABLE auth_user_groups",
            "DROP TABLE auth_user_user_permissions",
            "ALTER TABLE auth_user DROP COLUMN is_superuser",
        ):
            raw.execute(statement)
    raw.close()
    use(project, f"sqlite:///{tmp_path / 'own.db'}", ', user_model=UserModel(without=["is_superuser"])')
    assert project.run("db", "upgrade").exit_code == 0
    code, said = told(project, sqlite_url)
    assert (code, said["tables"]["auth_user"]["added"]) == (0, 7)
    assert "auth_user_groups" not in said["tables"]


def test_the_environment_names_the_database_too_and_a_terminal_shows_a_bar(
    project: Project, sqlite_url: str, target: str
) -> None:
    run(fill(sqlite_url, *seven()))
    use(project, target)
    terminal = project.terminal("import-django", "--batch", "1", ASGIAUTH_DJANGO_URL=sqlite_url)
    assert terminal.end() == 0
    assert "Importing" in terminal.seen
    assert "7/7" in terminal.seen
    assert "auth_user_user_permissions" in terminal.seen


def test_an_identifier_that_somebody_takes_meanwhile_stays_theirs(
    project: Project, sqlite_url: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it was taken before, and not seen when it was looked for."""
    run(fill(sqlite_url, user(11, "ann"), user(12, "bob"), groups=False))

    async def before() -> None:
        async with make_auth(target) as auth:
            await auth.users.create("first", email="ann@site.example")

    run(before())
    look, looks = found_by, list[int]()

    async def blind(*arguments: Any) -> list[Any]:
        looks.append(1)
        return [] if len(looks) == 3 else await look(*arguments)

    monkeypatch.setattr("asgiauth.users.newcomers.found_by", blind)
    use(project, target)
    code, said = told(project, sqlite_url)
    assert (code, said["twins"]) == (0, [{"user": "11", "field": "email"}])


def test_many_at_once_and_one_that_the_database_refuses(
    project: Project, url: str, tmp_path: Path, server: str
) -> None:
    """Only what the server itself can tell: a column of few letters on MariaDB, a constraint on the others."""
    source = f"sqlite:///{tmp_path / 'source.db'}"
    run(fill(source, *(user(number, f"user{number}") for number in range(1, 300)), user(300, "odd", first_name="😀")))

    async def narrow() -> None:
        async with connected(url) as auth, auth._database.unit() as unit:
            if server == "mysql":
                await unit.text("ALTER TABLE auth_user MODIFY first_name varchar(150) CHARACTER SET latin1 NOT NULL")
            else:
                await unit.text("CREATE UNIQUE INDEX only_one ON auth_user (is_active) WHERE first_name <> 'Zoë'")
                await insert(auth, auth.tables.user, user(1000, "other", first_name="x"))

    run(narrow())
    use(project, url)
    code, said = told(project, source)
    assert (code, said["tables"]["auth_user"]) == (1, {"read": 300, "added": 299, "present": 0, "skipped": 1})
    assert said["tables"]["auth_user_groups"] == {"read": 300, "added": 299, "present": 0, "skipped": 1}
    assert said["skipped"][0]["key"] == "300 odd"
    assert "😀" not in said["skipped"][0]["reason"]


def test_A21_4_other_keys_are_kept(project: Project, url: str, tmp_path: Path) -> None:
    model = UserModel(id_type=Uuid())
    ids = [uuid5(NAMESPACE_URL, str(number)) for number in range(5)]
    run(fill(url, *(user(id_, f"user{at}") for at, id_ in enumerate(ids)), user_model=model))
    here = f"sqlite:///{tmp_path / 'uuid.db'}"
    use(project, here, ", user_model=UserModel(id_type=__import__('sqlalchemy').Uuid())")
    assert project.run("db", "upgrade").exit_code == 0
    code, said = told(project, url, "--batch", "2")
    assert (code, of(said, "added")) == (0, {**COUNTS, "auth_user": 5, "auth_user_groups": 5})

    async def find() -> list[Any]:
        async with make_auth(here, user_model=model) as auth:
            return [(await auth.users.get(id_)).username for id_ in ids]  # type: ignore[union-attr]

    assert run(find()) == [f"user{at}" for at in range(5)]


def test_a_table_of_ones_own_that_counts_its_ids_otherwise(project: Project, sqlite_url: str, tmp_path: Path) -> None:
    """SQLite then takes the largest id, and one more. Without users there is nothing to count."""
    run(fill(sqlite_url, user(900, "ann")))
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as raw:
        ((made,),) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'auth_user'")
    raw.close()
    with sqlite3.connect(tmp_path / "own.db") as raw:
        raw.execute(made.replace("AUTOINCREMENT", ""))
    raw.close()
    here = f"sqlite:///{tmp_path / 'own.db'}"
    use(project, here)
    assert project.run("db", "upgrade").exit_code == 0
    assert told(project, sqlite_url)[0] == 0

    async def new() -> Any:
        async with make_auth(here) as auth:
            return (await auth.users.create("new")).id

    assert run(new()) == 901
    empty = f"sqlite:///{tmp_path / 'empty.db'}"

    async def create() -> None:
        async with connected(empty):
            pass

    run(create())
    code, said = told(project, empty)
    assert (code, set(of(said, "read").values())) == (0, {0})
    assert project.run("import-django", empty).exit_code == 0


def test_the_source_is_not_changed_by_a_byte(project: Project, sqlite_url: str, target: str) -> None:
    """Nor are its settings: a file that Django keeps without a write-ahead log stays so."""
    run(fill(sqlite_url, *seven()))
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with sqlite3.connect(file) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")
    raw.close()
    before = file.read_bytes()
    use(project, target)
    assert told(project, sqlite_url)[0] == 0
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.glob("test.db*")) == ["test.db"]
