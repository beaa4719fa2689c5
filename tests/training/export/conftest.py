"""Networks with random weights, as if they had been trained on the digits."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.runs.fingerprint import run_id
from cnn_experiments.training.build import build_data, build_model
from cnn_experiments.training.trained_network import TrainedNetwork
from tests.conftest import compose_settings

MakeTrained = Callable[..., TrainedNetwork]


@pytest.fixture
def make_trained(tmp_path: Path) -> MakeTrained:
    """Return a function that builds the network of some overrides, or takes the one that is given."""

    def make(*overrides: str, network: nn.Module | None = None) -> TrainedNetwork:
        settings = compose_settings("data=digits", *overrides)
        torch.manual_seed(0)
        data = build_data(settings)
        network = network or build_model(settings)
        with torch.no_grad():
            network.train()(data.preprocessing(data.stored_split("test").images[:64]))  # running statistics
        return TrainedNetwork(
            checkpoint=tmp_path / "best.ckpt",
            directory=tmp_path,
            settings=settings,
            run_id=run_id(settings),
            epoch=3,
            data=data,
            network=network.eval(),
            loss_state={},
        )

    return make


@pytest.fixture
def images(make_trained: MakeTrained) -> Tensor:
    """Return ten images of the digits, uint8 (10, 1, 8, 8)."""
    return make_trained().data.stored_split("test").images[:10]
