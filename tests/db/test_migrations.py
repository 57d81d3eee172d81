"""B11.5: `upgrade(auth)` and `check(auth)`, over every kind of database that an `Auth` is given. What an application
with an Alembic of its own does: tests/db/test_own_alembic.py."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, String, Table, func, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth import Auth, Contribution, Core, UserModel
from asgiauth.db.migrate import check, upgrade
from asgiauth.db.schema import LOCK_KEY, ddl
from asgiauth.exceptions import ConfigurationError, MissingDependency, Unavailable

from ..conftest import BASE_URL, SECRET_KEYS, make_auth
from ..databases import SERVERS, create_database, drop_database, engine_url
from ..parity.introspect import schema
from ..parity.make_golden import TABLES
from ..parity.test_hashes import DJANGO, django
from .test_schema import A_REALMS, DJANGOS, OWN, table_names

EVERYTHING = sorted([*DJANGOS, *OWN])
STAMP = "revision asgiauth_0001"


class Notes:
    """A feature with a table."""

    name = "notes"

    def tables(self, metadata: MetaData) -> None:
        Table(
            "notes_note",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("user_id", ForeignKey("auth_user.id", ondelete="CASCADE"), index=True, nullable=False),
            Column("text", String(20), server_default="a: b%"),
        )

    def install(self, core: Core) -> Contribution:
        return Contribution()


async def upgraded(database: Any, *, for_django: bool = False, **options: Any) -> list[str]:
    async with make_auth(database, **options) as auth:
        done = await upgrade(auth, for_django=for_django)
        assert await check(auth) == []
    return done


async def problems(database: Any, **options: Any) -> list[str]:
    async with make_auth(database, **options) as auth:
        return await check(auth)


def tables_of(done: list[str]) -> list[str]:
    return sorted(line.removeprefix("table ") for line in done if line.startswith("table "))


async def execute(url: str, *statements: Any) -> list[Any]:
    """What the last of the statements returns."""
    engine = create_async_engine(engine_url(url))
    try:
        async with engine.begin() as connection:
            results = [await connection.execute(text(one) if isinstance(one, str) else one) for one in statements]
            return list(results[-1].all()) if results[-1].returns_rows else []
    finally:
        await engine.dispose()


@asynccontextmanager
async def another_database(server: str, directory: Path) -> AsyncIterator[str]:
    name = f"asgiauth_{secrets.token_hex(6)}"
    yield await create_database(server, name, directory)
    await drop_database(server, name)


async def test_B11_5_from_nothing_everything_is_created_and_the_second_time_nothing(url: str) -> None:
    assert await problems(url) == [
        *(f"table {name} is missing: run `asgiauth db upgrade`" for name in [
            "django_content_type", "auth_permission", "auth_group", "auth_user", "auth_group_permissions",
            "auth_user_groups", "auth_user_user_permissions", *OWN_IN_ORDER,
        ]),
        "revision asgiauth_0001 has not run: run `asgiauth db upgrade`",
    ]  # fmt: skip
    done = await upgraded(url)
    assert (tables_of(done), done[-1]) == (sorted([*EVERYTHING, "asgiauth_version"]), STAMP)
    assert await table_names(url) == sorted([*EVERYTHING, "asgiauth_version"])
    before = await schema(url, EVERYTHING)
    assert await upgraded(url) == []
    assert await schema(url, EVERYTHING) == before
    assert await execute(url, "SELECT version_num FROM asgiauth_version") == [("asgiauth_0001",)]


OWN_IN_ORDER = [
    "asgiauth_identifier",
    "asgiauth_session",
    "asgiauth_pending_login",
    "asgiauth_user_state",
    "asgiauth_password_history",
    "asgiauth_limit",
    "asgiauth_data_version",
    "asgiauth_data_version_auth_user",
    *(f"asgiauth_{whose}_grant_{kind}" for whose in ("user", "group") for kind in ("integer", "uuid", "text")),
]


async def test_B11_5_every_beginning_ends_in_the_same_schema(url: str, server: str, tmp_path: Path) -> None:
    """From nothing, from `create_tables()` and from a database of Django 6.1, in which nothing of Django's is touched,
    and to whose tables ours have no foreign keys."""
    await upgraded(url)
    wanted = await schema(url, [*EVERYTHING, "asgiauth_version"])
    async with another_database(server, tmp_path) as created:
        async with make_auth(created) as auth:
            await auth.create_tables()
            assert await check(auth) == ["revision asgiauth_0001 has not run: run `asgiauth db upgrade`"]
            assert await upgrade(auth) == ["table asgiauth_version", STAMP]
        assert await schema(created, [*EVERYTHING, "asgiauth_version"]) == wanted
    if DJANGO is not None:
        async with another_database(server, tmp_path) as djangos:
            await django("django_migrate.py", djangos)
            names, before = await table_names(djangos), await schema(djangos, TABLES)
            assert tables_of(await upgraded(djangos)) == sorted([*OWN, "asgiauth_version"])
            assert await schema(djangos, TABLES) == before
            loose = {name: {**table, "foreign_keys": {}} if name in OWN else table for name, table in wanted.items()}
            assert await schema(djangos, [*EVERYTHING, "asgiauth_version"]) == loose
            assert await table_names(djangos) == sorted([*names, *OWN, "asgiauth_version"])


NOTHING_TO_DO = ["  Apply all migrations: auth, contenttypes", "Running migrations:", "  No migrations to apply."]

if DJANGO is not None:

    async def test_B11_5_after_for_django_its_migrate_has_nothing_to_do(url: str) -> None:
        """And its table of migrations is as Django itself makes it."""
        done = await upgraded(url, for_django=True)
        assert [line for line in done if "django_migrations" in line][:2] == [
            "table django_migrations",
            "django_migrations contenttypes.0001_initial",
        ]
        assert await upgraded(url, for_django=True) == []
        names = await table_names(url)
        before = await schema(url, names)
        assert (await django("django_migrated.py", url))[1:] == NOTHING_TO_DO
        assert await table_names(url) == names
        assert await schema(url, names) == before

    async def test_B11_5_for_django_writes_what_django_itself_has_written(
        url: str, server: str, tmp_path: Path
    ) -> None:
        """The same table, names and order; the times are now, in UTC."""
        rows = "SELECT app, name FROM django_migrations WHERE app <> 'sessions' ORDER BY app, name"
        await upgraded(url, for_django=True)
        async with another_database(server, tmp_path) as djangos:
            await django("django_migrate.py", djangos)
            assert await schema(url, ["django_migrations"]) == await schema(djangos, ["django_migrations"])
            assert await execute(url, rows) == await execute(djangos, rows)
            assert not any("django_migrations" in line for line in await upgraded(djangos, for_django=True))
        for (applied,) in await execute(url, "SELECT applied FROM django_migrations"):
            when = datetime.fromisoformat(applied) if isinstance(applied, str) else applied
            assert abs(when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)) < timedelta(minutes=5)


async def test_B11_5_of_an_application_that_django_migrates_itself_nothing_is_written(url: str) -> None:
    """An older Django may have got half-way: what is left is Django's to run."""
    await upgraded(url, for_django=True)
    await execute(url, "DELETE FROM django_migrations WHERE app = 'auth' AND name > '0011'")
    assert await upgraded(url, for_django=True) == []
    await execute(url, "DELETE FROM django_migrations WHERE app = 'contenttypes'")
    assert await upgraded(url, for_django=True) == [
        "django_migrations contenttypes.0001_initial",
        "django_migrations contenttypes.0002_remove_content_type_name",
    ]


async def test_B11_5_a_missing_column_of_the_application_is_named_and_not_added(url: str) -> None:
    """On a user table that is there it is the application's own migration; on a new one it is created."""
    model = UserModel(id_type=BigInteger(), columns=[Column("badge", Integer, unique=True), Column("team", String(20))])
    await upgraded(url)
    before = await schema(url, EVERYTHING)
    assert await problems(url, user_model=model) == [
        f"column auth_user.{name} is missing in a table that exists: add it by a migration of your own"
        for name in ("badge", "team")
    ]
    async with make_auth(url, user_model=model) as auth:
        assert await upgrade(auth) == []
    assert await schema(url, EVERYTHING) == before
    member = UserModel(table="member", columns=[Column("badge", Integer, unique=True), Column("team", String(20))])
    done = await upgraded(url, user_model=member, realm="m")
    assert "table member" in done
    assert {"badge", "team"} < set((await schema(url, ["member"]))["member"]["columns"])


async def test_B11_5_a_realm_has_a_version_of_its_own(url: str) -> None:
    """Two `Auth` in one database share Django's tables; neither takes the other's version for its own."""
    await upgraded(url)
    staff = [name.replace("asgiauth_", "asgiauth_staff_") for name in [*A_REALMS, "asgiauth_version"]]
    assert len(await problems(url, realm="staff")) == len(staff)
    done = await upgraded(url, realm="staff")
    assert (tables_of(done), done[-1]) == (sorted(staff), STAMP)
    assert await table_names(url) == sorted([*EVERYTHING, "asgiauth_version", *staff])


async def test_B11_5_a_feature_that_is_switched_on_later_gets_its_tables(url: str) -> None:
    await upgraded(url)
    assert await problems(url, features=[Notes()]) == ["table notes_note is missing: run `asgiauth db upgrade`"]
    assert await upgraded(url, features=[Notes()]) == ["table notes_note"]
    assert "user_id" in (await schema(url, ["notes_note"]))["notes_note"]["columns"]
    async with make_auth(url, features=[Notes()]) as auth:
        ann = await auth.users.create("ann")
        note = auth.metadata.tables["notes_note"]
        await execute(url, insert(note).values(id=1, user_id=ann.id))
        assert await execute(url, note.select()) == [(1, ann.id, "a: b%")]


PROCESS = f"""
import asyncio, json, sys
from asgiauth import Auth
from asgiauth.db import sources, unit
from asgiauth.db.migrate import upgrade

unit.STATEMENT_TIMEOUT, sources._PATIENCE = 60, 60_000  # as tests/conftest.py has it

async def main():
    async with Auth(sys.argv[1], secret_keys={SECRET_KEYS!r}, base_url={BASE_URL!r}) as auth:
        json.dump(await upgrade(auth, for_django=True), sys.stdout)

asyncio.run(main())
"""


async def test_B11_5_processes_that_migrate_at_once_share_the_work(url: str) -> None:
    """A deployment starts all of its workers together: one of them does it, the others find it done."""

    def process() -> list[str]:
        done = subprocess.run([sys.executable, "-c", PROCESS, url], capture_output=True, check=True, timeout=120)
        lines: list[str] = json.loads(done.stdout)
        return lines

    results = await asyncio.gather(*(asyncio.to_thread(process) for _ in range(3)))
    assert sorted(results)[:2] == [[], []]
    assert tables_of(sorted(results)[2]) == sorted([*EVERYTHING, "asgiauth_version", "django_migrations"])


async def test_B11_5_two_in_one_process_do_not_mix(server: str, url: str, tmp_path: Path) -> None:
    async with another_database(server, tmp_path) as other:
        results = await asyncio.gather(upgraded(url), upgraded(other, realm="b"), upgraded(url))
        assert sorted(len(done) for done in results) == [0, len(EVERYTHING) + 2, len(EVERYTHING) + 2]
        assert "asgiauth_b_version" in await table_names(other)


def of_databases(url: str, **options: Any) -> databases.Database:
    return databases.Database(url.replace("mysql:", "mysql+asyncmy:"), **options)


@pytest.mark.parametrize("make", [of_databases, lambda url: create_async_engine(engine_url(url))])
async def test_B11_5_whatever_database_object_auth_was_given(url: str, make: Callable[[str], Any]) -> None:
    """The connection is the object's own, and is as it was: what others decode on it is decoded as before."""
    given = make(url)
    assert tables_of(await upgraded(given)) == sorted([*EVERYTHING, "asgiauth_version"])
    async with make_auth(given) as auth:
        ann = await auth.users.create("ann")
        assert await upgrade(auth) == []
        assert await auth.users.find("ann") == ann
    if not isinstance(given, databases.Database):
        await given.dispose()


async def test_B11_5_a_connection_goes_back_to_the_pool_as_it_was(url: str, server: str) -> None:
    """PostgreSQL's keep their codecs for JSON on the connection; SQLAlchemy would have set its own."""
    one = {} if server == "sqlite" else {"min_size": 1, "max_size": 1}
    async with of_databases(url, **one) as given:
        await upgraded(given)
        if server == "postgresql":
            assert await given.fetch_val("SELECT '[1]'::jsonb") == "[1]"
        await given.execute("INSERT INTO auth_group (name) VALUES ('editors')")
    assert await execute(url, "SELECT name FROM auth_group") == [("editors",)]


TRANSACTIONAL = [server for server in SERVERS if server != "mysql"]
"""Where DDL has transactions at all."""


@pytest.mark.parametrize("server", TRANSACTIONAL)
async def test_B11_5_inside_the_applications_transaction_it_ends_with_that(url: str) -> None:
    async with of_databases(url) as given, make_auth(given) as auth:
        transaction = await given.transaction()
        assert tables_of(await upgrade(auth)) == sorted([*EVERYTHING, "asgiauth_version"])
        await transaction.rollback()
    assert await table_names(url) == []


@pytest.mark.parametrize("server", TRANSACTIONAL)
async def test_B11_5_a_refusal_says_why_and_leaves_nothing_behind(url: str) -> None:
    """An index of the same name is in the way."""
    await execute(url, "CREATE TABLE other (id INTEGER)", "CREATE INDEX asgiauth_session_expires ON other (id)")
    with pytest.raises(ConfigurationError, match=r"the database refuses: .*asgiauth_session_expires"):
        await upgraded(url)
    assert await table_names(url) == ["other"]
    await execute(url, "DROP TABLE other")
    assert tables_of(await upgraded(url)) == sorted([*EVERYTHING, "asgiauth_version"])


async def test_B11_5_cancelled_at_any_point_it_can_be_run_again(url: str) -> None:
    """Half of it is nowhere but on MariaDB, where the next run does the other half."""
    async with make_auth(url) as auth:
        for milliseconds in (1, 3, 10, 30, 60, 100):
            task = asyncio.create_task(upgrade(auth))
            await asyncio.sleep(milliseconds / 1000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await upgrade(auth)
        assert await check(auth) == []
        assert (await auth.users.create("ann")).username == "ann"


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "mysql"])
async def test_B11_5_killed_between_two_statements_the_next_run_does_the_rest(
    server: str, url: str, tmp_path: Path
) -> None:
    """MariaDB keeps what was done: so each statement makes a whole table, with its keys and indexes."""
    async with make_auth(url) as auth:
        statements = ddl("mysql", auth.metadata, auth.tables.all())
        await auth.create_tables()
    assert [statement for statement in statements if not statement.strip().startswith("CREATE TABLE ")] == []
    wanted = await schema(url, EVERYTHING)
    async with another_database(server, tmp_path) as killed:
        await execute(killed, *statements[:5])
        assert await upgraded(killed)
        assert await schema(killed, EVERYTHING) == wanted


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "postgresql"])
async def test_B11_5_it_does_not_wait_for_another_process_for_ever(
    server: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves the application's own patience with locks as it was."""
    monkeypatch.setattr("asgiauth.db.migrate._LOCK_SECONDS", 0.05)
    patience = "SELECT current_setting('lock_timeout')"
    engine = create_async_engine(engine_url(url))
    async with make_auth(engine) as auth:
        async with engine.begin() as other:
            await other.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
            with pytest.raises(Unavailable, match="another process"):
                await upgrade(auth)
        async with engine.begin() as connection, auth.joined(connection):
            await connection.execute(text("SET LOCAL lock_timeout = '7s'"))
            await upgrade(auth)
            assert await connection.scalar(text(patience)) == "7s"
    await engine.dispose()


async def test_B11_5_a_database_of_a_newer_asgiauth_is_left_alone(url: str) -> None:
    await upgraded(url)
    await execute(url, "UPDATE asgiauth_version SET version_num = 'asgiauth_9999'")
    async with make_auth(url) as auth:
        for work in (upgrade(auth), check(auth)):
            with pytest.raises(ConfigurationError, match=r"asgiauth_9999.*install the newer"):
                await work


async def test_B11_5_an_alembic_of_the_applications_own_keeps_its_version_itself(url: str) -> None:
    """`check` then leaves it to `alembic current`; tables and columns it still looks at."""
    await execute(url, "CREATE TABLE my_alembic_version (version_num VARCHAR(32) NOT NULL)")
    async with make_auth(url) as auth:
        await auth.create_tables()
        assert await check(auth) == []


if "mysql" in SERVERS:

    @pytest.mark.parametrize("server", ["mysql"])
    async def test_B11_5_who_waits_too_long_for_another_process_is_told(
        url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On MariaDB, where a lock of the connection stands in for DDL in transactions."""
        monkeypatch.setattr("asgiauth.db.migrate._LOCK_SECONDS", 0)
        lock = f"('asgiauth:{url.rpartition('/')[2]}'"
        engine = create_async_engine(engine_url(url))
        async with engine.connect() as connection, make_auth(url) as auth:
            await connection.execute(text(f"SELECT GET_LOCK{lock}, 0)"))
            with pytest.raises(Unavailable, match="another process migrates"):
                await upgrade(auth)
            await connection.execute(text(f"SELECT RELEASE_LOCK{lock})"))
            assert STAMP in await upgrade(auth)
        await engine.dispose()


@pytest.mark.parametrize("package", ["alembic", "greenlet"])
async def test_B11_5_without_the_extra_the_error_names_it(
    sqlite_auth: Auth, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgiauth.db.migrate.find_spec", lambda name: None if name == package else object())
    for work in (upgrade(sqlite_auth), check(sqlite_auth)):
        with pytest.raises(MissingDependency, match=rf'{package} is not installed.*"asgiauth\[migrations\]"'):
            await work


async def test_B11_5_before_it_is_connected_the_error_names_the_cure(sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError, match="async with auth"):
        await upgrade(make_auth(sqlite_url))
