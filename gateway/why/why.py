"""Collects all records about why a contact did, or did not, get a message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import ConfigDict
from temporalio.client import Client

from gateway.errors import BadInput, UnknownContact
from gateway.service.view import View, Zone
from gateway.why import of_contact
from gateway.why.answer import answer
from gateway.why.caps import CapPlaces, places
from gateway.why.story import EntryStory, refused, told
from runtime.store import Store
from runtime.store.erasures import ERASED
from scenario.plan.plan import Plan, load_plan
from scenario.policies import caps
from scenario.policies.policies import Policies
from scenario.source.findings import listed, near


class WhyView(View):
    """The reasons why a contact did, or did not, get something."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    contact: str
    """Contact id."""
    step: str | None
    """Step of the message in question, if one was named."""
    answer: str | None
    """Whether the contact got the message, and why; null if no step was named."""
    entries: list[EntryStory]
    """The contact's entries, the newest first."""
    caps: list[CapPlaces] | None
    """The contact's places under caps; null if no policies are configured here, or the key is for some scenarios."""
    zone: Zone
    """Time zone of the caps."""


async def why(
    temporal: Client,
    store: Store,
    contact: str,
    scenario: str | None = None,
    *,
    step: str | None = None,
    since: datetime | None = None,
    limit: int = 20,
    policies: Policies | None = None,
) -> WhyView:
    """See `gateway.client.ScenarioClient.why`."""
    let_in = await of_contact.journeys(temporal, store, contact, scenario, since, limit)
    others = await of_contact.not_let_in(temporal, store, contact, scenario, since, limit)
    plans = await _newest(store, {entry.scenario for entry in others})
    stories = [told(view, view.entry) for view in let_in if view.entry is not None]
    stories += [refused(entry, plans.get(entry.scenario)) for entry in others]
    stories.sort(key=lambda story: story.asked_at, reverse=True)
    del stories[limit:]
    if not stories:
        raise UnknownContact(await _nobody(store, contact, scenario, since))
    said = None
    if step is not None:
        _require(stories, step)
        said = answer(contact, stories, step)
    now, zone = datetime.now(UTC), stories[0].zone
    taken: list[CapPlaces] | None = None
    if policies is not None:
        back = caps.since(policies.caps, now, zone) if policies.caps else now
        taken = places(policies.caps, await store.claims_of(contact, back), now, zone)
    return WhyView(contact=contact, step=step, answer=said, entries=stories, caps=taken, zone=zone)


async def _newest(store: Store, scenarios: set[str]) -> dict[str, Plan]:
    """Return the plans of the newest versions."""
    found: dict[str, Plan] = {}
    for name in scenarios:
        number = await store.newest(name)
        if number is not None and (published := await store.version(name, number)) is not None:
            found[name] = load_plan(published.plan)
    return found


def _require(stories: Sequence[EntryStory], step: str) -> None:
    names = {name: None for story in stories if story.plan for name in story.plan.steps}
    if step in names:
        return
    guess = near(step, names)
    hint = f"did you mean '{guess}'?" if guess else f"there are {listed(list(names), 'and')}"
    raise BadInput(f"no scenario that the contact asked for has a step '{step}': {hint if names else 'none is known'}")


async def _nobody(store: Store, contact: str, scenario: str | None, since: datetime | None) -> str:
    if await store.is_erased(contact):
        return ERASED
    if not (scenario or since) or not await store.knows(contact):
        where = f" in {scenario}" if scenario else ""
        return (
            f"nothing is on record of a contact '{contact}'{where}: it has never asked to come in, or was refused "
            f"so long ago that Temporal has forgotten it"
        )
    place, time = f" in {scenario}" if scenario else "", " since then" if since else ""
    return f"contact {contact} has asked for nothing{place}{time}"
