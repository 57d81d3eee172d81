"""B11.5: the other way in. An application with an Alembic of its own runs asgiauth's revisions beside its own, and its
autogenerate sees what is the application's, and nothing else."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import alembic
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Column, Date, ForeignKey, Integer, MetaData, String, Table

from asgiauth import Auth, UserModel
from asgiauth.db.migrate import VERSION_LOCATION, check, env_options
from asgiauth.db.types import UTCDateTime
from asgiauth.exceptions import ConfigurationError

from ..conftest import make_auth
from ..databases import engine_url
from ..parity.introspect import schema
from .test_migrations import EVERYTHING, STAMP, Notes, execute, upgraded
from .test_schema import A_REALMS, table_names

ENV = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

attributes = context.config.attributes


def migrate(connection):
    context.configure(connection=connection, target_metadata=attributes["metadata"], **attributes["options"])
    with context.begin_transaction():
        context.run_migrations()


async def online():
    engine = create_async_engine(attributes["url"], poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()


if context.is_offline_mode():
    context.configure(
        url=attributes["url"], target_metadata=attributes["metadata"], literal_binds=True, **attributes["options"]
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(online())
"""
REVISION = """
from alembic import op
import sqlalchemy as sa
from asgiauth.db.migrate import create_missing
revision = "{0}"
down_revision = {1!r}
branch_labels = None
depends_on = None

def upgrade():
    {2}

def downgrade():
    pass
"""


class Application:
    """A directory with an alembic.ini as `alembic init -t async` makes it, and models that change."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self.versions = directory / "migrations" / "versions"
        self.versions.mkdir(parents=True)
        (directory / "migrations" / "env.py").write_text(ENV)
        shutil.copy(Path(alembic.__file__).parent / "templates/async/script.py.mako", directory / "migrations")
        (directory / "alembic.ini").write_text(
            "[alembic]\nscript_location = %(here)s/migrations\npath_separator = newline\n"
            f"version_locations =\n    %(here)s/migrations/versions\n    {VERSION_LOCATION}\n"
        )
        self.ini = directory / "alembic.ini"
        self.knows(make(url))

    def knows(self, *auths: Auth, metadata: Any = None, **options: Any) -> None:
        self.metadata = metadata or list(dict.fromkeys(auth.metadata for auth in auths))
        self.options = env_options(*auths, **options) if auths else {}

    def revision(self, name: str, after: str | None, upgrade: str = "pass") -> None:
        (self.versions / f"{name}.py").write_text(REVISION.format(name, after, upgrade))

    async def alembic(self, what: Callable[..., Any], *arguments: Any, **keywords: Any) -> str:
        """Runs a command of Alembic's as a process of its own would, and returns what it prints."""
        said = io.StringIO()
        config = Config(self.ini, stdout=said, output_buffer=said)
        config.attributes.update(url=engine_url(self.url), metadata=self.metadata, options=self.options)
        await asyncio.to_thread(what, config, *arguments, **keywords)
        return said.getvalue()

    async def seen(self) -> list[Any]:
        """What `alembic revision --autogenerate` would write."""
        found: list[Any] = []

        def compare(config: Config) -> None:
            def keep(context: Any, revision: Any, directives: list[Any]) -> None:
                found.extend(directives[0].upgrade_ops.as_diffs())
                directives.clear()

            command.revision(
                config, autogenerate=True, head="base", splice=True, version_path=str(self.versions),
                process_revision_directives=keep,
            )  # fmt: skip

        await self.alembic(compare)
        return found


def make(url: str, metadata: MetaData | None = None, **options: Any) -> Auth:
    return make_auth(url, metadata=metadata, **options)


@pytest.fixture
def application(tmp_path: Path, url: str) -> Application:
    return Application(tmp_path, url)


def columns() -> list[Column[Any]]:
    return [
        Column("badge", Integer, unique=True),
        Column("team", String(20), index=True, server_default="red"),
        Column("boss_id", ForeignKey("auth_user.id")),
    ]


def models() -> MetaData:
    metadata = MetaData()
    Table(
        "orders",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("user_id", ForeignKey("auth_user.id", ondelete="CASCADE"), nullable=False),
    )
    return metadata


ORDERS = (
    'op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True),'
    ' sa.Column("user_id", sa.Integer, sa.ForeignKey("auth_user.id", ondelete="CASCADE"), nullable=False))'
)


async def test_B11_5_the_applications_own_alembic_ends_in_the_same_schema(
    application: Application, url: str, server: str
) -> None:
    """Two heads, one version table. `check(auth)` leaves the version to `alembic current`; autogenerate sees nothing."""
    application.knows(make(url, models()))
    application.revision("one", None, ORDERS)
    await application.alembic(command.upgrade, "asgiauth@head")
    await application.alembic(command.upgrade, "heads")
    assert await table_names(url) == sorted([*EVERYTHING, "alembic_version", "orders"])
    assert await execute(url, "SELECT version_num FROM alembic_version ORDER BY 1") == [("asgiauth_0001",), ("one",)]
    assert "No new upgrade operations detected" in await application.alembic(command.check)
    before = await schema(url, EVERYTHING)
    async with make(url) as auth:
        assert await check(auth) == []
        assert (await auth.users.create("ann")).username == "ann"
    await application.alembic(command.downgrade, "asgiauth@base")
    assert await schema(url, EVERYTHING) == before
    async with make(url) as auth:
        await auth.create_tables()
        assert (await auth.users.find("ann")) is not None
    await application.alembic(command.upgrade, "heads")


@pytest.mark.parametrize("how", ["create_tables", "upgrade"])
async def test_B11_5_autogenerate_sees_no_phantom_change(application: Application, url: str, how: str) -> None:
    """However the tables came to be; columns, keys and indexes of the application on the user table are no change."""
    options: dict[str, Any] = {"features": [Notes()], "user_model": UserModel(columns=columns())}
    auth = make(url, **options)
    if how == "upgrade":
        assert STAMP in await upgraded(url, **options)
    else:
        async with auth:
            await auth.create_tables()
    application.knows(auth)
    await application.alembic(command.stamp, "heads")
    assert await application.seen() == []


async def test_B11_5_autogenerate_sees_what_is_the_applications(application: Application, url: str) -> None:
    """A new column of the user, with its index and keys, and its own tables; nothing of the user table is dropped, for
    it may be Django's."""
    await upgraded(url, user_model=UserModel(columns=[Column("old", Date, index=True)]))
    application.knows(make(url, models(), user_model=UserModel(columns=columns())))
    await application.alembic(command.stamp, "heads")
    seen = await application.seen()
    kinds = sorted((kind, getattr(thing[-1], "name", None)) for kind, *thing in seen)
    assert [kind for kind, _ in kinds if not kind.startswith("add_")] == []
    assert {name for kind, name in kinds if kind == "add_column"} == {"badge", "team", "boss_id"}
    assert {name for kind, name in kinds if kind == "add_table"} == {"orders"}
    assert sum(kind == "add_fk" for kind, _ in kinds) == 1
    indexed = [thing for kind, *thing in seen if kind in ("add_index", "add_constraint")]
    assert sorted([*thing.columns.keys()] for (thing,) in indexed) == [["badge"], ["team"]]


async def test_B11_5_what_autogenerate_writes_runs(application: Application, url: str) -> None:
    """A foreign key has the type of the user's id, a column may have one of ours; an own hook is asked too."""
    metadata = models()
    Table("shifts", metadata, Column("at", UTCDateTime, primary_key=True), Column("kind", String(10), nullable=False))
    asked = set()

    def render(kind: str, thing: Any, _: Any) -> str | Literal[False]:
        asked.add(type(thing))
        return "sa.String(10)" if isinstance(thing, String) else False

    for hooks in ({}, {"render_item": render}):
        application.knows(make(url, metadata), **hooks)
        await application.alembic(command.upgrade, "heads")
        await application.alembic(
            command.revision, "shifts", autogenerate=True, head="base", splice=True, rev_id=f"a{len(hooks)}",
            version_path=str(application.versions),
        )  # fmt: skip
        (written,) = application.versions.glob("*.py")
        assert "sa.Column('user_id', sa.Integer(), nullable=False)" in written.read_text()
        assert ("sa.String(10)" if hooks else "sa.String(length=10)") in written.read_text()
        await application.alembic(command.upgrade, "heads")
        assert {"orders", "shifts"} <= set(await table_names(url))
        assert "No new upgrade operations detected" in await application.alembic(command.check)
        await application.alembic(command.downgrade, f"a{len(hooks)}@base")
        written.unlink()
    assert {Integer, String} <= asked


async def test_B11_5_an_alembic_that_does_not_list_our_revisions_leaves_our_tables_alone(
    application: Application, url: str
) -> None:
    """Before and after `upgrade(auth)` has made them, its version table among them."""
    application.ini.write_text(application.ini.read_text().replace(VERSION_LOCATION, ""))
    application.knows(make(url, models()))
    for _ in range(2):
        assert [(kind, thing[0].name) for kind, *thing in await application.seen()] == [("add_table", "orders")]
        await upgraded(url)


async def test_B11_5_two_auths_and_a_hook_of_the_applications(application: Application, url: str) -> None:
    """Each table once, whoever has it; the hook is asked about what is not ours."""
    asked = set()

    def include(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        asked.add(name)
        return kind != "table" or name != "legacy"

    staff, shared = {"realm": "staff", "user_model": UserModel(table="staff")}, MetaData()
    auths = make(url, shared, features=[Notes()]), make(url, shared, **staff)
    application.knows(*auths, include_object=include)
    await application.alembic(command.upgrade, "heads")
    assert await table_names(url) == sorted([
        *EVERYTHING, "alembic_version", "asgiauth_data_version_staff", "notes_note", "staff", "staff_groups", "staff_user_permissions",
        *(name.replace("asgiauth_", "asgiauth_staff_") for name in A_REALMS),
    ])  # fmt: skip
    await execute(url, "CREATE TABLE legacy (id INTEGER)", "CREATE TABLE other (id INTEGER)")
    assert [(kind, table.name) for kind, table in await application.seen()] == [("remove_table", "other")]
    assert asked >= {"legacy", "other"}
    assert not asked & {*EVERYTHING, "notes_note", "password"}


async def test_B11_5_a_feature_switched_on_later_is_a_revision_of_one_line(application: Application, url: str) -> None:
    await application.alembic(command.upgrade, "heads")
    application.knows(make(url, features=[Notes()]))
    assert await application.seen() == []
    application.revision("notes", None, "create_missing(op)")
    await application.alembic(command.upgrade, "heads")
    assert "notes_note" in await table_names(url)


async def test_B11_5_an_env_py_without_the_options_is_told(application: Application) -> None:
    application.knows(metadata=MetaData())
    with pytest.raises(ConfigurationError, match="env_options"):
        await application.alembic(command.upgrade, "heads")


async def test_B11_5_offline_mode_writes_every_statement(application: Application, url: str) -> None:
    """`alembic upgrade --sql` cannot look: it is for an empty database."""
    script = await application.alembic(command.upgrade, "heads", sql=True)
    assert [name for name in EVERYTHING if f"CREATE TABLE {name} " not in script.replace("\n", "")] == []
    assert await table_names(url) == []
