"""What a scenario may not do, or can hardly mean, although its keys and values are right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from scenario import model
from scenario.findings import clip
from scenario.outline import Written, outline
from scenario.report import Report
from scenario.source import Path
from scenario.webhooks import check_delivery

_BACK: Final = 100
"""How many waits before one are compared with it: in the longest scenario too, the check takes no time to speak of."""


def check_rules(data: Any, report: Report) -> None:
    """Reports what is wrong with a scenario as a whole, whatever else is wrong with it.

    Args:
        data: The scenario as it was written, with its misspelt keys put right.
        report: Takes the findings.
    """
    if not isinstance(data, Mapping):
        return
    scenario = cast("Mapping[str, Any]", data)
    steps = list(outline(scenario))
    _names(steps, report)
    _unreachable(steps, report)
    for step in steps:
        if step.kind in model.NAMED:
            check_delivery(step, report)
    rules = _exit_rules(scenario, report)
    _waits(steps, rules, report)
    _key(scenario, report)


def _names(steps: Sequence[Written], report: Report) -> None:
    """Names are unique: operators, histories and deliveries know a step by its own."""
    made = {step.id for step in steps if step.id is not None and not any(_naming(step))}
    first: dict[str, Path] = {}
    for step in steps:
        for key in _naming(step):
            name, place = step.keys[key], (*step.path, key)
            if first.setdefault(name, step.path) != step.path:
                line = report.line(first[name])
                report.add(
                    place, "duplicate-name", f"'{clip(name)}' is the name of the step on line {line}: choose another"
                )
            elif name in made:
                message = f"'{name}' is what an unnamed step is called by its place: choose another name"
                report.add(place, "duplicate-name", message)


def _naming(step: Written) -> Iterator[str]:
    """The keys that name a step."""
    for key in dict.fromkeys(("id", step.kind)):
        if key is not None and (key == "id" or key in model.NAMED) and isinstance(step.keys.get(key), str):
            yield key


def _unreachable(steps: Sequence[Written], report: Report) -> None:
    """Nothing follows an exit; of the steps that do, the first is named."""
    by_path = {step.path: step for step in steps}
    told: set[Path] = set()
    for step in steps:
        *around, index = step.path
        parent = tuple(around)
        before = by_path.get((*parent, index - 1)) if isinstance(index, int) else None
        if before is None or parent in told or not _ends(before.keys):
            continue
        told.add(parent)
        cause = "an exit" if before.kind == "exit" else "a step whose branches all exit"
        report.add(
            step.path, "unreachable", f"this step is never reached: it stands behind {cause}", severity="warning"
        )


def _ends(step: Any) -> bool:
    """Whether no way leads out of a step."""
    if not isinstance(step, Mapping):
        return False
    keys = cast("Mapping[str, Any]", step)
    kind = (model.kind_of(keys) or "").strip("<>")
    ways = model.KINDS[kind].ways(keys) if kind else None
    return ways is not None and all(_all_end(keys.get(branch)) for branch in ways)


def _all_end(branch: Any) -> bool:
    return isinstance(branch, list) and any(_ends(step) for step in cast("list[Any]", branch))


def _exit_rules(scenario: Mapping[str, Any], report: Report) -> dict[tuple[str, str | None], Path]:
    """The exit rules by event and condition; two of the same are one too many."""
    rules: dict[tuple[str, str | None], Path] = {}
    written = scenario.get("exit")
    for index, rule in enumerate(cast("list[Any]", written) if isinstance(written, list) else ()):
        if not isinstance(rule, Mapping):
            continue
        keys, place = cast("Mapping[str, Any]", rule), ("exit", index)
        event, condition = keys.get("event"), keys.get("if")
        if not isinstance(event, str) or not isinstance(condition, str | None):
            continue
        before = rules.get((event, None)) or rules.get((event, condition))
        if before is not None:
            message = f"the exit rule on line {report.line(before)} already leaves at this event"
            report.add(place, "redundant", message, severity="warning")
        rules.setdefault((event, condition), place)
    return rules


def _waits(steps: Sequence[Written], rules: Mapping[tuple[str, str | None], Path], report: Report) -> None:
    """Waits for events that a journey does not live to see, or that it has seen already."""
    waits = [
        step
        for step in steps
        if step.kind == "wait_for"
        and isinstance(step.keys.get("wait_for"), str)
        and isinstance(step.keys.get("if"), str | None)
    ]
    for number, step in enumerate(waits):
        event, condition = step.keys["wait_for"], step.keys.get("if")
        rule = rules.get((event, None)) or rules.get((event, condition))
        if rule is not None:
            message = (
                f"this event is never waited for to its end: the exit rule on line {report.line(rule)} leaves at it"
            )
            report.add((*step.path, "wait_for"), "never", message, severity="warning")
            continue
        if step.keys.get("since") == "now":
            continue
        for earlier in waits[max(0, number - _BACK) : number]:
            if (earlier.keys["wait_for"], earlier.keys.get("if")) == (event, condition) and _leads(earlier, step.path):
                line = report.line(earlier.path)
                message = f"the event that line {line} waited for meets this wait at once: add 'since: now' for another"
                report.add((*step.path, "wait_for"), "at-once", message, severity="warning")
                break


def _leads(earlier: Written, path: Path) -> bool:
    """Whether a step is reached only after the event that an earlier one waits for has come."""
    inside = (*earlier.path, "then")
    if path[: len(inside)] == inside:
        return True
    depth = len(earlier.path) - 1
    # Behind a wait without an end, or in a branch of a step behind it.
    return earlier.keys.get("for") is None and len(path) > depth and path[:depth] == earlier.path[:depth]


def _key(scenario: Mapping[str, Any], report: Report) -> None:
    entry = scenario.get("entry")
    key = cast("Mapping[str, Any]", entry).get("key") if isinstance(entry, Mapping) else None
    if isinstance(key, str) and "{{" not in key:
        message = "this key is the same for every entry: write an output such as {{ order.external_id }}"
        report.add(("entry", "key"), "constant-key", message, severity="warning")
