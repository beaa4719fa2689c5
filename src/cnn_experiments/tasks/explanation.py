"""What a trained network makes of one image: its class, where it looks, and what a stage outputs."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnn_experiments.analysis.activation_maps import (
    class_activation_maps,
    default_stage,
    enlarge_maps,
    has_grid,
    stage_activations,
)
from cnn_experiments.analysis.cost import StageCost, stage_costs
from cnn_experiments.analysis.probe import probe_image
from cnn_experiments.console import relative_path
from cnn_experiments.errors import ConfigError, RunFailedError, describe_error, suggest
from cnn_experiments.runs.stages import format_shape
from cnn_experiments.tasks.activation_pictures import ClassMap, ExplainedImage
from cnn_experiments.training.trained_network import TrainedNetwork

_MAP_SIZE = 256
"""Pixels per side, about, of the maps that are drawn."""


@dataclass(frozen=True)
class Explanation:
    """What a network makes of an image."""

    predicted: int
    probabilities: Tensor
    """float64 (classes,)."""
    has_empty_map: bool
    """Whether nothing in the stage speaks for the predicted class."""
    picture: ExplainedImage


def check_captum(needed_by: str) -> None:
    """Check that captum, which computes class activation maps, is installed.

    Args:
        needed_by: what needs it, such as `task=explain`.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("captum") is None:
        problem = "needs the package captum, which is not installed"
        raise ConfigError(needed_by, problem=problem, remedy='pip install ".[explain]" installs it')


def choose_stage(trained: TrainedNetwork, typed: str | None, key: str) -> StageCost:
    """Return the stage that was typed, or the default.

    Args:
        trained: the network.
        typed: the name of a stage, or None.
        key: the setting or argument that names the stage.

    Raises:
        ConfigError: there is no such stage, or its output is no grid.
    """
    image = probe_image(trained.network, trained.data.channels, trained.data.size)
    stages = {stage.name: stage for stage in stage_costs(trained.network, image)}
    names = [name for name, stage in stages.items() if has_grid(stage)]
    if not names:
        network = f"the network of {relative_path(trained.checkpoint)}"
        raise ConfigError(key, problem=f"{network} has no stage whose output is a grid of more than one position")
    if typed is None:
        return default_stage(stages.values())
    if typed in names:
        return stages[typed]
    allowed = f"one of {', '.join(names)}"
    if typed in stages:
        output = format_shape(stages[typed].shape) or "something else than a tensor"
        problem = f"must be a stage whose output is a grid, not {output}: {allowed}"
        raise ConfigError(key, typed, problem=problem)
    raise ConfigError(key, typed, problem=f"must be {allowed}", suggestion=suggest(typed, names))


def explain_image(
    trained: TrainedNetwork,
    stage: StageCost,
    pixels: Tensor,
    *,
    title: str,
    label: int | None = None,
    device: torch.device | str = "cpu",
) -> Explanation:
    """Return where a network looks for the class that it predicts, and for the true class if that is known.

    Args:
        trained: the network.
        stage: whose output is weighted.
        pixels: the image, uint8 (channels, native_size, native_size).
        title: is above the image.
        label: the true class.
        device: where the network computes.

    Raises:
        RunFailedError: the logits are not finite, or do not depend on the stage.
    """
    images = pixels.unsqueeze(0)
    logits = trained.logits(images, device)[0]
    if not logits.isfinite().all():
        raise RunFailedError(f"{title}: the network's outputs are NaN or infinite")
    predicted = int(logits.argmax())
    roles = {"predicted": predicted} if label is None else {"predicted": predicted, "true": label}
    inputs = trained.data.preprocessing(images.to(device))
    classes = torch.tensor(list(roles.values()), device=device)
    try:
        maps = class_activation_maps(trained.network, stage.name, inputs.repeat(len(roles), 1, 1, 1), classes).cpu()
    except Exception as error:  # the network may be the user's own
        problem = f"the logits can't be traced back to the stage {stage.name}: {describe_error(error)}"
        raise RunFailedError(problem) from error
    probabilities = logits.double().softmax(dim=0)
    native_size = trained.data.native_size
    enlarged = enlarge_maps(maps, native_size * max(1, round(_MAP_SIZE / native_size))).numpy()
    class_maps = [
        ClassMap(role, trained.data.class_names[number], float(probabilities[number]), values)
        for (role, number), values in zip(roles.items(), enlarged, strict=True)
    ]
    return Explanation(
        predicted=predicted,
        probabilities=probabilities,
        has_empty_map=not maps[0].any(),
        picture=ExplainedImage(title, pixels.numpy(), class_maps),
    )


def compute_activations(
    trained: TrainedNetwork, stage: StageCost, pixels: Tensor, device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """Return the output of a stage for an image, (C, H, W).

    Args:
        trained: the network.
        stage: whose output is returned.
        pixels: the image, uint8 (channels, native_size, native_size).
        device: where the network computes.
    """
    inputs = trained.data.preprocessing(pixels.unsqueeze(0).to(device))
    activations: NDArray[np.float32] = (
        stage_activations(trained.network.to(device), stage.name, inputs)[0].float().cpu().numpy()
    )
    return activations


def stage_title(stage: StageCost) -> str:
    """Return the name of a stage with the shape of its output."""
    return f"{stage.name}, {format_shape(stage.shape)}"
