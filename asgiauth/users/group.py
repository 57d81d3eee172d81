from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Group"]


@dataclass(frozen=True)
class Group:
    """Users who may do the same, as the database had it when it was read (Django row A4.8)."""

    id: Any
    name: str

    def __str__(self) -> str:
        return self.name
