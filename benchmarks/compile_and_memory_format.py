"""Measure what `compile=true` and `memory_format=channels_last` change: rounding of the logits, time of a step.

    python benchmarks/compile_and_memory_format.py [--batch 32] [--seconds 3] model=resnet18,data.resize=28 ...

Each argument is a network with its overrides, joined by commas. Without arguments, every network is measured, at its
smallest image size but at least 32 pixels. Prints one line per network: the largest difference of the eval-mode logits
from those of the default network, relative to the largest logit, and the ratio of the median time of a training step to
that of the default network.
"""

import argparse
import statistics
import time

import torch
from torch.nn.functional import cross_entropy

from cnn_experiments.analysis.probe import smallest_size
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.sources import CONF
from cnn_experiments.runtime.memory import disable_malloc_trim
from cnn_experiments.training.build import build_classifier, build_data

VARIANTS = {
    "channels_last": ["memory_format=channels_last"],
    "compile": ["compile=true"],
    "both": ["compile=true", "memory_format=channels_last"],
}


def measure(
    overrides: list[str], batch_size: int, size: int, device: str, seconds: float
) -> tuple[torch.Tensor, float]:
    """Return the eval-mode logits of one batch before training, and the median seconds of a training step."""
    torch.manual_seed(0)
    settings = ComposedConfig.from_overrides(*overrides).settings
    data = build_data(settings)
    classifier = build_classifier(settings, data).to(device)
    classifier.configure_model()
    images = torch.rand(batch_size, data.channels, size, size, device=device)
    labels = torch.arange(batch_size, device=device) % data.classes
    optimizer = torch.optim.SGD(classifier.model.parameters(), lr=0.001)
    classifier.eval()
    with torch.no_grad():
        logits = classifier(images).float().cpu()
    classifier.train()

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(classifier(images), labels).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):  # compilation and first allocations
        step()
    durations: list[float] = []
    while sum(durations) < seconds or len(durations) < 5:
        started = time.perf_counter()
        step()
        durations.append(time.perf_counter() - started)
    return logits, statistics.median(durations)


def main() -> None:
    """Print one line per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    disable_malloc_trim()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(
        f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads, batch {arguments.batch}", flush=True
    )
    print(f"{'':34} {'default':>9}  " + "  ".join(f"{name:>24}" for name in VARIANTS), flush=True)
    for network in arguments.networks or [f"model={path.stem}" for path in sorted((CONF / "model").glob("*.yaml"))]:
        overrides = [*network.split(","), "init=kaiming"]  # with torch's default, the logits of deep networks vanish
        settings = ComposedConfig.from_overrides(*overrides).settings
        with torch.device("meta"):
            model = build_classifier(settings, build_data(settings)).model
        size = settings["data"]["resize"] or max(32, smallest_size(model, 1, 512, "meta") or 0)
        default_logits, default_seconds = measure(overrides, arguments.batch, size, device, arguments.seconds)
        cells = []
        for variant in VARIANTS.values():
            logits, seconds = measure([*overrides, *variant], arguments.batch, size, device, arguments.seconds)
            difference = ((logits - default_logits).abs().max() / default_logits.abs().max()).item()
            cells.append(f"{difference:.0e}  time x {seconds / default_seconds:.2f}")
        print(
            f"{network + f' at {size}':34} {1000 * default_seconds:6.0f} ms  "
            + "  ".join(f"{cell:>24}" for cell in cells),
            flush=True,
        )


if __name__ == "__main__":
    main()
