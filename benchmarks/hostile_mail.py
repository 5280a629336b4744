"""The cost of rendering each hostile e-mail: processor time and peak memory.

Run by hand, from the project's root: ``python -m benchmarks.hostile_mail``. It fails if an e-mail takes more than half
a second, or more than 64 MB in the process that renders it or in the process that reads its HTML. The operating system
limits the memory of the reading process; it is shown only if that process survived. Time and memory of a reading
process with an empty document are subtracted.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Final

from activities.email import message
from tests.activities.email.hostile import MAILS, outcome

SECONDS: Final = 0.5
MEGABYTES: Final = 64
CELL: Final = message._CELL  # pyright: ignore[reportPrivateUsage]


def cell_memory() -> float:
    """Return the peak memory of the process that reads HTML in MB, or 0 if it has ended."""
    process = CELL._process  # pyright: ignore[reportPrivateUsage]
    if not process.is_running:
        return 0.0
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmPeak"))


def measure(html: str | None, name: str = "") -> tuple[float, float, float, str | None]:
    """Render an e-mail, or only read some HTML, with a new reading process.

    Returns:
        Processor seconds of this process and of the reading process, MB of the latter, and the result or error.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.thread_time()
    result = outcome(name) if html is None else str(CELL.work(html))
    rendering = time.thread_time() - start
    memory = cell_memory()
    CELL.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    reading = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return rendering, reading, memory, result


def main() -> int:
    """Print a line for each e-mail, the slowest first."""
    measure("")
    empty = [measure("") for _ in range(5)]
    _, idle_time, idle_memory, _ = min(empty, key=lambda each: each[1])
    measured: list[tuple[float, float, float, float, str, str]] = []
    for name in MAILS:
        gc.collect()
        rendering, reading, memory, result = measure(None, name)
        # A second run, because tracing memory multiplies the time.
        tracemalloc.start()
        outcome(name)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        read_memory = max(memory - idle_memory, 0.0)
        measured.append(
            (max(reading - idle_time, 0.0), rendering, read_memory, peak / 2**20, name, result or "a message")
        )
    measured.sort(reverse=True)
    for reading, rendering, read_memory, peak, name, result in measured:
        times = f"{reading * 1000:6.1f} + {rendering * 1000:5.1f} ms"
        sys.stdout.write(f"{times} {read_memory:5.1f} MB to read, {peak:5.1f} MB to render  {name}: {result}\n")
    slowest = max(reading + rendering for reading, rendering, *_ in measured)
    most = max(max(read_memory, peak) for _, _, read_memory, peak, *_ in measured)
    sys.stdout.write(f"{len(measured)} e-mails: {slowest * 1000:.0f} ms and {most:.1f} MB at most\n")
    return 1 if slowest > SECONDS or most > MEGABYTES else 0


if __name__ == "__main__":
    sys.exit(main())
