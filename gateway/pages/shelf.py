"""Published versions, read: one never changes, so that pages which are asked for every few seconds read it once."""

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
        published: As the store has it.
    """

    published: StoredVersion

    @cached_property
    def scenario(self) -> Scenario:
        """As its author wrote it.

        Raises:
            Problem: A later release has published it.
        """
        try:
            return load(self.published.document)
        except ScenarioError as error:
            raise Problem("invalid", f"{self.title}: {error}") from None

    @cached_property
    def plan(self) -> Plan:
        """Compiled.

        Raises:
            Problem: A later release has published it.
        """
        try:
            return load_plan(self.published.plan)
        except ValueError:
            sentence = f"{self.title} was published by a later release of this program: update it"
            raise Problem("invalid", sentence) from None

    @property
    def title(self) -> str:
        """``post-purchase@3``."""
        return f"{self.published.scenario}@{self.published.version}"


class Shelf:
    """The versions that were opened last.

    Args:
        store: Has them all.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._opened: OrderedDict[tuple[str, int], Opened] = OrderedDict()
        self._triggers: dict[tuple[str, int], str] = {}

    async def open(self, scenario: str, version: int) -> Opened | None:
        """A version; None where there is none."""
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
        """What lets contacts into a version; empty where there is none."""
        place = scenario, version
        if place not in self._triggers:
            opened = await self.open(scenario, version)
            self._triggers[place] = str(opened.published.document.get("trigger", "")) if opened else ""
        return self._triggers[place]
