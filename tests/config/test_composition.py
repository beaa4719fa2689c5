"""Tests that overrides are applied to composed options exactly as Hydra composes them."""

import itertools
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.composition import apply_overrides, compose_options
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.config.overrides import parse_override
from cnn_experiments.config.sources import CONF, find_options

pytestmark = pytest.mark.usefixtures("set_argv")

VALUES = [
    ["seed=3", "data.batch_size=64", "optimizer.lr=1e-2"],
    ["data.root='a b=c'", "ckpt_path=null", r"data.root='it\'s'", "monitor=val/loss"],
    ["optimizer.lr=${optimizer.weight_decay}", "optimizer.weight_decay=0.1", "data.seed=${seed}", "seed=7"],
    ["trainer.devices=[0, 1]", "trainer.max_epochs=3", "++seed=3", "trainer.max_epochs=5"],
    ["data.root=${oc.env:HOME,x}", "memory_format=a-${seed}", "ckpt_path='\\${seed}'", "compile=true"],
    ["data.root=null", "memory_format='null'", "trainer.precision=16", "trainer.precision='16'", "memory_format=3.5"],
    ["trainer.limit_train_batches={a: 1}", "+ckpt_path.a.b=1"],
    ["data.root=???", "data.root=", "monitor="],
]
CHOICES = [
    *([f"{group}={option}"] for group in ("model", "init", "data", "loss", "augment", "callbacks", "optimizer", "scheduler", "trainer")
      for option in find_options(group, [CONF]) if option not in ("arrays", "folder")),  # which need images
    *([f"experiment={option}"] for option in find_options("experiment", [CONF])[::7]),
    ["experiment=best_sgd", "model=densenet", "trainer=smoke"],
    ["model=resnet18", "model=nin"],
    ["augment=[flip,crop]", "logger=[]"],
    ["experiment=best_sgd", "augment=[erase]"],
]  # fmt: skip


def expected_settings(*overrides: str) -> tuple[object, str]:
    config = config_loader().load_configuration("config", list(overrides), run_mode=RunMode.RUN)
    settings = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return OmegaConf.to_container(settings, resolve=True), OmegaConf.to_yaml(settings, resolve=True)


def with_values() -> list[list[str]]:
    """Return the choices, each with some of the values in turn; the digits have no `data.root`."""
    pairs = zip(CHOICES, itertools.cycle(VALUES), strict=False)
    return [[*choices, *(VALUES[0] if choices == ["data=digits"] else values)] for choices, values in pairs]


@pytest.mark.parametrize("overrides", with_values(), ids=" ".join)
def test_settings_are_those_that_hydra_composes(overrides: list[str]) -> None:
    config = ComposedConfig.from_overrides(*overrides)
    # What a typed option sets although a recipe sets it too is appended; Hydra alone would keep the recipe's value.
    settings, text = expected_settings(*config.overrides)
    assert repr(config.settings) == repr(settings)
    assert config.to_yaml() == text


def test_options_of_the_user_are_composed_as_hydra_does(config_dir: Path) -> None:
    (config_dir / "mine").mkdir()
    (config_dir / "mine" / "a.yaml").write_text("# @package _global_\nseed: 5\nextra:\n  b: ${seed}\n  c: [1, null]\n")
    overrides = ["+mine=a", "extra.c=[2,'x']", "optimizer.lr=0.5"]
    config = ComposedConfig.from_overrides(*overrides)
    assert config.settings == expected_settings(*overrides)[0]
    assert config.settings["extra"] == {"b": 5, "c": [2, "x"]}


@pytest.mark.parametrize(
    ("line", "only_hydra"),
    [
        ("seed=3", False),
        ("trainer.devices=[0,1]", False),
        ("seed=${data.seed}", False),
        ("+ckpt_path.a=1", True),
        ("trainer.devices=[{a: 1}]", True),
        ("seed={a: 1}", True),
    ],
)
def test_only_plain_values_are_applied_without_hydra(line: str, only_hydra: bool) -> None:
    options = compose_options("config", ())
    before = repr(options.unresolved)
    applied = apply_overrides([parse_override(line)], options)
    assert (applied is None) == only_hydra
    assert repr(options.unresolved) == before
