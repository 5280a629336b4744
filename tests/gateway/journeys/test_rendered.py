"""What was sent, rendered again from the history and the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from activities.failures import FailureKind
from gateway.client import ScenarioClient
from gateway.errors import BadInput
from gateway.journeys.rendered import RenderedDelivery, rendered, scheduled, submitted_entry
from gateway.preview.rendering import MessageRenderer
from tests.factories import attempt
from tests.workflows.conftest import Stage, failing

SCENARIO = """
scenario: told
trigger: segment
steps:
  - repeat: {every: 1d, times: 2}
    steps:
      - webhook: poll
        url: https://hooks.example.com/{{ contact.id }}
        headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}"}
        body: {name: "{{ contact.firstname }}", at: "{{ now | date: '%d' }}"}
  - if: contact.firstname == 'nobody'
    then:
      - sms: never
        text: hi
  - email: last
    subject: TEXT {{ contact.firstname }}
    text: bye
"""


async def shown(client: ScenarioClient, journey: str, step: str) -> list[RenderedDelivery]:
    return await rendered(client.temporal, client.store, await client.show(journey), step, MessageRenderer())


def bodies(found: list[RenderedDelivery]) -> list[Any]:
    return [item.report()["request"]["body"] for item in found]


async def test_each_round_is_rendered_again_with_secrets_masked(stage: Stage, client: ScenarioClient) -> None:
    await stage.publish(SCENARIO.replace("TEXT", "Dear"))
    handle = await stage.start("told", contact={"id": 7, "firstname": 'Zo"é'})
    assert (await handle.result())["outcome"] == "finished"
    entry = await submitted_entry(client.temporal, "told/7")
    assert entry is not None
    assert entry["contact"]["firstname"] == 'Zo"é'
    first, second = found = await shown(client, "told/7", "poll")
    days = [item.delivery.now[8:10] for item in found]
    assert bodies(found) == [
        f'{{"name": "Zo\\"é", "at": "{day}"}}'.replace('": ', '":').replace(', "', ',"') for day in days
    ]
    assert first.delivery.id != second.delivery.id
    request = first.report()["request"]
    assert (request["url"], request["headers"]["authorization"]) == (
        "https://hooks.example.com/7",
        "Bearer ~~WAX_TOKEN~~",
    )
    given = {"workflow_id": "told/7", "run_id": handle.result_run_id, "step": "poll"}
    made = [attempt(second.delivery.id, attempt=number, **given) for number in (1, 2)]
    assert await scheduled(client.temporal, made) == [(second.delivery, second.scheduled_at)]
    (last,) = await shown(client, "told/7", "last")
    assert last.report()["message"]["subject"] == 'Dear Zo"é'
    for step, said in [
        ("never", "step never has sent nothing: the journey has not come to it"),
        ("if-2", "'if-2' sends nothing: there are poll, never and last"),
        ("pol", "'pol' is none of its steps: did you mean 'poll'?"),
    ]:
        with pytest.raises(BadInput, match=rf"^{said.replace('?', '[?]')}$"):
            await shown(client, "told/7", step)


async def test_what_was_rendered_by_another_version_is_shown_as_well(stage: Stage, client: ScenarioClient) -> None:
    await stage.publish(SCENARIO.replace("TEXT", "Dear").replace("times: 2", "times: 1"))
    stage.channels.scripts["last"] = failing(FailureKind.PERMANENT)
    handle = await stage.start("told", contact={"id": 8, "firstname": "Zoé"})
    await stage.until(handle, "held")
    await stage.publish(SCENARIO.replace("TEXT", "Hello").replace("times: 2", "times: 1"))
    who = {"operator": "ann", "reason": "x"}
    await stage.operate(handle, "retry_step", {**who, "version": "newest"})
    async with asyncio.timeout(60):
        while len(found := await shown(client, "told/8", "last")) < 2:
            await asyncio.sleep(0.02)
    assert [item.report()["message"]["subject"] for item in found] == ["Dear Zoé", "Hello Zoé"]
    assert [item.report()["scenario"] for item in found] == ["told@1", "told@2"]
    await stage.until(handle, "held")
    await stage.operate(handle, "skip_step", who)


async def test_what_temporal_has_forgotten_cannot_be_rendered(stage: Stage, client: ScenarioClient) -> None:
    await stage.publish(SCENARIO.replace("times: 2", "times: 1"))
    handle = await stage.start("told", contact={"id": 9})
    await handle.result()
    view = await client.show("told/9")
    assert view.entry is not None
    gone = replace(view, run_id="00000000-0000-0000-0000-000000000000")
    gone = replace(gone, entry=replace(view.entry, run_id=gone.run_id))
    with pytest.raises(
        BadInput, match=r"^Temporal has forgotten the history of told/9, and with it what was sent: see"
    ):
        await rendered(client.temporal, client.store, gone, "poll", MessageRenderer())
