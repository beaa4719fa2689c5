"""Settings that follow from images of somebody's own, such as `data.classes`: resolvers for files of the configuration.

`${image_folder:classes,${data.root}}` is the number of classes in a folder. Of all resolvers, the first argument is the
name of a fact, and the others are settings: the place of the images, and for `val_size` the size of the test set.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from omegaconf import OmegaConf

from cnn_experiments.config import image_arrays, image_folder
from cnn_experiments.config.image_arrays import open_image_arrays
from cnn_experiments.config.image_folder import list_image_folder
from cnn_experiments.config.rules import MISSING
from cnn_experiments.errors import ConfigError, suggest

NO_ROOT = "<not given>"
"""Stands for a missing `data.root` where OmegaConf resolves settings, which takes no reference to a missing one."""
_FACT = re.compile(r"\$\{(image_folder|image_arrays):(\w+)((?:,\$\{[A-Za-z_][\w.]*\}){1,2})\}", re.ASCII)


def _image_folder_facts(root: Any, test_size: Any) -> Mapping[str, Callable[[], Any]]:
    """Return the number of classes, the content, and a tenth of the training images, each when it is called."""
    listing = list_image_folder(root)
    return {
        "classes": lambda: len(listing.class_names),
        "content": lambda: listing.content,
        "val_size": lambda: listing.sizes.default_val_size(test_size),
    }


def _image_arrays_facts(root: Any, test_size: Any) -> Mapping[str, Callable[[], Any]]:
    """Return the same, and the number of channels."""
    arrays = open_image_arrays(root)
    return {
        "channels": lambda: arrays.channels,
        "classes": lambda: len(arrays.class_names),
        "content": lambda: arrays.content,
        "val_size": lambda: arrays.sizes.default_val_size(test_size),
    }


_SOURCES = {"image_folder": _image_folder_facts, "image_arrays": _image_arrays_facts}
_EXPECTED = {"image_folder": image_folder.EXPECTED, "image_arrays": image_arrays.EXPECTED}


def _fact(source: str, fact: str, root: Any, test_size: Any = None) -> Any:
    """Return what a resolver stands for.

    Raises:
        ConfigError: there are no such images, or no fact of this name.
    """
    if root in (MISSING, NO_ROOT):
        return MISSING
    facts = _SOURCES[source](root, test_size)
    if fact not in facts:
        problem = f"there is no such fact; facts of {source}: {', '.join(facts)}"
        raise ConfigError(f"${{{source}:{fact},...}}", problem=problem, suggestion=suggest(fact, facts))
    return facts[fact]()


for _source in _SOURCES:
    OmegaConf.register_new_resolver(_source, partial(_fact, _source), replace=True)


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
    return _fact(match[1], match[2], *arguments)


def expected_source(fact: Any) -> str | None:
    """Return what the place of images must be from which an unresolved setting follows; None if it is no fact."""
    match = _FACT.fullmatch(fact) if isinstance(fact, str) else None
    return _EXPECTED[match[1]] if match else None
