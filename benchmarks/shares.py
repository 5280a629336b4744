"""The effect of a hostile API key of each scope on a good key's p99.

Run by hand, from the project's folder: ``python -m benchmarks.shares``. The gateway runs in a separate process. The
good key's requests with and without the hostile key take turns in one run, so that their ratio holds on a busy machine.
The exit status is 1 if a ratio exceeds `MAX_RATIO`.
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

from benchmarks.api import Gateway, run_gateway
from benchmarks.journeys import Testbed, cpu_seconds, make_entry, run_testbed, say, scenario_text
from runtime.api_keys import SCOPES, ApiKey, Scope, make_token
from runtime.process.shutdown import exit_process
from runtime.store import Store

MAX_RATIO: Final = 3.0
"""Limit for the good key's p99 with a hostile key, relative to its p99 alone."""
HOSTILE_IN_FLIGHT: Final = 120
"""Concurrent requests of the hostile key, unless the gateway refuses them."""
GOOD_INTERVAL: Final = 0.02
"""Seconds between two requests of the good key."""
_IDLE: Final = 0.3  # CPU seconds a second of an idle gateway, worker and server
_LOOP: Final = "{% for i in (1..400) %}{{ i | times: 7 | append: contact.firstname | upcase }}{% endfor %}"
_STEPS: Final = "".join(
    f"  - webhook: w{n}\n    to: https://x.example\n    body: {{a: '{_LOOP}'}}\n" for n in range(190)
)
HEAVY: Final = f"scenario: heavy\ntrigger: order\nsteps:\n{_STEPS}"
LIGHT: Final = scenario_text("light", "  - wait: 30d\n")


@dataclass
class Key:
    """A client with an API key, and its responses by status."""

    gateway: Gateway
    token: str
    statuses: Counter[int] = field(default_factory=Counter[int])

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        """Send a request. Return the status, or 0 if the connection broke."""
        headers = {"authorization": f"Bearer {self.token}", **headers}
        try:
            async with self.gateway.session.request(
                method, self.gateway.url + path, json=body, headers=headers
            ) as answer:
                await answer.read()
                self.statuses[answer.status] += 1
                return answer.status
        except aiohttp.ClientError:  # the gateway may close the connection of a refused request
            self.statuses[0] += 1
            return 0

    async def send_incomplete(self, path: str) -> int:
        """Send a request with an incomplete body. Return the status, or 0 without a response."""
        address = urlsplit(self.gateway.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
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
    return [make_entry("light", 10_000_000 + first * 20 + number) for number in range(20)]


def _events(first: int) -> list[dict[str, Any]]:
    return [{"contact": f"nobody-{first}-{number}", "name": "a.b"} for number in range(200)]


def _incomplete(path: str) -> Hostile:
    return lambda key, _: key.send_incomplete(path)


HOSTILE: Final[dict[Scope, Hostile]] = {
    "enter": _alternate(
        _incomplete("/v1/entries"),
        lambda key, n: key.send("POST", "/v1/entries/batch", _entries(n), **_idempotency_key(n)),
    ),
    "events": _alternate(
        _incomplete("/v1/events"),
        lambda key, n: key.send("POST", "/v1/events/batch", _events(n), **_idempotency_key(n)),
    ),
    "providers": _incomplete("/v1/events"),  # the route needs the scope `events`, too
    "read": _alternate(
        lambda key, n: key.send("GET", "/v1/journeys?limit=250"),
        lambda key, n: key.send("GET", "/v1/stats/light"),
        lambda key, n: key.send("GET", "/v1/contacts/100001/why"),
        lambda key, n: key.send("GET", "/v1/deliveries?limit=250"),
    ),
    "content": lambda key, n: key.send("GET", f"/v1/deliveries/msg_{n:032x}/content"),
    "operate": _alternate(
        _incomplete("/v1/operations"),
        lambda key, n: key.send(
            "POST",
            "/v1/operations",
            {"operation": "pause", "which": {"scenario": "light"}, "reason": "x", "dry_run": True},
        ),
        lambda key, n: key.send("POST", "/v1/journeys/light/1/pause", {"reason": "x"}),
    ),
    "publish": _alternate(
        lambda key, n: key.send("POST", "/v1/preview", {"source": HEAVY, "entry": make_entry("heavy", n)}),
        lambda key, n: key.send("POST", "/v1/check", {"source": HEAVY}),
    ),
    "erase": _alternate(
        lambda key, n: key.send("DELETE", f"/v1/contacts/nobody-{n}?reason=x&dry_run=true"),
        lambda key, n: key.send("GET", "/v1/erasures"),
    ),
    "decode": _incomplete("/v1/events"),
}
"""The requests that a hostile key repeats, by its scope."""


def _idempotency_key(number: int) -> dict[str, str]:
    return {"idempotency-key": f"hostile-{time.time_ns()}-{number}"}


async def attack(key: Key, do: Hostile) -> None:
    """Repeat hostile requests as often as possible, until cancelled."""
    numbers = itertools.count()

    async def again() -> None:
        while True:
            refused = await do(key, next(numbers)) not in (200, 202)
            await asyncio.sleep(1.0 if refused else 0)  # refusals cost the gateway something, too

    async with asyncio.TaskGroup() as tasks:
        for _ in range(HOSTILE_IN_FLIGHT):
            tasks.create_task(again())


async def send_good_requests(key: Key, seconds: float, numbers: itertools.count[int], *, previews: bool) -> list[float]:
    """Send everyday requests one after another. Return the milliseconds of each."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        number = next(numbers)
        requests: list[tuple[str, str, Any]] = [
            ("GET", "/v1/scenarios/light", None),
            ("POST", "/v1/events", {"contact": f"nobody-{number}", "name": "a.b"}),
            ("POST", "/v1/entries", make_entry("light", number)),
        ]
        if previews:
            requests = [("POST", "/v1/preview", {"source": LIGHT, "entry": make_entry("light", number)})]
        method, path, body = requests[number % len(requests)]
        began = time.perf_counter()
        if (status := await key.send(method, path, body)) not in (200, 202):
            say(f"the good key's {method} {path} returned {status}")
        took.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(GOOD_INTERVAL)
    return took


async def measure_scope(testbed: Testbed, gateway: Gateway, scope: Scope, options: argparse.Namespace) -> float:
    """Return the ratio of the good key's p99 for a hostile key with one scope."""
    ours, theirs = await _key(testbed, gateway, *SCOPES), await _key(testbed, gateway, scope)
    numbers = itertools.count(1_000_000 * SCOPES.index(scope))
    took: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * options.rounds + 1):
        hostile = bool(turn % 2)
        attacking = asyncio.create_task(attack(theirs, HOSTILE[scope])) if hostile else None
        await asyncio.sleep(1.0)
        measured = await send_good_requests(ours, options.seconds, numbers, previews=scope == "publish")
        took[hostile] += measured
        if attacking is not None:
            attacking.cancel()
            await asyncio.gather(attacking, return_exceptions=True)
            await wait_until_idle(testbed, gateway)
    alone, disturbed = (statistics.quantiles(took[hostile], n=100) for hostile in (False, True))
    ratio = disturbed[98] / alone[98]
    say(
        f"{scope:8} p50 {alone[49]:6.1f} -> {disturbed[49]:6.1f} ms, p99 {alone[98]:6.1f} -> {disturbed[98]:6.1f} ms: "
        f"ratio {ratio:.1f}; the hostile key's statuses: {json.dumps(dict(sorted(theirs.statuses.items())))}"
    )
    return ratio


async def wait_until_idle(testbed: Testbed, gateway: Gateway) -> None:
    """Wait until the hostile key's pending requests are done, for a minute at most."""
    pids = (gateway.pid, testbed.worker, testbed.server)
    for _ in range(60):
        before = [cpu_seconds(pid) for pid in pids]
        await asyncio.sleep(1.0)
        if sum(cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)) < _IDLE:
            return


async def _key(testbed: Testbed, gateway: Gateway, *scopes: Scope) -> Key:
    token, identifier, digest = make_token()
    async with Store.open(f"sqlite:///{testbed.state / 'store.db'}") as store:
        await store.add_key(ApiKey(identifier, digest, scopes, None, None, "", datetime.now(UTC), "bench"))
    return Key(gateway, token)


async def measure(options: argparse.Namespace) -> list[float]:
    """Run the measurements that the options select."""
    async with run_testbed({"light": LIGHT}) as testbed, run_gateway(testbed) as gateway:
        wide = aiohttp.TCPConnector(limit=4 * HOSTILE_IN_FLIGHT)
        async with aiohttp.ClientSession(connector=wide) as session:
            gateway = replace(gateway, session=session)
            return [await measure_scope(testbed, gateway, scope, options) for scope in options.scope or SCOPES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scope", action="append", choices=SCOPES)
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds of each turn")
    parser.add_argument("--rounds", type=int, default=2)
    ratios = asyncio.run(measure(parser.parse_args()))
    exit_process(int(any(ratio > MAX_RATIO for ratio in ratios)))


if __name__ == "__main__":
    main()
