"""Compares every delivery of a journey, byte by byte, with what the receiver got."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from activities.channel import Arrival, LocalServers, adapter
from activities.content import LoadedVersion
from activities.context import subscriber_of
from gateway.entries import Entered
from gateway.local.stack import LocalStack
from scenario.entry.admission import entry_data
from scenario.entry.entry import journey_root, parse_entry
from scenario.entry.trigger import event_root
from scenario.steps.delivery import DeliveryStep, delivery_id

_WRITTEN: Final = 10.0
"""Seconds within which an attempt is recorded, also on a busy machine."""


def parcel(order: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and properties of the event that the examples await: the order's parcel has arrived."""
    return "order.delivered", {"order_id": order.get("external_id"), "carrier": "Colissimo"}


async def arrivals(
    place: LocalStack, entry: dict[str, Any], journey: Entered, result: Mapping[str, Any]
) -> list[Arrival]:
    """Find every message that a journey reports as delivered.

    Args:
        place: The local servers.
        entry: The entry.
        journey: The completed journey.
        result: Its result.
    """
    parsed = parse_entry(entry)
    name, _, version = str(result["version"]).partition("@")
    opened = await place.services.content.open(name, int(version))
    data = _data(place, opened, entry, journey.id)
    servers = LocalServers(place.inbox, place.receiver, place.services.routes)
    found: list[Arrival] = []
    for done in result["steps"]:
        step = opened.steps[done["id"]]
        if not isinstance(step, DeliveryStep):
            continue
        if done["outcome"] != "delivered":
            found.append(Arrival(done["id"], parsed.contact_id, "", f"it was not delivered: {done['outcome']}"))
            continue
        identifier = delivery_id(journey.id, journey.run_id, done["id"], 0)
        seen = {**_seen(place, opened, step, data), **await _times(place, identifier)}
        found.append(await adapter(step.channel).verify(servers, done["id"], step, seen, identifier))
    return found


async def _times(place: LocalStack, identifier: str) -> dict[str, Any]:
    """Return the times that a delivery's templates used, or nothing if they are not recorded soon."""
    end = time.monotonic() + _WRITTEN
    while time.monotonic() < end:
        for attempt in await place.services.store.deliveries(delivery_id=identifier, outcome="delivered"):
            return {} if attempt.now is None else {"now": attempt.now, "today": attempt.now[:10]}
        await asyncio.sleep(0.05)  # the log is written beside the journey
    return {}


def _seen(place: LocalStack, opened: LoadedVersion, step: DeliveryStep, data: dict[str, Any]) -> dict[str, Any]:
    """Return the data with the values made for this step."""
    unsubscribing = place.services.channels.unsubscribing
    if unsubscribing is None:
        return data
    subscriber = subscriber_of(opened.scenario, step, str(data["contact"]["id"]), data)
    made = {"unsubscribe_url": unsubscribing.url(subscriber)} if subscriber else {}
    return {**data, "journey": {**data["journey"], **made}}


def _data(place: LocalStack, opened: LoadedVersion, entry: dict[str, Any], workflow_id: str) -> dict[str, Any]:
    data = entry_data(parse_entry(entry), opened.scenario, opened.version, place.services.zone, datetime.now(UTC))
    name, properties = parcel(data.get("order") or {})
    event = event_root(name, None, properties)
    journey = journey_root(workflow_id, opened.name, opened.version, data["journey"]["entered_at"])
    return {
        **data,
        "journey": {**journey, "timezone": data["journey"]["timezone"]},
        "event": data.get("event", event),
        "secrets": place.services.secrets.all(),
    }
