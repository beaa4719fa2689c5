"""The networks, one paper per file; each has `features` and `head`, and its forward pass is `head(features(x))`."""

from cnn_experiments.models.alexnet import AlexNet
from cnn_experiments.models.densenet import DenseNet
from cnn_experiments.models.googlenet import GoogLeNet
from cnn_experiments.models.inception_resnet_v2 import InceptionResNetV2
from cnn_experiments.models.inception_v3 import InceptionV3
from cnn_experiments.models.lenet import LeNet
from cnn_experiments.models.nin import NiN
from cnn_experiments.models.resnet import ResNet
from cnn_experiments.models.vgg import VGG

__all__ = ["VGG", "AlexNet", "DenseNet", "GoogLeNet", "InceptionResNetV2", "InceptionV3", "LeNet", "NiN", "ResNet"]
