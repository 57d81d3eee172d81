"""`asgiauth_...` tables refer to Django's by foreign keys, and on a database that Django uses too by none."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table
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
        user = Column("user_id", ForeignKey("auth_user.id", ondelete="CASCADE"), index=True)
        Table("notes_note", metadata, id_, user)
        note = Column("note_id", ForeignKey("notes_note.id", ondelete="CASCADE"), index=True)
        Table("notes_line", metadata, id_._copy(), note)

    def install(self, core: Core) -> Contribution:
        return Contribution()


NOTES = ["notes_line", "notes_note"]


def auth_on(database: Any, **options: Any) -> Auth:
    return make_auth(database, permissions=PERMISSIONS, features=[Notes()], **options)


async def targets(url: str) -> list[tuple[str, str]]:
    """Each foreign key of a table of ours: the table, and what it refers to."""
    found = await schema(url, [*OWN, *NOTES])
    return [
        (name, key["target"] if "target" in key else key["target_table"])
        for name, table in found.items()
        for key in table["foreign_keys"].values()
    ]


async def create(url: str, **options: Any) -> None:
    async with auth_on(url, **options) as auth:
        await auth.create_tables()


async def test_A1_beside_django_no_table_of_ours_refers_to_its_tables(django: Django, url: str) -> None:
    """But to each other they do. Whether `create_tables()` makes them or a migration; and it is all well then."""
    await create(url)
    assert await targets(url) == [("notes_line", "notes_note")]
    before = await schema(url, [*OWN, *NOTES])
    async with auth_on(url) as auth:
        assert await upgrade(auth) == ["table asgiauth_version", "revision asgiauth_0001"]
        assert await check(auth) == []
    assert await schema(url, [*OWN, *NOTES]) == before
