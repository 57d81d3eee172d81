"""`perms` in templates: `{% if perms.blog.add_post %}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ..exceptions import ConfigurationError

__all__ = ["PermissionSet", "Perms"]


@dataclass(frozen=True)
class PermissionSet:
    """What one user may do: names such as `blog.add_post`; `everything` for an active superuser."""

    names: frozenset[str] = frozenset()
    everything: bool = False


class Perms:
    """`perms.blog.add_post` and `"blog.add_post" in perms` ask for a permission, `perms.blog` and `"blog" in perms` for
    any of that application (Django row A13.2).

    Raises `ConfigurationError` where nothing is loaded, for a no would be a guess, and for what could only be a slip of
    the pen: `{% if perms %}`, `perms["blog.add_post"]`; `TypeError` when it is iterated, and for what is no name.
    """

    __slots__ = ("_held",)

    def __init__(self, held: PermissionSet | None) -> None:
        self._held = held

    def __getitem__(self, app: str) -> PermissionsOfApp:
        if "." in app:
            raise ConfigurationError(f"perms[{app!r}]: write perms.{app}, or {app!r} in perms")
        return PermissionsOfApp(self._loaded(), app)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is no permission: ask for a name, such as 'blog.add_post'")
        app, dot, codename = name.partition(".")
        return self[app][codename] if dot else bool(self[app])

    def __iter__(self) -> NoReturn:
        raise TypeError("perms cannot be iterated: ask for a permission, such as perms.blog.add_post")

    def __bool__(self) -> NoReturn:
        raise ConfigurationError("perms has no truth of its own: ask for a permission, such as perms.blog.add_post")

    def __repr__(self) -> str:
        return f"Perms({self._held!r})"

    def _loaded(self) -> PermissionSet:
        if self._held is None:
            raise ConfigurationError(
                "perms: nobody has looked what this user may do. Before the template, use a guard, "
                "`await request.auth.load_permissions()`, or `await templates.render(...)` of auth.templates"
            )
        return self._held


class PermissionsOfApp:
    """`perms.blog`: true if there is any, and `perms.blog.add_post`."""

    __slots__ = ("_app", "_held")

    def __init__(self, held: PermissionSet, app: str) -> None:
        self._held = held
        self._app = app

    def __getitem__(self, codename: str) -> bool:
        return self._held.everything or f"{self._app}.{codename}" in self._held.names

    def __bool__(self) -> bool:
        return self._held.everything or any(name.startswith(f"{self._app}.") for name in self._held.names)

    def __iter__(self) -> NoReturn:
        raise TypeError(f"perms.{self._app} cannot be iterated: ask for a permission, such as perms.blog.add_post")

    def __repr__(self) -> str:
        return f"PermissionsOfApp({self._held!r}, {self._app!r})"
