"""The schema of results.json: its keys, their types and meanings, its first content, reading and writing."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from signal import Signals
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.fingerprint import (
    COMMAND_KEYS,
    config_hash,
    effective_settings,
    has_moved_settings,
    round_to_float32,
    run_id,
    upgrade_options,
    upgrade_override,
    upgrade_settings,
)
from cnn_experiments.runs.metrics import Monitor
from cnn_experiments.runs.regular_file import read_text
from cnn_experiments.runs.settings import split_override
from cnn_experiments.runs.status import STORED_STATUSES, Status

RESULTS_FILE = "results.json"

_PRUNED_IN_0_1 = "pruned after epoch "

_MAX_BYTES = 10_000_000
"""The longest results.json that is read; those of runs have some thousand bytes."""

_MAX_INTEGER = 2**63 - 1
"""The largest integer that is read: every one up to it is also a float."""


def _field(meaning: str, **default: Any) -> Any:
    return field(metadata={"meaning": meaning}, **default)


# ruff: noqa: RUF009 (_field returns a field)


@dataclass(kw_only=True)
class RunResults:
    """The content of results.json. A new key is a line here, and is computed where its value is known.

    Keys without a default are required when a file is read.
    """

    status: Status = _field("`running`, `completed`, `failed` or `interrupted`")
    started: str | None = _field("when the run first started, UTC", default=None)
    model: str = _field("the option of the group `model`")
    data: str = _field("the option of the group `data`")
    options: dict[str, str] = _field("the option of every group", default_factory=dict)
    tags: list[str] = _field("the words of `tags`", default_factory=list)
    note: str | None = _field("the text of `note`", default=None)
    overrides: list[str] = _field("this run's overrides; those that a sweep or a search chose are among them")
    seed: int = _field(
        "the seed of weights, order and augmentation, and of the held-out images unless `data.seed` is set"
    )
    # These two are run_id() and config_hash() of the settings. The keys stay, because scripts of users read them.
    identity: str | None = _field(
        "a hash of the settings that change the result: equal for runs that repeat each other", default=None
    )
    configuration: str | None = _field(
        "the same hash without the seeds and without `compile` and `memory_format`, which change the result by "
        "rounding alone",
        default=None,
    )
    settings: dict[str, Any] = _field("all settings that change the result, with dotted keys", default_factory=dict)
    changed_settings: dict[str, Any] | None = _field(
        "those of `options` and `settings` that differ from a run without overrides, whether they were typed or set by "
        "a recipe; null in files of earlier versions",
        default=None,
    )
    initialized_from: dict[str, Any] | None = _field(
        "with `init=checkpoint`, where the first weights come from: `path`, `identity` and `epoch` of the "
        "checkpoint, and `new_layers`, whose weights are not from there",
        default=None,
    )
    protocol: str | None = _field(
        "which split is evaluated after every epoch, and which epoch is tested: `holdout`, `last_epoch` or `book`",
        default=None,
    )
    epochs: int = _field("epochs trained so far", default=0)
    stopped_early: str | None = _field(
        "what ended the training before its last epoch, and why: "
        "`early_stopping: val/loss did not improve in 3 evaluations, best 0.31`; null if all epochs were trained",
        default=None,
    )
    tested_epoch: int | None = _field("the epoch whose checkpoint was tested, from 1", default=None)
    metrics: dict[str, float | None] = _field(
        "test metrics, and training and validation metrics of the tested epoch; "
        "of a run that is not completed, those of its best epoch so far"
    )
    metric_info: dict[str, dict[str, bool | None]] = _field(
        "the metrics of the group `metrics` by name, each with `higher_is_better`, which is null if it does not say",
        default_factory=dict,
    )
    monitor: dict[str, str] | None = _field(
        "the `metric` whose best value chooses the epoch that is tested, and its `mode`: `max` if the highest value is "
        "the best, `min` if the lowest is; null if the last epoch is tested, and in files of earlier versions",
        default=None,
    )
    seconds: dict[str, float | None] = _field(
        "wall time of `fit` and of `test`. `fit` is written after every epoch and counts all parts of a resumed run, "
        "each up to the checkpoint from which the next one continued: what is trained again is counted once",
        default_factory=lambda: {"fit": None, "test": None},
    )
    images_per_second: dict[str, float | None] = _field(
        "`train`: an epoch's training images over the wall time of its training loop, without validation and "
        "checkpoints, the median of all epochs but the first; `test`",
        default_factory=lambda: {"train": None, "test": None},
    )
    peak_memory_bytes: int | None = _field("of the GPU's memory, or of the process on a CPU", default=None)
    image_size: int | None = _field("pixels a side of the network's input", default=None)
    parameters: int | None = _field("trainable parameters", default=None)
    multiply_adds: int | None = _field("multiply-adds of one image's forward pass", default=None)
    stages: list[dict[str, Any]] = _field(
        "the network stage by stage: name, layers, output shape, parameters and multiply-adds", default_factory=list
    )
    device: str | None = _field("its kind and name: `cuda (NVIDIA H200)`", default=None)
    precision: str | None = _field("Lightning's precision: `32-true`", default=None)
    memory_format: str | None = _field(
        "of images and weights in the training, as typed or as chosen by `auto`; null in files of earlier versions",
        default=None,
    )
    threads: int | None = _field(
        "CPU threads that computed; a resumed run has as many. Null if several processes train, and in earlier files",
        default=None,
    )
    processes: int | None = _field("processes that trained together, each with batches of its own", default=None)
    git_commit: str | None = _field("the commit of the working directory, `-dirty` if files differ", default=None)
    logger_versions: dict[str, str] = _field(
        "by which name or number a logger such as W&B or MLflow knows the run; a resumed run continues it there",
        default_factory=dict,
    )
    versions: dict[str, str] = _field("versions of Python and the packages", default_factory=dict)
    error: str | None = _field("why the run failed, or could not continue", default=None)
    signal: str | None = _field("the signal that stopped or killed the run: `SIGTERM`", default=None)
    pruned_after_epoch: int | None = _field("the epoch after which a search stopped the run", default=None)

    @classmethod
    def initial(
        cls,
        choices: Mapping[str, str],
        overrides: Sequence[str],
        settings: Mapping[str, Any],
        changed_settings: Mapping[str, Any] | None,
        previous: "RunResults | None" = None,
    ) -> "RunResults":
        """Return the results of a run before it trains: empty ones, or those that `previous` had reached.

        Args:
            choices: the option of every group.
            overrides: of this run.
            settings: all settings, nested.
            changed_settings: the options and settings that differ from a run without overrides; None if not known.
            previous: the results of the attempt that continues.
        """
        start: dict[str, Any] = {
            "status": Status.RUNNING,
            "model": choices["model"],
            "data": choices["data"],
            "options": dict(choices),
            "tags": list(settings.get("tags", [])),
            "note": settings.get("note"),
            "overrides": [line for line in overrides if split_override(line)[0] not in COMMAND_KEYS],
            "seed": settings["seed"],
            "identity": run_id(settings),
            "configuration": config_hash(settings),
            "settings": effective_settings(settings),
            "changed_settings": None if changed_settings is None else dict(changed_settings),
            "error": None,
            "signal": None,
            "pruned_after_epoch": None,
            "stopped_early": None,
        }
        if previous is not None:
            return replace(previous, **start)
        return cls(metrics={}, started=datetime.now(UTC).isoformat(timespec="seconds"), **start)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the results.json of a run's directory, of this version of the program or an earlier one.

        Whatever the file holds, every value of the results has the type that this class declares.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read, or is no regular file.
            ValueError: it is damaged; the message says how.
        """
        text = read_text(directory / RESULTS_FILE, _MAX_BYTES)
        try:
            content = json.loads(text, parse_int=_parse_integer, parse_float=_parse_float, parse_constant=_parse_float)
            json.dumps(content, ensure_ascii=False).encode()  # text that cannot be written again, or is nested too deep
            if not isinstance(content, dict):
                raise ValueError(f"must hold an object, not a {type(content).__name__}")
            return cls.from_json(content)
        except json.JSONDecodeError as error:
            raise ValueError(f"not valid JSON: {error}") from None
        except RecursionError:
            raise ValueError("nested too deep") from None
        except UnicodeEncodeError:
            raise ValueError("has characters that are not valid Unicode") from None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Build the results from the content of results.json. Unknown keys are ignored.

        Raises:
            ValueError: a key is missing or has the wrong type.
        """
        content = _upgrade(content)
        types = _types()
        known = {key.name: content[key.name] for key in fields(cls) if content.get(key.name) is not None}
        wrong = [key for key, value in known.items() if not _has_type(value, types[key])]
        wrong += [key.name for key in fields(cls) if key.name not in known and _is_required(key)]
        if wrong:
            raise ValueError(f"missing or of the wrong type: {', '.join(sorted(wrong))}")
        if known["status"] not in STORED_STATUSES:
            raise ValueError(f"status={known['status']}: must be one of {', '.join(STORED_STATUSES)}")
        return cls(**known | {"status": Status(known["status"])})

    @property
    def total_seconds(self) -> float | None:
        """Return the wall time of training and test; None unless both are known."""
        fit, test = (finite_number(self.seconds.get(part)) for part in ("fit", "test"))
        return None if fit is None or test is None else fit + test

    def save(self, directory: Path) -> None:
        """Write results.json, which is complete at every moment. A float that JSON cannot hold becomes null.

        Characters that are not valid Unicode become escapes, such as those of a file's name in an error's message.
        """
        with atomic_write(directory / RESULTS_FILE) as file:
            json.dump(_to_json(asdict(self)), file, indent=1, allow_nan=False)


def monitors_of(runs: Iterable[RunResults]) -> list[Monitor]:
    """Return what chooses the tested epochs of some runs, each once."""
    monitors = (Monitor.from_json(results.monitor) for results in runs if results.protocol == "holdout")
    return list(dict.fromkeys(monitors))


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(RunResults)


def _is_required(key: Field[Any]) -> bool:
    return key.default is MISSING and key.default_factory is MISSING


def _upgrade(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the content that an earlier version wrote to this schema.

    In version 0.1, which had no key `signal`, the task was a group, and `error` also held the name of a signal, or that
    a search had pruned the run. Its hashes are computed again from the settings, so that no run is repeated.
    """
    content = dict(content)
    settings = content.get("settings")
    is_of_0_1 = "signal" not in content
    if isinstance(settings, Mapping) and settings and (is_of_0_1 or has_moved_settings(settings)):
        processes = content.get("processes")
        content["settings"] = upgrade_settings(settings, processes if isinstance(processes, int) else None)
        if isinstance(options := content.get("options"), Mapping):
            content["options"] = upgrade_options(options, settings)
        if isinstance(overrides := content.get("overrides"), list):
            content["overrides"] = [upgrade_override(line) if isinstance(line, str) else line for line in overrides]
    if is_of_0_1 and content.get("settings"):
        content["identity"] = run_id(content["settings"])
        content["configuration"] = config_hash(content["settings"])
    if not is_of_0_1:
        return content
    if isinstance(options := content.get("options"), Mapping):
        content["options"] = {group: option for group, option in options.items() if group != "task"}
    error = content.get("error")
    if isinstance(error, str) and error in Signals.__members__:
        content |= {"signal": error, "error": None}
    if isinstance(error, str) and error.startswith(_PRUNED_IN_0_1):
        content |= {"pruned_after_epoch": int(error.removeprefix(_PRUNED_IN_0_1)), "error": None}
    return content


def _parse_integer(digits: str) -> int:
    if len(digits) > len(str(-_MAX_INTEGER)) or abs(number := int(digits)) > _MAX_INTEGER:
        raise ValueError(f"a number has {len(digits)} digits")
    return number


def _parse_float(digits: str) -> float | None:
    return finite_number(float(digits))  # null, as save() writes a float that JSON cannot hold


def _has_type(value: Any, hint: Any) -> bool:
    """Return whether a value of JSON has the type, with all that is in it; an integer is also a float."""
    if isinstance(hint, UnionType):
        return any(_has_type(value, kind) for kind in get_args(hint))
    if hint is Any:
        return True
    if get_origin(hint) is list:
        (item_hint,) = get_args(hint)
        return isinstance(value, list) and all(_has_type(item, item_hint) for item in value)
    if get_origin(hint) is dict:
        _, item_hint = get_args(hint)
        return isinstance(value, dict) and all(_has_type(item, item_hint) for item in value.values())
    allowed: Any = {Status: str, float: (int, float)}.get(hint, hint)
    return isinstance(value, allowed) and (hint is bool or not isinstance(value, bool))


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, float):
        return round_to_float32(value) if math.isfinite(value) else None
    return value


def finite_number(value: Any) -> float | None:
    """Return the value if it is a finite number, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None
