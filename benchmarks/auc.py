"""How well one measurement tells two groups apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

#: Standard deviations on each side that hold 95 % of a normal distribution.
NINETY_FIVE = 1.959964


@dataclass(frozen=True)
class Auc:
    """The area under the ROC curve: 0.5 says nothing, 0 and 1 tell every time. With its 95 % interval."""

    estimate: float
    low: float
    high: float

    def is_within(self, tolerance: float) -> bool:
        """Whether the estimate is no further than this from saying nothing."""
        return abs(self.estimate - 0.5) <= tolerance

    def is_surely_within(self, tolerance: float) -> bool:
        """Whether the whole interval is."""
        return self.low >= 0.5 - tolerance and self.high <= 0.5 + tolerance


def midranks(values: Sequence[float]) -> list[float]:
    """The rank of each, from 1; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for position in order[start:end]:
            ranks[position] = (start + 1 + end) / 2
        start = end
    return ranks


def compare(one: Sequence[float], other: Sequence[float]) -> Auc:
    """The chance that a sample of ``other`` is larger than one of ``one``, ties counting half (Mann-Whitney U / n·m).

    The interval is that of DeLong, DeLong and Clarke-Pearson (1988), from the midranks. Raises StatisticsError where a
    group has fewer than two samples.
    """
    together = midranks([*one, *other])
    # For each sample, the share of the other group that is smaller.
    below_one = [(rank - own) / len(other) for rank, own in zip(together, midranks(one), strict=False)]
    below_other = [(rank - own) / len(one) for rank, own in zip(together[len(one) :], midranks(other), strict=True)]
    estimate = fmean(below_other)
    error = math.sqrt(variance(below_one) / len(one) + variance(below_other) / len(other))
    return Auc(estimate, max(0.0, estimate - NINETY_FIVE * error), min(1.0, estimate + NINETY_FIVE * error))
