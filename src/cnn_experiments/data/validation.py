"""Checks of what a data set states of itself and of the images and labels that it loads."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_COUNTS = ("native_size", "num_train_images", "num_test_images")


def facts_problem(facts: Mapping[str, Any], channels: int, classes: int) -> str | None:
    """Return what is wrong with the facts that a data set states of itself, or None.

    Args:
        facts: the attributes by name; mean and standard deviation may be "measured".
        channels: of the stored images.
        classes: the number of classes.
    """
    required = ("class_names", *_COUNTS, "mean", "std")
    if missing := [name for name in required if name not in facts]:
        return f"must have the attributes {', '.join(missing)}"
    for name in (*_COUNTS, "native_channels"):
        is_left_out = name == "native_channels" and facts.get(name) is None
        if not is_left_out and (type(facts[name]) is not int or facts[name] < 1):
            return f"{name} must be an integer >= 1, not {facts[name]!r}"
    names = facts["class_names"]
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        return "class_names must be a sequence of strings"
    if len(names) != classes or len(set(names)) != classes:
        return f"class_names must be {classes} different names, as data.classes says, not {len(set(names))}"
    for name in ("mean", "std"):
        if facts[name] == "measured":
            continue
        values = facts[name] if isinstance(facts[name], Sequence) else [facts[name]] * channels
        is_valid = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if not is_valid or len(values) != channels or (name == "std" and min(values) <= 0):
            return f"{name} must be a number, or {channels} of them, one for each channel, not {facts[name]!r}"
    return None


def split_problem(split: Any, num_images: int, channels: int, size: int, classes: int) -> str | None:
    """Return what is wrong with what `load` returned for a split, or None.

    Args:
        split: should be images, uint8 (num_images, channels, size, size), and labels, int64 (num_images,).
        num_images: that the class states.
        channels: that the settings state.
        size: pixels per side, that the class states.
        classes: the number of classes.
    """
    if not isinstance(split, tuple | list) or len(split) != 2 or not all(isinstance(part, Tensor) for part in split):
        return f"must return two tensors, images and labels, not {_describe(split)}"
    images, labels = split
    shape = (num_images, channels, size, size)
    if images.dtype != torch.uint8:
        return f"images must be uint8 in 0..255, not {_describe(images)}"
    if images.shape != shape:
        return f"images must have the shape {shape}, not {tuple(images.shape)}"
    if labels.dtype != torch.int64 or labels.shape != (num_images,):
        return f"labels must be int64 of the shape ({num_images},), not {_describe(labels)}"
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        return f"labels must be in 0..{classes - 1}, not in {low}..{high}"
    return None


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of the shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(part).__name__ for part in value[:4]) or 'nothing'}"
    return f"a {type(value).__name__}"
