"""Probing which images a network accepts by running it, on the device `meta` if the network runs there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

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
    except (Exception, SystemExit) as error:  # a model may raise anything
        return describe_error(error)
    return None if num_classes is None else _logits_problem(logits, 1, num_classes)


def evaluation_error(model: nn.Module, image: ImageSpec, batch_size: int, num_classes: int) -> str | None:
    """Return the error of a forward pass of a batch in evaluation mode, or what is wrong with its logits, or None."""
    try:
        return _logits_problem(run_forward(model, image, batch_size), batch_size, num_classes)
    except (Exception, SystemExit) as error:  # a model may raise anything
        return describe_error(error)


def training_error(model: nn.Module, image: ImageSpec, batch_size: int) -> str | None:
    """Return the error of a forward pass of a batch in training mode, or None."""
    try:
        run_forward(model, image, batch_size, training=True)
    except (Exception, SystemExit) as error:  # a model may raise anything
        return describe_error(error)
    return None


def training_step_error(model: nn.Module, image: ImageSpec, batch_size: int, num_classes: int) -> str | None:
    """Return the error of a training step of a batch: forward pass, cross-entropy and gradients; or None.

    The model stays as it is.
    """
    state = copy_state(model, image.device)
    parameters = [state[name] for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not parameters:
        return "none of its parameters requires a gradient"
    labels = torch.zeros(batch_size, dtype=torch.int64, device=image.device)
    try:
        with torch.enable_grad(), training_mode(model, training=True):
            logits = functional_call(model, state, image.zeros(batch_size))
            if problem := _logits_problem(logits, batch_size, num_classes):
                return f"{problem} in training mode"
            loss = F.cross_entropy(logits, labels)
            if not loss.requires_grad:
                return "its logits do not depend on a parameter that requires a gradient"
            torch.autograd.grad(loss, parameters, allow_unused=True)
    except (Exception, SystemExit) as error:  # a model may raise anything
        return describe_error(error)
    return None


def values_problem(model: nn.Module, image: ImageSpec) -> str | None:
    """Return the error of a forward pass of a random image, or what is wrong with its logits, or None.

    The model is on the CPU.
    """
    images = torch.rand(1, image.channels, image.size, image.size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), training_mode(model, training=False):
            logits = functional_call(model, copy_state(model, "cpu"), images)
    except (Exception, SystemExit) as error:  # a model may raise anything
        return describe_error(error)
    return None if torch.isfinite(logits).all() else "the logits of a random image are NaN or infinite"


def _logits_problem(logits: Any, batch_size: int, num_classes: int) -> str | None:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (batch_size, num_classes):
        images = "one image" if batch_size == 1 else f"{batch_size} images"
        return f"the logits of {images} must have the shape ({batch_size}, {num_classes}), not {shape}"
    if not logits.is_floating_point():
        return f"the logits must be floating-point numbers, not {str(logits.dtype).removeprefix('torch.')}"
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
