"""Tests of the keys of callbacks in checkpoints."""

from cnn_experiments.training import callbacks


def test_state_keys_do_not_depend_on_class_names() -> None:
    state_keys = {
        name: getattr(callbacks, name).state_key
        for name in callbacks.__all__
        if "state_dict" in vars(getattr(callbacks, name))
    }
    assert state_keys == {
        "BestAndLastCheckpoint": "BestAndLast",
        "History": "Recorder",
        "RNGState": "RandomState",
        "StopReason": "StopReason",
        "Throughput": "Throughput",
    }
