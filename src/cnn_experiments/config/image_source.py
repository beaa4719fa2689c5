"""Images of somebody's own: where they are, and how many are trained on, tested and held out."""

import os
from dataclasses import dataclass

from cnn_experiments.errors import ConfigError

ROOT_KEY = "data.root"
_TEST_SHARE, _VAL_SHARE = 0.2, 0.1
"""The share of all images that is suggested for the test, and that of the training images that is held out."""


def absolute_root(root: object, expected: str) -> str:
    """Return the absolute path of the place of images.

    Args:
        root: the value of `data.root`.
        expected: what it must be, for the error.

    Raises:
        ConfigError: it is no path.
    """
    if not isinstance(root, str) or not root or "\0" in root:
        raise ConfigError(ROOT_KEY, root, problem=f"must be {expected}")
    return os.path.abspath(os.path.expanduser(root))  # noqa: PTH100 - Path.resolve follows links


@dataclass(frozen=True)
class SourceSizes:
    """The numbers of images and classes of a source."""

    num_train: int
    """All images, if the source has no test set of its own."""
    num_test: int
    """0 if the source has no test set of its own."""
    num_classes: int
    test_set: str
    """What the source has, or does not have, a test set by: `folders train and test`."""

    def split(self, test_size: int | None) -> tuple[int, int]:
        """Return the numbers of training and of test images.

        Args:
            test_size: the number of images of the test set, if the source has none of its own.

        Raises:
            ConfigError: `test_size` does not suit the source.
        """
        if self.num_test:
            if test_size is not None:
                problem = f"must be null: data.root has {self.test_set}"
                raise ConfigError("data.test_size", test_size, problem=problem)
            return self.num_train, self.num_test
        if test_size is None:
            suggested = max(self.num_classes, round(_TEST_SHARE * self.num_train))
            problem = f"must be the number of images of the test set, because data.root has no {self.test_set}"
            remedy = f"a fifth of all images is data.test_size={suggested}"
            raise ConfigError("data.test_size", None, problem=problem, remedy=remedy)
        if not isinstance(test_size, int) or not self.num_classes <= test_size < self.num_train:
            allowed = f"at least {self.num_classes}, one image per class, and below the {self.num_train:,} images"
            raise ConfigError("data.test_size", test_size, problem=f"must be {allowed}")
        return self.num_train - test_size, test_size

    def default_val_size(self, test_size: int | None) -> int:
        """Return a tenth of the training images, and at least one for each class; 0 if that is more than half of them.

        Raises:
            ConfigError: as in `split`.
        """
        num_train, _ = self.split(test_size)
        val_size = max(self.num_classes, round(_VAL_SHARE * num_train))
        return val_size if 2 * val_size <= num_train else 0
