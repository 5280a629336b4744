"""Use cases that render templates: check, preview and publish scenarios, and show what a delivery sent.

The bytes of a delivery are personal data, so they require the scope `content`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import WithJsonSchema

from activities.interface import Delivery
from authoring.errors import BadInput, CheckFailed
from authoring.publishing import (
    EarlierVersion,
    Journeys,
    Publication,
    difference_since,
    publish_checked,
    running_before,
)
from runtime.store import Attempt, Store
from scenario.model.scenario import Scenario, concise, digest, load, written
from scenario.plan.migration import VersionDifference
from scenario.source.findings import Finding
from service.authoring_process import Authoring
from service.caller import Caller
from service.client import ScenarioClient
from service.errors import BadCombination, NotFound, UnknownScenario
from service.index import JourneyFilter
from service.journeys.rendered import NOTE, scheduled, submitted_entry
from service.view import PageRequest, View


@dataclass(frozen=True)
class NextVersion:
    """A checked scenario, compared with the newest published version."""

    findings: tuple[Finding, ...]
    scenario: Scenario | None = None  # the scenario, or None if a finding is an error
    newest: int | None = None  # the number of the newest version, or None if there is none
    difference: VersionDifference | None = None  # the differences from it, or None if it cannot be read
    journeys: str = "pin"  # whether journeys of the newest version stay with it or follow newer ones
    under_way: tuple[EarlierVersion, ...] = ()  # published versions with running journeys
    identity: str = ""  # differs if the content or the newest version does


class AuthoringService:
    """Use cases of authors, by processes that check and preview scenarios.

    `files` are texts of referenced files, by path. All raise Forbidden if the caller may not use the scenario, Busy if
    too many requests are waiting, and BadInput if one takes too much time or memory.
    """

    def __init__(self, store: Store, authoring: Authoring) -> None:
        self._store, self._authoring = store, authoring

    async def check(
        self, caller: Caller, source: str, files: Mapping[str, str], name: str = ""
    ) -> tuple[dict[str, Any] | None, list[Finding]]:
        """Check a scenario. Return its document, or None if a finding is an error, and all findings."""
        request = {"do": "check", "source": source, "files": dict(files), "name": name}
        checked = json.loads(await self._authoring.ask(caller.id, request))
        return checked["document"], [Finding(**one) for one in checked["findings"]]

    async def preview(self, caller: Caller, request: Mapping[str, Any], scenario: str | None = None) -> bytes:
        """Return the messages that a scenario would send to a contact, as JSON.

        Raise UnknownScenario if it is not published, and BadInput if the entry does not fit it.

        Args:
            request: Entry and circumstances, and the scenario unless it is published; see `service.authoring_process`.
            scenario: The published scenario, with or without a version.
        """
        published = {} if scenario is None else await self.published(caller, scenario)
        wanted = {"do": "preview", **request, **published, "scenarios": caller.scenarios}
        return await self._authoring.ask(caller.id, wanted)

    async def sample(self, caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"entry", "findings"}``: an entry that fits a scenario, or None. Raises as `preview`."""
        wanted = {"do": "sample", **request, "scenarios": caller.scenarios}
        return json.loads(await self._authoring.ask(caller.id, wanted))

    async def render_again(self, caller: Caller, delivery: Delivery, journey: str) -> dict[str, Any]:
        """Return what a recorded delivery sent, as `authoring.preview.rendering.described`."""
        stored = await self._store.version(delivery.name, delivery.version)
        if stored is None:
            return {"error": f"{delivery.scenario} is no longer in the store"}
        request = {"do": "render", "document": stored.document, "delivery": asdict(delivery), "journey": journey}
        return json.loads(await self._authoring.ask(caller.id, request))

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
        """Check a scenario and store it as its next version; see `authoring.publishing.publish_checked`.

        Raise CheckFailed, and store nothing, if it has errors, and BadCombination if it has another name.
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
        """Return a published scenario (`sale` or `sale@3`) for a preview, or raise UnknownScenario."""
        name, _, number = scenario.partition("@")
        caller.check(name)
        stored = await self._store.version(name, int(number) if number else None)
        if stored is None:
            what = f"{name}@{number}" if number else f"scenario '{name}'"
            raise UnknownScenario(f"{what} is not published: GET /v1/scenarios lists those that are")
        return {"version": f"{name}@{stored.version}", "document": stored.document, "plan": stored.plan}


logger = logging.getLogger("gateway")

_MESSAGE = WithJsonSchema({"type": "object", "additionalProperties": True})


class ContentView(View):
    """The messages of a delivery: one, or several if an operator retried it with other data or another version."""

    delivery_id: str
    """Delivery id."""
    journey: str
    """Journey id."""
    note: str = NOTE
    """Differences that the messages may have from those sent."""
    messages: list[Annotated[dict[str, Any], _MESSAGE]]
    """Messages, oldest first: `scenario`, `scheduled_at`, `now`, and `request` (webhooks) or `message` (e-mails, SMS)
    as in a preview, `skipped` or `error`."""


class ContentService:
    """Renders the messages of a delivery again. They are neither stored nor logged.

    All raise Forbidden if the caller lacks the scope `content`.
    """

    def __init__(self, client: ScenarioClient, authoring: AuthoringService) -> None:
        self._client, self._authoring = client, authoring

    async def show(self, caller: Caller, delivery: str) -> ContentView:
        """Render the messages of a delivery again. The request is logged, without their content.

        Raise NotFound if no attempt of it is recorded or the caller may not use its scenario, and BadInput if the
        message is not kept or cannot be rendered.
        """
        caller.require("content")
        attempts = await self._client.store.deliveries(delivery_id=delivery, scenarios=caller.scenarios)
        if not attempts:
            raise NotFound(f"no attempt of a delivery '{delivery}' is recorded")
        last = attempts[-1]
        logger.info(
            "key %s looks at what %s sent, of %s, step %s", caller.id, last.delivery_id, last.scenario, last.step
        )
        inputs = [] if last.test_by else await scheduled(self._client.temporal, attempts)
        if not inputs:
            raise BadInput(await self._missing(last))
        messages = [
            {
                "scenario": one.scenario,
                "scheduled_at": at.isoformat(),
                "now": one.now,
                **await self._authoring.render_again(caller, one, last.workflow_id),
            }
            for one, at in inputs
        ]
        return ContentView(delivery_id=last.delivery_id, journey=last.workflow_id, messages=messages)

    async def entry(self, caller: Caller, scenario: str, whom: str) -> dict[str, Any]:
        """Return an entry with the data of a journey, or of a contact's newest journey of a scenario, or else of any.

        `whom` is the id of a journey or a contact. The look is logged, without its content. Raise NotFound if there is
        no journey that the caller may use, and BadInput if its entry is not kept, or cannot be read.
        """
        caller.require("content")
        journeys = self._client.services.journeys
        journey = whom if await journeys.has(caller, whom) else None
        for name in (scenario, *(caller.scenarios or (None,))):
            if journey is None and caller.may_use(name):
                found = await journeys.list(caller, JourneyFilter(scenario=name, contact=whom), None, PageRequest(1))
                journey = found.items[0].id if found.items else None
        if journey is None:
            raise NotFound(f"no journey is on record of a contact '{whom}', and none has this id")
        logger.info("%s looks at the entry of %s", caller.name, journey)
        entry = await submitted_entry(self._client.temporal, journey)
        if entry is None:
            raise BadInput(f"Temporal has deleted the history of {journey}, and with it the entry")
        caller.check(str(entry.get("scenario", "")).partition("@")[0])
        return entry

    async def _missing(self, attempt: Attempt) -> str:
        if attempt.test_by:
            return "the content of a test message is not kept"
        if attempt.workflow_id.startswith("batch-"):
            return "the body of a batch call is not kept: its journeys show which contacts were in it"
        entry = await self._client.store.entry(attempt.workflow_id)
        if entry is not None and entry.is_inline:
            return f"the campaign {entry.key} has sent this message without a workflow, so its content is not kept"
        return "Temporal has deleted the history of this journey, and with it the message"
