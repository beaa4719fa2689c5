"""Statistics of batch normalization that belong to the weights of a network."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cnn_experiments.models.scratch import BatchNorm


@torch.no_grad()
def estimate_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of a network by the means over batches of images, (N, C, H, W).

    Everything else is in evaluation mode meanwhile. Weights that no step has trained, such as an average, need this:
    Izmailov et al. (2018, https://arxiv.org/abs/1803.05407, section 3.2). Normalization that the network has of its own
    keeps its statistics.
    """
    is_training = [(module, module.training) for module in network.modules()]
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm | BatchNorm)]
    momenta = [(norm, norm.momentum) for norm in norms]
    network.eval()
    try:
        for norm in norms:
            norm.train()
        with torch.compiler.set_stance("force_eager"):  # a graph for this mode would take longer to compile
            for number, images in enumerate(batches, start=1):
                for norm in norms:
                    norm.momentum = 1 / number  # the running mean of what was seen so far
                network(images)
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum
        for module, mode in is_training:
            module.training = mode
