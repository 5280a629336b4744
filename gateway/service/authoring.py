"""Use cases of authors: check, preview and publish scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from activities.interface import Delivery
from gateway.authoring.process import Authoring
from gateway.errors import BadCombination, CheckFailed, UnknownScenario
from gateway.publishing import EarlierVersion, Journeys, Publication, difference_since, publish_checked, running_before
from gateway.service.caller import Caller
from runtime.store import Store
from scenario.model.document import concise, digest, load, written
from scenario.model.scenario import Scenario
from scenario.plan.difference import VersionDifference
from scenario.source.findings import Finding


@dataclass(frozen=True)
class NextVersion:
    """A checked scenario, compared with the newest published version."""

    findings: tuple[Finding, ...]
    scenario: Scenario | None = None
    """The scenario, or None if a finding is an error."""
    newest: int | None = None
    """The number of the newest version, or None if there is none."""
    difference: VersionDifference | None = None
    """The differences from it, or None if it cannot be read."""
    journeys: str = "pin"
    """Whether journeys of the newest version stay with it or follow newer ones."""
    under_way: tuple[EarlierVersion, ...] = ()
    """Published versions with running journeys."""
    identity: str = ""
    """Differs if the content or the newest version does."""


class AuthoringService:
    """Use cases of authors.

    All raise Forbidden if the caller may not use the scenario, Busy if too many requests are waiting, and BadInput if
    one takes too much time or memory. `files` are texts of referenced files, by path.

    Args:
        authoring: The processes that check and preview scenarios.
    """

    def __init__(self, store: Store, authoring: Authoring) -> None:
        self._store, self._authoring = store, authoring

    async def check(
        self, caller: Caller, source: str, files: Mapping[str, str], name: str = ""
    ) -> tuple[dict[str, Any] | None, list[Finding]]:
        """Check a scenario. Return its document, or None if a finding is an error, and all findings."""
        checked = await self._authoring.check(caller.id, source, files, name)
        return checked["document"], [Finding(**one) for one in checked["findings"]]

    async def preview(self, caller: Caller, request: Mapping[str, Any], scenario: str | None = None) -> bytes:
        """Return the messages that a scenario would send to a contact, as JSON.

        Args:
            request: Entry and circumstances, and the scenario unless it is published; see `gateway.authoring.work`.
            scenario: The published scenario, with or without a version.

        Raises:
            UnknownScenario: It is not published.
            BadInput: The entry does not fit the scenario; MistakenEntry if it is wrong.
        """
        published = {} if scenario is None else await self.published(caller, scenario)
        return await self._authoring.preview(caller.id, {**request, **published, "scenarios": caller.scenarios})

    async def sample(self, caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"entry", "findings"}``: an entry that fits a scenario, or None. Raises as `preview`."""
        return await self._authoring.sample(caller.id, {**request, "scenarios": caller.scenarios})

    async def render_again(self, caller: Caller, delivery: Delivery, journey: str) -> dict[str, Any]:
        """Return what a recorded delivery sent, as `gateway.preview.rendering.described`."""
        stored = await self._store.version(delivery.name, delivery.version)
        if stored is None:
            return {"error": f"{delivery.scenario} is no longer in the store"}
        request = {"document": stored.document, "delivery": asdict(delivery), "journey": journey}
        return await self._authoring.render_again(caller.id, request)

    async def publish(
        self,
        caller: Caller,
        name: str,
        source: str,
        files: Mapping[str, str],
        *,
        newest: bool = False,
        journeys: Journeys | None = None,
    ) -> Publication:
        """Check a scenario and store it as its next version; see `gateway.publishing.publish_checked`.

        Raises:
            CheckFailed: It has errors. Nothing is stored.
            BadCombination: It has another name.
        """
        caller.check(name)
        file = f"{name}.yaml"
        document, findings = await self.check(caller, source, files, file)
        if document is None:
            raise CheckFailed(file, findings)
        made = load(document)
        if made.scenario != name:
            text = f"the file is the scenario '{made.scenario}': put it to /v1/scenarios/{made.scenario}"
            raise BadCombination("path:name", text, code="name")
        return await publish_checked(made, self._store, caller.name, tuple(findings), newest=newest, journeys=journeys)

    async def source(self, caller: Caller, version: str) -> str:
        """Return a published scenario as a file, with the texts of other files in it."""
        return written(concise((await self.published(caller, version))["document"]))

    async def next_version(self, caller: Caller, source: str, files: Mapping[str, str]) -> NextVersion:
        """Check a scenario and compare it with the newest version, without publishing it."""
        content, findings = await self.check(caller, source, files)
        if content is None:
            return NextVersion(tuple(findings))
        made = load(content)
        caller.check(made.scenario)
        stored = await self._store.version(made.scenario)
        newest = stored.version if stored else 0
        return NextVersion(
            findings=tuple(findings),
            scenario=made,
            newest=newest or None,
            difference=await difference_since(self._store, newest, made) if newest else None,
            journeys=stored.journeys if stored else "pin",
            under_way=await running_before(self._store, made.scenario, newest + 1),
            identity=f"{newest}-{digest(content)}",
        )

    async def publish_next(self, caller: Caller, made: NextVersion, journeys: Journeys) -> Publication:
        """Make a checked scenario the newest version, perhaps again: a rollback. Raise CheckFailed if it has errors."""
        if made.scenario is None:
            raise CheckFailed("scenario.yaml", made.findings)
        return await publish_checked(
            made.scenario, self._store, caller.name, made.findings, newest=True, journeys=journeys
        )

    async def published(self, caller: Caller, scenario: str) -> dict[str, Any]:
        """Return a published scenario (`sale` or `sale@3`) for `gateway.authoring.work`, or raise UnknownScenario."""
        name, _, number = scenario.partition("@")
        caller.check(name)
        stored = await self._store.version(name, int(number) if number else None)
        if stored is None:
            what = f"{name}@{number}" if number else f"scenario '{name}'"
            raise UnknownScenario(f"{what} is not published: GET /v1/scenarios lists those that are")
        return {"version": f"{name}@{stored.version}", "document": stored.document, "plan": stored.plan}
