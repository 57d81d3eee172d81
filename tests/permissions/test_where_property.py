"""`where()` selects exactly the rows for which `check()` is true: on each server, for whatever there is to decide by
(DESIGN 8, rows B10.1 to B10.4). More examples than usual: ASGIAUTH_WHERE_EXAMPLES=2000."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import aliased
from sqlalchemy.sql import Select

from asgiauth import Auth
from asgiauth.backends import PasswordBackend
from asgiauth.db import Unit
from asgiauth.db.schema import create_tables
from asgiauth.users import AnonymousUser

from ..conftest import make_auth
from .worlds import (
    GROUPS,
    LIKES,
    PERMISSIONS,
    RESOURCES,
    TOPICS,
    TYPES,
    Base,
    Now,
    Source,
    World,
    rules,
    topics,
    worlds,
)

USERS: dict[int, dict[str, Any]] = {
    1: {"is_active": True},
    2: {"is_active": True},
    3: {"is_active": False},
    4: {"is_active": True, "is_superuser": True},
    5: {"is_active": False, "is_superuser": True},
}


NOBODY = 0
SUBJECTS = [*USERS, 1, 2, 1, 2, NOBODY]


class Place(NamedTuple):
    auth: Auth
    now: Now
    users: dict[int, Any]
    permission_ids: dict[str, int]


@pytest.fixture
async def place(url: str) -> AsyncIterator[Place]:
    now = Now()
    auth = make_auth(
        url,
        permissions=PERMISSIONS,
        resources=list(RESOURCES.values()),
        rules=rules(now),
        backends=[_Backend(now, "first"), PasswordBackend(), _Backend(now, "last")],
    )
    async with auth:
        await auth.create_tables()
        await auth.permissions.sync()
        await create_tables(auth._database, Base.metadata, Base.metadata.sorted_tables)
        created = [await auth.users.create(f"user{number}", **fields) for number, fields in USERS.items()]
        users: dict[int, Any] = {NOBODY: AnonymousUser(), **{user.id: user for user in created}}
        async with auth._database.unit() as unit:
            await _insert(unit, auth.tables.group, [{"id": number, "name": f"group{number}"} for number in GROUPS])
            await _insert(unit, topics, [{"id": number} for number in TOPICS])
        stored = await auth._database.fetch(select(auth.tables.permission.c.id, auth.tables.permission.c.codename))
        yield Place(auth, now, users, {row["codename"]: row["id"] for row in stored})


class _Backend(Source):
    async def authenticate(self, connection: object, token: str) -> None:
        return None


@pytest.mark.anyio  # which is not seen through hypothesis
@settings(
    max_examples=int(os.environ.get("ASGIAUTH_WHERE_EXAMPLES", "200")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],  # one database for all examples
)
@given(world=worlds(list(USERS), SUBJECTS))
async def test_B10_1_where_selects_exactly_the_rows_that_check_says_yes_to(place: Place, world: World) -> None:
    place.now.world = world
    await _make(place, world)
    check, resource = place.auth.permissions.check, RESOURCES[world.name]
    objects = [world.object(row["key"]) for row in world.rows]
    user = place.users[world.subject]
    allowed = [obj for obj in objects if await check(user, world.perm, obj)]
    assert [obj for obj in objects if await check(user, world.perm, resource.ref(obj))] == allowed
    await _compare(place, world, user, objects, allowed)


async def _compare(place: Place, world: World, user: Any, objects: list[Any], allowed: list[Any]) -> None:
    async def where(on: Any) -> Any:
        return await place.auth.permissions.where(user, world.perm, on)

    statement, expected = await FORMS[world.form](TYPES[world.name], where, objects, allowed)
    found = [row[next(iter(row))] for row in await place.auth._database.fetch(statement)]
    assert len(found) == len(set(found))
    if world.form == "limit":
        assert len(found) == min(2, len(expected))
        assert set(found) <= expected
    else:
        assert set(found) == expected


Where = Callable[[Any], Awaitable[Any]]
Compared = tuple[Select[Any], set[Any]]


def _keys(objects: Iterable[Any]) -> set[Any]:
    return {obj.key for obj in objects}


async def _table(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    t = type_.__table__
    return select(t.c.key).where(await where(t)), _keys(allowed)


async def _alias(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    t = type_.__table__.alias("other")
    return select(t.c.key).where(await where(t)), _keys(allowed)


async def _class(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    return select(type_.key).where(await where(type_)), _keys(allowed)


async def _aliased_class(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    other = aliased(type_)
    return select(other.key).where(await where(other)), _keys(allowed)


async def _subquery(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    t = select(type_.__table__).where(type_.score > 1).subquery()
    return select(t.c.key).where(await where(t)), _keys(obj for obj in allowed if (obj.score or 0) > 1)


async def _join(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    t = type_.__table__
    statement = select(t.c.key).join(topics, topics.c.id == t.c.topic_id).where(await where(t))
    return statement, _keys(obj for obj in allowed if obj.topic_id is not None)


async def _not(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    t = type_.__table__
    return select(t.c.key).where(~await where(t)), _keys(objects) - _keys(allowed)


async def _or(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    t = type_.__table__
    return (
        select(t.c.key).where(or_(await where(t), t.c.score.is_(None))),
        _keys(allowed) | _keys(obj for obj in objects if obj.score is None),
    )


async def _correlated(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    """Topics with something that the user may use."""
    t = type_.__table__.alias()
    some = select(t.c.key).where(t.c.topic_id == topics.c.id, await where(t)).exists()
    return select(topics.c.id).where(some), {obj.topic_id for obj in allowed} - {None}


async def _limit(type_: Any, where: Where, objects: list[Any], allowed: list[Any]) -> Compared:
    t = type_.__table__
    return select(t.c.key).where(await where(t)).order_by(t.c.key).limit(2), _keys(allowed)


FORMS: dict[str, Callable[[Any, Where, list[Any], list[Any]], Awaitable[Compared]]] = {
    "table": _table,
    "alias": _alias,
    "class": _class,
    "aliased class": _aliased_class,
    "subquery": _subquery,
    "join": _join,
    "not": _not,
    "or": _or,
    "correlated": _correlated,
    "limit": _limit,
}


async def _make(place: Place, world: World) -> None:
    """Instead of what was there before."""
    tables = place.auth.tables
    permission_id = {"permission_id": place.permission_ids[f"use_{world.name}"]}
    kind = RESOURCES[world.name].kind
    users, groups = getattr(tables, f"user_grant_{kind}"), getattr(tables, f"group_grant_{kind}")
    user_rights, group_rights = tables.user_permissions, tables.group_permissions
    type_, likes = TYPES[world.name], LIKES[world.name]
    written: dict[Any, list[dict[str, Any]]] = {
        type_.__table__: [dict(row) for row in world.rows],
        likes: [{"key": key, "user_id": user} for key, user in world.likes],
        tables.user_groups: [{"user_id": user, "group_id": group} for user, group in world.memberships],
        user_rights: [{"user_id": user, **permission_id} for user in world.user_everywhere],
        group_rights: [{"group_id": group, **permission_id} for group in world.group_everywhere],
        users: [{"user_id": user, **permission_id, "object_key": key} for user, key in world.user_grants],
        groups: [{"group_id": group, **permission_id, "object_key": key} for group, key in world.group_grants],
    }
    async with place.auth._database.unit() as unit:
        for table, rows in written.items():
            await unit.execute(delete(table))
            await _insert(unit, table, rows)


async def _insert(unit: Unit, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        await unit.execute(table.insert().values(rows))
