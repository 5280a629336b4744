"""What others than the recipients see of a journey holds ids, and nothing that is a contact's or a secret."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Header, Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.sdk.v1 import UserMetadata, WorkflowMetadata
from temporalio.client import WorkflowHandle

from gateway.client import ScenarioClient
from gateway.local.demo import EXAMPLES
from runtime.telemetry import logs
from tests.e2e.conftest import Stand, Stands, outcomes, publish
from tests.e2e.decoding import decoded, inside

TOKEN = "s3cr3t-t0ken"
SIGN = "T0PS3CRET"
"""What stands in every message, URL and event: a part of what is sent."""

TELLTALE = """
scenario: telltale
trigger: order
exit:
  - event: order.returned
    if: event.note == "T0PS3CRET"
steps:
  - email: thanks
    subject: "{{ contact.firstname }}, T0PS3CRET"
    text: "{{ contact.lastname }} {{ order.external_id }}"
  - sms: text
    text: "{{ contact.firstname }}, T0PS3CRET"
  - webhook: busy
    url: https://hooks.example.com/busy/{{ contact.email }}?q=T0PS3CRET
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    body: &body {phone: "{{ contact.cellphone }}", mail: "{{ contact.email }}", note: T0PS3CRET}
    retry: {initial_interval: 1s}
  - webhook: refused
    url: https://hooks.example.com/refused/{{ contact.email }}?q=T0PS3CRET
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    body: *body
    on_failure: continue
  - webhook: unrenderable
    url: https://hooks.example.com/a
    body: |
      {"T0PS3CRET": {{ contact.cellphone | divided_by: contact.custom.none }}}
    on_failure: continue
  - webhook: unfit
    url: https://hooks.example.com/a
    headers: {X-Name: "{{ contact.firstname }} T0PS3CRET: {{ secrets.TOKEN }}"}
    on_failure: continue
  - wait_for: never
    for: 1s
  - webhook: down
    url: https://hooks.example.com/down/{{ contact.email }}?q=T0PS3CRET
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    body: *body
    retry: {initial_interval: 5h}
"""
FAIL = {"/hooks.example.com/busy": [503], "/hooks.example.com/refused": [422], "/hooks.example.com/down": [503] * 9}


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What is logged, as every process of the project logs."""
    root, stream = logging.getLogger(), StringIO()
    handlers, level = list(root.handlers), root.level
    logs.configure(stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


async def shown(handle: WorkflowHandle[Any, Any], client: ScenarioClient) -> AsyncIterator[tuple[str, str]]:
    """Everything that Temporal shows of a journey beside the payloads of entry, activities and result, by where."""
    description = await handle.describe()
    for name, value in description.search_attributes.items():
        yield "search attribute", f"{name} {value}"
    yield "journey's summary", str(await description.static_summary())
    yield "details", await _details(handle)
    history = await handle.fetch_history()
    whole = [await decoded(message, client) for message in (*history.events, description.raw_description)]
    for message in (part for one in whole for part in inside(one)):
        match message:
            case Failure():
                said = f"{message.message} {message.stack_trace} {message.encoded_attributes.data.decode()}"
                yield "failure", f"{said} {message.application_failure_info.type}"
            case UserMetadata():
                yield "summary", message.summary.data.decode()
            case Header():
                yield "header", " ".join(payload.data.decode() for payload in message.fields.values())
            case _:
                pass


async def _details(handle: WorkflowHandle[Any, Any]) -> str:
    metadata: WorkflowMetadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return metadata.current_details


async def until_backing_off(place: Stand, handle: WorkflowHandle[Any, Any]) -> None:
    """Waits until the last webhook has failed once and is to be tried again."""
    async with asyncio.timeout(60):
        while not place.receiver.requests("/hooks.example.com/down"):
            await asyncio.sleep(0.05)
        while not (await handle.describe()).raw_description.pending_activities[0].HasField("last_failure"):
            await asyncio.sleep(0.05)


async def test_only_the_recipients_see_what_is_the_contacts_or_a_secret(
    stand: Stands, tmp_path: Path, log: StringIO
) -> None:
    text = await asyncio.to_thread((EXAMPLES / "entries" / "post-purchase.json").read_text, "utf-8")
    entry: dict[str, Any] = {**json.loads(text), "scenario": "telltale"}
    contact = entry["contact"]
    private = [TOKEN, SIGN, contact["email"], "zoe.obrien", contact["cellphone"][1:], contact["firstname"], "O'Brien"]

    async with stand(fail=FAIL, secrets={"TOKEN": TOKEN}) as place:
        await publish(place.client, tmp_path, TELLTALE)
        handle = (await place.client.enter(entry)).handle
        await until_backing_off(place, handle)
        told = [item async for item in shown(handle, place.client)]
        await place.client.event(str(contact["id"]), "order.returned", {"note": SIGN, "by": contact["email"]})
        result = await handle.result()
        told += [item async for item in shown(handle, place.client)]
        history = [await decoded(event, place.client) for event in (await handle.fetch_history()).events]
        [*_, last] = place.receiver.requests()

    assert outcomes(result) == [
        ("thanks", "delivered"),
        ("text", "delivered"),
        ("busy", "delivered"),
        ("refused", "failed"),
        ("unrenderable", "failed"),
        ("unfit", "failed"),
        ("wait_for-7", "timeout"),
        ("down", "left"),
    ]
    told += [("result", json.dumps(result, ensure_ascii=False))]
    told += [("log", line) for line in log.getvalue().splitlines()]
    told += [
        ("span", json.dumps(json.loads(span.to_json()), ensure_ascii=False))
        for span in place.spans.get_finished_spans()
    ]
    places = {where for where, _ in told}
    assert places == {
        *("search attribute", "journey's summary", "details", "failure", "summary", "header"),
        *("result", "log", "span"),
    }
    assert [(where, text) for where, text in told if any(word in text for word in private)] == []

    # The receiver got it all, and the history holds the entry, but no secret.
    assert SIGN in last.target
    assert last.header("authorization") == f"Bearer {TOKEN}"
    payloads = b"\n".join(
        part.data for event in history for part in inside(event) if isinstance(part, Payload)
    ).decode()
    assert contact["email"] in payloads
    assert TOKEN not in payloads
