"""The command line run in this process, with a stand-in for Temporal and the store where no server is needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

import pytest
import typer.main

from gateway.cli import program, session
from gateway.client import EventView
from gateway.errors import NotFound
from gateway.journeys.snapshot import JourneySnapshot
from gateway.operations.migration import MigrationForecast
from gateway.operations.request import JourneyTarget, OperationRun
from gateway.operations.retry_policy import PendingDelivery, RetuneCandidates
from gateway.service.destinations import DestinationNow
from gateway.service.erasures import ErasureView
from gateway.service.journeys import JourneyService
from gateway.service.listing import JourneySummary
from gateway.service.overview import OverviewView
from gateway.service.stats import StatsView, TrendsView
from gateway.why.why import WhyView
from runtime.store import Store
from scenario.words import Operation
from tests.fakes import Ran

Run = Callable[..., Ran]
_Found = TypeVar("_Found")
_command = cache(typer.main.get_command)
"""The commands of the program, of which all are made for each run: longer than most of them take."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder, with nothing configured."""
    monkeypatch.chdir(tmp_path)
    for name in ("SCENARIO_STORE", "SCENARIO_DEBUG", "TEMPORAL_ADDRESS", "OTEL_EXPORTER_OTLP_ENDPOINT", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("typer.main.get_command", _command)

    def run(*arguments: object) -> Ran:
        status = program.run([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Ran(status, written.out, written.err)

    return run


class Stored(Protocol):
    """Do something with the store that commands find."""

    def __call__(self, work: Callable[[Store], Coroutine[Any, Any, _Found]]) -> _Found: ...


@pytest.fixture
def stored(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """Make a store for the commands of a test when it is first used."""
    del run  # it clears the environment, and must have done so
    url = f"sqlite:///{tmp_path / 'store.db'}"

    def done(work: Callable[[Store], Coroutine[Any, Any, _Found]]) -> _Found:
        async def within() -> _Found:
            async with Store.open(url) as store:
                return await work(store)

        monkeypatch.setenv("SCENARIO_STORE", url)
        return asyncio.run(within())

    return done


@dataclass
class EnteredJourney:
    """A journey as the stand-in lets it in."""

    id: str
    already: bool = False
    admitted: bool | Exception = True
    unplaced: str = ""
    withheld: str = ""
    outcome: dict[str, Any] | Exception = field(default_factory=lambda: {"outcome": "finished"})

    async def result(self) -> dict[str, Any]:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def verdict(self) -> dict[str, Any]:
        return await self.result()


class Watch:
    """A stand-in for `AdmissionWatch`: journeys are admitted as `Client.door` says."""

    async def known(self, entered: EnteredJourney) -> bool:
        if isinstance(entered.admitted, Exception):
            raise entered.admitted
        return entered.admitted


_ANSWERS = {
    "why": "answered",
    "stats": "numbers",
    "trends": "numbers",
    "journeys": "found",
    "held": "found",
    "select": "found",
    "forecast_migration": "forecast",
    "destinations_now": "standing",
    "in_flight": "flights",
    "erasures": "erasures_seen",
    "overview": "seen",
}
"""The field of `Client` with the answer of each method that only answers."""


@dataclass
class Client:
    """Stands in for `ScenarioClient`: notes what it is asked, answers what the test says."""

    asked: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    door: Callable[[Mapping[str, Any]], EnteredJourney] = lambda entry: EnteredJourney(f"a/{entry['contact']['id']}")
    told: int | None = 1
    pending: int = 0
    goals: int = 0
    troubles: dict[str, str] = field(default_factory=dict[str, str])
    ill: str | None = None
    views: dict[str, JourneySnapshot] = field(default_factory=dict[str, JourneySnapshot])
    answered: WhyView | Exception | None = None
    numbers: StatsView | TrendsView | None = None
    erasures_seen: list[ErasureView] = field(default_factory=list[ErasureView])
    found: list[JourneySummary] = field(default_factory=list[JourneySummary])
    flights: list[PendingDelivery] = field(default_factory=list[PendingDelivery])
    unseen: int = 0
    seen: OverviewView | None = None
    forecast: MigrationForecast | None = None
    standing: list[DestinationNow] = field(default_factory=list[DestinationNow])
    temporal: Any = None
    store: Any = None
    answers: dict[str, Exception] = field(default_factory=dict[str, Exception])
    slow: dict[str, float] = field(default_factory=dict[str, float])
    answer: dict[str, Any] | Exception = field(default_factory=lambda: {"state": "running", "at": "hook"})

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        answer = self.__dict__[_ANSWERS[method]]

        async def answered(*given: Any, **more: Any) -> Any:
            self.asked.append((method, *given, *([more] if more else ())))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answered

    @property
    def services(self) -> Any:
        nothing: Any = None
        journeys: Any = JourneyService(nothing, nothing, nothing)
        journeys._snapshot = self._snapshot
        return SimpleNamespace(journeys=journeys)

    async def _snapshot(self, journey: str, _: str | None) -> JourneySnapshot:
        return await self.show(journey)

    async def enter(self, entry: Mapping[str, Any], *, settle: float = 5.0) -> EnteredJourney:
        self.asked.append(("enter", entry["contact"]["id"], settle))
        return self.door(entry)

    async def trouble(self) -> str | None:
        return self.ill

    def watch_admissions(self) -> Watch:
        return Watch()

    async def event(self, contact: str, name: str, properties: Any, identifier: str | None) -> EventView:
        self.asked.append(("event", contact, name, properties, identifier))
        return self.heard()

    async def contact_changed(self, contact: str, patch: Any) -> EventView:
        self.asked.append(("contact_changed", contact, patch))
        return self.heard()

    def heard(self) -> EventView:
        if self.told is None:
            return EventView(unknown=True)
        return EventView(told=self.told, pending=self.pending, goals=self.goals, troubles=self.troubles)

    async def show(self, journey: str, run_id: str | None = None) -> JourneySnapshot:
        del run_id
        if journey not in self.views:
            raise NotFound(f"there is no journey '{journey}': list the journeys to find its id")
        return self.views[journey]

    async def erase(self, contact: str, **given: Any) -> ErasureView:
        self.asked.append(("erase", contact, given))
        return self.erasures_seen[0]

    async def erasure(self, identifier: str) -> ErasureView:
        self.asked.append(("erasure", identifier))
        return self.erasures_seen.pop(1)

    async def retune_candidates(self, destination: str, **given: Any) -> RetuneCandidates:
        self.asked.append(("retune_candidates", destination, given))
        return RetuneCandidates(self.flights, self.unseen)

    def batch(self, verb: str, *, rate: float, done: Callable[[JourneyTarget], None], **more: Any) -> OperationRun:
        async def send(target: JourneyTarget) -> None:
            self.asked.append((verb, target.id, target.step, more))
            if target.id in self.answers:
                raise self.answers[target.id]
            await asyncio.sleep(self.slow.get(target.id, 0))

        self.asked.append(("batch", rate))
        return OperationRun(send, 10_000, done)

    async def send(self, journey: str, operation: Operation, **given: Any) -> dict[str, Any]:
        self.asked.append((operation, journey, given))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()

    @asynccontextmanager
    async def connected() -> AsyncGenerator[Client]:
        yield made

    monkeypatch.setattr(session, "connected", connected)
    return made


@pytest.fixture
def paris() -> Iterator[None]:
    """The machine's own zone, so that local times are the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Paris")
        time.tzset()
        yield
    time.tzset()
