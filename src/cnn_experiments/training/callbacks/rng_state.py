"""Random number generators that continue from a checkpoint."""

import logging
import random
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

log = logging.getLogger(__name__)


class RNGState(pl.Callback):
    """Save and restore the generators of torch (CPU, CUDA), NumPy and Python: dropout and augmentation resume exactly.

    Lightning saves none of them. Checkpoints are loaded with `weights_only`, so the state is tensors and plain values.
    If there are several processes, only the generators of the first are saved.
    """

    state_key = "RandomState"

    def __init__(self) -> None:
        self._restored_state: dict[str, Any] | None = None
        self._uses_cuda = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._uses_cuda = trainer.strategy.root_device.type == "cuda"

    def state_dict(self) -> dict[str, Any]:
        name, keys, *position = np.random.get_state(legacy=True)  # noqa: NPY002
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self._uses_cuda else [],
            "numpy": (name, np.asarray(keys).tolist(), *position),
            "python": random.getstate(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored_state = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_rank > 0:  # the state of this process was not saved: start a new stream, different in each
            torch.manual_seed(torch.initial_seed() + trainer.global_rank + (trainer.global_step << 16))
            return
        if self._restored_state is None:
            return
        torch.set_rng_state(self._restored_state["torch"])
        self._restore_cuda(self._restored_state["cuda"])
        np.random.set_state(self._restored_state["numpy"])  # noqa: NPY002
        random.setstate(self._restored_state["python"])
        self._restored_state = None

    def _restore_cuda(self, states: list[torch.Tensor]) -> None:
        num_gpus = torch.cuda.device_count() if self._uses_cuda else 0
        if len(states) == num_gpus:
            torch.cuda.set_rng_state_all(states)
        else:
            log.warning(
                "the CUDA random number generators are not restored, so this run will not be bit-identical to an "
                "uninterrupted one: the checkpoint has the states of %d GPUs, this run has %d",
                len(states),
                num_gpus,
            )
