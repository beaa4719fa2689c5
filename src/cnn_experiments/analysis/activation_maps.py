"""Where a network looks: class activation maps of an image, and the activations of a stage.

A class activation map says which parts of an image speak for a class. It is Grad-CAM (Selvaraju et al., 2017,
https://arxiv.org/abs/1610.02391), which captum computes: the channels of a stage's output, weighted by the mean
gradient of the class's logit, summed, without the negative values.
"""

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_experiments.analysis.cost import StageCost
from cnn_experiments.analysis.probe import training_mode

_MIN_GRID = 4
"""Rows and columns that a map needs to show more than a half of the image."""


def has_grid(stage: StageCost) -> bool:
    """Return whether the output of a stage has more than one position, as a map must have."""
    return _has_positions(stage, 1) and stage.shape[1:] != (1, 1)


def default_stage(stages: Iterable[StageCost]) -> StageCost:
    """Return the last stage whose output has at least 4 x 4 positions, or else the last one that has a grid.

    Stages of `features` are preferred: the pooling of a head may repeat a single position in a grid.

    Args:
        stages: in the order of execution; at least one has a grid.
    """
    grids = [stage for stage in stages if has_grid(stage)]
    grids = [stage for stage in grids if stage.name.partition(".")[0] == "features"] or grids
    large = [stage for stage in grids if _has_positions(stage, _MIN_GRID)]
    return (large or grids)[-1]


def _has_positions(stage: StageCost, num_rows: int) -> bool:
    return len(stage.shape) == 3 and min(stage.shape[1:]) >= num_rows


def class_activation_maps(network: nn.Module, stage: str, images: Tensor, classes: Tensor) -> Tensor:
    """Return the Grad-CAM map of each image for one class, divided by its largest value.

    A map is 0 everywhere if no part of the image speaks for the class. The network stays as it is. Needs captum.

    Args:
        network: returns logits, (N, num_classes).
        stage: the name of the module whose output is weighted, (N, C, H, W).
        images: inputs of the network, float32 (N, channels, size, size).
        classes: int64 (N,).

    Returns:
        float32 (N, H, W), in 0..1.
    """
    with warnings.catch_warnings():  # tqdm, which captum imports, warns in a notebook without ipywidgets
        warnings.filterwarnings("ignore", message="IProgress not found")
        from captum.attr import LayerGradCam

    with training_mode(network, training=False):
        grad_cam = LayerGradCam(network, network.get_submodule(stage))
        maps: Tensor = grad_cam.attribute(images, target=classes, relu_attributions=True).detach().squeeze(1)
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return maps / largest.where(largest > 0, 1)


def enlarge_maps(maps: Tensor, size: int) -> Tensor:
    """Return maps resized bilinearly: (N, H, W) to (N, size, size)."""
    return F.interpolate(maps.unsqueeze(1), (size, size), mode="bilinear").squeeze(1)


def stage_activations(network: nn.Module, stage: str, images: Tensor) -> Tensor:
    """Return the output of a stage, (N, C, H, W); of its last call if it is called repeatedly.

    The network stays as it is.
    """
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output.clone())  # the next stage may change it in place

    with (
        torch.no_grad(),
        training_mode(network, training=False),
        network.get_submodule(stage).register_forward_hook(keep),
    ):
        network(images)
    return outputs[-1]
