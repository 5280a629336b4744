"""Who came in, and what those under way are doing."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError, RPCStatusCode

from gateway.journeys.listing import newest, quoted
from runtime.store import AdmissionRequest, Store
from tests.gateway.search import NOW, Execution, Temporal, client


async def test_search_tells_the_state_of_those_under_way_a_few_at_a_time(store: Store) -> None:
    for number in range(60):
        run = AdmissionRequest("a", 3, str(number), None, f"a/{number}", "r1", "always", NOW, "order")
        await store.admit(run)
    temporal = Temporal([Execution("a/7", state="paused")])
    listed = await newest(client(temporal), store, scenario="a", contact=None, limit=100)
    assert len(listed) == 60
    assert {item.id for item in listed if item.state == "paused"} == {"a/7"}
    assert {item.state for item in listed if item.id != "a/7"} == {"running"}
    assert len(temporal.queries) == 2
    assert all(query.count("'a/") <= 50 for query in temporal.queries)


@pytest.mark.parametrize(("status", "passes"), [(RPCStatusCode.UNIMPLEMENTED, True), (RPCStatusCode.INTERNAL, False)])
async def test_a_server_without_search_still_can_be_looked_at(
    store: Store, status: RPCStatusCode, passes: bool
) -> None:
    await store.admit(AdmissionRequest("a", 3, "7", None, "a/7", "r1", "always", NOW, "order"))
    temporal = Temporal([], error=RPCError("no", status, b""))
    if passes:
        (listed,) = await newest(client(temporal), store, scenario=None, contact=None, limit=10)
        assert listed.state == "running"
    else:
        with pytest.raises(RPCError):
            await newest(client(temporal), store, scenario=None, contact=None, limit=10)


@pytest.mark.parametrize(
    ("text", "literal"), [("a", "'a'"), ("o'neil", r"'o\'neil'"), ("a\\", r"'a\\'"), ("x' OR 'y", r"'x\' OR \'y'")]
)
def test_no_id_can_change_a_query(text: str, literal: str) -> None:
    assert quoted(text) == literal
