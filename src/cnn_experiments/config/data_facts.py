"""Settings that follow from images of somebody's own, such as `data.classes`: resolvers for files of the configuration.

`${image_folder:classes,${data.root}}` is the number of classes in a folder. Of all resolvers, the first argument is the
name of a fact, and the others are settings: the place of the images, and for `val_size` the size of the test set.
"""

import re
from collections.abc import Callable
from typing import Any

from omegaconf import OmegaConf

from cnn_experiments.config import image_arrays, image_folder
from cnn_experiments.config.image_arrays import open_image_arrays
from cnn_experiments.config.image_folder import list_image_folder
from cnn_experiments.config.rules import MISSING

ROOT_KEY = "data.root"
NO_ROOT = "<not given>"
"""Stands for a missing `data.root` where OmegaConf resolves settings, which takes no reference to a missing one."""
_MISSING_ROOTS = (MISSING, NO_ROOT)
_FACT = re.compile(r"\$\{(image_folder|image_arrays):(\w+)((?:,\$\{[A-Za-z_][\w.]*\})+)\}", re.ASCII)


def _image_folder_fact(fact: str, root: Any, test_size: Any = None) -> Any:
    """Return `classes`, `content`, or `val_size`, a tenth of the training images."""
    if root in _MISSING_ROOTS:
        return MISSING
    listing = list_image_folder(root)
    facts: dict[str, Callable[[], Any]] = {
        "classes": lambda: len(listing.class_names),
        "content": lambda: listing.content,
        "val_size": lambda: listing.sizes.default_val_size(test_size),
    }
    return facts[fact]()


def _image_arrays_fact(fact: str, root: Any, test_size: Any = None) -> Any:
    """Return `channels`, `classes`, `content`, or `val_size`, a tenth of the training images."""
    if root in _MISSING_ROOTS:
        return MISSING
    arrays = open_image_arrays(root)
    facts: dict[str, Callable[[], Any]] = {
        "channels": lambda: arrays.channels,
        "classes": lambda: len(arrays.class_names),
        "content": lambda: arrays.content,
        "val_size": lambda: arrays.sizes.default_val_size(test_size),
    }
    return facts[fact]()


_RESOLVERS: dict[str, Callable[..., Any]] = {"image_folder": _image_folder_fact, "image_arrays": _image_arrays_fact}
_EXPECTED = {"image_folder": image_folder.EXPECTED, "image_arrays": image_arrays.EXPECTED}

for _name, _resolver in _RESOLVERS.items():
    OmegaConf.register_new_resolver(_name, _resolver, replace=True)


def is_fact(value: Any) -> bool:
    """Return whether an unresolved setting follows from images."""
    return isinstance(value, str) and _FACT.fullmatch(value) is not None


def resolve_fact(value: str, resolve: Callable[[str], Any]) -> Any:
    """Return what an unresolved setting of which `is_fact` is true stands for, or `MISSING` without a place of images.

    Args:
        value: such as `${image_folder:classes,${data.root}}`.
        resolve: returns the value of a reference to a setting, such as `${data.root}`.

    Raises:
        ConfigError: there are no such images.
    """
    match = _FACT.fullmatch(value)
    assert match is not None
    arguments = [resolve(reference) for reference in match[3].removeprefix(",").split(",")]
    return _RESOLVERS[match[1]](match[2], *arguments)


def expected_source(fact: Any) -> str | None:
    """Return what the place of images must be from which an unresolved setting follows; None if it is no fact."""
    match = _FACT.fullmatch(fact) if isinstance(fact, str) else None
    return _EXPECTED[match[1]] if match else None
