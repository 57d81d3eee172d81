"""Guards that were written on a view and do not stand first before it.

@login_required            # too late: the route has the unguarded function already
@app.get("/account")

@app.get("/account")
@timed                     # runs before the guard, and may answer for it
@login_required
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from types import CellType
from typing import Any

from ..http import guards
from ..http.marks import mark_of

__all__ = ["lost_guards", "stacked"]

_NAMES = ("login_required", "permission_required", "requires")


def lost_guards(endpoint: Any) -> list[str]:
    """What is wrong with the guards of a function or an endpoint class, a sentence each."""
    if isinstance(endpoint, type):
        return _overridden(endpoint)
    layers = list(_layers(endpoint))
    guarding = [number for number, layer in enumerate(layers) if _is_guard(layer)]
    problems = []
    for number, layer in enumerate(layers[: max(guarding, default=0)]):
        if number not in guarding:
            problems.append(f"{_maker(layer)} stands before a guard and may answer for it: put the guard above it")
    if _written(layers[-1]) > len(guarding):
        problems.append("a guard is written above the route decorator, which never sees it: put it below")
    return problems


def stacked(endpoint: Any) -> Iterator[Any]:
    """The endpoint, and the guards right below its own."""
    yield endpoint
    if _is_guard(endpoint):
        _, *below = _layers(endpoint)
        yield from itertools.takewhile(_is_guard, below)


def _overridden(endpoint: type) -> list[str]:
    run: Any = getattr(endpoint, "__await__", None)
    inherited = [base for base in endpoint.__mro__ if _is_guard(vars(base).get("__await__"))]
    if not inherited or _is_guard(run):
        return []
    return [f"the guard of {inherited[0].__name__} is lost, because {endpoint.__name__} overrides __await__"]


def _layers(thing: Any) -> Iterator[Any]:
    """From the outside to the function that was written first."""
    while thing is not None:
        if isinstance(thing, functools.partial) or inspect.ismethod(thing):
            thing = thing.func if isinstance(thing, functools.partial) else thing.__func__
            continue
        yield thing
        thing = getattr(thing, "__wrapped__", None) or _held_by(thing)


def _held_by(thing: Any) -> Any:
    """The guarded function that a wrapper made without `functools.wraps` will call."""
    held = (_content(cell) for cell in getattr(thing, "__closure__", None) or ())
    return next((one for one in held if inspect.isfunction(one) and _is_guard(one)), None)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _is_guard(thing: Any) -> bool:
    mark = mark_of(thing)
    return mark is not None and not mark.is_public


def _written(function: Any) -> int:
    """How many guards the source has above it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # no source, or none that stands alone
        return 0
    definition = tree.body[0]
    if not isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return 0
    held = map(_content, function.__closure__ or ())
    names = {**function.__globals__, **dict(zip(function.__code__.co_freevars, held, strict=True))}
    return sum(_makes_guard(decorator, names) for decorator in definition.decorator_list)


def _makes_guard(decorator: ast.expr, names: Mapping[str, Any]) -> bool:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return False
    parts.append(node.id)
    if node.id not in names:  # of a function around this one
        return parts[0] in _NAMES
    thing = names[parts.pop()]
    while parts:
        thing = getattr(thing, parts.pop(), None)
    return getattr(thing, "__module__", None) == guards.__name__


def _maker(wrapper: Any) -> str:
    """`timed` of the function in `timed` that has taken the view's own name with its `__wrapped__`."""
    code = getattr(wrapper, "__code__", None)
    return type(wrapper).__name__ if code is None else code.co_qualname.split(".<locals>.")[-2:][0]
