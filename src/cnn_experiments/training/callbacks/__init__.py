"""What happens around the steps of a run: Lightning callbacks."""

from cnn_experiments.training.callbacks.checkpoint import BestAndLast
from cnn_experiments.training.callbacks.history import Recorder
from cnn_experiments.training.callbacks.nan_guard import DivergenceGuard
from cnn_experiments.training.callbacks.rng_state import RandomState
from cnn_experiments.training.callbacks.stop_on_signal import StopOnSignal
from cnn_experiments.training.callbacks.throughput import Throughput

__all__ = ["BestAndLast", "DivergenceGuard", "RandomState", "Recorder", "StopOnSignal", "Throughput"]
