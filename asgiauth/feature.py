"""The whole extension API on one screen.

A feature is a thing that an application lists: `Auth(..., features=[MyFeature()])`. It may have tables, build on the
services of `Core`, and contribute what it does. It imports no other feature, and replaces no service of the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import MetaData
from starlette.routing import BaseRoute

from .attempt import LoginGuard, LoginStep
from .backends import Authenticator, Backend
from .checks import Check
from .core import Core
from .events import Event, Listener
from .http.actions import Action
from .jobs import Job
from .passwords import PasswordValidator
from .permissions.source import SomeSource

if TYPE_CHECKING:
    import click

__all__ = ["Contribution", "Feature"]


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What a feature adds.

    `backends` know users by credentials, `authenticators` by what a request carries. `login_guards` may refuse before
    anybody looks at the credentials; `login_steps` are what a user may have to prove besides. `permission_sources` say
    what users may do. `password_validators` see every new password. `listeners` are told events of a kind,
    `(UserLoggedIn, listener)`. `actions` become JSON routes; `routes` are served beside them as they are. `jobs` recur.
    `commands` stand beside those of `asgiauth`, and get the `Auth` by `ctx.obj.auth()`; `checks` are asked by `asgiauth
    check`.
    """

    backends: Sequence[Backend] = ()
    authenticators: Sequence[Authenticator] = ()
    login_guards: Sequence[LoginGuard] = ()
    login_steps: Sequence[LoginStep] = ()
    permission_sources: Sequence[SomeSource] = ()
    password_validators: Sequence[PasswordValidator] = ()
    listeners: Sequence[tuple[type[Event], Listener[Any]]] = ()
    actions: Sequence[Action] = ()
    routes: Sequence[BaseRoute] = ()
    jobs: Sequence[Job] = ()
    commands: Sequence[click.Command] = ()
    checks: Sequence[Check] = ()


class Feature(Protocol):
    """Something that an application may switch on. The instance is its own public handle."""

    name: str

    def tables(self, metadata: MetaData) -> None:
        """Adds tables of its own to `metadata`, where those of the core already are: `ForeignKey("auth_user.id")`."""

    def install(self, core: Core) -> Contribution:
        """Called once, when `Auth(...)` is built: nothing is connected yet."""
