"""Which settings exist, and which values they may have. Torch is not imported: bad input is rejected at once."""

from collections.abc import Iterable, Mapping
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
    one_of,
)
from cnn_experiments.errors import ConfigError, format_value, suggest
from cnn_experiments.runs.fingerprint import READ_ONLY_KEYS, flatten

RULES: dict[str, Rule] = {
    "seed": integer(0, 2**32 - 1),
    "ckpt_path": STRING | NULL,
    "label_smoothing": BELOW_ONE,
    "memory_format": one_of("contiguous", "channels_last"),
    "sweep": NULL | NAME,
    "on_error": one_of("continue", "stop"),
    "on_invalid": one_of("error", "skip"),
    "data.batch_size": integer(1),
    "data.val_size": integer(0),
    "data.resize": integer(1) | NULL,
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": BELOW_ONE,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "trainer.devices": integer(1) | INTEGERS,
    "trainer.num_nodes": integer(1),
    "trainer.precision": STRING | INTEGER,
    "trainer.max_epochs": integer(1),
    "trainer.limit_train_batches": integer(1) | FRACTION | NULL,
    "trainer.limit_val_batches": integer(1) | FRACTION | NULL,
    "trainer.limit_test_batches": integer(1) | FRACTION | NULL,
    "trainer.accumulate_grad_batches": integer(1),
    "trainer.gradient_clip_val": POSITIVE | NULL,
    "trainer.deterministic": BOOL | Rule("warn", lambda value: value == "warn"),
}
"""Rules for settings whose default does not show what else is allowed. All others keep the type of their default."""


def validate(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check settings against those of the chosen options alone.

    Raises:
        ConfigError: a setting is unknown, deleted, of the wrong type or out of range.
    """
    values, known = flatten(settings), flatten(defaults)
    untyped_prefixes = tuple(f"{key}." for key, value in known.items() if value is None)  # any value, nested too
    # Top-level keys first: others refer to them.
    for key, value in sorted(values.items(), key=lambda item: item[0].count(".")):
        if key.startswith(untyped_prefixes):
            continue
        if value == MISSING:
            raise ConfigError(key, MISSING, problem="must be given")
        if key not in known:
            raise unknown_key_error(key, value, known)
        if key in READ_ONLY_KEYS and value != known[key]:
            raise ConfigError(key, value, problem=f"must be {known[key]}, which is fixed by the data set")
        rule = RULES.get(key) or _rule_for_default(known[key])
        if rule is not None:
            rule.check(key, value)
    for group, options in defaults.items():
        if isinstance(options, Mapping) and group not in settings:
            raise ConfigError(f"~{group}", problem="groups can't be deleted")
    for key in known:
        if key not in values and not any(name.startswith(f"{key}.") for name in values):
            raise ConfigError(
                f"~{key}", problem=f"keys can't be deleted; the default is {key}={format_value(known[key])}"
            )


def _rule_for_default(default: Any) -> Rule | None:
    """Return the rule for values that replace a default, or None if the default does not show it."""
    if default == MISSING:
        return None
    if default == []:
        return LIST
    rules = (BOOL, INTEGER, NUMBER, STRING, INTEGERS, NUMBERS, LIST)
    return next((rule for rule in rules if rule.accepts(default)), None)


def unknown_key_error(key: str, value: Any, known_keys: Iterable[str]) -> ConfigError:
    """Return the error for a key that does not exist, with the keys beside it and the nearest one.

    Args:
        key: as typed.
        value: as typed.
        known_keys: the keys that exist, dotted, and the names of groups.
    """
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
