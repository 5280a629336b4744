"""One hostile API key of each scope beside a good one: how much slower does the good one's p99 become?

Run by hand, from the project's folder: ``python -m benchmarks.shares``. The gateway is its own process. The good
key's requests alone and beside the hostile key take turns in one run, so that their ratio holds on a busy machine. It
exits with 1 if a ratio is above `MOST`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from benchmarks.api import Gateway, gateway
from benchmarks.journeys import Place, cpu, entry, place, say, scenario
from runtime.api_keys import SCOPES, ApiKey, Scope, make_token
from runtime.process.shutdown import exit_process
from runtime.store import Store

MOST: Final = 3.0
"""The ratio of the good key's p99 beside a hostile one to that alone."""
TOGETHER: Final = 120
"""Requests that the hostile key has in progress, as far as it may."""
EVERY: Final = 0.02
"""Seconds between two requests of the good key."""
_IDLE: Final = 0.3  # seconds of processor time a second of gateway, worker and server that do nothing
_LOOP: Final = "{% for i in (1..400) %}{{ i | times: 7 | append: contact.firstname | upcase }}{% endfor %}"
_STEPS: Final = "".join(
    f"  - webhook: w{n}\n    to: https://x.example\n    body: {{a: '{_LOOP}'}}\n" for n in range(190)
)
HEAVY: Final = f"scenario: heavy\ntrigger: order\nsteps:\n{_STEPS}"
LIGHT: Final = scenario("light", "  - wait: 30d\n")


@dataclass
class Key:
    """A key's holder."""

    by: Gateway
    token: str
    statuses: Counter[int] = field(default_factory=Counter[int])

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        """Ask for something. Return the status."""
        headers = {"authorization": f"Bearer {self.token}", **headers}
        try:
            async with self.by.session.request(method, self.by.url + path, json=body, headers=headers) as answer:
                await answer.read()
                self.statuses[answer.status] += 1
                return answer.status
        except aiohttp.ClientError:  # the gateway may close what it refuses
            self.statuses[0] += 1
            return 0

    async def trickle(self, path: str) -> int:
        """Send a request whose body never arrives. Return the status."""
        at = urlsplit(self.by.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self.token}\r\n"
        writer.write(f"{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{".encode())
        line = await reader.readline()
        status = int(line.split()[1]) if line else 0
        self.statuses[status] += 1
        writer.close()
        return status


Hostile = Callable[[Key, int], Awaitable[Any]]


def _alternate(*ways: Hostile) -> Hostile:
    return lambda key, number: ways[number % len(ways)](key, number)


def _entries(first: int) -> list[dict[str, Any]]:
    return [entry("light", 10_000_000 + first * 20 + number) for number in range(20)]


def _events(first: int) -> list[dict[str, Any]]:
    return [{"contact": f"nobody-{first}-{number}", "name": "a.b"} for number in range(200)]


def _slow(path: str) -> Hostile:
    return lambda key, _: key.trickle(path)


HOSTILE: Final[dict[Scope, Hostile]] = {
    "enter": _alternate(
        _slow("/v1/entries"), lambda key, n: key.ask("POST", "/v1/entries/batch", _entries(n), **_named(n))
    ),
    "events": _alternate(
        _slow("/v1/events"), lambda key, n: key.ask("POST", "/v1/events/batch", _events(n), **_named(n))
    ),
    "read": _alternate(
        lambda key, n: key.ask("GET", "/v1/journeys?limit=250"),
        lambda key, n: key.ask("GET", "/v1/stats/light"),
        lambda key, n: key.ask("GET", "/v1/contacts/100001/why"),
        lambda key, n: key.ask("GET", "/v1/deliveries?limit=250"),
    ),
    "operate": _alternate(
        _slow("/v1/operations"),
        lambda key, n: key.ask(
            "POST",
            "/v1/operations",
            {"operation": "pause", "which": {"scenario": "light"}, "reason": "x", "dry_run": True},
        ),
        lambda key, n: key.ask("POST", "/v1/journeys/light/1/pause", {"reason": "x"}),
    ),
    "publish": _alternate(
        lambda key, n: key.ask("POST", "/v1/preview", {"source": HEAVY, "entry": entry("heavy", n)}),
        lambda key, n: key.ask("POST", "/v1/check", {"source": HEAVY}),
    ),
    "erase": _alternate(
        lambda key, n: key.ask("DELETE", f"/v1/contacts/nobody-{n}?reason=x&dry_run=true"),
        lambda key, n: key.ask("GET", "/v1/erasures"),
    ),
    "decode": _slow("/v1/events"),
}
"""The requests that the holder of a key with one scope repeats."""


def _named(number: int) -> dict[str, str]:
    return {"idempotency-key": f"hostile-{time.time_ns()}-{number}"}


async def attack(key: Key, do: Hostile) -> None:
    """Do it as often as possible, until cancelled."""
    numbers = itertools.count()

    async def again() -> None:
        while True:
            refused = await do(key, next(numbers)) not in (200, 202)
            await asyncio.sleep(1.0 if refused else 0)  # to be refused costs the gateway something, too

    async with asyncio.TaskGroup() as tasks:
        for _ in range(TOGETHER):
            tasks.create_task(again())


async def good(key: Key, seconds: float, numbers: itertools.count[int], *, previews: bool) -> list[float]:
    """Make requests of every day one after the other. Return how many milliseconds each took."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        number = next(numbers)
        asked: list[tuple[str, str, Any]] = [
            ("GET", "/v1/scenarios/light", None),
            ("POST", "/v1/events", {"contact": f"nobody-{number}", "name": "a.b"}),
            ("POST", "/v1/entries", entry("light", number)),
        ]
        if previews:
            asked = [("POST", "/v1/preview", {"source": LIGHT, "entry": entry("light", number)})]
        method, path, body = asked[number % len(asked)]
        began = time.perf_counter()
        if (status := await key.ask(method, path, body)) not in (200, 202):
            say(f"the good key's {method} {path} was answered {status}")
        took.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(EVERY)
    return took


async def beside(at: Place, by: Gateway, scope: Scope, options: argparse.Namespace) -> float:
    """Return the ratio for a hostile key with one scope."""
    ours, theirs = await _key(at, by, *SCOPES), await _key(at, by, scope)
    numbers = itertools.count(1_000_000 * SCOPES.index(scope))
    took: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * options.rounds + 1):
        hostile = bool(turn % 2)
        attacking = asyncio.create_task(attack(theirs, HOSTILE[scope])) if hostile else None
        await asyncio.sleep(1.0)
        measured = await good(ours, options.seconds, numbers, previews=scope == "publish")
        took[hostile] += measured
        if attacking is not None:
            attacking.cancel()
            await asyncio.gather(attacking, return_exceptions=True)
            await quiet(at, by)
    alone, disturbed = (statistics.quantiles(took[hostile], n=100) for hostile in (False, True))
    ratio = disturbed[98] / alone[98]
    say(
        f"{scope:8} p50 {alone[49]:6.1f} -> {disturbed[49]:6.1f} ms, p99 {alone[98]:6.1f} -> {disturbed[98]:6.1f} ms: "
        f"ratio {ratio:.1f}; the hostile key was answered {json.dumps(dict(sorted(theirs.statuses.items())))}"
    )
    return ratio


async def quiet(at: Place, by: Gateway) -> None:
    """Wait for the hostile key's pending requests, for a minute at most."""
    pids = (by.pid, at.worker, at.server)
    for _ in range(60):
        before = [cpu(pid) for pid in pids]
        await asyncio.sleep(1.0)
        if sum(cpu(pid) - was for pid, was in zip(pids, before, strict=True)) < _IDLE:
            return


async def _key(at: Place, by: Gateway, *scopes: Scope) -> Key:
    token, identifier, digest = make_token()
    async with Store.open(f"sqlite:///{at.state / 'store.db'}") as store:
        await store.add_key(ApiKey(identifier, digest, scopes, None, None, "", datetime.now(UTC), "bench"))
    return Key(by, token)


async def measure(options: argparse.Namespace) -> list[float]:
    """Everything that was asked for."""
    async with place({"light": LIGHT}) as at, gateway(at) as by:
        wide = aiohttp.TCPConnector(limit=4 * TOGETHER)
        async with aiohttp.ClientSession(connector=wide) as session:
            by = replace(by, session=session)
            return [await beside(at, by, scope, options) for scope in options.scope or SCOPES]


def main() -> None:
    """Parse the arguments, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scope", action="append", choices=SCOPES)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=2)
    ratios = asyncio.run(measure(parser.parse_args()))
    exit_process(int(any(ratio > MOST for ratio in ratios)))


if __name__ == "__main__":
    main()
