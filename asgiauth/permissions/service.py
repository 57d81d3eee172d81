"""`auth.permissions`: what may you do?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, false, not_, or_, select, true, union_all

from ..awaited import awaited
from ..db import Database
from ..db.beside_django import purge_orphans
from ..db.tables import Tables
from ..events import EventBus
from ..exceptions import NotFound, UnknownPermission
from ..users import AnonymousUser, Group, User, Users
from ..users.holders import Located
from ..users.identifiers import is_storable
from ..users.permission_version import PermissionVersions
from .changes import Changes
from .declaration import Permission, declared_by_name, name_of
from .explanation import Explanation, explained
from .holders import grants_on, holders, located
from .lookup import is_there
from .question import Held, Question
from .resources import Ref, Resource, Rule, check_rules, idle_resources, resource_of, resources_by_name
from .source import is_source
from .sources import EVERYTHING, Custom, Grants, Rules, Source
from .stored import Stored
from .sync import Synced, sync

__all__ = ["Permissions"]

logger = logging.getLogger("asgiauth")

_NOTED = 1000


class Permissions:
    """Grants, and answers. Who is anonymous or inactive may do only what a source of the application, or a rule that
    says so, grants to them; an active superuser may do everything; for others the sources are asked in order: the first
    that says yes or no decides, and where none does, the answer is no."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        users: Users[Any],
        events: EventBus,
        *,
        permissions: Sequence[Permission],
        resources: Sequence[Resource],
        rules: Sequence[Rule],
        clock: Callable[[], datetime],
    ) -> None:
        self.declared = declared_by_name(permissions)
        self.resources = resources_by_name(resources)
        for name in idle_resources(self.declared, self.resources):
            logger.warning("no declared permission belongs to the resource %r: say model=... where one is", name)
        self._database = database
        self._tables = tables
        self._users = users
        self._events = events
        self._clock = clock
        self._versions = PermissionVersions(tables)
        self._stored = Stored(database, tables)
        self._builtin: list[Source] = [
            Grants(self._stored),
            Rules(database, check_rules(rules, self.declared, self.resources)),
        ]
        self._sources = list(self._builtin)
        self._changes = Changes(self, database, tables, users, events, clock=clock)
        self._noted: set[str] = set()
        self._seen: set[str] = set()

    def ask(self, backends: Sequence[Any], sources: Sequence[Any]) -> None:
        """`Auth` calls this, once the features are there. What the database grants is asked where the first
        `PasswordBackend` stands among the backends, as in Django, or behind them all."""
        before: list[Source] = []
        after: list[Source] = []
        seen = False
        for backend in backends:
            seen = seen or getattr(backend, "proves_password", False)
            if is_source(backend):
                (after if seen else before).append(Custom(backend))
        self._sources = [*before, *self._builtin, *after, *map(Custom, sources)]

    @property
    def keeps(self) -> bool:
        """Whether sets of permissions are kept between requests: only where every change of them is ours."""
        return self._stored.keeps

    @keeps.setter
    def keeps(self, keeps: bool) -> None:
        self._stored.keeps = keeps

    async def sync(self) -> list[str]:
        """Adds what is declared and not stored yet to the database, renames what is declared to be called otherwise
        now, deletes nothing; returns what was added. `create_tables()` and `asgiauth db upgrade` do it, too.

        Raises `ConfigurationError`, and changes nothing, where a permission is stored under its old and new name.
        """
        return (await self._sync()).added

    async def _sync(self) -> Synced:
        # what was granted by permissions that Django has deleted: their ids may be given to those that are made now
        await purge_orphans(self._database, [*self._tables.user_grants(), *self._tables.group_grants()])
        return await sync(self._database, self._tables, self._versions, self.declared.values())

    async def grant(
        self, subject: User | Group, perm: str | Permission, obj: object | None = None, *, by: User | None = None
    ) -> None:
        """Grants it on `obj`, which is what `check()` takes, or **everywhere** where `obj` is None: so make sure that
        an object that you looked for was found. `by` is the user who does this, and then must hold the same: on `obj`
        as it is stored, whatever the object in hand says. Raises `UnknownPermission`; `NotFound` when the user or the
        group is gone; `TypeError` for what is neither, and for an object that is not stored; `PermissionDenied` because
        of `by`. Nothing has changed then."""
        await self._changes.change(subject, perm, obj, by=by, granted=True)

    async def revoke(
        self, subject: User | Group, perm: str | Permission, obj: object | None = None, *, by: User | None = None
    ) -> None:
        """Takes back exactly what `grant()` with the same arguments gives: the user may still do it by another grant.
        So `obj` None is what was granted **everywhere**, and takes back nothing that was granted on an object. Raises
        the same as `grant()`."""
        await self._changes.change(subject, perm, obj, by=by, granted=False)

    async def clear(self, subject: User | Group, obj: object | None = None) -> int:
        """Takes back all that was granted to the user or the group: on `obj` alone or, where `obj` is None, everywhere
        **and** on every object. Memberships stay, and what comes through them. Returns how many grants that were; an
        event tells of each. Raises `NotFound` when the user or the group is gone, and `TypeError` for what is neither,
        and for what is of no `Resource`."""
        place = None if obj is None else self._place(obj)
        if obj is not None and place is None:
            return 0
        return await self._changes.clear(subject, place)

    async def grants_on(self, obj: object) -> Sequence[tuple[User | Group, str]]:
        """Who was granted what on this one object, for "shared with": users in the order of their ids, then groups by
        name. Nothing of what is held everywhere or by a rule, nor of superusers: that is what `holders()` is for.
        Raises `TypeError` for what is of no `Resource`."""
        place = self._place(obj)
        if place is None:
            return []
        return await grants_on(place, self._users, database=self._database, tables=self._tables)

    async def all(self) -> list[Permission]:
        """Every permission that is stored, with its human name and its model, in the order of their names."""
        return await self._stored.permissions()

    async def forget(self, obj: object) -> int:
        """For an object that is deleted: takes back what anybody was granted on it, and returns how many grants that
        were. No event tells of each. Raises `TypeError` for what is of no `Resource`."""
        resource = self._resource_of_object(obj)
        key = resource.key_in(obj)
        return 0 if key is None else await self._stored.forget(resource, key)

    async def changed(self) -> None:
        """For those who change Django's tables by hand, in the same unit of work or behind it: sets of permissions that
        are kept anywhere are read anew."""
        await self._database.atomic(self._versions.all_changed)

    async def holders(self, perm: str | Permission, obj: object | None = None) -> Sequence[User]:
        """Everybody for whom `check()` says yes, in the order of their ids. Where a rule or a source of the application
        has a say, every user is asked about: with a rule and a `Ref` by one query each. Raises what `check()` does, and
        `UnknownPermission`."""
        question = await self._question(Held(AnonymousUser()), perm, obj)
        if not await self._is_known(question.perm):
            raise UnknownPermission(question.perm)
        return await holders(
            question, self._sources, self._users, database=self._database, tables=self._tables, decide=self.decide
        )

    async def locate(self, perm: str, obj: object) -> Located | None:
        """Where grants of this permission on that object are kept; None where there can be none."""
        return located(await self._question(Held(AnonymousUser()), perm, obj))

    @awaited("auth.permissions.check(...)")
    async def check(self, user: Any, perm: str | Permission, obj: object | None = None) -> bool:
        """Whether the user may do that, with `obj` if it is about one: an instance of the `type` of the resource that
        the permission belongs to, a `Ref`, or what `resource.ref(row)` gives. Raises `TypeError` for another object
        and for what is no user. A name that is neither declared nor stored is logged once."""
        return await self.decide(Held(user), perm, obj)

    async def of(self, user: Any, obj: object | None = None) -> frozenset[str]:
        """Everything that the user may do, or may do with `obj` among what belongs to its resource (A5.4)."""
        return await self.names(Held(user), obj)

    async def direct(self, user: Any) -> frozenset[str]:
        """What is granted to the user, not through a group; everything there is for an active superuser (A5.4)."""
        return await (self._stored.all() if Held(user).is_super else self._stored.direct(user))

    async def from_groups(self, user: Any) -> frozenset[str]:
        """What the user's groups are granted; everything there is for an active superuser (A5.4)."""
        return await (self._stored.all() if Held(user).is_super else self._stored.from_groups(user))

    async def has_module(self, user: Any, app: str) -> bool:
        """Whether the user may do anything in that application (A5.3)."""
        return Held(user).is_super or any(name.startswith(f"{app}.") for name in await self.of(user))

    async def where(self, user: Any, perm: str | Permission, on: Any) -> ColumnElement[bool]:
        """The same answer as `check()` as one SQL condition over a table, an alias of it, or a mapped class:
        `select(posts).where(await auth.permissions.where(user, "blog.change_post", posts))`.

        Raises `UnknownPermission`; `NotExpressible` where a source decides on objects without a `where`; and
        `TypeError` where `on` is not the table of the permission's resource.
        """
        held, perm = Held(user), name_of(perm)
        resource = await self._resource_of(perm)
        if resource is None:
            if not await self._is_known(perm):
                raise UnknownPermission(perm)
            raise TypeError(f"{perm!r} belongs to no Resource: list one, Auth(resources=[...])")
        column = resource.column_in(on)
        if held.is_super:
            return true()
        question = Question(held, perm, None, resource)
        keys: list[Select[Any]] = []
        excluded: list[Select[Any]] = []
        for source in self._sources:
            rows = await source.rows(question)
            is_last = source is self._sources[-1]
            if rows == EVERYTHING or not is_last:
                never = await source.excluded(question, is_last=is_last)
                excluded += [] if never is None else [never]
            if rows == EVERYTHING:
                yes = [column.in_(_union(keys))] if keys else []
                return or_(not_(column.in_(_union(excluded))), *yes) if excluded else true()
            keys += [_without(found, excluded) for found in rows]
        return column.in_(_union(keys)) if keys else false()

    async def names(self, held: Held, obj: object | None = None) -> frozenset[str]:
        """`of`, on what a request already knows of its user."""
        names: AbstractSet[str]
        resource = None
        if obj is not None:
            resource = self._resource_of_object(obj)
            declared = {name for name, permission in self.declared.items() if permission.resource == resource.name}
            names = await self._stored.of_resource(resource) | declared
        elif held.is_super:
            names = await self._stored.all() | self.declared.keys()
        else:
            names = frozenset[str]().union(*[await source.granted(held) for source in self._sources])
            if not self._has_deciders:
                return names
            names |= self.declared.keys()
        if held.is_super:
            return frozenset(names)
        return frozenset([name for name in names if await self.decide(held, name, obj, resource)])

    async def decide(
        self, held: Held, perm: str | Permission, obj: object | None, resource: Resource | None = None
    ) -> bool:
        """The decision, on what a request already knows of its user, and where it is known already, on the `resource`
        that is meant: in Django, several content types may have a permission of one name."""
        question = await self._question(held, perm, obj, resource)
        if held.is_super:
            await self._note_unknown(question.perm)
            return True
        for source in self._sources:
            answer = await source.answer(question)
            if answer is not None:
                return answer
        await self._note_unknown(question.perm)
        return False

    async def explain(self, user: Any, perm: str | Permission, obj: object | None = None) -> Explanation:
        """What `check()` answers, and why: each source's answer in order, through which group or rule. Raises what
        `check()` raises."""
        question = await self._question(Held(user), perm, obj)
        perm = question.perm
        models, declared = await self._stored.models(perm), self.declared.get(perm)
        is_stored = bool(models) if declared is None else declared.model in models
        return await explained(question, self._sources, is_declared=declared is not None, is_stored=is_stored)

    async def _named(self, perm: str, key: str | None = None) -> Ref | None:
        """The object of the permission's resource that a key in text names. Raises `UnknownPermission`, `TypeError` for
        what is no key, and `NotFound` where there is no such object."""
        if not is_storable(perm) or not await self._is_known(perm):
            raise UnknownPermission(perm)
        if key is None:
            return None
        if not is_storable(key):
            raise TypeError("no database can hold that key")
        resource = await self._resource_of(perm)
        if resource is None:
            raise TypeError(f"{perm!r} belongs to no Resource, so it is about no object")
        ref = resource.parse(key)
        if not await is_there(self._database, resource, ref):
            raise NotFound(f"there is no {ref}")
        return ref

    async def _question(
        self, held: Held, perm: str | Permission, obj: object | None, resource: Resource | None = None
    ) -> Question:
        perm = name_of(perm)
        if obj is None:
            return Question(held, perm)
        resource = resource or await self._resource_of(perm)
        if resource is None:
            if (isinstance(obj, Ref) or not self._has_deciders) and await self._is_known(perm):
                raise TypeError(
                    f"{perm!r} belongs to no Resource, so nothing is known of {type(obj).__qualname__}: "
                    "list one, Auth(resources=[...])"
                )
            return Question(held, perm, obj)
        key = resource.key_in(obj)
        return Question(held, perm, obj, resource, None if key is None else Ref(resource.name, key))

    async def _resource_of(self, perm: str) -> Resource | None:
        """The resource of the permission's content type: as it is declared, or else as it is stored."""
        declared = self.declared.get(perm)
        if declared is not None:
            return self.resources.get(declared.resource)
        if not self.resources:
            return None
        app = perm.partition(".")[0]
        found = [self.resources.get(f"{app}.{model}") for model in await self._stored.models(perm)]
        return next((resource for resource in found if resource is not None), None)

    def _place(self, obj: object) -> Located | None:
        """Where grants on an object are kept; None where there can be none. Raises `TypeError`."""
        resource = self._resource_of_object(obj)
        key = resource.key_in(obj)
        return None if key is None else Located(resource.name, resource.kind, key)

    def _resource_of_object(self, obj: object) -> Resource:
        """Raises `TypeError` for what is no object of a resource."""
        resource = resource_of(self.resources.values(), obj)
        if resource is None:
            raise TypeError(f"{type(obj).__qualname__} belongs to no Resource: list one, Auth(resources=[...])")
        return resource

    @property
    def _has_deciders(self) -> bool:
        """Whether a source of the application decides case by case."""
        return any(isinstance(source, Custom) and source.decides for source in self._sources)

    async def _is_known(self, perm: str) -> bool:
        """Declared or stored: what was seen to be stored is not looked up again."""
        if perm in self.declared or perm in self._seen:
            return True
        if not await self._stored.models(perm):
            return False
        if len(self._seen) < _NOTED:
            self._seen.add(perm)
        return True

    async def _note_unknown(self, perm: str) -> None:
        """Once a process, so that a slip of the pen in a guard is found."""
        if perm in self.declared or perm in self._noted or len(self._noted) >= _NOTED:
            return
        if not await self._is_known(perm) and perm not in self._noted:
            self._noted.add(perm)
            logger.warning("the permission %r is neither declared nor stored: nobody but superusers has it", perm)


def _union(selects: Sequence[Select[Any]]) -> Select[Any]:
    """One list of keys. Wrapped, because MariaDB would run a bare UNION anew for each row."""
    return select(union_all(*selects).subquery()) if len(selects) > 1 else selects[0]


def _without(keys: Select[Any], excluded: Sequence[Select[Any]]) -> Select[Any]:
    if not excluded:
        return keys
    found = keys.subquery()
    (column,) = found.c
    return select(column).where(not_(column.in_(_union(excluded))))
