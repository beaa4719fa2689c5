"""Random generators across a checkpoint."""

import io
import random

import lightning.pytorch as pl
import numpy as np
import torch

from cnn_experiments.training.callbacks import RandomState


def draw() -> tuple[list[float], list[float], list[float]]:
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)]  # noqa: NPY002, S311


def test_all_generators_go_on_where_they_were_saved() -> None:
    pl.seed_everything(5, verbose=False)
    draw()
    file = io.BytesIO()
    torch.save(RandomState().state_dict(), file)
    expected = draw()
    pl.seed_everything(6, verbose=False)
    file.seek(0)
    restored = RandomState()
    restored.load_state_dict(torch.load(file, weights_only=True))
    restored.on_train_start(
        pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), pl.LightningModule()
    )
    assert draw() == expected


def test_a_fresh_run_keeps_its_seed() -> None:
    pl.seed_everything(5, verbose=False)
    expected = draw()
    pl.seed_everything(5, verbose=False)
    RandomState().on_train_start(
        pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), pl.LightningModule()
    )
    assert draw() == expected
