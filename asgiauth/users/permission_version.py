"""When what a user may do has changed: numbers that come along with every lookup of a session."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Insert, Label, Table, func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ..db import Row, Unit
from ..db.tables import Tables

__all__ = ["PermissionVersions"]

_OF_USER, _OF_ALL = "asgiauth_permission_version", "asgiauth_permissions_version"
_PERMISSIONS, _DECLARED = "permissions", "declared"


class PermissionVersions:
    """A set of permissions that was read under a version holds as long as the version is the same. The user's own
    number moves with grants to the user and with memberships; the common one with groups, with what they may do, and
    with permissions themselves."""

    def __init__(self, tables: Tables) -> None:
        self._own, self._common = tables.user_version, tables.version
        own = select(self._own.c.value).where(self._own.c.user_id == tables.user.c.id)
        common = select(self._common.c.value).where(self._common.c.name == _PERMISSIONS)
        self.columns: tuple[Label[Any], Label[Any]] = (
            func.coalesce(own.correlate(tables.user).scalar_subquery(), 0).label(_OF_USER),
            func.coalesce(common.scalar_subquery(), 0).label(_OF_ALL),
        )
        """For a query for a user."""

    @staticmethod
    def of(row: Row) -> tuple[int, int]:
        """The version in a row that has the `columns`."""
        return row[_OF_USER], row[_OF_ALL]

    async def user_changed(self, unit: Unit, user_id: Any) -> None:
        """What this user may do has changed, in the same unit of work."""
        await unit.changed(_upsert(unit.dialect, self._own, {"user_id": user_id}))

    async def all_changed(self, unit: Unit) -> None:
        """What anybody may do may have changed, in the same unit of work."""
        await unit.changed(_upsert(unit.dialect, self._common, {"name": _PERMISSIONS}))

    async def alone(self, unit: Unit) -> None:
        """Waits until nobody else declares permissions; from then on others wait for this unit of work."""
        await unit.changed(_upsert(unit.dialect, self._common, {"name": _DECLARED}))


def _upsert(dialect: str, table: Table, key: dict[str, Any]) -> Insert:
    """Another number, in one statement: two transactions that both find no row, and then insert it, would wait for each
    other. No number comes twice: an id may be given to another user, a backup may be restored, while sets are kept."""
    value = secrets.randbits(62)
    if dialect == "mysql":
        return mysql.insert(table).values(**key, value=value).on_duplicate_key_update(value=value)
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    keys = [table.c[name] for name in key]
    return insert(table).values(**key, value=value).on_conflict_do_update(index_elements=keys, set_={"value": value})
