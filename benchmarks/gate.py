"""The cost of checking the policies for a message: processor time and elapsed time, with and without store queries.

    python -m benchmarks.gate [--messages N]

The store is SQLite, so the processor time includes its work. For caps on PostgreSQL see `claims`.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from activities.channel_registry import SMS
from activities.content import Content
from activities.gate import OutgoingMessage, PolicyGate
from activities.interface import Delivery
from authoring.publishing import publish
from cli.terminal import say
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from scenario.policies.policies import Policies

NIGHT: Final = {"from": "03:00", "to": "03:01", "days_off": ["FR"]}
CAPS: Final = [
    {"name": "day", "channels": ["sms"], "at_most": 1000, "per": "day"},
    {"name": "week", "at_most": 1000, "per": "7d"},
]
HASHES: Final = AddressHashes([b"k" * 32])
POLICY_SETS: Final[dict[str, tuple[dict[str, Any], AddressHashes | None]]] = {
    "no policies": ({}, None),
    "quiet hours, open": ({"quiet_hours": NIGHT}, None),
    "suppressions": ({}, HASHES),
    "two caps": ({"caps": CAPS}, None),
    "all of them": ({"quiet_hours": NIGHT, "caps": CAPS}, HASHES),
}


async def measure(messages: int) -> None:
    """Check messages to different contacts one after another under each set of policies, and print the cost."""
    say(f"{'':20} {'CPU µs':>8} {'ms':>7}   per message, of {messages:,}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text("scenario: a\ntrigger: segment\ntimezone: Europe/Paris\nsteps: [{sms: hi, text: hi}]\n")
        async with Store.open(f"sqlite:///{folder}/store.db") as store:
            await publish(path, store)
            content = Content(store)
            for name, (policies, hashes) in POLICY_SETS.items():
                loaded = Policies.model_validate(policies)
                gate = PolicyGate(content, store, lambda loaded=loaded: loaded, hashes)
                await check_messages(gate, f"{name} warm", 20)
                cpu, began = time.process_time(), time.perf_counter()
                await check_messages(gate, name, messages)
                cpu, took = time.process_time() - cpu, time.perf_counter() - began
                say(f"{name:20} {cpu / messages * 1e6:8.0f} {took / messages * 1e3:7.2f}")


async def check_messages(gate: PolicyGate, name: str, messages: int) -> None:
    """Check messages, all of which the policies allow."""
    for number in range(messages):
        now = datetime.now(UTC)
        delivery = Delivery(
            id=f"{name}-{number}",
            scenario="a@1",
            step="hi",
            contact=f"{name}-{number}",
            now=now.isoformat(),
            zone="Europe/Paris",
        )
        assert await gate.check(OutgoingMessage(delivery, SMS, "twilio", now, f"+3361234{number % 10_000:04}")) is None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000)
    asyncio.run(measure(parser.parse_args().messages))
