"""Migrations of a journey to another version of its scenario, ordered by an operator or followed automatically."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import FailureError

from activities.interface import ADOPT, RENEW, Adoption, Renewal, Renewed
from scenario.plan.migration import Place
from scenario.steps.delivery import Send
from scenario.steps.host import Next
from workflows import visibility
from workflows.delivery import DeliveryRunner
from workflows.host import JourneyHost
from workflows.primitives import TRIES, call, call_for_update, is_cancellation, refusal
from workflows.state import Migration, Override

_SENT: Final = ("delivered", "unknown")


class Migrations:
    """Finds other versions of the scenario, and makes the journey follow them.

    A step is never stopped for it. A delivery in flight ends as it began, even if that is a hold. Waits and holds are
    interrupted as for another run, and then performed by the new plan.
    """

    def __init__(self, host: JourneyHost, deliveries: DeliveryRunner) -> None:
        self._host, self._deliveries = host, deliveries
        self._completed: Next | None = None

    async def find(
        self, version: int | str | None, names: dict[str, str], *, restarts: bool
    ) -> tuple[Migration, dict[str, Any]]:
        """Find the version that an operator names, and the journey's place in it.

        Returns:
            The migration, and the details for the record of the operation.

        Raises:
            ApplicationError: The journey cannot be migrated to it.
        """
        host = self._host
        for _try in range(TRIES):
            place = self._place()
            renewal = Renewal(
                scenario=host.entry.name,
                version=host.state.version,
                place=place,
                to=version if isinstance(version, int) else None,
                names=names,
                workflow_id=workflow.info().workflow_id,
                run_id=host.state.root,
            )
            renewed = await call_for_update(RENEW, renewal)
            if host.moving is not None:
                raise refusal("somebody else has decided meanwhile: look at the journey, and try again")
            if host.departure is not None or host.state.at is None:
                raise refusal("the journey is over")
            if self._place() == place and renewal.version == host.state.version:
                break
        else:
            raise refusal("the journey goes from step to step just now: try again in a moment")
        if renewed.error:
            raise refusal(renewed.error)
        details: dict[str, Any] = {"from": host.version, "version": f"{host.entry.name}@{renewed.version}"}
        details |= {"map": names} if names else {}
        details |= {"waits": "restart"} if restarts else {}
        details |= {"unknown": list(renewed.unknown)} if renewed.unknown else {}
        migration = Migration(version=renewed.version, plan=renewed.plan, at=renewed.at, names=names, restarts=restarts)
        return migration, details

    async def move(self) -> None:
        """Adopt the ordered version while nothing of the current step is in flight."""
        host = self._host
        state, step, identifier = host.state, host.step, host.delivery_id
        moving, host.moving = host.moving, None
        if moving is None:
            return
        was_scheduled = state.now is not None  # a delivery of this id, before
        self._adopt(moving.version, moving.plan, moving.names)
        state.at = moving.at
        self._drop_rounds()
        row = host.plan.steps[moving.at]
        host.memory.stop_waiting()
        state.override = state.digest = None
        if was_scheduled:
            state.delivery = identifier
        if state.held is not None:
            # The retry differs from the failed attempt. Its record mentions that.
            state.override = Override(version=state.version, step=state.plan["steps"][moving.at])
            state.held = replace(state.held, step=moving.at)
            if moving.at != step:
                visibility.remember(state.held)
        elif moving.restarts and not isinstance(row, Send):
            state.since = None
            if (rounds := host.memory.rounds.get(host.step)) is not None:
                host.memory.rounds[host.step] = replace(rounds, began=workflow.now().isoformat())
        await self._report()

    async def advance(self, completed: Next) -> str | None:
        """Continue after a completed step, in another version if one is ordered or followed. Return the next step."""
        host = self._host
        newer = await self._newer(completed) if host.plan.follows and host.moving is None else None
        moving, host.moving = host.moving, None
        following = completed.step
        if moving is not None:
            self._adopt(moving.version, moving.plan, moving.names)
            row = host.plan.steps[moving.at]
            # If the chosen way does not exist there, the step is performed again.
            following = row.skipped_to if completed.way is None else row.ways.get(completed.way, moving.at)
        elif newer is not None:
            self._adopt(newer.version, newer.plan, {})
            following = newer.at
        host.state.go(following)
        if moving is not None or newer is not None:
            self._drop_rounds()
            await self._report()
        return following

    async def _newer(self, completed: Next) -> Renewed | None:
        """Return a newer version in which the journey can continue after a completed step."""
        host, self._completed = self._host, completed
        name, version = host.entry.name, host.state.version
        try:
            renewal = Renewal(scenario=name, version=version, place=self._place(), follows=True)
            renewed = await call(RENEW, renewal, tries=TRIES)
        except FailureError as error:
            if is_cancellation(error):
                raise asyncio.CancelledError from error
            return None  # queried again after the next step
        finally:
            self._completed = None
            host.skipping = None  # it concerned the completed step
        what = f"version {name}@{renewed.version}"
        if renewed.error and all(one.what != what for one in host.state.ignored):
            host.ignore_input(what, renewed.error)
        return renewed if renewed.version and not renewed.error else None

    def _place(self) -> Place:
        """Return the position of the journey and its completed deliveries."""
        host, completed = self._host, self._completed
        state, is_sending = host.state, self._deliveries.in_flight is not None
        sent = [record.id for record in state.steps if record.outcome in _SENT]
        return Place(
            at=host.step,
            is_over=completed is not None or is_sending,
            way=completed.way if completed else None,
            following=completed.step if completed else None,
            sent=tuple(dict.fromkeys((*sent, *((host.step,) if is_sending else ())))),
            rounds=tuple(host.memory.rounds),
            responses=tuple(host.memory.responses),
            has_event="event" in host.data(),
        )

    def _adopt(self, version: int, plan: dict[str, Any], names: dict[str, str]) -> None:
        state = self._host.state
        state.rename(names)
        # The goal stays that of the version in which the contact entered.
        goal = {key: value for key, value in state.plan.items() if key == "goal"}
        self._host.follow(version, {**{key: value for key, value in plan.items() if key != "goal"}, **goal})

    def _drop_rounds(self) -> None:
        """Forget the repetitions that do not contain the current step."""
        at, memory = self._host.state.at, self._host.memory
        inside = {at, *self._host.plan.loops(at)} if at is not None else set[str | None]()
        memory.rounds = {name: rounds for name, rounds in memory.rounds.items() if name in inside}

    async def _report(self) -> None:
        """Report the adopted version to search and to the store."""
        host, info = self._host, workflow.info()
        at = host.state.at
        # Unless the step sends, its wait updates the search attributes in a moment.
        host.show(always=at is not None and isinstance(host.plan.steps[at], Send))
        adoption = Adoption(workflow_id=info.workflow_id, run_id=host.state.root, version=host.state.version)
        await call(ADOPT, adoption, about=host.version)
