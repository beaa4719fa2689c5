"""Fixtures of the tests of the program from Python."""

import pytest

import cnn_experiments
from cnn_experiments import LoadedRun

OVERRIDES = ("data=digits", "trainer=cpu", "model=lenet_bn", "trainer.max_epochs=2", "trainer.limit_train_batches=20")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """Return a completed run, which no test may change."""
    return cnn_experiments.train(*OVERRIDES, f"hydra.run.dir={tmp_path_factory.mktemp('api') / 'run'}")
