"""Tests of finding the settings that vary among runs."""

from typing import Any

from cnn_experiments.runs.settings import RunSettings, short_names, split_override, varying_keys


def run_settings(settings: dict[str, Any], *overrides: str, **choices: str) -> RunSettings:
    return RunSettings(choices, dict(override.split("=") for override in overrides), settings)


ADAM = {"optimizer.lr": 0.001, "optimizer.betas": [0.9, 0.999], "model.width": 8, "seed": 0}
SGD = {"optimizer.lr": 0.1, "optimizer.momentum": 0.0, "model.width": 8, "seed": 1}


def test_settings_that_follow_from_an_option_do_not_vary() -> None:
    adam = run_settings(ADAM, "optimizer=adam", model="lenet", optimizer="adam")
    sgd = run_settings(SGD, "optimizer=sgd", model="lenet", optimizer="sgd")
    assert varying_keys([adam, sgd]) == ["optimizer"]


def test_typed_setting_varies_in_addition_to_the_option() -> None:
    adam = run_settings(ADAM, "optimizer=adam", "optimizer.lr=0.001", model="lenet", optimizer="adam")
    sgd = run_settings(SGD, "optimizer=sgd", "optimizer.lr=0.1", model="lenet", optimizer="sgd")
    assert varying_keys([adam, sgd]) == ["optimizer", "optimizer.lr"]


def test_typed_value_equals_the_same_default() -> None:
    typed = run_settings(ADAM, "optimizer.lr=0.001", model="lenet", optimizer="adam")
    default = run_settings(ADAM, model="lenet", optimizer="adam")
    assert varying_keys([typed, default]) == []


def test_model_is_first_and_a_changed_option_file_varies() -> None:
    runs = [
        run_settings({"model.width": 8, "label_smoothing": 0.0}, "label_smoothing=0.0", "model=a", model="a"),
        run_settings({"model.width": 16, "label_smoothing": 0.1}, "label_smoothing=0.1", "model=a", model="a"),
        run_settings({"model.width": 32, "label_smoothing": 0.1}, "label_smoothing=0.1", "model=b", model="b"),
        run_settings({"model.width": 64, "label_smoothing": 0.1}, "label_smoothing=0.1", "model=b", model="b"),
    ]
    assert varying_keys(runs) == ["model", "label_smoothing", "model.width"]


def test_runs_without_settings_vary_in_their_overrides() -> None:
    runs = [RunSettings({"model": "lenet"}, {"optimizer.lr": lr, "seed": lr}, {}) for lr in ("0.1", "0.2")]
    assert varying_keys(runs) == ["optimizer.lr"]


def test_names_are_as_short_as_they_are_unique() -> None:
    assert short_names(["model", "optimizer.lr", "model.width", "data.width"]) == {
        "model": "model",
        "optimizer.lr": "lr",
        "model.width": "model.width",
        "data.width": "data.width",
    }


def test_override_is_split_into_key_and_value() -> None:
    assert split_override("optimizer.lr=0.1") == ("optimizer.lr", "0.1")
    assert split_override("++name=a=b") == ("name", "a=b")
