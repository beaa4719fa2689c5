"""Tests that recipes follow their sources, and that their headers and docs/results.md are up to date."""

import functools
import runpy
from typing import Any

import pytest
import torch

from cnn_experiments.analysis.cost import count_parameters
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.sources import CONF
from cnn_experiments.report.published.reference import load_recipes
from cnn_experiments.runs.fingerprint import flatten
from cnn_experiments.tasks import preflight
from cnn_experiments.training.build import build_data, build_model
from tests.conftest import ROOT

SHARED = {"best", "best_adamw", "best_sgd", "book/adam", "book/five_epochs", "book/protocol", "book/sgd"}

FAST = {"fast/cpu90", "fast/gpu94"}
"""Recipes without a published counterpart; `tests/docs/test_fast_page.py` has their results."""

# Image size in pixels, batch size, learning rate, epochs, parameters.
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


@functools.cache
def compose_recipe(name: str) -> ComposedConfig:
    """Compose a recipe and validate its settings, as the command does; once for all tests."""
    recipe = ComposedConfig.from_overrides(f"experiment={name}")
    recipe.validate()
    return recipe


def settings_of(name: str) -> dict[str, Any]:
    return flatten(compose_recipe(name).settings)


def test_every_recipe_file_is_compared_with_published_results() -> None:
    directory = CONF / "experiment"
    names = {path.relative_to(directory).with_suffix("").as_posix() for path in directory.rglob("*.yaml")}
    assert names - SHARED - FAST == set(load_recipes())
    assert {f"book/{name}" for name in BOOK} == {name for name in load_recipes() if name.startswith("book/")}


@pytest.mark.parametrize("name", [*load_recipes(), *sorted(FAST)])
def test_recipe_passes_validation_and_its_network_trains_on_its_images(name: str) -> None:
    recipe = compose_recipe(name)
    assert recipe.choices["experiment"] == name
    preflight(recipe)


@pytest.mark.parametrize("name", BOOK)
def test_book_recipe_has_the_settings_of_its_source(name: str) -> None:
    settings = settings_of(f"book/{name}")
    recipe = compose_recipe(f"book/{name}").settings
    data = build_data(recipe)
    with torch.device("meta"):
        num_parameters = count_parameters(build_model(recipe))
    assert (
        data.size,
        data.batch_size,
        settings["optimizer.lr"],
        settings["trainer.max_epochs"],
        num_parameters,
    ) == BOOK[name]
    assert data.protocol.name == "book"
    uses_adam = name.startswith("adam/")
    assert settings["optimizer._target_"] == f"torch.optim.{'Adam' if uses_adam else 'SGD'}"
    assert settings["init._target_"].rpartition(".")[2] == ("default" if uses_adam else "xavier")
    assert settings["scheduler._target_"].endswith(".constant")
    assert recipe["augment"] == {}
    assert settings["data.normalize"] is False
    assert settings["optimizer.weight_decay"] == 0
    assert settings.get("optimizer.momentum", 0) == 0
    assert settings["loss.label_smoothing"] == 0
    if "/lenet" in name:
        assert settings["model.pool"] == ("avg" if name.startswith("sgd/") else "max")
        norms = {"lenet": "none", "lenet_bn": "batch", "lenet_bn_scratch": "scratch"}
        assert settings["model.norm"] == norms[name.partition("/")[2]]
    if name.endswith("alexnet"):
        assert settings["model.padding"] == (1 if name.startswith("sgd/") else 0)


@pytest.mark.parametrize("name", [name for name in load_recipes() if name.startswith("best/")])
def test_best_recipe_keeps_the_network_of_the_book_and_holds_out_a_validation_split(name: str) -> None:
    book_name = name.replace("best/", "book/sgd/")
    settings, book_settings = settings_of(name), settings_of(book_name)
    model_keys = {key for key in book_settings if key.startswith("model.")}
    assert {key: settings[key] for key in model_keys} == {key: book_settings[key] for key in model_keys}
    data, book_data = (build_data(compose_recipe(recipe).settings) for recipe in (name, book_name))
    assert data.size == book_data.size
    assert data.protocol.name == "holdout"
    assert settings["trainer.max_epochs"] <= 20
    assert settings["scheduler._target_"].endswith((".onecycle", ".cosine"))


@pytest.mark.parametrize(("name", "num_parameters"), [("fast/cpu90", 79_466), ("fast/gpu94", 4_902_090)])
def test_fast_recipe_holds_images_out_and_evaluates_once(name: str, num_parameters: int) -> None:
    settings = settings_of(name)
    recipe = compose_recipe(name).settings
    assert build_data(recipe).protocol.name == "holdout"
    assert settings["trainer.check_val_every_n_epoch"] == settings["trainer.max_epochs"]
    with torch.device("meta"):
        assert count_parameters(build_model(recipe)) == num_parameters
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert text.startswith(f"# @package _global_\n# python -m cnn_experiments experiment={name}\n")
    assert "\n# Reached: " in text


def test_recipe_headers_and_results_page_are_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "update_results.py"))
    comparison = script["compare_with_published"](script["find_runs"]([script["RUNS"]])[0])
    assert script["RESULTS"].read_text() == script["results_page"](comparison)
    assert script["README_TABLE"].search(script["README"].read_text())[0] == script["readme_table"](comparison)
    assert comparison.excluded == []
    for name, recipe in load_recipes().items():
        results = [result for result in comparison.results if result.recipe == recipe]
        text = (CONF / "experiment" / f"{name}.yaml").read_text()
        assert text.startswith(script["recipe_header"](recipe, results)), name
