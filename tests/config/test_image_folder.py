"""Tests of what is found in a folder of images, and of the settings that follow from it."""

import itertools
import os
import shutil
from pathlib import Path

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import command_line
from cnn_experiments.config.image_folder import IMAGE_SUFFIXES, list_image_folder, natural_order
from cnn_experiments.errors import ConfigError
from tests.config.test_composition import expected_settings
from tests.own_images import write_folder, write_split_folder

pytestmark = pytest.mark.usefixtures("set_argv")

EXPECTED = "a folder with one folder of images per class, or with two folders train and test of this kind"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def rejection(root: object, *overrides: str) -> str:
    """Return the line with which a folder is rejected, in which the folder is `ROOT`."""
    with pytest.raises(ConfigError) as error:
        ComposedConfig.from_overrides("data=folder", f"data.root='{root}'", *overrides).validate()
    line = str(error.value).replace(str(root), "ROOT")
    assert "\n" not in line
    return line


def test_classes_and_files_are_in_natural_order(tmp_path: Path) -> None:
    root = touch(tmp_path, "class10/1.png", "class2/10.JPG", "class2/9.jpeg", "class2/more/of/2.tif")
    listing = list_image_folder(str(root))
    assert listing.class_names == ("class2", "class10")
    images = [(image.path, image.label) for image in listing.train]
    expected = ["class2/9.jpeg", "class2/10.JPG", "class2/more/of/2.tif", "class10/1.png"]
    assert images == list(zip(expected, (0, 0, 0, 1), strict=True))
    assert listing.test == ()


def test_order_of_names_with_the_same_number_is_not_that_of_the_disk() -> None:
    names = ["01", "1", "a01", "a1", "a001/2", "a1/02"]
    for found in itertools.permutations(names):
        assert sorted(found, key=natural_order) == names


def test_train_and_test_are_listed_apart(tmp_path: Path) -> None:
    root = touch(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png", "val/a/5.png")
    listing = list_image_folder(str(root))
    assert [image.path for image in listing.train] == ["train/a/1.png", "train/b/2.png"]
    assert [image.path for image in listing.test] == ["test/a/3.png", "test/b/4.png"]
    assert listing.num_left_out == 1


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    assert list_image_folder(str(touch(tmp_path, "train/1.png", "car/2.png"))).class_names == ("car", "train")


def test_hidden_files_are_ignored_and_others_are_counted(tmp_path: Path) -> None:
    root = touch(tmp_path, "a/1.png", "b/1.png", "a/.DS_Store", "a/.cache/2.png", ".git/3.png", "a/README", "x.png")
    (root / "b" / "link").symlink_to(root / "a")
    listing = list_image_folder(str(root))
    assert [image.path for image in listing.train] == ["a/1.png", "b/1.png"]
    assert listing.num_left_out == 3  # README, x.png beside the classes, and the link


def test_content_depends_on_names_and_sizes_alone(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "one")
    content = list_image_folder(str(root)).content
    copy = shutil.copytree(root, tmp_path / "elsewhere", copy_function=shutil.copy)
    touch(copy, "cat/notes.txt", "cat/.hidden.png")
    assert list_image_folder(str(copy)).content == content
    with (root / "dog" / "1.jpg").open("ab") as file:
        file.write(b"1")
    (copy / "cat" / "0.png").rename(copy / "cat" / "zero.png")
    assert list_image_folder(f"{root}/.").content == content  # a folder is listed once in a command
    with command_line([]):
        contents = {content, list_image_folder(str(root)).content, list_image_folder(str(copy)).content}
    assert len(contents) == 3


def test_pixels_of_files_without_compression_count(tmp_path: Path) -> None:
    def content(image: bytes) -> str:
        (tmp_path / "b" / "1.PPM").write_bytes(image)
        with command_line([]):
            return list_image_folder(str(tmp_path)).content

    touch(tmp_path, "a/1.png", "b/1.PPM")
    assert content(b"P6 1 1 255 abc") == content(b"P6 1 1 255 abc") != content(b"P6 1 1 255 abd")
    (tmp_path / "a" / "link.bmp").symlink_to("nowhere")
    assert content(b"P6 1 1 255 abc")


@pytest.mark.parametrize("overrides", [["data.test_size=6"], ["data.test_size=6", "data.val_size=9", "seed=3"]])
def test_settings_that_follow_are_those_that_hydra_resolves(tmp_path: Path, overrides: list[str]) -> None:
    typed = ["data=folder", f"data.root={write_folder(tmp_path / 'images')}", *overrides]
    config = ComposedConfig.from_overrides(*typed)
    config.validate()
    assert config.settings == expected_settings(*typed)[0]
    assert config.settings["data"]["classes"] == config.settings["model"]["num_classes"] == 3
    assert config.settings["data"]["val_size"] == (9 if len(overrides) > 1 else 3)


def test_settings_that_follow_are_found_beside_other_interpolations(tmp_path: Path, config_dir: Path) -> None:
    root = write_folder(tmp_path / "images")
    (config_dir / "data").mkdir()
    (config_dir / "data" / "pets.yaml").write_text(
        "defaults: [folder, _self_]\nroot: ${oc.env:NO_SUCH_VARIABLE,nowhere}/images\nbatch_size: ${oc.decode:'8'}\n"
    )
    config = ComposedConfig.from_overrides("data=pets", f"data.root={root}", "data.test_size=6")
    config.validate()
    assert (config.settings["data"]["classes"], config.settings["data"]["batch_size"]) == (3, 8)
    (config_dir / "optimizer").mkdir()
    (config_dir / "optimizer" / "mine.yaml").write_text("defaults: [adam, _self_]\nlr: ${oc.decode:'0.5'}\n")
    config = ComposedConfig.from_overrides("data=folder", "optimizer=mine", f"data.root={root}", "data.test_size=6")
    config.validate()
    assert (config.settings["data"]["classes"], config.settings["optimizer"]["lr"]) == (3, 0.5)


def test_identity_depends_on_the_images_and_not_on_their_place(tmp_path: Path) -> None:
    def run_id(root: Path, *overrides: str) -> str:
        return ComposedConfig.from_overrides("data=folder", f"data.root={root}", *overrides).run_id

    root = write_split_folder(tmp_path / "images")
    copy = shutil.copytree(root, tmp_path / "copy")
    first = run_id(root)
    assert run_id(copy, f"data.cache={tmp_path}") == first
    assert run_id(root, "data.channels=1") != first
    (copy / "train" / "cat" / "0.png").unlink()
    with command_line([]):
        assert run_id(copy) != first


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "must have at least two folders, one of images per class; there is none"),
        (["1.png"], "must have at least two folders, one of images per class; there are images, but no folder"),
        (["a/1.png"], "must have at least two folders, one of images per class; there is one, a"),
        (["a/1.png", "b/README", "c/1.png"], f"must have images of every class; there is no {', '.join(IMAGE_SUFFIXES)} in the folder b"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png"], f"must be {EXPECTED}; it has the folders train and val, but none of the name test"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png"], "must have the same classes in train and test; test has no folder b"),
        (["train/a/1.png", "test/a/1.png", "test/b/1.png"], "must have the same classes in train and test; train has no folder b"),
        (["train/a/1.png", "test/a/1.png"], "must have at least two folders in train, one of images per class; there is one, a"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/x"], f"must have images of every class in test; there is no {', '.join(IMAGE_SUFFIXES)} in the folder b"),
    ],
)  # fmt: skip
def test_folder_without_images_per_class_is_rejected(tmp_path: Path, names: list[str], problem: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert rejection(touch(root, *names)) == f"data.root=ROOT: {problem}"


def test_folder_that_is_missing_is_rejected_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    line = rejection(tmp_path / "imgaes")
    assert line == f"data.root=ROOT: must be {EXPECTED}; there is no such folder; did you mean {tmp_path}/images?"
    with pytest.raises(ConfigError) as error:
        ComposedConfig.from_overrides("data=folder").validate()
    assert str(error.value) == f"data.root: must be given: {EXPECTED}"
    with pytest.raises(ConfigError) as error:
        ComposedConfig.from_overrides("data=folder", "data.root=null").validate()
    assert str(error.value) == f"data.root=null: must be {EXPECTED}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_cannot_be_read_is_rejected(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images")
    (root / "dog").chmod(0)
    assert rejection(root) == "data.root=ROOT: can't be read: Permission denied: ROOT/dog"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([], "data.test_size=null: must be the number of images of the test set, because data.root has no folders train and test; a fifth of all images is data.test_size=7"),
        (["data.test_size=2"], "data.test_size=2: must be at least 3, one image per class, and below the 36 images"),
        (["data.test_size=36"], "data.test_size=36: must be at least 3, one image per class, and below the 36 images"),
        (["data.test_size=6", "data.classes=4"], "data.classes=4: must be 3, which is fixed by the data set"),
        (["data.test_size=6", "data.cache=5"], "data.cache=5: must be a string or null"),
    ],
)  # fmt: skip
def test_setting_that_does_not_suit_the_folder_is_rejected(tmp_path: Path, overrides: list[str], line: str) -> None:
    assert rejection(write_folder(tmp_path / "images"), *overrides) == line


@pytest.mark.parametrize(
    ("classes", "line"),
    [
        ("${image_folder:clases,${data.root}}", "${image_folder:clases,...}: there is no such fact; facts of image_folder: classes, content, val_size; did you mean classes?"),
        ("${image_folder:classes,${data.root},${seed},${seed}}", "model.num_classes: TypeError raised while resolving interpolation: _fact() takes from 3 to 4 positional arguments but 5 were given"),
    ],
)  # fmt: skip
def test_file_with_a_fact_that_does_not_exist_is_rejected(
    tmp_path: Path, config_dir: Path, classes: str, line: str
) -> None:
    (config_dir / "data").mkdir()
    (config_dir / "data" / "pets.yaml").write_text(f"defaults: [folder, _self_]\nclasses: {classes}\n")
    with pytest.raises(ConfigError) as error:
        ComposedConfig.from_overrides("data=pets", f"data.root={write_folder(tmp_path / 'images')}").validate()
    assert str(error.value) == line


def test_content_cannot_be_typed(tmp_path: Path) -> None:
    root = write_split_folder(tmp_path / "images")
    content = list_image_folder(str(root)).content
    expected = f"data.content=x: must be {content}, which is fixed by the data set"
    assert rejection(root, "data.content=x") == expected


def test_test_size_is_rejected_for_a_folder_with_a_test_set(tmp_path: Path) -> None:
    line = "data.test_size=3: must be null: data.root has folders train and test"
    assert rejection(write_split_folder(tmp_path / "images"), "data.test_size=3") == line
