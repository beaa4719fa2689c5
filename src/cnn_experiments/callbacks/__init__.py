"""What happens around the steps of a run: Lightning callbacks."""

from cnn_experiments.callbacks.checkpoints import BestAndLast
from cnn_experiments.callbacks.divergence import DivergenceGuard
from cnn_experiments.callbacks.random_state import RandomState
from cnn_experiments.callbacks.recorder import Recorder
from cnn_experiments.callbacks.stop import StopOnSignal
from cnn_experiments.callbacks.throughput import Throughput

__all__ = ["BestAndLast", "DivergenceGuard", "RandomState", "Recorder", "StopOnSignal", "Throughput"]
