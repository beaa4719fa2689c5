"""What networks cost: the stages of one, or several side by side. Nothing is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from rich.table import Table

from cnn_experiments import complexity
from cnn_experiments.console import print_lines
from cnn_experiments.data.module import ImageDataModule
from cnn_experiments.experiment import build_data, fitting_model


def inspect(jobs: Sequence[tuple[str, DictConfig]]) -> None:
    """Prints one network stage by stage, or a comparison of several.

    Args:
        jobs: what tells each job from the others, and its settings.
    """
    networks = [_Network.of(name, config) for name, config in jobs]
    if len(networks) == 1:
        print_lines(_stages(networks[0]), *_summary(networks[0]))
    else:
        print_lines(_comparison(networks))


@dataclass(frozen=True)
class _Network:
    name: str
    data: ImageDataModule
    stages: list[complexity.Stage]
    parameters: int
    multiply_adds: int
    parameter_bytes: int
    activation_bytes: int
    smallest: int | None

    @classmethod
    def of(cls, name: str, config: DictConfig) -> "_Network":
        data = build_data(config)
        model = fitting_model(config, data)
        trial = model, data.channels, data.size, complexity.usable_device(model, data.channels, data.size)
        return cls(
            name,
            data,
            complexity.stages(*trial),
            complexity.parameters(model),
            complexity.multiply_adds(*trial),
            complexity.parameter_bytes(model),
            complexity.activation_bytes(*trial, data.batch_size),
            complexity.smallest_size(*trial),
        )

    @property
    def image(self) -> str:
        return _shape((self.data.channels, self.data.size, self.data.size))


def _stages(network: _Network) -> Table:
    table = Table("stage", "layers", "output", title=f"{network.name}, one image of {network.image}")
    for title in ("parameters", "share", "multiply-adds", "share"):
        table.add_column(title, justify="right")
    for stage in network.stages:
        table.add_row(
            stage.name,
            stage.layers,
            _shape(stage.shape),
            f"{stage.parameters:,}",
            _share(stage.parameters, network.parameters),
            f"{stage.multiply_adds:,}",
            _share(stage.multiply_adds, network.multiply_adds),
        )
    elsewhere = network.parameters - sum(stage.parameters for stage in network.stages)
    if elsewhere:
        table.add_row("elsewhere", "", "", f"{elsewhere:,}", _share(elsewhere, network.parameters), "", "")
    table.add_section()
    table.add_row("total", "", "", f"{network.parameters:,}", "", f"{network.multiply_adds:,}", "")
    return table


def _summary(network: _Network) -> list[str]:
    batch = network.data.batch_size
    return [
        f"parameters   {_memory(network.parameter_bytes)}",
        f"activations  {_memory(network.activation_bytes)}, kept of {batch} images for the backward pass",
        f"smallest     data.resize={network.smallest}",
    ]


def _comparison(networks: Sequence[_Network]) -> Table:
    table = Table("network", "image")
    for title in ("parameters", "multiply-adds", "memory of parameters", "of activations", "batch", "smallest"):
        table.add_column(title, justify="right")
    for network in networks:
        table.add_row(
            network.name,
            network.image,
            f"{network.parameters:,}",
            f"{network.multiply_adds:,}",
            _memory(network.parameter_bytes),
            _memory(network.activation_bytes),
            str(network.data.batch_size),
            str(network.smallest),
        )
    return table


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if part else "-"


def _memory(count: int) -> str:
    """Three digits or a little more: 174 KiB, 491 MiB, 13.2 GiB."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.3g} {unit}"
