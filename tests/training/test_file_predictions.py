"""Tests of what a trained network predicts for image files."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.training.file_predictions import background_kind, predict_files
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_network
from tests.conftest import train_in


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    overrides = ("trainer.max_epochs=1", "trainer.limit_train_batches=4", "data.batch_size=16", "data.resize=16")
    return train_in(tmp_path_factory.mktemp("predicting") / "run", "model=lenet_bn", "data.normalize=true", *overrides)


@pytest.fixture
def trained(run: Path) -> TrainedNetwork:
    return load_trained_network(ComposedConfig.from_overrides("task=predict", f"ckpt_path={run}", "input=unused"))


@pytest.fixture
def images(trained: TrainedNetwork) -> Tensor:
    """Return the first 40 test images."""
    return trained.data.stored_split("test").images[:40]


def write_files(images: Tensor, folder: Path, mode: str = "L") -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[0].numpy()).convert(mode).save(path)
    return paths


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_files_of_test_images_have_exactly_their_probabilities(
    trained: TrainedNetwork, images: Tensor, tmp_path: Path, mode: str
) -> None:
    paths = write_files(images, tmp_path / "files", mode)
    predictions = list(predict_files(trained, paths))
    assert [prediction.path for prediction in predictions] == paths
    expected = trained.logits(images).double().softmax(dim=1)
    probabilities = [prediction.probabilities for prediction in predictions if prediction.probabilities is not None]
    assert torch.equal(torch.stack(probabilities), expected)
    assert len(expected.unique(dim=0)) == len(images)
    assert not any(prediction.problem or prediction.has_wrong_background for prediction in predictions)


def test_inverted_files_have_the_same_probabilities_if_they_are_inverted_again(
    trained: TrainedNetwork, images: Tensor, tmp_path: Path
) -> None:
    paths, inverted = write_files(images, tmp_path / "files"), write_files(255 - images, tmp_path / "inverted")
    for prediction, other in zip(
        predict_files(trained, paths), predict_files(trained, inverted, invert=True), strict=True
    ):
        assert prediction.probabilities is not None
        assert other.probabilities is not None
        assert torch.equal(prediction.probabilities, other.probabilities)
        assert not other.has_wrong_background
    assert all(prediction.has_wrong_background for prediction in predict_files(trained, inverted))
    assert all(prediction.has_wrong_background for prediction in predict_files(trained, paths, invert=True))


@pytest.mark.parametrize(
    ("mean", "kind"), [(0.3, "dark"), (0.4, None), ([0.5, 0.45, 0.4], None), (0.7, "light"), ([0.1, 0.2, 0.4], "dark")]
)
def test_background_is_that_of_data_sets_with_a_clear_brightness(
    trained: TrainedNetwork, mean: float | list[float], kind: str | None
) -> None:
    trained.data.mean = mean  # type: ignore[misc]
    assert background_kind(trained.data) == kind


@pytest.mark.parametrize(("mean", "wrong"), [(0.5, [False, False]), (0.9, [True, False]), (0.1, [False, True])])
def test_background_is_wrong_for_clear_data_sets_only(
    trained: TrainedNetwork, tmp_path: Path, mean: float, wrong: list[bool]
) -> None:
    paths = write_files(torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(2, 1, 8, 8), tmp_path)
    trained.data.mean = mean  # type: ignore[misc]
    assert [prediction.has_wrong_background for prediction in predict_files(trained, paths)] == wrong


def test_transparent_pixels_are_as_dark_or_light_as_the_background_of_the_data_set(
    trained: TrainedNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "transparent.png"
    Image.new("LA", (8, 8), (128, 0)).save(path)
    for mean, gray in ((0.49, 0), (0.51, 255)):
        trained.data.mean = mean  # type: ignore[misc]
        (prediction,) = predict_files(trained, [path])
        expected = trained.logits(torch.full((1, 1, 8, 8), gray, dtype=torch.uint8)).double().softmax(dim=1)
        assert prediction.probabilities is not None
        assert torch.equal(prediction.probabilities, expected[0])


def test_damaged_files_keep_their_place(trained: TrainedNetwork, images: Tensor, tmp_path: Path) -> None:
    paths = write_files(images, tmp_path / "files")
    damaged = [0, 15, 16, 39]
    for index in damaged:
        paths[index].write_bytes(b"")
    predictions = list(predict_files(trained, paths))
    expected = trained.logits(images).double().softmax(dim=1)
    for index, prediction in enumerate(predictions):
        assert prediction.path == paths[index]
        if index in damaged:
            assert prediction.probabilities is None
            assert (
                prediction.problem == "not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, or damaged at its beginning"
            )
        else:
            assert prediction.problem is None
            assert prediction.probabilities is not None
            torch.testing.assert_close(prediction.probabilities, expected[index], rtol=1e-5, atol=1e-7)


def test_batch_of_damaged_files_alone_is_no_error(trained: TrainedNetwork, tmp_path: Path) -> None:
    predictions = list(predict_files(trained, [tmp_path / "missing.png"] * 17))
    assert {prediction.problem for prediction in predictions} == {"No such file or directory"}
    assert len(predictions) == 17


def test_no_more_than_a_batch_of_files_is_read_in_advance(
    trained: TrainedNetwork, images: Tensor, tmp_path: Path
) -> None:
    paths = write_files(images, tmp_path / "files")
    num_read = 0

    def count() -> Iterator[Path]:
        nonlocal num_read
        for path in paths:
            num_read += 1
            yield path

    predictions = predict_files(trained, count())
    next(predictions)
    assert num_read == trained.data.batch_size == 16


def test_outputs_that_are_no_numbers_are_an_error(trained: TrainedNetwork, images: Tensor, tmp_path: Path) -> None:
    class Diverged(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 10), torch.nan)

    with pytest.raises(RunFailedError, match=r"best\.ckpt: the network's outputs are NaN or infinite$"):
        list(predict_files(replace(trained, network=Diverged()), write_files(images, tmp_path / "files")))


def test_images_that_are_neither_gray_nor_rgb_are_rejected(trained: TrainedNetwork, tmp_path: Path) -> None:
    trained.data.channels = 4
    with pytest.raises(ConfigError) as error:
        list(predict_files(trained, [tmp_path / "x.png"]))
    assert error.value.problem == ("the network needs images of 4 channels; images can have 1 (gray) or 3 (RGB)")
