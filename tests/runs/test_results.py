"""Tests of the schema of results.json, and of reading files of earlier versions."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.runs.fingerprint import config_hash, round_to_float32, run_id
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.status import Status

SETTINGS: dict[str, Any] = {"seed": 3, "optimizer": {"lr": 0.1}, "trainer": {"devices": 1}, "task": "train"}
CHOICES = {"model": "lenet", "data": "digits"}

COMPLETE: dict[str, Any] = {
    "status": "completed", "model": "lenet", "data": "digits", "overrides": [], "seed": 0, "metrics": {}, "signal": None,
}  # fmt: skip

CONTRACT = [
    "status", "model", "data", "protocol", "seed", "overrides", "metrics", "epochs", "parameters", "multiply_adds", "seconds",
    "images_per_second", "peak_memory_bytes", "device", "precision", "identity", "git_commit", "versions", "error",
]  # fmt: skip


def initial() -> RunResults:
    return RunResults.initial(CHOICES, ["optimizer.lr=0.1"], SETTINGS, {"optimizer.lr": 0.1})


def test_schema_has_the_keys_of_the_contract() -> None:
    assert set(CONTRACT) <= {key.name for key in fields(RunResults)}
    assert all(key.metadata["meaning"] for key in fields(RunResults))


def test_initial_results_describe_the_run() -> None:
    results = initial()
    assert (results.status, results.model, results.data, results.seed) == (Status.RUNNING, "lenet", "digits", 3)
    assert results.identity == run_id(SETTINGS)
    assert results.configuration == config_hash(SETTINGS)
    assert results.settings == {"seed": 3, "optimizer.lr": 0.1, "trainer.devices": 1}
    assert results.changed_settings == {"optimizer.lr": 0.1}
    assert (results.metrics, results.epochs, results.error, results.signal) == ({}, 0, None, None)


def test_resumed_run_keeps_its_epochs_metrics_and_start() -> None:
    interrupted = replace(
        initial(), status=Status.INTERRUPTED, signal="SIGTERM", epochs=2, metrics={"val/acc": 0.5}, started="earlier"
    )
    results = RunResults.initial(CHOICES, ["seed=3"], SETTINGS, {"seed": 3}, previous=interrupted)
    assert (results.status, results.signal, results.overrides) == (Status.RUNNING, None, ["seed=3"])
    assert results.changed_settings == {"seed": 3}
    assert (results.epochs, results.metrics, results.started) == (2, {"val/acc": 0.5}, "earlier")


def test_saved_results_are_loaded_again(tmp_path: Path) -> None:
    results = replace(initial(), metrics={"val/acc": 0.5}, parameters=7, signal="SIGKILL", status=Status.FAILED)
    results.save(tmp_path)
    assert RunResults.load(tmp_path) == results
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "failed"


def test_numbers_have_seven_digits_and_infinity_is_null(tmp_path: Path) -> None:
    metrics = {"test/loss": float("inf"), "test/acc": 0.7669000029563904}
    replace(initial(), metrics=metrics, settings={"model.limits": [0.5, float("inf")]}).save(tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["metrics"] == {"test/loss": None, "test/acc": 0.7669}
    assert content["settings"] == {"model.limits": [0.5, None]}


def test_text_that_is_not_valid_unicode_is_escaped(tmp_path: Path) -> None:
    replace(initial(), error="No such file: \udcff").save(tmp_path)
    assert RunResults.load(tmp_path).error == r"No such file: \udcff"


def test_file_stays_complete_if_saving_fails(tmp_path: Path) -> None:
    initial().save(tmp_path)
    with pytest.raises(TypeError, match="not JSON serializable"):
        replace(initial(), versions={"torch": object()}).save(tmp_path)  # type: ignore[dict-item]
    assert RunResults.load(tmp_path) == initial()


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.1 + 2**-30, 0.1), (123456.789, 123456.8), (1e-12, 1e-12), (0.0, 0.0)]
)
def test_round_to_float32(value: float, rounded: float) -> None:
    assert round_to_float32(value) == rounded


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "3"}, "missing or of the wrong type: seed"),
        ({"epochs": True}, "missing or of the wrong type: epochs"),
        ({"metrics": None, "overrides": {}}, "missing or of the wrong type: metrics, overrides"),
        ({"status": "done"}, "status=done: must be one of running, completed, failed, interrupted"),
    ],
)
def test_content_of_the_wrong_type_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    initial().save(tmp_path)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=f"^{message}$"):
        RunResults.load(tmp_path)


def test_unknown_keys_are_ignored() -> None:
    content = {"status": "completed", "metrics": {}, "overrides": [], "seed": 0, "model": "a", "data": "b", "mine": 1}
    assert RunResults.from_json(content).status == Status.COMPLETED


VERSION_0_1 = {
    "status": "interrupted",
    "model": "lenet",
    "data": "digits",
    "options": {"model": "lenet", "task": "train"},
    "overrides": [],
    "seed": 3,
    "metrics": {},
    "identity": "0123456789abcdef",
    "configuration": "0123456789abcdef",
    "settings": {"seed": 3, "optimizer.lr": 0.1, "trainer.devices": "auto", "task._target_": "cnn_experiments.train"},
    "error": "SIGTERM",
}
VERSION_0_2: dict[str, Any] = COMPLETE | {"options": {"model": "lenet"}}
NEW_OPTIONS = {"loss": "cross_entropy", "metrics": "none", "callbacks": "none", "logger": "tensorboard"}


def test_run_of_version_0_1_has_the_identity_of_the_same_command_today() -> None:
    results = RunResults.from_json(VERSION_0_1)
    assert results.identity == run_id(SETTINGS)
    assert results.configuration == config_hash(SETTINGS)
    assert results.options == {"model": "lenet", "augment": "none"} | NEW_OPTIONS
    on_two_devices = RunResults.from_json(VERSION_0_1 | {"processes": 2})
    assert on_two_devices.configuration == config_hash(SETTINGS | {"trainer": {"devices": 2}})


@pytest.mark.parametrize(
    ("augmentation", "option", "override"),
    [
        ("none", "none", "augment=[]"),
        ("flip", "flip", "augment=[flip]"),
        ("crop_flip_erase", "crop,flip,erase", "augment=[crop,flip,erase]"),
    ],
)
def test_run_of_version_0_2_has_the_options_and_overrides_of_today(
    augmentation: str, option: str, override: str
) -> None:
    content = VERSION_0_2 | {
        "overrides": [f"data.augment={augmentation}", "label_smoothing=0.1", "seed=3"],
        "settings": {"seed": 3, "data.augment": augmentation, "label_smoothing": 0.1},
    }
    results = RunResults.from_json(content)
    assert results.options == {"model": "lenet", "augment": option} | NEW_OPTIONS
    assert results.overrides == [override, "loss.label_smoothing=0.1", "seed=3"]
    assert results.settings["loss.label_smoothing"] == 0.1


@pytest.mark.parametrize(
    ("stored", "error", "signal", "epoch"),
    [
        ("SIGTERM", None, "SIGTERM", None),
        ("pruned after epoch 3", None, None, 3),
        ("ValueError: SIGTERM", "ValueError: SIGTERM", None, None),
        (None, None, None, None),
    ],
)
def test_error_of_version_0_1_is_split_into_error_signal_and_pruned_epoch(
    stored: str | None, error: str | None, signal: str | None, epoch: int | None
) -> None:
    results = RunResults.from_json(VERSION_0_1 | {"error": stored})
    assert (results.error, results.signal, results.pruned_after_epoch) == (error, signal, epoch)


VALUES: list[Any] = [
    True, 0, -1, 0.5, 10**17, "text", "", [], [1], [None], ["text"], [[]], {}, {"a": 1}, {"a": None}, {"a": "text"},
    {"a": []}, {"a": {}}, {"a": True},
]  # fmt: skip
ALLOWED: dict[str, Callable[[Any], bool]] = {
    "dict[str, dict[str, bool | None]]": lambda value: (
        isinstance(value, dict) and all(isinstance(item, dict) for item in value.values())
    ),
    "dict[str, float | None]": lambda value: (
        isinstance(value, dict)
        and all(item is None or (isinstance(item, int | float) and item is not True) for item in value.values())
    ),
    "dict[str, str]": lambda value: isinstance(value, dict) and all(isinstance(item, str) for item in value.values()),
    "list[dict[str, Any]]": lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
    "dict[str, Any]": lambda value: isinstance(value, dict),
    "list[str]": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "int": lambda value: isinstance(value, int) and value is not True,
    "str": lambda value: isinstance(value, str),
    "Status": lambda _: False,  # none of the values is a status
}


@pytest.mark.parametrize("key", [key.name for key in fields(RunResults)])
def test_value_of_another_type_is_rejected_for_every_key(tmp_path: Path, key: str) -> None:
    kind = str(next(field.type for field in fields(RunResults) if field.name == key)).replace("typing.", "")
    name = next(name for name in ALLOWED if name in kind)
    for value in VALUES:
        (tmp_path / "results.json").write_text(json.dumps(COMPLETE | {key: value}))
        if ALLOWED[name](value):
            assert getattr(RunResults.load(tmp_path), key) == value
        else:
            with pytest.raises(ValueError, match=f"{key}|status="):
                RunResults.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("9" * 400, "a number has 400 digits"),
        ("-" + "9" * 5000, "a number has 5001 digits"),
        ('"\\ud800"', "has characters that are not valid Unicode"),
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ("{" * 10, "not valid JSON: Expecting property name"),
    ],
)
def test_content_that_nobody_wrote_is_damaged(tmp_path: Path, text: str, problem: str) -> None:
    for key in ("settings", "unknown"):
        content = json.dumps(COMPLETE | {key: {"a": 1}}).replace('{"a": 1}', f'{{"a": {text}}}')
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(ValueError, match=problem):
            RunResults.load(tmp_path)


def test_number_that_is_not_finite_is_read_as_null(tmp_path: Path) -> None:
    content = json.dumps(COMPLETE | {"metrics": {}}).replace(
        '"metrics": {}', '"metrics": {"a": NaN, "b": 1e999, "c": 1}'
    )
    (tmp_path / "results.json").write_text(content)
    assert RunResults.load(tmp_path).metrics == {"a": None, "b": None, "c": 1}


def test_settings_of_a_command_are_not_recorded_among_the_overrides() -> None:
    choices = {"model": "lenet", "data": "digits"}
    results = RunResults.initial(choices, ["seed=1", "restart=true", "retry_failed=true"], {"seed": 1}, {"seed": 1})
    assert results.overrides == ["seed=1"]
