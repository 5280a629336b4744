"""The time to draw the map of a large plan.

Run by hand, from the project's root: ``python -m benchmarks.map``. It prints processor time, minimum and median.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from authoring.map.map import ScenarioMap
from tests.authoring.map.plans import many
from tests.authoring.map.test_layout import crowded


def main() -> None:
    """Draw maps, and print their cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--times", type=int, default=30)
    options = parser.parse_args()
    plan = many(options.steps)
    for variant, overlay in (("alone", None), ("with people at every step", crowded(plan))):
        took: list[float] = []
        size = 0
        for _ in range(options.times):
            start = time.process_time()
            made = ScenarioMap(plan, "a@1") if overlay is None else ScenarioMap(plan, "a@1", overlay=overlay)
            size = len(made.svg()) + len(made.rows)
            took.append(1000 * (time.process_time() - start))
        cost = f"{min(took):.1f} ms minimum, {statistics.median(took):.1f} ms median, {size / 1000:.0f} kB"
        sys.stdout.write(f"{len(plan.steps)} steps {variant}: {cost}\n")


if __name__ == "__main__":
    main()
