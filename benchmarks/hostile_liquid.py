"""The cost of rendering each hostile template: processor time and peak memory.

Run by hand, from the project's root: ``python -m benchmarks.hostile_liquid``. It fails if a template takes more than
half a second or 64 MB.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Final

from scenario.errors import TemplateError
from scenario.liquid import render_json, render_text
from tests.scenario.liquid.hostile import BODIES, DATA, TEMPLATES

SECONDS: Final = 0.5
MEGABYTES: Final = 64

WORK: Final[dict[str, Callable[[], object]]] = {
    **{name: partial(render_text, source, DATA) for name, (source, _) in TEMPLATES.items()},
    **{f"body: {name}": partial(render_json, body, DATA) for name, (body, _) in BODIES.items()},
}


def describe_outcome(work: Callable[[], object]) -> str:
    """Call it. Return the reason of its template error, or "a result"."""
    try:
        work()
    except TemplateError as error:
        return error.reason
    return "a result"


def main() -> int:
    """Print a line for each template, the slowest first."""
    measured: list[tuple[float, float, str, str]] = []
    for name, work in WORK.items():
        gc.collect()
        start = time.thread_time()
        outcome = describe_outcome(work)
        seconds = time.thread_time() - start
        # A second run, because tracing memory multiplies the time.
        tracemalloc.start()
        describe_outcome(work)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        measured.append((seconds, peak / 2**20, name, outcome))
    measured.sort(reverse=True)
    for seconds, megabytes, name, outcome in measured:
        sys.stdout.write(f"{seconds * 1000:6.1f} ms {megabytes:5.1f} MB  {name}: {outcome}\n")
    most = max(megabytes for _, megabytes, _, _ in measured)
    sys.stdout.write(f"{len(measured)} cases: {measured[0][0] * 1000:.0f} ms and {most:.1f} MB at most\n")
    return 1 if measured[0][0] > SECONDS or most > MEGABYTES else 0


if __name__ == "__main__":
    sys.exit(main())
