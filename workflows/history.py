"""The measuring of a run's history against the limits at which Temporal terminates it."""

from __future__ import annotations

from typing import Final

from temporalio import workflow

HISTORY_USED: Final = "scenario_history_used"
"""The histogram's name."""
HISTORY_SHARES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
"""The bounds of its buckets."""
_MOST_EVENTS: Final = 51_200
_MOST_BYTES: Final = 50 * 1024 * 1024


def measure_history() -> None:
    """Measure the share of a limit that this run's history has used. Nothing is measured in a replay."""
    info = workflow.info()
    used = max(info.get_current_history_length() / _MOST_EVENTS, info.get_current_history_size() / _MOST_BYTES)
    workflow.metric_meter().create_histogram_float(HISTORY_USED, "share of a history's limits").record(used)
