"""Networks as users write them, some of them with errors."""

import sys

import torch
from torch import nn


class FixedSize(nn.Sequential):
    """A network that accepts only images of 28 pixels a side."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(in_channels * 28 * 28, num_classes))


class TooFewClasses(FixedSize):
    """A network with three logits fewer than the data set has classes."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes - 3)


class ReturnsTuple(FixedSize):
    """A network that returns a tuple instead of logits."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return super().forward(x), None


class Frozen(FixedSize):
    """A network of which no parameter is trained."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.requires_grad_(False)


class ReturnsTupleInTraining(FixedSize):
    """A network that returns the logits of an auxiliary head too, in training mode only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class ReturnsDictInTraining(FixedSize):
    """A network that returns a dictionary in training mode only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        logits = super().forward(x)
        return {"logits": logits} if self.training else logits


class ReturnsIntegers(FixedSize):
    """A network that returns the classes' ranks instead of logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).argsort()


class DoublePrecision(FixedSize):
    """A network with weights of another precision than the images."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.double()


class Detached(FixedSize):
    """A network whose logits have no gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).detach()


class ChangesWhatBackwardNeeds(FixedSize):
    """A network that changes a tensor in place that its backward pass needs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x).exp()
        return logits.add_(1)


class ChangesItsInput(FixedSize):
    """A network that changes its images in place, which is allowed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.sub_(0.5))


class NotANumber(FixedSize):
    """A network whose logits are NaN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) / x.sub(x).sum()


class NeedsTenImages(FixedSize):
    """A network that fails for batches of fewer than ten images in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) < 10:
            raise ValueError("needs ten images")
        return super().forward(x)


class FailsInTraining(FixedSize):
    """A network that raises an error in training mode only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.missing(x) if self.training else super().forward(x)


class EndsTheProgram(FixedSize):
    """A network whose forward pass ends the program."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sys.exit(3)


class NeedsDarkImages(FixedSize):
    """A network that rejects bright images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_meta and x.max() > 0.5:
            raise ValueError("too bright")
        return super().forward(x)


class FailsInTheTenthPass(FixedSize):
    """A network that a few forward passes exhaust, more than the checks of its logits need."""

    passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if self.passes == 10:
            raise ValueError("exhausted")
        return super().forward(x)


class NeedsValuesInTraining(FixedSize):
    """A network that runs on the device `meta`, but not in training mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * (1 + x.mean().item()) if self.training else x)


class NeedsValuesToBuild(FixedSize):
    """A network that cannot be built on the device `meta`."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
