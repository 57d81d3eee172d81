"""What is declared becomes rows of `django_content_type` and `auth_permission`, as Django's `migrate` makes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Table, select

from ..db import Database, Row, Unit
from ..db.tables import Tables
from ..exceptions import ConfigurationError, Conflict
from ..users.permission_version import PermissionVersions
from .declaration import Permission, split

__all__ = ["Synced", "sync"]

Kind = tuple[str, str]
"""App label and model of a content type."""
_AT_ONCE = 200
"""Rows of one INSERT."""


class Synced(NamedTuple):
    """What was `added`, sorted, and what was `renamed`: each former name, and the present one."""

    added: list[str]
    renamed: list[tuple[str, str]]


async def sync(
    database: Database, tables: Tables, versions: PermissionVersions, declared: Iterable[Permission]
) -> Synced:
    """Adds the rows that are missing and renames those that are declared under another name now, in one unit of work
    (Django rows A4.3, A4.4). Deletes nothing, and leaves the names of those that are there as they are.

    Safe to run in several processes at once, and as often as one likes. Raises `ConfigurationError` where the database
    has both the old and the new name of something.
    """
    permissions = list(declared)

    async def work(unit: Unit) -> Synced:
        await versions.alone(unit)
        return await _carry_out(unit, tables, versions, permissions)

    if not permissions or _planned(permissions, await _read(database.fetch, tables, permissions)).is_empty:
        return Synced([], [])
    try:
        return await database.atomic(work)
    except Conflict:  # with somebody who does not wait for us, such as Django's own migrate
        return await _once_more(database, work)


async def _once_more(database: Database, work: Callable[[Unit], Awaitable[Synced]]) -> Synced:
    try:
        return await database.atomic(work)
    except Conflict as conflict:
        raise ConfigurationError(
            "the database refuses a permission or its content type: it has one that differs in case or accents alone, "
            "which it takes for the same. Declare it as it is written there"
        ) from conflict


class _Stored(NamedTuple):
    kinds: Mapping[Kind, Any]
    """The ids of the content types."""
    permissions: Mapping[tuple[Any, str], Any]
    """The ids of the permissions, by content type and codename."""


@dataclass
class _Plan:
    renamed_kinds: list[tuple[Any, Kind]] = field(default_factory=list)
    new_kinds: list[Kind] = field(default_factory=list)
    moved: list[tuple[Any, str, Permission]] = field(default_factory=list)
    missing: list[Permission] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.renamed_kinds or self.new_kinds or self.moved or self.missing)


async def _read(
    fetch: Callable[..., Awaitable[list[Row]]],
    tables: Tables,
    permissions: Sequence[Permission],
    *,
    locked: bool = False,
) -> _Stored:
    """All of the applications that are named. `locked`: as it is now, whatever this transaction has read before
    (MariaDB)."""
    kind, permission = tables.content_type, tables.permission
    apps = {split(name)[0] for declared in permissions for name in (declared.perm, *declared.renamed_from)}
    in_apps = kind.c.app_label.in_(sorted(apps))
    kinds = select(kind.c.id, kind.c.app_label, kind.c.model).where(in_apps)
    rows = (
        select(permission.c.id, permission.c.content_type_id, permission.c.codename)
        .join(kind, kind.c.id == permission.c.content_type_id)
        .where(in_apps)
    )
    if locked:
        kinds, rows = kinds.with_for_update(), rows.with_for_update()
    return _Stored(
        {(row["app_label"], row["model"]): row["id"] for row in await fetch(kinds)},
        {(row["content_type_id"], row["codename"]): row["id"] for row in await fetch(rows)},
    )


def _planned(permissions: Sequence[Permission], stored: _Stored) -> _Plan:
    """Raises `ConfigurationError` for what has rows under an old and the new name."""
    plan = _Plan()
    former_models = _former_models(permissions)
    kinds = _plan_kinds(plan, former_models, stored.kinds)
    conflicts: list[str] = []
    for permission in permissions:
        present = stored.permissions.get((kinds.get(_kind(permission)), permission.codename))
        models = (permission.model, *permission.model_renamed_from, *former_models[_kind(permission)])
        rows = _rows_of(permission, models, _Stored(kinds, stored.permissions))
        former = {id_: name for id_, name in rows if id_ != present}
        if len(former) + (present is not None) > 1:
            conflicts.append(f"{permission.perm} ({', '.join(former.values())})")
        elif former:
            ((id_, name),) = former.items()
            plan.moved.append((id_, name, permission))
        elif present is None:
            plan.missing.append(permission)
    if conflicts:
        raise ConfigurationError(
            f"{len(conflicts)} permission rename conflict(s) detected: {'; '.join(conflicts)}. The database has rows "
            "under both names, and nothing was changed: take the former name out of the declaration, or delete its row"
        )
    return plan


def _former_models(permissions: Sequence[Permission]) -> Mapping[Kind, Sequence[str]]:
    """What each content type was called before: one of its permissions that says so says it for all of them."""
    former: dict[Kind, list[str]] = {}
    for permission in permissions:
        models = filter(None, permission.model_renamed_from if permission.model else ())
        former.setdefault(_kind(permission), []).extend(models)
    return former


def _plan_kinds(plan: _Plan, former: Mapping[Kind, Sequence[str]], stored: Mapping[Kind, Any]) -> Mapping[Kind, Any]:
    """The ids of the content types, under the names that they have and those that they will have; one that is there
    already, or whose former name is still in use, stays as it is, and its permissions are moved one by one."""
    free = {kind: id_ for kind, id_ in stored.items() if kind not in former}
    kinds = dict(stored)
    for kind in [kind for kind in former if kind not in stored]:
        found = next((name for model in former[kind] if (name := (kind[0], model)) in free), None)
        if found is None:
            plan.new_kinds.append(kind)
        else:
            kinds[kind] = free.pop(found)
            plan.renamed_kinds.append((kinds[kind], kind))
    return kinds


def _rows_of(permission: Permission, models: Iterable[str], stored: _Stored) -> list[tuple[Any, str]]:
    """The rows that it has under any of its names and these models, each with the name."""
    return [
        (stored.permissions[key], name)
        for name in (permission.perm, *permission.renamed_from)
        for model in models
        if (key := (stored.kinds.get((split(name)[0], model)), split(name)[1])) in stored.permissions
    ]


async def _carry_out(
    unit: Unit, tables: Tables, versions: PermissionVersions, permissions: Sequence[Permission]
) -> Synced:
    kind, permission = tables.content_type, tables.permission
    plan = _planned(permissions, await _read(unit.rows, tables, permissions, locked=True))
    for id_, (app, model) in plan.renamed_kinds:
        await unit.changed(kind.update().where(kind.c.id == id_).values(app_label=app, model=model))
    await _insert(unit, kind, [{"app_label": app, "model": model} for app, model in plan.new_kinds])
    kinds = (await _read(unit.rows, tables, permissions, locked=True)).kinds
    for id_, _, declared in plan.moved:
        row = _row(declared, kinds)
        await unit.changed(permission.update().where(permission.c.id == id_).values(row))
    await _insert(unit, permission, [_row(declared, kinds) for declared in plan.missing])
    if plan.renamed_kinds or plan.moved:
        await versions.all_changed(unit)
    return Synced(
        sorted(declared.perm for declared in plan.missing),
        [(name, declared.perm) for _, name, declared in plan.moved if name != declared.perm],
    )


async def _insert(unit: Unit, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rows), _AT_ONCE):
        await unit.execute(table.insert().values(rows[start : start + _AT_ONCE]))


def _kind(permission: Permission) -> Kind:
    return permission.app_label, permission.model


def _row(permission: Permission, kinds: Mapping[Kind, Any]) -> dict[str, Any]:
    return {
        "name": permission.name,
        "content_type_id": kinds[_kind(permission)],
        "codename": permission.codename,
    }
