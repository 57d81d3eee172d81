"""Answers that are asked for with await: without it, each of them would be a yes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NoReturn, ParamSpec, TypeVar

from .exceptions import ConfigurationError

__all__ = ["awaited"]

P = ParamSpec("P")
T = TypeVar("T")


def awaited(call: str) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """For an async function whose answer is yes or no: `if has_perm(...)` without `await` would be true for everybody,
    and raises `ConfigurationError` instead, which names the `call` as it is to be written."""

    def decorator(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @functools.wraps(function)
        def ask(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
            return _Asked(function(*args, **kwargs), call)

        return ask

    return decorator


class _Asked(Coroutine[Any, Any, T]):
    """A coroutine without a truth of its own; tasks take it as they take any other, task groups since anyio 4.14."""

    __slots__ = ("__weakref__", "_call", "_inner")

    def __init__(self, inner: Coroutine[Any, Any, T], call: str) -> None:
        self._inner = inner
        self._call = call

    def __await__(self) -> Generator[Any, Any, T]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __bool__(self) -> NoReturn:
        self._inner.close()  # or else Python would warn, too, that nobody has awaited it
        raise ConfigurationError(f"this is no answer yet, it is asked with await: `await {self._call}`")
