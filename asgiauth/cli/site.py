"""The application that a command works on: found, imported, connected."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tomllib
import traceback
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

import click

from ..auth import Auth
from ..exceptions import AsgiAuthError
from ..sessions.memory import MemorySessionStore

__all__ = [
    "Run",
    "Site",
    "Unusable",
    "announce",
    "configured_app",
    "connected",
    "is_terminal",
    "load",
    "refuse_memory",
    "watched",
]

T = TypeVar("T")


class Unusable(click.ClickException):
    """The command cannot be meant like this."""

    exit_code = 2


class Run(Protocol):
    """Runs one coroutine to its end."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...


class Site:
    """What stands before the command: `--app`."""

    def __init__(self, app: str | Callable[[], str]) -> None:
        self._app = app

    def auth(self) -> Auth[Any]:
        """Raises `Unusable` where there is none."""
        spec = self._app if isinstance(self._app, str) else self._app()
        auth = load(spec, "auth")
        if isinstance(auth, Auth):
            return auth
        if callable(auth):
            name = spec.rpartition(":")[2]
            raise Unusable(
                f"{spec} makes an Auth, or something else: build it when the module is imported, auth = {name}(), and "
                "name that"
            )
        raise Unusable(f"{spec} is not an Auth: its type is {type(auth).__name__}")

    def writable(self) -> Auth[Any]:
        """`auth()`, for a command that is there to write. Raises `ReadOnly`."""
        auth = self.auth()
        auth._database.check_writable()
        return auth


def configured_app() -> str:
    """`[tool.asgiauth] app` of the `pyproject.toml` in the current directory."""
    path = Path("pyproject.toml")
    try:
        spec = tomllib.loads(path.read_text())["tool"]["asgiauth"]["app"]
    except (OSError, KeyError, TypeError):
        raise Unusable(
            "which Auth? Give --app module:auth, set ASGIAUTH_APP, or write into pyproject.toml: "
            '[tool.asgiauth] app = "module:auth"'
        ) from None
    except ValueError as error:
        raise Unusable(f"pyproject.toml cannot be read: {error}") from error
    return str(spec)


def load(spec: str, example: str) -> Any:
    """What `module:name` stands for; modules of the current directory can be named. Raises `Unusable`."""
    module_name, _, name = spec.partition(":")
    if not (name and all(part.isidentifier() for part in module_name.split("."))):
        raise Unusable(f"{spec!r} names nothing: give module:{example}, with dots as in an import and without .py")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  what stands in sys.path is a string
        sys.path.insert(0, here)
    thing: Any = _imported(module_name)
    for part in name.split("."):
        if not hasattr(thing, part):
            others = ", ".join(sorted(key for key, value in vars(thing).items() if isinstance(value, Auth)))
            raise Unusable(f"{module_name} has no {name!r}" + (f"; its Auth is called {others}" if others else ""))
        thing = getattr(thing, part)
    return thing


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (AsgiAuthError, ImportError) as error:
        raise Unusable(f"{name} cannot be imported: {error}") from error
    except SystemExit as error:
        raise Unusable(
            f'{name} ends the program when it is imported, in {_place(error)}: put that below if __name__ == "__main__"'
        ) from error
    except Exception as error:
        # its message could hold anything, a key as well
        raise Unusable(
            f"{name} cannot be imported: {type(error).__name__} in {_place(error)}; --traceback shows it all"
        ) from error


def _place(error: BaseException) -> str:
    """Where it was raised; for a syntax error, where that is."""
    frames = [(at.filename, at.lineno) for at in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    path, line = next(at for at in reversed(frames) if not at[0].startswith("<frozen "))
    return f"{Path(path).name}:{line}"


@contextmanager
def connected(auth: Auth[Any]) -> Iterator[Run]:
    """Connects, and gives what runs a coroutine. Between two of them a prompt may wait: there is no loop to block."""
    with asyncio.Runner() as runner:
        runner.run(auth.__aenter__())
        try:
            yield runner.run
        finally:
            runner.run(_disconnect(auth))


async def _disconnect(auth: Auth[Any]) -> None:
    await auth.__aexit__(None, None, None)
    engine = getattr(auth._database._source, "engine", None)
    if engine is not None:  # the application's, and this is the application's process, at its end
        await engine.dispose()


def refuse_memory(auth: Auth[Any]) -> None:
    """Raises `ClickException` where another process keeps the sessions."""
    if isinstance(auth.sessions.store, MemorySessionStore):
        raise click.ClickException("the sessions are in the memory of the server: restart it to end them")


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def announce(what: str) -> None:
    """Before what may take a while and cannot be counted: on stderr, if somebody sits there."""
    if is_terminal(sys.stderr):
        click.echo(f"{what} ...", err=True)


def watched(things: Iterable[T], label: str) -> Iterator[T]:
    """With progress on stderr, if somebody sits there and the output goes elsewhere."""
    if is_terminal(sys.stdout) or not is_terminal(sys.stderr):
        yield from things
        return
    with click.progressbar(things, label=label, show_pos=True, file=sys.stderr) as bar:
        yield from bar
