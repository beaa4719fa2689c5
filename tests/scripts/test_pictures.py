"""Tests that no picture of the docs is older than the runs and the code that it is made from. They need no browser."""

from pathlib import Path
from typing import Any

import pytest
import update_pictures
import update_results
from matplotlib.figure import Figure
from picture_sources import hash_of_command, hash_of_figure, hash_of_page, save_picture, stored_hash
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.docs.pages import PAGES
from tests.docs.test_links import links_of


@pytest.mark.parametrize("picture", update_pictures.DOC_PICTURES, ids=lambda picture: picture.file)
def test_picture_shows_what_it_would_show_now(picture: Any) -> None:
    path = update_pictures.PICTURES / picture.file
    assert stored_hash(path) == picture.source_hash(), f"{path.name} is outdated: make pictures"


def test_every_picture_is_made_by_the_script_and_shown_by_a_page() -> None:
    files = {path.name for path in update_pictures.PICTURES.iterdir()}
    assert files == {picture.file for picture in update_pictures.DOC_PICTURES}
    targets = {(page.parent / link).resolve() for page in PAGES for link in links_of(page)}
    assert {name for name in files if update_pictures.PICTURES / name not in targets} == set()


def test_plots_of_results_show_what_they_would_show_now() -> None:
    comparison = update_results.compare_with_published(update_results.find_runs([update_results.RUNS])[0])
    figures = update_results.network_figures(comparison)
    directory = update_results.RESULTS.with_suffix("")
    assert {path.name for path in directory.iterdir()} == set(figures)
    for name, figure in figures.items():
        outdated = f"{name} is outdated: python scripts/update_results.py"
        assert stored_hash(directory / name) == hash_of_figure(figure), outdated


def test_picture_keeps_its_hash_while_its_pixels_are_the_same(tmp_path: Path) -> None:
    picture = Image.linear_gradient("L").convert("RGB")
    save_picture(tmp_path / "a.png", picture, "0123")
    assert stored_hash(tmp_path / "a.png") == "0123"
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.tobytes() == picture.tobytes()
    with Image.open(tmp_path / "a.png") as stored:
        replaced = stored.rotate(90)
        information = PngInfo()
        for name, text in stored.info.items():
            information.add_text(name, text)
    replaced.save(tmp_path / "a.png", pnginfo=information)
    assert stored_hash(tmp_path / "a.png") is None
    picture.save(tmp_path / "b.png")
    assert stored_hash(tmp_path / "b.png") is None
    assert stored_hash(tmp_path / "c.png") is None


def figure_of(values: list[float], label: str = "accuracy") -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.plot(values)
    axes.set_ylabel(label)
    return figure


def test_hash_of_a_figure_is_that_of_what_it_shows() -> None:
    expected = hash_of_figure(figure_of([0.5, 0.75]))
    assert hash_of_figure(figure_of([0.5, 0.75 + 1e-12])) == expected
    assert hash_of_figure(figure_of([0.5, 0.6])) != expected
    assert hash_of_figure(figure_of([0.5, 0.75], "loss")) != expected


def test_hash_of_a_page_is_that_of_what_it_shows() -> None:
    page = (
        "<td>{}</td><svg><path id='a' d='M 1.23456 2'/><text>{}</text></svg>written {} 12:00 UTC, cnn_experiments 1.0"
    )
    expected = hash_of_page(page.format("0.8310", "val", "2026-11-28"))
    assert hash_of_page(page.format("0.8310", "val", "2027-01-01")) == expected
    assert hash_of_page(page.format("0.8310", "val", "2026-11-28").replace("1.23456", "1.23457")) == expected
    assert hash_of_page(page.format("0.8310", "val", "2026-11-28").replace("1.23456", "1.33457")) != expected
    assert hash_of_page(page.format("0.8311", "val", "2026-11-28")) != expected
    assert hash_of_page(page.format("0.8310", "test", "2026-11-28")) != expected


def test_hash_of_a_command_is_that_of_its_overrides_and_files(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    files[0].write_text("1")
    files[1].write_text("2")
    expected = hash_of_command(["task=explain"], files)
    files[1].touch()
    assert hash_of_command(["task=explain"], files) == expected
    assert hash_of_command(["task=explain", "task.max_images=6"], files) != expected
    files[1].write_text("3")
    assert hash_of_command(["task=explain"], files) != expected
