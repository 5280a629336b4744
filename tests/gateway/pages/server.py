"""A client for the tests of pages."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gateway.client import ScenarioClient
from gateway.errors import NotAccepted, NotFound
from gateway.journeys.snapshot import JourneySnapshot
from gateway.why.why import WhyView


class Looking(ScenarioClient):
    """A client with journeys and contacts of the test's own, which notes what operators do."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.views: dict[str, JourneySnapshot] = {}
        self.contacts: dict[str, WhyView] = {}
        self.operated: list[tuple[str, str, dict[str, Any]]] = []
        self.refusal = ""
        self.asked: dict[str, Any] = {}
        self.services.operations.journeys.send = self._noted
        self.services.journeys._snapshot = self._snapshot  # pyright: ignore[reportPrivateUsage]
        self.services.journeys._why = self._why  # pyright: ignore[reportPrivateUsage]

    async def _snapshot(self, journey: str, run_id: str | None = None) -> JourneySnapshot:
        del run_id
        if journey not in self.views:
            raise NotFound(f"there is no journey '{journey}': list the journeys to find its id")
        return self.views[journey]

    async def _why(self, contact: str, scenarios: Collection[str | None], **asked: Any) -> WhyView:
        self.asked = asked
        if contact not in self.contacts:
            raise NotFound(f"nothing is on record of a contact '{contact}': it has never entered")
        known, page = self.contacts[contact], asked["page"]
        entries = [one for one in known.entries if {None, one.scenario.partition("@")[0]} & {*scenarios}]
        if not entries:
            raise NotFound(f"contact {contact} has no entries in {scenarios}")
        return known.model_copy(update={"entries": entries[: page.limit]})

    async def _noted(self, journey: str, operation: str, update_id: str | None = None, **given: Any) -> dict[str, Any]:
        del update_id
        if self.refusal:
            raise NotAccepted(journey, self.refusal)
        self.operated.append((journey, operation, {key: value for key, value in given.items() if value is not None}))
        return {}
