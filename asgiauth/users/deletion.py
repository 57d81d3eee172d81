from __future__ import annotations

from typing import Any

from sqlalchemy import delete

from ..db import Unit
from ..db.tables import Tables
from .permission_version import PermissionVersions

__all__ = ["delete_rows"]


async def delete_rows(unit: Unit, tables: Tables, user_id: Any) -> None:
    """Deletes a user's row, and those of Django's and ours that belong to it, but for sessions."""
    # not left to ON DELETE CASCADE: Django's tables have none, and an engine on SQLite may not enforce it
    own = (tables.user_state, tables.user_version, tables.password_history, tables.identifier)
    for table in (tables.user_groups, tables.user_permissions, *own, *tables.user_grants()):
        await unit.changed(delete(table).where(table.c.user_id == user_id))
    await unit.changed(delete(tables.user).where(tables.user.c.id == user_id))
    # the id may be given to somebody else, for whom nobody must have kept a set
    await PermissionVersions(tables).all_changed(unit)
