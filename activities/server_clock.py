"""The time by Temporal's clock in an activity."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True)
class ServerClock:
    """Temporal's clock, continued on this machine since an activity started.

    This machine's clock may be wrong, so it decides nothing: two of its monotonic times are only subtracted.
    """

    started: datetime  # start of the activity by Temporal's clock
    since: float = field(default_factory=time.perf_counter)  # the same moment on the clock of `time.perf_counter`

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.since

    def now(self) -> datetime:
        return self.started + timedelta(seconds=self.passed)
