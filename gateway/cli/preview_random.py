"""``scenario preview --random``: generated contacts, and the first for which rendering fails."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.entry_files import writing
from gateway.cli.options import Format
from gateway.cli.output import progress
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from gateway.preview.contact import PreviewInputs
    from gateway.preview.draft import Draft
    from gateway.preview.trial import RenderFailure, Trial

_AT: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def run(
    made: Draft, wanted: int, given: PreviewInputs, *, seed: int, step: str | None, save: Path | None, form: Format
) -> int:
    """Preview a scenario for generated contacts, and print the outcome.

    Args:
        save: The file for the failing entry, or None for standard output.

    Returns:
        The exit status.
    """
    from gateway.preview.trial import attempt

    started = time.perf_counter()
    # The same moment always: the same seed gives the same contacts.
    at = given.at or _AT
    given = replace(given, at=at)
    with progress("contacts", wanted) as each:
        trial = attempt(made, wanted, seed=seed, given=given, step=step, each=each)
    seconds = time.perf_counter() - started
    if trial.failure is not None and save is not None:
        with writing(save) as file:
            file.write(f"{_json(trial.failure.entry)}\n")
    if form is Format.JSON:
        dump(_plain(trial, seed, at))
    else:
        _tell(trial, seed, save, seconds, at)
    return 1 if trial.failure is not None else 0


def _plain(trial: Trial, seed: int, at: datetime) -> dict[str, Any]:
    failure = trial.failure
    return {
        "wanted": trial.wanted,
        "rendered": trial.rendered,
        "refused": trial.refused,
        "seed": seed,
        "at": at.isoformat(),
        "missed": {name: finding and finding.as_json() for name, finding in trial.missed.items()},
        "untaken": trial.untaken,
        "unmade": trial.unmade,
        "failure": failure
        and {
            "number": failure.number,
            "step": failure.step,
            "error": failure.finding.as_json(),
            "fields": dict(failure.fields),
            "entry": failure.entry,
            "events": [{"name": event.name, "properties": dict(event.properties)} for event in failure.events],
            "responses": dict(failure.responses),
        },
    }


def _tell(trial: Trial, seed: int, save: Path | None, seconds: float, at: datetime) -> None:
    for name, finding in trial.missed.items():
        why = "" if finding is None else f"; it would fail: {finding.file}:{finding.line}:{finding.column}: "
        note(f"step {name}: no contact reached it{why}{'' if finding is None else finding.message}")
    for name, ways in trial.untaken.items():
        note(f"step {name}: no contact took the branch {' or '.join(map(repr, ways))}")
    for name in trial.unmade:
        note(f"no response '{name}' could be generated that fits its schema: give one with --response {name}=JSON")
    failure = trial.failure
    if failure is None:
        refused = f", {trial.refused} would not have been admitted" if trial.refused else ""
        say(f"{trial.rendered} of {trial.wanted} rendered{refused} ({trial.wanted / max(seconds, 1e-6):.0f} a second)")
        return
    _blame(failure, seed)
    where = "-" if save is None else str(save)
    more = [part for event in failure.events for part in ("--event", _given(event.name, event.properties))]
    more += [part for name, value in failure.responses.items() for part in ("--response", _given(name, value))]
    # By default, a preview of one contact is of now, but the failure may depend on the day.
    again = shlex.join(("--entry", where, *more, "--at", at.isoformat()))
    if save is not None:
        note(f"the entry is in {save}: see it with {again}")
        return
    note(f"the entry goes with {again}")
    say(_json(failure.entry))


def _given(name: str, value: Any) -> str:
    return f"{name}={json.dumps(value)}".replace("\x7f", "\\u007f")


def _blame(failure: RenderFailure, seed: int) -> None:
    found = failure.finding
    note(f"scenario: contact {failure.number} of seed {seed} fails at step {failure.step}:")
    note(f"{found.file}:{found.line}:{found.column}: {found.message}")
    for name, value in failure.fields.items():
        note(f"  {name} = {value}")


def _json(entry: dict[str, Any]) -> str:
    """Return the entry as ASCII: terminals show every character of it, and files keep it unchanged."""
    return json.dumps(entry, indent=2).replace("\x7f", "\\u007f")
