"""Published versions, loaded once and cached, since a version never changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from activities.interface import Delivery
from scenario.model.scenario import Scenario, load
from scenario.plan.compile import named_secrets, named_steps, names_unsubscribing
from scenario.plan.plan import Plan, load_plan
from scenario.steps.base import BaseStep

if TYPE_CHECKING:  # `tests/replay/test_pythons.py` replays journeys without the packages of the store
    from runtime.store.versions import StoredVersion, Versions

_KEPT: Final = 256
_Step = TypeVar("_Step", bound=BaseStep)


class UnknownVersion(Exception):
    """A scenario, a version or a step that was never published here."""


@dataclass(frozen=True)
class LoadedVersion:
    """A loaded version."""

    name: str
    version: int
    scenario: Scenario
    plan: dict[str, Any]
    steps: Mapping[str, BaseStep]
    _named: dict[str, frozenset[str] | None] = field(
        default_factory=dict[str, frozenset[str] | None], init=False, compare=False, repr=False
    )

    _unsubscribing: dict[str, bool] = field(default_factory=dict[str, bool], init=False, compare=False, repr=False)

    @cached_property
    def table(self) -> Plan:
        """The plan. Raise ValidationError if it is not for this version of the program."""
        return load_plan(self.plan)

    def secrets(self, step: str) -> frozenset[str] | None:
        """Return the secrets that a step's templates may read, or None if that cannot be determined.

        Evaluated at the first delivery, so that a malformed template affects its step only. Raise TemplateError for it.
        """
        if step not in self._named:
            found = self.steps.get(step)
            self._named[step] = named_secrets(found) if found is not None and found.secrets else frozenset()
        return self._named[step]

    def names_unsubscribing(self, step: str) -> bool:
        if step not in self._unsubscribing:
            self._unsubscribing[step] = step in self.steps and names_unsubscribing(self.steps[step])
        return self._unsubscribing[step]


class Content:
    """Published scenarios by name and version."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._opened: OrderedDict[tuple[str, int], LoadedVersion] = OrderedDict()
        self._lock = asyncio.Lock()

    async def open(self, scenario: str, version: int | None = None) -> LoadedVersion:
        """Load a version, by default the newest, or raise UnknownVersion."""
        number = version if version is not None else await self._versions.newest(scenario)
        if number is not None and (opened := self._opened.get((scenario, number))):
            self._opened.move_to_end((scenario, number))
            return opened
        published = await self._versions.version(scenario, number) if number is not None else None
        if published is None:
            what = f"{scenario}@{version}" if version else scenario
            raise UnknownVersion(f"{what} is not published")
        return await self._keep(published)

    async def step_of(self, delivery: Delivery, kind: type[_Step], what: str) -> _Step:
        """Return the step of a delivery, with its templates. `what` is the kind's name with its article.

        Raise UnknownVersion if it does not exist, or has another kind.
        """
        step = (await self.open(delivery.name, delivery.version)).steps.get(delivery.step)
        if step is None:
            raise UnknownVersion(f"{delivery.scenario} has no step '{delivery.step}'")
        if not isinstance(step, kind):
            raise UnknownVersion(f"the step '{delivery.step}' of {delivery.scenario} is not {what}")
        return step

    async def _keep(self, published: StoredVersion) -> LoadedVersion:
        key = (published.scenario, published.version)
        async with self._lock:  # many journeys may request a new version simultaneously: it is loaded once
            if (opened := self._opened.get(key)) is None:
                loaded = load(published.document)
                opened = LoadedVersion(
                    name=published.scenario,
                    version=published.version,
                    scenario=loaded,
                    plan=dict(published.plan),
                    steps=dict(named_steps(loaded)),
                )
                self._opened[key] = opened
                while len(self._opened) > _KEPT:
                    self._opened.popitem(last=False)
        return opened
