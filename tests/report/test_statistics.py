"""Statistics against values computed by hand."""

import pytest

from cnn_experiments.report.statistics import Sample, paired
from cnn_experiments.runs.directory import rounded


def test_mean_deviation_and_interval() -> None:
    sample = Sample((0.80, 0.82, 0.87))
    assert sample.count == 3
    assert sample.mean == pytest.approx(0.83)
    assert sample.deviation == pytest.approx((0.0026 / 2) ** 0.5)  # squares of -0.03, -0.01, 0.04
    # 4.302653 is Student's t for 2 degrees of freedom; 4.302653 * 0.0360555 / 3**0.5 = 0.0895669
    assert sample.interval == pytest.approx((0.7404331, 0.9195669), abs=1e-7)
    assert sample.sign == 1


def test_one_value_has_no_spread() -> None:
    sample = Sample((0.9,))
    assert (sample.count, sample.mean, sample.deviation, sample.interval, sample.sign) == (1, 0.9, None, None, 0)


def test_equal_values_have_an_interval_of_no_length() -> None:
    assert Sample((0.5, 0.5)).interval == (0.5, 0.5)
    assert Sample((0.5, 0.5)).sign == 0
    for images in (0, 7, 500):  # the same difference of 4 images in 899, with the digits that results.json has
        shares = [(rounded((images + seed + 4) / 899), rounded((images + seed) / 899)) for seed in range(3)]
        assert Sample(tuple(one - other for one, other in shares)).sign == 0


def test_only_shared_seeds_are_paired() -> None:
    one = {0: 0.80, 1: 0.82, 2: 0.87}
    other = {1: 0.80, 2: 0.84, 3: 0.99}
    sample = paired(one, other)
    assert sample is not None
    assert sample.values == pytest.approx((0.02, 0.03))
    assert sample.mean == pytest.approx(0.025)
    # sd 0.0070711, t for 1 degree 12.706205; 12.706205 * 0.0070711 / 2**0.5 = 0.063531
    assert sample.interval == pytest.approx((-0.038531, 0.088531), abs=1e-6)
    assert sample.sign == 0
    assert paired(one, {7: 0.5}) is None
    single = paired(one, {2: 0.5})
    assert single is not None
    assert (single.count, single.interval, single.sign) == (1, None, 0)


def test_pairing_sees_what_means_alone_do_not() -> None:
    one = {0: 0.70, 1: 0.80, 2: 0.90}
    other = {0: 0.68, 1: 0.785, 2: 0.88}
    sample = paired(other, one)
    assert sample is not None
    # -0.02, -0.015, -0.02: mean -0.0183333, sd 0.0028868, t 4.302653: reach 0.0071711
    assert sample.interval == pytest.approx((-0.0255044, -0.0111622), abs=1e-7)
    assert sample.sign == -1
    low, high = Sample(tuple(one.values())).interval or (0, 0)
    assert low < Sample(tuple(other.values())).mean < high
