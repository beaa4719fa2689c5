"""Tests of fine-tuning: which weights of a run another network gets, and what is frozen."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.fingerprint import run_id
from cnn_experiments.training.build import build_model, without_source
from cnn_experiments.training.callbacks import Throughput
from cnn_experiments.training.fine_tuning import origin_of
from cnn_experiments.training.trained_network import load_trained_network
from tests.conftest import compose_settings, read_results, train_in

SMALL = (
    "data.resize=16",
    "logger=none",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_test_batches=1",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of LeNet with batch normalization."""
    return train_in(tmp_path_factory.mktemp("source") / "run", "model=lenet_bn", *SMALL)


def weights(run: Path, name: str = "best") -> dict[str, Tensor]:
    state = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}


def network(source: Path, *overrides: str) -> nn.Module:
    settings = compose_settings("data=digits", "model=lenet_bn", "init=checkpoint", f"init.path={source}", *overrides)
    torch.manual_seed(1)
    return build_model(settings)


def test_network_gets_all_weights_and_statistics_of_the_best_checkpoint(source: Path) -> None:
    model = network(source)
    expected = weights(source)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    origin = origin_of(model)
    assert origin is not None
    assert (origin.run_id, origin.epoch, origin.new_layers) == (read_results(source)["identity"], 1, ())


def test_layers_of_the_head_that_do_not_fit_stay_new(source: Path) -> None:
    model = network(source, "model.num_classes=7")
    expected = weights(source)
    differing = [name for name, value in model.state_dict().items() if not torch.equal(value, expected[name])]
    assert differing == ["head.8.weight", "head.8.bias"]
    assert model.state_dict()["head.8.weight"].shape == (7, 84)
    origin = origin_of(model)
    assert origin is not None
    assert origin.new_layers == ("head.8",)


def test_new_head_has_no_weights_of_the_run(source: Path) -> None:
    model = network(source, "init.head=new")
    torch.manual_seed(1)
    drawn = build_model(compose_settings("data=digits", "model=lenet_bn")).state_dict()
    expected = weights(source)
    for name, value in model.state_dict().items():
        assert torch.equal(value, (drawn if name.startswith("head.") else expected)[name]), name


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ["model=lenet"],
            "does not fit this network outside of its head (head): it lacks features.3.weight, and 13 more differences",
        ),
        (
            ["model.in_channels=3"],
            "does not fit this network outside of its head (head): "
            "features.0.weight has the shape (6, 1, 5, 5), not (6, 3, 5, 5)",
        ),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_body_that_does_not_fit_is_an_error(source: Path, overrides: list[str], problem: str, device: str) -> None:
    with torch.device(device), pytest.raises(ConfigError) as error:
        network(source, *overrides)
    assert (error.value.key, error.value.problem) == ("init.path", problem)


def test_path_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        network(tmp_path / "nothing")
    assert (error.value.key, error.value.problem) == (
        "init.path",
        "must be a run's directory or a checkpoint; there is nothing",
    )


def test_frozen_parts_require_no_gradient_and_stay_in_evaluation_mode(source: Path) -> None:
    model = network(source, "init.freeze=[features.0,features.1,features.2,head.2.weight]")
    for part in (model.train(), copy.deepcopy(model).train()):
        frozen = [name for name, parameter in part.named_parameters() if not parameter.requires_grad]
        assert frozen == [
            "features.0.weight",
            "features.0.bias",
            "features.1.weight",
            "features.1.bias",
            "head.2.weight",
        ]
        evaluating = [name for name, module in part.named_modules() if not module.training]
        assert evaluating == ["features.0", "features.1", "features.2"]


@pytest.mark.parametrize(
    ("names", "problem", "suggestion"),
    [
        ("[feature]", "feature is no part of this network", "features"),
        ("[head.9]", "head.9 is no part of this network", "head.8"),
        ("[features,head]", "must leave parameters to train", None),
    ],
)
def test_wrong_names_of_frozen_parts_are_errors(source: Path, names: str, problem: str, suggestion: str | None) -> None:
    with pytest.raises(ConfigError) as error:
        network(source, f"init.freeze={names}")
    assert (error.value.key, error.value.problem) == ("init.freeze", problem)
    assert error.value.suggestion == suggestion


def test_frozen_weights_and_statistics_stay_while_the_rest_is_trained(source: Path, train: Callable[..., Path]) -> None:
    run = train(
        "run", "model=lenet_bn", *SMALL, "init=checkpoint", f"init.path={source}", "init.freeze=[features]", "seed=3"
    )
    before, after = weights(source), weights(run)
    assert all(torch.equal(after[name], value) for name, value in before.items() if name.startswith("features."))
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert changed == {name for name in before if name.startswith("head.")}
    results = read_results(run)
    assert results["initialized_from"] == {
        "path": str(source / "checkpoints" / "best.ckpt"),
        "identity": read_results(source)["identity"],
        "epoch": 1,
        "new_layers": [],
    }


def test_run_resumes_and_its_network_is_used_without_the_source(
    source: Path, tmp_path: Path, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = Path(shutil.copytree(source, tmp_path / "copied"))
    overrides = [
        *("model=lenet_bn", *SMALL, "trainer.max_epochs=2", "init=checkpoint"),
        *(f"init.path={copied}", "init.freeze=[features.0]"),
    ]
    whole = train("whole", *overrides)

    def fail_in_second_epoch(self: Throughput, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise MemoryError
        self._start(trainer)

    with monkeypatch.context() as patched:
        patched.setattr(Throughput, "on_train_epoch_start", fail_in_second_epoch)
        with pytest.raises(RunFailedError, match="out of memory"):
            train("run", *overrides)
    shutil.rmtree(copied)
    run = train("run", *overrides)
    assert read_results(run)["status"] == "completed"
    assert read_results(run)["initialized_from"] == read_results(whole)["initialized_from"]
    expected = weights(whole, "last")
    assert all(torch.equal(value, expected[name]) for name, value in weights(run, "last").items())
    used = load_trained_network(ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={run}"))
    assert all(parameter.requires_grad for parameter in used.network.parameters())


def test_identity_counts_the_path_and_not_how_it_is_written() -> None:
    hashes = [
        run_id(compose_settings("init=checkpoint", f"init.path={path}"))
        for path in ("outputs/a", "outputs/a/", "./outputs/a", "outputs/b")
    ]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_relative_path_is_rejected_if_the_run_has_another_working_directory(tmp_path: Path) -> None:
    overrides = ("data=digits", "init=checkpoint", "hydra.job.chdir=true")
    with pytest.raises(ConfigError) as error:
        ComposedConfig.from_overrides(*overrides, "init.path=outputs/a").validate()
    assert str(error.value) == "init.path=outputs/a: must be absolute with hydra.job.chdir=true"
    ComposedConfig.from_overrides(*overrides, f"init.path={tmp_path}").validate()


def test_settings_of_other_initializations_stay() -> None:
    settings = compose_settings("init=xavier")
    assert without_source(settings) is settings
