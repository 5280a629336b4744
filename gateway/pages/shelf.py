"""A cache of published versions, which never change: pages are requested every few seconds."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from gateway.api.problem import Problem
from runtime.store import Store, StoredVersion
from scenario.errors import ScenarioError
from scenario.model.document import load
from scenario.model.scenario import Scenario
from scenario.plan.plan import Plan, load_plan

_KEPT: Final = 32


@dataclass(frozen=True)
class Opened:
    """A published version.

    Attributes:
        published: The stored version.
    """

    published: StoredVersion

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario as its author wrote it.

        Raises:
            Problem: A later release published it.
        """
        try:
            return load(self.published.document)
        except ScenarioError as error:
            raise Problem("invalid", f"{self.title}: {error}") from None

    @cached_property
    def plan(self) -> Plan:
        """The compiled scenario.

        Raises:
            Problem: A later release published it.
        """
        try:
            return load_plan(self.published.plan)
        except ValueError:
            sentence = f"{self.title} was published by a later release of this program: update it"
            raise Problem("invalid", sentence) from None

    @property
    def title(self) -> str:
        """The name and version, such as ``post-purchase@3``."""
        return f"{self.published.scenario}@{self.published.version}"


class Shelf:
    """The most recently opened versions.

    Args:
        store: Stores all versions.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._opened: OrderedDict[tuple[str, int], Opened] = OrderedDict()
        self._triggers: dict[tuple[str, int], str] = {}

    async def open(self, scenario: str, version: int) -> Opened | None:
        """Return a version, or None if it does not exist."""
        place = scenario, version
        if place not in self._opened:
            published = await self._store.version(scenario, version)
            if published is None:
                return None
            self._opened[place] = Opened(published)
            while len(self._opened) > _KEPT:
                self._opened.popitem(last=False)
        self._opened.move_to_end(place)
        return self._opened[place]

    async def trigger(self, scenario: str, version: int) -> str:
        """Return the trigger of a version; empty if it does not exist."""
        place = scenario, version
        if place not in self._triggers:
            opened = await self.open(scenario, version)
            self._triggers[place] = str(opened.published.document.get("trigger", "")) if opened else ""
        return self._triggers[place]
