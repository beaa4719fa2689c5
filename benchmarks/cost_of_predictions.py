"""Measure what predictions.npz and TensorBoard's pictures cost, as a share of the run that writes them.

    python benchmarks/cost_of_predictions.py [OVERRIDES]

Trains LeNet for ten epochs, or what the overrides say, in this process. Prints the seconds of the first batch's
picture and of everything after the test, and their share of the seconds of training and test. Needs Fashion-MNIST in
data/ or in the directory that CNN_EXPERIMENTS_DATA names.
"""

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.runs.directory import PREDICTIONS_FILE, RunDirectory
from cnn_experiments.tasks import train as train_module
from cnn_experiments.training.callbacks import BatchPicture

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def main() -> None:
    """Train once and print the shares."""
    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

        return call

    run = train_module._TrainingRun
    with (
        tempfile.TemporaryDirectory() as directory,
        patch.object(BatchPicture, "on_train_batch_start", timed("first batch", BatchPicture.on_train_batch_start)),
        patch.object(run, "_write_predictions", timed("after the test", run._write_predictions)),
        patch.object(Predictions, "save", timed("of it predictions.npz", Predictions.save)),
        patch.object(train_module, "log_predictions", timed("of it pictures", train_module.log_predictions)),
    ):
        train_module.train([ComposedConfig.from_overrides(*sys.argv[1:])], RunDirectory(Path(directory)))
        results = json.loads((Path(directory) / "results.json").read_text())
        size = (Path(directory) / PREDICTIONS_FILE).stat().st_size
    total = results["seconds"]["fit"] + results["seconds"]["test"]
    print(f"training and test {total:.2f} s, {results['epochs']} epochs, predictions.npz {size / 2**20:.2f} MiB")
    for name, value in seconds.items():
        print(f"{name:>22} {value:6.3f} s  {value / total:7.2%}")
    extra = seconds["first batch"] + seconds["after the test"]
    print(f"{'all':>22} {extra:6.3f} s  {extra / (total - seconds['first batch']):7.2%}")


if __name__ == "__main__":
    main()
