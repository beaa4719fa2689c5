"""Shows what networks cost: the stages of one, or several in one table. Nothing is trained."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from cnn_experiments.analysis import cost, probe
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.instantiate import attribute_errors_to
from cnn_experiments.console import cell, print_table, table_title
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.runs.stages import STAGE_TABLE_HEADER, format_shape, stage_rows
from cnn_experiments.training.build import build_data
from cnn_experiments.training.preflight import build_and_probe


def inspect(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:  # noqa: ARG001
    """Print one network stage by stage, or a comparison of several."""
    networks = [_inspect(name, config) for name, config in zip(_names(configs), configs, strict=True)]
    if len(networks) > 1:
        print_table(_comparison_table(networks))
        return
    (network,) = networks
    print_table(_stages_table(network))
    print("parameters ", cost.format_bytes(network.parameter_bytes))
    activations = cost.format_bytes(network.activation_bytes)
    print("activations", activations, "kept for the backward pass, batch", network.data.batch_size)
    print("smallest    data.resize", network.smallest_size, sep="=")


def _names(configs: Sequence[ComposedConfig]) -> list[str]:
    """Return each network's option and the overrides that not all share."""
    shared = set(configs[0].overrides).intersection(*(config.overrides for config in configs))
    names = []
    for config in configs:
        varying = [override for override in config.overrides if override not in shared]
        varying = [override for override in varying if not override.startswith("model=")]
        names.append(" ".join([config.choices["model"], *varying]))
    return names


@dataclass(frozen=True)
class _NetworkCost:
    name: str
    data: ImageDataModule
    stages: list[cost.StageCost]
    parameters: int
    multiply_adds: int
    parameter_bytes: int
    activation_bytes: int
    smallest_size: int | None

    @property
    def image_shape(self) -> str:
        return format_shape((self.data.channels, self.data.size, self.data.size))


def _inspect(name: str, config: ComposedConfig) -> _NetworkCost:
    data = build_data(config.settings)
    model = build_and_probe(config.settings, data)
    image = probe.probe_image(model, data.channels, data.size)
    training_image = probe.probe_image(model, data.channels, data.size, training=True)
    with attribute_errors_to("model", config.settings["model"]):
        return _NetworkCost(
            name,
            data,
            cost.all_stage_costs(model, image),
            cost.count_parameters(model),
            cost.count_multiply_adds(model, image),
            cost.parameter_bytes(model),
            cost.activation_bytes(model, training_image, data.batch_size),
            probe.smallest_size(model, data.channels, data.size, image.device),
        )


def _new_table(text_columns: Sequence[str], number_columns: Sequence[str], title: str | None = None) -> Table:
    table = Table(title=table_title(title) if title else None)
    for name in text_columns:
        table.add_column(name, no_wrap=name != "layers")
    for name in number_columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _stages_table(network: _NetworkCost) -> Table:
    table = _new_table(
        STAGE_TABLE_HEADER[:3],
        STAGE_TABLE_HEADER[3:],
        title=f"{network.name}, one image of {network.image_shape}",
    )
    for row in stage_rows(list(map(asdict, network.stages)), network.parameters, network.multiply_adds):
        table.add_row(*map(cell, row))
    table.add_section()
    table.add_row("total", "", "", f"{network.parameters:,}", "", f"{network.multiply_adds:,}", "")
    return table


def _comparison_table(networks: Sequence[_NetworkCost]) -> Table:
    numbers = ["parameters", "multiply-adds", "parameter memory", "activation memory", "batch", "smallest"]
    table = _new_table(["network", "image"], numbers)
    for network in networks:
        table.add_row(
            cell(network.name),
            network.image_shape,
            f"{network.parameters:,}",
            f"{network.multiply_adds:,}",
            cost.format_bytes(network.parameter_bytes),
            cost.format_bytes(network.activation_bytes),
            str(network.data.batch_size),
            str(network.smallest_size),
        )
    return table
