"""The command line run in this process, with a stand-in for Temporal and the store where no server is needed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar, cast

import pytest
import typer.main

from authoring.publishing import Publication
from cli import program, session
from runtime.store import Store
from scenario.words import Operation
from service.client import EventView
from service.destinations import RetuneCandidates
from service.erasures import ErasureView
from service.errors import NotFound
from service.index import JourneyFilter
from service.journeys.service import JourneyService
from service.journeys.snapshot import JourneySnapshot
from service.operations.request import JourneyTarget, OperationRun
from service.operations.uncertain import UncertainView
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


Door = Callable[[Mapping[str, Any]], EnteredJourney]


class Watch:
    """A stand-in for `AdmissionWatch`: journeys are admitted as `Client.door` says."""

    async def known(self, entered: EnteredJourney) -> bool:
        if isinstance(entered.admitted, Exception):
            raise entered.admitted
        return entered.admitted


class Client:
    """Stands in for `ScenarioClient`: notes what it is asked, answers what the test says.

    `shown` has the answer, or the error, of each method that only answers; `answers` the errors of operations on many.
    """

    def __init__(self) -> None:
        self.asked = list[tuple[Any, ...]]()
        self.door: Door = lambda entry: EnteredJourney(f"a/{entry['contact']['id']}")
        self.heard = EventView(told=1)
        self.ill: str | None = None
        self.views = dict[str, JourneySnapshot]()
        self.shown: dict[str, Any] = {"journeys": [], "held": [], "select": [], "in_flight": [], "destinations_now": []}
        self.unseen = 0
        self.may_have_arrived = UncertainView()
        self.erasures_seen = list[ErasureView]()
        self.answers: Mapping[str, Exception] = {}
        self.slow: Mapping[str, float] = {}
        self.answer: dict[str, Any] | Exception = {"state": "running", "at": "hook"}
        self.temporal = self.store = self.campaigns = cast("Any", None)

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        answer = self.__dict__["shown"][method]

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
        journeys.show = self._show
        return SimpleNamespace(journeys=journeys, campaigns=self.campaigns)

    async def publish(self, path: Path, by: str) -> Publication:
        self.asked.append(("publish", path.name, by))
        return Publication("sale", 3, 3)

    async def enter(self, entry: Mapping[str, Any], *, settle: float = 5.0) -> EnteredJourney:
        self.asked.append(("enter", entry["contact"]["id"], settle))
        return self.door(entry)

    async def trouble(self) -> str | None:
        return self.ill

    def watch_admissions(self) -> Watch:
        return Watch()

    async def event(self, contact: str, name: str, properties: Any, identifier: str | None) -> EventView:
        self.asked.append(("event", contact, name, properties, identifier))
        return self.heard

    async def contact_changed(self, contact: str, patch: Any) -> EventView:
        self.asked.append(("contact_changed", contact, patch))
        return self.heard

    async def _show(self, _caller: object, journey: str) -> JourneySnapshot:
        return await self.show(journey)

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
        return RetuneCandidates(self.shown["in_flight"], self.unseen)

    async def uncertain(self, which: JourneyFilter) -> UncertainView:
        del which
        return self.may_have_arrived

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
