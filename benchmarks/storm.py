"""Everybody logs in at once: is the site still there for the others?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median

from . import load
from .apps import CONNECTIONS, PASSWORD
from .load import Traffic
from .server import Server

PROBE = load.get("/ping")
EVERY = 0.010


@dataclass(frozen=True)
class Storm:
    idle: Traffic
    probe: Traffic
    logins: Traffic
    cpu: float
    """Seconds of processor time that the server used."""
    idle_memory: float
    peak_memory: float


def report(urls: Mapping[str, str], users: Sequence[str], *, seconds: float, rounds: int) -> str:
    """The table; the contestants take turns, each time in a fresh process."""
    databases = {name: title for name, title in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL")) if name in urls}
    ours: dict[str, list[Storm]] = {database: [] for database in databases}
    by_hand: dict[str, list[Storm]] = {database: [] for database in databases}
    for _ in range(rounds):
        for database in databases:
            for app, storms in (("asgiauth", ours), (f"reference login {database}", by_hand)):
                with Server(app, urls[database]) as server:
                    storms[database].append(asyncio.run(_storm(server, users, seconds)))
    rows = [
        row
        for name, title in databases.items()
        for row in (_row(f"asgiauth, {title}", ours[name]), _row(f"by hand, {title}", by_hand[name]))
    ]
    ratios = [_compared(f"asgiauth : by hand, {title}", ours[name], by_hand[name]) for name, title in databases.items()]
    return "\n".join([*_HEAD, *rows, "", *ratios])


async def _storm(server: Server, users: Sequence[str], seconds: float) -> Storm:
    requests = cycle([load.post("/auth/login", json.dumps({"username": name, "password": PASSWORD})) for name in users])
    for request in (PROBE, next(requests)):
        await load.ask(server.port, request)  # warm: a login creates its threads and its hasher
    idle = await load.open_loop(server.port, PROBE, expected=b"pong", every=EVERY, seconds=seconds / 2)
    idle_memory, cpu = server.memory("VmRSS"), server.cpu_seconds()
    storm = asyncio.create_task(
        load.closed_loop(
            server.port, requests.__next__, expected=b'"user"', connections=CONNECTIONS, seconds=seconds + 0.5
        )
    )
    await asyncio.sleep(0.5)
    probe = await load.open_loop(server.port, PROBE, expected=b"pong", every=EVERY, seconds=seconds)
    logins = await storm
    return Storm(idle, probe, logins, server.cpu_seconds() - cpu, idle_memory, server.memory("VmHWM"))


_HEAD = [
    "| | logins/s | refused | login p50 ms | CPU ms | probe, idle: p50 / p99 / max | probe, storm | RSS MiB | peak |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
]


def _row(title: str, storms: Sequence[Storm]) -> str:
    idle_memory = median(storm.idle_memory for storm in storms)
    peak_memory = max(storm.peak_memory for storm in storms)
    cells = [
        title,
        f"{_logins(storms):.1f}",
        str(sum(storm.logins.bad for storm in storms)),
        f"{_milliseconds([storm.logins for storm in storms], 0.5):.0f}",
        f"{median(1000 * storm.cpu / len(storm.logins.latencies) for storm in storms):.1f}",
        _latencies([storm.idle for storm in storms]),
        _latencies([storm.probe for storm in storms]),
        f"{idle_memory:.0f}",
        f"{peak_memory:.0f} ({peak_memory - idle_memory:+.0f})",
    ]
    return f"| {' | '.join(cells)} |"


def _compared(title: str, ours: Sequence[Storm], by_hand: Sequence[Storm]) -> str:
    def ratio(share: float) -> str:
        mine, other = (_milliseconds([storm.probe for storm in storms], share) for storms in (ours, by_hand))
        return f"{mine / other:.2f}"

    return f"{title}: {_logins(ours) / _logins(by_hand):.2f} logins, probe p50 {ratio(0.5)}, probe p99 {ratio(0.99)}."


def _latencies(several: Sequence[Traffic]) -> str:
    """Medians over the rounds; the longest of all."""
    longest = max(one.milliseconds(1) for one in several)
    unanswered = sum(one.bad for one in several)
    text = f"{_milliseconds(several, 0.5):.1f} / {_milliseconds(several, 0.99):.1f} / {longest:.1f}"
    return text + (f" ({unanswered} unanswered)" if unanswered else "")


def _milliseconds(several: Sequence[Traffic], share: float) -> float:
    return median(one.milliseconds(share) for one in several)


def _logins(storms: Sequence[Storm]) -> float:
    return median(storm.logins.rate for storm in storms)
