"""Work that is finished whatever is cancelled around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

__all__ = ["finish"]

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, None]] | None = None) -> T:
    """Runs `work` to its end, whatever is cancelled around it, and only then lets the cancellation through.

    anyio's scopes deliver a cancellation again at each await, asyncio's does it once: both are held off. `undo` takes
    back a result that the cancelled caller can no longer use.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            with anyio.CancelScope(shield=True):
                await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except Exception:  # noqa: BLE001, S110  the result, or the error, is taken from the task below
            pass
    if cancelled is None:
        return task.result()
    if task.exception() is None and undo is not None:
        await finish(undo(task.result()))
    raise cancelled
