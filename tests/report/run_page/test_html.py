"""Tests of the page of a run, as a browser parses it."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_experiments.report.run_page.content import StoredRun
from cnn_experiments.report.run_page.html import render_run_page
from tests.predictions.stored_predictions import make_predictions
from tests.report.leaderboard.test_html import Page
from tests.report.leaderboard.test_untrusted_runs import CONTROL_CHARACTER, NAMES, NUMBERS, Elements, make_runs
from tests.stored_runs import MakeRun

CURVES = {
    "epoch": [1, 2],
    "val/acc": [0.5, 0.8],
    "val/loss": [1.0, 0.9],
    "train/acc": [0.6, 0.7],
    "train/loss": [1.0, 0.5],
}
STAGE = {"name": "features.0", "layers": "Conv2d", "shape": [6, 14, 14], "parameters": 25, "multiply_adds": 300}


def render(directory: Path) -> tuple[str, Page]:
    html = render_run_page(StoredRun.read(directory), "outputs/<mine>")
    return html, Page(html)


def test_page_of_a_completed_run_has_all_sections(make_run: MakeRun) -> None:
    directory = make_run("run", None, curves=CURVES, stages=[STAGE], tested_epoch=2)
    make_predictions().save(directory / "predictions.npz")
    html, page = render(directory)
    assert "<title>outputs/&lt;mine&gt;: run</title>" in html
    assert re.findall("<h[23]>(.*)</h[23]>", html) == [
        "Curves",
        "What it gets wrong",
        "Confusion matrix",
        "Classes",
        "The most confident mistakes",
        "Confidence",
        "Cost by stage",
        "Settings",
        "Environment",
        "Command",
    ]
    assert [caption.partition(":")[0] for caption in page.captions] == [
        "accuracy by epoch",
        "loss by epoch",
        "Reliability",
        "Coverage",
    ]
    assert html.count("<svg") == 4
    assert "2 of 6 test images are wrong." in html
    rows = [[cell.strip() for cell in row] for row in page.rows]
    assert ["cat", "1 50.0%", "1 50.0%", ""] in rows
    assert ["bird", "1.0000", "1.0000", "1.0000", "2"] in rows
    assert ["features.0", "Conv2d", "6x14x14", "25", "0.0%", "300", "0.1%"] in rows
    assert ["device", "cpu (AMD EPYC)"] in rows
    assert "missing" not in re.findall(r'<p class="(\w+)"', html)


def test_axis_of_one_epoch_has_its_number_alone(make_run: MakeRun) -> None:
    html, _ = render(make_run("run", None, curves={"epoch": [1], "val/acc": [0.5]}, tested_epoch=1))
    texts = re.findall(r">([^<>]+)</text>", html)
    assert texts[: texts.index("epoch")] == ["1"]


def test_page_shows_the_settings_that_differ_from_the_defaults(make_run: MakeRun) -> None:
    changed = {"experiment": "best/lenet", "trainer.max_epochs": 20, "data.normalize": True, "model.depths": [2, 2]}
    html, page = render(make_run("run", "best/lenet", changed_settings=changed))
    rows = [[cell.strip() for cell in row] for row in page.rows]
    for row in ["trainer.max_epochs", "20"], ["data.normalize", "true"], ["model.depths", "[2, 2]"]:
        assert row in rows
    assert "These differ from the defaults" in html
    html, _ = render(make_run("default", None, changed_settings={}))
    assert "All settings are the defaults." in html
    html, page = render(make_run("earlier", "best/lenet", seed=3))
    assert "Typed, or chosen by a sweep." in html
    assert ["seed", "3"] in [[cell.strip() for cell in row] for row in page.rows]


def test_page_loads_no_other_file(make_run: MakeRun) -> None:
    directory = make_run("run", None, curves=CURVES)
    make_predictions().save(directory / "predictions.npz")
    html, page = render(directory)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(
        r"url\((?!#)|@import|fetch\(|https?://(?!www\.w3\.org|purl\.org|creativecommons\.org|matplotlib\.org)", html
    )
    assert "<script" not in html
    assert "#010101" not in html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_mistakes_are_pictures_with_their_pixels(make_run: MakeRun) -> None:
    directory = make_run("run", None)
    make_predictions(size=28).save(directory / "predictions.npz")
    _, page = render(directory)
    pictures = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in page.sources]
    assert [(picture.size, set(np.asarray(picture).flat)) for picture in pictures] == [((28, 28), {3}), ((28, 28), {1})]


def test_cells_have_the_color_of_their_share(make_run: MakeRun) -> None:
    directory = make_run("run", None)
    make_predictions([0, 0, 0, 0], [0, 1, 1, 1]).save(directory / "predictions.npz")
    html, _ = render(directory)
    assert re.findall(r'<td style="background: ([^"]*)">(\d+)', html) == [
        ("rgb(59 130 196 / 0.375)", "1"),
        ("rgb(209 73 91 / 0.650)", "3"),
    ]


def test_many_classes_have_a_chart_instead_of_a_table(make_run: MakeRun) -> None:
    directory = make_run("run", None)
    labels = list(range(21))
    make_predictions(labels, labels, [f"class {number}" for number in labels]).save(directory / "predictions.npz")
    html, _ = render(directory)
    assert '<table class="confusion">' not in html
    assert 'aria-label="confusion matrix"' in html
    assert html.count("<svg") == 3


def test_page_of_a_run_without_any_other_file_says_what_is_missing(make_run: MakeRun) -> None:
    html, _ = render(make_run("run", None, status="failed", error="ValueError: <b>", metrics={}, epochs=0))
    assert re.findall(r'<p class="(?:missing|problem)">(.*?)</p>', html, re.DOTALL) == [
        "The run failed after 0 epochs: ValueError: &lt;b&gt;.",
        "metrics.csv has no epoch, or is missing.",
        "There is no predictions.npz, which the test of a run writes.",
        "results.json has no stages, which runs of this version write.",
    ]
    assert "<svg" not in html


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_are_text(make_run: MakeRun, tmp_path: Path, name: str) -> None:
    make_runs(make_run, name)
    directory = tmp_path / "runs" / "0-0"
    make_predictions(class_names=(name, "dog", name)).save(directory / "predictions.npz")
    html = render_run_page(StoredRun.read(directory), name)
    elements = Elements(html)
    assert "script" not in elements.tags
    assert elements.tags.count("img") == 2
    assert "onerror" not in elements.attributes
    assert not CONTROL_CHARACTER.search(html)


READABLE_NUMBERS = [
    *(numbers for numbers in NUMBERS if numbers.get("seed") != -(2**63)),
    {"stages": [{}, {"name": None, "shape": [{}], "parameters": 1e308}]},
]


@pytest.mark.parametrize("numbers", READABLE_NUMBERS, ids=[str(i) for i in range(len(READABLE_NUMBERS))])
def test_numbers_that_no_run_has_are_shown(make_run: MakeRun, numbers: dict[str, Any]) -> None:
    curves = {"epoch": [1, 2], "val/acc": [1e308, 1e308], "train/loss": [-1e308, 1e99]}
    html, _ = render(make_run("run", None, **{"curves": curves, **numbers}))
    assert "<h2>Command</h2>" in html


def test_logits_that_are_not_finite_are_shown(make_run: MakeRun) -> None:
    directory = make_run("run", None)
    predictions = make_predictions()
    predictions.evaluated.logits[:3] = [np.nan, np.inf, -np.inf]
    predictions.save(directory / "predictions.npz")
    html, _ = render(directory)
    assert "test images are wrong." in html
