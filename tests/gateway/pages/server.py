"""A client for the tests of pages."""

from __future__ import annotations

from typing import Any

from gateway.client import ScenarioClient
from gateway.errors import NotAccepted, UnknownContact, UnknownJourney
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
        self.services.operations.journeys.send = self._noted
        self.services.journeys._snapshot = self._snapshot  # pyright: ignore[reportPrivateUsage]
        self.services.journeys._why = self._why  # pyright: ignore[reportPrivateUsage]

    async def _snapshot(self, journey: str, run_id: str | None = None) -> JourneySnapshot:
        del run_id
        if journey not in self.views:
            raise UnknownJourney(f"there is no journey '{journey}': list the journeys to find its id")
        return self.views[journey]

    async def _why(self, contact: str, scenario: str | None = None, *, limit: int = 20, **_: Any) -> WhyView:
        if contact not in self.contacts:
            raise UnknownContact(f"nothing is on record of a contact '{contact}': it has never asked to come in")
        known = self.contacts[contact]
        entries = [one for one in known.entries if scenario in (None, one.scenario.partition("@")[0])]
        if not entries:
            raise UnknownContact(f"contact {contact} has asked for nothing in {scenario}")
        return known.model_copy(update={"entries": entries[:limit]})

    async def _noted(self, journey: str, operation: str, update_id: str | None = None, **given: Any) -> dict[str, Any]:
        del update_id
        if self.refusal:
            raise NotAccepted(journey, self.refusal)
        self.operated.append((journey, operation, {key: value for key, value in given.items() if value is not None}))
        return {}
