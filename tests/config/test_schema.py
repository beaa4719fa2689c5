"""What settings may be."""

from typing import Any

import pytest

from cnn_experiments.config.schema import RULES, check, flat, unknown_key
from cnn_experiments.errors import Refusal

DEFAULTS: dict[str, Any] = {
    "model": {
        "_target_": "Net",
        "width": 8,
        "depths": [1, 2],
        "name": "a",
        "dropout": 0.5,
        "norm": False,
        "extra": None,
        "must": "???",
    },
    "optimizer": {"lr": 0.1},
    "data": {"resize": None, "classes": 10},
    "seed": 0,
}


GIVEN = DEFAULTS | {"model": DEFAULTS["model"] | {"must": 1}}


def changed(key: str, value: Any) -> dict[str, Any]:
    group, _, name = key.rpartition(".")
    return GIVEN | ({group: GIVEN[group] | {name: value}} if group else {name: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.width", 3),
        ("model.depths", []),
        ("model.name", "b"),
        ("model.dropout", 1),
        ("model.norm", True),
        ("model.extra", "anything"),
        ("model.must", 3),
        ("optimizer.lr", 1e-9),
        ("data.resize", 96),
        ("data.resize", None),
        ("seed", 2**32 - 1),
    ],
)
def test_values_of_the_right_kind_pass(key: str, value: Any) -> None:
    assert flat(changed(key, value))[key] == value
    check(changed(key, value), DEFAULTS)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("model.width", 3.0, "model.width=3.0: must be a whole number"),
        ("model.width", True, "model.width=true: must be a whole number"),
        ("model.width", None, "model.width=null: must be a whole number"),
        ("model.depths", 4, "model.depths=4: must be a list of whole numbers"),
        ("model.depths", ["a"], "model.depths=['a']: must be a list of whole numbers"),
        ("model.must", "???", "model.must=???: must be given"),
        ("model.name", 5, "model.name=5: must be text"),
        ("model.dropout", "much", "model.dropout=much: must be a number"),
        ("model.norm", 1, "model.norm=1: must be true or false"),
        ("optimizer.lr", -1, "optimizer.lr=-1: must be a number above 0"),
        ("optimizer.lr", float("inf"), "optimizer.lr=inf: must be a number above 0"),
        ("data.resize", 0, "data.resize=0: must be a whole number of 1 or more or null"),
        ("data.classes", 11, "data.classes=11: must be 10, a fact of the chosen option and no setting"),
        ("seed", 2**32, "seed=4294967296: must be a whole number from 0 to 4294967295"),
        (
            "model.widht",
            3,
            "model.widht=3: there is no such setting; allowed in model: depths, dropout, extra, must, name, norm, width; "
            "the nearest is model.width",
        ),
    ],
)
def test_others_are_refused(key: str, value: Any, line: str) -> None:
    with pytest.raises(Refusal) as refused:
        check(changed(key, value), DEFAULTS)
    assert str(refused.value) == line


def test_a_setting_without_a_default_may_be_nested() -> None:
    check(changed("model.must", 1) | {"model": DEFAULTS["model"] | {"must": 1, "extra": {"a": {"b": 1}}}}, DEFAULTS)


def test_a_setting_that_others_refer_to_is_named_first() -> None:
    broken = changed("model.width", "x") | {"seed": -1}
    with pytest.raises(Refusal, match=r"^seed=-1"):
        check(broken, DEFAULTS)


@pytest.mark.parametrize("known", [["a.b"], ["lr"]])
def test_nothing_near_names_nothing(known: list[str]) -> None:
    assert "nearest" not in str(unknown_key("zzz.qqq", 1, known))


@pytest.mark.parametrize(
    "key", ["trainer.limit_train_batches", "trainer.limit_val_batches", "trainer.limit_test_batches"]
)
def test_limits_are_numbers_or_shares(key: str) -> None:
    accepted = {value: RULES[key].accepts(value) for value in (1, 500, 0.5, 1.0, None, 0, 0.0, 1.5, -1, "all")}
    assert [value for value, accepts in accepted.items() if accepts] == [1, 500, 0.5, None]
    assert RULES[key].accepts(1.0)
