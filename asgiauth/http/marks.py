"""What is written on a view: which guard stands before it, that it is public, that it needs no CSRF token.

`protect`, the CSRF check and the `routes` command read it; none of them changes what a guard decides.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ..exceptions import ConfigurationError
from .predicates import Predicate

__all__ = ["Mark", "csrf_exempt", "is_csrf_exempt_mark", "mark_guarded", "mark_of", "public"]

T = TypeVar("T")

_MARK = "_asgiauth_mark"
_CSRF_EXEMPT = "_asgiauth_csrf_exempt"


@dataclass(frozen=True)
class Mark:
    """`predicate`: what the guard asks; None for one that decides in code of its own, and where it is public. `on`: the
    very object that was marked."""

    on: object
    is_public: bool = False
    predicate: Predicate | None = None


def public(thing: T) -> T:
    """Open to everybody under `protect`: a function, an endpoint class, an ASGI application, a `Route` or a `Mount`
    with all that is in it. A guard inside still decides for itself.

    Returns the same object; for a bound method a partial of it, so that no other instance is opened. A subclass of a
    public class is not public. Raises `ConfigurationError` for what cannot be marked.
    """
    if inspect.ismethod(thing):
        thing = functools.update_wrapper(functools.partial(thing), thing)  # type: ignore[assignment]
    if mark_of(thing) is None:
        _write(thing, _MARK, Mark(thing, is_public=True))
    return thing


def csrf_exempt(thing: T) -> T:
    """No CSRF check before it, for callers that prove themselves in another way, such as a signed webhook (D-18).

    Takes and returns what `public` does.
    """
    if inspect.ismethod(thing):
        thing = functools.update_wrapper(functools.partial(thing), thing)  # type: ignore[assignment]
    _write(thing, _CSRF_EXEMPT, value=True)
    return thing


def mark_guarded(thing: T, predicate: Predicate | None = None) -> T:
    """Notes that this very object asks the predicate, or decides in code of its own, before it does anything else."""
    _write(thing, _MARK, Mark(thing, predicate=predicate))
    return thing


def mark_of(thing: object) -> Mark | None:
    """The guard of the thing itself, or that it is public; None for neither.

    A mark that `functools.wraps` has copied from a guarded function does not count: the wrapper may answer before the
    guard is asked. A copied `public` does.
    """
    for layer in _unwrapped(thing):
        mark = _own(layer, _MARK)
        if isinstance(mark, Mark) and (mark.is_public or mark.on is layer):
            return mark
    return None


def is_csrf_exempt_mark(thing: object) -> bool:
    return any(_own(layer, _CSRF_EXEMPT) is True for layer in _unwrapped(thing))


def _unwrapped(thing: object) -> Iterator[object]:
    yield thing
    while isinstance(thing, functools.partial) or inspect.ismethod(thing):
        thing = thing.func if isinstance(thing, functools.partial) else thing.__func__
        yield thing


def _own(thing: object, name: str) -> Any:
    """Neither of its class, nor of the class's base: whoever subclasses or instantiates has decided nothing yet."""
    return getattr(thing, "__dict__", {}).get(name)


def _write(thing: object, name: str, value: object) -> None:
    if isinstance(thing, (classmethod, staticmethod)):
        thing = thing.__func__
    try:
        setattr(thing, name, value)
    except AttributeError:
        raise ConfigurationError(f"{thing!r} cannot carry a mark: mark the Route or Mount that it stands in") from None
