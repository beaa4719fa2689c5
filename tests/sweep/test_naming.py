"""Names of folders."""

import re

import pytest

from cnn_experiments.sweep.naming import run_name, sweep_name, word

IDENTITY = "3fa29c01b2d44e5f"


def test_a_sweep_is_named_after_its_keys_in_any_order() -> None:
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
def test_a_run_is_named_after_what_varies(words: list[str], name: str) -> None:
    assert run_name(words, IDENTITY) == name
    assert re.fullmatch(r"[\w.+-]+", name)


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = (run_name(["lenet", "x" * 100, end], IDENTITY) for end in ("a", "b"))
    assert len(one) == len(other) == 80 + len("-3fa29c01")
    assert one != other
    assert len(sweep_name("abcdefghij" * 2 + str(number) for number in range(20))) == 80


def test_options_stand_for_themselves_and_values_behind_their_key() -> None:
    groups = {"optimizer": "adam"}
    assert word("optimizer", "adam", groups) == "adam"
    assert word("optimizer.lr", "0.1", groups) == "lr0.1"
    assert word("seed", "0", groups) == "seed0"
