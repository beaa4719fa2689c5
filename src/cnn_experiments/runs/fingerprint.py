"""Which runs repeat each other, and which may be averaged: hashes of their settings. Torch is not imported here."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cnn_experiments.config.schema import FACTS, OF_A_SWEEP, flat

NO_EFFECT = ("ckpt_path", "data.root", "trainer.accelerator", *OF_A_SWEEP, *FACTS)
"""Settings that leave the result as it is, or that follow from others. What a command does is another: `task`."""

FOR_SPEED = ("compile", "memory_format")
"""Settings that change the result by rounding alone."""

SEEDS = ("seed", "data.seed")
"""Settings by which runs differ that may be averaged."""

_PACKAGE = f"{__package__}."
_OF_ONE_RUN = (*SEEDS, *FOR_SPEED)


def effective(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change the result, with dotted keys."""
    return {
        key: value for key, value in flat(settings).items() if key not in NO_EFFECT and key.partition(".")[0] != "task"
    }


def identity(settings: Mapping[str, Any]) -> str:
    """A hash of the settings that change the result: equal for runs that repeat each other."""
    same = {key: normalised(key, value) for key, value in effective(settings).items()}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


def stored_identity(results: Mapping[str, Any]) -> str | None:
    """The identity of a run, computed from the settings in its results.json.

    A run that an earlier version of this program wrote is recognized by the same command. The hash in results.json
    itself counts only if the settings are not there.
    """
    settings = results.get("settings")
    if isinstance(settings, Mapping) and settings:
        return identity(upgraded(settings, results.get("processes")))
    stored = results.get("identity")
    return stored if isinstance(stored, str) else None


def upgraded(settings: Mapping[str, Any], processes: int | None = None) -> dict[str, Any]:
    """Effective settings as this version writes them, from those that any version has stored.

    Version 0.1 stored what a command does as `task`, and `auto` for the devices, of which a run on a CPU had one.
    """
    settings = effective(settings)
    if settings.get("trainer.devices") in ("auto", "-1", -1):
        settings["trainer.devices"] = processes or 1
    return settings


def configuration(settings: Mapping[str, Any]) -> str:
    """The same without the seed and what is for speed alone: equal for runs that may be averaged."""
    return identity({key: value for key, value in flat(settings).items() if key not in _OF_ONE_RUN})


def normalised(key: str, value: Any) -> Any:
    """The value of a setting, equal for values that mean the same.

    A class or function of this package is known by its name alone, so that it can move to another module.
    """
    if key.rpartition(".")[2] == "_target_" and str(value).startswith(_PACKAGE):
        return str(value).rpartition(".")[2]
    if key == "trainer.devices" and isinstance(value, list):
        value = len(value)
    if key.startswith("trainer.limit_") and value == 1 and isinstance(value, int):
        return "one batch"  # 1.0 is all of them
    return _as_float(value)


def _as_float(value: Any) -> Any:
    """1 and 1.0 are the same setting."""
    if isinstance(value, list):
        return [_as_float(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
