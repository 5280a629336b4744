"""A step on the virtual host does what it does on Temporal's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.virtual.clock import Clock
from gateway.virtual.host import VirtualHost
from scenario.steps.delivery import Send
from scenario.steps.host import Delivered, Failed, Next, NotBefore
from scenario.time.timing import zone_of

START = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)


def test_a_delivery_that_must_not_leave_yet_leaves_when_it_may() -> None:
    clock, asked = Clock(START), list[datetime]()

    async def deliver(host: VirtualHost, row: Send) -> Delivered | Failed | NotBefore:
        asked.append(host.now())
        opens = START + timedelta(hours=9)
        return NotBefore(moment=opens, since="quiet hours") if host.now() < opens else Delivered(outcome="delivered")

    host = VirtualHost(clock, {}, zone_of("Europe/Paris"), deliver)
    host.begin("hi")
    task = clock.start(Send(kind="sms", next="after").perform(host))
    clock.run()
    assert task.result == Next("after")
    assert asked == [START, START + timedelta(hours=9)]
    assert [(record.outcome, host.local(record.at)) for record in host.records] == [
        ("delivered", "2026-03-29T09:00:00+02:00")
    ]
