"""Threads that do nothing but hash."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..exceptions import Unavailable

__all__ = ["HashingPool"]

T = TypeVar("T")


class HashingPool:
    """Runs password hashes in threads of its own, never on the event loop nor in anyio's shared threads.

    At most `slots` hashes run at once, which bounds their memory to `slots` times the hasher's cost; at most `queue`
    wait, and none longer than `patience` seconds: beyond that `Unavailable` with a `retry_after` (D-02).
    """

    def __init__(self, *, slots: int | None = None, queue: int = 100, patience: float = 2.0) -> None:
        self.slots = slots or min(4, os.cpu_count() or 1)
        self.queue = queue
        self.patience = patience
        self._pending = 0
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(self.slots, "asgiauth-hashing")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Raises `Unavailable` when too many wait. A cancelled caller gives its place in the queue back."""
        with self._lock:
            if self._pending >= self.slots + self.queue:
                raise Unavailable("too many passwords are being hashed", retry_after=2)
            self._pending += 1
        job = self._executor.submit(function, *arguments)
        job.add_done_callback(self._done)
        waiting = asyncio.wrap_future(job)
        waiting.add_done_callback(_retrieved)
        try:
            finished, _ = await asyncio.wait([waiting], timeout=self.patience)
        except asyncio.CancelledError:
            job.cancel()
            raise
        if not finished and job.cancel():
            raise Unavailable("too many passwords are being hashed", retry_after=2)
        return await waiting

    def _done(self, job: Future[Any]) -> None:
        with self._lock:
            self._pending -= 1


def _retrieved(waiting: asyncio.Future[Any]) -> None:
    """A cancelled caller does not ask for the outcome: asyncio would complain about an error in it."""
    if not waiting.cancelled():
        waiting.exception()
