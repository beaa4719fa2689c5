"""The regularized incomplete beta function, of which binomial and Student's t distributions are made.

SciPy has it too, and takes longer to import than a leaderboard to print.
"""

import math

_MAX_TERMS = 10_000
_TINY = 1e-300


def regularized_incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b), the probability that a variable of the distribution Beta(a, b) is at most x.

    It is a continued fraction (DLMF, https://dlmf.nist.gov/8.17#v), evaluated by the method of Lentz.

    Args:
        a: above 0.
        b: above 0.
        x: in 0..1.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges faster for the other tail
        return 1 - regularized_incomplete_beta(b, a, 1 - x)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    factor = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
    return factor * _continued_fraction(a, b, x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    numerator, denominator = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    fraction = denominator
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        previous = fraction
        for term in (even, odd):
            denominator = 1 / _not_zero(1 + term * denominator)
            numerator = _not_zero(1 + term / numerator)
            fraction *= denominator * numerator
        if abs(fraction - previous) <= 1e-15 * abs(fraction):
            break
    return fraction


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
