"""Renders a scenario for made-up contacts, to find one for whom a step fails, and reduces its entry to a minimum."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from activities.channel import RenderedMessage
from authoring.preview.contact import PreviewInputs, empty_output, preview, refusal
from authoring.preview.draft import Draft
from authoring.preview.rendering import EmptyOutput, RenderProblem, TemplateLocator
from authoring.preview.responses import Replies
from authoring.preview.samples import Samples
from authoring.preview.walk import GivenEvent, StepPreview
from scenario import liquid
from scenario.errors import EntryError
from scenario.plan.compile import pick
from scenario.plan.plan import PATH_SEPARATOR
from scenario.source.findings import Finding
from scenario.steps.delivery import Send
from scenario.type_guards import Path, is_mapping, value_at, walk, with_value

_AT: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_TRIES: Final = 400  # maximum number of variants in the search of the smallest entry
_DRAWS: Final = 10  # number of tries for each admitted contact


@dataclass(frozen=True, kw_only=True)
class RenderFailure:
    """A contact for whom a step cannot be rendered."""

    number: int
    step: str
    error: Finding  # the mistake, at its place in the file
    fields: Mapping[str, str]  # values of the fields that the failing template uses, for people
    entry: dict[str, Any]
    events: tuple[GivenEvent, ...] = ()
    responses: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(kw_only=True)
class Trial:
    """The result of a trial. Commands print it as JSON, in the order of its fields."""

    wanted: int
    rendered: int = 0  # number of contacts without a problem
    refused: int = 0  # number of contacts for whom no admitted entry was found
    seed: int
    at: str  # time of all entries, ISO 8601
    missed: dict[str, Finding | None] = field(default_factory=dict[str, Finding | None])
    """Steps that no contact reached, with the problem that one would have had there."""
    untaken: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Branches without steps that no contact took, by step."""
    unmade: list[str] = field(default_factory=list[str])
    """Names of saved responses for which none matching the schema was found."""
    empty: list[EmptyTally] = field(default_factory=list["EmptyTally"])
    """Outputs that printed nothing for a contact, by step, in the order of the text."""
    failure: RenderFailure | None = None


@dataclass(frozen=True, kw_only=True)
class EmptyTally:
    """An output that printed nothing, or null in JSON, and the number of contacts for whom it did."""

    step: str
    output: str  # its expression, without braces
    file: str
    line: int
    column: int
    contacts: int


def attempt(
    draft: Draft, wanted: int, *, seed: int, given: PreviewInputs, step: str | None = None, each: Callable[[], None]
) -> Trial:
    """Render every step for made-up contacts until one fails.

    A step fails only if the contact might reach it: a step behind an `if` that excludes the contact may fail. Both
    branches of a `wait_for` count. Events and missing responses are made up. The time is by default a fixed one: the
    same seed gives the same contacts.
    """
    at = given.at or _AT
    given = replace(given, at=at)
    samples, replies, places = Samples(draft, seed), Replies(draft, seed, given.responses), TemplateLocator(draft.file)
    trial = Trial(wanted=wanted, seed=seed, at=at.isoformat())
    missed: dict[str, RenderProblem | None] = dict.fromkeys(draft.steps)
    seen: set[str] = set()
    empty: Counter[tuple[str, EmptyOutput]] = Counter()
    untaken = {name: _bare_ways(draft, name) for name in draft.steps if step in (None, name)}
    for number in range(1, wanted + 1):
        entry = _admitted(samples, number, draft, given)
        if entry is None:
            trial.refused += 1
            each()
            continue
        responses = replies.made(number)
        circumstances = replace(given, events=samples.events(number, entry, responses), responses=responses)
        for passed in preview(draft, entry, circumstances).steps:
            if step not in (None, passed.id):
                continue
            problem = _problem(passed)
            if passed.reachable:
                seen.add(passed.id)
                untaken[passed.id].discard(passed.way or passed.outcome)
                if isinstance(passed.result, RenderedMessage):
                    empty.update((passed.id, one) for one in passed.empty)
                if problem is not None:
                    trial.failure = _failure(draft, places, number, passed, entry, circumstances)
                    return trial
            elif problem is not None and missed.get(passed.id) is None:
                missed[passed.id] = problem
        trial.rendered += 1
        each()
    trial.unmade = replies.unmade
    tallies = [EmptyTally(step=name, **empty_output(places, name, one), contacts=n) for (name, one), n in empty.items()]
    trial.empty = sorted(tallies, key=lambda one: (one.file, one.line, one.column))
    for name, problem in missed.items():
        if name not in seen and step in (None, name):
            trial.missed[name] = None if problem is None else places.find(name, problem)
    trial.untaken = {name: sorted(ways) for name, ways in untaken.items() if ways and name in seen}
    return trial


def _bare_ways(draft: Draft, name: str) -> set[str]:
    """Return the branches of a step that depend on data and have no steps."""
    row, step = draft.plan.steps[name], draft.steps[name]
    if row.asked is None or row.role != "divides":
        return set()
    return set(row.ways) - {way for way, _, steps in step.lists(step.keys()) if steps}


def _admitted(samples: Samples, number: int, draft: Draft, given: PreviewInputs) -> dict[str, Any] | None:
    """Return the entry of a number, or another one that is admitted, or None."""
    for again in range(_DRAWS):
        entry = samples.entry(number, again)
        try:
            if refusal(draft, entry, given) is None:
                return entry
        except EntryError:
            # The models accept nearly all of it, and the rest is never rendered.
            continue
    return None


def _problem(passed: StepPreview) -> RenderProblem | None:
    """Return why a step fails, in the scenario or in this program."""
    if passed.problem is not None:
        # A wait may continue without its date by choice. A message with a mistake is never intended.
        foreseen = passed.outcome == "failed" and not isinstance(passed.row, Send)
        return None if foreseen else passed.problem
    if isinstance(passed.result, RenderedMessage) and (defect := passed.result.defect(passed.row)):
        return RenderProblem(defect)
    return None


def _failure(
    draft: Draft, places: TemplateLocator, number: int, passed: StepPreview, entry: dict[str, Any], given: PreviewInputs
) -> RenderFailure:
    problem = _problem(passed)
    assert problem is not None  # noqa: S101 the caller has seen it
    wanted = places.find(passed.id, problem)

    def fails(candidate: dict[str, Any], circumstances: PreviewInputs) -> RenderProblem | None:
        """Return the same problem of the same step, if the candidate has it."""
        try:
            if refusal(draft, candidate, circumstances) is not None:
                return None
            steps = preview(draft, candidate, circumstances).steps
        except EntryError:
            return None
        there = next(item for item in steps if item.id == passed.id)
        found = _problem(there) if there.reachable else None
        return found if found is not None and places.find(passed.id, found) == wanted else None

    smallest = simplest(entry, lambda candidate: fails(candidate, given) is not None, _TRIES)
    # Every event and response may be removed. A preview needs the rest to fail.
    events = {event.name: dict(event.properties) for event in given.events}
    reduced = simplest(
        {"events": events, "responses": dict(given.responses)},
        lambda reduced: fails(smallest, _with_circumstances(given, reduced)) is not None,
        _TRIES,
        kept=frozenset((("events",), ("responses",))),
    )
    given = _with_circumstances(given, reduced)
    return RenderFailure(
        number=number,
        step=passed.id,
        error=wanted,
        fields=_fields(places, passed.id, fails(smallest, given) or problem),
        entry=smallest,
        events=tuple(given.events),
        responses=given.responses,
    )


def _with_circumstances(given: PreviewInputs, reduced: Mapping[str, Any]) -> PreviewInputs:
    events = [GivenEvent(name, properties) for name, properties in reduced["events"].items()]
    return replace(given, events=events, responses=reduced["responses"])


def _fields(places: TemplateLocator, step: str, problem: RenderProblem) -> dict[str, str]:
    if problem.unread is not None:
        return {"the date": _shown(problem.unread)}
    template = places.template(step, problem)
    if template is None:
        return {}
    paths = liquid.find_fields(template.source, kind=template.kind)
    names = sorted(PATH_SEPARATOR.join(path) for path in paths if path and path[0] not in ("secrets", "now", "today"))
    return {name: _spelt(pick(problem.data, (name,)), name.split(PATH_SEPARATOR)) for name in names}


def _spelt(data: Any, path: list[str]) -> str:
    for name in path:
        if not is_mapping(data) or name not in data:
            return "missing"
        data = data[name]
    return _shown(data)


def _shown(data: Any) -> str:
    text = json.dumps(data)
    return text if len(text) <= 100 else f"{text[:100]}… ({len(text)} characters)"


ENTRY: Final[frozenset[Path]] = frozenset(  # parts that an entry needs
    (("scenario",), ("contact",), ("contact", "id"), ("trigger",), ("trigger", "type"))
)


def simplest(
    entry: dict[str, Any], fails: Callable[[dict[str, Any]], bool], tries: int, *, kept: frozenset[Path] = ENTRY
) -> dict[str, Any]:
    """Return the smallest variant of an entry that still fails in the same way."""
    best = entry
    left = tries
    for change in (_without, _halved, _plain):
        again = True
        while again and left > 0:
            again = False
            for path in [path for path, _ in walk(best) if path and path not in kept]:
                for candidate in change(best, path):
                    left -= 1
                    if fails(candidate):
                        best, again = candidate, change is not _plain
                        break
                    if left <= 0:
                        return best
                if again:
                    # The value at a path may have moved: list the paths again.
                    break
    return best


def _without(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    changed = copy.deepcopy(entry)
    del value_at(changed, path[:-1])[path[-1]]
    yield changed


def _halved(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    value = value_at(entry, path)
    if isinstance(value, str) and len(value) > 1:
        middle = len(value) // 2
        for half in (value[:middle], value[middle:]):
            yield with_value(entry, path, half)


def _plain(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    value = value_at(entry, path)
    if isinstance(value, str) and value != "x":
        yield with_value(entry, path, "x")
