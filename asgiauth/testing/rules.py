from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..auth import Auth
from ..permissions import Ref, Rule
from ..permissions.sources import holds, keys_where

__all__ = ["check_rule"]


async def check_rule(auth: Auth[Any], rule: Rule, *, users: Iterable[Any], objects: Iterable[Any]) -> None:
    """Asserts that both halves of a rule say the same: that for each of the users `where` selects exactly those of the
    objects to which `check` says yes. The objects are instances that the database has as they are; in Python nothing is
    NULL, so let there be some whose columns are.

    `auth` is connected, and has the resource of the rule's permission. Raises `AssertionError`.
    """
    resource = auth.permissions.resources[auth.permissions.declared[rule.perm].resource]
    t, compared = resource.table.alias(), list(objects)
    for user in users:
        keys = keys_where(resource, t, rule.where(user, t), f"the rule for {rule.perm!r}")
        selected = {value for row in await auth._database.fetch(keys) for value in row.values()}
        for obj in compared:
            key = resource.key_in(obj)
            in_python, in_sql = await holds(rule, user, obj), key in selected
            if in_python != in_sql:
                raise AssertionError(
                    f"the rule for {rule.perm!r}, {user}, {Ref(resource.name, key)}: check says {in_python}, and where "
                    f"{'selects it' if in_sql else 'does not select it'}"
                )
