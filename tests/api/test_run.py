"""Tests of one run from Python."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from PIL import Image

import cnn_experiments
from cnn_experiments import ConfigError, LoadedRun
from cnn_experiments.api.picture import Picture
from cnn_experiments.api.run import load
from cnn_experiments.tasks import explanation
from cnn_experiments.tasks.evaluate import evaluate
from cnn_experiments.tasks.inspect import inspect
from tests.conftest import ComposedConfig, read_epochs, read_results
from tests.stored_runs import MakeRun


def rejection(run: LoadedRun, attribute: str) -> str:
    with pytest.raises(ConfigError) as error:
        getattr(run, attribute)
    return str(error.value)


def pixels_of(picture: Picture) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(picture._repr_png_())) as image:
        return np.asarray(image.convert("RGB"))


def test_settings_metrics_and_curves_are_those_of_the_files(trained: LoadedRun) -> None:
    run = load(trained.directory)
    assert run.metrics == read_results(run.directory)["metrics"]
    settings = {
        key: run.settings[key] for key in ("model", "data", "optimizer", "optimizer.lr", "trainer.max_epochs", "seed")
    }
    assert list(settings.values()) == ["lenet_bn", "digits", "adam", 0.001, 2, 0]
    epochs = read_epochs(run.directory)
    for name in ("train/loss", "val/loss", "val/acc", "val/f1", "lr"):
        assert run.curves[name] == {int(row["epoch"]): float(row[name]) for row in epochs}
    assert "epoch" not in run.curves
    assert "step" not in run.curves


def test_curves_have_what_callbacks_log(make_run: MakeRun) -> None:
    run = load(make_run("run", None, curves={"epoch": [1, 2], "val/acc": [0.5, 0.75], "gradient_norm": [2.0, 1.0]}))
    assert run.curves == {"val/acc": {1: 0.5, 2: 0.75}, "gradient_norm": {1: 2.0, 2: 1.0}}


def test_network_gives_the_logits_of_the_test(trained: LoadedRun) -> None:
    run = load(str(trained.directory))
    assert not run.network.training
    test = run.predictions.splits["test"]
    stored = run.data.stored_split("test")
    assert torch.equal(stored.labels, torch.from_numpy(test.label))
    with torch.inference_mode():
        logits = run.network(run.data.preprocessing(stored.images))
    assert_allclose(logits.numpy(), test.logits, atol=1e-5)
    accuracy = float(np.mean(run.predict(stored.images).probabilities.argmax(axis=1) == test.label))
    assert accuracy == pytest.approx(run.metrics["test/acc"], abs=1e-6)


def test_stages_are_those_of_the_task(trained: LoadedRun, capsys: pytest.CaptureFixture[str]) -> None:
    inspect([ComposedConfig.from_overrides("task=inspect", "model=lenet_bn", "data=digits")], None)
    printed = capsys.readouterr().out
    table = trained.stages()
    frame = table.to_frame()
    assert (len(table), frame["parameters"].sum(), frame["multiply-adds"].sum()) == (17, 44878, 281640)
    assert frame["share of parameters"].sum() == pytest.approx(1.0)
    assert frame["share of parameters"].min() == 0.0
    for name, parameters in zip(frame["stage"], frame["parameters"], strict=True):
        assert any(line.split()[1:2] == [name] and f" {parameters:,} " in line for line in printed.splitlines())
    assert "total: 44,878 parameters, 281,640 multiply-adds" in str(table)


def test_html_names_the_run_and_its_metrics(trained: LoadedRun) -> None:
    html = trained._repr_html_()
    assert html.startswith("<p><b>lenet_bn on digits: completed, 2 epochs, epoch ")
    assert f"{trained.metrics['test/acc']:.4f}" in html
    assert "None" not in html
    assert repr(trained).startswith("<lenet_bn on digits: completed, 2 epochs, ")


def test_mistakes_are_a_picture(trained: LoadedRun, tmp_path: Path) -> None:
    picture = trained.show_mistakes()
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert len(picture.figure.texts) == 25
    assert len(trained.show_mistakes(9).figure.texts) == 9
    for most in (0, 1001):
        with pytest.raises(ConfigError, match=f"^most={most}: must be an integer from 1 to 1000$"):
            trained.show_mistakes(most)
    picture.save(tmp_path / "mistakes.svg")
    assert "<svg" in (tmp_path / "mistakes.svg").read_text()


def test_curves_of_a_metric_are_a_picture(trained: LoadedRun) -> None:
    (axes,) = trained.show_curves().figure.axes
    *curves, tested = axes.lines
    assert [line.get_label() for line in curves] == ["train", "val"]
    for line in curves:
        curve = trained.curves[f"{line.get_label()}/acc"]
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == curve  # type: ignore[arg-type]
    assert (axes.get_ylabel(), axes.get_title()) == ("accuracy", "lenet_bn on digits")
    epoch = trained.results.tested_epoch
    assert tested.get_label() == f"epoch {epoch}, tested"
    assert list(tested.get_xdata()) == [epoch, epoch]
    assert all(tick == int(tick) for tick in axes.get_xticks())
    assert trained.show_curves("loss").figure.axes[0].get_ylabel() == "loss"
    assert trained.show_curves()._repr_png_().startswith(b"\x89PNG")


def test_curve_without_splits_is_a_picture(make_run: MakeRun) -> None:
    curves = {"epoch": [1, 2, 3], "test/acc": [0.5, 0.75, 0.7], "gradient_norm": [2.0, 1.0, 0.5]}
    run = load(make_run("run", None, curves=curves, tested_epoch=None))
    (line,) = run.show_curves("gradient_norm").figure.axes[0].lines
    assert (line.get_label(), list(line.get_ydata())) == ("gradient_norm", [2.0, 1.0, 0.5])
    (line,) = run.show_curves().figure.axes[0].lines
    assert (line.get_label(), list(line.get_xdata())) == ("test", [1, 2, 3])
    with pytest.raises(ConfigError) as error:
        run.show_curves("accc")
    assert str(error.value) == "name=accc: must be one of acc, gradient_norm; did you mean acc?"
    with pytest.raises(ConfigError) as error:
        load(make_run("new", None, epochs=0)).show_curves()
    assert str(error.value) == "name=acc: there are no curves: the run has not completed an epoch"


def test_filters_of_the_first_convolution_are_a_picture(trained: LoadedRun) -> None:
    pixels = pixels_of(trained.show_filters())
    weight = trained.network.features[0].weight.detach()  # type: ignore[union-attr, index]
    assert weight.shape == (6, 1, 5, 5)
    scale = 480 // (3 * 5)
    side = 5 * scale + 6
    assert pixels.shape == (2 * side + 6, 3 * side + 6, 3)
    for number, channels in enumerate(weight):
        top, left = (6 + place * side for place in divmod(number, 3))
        gray = (channels[0] - channels.min()) / (channels.max() - channels.min()) * 255
        shown = pixels[top : top + 5 * scale : scale, left : left + 5 * scale : scale, 0]
        assert_allclose(shown, gray.numpy(), atol=0.51)


def test_activations_of_every_stage_are_a_picture(trained: LoadedRun) -> None:
    image = trained.data.stored_split("test").images[0]
    figure = trained.show_activations(image).figure
    with torch.inference_mode():
        output = trained.network.features[:8](trained.data.preprocessing(image[None]))[0]  # type: ignore[index]
    title, *panels = [text.get_text() for text in figure.axes[0].texts]
    assert title == f"image 0\nfeatures.7, 16x4x4\nchannel: mean; values from {output.min():.3g} to {output.max():.3g}"
    assert panels == [f"{number}: {channel.mean():.2g}" for number, channel in enumerate(output)]
    first = [text.get_text() for text in trained.show_activations(image, "features.0").figure.axes[0].texts]
    assert len(first) == 7
    assert first[0].startswith("image 0\nfeatures.0, 6x24x24\n")
    same = [trained.show_activations(form)._repr_png_() for form in (image[0], image[0].numpy(), image[None])]
    assert set(same) == {trained.show_activations(image)._repr_png_()}


def test_class_maps_are_a_picture_of_each_image(trained: LoadedRun, tmp_path: Path) -> None:
    images = trained.data.stored_split("test").images[:3]
    predictions = trained.predict(images)
    texts = [text.get_text() for text in trained.show_class_maps(images).figure.axes[0].texts]
    assert texts[0] == "lenet_bn on digits\nfeatures.7, 16x4x4"
    labels = [line for text in texts[2::2] for line in text.splitlines()[1:]]
    expected = zip(predictions.classes, predictions.confidence, strict=True)
    assert labels == [f"{name} {confidence:.1%}" for name, confidence in expected]
    assert texts[1::2] == ["image 0", "image 1", "image 2"]
    Image.fromarray(images[0, 0].numpy()).save(tmp_path / "digit.png")
    texts = [text.get_text() for text in trained.show_class_maps(tmp_path, "features.3").figure.axes[0].texts]
    assert texts[:2] == ["lenet_bn on digits\nfeatures.3, 6x12x12", "digit.png"]


def test_pictures_of_other_stages_and_images_are_rejected(
    trained: LoadedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(call: Callable[[], object]) -> str:
        with pytest.raises(ConfigError) as error:
            call()
        return str(error.value)

    images = torch.zeros(101, 1, 8, 8, dtype=torch.uint8)
    grids = ", ".join(f"features.{i}" for i in range(8)) + ", head.0"
    assert line(lambda: trained.show_activations(images[0], "features.33")) == (
        f"stage=features.33: must be one of {grids}; did you mean features.3?"
    )
    assert line(lambda: trained.show_class_maps(images[:1], "head.2")) == (
        f"stage=head.2: must be a stage whose output is a grid, not 120: one of {grids}"
    )
    missing = "nothing: must be an image, a folder of images or a pattern such as 'images/*.png'; there is no such file"
    assert line(lambda: trained.show_activations("nothing")) == f"image={missing}"
    assert line(lambda: trained.show_class_maps("nothing")) == f"images={missing}"
    assert line(lambda: trained.show_activations(images[0].float())).startswith("image=float32: must be uint8, ")
    assert line(lambda: trained.show_activations([])) == "image: there is none"
    assert line(lambda: trained.show_activations(images[:2])) == "image=2 images: must be one image"
    assert line(lambda: trained.show_class_maps(images)) == "images=101 images: must be at most 100"
    Image.new("L", (8, 8)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_text("no image")
    assert line(lambda: trained.show_class_maps(tmp_path)).startswith(f"{tmp_path / '2.png'}: not a PNG, ")
    with monkeypatch.context() as patch:
        patch.setattr(explanation, "has_grid", lambda _: False)
        assert line(lambda: trained.show_activations(images[0])) == (
            f"stage: the network of {trained.directory / 'checkpoints' / 'best.ckpt'} has no stage whose output is a "
            "grid of more than one position"
        )
    with monkeypatch.context() as patch:
        patch.setattr(explanation, "compute_activations", None)  # the activations are not drawn
        assert trained.show_class_maps(images[:1])._repr_png_().startswith(b"\x89PNG")
    monkeypatch.setattr(explanation, "find_spec", lambda _: None)
    assert line(lambda: trained.show_class_maps(images[:1])) == (
        'show_class_maps(): needs the package captum, which is not installed; pip install ".[explain]" installs it'
    )
    assert trained.show_activations(images[0])._repr_png_().startswith(b"\x89PNG")


def test_run_that_did_not_get_far_says_what_it_lacks(make_run: MakeRun) -> None:
    directory = make_run("ended", None, status="failed", error="RuntimeError: <no> memory", epochs=0, metrics={})
    run = load(directory)
    assert (run.status, run.curves, run.metrics) == ("failed", {}, {})
    assert run.settings["model"] == "lenet"
    assert "RuntimeError: &lt;no&gt; memory" in run._repr_html_()
    assert rejection(run, "network") == (
        f"ckpt_path={directory}: this run has no checkpoints/best.ckpt: it is written when the first epoch ends"
    )
    assert rejection(run, "predictions") == (
        f"{directory}/predictions.npz: there is none; the run is failed and has no checkpoint, with which task=evaluate "
        "writes one"
    )


def test_predictions_of_an_evaluation_are_those_of_a_run_that_has_none(trained: LoadedRun, tmp_path: Path) -> None:
    directory = tmp_path / "copied"
    shutil.copytree(trained.directory, directory)
    (directory / "predictions.npz").unlink()
    untested = {"status": "interrupted", "tested_epoch": None, "metrics": {}}
    run = load(directory)
    assert rejection(run, "predictions") == (
        f"{directory}/predictions.npz: there is none; task=evaluate ckpt_path={directory} writes one"
    )
    evaluate([ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={directory}", "trainer=cpu")], None)
    assert_allclose(run.predictions.evaluated.logits, trained.predictions.evaluated.logits, atol=1e-5)
    assert run.show_mistakes()._repr_png_().startswith(b"\x89PNG")
    (directory / "results.json").write_text(json.dumps(read_results(directory) | untested))
    assert np.array_equal(load(directory).predictions.evaluated.logits, run.predictions.evaluated.logits)


@pytest.mark.parametrize(
    ("name", "content", "attribute", "line"),
    [
        ("config.yaml", "a: [", "settings", "is not valid YAML"),
        ("config.yaml", "- 1", "settings", "must hold settings"),
        ("metrics.csv", "epoch,val/acc\n1,high\n", "curves", "val/acc: could not convert string to float: 'high'"),
        ("predictions.npz", "PK", "predictions", "damaged, or another program wrote it (File is not a zip file)"),
    ],
)
def test_damaged_file_is_named(make_run: MakeRun, name: str, content: str, attribute: str, line: str) -> None:
    directory = make_run("damaged", None)
    (directory / name).write_text(content)
    assert rejection(load(directory), attribute) == f"{directory / name}: {line}"


def test_directory_without_a_run_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert str(error.value) == f"directory={tmp_path}: must be a run's directory; there is no results.json"
    (tmp_path / "results.json").write_text(json.dumps([]))
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert str(error.value).startswith(f"directory={tmp_path}: its results.json can't be used: ")


def test_device_that_is_not_there_is_rejected(trained: LoadedRun) -> None:
    line = rejection(load(trained.directory, device="nonsense"), "network")
    assert line.startswith("device=nonsense: can't be used: ")


def test_same_image_in_every_form(trained: LoadedRun) -> None:
    image = trained.data.stored_split("test").images[0, 0]
    values = image.numpy()
    expected = trained.predict(image).probabilities
    assert expected.shape == (1, 10)
    assert expected.sum() == pytest.approx(1.0)
    for form in (
        values,
        image[None],
        values[None, None],
        values[..., None],
        values[None, ..., None],
        Image.fromarray(values),
    ):
        assert_allclose(trained.predict(form).probabilities, expected, atol=1e-7)
    both = trained.predict([values, Image.fromarray(values)])
    assert_allclose(both.probabilities, np.concatenate([expected, expected]), atol=1e-7)
    inverted = trained.predict(255 - values, invert=True)
    assert_allclose(inverted.probabilities, expected, atol=1e-7)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_values_with_colors_last_are_one_image_as_that_of_pil(trained: LoadedRun, mode: str) -> None:
    image = trained.data.stored_split("test").images[0, 0].numpy()
    picture = Image.fromarray(image).resize((28, 20), Image.Resampling.NEAREST).convert(mode)
    values = np.asarray(picture)
    assert values.shape == (20, 28, len(mode))
    expected = trained.predict(picture)
    for form in (values, torch.tensor(values), [values]):
        predictions = trained.predict(form)
        assert np.array_equal(predictions.images, expected.images)
        assert np.array_equal(predictions.probabilities, expected.probabilities)


def test_files_are_read_and_a_damaged_one_is_named(trained: LoadedRun, tmp_path: Path) -> None:
    image = trained.data.stored_split("test").images[0, 0].numpy()
    Image.fromarray(image).save(tmp_path / "2.png")
    Image.fromarray(255 - image).resize((80, 80), Image.Resampling.NEAREST).save(tmp_path / "10.png")
    (tmp_path / "3.png").write_text("no image")
    (tmp_path / "scan.heic").write_bytes(b"")
    predictions = trained.predict(tmp_path)
    expected = trained.predict(image)
    assert predictions.warnings[-1] == (
        f"1 other file in {tmp_path} is left out; images are PNG, JPEG, GIF, BMP, WebP, TIFF or PPM"
    )
    assert predictions.names == [str(tmp_path / "2.png"), str(tmp_path / "10.png")]
    assert_allclose(predictions.probabilities[:1], expected.probabilities, atol=1e-7)
    assert predictions.classes[0] == expected.classes[0] == str(expected.probabilities.argmax())
    problem = "not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, or damaged at its beginning"
    assert predictions.unreadable == {str(tmp_path / "3.png"): problem}
    assert predictions._repr_html_().count("<img ") == 2
    assert f"3.png: {problem}" in repr(predictions)
    frame = predictions.to_frame()
    assert list(frame["class"]) == predictions.classes
    assert_allclose(frame[[f"probability of {digit}" for digit in range(10)]].to_numpy(), predictions.probabilities)
    light = trained.predict(str(tmp_path / "10.png"))
    assert light.warnings == [
        "1 of 1 images show dark objects on a light background, "
        "but the network was trained on light objects on a dark one: invert=True inverts all images"
    ]


def test_images_of_one_color_are_counted(trained: LoadedRun) -> None:
    blank, other = np.zeros((8, 8), dtype=np.uint8), np.eye(8, dtype=np.uint8)
    predictions = trained.predict([blank, other])
    assert predictions.warnings == [
        "1 of 2 images have one color only; an object as dark or as light as the background that replaces transparency "
        "needs invert=True"
    ]
    assert predictions.warnings[0] in repr(predictions)
    assert trained.predict(other).warnings == []


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (np.zeros((28, 28), dtype=np.float32), "images=float32: must be uint8, 0 to 255, as the data set stores them"),
        (np.zeros(28, dtype=np.uint8), "images=28: must be (N, 1, H, W), as the data set stores them"),
        (np.zeros((2, 8, 8, 3), dtype=np.uint8), "images=2x8x8x3: must be (N, 1, H, W), as the data set stores them"),
        (
            np.zeros((3, 8, 8), dtype=np.uint8),
            "images=3x8x8: may be 3 gray images or one color image: write (3, 1, H, W) for 3, or (H, W, 3) for one",
        ),
        (np.zeros((0, 8, 3), dtype=np.uint8), "images=0x8x3: must be (N, 1, H, W), as the data set stores them"),
        (np.zeros((0, 1, 8, 8), dtype=np.uint8), "images=0x1x8x8: must be (N, 1, H, W), as the data set stores them"),
        (3, "images=int: must be a path, an image of PIL, values of numpy or torch, or a list of these"),
        ([], "images: there is none"),
    ],
)
def test_other_images_are_rejected(trained: LoadedRun, images: object, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        trained.predict(images)  # type: ignore[arg-type]
    assert str(error.value) == line


def test_missing_file_is_rejected(trained: LoadedRun) -> None:
    with pytest.raises(ConfigError, match=r"^images=nothing: must be an image, a folder of images or a pattern"):
        trained.predict("nothing")


def test_frames_need_pandas(trained: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ConfigError) as error:
        trained.stages().to_frame()
    assert str(error.value) == 'to_frame(): needs pandas: pip install ".[notebook]"'
    with pytest.raises(ConfigError):
        cnn_experiments.runs(trained.directory).leaderboard().to_frame()
