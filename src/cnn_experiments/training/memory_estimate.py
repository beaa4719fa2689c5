"""How much memory a training needs, before it starts."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from cnn_experiments.analysis.cost import parameter_bytes, saved_bytes
from cnn_experiments.analysis.probe import ImageSpec
from cnn_experiments.config.instantiate import attribute_errors_to
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.runtime.distributed import processes_per_node
from cnn_experiments.training.build import Settings
from cnn_experiments.training.optimization import probe_optimizer

_saved_bytes = lru_cache(1000)(saved_bytes)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of memory, of all processes of a run on this machine."""

    parameters: int
    """On a CPU with gradients and the optimizer's state."""
    activations: int | None
    """That the backward pass needs; None if they are not known without computing them, and on a GPU."""

    @property
    def total(self) -> int:
        """Return the sum of what is known."""
        return self.parameters + (self.activations or 0)


def trains_on_cpu(settings: Settings) -> bool:
    """Return whether a run trains on the CPU of this machine."""
    return settings["trainer"].get("accelerator") == "cpu" or not torch.cuda.is_available()


def least_training_memory(settings: Settings, data: ImageDataModule, model: nn.Module) -> TrainingMemory:
    """Return the memory that a training needs at least; on a GPU that of the parameters alone.

    Args:
        settings: of the run.
        data: its data module.
        model: its network; activations are counted of one on `meta`.
    """
    if not trains_on_cpu(settings):
        return TrainingMemory(parameter_bytes(model), None)
    processes = processes_per_node(settings["trainer"])
    parameters = processes * (2 + probe_optimizer(settings)) * parameter_bytes(model)
    if not all(parameter.is_meta for parameter in model.parameters()):
        return TrainingMemory(parameters, None)
    image = ImageSpec(data.channels, data.size, "meta")
    with attribute_errors_to("model", settings["model"]):
        activations = _saved_bytes(model, image, data.batch_size)
    if "16" in str(settings["trainer"].get("precision")):
        activations //= 2
    return TrainingMemory(parameters, processes * activations)
