"""Random mutations of the realistic templates, and the problems that rendering them reveals.

Run by hand, from the project's root: ``python -m benchmarks.mutate_liquid --number 40000 --seed 1``.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.scenario.liquid.mutants import mutants, outcome, problem
from tests.scenario.liquid.samples import variables


def main() -> int:
    """Render mutants, and print each problem with its template."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--number", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    start, problems, errors, slowest = time.thread_time(), 0, 0, 0.0
    for mutant in mutants(given.number, given.seed):
        began = time.thread_time()
        found = problem(mutant)
        slowest = max(slowest, time.thread_time() - began)
        if found:
            problems += 1
            sys.stdout.write(f"{found}\n    {mutant.name}: {mutant.source!r}\n")
        elif outcome(mutant.kind, mutant.source, variables())[0] == "error":
            errors += 1
    sys.stdout.write(
        f"{given.number} mutants: {errors} rejected with a template error, {problems} problems, "
        f"slowest {slowest * 1000:.0f} ms, {time.thread_time() - start:.0f} s in total\n"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
