"""Admission and departure of journeys, as local activities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest

from activities.background import IDENTIFY, EntryIdentity, IdentityRequest
from activities.content import Content, LoadedVersion, UnknownVersion
from activities.decision import count
from activities.interface import ADMIT, COUNT, DEPART, Admission, AdmissionResult, CompletedSteps, Departure
from activities.passages import count_steps
from runtime import store as stored
from runtime.data_converter import is_ours
from runtime.store.erasures import ERASED
from runtime.telemetry.metrics import ADMISSION, OTHER
from scenario.entry.admission import (
    EntryMistaken,
    EntryRefused,
    branches,
    check_identity,
    check_rules,
    check_trigger,
    entry_data,
    identity,
    key_of,
    withheld,
)
from scenario.entry.entry import LARGEST, Entry, is_too_large, parse_entry
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError, ScenarioError
from scenario.plan.plan import LARGEST_PLAN, load_plan, shorten
from scenario.policies.draw import Holdout, Lot
from scenario.source.findings import closest
from scenario.time import parse_duration, spell

_RPC: Final = timedelta(seconds=5)
_PLAIN: Final = (
    "its entry is stored in plain text in Temporal, which SCENARIO_PLAIN_ENTRIES forbids: enter contacts by the HTTP "
    "API or the Python client"
)


class AdmissionActivities:
    """Admits contacts to scenarios, and records their departure.

    Args:
        platform: How the platform writes dates; kept by the journeys that are admitted.
        refuses_plain: True if entries that reached Temporal in plain text are refused.
    """

    def __init__(
        self,
        content: Content,
        store: stored.Store,
        platform: PlatformDates,
        holdout: Callable[[], Holdout | None] = lambda: None,
        *,
        refuses_plain: bool = False,
    ) -> None:
        self._content, self._store, self._platform, self._holdout = content, store, platform, holdout
        self._refuses_plain = refuses_plain
        self._lots: dict[tuple[str, int], Mapping[str, Lot]] = {}
        self._names: set[str] = set()  # of scenarios that there are: an entry may name any

    @activity.defn(name=ADMIT.name)
    async def admit(self, admission: Admission) -> AdmissionResult:
        """Admit a contact, or refuse it with a reason. Idempotent."""
        name = str(admission.entry.get("scenario")).partition("@")[0]
        try:
            return await self._admit(admission)
        except (EntryRefused, EntryError) as error:
            word = self.count_refusal(name, error)
            await self._report_refusal(admission, str(error), word)
            return AdmissionResult(refused=str(error))

    def count_refusal(self, scenario: str, error: EntryRefused | EntryError) -> str:
        """Count a contact that is not admitted. Return the reason as a word."""
        word = error.word if isinstance(error, EntryRefused) else "mistaken"
        ADMISSION.add(scenario if scenario in self._names else OTHER, "refused", word)
        return word

    async def _report_refusal(self, admission: Admission, reason: str, word: str) -> None:
        """Record a refusal: in the campaign that started the journey, or as an event.

        The entry's key names the campaign. Its recorded line becomes an event as well.
        """
        try:
            entry = parse_entry(admission.entry)
        except EntryError:
            return  # no campaign starts such an entry, and it may not name a contact
        now, journey = datetime.fromisoformat(admission.now), admission.workflow_id
        is_recorded = entry.key is not None and await self._store.refuse_campaign_entry(
            entry.key, entry.contact_id, journey, reason, now
        )
        if not is_recorded and word != "erased":
            await self._store.report_event(
                "journey.refused",
                admission.run_id.replace("-", ""),  # whatever is repeated
                now,
                subject=journey,
                scenario=entry.name,
                contact_id=entry.contact_id,
                data={"reason": word},
            )

    @activity.defn(name=IDENTIFY.name)
    async def identify(self, request: IdentityRequest) -> EntryIdentity:
        """Return the id of the journey that an entry starts."""
        try:
            entry = parse_entry(request.entry)
            if await self._store.is_erased(entry.contact_id):  # another worker could not read the new journey
                return EntryIdentity(refused=ERASED)
            await self._check_argument()
            opened = await open_for(entry, self._content, self._store)
            now = datetime.fromisoformat(request.now)
            identifier, summary = identity(entry, opened.scenario, opened.version, self._platform, now)
        except (EntryRefused, EntryError) as error:
            return EntryIdentity(refused=str(error))
        return EntryIdentity(
            workflow_id=identifier,
            summary=summary,
            joins=opened.scenario.entry.again == "always",
            purpose=opened.scenario.purpose,
        )

    @activity.defn(name=DEPART.name)
    async def depart(self, departure: Departure) -> None:
        """Record that a journey has ended, the steps it completed, and its goal if its last events reach it.

        The journey may report again, and otherwise: Temporal refuses the workflow task that closes a journey if an
        event arrives meanwhile. The latest report counts.
        """
        if departure.delivery:
            await self._store.release(departure.delivery)
            await self._store.withdraw_batch_item(departure.delivery)
        if departure.withdraws_since:
            since = datetime.fromisoformat(departure.withdraws_since)
            for withdrawn in await self._store.withdraw_batch_items(departure.workflow_id, since):
                await self._store.release(withdrawn)
        if departure.arrived:
            await self._store.keep(departure.arrived)
        if departure.events and (entry := await self._store.entry(departure.workflow_id, departure.run_id)):
            for event in departure.events:
                if (await count(self._store, self._content, entry, event)).reached:
                    break
        if departure.passed:
            await self.count(
                CompletedSteps(
                    workflow_id=departure.workflow_id,
                    run_id=departure.run_id,
                    first=departure.first,
                    passed=departure.passed,
                    revisable=departure.revisable,
                    now=departure.now,
                )
            )
        await self._store.depart(
            departure.workflow_id,
            departure.run_id,
            departure.outcome,
            departure.reason or None,
            datetime.fromisoformat(departure.now),
        )

    @activity.defn(name=COUNT.name)
    async def count(self, steps: CompletedSteps) -> None:
        """Count the steps that a journey has completed. Idempotent."""
        await count_steps(self._store, steps)

    async def _check_argument(self) -> None:
        """Raise EntryRefused if the workflow of this activity was started with plain text, which is to be refused."""
        if not self._refuses_plain:
            return
        client, info = activity.client(), activity.info()
        run = WorkflowExecution(workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or "")
        # The workflow itself sees its argument decoded.
        request = GetWorkflowExecutionHistoryRequest(namespace=client.namespace, execution=run, maximum_page_size=1)
        found = await client.workflow_service.get_workflow_execution_history(request, timeout=_RPC)
        started = found.history.events[0].workflow_execution_started_event_attributes
        if not all(map(is_ours, started.input.payloads)):
            raise EntryRefused(_PLAIN, "plain_text")

    async def _admit(self, admission: Admission) -> AdmissionResult:
        if is_too_large(admission.entry, LARGEST):
            raise EntryRefused(f"the entry is larger than {LARGEST // 1024} KB: leave out what no template names")
        entry = parse_entry(admission.entry)
        if await self._store.is_erased(entry.contact_id):
            raise EntryRefused(ERASED, "erased")
        await self._check_argument()
        opened = await open_for(entry, self._content, self._store)
        now = datetime.fromisoformat(admission.now)
        asking = self.request(entry, opened, admission.workflow_id, admission.run_id, now, root=admission.root or None)
        answer = self.admitted(await self._store.admit(asking), opened)
        if answer.outcome:  # the first draw holds, even if the holdout has changed
            return AdmissionResult(version=answer.version, outcome=answer.outcome, reason=answer.reason or "")
        if answer.version != opened.version:  # an earlier request of this journey was admitted by that version
            opened = await self._content.open(opened.name, answer.version)
            self._lots_of(opened)
        return AdmissionResult(
            version=opened.version,
            plan=shorten(opened.plan),
            zone=self._platform.zone,
            dates=self._platform.order,
        )

    def request(
        self,
        entry: Entry,
        opened: LoadedVersion,
        workflow_id: str,
        run_id: str,
        now: datetime,
        *,
        root: str | None = None,
        values: dict[str, Any] | None = None,
    ) -> stored.AdmissionRequest:
        """Return the request for admission, which the store accepts or refuses. Raise EntryRefused or EntryError.

        Args:
            root: For a campaign's journey, what its delivery ids are made from.
            values: See `entry_data`.
        """
        lots = self._lots_of(opened)
        check_trigger(entry, opened.scenario)
        data = entry_data(entry, opened.scenario, opened.version, self._platform, now, values)
        check_rules(opened.scenario, data)
        key = key_of(entry, opened.scenario, data)
        check_identity(workflow_id, entry, key)
        kept = withheld(opened.scenario, entry.contact_id, self._holdout())
        return stored.AdmissionRequest(
            scenario=opened.name,
            version=opened.version,
            contact_id=entry.contact_id,
            key=key,
            workflow_id=workflow_id,
            run_id=run_id,
            again=_again(opened.scenario.entry.again),
            admitted_at=now,
            trigger=entry.trigger["type"],
            goal_until=opened.scenario.goal and now + opened.scenario.goal.within,
            branches=None if kept else branches(lots, workflow_id, data),
            outcome=kept.outcome if kept else None,
            reason=kept.reason if kept else None,
            root=root,
        )

    def admitted(
        self,
        answer: stored.AdmittedRun | stored.AlreadyEntered | stored.Closure,
        opened: LoadedVersion,
        is_counted: bool = False,
    ) -> stored.AdmittedRun:
        """Count an admission, unless it is counted already, and return it, or raise EntryRefused."""
        if isinstance(answer, stored.Closure):
            raise EntryRefused(_closed(answer, opened), "closed")
        if isinstance(answer, stored.AlreadyEntered):
            raise EntryRefused(_already_in(answer, opened), answer.why)
        if not (answer.again or is_counted):
            ADMISSION.add(opened.name, "admitted", answer.outcome)
        return answer

    def _lots_of(self, opened: LoadedVersion) -> Mapping[str, Lot]:
        """Return the draws of a version, by step id.

        A plan that a journey cannot read is refused here: in the journey, its workflow task would fail repeatedly. If a
        newer version of this program has made it, ScenarioError lets the journey wait for a worker that can read it.
        """
        self._names.add(opened.name)
        key = (opened.name, opened.version)
        if key in self._lots:
            return self._lots[key]
        if is_too_large(opened.plan, LARGEST_PLAN):
            raise EntryRefused(f"{opened.name} is too large to be performed: split it, or name less in its templates")
        try:
            lots = self._lots[key] = load_plan(opened.plan).lots
        except ValidationError:
            name = f"{opened.name}@{opened.version}"
            raise ScenarioError(f"{name} is not for this version of the workers: update them") from None
        return lots


async def open_for(entry: Entry, content: Content, store: stored.Store) -> LoadedVersion:
    """Return the version that an entry names. If it does not exist, raise EntryMistaken, which lists those that do."""
    try:
        return await content.open(entry.name, entry.version)
    except UnknownVersion:
        pass
    newest = {item.scenario: item.version for item in await store.scenarios()}
    if (version := newest.get(entry.name)) is not None:
        raise EntryMistaken(f"{entry.name} has no version {entry.version}: the newest is {version}", at=["scenario"])
    close = closest(entry.name, newest)
    hint = f"did you mean '{close}'?" if close else "publish it first"
    raise EntryMistaken(f"there is no scenario '{entry.name}': {hint}", at=["scenario"], meant=close)


def _again(rule: str) -> Literal["never", "when_finished", "always"] | timedelta:
    match rule:
        case "never" | "when_finished" | "always":
            return rule
        case _:
            return parse_duration(rule.removeprefix("after "))


def _closed(closure: stored.Closure, opened: LoadedVersion) -> str:
    since = spell(closure.closed_at, ZoneInfo(opened.scenario.timezone))
    return f"{opened.name} is closed since {since}: nobody is admitted" + (
        f" ({closure.reason})" if closure.reason else ""
    )


def _already_in(answer: stored.AlreadyEntered, opened: LoadedVersion) -> str:
    match answer.why:
        case "under_way":
            return f"the contact is in {opened.name} already, as {answer.workflow_id}"
        case "entered_before":
            return f"the contact was in {opened.name} before, and is admitted only once"
        case "too_soon":
            zone = ZoneInfo(opened.scenario.timezone)
            until = spell(answer.until or answer.admitted_at, zone)
            return f"the contact was in {opened.name} before, and is admitted again from {until}"
