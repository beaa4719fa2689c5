"""Tests of statistics, compared with values computed by hand."""

import pytest
from scipy.special import stdtrit

from cnn_experiments.report.statistics import Sample, paired_difference, student_t_quantile
from cnn_experiments.runs.fingerprint import round_to_float32


def test_mean_std_and_confidence_interval() -> None:
    sample = Sample((0.80, 0.82, 0.87))
    assert sample.n == 3
    assert sample.mean == pytest.approx(0.83)
    assert sample.std == pytest.approx((0.0026 / 2) ** 0.5)  # squares of -0.03, -0.01, 0.04
    # 4.302653 is Student's t for 2 degrees of freedom; 4.302653 * 0.0360555 / 3**0.5 = 0.0895669
    assert sample.ci95 == pytest.approx((0.7404331, 0.9195669), abs=1e-7)
    assert sample.ci_sign == 1


def test_single_value_has_no_std_and_no_interval() -> None:
    sample = Sample((0.9,))
    assert (sample.n, sample.mean, sample.std, sample.ci95, sample.ci_sign) == (1, 0.9, None, None, 0)


def test_equal_values_have_an_empty_interval_without_sign() -> None:
    assert Sample((0.5, 0.5)).ci95 == (0.5, 0.5)
    assert Sample((0.5, 0.5)).ci_sign == 0
    assert Sample((0.5, 0.5)).is_constant


def test_values_that_differ_by_rounding_are_constant() -> None:
    for images in (0, 7, 500):  # the same difference of 4 images in 899, with the digits that results.json has
        accuracies = [
            (round_to_float32((images + seed + 4) / 899), round_to_float32((images + seed) / 899)) for seed in range(3)
        ]
        sample = Sample(tuple(better - worse for better, worse in accuracies))
        assert sample.is_constant
        assert sample.ci_sign == 0


def test_only_shared_seeds_are_paired() -> None:
    minuend = {0: 0.80, 1: 0.82, 2: 0.87}
    sample = paired_difference(minuend, {1: 0.80, 2: 0.84, 3: 0.99})
    assert sample is not None
    assert sample.values == pytest.approx((0.02, 0.03))
    assert sample.mean == pytest.approx(0.025)
    # sd 0.0070711, t for 1 degree 12.706205; 12.706205 * 0.0070711 / 2**0.5 = 0.063531
    assert sample.ci95 == pytest.approx((-0.038531, 0.088531), abs=1e-6)
    assert sample.ci_sign == 0
    assert paired_difference(minuend, {7: 0.5}) is None
    single = paired_difference(minuend, {2: 0.5})
    assert single is not None
    assert (single.n, single.ci95, single.ci_sign) == (1, None, 0)


def test_pairing_finds_a_difference_that_means_alone_do_not() -> None:
    minuend = {0: 0.68, 1: 0.785, 2: 0.88}
    subtrahend = {0: 0.70, 1: 0.80, 2: 0.90}
    sample = paired_difference(minuend, subtrahend)
    assert sample is not None
    # -0.02, -0.015, -0.02: mean -0.0183333, sd 0.0028868, t 4.302653: half width 0.0071711
    assert sample.ci95 == pytest.approx((-0.0255044, -0.0111622), abs=1e-7)
    assert sample.ci_sign == -1
    low, high = Sample(tuple(subtrahend.values())).ci95 or (0, 0)
    assert low < Sample(tuple(minuend.values())).mean < high


@pytest.mark.parametrize("degrees_of_freedom", [1, 2, 4, 30, 1000])
def test_quantile_of_student_t_equals_that_of_scipy(degrees_of_freedom: int) -> None:
    assert student_t_quantile(degrees_of_freedom) == pytest.approx(stdtrit(degrees_of_freedom, 0.975), rel=1e-9)
