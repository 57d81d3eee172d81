"""How long a login takes that fails."""

from __future__ import annotations

from collections import deque
from time import monotonic

import anyio

__all__ = ["Pace"]

_SAMPLES = 100
_LONGEST_WAIT = 1.0
"""Seconds: a server that is overloaded for a while shall not be slow for long after."""
_REMEMBERED = 3600.0
"""Seconds for which the slowest failure counts. By time and not by number: whoever sends many cheap ones shall not
make it forgotten."""


class Pace:
    """Failures take as long as successes and as the slowest failure, from outside: each is answered at a time that does
    not depend on why it failed (D-20). The first one that is slower than all before shows it, in each process: an old
    hash that is dearer, say. Waiting holds no connection and no thread."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._successes: deque[float] = deque(maxlen=_SAMPLES)
        self._failure = self._forgotten_at = 0.0

    def note(self, began: float) -> None:
        self._successes.append(monotonic() - began)

    async def hold_back(self, began: float) -> None:
        if self._deadline:
            now = monotonic()
            took = min(now - began, _LONGEST_WAIT)
            if took >= self._failure or now >= self._forgotten_at:
                self._failure, self._forgotten_at = took, now + _REMEMBERED
            slow = sorted(self._successes)[-2:-1] or [0.0]
            due = min(max(self._deadline, slow[0], self._failure), _LONGEST_WAIT)
            await anyio.sleep(max(0.0, began + due - monotonic()))
