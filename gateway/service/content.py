"""Use case that shows the bytes of a delivery. They are personal data, so it requires the scope `content`."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from pydantic import WithJsonSchema

from gateway.client import ScenarioClient
from gateway.errors import BadInput, NotFound
from gateway.journeys.rendered import NOTE, scheduled, submitted_entry
from gateway.service.authoring import AuthoringService
from gateway.service.caller import Caller
from gateway.service.index import JourneyFilter
from gateway.service.paging import PageRequest
from gateway.service.view import View
from runtime.store import Attempt

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

        Raises:
            NotFound: No attempt of it is recorded, or the caller may not use its scenario.
            BadInput: The message is not kept, or cannot be rendered: see `AuthoringService`.
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

        The look is logged, without its content.

        Args:
            whom: The id of a journey or a contact.

        Raises:
            NotFound: There is no journey of this contact that the caller may use.
            BadInput: The entry is not kept, or cannot be read.
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
