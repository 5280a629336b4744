"""What each hostile e-mail costs until it ends: the processor's milliseconds, and the peak of memory.

Run by hand, from the project's root: ``python -m benchmarks.hostile_mail``. It fails where one takes more than half a
second or 64 MB, in the process that renders it or in the one that reads its HTML. The latter's memory is bounded by the
operating system, and shown where it lived on; its time is that of a new process less that of one which reads nothing.
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
    """Render one, with a new process to read it.

    Returns:
        Seconds here, seconds there, MB there, and the result or error in words.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.thread_time()
    ended = outcome(name) if html is None else str(CELL.work(html))
    here = time.thread_time() - start
    memory = cell_memory()
    CELL.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    there = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return here, there, memory, ended


def main() -> int:
    """Print a line for each e-mail, the slowest first."""
    measure("")
    empty = [measure("") for _ in range(5)]
    _, idle, bare, _ = min(empty, key=lambda one: one[1])
    measured: list[tuple[float, float, float, float, str, str]] = []
    for name in MAILS:
        gc.collect()
        here, there, memory, ended = measure(None, name)
        # In a second run, since keeping account of memory takes several times as long as the work.
        tracemalloc.start()
        outcome(name)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        beyond = max(memory - bare, 0.0)
        measured.append((max(there - idle, 0.0), here, beyond, peak / 2**20, name, ended or "a message"))
    measured.sort(reverse=True)
    for there, here, beyond, peak, name, ended in measured:
        times = f"{there * 1000:6.1f} + {here * 1000:5.1f} ms"
        sys.stdout.write(f"{times} {beyond:5.1f} MB there {peak:5.1f} MB here  {name}: {ended}\n")
    slowest = max(there + here for there, here, *_ in measured)
    most = max(max(beyond, peak) for _, _, beyond, peak, *_ in measured)
    sys.stdout.write(f"{len(measured)} e-mails: {slowest * 1000:.0f} ms and {most:.1f} MB at most\n")
    return 1 if slowest > SECONDS or most > MEGABYTES else 0


if __name__ == "__main__":
    sys.exit(main())
