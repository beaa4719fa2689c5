"""Which runs repeat each other, and which may be averaged: hashes of their settings."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

SWEEP_KEYS = ("sweep", "on_error", "on_invalid", "retry_failed", "dry_run")
"""Settings of a sweep as a whole, of which its runs know nothing."""

COMMAND_KEYS = (*SWEEP_KEYS, "restart")
"""Settings of a command, which say what is done about runs and not what they are."""

TASK_KEYS = ("input", "format")
"""Settings of a task that are not in its group, because they are typed most often."""

READ_ONLY_KEYS = ("data.classes", "data.content")
"""Facts of the chosen option, or of the images that `data.root` names: a hash of these is their content."""

DATA_SHAPE_KEYS = ("data.channels", "data.classes")
"""What networks are built for: their own settings refer to these, and differ where these do."""

PATH_KEYS = ("ckpt_path", "data.root", "data.cache")
"""Settings that are paths; a relative one starts where the command was typed."""

DESCRIPTION_KEYS = ("tags", "note")
"""Settings that say something about a run to its readers."""

NO_EFFECT_KEYS = (
    "task",
    *DESCRIPTION_KEYS,
    *TASK_KEYS,
    *PATH_KEYS,
    "trainer.accelerator",
    *COMMAND_KEYS,
    *DATA_SHAPE_KEYS,
)
"""Settings that do not change the result, or that follow from others."""

PERFORMANCE_KEYS = ("compile", "memory_format")
"""Settings that change the result by rounding alone."""

LIMIT_DEFAULTS: dict[str, Any] = {
    "trainer.max_steps": -1,
    "trainer.max_time": None,
    "trainer.min_epochs": None,
    "trainer.check_val_every_n_epoch": 1,
}
"""The values of Lightning's limits that limit nothing."""

ADDED_DEFAULTS: dict[str, Any] = LIMIT_DEFAULTS | {
    "monitor": "val/acc",
    "monitor_mode": None,
    "data.train_size": None,
    "optimizer.decay_norm_and_bias": True,
    "scheduler.warmup_ratio": 0.0,
}
"""Settings that earlier versions did not have, with the value that means what their runs did. At this value they are no
part of the settings that change the result, so that the hashes of earlier runs stay."""

ADDED_DEFAULTS_OF_CLASSES: dict[str, dict[str, Any]] = {
    "AlexNet": {"channel_divisor": 1, "hidden_divisor": 1},
    "LeNet": {
        "channels": [6, 16],
        "kernel_size": 5,
        "hidden_units": [120, 84],
        "activation": "sigmoid",
        "norm_layers": None,
        "norm_position": "before_activation",
    },
    "NiN": {"num_1x1_convs": 2, "channel_divisor": 1},
}
"""The same for settings that classes and functions of this package did not have, by their names."""

SEED_KEYS = ("seed", "data.seed")
"""Settings in which runs may differ that are averaged."""

_TARGET = "._target_"
_PACKAGE = f"{__package__.partition('.')[0]}."


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with dotted keys: {"optimizer": {"lr": 0.1}} becomes {"optimizer.lr": 0.1}.

    The items of a list with mappings in it have keys of their own, such as `model._args_.1._target_`; any other list is
    one value.
    """
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{key}.")
        elif has_mappings(value):
            leaves |= flatten({str(place): item for place, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def has_mappings(value: Any) -> bool:
    """Return whether a value is a list with a mapping in it, at any depth."""
    return isinstance(value, list) and any(isinstance(item, Mapping) or has_mappings(item) for item in value)


def effective_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that change the result, with dotted keys.

    Among them is `augment`, the order of several transforms, which is no setting of its own.
    """
    flat = flatten(settings)
    added = added_defaults(flat)
    transforms = dict.fromkeys(key.split(".")[1] for key in flat if key.startswith("augment."))
    order = {"augment": ",".join(transforms)} if len(transforms) > 1 else {}
    return order | {
        key: value
        for key, value in flat.items()
        if key not in (*NO_EFFECT_KEYS, "augment")
        and not key.startswith("task.")
        and not _is_of_ready_logger(key, flat)
        and not (key in added and is_same(value, added[key]))
    }


def added_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that earlier versions did not have, with the values that mean what their runs did.

    Args:
        settings: with dotted keys; what they build decides which settings were added.
    """
    return ADDED_DEFAULTS | {
        f"{key.removesuffix(_TARGET)}.{name}": default
        for key, value in settings.items()
        if key.endswith(_TARGET) and isinstance(value, str)
        for name, default in ADDED_DEFAULTS_OF_CLASSES.get(normalize_value(key, value), {}).items()
    }


def _is_of_ready_logger(key: str, flat: Mapping[str, Any]) -> bool:
    """Return whether a setting is of a logger of this program or of Lightning, which changes no result."""
    group, _, name = key.partition(".")
    target = flat.get(f"logger.{name.partition('.')[0]}._target_")
    return group == "logger" and str(target).startswith((_PACKAGE, "lightning."))


def run_id(settings: Mapping[str, Any]) -> str:
    """Return a hash of the settings that change the result: equal for runs that repeat each other."""
    normalized = _normalize(_with_lists(_with_moved_keys(effective_settings(settings))))
    return hashlib.sha256(json.dumps(normalized, sort_keys=True).encode()).hexdigest()[:16]


def _normalize(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: normalize_value(key, value) for key, value in settings.items()}


def _with_lists(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return effective settings in which a list of mappings is one value, as in the hashes of version 0.2."""
    hashed = dict(settings)
    lists: dict[str, dict[str, Any]] = {}
    for key in settings:
        if match := re.match(r"(.+?)\.(?=\d+(\.|$))", key):
            lists.setdefault(match[1], {})[key[match.end() :]] = hashed[key]
    for key, items in lists.items():
        node = _nest(items)
        if has_mappings(node):
            hashed = {name: value for name, value in hashed.items() if not name.startswith(f"{key}.")} | {key: node}
    return hashed


def _nest(leaves: Mapping[str, Any]) -> Any:
    """Return the list, mapping or value of which `flatten` makes these leaves."""
    if "" in leaves:
        return leaves[""]
    children: dict[str, dict[str, Any]] = {}
    for key, value in leaves.items():
        name, _, rest = key.partition(".")
        children.setdefault(name, {})[rest] = value
    nodes = {name: _nest(below) for name, below in children.items()}
    places = [str(place) for place in range(len(nodes))]
    return [nodes[place] for place in places] if nodes.keys() == set(places) else nodes


def _with_moved_keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return effective settings with the keys of version 0.2 where it had them, so that the hashes of its runs stay."""
    hashed = dict(settings)
    for augmentation, parts in _AUGMENTATIONS_OF_0_2.items():
        own = {key: value for key, value in settings.items() if key.partition(".")[0] == "augment"}
        is_moved = "data.augment" not in settings  # else they are of version 0.2, or a data set has such a setting
        if is_moved and _normalize(own) == _normalize(effective_settings({"augment": parts})):
            hashed = {key: value for key, value in hashed.items() if key not in own}
            hashed["data.augment"] = augmentation
    own = {key: value for key, value in settings.items() if key.startswith("loss.")}
    label_smoothing = own.get("loss.label_smoothing")
    if own and _normalize(own) == _normalize(flatten({"loss": _loss_of_0_2(label_smoothing)})):
        hashed = {key: value for key, value in hashed.items() if key not in own}
        hashed["label_smoothing"] = label_smoothing
    return hashed


def config_hash(settings: Mapping[str, Any]) -> str:
    """Return the same hash without the seeds and what changes the result by rounding alone."""
    per_run = (*SEED_KEYS, *PERFORMANCE_KEYS)
    return run_id({key: value for key, value in flatten(settings).items() if key not in per_run})


def normalize_value(key: str, value: Any) -> Any:
    """Return the same for values of a setting that mean the same.

    A class or function of this package is known by its name alone, so that it can move to another module.
    """
    if key.rpartition(".")[2] == "_target_" and str(value).startswith(_PACKAGE):
        return str(value).rpartition(".")[2]
    if key == "memory_format" and value == "auto":
        return "contiguous"  # the default of earlier versions, so that the hashes of their runs stay
    if key == "init.path" and isinstance(value, str):
        return os.path.normpath(value)
    if key == "trainer.devices" and isinstance(value, list):
        value = len(value)
    if key.startswith("trainer.limit_") and value == 1 and isinstance(value, int):
        return "one batch"  # 1.0 is all of them
    return _as_float(value)


def differing_keys(settings: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys whose values differ, top-level keys first, because other settings refer to them."""
    keys = [
        key
        for key in settings.keys() | others.keys()
        if normalize_value(key, settings.get(key)) != normalize_value(key, others.get(key))
    ]
    return sorted(keys, key=lambda key: (key.count("."), key))


def is_same(value: Any, other: Any) -> bool:
    """Return whether two values are equal and of the same type: 1, 1.0 and True are three values."""
    return type(value) is type(other) and value == other


def _as_float(value: Any) -> Any:
    """Return a float for an integer, as 1 and 1.0 are the same setting, and the digits that results.json stores."""
    if isinstance(value, list):
        return [_as_float(item) for item in value]
    if isinstance(value, float):
        return round_to_float32(value)
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_integer and abs(value) <= sys.float_info.max else value


def round_to_float32(value: float) -> float:
    """Round to the seven digits that a float32 has: 0.7669, not 0.7669000029563904."""
    return float(f"{value:.7g}")


def upgrade_settings(settings: Mapping[str, Any], processes: int | None = None) -> dict[str, Any]:
    """Return stored settings as this version stores them, from those that any version has stored.

    Version 0.1 also stored `on_impossible`, and `auto` for the devices, of which a run on a CPU had one.
    """
    current = effective_settings(settings)
    settings = {key: value for key, value in current.items() if not key.startswith("on_impossible")}
    if settings.get("trainer.devices") in ("auto", "-1", -1):
        settings["trainer.devices"] = processes or 1
    if has_moved_settings(settings):
        moved = _moved_settings(settings.pop("data.augment", None), settings.pop("label_smoothing", 0.0))
        settings |= effective_settings(moved)
    return settings


def upgrade_nested_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings that a checkpoint of any version stores, nested, with those that have moved in their groups.

    Raises:
        TypeError: the settings of the data are damaged.
    """
    if not has_moved_settings(flatten(settings)):
        return dict(settings)
    data = dict(settings["data"])
    moved = _moved_settings(data.pop("augment", None), settings.get("label_smoothing", 0.0))
    return {key: value for key, value in settings.items() if key not in _MOVED_KEYS} | {"data": data} | moved


def upgrade_options(options: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of an earlier version's run with those of groups that it did not have, which mean what it did.

    Args:
        options: the option of every group.
        settings: the stored settings with dotted keys, not upgraded.
    """
    transforms = _AUGMENTATIONS_OF_0_2.get(str(settings.get("data.augment")), {})
    return {"augment": ",".join(transforms) or "none"} | _OPTIONS_OF_0_2 | dict(options)


def upgrade_override(override: str) -> str:
    """Return a stored override as this version takes it, from one that any version has stored."""
    key, _, value = override.lstrip("+").partition("=")
    if key == "label_smoothing":
        return f"loss.{key}={value}"
    if key == "data.augment" and value in _AUGMENTATIONS_OF_0_2:
        return f"augment=[{','.join(_AUGMENTATIONS_OF_0_2[value])}]"
    return override


_MOVED_KEYS = ("label_smoothing", "data.augment")
"""Settings of version 0.2 that are in groups of their own now."""

_CROP = {"_target_": "cnn_experiments.data.augmentation.RandomCrop", "padding": 4}
_FLIP = {"_target_": "cnn_experiments.data.augmentation.RandomHorizontalFlip", "p": 0.5}
_ERASE = {
    "_target_": "cnn_experiments.data.augmentation.RandomErasing",
    "p": 0.5,
    "scale": [0.02, 0.4],
    "ratio": 0.3,
}
_AUGMENTATIONS_OF_0_2: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip": _FLIP},
    "crop_flip": {"crop": _CROP, "flip": _FLIP},
    "crop_flip_erase": {"crop": _CROP, "flip": _FLIP, "erase": _ERASE},
}

_OPTIONS_OF_0_2 = {"loss": "cross_entropy", "metrics": "none", "callbacks": "none", "logger": "tensorboard"}


def _moved_settings(augmentation: Any, label_smoothing: Any) -> dict[str, Any]:
    """Return the groups that are now in place of `data.augment` and `label_smoothing`."""
    return {"augment": _AUGMENTATIONS_OF_0_2.get(str(augmentation), {}), "loss": _loss_of_0_2(label_smoothing)}


def _loss_of_0_2(label_smoothing: Any) -> dict[str, Any]:
    return {
        "_target_": "cnn_experiments.training.loss.CrossEntropy",
        "label_smoothing": label_smoothing,
        "class_weights": None,
    }


def has_moved_settings(settings: Mapping[str, Any]) -> bool:
    """Return whether stored settings, with dotted keys, have any that are in groups of their own now.

    Those of this version have a loss, and can have `data.augment`, a setting of somebody's own data set.
    """
    return any(key in settings for key in _MOVED_KEYS) and not any(key.startswith("loss.") for key in settings)
