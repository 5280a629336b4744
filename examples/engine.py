"""An automation engine that knows Temporal and nothing else of this project.

It lets a contact into a scenario and reports an event, with plain JSON only, as an engine in Go, Java, TypeScript, PHP,
Ruby or .NET would: the parts marked 1 to 5 are everything, and look nearly the same in each of Temporal's SDKs.

    scenario dev                                      # a server and a worker, in another terminal
    scenario publish examples/post-purchase.yaml
    python examples/engine.py

A Python program has `service.client.ScenarioClient`, which does more: it knows the scenario's entry rules.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.envconfig import ClientConfig

SAMPLE: Final = Path(__file__).parent / "entries" / "post-purchase.json"


async def main(entry: dict[str, Any]) -> None:
    """Lets the entry's contact in, and reports that the order was delivered."""
    # 1. Connect. TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_… and temporal.toml mean the same
    #    to all SDKs. The default data converter is the right one: arguments travel as plain JSON ("json/plain").
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "localhost:7233")
    client = await Client.connect(**config)

    # 2. The entry: which scenario, whose contact, and what happened. Contact and order are as the customer platform's
    #    API returns them. "post-purchase@3" instead of the name would ask for version 3.
    contact = str(entry["contact"]["id"])
    order = str(entry["trigger"]["order"]["external_id"])

    handle = await enter(client, entry, contact, key=order)
    sys.stdout.write(f"{handle.id}\n")

    # 5. Later, something happens to the contact: tell the journey, with a signal. An event that no step waits for is
    #    not kept. The "id" is optional: an event that is sent twice under one id counts once, so that the engine may
    #    safely tell it again when it does not know whether it did.
    event = {
        "name": "order.delivered",
        "properties": {"order_id": order},
        "id": f"delivered-{order}",
    }
    await handle.signal("event", event)


async def enter(client: Client, entry: dict[str, Any], contact: str, key: str) -> WorkflowHandle[Any, Any]:
    """Start a journey, or find the running one."""
    # 3. The workflow id says who is in what: <scenario>/<contact id>, and /<key> where the scenario's entry has a key
    #    (here the order's number, so that each order has its own journey). Two starts under one id are one
    #    journey: this is what makes the engine's own retries safe. A wrong id is refused, with the right form of it.
    name = str(entry["scenario"]).partition("@")[0]
    identifier = f"{name}/{contact}/{key}"

    # 4. Start the workflow type "Journey" on the task queue "journeys", with the entry as its only argument. Whether
    #    this contact is admitted (again) is decided by the scenario's entry rules, in the worker, which remembers
    #    longer than Temporal: one that is not admitted completes immediately with {"outcome": "refused", "reason": …}.
    return await client.start_workflow(
        "Journey",
        entry,
        id=identifier,
        task_queue="journeys",
        # While one is running, return that one; FAIL would raise an error instead.
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        # Shown and searched in Temporal's UI: ids only, since search attributes are never encrypted. Both optional.
        static_summary=f"{name} · contact {contact} · order {key}",
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(SearchAttributeKey.for_keyword("ScenarioName"), name),
                SearchAttributePair(SearchAttributeKey.for_keyword("ContactId"), contact),
            ]
        ),
    )


if __name__ == "__main__":
    asyncio.run(main(json.loads(SAMPLE.read_text(encoding="utf-8"))))
