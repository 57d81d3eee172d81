"""Threads that do nothing but hash (D-02, T10)."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from asgiauth.exceptions import Unavailable
from asgiauth.passwords import Passwords
from asgiauth.passwords.pool import HashingPool

from ..conftest import FAST


class Job:
    """Runs until it is told to end."""

    def __init__(self) -> None:
        self.started, self.end = threading.Event(), threading.Event()

    def __call__(self, result: object = None) -> object:
        self.started.set()
        self.end.wait(60)
        if isinstance(result, BaseException):
            raise result
        return result


async def occupied(pool: HashingPool, job: Job, result: object = None) -> asyncio.Task[object]:
    """A slot of the pool is busy with it. Where it cannot begin in time, on a busy machine, it is tried again."""
    started = asyncio.create_task(asyncio.to_thread(job.started.wait, 60))
    while True:
        task = asyncio.create_task(pool.run(job, result))
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            assert await started
            return task
        assert isinstance(task.exception(), Unavailable)


async def test_a_hash_runs_in_a_thread_of_its_own() -> None:
    """D-02: with the priority of everybody else. A thread of a lower one that holds the interpreter's lock while another
    process keeps the processor busy would hold up the event loop."""

    def where() -> tuple[str, int, int]:
        native = threading.get_native_id()
        return threading.current_thread().name, native, os.getpriority(os.PRIO_PROCESS, native)

    before = where()
    name, native, niceness = await HashingPool(slots=1, patience=60).run(where)
    assert name.startswith("asgiauth-hashing")
    assert native not in (before[1], os.getpid())
    assert niceness == before[2]


async def test_the_event_loop_goes_on_meanwhile() -> None:
    """A24: the hash ends only because the loop, which is not blocked, ends it."""
    job = Job()
    asyncio.get_running_loop().call_later(0.02, job.end.set)
    assert await HashingPool(slots=1, patience=60).run(job, "done") == "done"
    assert job.started.is_set()


async def test_at_most_as_many_run_at_once_as_there_are_slots() -> None:
    """D-02: memory is bounded by slots times cost; and all of the slots are used."""
    lock, running, seen = threading.Lock(), 0, []
    everybody = threading.Barrier(2)

    def work() -> None:
        nonlocal running
        with lock:
            running += 1
            seen.append(running)
        with suppress(threading.BrokenBarrierError):
            everybody.wait(60)
        with lock:
            running -= 1

    pool = HashingPool(slots=2, patience=30)
    await asyncio.gather(*(pool.run(work) for _ in range(20)))
    assert max(seen) == 2
    assert not everybody.broken


async def test_one_more_than_may_wait_is_refused_at_once() -> None:
    """D-02, T10: `Unavailable`, with the seconds to come back after; and there is room again afterwards."""
    pool, job = HashingPool(slots=1, queue=2, patience=30), Job()
    tasks = [await occupied(pool, job, "first"), *(asyncio.create_task(pool.run(str, n)) for n in range(2))]
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            await pool.run(str, "too many")
        assert refused.value.retry_after >= 1
    job.end.set()
    assert await asyncio.gather(*tasks) == ["first", "0", "1"]
    assert await asyncio.gather(*(pool.run(str, n) for n in range(3))) == ["0", "1", "2"]


async def test_who_waits_too_long_is_refused_and_who_runs_is_not() -> None:
    """D-02: patience is for the queue; a hash that has begun is finished."""
    pool, job = HashingPool(slots=1, queue=5, patience=0.05), Job()
    ran: list[int] = []
    running = await occupied(pool, job, "done")
    for n in range(10):  # twice as many as fit: the refused ones give their places back
        with pytest.raises(Unavailable) as refused:
            await pool.run(ran.append, n)
        assert refused.value.retry_after >= 1
    assert not running.done()
    job.end.set()
    assert await running == "done"
    pool.patience = 60
    assert await pool.run(str, 1) == "1"
    assert ran == []


async def test_a_cancelled_waiter_frees_its_place_and_is_never_run() -> None:
    pool, job = HashingPool(slots=1, queue=1, patience=30), Job()
    ran: list[int] = []
    running = await occupied(pool, job)
    for n in range(5):
        waiter = asyncio.create_task(pool.run(ran.append, n))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    last = asyncio.create_task(pool.run(str, "last"))
    job.end.set()
    assert (await last, await running, ran) == ("last", None, [])


@pytest.mark.parametrize("patience", [30, 0.01])
@pytest.mark.parametrize("result", [None, ValueError("of nobody's interest")], ids=repr)
async def test_a_cancelled_hash_that_runs_keeps_its_place_until_it_ends(result: object, patience: float) -> None:
    """Its thread cannot be stopped; what becomes of it is nobody's error."""
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    pool, job = HashingPool(slots=1, queue=0, patience=patience), Job()
    running = await occupied(pool, job, result)
    await asyncio.sleep(0.03)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(Unavailable):
        await pool.run(str, "no room")
    job.end.set()
    while pool._pending:
        await asyncio.sleep(0.001)
    pool.patience = 60
    assert await pool.run(str, "room") == "room"
    del running
    await asyncio.sleep(0)
    gc.collect()
    loop.set_exception_handler(None)
    assert complaints == []


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("y"), MemoryError()], ids=repr)
async def test_an_exception_comes_out_as_it_was_and_frees_the_slot(error: Exception) -> None:
    pool, job = HashingPool(slots=1, queue=0, patience=60), Job()
    job.end.set()
    for _ in range(3):
        with pytest.raises(type(error)) as raised:
            await pool.run(job, error)
        assert raised.value is error
        await asyncio.sleep(0)


def test_one_pool_serves_two_event_loops_one_after_the_other() -> None:
    """Scripts and tests run `asyncio.run` more than once with one `Auth`."""
    passwords = Passwords(FAST)
    hashed = asyncio.run(passwords.hash("correct horse"))
    assert asyncio.run(passwords.verify("correct horse", hashed))


def test_a_loop_that_closed_meanwhile_leaves_the_pool_in_order() -> None:
    pool, job = HashingPool(slots=1, queue=0, patience=60), Job()

    async def give_up() -> None:
        running = await occupied(pool, job)
        running.cancel()

    asyncio.run(give_up())
    job.end.set()
    while pool._pending:
        os.sched_yield()
    assert asyncio.run(pool.run(str, "room")) == "room"


@pytest.mark.parametrize(
    "call", [lambda p: p.hash("x" * 8), lambda p: p.verify("x", ""), lambda p: p.verify_and_upgrade("x", "")]
)
async def test_every_hash_passes_the_queue(call: Callable[[Passwords], Any]) -> None:
    """D-02: none goes around it, not even the one for nobody."""
    passwords = Passwords(FAST)
    passwords._pool = HashingPool(slots=1, queue=0, patience=60)
    job = Job()
    running = await occupied(passwords._pool, job)
    with pytest.raises(Unavailable):
        await call(passwords)
    job.end.set()
    assert await running is None
