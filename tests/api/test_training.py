"""Tests of training in the process of a notebook or a script."""

import logging
import os
import random
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import cnn_experiments
from cnn_experiments import ConfigError, LoadedRun, RunFailedError
from cnn_experiments.api.run_log import FORMAT
from cnn_experiments.config.sources import CONF
from tests.api.conftest import OVERRIDES
from tests.conftest import read_results

SMALL = ("data=digits", "trainer=cpu", "trainer=smoke")


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rejection(*overrides: Any, **keywords: Any) -> str:
    """Return the line with which a call is rejected, which leaves nothing behind."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(ConfigError) as error:
        cnn_experiments.train(*overrides, **keywords)
    assert sorted(Path().rglob("*")) == before
    return str(error.value)


def test_result_is_that_of_the_command(command: Callable[..., Any], trained: LoadedRun, tmp_path: Path) -> None:
    directory = tmp_path / "typed"
    assert command(*OVERRIDES, f"hydra.run.dir={directory}").returncode == 0
    typed, called = read_results(directory), read_results(trained.directory)
    assert typed["metrics"] == called["metrics"] == trained.metrics
    for key in ("status", "identity", "configuration", "settings", "options", "overrides", "tested_epoch", "epochs"):
        assert typed[key] == called[key]
    assert (directory / "config.yaml").read_text() == (trained.directory / "config.yaml").read_text()
    assert (directory / "predictions.npz").read_bytes() == (trained.directory / "predictions.npz").read_bytes()
    files = {path.relative_to(directory).parts[0] for path in directory.rglob("*")}
    own_files = {path.relative_to(trained.directory).parts[0] for path in trained.directory.rglob("*")}
    assert own_files == {name for name in files if not name.startswith(("events", ".hydra"))} | {
        path.name for path in trained.directory.glob("events*")
    }

    def log_of(run: Path) -> list[str]:
        text = re.sub(r"\d{4}-\d\d-\d\d [\d:,]+|[\d,]+ images/s|\d:\d\d:\d\d left", "", (run / "run.log").read_text())
        return [line for line in text.splitlines() if "directory: " not in line and "curves: " not in line]

    assert log_of(directory) == log_of(trained.directory)


def test_log_has_the_format_of_the_command() -> None:
    logging_settings = yaml.safe_load((CONF / "hydra" / "job_logging" / "run_log.yaml").read_text())
    assert logging_settings["formatters"]["dated"]["format"] == FORMAT


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optimizer.lr=-1"], "optimizer.lr=-1: must be a number > 0"),
        (["-m"], "-m: flags are for the command line, where -m makes a sweep; the directory of your options is config_dir"),
        (["model=lenet,lenet_bn"], "model=lenet,lenet_bn: several values make a sweep, which needs -m"),
        (["sweep=mine"], "sweep=mine: only valid in a sweep, which needs -m"),
        (["task=inspect"], "task=inspect: must be train here; other tasks are for the command line"),
        (["task=predict"], "task=predict: must be train here; other tasks are for the command line"),
        (["seed"], "seed: must be KEY=VALUE"),
        ([3], '3: must be text, such as "model=lenet"'),
        (
            ["hydra.verbose=true"],
            "hydra.verbose=true: has no effect here; "
            "of Hydra's settings, these have one: hydra.run.dir, hydra.job.chdir, hydra.searchpath",
        ),
        (
            ["trainer=ddp"],
            "trainer.devices=2: must be 1 in a notebook or script; the command line starts the other processes of a run",
        ),
        (["data=digits", "data.batch_size=5000"], "data.batch_size=5000: must be at most 1257, the number of training images"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(overrides: list[Any], line: str) -> None:
    assert rejection(*overrides) == line


def test_config_dir_must_exist() -> None:
    assert rejection("seed=1", config_dir="nowhere") == "config_dir=nowhere: must be a directory"


def test_named_directory_must_be_new_or_hold_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = cnn_experiments.train(*SMALL, "hydra.run.dir=mine")
    started = run.results.started
    capsys.readouterr()
    again = cnn_experiments.train(*SMALL, "hydra.run.dir=mine")
    assert capsys.readouterr().out == "already completed: mine\n"
    assert (again.results.started, again.metrics) == (started, run.metrics)
    assert rejection(*SMALL, "seed=1", "hydra.run.dir=mine") == (
        "hydra.run.dir=mine: must be a new directory, or one in which this same run stopped; it holds another run, with seed=0 and 1 more"
    )


def test_runs_without_a_name_get_directories_of_their_own() -> None:
    first, second = (cnn_experiments.train(*SMALL) for _ in range(2))
    assert first.directory != second.directory
    assert first.directory.parents[1] == Path("outputs").absolute()
    assert first.metrics == second.metrics


def test_failing_run_is_one_error_and_can_be_started_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cnn_experiments.training.classifier import Classifier

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("in the first step")

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", fail)
        with pytest.raises(RunFailedError) as error:
            cnn_experiments.train(*SMALL, "hydra.run.dir=mine")
    assert str(error.value).startswith("ZeroDivisionError: in the first step")
    assert error.value._render_traceback_() == [f"RunFailedError: {error.value}"]
    assert "ZeroDivisionError" not in "".join(capsys.readouterr())
    log = Path("mine/run.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert f"[ERROR] failed: {error.value}\n" in log
    assert cnn_experiments.load("mine").status == "failed"
    assert cnn_experiments.train(*SMALL, "hydra.run.dir=mine").status == "completed"


def test_process_is_the_same_afterwards(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    names = ("cnn_experiments", "lightning.pytorch", "py.warnings", None)

    def state() -> list[Any]:
        loggers = [logging.getLogger(name) for name in names]
        return [
            [(logger.handlers, logger.level, logger.propagate) for logger in loggers],
            (warnings.filters[:], warnings.showwarning),
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)],
            dict(os.environ),
            (random.getstate(), torch.get_rng_state().tolist()),
        ]

    before = state()
    cnn_experiments.train(*SMALL, "seed=7")
    assert state() == before
    output, errors = capsys.readouterr()
    assert output.count("epoch 1/1") == 1
    assert errors == ""
    assert "epoch 1/1" not in caplog.text


def test_every_call_reads_its_own_directory_of_options_anew(tmp_path: Path) -> None:
    def write(directory: str, lr: float) -> Path:
        (tmp_path / directory / "experiment").mkdir(parents=True, exist_ok=True)
        text = f"# @package _global_\noptimizer:\n  lr: {lr}\n"
        (tmp_path / directory / "experiment" / "mine.yaml").write_text(text)
        return tmp_path / directory

    def lr(config_dir: Path) -> Any:
        return cnn_experiments.train(*SMALL, "experiment=mine", config_dir=config_dir).settings["optimizer.lr"]

    first, second = write("first", 0.1), write("second", 0.2)
    assert (lr(first), lr(second), lr(first)) == (0.1, 0.2, 0.1)
    write("first", 0.3)
    assert lr(first) == 0.3
    assert rejection("experiment=mine").startswith("experiment=mine: unknown option")


def test_network_of_the_user_is_built_from_their_directory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "linear.yaml").write_text(
        "_target_: my_linear_network.linear\npixels: 784\nclasses: 10\n"
    )
    (tmp_path / "my_linear_network.py").write_text(
        "from torch import nn\n\n\ndef linear(pixels, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = cnn_experiments.train(*SMALL, "model=linear", "hydra.run.dir=mine", config_dir="conf")
    assert sum(parameter.numel() for parameter in run.network.parameters()) == 7850
    with pytest.raises(ConfigError) as error:
        cnn_experiments.load("mine").network  # noqa: B018
    assert str(error.value) == (
        "ckpt_path: the checkpoint builds model._target_=my_linear_network.linear, which no file of the configuration "
        "names; if it is your own, an option in the directory of load(..., config_dir=DIRECTORY) must name it"
    )
    assert not cnn_experiments.load("mine", config_dir="conf").network.training


def test_chdir_lasts_as_long_as_the_run(tmp_path: Path) -> None:
    run = cnn_experiments.train(*SMALL, "hydra.run.dir=mine", "hydra.job.chdir=true")
    assert Path.cwd() == tmp_path
    assert run.directory == tmp_path / "mine"


def test_interrupted_run_resumes_with_the_same_result(trained: LoadedRun) -> None:
    directory = Path("mine")
    Path("conf").mkdir()

    def interrupt() -> None:
        while not (directory / "metrics.csv").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt) as error:
        cnn_experiments.train(*OVERRIDES, "hydra.run.dir=mine", config_dir="conf")
    thread.join()
    typed = ", ".join(map(repr, OVERRIDES))
    assert str(error.value) == f"to resume the run, call train({typed}, 'hydra.run.dir=mine', config_dir='conf')"
    assert cnn_experiments.load("mine").status == "interrupted"
    run = cnn_experiments.train(*OVERRIDES, "hydra.run.dir=mine")
    assert run.metrics == trained.metrics
    weights, expected = run.network.state_dict(), trained.network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())


def test_run_in_a_thread_leaves_signals_alone() -> None:
    runs: list[LoadedRun] = []
    thread = threading.Thread(target=lambda: runs.append(cnn_experiments.train(*SMALL)))
    thread.start()
    thread.join()
    assert runs[0].status == "completed"
