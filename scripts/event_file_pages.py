"""Event files that are kept for the docs, and TensorBoard's pages of them."""

import base64
import hashlib
import io
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import werkzeug
from PIL import Image
from tensorboard import default, program
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.backend.http_util import Respond
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.base_plugin import TBPlugin
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.record_writer import RecordWriter

EVENT_FILES = "events.out.tfevents.*"
_NUM_NAME_PARTS = 4
"""Parts of an event file's name that are kept; those of the machine and the process follow."""
_START_SCRIPT = """
const [settings, address] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
localStorage.setItem("_tb_global_settings", JSON.stringify(settings));
location.replace(address);
"""


def copy_event_files(source: Path, target: Path, settings: Mapping[str, str], has_pictures: bool) -> None:
    """Copy the scalars, what the HParams tab shows, and pictures in 256 colors; leave out texts.

    Args:
        source: the directory of a run or of a sweep.
        target: another directory.
        settings: values that replace those in a run's row.
        has_pictures: whether the copy has pictures.
    """
    for file in sorted(source.glob(EVENT_FILES)):
        name = ".".join(file.name.split(".")[:_NUM_NAME_PARTS])
        with (target / name).open("wb") as stream:
            writer = RecordWriter(stream)
            for event in LegacyEventFileLoader(str(file)).Load():
                if event.HasField("summary"):
                    values = list(_kept_values(event.summary, settings, has_pictures))
                    if not values:
                        continue
                    event.summary.CopyFrom(Summary(value=values))
                writer.write(event.SerializeToString())


class StartPage(TBPlugin):
    """A page that stores TensorBoard's settings in the browser, as a user who chooses them does, and then shows it."""

    plugin_name = "start"

    def get_plugin_apps(self) -> dict[str, Any]:
        return {"/page": self._serve}

    def is_active(self) -> bool:
        return False

    @werkzeug.Request.application
    def _serve(self, request: Any) -> Any:
        digest = base64.b64encode(hashlib.sha256(_START_SCRIPT.encode()).digest()).decode()
        page = f"<!doctype html><script>{_START_SCRIPT}</script>"
        return Respond(request, page, "text/html", csp_scripts_sha256s=[digest])


def serve_event_files(directory: Path) -> str:
    """Read the event files of a sweep, start a server that ends with this process, and return its address.

    The server does not read the files again.
    """
    server = program.TensorBoard(plugins=[*default.get_plugins(), StartPage])
    server.configure(
        logdir=str(directory), host="127.0.0.1", port=0, load_fast="false", reload_interval=0, reload_task="blocking"
    )
    return server.launch()


def start_address(server: str, settings: Mapping[str, Any], address: str) -> str:
    """Return the address that shows TensorBoard with these settings.

    Args:
        server: the address of the server.
        settings: what a user chooses on the page, and the browser stores.
        address: of the page on the server: `/?tagFilter=loss#timeseries`.
    """
    return f"{server}data/plugin/{StartPage.plugin_name}/page#{urllib.parse.quote(json.dumps([settings, address]))}"


def _kept_values(summary: Summary, settings: Mapping[str, str], has_pictures: bool) -> Iterator[Summary.Value]:
    for value in summary.value:
        if value.HasField("simple_value"):
            yield value
        elif value.HasField("image"):
            if has_pictures:
                png = _reduce_colors(value.image.encoded_image_string)
                yield Summary.Value(tag=value.tag, image=Summary.Image(encoded_image_string=png))
        elif value.metadata.plugin_data.plugin_name == metadata.PLUGIN_NAME:
            if value.tag == metadata.SESSION_START_INFO_TAG:
                data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                for key, setting in settings.items():
                    data.session_start_info.hparams[key].string_value = setting
                value.metadata.CopyFrom(metadata.create_summary_metadata(data))
            yield value


def _reduce_colors(png: bytes) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(256).save(file, format="PNG", optimize=True)
    return file.getvalue()
