"""Migrations: Alembic revisions that ship inside the package.

Two ways in. `upgrade(auth)` runs them, and remembers in a table of its own how far it came. Or an application that has
Alembic already lists `VERSION_LOCATION` among its own, and gives `env_options(auth)` to `context.configure`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sqlalchemy import Column, Connection, MetaData, String, Table, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from ..exceptions import ConfigurationError, MissingDependency, Unavailable
from .beside_django import ForeignKeyLeft, foreign_keys_left
from .django_history import MIGRATIONS, history_table, remember
from .fit import misfits
from .schema import LOCK_KEY, ddl
from .shield import finish
from .types import DjangoInteger
from .unit import Unit
from .user_table import django_columns

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    from ..auth import Auth

__all__ = ["VERSION_LOCATION", "check", "create_missing", "env_options", "upgrade"]

T = TypeVar("T")

VERSION_LOCATION = "asgiauth:db/migrations"
"""For `version_locations` in an application's alembic.ini."""
_CURE = "run `asgiauth db upgrade`"
_LOCK_SECONDS = 60
_TABLES, _SHARED = "asgiauth_tables", "asgiauth_shared_with_django"
"""The options of Alembic's context under which a revision finds the tables, and whether Django uses the database."""


async def upgrade(auth: Auth[Any], *, for_django: bool = False) -> list[str]:
    """Brings the database up to date, and says what was done: `table auth_user`, `revision asgiauth_0001`,
    `permission blog.add_post`.

    Creates what is missing, also the tables of a feature that was switched on later, and changes nothing that Django
    has made; then declares the permissions. `for_django`: also tells Django, in its table `django_migrations`, that
    those of contenttypes and auth are there. On a database that Django uses too, asgiauth's tables have no foreign keys
    to Django's, and lose those that they had. Run it while connected; several processes may do so at once. Where the
    server can (not MariaDB/MySQL), all of it happens or nothing, but for the permissions, which come afterwards.

    Raises `MissingDependency` without Alembic, `ConfigurationError` when the database refuses, is newer than this
    asgiauth, has users that are not as the `UserModel` says, or a permission under its old and new name.
    """
    auth._database.check_writable()  # what Alembic writes does not pass the seam
    directory = await asyncio.to_thread(_revisions)
    opts = {_TABLES: _tables(auth), _SHARED: for_django or auth._shared_with_django}
    work = partial(_upgrade, auth=auth, opts=opts, directory=directory, django=for_django)
    done = await auth._database.atomic(partial(_in_sqlalchemy, work=work))
    await auth._look_for_django()
    return [*done, *(f"permission {perm}" for perm in await auth.permissions.sync())]


async def check(auth: Auth[Any]) -> list[str]:
    """What the database lacks: tables, columns, revisions, permissions that are declared, each with its cure; empty
    when all is well.

    A column of the application on a user table that existed before is the application's own migration. Where the
    application's own Alembic runs the revisions (a table named like `alembic_version` is there, and none of ours),
    how far they came is for that Alembic to say. Run it while connected. Raises as `upgrade` does.
    """
    directory = await asyncio.to_thread(_revisions)
    work = partial(_check, auth=auth, directory=directory)
    return await auth._database.atomic(partial(_in_sqlalchemy, work=work))


def env_options(
    *auths: Auth[Any],
    include_object: Callable[..., bool] | None = None,
    render_item: Callable[..., str | Literal[False]] | None = None,
) -> dict[str, Any]:
    """What an application's env.py gives to Alembic: `context.configure(..., **env_options(auth))`.

    The revisions find their tables by it, and autogenerate leaves alone what is theirs. Of the user table it sees the
    application's own columns, which it adds and never drops: Django may know them. `include_object` and `render_item`:
    the application's own hooks, asked about everything else.
    """
    tables = _tables(*auths)
    theirs = {table.name for table in tables} | {_own_version_table(auth) for auth in auths}
    users = {auth.tables.user.name for auth in auths}

    def include(object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        if type_ == "table" and name in theirs:
            return name in users and compare_to is not None
        if type_ != "table" and object_.table.name in theirs:
            columns = {object_.name} if type_ == "column" else set(object_.columns.keys())
            return not reflected and not columns <= _USER_COLUMNS
        return include_object is None or include_object(object_, name, type_, reflected, compare_to)

    def render(type_: str, object_: Any, autogenerate: AutogenContext) -> str | Literal[False]:
        """A foreign key without a type of its own has that of the user's id."""
        if isinstance(object_, DjangoInteger):
            return "sa.Integer()"
        if type(object_).__module__ == DjangoInteger.__module__:
            autogenerate.imports.add(f"import {DjangoInteger.__module__}")
        return render_item(type_, object_, autogenerate) if render_item is not None else False

    shared = {auth._shared_with_django for auth in auths}
    agreed = next(iter(shared)) if len(shared) == 1 else None
    return {"include_object": include, "render_item": render, _TABLES: tables, _SHARED: agreed}


_USER_COLUMNS = {"id", *(column.name for column in django_columns())}


def create_missing(op: Operations) -> None:
    """For a revision's `upgrade()`: creates those of asgiauth's tables that are missing, and changes none that exist,
    but for the foreign keys that they must not have on a database that Django uses, too.

    An application with its own Alembic runs it in a revision of its own when it has switched on a feature that has
    tables. Raises `ConfigurationError` when env.py does not say which tables.
    """
    context = op.get_context()
    tables: list[Table] | None = context.opts.get(_TABLES)
    if tables is None:
        raise ConfigurationError(
            "asgiauth's revisions do not know your Auth: in env.py, "
            "context.configure(..., **asgiauth.db.migrate.env_options(auth))"
        )
    shared: bool | None = context.opts[_SHARED]
    missing, left = tables, []
    if not context.as_sql:
        shared = _is_shared(op.get_bind(), shared)
        missing, left = _missing(op.get_bind(), tables), _left(op.get_bind(), tables) if shared else []
    drops = [key.drop(_dialect(context.dialect.name)) for key in left]
    for statement in [*_statements(context.dialect.name, missing, shared=bool(shared)), *drops]:
        op.execute(text(statement.replace(":", r"\:")))


def _tables(*auths: Auth[Any]) -> list[Table]:
    """Each once, by its name: two `Auth` with a realm each share Django's."""
    found: dict[str, Table] = {}
    for auth in auths:
        for table in [*auth.tables.all(), *auth._feature_tables]:
            found.setdefault(table.name, table)
    return list(found.values())


def _own_version_table(auth: Auth[Any]) -> str:
    return auth.tables.session.name.removesuffix("session") + "version"


def _missing(connection: Connection, tables: list[Table]) -> list[Table]:
    inspector = inspect(connection)
    return [table for table in tables if not inspector.has_table(table.name)]


def _is_shared(connection: Connection, setting: bool | None) -> bool:
    return inspect(connection).has_table(MIGRATIONS) if setting is None else setting


def _left(connection: Connection, tables: list[Table]) -> list[ForeignKeyLeft]:
    """The foreign keys that a shared database must not have."""
    statement = foreign_keys_left(_dialect(connection.dialect.name), tables)
    return [] if statement is None else [ForeignKeyLeft(*row) for row in connection.execute(statement)]


def _dialect(name: str) -> str:
    return name.replace("mariadb", "mysql")


def _statements(dialect: str, tables: list[Table], *, shared: bool) -> Iterator[str]:
    """The very statements of `auth.create_tables()`, whichever driver Alembic runs them on."""
    for metadata in dict.fromkeys(table.metadata for table in tables):
        of_it = [table for table in tables if table.metadata is metadata]
        yield from ddl(_dialect(dialect), metadata, of_it, shared=shared)


def _revisions() -> ScriptDirectory:
    for package in ("alembic", "greenlet"):
        if find_spec(package) is None:
            raise MissingDependency(package, "migrations")
    for module in ("alembic.migration", "alembic.operations", "sqlalchemy.ext.asyncio"):
        import_module(module)  # here, in a thread, rather than while others wait for the database's lock
    from alembic.script import ScriptDirectory

    path = Path(__file__).parent / "migrations"
    directory = ScriptDirectory(path, version_locations=[path])
    directory.get_heads()  # reads the files now, in a thread of their own
    return directory


async def _in_sqlalchemy(unit: Unit, work: Callable[[Connection], T]) -> T:
    """Runs `work(connection)` on the connection of this unit of work, whatever object it came from, in the shape that
    Alembic needs. The unit alone begins and ends the transaction."""
    from sqlalchemy.ext.asyncio import create_async_engine

    async def raw(*_: object, **__: object) -> Any:
        return unit.lease.raw

    async def nothing(*_: object) -> None:
        """No codecs for JSON: the connection goes back to others, who decode it as they always did."""

    engine = create_async_engine(
        f"{unit.dialect}+{_DRIVERS[unit.dialect]}://",
        async_creator=raw,
        poolclass=StaticPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT" if unit.dialect == "postgresql" else None,  # elsewhere to say so is a COMMIT
    )
    for name in ("do_begin", "do_commit", "do_rollback"):
        setattr(engine.dialect, name, lambda connection: None)
    for name in ("setup_asyncpg_json_codec", "setup_asyncpg_jsonb_codec"):
        setattr(engine.dialect, name, nothing)

    async def run() -> T:
        async with unit.lease.statement_lock, engine.connect() as connection:
            return await connection.run_sync(work)

    try:
        return await finish(run())  # a cancelled driver is in the middle of something, and nobody knows of what
    except DBAPIError as error:
        raise _refusal(error) from error


_DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "mysql": "asyncmy"}


def _upgrade(
    connection: Connection, *, auth: Auth[Any], opts: dict[str, Any], directory: ScriptDirectory, django: bool
) -> list[str]:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    own = _own_version_table(auth)
    version = Table(own, MetaData(), Column("version_num", String(32), primary_key=True))
    wanted = [*opts[_TABLES], *([history_table()] if django else []), version]
    with _alone(connection):
        missing = _missing(connection, wanted)
        shared = _is_shared(connection, opts[_SHARED])
        for problem in misfits(connection, opts[_TABLES], auth.tables.user, shared=shared):
            raise ConfigurationError(problem)
        left = _left(connection, wanted) if shared else []
        context = MigrationContext.configure(connection, opts={**opts, "version_table": own, _TABLES: wanted})
        operations = Operations(context)
        done = []
        for script in _due(directory, context.get_current_heads()):
            script.module.upgrade(operations)
            context.stamp(directory, script.revision)
            done.append(f"revision {script.revision}")
        create_missing(operations)
        if django:
            done += [f"django_migrations {migration}" for migration in remember(connection)]
        dropped = [f"foreign key {key.name} of {key.table} dropped" for key in left]
        return [*(f"table {table.name}" for table in missing), *dropped, *done]


def _due(directory: ScriptDirectory, heads: tuple[str, ...]) -> list[Any]:
    """The scripts to run, the oldest first."""
    scripts = {script.revision: script for script in directory.walk_revisions()}
    if unknown := set(heads) - set(scripts):
        raise ConfigurationError(
            f"the database is at {', '.join(unknown)}, which this asgiauth does not know: install the newer one"
        )
    return list(directory.iterate_revisions("heads", heads or None))[::-1]


def _check(connection: Connection, *, auth: Auth[Any], directory: ScriptDirectory) -> list[str]:
    from alembic.migration import MigrationContext

    tables, own = _tables(auth), _own_version_table(auth)
    missing = _missing(connection, tables)
    shared = auth._database.shared_with_django
    problems = list(misfits(connection, tables, auth.tables.user, shared=shared))
    problems += [f"table {table.name} is missing: {_CURE}" for table in missing]
    inspector = inspect(connection)
    for table in tables:
        present = set() if table in missing else {column["name"] for column in inspector.get_columns(table.name)}
        problems += [
            f"column {table.name}.{column.name} is missing in a table that exists: add it by a migration of your own"
            + _instead(auth, column)
            for column in table.columns
            if present and column.name not in present
        ]
    if shared:
        problems += [
            f"foreign key {key.name} of {key.table} makes Django's flush fail: {_CURE}"
            for key in _left(connection, tables)
        ]
    names = inspector.get_table_names()
    if own in names or not any("alembic" in name for name in names):
        context = MigrationContext.configure(connection, opts={"version_table": own})
        problems += [
            f"revision {script.revision} has not run: {_CURE}"
            for script in _due(directory, context.get_current_heads())
        ]
    theirs = {auth.tables.content_type, auth.tables.permission}
    return problems if theirs & set(missing) else [*problems, *_unstored(connection, auth)]


def _instead(auth: Auth[Any], column: Column[Any]) -> str:
    """What else may be meant, where Django has made the table and a column is not as `UserModel` says."""
    if column.table is auth.tables.user and column.name in _USER_COLUMNS:
        return ", or leave it out, UserModel(without=[...])"
    is_link = column.table in (auth.tables.user_groups, auth.tables.user_permissions)
    return ", or say what it is called there, UserModel(link_column=...)" if is_link else ""


def _unstored(connection: Connection, auth: Auth[Any]) -> Iterator[str]:
    """What `auth.permissions.sync()` would add or rename."""
    kind, permission = auth.tables.content_type, auth.tables.permission
    rows = connection.execute(
        select(kind.c.app_label, kind.c.model, permission.c.codename).join_from(
            permission, kind, kind.c.id == permission.c.content_type_id
        )
    )
    stored = {tuple(row) for row in rows}
    for perm, declared in auth.permissions.declared.items():
        if (declared.app_label, declared.model, declared.codename) not in stored:
            yield f"permission {perm} is declared and not stored: run `asgiauth syncpermissions`"


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """No other process migrates at the same time. On SQLite the unit of work has the lock already."""
    name = func.concat("asgiauth:", func.database())
    if connection.dialect.name == "postgresql":
        patience = connection.scalar(select(func.current_setting("lock_timeout")))
        connection.execute(select(func.set_config("lock_timeout", f"{_LOCK_SECONDS}s", True)))
        connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
        connection.execute(select(func.set_config("lock_timeout", patience, True)))
    if connection.dialect.name == "mysql":
        _check_lock(connection.scalar(select(func.get_lock(name, _LOCK_SECONDS))))
    try:
        yield
    finally:
        if connection.dialect.name == "mysql":
            connection.execute(select(func.release_lock(name)))


def _check_lock(got: int | None) -> None:
    if not got:
        raise Unavailable(_LOCKED)


def _refusal(error: DBAPIError) -> Exception:
    if getattr(error.orig, "sqlstate", "") == _LOCK_NOT_AVAILABLE:
        return Unavailable(_LOCKED)
    return ConfigurationError(f"the database refuses: {error.orig}")


_LOCKED = "another process migrates the database: try again when it is done"
_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's own name, for a wait that lasted longer than lock_timeout."""
