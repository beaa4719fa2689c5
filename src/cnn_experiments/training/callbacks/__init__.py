"""Lightning callbacks: what happens around the training steps of a run."""

from cnn_experiments.training.callbacks.batch_picture import BatchPicture
from cnn_experiments.training.callbacks.checkpoint import BestAndLastCheckpoint, CheckpointFiles
from cnn_experiments.training.callbacks.device_stats import DeviceStats
from cnn_experiments.training.callbacks.early_stopping import EarlyStopping
from cnn_experiments.training.callbacks.history import History
from cnn_experiments.training.callbacks.notebook_progress_bar import NotebookProgressBar
from cnn_experiments.training.callbacks.prediction_recorder import PredictionRecorder
from cnn_experiments.training.callbacks.profiler import Profiler
from cnn_experiments.training.callbacks.rng_state import RNGState
from cnn_experiments.training.callbacks.stop_on_signal import StopOnSignal
from cnn_experiments.training.callbacks.stop_reason import StopReason
from cnn_experiments.training.callbacks.terminate_on_nan import TerminateOnNaN
from cnn_experiments.training.callbacks.throughput import Throughput
from cnn_experiments.training.callbacks.training_limits import TrainingLimits
from cnn_experiments.training.callbacks.weight_average import (
    ExponentialMovingAverage,
    StochasticWeightAverage,
    WeightAverage,
)

# Keys in checkpoints do not depend on class names: every callback with a state has an explicit `state_key`, which stays
# when the class is renamed, as do the keys within the state.

# StopReason, History, BestAndLastCheckpoint and StopOnSignal are called last and in this order, because Lightning moves
# callbacks of the type `Checkpoint` to the end and keeps their order. Those of the configuration come before, the
# history needs all metrics of the epoch, the checkpoint holds the reason and the history, and only what is saved may be
# interrupted. One callback that does all would store their states under one key, and checkpoints that have them under
# several keys could no longer be resumed.

__all__ = [
    "BatchPicture",
    "BestAndLastCheckpoint",
    "CheckpointFiles",
    "DeviceStats",
    "EarlyStopping",
    "ExponentialMovingAverage",
    "History",
    "NotebookProgressBar",
    "PredictionRecorder",
    "Profiler",
    "RNGState",
    "StochasticWeightAverage",
    "StopOnSignal",
    "StopReason",
    "TerminateOnNaN",
    "Throughput",
    "TrainingLimits",
    "WeightAverage",
]
