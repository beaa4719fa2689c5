"""Checks of arguments that several augmentations share."""

from collections.abc import Sequence
from math import inf

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation.warping import INTERPOLATIONS


def check_probability(p: float) -> float:
    """Return a probability.

    Raises:
        ArgumentError: it is outside of [0, 1].
    """
    if not 0 <= p <= 1:
        raise ArgumentError("p", p, "must be a probability in [0, 1]")
    return p


def check_degrees(degrees: float) -> float:
    """Return the largest angle of rotations to either side, in degrees.

    Raises:
        ArgumentError: it is negative, or above that of a whole rotation.
    """
    if not 0 <= degrees <= 360:
        raise ArgumentError("degrees", degrees, "must be the largest angle in degrees, >= 0 and <= 360")
    return degrees


def check_interpolation(interpolation: str) -> str:
    """Return the name of an interpolation.

    Raises:
        ArgumentError: there is none of this name.
    """
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError("interpolation", interpolation, f"must be one of {', '.join(INTERPOLATIONS)}")
    return interpolation


def check_alpha(alpha: float) -> float:
    """Return the parameter of a symmetric beta distribution.

    Raises:
        ArgumentError: it is not above 0, or infinite.
    """
    if not 0 < alpha < inf:
        raise ArgumentError("alpha", alpha, "must be a number > 0")
    return alpha


def check_scale(scale: Sequence[float]) -> Sequence[float]:
    """Return a range of factors.

    Raises:
        ArgumentError: it is not two positive numbers in order.
    """
    if not (len(scale) == 2 and 0 < scale[0] <= scale[1]):
        raise ArgumentError("scale", list(scale), "must be two numbers > 0, the smaller one first")
    return scale
