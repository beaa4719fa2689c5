"""Tests of how long runs will take."""

from pathlib import Path

import pytest
import torch

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.data.augmentation import AugmentationPipeline
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.sweep import estimate
from cnn_experiments.sweep.plan import PlannedRun
from cnn_experiments.training.synthetic_steps import SyntheticSteps

MEASURED, OF_COMPLETED, STARTUP = 50.0, 100.0, 1.5


@pytest.mark.parametrize(
    ("override", "seconds"),
    [
        ("optimizer.lr=0.5", OF_COMPLETED),
        ("scheduler=cosine", OF_COMPLETED),
        ("seed=1", OF_COMPLETED),
        ("augment=[rand_augment]", MEASURED),
        ("callbacks=swa", MEASURED),
        ("metrics=auroc", MEASURED),
        ("loss=focal", MEASURED),
        ("data.batch_size=32", MEASURED),
    ],
)
def test_completed_runs_of_the_same_cost_are_the_basis(
    monkeypatch: pytest.MonkeyPatch, override: str, seconds: float
) -> None:
    monkeypatch.setattr(estimate, "_measure", lambda *_: MEASURED)
    completed, wanted = (
        PlannedRun(ComposedConfig.from_overrides("data=digits", *overrides), Path(name))
        for name, overrides in (("a", ()), ("b", (override,)))
    )
    results = RunResults.initial({"model": "lenet", "data": "digits"}, [], completed.config.settings, None)
    results.status, results.seconds = Status.COMPLETED, {"fit": 90.0, "test": 10.0}
    states = {Path("a"): RunState(Status.COMPLETED, results), Path("b"): RunState(Status.NEW, None)}
    assert estimate.estimate_seconds([completed, wanted], states, [wanted], {}) == {Path("b"): seconds + STARTUP}


def test_steps_are_timed_as_the_run_will_compute_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def train(steps: SyntheticSteps) -> None:
        seen.append((torch.get_num_threads(), steps._memory_format))

    monkeypatch.setattr(SyntheticSteps, "train", train)
    config = ComposedConfig.from_overrides("data=digits", "trainer=cpu", "memory_format=channels_last")
    run, states = PlannedRun(config, Path("run")), {Path("run"): RunState(Status.NEW, None)}
    estimate.estimate_seconds([run], states, [run], {Path("run"): 3})
    assert set(seen) == {(3, torch.channels_last)}


def test_run_whose_steps_fail_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: SyntheticSteps) -> None:
        raise RuntimeError

    monkeypatch.setattr(SyntheticSteps, "train", fail)
    run = PlannedRun(ComposedConfig.from_overrides("data=digits", "memory_format=contiguous"), Path("run"))
    states = {Path("run"): RunState(Status.NEW, None)}
    assert estimate.estimate_seconds([run], states, [run], {}) == {Path("run"): STARTUP}


def test_measured_training_step_has_the_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name in ("transform", "mix"):
        method = getattr(AugmentationPipeline, name)
        monkeypatch.setattr(
            AugmentationPipeline, name, lambda *args, method=method, name=name: (calls.append(name), method(*args))[1]
        )
    config = ComposedConfig.from_overrides("data=digits", "trainer=cpu", "augment=[flip,mixup]", "data.channels=3")
    assert estimate._measure(config.settings) > 0
    assert calls == ["transform", "mix"] * (len(calls) // 2)
    assert len(calls) >= 4
