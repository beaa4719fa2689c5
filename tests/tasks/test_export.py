"""Tests of task=export."""

import io
import re
import subprocess
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.data import Digits
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.tasks import export as export_module
from cnn_experiments.tasks.export import export
from cnn_experiments.training.export import formats
from tests.conftest import compose_settings, train_in
from tests.docs.pages import DOCS, blocks_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run."""
    overrides = ("model=lenet_bn", "trainer.max_epochs=1", "trainer.limit_train_batches=20", "data.normalize=true")
    return train_in(tmp_path_factory.mktemp("exported") / "run", *overrides)


def export_overrides(run: Path, *overrides: str) -> None:
    export([ComposedConfig.from_overrides("task=export", f"ckpt_path={run}", *overrides)], None)


def test_onnx_file_predicts_what_the_run_predicted(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "outputs" / "bn" / "export"
    export_overrides(run, "format=onnx", f"task.to={to}")
    (file_line, comparison_line), errors = capfd.readouterr().out.splitlines(), capfd.readouterr().err
    assert file_line.endswith("lenet_bn.onnx: 0.2 MiB")
    assert re.fullmatch(
        r"compared with the network on 256 test images: largest difference of a logit \d\.\de-0[67] "
        r"\(the standard deviation over the images is 0\.\d+\), 0 images of another class",
        comparison_line,
    )
    assert errors == ""
    images, labels = Digits(**digits_settings()).load(train=False)
    session = onnxruntime.InferenceSession(to / "lenet_bn.onnx")
    (logits,) = session.run(None, {"images": images.numpy()})
    predictions = Predictions.load(run / "predictions.npz").splits["test"]
    assert np.array_equal(predictions.label, labels.numpy())
    np.testing.assert_allclose(logits, predictions.logits, rtol=0, atol=1e-5)
    Image.fromarray(images[7, 0].numpy()).save(tmp_path / "bag.png")
    assert run_snippet("onnxruntime", tmp_path) == f"{predictions.predicted[7]}\n"


def test_pt2_file_is_used_as_in_the_documentation(run: Path, tmp_path: Path) -> None:
    export_overrides(run, "format=pt2", f"task.to={tmp_path / 'outputs' / 'bn' / 'export'}")
    images, _ = Digits(**digits_settings()).load(train=False)
    Image.fromarray(images[7, 0].numpy()).resize((40, 40), Image.Resampling.NEAREST).save(tmp_path / "bag.png")
    predicted = Predictions.load(run / "predictions.npz").splits["test"].predicted[7]
    assert run_snippet("torch.export", tmp_path) == f"{predicted}\n"


def test_safetensors_file_is_used_as_in_the_documentation(run: Path, tmp_path: Path) -> None:
    export_overrides(run, "format=safetensors", f"task.to={tmp_path / 'outputs' / 'bn' / 'export'}")
    assert run_snippet("safetensors", tmp_path) == ""


def run_snippet(module: str, directory: Path) -> str:
    """Run the example of the documentation that uses a module, and return what it prints."""
    programs = [block.text for block in blocks_of(DOCS / "how_to" / "export.md") if block.kind == "python"]
    (example,) = [program for program in programs if module in program]
    with chdir(directory), redirect_stdout(io.StringIO()) as output:
        exec(example, {})  # noqa: S102
    return output.getvalue()


def digits_settings() -> dict[str, object]:
    return {key: value for key, value in compose_settings("data=digits")["data"].items() if key != "_target_"}


def test_each_file_is_written_into_a_new_directory_of_the_run(
    run: Path, command: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    for directory, name in (("export", "pt2"), ("export-2", "safetensors")):
        completed = command("task=export", f"ckpt_path={run}", f"format={name}")
        assert (completed.returncode, completed.stderr) == (0, "")
        assert len(completed.stdout.splitlines()) == 2
        assert [path.name for path in (run / directory).iterdir()] == [f"lenet_bn.{name}"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("format=onxn", "format=onxn: must be one of onnx, pt2, safetensors; did you mean onnx?\n"),
        ("augment=none", "format: must be given: one of onnx, pt2, safetensors\n"),
    ],
)
def test_unknown_format_is_rejected(
    override: str, line: str, run: Path, command: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    completed = command("task=export", f"ckpt_path={run}", override)
    assert (completed.returncode, completed.stdout, completed.stderr) == (2, "", line)


def test_nothing_is_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "lenet_bn.safetensors").write_text("mine")
    with pytest.raises(ConfigError) as error:
        export_overrides(run, "format=safetensors", f"task.to={tmp_path}")
    assert error.value.key == "task.to"
    assert (tmp_path / "lenet_bn.safetensors").read_text() == "mine"


def test_missing_package_is_told_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as error:
        export_overrides(Path("nowhere"), "format=safetensors")
    assert str(error.value) == (
        'format=safetensors: needs the package safetensors, which is not installed; pip install ".[export]" installs it'
    )


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (RunFailedError("this network can't be exported"), "this network can't be exported"),
        (OSError(28, "No space left on device"), "{path} could not be written: No space left on device"),
    ],
)
def test_failed_export_leaves_no_directory(
    failure: Exception, line: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(run.iterdir())
    paths = []

    def fail(_trained: object, _format: str, path: Path, _images: object) -> None:
        paths.append(path)
        raise failure

    monkeypatch.setattr(export_module, "export_network", fail)
    with pytest.raises(RunFailedError) as error:
        export_overrides(run, "format=pt2")
    assert str(error.value) == line.format(path=paths[0])
    assert sorted(run.iterdir()) == before


def test_file_of_a_checkpoint_alone_is_named_after_the_class(run: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "shared.ckpt"
    checkpoint.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    export_overrides(checkpoint, "format=safetensors")
    assert (tmp_path / "export" / "lenet.safetensors").is_file()
