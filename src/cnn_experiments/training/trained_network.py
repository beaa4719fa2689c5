"""A trained network and all that belongs to it, from a run's directory or a checkpoint."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnn_experiments.analysis.probe import training_mode
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.instantiate import attribute_errors_to
from cnn_experiments.config.stored_settings import used_settings
from cnn_experiments.console import relative_path
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.facts import DataFacts
from cnn_experiments.data.missing_images import MissingImages
from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.runs.directory import BEST_CHECKPOINT, CHECKPOINTS, LAST_CHECKPOINT
from cnn_experiments.runs.fingerprint import run_id, upgrade_settings
from cnn_experiments.runs.records import find_runs
from cnn_experiments.runs.regular_file import is_regular_file, reading_problem
from cnn_experiments.runs.results import RESULTS_FILE, RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.training.build import MEMORY_FORMATS, build_data, build_model, without_source
from cnn_experiments.training.execution import AUTO
from cnn_experiments.training.stored_checkpoint import (
    CheckpointError,
    StoredCheckpoint,
    load_state,
    loss_state,
    network_weights,
    read_checkpoint,
)

_WANTED = "must be a run's directory or a checkpoint"


@dataclass(frozen=True)
class TrainedNetwork:
    """What a checkpoint holds, ready for use."""

    checkpoint: Path
    """The file: best.ckpt of a run's directory, or the file that was named."""
    directory: Path
    """The directory of the run, or of the file if it is in no run's directory."""
    settings: Mapping[str, Any]
    """All settings of the run, nested, with what may be typed for this command."""
    run_id: str
    """The hash of the settings that change the result of the run."""
    epoch: int
    """The epoch after which the checkpoint was written, from 1."""
    data: ImageDataModule
    """The data module of the run; no image is loaded yet."""
    network: nn.Module
    """The network in evaluation mode, with 32-bit weights on the CPU."""
    loss_state: Mapping[str, Tensor]
    """The parameters and buffers of the loss, by name; most losses have none."""

    @property
    def results(self) -> RunResults | None:
        """Return the results of the run, or None if they are not beside the checkpoint."""
        return _read_results(self.directory, self.run_id)

    def logits(self, images: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Return the logits of images, computed with 32-bit numbers in batches on a device, where the network moves to.

        Args:
            images: uint8 (N, channels, native_size, native_size), as the data set stores them.
            device: such as `cpu` or `cuda`.

        Returns:
            float32 (N, num_classes), on the CPU.
        """
        network = self.network.to(device)
        with torch.inference_mode(), training_mode(network, training=False):
            batches = [
                network(self.data.preprocessing(batch.to(device))).float().cpu()
                for batch in images.split(self.data.batch_size)
            ]
        return torch.cat(batches) if batches else torch.empty(0, self.data.classes)


def load_trained_networks(configs: Sequence[ComposedConfig], free_keys: Collection[str]) -> list["TrainedNetwork"]:
    """Return the network of each configuration, before anything is done with one of them.

    Raises:
        ConfigError: as in `load_trained_network`, or several would write into one directory.
    """
    directories = [config.settings["task"]["to"] for config in configs]
    if repeated := [path for path in directories if path is not None and directories.count(path) > 1]:
        raise ConfigError("task.to", repeated[0], problem="must be null, or another one for each of several networks")
    return [load_trained_network(config, free_keys) for config in configs]


def load_trained_network(config: ComposedConfig, free_keys: Collection[str] = ()) -> TrainedNetwork:
    """Return the network that `ckpt_path` names, built from the settings that its checkpoint holds.

    Nothing in the checkpoint is executed, and only classes and functions are built that a file of the configuration
    names.

    Args:
        config: what was typed.
        free_keys: settings that may be typed and change nothing of what was trained.

    Raises:
        ConfigError: there is no such checkpoint, it is damaged, another program wrote it, or a setting that was typed
            contradicts its run.
    """
    with config.error_context():
        checkpoint, stored = read_network_checkpoint(Path(config.settings["ckpt_path"]), "ckpt_path")
        settings = without_source(used_settings(stored.settings, config, free_keys), freezes=False)
        identity = run_id(upgrade_settings(stored.settings))
        directory = _directory_of(checkpoint)
        if settings["memory_format"] == AUTO:
            results = _read_results(directory, identity)
            chosen = results.memory_format if results else None
            settings = {**settings, "memory_format": chosen if chosen in MEMORY_FORMATS else AUTO}
        data = _build_data(settings, stored, checkpoint)
        network = build_model(settings).to(memory_format=MEMORY_FORMATS[settings["memory_format"]])
        try:
            load_state(network, network_weights(stored))
            stored_loss_state = loss_state(stored)
        except CheckpointError as error:
            raise ConfigError("ckpt_path", relative_path(checkpoint), problem=str(error)) from error
    return TrainedNetwork(
        checkpoint=checkpoint,
        directory=directory,
        settings=settings,
        run_id=identity,
        epoch=stored.num_epochs,
        data=data,
        network=network.eval(),
        loss_state=stored_loss_state,
    )


def _read_results(directory: Path, identity: str) -> RunResults | None:
    """Return the results in a directory if they are those of the run with this identity."""
    try:
        results = RunResults.load(directory)
    except (OSError, ValueError):
        return None
    return results if results.identity in (None, identity) else None


def _build_data(settings: Mapping[str, Any], stored: StoredCheckpoint, checkpoint: Path) -> ImageDataModule:
    """Return the data module of a run, or what its checkpoint has of it if the images are not here or have changed."""
    own = settings["data"]
    try:
        state = stored.data_facts
        facts = None if state is None else DataFacts.from_state(state, own.get("channels"), own.get("classes"))
    except ValueError as error:
        problem = f"the facts of its data set are damaged: {error}"
        raise ConfigError("ckpt_path", relative_path(checkpoint), problem=problem) from error
    try:
        data = build_data(settings)
    except ConfigError as error:
        parameters = inspect.signature(ImageDataModule).parameters
        required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
        if facts is None or not required <= own.keys():
            raise
        with attribute_errors_to("data", own):
            return MissingImages(facts, error, **{name: own[name] for name in parameters.keys() & own.keys()})
    if facts is not None:
        data.use_facts(facts)
    return data


def read_network_checkpoint(path: Path, key: str) -> tuple[Path, StoredCheckpoint]:
    """Return the checkpoint of the tested network that a path names, and its content.

    Args:
        path: a run's directory or a checkpoint.
        key: the setting that names it.

    Raises:
        ConfigError: there is no such checkpoint, it is damaged, or another program wrote it.
    """
    checkpoint = _find_checkpoint(path, key)
    return checkpoint, _read(checkpoint, key)


def _find_checkpoint(path: Path, key: str) -> Path:
    """Return the file that a run's directory or a path names."""
    checkpoints = path / CHECKPOINTS
    try:
        if not path.is_dir():
            return path
        if is_regular_file(checkpoints / BEST_CHECKPOINT):
            return checkpoints / BEST_CHECKPOINT
        is_run = is_regular_file(path / RESULTS_FILE)
        is_completed = RunState.read(path).status == Status.COMPLETED
        if is_completed and is_regular_file(checkpoints / LAST_CHECKPOINT):
            return checkpoints / LAST_CHECKPOINT  # which was tested after best.ckpt had been lost
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(path, key, error) from error
    if is_run:
        reason = "it was removed" if is_completed else "it is written when the first epoch ends"
        problem = f"this run has no {CHECKPOINTS}/{BEST_CHECKPOINT}: {reason}"
        raise ConfigError(key, relative_path(path), problem=problem)
    problem = f"{_WANTED}; this directory is neither"
    raise ConfigError(key, relative_path(path), problem=problem, suggestion=_network_below(path))


def _network_below(path: Path) -> str | None:
    """Return a run in a directory that holds several, such as a sweep's, or a checkpoint in it."""
    with suppress(ConfigError):
        runs, _ = find_runs([path])
        if runs:
            return str(relative_path(runs[0].directory))
    checkpoint = next(iter(sorted(path.glob("*.ckpt"))), None)
    return str(relative_path(checkpoint)) if checkpoint else None


def _missing(path: Path, key: str) -> ConfigError:
    """Return the error for a path at which there is nothing, with the nearest one: only one part of it may differ."""
    *parents, _ = [path, *path.parents]
    nearest = None
    for place in parents:
        if place.parent.is_dir():
            name = suggest(place.name, [entry.name for entry in place.parent.iterdir()])
            candidate = place.parent / name / path.relative_to(place) if name else None
            nearest = str(relative_path(candidate)) if candidate and candidate.exists() else None
            break
    return ConfigError(key, relative_path(path), problem=f"{_WANTED}; there is nothing", suggestion=nearest)


def _read(checkpoint: Path, key: str) -> StoredCheckpoint:
    try:
        return read_checkpoint(checkpoint)
    except CheckpointError as error:
        problem = f"must be a checkpoint of this program: {error}"
        raise ConfigError(key, relative_path(checkpoint), problem=problem) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(checkpoint.absolute(), key) from error
    except (OSError, ValueError) as error:
        raise _unreadable(checkpoint, key, error) from error


def _unreadable(path: Path, key: str, error: OSError | ValueError) -> ConfigError:
    return ConfigError(key, relative_path(path), problem=f"could not be read: {reading_problem(error)}")


def _directory_of(checkpoint: Path) -> Path:
    """Return the run's directory of `checkpoints/best.ckpt`, or the directory of a file elsewhere."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == CHECKPOINTS else folder
