"""Optional parts of the program, found through entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

CHECKS: Final = "scenario_runner.checks"
"""Further checks of a scenario file: functions of the file's data and a `Report`."""
COMMANDS: Final = "scenario_runner.commands"
"""Further commands of the command line: functions that typer can run."""
SUPPRESSION_PRESETS: Final = "scenario_runner.suppression_presets"
"""APIs that suppressed addresses are reported to: `activities.webhook.presets.SuppressionPreset`."""


@cache
def load_extensions(group: str) -> Mapping[str, Any]:
    """Return the objects registered in an entry point group, by name.

    An entry point of a package that is not installed is skipped: the package can be left out of an installation whose
    metadata still lists it.
    """
    found: dict[str, Any] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()
        except ModuleNotFoundError as error:
            if error.name != entry.module.partition(".")[0]:
                raise
    return found
