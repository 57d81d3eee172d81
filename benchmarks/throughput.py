"""How many requests per second, and at what price in processor time."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from time import perf_counter

from . import load
from .apps import CONNECTIONS
from .server import Server, busy_seconds, own_seconds

QUIET = 0.25
"""A window in which others used more than this share of a processor is measured once more,
while there are windows to spare."""


@dataclass(frozen=True)
class Contestant:
    name: str
    app: str
    database: str
    logged_in: bool = True
    minimum: str = ""
    """What it is compared with, beside bare Starlette."""


CONTESTANTS = [
    Contestant("Starlette, bare", "bare", "", logged_in=False),
    Contestant("asgiauth, anonymous", "asgiauth", "sqlite", logged_in=False),
    Contestant("asgiauth, SQLite", "asgiauth", "sqlite", minimum="one query, sqlite3"),
    Contestant("asgiauth, PostgreSQL", "asgiauth", "postgresql", minimum="one query, asyncpg"),
    Contestant("asgiauth, MariaDB", "asgiauth", "mysql", minimum="one query, asyncmy"),
    Contestant("one query, sqlite3", "sqlite3", "sqlite"),
    Contestant("one query, aiosqlite", "aiosqlite", "sqlite", minimum="one query, sqlite3"),
    Contestant("one query, asyncpg", "asyncpg", "postgresql"),
    Contestant("one query, asyncpg held", "held asyncpg", "postgresql", minimum="one query, asyncpg"),
    Contestant("one query, asyncmy", "asyncmy", "mysql"),
]


@dataclass(frozen=True)
class Window:
    rate: float
    p50: float
    p99: float
    cpu: float
    """Microseconds per request."""
    foreign: float
    """Processors that others used."""


def report(urls: Mapping[str, str], cookies: Mapping[str, Sequence[str]], *, seconds: float, rounds: int) -> str:
    """The table, from windows of load that visit the contestants in turn, in an order shuffled each round."""
    present = [contestant for contestant in CONTESTANTS if not contestant.database or contestant.database in urls]
    windows: dict[str, list[Window]] = {contestant.name: [] for contestant in present}
    processors = os.sched_getaffinity(0)
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, processors)
        os.sched_setaffinity(0, {max(processors)})
        servers = {
            key: stack.enter_context(Server(key[0], urls.get(key[1], ""), cpu=min(processors)))
            for key in {(contestant.app, contestant.database) for contestant in present}
        }

        def visit(contestant: Contestant, seconds: float) -> Window:
            known = cookies[contestant.database] if contestant.logged_in else [""]
            return _window(servers[contestant.app, contestant.database], known, contestant.logged_in, seconds)

        for contestant in present:  # opens pools, fills the statement caches
            visit(contestant, seconds / 2)
        spare = 2 * len(present)
        for number in range(rounds):
            for contestant in random.Random(number).sample(present, len(present)):
                window = visit(contestant, seconds)
                if window.foreign > QUIET and spare > 0:
                    spare -= 1
                    window = min(window, visit(contestant, seconds), key=lambda one: one.foreign)
                windows[contestant.name].append(window)
    return "\n".join([*_HEAD, *(_row(contestant, windows) for contestant in present), "", _noise(windows)])


def _window(server: Server, cookies: Sequence[str], logged_in: bool, seconds: float) -> Window:
    requests = cycle([load.get("/me", cookie) for cookie in cookies])
    start, busy, own, cpu = perf_counter(), busy_seconds(), own_seconds(server), server.cpu_seconds()
    traffic = asyncio.run(
        load.closed_loop(
            server.port,
            requests.__next__,
            expected=b"\r\n\r\nuser" if logged_in else b"\r\n\r\nnobody",
            connections=CONNECTIONS,
            seconds=seconds,
        )
    )
    if traffic.bad or not traffic.latencies:
        raise RuntimeError(f"{traffic.bad} wrong answers, such as {traffic.wrong!r}")
    cpu = (server.cpu_seconds() - cpu) / len(traffic.latencies) * 1e6
    foreign = ((busy_seconds() - busy) - (own_seconds(server) - own)) / (perf_counter() - start)
    return Window(traffic.rate, traffic.milliseconds(0.5), traffic.milliseconds(0.99), cpu, max(0.0, foreign))


_HEAD = [
    "| | req/s | p50 ms | p99 ms | CPU µs | CPU over bare µs | req/s : bare | req/s : one query | CPU : one query |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
]


def _row(contestant: Contestant, windows: Mapping[str, Sequence[Window]]) -> str:
    mine, bare = windows[contestant.name], windows["Starlette, bare"]
    others = windows.get(contestant.minimum)
    cells = [
        contestant.name,
        f"{median(window.rate for window in mine):,.0f}",
        f"{median(window.p50 for window in mine):.1f}",
        f"{median(window.p99 for window in mine):.1f}",
        f"{median(window.cpu for window in mine):.0f}",
        _spread([one.cpu - other.cpu for one, other in zip(mine, bare, strict=True)], "+.0f"),
        _ratio(mine, bare, lambda window: window.rate),
        _ratio(mine, others, lambda window: window.rate) if others else "",
        _ratio(mine, others, lambda window: window.cpu) if others else "",
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(mine: Sequence[Window], others: Sequence[Window], value: Callable[[Window], float]) -> str:
    """Within each round, because the processor's speed changes from one to the next."""
    return _spread([value(one) / value(other) for one, other in zip(mine, others, strict=True)], ".2f")


def _spread(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}..{max(values):{form}})"


def _noise(windows: Mapping[str, Sequence[Window]]) -> str:
    foreign = [window.foreign for several in windows.values() for window in several]
    text = f"Others used {median(foreign):.2f} processors (median of the windows), at most {max(foreign):.2f}."
    return text + (" Too much for these req/s: run it again on a quiet machine." if median(foreign) > QUIET else "")
