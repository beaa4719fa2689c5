"""Random generators that go on where a checkpoint left them."""

import random
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch


class RandomState(pl.Callback):
    """Saves and restores the state of torch (CPU and CUDA), NumPy and Python: dropout and augmentation resume exactly.

    Lightning saves none of it. Checkpoints are loaded with `weights_only`: all of this is tensors and plain values.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": (kind, np.asarray(keys).tolist(), *rest),
            "python": random.getstate(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_rank > 0:  # the checkpoint holds the first process's state; the others draw their own numbers
            torch.manual_seed(torch.initial_seed() + trainer.global_rank + (trainer.global_step << 16))
            return
        if self._loaded is None:
            return
        torch.set_rng_state(self._loaded["torch"])
        if len(self._loaded["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(self._loaded["cuda"])
        np.random.set_state(self._loaded["numpy"])  # noqa: NPY002
        random.setstate(self._loaded["python"])
        self._loaded = None
