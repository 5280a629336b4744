"""A step on the virtual host does what it does on Temporal's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from typing_extensions import override

from gateway.virtual.clock import Clock
from gateway.virtual.host import VirtualHost
from scenario.steps.delivery import Send
from scenario.steps.host import Delivered, Failed, Next, NotBefore
from scenario.steps.repeat import RepeatRow

START = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)


def test_a_round_that_begins_late_does_not_delay_those_after_it() -> None:
    class Late(VirtualHost):
        """A host whose worker is away for an hour after each wait."""

        @override
        async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
            woke = await super().wait(until, what, wake)
            await super().wait(self.now() + timedelta(hours=1), what, lambda: False)
            return woke

    async def deliver(host: VirtualHost, row: Send) -> Delivered | Failed | NotBefore:
        raise AssertionError(host, row)

    host = Late(Clock(START), {}, UTC, deliver)
    row = RepeatRow(kind="repeat", every=86_400, times=4, first="hi")

    async def rounds() -> None:
        for _ in range(4):
            host.begin("again")
            assert await row.perform(host) == Next("hi", "round")

    host.clock.start(rounds())
    host.clock.run()
    assert [host.local(record.at)[:16] for record in host.records] == [
        "2026-03-28T22:00", "2026-03-29T23:00", "2026-03-30T23:00", "2026-03-31T23:00"
    ]  # fmt: skip
