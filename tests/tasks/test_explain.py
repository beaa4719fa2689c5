"""Tests of task=explain: which images are explained, which pictures are written, and what is rejected in one line."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.schema import RULES
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.tasks import explain as explain_module
from cnn_experiments.tasks import explanation
from cnn_experiments.tasks.explain import explain
from cnn_experiments.training.trained_network import load_trained_network
from tests.conftest import train_in
from tests.tasks.test_inspect import table_rows


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run of LeNet on the digits, which tests must not change."""
    return train_in(tmp_path_factory.mktemp("explain") / "run", "model=lenet_bn", "trainer.max_epochs=1")


@pytest.fixture
def run(trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the run, copied into the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained_run, "run")
    return Path("run")


def explain_overrides(*overrides: str, ckpt_path: str = "run") -> None:
    explain([ComposedConfig.from_overrides("task=explain", f"ckpt_path={ckpt_path}", *overrides)], None)


def write_image(path: Path, value: int = 0, size: int = 8) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.full((size, size), value, dtype=np.uint8)
    pixels[2:6, 3:5] = 255
    Image.fromarray(pixels).save(path)


def read_picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_most_confident_mistakes_are_explained_for_both_classes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain_overrides("task.max_images=2")
    output = capsys.readouterr().out
    predictions = Predictions.load(run / "predictions.npz")
    test = predictions.evaluated
    indices = predictions.mistake_index[:2].tolist()
    num_mistakes = (test.predicted != test.label).sum()
    assert f"the 2 most confident of {num_mistakes} mistakes in the test\n" in output
    expected = []
    for index in indices:
        (row,) = np.flatnonzero(test.index == index)
        predicted, label = test.predicted[row], test.label[row]
        probabilities = [f"{test.probabilities[row][number]:.1%}" for number in (predicted, label)]
        names = [predictions.class_names[number] for number in (predicted, label)]
        expected.append(
            [f"test image {index}", names[0], probabilities[0], names[1], probabilities[1], f"test-{index}.png"]
        )
    assert table_rows(output)[-2:] == expected
    written = [name for index in indices for name in (f"test-{index}.png", f"test-{index}-activations.png")]
    assert {path.name for path in (run / "explain").iterdir()} == {*written, "overview.png"}
    height, width, _ = read_picture(run / "explain" / f"test-{indices[0]}.png").shape
    assert width > 2.5 * height  # three panels
    assert output.endswith("written: 5 pictures in run/explain; see overview.png first\n")


def test_nothing_is_overwritten(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    explain_overrides("task.max_images=1")
    explain_overrides("task.max_images=1", "task.stage=features.3")
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.parent.name for path in after.keys() - before.keys()} == {"explain", "explain-2"}
    first, second = (next((run / name).glob("test-*[0-9].png")) for name in ("explain", "explain-2"))
    assert first.name == second.name
    assert first.read_bytes() != second.read_bytes()
    with pytest.raises(ConfigError, match=r"^task\.to=run/explain: it holds test-\d+\.png, "):
        explain_overrides("task.max_images=1", "task.to=run/explain")


def test_files_are_explained_for_the_predicted_class(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1.png", "2.png", "10.png"):
        write_image(Path("images") / name, size=20)
    explain_overrides("input=images", "task.max_images=2", "task.to=pictures")
    output = capsys.readouterr().out
    assert "the first 2 of 3 files; task.max_images=3 explains all\n" in output
    assert [(row[0], row[3]) for row in table_rows(output)[-2:]] == [
        ("images/1.png", "1-1.png"),
        ("images/2.png", "2-2.png"),
    ]
    assert sorted(path.name for path in Path("pictures").iterdir()) == [
        "1-1-activations.png", "1-1.png", "2-2-activations.png", "2-2.png", "overview.png"
    ]  # fmt: skip
    assert not (run / "explain").exists()


def test_inverted_images_are_those_that_are_drawn(run: Path) -> None:
    write_image(Path("dark.png"), value=0)
    Image.fromarray(255 - read_picture(Path("dark.png"))).save("light.png")
    explain_overrides("input=dark.png", "task.to=dark")
    explain_overrides("input=light.png", "task.to=light", "task.invert=true")
    dark, light = (read_picture(Path(name, f"1-{name}.png")) for name in ("dark", "light"))
    assert (dark[50:] == light[50:]).all()  # below the names of the files
    assert (dark[:50] != light[:50]).any()


@pytest.mark.usefixtures("run")
def test_damaged_file_is_named_and_left_out(command: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    write_image(Path("images") / "good.png")
    Path("images", "bad.png").write_text("text")
    process = command("task=explain", "ckpt_path=run", "input=images")
    assert process.returncode == 1
    assert process.stderr.splitlines() == [
        "images/bad.png: not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, or damaged at its beginning",
        "1 of 2 files could not be read",
    ]
    assert sorted(path.name for path in Path("run/explain").iterdir()) == [
        "2-good-activations.png", "2-good.png", "overview.png"
    ]  # fmt: skip


@pytest.mark.usefixtures("run")
def test_nothing_is_written_if_all_files_are_damaged() -> None:
    Path("bad.png").write_text("text")
    with pytest.raises(RunFailedError, match=r"^1 of 1 files could not be read$"):
        explain_overrides("input=bad.png")
    assert not Path("run/explain").exists()


GRIDS = ", ".join(f"features.{i}" for i in range(8)) + ", head.0"


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("task.stage=feature.3", f"task.stage=feature.3: must be one of {GRIDS}; did you mean features.3?"),
        ("task.stage=head.2", f"task.stage=head.2: must be a stage whose output is a grid, not 120: one of {GRIDS}"),
        ("task.stag=x", "task.stag=x: unknown key; keys of task: invert, max_images, stage, to; did you mean task.stage?"),
        ("task.invert=true", "task.invert=true: must be false for the mistakes of a run; it is for the images that input names"),
        ("input=nowhere", "input=nowhere: must be an image, a folder of images or a pattern such as 'images/*.png'; there is no such file"),
    ],
)  # fmt: skip
def test_bad_input_is_rejected_in_one_line(override: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        explain_overrides(override)
    assert str(error.value) == line
    assert not Path("run/explain").exists()


@pytest.mark.parametrize("value", [0, 2.5, None, "all"])
def test_number_of_images_must_be_positive(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^task\.max_images=.*: must be an integer >= 1$"):
        RULES["task.max_images"].check("task.max_images", value)


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as error:
        explain_overrides()
    assert str(error.value) == (
        'task=explain: needs the package captum, which is not installed; pip install ".[explain]" installs it'
    )


def test_run_without_predictions_needs_input(run: Path) -> None:
    (run / "predictions.npz").unlink()
    with pytest.raises(ConfigError) as error:
        explain_overrides()
    assert str(error.value) == (
        "input=null: there is no run/predictions.npz with the mistakes of a run's test; input=FOLDER explains images of "
        "your own, and task=evaluate ckpt_path=run writes those mistakes"
    )
    write_image(Path("image.png"))
    explain_overrides("input=image.png")
    assert (run / "explain" / "1-image.png").exists()


def test_mistakes_of_an_evaluation_are_explained_if_the_run_has_none(run: Path) -> None:
    predictions = Predictions.load(run / "predictions.npz")
    (run / "evaluate").mkdir()
    (run / "predictions.npz").rename(run / "evaluate" / "predictions.npz")
    explain_overrides("task.max_images=1")
    assert (run / "explain" / f"test-{predictions.mistake_index[0]}.png").exists()


def test_checkpoint_without_its_run_needs_input(run: Path) -> None:
    Path("alone").mkdir()
    (run / "checkpoints" / "best.ckpt").rename("alone/best.ckpt")
    with pytest.raises(ConfigError) as error:
        explain_overrides(ckpt_path="alone/best.ckpt")
    assert str(error.value) == (
        "input=null: there is no alone/predictions.npz with the mistakes of a run's test; input=FOLDER explains images of "
        "your own"
    )


def test_damaged_and_foreign_predictions_are_rejected(run: Path) -> None:
    path = run / "predictions.npz"
    predictions = Predictions.load(path)
    replace(predictions, mistake_images=predictions.mistake_images[:, :, :4, :4]).save(path)
    with pytest.raises(RunFailedError, match=r"^run/predictions\.npz is of other images than those of Digits$"):
        explain_overrides()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunFailedError, match=r"^run/predictions\.npz could not be read: damaged, or another program "):
        explain_overrides()


def test_run_without_mistakes_has_nothing_to_explain(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = Predictions.load(run / "predictions.npz")
    test = replace(predictions.evaluated, label=predictions.evaluated.predicted)
    images = predictions.mistake_images[:0]
    Predictions(predictions.class_names, {"test": test}, predictions.mistake_index[:0], images).save(
        run / "predictions.npz"
    )
    explain_overrides()
    assert capsys.readouterr().out == "run: no mistakes in the test; input=FOLDER explains other images\n"
    assert not (run / "explain").exists()


class Detached(nn.Module):
    """A network whose logits do not depend on the output of its only stage with a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3))
        self.head = nn.Linear(2, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).detach().mean(dim=(2, 3)))


class WithoutGrid(nn.Sequential):
    """A network of one linear layer."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(28 * 28, 10))


@pytest.mark.usefixtures("run")
def test_networks_without_class_activation_maps_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def use(network: nn.Module) -> None:
        monkeypatch.setattr(
            explain_module,
            "load_trained_networks",
            lambda configs, _: [replace(load_trained_network(config), network=network) for config in configs],
        )

    use(Detached())
    with pytest.raises(
        RunFailedError, match=r"^the logits can't be traced back to the stage features\.0: RuntimeError"
    ):
        explain_overrides()
    use(WithoutGrid())
    with pytest.raises(ConfigError) as error:
        explain_overrides()
    assert str(error.value) == (
        "task.stage: the network of run/checkpoints/best.ckpt has no stage whose output is a grid of more than one position"
    )
    assert not Path("run/explain").exists()


@pytest.mark.usefixtures("run")
def test_empty_maps_are_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    network = nn.Sequential(nn.Conv2d(1, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.zeros_(network[0].weight)
    network[0].bias.data = torch.tensor([-1.0, *[-2.0] * 9])  # the class with the highest logit has a negative one
    monkeypatch.setattr(
        explain_module,
        "load_trained_networks",
        lambda configs, _: [replace(load_trained_network(config), network=network) for config in configs],
    )
    write_image(Path("image.png"))
    explain_overrides("input=image.png")
    line = (
        "1 of 1 maps of the predicted class are empty: nothing in 0 speaks for it; another task.stage may show more\n"
    )
    assert line in capsys.readouterr().out
