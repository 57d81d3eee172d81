"""`request.auth`: who this request comes from, and the way in and out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic
from urllib.parse import quote

import anyio
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response

from ..attempt import Opened, PendingLogin, RequiredStep
from ..awaited import awaited
from ..backends import Identity
from ..exceptions import LoginRefused, SessionClosed
from ..permissions.question import Held
from ..sessions import SessionInfo
from ..users import AnonymousUser, User, UserT
from .csrf import is_binding, new_binding
from .perms import PermissionSet
from .redirects import relative_path, safe_next
from .speaker import Speaker
from .state import SessionState

__all__ = ["LoggedIn", "RequestAuth", "StepRequired"]

_FRESH = timedelta(seconds=1)
"""How old what a WebSocket knows of its user may be."""


@dataclass(frozen=True)
class LoggedIn(Generic[UserT]):
    """The outcome of a login that needs nothing more: the user, and the session that was opened."""

    user: UserT
    session: SessionInfo


@dataclass(frozen=True)
class StepRequired:
    """The outcome of a login that needs more: one of `steps` for each requirement. Nobody is logged in yet."""

    steps: tuple[RequiredStep, ...]


class RequestAuth(Generic[UserT]):
    """One per request; Starlette's own `@requires("authenticated")` reads its `scopes`."""

    def __init__(self, speaker: Speaker[UserT], scope: Any, state: SessionState[UserT]) -> None:
        self._speaker = speaker
        self._scope = scope
        self._state = state
        self._identity: Identity | None = None
        self._known: tuple[User, str] | None = None
        self._breaches = 0
        self._identify = speaker.identify
        self._named: str | None = None
        """By a proxy, and to be logged in."""
        self._root_path: str = scope.get("root_path", "").rstrip("/")
        self._csrf_binding = state.received.csrf
        self._csrf_checked = False
        self._permissions: PermissionSet | None = None
        self._looked_at = speaker.clock()
        state.on_user = self._show
        self._show(state.user)

    @property
    def user(self) -> Any:
        """The same as `request.user`: a user, or the `AnonymousUser`."""
        return self._scope["user"]

    @property
    def session(self) -> SessionInfo | None:
        """The session that the user of this request is logged in by; None for an anonymous one, and for a user known by
        a token."""
        return self._state.info

    @property
    def pending(self) -> PendingLogin[UserT] | None:
        """The login of this browser that waits for a step. Its user is not logged in."""
        return self._state.pending

    @property
    def scopes(self) -> Sequence[str]:
        """`authenticated` for a user, and what else a token allows."""
        if self._state.user is not None:
            return ["authenticated"]
        return ["authenticated", *sorted(self._identity.scopes)] if self._identity is not None else []

    @property
    def csrf_token(self) -> str:
        """For the field `csrf_token` of a form, or the header `X-CSRF-Token`: another one each time, all of them hold
        as long as the session. A visitor without a login gets a cookie that the token is bound to; raises
        `SessionClosed` where that is too late."""
        return self._speaker.csrf.token(self._binding() or self._new_binding())

    async def authenticate(self, **credentials: Any) -> UserT | None:
        """Asks the backends who these credentials belong to. Nobody is logged in by it.

        `await request.auth.authenticate(username=..., password=...)`. Raises `LoginRefused` or `TooManyAttempts` when
        nobody may try now, and `Unavailable` when it cannot be told.
        """
        known = await self._authenticate(credentials)
        self._breaches = await self._speaker.login.breaches_of(credentials) if known else 0
        return known

    async def login(
        self, user: User, *, backend: str | None = None, method: str | None = None, remember: bool = False
    ) -> LoggedIn[UserT] | StepRequired:
        """Opens a session for the user, always under a fresh id; the one that was open ends. Where a second factor or
        another step is needed, nobody is logged in and `StepRequired` says what is missing.

        `backend` is only needed where several are configured and `authenticate` was not called; `method` is noted in
        the session, by default the backend's name; `remember` keeps the cookie when the browser closes. Raises
        `LoginRefused`, `SessionClosed` after the response has begun, and `RuntimeError` inside `auth.joined()`.
        """
        self._state.check_open()
        is_known = self._known is not None and self._known[0] == user
        if backend is None and self._known is not None and is_known:
            backend = self._known[1]
        backend = self._speaker.login.backend_for(backend)
        outcome = await self._speaker.login.begin(
            user,
            backend=backend,
            method=method or backend,
            remember=remember,
            visit=self._state.visit(),
            breaches=self._breaches if is_known else 0,
        )
        if isinstance(outcome, Opened):
            return self._opened(outcome)
        token, pending = outcome
        self._state.await_step(pending, token)
        return StepRequired(pending.steps)

    async def identity_of(self, user: User, *, method: str | None = None, ambient: bool = True) -> Identity | None:
        """For authenticators: what to answer for a user whom `authenticate` has just found, and who gets no session.
        None where a login would ask for another step or for a new password (DESIGN 1)."""
        backend = self._speaker.login.backend_for(self._known[1] if self._known else None)
        visit, breaches = self._state.visit(), self._breaches
        suffices = await self._speaker.login.suffices(user, backend=backend, visit=visit, breaches=breaches)
        return Identity(user, method or backend, ambient=ambient) if suffices else None

    async def try_step(self) -> PendingLogin[UserT]:
        """For features: takes one of the few tries of the pending login, before a proof is looked at, and returns it.
        Raises `TooManyAttempts`, and `LoginRefused` when no login is waiting."""
        pending = self._pending()
        await self._speaker.login.try_step(pending)
        return pending

    async def pass_step(self, name: str) -> LoggedIn[UserT] | StepRequired:
        """For features: the step of this name is proved. Logs in if it was the last one. Raises `LoginRefused` when no
        login is waiting for it."""
        self._state.check_open()
        outcome = await self._speaker.login.pass_step(self._pending(), name, self._state.visit())
        if isinstance(outcome, Opened):
            return self._opened(outcome)
        self._state.await_step(outcome, "")
        return StepRequired(outcome.steps)

    async def _renew_password(self, password: str) -> LoggedIn[UserT]:
        """The login waits for a new password, and this is it."""
        self._state.check_open()
        return self._opened(await self._speaker.login.renew_password(self._pending(), password, self._state.visit()))

    async def logout(self) -> None:
        """Ends the session of this request, with its data, and a login that waits for a step; does nothing when there
        is none (Django row A7.6)."""
        self._state.check_open()
        await self._state.logout()

    @awaited("request.auth.has_perm(...)")
    async def has_perm(self, perm: str, obj: object | None = None) -> bool:
        """Whether the user of this request may do that, with `obj` if it is about one, as `auth.permissions.check()`
        says (Django row A5.1). Users themselves have no such method: they know no database.

        What it takes to know is asked once: a change is seen by the next request, and after `refresh()`. On a WebSocket
        it is asked again after a second, so that nothing that was taken away outlasts that. Raises `TypeError` for an
        object of another kind than the permission is about; `ConfigurationError` where `await` was forgotten.
        """
        return await self._speaker.permissions.decide(await self._up_to_date(), perm, obj)

    @awaited("request.auth.has_perms(...)")
    async def has_perms(self, perms: Iterable[str], obj: object | None = None) -> bool:
        """Whether the user may do all of that (Django row A5.2). Raises `ValueError` for a single name, whose letters
        would be asked for."""
        if isinstance(perms, str) or not isinstance(perms, Iterable):
            raise ValueError("perm_list must be an iterable of permissions.")  # noqa: TRY004  Django's
        for perm in perms:
            if not await self.has_perm(perm, obj):
                return False
        return True

    async def refresh(self) -> User | None:
        """Looks again who this connection belongs to, for one that lives long: the user as it is now, or None when the
        session has ended meanwhile. What the user may do is asked anew after it."""
        async with self._looking:
            return await self._look()

    async def load_permissions(self) -> None:
        """Looks what the user of this request may do, if that is not known yet: templates can then ask `perms`.
        `await templates.render(...)` does it, and so do guards where the application has taken
        `auth.context_processor`."""
        while self._permissions is None:
            held = self._held
            everything = bool(held.user.is_active and held.user.is_superuser)
            names = frozenset[str]() if everything else await self._speaker.permissions.names(held)
            if held is self._held:  # nobody else has come in meanwhile
                self._permissions = PermissionSet(names, everything)

    async def until_revoked(self, *, every: timedelta = timedelta(seconds=30)) -> AsyncIterator[User]:
        """`async for user in request.auth.until_revoked():` goes round `every` so often, with the user as it then is,
        and ends with the session: run it beside the work of a WebSocket or a stream, and stop that when it ends. It
        also ends when a login or a change of password gives this browser another session."""
        while (user := await self.refresh()) is not None:
            yield user
            await anyio.sleep(every.total_seconds())

    def redirect_after_login(self, outcome: LoggedIn[UserT] | StepRequired) -> Response:
        """303 to the page that `?next=` names, if it is one of this site (D-19), or else to `login_redirect_url`; to
        the page of the step when one is needed, which gets `next` along."""
        return self._after_login(outcome, HTTPConnection(self._scope).query_params.get("next"))

    def _after_login(self, outcome: LoggedIn[UserT] | StepRequired, wanted: str | None) -> Response:
        if isinstance(outcome, StepRequired):
            location = self._step_url(outcome.steps[0])
            target = safe_next(wanted, "")
            if target:
                location += "?next=" + quote(target, safe="/")
        else:
            location = safe_next(wanted, self._link(self._speaker.login_redirect_url))
        return RedirectResponse(location, 303)

    async def _authenticate(self, credentials: Mapping[str, Any], *, paced: bool = True) -> UserT | None:
        connection, login = HTTPConnection(self._scope), self._speaker.login
        self._known = known = await login.authenticate(connection, credentials, *self._state.facts, paced=paced)
        return known[0] if known else None

    def _opened(self, opened: Opened[UserT]) -> LoggedIn[UserT]:
        self._state.opened(opened)
        return LoggedIn(opened.user, opened.record.info(self._state.session_key or "", current=True))

    def _pending(self) -> PendingLogin[UserT]:
        if self._state.pending is None:
            raise LoginRefused("no login is waiting for a step")
        return self._state.pending

    async def _look_around(self) -> None:
        """Who this request comes from, known without a session."""
        self._identity = await self._identify(HTTPConnection(self._scope))
        self._show(self._state.user)

    def _show(self, user: User | None) -> None:
        version = self._state.permission_version
        if user is None and self._identity is not None:
            user, version = self._identity.user, None
        self._scope["user"] = shown = user if user is not None else AnonymousUser()
        self._held = Held(shown, version)
        self._permissions = None

    async def _look(self) -> User | None:
        looked_at = self._speaker.clock()
        if self._state.user is not None:
            self._state.resumed(await self._speaker.login.resume(self._state.token))
        if self._identity is not None:
            await self._look_around()
        else:
            self._show(self._state.user)
        self._looked_at = looked_at
        return self._scope["user"] if self.scopes else None

    async def _pass_guard(self) -> None:
        """What comes after every guard."""
        if self._speaker.look.shows_perms:
            await self.load_permissions()

    async def _permission_names(self) -> frozenset[str]:
        """Everything that the user may do; everything there is, for an active superuser."""
        return await self._speaker.permissions.names(await self._up_to_date())

    async def _knows_perm(self, perm: str) -> bool:
        return await self._speaker.permissions._is_known(perm)

    async def _group_names(self) -> frozenset[str]:
        """The groups of an active user, asked once."""
        held = await self._up_to_date()

        async def ask() -> frozenset[str]:
            return frozenset(group.name for group in await self._speaker.groups.of(held.user))

        return await held.once("groups", ask) if held.user.is_active else frozenset()

    async def _up_to_date(self) -> Held:
        """A WebSocket may live for days: what is known of its user is never older than a second, and looked up no more
        than once in a second, however many messages come."""
        if self._scope["type"] == "websocket":
            async with self._looking:
                if abs(self._speaker.clock() - self._looked_at) >= _FRESH:  # a clock may be put back, too
                    await self._look()
        return self._held

    @cached_property
    def _looking(self) -> anyio.Lock:
        return anyio.Lock()

    def _link(self, url: str) -> str:
        """A link to a page of this application, below whatever prefix it is served."""
        if not url.startswith("/"):
            return url
        # a mount's prefix may come from the URL, and must not become another site's address
        return relative_path({"path": self._root_path, "root_path": ""}) + url

    def _step_url(self, step: RequiredStep) -> str:
        """Steps have their pages where the login page is."""
        return self._link(self._speaker.login_url.rpartition("/")[0] + "/" + step.path.lstrip("/"))

    def _binding(self) -> str | None:
        """What this request's tokens are bound to: the session of a user, or the cookie of a visitor."""
        if self._state.user is not None and self._state.key is not None:
            return self._state.session_key
        return self._csrf_binding if is_binding(self._csrf_binding) else None

    @property
    def _is_ambient(self) -> bool:
        """Whether the browser or a proxy identified this request by itself."""
        state, identity = self._state, self._identity
        is_sent_along = self._named is not None or (identity is not None and identity.ambient)
        return state.key is not None or state.pending is not None or is_sent_along

    def _new_binding(self) -> str:
        if self._state.closed:
            raise SessionClosed(self._state.closed)
        binding = new_binding()
        self._state.set_csrf_binding(binding)
        self._csrf_binding = binding
        return binding
