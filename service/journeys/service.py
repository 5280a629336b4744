"""Use cases that read journeys, their deliveries, and what scenarios achieve."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from temporalio.client import Client
from temporalio.service import RPCError

from activities.content import Content
from authoring.preview.rendering import MessageRenderer
from runtime.encryption.keyring import Erased
from runtime.store import Attempt, Store
from runtime.temporal_faults import is_unknown_token
from runtime.watched_file import read_policies
from scenario.words import ENDED
from service import stats
from service.caller import Caller
from service.concurrency import CoalescingCache
from service.errors import BadCombination, BadCursor, NotFound, UnknownScenario
from service.index import JourneyFilter
from service.journeys import snapshot
from service.journeys.rendered import RenderedDelivery, rendered
from service.journeys.snapshot import JourneySnapshot
from service.journeys.view import AttemptView
from service.listing import JourneyLists, JourneySort, JourneySummary
from service.results import ResultsView, results
from service.scenarios import require_for
from service.stats import DAYS, StatsView, TrendsView
from service.view import Moment, Ordinal, PageRequest, PageView, encode_cursor
from service.why.why import Question, WhyView, why

# The place of a page of search. Without the word, ids of other lists would be tokens: Temporal takes seconds to refuse.
_Searched = tuple[Literal["search"], Annotated[bytes, BeforeValidator(bytes.fromhex)]]


class JourneyService:
    """Use cases that read journeys. `lists` are lists of journeys, without a check of access.

    All raise Forbidden if the caller may not use the scenario, but `has` and `attempts`, which leave it out. Those
    about one scenario raise UnknownScenario if it, or the version, does not exist.
    """

    def __init__(self, temporal: Client, store: Store, content: Content, policies: Path | None = None) -> None:
        self._temporal, self._store, self._content, self._policies = temporal, store, content, policies
        self.lists = JourneyLists(temporal, store)
        self._stats = CoalescingCache(self._count, stats.TTL, max_stale=stats.MAX_STALE)
        self._trends = CoalescingCache[tuple[str, int | None, int], TrendsView](
            lambda asked: stats.trends(store, content, *asked), stats.TRENDS_TTL
        )
        self.caches = self._stats, self._trends

    async def list(
        self,
        caller: Caller,
        wanted: JourneyFilter,
        state: str | None,
        page: PageRequest,
        *,
        running: bool | None = None,
        until: datetime | None = None,
        sort: JourneySort = "-started",
    ) -> PageView[JourneySummary]:
        """List journeys. Raise BadCombination if some filters exclude each other.

        Args:
            running: True for running journeys only, whatever their state.
            until: Only those admitted before this time, as `since` of the filter; held journeys: held before it.
            sort: The order. By the end: journeys that have ended, and `since` and `until` are about the end.
        """
        caller.check(wanted.scenario)
        is_retrying = state == "retrying" and wanted.reason is None
        is_held = state == "held" or wanted.reason is not None or (wanted.destination is not None and not is_retrying)
        is_searched = is_held or wanted.step is not None or (state is not None and state not in ENDED)
        if is_searched and sort != "-started":
            text = "running journeys in a state or at a step are listed by their start, newest first: choose this order"
            raise BadCombination("sort", text)
        if running and sort.endswith("ended"):
            raise BadCombination("sort", "journeys in progress have no end: sort them by their start")
        if is_held:
            if state not in (None, "held"):
                text = "'reason' is for held journeys, 'destination' also for retrying ones: leave 'state' out"
                raise BadCombination("state", text)
            return await self._searched(wanted, page, "held", until)
        if wanted.step is not None and state in ENDED:
            raise BadCombination("step", "leave the step or the state out: only running journeys are at a step")
        if is_searched:
            return await self._searched(wanted, page, state, until)
        place = page.place(tuple[str, str])
        after = await self._store.entry(*place) if place else None
        if place and after is None:
            raise BadCursor
        found = await self.lists.newest(
            wanted, state=state, running=running, until=until, sort=sort, after=after, limit=page.limit + 1
        )
        items, following = page.split(found, lambda one: (one.id, one.run_id))
        return PageView(items=[*items], next=following)

    async def _searched(
        self, wanted: JourneyFilter, page: PageRequest, state: str | None, until: datetime | None
    ) -> PageView[JourneySummary]:
        async def search(after: bytes | None) -> tuple[list[JourneySummary], bytes | None]:
            if state == "held":
                return await self.lists.held_page(wanted, size=page.limit, after=after)
            return await self.lists.running_page(wanted, state=state, size=page.limit, after=after)

        def fits(item: JourneySummary) -> bool:
            at = item.since if state == "held" else item.entered_at
            return (
                state in (None, item.state)
                and (wanted.since is None or (at is not None and at >= wanted.since))
                and (until is None or (at is not None and at < until))
            )

        place = page.place(_Searched)
        try:
            found, following = await search(place[1] if place else None)
        except RPCError as error:
            if place is None or not is_unknown_token(error):
                raise
            await search(None)  # if this fails as well, the fault is the server's
            raise BadCursor from None
        items = [item for item in found if fits(item)]
        return PageView(items=items, next=encode_cursor(("search", following.hex())) if following else None)

    async def show(self, caller: Caller, journey: str, run_id: str | None = None) -> JourneySnapshot:
        """Return what Temporal, the journey and the store know of a journey. `JourneyView.of` shows it.

        By default, its run is the running one, or else the one that was admitted last. Raise NotFound if it is unknown.
        """
        if not caller.may_use(journey.partition("/")[0]):  # the id of a batch does not begin with its scenario
            batch = await self._store.stored_batch(journey)
            caller.check_journey(journey, batch and batch.scenario)
        try:
            seen = await snapshot.read(self._temporal, self._store, journey, run_id)
        except Erased as error:  # Temporal has not deleted its history yet
            raise NotFound(f"the journey {journey} cannot be read: {error}") from None
        followed = seen.entry.scenario if seen.entry else (seen.progress or {}).get("scenario", "").partition("@")[0]
        caller.check_journey(journey, followed or None)
        return seen

    async def has(self, caller: Caller, journey: str) -> bool:
        """Return True if there is an admitted journey that the caller may read."""
        entry = await self._store.entry(journey)
        return entry is not None and caller.may_use(entry.scenario)

    async def deliveries(
        self, caller: Caller, page: PageRequest, *, scenario: str | None = None, **wanted: Any
    ) -> PageView[AttemptView]:
        """List attempts of deliveries, the newest first. `wanted` are filters of `Store.deliveries`."""
        after = page.place(tuple[Moment, Ordinal, str])
        found = await self.attempts(caller, scenario=scenario, after=after, limit=page.limit + 1, **wanted)
        items, following = page.split(found, lambda one: (one.started_at, one.attempt, one.delivery_id))
        return PageView(items=[*items], next=following)

    async def attempts(self, caller: Caller, **wanted: Any) -> list[AttemptView]:
        """Return attempts, the newest first, of the scenarios that the caller may use."""
        return (await recorded_attempts(self._store, caller, **wanted))[::-1]

    async def rendered(
        self, caller: Caller, journey: str, step: str, renderer: MessageRenderer
    ) -> list[RenderedDelivery]:
        """Render a step's messages again, one for each time that the journey reached it.

        Raise NotFound if there is no such journey, and BadInput if the step sent nothing, or its data is deleted.
        """
        snapshot = await self.show(caller, journey)
        return await rendered(self._temporal, self._store, snapshot, step, renderer)

    async def stats(self, caller: Caller, scenario: str, version: int | None = None) -> StatsView:
        """Count the journeys of a scenario by step. Counts are cached for some seconds: see `StatsView.as_of`.

        Without a version: the newest, and those that journeys use or completed a step of within the last day.
        """
        await self._require(caller, scenario, version)
        return await self._stats.get((scenario, version))

    async def _count(self, asked: tuple[str, int | None]) -> StatsView:
        return await stats.stats(self._temporal, self._store, self._content, *asked, before=self._stats.peek(asked))

    async def trends(self, caller: Caller, scenario: str, version: int | None = None, days: int = DAYS) -> TrendsView:
        """Count the people and the attempts of a scenario's steps by day, up to 90."""
        await self._require(caller, scenario, version)
        return await self._trends.get((scenario, version, days))

    async def results(
        self, caller: Caller, scenario: str, version: int | None = None, since: datetime | None = None
    ) -> ResultsView:
        await self._require(caller, scenario, version)
        return await results(self._store, scenario, datetime.now(UTC), version=version, since=since)

    async def _require(self, caller: Caller, scenario: str, version: int | None) -> None:
        newest = await require_for(self._store, caller, scenario)
        if version is not None and await self._store.version(scenario, version) is None:
            raise UnknownScenario(f"{scenario} has no version {version}: the newest is {newest}")

    async def why(
        self,
        caller: Caller,
        contact: str,
        scenario: str | None = None,
        *,
        step: str | None = None,
        since: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> WhyView:
        """Explain, from records, why a contact did, or did not, get something; of a given step, its message first.

        Raises:
            NotFound: There are no entries.
            BadInput: None of its scenarios has the step, or the cursor is not one of this list.
            UnusableFile: `policies.yaml` cannot be used.
        """
        caller.check(scenario)
        question = Question(step) if step is not None else None
        return await self._why(caller, contact, (scenario,), PageRequest(limit, cursor), since=since, question=question)

    async def _why(
        self, caller: Caller, contact: str, scenarios: Collection[str | None], page: PageRequest, **wanted: Any
    ) -> WhyView:
        policies = read_policies(self._policies) if self._policies else None
        found = await why(self._temporal, self._store, contact, scenarios, page=page, policies=policies, **wanted)
        # The places under caps count deliveries of all scenarios.
        return found if caller.scenarios is None else found.model_copy(update={"caps": None})

    async def contact(
        self,
        caller: Caller,
        contact: str,
        page: PageRequest,
        *,
        since: datetime | None = None,
        question: Question | None = None,
    ) -> WhyView:
        """Explain a contact's entries to all scenarios that the caller may use.

        Each scenario of a limited key is read alone, so that entries to other scenarios neither use up the limit nor
        are revealed. Raises as `why`.
        """
        scenarios = (None,) if caller.scenarios is None else caller.scenarios
        try:
            return await self._why(caller, contact, scenarios, page, since=since, question=question)
        except NotFound:
            if caller.scenarios is None:
                raise
            raise NotFound(f"nothing is on record of a contact '{contact}' in the scenarios of your key") from None


async def recorded_attempts(store: Store, caller: Caller, **wanted: Any) -> list[AttemptView]:
    """Return attempts, the newest last, of the scenarios that the caller may use.

    `wanted` are filters of `Store.deliveries`.
    """
    found = await store.deliveries(scenarios=caller.scenarios, **wanted)
    return [AttemptView.model_validate(one) for one in await with_next_tries(store, found)]


async def with_next_tries(store: Store, found: Sequence[Attempt]) -> list[Attempt]:
    """Return attempts, oldest first, with the time of the next one only if it is still to come.

    It is not if the journey has ended, or made a later attempt of this delivery or of a later step's.
    """
    running = await store.find_running({item.workflow_id for item in found if item.next_try_at})
    latest = {item.workflow_id: item for item in found}
    return [
        item
        if item is latest[item.workflow_id]
        and (entry := running.get(item.workflow_id)) is not None
        # A contact that has left may have entered again under the same id.
        and entry.admitted_at <= item.started_at
        else replace(item, next_try_at=None)
        for item in found
    ]
