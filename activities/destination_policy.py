"""What a destination asks for before a webhook to it is scheduled: its retry policy, and the time of one attempt."""

from __future__ import annotations

from temporalio import activity

from activities.interface import CLEAR, Clearance, Cleared
from activities.webhook.destinations.watch import DestinationsFile


class Clearances:
    """A local activity: the answer is in memory."""

    def __init__(self, destinations: DestinationsFile) -> None:
        self._destinations = destinations

    @activity.defn(name=CLEAR.name)
    async def clear(self, given: Clearance) -> Cleared:
        """What a destination asks for; nothing where this process does not know it.

        An unknown destination is not judged here but where it is sent to: the workers that serve `webhooks` may know
        others than those that serve `journeys`.
        """
        found = self._destinations.book.get(given.destination)
        return Cleared() if found is None else Cleared(retry=dict(found.retry), timeout=found.timeout)
