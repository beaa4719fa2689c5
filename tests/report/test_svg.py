"""Tests of the charts of pages."""

import pytest

from cnn_experiments.report.svg import new_chart, number_epochs


@pytest.mark.parametrize(
    ("epochs", "limits", "ticks"),
    [([1, 1], (0.5, 1.5), [1]), ([7], (6.5, 7.5), [7]), ([1, 2], (0.95, 2.05), [1, 2])],
)
def test_epochs_have_whole_numbers(epochs: list[int], limits: tuple[float, float], ticks: list[int]) -> None:
    _, axes = new_chart("epoch", "accuracy")
    axes.plot(epochs, [0.5] * len(epochs))
    number_epochs(axes, epochs)
    assert axes.get_xlim() == pytest.approx(limits)
    assert [tick for tick in axes.get_xticks() if limits[0] <= tick <= limits[1]] == ticks
