"""What the receivers of a scenario's webhooks answer to a made-up contact."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

from gateway.preview.answers import Hints, MadeUpAnswer, Unmade
from gateway.preview.draft import Draft
from gateway.preview.saved_response import keep
from gateway.preview.uses import Path, literals, loops, named
from scenario.model.parts import Save

_DRAWS: Final = 20
"""Responses made up for each that fits its schema."""
_LOST: Final = 0.15
"""How often there is none: it was not JSON, say."""


class Replies:
    """Responses for one scenario, by the names that they are saved under. The same seed and number give the same.

    Args:
        draft: The scenario.
        seed: Another one gives other responses.
        given: Responses that are always these.
    """

    def __init__(self, draft: Draft, seed: int, given: Mapping[str, Any]) -> None:
        self._seed, self._given = seed, given
        self._saves: dict[str, list[Save]] = {}
        for step in draft.steps.values():
            if step.saved is not None:
                self._saves.setdefault(step.saved.name, []).append(step.saved)
        paths, compared, looped = named(draft), literals(draft), loops(draft)
        self._hints = {name: _hints(name, paths, compared, looped) for name in self._saves}
        self._made: set[str] = set()
        self._tried: set[str] = set()

    @property
    def unmade(self) -> list[str]:
        """The names of those of which none could be made up that fits its schema, so far."""
        return sorted(self._tried - self._made)

    def made(self, number: int) -> dict[str, Any]:
        """The responses to a contact.

        Args:
            number: Counted from 1. The first gets ordinary ones, the second none, the third as little as may come.
        """
        chance = random.Random(f"{self._seed}/{number}/responses")  # noqa: S311
        mode = {1: "ordinary", 3: "empty"}.get(number, "mixed")
        made = dict(self._given)
        for name, saves in sorted(self._saves.items()):
            if name in made or number == 2 or (mode == "mixed" and chance.random() < _LOST):
                continue
            self._tried.add(name)
            value = self._one(chance, chance.choice(saves), mode)
            if value is not None:
                self._made.add(name)
                made[name] = value
        return made

    def _one(self, chance: random.Random, save: Save, mode: str) -> Any:
        """A response that is kept; None where none was found."""
        for draw in range(_DRAWS):
            # What asks for much of a value is met rather by one that has everything, or nothing.
            way = mode if draw < _DRAWS // 2 else ("ordinary", "empty")[draw % 2]
            try:
                value = keep(save, MadeUpAnswer(chance, save.shape, self._hints[save.name], way).value()).value
            except Unmade:
                continue
            if value is not None:
                return value
        return None


def _hints(
    name: str, paths: frozenset[Path], compared: Mapping[Path, list[Any]], looped: Mapping[Path, set[str]]
) -> Hints:
    start = ("responses", name)
    return Hints(
        named=frozenset(path[2:] for path in paths if path[:2] == start and len(path) > 2),
        looped={path[2:]: frozenset(names) for path, names in looped.items() if path[:2] == start},
        literals={path[2:]: values for path, values in compared.items() if path[:2] == start},
    )
