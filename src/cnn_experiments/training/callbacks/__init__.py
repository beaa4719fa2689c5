"""Lightning callbacks: what happens around the training steps of a run."""

from cnn_experiments.training.callbacks.batch_picture import BatchPicture
from cnn_experiments.training.callbacks.checkpoint import BestAndLastCheckpoint, CheckpointFiles
from cnn_experiments.training.callbacks.history import History
from cnn_experiments.training.callbacks.notebook_progress_bar import NotebookProgressBar
from cnn_experiments.training.callbacks.prediction_recorder import PredictionRecorder
from cnn_experiments.training.callbacks.rng_state import RNGState
from cnn_experiments.training.callbacks.stop_on_signal import StopOnSignal
from cnn_experiments.training.callbacks.terminate_on_nan import TerminateOnNaN
from cnn_experiments.training.callbacks.throughput import Throughput
from cnn_experiments.training.callbacks.training_limits import TrainingLimits

# Keys in checkpoints do not depend on class names: every callback with a state has an explicit `state_key`, which stays
# when the class is renamed, as do the keys within the state.

# History, BestAndLastCheckpoint and StopOnSignal are called last and in this order, because Lightning moves callbacks
# of the type `Checkpoint` to the end: the history needs all metrics of the epoch, the checkpoint holds the history, and
# only what is saved may be interrupted. One callback that does all three would store the states of the first two under
# one key, and checkpoints that have them under two keys could no longer be resumed.

__all__ = [
    "BatchPicture",
    "BestAndLastCheckpoint",
    "CheckpointFiles",
    "History",
    "NotebookProgressBar",
    "PredictionRecorder",
    "RNGState",
    "StopOnSignal",
    "TerminateOnNaN",
    "Throughput",
    "TrainingLimits",
]
