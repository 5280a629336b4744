"""Journeys at every kind of step go on in another version: on a real server, at a rate, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Final

from gateway.client import JourneyFilter, JourneySummary, ScenarioClient, targets
from scenario.words import Operation
from tests.e2e.conftest import Stands, publish, until_found

HOOK: Final = '{webhook: NAME, url: "https://HOST.example.com/NAME", body: {id: "{{ contact.id }}"}}'


def hook(name: str, host: str = "hooks") -> str:
    return HOOK.replace("NAME", name).replace("HOST", host)


SLOW: Final = hook("slow", "slow").replace("body", "retry: {initial_interval: 5h}, body")

PLACES: Final[dict[str, tuple[int, str, str, str]]] = {
    # How many, the steps in the first version and in the second, and what is said of them.
    "wait": (3, "{wait: 1h, id: pause}", "{wait: 1s, id: pause}", "3 wait at pause, which stays"),
    "date": (2, "{wait: {until: 2099-01-01}, id: day}", "{wait: {until: 2026-01-01}, id: day}", "2 wait at day"),
    "event": (2, "{wait_for: go, id: event}", "{wait_for: go, for: 30d, id: event}", "2 wait at event"),
    "first": (
        2,
        "{wait_for: {go: {}, stop: {}}, for: 30d, id: first}",
        "{wait_for: {stop: {}, more: {}}, for: 1s, id: first}",
        "2 wait at first",
    ),
    "rounds": (
        2,
        "{repeat: {every: 1h, times: 9}, id: rounds, steps: [" + hook("round") + "]}",
        "{repeat: {every: 1s, times: 2}, id: rounds, steps: [" + hook("round") + "]}",
        "2 wait at rounds",
    ),
    "renamed": (2, "{wait: 1h, id: old}", "{wait: 1s, id: new}", "2 wait at old, which becomes new"),
    "paused": (2, "{wait: 1h, id: quiet}", "{wait: 1s, id: quiet}", "2 are paused at quiet"),
    "slow": (2, SLOW, SLOW, "2 are retrying at slow, which stays"),
    "held": (2, hook("broken", "old"), hook("broken", "new"), "2 are held at broken"),
    "asked": (
        2,
        "{if: contact.custom.place > 2, id: asked, then: [{wait: 0s, id: then}]}",
        "{if: contact.custom.place == 'asked', id: asked, then: [{wait: 0s, id: then}]}",
        "2 are held at asked",
    ),
}
MANY: Final = sum(count for count, *_ in PLACES.values())
HELD: Final = PLACES["held"][0] + PLACES["asked"][0]
WHO: Final = {"operator": "ann", "reason": "x"}


def fleet(version: int, *behind: str) -> str:
    cases = ", ".join(f"{place}: [{steps[version]}]" for place, steps in PLACES.items())
    steps = (
        hook("hello"),
        "{split: {a: 50, b: 50}, id: halves, branches: {a: [{wait: 0s, id: half}]}}",
        f"{{switch: contact.custom.place, id: places, cases: {{{cases}}}}}",
        *behind,
        "{exit: done, id: end}",
    )
    return "scenario: fleet\ntrigger: segment\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)


async def in_place(client: ScenarioClient, **states: int) -> None:
    for state, wanted in states.items():
        await until_found(client.temporal, f"ScenarioName = 'fleet' AND JourneyState = '{state}'", wanted)


async def test_journeys_at_every_kind_of_step_go_on_in_another_version(stand: Stands, tmp_path: Path) -> None:
    fail = {"/slow.example.com/slow": [503], "/old.example.com/broken": [422]}
    async with stand(fail=fail) as up:
        client = up.client
        await publish(client, tmp_path, fleet(1))
        places = [place for place, (count, *_) in PLACES.items() for _ in range(count)]
        entries: list[dict[str, Any]] = [
            {"contact": {"id": number, "custom": {"place": place}}} for number, place in enumerate(places)
        ]
        common = {"scenario": "fleet", "trigger": {"type": "segment"}}
        entered = await asyncio.gather(*(client.enter({**common, **entry}, settle=0) for entry in entries))
        waiting = sum(PLACES[place][0] for place in ("wait", "date", "event", "first", "rounds", "renamed", "paused"))
        await in_place(client, waiting=waiting, retrying=PLACES["slow"][0], held=HELD)
        paused = [journey.id for journey, place in zip(entered, places, strict=True) if place == "paused"]
        await asyncio.gather(*(client.send(journey, Operation.PAUSE, **WHO) for journey in paused))
        await in_place(client, paused=PLACES["paused"][0])

        await publish(client, tmp_path, fleet(2, hook("more")))
        forecast = await client.forecast_migration("fleet", version=1)
        assert forecast.left_out == PLACES["renamed"][0]
        assert str(forecast.differences[1]).startswith("added: new, more; removed: old; change")
        assert "2 wait at old, which is gone: map it, for example to new" in map(str, forecast.standing)
        forecast = await client.forecast_migration("fleet", version=1, names={"old": "new"})
        assert (forecast.to, forecast.left_out, len(forecast.fitting)) == (2, 0, MANY)
        told = [str(one) for one in forecast.standing]
        assert all(any(one.startswith(words) for one in told) for *_, words in PLACES.values()), told
        assert len(told) == len(PLACES)

        batch = client.batch(
            Operation.MIGRATE,
            operator="ann",
            reason="x",
            rate=200,
            version=forecast.to,
            map={"old": "new"},
            waits="keep",
        )
        tally = await batch.run(forecast.targets())
        assert (str(tally), tally.left) == (f"accepted {MANY}", 0)

        held: list[JourneySummary] = []
        async with asyncio.timeout(60):  # search learns of the new version some moments later
            while len(held) != HELD:
                held = await client.select(Operation.RETRY, JourneyFilter(scenario="fleet", version=2))
        await client.batch(Operation.RETRY, operator="ann", reason="x", rate=200).run(targets(held))
        fast = {"initial_interval": "1s", "backoff_coefficient": 1}
        retune = client.batch(Operation.RETUNE, operator="ann", reason="x", destination="slow.example.com", retry=fast)
        await retune.run(targets(await client.in_flight("slow.example.com")))
        await asyncio.gather(*(client.send(journey, Operation.RESUME, **WHO) for journey in paused))
        listening = [number for number, place in enumerate(places) if place == "event"]
        await asyncio.gather(*(client.event(str(number), "go") for number in listening))

        async with asyncio.timeout(120):
            results = await asyncio.gather(*(journey.result() for journey in entered))
        assert Counter((result["outcome"], result["version"]) for result in results) == {("exited", "fleet@2"): MANY}
        assert {result["reason"] for result in results} == {"done"}
        operations = (await entered[0].handle.query("progress"))["operations"]
        assert operations[0]["details"] == {"from": "fleet@1", "version": "fleet@2", "map": {"old": "new"}}
        # The latest of them are noted a moment after the journey's end.
        assert len(await client.store.entries(scenario="fleet", version=2, limit=200)) == MANY

        requests = up.receiver.requests()
        arrived = Counter(
            (request.path, dict(request.headers)["webhook-id"]) for request in requests if request.status == 200
        )
        assert set(arrived.values()) == {1}, "every message once"
        assert Counter(path.rpartition("/")[2] for path, _ in arrived) == {
            "hello": MANY,
            "more": MANY,
            "round": 2 * PLACES["rounds"][0],
            "slow": PLACES["slow"][0],
            "broken": PLACES["held"][0],
        }
        for path, times in (("/slow.example.com/slow", PLACES["slow"][0]), ("broken", PLACES["held"][0])):
            ids = {dict(one.headers)["webhook-id"] for one in requests if path.rpartition("/")[2] in one.path}
            assert len(ids) == times, "under the id that it had before"
