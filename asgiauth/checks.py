"""What `asgiauth check` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "Finding"]


@dataclass(frozen=True)
class Finding:
    """`level`: an error makes `asgiauth check` exit with 1. `cure`: what to change."""

    code: str
    level: Literal["error", "warning"]
    text: str
    cure: str


Check = Callable[[], Iterable[Finding]]
"""Looks at a configuration, without any I/O: nothing is connected."""
