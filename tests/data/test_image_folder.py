"""Tests of images in folders as a data set."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnn_experiments.config.hydra_internals import command_line
from cnn_experiments.data import image_cache, image_folder
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.image_files import read_image, read_image_for
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.training.build import build_data, check_images
from tests.conftest import compose_settings
from tests.own_images import write_class, write_folder, write_split_folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def make(root: Path, cache: Path, *overrides: str) -> ImageDataModule:
    """Return the data module of a folder whose images become 16 x 16 pixels."""
    typed = (f"data.root={root}", f"data.cache={cache}", "data.resize=16", "data.batch_size=4", *overrides)
    with command_line([]):  # the folder is listed anew
        return build_data(compose_settings("data=folder", *typed))


def test_images_are_those_that_a_prediction_reads(tmp_path: Path, cache: Path) -> None:
    root = write_split_folder(tmp_path / "images")
    sideways = Image.new("RGB", (30, 12), (200, 30, 30))
    exif = sideways.getexif()
    exif[0x0112] = 6
    sideways.save(root / "train" / "cat" / "sideways.jpg", exif=exif)
    Image.new("RGBA", (7, 9), (10, 20, 30, 90)).save(root / "train" / "dog" / "transparent.png")
    Image.new("P", (40, 40), 3).save(root / "train" / "fox" / "palette.gif")
    for overrides in (["data.channels=3"], ["data.channels=1"]):
        data = make(root, cache, *overrides)
        for train, split in ((True, "train"), (False, "test")):
            images, labels = data.load(train=train)
            paths = [sorted((root / split / name).iterdir(), key=_number) for name in data.class_names]
            assert labels.tolist() == [label for label, files in enumerate(paths) for _ in files]
            for image, path in zip(images, (path for files in paths for path in files), strict=True):
                assert torch.equal(image, read_image_for(data, path))
                assert torch.equal(image, read_image(path, channels=data.channels, size=16, background=255))


def _number(path: Path) -> tuple[bool, int, str]:
    return not path.stem.isdecimal(), int(path.stem) if path.stem.isdecimal() else 0, path.name


def test_folder_without_a_test_set_is_split_by_class_for_every_seed_alike(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "images")
    data, other_seed = (make(root, cache, "data.test_size=9", f"seed={seed}") for seed in (0, 1))
    train, test = data.load(train=True), data.load(train=False)
    assert (data.num_train_images, data.num_test_images) == (27, 9)
    assert (train[1].bincount().tolist(), test[1].bincount().tolist()) == ([9, 9, 9], [3, 3, 3])
    images = [read_image(path, channels=3, size=16, background=255) for path in root.rglob("*.*")]
    assert _rows(torch.cat([train[0], test[0]])) == _rows(torch.stack(images))
    assert torch.equal(other_seed.load(train=False)[0], test[0])
    data.setup("fit")
    other_seed.setup("fit")
    assert not torch.equal(data.stored_split("val").index, other_seed.stored_split("val").index)


def _rows(images: torch.Tensor) -> list[list[int]]:
    return sorted(images.flatten(1).tolist())


def test_mean_and_standard_deviation_are_those_of_the_images_trained_on(tmp_path: Path, cache: Path) -> None:
    data = make(write_split_folder(tmp_path / "images"), cache)
    assert not data.is_measured
    assert data.on_after_batch_transfer(data.load(train=False), 0)[0].isnan().all()  # nobody gets wrong inputs
    data.setup("fit")
    train = data.stored_split("train").images
    assert len(train) == 36 - data.val_size == 32
    inputs, _ = data.on_after_batch_transfer((train, data.stored_split("train").labels), 0)
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)
    assert data.state_dict()["facts"]["mean"] == list(data.mean)  # type: ignore[arg-type]


def test_images_are_resized_once(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_split_folder(tmp_path / "images")
    (root / "notes.txt").touch()
    images, _ = make(root, cache).load(train=True)
    (file,) = cache.glob("*.npy")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"resizing 48 images of {root} to 16 x 16 pixels"
    assert lines[1] == f"1 other file in {root} is left out; images are PNG, JPEG, GIF, BMP, WebP, TIFF or PPM"
    assert re.fullmatch(r"resized in \d+\.\d s", lines[2])
    assert lines[3:] == [f"kept in {file}"]
    monkeypatch.setattr(image_folder, "read_image_in_thread", None)
    again, _ = make(root, cache).load(train=True)
    assert torch.equal(again, images)
    images[:] = 0  # what is mapped is a copy
    assert torch.equal(make(root, cache).load(train=True)[0], again)
    assert capsys.readouterr().out == ""


def test_images_are_resized_again_if_one_of_them_or_the_size_changes(tmp_path: Path, cache: Path) -> None:
    root = write_split_folder(tmp_path / "images")
    first, _ = make(root, cache).load(train=True)
    image = root / "train" / "cat" / "0.png"
    content = image.read_bytes()
    os.utime(image, ns=(0, 0))
    assert torch.equal(make(root, cache).load(train=True)[0], first)
    assert len(list(cache.glob("*.npy"))) == 2
    Image.new("RGB", (12, 12), "red").save(image)
    assert image.read_bytes() != content
    assert not torch.equal(make(root, cache).load(train=True)[0], first)
    assert make(root, cache, "data.resize=8").load(train=True)[0].shape == (36, 3, 8, 8)
    assert len(list(cache.glob("*.npy"))) == 4


def test_several_processes_resize_once(tmp_path: Path, cache: Path) -> None:
    root = write_split_folder(tmp_path / "images")
    code = (
        "from tests.data.test_image_folder import make; from pathlib import Path; import sys; "
        "print('sum', make(Path(sys.argv[1]), Path(sys.argv[2])).load(train=True)[0].long().sum().item())"
    )
    command = [sys.executable, "-c", code, str(root), str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    expected = make(root, cache).load(train=True)[0].long().sum().item()
    assert [output.splitlines()[-1] for output in outputs] == [f"sum {expected}"] * 2
    assert sum("resizing" in output for output in outputs) == 1
    assert [path.suffix for path in sorted(cache.iterdir())] == [".lock", ".npy"]


def test_images_are_in_memory_if_no_file_can_be_kept(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_split_folder(tmp_path / "images")
    expected, _ = make(root, cache).load(train=True)
    capsys.readouterr()
    (tmp_path / "file").touch()
    images, _ = make(root, tmp_path / "file" / "cache").load(train=True)
    assert torch.equal(images, expected)
    line = f"the images are resized in memory, because they can't be kept in {tmp_path}/file/cache: Not a directory"
    assert capsys.readouterr().out.splitlines()[0].startswith(line)
    make(root, tmp_path / "file" / "cache").load(train=False)  # they are resized once in a process
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(image_cache, "total_memory", lambda: 1000)
    data = make(root, tmp_path / "file" / "cache", "data.resize=8")
    with pytest.raises(RunFailedError, match=r"must be a directory for 9,216 bytes of images, which memory can't hold"):
        data.setup("fit")


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: os.truncate(file, 0),
        lambda file: os.truncate(file, 1000),
        lambda file: np.save(file, np.zeros((48, 3, 16, 16), "int8")),
        lambda file: np.save(file, np.zeros((47, 3, 16, 16), "uint8")),
    ],
)
def test_damaged_file_of_resized_images_is_made_again(
    tmp_path: Path, cache: Path, damage: Callable[[Path], None]
) -> None:
    root = write_split_folder(tmp_path / "images")
    expected = make(root, cache).load(train=True)[0].clone()
    (file,) = cache.glob("*.npy")
    damage(file)
    assert torch.equal(make(root, cache).load(train=True)[0], expected)
    assert list(cache.glob("*.npy")) == [file]


def test_user_without_a_home_directory_has_to_name_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_split_folder(tmp_path / "images")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(os.path, "expanduser", str)  # what it returns where no home directory is known
    with pytest.raises(ConfigError) as error:
        build_data(compose_settings("data=folder", f"data.root={root}", "data.batch_size=4"))
    problem = "must be a directory: this user has no home directory for the default"
    assert str(error.value) == f"data.cache=null: {problem}"


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(write_split_folder(tmp_path / "images"), cache)

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunFailedError) as error:
        data.setup("fit")
    problem = f"cache={cache}: must be a directory to write into: No space left on device"
    assert str(error.value) == f"the data could not be loaded: {problem}"
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_unreadable_files_are_named_before_anything_is_trained(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "images")
    for number in (3, 5, 7, 9):
        (root / "dog" / f"{number}.jpg").write_text("nothing")
    truncated = root / "cat" / "0.png"
    truncated.write_bytes(truncated.read_bytes()[:-30])
    (root / "fox" / "link.png").symlink_to("nowhere")
    overrides = ("data.test_size=6", f"data.cache={cache}", f"data.root={root}", "data.batch_size=4")
    with command_line([]):
        settings = compose_settings("data=folder", *overrides)
        with pytest.raises(ConfigError) as error:
            check_images(settings, build_data(settings))
    line = str(error.value)
    assert line.startswith(f"data.root={root}: 6 of 37 images can't be read: ")
    assert line.endswith(" and 3 more")
    assert "dog/3.jpg (not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, or damaged at its beginning)" in line
    assert list(cache.glob("*.npy")) == []
    assert list(cache.glob("*.writing")) == []


def test_images_of_another_run_are_rejected(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "images")
    with command_line([]):
        settings = compose_settings("data=folder", f"data.root={root}", f"data.cache={cache}", "data.test_size=6")
        content = settings["data"]["content"]
    write_class(root / "owl", 3, 4)
    with command_line([]), pytest.raises(ConfigError) as error:
        build_data(settings)
    problem = f"must have the images of the run, with the same names and sizes \\({content}, not [0-9a-f]{{16}}\\)"
    assert re.fullmatch(f"data.root={root}: {problem}", str(error.value))


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("data.resize=null", "data.resize=null: must be the pixels per side: the images of a folder may have any size"),
        ("data.channels=4", "data.channels=4: must be 1 (gray) or 3 (RGB)"),
        ("data.batch_size=99", "data.batch_size=99: must be at most 32, the number of training images"),
    ],
)
def test_impossible_setting_is_rejected(tmp_path: Path, cache: Path, override: str, line: str) -> None:
    root = write_split_folder(tmp_path / "images")
    with pytest.raises(ConfigError) as error:
        make(root, cache, override)
    assert str(error.value) == line


def test_folder_may_be_removed_while_its_images_are_used(tmp_path: Path, cache: Path) -> None:
    root = write_split_folder(tmp_path / "images")
    data = make(root, cache)
    data.setup("fit")
    expected = [images.clone() for images, _ in data.train_dataloader()]
    shutil.rmtree(root)
    shutil.rmtree(cache)
    assert all(map(torch.equal, expected, (images for images, _ in data.train_dataloader())))
