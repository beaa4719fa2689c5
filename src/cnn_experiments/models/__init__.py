"""The networks: one paper per file, `forward = head(features(x))`, torch and nothing else."""

from cnn_experiments.models.densenet import DenseNet
from cnn_experiments.models.lenet import LeNet

__all__ = ["DenseNet", "LeNet"]
