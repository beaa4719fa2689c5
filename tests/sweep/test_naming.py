"""Tests of the names of sweeps and runs."""

import re

import pytest

from cnn_experiments.sweep.naming import run_name, sweep_name, value_name

RUN_ID = "3fa29c01b2d44e5f"


def test_sweep_is_named_after_its_keys_in_any_order() -> None:
    assert sweep_name(["optimizer", "data.batch_size", "model"]) == "model-batch_size-optimizer"
    assert sweep_name(["model", "optimizer", "data.batch_size"]) == "model-batch_size-optimizer"
    assert sweep_name([]) == "sweep"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["lenet", "adam", "lr0.1"], "lenet-adam-lr0.1-3fa29c01"),
        (["lenet", "book/sgd/lenet"], "lenet-book_sgd_lenet-3fa29c01"),
        (["vgg11", "depths[1,1,2,2,2]"], "vgg11-depths_1_1_2_2_2-3fa29c01"),
        (["lenet", "lr1e-05"], "lenet-lr1e-05-3fa29c01"),
        (["lenet", "ckpt_path'a b=c,d'"], "lenet-ckpt_path_a_b_c_d-3fa29c01"),
    ],
)
def test_run_is_named_after_its_varying_values(words: list[str], name: str) -> None:
    assert run_name(words, RUN_ID) == name
    assert re.fullmatch(r"[\w.+-]+", name)


def test_long_names_are_shortened_and_stay_different() -> None:
    first, second = (run_name(["lenet", "x" * 100, end], RUN_ID) for end in ("a", "b"))
    assert len(first) == len(second) == 80 + len("-3fa29c01")
    assert first != second
    assert len(sweep_name("abcdefghij" * 2 + str(number) for number in range(20))) == 80


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("optimizer", "adam", "adam"),
        ("optimizer.lr", "0.1", "lr0.1"),
        ("seed", "0", "seed0"),
        ("compile", "True", "compiletrue"),
    ],
)
def test_option_is_named_by_itself_and_value_after_its_key(key: str, value: str, name: str) -> None:
    assert value_name(key, value, {"optimizer": "adam"}) == name
