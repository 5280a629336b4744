"""Python's garbage collector in a process that has loaded what it needs and runs for long."""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 10_000
"""New objects before a collection begins. Python's default, 700, is reached a few times a delivery under load."""


def collect_rarely() -> None:
    """Exempt all objects made so far from collection, and collect others less often.

    Imported modules alone are some hundred thousand objects. To go through them took an eighth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
