"""The settings of a trained run, as its checkpoint has them, and what a command that uses the network may change.

A checkpoint may come from anybody. What it names is built only if a file of the configuration names it too.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.composition import RECIPE, compose_options
from cnn_experiments.config.hydra_internals import config_directories
from cnn_experiments.config.schema import LIST_GROUPS, RULES
from cnn_experiments.config.trainer import check_trainer_keys
from cnn_experiments.errors import ConfigError, format_value
from cnn_experiments.runs.fingerprint import (
    COMMAND_KEYS,
    DATA_SHAPE_KEYS,
    TASK_KEYS,
    added_defaults,
    effective_settings,
    flatten,
    normalize_value,
    upgrade_nested_settings,
)

IMAGES_KEYS = ("data.root", "data.cache", "data.batch_size")
DEVICE_KEYS = ("trainer.accelerator",)
MEASUREMENT_KEYS = (
    "trainer.precision",
    "trainer.limit_train_batches",
    "trainer.limit_val_batches",
    "trainer.limit_test_batches",
)

_FIRST_GROUPS = ("model", "init", "data", "optimizer", "scheduler", "trainer")
"""The groups that checkpoints of all versions have."""
_GROUPS = (*_FIRST_GROUPS, "loss", *LIST_GROUPS)
_PREPROCESSING_KEYS = ("data.resize", "data.normalize")
"""Settings of the data that the network was trained with, which count for other images, too."""
CONFIG_DIR_REMEDY = "if it is your own, an option in the directory of --config-dir must name it"
"""Of a checkpoint that builds what no file of the configuration names."""
_EXTERNAL_MODELS = "cnn_experiments.external_models."
_ONE_PROCESS = {"devices": 1, "num_nodes": 1, "strategy": "auto"}


def used_settings(stored: Mapping[str, Any], command: ComposedConfig, free_keys: Collection[str]) -> dict[str, Any]:
    """Return the settings of a run for a command that uses its network, in one process on a device of this machine.

    Args:
        stored: all settings of the run, nested.
        command: what was typed.
        free_keys: settings that the command may choose; all others are those of the run.

    Raises:
        ConfigError: a setting that was typed contradicts the run, or the stored settings are damaged, or name a class
            or function that neither this package nor the user's own configuration names.
    """
    settings = _trusted(stored, command)
    for key in sorted(command.overrides_by_key, key=lambda key: "." not in key):  # a setting is named, not its option
        _check_typed(key, settings, command, free_keys)
    current = command.flat_settings
    for key in free_keys:
        group, _, name = key.partition(".")
        if key in command.overrides_by_key and not (group == "data" and uses_other_data(settings, command)):
            settings[group][name] = current[key]
    settings["trainer"] |= _ONE_PROCESS | {"accelerator": current["trainer.accelerator"]}
    root = settings["data"].get("root")
    has_own_place = "content" in settings["data"]  # of images that no other directory has
    if root is not None and not has_own_place and not Path(root).is_dir() and "data.root" in current:
        # that of another machine
        settings["data"]["root"] = current["data.root"]
    if str(settings["model"].get("_target_")).startswith(_EXTERNAL_MODELS):
        settings["model"]["pretrained"] = False  # the checkpoint has the weights
    settings["compile"] = False  # compiling takes longer than most uses of a network
    return settings


def uses_other_data(run_settings: Mapping[str, Any], command: ComposedConfig) -> bool:
    """Return whether `data=OPTION` was typed, and names other images than those of the run."""
    if "data" not in command.overrides_by_key:
        return False
    own, typed = run_settings["data"], command.settings["data"]
    return any(
        normalize_value(f"data.{name}", own.get(name)) != normalize_value(f"data.{name}", typed.get(name))
        for name in ("_target_", "split", "content" if "content" in own else "root")
    )


def _check_typed(
    key: str, run_settings: Mapping[str, Any], command: ComposedConfig, free_keys: Collection[str]
) -> None:
    """Check that what was typed of a key is what the run had, or may be typed."""
    if key in (*free_keys, "task", "ckpt_path", *TASK_KEYS, *COMMAND_KEYS) or key.startswith("task."):
        return
    typed = command.overrides_by_key[key]
    if key in ("trainer", *DEVICE_KEYS):
        _check_device(key, command, free_keys)
        return
    allows_other_data = set(MEASUREMENT_KEYS) <= set(free_keys)
    is_of_data = key == "data" or key.startswith("data.")
    if is_of_data and allows_other_data and uses_other_data(run_settings, command) and key not in _PREPROCESSING_KEYS:
        return
    run, current = _comparable_settings(run_settings), _comparable_settings(command.settings)
    is_group = key in command.choices
    prefix = "" if key == RECIPE else f"{key}."
    keys = [name for name in run | current if name.startswith(prefix) or name == key]
    if key == "data" and allows_other_data:
        keys = []  # it is the run's own
    for name in keys:
        if normalize_value(name, run.get(name)) == normalize_value(name, current.get(name)):
            continue
        if not is_group:
            allowed = format_value(run[name]) if name in run else "left out"
            raise ConfigError(name, current.get(name), problem=f"must be {allowed}, as in the run of ckpt_path")
        problem = (
            f"must be left out, or be that of the run of ckpt_path, which has {name}={format_value(run.get(name))}"
        )
        raise ConfigError(key, typed, problem=problem)


def _comparable_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that change the result, and those of images that networks are built for."""
    flat = flatten(settings)
    return effective_settings(settings) | {key: flat[key] for key in DATA_SHAPE_KEYS if key in flat}


def _check_device(key: str, command: ComposedConfig, free_keys: Collection[str]) -> None:
    """Check that a typed trainer changes nothing but the accelerator, and that only where it is used."""
    typed, current = command.overrides_by_key[key], command.flat_settings
    if not set(DEVICE_KEYS) <= set(free_keys) and current["trainer.accelerator"] not in ("cpu", "auto"):
        raise ConfigError(key, typed, problem=f"must be left out: task={command.task} works on the CPU")
    default = compose_options("config", ()).flat_settings
    changed = [
        name
        for name, value in current.items()
        if name.startswith("trainer.") and name not in command.overrides_by_key and value != default.get(name)
    ]
    if unused := [name for name in changed if name not in DEVICE_KEYS]:
        problem = f"must be left out: {unused[0]} is that of the run, and only trainer.accelerator can be chosen here"
        raise ConfigError(key, typed, problem=problem)


def _trusted(stored: Mapping[str, Any], command: ComposedConfig) -> dict[str, Any]:
    """Return a copy of stored settings in plain values, after a check that nothing foreign is built from them.

    What earlier versions did not store is that of the command.
    """
    settings: dict[str, Any] = json.loads(json.dumps(stored))  # a tuple, which Hydra would build from, becomes a list
    if damaged := [group for group in _FIRST_GROUPS if not isinstance(settings.get(group), dict)]:
        raise _damaged(", ".join(damaged))
    settings = upgrade_nested_settings(settings)
    if damaged := [group for group in _GROUPS if not isinstance(settings.get(group, {}), dict)]:
        raise _damaged(", ".join(damaged))
    if interpolation := next(filter(_is_interpolation, _strings(settings)), None):  # stored settings are resolved
        raise _damaged(f"{interpolation} is an interpolation")
    _name_targets(settings, command)
    settings["trainer"] = command.settings["trainer"] | settings["trainer"]
    settings = {**command.settings, **settings}
    try:
        check_trainer_keys(settings["trainer"])
        for key, value in flatten(settings).items():
            if key in RULES and not key.startswith("task.") and key not in ("ckpt_path", *TASK_KEYS):
                RULES[key].check(key, value)
    except ConfigError as error:
        raise _damaged(str(error)) from error
    return settings


def _damaged(problem: str) -> ConfigError:
    return ConfigError("ckpt_path", problem=f"the checkpoint's settings are damaged: {problem}")


def _strings(node: Any) -> Iterator[str]:
    """Yield every string in plain values, keys too."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)


def _is_interpolation(text: str) -> bool:
    return "${" in text


_HARMLESS = {
    "model": re.compile(r"torch\.nn\.[A-Z]\w*", re.ASCII),
    "metrics": re.compile(r"torchmetrics\.classification\.[A-Z]\w*", re.ASCII),
}
"""Layers of torch, of which YAML networks consist, and metrics of torchmetrics: building one does nothing else."""


def _name_targets(settings: dict[str, Any], command: ComposedConfig) -> None:
    """Replace every `_target_` of stored settings by the one that a file of the configuration names for its group.

    It may also be typed, or be one of torch's layers or of torchmetrics' metrics. A class or function of this package
    may have moved since then; it is known by its name alone. It may also have got more settings: they have the values
    that mean what it did.
    """
    named: dict[str, dict[Any, dict[str, Any]]] = {}
    for key, node in _nodes_with_target(settings):
        group, target = key.partition(".")[0], node["_target_"]
        if group not in named:
            named[group] = _named_targets(group, command.settings[group]) if group in _GROUPS else {}
        found = named[group].get(normalize_value("_target_", target)) if isinstance(target, str) else None
        if found is None and group in _HARMLESS and _HARMLESS[group].fullmatch(str(target)):
            found = {"_target_": target}
        if found is None:
            problem = f"the checkpoint builds {key}._target_={target}, which no file of the configuration names"
            raise ConfigError("ckpt_path", problem=problem, remedy=CONFIG_DIR_REMEDY)
        added = added_defaults({f"{key}._target_": target})
        names = [name for name in found if name not in node and f"{key}.{name}" in added]
        node |= {name: added[f"{key}.{name}"] for name in names} | {"_target_": found["_target_"]}


def _named_targets(group: str, typed: Mapping[str, Any]) -> dict[Any, dict[str, Any]]:
    """Return what the files of a group's options, and recipes, hold beside each `_target_`, by its normalized value.

    Args:
        group: the name of the group.
        typed: its settings in the command.
    """
    named = {
        normalize_value("_target_", node["_target_"]): {"_target_": node["_target_"]}
        for _, node in _nodes_with_target(typed)
        if isinstance(node["_target_"], str)
    }
    for directory in config_directories():
        for folder in (group, RECIPE):
            for path in sorted((directory / folder).rglob("*.yaml")):
                for _, node in _nodes_with_target(_read_yaml(path)):
                    if isinstance(target := node["_target_"], str):
                        named.setdefault(normalize_value("_target_", target), {}).update(node)
    return named


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # Hydra names a file that is chosen and can't be read
        return None


def _nodes_with_target(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping with a `_target_` and its dotted key, nested ones too."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from _nodes_with_target(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _nodes_with_target(value, f"{key}.{place}")
