"""What Django, or anybody else beside us, does to the users of a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update

from asgiauth import Auth, User

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
PASSWORD = "correct horse battery"


async def made_by_django(auth: Auth, username: str, **fields: Any) -> User:
    """A row as Django inserts it: the identifiers know nothing of it."""
    row = {"password": "!", "is_superuser": False, "first_name": "", "last_name": "", "email": "", "is_staff": False}
    row |= {"is_active": True, "date_joined": NOW, "username": username, **fields}
    async with auth._database.unit() as unit:
        id_ = await unit.insert(auth.tables.user, row)
    user = await auth.users.get(id_)
    assert user is not None
    return user


async def changed_by_django(auth: Auth, user: User, **fields: Any) -> None:
    async with auth._database.unit() as unit:
        await unit.changed(update(auth.tables.user).where(auth.tables.user.c.id == user.id).values(**fields))


async def count(auth: Auth, table: str) -> int:
    return len(await auth._database.fetch(select(getattr(auth.tables, table))))
