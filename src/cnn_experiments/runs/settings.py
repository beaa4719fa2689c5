"""The settings of runs, and which of them vary."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cnn_experiments.runs.fingerprint import SEED_KEYS, added_defaults, is_same, normalize_value


@dataclass(frozen=True)
class RunSettings:
    """The settings of one run."""

    choices: Mapping[str, str]
    """The option of every group."""
    overrides: Mapping[str, str]
    """What was typed, by key."""
    settings: Mapping[str, Any]
    """All settings with dotted keys, if they are known."""

    def value(self, key: str) -> Any:
        """Return the option of a group, or the value of a setting; None if there is no such setting."""
        if key in self.choices:
            return self.choices[key]
        return self.settings.get(key, self._added_defaults.get(key)) if self.settings else self.overrides.get(key)

    @cached_property
    def _added_defaults(self) -> dict[str, Any]:
        return added_defaults(self.settings)


def varying_keys(runs: Sequence[RunSettings]) -> list[str]:
    """Return the groups and settings in which runs differ, without seeds: `model` first, then in the order typed.

    A setting that follows from the others is left out, such as a learning rate that every optimizer has its own of,
    unless it was typed.
    """
    typed = dict.fromkeys(key for run in runs for key in run.overrides)
    groups = dict.fromkeys(key for run in runs for key in run.choices)
    settings = dict.fromkeys(key for run in runs for key in run.settings)
    known = groups | settings if settings else groups | typed
    candidates = ["model", *(key for key in typed if key in known), *groups, *settings]
    varying: dict[str, list[str]] = {}
    for key in dict.fromkeys(candidates):
        if key in SEED_KEYS:
            continue
        raw_values = [run.value(key) for run in runs]
        if all(value is raw_values[0] or is_same(value, raw_values[0]) for value in raw_values):
            continue  # most settings; to normalize the values of a thousand runs takes a second
        values = [json.dumps(normalize_value(key, value), sort_keys=True) for value in raw_values]
        if len(set(values)) > 1 and (key in typed or not _is_determined_by(values, varying.values())):
            varying[key] = values
    return list(varying)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the last part of each key as its name, `lr` for `optimizer.lr`, if no other key ends with it."""
    keys = list(keys)
    last_parts = [key.rpartition(".")[2] for key in keys]
    return {key: last if last_parts.count(last) == 1 else key for key, last in zip(keys, last_parts, strict=True)}


def _is_determined_by(values: Sequence[str], others: Iterable[Sequence[str]]) -> bool:
    """Return whether runs that are equal in the others are equal in these values."""
    combinations = list(zip(*others, strict=True)) or [()] * len(values)
    return len(set(zip(combinations, values, strict=True))) == len(set(combinations))


def split_override(override: str) -> tuple[str, str]:
    """Return the key of an override, without the marks + and ++, and its value as typed."""
    key, _, value = override.lstrip("+").partition("=")
    return key, value
