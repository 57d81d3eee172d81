"""Permissions as an application declares them, in Django's form: `"app_label.codename"`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..exceptions import ConfigurationError

__all__ = ["Permission", "as_stored", "crud", "declared_by_name", "listed", "name_of", "split"]

T = TypeVar("T")

_ACTIONS = ("add", "change", "delete", "view")
APP_MAX = MODEL_MAX = CODENAME_MAX = 100
NAME_MAX = 255
_CAPITAL = re.compile(r"(?<=[a-z])[A-Z]|[A-Z](?![A-Z]|$)")
"""Where Django begins a word of a class's name: `HTMLPage` is an "html page"."""
_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")


@dataclass(frozen=True)
class Permission:
    """`Permission("blog.publish_post", "Can publish posts", model="post")`: `perm` is what guards ask for, `name` what
    people read.

    `model` names the content type that it belongs to, and so the resource whose objects it may be granted on; blank for
    one that belongs to none. `renamed_from` are former names, and `model_renamed_from` former names of the model, the
    latest first: `sync()` carries the rows and their grants over (Django row A4.4). Raises `ConfigurationError` for
    what the tables cannot hold (A19.4).
    """

    perm: str
    name: str = ""
    model: str = ""
    renamed_from: Sequence[str] = ()
    model_renamed_from: Sequence[str] = ()

    def __post_init__(self) -> None:
        app, codename = _checked_name(self.perm)
        object.__setattr__(self, "model", self.model.lower())
        object.__setattr__(self, "renamed_from", _listed(self.renamed_from))
        object.__setattr__(
            self, "model_renamed_from", tuple(model.lower() for model in _listed(self.model_renamed_from))
        )
        if not self.name:
            object.__setattr__(self, "name", f"Can {codename.replace('_', ' ')}")
        for what, text, most in (
            ("app", app, APP_MAX),
            ("codename", codename, CODENAME_MAX),
            ("model", self.model, MODEL_MAX),
        ):
            _check_length(self.perm, what, text, most)
            if text != text.strip() or not text.isprintable():
                raise ConfigurationError(
                    f"the permission {self.perm!r}: its {what} has blanks around it, or invisible characters"
                )
        _check_length(self.perm, "name", self.name, NAME_MAX)
        if _UNSTORABLE.search(self.name):
            raise ConfigurationError(f"the permission {self.perm!r}: no database can hold its name")
        for former in self.renamed_from:
            _checked_name(former)
        if self.perm in self.renamed_from or self.model in self.model_renamed_from:
            raise ConfigurationError(f"the permission {self.perm!r} is renamed from what it is called now")

    @property
    def app_label(self) -> str:
        return split(self.perm)[0]

    @property
    def codename(self) -> str:
        return split(self.perm)[1]

    @property
    def user_perm_str(self) -> str:
        """The same as `perm` (Django row A4.6)."""
        return self.perm

    @property
    def resource(self) -> str:
        """The name of the resource that it belongs to, `blog.post`; blank for none."""
        return f"{self.app_label}.{self.model}" if self.model else ""

    def __str__(self) -> str:
        return f"{self.app_label} | {self.model} | {self.name}"


def crud(
    app_label: str,
    model: str,
    verbose_name: str | None = None,
    *,
    actions: Sequence[str] = _ACTIONS,
    renamed_from: str | Sequence[str] = (),
) -> list[Permission]:
    """The four permissions that Django gives every model, `blog.add_post` and so on (row A4.1), or those of `actions`.

    `renamed_from`: what the model was called before, the latest first.
    """
    verbose = _CAPITAL.sub(r" \g<0>", model).strip().lower() if verbose_name is None else verbose_name
    codename, former = model.lower(), [name.lower() for name in _listed(renamed_from)]
    return [
        Permission(
            f"{app_label}.{action}_{codename}",
            f"Can {action} {verbose}",
            codename,
            renamed_from=[f"{app_label}.{action}_{name}" for name in former],
            model_renamed_from=former,
        )
        for action in _listed(actions)
    ]


def as_stored(perm: str, name: str, model: str) -> Permission:
    """What the database holds, which another program may have written: nothing is checked."""
    permission = object.__new__(Permission)
    for field, value in {"perm": perm, "name": name, "model": model}.items():
        object.__setattr__(permission, field, value)
    return permission


def name_of(perm: str | Permission) -> str:
    """Raises `TypeError` for what is neither."""
    if isinstance(perm, Permission):
        return perm.perm
    if not isinstance(perm, str):
        raise TypeError(f"a permission is its name, 'app.codename', or a Permission, not {type(perm).__name__}")
    return perm


def listed(what: str, things: Iterable[T], kind: type[T], cure: str) -> list[T]:
    """Raises `ConfigurationError` for what is no list of such things."""
    if isinstance(things, str) or not isinstance(things, Iterable):
        raise ConfigurationError(f"{what}={things!r}: give a list, {what}=[{cure}]")
    found = list(things)
    for thing in found:
        if isinstance(thing, list):
            raise ConfigurationError(f"{what}=[...] has a list in it: give {cure}")
        if not isinstance(thing, kind):
            raise ConfigurationError(f"{what}=[{thing!r}]: give {cure}")
    return found


def split(perm: str) -> tuple[str, str]:
    """App label and codename."""
    app, _, codename = perm.partition(".")
    return app, codename


def declared_by_name(permissions: Iterable[Permission]) -> Mapping[str, Permission]:
    """Raises `ConfigurationError` for two of one name (Django's auth.E005 and E006), also where only MariaDB, which
    compares without case and accents, would take them for one; and for a former name that is ambiguous."""
    declared: dict[str, Permission] = {}
    apps: dict[str, str] = {}
    names: dict[str, str] = {}
    cure = 'Permission("blog.publish_post") or *crud("blog", "post")'
    for permission in listed("permissions", permissions, Permission, cure):
        app, perm = permission.app_label, permission.perm
        if perm in declared:
            raise ConfigurationError(f"the permission {perm!r} is declared twice: give one another codename")
        for name, others in ((app, apps), (perm, names)):
            other = others.setdefault(_folded(name), name)
            if other != name:
                raise ConfigurationError(f"{other!r} and {name!r} are the same to MariaDB: rename one")
        declared[perm] = permission
    _check_former(declared)
    return declared


def _check_former(declared: Mapping[str, Permission]) -> None:
    """Raises `ConfigurationError` where nobody could tell whose grants are meant."""
    claimed: dict[str, str] = {}
    for perm, permission in declared.items():
        for former in permission.renamed_from:
            if former in declared:
                raise ConfigurationError(
                    f"{former!r} is declared, and a former name of {perm!r} too: take it out of renamed_from"
                )
            other = claimed.setdefault(former, perm)
            if other != perm:
                raise ConfigurationError(f"{former!r} cannot be a former name of both {other!r} and {perm!r}")


def _checked_name(perm: object) -> tuple[str, str]:
    """App label and codename. Raises `ConfigurationError`."""
    app, codename = split(perm) if isinstance(perm, str) else ("", "")
    if not app or not codename:
        raise ConfigurationError(f"the permission {perm!r}: write 'app.codename', such as 'blog.publish_post'")
    return app, codename


def _check_length(perm: str, what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise ConfigurationError(f"the permission {perm[:120]!r}: its {what} has {len(text)} characters, {most} fit")


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _folded(text: str) -> str:
    """As MariaDB compares it, or a little more coarsely: without case and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in apart if not unicodedata.combining(character))
