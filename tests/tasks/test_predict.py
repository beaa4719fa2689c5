"""Tests of predicting the classes of image files."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.data import image_files
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.tasks.predict import predict
from cnn_experiments.training.trained_network import load_trained_network
from tests.conftest import train_in

CLASSES = "0123456789"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run; tests write into directories of their own."""
    overrides = ("trainer.max_epochs=1", "trainer.limit_train_batches=10", "data.batch_size=16")
    return train_in(tmp_path_factory.mktemp("predicting") / "run", "model=lenet_bn", *overrides)


@pytest.fixture
def predict_input(run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that predicts files into a directory, which it returns."""

    def predict_files(source: object, *overrides: str) -> Path:
        to = tmp_path / "written"
        typed = ("task=predict", f"ckpt_path={run}", "trainer=cpu", f"input='{source}'", f"task.to={to}")
        predict([ComposedConfig.from_overrides(*typed, *overrides)], None)
        return to

    return predict_files


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """Return a folder with the first 30 test images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index, image in enumerate(stored_images(run)):
        Image.fromarray(image[0].numpy()).save(folder / f"{index}.png")
    return folder


def load(run: Path) -> Any:
    return load_trained_network(ComposedConfig.from_overrides("task=predict", f"ckpt_path={run}", "input=unused"))


def stored_images(run: Path) -> torch.Tensor:
    return load(run).data.stored_split("test").images[:30]


def read_csv(directory: Path) -> list[dict[str, str]]:
    with (directory / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_json_lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "predictions.jsonl").read_text().splitlines()]


def test_predictions_of_a_folder_are_written_as_csv_and_json_lines(
    run: Path, folder: Path, predict_input: Callable[..., Path]
) -> None:
    to = predict_input(folder)
    probabilities = load(run).logits(stored_images(run)).double().softmax(dim=1)
    rows, lines = read_csv(to), read_json_lines(to)
    assert len(rows) == len(lines) == 30
    assert list(rows[0]) == [
        *("file", "class", "probability", "class 2", "probability 2", "class 3", "probability 3"),
        *(f"probability of {name}" for name in CLASSES),
    ]
    for index, (row, line) in enumerate(zip(rows, lines, strict=True)):
        expected = dict(zip(CLASSES, probabilities[index].tolist(), strict=True))
        ranked = sorted(expected, key=lambda name: -expected[name])[:3]
        assert line == {
            "file": str(folder / f"{index}.png"),
            "class": ranked[0],
            "probability": expected[ranked[0]],
            "top": [{"class": name, "probability": expected[name]} for name in ranked],
            "probabilities": expected,
        }
        assert row["file"] == line["file"]
        assert [row["class"], row["class 2"], row["class 3"]] == ranked
        assert [row[f"probability of {name}"] for name in CLASSES] == [f"{expected[name]:.7g}" for name in CLASSES]
        assert row["probability 2"] == row[f"probability of {ranked[1]}"]


def test_terminal_shows_the_first_files_and_counts_all(
    folder: Path, predict_input: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    to = predict_input(folder, "task.top=2")
    output = capsys.readouterr().out
    lines = read_json_lines(to)
    shown = [line for line in output.splitlines() if ".png" in line]
    assert len(shown) == 20
    for line, content in zip(shown, lines, strict=False):
        path, name, probability, more = (part.strip() for part in line.split("│")[1:-1])
        second = content["top"][1]
        assert (path, name, probability) == (content["file"], content["class"], f"{content['probability']:.1%}")
        assert more == f"{second['class']} {second['probability']:.1%}"
    assert "best.ckpt, epoch 1, on 30 files" in output
    assert "... and 10 more files\n" in output
    (counts,) = [line for line in output.splitlines() if line.startswith("predicted classes: ")]
    names = [line["class"] for line in lines]
    words = counts.removeprefix("predicted classes: ").split(", ")
    assert sorted(words) == sorted(f"{name} {names.count(name)}" for name in set(names))
    assert "background" not in output


def test_one_class_alone_is_listed(
    folder: Path, predict_input: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    to = predict_input(folder / "0.png", "task.top=1")
    assert list(read_csv(to)[0])[:4] == ["file", "class", "probability", "probability of 0"]
    assert "next" not in capsys.readouterr().out


def test_more_classes_than_there_are_list_all(folder: Path, predict_input: Callable[..., Path]) -> None:
    (line,) = read_json_lines(predict_input(folder / "0.png", "task.top=99"))
    assert sorted(item["class"] for item in line["top"]) == list(CLASSES)


def test_inverted_images_are_noticed_and_can_be_inverted(
    folder: Path, predict_input: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    expected = [line["probabilities"] for line in read_json_lines(predict_input(folder))]
    (tmp_path / "written").rename(tmp_path / "plain")
    for path in folder.iterdir():
        with Image.open(path) as image:
            inverted = image.point(lambda value: 255 - value)
        inverted.save(path)
    capsys.readouterr()
    predict_input(folder)
    assert (
        "30 of 30 images show dark objects on a light background, but the network was trained on light objects on a "
        "dark one: task.invert=true inverts all images\n"
    ) in capsys.readouterr().out
    (tmp_path / "written").rename(tmp_path / "wrong")
    assert [line["probabilities"] for line in read_json_lines(predict_input(folder, "task.invert=true"))] == expected
    assert "background" not in capsys.readouterr().out


@pytest.mark.parametrize(("num_inverted", "is_told"), [(3, False), (4, True)])
def test_few_images_with_another_background_are_tolerated(
    folder: Path,
    predict_input: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    num_inverted: int,
    is_told: bool,
) -> None:
    for index in range(num_inverted):
        Image.new("L", (8, 8), 255).save(folder / f"{index}.png")
    predict_input(folder)
    assert ("4 of 30 images show dark objects on a light background" in capsys.readouterr().out) == is_told


def test_files_that_are_no_images_are_told(
    folder: Path, predict_input: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scan.heic").write_bytes(b"")
    predict_input(folder)
    line = f"1 other file in {folder} is left out; images are PNG, JPEG, GIF, BMP, WebP, TIFF or PPM\n"
    assert line in capsys.readouterr().out


def test_dark_drawings_on_a_transparent_background_are_told(
    predict_input: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, gray in (("black", 0), ("white", 255)):
        drawing = Image.new("LA", (8, 8), (gray, 0))
        drawing.paste((gray, 255), (2, 2, 6, 6))
        drawing.save(tmp_path / f"{name}.png")
    predict_input(tmp_path / "*.png")
    assert (
        "1 of 2 images have one color only; an object as dark or as light as the background that replaces transparency "
        "needs task.invert=true\n"
    ) in capsys.readouterr().out
    _, white = read_json_lines(tmp_path / "written")
    (tmp_path / "written").rename(tmp_path / "blank")
    predict_input(tmp_path / "black.png", "task.invert=true")
    assert "one color" not in capsys.readouterr().out
    (black,) = read_json_lines(tmp_path / "written")
    assert black["probabilities"] == pytest.approx(white["probabilities"], rel=1e-5)


def test_images_that_are_inverted_by_mistake_are_noticed(
    folder: Path, predict_input: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    predict_input(folder, "task.invert=true")
    assert (
        "inverted, 30 of 30 images show dark objects on a light background, but the network was trained on light "
        "objects on a dark one: leave out task.invert=true\n"
    ) in capsys.readouterr().out


def test_damaged_files_are_named_and_skipped(
    folder: Path, predict_input: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for index in range(12):
        (folder / f"{index}.png").write_text("text")
    with pytest.raises(RunFailedError) as error:
        predict_input(folder)
    assert str(error.value) == "12 of 30 files could not be read"
    problems = capsys.readouterr().err.splitlines()
    reason = "not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, or damaged at its beginning"
    assert problems == [
        *(f"{folder / f'{index}.png'}: {reason}" for index in range(10)),
        "... and 2 more files that could not be read",
    ]
    names = [Path(row["file"]).name for row in read_csv(tmp_path / "written")]
    assert names == [f"{index}.png" for index in range(12, 30)]


def test_nothing_is_written_if_no_file_can_be_read(predict_input: Callable[..., Path], tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("text")
    with pytest.raises(RunFailedError, match=r"^1 of 1 files could not be read$"):
        predict_input(text)
    assert not (tmp_path / "written").exists()


def test_interrupt_leaves_no_file(
    folder: Path, predict_input: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    decode = image_files._decode
    num_files = 0

    def interrupt(*arguments: Any) -> Image.Image:
        nonlocal num_files
        num_files += 1
        if num_files == 25:
            raise Interrupted(2)
        return decode(*arguments)

    monkeypatch.setattr(image_files, "_decode", interrupt)
    with pytest.raises(Interrupted):
        predict_input(folder)
    assert not (tmp_path / "written").exists()


def test_names_of_files_are_neither_markup_nor_formulas(
    folder: Path,
    predict_input: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["+2,3.png", "=1,2.png", "[red]x.png", "zwei\nZeilen.png", "Ähre.png"]
    for index, name in enumerate(names):
        (folder / f"{index}.png").rename(folder / name)
    monkeypatch.chdir(folder)
    to = predict_input("[!0-9]*.png")
    assert [line["file"] for line in read_json_lines(to)] == names
    assert [row["file"] for row in read_csv(to)] == [
        *("'+2,3.png", "'=1,2.png", "[red]x.png", r"zwei\nZeilen.png", "Ähre.png")
    ]
    output = capsys.readouterr().out
    for name in ("[red]x.png", r"zwei\nZeilen.png"):
        assert name in output


def test_files_that_are_there_are_not_overwritten(folder: Path, predict_input: Callable[..., Path]) -> None:
    to = predict_input(folder)
    content = (to / "predictions.csv").read_bytes()
    with pytest.raises(ConfigError) as error:
        predict_input(folder / "0.png")
    assert error.value.key == "task.to"
    assert (to / "predictions.csv").read_bytes() == content


def test_several_networks_predict_and_count_their_damaged_files(run: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "3.png").write_text("text")
    typed = ("task=predict", f"ckpt_path={run}", f"input={folder}", "trainer=cpu")
    configs = [ComposedConfig.from_overrides(*typed, f"task.to={tmp_path / name}") for name in ("one", "two")]
    with pytest.raises(RunFailedError, match=r"^2 of 60 files could not be read$"):
        predict(configs, None)
    assert read_json_lines(tmp_path / "one") == read_json_lines(tmp_path / "two")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("task.top=0", "task.top=0: must be an integer >= 1"),
        ("task.invert=2", "task.invert=2: must be true or false"),
        ("task.to=3", "task.to=3: must be a string or null"),
        ("input=2024", "input=2024: must be an image file, a folder or a pattern"),
        ("input=???", "input: must be given: an image file, a folder or a pattern"),
    ],
)
def test_settings_of_the_task_are_checked(override: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        ComposedConfig.from_overrides("task=predict", "input=x", override).validate()
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "must be an image, a folder of images or a pattern such as 'images/*.png'; there is no such file"),
        ("null", "must be an image, a folder of images or a pattern"),
    ],
)
def test_input_must_be_there(run: Path, value: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        predict([ComposedConfig.from_overrides("task=predict", f"ckpt_path={run}", f"input={value}")], None)
    assert str(error.value) == f"input={value}: {problem}"


def test_command_answers_in_one_line(
    command: Callable[..., subprocess.CompletedProcess[str]], run: Path, folder: Path, tmp_path: Path
) -> None:
    arguments = ("task=predict", f"ckpt_path={run}", "trainer=cpu", f"task.to={tmp_path / 'written'}")
    missing = command(*arguments, "input=nowhere.png")
    assert missing.returncode == 2
    assert missing.stderr.startswith("input=nowhere.png: must be an image, a folder of images or a pattern")
    assert missing.stderr.count("\n") == 1
    (folder / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    damaged = command(*arguments, f"input={folder}")
    assert damaged.returncode == 1
    assert damaged.stderr.splitlines()[-1] == "1 of 30 files could not be read"
    assert len(damaged.stderr.splitlines()) == 2
    assert len(read_csv(tmp_path / "written")) == 29
