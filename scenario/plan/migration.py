"""The step of another version at which a journey continues, or why it cannot.

All functions are pure. Only activities call them, and histories hold their answers, so they may change freely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scenario import liquid
from scenario.errors import ScenarioError
from scenario.plan.plan import Plan
from scenario.steps.base import BaseStep
from scenario.steps.delivery import Send

_SUGGESTED: Final = 3

Names = Mapping[str, str]
"""New ids of steps by their old ones; other steps keep their ids."""


class MigrationError(ScenarioError):
    """A journey cannot continue in another version. The text has the reason and a remedy."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A journey's position and past. Journeys send it to activities, so fields may be added."""

    at: str
    is_over: bool = False
    """True if the step, or its delivery, ends before the migration."""
    way: str | None = None
    """The branch taken out of a completed step."""
    following: str | None = None
    """The next step after a completed one, or None at the end."""
    sent: tuple[str, ...] = ()
    """Steps whose message was or may have been sent."""
    rounds: tuple[str, ...] = ()
    responses: tuple[str, ...] = ()
    has_event: bool = False


def migrated(old: Plan, new: Plan, place: Place, names: Names) -> str:
    """Return the step of another version at which an operator's migration puts a journey, or raise MigrationError."""
    for was, becomes in names.items():
        if becomes not in new.steps:
            raise MigrationError(f"there is no step '{becomes}', to which '{was}' is mapped")
    at = names.get(place.at, place.at)
    _require(old, new, place.at, at)
    _fits(old, new, place, names, at, done=place.is_over)
    return at


def followed(old: Plan, new: Plan, place: Place) -> str | None:
    """Return the next step in a newer version for a journey that follows and has completed a step.

    The version must have the step that would come next. Steps that it inserts before that one come first. Raise
    MigrationError if the journey cannot continue there.
    """
    following = place.following
    if following is not None:
        _require(old, new, following, following)
    at = following
    done = new.steps.get(place.at)
    if done is not None and done.kind == old.steps[place.at].kind and place.way in (None, *done.ways):
        behind = done.skipped_to if place.way is None else done.ways[place.way]
        if behind is not None and (following is None or following in new.ahead(behind)):
            at = behind
    if at is not None:
        _fits(old, new, place, {}, at, done=False)
    return at


def unknown(new: Plan, steps: Mapping[str, BaseStep], at: str, place: Place) -> list[str]:
    """Return variables that steps read and that the journey lacks: ``responses.poll``, ``event``.

    Args:
        at: The step at which the journey would continue.
        place: The journey's position.
    """
    to_come = [at, *(name for name in new.ahead(at) if name != at)]
    rows = [new.steps[name] for name in to_come]
    responses = {*place.responses, *(row.save for row in rows if isinstance(row, Send))}
    has_event = place.has_event or any(row.awaited for row in rows)
    found: dict[str, None] = {}
    for step in to_come:
        for path in _read(steps[step]):
            match path:
                case ("responses", name, *_) if name not in responses:
                    found[f"responses.{name}"] = None
                case ("event", *_) if not has_event:
                    found["event"] = None
                case _:
                    pass
    return list(found)


def fate(old: Plan, new: Plan, at: str, names: Names) -> tuple[bool, str]:
    """Return whether journeys at a step can continue, as far as plans tell, and a phrase such as ``which stays``."""
    earlier = tuple(name for name, row in old.steps.items() if isinstance(row, Send) and at in old.ahead(name))
    rounds = tuple(old.loops(at)) + ((at,) if old.steps[at].again is not None else ())
    becomes = names.get(at, at)
    if becomes not in new.steps:
        return False, f"which is gone: map it{_hint(old, new, at)}"
    stays = "which stays" if becomes == at else f"which becomes {becomes}"
    try:
        migrated(old, new, Place(at=at, rounds=rounds), names)
    except MigrationError as error:
        return False, f"which does not fit: {error}"
    try:
        migrated(old, new, Place(at=at, rounds=rounds, sent=earlier), names)
    except MigrationError as error:
        return True, f"{stays}, but who was sent it is refused: {error}"
    return True, stays


def _require(old: Plan, new: Plan, was: str, becomes: str) -> None:
    """Check that a step exists and has the same kind. Raise MigrationError if it does not."""
    row, other = old.steps[was], new.steps.get(becomes)
    if other is None:
        raise MigrationError(f"step '{was}' no longer exists: map it{_hint(old, new, was)}")
    if other.kind != row.kind:
        raise MigrationError(f"'{becomes}' is of kind {other.kind} there, not {row.kind}: map '{was}' to another step")


def _hint(old: Plan, new: Plan, was: str) -> str:
    """Return the steps that a step may be mapped to: new ones of its kind."""
    kind = old.steps[was].kind
    like = [name for name, row in new.steps.items() if row.kind == kind and name not in old.steps]
    return f", for example to {' or '.join(like)}" if 0 < len(like) <= _SUGGESTED else ""


def _fits(old: Plan, new: Plan, place: Place, names: Names, at: str, *, done: bool) -> None:
    """Raise MigrationError if something would be sent twice, or a repetition start in its middle."""

    def named(steps: Iterable[str]) -> set[str]:
        return {names.get(name, name) for name in steps}

    begun = named(place.rounds)
    for loop in new.loops(at):
        if loop not in begun:
            raise MigrationError(
                f"'{at}' is repeated there by '{loop}', in which the journey is not: map the repetition that it is in"
            )
    # What would come again here too, in rounds, may come again there.
    again = named(place.sent) - named(old.ahead(place.at))
    later = {*new.ahead(at), *(() if done else (at,))}
    for name in new.steps:
        if name in again and name in later and isinstance(new.steps[name], Send):
            raise MigrationError(f"'{name}' would be sent again: from '{at}' on it is still to come there")


def _read(step: BaseStep) -> list[tuple[str, ...]]:
    sources = step.sources(step.keys())
    return sorted(path for source in sources for path in liquid.find_fields(source.text, kind=source.kind) if path)
