"""Who holds a permission, as far as the rows of grants say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, false, or_, select, union_all

from ..db.tables import Tables
from .identifiers import is_storable
from .rows import exactly

__all__ = ["Located", "are_granted", "are_in_group", "checked_name", "of_present_user"]


@dataclass(frozen=True)
class Located:
    """Where the grants on one object are kept: by the content type `app_label.model` that it is one of, the kind of its
    key (`integer`, `uuid` or `text`), and the key."""

    resource: str
    kind: str
    key: Any

    def tables(self, tables: Tables) -> tuple[Any, Any]:
        """The tables of users' and of groups' grants."""
        return getattr(tables, f"user_grant_{self.kind}"), getattr(tables, f"group_grant_{self.kind}")


def of_present_user(tables: Tables, grants: Any) -> ColumnElement[bool]:
    """For a database that Django uses too: the user of this grant on an object is there, and has not joined after it:
    that is another one, who was given the id of a user whom Django has deleted."""
    user = tables.user.alias()
    is_it = [user.c.id == grants.c.user_id]
    if "date_joined" in user.c:
        is_it.append(or_(grants.c.granted_at.is_(None), user.c.date_joined <= grants.c.granted_at))
    return select(user.c.id).where(*is_it).exists()


def are_granted(
    tables: Tables, dialect: str, perm: str, located: Located | None = None, *, shared: bool
) -> ColumnElement[bool]:
    """Users whom it is granted to, directly or through a group: everywhere or, where one is given, on the object.
    `shared`: in a database that Django uses, too."""
    if not is_storable(perm):
        return false()
    app, _, codename = perm.partition(".")
    kind, permission, members = tables.content_type, tables.permission, tables.user_groups
    ids = (
        select(permission.c.id)
        .join(kind, kind.c.id == permission.c.content_type_id)
        .where(exactly(kind.c.app_label, app, dialect), exactly(permission.c.codename, codename, dialect))
    )

    def through(grants: Any, *conditions: ColumnElement[bool], allowed: Any) -> list[Any]:
        found = (grants.c.permission_id.in_(allowed), *conditions)
        if "user_id" in grants.c:
            return [select(grants.c.user_id).where(*found)]
        return [select(members.c.user_id).join(grants, grants.c.group_id == members.c.group_id).where(*found)]

    holders = through(tables.user_permissions, allowed=ids) + through(tables.group_permissions, allowed=ids)
    if located is not None:
        of_resource = ids.where(exactly(kind.c.model, located.resource.partition(".")[2], dialect))
        for grants in located.tables(tables):
            key = grants.c.object_key == bindparam("key", located.key, type_=grants.c.object_key.type, unique=True)
            present = [of_present_user(tables, grants)] if shared and "user_id" in grants.c else []
            holders += through(grants, key, *present, allowed=of_resource)
    # wrapped, because MariaDB would run a bare UNION anew for each row
    return tables.user.c.id.in_(select(union_all(*holders).subquery()))


def are_in_group(tables: Tables, dialect: str, name: str) -> ColumnElement[bool]:
    """Users in the group of this name."""
    members = (
        select(tables.user_groups.c.user_id)
        .join(tables.group, tables.group.c.id == tables.user_groups.c.group_id)
        .where(exactly(tables.group.c.name, name, dialect))
    )
    return tables.user.c.id.in_(members)


def checked_name(perm: object) -> str:
    """The name of a permission, or of a declared `Permission`. Raises as Django does (row A2.5)."""
    name = perm if isinstance(perm, str) else getattr(perm, "user_perm_str", None)
    if not isinstance(name, str):
        raise TypeError("The `perm` argument must be a string or a permission instance.")
    if name.count(".") != 1:
        raise ValueError("Permission name should be in the form app_label.permission_codename.")
    return name
