"""Work that recurs, such as deleting what has expired."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from .exceptions import ConfigurationError, NotReady

__all__ = ["Job", "running"]

logger = logging.getLogger("asgiauth")


@dataclass(frozen=True)
class Job:
    """`run()` is awaited `every` so often, first one `every` after the start. Every process does it, so it must be safe
    to run several times at once. An exception is logged, and the next time comes all the same."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[object]]

    def __post_init__(self) -> None:
        if self.every <= timedelta(0):
            raise ConfigurationError(f"Job({self.name!r}): every={self.every} is no span of time")


@asynccontextmanager
async def running(jobs: Sequence[Job]) -> AsyncIterator[None]:
    """Runs the jobs beside what is inside, and stops them at its end."""
    tasks = [asyncio.create_task(_repeat(job), name=f"asgiauth job {job.name}") for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(job: Job) -> None:
    while True:
        await asyncio.sleep(job.every.total_seconds())
        try:
            await job.run()
        except NotReady as error:  # the tables need not be there yet
            logger.info("the job %s has to wait: %s", job.name, error)
        except Exception:
            logger.exception("the job %s has failed; it is tried again in %s", job.name, job.every)
