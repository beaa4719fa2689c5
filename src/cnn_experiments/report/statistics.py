"""Statistics of runs that differ in their seed alone."""

import math
import statistics
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from cnn_experiments.predictions.incomplete_beta import regularized_incomplete_beta

_Key = TypeVar("_Key", bound=Hashable)

_CONFIDENCE = 0.95
_RESOLUTION = 1e-6
"""Smaller differences come from rounding: results.json has seven digits."""
_LARGEST = 1e100
"""Beyond it, a number is no measurement: its square overflows."""


def measurement(value: Any) -> float | None:
    """Return the value if it is a number that can be averaged, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and -_LARGEST < value < _LARGEST else None


def measured_curve(curve: dict[int, float]) -> dict[int, float]:
    """Return a curve that can be drawn: the one given, or an empty one if a value is no measurement."""
    return curve if all(measurement(value) is not None for value in curve.values()) else {}


@dataclass(frozen=True)
class Sample:
    """One or more measurements of the same quantity, such as the test accuracy for several seeds."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Return the number of measurements."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Return the arithmetic mean."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Return the standard deviation with ddof 1; None for a single value."""
        return statistics.stdev(self.values) if self.n > 1 else None

    @property
    def is_constant(self) -> bool:
        """Return whether all values are equal up to the rounding in results.json."""
        return max(self.values) - min(self.values) <= _RESOLUTION

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Return the 95 % confidence interval of the mean; None for a single value.

        It is Student's t interval with n - 1 degrees of freedom.
        """
        if self.std is None:
            return None
        half_width = student_t_quantile(self.n - 1) * self.std / math.sqrt(self.n)
        return self.mean - half_width, self.mean + half_width

    @property
    def ci_sign(self) -> int:
        """Return 1 if the whole confidence interval is above 0, -1 if it is below 0, else 0.

        It is 0 for constant values too, because they do not tell how much the quantity varies.
        """
        if self.ci95 is None or self.is_constant:
            return 0
        low, high = self.ci95
        return (low > 0) - (high < 0)


@cache
def student_t_quantile(degrees_of_freedom: int) -> float:
    """Return the number that the absolute value of Student's t exceeds in 5 % of all cases."""

    def exceeding(t: float) -> float:
        x = degrees_of_freedom / (degrees_of_freedom + t * t)
        return regularized_incomplete_beta(degrees_of_freedom / 2, 0.5, x)

    low, high = 1.0, 16.0  # of one degree of freedom it is 12.7, of the normal distribution 1.96
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if exceeding(middle) > 1 - _CONFIDENCE else (low, middle)
    return low


def paired_difference(minuend: Mapping[_Key, float], subtrahend: Mapping[_Key, float]) -> Sample | None:
    """Return the differences over the seeds that are in both; None if no seed is.

    Args:
        minuend: values by seed.
        subtrahend: the values by seed that are subtracted.
    """
    seeds = [seed for seed in minuend if seed in subtrahend]
    return Sample(tuple(minuend[seed] - subtrahend[seed] for seed in seeds)) if seeds else None
