"""Which of Django's columns the user table has, and what counts where it lacks one (row A21.6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Integer, Table, false, select, true, update

from ..db import Unit
from .user import User

__all__ = ["defaults", "has_flag", "needed", "note_login"]

_FLAGS = {"is_active": True, "is_staff": False, "is_superuser": False}
_FILLED = ("password", "first_name", "last_name", "last_login", "date_joined", *_FLAGS)


def has_flag(user: Table, name: str, value: object = True) -> ColumnElement[bool]:
    """Users whose flag is this; without a column it is what Django's class says of everybody."""
    if name in user.c:
        return user.c[name].is_(bool(value))
    return true() if _FLAGS[name] is bool(value) else false()


def defaults(user: Table, now: datetime) -> dict[str, Any]:
    """What Django gives a new user, as far as the table has a place for it."""
    given = {"first_name": "", "last_name": "", "last_login": None, "date_joined": now, **_FLAGS}
    return {name: value for name, value in given.items() if name in user.c}


def needed(user: Table) -> list[Column[Any]]:
    """What must be told of a new user: neither we nor the database nor the application fill it in."""
    return [
        column
        for column in user.c
        if not column.nullable
        and column.default is None
        and column.server_default is None
        and column.name not in _FILLED
        and not (column.primary_key and isinstance(column.type, Integer))
    ]


async def note_login(unit: Unit, user: Table, known: User, now: datetime) -> bool:
    """Notes it in `last_login`, if anything may be written. Whether the user still has the password and may still log
    in; nobody changes that until the unit is over."""
    same = [user.c.id == known.id]
    same += [user.c[name] == getattr(known, name) for name in ("password", "is_active") if name in user.c]
    if unit.read_only:
        return await unit.row(select(user.c.id).where(*same)) is not None
    if "last_login" in user.c:
        return bool(await unit.changed(update(user).where(*same).values(last_login=now)))
    return await unit.row(select(user.c.id).where(*same).with_for_update(key_share=True)) is not None
