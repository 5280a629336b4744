"""The cost of masking secrets in a response: the masking alone, and a whole delivery with and without it.

Run by hand, from the project's folder: ``python -m benchmarks.masking``. A delivery is the whole activity, with a
transport that responds immediately in place of the network. Times are processor time, the least of many rounds,
because other programs may use the same cores.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final
from unittest import mock
from urllib.parse import quote

from activities import redaction
from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import WEBHOOK
from activities.content import Content
from activities.interface import Delivery
from activities.webhook import activity
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import save_response
from benchmarks.deliveries import DATA, NoLog, ReceiverRoutes, SingleVersionStore, attempt_environment, say
from scenario.model.parts import Save
from tests.fakes import worker_context

ROUNDS: Final = 50
TOKEN: Final = "s3cret/t0ken+of-wax-4711"
SECRETS: Final = {"TOKEN": TOKEN, **{f"OTHER_{number}": f"other-s3cret-{number * 7919}" for number in range(9)}}


def make_order(number: int) -> dict[str, Any]:
    """Return an order without secrets, one item of a response."""
    return {
        "id": number,
        "reference": f"CGX{number:05}",
        "status": "accepted",
        "created_at": "2026-03-01T10:00:00Z",
        "links": {"self": f"https://api.example.com/v1/orders/{number}?fields=id%2Cname"},
        "request": "550e8400-e29b-41d4-a716-446655440000",
        "note": "Une très belle étagère",
    }


def make_response(size: int, **more: Any) -> bytes:
    """Return a JSON response of `size` bytes."""
    lines: list[dict[str, Any]] = []
    while len(made := json.dumps({**more, "orders": lines}).encode()) < size - 300:
        lines.append(make_order(len(lines)))
    return json.dumps({**more, "orders": lines, "rest": " " * (size - len(made) - 12)}).encode()


def cases(size: int) -> dict[str, bytes]:
    """Return responses of about `size` bytes, by content."""
    echoed = {
        "plain": TOKEN,
        "json": json.dumps({"authorization": f"Bearer {TOKEN}"}),
        "url": quote(quote(TOKEN, safe=""), safe=""),
        "html": html.escape(f"<{TOKEN}>"),
        "base64": base64.b64encode(f"Bearer {TOKEN}".encode()).decode(),
        "contact": ["ann@example.com", "+33 6 12 34 56 78"],
    }
    hostile = "%2525252541\\\\\\\\u0041&amp;amp;amp;" * 500
    return {
        "nothing": make_response(size),
        "the request": make_response(size, echo=echoed),
        "hostile": json.dumps(hostile[: size // 2]).encode(),
    }


def measure_call(act: Callable[[], object]) -> float:
    """Return the processor time of one call in microseconds, the least of many rounds of five calls."""
    times: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(5):
            act()
        times.append((time.process_time() - started) / 5 * 1e6)
    return min(times)


class InstantTransport:
    """A transport that responds immediately."""

    def __init__(self, body: bytes) -> None:
        self._response = Response(200, {}, body)

    async def send(self, request: object) -> Response:
        del request
        return self._response


async def measure_delivery(body: bytes, *, masking: bool) -> float:
    """Return the processor time of a delivery with this response in microseconds, the least of many."""
    transport: Any = InstantTransport(body)
    routes = ReceiverRoutes("http://127.0.0.1:4000")
    given = {"transport": transport, "secrets": lambda: SECRETS, "routes": routes}
    webhooks = ChannelActivity[None](WEBHOOK, worker_context(Content(SingleVersionStore()), NoLog(), **given))
    environment = attempt_environment()
    given = Delivery(
        id="msg_" + "0" * 32,
        scenario="bench@1",
        step="whatsapp",
        contact="1",
        now="2026-06-01T10:00:00+02:00",
        data=DATA,
    )

    def plain(body: bytes, _hidden: redaction.KnownSecrets) -> str:
        return body[:2048].decode(errors="replace")

    times: list[float] = []
    with mock.patch.object(activity.redaction, "excerpt", redaction.excerpt if masking else plain):
        for _ in range(ROUNDS * 6):
            started = time.process_time()
            sent = await environment.run(sending_activity(webhooks), given)
            times.append((time.process_time() - started) * 1e6)
            assert sent.outcome == "delivered"
    return min(times)


def main() -> None:
    hidden, save = redaction.known(tuple(SECRETS.values())), Save.model_validate({"as": "wax"}, by_alias=True)
    say("| response | content | excerpt, µs | `save:`, µs | of it JSON, µs |")
    say("|---|---|---|---|---|")
    for size in (2 * 1024, 16 * 1024 - 8):
        for name, body in cases(size).items():
            excerpting = measure_call(lambda body=body: redaction.excerpt(body, hidden))
            response = Response(200, {}, body)
            saving = measure_call(lambda response=response: save_response(save, response, redaction.known((TOKEN,))))
            parsing = measure_call(lambda body=body: json.dumps(json.loads(body)))
            say(f"| {(size + 8) // 1024} KB | {name} | {excerpting:,.0f} | {saving:,.0f} | {parsing:,.0f} |")
    say("")
    for size in (100, 2 * 1024):
        body = cases(max(size, 400))["nothing"][:size]
        masked, plain = (asyncio.run(measure_delivery(body, masking=masking)) for masking in (True, False))
        sys.stdout.write(
            f"a delivery with a response of {size} bytes: {masked:,.0f} µs, without masking {plain:,.0f} µs, "
        )
        say(f"ratio {masked / plain:.2f}")


if __name__ == "__main__":
    main()
