"""Who may do that? The same answer as `check()` gives, about everybody at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import Select, and_, or_, select

from ..db import Database
from ..db.tables import Tables
from ..users import Group, User, Users
from ..users.columns import has_flag
from ..users.holders import Located, are_granted, of_present_user
from ..users.rows import exactly
from ..users.store import PAGE_LIMIT
from .declaration import split
from .question import Held, Question
from .sources import Grants, Rules, Source

__all__ = ["grants_on", "holders", "located"]

Decide = Callable[[Held, str, object | None], Awaitable[bool]]


async def holders(
    question: Question,
    sources: Sequence[Source],
    users: Users[Any],
    *,
    database: Database,
    tables: Tables,
    decide: Decide,
) -> list[User]:
    """One query where only grants can say yes. Where a rule or a source of the application has a say, every user is
    asked about, knowing what is granted: at the cost of what those ask the database."""
    user = tables.user
    place, shared = located(question), database.shared_with_django
    granted = are_granted(tables, database.dialect, question.perm, place, shared=shared)
    found: list[User] = await users._matching(
        and_(has_flag(user, "is_active"), or_(has_flag(user, "is_superuser"), granted))
    )
    if not any(_has_a_say(source, question) for source in sources):
        return found
    by_grant = {one.id for one in found}
    found, after = [], None
    while True:
        page = await users.page(after=after, limit=PAGE_LIMIT)
        for one in page.items:
            held = await _knowing(one, sources, question, frozenset([question.perm] if one.id in by_grant else []))
            if await decide(held, question.perm, question.obj):
                found.append(one)
        after = page.next
        if after is None:
            return found


async def grants_on(
    place: Located, users: Users[Any], *, database: Database, tables: Tables
) -> list[tuple[User | Group, str]]:
    """Who was granted what on one object: users in the order of their ids, then groups by name."""
    permission, kind, user, group = tables.permission, tables.content_type, tables.user, tables.group
    of_users, of_groups = place.tables(tables)
    app, model = split(place.resource)

    def granted(grants: Any, *columns: Any) -> Select[Any]:
        return (
            select(*columns)
            .join_from(grants, permission, permission.c.id == grants.c.permission_id)
            .join(kind, kind.c.id == permission.c.content_type_id)
            .where(
                exactly(kind.c.app_label, app, database.dialect),
                exactly(kind.c.model, model, database.dialect),
                grants.c.object_key == place.key,
            )
        )

    def to_users(*columns: Any) -> Select[Any]:
        present = [of_present_user(tables, of_users)] if database.shared_with_django else []
        return granted(of_users, *columns).where(*present)

    perms: dict[Any, list[str]] = {}
    for row in await database.fetch(to_users(of_users.c.user_id, permission.c.codename)):
        perms.setdefault(row["user_id"], []).append(f"{app}.{row['codename']}")
    theirs = granted(of_groups, group.c.id, group.c.name, permission.c.codename).join(
        group, group.c.id == of_groups.c.group_id
    )
    groups = [(Group(row["id"], row["name"]), f"{app}.{row['codename']}") for row in await database.fetch(theirs)]
    people = await users._matching(user.c.id.in_(to_users(of_users.c.user_id)))
    return [
        *((one, perm) for one in people for perm in sorted(perms.get(one.id, []))),
        *sorted(groups, key=lambda grant: (grant[0].name, grant[0].id, grant[1])),
    ]


def located(question: Question) -> Located | None:
    """Where the grants on the object of the question are kept; None where there can be none."""
    if question.resource is None or question.ref is None:
        return None
    return Located(question.resource.name, question.resource.kind, question.ref.key)


def _has_a_say(source: Source, question: Question) -> bool:
    if isinstance(source, Rules):
        return question.obj is not None and source.is_about(question.perm)
    return not isinstance(source, Grants)


async def _knowing(user: User, sources: Sequence[Source], question: Question, names: frozenset[str]) -> Held:
    """The user, and what is granted to the user."""

    async def known() -> frozenset[str]:
        return names

    held = Held(user)
    for source in sources:
        if isinstance(source, Grants):
            await held.once(source, known)
    if question.ref is not None:
        await held.once(question.ref, known)
    return held
