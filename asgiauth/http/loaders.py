"""What a function says of its parameters: where the connection goes, and whether it could load an object."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from starlette.requests import HTTPConnection

from ..exceptions import ConfigurationError

__all__ = ["check_loader", "is_connection", "resolved"]

_JOINED = (typing.Union, types.UnionType)
_REQUIRED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_loader(guard: str, obj: Any) -> None:
    """Raises `ConfigurationError` for what takes no connection, and could only fail at the first request."""
    if not callable(obj) or isinstance(obj, type) or not _takes_a_connection(obj):
        raise ConfigurationError(
            f"{guard}: give a function of the connection and of nothing else, `async def load(connection)`, that "
            'returns the object or None; or resource.from_path("id")'
        )


def _takes_a_connection(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some builtins do not tell
        return False
    needed = [one for one in parameters if one.kind in _REQUIRED and one.default is inspect.Parameter.empty]
    if len(needed) != 1 or needed[0].kind is inspect.Parameter.KEYWORD_ONLY:
        return False
    return not _is_something_else(resolved(needed[0].annotation, function))


def _is_something_else(annotation: Any) -> bool:
    """Whether no connection is one of these: `int`, `int | None`. What `Annotated` adds is gone already."""
    if typing.get_origin(annotation) in _JOINED:
        return all(map(_is_something_else, typing.get_args(annotation)))
    if annotation is Any or not isinstance(annotation, type) or getattr(annotation, "_is_protocol", False):
        return False
    return not (issubclass(annotation, HTTPConnection) or annotation in HTTPConnection.__mro__)


def resolved(annotation: Any, function: Callable[..., Any]) -> Any:
    """The annotation as an object; None without one, or for a name that exists for type checkers alone."""
    if annotation is inspect.Parameter.empty:
        return None
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, getattr(inspect.unwrap(function), "__globals__", {}))["it"]
    except NameError:
        return None


def is_connection(annotation: Any) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, HTTPConnection)
    if typing.get_origin(annotation) in (typing.Annotated, *_JOINED):
        return any(is_connection(argument) for argument in typing.get_args(annotation))
    return False
