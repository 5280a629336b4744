"""What a preview shows is what journeys send: byte by byte, over real SMTP and HTTP, on the way that was foretold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from activities.dependencies import WorkerServices
from activities.email.channel import LOCAL_SENDER, RenderedMail
from activities.email.settings import Senders
from activities.sms.channel import RenderedText
from activities.webhook.channel import RenderedRequest, mask
from gateway.local.demo import EXAMPLES, DemoRun, run
from gateway.local.stack import LocalStack, local
from gateway.preview.contact import Preview, PreviewInputs, preview
from gateway.preview.draft import draft
from gateway.preview.rendering import MessageRenderer
from gateway.preview.walk import GivenEvent, StepPreview
from scenario.steps.delivery import delivery_id

pytestmark = pytest.mark.usefixtures("temporal_program")

NEAR = timedelta(seconds=60)
"""A journey's steps take their time, and a receiver that fails first makes them take more."""
DATE = re.compile(rb"^Date: (.+)\r\n", re.MULTILINE)
FRAMING = {"host", "content-length"}
OUTCOMES = {"delivered": "sent"}

EVERYTHING = """
scenario: everything
trigger: order
entry: {key: "{{ order.external_id }}"}
steps:
  - webhook: named
    to: wax
    path: /orders/{{ order.external_id }}?who={{ contact.firstname }}
    headers: {X-Token: "{{ secrets.WAX_TOKEN }}"}
    body:
      journey: "{{ journey.id }} {{ journey.scenario }} {{ journey.version }} {{ journey.entered_at }}"
      lines: {$for: p in order.products, $each: {name: "{{ p.name }}", price: "{{ p.unit_price }}"}}
  - webhook: form
    url: https://forms.example.com/{{ contact.lastname }}
    content: form
    body: {name: "{{ contact.firstname }} {{ contact.lastname }}", token: "{{ secrets.WAX_TOKEN }}"}
  - webhook: plain
    url: https://plain.example.com/
    method: DELETE
    content: text
    body: "{{ contact.lastname }} \\u2603"
  - sms: text
    text: "{{ contact.firstname }}: {{ order.external_id }}"
  - webhook: aborted
    url: https://plain.example.com/
    body: {a: "{% abort 'not today' %}"}
  - exit: early
  - sms: never
    text: never
"""


def foretold(path: Path, finished: DemoRun, start: datetime, services: WorkerServices) -> Preview:
    made, _ = draft(path)
    assert made is not None
    order: dict[str, Any] = finished.entry["trigger"].get("order") or {}
    delivered = GivenEvent("order.delivered", {"order_id": order.get("external_id"), "carrier": "Colissimo"})
    ids = finished.journey.id, finished.journey.run_id
    assert services.channels.unsubscribing is not None
    renderer = MessageRenderer(
        senders=Senders.configured(LOCAL_SENDER, None),
        identify=lambda step: delivery_id(*ids, step, 0),
        unsubscribing=services.channels.unsubscribing,
    )
    zone = services.zone
    return preview(
        made, finished.entry, PreviewInputs(at=start, events=[delivered], platform_zone=zone, renderer=renderer)
    )


def unmasked(text: str) -> str:
    return re.sub(mask(r"(\w+)"), lambda found: f"stand-in-{found[1]}", text)


async def on_the_way(place: LocalStack, finished: DemoRun, path: Path) -> list[tuple[StepPreview, dict[str, Any]]]:
    entered = await place.services.store.entry(finished.journey.id, finished.journey.run_id)
    assert entered is not None
    shown = foretold(path, finished, entered.admitted_at, place.services)
    assert shown.journey == finished.journey.id
    assert shown.refused is None
    taken = [passed for passed in shown.steps if passed.taken]
    steps: list[dict[str, Any]] = finished.result["steps"]
    assert [(passed.id, passed.outcome) for passed in taken] == [
        (step["id"], OUTCOMES.get(step["outcome"], step["outcome"])) for step in steps
    ]
    return list(zip(taken, steps, strict=True))


def differences(place: LocalStack, finished: DemoRun, passed: StepPreview) -> Iterator[str]:
    identifier = delivery_id(finished.journey.id, finished.journey.run_id, passed.id, 0)
    match passed.result:
        case RenderedRequest() as request:
            requests = place.receiver.requests()
            got = next(item for item in requests if item.header("webhook-id") == identifier and item.status < 300)
            meant = urlsplit(unmasked(request.url))
            if got.target != f"/{meant.netloc or meant.scheme}{meant.path}{'?' if meant.query else ''}{meant.query}":
                yield f"target {got.target}"
            if (got.method, got.body) != (request.method, unmasked(request.body.decode()).encode()):
                yield f"body {got.body!r} {request.body!r}"
            headers = {name.lower(): value for name, value in got.headers}
            shown = {name: unmasked(value) for name, value in request.headers.items()}
            more = headers.keys() - shown.keys() - FRAMING - {*request.attempt_headers}
            if more or shown.items() - headers.items():
                yield f"headers {more or shown.items() - headers.items()}"
        case RenderedMail() as mail:
            data = next(m.data for m in place.inbox.messages() if identifier in str(m.message["Message-ID"]))
            if DATE.sub(b"", data) != DATE.sub(b"", mail.envelope.message):
                yield f"mail {data!r}"
            dates = [DATE.search(message) for message in (data, mail.envelope.message)]
            sent, meant = (parsedate_to_datetime(found[1].decode()) for found in dates if found)
            if not abs(sent - meant) < NEAR or sent.utcoffset() != meant.utcoffset():
                yield f"date {sent}"
        case RenderedText() as text:
            kept = [json.loads(path.read_text("utf-8")) for path in place.inbox.folder.glob("*.json")]
            got = next(message for message in kept if message["id"] == identifier)
            if (got["to"], got["text"]) != (text.to, text.text):
                yield f"text {got}"
        case _:
            pass


async def test_a_preview_shows_what_journeys_send(tmp_path: Path) -> None:
    file = tmp_path / "everything.yaml"
    file.write_text(EVERYTHING, "utf-8")
    entry = json.loads((EXAMPLES / "entries" / "post-purchase.json").read_text("utf-8"))
    (tmp_path / "everything.json").write_text(json.dumps({**entry, "scenario": "everything"}), "utf-8")
    files = [EXAMPLES / "entries" / "post-purchase.json", tmp_path / "everything.json"]
    compared: list[str] = []
    async with local(tmp_path / "state") as place:
        scenarios = {path.stem: path for path in (EXAMPLES / "post-purchase.yaml", file)}
        for path in scenarios.values():
            await place.client.publish(path)
        for finished in await run(place, files):
            for passed, step in await on_the_way(place, finished, scenarios[finished.entry["scenario"]]):
                assert list(differences(place, finished, passed)) == [], f"{finished.journey.id}: {passed.id}"
                if passed.outcome == "waited":
                    assert passed.until is not None
                    assert abs(passed.until - datetime.fromisoformat(step["at"])) < NEAR
                if passed.outcome == "sent":
                    compared.append(f"{finished.entry['scenario']} {passed.id}")
    everything = {f"everything {step}" for step in ("named", "form", "plain", "text")}
    assert everything | {"post-purchase thank-you", "post-purchase whatsapp"} <= {*compared}
