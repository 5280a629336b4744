"""Statistics of experiments: intervals of rates, differences of rates, and deviations from drawn shares.

A package for statistics has fifty megabytes. These functions are a few lines each, tested with published examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, exp, lgamma, log, sqrt
from statistics import NormalDist
from typing import Final

Z: Final = NormalDist().inv_cdf(0.975)
"""For 95 % confidence."""
FEWEST: Final = 5
"""Expected counts below this are too few for the normal and the χ² distribution (Cochran, "Some methods for
strengthening the common χ² tests", Biometrics 10, 1954)."""


def interval(reached: int, entered: int) -> tuple[float, float]:
    """Return Wilson's score interval of a rate, 95 %, without a correction for continuity.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927; method 3 of
    R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998.
    """
    if not entered:
        return 0.0, 1.0
    middle = reached + Z * Z / 2
    half = Z * sqrt(reached * (entered - reached) / entered + Z * Z / 4)
    whole = entered + Z * Z
    # At the ends, the formula gives 0 and 1 except for rounding.
    low = 0.0 if reached == 0 else (middle - half) / whole
    high = 1.0 if reached == entered else (middle + half) / whole
    return low, high


def p_of_rates(one: tuple[int, int], other: tuple[int, int]) -> float | None:
    """Return the p-value of the difference of two rates (reached, of all): the two-sided z test with the pooled rate.

    It equals Pearson's χ² test of the 2×2 table without a correction for continuity, as R's
    ``prop.test(…, correct=FALSE)``. None if fewer than five are expected in a cell of the table.
    """
    (a, n), (b, m) = one, other
    if not n or not m:
        return None
    pooled = (a + b) / (n + m)
    if min(n, m) * min(pooled, 1 - pooled) < FEWEST:
        return None
    z = (a / n - b / m) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return erfc(abs(z) / sqrt(2))


def p_of_shares(strata: Sequence[Sequence[tuple[int, float]]]) -> float | None:
    """Return the p-value of the deviation from a draw's shares, by Pearson's χ² test, or None if counts are too small.

    Args:
        strata: For each period with the same shares: how many drew each branch, and its share of 1. The sums of χ² and
            of degrees of freedom over independent strata are χ² again.
    """
    total, freedom = 0.0, 0
    for drawn in strata:
        everybody = sum(count for count, _ in drawn)
        cells = [(count, everybody * share) for count, share in drawn if count or share]
        if any(not expected for _, expected in cells):
            return 0.0  # no draw has this result
        if len(cells) < 2 or any(expected < FEWEST for _, expected in cells):
            continue
        total += sum((count - expected) ** 2 / expected for count, expected in cells)
        freedom += len(cells) - 1
    return chi_square_tail(total, freedom) if freedom else None


def chi_square_tail(value: float, freedom: int) -> float:
    """Return the probability that χ² with these degrees of freedom exceeds a value.

    Finite sums: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 (odd) and 26.4.5 (even).
    """
    if not value:
        return 1.0
    half, odd = value / 2, freedom % 2
    powers = (number + odd / 2 for number in range(freedom // 2))
    # With many degrees of freedom, powers and the gamma function overflow without logarithms.
    tail = sum(exp(power * log(half) - half - lgamma(power + 1)) for power in powers)
    return tail + erfc(sqrt(half)) if odd else tail
