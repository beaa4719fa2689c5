"""The function is compared with SciPy's."""

import pytest
from scipy.special import betainc

from cnn_experiments.predictions.incomplete_beta import regularized_incomplete_beta


@pytest.mark.parametrize("a", [0.5, 1, 3.5, 40, 5000])
@pytest.mark.parametrize("b", [0.5, 1, 2, 30, 6000])
@pytest.mark.parametrize("x", [0.0, 1e-9, 0.1, 0.5, 0.9, 1.0])
def test_function_equals_that_of_scipy(a: float, b: float, x: float) -> None:
    assert regularized_incomplete_beta(a, b, x) == pytest.approx(betainc(a, b, x), rel=1e-9, abs=1e-280)
