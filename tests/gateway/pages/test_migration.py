"""The page that moves journeys to another version."""

from __future__ import annotations

from tests.factories import admission_request
from tests.gateway.pages.conftest import Site
from tests.gateway.search import Search
from tests.gateway.service.test_stats import SALE, publish

NEXT = SALE.replace("- wait: 2d", "- wait: 3d\n    id: pause").replace("subject: Hi", "subject: Hello")


async def test_journeys_are_moved_after_a_look_at_who_can_move(site: Site, temporal: Search):
    await publish(site.store)
    await publish(site.store, NEXT)
    for name, state, step in (("a", "waiting", "wait-2"), ("b", "held", "hook"), ("c", "held", "hook"), ("d", "", "")):
        await site.store.admit(admission_request(name, "sale", workflow_id=f"sale/{name}", version=1))
        if state:
            known = {"ScenarioName": "sale", "ScenarioVersion": "sale@1", "JourneyState": state, "StepId": step}
            temporal.add(f"sale/{name}", **known)
    name = await site.sign_in()
    shown = await site.get("/scenarios/sale?done=publish")
    assert shown.text("[role=status]").endswith("4 journeys run in earlier versions: move them .")
    look = await site.get("/scenarios/sale/move")
    assert look.texts(".facts div") == ["Running 4", "Can move 3", "Cannot move 1"]
    assert look.rows("Journeys of version 1") == [
        ["wait-2", "waiting", "1", "no", "is gone: map it, for example to pause"],
        ["hook", "held", "2", "yes", "stays"],
        ["between steps", "", "1", "yes", "each journey decides"],
    ]
    assert look.texts("#map-wait-2 option") == ["(they stay in their version)", "pause"]
    form = {"to": "2", "map-wait-2": "pause", "waits": "restart", "rate": "50"}
    again = await site.send("/scenarios/sale/move", {**form, "reason": ""}, status=422)
    assert again.values("option[selected]", "value") == ["pause", "restart"]
    await site.send("/scenarios/sale/move", {**form, "reason": "a better text"})
    (begun,) = await site.store.stored_operations()
    assert (begun.verb, begun.operator, begun.reason) == ("migrate", f"key {name}", "a better text")
    assert begun.request["which"] == {"scenario": "sale"}
    assert begun.request["more"] == {"version": 2, "map": {"wait-2": "pause"}, "waits": "restart"}
