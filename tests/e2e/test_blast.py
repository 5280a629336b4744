"""A campaign whose messages are sent without journeys: the same as with journeys, and each line once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activities.blast.chunk import _Chunk  # pyright: ignore[reportPrivateUsage]
from activities.handover import campaign_root
from gateway.operations.background import running_operations
from gateway.service.caller import TERMINAL
from gateway.service.view import PageRequest
from runtime.local import receiver
from scenario.steps.delivery import delivery_id
from tests.e2e.conftest import Stand, Stands, publish
from tests.e2e.test_campaign import start, until

pytestmark = pytest.mark.encrypted

SCENARIO = """
scenario: sale
trigger: segment
purpose: transactional
entry: {if: "contact.custom.vip != 'no'"}
steps:
  - if: contact.custom.vip == 'left out'
    then: [exit: left out]
  - webhook: hook
    url: https://hooks.example.com/{{ contact.custom.vip }}
    retry: {initial_interval: 1s}
    body: {id: "{{ contact.id }}", name: "{{ contact.firstname | capitalize }}", tags: "{{ contact.custom.tags }}"}
"""
KINDS = ("yes", "no", "left out", "fails", "wrong")
"""What becomes of the contacts, by the number of each."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def people(folder: Path, number: int = 15) -> Path:
    path = folder / "people.jsonl"
    lines = [
        {"contact": {"id": f"c{n}", "firstname": "zoé", "custom": {"vip": KINDS[n % len(KINDS)], "tags": [n, 1.5]}}}
        for n in range(number)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


async def results(here: Stand, campaign: str) -> dict[str, tuple[str, str | None]]:
    found, after = dict[str, tuple[str, str | None]](), None
    while True:
        lines = await here.client.services.campaigns.lines(TERMINAL, campaign, PageRequest(limit=250, cursor=after))
        found |= {line.contact: (line.outcome, line.reason) for line in lines.items}
        if (after := lines.next) is None:
            return found


async def attempts(here: Stand, campaign: str, number: int) -> list[Any]:
    """The log of a campaign's attempts: at most two for each of this number of contacts.

    Left out are attempts that sent nothing because a slow server did not take the signal before them, and numbers:
    Temporal counts an attempt that no worker received in time.
    """
    return [
        (one.contact_id, one.outcome, one.status, one.error)
        for one in await here.client.store.deliveries(scenario="sale", limit=4 * number)
        if one.workflow_id.endswith(f"/{campaign}") and one.error != "not_told"
    ]


async def settled(here: Stand, campaign: str, campaigns: int, number: int) -> None:
    """Wait until the campaign is over, its journeys are held or have ended, and all attempts and steps are counted."""
    store, kind = here.client.store, number // len(KINDS)
    async with asyncio.timeout(60 + number / 10):
        while True:
            view = await here.client.services.campaigns.show(TERMINAL, campaign)
            passed = sum(one.total for one in await store.passage_counts("sale", LONG_AGO) if one.step == "if-1")
            if view.over and passed == 4 * kind * campaigns:
                entries = await store.entries(scenario="sale", key=campaign, running=True, limit=number)
                if len(entries) == kind and len(await attempts(here, campaign, number)) == 4 * kind:
                    return
            await asyncio.sleep(0.05 + number / 5000)


def sent(here: Stand, before: int) -> dict[str, list[tuple[bytes, Mapping[str, str]]]]:
    found: dict[str, list[tuple[bytes, Mapping[str, str]]]] = {}
    for one in here.receiver.requests()[before:]:
        kept = {name: value for name, value in one.headers if name in ("content-type", "user-agent", "webhook-id")}
        found.setdefault(one.json()["id"], []).append((one.body, kept))
    return found


@pytest.mark.parametrize(
    "number", [15, pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)], id="many")]
)
async def test_both_gears_send_the_same_and_count_the_same(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(receiver, "KEEP", 4 * number)
    fail = {"hooks.example.com/fails": [500], "hooks.example.com/wrong": [400]}
    async with stand(fail=fail) as here:
        client, store = here.client, here.client.store
        await publish(client, tmp_path, SCENARIO)
        audience, kind = people(tmp_path, number), number // len(KINDS)
        seen: list[Any] = []
        async with running_operations(client.services.operations, client.services.campaigns):
            for turn, (name, gear) in enumerate((("one", None), ("two", "enter")), 1):
                before = len(here.receiver.requests())
                begun = await start(client, audience, name=name, gear=gear, rate=10_000.0)
                assert begun.gear == ("enter" if gear else "blast")
                await settled(here, name, turn, number)
                created = begun.since
                arrived = sent(here, before)
                for contact, requests in arrived.items():
                    workflow = f"sale/{contact}/{name}"
                    mine = delivery_id(workflow, campaign_root(workflow, created), "hook", 0)
                    assert {headers["webhook-id"] for _, headers in requests} == {mine}
                counts = await store.passage_counts("sale", LONG_AGO)
                entries = await store.entries(scenario="sale", key=name, limit=number)
                seen.append(
                    (
                        {contact: [body for body, _ in requests] for contact, requests in arrived.items()},
                        sorted(await attempts(here, name, number), key=str),
                        sorted((one.contact_id, one.outcome, one.branches) for one in entries),
                        {(one.step, one.outcome): one.total for one in counts},
                    )
                )
        (bodies, log, entries, counted), (*others, both) = seen
        assert [bodies, log, entries] == others
        assert both == {step: 2 * total for step, total in counted.items()}
        assert Counter(outcome for _, outcome, _ in entries) == {"finished": 2 * kind, "exited": kind, None: kind}
        direct = await results(here, "one")
        assert Counter(outcome for outcome, _ in direct.values()) == dict.fromkeys(
            ("delivered", "refused", "skipped", "entered", "held"), kind
        )
        assert direct["c4"] == ("held", "hooks.example.com answered 400")
        assert direct["c2"] == ("skipped", "its way has no message")
        assert direct["c3"] == ("entered", "it waits for its next attempt")


ONE_MESSAGE = """
scenario: sale
trigger: segment
purpose: transactional
steps:
  - webhook: hook
    url: https://hooks.example.com/sale
    on_unknown: {word}
    body: {{id: "{{{{ contact.id }}}}", now: "{{{{ now }}}}"}}
"""


async def test_a_worker_is_killed_before_it_records_what_it_sent(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = vars(_Chunk)["_record"]
    living = True

    async def killed(self: Any, ends: Any) -> None:
        nonlocal living
        if not living:
            living = True
            raise OSError("killed")
        await real(self, ends)

    monkeypatch.setattr(_Chunk, "_record", killed)
    async with stand() as here:
        client = here.client
        async with running_operations(client.services.operations, client.services.campaigns):
            for word, outcome, times in (("retry", "delivered", 2), ("hold", "held", 1)):
                await publish(client, tmp_path, ONE_MESSAGE.format(word=word))
                before, living = len(here.receiver.requests()), False
                await start(client, people(tmp_path), name=word, gear=None)
                ended = await until(client, lambda seen: seen.over, word)
                assert living
                requests = here.receiver.requests()[before:]
                messages = {one.json()["id"]: one.body for one in requests}
                assert {one.body for one in requests} == set(messages.values())  # repeated, the bytes are the same
                assert (len(messages), len(requests)) == (15, 15 * times)
                assert ended.outcomes == {outcome: 15}
