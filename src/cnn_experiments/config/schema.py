"""Which settings exist, and which values they may have. Torch is not imported: bad input is rejected at once."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cnn_experiments.config.rules import (
    BELOW_ONE,
    BOOL,
    FRACTION,
    INTEGER,
    INTEGERS,
    LIST,
    MISSING,
    NAME,
    NOT_NEGATIVE,
    NULL,
    NUMBER,
    NUMBERS,
    POSITIVE,
    STRING,
    Rule,
    integer,
    list_of,
    one_of,
)
from cnn_experiments.config.trainer import UNSUPPORTED_TRAINER_PARAMETERS, check_trainer_keys
from cnn_experiments.errors import ConfigError, format_value, suggest
from cnn_experiments.runs.fingerprint import COMMAND_KEYS, TASK_KEYS, flatten, has_mappings

LIST_GROUPS = ("augment", "metrics", "callbacks", "logger")
"""Groups of which several options may be chosen: each has one part, with a name."""
_GROUPS = ("model", "init", "data", "loss", "optimizer", "scheduler", *LIST_GROUPS, "trainer", "task")
TOP_LEVEL_KEYS = (
    *_GROUPS,
    *("seed", "ckpt_path", "monitor", "monitor_mode", "tags", "note", "compile", "memory_format"),
    *COMMAND_KEYS,
    *TASK_KEYS,
)
"""The groups and the settings beside them."""
_TASKS_WITH_KEY = {"input": "task=predict or task=explain", "format": "task=export"}
_MOST_INTEGER = 10**9
_MOST_NUMBER = 1e30  # a float32 ends at 3.4e38
"""Limits of settings that have no rule of their own: torch's errors beyond them are no help."""


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"\d{1,4}(:\d\d){3}", value)) and bool(value.strip("0:"))


RULES: dict[str, Rule] = {
    "seed": integer(0, 2**32 - 1),
    "ckpt_path": STRING | NULL,
    "monitor": STRING,
    "monitor_mode": one_of("max", "min") | NULL,
    "tags": list_of(
        Rule("", lambda value: isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable()),
        "strings of 1 to 64 characters",
    ),
    "note": Rule("a string of at most 2000 characters", lambda value: isinstance(value, str) and len(value) <= 2000)
    | NULL,
    "logger.wandb.mode": one_of("online", "offline") | NULL,
    "logger.wandb.timeout": POSITIVE,
    "logger.mlflow.tracking_uri": Rule(
        "a URI such as sqlite:///mlflow.db or http://localhost:5000",
        lambda value: isinstance(value, str) and ("://" in value or value == "databricks"),
    )
    | NULL,
    "logger.mlflow.timeout": integer(1),
    "memory_format": one_of("auto", "contiguous", "channels_last"),
    "init.path": Rule("a run's directory or a checkpoint", lambda value: isinstance(value, str)),
    "init.head": one_of("keep", "new"),
    "init.freeze": list_of(STRING, "names of parts of the network, such as [features]"),
    "input": Rule("an image file, a folder or a pattern", lambda value: isinstance(value, str | None)),
    "format": one_of("onnx", "pt2", "safetensors"),
    "task.split": one_of("train", "val", "test"),
    "task.to": STRING | NULL,
    "task.top": integer(1),
    "task.stage": STRING | NULL,
    "task.max_images": integer(1),
    "task.num_steps": integer(20, 10**6),
    "task.min_lr": POSITIVE.at_most(1e6),
    "task.max_lr": POSITIVE.at_most(1e6),
    "sweep": NULL | NAME,
    "on_error": one_of("continue", "stop"),
    "on_invalid": one_of("error", "skip"),
    "data.batch_size": integer(1),
    "data.channels": integer(1),
    "data.val_size": integer(0),
    "data.train_size": integer(1) | NULL,
    "data.seed": integer(0, 2**32 - 1),
    "data.resize": integer(1) | NULL,
    "data.test_size": integer(1) | NULL,
    "data.cache": STRING | NULL,
    "loss.label_smoothing": BELOW_ONE,
    "optimizer.lr": POSITIVE.at_most(1e6),
    "optimizer.momentum": BELOW_ONE,
    "optimizer.betas": list_of(BELOW_ONE, "numbers in [0, 1)"),
    "optimizer.weight_decay": NOT_NEGATIVE.at_most(1e6),
    "callbacks.early_stopping.mode": one_of("max", "min") | NULL,
    "callbacks.early_stopping.stopping_threshold": NUMBER | NULL,
    "callbacks.early_stopping.divergence_threshold": NUMBER | NULL,
    "callbacks.lr_monitor.logging_interval": one_of("step", "epoch"),
    "trainer.devices": integer(1) | INTEGERS,
    "trainer.num_nodes": integer(1).at_most(10**5),
    "trainer.precision": STRING | INTEGER,
    "trainer.max_epochs": integer(1).at_most(10**6),
    "trainer.min_epochs": integer(1).at_most(10**6) | NULL,
    "trainer.max_steps": integer(1).at_most(10**9) | Rule("-1", lambda value: value == -1),
    "trainer.max_time": Rule("a time 'DD:HH:MM:SS' in quotes", _is_time) | NULL,
    "trainer.check_val_every_n_epoch": integer(1).at_most(10**6),
    "trainer.limit_train_batches": integer(1) | FRACTION | NULL,
    "trainer.limit_val_batches": integer(1) | FRACTION | NULL,
    "trainer.limit_test_batches": integer(1) | FRACTION | NULL,
    "trainer.accumulate_grad_batches": integer(1).at_most(10**6),
    "trainer.gradient_clip_val": POSITIVE | NULL,
    "trainer.gradient_clip_algorithm": one_of("norm", "value") | NULL,
    "trainer.deterministic": BOOL | Rule("warn", lambda value: value == "warn"),
}
"""Rules for settings whose default does not show what else is allowed. All others keep the type of their default."""

_FIXED_LENGTH_KEYS = ("optimizer.betas",)
"""Lists that have as many items as their default: torch ignores further ones."""


def validate(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check settings against those of the chosen options alone.

    Raises:
        ConfigError: a setting is unknown, deleted, of the wrong type or out of range.
    """
    _check_groups(settings)
    values, known = flatten(settings), flatten(defaults)
    untyped_prefixes = tuple(f"{key}." for key, value in known.items() if value is None)  # any value, nested too
    replaced = tuple(_replaced_lists(settings, defaults))
    replaced_prefixes = tuple(f"{key}." for key in replaced)
    # Top-level keys first, then those of the data: others refer to them.
    for key, value in sorted(values.items(), key=lambda item: (item[0].count("."), not item[0].startswith("data."))):
        is_of_replaced = key in replaced or key.startswith(replaced_prefixes)
        if key.startswith(untyped_prefixes) or is_of_replaced or _is_of_added_part(key, known):
            continue
        if value == MISSING:
            allowed = f": {RULES[key].allowed}" if key in RULES else ""
            raise ConfigError(key, problem=f"must be given{allowed}")
        if key not in known:
            raise unknown_key_error(key, value, known)
        rule = RULES.get(key) or rule_for_default(known[key])
        if rule is not None:
            rule.check(key, value)
        if key in _FIXED_LENGTH_KEYS and len(value) != len(known[key]):
            raise ConfigError(key, value, problem=f"must be {len(known[key])} numbers, such as {known[key]}")
    for group, options in defaults.items():
        if isinstance(options, Mapping) and group not in settings:
            raise deleted_group_error(group)
    for key in known:
        if key in values or key.startswith(replaced_prefixes):
            continue
        if not any(name.startswith(f"{key}.") for name in values):
            raise deleted_key_error(f"~{key}", key, known)


def _replaced_lists(node: Any, default: Any, key: str = "") -> Iterator[str]:
    """Yield the keys of lists of mappings that have other items than by default: another number, or other keys."""
    if isinstance(node, Mapping) and isinstance(default, Mapping):
        for name in node.keys() & default.keys():
            yield from _replaced_lists(node[name], default[name], f"{key}.{name}" if key else name)
    elif has_mappings(default):
        LIST.check(key, node)
        if flatten({"": node}).keys() != flatten({"": default}).keys():
            yield key


def _is_of_added_part(key: str, known: Mapping[str, Any]) -> bool:
    """Return whether a setting is of a part that was typed and that no chosen option has: `metrics.top5.top_k`."""
    group, *names = key.split(".")
    return (
        group in LIST_GROUPS and len(names) > 1 and not any(name.startswith(f"{group}.{names[0]}.") for name in known)
    )


def _check_groups(settings: Mapping[str, Any]) -> None:
    """Check that the files of the chosen options have nothing that the program does not use.

    Raises:
        ConfigError: a key of a file is not used, or a file holds something else than settings.
    """
    for group in _GROUPS:
        if not isinstance(value := settings.get(group, {}), Mapping):
            raise ConfigError(group, value, problem="must have settings with names, such as _target_")
        if group in LIST_GROUPS and (alone := [key for key, part in value.items() if not isinstance(part, Mapping)]):
            problem = f"must be below the name of a part, as in {group}.NAME.{alone[0]}"
            raise ConfigError(f"{group}.{alone[0]}", value[alone[0]], problem=problem)
    for key in settings:
        if key not in TOP_LEVEL_KEYS:
            problem = f"nothing uses this key; top-level keys: {', '.join(sorted(TOP_LEVEL_KEYS))}"
            raise ConfigError(key, problem=problem, suggestion=suggest(key, TOP_LEVEL_KEYS, cutoff=0.6))
    if "trainer" in settings:
        check_trainer_keys(settings["trainer"])


def rule_for_default(default: Any) -> Rule | None:
    """Return the rule for values that replace a default, or None if the default does not show it."""
    if default == MISSING:
        return None
    if default == []:
        return LIST
    rules = (
        BOOL,
        INTEGER.at_most(_MOST_INTEGER),
        NUMBER.at_most(_MOST_NUMBER),
        STRING,
        INTEGERS.at_most(_MOST_INTEGER),
        NUMBERS.at_most(_MOST_NUMBER),
        LIST,
    )
    return next((rule for rule in rules if rule.accepts(default)), None)


def deleted_group_error(group: str) -> ConfigError:
    """Return the error for a group that is deleted."""
    return ConfigError(f"~{group}", problem="groups can't be deleted")


def deleted_key_error(line: str, key: str, defaults: Mapping[str, Any]) -> ConfigError:
    """Return the error for an override, as typed, that deletes a key, with the key's default if it has one."""
    default = f"; the default is {key}={format_value(defaults[key])}" if key in defaults else ""
    return ConfigError(line, problem=f"keys can't be deleted{default}")


def unknown_key_error(key: str, value: Any, known_keys: Iterable[str]) -> ConfigError:
    """Return the error for a key that does not exist, with the keys beside it and the nearest one.

    Args:
        key: as typed.
        value: as typed.
        known_keys: the keys that exist, dotted, and the names of groups.
    """
    if key in _TASKS_WITH_KEY:
        return ConfigError(key, value, problem=f"only valid with {_TASKS_WITH_KEY[key]}")
    group, _, name = key.partition(".")
    if group == "trainer" and name in UNSUPPORTED_TRAINER_PARAMETERS:
        return ConfigError(key, value, problem=f"not supported: {UNSUPPORTED_TRAINER_PARAMETERS[name]}")
    if group in LIST_GROUPS and name.isidentifier():
        problem = f"must be a part, whose class is {group}.{name}._target_"
        if name == "_target_":
            problem = f"must have the name of a part before it: {group}.NAME._target_"
        return ConfigError(key, value, problem=problem)
    known = list(known_keys)
    parents = {name[:end] for name in known for end, letter in enumerate(name) if letter == "."}
    parent = key.rpartition(".")[0]
    while parent and parent not in parents:
        parent = parent.rpartition(".")[0]
    prefix = f"{parent}." if parent else ""
    below = [name.removeprefix(prefix) for name in (*known, *parents) if name.startswith(prefix)]
    below = [name for name in below if not name.rpartition(".")[2].startswith("_")]
    siblings = sorted({name.partition(".")[0] for name in below if "/" not in name} - {"hydra"})
    place = f"keys of {parent}" if parent else "top-level keys"
    problem = f"unknown key; {place}: {', '.join(siblings)}" if siblings else f"unknown key; {parent} has no keys"
    nearest = suggest(key.removeprefix(prefix), below, cutoff=0.6)
    same_name = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    suggestion = f"{prefix}{nearest}" if nearest else suggest(key, same_name, cutoff=0.0)
    return ConfigError(key, value, problem=problem, suggestion=suggestion)
