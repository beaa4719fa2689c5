"""Tests of a trained network whose images are not there any more, have moved or have changed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import cnn_experiments
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import command_line
from cnn_experiments.config.stored_settings import IMAGES_KEYS, MEASUREMENT_KEYS
from cnn_experiments.data.missing_images import MissingImages
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.tasks.evaluate import evaluate
from cnn_experiments.tasks.export import export
from cnn_experiments.tasks.train import train
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_network
from tests.config.test_image_arrays import save
from tests.own_images import write_class, write_split_folder

OVERRIDES = ("data=folder", "data.resize=28", "data.batch_size=8", "trainer=cpu", "trainer.max_epochs=1")


@pytest.fixture(autouse=True)
def new_command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let what is in a folder be found anew."""
    monkeypatch.setattr("sys.argv", ["cnn_experiments"])
    with command_line([]):
        yield


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the run `run` on the folder `images`, which no test may change."""
    place = tmp_path_factory.mktemp("folder")
    root = write_split_folder(place / "images")
    (place / "run").mkdir()
    with command_line([]):
        config = ComposedConfig.from_overrides(*OVERRIDES, f"data.root={root}", f"data.cache={place / 'cache'}")
        train([config], RunDirectory(place / "run"))
    return place


@pytest.fixture
def place(trained_once: Path, tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the run and its images; the images are not where the run had them."""
    shutil.copytree(trained_once / "run", tmp_path / "run")
    shutil.copytree(trained_once / "images", tmp_path / "moved")
    hidden = trained_once / "hidden"
    (trained_once / "images").rename(hidden)
    yield tmp_path
    hidden.rename(trained_once / "images")


def config_of(place: Path, *overrides: str) -> ComposedConfig:
    return ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={place / 'run'}", "trainer=cpu", *overrides)


def load(place: Path, *overrides: str) -> TrainedNetwork:
    return load_trained_network(config_of(place, *overrides), (*IMAGES_KEYS, *MEASUREMENT_KEYS))


def test_network_is_used_without_its_images(trained_once: Path, place: Path) -> None:
    trained = load(place)
    assert isinstance(trained.data, MissingImages)
    assert tuple(trained.data.class_names) == ("cat", "dog", "fox")
    assert (trained.data.native_size, trained.data.size, trained.data.background) == (28, 28, 255)
    images = torch.randint(0, 256, (4, 3, 28, 28), dtype=torch.uint8)
    with_images = load(place, f"data.root={place / 'moved'}")
    with_images.data.setup("fit")
    mean = with_images.data.stored_split("train").images.double().mean((0, 2, 3)) / 255
    assert trained.data.mean == pytest.approx(mean.tolist())
    assert torch.equal(trained.logits(images), with_images.logits(images))


def test_files_are_predicted_as_the_images_of_the_test_were(place: Path) -> None:
    run = cnn_experiments.load(place / "run")
    files = [path for name in ("cat", "dog", "fox") for path in sorted((place / "moved" / "test" / name).iterdir())]
    predicted = run.predict([str(path) for path in files])
    tested = run.predictions.splits["test"]
    expected = torch.from_numpy(tested.logits).double().softmax(1).numpy()
    assert np.array_equal(np.asarray(predicted.probabilities), expected)


def test_network_is_exported_without_its_images(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export([ComposedConfig.from_overrides("task=export", f"ckpt_path={place / 'run'}", "format=pt2")], None)
    written, compared = capsys.readouterr().out.splitlines()[-2:]
    assert written.startswith(f"{place / 'run' / 'export' / 'lenet.pt2'}: ")
    assert compared.startswith("compared with the network on 256 images of random pixels: largest difference")


def test_evaluation_says_that_the_folder_is_missing(trained_once: Path, place: Path) -> None:
    with pytest.raises(ConfigError) as error:
        evaluate([config_of(place)], None)
    assert str(error.value).startswith(f"data.root={trained_once}/images: must be a folder with one folder of images")
    assert "there is no such folder" in str(error.value)


def test_evaluation_on_the_moved_folder_is_that_of_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for overrides in ([], ["data=folder"]):
        evaluate([config_of(place, f"data.root={place / 'moved'}", *overrides)], None)
        assert "equal to the run's results.json, to the last digit" in capsys.readouterr().out


def test_changed_folder_is_not_taken_for_that_of_the_run(place: Path) -> None:
    write_class(place / "moved" / "train" / "owl", 3, 4)
    write_class(place / "moved" / "test" / "owl", 3, 4)
    config = config_of(place, f"data.root={place / 'moved'}")
    assert load(place, f"data.root={place / 'moved'}").data.class_names == ["cat", "dog", "fox"]
    with pytest.raises(ConfigError, match=f"data.root={place}/moved: must have the images of the run"):
        evaluate([config], None)
    with pytest.raises(ConfigError, match="data=folder: classes must be 3, as in training, not 4"):
        evaluate([config_of(place, "data=folder", f"data.root={place / 'moved'}")], None)


def test_damaged_facts_are_an_error_of_the_checkpoint(place: Path) -> None:
    checkpoint = place / "run" / "checkpoints" / "best.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    content["ImageFolder"]["facts"]["class_names"] = ["cat"]
    torch.save(content, checkpoint)
    with pytest.raises(ConfigError, match="the facts of its data set are damaged: class_names must be 3 different"):
        load(place)


def test_checkpoint_without_facts_needs_its_images(trained_once: Path, place: Path) -> None:
    checkpoint = place / "run" / "checkpoints" / "best.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    del content["ImageFolder"]["facts"]
    torch.save(content, checkpoint)
    with pytest.raises(ConfigError, match="there is no such folder"):
        load(place)


def test_run_on_arrays_is_used_without_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    arrays = {"images": generator.integers(0, 256, (60, 28, 28), dtype=np.uint8), "labels": np.arange(60) % 3}
    root = save(tmp_path / "a.npz", **arrays, class_names=np.array(["cat", "dog", "fox"]))
    (tmp_path / "run").mkdir()
    overrides = ("data=arrays", f"data.root={root}", "data.test_size=12", *OVERRIDES[2:])
    train([ComposedConfig.from_overrides(*overrides)], RunDirectory(tmp_path / "run"))
    root.unlink()
    with command_line([]):
        trained = load(tmp_path)
        assert list(trained.data.class_names) == ["cat", "dog", "fox"]
        assert trained.logits(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 3)
        with pytest.raises(ConfigError, match="there is nothing"):
            evaluate([config_of(tmp_path)], None)
