"""`asgiauth COMMAND`: what is done to a site from a terminal. `asgiauth --help` lists it."""

from __future__ import annotations

import sys

from ..exceptions import MissingDependency

__all__ = ["main"]


def main() -> None:
    """The console script. Exit codes: 0 done, 1 problems found or cancelled, 2 asked for in a wrong way."""
    try:
        from .root import root
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write(f"{MissingDependency('click', 'cli')}\n")
        sys.exit(2)
    root(prog_name="asgiauth")
