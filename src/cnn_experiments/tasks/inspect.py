"""What networks cost: the stages of one, or several side by side. Nothing is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from rich.table import Table

from cnn_experiments.analysis import cost, probe
from cnn_experiments.console import print_table
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.training.build import build_data, fitting_model


def inspect(jobs: Sequence[tuple[str, DictConfig]]) -> None:
    """Prints one network stage by stage, or a comparison of several.

    Args:
        jobs: what tells each job from the others, and its settings.
    """
    networks = [_Network.of(name, config) for name, config in jobs]
    if len(networks) > 1:
        print_table(_comparison(networks))
        return
    (network,) = networks
    print_table(_stages(network))
    print("parameters ", _memory(network.parameter_bytes))
    print(
        "activations", _memory(network.activation_bytes), "kept for the backward pass, batch", network.data.batch_size
    )
    print("smallest    data.resize", network.smallest, sep="=")


@dataclass(frozen=True)
class _Network:
    name: str
    data: ImageDataModule
    stages: list[cost.StageCost]
    parameters: int
    multiply_adds: int
    parameter_bytes: int
    activation_bytes: int
    smallest: int | None

    @classmethod
    def of(cls, name: str, config: DictConfig) -> "_Network":
        data = build_data(config)
        model = fitting_model(config, data)
        image = probe.probe_image(model, data.channels, data.size)
        batch = probe.probe_image(model, data.channels, data.size, training=True)
        return cls(
            name,
            data,
            cost.stage_costs(model, image),
            cost.count_parameters(model),
            cost.count_multiply_adds(model, image),
            cost.parameter_bytes(model),
            cost.activation_bytes(model, batch, data.batch_size),
            probe.smallest_size(model, data.channels, data.size, image.device),
        )

    @property
    def image(self) -> str:
        return _shape((self.data.channels, self.data.size, self.data.size))


def _table(texts: Sequence[str], numbers: Sequence[str], title: str | None = None) -> Table:
    table = Table(title=title)
    for text in texts:
        table.add_column(text, no_wrap=text != "layers")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table


def _stages(network: _Network) -> Table:
    table = _table(
        ["stage", "layers", "output"],
        ["parameters", "share", "multiply-adds", "share"],
        title=f"{network.name}, one image of {network.image}",
    )

    def add(name: str, layers: str, output: str, weights: int, cost: int) -> None:
        shares = _share(weights, network.parameters), _share(cost, network.multiply_adds)
        table.add_row(name, layers, output, f"{weights:,}", shares[0], f"{cost:,}", shares[1])

    for stage in network.stages:
        add(stage.name, stage.layers, _shape(stage.shape), stage.parameters, stage.multiply_adds)
    weights = network.parameters - sum(stage.parameters for stage in network.stages)
    cost = network.multiply_adds - sum(stage.multiply_adds for stage in network.stages)
    if weights or cost:
        add("elsewhere", "", "", weights, cost)
    table.add_section()
    table.add_row("total", "", "", f"{network.parameters:,}", "", f"{network.multiply_adds:,}", "")
    return table


def _comparison(networks: Sequence[_Network]) -> Table:
    numbers = ["parameters", "multiply-adds", "memory of parameters", "of activations", "batch", "smallest"]
    table = _table(["network", "image"], numbers)
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
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
