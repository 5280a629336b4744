"""Two versions of a scenario: at which step of the other a journey continues, or why it cannot; and their difference.

All functions are pure. No workflow calls them, and histories hold their answers, so they may change freely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scenario import liquid
from scenario.entry.admission import control_of
from scenario.errors import ScenarioError
from scenario.model.scenario import Scenario, WrittenStep, document, outline
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan
from scenario.policies.draw import CONTACT, CONTROL, UNITS, percent
from scenario.steps.base import BaseStep
from scenario.steps.delivery import Send
from scenario.type_guards import is_list, with_value

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
    """Return variables that steps from `at` on read and that the journey lacks: ``responses.poll``, ``event``."""
    to_come = [at, *(name for name in new.ahead(at) if name != at)]
    rows = [new.steps[name] for name in to_come]
    responses = {*place.responses, *(row.save for row in rows if isinstance(row, Send))}
    has_event = place.has_event or any(row.awaited for row in rows)
    found: dict[str, None] = {}
    for step in map(steps.__getitem__, to_come):
        sources = step.sources(step.keys())
        for path in sorted(path for one in sources for path in liquid.find_fields(one.text, kind=one.kind)):
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
            why = f"'{at}' is repeated there by '{loop}', in which the journey is not"
            raise MigrationError(f"{why}: map the repetition that it is in")
    # What would come again here too, in rounds, may come again there.
    again = named(place.sent) - named(old.ahead(place.at))
    later = {*new.ahead(at), *(() if done else (at,))}
    for name in new.steps:
        if name in again and name in later and isinstance(new.steps[name], Send):
            raise MigrationError(f"'{name}' would be sent again: from '{at}' on it is still to come there")


_ELSEWHERE: Final = frozenset({"scenario", "description", "steps"})
"""Keys of a scenario that do not affect journeys, or that are compared step by step."""


@dataclass(frozen=True)
class Redrawn:
    """A draw whose results differ."""

    what: str
    """``split subject``, or ``control``."""
    share: int | None
    """Share of changed results, in hundredths of a percent; None if everything is drawn again."""
    whom: str
    """The units: ``contacts``, ``journeys``, or another one."""

    def since(self, version: str) -> str:
        """Return ``split subject: 7 % of contacts would now take another branch than in post-purchase@3``."""
        if self.share is None:
            return f"{self.what}: all {self.whom} are drawn anew: it has another seed or another 'by' than in {version}"
        does = "be in another group" if self.what == CONTROL else "take another branch"
        return f"{self.what}: {percent(self.share)} % of {self.whom} would now {does} than in {version}"


@dataclass(frozen=True)
class VersionDifference:
    """The difference between a version and a later one."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Changes of a step: keys of the file (``subject``, ``wait``), and other successors (``then → sms-2``)."""
    settings: tuple[str, ...] = ()
    """Changed keys of the scenario itself: ``exit``, ``timezone``."""
    redrawn: tuple[Redrawn, ...] = ()

    def __str__(self) -> str:
        parts = [f"added: {', '.join(self.added)}"] if self.added else []
        parts += [f"removed: {', '.join(self.removed)}"] if self.removed else []
        changed = [f"{step} ({', '.join(what)})" for step, what in self.changed.items()]
        parts += [f"changed: {', '.join((*self.settings, *changed))}"] if changed or self.settings else []
        return "; ".join(parts) or "nothing is different for a journey"


def difference(earlier: Scenario, later: Scenario) -> VersionDifference:
    """Compare two versions of a scenario by the ids of their steps."""
    old, new = document(earlier), document(later)
    before, after = _steps(old), _steps(new)
    plans = compile_plan(earlier), compile_plan(later)
    changed: dict[str, tuple[str, ...]] = {}
    for name, step in after.items():
        if (was := before.get(name)) is not None:
            own = ["its kind"] if was.kind != step.kind else _differing(_own(was), _own(step))
            if what := (*own, *_ways(*plans, name)):
                changed[name] = what
    return VersionDifference(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=changed,
        settings=tuple(key for key in _differing(old, new) if key not in _ELSEWHERE),
        redrawn=tuple(_redrawn(earlier, later, *plans)),
    )


def _redrawn(earlier: Scenario, later: Scenario, old: Plan, new: Plan) -> Iterator[Redrawn]:
    gone = [lot for name, lot in old.lots.items() if name not in new.lots]
    for name, lot in new.lots.items():
        # A generated id changes if a step is inserted before it.
        was = old.lots.get(name) or next((other for other in gone if other.shares.keys() == lot.shares.keys()), None)
        if was is not None and (moved := lot.moved(was)) != 0:
            whom = f"{lot.by}s" if lot.by in UNITS else f"values of {lot.by}"
            yield Redrawn(f"{new.steps[name].kind} {name}", moved, whom)
    if moved := control_of(later).moved(control_of(earlier)):
        yield Redrawn(CONTROL, moved, f"{CONTACT}s")


def _steps(stored: Mapping[str, Any]) -> dict[str, WrittenStep]:
    return {str(written.id): written for written in outline(stored)}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in (*new, *(key for key in old if key not in new)) if old.get(key) != new.get(key))


def _own(step: WrittenStep) -> Mapping[str, Any]:
    """Return the keys of a step and their values, without its inner steps."""
    own: Any = {key: value for key, value in step.keys.items() if key != "id"}
    for _, path, steps in step.model.lists(step.keys):
        if is_list(steps):
            own = with_value(own, path, None)
    return own


def _ways(old: Plan, new: Plan, name: str) -> Iterator[str]:
    """Yield successors that differ although both steps exist in both versions: the order has changed."""
    before, after = old.steps[name].ways, new.steps[name].ways
    for key, target in after.items():
        was = before.get(key, target)
        moved = was != target and (was is None or was in new.steps) and (target is None or target in old.steps)
        if moved:
            yield f"{key} → {target or 'the end'}"
