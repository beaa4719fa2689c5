"""What a few runs that differ in their seed alone can tell."""

import math
import statistics
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from scipy.special import stdtrit

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sample:
    """Measurements of one thing, at least one."""

    values: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many there are, n."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation with ddof 1; None for a single one."""
        return statistics.stdev(self.values) if self.count > 1 else None

    @property
    def varies(self) -> bool:
        """Whether they differ by more than the last of the seven digits that results.json has."""
        return max(self.values) - min(self.values) > 1e-6

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, from Student's t with n - 1 degrees of freedom; None for a single one."""
        if self.deviation is None:
            return None
        reach = float(stdtrit(self.count - 1, (1 + _CONFIDENCE) / 2)) * self.deviation / math.sqrt(self.count)
        return self.mean - reach, self.mean + reach

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below 0, else 0; equal values tell nothing of their spread."""
        if self.interval is None or not self.varies:
            return 0
        low, high = self.interval
        return (low > 0) - (high < 0)


def paired(one: Mapping[Hashable, float], other: Mapping[Hashable, float]) -> Sample | None:
    """The differences, one minus other, over the seeds that both have; None where they share none."""
    shared = [seed for seed in one if seed in other]
    return Sample(tuple(one[seed] - other[seed] for seed in shared)) if shared else None
