"""Use cases about events and changes of contacts: report them to all journeys that they concern.

The store knows the entries that a gateway has accepted. Only Temporal's search finds those that an engine, a schedule
or `Enter` has started and no worker has admitted. A server allows some ten searches a second, so `UnadmittedSearch`
searches only while workflow tasks wait for a worker, and for many contacts together.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from temporalio.client import Client
from temporalio.service import RPCError

from activities.content import Content
from activities.decision import count
from activities.interface import JOURNEYS
from authoring.errors import BadInput
from runtime.connection import describe_queue
from runtime.encryption.codec import contact_of
from runtime.encryption.keyring import Erased
from runtime.search_attributes import CONTACT_ID
from runtime.store import AcceptedEntry, Store, StoredEntry
from runtime.store.erasures import ERASED
from runtime.temporal_faults import unless_gone
from scenario.entry.entry import LARGEST, LARGEST_EVENT, is_too_deep, is_too_large, patch_contact, unsent
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError
from scenario.model.parts import EventName
from scenario.steps.host import Event
from scenario.words import is_reserved_event
from service.caller import TERMINAL, Caller
from service.errors import Busy, NotFound
from service.index import JourneyFilter, JourneyIndex, one_of, query_of, tolerating_no_search
from service.journeys.snapshot import check_identifier, describe
from service.view import View
from workflows.limits import MOST_PARTS, has_too_many_parts

FRESH: Final = 1.0  # seconds for which the state of the backlog is cached
STALE: Final = 60.0  # seconds for which it is used while the server does not answer
APART: Final = 0.5  # seconds between two searches
_TOGETHER: Final = 50  # contacts in one search
_PATIENCE: Final = timedelta(seconds=3)

Found = Mapping[str, Sequence[AcceptedEntry]]  # running journeys by their contact's id


class UnadmittedSearch:
    """Searches for journeys that may be waiting for their admission."""

    def __init__(self, temporal: Client) -> None:
        self._temporal, self._index = temporal, JourneyIndex(temporal)
        self._behind, self._asked_at = True, -STALE
        self._asking = asyncio.Lock()
        self._wanted: set[str] = set()
        self._next: asyncio.Task[Found] | None = None
        self._searched_at = -APART

    async def of(self, contact: str) -> Sequence[AcceptedEntry]:
        """Return a contact's running journeys, perhaps admitted ones, while tasks wait for a worker, or else none."""
        try:
            check_identifier(contact)
        except NotFound:  # no workflow has it in its id
            return []
        if not await self._is_behind():
            return []
        self._wanted.add(contact)
        if self._next is None:
            self._next = asyncio.create_task(self._search())
        return (await asyncio.shield(self._next)).get(contact, [])

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)

    async def _is_behind(self) -> bool:
        """Return True if tasks wait for a worker, or if that is not known."""
        async with self._asking:
            age = monotonic() - self._asked_at
            if age < FRESH:
                return self._behind
            try:
                answer = await describe_queue(self._temporal, JOURNEYS, _PATIENCE, workflows=True, stats=True)
            except RPCError:
                self._behind = self._behind or age >= STALE
            else:
                self._behind = not answer.HasField("stats") or answer.stats.approximate_backlog_count > 0
                self._asked_at = monotonic()
            return self._behind

    async def _search(self) -> Found:
        await asyncio.sleep(self._searched_at + APART - monotonic())
        contacts, self._wanted, self._next = sorted(self._wanted), set(), None
        self._searched_at = monotonic()
        found: dict[str, list[AcceptedEntry]] = {}
        for start in range(0, len(contacts), _TOGETHER):
            some = contacts[start : start + _TOGETHER]
            query = query_of(JourneyFilter(), one_of(CONTACT_ID.name, some))
            with tolerating_no_search():
                for one in await self._index.find(query, patience=_PATIENCE):
                    contact = one.contact or ""
                    found.setdefault(contact, []).append(AcceptedEntry(one.id, one.run_id, contact, one.started_at))
        return found


LONGEST_ID: Final = 200  # characters of an event's id: a journey compares only these
NO_NAME: Final = "'name' must be an event's name, such as chat.replied"
RESERVED_NAME: Final = (
    "this event's name is reserved: do not use contact.changed, contact.unsubscribed or names that begin with "
    "'email.', 'sms.' or 'whatsapp.'"
)
NO_PROPERTIES: Final = "'properties' must be an object"
_NAME: Final[TypeAdapter[str]] = TypeAdapter(EventName, config=ConfigDict(strict=True))
_ID: Final = 1024  # bytes that the id, which travels with the event, may take as JSON
_SENDING: Final = 5.0  # seconds to wait for a campaign that is sending to the contact
_LOOK: Final = 0.2
_LATE: Final = timedelta(seconds=10)  # more than the clocks of a gateway and of Temporal differ


class ChangeView(View):
    """The journeys that a change reached."""

    told: int = 0
    """Number of running journeys that received it."""
    pending: int = 0
    """Number of entries that keep it until a worker admits them."""
    unknown: bool = False
    """True if the contact has no journey, running or over, and no pending entry."""

    @property
    def has_effect(self) -> bool:
        """False if the contact has nothing that it could reach, so that a repetition may reach something."""
        return bool(self.told or self.pending)


class EventView(ChangeView):
    """The journeys that an event reached."""

    goals: int = 0
    """Number of goals counted for journeys that are over."""
    unused: int = 0
    """Number of running journeys that did not receive it, since their scenario does not use its name."""
    troubles: Annotated[Mapping[str, str], Field(exclude=True)] = {}
    """The reason why a goal, or its value, was ignored, by journey."""

    @property
    def has_effect(self) -> bool:
        return super().has_effect or bool(self.goals or self.unused)


class EventService:
    """Use cases about events and changes of contacts. Callers reach only journeys of scenarios that they may use.

    Reports raise BadInput if journeys would ignore the event or change. A key may report an event with a reserved name
    only if the name is `trusted` and the key has the scope ``providers``: they raise BadInput or Forbidden.
    """

    def __init__(
        self, temporal: Client, store: Store, content: Content, platform: PlatformDates, trusted: Collection[str] = ()
    ) -> None:
        self._temporal, self._store, self._content, self._platform = temporal, store, content, platform
        self._trusted = frozenset(trusted)
        self.unadmitted = UnadmittedSearch(temporal)

    async def report(
        self,
        caller: Caller,
        contact: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        identifier: str | None = None,
        *,
        at: datetime | None = None,
    ) -> EventView:
        """Report an event to every journey of a contact that may use it, and count the goals of those that are over.

        Args:
            name: The event's name, such as ``order.delivered``.
            properties: The data that conditions see as ``event.…``.
            identifier: An id for deduplication: reported twice, the event counts once.
            at: When it happened, if not just now. `event.time` and goals use it. Waiting steps continue now.
        """
        message = event_message(name, properties, identifier, at)
        self._check_sender(caller, name)
        reached = await self._signal_all(caller, contact, "event", message, name)
        if reached.unknown:
            return reached
        # Looked up after the signals: a journey that ends in between has received the event or is over by now.
        now = datetime.now(UTC)
        happened = now if at is None else min(at, now)
        event = Event(name=message["name"], properties=message["properties"], at=happened.isoformat())
        counted = {
            entry.workflow_id: await count(self._store, self._content, entry, event)
            for entry in await self._store.open_goals(contact, happened)
            if entry.admitted_at <= happened and caller.may_use(entry.scenario)
        }
        troubles = {
            journey: f"{'the value of its goal' if one.reached else 'its goal'} is ignored: {one.error}"
            for journey, one in counted.items()
            if one.error
        }
        goals = sum(one.reached for one in counted.values())
        return reached.model_copy(update={"goals": goals, "troubles": troubles})

    async def report_to(
        self,
        caller: Caller,
        journey: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        identifier: str | None = None,
        *,
        at: datetime | None = None,
    ) -> EventView:
        """Report an event to one journey, as `report`. It has no effect if the journey is over.

        Raise Forbidden if the caller may not use the scenario, and NotFound if there is no such journey.
        """
        entry = await self._store.entry(journey)
        caller.check_journey(journey, entry and entry.scenario)
        message = event_message(name, properties, identifier, at)
        self._check_sender(caller, name)
        if entry is not None and entry.is_inline and entry.ended_at is None:
            await self._running(entry.contact_id, name)
            entry = await self._store.entry(journey)
        unused: list[StoredEntry] = []
        if entry is not None and entry.ended_at is None:
            _, others = await self._store.running_by_use(entry.contact_id, name)
            unused = [one for one in others if one.workflow_id == journey]
            if not unused and await self._signal(entry, "event", message):
                return EventView(told=1)
        check_identifier(journey)
        described = await describe(self._temporal, journey)
        info = described and described.workflow_execution_info
        # A journey that is open, in a run that the store does not know.
        if info and info.type.name == "Journey" and not info.HasField("close_time"):
            new = AcceptedEntry(journey, info.first_run_id, contact_of(journey) or "", info.start_time.ToDatetime(UTC))
            is_known = entry is not None and entry.run_id == info.first_run_id
            if not is_known and await self._signal(new, "event", message):
                return EventView(pending=1)
        if entry is None:
            raise NotFound(f"there is no journey {journey}")
        return EventView(unused=len(unused))

    async def change(self, caller: Caller, contact: str, patch: Mapping[str, Any]) -> EventView:
        """Report changed fields of a contact to all its journeys, which ignore them if it would exceed 1 MB."""
        return await self._signal_all(caller, contact, "contact_changed", change_message(patch, self._platform))

    def _check_sender(self, caller: Caller, name: str) -> None:
        """Refuse a reserved name from a key that nothing entitles to it: a provider's event needs its proof."""
        if caller.id == TERMINAL.id or not is_reserved_event(name):
            return
        if name not in self._trusted:
            raise BadInput(RESERVED_NAME, at=["name"])
        caller.require("providers")

    async def _signal_all(
        self, caller: Caller, contact: str, signal: str, argument: dict[str, Any], event: str | None = None
    ) -> EventView:
        if await self._store.is_erased(contact):
            raise BadInput(ERASED)
        # In this order: an entry that is admitted in between is among both. If the search fails, no journey has
        # received the signal yet, so the caller can send it again even without an id.
        elsewhere = await self.unadmitted.of(contact)  # entries that no gateway has accepted
        admitted = await self._store.admitted([(entry.workflow_id, entry.run_id) for entry in elsewhere])
        pending = [
            *await self._store.pending_entries(contact),
            *(entry for entry in elsewhere if (entry.workflow_id, entry.run_id) not in admitted),
        ]
        found = await self._running(contact, event)
        running, unused = ([entry for entry in some if caller.may_use(entry.scenario)] for some in found)
        pending = [entry for entry in pending if caller.may_use(entry.scenario)]
        # At most one run of a journey is open, and gets the signal.
        journeys = {entry.workflow_id: entry for entry in (*pending, *running)}
        unused = [entry for entry in unused if entry.workflow_id not in journeys]
        sent = (self._signal(entry, signal, argument) for entry in journeys.values())
        reached = await asyncio.gather(*sent, return_exceptions=True)
        for one in reached:  # the first error is raised once all others are done
            if isinstance(one, BaseException):
                raise one
        if not any(reached) and not unused:
            return EventView(unknown=not running and not await self._store.has_entered(contact, caller.scenarios))
        kinds = Counter(type(entry) for entry, is_open in zip(journeys.values(), reached, strict=True) if is_open)
        return EventView(told=kinds[StoredEntry], pending=kinds[AcceptedEntry], unused=len(unused))

    async def _running(self, contact: str, event: str | None) -> tuple[list[StoredEntry], list[StoredEntry]]:
        """Return a contact's running journeys that may use an event of this name, or a change (None), and the others.

        Wait until none of the former is without a workflow: a campaign is just sending to the contact. Its message may
        have left, or a workflow may continue the journey, which must not miss the signal. Raise Busy if that takes too
        long.
        """
        end = monotonic() + _SENDING
        while True:
            if event is None:
                running, unused = await self._store.running(contact), list[StoredEntry]()
            else:
                running, unused = await self._store.running_by_use(contact, event)
            inline = [entry for entry in running if entry.is_inline]
            found = [await describe(self._temporal, entry.workflow_id) for entry in inline]
            if all(one is not None and not one.workflow_execution_info.HasField("close_time") for one in found):
                return running, unused
            if monotonic() > end:
                raise Busy("a campaign is sending a message to the contact: try again in a minute")
            await asyncio.sleep(_LOOK)

    async def _signal(self, entry: StoredEntry | AcceptedEntry, signal: str, argument: dict[str, Any]) -> bool:
        """Signal a journey, admitted or pending. Return False if no run of it is open."""
        now = datetime.now(UTC)
        if isinstance(entry, AcceptedEntry) and signal == "event" and now - entry.accepted_at > _LATE:
            argument = {"at": now.isoformat(), **argument}  # it may be admitted hours later
        try:
            with unless_gone():
                await self._temporal.get_workflow_handle(entry.workflow_id).signal(signal, argument)
                return True
        except Erased:  # a moment ago
            raise BadInput(ERASED) from None
        if isinstance(entry, AcceptedEntry):
            # Perhaps it was refused. One that Temporal has lost stays on record for `scenario store reconcile`.
            if await describe(self._temporal, entry.workflow_id, entry.run_id) is not None:
                await self._store.forget_accepted(entry)
        elif not entry.is_inline:  # it ended without a departure: it was terminated, for example
            await self._store.depart(entry.workflow_id, entry.run_id, "lost", "its workflow is gone", now)
        return False


def event_message(
    name: str, properties: Mapping[str, Any] | None = None, identifier: str | None = None, at: datetime | None = None
) -> dict[str, Any]:
    """Return the argument of the signal `event`. Raise BadInput, which quotes nothing, if journeys would ignore it."""
    message: dict[str, Any] = {"name": name, "properties": dict(properties or {})}
    try:
        check_event(**message)
    except BadInput as error:
        raise BadInput(str(error), at=["properties"]) from None
    if identifier is not None:
        if not 0 < len(identifier) <= LONGEST_ID or not identifier.isprintable():
            raise BadInput(f"an event's id must be 1 to {LONGEST_ID} printable characters", at=["id"])
        message["id"] = identifier
    if at is not None:
        message["at"] = at.astimezone(UTC).isoformat()
    return message


def check_event(name: str, properties: Mapping[Any, Any]) -> None:
    """Raise BadInput if journeys would silently ignore an event. The message quotes nothing of it."""
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise BadInput(NO_NAME) from None
    if not all(isinstance(key, str) for key in properties):
        raise BadInput(NO_PROPERTIES)
    data = {"name": name, "properties": properties}
    try:
        # Infinities and NaN would fail on their way.
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise BadInput(unsent(data, "the event")) from None
    if is_too_deep(data):
        raise BadInput("the event's properties are nested too deeply")
    if is_too_large(data, LARGEST_EVENT - _ID):
        raise BadInput(f"the event is larger than {LARGEST_EVENT // 1024} KB: leave out what no condition names")


def change_message(patch: Mapping[str, Any], platform: PlatformDates) -> dict[str, Any]:
    """Return the argument of the signal `contact_changed`, for a platform that writes dates in this way.

    Raise BadInput, which quotes nothing of it, if journeys would ignore the change.
    """
    changes = dict(patch)
    try:
        json.dumps(changes, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise BadInput(unsent(changes, "the change of the contact"), at=()) from None
    if is_too_deep(changes):
        raise BadInput("the change of the contact is nested too deeply", at=())
    if is_too_large(changes, LARGEST):
        text = f"the change of the contact is larger than {LARGEST // 1024} KB: leave out what no step names"
        raise BadInput(text, at=())
    if has_too_many_parts(changes):
        raise BadInput(f"the change of the contact is made of more than {MOST_PARTS:,} objects and lists", at=())
    try:
        patch_contact({}, changes, platform)
    except EntryError as error:
        raise BadInput(f"the change of the contact is malformed: {error}", at=error.at[1:]) from None
    return changes
