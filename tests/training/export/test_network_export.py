"""Tests that a file gets its name only if it computes what the network computes."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.errors import RunFailedError
from cnn_experiments.training.export import formats
from cnn_experiments.training.export.formats import FORMATS
from cnn_experiments.training.export.image_classifier import ImageClassifier
from cnn_experiments.training.export.network_export import export_network
from cnn_experiments.training.trained_network import TrainedNetwork
from tests.training.export.conftest import MakeTrained


@pytest.mark.parametrize("name", FORMATS)
def test_file_is_written_and_compared(name: str, make_trained: MakeTrained, images: Tensor, tmp_path: Path) -> None:
    trained = make_trained("model=lenet_bn")
    comparison = export_network(trained, name, tmp_path / "file", images)
    assert comparison.num_images == 10
    assert comparison.num_other_classes == 0
    assert comparison.largest_difference < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


SENSITIVE_NETWORK = ("model=vgg11", "model.channel_divisor=64", "model.hidden_divisor=64", "init=kaiming")
"""A network whose random weights let the logits depend on the image about as much as trained ones do."""


class OtherMean(ImageClassifier):
    def preprocess(self, images: Tensor) -> Tensor:
        return super().preprocess(images) - 0.01


def test_program_with_wrong_preprocessing_is_not_written(
    make_trained: MakeTrained, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "ImageClassifier", OtherMean)
    with pytest.raises(RunFailedError) as error:
        export_network(make_trained(*SENSITIVE_NETWORK), "pt2", tmp_path / "net.pt2", images)
    assert re.fullmatch(
        r"net.pt2 was not written, because it computes something else than the network: "
        r"largest difference of a logit \S+ \(the standard deviation over the images is \S+\), \d+ images of another class; "
        r"the difference must be at most \S+",
        str(error.value),
    )
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_wrong_in_one_value_are_not_written(
    make_trained: MakeTrained, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = FORMATS["safetensors"].write

    def write_wrong(trained: TrainedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
        bias = trained.network.get_parameter("head.6.bias")
        with torch.no_grad():
            bias[3] += 0.01
            write(trained, path, metadata)
            bias[3] -= 0.01

    monkeypatch.setitem(FORMATS, "safetensors", replace(FORMATS["safetensors"], write=write_wrong))
    trained = make_trained("model=lenet")
    with pytest.raises(RunFailedError, match=r"^net was not written, .* largest difference of a logit 1\.0e-02 "):
        export_network(trained, "safetensors", tmp_path / "net", images)
    assert list(tmp_path.iterdir()) == []


class DependsOnValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        logits = x.flatten(1)[:, :10]
        return logits if logits.sum() > 0 else -logits  # the line that is named


class DependsOnNumberOfImages(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([image.flatten()[:10] for image in x])


class UnknownToOnnx(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x.flatten(1)[:, :10])


LINE = next(i for i, line in enumerate(Path(__file__).read_text().splitlines(), start=1) if "that is named" in line)


@pytest.mark.parametrize(
    ("network", "name", "message"),
    [
        (
            DependsOnValues,
            "pt2",
            "GuardOnDataDependentSymNode: Could not guard on data-dependent expression .* "
            rf"\(test_network_export.py:{LINE}\)",
        ),
        (
            DependsOnNumberOfImages,
            "pt2",
            r"UserError: Constraints violated \(N\)! .* your code specialized it to be a constant \(2\).*",
        ),
        (UnknownToOnnx, "onnx", r"DispatchError: No ONNX function found for <OpOverload\(op='prims.bessel_j0'.*"),
    ],
)
def test_network_that_cannot_be_exported_is_explained_in_one_line(
    network: type[nn.Module],
    name: str,
    message: str,
    make_trained: MakeTrained,
    images: Tensor,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    trained = make_trained(network=network())
    with pytest.raises(RunFailedError) as error:
        export_network(trained, name, tmp_path / "net", images)
    assert re.fullmatch(f"this network can't be exported to {name}: {message}", str(error.value))
    assert len(str(error.value)) < 300
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_full_disk_is_not_taken_for_a_fault_of_the_network(
    make_trained: MakeTrained, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(trained: TrainedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS, "pt2", replace(FORMATS["pt2"], write=fail))
    with pytest.raises(OSError, match="No space left on device"):
        export_network(make_trained(), "pt2", tmp_path / "net", images)
    assert list(tmp_path.iterdir()) == []
