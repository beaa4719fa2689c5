"""What a search may choose from: overrides with several values, as Optuna knows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from cnn_experiments.errors import Refusal

_DIGITS = 4


@dataclass(frozen=True)
class Parameter:
    """One setting that is searched."""

    override: Override
    distribution: BaseDistribution

    @property
    def key(self) -> str:
        """Of the setting."""
        return self.override.key_or_group

    @property
    def is_of_floats(self) -> bool:
        """Whether what is drawn has digits behind the point."""
        return isinstance(self.distribution, FloatDistribution)

    @property
    def samples(self) -> list[Any]:
        """All choices, or the ends of a range, and of one of floats a number between them."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        low, high = self.distribution.low, self.distribution.high
        return [low, high] if isinstance(low, int) else [low, low + 0.6180 * (high - low), high]

    @property
    def values(self) -> list[Any]:
        """What a run's setting may be: the samples as numbers where they are numbers."""
        drawn = self.override.sweep_iterator() if self.override.is_discrete_sweep() else self.samples
        return [value if isinstance(value, int | float) else str(value) for value in drawn]

    def typed(self, value: Any) -> str:
        """An override with a value; numbers have four digits, that they can be read."""
        text = str(value)
        if isinstance(self.distribution, FloatDistribution):
            rounded = float(f"{value:.{_DIGITS}g}")
            text = f"{min(max(rounded, self.distribution.low), self.distribution.high):.10g}"
        return f"{self.override.get_key_element()}={text}"


def parameter(override: Override) -> Parameter:
    """What `adam,sgd`, `range(2,5)`, `interval(0.1,1)` or `tag(log,interval(0.001,1))` mean to a search.

    Raises:
        Refusal: it is no range for a search.
    """
    try:
        return Parameter(override, _distribution(override))
    except ValueError as error:
        raise Refusal(f"{override.input_line}: {' '.join(str(error).split())}") from error


def _distribution(override: Override) -> BaseDistribution:
    interval = override.value()
    tags: set[str] = getattr(interval, "tags", set())
    if wrong := tags - ({"log"} if override.is_interval_sweep() else set()):
        raise ValueError(f"tag {', '.join(sorted(wrong))}: must be log, of an interval")
    if isinstance(interval, IntervalSweep):
        low, high = interval.start, interval.end
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log="log" in interval.tags)
        assert low is not None
        assert high is not None
        return FloatDistribution(low, high, log="log" in interval.tags)
    if override.is_range_sweep():
        numbers: Sequence[Any] = sorted(override.sweep_iterator())
        if not numbers:
            raise ValueError("must have a number in it")
        if all(isinstance(number, int) for number in numbers):
            return IntDistribution(numbers[0], numbers[-1], step=_step(numbers))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _step(numbers: Sequence[int]) -> int:
    return numbers[1] - numbers[0] if len(numbers) > 1 else 1
