"""Tests of the table of networks: it has every network, and its figures are those of the papers and the course."""

import pytest
from network_table import COMMANDS, format_millions, model_cells

from cnn_experiments.config.sources import CONF, find_options
from tests.conftest import ROOT


def test_table_has_every_network_of_this_package() -> None:
    of_other_packages = {"timm", "torchvision"}
    networks = {f"model={name}" for name in find_options("model", [CONF]) if name not in of_other_packages}
    assert {command.partition(" ")[0] for command in COMMANDS} == networks


@pytest.mark.parametrize(
    "cells",
    [
        ["`model=lenet`", "44,426", "0.28", "5.5", "34", "62", "16"],
        ["`model=lenet model.padding=2`", "61,706", "0.42", "6.1", "36", "64", "12"],
        ["`model=nin`", "1,992,166", "", "108", "762", "1,469", "67"],  # an image of 28 pixels is too small
        ["`model=resnet18 model.version=v1`", "11,175,370", "33", "319", "1,735", "3,253", "1"],
    ],
)
def test_rows(cells: list[str]) -> None:
    assert model_cells(cells[0].strip("`")) == cells


def test_millions_have_few_digits() -> None:
    assert [format_millions(count) for count in (281_640, 5_544_840, 33_010_944, 7_547_232_256)] == [
        "0.28", "5.5", "33", "7,547",
    ]  # fmt: skip


def test_page_has_the_table() -> None:
    assert "{include} ../generated/networks/table.md" in (ROOT / "docs" / "reference" / "networks.md").read_text()
