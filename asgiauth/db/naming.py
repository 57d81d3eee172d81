"""Names of indexes and constraints as Django makes them, so that a schema made here is the one Django expects."""

from __future__ import annotations

from hashlib import md5

__all__ = ["MAX_LENGTHS", "django_name"]

MAX_LENGTHS = {"postgresql": 63, "mysql": 64, "sqlite": 200}
"""Of a name, as Django shortens it for each server."""


def django_name(table: str, columns: list[str], suffix: str = "", *, limit: int = MAX_LENGTHS["postgresql"]) -> str:
    """`auth_user_groups_user_id_6a12ed8b`: as `BaseDatabaseSchemaEditor._create_index_name` of Django 6.1 does it."""
    digest = md5(usedforsecurity=False)
    for part in (table, *columns):
        digest.update(part.encode())
    ending = digest.hexdigest()[:8] + suffix
    joined = "_".join(columns)
    name = f"{table}_{joined}_{ending}"
    if len(name) > limit:
        ending = ending[: limit // 3]
        room = (limit - len(ending)) // 2 - 1
        name = f"{table[:room]}_{joined[:room]}_{ending}"
    return name
