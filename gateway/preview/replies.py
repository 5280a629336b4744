"""Made-up responses to the webhooks of a scenario."""

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
"""Number of tries for each response that matches its schema."""
_LOST: Final = 0.15
"""Probability of no saved response, for example because it was not JSON."""


class Replies:
    """Responses for one scenario by name. The same seed and number give the same ones.

    Args:
        draft: The scenario.
        seed: The seed.
        given: Fixed responses.
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
        """Names for which no matching response was found so far."""
        return sorted(self._tried - self._made)

    def made(self, number: int) -> dict[str, Any]:
        """Return the responses to a contact.

        Args:
            number: From 1. The first contact gets ordinary responses, the second none, the third minimal ones.
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
        """Return a response that would be saved, or None."""
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
