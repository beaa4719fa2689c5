"""Fine-tuning: the weights of a run as the start of another one, and parts of the network that stay as they are."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.console import relative_path
from cnn_experiments.errors import suggest
from cnn_experiments.runs.fingerprint import run_id, upgrade_settings
from cnn_experiments.training.stored_checkpoint import CheckpointError, network_weights
from cnn_experiments.training.trained_network import read_network_checkpoint


@dataclass(frozen=True)
class Origin:
    """Where the first weights of a network come from."""

    checkpoint: Path
    run_id: str
    """The hash of the settings that change the result of the run that wrote the checkpoint."""
    epoch: int
    """The epoch after which the checkpoint was written, from 1."""
    new_layers: tuple[str, ...]
    """The layers of the head whose weights are not those of the checkpoint."""


_origins: WeakKeyDictionary[nn.Module, Origin] = WeakKeyDictionary()


def origin_of(network: nn.Module) -> Origin | None:
    """Return where the first weights of a network come from, if a checkpoint was read for them."""
    return _origins.get(network)


def from_checkpoint(network: nn.Module, path: str | None, head: str, freeze: Sequence[str]) -> None:
    """Give a network the weights of a run, and freeze parts of it.

    All weights of the body must fit by name and shape. In the head, the layers that fit get the weights of the run, and
    the others keep those that their constructors have drawn. The head is the module `head`, and in a network without
    one the last layer with parameters.

    Args:
        network: changed in place. On the device `meta` names and shapes are checked alone.
        path: a run's directory or a checkpoint; None if the network gets its weights from a checkpoint of its own run.
        head: `keep`, or `new` to leave out the weights of the head.
        freeze: names of modules or parameters. What they name requires no gradient and computes as in the evaluation:
            batch normalization keeps its statistics, dropout is off.

    Raises:
        ConfigError: there is no checkpoint, or it is damaged.
        ArgumentError: the weights do not fit, a name is unknown, or nothing is left to train.
    """
    if path is not None:
        _load(network, path, uses_head=head == "keep")
    _freeze(network, freeze)


def _load(network: nn.Module, path: str, uses_head: bool) -> None:
    checkpoint, stored = read_network_checkpoint(Path(path), "init.path")
    try:
        weights = network_weights(stored)
    except CheckpointError as error:
        raise ArgumentError("path", path, str(error)) from error
    own: dict[str, Tensor] = network.state_dict()
    head = _head_name(network)
    differences = _differences(weights, own)
    if in_body := [difference for name, difference in differences.items() if not _is_part(name, head)]:
        num_further = len(in_body) - 1
        plural = "s" if num_further > 1 else ""
        further = f", and {num_further} more difference{plural}" if num_further else ""
        problem = f"does not fit this network outside of its head ({head}): {in_body[0]}{further}"
        raise ArgumentError("path", path, problem)
    left_out = {_layer_of(name) for name in differences}
    if not uses_head:
        left_out |= {_layer_of(name) for name in own if _is_part(name, head)}
    fitting = [name for name in own if _layer_of(name) not in left_out]
    if not fitting:
        raise ArgumentError("path", path, f"has no weights for this network outside of its head ({head})")
    with torch.no_grad():
        for name in fitting:
            if not own[name].is_meta:
                own[name].copy_(weights[name])
    new_layers = tuple(dict.fromkeys(_layer_of(name) for name in own if _layer_of(name) in left_out))
    settings = upgrade_settings(stored.settings)
    _origins[network] = Origin(relative_path(checkpoint), run_id(settings), stored.num_epochs, new_layers)


def _differences(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, str]:
    """Return what does not fit, by the name of the weights."""
    differences = {name: f"it lacks {name}" for name in own if name not in weights}
    differences |= {name: f"it also has {name}" for name in weights if name not in own}
    for name in own.keys() & weights.keys():
        shape, own_shape = tuple(weights[name].shape), tuple(own[name].shape)
        if shape != own_shape:
            differences[name] = f"{name} has the shape {shape}, not {own_shape}"
    order = {name: place for place, name in enumerate([*own, *weights])}
    return dict(sorted(differences.items(), key=lambda item: order[item[0]]))


def _head_name(network: nn.Module) -> str:
    if isinstance(getattr(network, "head", None), nn.Module):
        return "head"
    return [name for name, module in network.named_modules() if list(module.parameters(recurse=False))][-1]


def _layer_of(name: str) -> str:
    return name.rpartition(".")[0]


def _is_part(name: str, whole: str) -> bool:
    return name == whole or name.startswith(f"{whole}.")


def _freeze(network: nn.Module, names: Sequence[str]) -> None:
    modules = dict(network.named_modules())
    parameters = dict(network.named_parameters())
    for frozen in names:
        if frozen not in {*modules, *parameters} - {""}:
            problem = f"{frozen} is no part of this network"
            raise ArgumentError("freeze", list(names), problem, suggestion=suggest(frozen, {**modules, **parameters}))
        for name, parameter in parameters.items():
            if _is_part(name, frozen):
                parameter.requires_grad = False
        for name, module in modules.items():
            if _is_part(name, frozen):
                _keep_in_evaluation_mode(module)
    if names and not any(parameter.requires_grad for parameter in parameters.values()):
        raise ArgumentError("freeze", list(names), "must leave parameters to train")


def _keep_in_evaluation_mode(module: nn.Module) -> None:
    module.training = False
    vars(module)["train"] = MethodType(_ignore_mode, module)
    # Lightning warns of modules in evaluation mode.
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training")


def _ignore_mode(module: nn.Module, mode: bool = True) -> nn.Module:  # noqa: ARG001
    return module
