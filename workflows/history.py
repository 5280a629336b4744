"""The measuring of a run's history against the limits at which Temporal terminates it."""

from __future__ import annotations

from typing import Final

from temporalio import workflow

METRIC: Final = "scenario_history_used"
_MOST_EVENTS: Final = 51_200
_MOST_BYTES: Final = 50 * 1024 * 1024


def measure_history() -> None:
    """Measure the share of a limit that this run's history has used. Nothing is measured in a replay."""
    info = workflow.info()
    used = max(info.get_current_history_length() / _MOST_EVENTS, info.get_current_history_size() / _MOST_BYTES)
    workflow.metric_meter().create_histogram_float(METRIC, "share of a history's limits").record(used)
