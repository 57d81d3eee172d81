"""`asgiauth_...` tables refer to Django's by foreign keys, and on a database that Django uses too by none: its `flush`
would fail."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Connection, ForeignKey, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth import Auth, Contribution, Core
from asgiauth.db.migrate import check, create_missing, env_options, upgrade

from ..conftest import make_auth
from ..databases import SERVERS, engine_url
from ..db.test_schema import DJANGOS, OWN
from ..parity.introspect import schema
from .driving import PERMISSIONS, Django, DjangoError


class Notes:
    """A feature with two tables: notes of users, and lines of notes."""

    name = "notes"

    def tables(self, metadata: MetaData) -> None:
        id_ = Column("id", Integer, primary_key=True)
        user: Column[int] = Column("user_id", ForeignKey("auth_user.id", ondelete="CASCADE"), index=True)
        Table("notes_note", metadata, id_, user)
        note: Column[int] = Column("note_id", ForeignKey("notes_note.id", ondelete="CASCADE"), index=True)
        Table("notes_line", metadata, id_._copy(), note)

    def install(self, core: Core) -> Contribution:
        return Contribution()


TABLES = [*OWN, "notes_line", "notes_note"]
AMONG_OURS = [("notes_line", "notes_note")]


def auth_on(database: Any, **options: Any) -> Auth:
    return make_auth(database, permissions=PERMISSIONS, features=[Notes()], **options)


async def targets(url: str) -> list[tuple[str, str]]:
    """Each foreign key of a table of ours: the table, and what it refers to."""
    found = await schema(url, TABLES)
    return [(name, key["target"]) for name, table in found.items() for key in table["foreign_keys"].values()]


async def test_A1_beside_django_no_table_of_ours_refers_to_its_tables(django: Django, url: str, server: str) -> None:
    """But to each other they do; whether `create_tables()` makes them or a migration. What an earlier asgiauth has made
    loses its foreign keys, `check` names them before, and Django's `flush` goes through. SQLite keeps them, and can
    flush all the same."""
    async with auth_on(url, shared_with_django=False) as alone:
        await alone.create_tables()
    linked = await targets(url)
    assert len(linked) == 20 and {target for _, target in linked} == {
        "auth_user",
        "auth_group",
        "auth_permission",
        "notes_note",
    }
    if server == "postgresql":
        with pytest.raises(DjangoError, match="couldn't be flushed"):
            await django("flush")
    async with auth_on(url) as auth:
        problems = [line for line in await check(auth) if line.startswith("foreign key")]
        assert len(problems) == (0 if server == "sqlite" else 19)
        assert all(line.endswith("makes Django's flush fail: run `asgiauth db upgrade`") for line in problems)
        before = await schema(url, DJANGOS)
        done = await upgrade(auth)
        assert sorted(done) == sorted(
            [
                *(line.partition(" makes")[0] + " dropped" for line in problems),
                "table asgiauth_version",
                "revision asgiauth_0001",
            ]
        )
        assert (await check(auth), await upgrade(auth)) == ([], [])
        assert await schema(url, DJANGOS) == before
        assert await targets(url) == (linked if server == "sqlite" else AMONG_OURS)
        ann = await auth.users.create("ann", email="ann@example.com")
        await django("flush")
        assert await auth.users.get(ann.id) is None
        await auth.permissions.sync()
        assert (await auth.users.create("ann", email="ann@example.com")).username == "ann"


async def test_A1_django_comes_to_a_database_that_asgiauth_made(bare_django: Django, url: str, server: str) -> None:
    """Without `db upgrade --for-django`, by `migrate --fake`: then the next `create_tables()` brings it in order."""
    async with auth_on(url) as auth:
        await auth.create_tables()
        linked = await targets(url)
        assert len(linked) == 20
        for arguments in (["--fake", "contenttypes"], ["--fake", "auth"], []):
            await bare_django("migrate", *arguments)
        await auth.create_tables()
        assert await targets(url) == (linked if server == "sqlite" else AMONG_OURS)
        ann = await auth.users.create("ann")
        assert await bare_django("usernames") == ["ann"]
        await bare_django("flush")
        assert await auth.users.get(ann.id) is None


async def test_A1_for_django_makes_tables_without_foreign_keys_at_once(bare_django: Django, url: str) -> None:
    async with auth_on(url) as auth:
        done = await upgrade(auth, for_django=True)
        assert not [line for line in done if "dropped" in line]
        assert auth._database.shared_with_django
        assert (await targets(url), await check(auth)) == (AMONG_OURS, [])
        await bare_django("migrate")
        assert await upgrade(auth) == []
        await auth.users.create("ann")
        await bare_django("flush")
        assert await bare_django("usernames") == []


async def test_A1_what_alembic_compares_is_the_same_with_and_without(sqlite_django: Django, sqlite_url: str) -> None:
    """Autogenerate proposes nothing."""
    async with auth_on(sqlite_url) as auth:
        await auth.create_tables()

        def differences(connection: Connection) -> list[Any]:
            django = {"django_migrations", "django_session", "django_admin_log", "blog_post"}
            opts = env_options(auth, include_object=lambda _, name, kind, *more: name not in django)
            return list(compare_metadata(MigrationContext.configure(connection, opts=opts), auth.metadata))

        engine = create_async_engine(engine_url(sqlite_url))
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        await engine.dispose()


@pytest.mark.parametrize("server", [server for server in SERVERS if server != "sqlite"])
async def test_A1_an_alembic_of_the_applications_own_drops_them_too(django: Django, url: str, server: str) -> None:
    """`create_missing(op)` in a revision looks whether Django is there."""
    auth = auth_on(url)
    async with auth_on(url, shared_with_django=False) as alone:
        await alone.create_tables()

    def revise(connection: Connection) -> None:
        create_missing(Operations(MigrationContext.configure(connection, opts=env_options(auth))))

    engine = create_async_engine(engine_url(url))
    for _ in range(2):
        async with engine.begin() as connection:
            await connection.run_sync(revise)
        assert await targets(url) == AMONG_OURS
    await engine.dispose()


@pytest.mark.parametrize(("settings", "refers"), [([None], True), ([True, True], False), ([True, None], True)])
def test_A1_an_offline_revision_goes_by_what_auth_says(settings: list[bool | None], refers: bool) -> None:
    """There is no database to look at."""
    said = StringIO()
    realms = ["", "staff"]
    auths = [make_auth("sqlite:///a.db", realm=realms[n], shared_with_django=one) for n, one in enumerate(settings)]
    opts = {"as_sql": True, "output_buffer": said, **env_options(*auths)}
    create_missing(Operations(MigrationContext.configure(dialect_name="postgresql", opts=opts)))
    made = said.getvalue().partition("CREATE TABLE asgiauth_session ")[2].partition(";")[0]
    assert ("REFERENCES auth_user" in made) is refers
    assert "REFERENCES auth_user" in said.getvalue().partition("CREATE TABLE auth_user_groups ")[2]
