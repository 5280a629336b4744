"""Whether what was sent arrived: every delivery of a journey compared, byte by byte, with what the receiver got."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from activities.content import Opened
from activities.context import subscriber_of
from activities.webhook.rendering import render
from gateway.entries import Entered
from gateway.local.stack import LocalStack
from scenario import liquid
from scenario.entry.admission import entry_data
from scenario.entry.entry import journey_root, parse_entry
from scenario.entry.event import event_root
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep, delivery_id
from scenario.steps.email import Email
from scenario.steps.sms import Sms
from scenario.steps.webhook import Webhook

_WRITTEN: Final = 10.0
"""Seconds after which an attempt is on record, also on a busy machine."""


@dataclass(frozen=True)
class Arrival:
    """One delivery, at its end.

    Attributes:
        step: The step's id.
        to: Whom it was for.
        what: How it begins.
        problem: What is wrong with it; empty where it arrived as it was sent.
    """

    step: str
    to: str
    what: str
    problem: str = ""

    @property
    def sound(self) -> bool:
        """Whether it arrived as it was sent."""
        return not self.problem


def parcel(order: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What journeys of the examples are told once: the order's parcel has arrived. Name and properties of the event."""
    return "order.delivered", {"order_id": order.get("external_id"), "carrier": "Colissimo"}


def shorten(text: str, length: int = 60) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


async def arrivals(
    place: LocalStack, entry: dict[str, Any], journey: Entered, result: Mapping[str, Any]
) -> list[Arrival]:
    """Looks for every message that a journey says it delivered.

    Args:
        place: The local servers.
        entry: What came in.
        journey: The journey, over.
        result: What it returned.
    """
    parsed = parse_entry(entry)
    name, _, version = str(result["version"]).partition("@")
    opened = await place.services.content.open(name, int(version))
    data = _data(place, opened, entry, journey.id)
    found: list[Arrival] = []
    for done in result["steps"]:
        step = opened.steps[done["id"]]
        look = _LOOKS.get(type(step))
        if look is None:
            continue
        if done["outcome"] != "delivered":
            found.append(Arrival(done["id"], parsed.contact_id, "", f"it was not delivered: {done['outcome']}"))
            continue
        identifier = delivery_id(journey.id, journey.run_id, done["id"], 0)
        seen = {**_seen(place, opened, step, data), **await _times(place, identifier)}
        found.append(await look(place, done["id"], step, seen, identifier))
    return found


async def _times(place: LocalStack, identifier: str) -> dict[str, Any]:
    """The times that a delivery's templates saw; nothing if they do not come on record soon."""
    end = time.monotonic() + _WRITTEN
    while time.monotonic() < end:
        for attempt in await place.services.store.deliveries(delivery_id=identifier, outcome="delivered"):
            return {} if attempt.now is None else {"now": attempt.now, "today": attempt.now[:10]}
        await asyncio.sleep(0.05)  # the log is written beside the journey
    return {}


def _seen(place: LocalStack, opened: Opened, step: BaseStep, data: dict[str, Any]) -> dict[str, Any]:
    """The data with what was made for this step alone."""
    unsubscribing = place.services.channels.unsubscribing
    if unsubscribing is None or not isinstance(step, DeliveryStep):
        return data
    subscriber = subscriber_of(opened.scenario, step, str(data["contact"]["id"]), data)
    made = {"unsubscribe_url": unsubscribing.url(subscriber)} if subscriber else {}
    return {**data, "journey": {**data["journey"], **made}}


def _data(place: LocalStack, opened: Opened, entry: dict[str, Any], workflow_id: str) -> dict[str, Any]:
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


async def _webhook(place: LocalStack, name: str, step: Webhook, data: dict[str, Any], identifier: str) -> Arrival:
    routes = place.services.routes
    wanted = render(step, data, identifier, base=routes.named(step.to).url if step.to else None)
    host = step.to or routes.find(wanted.url).destination
    got = [request for request in place.receiver.requests() if request.header("webhook-id") == identifier]
    taken = [request for request in got if request.status < 300]
    what = shorten(wanted.body.decode())
    problem = ""
    if len(taken) != 1:
        problem = f"the receiver took it {len(taken)} times"
    elif any(request.body != wanted.body for request in got):
        problem = "the receiver got other bytes than were rendered"
    elif any(request.method != wanted.method for request in got):
        problem = "the receiver got another method"
    elif any(taken[0].header(key) != value for key, value in wanted.headers.items()):
        problem = "the receiver got other headers"
    return Arrival(name, host, what, problem)


async def _email(place: LocalStack, name: str, step: Email, data: dict[str, Any], identifier: str) -> Arrival:
    address = str(data["contact"]["email"])
    subject = liquid.render_line(step.subject, data)
    got = [mail.message for mail in place.inbox.messages() if identifier in str(mail.message["Message-ID"])]
    problem = ""
    if len(got) != 1:
        problem = f"the inbox has it {len(got)} times"
    elif str(got[0]["Subject"]) != subject or str(got[0]["To"]) != address:
        problem = "subject or address are others than were rendered"
    elif isinstance(step.text, str):
        part = got[0].get_body(("plain",))
        text = part.get_content() if part else ""
        wanted = liquid.render_text(step.text, data)
        if text.replace("\r\n", "\n").strip() != wanted.replace("\r\n", "\n").strip():
            problem = "the text is another than was rendered"
    return Arrival(name, address, shorten(subject), problem)


async def _sms(place: LocalStack, name: str, step: Sms, data: dict[str, Any], identifier: str) -> Arrival:
    del identifier  # of which a text message says nothing
    number = str(data["contact"]["cellphone"])
    text = liquid.render_text(step.text, data).strip() if isinstance(step.text, str) else ""
    kept = await asyncio.to_thread(_messages, place.inbox.folder)
    got = [message for message in kept if message.get("to") == number and message.get("text") == text]
    return Arrival(name, number, shorten(text), "" if len(got) == 1 else f"the inbox has it {len(got)} times")


_Look = Callable[[LocalStack, str, Any, dict[str, Any], str], Awaitable[Arrival]]
_LOOKS: Final[Mapping[type[BaseStep], _Look]] = {Webhook: _webhook, Email: _email, Sms: _sms}
"""Where what each channel sends arrives."""


def _messages(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
