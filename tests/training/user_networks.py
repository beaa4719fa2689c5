"""Networks as users write them, some of them with errors."""

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


class FailsInTraining(FixedSize):
    """A network that raises an error in training mode only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.missing(x) if self.training else super().forward(x)


class NeedsValuesInTraining(FixedSize):
    """A network that runs on the device `meta`, but not in training mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * (1 + x.mean().item()) if self.training else x)


class NeedsValuesToBuild(FixedSize):
    """A network that cannot be built on the device `meta`."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
