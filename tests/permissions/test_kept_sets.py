"""Whether what a user may do is kept between requests: only where every change of it is ours (DESIGN 9)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth.db.schema import create_tables
from asgiauth.exceptions import AsgiAuthError

from ..conftest import make_auth


async def test_sets_are_kept_unless_the_database_is_one_that_django_migrates(url: str) -> None:
    """Looked for at each connect; the tables need not be there."""
    auth = make_auth(url)
    async with auth:
        assert auth.permissions.keeps
        history = Table("django_migrations", MetaData(), Column("id", Integer, primary_key=True))
        await create_tables(auth._database, history.metadata, [history])
        assert auth.permissions.keeps
    async with auth:
        assert not auth.permissions.keeps


async def test_where_that_cannot_be_told_nobody_is_connected(tmp_path: Path) -> None:
    """An engine of the application connects when it is first asked."""
    file = tmp_path / "damaged.db"
    file.write_bytes(b"no database" * 100)
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    auth = make_auth(engine)
    for _ in range(2):
        with pytest.raises(AsgiAuthError):
            await auth.__aenter__()
        assert not auth._database.connected
    await engine.dispose()
    file.unlink()
    async with auth:
        assert auth.permissions.keeps
    await engine.dispose()
