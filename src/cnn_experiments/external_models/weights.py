"""Weights that another package has trained, and downloads by itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cnn_experiments.errors import RunFailedError, error_message


def are_loaded(pretrained: bool) -> bool:
    """Return whether weights are needed: a network on the device `meta`, which is only looked at, has none."""
    return pretrained and torch.get_default_device().type != "meta"


@contextmanager
def loading_weights(name: str, package: str) -> Iterator[None]:
    """Turn whatever the block raises into the failure of a run in one line.

    Raises:
        RunFailedError: the weights could not be downloaded or loaded.
    """
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)  # it warns of each request that it repeats
    try:
        yield
    except Exception as error:  # each package raises errors of its own, and those of its client
        problem = f"the weights of {package}'s {name} could not be loaded: {error_message(error)}"
        raise RunFailedError(f"model.pretrained=true: {problem}") from error
    finally:
        client.setLevel(level)
