"""The formats of an exported network: how a file is written, and how it is loaded again.

A further format is a function that writes it, one that loads it, and an entry in `FORMATS`.
"""

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from cnn_experiments.errors import ConfigError
from cnn_experiments.training.build import build_model
from cnn_experiments.training.export.image_classifier import ImageClassifier
from cnn_experiments.training.trained_network import TrainedNetwork

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "images", "logits"
METADATA_FILE = "metadata.json"
"""The extra file of a pt2 program that holds its metadata."""

_DYNAMIC_AXES = {0: "N", 2: "height", 3: "width"}

Logits = Callable[[Tensor], Tensor]
"""Returns the logits of uint8 images."""


@dataclass(frozen=True)
class ExportFormat:
    """A format of exported networks."""

    write: Callable[[TrainedNetwork, Path, Mapping[str, str]], None]
    """Writes a network to a path, with this metadata."""
    load: Callable[[Path, TrainedNetwork], Logits]
    """Loads the file for a comparison with the network that it was written from."""
    packages: tuple[str, ...] = ()
    """What it needs that this package does not require."""
    has_preprocessing: bool = True
    """Whether the file holds the preprocessing too, and takes images of any size."""

    def check_packages(self, name: str) -> None:
        """Check that the packages are installed.

        Raises:
            ConfigError: one is not.
        """
        if missing := [package for package in self.packages if find_spec(package) is None]:
            problem = f"needs the package {missing[0]}, which is not installed"
            raise ConfigError("format", name, problem=problem, remedy='pip install ".[export]" installs it')


def _write_onnx(trained: TrainedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
    program = export_program(trained)
    with _without_output():
        onnx_program = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(_DYNAMIC_AXES,),
        )
    assert onnx_program is not None
    model: onnx.ModelProto = onnx_program.model_proto
    _remove_traces(model)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def _remove_traces(model: "onnx.ModelProto") -> None:
    """Remove what the exporter notes of the code that the network was made by: lines of files of this machine."""
    for graph in (model.graph, *model.functions):
        for part in (graph, *graph.node, *graph.value_info):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")


def _load_onnx(path: Path, trained: TrainedNetwork) -> Logits:  # noqa: ARG001
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def logits(images: Tensor) -> Tensor:
        (output,) = session.run([OUTPUT], {INPUT: images.numpy()})
        return torch.from_numpy(output)

    return logits


def _write_pt2(trained: TrainedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
    program = export_program(trained)
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", program.graph).nodes:
            node.meta.pop("stack_trace", None)
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files={METADATA_FILE: json.dumps(metadata, indent=1)})


def _load_pt2(path: Path, trained: TrainedNetwork) -> Logits:  # noqa: ARG001
    with path.open("rb") as file:
        module: Logits = torch.export.load(file).module()
    return module


def _write_safetensors(trained: TrainedNetwork, path: Path, metadata: Mapping[str, str]) -> None:
    from safetensors.torch import save

    # Copies, because the format has no tensors that share their memory.
    weights = {name: tensor.clone().contiguous() for name, tensor in trained.network.state_dict().items()}
    path.write_bytes(save(weights, dict(metadata)))


def _load_safetensors(path: Path, trained: TrainedNetwork) -> Logits:
    from safetensors.torch import load

    network = build_model(trained.settings).eval()
    network.load_state_dict(load(path.read_bytes()))
    return replace(trained, network=network).logits


FORMATS = {
    "onnx": ExportFormat(_write_onnx, _load_onnx, packages=("onnx", "onnxscript", "onnxruntime")),
    "pt2": ExportFormat(_write_pt2, _load_pt2),
    "safetensors": ExportFormat(
        _write_safetensors, _load_safetensors, packages=("safetensors",), has_preprocessing=False
    ),
}
"""By the value of `format`, which is also the suffix of the file."""


def export_program(trained: TrainedNetwork) -> ExportedProgram:
    """Return the network and its preprocessing as a program of torch.export for any number of images of any size.

    Its weights are contiguous: `channels_last` is faster on some machines, and torch.export.save warns of such weights.
    """
    data = trained.data
    network = copy.deepcopy(trained.network).to(memory_format=torch.contiguous_format)
    classifier = ImageClassifier(network, data).eval()
    # Two and more, and unlike any size in the network: torch.export would take an equal one for a fixed size.
    example = torch.zeros(2, data.channels, data.native_size + 2, data.native_size + 3, dtype=torch.uint8)
    with _without_output(), torch.no_grad():
        dynamic_axes = {axis: Dim(name) for axis, name in _DYNAMIC_AXES.items()}
        return torch.export.export(classifier, (example,), dynamic_shapes=(dynamic_axes,))


@contextmanager
def _without_output() -> Iterator[None]:
    """Silence what torch's exporters print, log and warn about their own progress; an error has its reason."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    output = io.StringIO()
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(output), redirect_stderr(output):
            yield
    finally:
        logging.disable(previous)
