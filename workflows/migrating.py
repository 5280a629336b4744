"""How a journey goes on in another version of its scenario: an operator says so, or it follows newer ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import CancelledError, FailureError

from activities.moving import ADOPT, RENEW, Adoption, Renewal, Renewed
from scenario.entry.entry import journey_root
from scenario.plan.migration import Place
from scenario.plan.plan import load_plan
from scenario.steps.delivery import Send
from scenario.steps.host import Next
from workflows import visibility
from workflows.local_activities import answer_to
from workflows.records import Migration, Override
from workflows.signals import SignalHandlers
from workflows.update_arguments import read_names, read_version, read_waits, refusal
from workflows.updates import UpdateHandlers, ask_for_operation

_TRIES: Final = 3
_SENT: Final = ("delivered", "unknown")


class Migrating(UpdateHandlers, SignalHandlers):
    """The part of a journey that goes on in another version.

    A step is never stopped half-way for it: a delivery under way comes to its end first, as it began, also where that
    is a hold. Waits and holds are interrupted as they are for another run, and performed by the new plan.
    """

    def __init__(self) -> None:
        super().__init__()
        self._over: Next | None = None

    async def migrate(self, argument: Any) -> dict[str, Any]:
        """Takes another version, as soon as nothing of the present step is under way."""
        version, names, restarts = read_version(argument), read_names(argument), read_waits(argument)
        for _try in range(_TRIES):
            place = self._place()
            renewal = Renewal(
                scenario=self.entry.name,
                version=self.state.version,
                place=place,
                to=version if isinstance(version, int) else None,
                names=names,
            )
            renewed = await ask_for_operation(RENEW, renewal)
            if self.moving is not None:
                raise refusal("somebody else has decided meanwhile: look at the journey, and try again")
            if self.leaving or self.state.at is None:
                raise refusal("the journey is over")
            if self._place() == place and renewal.version == self.state.version:
                break
        else:
            raise refusal("the journey goes from step to step just now: try again in a moment")
        if renewed.error:
            raise refusal(renewed.error)
        details: dict[str, Any] = {"from": self.version, "version": f"{self.entry.name}@{renewed.version}"}
        details |= {"map": names} if names else {}
        details |= {"waits": "restart"} if restarts else {}
        details |= {"unknown": list(renewed.unknown)} if renewed.unknown else {}
        self.note_operation("migrate", argument, details=details)
        self.moving = Migration(
            version=renewed.version, plan=renewed.plan, at=renewed.at, names=names, restarts=restarts
        )
        return self.report()

    def check_migrate(self, argument: Any) -> None:
        """A journey takes one version at a time; with a step, only one that is at it."""
        self.started(argument)
        self.there(argument)
        if self.moving is not None:
            raise refusal(f"the journey is about to go on in {self.entry.name}@{self.moving.version}")
        if read_version(argument) is None:
            raise refusal("'version' is missing: say which, by its number or as 'newest'")
        read_names(argument)
        read_waits(argument)

    def name_version(self) -> None:
        """Says which version the journey follows, to templates as well."""
        self.version = f"{self.entry.name}@{self.state.version}"
        identifier, version = workflow.info().workflow_id, self.state.version
        self._data["journey"] = journey_root(identifier, self.entry.name, version, self.state.entered_at)

    async def move(self, moving: Migration) -> None:
        """Takes another version while the journey stands at a step of which nothing is under way."""
        state, step, identifier = self.state, self.step, self.delivery
        self.moving = None
        was_made = state.now is not None  # a delivery of this id, before
        self._take_up(moving.version, moving.plan, moving.names)
        state.at = moving.at
        self._keep_rounds()
        row = self.plan.steps[moving.at]
        self.memory.stop_waiting()
        state.anew = state.digest = None
        if was_made:
            state.delivery = identifier
        if state.held is not None:
            # What it is tried again by is not what it was tried by: said where it is tried again.
            state.anew = Override(version=state.version, step=state.plan["steps"][moving.at])
            state.held = replace(state.held, step=moving.at)
            if moving.at != step:
                visibility.remember(state.held)
        elif moving.restarts and not isinstance(row, Send):
            state.since = None
            if (rounds := self.memory.rounds.get(self.step)) is not None:
                self.memory.rounds[self.step] = replace(rounds, began=workflow.now().isoformat())
        await self._adopted()

    async def advance(self, course: Next) -> str | None:
        """Goes on behind a step that is over, in another version where there is one to take. Returns where."""
        newer = await self._newer(course) if self.plan.follows and self.moving is None else None
        moving, self.moving = self.moving, None
        following = course.step
        if moving is not None:
            self._take_up(moving.version, moving.plan, moving.names)
            row = self.plan.steps[moving.at]
            # A way that is not there any more leads nowhere: the step is performed once more, as it is now.
            following = row.skipped_to if course.way is None else row.ways.get(course.way, moving.at)
        elif newer is not None:
            self._take_up(newer.version, newer.plan, {})
            following = newer.at
        self.state.go(following)
        if moving is not None or newer is not None:
            self._keep_rounds()
            await self._adopted()
        return following

    async def _newer(self, course: Next) -> Renewed | None:
        """A newer version that the journey can go on in, where it has just done a step."""
        self._over = course
        name, version = self.entry.name, self.state.version
        try:
            renewal = Renewal(scenario=name, version=version, place=self._place(), follows=True)
            renewed = await answer_to(RENEW, renewal, tries=_TRIES)
        except FailureError as error:  # of a local activity it comes unwrapped
            if isinstance(error, CancelledError) or isinstance(error.cause, CancelledError):
                raise asyncio.CancelledError from error
            return None  # it is asked again behind the next step
        finally:
            self._over = None
            self.skipping = None  # it was about the step that is over
        what = f"version {name}@{renewed.version}"
        if renewed.error and all(one.what != what for one in self.state.passed_over):
            self.pass_over(what, renewed.error)
        return renewed if renewed.version and not renewed.error else None

    def _place(self) -> Place:
        """Where the journey stands, and what it has done."""
        state, over = self.state, self._over
        is_sending = self.under_way is not None
        sent = [record.id for record in state.steps if record.outcome in _SENT]
        return Place(
            at=self.step,
            is_over=over is not None or is_sending,
            way=over.way if over else None,
            following=over.step if over else None,
            sent=tuple(dict.fromkeys((*sent, *((self.step,) if is_sending else ())))),
            rounds=tuple(state.memory.rounds),
            responses=tuple(state.responses),
            has_event="event" in self.data(),
        )

    def _take_up(self, version: int, plan: dict[str, Any], names: dict[str, str]) -> None:
        state = self.state
        state.rename(names)
        memory = state.memory
        memory.rounds = {names.get(name, name): rounds for name, rounds in memory.rounds.items()}
        # What is measured stays what it was: the goal of the version that let the contact in.
        goal = {key: value for key, value in state.plan.items() if key == "goal"}
        state.version, state.plan = version, {**{key: value for key, value in plan.items() if key != "goal"}, **goal}
        self.plan = load_plan(state.plan)
        self.name_version()
        self.refresh({})  # the scenario may have moved to another zone

    def _keep_rounds(self) -> None:
        """Forgets the repetitions that the journey is not in any more."""
        at = self.state.at
        inside = {at, *self.plan.loops(at)} if at is not None else set[str | None]()
        self.memory.rounds = {name: rounds for name, rounds in self.memory.rounds.items() if name in inside}

    async def _adopted(self) -> None:
        """Tells those who look for journeys which version this one follows."""
        at, info = self.state.at, workflow.info()
        # Elsewhere the search attributes are written in a moment: with the wait.
        self.show(always=at is not None and isinstance(self.plan.steps[at], Send))
        adoption = Adoption(workflow_id=info.workflow_id, run_id=self.state.root, version=self.state.version)
        await answer_to(ADOPT, adoption, about=self.version)
