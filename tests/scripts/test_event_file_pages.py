"""Tests of the event files that are kept for the docs, and of TensorBoard's pages of them. They need no browser."""

import io
import json
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from event_file_pages import copy_event_files, serve_event_files, start_address
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cnn_experiments.runs import hparams
from cnn_experiments.runs.events import append_image, append_scalars, append_text
from cnn_experiments.runs.status import Status


def gradient() -> Image.Image:
    return Image.linear_gradient("L").convert("RGB")


def png_of(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def write_run(directory: Path) -> None:
    directory.mkdir(parents=True)
    file = directory / "events.out.tfevents.1795841112.host.example.org.17"
    hparams.write_session_start(directory, {"data.root": "/home/me/data", "optimizer.lr": 0.5})
    append_image(file, "test/mistakes", png_of(gradient()), step=3)
    append_scalars(file, {"val/acc": 0.25, "val/loss": 2.0}, step=1)
    append_scalars(file, {"val/acc": 0.75}, step=2)
    append_text(file, "test/classes", "| class |", step=3)
    hparams.write_session_end(directory, Status.COMPLETED)


def read_events(directory: Path) -> EventAccumulator:
    return EventAccumulator(str(directory)).Reload()


def copy_of_run(directory: Path, has_pictures: bool) -> Path:
    write_run(directory / "run")
    (directory / "copy").mkdir()
    copy_event_files(directory / "run", directory / "copy", {"data.root": "data"}, has_pictures)
    return directory / "copy"


def test_copy_has_the_scalars_at_their_steps_and_times(tmp_path: Path) -> None:
    events = read_events(copy_of_run(tmp_path, has_pictures=False))
    assert [(scalar.step, scalar.value) for scalar in events.Scalars("val/acc")] == [(1, 0.25), (2, 0.75)]
    assert [(scalar.step, scalar.value) for scalar in events.Scalars("val/loss")] == [(1, 2.0)]
    assert events.Scalars("val/acc") == read_events(tmp_path / "run").Scalars("val/acc")
    assert events.Tags()["images"] == []
    assert events.Tags()["tensors"] == ["_hparams_/session_start_info", "_hparams_/session_end_info"]


def test_copy_has_the_row_of_the_run_with_other_settings(tmp_path: Path) -> None:
    events = read_events(copy_of_run(tmp_path, has_pictures=False))
    rows = {
        tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
        for tag in events.PluginTagToContent("hparams")
    }
    settings = rows["_hparams_/session_start_info"].session_start_info.hparams
    assert {key: value.string_value or value.number_value for key, value in settings.items()} == {
        "data.root": "data",
        "optimizer.lr": 0.5,
    }
    assert rows["_hparams_/session_end_info"].session_end_info.status == 1


def test_copy_names_no_machine(tmp_path: Path) -> None:
    files = sorted(path.name for path in copy_of_run(tmp_path, has_pictures=False).iterdir())
    assert files == ["events.out.tfevents.0", "events.out.tfevents.1795841112"]


def test_copy_has_pictures_of_one_run_in_256_colors(tmp_path: Path) -> None:
    events = read_events(copy_of_run(tmp_path, has_pictures=True))
    (event,) = events.Images("test/mistakes")
    assert event.step == 3
    with Image.open(io.BytesIO(event.encoded_image_string)) as picture:
        assert picture.mode == "P"
        difference = np.abs(np.asarray(picture.convert("RGB"), dtype=int) - np.asarray(gradient(), dtype=int))
    assert difference.max() <= 1


def read(address: str) -> str:
    with urllib.request.urlopen(address) as answer:  # noqa: S310
        return answer.read().decode()


def test_server_has_read_all_runs_when_it_starts(tmp_path: Path) -> None:
    for name in ("lenet-seed0", "lenet-seed1"):
        write_run(tmp_path / "sweep" / name)
    server = serve_event_files(tmp_path / "sweep")
    assert json.loads(read(f"{server}data/runs")) == ["lenet-seed0", "lenet-seed1"]
    tags = json.loads(read(f"{server}data/plugin/timeseries/tags"))["scalars"]["runTagInfo"]
    assert tags == {"lenet-seed0": ["val/acc", "val/loss"], "lenet-seed1": ["val/acc", "val/loss"]}


def test_start_page_gets_the_settings_and_the_address(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    server = serve_event_files(tmp_path)
    address = start_address(server, {"sideBarWidthInPercent": 28}, "/?tagFilter=^(a|b)$#timeseries")
    assert json.loads(unquote(urlsplit(address).fragment)) == [
        {"sideBarWidthInPercent": 28},
        "/?tagFilter=^(a|b)$#timeseries",
    ]
    assert "localStorage.setItem" in read(address)
