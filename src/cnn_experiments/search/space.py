"""The search space: sweep overrides as Optuna's distributions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from cnn_experiments.errors import ConfigError

_SIGNIFICANT_DIGITS = 4
_MAX_NUMBERS = 100_000


@dataclass(frozen=True)
class Parameter:
    """A setting that is searched."""

    override: Override
    distribution: BaseDistribution

    @property
    def key(self) -> str:
        """Return the key of the setting."""
        return self.override.key_or_group

    @property
    def probe_values(self) -> list[Any]:
        """Return all choices, or the ends of a range; of a range of floats a value between them too."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        low, high = self.distribution.low, self.distribution.high
        return [low, high] if isinstance(low, int) else [low, low + 0.6180 * (high - low), high]

    @property
    def values(self) -> list[Any]:
        """Return the probe values as a run's settings have them: numbers as numbers."""
        values = self.override.sweep_iterator() if self.override.is_discrete_sweep() else self.probe_values
        return [value if isinstance(value, int | float) else str(value) for value in values]

    def to_override(self, value: Any) -> str:
        """Return an override with a drawn value. Floats are rounded to four digits, so that they can be read."""
        text = str(value)
        if isinstance(self.distribution, FloatDistribution):
            rounded = float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
            text = f"{min(max(rounded, self.distribution.low), self.distribution.high):.10g}"
        return f"{self.override.get_key_element()}={text}"


def to_parameter(override: Override) -> Parameter:
    """Return what `adam,sgd`, `range(2,5)`, `interval(0.1,1)` or `tag(log,interval(0.001,1))` mean to a search.

    Raises:
        ConfigError: the override has no range that can be searched.
    """
    try:
        return Parameter(override, _to_distribution(override))
    except ValueError as error:
        raise ConfigError(str(override.input_line), problem=" ".join(str(error).split())) from error


def _to_distribution(override: Override) -> BaseDistribution:
    interval = override.value()
    tags: set[str] = getattr(interval, "tags", set())
    if unknown := tags - ({"log"} if override.is_interval_sweep() else set()):
        raise ValueError(f"tag {', '.join(sorted(unknown))}: must be log, and only of an interval")
    if isinstance(interval, IntervalSweep):
        low, high = interval.start, interval.end
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log="log" in interval.tags)
        assert low is not None
        assert high is not None
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("must have finite ends")
        return FloatDistribution(low, high, log="log" in interval.tags)
    if override.is_range_sweep():
        numbers: Sequence[Any] = sorted(islice(override.sweep_iterator(), _MAX_NUMBERS + 1))
        if len(numbers) > _MAX_NUMBERS:
            raise ValueError(f"must not contain more than {_MAX_NUMBERS:,} numbers; int(interval(...)) may")
        if not numbers:
            raise ValueError("must contain a number")
        if all(isinstance(number, int) for number in numbers):
            return IntDistribution(numbers[0], numbers[-1], step=_step(numbers))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _step(numbers: Sequence[int]) -> int:
    return numbers[1] - numbers[0] if len(numbers) > 1 else 1
