"""The recipes in conf/experiment are what was published, and their headers and docs/results.md what was measured."""

import runpy
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cnn_experiments.analysis.cost import count_parameters
from cnn_experiments.config.hydra_errors import CONF
from cnn_experiments.config.schema import flat, plain
from cnn_experiments.report.published.reference import recipes
from cnn_experiments.training.build import build_data, build_model
from tests.conftest import ROOT, configured

Command = Callable[..., "subprocess.CompletedProcess[str]"]

BASES = {"best", "best_adamw", "best_sgd", "book/adam", "book/five_epochs", "book/protocol", "book/sgd"}

# Pixels, batch size, learning rate, epochs, parameters.
BOOK = {
    "adam/lenet": (28, 256, 1e-3, 5, 44_426),
    "adam/lenet_bn_scratch": (28, 256, 1e-3, 5, 44_878),
    "adam/lenet_bn": (28, 256, 1e-3, 5, 44_878),
    "adam/alexnet": (224, 256, 1e-3, 5, 46_764_746),
    "adam/alexnet_batch128": (224, 128, 1e-3, 5, 46_764_746),
    "adam/vgg11_quarter": (224, 256, 1e-3, 5, 8_060_234),
    "adam/vgg11_eighth": (224, 64, 1e-3, 5, 2_018_346),
    "adam/nin": (224, 256, 2e-3, 5, 1_992_166),
    "adam/nin_batch128": (224, 128, 2e-3, 5, 1_992_166),
    "adam/googlenet": (96, 128, 1e-3, 5, 5_977_530),
    "adam/resnet18": (28, 256, 1e-3, 5, 11_178_378),
    "adam/resnet18_96": (96, 256, 1e-3, 5, 11_178_378),
    "adam/resnet18_96_one_block": (96, 256, 1e-3, 5, 4_905_738),
    "adam/densenet": (28, 256, 1e-3, 5, 758_226),
    "adam/densenet_96": (96, 256, 1e-3, 5, 758_226),
    "sgd/lenet": (28, 256, 0.9, 10, 61_706),
    "sgd/lenet_bn_scratch": (28, 256, 1.0, 10, 44_878),
    "sgd/lenet_bn": (28, 256, 1.0, 10, 44_878),
    "sgd/alexnet": (224, 128, 0.01, 10, 46_764_746),
    "sgd/vgg11": (224, 128, 0.05, 10, 43_093_322),
    "sgd/nin": (224, 128, 0.1, 10, 1_992_166),
    "sgd/googlenet": (96, 128, 0.1, 10, 5_977_530),
    "sgd/resnet18": (96, 256, 0.05, 10, 11_178_378),
    "sgd/densenet": (96, 256, 0.1, 10, 758_226),
    "sgd5/lenet": (28, 256, 0.9, 5, 44_426),
    "sgd5/lenet_bn_scratch": (28, 256, 1.0, 5, 44_878),
    "sgd5/lenet_bn": (28, 256, 1.0, 5, 44_878),
    "sgd5/alexnet": (224, 128, 0.01, 5, 46_764_746),
    "sgd5/vgg11": (224, 128, 0.05, 5, 43_093_322),
    "sgd5/nin": (224, 128, 0.1, 5, 1_992_166),
    "sgd5/googlenet": (96, 128, 0.1, 5, 5_977_530),
    "sgd5/resnet18": (96, 256, 0.05, 5, 11_178_378),
    "sgd5/densenet": (96, 256, 0.1, 5, 758_226),
}


def settings_of(recipe: str) -> dict[str, Any]:
    return flat(plain(configured(f"experiment={recipe}")))


def test_every_recipe_has_its_row_in_the_ledger() -> None:
    folder = CONF / "experiment"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    assert files - BASES == set(recipes())
    assert {f"book/{name}" for name in BOOK} == {name for name in recipes() if name.startswith("book/")}


def test_every_recipe_is_accepted(command: Command) -> None:
    done = command("-m", "task=inspect", f"experiment={','.join(recipes())}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(" experiment=") == len(recipes())


@pytest.mark.parametrize("name", BOOK)
def test_the_books_recipes_are_as_published(name: str) -> None:
    settings = settings_of(f"book/{name}")
    config = configured(f"experiment=book/{name}")
    data = build_data(config)
    with torch.device("meta"):
        count = count_parameters(build_model(config))
    found = (data.size, data.batch_size, settings["optimizer.lr"], settings["trainer.max_epochs"], count)
    assert found == BOOK[name]
    assert data.protocol == "book"
    adam = name.startswith("adam/")
    assert settings["optimizer._target_"] == f"torch.optim.{'Adam' if adam else 'SGD'}"
    assert settings["init._target_"].rpartition(".")[2] == ("default" if adam else "xavier")
    assert settings["scheduler._target_"].endswith(".constant")
    assert (settings["data.normalize"], settings["data.augment"]) == (False, "none")
    assert (
        settings["optimizer.weight_decay"] == settings.get("optimizer.momentum", 0) == settings["label_smoothing"] == 0
    )
    if "/lenet" in name:
        assert settings["model.pool"] == ("avg" if name.startswith("sgd/") else "max")
        expected = "none" if name.endswith("lenet") else "scratch" if name.endswith("scratch") else "batch"
        assert settings["model.norm"] == expected
    if name.endswith("alexnet"):
        assert settings["model.padding"] == (1 if name.startswith("sgd/") else 0)


@pytest.mark.parametrize("name", [name for name in recipes() if name.startswith("best/")])
def test_the_better_recipes_keep_the_network_and_an_honest_protocol(name: str) -> None:
    settings, books = settings_of(name), settings_of(name.replace("best/", "book/sgd/"))
    of_the_network = {key for key in books if key.startswith("model.")}
    assert {key: settings[key] for key in of_the_network} == {key: books[key] for key in of_the_network}
    config = configured(f"experiment={name}")
    assert build_data(config).size == build_data(configured(f"experiment={name.replace('best/', 'book/sgd/')}")).size
    assert build_data(config).protocol == "holdout"
    assert settings["trainer.max_epochs"] <= 20
    assert settings["scheduler._target_"].endswith((".onecycle", ".cosine"))


def test_headers_and_results_are_what_the_runs_say() -> None:
    docs = runpy.run_path(str(ROOT / "scripts" / "update_results.py"))
    made = docs["ledger"](docs["find"]([docs["RUNS"]])[0])
    assert docs["RESULTS"].read_text() == docs["page"](made)
    assert made.left_out == []
    for name, recipe in recipes().items():
        rows = [row for row in made.rows if row.recipe == recipe]
        assert (CONF / "experiment" / f"{name}.yaml").read_text().startswith(docs["header"](recipe, rows)), name
