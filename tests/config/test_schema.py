"""Tests of validating the keys and values of settings."""

from typing import Any

import pytest

from cnn_experiments.config.schema import RULES, TOP_LEVEL_KEYS, unknown_key_error, validate
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import TASK_KEYS, flatten
from tests.conftest import compose_settings

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
    "optimizer": {"lr": 0.1, "betas": [0.9, 0.999]},
    "data": {"resize": None, "classes": 10},
    "seed": 0,
}

VALID = DEFAULTS | {"model": DEFAULTS["model"] | {"must": 1}}


def with_value(key: str, value: Any) -> dict[str, Any]:
    group, _, name = key.rpartition(".")
    return VALID | ({group: VALID[group] | {name: value}} if group else {name: value})


def without(key: str) -> dict[str, Any]:
    group, _, name = key.rpartition(".")
    settings = {**VALID, group: dict(VALID[group])} if group else dict(VALID)
    del (settings[group] if group else settings)[name]
    return settings


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
def test_value_of_the_right_type_is_accepted(key: str, value: Any) -> None:
    assert flatten(with_value(key, value))[key] == value
    validate(with_value(key, value), DEFAULTS)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("model.width", 3.0, "model.width=3.0: must be an integer"),
        ("model.width", True, "model.width=true: must be an integer"),
        ("model.width", None, "model.width=null: must be an integer"),
        ("model.depths", 4, "model.depths=4: must be a list of integers"),
        ("model.depths", ["a"], "model.depths=['a']: must be a list of integers"),
        ("model.must", "???", "model.must: must be given"),
        ("optimizer.betas", [0.9], "optimizer.betas=[0.9]: must be 2 numbers, such as [0.9, 0.999]"),
        ("optimizer.betas", [0.9, 1], "optimizer.betas=[0.9, 1]: must be a list of numbers in [0, 1)"),
        ("model.name", 5, "model.name=5: must be a string"),
        ("model.dropout", "much", "model.dropout=much: must be a number"),
        ("model.norm", 1, "model.norm=1: must be true or false"),
        ("optimizer.lr", -1, "optimizer.lr=-1: must be a number > 0"),
        ("optimizer.lr", float("inf"), "optimizer.lr=inf: must be a number > 0"),
        ("data.resize", 0, "data.resize=0: must be an integer >= 1 or null"),
        ("seed", 2**32, "seed=4294967296: must be an integer from 0 to 4294967295"),
        (
            "model.widht",
            3,
            "model.widht=3: unknown key; keys of model: depths, dropout, extra, must, name, norm, width; "
            "did you mean model.width?",
        ),
    ],
)
def test_invalid_value_is_rejected(key: str, value: Any, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate(with_value(key, value), DEFAULTS)
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("optimizer.lr", "~optimizer.lr: keys can't be deleted; the default is optimizer.lr=0.1"),
        ("seed", "~seed: keys can't be deleted; the default is seed=0"),
        ("data.resize", "~data.resize: keys can't be deleted; the default is data.resize=null"),
        ("model", "~model: groups can't be deleted"),
    ],
)
def test_deleted_key_is_rejected(key: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate(without(key), DEFAULTS)
    assert str(error.value) == line


def test_setting_whose_default_is_null_may_be_nested() -> None:
    nested = VALID | {"model": DEFAULTS["model"] | {"must": 1, "extra": {"a": {"b": 1}}}}
    validate(nested, DEFAULTS)
    unknown = VALID | {"model": DEFAULTS["model"] | {"must": 1, "another": {"a": {"b": 1}}}}
    with pytest.raises(ConfigError, match=r"^model\.another\.a\.b=1: unknown key"):
        validate(unknown, DEFAULTS)


def test_top_level_keys_are_those_of_the_packaged_configuration() -> None:
    assert set(TOP_LEVEL_KEYS) - set(TASK_KEYS) == set(compose_settings())


def test_group_that_nothing_uses_is_rejected() -> None:
    settings = VALID | {"sampler": {"_target_": "Mine"}}
    with pytest.raises(ConfigError, match=r"^sampler: nothing uses this key; top-level keys: augment, callbacks, "):
        validate(settings, settings)


def test_part_without_a_name_is_rejected() -> None:
    settings = VALID | {"callbacks": {"_target_": "Mine"}}
    with pytest.raises(ConfigError) as error:
        validate(settings, settings)
    assert (
        str(error.value) == "callbacks._target_=Mine: must be below the name of a part, as in callbacks.NAME._target_"
    )


def test_part_that_was_typed_may_have_any_settings() -> None:
    validate(VALID | {"metrics": {"top5": {"_target_": "Mine", "top_k": 5}}}, DEFAULTS | {"metrics": {}})
    chosen = DEFAULTS | {"metrics": {"top5": {"_target_": "Mine"}}}
    with pytest.raises(ConfigError, match=r"^metrics\.top5\.top_k=5: unknown key"):
        validate(VALID | {"metrics": {"top5": {"_target_": "Mine", "top_k": 5}}}, chosen)


@pytest.mark.parametrize("value", ["00:00:10:00", "10:00:00:00", None])
def test_time_is_accepted(value: str | None) -> None:
    RULES["trainer.max_time"].check("trainer.max_time", value)


@pytest.mark.parametrize("value", ["10m", "00:00:00:00", "00:10:00", 2160000, {"hours": 1}])
def test_wrong_time_is_rejected(value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        RULES["trainer.max_time"].check("trainer.max_time", value)
    assert str(error.value) == f"trainer.max_time={value}: must be a time 'DD:HH:MM:SS' in quotes or null"


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("trainer.max_epochs", 2**31, "trainer.max_epochs=2147483648: must be at most 1e+06"),
        ("trainer.max_steps", 0, "trainer.max_steps=0: must be an integer >= 1 or -1"),
        ("optimizer.lr", 1e308, "optimizer.lr=1e+308: must be at most 1e+06"),
        ("optimizer.weight_decay", 10**400, f"optimizer.weight_decay={10**400}: must be at most 1e+06"),
    ],
)
def test_large_value_of_a_limited_setting_is_rejected(key: str, value: float, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        RULES[key].check(key, value)
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("model.width", 10**20, f"model.width={10**20}: must be at most 1e+09"),
        ("model.depths", [2, -(10**20)], f"model.depths=[2, {-(10**20)}]: must be in absolute value at most 1e+09"),
        ("model.dropout", -1e308, "model.dropout=-1e+308: must be in absolute value at most 1e+30"),
    ],
)
def test_number_that_torch_cannot_store_is_rejected(key: str, value: Any, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate(with_value(key, value), DEFAULTS)
    assert str(error.value) == line


def test_setting_that_others_refer_to_is_named_first() -> None:
    settings = with_value("model.width", "x") | {"seed": -1}
    with pytest.raises(ConfigError, match=r"^seed=-1"):
        validate(settings, DEFAULTS)


KNOWN_KEYS = [
    "model._target_",
    "model.norm",
    "model.pool",
    "optimizer.lr",
    "seed",
    "hydra.run.dir",
    "hydra.sweeper._target_",
    "hydra/launcher",
    "experiment",
]


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("model.pol", "model.pol=1: unknown key; keys of model: norm, pool; did you mean model.pool?"),
        ("model.stem", "model.stem=1: unknown key; keys of model: norm, pool"),
        ("model.foo.bar", "model.foo.bar=1: unknown key; keys of model: norm, pool"),
        ("model.lr", "model.lr=1: unknown key; keys of model: norm, pool; did you mean optimizer.lr?"),
        (
            "norm",
            "norm=1: unknown key; top-level keys: experiment, model, optimizer, seed; did you mean model.norm?",
        ),
        (
            "hydra/launcer",
            "hydra/launcer=1: unknown key; top-level keys: experiment, model, optimizer, seed; "
            "did you mean hydra/launcher?",
        ),
        ("hydra.run.dri", "hydra.run.dri=1: unknown key; keys of hydra.run: dir; did you mean hydra.run.dir?"),
        ("hydra.rum", "hydra.rum=1: unknown key; keys of hydra: run, sweeper; did you mean hydra.run?"),
        ("hydra.sweeper.n_trials", "hydra.sweeper.n_trials=1: unknown key; hydra.sweeper has no keys"),
    ],
)
def test_unknown_key_error_lists_the_keys_of_its_group_and_suggests_the_nearest(key: str, line: str) -> None:
    assert str(unknown_key_error(key, 1, KNOWN_KEYS)) == line


@pytest.mark.parametrize("known", [["a.b"], ["lr"]])
def test_nothing_is_suggested_if_no_key_is_near(known: list[str]) -> None:
    assert unknown_key_error("zzz.qqq", 1, known).suggestion is None


@pytest.mark.parametrize(
    "key", ["trainer.limit_train_batches", "trainer.limit_val_batches", "trainer.limit_test_batches"]
)
def test_limits_are_numbers_of_batches_or_fractions(key: str) -> None:
    accepted = {value: RULES[key].accepts(value) for value in (1, 500, 0.5, 1.0, None, 0, 0.0, 1.5, -1, "all")}
    assert [value for value, accepts in accepted.items() if accepts] == [1, 500, 0.5, None]
    assert RULES[key].accepts(1.0)


@pytest.mark.parametrize("value", [[1, 2], "text", None])
def test_group_has_settings_with_names(value: object) -> None:
    settings = {"model": value, "seed": 0}
    with pytest.raises(ConfigError, match=r"^model=.*: must have settings with names, such as _target_$"):
        validate(settings, settings)
