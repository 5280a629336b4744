"""The interface between a step and its journey."""

from datetime import UTC, datetime, timedelta

from scenario.steps.host import MOST_DEFERRALS, Host, Memory, NotBefore
from scenario.time import zone_of

START = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)


def test_the_interface_stays_narrow() -> None:
    members = sorted(name for name in vars(Host) if not name.startswith("_"))
    assert len(members) <= 16, members


def test_a_deferral_is_kept_until_the_delivery_waits_no_more_and_noted_for_its_record() -> None:
    memory, paris = Memory(), zone_of("Europe/Paris")
    assert memory.deferred is None
    memory.defer(NotBefore(moment=START.astimezone(paris), since="quiet hours"), paris)
    assert memory.deferred == NotBefore(moment=START, since="quiet hours")
    memory.stop_waiting()
    assert (memory.deferred, memory.until) == (None, None)
    assert memory.deferrals == ["kept back until Tue 2026-03-03 08:00 Europe/Paris: quiet hours"]


def test_only_the_latest_deferrals_are_noted() -> None:
    memory = Memory()
    for hour in range(MOST_DEFERRALS + 2):
        memory.defer(NotBefore(moment=START + timedelta(hours=hour), since="capped"), UTC)
    assert len(memory.deferrals) == MOST_DEFERRALS
    assert "Tue 2026-03-03 09:00" in memory.deferrals[0]


def test_leaving_a_step_forgets_what_concerned_it_alone() -> None:
    memory = Memory(until=START, awaiting="order.paid", deferrals=["kept back"], event={"name": "order.paid"})
    memory.leave_step()
    assert memory == Memory(event={"name": "order.paid"})
