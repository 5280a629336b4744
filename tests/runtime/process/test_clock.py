"""A machine whose clock differs too much is found out, and a slow network never looks like one."""

from __future__ import annotations

import pytest

from runtime.clock_offset import ClockOffset
from runtime.errors import ClockWrong
from runtime.process.clock import Clock, watching_clock
from runtime.telemetry import metrics
from tests.measured import now


class Other:
    """A store, or a server, whose clock was compared."""

    def __init__(self, *bounds: float) -> None:
        self.clock_offset = ClockOffset(*bounds) if bounds else None


@pytest.mark.parametrize(
    ("asked", "answered", "theirs", "certain"),
    [
        (1000.0, 1000.2, 1000.1, 0.0),
        (1000.0, 1103.0, 1102.9, 0.0),  # a frozen database, and a clock that is right
        (1000.0, 1103.0, 1000.1, 0.0),
        (8200.0, 8200.2, 1000.0, 7200.0),
        (1000.0, 1000.2, 8200.2, -7200.0),
        (8200.0, 1000.2, 1000.1, 0.1),  # set right in between
    ],
)
def test_an_offset_is_what_is_certain(asked: float, answered: float, theirs: float, certain: float) -> None:
    assert ClockOffset.between(asked, answered, theirs).certain == pytest.approx(certain)


@pytest.mark.parametrize(
    ("store", "temporal", "sentence"),
    [
        (Other(), Other(), None),
        (Other(29.9, 31.0), Other(-40.0, -29.9), None),
        (Other(7199.2, 7199.3), Other(), "The clock of this machine is 7,199 s ahead of the store's"),
        (Other(), Other(-50.0, -40.0), "The clock of this machine is 40 s behind Temporal's"),
        (Other(31.0, 31.0), Other(31.0, 35.0), "The clock of this machine is 31 s ahead of the store's"),
    ],
)
async def test_a_clock_may_differ_by_half_a_minute(store: Other, temporal: Other, sentence: str | None) -> None:
    clock = Clock({"store": store, "temporal": temporal})
    if sentence is None:
        await clock.check()
        return
    with pytest.raises(ClockWrong) as caught:
        await clock.check()
    assert str(caught.value) == f"{sentence}: have both set by NTP."


async def test_a_wrong_clock_is_told_once_although_it_drifts(caplog: pytest.LogCaptureFixture) -> None:
    store = Other(100.0, 100.0)
    async with watching_clock({"store": store}) as watch:
        for seconds in (100.9, 102.0):
            store.clock_offset = ClockOffset(seconds, seconds)
            await watch.look()
        assert not watch.is_well()
        assert {labels: number for labels, (number, _) in now(metrics.CLOCK_OFFSET).items()} == {("store",): 102.0}
        store.clock_offset = ClockOffset(0.0, 0.1)
        await watch.look()
        assert watch.is_well()
    assert caplog.messages == ["The clock of this machine is 100 s ahead of the store's: have both set by NTP."]
    assert now(metrics.CLOCK_OFFSET) == {}
