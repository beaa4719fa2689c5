"""Networks of other packages, for the channels and classes of a data set."""

from cnn_experiments.external_models.timm import timm_network
from cnn_experiments.external_models.torchvision import torchvision_network

__all__ = ["timm_network", "torchvision_network"]
