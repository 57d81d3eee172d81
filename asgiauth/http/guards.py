"""Who may call this? Asked before it runs: a function, async or not, an endpoint class, all that a route leads to."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ..exceptions import ConfigurationError
from .denial import check, refuse
from .loaders import is_connection, resolved
from .marks import mark_guarded
from .predicates import Predicate, all_of, authenticated, perm
from .resolve import answers_405

__all__ = ["Guard", "login_required", "permission_required", "requires"]

P = ParamSpec("P")
C = TypeVar("C", bound=type[Any])


class Decorator(Protocol):
    """Takes a function and gives one to be awaited; takes an endpoint class and gives it back."""

    @overload
    def __call__(self, thing: C, /) -> C: ...
    @overload
    def __call__(self, thing: Callable[P, Any], /) -> Callable[P, Coroutine[Any, Any, Any]]: ...


def requires(*predicates: Predicate) -> Decorator:
    """Only those get to the function or endpoint class for whom every predicate holds: `@requires(staff)`.

    The anonymous are sent to the login page, with `?next=`, if they navigate to a page, else answered 401; others 403;
    a WebSocket is closed with 1008, before it is accepted (DESIGN 9). A function, async or not, needs a parameter for
    the connection: `request` or `websocket`, or one annotated so. A class is guarded with all its methods, and so are
    its subclasses. Guards may be stacked.

    Raises `ConfigurationError` when it decorates something that it could not guard, or a predicate is none.
    """
    predicate = all_of(*predicates)

    def decorator(thing: Any) -> Any:
        return _guarded_class(thing, predicate) if isinstance(thing, type) else _guarded_function(thing, predicate)

    return typing.cast(Decorator, decorator)


@overload
def login_required(thing: C, /) -> C: ...
@overload
def login_required(thing: Callable[P, Any], /) -> Callable[P, Coroutine[Any, Any, Any]]: ...
def login_required(thing: Any, /) -> Any:
    """`requires(authenticated)`: only a logged-in user gets to it (A10.1)."""
    return requires(authenticated)(thing)


def permission_required(name: str, *names: str, obj: Callable[[Any], Any] | None = None) -> Decorator:
    """`requires(perm(name, *names, obj=obj))`: only a user who may do all of that gets to it (A10.2)."""
    return requires(perm(name, *names, obj=obj))


class Guard(Middleware):
    """Only those get past it for whom every predicate holds: `Mount("/staff", routes=..., middleware=[Guard(staff)])`,
    or after `*auth.middleware` for a whole application.

    It stands before the inner routes, whose path parameters are not known yet: a guard about an object stands on
    `Mount("/posts/{id:int}", ...)`, or on the view."""

    def __init__(self, *predicates: Predicate) -> None:
        super().__init__(GuardMiddleware, predicate=all_of(*predicates))


class GuardMiddleware:
    """What `Guard` puts in place."""

    def __init__(self, app: ASGIApp, predicate: Predicate) -> None:
        self.app = app
        self._predicate = predicate
        mark_guarded(self, predicate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                await check(HTTPConnection(scope), self._predicate)
            except (HTTPException, WebSocketException) as error:
                await refuse(error, scope, receive, send)
                return
        await self.app(scope, receive, send)


def _guarded_class(endpoint: Any, predicate: Predicate) -> Any:
    """Guards `__await__`, through which Starlette runs it: a subclass with a `dispatch` of its own is guarded too."""
    if not issubclass(endpoint, (HTTPEndpoint, WebSocketEndpoint)):
        raise ConfigurationError(
            f"a guard on {_name(endpoint)}: it is no HTTPEndpoint or WebSocketEndpoint. Put "
            "middleware=[Guard(...)] on its Route or Mount"
        )
    run = endpoint.__await__

    @functools.wraps(run)
    def guarded(self: Any) -> Generator[Any, None, None]:
        if not answers_405(type(self), self.scope):
            yield from check(HTTPConnection(self.scope), predicate).__await__()
        yield from run(self)

    mark_guarded(guarded, predicate)
    endpoint.__await__ = guarded
    return endpoint


def _guarded_function(function: Callable[P, Any], predicate: Predicate) -> Callable[P, Coroutine[Any, Any, Any]]:
    if isinstance(function, (classmethod, staticmethod)):
        raise ConfigurationError(f"a guard on {_name(function)}: put @{type(function).__name__} above the guard")
    if not (inspect.isroutine(function) or isinstance(function, functools.partial)):
        raise ConfigurationError(
            f"a guard on {function!r}: only functions and endpoint classes are decorated. Put "
            "middleware=[Guard(...)] on its Route or Mount, or public(...) around what everybody may see"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"a guard on {_name(function)}: a generator answers before a guard can. Use Depends(Requires(...))"
        )
    parameter = _connection_parameter(function)
    is_async = inspect.iscoroutinefunction(function)

    @functools.wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        await check(_connection(args, kwargs, parameter), predicate)
        return await function(*args, **kwargs) if is_async else await run_in_threadpool(function, *args, **kwargs)

    mark_guarded(guarded, predicate)
    return guarded


def _connection_parameter(function: Callable[..., Any]) -> str:
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = resolved(parameter.annotation, function)
        if is_connection(annotation) or (annotation is None and name in ("request", "websocket")):
            return name
    raise ConfigurationError(
        f"a guard on {_name(function)}: it has no parameter for the connection. Add `request: Request`, or in FastAPI "
        "use Depends(Requires(...)) of asgiauth.fastapi instead"
    )


def _name(thing: object) -> str:
    return getattr(thing, "__qualname__", repr(thing))


def _connection(args: tuple[Any, ...], kwargs: dict[str, Any], parameter: str) -> HTTPConnection:
    if isinstance(kwargs.get(parameter), HTTPConnection):
        return typing.cast(HTTPConnection, kwargs[parameter])
    for argument in args:
        if isinstance(argument, HTTPConnection):
            return argument
    raise ConfigurationError("a guarded function was called without its request")
