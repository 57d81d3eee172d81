"""What an action is: something that a client can ask for, whether it speaks JSON or HTML."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..exceptions import ConfigurationError
from .predicates import Predicate, authenticated
from .request_auth import LoggedIn, StepRequired

__all__ = ["Action", "Field", "Outcome", "Page", "by_path"]

Outcome = Mapping[str, Any] | LoggedIn[Any] | StepRequired | None
"""Something to show, a login, a step that a login still needs, or nothing to say."""


@dataclass(frozen=True)
class Field:
    """One field of the input. `max_length` is in characters, 0 for no limit but the body's; `secret` is never shown
    again, not in a form either. `autocomplete` tells a password manager what belongs there (HTML, autofill); a secret
    `new-password` shows the rules for passwords, and how good it is while it is typed."""

    type: type[Any] = str
    required: bool = True
    max_length: int = 0
    secret: bool = False
    autocomplete: str = "off"

    @property
    def is_new_password(self) -> bool:
        """Whether somebody chooses a password here."""
        return self.secret and self.autocomplete == "new-password"


@dataclass(frozen=True, kw_only=True)
class Page:
    """How an action looks as a page: `path` and route `name` where they differ from the JSON side; a `template` below
    `asgiauth/`; the `title` and the button's `submit`, as keys of texts. What comes after success is the page `then`,
    or one that says `done`; without either, where a login or logout goes."""

    path: str
    name: str
    template: str = "form.html"
    title: str = ""
    submit: str = "form.continue"
    then: str = ""
    done: str = ""


@dataclass(frozen=True, kw_only=True)
class Action:
    """`run(auth, **fields)`: `auth` is `request.auth`; besides the fields come those in the `path`, as strings.

    `name` is unique: the JSON route is called `asgiauth_json_<name>`. `path` is relative to where the routes are
    mounted, such as `sessions/{id}`. `fields` come in the body; those of a GET, which are no secrets, in the query.
    Only a logged-in user for whom the `guard` holds gets to it, unless it is `public`. `summary` and `shows`, the JSON
    Schema of what it answers if it answers anything, are for the API's documentation; `page` is its HTML face.
    `parts` are what `?include=` may ask for besides: `run` gets `include`, those that were, a set.
    Domain errors that `run` raises are answered as `auth.exception_handlers` answers them.
    """

    name: str
    path: str
    run: Callable[..., Awaitable[Outcome]]
    method: str = "POST"
    fields: Mapping[str, Field] = field(default_factory=dict)
    parts: Sequence[str] = ()
    public: bool = False
    guard: Predicate = authenticated
    summary: str = ""
    shows: Mapping[str, Any] | None = None
    page: Page | None = None

    @cached_property
    def path_fields(self) -> Sequence[str]:
        """The names in the path: `["id"]` of `sessions/{id}`."""
        return re.findall(r"{(\w+)}", self.path)

    def __post_init__(self) -> None:
        if self.method not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            raise ConfigurationError(f"Action({self.name!r}): there is no method {self.method!r}")
        if self.fields and self.method == "DELETE":
            raise ConfigurationError(f"Action({self.name!r}): DELETE has no body, and so no fields")
        if self.method == "GET" and any(field.secret or field.type is not str for field in self.fields.values()):
            raise ConfigurationError(f"Action({self.name!r}): fields in an address are texts, and no secrets")


def by_path(actions: Sequence[Action]) -> dict[str, list[Action]]:
    """Raises `ConfigurationError` where two want the same name, or the same method of a path."""
    paths: dict[str, list[Action]] = {}
    names: set[str] = set()
    for action in actions:
        same = paths.setdefault(action.path, [])
        if action.name in names or action.method in [other.method for other in same]:
            raise ConfigurationError(
                f"two actions are named {action.name!r}, or are both {action.method} {action.path}"
            )
        names.add(action.name)
        same.append(action)
    return paths
