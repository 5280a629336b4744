"""The suppressions of a contact. They are stored by address, which only the history of a journey knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from temporalio.client import Client

from gateway.errors import BadInput
from gateway.journeys.rendered import submitted_entry
from gateway.why.story import EntryStory
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from scenario.errors import BadRecipient
from scenario.policies.addresses import recipients
from scenario.policies.suppression import Suppression
from scenario.type_guards import mapping_or_empty


@dataclass(frozen=True)
class ContactSuppressions:
    """The suppressions of a contact's addresses, as it entered with them.

    Attributes:
        journey: The journey that has the addresses.
        channels: Channels that the contact has an address for.
        unknown: The sentence that says why nothing is known, or None.
    """

    journey: str | None = None
    channels: Sequence[str] = ()
    found: Sequence[Suppression] = ()
    unknown: str | None = None


async def suppressions_of(
    temporal: Client, store: Store, hashes: AddressHashes | None, stories: Iterable[EntryStory]
) -> ContactSuppressions:
    """Return the suppressions of a contact whose entries have these stories, newest first. No address is returned."""
    if hashes is None:
        return ContactSuppressions(unknown="suppressions are not configured here: set SCENARIO_SUPPRESSION_KEY")
    journey = next((story.journey for story in stories if story.let_in and story.now), None)
    if journey is None:
        return ContactSuppressions(unknown="no running journey above knows the contact's addresses")
    try:
        entry = await submitted_entry(temporal, journey) or {}
    except BadInput as error:
        return ContactSuppressions(journey, unknown=str(error))
    channels, found = list[str](), list[Suppression]()
    for channel, (root, name) in recipients().items():
        address = mapping_or_empty(entry.get(root)).get(name)
        try:
            addresses = hashes.of(channel, str(address)) if address else ()
        except BadRecipient:  # no message is sent to it either
            addresses = ()
        if addresses:
            channels.append(channel)
            found += await store.suppressed(channel, addresses)
    unknown = None if channels else f"the entry of {journey} has no addresses"
    return ContactSuppressions(journey, channels, found, unknown)
