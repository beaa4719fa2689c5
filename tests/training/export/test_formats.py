"""Tests that other programs can load the files and compute the network's logits from uint8 images."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cnn_experiments.config.schema import RULES
from cnn_experiments.errors import ConfigError
from cnn_experiments.training.export import formats
from cnn_experiments.training.export.formats import FORMATS
from cnn_experiments.training.export.image_classifier import ImageClassifier
from tests.conftest import ROOT
from tests.training.export.conftest import MakeTrained

METADATA = {"class_names": '["zero", "one"]', "epoch": "3"}
NETWORKS = [
    "model=lenet_bn model.pool=avg data.resize=20 data.normalize=true",
    "model=resnet18 model.depths=[1,1] data.resize=null",
]


def run_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    session = onnxruntime.InferenceSession(path)
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def run_pt2(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


def names_this_machine(content: bytes) -> bool:
    """Return whether a part of a file names a directory or a source file of this machine."""
    names = (str(ROOT), str(Path(torch.__file__).parent), "site-packages", '.py"', "File ")
    return any(name.encode() in content for name in names)


@pytest.mark.parametrize("overrides", NETWORKS)
@pytest.mark.parametrize(("name", "load"), [("onnx", run_onnx), ("pt2", run_pt2)])
def test_program_computes_the_logits_of_any_number_of_images_of_any_size(
    overrides: str,
    name: str,
    load: Callable[[Path], Callable[[Tensor], Tensor]],
    make_trained: MakeTrained,
    images: Tensor,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    trained = make_trained(*overrides.split())
    path = tmp_path / f"network.{name}"
    FORMATS[name].write(trained, path, METADATA)
    assert capfd.readouterr() == ("", "")
    program = load(path)
    classifier = ImageClassifier(trained.network, trained.data)
    with torch.no_grad():
        for batch in (images[:1], images[:2], images, interpolate(images[:3], (8, 31)), interpolate(images, (50, 7))):
            torch.testing.assert_close(program(batch), classifier(batch), rtol=0, atol=1e-5)


def test_weights_of_a_program_are_contiguous(make_trained: MakeTrained, tmp_path: Path) -> None:
    trained = make_trained("model=resnet18", "model.depths=[1,1]", "data.resize=null")
    trained.network.to(memory_format=torch.channels_last)
    FORMATS["pt2"].write(trained, tmp_path / "network.pt2", METADATA)
    weights, state = torch.export.load(tmp_path / "network.pt2").state_dict, trained.network.state_dict()
    assert {f"network.{name}" for name in state} == {*weights} - {"mean", "std"}
    assert all(torch.equal(weights[f"network.{name}"], state[name]) for name in state)
    assert all(weight.is_contiguous() for weight in weights.values())
    assert not all(weight.is_contiguous() for weight in state.values())


def test_onnx_file_names_its_input_output_and_axes(make_trained: MakeTrained, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    FORMATS["onnx"].write(make_trained(), path, METADATA)
    assert not names_this_machine(path.read_bytes())
    session = onnxruntime.InferenceSession(path)
    (images,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["N", 1, "height", "width"])
    assert (logits.name, logits.type, logits.shape) == ("logits", "tensor(float)", ["N", 10])
    assert session.get_modelmeta().custom_metadata_map == METADATA
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_pt2_file_has_the_metadata(make_trained: MakeTrained, tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    FORMATS["pt2"].write(make_trained(), path, METADATA)
    extra_files = {"metadata.json": ""}
    torch.export.load(path, extra_files=extra_files)
    assert json.loads(extra_files["metadata.json"]) == METADATA
    with zipfile.ZipFile(path) as archive:
        assert not any(names_this_machine(archive.read(entry)) for entry in archive.infolist())


def test_safetensors_file_has_the_weights_and_the_metadata(make_trained: MakeTrained, tmp_path: Path) -> None:
    trained = make_trained("model=lenet_bn")
    path = tmp_path / "network.safetensors"
    FORMATS["safetensors"].write(trained, path, METADATA)
    weights, state = safetensors.torch.load_file(path), trained.network.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[name], state[name]) for name in state)
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == METADATA


def test_tensors_that_share_memory_are_written_twice(make_trained: MakeTrained, tmp_path: Path) -> None:
    trained = make_trained(network=TiedNetwork())
    FORMATS["safetensors"].write(trained, tmp_path / "network.safetensors", {})
    weights = safetensors.torch.load_file(tmp_path / "network.safetensors")
    assert torch.equal(weights["first.weight"], trained.network.get_parameter("first.weight"))
    assert torch.equal(weights["second.weight"], weights["first.weight"])


class TiedNetwork(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(28, 10, bias=False)
        self.second = torch.nn.Linear(28, 10, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return (self.first(x) + self.second(x)).mean((1, 2))


def test_formats_are_those_that_the_setting_allows() -> None:
    assert RULES["format"].choices == tuple(FORMATS)


def test_missing_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else object())
    FORMATS["pt2"].check_packages("pt2")
    FORMATS["safetensors"].check_packages("safetensors")
    with pytest.raises(ConfigError) as error:
        FORMATS["onnx"].check_packages("onnx")
    assert str(error.value) == (
        'format=onnx: needs the package onnxscript, which is not installed; pip install ".[export]" installs it'
    )
