"""Writes the README's table of networks from the networks themselves: `python scripts/update_model_table.py`."""

import re
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import ImageSpec, smallest_size
from cnn_experiments.config.hydra_errors import CONF
from cnn_experiments.training.build import build_data, build_model

README = Path(__file__).parents[1] / "README.md"
TABLE = re.compile(r"(?<=<!-- made by scripts/update_model_table.py -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
SIZES = (28, 96, 224)
COMMANDS = (
    "model=lenet",
    "model=lenet model.padding=2",
    "model=lenet_bn",
    "model=alexnet",
    "model=alexnet model.padding=1",
    "model=vgg11",
    "model=vgg11 model.norm=batch",
    "model=vgg11 model.channel_divisor=4",
    "model=vgg11 model.channel_divisor=4 model.hidden_divisor=4",
    "model=vgg11 model.channel_divisor=8 model.hidden_divisor=8",
    "model=vgg13",
    "model=vgg16",
    "model=vgg19",
    "model=nin",
    "model=googlenet",
    "model=googlenet model.norm=batch",
    "model=resnet18",
    "model=resnet18 model.stem=3x3",
    "model=resnet18 model.version=v1",
    "model=resnet18 model.version=v2",
    "model=resnet34",
    "model=resnet50",
    "model=resnet101",
    "model=resnet152",
    "model=densenet",
    "model=densenet121",
    "model=densenet169",
    "model=densenet201",
    "model=densenet264",
)


def table() -> str:
    """Markdown, a row for each command."""
    head = ["network", "parameters", *(f"at {size}" for size in SIZES), "smallest"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for command in COMMANDS:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", command.split())
        channels = build_data(config).channels
        with torch.device("meta"):
            model = build_model(config)
        smallest = smallest_size(model, channels, max(SIZES), device="meta")
        assert smallest is not None
        costs = [
            _millions(count_multiply_adds(model, ImageSpec(channels, size, "meta"))) if size >= smallest else ""
            for size in SIZES
        ]
        cells = [f"`{command}`", f"{count_parameters(model):,}", *costs, str(smallest)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _millions(count: int) -> str:
    value = count / 1e6
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 30 else f"{value:,.0f}"


if __name__ == "__main__":
    README.write_text(TABLE.sub(table(), README.read_text()))
