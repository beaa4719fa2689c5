"""The data set of a trained network whose images are not on this machine."""

from typing import Any, NoReturn

from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.facts import DataFacts
from cnn_experiments.errors import ConfigError


class MissingImages(ImageDataModule):
    """What a checkpoint keeps of a data set: enough to predict, to explain and to export, and no images.

    Args:
        facts: of the data set.
        error: why its images can't be used, which is raised when one is needed.
        settings: the parameters of ImageDataModule.
    """

    def __init__(self, facts: DataFacts, error: ConfigError, **settings: Any) -> None:
        for name, value in vars(facts).items():
            setattr(self, name, value)
        self._error = error
        super().__init__(**settings)

    def prepare_data(self) -> NoReturn:
        """Raise the error.

        Raises:
            ConfigError: always.
        """
        raise self._error

    def load(self, train: bool) -> NoReturn:
        """Raise the error.

        Raises:
            ConfigError: always.
        """
        raise self._error
