"""TensorBoard's event files, written without its own writer.

That writer has a thread, which ends with a traceback when the disk is full and makes a later call raise. Here an event
is in the file when the call returns, or an OSError says why not.
"""

import io
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from cnn_experiments.runs.regular_file import open_to_append


def append_scalars(file: Path, scalars: Mapping[str, float], step: int) -> None:
    """Append the scalars of a step to an event file, which need not exist.

    Raises:
        OSError: it cannot be written.
    """
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    append_event(file, Event(wall_time=time.time(), step=step, summary=Summary(value=values)))


def append_image(file: Path, tag: str, png: bytes, step: int) -> None:
    """Append a picture, a PNG file, to an event file.

    Raises:
        OSError: it cannot be written.
    """
    value = Summary.Value(tag=tag, image=Summary.Image(encoded_image_string=png))
    append_event(file, Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))


def append_text(file: Path, tag: str, markdown: str, step: int) -> None:
    """Append a text in Markdown to an event file.

    Raises:
        OSError: it cannot be written.
    """
    append_event(file, Event(wall_time=time.time(), step=step, summary=text_pb(tag, markdown)))


def append_event(file: Path, event: Event) -> None:
    """Append an event as a whole, or nothing of it: a reader stops at a record that is not complete.

    Raises:
        OSError: the file cannot be written.
    """
    with open_to_append(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        records = io.BytesIO()
        writer = RecordWriter(records)
        if size == 0:
            writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        writer.write(event.SerializeToString())
        try:
            _write_all(stream.fileno(), records.getvalue())
        except OSError:
            with suppress(OSError):
                os.ftruncate(stream.fileno(), size)
            raise


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
