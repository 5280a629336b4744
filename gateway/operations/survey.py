"""Finds the journeys of an operation that was asked for, page by page where that can be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.operations.batch import JourneyTarget
from gateway.operations.journey_operations import JourneyOperations, targets
from gateway.operations.request import RequestedOperation
from gateway.service.index import EVERY
from scenario.words import Operation


class Found:
    """The journeys that a request is about.

    Attributes:
        request: With what is known only once they are found.
    """

    def __init__(self, request: RequestedOperation) -> None:
        self.request = request

    async def pages(self, journeys: JourneyOperations) -> AsyncIterator[list[tuple[JourneyTarget, str | None]]]:
        """Journeys, each with why it cannot be asked, if that is known already."""
        request, which = self.request, self.request.which
        if request.operation is Operation.RETUNE and which.destination is not None:
            found = await journeys.in_flight(which.destination, limit=request.limit or EVERY)
            # A name stands for one destination of one channel.
            goes_to = found[0].goes_to if found else which.destination
            self.request = replace(request, more={**request.more, "destination": goes_to})
            yield [(target, None) for target in targets(found)]
        elif request.operation is Operation.MIGRATE and which.scenario is not None:
            forecast = await journeys.forecast_migration(
                which.scenario,
                to=request.more["version"],
                version=which.version,
                step=which.step,
                names=request.more.get("map"),
                limit=request.limit or EVERY,
            )
            for one in forecast.standing:
                why = None if one.fits else f"it is at {one.step}, {one.becomes}"
                yield [(JourneyTarget(journey, which.step), why) for journey in one.journeys]
        else:
            async for page in journeys.select_by_page(request.operation, which, everybody=request.everybody):
                # Who is to end wherever it is must not escape by going on to its next step.
                given = [JourneyTarget(item.id) for item in page] if request.everybody else targets(page)
                yield [(target, None) for target in given]
