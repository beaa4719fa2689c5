"""Probing which images a network accepts by running it, on the device `meta` if the network runs there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cnn_experiments.errors import describe_error


@dataclass(frozen=True)
class ImageSpec:
    """The format of square images, and the device on which a network is run with them.

    On the device `meta` tensors have shapes, but neither values nor memory.
    """

    channels: int
    size: int
    """Pixels a side."""
    device: str

    def zeros(self, batch_size: int = 1) -> Tensor:
        """Return a batch of black images, float32 (batch_size, channels, size, size)."""
        return torch.zeros(batch_size, self.channels, self.size, self.size, device=self.device)


def copy_state(model: nn.Module, device: str) -> dict[str, Tensor]:
    """Return the parameters and copies of the buffers, for a forward pass that must not change the model.

    On `meta` they are tensors without values, of the same shapes.
    """
    state: dict[str, Tensor] = {name: buffer.clone() for name, buffer in model.named_buffers()}
    state |= model.named_parameters()
    if device == "meta":
        return {
            name: torch.empty_like(tensor, device=device).requires_grad_(tensor.requires_grad)
            for name, tensor in state.items()
        }
    return state


@contextmanager
def training_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put every module into training or evaluation mode, and restore the modes afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def run_forward(model: nn.Module, image: ImageSpec, batch_size: int = 1, training: bool = False) -> Any:
    """Run a forward pass without gradients and return what the model returns."""
    with torch.no_grad(), training_mode(model, training):
        return functional_call(model, copy_state(model, image.device), image.zeros(batch_size))


def probe_image(model: nn.Module, channels: int, size: int, training: bool = False) -> ImageSpec:
    """Return images on `meta` if the model runs there, on `cpu` otherwise."""
    image = ImageSpec(channels, size, "meta")
    error = training_error(model, image, batch_size=2) if training else forward_error(model, image)
    return image if error is None else ImageSpec(channels, size, "cpu")


def forward_error(model: nn.Module, image: ImageSpec, num_classes: int | None = None) -> str | None:
    """Return the error of a forward pass of one image, or a message if its logits have the wrong shape, or None.

    Without `num_classes` the output is not checked.
    """
    try:
        logits = run_forward(model, image)
    except Exception as error:  # a model may raise anything
        return describe_error(error)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if num_classes is not None and shape != (1, num_classes):
        return f"the logits of one image must have the shape (1, {num_classes}), not {shape}"
    return None


def training_error(model: nn.Module, image: ImageSpec, batch_size: int) -> str | None:
    """Return the error of a forward pass of a batch in training mode, or None."""
    try:
        run_forward(model, image, batch_size, training=True)
    except Exception as error:  # a model may raise anything
        return describe_error(error)
    return None


def smallest_size(model: nn.Module, channels: int, largest: int, device: str) -> int | None:
    """Return the smallest number of pixels a side that the model accepts, or None if it rejects even `largest`."""

    def accepts(size: int) -> bool:
        return forward_error(model, ImageSpec(channels, size, device)) is None

    if not accepts(largest):
        return None
    rejected, accepted = 0, 1
    while not accepts(accepted):
        rejected, accepted = accepted, min(2 * accepted, largest)
    while accepted - rejected > 1:
        middle = (rejected + accepted) // 2
        if accepts(middle):
            accepted = middle
        else:
            rejected = middle
    return accepted
