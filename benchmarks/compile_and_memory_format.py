"""What `compile=true` and `memory_format=channels_last` change: the outputs by rounding, the time of a training step.

    python benchmarks/compile_and_memory_format.py [--batch 32] [--seconds 3] model=resnet18,data.resize=28 ...

Every argument is a network with its settings, joined by commas; without one, every network there is, at the larger of
its smallest size and 32 pixels. Prints a line for each: the largest difference of eval-mode scores from the plain
network's, as a share of the largest score, and the median step's time as a ratio to the plain network's.
"""

import argparse
import statistics
import time

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch.nn.functional import cross_entropy

from cnn_experiments.analysis.probe import smallest_size
from cnn_experiments.config.hydra_errors import CONF
from cnn_experiments.runtime.memory import keep_freed_memory
from cnn_experiments.training.build import build_classifier, build_data

SWITCHES = {
    "channels_last": ["memory_format=channels_last"],
    "compile": ["compile=true"],
    "both": ["compile=true", "memory_format=channels_last"],
}


def configured(overrides: list[str]) -> DictConfig:
    """The configuration of a command with these overrides."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides)


def scores_and_step(
    overrides: list[str], batch: int, size: int, device: str, seconds: float
) -> tuple[torch.Tensor, float]:
    """Eval-mode scores of one batch before any step, and the median seconds of a training step."""
    torch.manual_seed(0)
    config = configured(overrides)
    data = build_data(config)
    classifier = build_classifier(config, data).to(device)
    classifier.configure_model()
    images = torch.rand(batch, data.channels, size, size, device=device)
    labels = torch.arange(batch, device=device) % data.classes
    optimizer = torch.optim.SGD(classifier.model.parameters(), lr=0.001)
    classifier.eval()
    with torch.no_grad():
        scores = classifier(images).float().cpu()
    classifier.train()

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(classifier(images), labels).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):  # the compiler's and the allocator's
        step()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 5:
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return scores, statistics.median(times)


def main() -> None:
    """Prints a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(
        f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads, batch {arguments.batch}", flush=True
    )
    print(f"{'':34} {'plain':>9}  " + "  ".join(f"{name:>24}" for name in SWITCHES), flush=True)
    for network in arguments.networks or [f"model={path.stem}" for path in sorted((CONF / "model").glob("*.yaml"))]:
        overrides = [*network.split(","), "init=kaiming"]  # torch's default lets a deep network's scores fade
        config = configured(overrides)
        with torch.device("meta"):
            model = build_classifier(config, build_data(config)).model
        size = config.data.resize or max(32, smallest_size(model, 1, 512, "meta") or 0)
        plain, seconds = scores_and_step(overrides, arguments.batch, size, device, arguments.seconds)
        cells = []
        for switches in SWITCHES.values():
            scores, switched = scores_and_step(
                [*overrides, *switches], arguments.batch, size, device, arguments.seconds
            )
            difference = ((scores - plain).abs().max() / plain.abs().max()).item()
            cells.append(f"{difference:.0e}  time x {switched / seconds:.2f}")
        print(
            f"{network + f' at {size}':34} {1000 * seconds:6.0f} ms  " + "  ".join(f"{cell:>24}" for cell in cells),
            flush=True,
        )


if __name__ == "__main__":
    main()
