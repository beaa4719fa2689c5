"""Tests of building the parts of a run from settings."""

import pytest
import torch

from cnn_experiments.config.sources import CONF, find_options
from cnn_experiments.training.build import build_classifier, build_data, build_trainer
from tests.conftest import PUBLISHED_DATA, compose_settings


@pytest.mark.parametrize("data", PUBLISHED_DATA)
def test_every_class_has_a_name_and_a_logit(data: str) -> None:
    settings = compose_settings(f"data={data}")
    module = build_data(settings)
    classifier = build_classifier(settings, module)
    assert len(module.class_names) == module.classes
    assert classifier(torch.zeros(2, module.channels, module.size, module.size)).shape == (2, module.classes)


@pytest.mark.parametrize("trainer", sorted(set(find_options("trainer", [CONF])) - {"gpu"}))
def test_every_trainer_has_the_configured_number_of_epochs(trainer: str) -> None:
    settings = compose_settings(f"trainer={trainer}")
    assert build_trainer(settings, logger=False).max_epochs == settings["trainer"]["max_epochs"]


def test_performance_settings_reach_the_classifier() -> None:
    settings = compose_settings("compile=true", "memory_format=channels_last", "model=nin", "data.resize=67")
    classifier = build_classifier(settings, build_data(settings))
    assert classifier.model.features[2][0].weight.is_contiguous(memory_format=torch.channels_last)
    classifier.configure_model()
    assert classifier.model._compiled_call_impl is not None
    torch.compiler.reset()
