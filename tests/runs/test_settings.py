"""What tells runs apart."""

from typing import Any

from cnn_experiments.runs.settings import Setup, short_names, varied


def setup(settings: dict[str, Any], *typed: str, **options: str) -> Setup:
    return Setup(options, dict(pair.split("=") for pair in typed), settings)


ADAM = {"optimizer.lr": 0.001, "optimizer.betas": [0.9, 0.999], "model.width": 8, "seed": 0}
SGD = {"optimizer.lr": 0.1, "optimizer.momentum": 0.0, "model.width": 8, "seed": 1}


def test_what_follows_from_an_option_does_not_vary() -> None:
    adam = setup(ADAM, "optimizer=adam", model="lenet", optimizer="adam")
    sgd = setup(SGD, "optimizer=sgd", model="lenet", optimizer="sgd")
    assert varied([adam, sgd]) == ["optimizer"]


def test_what_was_typed_varies_beside_the_option() -> None:
    adam = setup(ADAM, "optimizer=adam", "optimizer.lr=0.001", model="lenet", optimizer="adam")
    sgd = setup(SGD, "optimizer=sgd", "optimizer.lr=0.1", model="lenet", optimizer="sgd")
    assert varied([adam, sgd]) == ["optimizer", "optimizer.lr"]


def test_a_value_that_was_typed_is_equal_to_the_same_by_default() -> None:
    typed = setup(ADAM, "optimizer.lr=0.001", model="lenet", optimizer="adam")
    default = setup(ADAM, model="lenet", optimizer="adam")
    assert varied([typed, default]) == []


def test_the_network_is_first_and_a_file_that_changed_shows() -> None:
    runs = [
        setup({"model.width": 8, "label_smoothing": 0.0}, "label_smoothing=0.0", "model=a", model="a"),
        setup({"model.width": 16, "label_smoothing": 0.1}, "label_smoothing=0.1", "model=a", model="a"),
        setup({"model.width": 32, "label_smoothing": 0.1}, "label_smoothing=0.1", "model=b", model="b"),
        setup({"model.width": 64, "label_smoothing": 0.1}, "label_smoothing=0.1", "model=b", model="b"),
    ]
    assert varied(runs) == ["model", "label_smoothing", "model.width"]


def test_runs_that_only_tell_what_was_typed() -> None:
    runs = [Setup({"model": "lenet"}, {"optimizer.lr": lr, "seed": lr}, {}) for lr in ("0.1", "0.2")]
    assert varied(runs) == ["optimizer.lr"]


def test_names_are_as_short_as_they_can_be() -> None:
    assert short_names(["model", "optimizer.lr", "model.width", "data.width"]) == {
        "model": "model",
        "optimizer.lr": "lr",
        "model.width": "model.width",
        "data.width": "data.width",
    }
