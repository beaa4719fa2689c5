"""Images of somebody's own, in arrays of numpy."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.image_arrays import ImageShape, open_image_arrays, read_labels
from cnn_experiments.data.datamodule import MEASURED, ImageDataModule, stratified_permutation
from cnn_experiments.data.image_files import pad_to_square

_SPLIT_SEED = 0  # arrays without a test set have the same one for every run


class ImageArrays(ImageDataModule):
    """Images and labels in a .npz file, or in .npy files of a folder, under the names that `open_image_arrays` knows.

    Images are integers in 0..255, (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels. What is not square is
    padded with the color of its border, as image files are. Labels are integers from 0, (N,); an array `class_names`
    has their names. Mean and standard deviation are those of the training images.

    Args:
        root: the file, or the folder.
        content: a hash of the arrays, which `root` must have.
        test_size: number of images of the test set, stratified by class, if there are no arrays of one.
        settings: the parameters of ImageDataModule.

    Raises:
        ArgumentError: `root` has other images.
        ConfigError: `root` has no arrays of images and labels, or `test_size` does not suit them.
    """

    def __init__(self, *, root: str, content: str, test_size: int | None, **settings: Any) -> None:
        arrays = open_image_arrays(root)
        if arrays.content != content:
            problem = f"must have the images of the run ({content}, not {arrays.content})"
            raise ArgumentError("root", root, problem)
        self.class_names = arrays.class_names
        self.num_train_images, self.num_test_images = arrays.sizes.split(test_size)
        self.native_size = max(arrays.train.height, arrays.train.width)
        self.native_channels = arrays.channels
        self.mean = self.std = MEASURED
        self._arrays = arrays
        super().__init__(**settings)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return a split.

        Raises:
            ConfigError: an array can't be read.
            ArgumentError: a pixel is not in 0..255.
        """
        arrays = self._arrays
        if arrays.test is not None and not train:
            return self._read(arrays.names[2], arrays.names[3], arrays.test)
        images, labels = self._read(arrays.names[0], arrays.names[1], arrays.train)
        if arrays.test is not None:
            return images, labels
        order = stratified_permutation(labels, _SPLIT_SEED)
        part = order[self.num_test_images :] if train else order[: self.num_test_images]
        part = part.sort().values
        return images[part], labels[part]

    def _read(self, images_name: str, labels_name: str, shape: ImageShape) -> tuple[Tensor, Tensor]:
        values = self._arrays.read(images_name)
        if values.dtype != np.uint8:
            if values.min() < 0 or values.max() > 255:
                problem = f"{images_name} must be in 0..255, not in {values.min()}..{values.max()}"
                raise ArgumentError("root", str(self._arrays.root), problem)
            values = values.astype(np.uint8)
        images = torch.from_numpy(values)
        if shape.channel_axis is None:
            images = images.unsqueeze(1)
        elif shape.channel_axis == 3:
            images = images.movedim(3, 1)
        labels = torch.from_numpy(read_labels(self._arrays.root, labels_name))
        return pad_to_square(images.contiguous(), self.native_size), labels
