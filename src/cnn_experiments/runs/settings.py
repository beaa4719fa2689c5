"""What runs were told to do, and what of it tells them apart."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnn_experiments.runs.fingerprint import SEEDS, normalised


@dataclass(frozen=True)
class Setup:
    """What one run was told to do: the options chosen, what was typed, and all settings where they are known."""

    options: Mapping[str, str]
    typed: Mapping[str, str]
    settings: Mapping[str, Any]

    def value(self, key: str) -> Any:
        """An option, or the value of a setting; None where there is no such setting."""
        if key in self.options:
            return self.options[key]
        return self.settings.get(key) if self.settings else self.typed.get(key)


def varied(setups: Sequence[Setup]) -> list[str]:
    """The options and settings, without seeds, by which setups differ: the network first, then as they were typed.

    What follows from others is left out, such as a learning rate that every optimizer has one of, unless it was typed.
    """
    typed = dict.fromkeys(key for setup in setups for key in setup.typed)
    options = dict.fromkeys(key for setup in setups for key in setup.options)
    settings = dict.fromkeys(key for setup in setups for key in setup.settings)
    known = options | settings if settings else options | typed
    order = ["model", *(key for key in typed if key in known), *options, *settings]
    chosen: dict[str, list[str]] = {}
    for key in dict.fromkeys(order):
        if key in SEEDS:
            continue
        values = [json.dumps(normalised(key, setup.value(key)), sort_keys=True) for setup in setups]
        if len(set(values)) > 1 and (key in typed or not _follows(values, chosen.values())):
            chosen[key] = values
    return list(chosen)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """`lr` for `optimizer.lr`, where no other of the keys ends so."""
    keys = list(keys)
    last = [key.rpartition(".")[2] for key in keys]
    return {key: end if last.count(end) == 1 else key for key, end in zip(keys, last, strict=True)}


def _follows(values: Sequence[str], from_these: Iterable[Sequence[str]]) -> bool:
    """Whether equal values of these mean equal values."""
    given = list(zip(*from_these, strict=True)) or [()] * len(values)
    return len(set(zip(given, values, strict=True))) == len(set(given))
