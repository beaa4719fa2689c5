"""Tests of parsing and quoting overrides."""

import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from cnn_experiments.config.overrides import config_flags, parse_overrides, quote_override, run_argv
from cnn_experiments.errors import ConfigError


@pytest.mark.parametrize(
    "value",
    [
        "outputs/a/b",
        "with space",
        "a=b,c",
        "it's",
        r"back\slash",
        r"at the end\\",
        r"\'",
        r"\\'x'",
        "{a: [b]}",
        "a+b (c)",
    ],
)
def test_quoted_value_is_read_back_unchanged(value: str) -> None:
    override = OverridesParser.create().parse_override(quote_override("hydra.run.dir", value))
    assert (override.key_or_group, str(override.value())) == ("hydra.run.dir", value)
    assert not override.is_sweep_override()


def test_overrides_with_one_value_or_several_are_parsed() -> None:
    overrides = parse_overrides(["model=lenet,nin", "seed=3", "on_error=stop"])
    assert [override.key_or_group for override in overrides] == ["model", "seed", "on_error"]
    assert [override.is_sweep_override() for override in overrides] == [True, False, False]


@pytest.mark.parametrize("line", ["sweep=a,b", "dry_run=true,false", "restart=true,false"])
def test_setting_of_the_whole_sweep_has_one_value(line: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_overrides(["seed=1,2", line])
    assert str(error.value) == f"{line}: must be one value for the whole sweep"


@pytest.mark.parametrize(
    "value", ["[" * 21 + "]" * 21, "{a:" * 21 + "1" + "}" * 21, "choice(" + "[" * 200 + "]" * 200 + ")", "[" * 5000]
)
def test_brackets_inside_each_other_are_limited(value: str) -> None:
    with pytest.raises(ConfigError, match="must not have more than 20 brackets inside each other") as error:
        parse_overrides([f"optimizer.lr={value}"])
    assert (error.value.key, error.value.value) == ("optimizer.lr", value)
    parse_overrides(["optimizer.lr=" + "[" * 20 + "]" * 20])


def test_override_that_cannot_be_read_is_named() -> None:
    with pytest.raises(OverrideParseException) as error:
        parse_overrides(["seed=1,2", "a=b=c"])
    assert error.value.override == "a=b=c"


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["seed=1"], []),
        (["-m", "--config-dir", "mine", "seed=1"], ["--config-dir", "mine"]),
        (["--config-name=other", "-cd", "mine"], ["--config-dir", "mine", "--config-name", "other"]),
    ],
)
def test_config_flags_are_read_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], flags: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    assert config_flags() == flags


def test_command_of_one_run_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "-m", "--config-dir", "mine", "model=lenet,nin"])
    hydra_overrides = [
        "hydra.mode=MULTIRUN",
        "hydra.sweep.dir=sweep",
        "hydra.run.dir=other",
        "hydra/launcher=local",
        "hydra.launcher.jobs=2",
        "hydra/sweeper=grid",
        "+hydra.sweeper.params={}",
        "hydra.verbose=true",
    ]
    assert run_argv(["model=nin", "seed=0"], hydra_overrides, Path("sweep/it's")) == [
        "program",
        "--config-dir",
        "mine",
        "model=nin",
        "seed=0",
        "hydra.verbose=true",
        r"hydra.run.dir='sweep/it\'s'",
        "hydra.mode=RUN",
    ]
